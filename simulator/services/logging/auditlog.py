"""Cloud Audit Logs: an answered request as Google writes it down.

Shape: google/cloud/audit/audit_log.proto and entries recorded in public repositories. One request
is one entry, with the caller's own permission checks in `authorizationInfo`; what Google's agents
were checked for on the way is left out, and so are requests that ended before any check (an API
that is off). Operations get no second entry when they end.

That a refused check carries `granted: false` is an inference: JSON may leave out what is false.
Resource types other than `audited_resource` are those recorded, without the labels that need a
look at the resource (`gcs_bucket`'s location, `service_account`'s unique id).
"""

from __future__ import annotations

import re
from typing import Any

from simulator.api.audit import Handled
from simulator.core.cloud import Cloud
from simulator.iam.decisions import Iam
from simulator.services.logging.methods import ADMIN_WRITE, log_type, method_name

ACTIVITY = "cloudaudit.googleapis.com%2Factivity"
DATA_ACCESS = "cloudaudit.googleapis.com%2Fdata_access"
# "BigQuery Data Access audit logs are enabled by default" and cannot be turned off (docs
# logging/docs/audit/configure-data-access).
ALWAYS_ON = {"bigquery.googleapis.com"}
# (service, resource name, its type in Logging); named groups are labels.
RESOURCE_TYPES = (
    (
        "storage.googleapis.com",
        re.compile(r"projects/_/buckets/(?P<bucket_name>[^/]+).*"),
        "gcs_bucket",
    ),
    (
        "iam.googleapis.com",
        re.compile(r"projects/[^/]+/serviceAccounts/(?P<email_id>[^/]+).*"),
        "service_account",
    ),
    ("cloudresourcemanager.googleapis.com", re.compile(r"projects/[^/]+"), "project"),
    (
        "logging.googleapis.com",
        re.compile(r"projects/[^/]+/sinks/(?P<name>[^/]+)"),
        "logging_sink",
    ),
)


def insert_id(request: int, index: int = 0) -> str:
    """Ids in order of time: of a request's audit entry, and of the entries it wrote."""
    return f"{request:09x}{index:05x}"


def container(cloud: Cloud, request: Handled) -> str:
    """The project, folder or organization whose logs have the request."""
    return request.container or cloud[Iam].container(request.resource)


def log_of(cloud: Cloud, request: Handled) -> str | None:
    """The id of the log that the request is in; None when it is in none."""
    kind = log_type(request.method.id)
    if not request.checks:
        return None
    if kind == ADMIN_WRITE:
        return ACTIVITY
    return DATA_ACCESS if _data_access(cloud, request, kind) else None


def _data_access(cloud: Cloud, request: Handled, kind: str) -> bool:
    """Whether the audit configurations of the time ask for this log, for this caller.

    Configurations of the project and above add up (docs configure-data-access).
    """
    if request.method.service in ALWAYS_ON:
        return True
    identities: set[str] | None = None
    for ancestor in cloud[Iam].ancestors(container(cloud, request)):
        history = cloud[Iam].audit_configs.get(ancestor, ())
        current = [
            configs
            for since, after, configs in history
            if since <= request.time and after <= request.number
        ]
        for config in current[-1] if current else ():
            if config.get("service") not in ("allServices", request.method.service):
                continue
            for log in config.get("auditLogConfigs", ()):
                if log.get("logType") == kind:
                    identities = identities or set(cloud[Iam].identities(request.principal))
                    if identities.isdisjoint(log.get("exemptedMembers", ())):
                        return True
    return False


def entry(cloud: Cloud, request: Handled) -> dict[str, Any] | None:
    """The LogEntry of a request, None when it is in no log."""
    log = log_of(cloud, request)
    if log is None:
        return None
    moment, owner = cloud.clock.rfc3339(request.time), container(cloud, request)
    return {
        "protoPayload": _payload(request, moment),
        "insertId": insert_id(request.number),
        "resource": _resource(request, owner),
        "timestamp": moment,
        "severity": "ERROR" if request.code else "NOTICE" if log == ACTIVITY else "INFO",
        "logName": f"{owner}/logs/{log}",
        "receiveTimestamp": moment,
    }


def _payload(request: Handled, moment: str) -> dict[str, Any]:
    member, email = request.principal.member, request.principal.email
    status: dict[str, Any] = {"code": request.code} if request.code else {}
    if request.message:
        status["message"] = request.message
    who = {"principalSubject": member}
    if email != member:
        who["principalEmail"] = email
    return {
        "@type": "type.googleapis.com/google.cloud.audit.AuditLog",
        "status": status,
        "authenticationInfo": who,
        "requestMetadata": {
            # Everything comes over loopback.
            "callerIp": "127.0.0.1",
            "callerSuppliedUserAgent": request.agent,
            "requestAttributes": {"time": moment, "auth": {}},
            "destinationAttributes": {},
        },
        "serviceName": request.method.service,
        "methodName": method_name(request.method),
        "authorizationInfo": [
            {
                "resource": check.resource,
                "permission": check.permission,
                "granted": check.granted,
                "resourceAttributes": {},
            }
            for check in request.checks
            if check.principal == member
        ],
        "resourceName": request.resource,
    }


def _resource(request: Handled, owner: str) -> dict[str, Any]:
    service = request.method.service
    kind, _, name = owner.partition("/")
    place = {f"{kind.removesuffix('s')}_id": name}
    for known, pattern, resource_type in RESOURCE_TYPES:
        found = pattern.fullmatch(request.resource)
        if known == service and found:
            return {"type": resource_type, "labels": {**place, **found.groupdict()}}
    labels = {**place, "service": service, "method": method_name(request.method)}
    return {"type": "audited_resource", "labels": labels}
