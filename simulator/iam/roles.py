"""Custom roles: IAM v1 `projects.roles`, `organizations.roles`, and the predefined `roles`."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from typing import Any

from policies.gcp_access import roles
from simulator.api.calls import Call, Methods, Service, on_name, on_parent
from simulator.api.errors import (
    already_exists,
    failed_precondition,
    invalid,
    not_found,
    resource_exhausted,
    unimplemented,
)
from simulator.api.honoured import Table
from simulator.api.operations import Operations
from simulator.api.pages import listing
from simulator.api.patching import mask_paths
from simulator.core.cloud import Cloud, Holding
from simulator.iam.allow import check_etag
from simulator.iam.decisions import Iam

method = Methods()

# gcp-facts/03_custom_roles.md, "Limits" and "Delete"; terraform-google-bastion-host#14 quotes what
# Google's documentation says of ids, which are free again after 37 days.
ROLE_ID = re.compile(r"[a-zA-Z0-9_.]{3,64}")
MAX_ROLES = 300
MAX_PERMISSIONS = 3000
MAX_TEXT = 64 * 1024
UNDELETE_SECONDS = 7 * 86_400
ID_TAKEN_SECONDS = 37 * 86_400
STAGES = ("ALPHA", "BETA", "GA", "DEPRECATED", "DISABLED", "EAP")
# The first value of an enum is what a message without the field says, and Google leaves both out:
# its provider takes no stage for ALPHA, and no support level for SUPPORTED.
UNSAID_STAGE, UNSAID_LEVEL = "ALPHA", "SUPPORTED"
LISTED = "pageSize pageToken showDeleted view"
A_PROJECT = re.compile(r"//cloudresourcemanager\.googleapis\.com/projects/[^/]+")


HONOURED = Table(
    "iam",
    {
        "CreateRoleRequest": "role roleId",
        "Role": "description etag includedPermissions stage title",
        "UndeleteRoleRequest": "etag",
        "QueryTestablePermissionsRequest": "fullResourceName pageSize pageToken",
    },
    {
        "Role.deleted": "calls to create and update a role ignore it (discovery document)",
        "Role.name": "the path says which one it is",
    },
)


@dataclass(slots=True)
class CustomRole:
    name: str
    permissions: tuple[str, ...] = ()
    title: str = ""
    description: str = ""
    stage: str = "ALPHA"
    revision: int = 1
    deleted: float = 0.0

    @property
    def etag(self) -> str:
        return base64.b64encode(b"\x07" + self.revision.to_bytes(7, "big")).decode()

    @property
    def grants(self) -> tuple[str, ...]:
        return () if self.stage == "DISABLED" else self.permissions

    def json(self, *, full: bool = True) -> dict[str, Any]:
        answer: dict[str, Any] = {"name": self.name, "etag": self.etag}
        if self.stage != UNSAID_STAGE:
            answer["stage"] = self.stage
        if self.title:
            answer["title"] = self.title
        if self.description:
            answer["description"] = self.description
        if full and self.permissions:
            answer["includedPermissions"] = list(self.permissions)
        if self.deleted:
            answer["deleted"] = True
        return answer


class CustomRoles(Holding):
    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._roles: dict[str, CustomRole] = {}

    def get(self, name: str) -> CustomRole:
        """The role, soft-deleted or not; 404 when there is none or it is gone for good."""
        role = self._find(name)
        if role is None or self._purged(role):
            raise not_found(f"The role named {name} was not found.")
        return role

    def _find(self, name: str) -> CustomRole | None:
        """The role, for as long as its id is taken."""
        role = self._roles.get(name)
        if role and role.deleted and self._gone_for(role) >= ID_TAKEN_SECONDS:
            del self._roles[name]
            return None
        return role

    def seed(self, name: str, permissions: list[str]) -> None:
        """A role that is in effect at once."""
        role = CustomRole(name, tuple(permissions), stage="GA")
        self._check(role)
        self._roles[name] = role
        self._cloud[Iam].set_role(name, role.grants, at_once=True)

    def create(self, role: CustomRole) -> CustomRole:
        parent, _, role_id = role.name.partition("/roles/")
        if not ROLE_ID.fullmatch(role_id):
            raise invalid(
                f"The role_id must match [a-zA-Z0-9_.]{{3,64}}, which {role_id!r} does not."
            )
        known = self._find(role.name)
        if known and self._purged(known):
            # The same issue met this one after more than seven days.
            raise failed_precondition(
                f"You can't create a role_id ({role_id}) which has been marked for deletion."
            )
        if known and known.deleted:
            raise failed_precondition(
                f"You can't create a role with role_id ({role_id}) where there is an existing "
                "role with that role_id in a deleted state."
            )
        if known:
            raise already_exists(f"A role named {role_id} in {parent} already exists.")
        if len(self.listed(parent, deleted=True)) >= MAX_ROLES:
            raise resource_exhausted(f"Maximum number of roles reached. Maximum is: {MAX_ROLES}")
        return self._save(role)

    def update(self, role: CustomRole, changed: CustomRole) -> CustomRole:
        if role.deleted:
            role_id = role.name.rpartition("/")[2]
            raise failed_precondition(
                f"You can't update role_id ({role_id}): it is in a deleted state."
            )
        changed.revision = role.revision + 1
        return self._save(changed)

    def delete(self, role: CustomRole) -> CustomRole:
        """Its bindings stay, without effect, until it is gone for good."""
        if not role.deleted:
            deleted = role.deleted = self._cloud.clock.now()
            role.revision += 1
            self._cloud[Iam].drop_role(role.name)

            def unbind() -> None:
                if role.deleted == deleted:
                    self._cloud[Iam].unbind(role.name)

            self._cloud[Operations].after(UNDELETE_SECONDS, unbind)
        return role

    def undelete(self, role: CustomRole) -> CustomRole:
        if not role.deleted:
            raise failed_precondition(f"The role named {role.name} is not deleted.")
        role.deleted = 0.0
        role.revision += 1
        return self._save(role)

    def listed(self, parent: str, *, deleted: bool = False) -> list[CustomRole]:
        return [
            role
            for role in self._roles.values()
            if role.name.startswith(f"{parent}/roles/")
            and not self._purged(role)
            and (deleted or not role.deleted)
        ]

    def live(self) -> dict[str, list[str]]:
        return {
            "roles": sorted(name for name, role in self._roles.items() if not role.deleted),
            "softDeletedRoles": sorted(name for name, role in self._roles.items() if role.deleted),
        }

    def _save(self, role: CustomRole) -> CustomRole:
        self._check(role)
        self._roles[role.name] = role
        self._cloud[Iam].set_role(role.name, role.grants)
        return role

    def _purged(self, role: CustomRole) -> bool:
        return bool(role.deleted) and self._gone_for(role) >= UNDELETE_SECONDS

    def _gone_for(self, role: CustomRole) -> float:
        return self._cloud.clock.now() - role.deleted

    @staticmethod
    def _check(role: CustomRole) -> None:
        in_project = role.name.startswith("projects/")
        for permission in role.permissions:
            level = roles.support_level(permission)
            known = level is not None if in_project else roles.exists(permission)
            if not known:
                raise invalid(f"Permission {permission} is not valid.")
            if level == "NOT_SUPPORTED":
                raise invalid(f"Permission {permission} is not supported in custom roles.")
        text = role.title + role.description + "".join(role.permissions)
        if (
            len(role.permissions) > MAX_PERMISSIONS
            or len(text.encode()) > MAX_TEXT
            or len(role.title.encode()) > 100
            or len(role.description.encode()) > 300
        ):
            # gcp-facts has the limits, not Google's sentence.
            raise invalid(
                "A custom role holds at most 3,000 permissions, a title of 100 bytes, a "
                "description of 300 bytes, and 64 KB of all of these together."
            )
        if role.stage not in STAGES:
            raise invalid(f"Invalid value at 'role.stage', \"{role.stage}\"")


def _ids(verb: str) -> tuple[str, str]:
    return f"iam.projects.roles.{verb}", f"iam.organizations.roles.{verb}"


@method(*_ids("create"), permission="iam.roles.create", on=on_parent)
def create(call: Call) -> dict[str, Any]:
    given = call.body.get("role", {})
    if given.get("name"):
        # The discovery document has the rule, not Google's sentence.
        raise invalid("The role name must not be set when a role is created.")
    role = CustomRole(
        f"{call.resource}/roles/{call.body.get('roleId', '')}",
        tuple(given.get("includedPermissions", ())),
        given.get("title", ""),
        given.get("description", ""),
        given.get("stage", "ALPHA"),
    )
    return call.cloud[CustomRoles].create(role).json()


@method(*_ids("get"), permission="iam.roles.get", on=on_name)
def get(call: Call) -> dict[str, Any]:
    return call.cloud[CustomRoles].get(call.resource).json()


@method(*_ids("list"), permission="iam.roles.list", on=on_parent, reads=LISTED)
def list_roles(call: Call) -> dict[str, Any]:
    full = call.params.get("view") == "FULL"
    found = call.cloud[CustomRoles].listed(
        call.resource, deleted=call.params.get("showDeleted", False)
    )
    items = {role.name: role.json(full=full) for role in found}
    return listing("roles", items, call.params, default=300, most=1000)


@method(*_ids("patch"), permission="iam.roles.update", on=on_name, reads="updateMask")
def patch(call: Call) -> dict[str, Any]:
    role, given = call.cloud[CustomRoles].get(call.resource), call.body
    check_etag(given.get("etag"), role.etag)
    paths = mask_paths(call.params.get("updateMask")) or {
        "includedPermissions",
        "title",
        "description",
        "stage",
    }
    changed = CustomRole(
        role.name,
        tuple(given.get("includedPermissions", ()))
        if "includedPermissions" in paths
        else role.permissions,
        given.get("title", "") if "title" in paths else role.title,
        given.get("description", "") if "description" in paths else role.description,
        given.get("stage", "ALPHA") if "stage" in paths else role.stage,
    )
    return call.cloud[CustomRoles].update(role, changed).json()


@method(*_ids("delete"), permission="iam.roles.delete", on=on_name, reads="etag")
def delete(call: Call) -> dict[str, Any]:
    role = call.cloud[CustomRoles].get(call.resource)
    check_etag(call.params.get("etag"), role.etag)
    return call.cloud[CustomRoles].delete(role).json()


@method(*_ids("undelete"), permission="iam.roles.undelete", on=on_name)
def undelete(call: Call) -> dict[str, Any]:
    role = call.cloud[CustomRoles].get(call.resource)
    check_etag(call.body.get("etag"), role.etag)
    return call.cloud[CustomRoles].undelete(role).json()


# Predefined roles are public.
@method("iam.roles.get", permission=None)
def get_predefined(call: Call) -> dict[str, Any]:
    name = call.params["name"]
    if name not in roles.ROLES:
        raise not_found(f"The role named {name} was not found.")
    return _predefined(roles.ROLES[name], full=True)


@method("iam.roles.list", permission=None, reads=LISTED)
def list_predefined(call: Call) -> dict[str, Any]:
    full = call.params.get("view") == "FULL"
    items = {name: _predefined(role, full=full) for name, role in roles.ROLES.items()}
    return listing("roles", items, call.params, default=300, most=1000)


def _predefined(role: roles.Role, *, full: bool) -> dict[str, Any]:
    # Of Google's own roles ALPHA is said too: the public iam-dataset was read off the API.
    described: dict[str, Any] = {"name": role.name, "title": role.title, "stage": role.stage}
    return described | ({"includedPermissions": sorted(role.permissions)} if full else {})


# Asking what could be granted is not itself a permission.
@method("iam.permissions.queryTestablePermissions", permission=None)
def query_testable_permissions(call: Call) -> dict[str, Any]:
    """What of other resources than projects can be granted is not known here."""
    if not A_PROJECT.fullmatch(call.body.get("fullResourceName", "")):
        asked = call.body.get("fullResourceName", "no resource")
        raise unimplemented(f"{call.method.id} of {asked}")
    items = {name: _testable(name) for name in roles.testable()}
    return listing("permissions", items, call.body, default=100, most=1000)


def _testable(name: str) -> dict[str, Any]:
    described, level = {"name": name, "stage": "GA"}, roles.support_level(name)
    if level and level != UNSAID_LEVEL:
        described["customRolesSupportLevel"] = level
    return described


SERVICE = Service(CustomRoles, method, HONOURED)
