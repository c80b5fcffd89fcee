"""Keys of service accounts, and what google-auth makes of them."""

from __future__ import annotations

import base64
from typing import Any

import google.auth.jwt
import google.oauth2.id_token
import google.oauth2.service_account
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_public_key, pkcs12
from google.auth.crypt import RSAVerifier
from google.auth.exceptions import RefreshError
from google.auth.transport.requests import AuthorizedSession, Request

from simulator.api.audit import Audit
from simulator.core.clock import nanoseconds
from simulator.google import GoogleCloud
from simulator.iam.decisions import Iam
from simulator.identity.accounts import Accounts
from simulator.identity.jwt import Key
from simulator.identity.keys import Keys
from simulator.serve.proxy import Running
from simulator.services.orgpolicy.state import EXPIRY, OrgPolicies, OrgPolicy
from tests.simulator.support.core import ADMIN, IAM, PROJECT, WORKER, WORKER_NAME, session
from tests.simulator.support.identity import PROJECT_URL, SCOPE, Client, credentials, key_file

KEYS = f"{IAM}/{WORKER_NAME}/keys"
TOKEN_URI = "https://oauth2.googleapis.com/token"


@pytest.fixture
def admin(cloud: GoogleCloud, running: Running) -> Client:
    cloud[Iam].grant(f"projects/{PROJECT}", "roles/viewer", f"serviceAccount:{WORKER}")
    return Client(cloud, running)


def refusal(file: dict[str, Any]) -> str:
    with pytest.raises(RefreshError) as caught:
        credentials(file).refresh(Request())
    return str(caught.value.args[0])


def test_a_created_key_signs_in_as_its_account(cloud: GoogleCloud, admin: Client) -> None:
    key = admin.done("POST", KEYS, {})
    file = key_file(key)
    assert (file["client_email"], file["token_uri"]) == (WORKER, TOKEN_URI)
    assert key["name"] == f"{WORKER_NAME}/keys/{file['private_key_id']}"
    assert (key["keyOrigin"], key["keyType"]) == ("GOOGLE_PROVIDED", "USER_MANAGED")
    assert (key["keyAlgorithm"], key["validBeforeTime"]) == (
        "KEY_ALG_RSA_2048",
        "9999-12-31T23:59:59Z",
    )
    assert AuthorizedSession(credentials(file)).get(PROJECT_URL).status_code == 200
    assert cloud[Audit].since(0)[-1].principal == f"serviceAccount:{WORKER}"


def test_a_self_signed_token_is_a_bearer_of_its_service_only(
    cloud: GoogleCloud, running: Running, admin: Client
) -> None:
    account: Any = google.oauth2.service_account.Credentials
    source = account.from_service_account_info(key_file(admin.done("POST", KEYS, {})))
    for audience, status in (
        ("https://cloudresourcemanager.googleapis.com/", 200),
        ("https://iam.googleapis.com/", 401),
    ):
        own = source.with_always_use_jwt_access(True)
        own._create_self_signed_jwt(audience)
        assert AuthorizedSession(own).get(PROJECT_URL).status_code == status
    scoped = source.with_scopes([SCOPE]).with_always_use_jwt_access(True)
    scoped._create_self_signed_jwt(None)
    assert AuthorizedSession(scoped).get(PROJECT_URL).status_code == 200
    token = scoped.token
    cloud.clock.step(3700)
    assert session(running, token).get(PROJECT_URL).status_code == 401


@pytest.mark.parametrize(
    ("kind", "read"),
    [
        ("TYPE_X509_PEM_FILE", lambda data: x509.load_pem_x509_certificate(data).public_key()),
        ("TYPE_RAW_PUBLIC_KEY", load_pem_public_key),
    ],
)
def test_the_public_key_can_be_had_later_the_private_one_cannot(
    admin: Client, kind: str, read: Any
) -> None:
    key = admin.done("POST", KEYS, {})
    signer = credentials(key_file(key)).signer
    url = f"{IAM}/{key['name']}"
    shown = admin.done("GET", url, publicKeyType=kind)
    assert RSAVerifier(read(base64.b64decode(shown["publicKeyData"]))).verify(
        b"data", signer.sign(b"data")
    )
    assert "publicKeyData" not in admin.done("GET", url)
    assert not {"privateKeyData", "privateKeyType"} & shown.keys()


def test_a_pkcs12_file_opens_with_the_documented_password(admin: Client) -> None:
    key = admin.done("POST", KEYS, {"privateKeyType": "TYPE_PKCS12_FILE"})
    data = base64.b64decode(key["privateKeyData"])
    private, certificate, _ = pkcs12.load_key_and_certificates(data, b"notasecret")
    assert isinstance(private, rsa.RSAPrivateKey)
    assert certificate is not None
    assert certificate.public_key() == private.public_key()


def test_lists_tell_googles_own_key_from_the_users(admin: Client) -> None:
    key = admin.done("POST", KEYS, {})
    of_user = admin.done("GET", KEYS, keyTypes="USER_MANAGED")["keys"]
    assert [item["name"] for item in of_user] == [key["name"]]
    [own] = admin.done("GET", KEYS, keyTypes="SYSTEM_MANAGED")["keys"]
    assert len(admin.done("GET", KEYS)["keys"]) == 2
    assert admin.refusal("DELETE", f"{IAM}/{own['name']}")[0] == 400


def test_an_account_has_ten_keys_at_most(cloud: GoogleCloud, admin: Client) -> None:
    worker = cloud[Accounts].find(WORKER)
    assert worker is not None
    for _ in range(10):
        key, _ = cloud[Keys].create(worker)
    assert admin.refusal("POST", KEYS, {}) == (400, "Precondition check failed.")
    admin.done("DELETE", f"{KEYS}/{key.id}")
    admin.done("POST", KEYS, {})


def test_a_key_that_is_disabled_or_deleted_signs_in_no_more(
    cloud: GoogleCloud, admin: Client
) -> None:
    key = admin.done("POST", KEYS, {})
    file, url = key_file(key), f"{IAM}/{key['name']}"
    admin.done("POST", f"{url}:disable", {})
    assert admin.done("GET", url)["disabled"] is True
    assert refusal(file) == "invalid_grant: Invalid JWT Signature."
    admin.done("POST", f"{url}:enable", {})
    credentials(file).refresh(Request())
    admin.done("DELETE", url)
    assert refusal(file) == "invalid_grant: Invalid JWT Signature."
    assert admin.refusal("GET", url)[0] == 404


def test_a_key_expires_where_an_organisation_policy_says_so(
    cloud: GoogleCloud, admin: Client
) -> None:
    lasting = key_file(admin.done("POST", KEYS, {}))
    policy = f"projects/{PROJECT}/policies/{EXPIRY}"
    spec = {"rules": [{"values": {"allowedValues": ["8h"]}}]}
    cloud[OrgPolicies].save(OrgPolicy(policy, {"spec": spec}))
    cloud.clock.step(60)
    key = admin.done("POST", KEYS, {})
    begins, ends = (nanoseconds(key[name]) for name in ("validAfterTime", "validBeforeTime"))
    assert ends - begins == 8 * 3600 * 10**9
    credentials(key_file(key)).refresh(Request())
    cloud.clock.step(8 * 3600)
    # That the assertion is of another day as well is seen after its signature.
    assert refusal(key_file(key)) == "invalid_grant: Invalid JWT Signature."
    assert refusal(lasting).startswith("invalid_grant: Invalid JWT: Token must be a short-lived")


def test_a_key_of_an_account_that_is_gone_or_disabled_signs_in_no_more(
    cloud: GoogleCloud, admin: Client
) -> None:
    file = key_file(admin.done("POST", KEYS, {}))
    admin.done("POST", f"{IAM}/{WORKER_NAME}:disable", {})
    assert refusal(file).startswith("invalid_grant")
    admin.done("POST", f"{IAM}/{WORKER_NAME}:enable", {})
    worker = cloud[Accounts].find(WORKER)
    assert worker is not None
    admin.done("DELETE", f"{IAM}/{WORKER_NAME}")
    assert refusal(file) == "invalid_grant: Invalid grant: account not found"
    # An account that is made again under the same name is another one; undeleted, it is the same.
    again = cloud[Accounts].create(PROJECT, "worker")
    assert refusal(file) == "invalid_grant: Invalid JWT Signature."
    cloud[Accounts].delete(again)
    cloud[Accounts].undelete(worker.unique_id)
    credentials(file).refresh(Request())


def test_a_key_that_google_does_not_know_signs_in_nobody(admin: Client) -> None:
    file = key_file(admin.done("POST", KEYS, {}))
    other = key_file(admin.done("POST", KEYS.replace(WORKER, ADMIN), {}))
    said = "invalid_grant: Invalid JWT Signature."
    assert refusal({**file, "private_key": other["private_key"]}) == said
    assert refusal({**other, "client_email": WORKER}) == said
    nobody = {**file, "client_email": f"nobody@{PROJECT}.iam.gserviceaccount.com"}
    assert refusal(nobody) == "invalid_grant: Invalid grant: account not found"


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"iat": -7300, "exp": -3700}, "invalid_grant", "Token must be a short-lived token (60"),
        ({"exp": 3700}, "invalid_grant", "Token must be a short-lived token (60 minutes)"),
        ({"iat": 600, "exp": 700}, "invalid_grant", "Token must be a short-lived token (60"),
        ({"aud": "https://iam.googleapis.com/"}, "invalid_grant", "Failed audience check."),
        ({"scope": ""}, "invalid_scope", "Invalid OAuth scope or ID token audience provided."),
        ({"sub": "ann@example.com"}, "unauthorized_client", "Client is unauthorized"),
    ],
)
def test_an_assertion_that_is_no_good_has_oauths_error(
    cloud: GoogleCloud,
    running: Running,
    admin: Client,
    change: dict[str, Any],
    error: str,
    said: str,
) -> None:
    signer, now = credentials(key_file(admin.done("POST", KEYS, {}))).signer, cloud.clock.now()
    claims = {"iss": WORKER, "aud": TOKEN_URI, "scope": SCOPE, "iat": 0, "exp": 3600, **change}
    for name in ("iat", "exp"):
        claims[name] += int(now)
    form = {
        "grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer",
        "assertion": google.auth.jwt.encode(signer, claims).decode(),
    }
    answer = session(running).post(TOKEN_URI, data=form)
    assert (answer.status_code, answer.json()["error"]) == (400, error)
    assert said in answer.json()["error_description"]


def test_a_tokens_scopes_limit_it(admin: Client) -> None:
    account: Any = google.oauth2.service_account.Credentials
    file = key_file(admin.done("POST", KEYS, {}))
    scope = "https://www.googleapis.com/auth/pubsub"
    narrow = account.from_service_account_info(file, scopes=[scope])
    answer = AuthorizedSession(narrow).get(PROJECT_URL).json()["error"]
    assert answer["details"][0]["reason"] == "ACCESS_TOKEN_SCOPE_INSUFFICIENT"
    read_only = "https://www.googleapis.com/auth/cloud-platform.read-only"
    reader = account.from_service_account_info(file, scopes=[read_only])
    assert AuthorizedSession(reader).get(PROJECT_URL).status_code == 200


def test_an_uploaded_certificate_signs_in(admin: Client) -> None:
    pair = Key()
    pem = pair.certificate("mine", 0).public_bytes(Encoding.PEM)
    body = {"publicKeyData": base64.b64encode(pem).decode()}
    key = admin.done("POST", f"{KEYS}:upload", body)
    assert key["keyOrigin"] == "USER_PROVIDED"
    file = key_file(admin.done("POST", KEYS.replace(WORKER, ADMIN), {}))
    private = file | {
        "private_key": pair.pair.as_pem(private=True).decode(),
        "private_key_id": key["name"].rpartition("/")[2],
        "client_email": WORKER,
    }
    own = credentials(private)
    assert AuthorizedSession(own).get(PROJECT_URL).status_code == 200
    nonsense = {"publicKeyData": base64.b64encode(b"x").decode()}
    assert admin.refusal("POST", f"{KEYS}:upload", nonsense)[0] == 400


def test_keys_are_for_who_may_administer_them(
    cloud: GoogleCloud, running: Running, admin: Client
) -> None:
    key = admin.done("POST", KEYS, {})
    worker = Client(cloud, running, WORKER)
    for verb, url, permission in (
        ("POST", KEYS, "create"),
        ("DELETE", f"{IAM}/{key['name']}", "delete"),
        ("POST", f"{IAM}/{key['name']}:disable", "disable"),
    ):
        status, message = worker.refusal(verb, url, {} if verb == "POST" else None)
        assert status == 403
        # everycure-org/matrix#75
        denied = f"Permission 'iam.serviceAccountKeys.{permission}' denied on resource"
        assert message == f"{denied} (or it may not exist)."
