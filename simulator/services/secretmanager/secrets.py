"""Secrets: made, read, listed, changed and deleted."""

from __future__ import annotations

import re
from typing import Any

from simulator.api.calls import Call, Methods, on_name, on_parent
from simulator.api.errors import already_exists, invalid
from simulator.api.pages import listing
from simulator.api.patching import copy_paths, named_paths
from simulator.api.selecting import selected
from simulator.core.clock import nanoseconds
from simulator.core.platform import Containers
from simulator.iam import allowpolicies
from simulator.services.kms.state import seconds
from simulator.services.secretmanager import encryption, notifications
from simulator.services.secretmanager.state import SECRETS, Secret, Secrets, check_etag, secret_json

method = Methods()

ID = re.compile(r"[a-zA-Z0-9_-]{1,255}")
KINDS = ("automatic", "userManaged")
MUTABLE = (
    "annotations",
    "expireTime",
    "labels",
    "replication",
    "rotation",
    "topics",
    "ttl",
    "versionAliases",
    "versionDestroyTtl",
)
# Newest first: time counted down from here.
END_OF_TIME = 10**20


def _checked(call: Call, name: str, info: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
    """`info` as it is kept, once it can be: `ttl` is input only and becomes the time."""
    if info.get("ttl") and info.get("expireTime"):
        raise invalid("Only one of ttl and expire_time can be set.")
    if ttl := info.pop("ttl", None):
        info["expireTime"] = call.cloud.clock.rfc3339(call.cloud.clock.now() + seconds(ttl))
    replication = info.get("replication", {})
    if sum(kind in replication for kind in KINDS) != 1 or _places(replication) == []:
        raise invalid(
            "A secret needs one kind of replication: automatic, or user_managed with replicas."
        )
    encryption.check(call.cloud, name, replication)
    notifications.check(call.cloud, info, before)
    return info


@method(
    f"{SECRETS}.create",
    permission="secretmanager.secrets.create",
    on=on_parent,
    reads="secretId",
)
def create(call: Call) -> dict[str, Any]:
    cloud, secret_id = call.cloud, call.params.get("secretId", "")
    if not ID.fullmatch(secret_id):
        raise invalid("The secret_id must match `[a-zA-Z0-9_-]{1,255}`.")
    name = f"{call.resource}/secrets/{secret_id}"
    info = _checked(call, name, {key: call.body[key] for key in MUTABLE if call.body.get(key)}, {})
    if cloud[Secrets].find(name):
        raise already_exists(f"Secret [{cloud[Containers].numbered(name)}] already exists.")
    secret = Secret(name, cloud.clock.rfc3339(), info)
    notifications.configure(cloud, secret, {})
    cloud[Secrets].add(secret)
    return _told(call, secret, "SECRET_CREATE")


def _told(call: Call, secret: Secret, event: str) -> dict[str, Any]:
    """The secret as an answer, which its topics are told as well."""
    shown = secret_json(call.cloud, secret)
    notifications.notify(call.cloud, secret, event, shown)
    notifications.watch(call.cloud, secret)
    return shown


@method(f"{SECRETS}.get", permission="secretmanager.secrets.get", on=on_name)
def get(call: Call) -> dict[str, Any]:
    return secret_json(call.cloud, call.cloud[Secrets].get(call.resource))


@method(
    f"{SECRETS}.list",
    permission="secretmanager.secrets.list",
    on=on_parent,
    reads="filter pageSize pageToken",
)
def list_secrets(call: Call) -> dict[str, Any]:
    """Newest first (discovery document)."""
    items = {
        f"{END_OF_TIME - nanoseconds(secret.created)}{secret.name}": secret_json(call.cloud, secret)
        for secret in call.cloud[Secrets].under(call.resource)
    }
    chosen = selected(call, "secrets", items)
    return listing("secrets", chosen, call.params, default=100, most=25_000, total=True)


@method(
    f"{SECRETS}.patch",
    permission="secretmanager.secrets.update",
    on=on_name,
    reads="updateMask",
)
def patch(call: Call) -> dict[str, Any]:
    """Replication, "immutable" by the discovery document, is what the official provider updates.

    Which changes of it Google refuses is not recorded; here its kind and its places stay, and its
    keys change.
    """
    cloud, secret = call.cloud, call.cloud[Secrets].get(call.resource)
    check_etag(call.body.get("etag"), secret.revision)
    paths = named_paths(call.params.get("updateMask"), MUTABLE)
    before = secret.info
    info = {**before}
    if "ttl" in paths:
        info.pop("expireTime", None)
    copy_paths(info, call.body, paths, oneofs=[frozenset(KINDS)], present=KINDS)
    info = _checked(call, secret.name, info, before)
    if _places(info["replication"]) != _places(before["replication"]):
        raise invalid("The replication of a secret cannot be changed, but for its keys.")
    notifications.configure(cloud, Secret(secret.name, secret.created, info), before)
    secret.info = info
    secret.revision += 1
    return _told(call, secret, "SECRET_UPDATE")


def _places(replication: dict[str, Any]) -> list[str] | None:
    """Where it is replicated to; None for anywhere."""
    if "automatic" in replication:
        return None
    return [item["location"] for item in replication["userManaged"].get("replicas", ())]


@method(
    f"{SECRETS}.delete",
    permission="secretmanager.secrets.delete",
    on=on_name,
    reads="etag",
)
def delete(call: Call) -> dict[str, Any]:
    secret = call.cloud[Secrets].get(call.resource)
    check_etag(call.params.get("etag"), secret.revision)
    call.cloud[Secrets].delete(secret.name)
    notifications.notify(call.cloud, secret, "SECRET_DELETE", secret_json(call.cloud, secret))
    return {}


def _require(call: Call, name: str) -> object:
    return call.cloud[Secrets].get(name)


allowpolicies.register(method, SECRETS, "secretmanager.secrets", _require)
