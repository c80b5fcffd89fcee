"""JSON Web Tokens, and the keys that sign and verify them.

google-auth encodes and signs. Times are the callers' business: they go by the cloud's own clock.
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import google.auth.crypt
import google.auth.jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa

# mypy finds google.auth untyped in one place and typed in another.
crypt: Any = google.auth.crypt
encode: Any = google.auth.jwt.encode

ALGORITHMS = (("RS256", crypt.RSAVerifier), ("ES256", crypt.ES256Verifier))
PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey

LEEWAY = 60.0
"""Seconds by which another clock may be off (measured on Google's token service, 2026-09)."""

FOREVER = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Token:
    """A token as read, its signature not yet verified."""

    header: dict[str, Any]
    claims: dict[str, Any]
    signed: bytes
    signature: bytes

    @property
    def key_id(self) -> str:
        return str(self.header.get("kid", ""))

    def signed_by(self, key: PublicKey) -> bool:
        """Whether this key made the signature, with the algorithm that the header names."""
        algorithm, verifier = ALGORITHMS[isinstance(key, ec.EllipticCurvePublicKey)]
        if self.header.get("alg") != algorithm:
            return False
        return bool(verifier(key).verify(self.signed, self.signature))


def read(text: str) -> Token:
    """Raises ValueError for anything that is not a signed token with claims."""
    sections = text.split(".")
    if len(sections) != 3:
        raise ValueError("a signed token has three sections")
    header, claims = (json.loads(_decoded(section)) for section in sections[:2])
    if not isinstance(header, dict) or not isinstance(claims, dict):
        raise ValueError("header and claims are JSON objects")
    return Token(header, claims, ".".join(sections[:2]).encode(), _decoded(sections[2]))


class Key:
    """A key pair that signs: RSA with 2048 bits, or with `elliptic` on the curve P-256."""

    def __init__(self, *, elliptic: bool = False) -> None:
        self.private: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
        if elliptic:
            self.private, kind = ec.generate_private_key(ec.SECP256R1()), "EsSigner"
        else:
            self.private, kind = rsa.generate_private_key(65537, 2048), "RSASigner"
        self.public: PublicKey = self.private.public_key()
        self.id = key_id(self.public)
        self._signer: Any = getattr(crypt, kind)(self.private, self.id)

    def sign(self, claims: dict[str, Any]) -> str:
        return bytes(encode(self._signer, claims)).decode()

    def sign_bytes(self, data: bytes) -> bytes:
        return bytes(self._signer.sign(data))

    def jwks(self) -> dict[str, Any]:
        return {"keys": [{**jwk(self.public), "kid": self.id}]}

    def certificate(self, name: str, begins: float) -> x509.Certificate:
        """Signed by itself, and good from `begins` (Unix seconds) on."""
        common = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        first = datetime.fromtimestamp(int(begins), UTC)
        builder = x509.CertificateBuilder(common, common, self.public, x509.random_serial_number())
        dated = builder.not_valid_before(first).not_valid_after(FOREVER)
        return dated.sign(self.private, hashes.SHA256())


def key_id(key: PublicKey) -> str:
    """40 hexadecimal digits that depend on the public key alone, as Google's key ids look."""
    return hashlib.sha1(json.dumps(jwk(key)).encode(), usedforsecurity=False).hexdigest()


def jwk(key: PublicKey) -> dict[str, str]:
    """The key as RFC 7517 writes it, without its id."""
    numbers = key.public_numbers()
    if isinstance(numbers, rsa.RSAPublicNumbers):
        shape = {"kty": "RSA", "alg": "RS256", "n": _text(numbers.n), "e": _text(numbers.e)}
    else:
        point = {"x": _text(numbers.x, 32), "y": _text(numbers.y, 32)}
        shape = {"kty": "EC", "alg": "ES256", "crv": "P-256", **point}
    return {"use": "sig", **shape}


def public_keys(jwks: dict[str, Any]) -> dict[str, PublicKey]:
    """Keys by id. Raises ValueError (or KeyError) for what is neither RSA nor EC on P-256."""
    return {str(entry.get("kid", "")): _public_key(entry) for entry in jwks["keys"]}


def _public_key(entry: dict[str, str]) -> PublicKey:
    match entry["kty"], entry.get("crv"):
        case "RSA", _:
            return rsa.RSAPublicNumbers(_number(entry["e"]), _number(entry["n"])).public_key()
        case "EC", "P-256":
            point = _number(entry["x"]), _number(entry["y"])
            return ec.EllipticCurvePublicNumbers(*point, ec.SECP256R1()).public_key()
    raise ValueError(f"{entry['kty']} {entry.get('crv', '')}")


def _number(text: str) -> int:
    return int.from_bytes(_decoded(text), "big")


def _text(number: int, size: int = 0) -> str:
    data = number.to_bytes(size or (number.bit_length() + 7) // 8, "big")
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decoded(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars="-_", validate=True)
