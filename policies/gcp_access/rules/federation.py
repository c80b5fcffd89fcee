"""W: workload identity federation, by which code elsewhere becomes somebody here."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any, Final

from .. import cel
from ..grants import Grant
from ..view import UNKNOWN, CannotJudge, Resource
from .examples import PROVIDER, on_account
from .rule import Context, Findings, rule

GITHUB: Final = "https://token.actions.githubusercontent.com"
# Issuers whose tokens anybody can have made, and the claims that say for which project.
SHARED_ISSUERS: Final = {
    GITHUB: ("repository", "repository_id", "sub"),
    "https://gitlab.com": ("project_id", "project_path", "sub"),
    "https://accounts.google.com": ("sub", "email", "hd"),
    "https://app.terraform.io": ("terraform_workspace_id", "terraform_project_id", "sub"),
    "https://agent.buildkite.com": ("pipeline_slug", "pipeline_id", "sub"),
    "https://api.bitbucket.org": ("repositoryUuid", "sub"),
    "https://oidc.circleci.com": ("oidc.circleci.com/project-id", "sub"),
}
PARENT: Final = {"workloadIdentityPoolId": "ci", "workloadIdentityPoolProviderId": "github"}
MAPPING: Final = {"google.subject": "assertion.sub",
                  "attribute.repository_id": "assertion.repository_id"}  # fmt: skip
PINNED: Final = "assertion.repository_owner_id == '1' && assertion.repository_id == '2'"
POOL: Final = "principalSet://iam.googleapis.com/projects/1/locations/global/workloadIdentityPools"

CURE: Final = (
    "attribute_condition=\"assertion.repository_owner_id == 'OWNER_ID' && "
    "assertion.repository_id == 'REPOSITORY_ID'\""
)


def github(**more: Any) -> tuple[str, dict[str, Any]]:
    given = {
        **PARENT,
        "oidc": {"issuerUri": GITHUB},
        "attributeMapping": MAPPING,
        "attributeCondition": PINNED,
        **more,
    }
    return PROVIDER, {key: value for key, value in given.items() if value is not None}


def _issuer(provider: Resource) -> str:
    """Raises CannotJudge."""
    return str(provider.get("oidc.issuerUri", "")).strip().rstrip("/").lower()


def _claims(provider: Resource) -> tuple[str, ...]:
    issuer = _issuer(provider)
    for shared, claims in SHARED_ISSUERS.items():
        if issuer == shared or issuer.startswith(f"{shared}/"):
            return claims
    return ()


@rule(
    "W1", "Federation has a condition", "critical", each="resource", types=(PROVIDER,),
    protects="Against strangers: a shared issuer signs tokens for everybody who asks.",
    bad={"open": github(attributeCondition=None)},
    good={"pinned": github()},
    remedy=CURE,
)  # fmt: skip
def condition(provider: Resource, context: Context) -> Findings:
    if _claims(provider) and not str(provider.get("attributeCondition", "")).strip():
        yield f"{_issuer(provider)} signs tokens for everybody, and no condition says who may come"


@rule(
    "W2", "A shared issuer's condition pins the project", "critical", each="resource",
    types=(PROVIDER,),
    protects="Against other repositories: a branch or an event of theirs is called the same.",
    bad={"branch": github(attributeCondition="assertion.ref == 'refs/heads/main'")},
    good={"pinned": github()},
    remedy=CURE,
)  # fmt: skip
def pinned(provider: Resource, context: Context) -> Findings:
    claims = _claims(provider)
    expression = str(provider.get("attributeCondition", "")).strip()
    if not claims or not expression:
        return
    mapping = provider.get("attributeMapping", {})
    names = {f"assertion.{claim}" for claim in claims}
    names |= {key for key, source in mapping.items() if str(source).strip() in names}
    if not _pinned(expression, names):
        yield (
            f"the condition {expression!r} does not hold one of {', '.join(sorted(names))} to one "
            "value, in every case that it lets through"
        )


# What a subject begins with, up to the end of the project's name, which holds no colon.
SUBJECTS: Final = re.compile(r"(repo:[^/:*]+/[^/:*]+|project_path:[^:*]+/[^:*]+):.*")


def _pinned(expression: str, names: Collection[str]) -> bool:
    def pins(text: cel.Text) -> bool:
        if text.exact:
            return bool(text.value.strip("* "))
        return text.name.endswith("sub") and bool(SUBJECTS.fullmatch(text.value))

    return cel.texts(expression, names, pins) is not None


@rule(
    "W3", "Only agreed issuers", "high", each="resource", types=(PROVIDER,),
    protects="Against tokens of issuers and accounts that nobody agreed on.",
    bad={"issuer": github(oidc={"issuerUri": "https://tokens.example.net"})},
    good={"github": github()},
    remedy=f'oidc={{"issuer_uri": "{GITHUB}"}}  # issuers, awsAccounts in the config',
)  # fmt: skip
def issuers(provider: Resource, context: Context) -> Findings:
    issuer, config = _issuer(provider), context.config
    agreed = [name.rstrip("/").lower() for name in config.issuers]
    if issuer and (not issuer.startswith("https://") or (agreed and issuer not in agreed)):
        yield f"the issuer {issuer} is not in issuers"
    account = provider.get("aws.accountId")
    if account and config.aws_accounts and account not in config.aws_accounts:
        yield f"the AWS account {account} is not in awsAccounts"


@rule(
    "W4", "A member is not a whole pool or organisation", "critical", each="grant",
    protects="Against everybody whom a provider of the pool lets in, now or later, and everybody "
    "whom an organisation, a customer or a project has.",
    bad={"pool": on_account("pm-deployer", "roles/iam.workloadIdentityUser", f"{POOL}/ci/*")},
    good={"one": on_account("pm-deployer", "roles/iam.workloadIdentityUser",
                            f"{POOL}/ci/attribute.repository_id/2")},
    remedy='member=f"principalSet://iam.googleapis.com/{pool.name}/attribute.repository_id/'
    '{REPOSITORY_ID}"',
)  # fmt: skip
def whole_pool(grant: Grant, resource: Resource, context: Context) -> Findings:
    for member in grant.each_member():
        for pattern, who in WIDE.items():
            if re.fullmatch(pattern, member, re.IGNORECASE):
                yield f"{grant.role} goes to {member}: {who}"
                break


# cloud.google.com/iam/docs/principal-identifiers
_CLOUD: Final = r"principalSet://cloudresourcemanager\.googleapis\.com"
_IN_POOL: Final = r"principalSet://iam\.googleapis\.com/.*/work(load|force)(Identity)?Pools/[^/]+"
WIDE: Final = {
    rf"{_IN_POOL}(/\**)?": "everybody in the pool",
    rf"{_IN_POOL}/attribute\.(iss|aud|repository_owner|repository_owner_id)/.+": "all that the "
    "issuer, or one owner there, has",
    rf"{_IN_POOL}/kubernetes\.cluster/.+": "every pod of the cluster",
    rf"{_CLOUD}/(projects|folders|organizations)/[^/]+(/.*)?": "everybody of that kind there",
    r"principalSet://goog/cloudIdentityCustomerId/.+": "everybody of the customer",
    r"domain:.+": "everybody of the domain",
}
"""Sets that are as wide as a pool, a project, a customer or an organisation."""


@rule(
    "W5", "The subject is the token's subject", "low", each="resource", types=(PROVIDER,),
    mandatory=False,
    protects="The audit log, where google.subject is the name of who came.",
    bad={"actor": github(attributeMapping={"google.subject": "assertion.actor"})},
    good={"subject": github()},
    remedy='attribute_mapping={"google.subject": "assertion.sub"}',
)  # fmt: skip
def subject(provider: Resource, context: Context) -> Findings:
    mapping = provider.get("attributeMapping", {})
    found = mapping.get("google.subject")
    if found is UNKNOWN:
        raise CannotJudge("attributeMapping.google.subject")
    if found and found != "assertion.sub" and _issuer(provider):
        yield f"google.subject is {found}, not assertion.sub"


RULES: Final = (condition, pinned, issuers, whole_pool, subject)
