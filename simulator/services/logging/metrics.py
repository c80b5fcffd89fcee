"""Log-based metrics: matching entries are counted when somebody looks.

Facts: discovery document, LogMetric; answers in http-logs/logging-metric.log. Only entries received
since the metric was created, or its filter last changed, count.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

from simulator.api.calls import Call, Result, method
from simulator.api.errors import already_exists, invalid, not_found
from simulator.api.filters import found, parse_value
from simulator.api.listing import listing
from simulator.core.clock import nanoseconds
from simulator.services.logging.query import Entry, compiled
from simulator.services.logging.state import Position, on_parent

if TYPE_CHECKING:
    from simulator.google import Cloud

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
DEFAULTS: dict[str, Any] = {"STRING": "", "INT64": "0", "BOOL": "false"}


@dataclass(frozen=True, slots=True)
class Sample:
    """One counted entry, `value` 1, or one extracted value."""

    time: float
    labels: tuple[tuple[str, str], ...]
    resource: str
    resource_labels: tuple[tuple[str, str], ...]
    value: float


@dataclass(slots=True)
class LogMetric:
    """`counted` says which entries are in `samples` already."""

    project: str
    info: dict[str, Any]
    counted: Position
    samples: list[Sample] = field(default_factory=list)

    def count(self, cloud: Cloud) -> list[Sample]:
        """Every sample up to now."""
        since, self.counted = self.counted, cloud.logging.position()
        if not self.info.get("disabled"):
            matching = compiled(self.info["filter"])
            for entry in cloud.logging.entries({self.project}, since):
                if matching(entry) and (sample := self._sample(entry)):
                    self.samples.append(sample)
        return self.samples

    def _sample(self, entry: Entry) -> Sample | None:
        descriptor, value = self.info["metricDescriptor"], 1.0
        if descriptor["valueType"] == "DISTRIBUTION":
            try:
                value = float(_extractor(self.info["valueExtractor"])(entry) or "")
            except ValueError:
                return None
        labels = {
            label["key"]: _label(label, self.info["labelExtractors"][label["key"]], entry)
            for label in descriptor.get("labels", ())
        }
        resource = entry["resource"]
        return Sample(
            nanoseconds(entry["timestamp"]) / 1e9,
            tuple(sorted(labels.items())),
            resource["type"],
            tuple(sorted(resource.get("labels", {}).items())),
            value,
        )


def _label(label: dict[str, Any], extractor: str, entry: Entry) -> str:
    """The extracted text, or the default of the label's type where it does not fit."""
    kind, text = label.get("valueType", "STRING"), _extractor(extractor)(entry)
    fits = {
        "STRING": text is not None,
        "INT64": re.fullmatch(r"-?\d+", text or "") is not None,
        "BOOL": text in ("true", "false"),
    }
    return text if text is not None and fits[kind] else str(DEFAULTS[kind])


def _extractor(text: str) -> Callable[[Entry], str | None]:
    """EXTRACT(field) or REGEXP_EXTRACT(field, regex) of an entry; None when nothing is there."""
    call = parse_value(text)
    wanted = {"EXTRACT": 1, "REGEXP_EXTRACT": 2}.get(call.function)
    if wanted is None or wanted != len(call.arguments):
        raise invalid(f"{text} is neither EXTRACT(field) nor REGEXP_EXTRACT(field, regex).")
    path, pattern = call.arguments[0].path, None
    if wanted == 2:
        try:
            pattern = re.compile(call.arguments[1].text)
        except re.error as error:
            raise invalid(f"{text}: {error} in the regular expression.") from None
        if pattern.groups != 1:
            raise invalid(f"{text}: the regular expression needs exactly one capture group.")

    def extract(entry: Entry) -> str | None:
        value = next((_text(item) for item in found(entry, path)), None)
        if value is None or pattern is None:
            return value
        match = pattern.search(value)
        return match[1] if match else None

    return extract


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def metric_name(project: str, metric_id: str) -> str:
    """The resource name; an id's slashes are written %2F in it."""
    return f"{project}/metrics/{quote(metric_id, safe='')}"


def _on_name(call: Call) -> str:
    project, _, metric_id = call.params["metricName"].partition("/metrics/")
    return metric_name(project, metric_id)


def _id(call: Call) -> str:
    return unquote(call.resource.partition("/metrics/")[2])


def _metric(call: Call) -> LogMetric:
    metric = call.cloud.logging.metrics.get(call.resource)
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
        _extractor(text)
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
    position = call.cloud.logging.position()
    call.cloud.logging.metrics[metric_name(project, name)] = LogMetric(project, info, position)
    return info


@method("logging.projects.metrics.create", permission="logging.logMetrics.create", on=on_parent)
def create(call: Call) -> Result:
    name = call.body.get("name", "")
    if metric_name(call.resource, name) in call.cloud.logging.metrics:
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
    metrics = call.cloud.logging.metrics.items()
    mine = {name: item.info for name, item in metrics if item.project == call.resource}
    return listing("metrics", mine, call.params, default=50, most=1000)


# That a metric which this call makes needs logMetrics.create too is an inference.
@method("logging.projects.metrics.update", permission="logging.logMetrics.update", on=_on_name)
def update(call: Call) -> Result:
    """Replaces all of it; kind and value type stay (discovery document, metricDescriptor)."""
    project, name = call.resource.partition("/metrics/")[0], _id(call)
    if call.body.get("name", name) != name:
        raise invalid(f"The metric's name is {name}, not {call.body['name']}.")
    metric = call.cloud.logging.metrics.get(call.resource)
    if metric is None:
        call.check("logging.logMetrics.create", project)
        return _create(call, name, project)
    info, before = _info(call, name, project), metric.info["metricDescriptor"]
    if info["metricDescriptor"]["valueType"] != before["valueType"]:
        raise invalid("The value_type of a log-based metric cannot be changed.")
    metric.count(call.cloud)
    stamps = {"createTime": metric.info["createTime"], "updateTime": call.cloud.clock.rfc3339()}
    metric.info = info | stamps
    return metric.info


@method("logging.projects.metrics.delete", permission="logging.logMetrics.delete", on=_on_name)
def delete(call: Call) -> Result:
    _metric(call)
    del call.cloud.logging.metrics[call.resource]
    return {}
