"""Errors as Google's services send them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from simulator.api import refusals
from simulator.core.principal import Principal

INFO = "type.googleapis.com/google.rpc."

# google.rpc.Code numbers, as an operation's `error.code` carries them.
RPC_CODES = {
    "CANCELLED": 1,
    "UNKNOWN": 2,
    "INVALID_ARGUMENT": 3,
    "NOT_FOUND": 5,
    "ALREADY_EXISTS": 6,
    "PERMISSION_DENIED": 7,
    "RESOURCE_EXHAUSTED": 8,
    "FAILED_PRECONDITION": 9,
    "ABORTED": 10,
    "UNIMPLEMENTED": 12,
    "INTERNAL": 13,
    "UNAVAILABLE": 14,
    "UNAUTHENTICATED": 16,
}

# The `reason` of the older error shape's `errors` list, by HTTP status.
LEGACY_REASONS = {
    400: "badRequest",
    401: "authError",
    403: "forbidden",
    404: "notFound",
    409: "alreadyExists",
    412: "conditionNotMet",
    429: "rateLimitExceeded",
    501: "notImplemented",
}

# Services whose errors still carry the `errors` list (gcp-facts/02_errors.md: the Go client prints
# its reason after the message, ", badRequest"). Storage has that list only.
LEGACY_SERVICES = {"iam", "cloudresourcemanager", "serviceusage", "bigquery", "compute"}

# The service that owns a permission, where its prefix is not the service's name.
PERMISSION_SERVICES = {"resourcemanager": "cloudresourcemanager.googleapis.com"}


class ApiError(Exception):
    """An answer other than success. `details` are google.rpc detail messages as JSON."""

    def __init__(
        self,
        status: int,
        reason: str,
        message: str,
        details: Iterable[dict[str, Any]] = (),
        legacy: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.message = message
        self.details = list(details)
        self.legacy = legacy or LEGACY_REASONS.get(status, "backendError")

    def render(self, api: str) -> dict[str, Any]:
        """The error body as the given API (`aiplatform`, `storage`…) sends it."""
        error: dict[str, Any] = {"code": self.status, "message": self.message}
        if api == "storage" or api in LEGACY_SERVICES:
            error["errors"] = [{"message": self.message, "domain": "global", "reason": self.legacy}]
        if api != "storage":
            error["status"] = self.reason
            if self.details:
                error["details"] = self.details
        return {"error": error}

    def operation_error(self) -> dict[str, Any]:
        """The `error` of a finished long-running operation (a google.rpc.Status)."""
        error: dict[str, Any] = {"code": RPC_CODES[self.reason], "message": self.message}
        if self.details:
            error["details"] = self.details
        return error


def not_found(message: str) -> ApiError:
    return ApiError(404, "NOT_FOUND", message)


def invalid(message: str, violations: Iterable[tuple[str, str]] = ()) -> ApiError:
    """400; `violations` are (field, description) pairs of a google.rpc.BadRequest."""
    listed = [{"field": field, "description": text} for field, text in violations]
    details = [{"@type": f"{INFO}BadRequest", "fieldViolations": listed}] if listed else []
    return ApiError(400, "INVALID_ARGUMENT", message, details)


def already_exists(message: str) -> ApiError:
    return ApiError(409, "ALREADY_EXISTS", message)


def aborted(message: str) -> ApiError:
    return ApiError(409, "ABORTED", message, legacy="aborted")


def failed_precondition(message: str, violations: Iterable[tuple[str, str, str]] = ()) -> ApiError:
    """400; `violations` are (type, subject, description) of a google.rpc.PreconditionFailure."""
    keys = ("type", "subject", "description")
    listed = [dict(zip(keys, violation, strict=True)) for violation in violations]
    details = [{"@type": f"{INFO}PreconditionFailure", "violations": listed}] if listed else []
    return ApiError(400, "FAILED_PRECONDITION", message, details, "failedPrecondition")


def resource_exhausted(message: str, details: Iterable[dict[str, Any]] = ()) -> ApiError:
    return ApiError(429, "RESOURCE_EXHAUSTED", message, details)


def unimplemented(method_id: str) -> ApiError:
    return ApiError(501, "UNIMPLEMENTED", f"{method_id} is not simulated.")


def internal_error() -> ApiError:
    return ApiError(500, "INTERNAL", "Internal error encountered.")


def unauthenticated() -> ApiError:
    message = (
        "Request had invalid authentication credentials. Expected OAuth 2 access token, login "
        "cookie or other valid authentication credential. See "
        "https://developers.google.com/identity/sign-in/web/devconsole-project."
    )
    return ApiError(401, "UNAUTHENTICATED", message)


def error_info(reason: str, domain: str, **metadata: str) -> dict[str, Any]:
    info: dict[str, Any] = {"@type": f"{INFO}ErrorInfo", "reason": reason, "domain": domain}
    return {**info, "metadata": metadata} if metadata else info


def permission_service(permission: str) -> str:
    """The service a permission belongs to: `aiplatform.…` -> `aiplatform.googleapis.com`."""
    prefix = permission.split(".", 1)[0]
    return PERMISSION_SERVICES.get(prefix) or f"{prefix}.googleapis.com"


def permission_denied(
    principal: Principal, permission: str, resource: str, numbered: str = ""
) -> ApiError:
    """The denial Google sends, in the service's own words or in IAM's general ones (`refusals`).

    `numbered` is the resource with its project's number.
    """
    service = permission_service(permission)
    # Roles list `iam.googleapis.com/workloadIdentityPools.get`; denials have no host in it, as
    # users report them.
    permission = permission.replace(f"{service}/", "iam.", 1)
    line, parts = refusals.line(permission, resource)
    message = line.sentence.format(
        **parts,
        permission=permission,
        service=service,
        resource=resource,
        numbered=numbered or resource,
        email=principal.email,
    )
    if line.status == 400:
        return invalid(message)
    reason, iam = "IAM_PERMISSION_DENIED", "iam.googleapis.com"
    infos = {
        "resource": [error_info(reason, service, resource=resource, permission=permission)],
        "permission": [error_info(reason, iam, permission=permission)],
        "serviceusage": [error_info("AUTH_PERMISSION_DENIED", service)],
        "": [],
    }
    return ApiError(403, "PERMISSION_DENIED", message, infos[line.details], line.reason)
