"""Providers of identity pools: what Google refuses in one, and those that are not OIDC."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from simulator.google import GoogleCloud
from simulator.identity.jwt import Key
from tests.simulator.support.identity import (
    ACTIONS,
    AUDIENCE,
    POOL,
    POOLS,
    PROVIDER,
    Client,
    exchange,
)

ISSUER = "https://login.example.com"
SUBJECT = {"google.subject": "assertion.sub"}
MAPPING = {"google.subject": "assertion.subject"}


@pytest.fixture
def pool(client: Client) -> str:
    client.done("POST", POOLS, {}, workloadIdentityPoolId="github")
    return f"{POOL}/providers"


def certificate() -> Any:
    return Key().certificate("idp", 1_700_000_000)


def pem() -> str:
    return certificate().public_bytes(Encoding.PEM).decode()


def metadata(keys: int = 1, entity: str = 'entityID="https://idp.example.com"') -> str:
    """A SAML identity provider's own description."""
    der = base64.b64encode(certificate().public_bytes(Encoding.DER)).decode()
    key = (
        '<KeyDescriptor use="signing"><KeyInfo xmlns="http://www.w3.org/2000/09/xmldsig#">'
        f"<X509Data><X509Certificate>{der}</X509Certificate></X509Data></KeyInfo></KeyDescriptor>"
    )
    return (
        f'<EntityDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata" {entity}>'
        f"<IDPSSODescriptor>{key * keys}</IDPSSODescriptor></EntityDescriptor>"
    )


def jwks(**changes: str) -> dict[str, Any]:
    """A provider with one key, an elliptic one but for `changes`."""
    entry = {**Key(elliptic=True).jwks()["keys"][0], **changes}
    keys = json.dumps({"keys": [entry]})
    return {"oidc": {"issuerUri": "https://issuer.example.com", "jwksJson": keys}}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"attributeMapping": {}}, "google.subject"),
        ({"attributeMapping": {**SUBJECT, "attribute.Upper": "assertion.x"}}, "attribute.Upper"),
        ({"attributeMapping": {**SUBJECT, "attribute.a": "assertion."}}, "attribute_mapping"),
        ({"attributeMapping": {**SUBJECT, "attribute.a": "foo.bar"}}, "undeclared reference"),
        ({"attributeMapping": {**SUBJECT, "attribute.a": f"'{'x' * 2050}'"}}, "2048"),
        (
            {"attributeMapping": {**SUBJECT, **{f"attribute.a{i}": "'x'" for i in range(51)}}},
            "50 custom attributes",
        ),
        ({"attributeCondition": "assertion.sub =="}, "attribute_condition"),
        ({"attributeCondition": "assertion.sub + 'x'"}, "must evaluate to a boolean"),
        ({"attributeCondition": f"assertion.sub == '{'x' * 4096}'"}, "4096"),
        ({"displayName": "x" * 33}, "displayName"),
        ({"description": "x" * 257}, "description"),
        (
            {"oidc": {"issuerUri": "http://issuer.example.com"}},
            "Invalid OIDC issuer URI. The scheme must be https.",
        ),
        ({"oidc": {"issuerUri": "issuer"}}, "Invalid OIDC issuer URI."),
        ({"oidc": {"issuerUri": "https://x.y", "allowedAudiences": ["a"] * 11}}, "audiences"),
        ({"oidc": {"issuerUri": "https://x.y", "jwksJson": "{}"}}, "Only RSA, EC key types"),
        (jwks(crv="P-384"), "Only RSA, EC key types"),
        (jwks(kty="OKP"), "Only RSA, EC key types"),
        ({"aws": {"accountId": "1"}}, "Exactly one of"),
    ],
)
def test_a_provider_google_would_refuse_is_refused(
    client: Client, change: dict[str, Any], said: str
) -> None:
    client.done("POST", POOLS, {}, workloadIdentityPoolId="github")
    query = {"workloadIdentityPoolProviderId": "actions"}
    status, message = client.refusal("POST", f"{POOL}/providers", {**ACTIONS, **change}, **query)
    assert status == 400
    assert said in message
    assert client.refusal("GET", PROVIDER)[0] == 404


@pytest.mark.parametrize("condition", ["", "true", "'assertion.sub' == 'x'"])
def test_githubs_issuer_needs_a_condition_on_a_claim(client: Client, condition: str) -> None:
    client.done("POST", POOLS, {}, workloadIdentityPoolId="github")
    query = {"workloadIdentityPoolProviderId": "actions"}
    body = {**ACTIONS, "attributeCondition": condition}
    status, message = client.refusal("POST", f"{POOL}/providers", body, **query)
    assert status == 400
    assert message.startswith("The attribute condition must reference one of the provider's claims")
    # Another issuer may go without.
    other = {**body, "oidc": {"issuerUri": "https://issuer.example.com"}}
    client.done("POST", f"{POOL}/providers", other, **query)


def test_an_aws_provider_maps_by_itself(client: Client, pool: str) -> None:
    body = {"aws": {"accountId": "123456789012"}}
    client.done("POST", pool, body, workloadIdentityPoolProviderId="amazon")
    shown = client.done("GET", f"{pool}/amazon")
    assert shown["aws"] == body["aws"]
    # IAM v1 discovery document, WorkloadIdentityPoolProvider.attributeMapping
    assert shown["attributeMapping"] == {
        "google.subject": "assertion.arn",
        "attribute.aws_role": "assertion.arn.contains('assumed-role') ? assertion.arn.extract("
        "'{account_arn}assumed-role/') + 'assumed-role/' + assertion.arn.extract("
        "'assumed-role/{role_name}/') : assertion.arn",
    }


def test_saml_and_x509_providers_are_kept(client: Client, pool: str) -> None:
    for name, source in (
        ("saml", {"saml": {"idpMetadataXml": metadata()}}),
        ("x509", {"x509": {"trustStore": {"trustAnchors": [{"pemCertificate": pem()}]}}}),
    ):
        body = {"attributeMapping": MAPPING, **source}
        client.done("POST", pool, body, workloadIdentityPoolProviderId=name)
        shown = client.done("GET", f"{pool}/{name}")
        assert {key: shown[key] for key in body} == body


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ({"aws": {"accountId": "123"}}, "12 digits"),
        ({"aws": {"accountId": "123456789012"}, "oidc": {"issuerUri": ISSUER}}, "Exactly one"),
        ({"saml": {"idpMetadataXml": "<a/>"}}, "Invalid SAML"),
        ({"saml": {"idpMetadataXml": "no xml"}}, "Invalid SAML"),
        ({"saml": {"idpMetadataXml": metadata(0)}}, "1 to 3 signing keys"),
        ({"saml": {"idpMetadataXml": metadata(4)}}, "1 to 3 signing keys"),
        ({"saml": {"idpMetadataXml": metadata(1, "")}}, "entity ID"),
        ({"x509": {"trustStore": {}}}, "trust_anchors"),
        (
            {"x509": {"trustStore": {"trustAnchors": [{"pemCertificate": "x"}]}}},
            "Invalid PEM certificate",
        ),
    ],
)
def test_one_that_google_would_refuse_is_refused(
    client: Client, pool: str, source: dict[str, Any], said: str
) -> None:
    body = {"attributeMapping": MAPPING, **source}
    query = {"workloadIdentityPoolProviderId": "other"}
    status, message = client.refusal("POST", pool, body, **query)
    assert (status, said in message) == (400, True), message


def test_their_credentials_cannot_be_exchanged_here(
    cloud: GoogleCloud, client: Client, pool: str
) -> None:
    body = {"aws": {"accountId": "123456789012"}}
    client.done("POST", pool, body, workloadIdentityPoolProviderId="amazon")
    cloud.clock.step(60)
    audience = AUDIENCE.replace("/actions", "/amazon")
    kind = "urn:ietf:params:aws:token-type:aws4_request"
    error = exchange(client, "{}", audience=audience, subject_token_type=kind)["error"]
    assert (error["code"], error["message"]) == (
        501,
        "sts.token for credentials of kind aws is not simulated.",
    )
