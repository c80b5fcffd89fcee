"""OIDC issuers that the simulator plays, since none can be reached offline."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from simulator.core.cloud import Cloud
from simulator.identity.jwt import Key, PublicKey

GITHUB = "https://token.actions.githubusercontent.com"
GOOGLE = "https://accounts.google.com"
LIFETIME = 3600.0
NOBODY: Mapping[str, Mapping[str, Any]] = {}


class Issuers:
    """Each has a key pair of its own, and knows its people by subject with their claims."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._people: dict[str, dict[str, dict[str, Any]]] = {GITHUB: {}, GOOGLE: {}}
        self._keys: dict[str, Key] = {}

    def add(self, issuer: str, people: Mapping[str, Mapping[str, Any]] = NOBODY) -> None:
        """Play this issuer; `people` are the claims of each subject."""
        known = self._people.setdefault(issuer, {})
        known.update({subject: dict(claims) for subject, claims in people.items()})

    def keys(self, issuer: str) -> dict[str, PublicKey]:
        """What the issuer's `jwks_uri` would show; KeyError for one that is not played."""
        key = self.key(issuer)
        return {key.id: key.pair}

    def mint(
        self,
        issuer: str,
        subject: str,
        audience: str,
        claims: Mapping[str, Any] | None = None,
        lifetime: float = LIFETIME,
    ) -> str:
        """An ID token, issued now. `claims` go before those the issuer knows of the subject."""
        key, now = self.key(issuer), int(self._cloud.clock.now())
        known = self._people[issuer].get(subject, {})
        times = {"iat": now, "nbf": now, "exp": now + int(lifetime)}
        basics = {"iss": issuer, "sub": subject, "aud": audience}
        return key.sign({**basics, **times, **known, **(claims or {})})

    def key(self, issuer: str) -> Key:
        if issuer not in self._people:
            raise KeyError(f"no issuer {issuer} is played; name it in the seed's `issuers`")
        # Made when first needed, for a key takes a tenth of a second.
        if issuer not in self._keys:
            self._keys[issuer] = Key()
        return self._keys[issuer]
