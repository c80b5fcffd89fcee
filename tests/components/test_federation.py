"""Which GitHub jobs come in, by what the component declares, through the simulated token service.

Claim names and shapes: docs.github.com, "OpenID Connect reference" (claims, subjects, immutable
subjects); a whole token in the README of andreaso/output-oidc-claims-action; `ref` of a
`pull_request_target` in kyma-project/test-infra#9976.
"""

from __future__ import annotations

import contextvars
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pulumi
import pytest
import requests
from pulumi.runtime import mocks

from access.needs import needs
from components import permissions as table
from components.configuration import parse, raw, written
from components.federation import Federation, FederationArgs
from components.settings import Settings
from policies.gcp_access.config import FOLDER
from rehearsal.toolchain import ROOT
from simulator.core.clock import Clock
from simulator.core.delays import Delays
from simulator.google import GoogleCloud
from simulator.identity.issuers import Issuers
from simulator.identity.jwt import Key
from simulator.seed import plant
from simulator.serve.proxy import Running, serve
from tests.policies.support import given, ids, pack
from tests.simulator.support.core import session

PROJECT, NUMBER = "iot-prod", "100000000001"
OWNER_ID, REPOSITORY_ID, OTHER_ID = "583231", "1296269", "1339936803"
GITHUB = "https://token.actions.githubusercontent.com"
SETTINGS = {
    "platformMember": f"serviceAccount:pm-platform@{PROJECT}.iam.gserviceaccount.com",
    "previewMember": "",
    "federation": {
        "ownerId": OWNER_ID,
        "repositoryId": REPOSITORY_ID,
        "rolloutEnvironment": "production",
        "foundationEnvironment": "production-foundation",
    },
}
TYPES = "urn:ietf:params:oauth:token-type:"
POOL = f"projects/{NUMBER}/locations/global/workloadIdentityPools/pm-github"
ACCOUNTS = (table.PREVIEW, table.DEPLOYER, table.PLATFORM)
NOBODY: frozenset[str] = frozenset()
READER = frozenset({table.PREVIEW})
MAIN = "refs/heads/main"


class Declared(NamedTuple):
    """A resource that the component registers: its type, and its inputs as Google knows them."""

    type: str
    inputs: dict[str, Any]


class Registered(mocks.Mocks):
    def __init__(self) -> None:
        self.found: list[Declared] = []

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str | None, dict[Any, Any]]:
        self.found.append(Declared(args.typ, dict(args.inputs)))
        return args.name, {**args.inputs, "name": POOL}

    def call(self, args: mocks.MockCallArgs) -> dict[Any, Any]:
        raise AssertionError(f"{args.token} is called")


def declared(settings: Settings) -> list[Declared]:
    registered = Registered()

    def run() -> None:
        mocks.set_mocks(registered)

        def program() -> None:
            assert settings.federation
            Federation("federation", FederationArgs(settings, settings.federation))

        pulumi.runtime.test(program)()

    contextvars.copy_context().run(run)
    return registered.found


def of(found: list[Declared], name: str) -> list[dict[str, Any]]:
    return [item.inputs for item in found if item.type.endswith(f":{name}")]


@pytest.fixture(scope="module")
def settings() -> Settings:
    return parse(raw(written("prod", ROOT) | SETTINGS), ROOT)


@pytest.fixture(scope="module")
def cloud(settings: Settings) -> GoogleCloud:
    """A project with the stack's accounts, and all that the component declares."""
    found = declared(settings)
    [pool] = of(found, "WorkloadIdentityPool")
    providers = [
        {
            "id": given["workloadIdentityPoolProviderId"],
            "attributeMapping": given["attributeMapping"],
            "attributeCondition": given["attributeCondition"],
            "oidc": given["oidc"],
        }
        for given in of(found, "WorkloadIdentityPoolProvider")
    ]
    grants = [
        {"resource": given["serviceAccountId"], "role": given["role"], "member": given["member"]}
        for given in of(found, "IAMMember")
    ]
    assert len(providers) == 2 and len(grants) == 3
    [role] = {given["role"] for given in grants}
    cloud = GoogleCloud(clock=Clock(running=False), delays=Delays(iam=0, api=0, operation=0))
    name = f"projects/{PROJECT}/locations/global/workloadIdentityPools/"
    plant(
        cloud,
        {
            "organization": {"id": "1"},
            "projects": [
                {
                    "id": PROJECT,
                    "number": NUMBER,
                    "parent": "organizations/1",
                    "services": ["iam.googleapis.com", "iamcredentials.googleapis.com"],
                }
            ],
            "accounts": [
                {"project": PROJECT, "id": settings.email(account).partition("@")[0]}
                for account in ACCOUNTS
            ],
            "roles": [{"name": role, "permissions": ["iam.serviceAccounts.getAccessToken"]}],
            "pools": [{"name": name + pool["workloadIdentityPoolId"], "providers": providers}],
            "grants": grants,
        },
    )
    return cloud


@pytest.fixture(scope="module")
def running(cloud: GoogleCloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with serve(cloud, tmp_path_factory.mktemp("cloud")) as running:
        yield running


def job(**changes: Any) -> dict[str, Any]:
    """The claims of a job on a pull request; None takes a claim away."""
    claims = {
        "iss": GITHUB,
        "sub": f"repo:acme@{OWNER_ID}/pumps@{REPOSITORY_ID}:pull_request",
        "actor": "ana",
        "actor_id": "285964",
        "base_ref": "main",
        "head_ref": "colder-pumps",
        "check_run_id": "96193868770",
        "event_name": "pull_request",
        "job_workflow_ref": "acme/pumps/.github/workflows/ci.yml@refs/pull/7/merge",
        "ref": "refs/pull/7/merge",
        "ref_protected": "false",
        "ref_type": "branch",
        "repository": "acme/pumps",
        "repository_id": REPOSITORY_ID,
        "repository_owner": "acme",
        "repository_owner_id": OWNER_ID,
        "repository_visibility": "private",
        "run_attempt": "1",
        "run_id": "32291736541",
        "run_number": "12",
        "runner_environment": "github-hosted",
        "sha": "b8962f4eaff8e14fc646cb22c596c81e67d71362",
        "workflow": "CI",
        "workflow_ref": "acme/pumps/.github/workflows/ci.yml@refs/pull/7/merge",
        **changes,
    }
    return {name: value for name, value in claims.items() if value is not None}


def on_main(environment: str | None = None, /, **changes: Any) -> dict[str, Any]:
    """The claims of a job on a push to the main branch, in an environment or in none."""
    context = f"environment:{environment}" if environment else f"ref:{MAIN}"
    workflow = f"acme/pumps/.github/workflows/deploy.yml@{MAIN}"
    usual = {
        "sub": f"repo:acme@{OWNER_ID}/pumps@{REPOSITORY_ID}:{context}",
        "base_ref": "",
        "head_ref": "",
        "event_name": "push",
        "environment": environment,
        "ref": MAIN,
        "ref_protected": "true",
        "job_workflow_ref": workflow,
        "workflow_ref": workflow,
    }
    return job(**{**usual, **changes})


def deploy(**changes: Any) -> dict[str, Any]:
    return on_main("production", **changes)


def became(
    cloud: GoogleCloud,
    running: Running,
    settings: Settings,
    claims: dict[str, Any],
    *,
    audience: str = "",
    lifetime: float = 300,
    key: Key | None = None,
) -> frozenset[str]:
    """The accounts whose token a job with these claims gets, through any of the providers."""
    client, found = session(running), set()
    for provider in ("preview", "deploy"):
        target = f"//iam.googleapis.com/{POOL}/providers/{provider}"
        now = int(cloud.clock.now())
        times = {"iat": now, "nbf": now, "exp": now + int(lifetime)}
        said = {"aud": audience or f"https:{target}", "jti": "1e410ab1", **times, **claims}
        token = (key or cloud[Issuers].key(GITHUB)).sign(said)
        answer = exchange(client, target, token)
        if "access_token" not in answer:
            assert answer["error"] in ("invalid_grant", "unauthorized_client"), answer
            continue
        bearer = {"Authorization": f"Bearer {answer['access_token']}"}
        for account in ACCOUNTS:
            url = "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts"
            given = client.post(
                f"{url}/{settings.email(account)}:generateAccessToken",
                json={"scope": ["https://www.googleapis.com/auth/cloud-platform"]},
                headers=bearer,
            )
            assert given.status_code in (200, 403), given.text
            found |= {account} if given.ok else set()
    return frozenset(found)


def exchange(client: requests.Session, target: str, token: str) -> dict[str, Any]:
    form = {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "audience": target,
        "scope": "https://www.googleapis.com/auth/cloud-platform",
        "requested_token_type": f"{TYPES}access_token",
        "subject_token": token,
        "subject_token_type": f"{TYPES}jwt",
    }
    return dict(client.post("https://sts.googleapis.com/v1/token", data=form).json())


FOREIGN = f"eve/tools/.github/workflows/deploy.yml@{MAIN}"
CASES: dict[str, tuple[dict[str, Any], frozenset[str]]] = {
    # Those that are to come in.
    "a pull request": (job(), READER),
    "a push to main": (on_main(), READER),
    "the night's look for drift": (on_main(event_name="schedule"), READER),
    "a rollout": (deploy(), READER | {table.DEPLOYER}),
    "a rollout by hand": (deploy(event_name="workflow_dispatch"), READER | {table.DEPLOYER}),
    "the foundation": (on_main("production-foundation"), READER | {table.PLATFORM}),
    "the subject of an older repository": (
        deploy(sub="repo:acme/pumps:environment:production"),
        READER | {table.DEPLOYER},
    ),
    "a subject of the repository's own choice": (
        deploy(sub=f"repository_id:{REPOSITORY_ID}"),
        READER | {table.DEPLOYER},
    ),
    "a repository that was renamed, in upper case": (
        deploy(
            repository="ACME/Pumps",
            job_workflow_ref=f"ACME/Pumps/.github/workflows/deploy.yml@{MAIN}",
        ),
        READER | {table.DEPLOYER},
    ),
    "a reusable workflow of the repository": (
        deploy(job_workflow_ref=f"acme/pumps/.github/workflows/rollout.yml@{MAIN}"),
        READER | {table.DEPLOYER},
    ),
    # Those of others.
    "a fork's own push": (
        deploy(
            repository="eve/pumps",
            repository_id=OTHER_ID,
            repository_owner="eve",
            repository_owner_id="99",
            job_workflow_ref=f"eve/pumps/.github/workflows/deploy.yml@{MAIN}",
        ),
        NOBODY,
    ),
    "a fork's pull request by pull_request_target": (
        on_main(event_name="pull_request_target", base_ref="main", head_ref="main"),
        NOBODY,
    ),
    "the same in an environment": (
        deploy(event_name="pull_request_target", base_ref="main", head_ref="main"),
        NOBODY,
    ),
    "the same name under another owner": (
        deploy(repository_owner="acme-2", repository_owner_id="99", repository_id=OTHER_ID),
        NOBODY,
    ),
    "a re-used name": (deploy(repository_owner_id="99", repository_id=OTHER_ID), NOBODY),
    "a repository made anew": (deploy(repository_id=OTHER_ID), NOBODY),
    "another repository of the owner": (
        deploy(repository="acme/fans", repository_id=OTHER_ID),
        NOBODY,
    ),
    "a repository that was given away": (deploy(repository_owner_id="99"), NOBODY),
    "a pull request of another repository": (job(repository_id=OTHER_ID), NOBODY),
    # Those of the repository that may less than they ask for.
    "a pull request's job in the environment": (
        job(
            environment="production",
            sub=f"repo:acme@{OWNER_ID}/pumps@{REPOSITORY_ID}:environment:production",
        ),
        READER,
    ),
    "a pull request's job in the foundation's": (job(environment="production-foundation"), READER),
    "another branch": (deploy(ref="refs/heads/mine", ref_protected="false"), NOBODY),
    "a branch whose name begins so": (deploy(ref="refs/heads/main-2"), NOBODY),
    "a tag": (deploy(ref="refs/tags/v1", ref_type="tag"), NOBODY),
    "a tag that is called main": (deploy(ref="refs/tags/main", ref_type="tag"), NOBODY),
    "another environment": (on_main("staging"), READER),
    "an environment in upper case": (on_main("Production"), READER),
    "a comment on an issue": (deploy(event_name="issue_comment"), NOBODY),
    "what follows a stranger's workflow": (deploy(event_name="workflow_run"), NOBODY),
    "a rollout at night": (deploy(event_name="schedule"), READER),
    "somebody else's reusable workflow": (deploy(job_workflow_ref=FOREIGN), NOBODY),
    "the same on a pull request": (job(job_workflow_ref=FOREIGN), NOBODY),
    "a workflow of a name that begins so": (
        deploy(job_workflow_ref=f"acme/pumps-2/.github/workflows/deploy.yml@{MAIN}"),
        NOBODY,
    ),
    "an older workflow of the repository": (
        deploy(job_workflow_ref="acme/pumps/.github/workflows/deploy.yml@refs/heads/old"),
        READER,
    ),
    # Tokens that GitHub does not make.
    "no environment": (deploy(environment=None), READER),
    "no ids": (deploy(repository_id=None, repository_owner_id=None), NOBODY),
    "no owner's id": (deploy(repository_owner_id=None), NOBODY),
    "ids as numbers": (
        deploy(repository_id=int(REPOSITORY_ID), repository_owner_id=int(OWNER_ID)),
        NOBODY,
    ),
    "ids in lists": (deploy(repository_id=[REPOSITORY_ID]), NOBODY),
    "environments in a list": (deploy(environment=["production"]), READER),
    "an empty id": (deploy(repository_id=""), NOBODY),
    "no event": (deploy(event_name=None), NOBODY),
    "no ref": (deploy(ref=None), NOBODY),
    "no workflow": (deploy(job_workflow_ref=None), NOBODY),
    "no subject": (deploy(sub=None), NOBODY),
    "a subject that is a number": (deploy(sub=7), NOBODY),
    "a subject that is a list": (deploy(sub=["repo:acme/pumps:environment:production"]), NOBODY),
    "an issuer that looks like GitHub": (deploy(iss=f"{GITHUB}.example.com"), NOBODY),
    "an enterprise's own issuer": (deploy(iss=f"{GITHUB}/eve"), NOBODY),
}


@pytest.mark.parametrize("case", CASES)
def test_a_job_becomes_whom_it_may_and_nobody_else(
    cloud: GoogleCloud, running: Running, settings: Settings, case: str
) -> None:
    claims, expected = CASES[case]
    assert became(cloud, running, settings, claims) == expected


@pytest.mark.parametrize(
    "token",
    [
        {"lifetime": -120},
        {"audience": "https://github.com/acme"},
        {"audience": f"https://iam.googleapis.com/{POOL.replace(NUMBER, '7')}/providers/deploy"},
        {"key": Key()},
    ],
    ids=["expired", "GitHub's own audience", "another project's audience", "another key"],
)
def test_a_token_that_is_not_for_here_and_now_is_worth_nothing(
    cloud: GoogleCloud, running: Running, settings: Settings, token: dict[str, Any]
) -> None:
    assert became(cloud, running, settings, deploy(), **token) == NOBODY


def test_a_rollouts_token_is_no_use_at_the_other_provider(
    cloud: GoogleCloud, running: Running
) -> None:
    """Each provider wants its own name as the audience."""
    preview, other = (f"//iam.googleapis.com/{POOL}/providers/{id}" for id in ("preview", "deploy"))
    token = cloud[Issuers].mint(GITHUB, "x", f"https:{preview}", deploy())
    assert "access_token" in exchange(session(running), preview, token)
    assert exchange(session(running), other, token)["error"] == "invalid_grant"


def test_without_an_environment_for_it_nobody_becomes_the_platform() -> None:
    given = {"ownerId": "1", "repositoryId": "2", "rolloutEnvironment": "production"}
    values = written("prod", ROOT) | {"federation": given}
    found = declared(parse(raw(values), ROOT))
    assert {grant["serviceAccountId"].partition("@")[0] for grant in of(found, "IAMMember")} == {
        f"projects/{PROJECT}/serviceAccounts/pm-{name}" for name in ("preview", "deployer")
    }
    [condition] = [
        provider["attributeCondition"]
        for provider in of(found, "WorkloadIdentityPoolProvider")
        if provider["workloadIdentityPoolProviderId"] == "deploy"
    ]
    assert condition.endswith("assertion.environment in ['production']")


def test_the_strict_pack_lets_it_through_without_a_waiver(
    settings: Settings, tmp_path: Path
) -> None:
    ours, mine = FOLDER / "predictive-maintenance", tmp_path / "predictive-maintenance"
    mine.mkdir()
    config = json.loads((ours / "prod.json").read_text())
    config["trustedMembers"] += [settings.platform_member]
    (mine / "prod.json").write_text(json.dumps(config))
    (mine / "prod.access.json").write_text(json.dumps(needs(settings)))
    (mine / "default.json").write_text((ours / "default.json").read_text())
    judge = pack(tmp_path)
    for item in declared(settings):
        assert judge.resource(given(item.type, item.inputs, stack="prod")) == []
        if "attributeCondition" in item.inputs:
            anybody = {**item.inputs, "attributeCondition": ""}
            assert ids(judge.resource(given(item.type, anybody, stack="prod"))) == {"W1"}


def test_no_key_is_made(settings: Settings) -> None:
    assert {item.type.rpartition(":")[2] for item in declared(settings)} == {
        *("Federation", "WorkloadIdentityPool", "WorkloadIdentityPoolProvider", "IAMMember"),
    }


def test_a_projects_number_that_is_given_names_the_members_at_once_and_has_to_be_right() -> None:
    base = {"ownerId": "1", "repositoryId": "2", "rolloutEnvironment": "production"}

    def with_number(number: str) -> Settings:
        values = written("prod", ROOT) | {"federation": {**base, "projectNumber": number}}
        return parse(raw(values), ROOT)

    members = {grant["member"] for grant in of(declared(with_number(NUMBER)), "IAMMember")}
    assert all(f"/projects/{NUMBER}/" in member for member in members) and len(members) == 2
    with pytest.raises(pulumi.RunError, match=f"'4242' is not the number.* which is {NUMBER}"):
        declared(with_number("4242"))
