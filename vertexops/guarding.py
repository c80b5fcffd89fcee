"""Whether a canary may have more traffic: judged by what Cloud Monitoring has of it and of the
version that it is to take over from.

Requests and errors come from `response_count`, by which the alerts go too: `prediction_count`
counts each instance of a request (docs vertex-ai/docs/general/monitoring-metrics), so errors among
it are no share. Samples are shown after minutes (docs monitoring/api/v3/latency-n-retention); a
window has those that are shown by now, of all figures alike.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import urlencode

from pulumi_plugin.kinds import Failure
from pulumi_plugin.values import Props
from vertexops import forms
from vertexops.deployed import same_name
from vertexops.errors import Json

MONITORING = "https://monitoring.googleapis.com/v3"
ONLINE = "aiplatform.googleapis.com/prediction/online/"
DEFAULTS = {
    "windowMinutes": 10,
    "minRequests": 100,
    "errorPercent": 1.0,
    "latencyMs": 0,
    "latencyRatio": 1.5,
    "whenTooFew": "stop",
    "startPercent": 20,
}
AS_IT_WAS = (
    "Nothing was deployed, and all traffic is as it was. A percent of 0 takes it from the canary."
)
STOP, GO = "stop", "go"
RANGES = {
    "windowMinutes": (1, 1440),
    "minRequests": (1, math.inf),
    "errorPercent": (0, 100),
    "latencyMs": (0, math.inf),
    "latencyRatio": (0, math.inf),
    "startPercent": (0, 100),
}


@dataclass(frozen=True)
class Figures:
    """What a deployed model did in the window."""

    requests: int = 0
    errors: int = 0
    p95_ms: float | None = None

    @property
    def error_percent(self) -> float:
        return 100 * self.errors / self.requests if self.requests else 0.0

    def __str__(self) -> str:
        slow = "" if self.p95_ms is None else f", 95 % took up to {self.p95_ms:.0f} ms"
        return f"{self.requests:,} requests, {self.error_percent:.3g} % failed{slow}"


@dataclass(frozen=True)
class Growth:
    """A canary whose share of its model's traffic is to grow, from and to a number of percent."""

    canary: str
    predecessor: str
    before: float
    after: float

    def __str__(self) -> str:
        """Follows what is said of the canary: it grows, or it does not grow…"""
        return f"from {self.before:.3g} % to {self.after:.3g} % of its model's traffic"


class Verdict(NamedTuple):
    """What is said of a canary: that it stops the rollout, or goes on, with or without doubt."""

    said: str
    stops: bool = False
    doubtful: bool = False


def check(inputs: Props) -> list[Failure]:
    """What is wrong with the canaries of a rollout, and with what they are held to."""
    guard, failures = inputs.get("canaryGuard"), list[Failure]()
    if isinstance(guard, dict):
        for key, allowed in RANGES.items():
            failures += forms.within(guard.get(key), allowed, f"canaryGuard.{key}")
        then = guard.get("whenTooFew")
        if isinstance(then, str) and then not in (STOP, GO):
            said = f"is {then!r}, not {STOP} or {GO}"
            failures.append(Failure("canaryGuard.whenTooFew", said))
    canaries, models = inputs.get("canaries"), inputs.get("models")
    if isinstance(canaries, list) and isinstance(models, list):
        names = [model.get("model") for model in models if isinstance(model, dict)]
        known = all(isinstance(name, str) for name in names)
        for i, pair in enumerate(canaries):
            for key in ("model", "predecessor"):
                name = pair.get(key) if isinstance(pair, dict) else None
                if known and isinstance(name, str) and name not in names:
                    failures.append(
                        Failure(f"canaries[{i}].{key}", f"is none of the models: {name}")
                    )
    return failures


def growing(inputs: Props, before: Props, found: Mapping[str, Props]) -> list[Growth]:
    """The canaries of `inputs` that are to get a larger share of their model's traffic than they
    have on the endpoint, and those of `before` that are no canaries any more.

    A model without traffic so far has none that could come to harm.
    """
    pairs = {
        pair["model"]: pair["predecessor"]
        for given in (before, inputs)
        for pair in given.get("canaries", ())
    }
    grown = []
    for canary, predecessor in pairs.items():
        was, then = _share(canary, found.values()), _share(canary, inputs["models"])
        if was is not None and then is not None and then > was:
            grown.append(Growth(canary, predecessor, was, then))
    return grown


def _share(version: str, models: Iterable[Props]) -> float | None:
    """Percent of the traffic of its model's versions; None where these have none."""
    model, own, whole = version.partition("@")[0], 0, 0
    for other in models:
        if same_name(model, other["model"].partition("@")[0]):
            whole += other["traffic"]
            own += other["traffic"] if same_name(version, other["model"]) else 0
    return 100 * own / whole if whole else None


def too_early(growth: Growth, inputs: Props) -> str:
    """Why a canary cannot be measured for what it is to get, and what to do; empty if it can."""
    start, name = limits(inputs)["startPercent"], _leaf(growth.canary)
    if all(pair["model"] != growth.canary for pair in inputs.get("canaries", ())):
        if growth.before:
            return (
                f"{name} does not grow {growth} by not being a canary any more: set its percent to "
                "100 first, which is measured, and take `canary` out once that went through"
            )
    elif not growth.before and growth.after > start:
        return (
            f"{name} does not grow {growth}: without traffic nothing of it can be measured, and "
            f"canaryGuard.startPercent lets it begin with {start} %. Set percent to that or less, "
            "and to more once there is something to measure"
        )
    return ""


def judge(growth: Growth, canary: Figures, predecessor: Figures, inputs: Props) -> Verdict:
    """What comes of a canary that has been measured."""
    held, name, other = limits(inputs), _leaf(growth.canary), _leaf(growth.predecessor)
    minutes, ratio = held["windowMinutes"], held["latencyRatio"]
    compared = {name: canary, **({other: predecessor} if ratio else {})}
    if few := _too_few(compared, held):
        said = f"{few}: too little to judge by. canaryGuard.whenTooFew is {held['whenTooFew']}"
        if held["whenTooFew"] == GO:
            return Verdict(f"{name} grows {growth} all the same: {said}", doubtful=True)
        return Verdict(f"{name} does not grow {growth}: {said}", stops=True)
    slow, usual = canary.p95_ms or 0.0, predecessor.p95_ms or 0.0
    took = f"95 % of its answers took up to {slow:.0f} ms"
    above = ""
    if canary.error_percent > held["errorPercent"]:
        above = f"{canary.error_percent:.3g} % of its requests failed, above "
        above += f"canaryGuard.errorPercent, {held['errorPercent']:g} %"
    elif held["latencyMs"] and slow > held["latencyMs"]:
        above = f"{took}, above canaryGuard.latencyMs, {held['latencyMs']:g} ms"
    elif ratio and slow > ratio * usual:
        above = f"{took}, above canaryGuard.latencyRatio, {ratio:g} times the {usual:.0f} ms of "
        above += other
    seen = f"In the last {minutes} min it had {canary}; {other} had {predecessor}"
    if above:
        return Verdict(f"{name} does not grow {growth}: {above}. {seen}", stops=True)
    return Verdict(f"{name} grows {growth}. {seen}")


def _too_few(compared: Mapping[str, Figures], held: Props) -> str:
    """Whose figures do not say enough, by name; empty if all do."""
    minutes, least = held["windowMinutes"], held["minRequests"]
    few = [
        f"{of} had {it.requests:,} requests" for of, it in compared.items() if it.requests < least
    ]
    if few:
        said = f"{' and '.join(few)} in the last {minutes} min"
        return f"{said}, and canaryGuard.minRequests is {least:,}"
    if held["latencyMs"] or held["latencyRatio"]:
        untimed = [of for of, it in compared.items() if it.p95_ms is None]
        if untimed:
            return f"of {' and '.join(untimed)} no latencies are shown for the last {minutes} min"
    return ""


def of_version(version: str, found: Mapping[str, Props], figures: Mapping[str, Figures]) -> Figures:
    """The figures of a version, wherever on the endpoint it is deployed."""
    ids = [id for id, there in found.items() if same_name(version, there["model"])]
    own = [figures[id] for id in ids if id in figures]
    slow = [it.p95_ms for it in own if it.p95_ms is not None]
    return Figures(
        sum(it.requests for it in own), sum(it.errors for it in own), max(slow, default=None)
    )


def limits(inputs: Props) -> Props:
    """What the canaries of a rollout are held to."""
    given: Props = inputs.get("canaryGuard", {})
    return DEFAULTS | given


def _leaf(version: str) -> str:
    return version.rpartition("/")[2]


def measured(
    read: Callable[[str], Json], endpoint: str, minutes: int, now: float
) -> dict[str, Figures]:
    """What each deployed model of an endpoint did in the last minutes, by its id.

    `read` gives the JSON at an address; `now` is in Unix seconds.
    """
    requests: dict[str, int] = {}
    errors: dict[str, int] = {}
    for series in _series(read, endpoint, "response_count", "", "ALIGN_DELTA", minutes, now):
        labels = series["metric"]["labels"]
        id, count = labels["deployed_model_id"], int(sum(_values(series)))
        requests[id] = requests.get(id, 0) + count
        if labels["response_code"] != "2xx":
            errors[id] = errors.get(id, 0) + count
    slow: dict[str, float] = {}
    total = ' AND metric.labels.latency_type="total"'
    how = "ALIGN_PERCENTILE_95"
    for series in _series(read, endpoint, "prediction_latencies", total, how, minutes, now):
        id = series["metric"]["labels"]["deployed_model_id"]
        slow[id] = max([slow.get(id, 0.0), *_values(series)])
    return {id: Figures(count, errors.get(id, 0), slow.get(id)) for id, count in requests.items()}


def _series(
    read: Callable[[str], Json],
    endpoint: str,
    metric: str,
    which: str,
    aligner: str,
    minutes: int,
    now: float,
) -> list[Any]:
    """The time series of an endpoint's metric, each aligned to one point of the whole window."""
    parts = forms.ENDPOINT.parse(endpoint)
    params = {
        "filter": (
            f'metric.type="{ONLINE}{metric}" AND '
            'resource.type="aiplatform.googleapis.com/Endpoint" AND '
            f'resource.labels.location="{parts["location"]}" AND '
            f'resource.labels.endpoint_id="{parts["id"]}"{which}'
        ),
        "interval.startTime": rfc3339(now - 60 * minutes),
        "interval.endTime": rfc3339(now),
        "aggregation.alignmentPeriod": f"{60 * minutes}s",
        "aggregation.perSeriesAligner": aligner,
    }
    found: list[Any] = []
    page = ""
    while True:
        more = {"pageToken": page} if page else {}
        at = f"{MONITORING}/projects/{parts['project']}/timeSeries?{urlencode(params | more)}"
        answer = read(at)
        found += answer.get("timeSeries", ())
        page = answer.get("nextPageToken", "")
        if not page:
            return found


def _values(series: Any) -> list[float]:
    """Its points, as numbers: counts are texts in JSON."""
    values = (point["value"] for point in series.get("points", ()))
    return [float(value.get("int64Value", value.get("doubleValue", 0))) for value in values]


def rfc3339(moment: float) -> str:
    """Unix seconds as a time in UTC, to the second."""
    return datetime.fromtimestamp(int(moment), UTC).isoformat().replace("+00:00", "Z")
