"""timeSeries.list: what happened in this cloud, as Cloud Monitoring shows it.

Samples appear at once; Google's take a minute or more. Writing series, MQL and a second aggregation
answer 501.
"""

from __future__ import annotations

import bisect
import math
from functools import partial
from typing import Any

from simulator.api.calls import Call, Methods, Result, on_name
from simulator.api.errors import invalid, unimplemented
from simulator.api.filters import Compare, matches
from simulator.api.pages import page
from simulator.core.clock import nanoseconds
from simulator.core.cloud import Cloud
from simulator.core.platform import Containers
from simulator.services.monitoring.aggregation import (
    Series,
    Value,
    aligned,
    check_aggregation,
    gathered,
    reduced,
    within,
)
from simulator.services.monitoring.descriptors import Metric, chosen, selector
from simulator.services.monitoring.matching import holds
from simulator.services.monitoring.sources import MINUTE, samples

method = Methods()

PAGE = 100_000
# Newest first: time counted down from here, in milliseconds.
END_OF_TIME = 10**14


def _aggregation(call: Call, metric: Metric) -> Any:
    prefix = "aggregation."
    given = {k.removeprefix(prefix): v for k, v in call.params.items() if k.startswith(prefix)}
    return check_aggregation("aggregation", given, metric)


def _interval(call: Call) -> tuple[float, float]:
    texts = [call.params.get(f"interval.{name}") for name in ("startTime", "endTime")]
    if not texts[1]:
        raise invalid("Field interval.endTime is required.")
    try:
        start, end = (nanoseconds(text or texts[1]) / 1e9 for text in texts)
    except ValueError as error:
        raise invalid(f"Field interval: {error}.") from None
    if start > end:
        raise invalid("Field interval.startTime must not be later than interval.endTime.")
    return start, end


@method(
    "monitoring.projects.timeSeries.list",
    permission="monitoring.timeSeries.list",
    on=on_name,
    reads=(
        "aggregation.alignmentPeriod aggregation.crossSeriesReducer aggregation.groupByFields "
        "aggregation.perSeriesAligner filter interval.endTime interval.startTime orderBy "
        "pageSize pageToken view"
    ),
)
def list_time_series(call: Call) -> Result:
    cloud, project = call.cloud, call.resource.partition("/")[2]
    if call.params.get("orderBy"):
        raise invalid("Field orderBy must be left blank.")
    node = selector(call.params.get("filter", ""))
    metric = chosen(cloud, project, node)
    if metric is None:
        raise unimplemented("Time series of this metric type")
    how, (start, end) = _aggregation(call, metric), _interval(call)
    found_samples = samples(cloud, project, metric.type, start - MINUTE, end)
    found = [
        within(series, start, end)
        for series in gathered(metric, found_samples, min(end, cloud.clock.now()))
        if matches(node, partial(fits, cloud, project, metric, series))
    ]
    found = [aligned(series, how, end) for series in found if series.points]
    return _answer(call, metric, reduced(found, how))


def fits(cloud: Cloud, project: str, metric: Metric, series: Series, compare: Compare) -> bool:
    """Whether one comparison of a filter holds for a series of the project."""
    first, *rest = compare.path
    if first == "project":
        project = series.resource_labels.get("project_id", project)
        number = cloud[Containers].number(project)
        same = compare.value.text in (project, number)
        return (
            same is (compare.op != "!=") if not compare.value.function else holds(compare, project)
        )
    if rest == ["type"]:
        return holds(compare, metric.type if first == "metric" else series.resource)
    labels = series.metric_labels if first == "metric" else series.resource_labels
    return holds(compare, labels.get(".".join(rest[1:])))


def _answer(call: Call, metric: Metric, found: list[Series]) -> dict[str, Any]:
    """A page: of series by HEADERS, of points by FULL; every series newest point first."""
    size, token = int(call.params.get("pageSize") or PAGE), call.params.get("pageToken")
    rows: list[tuple[str, tuple[int, float | None]]] = []
    for index, series in enumerate(found):
        if call.params.get("view") == "HEADERS":
            rows.append((f"{index:06}", (index, None)))
            continue
        for end in sorted(series.points, reverse=True):
            rows.append((f"{index:06}:{END_OF_TIME - round(end * 1000):015}", (index, end)))
    shown, following = page(rows, token, min(size, PAGE))
    series_shown: dict[int, dict[str, Any]] = {}
    for index, at in shown:
        answer = series_shown.setdefault(index, _header(metric, found[index]))
        if at is not None:
            answer.setdefault("points", []).append(_point(call, metric, found[index], at))
    body: dict[str, Any] = {}
    if series_shown:
        body = {"timeSeries": list(series_shown.values()), "unit": metric.unit}
    return body | ({"nextPageToken": following} if following else {})


def _header(metric: Metric, series: Series) -> dict[str, Any]:
    named: dict[str, Any] = {"type": metric.type}
    if series.metric_labels:
        named["labels"] = series.metric_labels
    return {
        "metric": named,
        "resource": {"type": series.resource, "labels": series.resource_labels},
        "metricKind": series.kind,
        "valueType": series.value,
    }


def _point(call: Call, metric: Metric, series: Series, end: float) -> dict[str, Any]:
    start, value = series.points[end]
    clock = call.cloud.clock
    interval = {"startTime": clock.rfc3339(start), "endTime": clock.rfc3339(end)}
    return {"interval": interval, "value": _typed(series.value, value, metric.buckets)}


def _typed(kind: str, value: Value, buckets: dict[str, Any] | None) -> dict[str, Any]:
    """A TypedValue; 64-bit integers are texts in JSON."""
    if isinstance(value, list):
        return {"distributionValue": _distribution(value, buckets or {})}
    if kind == "INT64":
        return {"int64Value": str(round(value))}
    return {"doubleValue": value}


def _distribution(values: list[float], options: dict[str, Any]) -> dict[str, Any]:
    mean = math.fsum(values) / len(values)
    bounds = _bounds(options)
    counts = [0] * (len(bounds) + 1)
    for value in values:
        counts[bisect.bisect_right(bounds, value)] += 1
    while counts and not counts[-1]:
        counts.pop()
    return {
        "count": str(len(values)),
        "mean": mean,
        "sumOfSquaredDeviation": math.fsum((value - mean) ** 2 for value in values),
        "bucketOptions": options,
        "bucketCounts": [str(count) for count in counts],
    }


def _bounds(options: dict[str, Any]) -> list[float]:
    """The boundaries of buckets (discovery document, BucketOptions)."""
    if explicit := options.get("explicitBuckets"):
        return [float(bound) for bound in explicit["bounds"]]
    if linear := options.get("linearBuckets"):
        offset, width = float(linear.get("offset", 0)), float(linear["width"])
        return [offset + width * index for index in range(int(linear["numFiniteBuckets"]) + 1)]
    exponential = options["exponentialBuckets"]
    scale, growth = float(exponential["scale"]), float(exponential["growthFactor"])
    return [scale * growth**index for index in range(int(exponential["numFiniteBuckets"]) + 1)]
