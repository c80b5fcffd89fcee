"""Log-based metrics: matching entries are counted when somebody looks.

Facts: discovery document, LogMetric; answers in http-logs/logging-metric.log. Only entries received
since the metric was created, or its filter last changed, count.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote, unquote

from simulator.api.calls import Call, Methods, Result, on_parent
from simulator.api.errors import already_exists, invalid, not_found
from simulator.api.pages import listing
from simulator.services.logging.query import compiled
from simulator.services.logging.samples import LogMetric, extractor
from simulator.services.logging.state import Logging

method = Methods()

METRIC_ID = re.compile(r"[A-Za-z0-9_\-.,+!*',()%][A-Za-z0-9_\-.,+!*',()%/]{0,99}")
PREFIX = "logging.googleapis.com/user/"
GIVEN = ("description", "disabled", "filter", "labelExtractors", "valueExtractor", "bucketOptions")
# What Cloud Logging fills in for a distribution without options (provider documentation,
# logging metric).
DEFAULT_BUCKETS = {
    "exponentialBuckets": {"numFiniteBuckets": 64, "growthFactor": 2.0, "scale": 0.01}
}
# Of a metric's descriptor (discovery document).
READ_ONLY = ("description", "monitoredResourceTypes", "name", "type")


def metric_name(project: str, metric_id: str) -> str:
    """The resource name; an id's slashes are written %2F in it."""
    return f"{project}/metrics/{quote(metric_id, safe='')}"


def _on_name(call: Call) -> str:
    project, _, metric_id = call.params["metricName"].partition("/metrics/")
    return metric_name(project, metric_id)


def _id(call: Call) -> str:
    return unquote(call.resource.partition("/metrics/")[2])


def _metric(call: Call) -> LogMetric:
    metric = call.cloud[Logging].metrics.get(call.resource)
    if metric is None:
        # http-logs/logging-metric.log
        raise not_found(f"Metric {_id(call)} does not exist.")
    return metric


def _described(call: Call, name: str, body: dict[str, Any], project: str) -> dict[str, Any]:
    """The metric descriptor with what Google adds, once everything about the metric is right."""
    if not METRIC_ID.fullmatch(name):
        raise invalid(f"Invalid metric name: {name}")
    if not body.get("filter"):
        raise invalid("A log-based metric needs a filter.")
    compiled(body["filter"])
    described = body.get("metricDescriptor", {})
    given = {key: value for key, value in described.items() if key not in READ_ONLY}
    kind, value = given.get("metricKind", "DELTA"), given.get("valueType", "INT64")
    if kind != "DELTA" or value not in ("INT64", "DISTRIBUTION"):
        raise invalid(f"A log-based metric is DELTA and INT64 or DISTRIBUTION, not {kind} {value}.")
    if (value == "DISTRIBUTION") != bool(body.get("valueExtractor")):
        raise invalid("A value_extractor goes with a DISTRIBUTION, and with nothing else.")
    keys = [label.get("key", "") for label in given.get("labels", ())]
    extractors = body.get("labelExtractors", {})
    if len(keys) != len(set(keys)) or set(keys) != set(extractors):
        raise invalid(
            f"Every label needs an extractor and every extractor a label: {sorted(keys)} and "
            f"{sorted(extractors)}."
        )
    for text in (*extractors.values(), *filter(None, [body.get("valueExtractor")])):
        extractor(text)
    given |= {
        "name": f"{project}/metricDescriptors/{PREFIX}{name}",
        "type": f"{PREFIX}{name}",
        "metricKind": kind,
        "valueType": value,
        "unit": given.get("unit") or "1",
    }
    if body.get("description"):
        given["description"] = body["description"]
    return given


def _info(call: Call, name: str, project: str) -> dict[str, Any]:
    body = call.body
    info: dict[str, Any] = {"name": name}
    info |= {key: body[key] for key in GIVEN if body.get(key)}
    info["metricDescriptor"] = _described(call, name, body, project)
    if info["metricDescriptor"]["valueType"] == "DISTRIBUTION":
        info.setdefault("bucketOptions", DEFAULT_BUCKETS)
    return info


def _create(call: Call, name: str, project: str) -> Result:
    now = call.cloud.clock.rfc3339()
    info = _info(call, name, project) | {"createTime": now, "updateTime": now}
    position = call.cloud[Logging].position()
    call.cloud[Logging].metrics[metric_name(project, name)] = LogMetric(project, info, position)
    return info


@method("logging.projects.metrics.create", permission="logging.logMetrics.create", on=on_parent)
def create(call: Call) -> Result:
    name = call.body.get("name", "")
    if metric_name(call.resource, name) in call.cloud[Logging].metrics:
        raise already_exists(f"Metric {name} already exists.")
    return _create(call, name, call.resource)


@method("logging.projects.metrics.get", permission="logging.logMetrics.get", on=_on_name)
def get(call: Call) -> Result:
    return _metric(call).info


@method(
    "logging.projects.metrics.list",
    permission="logging.logMetrics.list",
    on=on_parent,
    reads="pageSize pageToken",
)
def list_metrics(call: Call) -> Result:
    metrics = call.cloud[Logging].metrics.items()
    mine = {name: item.info for name, item in metrics if item.project == call.resource}
    return listing("metrics", mine, call.params, default=50, most=1000)


# That a metric which this call makes needs logMetrics.create too is an inference.
@method("logging.projects.metrics.update", permission="logging.logMetrics.update", on=_on_name)
def update(call: Call) -> Result:
    """Replaces all of it; kind and value type stay (discovery document, metricDescriptor)."""
    project, name = call.resource.partition("/metrics/")[0], _id(call)
    if call.body.get("name", name) != name:
        raise invalid(f"The metric's name is {name}, not {call.body['name']}.")
    metric = call.cloud[Logging].metrics.get(call.resource)
    if metric is None:
        call.check("logging.logMetrics.create", project)
        return _create(call, name, project)
    info, before = _info(call, name, project), metric.info["metricDescriptor"]
    if info["metricDescriptor"]["valueType"] != before["valueType"]:
        raise invalid("The value_type of a log-based metric cannot be changed.")
    call.cloud[Logging].samples(call.resource)  # by what it was until now
    stamps = {"createTime": metric.info["createTime"], "updateTime": call.cloud.clock.rfc3339()}
    metric.info = info | stamps
    return metric.info


@method("logging.projects.metrics.delete", permission="logging.logMetrics.delete", on=_on_name)
def delete(call: Call) -> Result:
    _metric(call)
    del call.cloud[Logging].metrics[call.resource]
    return {}
