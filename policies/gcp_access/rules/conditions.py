"""G16, G19 and G15: grants that end, and duties that are kept apart."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from typing import Final

from .. import cel, powers
from ..grants import Grant
from ..judge import Judgement, is_basic, is_googles
from ..stack import Stack
from ..view import CannotJudge, Resource
from .examples import (
    GROUP,
    KEY_MEMBER,
    account,
    custom_role,
    on_account,
    on_project,
    service_account,
)
from .rule import IN_30_DAYS, Context, Findings, StackFindings, rule

RUN_MEMBER: Final = "gcp:cloudrunv2/serviceIamMember:ServiceIamMember"
ACT_AS: Final = "iam.serviceAccounts.actAs"
FAR: Final = 366
"""Days; an end further off is none."""


def _expression(grant: Grant) -> str:
    """Raises CannotJudge."""
    if grant.expression is None:
        raise CannotJudge("condition.expression")
    return grant.expression


def ends(grant: Grant) -> date | None:
    """The day on which a grant ends by its condition."""
    end = cel.ends(_expression(grant))
    return end.date() if end else None


@rule(
    "G16", "Strong grants end", "medium", each="grant", mandatory=False,
    only_strict="Who needs a strong grant for good, only the stack's access file says.",
    protects="Against forgotten access: who can work as an account, start code or set policies, "
    "and does not need it for the stack, needs it for a while.",
    bad={"forever": (RUN_MEMBER, {"name": "s", "role": "roles/run.developer", "member": GROUP})},
    good={"month": (RUN_MEMBER, {"name": "s", "role": "roles/run.developer", "member": GROUP,
        "condition": {
            "title": "a month", "expression": f'request.time < timestamp("{IN_30_DAYS}")'}})},
    remedy='condition={"title": "until", "expression": '
    "'request.time < timestamp(\"2027-01-31T00:00:00Z\")'}",
)  # fmt: skip
def strong_grants_end(grant: Grant, resource: Resource, context: Context) -> Findings:
    if grant.wide or grant.acl or resource.module == "gcp:storage":
        return  # wide ones are judged by G3, G4 and G6; buckets have rules of their own
    if isinstance(grant.condition, dict) and grant.condition.get("ends"):
        return
    end: date | None = None
    judged_end = False
    for member in grant.each_member():
        # CI comes by federation for as long as its pool lets it; W1 to W4 judge that.
        lasting = member in context.config.trusted_members or member.startswith("principal")
        if lasting or is_googles(member):
            continue
        judged = context.judge.grant(grant, member)
        strong = _strong(judged) if judged else ()
        if not strong:
            continue
        if not judged_end:
            end, judged_end = ends(grant), True
        if end is None or (end - context.today).days > FAR:
            yield (
                f"{grant.role} lets {member} use {powers.some(strong, 3)}, which the stack "
                "does not need, and no condition ends it within a year"
            )


def _strong(judged: Judgement) -> tuple[str, ...]:
    return tuple(sorted({*judged.escalating, *judged.launching, *judged.setting_policy}))


@rule(
    "G19", "Conditions mean something", "high", each="grant",
    protects="Against grants that look temporary or narrow and are not, and against those that "
    "ended and were left behind.",
    bad={"always": on_project("roles/browser", GROUP, condition={
        "title": "office hours", "expression": "true"})},
    good={"month": on_project("roles/browser", GROUP, condition={
        "title": "a month", "expression": f'request.time < timestamp("{IN_30_DAYS}")'})},
    remedy="# Remove the grant where its end has passed, or say when it ends:\n"
    'condition={"title": "until", "expression": '
    "'request.time < timestamp(\"2027-01-31T00:00:00Z\")'}",
)  # fmt: skip
def conditions(grant: Grant, resource: Resource, context: Context) -> Findings:
    if grant.condition is None or (isinstance(grant.condition, dict) and not grant.condition):
        return
    expression = _expression(grant)
    if isinstance(grant.condition, dict) and grant.condition.get("ends") and not expression:
        return
    today = datetime.combine(context.today, time(), UTC)
    if cel.always(expression, today):
        yield f"the condition {expression!r} of {grant.role} is always true"
    elif cel.never(expression):
        yield f"the condition {expression!r} of {grant.role} is never true"
    elif (end := ends(grant)) and end < context.today:
        yield f"{grant.role} ended on {end}, and the grant is still declared"


@rule(
    "G15", "Duties are kept apart", "critical", each="stack",
    protects="Against one identity that can do both halves of what two should do together: "
    "administer accounts and work as them, administer keys and decrypt with them, start code and "
    "choose a stronger account for it.",
    bad={
        "worker": service_account("pm-worker"),
        "strong": service_account("pm-strong"),
        "launch": custom_role("exampleLaunch", "aiplatform.customJobs.create"),
        "policy": custom_role("examplePolicy", "storage.buckets.setIamPolicy"),
        "launches": on_project("${launch.name}", account("pm-worker")),
        "sets": on_project("${policy.name}", account("pm-strong")),
        "acts": on_account("pm-strong", "roles/iam.serviceAccountUser", account("pm-worker")),
    },
    good={
        "deployer": service_account("pm-deployer"),
        "serving": service_account("pm-serving"),
        "launch": custom_role("exampleDeploy", "aiplatform.endpoints.deploy"),
        "act": custom_role("exampleAct", "iam.serviceAccounts.actAs"),
        "launches": on_project("${launch.name}", account("pm-deployer")),
        "acts": on_account("pm-serving", "${act.name}", account("pm-deployer")),
        "reads": (KEY_MEMBER, {"cryptoKeyId": "k", "member": account("pm-serving"),
                               "role": "roles/cloudkms.cryptoKeyDecrypter"}),
    },
    remedy="# Two identities, each with its half; let the launcher act only as an account that\n"
    "# holds less than itself:\n"
    'gcp.serviceaccount.IAMMember("acts", service_account_id=serving.name, role=act.name, '
    "member=deployer.member)",
)  # fmt: skip
def duties(stack: Stack, context: Context) -> StackFindings:
    for member, holdings in stack.holdings.items():
        if is_googles(member):
            continue
        # A basic role is all duties at once; G2 says so.
        own = [h for h in holdings if not is_basic(str(h.grant.role))]
        held = frozenset[str]().union(*(h.held for h in own))
        acting = [h for h in own if ACT_AS in h.held]
        manages = held & powers.MANAGES_ACCOUNTS
        if acting and manages:
            said = (
                f"{member} administers service accounts ({powers.some(manages)}) and acts as them"
            )
            yield acting[0].resource, said
        keys, uses = held & powers.MANAGES_KEYS, held & powers.USES_KEYS
        if keys and uses:
            said = f"{member} administers keys ({powers.some(keys)}) and uses them"
            yield own[0].resource, f"{said} ({powers.some(uses)})"
        starts = held & powers.STARTS_CODE
        acted = {
            other: holding.resource
            for holding in (acting if starts else ())
            for other in _acted_as(holding.resource, holding.grant, stack)
        }
        for other, resource in acted.items():
            if why := stack.strong(other):
                yield (
                    resource,
                    (
                        f"{member} starts code ({powers.some(starts, 3)}) and may run it as "
                        f"{other}, which {why}"
                    ),
                )


def _acted_as(resource: Resource, grant: Grant, stack: Stack) -> list[str]:
    """The accounts that a grant of actAs is on."""
    if grant.wide:
        return list(stack.accounts)
    name = resource.props.get("serviceAccountId")
    if isinstance(name, str):
        return [f"serviceAccount:{name.rpartition('/')[2]}"]
    on = set(map(id, resource.depends.get("serviceAccountId", ())))
    return [member for member, declared in stack.accounts.items() if id(declared) in on]


RULES: Final = (duties, strong_grants_end, conditions)
