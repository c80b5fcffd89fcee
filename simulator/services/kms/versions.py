"""Versions of keys: made, switched off and on, destroyed after a while and restored until then."""

from __future__ import annotations

from typing import Any

from simulator.api.calls import Call, Methods, on_name, on_parent
from simulator.api.errors import failed_precondition, invalid, unimplemented
from simulator.api.pages import listing
from simulator.api.patching import mask_paths
from simulator.api.selecting import selected
from simulator.services.kms.state import Key, Kms, Version, seconds

method = Methods()

VERSIONS = "cloudkms.projects.locations.keyRings.cryptoKeys.cryptoKeyVersions"
PERMISSIONS = "cloudkms.cryptoKeyVersions"


def version_json(key: Key, version: Version) -> dict[str, Any]:
    answer = {
        "name": f"{key.name}/cryptoKeyVersions/{version.number}",
        "state": version.state,
        "createTime": version.created,
        "generateTime": version.created,
        **key.template,
    }
    if version.destroyed:
        time = "destroyEventTime" if version.state == "DESTROYED" else "destroyTime"
        answer[time] = version.destroyed
    return answer


def _require(version: Version, key: Key, *states: str) -> None:
    if version.state not in states:
        name = f"{key.name}/cryptoKeyVersions/{version.number}"
        wanted = " or ".join(states)
        raise failed_precondition(f"{name} must be {wanted}, but it is {version.state}.")


@method(f"{VERSIONS}.create", permission=f"{PERMISSIONS}.create", on=on_parent)
def create(call: Call) -> dict[str, Any]:
    if (state := call.body.get("state", "ENABLED")) != "ENABLED":
        raise unimplemented(f"Creating a key version that is {state}")
    key = call.cloud[Kms].key(call.resource)
    return version_json(key, call.cloud[Kms].add_version(key))


@method(f"{VERSIONS}.get", permission=f"{PERMISSIONS}.get", on=on_name)
def get(call: Call) -> dict[str, Any]:
    return version_json(*call.cloud[Kms].version(call.resource))


@method(
    f"{VERSIONS}.list",
    permission=f"{PERMISSIONS}.list",
    on=on_parent,
    reads="filter orderBy pageSize pageToken view",
)
def list_versions(call: Call) -> dict[str, Any]:
    key = call.cloud[Kms].key(call.resource)
    numbered = {f"{number:09}": version_json(key, item) for number, item in key.versions.items()}
    items = selected(call, "cryptoKeyVersions", numbered)
    return listing("cryptoKeyVersions", items, call.params, default=100, most=1000, total=True)


@method(
    f"{VERSIONS}.patch",
    permission=f"{PERMISSIONS}.update",
    on=on_name,
    reads="updateMask",
)
def patch(call: Call) -> dict[str, Any]:
    """`state` alone, between ENABLED and DISABLED."""
    key, version = call.cloud[Kms].version(call.resource)
    wanted = call.body.get("state")
    states = ("ENABLED", "DISABLED")
    if mask_paths(call.params.get("updateMask")) != {"state"} or wanted not in states:
        raise invalid("update_mask must be state, and that ENABLED or DISABLED.")
    _require(version, key, *states)
    version.state = wanted
    return version_json(key, version)


@method(f"{VERSIONS}.destroy", permission=f"{PERMISSIONS}.destroy", on=on_name)
def destroy(call: Call) -> dict[str, Any]:
    """Scheduled: the material is there until the key's destroyScheduledDuration has passed."""
    key, version = call.cloud[Kms].version(call.resource)
    _require(version, key, "ENABLED", "DISABLED")
    wait = seconds(key.info.get("destroyScheduledDuration", "2592000s"))
    version.state, version.destroy = "DESTROY_SCHEDULED", call.cloud.clock.now() + wait
    version.destroyed = call.cloud.clock.rfc3339(version.destroy)
    return version_json(key, version)


@method(f"{VERSIONS}.restore", permission=f"{PERMISSIONS}.restore", on=on_name)
def restore(call: Call) -> dict[str, Any]:
    key, version = call.cloud[Kms].version(call.resource)
    _require(version, key, "DESTROY_SCHEDULED")
    version.state, version.destroyed = "DISABLED", ""
    return version_json(key, version)
