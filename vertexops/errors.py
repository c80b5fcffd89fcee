"""What Google APIs answer when they refuse, and what that means to the person running Pulumi.

Shapes and texts: gcp-facts/02_errors.md. Google's own text is always kept whole, on a line of its
own when something is said before it.
"""

from __future__ import annotations

import re
from typing import Any, Protocol

from pulumi_plugin.kinds import ProviderError

Json = dict[str, Any]


class GoogleError(Exception):
    """An answer of a Google API other than success, or no answer at all (`code` 0).

    `code` is the HTTP status, `status` the google.rpc name, `message` Google's text unchanged,
    `reason` and `metadata` those of google.rpc.ErrorInfo where there is one.
    """

    def __init__(
        self,
        code: int,
        status: str,
        message: str,
        reason: str = "",
        metadata: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.code, self.status, self.message = code, status, message
        self.reason, self.metadata = reason, metadata or {}

    @property
    def is_quota(self) -> bool:
        """An allocation quota: waiting does not lift it."""
        return self.status == "RESOURCE_EXHAUSTED" and (
            self.reason == "RESOURCE_QUOTA_EXCEEDED" or "quotas are exceeded" in self.message
        )

    @property
    def is_transient(self) -> bool:
        if self.code == 429:
            return not self.is_quota
        return self.code in (0, 500, 502, 503, 504) or self.status == "ABORTED"


# google.rpc code numbers, as an operation's error carries them: HTTP status and name.
RPC = {
    1: (499, "CANCELLED"),
    3: (400, "INVALID_ARGUMENT"),
    4: (504, "DEADLINE_EXCEEDED"),
    5: (404, "NOT_FOUND"),
    6: (409, "ALREADY_EXISTS"),
    7: (403, "PERMISSION_DENIED"),
    8: (429, "RESOURCE_EXHAUSTED"),
    9: (400, "FAILED_PRECONDITION"),
    10: (409, "ABORTED"),
    13: (500, "INTERNAL"),
    14: (503, "UNAVAILABLE"),
    16: (401, "UNAUTHENTICATED"),
}


def operation_error(error: Json) -> GoogleError:
    """The error of a finished operation: google.rpc.Status as JSON."""
    code, status = RPC.get(int(error.get("code", 0)), (500, "UNKNOWN"))
    return GoogleError(code, status, error.get("message", ""), *_error_info(error))


def http_error(code: int, body: Any) -> GoogleError:
    """The error in an HTTP answer; `body` is its JSON, or text when it was none."""
    error = body.get("error") if isinstance(body, dict) else None
    if not isinstance(error, dict):
        text = body.get("error_description") if isinstance(body, dict) else body
        return GoogleError(code, "", str(text or error or f"HTTP {code}"))
    return GoogleError(code, error.get("status", ""), error.get("message", ""), *_error_info(error))


def _error_info(error: Json) -> tuple[str, dict[str, str]]:
    for detail in error.get("details", ()):
        if detail.get("@type", "").endswith("google.rpc.ErrorInfo"):
            return detail.get("reason", ""), dict(detail.get("metadata", {}))
    # Older APIs, Cloud Storage and BigQuery among them, answer without details.
    said = re.search(r"API has not been used in project (\S+) before", error.get("message", ""))
    if said:
        return "SERVICE_DISABLED", {"consumer": f"projects/{said[1]}", "service": "an API"}
    return "", {}


GRANT = "add it to the role this identity is granted there, and run `pulumi up` again"

# Google's text, and what is said before it.
SAYINGS = (
    (
        r"Permission '(?P<permission>[^']+)' denied on resource '(?://[^/]+/)?(?P<resource>[^']+)'",
        "needs {permission} on {resource}, which {identity} does not have: " + GRANT,
    ),
    (
        r"act as service_account: (?P<account>[^\s,;()]+?)\.?(\s|$)",
        "needs iam.serviceAccounts.actAs on projects/-/serviceAccounts/{account}, which {identity} "
        "does not have: " + GRANT,
    ),
    (
        r"(?P<who>\S+) does not have (?P<permission>storage\.\S+) access to",
        "needs {permission} for {who} on the bucket of the artifact",
    ),
    (
        r"quotas are exceeded: (?P<quota>\w+)",
        "quota {quota} does not allow {asked}: lower maxReplicas or take a smaller machine, or ask "
        "for more of this quota in this region",
    ),
)


BECOME = "iam.serviceAccounts.getAccessToken"
TOKENS = "projects/-/serviceAccounts"
"""Accounts as those are named whose tokens are asked for; their project does not matter."""


class Caller(Protocol):
    """As whom Google was called."""

    @property
    def identity(self) -> str: ...

    def turned_away(self) -> tuple[str, str]:
        """Who may not become which account."""


def explain(
    error: GoogleError, step: str, caller: Caller, asked: str = "what was asked for"
) -> ProviderError:
    """`error` for the person running Pulumi: the step, what it needs, Google's own text."""
    if error.reason == "SERVICE_DISABLED":
        service, consumer = (error.metadata.get(key, "?") for key in ("service", "consumer"))
        return ProviderError(
            f"{step}: {service} is off in {consumer}, or not on yet\n{error.message}"
        )
    # No token, so nothing was asked as the account yet: it is the caller who lacks something.
    if f"'{BECOME}' denied" in error.message:
        who, account = caller.turned_away()
        return ProviderError(
            f"{step}: {who} may not become {account}: grant it a role with {BECOME} on "
            f"{TOKENS}/{account}, and run `pulumi up` again\n{error.message}"
        )
    names = {"identity": caller.identity, "asked": asked}
    for pattern, saying in SAYINGS:
        if match := re.search(pattern, error.message):
            said = saying.format(**names, **match.groupdict())
            return ProviderError(f"{step}: {said}\n{error.message}")
    return ProviderError(f"{step}: {error.message}")
