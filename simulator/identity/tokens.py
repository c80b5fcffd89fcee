"""Who may call: access tokens, what they are good for, and the credentials behind them."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from typing import NamedTuple

from simulator.api.discovery import Method
from simulator.api.errors import ApiError, error_info, unauthenticated
from simulator.core.cloud import Cloud
from simulator.core.principal import Principal
from simulator.identity.accounts import Accounts
from simulator.identity.keys import Keys
from simulator.identity.pools.state import Pools

LIFETIME = 3600
CLOUD_PLATFORM = "https://www.googleapis.com/auth/cloud-platform"
SCOPES = frozenset({CLOUD_PLATFORM, "https://www.googleapis.com/auth/userinfo.email", "openid"})


class Token(NamedTuple):
    """`pool` is the identity pool that a federated token was issued through."""

    principal: Principal
    expires: float
    scopes: frozenset[str]
    pool: str = ""


def principal_for(email: str) -> Principal:
    kind = "serviceAccount" if email.endswith("gserviceaccount.com") else "user"
    return Principal(f"{kind}:{email}")


class Identity:
    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._access: dict[str, Token] = {}
        self._refresh: dict[str, Principal] = {}

    def authenticate(self, authorization: str, method: Method) -> Principal:
        """The principal behind an Authorization header.

        401 for anything but a live token, 403 for one whose scopes the method does not list.
        """
        scheme, _, value = authorization.partition(" ")
        if scheme.lower() != "bearer":
            raise unauthenticated()
        value = value.strip()
        token = self._access.get(value)
        if token is None:
            if principal := self._cloud[Keys].bearer(value, method):
                return principal
            raise unauthenticated()
        if token.expires <= self._cloud.clock.now():
            raise _expired()
        if not self._valid(token):
            raise unauthenticated()
        if method.scopes and not token.scopes & method.scopes:
            raise insufficient_scope(method)
        return token.principal

    def lookup(self, access_token: str) -> Token | None:
        token = self._access.get(access_token)
        live = token and token.expires > self._cloud.clock.now() and self._valid(token)
        return token if live else None

    def issue(
        self,
        principal: Principal,
        lifetime: float = LIFETIME,
        scopes: Iterable[str] = SCOPES,
        pool: str = "",
    ) -> tuple[str, float]:
        """A new access token and the time it expires, on the cloud's clock."""
        value = f"ya29.{secrets.token_urlsafe(48)}"
        expires = self._cloud.clock.now() + lifetime
        self._access[value] = Token(principal, expires, frozenset(scopes), pool)
        return value, expires

    def access_token(self, email: str) -> str:
        """What a metadata server would give a workload that runs as this account."""
        return self.issue(principal_for(email))[0]

    def refresh_token(self, email: str) -> str:
        """What a person's application default credentials hold (`authorized_user`)."""
        value = f"1//{secrets.token_urlsafe(32)}"
        self._refresh[value] = principal_for(email)
        return value

    def refreshed(self, refresh_token: str) -> Principal | None:
        return self._refresh.get(refresh_token)

    def _valid(self, token: Token) -> bool:
        """A pool or an account that is disabled or deleted takes its tokens with it."""
        if token.pool:
            return self._cloud[Pools].usable(token.pool)
        member = token.principal.member
        if not member.startswith("serviceAccount:"):
            return True
        return self._cloud[Accounts].usable(token.principal.email)


def _expired() -> ApiError:
    """google/api/error_reason.proto, ACCESS_TOKEN_EXPIRED."""
    error = unauthenticated()
    error.details.append(error_info("ACCESS_TOKEN_EXPIRED", "googleapis.com"))
    return error


def insufficient_scope(method: Method) -> ApiError:
    """google/api/error_reason.proto, ACCESS_TOKEN_SCOPE_INSUFFICIENT.

    Google names the method as its RPC (`google.pubsub.v1.Publisher.Publish`), which the discovery
    document does not have; this is the method's id there.
    """
    info = error_info(
        "ACCESS_TOKEN_SCOPE_INSUFFICIENT",
        "googleapis.com",
        service=method.service,
        method=method.id,
    )
    message = "Request had insufficient authentication scopes."
    return ApiError(403, "PERMISSION_DENIED", message, [info], legacy="insufficientPermissions")
