"""What the stack watches: alerts, their runbooks, and the page that shows them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from components import alerts
from components.configuration import parse
from components.dashboard import dashboard
from components.settings import Settings
from rehearsal.toolchain import ROOT
from simulator.services.logging.query import compiled
from tests.components.test_settings import GOOD, LOOKED_UP, UPLOADED

OF_THEIR_OWN = json.dumps([{**UPLOADED, "maxReplicas": 4}, LOOKED_UP])
SENSORS = {"sensors": '["heat"]'}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "fan.joblib").touch()
    return parse({**GOOD, **SENSORS, "alerts": '{"topic": "incidents"}'}, tmp_path)


def test_the_page_is_what_the_alerts_say() -> None:
    page = "\n".join(alerts.page()) + "\n"
    assert (ROOT / "docs" / "alerts.md").read_text() == page, "run `make docs`"


def test_the_page_shows_pictures_that_are_there() -> None:
    shown = re.findall(r"\]\((pictures/\S+)\)", alerts.PAGE)
    assert len(shown) == 3
    assert all((ROOT / "docs" / picture).is_file() for picture in shown)


def test_where_the_dashboard_has_a_line_an_alert_is_raised(settings: Settings) -> None:
    settings = settings.model_copy(update={"max_replicas": 3})
    raised = {}
    for alert in alerts.ALERTS:
        for found in alert.conditions(settings):
            condition = found.get("condition_threshold", {})
            raised[condition.get("filter")] = condition.get("threshold_value")
    drawn = {}
    for widget in json.loads(dashboard(settings))["gridLayout"]["widgets"]:
        chart = widget["xyChart"]
        [query, *_] = [it["timeSeriesQuery"]["timeSeriesFilter"] for it in chart["dataSets"]]
        for threshold in chart.get("thresholds", ()):
            drawn[widget["title"].split()[0]] = threshold["value"], raised[query["filter"]]
    # A model has its most replicas once it has more than half a replica less.
    assert drawn == {"Milliseconds": (1000, 1000), "Replicas": (3, 2.5), "Seconds": (600, 600)}


def test_each_number_of_replicas_that_models_may_have_is_watched(tmp_path: Path) -> None:
    (tmp_path / "fan.joblib").touch()
    [alert] = [it for it in alerts.ALERTS if it.name == "replicas"]

    def watched(**own: int) -> dict[str, float]:
        models = json.dumps([{**UPLOADED, **own}, LOOKED_UP])
        found = alert.conditions(parse({**GOOD, "models": models}, tmp_path))
        conditions = [it["condition_threshold"] for it in found]
        return {it["filter"].partition('7203418"')[2]: it["threshold_value"] for it in conditions}

    name = " AND metric.labels.model_display_name"
    assert watched() == {"": 1.5}
    assert watched(maxReplicas=4) == {f'{name}=one_of("fan")': 3.5, f'{name}=one_of("pump")': 1.5}
    assert watched(minReplicas=2) == {f'{name}=one_of("pump")': 1.5}


@pytest.mark.parametrize("alert", alerts.ALERTS, ids=lambda alert: alert.name)
def test_a_runbook_is_whole(alert: alerts.Alert, settings: Settings) -> None:
    text = alert.documentation(settings.project)
    assert "iot-staging" in text and "{" not in text.replace("{who", "")
    for part in ("**What it means.**", "**Query.**", "**First thing to do.**"):
        assert part in text
    assert len(text.encode()) <= 10_240  # Monitoring's limit


@pytest.mark.parametrize(
    ("given", "left_out"),
    [
        ({}, set()),
        ({"sensors": "[]"}, {"undelivered", "dead-letters"}),
        ({"minReplicas": "2", "maxReplicas": "2"}, {"replicas"}),
        ({"maxReplicas": "1", "models": OF_THEIR_OWN}, set()),
    ],
)
def test_what_cannot_happen_has_no_alert(
    tmp_path: Path, given: dict[str, str], left_out: set[str]
) -> None:
    (tmp_path / "fan.joblib").touch()
    settings = parse({**GOOD, **SENSORS, **given}, tmp_path)
    assert {item.name for item in alerts.ALERTS if not item.when(settings)} == left_out
    titles = [item["title"] for item in json.loads(dashboard(settings))["gridLayout"]["widgets"]]
    assert ("Dead letters" in titles) is ("undelivered" not in left_out)


def denial(code: int, message: str = "", service: str = "aiplatform") -> dict[str, Any]:
    status = {"code": code, "message": message}
    return {"protoPayload": {"status": status, "serviceName": f"{service}.googleapis.com"}}


@pytest.mark.parametrize(
    ("entry", "denied"),
    [
        (denial(7), True),
        (denial(7, service="storage"), True),
        (denial(3, "You do not have permission to act as service_account: a@b."), True),
        (denial(3, "List of found errors: 1.Field: model"), False),
        (denial(8, "The following quotas are exceeded"), True),
        (denial(9, "does not have permission to access Artifact Registry"), True),
        (denial(9, service="pubsub"), False),
        (denial(5), False),
        ({"protoPayload": {"status": {}}}, False),
    ],
)
def test_what_counts_as_a_denial(entry: dict[str, Any], denied: bool) -> None:
    assert compiled(alerts.DENIED)(entry) is denied


def changed(method: str, severity: str = "NOTICE", log: str = "activity") -> dict[str, Any]:
    return {
        "logName": f"projects/p/logs/cloudaudit.googleapis.com%2F{log}",
        "severity": severity,
        "protoPayload": {"methodName": method},
    }


@pytest.mark.parametrize(
    ("entry", "access"),
    [
        (changed("SetIamPolicy"), True),
        (changed("google.iam.admin.v1.SetIAMPolicy"), True),
        (changed("storage.setIamPermissions"), True),
        (changed("google.iam.admin.v1.UpdateRole"), True),
        (changed("google.iam.admin.v1.CreateServiceAccountKey"), True),
        (changed("SetIamPolicy", "ERROR"), False),
        (changed("GetIamPolicy", log="data_access"), False),
        (changed("google.cloud.aiplatform.v1.EndpointService.CreateEndpoint"), False),
    ],
)
def test_what_counts_as_a_change_of_access(entry: dict[str, Any], access: bool) -> None:
    assert compiled(alerts.ACCESS_CHANGED)(entry) is access
