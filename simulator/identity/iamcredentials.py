"""IAM Credentials v1: short-lived credentials of service accounts, and their signatures."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any

from simulator.api.calls import Call, Methods, Service
from simulator.api.errors import failed_precondition, invalid, not_found
from simulator.api.honoured import Table
from simulator.core.cloud import Cloud
from simulator.core.principal import Principal
from simulator.iam.decisions import Iam
from simulator.identity.accounts import Account, Accounts, account_name
from simulator.identity.issuers import GOOGLE, Issuers
from simulator.identity.keys import Keys
from simulator.identity.tokens import CLOUD_PLATFORM, LIFETIME, Identity

method = Methods()

MAX_SIGNED_SECONDS = 12 * 3600
PREFIX = "iamcredentials.projects.serviceAccounts."


HONOURED = Table(
    "iamcredentials",
    {
        "GenerateAccessTokenRequest": "delegates lifetime scope",
        "GenerateIdTokenRequest": "audience delegates includeEmail organizationNumberIncluded",
        "SignBlobRequest": "delegates payload",
        "SignJwtRequest": "delegates payload",
    },
)


def _impersonated(call: Call, permission: str) -> Account:
    """The account that is asked for, if the caller may go there hop by hop.

    With `delegates`, each hop has its own caller and its own permission.
    """
    caller = call.principal
    for delegate in call.body.get("delegates", ()):
        email = delegate.rpartition("/")[2]
        account = call.cloud[Accounts].find(email)
        hop = account.name if account else f"projects/-/serviceAccounts/{email}"
        call.check("iam.serviceAccounts.implicitDelegation", hop, principal=caller)
        caller = Principal(f"serviceAccount:{email}")
    email = call.resource.rpartition("/")[2]
    account = call.cloud[Accounts].find(email)
    if account is None:
        raise not_found(f"Not found; Gaia id not found for email {email}")
    call.check(permission, call.resource, principal=caller)
    if account.disabled:
        # gcp-facts does not record Google's sentence for this.
        raise failed_precondition(f"Service account {email} is disabled.")
    return account


@method(f"{PREFIX}generateAccessToken", permission=None, on=account_name)
def generate_access_token(call: Call) -> dict[str, Any]:
    account = _impersonated(call, "iam.serviceAccounts.getAccessToken")
    scopes = call.body.get("scope")
    if not scopes:
        raise invalid("Request contains an invalid argument: scope is required.")
    # An empty one stands for all of the platform (measured on Google, 2026-09).
    scopes = [scope or CLOUD_PLATFORM for scope in scopes]
    token, expires = call.cloud[Identity].issue(
        Principal(f"serviceAccount:{account.email}"), _lifetime(call.body.get("lifetime")), scopes
    )
    clock = call.cloud.clock
    told = int(clock.moment_for_clients(expires))
    return {"accessToken": token, "expireTime": clock.rfc3339(told)}


def _lifetime(text: str | None) -> float:
    """The sentences are Google's (measured, 2026-09); how the second one begins is inferred."""
    try:
        seconds = float(text.removesuffix("s")) if text else LIFETIME
    except ValueError:
        raise invalid(f"Invalid value at 'lifetime' (3600s, for one), \"{text}\"") from None
    if seconds <= 0:
        raise invalid("Lifetime of access token must be larger then zero.")
    if seconds > LIFETIME:
        raise invalid(
            "Access tokens can not have lifetimes of more than 1 hour. Use the Org Policy "
            "Constraint constraints/iam.allowServiceAccountCredentialLifetimeExtension to allow up "
            "to 12 hours."
        )
    return seconds


@method(f"{PREFIX}generateIdToken", permission=None, on=account_name)
def generate_id_token(call: Call) -> dict[str, Any]:
    account, body = _impersonated(call, "iam.serviceAccounts.getOpenIdToken"), call.body
    if not body.get("audience"):
        raise invalid("Request contains an invalid argument: audience is required.")
    more: dict[str, Any] = {}
    if body.get("organizationNumberIncluded"):
        top = call.cloud[Iam].ancestors(account.name)[-1]
        number = int(top.partition("/")[2]) if top.startswith("organizations/") else None
        more["google"] = {"organization_number": number}
    email = bool(body.get("includeEmail"))
    return {"token": id_token(call.cloud, account, body["audience"], email=email, **more)}


def id_token(cloud: Cloud, account: Account, audience: str, *, email: bool, **more: Any) -> str:
    """An ID token that Google signs, good for an hour."""
    claims = {"azp": account.unique_id, **more}
    if email:
        claims |= {"email": account.email, "email_verified": True}
    return cloud[Issuers].mint(GOOGLE, account.unique_id, audience, claims, LIFETIME)


@method(f"{PREFIX}signBlob", permission=None, on=account_name)
def sign_blob(call: Call) -> dict[str, Any]:
    key = call.cloud[Keys].own(_impersonated(call, "iam.serviceAccounts.signBlob"))
    try:
        data = base64.b64decode(call.body.get("payload", ""), validate=True)
    except binascii.Error:
        raise invalid("Invalid value at 'payload' (TYPE_BYTES), Base64 decoding failed") from None
    return {"keyId": key.id, "signedBlob": base64.b64encode(key.sign_bytes(data)).decode()}


@method(f"{PREFIX}signJwt", permission=None, on=account_name)
def sign_jwt(call: Call) -> dict[str, Any]:
    """An `exp` is in the future and at most 12 hours away (documented; the sentences are not)."""
    key = call.cloud[Keys].own(_impersonated(call, "iam.serviceAccounts.signJwt"))
    try:
        claims = json.loads(call.body.get("payload", ""))
    except ValueError:
        claims = None
    if not isinstance(claims, dict):
        raise invalid("The payload must be a JSON object that contains a JWT Claims Set.")
    if "exp" in claims:
        expires, now = claims["exp"], call.cloud.clock.now()
        if not isinstance(expires, int) or not now < expires <= now + MAX_SIGNED_SECONDS:
            raise invalid("The exp claim must be at most 12 hours in the future, and not past.")
    return {"keyId": key.id, "signedJwt": key.sign(claims)}


# google-auth asks this of every account before its first call; "0x0" means everywhere.
@method(
    f"{PREFIX}getAllowedLocations",
    "iamcredentials.projects.locations.workloadIdentityPools.getAllowedLocations",
    "iamcredentials.locations.workforcePools.getAllowedLocations",
    permission=None,
)
def get_allowed_locations(call: Call) -> dict[str, Any]:
    return {"locations": [], "encodedLocations": "0x0"}


SERVICE = Service(None, method, HONOURED)
