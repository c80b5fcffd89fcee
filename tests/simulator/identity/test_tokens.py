"""Tokens: how unmodified Google clients come by them, and what each is good for."""

from __future__ import annotations

import google.auth.impersonated_credentials
import google.oauth2.credentials
import pytest
import requests
from google.auth.exceptions import RefreshError
from google.auth.transport.requests import AuthorizedSession
from google.cloud import resourcemanager_v3

from simulator.api.audit import Audit
from simulator.core.clock import Clock
from simulator.google import GoogleCloud
from simulator.iam.decisions import Iam
from simulator.identity.accounts import Accounts
from simulator.identity.tokens import Identity
from simulator.serve.proxy import Running
from tests.simulator.support.core import ADMIN, CRM, PROJECT, WORKER, WORKER_NAME, session

ANN = "ann@example.com"
USERINFO = "https://openidconnect.googleapis.com/v1/userinfo"
GENERATE = f"https://iamcredentials.googleapis.com/v1/{WORKER_NAME}:generateAccessToken"
SCOPES = ["https://www.googleapis.com/auth/cloud-platform"]
CREATOR = "roles/iam.serviceAccountTokenCreator"


def person(cloud: GoogleCloud) -> google.oauth2.credentials.Credentials:
    return google.oauth2.credentials.Credentials(
        None,
        refresh_token=cloud[Identity].refresh_token(ANN),
        token_uri="https://oauth2.googleapis.com/token",
        client_id="client",
        client_secret="secret",
    )


def impersonating(source: object) -> google.auth.impersonated_credentials.Credentials:
    return google.auth.impersonated_credentials.Credentials(source, WORKER, SCOPES, lifetime=3600)


def test_a_persons_credentials_become_access(cloud: GoogleCloud, running: Running) -> None:
    assert AuthorizedSession(person(cloud)).get(USERINFO).json()["email"] == ANN


def test_impersonation_works_with_permission_on_the_account(
    cloud: GoogleCloud, running: Running
) -> None:
    cloud[Iam].grant(WORKER_NAME, CREATOR, f"user:{ANN}")
    client = AuthorizedSession(impersonating(person(cloud)))
    assert client.get(USERINFO).json()["email"] == WORKER
    [entry] = cloud[Audit].since(0)
    assert entry.permission == "iam.serviceAccounts.getAccessToken"
    assert (entry.principal, entry.resource) == (f"user:{ANN}", WORKER_NAME)


def test_impersonation_without_permission_is_denied(cloud: GoogleCloud, running: Running) -> None:
    with pytest.raises(RefreshError, match=r"iam\.serviceAccounts\.getAccessToken"):
        AuthorizedSession(impersonating(person(cloud))).get(USERINFO)


def test_a_google_client_is_served_unmodified(cloud: GoogleCloud, running: Running) -> None:
    project = f"projects/{PROJECT}"
    cloud[Iam].grant(project, "roles/viewer", f"user:{ANN}")
    client = resourcemanager_v3.ProjectsClient(credentials=person(cloud), transport="rest")
    assert client.get_project(name=project).project_id == PROJECT
    wanted = ["aiplatform.endpoints.get", "aiplatform.endpoints.create"]
    held = client.test_iam_permissions(resource=project, permissions=wanted)
    assert list(held.permissions) == wanted[:1]


@pytest.fixture
def creator(cloud: GoogleCloud, running: Running) -> requests.Session:
    """A client of the administrator, who may impersonate the worker (an owner may not)."""
    cloud[Iam].grant(WORKER_NAME, CREATOR, f"serviceAccount:{ADMIN}")
    return session(running, cloud[Identity].access_token(ADMIN))


def test_an_owner_cannot_impersonate(cloud: GoogleCloud, running: Running) -> None:
    client = session(running, cloud[Identity].access_token(ADMIN))
    assert client.post(GENERATE, json={"scope": SCOPES}).status_code == 403


def test_a_chain_of_delegates_needs_every_hop(cloud: GoogleCloud, running: Running) -> None:
    admin_name = f"projects/{PROJECT}/serviceAccounts/{ADMIN}"
    client = session(running, cloud[Identity].access_token(ANN))
    body = {"scope": SCOPES, "delegates": [f"projects/-/serviceAccounts/{ADMIN}"]}
    assert client.post(GENERATE, json=body).status_code == 403
    cloud[Iam].grant(WORKER_NAME, CREATOR, f"serviceAccount:{ADMIN}")
    assert "implicitDelegation" in client.post(GENERATE, json=body).text
    cloud[Iam].grant(admin_name, CREATOR, f"user:{ANN}")
    assert client.post(GENERATE, json=body).status_code == 200
    cloud[Iam].withheld = {(ADMIN, "iam.serviceAccounts.getAccessToken")}
    assert client.post(GENERATE, json=body).status_code == 403


@pytest.mark.parametrize("lifetime", ["3601s", "0s", "-5s", "soon"])
def test_a_lifetime_beyond_an_hour_is_refused(creator: requests.Session, lifetime: str) -> None:
    body = {"scope": SCOPES, "lifetime": lifetime}
    assert creator.post(GENERATE, json=body).status_code == 400


def test_a_short_lifetime_is_kept(
    cloud: GoogleCloud, running: Running, creator: requests.Session
) -> None:
    token = creator.post(GENERATE, json={"scope": SCOPES, "lifetime": "60s"}).json()["accessToken"]
    worker = session(running, token)
    assert worker.get(USERINFO).status_code == 200
    cloud.clock.step(60)
    assert worker.get(USERINFO).status_code == 401


def test_a_disabled_or_missing_account_gets_no_token(
    cloud: GoogleCloud, creator: requests.Session
) -> None:
    worker = cloud[Accounts].find(WORKER)
    assert worker is not None
    worker.disabled = True
    disabled = creator.post(GENERATE, json={"scope": SCOPES}).json()["error"]
    assert disabled["status"] == "FAILED_PRECONDITION"
    cloud[Accounts].delete(worker)
    missing = creator.post(GENERATE, json={"scope": SCOPES}).json()["error"]
    assert missing["message"] == f"Not found; Gaia id not found for email {WORKER}"


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({"grant_type": "refresh_token", "refresh_token": "unknown"}, "invalid_grant"),
        (
            {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": "x"},
            "invalid_grant",
        ),
        ({"grant_type": "password", "username": "x"}, "unsupported_grant_type"),
    ],
)
def test_a_grant_that_is_no_good_has_oauths_error(
    running: Running, form: dict[str, str], error: str
) -> None:
    answer = session(running).post("https://oauth2.googleapis.com/token", data=form)
    assert (answer.status_code, answer.json()["error"]) == (400, error)


def test_tokeninfo_describes_a_token(cloud: GoogleCloud, running: Running) -> None:
    token = cloud[Identity].access_token(WORKER)
    url = "https://oauth2.googleapis.com/tokeninfo"
    answer = session(running).get(url, params={"access_token": token}).json()
    assert (answer["email"], answer["expires_in"]) == (WORKER, "3600")
    assert session(running).get(url, params={"access_token": "x"}).status_code == 400


def test_tokens_are_never_in_the_audit_or_the_statistics(
    cloud: GoogleCloud, running: Running
) -> None:
    client: requests.Session = session(running, token := cloud[Identity].access_token(ADMIN))
    client.get(f"{CRM}/v1/projects/{PROJECT}")
    kept = repr([entry.json() for entry in cloud[Audit].since(0)]) + repr(cloud.requests)
    assert token not in kept


def test_a_running_clock_follows_time_and_a_stopped_one_does_not() -> None:
    running, stopped = Clock(start=1000.0), Clock(running=False, start=1000.0)
    running.step(500)
    stopped.step(500)
    assert stopped.now() == 1500.0
    assert 1500.0 <= running.now() < 1600.0
    assert stopped.rfc3339() == "1970-01-01T00:25:00Z"
    with pytest.raises(ValueError, match="does not go back"):
        stopped.step(-1)
