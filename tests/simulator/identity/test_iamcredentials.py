"""Signatures and tokens that Google makes for an account, without a key of its own."""

from __future__ import annotations

import base64
import json
from typing import Any

import google.auth.jwt
import google.oauth2.id_token
import google.oauth2.service_account
import pytest
from google.auth import impersonated_credentials
from google.auth.crypt import RSAVerifier
from google.auth.transport.requests import Request

from simulator.api.audit import Audit
from simulator.google import GoogleCloud
from simulator.iam.decisions import Iam
from simulator.iam.roles import CustomRoles
from simulator.identity.accounts import Accounts
from simulator.serve.proxy import Running
from tests.simulator.support.core import ADMIN, IAM, PROJECT, WORKER, WORKER_NAME, session
from tests.simulator.support.identity import PROJECT_URL, SCOPE, Client, credentials, key_file

KEYS = f"{IAM}/{WORKER_NAME}/keys"
CREDENTIALS = f"https://iamcredentials.googleapis.com/v1/{WORKER_NAME}"
CREATOR = "roles/iam.serviceAccountTokenCreator"


@pytest.fixture
def admin(cloud: GoogleCloud, running: Running) -> Client:
    cloud[Iam].grant(f"projects/{PROJECT}", "roles/viewer", f"serviceAccount:{WORKER}")
    return Client(cloud, running)


def impersonating(**more: Any) -> Any:
    """The worker's credentials, as the administrator can have them."""
    return impersonated_credentials.Credentials(
        target_principal=WORKER, target_scopes=[SCOPE], **more
    )


@pytest.fixture
def worker(cloud: GoogleCloud, admin: Client) -> Any:
    """The worker, impersonated by the administrator with a key."""
    cloud[Iam].grant(WORKER_NAME, CREATOR, f"serviceAccount:{ADMIN}")
    file = key_file(admin.done("POST", KEYS.replace(WORKER, ADMIN), {}))
    return impersonating(source_credentials=credentials(file))


def test_impersonated_credentials_sign_with_googles_key(worker: Any, running: Running) -> None:
    signature = worker.sign_bytes(b"data")
    certificates = (
        session(running)
        .get(f"https://www.googleapis.com/service_accounts/v1/metadata/x509/{WORKER}")
        .json()
    )
    [pem] = certificates.values()
    assert RSAVerifier.from_string(pem).verify(b"data", signature)
    assert not RSAVerifier.from_string(pem).verify(b"other", signature)


def test_googles_id_tokens_verify(cloud: GoogleCloud, worker: Any) -> None:
    token = impersonated_credentials.IDTokenCredentials(worker, "https://iot.example.com", True)
    token.refresh(Request())
    claims = google.oauth2.id_token.verify_oauth2_token(
        token.token, Request(), "https://iot.example.com"
    )
    account = cloud[Accounts].find(WORKER)
    assert account is not None
    assert (claims["sub"], claims["email"]) == (account.unique_id, WORKER)
    assert claims["exp"] - claims["iat"] == 3600


def test_a_key_gets_an_id_token_too(admin: Client) -> None:
    account: Any = google.oauth2.service_account.IDTokenCredentials
    file = key_file(admin.done("POST", KEYS, {}))
    own = account.from_service_account_info(file, target_audience="https://iot.example.com")
    own.refresh(Request())
    claims = google.oauth2.id_token.verify_oauth2_token(
        own.token, Request(), "https://iot.example.com"
    )
    assert claims["email"] == WORKER


def test_a_signed_jwt_is_the_payload_under_googles_key(cloud: GoogleCloud, admin: Client) -> None:
    cloud[Iam].grant(WORKER_NAME, CREATOR, f"serviceAccount:{ADMIN}")
    claims = {"sub": WORKER, "exp": int(cloud.clock.now()) + 12 * 3600}
    answer = admin.done("POST", f"{CREDENTIALS}:signJwt", {"payload": json.dumps(claims)})
    url = f"https://www.googleapis.com/service_accounts/v1/metadata/x509/{WORKER}"
    certificate = admin.done("GET", url)[answer["keyId"]]
    signed = google.auth.jwt.decode(answer["signedJwt"], certificate, verify=False)
    assert signed == claims
    header, body, signature = answer["signedJwt"].split(".")
    raw = base64.urlsafe_b64decode(signature + "=" * (-len(signature) % 4))
    assert RSAVerifier.from_string(certificate).verify(f"{header}.{body}".encode(), raw)
    for payload in (
        {"exp": claims["exp"] + 60},
        {"exp": int(cloud.clock.now()) - 1},
        {"exp": "soon"},
        [],
    ):
        body = {"payload": json.dumps(payload)}
        assert admin.refusal("POST", f"{CREDENTIALS}:signJwt", body)[0] == 400
    assert admin.refusal("POST", f"{CREDENTIALS}:signJwt", {"payload": "{"})[0] == 400


SIGNING = (
    ("generateIdToken", {"audience": "a"}, "iam.serviceAccounts.getOpenIdToken"),
    ("signBlob", {"payload": "eA=="}, "iam.serviceAccounts.signBlob"),
    ("signJwt", {"payload": "{}"}, "iam.serviceAccounts.signJwt"),
    ("generateAccessToken", {"scope": [SCOPE]}, "iam.serviceAccounts.getAccessToken"),
)


@pytest.mark.parametrize(("verb", "body", "permission"), SIGNING)
def test_each_credential_has_its_own_permission(
    cloud: GoogleCloud, admin: Client, verb: str, body: dict[str, Any], permission: str
) -> None:
    status, message = admin.refusal("POST", f"{CREDENTIALS}:{verb}", body)
    assert status == 403
    assert f"'{permission}'" in message
    role = f"projects/{PROJECT}/roles/one"
    cloud[CustomRoles].seed(role, [permission])
    cloud[Iam].grant(WORKER_NAME, role, f"serviceAccount:{ADMIN}")
    admin.done("POST", f"{CREDENTIALS}:{verb}", body)


@pytest.mark.parametrize(("verb", "body", "permission"), SIGNING)
def test_delegates_are_followed_hop_by_hop(
    cloud: GoogleCloud, admin: Client, verb: str, body: dict[str, Any], permission: str
) -> None:
    middle = cloud[Accounts].create(PROJECT, "middle")
    body = {**body, "delegates": [f"projects/-/serviceAccounts/{middle.email}"]}
    cloud[Iam].grant(WORKER_NAME, CREATOR, f"serviceAccount:{middle.email}")
    status, message = admin.refusal("POST", f"{CREDENTIALS}:{verb}", body)
    assert (status, "iam.serviceAccounts.implicitDelegation" in message) == (403, True)
    cloud[Iam].grant(middle.name, CREATOR, f"serviceAccount:{ADMIN}")
    admin.done("POST", f"{CREDENTIALS}:{verb}", body)
    last = cloud[Audit].since(0)[-1]
    assert (last.principal, last.permission) == (f"serviceAccount:{middle.email}", permission)


@pytest.mark.parametrize(
    ("lifetime", "said"),
    [
        ("0s", "Lifetime of access token must be larger then zero."),
        ("3601s", "can not have lifetimes of more than 1 hour"),
    ],
)
def test_a_lifetime_out_of_bounds_is_refused(
    cloud: GoogleCloud, admin: Client, lifetime: str, said: str
) -> None:
    cloud[Iam].grant(WORKER_NAME, CREATOR, f"serviceAccount:{ADMIN}")
    body = {"scope": [SCOPE], "lifetime": lifetime}
    status, message = admin.refusal("POST", f"{CREDENTIALS}:generateAccessToken", body)
    assert status == 400
    assert said in message


def test_an_impersonated_token_has_the_scopes_it_was_asked_for(
    cloud: GoogleCloud, running: Running, admin: Client
) -> None:
    cloud[Iam].grant(WORKER_NAME, CREATOR, f"serviceAccount:{ADMIN}")
    scope = "https://www.googleapis.com/auth/devstorage.read_only"
    url = f"{CREDENTIALS}:generateAccessToken"
    token = admin.done("POST", url, {"scope": [scope]})["accessToken"]
    assert session(running, token).get(PROJECT_URL).status_code == 403
    token = admin.done("POST", url, {"scope": [""]})["accessToken"]
    assert session(running, token).get(PROJECT_URL).status_code == 200
