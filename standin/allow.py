"""Allow policies as values: what they grant and audit, and changes that leave them alone."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any, Final

from pulumi_plugin.values import Props

Policy = dict[str, Any]
Modify = Callable[[Policy], Policy]  # leaves its argument alone, and a policy it has changed as is

VERSION: Final = 3  # of a policy that something was granted in; the rest keep the one they have
CONDITION: Final = ("title", "description", "expression")


def add(policy: Policy, grant: Props) -> Policy:
    """`policy` with one more member."""
    members = _members(policy)
    members[_key(grant["role"], grant.get("condition"))].add(folded(grant["member"]))
    return {**_with(policy, _bindings(members)), "version": VERSION}


def remove(policy: Policy, grant: Props) -> Policy:
    """`policy` with one member less."""
    members = _members(policy)
    members[_key(grant["role"], grant.get("condition"))].discard(folded(grant["member"]))
    return _with(policy, _bindings(members))


def set_binding(policy: Policy, binding: Props) -> Policy:
    """`policy` with no other members of the role, under the condition, than those of `binding`."""
    return {
        **_with(policy, [*_bindings(_others(policy, binding)), _own(binding)]),
        "version": VERSION,
    }


def drop_binding(policy: Policy, binding: Props) -> Policy:
    return _with(policy, _bindings(_others(policy, binding)))


def set_audits(policy: Policy, config: Props) -> Policy:
    """`policy` with the audit configuration of one service as in `config`."""
    return _with_audits(policy, [*_other_audits(policy, config["service"]), config])


def drop_audits(policy: Policy, config: Props) -> Policy:
    return _with_audits(policy, _other_audits(policy, config["service"]))


def has(policy: Policy, grant: Props) -> bool:
    return folded(grant["member"]) in members_of(policy, grant)


def members_of(policy: Policy, binding: Props) -> set[str]:
    return _members(policy)[_key(binding["role"], binding.get("condition"))]


def same_policy(one: Policy, other: Policy) -> bool:
    """Whether two policies grant and audit the same."""
    return _bindings(_members(one)) == _bindings(_members(other)) and _audits(one) == _audits(other)


def folded(member: str) -> str:
    """IAM ignores the case of e-mail addresses, and so does the official plugin."""
    kind, _, name = member.partition(":")
    return f"{kind}:{name.lower()}" if kind in ("user", "group", "serviceAccount") else member


def _members(policy: Policy) -> dict[tuple[str, ...], set[str]]:
    members: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for binding in policy.get("bindings", []):
        key = _key(binding["role"], binding.get("condition"))
        members[key].update(map(folded, binding.get("members", [])))
    return members


def _others(policy: Policy, binding: Props) -> dict[tuple[str, ...], set[str]]:
    members = _members(policy)
    members.pop(_key(binding["role"], binding.get("condition")), None)
    return members


def _bindings(members: Mapping[tuple[str, ...], set[str]]) -> list[Props]:
    bindings = []
    for (role, *condition), granted in sorted(members.items()):
        if granted:
            binding: Props = {"members": sorted(granted), "role": role}
            if any(condition):
                parts = zip(CONDITION, condition, strict=True)
                binding["condition"] = {name: value for name, value in parts if value}
            bindings.append(binding)
    return bindings


def _own(binding: Props) -> Props:
    own = {"members": list(binding["members"]), "role": binding["role"]}
    condition = {name: value for name, value in (binding.get("condition") or {}).items() if value}
    return {**own, "condition": condition} if condition else own


def _with(policy: Policy, bindings: list[Props]) -> Policy:
    rest = {key: copy.deepcopy(value) for key, value in policy.items() if key != "bindings"}
    return {**rest, "bindings": bindings} if bindings else rest


def _with_audits(policy: Policy, audits: list[Props]) -> Policy:
    rest = {key: copy.deepcopy(value) for key, value in policy.items() if key != "auditConfigs"}
    return {**rest, "auditConfigs": audits} if audits else rest


def _other_audits(policy: Policy, service: str) -> list[Props]:
    return [audit for audit in policy.get("auditConfigs", []) if audit["service"] != service]


def _audits(policy: Policy) -> dict[tuple[str, str], set[str]]:
    """Who is exempt, by service and type of log."""
    return {
        (audit["service"], log["logType"]): set(log.get("exemptedMembers", []))
        for audit in policy.get("auditConfigs", [])
        for log in audit["auditLogConfigs"]
    }


def _key(role: str, condition: Props | None) -> tuple[str, ...]:
    return (role, *((condition or {}).get(name) or "" for name in CONDITION))
