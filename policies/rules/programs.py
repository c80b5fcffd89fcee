"""X: the program itself, and what the pack says about its own work."""

from __future__ import annotations

from typing import Final

from policies.grants import normal_member
from policies.rules.examples import BUCKET_MEMBER, GROUP, PROJECT, on_project
from policies.rules.rule import Context, Findings, StackFindings, rule
from policies.stack import Stack
from policies.view import UNKNOWN, Resource

REMOVAL: Final = "gcp:projects/iamMemberRemove:IamMemberRemove"
# Not the provider's own example type: the engine answers for providers itself.
CREDENTIALS: Final = ("credentials", "accessToken", "externalCredentials")


@rule(
    "X1", "Nothing is granted and taken away at once", "high", each="stack",
    protects="Against a grant that comes and goes with the order of two resources.",
    bad={
        "grant": on_project("roles/browser", "group:both@example.com"),
        "removal": (REMOVAL, {"project": PROJECT, "role": "roles/browser",
                              "member": "group:both@example.com"}),
    },
    good={
        "removal": (REMOVAL, {"project": PROJECT, "role": "roles/editor", "member":
                              "serviceAccount:1-compute@developer.gserviceaccount.com"}),
    },
    remedy="# Delete the IamMemberRemove, or the grant",
)  # fmt: skip
def contradiction(stack: Stack, context: Context) -> StackFindings:
    granted = {
        (str(resource.props.get("project")), grant.role, member): resource
        for resource, grant in stack.grants
        if grant.wide
        for member in grant.members
        if member is not UNKNOWN
    }
    for removal in stack.of(REMOVAL):
        named = removal.props.get("member")
        member = normal_member(named) if isinstance(named, str) else ""
        key = (str(removal.props.get("project")), removal.props.get("role"), member)
        if key in granted:
            yield (
                removal,
                f"{granted[key].where} grants what this takes away: {key[1]} for {member}",
            )


@rule(
    "X2", "Providers hold no keys", "critical", each="resource",
    types=("pulumi:providers:gcp", "pulumi:providers:google-native",
           "pulumi:providers:vertexops"),
    protects="The state, where a provider's credentials are kept; people and CI come by "
    "federation and impersonation.",
    bad={"provider": ("pulumi:providers:gcp", {"project": PROJECT,
                      "credentials": '{"type": "service_account"}'})},
    good={"provider": ("pulumi:providers:gcp", {"project": PROJECT,
                       "impersonateServiceAccount": f"pm-deployer@{PROJECT}.iam.gserviceaccount.com"
                       })},
    remedy='gcp.Provider("deployer", project=PROJECT, impersonate_service_account=deployer.email)',
)  # fmt: skip
def no_credentials(provider: Resource, context: Context) -> Findings:
    for key in CREDENTIALS:
        if provider.props.get(key):  # the value is not looked at, let alone shown
            yield f"{key} is set"


@rule(
    "X3", "Everything can be judged in preview", "medium", each="stack", mandatory=False,
    protects="A review: what depends on a resource that does not exist yet is judged only by "
    "`up`, before the resource is created.",
    bad={
        "source": (BUCKET_MEMBER, {"bucket": "b", "role": "roles/storage.objectViewer",
                                   "member": GROUP}),
        "grant": on_project("${source.etag}", GROUP),
    },
    good={"grant": on_project("roles/browser", GROUP)},
    remedy="# A plain string where it is known, and depends_on for the order:\n"
    'role=f"projects/{PROJECT}/roles/{ROLE_ID}", opts=ResourceOptions(depends_on=[role])',
)  # fmt: skip
def judged(stack: Stack, context: Context) -> StackFindings:
    for resource, rules, path in stack.not_judged:
        yield (
            resource,
            (
                f"cannot be judged in preview: {', '.join(rules)} read {path}, unknown so far; "
                "`up` judges it, before the resource is created"
            ),
        )


@rule(
    "X4", "Waivers are current", "low", each="stack", mandatory=False,
    protects="Against waivers that nobody needs any more, and those that ended.",
    bad={}, good={},
    remedy="# Delete the waiver from policies/config, or renew it with a reason of today",
)  # fmt: skip
def waivers(stack: Stack, context: Context) -> StackFindings:
    for waiver in context.config.waivers:
        said = f"waiver of {waiver.rule} for {waiver.resource} ({waiver.owner})"
        if waiver.expires < context.today:
            yield stack.root, f"the {said} ended on {waiver.expires} and counts as absent"
        elif waiver not in stack.waived:
            yield stack.root, f"the {said} matches nothing"


RULES: Final = (contradiction, no_credentials, judged, waivers)
