"""Google's sign-in services: tokens for people and federated identities, and who a token is."""

from __future__ import annotations

from typing import Any

from rehearsal.cloud.api import Call, Reply, Result, method
from rehearsal.cloud.identity import LIFETIME, Token

EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"


def _refused(error: str, description: str) -> Reply:
    """An OAuth error (RFC 6749, section 5.2), which is not Google's usual shape."""
    return Reply({"error": error, "error_description": description}, status=400)


# This is where callers without an access token get one.
@method("oauth.token", permission=None, authenticated=False)
def token(call: Call) -> Result:
    grant = call.body.get("grant_type")
    if grant != "refresh_token":
        return _refused("unsupported_grant_type", f"Invalid grant_type: {grant}")
    principal = call.cloud.identity.refreshed(call.body.get("refresh_token", ""))
    if principal is None:
        return _refused("invalid_grant", "Bad Request")
    value, _ = call.cloud.identity.issue(principal)
    return {
        "access_token": value,
        "expires_in": int(call.cloud.clock.for_clients(LIFETIME)),
        "token_type": "Bearer",
        "scope": "https://www.googleapis.com/auth/cloud-platform openid "
        "https://www.googleapis.com/auth/userinfo.email",
    }


# The subject token is the credential.
@method("sts.token", permission=None, authenticated=False)
def exchange(call: Call) -> Result:
    if call.body.get("grantType") != EXCHANGE:
        return _refused("unsupported_grant_type", f"Invalid grant_type: expected {EXCHANGE}")
    principal = call.cloud.identity.exchanged(call.body.get("subjectToken", ""))
    if principal is None:
        return _refused("invalid_grant", "The subject token is not one this sandbox issued.")
    value, _ = call.cloud.identity.issue(principal)
    return {
        "access_token": value,
        "expires_in": int(call.cloud.clock.for_clients(LIFETIME)),
        "token_type": "Bearer",
        "issued_token_type": ACCESS_TOKEN,
    }


# What a token says about its own bearer.
@method("oauth.userinfo", "oauth2.userinfo.get", "oauth2.userinfo.v2.me.get", permission=None)
def userinfo(call: Call) -> dict[str, Any]:
    return _claims(call)


@method("oauth.tokeninfo", "oauth2.tokeninfo", permission=None, authenticated=False)
def tokeninfo(call: Call) -> Result:
    value = call.params.get("access_token", "")
    found: Token | None = call.cloud.identity.lookup(value)
    if found is None:
        return _refused("invalid_token", "Invalid Value")
    clock = call.cloud.clock
    left = int(clock.for_clients(found.expires - clock.now()))
    call.principal = found.principal
    return _claims(call) | {"expires_in": str(left), "access_type": "offline"}


def _claims(call: Call) -> dict[str, Any]:
    account = call.cloud.accounts.find(call.principal.email)
    subject = account.unique_id if account else call.principal.member
    return {"sub": subject, "email": call.principal.email, "email_verified": True}
