"""ClearBlade IoT Core, with ClearBlade's own Python library as the client."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
import requests
from clearblade.cloud import iot_v1

from simulator.seed import plant
from simulator.serve.dump import dump
from tests.simulator.support.service import PROJECT, Sandbox

TOKEN = "project-token"
ACCOUNT = {"project": PROJECT, "system_key": "project-system", "token": TOKEN}
FILE = {
    "systemKey": "project-system",
    "token": TOKEN,
    "url": "https://iot.clearblade.com",
    "project": PROJECT,
}
PARENT = f"projects/{PROJECT}/locations/us-central1"
REGISTRY = f"{PARENT}/registries/shuttles"
TOPIC = f"projects/{PROJECT}/topics/telemetry"


def credentials(folder: Path, monkeypatch: pytest.MonkeyPatch, **other: str) -> None:
    file = folder / "clearblade.json"
    file.write_text(json.dumps({**FILE, **other}))
    monkeypatch.setenv("CLEARBLADE_CONFIGURATION", str(file))


# The library's own: how it hands its body to httpx.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.fixture
def client(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> iot_v1.DeviceManagerClient:
    plant(sandbox.cloud, {"clearblade": [ACCOUNT]})
    credentials(tmp_path, monkeypatch)
    return iot_v1.DeviceManagerClient()


def make_registry(client: Any, id: str = "shuttles") -> Any:
    made = iot_v1.DeviceRegistry(id=id, eventNotificationConfigs=[{"pubsubTopicName": TOPIC}])
    return client.create_device_registry(
        iot_v1.CreateDeviceRegistryRequest(parent=PARENT, device_registry=made)
    )


def make_device(client: Any, id: str = "pump", **more: Any) -> Any:
    asked = iot_v1.CreateDeviceRequest(parent=REGISTRY, device=iot_v1.Device(id=id, **more))
    return client.create_device(asked)


def modify(client: Any, text: str, version: Any = "", device: str = "pump") -> Any:
    return client.modify_cloud_to_device_config(
        iot_v1.ModifyCloudToDeviceConfigRequest(
            name=f"{REGISTRY}/devices/{device}",
            version_to_update=version,
            binary_data=base64.b64encode(text.encode()),
        )
    )


def test_a_registry_is_made_read_changed_and_deleted(client: Any) -> None:
    made = make_registry(client)
    assert (made.id, made.name) == ("shuttles", REGISTRY)
    get = iot_v1.GetDeviceRegistryRequest(name=REGISTRY)
    [event] = client.get_device_registry(get).event_notification_configs
    assert event.pub_sub_topic_name == TOPIC
    asked = iot_v1.ListDeviceRegistriesRequest(parent=PARENT)
    assert [it.name for it in client.list_device_registries(asked)] == [REGISTRY]
    changed = client.update_device_registry(
        iot_v1.UpdateDeviceRegistryRequest(
            name=REGISTRY,
            updateMask="mqttConfig.mqtt_enabled_state,logLevel",
            device_registry=iot_v1.DeviceRegistry(
                id="shuttles", mqttConfig={"mqttEnabledState": "MQTT_DISABLED"}, logLevel="ERROR"
            ),
        )
    )
    assert changed.mqtt_config == {"mqttEnabledState": "MQTT_DISABLED"}
    assert changed.log_level == "ERROR" and len(changed.event_notification_configs) == 1
    gone = client.delete_device_registry(iot_v1.DeleteDeviceRegistryRequest(name=REGISTRY))
    assert gone.status_code == 204
    assert list(client.list_device_registries(asked)) == []


def test_a_config_has_versions_of_which_the_newest_are_kept(client: Any, sandbox: Sandbox) -> None:
    make_registry(client)
    device = make_device(client, config={"binaryData": base64.b64encode(b"v1").decode()})
    assert (device.id, device.config.version) == ("pump", "1")
    states = iot_v1.ListDeviceStatesRequest(name=f"{REGISTRY}/devices/pump", numStates=1)
    assert client.list_device_states(states).device_states == []
    assert base64.b64decode(device.config.binary_data) == b"v1"
    sandbox.cloud.clock.step(60)
    second = modify(client, "v2", version="1")
    assert second.version == "2" and second.cloud_update_time > device.config.cloud_update_time
    assert modify(client, "v3").version == "3"
    refused = modify(client, "v4", version="1")
    assert refused["error"]["status"] == "FAILED_PRECONDITION"
    for number in range(4, 14):
        assert modify(client, f"v{number}").version == str(number)
    asked = iot_v1.ListDeviceConfigVersionsRequest(name=f"{REGISTRY}/devices/pump")
    kept = client.list_device_config_versions(asked).device_configs
    assert [it.version for it in kept] == [str(number) for number in range(13, 3, -1)]
    get = iot_v1.GetDeviceRequest(name=f"{REGISTRY}/devices/pump")
    assert base64.b64decode(client.get_device(get).config.binary_data) == b"v13"


def test_devices_are_listed_page_by_page_and_changed_by_mask(client: Any) -> None:
    make_registry(client)
    for id in ("pump", "fan", "hall"):
        kind = {"gatewayType": "GATEWAY" if id == "hall" else "NON_GATEWAY"}
        make_device(client, id, gateway_config=kind)
    asked = iot_v1.ListDevicesRequest(parent=REGISTRY, pageSize=2)
    found = {it.id: it.gateway_config["gatewayType"] for it in client.list_devices(asked)}
    assert found == {"fan": "NON_GATEWAY", "hall": "GATEWAY", "pump": "NON_GATEWAY"}
    changed = client.update_device(
        iot_v1.UpdateDeviceRequest(
            parent=REGISTRY, device=iot_v1.Device(id="pump", blocked=True), updateMask="blocked"
        )
    )
    assert changed.blocked is True
    assert modify(client, "").version == "2"
    gone = client.delete_device(iot_v1.DeleteDeviceRequest(name=f"{REGISTRY}/devices/pump"))
    assert gone.status_code == 204
    missing = client.get_device(iot_v1.GetDeviceRequest(name=f"{REGISTRY}/devices/pump"))
    assert missing.status_code == 404


def test_a_registry_with_devices_stays(client: Any) -> None:
    make_registry(client)
    make_device(client)
    kept = client.delete_device_registry(iot_v1.DeleteDeviceRegistryRequest(name=REGISTRY))
    assert (kept.status_code, kept.json()["error"]["status"]) == (400, "FAILED_PRECONDITION")


def test_what_is_there_already_or_badly_named_is_refused(client: Any) -> None:
    make_registry(client)
    make_device(client)
    assert make_device(client)["error"]["status"] == "ALREADY_EXISTS"
    for id in ("x", "1pump", "google-pump"):
        assert make_device(client, id)["error"]["status"] == "INVALID_ARGUMENT"


def test_the_library_knows_no_wrong_token_from_a_registry(
    client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Why our provider does not stand on it (docs/decisions/0012)."""
    make_registry(client)
    credentials(tmp_path, monkeypatch, token="wrong")
    assert make_registry(client, "other").name is None
    with pytest.raises(Exception, match="Registry Information not found"):
        client.get_device_registry(iot_v1.GetDeviceRegistryRequest(name=REGISTRY))
    assert client.list_device_registries(iot_v1.ListDeviceRegistriesRequest(parent=PARENT)) is None


def call(sandbox: Sandbox, verb: str, path: str, token: str, **more: Any) -> requests.Response:
    """By hand, with a token."""
    host = more.pop("host", "iot")
    client = sandbox.http()
    del client.headers["Authorization"]
    url = f"https://{host}.clearblade.com:443/api/v/{path}"
    return client.request(verb, url, headers={"ClearBlade-UserToken": token}, **more)


def test_a_token_is_good_for_its_own_project_registry_and_region(
    client: Any, sandbox: Sandbox
) -> None:
    make_registry(client)
    ask = "1/code/project-system/getRegistryCredentials"
    body = {"project": PROJECT, "region": "us-central1", "registry": "shuttles"}
    keys = call(sandbox, "POST", ask, TOKEN, json=body).json()
    assert keys["url"] == "https://us-central1.clearblade.com"
    own = f"4/webhook/execute/{keys['systemKey']}/cloudiot_devices"
    token = keys["serviceAccountToken"]
    answers = {
        "registry": call(sandbox, "GET", own, token, host="us-central1"),
        "region": call(sandbox, "GET", own, token, host="europe-west1"),
        "project": call(sandbox, "GET", own, TOKEN, host="us-central1"),
        "none": call(sandbox, "GET", own, "", host="us-central1"),
        "others": call(sandbox, "POST", ask, TOKEN, json={**body, "project": "other"}),
        "unknown": call(sandbox, "POST", ask, TOKEN, json={**body, "registry": "none"}),
    }
    assert {name: it.status_code for name, it in answers.items()} == {
        "registry": 200,
        "region": 401,
        "project": 401,
        "none": 401,
        "others": 401,
        "unknown": 404,
    }
    assert answers["none"].json()["error"]["status"] == "UNAUTHENTICATED"


def test_what_is_not_simulated_is_named(client: Any) -> None:
    make_registry(client)
    make_device(client)
    bound = client.bind_device_to_gateway(
        iot_v1.BindDeviceToGatewayRequest(parent=REGISTRY, deviceId="pump", gatewayId="hall")
    )
    assert bound.status_code == 501 and "bindDeviceToGateway" in bound.text
    sent = client.send_command_to_device(
        iot_v1.SendCommandToDeviceRequest(name=f"{REGISTRY}/devices/pump", binary_data=b"stop")
    )
    assert sent.status_code == 501 and "sendCommandToDevice" in sent.text


def test_a_dump_shows_what_is_registered_and_no_token(client: Any, sandbox: Sandbox) -> None:
    make_registry(client)
    make_device(client)
    assert sandbox.cloud.state()["registeredDevices"] == [f"{REGISTRY}/devices/pump"]
    shown = json.dumps(dump(sandbox.cloud))
    assert REGISTRY in shown and TOKEN not in shown and "project-system" not in shown
