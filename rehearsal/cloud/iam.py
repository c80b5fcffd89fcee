"""Allow policies: who holds which permission on which resource, and since when.

A change is stored at once and takes effect `cloud.delays.iam` seconds later, for grants and for
revocations alike (gcp-facts/03_custom_roles.md, "Propagation").
"""

from __future__ import annotations

import base64
import hashlib
import heapq
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from policies import roles
from rehearsal.cloud import conditions
from rehearsal.cloud.api import Principal, aborted, invalid
from rehearsal.cloud.audit import Via
from rehearsal.cloud.members import check_member

if TYPE_CHECKING:
    from rehearsal.cloud.cloud import Cloud

EMPTY_ETAG = "ACAB"
MAX_PRINCIPALS = 1500
BASIC_ROLES = {
    "projectOwner": "roles/owner",
    "projectEditor": "roles/editor",
    "projectViewer": "roles/viewer",
}
CONTAINERS = ("projects/", "folders/", "organizations/")
NOTHING: frozenset[str] = frozenset()


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

    __slots__ = ("by_member", "convenience")

    def __init__(self, policy: Policy) -> None:
        # member -> (role, permissions of a predefined role, condition expression)
        self.by_member: dict[str, list[tuple[str, frozenset[str] | None, str]]] = {}
        self.convenience: list[str] = []
        for (role, condition), members in policy.bindings.items():
            for member in members:
                self.add(role, condition, member)

    def add(self, role: str, condition: str, member: str) -> None:
        expression = json.loads(condition)["expression"] if condition else ""
        entry = (role, roles.permissions(role), expression)
        self.by_member.setdefault(member, []).append(entry)
        if member.partition(":")[0] in BASIC_ROLES and member not in self.convenience:
            self.convenience.append(member)


class Iam:
    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._policies: dict[str, Policy] = {}
        self._effective: dict[str, Index] = {}
        self._custom: dict[str, frozenset[str]] = {}
        self._pending: list[tuple[float, int, str, Index | frozenset[str]]] = []
        self._parents: dict[str, str] = {}
        self._ancestors: dict[str, tuple[str, ...]] = {}
        self._containers: dict[str, str] = {}
        self._changes = 0
        # resource -> its audit configurations, oldest first: when they take effect, and after how
        # many requests they were set
        self.audit_configs: dict[str, list[tuple[float, int, list[dict[str, Any]]]]] = {}
        # group address -> members, as IAM writes them
        self.groups: dict[str, set[str]] = {}
        # (account or None for everyone, permission) that no binding confers in this run
        self.withheld: set[tuple[str | None, str]] = set()

    def set_parent(self, resource: str, parent: str) -> None:
        self._parents[resource] = parent
        self._forget_hierarchy()

    def ancestors(self, resource: str) -> tuple[str, ...]:
        """The resource itself and everything above it, nearest first."""
        found = self._ancestors.get(resource)
        if found is None:
            if len(self._ancestors) > 50_000:
                self._forget_hierarchy()
            chain = [resource]
            while parent := self._parent(chain[-1]):
                chain.append(parent)
            found = self._ancestors[resource] = tuple(chain)
        return found

    def container(self, resource: str) -> str:
        """The project, folder or organization that a resource is in, or is; "" for none."""
        found = self._containers.get(resource)
        if found is None:
            ancestors = self.ancestors(resource)
            above = (name for name in ancestors if name.startswith(CONTAINERS))
            found = next((name for name in above if name.count("/") == 1), "")
            self._containers[resource] = found
        return found

    def _parent(self, resource: str) -> str | None:
        if known := self._parents.get(resource):
            return known
        segments = resource.split("/")
        if resource.startswith("projects/_/buckets/"):
            # Object names contain slashes.
            return "/".join(segments[:4]) if len(segments) > 4 else None
        return "/".join(segments[:-2]) or None

    def forget(self, resource: str) -> None:
        """The resource is deleted: drop its policy and its place in the hierarchy."""
        self._policies.pop(resource, None)
        self._effective.pop(resource, None)
        self._cancel(resource)
        if self._parents.pop(resource, None):
            self._forget_hierarchy()

    def _forget_hierarchy(self) -> None:
        self._ancestors.clear()
        self._containers.clear()

    def decide(
        self,
        principal: Principal,
        permission: str,
        resource: str,
        modified_roles: Iterable[str] = (),
    ) -> Via | None:
        """The binding that gives the permission, or None.

        `modified_roles` are the roles a setIamPolicy call would change; conditions see them.
        """
        if self._pending:
            self._apply_due()
        if self.withheld and (
            (None, permission) in self.withheld or (principal.email, permission) in self.withheld
        ):
            return None
        identities = self.identities(principal)
        for ancestor in self.ancestors(resource):
            index = self._effective.get(ancestor)
            if index is None:
                continue
            held = identities
            if index.convenience:
                held = identities + self._convenience(index, identities)
            for identity in held:
                for role, permissions, condition in index.by_member.get(identity, ()):
                    if permissions is None:
                        permissions = self._custom.get(role, NOTHING)
                    if permission in permissions and (
                        not condition
                        or conditions.holds(
                            condition,
                            permission,
                            resource,
                            self._cloud.clock.now(),
                            modified_roles,
                        )
                    ):
                        return Via(ancestor, role, identity)
        return None

    def test(self, principal: Principal, resource: str, permissions: Sequence[str]) -> list[str]:
        """What testIamPermissions answers: those of `permissions` that the principal holds."""
        return [name for name in permissions if self.decide(principal, name, resource)]

    def identities(self, principal: Principal) -> list[str]:
        """Every member that stands for the principal."""
        member = principal.member
        found = [member, *principal.sets]
        if self.groups:
            for held in found:
                for group, members in self.groups.items():
                    if held in members and f"group:{group}" not in found:
                        found.append(f"group:{group}")
        if member.startswith("user:"):
            found.append(f"domain:{member.rpartition('@')[2]}")
        # "Does not include identities that come from external identity providers" (iam v1, Binding)
        if not member.startswith("principal:"):
            found.append("allAuthenticatedUsers")
        found.append("allUsers")
        return found

    def _convenience(self, index: Index, identities: list[str]) -> list[str]:
        """Those of projectOwner:P, projectEditor:P… in the index that the caller stands behind."""
        found = []
        for member in index.convenience:
            kind, _, project = member.partition(":")
            for ancestor in self.ancestors(f"projects/{project}"):
                above = self._effective.get(ancestor)
                if above and any(
                    role == BASIC_ROLES[kind]
                    for identity in identities
                    for role, _, _ in above.by_member.get(identity, ())
                ):
                    found.append(member)
                    break
        return found

    def stored(self) -> dict[str, Policy]:
        """The policies of all resources, in effect or not yet."""
        return self._policies

    def get_policy(self, resource: str, version: int = 1) -> dict[str, Any]:
        """The policy as JSON; below version 3 the names of conditional roles are mangled."""
        policy = self._policies.get(resource) or Policy()
        bindings = []
        for (role, condition), members in policy.bindings.items():
            binding: dict[str, Any] = {"role": role, "members": list(members)}
            if condition and version >= 3:
                binding["condition"] = json.loads(condition)
            elif condition:
                digest = hashlib.sha256(condition.encode()).hexdigest()[:20]
                binding["role"] = f"{role}_withcond_{digest}"
            bindings.append(binding)
        shown = 3 if version >= 3 and any(key[1] for key in policy.bindings) else 1
        answer: dict[str, Any] = {"version": shown, "etag": policy.etag}
        if bindings:
            answer["bindings"] = bindings
        if policy.audit_configs:
            answer["auditConfigs"] = policy.audit_configs
        return answer

    def set_policy(
        self, resource: str, policy: dict[str, Any], mask: str | None = None
    ) -> dict[str, Any]:
        """Replace what `mask` names ("bindings,etag" unless given) and return the new policy.

        Raises ABORTED when the etag is stale, INVALID_ARGUMENT for a binding Google would refuse.
        """
        current = self._policies.get(resource) or Policy()
        if policy.get("etag") not in (None, "", current.etag):
            raise aborted(
                "There were concurrent policy changes. Please retry the whole read-modify-write "
                "with exponential backoff."
            )
        fields = {part.strip() for part in (mask or "bindings,etag").split(",")}
        bindings = current.bindings
        if "bindings" in fields:
            bindings = self._checked(resource, policy, current)
        audit_configs = current.audit_configs
        if "auditConfigs" in fields or "audit_configs" in fields:
            audit_configs = policy.get("auditConfigs", [])
        self._store(resource, Policy(bindings, audit_configs, policy.get("version", 1)))
        return self.get_policy(resource, 3)

    def modified_roles(self, resource: str, policy: dict[str, Any]) -> list[str]:
        """The roles whose members differ between the stored policy and this one."""
        before = (self._policies.get(resource) or Policy()).bindings
        after: dict[tuple[str, str], set[str]] = {}
        for binding in policy.get("bindings", ()):
            key = (binding.get("role", ""), _condition_key(binding.get("condition")))
            after.setdefault(key, set()).update(binding.get("members", ()))
        changed = {
            key[0]
            for key in before.keys() | after.keys()
            if set(before.get(key, ())) != after.get(key, set())
        }
        return sorted(changed)

    def grant(
        self, resource: str, role: str, member: str, condition: dict[str, Any] | None = None
    ) -> None:
        """Add one binding that is in effect at once: for seeds and for Google's own agents."""
        policy = self._policies.setdefault(resource, Policy())
        self._check_binding(resource, role, member, set())
        key = (role, _condition_key(condition))
        members = policy.bindings.setdefault(key, {})
        if member in members:
            return
        members[member] = None
        policy.etag = self._etag()
        if resource not in self._effective:
            self._effective[resource] = Index(Policy())
        self._effective[resource].add(*key, member)
        for _, _, name, index in self._pending:
            if name == resource and isinstance(index, Index):
                index.add(*key, member)

    def rename_member(self, old: str, new: str) -> None:
        """A service account was deleted or undeleted: rewrite it in every policy, at once."""
        for resource, policy in self._policies.items():
            if old not in policy.members():
                continue
            policy.bindings = {
                key: {new if member == old else member: None for member in members}
                for key, members in policy.bindings.items()
            }
            policy.etag = self._etag()
            self._cancel(resource)
            self._effective[resource] = Index(policy)

    def set_role(self, name: str, permissions: Iterable[str], *, at_once: bool = False) -> None:
        """A custom role was created or changed."""
        self._schedule(name, frozenset(permissions), at_once)

    def drop_role(self, name: str) -> None:
        """A custom role was deleted: it grants nothing from now on."""
        self._cancel(name)
        self._custom[name] = NOTHING

    def _store(self, resource: str, policy: Policy) -> None:
        policy.etag = self._etag()
        if policy.audit_configs != (self._policies.get(resource) or Policy()).audit_configs:
            since = self._cloud.clock.now() + self._cloud.delays.iam
            change = (since, self._cloud.audit.handled, policy.audit_configs)
            self.audit_configs.setdefault(resource, []).append(change)
        self._policies[resource] = policy
        self._schedule(resource, Index(policy))

    def _schedule(self, name: str, value: Index | frozenset[str], at_once: bool = False) -> None:
        self._changes += 1
        wait = 0.0 if at_once else self._cloud.delays.iam
        due = self._cloud.clock.now() + wait
        heapq.heappush(self._pending, (due, self._changes, name, value))
        self._apply_due()

    def _apply_due(self) -> None:
        while self._pending and self._pending[0][0] <= self._cloud.clock.now():
            _, _, name, value = heapq.heappop(self._pending)
            if isinstance(value, Index):
                self._effective[name] = value
            else:
                self._custom[name] = value

    def _cancel(self, name: str) -> None:
        self._pending = [item for item in self._pending if item[2] != name]
        heapq.heapify(self._pending)

    def _etag(self) -> str:
        self._changes += 1
        return base64.b64encode(b"\x07" + self._changes.to_bytes(7, "big")).decode()

    def _checked(
        self, resource: str, policy: dict[str, Any], current: Policy
    ) -> dict[tuple[str, str], dict[str, None]]:
        known = current.members()
        checked: dict[tuple[str, str], dict[str, None]] = {}
        for binding in policy.get("bindings", ()):
            role, condition = binding.get("role", ""), binding.get("condition")
            if condition:
                if policy.get("version", 1) != 3:
                    raise invalid("Policies with conditions must specify version 3.")
                if role in BASIC_ROLES.values():
                    raise invalid("Conditions can't be set on primitive roles")
                conditions.compiled(condition.get("expression", ""))
            key = (role, _condition_key(condition))
            for member in binding.get("members", ()):
                if key not in current.bindings or member not in current.bindings[key]:
                    self._check_binding(resource, role, member, known)
                checked.setdefault(key, {})[member] = None
        count = sum(len(members) for members in checked.values())
        if count > MAX_PRINCIPALS:
            raise invalid(
                f"The number of members in the policy ({count:,}) is larger than the maximum "
                f"allowed size {MAX_PRINCIPALS:,}."
            )
        return checked

    def _check_binding(self, resource: str, role: str, member: str, known: set[str]) -> None:
        if role.startswith("roles/"):
            usable = role in roles.ROLES
        else:
            owner = role.partition("/roles/")[0]
            usable = self._cloud.roles.bindable(role) and owner in self.ancestors(resource)
        if not usable:
            raise invalid(f"Role {role} is not supported for this resource.")
        check_member(self._cloud, member, is_new=member not in known)


def _condition_key(condition: dict[str, Any] | None) -> str:
    return json.dumps(condition, sort_keys=True) if condition else ""
