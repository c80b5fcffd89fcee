"""Services and service level objectives."""

from __future__ import annotations

from typing import Any

import pytest

from simulator.services.monitoring.state import Monitoring
from tests.simulator.support.observe import MONITORING, PARENT, PREDICTIONS, ask, done, refused
from tests.simulator.support.service import NUMBER, PROJECT, Sandbox

SERVICES = f"{MONITORING}/{PARENT}/services"


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
    assert sandbox.cloud[Monitoring].live()["serviceLevelObjectives"] == []
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


def test_a_service_keeps_which_resource_it_is_about_and_can_be_told_of_another(
    sandbox: Sandbox,
) -> None:
    """The official provider updates it with a mask, and sends `custom` beside it."""
    first, second = ({"resourceName": f"//example.com/{name}"} for name in ("a", "b"))
    url = f"{SERVICES}/s"
    made = done(sandbox, "POST", SERVICES, {"custom": {}, "telemetry": first}, serviceId="s")
    assert made["telemetry"] == first
    body = {"custom": {}, "displayName": "x", "telemetry": second}
    changed = done(sandbox, "PATCH", url, body, updateMask="telemetry")
    assert changed == made | {"telemetry": second}
    assert done(sandbox, "GET", url) == changed
    assert "telemetry" not in done(sandbox, "PATCH", url, {}, updateMask="telemetry")
    # What the mask does not name stays, whichever kind of service the body is.
    other = {"cloudRun": {"serviceName": "x"}, "displayName": "y"}
    named = done(sandbox, "PATCH", url, other, updateMask="displayName")
    assert (named["displayName"], named["custom"], "cloudRun" in named) == ("y", {}, False)
    run = done(sandbox, "PATCH", url, other, updateMask="cloudRun")
    assert (run["cloudRun"], "custom" in run) == (other["cloudRun"], False)


WINDOWS = "serviceLevelIndicator.windowsBased"
# What the official provider's mask has whenever a window-based indicator changes
# (monitoring/resource_monitoring_slo.go).
WINDOWS_MASK = ",".join(
    f"{WINDOWS}.{path}"
    for path in (
        "goodBadMetricFilter",
        "goodTotalRatioThreshold.performance.distributionCut.distributionFilter",
        "goodTotalRatioThreshold.performance.distributionCut.range.max",
        "goodTotalRatioThreshold.performance.goodTotalRatio.goodServiceFilter",
        "goodTotalRatioThreshold.performance.goodTotalRatio.totalServiceFilter",
        "goodTotalRatioThreshold.threshold",
        "metricMeanInRange.range.max",
        "metricMeanInRange.range.min",
        "metricMeanInRange.timeSeries",
        "metricSumInRange.range.max",
        "metricSumInRange.range.min",
        "metricSumInRange.timeSeries",
        "windowPeriod",
    )
)


def test_a_mask_over_every_kind_of_window_leaves_the_one_that_was_sent(
    sandbox: Sandbox, service: str
) -> None:
    def windows(**fields: Any) -> dict[str, Any]:
        return {"serviceLevelIndicator": {"windowsBased": {"windowPeriod": "60s", **fields}}}

    within = {"timeSeries": COUNT, "range": {"min": 1, "max": 5}}
    performance = ratio(goodServiceFilter=COUNT, totalServiceFilter=COUNT)["requestBased"]
    threshold = {"performance": performance, "threshold": 0.9}
    kinds = (
        windows(metricMeanInRange=within),
        windows(metricSumInRange=within),
        windows(goodTotalRatioThreshold=threshold),
        windows(goodBadMetricFilter=COUNT),
        windows(metricMeanInRange={"timeSeries": COUNT, "range": {"max": 9}}),
        windows(metricMeanInRange={"timeSeries": COUNT, "range": {"max": 8}}),
    )
    url = f"{service}/serviceLevelObjectives"
    done(sandbox, "POST", url, SLO | kinds[0], serviceLevelObjectiveId="w")
    for body in kinds[1:]:
        changed = done(sandbox, "PATCH", f"{url}/w", SLO | body, updateMask=WINDOWS_MASK)
        assert changed["serviceLevelIndicator"] == body["serviceLevelIndicator"]
        assert done(sandbox, "GET", f"{url}/w") == changed


def test_another_kind_of_indicator_or_period_takes_the_place_of_the_first(
    sandbox: Sandbox, service: str
) -> None:
    url = f"{service}/serviceLevelObjectives"
    done(sandbox, "POST", url, SLO, serviceLevelObjectiveId="a")
    cut = {"distributionFilter": COUNT, "range": {"max": 100}}
    body = {"serviceLevelIndicator": {"requestBased": {"distributionCut": cut}}}
    mask = "serviceLevelIndicator.requestBased.distributionCut"
    changed = done(sandbox, "PATCH", f"{url}/a", body, updateMask=mask)
    assert changed["serviceLevelIndicator"] == body["serviceLevelIndicator"]
    weekly = {"calendarPeriod": "WEEK"}
    changed = done(sandbox, "PATCH", f"{url}/a", weekly, updateMask="calendarPeriod")
    assert (changed["calendarPeriod"], "rollingPeriod" in changed) == ("WEEK", False)


def test_the_explicit_view_of_a_basic_indicator_is_not_made_up(sandbox: Sandbox) -> None:
    run = {"cloudRun": {"serviceName": "x", "location": "y"}}
    done(sandbox, "POST", SERVICES, run, serviceId="run")
    basic = SLO | {"serviceLevelIndicator": {"basicSli": {"availability": {}}}}
    url = f"{SERVICES}/run/serviceLevelObjectives"
    for slo_id, body in (("basic", basic), ("ratio", SLO)):
        done(sandbox, "POST", url, body, serviceLevelObjectiveId=slo_id)
    assert ask(sandbox, "GET", f"{url}/ratio", view="EXPLICIT")[0] == 200
    assert ask(sandbox, "GET", f"{url}/basic", view="FULL")[0] == 200
    assert ask(sandbox, "GET", f"{url}/basic", view="EXPLICIT")[0] == 501
    assert ask(sandbox, "GET", url, view="EXPLICIT")[0] == 501
    assert ask(sandbox, "GET", url, filter="x=y")[0] == 501


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
