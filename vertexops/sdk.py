"""What a Pulumi program imports to declare our resources.

Inputs and outputs are described in `vertexops.schema`. `Pulumi.yaml` names the plugin (`plugins:
providers: - name: vertexops, path: vertexops`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar, dataclass_transform

import pulumi

from vertexops.schema import (
    ACCESS_READY,
    DESTROY_GUARD,
    DEVICE_REGISTRY,
    FIXED_SETTINGS,
    FOUNDATION_READY,
    MODEL_ROLLOUT,
    MONITORING_JOB,
    NAME,
    REGISTERED_DEVICE,
    REGISTERED_MODEL,
    SERVICES_READY,
)

T = TypeVar("T")


@dataclass_transform(kw_only_default=True, field_specifiers=(pulumi.property,))
def _args(cls: type[T]) -> type[T]:
    return pulumi.input_type(cls)


@_args
class _ProviderArgs:
    project: pulumi.Input[str] | None = None
    region: pulumi.Input[str] | None = None
    impersonate_service_account: pulumi.Input[str] | None = pulumi.property(
        "impersonateServiceAccount", default=None
    )
    clearblade_credentials: pulumi.Input[str] | None = pulumi.property(
        "clearbladeCredentials", default=None
    )


class Provider(pulumi.ProviderResource):
    """Where resources are, and as whom Google is called: the application default credentials, or
    the service account that they impersonate. ClearBlade is called with `clearblade_credentials`,
    which are kept as a secret, or with the file that `CLEARBLADE_CONFIGURATION` names."""

    def __init__(
        self,
        resource_name: str,
        *,
        project: pulumi.Input[str] | None = None,
        region: pulumi.Input[str] | None = None,
        impersonate_service_account: pulumi.Input[str] | None = None,
        clearblade_credentials: pulumi.Input[str] | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        secret = clearblade_credentials and pulumi.Output.secret(clearblade_credentials)
        args: Any = _ProviderArgs(
            project=project,
            region=region,
            impersonate_service_account=impersonate_service_account,
            clearblade_credentials=secret or None,
        )
        super().__init__(NAME, resource_name, args, opts)


class _Resource(pulumi.CustomResource):
    def __init__(
        self, token: str, name: str, args: Any, opts: pulumi.ResourceOptions | None
    ) -> None:
        # Outputs resolve only under names that are there from the start. Each name costs a program
        # time, for the SDK keeps an output of it: those that nobody gave are left out.
        given = {key: value for key, value in vars(args).items() if value is not None}
        args.__dict__ = dict.fromkeys(type(self).__annotations__) | given
        super().__init__(token, name, args, opts)


@_args
class ProbeArgs:
    """Asks for a path, or runs a command in the container, to see whether it is well."""

    path: pulumi.Input[str] | None = None
    command: pulumi.Input[Sequence[pulumi.Input[str]]] | None = None
    initial_delay_seconds: pulumi.Input[int] | None = pulumi.property(
        "initialDelaySeconds", default=None
    )
    period_seconds: pulumi.Input[int] | None = pulumi.property("periodSeconds", default=None)
    timeout_seconds: pulumi.Input[int] | None = pulumi.property("timeoutSeconds", default=None)
    failure_threshold: pulumi.Input[int] | None = pulumi.property("failureThreshold", default=None)
    success_threshold: pulumi.Input[int] | None = pulumi.property("successThreshold", default=None)


@_args
class ContainerArgs:
    """How an image runs, where it is not as Vertex AI would run it; fixed with the version."""

    predict_route: pulumi.Input[str] | None = pulumi.property("predictRoute", default=None)
    health_route: pulumi.Input[str] | None = pulumi.property("healthRoute", default=None)
    port: pulumi.Input[int] | None = None
    env: pulumi.Input[Mapping[str, pulumi.Input[str]]] | None = None
    command: pulumi.Input[Sequence[pulumi.Input[str]]] | None = None
    args: pulumi.Input[Sequence[pulumi.Input[str]]] | None = None
    deployment_timeout_seconds: pulumi.Input[int] | None = pulumi.property(
        "deploymentTimeoutSeconds", default=None
    )
    startup_probe: pulumi.Input[pulumi.InputType[ProbeArgs]] | None = pulumi.property(
        "startupProbe", default=None
    )
    health_probe: pulumi.Input[pulumi.InputType[ProbeArgs]] | None = pulumi.property(
        "healthProbe", default=None
    )


@_args
class _RegisteredModelArgs:
    model: pulumi.Input[str] | None = None
    project: pulumi.Input[str] | None = None
    location: pulumi.Input[str] | None = None
    model_id: pulumi.Input[str] | None = pulumi.property("modelId", default=None)
    display_name: pulumi.Input[str] | None = pulumi.property("displayName", default=None)
    description: pulumi.Input[str] | None = None
    labels: pulumi.Input[Mapping[str, pulumi.Input[str]]] | None = None
    artifact_uri: pulumi.Input[str] | None = pulumi.property("artifactUri", default=None)
    artifact_hash: pulumi.Input[str] | None = pulumi.property("artifactHash", default=None)
    container_image_uri: pulumi.Input[str] | None = pulumi.property(
        "containerImageUri", default=None
    )
    container: pulumi.Input[pulumi.InputType[ContainerArgs]] | None = None
    kms_key: pulumi.Input[str] | None = pulumi.property("kmsKey", default=None)
    version_aliases: pulumi.Input[Sequence[pulumi.Input[str]]] | None = pulumi.property(
        "versionAliases", default=None
    )
    service_account: pulumi.Input[str] | None = pulumi.property("serviceAccount", default=None)
    is_default: pulumi.Input[bool] | None = pulumi.property("isDefault", default=None)


class RegisteredModel(_Resource):
    """One version of a model in the Vertex AI Model Registry.

    Give `model` alone to look up a version, in any project. Otherwise the artifact is uploaded as a
    new version, and any change of it makes another version, before the old one is deleted. With
    `is_default=False` those who follow `@default` stay with the version that they have.
    """

    name: pulumi.Output[str]
    version_id: pulumi.Output[str] = pulumi.property("versionId")
    version_name: pulumi.Output[str] = pulumi.property("versionName")
    version_aliases: pulumi.Output[list[str]] = pulumi.property("versionAliases")
    create_time: pulumi.Output[str] = pulumi.property("createTime")

    def __init__(
        self,
        resource_name: str,
        *,
        model: pulumi.Input[str] | None = None,
        project: pulumi.Input[str] | None = None,
        location: pulumi.Input[str] | None = None,
        model_id: pulumi.Input[str] | None = None,
        display_name: pulumi.Input[str] | None = None,
        description: pulumi.Input[str] | None = None,
        labels: pulumi.Input[Mapping[str, pulumi.Input[str]]] | None = None,
        artifact_uri: pulumi.Input[str] | None = None,
        artifact_hash: pulumi.Input[str] | None = None,
        container_image_uri: pulumi.Input[str] | None = None,
        container: pulumi.Input[pulumi.InputType[ContainerArgs]] | None = None,
        kms_key: pulumi.Input[str] | None = None,
        version_aliases: pulumi.Input[Sequence[pulumi.Input[str]]] | None = None,
        service_account: pulumi.Input[str] | None = None,
        is_default: pulumi.Input[bool] | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        args = _RegisteredModelArgs(
            model=model,
            project=project,
            location=location,
            model_id=model_id,
            display_name=display_name,
            description=description,
            labels=labels,
            artifact_uri=artifact_uri,
            artifact_hash=artifact_hash,
            container_image_uri=container_image_uri,
            container=container,
            kms_key=kms_key,
            version_aliases=version_aliases,
            service_account=service_account,
            is_default=is_default,
        )
        super().__init__(REGISTERED_MODEL, resource_name, args, opts)


@_args
class RolloutModelArgs:
    """One model of a rollout. `traffic` is a percentage; `autoscaling` has a target by metric."""

    model: pulumi.Input[str]
    traffic: pulumi.Input[int]
    machine_type: pulumi.Input[str] = pulumi.property("machineType")
    min_replicas: pulumi.Input[int] | None = pulumi.property("minReplicas", default=None)
    max_replicas: pulumi.Input[int] | None = pulumi.property("maxReplicas", default=None)
    required_replicas: pulumi.Input[int] | None = pulumi.property("requiredReplicas", default=None)
    autoscaling: pulumi.Input[Mapping[str, pulumi.Input[int]]] | None = None
    accelerator_type: pulumi.Input[str] | None = pulumi.property("acceleratorType", default=None)
    accelerator_count: pulumi.Input[int] | None = pulumi.property("acceleratorCount", default=None)
    spot: pulumi.Input[bool] | None = None
    enable_access_logging: pulumi.Input[bool] | None = pulumi.property(
        "enableAccessLogging", default=None
    )
    service_account: pulumi.Input[str] | None = pulumi.property("serviceAccount", default=None)
    display_name: pulumi.Input[str] | None = pulumi.property("displayName", default=None)
    disable_container_logging: pulumi.Input[bool] | None = pulumi.property(
        "disableContainerLogging", default=None
    )


@pulumi.output_type
class DeployedModel:
    """A model as it is deployed on an endpoint."""

    id: str
    model: str
    traffic: int
    display_name: str = pulumi.property("displayName")
    machine_type: str = pulumi.property("machineType")
    min_replicas: int = pulumi.property("minReplicas")
    max_replicas: int = pulumi.property("maxReplicas")
    required_replicas: int = pulumi.property("requiredReplicas")
    autoscaling: dict[str, int]
    accelerator_type: str = pulumi.property("acceleratorType")
    accelerator_count: int = pulumi.property("acceleratorCount")
    spot: bool
    enable_access_logging: bool = pulumi.property("enableAccessLogging")
    explanation_spec: str = pulumi.property("explanationSpec")
    disable_explanations: bool = pulumi.property("disableExplanations")
    shared_resources: str = pulumi.property("sharedResources")
    automatic_resources: str = pulumi.property("automaticResources")
    service_account: str = pulumi.property("serviceAccount")
    disable_container_logging: bool = pulumi.property("disableContainerLogging")


@_args
class CanaryArgs:
    """A model of a rollout that is tried, and the one that it is to take over from."""

    model: pulumi.Input[str]
    predecessor: pulumi.Input[str]


@_args
class CanaryGuardArgs:
    """What canaries are held to before they get a larger share of their model's traffic."""

    window_minutes: pulumi.Input[int] | None = pulumi.property("windowMinutes", default=None)
    min_requests: pulumi.Input[int] | None = pulumi.property("minRequests", default=None)
    error_percent: pulumi.Input[float] | None = pulumi.property("errorPercent", default=None)
    latency_ms: pulumi.Input[float] | None = pulumi.property("latencyMs", default=None)
    latency_ratio: pulumi.Input[float] | None = pulumi.property("latencyRatio", default=None)
    when_too_few: pulumi.Input[str] | None = pulumi.property("whenTooFew", default=None)
    start_percent: pulumi.Input[int] | None = pulumi.property("startPercent", default=None)


@pulumi.output_type
class RolledOut:
    """What is on an endpoint, since when, and by whom: by whose credentials, or unknown."""

    deployed_model_id: str = pulumi.property("deployedModelId")
    model: str
    traffic: int
    deployed_at: str = pulumi.property("deployedAt")
    deployed_by: str = pulumi.property("deployedBy")
    traffic_since: str = pulumi.property("trafficSince")
    traffic_by: str = pulumi.property("trafficBy")


@_args
class _ModelRolloutArgs:
    endpoint: pulumi.Input[str]
    models: pulumi.Input[Sequence[pulumi.Input[pulumi.InputType[RolloutModelArgs]]]]
    deadline_seconds: pulumi.Input[int] | None = pulumi.property("deadlineSeconds", default=None)
    adopt_foreign: pulumi.Input[bool] | None = pulumi.property("adoptForeign", default=None)
    canaries: pulumi.Input[Sequence[pulumi.Input[pulumi.InputType[CanaryArgs]]]] | None = None
    canary_guard: pulumi.Input[pulumi.InputType[CanaryGuardArgs]] | None = pulumi.property(
        "canaryGuard", default=None
    )


class ModelRollout(_Resource):
    """The whole set of models on an endpoint, with their traffic.

    Owns the endpoint's traffic split. Over models that anyone else deployed there it stops, and
    names them; with `adopt_foreign` it takes them off. A larger share for one of `canaries` is
    refused, before anything is changed, when Cloud Monitoring shows more than `canary_guard` lets
    it have.
    """

    endpoint: pulumi.Output[str]
    deployed_models: pulumi.Output[list[DeployedModel]] = pulumi.property("deployedModels")
    traffic_split: pulumi.Output[dict[str, int]] = pulumi.property("trafficSplit")
    rolled_out: pulumi.Output[list[RolledOut]] = pulumi.property("rolledOut")
    service_attachments: pulumi.Output[list[str] | None] = pulumi.property("serviceAttachments")

    def __init__(
        self,
        resource_name: str,
        *,
        endpoint: pulumi.Input[str],
        models: pulumi.Input[Sequence[pulumi.Input[pulumi.InputType[RolloutModelArgs]]]],
        deadline_seconds: pulumi.Input[int] | None = None,
        adopt_foreign: pulumi.Input[bool] | None = None,
        canaries: pulumi.Input[Sequence[pulumi.Input[pulumi.InputType[CanaryArgs]]]] | None = None,
        canary_guard: pulumi.Input[pulumi.InputType[CanaryGuardArgs]] | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        args = _ModelRolloutArgs(
            endpoint=endpoint,
            models=models,
            deadline_seconds=deadline_seconds,
            adopt_foreign=adopt_foreign,
            canaries=canaries,
            canary_guard=canary_guard,
        )
        super().__init__(MODEL_ROLLOUT, resource_name, args, opts)


@_args
class MonitoringObjectiveArgs:
    """How far a deployed model's features may be, 0 to 1, from before and from the training."""

    deployed_model_id: pulumi.Input[str] = pulumi.property("deployedModelId")
    drift_thresholds: pulumi.Input[Mapping[str, pulumi.Input[float]]] | None = pulumi.property(
        "driftThresholds", default=None
    )
    default_drift_threshold: pulumi.Input[float] | None = pulumi.property(
        "defaultDriftThreshold", default=None
    )
    skew_thresholds: pulumi.Input[Mapping[str, pulumi.Input[float]]] | None = pulumi.property(
        "skewThresholds", default=None
    )
    default_skew_threshold: pulumi.Input[float] | None = pulumi.property(
        "defaultSkewThreshold", default=None
    )
    training_uri: pulumi.Input[str] | None = pulumi.property("trainingUri", default=None)
    training_format: pulumi.Input[str] | None = pulumi.property("trainingFormat", default=None)
    training_target: pulumi.Input[str] | None = pulumi.property("trainingTarget", default=None)


@_args
class _MonitoringJobArgs:
    endpoint: pulumi.Input[str]
    display_name: pulumi.Input[str] = pulumi.property("displayName")
    objectives: pulumi.Input[Sequence[pulumi.Input[pulumi.InputType[MonitoringObjectiveArgs]]]]
    sampling_rate: pulumi.Input[float] = pulumi.property("samplingRate")
    interval_hours: pulumi.Input[int] = pulumi.property("intervalHours")
    log_days: pulumi.Input[int] | None = pulumi.property("logDays", default=None)
    notification_channels: pulumi.Input[Sequence[pulumi.Input[str]]] | None = pulumi.property(
        "notificationChannels", default=None
    )
    emails: pulumi.Input[Sequence[pulumi.Input[str]]] | None = None
    enable_logging: pulumi.Input[bool] | None = pulumi.property("enableLogging", default=None)
    enable_pipeline_logs: pulumi.Input[bool] | None = pulumi.property(
        "enablePipelineLogs", default=None
    )
    analysis_instance_schema_uri: pulumi.Input[str] | None = pulumi.property(
        "analysisInstanceSchemaUri", default=None
    )
    kms_key: pulumi.Input[str] | None = pulumi.property("kmsKey", default=None)
    paused: pulumi.Input[bool] | None = None


class MonitoringJob(_Resource):
    """What an endpoint is asked, watched for drift and for skew from the training data.

    Objectives name deployed models, so take them from a `ModelRollout`. While it is there, Google
    refuses to change the endpoint's request log.
    """

    name: pulumi.Output[str]

    def __init__(
        self,
        resource_name: str,
        *,
        endpoint: pulumi.Input[str],
        display_name: pulumi.Input[str],
        objectives: pulumi.Input[Sequence[pulumi.Input[pulumi.InputType[MonitoringObjectiveArgs]]]],
        sampling_rate: pulumi.Input[float],
        interval_hours: pulumi.Input[int],
        log_days: pulumi.Input[int] | None = None,
        notification_channels: pulumi.Input[Sequence[pulumi.Input[str]]] | None = None,
        emails: pulumi.Input[Sequence[pulumi.Input[str]]] | None = None,
        enable_logging: pulumi.Input[bool] | None = None,
        enable_pipeline_logs: pulumi.Input[bool] | None = None,
        analysis_instance_schema_uri: pulumi.Input[str] | None = None,
        kms_key: pulumi.Input[str] | None = None,
        paused: pulumi.Input[bool] | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        args = _MonitoringJobArgs(
            endpoint=endpoint,
            display_name=display_name,
            objectives=objectives,
            sampling_rate=sampling_rate,
            interval_hours=interval_hours,
            log_days=log_days,
            notification_channels=notification_channels,
            emails=emails,
            enable_logging=enable_logging,
            enable_pipeline_logs=enable_pipeline_logs,
            analysis_instance_schema_uri=analysis_instance_schema_uri,
            kms_key=kms_key,
            paused=paused,
        )
        super().__init__(MONITORING_JOB, resource_name, args, opts)


@_args
class _ServicesReadyArgs:
    services: pulumi.Input[Sequence[pulumi.Input[str]]]
    project: pulumi.Input[str] | None = None
    region: pulumi.Input[str] | None = None
    deadline_seconds: pulumi.Input[int] | None = pulumi.property("deadlineSeconds", default=None)


class ServicesReady(_Resource):
    """Done when every service answers; `deadline_seconds=0` does not look."""

    services: pulumi.Output[list[str]]

    def __init__(
        self,
        resource_name: str,
        *,
        services: pulumi.Input[Sequence[pulumi.Input[str]]],
        project: pulumi.Input[str] | None = None,
        region: pulumi.Input[str] | None = None,
        deadline_seconds: pulumi.Input[int] | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        args = _ServicesReadyArgs(
            services=services, project=project, region=region, deadline_seconds=deadline_seconds
        )
        super().__init__(SERVICES_READY, resource_name, args, opts)


@_args
class NeedArgs:
    """Permissions needed on one resource."""

    resource: pulumi.Input[str]
    permissions: pulumi.Input[Sequence[pulumi.Input[str]]]


@_args
class _AccessReadyArgs:
    principal: pulumi.Input[str]
    needs: pulumi.Input[Sequence[pulumi.Input[pulumi.InputType[NeedArgs]]]]
    deadline_seconds: pulumi.Input[int] | None = pulumi.property("deadlineSeconds", default=None)


class AccessReady(_Resource):
    """Done when `principal` can be impersonated and holds what it needs.

    `email` is the principal, known only then: give it to a provider, and nothing of that provider
    starts too early. `deadline_seconds=0` does not look.
    """

    principal: pulumi.Output[str]
    email: pulumi.Output[str]

    def __init__(
        self,
        resource_name: str,
        *,
        principal: pulumi.Input[str],
        needs: pulumi.Input[Sequence[pulumi.Input[pulumi.InputType[NeedArgs]]]],
        deadline_seconds: pulumi.Input[int] | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        args = _AccessReadyArgs(principal=principal, needs=needs, deadline_seconds=deadline_seconds)
        super().__init__(ACCESS_READY, resource_name, args, opts)


@_args
class _FoundationReadyArgs:
    endpoint: pulumi.Input[str]
    needs: pulumi.Input[Sequence[pulumi.Input[pulumi.InputType[NeedArgs]]]]
    look: pulumi.Input[bool]


class FoundationReady(_Resource):
    """Looks whether the endpoint of another stack is there, and whether the provider's identity
    holds what it needs.

    Have everything else depend on it: what is missing is said before anything happens. A preview
    by somebody who may not be that identity has `look` false; that is no change.
    """

    dedicated_endpoint_dns: pulumi.Output[str] = pulumi.property("dedicatedEndpointDns")

    def __init__(
        self,
        resource_name: str,
        *,
        endpoint: pulumi.Input[str],
        needs: pulumi.Input[Sequence[pulumi.Input[pulumi.InputType[NeedArgs]]]],
        look: pulumi.Input[bool],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        args = _FoundationReadyArgs(endpoint=endpoint, needs=needs, look=look)
        super().__init__(FOUNDATION_READY, resource_name, args, opts)


@_args
class SettingArgs:
    """A setting with its `value` as text. `instead` fixes it, `mind` only warns of a change."""

    name: pulumi.Input[str]
    value: pulumi.Input[str]
    of: pulumi.Input[str] | None = None
    instead: pulumi.Input[str] | None = None
    mind: pulumi.Input[str] | None = None


@_args
class _FixedSettingsArgs:
    settings: pulumi.Input[Sequence[pulumi.Input[pulumi.InputType[SettingArgs]]]]


class FixedSettings(_Resource):
    """Refuses changes of settings that a running stack cannot take, before anything happens.

    Have everything else depend on it.
    """

    def __init__(
        self,
        resource_name: str,
        *,
        settings: pulumi.Input[Sequence[pulumi.Input[pulumi.InputType[SettingArgs]]]],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__(FIXED_SETTINGS, resource_name, _FixedSettingsArgs(settings=settings), opts)


@_args
class _DestroyGuardArgs:
    endpoint: pulumi.Input[str]
    deployed_model_ids: pulumi.Input[Sequence[pulumi.Input[str]]] = pulumi.property(
        "deployedModelIds"
    )
    empty: pulumi.Input[bool] | None = None
    adopt_foreign: pulumi.Input[bool] | None = pulumi.property("adoptForeign", default=None)


class DestroyGuard(_Resource):
    """Refuses to be deleted while an endpoint has models that somebody else deployed.

    Have it depend on everything: a `pulumi destroy` then stops before anything is gone. With
    `empty`, models of whomever stop it: another stack deploys there, and has to go first. With
    `adopt_foreign` only that does.
    """

    def __init__(
        self,
        resource_name: str,
        *,
        endpoint: pulumi.Input[str],
        deployed_model_ids: pulumi.Input[Sequence[pulumi.Input[str]]],
        empty: pulumi.Input[bool] | None = None,
        adopt_foreign: pulumi.Input[bool] | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        args = _DestroyGuardArgs(
            endpoint=endpoint,
            deployed_model_ids=deployed_model_ids,
            empty=empty,
            adopt_foreign=adopt_foreign,
        )
        super().__init__(DESTROY_GUARD, resource_name, args, opts)


@_args
class _DeviceRegistryArgs:
    registry_id: pulumi.Input[str] = pulumi.property("registryId")
    event_topic: pulumi.Input[str] = pulumi.property("eventTopic")
    project: pulumi.Input[str] | None = None
    location: pulumi.Input[str] | None = None


class DeviceRegistry(_Resource):
    """A registry of devices in ClearBlade IoT Core, whose events all go to one topic.

    Devices that somebody else registered in it keep it from being deleted.
    """

    name: pulumi.Output[str]

    def __init__(
        self,
        resource_name: str,
        *,
        registry_id: pulumi.Input[str],
        event_topic: pulumi.Input[str],
        project: pulumi.Input[str] | None = None,
        location: pulumi.Input[str] | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        args = _DeviceRegistryArgs(
            registry_id=registry_id, event_topic=event_topic, project=project, location=location
        )
        super().__init__(DEVICE_REGISTRY, resource_name, args, opts)


@_args
class _RegisteredDeviceArgs:
    registry: pulumi.Input[str]
    device_id: pulumi.Input[str] = pulumi.property("deviceId")
    config: pulumi.Input[str]
    gateway: pulumi.Input[bool] | None = None


class RegisteredDevice(_Resource):
    """A device or gateway in a registry of ClearBlade IoT Core, and what it is told.

    Whatever it is told, it can pass on: addresses, never a token.
    """

    name: pulumi.Output[str]
    config_version: pulumi.Output[int] = pulumi.property("configVersion")
    config_update_time: pulumi.Output[str] = pulumi.property("configUpdateTime")

    def __init__(
        self,
        resource_name: str,
        *,
        registry: pulumi.Input[str],
        device_id: pulumi.Input[str],
        config: pulumi.Input[str],
        gateway: pulumi.Input[bool] | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        args = _RegisteredDeviceArgs(
            registry=registry, device_id=device_id, config=config, gateway=gateway
        )
        super().__init__(REGISTERED_DEVICE, resource_name, args, opts)
