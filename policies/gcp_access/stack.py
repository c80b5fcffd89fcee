"""The whole stack at once: who holds what, and which account does which work."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from . import powers
from .config import Waiver
from .grants import Grant, account_member, granted
from .judge import Judge, is_basic
from .packages import named
from .view import UNKNOWN, CannotJudge, Resource, inside

ACCOUNT: Final = named("gcp:serviceaccount/account:account")
DEFAULT_ACCOUNTS: Final = (
    "-compute@developer.gserviceaccount.com",
    "@appspot.gserviceaccount.com",
    "@cloudservices.gserviceaccount.com",
    "@cloudbuild.gserviceaccount.com",
)
"""Accounts that Google makes with a project; most of them start as editors."""

ACCOUNT_PROPERTIES: Final = (
    "serviceAccount",
    "serviceAccountEmail",
    "serviceAccountName",
    "runServiceAccount",
)


@dataclass(frozen=True, eq=False)
class Holding:
    """What one member got by one grant."""

    member: str
    grant: Grant
    resource: Resource
    held: frozenset[str]


@dataclass(frozen=True, eq=False)
class Stack:
    resources: tuple[Resource, ...]
    judge: Judge
    not_judged: tuple[tuple[Resource, tuple[str, ...], str], ...] = ()
    """What no rule could read, also by following dependencies: resource, rules, property."""
    waived: frozenset[Waiver] = frozenset()
    """Waivers that were used."""

    @property
    def root(self) -> Resource:
        """The resource that stands for the stack itself."""
        roots = self.of("pulumi:pulumi:Stack")
        return roots[0] if roots else self.resources[0]

    def of(self, *types: str) -> list[Resource]:
        kinds = {type_.lower() for type_ in types}
        return [resource for resource in self.resources if resource.kind in kinds]

    @cached_property
    def accounts(self) -> Mapping[str, Resource]:
        """The declared service accounts, by member."""
        found = {account_member(resource): resource for resource in self.of(ACCOUNT)}
        return {member: resource for member, resource in found.items() if member}

    @cached_property
    def grants(self) -> list[tuple[Resource, Grant]]:
        return [(r, grant) for r in self.resources for grant in granted(r)]

    @cached_property
    def holdings(self) -> Mapping[str, list[Holding]]:
        """By member. What cannot be judged is left out here; other rules report it."""
        found: dict[str, list[Holding]] = defaultdict(list)
        for resource, grant in self.grants:
            if grant.acl:
                continue
            held = grant.permissions
            if held is None and grant.role is not UNKNOWN:
                try:
                    held = self.judge.held(str(grant.role))
                except CannotJudge:
                    held = None
            for member in grant.members:
                if member is not UNKNOWN:
                    found[member].append(Holding(member, grant, resource, held or frozenset()))
        return found

    def held(self, member: str, *, wide: bool | None = None) -> frozenset[str]:
        """Everything that a member holds; only on projects and above with `wide`."""
        return frozenset[str]().union(
            *(
                holding.held
                for holding in self.holdings.get(member, ())
                if wide is None or holding.grant.wide == wide
            )
        )

    def strong(self, member: str) -> str:
        """Why a service account is strong; empty when it is not."""
        email = member.partition(":")[2]
        if email.endswith(DEFAULT_ACCOUNTS):
            return "is a default account, which starts as an editor"
        if member in self.judge.config.accounts_elsewhere:
            return ""
        if member not in self.accounts:
            return "is not declared in this stack, so nobody can see what it may do" * (
                self.judge.strict
            )
        for holding in self.holdings.get(member, ()):
            if is_basic(str(holding.grant.role)):
                return f"holds {holding.grant.role}"
        wide = self.held(member, wide=True)
        for what, names in (
            ("escalates", wide & powers.ESCALATES),
            ("sets policies", {name for name in wide if powers.sets_policy(name)}),
            ("starts code", wide & powers.STARTS_CODE),
        ):
            if names:
                return f"{what} ({powers.some(names, 3)})"
        return ""

    @cached_property
    def workloads(self) -> Mapping[str, list[Resource]]:
        """The resources that run as an account, by member."""
        found: dict[str, list[Resource]] = defaultdict(list)
        for resource in self.resources:
            if resource.kind == ACCOUNT or resource.kind.startswith("pulumi:"):
                continue
            for member in sorted({f"serviceAccount:{email}" for email in runs_as(resource)}):
                found[member].append(resource)
        return found


def runs_as(resource: Resource) -> Iterator[str]:
    """E-mails of the accounts that a resource's properties name, wherever they stand."""
    for at, values in inside(resource.props):
        for key in ACCOUNT_PROPERTIES:
            found: Any = values.get(key)
            if found is UNKNOWN:
                found = _declared(resource, at or key)
            if isinstance(found, str) and "@" in found:
                yield found.rpartition("/")[2].strip().lower()
        email = values.get("email")
        if isinstance(email, str) and "serviceAccount" in at:
            yield email.strip().lower()


def _declared(resource: Resource, at: str) -> str:
    """The e-mail behind an unknown value that depends on one declared account."""
    top = at.partition(".")[0].partition("[")[0]
    accounts = [r for r in resource.depends.get(top, ()) if r.kind == ACCOUNT]
    return account_member(accounts[0]).partition(":")[2] if len(accounts) == 1 else ""
