"""Who may call, by tokens of ClearBlade's own, and what is registered."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from simulator.api.calls import Call
from simulator.api.errors import ApiError, invalid, not_found
from simulator.core.cloud import Cloud, Holding

TOKEN: Final = "clearblade-usertoken"
ADMIN_HOST: Final = "iot.clearblade.com"
REGIONS: Final = ("asia-east1", "europe-west1", "us-central1")
KEPT: Final = 10
"""Versions of a config."""

# docs.clearblade.com/iotcore, requirements
ID: Final = re.compile(r"(?!goog)[a-zA-Z][-a-zA-Z0-9._+~%]{2,254}")
REGISTRY: Final = re.compile(r"projects/([^/]+)/locations/([^/]+)/registries/([^/]+)")


@dataclass(frozen=True, slots=True)
class Keys:
    """What a call names and shows; `of` is a project, or the registry they are good for."""

    of: str
    system_key: str = field(repr=False)
    token: str = field(repr=False)


@dataclass(slots=True)
class Device:
    """`versions` of its config, the newest one last, as they are answered."""

    id: str
    number: str
    info: dict[str, Any]
    versions: list[dict[str, Any]]

    def json(self, registry: str) -> dict[str, Any]:
        return {
            "id": self.id,
            "name": f"{registry}/devices/{self.id}",
            "numId": self.number,
            "credentials": [],
            "blocked": False,
            "logLevel": "NONE",
            "metadata": {},
            "gatewayConfig": {"gatewayType": "NON_GATEWAY"},
            **self.info,
            "config": self.versions[-1],
            "state": {"updateTime": "", "binaryData": ""},
        }


@dataclass(slots=True)
class Registry:
    name: str
    info: dict[str, Any]
    devices: dict[str, Device] = field(default_factory=dict)

    def json(self) -> dict[str, Any]:
        return {
            "id": self.name.rpartition("/")[2],
            "name": self.name,
            "eventNotificationConfigs": [],
            "stateNotificationConfig": {"pubsubTopicName": ""},
            "mqttConfig": {"mqttEnabledState": "MQTT_ENABLED"},
            "httpConfig": {"httpEnabledState": "HTTP_ENABLED"},
            "logLevel": "NONE",
            "credentials": [],
            **self.info,
        }

    def device(self, name: str) -> Device:
        """By its full name, its id or its number. 404 for none."""
        given = name.removeprefix(f"{self.name}/devices/")
        for device in self.devices.values():
            if given in (device.id, device.number):
                return device
        raise not_found(f"Device {given} not found in registry {self.name}.")


class ClearBlade(Holding):
    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self.registries: dict[str, Registry] = {}
        # No dictionary: a dump leaves them out.
        self._projects: list[Keys] = []

    def seed(self, project: str, system_key: str, token: str) -> None:
        """A service account of a project's, as ClearBlade's console gives it out."""
        self._projects.append(Keys(project, system_key, token))

    def live(self) -> dict[str, list[str]]:
        return {
            "deviceRegistries": sorted(self.registries),
            "registeredDevices": sorted(
                f"{registry.name}/devices/{id}"
                for registry in self.registries.values()
                for id in registry.devices
            ),
        }

    def project(self, call: Call) -> str:
        """The project whose service account calls. 401 for anybody else."""
        if call.host != ADMIN_HOST:
            raise refused()
        return _known(call, self._projects).of

    def keys(self, name: str) -> Keys:
        """Those of a registry; others once it was made anew by another service account."""
        project = REGISTRY.fullmatch(name)
        owner = next(keys for keys in self._projects if project and keys.of == project[1])
        digest = hashlib.sha256(f"{owner.token} {name}".encode()).hexdigest()
        return Keys(name, digest[:32], digest[32:])

    def registry(self, call: Call) -> Registry:
        """The registry whose keys a call to its region shows. 401 for others."""
        region = call.host.partition(".")[0]
        here = [self.keys(name) for name in self.registries if f"/locations/{region}/" in name]
        return self.registries[_known(call, here).of]


def is_admin(call: Call) -> bool:
    """Whether a call is about a project's registries, not about one registry."""
    return call.host == ADMIN_HOST


def _known(call: Call, keys: list[Keys]) -> Keys:
    sent = call.headers.get(TOKEN, "").encode()
    for known in keys:
        if call.params["systemKey"] == known.system_key:
            if secrets.compare_digest(sent, known.token.encode()):
                return known
            break
    raise refused()


def refused() -> ApiError:
    return ApiError(401, "UNAUTHENTICATED", "The user token is invalid or has expired.")


def checked_id(body: Mapping[str, Any]) -> str:
    id = str(body.get("id") or "")
    if not ID.fullmatch(id):
        raise invalid(f"Invalid id '{id}'.")
    return id
