"""Allow policies as they are stored, as decisions read them, and what Google refuses in one."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from policies.gcp_access import roles
from simulator.api.errors import aborted, invalid
from simulator.iam import conditions

EMPTY_ETAG = "ACAB"
MAX_PRINCIPALS = 1500
BASIC_ROLES = {
    "projectOwner": "roles/owner",
    "projectEditor": "roles/editor",
    "projectViewer": "roles/viewer",
}


@dataclass(slots=True)
class Policy:
    """What getIamPolicy returns; bindings are keyed by role and condition (as JSON, or "")."""

    bindings: dict[tuple[str, str], dict[str, None]] = field(default_factory=dict)
    audit_configs: list[dict[str, Any]] = field(default_factory=list)
    version: int = 1
    etag: str = EMPTY_ETAG

    def members(self) -> set[str]:
        return {member for members in self.bindings.values() for member in members}


class Index:
    """One resource's bindings by member, as decisions read them."""

    __slots__ = ("basic", "by_member", "convenience")

    def __init__(self, policy: Policy) -> None:
        # member -> (role, permissions of a predefined role, condition expression)
        self.by_member: dict[str, list[tuple[str, frozenset[str] | None, str]]] = {}
        # basic role -> its members
        self.basic: dict[str, set[str]] = {}
        # projectOwner:P and its like, with the basic role and the project that each stands for
        self.convenience: dict[str, tuple[str, str]] = {}
        for (role, condition), members in policy.bindings.items():
            for member in members:
                self.add(role, condition, member)

    def add(self, role: str, condition: str, member: str) -> None:
        expression = json.loads(condition)["expression"] if condition else ""
        entry = (role, roles.permissions(role), expression)
        self.by_member.setdefault(member, []).append(entry)
        if role in BASIC_ROLES.values():
            self.basic.setdefault(role, set()).add(member)
        kind, _, project = member.partition(":")
        if kind in BASIC_ROLES:
            self.convenience[member] = (BASIC_ROLES[kind], f"projects/{project}")


def condition_key(condition: dict[str, Any] | None) -> str:
    return json.dumps(condition, sort_keys=True) if condition else ""


def check_etag(given: str | None, current: str) -> None:
    """409 for a policy or a role that was changed since it was read."""
    if given not in (None, "", current):
        raise aborted(
            "There were concurrent policy changes. Please retry the whole read-modify-write with "
            "exponential backoff."
        )


def checked(
    policy: dict[str, Any],
    current: Policy,
    check: Callable[[str, str, set[str]], None],
    restrict: Callable[[list[str]], None],
) -> dict[tuple[str, str], dict[str, None]]:
    """The bindings of a policy that is to replace `current`; the 400 of setIamPolicy.

    `check` is asked about each new (role, member), beside the members that were there before;
    `restrict` about all members that are new in a binding.
    """
    known = current.members()
    result: dict[tuple[str, str], dict[str, None]] = {}
    added: list[str] = []
    for binding in policy.get("bindings", ()):
        role, condition = binding.get("role", ""), binding.get("condition")
        if condition:
            if policy.get("version", 1) != 3:
                raise invalid("Policies with conditions must specify version 3.")
            if role in BASIC_ROLES.values():
                raise invalid("Conditions can't be set on primitive roles")
            conditions.compiled(condition.get("expression", ""))
        key = (role, condition_key(condition))
        for member in binding.get("members", ()):
            if key not in current.bindings or member not in current.bindings[key]:
                check(role, member, known)
                added.append(member)
            result.setdefault(key, {})[member] = None
    restrict(added)
    count = sum(len(members) for members in result.values())
    if count > MAX_PRINCIPALS:
        raise invalid(
            f"The number of members in the policy ({count:,}) is larger than the maximum "
            f"allowed size {MAX_PRINCIPALS:,}."
        )
    return result
