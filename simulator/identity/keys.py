"""Keys of service accounts: IAM v1 `projects.serviceAccounts.keys`.

Limits and formats: IAM v1 discovery document. Google keeps no private key it hands out; the key it
keeps for itself signs for `signBlob`, `signJwt` and `generateIdToken`.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import pkcs12
from joserfc.jwk import RSAKey

from simulator.api.calls import Call, Methods, Service
from simulator.api.discovery import Method
from simulator.api.errors import failed_precondition, invalid, not_found, unimplemented
from simulator.api.honoured import Table
from simulator.core.cloud import Cloud, Holding
from simulator.core.platform import Constraints
from simulator.core.principal import Principal
from simulator.identity.accounts import Account, Accounts, account_name, account_of, resource_of
from simulator.identity.jwt import LEEWAY, Key, Token, key_id, read

method = Methods()

MAX_KEYS = 10
MAX_SECONDS = 3600
USER, SYSTEM = "USER_MANAGED", "SYSTEM_MANAGED"
PKCS12, JSON_FILE = "TYPE_PKCS12_FILE", "TYPE_GOOGLE_CREDENTIALS_FILE"
CERTIFICATES = "https://www.googleapis.com/robot/v1/metadata/x509"
PEM = serialization.Encoding.PEM


HONOURED = Table(
    "iam",
    {
        "CreateServiceAccountKeyRequest": "keyAlgorithm privateKeyType",
        "UploadServiceAccountKeyRequest": "publicKeyData",
    },
)


@dataclass(slots=True)
class AccountKey:
    """A key of an account; `certificate` holds the public key, `pair` only what Google keeps."""

    id: str
    account: str
    certificate: x509.Certificate
    kind: str = USER
    origin: str = "GOOGLE_PROVIDED"
    disabled: bool = False
    pair: Key | None = None

    @property
    def public(self) -> RSAKey:
        key = self.certificate.public_key()
        assert isinstance(key, rsa.RSAPublicKey)
        return RSAKey.import_key(key)

    def json(self, account: Account) -> dict[str, Any]:
        answer: dict[str, Any] = {
            "name": f"{account.name}/keys/{self.id}",
            "validAfterTime": _stamp(self.certificate.not_valid_before_utc),
            "validBeforeTime": _stamp(self.certificate.not_valid_after_utc),
            "keyAlgorithm": f"KEY_ALG_RSA_{self.public.public_key.key_size}",
            "keyOrigin": self.origin,
            "keyType": self.kind,
        }
        if self.disabled:
            reason = "SERVICE_ACCOUNT_KEY_DISABLE_REASON_USER_INITIATED"
            answer |= {"disabled": True, "disableReason": reason}
        return answer


class Keys(Holding):
    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        # unique id of the account -> its keys by id; a deleted account takes them along
        self._keys: dict[str, dict[str, AccountKey]] = {}

    def of(self, account: Account) -> dict[str, AccountKey]:
        return self._keys.setdefault(account.unique_id, {})

    def create(self, account: Account, kind: str = USER) -> tuple[AccountKey, Key]:
        pair, hours = Key(), None
        if kind == USER:
            hours = self._cloud[Constraints].key_hours(account.name)
        certificate = pair.certificate(account.unique_id, self._cloud.clock.now(), hours)
        key = AccountKey(pair.id, account.email, certificate, kind)
        self.of(account)[key.id] = key
        return key, pair

    def own(self, account: Account) -> Key:
        """The key that Google holds for the account, made when first needed."""
        for key in self.of(account).values():
            if key.pair:
                return key.pair
        key, key.pair = self.create(account, SYSTEM)
        return key.pair

    def verified(self, token: Token, account: Account) -> bool:
        """Whether one of the account's live keys signed the token.

        That one which has expired is like one that is not there is an inference: users who were
        told "Invalid JWT Signature" found keys deleted, rotated and disabled (gcp-facts/02).
        """
        key = self.of(account).get(token.key_id)
        if key is None or key.disabled:
            return False
        ends = key.certificate.not_valid_after_utc.timestamp()
        return ends > self._cloud.clock.now() and token.signed_by(key.public)

    def bearer(self, text: str, called: Method) -> Principal | None:
        """The account behind a token it signed for itself, which google-auth sends as it is.

        Its `aud` is the service, or else its `scope` lists one of the method's scopes
        (https://google.aip.dev/auth/4111); None for anything Google would not take.
        """
        try:
            token = read(text)
        except ValueError:
            return None
        claims = token.claims
        account = self._cloud[Accounts].find(str(claims.get("iss", "")))
        if account is None or account.disabled or claims.get("sub") != claims.get("iss"):
            return None
        if not self.verified(token, account) or not in_time(token, self._cloud.clock.now()):
            return None
        if "aud" in claims:
            service = f"https://{called.service}"
            right = str(claims["aud"]).rstrip("/") == service
        else:
            right = bool(set(str(claims.get("scope", "")).split()) & called.scopes)
        return Principal(f"serviceAccount:{account.email}") if right else None

    def live(self) -> dict[str, list[str]]:
        found = (key for keys in self._keys.values() for key in keys.values())
        return {"serviceAccountKeys": sorted(k.id for k in found if k.kind == USER)}


def in_time(token: Token, now: float) -> bool:
    """Issued in the past, not expired, and good for at most an hour."""
    issued, expires = token.claims.get("iat"), token.claims.get("exp")
    if not isinstance(issued, (int, float)) or not isinstance(expires, (int, float)):
        return False
    return issued <= now + LEEWAY and now - LEEWAY < expires <= issued + MAX_SECONDS


def _stamp(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


def _of_key(call: Call) -> str:
    """The account that the key in `name` belongs to: permissions on keys are checked there."""
    return resource_of(call.cloud, call.params["name"].partition("/keys/")[0])


def _key(call: Call) -> tuple[Account, AccountKey]:
    account = account_of(call)
    id = call.params["name"].rpartition("/")[2]
    key = call.cloud[Keys].of(account).get(id)
    if key is None:
        # gcp-facts has no sentence for this.
        raise not_found(f"Service account key {id} does not exist.")
    return account, key


def _user_managed(call: Call) -> list[AccountKey]:
    return [key for key in call.cloud[Keys].of(account_of(call)).values() if key.kind == USER]


@method(
    "iam.projects.serviceAccounts.keys.create",
    permission="iam.serviceAccountKeys.create",
    on=account_name,
)
def create(call: Call) -> dict[str, Any]:
    account, keys = account_of(call), call.cloud[Keys]
    call.cloud[Constraints].check_key_creation(account.name)
    if len(_user_managed(call)) >= MAX_KEYS:
        # As firebase/firebase-tools#6192 saw it; it says no more than that.
        raise failed_precondition("Precondition check failed.")
    if call.body.get("keyAlgorithm") == "KEY_ALG_RSA_1024":
        raise unimplemented("the keyAlgorithm KEY_ALG_RSA_1024")
    key, pair = keys.create(account)
    kind = call.body.get("privateKeyType", JSON_FILE)
    kind = JSON_FILE if kind == "TYPE_UNSPECIFIED" else kind
    data = _pkcs12(key, pair) if kind == PKCS12 else _file(account, pair)
    private = base64.b64encode(data).decode()
    return {**key.json(account), "privateKeyType": kind, "privateKeyData": private}


def _file(account: Account, pair: Key) -> bytes:
    content = {
        "type": "service_account",
        "project_id": account.project,
        "private_key_id": pair.id,
        "private_key": pair.pair.as_pem(private=True).decode(),
        "client_email": account.email,
        "client_id": account.unique_id,
        "auth_uri": "https://accounts.google.com/o/oauth2/auth",
        "token_uri": "https://oauth2.googleapis.com/token",
        "auth_provider_x509_cert_url": "https://www.googleapis.com/oauth2/v1/certs",
        "client_x509_cert_url": f"{CERTIFICATES}/{account.email.replace('@', '%40')}",
        "universe_domain": "googleapis.com",
    }
    return json.dumps(content, indent=2).encode()


def _pkcs12(key: AccountKey, pair: Key) -> bytes:
    private = pair.pair.private_key
    assert isinstance(private, rsa.RSAPrivateKey)
    sealed = serialization.BestAvailableEncryption(b"notasecret")
    return pkcs12.serialize_key_and_certificates(
        b"privatekey", private, key.certificate, None, sealed
    )


@method(
    "iam.projects.serviceAccounts.keys.upload",
    permission="iam.serviceAccountKeys.create",
    on=account_name,
)
def upload(call: Call) -> dict[str, Any]:
    """The permission is inferred: none of its own is known."""
    account = account_of(call)
    if len(_user_managed(call)) >= MAX_KEYS:
        raise failed_precondition("Precondition check failed.")
    try:
        data = base64.b64decode(call.body.get("publicKeyData", ""))
        certificate = x509.load_pem_x509_certificate(data)
    except ValueError:
        raise invalid("The public key is not an X.509 certificate in PEM.") from None
    public = certificate.public_key()
    if not isinstance(public, rsa.RSAPublicKey):
        raise invalid("The certificate does not hold an RSA public key.")
    id = key_id(RSAKey.import_key(public))
    key = AccountKey(id, account.email, certificate, origin="USER_PROVIDED")
    call.cloud[Keys].of(account)[key.id] = key
    return key.json(account)


@method(
    "iam.projects.serviceAccounts.keys.get",
    permission="iam.serviceAccountKeys.get",
    on=_of_key,
    reads="publicKeyType",
)
def get(call: Call) -> dict[str, Any]:
    account, key = _key(call)
    answer = key.json(account)
    match call.params.get("publicKeyType"):
        case "TYPE_X509_PEM_FILE":
            data = key.certificate.public_bytes(PEM)
        case "TYPE_RAW_PUBLIC_KEY":
            data = key.public.as_pem()
        case _:
            return answer
    return {**answer, "publicKeyData": base64.b64encode(data).decode()}


@method(
    "iam.projects.serviceAccounts.keys.list",
    permission="iam.serviceAccountKeys.list",
    on=account_name,
    reads="keyTypes",
)
def list_keys(call: Call) -> dict[str, Any]:
    account, kinds = account_of(call), call.params.get("keyTypes") or (USER, SYSTEM)
    call.cloud[Keys].own(account)
    found = call.cloud[Keys].of(account).values()
    return {"keys": [key.json(account) for key in found if key.kind in kinds]}


@method(
    "iam.projects.serviceAccounts.keys.delete",
    permission="iam.serviceAccountKeys.delete",
    on=_of_key,
)
def delete(call: Call) -> dict[str, Any]:
    account, key = _key(call)
    if key.kind == SYSTEM:
        # gcp-facts has no sentence for this.
        raise failed_precondition("Keys that Google manages cannot be deleted.")
    del call.cloud[Keys].of(account)[key.id]
    return {}


@method(
    "iam.projects.serviceAccounts.keys.disable",
    permission="iam.serviceAccountKeys.disable",
    on=_of_key,
)
def disable(call: Call) -> dict[str, Any]:
    _key(call)[1].disabled = True
    return {}


@method(
    "iam.projects.serviceAccounts.keys.enable",
    permission="iam.serviceAccountKeys.enable",
    on=_of_key,
)
def enable(call: Call) -> dict[str, Any]:
    _key(call)[1].disabled = False
    return {}


SERVICE = Service(Keys, method, HONOURED)
