"""From an external credential to a federated principal: what Google's token service checks.

Sources: the STS v1 discovery document (fields of a token, formats of an audience), and for the
errors what users of google-github-actions/auth report (issues 17, 60, 161, 202, 211 and its
TROUBLESHOOTING.md) and measurements that were published in 2026-09: 60 s of leeway, `expires_in`,
and the sentences for claims and signatures. Inferred: the order of the checks, the sentence for
attributes that are too long together, and what says so below.
"""

from __future__ import annotations

import json
import re
from typing import NamedTuple

from simulator.core.cloud import Cloud
from simulator.core.platform import Containers
from simulator.core.principal import Principal
from simulator.identity import jwt, mapping
from simulator.identity.issuers import Issuers
from simulator.identity.pools.providers import OF_PEOPLE
from simulator.identity.pools.state import Pool, Pools

MAX_SECONDS = 3600
MAX_ATTRIBUTE_KB = {"projects": 8, "locations": 16}
"""Of workload and of workforce pools (IAM v1 discovery document), by how their names begin."""
STALE_SECONDS = 24 * 3600
AUDIENCE = re.compile(
    r"//iam\.googleapis\.com/"
    r"(?P<pool>projects/\d+/locations/global/workloadIdentityPools/[^/]+"
    r"|locations/global/workforcePools/[^/]+)/providers/(?P<provider>[^/]+)"
)
NOT_A_PROVIDER = (
    'Invalid value for "audience". This value should be the full resource name of the Identity '
    "Provider. See https://cloud.google.com/iam/docs/reference/sts/rest/v1/TopLevel/token for the "
    "list of possible formats."
)
NO_TARGET = (
    'The target service indicated by the "audience" parameters is invalid. This might either be '
    "because the pool or provider is disabled or deleted or because it doesn't exist."
)
TOO_LONG = (
    "The size of mapped attribute google.subject exceeds the 127 bytes limit. Either modify your "
    "attribute mapping or the incoming assertion to produce a mapped attribute that is less than "
    "127 bytes."
)


class Refused(Exception):
    """An OAuth error: its code and its description."""

    def __init__(self, error: str, description: str) -> None:
        super().__init__(description)
        self.error, self.description = error, description


class Federated(NamedTuple):
    """`pool` is the resource name that the token stands and falls with; `seconds` its life."""

    principal: Principal
    pool: str
    seconds: float


def federate(cloud: Cloud, audience: str, subject_token: str, user_project: str = "") -> Federated:
    """The principal that an OIDC token stands for at the provider `audience` names.

    Raises Refused.
    """
    provider = target(cloud, audience)
    pool = provider.name.partition("/providers/")[0]
    token = _verified(cloud, provider, audience, subject_token)
    member, sets = _mapped(provider, token, audience.partition("/providers/")[0])
    left = float(token.claims["exp"]) - cloud.clock.now()
    # An expired token within the leeway is worth what is left of the leeway.
    seconds = min(left if left > 0 else left + jwt.LEEWAY, MAX_SECONDS)
    seconds = cloud[Pools].session(pool) or seconds
    return Federated(Principal(member, sets, user_project), pool, seconds)


def target(cloud: Cloud, audience: str) -> Pool:
    """The provider that an audience names. Raises Refused."""
    found = AUDIENCE.fullmatch(audience)
    if not found:
        raise Refused("invalid_request", NOT_A_PROVIDER)
    provider = cloud[Pools].provider(
        f"{_by_id(cloud, found['pool'])}/providers/{found['provider']}"
    )
    if provider is None:
        raise Refused("invalid_target", NO_TARGET)
    return provider


def _by_id(cloud: Cloud, pool: str) -> str:
    kind, _, rest = pool.partition("/")
    project, _, rest = rest.partition("/")
    return pool if kind != "projects" else f"projects/{cloud[Containers].id(project)}/{rest}"


def _verified(cloud: Cloud, provider: Pool, audience: str, text: str) -> jwt.Token:
    try:
        token = jwt.read(text)
    except ValueError:
        # The sentence of Google's sign-in service, which shares the token service's others.
        raise Refused("invalid_grant", "Unable to parse the ID Token.") from None
    oidc, claims = provider.fields["oidc"], token.claims
    issuer = oidc["issuerUri"]
    if claims.get("iss") != issuer:
        raise Refused(
            "invalid_grant",
            f"The issuer in ID Token {claims.get('iss', 'null')} does not match the expected one "
            f"in config: {issuer}.",
        )
    try:
        given = oidc.get("jwksJson")
        keys = jwt.public_keys(json.loads(given)) if given else cloud[Issuers].keys(issuer)
        key = keys[token.key_id]
    except KeyError:
        # Also for an id that the issuer's keys do not have.
        said = "Error connecting to the given credential's issuer."
        raise Refused("invalid_grant", said) from None
    if not token.signed_by(key):
        raise Refused("invalid_grant", "Unable to verify the ID Token signature.")
    named = claims.get("aud", [])
    audiences = [named] if isinstance(named, str) else list(named)
    if not set(audiences) & _expected(provider, audience):
        shown = ", ".join(audiences)
        raise Refused(
            "invalid_grant",
            f"The audience in ID Token [{shown}] does not match the expected audience.",
        )
    _check_times(token, cloud.clock.now())
    return token


def _expected(provider: Pool, audience: str) -> set[str]:
    oidc = provider.fields["oidc"]
    if client := oidc.get("clientId"):
        return {client}
    return set(oidc.get("allowedAudiences") or (audience, f"https:{audience}"))


def _check_times(token: jwt.Token, now: float) -> None:
    """Issued in the past, at most 24 hours ago (documented), and not expired.

    The sentence for a token that is not valid yet (`nbf`) is inferred.
    """
    issued, expires = token.claims.get("iat"), token.claims.get("exp")
    begins = token.claims.get("nbf", issued)
    match issued, begins, expires:
        case int() | float(), int() | float(), int() | float():
            past = max(issued, begins) <= now + jwt.LEEWAY
            fresh = issued >= now - STALE_SECONDS and expires >= now - jwt.LEEWAY
        case _:
            past = fresh = False
    if not past or not fresh:
        shown = "null" if issued is None else issued
        raise Refused("invalid_grant", f"ID Token issued at {shown} is stale to sign-in.")


def _mapped(provider: Pool, token: jwt.Token, pool: str) -> tuple[str, tuple[str, ...]]:
    """The `principal://` member, and the `principalSet://` members that it belongs to."""
    try:
        values = mapping.mapped(provider.fields["attributeMapping"], token.claims)
    except ValueError as error:
        raise Refused("unauthorized_client", str(error)) from None
    values = {name: value for name, value in values.items() if name not in OF_PEOPLE}
    condition = provider.fields.get("attributeCondition")
    if condition and not mapping.accepts(condition, token.claims, values):
        said = "The given credential is rejected by the attribute condition."
        raise Refused("unauthorized_client", said)
    subject = str(values.pop("google.subject", ""))
    if not subject:
        said = "Could not obtain a value for google.subject from the given credential."
        raise Refused("unauthorized_client", said)
    if len(subject.encode()) > mapping.MAX_SUBJECT_BYTES:
        raise Refused("invalid_request", TOO_LONG)
    limit = MAX_ATTRIBUTE_KB[provider.name.partition("/")[0]]
    if len(json.dumps(values)) > 1024 * limit:
        said = f"The size of all mapped attributes exceeds the {limit}KB limit."
        raise Refused("invalid_request", said)
    groups = values.pop("google.groups", [])
    listed = [groups] if isinstance(groups, str) else groups
    names = [f"group/{group}" for group in listed]
    names += [f"{name}/{value}" for name, value in values.items()]
    return f"principal:{pool}/subject/{subject}", tuple(
        f"principalSet:{pool}/{name}" for name in (*names, "*")
    )
