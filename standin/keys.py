"""Keys of service accounts: the one secret that a create answers with."""

from __future__ import annotations

from typing import Any, Final

from pulumi_plugin.kinds import Context, PartialFailure, ProviderError, Resource
from pulumi_plugin.values import Props
from standin.fields import DELETION_POLICY, Field, at_most_one, flatten, inputs_of
from standin.google import GoogleError
from standin.resource import Declared, Spec

ACCOUNT_KEY: Final = Spec(
    "gcp:serviceaccount/key:Key",
    noun="service account key",
    title="Service Account Key",
    source="services/resourcemanager/resource_google_service_account_key.go",
    base="https://iam.googleapis.com/v1",
    fields=(
        Field("serviceAccountId", local=True, new=True, required=True),
        Field("keepers", "map", local=True, new=True, zero=None),
        Field(
            "privateKeyType",
            local=True,
            new=True,
            default="TYPE_GOOGLE_CREDENTIALS_FILE",
            values=("TYPE_UNSPECIFIED", "TYPE_PKCS12_FILE", "TYPE_GOOGLE_CREDENTIALS_FILE"),
        ),
        Field("publicKeyData", local=True, new=True, zero=None),
        Field(
            "publicKeyType",
            local=True,
            new=True,
            default="TYPE_X509_PEM_FILE",
            values=("TYPE_NONE", "TYPE_X509_PEM_FILE", "TYPE_RAW_PUBLIC_KEY"),
        ),
        Field(
            "keyAlgorithm",
            new=True,
            default="KEY_ALG_RSA_2048",
            values=("KEY_ALG_UNSPECIFIED", "KEY_ALG_RSA_1024", "KEY_ALG_RSA_2048"),
        ),
        DELETION_POLICY,
        Field("name", output=True),
        Field("privateKey", output=True, secret=True, api="privateKeyData"),
        Field("publicKey", output=True, api="publicKeyData"),
        Field("validAfter", output=True, api="validAfterTime"),
        Field("validBefore", output=True, api="validBeforeTime"),
    ),
    choices=(
        at_most_one("publicKeyData", "keyAlgorithm"),
        at_most_one("publicKeyData", "privateKeyType"),
    ),
)
ONLY_CREATED: Final = ("privateKey", "validAfter", "validBefore")  # what no read shows, as recorded
KEY_PAUSES: Final = (1.0, 2.0, 4.0, 8.0, 16.0)  # seconds until a new key can be read


class AccountKey(Declared):
    """A key of a service account. Google shows the private half once, when it is made.

    The official plugin waits for 10 seconds after the first read; this one does not.
    """

    spec = ACCOUNT_KEY
    waits = "create: until it is found"

    def create(self, inputs: Props, context: Context) -> tuple[str, Props]:
        url = f"{self.spec.base}/{self.names('', inputs, {})['account']}/keys"
        body: dict[str, Any] = {
            name: inputs[name] for name in ("keyAlgorithm", "privateKeyType") if inputs.get(name)
        }
        if inputs.get("publicKeyData"):
            url, body = f"{url}:upload", {"publicKeyData": inputs["publicKeyData"]}
        try:
            made = self.provider.google.call("POST", url, None, body)
        except GoogleError as error:
            raise ProviderError(f"Error creating service account key: {error}") from error
        id, key = made["name"], flatten(self.spec.fields, made, inputs, None)
        once = {name: key[name] for name in ONLY_CREATED}
        try:
            for pause in KEY_PAUSES:
                if self._get(id, inputs):
                    break
                self.provider.google.sleep(pause)
            answer = self._get(id, inputs)
        except ProviderError as error:
            raise PartialFailure(id, key, inputs, str(error)) from error
        if answer is None:
            raise PartialFailure(id, key, inputs, f"{id} was not found after it was created")
        return id, flatten(self.spec.fields, answer, inputs, None) | once

    def names(self, id: str, inputs: Props, outputs: Props) -> dict[str, str]:
        """An account may be given by its whole name, its email, or the part before the @."""
        account = inputs["serviceAccountId"]
        if account.startswith("projects/"):
            return {"account": account}
        if "@" not in account:
            account = f"{account}@{self.provider.setting('project')}.iam.gserviceaccount.com"
        return {"account": f"projects/-/serviceAccounts/{account}"}

    def _get(self, id: str, given: Props) -> Props | None:
        """The key; IAM answers 403 as well for one that is gone."""
        query = {"publicKeyType": given["publicKeyType"]}
        try:
            return self.provider.google.call("GET", f"{self.spec.base}/{id}", query)
        except GoogleError as error:
            if error.status in (403, 404):
                return None
            raise

    def read(self, id: str, inputs: Props, outputs: Props, context: Context) -> Resource | None:
        if not outputs:
            raise ProviderError(
                "a service account key cannot be imported: Google does not show its private half"
            )
        answer = self._get(id, outputs)
        if answer is None:
            return None
        once = {name: outputs.get(name) for name in ONLY_CREATED}
        found = flatten(self.spec.fields, answer, outputs, {}) | once
        return Resource(id, inputs_of(self.spec.fields, inputs, found), found)

    def update(
        self, id: str, old_inputs: Props, old_outputs: Props, inputs: Props, context: Context
    ) -> Props:
        """Only the provider's own properties can change."""
        return old_outputs | self.preview(inputs, old_outputs)

    def delete(self, id: str, inputs: Props, outputs: Props, context: Context) -> None:
        if self.refuses_deletion(id, outputs):
            return
        try:
            self.provider.google.call("DELETE", f"{self.spec.base}/{id}")
        except GoogleError as error:
            if error.status not in (403, 404):
                raise ProviderError(f"Error when reading or editing {id}: {error}") from error
