"""Google's sign-in services: tokens for people, accounts, federated identities; public keys."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import unquote

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from simulator.api.calls import Call, Methods, Reply, Result, Service
from simulator.api.errors import invalid, not_found, unauthenticated, unimplemented
from simulator.api.honoured import Table
from simulator.core.principal import Principal
from simulator.identity import federation
from simulator.identity.accounts import Accounts
from simulator.identity.iamcredentials import id_token
from simulator.identity.issuers import GOOGLE, Issuers
from simulator.identity.jwt import jwk, read
from simulator.identity.keys import Keys, in_time
from simulator.identity.tokens import LIFETIME, SCOPES, Identity, Token

method = Methods()

EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
TYPE = "urn:ietf:params:oauth:token-type:"
SUBJECT_TYPES = (f"{TYPE}jwt", f"{TYPE}id_token")
TOKEN_URI = "https://oauth2.googleapis.com/token"
AUDIENCES = (
    TOKEN_URI,
    "https://www.googleapis.com/oauth2/v4/token",
    "https://accounts.google.com/o/oauth2/token",
)
NOT_IN_TIME = (
    "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. "
    "Check your iat and exp values in the JWT claim."
)

STS = Table(
    "sts",
    {
        "ExchangeTokenRequest": "audience grantType options requestedTokenType scope subjectToken "
        "subjectTokenType"
    },
)
OAUTH2 = Table(
    "oauth2",
    ignored={
        "pp": "layout",
        "userip": "rate limits are not told apart by user",
    },
)


def _refused(error: str, description: str) -> Reply:
    """An OAuth error (RFC 6749, section 5.2), which is not Google's usual shape."""
    return Reply({"error": error, "error_description": description}, status=400)


# This is where callers without an access token get one.
@method("oauth.token", permission=None, authenticated=False)
def token(call: Call) -> Result:
    grant = call.body.get("grant_type")
    if grant == JWT_BEARER:
        return _for_an_assertion(call)
    if grant != "refresh_token":
        return _refused("unsupported_grant_type", f"Invalid grant_type: {grant}")
    principal = call.cloud[Identity].refreshed(call.body.get("refresh_token", ""))
    if principal is None:
        return _refused("invalid_grant", "Bad Request")
    value, _ = call.cloud[Identity].issue(principal)
    return _bearer(call, value) | {"scope": " ".join(sorted(SCOPES))}


def _bearer(call: Call, value: str, seconds: float = LIFETIME) -> dict[str, Any]:
    left = int(call.cloud.clock.for_clients(seconds))
    return {"access_token": value, "expires_in": left, "token_type": "Bearer"}


def _for_an_assertion(call: Call) -> Result:
    """A token for the account that signed the assertion (RFC 7523).

    The sentences are those that users of Google's clients report; that of a disabled account is
    inferred.
    """
    cloud = call.cloud
    try:
        assertion = read(call.body.get("assertion", ""))
    except ValueError:
        return _refused("invalid_grant", "Invalid JWT: Failed to parse.")
    claims = assertion.claims
    account = cloud[Accounts].find(str(claims.get("iss", "")))
    if account is None:
        return _refused("invalid_grant", "Invalid grant: account not found")
    if account.disabled:
        return _refused("invalid_grant", "Invalid grant: account is disabled")
    if not cloud[Keys].verified(assertion, account):
        return _refused("invalid_grant", "Invalid JWT Signature.")
    if claims.get("aud") not in AUDIENCES:
        said = f"Invalid JWT: Failed audience check. The right audience is {TOKEN_URI}"
        return _refused("invalid_grant", said)
    if not in_time(assertion, cloud.clock.now()):
        return _refused("invalid_grant", NOT_IN_TIME)
    if claims.get("sub", account.email) not in (account.email, account.unique_id):
        # Nobody delegates a domain to an account here.
        return _refused(
            "unauthorized_client",
            "Client is unauthorized to retrieve access tokens using this method, or client not "
            "authorized for any of the scopes requested.",
        )
    if audience := claims.get("target_audience"):
        return {"id_token": id_token(cloud, account, str(audience), email=True)}
    scopes = str(claims.get("scope", "")).split()
    if not scopes:
        return _refused("invalid_scope", "Invalid OAuth scope or ID token audience provided.")
    value, _ = cloud[Identity].issue(Principal(f"serviceAccount:{account.email}"), scopes=scopes)
    return _bearer(call, value)


# The subject token is the credential.
@method("sts.token", permission=None, authenticated=False)
def exchange(call: Call) -> Result:
    """Errors for a wrong type and a missing scope are inferred."""
    body = call.body
    if body.get("grantType") != EXCHANGE:
        return _refused("unsupported_grant_type", f"Invalid grant_type: expected {EXCHANGE}")
    audience = body.get("audience", "")
    try:
        provider = federation.target(call.cloud, audience)
        for source in ("aws", "saml", "x509"):
            if source in provider.fields:
                raise unimplemented(f"sts.token for credentials of kind {source}")
        _check_type(body, "requestedTokenType", (f"{TYPE}access_token",))
        _check_type(body, "subjectTokenType", SUBJECT_TYPES)
        scopes = body.get("scope", "").split()
        if not scopes:
            said = "A scope is required to exchange an external credential."
            raise federation.Refused("invalid_scope", said)
        user_project = _user_project(body.get("options", ""))
        found = federation.federate(
            call.cloud, audience, body.get("subjectToken", ""), user_project
        )
    except federation.Refused as refused:
        return _refused(refused.error, refused.description)
    value, _ = call.cloud[Identity].issue(found.principal, found.seconds, scopes, found.pool)
    return _bearer(call, value, found.seconds) | {"issued_token_type": f"{TYPE}access_token"}


def _check_type(body: dict[str, Any], name: str, known: tuple[str, ...]) -> None:
    if body.get(name) not in known:
        said = f"{name} is {body.get(name)}; simulated: {', '.join(known)}"
        raise federation.Refused("invalid_request", said)


def _user_project(options: str) -> str:
    """Of the options that a token is asked for with; others of them are not simulated.

    They are a JSON object (STS v1 discovery document), which Google's clients quote like a URL.
    """
    try:
        given = json.loads(unquote(options)) if options else {}
    except ValueError:
        given = None
    if not isinstance(given, dict):
        raise invalid(f"Invalid value at 'options', \"{options}\"")
    for name in given.keys() - {"userProject"}:
        raise unimplemented(f"the option {name} of sts.token")
    return str(given.get("userProject", ""))


# What gcloud asks of a token that it has from a credential file. It names its client, which is not
# checked here. Fields: the STS v1 reference; `iat`, `iss` and `sub` are left out, their values are
# not known.
@method("oauth.introspect", permission=None, authenticated=False)
def introspect(call: Call) -> dict[str, Any]:
    found = call.cloud[Identity].lookup(call.body.get("token", ""))
    if found is None or not found.pool:
        return {"active": False}
    clock = call.cloud.clock
    return {
        "active": True,
        "exp": str(int(clock.moment_for_clients(found.expires))),
        "scope": " ".join(sorted(found.scopes)),
        "username": found.principal.member,
    }


# What a token says about its own bearer.
@method("oauth.userinfo", "oauth2.userinfo.get", "oauth2.userinfo.v2.me.get", permission=None)
def userinfo(call: Call) -> dict[str, Any]:
    """Nothing about federated identities, who have no Google account (inferred from tokeninfo)."""
    if call.principal.member.startswith("principal:"):
        raise unauthenticated()
    return _claims(call)


@method(
    "oauth.tokeninfo",
    "oauth2.tokeninfo",
    permission=None,
    authenticated=False,
    reads="access_token",
)
def tokeninfo(call: Call) -> Result:
    """Knows no federated tokens, as measured on Google (2026-09)."""
    value = call.params.get("access_token", "")
    found: Token | None = call.cloud[Identity].lookup(value)
    if found is None or found.pool:
        return _refused("invalid_token", "Invalid Value")
    clock = call.cloud.clock
    left = int(clock.for_clients(found.expires - clock.now()))
    call.principal = found.principal
    shown = {"expires_in": str(left), "scope": " ".join(sorted(found.scopes))}
    return _claims(call) | shown | {"access_type": "offline"}


def _claims(call: Call) -> dict[str, Any]:
    account = call.cloud[Accounts].find(call.principal.email)
    subject = account.unique_id if account else call.principal.member
    return {"sub": subject, "email": call.principal.email, "email_verified": True}


# Public keys, by which anyone can verify what Google or an account signed.
@method("oauth.certificates", permission=None, authenticated=False)
def certificates(call: Call) -> dict[str, Any]:
    key = call.cloud[Issuers].key(GOOGLE)
    return {key.id: _pem(key.certificate("federated-signon.system.gserviceaccount.com", 0))}


@method("oauth.jwks", permission=None, authenticated=False)
def jwks(call: Call) -> dict[str, Any]:
    return call.cloud[Issuers].key(GOOGLE).jwks()


@method("oauth.account.certificates", permission=None, authenticated=False)
def account_certificates(call: Call) -> dict[str, Any]:
    return {id: _pem(key.certificate) for id, key in _keys(call).items()}


@method("oauth.account.jwks", permission=None, authenticated=False)
def account_jwks(call: Call) -> dict[str, Any]:
    return {"keys": [jwk(key.public, id) for id, key in _keys(call).items()]}


def _keys(call: Call) -> dict[str, Any]:
    account = call.cloud[Accounts].find(call.params["account"])
    if account is None:
        raise not_found("Unknown service account")
    call.cloud[Keys].own(account)
    return {id: key for id, key in call.cloud[Keys].of(account).items() if not key.disabled}


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(Encoding.PEM).decode()


SERVICE = Service(None, method, STS, OAUTH2)
