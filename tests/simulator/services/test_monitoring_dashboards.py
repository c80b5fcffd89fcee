"""Dashboards."""

from __future__ import annotations

from tests.simulator.support.observe import (
    PARENT,
    ask,
    done,
    leaf,
    refused,
)
from tests.simulator.support.service import NUMBER, Sandbox

DASHBOARDS = f"https://monitoring.googleapis.com/v1/{PARENT}/dashboards"


def test_a_dashboard_is_replaced_only_by_who_has_seen_its_latest_state(sandbox: Sandbox) -> None:
    """http-logs/monitoring-dashboard.log: the number in the name, a style and an axis added."""
    widgets = [
        {"text": {"content": "hi", "format": "MARKDOWN"}},
        {"xyChart": {"dataSets": [{"plotType": "LINE", "timeSeriesQuery": {}}]}},
    ]
    body = {"displayName": "pm", "gridLayout": {"widgets": widgets}}
    made = done(sandbox, "POST", DASHBOARDS, body)
    assert made["name"] == f"projects/{NUMBER}/dashboards/{leaf(made['name'])}"
    shown = made["gridLayout"]["widgets"]
    assert shown[0]["text"] == widgets[0]["text"] | {"style": {}}
    assert shown[1]["xyChart"]["dataSets"][0]["targetAxis"] == "Y1"
    url = f"https://monitoring.googleapis.com/v1/{made['name']}"
    assert done(sandbox, "GET", url) == made

    changed = done(sandbox, "PATCH", url, {"displayName": "pm 2", "etag": made["etag"]})
    assert changed["etag"] != made["etag"]
    assert "gridLayout" not in changed
    status, answer = ask(sandbox, "PATCH", url, {"displayName": "pm 3", "etag": made["etag"]})
    assert (status, answer["error"]["status"]) == (409, "ABORTED")
    assert done(sandbox, "PATCH", url, {"displayName": "pm 4"})["displayName"] == "pm 4"
    assert done(sandbox, "DELETE", url) == {}
    assert refused(sandbox, "GET", url) == (404, "Requested entity was not found.")


def test_a_dashboard_can_be_named_and_only_validated(sandbox: Sandbox) -> None:
    body = {"name": f"{PARENT}/dashboards/mine", "displayName": "pm"}
    preview = done(sandbox, "POST", DASHBOARDS, body, validateOnly="true")
    assert preview["name"] == f"projects/{NUMBER}/dashboards/mine"
    assert "dashboards" not in done(sandbox, "GET", DASHBOARDS)
    done(sandbox, "POST", DASHBOARDS, body)
    assert refused(sandbox, "POST", DASHBOARDS, body)[0] == 409
    assert len(done(sandbox, "GET", DASHBOARDS)["dashboards"]) == 1
    other = body | {"name": "projects/iot-training/dashboards/mine"}
    assert refused(sandbox, "POST", DASHBOARDS, other)[0] == 400
    assert refused(sandbox, "POST", DASHBOARDS, {})[0] == 400
    layouts = {"displayName": "x", "gridLayout": {}, "rowLayout": {}}
    assert "one layout" in refused(sandbox, "POST", DASHBOARDS, layouts)[1]
