"""What devices are told, and what a broker of one's own is."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from components.configuration import parse
from components.devices import config, for_a_broker
from components.fixed import watched
from components.settings import Settings
from tests.components.test_settings import CLEARBLADE, GOOD, LOOKED_UP

ENDPOINT = "projects/iot-staging/locations/us-central1/endpoints/7203418"
DNS = "7203418.us-central1-100000000001.prediction.vertexai.goog"
REGISTERED = {"sensors": '["heat"]', "deviceRegistry": CLEARBLADE}


def settings(**changed: str) -> Settings:
    models = json.dumps([{**LOOKED_UP, "traffic": 100}])
    return parse({**GOOD, "models": models, **changed}, Path())


def deployed(*versions: str) -> list[SimpleNamespace]:
    return [
        SimpleNamespace(model=f"projects/p/locations/l/models/{version}") for version in versions
    ]


@pytest.mark.parametrize(
    ("dedicated", "host"), [("false", "us-central1-aiplatform.googleapis.com"), ("true", DNS)]
)
def test_devices_are_told_addresses_and_nothing_else(dedicated: str, host: str) -> None:
    told = config(settings(dedicatedEndpoint=dedicated), ENDPOINT, DNS, deployed("pump@2", "fan@1"))
    assert json.loads(told) == {
        "endpoint": ENDPOINT,
        "host": host,
        "modelVersions": ["fan@1", "pump@2"],
        "region": "us-central1",
    }


def test_models_in_another_order_are_the_same_content() -> None:
    one = config(settings(), ENDPOINT, "", deployed("pump@2", "fan@1"))
    assert one == config(settings(), ENDPOINT, "", deployed("fan@1", "pump@2"))
    assert one != config(settings(), ENDPOINT, "", deployed("fan@1", "pump@3"))


def test_a_broker_is_told_how_to_publish() -> None:
    said: dict[str, Any] = for_a_broker(settings(sensors='["heat"]'))
    fields = [field["name"] for field in json.loads(said.pop("schema"))["fields"]]
    assert fields == ["device", "time", "heat"]
    assert said == {
        "topic": "projects/iot-staging/topics/telemetry",
        "publisher": "pm-device@iot-staging.iam.gserviceaccount.com",
        "encoding": "JSON",
        "orderingKey": "device",
    }
    unordered = settings(sensors='["heat"]', orderByDevice="false")
    assert for_a_broker(unordered)["orderingKey"] is None


def test_a_protected_registry_is_not_exchanged_for_another_one() -> None:
    def instead(**changed: str) -> dict[str, Any]:
        return {it.name: (it.value, it.instead) for it in watched(settings(**changed))}

    value, kept = instead(**REGISTERED, protect="true")["deviceRegistry"]
    assert value == "shuttles in us-central1" and "set protect to false" in kept
    assert instead(**REGISTERED)["deviceRegistry"] == (value, None)
    assert instead(sensors='["heat"]', protect="true")["deviceRegistry"] == ("", None)
