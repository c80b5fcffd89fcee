"""R: what custom roles may hold."""

from __future__ import annotations

from typing import Final

from .. import powers, roles
from ..grants import custom_permissions, custom_role_name
from ..stack import Stack
from ..view import UNKNOWN, CannotJudge, Resource
from .examples import account, custom_role, on_bucket
from .rule import Context, Findings, StackFindings, rule

TYPES: Final = (
    "gcp:projects/iAMCustomRole:IAMCustomRole",
    "gcp:organizations/iAMCustomRole:IAMCustomRole",
)
ORGANIZATIONS: Final = TYPES[1].lower()
ACT_AS: Final = "iam.serviceAccounts.actAs"
NOT_NEEDED: Final = ", and no role of this stack needs these together"

LIST: Final = 'permissions=["aiplatform.endpoints.get", "aiplatform.endpoints.predict"]'


def _held(role: Resource) -> frozenset[str]:
    """Raises CannotJudge."""
    held = custom_permissions(role)
    if held is None:
        raise CannotJudge("permissions")
    return held


def _of_one_role(held: frozenset[str], context: Context) -> bool:
    """Whether one role of the stack needs all of these together."""
    if not context.strict:
        # What makes nobody stronger but by the account that it is granted on: S2 and R3 judge it.
        return held & powers.ESCALATES <= powers.IMPERSONATES and not any("*" in n for n in held)
    if context.environment.access is None:
        return held <= frozenset(context.config.needed)
    return any(held <= set(names) for names in context.environment.access.roles.values())


def _needed(context: Context) -> frozenset[str]:
    """What anything that the stack declares needs."""
    access = context.environment.access
    return frozenset(context.config.needed).union(*(access.roles.values() if access else ()))


@rule(
    "R1", "Custom roles do not escalate", "critical", each="resource", types=TYPES,
    protects="The project's other identities, wherever the role is granted one day.",
    bad={"role": custom_role("exampleKeys", "iam.serviceAccountKeys.create")},
    good={"role": custom_role("exampleActs", "iam.serviceAccounts.actAs")},
    remedy=LIST,
)  # fmt: skip
def escalates(role: Resource, context: Context) -> Findings:
    held = _held(role)
    strong = {name for name in held if name in powers.ESCALATES or "*" in name}
    if strong and not _of_one_role(held, context):
        needed = _needed(context) & powers.IMPERSONATES
        beyond = strong - needed or strong
        yield (
            f"{role.get('roleId')}: {len(held)} permissions, of which {powers.some(beyond)} is "
            "enough to become stronger" + NOT_NEEDED * context.strict
        )


@rule(
    "R2", "Custom roles name permissions that Google takes", "high", each="resource", types=TYPES,
    protects="Against a role that Google refuses in the middle of a deployment, and against '*'.",
    bad={"role": custom_role("exampleTypo", "aiplatform.endpoint.predict",
                             "resourcemanager.projects.list")},
    good={"role": custom_role("exampleRight", "aiplatform.endpoints.predict")},
    remedy=LIST + "  # without what is named here; in a role of the organisation,\n"
    "# gcp.organizations.IAMCustomRole, permissions on folders and organisations are taken as well",
)  # fmt: skip
def exists(role: Resource, context: Context) -> Findings:
    for name in sorted(_held(role)):
        if "*" in name:
            yield f"{name!r} is a wildcard; name each permission"
        elif not roles.exists(name):
            yield f"{name!r} is no permission; the nearest is {roles.nearest_permission(name)}"
        elif role.kind != ORGANIZATIONS and roles.support_level(name) is None:
            yield f"{name!r} is not valid in a role of a project, which it cannot be tested on"
        elif roles.SUPPORT_LEVELS.get(name) == "NOT_SUPPORTED":
            yield f"{name!r} is not supported in custom roles"


@rule(
    "R3", "No role both starts code and chooses its account", "critical", each="resource",
    types=TYPES,
    protects="Every service account of the project, from one role that starts code under any.",
    bad={"role": custom_role("exampleBoth", "aiplatform.endpoints.deploy", ACT_AS)},
    good={
        "deploys": custom_role("exampleDeploys", "aiplatform.endpoints.deploy"),
        "acts": custom_role("exampleActsAs", ACT_AS),
    },
    remedy="# Two roles: the launcher on the project, actAs on the one account\n"
    'gcp.serviceaccount.IAMMember("acts", service_account_id=serving.name, role=acts.name, '
    "member=deployer.member)",
)  # fmt: skip
def starts_as(role: Resource, context: Context) -> Findings:
    held = _held(role)
    if ACT_AS in held and (starts := held & powers.STARTS_CODE):
        yield f"{role.get('roleId')} holds {ACT_AS} and {powers.some(starts)}"


@rule(
    "R4", "Custom roles are small", "medium", each="resource", types=TYPES,
    protects="Against predefined roles that are copied into a custom one.",
    bad={"role": custom_role("exampleCopy", *sorted(
        name for name in roles.testable() if name.startswith("compute."))[:120])},
    good={"role": custom_role("exampleSmall", "aiplatform.endpoints.predict")},
    remedy=LIST,
)  # fmt: skip
def small(role: Resource, context: Context) -> Findings:
    held, config = _held(role), context.config
    services = {powers.service(name) for name in held}
    if len(held) > config.max_permissions:
        yield f"{len(held)} permissions; maxPermissions is {config.max_permissions}"
    if len(services) > config.max_services:
        yield f"{len(services)} services; maxServices is {config.max_services}"
    if outside := services - set(config.role_services or services):
        yield f"services outside roleServices: {powers.some(outside)}"


@rule(
    "R5", "Custom roles are in use or deleted", "low", each="resource", types=TYPES,
    mandatory=False,
    protects="Against roles that nobody maintains: ALPHA and DEPRECATED say that they will change "
    "or go.",
    bad={"role": custom_role("exampleAlpha", "aiplatform.endpoints.predict", stage="ALPHA")},
    good={"role": custom_role("exampleGa", "aiplatform.endpoints.predict", stage="GA")},
    remedy='stage="GA"',
)  # fmt: skip
def stage(role: Resource, context: Context) -> Findings:
    if (found := role.get("stage", "GA")) in ("ALPHA", "DEPRECATED", "EAP"):
        yield f"stage is {found}"


@rule(
    "R6", "Custom roles hold what the stack needs", "high", each="resource", types=TYPES,
    only_strict="What is needed, only the stack's access file says.",
    protects="Against permissions that were added to try something and stayed.",
    bad={"role": custom_role("exampleMore", "aiplatform.endpoints.predict",
                             "aiplatform.featurestores.delete")},
    good={"role": custom_role("exampleExact", "aiplatform.endpoints.predict")},
    remedy="# A line in the stack's permission table for the call that needs it, or take it out\n"
    + LIST,
)  # fmt: skip
def needed(role: Resource, context: Context) -> Findings:
    held = _held(role)
    if spare := {name for name in held if roles.exists(name)} - _needed(context):
        yield (
            f"{role.get('roleId')}: {len(held)} permissions, of which nothing in this stack needs "
            f"{len(spare)}: {powers.some(spare)}"
        )


@rule(
    "R7", "Each identity holds what it needs itself", "high", each="stack",
    only_strict="Who needs what, only the stack's access file says.",
    protects="Against one identity's role in the hands of another.",
    bad={
        "role": custom_role("exampleDeployerRole", "aiplatform.endpoints.create"),
        "grant": on_bucket("${role.name}", account("pm-telemetry")),
    },
    good={
        "role": custom_role("exampleReads", "storage.objects.get"),
        "grant": on_bucket("${role.name}", account("pm-serving")),
    },
    remedy="# A role of its own, with the lines that the permission table has for it\n" + LIST,
)  # fmt: skip
def own_needs(stack: Stack, context: Context) -> StackFindings:
    declared = {
        custom_role_name(role) for role in stack.of(*TYPES) if custom_role_name(role) is not UNKNOWN
    }
    access = context.environment.access
    if access is None:
        return
    for member, holdings in stack.holdings.items():
        for holding in holdings:
            resource = holding.resource
            identity = context.judge.identity(member)
            if not identity or holding.grant.role not in declared:
                continue
            if spare := holding.held & _needed(context) - set(access.identities[identity].needs):
                yield (
                    resource,
                    (
                        f"the {identity} gets {powers.some(spare)} by {holding.grant.role}, which "
                        "other identities need and it does not"
                    ),
                )


RULES: Final = (escalates, exists, starts_as, small, stage, needed, own_needs)
