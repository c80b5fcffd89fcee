"""A model on the endpoint: where it comes from, and how it is served."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NamedTuple

from pydantic import (
    Field,
    field_validator,
    model_validator,
)

from components import permissions
from components.fields import (
    AcceleratorType,
    BucketName,
    Frozen,
    Image,
    MachineType,
    ModelId,
    ModelName,
    Percent,
    Replicas,
    Required,
    Route,
    matches,
)
from vertexops import containers, forms, machines, schema
from vertexops.machines import Gpus

PUBLIC_IMAGES: Final = frozenset(
    {"vertex-ai", "vertex-ai-restricted", "deeplearning-platform-release"}
)
"""Google lets anybody pull from these (docs, pre-built and Deep Learning containers)."""

REQUIRED: Final = "google-cloud-aiplatform, required_replica_count"

GPU_PERCENT: Final = 60

DEPLOYMENT_SECONDS: Final = 1800
"""How long one model may take to be deployed."""


class Training(Frozen):
    """What an uploaded model was trained on: a file with a column for each sensor, and `target`."""

    data: Annotated[str, matches(r".+\.(csv|jsonl)", "the path of a .csv or .jsonl file")]
    target: str


class Accelerator(Frozen):
    """GPUs of each machine. Without a type those that it comes with, if any; without a count the
    fewest that it takes."""

    type: AcceleratorType | None = None
    count: Annotated[int, Field(ge=1)] | None = None

    @model_validator(mode="after")
    def _has_a_type(self) -> Accelerator:
        if self.count and not self.type:
            raise ValueError("has a `count` and no `type`, such as NVIDIA_TESLA_T4")
        return self

    def on(self, machine: str) -> Gpus:
        """Raises ValueError where they do not fit."""
        return machines.fit(machine, self.type or "", self.count or 0)


class Autoscaling(Frozen):
    """What replicas are added and taken away for: use of CPUs and GPUs, and requests a minute and
    replica."""

    cpu_percent: Annotated[int, Field(ge=1, le=100)] = 60
    gpu_percent: Annotated[int, Field(ge=1, le=100)] | None = None
    requests_per_minute: Annotated[int, Field(ge=1)] | None = None

    def targets(self, gpus: Gpus) -> dict[str, int]:
        """Target by Google's metric. With accelerators Google looks at their use as well, 60 % by
        default (discovery document, DedicatedResources.autoscalingMetricSpecs)."""
        of_gpus = (self.gpu_percent or GPU_PERCENT) if gpus.count else None
        all_ = {
            schema.CPU_UTILIZATION: self.cpu_percent,
            schema.DUTY_CYCLE: of_gpus,
            schema.REQUEST_COUNT: self.requests_per_minute,
        }
        return {metric: target for metric, target in all_.items() if target}


class Probe(Frozen):
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


class Container(Frozen):
    """How the image runs; limits are those of the discovery document (ModelContainerSpec).

    `image` is the model's own, in place of servingContainer. What is left out is as Vertex AI has
    it: it asks port 8080, on paths with the numbers of endpoint and deployed model.
    """

    image: Image | None = None
    predict_route: Route | None = None
    health_route: Route | None = None
    port: Annotated[int, Field(ge=containers.PORTS[0], le=containers.PORTS[1])] | None = None
    env: dict[str, str] = Field(default={})
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


class OwnImage(Frozen):
    """An image alone; how it runs is as it was."""

    image: Image


class Canary(Frozen):
    """Another version of an entry's model, on `percent` of the entry's traffic. What it leaves out
    is as the entry has it, but that it has no fewer replicas than its share of the entry's."""

    percent: Percent
    artifact: str | None = None
    source: ModelName | None = None
    container: OwnImage | None = None
    training: Training | None = None
    min_replicas: Replicas | None = None
    max_replicas: Replicas | None = None

    @model_validator(mode="after")
    def _is_another_one(self) -> Canary:
        if not (self.artifact or self.source or self.container):
            raise ValueError(
                "has nothing to try: give it an `artifact`, a container with an `image`, or the "
                "`source` of another version"
            )
        if self.source and (self.artifact or self.container):
            raise ValueError("has a `source`, to look up, and what is uploaded: give it one")
        if self.training and not self.artifact:
            raise ValueError("has `training` data, which is stored beside an `artifact`")
        return self


class CanaryGuard(Frozen):
    """What canaries are held to before they get more of their entry's traffic: requests, failed
    ones and latency of the last minutes, in Cloud Monitoring. 0 for a latency is any."""

    window_minutes: Annotated[int, Field(ge=1, le=1_440)] = 10
    min_requests: Annotated[int, Field(ge=1)] = 100
    error_percent: Annotated[float, Field(ge=0, le=100)] = 1
    latency_ms: Annotated[float, Field(ge=0)] = 0
    latency_ratio: Annotated[float, Field(ge=0)] = 1.5
    when_too_few: Literal["stop", "go"] = "stop"
    start_percent: Percent = 20


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
    accelerator: Accelerator

    @property
    def gpus(self) -> Gpus:
        return self.accelerator.on(self.machine_type)

    @property
    def targets(self) -> dict[str, int]:
        """What replicas are added and taken away for: target by Google's metric."""
        return self.autoscaling.targets(self.gpus)

    @property
    def required(self) -> int | None:
        """Replicas that a deployment succeeds with; None for all of the fewest."""
        some = 0 < self.required_replicas < self.min_replicas
        return self.required_replicas if some else None

    @property
    def scales(self) -> bool:
        return self.max_replicas > self.min_replicas


class Model(Frozen):
    """A model on the endpoint: uploaded from `artifact` (the path of a file or a folder), or from
    nothing when an image of its own holds it; or looked up as `source`.

    What it says of how it is served takes the place of the setting of that name.
    """

    id: ModelId
    traffic: Percent
    artifact: str | None = None
    source: ModelName | None = None
    source_artifacts_bucket: BucketName | None = None
    training: Training | None = None
    canary: Canary | None = None
    machine_type: MachineType | None = None
    accelerator: Accelerator | None = None
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
        if self.source_artifacts_bucket and not self.source:
            raise ValueError("has a `sourceArtifactsBucket`, which is for a model with a `source`")
        if self.training and not self.artifact:
            raise ValueError("has `training` data, which is stored beside an `artifact`")
        return self

    @model_validator(mode="after")
    def _is_tried_by_its_like(self) -> Model:
        canary = self.canary
        if canary is None:
            return self
        if self.source and not canary.source:
            raise ValueError(
                "is looked up, and so has its canary to be: give that the `source` of another "
                "version of the model"
            )
        if canary.source and not self.source:
            raise ValueError(
                "is uploaded, and so has its canary to be: give that an `artifact`, or a "
                "container with an `image`, instead of a `source`"
            )
        if canary.source and self.source:
            if canary.source.partition("@")[0] != self.source.partition("@")[0]:
                raise ValueError(f"has a canary of another model, {canary.source}")
            same = canary.source == self.source
        else:
            same = canary.artifact == self.artifact and not canary.container
        if same:
            raise ValueError("is its own canary: take `canary` out, or give it another version")
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


class Version(NamedTuple):
    """What is deployed: `model` is an entry as far as its own version goes, or its canary as if
    that were one."""

    model: Model
    canary: bool = False

    @property
    def name(self) -> str:
        """What tells it from all others; no model's id has a dot."""
        return f"{self.model.id}.canary" if self.canary else self.model.id


def readable(given: list[Any], wrong: list[Any]) -> tuple[Model, ...]:
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


def model_problems(models: tuple[Model, ...], others: Mapping[str, Any]) -> Iterable[str]:
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
    of_all, projects = others.get("source_artifacts_bucket", "unread"), dict[str, set[str]]()
    for model in models:
        if model.source and model.source_project != own:
            bucket = model.source_artifacts_bucket or of_all or ""
            projects.setdefault(bucket, set()).add(model.source_project)
    for bucket, there in projects.items():
        of = " and ".join(sorted(there))
        if not bucket:
            yield f": sourceArtifactsBucket has to name the bucket of the artifacts in {of}"
        elif len(there) > 1 and bucket != "unread":
            yield (
                f": {bucket} is the bucket of the artifacts in {of}, and is in one of them; give "
                "the models of the other a sourceArtifactsBucket of their own"
            )
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
        if isinstance(model.canary, Canary):
            yield from _canary_problems(f"[{index}].canary", model, model.canary, most)
        container = model.container
        what, brought = "artifact", model.artifact
        if not model.artifact and isinstance(container, Container):
            what, brought = "container.image", container.image
        if brought and permissions.REGISTER not in others.get("deployer_may", ("register",)):
            yield (
                f"[{index}].{what}: {brought!r} cannot be uploaded, for deployerMay has "
                "no 'register'; add it, or look the model up with `source`"
            )


def _canary_problems(at: str, model: Model, canary: Canary, most: Any) -> Iterator[str]:
    """What is wrong between an entry and its canary; `most` are the replicas that it may have."""
    traffic, percent = getattr(model, "traffic", None), canary.percent
    if isinstance(traffic, int) and traffic * percent % 100:
        step = 100 // math.gcd(traffic, 100)
        below = percent // step * step
        yield (
            f"{at}.percent: {percent} % of the {traffic} % of traffic that the model has is "
            f"{traffic * percent / 100:g} %, and an endpoint's traffic is split by whole percents; "
            f"{below} or {below + step} would do"
        )
    most = canary.max_replicas or most
    if canary.min_replicas and isinstance(most, int) and canary.min_replicas > most:
        yield f"{at}.minReplicas: {canary.min_replicas} is more than maxReplicas, {most}"
