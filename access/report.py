"""How strong each identity of an environment is: what it may do and why, and what it could become.

Everything follows from the permission table; docs/reference/access.md is made of it (`make docs`),
and what the proof of a rehearsal sees has to be the same (`disagreements`).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from access.answer import settings_of
from components import permissions as table
from components.configuration import stacks
from policies.gcp_access import roles

ASSETS: Final = {
    "endpoint": ("aiplatform.endpoints.",),
    "models": ("aiplatform.models.",),
    "artifacts": ("storage.",),
    "telemetry": ("pubsub.", "bigquery."),
    "access": ("iam.", "resourcemanager."),
}
"""What identities work on, by how its permissions begin."""

BECOMES: Final = {
    "iam.serviceAccounts.getAccessToken": "works as",
    "iam.serviceAccounts.implicitDelegation": "works as",
    "iam.serviceAccounts.signBlob": "works as",
    "iam.serviceAccounts.signJwt": "works as",
    "iam.serviceAccounts.getOpenIdToken": "shows itself as",
    "iam.serviceAccounts.actAs": "runs code as",
}
"""On one account: whoever holds it has what that account has, and no more."""

STRONGER: Final = {
    "resourcemanager.projects.setIamPolicy": "grants any role on the project, also to itself",
    "resourcemanager.folders.setIamPolicy": "grants any role on the folder, also to itself",
    "resourcemanager.organizations.setIamPolicy": "grants any role, also to itself",
    "resourcemanager.projects.createPolicyBinding": "changes what bounds others and itself",
    "iam.roles.update": "adds any permission to a role, also to one that it has",
    "iam.roles.create": "makes a role of any permissions, to be granted",
    "iam.serviceAccounts.setIamPolicy": "lets itself become any account of the project",
    "iam.serviceAccountKeys.create": "makes itself a key of any account of the project",
    "iam.serviceAccountApiKeyBindings.create": "makes itself an API key of any account",
    "iam.denypolicies.delete": "removes what denies it something",
    "iam.denypolicies.update": "changes what denies it something",
    "iam.accesspolicies.create": "allows itself any permission",
    "iam.accesspolicies.update": "allows itself any permission",
    "iam.googleapis.com/workloadIdentityPoolProviders.update": (
        "lets in whom it likes, as whomever the pool's jobs become"
    ),
    "iam.googleapis.com/workforcePoolProviders.update": "lets other people in",
    "orgpolicy.policy.set": "lifts what the organisation forbids",
    "orgpolicy.policies.update": "lifts what the organisation forbids",
    # These run as Google's own agents, which are stronger than nearly everybody.
    "deploymentmanager.deployments.create": "works as Deployment Manager's agent",
    "deploymentmanager.deployments.update": "works as Deployment Manager's agent",
    "deploymentmanager.deployments.setIamPolicy": "lets itself work as Deployment Manager's agent",
    "cloudbuild.builds.create": "runs code as Cloud Build's account",
    "cloudbuild.builds.update": "runs code as Cloud Build's account",
    "cloudbuild.workerpools.use": "runs code as Cloud Build's account",
    "config.deployments.create": "runs code as an account of Infrastructure Manager",
    "config.deployments.update": "runs code as an account of Infrastructure Manager",
    "aiplatform.endpoints.setIamPolicy": "lets itself ask any endpoint of the project",
    "pubsub.subscriptions.setIamPolicy": "lets itself take any message",
    "pubsub.topics.setIamPolicy": "lets itself publish on any topic",
    "storage.buckets.setIamPolicy": "lets itself read and write any object",
    "cloudkms.cryptoKeys.setIamPolicy": "lets itself use the key",
}
"""Permissions that make their holder stronger, and how. The policy pack's judge knows the same
ones (tests/access/test_report.py)."""

LIMITS: Final = """\
It changes the roles that it grants, so no list of roles that it may grant would hold it
(docs iam/docs/setting-limits-on-granting-roles; a custom role on the list takes any
permission): in these projects it is as strong as an owner. What limits it:

- It holds nothing outside of them, and what an owner's role does not hold is out of its
  reach: deny policies and organisation policies, set from above, bind it as well.
- Each of its changes is in the Admin Activity audit log, which cannot be turned off.
- The policy pack judges what the program declares; it does not see what is done beside it.

So let as few as possible be this identity, by federation and without a key; pull requests
run as the reviewer, and whoever only rolls out needs no more than the deployer."""

USUAL: Final = {
    # the thread's own
    "deployer": "roles/aiplatform.user",
    "servingAccountUser": "roles/iam.serviceAccountUser",
    "artifactReader": "roles/storage.objectViewer",
    # docs vertex-ai/docs/general/access-control
    "predictor": "roles/aiplatform.user",
    "modelReader": "roles/aiplatform.viewer",
    # docs iam/docs/service-account-permissions
    # docs artifact-registry/docs/access-control
    "imageReader": "roles/artifactregistry.reader",
    "tokenCreator": "roles/iam.serviceAccountTokenCreator",
    "accountUser": "roles/iam.serviceAccountUser",
    # docs pubsub/docs/access-control, create-bigquery-subscription; storage/docs/access-control
    "devicePublisher": "roles/pubsub.publisher",
    "riskReader": "roles/pubsub.subscriber",
    "deadLetterPublisher": "roles/pubsub.publisher",
    "deadLetterTaker": "roles/pubsub.subscriber",
    "incidentPublisher": "roles/pubsub.publisher",
    "telemetryWriter": "roles/bigquery.dataEditor",
    "artifactWriter": "roles/storage.objectCreator",
    "artifactKeeper": "roles/storage.objectAdmin",
    "telemetrySubscriber": "roles/pubsub.subscriber",
    # Editors may not grant, so whoever runs Pulumi is made an owner.
    "platform": "roles/owner",
    "previewer": "roles/viewer",
    "sourcePreviewer": "roles/viewer",
    # docs kms/docs/reference/permissions-and-roles
    "platformKey": "roles/cloudkms.admin",
    "previewerKey": "roles/iam.securityReviewer",
}
"""Role of the table -> the predefined role that is usually granted in its place."""


class Gain(NamedTuple):
    """One way of an identity to become stronger than it is."""

    permission: str
    on: str
    how: str


def stronger(permission: str, wide: bool) -> str:
    """How a permission makes its holder stronger, on a whole project (`wide`) or on one resource.

    Empty where it does not.
    """
    if wide and permission in BECOMES:
        return f"{BECOMES[permission]} any account of the project"
    if permission in STRONGER:
        return STRONGER[permission]
    return "lets itself in, with any role" if permission.endswith(".setIamPolicy") else ""


def becomes(identity: str, held: Iterable[table.Role]) -> dict[str, str]:
    """The accounts that an identity can work as, and how: `works as`, `runs code as`."""
    return {
        role.on.removesuffix(" account"): BECOMES[permission]
        for role in held
        if role.identity == identity
        for permission in role.permissions
        if permission in BECOMES and role.on.endswith(" account")
    }


def reach(identity: str, held: Collection[table.Role]) -> list[str]:
    """The identity, and all that it can work as, on the way as well."""
    found = [identity]
    for one in found:
        found += [other for other in becomes(one, held) if other not in found]
    return found


def gains(identity: str, held: Collection[table.Role]) -> list[Gain]:
    """Every way to become stronger, also as an account that it can become."""
    there = reach(identity, held)
    return [
        Gain(permission, role.on, STRONGER[permission])
        for role in held
        if role.identity in there
        for permission in role.permissions
        if permission in STRONGER
    ]


def verbs(identity: str, asset: str, held: Iterable[table.Role]) -> list[str]:
    """What an identity itself may do to an asset: `create`, `deploy`."""
    return sorted(
        {
            permission.rpartition(".")[2]
            for role in held
            if role.identity == identity
            for permission in role.permissions
            if permission.startswith(ASSETS[asset])
        }
    )


def strength(capabilities: Iterable[str]) -> Iterator[str]:
    """Who can do what, and who can become what, as Markdown with a Mermaid diagram."""
    held = table.roles(capabilities)
    there = list(dict.fromkeys(role.identity for role in held))
    yield f"| identity | {' | '.join(ASSETS)} | works as | makes itself stronger |"
    yield f"|{'---|' * (len(ASSETS) + 3)}"
    for identity in there:
        cells = [", ".join(verbs(identity, asset, held)) for asset in ASSETS]
        others = ", ".join(f"{other} ({how})" for other, how in becomes(identity, held).items())
        stronger = "**yes**" if gains(identity, held) else "no"
        yield f"| {identity} | {' | '.join(cells)} | {others} | {stronger} |"
    yield ""
    yield from _diagram(there, held)
    for identity in there:
        if found := gains(identity, held):
            yield f"\nThe {identity} can make itself stronger:\n"
            yield from (f"- `{gain.permission}` on the {gain.on}: {gain.how}" for gain in found)
            yield f"\n{LIMITS}"


def _diagram(there: list[str], held: Collection[table.Role]) -> Iterator[str]:
    """Identities on the left, what they work on to the right; dotted, whom they can work as."""
    yield "```mermaid"
    yield "flowchart LR"
    yield "    accTitle: Which identity works on what, and as whom, as in the table above"
    for asset in ASSETS:
        yield f"    {asset}[({asset})]"
    for identity in there:
        shape = ("{{", "}}") if gains(identity, held) else ("([", "])")
        yield f"    {_node(identity)}{shape[0]}{identity}{shape[1]}"
        for other, how in becomes(identity, held).items():
            yield f"    {_node(identity)} -. {how} .-> {_node(other)}"
        for asset in ASSETS:
            if done := verbs(identity, asset, held):
                yield f"    {_node(identity)} -- {_kinds(done)} --> {asset}"
    yield "```"


def _node(identity: str) -> str:
    return identity.replace(" ", "_") + "_"  # `agent` and `endpoint` are names of assets, too


def _kinds(done: Iterable[str]) -> str:
    """Reading, using, changing, and letting others: how strong the verbs are."""
    return ", ".join(dict.fromkeys(kind for kind in KINDS if any(_kind(v) == kind for v in done)))


KINDS: Final = ("reads", "uses", "changes", "grants")


def _kind(verb: str) -> str:
    if verb == "setIamPolicy":
        return "grants"
    if verb in ("actAs", "consume", "getAccessToken", "predict", "publish"):
        return "uses"
    return "reads" if verb.startswith(("get", "list")) else "changes"


def permissions(capabilities: Iterable[str]) -> Iterator[str]:
    """What each identity may do, why, and in place of what, as Markdown."""
    held, needs = table.roles(capabilities), table.needs(capabilities)
    for identity in dict.fromkeys(role.identity for role in held):
        does = table.IDENTITIES[identity]
        yield f"\n### {identity}\n\n{does[:1].upper()}{does[1:]}.\n"
        for role in (role for role in held if role.identity == identity):
            yield f"- {_reduction(role)}"
        yield "\n| may | on | to | call |\n|---|---|---|---|"
        for need in needs:
            if need.identity == identity:
                yield f"| `{need.permission}` | {need.on} | {need.step} | {need.call} |"


def _reduction(role: table.Role) -> str:
    """Such as `deployer` on the project: 5 permissions; `roles/aiplatform.user` has 446."""
    usual, count = USUAL[role.key], len(role.permissions)
    every = len(roles.ROLES[usual].permissions)
    less = f"{100 * (1 - count / every):.0f} % fewer" if every > count else "as many"
    held = f"{count} permission{'s' * (count != 1)}"
    return f"`{role.key}` on the {role.on}: {held}; `{usual}` has {every:,} ({less})"


PAGE: Final = """\
# Access

<!-- Made from the permission table (components/permissions.py) by `make docs`. -->

Who may do what in each environment that has a file here, why, and on what: one line for each
line of the permission table that applies. It is what the proof sees: `python -m rehearsal
prove STACK` plays an environment's whole life, and ends with an error when something that
stands here is not used, or something is used that does not stand here.

`python -m access report` prints how strong identities are; `python -m access verify STACK`
compares a live environment with what is declared."""


def page(root: Path) -> Iterator[str]:
    """docs/reference/access.md."""
    yield PAGE
    for stack in sorted(stacks(root)):
        capabilities = settings_of(stack, root).capabilities
        yield f"\n## {stack}\n"
        yield f"What it does: {', '.join(sorted(capabilities))}.\n"
        yield from strength(capabilities)
        yield from permissions(capabilities)


def shown(text: str, stack: str) -> dict[str, set[str]]:
    """Identity -> the permissions that the page's text gives it in an environment."""
    found: dict[str, set[str]] = {}
    environment = identity = ""
    for line in text.splitlines():
        if line.startswith("## "):
            environment, identity = line[3:], ""
        elif line.startswith("### "):
            identity = line[4:]
        elif environment == stack and identity and (row := re.match(r"\| `([\w./]+)` \|", line)):
            found.setdefault(identity, set()).add(row[1])
    return found


def disagreements(text: str, stack: str, identities: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Where the page and a proof differ.

    `identities` has what the proof saw: identity -> permissions `granted` and `used`.
    """
    on_page = shown(text, stack)
    return [
        f"{identity}: {permission} {what}"
        for identity in sorted({*on_page, *identities})
        for seen in [identities.get(identity, {"granted": (), "used": ()})]
        for some, what in (
            (on_page.get(identity, set()) - set(seen["used"]), "is on the page, nothing used it"),
            (set(seen["granted"]) - on_page.get(identity, set()), "was granted, not on the page"),
        )
        for permission in sorted(some)
    ]


if __name__ == "__main__":
    print("\n".join(page(Path(__file__).parents[1])))
