"""Time series from samples: alignment in time, and reduction across series.

Facts: discovery document, `Aggregation`. Unlike Google, which fills periods without data by
interpolation, such periods have no point here, and percentiles come from the values themselves
rather than from a histogram. The kind of a series after ALIGN_SUM is an inference.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from simulator.api.errors import invalid, unimplemented
from simulator.api.filters import parse_value
from simulator.services.logging.samples import Sample
from simulator.services.monitoring.descriptors import Metric
from simulator.services.monitoring.state import bad_field

# A number, or the values of a distribution.
Value = float | list[float]
Labels = dict[str, str]
MINUTE, MONTHS = 60, 104 * 7 * 86_400
NUMERIC = ("INT64", "DOUBLE")
ANY = (*NUMERIC, "DISTRIBUTION")


@dataclass(slots=True)
class Series:
    """Points are by their end, with their start and value."""

    metric_labels: Labels
    resource: str
    resource_labels: Labels
    kind: str
    value: str
    points: dict[float, tuple[float, Value]] = field(default_factory=dict)


def _flat(values: Iterable[Value]) -> list[float]:
    return [
        number for value in values for number in (value if isinstance(value, list) else [value])
    ]


def _sum(values: Sequence[Value]) -> Value:
    return _flat(values) if isinstance(values[0], list) else math.fsum(_flat(values))


def _mean(values: Sequence[Value]) -> float:
    numbers = _flat(values)
    return math.fsum(numbers) / len(numbers)


def percentile(share: int) -> Callable[[Sequence[Value]], float]:
    """Linear between the two nearest values."""

    def of(values: Sequence[Value]) -> float:
        numbers = sorted(_flat(values))
        place = (len(numbers) - 1) * share / 100
        low = math.floor(place)
        high = min(low + 1, len(numbers) - 1)
        return numbers[low] + (numbers[high] - numbers[low]) * (place - low)

    return of


@dataclass(frozen=True, slots=True)
class Way:
    """How values become one: of which kinds and types, and what results ("": the same)."""

    kinds: tuple[str, ...]
    values: tuple[str, ...]
    kind: str
    value: str
    combine: Callable[[Sequence[Value]], Value]


BOTH = ("GAUGE", "DELTA")
ALIGNERS = {
    "ALIGN_DELTA": Way(("DELTA",), ANY, "DELTA", "", _sum),
    "ALIGN_RATE": Way(("DELTA",), NUMERIC, "GAUGE", "DOUBLE", _sum),
    "ALIGN_SUM": Way(BOTH, ANY, "", "", _sum),
    "ALIGN_MEAN": Way(BOTH, NUMERIC, "GAUGE", "DOUBLE", _mean),
    "ALIGN_MIN": Way(BOTH, NUMERIC, "GAUGE", "", lambda values: min(_flat(values))),
    "ALIGN_MAX": Way(BOTH, NUMERIC, "GAUGE", "", lambda values: max(_flat(values))),
    "ALIGN_COUNT": Way(BOTH, NUMERIC, "GAUGE", "INT64", lambda values: float(len(values))),
    **{
        f"ALIGN_PERCENTILE_{share:02}": Way(
            BOTH, ("DISTRIBUTION",), "GAUGE", "DOUBLE", percentile(share)
        )
        for share in (5, 50, 95, 99)
    },
}
REDUCERS = {
    "REDUCE_SUM": Way(BOTH, ANY, "", "", _sum),
    "REDUCE_MEAN": Way(BOTH, ANY, "GAUGE", "DOUBLE", _mean),
    "REDUCE_MIN": Way(BOTH, NUMERIC, "", "", lambda values: min(_flat(values))),
    "REDUCE_MAX": Way(BOTH, NUMERIC, "", "", lambda values: max(_flat(values))),
    "REDUCE_COUNT": Way(BOTH, ANY, "GAUGE", "INT64", lambda values: float(len(values))),
    **{
        f"REDUCE_PERCENTILE_{share:02}": Way(BOTH, ANY, "GAUGE", "DOUBLE", percentile(share))
        for share in (5, 50, 95, 99)
    },
}


@dataclass(frozen=True, slots=True)
class Aggregation:
    aligner: str
    period: float
    reducer: str
    group_by: tuple[tuple[str, ...], ...]


def check_aggregation(where: str, given: dict[str, Any], metric: Metric | None) -> Aggregation:
    """What is asked for, when the metric allows it; `metric` is None for one not known here."""
    aligner = given.get("perSeriesAligner", "ALIGN_NONE")
    reducer = given.get("crossSeriesReducer", "REDUCE_NONE")
    period = re.fullmatch(r"(\d+(?:\.\d+)?)s", given.get("alignmentPeriod", "0s"))
    seconds = float(period[1]) if period else -1.0
    if aligner != "ALIGN_NONE" and not MINUTE <= seconds <= MONTHS:
        raise bad_field(
            f"{where}.alignmentPeriod",
            given.get("alignmentPeriod", ""),
            "The period must be at least 60 seconds, and at most 104 weeks.",
        )
    if reducer != "REDUCE_NONE" and aligner == "ALIGN_NONE":
        raise bad_field(
            f"{where}.perSeriesAligner",
            aligner,
            "A cross-series reducer needs aligned series: set an aligner.",
        )
    group_by = tuple(_group_field(text) for text in given.get("groupByFields", ()))
    way = ALIGNERS.get(aligner)
    if metric and way and (metric.kind not in way.kinds or metric.value not in way.values):
        # Recorded in a public repository.
        raise bad_field(
            f"{where}.perSeriesAligner",
            aligner,
            f"The aligner cannot be applied to metrics with kind {metric.kind} and value type "
            f"{metric.value}.",
        )
    return Aggregation(aligner, seconds, reducer, group_by)


def _group_field(text: str) -> tuple[str, ...]:
    """("metric", key), ("resource", key), ("project",), ("metric", "")… for the type."""
    path = parse_value(text).path
    if path in (("project",), ("resource", "type"), ("metric", "type")):
        return path[:1] if path == ("project",) else (path[0], "")
    if len(path) == 3 and path[0] in ("metric", "resource") and path[1] in ("label", "labels"):
        return (path[0], path[2])
    if path[:1] == ("metadata",):
        raise unimplemented("Grouping by metadata")
    raise invalid(f"{text} is no field to group by.")


def gathered(metric: Metric, samples: Iterable[Sample], until: float) -> list[Series]:
    """Series with a point a minute: sums or distributions of a DELTA metric, a gauge as it is.

    Of the minute that `until` is in there is what came up to then.
    """
    found: dict[tuple[Any, ...], Series] = {}
    for sample in samples:
        if sample.time > until:
            continue
        key = (sample.labels, sample.resource, sample.resource_labels)
        series = found.get(key)
        if series is None:
            series = found[key] = Series(
                dict(sample.labels),
                sample.resource,
                dict(sample.resource_labels),
                metric.kind,
                metric.value,
            )
        _add(series, sample, until)
    return [found[key] for key in sorted(found)]


def _add(series: Series, sample: Sample, until: float) -> None:
    if series.kind == "GAUGE":
        series.points[sample.time] = (sample.time, sample.value)
        return
    # (12:00, 12:01]
    start = (math.ceil(sample.time / MINUTE) - 1) * MINUTE
    end = min(start + MINUTE, until)
    before = series.points.get(end, (start, [] if series.value == "DISTRIBUTION" else 0.0))[1]
    value = [*before, sample.value] if isinstance(before, list) else before + sample.value
    series.points[end] = (float(start), value)


def within(series: Series, start: float, end: float) -> Series:
    """What ends after `start`, up to `end`; a time alone is the minute before it."""
    begin = start if start < end else end - MINUTE
    series.points = {at: point for at, point in series.points.items() if begin < at <= end}
    return series


def aligned(series: Series, how: Aggregation, end: float) -> Series:
    """One point for each period that has data; periods are counted back from `end`."""
    if how.aligner == "ALIGN_NONE":
        return series
    way = ALIGNERS.get(how.aligner)
    if way is None:
        raise unimplemented(f"The aligner {how.aligner}")
    periods: dict[float, list[Value]] = {}
    for at in sorted(series.points):
        last = end - math.floor((end - at) / how.period) * how.period
        periods.setdefault(last, []).append(series.points[at][1])
    kind = way.kind or series.kind
    points: dict[float, tuple[float, Value]] = {}
    for last, values in periods.items():
        value = way.combine(values)
        if how.aligner == "ALIGN_RATE" and not isinstance(value, list):
            value /= how.period
        points[last] = (last if kind == "GAUGE" else last - how.period, value)
    return Series(
        series.metric_labels,
        series.resource,
        series.resource_labels,
        kind,
        way.value or series.value,
        points,
    )


def reduced(all_series: list[Series], how: Aggregation) -> list[Series]:
    """One series for each combination of the values that are grouped by."""
    if how.reducer == "REDUCE_NONE" or not all_series:
        return all_series
    way = REDUCERS.get(how.reducer)
    if way is None:
        raise unimplemented(f"The reducer {how.reducer}")
    if all_series[0].value not in way.values:
        raise bad_field(
            "aggregation.crossSeriesReducer",
            how.reducer,
            f"The reducer cannot be applied to value type {all_series[0].value}.",
        )
    groups: dict[tuple[str, ...], list[Series]] = {}
    for series in all_series:
        key = (series.resource, *(_group_value(series, part) for part in how.group_by))
        groups.setdefault(key, []).append(series)
    return [_one(members, how, way) for _, members in sorted(groups.items())]


def _group_value(series: Series, part: tuple[str, ...]) -> str:
    if part in (("project",), ("resource", ""), ("metric", "")):
        return series.resource_labels.get("project_id", "") if part == ("project",) else ""
    labels = series.metric_labels if part[0] == "metric" else series.resource_labels
    return labels.get(part[1], "")


def _one(members: list[Series], how: Aggregation, way: Way) -> Series:
    first, at = members[0], dict[float, list[tuple[float, Value]]]()
    for series in members:
        for end, point in series.points.items():
            at.setdefault(end, []).append(point)
    kind = way.kind or first.kind
    points = {
        end: (end if kind == "GAUGE" else found[0][0], way.combine([value for _, value in found]))
        for end, found in at.items()
    }
    kept = {part for part in how.group_by if len(part) == 2}
    resource_labels = {
        key: value
        for key, value in first.resource_labels.items()
        if ("resource", key) in kept or key == "project_id"
    }
    metric_labels = {k: v for k, v in first.metric_labels.items() if ("metric", k) in kept}
    return Series(
        metric_labels, first.resource, resource_labels, kind, way.value or first.value, points
    )
