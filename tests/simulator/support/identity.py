"""A cloud with a pool for GitHub's tokens, and unmodified google-auth to come in through it."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import google.auth
import google.oauth2.service_account
import pytest
import requests
from google.auth.exceptions import OAuthError
from google.auth.transport.requests import AuthorizedSession

from simulator.google import GoogleCloud
from simulator.identity.issuers import GITHUB, Issuers
from simulator.identity.tokens import Identity
from simulator.serve.proxy import Running
from tests.simulator.support.core import ADMIN, CRM, IAM, NUMBER, PROJECT, WORKER, session

REPOSITORY, ID = "acme/iot", "4711"
POOLS = f"{IAM}/projects/{PROJECT}/locations/global/workloadIdentityPools"
POOL = f"{POOLS}/github"
PROVIDER = f"{POOL}/providers/actions"
FULL_NAME = f"projects/{NUMBER}/locations/global/workloadIdentityPools/github"
PRINCIPALS = f"//iam.googleapis.com/{FULL_NAME}"
AUDIENCE = f"{PRINCIPALS}/providers/actions"
SUBJECT = f"repo:{REPOSITORY}:ref:refs/heads/main"
OF_REPOSITORY = f"principalSet:{PRINCIPALS}/attribute.repository/{REPOSITORY}"
STS = "https://sts.googleapis.com/v1/token"
PROJECT_URL = f"{CRM}/v1/projects/{PROJECT}"
SCOPE = "https://www.googleapis.com/auth/cloud-platform"
WORKLOAD_USER = "roles/iam.workloadIdentityUser"
IMPERSONATION = (
    f"https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/{WORKER}"
    ":generateAccessToken"
)
ACTIONS: dict[str, Any] = {
    "displayName": "GitHub",
    "attributeMapping": {
        "google.subject": "assertion.sub",
        "attribute.repository": "assertion.repository",
    },
    "attributeCondition": f"assertion.repository_id == '{ID}'",
    "oidc": {"issuerUri": GITHUB},
}


class Client:
    """Plain calls with one account's token: `call` returns (status, answer)."""

    def __init__(self, cloud: GoogleCloud, running: Running, email: str = ADMIN) -> None:
        self._made_of = cloud, running, email
        self.running = running
        self._session = session(running, cloud[Identity].access_token(email))

    def renewed(self) -> Client:
        """The same with a new token: an hour ends the old one."""
        return Client(*self._made_of)

    def call(self, verb: str, url: str, body: Any = None, **query: Any) -> tuple[int, Any]:
        answer = self._session.request(verb, url, json=body, params=query)
        return answer.status_code, answer.json()

    def done(self, verb: str, url: str, body: Any = None, **query: Any) -> Any:
        status, answer = self.call(verb, url, body, **query)
        assert status == 200, answer
        return answer

    def refusal(self, verb: str, url: str, body: Any = None, **query: Any) -> tuple[int, str]:
        """Status and message of an error."""
        status, answer = self.call(verb, url, body, **query)
        assert status >= 400, answer
        return status, answer["error"]["message"]

    def federate(self, provider: dict[str, Any] | None = None) -> None:
        """Create pool and provider through the API."""
        self.done("POST", POOLS, {}, workloadIdentityPoolId="github")
        body = ACTIONS if provider is None else provider
        self.done("POST", f"{POOL}/providers", body, workloadIdentityPoolProviderId="actions")


def github_token(cloud: GoogleCloud, subject: str = SUBJECT, **claims: Any) -> str:
    """What a job of a repository gets from GitHub; `audience` and `lifetime` can be given."""
    audience = claims.pop("audience", f"https:{AUDIENCE}")
    lifetime = claims.pop("lifetime", 300)
    return cloud[Issuers].mint(
        GITHUB,
        subject,
        audience,
        {"repository": REPOSITORY, "repository_id": ID, **claims},
        lifetime,
    )


def credential_file(folder: Path, token: str, *, audience: str = AUDIENCE, **more: Any) -> Path:
    """An `external_account` file and the token file that it names."""
    subject = folder / "subject.jwt"
    subject.write_text(token)
    file = folder / "credentials.json"
    file.write_text(
        json.dumps(
            {
                "type": "external_account",
                "audience": audience,
                "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
                "token_url": "https://sts.googleapis.com/v1/token",
                "credential_source": {"file": str(subject)},
                **more,
            }
        )
    )
    return file


def federated(folder: Path, token: str, **more: Any) -> AuthorizedSession:
    """google-auth's session with such a file."""
    file = credential_file(folder, token, **more)
    credentials, _ = google.auth.load_credentials_from_file(str(file), scopes=[SCOPE])
    return AuthorizedSession(credentials)


def refusal(cloud: GoogleCloud, folder: Path, token: str, **more: Any) -> str:
    """Code and description with which the token service refuses, as google-auth shows them."""
    with pytest.raises(OAuthError) as caught:
        federated(folder, token, **more).get(PROJECT_URL)
    return str(caught.value.args[0]).removeprefix("Error code ")


def exchange(client: Client, token: str, **changes: str) -> Any:
    """What the token service answers to what google-auth sends."""
    form = {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "audience": AUDIENCE,
        "scope": SCOPE,
        "requested_token_type": "urn:ietf:params:oauth:token-type:access_token",
        "subject_token": token,
        "subject_token_type": "urn:ietf:params:oauth:token-type:id_token",
        **changes,
    }
    return requests.post(STS, data=form).json()


def key_file(key: dict[str, Any]) -> dict[str, Any]:
    return dict(json.loads(base64.b64decode(key["privateKeyData"])))


def credentials(file: dict[str, Any]) -> Any:
    account: Any = google.oauth2.service_account.Credentials
    return account.from_service_account_info(file, scopes=[SCOPE])
