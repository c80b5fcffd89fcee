"""The dashboard: one chart for each thing that an alert is about."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from components.alerts import TOTAL, of_endpoint, of_subscriptions, routes
from components.settings import Settings

DENIALS: Final = "denied-permissions"
"""The log-based metric of denials."""


def dashboard(settings: Settings) -> str:
    """JSON of a Dashboard, v1."""
    widgets = [
        {"title": title, "xyChart": {"dataSets": data_sets}}
        for title, data_sets in _charts(settings)
    ]
    return json.dumps(
        {
            "displayName": "Predictive maintenance",
            "gridLayout": {"columns": "2", "widgets": widgets},
        }
    )


def _charts(settings: Settings) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    yield (
        "Answers a second, by code",
        [_line(of_endpoint(settings, "response_count"), "RATE", "metric.labels.response_code")],
    )
    latencies = of_endpoint(settings, "prediction_latencies", TOTAL)
    yield (
        "Milliseconds until the answer: half, and 95 %",
        [_line(latencies, "PERCENTILE_50"), _line(latencies, "PERCENTILE_95")],
    )
    yield "Replicas of each model", [_line(of_endpoint(settings, "replicas"), "MAX")]
    denials = f'metric.type="logging.googleapis.com/user/{DENIALS}"'
    yield "Denials, by service", [_line(denials, "DELTA", "metric.labels.service")]
    if routes(settings):
        for title, metric, aligner in (
            ("Seconds that the oldest reading has waited", "oldest_unacked_message_age", "MAX"),
            ("Readings that wait", "num_undelivered_messages", "MAX"),
            ("Dead letters", "dead_letter_message_count", "DELTA"),
        ):
            yield title, [_line(of_subscriptions(settings, metric), aligner)]


def _line(text: str, aligner: str, *group_by: str) -> dict[str, Any]:
    how: dict[str, Any] = {"alignmentPeriod": "60s", "perSeriesAligner": f"ALIGN_{aligner}"}
    if group_by:
        how |= {"crossSeriesReducer": "REDUCE_SUM", "groupByFields": list(group_by)}
    chosen = {"timeSeriesFilter": {"filter": text, "aggregation": how}}
    return {"plotType": "LINE", "timeSeriesQuery": chosen}
