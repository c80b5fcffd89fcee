"""JSON Web Tokens, and the keys that sign and verify them.

joserfc encodes, signs and verifies. Times are the callers' business: they go by the cloud's own
clock.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, JWKRegistry, RSAKey

ALGORITHMS = {"RSA": "RS256", "EC": "ES256"}
REGISTRY = jws.JWSRegistry(algorithms=ALGORITHMS.values(), strict_check_header=False)
# Some issuers send their certificates in the header (`x5c`).
REGISTRY.max_header_length = 16 * 1024

PublicKey = RSAKey | ECKey

LEEWAY = 60.0
"""Seconds by which another clock may be off (measured on Google's token service, 2026-09)."""

FOREVER = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Token:
    """A token as read, its signature not yet verified."""

    claims: dict[str, Any]
    _signature: jws.CompactSignature

    @property
    def key_id(self) -> str:
        return str(self._signature.headers().get("kid", ""))

    def signed_by(self, key: PublicKey) -> bool:
        """Whether this key made the signature, with the algorithm that the header names."""
        try:
            return jws.validate_compact(self._signature, key, registry=REGISTRY)
        except JoseError:
            return False


def read(text: str) -> Token:
    """Raises ValueError for anything that is not a signed token with claims."""
    try:
        found = jws.extract_compact(text.encode(), registry=REGISTRY)
    except JoseError as error:
        raise ValueError(str(error)) from None
    claims = json.loads(found.payload)
    if not isinstance(found.headers(), dict) or not isinstance(claims, dict):
        raise ValueError("header and claims are JSON objects")
    return Token(claims, found)


class Key:
    """A key pair that signs: RSA with 2048 bits, or with `elliptic` on the curve P-256."""

    def __init__(self, *, elliptic: bool = False) -> None:
        self.pair = ECKey.generate_key("P-256") if elliptic else RSAKey.generate_key(2048)
        self.id = key_id(self.pair)
        self._algorithm = ALGORITHMS[self.pair.key_type]

    def sign(self, claims: dict[str, Any]) -> str:
        return jwt.encode({"alg": self._algorithm, "kid": self.id}, claims, self.pair)

    def sign_bytes(self, data: bytes) -> bytes:
        return REGISTRY.get_alg(self._algorithm).sign(data, self.pair)

    def jwks(self) -> dict[str, Any]:
        return {"keys": [jwk(self.pair, self.id)]}

    def certificate(self, name: str, begins: float, hours: float | None = None) -> x509.Certificate:
        """Signed by itself, and good from `begins` (Unix seconds) on, for some hours or ever."""
        public, private = self.pair.public_key, self.pair.private_key
        assert private is not None
        common = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        first = datetime.fromtimestamp(int(begins), UTC)
        last = first + timedelta(hours=hours) if hours else FOREVER
        builder = x509.CertificateBuilder(common, common, public, x509.random_serial_number())
        dated = builder.not_valid_before(first).not_valid_after(last)
        return dated.sign(private, hashes.SHA256())


def key_id(key: PublicKey) -> str:
    """40 hexadecimal digits that depend on the public key alone, as Google's key ids look."""
    return hashlib.sha1(key.as_der(), usedforsecurity=False).hexdigest()


def jwk(key: PublicKey, id: str) -> dict[str, Any]:
    """The public key as RFC 7517 writes it."""
    return key.as_dict(private=False, use="sig", alg=ALGORITHMS[key.key_type], kid=id)


def public_keys(jwks: dict[str, Any]) -> dict[str, PublicKey]:
    """Keys by id. Raises ValueError (or KeyError) for what is neither RSA nor EC on P-256."""
    return {key.kid or "": key for key in map(_public_key, jwks["keys"])}


def _public_key(entry: dict[str, Any]) -> PublicKey:
    try:
        key = JWKRegistry.import_key(entry)
    except JoseError as error:
        raise ValueError(str(error)) from None
    if not isinstance(key, PublicKey) or key.get("crv", "P-256") != "P-256":
        raise ValueError(f"a key of type {key.key_type}")
    return key
