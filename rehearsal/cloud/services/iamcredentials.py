"""IAM Credentials v1: short-lived tokens for service accounts."""

from __future__ import annotations

from typing import Any

from rehearsal.cloud.api import Call, Principal, failed_precondition, invalid, method, not_found
from rehearsal.cloud.identity import LIFETIME
from rehearsal.cloud.services.accounts import account_name


# Checked by the handler: with `delegates`, each hop has its own caller and its own permission.
@method(
    "iamcredentials.projects.serviceAccounts.generateAccessToken",
    permission=None,
    on=account_name,
)
def generate_access_token(call: Call) -> dict[str, Any]:
    caller = call.principal
    for delegate in call.body.get("delegates", ()):
        email = delegate.rpartition("/")[2]
        account = call.cloud.accounts.find(email)
        hop = account.name if account else f"projects/-/serviceAccounts/{email}"
        call.check("iam.serviceAccounts.implicitDelegation", hop, principal=caller)
        caller = Principal(f"serviceAccount:{email}")
    email = call.resource.rpartition("/")[2]
    account = call.cloud.accounts.find(email)
    if account is None:
        raise not_found(f"Not found; Gaia id not found for email {email}")
    call.check("iam.serviceAccounts.getAccessToken", call.resource, principal=caller)
    if account.disabled:
        # gcp-facts does not record Google's sentence for this.
        raise failed_precondition(f"Service account {email} is disabled.")
    if not call.body.get("scope"):
        raise invalid("Request contains an invalid argument: scope is required.")
    token, expires = call.cloud.identity.issue(
        Principal(f"serviceAccount:{account.email}"), _lifetime(call.body.get("lifetime"))
    )
    clock = call.cloud.clock
    told = int(clock.moment_for_clients(expires))
    return {"accessToken": token, "expireTime": clock.rfc3339(told)}


def _lifetime(text: str | None) -> float:
    try:
        seconds = float(text.removesuffix("s")) if text else LIFETIME
    except ValueError:
        raise invalid(f"Invalid value at 'lifetime' (3600s, for one), \"{text}\"") from None
    if not 0 < seconds <= LIFETIME:
        raise invalid(f"The token lifetime must be more than 0s and at most {LIFETIME}s.")
    return seconds


# google-auth asks this of every account before its first call; "0x0" means everywhere.
@method(
    "iamcredentials.projects.serviceAccounts.getAllowedLocations",
    "iamcredentials.projects.locations.workloadIdentityPools.getAllowedLocations",
    "iamcredentials.locations.workforcePools.getAllowedLocations",
    permission=None,
)
def get_allowed_locations(call: Call) -> dict[str, Any]:
    return {"locations": [], "encodedLocations": "0x0"}
