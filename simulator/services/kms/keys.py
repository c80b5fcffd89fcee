"""Key rings and keys: create, read, list, change; encrypt and decrypt."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any

import google_crc32c

from simulator.api.calls import Call, Methods, on_name, on_parent
from simulator.api.errors import already_exists, invalid, unimplemented
from simulator.api.pages import listing
from simulator.api.patching import copy_paths, named_paths
from simulator.api.selecting import selected
from simulator.iam import allowpolicies
from simulator.services.kms.state import Key, Kms, moment, seconds
from simulator.services.kms.versions import version_json

method = Methods()

RINGS = "cloudkms.projects.locations.keyRings"
KEYS = f"{RINGS}.cryptoKeys"
ID = re.compile(r"[a-zA-Z0-9_-]{1,63}")
# Discovery document: a day to a hundred years; at most 64 KiB of each.
ROTATION = (86_400, 3_153_600_000)
MAX_BYTES = 65_536
PROTECTION_LEVELS = ("SOFTWARE", "HSM")
CREATED = (
    "labels",
    "nextRotationTime",
    "rotationPeriod",
    "versionTemplate",
    "destroyScheduledDuration",
)
MUTABLE = CREATED[:-1]


def _on_key(call: Call) -> str:
    """Encrypting may name a version; what is checked is the key."""
    return str(call.params["name"]).partition("/cryptoKeyVersions/")[0]


def _checked_id(given: str, what: str) -> str:
    if not ID.fullmatch(given):
        raise invalid(f"{what} must match the regular expression `[a-zA-Z0-9_-]{{1,63}}`.")
    return given


@method(
    f"{RINGS}.create",
    permission="cloudkms.keyRings.create",
    on=on_parent,
    reads="keyRingId",
)
def create_ring(call: Call) -> dict[str, Any]:
    name = f"{call.resource}/keyRings/{_checked_id(call.params.get('keyRingId', ''), 'KeyRing ID')}"
    if name in call.cloud[Kms].rings:
        raise already_exists(f"KeyRing {name} already exists.")
    call.cloud[Kms].rings[name] = {"createTime": call.cloud.clock.rfc3339()}
    return _ring_json(call, name)


def _ring_json(call: Call, name: str) -> dict[str, Any]:
    return {"name": name, **call.cloud[Kms].rings[name]}


@method(f"{RINGS}.get", permission="cloudkms.keyRings.get", on=on_name)
def get_ring(call: Call) -> dict[str, Any]:
    return _ring_json(call, call.cloud[Kms].ring(call.resource))


@method(
    f"{RINGS}.list",
    permission="cloudkms.keyRings.list",
    on=on_parent,
    reads="filter orderBy pageSize pageToken",
)
def list_rings(call: Call) -> dict[str, Any]:
    place = f"{call.resource}/keyRings/"
    found = [name for name in call.cloud[Kms].rings if name.startswith(place)]
    items = selected(call, "keyRings", {name: _ring_json(call, name) for name in found})
    return listing("keyRings", items, call.params, default=100, most=1000, total=True)


def key_json(key: Key) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "name": key.name,
        "createTime": key.created,
        "purpose": "ENCRYPT_DECRYPT",
        "destroyScheduledDuration": "2592000s",
        **key.info,
        "versionTemplate": key.template,
    }
    if key.primary:
        answer["primary"] = version_json(key, key.versions[key.primary])
    return answer


def _check_info(info: dict[str, Any]) -> None:
    if period := info.get("rotationPeriod"):
        if not ROTATION[0] <= seconds(period) <= ROTATION[1]:
            raise invalid("rotation_period must be between a day and 100 years.")
        if not info.get("nextRotationTime"):
            raise invalid("If rotation_period is set, next_rotation_time must also be set.")
    if info.get("nextRotationTime"):
        moment(info["nextRotationTime"])
    template = info.get("versionTemplate", {})
    algorithm = template.get("algorithm", "GOOGLE_SYMMETRIC_ENCRYPTION")
    if algorithm != "GOOGLE_SYMMETRIC_ENCRYPTION":
        raise unimplemented(f"A key of algorithm {algorithm}")
    level = template.get("protectionLevel", "SOFTWARE")
    if level not in PROTECTION_LEVELS:
        raise unimplemented(f"A key of protection level {level}")


@method(
    f"{KEYS}.create",
    permission="cloudkms.cryptoKeys.create",
    on=on_parent,
    reads="cryptoKeyId skipInitialVersionCreation",
)
def create_key(call: Call) -> dict[str, Any]:
    kms, ring = call.cloud[Kms], call.cloud[Kms].ring(call.resource)
    key_id = _checked_id(call.params.get("cryptoKeyId", ""), "CryptoKey ID")
    name = f"{ring}/cryptoKeys/{key_id}"
    if name in kms.keys:
        raise already_exists(f"CryptoKey {name} already exists.")
    purpose = call.body.get("purpose")
    if not purpose:
        raise invalid("A CryptoKey needs a purpose.")
    if purpose != "ENCRYPT_DECRYPT":
        raise unimplemented(f"A key of purpose {purpose}")
    if "keyAccessJustificationsPolicy" in call.body:
        # An empty one denies all access, so it is not the same as none.
        raise unimplemented("A key's keyAccessJustificationsPolicy")
    info = {field: call.body[field] for field in CREATED if call.body.get(field)}
    _check_info(info)
    key = kms.keys[name] = Key(name, call.cloud.clock.rfc3339(), info)
    if not call.params.get("skipInitialVersionCreation"):
        key.primary = kms.add_version(key).number
    return key_json(key)


@method(f"{KEYS}.get", permission="cloudkms.cryptoKeys.get", on=on_name)
def get_key(call: Call) -> dict[str, Any]:
    return key_json(call.cloud[Kms].key(call.resource))


@method(
    f"{KEYS}.list",
    permission="cloudkms.cryptoKeys.list",
    on=on_parent,
    reads="filter orderBy pageSize pageToken versionView",
)
def list_keys(call: Call) -> dict[str, Any]:
    kms, place = call.cloud[Kms], f"{call.cloud[Kms].ring(call.resource)}/cryptoKeys/"
    found = [name for name in kms.keys if name.startswith(place)]
    items = selected(call, "cryptoKeys", {name: key_json(kms.key(name)) for name in found})
    return listing("cryptoKeys", items, call.params, default=100, most=1000, total=True)


@method(
    f"{KEYS}.patch",
    permission="cloudkms.cryptoKeys.update",
    on=on_name,
    reads="updateMask",
)
def patch_key(call: Call) -> dict[str, Any]:
    key = call.cloud[Kms].key(call.resource)
    paths = named_paths(call.params.get("updateMask"), MUTABLE)
    info = {**key.info}
    copy_paths(info, call.body, paths)
    _check_info(info)
    key.info = info
    return key_json(key)


@method(f"{KEYS}.updatePrimaryVersion", permission="cloudkms.cryptoKeys.update", on=on_name)
def update_primary(call: Call) -> dict[str, Any]:
    key = call.cloud[Kms].key(call.resource)
    number = call.body.get("cryptoKeyVersionId", "")
    _, version = call.cloud[Kms].version(f"{key.name}/cryptoKeyVersions/{number}")
    call.cloud[Kms].usable(key, version.number)
    key.primary = version.number
    return key_json(key)


@method(f"{KEYS}.encrypt", permission="cloudkms.cryptoKeyVersions.useToEncrypt", on=_on_key)
def encrypt(call: Call) -> dict[str, Any]:
    kms, key = call.cloud[Kms], call.cloud[Kms].key(call.resource)
    plaintext, extra = _data(call, "plaintext"), _data(call, "additionalAuthenticatedData")
    number = key.primary
    if call.params["name"] != key.name:
        number = kms.version(call.params["name"])[1].number
    sealed = kms.encrypt(key, number, plaintext, extra)
    answer: dict[str, Any] = {
        "name": f"{key.name}/cryptoKeyVersions/{number}",
        "ciphertext": base64.b64encode(sealed).decode(),
        "ciphertextCrc32c": str(google_crc32c.value(sealed)),
        "protectionLevel": key.template["protectionLevel"],
    }
    for name in ("plaintext", "additionalAuthenticatedData"):
        if f"{name}Crc32c" in call.body:
            answer[f"verified{name[0].upper()}{name[1:]}Crc32c"] = True
    return answer


@method(f"{KEYS}.decrypt", permission="cloudkms.cryptoKeyVersions.useToDecrypt", on=_on_key)
def decrypt(call: Call) -> dict[str, Any]:
    key = call.cloud[Kms].key(call.resource)
    sealed, extra = _data(call, "ciphertext"), _data(call, "additionalAuthenticatedData")
    number, plaintext = call.cloud[Kms].decrypt(key, sealed, extra)
    return {
        "plaintext": base64.b64encode(plaintext).decode(),
        "plaintextCrc32c": str(google_crc32c.value(plaintext)),
        "usedPrimary": number == key.primary,
        "protectionLevel": key.template["protectionLevel"],
    }


def _data(call: Call, name: str) -> bytes:
    """Bytes of the body, once their checksum, if any was sent, is right."""
    try:
        data = base64.b64decode(call.body.get(name, ""), validate=True)
    except binascii.Error:
        raise invalid(f"Invalid value at '{name}' (TYPE_BYTES), Base64 decoding failed") from None
    if len(data) > MAX_BYTES + (64 if name == "ciphertext" else 0):
        raise invalid(f"{name} is longer than {MAX_BYTES} bytes.")
    given = call.body.get(f"{name}Crc32c")
    if given is not None and int(given) != google_crc32c.value(data):
        raise invalid(f"The checksum in field {name}_crc32c did not match the data in {name}.")
    return data


def _require_ring(call: Call, name: str) -> object:
    return call.cloud[Kms].ring(name)


def _require_key(call: Call, name: str) -> object:
    return call.cloud[Kms].key(name)


allowpolicies.register(method, RINGS, "cloudkms.keyRings", _require_ring)
allowpolicies.register(method, KEYS, "cloudkms.cryptoKeys", _require_key)
