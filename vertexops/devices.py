"""DeviceRegistry and RegisteredDevice: what ClearBlade IoT Core knows of devices and tells them.

Which error stands for which refusal is not documented there, so what is there is looked at instead:
after a refused create, whether somebody made it; after a refused change, whether somebody was
quicker.
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any, Final

from pulumi_plugin.kinds import Change, Context, Failure, Kind, ProviderError, Resource
from pulumi_plugin.shapes import Form
from pulumi_plugin.values import UNKNOWN, Props, changed_keys, is_known
from vertexops import forms
from vertexops.clearblade import NOT_FOUND, ClearBlade, explain
from vertexops.errors import GoogleError, Json
from vertexops.google import Google
from vertexops.schema import DEVICE_REGISTRY, PACKAGE, REGISTERED_DEVICE
from vertexops.waiting import Clock, Waiting

DEADLINE: Final = 300
EVENTS: Final = "eventNotificationConfigs"
GATEWAY, NO_GATEWAY = "GATEWAY", "NON_GATEWAY"


class DeviceRegistry(Kind):
    def __init__(self, google: Google, clearblade: ClearBlade, clock: Clock) -> None:
        self.google, self.clearblade, self.clock = google, clearblade, clock

    def check(
        self, inputs: Props, old_inputs: Props, context: Context
    ) -> tuple[Props, list[Failure]]:
        inputs, failures = PACKAGE.check(DEVICE_REGISTRY, inputs)
        for key, default in (("project", self.google.project), ("location", self.google.region)):
            if default and key not in inputs:
                inputs[key] = default
            if key not in inputs:
                failures.append(Failure(key, "is missing: set it here or on the provider"))
        location = inputs.get("location")
        if isinstance(location, str) and location not in forms.CLEARBLADE_REGIONS:
            there = ", ".join(forms.CLEARBLADE_REGIONS)
            said = f"is {location!r}, not one of ClearBlade's regions: {there}"
            failures.append(Failure("location", said))
        failures += forms.REGISTERED_ID.check(inputs.get("registryId"), "registryId")
        failures += forms.TOPIC.check(inputs.get("eventTopic"), "eventTopic")
        return inputs, failures

    def diff(self, id: str, old_inputs: Props, old_outputs: Props, inputs: Props) -> Change:
        changed = changed_keys(old_inputs, inputs)
        replaces = tuple(key for key in changed if key != "eventTopic")
        updates = tuple(key for key in changed if key == "eventTopic")
        return Change(updates, replaces, stables=("name",))

    def preview(self, inputs: Props, old_outputs: Props | None) -> Props:
        parts = [inputs.get(key, UNKNOWN) for key in ("project", "location", "registryId")]
        return inputs | {"name": _registry_name(inputs) if is_known(parts) else UNKNOWN}

    def create(self, inputs: Props, context: Context) -> tuple[str, Props]:
        name, waiting = _registry_name(inputs), Waiting(context, DEADLINE, self.clock)
        step = f"making the registry {name}"
        self._demand_own(inputs, step)
        parent = name.rpartition("/registries/")[0]
        body = {"id": inputs["registryId"], EVENTS: _events(inputs)}
        try:
            waiting.call(self.clearblade.create_registry, parent, body)
        except GoogleError as error:
            there = self._look(name, waiting, step)
            if there is None:
                raise explain(error, step) from None
            # Of a call that failed, or of a run that was killed.
            if _topics(there) != inputs["eventTopic"] or self._devices(name, waiting, step):
                raise ProviderError(_theirs(step, "DeviceRegistry", name)) from None
        return name, inputs | {"name": name}

    def _demand_own(self, inputs: Props, step: str) -> None:
        own = self.clearblade.account.project
        if own != inputs["project"]:
            raise ProviderError(
                f"{step}: ClearBlade's credentials are for the project {own!r}, not for "
                f"{inputs['project']!r}"
            )

    def _look(self, name: str, waiting: Waiting, step: str) -> Json | None:
        try:
            return waiting.call(self.clearblade.registry, name)
        except GoogleError as error:
            if error.code == NOT_FOUND:
                return None
            raise explain(error, step) from None

    def _devices(self, name: str, waiting: Waiting, step: str) -> list[str]:
        try:
            found = waiting.call(self.clearblade.devices, name)
        except GoogleError as error:
            if error.code == NOT_FOUND:
                return []
            raise explain(error, step) from None
        return sorted(str(device.get("id")) for device in found)

    def read(self, id: str, inputs: Props, outputs: Props, context: Context) -> Resource | None:
        parts = _parsed(forms.REGISTRY, id)
        waiting = Waiting(context, DEADLINE, self.clock)
        there = self._look(id, waiting, f"reading the registry {id}")
        if there is None:
            return None
        now = {
            "project": parts["project"],
            "location": parts["location"],
            "registryId": parts["id"],
            "eventTopic": _topics(there),
        }
        return Resource(id, now, now | {"name": id})

    def update(
        self, id: str, old_inputs: Props, old_outputs: Props, inputs: Props, context: Context
    ) -> Props:
        waiting = Waiting(context, DEADLINE, self.clock)
        body = {"id": inputs["registryId"], EVENTS: _events(inputs)}
        try:
            waiting.call(self.clearblade.update_registry, id, body, EVENTS)
        except GoogleError as error:
            raise explain(error, f"changing the registry {id}") from None
        return inputs | {"name": id}

    def delete(self, id: str, inputs: Props, outputs: Props, context: Context) -> None:
        """The stack's own devices are gone by now: whatever is left is somebody else's."""
        waiting, step = Waiting(context, DEADLINE, self.clock), f"deleting the registry {id}"
        if left := self._devices(id, waiting, step):
            raise ProviderError(
                f"{step}: there are devices in it that this stack did not register: "
                f"{', '.join(left)}. Delete them or move them to another registry, and run this "
                "again; nothing else was done to the registry"
            )
        try:
            waiting.call(self.clearblade.delete_registry, id)
        except GoogleError as error:
            if self._look(id, waiting, step) is not None:
                raise explain(error, step) from None


class RegisteredDevice(Kind):
    def __init__(self, clearblade: ClearBlade, clock: Clock) -> None:
        self.clearblade, self.clock = clearblade, clock

    def check(
        self, inputs: Props, old_inputs: Props, context: Context
    ) -> tuple[Props, list[Failure]]:
        inputs, failures = PACKAGE.check(REGISTERED_DEVICE, inputs)
        inputs.setdefault("gateway", False)
        failures += forms.REGISTRY.check(inputs.get("registry"), "registry")
        failures += forms.REGISTERED_ID.check(inputs.get("deviceId"), "deviceId")
        return inputs, failures

    def diff(self, id: str, old_inputs: Props, old_outputs: Props, inputs: Props) -> Change:
        """Another text of the same JSON is no change: it would be a new version for nothing."""
        changed = set(changed_keys(old_inputs, inputs))
        if _same(old_inputs.get("config"), inputs.get("config")):
            changed.discard("config")
        replaces = tuple(sorted(changed - {"config"}))
        return Change(tuple(sorted(changed & {"config"})), replaces, stables=("name",))

    def preview(self, inputs: Props, old_outputs: Props | None) -> Props:
        parts = [inputs.get(key, UNKNOWN) for key in ("registry", "deviceId")]
        name = _device_name(inputs) if is_known(parts) else UNKNOWN
        return inputs | {"name": name, "configVersion": UNKNOWN, "configUpdateTime": UNKNOWN}

    def create(self, inputs: Props, context: Context) -> tuple[str, Props]:
        name, waiting = _device_name(inputs), Waiting(context, DEADLINE, self.clock)
        step = f"registering the device {name}"
        body = {
            "id": inputs["deviceId"],
            "gatewayConfig": {"gatewayType": GATEWAY if inputs["gateway"] else NO_GATEWAY},
            "config": {"version": "0", "binaryData": _encoded(inputs["config"])},
        }
        try:
            made = waiting.call(self.clearblade.create_device, inputs["registry"], body)
        except GoogleError as error:
            there = self._look(name, waiting, step)
            if there is None:
                raise explain(error, step) from None
            # Of a call that failed, or of a run that was killed.
            if not _like(there, inputs):
                raise ProviderError(_theirs(step, "RegisteredDevice", name)) from None
            made = there
        config = made.get("config") or {}
        if not _same(_config(made), inputs["config"]):
            config = self._tell(name, inputs["config"], _version(config), waiting, step)
        return name, inputs | _outputs(name, config)

    def _look(self, name: str, waiting: Waiting, step: str) -> Json | None:
        try:
            return waiting.call(self.clearblade.device, name)
        except GoogleError as error:
            if error.code == NOT_FOUND:
                return None
            raise explain(error, step) from None

    def _tell(self, name: str, config: str, known: int, waiting: Waiting, step: str) -> Json:
        """A new version after the one that is `known`, or the one that a lost answer made."""
        try:
            return waiting.call(self.clearblade.modify_config, name, _encoded(config), known)
        except GoogleError as error:
            there = self._look(name, waiting, step)
            if there is None:
                raise ProviderError(
                    f"{step}: somebody deleted the device. Run `pulumi refresh`, and `pulumi up` "
                    f"makes it again\n{error.message}"
                ) from None
            now = there.get("config") or {}
            if _version(now) != known and _same(_config(there), config):
                return dict(now)
            if _version(now) != known:
                raise ProviderError(
                    f"{step}: somebody else changed its config: it has version {_version(now)}, "
                    f"this stack knows {known}. Nothing was done. `pulumi refresh` shows the "
                    f"difference, and `pulumi up` then puts it right\n{error.message}"
                ) from None
            raise explain(error, step) from None

    def read(self, id: str, inputs: Props, outputs: Props, context: Context) -> Resource | None:
        parts = _parsed(forms.DEVICE, id)
        waiting = Waiting(context, DEADLINE, self.clock)
        there = self._look(id, waiting, f"reading the device {id}")
        if there is None:
            return None
        told = _config(there)
        now = {
            "registry": parts["registry"],
            "deviceId": parts["id"],
            "gateway": _is_gateway(there),
            "config": inputs["config"] if _same(inputs.get("config"), told) else told,
        }
        return Resource(id, now, now | _outputs(id, there.get("config") or {}))

    def update(
        self, id: str, old_inputs: Props, old_outputs: Props, inputs: Props, context: Context
    ) -> Props:
        waiting, step = Waiting(context, DEADLINE, self.clock), f"telling the device {id}"
        if _same(old_inputs.get("config"), inputs["config"]):
            kept = {key: old_outputs[key] for key in ("configVersion", "configUpdateTime")}
            return inputs | {"name": id} | kept
        config = self._tell(id, inputs["config"], int(old_outputs["configVersion"]), waiting, step)
        return inputs | _outputs(id, config)

    def delete(self, id: str, inputs: Props, outputs: Props, context: Context) -> None:
        waiting, step = Waiting(context, DEADLINE, self.clock), f"deleting the device {id}"
        try:
            waiting.call(self.clearblade.delete_device, id)
        except GoogleError as error:
            if self._look(id, waiting, step) is not None:
                raise explain(error, step) from None


def _parsed(form: Form, id: str) -> dict[str, str]:
    """The parts of an id that a user may have given. Raises ProviderError."""
    try:
        return form.parse(id)
    except ValueError as error:
        raise ProviderError(f"the id {error}") from None


def _registry_name(inputs: Props) -> str:
    return "projects/{project}/locations/{location}/registries/{registryId}".format(**inputs)


def _device_name(inputs: Props) -> str:
    return "{registry}/devices/{deviceId}".format(**inputs)


def _events(inputs: Props) -> list[Json]:
    return [{"pubsubTopicName": inputs["eventTopic"]}]


def _topics(registry: Json) -> str:
    """Where events go; several topics, or a subfolder, read as a difference."""
    configs = registry.get(EVENTS) or ()
    return ", ".join(
        f"{config.get('pubsubTopicName', '')} {config.get('subfolderMatches') or ''}".strip()
        for config in configs
    )


def _theirs(step: str, kind: str, name: str) -> str:
    return (
        f"{step}: it is there already, and is not what this stack would make. Choose another id, "
        f"or take it over: `pulumi import vertexops:index:{kind} NAME {name}`"
    )


def _like(device: Json, inputs: Props) -> bool:
    return _is_gateway(device) == inputs["gateway"] and _same(_config(device), inputs["config"])


def _is_gateway(device: Json) -> bool:
    return (device.get("gatewayConfig") or {}).get("gatewayType") == GATEWAY


def _encoded(config: str) -> str:
    return base64.b64encode(config.encode()).decode()


def _config(device: Json) -> str:
    """What a device is told, as text; in base64 where it is none."""
    data = (device.get("config") or {}).get("binaryData") or ""
    try:
        return base64.b64decode(data).decode()
    except (binascii.Error, UnicodeDecodeError):
        return str(data)


def _version(config: Json) -> int:
    return int(config.get("version") or 0)


def _outputs(name: str, config: Json) -> Props:
    return {
        "name": name,
        "configVersion": _version(config),
        "configUpdateTime": config.get("cloudUpdateTime") or "",
    }


def _same(one: Any, other: Any) -> bool:
    """Whether two configs say the same: JSON by its content, anything else by its text."""
    if one == other:
        return True
    try:
        return bool(json.loads(one) == json.loads(other))
    except (TypeError, ValueError):
        return False
