"""Types of the `orgpolicy` module."""

from __future__ import annotations

from typing import Final

from pulumi_plugin.values import Props
from standin.fields import DELETION_POLICY, Field
from standin.resource import AutoName, Rest, Spec

EXPRESSION: Final = tuple(
    Field(name) for name in ("expression", "title", "description", "location")
)
RULE: Final = (
    Field(
        "values",
        "object",
        of=(Field("allowedValues", "strings"), Field("deniedValues", "strings")),
    ),
    Field("allowAll", "truth", force=True),
    Field("denyAll", "truth", force=True),
    Field("enforce", "truth", force=True),
    Field("parameters", "json"),
    Field("condition", "object", of=EXPRESSION),
)
SPEC: Final = (
    Field("etag", output=True),
    Field("updateTime", output=True),
    Field("rules", "objects", of=RULE),
    Field("inheritFromParent", "bool", force=True),
    Field("reset", "bool", force=True),
)
POLICY: Final = Spec(
    "gcp:orgpolicy/policy:Policy",
    noun="Policy",
    title="OrgPolicyPolicy",
    source="products/orgpolicy/Policy.yaml",
    base="https://orgpolicy.googleapis.com/v2",
    id="{parent}/policies/{name}",
    collection="{parent}/policies",
    masked=True,
    fields=(
        Field("parent", path=True, new=True, required=True),
        Field("name", new=True, short=True),
        Field("spec", "object", mask="policy.spec", of=SPEC),
        Field("dryRunSpec", "object", mask="policy.dryRunSpec", of=SPEC),
        DELETION_POLICY,
        Field("etag", output=True),
    ),
    autoname=AutoName(),
)


class Policy(Rest):
    """An organization policy. Its name is a whole path in the program and in what is sent, and the
    constraint's name alone in the state."""

    spec = POLICY

    def names(self, id: str, inputs: Props, outputs: Props) -> dict[str, str]:
        names = super().names(id, inputs, outputs)
        return names | {"name": names["name"].rpartition("/")[2]}
