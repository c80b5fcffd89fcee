"""What Cloud Audit Logs call a method, and which log its calls belong to.

`methodName` of most services is the gRPC method behind the REST one. Recorded in public filters
and entries: aiplatform's EndpointService, ModelService and PredictionService, logging's
ConfigServiceV2 and LoggingServiceV2, BigQuery's TableService and DatasetService, IAM's and
Storage's. The others are put together by the same rule from the services' protos; a method without
a line here goes by its discovery id, which is not its real name.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from simulator.api.discovery import Method

ADMIN_READ, ADMIN_WRITE = "ADMIN_READ", "ADMIN_WRITE"
DATA_READ, DATA_WRITE = "DATA_READ", "DATA_WRITE"


class Rpc(NamedTuple):
    """The gRPC service of a REST collection, and what one and several of its members are called."""

    service: str
    one: str
    many: str = ""


VERTEX = "google.cloud.aiplatform.{version}"
MODELS = f"{VERTEX}.ModelService"
IAM = "google.iam.admin.v1"
LOGS = "google.logging.v2"
# By the start of a discovery id; the longest that fits counts.
SERVICES = {
    "aiplatform.projects.locations.endpoints": Rpc(f"{VERTEX}.EndpointService", "Endpoint"),
    "aiplatform.projects.locations.models": Rpc(MODELS, "Model"),
    "artifactregistry.projects.locations.repositories": Rpc(
        "google.devtools.artifactregistry.v1.ArtifactRegistry", "Repository", "Repositories"
    ),
    "bigquery.datasets": Rpc("google.cloud.bigquery.v2.DatasetService", "Dataset"),
    "bigquery.jobs": Rpc("google.cloud.bigquery.v2.JobService", "Job"),
    "bigquery.tables": Rpc("google.cloud.bigquery.v2.TableService", "Table"),
    "cloudkms.projects.locations.keyRings": Rpc(
        "google.cloud.kms.v1.KeyManagementService", "KeyRing"
    ),
    "cloudkms.projects.locations.keyRings.cryptoKeys": Rpc(
        "google.cloud.kms.v1.KeyManagementService", "CryptoKey"
    ),
    "iam.projects.roles": Rpc(IAM, "Role"),
    "iam.projects.serviceAccounts": Rpc(IAM, "ServiceAccount"),
    "iam.projects.serviceAccounts.keys": Rpc(IAM, "ServiceAccountKey"),
    "logging.entries": Rpc(f"{LOGS}.LoggingServiceV2", "LogEntry", "LogEntries"),
    "logging.projects.metrics": Rpc(f"{LOGS}.MetricsServiceV2", "LogMetric"),
    "logging.projects.sinks": Rpc(f"{LOGS}.ConfigServiceV2", "Sink"),
    "monitoring.projects.alertPolicies": Rpc(
        "google.monitoring.v3.AlertPolicyService", "AlertPolicy", "AlertPolicies"
    ),
    "monitoring.projects.dashboards": Rpc(
        "google.monitoring.dashboard.v1.DashboardsService", "Dashboard"
    ),
    "monitoring.projects.metricDescriptors": Rpc(
        "google.monitoring.v3.MetricService", "MetricDescriptor"
    ),
    "monitoring.projects.notificationChannelDescriptors": Rpc(
        "google.monitoring.v3.NotificationChannelService", "NotificationChannelDescriptor"
    ),
    "monitoring.projects.notificationChannels": Rpc(
        "google.monitoring.v3.NotificationChannelService", "NotificationChannel"
    ),
    "monitoring.projects.timeSeries": Rpc(
        "google.monitoring.v3.MetricService", "TimeSeries", "TimeSeries"
    ),
    "monitoring.services": Rpc("google.monitoring.v3.ServiceMonitoringService", "Service"),
    "monitoring.services.serviceLevelObjectives": Rpc(
        "google.monitoring.v3.ServiceMonitoringService", "ServiceLevelObjective"
    ),
    "orgpolicy.projects.policies": Rpc("google.cloud.orgpolicy.v2.OrgPolicy", "Policy", "Policies"),
    "pubsub.projects.schemas": Rpc("google.pubsub.v1.SchemaService", "Schema"),
    "pubsub.projects.subscriptions": Rpc("google.pubsub.v1.Subscriber", "Subscription"),
    "pubsub.projects.topics": Rpc("google.pubsub.v1.Publisher", "Topic"),
    "secretmanager.projects.secrets": Rpc(
        "google.cloud.secretmanager.v1.SecretManagerService", "Secret"
    ),
    "secretmanager.projects.secrets.versions": Rpc(
        "google.cloud.secretmanager.v1.SecretManagerService", "SecretVersion"
    ),
    "serviceusage.services": Rpc("google.api.serviceusage.v1.ServiceUsage", "Service"),
}
# What the rule does not give.
NAMES = {
    "aiplatform.projects.locations.endpoints.predict": f"{VERTEX}.PredictionService.Predict",
    "aiplatform.projects.locations.endpoints.rawPredict": f"{VERTEX}.PredictionService.RawPredict",
    "aiplatform.projects.locations.models.deleteVersion": f"{MODELS}.DeleteModelVersion",
    "aiplatform.projects.locations.models.listVersions": f"{MODELS}.ListModelVersions",
    "bigquery.tabledata.insertAll": "google.cloud.bigquery.v2.TableDataService.InsertAll",
    "bigquery.tabledata.list": "google.cloud.bigquery.v2.TableDataService.List",
    "cloudbilling.projects.getBillingInfo": (
        "google.cloud.billing.v1.CloudBilling.GetProjectBillingInfo"
    ),
    "cloudresourcemanager.projects.getIamPolicy": "GetIamPolicy",
    "cloudresourcemanager.projects.setIamPolicy": "SetIamPolicy",
    "iam.projects.serviceAccounts.getIamPolicy": f"{IAM}.GetIAMPolicy",
    "iam.projects.serviceAccounts.setIamPolicy": f"{IAM}.SetIAMPolicy",
    "iamcredentials.projects.serviceAccounts.generateAccessToken": "GenerateAccessToken",
    "secretmanager.projects.secrets.addVersion": (
        "google.cloud.secretmanager.v1.SecretManagerService.AddSecretVersion"
    ),
    "storage.buckets.getIamPolicy": "storage.getIamPermissions",
    "storage.buckets.insert": "storage.buckets.create",
    "storage.buckets.patch": "storage.buckets.update",
    "storage.buckets.setIamPolicy": "storage.setIamPermissions",
    "storage.objects.insert": "storage.objects.create",
    "storage.objects.patch": "storage.objects.update",
}
# REST verb -> the rest of the gRPC name, where it is not the verb itself.
VERBS = {"patch": "Update"}
OPERATIONS = "google.longrunning.Operations"

# Calls that touch data; the services' audit logging pages. All other reads are ADMIN_READ, all
# other writes ADMIN_WRITE.
DATA = {
    "aiplatform.projects.locations.endpoints.predict": DATA_READ,
    "aiplatform.projects.locations.endpoints.rawPredict": DATA_READ,
    "bigquery.jobs.getQueryResults": DATA_READ,
    "bigquery.jobs.insert": DATA_READ,
    "bigquery.jobs.query": DATA_READ,
    "bigquery.tabledata.insertAll": DATA_WRITE,
    "bigquery.tabledata.list": DATA_READ,
    "cloudkms.projects.locations.keyRings.cryptoKeys.decrypt": DATA_READ,
    "cloudkms.projects.locations.keyRings.cryptoKeys.encrypt": DATA_READ,
    "iamcredentials.projects.serviceAccounts.generateAccessToken": DATA_READ,
    "iamcredentials.projects.serviceAccounts.generateIdToken": DATA_READ,
    "iamcredentials.projects.serviceAccounts.signBlob": DATA_READ,
    "iamcredentials.projects.serviceAccounts.signJwt": DATA_READ,
    "logging.entries.list": DATA_READ,
    "logging.entries.write": DATA_WRITE,
    "monitoring.projects.timeSeries.create": DATA_WRITE,
    "monitoring.projects.timeSeries.list": DATA_READ,
    "pubsub.projects.subscriptions.acknowledge": DATA_WRITE,
    "pubsub.projects.subscriptions.modifyAckDeadline": DATA_WRITE,
    "pubsub.projects.subscriptions.pull": DATA_READ,
    "pubsub.projects.topics.publish": DATA_WRITE,
    "secretmanager.projects.secrets.versions.access": DATA_READ,
    "storage.objects.copy": DATA_WRITE,
    "storage.objects.delete": DATA_WRITE,
    "storage.objects.get": DATA_READ,
    "storage.objects.insert": DATA_WRITE,
    "storage.objects.list": DATA_READ,
    "storage.objects.patch": DATA_WRITE,
    "storage.objects.rewrite": DATA_WRITE,
    "storage.objects.update": DATA_WRITE,
}
# Verbs that read although some of them are sent with POST.
READING = ("batchGet", "get", "list", "query", "search", "test", "wait")


def log_type(method_id: str) -> str:
    """ADMIN_WRITE goes to the Admin Activity log, the others to the Data Access log."""
    if method_id in DATA:
        return DATA[method_id]
    verb = method_id.rpartition(".")[2]
    return ADMIN_READ if verb.startswith(READING) else ADMIN_WRITE


def method_name(method: Method) -> str:
    return _name(method.id, method.version)


@cache
def _name(method_id: str, version: str) -> str:
    if method_id in NAMES:
        return NAMES[method_id].format(version=version)
    parent, _, verb = method_id.rpartition(".")
    if parent.endswith(".operations"):
        return f"{OPERATIONS}.{_capital(verb)}Operation{'s' * (verb == 'list')}"
    if parent.startswith("compute."):
        return f"{version}.{method_id}"
    rpc = _service(parent)
    if rpc is None:
        return method_id
    word, several = _capital(VERBS.get(verb, verb)), verb == "list" or verb.startswith("batch")
    # A verb of one word is about a member of the collection: create, batchEnable; not deployModel.
    if verb == verb.lower() or verb.startswith("batch"):
        word += (rpc.many or f"{rpc.one}s") if several else rpc.one
    return f"{rpc.service.format(version=version)}.{word}"


def _service(parent: str) -> Rpc | None:
    while parent:
        if parent in SERVICES:
            return SERVICES[parent]
        parent = parent.rpartition(".")[0]
    return None


def _capital(word: str) -> str:
    return word[:1].upper() + word[1:]
