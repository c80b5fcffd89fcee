"""How people and pipelines come into a rehearsal: by federation, without a key or a password.

The stacks name people as Google accounts: `user:` and `group:` with an address. Google accounts
sign in with a browser and leave a refresh token that lives on; nothing like that is used here. In a
rehearsal each of them *is* the workforce identity with that address in a pool of a simulated
company, and the stack is configured with it: `platformMember` and `previewMember` become
`principal://…/subject/ADDRESS` and `principalSet://…/group/ADDRESS`. Nothing is aliased inside the
simulated cloud; grants, checks and the audit name these members.

A pipeline is named as it comes in at Google, and comes in as itself: a `principal://` or
`principalSet://` of an identity pool by a token whose claims are mapped to what the member names, a
`serviceAccount:` by such a token and `generateAccessToken`.

GitHub's jobs come in through the pool that the stack itself makes (components/federation.py), with
a token such as GitHub gives them.

The identity providers are played by the simulator, which mints the tokens.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from components import federation
from components import permissions as table
from components.settings import Settings

ISSUERS: Final = {
    "workforce": "https://login.example.com",
    "workload": "https://ci.example.com",
}
CLIENT: Final = "rehearsal"
"""The audience of the tokens: the client id of a workforce provider, allowed at a workload one."""

OWNER, REPOSITORY = "acme", "pumps"
"""What GitHub calls the repository of the stack."""

COMPANY: Final = "locations/global/workforcePools/rehearsal"
PROVIDER: Final = "rehearsal"
FORMS: Final = {
    "user": f"principal://iam.googleapis.com/{COMPANY}/subject/",
    "group": f"principalSet://iam.googleapis.com/{COMPANY}/group/",
}
IN_POOL: Final = re.compile(
    r"principal(?:Set)?://iam\.googleapis\.com/"
    r"(?P<pool>projects/(?P<number>\d+)/locations/global/workloadIdentityPools/[^/]+"
    r"|locations/global/workforcePools/[^/]+)/"
    r"(?:(?P<all>\*)|(?P<kind>subject|group|attribute\.[a-z0-9_]+)/(?P<value>\S+))"
)
ACCOUNT: Final = re.compile(
    r"serviceAccount:(?P<id>[a-z][-a-z0-9]{4,28}[a-z0-9])@(?P<project>[a-z0-9-]+)"
    r"\.iam\.gserviceaccount\.com"
)
CI_PROJECT, CI_NUMBER = "iot-ci", "300000000003"
"""A project with a pool, for accounts whose own project need not have one."""

HOME_APIS: Final = tuple(
    f"{api}.googleapis.com"
    for api in ("cloudresourcemanager", "iam", "iamcredentials", "serviceusage", "sts")
)
"""What has to be on in the project of an account that comes in, whatever project it works on."""


class UnknownCaller(ValueError):
    """A member that nobody in a rehearsal can come in as."""


@dataclass(frozen=True)
class Caller:
    """Who comes in, by an ID token with `claims` at the provider of `pool`.

    `member` is who that is to IAM: `principal://…`, or the account of `account`.
    """

    name: str
    pool: str
    subject: str
    claims: Mapping[str, Any] = field(default_factory=dict)
    mapping: Mapping[str, str] = field(default_factory=dict)
    account: str = ""
    """The address of the service account that it becomes; empty when it stays who it is."""
    provider: str = PROVIDER

    @property
    def issuer(self) -> str:
        if self.provider != PROVIDER:
            return federation.ISSUER
        return ISSUERS["workload" if "/workloadIdentityPools/" in self.pool else "workforce"]

    @property
    def principal(self) -> str:
        return f"principal://iam.googleapis.com/{self.pool}/subject/{self.subject}"

    @property
    def member(self) -> str:
        return f"serviceAccount:{self.account}" if self.account else self.principal

    @property
    def home(self) -> str:
        """The project of the account that it becomes; empty when it stays who it is."""
        return self.account.partition("@")[2].partition(".")[0]

    @property
    def number(self) -> str:
        """Of the project that the pool is in; empty for a pool of an organization."""
        return self.pool.split("/")[1] if self.pool.startswith("projects/") else ""

    @property
    def token_type(self) -> str:
        """Of the token that its provider gives it."""
        return f"urn:ietf:params:oauth:token-type:{'jwt' if self.number else 'id_token'}"

    def token_request(self) -> Mapping[str, Any]:
        """What the simulator's `/subject-token` takes; who is seeded, the issuer knows."""
        asked = {"issuer": self.issuer, "subject": self.subject}
        if self.provider == PROVIDER:
            return {**asked, "audience": CLIENT}
        return {**asked, "audience": f"https:{self.audience}", "claims": dict(self.claims)}

    @property
    def audience(self) -> str:
        """The provider, as the token service takes it."""
        return f"//iam.googleapis.com/{self.pool}/providers/{self.provider}"

    def credentials(self, token_file: str, impersonate: str = "") -> dict[str, Any]:
        """An `external_account` file as `gcloud iam … create-cred-config` writes it."""
        content: dict[str, Any] = {
            "type": "external_account",
            "audience": self.audience,
            "subject_token_type": self.token_type,
            "token_url": "https://sts.googleapis.com/v1/token",
            "credential_source": {"file": token_file},
        }
        if become := impersonate or self.account:
            accounts = "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts"
            url = f"{accounts}/{become}:generateAccessToken"
            content["service_account_impersonation_url"] = url
        return content


def member(declared: str) -> str:
    """What a `user:` or `group:` of the settings is in a rehearsal; anything else is itself."""
    kind, _, address = declared.partition(":")
    return FORMS[kind] + address if kind in FORMS else declared


def colleague(address: str, groups: Iterable[str] = ()) -> Caller:
    """Somebody the company's identity provider knows by address."""
    return Caller(
        address,
        COMPANY,
        address,
        {"email": address, "groups": list(groups)},
        {"google.subject": "assertion.email", "google.groups": "assertion.groups"},
    )


def caller(member: str, name: str) -> Caller:
    """Who comes in as `member` of the rehearsed settings; `name` is what to call somebody in a set.

    Raises UnknownCaller.
    """
    for kind, form in FORMS.items():
        if member.startswith(form):
            address = member.removeprefix(form)
            if kind == "user":
                return colleague(address)
            return colleague(f"{name}@{address.partition('@')[2]}", [address])
    if found := IN_POOL.fullmatch(member):
        return _in_pool(found, name)
    if found := ACCOUNT.fullmatch(member):
        pool = f"projects/{CI_NUMBER}/locations/global/workloadIdentityPools/{CI_PROJECT}"
        mapping = {"google.subject": "assertion.sub"}
        return Caller(found["id"], pool, name, {}, mapping, member.removeprefix("serviceAccount:"))
    raise UnknownCaller(
        f"{member!r} cannot be rehearsed as platformMember, previewMember or one of callers; "
        "name a user:, a group:, a serviceAccount: of a project, or a principal:// or "
        "principalSet:// of an identity pool"
    )


def job(settings: Settings, number: str, identity: str, **claims: Any) -> Caller:
    """A GitHub job of the repository that the settings name, as `identity` of the table has it.

    `claims` go before those of a usual one (names and shapes: docs.github.com, "OpenID Connect
    reference"); `number` is that of the stack's project.
    """
    given = settings.federation
    if given is None:
        raise UnknownCaller("no GitHub job comes in: federation is not set")
    environment = {
        table.ROLLOUT_JOBS: given.rollout_environment,
        table.FOUNDATION_JOBS: given.foundation_environment,
    }.get(identity)
    ref = f"refs/heads/{given.branch}" if environment else "refs/pull/7/merge"
    workflow = f"{OWNER}/{REPOSITORY}/.github/workflows/ci.yml@{ref}"
    usual = {
        "repository": f"{OWNER}/{REPOSITORY}",
        "repository_id": given.repository_id,
        "repository_owner": OWNER,
        "repository_owner_id": given.owner_id,
        "event_name": "push" if environment else "pull_request",
        "ref": ref,
        "workflow_ref": workflow,
        "job_workflow_ref": workflow,
        **({"environment": environment} if environment else {}),
    }
    context = f"environment:{environment}" if environment else "pull_request"
    return Caller(
        identity.replace(" ", "-"),
        f"projects/{number}/locations/global/workloadIdentityPools/{settings.pool_id}",
        f"repo:{OWNER}@{given.owner_id}/{REPOSITORY}@{given.repository_id}:{context}",
        {**usual, **claims},
        provider=federation.DEPLOY if environment else federation.PREVIEW,
    )


def _in_pool(found: re.Match[str], name: str) -> Caller:
    mapping = {"google.subject": "assertion.sub"}
    kind, value = found["kind"], found["value"]
    if kind == "subject":
        return Caller(name, found["pool"], value, {}, mapping)
    if kind == "group":
        mapping["google.groups"] = "assertion.groups"
        return Caller(name, found["pool"], name, {"groups": [value]}, mapping)
    if kind:
        claim = kind.removeprefix("attribute.")
        mapping[kind] = f"assertion.{claim}"
        return Caller(name, found["pool"], name, {claim: value}, mapping)
    return Caller(name, found["pool"], name, {}, mapping)


def seed(callers: Iterable[Caller], projects: Mapping[str, str]) -> dict[str, Any]:
    """What lets `callers` in: pools with a provider each, and the issuers with whom they know.

    `projects` are the ids of those that the seed has already, by number. For pools and accounts
    of others it has `projects`; for accounts it has `accounts` and the `grants` to become them.
    """
    known = dict(projects)
    found: dict[str, Any] = {
        "issuers": {},
        "pools": [],
        "projects": [],
        "accounts": [],
        "grants": [],
    }
    mappings: dict[str, dict[str, str]] = {}
    for who in callers:
        people = found["issuers"].setdefault(who.issuer, {})
        people.setdefault(who.subject, {}).update(who.claims)
        mappings.setdefault(who.pool, {}).update(who.mapping)
        if who.number and who.number not in known:
            id = CI_PROJECT if who.number == CI_NUMBER else f"ci-{who.number}"
            known[who.number] = id
            found["projects"].append(_project(id, who.number))
        if who.account:
            id, project = who.account.partition("@")[0], who.home
            if project not in known.values():
                number = str(400000000000 + len(known))
                known[number] = project
                found["projects"].append(_project(project, number))
            account = f"projects/{project}/serviceAccounts/{who.account}"
            found["accounts"].append({"project": project, "id": id})
            found["grants"].append(
                {
                    "resource": account,
                    "role": "roles/iam.workloadIdentityUser",
                    "member": who.principal,
                }
            )
    for pool, mapping in mappings.items():
        number = pool.split("/")[1] if pool.startswith("projects/") else ""
        name = pool.replace(f"projects/{number}/", f"projects/{known[number]}/") if number else pool
        issuer = ISSUERS["workload" if number else "workforce"]
        allowed = {"allowedAudiences": [CLIENT]} if number else {"clientId": CLIENT}
        provider = {
            "id": PROVIDER,
            "oidc": {"issuerUri": issuer, **allowed},
            "attributeMapping": mapping,
        }
        found["pools"].append({"name": name, "providers": [provider]})
    return {key: value for key, value in found.items() if value}


def _project(id: str, number: str) -> dict[str, Any]:
    return {"id": id, "number": number, "parent": "organizations/1", "services": HOME_APIS}
