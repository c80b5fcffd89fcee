"""What makes a provider of an identity pool valid.

Limits: IAM v1 discovery document and gcp-facts/06_wif.md. Google's own sentences where one is
known; those of the limits are inferred.
"""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import urlsplit

from rehearsal.cloud import mapping
from rehearsal.cloud.api import ApiError, invalid
from rehearsal.cloud.issuers import GITHUB
from rehearsal.cloud.jwt import public_keys

# Issuers that many tenants share, whose tokens a condition has to tell apart: seen refused without
# one for both.
SHARED_ISSUERS = (GITHUB, "https://app.terraform.io")
ATTRIBUTE = re.compile(r"google\.(?:subject|groups)|attribute\.[a-z0-9_]{1,90}")
MAX_ATTRIBUTES, MAX_KEY, MAX_MAPPING, MAX_CONDITION = 50, 100, 2048, 4096
MAX_AUDIENCES, MAX_AUDIENCE = 10, 256
SOURCES = ("oidc", "aws", "saml", "x509")
NO_CLAIM = (
    "The attribute condition must reference one of the provider's claims. For more information, "
    "see https://cloud.google.com/iam/docs/workload-identity-federation-with-deployment-pipelines"
    "#conditions"
)


def check(fields: dict[str, Any]) -> None:
    """400 for what Google would not take; 501 for sources of identity that are not OIDC."""
    given = [source for source in SOURCES if source in fields]
    if len(given) != 1:
        raise invalid(f"Exactly one of {', '.join(SOURCES)} must be set.")
    if given != ["oidc"]:
        raise ApiError(501, "UNIMPLEMENTED", f"Providers of kind {given[0]} are not simulated.")
    _check_oidc(fields["oidc"])
    _check_mapping(fields.get("attributeMapping", {}))
    condition = fields.get("attributeCondition", "")
    if len(condition) > MAX_CONDITION:
        raise invalid(f"The attribute condition is longer than {MAX_CONDITION} characters.")
    shared = fields["oidc"]["issuerUri"].rstrip("/") in SHARED_ISSUERS
    if shared and not mapping.references_a_claim(condition):
        raise invalid(NO_CLAIM)
    if condition:
        mapping.compiled(condition, "attribute_condition")


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
    if text := oidc.get("jwksJson"):
        try:
            public_keys(json.loads(text))
        except (ValueError, KeyError, TypeError, AttributeError):
            raise invalid(f"Invalid JWKs {text}. Only RSA, EC key types are supported.") from None


def _check_mapping(mappings: dict[str, str]) -> None:
    if "google.subject" not in mappings:
        raise invalid("The attribute mapping must include google.subject.")
    custom = [name for name in mappings if name.startswith("attribute.")]
    if len(custom) > MAX_ATTRIBUTES:
        raise invalid(f"At most {MAX_ATTRIBUTES} custom attributes can be mapped.")
    for name, expression in mappings.items():
        if not ATTRIBUTE.fullmatch(name) or len(name) > MAX_KEY:
            raise invalid(
                f'Invalid attribute "{name}": use google.subject, google.groups, or attribute. '
                f"and characters of a-z, 0-9 and _, {MAX_KEY} in all."
            )
        if len(expression) > MAX_MAPPING:
            raise invalid(f"The mapping of {name} is longer than {MAX_MAPPING} characters.")
        mapping.compiled(expression, "attribute_mapping")
