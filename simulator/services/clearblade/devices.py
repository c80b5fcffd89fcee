"""The devices of a registry, and the versions of what each is told."""

from __future__ import annotations

import base64
import binascii
from typing import Any, Final

from simulator.api.calls import Call, Methods, Reply, Result
from simulator.api.errors import already_exists, failed_precondition, invalid, unimplemented
from simulator.api.pages import listing
from simulator.api.patching import copy_paths, named_paths
from simulator.services.clearblade.state import KEPT, ClearBlade, Device, Registry, checked_id

method = Methods()

MUTABLE: Final = ("credentials", "blocked", "logLevel", "metadata", "gatewayConfig")


@method(
    "clearblade.cloudiot_devices.post",
    permission=None,
    authenticated=False,
    keyed=True,
    reads="name method",
)
def post(call: Call) -> Result:
    """Make a device; or, where a `method` is named, do that."""
    registry = call.cloud[ClearBlade].registry(call)
    match call.params.get("method"):
        case None:
            return _create(call, registry)
        case "modifyCloudToDeviceConfig":
            return _modify(call, registry)
        case other:
            raise unimplemented(f"{call.method.id}: {other}")


def _create(call: Call, registry: Registry) -> Result:
    id, body = checked_id(call.body), call.body
    if id in registry.devices:
        raise already_exists(f"Device {id} already exists in registry {registry.name}.")
    for key in body:
        if key not in (*MUTABLE, "id", "name", "config"):
            raise invalid(f"Invalid field '{key}'.")
    given = body.get("config") or {}
    if given.get("version") not in (None, "", 0, "0"):
        raise invalid("The version of a new device's config has to be 0.")
    info = {key: body[key] for key in MUTABLE if body.get(key) is not None}
    first = _version(call, 1, given.get("binaryData") or "")
    device = Device(id, call.cloud.unique_id(), info, [first])
    registry.devices[id] = device
    return device.json(registry.name)


def _modify(call: Call, registry: Registry) -> Result:
    device = registry.device(str(call.params.get("name", "")))
    now, expected = device.versions[-1]["version"], call.body.get("versionToUpdate")
    if str(expected or 0) not in ("0", now):
        raise failed_precondition(
            f"The config of device {device.id} has version {now}, not {expected}."
        )
    made = _version(call, int(now) + 1, call.body.get("binaryData") or "")
    device.versions = [*device.versions, made][-KEPT:]
    return made


def _version(call: Call, number: int, data: str) -> dict[str, Any]:
    try:
        base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        raise invalid("binaryData is no base64-encoded string.") from None
    return {
        "version": str(number),
        "cloudUpdateTime": call.cloud.clock.rfc3339(),
        "deviceAckTime": "",
        "binaryData": data,
    }


@method(
    "clearblade.cloudiot_devices.get",
    permission=None,
    authenticated=False,
    keyed=True,
    reads="name parent pageSize pageToken",
)
def get(call: Call) -> Result:
    registry = call.cloud[ClearBlade].registry(call)
    if name := call.params.get("name"):
        return registry.device(name).json(registry.name)
    there = {id: device.json(registry.name) for id, device in registry.devices.items()}
    return listing("devices", there, call.params, default=100, most=10_000)


@method(
    "clearblade.cloudiot_devices.patch",
    permission=None,
    authenticated=False,
    keyed=True,
    reads="name updateMask",
)
def patch(call: Call) -> Result:
    registry = call.cloud[ClearBlade].registry(call)
    device = registry.device(str(call.params.get("name", "")))
    paths = named_paths(call.params.get("updateMask"), MUTABLE)
    copy_paths(device.info, call.body, paths)
    return device.json(registry.name)


@method(
    "clearblade.cloudiot_devices.delete",
    permission=None,
    authenticated=False,
    keyed=True,
    reads="name",
)
def delete(call: Call) -> Result:
    registry = call.cloud[ClearBlade].registry(call)
    del registry.devices[registry.device(str(call.params.get("name", ""))).id]
    return Reply(status=204)


@method(
    "clearblade.cloudiot_devices_configVersions.get",
    permission=None,
    authenticated=False,
    keyed=True,
    reads="name numVersions",
)
def versions(call: Call) -> Result:
    """The newest ones, `numVersions` of them; all that are kept when that is 0."""
    registry = call.cloud[ClearBlade].registry(call)
    newest = registry.device(str(call.params.get("name", ""))).versions[::-1]
    count = int(call.params.get("numVersions") or 0)
    return {"deviceConfigs": newest[:count] if count else newest}


@method(
    "clearblade.cloudiot_devices_states.get",
    permission=None,
    authenticated=False,
    keyed=True,
    reads="name numStates",
)
def states(call: Call) -> Result:
    """None: no device is ever connected."""
    call.cloud[ClearBlade].registry(call).device(str(call.params.get("name", "")))
    return {"deviceStates": []}
