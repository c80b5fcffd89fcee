"""Secret Manager: secrets, their versions, and who may read them.

Permissions: by the names in the catalogue. Shapes of answers and the 404: the recordings of secret
versions in k8s-config-connector. Names in answers carry the project's number. Replication is kept
as given; it has no effect here.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import google_crc32c

from rehearsal.cloud.api import (
    Call,
    already_exists,
    failed_precondition,
    invalid,
    mask_paths,
    method,
    not_found,
)
from rehearsal.cloud.services import allowpolicies
from rehearsal.cloud.services.kms.state import moment, seconds
from rehearsal.cloud.services.listing import listing

if TYPE_CHECKING:
    from rehearsal.cloud.cloud import Cloud

SECRETS = "secretmanager.projects.secrets"
ID = re.compile(r"[a-zA-Z0-9_-]{1,255}")
MAX_BYTES = 65_536  # docs secret-manager/quotas
MUTABLE = (
    "annotations",
    "customerManagedEncryption",
    "expireTime",
    "labels",
    "rotation",
    "topics",
    "ttl",
    "versionAliases",
    "versionDestroyTtl",
)
CREATED = (*MUTABLE, "replication", "tags")


@dataclass(slots=True)
class Version:
    created: str
    data: bytes
    checked: bool
    state: str = "ENABLED"
    destroyed: str = ""
    revision: int = 1


@dataclass(slots=True)
class Secret:
    """`info` holds the fields that callers set; versions are numbered from 1."""

    name: str
    created: str
    info: dict[str, Any]
    versions: list[Version] = field(default_factory=list)
    revision: int = 1


def _etag(revision: int) -> str:
    # A quoted string, as HTTP has them.
    return f'"{revision:014x}"'


class Secrets:
    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._secrets: dict[str, Secret] = {}

    def find(self, name: str) -> Secret | None:
        """The secret, unless it has expired."""
        secret = self._secrets.get(name)
        expires = secret.info.get("expireTime") if secret else None
        if expires and moment(expires) <= self._cloud.clock.now():
            self.delete(name)
            return None
        return secret

    def get(self, name: str) -> Secret:
        secret = self.find(name)
        if secret is None:
            raise not_found(f"Secret [{self._cloud.projects.numbered(name)}] not found.")
        return secret

    def version(self, name: str) -> tuple[Secret, int, Version]:
        """By number, by an alias of the secret, or the newest as `latest`."""
        parent, _, reference = name.rpartition("/versions/")
        secret = self.get(parent)
        number = secret.info.get("versionAliases", {}).get(reference, reference)
        if reference == "latest":
            number = len(secret.versions)
        if not str(number).isdigit() or not 0 < int(number) <= len(secret.versions):
            shown = self._cloud.projects.numbered(name)
            raise not_found(f"Secret Version [{shown}] not found.")
        return secret, int(number), secret.versions[int(number) - 1]

    def under(self, project: str) -> list[Secret]:
        names = [name for name in self._secrets if name.startswith(f"{project}/secrets/")]
        return [secret for secret in map(self.find, names) if secret]

    def add(self, secret: Secret) -> None:
        self._secrets[secret.name] = secret

    def delete(self, name: str) -> None:
        del self._secrets[name]
        self._cloud.iam.forget(name)

    def live(self) -> dict[str, list[str]]:
        return {"secrets": sorted(self._secrets)}


def _on_parent(call: Call) -> str:
    return str(call.params["parent"])


def _on_name(call: Call) -> str:
    return str(call.params["name"])


def _json(call: Call, secret: Secret) -> dict[str, Any]:
    return {
        "name": call.cloud.projects.numbered(secret.name),
        "createTime": secret.created,
        "etag": _etag(secret.revision),
        **secret.info,
    }


def _version_json(call: Call, secret: Secret, number: int, version: Version) -> dict[str, Any]:
    name = f"{call.cloud.projects.numbered(secret.name)}/versions/{number}"
    kind = next(iter(secret.info["replication"]))
    replicas = secret.info["replication"][kind].get("replicas", ())
    status = {"replicas": [{"location": item["location"]} for item in replicas]} if replicas else {}
    answer: dict[str, Any] = {
        "name": name,
        "createTime": version.created,
        "state": version.state,
        "replicationStatus": {kind: status},
        "etag": _etag(version.revision),
    }
    if version.checked:
        answer["clientSpecifiedPayloadChecksum"] = True
    if version.destroyed:
        answer["destroyTime"] = version.destroyed
    return answer


def _check_etag(etag: str | None, revision: int) -> None:
    """Which error it is that Google sends is not recorded."""
    if etag not in (None, "", _etag(revision)):
        raise failed_precondition("The etag provided does not match the one that is stored.")


def _expiring(call: Call, info: dict[str, Any]) -> dict[str, Any]:
    """`ttl` is input only: it becomes the time."""
    if info.get("ttl") and info.get("expireTime"):
        raise invalid("Only one of ttl and expire_time can be set.")
    if ttl := info.pop("ttl", None):
        info["expireTime"] = call.cloud.clock.rfc3339(call.cloud.clock.now() + seconds(ttl))
    return info


@method(f"{SECRETS}.create", permission="secretmanager.secrets.create", on=_on_parent)
def create(call: Call) -> dict[str, Any]:
    secret_id = call.params.get("secretId", "")
    if not ID.fullmatch(secret_id):
        raise invalid("The secret_id must match `[a-zA-Z0-9_-]{1,255}`.")
    replication = call.body.get("replication") or {}
    if len(replication) != 1:
        raise invalid("A secret needs one kind of replication: automatic or user_managed.")
    name = f"{call.resource}/secrets/{secret_id}"
    if call.cloud.secrets.find(name):
        raise already_exists(f"Secret [{call.cloud.projects.numbered(name)}] already exists.")
    info = {key: call.body[key] for key in CREATED if call.body.get(key)}
    secret = Secret(name, call.cloud.clock.rfc3339(), _expiring(call, info))
    call.cloud.secrets.add(secret)
    return _json(call, secret)


@method(f"{SECRETS}.get", permission="secretmanager.secrets.get", on=_on_name)
def get(call: Call) -> dict[str, Any]:
    return _json(call, call.cloud.secrets.get(call.resource))


@method(f"{SECRETS}.list", permission="secretmanager.secrets.list", on=_on_parent)
def list_secrets(call: Call) -> dict[str, Any]:
    found = call.cloud.secrets.under(call.resource)
    items = {secret.name: _json(call, secret) for secret in found}
    listed = listing("secrets", items, call.params, default=100, most=25_000)
    return {**listed, "totalSize": len(items)}


@method(f"{SECRETS}.patch", permission="secretmanager.secrets.update", on=_on_name)
def patch(call: Call) -> dict[str, Any]:
    secret = call.cloud.secrets.get(call.resource)
    _check_etag(call.body.get("etag"), secret.revision)
    paths = {path.partition(".")[0] for path in mask_paths(call.params.get("updateMask"))}
    if not paths or paths - set(MUTABLE):
        raise invalid(f"update_mask must name some of {', '.join(MUTABLE)}.")
    dropped = paths | ({"expireTime"} if "ttl" in paths else set())
    info = {key: value for key, value in secret.info.items() if key not in dropped}
    given = {key: call.body[key] for key in paths if call.body.get(key)}
    secret.info = info | _expiring(call, given)
    secret.revision += 1
    return _json(call, secret)


@method(f"{SECRETS}.delete", permission="secretmanager.secrets.delete", on=_on_name)
def delete(call: Call) -> dict[str, Any]:
    secret = call.cloud.secrets.get(call.resource)
    _check_etag(call.params.get("etag"), secret.revision)
    call.cloud.secrets.delete(secret.name)
    return {}


@method(f"{SECRETS}.addVersion", permission="secretmanager.versions.add", on=_on_parent)
def add_version(call: Call) -> dict[str, Any]:
    secret, payload = call.cloud.secrets.get(call.resource), call.body.get("payload", {})
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
    version = Version(call.cloud.clock.rfc3339(), data, checksum is not None)
    secret.versions.append(version)
    return _version_json(call, secret, len(secret.versions), version)


@method(f"{SECRETS}.versions.get", permission="secretmanager.versions.get", on=_on_name)
def get_version(call: Call) -> dict[str, Any]:
    return _version_json(call, *call.cloud.secrets.version(call.resource))


@method(f"{SECRETS}.versions.list", permission="secretmanager.versions.list", on=_on_parent)
def list_versions(call: Call) -> dict[str, Any]:
    """Newest first."""
    secret = call.cloud.secrets.get(call.resource)
    numbered = list(enumerate(secret.versions, 1))
    items = {
        f"{len(numbered) - number:09}": _version_json(call, secret, number, version)
        for number, version in numbered
    }
    listed = listing("versions", items, call.params, default=100, most=25_000)
    return {**listed, "totalSize": len(items)}


@method(f"{SECRETS}.versions.access", permission="secretmanager.versions.access", on=_on_name)
def access(call: Call) -> dict[str, Any]:
    secret, number, version = call.cloud.secrets.version(call.resource)
    name = f"{call.cloud.projects.numbered(secret.name)}/versions/{number}"
    if version.state != "ENABLED":
        # As users report it.
        raise failed_precondition(f"Secret Version [{name}] is in {version.state} state.")
    payload = {
        "data": base64.b64encode(version.data).decode(),
        "dataCrc32c": str(google_crc32c.value(version.data)),
    }
    return {"name": name, "payload": payload}


def _set_state(call: Call, state: str) -> dict[str, Any]:
    secret, number, version = call.cloud.secrets.version(call.resource)
    _check_etag(call.body.get("etag"), version.revision)
    if version.state == "DESTROYED" != state:
        name = f"{call.cloud.projects.numbered(secret.name)}/versions/{number}"
        raise failed_precondition(f"Secret Version [{name}] is in DESTROYED state.")
    if version.state != state:
        version.state = state
        version.revision += 1
    if state == "DESTROYED":
        version.data = b""
        version.destroyed = version.destroyed or call.cloud.clock.rfc3339()
    return _version_json(call, secret, number, version)


@method(f"{SECRETS}.versions.enable", permission="secretmanager.versions.enable", on=_on_name)
def enable(call: Call) -> dict[str, Any]:
    return _set_state(call, "ENABLED")


@method(f"{SECRETS}.versions.disable", permission="secretmanager.versions.disable", on=_on_name)
def disable(call: Call) -> dict[str, Any]:
    return _set_state(call, "DISABLED")


@method(f"{SECRETS}.versions.destroy", permission="secretmanager.versions.destroy", on=_on_name)
def destroy(call: Call) -> dict[str, Any]:
    return _set_state(call, "DESTROYED")


def _require(call: Call, name: str) -> object:
    return call.cloud.secrets.get(name)


allowpolicies.register(SECRETS, "secretmanager.secrets", _require)
