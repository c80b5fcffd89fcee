"""The one judge of roles, by what they hold: predefined ones, the stack's own, and any other.

Names say little: of 47 grantable roles that escalate in one step, the longest public list of names
misses 28. The basic roles are named, for some of them have no list of permissions.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Final

from . import powers, roles
from .config import Config, Environment
from .grants import GOOGLES_OWN, Grant, custom_permissions, custom_role_name
from .lookup import Lookup
from .view import UNKNOWN, CannotJudge, Resource

BASIC: Final = frozenset(
    f"roles/{name}" for name in ("owner", "editor", "viewer", "admin", "writer", "reader")
)
SERVICE_AGENT_ROLES: Final = re.compile(r"roles/\S*service[aA]gent\S*", re.IGNORECASE)

# Domains of Google's own agents; nobody else can have an account in these.
GOOGLES_AGENT: Final = re.compile(
    r"serviceAccount:(service-\d+@(gcp-sa-[\w-]+|compute-system|container-engine-robot"
    r"|containerregistry|dataflow-service-producer-prod|dataproc-accounts|gae-api-prod"
    r"|gcf-admin-robot|gs-project-accounts|serverless-robot-prod|service-networking"
    r"|sourcerepo-service-accounts|cloudcomposer-accounts|cloud-tpu|cloud-ml\.google\.com"
    r"|endpoints-portal|firebase-rules)\.iam\.gserviceaccount\.com"
    r"|cloud-logs@system\.gserviceaccount\.com|[\w-]+@gcp-sa-[\w-]+\.iam\.gserviceaccount\.com)"
)


@dataclass(frozen=True)
class Judgement:
    """What a role holds, and what of it the member uses; each list sorted."""

    role: str
    held: frozenset[str]
    needed: frozenset[str] = frozenset()
    """What the stack says that this member needs there."""
    who: str = ""
    """The member's name in the stack's access file, if it has one."""

    def _beyond(self, names: Iterable[str]) -> tuple[str, ...]:
        return tuple(sorted(name for name in names if name not in self.needed))

    @cached_property
    def escalating(self) -> tuple[str, ...]:
        """Permissions that escalate in one step, and wildcards, which hold those too."""
        return self._beyond(name for name in self.held if name in powers.ESCALATES or "*" in name)

    @cached_property
    def launching(self) -> tuple[str, ...]:
        return self._beyond(self.held & powers.STARTS_CODE)

    @cached_property
    def setting_policy(self) -> tuple[str, ...]:
        return self._beyond(name for name in self.held if powers.sets_policy(name))

    @cached_property
    def deleting(self) -> tuple[str, ...]:
        return tuple(sorted(name for name in self.held if powers.deletes(name)))

    @cached_property
    def services(self) -> tuple[str, ...]:
        return tuple(sorted({powers.service(name) for name in self.held}))

    @cached_property
    def used(self) -> tuple[str, ...]:
        return tuple(sorted(self.held & self.needed))

    @cached_property
    def numbers(self) -> str:
        """Such as `roles/x: 446 permissions, 13 that start code, 69 deletes; the deployer uses…`"""
        counts = {
            "permissions": len(self.held),
            "that escalate": len([n for n in self.held if n in powers.ESCALATES]),
            "that start code": len(self.held & powers.STARTS_CODE),
            "that set policies": sum(map(powers.sets_policy, self.held)),
            "deletes": len(self.deleting),
        }
        said = ", ".join(f"{n} {what}" for what, n in counts.items() if n or what == "permissions")
        if not self.who and not self.used:
            return f"{self.role}: {said}"
        listed = f" ({powers.some(self.used)})" if self.used else ""
        return f"{self.role}: {said}; the {self.who or 'stack'} uses {len(self.used)}{listed}"


@dataclass
class Declared:
    """What the program declared so far; a grant comes after the role that it depends on."""

    roles: dict[str, frozenset[str] | None] = field(default_factory=dict)
    """Custom roles by full name; None for one whose permissions a preview cannot know."""

    def note(self, resource: Resource) -> None:
        if resource.kind.endswith(":iamcustomrole"):
            name = custom_role_name(resource)
            if name is not UNKNOWN:
                self.roles[name] = custom_permissions(resource)


@dataclass
class Judge:
    environment: Environment
    declared: Declared
    lookup: Lookup
    complete: bool = False
    """Whether the whole program was seen, so that what is not declared is not in the stack."""

    @property
    def config(self) -> Config:
        return self.environment.config

    @property
    def strict(self) -> bool:
        return self.config.profile == "strict"

    def held(self, role: str) -> frozenset[str] | None:
        """What a role holds; None when nobody can say.

        Raises CannotJudge for a custom role that the program may still declare.
        """
        name = roles.spelled(role)
        if (found := roles.permissions(name)) is not None:
            return found
        if name in self.declared.roles:
            declared = self.declared.roles[name]
            if declared is None:
                raise CannotJudge(f"permissions of {name}")
            return declared
        if name in self.config.known_roles:
            return frozenset(self.config.known_roles[name])
        if not self.complete and not name.startswith("roles/"):
            raise CannotJudge(f"permissions of {name}")
        return self.lookup.permissions(name, self.config.lookup_seconds)

    def grant(self, grant: Grant, member: str | None) -> Judgement | None:
        """The judgement of a grant to one member (None: whoever it is); None when nobody can.

        Raises CannotJudge.
        """
        held, role = grant.permissions, grant.known_role() if not grant.permissions else grant.role
        if held is None:
            held = self.held(role)
        if held is None:
            return None
        who = self.identity(member) if member else ""
        only = grant.only_grants
        limited = self._limited(held, only) if only is not None else None
        if only is not None and limited is not None:
            role = f"{role} (which may grant {powers.some(only) or 'nothing'})"
            held = limited
        needed = self.environment.everybodys if member is None else self.needs(who, grant)
        whose = "stack" if member is None and self.strict else who
        return _judgement(str(role), held, needed, whose)

    def _limited(self, held: frozenset[str], only: frozenset[str]) -> frozenset[str] | None:
        """What somebody holds who may grant these roles and no others: what they hold, as well.

        Other calls than grants on projects and above are not limited by such a condition
        (gcp-facts/09_limited_granting_and_packs.md). None where one of the roles cannot be read.
        """
        others = [self.held(role) for role in only]
        if any(other is None or is_basic(role) for role, other in zip(only, others, strict=True)):
            return None
        return (held - powers.GRANTS_ON_PROJECTS).union(*filter(None, others))

    def identity(self, member: str) -> str:
        """The name that the stack's access file has for a service account; empty for others."""
        return self.environment.identities.get(member, "")

    def needs_of(self, member: str) -> frozenset[str]:
        """All that the stack says of an account; nothing of one that it does not know."""
        return self.environment.needs.get(self.identity(member), frozenset())

    def needs(self, identity: str, grant: Grant) -> frozenset[str]:
        """What the stack says that an identity needs there, or the list that stands for that."""
        if self.environment.access is None:
            return self.environment.everybodys
        by = self.environment.wide_needs if grant.wide else self.environment.needs
        return by.get(identity, frozenset())


_judgement = lru_cache(maxsize=1024)(Judgement)
"""A stack grants few roles often, and several rules look at each grant."""


@lru_cache(maxsize=4096)
def is_googles(member: str) -> bool:
    """Whether a member is one of Google's own agents."""
    return member == GOOGLES_OWN or bool(GOOGLES_AGENT.fullmatch(member))


def is_basic(role: str) -> bool:
    return role.strip().lower() in BASIC


def is_agents_role(role: str) -> bool:
    return bool(SERVICE_AGENT_ROLES.fullmatch(role.strip()))
