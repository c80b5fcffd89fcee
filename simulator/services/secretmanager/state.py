"""Secrets by name and their versions, on the cloud's clock."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from simulator.api.errors import failed_precondition, not_found
from simulator.core.cloud import Cloud, Holding
from simulator.core.platform import Containers
from simulator.core.principal import Principal
from simulator.iam.decisions import Iam
from simulator.identity.accounts import Accounts
from simulator.services.kms.state import moment

SECRETS = "secretmanager.projects.secrets"


@dataclass(slots=True)
class Version:
    """`keys`: customers' keys it is sealed with, by location; `destroy`: when it will be gone."""

    created: str
    data: bytes
    checked: bool
    keys: dict[str, str] = field(default_factory=dict)
    state: str = "ENABLED"
    destroy: float = 0.0
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


class Secrets(Holding):
    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._secrets: dict[str, Secret] = {}

    def find(self, name: str) -> Secret | None:
        """The secret as it is now: unless it has expired, without versions whose time is over."""
        secret = self._secrets.get(name)
        expires = secret.info.get("expireTime") if secret else None
        if expires and moment(expires) <= self._cloud.clock.now():
            self.delete(name)
            return None
        for version in secret.versions if secret else ():
            if version.destroy and version.destroy <= self._cloud.clock.now():
                self.destroy(version, version.destroy)
        return secret

    def get(self, name: str) -> Secret:
        secret = self.find(name)
        if secret is None:
            raise not_found(f"Secret [{self._cloud[Containers].numbered(name)}] not found.")
        return secret

    def version(self, name: str) -> tuple[Secret, int, Version]:
        """By number, by an alias of the secret, or the newest as `latest`."""
        parent, _, reference = name.rpartition("/versions/")
        secret = self.get(parent)
        number = secret.info.get("versionAliases", {}).get(reference, reference)
        if reference == "latest":
            number = len(secret.versions)
        if not str(number).isdigit() or not 0 < int(number) <= len(secret.versions):
            shown = self._cloud[Containers].numbered(name)
            raise not_found(f"Secret Version [{shown}] not found.")
        return secret, int(number), secret.versions[int(number) - 1]

    def under(self, project: str) -> list[Secret]:
        names = [name for name in self._secrets if name.startswith(f"{project}/secrets/")]
        return [secret for secret in map(self.find, names) if secret]

    def add(self, secret: Secret) -> None:
        self._secrets[secret.name] = secret

    def exists(self, secret: Secret) -> bool:
        """Whether this is still the secret of its name."""
        return self._secrets.get(secret.name) is secret

    def delete(self, name: str) -> None:
        del self._secrets[name]
        self._cloud[Iam].forget(name)

    def destroy(self, version: Version, when: float) -> None:
        version.state, version.data, version.destroy = "DESTROYED", b"", 0.0
        version.destroyed = self._cloud.clock.rfc3339(when)
        version.revision += 1

    def agent(self, secret: str) -> Principal | None:
        """The service agent of the secret's project, which somebody has to make (recorded)."""
        return self._cloud[Accounts].agent("secretmanager", secret.split("/")[1])

    def live(self) -> dict[str, list[str]]:
        return {"secrets": sorted(self._secrets)}


def etag(revision: int) -> str:
    # A quoted string, as HTTP has them.
    return f'"{revision:014x}"'


def check_etag(given: str | None, revision: int) -> None:
    """Which error it is that Google sends is not recorded."""
    if given not in (None, "", etag(revision)):
        raise failed_precondition("The etag provided does not match the one that is stored.")


def secret_json(cloud: Cloud, secret: Secret) -> dict[str, Any]:
    return {
        "name": cloud[Containers].numbered(secret.name),
        "createTime": secret.created,
        "etag": etag(secret.revision),
        **secret.info,
    }
