"""Artifact Registry: repositories, without what is in them.

Permissions: by the names in the catalogue. Shapes of answers, operations and the 404:
http-logs/artifactregistry-repository.log; of its vulnerabilityScanningConfig, which depends on
another API, nothing is said here.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from simulator.api.calls import Call, Methods, Service, on_name, on_parent
from simulator.api.errors import ApiError, already_exists, failed_precondition, invalid, not_found
from simulator.api.honoured import ALL, Table
from simulator.api.operations import Operations
from simulator.api.pages import listing
from simulator.api.patching import copy_paths, named_paths
from simulator.api.selecting import selected
from simulator.core.cloud import Cloud, Holding
from simulator.iam import allowpolicies
from simulator.iam.decisions import Iam
from simulator.identity.accounts import Accounts
from simulator.services.kms.state import Kms

method = Methods()

REPOSITORIES = "artifactregistry.projects.locations.repositories"
TYPES = "type.googleapis.com/google.devtools.artifactregistry.v1"
ID = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
MUTABLE = (
    "cleanupPolicies",
    "cleanupPolicyDryRun",
    "description",
    "dockerConfig",
    "labels",
    "platformLogsConfig",
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


class ArtifactRegistry(Holding):
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


def _start(call: Call, name: str, run: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    location = name.partition("/repositories/")[0]
    operation = f"{location}/operations/{call.cloud.unique_id()}"
    call.cloud[ArtifactRegistry].started[operation] = name
    return call.cloud[Operations].start(
        operation, metadata={"@type": f"{TYPES}.OperationMetadata"}, run=run
    )


@method(
    f"{REPOSITORIES}.create",
    permission="artifactregistry.repositories.create",
    on=on_parent,
    reads="repositoryId",
)
def create(call: Call) -> dict[str, Any]:
    registry, given = call.cloud[ArtifactRegistry], call.params.get("repositoryId", "")
    if not ID.fullmatch(given):
        raise invalid(f"Invalid repository ID: {given!r}")
    if call.body.get("format", "FORMAT_UNSPECIFIED") == "FORMAT_UNSPECIFIED":
        raise invalid("A repository needs a format.")
    name, body = f"{call.resource}/repositories/{given}", call.body
    if body.get("kmsKeyName"):
        body["kmsKeyName"] = call.cloud[Kms].normal(body["kmsKeyName"])
    if name in registry.repositories or name in registry.reserved:
        raise already_exists("the repository already exists")
    registry.reserved.add(name)

    def run() -> dict[str, Any]:
        registry.reserved.discard(name)
        now = call.cloud.clock.rfc3339()
        info = {key: body[key] for key in CREATED if body.get(key)}
        _check_key(call.cloud, name, info.get("kmsKeyName"))
        registry.repositories[name] = Repository(name, now, now, info)
        return {"@type": f"{TYPES}.Repository", **registry.repositories[name].json()}

    return _start(call, name, run)


def _check_key(cloud: Cloud, name: str, key: str | None) -> None:
    """The service agent must be able to use the key, and nobody makes the agent on the way.

    hashicorp/terraform-provider-google#15572 and #11913, which has the sentence. What is said of a
    key that is gone or disabled is not recorded; Cloud KMS says it here.
    """
    if key is None:
        return
    agent = cloud[Accounts].agent("artifactregistry", name.split("/")[1])
    try:
        if agent is not None:
            return cloud[Kms].check_use(agent, key)
    except ApiError as error:
        if error.status != 403:
            raise failed_precondition(error.message) from None
    raise ApiError(
        403,
        "PERMISSION_DENIED",
        "Permission denied on Cloud KMS key. Please ensure your Artifact Registry service account "
        "has been authorized to use the configured key.",
    )


@method(f"{REPOSITORIES}.get", permission="artifactregistry.repositories.get", on=on_name)
def get(call: Call) -> dict[str, Any]:
    return call.cloud[ArtifactRegistry].get(call.resource).json()


@method(
    f"{REPOSITORIES}.list",
    permission="artifactregistry.repositories.list",
    on=on_parent,
    reads="filter orderBy pageSize pageToken",
)
def list_repositories(call: Call) -> dict[str, Any]:
    found = call.cloud[ArtifactRegistry].repositories.items()
    place = f"{call.resource}/repositories/"
    items = {name: item.json() for name, item in found if name.startswith(place)}
    chosen = selected(call, "repositories", items, fields=("name",), fold=True)
    return listing("repositories", chosen, call.params, default=100, most=1000)


@method(
    f"{REPOSITORIES}.patch",
    permission="artifactregistry.repositories.update",
    on=on_name,
    reads="updateMask",
)
def patch(call: Call) -> dict[str, Any]:
    repository = call.cloud[ArtifactRegistry].get(call.resource)
    paths = named_paths(call.params.get("updateMask"), MUTABLE, required=False)
    info = {**repository.info}
    # Without a mask, what the body has.
    copy_paths(info, call.body, paths or {key for key in MUTABLE if call.body.get(key)})
    repository.info = info
    repository.updated = call.cloud.clock.rfc3339()
    return repository.json()


@method(f"{REPOSITORIES}.delete", permission="artifactregistry.repositories.delete", on=on_name)
def delete(call: Call) -> dict[str, Any]:
    registry, repository = (
        call.cloud[ArtifactRegistry],
        call.cloud[ArtifactRegistry].get(call.resource),
    )

    def run() -> dict[str, Any]:
        registry.repositories.pop(repository.name, None)
        call.cloud[Iam].forget(repository.name)
        return {"@type": "type.googleapis.com/google.protobuf.Empty"}

    return _start(call, repository.name, run)


def _on_operation(call: Call) -> str:
    name = str(call.params["name"])
    return call.cloud[ArtifactRegistry].started.get(name) or name.partition("/operations/")[0]


# An inference: there is no artifactregistry.operations.get.
@method(
    "artifactregistry.projects.locations.operations.get",
    permission="artifactregistry.repositories.get",
    on=_on_operation,
)
def get_operation(call: Call) -> dict[str, Any]:
    return call.cloud[Operations].get(call.params["name"])


def _require(call: Call, name: str) -> object:
    return call.cloud[ArtifactRegistry].get(name)


allowpolicies.register(method, REPOSITORIES, "artifactregistry.repositories", _require)

# What is in a repository is not simulated, so how it is kept and fetched has no effect.
HONOURED = Table(
    "artifactregistry",
    {
        **allowpolicies.POLICY_FIELDS,
        "CleanupPolicy": ALL,
        "DockerRepositoryConfig": ALL,
        "MavenRepositoryConfig": ALL,
        "PlatformLogsConfig": ALL,
        "RemoteRepositoryConfig": ALL,
        "Repository": (
            "cleanupPolicies cleanupPolicyDryRun description dockerConfig format kmsKeyName labels "
            "mavenConfig mode platformLogsConfig remoteRepositoryConfig virtualRepositoryConfig "
            "vulnerabilityScanningConfig"
        ),
        "VirtualRepositoryConfig": ALL,
        "VulnerabilityScanningConfig": "enablementConfig",
    },
    {"Repository.name": "the path, or repositoryId, says which repository it is"},
)


SERVICE = Service(ArtifactRegistry, method, HONOURED)
