"""Every way to grant, found by its shape: who gets what, wherever a resource says so.

Shapes, not types: the 317 types with a role and members, the 158 with `policyData`, and what grants
without either, so that a type which the provider adds tomorrow is covered, and one of another
package as well. Outside Google's own packages, a role has to look like one of Google's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, Final

from . import cel, roles
from .packages import GOOGLES
from .view import UNKNOWN, CannotJudge, Props, Resource, inside, texts

RESOURCE, PROJECT, FOLDER, ORGANIZATION, BILLING = (
    "resource",
    "project",
    "folder",
    "organization",
    "billing account",
)
ABOVE: Final = (FOLDER, ORGANIZATION, BILLING)

MODULES: Final = {
    "gcp:projects": PROJECT,
    "gcp:folder": FOLDER,
    "gcp:organizations": ORGANIZATION,
    "gcp:billing": BILLING,
}
# By the type's name in other packages, and by the kind of thing a Kubernetes resource refers to.
LEVELS: Final = {
    "project": PROJECT,
    "folder": FOLDER,
    "organization": ORGANIZATION,
    "billingaccount": BILLING,
}
# Where a grant says itself what it is on, as PAM and access policies do.
NAMES: Final = {
    "projects/": PROJECT,
    "folders/": FOLDER,
    "organizations/": ORGANIZATION,
    "billingAccounts/": BILLING,
}

# Properties that name who gets the role beside them, and the kind of member that makes.
PRINCIPALS: Final = {
    "member": "",
    "members": "",
    "iamMember": "",
    "principal": "",
    "principals": "",
    "specialGroup": "",
    "entity": "",
    "userByEmail": "user:",
    "groupByEmail": "group:",
    "domain": "domain:",
    "user": "user:",
    "group": "group:",
}
# The same where nobody knows the package: words such as `user` and `group` mean anything there.
ANYWHERE: Final = ("member", "members", "iamMember", "principal", "principals")
GOOGLES_ROLE: Final = re.compile(
    r"roles/[\w.]+|(projects|organizations)/[\w.:-]+/roles/[\w.]+", re.IGNORECASE
)
# What does not say that a grant is on less than a project.
NO_PLACE: Final = frozenset({
    "role", "roles", *ANYWHERE, "bindings", "condition", "project", "projectid", "folder", "org",
    "orgid", "organization", "name", "resourcename", "description", "etag", "__provider",
})  # fmt: skip
ACL_ENTITIES: Final = {"user-": "user:", "group-": "group:", "domain-": "domain:"}

INSIDE: Final = re.compile(
    r"(//[\w.-]+/)?projects/[^/]+/(locations/[^/]+/)?(?!locations/)[^/]+/[^/]+"
)
"""A resource name, or the beginning of one, that goes further than project and location."""

GOOGLES_OWN: Final = "Google's own agent"
"""Stands for a member that is unknown but comes from a ServiceIdentity, or from a log sink."""


@dataclass(frozen=True)
class Grant:
    """One role, or a list of permissions, given to some members. Parts may be UNKNOWN."""

    role: Any
    members: tuple[Any, ...]
    level: str
    at: str
    """Property that grants, such as `policyData.bindings[1]`."""
    condition: Any = None
    permissions: frozenset[str] | None = None
    """Where they are known from the grant itself, or from the role it depends on."""
    authoritative: str = ""
    """`policy` sets all grants, `binding` all of one role; each takes the others' grants away."""
    acl: bool = False
    """Whether the role is one of an access list, such as OWNER, and not of IAM."""

    @cached_property
    def expression(self) -> str | None:
        """The condition; empty where there is none, None where it is unknown."""
        condition: Any = self.condition
        if condition is UNKNOWN:
            return None
        found = (condition or {}).get("expression") or ""
        return None if found is UNKNOWN else str(found)

    @cached_property
    def only_grants(self) -> frozenset[str] | None:
        """The roles that its holder may grant at most, by the condition; None: any."""
        return cel.grants_only(self.expression) if self.expression else None

    @property
    def wide(self) -> bool:
        """On a project or above: it holds for every resource there, also for those to come."""
        return self.level != RESOURCE and not self.narrowed

    @cached_property
    def narrowed(self) -> bool:
        """Whether the condition lets it hold for named resources inside a project alone."""
        found = cel.resources(self.expression) if self.expression else None
        return found is not None and all(INSIDE.match(one.value) for one in found)

    def known_role(self) -> str:
        """Raises CannotJudge."""
        if self.role is UNKNOWN:
            raise CannotJudge(f"{self.at}.role" if self.at else "role")
        return str(self.role)

    def each_member(self) -> Iterator[str]:
        """The members that are known; then CannotJudge when there are others."""
        yield from (member for member in self.members if member is not UNKNOWN)
        if UNKNOWN in self.members:
            raise CannotJudge(f"{self.at}.members" if self.at else "member")


def granted(resource: Resource) -> list[Grant]:
    """The grants that a resource makes; a removal makes none."""
    if resource.package == "pulumi" or resource.kind.endswith("memberremove"):
        return []
    googles = resource.package in GOOGLES
    level = _level(resource)
    props = resource.props
    found = list(_policy(resource, level)) if "policyData" in props else []
    for at, values in inside(props):
        if "role" in values or "roles" in values:
            found += _beside(resource, at, values, level)
        if not googles:
            found += _by_role(at, values, level)
            continue
        found += _other_members(at, values)
    if googles:
        found += _access_lists(props)
        if "privilegedAccess" in props:
            found += _entitled(resource)
        if "details" in props:
            found += _allowed(resource)
    return found


def looks_like_a_role(value: Any) -> bool:
    return isinstance(value, str) and bool(GOOGLES_ROLE.fullmatch(value.strip()))


def normal_member(member: str) -> str:
    """As Google compares members: without spaces around, the kind in its own spelling."""
    kind, colon, rest = member.strip().partition(":")
    if not colon:
        return kind.lower()
    return f"{KINDS.get(kind.strip().lower(), kind)}:{rest.strip()}"


KINDS: Final = {
    kind.lower(): kind
    for kind in (
        "user", "serviceAccount", "group", "domain", "principal", "principalSet", "deleted",
        "projectOwner", "projectEditor", "projectViewer",
    )
}  # fmt: skip


def _level(resource: Resource) -> str:
    if resource.package not in GOOGLES:
        return _stranger(resource.props)
    return MODULES.get(resource.module) or _level_by_name(resource.kind)


@cache
def _level_by_name(kind: str) -> str:
    type_ = kind.rpartition(":")[2]
    for name, level in LEVELS.items():
        if type_.startswith((f"{name}iam", f"{name}accesspolicy")):
            return level
    return RESOURCE


def _stranger(props: Props) -> str:
    """The level in a package that nobody knows: a project, unless something narrower is named."""
    for _, values in inside(props):
        if isinstance(reference := values.get("resourceRef"), dict):
            return LEVELS.get(str(reference.get("kind")).lower(), RESOURCE)
    narrower = [
        key
        for key, value in props.items()
        if isinstance(value, str) and key.lower() not in NO_PLACE and not looks_like_a_role(value)
    ]
    return RESOURCE if narrower else PROJECT


def _beside(resource: Resource, at: str, values: Props, level: str) -> Iterator[Grant]:
    """A role with principals beside it; the role is kept even where the members are unknown."""
    googles = resource.package in GOOGLES
    # `role` alone is no grant: subnetworks, for one, have a role of their own.
    named = PRINCIPALS if googles else ANYWHERE
    principals = [key for key in values if key in named and values[key] is not None]
    given = [values[key] for key in ("role", "roles") if values.get(key) is not None]
    if not principals or not given:
        return
    members = tuple(
        _member(key, member) for key in principals for member in texts(values[key]) if member
    )
    if not at:
        members = tuple(_from_dependencies(resource, members))
    for role in [one for several in given for one in texts(several)]:
        if isinstance(role, dict):
            role = role.get("predefinedRole", role.get("customRole"))
        declared = None
        if role is UNKNOWN and not at:
            role, declared = _declared(resource.depends.get("role", ()))
        if not googles and role is not UNKNOWN and not looks_like_a_role(role):
            continue
        yield Grant(
            role,
            members,
            level,
            at,
            values.get("condition"),
            declared,
            _sets(resource.kind, at),
            acl=googles and ("entity" in values or (isinstance(role, str) and role.isupper())),
        )


def _sets(kind: str, at: str) -> str:
    if kind.endswith("iambinding"):
        return "binding"
    return "policy" if kind.endswith("iampolicy") and at.startswith("bindings") else ""


def _by_role(at: str, values: Props, level: str) -> Iterator[Grant]:
    """Members listed under the role's name, as Terraform modules and components take them."""
    for role, members in values.items():
        if looks_like_a_role(role) and isinstance(members, str | list):
            people = tuple(_member("member", member) for member in texts(members))
            yield Grant(role, people, level, f"{at}.{role}" if at else role)


def _member(key: str, member: Any) -> Any:
    if isinstance(member, dict):  # as Config Connector has them
        member = member.get("member", UNKNOWN)
    if member is UNKNOWN:
        return UNKNOWN
    if key == "entity":
        return _entity(str(member))
    return normal_member(PRINCIPALS[key] + str(member))


def _entity(entity: str) -> str:
    for prefix, kind in ACL_ENTITIES.items():
        if entity.strip().lower().startswith(prefix):
            return kind + entity.strip()[len(prefix) :]
    return normal_member(entity)


def _declared(depends: tuple[Resource, ...]) -> tuple[Any, frozenset[str] | None]:
    """The custom role that an unknown role name comes from, when it is this stack's."""
    for role in depends:
        if role.kind.endswith(":iamcustomrole"):
            return custom_role_name(role), custom_permissions(role)
    return UNKNOWN, None


def _from_dependencies(resource: Resource, members: tuple[Any, ...]) -> Iterator[Any]:
    sources = [*resource.depends.get("member", ()), *resource.depends.get("members", ())]
    for member in members:
        yield _source(sources) if member is UNKNOWN else member


def _source(sources: list[Resource]) -> Any:
    for source in sources:
        sink = source.module == "gcp:logging" and source.kind.endswith("sink")
        if source.kind.endswith(":serviceidentity") or (
            sink and not source.props.get("customWriterIdentity")
        ):
            return GOOGLES_OWN
        if source.kind == "gcp:serviceaccount/account:account":
            return account_member(source) or UNKNOWN
    return UNKNOWN


def account_member(account: Resource) -> str:
    """The member that a declared service account is; empty where its name is unknown."""
    id, project = account.props.get("accountId"), account.props.get("project", account.project)
    if not isinstance(id, str) or not isinstance(project, str) or not project:
        return ""
    return f"serviceAccount:{id}@{project}.iam.gserviceaccount.com"


def custom_role_name(role: Resource) -> Any:
    """The full name of a declared custom role; UNKNOWN where a part of it is."""
    id, organization = role.props.get("roleId"), role.props.get("orgId")
    project = role.props.get("project", role.project)
    if id is UNKNOWN or organization is UNKNOWN or (project is UNKNOWN and not organization):
        return UNKNOWN
    parent = f"organizations/{organization}" if organization else f"projects/{project}"
    return f"{parent}/roles/{id}"


def custom_permissions(role: Resource) -> frozenset[str] | None:
    """What a declared custom role holds; None where a part of it is unknown."""
    held = role.props.get("permissions", [])
    if held is UNKNOWN or UNKNOWN in held:
        return None
    return frozenset(str(name).strip() for name in held)


def _policy(resource: Resource, level: str) -> Iterator[Grant]:
    """Whole allow policies, which arrive as JSON."""
    data = resource.props.get("policyData")
    if data is None:
        return
    if data is UNKNOWN:
        yield Grant(UNKNOWN, (UNKNOWN,), level, "policyData", authoritative="policy")
        return
    try:
        bindings = json.loads(data)["bindings"] if isinstance(data, str) else data["bindings"]
        for index, binding in enumerate(bindings):
            members = tuple(normal_member(str(member)) for member in texts(binding.get("members")))
            yield Grant(
                str(binding["role"]),
                members,
                level,
                f"policyData.bindings[{index}]",
                binding.get("condition"),
                authoritative="policy",
            )
    except (ValueError, KeyError, TypeError, AttributeError):
        yield Grant(UNREADABLE, (), level, "policyData", authoritative="policy")


UNREADABLE: Final = "policyData that is no policy"


def _access_lists(props: Mapping[str, Any]) -> Iterator[Grant]:
    for index, item in enumerate(texts(props.get("roleEntities"))):
        known = item is not UNKNOWN
        role, _, entity = str(item).partition(":")
        member = _entity(entity) if known else UNKNOWN
        at = f"roleEntities[{index}]"
        yield Grant(role if known else UNKNOWN, (member,), RESOURCE, at, acl=True)
    for key in ("predefinedAcl", "defaultAcl"):
        if (acl := props.get(key)) is not None:
            yield Grant("acl", (_canned(acl),), RESOURCE, key, acl=True)


def _canned(acl: Any) -> Any:
    if acl is UNKNOWN:
        return UNKNOWN
    lowered = str(acl).strip().lower()
    if lowered.startswith("public"):
        return "allusers"
    return "allauthenticatedusers" if lowered.startswith("authenticated") else f"acl {lowered}"


def _named_level(name: Any) -> str:
    text = str(name).removeprefix("//cloudresourcemanager.googleapis.com/")
    return next((level for prefix, level in NAMES.items() if text.startswith(prefix)), RESOURCE)


def _entitled(resource: Resource) -> Iterator[Grant]:
    """Privileged access manager: roles that may be had for some hours."""
    access = resource.props.get("privilegedAccess")
    if access is None:
        return
    people = [
        UNKNOWN if principal is UNKNOWN else normal_member(str(principal))
        for _, values in inside(resource.props.get("eligibleUsers", []))
        for principal in texts(values.get("principals"))
    ]
    if access is UNKNOWN:
        yield Grant(UNKNOWN, tuple(people), PROJECT, "privilegedAccess")
        return
    for at, values in inside(access, "privilegedAccess"):
        level = _named_level(values.get("resource", ""))
        for index, binding in enumerate(texts(values.get("roleBindings"))):
            where = f"{at}.roleBindings[{index}]"
            if binding is UNKNOWN:
                yield Grant(UNKNOWN, tuple(people), level, where)
            else:
                condition = {"expression": binding.get("conditionExpression") or "", "ends": True}
                yield Grant(binding.get("role"), tuple(people), level, where, condition)


def _allowed(resource: Resource) -> Iterator[Grant]:
    """Access policies, which allow permissions without any role."""
    details = resource.props.get("details")
    if details is UNKNOWN and resource.kind.endswith("accesspolicy"):
        yield Grant(UNKNOWN, (UNKNOWN,), _level(resource), "details")
    for at, values in inside(details, "details"):
        if str(values.get("effect", "")).upper() != "ALLOW":
            continue
        operation = values.get("operation") or {}
        named = texts(operation.get("permissions")) if isinstance(operation, dict) else (UNKNOWN,)
        people = tuple(
            UNKNOWN if principal is UNKNOWN else normal_member(str(principal))
            for principal in texts(values.get("principals"))
        )
        known = UNKNOWN not in named
        held = frozenset(_full_name(str(name)) for name in named) if known else None
        role = f"the permissions in {at}" if known else UNKNOWN
        yield Grant(role, people, _level(resource), at, permissions=held)


def _full_name(permission: str) -> str:
    """Access policies spell a permission with its service's host; most roles do not."""
    host, _, name = permission.partition("/")
    if roles.exists(permission) or not host.endswith(".googleapis.com"):
        return permission
    return f"{host.partition('.')[0]}.{name}"


def _other_members(at: str, values: Props) -> Iterator[Grant]:
    """Members of groups, and whom a deny policy leaves out: access without any role."""
    if "exceptionPrincipals" in values:
        people = tuple(texts(values["exceptionPrincipals"]))
        yield Grant("an exception to a deny policy", people, RESOURCE, at, permissions=NOTHING)
    for key in ("preferredMemberKey", "memberKey"):
        if isinstance(key_of := values.get(key), dict) and (id := key_of.get("id")):
            member = UNKNOWN if id is UNKNOWN else normal_member(f"user:{id}")
            yield Grant("membership of a group", (member,), RESOURCE, key, permissions=NOTHING)


NOTHING: Final = frozenset[str]()
