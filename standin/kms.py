"""Types of the `kms` module. Google deletes neither key rings nor keys, only versions of keys."""

from __future__ import annotations

import datetime
import re
from typing import Any, Final

from pulumi_plugin.kinds import Context, ProviderError
from pulumi_plugin.values import Props
from standin.fields import DELETION_POLICY, LABELS, PROJECT, Field
from standin.google import GoogleError
from standin.iam import PROJECT_ID
from standin.onpolicy import Target
from standin.provider import Provider
from standin.resource import AutoName, Rest, Spec

BASE: Final = "https://cloudkms.googleapis.com/v1"
GONE: Final = frozenset({"DESTROYED", "DESTROY_SCHEDULED"})
PURPOSES: Final = ("ENCRYPT_DECRYPT", "ASYMMETRIC_SIGN", "ASYMMETRIC_DECRYPT", "MAC")


def _period(name: str, value: Any) -> list[str]:
    """seconds, of a day or more, as 86400s"""
    if not value:
        return []
    period = re.fullmatch(r"(\d+(?:\.(\d+))?)s", str(value))
    if period is None:
        return [f"Invalid rotation period format: {value}"]
    short = float(period[1]) < 86400
    fine = len(period[2] or "") > 9
    return [
        *(["Rotation period must be greater than one day"] if short else ()),
        *(["Rotation period cannot have more than 9 fractional digits"] if fine else ()),
    ]


KEY_RING: Final = Spec(
    "gcp:kms/keyRing:KeyRing",
    noun="KeyRing",
    title="KMSKeyRing",
    source="products/kms/KeyRing.yaml",
    base=BASE,
    id="projects/{project}/locations/{location}/keyRings/{name}",
    collection="projects/{project}/locations/{location}/keyRings",
    fields=(
        Field("name", path=True, new=True),
        Field("location", path=True, new=True, required=True),
        PROJECT,
    ),
    autoname=AutoName(),
)
CRYPTO_KEY: Final = Spec(
    "gcp:kms/cryptoKey:CryptoKey",
    noun="CryptoKey",
    title="KMSCryptoKey",
    source="products/kms/CryptoKey.yaml",
    base=BASE,
    id="{keyRing}/cryptoKeys/{name}",
    collection="{keyRing}/cryptoKeys",
    create_query={"cryptoKeyId": "{name}", "skipInitialVersionCreation": "{skips}"},
    masked=True,
    fields=(
        Field("name", path=True, new=True),
        Field("keyRing", path=True, new=True, required=True),
        Field("purpose", new=True, default="ENCRYPT_DECRYPT", values=PURPOSES),
        Field("rotationPeriod", mask="rotationPeriod,nextRotationTime", valid=_period),
        Field(
            "versionTemplate",
            "object",
            computed=True,
            mask="versionTemplate.algorithm",
            of=(
                Field("algorithm", required=True),
                Field("protectionLevel", new=True, default="SOFTWARE"),
            ),
        ),
        Field("destroyScheduledDuration", new=True, computed=True),
        Field("importOnly", "bool", new=True, computed=True),
        Field("cryptoKeyBackend", new=True, computed=True),
        Field(
            "keyAccessJustificationsPolicy",
            "object",
            of=(Field("allowedAccessReasons", "strings"),),
        ),
        Field("skipInitialVersionCreation", "bool", local=True),
        *LABELS,
        DELETION_POLICY,
        Field(
            "primaries", "objects", api="primary", output=True, of=(Field("name"), Field("state"))
        ),
    ),
    autoname=AutoName(),
)
NAME: Final = "[a-zA-Z0-9_-]{1,63}"


def _whole_key(given: str, provider: Provider) -> str:
    """The whole name of a key that is given by it, or by its parts alone."""
    words = "projects/", "locations/", "keyRings/", "cryptoKeys/"
    values = f"({PROJECT_ID})", "([a-z0-9-]+)", f"({NAME})", f"({NAME})"
    whole = "/".join(map("".join, zip(words, values, strict=True)))
    parts = re.fullmatch(whole, given) or re.fullmatch("/".join(values), given)
    if parts is not None:
        project, location, ring, key = parts.groups()
    elif re.fullmatch(rf"[a-z0-9-]+/{NAME}/{NAME}", given):
        if provider.project is None:
            raise ProviderError(
                f"Error parsing resource ID for {given}: The default project for the provider must "
                "be set when using the `{location}/{keyRingName}/{cryptoKeyName}` id format."
            )
        project, location, ring, key = provider.project, *given.split("/")
    else:
        raise ProviderError(
            f"Error parsing resource ID for {given}: Invalid CryptoKey id format, expecting "
            "`{projectId}/{locationId}/{KeyringName}/{cryptoKeyName}` or "
            f"`{{locationId}}/{{keyRingName}}/{{cryptoKeyName}}, got id: {given}`"
        )
    return f"projects/{project}/locations/{location}/keyRings/{ring}/cryptoKeys/{key}"


KEY_TARGET: Final = Target(
    "gcp:kms/cryptoKeyIAMMember:CryptoKeyIAMMember",
    property="cryptoKeyId",
    source="services/kms/iam_kms_crypto_key.go",
    path="{cryptoKeyId}",
    whole=_whole_key,
    describe='KMS CryptoKey "{cryptoKeyId}"',
    url=f"{BASE}/{{cryptoKeyId}}",
    fields=(Field("cryptoKeyId", new=True, required=True),),
    get=("GET", ":getIamPolicy"),
    get_query={"options.requestedPolicyVersion": "3"},
)


class KeyRing(Rest):
    """A key ring stays where it is; a destroy only drops it from the state."""

    spec = KEY_RING

    def create(self, inputs: Props, context: Context) -> tuple[str, Props]:
        names = self.names("", inputs, {})
        url = f"{self.base(names)}/{self.spec.collection.format_map(names)}"
        try:
            self.provider.google.call("POST", url, {"keyRingId": names["name"]})  # no body at all
        except GoogleError as error:
            raise ProviderError(f"Error creating {self.spec.noun}: {error}") from error
        id = self.spec.id.format_map(names)
        return id, self.read_created(id, inputs, context)

    def delete(self, id: str, inputs: Props, outputs: Props, context: Context) -> None:
        """Google keeps the key ring for as long as the project."""


class CryptoKey(Rest):
    """A key. Destroying it destroys its versions and stops it from making new ones."""

    spec = CRYPTO_KEY

    def names(self, id: str, inputs: Props, outputs: Props) -> dict[str, str]:
        skips = str(bool(inputs.get("skipInitialVersionCreation"))).lower()
        return super().names(id, inputs, outputs) | {"skips": skips}

    def body(self, inputs: Props, outputs: Props, *, update: bool) -> Props:
        body = super().body(inputs, outputs, update=update)
        period = body.get("rotationPeriod")
        if period and not (update and period == outputs.get("rotationPeriod")):
            body["nextRotationTime"] = after(period)
        return body

    def delete(self, id: str, inputs: Props, outputs: Props, context: Context) -> None:
        if self.refuses_deletion(id, outputs):
            return
        url = self.url(id, self.names(id, inputs, outputs))
        try:
            listed = self.provider.google.call("GET", f"{url}/cryptoKeyVersions")
            for version in listed.get("cryptoKeyVersions", []):
                if version["state"] not in GONE:
                    destroy = f"{BASE}/{version['name']}:destroy"
                    self.provider.google.call("POST", destroy, None, {})
        except GoogleError as error:
            if error.status == 404:
                return
            raise ProviderError(f"Error when reading or editing {id}: {error}") from error
        if outputs.get("rotationPeriod"):
            try:
                mask = {"updateMask": "rotationPeriod,nextRotationTime"}
                self.provider.google.call("PATCH", url, mask, {})
            except GoogleError as error:
                raise ProviderError(
                    "While cryptoKeyVersions were cleared, the provider was unable to disable "
                    f"automatic rotation of key due to an error: {error}. Please retry or manually "
                    "disable automatic rotation to prevent creation of a new version of this key."
                ) from error


def after(period: str) -> str:
    """The time when `period`, seconds as in "86400s", has passed from now."""
    now = datetime.datetime.now(datetime.UTC)
    return f"{now + datetime.timedelta(seconds=float(period[:-1])):%Y-%m-%dT%H:%M:%S.%fZ}"
