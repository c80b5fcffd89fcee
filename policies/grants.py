"""Rule `broad-grant`: nobody gets a broad role, and nothing is open to everybody.

Roles are judged by what they hold, not by their names (policy facts: name lists miss most of the
roles that escalate). The basic roles have no list of permissions, so they are named.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pulumi_policy import ReportViolation, ResourceValidationArgs
from pulumi_policy.proxy import UnknownValueError

from components import permissions as table
from policies import roles as catalogue

BASIC: Final = frozenset(
    f"roles/{name}" for name in ("owner", "editor", "viewer", "admin", "writer", "reader")
)
EVERYBODY: Final = frozenset({"allusers", "allauthenticatedusers"})
MANY: Final = 100
"""More permissions than this are too many for one grant; nine roles in ten have fewer than 70."""

ESCALATES: Final = frozenset(
    {
        "iam.serviceAccounts.actAs",
        "iam.serviceAccounts.getAccessToken",
        "iam.serviceAccounts.getOpenIdToken",
        "iam.serviceAccounts.implicitDelegation",
        "iam.serviceAccounts.signBlob",
        "iam.serviceAccounts.signJwt",
        "iam.serviceAccounts.setIamPolicy",
        "iam.serviceAccountKeys.create",
        "iam.roles.update",
        "resourcemanager.projects.setIamPolicy",
        "resourcemanager.folders.setIamPolicy",
        "resourcemanager.organizations.setIamPolicy",
    }
)
"""Enough, on a whole project, to become something stronger in one step."""

STARTS_CODE: Final = frozenset(
    f"aiplatform.{name}"
    for name in (
        "batchPredictionJobs.create",
        "customJobs.create",
        "endpoints.deploy",
        "hyperparameterTuningJobs.create",
        "nasJobs.create",
        "notebookExecutionJobs.create",
        "notebookRuntimeTemplates.create",
        "notebookRuntimes.assign",
        "persistentResources.create",
        "pipelineJobs.create",
        "reasoningEngines.create",
        "schedules.create",
        "trainingPipelines.create",
        "tuningJobs.create",
    )
)
"""Launchers of Vertex AI: they run code of the caller's choice under a service account."""

WIDE: Final = ("gcp:projects/", "gcp:folder/", "gcp:organizations/")
"""Types that grant on a project or above; every other type grants on one resource."""


@dataclass(frozen=True)
class Grant:
    """One role given to some members. None stands for what a preview cannot know."""

    role: str | None
    members: tuple[str, ...] | None
    wide: bool


def granted(type_: str, props: Mapping[str, Any]) -> Iterator[Grant]:
    """The grants that a resource makes, recognised by its shape: a role, and who gets it.

    The role is read first: an unknown member must not hide a bad role.
    """
    if type_.endswith("MemberRemove"):
        return
    if "role" in list(props.keys()):  # asking the mapping itself raises where it is unknown
        role = _known(lambda: props["role"])
        yield Grant(role, _known(lambda: _members(props)), type_.startswith(WIDE))


def _members(props: Mapping[str, Any]) -> tuple[str, ...]:
    single, several = props.get("member"), props.get("members")
    return (*([single] if single else []), *(several or []))


def _known(read: Callable[[], Any]) -> Any:
    try:
        return read()
    except UnknownValueError:
        return None


def why_broad(grant: Grant) -> str | None:
    """What is wrong with a grant, in numbers where it can be; None when nothing is."""
    for member in grant.members or ():
        if member.strip().lower() in EVERYBODY:
            return f"{member} is everybody"
    if grant.role is None:
        return None
    role = grant.role.strip()
    if role.lower() in BASIC:
        return f"{role} is a basic role: it reaches every service"
    held = catalogue.permissions(role)
    if held is None or not grant.wide or _to_google(grant):
        return None
    launchers = sorted(held & STARTS_CODE)
    escalating = sorted(held & ESCALATES)
    if escalating:
        return f"{role} on a whole project holds {escalating[0]}, enough to become another account"
    if len(held) > MANY or launchers:
        used = sorted({need.permission for need in table.NEEDS} & held)
        return (
            f"{role} on a whole project: {len(held)} permissions, "
            f"{len(launchers)} that start code, {sum('.delete' in name for name in held)} deletes; "
            f"this stack's table needs {len(used)} of them"
        )
    return None


def _to_google(grant: Grant) -> bool:
    """Whether a service agent's role goes to Google's own agents, as far as that is known."""
    service_agent_role = bool(grant.role and grant.role.strip().endswith("erviceAgent"))
    return service_agent_role and all(
        re.fullmatch(r"serviceAccount:service-\d+@gcp-sa-[\w-]+\.iam\.gserviceaccount\.com", member)
        for member in grant.members or ()
    )


REMEDY: Final = (
    "Declare a custom role with the permissions of components/permissions.py and grant it on the "
    "one resource that needs it (see components/access.py)."
)


def broad_grant(args: ResourceValidationArgs, report: ReportViolation) -> None:
    """Blocks a broad role, and any grant to everybody."""
    for grant in granted(args.resource_type, args.props):
        if reason := why_broad(grant):
            report(f"{reason}. {REMEDY}", None)
