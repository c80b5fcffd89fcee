"""The stack's dashboard, an incident and its autoscaling, drawn from what Monitoring answers."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from components.alerts import ALERTS, of_endpoint
from rehearsal import telemetry
from rehearsal.environment import ONCALL
from rehearsal.plots import Chart, Line, write
from rehearsal.report import Stage, StageFailed
from rehearsal.run import Rehearsal
from rehearsal.sandbox import Google
from rehearsal.watching import HOUR, MINUTE, MONITORING, TITLES, charts, incidents, time_series
from rehearsal.workloads import CLIENTS, predictor

SHOWN: Final = next(alert.title for alert in ALERTS if alert.name == "undelivered")
"""The incident that is drawn: what it is about is seen to grow."""

BEFORE: Final = 30
"""Minutes that are shown before trouble begins."""

TENTHS: Final = (9, 27, 9, 0)
"""Requests, by those that one replica is to get: nearly as many, three times that, and none."""

EACH: Final = 10
"""Minutes of each rate."""

NAMES: Final = ("response_code", "service", "model_display_name", "subscription_id")
"""Labels of a series that say which it is."""

COUNTED: Final = ("ALIGN_RATE", "ALIGN_DELTA")
"""Where there is no point of these, there was nothing to count; of others it is not known."""


def draw(run: Rehearsal, stage: Stage) -> None:
    """Write dashboard.svg and incident.svg, and autoscaling.svg where requests add replicas."""
    if not (run.watches and run.routes):
        raise StageFailed("nothing to draw: the stack has no `alerts`, or routes no telemetry")
    folder, oncall = Path(run.options.pictures), run.sandbox.google(ONCALL)
    folder.mkdir(parents=True, exist_ok=True)
    stage.note, since = f"in {folder}", "minutes since trouble began"
    began, incident = _incident(run, oncall)
    write([incident], folder / "incident.svg", since, columns=1)
    settings = run.environment.settings
    target = settings.autoscaling.requests_per_minute
    if target and settings.max_replicas > settings.min_replicas:
        tripled = _rush(run, target)
        scaled = [_chart(run, oncall, it, tripled, _now(run)) for it in _scaling(run, oncall)]
        least, lines = settings.min_replicas, scaled[1].lines
        most, left = max(max(it.values) for it in lines), max(it.values[-1] for it in lines)
        if not most > left == least:
            raise StageFailed(f"there were {most:g} replicas at most, and {left:g} are left")
        write(scaled, folder / "autoscaling.svg", "minutes since telemetry tripled", columns=1)
        stage.note += f"; {most:g} replicas at three times the rate, then {left:g}"
    shown = [_chart(run, oncall, it, began, _now(run)) for it in charts(run, oncall)]
    write(shown, folder / "dashboard.svg", since, columns=2)


def _now(run: Rehearsal) -> float:
    return float(run.sandbox.control("GET", "/clock")["now"])


def _rush(run: Rehearsal, target: int) -> float:
    """Ask as TENTHS says; when the rate tripled."""
    ask, started = predictor(run), []
    with ThreadPoolExecutor(CLIENTS) as pool:
        for tenths in TENTHS:
            started.append(_now(run))
            readings = telemetry.unseen(max(1, target * tenths // 10))[0] if tenths else []
            for _ in range(EACH):
                list(pool.map(lambda reading: ask([reading]), readings))
                run.sandbox.wait(MINUTE)
    run.sandbox.renew()
    return started[1]


def _scaling(run: Rehearsal, oncall: Google) -> list[Any]:
    """A widget of what replicas follow, and the dashboard's of replicas."""
    settings = run.environment.settings
    how = {"alignmentPeriod": "60s", "perSeriesAligner": "ALIGN_DELTA"}
    how["crossSeriesReducer"] = "REDUCE_SUM"
    asked = {"filter": of_endpoint(settings, "response_count"), "aggregation": how}
    replicas = of_endpoint(settings, "replicas")
    return [
        _widget("Requests a minute", "requests/min", asked),
        *(it for it in charts(run, oncall) if _queries(it)[0]["filter"] == replicas),
    ]


def _incident(run: Rehearsal, oncall: Google) -> tuple[float, Chart]:
    """When the trouble began that the newest incident was of, and that incident."""
    found = [it for it in incidents(run, oncall) if it["policy"]["displayName"] in TITLES]
    of_it = [it for it in found if it["policy"]["displayName"] == SHOWN and "closeTime" in it]
    if not of_it:
        raise StageFailed(f"nothing to draw: there was no incident of {SHOWN!r} yet")
    shown = max(of_it, key=lambda it: it["openTime"])
    opened, closed = _moment(shown["openTime"]), _moment(shown["closeTime"])
    began = min(at for it in found if opened - HOUR < (at := _moment(it["openTime"])))
    policy = oncall.call("GET", f"{MONITORING}/v3/{shown['policy']['name']}")
    condition = policy["conditions"][0]["conditionThreshold"]
    query = {"filter": condition["filter"], "aggregation": condition["aggregations"][0]}
    widget = _widget(f"{SHOWN} ({policy['severity']})", "seconds", query)
    widget["xyChart"]["thresholds"] = [{"value": condition["thresholdValue"]}]
    marks = [((opened - began) / MINUTE, "opened"), ((closed - began) / MINUTE, "closed")]
    text = policy["documentation"]["content"].partition("\n")[0].replace("**", "").replace("`", "")
    drawn = _chart(run, oncall, widget, began, closed + BEFORE * MINUTE)
    return began, replace(drawn, marks=marks, text=text)


def _moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def _widget(title: str, unit: str, query: Any) -> dict[str, Any]:
    data_set = {"timeSeriesQuery": {"timeSeriesFilter": query}}
    axis = {"label": unit, "scale": "LINEAR"}
    return {"title": title, "xyChart": {"dataSets": [data_set], "yAxis": axis}}


def _queries(widget: Any) -> list[Any]:
    sets = widget["xyChart"]["dataSets"]
    return [data["timeSeriesQuery"]["timeSeriesFilter"] for data in sets]


def _chart(run: Rehearsal, who: Google, widget: Any, began: float, until: float) -> Chart:
    """What a widget shows from BEFORE `began` on, with time counted from there."""
    minutes = round((until - began) / MINUTE) + BEFORE
    lines = []
    for query in _queries(widget):
        answer = time_series(run, who, query, until - minutes * MINUTE, until)
        lines += [line(it, query, minutes, until) for it in answer.get("timeSeries", ())]
    xy = widget["xyChart"]
    unit, limits = xy["yAxis"]["label"], [it["value"] for it in xy.get("thresholds", ())]
    return Chart(
        widget["title"],
        unit,
        lines,
        (until - began) / MINUTE - minutes + 1,
        limits[0] if limits else None,
        "log" if xy["yAxis"]["scale"] == "LOG10" else "linear",
    )


def line(series: Any, query: Any, minutes: int, until: float) -> Line:
    """One of timeSeries.list's series in the `minutes` up to `until`, Unix seconds."""
    aligner = query["aggregation"]["perSeriesAligner"]
    values = [0.0 if aligner in COUNTED else math.nan] * minutes
    for point in series["points"]:
        ago = round((until - _moment(point["interval"]["endTime"])) / MINUTE)
        values[minutes - 1 - ago] = float(next(iter(point["value"].values())))
    labels = {**series["resource"].get("labels", {}), **series["metric"].get("labels", {})}
    name = [labels[key] for key in NAMES if key in labels]
    if "PERCENTILE" in aligner:
        name.append(f"{aligner.rpartition('_')[2]} %")
    return Line(", ".join(name), values)
