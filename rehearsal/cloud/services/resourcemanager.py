"""Resource Manager v1 and v3, and the one Cloud Billing call the official provider makes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from policies import roles
from rehearsal.cloud.api import Call, invalid, method, not_found

if TYPE_CHECKING:
    from rehearsal.cloud.cloud import Cloud


@dataclass(slots=True)
class Project:
    id: str
    number: str
    parent: str
    created: str
    labels: dict[str, str] = field(default_factory=dict)


class Projects:
    """Projects, and the folders and organisations above them (made by seeds only)."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._projects: dict[str, Project] = {}
        self._ids: dict[str, str] = {}
        # folders/… and organizations/… -> display name
        self.containers: dict[str, str] = {}

    def add(self, project_id: str, number: str | None = None, parent: str = "") -> Project:
        number = number or self._cloud.unique_id()[:12]
        project = Project(project_id, number, parent, self._cloud.clock.rfc3339())
        self._projects[project_id] = project
        self._ids[number] = project_id
        if parent:
            self._cloud.iam.set_parent(f"projects/{project_id}", parent)
        return project

    def add_container(self, name: str, parent: str = "", display_name: str = "") -> None:
        """A folder or an organisation: `folders/2`, `organizations/1`."""
        self.containers[name] = display_name or name.partition("/")[2]
        if parent:
            self._cloud.iam.set_parent(name, parent)

    def id(self, reference: str) -> str:
        """The project id for an id or a number; an unknown reference comes back unchanged."""
        return self._ids.get(reference, reference)

    def number(self, project_id: str) -> str:
        return self._projects[project_id].number

    def numbered(self, name: str) -> str:
        """A name of a project, or of what lies below one, with the project's number."""
        head, _, rest = name.partition("/")
        project, slash, below = rest.partition("/")
        found = self._projects.get(project) if head == "projects" else None
        return f"projects/{found.number}{slash}{below}" if found else name

    def get(self, reference: str) -> Project | None:
        return self._projects.get(self.id(reference))

    def live(self) -> dict[str, list[str]]:
        return {"projects": sorted(self._projects), "containers": sorted(self.containers)}


def _named(call: Call) -> str:
    """v1 takes a bare project id in `projectId` or `resource`; v3 takes a full name."""
    params = call.params
    reference: str = params.get("projectId") or params.get("resource") or params["name"]
    if "/" in reference:
        return reference
    collection = call.method.id.split(".")[1]
    return f"{collection}/{call.cloud.projects.id(reference)}"


@method("cloudresourcemanager.projects.get", permission="resourcemanager.projects.get", on=_named)
def get_project(call: Call) -> dict[str, Any]:
    project = call.cloud.projects.get(call.resource.partition("/")[2])
    if project is None:
        raise not_found(f"Project {call.resource} not found.")
    answer: dict[str, Any] = {
        "projectId": project.id,
        "createTime": project.created,
        "labels": project.labels,
    }
    if call.method.version == "v3":
        return answer | {
            "name": f"projects/{project.number}",
            "displayName": project.id,
            "parent": project.parent,
            "state": "ACTIVE",
            "updateTime": project.created,
        }
    answer |= {
        "projectNumber": project.number,
        "name": project.id,
        "lifecycleState": "ACTIVE",
    }
    if project.parent:
        kind, _, number = project.parent.partition("/")
        answer["parent"] = {"type": kind.removesuffix("s"), "id": number}
    return answer


@method("cloudresourcemanager.folders.get", permission="resourcemanager.folders.get", on=_named)
@method(
    "cloudresourcemanager.organizations.get",
    permission="resourcemanager.organizations.get",
    on=_named,
)
def get_container(call: Call) -> dict[str, Any]:
    display_name = call.cloud.projects.containers[call.resource]
    state = "lifecycleState" if call.method.version == "v1" else "state"
    return {"name": call.resource, "displayName": display_name, state: "ACTIVE"}


def _get_policy(call: Call) -> dict[str, Any]:
    version = call.body.get("options", {}).get("requestedPolicyVersion", 1)
    return call.cloud.iam.get_policy(call.resource, int(version))


def _set_policy(call: Call) -> dict[str, Any]:
    policy = call.body.get("policy", {})
    return call.cloud.iam.set_policy(call.resource, policy, call.body.get("updateMask"))


def _test_permissions(call: Call) -> dict[str, Any]:
    wanted = call.body.get("permissions", [])
    for permission in wanted:
        # gcp-facts/02_errors.md: a permission that a project does not have is a 400 here. The
        # sentence is the one custom roles get; Google's own for this case is not recorded.
        known = roles.exists(permission)
        if call.resource.startswith("projects/"):
            known = roles.support_level(permission) is not None
        if not known:
            raise invalid(f"Permission {permission} is not valid.")
    held = call.cloud.iam.test(call.principal, call.resource, wanted)
    return {"permissions": held} if held else {}


def _register_policies() -> None:
    handlers: tuple[tuple[str, Callable[[Call], dict[str, Any]], bool], ...] = (
        ("getIamPolicy", _get_policy, True),
        ("setIamPolicy", _set_policy, True),
        # Anyone may ask what they hold.
        ("testIamPermissions", _test_permissions, False),
    )
    for collection in ("projects", "folders", "organizations"):
        for verb, handler, checked in handlers:
            permission = f"resourcemanager.{collection}.{verb}" if checked else None
            method_id = f"cloudresourcemanager.{collection}.{verb}"
            method(method_id, permission=permission, on=_named)(handler)


_register_policies()


@method(
    "cloudbilling.projects.getBillingInfo",
    permission="resourcemanager.projects.get",
    on=lambda call: call.params["name"],
)
def get_billing_info(call: Call) -> dict[str, Any]:
    return {
        "name": f"{call.resource}/billingInfo",
        "projectId": call.resource.partition("/")[2],
        "billingAccountName": "billingAccounts/000000-000000-000000",
        "billingEnabled": True,
    }
