"""Types of the `secretmanager` module."""

from __future__ import annotations

import base64
from types import MappingProxyType
from typing import Final

from pulumi_plugin.kinds import Context, PartialFailure, ProviderError, Resource
from pulumi_plugin.values import Props
from standin.fields import (
    DELETION_POLICY,
    LABELS,
    PROJECT,
    Field,
    at_most_one,
    exactly_one,
    flatten,
    inputs_of,
)
from standin.google import GoogleError
from standin.onpolicy import Target
from standin.resource import AutoName, Declared, Rest, Spec

BASE: Final = "https://secretmanager.googleapis.com/v1"
CMEK: Final = Field("customerManagedEncryption", "object", of=(Field("kmsKeyName", required=True),))
SECRET: Final = Spec(
    "gcp:secretmanager/secret:Secret",
    noun="Secret",
    title="SecretManagerSecret",
    source="products/secretmanager/Secret.yaml",
    base=BASE,
    id="projects/{project}/secrets/{secretId}",
    collection="projects/{project}/secrets",
    create_query={"secretId": "{secretId}"},
    masked=True,
    fields=(
        Field("secretId", path=True, new=True),
        PROJECT,
        Field(
            "replication",
            "object",
            new=True,
            required=True,
            mask="replication",
            choices=(exactly_one("userManaged", "auto"),),
            of=(
                # Sent even when nothing is in it: that it is there is what it says.
                Field(
                    "auto",
                    "object",
                    api="automatic",
                    new=True,
                    mask="replication",
                    force=True,
                    of=(CMEK,),
                ),
                Field(
                    "userManaged",
                    "object",
                    new=True,
                    of=(
                        Field(
                            "replicas",
                            "objects",
                            new=True,
                            required=True,
                            fewest=1,
                            of=(Field("location", new=True, required=True), CMEK),
                        ),
                    ),
                ),
            ),
        ),
        Field("annotations", "map"),
        Field("effectiveAnnotations", "map", api="annotations", output=True),
        Field("topics", "objects", of=(Field("name", required=True),)),
        Field(
            "rotation",
            "object",
            needs=("topics",),
            of=(Field("nextRotationTime"), Field("rotationPeriod")),
        ),
        Field("expireTime", computed=True),
        Field("ttl", unread=True, zero=None),
        Field("tags", "map", new=True, unread=True, zero=None),
        Field("versionAliases", "map"),
        Field("versionDestroyTtl"),
        Field("deletionProtection", "bool", local=True),
        *LABELS,
        DELETION_POLICY,
        Field("createTime", output=True),
        Field("name", output=True),
    ),
    autoname=AutoName("secretId"),
    delete_first=True,
)
SECRET_VERSION: Final = Spec(
    "gcp:secretmanager/secretVersion:SecretVersion",
    noun="SecretVersion",
    title="SecretManagerSecretVersion",
    source="products/secretmanager/SecretVersion.yaml",
    base=BASE,
    fields=(
        Field("secret", local=True, new=True, required=True),
        Field("project", local=True, new=True, computed=True, zero=None),
        Field("secretData", local=True, new=True, secret=True, zero=None),
        Field("secretDataWo", local=True, secret=True, zero=None, needs=("secretDataWoVersion",)),
        Field("secretDataWoVersion", "int", local=True, new=True),
        Field("isSecretDataBase64", "bool", local=True, new=True),
        Field("enabled", "bool", default=True),
        DELETION_POLICY,
        Field("name", output=True),
        Field("version", output=True),
        Field("createTime", output=True),
        Field("destroyTime", output=True),
    ),
    choices=(at_most_one("secretData", "secretDataWo"),),
)
SECRET_TARGET: Final = Target(
    "gcp:secretmanager/secretIamMember:SecretIamMember",
    property="secretId",
    source="services/secretmanager/iam_secret_manager_secret.go",
    path="projects/{project}/secrets/{secretId}",
    describe='secretmanager secret "projects/{project}/secrets/{secretId}"',
    url=f"{BASE}/projects/{{project}}/secrets/{{secretId}}",
    fields=(Field("secretId", new=True, required=True), PROJECT),
    get=("GET", ":getIamPolicy"),
    get_query={"options.requestedPolicyVersion": "3"},
)


class Secret(Rest):
    spec = SECRET

    def body(self, inputs: Props, outputs: Props, *, update: bool) -> Props:
        """Annotations that others made stay, and of `ttl` and `expireTime` only one is taken."""
        body = super().body(inputs, outputs, update=update)
        mine = outputs.get("annotations") or {}
        theirs = {
            name: value
            for name, value in (outputs.get("effectiveAnnotations") or {}).items()
            if name not in mine
        }
        if annotations := theirs | (inputs.get("annotations") or {}):
            body["annotations"] = annotations
        if inputs.get("ttl") != outputs.get("ttl") and not inputs.get("expireTime"):
            body.pop("expireTime", None)
        return body

    def outputs(self, id: str, answer: Props, inputs: Props, *, created: bool) -> Props:
        found = super().outputs(id, answer, inputs, created=created)
        there = found["annotations"] or {}
        mine = inputs.get("annotations") if inputs else there
        if mine is None:
            return found | {"annotations": None if created else {}}
        return found | {"annotations": {name: there[name] for name in mine if name in there}}

    def delete(self, id: str, inputs: Props, outputs: Props, context: Context) -> None:
        if outputs.get("deletionProtection"):
            raise ProviderError(
                f"cannot destroy secret {id} without setting deletionProtection=false and running "
                "`pulumi up`"
            )
        super().delete(id, inputs, outputs, context)


class SecretVersion(Declared):
    """A version of a secret. What it holds is sent once and never read: only the state knows."""

    spec = SECRET_VERSION
    provided = MappingProxyType({})

    def changes(self, old_inputs: Props, old_outputs: Props, inputs: Props) -> list[Field]:
        """A write-only value is compared by its version alone."""
        differing = super().changes(old_inputs, old_outputs, inputs)
        return [item for item in differing if item.name != "secretDataWo"]

    def create(self, inputs: Props, context: Context) -> tuple[str, Props]:
        data = inputs.get("secretData") or inputs.get("secretDataWo") or ""
        if not inputs.get("isSecretDataBase64"):
            data = base64.b64encode(data.encode()).decode()
        url, body = f"{BASE}/{inputs['secret']}:addVersion", {"payload": {"data": data}}
        try:
            id = self.provider.google.call("POST", url, None, body)["name"]
        except GoogleError as error:
            raise ProviderError(f"Error creating SecretVersion: {error}") from error
        planned = self.preview(inputs, None) | {"name": id, "secretDataWo": None}
        try:
            found = self._enable(id, inputs)
        except ProviderError as error:
            raise PartialFailure(id, planned, inputs, str(error)) from error
        if found is None:
            raise PartialFailure(id, planned, inputs, f"{id} was not found after it was added")
        return id, found

    def _enable(self, id: str, inputs: Props) -> Props | None:
        verb = "enable" if inputs.get("enabled", True) else "disable"
        self.provider.google.call("POST", f"{BASE}/{id}:{verb}")
        return self._get(id, inputs)

    def _get(self, id: str, given: Props) -> Props | None:
        answer = self.fetch(id, f"{BASE}/{id}")
        if answer is None or answer.get("state") == "DESTROYED":
            return None
        secret, _, version = answer["name"].rpartition("/versions/")
        known = {"version": version, "enabled": answer.get("state") == "ENABLED"}
        found = flatten(self.spec.fields, answer | known, given, {})
        return found | {"secret": given.get("secret") or secret, "secretDataWo": None}

    def read(self, id: str, inputs: Props, outputs: Props, context: Context) -> Resource | None:
        found = self._get(id, outputs or inputs)
        if found is None:
            return None
        return Resource(found["name"], inputs_of(self.spec.fields, inputs, found), found)

    def update(
        self, id: str, old_inputs: Props, old_outputs: Props, inputs: Props, context: Context
    ) -> Props:
        found = self._enable(id, inputs)
        if found is None:
            raise ProviderError(f"{id} was destroyed while it was updated")
        return found

    def delete(self, id: str, inputs: Props, outputs: Props, context: Context) -> None:
        if self.refuses_deletion(id, outputs):
            return
        verb = "disable" if outputs.get("deletionPolicy") == "DISABLE" else "destroy"
        try:
            self.provider.google.call("POST", f"{BASE}/{id}:{verb}")
        except GoogleError as error:
            if error.status != 404:
                raise ProviderError(f"Error when reading or editing SecretVersion: {error}") from (
                    error
                )
