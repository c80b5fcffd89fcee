"""Who may call: access tokens, and the credentials they are exchanged for."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, NamedTuple

from rehearsal.cloud.api import Principal, unauthenticated

if TYPE_CHECKING:
    from rehearsal.cloud.cloud import Cloud

LIFETIME = 3600


class Token(NamedTuple):
    principal: Principal
    expires: float


def principal_for(email: str) -> Principal:
    kind = "serviceAccount" if email.endswith("gserviceaccount.com") else "user"
    return Principal(f"{kind}:{email}")


class Identity:
    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._access: dict[str, Token] = {}
        self._refresh: dict[str, Principal] = {}
        self._subjects: dict[str, Principal] = {}

    def authenticate(self, authorization: str) -> Principal:
        """The principal behind an Authorization header; 401 for anything but a live token."""
        scheme, _, value = authorization.partition(" ")
        token = self._access.get(value.strip()) if scheme.lower() == "bearer" else None
        if token is None or not self._valid(token):
            raise unauthenticated()
        return token.principal

    def lookup(self, access_token: str) -> Token | None:
        token = self._access.get(access_token)
        return token if token and self._valid(token) else None

    def issue(self, principal: Principal, lifetime: float = LIFETIME) -> tuple[str, float]:
        """A new access token and the time it expires, on the cloud's clock."""
        value = f"ya29.{secrets.token_urlsafe(48)}"
        expires = self._cloud.clock.now() + lifetime
        self._access[value] = Token(principal, expires)
        return value, expires

    def access_token(self, email: str) -> str:
        """What a metadata server would give a workload that runs as this account."""
        return self.issue(principal_for(email))[0]

    def refresh_token(self, email: str) -> str:
        """What a person's application default credentials hold (`authorized_user`)."""
        value = f"1//{secrets.token_urlsafe(32)}"
        self._refresh[value] = principal_for(email)
        return value

    def subject_token(self, member: str, sets: tuple[str, ...] = ()) -> str:
        """A token that the token service exchanges for access as a `principal://` member."""
        value = secrets.token_urlsafe(32)
        self._subjects[value] = Principal(member, sets)
        return value

    def refreshed(self, refresh_token: str) -> Principal | None:
        return self._refresh.get(refresh_token)

    def exchanged(self, subject_token: str) -> Principal | None:
        return self._subjects.get(subject_token)

    def _valid(self, token: Token) -> bool:
        if token.expires <= self._cloud.clock.now():
            return False
        member = token.principal.member
        if not member.startswith("serviceAccount:"):
            return True
        return self._cloud.accounts.usable(token.principal.email)
