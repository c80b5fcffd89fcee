"""Types of the `iam` module: workload identity federation."""

from __future__ import annotations

import json
import re
from typing import Any, Final

from pulumi_plugin.kinds import Context, ProviderError
from pulumi_plugin.values import Props
from standin.fields import DELETION_POLICY, PROJECT, Field, exactly_one
from standin.google import GoogleError
from standin.resource import Rest, Spec


def same_json(text: Any) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


BASE: Final = "https://iam.googleapis.com/v1"
ALGORITHMS: Final = ("RSA_2048", "RSA_3072", "RSA_4096", "ECDSA_P256", "ECDSA_P384")


def _pool_id(name: str, value: Any) -> list[str]:
    """4 to 32 of a-z, 0-9 and dash, not gcp-..."""
    own = str(value).removesuffix(".svc.id.goog")
    wrong = {
        f'("{value}") can not start with "gcp-"': own.startswith("gcp-"),
        "must contain only lowercase letters (a-z), numbers (0-9), or dashes (-), or end in "
        "'.svc.id.goog'": not re.fullmatch(r"[0-9a-z-]+", own),
        "cannot be smaller than 4 characters": len(own) < 4,
        "cannot be greater than 32 characters": len(own) > 32,
    }
    return [f'"{name}" {said}' for said, it_is in wrong.items() if it_is]


DESCRIBED: Final = (
    Field("displayName"),
    Field("description"),
    Field("disabled", "bool"),
    DELETION_POLICY,
    Field("name", output=True),
    Field("state", output=True),
)
PEM: Final = (Field("pemCertificate", required=True),)
BUNDLE: Final = (
    Field("trustDomain", path=True, required=True),
    Field("trustAnchors", "objects", required=True, of=PEM),
    Field("trustDefaultSharedCa", "bool"),
)
POOL: Final = Spec(
    "gcp:iam/workloadIdentityPool:WorkloadIdentityPool",
    noun="WorkloadIdentityPool",
    title="IAMBetaWorkloadIdentityPool",
    source="products/iambeta/WorkloadIdentityPool.yaml",
    base=BASE,
    id="projects/{project}/locations/global/workloadIdentityPools/{workloadIdentityPoolId}",
    collection="projects/{project}/locations/global/workloadIdentityPools",
    create_query={"workloadIdentityPoolId": "{workloadIdentityPoolId}"},
    masked=True,
    operations=True,
    update_operations=True,
    fields=(
        Field("workloadIdentityPoolId", path=True, new=True, required=True, valid=_pool_id),
        PROJECT,
        *DESCRIBED,
        Field("mode", values=("FEDERATION_ONLY", "TRUST_DOMAIN")),
        Field(
            "inlineCertificateIssuanceConfig",
            "object",
            of=(
                Field("caPools", "map"),
                Field("keyAlgorithm", computed=True, values=ALGORITHMS),
                Field("lifetime", computed=True),
                Field("rotationWindowPercentage", "int", computed=True),
                Field("useDefaultSharedCa", "bool"),
            ),
        ),
        Field(
            "inlineTrustConfig",
            "object",
            of=(Field("additionalTrustBundles", "keyed", key="trustDomain", of=BUNDLE),),
        ),
        Field("attestationRules", "objects", of=(Field("googleCloudResource", required=True),)),
    ),
)
PROVIDER: Final = Spec(
    "gcp:iam/workloadIdentityPoolProvider:WorkloadIdentityPoolProvider",
    noun="WorkloadIdentityPoolProvider",
    title="IAMBetaWorkloadIdentityPoolProvider",
    source="products/iambeta/WorkloadIdentityPoolProvider.yaml",
    base=BASE,
    id="projects/{project}/locations/global/workloadIdentityPools/{workloadIdentityPoolId}"
    "/providers/{workloadIdentityPoolProviderId}",
    collection="projects/{project}/locations/global/workloadIdentityPools/{workloadIdentityPoolId}"
    "/providers",
    create_query={"workloadIdentityPoolProviderId": "{workloadIdentityPoolProviderId}"},
    masked=True,
    operations=True,
    update_operations=True,
    fields=(
        Field("workloadIdentityPoolId", path=True, new=True, required=True),
        Field("workloadIdentityPoolProviderId", path=True, new=True, required=True, valid=_pool_id),
        PROJECT,
        *DESCRIBED,
        Field("attributeMapping", "map"),
        Field("attributeCondition"),
        Field("aws", "object", of=(Field("accountId", required=True),)),
        Field(
            "oidc",
            "object",
            mask="oidc.allowed_audiences,oidc.issuer_uri,oidc.jwks_json",
            of=(
                Field("issuerUri", required=True),
                Field("allowedAudiences", "strings"),
                Field("jwksJson", alike=same_json),
            ),
        ),
        Field("saml", "object", of=(Field("idpMetadataXml", required=True),)),
        Field(
            "x509",
            "object",
            of=(
                Field(
                    "trustStore",
                    "object",
                    required=True,
                    of=(
                        Field(
                            "trustAnchors",
                            "objects",
                            required=True,
                            of=(Field("pemCertificate"),),
                        ),
                        Field("intermediateCas", "objects", of=(Field("pemCertificate"),)),
                    ),
                ),
            ),
        ),
    ),
    choices=(exactly_one("aws", "oidc", "saml", "x509"),),
)


class SoftDeleted(Rest):
    """Deleting hides it for 30 days: until then Google shows it, and its id cannot be used."""

    def get(self, id: str, inputs: Props, outputs: Props) -> Props | None:
        found = super().get(id, inputs, outputs)
        return None if found and found.get("state") == "DELETED" else found


class Pool(SoftDeleted):
    """A workload identity pool. Who may attest for it is read and written by calls of their own.

    The recordings have no attestation rules: that `:setAttestationRules` writes them is inferred
    from the discovery document.
    """

    spec = POOL
    waits = "attestationRules: the operation"

    def get(self, id: str, inputs: Props, outputs: Props) -> Props | None:
        found = super().get(id, inputs, outputs)
        if found is None:
            return None
        url = self.url(id, self.names(id, inputs, outputs))
        try:
            listed = self.provider.google.call("GET", f"{url}:listAttestationRules")
        except GoogleError as error:
            raise ProviderError(
                f'Error when reading or editing {self.spec.title} "{id}": {error}'
            ) from error
        return found | {"attestationRules": listed.get("attestationRules", [])}

    def body(self, inputs: Props, outputs: Props, *, update: bool) -> Props:
        body = super().body(inputs, outputs, update=update)
        body.pop("attestationRules", None)
        return body

    def read_created(self, id: str, inputs: Props, context: Context) -> Props:
        if inputs.get("attestationRules"):
            self._set_rules(id, inputs, context)
        return super().read_created(id, inputs, context)

    def update(
        self, id: str, old_inputs: Props, old_outputs: Props, inputs: Props, context: Context
    ) -> Props:
        name = "attestationRules"
        if any(item.name == name for item in self.changes(old_inputs, old_outputs, inputs)):
            self._set_rules(id, inputs, context)
            rules = inputs.get(name)
            old_inputs, old_outputs = old_inputs | {name: rules}, old_outputs | {name: rules or []}
        return super().update(id, old_inputs, old_outputs, inputs, context)

    def _set_rules(self, id: str, inputs: Props, context: Context) -> None:
        names = self.names(id, inputs, {})
        rules = [
            {"googleCloudResource": rule["googleCloudResource"]}
            for rule in inputs.get("attestationRules") or []
        ]
        url, body = f"{self.url(id, names)}:setAttestationRules", {"attestationRules": rules}
        try:
            operation = self.provider.google.call("POST", url, None, body)
        except GoogleError as error:
            raise ProviderError(f'Error updating {self.spec.noun} "{id}": {error}') from error
        activity = f"Setting the attestation rules of {self.spec.noun}"
        self.provider.google.wait(self.base(names), operation, activity, context)


class PoolProvider(SoftDeleted):
    """What a pool takes tokens from."""

    spec = PROVIDER
