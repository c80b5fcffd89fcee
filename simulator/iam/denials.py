"""Deny policies as decisions read them: who is denied which permissions, and on what condition.

The fields are those of IAM v2's DenyRule (discovery document); the rules are of docs
iam/deny-overview: a deny rule comes before every grant, is inherited, and applies when its
condition is true or cannot be evaluated.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from policies.gcp_access import roles
from simulator.api.errors import invalid, permission_service
from simulator.iam import conditions

EVERYONE = "principalSet://goog/public:all"
# IAM v2's way of writing a principal -> the beginning of the same as a member of an allow policy.
# What is not here is written alike in both, or (a customer, the accounts of a project) has no
# other form.
PRINCIPALS = {
    "principal://goog/subject/": "user:",
    "principal://iam.googleapis.com/projects/-/serviceAccounts/": "serviceAccount:",
    "principalSet://goog/group/": "group:",
}
CUSTOMER = "principalSet://goog/cloudIdentityCustomerId/"
ACCOUNTS = "principalSet://cloudresourcemanager.googleapis.com/"
PRINCIPAL = re.compile(
    r"principalSet://goog/public:all"
    r"|(?:deleted:)?principal://goog/subject/[^\s/?]+@[^\s/?]+(?:\?uid=\d+)?"
    r"|(?:deleted:)?principalSet://goog/group/[^\s/?]+@[^\s/?]+(?:\?uid=\d+)?"
    r"|(?:deleted:)?principal://iam\.googleapis\.com/projects/-/serviceAccounts/[^\s/?]+(?:\?uid=\d+)?"
    r"|principalSet://goog/cloudIdentityCustomerId/C\w+"
    r"|principalSet://cloudresourcemanager\.googleapis\.com/(?:projects|folders|organizations)/\d+"
    r"/type/Service(?:Account|Agent)"
    r"|(?:deleted:)?principal://iam\.googleapis\.com/\S+/subject/\S+"
    r"|principalSet://iam\.googleapis\.com/\S+/(?:\*|(?:group|attribute\.\w+)/\S+)"
)

GROUP = re.compile(r"[\w.-]+/(?:\*\.\*|\*\.\w+|\w+\.\*)")


@dataclass(frozen=True, slots=True)
class Rule:
    """One deny rule, of the deny policy named `policy`. Principals are in IAM v1's form."""

    policy: str
    principals: frozenset[str]
    exceptions: frozenset[str]
    permissions: frozenset[str]
    condition: str

    def applies(self, permission: str, identities: Collection[str], tags: Sequence[str]) -> bool:
        """`identities` are the members that the caller stands behind, in either form."""
        return (
            permission in self.permissions
            and not self.principals.isdisjoint(identities)
            and self.exceptions.isdisjoint(identities)
            and (not self.condition or conditions.tags_hold(self.condition, tags) is not False)
        )


def rules(policy: str, given: Iterable[dict[str, Any]]) -> tuple[Rule, ...]:
    """The rules of a deny policy's JSON; INVALID_ARGUMENT for one that Google would refuse.

    Google's own words for these refusals are not recorded.
    """
    return tuple(_rule(policy, item.get("denyRule") or {}) for item in given)


def _rule(policy: str, given: dict[str, Any]) -> Rule:
    denied, exempt = given.get("deniedPrincipals", []), given.get("exceptionPrincipals", [])
    if not denied or not given.get("deniedPermissions"):
        raise invalid("A deny rule needs denied_principals and denied_permissions.")
    if EVERYONE in exempt:
        raise invalid(f"exception_principals cannot contain {EVERYONE}.")
    expression = (given.get("denialCondition") or {}).get("expression", "")
    if expression:
        conditions.compiled_denial(expression)
    return Rule(
        policy,
        frozenset(map(v1_member, denied)),
        frozenset(map(v1_member, exempt)),
        v1_permissions(given["deniedPermissions"])
        - v1_permissions(given.get("exceptionPermissions", [])),
        expression,
    )


def v1_member(principal: str) -> str:
    """A principal of a deny policy as allow policies write it."""
    if not PRINCIPAL.fullmatch(principal):
        raise invalid(f"Invalid principal in a deny policy: {principal}")
    if principal == EVERYONE:
        return "allUsers"
    for long, short in PRINCIPALS.items():
        if principal.startswith(long):
            return short + principal.removeprefix(long)
    return principal


def v2_member(member: str) -> str:
    """The reverse, for the accounts of `serviceAccount:…` and `deleted:serviceAccount:…`."""
    deleted, email = member.startswith("deleted:"), member.removeprefix("deleted:")
    long = "principal://iam.googleapis.com/projects/-/serviceAccounts/"
    return ("deleted:" if deleted else "") + long + email.removeprefix("serviceAccount:")


def v1_permissions(names: Iterable[str]) -> frozenset[str]:
    """What `SERVICE/RESOURCE.VERB` names are called in roles, permission groups expanded.

    Which permissions and groups can be denied at all is a page of Google's that is not to hand
    (docs iam/deny-permissions-support); here all that exist can, and the three forms of group that
    docs iam/deny-overview has: `S/RESOURCE.*`, `S/*.*` and `S/*.VERB`.
    """
    found: set[str] = set()
    for name in names:
        known = _matching(name)
        if not known:
            raise invalid(f"Permission {name} is not supported in deny policies.")
        found |= known
    return frozenset(found)


@cache
def _matching(name: str) -> frozenset[str]:
    if not GROUP.fullmatch(name):
        return _v2_names().get(name, frozenset())
    pattern = re.compile(re.escape(name).replace(r"\*", r"[^/]+"))
    found = (permissions for known, permissions in _v2_names().items() if pattern.fullmatch(known))
    return frozenset().union(*found)


@cache
def _v2_names() -> dict[str, frozenset[str]]:
    """IAM v2's name of each permission -> its names in roles: `iam.roles.get` is
    `iam.googleapis.com/roles.get`, and some are in roles under the long name already."""
    names: dict[str, set[str]] = {}
    for permission in roles.names():
        long = permission
        if "/" not in permission:
            rest = permission.partition(".")[2]
            long = f"{permission_service(permission)}/{rest}"
        names.setdefault(long, set()).add(permission)
    return {long: frozenset(short) for long, short in names.items()}
