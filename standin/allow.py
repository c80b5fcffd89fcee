"""Allow policies: read, changed and written by one writer at a time, and the changes themselves.

The sequence is the official plugin's (provider-contract/core): one read, one write, three reads
that have to agree, and one read for each resource that was in the batch. Whatever is part of one
project's policy, a member, a whole binding or an audit configuration, shares batches with the rest.
"""

from __future__ import annotations

import copy
import re
import threading
from collections import defaultdict
from collections.abc import Callable, Mapping
from functools import reduce
from typing import TYPE_CHECKING, Any, Final

from pulumi_plugin.kinds import ProviderError
from pulumi_plugin.values import Props
from standin.fields import Field
from standin.google import GoogleError
from standin.resource import Declared, Spec

if TYPE_CHECKING:
    from standin.gcp import Gcp
    from standin.iam import Target

Policy = dict[str, Any]
Modify = Callable[[Policy], Policy]  # leaves its argument alone, and a policy it has changed as is

VERSION: Final = 3  # of a policy that something was granted in; the rest keep the one they have
CONFIRMATIONS: Final = 3
CONFLICTS: Final = frozenset({409, 412})  # Cloud Storage says 412
CONFLICT_PAUSES: Final = (1.0, 2.0, 4.0, 8.0, 16.0)  # seconds
ACCOUNT_PAUSES: Final = (1.0, 2.0, 4.0, 8.0, 16.0)
CONDITION: Final = ("title", "description", "expression")


class OnPolicy(Declared):
    """A resource type that is a part of the allow policy of `target`."""

    waits = "the policy to read three times as it was written"
    plans_project = False

    def __init__(self, gcp: Gcp, target: Target, fields: tuple[Field, ...]) -> None:
        title = target.token.rpartition(":")[2]
        spec = Spec(
            target.token,
            title,
            title,
            (*target.fields, *fields),
            id=target.path,
            delete_first=target.delete_first,
            source=target.source,
        )
        super().__init__(gcp, spec)
        self.target = target

    def modify(self, names: Mapping[str, str], title: str, change: Modify) -> None:
        """Write the policy with `change`, in one write with others that come within a moment."""

        def send(changes: list[Modify]) -> None:
            self.gcp.policies.write(self, names, lambda policy: reduce(_apply, changes, policy))

        if not self.target.batched:
            return send([change])
        describe = self.target.describe.format_map(names)
        self.gcp.batcher.run(f"modify the IAM policy of {describe}", title, change, send)
        return None

    def read_policy(self, names: Mapping[str, str]) -> Policy:
        method, suffix = self.target.get
        url = self.target.url.format_map(names) + suffix
        return self.gcp.google.call(method, url, self.target.get_query, self.target.get_body)

    def write_policy(self, names: Mapping[str, str], policy: Policy) -> None:
        method, suffix = self.target.set
        body: Props = {"policy": policy, **self.target.set_body}
        if not self.target.wrapped:
            body = policy
            if "bindings" not in policy:
                body = {key: value for key, value in policy.items() if key != "etag"}
        self.gcp.google.call(method, self.target.url.format_map(names) + suffix, None, body)

    def names(self, id: str, inputs: Props, outputs: Props) -> dict[str, str]:
        """The resource may be given by its name or by its whole path."""
        given = str(inputs[self.target.property])
        if self.target.whole:
            given = self.target.whole(given, self.gcp)
            inputs = {**inputs, self.target.property: given}
        pattern = re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", re.escape(self.target.path))
        whole = re.fullmatch(pattern, given)
        names = super().names("", {**inputs, **(whole.groupdict() if whole else {})}, {})
        if "{provider_region}" in self.target.url:
            names["provider_region"] = self.gcp.setting("region")
        if "location" not in names and self._has("location"):
            names["location"] = self.gcp.setting("location")
        return names

    def failed(self, names: Mapping[str, str], error: ProviderError) -> ProviderError:
        describe = self.target.describe.format_map(names)
        return ProviderError(f"Error retrieving IAM policy for {describe}: {error}")


def _apply(policy: Policy, change: Modify) -> Policy:
    return change(policy)


class Policies:
    """Writes policies, one writer at a time for each resource within this process."""

    def __init__(self, gcp: Gcp) -> None:
        self._gcp = gcp
        self._locks: dict[str, threading.Lock] = defaultdict(threading.Lock)

    def write(self, kind: OnPolicy, names: Mapping[str, str], modify: Modify) -> None:
        describe = kind.target.describe.format_map(names)
        with self._locks[describe]:
            self._write(kind, names, modify, describe)
            self._confirm(kind, names, modify, describe)

    def _write(
        self, kind: OnPolicy, names: Mapping[str, str], modify: Modify, describe: str
    ) -> None:
        conflicts, absences = iter(CONFLICT_PAUSES), iter(ACCOUNT_PAUSES)
        while True:
            try:
                policy = kind.read_policy(names)
            except GoogleError as error:
                if error.status == 404:
                    raise
                raise ProviderError(
                    f"Error retrieving IAM policy for {describe}: {error}"
                ) from error
            changed = modify(policy)
            if kind.target.version != VERSION:
                changed["version"] = kind.target.version
            try:
                return kind.write_policy(names, changed)
            except GoogleError as error:
                if error.status in CONFLICTS:
                    pause, said = next(conflicts, None), "to {}: Too many conflicts.  Latest error"
                elif error.status == 400 and "does not exist" in error.message:
                    pause, said = next(absences, None), "for {}"
                else:
                    pause, said = None, "for {}"
                if pause is None:
                    raise ProviderError(
                        f"Error applying IAM policy {said.format(describe)}: "
                        f"Error setting IAM policy for {describe}: {error}"
                    ) from error
            self._gcp.google.sleep(pause)

    def _confirm(
        self, kind: OnPolicy, names: Mapping[str, str], modify: Modify, describe: str
    ) -> None:
        """Read until the change has been seen three times: reads may come from an old replica."""
        seen, pause = 0, 1.0
        while seen < CONFIRMATIONS:
            policy = kind.read_policy(names)
            if same_policy(modify(policy), policy):
                seen += 1
                continue
            if pause > 30.0:
                raise ProviderError(
                    f"Error applying IAM policy to {describe}: Waited too long for propagation."
                )
            self._gcp.google.sleep(pause)
            pause *= 2


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
