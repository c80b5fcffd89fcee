"""Resource Manager v1 and v3, and the one Cloud Billing call the official provider makes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from policies.gcp_access import roles
from simulator.api.calls import Call, Methods, Result, Service
from simulator.api.errors import invalid, not_found, unimplemented
from simulator.api.honoured import Table
from simulator.api.pages import listing
from simulator.core.cloud import Cloud, Holding
from simulator.core.platform import Containers
from simulator.iam import allowpolicies
from simulator.iam.decisions import Iam

method = Methods()

TERM = re.compile(r'(?P<field>[\w.-]+)\s*[:=]\s*(?P<value>"[^"]*"|[^\s()]+)')

HONOURED = Table(
    "cloudresourcemanager", {"GetIamPolicyRequest": "*", **allowpolicies.POLICY_FIELDS}
)


@dataclass(slots=True)
class Project:
    id: str
    number: str
    parent: str
    created: str
    labels: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"projects/{self.id}"


class Projects(Containers, Holding):
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
            self._cloud[Iam].set_parent(f"projects/{project_id}", parent)
        return project

    def add_container(self, name: str, parent: str = "", display_name: str = "") -> None:
        """A folder or an organisation: `folders/2`, `organizations/1`."""
        self.containers[name] = display_name or name.partition("/")[2]
        if parent:
            self._cloud[Iam].set_parent(name, parent)

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

    def exists(self, reference: str) -> bool:
        return self.id(reference) in self._projects

    def get(self, reference: str) -> Project | None:
        return self._projects.get(self.id(reference))

    def all(self) -> list[Project]:
        return list(self._projects.values())

    def live(self) -> dict[str, list[str]]:
        return {"projects": sorted(self._projects), "containers": sorted(self.containers)}


def _named(call: Call) -> str:
    """v1 takes a bare project id in `projectId` or `resource`; v3 takes a full name."""
    params = call.params
    reference: str = params.get("projectId") or params.get("resource") or params["name"]
    if "/" in reference:
        return reference
    collection = call.method.id.split(".")[1]
    return f"{collection}/{call.cloud[Projects].id(reference)}"


@method("cloudresourcemanager.projects.get", permission="resourcemanager.projects.get", on=_named)
def get_project(call: Call) -> dict[str, Any]:
    project = call.cloud[Projects].get(call.resource.partition("/")[2])
    if project is None:
        raise not_found(f"Project {call.resource} not found.")
    return _project_json(project, call.method.version)


def _project_json(project: Project, version: str) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "projectId": project.id,
        "createTime": project.created,
        "labels": project.labels,
    }
    if version == "v3":
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


# One id for two methods: v1 lists what the caller may read, v3 what is right below a parent.
@method(
    "cloudresourcemanager.projects.list",
    permission=None,
    on=lambda call: str(call.params.get("parent", "")),
    reads="filter pageSize pageToken parent showDeleted",
)
def list_projects(call: Call) -> dict[str, Any]:
    """Deleted projects would be shown; here none is ever deleted."""
    if call.method.version == "v1":
        return _listed(call, _readable(call, call.params.get("filter", "")))
    if not re.fullmatch(r"(?:folders|organizations)/\d+", call.resource):
        raise invalid(f"Invalid parent {call.resource!r}: it is folders/ID or organizations/ID.")
    call.check("resourcemanager.projects.list", call.resource)
    everything = call.cloud[Projects].all()
    return _listed(call, [item for item in everything if item.parent == call.resource])


@method(
    "cloudresourcemanager.projects.search",
    permission=None,
    on=lambda call: "",
    reads="pageSize pageToken query",
)
def search_projects(call: Call) -> dict[str, Any]:
    return _listed(call, _readable(call, call.params.get("query", "")))


def _listed(call: Call, projects: Iterable[Project]) -> dict[str, Any]:
    items = {item.id: _project_json(item, call.method.version) for item in projects}
    return listing("projects", items, call.params, default=500, most=1000)


def _readable(call: Call, query: str) -> list[Project]:
    """The projects that the caller may read and that the query fits."""
    fits, decide = _query(query), call.cloud[Iam].decide
    return [
        item
        for item in call.cloud[Projects].all()
        if fits(item) and decide(call.principal, "resourcemanager.projects.get", item.name)
    ]


def _query(text: str) -> Callable[[Project], bool]:
    """What a filter of v1 or a query of v3 asks for (discovery documents).

    Terms side by side are alternatives, but for a parent's type and id, which go together; `AND`
    and `OR` say so. Anything else is not simulated.
    """
    terms, rest = [], TERM.sub("", text).split()
    for found in TERM.finditer(text):
        terms.append((found["field"].lower(), found["value"].strip('"').lower()))
    if set(rest) - {"AND", "OR"} or len(set(rest)) > 1:
        raise unimplemented(f"the query {text!r} of projects")
    together = "AND" in rest or {name for name, _ in terms} == {"parent.type", "parent.id"}

    def fits(project: Project) -> bool:
        found = [_has(project, name, value) for name, value in terms]
        return all(found) if together else any(found) or not found

    return fits


def _has(project: Project, name: str, value: str) -> bool:
    """Whether a field is `value`, or begins so when that ends with `*`."""
    kind, _, number = project.parent.partition("/")
    labels = project.labels
    if name.startswith("labels."):
        held = [labels[key] for key in labels if key.lower() == name.partition(".")[2]]
    else:
        fields = {
            ("name", "displayname", "id", "projectid"): [project.id],
            ("lifecyclestate", "state"): ["ACTIVE"],
            ("parent",): [project.parent],
            ("parent.type",): [kind.removesuffix("s")],
            ("parent.id",): [number],
            ("labels",): [*labels, *labels.values()],
        }
        known = [values for names, values in fields.items() if name in names]
        if not known:
            raise unimplemented(f"the field {name} in a query of projects")
        [held] = known
    start = value.removesuffix("*")
    return any(
        item.lower().startswith(start) if start != value else item.lower() == value
        for item in held
        if item
    )


@method("cloudresourcemanager.folders.get", permission="resourcemanager.folders.get", on=_named)
@method(
    "cloudresourcemanager.organizations.get",
    permission="resourcemanager.organizations.get",
    on=_named,
)
def get_container(call: Call) -> dict[str, Any]:
    display_name = call.cloud[Projects].containers[call.resource]
    state = "lifecycleState" if call.method.version == "v1" else "state"
    return {"name": call.resource, "displayName": display_name, state: "ACTIVE"}


def _test_permissions(call: Call) -> Result:
    for permission in call.body.get("permissions", []):
        # gcp-facts/02_errors.md: a permission that a project does not have is a 400 here. The
        # sentence is the one custom roles get; Google's own for this case is not recorded.
        known = roles.exists(permission)
        if call.resource.startswith("projects/"):
            known = roles.support_level(permission) is not None
        if not known:
            raise invalid(f"Permission {permission} is not valid.")
    return allowpolicies.held(call)


for _collection in ("projects", "folders", "organizations"):
    allowpolicies.register(
        method,
        f"cloudresourcemanager.{_collection}",
        f"resourcemanager.{_collection}",
        None,
        on=_named,
        reads="",
        test=_test_permissions,
    )


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


SERVICE = Service(Projects, method, HONOURED, Table("cloudbilling"))
