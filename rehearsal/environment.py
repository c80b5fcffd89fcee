"""One environment of the stack, ready to be rehearsed: settings, models and surroundings."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from access.recover import Look
from components import permissions as table
from components.apis import SERVICES
from components.configuration import parse, raw, stacks, written
from components.models import Model
from components.settings import Settings
from rehearsal import callers, telemetry
from rehearsal.callers import Caller
from rehearsal.sandbox import Google, GoogleError, Sandbox
from rehearsal.toolchain import ROOT

NAME: Final = "predictive-maintenance"
SCIENTIST: Final = "data-science@example.com"
"""Owner of the project where looked-up models are trained; may use Vertex AI in the stack's own."""

ANALYST: Final = "analyst@example.com"
"""Reads and queries what the stack keeps in BigQuery, and what it writes to its logs."""

ONCALL: Final = "oncall@example.com"
"""Is told of incidents, and looks at the dashboard."""

OWNER: Final = "owner@example.com"
"""May change who may do what in the stack's project, and what Monitoring has there, beside the
stack."""

BEFORE_THE_STACK: Final = ("serviceusage.googleapis.com", "cloudresourcemanager.googleapis.com")
"""APIs that have to be on before the first `pulumi up` can switch on the others."""


OF_A_REGISTRY: Final = ("aiplatform.googleapis.com", "storage.googleapis.com")
"""APIs that are on where somebody registered models before the stack is."""

KMS: Final = "cloudkms.googleapis.com"

ARTIFACT_REGISTRY: Final = "https://artifactregistry.googleapis.com/v1"

CLEARBLADE_FILE: Final = "clearblade.json"
"""What ClearBlade gives out for the stack's project, in the sandbox."""

NUMBER: Final = "100000000001"
"""Number of the stack's simulated project."""


class UnknownStack(ValueError):
    """There is no `Pulumi.<stack>.yaml`, or it has a layer only."""


@dataclass(frozen=True)
class Environment:
    """`values` is the stack's configuration as its file holds it; `settings` what it means.

    `platform` runs Pulumi as the platform identity, `reviewer` runs previews of pull requests.
    """

    stack: str
    values: Mapping[str, Any]
    settings: Settings
    platform: Caller
    reviewer: Caller | None
    overrides: Mapping[str, Any]
    """What goes before the file's values."""
    rollout: Environment | None = None
    """The stack of the other layer, where this one is the foundation; who runs it is its
    `platform`."""

    @property
    def jobs(self) -> dict[str, Caller]:
        """Identity → a job, for those that come in by the stack's own federation."""
        there = {role.identity for role in table.roles(self.settings.capabilities)}
        return {
            identity: callers.job(self.settings, NUMBER, identity)
            for identity in table.FEDERATED
            if identity in there
        }

    @property
    def callers(self) -> tuple[Caller, ...]:
        """Who asks for predictions beside the telemetry account, as the settings name them."""
        there = enumerate(self.settings.callers, 1)
        return tuple(callers.caller(member, f"caller-{number}") for number, member in there)

    @property
    def members(self) -> dict[str, str]:
        """Identity → member, for everybody that the permission table knows and who is there; of
        the callers the first."""
        return {
            **({table.CALLER: self.callers[0].member} if self.callers else {}),
            **{identity: self.settings.member(identity) for identity in table.ACCOUNTS},
            table.PLATFORM: self.platform.member,
            **{identity: job.member for identity, job in self.jobs.items()},
            **(
                {table.REVIEWER: self.reviewer.member}
                if self.reviewer and self.settings.preview_member
                else {}
            ),
            **{
                agent: f"serviceAccount:{name.format(NUMBER)}"
                for agent, name in table.AGENTS.items()
            },
        }


def load(stack: str, models: Path, /, **overrides: Any) -> Environment:
    """The environment in `Pulumi.<stack>.yaml`, with the models to upload found in `models`: the
    file of each, or its folder where the artifact's path ends with a slash.

    Its people and pipelines come in by identity federation (rehearsal/callers.py).

    Raises UnknownStack, UnknownCaller, SettingsError.
    """
    others = stacks(ROOT)
    if stack not in others:
        named = [name for name, rollout in others.items() if rollout == stack]
        raise UnknownStack(
            f"{stack} is a layer of {named[0]}: rehearse {named[0]}, which plays both"
            if named
            else f"there is no Pulumi.{stack}.yaml; the stacks are {', '.join(others)}"
        )
    values = written(stack, ROOT) | overrides
    for key in ("platformMember", "previewMember"):
        if values.get(key):
            values[key] = callers.member(values[key])
    values["callers"] = [callers.member(member) for member in values["callers"]]
    for model in values["models"]:
        if "artifact" in model:
            file = artifact(models, model["id"])
            model["artifact"] = str(file.parent if model["artifact"].endswith("/") else file)
        if "training" in model:
            model["training"]["data"] = str(training(models, model["id"]))
        canary = model.get("canary", {})
        if "artifact" in canary:
            file = artifact(models, f"{model['id']}-canary", depth=10)
            canary["artifact"] = str(file.parent if canary["artifact"].endswith("/") else file)
        if "training" in canary:
            canary["training"]["data"] = str(training(models, f"{model['id']}-canary"))
    settings = parse(raw(values), ROOT)
    platform = callers.caller(settings.platform_member, "engineer")
    here = Environment(stack, values, settings, platform, _reviewer(settings), overrides)
    if settings.layer != "foundation":
        return here
    values = {**values, "layer": "rollout"}
    return replace(
        here,
        rollout=replace(
            here,
            stack=others[stack] or f"{stack}-rollout",
            values=values,
            settings=parse(raw(values), ROOT),
            # Who may do no more than become the deployer, where there is somebody.
            platform=here.jobs.get(table.ROLLOUT_JOBS, platform),
        ),
    )


def _reviewer(settings: Settings) -> Caller | None:
    if settings.preview_member:
        return callers.caller(settings.preview_member, "reviewer")
    if settings.federation:
        return callers.job(settings, NUMBER, table.PULL_REQUESTS)
    return None


def artifact(models: Path, model: str, **trained: int) -> Path:
    """Where the artifact of `model` is kept. When it is not there yet it is `trained` so."""
    path = models / model / "model.joblib"
    return path if path.is_file() else telemetry.train(path, **trained)


def training(models: Path, model: str) -> Path:
    """Where it is kept what `model` was trained on."""
    path = models / model / "training.csv"
    return path if path.is_file() else telemetry.trained_on(path)


BESIDE: Final = (
    ({table.ROUTE}, ANALYST, "bigquery.dataViewer", "bigquery.jobUser"),
    ({table.DRIFT}, ANALYST, "logging.viewer", "monitoring.viewer"),
    ({table.WATCH, table.DRIFT}, OWNER, "monitoring.editor"),
    ({table.WATCH}, ONCALL, "monitoring.viewer", "pubsub.editor"),
    ({table.WATCH}, OWNER, "resourcemanager.projectIamAdmin"),
    ({table.REGISTER}, SCIENTIST, "aiplatform.user"),
    ({table.OWN_BUCKET}, SCIENTIST, "aiplatform.user", "storage.admin"),
)
"""People beside the stack, and their roles on its project where it does one of these."""


def seed(environment: Environment) -> dict[str, Any]:
    """What exists before the stack does: projects, and the platform identity's own role."""
    settings = environment.settings
    projects: list[tuple[str, str, tuple[str, ...]]] = [
        (
            settings.project,
            NUMBER,
            (*BEFORE_THE_STACK, *(OF_A_REGISTRY if settings.own_bucket else ())),
        )
    ]
    pulled = {repository.project for repository in settings.repositories}
    for number, source in enumerate(settings.source_projects, 2):
        images = (urlsplit(ARTIFACT_REGISTRY).netloc,) if source in pulled else ()
        projects.append((source, f"20000000000{number}", (*SERVICES, *images)))
    if settings.kms_key and settings.key_project not in {id for id, _, _ in projects}:
        # Somebody has made roles there, too.
        projects.append((settings.key_project, "500000000005", ("iam.googleapis.com",)))
    projects = [
        (id, number, (*apis, KMS) if id == settings.key_project else apis)
        for id, number, apis in projects
    ]
    held = {
        settings.role_name(role.key, project): (role, project)
        for role, project in settings.roles
        if role.key in table.BEFORE
    }
    grants = [
        {
            "resource": settings.kms_key if role.on == table.KEY else f"projects/{project}",
            "role": name,
            "member": settings.platform_member,
        }
        for name, (role, project) in held.items()
        if role.identity == table.PLATFORM
    ]
    grants += [
        {"resource": f"projects/{it}", "role": "roles/owner", "member": f"user:{SCIENTIST}"}
        for it in settings.source_projects
    ]
    own = f"projects/{settings.project}"
    grants += [
        {"resource": own, "role": f"roles/{role}", "member": f"user:{who}"}
        for capabilities, who, *roles in BESIDE
        if capabilities & settings.capabilities
        for role in roles
    ]
    registrar = clearblade(settings.project)
    reviewer = environment.reviewer if settings.preview_member else None
    entering = (environment.platform, *filter(None, (reviewer,)), *environment.callers)
    who = tuple({caller.member: caller for caller in entering}.values())
    homes = {caller.home for caller in who}
    let_in = callers.seed(who, {number: id for id, number, _ in projects})
    return {
        **let_in,
        "organization": {"id": "1"},
        "projects": [
            *(
                {
                    "id": id,
                    "number": number,
                    "parent": "organizations/1",
                    "services": [*apis, *(callers.HOME_APIS if id in homes else ())],
                }
                for id, number, apis in projects
            ),
            *let_in.get("projects", ()),
        ],
        "roles": [
            {"name": name, "permissions": list(role.permissions)}
            for name, (role, _) in held.items()
        ],
        "keys": [settings.kms_key] if settings.kms_key else [],
        "grants": [*grants, *let_in.get("grants", ())],
        "clearblade": [
            {
                "project": registrar["project"],
                "system_key": registrar["systemKey"],
                "token": registrar["token"],
            }
        ],
    }


def clearblade(project: str) -> dict[str, str]:
    """The credentials of ClearBlade's service account; the same for every cloud of a project."""
    drawn = hashlib.sha256(f"ClearBlade {project}".encode()).hexdigest()
    return {
        "systemKey": drawn[:24],
        "token": drawn[24:],
        "url": "https://iot.clearblade.com",
        "project": project,
    }


def onlooker(environment: Environment, sandbox: Sandbox) -> Look | None:
    """Looks into the cloud as a person who may, where the environment has one."""
    may = environment.settings.capabilities
    if not {table.WATCH, table.DRIFT} & set(may):
        return None
    who = ONCALL if table.WATCH in may else ANALYST

    def look(url: str) -> tuple[int, Any]:
        try:
            return 200, sandbox.google(who).call("GET", url)
        except GoogleError as error:
            return error.status, error.answer

    return look


def beginnings(environment: Environment) -> dict[str, Any]:
    """What a cloud is made from and holds before the stack; equal where one would do for both."""
    settings = environment.settings
    sources = [[it.name, it.model.source] for it in settings.versions if it.model.source]
    buckets = [*settings.source_buckets, settings.own_bucket]
    where = [*buckets, settings.region, settings.serving_container]
    found = [*sources, *([repository.name] for repository in settings.repositories)]
    return {"seed": seed(environment), "sources": [*found, where] if found else []}


def prepare_source(environment: Environment, sandbox: Sandbox, models: Path) -> None:
    """Train, store and register the looked-up versions in their projects, as their owner would, who
    has repositories of images there too; not those whose artifacts are in the stack's own bucket,
    which is not there yet."""
    settings = environment.settings
    if not settings.source_projects and not settings.own_bucket:
        return
    scientist = sandbox.google(SCIENTIST)
    for repository in settings.repositories:
        parent, _, id = repository.name.rpartition("/")
        address = f"{ARTIFACT_REGISTRY}/{parent}?repositoryId={id}"
        scientist.finish(scientist.call("POST", address, {"format": "DOCKER"}), ARTIFACT_REGISTRY)
    sources = [
        it
        for it in settings.versions
        if it.model.source and settings.bucket_of(it.model) != settings.artifacts_bucket
    ]
    for project, bucket in {
        (it.model.source_project, settings.bucket_of(it.model)) for it in sources
    }:
        scientist.call(
            "POST",
            f"https://storage.googleapis.com/storage/v1/b?project={project}",
            {
                "name": bucket,
                "location": settings.region,
                "iamConfiguration": {"uniformBucketLevelAccess": {"enabled": True}},
            },
        )
    for it in sources:
        trained = (
            artifact(models, f"{it.model.id}-canary", depth=10)
            if it.canary
            else artifact(models, it.model.id)
        )
        register(it.model, settings, scientist, trained, again=it.canary)


def renewed(environment: Environment, sandbox: Sandbox, models: Path) -> Environment:
    """The environment with a newer version of each model; its own ones are beside `models`.

    A looked-up model's owner registers his as the default version.
    """
    newer = models.with_name(f"{models.name}-2")
    for model in environment.settings.models:
        path = artifact(newer, model.id, depth=12)
        if model.source:
            register(model, environment.settings, sandbox.google(SCIENTIST), path, again=True)
    return load(environment.stack, newer, **environment.overrides)


def register(
    model: Model, settings: Settings, scientist: Google, path: Path, again: bool = False
) -> None:
    """Store and register a looked-up model, the version that is its default from now on."""
    bucket, folder = settings.bucket_of(model), f"models/{model.id}{'-2' if again else ''}"
    scientist.call(
        "POST",
        f"https://storage.googleapis.com/upload/storage/v1/b/{bucket}/o"
        f"?uploadType=media&name={folder}/model.joblib",
        path.read_bytes(),
        {"Content-Type": "application/octet-stream"},
    )
    assert model.source is not None
    name, _, _ = model.source.partition("@")
    parent, _, id = name.partition("/models/")
    api = f"https://{settings.region}-aiplatform.googleapis.com/v1"
    operation = scientist.call(
        "POST",
        f"{api}/{parent}/models:upload",
        {
            **({"parentModel": name} if again else {"modelId": id}),
            "model": {
                "displayName": model.id,
                "versionAliases": ["default"],
                "artifactUri": f"gs://{bucket}/{folder}",
                "containerSpec": {"imageUri": settings.serving_container},
            },
        },
    )
    scientist.finish(operation, api)
