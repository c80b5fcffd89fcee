"""What Vertex AI acts on in its requests, v1 and v1beta1; the rest is refused with its name.

Refused for now, as nothing here behaves by it: shares of accelerators, reservations, flex-start
machines, scaling to zero, peered networks (`network`), automation and certificates of Private
Service Connect, timeouts of predictions, explanations, liveness probes and further ports of a
container, metadata and schemata of a model.
Replicas follow requests (scaling.py), not the use of CPUs or accelerators.
"""

from simulator.api.honoured import Table

BY_PATH = "the path says which one it is, or the id beside it"

HONOURED = Table(
    "aiplatform",
    {
        "Endpoint": "displayName description labels etag trafficSplit encryptionSpec "
        "dedicatedEndpointEnabled predictRequestResponseLoggingConfig privateServiceConnectConfig",
        "PrivateServiceConnectConfig": "enablePrivateServiceConnect projectAllowlist",
        "EncryptionSpec": "kmsKeyName",
        "PredictRequestResponseLoggingConfig": "enabled samplingRate bigqueryDestination",
        "BigQueryDestination": "outputUri",
        "DeployModelRequest": "deployedModel trafficSplit",
        "UndeployModelRequest": "deployedModelId trafficSplit",
        "MutateDeployedModelRequest": "deployedModel updateMask",
        # No container here writes logs and no model explains itself, so both may be switched off.
        # That requests are to be logged is kept: what such an entry looks like was not found.
        "DeployedModel": "id model displayName serviceAccount dedicatedResources "
        "automaticResources sharedResources disableContainerLogging disableExplanations "
        "enableAccessLogging",
        # Of spot machines the metrics' label tells; none is ever taken away here.
        "DedicatedResources": "machineSpec minReplicaCount maxReplicaCount requiredReplicaCount "
        "autoscalingMetricSpecs spot",
        "AutomaticResources": "minReplicaCount maxReplicaCount",
        "MachineSpec": "machineType acceleratorType acceleratorCount",
        "AutoscalingMetricSpec": "metricName target",
        "CreateDeploymentResourcePoolRequest": "deploymentResourcePool deploymentResourcePoolId",
        "DeploymentResourcePool": "dedicatedResources encryptionSpec serviceAccount "
        "disableContainerLogging",
        "UploadModelRequest": "model modelId parentModel serviceAccount",
        "Model": "displayName description labels etag versionAliases versionDescription "
        "artifactUri containerSpec encryptionSpec",
        # Beyond the image only for images that cannot run here anyway (models.check_container).
        "ModelContainerSpec": "imageUri command args env ports predictRoute healthRoute "
        "deploymentTimeout startupProbe healthProbe",
        "Probe": "exec httpGet initialDelaySeconds periodSeconds timeoutSeconds failureThreshold "
        "successThreshold",
        "ProbeExecAction": "command",
        "ProbeHttpGetAction": "path port",
        "EnvVar": "name value",
        "Port": "containerPort",
        "MergeVersionAliasesRequest": "versionAliases",
        "ModelDeploymentMonitoringJob": "displayName endpoint labels logTtl "
        "modelDeploymentMonitoringObjectiveConfigs modelDeploymentMonitoringScheduleConfig "
        "loggingSamplingStrategy modelMonitoringAlertConfig analysisInstanceSchemaUri "
        "enableMonitoringPipelineLogs encryptionSpec",
        "ModelDeploymentMonitoringObjectiveConfig": "deployedModelId objectiveConfig",
        "ModelMonitoringObjectiveConfig": "trainingDataset predictionDriftDetectionConfig "
        "trainingPredictionSkewDetectionConfig",
        "ModelMonitoringObjectiveConfigPredictionDriftDetectionConfig": "driftThresholds "
        "defaultDriftThreshold",
        "ModelMonitoringObjectiveConfigTrainingPredictionSkewDetectionConfig": "skewThresholds "
        "defaultSkewThreshold",
        "ModelMonitoringObjectiveConfigTrainingDataset": "gcsSource dataFormat targetField",
        "ThresholdConfig": "value",
        "GcsSource": "uris",
        "ModelDeploymentMonitoringScheduleConfig": "monitorInterval",
        "SamplingStrategy": "randomSampleConfig",
        "SamplingStrategyRandomSampleConfig": "sampleRate",
        # Nothing is sent: what is to be is kept.
        "ModelMonitoringAlertConfig": "enableLogging emailAlertConfig notificationChannels",
        "ModelMonitoringAlertConfigEmailAlertConfig": "userEmails",
        "SearchModelDeploymentMonitoringStatsAnomaliesRequest": "deployedModelId "
        "featureDisplayName objectives pageSize pageToken startTime endTime",
        "SearchModelDeploymentMonitoringStatsAnomaliesRequestStatsAnomaliesObjective": "type",
        "PredictRequest": "instances parameters",
        "RawPredictRequest": "httpBody",
        "GoogleApiHttpBody": "*",
        "SetIamPolicyRequest": "policy",
        "Policy": "bindings etag version",
        "Binding": "role members condition",
        "GoogleTypeExpr": "*",
    },
    {
        "Endpoint.name": BY_PATH,
        "Model.name": BY_PATH,
        "DeploymentResourcePool.name": BY_PATH,
        "PredictRequest.labels": "only Imagen's billing reads them (discovery document)",
        "timeout": "waiting is best effort and may end at once (discovery document)",
    },
)
