"""Typed settings of one environment; `Pulumi.yaml` describes each key."""

from __future__ import annotations

import math
import re
from typing import Annotated, Any, Final, Literal

from pydantic import (
    BeforeValidator,
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

from components import capacity, permissions
from components.capacity import ServingQuota
from components.fields import (
    ACCOUNT_ID,
    ROLE_ID,
    Branch,
    BucketName,
    ClearBladeRegion,
    Credentials,
    DatasetId,
    Email,
    EndpointId,
    Frozen,
    GitHubEnvironment,
    GitHubId,
    Image,
    KmsKey,
    LabelKey,
    LabelValue,
    MachineType,
    Member,
    NamePrefix,
    Percent,
    PoolId,
    ProjectId,
    ProjectNumber,
    Region,
    RegisteredId,
    RegistryKind,
    Replicas,
    Required,
    Sensor,
    TableId,
    Threshold,
    TopicName,
    matches,
)
from components.models import (
    DEPLOYMENT_SECONDS,
    REQUIRED,
    Accelerator,
    Autoscaling,
    CanaryGuard,
    Container,
    Model,
    Repository,
    Served,
    Version,
    model_problems,
    private_repository,
    readable,
)
from vertexops import forms

READING: Final = ("device", "time", "risk")
"""Columns that a reading or its prediction has beside the sensors."""

ROLE_KEYS: Final = tuple(
    dict.fromkeys(need.role for need in permissions.NEEDS if need.role != permissions.PLATFORM)
)


class DeviceRegistry(Frozen):
    """Where devices are registered. `region` is the endpoint's unless set; ClearBlade publishes
    their readings as `publisher`, the stack's device account unless set."""

    kind: RegistryKind
    registry: RegisteredId | None = None
    region: ClearBladeRegion | None = None
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


class Drift(Frozen):
    """How far a sensor's readings may be, 0 to 1, from those before and from the training data."""

    threshold: Threshold = 0.3
    thresholds: dict[Sensor, Threshold] = Field(default={})
    sample_percent: Annotated[int, Field(ge=1, le=100)] = 100
    interval_hours: Annotated[int, Field(ge=1)] = 24
    log_days: Annotated[int, Field(ge=1)] = 30
    emails: tuple[Annotated[str, matches(*forms.EMAIL)], ...] = ()
    channels: tuple[Annotated[str, matches(*forms.CHANNEL)], ...] = ()


class RequestLog(Frozen):
    """Where requests and answers are kept, and for how many days; 0 keeps them for ever. `table` is
    followed by the endpoint's id."""

    dataset: DatasetId | None = None
    table: TableId = "request_response"
    days: Annotated[int, Field(ge=0, le=3650)] = 0


class Alerts(Frozen):
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


class Federation(Frozen):
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


class Settings(Frozen):
    """One environment. `Pulumi.yaml` describes each key; deadlines are seconds."""

    # Keys that others are checked against come first: a check sees what was valid before it.
    layer: Literal["whole", "foundation", "rollout"] = "whole"
    project: ProjectId
    region: Region
    deployer_may: tuple[Literal["register", "retire"], ...]
    platform_member: Member
    preview_member: Member | None = None
    account_prefix: str
    role_prefix: str
    name_prefix: NamePrefix = ""
    endpoint_id: EndpointId
    dedicated_endpoint: bool
    labels: Annotated[dict[LabelKey, LabelValue], Field(max_length=64)]
    kms_key: KmsKey | None = None
    request_log_percent: Percent
    request_log: RequestLog
    source_artifacts_bucket: BucketName | None = None
    registry_artifacts_bucket: BucketName | None = None
    serving_container: Image
    serving_quota: ServingQuota
    machine_type: MachineType
    accelerator: Accelerator
    max_replicas: Replicas
    min_replicas: Replicas
    required_replicas: Required
    spot: bool
    autoscaling: Autoscaling
    container_logging: bool
    access_logging: bool
    container: Container
    models: tuple[Model, ...]
    canary_guard: CanaryGuard
    rollout_seconds: Annotated[int, Field(ge=0, le=86_400)]
    sensors: tuple[Sensor, ...]
    private_projects: tuple[ProjectId, ...] = ()
    risk_percent: Annotated[int, Field(ge=1, le=99)]
    telemetry_days: Annotated[int, Field(ge=1, le=3650)]
    backlog_days: Annotated[int, Field(ge=1, le=7)]
    telemetry_regions: tuple[str, ...]
    order_by_device: bool
    drift: Drift | None
    device_members: tuple[Member, ...]
    callers: tuple[Member, ...]
    device_registry: Annotated[DeviceRegistry, BeforeValidator(_kind_alone)]
    clearblade_credentials: Credentials | None = None
    alerts: Alerts
    federation: Federation | None = None
    adopt_foreign: bool
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

    @field_validator("kms_key")
    @classmethod
    def _is_where_it_encrypts(cls, key: str | None, info: ValidationInfo) -> str | None:
        # docs vertex-ai/docs/reference/rest/v1/EncryptionSpec; Cloud Storage, BigQuery and Pub/Sub
        # encrypt what is in one region with keys of that region.
        region, there = info.data.get("region"), key.split("/")[3] if key else ""
        if key and region and there != region:
            raise ValueError(
                f"is a key in {there}, and the endpoint is in {region}: Vertex AI wants both in "
                f"one region; name a key in {region}"
            )
        return key

    @field_validator("private_projects")
    @classmethod
    def _can_be_reached(cls, projects: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if twice := sorted({it for it in projects if projects.count(it) > 1}):
            raise ValueError(f"names {', '.join(twice)} twice; once is enough")
        if projects and info.data.get("dedicated_endpoint"):
            # Also the gcp plugin's rule (magic-modules, products/vertexai/Endpoint.yaml).
            raise ValueError(
                "excludes dedicatedEndpoint, true: an endpoint has a public name of its own, or is "
                "reached from the networks of these projects (vertex-ai/docs/predictions/"
                "choose-endpoint-type). Set dedicatedEndpoint to false, or privateProjects to []"
            )
        if projects and info.data.get("sensors"):
            raise ValueError(
                "excludes sensors: Pub/Sub asks public endpoints alone, shared or dedicated "
                "(pubsub/docs/smts/ai-inference-smt), so no reading would be predicted. Set "
                "sensors to [] and have the plants ask the endpoint, or privateProjects to []"
            )
        return projects

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

    @field_validator("request_log")
    @classmethod
    def _is_in_a_dataset_of_its_own(cls, log: RequestLog, info: ValidationInfo) -> RequestLog:
        prefix = info.data.get("name_prefix", "")
        if log.dataset == (taken := f"{prefix}telemetry".replace("-", "_")):
            raise ValueError(f"has the dataset {taken}, which is telemetry's; give it another")
        return log

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
            models = readable(given, wrong)
        every = (*model_problems(models, info.data), *capacity.problems(models, info.data))
        if problems := "\n".join(every):
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
    def versions(self) -> tuple[Version, ...]:
        """What is deployed: of each entry its own version, and its canary, each with its share of
        the endpoint's traffic."""
        return tuple(version for model in self.models for version in self._versions(model))

    def _versions(self, model: Model) -> tuple[Version, ...]:
        canary = model.canary
        if canary is None:
            return (Version(model),)
        share, served = model.traffic * canary.percent // 100, self.served(model)
        most = canary.max_replicas or served.max_replicas
        # All of the entry's replicas only where it has all of its traffic.
        least = math.ceil(served.min_replicas * canary.percent / 100)
        tried: dict[str, Any] = {
            "traffic": share,
            "canary": None,
            "artifact": canary.artifact or model.artifact,
            "source": canary.source,
            "training": canary.training if canary.artifact else model.training,
            "min_replicas": canary.min_replicas or min(max(least, 1), most),
            "max_replicas": most,
        }
        if canary.container:
            image = {"image": canary.container.image}
            tried["container"] = served.container.model_copy(update=image)
        own = model.model_copy(update={"traffic": model.traffic - share, "canary": None})
        return Version(own), Version(model.model_copy(update=tried), canary=True)

    @property
    def rollout_deadline(self) -> int:
        """Seconds for a rollout: its models are deployed one after the other.

        How long a looked-up model may take is not known beforehand.
        """
        each = (self.served(it.model).container.deployment_timeout_seconds for it in self.versions)
        longest = sum(max(seconds or 0, DEPLOYMENT_SECONDS) for seconds in each)
        return self.rollout_seconds or longest

    @property
    def source_projects(self) -> tuple[str, ...]:
        """Other projects whose registries looked-up models are in, or whose images are pulled."""
        pulled = (repository.project for repository in self.repositories)
        return tuple(dict.fromkeys((*self.source_buckets.values(), *pulled)))

    @property
    def source_buckets(self) -> dict[str, str]:
        """Buckets with the artifacts of models of other projects → the project of each."""
        others = (it for it in self.models if it.source and it.source_project != self.project)
        return {self.bucket_of(model): model.source_project for model in others}

    @property
    def repositories(self) -> tuple[Repository, ...]:
        """Those of another project that images are pulled from."""
        images = (self.image(it.model) for it in self.versions if it.model.uploaded)
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
        """What the table calls a bucket with artifacts → its name; empty where there is none. Those
        of other projects are in `source_buckets`."""
        return {
            permissions.ARTIFACTS: self.artifacts_bucket,
            permissions.REGISTRY_ARTIFACTS: self.own_bucket,
        }

    def bucket_of(self, model: Model) -> str:
        """Where the artifact of a looked-up model is."""
        if model.source_project == self.project:
            return self.own_bucket or self.artifacts_bucket
        return model.source_artifacts_bucket or self.source_artifacts_bucket or ""

    @property
    def capabilities(self) -> frozenset[str]:
        """What the roles of this environment have to cover."""
        follows: dict[str, object] = {
            permissions.SOURCE: self.source_buckets,
            permissions.PULL: self.repositories,
            permissions.OWN_REGISTRY: self.own_registry,
            permissions.OWN_BUCKET: self.own_bucket,
            permissions.CANARY: any(model.canary for model in self.models),
            permissions.REVIEW: self.preview_member or self.federation,
            permissions.INVITE: self.preview_member,
            permissions.CALL: self.callers,
            permissions.ROUTE: self.sensors,
            permissions.DRIFT: self.drift,
            permissions.WATCH: self.alerts.told,
            permissions.INFORM: self.alerts.topic,
            permissions.FEDERATE: self.federation,
            permissions.LABEL: self.labels,
            permissions.EXPIRE: self.request_log.days,
            permissions.ENCRYPT: self.kms_key,
            permissions.FOUNDATION: self.federation and self.federation.foundation_environment,
            permissions.WHOLE: self.layer == "whole",
            permissions.LAYERS: self.layer != "whole",
        }
        return frozenset({*self.deployer_may, *(name for name, given in follows.items() if given)})

    def capabilities_in(self, project: str) -> frozenset[str]:
        """What roles in another project have to cover."""
        looks_up = project in self.source_buckets.values()
        pulls = any(repository.project == project for repository in self.repositories)
        idle = {permissions.SOURCE: not looks_up, permissions.PULL: not pulls}
        return self.capabilities - {name for name, given in idle.items() if given}

    def projects_of(self, need: permissions.Need) -> tuple[str, ...]:
        """Where the role of a line of the table is: in each project that the line applies to."""
        if need.on not in permissions.IN_SOURCE:
            return (self.project,)
        return tuple(it for it in self.source_projects if need.when <= self.capabilities_in(it))

    @property
    def roles(self) -> tuple[tuple[permissions.Role, str], ...]:
        """The environment's roles, each with its project; those in others once for each."""
        own = permissions.roles(self.capabilities)
        found = [(role, self.project) for role in own if role.on not in permissions.IN_SOURCE]
        for project in self.source_projects:
            there = permissions.roles(self.capabilities_in(project))
            found += [(role, project) for role in there if role.on in permissions.IN_SOURCE]
        return tuple(found)

    @property
    def declared_roles(self) -> dict[tuple[str, str], tuple[str, ...]]:
        """Permissions of the custom roles that the stack declares, by key and project."""
        found: dict[tuple[str, str], set[str]] = {}
        for role, project in self.roles:
            if role.key not in permissions.BEFORE:
                found.setdefault((role.key, project), set()).update(role.permissions)
        return {key: tuple(sorted(held)) for key, held in found.items()}

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
        """Roles that are there before the stack have no rolePrefix."""
        if key in permissions.BEFORE:
            return self.named(key).replace("-", "_")
        return role_id(self.role_prefix, key)

    def role_name(self, key: str, project: str = "") -> str:
        """Of a role in the stack's own project, unless it is in another one."""
        on_key = key in (permissions.PLATFORM_KEY, permissions.PREVIEWER_KEY)
        where = self.key_project if on_key else project or self.project
        return f"projects/{where}/roles/{self.role_id(key)}"

    @property
    def allowlist(self) -> list[str]:
        """From which projects a private endpoint is reached, the stack's own among them; none of a
        public one."""
        return sorted({self.project, *self.private_projects}) if self.private_projects else []

    @property
    def key_users(self) -> tuple[str, ...]:
        """Google's agents that encrypt with the key of one's own, where there is one."""
        stores = permissions.REGISTER in self.deployer_may
        return (
            *(permissions.AGENT, permissions.BIGQUERY_AGENT),
            *([permissions.STORAGE_AGENT] if stores else []),
            *([permissions.PUBSUB_AGENT] if self.sensors or self.alerts.topic else []),
        )

    @property
    def key_project(self) -> str:
        """Where the key of one's own is; empty without one."""
        return self.kms_key.split("/")[1] if self.kms_key else ""

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
        return f"{self.project}-{self.named('model-artifacts')}"

    def named(self, name: str) -> str:
        """What the stack calls a thing of which a project has one by a name."""
        return self.name_prefix + name

    def dataset(self, name: str) -> str:
        """The same of a dataset, in which BigQuery takes no hyphen."""
        return self.named(name).replace("-", "_")

    @property
    def log_table(self) -> str:
        """The request log's. The endpoint makes it, and it "must not exist" (discovery document,
        BigQueryDestination.outputUri): an endpoint that takes its place has another."""
        return f"{self.request_log.table}_{self.endpoint_id}"

    @property
    def log_dataset(self) -> str:
        return self.request_log.dataset or self.dataset("predictive_maintenance")

    @property
    def endpoint_name(self) -> str:
        return f"projects/{self.project}/locations/{self.region}/endpoints/{self.endpoint_id}"


def role_id(prefix: str, key: str) -> str:
    return f"{prefix}{key[0].upper()}{key[1:]}"
