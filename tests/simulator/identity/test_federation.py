"""In from outside with unmodified google-auth: an OIDC token becomes access, or says why not."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
import requests

from simulator.google import GoogleCloud
from simulator.iam.decisions import Iam
from simulator.identity.issuers import GITHUB, Issuers
from simulator.identity.jwt import Key
from simulator.serve.proxy import Running
from tests.simulator.support.core import PROJECT, session
from tests.simulator.support.identity import (
    AUDIENCE,
    OF_REPOSITORY,
    POOL,
    PRINCIPALS,
    PROJECT_URL,
    PROVIDER,
    SCOPE,
    SUBJECT,
    Client,
    exchange,
    federated,
    github_token,
    refusal,
)

ISSUER = "https://issuer.example.com"
PROPAGATION = 60
NO_TARGET = "invalid_target"


@pytest.mark.parametrize(
    ("claims", "said"),
    [
        (
            {"repository_id": "9"},
            "unauthorized_client: The given credential is rejected by the attribute condition.",
        ),
        (
            {"audience": "https://github.com/acme"},
            "invalid_grant: The audience in ID Token [https://github.com/acme] does not match the "
            "expected audience.",
        ),
        (
            {"iss": "https://evil.example.com"},
            "invalid_grant: The issuer in ID Token https://evil.example.com does not match the "
            f"expected one in config: {GITHUB}.",
        ),
        (
            {"sub": "x" * 128},
            "invalid_request: The size of mapped attribute google.subject exceeds the 127 bytes "
            "limit.",
        ),
        ({"repository": "x" * 9000}, "invalid_request: The size of all mapped attributes exceeds"),
        (
            {"sub": ""},
            "unauthorized_client: Could not obtain a value for google.subject from the given "
            "credential.",
        ),
    ],
)
def test_a_token_with_the_wrong_claims_is_refused(
    cloud: GoogleCloud, federation: Client, tmp_path: Path, claims: dict[str, Any], said: str
) -> None:
    assert refusal(cloud, tmp_path, github_token(cloud, **claims)).startswith(said)


SUB = "assertion.sub"


@pytest.mark.parametrize(
    ("mapping", "said"),
    [
        # google-github-actions/auth#378 has this mapping, and Google's answer.
        (
            {"google.subject": "assertion.sub=='repo:octo-org/octo-repo:ref:refs/heads/demo'"},
            "unauthorized_client: The mapped attribute 'google.subject' must be of type STRING.",
        ),
        ({"google.subject": "assertion.exp"}, "'google.subject' must be of type STRING."),
        ({"google.subject": "[assertion.sub]"}, "'google.subject' must be of type STRING."),
        ({"google.subject": SUB, "attribute.at": "assertion.iat"}, "'attribute.at' must be of"),
        ({"google.subject": SUB, "google.groups": "true"}, "'google.groups' must be of type LIST."),
        ({"google.subject": SUB, "google.groups": "[1]"}, "'google.groups' must be of type LIST."),
        ({"google.subject": SUB, "google.groups": "['a', 'b']"}, ""),
        ({"google.subject": SUB, "google.groups": "'a'", "attribute.x": "string(1)"}, ""),
    ],
)
def test_what_is_mapped_has_to_be_text(
    cloud: GoogleCloud, federation: Client, tmp_path: Path, mapping: dict[str, str], said: str
) -> None:
    change = {"attributeMapping": mapping}
    federation.done("PATCH", PROVIDER, change, updateMask="attributeMapping")
    if said:
        assert said in refusal(cloud, tmp_path, github_token(cloud))
        return
    of_group = f"principalSet:{PRINCIPALS}/group/a"
    cloud[Iam].grant(f"projects/{PROJECT}", "roles/viewer", of_group)
    assert federated(tmp_path, github_token(cloud)).get(PROJECT_URL).status_code == 200


@pytest.mark.parametrize(
    ("claims", "accepted"),
    [
        ({"iat": 50}, True),
        ({"iat": 70}, False),
        ({"iat": -24 * 3600 + 30}, True),
        ({"iat": -24 * 3600 - 30}, False),
        ({"exp": -50}, True),
        ({"exp": -70}, False),
        ({"nbf": 70}, False),
        ({"iat": None}, False),
        ({"exp": None}, False),
    ],
)
def test_times_are_checked_with_a_minute_to_spare(
    cloud: GoogleCloud,
    federation: Client,
    tmp_path: Path,
    claims: dict[str, int | None],
    accepted: bool,
) -> None:
    cloud[Iam].grant(f"projects/{PROJECT}", "roles/viewer", OF_REPOSITORY)
    now = int(cloud.clock.now())
    times = {name: None if value is None else now + value for name, value in claims.items()}
    token = github_token(cloud, **times)
    if accepted:
        assert "access_token" in exchange(federation, token)
        return
    shown = "null" if "iat" in claims and claims["iat"] is None else times.get("iat", now)
    said = f"invalid_grant: ID Token issued at {shown} is stale to sign-in."
    assert refusal(cloud, tmp_path, token) == said


@pytest.mark.parametrize(("lifetime", "seconds"), [(300, 300), (7200, 3600)])
def test_a_federated_token_lives_no_longer_than_its_source_or_an_hour(
    cloud: GoogleCloud, federation: Client, lifetime: int, seconds: int
) -> None:
    answer = exchange(federation, github_token(cloud, lifetime=lifetime))
    assert seconds - 5 < answer["expires_in"] <= seconds
    client = session(federation.running, answer["access_token"])
    assert client.get(PROJECT_URL).status_code == 403
    cloud.clock.step(seconds)
    expired = client.get(PROJECT_URL)
    assert expired.status_code == 401
    assert expired.json()["error"]["details"][0]["reason"] == "ACCESS_TOKEN_EXPIRED"


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"audience": AUDIENCE.partition("/providers/")[0]}, "invalid_request"),
        ({"audience": AUDIENCE.replace("/github/", "/unknown/")}, NO_TARGET),
        ({"audience": AUDIENCE + "-2"}, NO_TARGET),
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"subject_token_type": "urn:ietf:params:oauth:token-type:saml2"}, "invalid_request"),
        ({"scope": ""}, "invalid_scope"),
        ({"subject_token": "not.a.token"}, "invalid_grant"),
        ({"subject_token": "opaque"}, "invalid_grant"),
    ],
)
def test_a_request_that_is_no_good_has_oauths_error(
    cloud: GoogleCloud, federation: Client, change: dict[str, str], error: str
) -> None:
    assert exchange(federation, github_token(cloud), **change)["error"] == error


def test_a_token_somebody_else_signed_is_refused(
    cloud: GoogleCloud, federation: Client, tmp_path: Path
) -> None:
    header, claims, _ = github_token(cloud).split(".")
    foreign = Key().sign_bytes(f"{header}.{claims}".encode())
    signature = base64.urlsafe_b64encode(foreign).decode().rstrip("=")
    said = refusal(cloud, tmp_path, f"{header}.{claims}.{signature}")
    assert said == "invalid_grant: Unable to verify the ID Token signature."


def test_claims_that_were_changed_after_signing_are_refused(
    cloud: GoogleCloud, federation: Client, tmp_path: Path
) -> None:
    header, _, signature = github_token(cloud).split(".")
    _, claims, _ = github_token(cloud, repository="acme/other").split(".")
    said = refusal(cloud, tmp_path, f"{header}.{claims}.{signature}")
    assert said == "invalid_grant: Unable to verify the ID Token signature."


@pytest.mark.parametrize("elliptic", [False, True])
def test_a_providers_own_keys_verify_its_tokens(
    cloud: GoogleCloud, federation: Client, tmp_path: Path, elliptic: bool
) -> None:
    key, foreign = Key(elliptic=elliptic), Key(elliptic=elliptic)
    body = {
        "attributeMapping": {"google.subject": "assertion.sub"},
        "oidc": {
            "issuerUri": ISSUER,
            "jwksJson": json.dumps(key.jwks()),
            "allowedAudiences": ["iot"],
        },
    }
    federation.done("POST", f"{POOL}/providers", body, workloadIdentityPoolProviderId="own-keys")
    cloud.clock.step(PROPAGATION)
    cloud[Iam].grant(f"projects/{PROJECT}", "roles/viewer", f"principal:{PRINCIPALS}/subject/dev")
    now = int(cloud.clock.now())
    claims = {"iss": ISSUER, "sub": "dev", "aud": ["iot"], "iat": now, "exp": now + 60}
    audience = AUDIENCE.replace("/actions", "/own-keys")
    session = federated(tmp_path, key.sign(claims), audience=audience)
    assert session.get(PROJECT_URL).status_code == 200
    said = refusal(cloud, tmp_path, foreign.sign(claims), audience=audience)
    assert said == "invalid_grant: Error connecting to the given credential's issuer."
    # With a list of audiences, the provider's own name is none of them.
    said = refusal(cloud, tmp_path, key.sign({**claims, "aud": audience}), audience=audience)
    assert said.startswith("invalid_grant: The audience in ID Token")


def test_an_issuer_that_is_not_played_cannot_be_reached(
    cloud: GoogleCloud, federation: Client, tmp_path: Path
) -> None:
    change = {"oidc": {"issuerUri": ISSUER}}
    federation.done("PATCH", PROVIDER, change, updateMask="oidc")
    token = github_token(cloud, iss=ISSUER)
    said = "invalid_grant: Error connecting to the given credential's issuer."
    assert refusal(cloud, tmp_path, token) == said
    cloud[Issuers].add(ISSUER)
    token = cloud[Issuers].mint(ISSUER, "s", f"https:{AUDIENCE}", {"repository_id": "4711"})
    assert "access_token" in exchange(federation, token)


def test_a_new_provider_is_not_known_at_once(cloud: GoogleCloud, running: Running) -> None:
    client = Client(cloud, running)
    client.federate()
    assert exchange(client, github_token(cloud))["error"] == NO_TARGET
    cloud.clock.step(PROPAGATION)
    assert "access_token" in exchange(client, github_token(cloud))


@pytest.mark.parametrize("url", [POOL, PROVIDER])
@pytest.mark.parametrize("how", ["disabled", "deleted"])
def test_a_pool_or_provider_out_of_service_takes_no_tokens(
    cloud: GoogleCloud, federation: Client, tmp_path: Path, url: str, how: str
) -> None:
    cloud[Iam].grant(f"projects/{PROJECT}", "roles/viewer", OF_REPOSITORY)
    before = federated(tmp_path, github_token(cloud))
    assert before.get(PROJECT_URL).status_code == 200
    if how == "disabled":
        federation.done("PATCH", url, {"disabled": True}, updateMask="disabled")
    else:
        federation.done("DELETE", url)
    said = refusal(cloud, tmp_path, github_token(cloud))
    assert said.startswith('invalid_target: The target service indicated by the "audience"')
    # What was issued before is worth nothing while the pool is out, and still good otherwise.
    held = session(federation.running, before.credentials.token)
    assert held.get(PROJECT_URL).status_code == (401 if url == POOL else 200)
    if how == "disabled":
        federation.done("PATCH", url, {"disabled": False}, updateMask="disabled")
    else:
        federation.done("POST", f"{url}:undelete", {})
    assert held.get(PROJECT_URL).status_code == 200
    assert federated(tmp_path, github_token(cloud)).get(PROJECT_URL).status_code == 200


def test_a_token_is_good_for_its_scopes_only(cloud: GoogleCloud, federation: Client) -> None:
    cloud[Iam].grant(f"projects/{PROJECT}", "roles/viewer", OF_REPOSITORY)
    scope = "https://www.googleapis.com/auth/devstorage.read_only"
    answer = exchange(federation, github_token(cloud), scope=scope)
    error = session(federation.running, answer["access_token"]).get(PROJECT_URL).json()["error"]
    assert (error["code"], error["status"]) == (403, "PERMISSION_DENIED")
    assert error["message"] == "Request had insufficient authentication scopes."
    [info] = error["details"]
    assert (info["reason"], info["domain"]) == ("ACCESS_TOKEN_SCOPE_INSUFFICIENT", "googleapis.com")
    assert info["metadata"] == {
        "service": "cloudresourcemanager.googleapis.com",
        "method": "cloudresourcemanager.projects.get",
    }


def test_googles_sign_in_knows_no_federated_identity(
    cloud: GoogleCloud, federation: Client
) -> None:
    token = exchange(federation, github_token(cloud))["access_token"]
    plain = session(federation.running)
    url = "https://oauth2.googleapis.com/tokeninfo"
    assert plain.get(url, params={"access_token": token}).json()["error"] == "invalid_token"
    url = "https://openidconnect.googleapis.com/v1/userinfo"
    assert session(federation.running, token).get(url).status_code == 401


def test_a_federated_token_can_be_looked_into_while_it_lives(
    cloud: GoogleCloud, federation: Client
) -> None:
    """What `gcloud auth login --cred-file` asks, by its own form of request."""
    url = "https://sts.googleapis.com/v1/introspect"
    token = exchange(federation, github_token(cloud))["access_token"]
    hint = "urn:ietf:params:oauth:token-type:access_token"
    form = {"token": token, "token_type_hint": hint}
    shown = requests.post(url, data=form, auth=("client", "secret")).json()
    assert (shown["active"], shown["scope"]) == (True, SCOPE)
    assert shown["username"] == f"principal:{PRINCIPALS}/subject/{SUBJECT}"
    assert 0 < int(shown["exp"]) - cloud.clock.now() <= 300
    cloud.clock.step(300)
    for gone in (form, {"token": "nonsense"}):
        assert requests.post(url, data=gone).json() == {"active": False}
