"""Types of the `iam` module: deny policies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

from pulumi_plugin.values import Props
from standin.fields import DELETION_POLICY, Field
from standin.resource import AutoName, Rest, Spec

DENY_RULE: Final = (
    *(
        Field(name, "strings", zero=[])
        for name in (
            "deniedPrincipals",
            "exceptionPrincipals",
            "deniedPermissions",
            "exceptionPermissions",
        )
    ),
    Field(
        "denialCondition",
        "object",
        of=(
            Field("expression", required=True),
            Field("title"),
            Field("description"),
            Field("location"),
        ),
    ),
)
DENY_POLICY: Final = Spec(
    "gcp:iam/denyPolicy:DenyPolicy",
    noun="DenyPolicy",
    title="IAM2DenyPolicy",
    source="products/iam2/DenyPolicy.yaml",
    base="https://iam.googleapis.com/v2beta",
    id="{parent}/{name}",
    collection="policies/{parent}/denypolicies",
    create_query={"policyId": "{name}"},
    update="PUT",
    operations=True,
    update_operations=True,
    fields=(
        Field("name", path=True, new=True),
        Field("parent", path=True, new=True, required=True),
        Field("displayName"),
        Field(
            "rules",
            "objects",
            required=True,
            of=(Field("description"), Field("denyRule", "object", of=DENY_RULE)),
        ),
        DELETION_POLICY,
        Field("etag", output=True),
    ),
    autoname=AutoName(),
)


class DenyPolicy(Rest):
    """A deny policy. `parent` is a resource's full name encoded to be one part of a path."""

    spec = DENY_POLICY

    def url(self, id: str, names: Mapping[str, str]) -> str:
        path = f"policies/{names['parent']}/denypolicies/{names['name']}"
        return f"{self.base(names)}/{quote(path, safe='/@:~%')}"

    def body(self, inputs: Props, outputs: Props, *, update: bool) -> Props:
        """An update says which version of the policy it replaces."""
        body = super().body(inputs, outputs, update=update)
        return body | ({"etag": outputs["etag"]} if outputs.get("etag") else {})
