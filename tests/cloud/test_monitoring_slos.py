"""Dashboards, services and service level objectives."""

from __future__ import annotations

from typing import Any

import pytest
from observe_support import MONITORING, PARENT, PREDICTIONS, ask, done, refused
from service_support import NUMBER, PROJECT, Sandbox

SERVICES = f"{MONITORING}/{PARENT}/services"
DASHBOARDS = f"https://monitoring.googleapis.com/v1/{PARENT}/dashboards"


def ids(name: str) -> str:
    return name.rpartition("/")[2]


# Dashboards


def test_a_dashboard_is_replaced_only_by_who_has_seen_its_latest_state(sandbox: Sandbox) -> None:
    """http-logs/monitoring-dashboard.log: the number in the name, a style and an axis added."""
    widgets = [
        {"text": {"content": "hi", "format": "MARKDOWN"}},
        {"xyChart": {"dataSets": [{"plotType": "LINE", "timeSeriesQuery": {}}]}},
    ]
    body = {"displayName": "pm", "gridLayout": {"widgets": widgets}}
    made = done(sandbox, "POST", DASHBOARDS, body)
    assert made["name"] == f"projects/{NUMBER}/dashboards/{ids(made['name'])}"
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


# Services and objectives


def ratio(**filters: str) -> dict[str, Any]:
    return {"requestBased": {"goodTotalRatio": filters}}


COUNT = (
    f'metric.type="{PREDICTIONS}/response_count" resource.type="aiplatform.googleapis.com/Endpoint"'
)
SLO = {
    "displayName": "answers",
    "goal": 0.99,
    "rollingPeriod": "2419200s",
    "serviceLevelIndicator": ratio(goodServiceFilter=COUNT, totalServiceFilter=COUNT),
}


@pytest.fixture
def service(sandbox: Sandbox) -> str:
    body = {"custom": {}, "displayName": "pm", "userLabels": {}}
    made = done(sandbox, "POST", SERVICES, body, serviceId="pm")
    assert made == {"name": f"projects/{NUMBER}/services/pm", "custom": {}, "displayName": "pm"}
    return f"{SERVICES}/pm"


def test_an_objective_lives_below_its_service(sandbox: Sandbox, service: str) -> None:
    """http-logs/monitoring-slo.log."""
    slos = f"{service}/serviceLevelObjectives"
    assert refused(sandbox, "GET", f"{slos}/avail") == (
        404,
        f'There is no slo with id "avail" under service "pm" in project "{PROJECT}"',
    )
    made = done(sandbox, "POST", slos, SLO, serviceLevelObjectiveId="avail")
    name = f"projects/{NUMBER}/services/pm/serviceLevelObjectives/avail"
    assert made == SLO | {"name": name}
    change = {"goal": 0.9, "displayName": "other", "serviceLevelIndicator": {}}
    changed = done(sandbox, "PATCH", f"{slos}/avail", change, updateMask="goal")
    assert changed == made | {"goal": 0.9}
    assert done(sandbox, "GET", slos)["serviceLevelObjectives"] == [changed]
    assert refused(sandbox, "POST", slos, SLO, serviceLevelObjectiveId="avail")[0] == 409

    assert done(sandbox, "DELETE", service) == {}
    assert sandbox.cloud.monitoring.live()["serviceLevelObjectives"] == []
    message = f"There is no service with id 'pm' in project '{NUMBER}'"
    assert refused(sandbox, "GET", service) == (404, message)
    assert refused(sandbox, "POST", slos, SLO)[0] == 404


def test_services_are_listed_by_their_kind(sandbox: Sandbox, service: str) -> None:
    done(sandbox, "POST", SERVICES, {"cloudRun": {"serviceName": "x", "location": "y"}})

    def names(**params: str) -> list[str]:
        listed = done(sandbox, "GET", SERVICES, **params).get("services", [])
        return [item.get("displayName", "") for item in listed]

    assert names(filter='identifier_case="CUSTOM"') == ["pm"]
    assert sorted(names()) == ["", "pm"]
    assert refused(sandbox, "GET", SERVICES, filter='colour="red"')[0] == 400
    changed = done(sandbox, "PATCH", service, {"displayName": "pump"}, updateMask="display_name")
    assert changed["displayName"] == "pump"
    assert changed["custom"] == {}
    assert refused(sandbox, "POST", SERVICES, {"displayName": "x"})[0] == 400
    assert refused(sandbox, "POST", SERVICES, {"custom": {}}, serviceId="A")[0] == 400


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"goal": 1}, "above 0, and 0.9999 or less"),
        ({"goal": 0}, "above 0, and 0.9999 or less"),
        ({"calendarPeriod": "WEEK"}, "either a rolling_period or a calendar_period"),
        ({"rollingPeriod": "3600s"}, "whole days, 30 at most"),
        ({"rollingPeriod": "2678400s"}, "whole days, 30 at most"),
        ({"rollingPeriod": "", "calendarPeriod": "YEAR"}, "is one of DAY, WEEK"),
        ({"serviceLevelIndicator": {}}, "An SLO has one of"),
        ({"serviceLevelIndicator": {"basicSli": {}}}, "A custom service has no basic SLI"),
        ({"serviceLevelIndicator": ratio(goodServiceFilter=COUNT)}, "exactly two of"),
        (
            {"serviceLevelIndicator": ratio(goodServiceFilter="x=", badServiceFilter=COUNT)},
            "good_total_ratio.good_service_filter had an invalid value",
        ),
    ],
)
def test_an_objective_that_cannot_work_is_refused(
    sandbox: Sandbox, service: str, change: dict[str, Any], complaint: str
) -> None:
    found, message = refused(sandbox, "POST", f"{service}/serviceLevelObjectives", SLO | change)
    assert (found, complaint in message) == (400, True), message
