"""Who holds which permission on which resource, and since when: allow policies and deny policies.

A change is stored at once and takes effect `cloud.delays.iam` seconds later, for grants and for
revocations alike (gcp-facts/03_custom_roles.md, "Propagation").
"""

from __future__ import annotations

import base64
import hashlib
import heapq
import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

from policies.gcp_access import roles
from simulator.api.audit import Audit, Via
from simulator.api.calls import Guard
from simulator.api.errors import ApiError, invalid, permission_denied
from simulator.core.cloud import Cloud
from simulator.core.platform import Constraints, Containers
from simulator.core.principal import Principal
from simulator.iam import conditions
from simulator.iam.allow import Index, Policy, check_etag, checked, condition_key
from simulator.iam.denials import ACCOUNTS, CUSTOMER, Rule
from simulator.iam.groups import Groups
from simulator.iam.members import AccountBook, check_member
from simulator.iam.trials import Part, Trial

CONTAINERS = ("projects/", "folders/", "organizations/")
NOTHING: frozenset[str] = frozenset()
# What takes effect later: a resource's allow policy, a custom role's permissions, a deny policy.
Change = Index | frozenset[str] | tuple[Rule, ...]


class Iam(Guard):
    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._policies: dict[str, Policy] = {}
        self._effective: dict[str, Index] = {}
        self._custom: dict[str, frozenset[str]] = {}
        # the custom roles that are there
        self._bindable: set[str] = set()
        # resource -> name of a deny policy on it -> its rules
        self._denials: dict[str, dict[str, tuple[Rule, ...]]] = {}
        self._pending: list[tuple[float, int, str, Change]] = []
        self._parents: dict[str, str] = {}
        self._ancestors: dict[str, tuple[str, ...]] = {}
        self._containers: dict[str, str] = {}
        self._changes = 0
        self.groups = Groups()
        # domain -> the Cloud Identity customer it belongs to
        self.customers: dict[str, str] = {}
        # resource -> tags bound to it, value by namespaced key: {"1/env": "prod"}
        self.tags: dict[str, dict[str, str]] = {}
        # resource -> its audit configurations, oldest first: when they take effect, and after how
        # many requests they were set
        self.audit_configs: dict[str, list[tuple[float, int, list[dict[str, Any]]]]] = {}
        # (account or None for everyone, permission) that no binding confers in this run
        self.withheld: set[tuple[str | None, str]] = set()
        self.trial: Trial | None = None

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
        self.tags.pop(resource, None)
        self._cancel(resource)
        if self._parents.pop(resource, None):
            self._forget_hierarchy()

    def _forget_hierarchy(self) -> None:
        self._ancestors.clear()
        self._containers.clear()

    def allowed(
        self,
        principal: Principal,
        permission: str,
        resource: str,
        *,
        method: str = "",
        modified_roles: Iterable[str] = (),
    ) -> bool:
        via, taken = self.decide(principal, permission, resource, modified_roles), None
        denied_by = None if via else self.denying(principal, permission, resource)
        if via and self.trial:
            ways = self._ways(principal, permission, resource, modified_roles)
            taken = self.trial.taken(permission, ways)
            via = None if taken else via
        now = self._cloud.clock.now()
        self._cloud[Audit].record(
            now, principal, permission, resource, via, method, denied_by, taken
        )
        return via is not None

    def denied(self, principal: Principal, permission: str, resource: str) -> ApiError:
        numbered = self._cloud[Containers].numbered(resource)
        return permission_denied(principal, permission, resource, numbered)

    def decide(
        self,
        principal: Principal,
        permission: str,
        resource: str,
        modified_roles: Iterable[str] = (),
    ) -> Via | None:
        """The binding that gives the permission, or None: there is none, or it is denied.

        `modified_roles` are the roles a setIamPolicy call would change; conditions see them.
        """
        if self._pending:
            self._apply_due()
        if self._denials and self.denying(principal, permission, resource):
            return None
        return self.allowing(principal, permission, resource, modified_roles)

    def allowing(
        self,
        principal: Principal,
        permission: str,
        resource: str,
        modified_roles: Iterable[str] = (),
    ) -> Via | None:
        """The same by allow policies alone."""
        if self._pending:
            self._apply_due()
        if self.withheld and (
            (None, permission) in self.withheld or (principal.email, permission) in self.withheld
        ):
            return None
        return next(self._ways(principal, permission, resource, modified_roles), None)

    def _ways(
        self,
        principal: Principal,
        permission: str,
        resource: str,
        modified_roles: Iterable[str],
    ) -> Iterator[Via]:
        """Every binding that gives the permission, the nearest resource's first."""
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
                        or self._holds(condition, permission, resource, modified_roles)
                    ):
                        yield Via(ancestor, role, identity)

    def denying(self, principal: Principal, permission: str, resource: str) -> str | None:
        """The name of the deny policy that keeps the permission from the principal, or None."""
        if self._pending:
            self._apply_due()
        identities: set[str] | None = None
        for ancestor in self.ancestors(resource) if self._denials else ():
            for rules in self._denials.get(ancestor, {}).values():
                for rule in rules:
                    if permission not in rule.permissions:
                        continue
                    identities = identities or self._denied_as(principal)
                    if rule.applies(permission, identities, self.tags_of(resource)):
                        return rule.policy
        return None

    def test(self, principal: Principal, resource: str, permissions: Sequence[str]) -> list[str]:
        """What testIamPermissions answers: those of `permissions` that the principal holds."""
        return [name for name in permissions if self.decide(principal, name, resource)]

    def _holds(
        self, condition: str, permission: str, resource: str, modified_roles: Iterable[str]
    ) -> bool:
        containers, project = self._cloud[Containers], resource.split("/")[1]
        number = containers.number(containers.id(project)) if containers.exists(project) else ""
        named = conditions.attributes(permission, resource, number)
        now = self._cloud.clock.now()
        return conditions.holds(condition, named, self.tags_of(resource), now, modified_roles)

    def tags_of(self, resource: str) -> list[str]:
        """`KEY=VALUE` of what is bound to the resource or above it; the nearest value of a key."""
        held: dict[str, str] = {}
        if self.tags:
            for ancestor in self.ancestors(resource):
                held = {**self.tags.get(ancestor, {}), **held}
        return [f"{key}={value}" for key, value in held.items()]

    def identities(self, principal: Principal) -> list[str]:
        """Every member that stands for the principal."""
        member = principal.member
        found = [member, *principal.sets]
        if self.groups:
            found += self.groups.of((member, *principal.sets))
        if member.startswith("user:"):
            found.append(f"domain:{member.rpartition('@')[2]}")
        # "Does not include identities that come from external identity providers" (iam v1, Binding)
        if not member.startswith("principal:"):
            found.append("allAuthenticatedUsers")
        found.append("allUsers")
        return found

    def _denied_as(self, principal: Principal) -> set[str]:
        """What a deny rule may call the principal, beside what allow policies call it.

        That a customer's principals are the accounts of its domains is an inference.
        """
        found = set(self.identities(principal))
        if owner := self._cloud[AccountBook].owner(principal.email):
            project, agent = owner
            kind = "ServiceAgent" if agent else "ServiceAccount"
            for ancestor in self.ancestors(f"projects/{project}"):
                found.add(f"{ACCOUNTS}{self._cloud[Containers].numbered(ancestor)}/type/{kind}")
        elif customer := self.customers.get(principal.email.rpartition("@")[2]):
            found.add(CUSTOMER + customer)
        return found

    def _convenience(self, index: Index, identities: list[str]) -> list[str]:
        """Those of projectOwner:P, projectEditor:P… in the index that the caller stands behind."""
        found = []
        for member, (role, project) in index.convenience.items():
            for ancestor in self.ancestors(project):
                above = self._effective.get(ancestor)
                if above and not above.basic.get(role, NOTHING).isdisjoint(identities):
                    found.append(member)
                    break
        return found

    def parts(self, members: Collection[str]) -> list[Part]:
        """What a trial takes out one at a time: grants to `members` that are in effect."""
        found = dict[Part, None]()
        for resource, index in self._effective.items():
            for member in index.by_member.keys() & members:
                for role, predefined, _ in index.by_member[member]:
                    held = self._custom.get(role, NOTHING) if predefined is None else ("",)
                    found |= {(Via(resource, role, member), name): None for name in sorted(held)}
        return list(found)

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
        check_etag(policy.get("etag"), current.etag)
        fields = {part.strip() for part in (mask or "bindings,etag").split(",")}
        bindings = current.bindings
        if "bindings" in fields:
            bindings = checked(
                policy,
                current,
                partial(self._check_binding, resource),
                partial(self._cloud[Constraints].check_members, resource),
            )
        audit_configs = current.audit_configs
        if "auditConfigs" in fields or "audit_configs" in fields:
            audit_configs = policy.get("auditConfigs", [])
        self._store(resource, Policy(bindings, audit_configs, policy.get("version", 1)))
        return self.get_policy(resource, 3)

    def _check_binding(self, resource: str, role: str, member: str, known: set[str]) -> None:
        """`known` are members that the policy has already: one of these may be gone by now."""
        if role.startswith("roles/"):
            usable = role in roles.ROLES
        else:
            owner = role.partition("/roles/")[0]
            usable = role in self._bindable and owner in self.ancestors(resource)
        if not usable:
            raise invalid(f"Role {role} is not supported for this resource.")
        check_member(self._cloud, member, is_new=member not in known)

    def modified_roles(self, resource: str, policy: dict[str, Any]) -> list[str]:
        """The roles whose members differ between the stored policy and this one."""
        before = (self._policies.get(resource) or Policy()).bindings
        after: dict[tuple[str, str], set[str]] = {}
        for binding in policy.get("bindings", ()):
            key = (binding.get("role", ""), condition_key(binding.get("condition")))
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
        key = (role, condition_key(condition))
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
            if old in policy.members():
                renamed = {
                    key: {new if member == old else member: None for member in members}
                    for key, members in policy.bindings.items()
                }
                self._rewrite(resource, policy, renamed)

    def unbind(self, role: str) -> None:
        """A custom role is gone for good: its bindings go from every policy, at once."""
        for resource, policy in self._policies.items():
            kept = {key: members for key, members in policy.bindings.items() if key[0] != role}
            if len(kept) < len(policy.bindings):
                self._rewrite(resource, policy, kept)

    def _rewrite(
        self, resource: str, policy: Policy, bindings: dict[tuple[str, str], dict[str, None]]
    ) -> None:
        policy.bindings = bindings
        policy.etag = self._etag()
        self._cancel(resource)
        self._effective[resource] = Index(policy)

    def set_denials(
        self, name: str, rules: tuple[Rule, ...] = (), *, at_once: bool = False
    ) -> None:
        """The deny policy `projects/P/denypolicies/ID` was created or changed, or is gone."""
        self._schedule(name, rules, at_once)

    def set_role(self, name: str, permissions: Iterable[str], *, at_once: bool = False) -> None:
        """A custom role was created or changed; it can be bound at once."""
        self._bindable.add(name)
        self._schedule(name, frozenset(permissions), at_once)

    def drop_role(self, name: str) -> None:
        """A custom role was deleted: it grants nothing from now on."""
        self._cancel(name)
        self._bindable.discard(name)
        self._custom[name] = NOTHING

    def _store(self, resource: str, policy: Policy) -> None:
        policy.etag = self._etag()
        if policy.audit_configs != (self._policies.get(resource) or Policy()).audit_configs:
            since = self._cloud.clock.now() + self._cloud.delays.iam
            change = (since, self._cloud[Audit].handled, policy.audit_configs)
            self.audit_configs.setdefault(resource, []).append(change)
        self._policies[resource] = policy
        self._schedule(resource, Index(policy))

    def _schedule(self, name: str, value: Change, at_once: bool = False) -> None:
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
            elif isinstance(value, frozenset):
                self._custom[name] = value
            else:
                self._deny(name, value)

    def _deny(self, name: str, rules: tuple[Rule, ...]) -> None:
        resource = name.rpartition("/denypolicies/")[0]
        policies = self._denials.setdefault(resource, {})
        if rules:
            policies[name] = rules
        else:
            policies.pop(name, None)
        if not policies:
            del self._denials[resource]

    def _cancel(self, name: str) -> None:
        self._pending = [item for item in self._pending if item[2] != name]
        heapq.heapify(self._pending)

    def _etag(self) -> str:
        self._changes += 1
        return base64.b64encode(b"\x07" + self._changes.to_bytes(7, "big")).decode()
