"""People come into a rehearsal by federation: what they hold, and what they cannot be."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import google.auth
import pytest
from google.auth.exceptions import GoogleAuthError
from google.auth.transport.requests import AuthorizedSession

from components.configuration import SettingsError
from rehearsal import callers, environment
from rehearsal.callers import UnknownCaller, colleague
from rehearsal.sandbox import Sandbox
from vertexops.google import Google

PROJECT = "iot-prod"
PROJECT_URL = f"https://cloudresourcemanager.googleapis.com/v1/projects/{PROJECT}"
PREVIEW = f"preview@{PROJECT}.iam.gserviceaccount.com"
ANN, BEN = "ann@example.com", "ben@example.com"
SCOPE = "https://www.googleapis.com/auth/cloud-platform"
ACCOUNT = f"projects/{PROJECT}/serviceAccounts/{PREVIEW}"


# What they share is made once, by one worker.
pytestmark = pytest.mark.xdist_group("callers")


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """Ann is in the platform's group; Ben may become the preview account, and nothing more."""
    on_project, on_account = f"projects/{PROJECT}", "roles/iam.serviceAccountTokenCreator"
    services = ["cloudresourcemanager.googleapis.com", "iamcredentials.googleapis.com"]
    seed: dict[str, Any] = {
        "organization": {"id": "1"},
        "projects": [{"id": PROJECT, "number": "42", "services": services}],
        "accounts": [{"project": PROJECT, "id": "preview"}],
        "grants": [
            {"resource": on_project, "role": "roles/viewer", "member": member}
            for member in (
                callers.member("group:platform@example.com"),
                f"serviceAccount:{PREVIEW}",
            )
        ],
        **callers.seed((colleague(ANN, ["platform@example.com"]), colleague(BEN)), {}),
    }
    ben = callers.member(f"user:{BEN}")
    seed["grants"].append({"resource": ACCOUNT, "role": on_account, "member": ben})
    with Sandbox(seed, at_once=True) as sandbox:
        yield sandbox


def signed_in(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, email: str, account: str = ""
) -> AuthorizedSession:
    """google-auth's session in the environment that a program would be started in."""
    for name, value in sandbox.environment(email, account).items():
        monkeypatch.setenv(name, value)
    credentials, _ = google.auth.default(scopes=[SCOPE])
    return AuthorizedSession(credentials)


def last_check(sandbox: Sandbox) -> dict[str, Any]:
    return dict(sandbox.control("GET", "/audit")["entries"][-1])


def test_a_person_holds_what_the_group_is_granted(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert signed_in(sandbox, monkeypatch, ANN).get(PROJECT_URL).status_code == 200
    check = last_check(sandbox)
    assert check["principal"] == callers.member(f"user:{ANN}")
    assert check["via"]["member"] == callers.member("group:platform@example.com")


def test_who_is_not_in_the_group_holds_nothing(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert signed_in(sandbox, monkeypatch, BEN).get(PROJECT_URL).status_code == 403


def test_a_reviewer_becomes_the_preview_account(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert signed_in(sandbox, monkeypatch, BEN, PREVIEW).get(PROJECT_URL).status_code == 200
    assert last_check(sandbox)["principal"] == f"serviceAccount:{PREVIEW}"


def test_who_may_not_become_the_account_does_not(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = signed_in(sandbox, monkeypatch, ANN, PREVIEW)
    with pytest.raises(GoogleAuthError, match=r"iam\.serviceAccounts\.getAccessToken"):
        client.get(PROJECT_URL)


def test_a_stranger_to_the_company_does_not_come_in(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = signed_in(sandbox, monkeypatch, "eve@example.com")
    with pytest.raises(GoogleAuthError, match=r"google\.subject"):
        client.get(PROJECT_URL)


def test_no_key_and_no_refresh_token_is_left_anywhere(sandbox: Sandbox) -> None:
    variables = sandbox.environment(BEN, PREVIEW)
    file = Path(variables["GOOGLE_APPLICATION_CREDENTIALS"])
    content = json.loads(file.read_text())
    assert content["type"] == "external_account"
    token = Path(content["credential_source"]["file"])
    assert {path.stat().st_mode & 0o777 for path in (file, token)} == {0o600}
    assert token.parent.stat().st_mode & 0o777 == 0o700
    everything = " ".join(path.read_text() for path in sandbox.directory.glob("*.js*"))
    assert "refresh_token" not in everything
    assert "private_key" not in everything


def test_a_token_is_renewed_where_it_lies(sandbox: Sandbox) -> None:
    variables = sandbox.environment(ANN)
    content = json.loads(Path(variables["GOOGLE_APPLICATION_CREDENTIALS"]).read_text())
    token = Path(content["credential_source"]["file"])
    before = token.read_text()
    sandbox.control("POST", "/clock", {"step": 1})
    sandbox.renew()
    assert token.read_text() != before
    assert token.stat().st_mode & 0o777 == 0o600


def test_the_providers_own_client_can_name_its_caller(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in sandbox.environment(ANN).items():
        monkeypatch.setenv(name, value)
    client = Google(PROJECT, "us-central1", "")
    assert client.request("GET", PROJECT_URL)["projectId"] == PROJECT
    # Federated credentials have no address to go by.
    assert client.identity == "the identity of the application default credentials"


@pytest.mark.parametrize(
    ("declared", "member", "person"),
    [
        ("user:ann@example.com", f"principal://iam.googleapis.com/{callers.COMPANY}/subject/", ANN),
        (
            "group:ops@example.com",
            f"principalSet://iam.googleapis.com/{callers.COMPANY}/group/",
            "engineer@example.com",
        ),
    ],
)
def test_an_environments_people_become_workforce_identities(
    tmp_path: Path, declared: str, member: str, person: str
) -> None:
    rehearsed = environment.load("prod", tmp_path, platformMember=declared)
    settings, seed = rehearsed.settings, environment.seed(rehearsed)
    assert settings.platform_member == member + declared.partition(":")[2]
    assert rehearsed.platform.name == person
    assert person in seed["issuers"][callers.ISSUERS["workforce"]]
    # Who is not of the stack's settings signs in without federation.
    beside = (environment.SCIENTIST, environment.ANALYST, environment.ONCALL, environment.OWNER)
    members = {grant["member"] for grant in seed["grants"]} - {f"user:{name}" for name in beside}
    assert {"user", "group"}.isdisjoint(name.partition(":")[0] for name in members)


POOL = "iam.googleapis.com/projects/31415/locations/global/workloadIdentityPools/github"
PIPELINES = [
    f"principal://{POOL}/subject/repo:acme/plant:ref:refs/heads/main",
    f"principalSet://{POOL}/attribute.repository/acme/plant",
    f"principalSet://{POOL}/group/deployers",
    f"principalSet://{POOL}/*",
    "principal://iam.googleapis.com/locations/global/workforcePools/acme/subject/robot-7",
    "serviceAccount:pipeline@acme-ci.iam.gserviceaccount.com",
    "serviceAccount:pipeline@iot-prod.iam.gserviceaccount.com",
]


@pytest.mark.parametrize("member", PIPELINES)
def test_a_pipeline_comes_in_as_the_member_that_grants_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, member: str
) -> None:
    rehearsed = environment.load("prod", tmp_path, platformMember=member)
    assert rehearsed.settings.platform_member == member
    with Sandbox(environment.seed(rehearsed), at_once=True) as sandbox:
        for name, value in sandbox.environment(rehearsed.platform).items():
            monkeypatch.setenv(name, value)
        credentials, _ = google.auth.default(scopes=[SCOPE])
        assert AuthorizedSession(credentials).get(PROJECT_URL).status_code == 200
        check = last_check(sandbox)
    assert check["principal"] == rehearsed.platform.member
    assert check["via"]["member"] == member


@pytest.mark.parametrize(
    "member",
    [
        "principal://x",
        "principalSet://iam.googleapis.com/projects/acme/locations/global/workloadIdentityPools/p/*",
        "serviceAccount:7-compute@developer.gserviceaccount.com",
        "domain:example.com",
    ],
)
def test_nobody_comes_in_as_what_cannot_be_rehearsed(tmp_path: Path, member: str) -> None:
    with pytest.raises(SettingsError if member.startswith("domain") else UnknownCaller) as refused:
        environment.load("prod", tmp_path, platformMember=member)
    assert member in str(refused.value)
