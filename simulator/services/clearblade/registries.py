"""A project's registries, and the keys of each."""

from __future__ import annotations

from typing import Any, Final

from simulator.api.calls import Call, Methods, Reply, Result
from simulator.api.errors import (
    already_exists,
    failed_precondition,
    invalid,
    not_found,
    unimplemented,
)
from simulator.api.pages import listing
from simulator.api.patching import copy_paths, named_paths
from simulator.services.clearblade.state import (
    REGIONS,
    ClearBlade,
    Registry,
    checked_id,
    is_admin,
    refused,
)

method = Methods()

MUTABLE: Final = (
    "eventNotificationConfigs",
    "stateNotificationConfig",
    "mqttConfig",
    "httpConfig",
    "logLevel",
    "credentials",
)


@method("clearblade.getRegistryCredentials", permission=None, authenticated=False, keyed=True)
def credentials(call: Call) -> Result:
    clearblade = call.cloud[ClearBlade]
    _demand_own(call, str(call.body.get("project")))
    name = "projects/{project}/locations/{region}/registries/{registry}".format_map(
        {key: call.body.get(key) for key in ("project", "region", "registry")}
    )
    keys = clearblade.keys(_get(clearblade, name).name)
    return {
        "systemKey": keys.system_key,
        "serviceAccountToken": keys.token,
        "url": f"https://{call.body['region']}.clearblade.com",
    }


@method(
    "clearblade.cloudiot.post",
    permission=None,
    authenticated=False,
    keyed=True,
    reads="parent method",
)
def create(call: Call) -> Result:
    if not is_admin(call):
        call.cloud[ClearBlade].registry(call)
        raise unimplemented(f"{call.method.id}: {call.params.get('method', '')}")
    parent = _parent(call)
    id = checked_id(call.body)
    name, registries = f"{parent}/registries/{id}", call.cloud[ClearBlade].registries
    if name in registries:
        raise already_exists(f"Registry {name} already exists.")
    registries[name] = Registry(name, _info(call.body))
    return registries[name].json()


@method(
    "clearblade.cloudiot.get",
    permission=None,
    authenticated=False,
    keyed=True,
    reads="parent page_size page_token",
)
def get(call: Call) -> Result:
    """The registry whose keys are shown; with a project's, all of a region's."""
    clearblade = call.cloud[ClearBlade]
    if not is_admin(call):
        return clearblade.registry(call).json()
    parent = _parent(call)
    there = {
        name: registry.json()
        for name, registry in clearblade.registries.items()
        if name.startswith(f"{parent}/registries/")
    }
    asked = {"pageSize": call.params.get("page_size"), "pageToken": call.params.get("page_token")}
    # The library reads the list without asking whether it is there.
    return {
        "deviceRegistries": [],
        **listing("deviceRegistries", there, asked, default=100, most=10_000),
    }


@method(
    "clearblade.cloudiot.patch",
    permission=None,
    authenticated=False,
    keyed=True,
    reads="name updateMask",
)
def patch(call: Call) -> Result:
    registry = call.cloud[ClearBlade].registry(call)
    if call.params.get("name", registry.name) != registry.name:
        raise refused()
    paths = named_paths(call.params.get("updateMask"), MUTABLE)
    now = registry.json()
    copy_paths(now, _info(call.body), paths)
    registry.info = {key: now[key] for key in MUTABLE if key in now}
    return registry.json()


@method(
    "clearblade.cloudiot.delete", permission=None, authenticated=False, keyed=True, reads="name"
)
def delete(call: Call) -> Result:
    clearblade, name = call.cloud[ClearBlade], str(call.params.get("name"))
    _demand_own(call, name.partition("/locations/")[0].removeprefix("projects/"))
    registry = _get(clearblade, name)
    if registry.devices:
        raise failed_precondition(f"Registry {name} still has {len(registry.devices)} devices.")
    del clearblade.registries[name]
    return Reply(status=204)


def _demand_own(call: Call, project: str) -> None:
    if call.cloud[ClearBlade].project(call) != project:
        raise refused()


def _parent(call: Call) -> str:
    parent = str(call.params.get("parent", ""))
    project, _, region = parent.removeprefix("projects/").partition("/locations/")
    _demand_own(call, project)
    if region not in REGIONS:
        raise invalid(f"Invalid region '{region}': one of {', '.join(REGIONS)}.")
    return parent


def _get(clearblade: ClearBlade, name: str) -> Registry:
    if name not in clearblade.registries:
        raise not_found(f"Registry {name} not found.")
    return clearblade.registries[name]


def _info(body: dict[str, Any]) -> dict[str, Any]:
    for key in body:
        if key not in (*MUTABLE, "id", "name"):
            raise invalid(f"Invalid field '{key}'.")
    return {key: body[key] for key in MUTABLE if key in body}
