"""The dashboard: one chart for each thing that an alert is about."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from components.alerts import TOTAL, of_endpoint, of_subscriptions, routes, scaling
from components.settings import Settings

DENIALS: Final = "denied-permissions"
"""The log-based metric of denials."""


def dashboard(settings: Settings) -> str:
    """JSON of a Dashboard, v1."""
    return json.dumps(
        {
            "displayName": "Predictive maintenance",
            "gridLayout": {"columns": "2", "widgets": list(_charts(settings))},
        }
    )


def _charts(settings: Settings) -> Iterator[dict[str, Any]]:
    answers = of_endpoint(settings, "response_count")
    yield _chart(
        "Answers a second, by code",
        "answers/s",
        _line(answers, "RATE", "metric.labels.response_code"),
    )
    latencies = of_endpoint(settings, "prediction_latencies", TOTAL)
    yield _chart(
        "Milliseconds until the answer: half, and 95 %",
        "ms",
        _line(latencies, "PERCENTILE_50"),
        _line(latencies, "PERCENTILE_95"),
        alert=settings.alerts.latency_ms,
        scale="LOG10",  # what is slow is so by orders of magnitude
    )
    yield _chart(
        "Replicas of each model",
        "replicas",
        _line(of_endpoint(settings, "replicas"), "MAX"),
        # A line has no model's name: where each has another, there is none.
        alert=most[0] if len(most := list(scaling(settings))) == 1 else None,
    )
    denials = f'metric.type="logging.googleapis.com/user/{settings.named(DENIALS)}"'
    yield _chart(
        "Denials, by service", "denials/min", _line(denials, "DELTA", "metric.labels.service")
    )
    if routes(settings):
        for title, unit, metric, aligner, alert in (
            (
                "Seconds that the oldest reading has waited",
                "s",
                "oldest_unacked_message_age",
                "MAX",
                settings.alerts.undelivered_minutes * 60,
            ),
            ("Readings that wait", "readings", "num_undelivered_messages", "MAX", None),
            ("Dead letters", "readings/min", "dead_letter_message_count", "DELTA", None),
        ):
            line = _line(of_subscriptions(settings, metric), aligner)
            yield _chart(title, unit, line, alert=alert)


def _chart(
    title: str,
    unit: str,
    *lines: dict[str, Any],
    alert: float | None = None,
    scale: str = "LINEAR",
) -> dict[str, Any]:
    """A widget; `alert` is the value above which one is raised, in `unit`."""
    chart: dict[str, Any] = {"dataSets": list(lines), "yAxis": {"label": unit, "scale": scale}}
    if alert is not None:
        chart["thresholds"] = [{"value": alert, "label": "alert", "targetAxis": "Y1"}]
    return {"title": title, "xyChart": chart}


def _line(text: str, aligner: str, *group_by: str) -> dict[str, Any]:
    how: dict[str, Any] = {"alignmentPeriod": "60s", "perSeriesAligner": f"ALIGN_{aligner}"}
    if group_by:
        how |= {"crossSeriesReducer": "REDUCE_SUM", "groupByFields": list(group_by)}
    chosen = {"timeSeriesFilter": {"filter": text, "aggregation": how}}
    return {"plotType": "LINE", "timeSeriesQuery": chosen}
