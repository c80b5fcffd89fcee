"""S: service accounts, who may become them, and what runs as them."""

from __future__ import annotations

from typing import Final

from .. import powers
from ..grants import Grant
from ..judge import is_googles
from ..packages import named
from ..stack import DEFAULT_ACCOUNTS, Stack, runs_as
from ..view import UNKNOWN, Resource
from .access import judgements
from .examples import (
    GROUP,
    TRUSTED,
    USER,
    account,
    custom_role,
    email,
    on_account,
    on_bucket,
    on_project,
    service_account,
)
from .rule import Context, Findings, StackFindings, rule

RUN_SERVICE: Final = "gcp:cloudrunv2/service:Service"
PROJECT_TYPE: Final = "gcp:organizations/project:Project"
DEFAULTS: Final = "gcp:projects/defaultServiceAccounts:DefaultServiceAccounts"

# Where a workload says which account it runs as; without it Google takes a default account.
WORKLOADS: Final = {
    "gcp:appengine/flexibleAppVersion:FlexibleAppVersion": "serviceAccount",
    "gcp:appengine/standardAppVersion:StandardAppVersion": "serviceAccount",
    "gcp:cloudbuild/trigger:Trigger": "serviceAccount",
    "gcp:cloudfunctions/function:Function": "serviceAccountEmail",
    "gcp:cloudfunctionsv2/function:Function": "serviceConfig.serviceAccountEmail",
    "gcp:cloudrun/service:Service": "template.spec.serviceAccountName",
    "gcp:cloudrunv2/job:Job": "template.template.serviceAccount",
    "gcp:cloudrunv2/service:Service": "template.serviceAccount",
    "gcp:cloudrunv2/workerPool:WorkerPool": "template.serviceAccount",
    "gcp:composer/environment:Environment": "config.nodeConfig.serviceAccount",
    "gcp:compute/instance:Instance": "serviceAccount.email",
    "gcp:compute/instanceTemplate:InstanceTemplate": "serviceAccount.email",
    "gcp:compute/regionInstanceTemplate:RegionInstanceTemplate": "serviceAccount.email",
    "gcp:container/nodePool:NodePool": "nodeConfig.serviceAccount",
    "gcp:dataflow/flexTemplateJob:FlexTemplateJob": "serviceAccountEmail",
    "gcp:dataflow/job:Job": "serviceAccountEmail",
    "gcp:dataproc/cluster:Cluster": "clusterConfig.gceClusterConfig.serviceAccount",
    "gcp:eventarc/trigger:Trigger": "serviceAccount",
    "gcp:tpu/v2Vm:V2Vm": "serviceAccount.email",
    "gcp:workbench/instance:Instance": "gceSetup.serviceAccounts",
    "gcp:workflows/workflow:Workflow": "serviceAccount",
}
_PATHS: Final = {named(type_).lower(): path for type_, path in WORKLOADS.items()}


@rule(
    "S1", "No long-lived credentials", "critical", each="resource",
    types=("gcp:serviceaccount/key:Key", "gcp:storage/hmacKey:HmacKey",
           "gcp:projects/apiKey:ApiKey"),
    protects="Against keys that leak and work for ever; the state would hold them too.",
    bad={"key": ("gcp:serviceaccount/key:Key", {"serviceAccountId": email("pm-deployer")})},
    good={"federated": on_account("pm-serving", "roles/iam.workloadIdentityUser",
          "principalSet://iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/ci/"
          "attribute.repository_id/123")},
    remedy="# People: gcloud auth application-default login --impersonate-service-account=EMAIL\n"
    "# CI: a workload identity pool provider, and\n"
    'gcp.serviceaccount.IAMMember("ci", service_account_id=deployer.name,\n'
    '    role="roles/iam.workloadIdentityUser", member=f"principalSet://iam.googleapis.com/'
    '{pool.name}/attribute.repository_id/{REPOSITORY_ID}")',
)  # fmt: skip
def no_keys(resource: Resource, context: Context) -> Findings:
    if not resource.kind.endswith(":apikey"):
        yield "a key that does not expire; whoever has it is the account"
        return
    if resource.get("serviceAccountEmail"):
        yield "an API key that works as a service account"
    elif not resource.get("restrictions"):
        yield "an API key without restrictions"


@rule(
    "S2", "Becoming an account is granted on that account", "critical", each="grant",
    protects="Every other service account of the project, also those that are still to come.",
    bad={"all": on_project("roles/iam.serviceAccountTokenCreator", GROUP)},
    good={"one": on_account("pm-deployer", "roles/iam.serviceAccountTokenCreator", TRUSTED)},
    remedy='gcp.serviceaccount.IAMMember("becomes", service_account_id=deployer.name, '
    "role=ROLE, member=MEMBER)",
)  # fmt: skip
def on_one_account(grant: Grant, resource: Resource, context: Context) -> Findings:
    for judged in judgements(grant, resource, context):
        becomes = set(judged.escalating)
        if becomes and becomes <= powers.IMPERSONATES:
            yield f"{judged.numbers}. On a {grant.level}, that is every service account there"


@rule(
    "S3", "Declared members become accounts, and no others", "high", each="grant",
    only_strict="Who is agreed, only trustedMembers and the stack's access file say.",
    protects="The accounts that deploy and serve: who may become one has all that it holds.",
    bad={"person": on_account("pm-deployer", "roles/iam.serviceAccountUser", USER)},
    good={"platform": on_account("pm-deployer", "roles/iam.serviceAccountTokenCreator", TRUSTED)},
    remedy='member="group:platform@example.com"  # listed in the config: trustedMembers',
)  # fmt: skip
def declared_members(grant: Grant, resource: Resource, context: Context) -> Findings:
    if resource.module != "gcp:serviceaccount" or grant.wide:
        return
    itself = _itself(resource)
    for member in grant.each_member():
        if is_googles(member) or member in context.config.trusted_members:
            continue
        judged = context.judge.grant(grant, member)
        if judged is None or not judged.held & powers.IMPERSONATES:
            continue
        # W4 looks at sets, and S9 at the account itself.
        if member.startswith("principal") or member == f"serviceAccount:{itself}":
            continue
        if not judged.held & judged.needed & powers.IMPERSONATES:
            yield (
                f"{member} may become {itself or 'the account'} ({grant.role}); it is not in "
                "trustedMembers, and the stack does not need it"
            )


def _itself(resource: Resource) -> str:
    """E-mail of the account that a grant is on."""
    return str(resource.props.get("serviceAccountId", "")).rpartition("/")[2]


@rule(
    "S9", "No account becomes itself", "high", each="grant",
    protects="Against a leaked token that lives for ever: it gets the next one by itself.",
    bad={"itself": on_account("pm-telemetry", "roles/iam.serviceAccountTokenCreator",
                              account("pm-telemetry"))},
    good={"other": on_account("pm-deployer", "roles/iam.serviceAccountTokenCreator", TRUSTED)},
    remedy="# Remove the grant: an account needs none to work as itself",
)  # fmt: skip
def itself_again(grant: Grant, resource: Resource, context: Context) -> Findings:
    itself = f"serviceAccount:{_itself(resource)}"
    for member in grant.each_member():
        if not grant.wide and member == itself:
            judged = context.judge.grant(grant, member)
            if judged and judged.held & powers.IMPERSONATES:
                yield f"{_itself(resource)} may become itself, and so extend a leaked token"


@rule(
    "S4", "Code runs as an account of its own", "high", each="resource",
    protects="Against code that shares the default account, which starts as an editor.",
    bad={"service": (RUN_SERVICE, {"location": "europe-west4", "template": {
        "containers": [{"image": "us-docker.pkg.dev/iot-prod/a/b:1"}]}})},
    good={"service": (RUN_SERVICE, {"location": "europe-west4", "template": {
        "serviceAccount": email("pm-telemetry"),
        "containers": [{"image": "us-docker.pkg.dev/iot-prod/a/b:1"}]}})},
    remedy='worker = gcp.serviceaccount.Account("worker", account_id="worker")\n'
    "# and on the workload: service_account=worker.email",
)  # fmt: skip
def own_account(resource: Resource, context: Context) -> Findings:
    path = _PATHS.get(resource.kind)
    if path and not resource.get(path):
        yield f"{path} is not set, so it runs as a default service account"
    for found in sorted(set(runs_as(resource))):
        if found.endswith(DEFAULT_ACCOUNTS):
            yield f"it runs as {found}, a default service account"


@rule(
    "S5", "A new project's default accounts are disabled", "medium", each="stack",
    mandatory=False,
    protects="Against default accounts with the editor role, which Google makes with a project.",
    bad={"project": (PROJECT_TYPE, {"projectId": "iot-new", "name": "iot-new", "orgId": "1"})},
    good={
        "project": (PROJECT_TYPE, {"projectId": "iot-newer", "name": "iot-newer", "orgId": "1"}),
        "defaults": (DEFAULTS, {"project": "iot-newer", "action": "DISABLE"}),
        "sink": ("gcp:logging/projectSink:ProjectSink", {"project": "iot-newer",
                 "destination": "storage.googleapis.com/audit", "uniqueWriterIdentity": True}),
        "metric": ("gcp:logging/metric:Metric", {"project": "iot-newer",
                   "filter": 'protoPayload.methodName="SetIamPolicy"'}),
        "alert": ("gcp:monitoring/alertPolicy:AlertPolicy", {"project": "iot-newer",
                  "displayName": "grants", "combiner": "OR", "conditions": []}),
    },
    remedy='gcp.projects.DefaultServiceAccounts("defaults", project=project.project_id, '
    'action="DISABLE")',
)  # fmt: skip
def disabled_defaults(stack: Stack, context: Context) -> StackFindings:
    handled = {str(resource.props.get("project")) for resource in stack.of(DEFAULTS)}
    for project in stack.of(PROJECT_TYPE):
        if str(project.props.get("projectId")) not in handled:
            yield project, "its default service accounts stay as Google makes them"


@rule(
    "S6", "Every account is used", "medium", each="stack",
    only_strict="Another stack may use the account.",
    protects="Against accounts that nobody watches: an unused one is found by an attacker first.",
    bad={"unused": service_account("pm-unused")},
    good={
        "used": service_account("pm-training"),
        "writes": on_bucket("roles/storage.objectCreator", account("pm-training")),
    },
    remedy="# Delete the account, or give it its role:\n"
    'gcp.storage.BucketIAMMember("writes", bucket=BUCKET, role=role.name, member=used.member)',
)  # fmt: skip
def unused(stack: Stack, context: Context) -> StackFindings:
    unknown = any(UNKNOWN in grant.members for _, grant in stack.grants)
    for member, declared in stack.accounts.items():
        if not stack.holdings.get(member) and not stack.workloads.get(member) and not unknown:
            yield declared, f"{member} holds nothing and runs nothing"


@rule(
    "S7", "Code that runs does not deploy", "high", each="stack",
    protects="Against code that serves and could change what is served, or start more of itself.",
    bad={
        "both": service_account("pm-both"),
        "launch": custom_role("exampleLaunchAndRun", "aiplatform.endpoints.deploy"),
        "launches": on_project("${launch.name}", account("pm-both")),
        "runs": (RUN_SERVICE, {"location": "europe-west4",
                 "template": {"serviceAccount": email("pm-both"), "containers": []}}),
    },
    good={
        "serving": service_account("pm-serving-only"),
        "reads": on_bucket("roles/storage.objectViewer", account("pm-serving-only")),
        "runs": (RUN_SERVICE, {"location": "europe-west4",
                 "template": {"serviceAccount": email("pm-serving-only"), "containers": []}}),
    },
    remedy='gcp.serviceaccount.Account("serving", account_id="serving")  # beside the deployer',
)  # fmt: skip
def two_duties(stack: Stack, context: Context) -> StackFindings:
    for member, workloads in stack.workloads.items():
        if member not in stack.accounts:
            continue
        strong = stack.held(member) & (powers.STARTS_CODE | powers.ESCALATES)
        if strong:
            yield (
                workloads[0],
                (
                    f"{member} runs code and may {powers.some(strong, 3)}: to deploy and to "
                    "run are two duties"
                ),
            )


@rule(
    "S8", "One account, one workload", "high", each="stack",
    only_strict="Which workloads belong together, a team knows.",
    protects="Against accounts that are shared: one workload's leak must not be another's.",
    bad={
        "shared": service_account("pm-shared"),
        "runs": (RUN_SERVICE, {"location": "europe-west4",
                 "template": {"serviceAccount": email("pm-shared"), "containers": []}}),
        "works": ("gcp:workflows/workflow:Workflow", {"region": "europe-west4",
                  "serviceAccount": email("pm-shared")}),
    },
    good={
        "serving": service_account("pm-alone"),
        "reads": on_bucket("roles/storage.objectViewer", account("pm-alone")),
        "runs": (RUN_SERVICE, {"location": "europe-west4",
                 "template": {"serviceAccount": email("pm-alone"), "containers": []}}),
    },
    remedy='gcp.serviceaccount.Account("other", account_id="other")  # one for each',
)  # fmt: skip
def shared(stack: Stack, context: Context) -> StackFindings:
    for member, workloads in stack.workloads.items():
        if member not in stack.accounts:
            continue
        kinds = sorted({workload.type for workload in workloads})
        if len(kinds) > 1:
            yield workloads[0], f"{member} is shared by {' and '.join(kinds)}"


RULES: Final = (
    no_keys, on_one_account, declared_members, own_account, disabled_defaults, unused, two_duties,
    shared, itself_again,
)  # fmt: skip
