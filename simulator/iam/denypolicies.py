"""Deny policies: IAM v2 and v2beta `policies/{attachment point}/denypolicies` over one state.

Ids, limits and etags: discovery document and docs iam/deny-overview. Shapes of answers and the 404:
iamdenypolicy's recordings in k8s-config-connector.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote

from simulator.api.calls import Call, Methods, Service
from simulator.api.errors import already_exists, invalid, not_found, resource_exhausted
from simulator.api.honoured import Table
from simulator.api.operations import Operations
from simulator.api.pages import listing
from simulator.core.cloud import Cloud, Holding
from simulator.core.platform import Containers
from simulator.iam import denials
from simulator.iam.allow import check_etag
from simulator.iam.decisions import Iam

method = Methods()

POLICY_ID = re.compile(r"[a-z][a-z0-9.-]{2,62}")
MAX_POLICIES = 500  # on one resource
MAX_RULES = 500  # in all of these together
NAME = re.compile(
    r"policies/cloudresourcemanager\.googleapis\.com/"
    r"((?:projects|folders|organizations)/[^/]+)/denypolicies(?:/([^/]+))?(?:/operations/[^/]+)?"
)
GIVEN = ("displayName", "annotations", "rules")


# v2 and v2beta; a Policy of v1 is an allow policy, which has no fields of these names.
V2 = ("", "GoogleIamV2beta")
BY_PATH = "the path says which one it is, or the id beside it"

HONOURED = Table(
    "iam",
    {
        **dict.fromkeys((f"{v}Policy" for v in V2), "annotations displayName etag rules"),
        **dict.fromkeys((f"{v}PolicyRule" for v in V2), "denyRule description"),
        **dict.fromkeys(
            (f"{v}DenyRule" for v in V2),
            "denialCondition deniedPermissions deniedPrincipals exceptionPermissions "
            "exceptionPrincipals",
        ),
        "GoogleTypeExpr": "*",
    },
    {
        **dict.fromkeys((f"{v}Policy.name" for v in V2), BY_PATH),
        **dict.fromkeys((f"{v}Policy.uid" for v in V2), "Google assigns it"),
        "pageSize": "IAM ignores it and uses 1000 (discovery document)",
    },
)


@dataclass(slots=True)
class DenyPolicy:
    """`name` is `projects/P/denypolicies/ID`; `given` holds the fields that callers set."""

    name: str
    uid: str
    created: str
    given: dict[str, Any]
    updated: str = ""
    revision: int = 1

    @property
    def resource(self) -> str:
        return self.name.rpartition("/denypolicies/")[0]

    @property
    def etag(self) -> str:
        return base64.b64encode(f"{self.uid}:{self.revision}".encode()).decode()

    @property
    def size(self) -> int:
        return len(self.given.get("rules", ()))


class DenyPolicies(Holding):
    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._policies: dict[str, DenyPolicy] = {}

    def get(self, name: str) -> DenyPolicy:
        if name not in self._policies:
            raise not_found(f'Policy "{self.long_name(name)}" not found.')
        return self._policies[name]

    def on(self, resource: str) -> list[DenyPolicy]:
        return [item for item in self._policies.values() if item.resource == resource]

    def save(self, policy: DenyPolicy, given: dict[str, Any]) -> None:
        """Create the policy or replace what it says; in effect once that has propagated."""
        rules = denials.rules(policy.name, given.get("rules", ()))
        others = [item for item in self.on(policy.resource) if item.name != policy.name]
        if len(others) >= MAX_POLICIES or sum(o.size for o in others) + len(rules) > MAX_RULES:
            # The limits are Google's, the sentence is not recorded.
            raise resource_exhausted(
                f"A resource can have up to {MAX_POLICIES} deny policies, with up to {MAX_RULES} "
                "deny rules in all of them together."
            )
        policy.given = given
        policy.updated = self._cloud.clock.rfc3339()
        self._policies[policy.name] = policy
        self._cloud[Iam].set_denials(policy.name, rules)

    def delete(self, policy: DenyPolicy) -> None:
        del self._policies[policy.name]
        self._cloud[Iam].set_denials(policy.name)

    def rename_member(self, old: str, new: str) -> None:
        """A service account was deleted or undeleted: its name changes in every rule, at once."""
        before, after = denials.v2_member(old), denials.v2_member(new)
        for policy in self._policies.values():
            named = False
            for rule in policy.given.get("rules", ()):
                for key in ("deniedPrincipals", "exceptionPrincipals"):
                    members = rule.get("denyRule", {}).get(key, [])
                    named = named or before in members
                    members[:] = [after if item == before else item for item in members]
            if named:
                policy.revision += 1
                rules = denials.rules(policy.name, policy.given["rules"])
                self._cloud[Iam].set_denials(policy.name, rules, at_once=True)

    def long_name(self, name: str) -> str:
        """`policies/cloudresourcemanager.googleapis.com%2Fprojects%2FNUMBER/denypolicies/ID`."""
        resource, _, policy_id = name.rpartition("/denypolicies/")
        point = f"cloudresourcemanager.googleapis.com/{self._cloud[Containers].numbered(resource)}"
        return f"policies/{quote(point, safe='')}/denypolicies/{policy_id}"

    def json(self, policy: DenyPolicy, *, full: bool = True) -> dict[str, Any]:
        answer = {
            "name": self.long_name(policy.name),
            "uid": policy.uid,
            "kind": "DenyPolicy",
            "etag": policy.etag,
            "createTime": policy.created,
            "updateTime": policy.updated,
        }
        fields = GIVEN if full else GIVEN[:-1]
        return answer | {key: policy.given[key] for key in fields if policy.given.get(key)}

    def live(self) -> dict[str, list[str]]:
        return {"denyPolicies": sorted(self._policies)}


def _split(call: Call) -> tuple[str, str]:
    """The resource and the policy's id. Google's clients encode the attachment point twice."""
    text = unquote(call.params.get("name") or call.params["parent"])
    found = NAME.fullmatch(text)
    if found is None:
        raise invalid(f"Invalid resource name: {text}")
    collection, _, reference = found[1].partition("/")
    if collection == "projects":
        reference = call.cloud[Containers].id(reference)
    return f"{collection}/{reference}", found[2] or ""


def _attachment(call: Call) -> str:
    return _split(call)[0]


def _policy(call: Call) -> DenyPolicy:
    return call.cloud[DenyPolicies].get("/denypolicies/".join(_split(call)))


def _given(body: dict[str, Any]) -> dict[str, Any]:
    if len(body.get("displayName", "")) > 63:
        raise invalid("The display_name of a policy is at most 63 characters.")
    if not body.get("rules"):
        raise invalid("A deny policy needs rules.")
    return {key: body[key] for key in GIVEN if body.get(key)}


def _operation(call: Call, name: str, answer: dict[str, Any]) -> dict[str, Any]:
    """What the call did is done; the operation that says so is due later."""
    types = f"type.googleapis.com/google.iam.{call.method.version}"
    return call.cloud[Operations].start(
        f"{call.cloud[DenyPolicies].long_name(name)}/operations/{call.cloud.unique_id()}",
        metadata={
            "@type": f"{types}.PolicyOperationMetadata",
            "createTime": call.cloud.clock.rfc3339(),
        },
        run=lambda: {"@type": f"{types}.Policy", **answer},
    )


@method(
    "iam.policies.createPolicy",
    permission="iam.denypolicies.create",
    on=_attachment,
    reads="policyId",
)
def create(call: Call) -> dict[str, Any]:
    policies, policy_id = call.cloud[DenyPolicies], call.params.get("policyId", "")
    if not POLICY_ID.fullmatch(policy_id):
        raise invalid(
            f"The policy ID {policy_id!r} must be 3 to 63 lowercase letters, digits, dashes and "
            "periods, of which the first is a letter."
        )
    name = f"{call.resource}/denypolicies/{policy_id}"
    if any(item.name == name for item in policies.on(call.resource)):
        raise already_exists(f'Policy "{policies.long_name(name)}" already exists.')
    policy = DenyPolicy(name, call.cloud.unique_id(), call.cloud.clock.rfc3339(), {})
    policies.save(policy, _given(call.body))
    return _operation(call, name, policies.json(policy))


@method("iam.policies.get", permission="iam.denypolicies.get", on=_attachment)
def get(call: Call) -> dict[str, Any]:
    return call.cloud[DenyPolicies].json(_policy(call))


# Metadata only: the rules are left out.
@method(
    "iam.policies.listPolicies",
    permission="iam.denypolicies.list",
    on=_attachment,
    reads="pageToken",
)
def list_policies(call: Call) -> dict[str, Any]:
    policies = call.cloud[DenyPolicies]
    items = {item.name: policies.json(item, full=False) for item in policies.on(call.resource)}
    page = {"pageToken": call.params.get("pageToken")}
    return listing("policies", items, page, default=1000, most=1000)


@method("iam.policies.update", permission="iam.denypolicies.update", on=_attachment)
def update(call: Call) -> dict[str, Any]:
    policy = _policy(call)
    check_etag(call.body.get("etag"), policy.etag)
    call.cloud[DenyPolicies].save(policy, _given(call.body))
    policy.revision += 1
    return _operation(call, policy.name, call.cloud[DenyPolicies].json(policy))


@method("iam.policies.delete", permission="iam.denypolicies.delete", on=_attachment, reads="etag")
def delete(call: Call) -> dict[str, Any]:
    policy = _policy(call)
    check_etag(call.params.get("etag"), policy.etag)
    call.cloud[DenyPolicies].delete(policy)
    deleted = {"deleteTime": call.cloud.clock.rfc3339()}
    return _operation(call, policy.name, call.cloud[DenyPolicies].json(policy) | deleted)


# An inference: roles/iam.denyAdmin has to be able to follow what it started, and of these
# permissions holds no other that fits.
@method("iam.policies.operations.get", permission="iam.denypolicies.get", on=_attachment)
def get_operation(call: Call) -> dict[str, Any]:
    name = "/denypolicies/".join(_split(call))
    operation = call.params["name"].rpartition("/operations/")[2]
    return call.cloud[Operations].get(
        f"{call.cloud[DenyPolicies].long_name(name)}/operations/{operation}"
    )


SERVICE = Service(DenyPolicies, method, HONOURED)
