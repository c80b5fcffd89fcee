"""What the conditions of an alert policy say at each full minute of the cloud's clock.

Facts: discovery document, `MetricThreshold`, `MetricAbsence` and `Aggregation`; docs
monitoring/alerts/concepts-indepth (windows that slide by a minute, missing data) and
stackdriver/docs/solutions/slo-monitoring/alerting-on-budget-burn-rate (burn rate: the share of bad
requests in the lookback over the share that the objective allows). Inferred: a ratio has a value
where both sides have one and the lower one is not 0.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import accumulate
from typing import Any

from simulator.api.errors import ApiError
from simulator.api.filters import Compare, matches, parse
from simulator.core.cloud import Cloud
from simulator.core.platform import Containers
from simulator.services.logging.metrics import PREFIX as LOG_BASED
from simulator.services.monitoring.aggregation import (
    MINUTE,
    Aggregation,
    Series,
    aligned,
    check_aggregation,
    gathered,
    reduced,
)
from simulator.services.monitoring.descriptors import Metric, chosen, selector
from simulator.services.monitoring.sources import samples
from simulator.services.monitoring.state import Info, Key, Monitoring
from simulator.services.monitoring.timeseries import fits

NO_MISSING = "EVALUATION_MISSING_DATA_NO_OP"
BURN_RATE = "select_slo_burn_rate"


@dataclass(slots=True)
class Recorded:
    """The series of a metric, with their points of the minutes up to `upto`."""

    upto: float = 0.0
    series: dict[Key, Series] = field(default_factory=dict)


class NotEvaluated(Exception):
    """What this cloud cannot tell of a condition; the message says why."""


Values = dict[Key, float]


@dataclass(frozen=True, slots=True)
class Rule:
    """One condition, ready to be judged: its values by minute, and when they are a violation.

    `duration` and what of missing data: see `MetricThreshold`. An `absent` one is violated by
    series that had values and have none.
    """

    values: Callable[[Sequence[float]], list[Values]]
    violates: Callable[[float], bool]
    duration: float
    missing: str
    trigger: Info
    absent: bool = False


def rule(cloud: Cloud, project: str, condition: Info) -> Rule:
    """Raises NotEvaluated."""
    for kind in ("conditionThreshold", "conditionAbsent"):
        if kind in condition:
            try:
                return _rule(cloud, project, condition[kind], absent=kind == "conditionAbsent")
            except ApiError as error:
                raise NotEvaluated(error.message) from None
    kind = next((name for name in condition if name.startswith("condition")), "no kind")
    raise NotEvaluated(f"{kind} is not evaluated by this simulator")


def _rule(cloud: Cloud, project: str, given: Info, *, absent: bool) -> Rule:
    if "forecastOptions" in given:
        raise NotEvaluated("forecasts are not evaluated by this simulator")
    values = _burn_rates(cloud, given["filter"]) or _of_series(
        cloud, project, given["filter"], given.get("aggregations", ())
    )
    if lower := given.get("denominatorFilter"):
        under = _of_series(cloud, project, lower, given.get("denominatorAggregations", ()))
        values = partial(_ratios, values, under)
    threshold = float(given.get("thresholdValue", 0))
    above = given.get("comparison") == "COMPARISON_GT"
    missing = given.get("evaluationMissingData", NO_MISSING)
    return Rule(
        values,
        lambda value: value > threshold if above else value < threshold,
        float(given.get("duration", "0s").rstrip("s")),
        NO_MISSING if missing.endswith("UNSPECIFIED") else missing,
        given.get("trigger", {}),
        absent,
    )


# Time series


def _of_series(
    cloud: Cloud, project: str, text: str, aggregations: Sequence[Info]
) -> Callable[[Sequence[float]], list[Values]]:
    metric = chosen(cloud, project, selector(text))
    if metric is None:
        raise NotEvaluated(f"this simulator has no metric as in {text}")
    if len(aggregations) > 1:
        raise NotEvaluated("a second aggregation is not evaluated by this simulator")
    how = check_aggregation("aggregations[0]", dict(*aggregations), metric)
    if how.aligner == "ALIGN_NONE":
        if metric.value == "DISTRIBUTION":
            raise NotEvaluated("a distribution is compared with a number only once it is aligned")
        how = replace(how, period=float(MINUTE))

    def values(minutes: Sequence[float]) -> list[Values]:
        found = _series(cloud, project, text, minutes[0] - how.period, minutes[-1])
        ends = [sorted(series.points) for series in found]
        return [
            dict(_at(metric.type, found, ends, how, minute)) if found else {} for minute in minutes
        ]

    return values


def _series(cloud: Cloud, project: str, text: str, start: float, end: float) -> list[Series]:
    """With points by the minute, of what a filter chooses."""
    node = selector(text)
    metric = chosen(cloud, project, node)
    assert metric is not None, "what is judged was chosen before"
    if metric.kind == "DELTA" and not metric.type.startswith(LOG_BASED):
        found = _recorded(cloud, project, metric, end)
    else:
        found = gathered(metric, samples(cloud, project, metric.type, start, end), end)
    return [item for item in found if matches(node, partial(fits, cloud, project, metric, item))]


def _recorded(cloud: Cloud, project: str, metric: Metric, end: float) -> list[Series]:
    """All series of a metric up to `end`. A minute that is over stays as it was: it is gathered
    once, for all conditions that are about the metric."""
    kept = cloud[Monitoring].recorded.setdefault((project, metric.type), Recorded())
    new = samples(cloud, project, metric.type, kept.upto, end)
    for series in gathered(metric, (it for it in new if it.time > kept.upto), end):
        key = _key(metric.type, series)
        if key in kept.series:
            kept.series[key].points.update(series.points)
        else:
            kept.series[key] = series
    kept.upto = max(kept.upto, end)
    return list(kept.series.values())


def _at(
    metric: str, found: list[Series], ends: list[list[float]], how: Aggregation, minute: float
) -> Iterator[tuple[Key, float]]:
    """What the series are at a minute, aligned over the period before it and reduced."""
    there = []
    for series, at in zip(found, ends, strict=True):
        first, last = bisect_right(at, minute - how.period), bisect_right(at, minute)
        if first < last:
            points = {end: series.points[end] for end in at[first:last]}
            there.append(aligned(replace(series, points=points), how, minute))
    for series in reduced(there, how) if there else ():
        _, value = series.points[max(series.points)]
        if isinstance(value, list):
            raise NotEvaluated("a distribution is compared with a number only once it is aligned")
        yield _key(metric, series), value


def _key(metric: str, series: Series) -> Key:
    labels = tuple(sorted(series.metric_labels.items()))
    return Key(metric, labels, series.resource, tuple(sorted(series.resource_labels.items())))


def _ratios(
    upper: Callable[[Sequence[float]], list[Values]],
    lower: Callable[[Sequence[float]], list[Values]],
    minutes: Sequence[float],
) -> list[Values]:
    found = []
    for above, under in zip(upper(minutes), lower(minutes), strict=True):
        below = {key[1:]: value for key, value in under.items() if value}
        found.append({k: value / below[k[1:]] for k, value in above.items() if k[1:] in below})
    return found


# Service level objectives


def _burn_rates(cloud: Cloud, text: str) -> Callable[[Sequence[float]], list[Values]] | None:
    """None for a filter that is about time series."""
    node = parse(text)
    if not isinstance(node, Compare) or node.path or not node.value.function:
        return None
    if node.value.function != BURN_RATE:
        raise NotEvaluated(f"{node.value.function} is not evaluated by this simulator")
    named, lookback = (argument.text for argument in node.value.arguments)
    _, reference, rest = named.split("/", 2)
    project = cloud[Containers].id(reference)
    slo = cloud[Monitoring].slos.get(f"projects/{project}/{rest}")
    if slo is None:
        raise NotEvaluated(f"there is no {named}")
    window = _seconds(lookback)
    counted = _bad_and_total(cloud, project, slo["serviceLevelIndicator"])
    allowed = 1 - float(slo["goal"])
    place = (("project_id", project),)
    key = Key(BURN_RATE, (("slo", rest.rpartition("/")[2]),), "global", place)

    def values(minutes: Sequence[float]) -> list[Values]:
        bad, total = counted(minutes[0] - window, minutes[-1])
        found: list[Values] = []
        for minute in minutes:
            every = total(minute - window, minute)
            rate = bad(minute - window, minute) / every / allowed if every else 0.0
            found.append({key: rate} if every else {})
        return found

    return values


def _seconds(text: str) -> float:
    units = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
    if text[-1:] not in units or not text[:-1].isdigit():
        raise NotEvaluated(f"the lookback {text} is none such as 3600s or 60m")
    return float(text[:-1]) * units[text[-1]]


Counted = Callable[[float, float], float]
"""How much there was after one time, up to another."""


def _bad_and_total(
    cloud: Cloud, project: str, indicator: Info
) -> Callable[[float, float], tuple[Counted, Counted]]:
    request = indicator.get("requestBased", {})
    if ratio := request.get("goodTotalRatio"):
        names = ("goodServiceFilter", "badServiceFilter", "totalServiceFilter")

        def by_filters(start: float, end: float) -> tuple[Counted, Counted]:
            good, bad, total = (
                _sums(cloud, project, ratio[name], start, end) if ratio.get(name) else None
                for name in names
            )
            if good and bad:
                return bad, lambda a, b: good(a, b) + bad(a, b)
            assert total is not None, "an objective has two of the three"
            return bad or (lambda a, b: total(a, b) - (good(a, b) if good else 0.0)), total

        for name in names:
            if ratio.get(name) and chosen(cloud, project, selector(ratio[name])) is None:
                raise NotEvaluated(f"this simulator has no metric as in {ratio[name]}")
        return by_filters
    if cut := request.get("distributionCut"):
        least, most = (
            float(cut["range"].get(name, otherwise))
            for name, otherwise in (("min", "-inf"), ("max", "inf"))
        )

        def by_values(start: float, end: float) -> tuple[Counted, Counted]:
            text = cut["distributionFilter"]
            outside = _sums(
                cloud, project, text, start, end, lambda value: not least <= value < most
            )
            return outside, _sums(cloud, project, text, start, end, lambda value: True)

        return by_values
    raise NotEvaluated("only request-based objectives are evaluated by this simulator")


def _sums(
    cloud: Cloud,
    project: str,
    text: str,
    start: float,
    end: float,
    counts: Callable[[float], bool] | None = None,
) -> Counted:
    """Sums of what a filter chooses; of a distribution, how many of its values `counts`."""
    by_minute: dict[float, float] = {}
    for series in _series(cloud, project, text, start, end):
        for at, (_, value) in series.points.items():
            given = value if isinstance(value, list) else [value]
            more = sum(map(counts, given)) if counts else sum(given)
            by_minute[at] = by_minute.get(at, 0.0) + more
    ends = sorted(by_minute)
    upto = [0.0, *accumulate(by_minute[at] for at in ends)]
    return lambda after, last: upto[bisect_right(ends, last)] - upto[bisect_right(ends, after)]


def plain(condition: Info) -> dict[str, Any]:
    """The part of a condition that says what is compared; empty for one of a log."""
    kinds = ("conditionThreshold", "conditionAbsent")
    return next((condition[kind] for kind in kinds if kind in condition), {})
