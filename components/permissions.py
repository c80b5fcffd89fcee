"""THE TABLE: workflow step → API call → permission → who → on which resource.

Custom roles, readiness, the policy pack's idea of "needed", `access` and the rehearsal's proofs all
read it. A permission is written once, with the step that needs it and the call that checks it.

Sources: gcp-facts/01_method_permissions.md (calls of Vertex AI, `actAs`, artifact reads) and
provider-contract/ (the calls of the official gcp provider). Where Google documents no permission
for a call, the row says what was inferred.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

PLATFORM: Final = "platform"
DEPLOYER: Final = "deployer"
SERVING: Final = "serving"
TRAINING: Final = "training"
TELEMETRY: Final = "telemetry"
PREVIEW: Final = "preview"
REVIEWER: Final = "reviewer"
CALLER: Final = "caller"
DEVICE: Final = "device"
MAINTENANCE: Final = "maintenance"
AGENT: Final = "vertex agent"
PUBSUB_AGENT: Final = "pubsub agent"
MONITORING_AGENT: Final = "monitoring agent"
STORAGE_AGENT: Final = "storage agent"
BIGQUERY_AGENT: Final = "bigquery agent"
PULL_REQUESTS: Final = "pull requests"
ROLLOUT_JOBS: Final = "rollout jobs"
FOUNDATION_JOBS: Final = "foundation jobs"

IDENTITIES: Final = {
    PLATFORM: "runs Pulumi and declares the foundation; exists before the stack",
    DEPLOYER: "creates the endpoint and rolls models out; impersonated by platform",
    SERVING: "the account the deployed models run as",
    TRAINING: "stores what it trained in the artifact bucket",
    TELEMETRY: "asks the endpoint for predictions on device telemetry",
    PREVIEW: "reads what a preview with refresh compares; cannot change anything",
    REVIEWER: "runs previews of pull requests, as the preview account",
    CALLER: "asks the endpoint for predictions beside telemetry: each of `callers`",
    DEVICE: "publishes the readings of devices",
    MAINTENANCE: "takes the readings at risk, for whoever maintains the devices",
    AGENT: "Vertex AI's own service agent of the stack's project",
    PUBSUB_AGENT: "Pub/Sub's own service agent of the stack's project",
    MONITORING_AGENT: "Cloud Monitoring's own service agent of the stack's project",
    STORAGE_AGENT: "Cloud Storage's own service agent of the stack's project",
    BIGQUERY_AGENT: "BigQuery's own account for encryption, of the stack's project",
    PULL_REQUESTS: "GitHub jobs of the repository; read as the preview account, without a key",
    ROLLOUT_JOBS: "GitHub jobs in the environment for rollouts, as the deployer",
    FOUNDATION_JOBS: "GitHub jobs in the environment for the foundation, as the platform",
}

# docs iam/docs/service-agents; BigQuery's: docs bigquery/docs/customer-managed-encryption.
AGENTS: Final = {
    AGENT: "service-{}@gcp-sa-aiplatform.iam.gserviceaccount.com",
    PUBSUB_AGENT: "service-{}@gcp-sa-pubsub.iam.gserviceaccount.com",
    MONITORING_AGENT: "service-{}@gcp-sa-monitoring-notification.iam.gserviceaccount.com",
    STORAGE_AGENT: "service-{}@gs-project-accounts.iam.gserviceaccount.com",
    BIGQUERY_AGENT: "bq-{}@bigquery-encryption.iam.gserviceaccount.com",
}
"""Google's own accounts, with the project's number for {}."""
FEDERATED: Final = (PULL_REQUESTS, ROLLOUT_JOBS, FOUNDATION_JOBS)
"""Identities that come in through the stack's own identity pool."""
NAMED: Final = (PLATFORM, REVIEWER, CALLER)
"""Whom the settings name."""
ACCOUNTS: Final = tuple(i for i in IDENTITIES if i not in (*NAMED, *AGENTS, *FEDERATED))
"""Identities that are service accounts of the stack."""

PROJECT: Final = "project"
SOURCE_PROJECT: Final = "source project"
ARTIFACTS: Final = "artifact bucket"
SOURCE_ARTIFACTS: Final = "source artifact bucket"
REGISTRY_ARTIFACTS: Final = "registry artifact bucket"
ENDPOINT: Final = "endpoint"
DEPLOYER_ACCOUNT: Final = "deployer account"
PREVIEW_ACCOUNT: Final = "preview account"
PLATFORM_ACCOUNT: Final = "platform account"
SERVING_ACCOUNT: Final = "serving account"
TELEMETRY_ACCOUNT: Final = "telemetry account"
TOPIC: Final = "telemetry topic"
DEAD_LETTERS: Final = "dead-letter topic"
SUBSCRIPTIONS: Final = "telemetry subscriptions"
RISKS: Final = "risk subscription"
LOST: Final = "dead-letter subscription"
TABLES: Final = "telemetry dataset"
INCIDENTS: Final = "incident topic"
KEY: Final = "key"

IN_SOURCE: Final = frozenset({SOURCE_PROJECT, SOURCE_ARTIFACTS})
"""Resources that belong to the project where models are trained, and images built; their roles are
declared there."""

PLATFORM_KEY: Final = "platformKey"
PREVIEWER_KEY: Final = "previewerKey"
BEFORE: Final = frozenset({PLATFORM, PLATFORM_KEY, PREVIEWER_KEY})
"""Roles that have to exist before the stack does; `access bootstrap` makes them."""
KEY_USER: Final = "roles/cloudkms.cryptoKeyEncrypterDecrypter"
"""What Google's agents have on a key of one's own, by Google's documentation of each service."""

REGISTER: Final = "register"
RETIRE: Final = "retire"
SOURCE: Final = "source"
PULL: Final = "pull"
OWN_REGISTRY: Final = "own-registry"
OWN_BUCKET: Final = "own-bucket"
CANARY: Final = "canary"
REVIEW: Final = "review"
INVITE: Final = "invite"
CALL: Final = "call"
ROUTE: Final = "route"
DRIFT: Final = "drift"
WATCH: Final = "watch"
INFORM: Final = "inform"
FEDERATE: Final = "federate"
EXPIRE: Final = "expire"
LABEL: Final = "label"
ENCRYPT: Final = "encrypt"
FOUNDATION: Final = "foundation"
WHOLE: Final = "whole"
LAYERS: Final = "layers"
CAPABILITIES: Final = {
    REGISTER: "upload model versions to this project's registry",
    RETIRE: "take the endpoint and its models away again",
}
"""What an environment may let its deployer do."""
FOLLOWING: Final = {
    SOURCE: "a model lives in another project",
    PULL: "an image is in a repository of another project",
    OWN_REGISTRY: "a model is looked up in this project's own registry",
    OWN_BUCKET: "its artifact is in a bucket that the stack does not make",
    CANARY: "a version of a model is tried on a part of its traffic",
    REVIEW: "pull requests are previewed",
    INVITE: "previewMember previews them",
    CALL: "others than telemetry ask for predictions",
    ROUTE: "telemetry is routed to predictions",
    DRIFT: "what the endpoint is asked is watched for drift",
    WATCH: "somebody is told of incidents",
    INFORM: "incidents are published on a topic",
    FEDERATE: "GitHub jobs come in by federation",
    LABEL: "what there is carries labels",
    EXPIRE: "the request log expires",
    ENCRYPT: "what is stored is encrypted with a key of one's own",
    FOUNDATION: "a GitHub environment declares the foundation",
    WHOLE: "one stack declares all of it",
    LAYERS: "foundation and rollout are two stacks",
}
"""Capabilities that are not chosen but follow from the settings."""


@dataclass(frozen=True)
class Need:
    """One line of the table: `identity` needs `permission` on `on`, because of `step`."""

    identity: str
    role: str
    on: str
    step: str
    call: str
    permission: str
    when: frozenset[str] = frozenset()
    """Capabilities that an environment must all have for this line to apply."""


@dataclass(frozen=True)
class Role:
    """The union of what one identity needs on one resource: a custom role, and its grant."""

    identity: str
    key: str
    on: str
    permissions: tuple[str, ...]


def _rows(
    identity: str, role: str, on: str, *rows: tuple[str, str, str], when: str = ""
) -> tuple[Need, ...]:
    return tuple(
        Need(identity, role, on, step, call, permission, frozenset(when.split()))
        for step, call, permission in rows
    )


def _either(
    whole: tuple[str, str, str],
    layers: tuple[str, str, str],
    *rows: tuple[str, str, str],
    when: str = "",
) -> tuple[Need, ...]:
    """What another identity does, or has elsewhere, where the rollout is a stack of its own.

    `whole` and `layers` are identity, role and resource; each row makes a line for either.
    """
    return tuple(
        need
        for row in rows
        for case, by in ((WHOLE, whole), (LAYERS, layers))
        for need in _rows(*by, row, when=f"{when} {case}")
    )


# fmt: off
NEEDS: Final[tuple[Need, ...]] = (
    *_rows(DEPLOYER, "deployer", PROJECT,
        ("create the endpoint",     "aiplatform endpoints.create",               "aiplatform.endpoints.create"),
        ("read the endpoint",       "aiplatform endpoints.get",                  "aiplatform.endpoints.get"),
        ("change the endpoint",     "aiplatform endpoints.patch",                "aiplatform.endpoints.update"),
        ("move traffic",            "aiplatform endpoints.patch (trafficSplit)", "aiplatform.endpoints.update"),
        ("deploy a model",          "aiplatform endpoints.deployModel",          "aiplatform.endpoints.deploy"),
        # mutateDeployedModel: not documented; inferred from indexEndpoints.mutateDeployedIndex.
        ("scale a deployed model",  "aiplatform endpoints.mutateDeployedModel",  "aiplatform.endpoints.deploy"),
        ("undeploy a model",        "aiplatform endpoints.undeployModel",        "aiplatform.endpoints.undeploy"),
    ),
    *_rows(DEPLOYER, "deployer", PROJECT,
        ("register a model",        "aiplatform models.upload",                  "aiplatform.models.upload"),
        ("read a model",            "aiplatform models.get",                     "aiplatform.models.get"),
        # models.listVersions and deleteVersion: not documented; list and delete of models inferred.
        ("find the last version",   "aiplatform models.listVersions",            "aiplatform.models.list"),
        ("drop an old version",     "aiplatform models.deleteVersion",           "aiplatform.models.delete"),
        ("correct a model",         "aiplatform models.patch",                   "aiplatform.models.update"),
        # mergeVersionAliases: not documented; inferred from patch, as an alias is a field of the model.
        ("move the default version", "aiplatform models.mergeVersionAliases",    "aiplatform.models.update"),
        when=REGISTER,
    ),
    *_rows(DEPLOYER, "deployer", PROJECT,
        ("retire the endpoint",     "aiplatform endpoints.delete",               "aiplatform.endpoints.delete"),
        when=RETIRE,
    ),
    # docs monitoring/access-control names permissions after methods.
    *_rows(DEPLOYER, "deployer", PROJECT,
        ("measure a canary",        "monitoring timeSeries.list",                "monitoring.timeSeries.list"),
        when=CANARY,
    ),
    # The deployer's work, for the watch follows the ids of each rollout. What it is compared with is
    # read by Vertex AI's agent, whose own role lets it read the buckets of its project.
    *_rows(DEPLOYER, "deployer", PROJECT,
        ("watch for drift",         "aiplatform modelDeploymentMonitoringJobs.create", "aiplatform.modelDeploymentMonitoringJobs.create"),
        ("find an earlier watch",   "aiplatform modelDeploymentMonitoringJobs.list", "aiplatform.modelDeploymentMonitoringJobs.list"),
        ("read the watch",          "aiplatform modelDeploymentMonitoringJobs.get", "aiplatform.modelDeploymentMonitoringJobs.get"),
        ("follow a rollout",        "aiplatform modelDeploymentMonitoringJobs.patch", "aiplatform.modelDeploymentMonitoringJobs.update"),
        ("watch again",             "aiplatform modelDeploymentMonitoringJobs.resume", "aiplatform.modelDeploymentMonitoringJobs.resume"),
        when=DRIFT,
    ),
    *_rows(DEPLOYER, "deployer", PROJECT,
        ("stop watching",           "aiplatform modelDeploymentMonitoringJobs.pause", "aiplatform.modelDeploymentMonitoringJobs.pause"),
        ("drop the watch",          "aiplatform modelDeploymentMonitoringJobs.delete", "aiplatform.modelDeploymentMonitoringJobs.delete"),
        when=f"{DRIFT} {RETIRE}",
    ),
    *_rows(DEPLOYER, "servingAccountUser", SERVING_ACCOUNT,
        ("run a model as the serving account", "aiplatform endpoints.deployModel", "iam.serviceAccounts.actAs"),
    ),
    *_rows(DEPLOYER, "modelReader", SOURCE_PROJECT,
        ("load a model from the source project", "aiplatform models.get",        "aiplatform.models.get"),
        when=SOURCE,
    ),
    *_rows(DEPLOYER, "deployer", PROJECT,
        ("look a model up",         "aiplatform models.get",                     "aiplatform.models.get"),
        when=OWN_REGISTRY,
    ),
    *_rows(PLATFORM, "tokenCreator", DEPLOYER_ACCOUNT,
        ("become the deployer",     "iamcredentials generateAccessToken",        "iam.serviceAccounts.getAccessToken"),
    ),
    *_rows(REVIEWER, "tokenCreator", PREVIEW_ACCOUNT,
        ("become the preview account", "iamcredentials generateAccessToken",     "iam.serviceAccounts.getAccessToken"),
        when=INVITE,
    ),
    *_rows(PULL_REQUESTS, "tokenCreator", PREVIEW_ACCOUNT,
        ("become the preview account", "iamcredentials generateAccessToken",     "iam.serviceAccounts.getAccessToken"),
        when=FEDERATE,
    ),
    *_rows(ROLLOUT_JOBS, "tokenCreator", DEPLOYER_ACCOUNT,
        ("become the deployer",     "iamcredentials generateAccessToken",        "iam.serviceAccounts.getAccessToken"),
        when=FEDERATE,
    ),
    *_rows(FOUNDATION_JOBS, "tokenCreator", PLATFORM_ACCOUNT,
        ("become the platform",     "iamcredentials generateAccessToken",        "iam.serviceAccounts.getAccessToken"),
        when=f"{FEDERATE} {FOUNDATION}",
    ),
    *_rows(SERVING, "artifactReader", ARTIFACTS,
        ("load the model artifact", "storage objects.get",                       "storage.objects.get"),
        ("find the model artifact", "storage objects.list",                      "storage.objects.list"),
        when=REGISTER,
    ),
    *_rows(SERVING, "artifactReader", SOURCE_ARTIFACTS,
        ("load the model artifact", "storage objects.get",                       "storage.objects.get"),
        ("find the model artifact", "storage objects.list",                      "storage.objects.list"),
        when=SOURCE,
    ),
    *_rows(SERVING, "artifactReader", REGISTRY_ARTIFACTS,
        ("load the model artifact", "storage objects.get",                       "storage.objects.get"),
        ("find the model artifact", "storage objects.list",                      "storage.objects.list"),
        when=OWN_BUCKET,
    ),
    *_rows(AGENT, "artifactReader", SOURCE_ARTIFACTS,
        # Same-project artifacts need no grant: the agent's own role reads them.
        ("copy the model artifact", "storage objects.get",                       "storage.objects.get"),
        ("find the model artifact", "storage objects.list",                      "storage.objects.list"),
        when=SOURCE,
    ),
    # docs vertex-ai/docs/general/custom-service-account: images are pulled by the agent, whoever
    # uploads. The permission is the one that a denial names (gcp-facts/01, "Image pulls"). On the
    # project, for the gcp plugin's grants on a repository were never recorded.
    *_rows(AGENT, "imageReader", SOURCE_PROJECT,
        ("pull the image",          "aiplatform models.upload",                  "artifactregistry.repositories.downloadArtifacts"),
        when=PULL,
    ),
    *_rows(TRAINING, "artifactWriter", ARTIFACTS,
        ("store a trained model",   "storage objects.insert",                    "storage.objects.create"),
        when=REGISTER,
    ),
    *_rows(TELEMETRY, "predictor", ENDPOINT,
        ("predict",                 "aiplatform endpoints.predict",              "aiplatform.endpoints.predict"),
    ),
    *_rows(TELEMETRY, "predictor", ENDPOINT,
        # docs pubsub/docs/smts/ai-inference-smt, "Service account permissions"
        ("find the model to ask",   "pubsub AI inference: endpoints.get",        "aiplatform.endpoints.get"),
        when=ROUTE,
    ),
    *_rows(CALLER, "predictor", ENDPOINT,
        ("predict",                 "aiplatform endpoints.predict",              "aiplatform.endpoints.predict"),
        when=CALL,
    ),
    *_rows(CALLER, "predictor", ENDPOINT,
        # The role is telemetry's too. Google's client reads the endpoint to find a dedicated address
        # (google-cloud-aiplatform, Endpoint.predict); where the role has no more than predict, the
        # address is the output dedicatedDns.
        ("find the endpoint's address", "aiplatform endpoints.get",              "aiplatform.endpoints.get"),
        when=f"{CALL} {ROUTE}",
    ),
    *_rows(DEVICE, "devicePublisher", TOPIC,
        ("publish a reading",       "pubsub topics.publish",                     "pubsub.topics.publish"),
        when=ROUTE,
    ),
    # Nobody who rolls out may grant, and nothing can be granted on a subscription before it is
    # there; Pub/Sub knows no condition on a name (iam/docs/conditions-resource-attributes). So
    # taking messages is allowed on the project where the rollout is a stack of its own.
    *_either((MAINTENANCE, "riskReader", RISKS), (MAINTENANCE, "riskReader", PROJECT),
        ("take a reading at risk",  "pubsub subscriptions.pull",                 "pubsub.subscriptions.consume"),
        when=ROUTE,
    ),
    *_either((MAINTENANCE, "riskReader", LOST), (MAINTENANCE, "riskReader", PROJECT),
        ("look at a dead letter",   "pubsub subscriptions.pull",                 "pubsub.subscriptions.consume"),
        when=ROUTE,
    ),
    # docs pubsub/docs/handling-failures, "Grant the permissions to forward messages"
    *_rows(PUBSUB_AGENT, "deadLetterPublisher", DEAD_LETTERS,
        ("forward a dead letter",   "pubsub topics.publish",                     "pubsub.topics.publish"),
        when=ROUTE,
    ),
    *_either((PUBSUB_AGENT, "deadLetterTaker", SUBSCRIPTIONS), (PUBSUB_AGENT, "deadLetterTaker", PROJECT),
        ("take a dead letter out",  "pubsub subscriptions.acknowledge",          "pubsub.subscriptions.consume"),
        when=ROUTE,
    ),
    # docs pubsub/docs/create-bigquery-subscription, "Assign BigQuery roles"
    *_rows(PUBSUB_AGENT, "telemetryWriter", TABLES,
        ("see a table's columns",   "bigquery tables.get",                       "bigquery.tables.get"),
        ("store a message",         "bigquery tabledata.insertAll",              "bigquery.tables.updateData"),
        when=ROUTE,
    ),
    # docs monitoring/support/notification-options, "Pub/Sub"
    *_rows(MONITORING_AGENT, "incidentPublisher", INCIDENTS,
        ("tell of an incident",     "pubsub topics.publish",                     "pubsub.topics.publish"),
        when=INFORM,
    ),
    *_either((PLATFORM, "accountUser", TELEMETRY_ACCOUNT), (DEPLOYER, "accountUser", TELEMETRY_ACCOUNT),
        ("ask for predictions as the telemetry account", "pubsub subscriptions.create", "iam.serviceAccounts.actAs"),
        when=ROUTE,
    ),
    *_rows(PLATFORM, "platform", PROJECT,
        ("see which APIs are on",   "serviceusage services.list",                "serviceusage.services.list"),
        ("enable APIs",             "serviceusage services.batchEnable",         "serviceusage.services.enable"),
        ("wait for the APIs",       "serviceusage operations.get",               "serviceusage.operations.get"),
        ("see the project",         "cloudresourcemanager projects.get",         "resourcemanager.projects.get"),
        ("read project grants",     "cloudresourcemanager projects.getIamPolicy", "resourcemanager.projects.getIamPolicy"),
        ("grant on the project",    "cloudresourcemanager projects.setIamPolicy", "resourcemanager.projects.setIamPolicy"),
        ("create a role",           "iam projects.roles.create",                 "iam.roles.create"),
        ("read a role",             "iam projects.roles.get",                    "iam.roles.get"),
        ("change a role",           "iam projects.roles.patch",                  "iam.roles.update"),
        ("bring a role back",       "iam projects.roles.undelete",               "iam.roles.undelete"),
        ("create an account",       "iam serviceAccounts.create",                "iam.serviceAccounts.create"),
        ("read an account",         "iam serviceAccounts.get",                   "iam.serviceAccounts.get"),
        ("read account grants",     "iam serviceAccounts.getIamPolicy",          "iam.serviceAccounts.getIamPolicy"),
        ("grant on an account",     "iam serviceAccounts.setIamPolicy",          "iam.serviceAccounts.setIamPolicy"),
        ("create the log dataset",  "bigquery datasets.insert",                  "bigquery.datasets.create"),
        ("read the log dataset",    "bigquery datasets.get",                     "bigquery.datasets.get"),
        ("read endpoint grants",    "aiplatform endpoints.getIamPolicy",         "aiplatform.endpoints.getIamPolicy"),
        ("grant on the endpoint",   "aiplatform endpoints.setIamPolicy",         "aiplatform.endpoints.setIamPolicy"),
    ),
    *_rows(PLATFORM, "platform", PROJECT,
        ("label the log dataset",   "bigquery datasets.update",                  "bigquery.datasets.update"),
        when=LABEL,
    ),
    # On the one key, which may be in another project. Who creates what a key encrypts needs nothing
    # on it: Google's pages ask for its agents alone (vertex-ai/docs/general/cmek, pubsub/docs/cmek,
    # storage/docs/encryption/using-customer-managed-keys, bigquery/docs/customer-managed-encryption).
    *_rows(PLATFORM, PLATFORM_KEY, KEY,
        ("read who uses the key",   "cloudkms cryptoKeys.getIamPolicy",          "cloudkms.cryptoKeys.getIamPolicy"),
        ("let agents use the key",  "cloudkms cryptoKeys.setIamPolicy",          "cloudkms.cryptoKeys.setIamPolicy"),
        when=ENCRYPT,
    ),
    *_rows(PREVIEW, PREVIEWER_KEY, KEY,
        ("read who uses the key",   "cloudkms cryptoKeys.getIamPolicy",          "cloudkms.cryptoKeys.getIamPolicy"),
        when=f"{REVIEW} {ENCRYPT}",
    ),
    *_rows(PLATFORM, "platform", PROJECT,
        ("change the log dataset's key", "bigquery datasets.update",             "bigquery.datasets.update"),
        when=ENCRYPT,
    ),
    *_rows(PLATFORM, "platform", PROJECT,
        ("change when the log expires", "bigquery datasets.update",              "bigquery.datasets.update"),
        when=EXPIRE,
    ),
    *_rows(PLATFORM, "platform", PROJECT,
        ("create the bucket",       "storage buckets.insert",                    "storage.buckets.create"),
        ("read the bucket",         "storage buckets.get",                       "storage.buckets.get"),
        ("change the bucket",       "storage buckets.patch",                     "storage.buckets.update"),
        ("read bucket grants",      "storage buckets.getIamPolicy",              "storage.buckets.getIamPolicy"),
        ("grant on the bucket",     "storage buckets.setIamPolicy",              "storage.buckets.setIamPolicy"),
        when=REGISTER,
    ),
    *_rows(PLATFORM, "platform", PROJECT,
        ("read the registry bucket's grants", "storage buckets.getIamPolicy",    "storage.buckets.getIamPolicy"),
        ("grant on the registry bucket", "storage buckets.setIamPolicy",         "storage.buckets.setIamPolicy"),
        when=OWN_BUCKET,
    ),
    *_either((PLATFORM, "platform", PROJECT), (DEPLOYER, "artifactKeeper", ARTIFACTS),
        ("store the artifact",      "storage objects.insert",                    "storage.objects.create"),
        ("check the artifact",      "storage objects.get",                       "storage.objects.get"),
        ("drop an old artifact",    "storage objects.delete",                    "storage.objects.delete"),
        when=REGISTER,
    ),
    *_rows(PLATFORM, "platform", PROJECT,
        ("create the schema",       "pubsub schemas.create",                     "pubsub.schemas.create"),
        ("use the schema",          "pubsub topics.create (schemaSettings)",     "pubsub.schemas.attach"),
        ("read the schema",         "pubsub schemas.get",                        "pubsub.schemas.get"),
        ("change the schema",       "pubsub schemas.commit",                     "pubsub.schemas.commit"),
        ("create a topic",          "pubsub topics.create",                      "pubsub.topics.create"),
        ("read a topic",            "pubsub topics.get",                         "pubsub.topics.get"),
        ("change a topic",          "pubsub topics.patch",                       "pubsub.topics.update"),
        ("read topic grants",       "pubsub topics.getIamPolicy",                "pubsub.topics.getIamPolicy"),
        ("grant on a topic",        "pubsub topics.setIamPolicy",                "pubsub.topics.setIamPolicy"),
        # Of the dead letters, at least.
        ("create a subscription",   "pubsub subscriptions.create",               "pubsub.subscriptions.create"),
        ("subscribe to a topic",    "pubsub subscriptions.create",               "pubsub.topics.attachSubscription"),
        ("read a subscription",     "pubsub subscriptions.get",                  "pubsub.subscriptions.get"),
        ("change a subscription",   "pubsub subscriptions.patch",                "pubsub.subscriptions.update"),
        # Whoever creates a dataset owns it, and so may set its policy and, to make views, read it.
        ("grant on the telemetry dataset", "bigquery datasets.patch",            "bigquery.datasets.update"),
        ("create a table",          "bigquery tables.insert",                    "bigquery.tables.create"),
        ("read a table",            "bigquery tables.get",                       "bigquery.tables.get"),
        ("change a table",          "bigquery tables.update",                    "bigquery.tables.update"),
        when=ROUTE,
    ),
    *_rows(PLATFORM, "platform", PROJECT,
        ("read subscription grants", "pubsub subscriptions.getIamPolicy",        "pubsub.subscriptions.getIamPolicy"),
        ("grant on a subscription", "pubsub subscriptions.setIamPolicy",         "pubsub.subscriptions.setIamPolicy"),
        when=f"{ROUTE} {WHOLE}",
    ),
    *_rows(DEPLOYER, "deployer", PROJECT,
        ("create a subscription",   "pubsub subscriptions.create",               "pubsub.subscriptions.create"),
        ("read a subscription",     "pubsub subscriptions.get",                  "pubsub.subscriptions.get"),
        ("change a subscription",   "pubsub subscriptions.patch",                "pubsub.subscriptions.update"),
        when=f"{ROUTE} {LAYERS}",
    ),
    *_rows(DEPLOYER, "deployer", PROJECT,
        ("delete a subscription",   "pubsub subscriptions.delete",               "pubsub.subscriptions.delete"),
        when=f"{ROUTE} {LAYERS} {RETIRE}",
    ),
    *_rows(DEPLOYER, "telemetrySubscriber", TOPIC,
        ("subscribe to a topic",    "pubsub subscriptions.create",               "pubsub.topics.attachSubscription"),
        when=f"{ROUTE} {LAYERS}",
    ),
    *_rows(PLATFORM, "platform", PROJECT,
        ("delete the schema",       "pubsub schemas.delete",                     "pubsub.schemas.delete"),
        ("delete a topic",          "pubsub topics.delete",                      "pubsub.topics.delete"),
        ("delete a subscription",   "pubsub subscriptions.delete",               "pubsub.subscriptions.delete"),
        ("delete a table",          "bigquery tables.delete",                    "bigquery.tables.delete"),
        when=f"{ROUTE} {RETIRE}",
    ),
    # docs monitoring/access-control and logging/docs/access-control name permissions after methods.
    *_either((PLATFORM, "platform", PROJECT), (DEPLOYER, "deployer", PROJECT),
        ("add a channel",           "monitoring notificationChannels.create",    "monitoring.notificationChannels.create"),
        ("read a channel",          "monitoring notificationChannels.get",       "monitoring.notificationChannels.get"),
        ("change a channel",        "monitoring notificationChannels.patch",     "monitoring.notificationChannels.update"),
        ("drop a channel",          "monitoring notificationChannels.delete",    "monitoring.notificationChannels.delete"),
        ("add an alert",            "monitoring alertPolicies.create",           "monitoring.alertPolicies.create"),
        ("read an alert",           "monitoring alertPolicies.get",              "monitoring.alertPolicies.get"),
        ("change an alert",         "monitoring alertPolicies.patch",            "monitoring.alertPolicies.update"),
        ("drop an alert",           "monitoring alertPolicies.delete",           "monitoring.alertPolicies.delete"),
        ("name the service",        "monitoring services.create",                "monitoring.services.create"),
        ("read the service",        "monitoring services.get",                   "monitoring.services.get"),
        ("change the service",      "monitoring services.patch",                 "monitoring.services.update"),
        ("set the objective",       "monitoring serviceLevelObjectives.create",  "monitoring.slos.create"),
        ("read the objective",      "monitoring serviceLevelObjectives.get",     "monitoring.slos.get"),
        ("change the objective",    "monitoring serviceLevelObjectives.patch",   "monitoring.slos.update"),
        ("create the dashboard",    "monitoring dashboards.create",              "monitoring.dashboards.create"),
        ("read the dashboard",      "monitoring dashboards.get",                 "monitoring.dashboards.get"),
        ("change the dashboard",    "monitoring dashboards.patch",               "monitoring.dashboards.update"),
        ("count denials",           "logging metrics.create",                    "logging.logMetrics.create"),
        ("read what is counted",    "logging metrics.get",                       "logging.logMetrics.get"),
        ("change what is counted",  "logging metrics.update",                    "logging.logMetrics.update"),
        when=WATCH,
    ),
    *_either((PLATFORM, "platform", PROJECT), (DEPLOYER, "deployer", PROJECT),
        ("delete the service",      "monitoring services.delete",                "monitoring.services.delete"),
        ("delete the objective",    "monitoring serviceLevelObjectives.delete",  "monitoring.slos.delete"),
        ("delete the dashboard",    "monitoring dashboards.delete",              "monitoring.dashboards.delete"),
        ("count denials no more",   "logging metrics.delete",                    "logging.logMetrics.delete"),
        when=f"{WATCH} {RETIRE}",
    ),
    *_rows(PLATFORM, "platform", PROJECT,
        ("create the incident topic", "pubsub topics.create",                    "pubsub.topics.create"),
        ("read the incident topic", "pubsub topics.get",                         "pubsub.topics.get"),
        ("change the incident topic", "pubsub topics.patch",                     "pubsub.topics.update"),
        ("read the incident topic's grants", "pubsub topics.getIamPolicy",       "pubsub.topics.getIamPolicy"),
        ("grant on the incident topic", "pubsub topics.setIamPolicy",            "pubsub.topics.setIamPolicy"),
        when=INFORM,
    ),
    *_rows(PLATFORM, "platform", PROJECT,
        ("delete the incident topic", "pubsub topics.delete",                    "pubsub.topics.delete"),
        when=f"{INFORM} {RETIRE}",
    ),
    *_either((PLATFORM, "platform", PROJECT), (DEPLOYER, "deployer", PROJECT),
        ("alert on drift",          "monitoring alertPolicies.create",           "monitoring.alertPolicies.create"),
        ("read a drift alert",      "monitoring alertPolicies.get",              "monitoring.alertPolicies.get"),
        ("change a drift alert",    "monitoring alertPolicies.patch",            "monitoring.alertPolicies.update"),
        when=DRIFT,
    ),
    *_either((PLATFORM, "platform", PROJECT), (DEPLOYER, "deployer", PROJECT),
        ("delete a drift alert",    "monitoring alertPolicies.delete",           "monitoring.alertPolicies.delete"),
        when=f"{DRIFT} {RETIRE}",
    ),
    # docs iam/docs/manage-workload-identity-pools-providers, "Required roles"
    *_rows(PLATFORM, "platform", PROJECT,
        ("create the identity pool", "iam workloadIdentityPools.create",         "iam.googleapis.com/workloadIdentityPools.create"),
        ("read the identity pool",  "iam workloadIdentityPools.get",             "iam.googleapis.com/workloadIdentityPools.get"),
        # The gcp plugin reads it with the pool: provider-contract/.
        ("read who is attested",    "iam workloadIdentityPools.listAttestationRules", "iam.googleapis.com/workloadIdentityPools.getAttestationRules"),
        ("change the identity pool", "iam workloadIdentityPools.patch",          "iam.googleapis.com/workloadIdentityPools.update"),
        ("let GitHub in",           "iam workloadIdentityPools.providers.create", "iam.googleapis.com/workloadIdentityPoolProviders.create"),
        ("read whom GitHub lets in", "iam workloadIdentityPools.providers.get",  "iam.googleapis.com/workloadIdentityPoolProviders.get"),
        ("change whom GitHub lets in", "iam workloadIdentityPools.providers.patch", "iam.googleapis.com/workloadIdentityPoolProviders.update"),
        when=FEDERATE,
    ),
    *_rows(PLATFORM, "platform", PROJECT,
        ("delete the identity pool", "iam workloadIdentityPools.delete",         "iam.googleapis.com/workloadIdentityPools.delete"),
        ("let GitHub in no more",   "iam workloadIdentityPools.providers.delete", "iam.googleapis.com/workloadIdentityPoolProviders.delete"),
        when=f"{FEDERATE} {RETIRE}",
    ),
    *_rows(PLATFORM, "platform", PROJECT,
        ("delete a role",           "iam projects.roles.delete",                 "iam.roles.delete"),
        ("delete an account",       "iam serviceAccounts.delete",                "iam.serviceAccounts.delete"),
        ("delete the log dataset",  "bigquery datasets.delete",                  "bigquery.datasets.delete"),
        ("delete the log table",    "bigquery datasets.delete (deleteContents)", "bigquery.tables.delete"),
        when=RETIRE,
    ),
    *_rows(PLATFORM, "platform", PROJECT,
        ("delete the bucket",       "storage buckets.delete",                    "storage.buckets.delete"),
        ("empty the bucket",        "storage anywhereCaches.list",               "storage.anywhereCaches.list"),
        ("empty the bucket",        "storage objects.list",                      "storage.objects.list"),
        ("empty the bucket",        "storage objects.delete",                    "storage.objects.delete"),
        when=f"{REGISTER} {RETIRE}",
    ),
    *_rows(PLATFORM, "platform", SOURCE_PROJECT,
        ("read source grants",      "cloudresourcemanager projects.getIamPolicy", "resourcemanager.projects.getIamPolicy"),
        ("grant in the source",     "cloudresourcemanager projects.setIamPolicy", "resourcemanager.projects.setIamPolicy"),
        ("create a role",           "iam projects.roles.create",                 "iam.roles.create"),
        ("read a role",             "iam projects.roles.get",                    "iam.roles.get"),
        ("change a role",           "iam projects.roles.patch",                  "iam.roles.update"),
        ("bring a role back",       "iam projects.roles.undelete",               "iam.roles.undelete"),
        ("read bucket grants",      "storage buckets.getIamPolicy",              "storage.buckets.getIamPolicy"),
        ("grant on the bucket",     "storage buckets.setIamPolicy",              "storage.buckets.setIamPolicy"),
        when=SOURCE,
    ),
    *_rows(PLATFORM, "platform", SOURCE_PROJECT,
        ("delete a role",           "iam projects.roles.delete",                 "iam.roles.delete"),
        when=f"{SOURCE} {RETIRE}",
    ),
    *_rows(PLATFORM, "platform", SOURCE_PROJECT,
        ("read the image project's grants", "cloudresourcemanager projects.getIamPolicy", "resourcemanager.projects.getIamPolicy"),
        ("let images be pulled",    "cloudresourcemanager projects.setIamPolicy", "resourcemanager.projects.setIamPolicy"),
        ("create the image role",   "iam projects.roles.create",                 "iam.roles.create"),
        ("read the image role",     "iam projects.roles.get",                    "iam.roles.get"),
        ("change the image role",   "iam projects.roles.patch",                  "iam.roles.update"),
        ("bring the image role back", "iam projects.roles.undelete",             "iam.roles.undelete"),
        when=PULL,
    ),
    *_rows(PLATFORM, "platform", SOURCE_PROJECT,
        ("delete the image role",   "iam projects.roles.delete",                 "iam.roles.delete"),
        when=f"{PULL} {RETIRE}",
    ),
    *_rows(PREVIEW, "sourcePreviewer", SOURCE_PROJECT,
        ("read the image project's grants", "cloudresourcemanager projects.getIamPolicy", "resourcemanager.projects.getIamPolicy"),
        ("read the image role",     "iam projects.roles.get",                    "iam.roles.get"),
        when=f"{REVIEW} {PULL}",
    ),
    *_rows(PREVIEW, "previewer", PROJECT,
        ("see which APIs are on",   "serviceusage services.list",                "serviceusage.services.list"),
        ("see the project",         "cloudresourcemanager projects.get",         "resourcemanager.projects.get"),
        ("read project grants",     "cloudresourcemanager projects.getIamPolicy", "resourcemanager.projects.getIamPolicy"),
        ("read a role",             "iam projects.roles.get",                    "iam.roles.get"),
        ("read an account",         "iam serviceAccounts.get",                   "iam.serviceAccounts.get"),
        ("read account grants",     "iam serviceAccounts.getIamPolicy",          "iam.serviceAccounts.getIamPolicy"),
        ("read the log dataset",    "bigquery datasets.get",                     "bigquery.datasets.get"),
        ("read the endpoint",       "aiplatform endpoints.get",                  "aiplatform.endpoints.get"),
        ("read endpoint grants",    "aiplatform endpoints.getIamPolicy",         "aiplatform.endpoints.getIamPolicy"),
        when=REVIEW,
    ),
    *_rows(PREVIEW, "previewer", PROJECT,
        ("read a model",            "aiplatform models.get",                     "aiplatform.models.get"),
        ("read the bucket",         "storage buckets.get",                       "storage.buckets.get"),
        ("read bucket grants",      "storage buckets.getIamPolicy",              "storage.buckets.getIamPolicy"),
        ("check the artifact",      "storage objects.get",                       "storage.objects.get"),
        when=f"{REVIEW} {REGISTER}",
    ),
    *_rows(PREVIEW, "previewer", PROJECT,
        ("look a model up",         "aiplatform models.get",                     "aiplatform.models.get"),
        when=f"{REVIEW} {OWN_REGISTRY}",
    ),
    *_rows(PREVIEW, "previewer", PROJECT,
        ("read the registry bucket's grants", "storage buckets.getIamPolicy",    "storage.buckets.getIamPolicy"),
        when=f"{REVIEW} {OWN_BUCKET}",
    ),
    *_rows(PREVIEW, "previewer", PROJECT,
        ("read the schema",         "pubsub schemas.get",                        "pubsub.schemas.get"),
        ("read a topic",            "pubsub topics.get",                         "pubsub.topics.get"),
        ("read topic grants",       "pubsub topics.getIamPolicy",                "pubsub.topics.getIamPolicy"),
        ("read a subscription",     "pubsub subscriptions.get",                  "pubsub.subscriptions.get"),
        ("read a table",            "bigquery tables.get",                       "bigquery.tables.get"),
        when=f"{REVIEW} {ROUTE}",
    ),
    *_rows(PREVIEW, "previewer", PROJECT,
        ("read subscription grants", "pubsub subscriptions.getIamPolicy",        "pubsub.subscriptions.getIamPolicy"),
        when=f"{REVIEW} {ROUTE} {WHOLE}",
    ),
    *_rows(PREVIEW, "previewer", PROJECT,
        ("read the watch",          "aiplatform modelDeploymentMonitoringJobs.get", "aiplatform.modelDeploymentMonitoringJobs.get"),
        ("read a drift alert",      "monitoring alertPolicies.get",              "monitoring.alertPolicies.get"),
        when=f"{REVIEW} {DRIFT}",
    ),
    *_rows(PREVIEW, "previewer", PROJECT,
        ("read a channel",          "monitoring notificationChannels.get",       "monitoring.notificationChannels.get"),
        ("read an alert",           "monitoring alertPolicies.get",              "monitoring.alertPolicies.get"),
        ("read the service",        "monitoring services.get",                   "monitoring.services.get"),
        ("read the objective",      "monitoring serviceLevelObjectives.get",     "monitoring.slos.get"),
        ("read the dashboard",      "monitoring dashboards.get",                 "monitoring.dashboards.get"),
        ("read what is counted",    "logging metrics.get",                       "logging.logMetrics.get"),
        when=f"{REVIEW} {WATCH}",
    ),
    *_rows(PREVIEW, "previewer", PROJECT,
        ("read the incident topic", "pubsub topics.get",                         "pubsub.topics.get"),
        ("read the incident topic's grants", "pubsub topics.getIamPolicy",       "pubsub.topics.getIamPolicy"),
        when=f"{REVIEW} {INFORM}",
    ),
    *_rows(PREVIEW, "previewer", PROJECT,
        ("read the identity pool",  "iam workloadIdentityPools.get",             "iam.googleapis.com/workloadIdentityPools.get"),
        ("read who is attested",    "iam workloadIdentityPools.listAttestationRules", "iam.googleapis.com/workloadIdentityPools.getAttestationRules"),
        ("read whom GitHub lets in", "iam workloadIdentityPools.providers.get",  "iam.googleapis.com/workloadIdentityPoolProviders.get"),
        when=f"{REVIEW} {FEDERATE}",
    ),
    *_rows(PREVIEW, "sourcePreviewer", SOURCE_PROJECT,
        ("load a model from the source project", "aiplatform models.get",        "aiplatform.models.get"),
        ("read source grants",      "cloudresourcemanager projects.getIamPolicy", "resourcemanager.projects.getIamPolicy"),
        ("read a role",             "iam projects.roles.get",                    "iam.roles.get"),
        ("read bucket grants",      "storage buckets.getIamPolicy",              "storage.buckets.getIamPolicy"),
        when=f"{REVIEW} {SOURCE}",
    ),
)
# fmt: on


def needs(capabilities: Iterable[str]) -> tuple[Need, ...]:
    """The lines that apply in an environment with `capabilities`."""
    there = frozenset(capabilities)
    return tuple(need for need in NEEDS if need.when <= there)


def roles(capabilities: Iterable[str]) -> tuple[Role, ...]:
    """Every role of an environment: one for each identity, role key and resource."""
    permissions: dict[tuple[str, str, str], set[str]] = {}
    for need in needs(capabilities):
        key = (need.identity, need.role, need.on)
        permissions.setdefault(key, set()).add(need.permission)
    return tuple(Role(*key, tuple(sorted(held))) for key, held in permissions.items())


def no_role(role: str) -> str:
    """Why nobody can use a role of Google's IoT Core (gcp-facts/08_iot_and_testiam.md); "" else."""
    if not re.match(r"\s*roles/(cloud)?iot\.", role, re.IGNORECASE):
        return ""
    return (
        "roles/iot.* never existed, and roles/cloudiot.* give access to nothing since Google's IoT "
        "Core was switched off on 2023-08-16. Devices publish as the stack's device account or as a "
        "member of deviceMembers; who may do what in ClearBlade is set in its own console"
    )
