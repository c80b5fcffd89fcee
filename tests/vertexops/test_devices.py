"""DeviceRegistry and RegisteredDevice on the real engine, against a simulated ClearBlade."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pulumi
import pytest
from pulumi import automation

from pulumi_plugin.kinds import Context, ProviderError
from pulumi_plugin.values import UNKNOWN
from simulator.google import GoogleCloud
from simulator.seed import plant
from simulator.serve.proxy import serve
from simulator.services.clearblade.state import ClearBlade as Simulated
from simulator.services.clearblade.state import Device
from tests.vertexops.engine import PROJECT, SEED, Rehearsal
from tests.vertexops.fakes import FakeClock
from vertexops import clearblade, sdk
from vertexops.clearblade import ClearBlade
from vertexops.devices import DeviceRegistry, RegisteredDevice
from vertexops.errors import GoogleError
from vertexops.google import Google

TOKEN, SYSTEM = "token-that-nobody-may-see", "system-that-nobody-may-see"
FILE = {
    "systemKey": SYSTEM,
    "token": TOKEN,
    "url": "https://iot.clearblade.com",
    "project": PROJECT,
}
PARENT = f"projects/{PROJECT}/locations/us-central1"
REGISTRY = f"{PARENT}/registries/shuttles"
PUMP = f"{REGISTRY}/devices/pump-1"
TOPIC = f"projects/{PROJECT}/topics/telemetry"
CONFIG = {"endpoint": "projects/p/locations/l/endpoints/7", "models": ["pump@1"]}


def told(**other: Any) -> str:
    return json.dumps({**CONFIG, **other})


class Place(Rehearsal):
    @property
    def clearblade(self) -> Simulated:
        return self.cloud[Simulated]

    def device(self, name: str = "pump-1") -> Device:
        return self.clearblade.registries[REGISTRY].devices[name]

    def versions(self, name: str = "pump-1") -> list[str]:
        return [version["version"] for version in self.device(name).versions]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    cloud = GoogleCloud()
    account = {"project": PROJECT, "system_key": SYSTEM, "token": TOKEN}
    plant(cloud, {**SEED, "clearblade": [account]})
    with serve(cloud, tmp_path / "cloud") as running:
        for name, value in running.environment().items():
            monkeypatch.setenv(name, value)
        monkeypatch.delenv(clearblade.FILE, raising=False)
        made = Place(cloud, running, tmp_path)
        with made.until_the_end:
            yield made


def registered(
    config: str = told(),
    *,
    devices: tuple[str, ...] = ("hall-1", "pump-1"),
    topic: str = TOPIC,
    registry: str = "shuttles",
    credentials: dict[str, str] | None = FILE,
    imported: bool = False,
) -> Callable[[], None]:
    def program() -> None:
        provider = sdk.Provider(
            "clearblade",
            project=PROJECT,
            region="us-central1",
            clearblade_credentials=json.dumps(credentials) if credentials else None,
        )
        own = pulumi.ResourceOptions(provider=provider, import_=REGISTRY if imported else None)
        made = sdk.DeviceRegistry("registry", registry_id=registry, event_topic=topic, opts=own)
        for name in devices:
            device = sdk.RegisteredDevice(
                name,
                registry=made.name,
                device_id=name,
                gateway=name.startswith("hall"),
                config=config,
                opts=pulumi.ResourceOptions(
                    provider=provider, import_=f"{REGISTRY}/devices/{name}" if imported else None
                ),
            )
            pulumi.export(name, device.config_version)

    return program


def changes(result: Any) -> dict[str, int]:
    return {kind: n for kind, n in result.summary.resource_changes.items() if kind != "same"}


def refusal(operation: Callable[..., Any]) -> str:
    with pytest.raises(automation.CommandError) as failure:
        operation()
    return str(failure.value)


def test_other_content_makes_a_version_and_nothing_else_does(place: Place) -> None:
    first = place.stack(registered()).up()
    assert first.outputs["pump-1"].value == 1
    assert place.device("hall-1").info["gatewayConfig"] == {"gatewayType": "GATEWAY"}
    [registry] = place.clearblade.registries.values()
    assert registry.info["eventNotificationConfigs"] == [{"pubsubTopicName": TOPIC}]
    assert changes(place.stack(registered()).up()) == {}
    # The same JSON in another text.
    again = place.stack(registered(json.dumps(CONFIG, indent=1, sort_keys=True))).up()
    assert changes(again) == {} and place.versions() == ["1"]
    second = place.stack(registered(told(models=["pump@2"]))).up()
    assert changes(second) == {"update": 2} and second.outputs["pump-1"].value == 2
    assert place.versions() == place.versions("hall-1") == ["1", "2"]
    other = f"{TOPIC}-2"
    moved = place.stack(registered(told(models=["pump@2"]), topic=other)).up()
    assert changes(moved) == {"update": 1} and place.versions() == ["1", "2"]
    [registry] = place.clearblade.registries.values()
    assert registry.info["eventNotificationConfigs"] == [{"pubsubTopicName": other}]
    stack = place.stack(registered())
    stack.destroy()
    assert place.cloud.state()["registeredDevices"] == place.cloud.state()["deviceRegistries"] == []


def test_what_somebody_else_changed_shows_and_is_put_right(place: Place) -> None:
    stack = place.stack(registered())
    stack.up()
    by_hand = ClearBlade(json.dumps(FILE))
    by_hand.modify_config(PUMP, "e30=", 0)
    changed = {
        "id": "shuttles",
        "eventNotificationConfigs": [{"pubsubTopicName": f"{TOPIC}-theirs"}],
    }
    by_hand.update_registry(REGISTRY, changed, "eventNotificationConfigs")
    by_hand.delete_device(f"{REGISTRY}/devices/hall-1")
    # A change of ours does not go over one that nobody has seen.
    said = refusal(place.stack(registered(told(models=[]), devices=("pump-1",))).up)
    assert "somebody else changed its config: it has version 2, this stack knows 1" in said
    assert place.versions() == ["1", "2"]
    seen = changes(place.stack(registered()).refresh())
    assert seen == {"update": 2, "delete": 1}
    assert changes(place.stack(registered()).up())["update"] == 2
    assert place.versions() == ["1", "2", "3"] and place.versions("hall-1") == ["1"]
    assert json.loads(said_to_pump(by_hand)) == CONFIG


def said_to_pump(client: ClearBlade) -> str:
    return base64.b64decode(client.device(PUMP)["config"]["binaryData"]).decode()


def test_a_registry_with_foreign_devices_is_kept_and_they_are_named(place: Place) -> None:
    stack = place.stack(registered())
    stack.up()
    by_hand = ClearBlade(json.dumps(FILE))
    for name in ("their-pump", "their-fan"):
        by_hand.create_device(REGISTRY, {"id": name})
    said = refusal(stack.destroy)
    assert "devices in it that this stack did not register: their-fan, their-pump" in said
    assert list(place.clearblade.registries) == [REGISTRY]
    for name in ("their-pump", "their-fan"):
        by_hand.delete_device(f"{REGISTRY}/devices/{name}")
    stack.destroy()
    assert not place.clearblade.registries


def test_what_is_there_already_is_not_taken_over_unasked(place: Place) -> None:
    by_hand = ClearBlade(json.dumps(FILE))
    theirs = [{"pubsubTopicName": f"{TOPIC}-theirs"}]
    by_hand.create_registry(PARENT, {"id": "shuttles", "eventNotificationConfigs": theirs})
    said = refusal(place.stack(registered()).up)
    assert f"pulumi import vertexops:index:DeviceRegistry NAME {REGISTRY}" in said
    ours = {"id": "shuttles", "eventNotificationConfigs": [{"pubsubTopicName": TOPIC}]}
    by_hand.update_registry(REGISTRY, ours, "eventNotificationConfigs")
    by_hand.create_device(REGISTRY, {"id": "pump-1"})
    assert f"NAME {REGISTRY}" in refusal(place.stack(registered()).up)
    by_hand.modify_config(PUMP, encoded(told()), 0)
    imported = place.stack(registered(devices=("pump-1",), imported=True)).up()
    assert changes(imported)["import"] == 2
    assert imported.outputs["pump-1"].value == 2
    assert changes(place.stack(registered(devices=("pump-1",))).up()) == {}


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def test_what_a_killed_run_made_is_adopted(place: Place) -> None:
    by_hand = ClearBlade(json.dumps(FILE))
    own = {"id": "shuttles", "eventNotificationConfigs": [{"pubsubTopicName": TOPIC}]}
    by_hand.create_registry(PARENT, own)
    result = place.stack(registered(devices=())).up()
    assert changes(result)["create"] == 3
    body = {"id": "pump-1", "config": {"binaryData": encoded(told())}}
    by_hand.create_device(REGISTRY, body)
    place.stack(registered(devices=("pump-1",))).up()
    assert place.versions() == ["1"]


@pytest.mark.parametrize(
    ("credentials", "said"),
    [
        (
            {"token": "wrong-token"},
            "ClearBlade refuses the credentials (401): look at",
        ),
        ({"systemKey": "wrong-system"}, "ClearBlade refuses the credentials (401)"),
        ({"url": "https://elsewhere.invalid"}, "ClearBlade cannot be reached"),
        ({"url": "http://iot.clearblade.com"}, "url is no https:// address"),
        ({"project": "other"}, "credentials are for the project 'other', not for 'iot-prod'"),
        ({"token": ""}, "lacks token"),
        (None, "no ClearBlade credentials: set the provider's clearbladeCredentials, or the file"),
    ],
    ids=["token", "system key", "host", "plain http", "project", "missing", "none"],
)
def test_credentials_that_do_not_serve_are_told_apart_and_not_shown(
    place: Place, monkeypatch: pytest.MonkeyPatch, credentials: dict[str, str] | None, said: str
) -> None:
    given = {**FILE, **credentials} if credentials is not None else None
    kind = DeviceRegistry(
        Google(PROJECT, "us-central1", ""),
        ClearBlade(json.dumps(given) if given else ""),
        FakeClock(),  # nobody waits for a host that is not there
    )
    inputs = {
        "project": PROJECT,
        "location": "us-central1",
        "registryId": "shuttles",
        "eventTopic": TOPIC,
    }
    with pytest.raises(ProviderError) as refused:
        kind.create(inputs, Context())
    text = str(refused.value)
    assert said in text
    for secret in (given or {}).get("token", ""), (given or {}).get("systemKey", ""):
        assert not secret or secret not in text
    assert refused.value.__cause__ is None or TOKEN not in repr(refused.value.__cause__)


def test_no_secret_is_in_state_logs_or_errors(place: Place) -> None:
    shown: list[str] = []
    keep = {"on_output": shown.append, "log_to_std_err": True, "log_verbosity": 11, "debug": True}
    stack = place.stack(registered())
    stack.up(**keep)
    stack.refresh(on_output=shown.append)
    wrong = {**FILE, "token": "another-token-that-nobody-may-see"}
    shown.append(refusal(place.stack(registered(told(models=[]), credentials=wrong)).up))
    files = [
        path.read_bytes()
        for folder in ("state", "work", "pulumi")
        for path in (place.directory / folder).rglob("*")
        if path.is_file() and path.stat().st_size < 50_000_000
    ]
    everything = ["".join(shown).encode(), *files]
    assert all(b"shuttles" in it for it in (everything[0], b"".join(files)))
    keys = place.clearblade.keys(REGISTRY)
    for secret in (TOKEN, SYSTEM, wrong["token"], keys.token, keys.system_key):
        assert not [it for it in everything if secret.encode() in it]


def test_the_environment_names_the_file_when_the_provider_has_nothing(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "clearblade.json"
    monkeypatch.setenv(clearblade.FILE, str(file))
    with pytest.raises(ProviderError, match="No such file"):
        ClearBlade().devices(REGISTRY)
    file.write_text(json.dumps(FILE))
    ClearBlade().create_registry(PARENT, {"id": "shuttles"})
    assert list(place.clearblade.registries) == [REGISTRY]
    with pytest.raises(ProviderError, match="not known yet"):
        ClearBlade(UNKNOWN).devices(REGISTRY)


def test_keys_of_a_registry_that_was_made_anew_are_asked_for_again(place: Place) -> None:
    client = ClearBlade(json.dumps(FILE))
    client.create_registry(PARENT, {"id": "shuttles"})
    assert client.devices(REGISTRY) == []
    client._registries[REGISTRY] = clearblade.Keys("https://us-central1.clearblade.com", "o", "o")
    assert client.registry(REGISTRY)["name"] == REGISTRY
    client.delete_registry(REGISTRY)
    with pytest.raises(GoogleError) as missing:
        client.registry(REGISTRY)
    assert missing.value.code == 404


def test_many_devices_are_found_page_by_page(place: Place) -> None:
    client = ClearBlade(json.dumps(FILE))
    client.create_registry(PARENT, {"id": "shuttles"})
    for number in range(101):
        client.create_device(REGISTRY, {"id": f"pump-{number}"})
    assert len(client.devices(REGISTRY)) == 101


def test_a_lost_answer_does_not_make_two_versions(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = ClearBlade(json.dumps(FILE))
    kind = RegisteredDevice(client, FakeClock())
    client.create_registry(PARENT, {"id": "shuttles"})
    inputs = {"registry": REGISTRY, "deviceId": "pump-1", "gateway": False, "config": told()}
    id, outputs = kind.create(inputs, Context())
    modify, lost = client.modify_config, [GoogleError(503, "UNAVAILABLE", "gone")]

    def answers(*asked: Any) -> Any:
        made = modify(*asked)
        if lost:
            raise lost.pop()
        return made

    monkeypatch.setattr(client, "modify_config", answers)
    changed = inputs | {"config": told(models=["pump@2"])}
    after = kind.update(id, inputs, outputs, changed, Context())
    assert after["configVersion"] == 2 and place.versions() == ["1", "2"]


def test_what_is_malformed_is_said_by_property() -> None:
    registry = DeviceRegistry(Google("", "", ""), ClearBlade(), FakeClock())
    inputs = {"registryId": "goog-1", "eventTopic": "telemetry", "location": "us-east1"}
    _, failures = registry.check(inputs, {}, Context())
    assert [failure.property for failure in failures] == [
        "project",
        "location",
        "registryId",
        "eventTopic",
    ]
    device = RegisteredDevice(ClearBlade(), FakeClock())
    given, failures = device.check(
        {"registry": UNKNOWN, "deviceId": "1", "config": "{}"}, {}, Context()
    )
    assert given["gateway"] is False
    assert [failure.property for failure in failures] == ["deviceId"]
    with pytest.raises(ProviderError, match="the id is 'pump', not projects/P"):
        device.read("pump", {}, {}, Context())


def test_a_preview_knows_names_and_no_versions() -> None:
    device = RegisteredDevice(ClearBlade(), FakeClock())
    inputs = {"registry": REGISTRY, "deviceId": "pump-1", "config": UNKNOWN, "gateway": False}
    shown = device.preview(inputs, None)
    assert (shown["name"], shown["configVersion"]) == (PUMP, UNKNOWN)
    old = {**inputs, "config": told()}
    assert device.diff(PUMP, old, {}, inputs).updates == ("config",)
    assert device.diff(PUMP, old, {}, {**old, "gateway": True}).replaces == ("gateway",)
