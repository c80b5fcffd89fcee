"""Key rings, keys, versions with their material, rotation and destruction on the cloud's clock."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from simulator.api.calls import Guard
from simulator.api.errors import failed_precondition, invalid, not_found
from simulator.core.cloud import Cloud, Holding
from simulator.core.platform import Containers
from simulator.core.principal import Principal

NONCE = 12
KEY_NAME = re.compile(r"projects/([^/]+)/(locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+)")
USE = ("cloudkms.cryptoKeyVersions.useToEncrypt", "cloudkms.cryptoKeyVersions.useToDecrypt")


@dataclass(slots=True)
class Version:
    """`material` is None once the version is destroyed."""

    number: int
    created: str
    material: bytes | None
    state: str = "ENABLED"
    destroy: float = 0.0
    destroyed: str = ""


@dataclass(slots=True)
class Key:
    """`info` holds the fields that callers set; `next_rotation` mirrors its nextRotationTime."""

    name: str
    created: str
    info: dict[str, Any]
    versions: dict[int, Version] = field(default_factory=dict)
    primary: int = 0

    @property
    def template(self) -> dict[str, Any]:
        defaults = {"algorithm": "GOOGLE_SYMMETRIC_ENCRYPTION", "protectionLevel": "SOFTWARE"}
        return {**defaults, **self.info.get("versionTemplate", {})}


class Kms(Holding):
    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self.rings: dict[str, dict[str, str]] = {}
        self.keys: dict[str, Key] = {}

    def seed(self, name: str) -> None:
        """A symmetric key, in its ring, with a version that is in use."""
        now = self._cloud.clock.rfc3339()
        self.rings.setdefault(name.rpartition("/cryptoKeys/")[0], {"createTime": now})
        key = self.keys[name] = Key(name, now, {"purpose": "ENCRYPT_DECRYPT"})
        key.primary = self.add_version(key).number

    def ring(self, name: str) -> str:
        if name not in self.rings:
            raise not_found(f"KeyRing {name} not found.")
        return name

    def key(self, name: str) -> Key:
        """The key as it is now: rotated when that was due, its versions destroyed."""
        if name not in self.keys:
            raise not_found(f"CryptoKey {name} not found.")
        key, now = self.keys[name], self._cloud.clock.now()
        for version in key.versions.values():
            if version.state == "DESTROY_SCHEDULED" and version.destroy <= now:
                version.state, version.material = "DESTROYED", None
                version.destroyed = self._cloud.clock.rfc3339(version.destroy)
        while (due := key.info.get("nextRotationTime")) and moment(due) <= now:
            self.add_version(key, moment(due))
            key.primary = max(key.versions)
            following = moment(due) + seconds(key.info["rotationPeriod"])
            key.info["nextRotationTime"] = self._cloud.clock.rfc3339(following)
        return key

    def version(self, name: str) -> tuple[Key, Version]:
        key = self.key(name.rpartition("/cryptoKeyVersions/")[0])
        number = name.rpartition("/")[2]
        if not number.isdigit() or int(number) not in key.versions:
            raise not_found(f"CryptoKeyVersion {name} not found.")
        return key, key.versions[int(number)]

    def add_version(self, key: Key, when: float | None = None) -> Version:
        number = max(key.versions, default=0) + 1
        created = self._cloud.clock.rfc3339(when)
        version = key.versions[number] = Version(number, created, AESGCM.generate_key(256))
        return version

    def usable(self, key: Key, number: int) -> AESGCM:
        version = key.versions.get(number)
        if version is None or version.state != "ENABLED" or version.material is None:
            # As users report it.
            state = version.state if version else "DESTROYED"
            name = f"{key.name}/cryptoKeyVersions/{number}"
            raise failed_precondition(f"{name} is not enabled, current state is: {state}.")
        return AESGCM(version.material)

    def normal(self, name: str) -> str:
        """A key's name from another service's configuration, with the project's id."""
        found = KEY_NAME.fullmatch(name)
        if found is None:
            raise invalid(
                f"The key {name} is not of the form projects/{{project}}/locations/{{location}}/"
                "keyRings/{ring}/cryptoKeys/{key}."
            )
        return f"projects/{self._cloud[Containers].id(found[1])}/{found[2]}"

    def check_use(self, agent: Principal, name: str, number: int | None = None) -> None:
        """Raise unless a service can use the key as its agent: a version, or the primary one.

        What Cloud KMS answers the service: 403 for a permission that the agent lacks, 404, or 400
        when the version is not enabled. What the service makes of it is its own.
        """
        for permission in USE:
            self._cloud[Guard].check(agent, permission, name)
        key = self.key(name)
        self.usable(key, key.primary if number is None else number)

    def encrypt(self, key: Key, number: int, plaintext: bytes, extra: bytes) -> bytes:
        """The version's number, a nonce, and AES-256-GCM; only this cloud can read it."""
        nonce = secrets.token_bytes(NONCE)
        sealed = self.usable(key, number).encrypt(nonce, plaintext, extra)
        return number.to_bytes(4, "big") + nonce + sealed

    def decrypt(self, key: Key, ciphertext: bytes, extra: bytes) -> tuple[int, bytes]:
        """The number of the version that did it, and the plaintext."""
        number, rest = int.from_bytes(ciphertext[:4], "big"), ciphertext[4:]
        bad = invalid("Decryption failed: the ciphertext is invalid.")
        if number not in key.versions:
            raise bad
        try:
            return number, self.usable(key, number).decrypt(rest[:NONCE], rest[NONCE:], extra)
        except (InvalidTag, ValueError):
            raise bad from None

    def live(self) -> dict[str, list[str]]:
        """Versions that can be used or restored; rings and keys stay for ever."""
        versions = [
            f"{key.name}/cryptoKeyVersions/{number}"
            for key in map(self.key, self.keys)
            for number, version in key.versions.items()
            if version.state in ("ENABLED", "DISABLED")
        ]
        return {
            "keyRings": sorted(self.rings),
            "cryptoKeys": sorted(self.keys),
            "cryptoKeyVersions": sorted(versions),
        }


def moment(text: str) -> float:
    """Unix seconds of a timestamp."""
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        raise invalid(f'Invalid value at a timestamp field, "{text}"') from None


def seconds(text: str) -> float:
    """Of a duration as JSON has it: `86400s`."""
    try:
        return float(text.removesuffix("s"))
    except ValueError:
        raise invalid(f'Invalid value at a duration field, "{text}"') from None
