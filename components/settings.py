"""Typed settings of one environment, read from stack configuration.

`Pulumi.yaml` declares every key with its type, description and default; `Pulumi.<stack>.yaml` holds
the differences. All that is wrong is reported at once, each with its key, its value and what would
be valid.
"""

from __future__ import annotations

import difflib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NamedTuple

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    field_validator,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from components import permissions
from pulumi_plugin.kinds import ProviderError
from vertexops import clearblade, containers, forms, schema

# Regional hosts in the discovery document of aiplatform v1 (google-api-python-client 2.202).
# fmt: off
VERTEX_REGIONS: Final = (
    "africa-south1", "asia-east1", "asia-east2", "asia-northeast1", "asia-northeast2",
    "asia-northeast3", "asia-south1", "asia-south2", "asia-southeast1", "asia-southeast2",
    "asia-southeast3", "australia-southeast1", "australia-southeast2", "europe-central2",
    "europe-north1", "europe-north2", "europe-southwest1", "europe-west1", "europe-west10",
    "europe-west12", "europe-west15", "europe-west2", "europe-west3", "europe-west4",
    "europe-west6", "europe-west8", "europe-west9", "me-central1", "me-central2", "me-west1",
    "northamerica-northeast1", "northamerica-northeast2", "southamerica-east1",
    "southamerica-west1", "us-central1", "us-central2", "us-east1", "us-east4", "us-east5",
    "us-east7", "us-south1", "us-west1", "us-west2", "us-west3", "us-west4", "us-west8",
)
# fmt: on
# Those of them that the table of serving CPUs does not list, nor any other of it (docs
# gemini-enterprise-agent-platform/machine-learning/quotas): a model could not be deployed there.
WITHOUT_SERVING: Final = frozenset(
    {"asia-southeast3", "europe-north2", "europe-west10", "europe-west15", "us-central2"}
    | {"us-east7", "us-west8"}
)
# docs gemini-enterprise-agent-platform/machine-learning/predictions/configure-compute. Of which
# sizes there are, that page was not read whole.
MACHINE_SERIES: Final = (
    *("e2-standard", "e2-highmem", "e2-highcpu", "n1-standard", "n1-highmem", "n1-highcpu"),
    *("n2-standard", "n2-highmem", "n2-highcpu", "n2d-standard", "n2d-highmem", "n2d-highcpu"),
    *("c2-standard", "c2d-standard", "c2d-highmem", "c2d-highcpu", "c3-highcpu"),
)
ACCELERATED: Final = re.compile(r"(a[234]x?|g[24]|ct\w+)-.*")
"""Machine types that come with GPUs or TPUs (the same page)."""

READING: Final = ("device", "time", "risk")
"""Columns that a reading or its prediction has beside the sensors."""

ROLE_KEYS: Final = tuple(
    dict.fromkeys(need.role for need in permissions.NEEDS if need.role != permissions.PLATFORM)
)

# gcp-facts/03_custom_roles.md: iam.proto and the provider's own patterns.
ACCOUNT_ID: Final = re.compile(r"(?=.{6,30}$)[a-z]([-a-z0-9]*[a-z0-9])")
ROLE_ID: Final = re.compile(r"[a-zA-Z0-9_.]{3,64}")


IMPERSONATE: Final = "PREDICTIVE_MAINTENANCE_IMPERSONATE"
"""Environment variable that takes the setting's place, so that a preview needs no edited file."""

NOT_AS_THE_CALLER: Final = (
    "impersonate is false, which is for previews only: what the deployer made would be changed by "
    f"the caller. Nothing was done. Set it to true, or unset {IMPERSONATE}"
)


SECRET: Final = frozenset({"clearbladeCredentials"})
"""Keys whose value is text as it is, and is never shown."""

PUBLIC_IMAGES: Final = frozenset(
    {"vertex-ai", "vertex-ai-restricted", "deeplearning-platform-release"}
)
"""Google lets anybody pull from these (docs, pre-built and Deep Learning containers)."""

REQUIRED: Final = "google-cloud-aiplatform, required_replica_count"

DEPLOYMENT_SECONDS: Final = 1800
"""How long one model may take to be deployed."""

OWN: Final = frozenset({"layer", "settingsFrom", *SECRET})
"""Keys of a stack that has all others from another stack's file."""

NO_IOT_CORE: Final = (
    "Google's IoT Core was switched off on 2023-08-16. There is clearblade (ClearBlade IoT Core, "
    "which keeps its API under credentials of its own), or none: devices publish through a broker "
    "of your own, and the stack exports what that needs"
)


class SettingsError(ValueError):
    """Stack configuration that cannot be used; the message lists everything that is wrong."""

    def __init__(self, problems: list[str]) -> None:
        count = f"{len(problems)} setting{'s' * (len(problems) > 1)}"
        super().__init__("\n  ".join([f"{count} cannot be used:", *problems]))
        self.problems = problems


def matches(pattern: re.Pattern[str] | str, wanted: str) -> AfterValidator:
    """A validator of whole strings; `wanted` says what is valid."""

    def check(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError(f"is not {wanted}")
        return value

    return AfterValidator(check)


def _region(value: str) -> str:
    if value not in VERTEX_REGIONS:
        near = nearest(value, VERTEX_REGIONS)
        raise ValueError(f"is not a region that Vertex AI serves; the nearest name is {near}")
    if value in WITHOUT_SERVING:
        near = nearest(value, set(VERTEX_REGIONS) - WITHOUT_SERVING)
        raise ValueError(
            "is a region for which Google lists no serving CPUs (Vertex AI's page of quotas); the "
            f"nearest name of one with some is {near}"
        )
    return value


def _machine(value: str) -> str:
    if ACCELERATED.fullmatch(value):
        raise ValueError(
            "comes with accelerators, which this stack does not deploy: pre-built scikit-learn "
            "containers cannot use them (Vertex AI, configure-compute)"
        )
    series, _, size = value.rpartition("-")
    if series not in MACHINE_SERIES or not size.isdigit():
        near = nearest(series or value, MACHINE_SERIES)
        raise ValueError(
            "is no machine that Vertex AI lists for serving (configure-compute), such as "
            f"n1-standard-2; the nearest series is {near}"
        )
    return value


def _no_iot_core(value: Any) -> Any:
    """Whatever people call the registry that Google had."""
    plain = re.sub(r"[^a-z]", "", str(value).lower())
    if re.fullmatch(r"(google|gcp)?(cloud)?iot(core)?(googleapiscom)?", plain):
        raise ValueError(f"is no registry any more: {NO_IOT_CORE}")
    return value


def _clearblade_region(value: str) -> str:
    if value not in forms.CLEARBLADE_REGIONS:
        raise ValueError(
            f"is not a region of ClearBlade's, which are {', '.join(forms.CLEARBLADE_REGIONS)}"
        )
    return value


def _credentials(value: SecretStr) -> SecretStr:
    try:
        clearblade.account(value.get_secret_value(), "they have to be the file's content")
    except ProviderError as error:
        raise ValueError(str(error)) from None
    return value


ProjectId = Annotated[
    str, matches(r"[a-z][a-z0-9-]{4,28}[a-z0-9]", "a project id: 6-30 of a-z, 0-9 and -")
]
BucketName = Annotated[
    str, matches(r"[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]", "a bucket name: 3-63 of a-z, 0-9, - and .")
]
ModelId = Annotated[str, matches(*forms.MODEL_ID)]
ModelName = Annotated[str, matches(*forms.MODEL)]
Member = Annotated[
    str,
    matches(
        r"(user|serviceAccount|group):[^@\s]+@[^@\s]+|principal(Set)?://\S+",
        "a member such as user:ana@example.com, serviceAccount:…, group:… or principal://…",
    ),
]
# endpoints.create, endpointId, in the discovery document of aiplatform v1. The gcp plugin's text
# has digits alone, and 10 of them (gcp-facts/05_terraform_pulumi.md); that it refuses others was
# not found. Google's own numbers are int64.
EndpointId = Annotated[
    str,
    matches(
        r"[1-9][0-9]{0,8}|[1-9][0-9]{15,18}|[a-z]([a-z0-9-]{0,61}[a-z0-9])?",
        "1-9 digits without a leading zero, or up to 63 of a-z, 0-9 and -, a letter first and no - "
        "last, or the longer number that Google gave an endpoint",
    ),
]
MachineType = Annotated[str, AfterValidator(_machine)]
Sensor = Annotated[str, matches(r"[a-z][a-z0-9_]{0,62}", "a column name: a-z, 0-9 and _")]
RegisteredId = Annotated[str, matches(*forms.REGISTERED_ID)]
Threshold = Annotated[float, Field(gt=0, le=1)]
Email = Annotated[str, matches(r"[^@\s]+@[^@\s]+\.[^@\s]+", "an address such as ana@example.com")]
TopicName = Annotated[
    str,
    matches(
        r"(?!goog|telemetry)[A-Za-z][A-Za-z0-9._~+%-]{2,254}",
        "a name for a topic of its own: 3-255 letters, digits and -, not beginning with goog or "
        "telemetry",
    ),
]
GitHubId = Annotated[
    str,
    Field(coerce_numbers_to_str=True),
    matches(r"[1-9][0-9]*", "the number that GitHub gives it, which no other one ever gets"),
]
ProjectNumber = Annotated[
    str,
    Field(coerce_numbers_to_str=True),
    matches(r"[1-9][0-9]{3,19}", "a project's number: gcloud projects describe has it"),
]
Branch = Annotated[str, matches(r"[\w.-]+(/[\w.-]+)*", "a branch such as main")]
GitHubEnvironment = Annotated[
    str, matches(r"[\w.-]{1,255}", "an environment's name of letters, digits, _, . and -")
]
PoolId = Annotated[
    str,
    matches(r"(?!gcp-)[a-z0-9-]{4,32}", "a pool id: 4-32 of a-z, 0-9 and -, and no gcp- first"),
]
Route = Annotated[str, matches(*forms.ROUTE)]
Image = Annotated[str, matches(*forms.IMAGE)]
# What all services take that they are given to: docs storage/docs/tags-and-labels. Vertex AI takes
# 64 characters (discovery document, Model.labels).
LabelKey = Annotated[
    str, matches(r"[a-z][a-z0-9_-]{0,62}", "a label's key: up to 63 of a-z, 0-9, _ and -, a first")
]
LabelValue = Annotated[
    str, matches(r"[a-z0-9_-]{0,63}", "a label's value: up to 63 of a-z, 0-9, _ and -")
]
Percent = Annotated[int, Field(ge=0, le=100)]
Replicas = Annotated[int, Field(ge=1, le=1000)]
Required = Annotated[int, Field(ge=0, le=1000)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel)


class Training(_Frozen):
    """What an uploaded model was trained on: a file with a column for each sensor, and `target`."""

    data: Annotated[str, matches(r".+\.(csv|jsonl)", "the path of a .csv or .jsonl file")]
    target: str


class Autoscaling(_Frozen):
    """What replicas are added and taken away for: CPU use, and requests a minute and replica."""

    cpu_percent: Annotated[int, Field(ge=1, le=100)] = 60
    requests_per_minute: Annotated[int, Field(ge=1)] | None = None

    @property
    def targets(self) -> dict[str, int]:
        """Target by Google's metric."""
        requests = self.requests_per_minute
        return {
            schema.CPU_UTILIZATION: self.cpu_percent,
            **({schema.REQUEST_COUNT: requests} if requests else {}),
        }


class Probe(_Frozen):
    """Asks the container for `path`, or runs `command` in it, to see whether it is well."""

    path: Route | None = None
    command: tuple[str, ...] = ()
    initial_delay_seconds: Annotated[int, Field(ge=0)] | None = None
    period_seconds: Annotated[int, Field(ge=1)] | None = None
    timeout_seconds: Annotated[int, Field(ge=1)] | None = None
    failure_threshold: Annotated[int, Field(ge=1)] | None = None
    success_threshold: Annotated[int, Field(ge=1)] | None = None

    @model_validator(mode="after")
    def _looks_in_one_way(self) -> Probe:
        if bool(self.path) == bool(self.command):
            raise ValueError(containers.ONE_WAY)
        return self


class Container(_Frozen):
    """How the image runs; limits are those of the discovery document (ModelContainerSpec).

    `image` is the model's own, in place of servingContainer. What is left out is as Vertex AI has
    it: it asks port 8080, on paths with the numbers of endpoint and deployed model.
    """

    image: Image | None = None
    predict_route: Route | None = None
    health_route: Route | None = None
    port: Annotated[int, Field(ge=containers.PORTS[0], le=containers.PORTS[1])] | None = None
    env: dict[str, str] = {}
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    deployment_timeout_seconds: (
        Annotated[
            int,
            Field(ge=containers.DEPLOYMENT_SECONDS[0], le=containers.DEPLOYMENT_SECONDS[1]),
        ]
        | None
    ) = None
    startup_probe: Probe | None = None
    health_probe: Probe | None = None

    @field_validator("env")
    @classmethod
    def _fits_a_container(cls, env: dict[str, str]) -> dict[str, str]:
        if wrong := "; ".join(containers.env_problems(env)):
            raise ValueError(wrong)
        return env

    @property
    def specification(self) -> dict[str, Any]:
        """All that is set but the image, as `ContainerArgs` names it."""
        set_ = self.model_dump(mode="json", exclude={"image"}, exclude_defaults=True)
        return {key: value for key, value in set_.items() if value not in ({}, [])}


class Repository(NamedTuple):
    """A repository of images."""

    project: str
    location: str
    id: str

    @property
    def name(self) -> str:
        return f"projects/{self.project}/locations/{self.location}/repositories/{self.id}"


def private_repository(image: str) -> Repository | None:
    """Where an image is, if not everybody may pull from there; images in gcr.io are not told."""
    parts = forms.IMAGE.parse(image)
    repository = Repository(parts["project"], parts["location"], parts["repository"])
    return repository if repository.project not in {"", *PUBLIC_IMAGES} else None


class Served(NamedTuple):
    """How a model is served."""

    machine_type: str
    min_replicas: int
    max_replicas: int
    autoscaling: Autoscaling
    container_logging: bool
    container: Container
    required_replicas: int
    spot: bool
    access_logging: bool

    @property
    def required(self) -> int | None:
        """Replicas that a deployment succeeds with; None for all of the fewest."""
        some = 0 < self.required_replicas < self.min_replicas
        return self.required_replicas if some else None

    @property
    def scales(self) -> bool:
        return self.max_replicas > self.min_replicas


class Model(_Frozen):
    """A model on the endpoint: uploaded from `artifact` (the path of a file or a folder), or from
    nothing when an image of its own holds it; or looked up as `source`.

    What it says of how it is served takes the place of the setting of that name.
    """

    id: ModelId
    traffic: Percent
    artifact: str | None = None
    source: ModelName | None = None
    training: Training | None = None
    machine_type: MachineType | None = None
    min_replicas: Replicas | None = None
    max_replicas: Replicas | None = None
    autoscaling: Autoscaling | None = None
    container_logging: bool | None = None
    container: Container | None = None
    required_replicas: Required | None = None
    spot: bool | None = None
    access_logging: bool | None = None

    @model_validator(mode="after")
    def _comes_from_somewhere(self) -> Model:
        own = self.container is not None and self.container.image is not None
        if (self.artifact is None) == (self.source is None) and (self.artifact or not own):
            raise ValueError(
                "needs either `artifact` (upload) or `source` (look up), or a container with an "
                "`image` that holds the model"
            )
        if self.source and self.container:
            raise ValueError(
                "has a `container`, which is for an upload: a version that is looked up keeps the "
                "one that it was registered with"
            )
        if self.training and not self.artifact:
            raise ValueError("has `training` data, which is stored beside an `artifact`")
        return self

    @property
    def uploaded(self) -> bool:
        return self.source is None

    @property
    def source_project(self) -> str:
        """The project whose registry a looked-up model is in; empty for an upload."""
        return self.source.split("/")[1] if self.source else ""

    @property
    def source_region(self) -> str:
        return self.source.split("/")[3] if self.source else ""


class DeviceRegistry(_Frozen):
    """Where devices are registered. `region` is the endpoint's unless set; ClearBlade publishes
    their readings as `publisher`, the stack's device account unless set."""

    kind: Annotated[Literal["none", "clearblade"], BeforeValidator(_no_iot_core)]
    registry: RegisteredId | None = None
    region: Annotated[str, AfterValidator(_clearblade_region)] | None = None
    gateways: tuple[RegisteredId, ...] = ()
    devices: tuple[RegisteredId, ...] = ()
    publisher: Member | None = None

    @model_validator(mode="after")
    def _is_said_of_a_registry(self) -> DeviceRegistry:
        given = [to_camel(name) for name in sorted(self.model_fields_set - {"kind"})]
        if self.kind == "none" and given:
            raise ValueError(f"has {', '.join(given)}, which only kind clearblade takes")
        if self.kind != "none" and not self.registry:
            raise ValueError("needs `registry`, the id of the registry in ClearBlade")
        ids = [*self.gateways, *self.devices]
        if twice := sorted({id for id in ids if ids.count(id) > 1}):
            raise ValueError(f"names {', '.join(twice)} twice; gateways are devices too")
        return self


def _kind_alone(value: Any) -> Any:
    """`deviceRegistry: none` is `deviceRegistry: {kind: none}`."""
    return {"kind": value} if isinstance(value, str) else value


class Drift(_Frozen):
    """How far a sensor's readings may be, 0 to 1, from those before and from the training data."""

    threshold: Threshold = 0.3
    thresholds: dict[Sensor, Threshold] = {}
    sample_percent: Annotated[int, Field(ge=1, le=100)] = 100
    interval_hours: Annotated[int, Field(ge=1)] = 24
    log_days: Annotated[int, Field(ge=1)] = 30
    emails: tuple[Annotated[str, matches(*forms.EMAIL)], ...] = ()
    channels: tuple[Annotated[str, matches(*forms.CHANNEL)], ...] = ()


class Alerts(_Frozen):
    """Who is told of incidents, and what is one. Without anybody to tell nothing is watched."""

    emails: tuple[Email, ...] = ()
    topic: TopicName | None = None
    error_percent: Annotated[int, Field(ge=1, le=100)] = 5
    latency_ms: Annotated[int, Field(ge=10, le=60_000)] = 1_000
    undelivered_minutes: Annotated[int, Field(ge=1, le=1_440)] = 10
    availability_percent: Annotated[float, Field(ge=90, le=99.99)] = 99.5

    @model_validator(mode="after")
    def _have_somebody_to_tell(self) -> Alerts:
        if self.model_fields_set and not self.told:
            raise ValueError("tells nobody; give `emails`, `topic` or both")
        return self

    @property
    def told(self) -> bool:
        return bool(self.emails or self.topic)


class Federation(_Frozen):
    """Whose GitHub jobs come in without a key: of one repository, by numbers that GitHub never
    gives again, on `branch`, and in its protected environments. With `project_number` a first
    preview knows who they are to Google. `pool` is a new id for the pool, where one was deleted in
    the last 30 days."""

    owner_id: GitHubId
    repository_id: GitHubId
    branch: Branch = "main"
    rollout_environment: GitHubEnvironment
    foundation_environment: GitHubEnvironment | None = None
    project_number: ProjectNumber | None = None
    pool: PoolId | None = None

    @model_validator(mode="after")
    def _tells_them_apart(self) -> Federation:
        # GitHub does not (docs actions, "Managing environments for deployment").
        names = [self.rollout_environment, self.foundation_environment or ""]
        if len({name.lower() for name in names}) == 1:
            raise ValueError(
                f"has {names[0]!r} for both environments: whoever may roll out could change access"
            )
        return self


class Settings(_Frozen):
    """One environment. `Pulumi.yaml` describes each key; deadlines are seconds."""

    # Keys that others are checked against come first: a check sees what was valid before it.
    layer: Literal["whole", "foundation", "rollout"] = "whole"
    project: ProjectId
    region: Annotated[str, AfterValidator(_region)]
    deployer_may: tuple[Literal["register", "retire"], ...]
    platform_member: Member
    preview_member: Member | None = None
    account_prefix: str
    role_prefix: str
    endpoint_id: EndpointId
    dedicated_endpoint: bool
    labels: Annotated[dict[LabelKey, LabelValue], Field(max_length=64)]
    request_log_percent: Percent
    source_artifacts_bucket: BucketName | None = None
    registry_artifacts_bucket: BucketName | None = None
    serving_container: Image
    machine_type: MachineType
    max_replicas: Replicas
    min_replicas: Replicas
    required_replicas: Required
    spot: bool
    autoscaling: Autoscaling
    container_logging: bool
    access_logging: bool
    container: Container
    models: tuple[Model, ...]
    rollout_seconds: Annotated[int, Field(ge=0, le=86_400)]
    sensors: tuple[Sensor, ...]
    risk_percent: Annotated[int, Field(ge=1, le=99)]
    telemetry_days: Annotated[int, Field(ge=1, le=3650)]
    backlog_days: Annotated[int, Field(ge=1, le=7)]
    telemetry_regions: tuple[str, ...]
    order_by_device: bool
    drift: Drift | None
    device_members: tuple[Member, ...]
    callers: tuple[Member, ...]
    device_registry: Annotated[DeviceRegistry, BeforeValidator(_kind_alone)]
    clearblade_credentials: Annotated[SecretStr, AfterValidator(_credentials)] | None = None
    alerts: Alerts
    federation: Federation | None = None
    protect: bool
    readiness_seconds: Annotated[int, Field(ge=0, le=86_400)]
    impersonate: bool

    @field_validator("account_prefix")
    @classmethod
    def _makes_account_ids(cls, prefix: str) -> str:
        for identity in permissions.ACCOUNTS:
            if not ACCOUNT_ID.fullmatch(prefix + identity):
                raise ValueError(
                    f"makes the service-account id {prefix + identity!r}; "
                    "Google wants 6-30 of a-z, 0-9 and -, a letter first and no - last"
                )
        return prefix

    @field_validator("role_prefix")
    @classmethod
    def _makes_role_ids(cls, prefix: str) -> str:
        for key in ROLE_KEYS:
            if not ROLE_ID.fullmatch(name := role_id(prefix, key)):
                raise ValueError(
                    f"makes the role id {name!r}; Google wants 3-64 letters, digits, _ and ."
                )
        return prefix

    @field_validator("min_replicas")
    @classmethod
    def _within_maximum(cls, minimum: int, info: ValidationInfo) -> int:
        maximum = info.data.get("max_replicas", minimum)
        if minimum > maximum:
            raise ValueError(f"is more than maxReplicas, {maximum}; use 1 to {maximum}")
        return minimum

    @field_validator("required_replicas")
    @classmethod
    def _within_minimum(cls, required: int, info: ValidationInfo) -> int:
        minimum = info.data.get("min_replicas", required)
        if required > minimum:
            raise ValueError(
                f"is more than minReplicas, {minimum} ({REQUIRED}); use 1 to {minimum}, or 0 for "
                "all of them"
            )
        return required

    @field_validator("container")
    @classmethod
    def _is_of_all_models(cls, container: Container) -> Container:
        if container.image:
            raise ValueError("has an `image`: servingContainer is the one of all models")
        return container

    @field_validator("sensors")
    @classmethod
    def _are_columns_of_their_own(cls, sensors: tuple[str, ...]) -> tuple[str, ...]:
        taken = sorted({it for it in sensors if sensors.count(it) > 1 or it in READING})
        if taken:
            raise ValueError(f"names {', '.join(taken)} twice, or as {' and '.join(READING)} are")
        return sensors

    @field_validator("drift", "federation", mode="before")
    @classmethod
    def _may_be_empty(cls, group: Any) -> Any:
        return group or None

    @field_validator("drift")
    @classmethod
    def _can_be_watched(cls, drift: Drift | None, info: ValidationInfo) -> Drift | None:
        if drift is None:
            return None
        sensors, logged = info.data.get("sensors"), info.data.get("request_log_percent")
        if logged:
            # docs vertex-ai/docs/predictions/online-prediction-logging, "Request-response logging
            # and Model Monitoring v1"
            raise ValueError(
                f"excludes requestLogPercent, {logged}: Google keeps both in one table, and lets "
                "the request log not be changed while drift is watched. Set requestLogPercent to "
                "0, or drift to {}"
            )
        if sensors == ():
            raise ValueError("needs sensors: they are what is watched")
        if unknown := sorted(drift.thresholds.keys() - set(sensors or drift.thresholds)):
            raise ValueError(f"has thresholds of {', '.join(unknown)}, not among the sensors")
        if permissions.REGISTER not in info.data.get("deployer_may", (permissions.REGISTER,)):
            raise ValueError(
                "needs 'register' in deployerMay: what a reading looks like is stored in the "
                "artifact bucket, which is there for what is uploaded"
            )
        return drift

    @field_validator("telemetry_regions")
    @classmethod
    def _hold_the_endpoint(cls, regions: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        region = info.data.get("region")
        if regions and region and region not in regions:
            raise ValueError(
                f"lacks {region}, where the endpoint is: Pub/Sub asks an endpoint only from "
                "regions in which it may store the message"
            )
        return regions

    @field_validator("callers")
    @classmethod
    def _are_others(cls, callers: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        """A grant that is declared twice would go when one of the two does."""
        if twice := sorted({it for it in callers if callers.count(it) > 1}):
            raise ValueError(f"names {', '.join(twice)} twice; once is enough")
        prefix, project = info.data.get("account_prefix"), info.data.get("project")
        own = [f"{prefix}{it}@{project}.iam.gserviceaccount.com" for it in permissions.ACCOUNTS]
        if mine := [it for it in callers if it.partition(":")[2] in own]:
            raise ValueError(
                f"names {', '.join(mine)}, which the stack makes: its telemetry account asks "
                "already, the others have other work. Name others' accounts, people or groups"
            )
        return callers

    @field_validator("device_registry")
    @classmethod
    def _fits_the_stack(cls, registry: DeviceRegistry, info: ValidationInfo) -> DeviceRegistry:
        if registry.kind == "none":
            return registry
        if not info.data.get("sensors", True):
            raise ValueError("needs `sensors`: without them there is no topic to publish to")
        region = info.data.get("region")
        if region and not registry.region and region not in forms.CLEARBLADE_REGIONS:
            there = ", ".join(forms.CLEARBLADE_REGIONS)
            raise ValueError(f"needs `region`: ClearBlade is not in {region}, but in {there}")
        return registry

    @field_validator("clearblade_credentials")
    @classmethod
    def _are_for_clearblade(
        cls, credentials: SecretStr | None, info: ValidationInfo
    ) -> SecretStr | None:
        registry = info.data.get("device_registry")
        if credentials and registry and registry.kind != "clearblade":
            raise ValueError("is for a deviceRegistry of kind clearblade")
        return credentials

    @field_validator("federation")
    @classmethod
    def _has_somebody_to_become(
        cls, federation: Federation | None, info: ValidationInfo
    ) -> Federation | None:
        project, platform = info.data.get("project"), info.data.get("platform_member")
        if federation and federation.foundation_environment and project and platform:
            own = rf"serviceAccount:[^@]+@{project}\.iam\.gserviceaccount\.com"
            if not re.fullmatch(own, platform):
                raise ValueError(
                    f"has a foundationEnvironment, whose jobs become the platform: platformMember "
                    f"has to be an account of {project} (python -m access bootstrap makes it), not "
                    f"{platform}"
                )
        prefix = info.data.get("account_prefix", "")
        if federation and not federation.pool and prefix.startswith("gcp-"):
            raise ValueError("needs `pool`: Google keeps ids that begin with gcp- to itself")
        return federation

    @field_validator("models", mode="wrap")
    @classmethod
    def _fit_the_endpoint(
        cls, given: Any, validate: ValidatorFunctionWrapHandler, info: ValidationInfo
    ) -> tuple[Model, ...]:
        """What is wrong with one model does not hide what is wrong between them."""
        wrong: list[Any] = []
        try:
            models: tuple[Model, ...] = validate(given)
        except ValidationError as error:
            if not isinstance(given, list):
                raise
            wrong = error.errors(include_url=False)
            models = _readable(given, wrong)
        if problems := "\n".join(_model_problems(models, info.data)):
            between = PydanticCustomError("value_error", "{said}", {"said": problems})
            wrong.append({"type": between, "loc": (), "input": given})
        if wrong:
            raise ValidationError.from_exception_data("models", wrong)
        return models

    def image(self, model: Model) -> str:
        """What an uploaded model runs in."""
        return (model.container and model.container.image) or self.serving_container

    def served(self, model: Model) -> Served:
        """How one of the models is served: as its entry says, or else as the settings say."""
        own = {name: getattr(model, name) for name in Served._fields}
        return Served(**{k: getattr(self, k) if v is None else v for k, v in own.items()})

    @property
    def rollout_deadline(self) -> int:
        """Seconds for a rollout: its models are deployed one after the other.

        How long a looked-up model may take is not known beforehand.
        """
        each = (self.served(it).container.deployment_timeout_seconds for it in self.models)
        longest = sum(max(seconds or 0, DEPLOYMENT_SECONDS) for seconds in each)
        return self.rollout_seconds or longest

    @property
    def source_project(self) -> str | None:
        """The other project whose registry looked-up models are in, or whose images are pulled."""
        projects = [model.source_project for model in self.models if model.source]
        projects += [repository.project for repository in self.repositories]
        return next((project for project in projects if project != self.project), None)

    @property
    def looks_up(self) -> bool:
        """Whether models are looked up in another project."""
        return any(it.source and it.source_project != self.project for it in self.models)

    @property
    def repositories(self) -> tuple[Repository, ...]:
        """Those of another project that images are pulled from."""
        images = (self.image(model) for model in self.models if model.uploaded)
        found = dict.fromkeys(filter(None, map(private_repository, images)))
        return tuple(it for it in found if it.project != self.project)

    @property
    def own_registry(self) -> bool:
        """Whether models are looked up in the stack's own project."""
        return any(model.source_project == self.project for model in self.models)

    @property
    def own_bucket(self) -> str:
        """Where their artifacts are, if not in the stack's artifact bucket; empty for that."""
        named = self.registry_artifacts_bucket if self.own_registry else None
        return named if named and named != self.artifacts_bucket else ""

    @property
    def buckets(self) -> dict[str, str]:
        """What the table calls a bucket with artifacts → its name; empty where there is none."""
        return {
            permissions.ARTIFACTS: self.artifacts_bucket,
            permissions.SOURCE_ARTIFACTS: self.source_artifacts_bucket or "",
            permissions.REGISTRY_ARTIFACTS: self.own_bucket,
        }

    def bucket_of(self, model: Model) -> str:
        """Where the artifact of a looked-up model is."""
        if model.source_project == self.project:
            return self.own_bucket or self.artifacts_bucket
        return self.source_artifacts_bucket or ""

    @property
    def capabilities(self) -> frozenset[str]:
        """What the roles of this environment have to cover."""
        follows: dict[str, object] = {
            permissions.SOURCE: self.looks_up,
            permissions.PULL: self.repositories,
            permissions.OWN_REGISTRY: self.own_registry,
            permissions.OWN_BUCKET: self.own_bucket,
            permissions.REVIEW: self.preview_member or self.federation,
            permissions.INVITE: self.preview_member,
            permissions.CALL: self.callers,
            permissions.ROUTE: self.sensors,
            permissions.DRIFT: self.drift,
            permissions.WATCH: self.alerts.told,
            permissions.INFORM: self.alerts.topic,
            permissions.FEDERATE: self.federation,
            permissions.LABEL: self.labels,
            permissions.FOUNDATION: self.federation and self.federation.foundation_environment,
            permissions.WHOLE: self.layer == "whole",
            permissions.LAYERS: self.layer != "whole",
        }
        return frozenset({*self.deployer_may, *(name for name, given in follows.items() if given)})

    @property
    def founds(self) -> bool:
        """Whether this stack declares the foundation: APIs, access, and what carries grants."""
        return self.layer != "rollout"

    @property
    def rolls_out(self) -> bool:
        """Whether this stack declares models and their rollout, and what follows these."""
        return self.layer != "foundation"

    @property
    def publishers(self) -> tuple[str, ...]:
        """Members beside the stack's device account that publish readings."""
        registry = self.device_registry
        given = (*self.device_members, *([registry.publisher] if registry.publisher else []))
        return tuple(dict.fromkeys(given))

    @property
    def registry_region(self) -> str:
        return self.device_registry.region or self.region

    def account_id(self, identity: str) -> str:
        return self.account_prefix + identity

    def email(self, identity: str) -> str:
        """Of an account of the stack, or of the platform's, where platformMember is one."""
        if identity == permissions.PLATFORM:
            return self.platform_member.partition(":")[2]
        return f"{self.account_id(identity)}@{self.project}.iam.gserviceaccount.com"

    def member(self, identity: str) -> str:
        return f"serviceAccount:{self.email(identity)}"

    def account_name(self, identity: str) -> str:
        return f"projects/{self.project}/serviceAccounts/{self.email(identity)}"

    def role_id(self, key: str) -> str:
        """The platform's own role is there before the stack, and has no prefix."""
        return key if key == permissions.PLATFORM else role_id(self.role_prefix, key)

    def role_name(self, key: str, in_source: bool = False) -> str:
        return f"projects/{self.project_of(in_source)}/roles/{self.role_id(key)}"

    def project_of(self, in_source: bool) -> str:
        """The stack's own project, or the one that models are looked up in."""
        return (self.source_project or "") if in_source else self.project

    @property
    def pool_id(self) -> str:
        """Of the identity pool that GitHub's jobs come in through."""
        return (self.federation and self.federation.pool) or self.account_id("github")

    def job(self, principal: str) -> str:
        """The identity that a GitHub job has whose subject `principal` names; empty for others.

        By the forms that GitHub gives a subject (docs.github.com, "OpenID Connect reference").
        """
        federation, (pool, _, subject) = self.federation, principal.partition("/subject/")
        if federation is None or not pool.endswith(f"/workloadIdentityPools/{self.pool_id}"):
            return ""
        return {
            f"environment:{federation.rollout_environment}": permissions.ROLLOUT_JOBS,
            f"environment:{federation.foundation_environment}": permissions.FOUNDATION_JOBS,
        }.get(":".join(subject.rsplit(":", 2)[1:]), permissions.PULL_REQUESTS)

    def federated(self, identity: str, number: str) -> str:
        """Whoever comes in as `identity`, as a member; `number` is the project's."""
        assert self.federation is not None
        attribute = {
            permissions.PULL_REQUESTS: f"repository_id/{self.federation.repository_id}",
            permissions.ROLLOUT_JOBS: f"environment/{self.federation.rollout_environment}",
            permissions.FOUNDATION_JOBS: f"environment/{self.federation.foundation_environment}",
        }[identity]
        pool = f"projects/{number}/locations/global/workloadIdentityPools/{self.pool_id}"
        return f"principalSet://iam.googleapis.com/{pool}/attribute.{attribute}"

    @property
    def zone(self) -> str:
        """Where the gcp plugin finds its region: it sends a grant on an endpoint there.

        A `region` it would look up, and warn in each preview of an identity that may not
        (docs/decisions/0008). No zone is ever asked for anything.
        """
        return f"{self.region}-a"

    @property
    def artifacts_bucket(self) -> str:
        return f"{self.project}-model-artifacts"

    @property
    def endpoint_name(self) -> str:
        return f"projects/{self.project}/locations/{self.region}/endpoints/{self.endpoint_id}"


NESTED: Final[Mapping[str, type[_Frozen]]] = {
    "models": Model,
    "training": Training,
    "container": Container,
    "startupProbe": Probe,
    "healthProbe": Probe,
    "autoscaling": Autoscaling,
    "deviceRegistry": DeviceRegistry,
    "drift": Drift,
    "alerts": Alerts,
    "federation": Federation,
}
"""What the settings that hold others are made of."""


def role_id(prefix: str, key: str) -> str:
    return f"{prefix}{key[0].upper()}{key[1:]}"


def _readable(given: list[Any], wrong: list[Any]) -> tuple[Model, ...]:
    """The models in `given` as far as nothing is wrong with them; all else is left unset."""
    unread = {detail["loc"][:2] for detail in wrong}
    fields = [item if isinstance(item, dict) else {} for item in given]
    return tuple(
        Model.model_construct(**{key: item[key] for key in item if (index, key) not in unread})
        for index, item in enumerate(fields)
    )


def files(artifact: Path) -> dict[str, Path]:
    """The files of an artifact that is a folder, by their names below it, in their order."""
    found = sorted(path for path in artifact.rglob("*") if path.is_file())
    return {path.relative_to(artifact).as_posix(): path for path in found}


def _repositories(models: tuple[Model, ...], others: Mapping[str, Any]) -> Iterator[Repository]:
    """Where images are pulled from, as far as they can be read."""
    for model in models:
        own = model.container.image if isinstance(model.container, Container) else None
        image = own or others.get("serving_container")
        if not model.source and image and (found := private_repository(image)):
            yield found


def _model_problems(models: tuple[Model, ...], others: Mapping[str, Any]) -> Iterable[str]:
    """What is wrong between models, and between them and the settings in `others`."""
    shares = [int(model.traffic) for model in models if "traffic" in model.model_fields_set]
    if not models:
        yield ": give at least one model"
    elif len(shares) == len(models) and sum(shares) != 100:
        parts = " + ".join(map(str, shares))
        yield f": traffic is {parts} = {sum(shares)}; it has to sum to 100"
    ids = [model.id for model in models if "id" in model.model_fields_set]
    for id in sorted({id for id in ids if ids.count(id) > 1}):
        yield f": the id {id!r} is used {ids.count(id)} times; give each model its own"
    own = others.get("project")
    projects = sorted({model.source_project for model in models if model.source} - {own})
    pulled = {it.project for it in _repositories(models, others)} - {own}
    if len(elsewhere := sorted({*projects, *pulled})) > 1:
        what = "sources and images" if pulled else "sources"
        yield f": {what} are in {' and '.join(elsewhere)}; one source project is supported"
    registered = any(model.source and model.source_project == own for model in models)
    if (
        registered
        and not others.get("registry_artifacts_bucket", "unread")
        and permissions.REGISTER not in others.get("deployer_may", ("register",))
    ):
        yield (
            ": registryArtifactsBucket has to name the bucket of the artifacts in the registry of "
            f"{own}: without 'register' in deployerMay the stack has none of its own"
        )
    if projects and not others.get("source_artifacts_bucket", "unread"):
        yield f": sourceArtifactsBucket has to name the bucket of the artifacts in {projects[0]}"
    region = others.get("region")
    for index, model in enumerate(models):
        if model.source and region and model.source_region != region:
            yield (
                f"[{index}].source: the model is in {model.source_region}, the endpoint in "
                f"{region}; register it in {region} too, or move the endpoint"
            )
        least, most = (
            getattr(model, name) or others.get(name) for name in ("min_replicas", "max_replicas")
        )
        own = model.required_replicas
        required = others.get("required_replicas") if own is None else own
        said = model.min_replicas or own
        if said and isinstance(least, int) and isinstance(required, int) and required > least:
            yield (
                f"[{index}]: requiredReplicas, {required}, is more than minReplicas, {least} "
                f"({REQUIRED}); the entry has what it leaves out from the settings of all models: "
                "give it both"
            )
        said = model.min_replicas or model.max_replicas
        if said and isinstance(least, int) and isinstance(most, int) and least > most:
            yield (
                f"[{index}]: minReplicas, {least}, is more than maxReplicas, {most}; the entry has "
                "what it leaves out from the settings of all models: give it both"
            )
        container = model.container
        what, brought = "artifact", model.artifact
        if not model.artifact and isinstance(container, Container):
            what, brought = "container.image", container.image
        if brought and permissions.REGISTER not in others.get("deployer_may", ("register",)):
            yield (
                f"[{index}].{what}: {brought!r} cannot be uploaded, for deployerMay has "
                "no 'register'; add it, or look the model up with `source`"
            )


def load(root: Path) -> Settings:
    """Settings of the stack being run; `root` is the folder of `Pulumi.yaml`.

    Raises pulumi.RunError, which both hosts of Python programs print without a traceback.
    """
    import pulumi
    from pulumi.runtime import config

    namespace = f"{pulumi.get_project()}:"
    values = {**config.get_config_env(), **config.CONFIG.get()}
    given = {
        key.removeprefix(namespace): value
        for key, value in values.items()
        if key.startswith(namespace)
    }
    # Pulumi.yaml cannot say it: a key that is secret there has no default.
    for key in sorted(SECRET & given.keys()):
        if given[key] and not config.is_config_secret(f"{namespace}{key}"):
            raise pulumi.RunError(
                f"{key} is not encrypted in the stack's file: take it out of there and off the "
                f"record, and `pulumi config set --secret {key}` new ones"
            )
    try:
        given = with_others(given, root)
        if IMPERSONATE in os.environ:
            given["impersonate"] = os.environ[IMPERSONATE]
        settings = parse(given, root)
    except SettingsError as error:
        raise pulumi.RunError(str(error)) from None
    if not settings.impersonate and not pulumi.runtime.is_dry_run():
        raise pulumi.RunError(NOT_AS_THE_CALLER)
    return settings


def written(stack: str, root: Path) -> dict[str, Any]:
    """What `Pulumi.<stack>.yaml` sets over the defaults of `Pulumi.yaml`, both in `root`, as YAML
    reads it; `parse` takes it as `raw`. Raises FileNotFoundError, SettingsError."""
    declared = yaml.safe_load((root / "Pulumi.yaml").read_text())["config"]
    given = yaml.safe_load((root / f"Pulumi.{stack}.yaml").read_text())["config"]
    values = {key: entry["default"] for key, entry in declared.items() if "default" in entry}
    own = {key.partition(":")[2]: value for key, value in given.items()}
    if not own.get("settingsFrom"):
        return values | own
    return _from_other(own, root)


def stacks(root: Path) -> dict[str, str]:
    """The stacks in `root` whose files hold settings, each with the one that has its other layer
    and takes them from there, or ''."""
    settings = {
        path.name.split(".")[1]: yaml.safe_load(path.read_text())["config"]
        for path in sorted(root.glob("Pulumi.*.yaml"))
    }
    own, layers = [], {}
    for stack, given in settings.items():
        others = [value for key, value in given.items() if value and key.endswith(":settingsFrom")]
        if others:
            layers[others[0]] = stack
        else:
            own.append(stack)
    return {stack: layers.get(stack, "") for stack in own}


def with_others(given: Mapping[str, str], root: Path) -> dict[str, str]:
    """`given` as Pulumi hands it to a program, with what `settingsFrom` names in place of the
    defaults. Raises SettingsError."""
    if not given.get("settingsFrom"):
        return dict(given)
    declared = yaml.safe_load((root / "Pulumi.yaml").read_text())["config"]
    own = {
        key: value
        for key, value in given.items()
        if yaml.safe_load(value) != declared.get(key, {}).get("default")
    }
    return raw(_from_other(own, root))


def _from_other(own: Mapping[str, Any], root: Path) -> dict[str, Any]:
    """The settings in the file of the stack that `own` names, and the layer in `own`."""
    other = own["settingsFrom"]
    if other not in stacks(root):
        said = f"there is no Pulumi.{other}.yaml with settings of its own in {root}"
        raise SettingsError([f"settingsFrom: {other!r}: {said}"])
    problems = [
        f"{key}: {value!r} is set here, and the environment's settings are in Pulumi.{other}.yaml: "
        "change it there"
        for key, value in sorted(own.items())
        if key not in OWN
    ]
    if problems:
        raise SettingsError(problems)
    values = written(other, root)
    return {**values, **own, "settingsFrom": ""}


def raw(values: Mapping[str, Any]) -> dict[str, str]:
    """Values as Pulumi hands them to a program: strings, with JSON for all that is not a string."""
    return {key: v if isinstance(v, str) else json.dumps(v) for key, v in values.items()}


def parse(raw: Mapping[str, str], root: Path) -> Settings:
    """Settings from raw configuration: strings, with JSON for all that is not a string.

    Raises SettingsError.
    """
    values = {
        key: value if key in SECRET else _decoded(value)
        for key, value in raw.items()
        if value != ""
    }
    problems: list[str] = []
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        problems = [line for detail in error.errors() for line in _lines(detail, raw)]
    models = values.get("models")
    for index, model in enumerate(models if isinstance(models, list) else ()):
        fields = model if isinstance(model, dict) else {}
        training = fields.get("training")
        data = training.get("data") if isinstance(training, dict) else None
        for key, path in (("artifact", fields.get("artifact")), ("training.data", data)):
            if not isinstance(path, str) or (root / path).is_file():
                continue
            if key == "artifact" and any(files(root / path)):
                continue
            problems.append(
                f"models[{index}].{key}: {path!r} is no file in {root}, and no folder with files; "
                "train one (`make model`) or correct the path"
                if key == "artifact"
                else f"models[{index}].{key}: {path!r} is no file in {root}; correct the path"
            )
    if problems:
        raise SettingsError(problems)
    return settings


def _decoded(value: str) -> Any:
    """Pulumi hands every value over as text, with JSON for lists and objects."""
    if not value.startswith(("[", "{")):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value


def _lines(detail: Any, raw: Mapping[str, str]) -> Iterable[str]:
    """One pydantic error as lines that name the key, the value and what would be valid."""
    first, *rest = detail["loc"]
    path = str(first) + "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in rest)
    value, message = detail["input"], detail["msg"].removeprefix("Value error, ")
    if first in SECRET:
        yield f"{path}: {message}"
        return
    if isinstance(value, str) and (said := permissions.no_role(value)):
        yield f"{path}: {value!r} is no role to give anybody: {said}"
        return
    match detail["type"]:
        case "missing":
            yield f"{path}: not set; see its description in Pulumi.yaml"
        case "extra_forbidden":
            groups = (NESTED[part] for part in reversed([first, *rest[:-1]]) if part in NESTED)
            valid = (next(groups, Settings) if rest else Settings).model_fields
            near = nearest(str(detail["loc"][-1]), [to_camel(name) for name in valid])
            yield f"{path}: {value!r} is for an unknown key; did you mean {near}?"
        case "value_error" if first == "models" and not rest:
            yield from (path + line for line in message.split("\n"))
        case "value_error":
            yield f"{path}: {value!r} {message}"
        case _:
            yield f"{path}: {value!r} is not valid: {message[0].lower()}{message[1:]}"


def nearest(value: str, valid: Iterable[str]) -> str:
    """The valid name most like `value`."""
    return max(sorted(valid), key=lambda other: difflib.SequenceMatcher(None, value, other).ratio())
