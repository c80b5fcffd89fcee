"""Types of the `artifactregistry` module."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from providers.plugin import Props
from rehearsal.provider.fields import DELETION_POLICY, LABELS, PROJECT, Field
from rehearsal.provider.resource import Rest, Spec

if TYPE_CHECKING:
    from rehearsal.provider.gcp import Gcp

SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def in_seconds(duration: Any) -> Any:
    """Google keeps seconds; people write days."""
    whole = re.fullmatch(r"(\d+)([smhd])", str(duration))
    return f"{int(whole[1]) * SECONDS[whole[2]]}s" if whole else duration


def same_upstreams(policies: Any) -> list[str]:
    return sorted(f"{p.get('id')} {p.get('priority')} {p.get('repository')}" for p in policies)


URI: Final = (Field("uri", new=True),)
# A public repository has a name, or is a base and a path within it.
NAMED: Final = (
    Field("publicRepository", new=True),
    Field("customRepository", "object", new=True, of=URI),
)
BASED: Final = (
    Field(
        "publicRepository",
        "object",
        new=True,
        of=(
            Field("repositoryBase", new=True, required=True),
            Field("repositoryPath", new=True, required=True),
        ),
    ),
)
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
        Field(f"{kind}Repository", "object", new=True, of=of)
        for kind, of in {
            "apt": BASED,
            "docker": NAMED,
            "maven": NAMED,
            "npm": NAMED,
            "python": NAMED,
            "yum": BASED,
            "common": (Field("uri", new=True, required=True),),
        }.items()
    ),
    Field("disableUpstreamValidation", "bool", unread=True),
    # It has no properties, and whether an empty object is sent the recordings do not say.
    Field("noCache", "object", new=True, unsent=True),
    Field("upstreamCredentials", "object", of=CREDENTIALS),
)
AGES: Final = ("olderThan", "newerThan")
CLEANUP: Final = (
    Field("id", path=True, required=True),
    Field("action"),
    Field(
        "condition",
        "object",
        of=(
            Field("tagState", default="ANY"),
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
REPOSITORY: Final = Spec(
    "gcp:artifactregistry/repository:Repository",
    noun="Repository",
    title="ArtifactRegistryRepository",
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
        Field("mode", new=True, default="STANDARD_REPOSITORY"),
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
        Field("remoteRepositoryConfig", "object", new=True, mask=PASSWORD, of=REMOTE),
        Field("cleanupPolicies", "keyed", key="id", of=CLEANUP),
        Field("cleanupPolicyDryRun", "bool"),
        Field(
            "vulnerabilityScanningConfig",
            "object",
            of=(
                Field("enablementConfig"),
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
)


class Repository(Rest):
    def __init__(self, gcp: Gcp) -> None:
        super().__init__(gcp, REPOSITORY)

    def names(self, id: str, inputs: Props, outputs: Props) -> dict[str, str]:
        names = super().names(id, inputs, outputs)
        return {"location": names.get("location") or self.gcp.setting("region"), **names}

    def body(self, inputs: Props, outputs: Props, *, update: bool) -> Props:
        body = super().body(inputs, outputs, update=update)
        for policy in body.get("cleanupPolicies", {}).values():
            condition = policy.get("condition", {})
            condition |= {name: in_seconds(condition[name]) for name in AGES if name in condition}
        return body
