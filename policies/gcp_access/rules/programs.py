"""X: the program itself, and what the pack says about its own work."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from ..grants import ANYWHERE, granted, looks_like_a_role, normal_member
from ..packages import GOOGLES
from ..stack import Stack
from ..view import UNKNOWN, CannotJudge, Props, Resource, inside
from ..view import texts as view_texts
from .examples import BUCKET_MEMBER, GROUP, PROJECT, on_project
from .rule import Context, Findings, StackFindings, rule

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
    types=("pulumi:providers:gcp", "pulumi:providers:google", "pulumi:providers:google-beta",
           "pulumi:providers:google-native", "pulumi:providers:vertexops"),
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
    remedy="# Delete the waiver from the config, or renew it with a reason of today",
)  # fmt: skip
def waivers(stack: Stack, context: Context) -> StackFindings:
    for waiver in context.config.waivers:
        said = f"waiver of {waiver.rule} for {waiver.resource} ({waiver.owner})"
        if waiver.expires < context.today:
            yield stack.root, f"the {said} ended on {waiver.expires} and counts as absent"
        elif waiver not in stack.waived:
            yield stack.root, f"the {said} matches nothing"


# Commands of gcloud, gsutil and bq, and calls, that grant, or make what lets somebody in.
GRANTING: Final = re.compile(
    r"\b(add|set)-iam-policy(-binding)?\b"
    r"|\b(gsutil|gcloud\s+storage)\b.*\b(iam\s+(ch|set)|(def)?acl\s+(ch|set))\b"
    r"|\biam\s+roles\s+(create|update)\b"
    r"|\biam\s+service-accounts\s+keys\s+create\b"
    r"|:setIamPolicy\b",
    re.DOTALL,
)
# Where a resource of Google's own holds what is executed; elsewhere any text may be.
EXECUTED: Final = frozenset({
    "args", "command", "commands", "entrypoint", "metadatastartupscript", "script",
    "startup-script", "startupscript",
})  # fmt: skip
NAMED_ROLE: Final = re.compile(r"""(?:^|=>|[\s"',;=])(roles/\w[\w.]*\w)""")
AGREED: Final = ("gcp", "pulumi", "vertexops")
"""Packages whose own properties may name roles without granting them."""


@rule(
    "X5", "What can grant can be read", "high", each="resource",
    protects="Against grants that no rule sees: by a command, or by a package that nobody here "
    "knows. They are not judged, so they do not pass.",
    bad={
        "shell": ("command:local:Command", {"create": "gcloud projects add-iam-policy-binding "
                  "iot-prod --member=user:ana@example.com --role=roles/owner"}),
        "module": ("stranger:index:Access", {"role": "admin", "members": ["ana@example.com"]}),
    },
    good={"echo": ("command:local:Command", {"create": "gcloud projects describe iot-prod"})},
    remedy='gcp.projects.IAMMember("grant", project=PROJECT, role=ROLE, member=MEMBER)\n'
    "# or the package in harmlessPackages of the config, or a waiver for this resource",
)  # fmt: skip
def readable(found: Resource, context: Context) -> Findings:
    googles = found.package in GOOGLES
    for at, text in _executed(found.props) if googles else _texts(found.props):
        if GRANTING.search(text):
            yield f"{at} grants by a command, which cannot be judged: {_short(text)!r}"
    if found.package in AGREED or googles:
        return
    judged = {str(grant.role).strip() for grant in granted(found)}
    for at, values in inside(found.props):
        named = [key for key in ANYWHERE if values.get(key)]
        roles = [one for key in ("role", "roles") for one in view_texts(values.get(key))]
        for role in roles if named else ():
            if role is UNKNOWN:
                raise CannotJudge(f"{at}.role" if at else "role")
            if not looks_like_a_role(role):
                where = f" in {at}" if at else ""
                yield (
                    f"it names {role!r} and {', '.join(named)}{where}, in a package that nobody "
                    "here knows, and cannot be judged"
                )
    for at, text in _texts(found.props):
        for role in () if GRANTING.search(text) else NAMED_ROLE.findall(text):
            if role not in judged:
                yield f"{at} names {role}; whom it is given, cannot be judged"


def _executed(props: Props) -> Iterator[tuple[str, str]]:
    for at, values in inside(props):
        for key in EXECUTED.intersection(map(str.lower, values)):
            for name, value in values.items():
                if name.lower() == key:
                    yield from _texts(value, f"{at}.{name}" if at else name)


def _texts(value: Any, at: str = "") -> Iterator[tuple[str, str]]:
    """Every text, with where it stands; a list of texts also as one, as a command line is."""
    if isinstance(value, str):
        yield at, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _texts(item, f"{at}.{key}" if at else key)
    elif isinstance(value, list):
        words = [item for item in value if isinstance(item, str)]
        if len(words) == len(value) > 1:
            yield at, " ".join(words)
        for item in value:
            yield from _texts(item, at)


def _short(text: str) -> str:
    return text if len(text) <= 120 else f"{text[:117]}..."


RULES: Final = (contradiction, no_credentials, judged, waivers, readable)
