"""Which metrics there are, and filters that choose time series of them.

Facts: gcp-facts/07_metrics_alerts.md; kinds and types that it leaves open are those of Google's
list (docs monitoring/api/metrics_gcp). Of the metrics that a real cloud has, only these and
log-based ones are known here: a filter may name others in an alert, unless they would be of a
group that is complete below and do not exist.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

from simulator.api.calls import Call, Methods, Result, on_name
from simulator.api.errors import ApiError, invalid, not_found, unimplemented
from simulator.api.filters import Compare, Every, Node, comparisons, matches, parse
from simulator.api.pages import listing
from simulator.core.cloud import Cloud
from simulator.services.logging.metrics import PREFIX as LOG_BASED
from simulator.services.logging.metrics import metric_name
from simulator.services.logging.state import Logging
from simulator.services.monitoring.matching import check, holds
from simulator.services.monitoring.state import bad_field

method = Methods()

ONLINE = "aiplatform.googleapis.com/prediction/online/"
ENDPOINT = ("aiplatform.googleapis.com/Endpoint",)
MODEL_LABELS = ("deployed_model_id", "spot", "model_display_name", "endpoint_display_name")
REPLICA_LABELS = ("deployed_model_id", "replica_id", "spot")
SUBSCRIPTION = "pubsub.googleapis.com/subscription/"
SUBSCRIPTIONS = ("pubsub_subscription",)
# Groups of which every metric is known here.
COMPLETE = (ONLINE, LOG_BASED)


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric type; without `resources` its series may be of any monitored resource."""

    type: str
    kind: str
    value: str
    labels: tuple[str, ...]
    resources: tuple[str, ...]
    unit: str = "1"
    buckets: dict[str, Any] | None = None
    info: dict[str, Any] | None = None

    def descriptor(self, project: str) -> dict[str, Any]:
        if self.info is not None:
            return self.info
        return {
            "name": f"projects/{project}/metricDescriptors/{self.type}",
            "type": self.type,
            "labels": [{"key": key} for key in self.labels],
            "metricKind": self.kind,
            "valueType": self.value,
            "unit": self.unit,
            "monitoredResourceTypes": list(self.resources),
        }


# The bucket boundaries of Google's latencies are not in the facts; percentiles do not use them.
LATENCY_BUCKETS = {"exponentialBuckets": {"numFiniteBuckets": 64, "growthFactor": 1.4, "scale": 1}}
KNOWN = {
    metric.type: metric
    for metric in (
        Metric(f"{ONLINE}accelerator/duty_cycle", "GAUGE", "DOUBLE", REPLICA_LABELS, ENDPOINT),
        Metric(
            f"{ONLINE}accelerator/memory/bytes_used", "GAUGE", "INT64", REPLICA_LABELS, ENDPOINT
        ),
        Metric(f"{ONLINE}cpu/utilization", "GAUGE", "DOUBLE", REPLICA_LABELS, ENDPOINT, "10^2.%"),
        Metric(f"{ONLINE}error_count", "DELTA", "INT64", MODEL_LABELS, ENDPOINT),
        Metric(f"{ONLINE}machine_count", "GAUGE", "INT64", MODEL_LABELS, ENDPOINT),
        Metric(f"{ONLINE}memory/bytes_used", "GAUGE", "INT64", REPLICA_LABELS, ENDPOINT, "By"),
        Metric(f"{ONLINE}network/received_bytes_count", "DELTA", "INT64", REPLICA_LABELS, ENDPOINT),
        Metric(f"{ONLINE}network/sent_bytes_count", "DELTA", "INT64", REPLICA_LABELS, ENDPOINT),
        Metric(f"{ONLINE}prediction_count", "DELTA", "INT64", MODEL_LABELS, ENDPOINT),
        Metric(
            f"{ONLINE}prediction_latencies",
            "DELTA",
            "DISTRIBUTION",
            (*MODEL_LABELS, "latency_type"),
            ENDPOINT,
            "ms",
            LATENCY_BUCKETS,
        ),
        Metric(
            f"{ONLINE}private/prediction_latencies", "DELTA", "DISTRIBUTION", (), ENDPOINT, "ms"
        ),
        Metric(f"{ONLINE}private/response_count", "DELTA", "INT64", (), ENDPOINT),
        Metric(f"{ONLINE}replicas", "GAUGE", "INT64", MODEL_LABELS, ENDPOINT),
        Metric(
            f"{ONLINE}response_count", "DELTA", "INT64", (*MODEL_LABELS, "response_code"), ENDPOINT
        ),
        Metric(f"{ONLINE}target_replicas", "GAUGE", "INT64", MODEL_LABELS, ENDPOINT),
        Metric(f"{SUBSCRIPTION}dead_letter_message_count", "DELTA", "INT64", (), SUBSCRIPTIONS),
        Metric(f"{SUBSCRIPTION}num_undelivered_messages", "GAUGE", "INT64", (), SUBSCRIPTIONS),
        Metric(
            f"{SUBSCRIPTION}oldest_unacked_message_age", "GAUGE", "INT64", (), SUBSCRIPTIONS, "s"
        ),
        Metric(
            "serviceruntime.googleapis.com/api/request_count",
            "DELTA",
            "INT64",
            ("protocol", "response_code", "response_code_class", "grpc_status_code"),
            ("api", "consumed_api"),
        ),
    )
}


def metric(cloud: Cloud, project: str, metric_type: str) -> Metric | None:
    """A metric type of a project; None for one that this cloud knows nothing about.

    404 for one that certainly does not exist, in the words recorded in
    GoogleCloudPlatform/cloud-foundation-fabric#3739. There a new log-based metric takes up to ten
    minutes to appear; here it is there at once.
    """
    if metric_type in KNOWN:
        return KNOWN[metric_type]
    if metric_type.startswith(LOG_BASED):
        name = metric_name(f"projects/{project}", metric_type.removeprefix(LOG_BASED))
        if found := cloud[Logging].metrics.get(name):
            return _log_based(found.info)
    if metric_type.startswith(COMPLETE):
        raise not_found(
            f'Cannot find metric(s) that match type = "{metric_type}". If a metric was created '
            "recently, it could take up to 10 minutes to become available. Please try again soon."
        )
    return None


def _log_based(info: dict[str, Any]) -> Metric:
    given = info["metricDescriptor"]
    keys = tuple(label["key"] for label in given.get("labels", ()))
    return Metric(
        given["type"],
        given["metricKind"],
        given["valueType"],
        keys,
        (),
        given["unit"],
        info.get("bucketOptions"),
        given,
    )


# Filters


PREFIXES = ("group", "metadata", "metric", "project", "resource")


def selector(text: str) -> Node:
    """The tree of a filter of time series, every part of it checked."""
    node = parse(text)
    for compare in comparisons(node):
        check(text, compare)
        _check_path(compare)
    return node


def _check_path(compare: Compare) -> None:
    first, *rest = compare.path
    if first not in PREFIXES:
        # Recorded in a public repository.
        raise invalid(
            "The lefthand side of each expression must be prefixed with one of "
            f"{{{', '.join(PREFIXES)}}}"
        )
    if first in ("group", "metadata"):
        raise unimplemented(f"A filter on {first}")
    if first == "project":
        known = not rest
    else:
        known = rest == ["type"] or (len(rest) > 1 and rest[0] in ("label", "labels"))
    if not known:
        raise invalid(f"Unknown field in the filter: {'.'.join(compare.path)}")


def conjuncts(node: Node) -> list[Compare]:
    """The comparisons that hold for everything that the filter matches."""
    if isinstance(node, Compare):
        return [node]
    return [c for part in node.parts for c in conjuncts(part)] if isinstance(node, Every) else []


def _named(node: Node, first: str) -> list[str]:
    """Types that `metric.type = "…"` or `resource.type = "…"` name."""
    return [
        compare.value.text
        for compare in conjuncts(node)
        if compare.path == (first, "type") and compare.op == "=" and not compare.value.function
    ]


def chosen(cloud: Cloud, project: str, node: Node) -> Metric | None:
    """The one metric of a filter, None for one that this cloud knows nothing about."""
    types = set(_named(node, "metric"))
    if len(types) != 1:
        raise invalid('The filter must specify one metric type, as in metric.type = "TYPE".')
    found = metric(cloud, project, types.pop())
    for resource in _named(node, "resource") if found and found.resources else ():
        if found and resource not in found.resources:
            # Recorded in several public repositories.
            raise invalid(
                "The supplied filter does not specify a valid combination of metric and monitored "
                "resource descriptors. The query will not return any time series."
            )
    return found


def check_filter(
    cloud: Cloud, project: str, field: str, text: str, *, resource: bool = False
) -> Metric | None:
    """The metric of a filter inside another resource; 400 naming the field.

    `resource`: alerts have to say which monitored resource they are about.
    """
    try:
        node = selector(text)
        found = chosen(cloud, project, node)
    except ApiError as error:
        if error.status != 400:
            raise
        raise bad_field(field, text, error.message) from None
    if resource and not any(c.path == ("resource", "type") for c in conjuncts(node)):
        # Recorded in several public repositories.
        raise bad_field(field, text, 'must specify a restriction on "resource.type" in the filter')
    return found


# The API


def _metrics(call: Call, project: str) -> dict[str, Metric]:
    mine = {
        f"{LOG_BASED}{item.info['name']}": _log_based(item.info)
        for item in call.cloud[Logging].metrics.values()
        if item.project == f"projects/{project}"
    }
    return KNOWN | mine


@method(
    "monitoring.projects.metricDescriptors.list",
    permission="monitoring.metricDescriptors.list",
    on=on_name,
    reads="filter pageSize pageToken",
)
def list_descriptors(call: Call) -> Result:
    project, text = call.resource.split("/")[1], call.params.get("filter", "")
    node = selector(text)

    def holds_for(item: Metric, compare: Compare) -> bool:
        if compare.path == ("metric", "type"):
            return holds(compare, item.type)
        if compare.path == ("resource", "type"):
            return any(holds(compare, kind) for kind in item.resources)
        raise invalid(f"Metric descriptors are not filtered by {'.'.join(compare.path)}.")

    found = {
        name: item.descriptor(project)
        for name, item in _metrics(call, project).items()
        if matches(node, partial(holds_for, item))
    }
    return listing("metricDescriptors", found, call.params, default=10_000, most=10_000)


def _on_project(call: Call) -> str:
    """A descriptor has no place of its own in the hierarchy: its type has slashes."""
    return str(call.params["name"].partition("/metricDescriptors/")[0])


@method(
    "monitoring.projects.metricDescriptors.get",
    permission="monitoring.metricDescriptors.get",
    on=_on_project,
)
def get_descriptor(call: Call) -> Result:
    project, metric_type = call.resource.partition("/")[2], call.params["name"].split("/", 3)[3]
    found = _metrics(call, project).get(metric_type)
    if found is None:
        raise not_found(f"Could not find descriptor for metric '{metric_type}'.")
    return found.descriptor(project)
