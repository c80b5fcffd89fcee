"""Artifact Registry: repositories, without what is in them.

Permissions: by the names in the catalogue. Shapes of answers, operations and the 404:
http-logs/artifactregistry-repository.log; of its vulnerabilityScanningConfig, which depends on
another API, nothing is said here.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rehearsal.cloud.api import (
    Call,
    already_exists,
    invalid,
    mask_paths,
    method,
    not_found,
)
from rehearsal.cloud.services import allowpolicies
from rehearsal.cloud.services.listing import listing

if TYPE_CHECKING:
    from rehearsal.cloud.cloud import Cloud

REPOSITORIES = "artifactregistry.projects.locations.repositories"
TYPES = "type.googleapis.com/google.devtools.artifactregistry.v1"
ID = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
MUTABLE = (
    "cleanupPolicies",
    "cleanupPolicyDryRun",
    "description",
    "dockerConfig",
    "labels",
    "remoteRepositoryConfig",
    "virtualRepositoryConfig",
    "vulnerabilityScanningConfig",
)
CREATED = (*MUTABLE, "format", "kmsKeyName", "mavenConfig", "mode")


@dataclass(slots=True)
class Repository:
    name: str
    created: str
    updated: str
    info: dict[str, Any]

    def json(self) -> dict[str, Any]:
        _, project, _, location, _, repository = self.name.split("/")
        kind = self.info["format"].lower()
        return {
            "name": self.name,
            "createTime": self.created,
            "updateTime": self.updated,
            "mode": "STANDARD_REPOSITORY",
            "registryUri": f"{location}-{kind}.pkg.dev/{project}/{repository}",
            "satisfiesPzi": True,
            **self.info,
        }


class ArtifactRegistry:
    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self.repositories: dict[str, Repository] = {}
        # names that unfinished operations will create
        self.reserved: set[str] = set()
        # operation -> the repository it is about
        self.started: dict[str, str] = {}

    def get(self, name: str) -> Repository:
        if name not in self.repositories:
            raise not_found("Requested entity was not found.")
        return self.repositories[name]

    def live(self) -> dict[str, list[str]]:
        return {"repositories": sorted(self.repositories)}


def _on_parent(call: Call) -> str:
    return str(call.params["parent"])


def _on_name(call: Call) -> str:
    return str(call.params["name"])


def _start(call: Call, name: str, run: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    location = name.partition("/repositories/")[0]
    operation = f"{location}/operations/{call.cloud.unique_id()}"
    call.cloud.artifacts.started[operation] = name
    return call.cloud.operations.start(
        operation, metadata={"@type": f"{TYPES}.OperationMetadata"}, run=run
    )


@method(f"{REPOSITORIES}.create", permission="artifactregistry.repositories.create", on=_on_parent)
def create(call: Call) -> dict[str, Any]:
    registry, given = call.cloud.artifacts, call.params.get("repositoryId", "")
    if not ID.fullmatch(given):
        raise invalid(f"Invalid repository ID: {given!r}")
    if call.body.get("format", "FORMAT_UNSPECIFIED") == "FORMAT_UNSPECIFIED":
        raise invalid("A repository needs a format.")
    name = f"{call.resource}/repositories/{given}"
    if name in registry.repositories or name in registry.reserved:
        raise already_exists("the repository already exists")
    registry.reserved.add(name)

    def run() -> dict[str, Any]:
        registry.reserved.discard(name)
        now = call.cloud.clock.rfc3339()
        info = {key: call.body[key] for key in CREATED if call.body.get(key)}
        registry.repositories[name] = Repository(name, now, now, info)
        return {"@type": f"{TYPES}.Repository", **registry.repositories[name].json()}

    return _start(call, name, run)


@method(f"{REPOSITORIES}.get", permission="artifactregistry.repositories.get", on=_on_name)
def get(call: Call) -> dict[str, Any]:
    return call.cloud.artifacts.get(call.resource).json()


@method(f"{REPOSITORIES}.list", permission="artifactregistry.repositories.list", on=_on_parent)
def list_repositories(call: Call) -> dict[str, Any]:
    found = call.cloud.artifacts.repositories.items()
    place = f"{call.resource}/repositories/"
    items = {name: item.json() for name, item in found if name.startswith(place)}
    return listing("repositories", items, call.params, default=100, most=1000)


@method(f"{REPOSITORIES}.patch", permission="artifactregistry.repositories.update", on=_on_name)
def patch(call: Call) -> dict[str, Any]:
    repository = call.cloud.artifacts.get(call.resource)
    paths = {path.partition(".")[0] for path in mask_paths(call.params.get("updateMask"))}
    if paths - set(MUTABLE):
        raise invalid(f"update_mask can name {', '.join(MUTABLE)}.")
    # Without a mask, what the body has.
    paths = paths or {key for key in MUTABLE if call.body.get(key)}
    info = {key: value for key, value in repository.info.items() if key not in paths}
    repository.info = info | {key: call.body[key] for key in paths if call.body.get(key)}
    repository.updated = call.cloud.clock.rfc3339()
    return repository.json()


@method(f"{REPOSITORIES}.delete", permission="artifactregistry.repositories.delete", on=_on_name)
def delete(call: Call) -> dict[str, Any]:
    registry, repository = call.cloud.artifacts, call.cloud.artifacts.get(call.resource)

    def run() -> dict[str, Any]:
        registry.repositories.pop(repository.name, None)
        call.cloud.iam.forget(repository.name)
        return {"@type": "type.googleapis.com/google.protobuf.Empty"}

    return _start(call, repository.name, run)


def _on_operation(call: Call) -> str:
    name = str(call.params["name"])
    return call.cloud.artifacts.started.get(name) or name.partition("/operations/")[0]


# An inference: there is no artifactregistry.operations.get.
@method(
    "artifactregistry.projects.locations.operations.get",
    permission="artifactregistry.repositories.get",
    on=_on_operation,
)
def get_operation(call: Call) -> dict[str, Any]:
    return call.cloud.operations.get(call.params["name"])


def _require(call: Call, name: str) -> object:
    return call.cloud.artifacts.get(name)


allowpolicies.register(REPOSITORIES, "artifactregistry.repositories", _require)
