"""Types of the `artifactregistry` module."""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import Any, Final

from pulumi_plugin.values import Props
from standin.fields import DELETION_POLICY, LABELS, PROJECT, Field, at_most_one, exactly_one
from standin.resource import Rest, Spec

SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def in_seconds(duration: Any) -> Any:
    """Google keeps seconds; people write days."""
    whole = re.fullmatch(r"(\d+)([smhd])", str(duration))
    return f"{int(whole[1]) * SECONDS[whole[2]]}s" if whole else duration


def same_upstreams(policies: Any) -> list[str]:
    return sorted(f"{p.get('id')} {p.get('priority')} {p.get('repository')}" for p in policies)


URI: Final = (Field("uri", new=True),)
# A public repository has a name, or is a base and a path within it.
NAMED: Final = {
    "docker": "DOCKER_HUB",
    "maven": "MAVEN_CENTRAL",
    "npm": "NPMJS",
    "python": "PYPI",
}
BASED: Final = {
    "apt": ("DEBIAN", "UBUNTU", "DEBIAN_SNAPSHOT"),
    "yum": ("CENTOS", "CENTOS_DEBUG", "CENTOS_VAULT", "CENTOS_STREAM", "ROCKY", "EPEL"),
}


def _named(public: str) -> tuple[Field, ...]:
    return (
        Field("publicRepository", new=True, values=(public,)),
        Field("customRepository", "object", new=True, of=URI),
    )


def _based(bases: tuple[str, ...]) -> tuple[Field, ...]:
    of = (
        Field("repositoryBase", new=True, required=True, values=bases),
        Field("repositoryPath", new=True, required=True),
    )
    return (Field("publicRepository", "object", new=True, of=of),)


UPSTREAMS: Final = {
    **{kind: _based(bases) for kind, bases in BASED.items()},
    **{kind: _named(public) for kind, public in NAMED.items()},
    "common": (Field("uri", new=True, required=True),),
}
CREDENTIALS: Final = (
    Field(
        "usernamePasswordCredentials",
        "object",
        of=(Field("username"), Field("passwordSecretVersion")),
    ),
)
PASSWORD: Final = ",".join(
    f"remoteRepositoryConfig.upstreamCredentials.usernamePasswordCredentials.{name}"
    for name in ("username", "passwordSecretVersion")
)
REMOTE: Final = (
    Field("description", new=True),
    *(
        Field(
            f"{kind}Repository",
            "object",
            new=True,
            of=of,
            choices=(at_most_one("publicRepository", "customRepository"),) if kind in NAMED else (),
        )
        for kind, of in UPSTREAMS.items()
    ),
    Field("disableUpstreamValidation", "bool", unread=True),
    # It has no properties, and whether an empty object is sent the recordings do not say.
    Field("noCache", "object", new=True, unsent=True),
    Field("upstreamCredentials", "object", of=CREDENTIALS),
)
AGES: Final = ("olderThan", "newerThan")
CLEANUP: Final = (
    Field("id", path=True, required=True),
    Field("action", values=("DELETE", "KEEP")),
    Field(
        "condition",
        "object",
        of=(
            Field("tagState", default="ANY", values=("TAGGED", "UNTAGGED", "ANY")),
            Field("tagPrefixes", "strings"),
            Field("versionNamePrefixes", "strings"),
            Field("packageNamePrefixes", "strings"),
            *(Field(name, alike=in_seconds) for name in AGES),
        ),
    ),
    Field(
        "mostRecentVersions",
        "object",
        of=(Field("packageNamePrefixes", "strings"), Field("keepCount", "int")),
    ),
)
MODES: Final = ("STANDARD_REPOSITORY", "VIRTUAL_REPOSITORY", "REMOTE_REPOSITORY")
REPOSITORY: Final = Spec(
    "gcp:artifactregistry/repository:Repository",
    noun="Repository",
    title="ArtifactRegistryRepository",
    source="products/artifactregistry/Repository.yaml",
    base="https://artifactregistry.googleapis.com/v1",
    id="projects/{project}/locations/{location}/repositories/{repositoryId}",
    collection="projects/{project}/locations/{location}/repositories",
    create_query={"repository_id": "{repositoryId}"},
    masked=True,
    operations=True,
    fields=(
        Field("repositoryId", path=True, new=True, required=True),
        Field("location", path=True, new=True, computed=True),
        PROJECT,
        Field("format", new=True, required=True, fold=True),
        Field("description"),
        Field("kmsKeyName", new=True),
        Field("mode", new=True, default="STANDARD_REPOSITORY", values=MODES),
        Field("dockerConfig", "object", of=(Field("immutableTags", "bool"),)),
        Field(
            "mavenConfig",
            "object",
            of=(
                Field("allowSnapshotOverwrites", "bool", new=True),
                Field(
                    "versionPolicy",
                    new=True,
                    default="VERSION_POLICY_UNSPECIFIED",
                    zero="VERSION_POLICY_UNSPECIFIED",
                    values=("VERSION_POLICY_UNSPECIFIED", "RELEASE", "SNAPSHOT"),
                ),
            ),
        ),
        Field(
            "virtualRepositoryConfig",
            "object",
            of=(
                Field(
                    "upstreamPolicies",
                    "objects",
                    alike=same_upstreams,
                    of=(Field("id"), Field("repository"), Field("priority", "int")),
                ),
            ),
        ),
        Field(
            "remoteRepositoryConfig",
            "object",
            new=True,
            mask=PASSWORD,
            of=REMOTE,
            choices=(exactly_one(*(f"{kind}Repository" for kind in UPSTREAMS)),),
        ),
        Field("cleanupPolicies", "keyed", key="id", of=CLEANUP),
        Field("cleanupPolicyDryRun", "bool"),
        Field(
            "vulnerabilityScanningConfig",
            "object",
            of=(
                Field("enablementConfig", values=("INHERITED", "DISABLED")),
                Field("enablementState", output=True),
                Field("enablementStateReason", output=True),
            ),
        ),
        *LABELS,
        DELETION_POLICY,
        Field("createTime", output=True),
        Field("name", output=True, short=True),
        Field("registryUri", output=True),
        Field("updateTime", output=True),
    ),
    choices=(at_most_one("virtualRepositoryConfig", "remoteRepositoryConfig"),),
)


class Repository(Rest):
    """Where the program gives no location it is the provider's region."""

    spec = REPOSITORY
    provided = MappingProxyType({"project": "project", "location": "region"})

    def body(self, inputs: Props, outputs: Props, *, update: bool) -> Props:
        body = super().body(inputs, outputs, update=update)
        for policy in body.get("cleanupPolicies", {}).values():
            condition = policy.get("condition", {})
            condition |= {name: in_seconds(condition[name]) for name in AGES if name in condition}
        return body
