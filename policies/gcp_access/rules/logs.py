"""L and A: audit logs, alerts, and the APIs that are on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from ..stack import Stack
from ..view import Resource
from .accounts import DEFAULTS, PROJECT_TYPE
from .examples import PROJECT, USER, Declared
from .rule import Context, Example, Findings, StackFindings, rule

AUDIT: Final = (
    "gcp:projects/iAMAuditConfig:IAMAuditConfig",
    "gcp:folder/iamAuditConfig:IamAuditConfig",
    "gcp:organizations/iamAuditConfig:IamAuditConfig",
)
KINDS: Final = ("ADMIN_READ", "DATA_READ", "DATA_WRITE")
SINK: Final = "gcp:logging/projectSink:ProjectSink"
EXCLUSION: Final = "gcp:logging/projectExclusion:ProjectExclusion"
LOG_BUCKET: Final = "gcp:logging/projectBucketConfig:ProjectBucketConfig"
METRIC: Final = "gcp:logging/metric:Metric"
ALERT: Final = "gcp:monitoring/alertPolicy:AlertPolicy"
SERVICE: Final = "gcp:projects/service:Service"

NEW_PROJECT: Final[Declared] = (
    PROJECT_TYPE,
    {"projectId": "iot-new", "name": "iot-new", "orgId": "1"},
)
WHOLE: Final[Example] = {
    "project": NEW_PROJECT,
    "defaults": (DEFAULTS, {"project": "iot-new", "action": "DISABLE"}),
    "sink": (SINK, {"project": "iot-new", "destination": "storage.googleapis.com/audit",
                    "uniqueWriterIdentity": True}),
    "metric": (METRIC, {"project": "iot-new", "filter": 'protoPayload.methodName="SetIamPolicy"'}),
    "alert": (ALERT, {"project": "iot-new", "displayName": "grants", "combiner": "OR",
                      "conditions": []}),
}  # fmt: skip


def audit(*kinds: str, **more: Any) -> tuple[str, dict[str, Any]]:
    logs = [{"logType": kind, **more} for kind in kinds]
    return AUDIT[0], {
        "project": PROJECT,
        "service": "aiplatform.googleapis.com",
        "auditLogConfigs": logs,
    }


@rule(
    "L1", "Audit logs are whole", "high", each="resource", types=AUDIT,
    protects="The answer to 'who read this?': a kind that is off, or a member that is exempt, "
    "leaves no trace.",
    bad={"exempt": audit(*KINDS, exemptedMembers=[USER])},
    good={"whole": audit(*KINDS)},
    remedy='audit_log_configs=[{"log_type": kind} for kind in '
    '("ADMIN_READ", "DATA_READ", "DATA_WRITE")]',
)  # fmt: skip
def audited(found: Resource, context: Context) -> Findings:
    logs = found.get("auditLogConfigs", [])
    kinds = {log.get("logType") for log in logs}
    if missing := [kind for kind in KINDS if kind not in kinds]:
        yield f"{found.get('service')} does not log {', '.join(missing)}"
    for log in logs:
        if exempt := log.get("exemptedMembers"):
            yield f"{log.get('logType')} leaves out {', '.join(map(str, exempt))}"


@rule(
    "L2", "Logs leave the project", "medium", each="stack", mandatory=False,
    protects="The audit trail, from whoever takes the project over.",
    bad={"project": NEW_PROJECT},
    good=WHOLE,
    remedy='gcp.logging.ProjectSink("audit", destination=f"storage.googleapis.com/{bucket.name}",\n'
    "    filter='logName:\"cloudaudit.googleapis.com\"', unique_writer_identity=True)",
)  # fmt: skip
def sunk(stack: Stack, context: Context) -> StackFindings:
    sinks = stack.of(SINK)
    for sink in sinks:
        if sink.props.get("disabled") is True:
            yield sink, "the sink is disabled"
        if sink.props.get("uniqueWriterIdentity") is False:
            yield sink, "the sink writes as an account that all projects share"
    for project in _own_projects(stack, context) if not sinks else ():
        yield project, "the stack owns the project, and no sink takes its logs elsewhere"


def _own_projects(stack: Stack, context: Context) -> Iterator[Resource]:
    found = stack.of(PROJECT_TYPE)
    if context.config.owns_project and not found:
        found = [stack.root]
    yield from found


@rule(
    "L3", "No log is dropped or short-lived", "high", each="resource",
    types=(EXCLUSION, SINK, LOG_BUCKET),
    protects="The audit trail, from filters that drop it and from buckets that forget it.",
    bad={"drop": (EXCLUSION, {"project": PROJECT,
                      "filter": 'logName:"cloudaudit.googleapis.com"'})},
    good={"noise": (EXCLUSION, {"project": PROJECT, "filter":
                    'resource.type="k8s_container" AND severity<INFO '
                    'AND NOT logName:"cloudaudit.googleapis.com"'})},
    remedy="filter='severity<INFO AND NOT logName:\"cloudaudit.googleapis.com\"'",
)  # fmt: skip
def kept(found: Resource, context: Context) -> Findings:
    if found.kind == LOG_BUCKET.lower():
        days = found.get("retentionDays", 30)
        if days < context.config.retention_days:
            yield f"retentionDays is {days}; at least {context.config.retention_days}"
        return
    exclusions = [found.props] if found.kind == EXCLUSION.lower() else found.get("exclusions", [])
    for exclusion in exclusions:
        text = str(exclusion.get("filter", ""))
        spares = 'NOT logName:"cloudaudit.googleapis.com' in text
        if exclusion.get("disabled") is not True and not spares:
            yield f"the exclusion {text!r} may drop audit logs"


@rule(
    "L4", "Changes of access wake somebody", "medium", each="stack", mandatory=False,
    protects="The time between a bad grant and the person who takes it back.",
    bad={"project": NEW_PROJECT},
    good=WHOLE,
    remedy='gcp.logging.Metric("grants", filter=\'protoPayload.methodName="SetIamPolicy"\', ...)\n'
    'gcp.monitoring.AlertPolicy("grants", conditions=[... metric.type="logging.googleapis.com/'
    'user/grants" ...])',
)  # fmt: skip
def alerted(stack: Stack, context: Context) -> StackFindings:
    watched = any("SetIamPolicy" in str(metric.props.get("filter")) for metric in stack.of(METRIC))
    if not (watched and stack.of(ALERT)):
        for project in _own_projects(stack, context):
            yield project, "no log metric and alert tell of changed grants"


@rule(
    "A1", "Only agreed APIs", "high", each="resource", types=(SERVICE,),
    protects="Against services that nobody here watches; Deployment Manager, Source Repositories "
    "and Cloud Build run code as strong accounts.",
    bad={"manager": (SERVICE, {"project": PROJECT, "service": "deploymentmanager.googleapis.com",
                               "disableOnDestroy": False})},
    good={"vertex": (SERVICE, {"project": PROJECT, "service": "aiplatform.googleapis.com",
                               "disableOnDestroy": False})},
    remedy="# apis in the config, or do without the service",
)  # fmt: skip
def agreed(found: Resource, context: Context) -> Findings:
    allowed, service = context.config.apis, str(found.get("service", ""))
    if allowed and service not in allowed:
        yield f"{service} is not in apis"


@rule(
    "A2", "No API is switched off under others", "low", each="resource", types=(SERVICE,),
    mandatory=False,
    protects="Whatever else calls the API, when this stack goes or forgets it.",
    bad={"off": (SERVICE, {"project": PROJECT, "service": "aiplatform.googleapis.com",
                           "disableOnDestroy": True})},
    good={"on": (SERVICE, {"project": PROJECT, "service": "aiplatform.googleapis.com",
                           "disableOnDestroy": False})},
    remedy="disable_on_destroy=False",
)  # fmt: skip
def left_on(found: Resource, context: Context) -> Findings:
    if found.get("disableOnDestroy") is True:
        yield "disableOnDestroy is on"


RULES: Final = (audited, sunk, kept, alerted, agreed, left_on)
