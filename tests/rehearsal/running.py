"""A staging stack that runs, and somebody who asks it for predictions without pause."""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from components import permissions as table
from components.models import Model
from components.settings import Settings
from components.telemetry import DATASET
from rehearsal import colleague, telemetry, toolchain
from rehearsal import environment as environments
from rehearsal.callers import Caller
from rehearsal.crash import hold
from rehearsal.engine import Engine, Outcome
from rehearsal.environment import Environment
from rehearsal.federating import entered
from rehearsal.sandbox import GoogleError, Sandbox

OWNER = "owner@example.com"
PROJECT, SOURCE = "iot-staging", "iot-models"
OTHER_KEY = "projects/iot-keys/locations/us-central1/keyRings/serving/cryptoKeys/next"


class Asking(threading.Thread):
    """Asks without pause: by one of the routes a prediction has to be had each time.

    `answers` counts them by route; `failures` are the errors of those that nobody answered.
    """

    def __init__(self, sandbox: Sandbox, *settings: Settings) -> None:
        super().__init__(daemon=True)
        self._routes = [
            (sandbox.google(account), f"https://{host}/v1/{name}:predict")
            for account, host, name in map(route, settings)
        ]
        self._ended = threading.Event()
        self.answers = [0] * len(settings)
        self.failures: list[list[str]] = []

    def run(self) -> None:
        reading = telemetry.unseen(1)[0]
        while not self._ended.is_set():
            errors = []
            for number, (google, url) in enumerate(self._routes):
                try:
                    google.call("POST", url, {"instances": reading})
                except GoogleError as error:
                    errors.append(str(error))
                else:
                    self.answers[number] += 1
                    break
            else:
                self.failures.append(errors)

    def until_answered(self, route: int, seconds: float = 20) -> None:
        """Wait until a prediction has been had by a route."""
        deadline = time.monotonic() + seconds
        while not self.answers[route] and time.monotonic() < deadline:
            time.sleep(0.05)

    def __enter__(self) -> Asking:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self.join()


def route(settings: Settings) -> tuple[str, str, str]:
    """As whom and where predictions are asked for."""
    host = f"{settings.region}-aiplatform.googleapis.com"
    if settings.dedicated_endpoint:
        number = environments.NUMBER
        host = f"{settings.endpoint_id}.{settings.region}-{number}.prediction.vertexai.goog"
    return settings.email(table.TELEMETRY), host, settings.endpoint_name


class Stack:
    """A running stack, its cloud, and the settings that it has by now."""

    def __init__(
        self, sandbox: Sandbox, environment: Environment, folder: Path, values: dict[str, Any]
    ) -> None:
        self.sandbox, self.environment, self.folder = sandbox, environment, folder
        plugin = toolchain.gcp_plugin()
        self.engine = Engine(sandbox, environment, plugin, policies=False, attached=True)
        self.values = values
        self.owner = sandbox.google(OWNER)

    @property
    def settings(self) -> Settings:
        return self.environment.settings

    def up(self, **options: Any) -> Outcome:
        """As a user's is, in a process of its own."""
        return self.engine.apart("up", **options).outcome()

    def up_unasked(self, **options: Any) -> Outcome:
        """Where nobody asks meanwhile: in this process, with plugins that are there, and faster
        than any grant gets about."""
        return self.engine.up(**options)

    def with_values(self, changes: dict[str, Any]) -> Environment:
        values = copy.deepcopy({**self.values, **changes})
        return environments.load("staging", self.folder, **values)

    def changes(self, since: int = 0) -> list[str]:
        """What was asked of the cloud that changes it."""
        found: list[str] = self.sandbox.control("GET", f"/changes?since={since}")["changes"]
        return found

    def endpoint(self) -> dict[str, Any]:
        return self._vertex(self.settings.endpoint_name)

    def deployed(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.endpoint()["deployedModels"]
        return found

    def model(self, id: str = "") -> dict[str, Any]:
        """One of the stack's uploads, the first one unless `id` says which."""
        first = colleague.model_name(self.settings)
        return self._vertex(f"{first.rpartition('/')[0]}/{id}" if id else first)

    def predicted(self, caller: Caller) -> bool:
        """Whether somebody who came in gets a prediction."""
        _, host, name = route(self.settings)
        body = {"instances": telemetry.unseen(1)[0]}
        google = entered(self.sandbox, caller)
        return bool(google.call("POST", f"https://{host}/v1/{name}:predict", body)["predictions"])

    def table(self, name: str) -> dict[str, Any]:
        """A table of the telemetry."""
        return self.dataset(f"{self.settings.dataset(DATASET)}/tables/{name}")

    def dataset(self, name: str) -> dict[str, Any]:
        """A dataset, or a table as `DATASET/tables/TABLE`."""
        at = f"https://bigquery.googleapis.com/bigquery/v2/projects/{self.settings.project}"
        answer: dict[str, Any] = self.owner.call("GET", f"{at}/datasets/{name}")
        return answer

    def _vertex(self, name: str) -> dict[str, Any]:
        answer: dict[str, Any] = self.owner.call("GET", f"{colleague.api(self.settings)}/{name}")
        return answer

    def role(self, key: str) -> list[str]:
        name = self.settings.role_name(key)
        answer = self.owner.call("GET", f"https://iam.googleapis.com/v1/{name}")
        held: list[str] = answer["includedPermissions"]
        return held

    def train_again(self) -> None:
        """Another artifact for each model that the stack uploads."""
        for model in self.settings.models:
            if model.artifact:
                path = Path(model.artifact)
                telemetry.train(path / "model.joblib" if path.is_dir() else path, depth=12)

    def add_to_the_artifacts(self, name: str, text: str) -> None:
        """A file beside what each model was trained to."""
        for model in self.settings.models:
            if model.artifact:
                Path(model.artifact).with_name(name).write_text(text)

    def move_the_source(self, bucket: str) -> None:
        """The owner of the looked-up models registers newer versions, from another bucket."""
        scientist = self.sandbox.google(environments.SCIENTIST)
        address = f"https://storage.googleapis.com/storage/v1/b?project={SOURCE}"
        scientist.call("POST", address, {"name": bucket, "location": self.settings.region})
        moved = self.settings.model_copy(update={"source_artifacts_bucket": bucket})
        environments.renewed(replace(self.environment, settings=moved), self.sandbox, self.folder)

    def register_in_own_project(self, id: str, bucket: str) -> None:
        """A pipeline registers a model in the stack's own project, with its artifact in `bucket`,
        which it makes where the stack has none of that name."""
        settings, api = self.settings, "https://storage.googleapis.com/storage/v1/b"
        if bucket != settings.artifacts_bucket:
            body = {"name": bucket, "location": settings.region}
            self.owner.call("POST", f"{api}?project={settings.project}", body)
        path = environments.artifact(self.folder, id)
        source = f"projects/{settings.project}/locations/{settings.region}/models/{id}"
        there = settings.model_copy(update={"registry_artifacts_bucket": bucket})
        model = Model(id=id, traffic=0, source=source)
        there = there.model_copy(update={"models": (model,)})
        environments.register(model, there, self.owner, path)

    def make_another_key(self) -> None:
        """The key's owner makes it, and lets the platform say who uses it."""
        role = self.settings.role_name(table.PLATFORM_KEY)
        grant = {"resource": OTHER_KEY, "role": role, "member": self.settings.platform_member}
        self.sandbox.control("POST", "/seed", {"keys": [OTHER_KEY], "grants": [grant]})
        self.sandbox.wait(600)
        self.sandbox.renew()

    def make_a_repository(self, project: str, id: str) -> None:
        """Of images, in another project, as its owner."""
        usage, service = "https://serviceusage.googleapis.com/v1", "artifactregistry.googleapis.com"
        address = f"{usage}/projects/{project}/services/{service}:enable"
        self.owner.finish(self.owner.call("POST", address, {}), usage)
        self.sandbox.wait(600)
        self.sandbox.renew()
        registry = environments.ARTIFACT_REGISTRY
        at = f"{registry}/projects/{project}/locations/{self.settings.region}/repositories"
        made = self.owner.call("POST", f"{at}?repositoryId={id}", {"format": "DOCKER"})
        self.owner.finish(made, registry)

    def give_the_platform(self, *capabilities: str) -> None:
        """What an owner does before `deployerMay` grows: the platform's role grows first."""
        for role in table.roles({*self.settings.capabilities, *capabilities}):
            if role.key == table.PLATFORM:
                project = SOURCE if role.on in table.IN_SOURCE else self.settings.project
                name = f"projects/{project}/roles/{table.PLATFORM}?updateMask=includedPermissions"
                body = {"includedPermissions": list(role.permissions)}
                self.owner.call("PATCH", f"https://iam.googleapis.com/v1/{name}", body)


@contextmanager
def running(tmp_path: Path, **values: Any) -> Iterator[Stack]:
    """The staging stack with these settings of its own, once it is up."""
    folder = tmp_path / "models"
    environment = environments.load("staging", folder, **copy.deepcopy(values))
    seed = environments.seed(environment)
    for project in (PROJECT, SOURCE):
        grant = {"role": "roles/owner", "member": f"user:{OWNER}"}
        seed["grants"].append({"resource": f"projects/{project}", **grant})
    with Sandbox(seed) as sandbox:
        environments.prepare_source(environment, sandbox, folder)
        stack = Stack(sandbox, environment, folder, dict(values))
        hold(stack.up_unasked())
        yield stack
