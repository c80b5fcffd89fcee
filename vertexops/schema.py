"""The provider's resources as data."""

from __future__ import annotations

from pulumi_plugin.shapes import Package, Property, ResourceShape, Shape


def _property(of: Property, description: str) -> Property:
    return of | {"description": description}


STRING: Property = {"type": "string"}
INTEGER: Property = {"type": "integer"}
NUMBER: Property = {"type": "number"}
BOOLEAN: Property = {"type": "boolean"}
NUMBERS: Property = {"type": "object", "additionalProperties": NUMBER}
STRINGS: Property = {"type": "array", "items": STRING}
LABELS: Property = {"type": "object", "additionalProperties": STRING}
INTEGERS: Property = {"type": "object", "additionalProperties": INTEGER}

NAME, VERSION = "vertexops", "0.1.0"
REGISTERED_MODEL = f"{NAME}:index:RegisteredModel"
MODEL_ROLLOUT = f"{NAME}:index:ModelRollout"
MONITORING_JOB = f"{NAME}:index:MonitoringJob"
SERVICES_READY = f"{NAME}:index:ServicesReady"
ACCESS_READY = f"{NAME}:index:AccessReady"
FOUNDATION_READY = f"{NAME}:index:FoundationReady"
FIXED_SETTINGS = f"{NAME}:index:FixedSettings"
DESTROY_GUARD = f"{NAME}:index:DestroyGuard"
DEVICE_REGISTRY = f"{NAME}:index:DeviceRegistry"
REGISTERED_DEVICE = f"{NAME}:index:RegisteredDevice"

CPU_UTILIZATION = "aiplatform.googleapis.com/prediction/online/cpu/utilization"
REQUEST_COUNT = "aiplatform.googleapis.com/prediction/online/request_count"
DUTY_CYCLE = "aiplatform.googleapis.com/prediction/online/accelerator/duty_cycle"

PROJECT = _property(STRING, "Project id; the provider's project unless set.")
ADOPT_FOREIGN = _property(
    BOOLEAN, "Take off what somebody else deployed, which else stops the run; default false."
)
DEADLINE = _property(
    INTEGER, "Seconds to wait before it is an error; 0 does not wait and does not look."
)

CONFIG = {
    "project": _property(STRING, "Project id."),
    "region": _property(STRING, "Vertex AI region, such as us-central1."),
    "impersonateServiceAccount": _property(
        STRING, "E-mail of the service account to call Google as, with short-lived tokens."
    ),
    "clearbladeCredentials": _property(
        STRING,
        "Content of the credentials file of a ClearBlade service account; without it, that of the "
        "file which the environment's CLEARBLADE_CONFIGURATION names.",
    )
    | {"secret": True},
}

TYPES = {
    "RolloutModel": Shape(
        {
            "model": _property(
                STRING, "projects/P/locations/L/models/M@V: RegisteredModel's versionName."
            ),
            "traffic": _property(INTEGER, "Percent of the endpoint's requests, 0 to 100."),
            "machineType": _property(STRING, "Such as n1-standard-2."),
            "minReplicas": _property(INTEGER, "At least 1; default 1."),
            "maxReplicas": _property(INTEGER, "Default minReplicas. Quota is charged for these."),
            "autoscaling": _property(
                INTEGERS,
                "Target by metric that replicas are added and taken away for: percent of "
                f"{CPU_UTILIZATION} or of {DUTY_CYCLE}, requests a minute and replica for "
                f"{REQUEST_COUNT}. Google's default is 60 % of CPU use alone.",
            ),
            "requiredReplicas": _property(
                INTEGER, "Replicas that a deployment succeeds with; default minReplicas."
            ),
            "acceleratorType": _property(STRING, "Such as NVIDIA_L4."),
            "acceleratorCount": _property(INTEGER, "Accelerators of each machine."),
            "spot": _property(BOOLEAN, "Run on Spot VMs."),
            "enableAccessLogging": _property(BOOLEAN, "Log each request to Cloud Logging."),
            "serviceAccount": _property(STRING, "E-mail of the account the container runs as."),
            "displayName": _property(STRING, "Default: the model's display name."),
            "disableContainerLogging": _property(BOOLEAN, "Keep stdout and stderr out of Logging."),
        },
        ("model", "traffic", "machineType"),
    ),
    "DeployedModel": Shape(
        {
            "id": _property(STRING, "Id of the DeployedModel on the endpoint."),
            "model": _property(STRING, "projects/P/locations/L/models/M@V."),
            "displayName": _property(STRING, "Display name."),
            "traffic": _property(INTEGER, "Percent of the endpoint's requests."),
            "machineType": _property(STRING, "Machine type."),
            "minReplicas": _property(INTEGER, "Fewest replicas."),
            "maxReplicas": _property(INTEGER, "Most replicas."),
            "autoscaling": _property(INTEGERS, "Target by metric."),
            "requiredReplicas": _property(INTEGER, "What deployments succeed with; 0: the fewest."),
            "acceleratorType": _property(STRING, "Accelerator, or empty."),
            "acceleratorCount": _property(INTEGER, "Accelerators of each machine."),
            "spot": _property(BOOLEAN, "Whether it runs on Spot VMs."),
            "enableAccessLogging": _property(BOOLEAN, "Whether each request is logged."),
            "explanationSpec": _property(STRING, "How it explains, as JSON, or empty."),
            "disableExplanations": _property(BOOLEAN, "Whether it explains nothing all the same."),
            "sharedResources": _property(STRING, "The pool that it shares, or empty."),
            "automaticResources": _property(STRING, "Replicas that Google decides on, or empty."),
            "serviceAccount": _property(STRING, "Account the container runs as, or empty."),
            "disableContainerLogging": _property(BOOLEAN, "Whether stdout and stderr are dropped."),
        },
        ("id", "model", "traffic"),
    ),
    "Canary": Shape(
        {
            "model": _property(STRING, "One of the rollout's models, which is tried."),
            "predecessor": _property(STRING, "The one of them that it is to take over from."),
        },
        ("model", "predecessor"),
    ),
    "CanaryGuard": Shape(
        {
            "windowMinutes": _property(INTEGER, "How far back is looked; default 10."),
            "minRequests": _property(INTEGER, "Requests to judge by; default 100."),
            "errorPercent": _property(NUMBER, "Failed requests at most; default 1."),
            "latencyMs": _property(NUMBER, "At most, of 95 % of answers; default 0, any."),
            "latencyRatio": _property(
                NUMBER, "The same, by that of the predecessor; default 1.5, and 0 is any."
            ),
            "whenTooFew": _property(STRING, "stop or go, with fewer requests; default stop."),
            "startPercent": _property(INTEGER, "What a canary may begin with; default 20."),
        }
    ),
    "RolledOut": Shape(
        {
            "deployedModelId": _property(STRING, "Id of the DeployedModel on the endpoint."),
            "model": _property(STRING, "projects/P/locations/L/models/M@V."),
            "traffic": _property(INTEGER, "Percent of the endpoint's requests."),
            "deployedAt": _property(STRING, "When Google deployed it, RFC 3339."),
            "deployedBy": _property(STRING, "Whose credentials ran that, or unknown."),
            "trafficSince": _property(STRING, "When this traffic was set; empty if not known."),
            "trafficBy": _property(STRING, "Whose credentials ran that, or unknown."),
        },
        (
            *("deployedModelId", "model", "traffic", "deployedAt", "deployedBy"),
            *("trafficSince", "trafficBy"),
        ),
    ),
    # Discovery document of aiplatform v1, ModelContainerSpec and Probe.
    "Container": Shape(
        {
            "predictRoute": _property(STRING, "Path that predictions are asked for on."),
            "healthRoute": _property(STRING, "Path that says whether the container is well."),
            "port": _property(INTEGER, "Port that it listens on; default 8080."),
            "env": _property(LABELS, "Environment variables."),
            "command": _property(STRINGS, "In place of the image's ENTRYPOINT."),
            "args": _property(STRINGS, "In place of the image's CMD."),
            "deploymentTimeoutSeconds": _property(INTEGER, "At most 7200."),
            "startupProbe": {"$ref": f"#/types/{NAME}:index:Probe"},
            "healthProbe": {"$ref": f"#/types/{NAME}:index:Probe"},
        }
    ),
    "Probe": Shape(
        {
            "path": _property(STRING, "Path to ask for, on the container's port."),
            "command": _property(STRINGS, "What to run in the container instead."),
            "initialDelaySeconds": _property(INTEGER, "Before the first look; default 0."),
            "periodSeconds": _property(INTEGER, "Between looks; default 10."),
            "timeoutSeconds": _property(INTEGER, "Until a look has failed; default 1."),
            "failureThreshold": _property(INTEGER, "Failures in a row that count; default 3."),
            "successThreshold": _property(INTEGER, "Successes in a row that count; default 1."),
        }
    ),
    "MonitoringObjective": Shape(
        {
            "deployedModelId": _property(STRING, "Whose requests; as ModelRollout gives it."),
            "driftThresholds": _property(
                NUMBERS, "By feature: how far, 0 to 1, a window may be from the one before."
            ),
            "defaultDriftThreshold": _property(NUMBER, "Of the features without one."),
            "skewThresholds": _property(
                NUMBERS, "By feature: how far a window may be from the training data."
            ),
            "defaultSkewThreshold": _property(NUMBER, "Of the features without one."),
            "trainingUri": _property(STRING, "gs://BUCKET/FILE with the training data."),
            "trainingFormat": _property(STRING, "csv or jsonl."),
            "trainingTarget": _property(STRING, "The field that the model predicts."),
        },
        ("deployedModelId",),
    ),
    "Need": Shape(
        {
            "resource": _property(
                STRING, "projects/P, projects/P/serviceAccounts/EMAIL or projects/_/buckets/B."
            ),
            "permissions": _property(STRINGS, "Permissions needed on it."),
        },
        ("resource", "permissions"),
    ),
    "Setting": Shape(
        {
            "name": _property(STRING, "As the stack's configuration calls it."),
            "value": _property(STRING, "As text."),
            "of": _property(STRING, "What it belongs to: that of another one is not compared."),
            "instead": _property(STRING, "It cannot change; what to do instead."),
            "mind": _property(STRING, "It can change; what to mind then."),
        },
        ("name", "value"),
    ),
}


def list_of(name: str) -> Property:
    return {"type": "array", "items": {"$ref": f"#/types/{NAME}:index:{name}"}}


RESOURCES = {
    REGISTERED_MODEL: ResourceShape(
        "One version of a model in the Vertex AI Model Registry: uploaded by us, or looked up with "
        "`model` alone and then left as it is.",
        Shape(
            {
                "model": _property(
                    STRING, "Look up projects/P/locations/L/models/M[@version or @alias] instead."
                ),
                "project": PROJECT,
                "location": _property(STRING, "Region; the provider's region unless set."),
                "modelId": _property(STRING, "Id of the model that this is a version of."),
                "displayName": _property(STRING, "Display name of the model."),
                "description": _property(STRING, "Description of the model."),
                "labels": _property(LABELS, "Labels of the version."),
                "artifactUri": _property(
                    STRING, "gs:// directory that holds the artifact; none where the image does."
                ),
                "artifactHash": _property(
                    STRING,
                    "Hex digest of the artifact, or of an image that holds it: another digest is "
                    "another version.",
                ),
                "containerImageUri": _property(STRING, "Serving container image."),
                "container": {"$ref": f"#/types/{NAME}:index:Container"},
                "kmsKey": _property(
                    STRING, "Cloud KMS key that encrypts it; of its region, without a version."
                ),
                "versionAliases": _property(STRINGS, "Aliases besides `default` and our own."),
                "isDefault": _property(
                    BOOLEAN,
                    "Whether it takes the alias `default`; default true. Of a model's first "
                    "version Google makes it the default in any case.",
                ),
                "serviceAccount": _property(STRING, "Account that reads the artifact at upload."),
            },
            (),
        ),
        {
            "name": _property(STRING, "projects/P/locations/L/models/M."),
            "versionId": _property(STRING, "Version number."),
            "versionName": _property(STRING, "projects/P/locations/L/models/M@V."),
            "createTime": _property(STRING, "When the version was made, RFC 3339."),
        },
    ),
    MODEL_ROLLOUT: ResourceShape(
        "The whole set of models on an endpoint, with their traffic. Models that anyone else "
        "deployed there are named, and nothing is changed; they go with `adoptForeign`.",
        Shape(
            {
                "endpoint": _property(STRING, "projects/P/locations/L/endpoints/E."),
                "models": _property(list_of("RolloutModel"), "Traffic adds up to 100."),
                "deadlineSeconds": _property(INTEGER, "For the whole rollout; default 1800."),
                "adoptForeign": ADOPT_FOREIGN,
                "canaries": _property(
                    list_of("Canary"),
                    "Models that get a larger share of their model's traffic only when Cloud "
                    "Monitoring shows them fit for it.",
                ),
                "canaryGuard": {"$ref": f"#/types/{NAME}:index:CanaryGuard"},
            },
            ("endpoint", "models"),
        ),
        {
            "deployedModels": _property(list_of("DeployedModel"), "What is on the endpoint."),
            "trafficSplit": _property(INTEGERS, "Percent by DeployedModel id."),
            "rolledOut": _property(
                list_of("RolledOut"), "What is on the endpoint, since when, and by whom."
            ),
            "serviceAttachments": _property(
                STRINGS, "What a network's forwarding rule is pointed at, of a private endpoint."
            ),
            "foreignModels": _property(
                STRINGS, "Ids of what somebody else deployed there, as a refresh found it."
            ),
            "runningOperation": _property(
                STRING, "What went on when a run was cancelled or its deadline passed."
            ),
        },
        sometimes=("serviceAttachments", "foreignModels", "runningOperation"),
    ),
    MONITORING_JOB: ResourceShape(
        "What an endpoint is asked, watched for drift and for skew from the training data. Google "
        "refuses changes of the endpoint's request log while it is there.",
        Shape(
            {
                "endpoint": _property(STRING, "projects/P/locations/L/endpoints/E."),
                "displayName": _property(STRING, "Display name; one job of it on the endpoint."),
                "objectives": _property(list_of("MonitoringObjective"), "By deployed model."),
                "samplingRate": _property(NUMBER, "Share of the requests, above 0 and up to 1."),
                "intervalHours": _property(INTEGER, "Hours between two looks, and of each window."),
                "logDays": _property(INTEGER, "Days that sampled requests are kept."),
                "notificationChannels": _property(STRINGS, "projects/P/notificationChannels/C."),
                "emails": _property(STRINGS, "Addresses that are told."),
                "enableLogging": _property(BOOLEAN, "Write anomalies to Cloud Logging."),
                "enablePipelineLogs": _property(BOOLEAN, "Write to Cloud Logging what it does."),
                "analysisInstanceSchemaUri": _property(
                    STRING, "gs://BUCKET/FILE: an OpenAPI schema of an instance, with its features."
                ),
                "kmsKey": _property(
                    STRING, "Cloud KMS key that encrypts what it keeps; without a version."
                ),
                "paused": _property(BOOLEAN, "Do not look for now."),
            },
            ("endpoint", "displayName", "objectives", "samplingRate", "intervalHours"),
        ),
        {"name": _property(STRING, "projects/P/locations/L/modelDeploymentMonitoringJobs/J.")},
    ),
    SERVICES_READY: ResourceShape(
        "Done when every service answers: enabling an API takes minutes to reach all of Google.",
        Shape(
            {
                "project": PROJECT,
                "region": _property(STRING, "The provider's region unless set."),
                "services": _property(STRINGS, "Such as aiplatform.googleapis.com."),
                "deadlineSeconds": DEADLINE,
            },
            ("services",),
        ),
    ),
    ACCESS_READY: ResourceShape(
        "Done when a service account can be impersonated and holds what it needs: changes of IAM "
        "take minutes to reach all of Google.",
        Shape(
            {
                "principal": _property(STRING, "E-mail of the service account."),
                "needs": _property(list_of("Need"), "Permissions by resource."),
                "deadlineSeconds": DEADLINE,
            },
            ("principal", "needs"),
        ),
        {"email": _property(STRING, "The principal, known once it is ready.")},
    ),
    FOUNDATION_READY: ResourceShape(
        "Looks in each `up` whether another stack's endpoint is there and the provider's identity "
        "holds what it needs, and says what is missing before anything happens: have everything "
        "else depend on it.",
        Shape(
            {
                "endpoint": _property(STRING, "projects/P/locations/L/endpoints/E."),
                "needs": _property(list_of("Need"), "Permissions by resource."),
                "look": _property(BOOLEAN, "Whether to look; a preview by a stranger must not."),
            },
            ("endpoint", "needs", "look"),
        ),
        {"dedicatedEndpointDns": _property(STRING, "The endpoint's own host, where it has one.")},
    ),
    FIXED_SETTINGS: ResourceShape(
        "Refuses changes of settings that a running stack cannot take, before anything happens: "
        "have everything else depend on it.",
        Shape({"settings": _property(list_of("Setting"), "The settings to watch.")}, ("settings",)),
    ),
    DESTROY_GUARD: ResourceShape(
        "Refuses to be deleted while an endpoint has models that somebody else deployed: have it "
        "depend on everything, and a `pulumi destroy` stops before anything is gone.",
        Shape(
            {
                "endpoint": _property(STRING, "projects/P/locations/L/endpoints/E."),
                "deployedModelIds": _property(STRINGS, "Ids of what the stack deployed there."),
                "empty": _property(
                    BOOLEAN, "Whether another stack deploys there, and has to be gone first."
                ),
                "adoptForeign": ADOPT_FOREIGN,
            },
            ("endpoint", "deployedModelIds"),
        ),
    ),
    DEVICE_REGISTRY: ResourceShape(
        "A registry of devices in ClearBlade IoT Core. Owns where their events go; devices that "
        "somebody else registered keep it from being deleted.",
        Shape(
            {
                "project": PROJECT,
                "location": _property(
                    STRING, "One of ClearBlade's regions; the provider's region unless set."
                ),
                "registryId": _property(STRING, "Id of the registry."),
                "eventTopic": _property(STRING, "projects/P/topics/T, which gets all events."),
            },
            ("registryId", "eventTopic"),
        ),
        {"name": _property(STRING, "projects/P/locations/L/registries/R.")},
    ),
    REGISTERED_DEVICE: ResourceShape(
        "A device or gateway in a registry of ClearBlade IoT Core, and what it is told. Leaves its "
        "public keys, metadata and whether it is blocked alone.",
        Shape(
            {
                "registry": _property(STRING, "projects/P/locations/L/registries/R."),
                "deviceId": _property(STRING, "Id of the device, unique in its registry."),
                "gateway": _property(BOOLEAN, "Whether other devices come in by it."),
                "config": _property(
                    STRING,
                    "What the device is told. Other JSON makes a new version, another text of the "
                    "same JSON none.",
                ),
            },
            ("registry", "deviceId", "config"),
        ),
        {
            "name": _property(STRING, "projects/P/locations/L/registries/R/devices/D."),
            "configVersion": _property(INTEGER, "Version of the config, from 1."),
            "configUpdateTime": _property(STRING, "When that version was made, RFC 3339."),
        },
    ),
}

PACKAGE = Package(
    name=NAME,
    version=VERSION,
    description="What pulumi-gcp cannot declare about Vertex AI models and their devices.",
    config=CONFIG,
    types=TYPES,
    resources=RESOURCES,
    # What code that `pulumi import` writes imports: there is no `pulumi_vertexops`.
    python="vertexops.sdk",
)
