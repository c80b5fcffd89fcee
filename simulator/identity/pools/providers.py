"""What makes a provider of an identity pool valid.

Limits: IAM v1 discovery document and gcp-facts/06_wif.md. Google's own sentences where one is
known; those of the limits are inferred.
"""

from __future__ import annotations

import hashlib
import json
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from cryptography import x509

from simulator.api.errors import invalid
from simulator.identity import mapping
from simulator.identity.issuers import GITHUB
from simulator.identity.jwt import public_keys

# Issuers that many tenants share, whose tokens a condition has to tell apart: seen refused without
# one for both.
SHARED_ISSUERS = (GITHUB, "https://app.terraform.io")
ATTRIBUTE = re.compile(r"google\.(?:subject|groups)|attribute\.[a-z0-9_]{1,90}")
# What workforce providers can map besides; no policy and no condition can name it.
OF_PEOPLE = ("google.display_name", "google.profile_photo", "google.posix_username")
MAX_ATTRIBUTES, MAX_KEY, MAX_MAPPING, MAX_CONDITION = 50, 100, 2048, 4096
MAX_AUDIENCES, MAX_AUDIENCE = 10, 256
MAX_URI, MAX_METADATA, MAX_SAML_KEYS = 2000, 128 * 1024, 3
METADATA = "{urn:oasis:names:tc:SAML:2.0:metadata}"
SIGNATURE = "{http://www.w3.org/2000/09/xmldsig#}"
SOURCES = {False: ("oidc", "aws", "saml", "x509"), True: ("oidc", "saml")}
# What an AWS provider maps unless it says otherwise (IAM v1 discovery document).
OF_AWS = {
    "google.subject": "assertion.arn",
    "attribute.aws_role": (
        "assertion.arn.contains('assumed-role') ? assertion.arn.extract('{account_arn}assumed-role/"
        "') + 'assumed-role/' + assertion.arn.extract('assumed-role/{role_name}/') : assertion.arn"
    ),
}
NO_CLAIM = (
    "The attribute condition must reference one of the provider's claims. For more information, "
    "see https://cloud.google.com/iam/docs/workload-identity-federation-with-deployment-pipelines"
    "#conditions"
)


def checked(fields: dict[str, Any], *, workforce: bool) -> dict[str, Any]:
    """The fields as they are kept; 400 for what Google would not take."""
    sources = SOURCES[workforce]
    given = [source for source in sources if source in fields]
    if len(given) != 1:
        raise invalid(f"Exactly one of {', '.join(sources)} must be set.")
    [source] = given
    about = fields[source]
    if source == "oidc":
        _check_oidc(about)
        if workforce:
            fields = {**fields, "oidc": _of_workforce(about)}
    elif source == "saml":
        _check_saml(about.get("idpMetadataXml", ""))
    elif source == "x509":
        _check_trust_store(about.get("trustStore", {}))
    else:
        if not re.fullmatch(r"\d{12}", about.get("accountId", "")):
            raise invalid("An AWS account ID has 12 digits.")
        fields = {"attributeMapping": OF_AWS, **fields}
    _check_mapping(fields.get("attributeMapping", {}), workforce)
    condition = fields.get("attributeCondition", "")
    if len(condition) > MAX_CONDITION:
        raise invalid(f"The attribute condition is longer than {MAX_CONDITION} characters.")
    shared = source == "oidc" and about["issuerUri"].rstrip("/") in SHARED_ISSUERS
    if shared and not mapping.references_a_claim(condition):
        raise invalid(NO_CLAIM)
    if condition:
        mapping.compiled(condition, "attribute_condition")
    return fields


def _check_oidc(oidc: dict[str, Any]) -> None:
    address = urlsplit(oidc.get("issuerUri", ""))
    if address.scheme and address.scheme != "https":
        raise invalid("Invalid OIDC issuer URI. The scheme must be https.")
    if not address.netloc:
        raise invalid("Invalid OIDC issuer URI.")
    audiences = oidc.get("allowedAudiences", ())
    if len(audiences) > MAX_AUDIENCES or any(len(item) > MAX_AUDIENCE for item in audiences):
        raise invalid(
            f"At most {MAX_AUDIENCES} allowed audiences of {MAX_AUDIENCE} characters can be set."
        )
    if uri := oidc.get("discoveryUri"):
        other = urlsplit(uri)
        alike = (other.scheme, other.netloc) == (address.scheme, address.netloc)
        if len(uri) > MAX_URI or not alike or "/.well-known/" not in other.path:
            raise invalid("Invalid OIDC discovery URI.")
    if text := oidc.get("jwksJson"):
        try:
            public_keys(json.loads(text))
        except (ValueError, KeyError, TypeError, AttributeError):
            raise invalid(f"Invalid JWKs {text}. Only RSA, EC key types are supported.") from None


def _of_workforce(oidc: dict[str, Any]) -> dict[str, Any]:
    """With the client's secret as Google shows it: not at all, but for a thumbprint."""
    if not oidc.get("clientId"):
        raise invalid("A workforce provider needs a client_id.")
    secret = oidc.get("clientSecret", {}).get("value", {}).get("plainText")
    if not secret:
        return oidc
    thumbprint = hashlib.sha256(secret.encode()).hexdigest()
    return {**oidc, "clientSecret": {"value": {"thumbprint": thumbprint}}}


def _check_saml(text: str) -> None:
    """An entity with one to three keys that sign; their dates are not looked at."""
    try:
        entity = ElementTree.fromstring(text) if len(text) <= MAX_METADATA else None
    except ElementTree.ParseError:
        entity = None
    if entity is None or entity.tag != f"{METADATA}EntityDescriptor":
        raise invalid("Invalid SAML identity provider metadata.")
    if not entity.get("entityID"):
        raise invalid("The SAML metadata must contain an identity provider entity ID.")
    if not 0 < len(list(_signing(entity))) <= MAX_SAML_KEYS:
        raise invalid(f"The SAML metadata must contain 1 to {MAX_SAML_KEYS} signing keys.")


def _signing(entity: ElementTree.Element) -> Iterator[ElementTree.Element]:
    descriptors = f"{METADATA}IDPSSODescriptor/{METADATA}KeyDescriptor"
    for descriptor in entity.iterfind(descriptors):
        # A key without a use is for everything.
        if descriptor.get("use", "signing") == "signing":
            yield from descriptor.iter(f"{SIGNATURE}X509Certificate")


def _check_trust_store(store: dict[str, Any]) -> None:
    anchors = store.get("trustAnchors", [])
    if not anchors:
        raise invalid("A trust store needs trust_anchors.")
    for item in (*anchors, *store.get("intermediateCas", ())):
        try:
            x509.load_pem_x509_certificate(item.get("pemCertificate", "").encode())
        except ValueError:
            raise invalid("Invalid PEM certificate in the trust store.") from None


def _check_mapping(mappings: dict[str, str], workforce: bool) -> None:
    if "google.subject" not in mappings:
        raise invalid("The attribute mapping must include google.subject.")
    custom = [name for name in mappings if name.startswith("attribute.")]
    if len(custom) > MAX_ATTRIBUTES:
        raise invalid(f"At most {MAX_ATTRIBUTES} custom attributes can be mapped.")
    for name, expression in mappings.items():
        known = ATTRIBUTE.fullmatch(name) or (workforce and name in OF_PEOPLE)
        if not known or len(name) > MAX_KEY:
            raise invalid(
                f'Invalid attribute "{name}": use google.subject, google.groups, or attribute. '
                f"and characters of a-z, 0-9 and _, {MAX_KEY} in all."
            )
        if len(expression) > MAX_MAPPING:
            raise invalid(f"The mapping of {name} is longer than {MAX_MAPPING} characters.")
        mapping.compiled(expression, "attribute_mapping")
