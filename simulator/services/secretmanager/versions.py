"""Versions of secrets: added, read, switched off and on, and destroyed, at once or after a while.

Delayed destruction: docs secret-manager/docs/delay-destruction-of-secret-versions. Until its time
the version is disabled, and enabling or disabling it calls the destruction off.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

import google_crc32c

from simulator.api.calls import Call, Methods, on_name, on_parent
from simulator.api.errors import failed_precondition, invalid
from simulator.api.pages import listing
from simulator.api.selecting import selected
from simulator.core.cloud import Cloud
from simulator.core.platform import Containers
from simulator.services.kms.state import seconds
from simulator.services.secretmanager import encryption
from simulator.services.secretmanager.notifications import notify
from simulator.services.secretmanager.state import (
    SECRETS,
    Secret,
    Secrets,
    Version,
    check_etag,
    etag,
)

method = Methods()

MAX_BYTES = 65_536  # docs secret-manager/quotas


def _json(cloud: Cloud, secret: Secret, number: int, version: Version) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "name": f"{cloud[Containers].numbered(secret.name)}/versions/{number}",
        "createTime": version.created,
        "state": version.state,
        "replicationStatus": _replication_status(secret, version),
        "etag": etag(version.revision),
    }
    if version.checked:
        answer["clientSpecifiedPayloadChecksum"] = True
    if version.destroy:
        answer["scheduledDestroyTime"] = cloud.clock.rfc3339(version.destroy)
    if version.destroyed:
        answer["destroyTime"] = version.destroyed
    return answer


def _replication_status(secret: Secret, version: Version) -> dict[str, Any]:
    def sealed(location: str) -> dict[str, Any]:
        key = version.keys.get(location)
        return {"customerManagedEncryption": {"kmsKeyVersionName": key}} if key else {}

    if "automatic" in secret.info["replication"]:
        return {"automatic": sealed(encryption.ANYWHERE)}
    locations = [item["location"] for item in secret.info["replication"]["userManaged"]["replicas"]]
    return {"userManaged": {"replicas": [{"location": it, **sealed(it)} for it in locations]}}


@method(f"{SECRETS}.addVersion", permission="secretmanager.versions.add", on=on_parent)
def add_version(call: Call) -> dict[str, Any]:
    secret, payload = call.cloud[Secrets].get(call.resource), call.body.get("payload", {})
    try:
        data = base64.b64decode(payload.get("data", ""), validate=True)
    except binascii.Error:
        message = "Invalid value at 'payload.data' (TYPE_BYTES), Base64 decoding failed"
        raise invalid(message) from None
    if len(data) > MAX_BYTES:
        raise invalid(f"The payload is larger than {MAX_BYTES} bytes.")
    checksum = payload.get("dataCrc32c")
    if checksum is not None and int(checksum) != google_crc32c.value(data):
        raise invalid("The checksum in payload.data_crc32c does not match payload.data.")
    keys = encryption.sealing(call.cloud, secret)
    version = Version(call.cloud.clock.rfc3339(), data, checksum is not None, keys)
    secret.versions.append(version)
    return _told(call, secret, len(secret.versions), "SECRET_VERSION_ADD")


def _told(call: Call, secret: Secret, number: int, event: str) -> dict[str, Any]:
    """The version as an answer, which the secret's topics are told as well."""
    shown = _json(call.cloud, secret, number, secret.versions[number - 1])
    notify(call.cloud, secret, event, shown, shown["name"])
    return shown


@method(f"{SECRETS}.versions.get", permission="secretmanager.versions.get", on=on_name)
def get_version(call: Call) -> dict[str, Any]:
    return _json(call.cloud, *call.cloud[Secrets].version(call.resource))


@method(
    f"{SECRETS}.versions.list",
    permission="secretmanager.versions.list",
    on=on_parent,
    reads="filter pageSize pageToken",
)
def list_versions(call: Call) -> dict[str, Any]:
    """Newest first."""
    secret = call.cloud[Secrets].get(call.resource)
    numbered = list(enumerate(secret.versions, 1))
    items = {
        f"{len(numbered) - number:09}": _json(call.cloud, secret, number, version)
        for number, version in numbered
    }
    chosen = selected(call, "versions", items)
    return listing("versions", chosen, call.params, default=100, most=25_000, total=True)


@method(f"{SECRETS}.versions.access", permission="secretmanager.versions.access", on=on_name)
def access(call: Call) -> dict[str, Any]:
    secret, number, version = call.cloud[Secrets].version(call.resource)
    name = f"{call.cloud[Containers].numbered(secret.name)}/versions/{number}"
    if version.state != "ENABLED":
        # As users report it.
        raise failed_precondition(f"Secret Version [{name}] is in {version.state} state.")
    encryption.check_opens(call.cloud, secret, version)
    payload = {
        "data": base64.b64encode(version.data).decode(),
        "dataCrc32c": str(google_crc32c.value(version.data)),
    }
    return {"name": name, "payload": payload}


def _set_state(call: Call, state: str, event: str) -> dict[str, Any]:
    secret, number, version = call.cloud[Secrets].version(call.resource)
    check_etag(call.body.get("etag"), version.revision)
    if version.state == "DESTROYED":
        name = f"{call.cloud[Containers].numbered(secret.name)}/versions/{number}"
        raise failed_precondition(f"Secret Version [{name}] is in DESTROYED state.")
    if version.state == state and not version.destroy:
        return _json(call.cloud, secret, number, version)
    version.state, version.destroy = state, 0.0
    version.revision += 1
    return _told(call, secret, number, event)


@method(f"{SECRETS}.versions.enable", permission="secretmanager.versions.enable", on=on_name)
def enable(call: Call) -> dict[str, Any]:
    return _set_state(call, "ENABLED", "SECRET_VERSION_ENABLE")


@method(f"{SECRETS}.versions.disable", permission="secretmanager.versions.disable", on=on_name)
def disable(call: Call) -> dict[str, Any]:
    return _set_state(call, "DISABLED", "SECRET_VERSION_DISABLE")


@method(f"{SECRETS}.versions.destroy", permission="secretmanager.versions.destroy", on=on_name)
def destroy(call: Call) -> dict[str, Any]:
    cloud = call.cloud
    secret, number, version = cloud[Secrets].version(call.resource)
    check_etag(call.body.get("etag"), version.revision)
    if version.state == "DESTROYED":
        return _json(cloud, secret, number, version)
    if delay := secret.info.get("versionDestroyTtl"):
        version.state, version.destroy = "DISABLED", cloud.clock.now() + seconds(delay)
        version.revision += 1
        return _told(call, secret, number, "SECRET_VERSION_DESTROY_SCHEDULED")
    cloud[Secrets].destroy(version, cloud.clock.now())
    return _told(call, secret, number, "SECRET_VERSION_DESTROY")
