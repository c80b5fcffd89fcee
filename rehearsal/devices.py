"""That the registry in ClearBlade tells devices where to ask, and that nobody learns its keys."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from rehearsal.environment import CLEARBLADE_FILE, clearblade
from rehearsal.report import Stage, StageFailed
from rehearsal.run import Rehearsal
from rehearsal.sandbox import GoogleError
from vertexops.clearblade import Account, Keys, account


class Console:
    """ClearBlade as somebody sees and changes it by hand, beside the stack."""

    def __init__(self, run: Rehearsal) -> None:
        settings = run.environment.settings
        self._google, self._file = run.sandbox.anybody(), clearblade(settings.project)
        self._region = settings.registry_region
        self._registry = settings.device_registry.registry or ""
        self.name = (
            f"projects/{settings.project}/locations/{self._region}/registries/{self._registry}"
        )

    @property
    def account(self) -> Account:
        return account(json.dumps(self._file), "the rehearsal's own")

    def keys(self) -> Keys:
        """Of the registry."""
        body = {
            "project": self._file["project"],
            "region": self._region,
            "registry": self._registry,
        }
        given = self._call(
            self.account.keys, "POST", "api/v/1/code/{}/getRegistryCredentials", body
        )
        return Keys(given["url"], given["systemKey"], given["serviceAccountToken"])

    def devices(self) -> dict[str, Any]:
        """What is registered, by id."""
        listed = self._devices("GET", f"?parent={self.name}&pageSize=1000").get("devices", ())
        return {device["id"]: device for device in listed}

    def register(self, id: str) -> None:
        self._devices("POST", "", {"id": id})

    def forget(self, id: str) -> None:
        self._devices("DELETE", f"?name={id}")

    def tell(self, id: str, config: bytes) -> None:
        body = {"binaryData": base64.b64encode(config).decode(), "versionToUpdate": "0"}
        self._devices("POST", f"?method=modifyCloudToDeviceConfig&name={id}", body)

    def _devices(self, verb: str, query: str, body: Any = None) -> Any:
        path = "api/v/4/webhook/execute/{}/cloudiot_devices"
        return self._call(self.keys(), verb, f"{path}{query}", body)

    def _call(self, keys: Keys, verb: str, path: str, body: Any = None) -> Any:
        url = f"{keys.url}/{path.format(keys.system_key)}"
        return self._google.call(verb, url, body, {"ClearBlade-UserToken": keys.token})


def tell(run: Rehearsal, stage: Stage) -> None:
    """Every gateway and device is told the endpoint and what is on it; no key is anywhere."""
    version = demand_told(run)
    looked = demand_secret(run)
    wanted = run.environment.settings.device_registry
    stage.note = (
        f"{len(wanted.gateways)} gateways and {len(wanted.devices)} devices told, config version "
        f"{version}; no key in {looked} files"
    )
    run.report.summary["devices"] = {
        "gateways": len(wanted.gateways),
        "devices": len(wanted.devices),
        "config_version": version,
    }


def demand_told(run: Rehearsal) -> int:
    """The version that all configs have. Raises StageFailed unless they say what is there."""
    settings, outputs = run.environment.settings, run.engine.outputs()
    wanted = settings.device_registry
    dns = outputs["dedicatedDns"] if settings.dedicated_endpoint else ""
    told = {
        "endpoint": outputs["endpoint"],
        "host": dns or f"{settings.region}-aiplatform.googleapis.com",
        "modelVersions": sorted(it["model"].split("/")[-1] for it in outputs["deployedModels"]),
        "region": settings.region,
    }
    there = Console(run).devices()
    missing = {*wanted.gateways, *wanted.devices} ^ there.keys()
    if missing:
        raise StageFailed(f"not as registered: {', '.join(sorted(missing))}")
    versions = set()
    for id, device in there.items():
        config = json.loads(base64.b64decode(device["config"]["binaryData"]))
        if config != told:
            raise StageFailed(f"{id} is told something else", f"{config}\nnot {told}")
        gateway = device["gatewayConfig"]["gatewayType"] == "GATEWAY"
        if gateway != (id in wanted.gateways):
            raise StageFailed(f"{id} is {'a' if gateway else 'no'} gateway")
        versions.add(int(device["config"]["version"]))
    if len(versions) != 1:
        raise StageFailed("configs have versions of their own", str(sorted(versions)))
    return versions.pop()


def demand_secret(run: Rehearsal) -> int:
    """How many files were looked through. Raises StageFailed when one of them holds a key."""
    console = Console(run)
    keys = [console.account.keys]
    with suppress(GoogleError):  # the registry may be gone
        keys.append(console.keys())
    secrets = [text.encode() for it in keys for text in (it.token, it.system_key)]
    looked = 0
    folders = (run.sandbox.directory, run.report.folder, run.report.output)
    for file in _files(*filter(None, folders)):
        content, looked = file.read_bytes(), looked + 1
        if any(secret in content for secret in secrets):
            raise StageFailed(f"a key of ClearBlade's is in {file}")
    return looked


def _files(*folders: Path) -> Iterator[Path]:
    """All that a rehearsal leaves but its models, and the file that its keys come from."""
    for folder in folders:
        for path in folder.rglob("*"):
            if path.is_file() and path.suffix != ".joblib" and path.name != CLEARBLADE_FILE:
                yield path
