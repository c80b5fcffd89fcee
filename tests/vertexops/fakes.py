"""Vertex AI as the kinds see it, in memory, on a clock that moves when they sleep."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from pulumi_plugin.kinds import Context
from vertexops.errors import GoogleError
from vertexops.guarding import rfc3339
from vertexops.waiting import Clock

Json = dict[str, Any]
OPERATION_SECONDS = 300.0
CPUS = {"n1-standard-2": 2, "n1-standard-4": 4, "g2-standard-4": 4}


class FakeClock(Clock):
    def __init__(self) -> None:
        self.time = 0.0
        self.at: list[tuple[float, Callable[[], None]]] = []

    def now(self) -> float:
        return self.time

    def today(self) -> float:
        return 1_795_000_000 + self.time

    def sleep(self, context: Context, seconds: float) -> None:
        self.time += seconds
        due = [action for when, action in self.at if when <= self.time]
        self.at = [(when, action) for when, action in self.at if when > self.time]
        for action in due:
            action()

    def jitter(self) -> float:
        return 1.0


class FakeVertex:
    """Deploying, traffic and the registry, with Google's rules.

    `calls` has every change asked for. `fail` maps a method to an error it raises next, or to
    several in turn; `broken` has models whose deployment fails within the operation.
    """

    def __init__(self, clock: FakeClock, quota: int = 1000) -> None:
        self.clock, self.quota = clock, quota
        self.endpoints: dict[str, Json] = {}
        self.models: dict[str, dict[str, Json]] = {}
        self.model_labels: dict[str, dict[str, str]] = {}
        self.jobs: dict[str, Json] = {}
        self.operations: dict[str, tuple[float, Callable[[], Json]]] = {}
        self.done: dict[str, Json] = {}
        self.calls: list[tuple[Any, ...]] = []
        self.fail: dict[str, list[GoogleError]] = {}
        self.broken: dict[str, Json] = {}
        self.being_made: set[str] = set()

    def _called(self, method: str, *arguments: Any) -> None:
        self.calls.append((method, *arguments))
        if self.fail.get(method):
            raise self.fail[method].pop(0)

    def _start(self, run: Callable[[], Json]) -> str:
        name = f"operations/{len(self.operations) + 1}"
        self.operations[name] = (self.clock.time + OPERATION_SECONDS, run)
        return name

    def _settle(self) -> None:
        for name, (due, run) in self.operations.items():
            if name not in self.done and due <= self.clock.time:
                self.done[name] = {"name": name, "done": True, **run()}

    def operation(self, name: str) -> Json:
        self._settle()
        return self.done.get(name, {"name": name})

    # Endpoints

    def add_endpoint(self, name: str) -> None:
        self.endpoints[name] = {"models": {}, "pending": set(), "split": {}}

    def endpoint(self, name: str) -> Json:
        self._settle()
        if self.fail.get("endpoint"):
            raise self.fail["endpoint"].pop(0)
        if name not in self.endpoints:
            raise GoogleError(404, "NOT_FOUND", f"Endpoint `{name}` not found.")
        endpoint = self.endpoints[name]
        number = endpoint.get("number", name.split("/")[1])
        answer: Json = {"name": "/".join(["projects", number, *name.split("/")[2:]])}
        if endpoint["models"]:
            answer["deployedModels"] = list(endpoint["models"].values())
        if endpoint["split"]:
            answer["trafficSplit"] = dict(endpoint["split"])
        if host := endpoint.get("dns"):
            answer["dedicatedEndpointDns"] = host
        return answer

    def deploy(self, endpoint: str, model: Json) -> str:
        self._called("deploy", model["model"])
        state = self.endpoints[endpoint]
        if model["id"] in state["models"] or model["id"] in state["pending"]:
            raise GoogleError(409, "ALREADY_EXISTS", f"DeployedModel {model['id']} exists.")
        resources = model["dedicatedResources"]
        cpus = CPUS[resources["machineSpec"]["machineType"]] * resources["maxReplicaCount"]
        if cpus > self.quota:
            text = "The following quotas are exceeded: CustomModelServingCPUsPerProjectPerRegion"
            raise GoogleError(429, "RESOURCE_EXHAUSTED", f"{text} {cpus}: {text}")
        state["pending"].add(model["id"])

        def run() -> Json:
            state["pending"].discard(model["id"])
            if model["model"] in self.broken:
                return {"error": self.broken[model["model"]]}
            name, _, version = model["model"].partition("@")
            state["models"][model["id"]] = {
                "displayName": "given by Google",
                "createTime": rfc3339(self.clock.today()),
                **{key: value for key, value in model.items() if value},
                "model": name,
                "modelVersionId": version,
            }
            return {"response": {"deployedModel": state["models"][model["id"]]}}

        return self._start(run)

    def mutate(self, endpoint: str, model: Json, mask: str) -> str:
        self._called("mutate", model["id"], mask)
        there = self.endpoints[endpoint]["models"][model["id"]]

        def run() -> Json:
            for path in mask.split(","):
                *parents, last = path.split(".")
                source, target = model, there
                for parent in parents:
                    source, target = source[parent], target[parent]
                target[last] = source[last]
            return {"response": {}}

        return self._start(run)

    def undeploy(self, endpoint: str, id: str) -> str:
        self._called("undeploy", id)
        state = self.endpoints[endpoint]
        if id not in state["models"]:
            raise GoogleError(404, "NOT_FOUND", f"DeployedModel {id} is not there.")
        if state["split"].get(id):
            raise GoogleError(400, "FAILED_PRECONDITION", f"DeployedModel {id} has traffic.")

        def run() -> Json:
            state["models"].pop(id, None)
            return {"response": {}}

        return self._start(run)

    def set_traffic(self, endpoint: str, split: dict[str, int]) -> None:
        self._called("set_traffic", split)
        state = self.endpoints[endpoint]
        assert not split or sum(split.values()) == 100
        assert split.keys() <= state["models"].keys()
        state["split"] = dict(split)

    # Monitoring jobs

    def monitoring_job(self, name: str) -> Json:
        self._settle()
        if name not in self.jobs:
            raise GoogleError(404, "NOT_FOUND", f"Job `{name}` not found.")
        return {"name": name.replace("/p/", "/123456/"), **self.jobs[name]}

    def monitoring_jobs(self, parent: str) -> list[Json]:
        return [self.monitoring_job(name) for name in self.jobs if name.startswith(parent)]

    def create_monitoring_job(self, parent: str, job: Json) -> Json:
        name = f"{parent}/modelDeploymentMonitoringJobs/{len(self.jobs) + 1}"
        endpoint = job["endpoint"].replace("/p/", "/123456/")
        self.jobs[name] = {**job, "endpoint": endpoint, "state": "JOB_STATE_RUNNING"}
        self._called("create_job", job)
        return self.monitoring_job(name)

    def update_monitoring_job(self, job: Json, mask: str) -> str:
        self._called("update_job", mask)
        for key in mask.split(","):
            self.jobs[job["name"]].pop(key, None)
            self.jobs[job["name"]] |= {key: job[key]} if key in job else {}
        return self._start(lambda: {"response": {}})

    def delete_monitoring_job(self, name: str) -> str:
        self._called("delete_job")
        if self.jobs[name]["state"] != "JOB_STATE_PAUSED":
            raise GoogleError(400, "FAILED_PRECONDITION", "Pause it first.")
        return self._start(lambda: {"response": self.jobs.pop(name) and {}})

    def pause_monitoring_job(self, name: str) -> None:
        self._called("pause_job")
        self.jobs[name]["state"] = "JOB_STATE_PAUSED"

    def resume_monitoring_job(self, name: str) -> None:
        self._called("resume_job")
        self.jobs[name]["state"] = "JOB_STATE_RUNNING"

    # Models

    def model(self, name: str) -> Json:
        self._settle()
        parent, _, version = name.partition("@")
        for number, info in self.models.get(parent, {}).items():
            if (version or "default") in (number, *info["versionAliases"]):
                labels = self.model_labels.get(parent, {}) | info.get("labels", {})
                return {"name": parent, **info, **({"labels": labels} if labels else {})}
        raise GoogleError(404, "NOT_FOUND", f"Model `{name}` not found.")

    def versions(self, name: str) -> list[Json]:
        return list(self.models[name].values())

    def upload(self, body: Json) -> str:
        self._called("upload", body)
        parent = body.get("parentModel") or f"{body['parent']}/models/{body['modelId']}"
        if "modelId" in body and parent in self.being_made:
            raise GoogleError(409, "ALREADY_EXISTS", f"Model `{parent}` already exists.")
        self.being_made.add(parent)

        def run() -> Json:
            versions = self.models.setdefault(parent, {})
            number = str(max(map(int, versions), default=0) + 1)
            versions[number] = {
                **body["model"],
                "versionId": number,
                "versionAliases": [],
                "versionCreateTime": "2026-01-01T00:00:00Z",
            }
            first = ["default"] if len(versions) == 1 else []
            for alias in dict.fromkeys([*first, *body["model"]["versionAliases"]]):
                self._move(parent, number, alias)
            return {"response": {"model": parent, "modelVersionId": number}}

        return self._start(run)

    def _move(self, parent: str, number: str, alias: str) -> None:
        for info in self.models[parent].values():
            info["versionAliases"] = [a for a in info["versionAliases"] if a != alias]
        self.models[parent][number]["versionAliases"].append(alias)

    def update_model(self, model: Json, mask: str) -> None:
        self._called("update_model", model, mask)
        """UpdateModelRequest, 1-6."""
        parent, _, version = model["name"].partition("@")
        keys = set(mask.split(","))
        if not keys <= ({"versionDescription"} if version else {"displayName", "description"}) | {
            "labels"
        }:
            raise GoogleError(400, "FAILED_PRECONDITION", "mismatch of names and fields")
        if "labels" in keys and not version:
            self.model_labels[parent] = model.get("labels", {})
            keys.remove("labels")
        for number, info in self.models[parent].items():
            if version in ("", number):
                info |= {key: model.get(key, {} if key == "labels" else "") for key in keys}

    def merge_aliases(self, name: str, aliases: list[str]) -> None:
        self._called("merge_aliases", name, aliases)
        parent, _, version = name.partition("@")
        for alias in aliases:
            if alias.startswith("-"):
                self.models[parent][version]["versionAliases"].remove(alias[1:])
            else:
                self._move(parent, version, alias)

    def delete_model(self, name: str) -> str:
        self._called("delete_model", name)
        return self._start(lambda: {"response": self.models.pop(name) and {}})

    def delete_version(self, name: str) -> str:
        self._called("delete_version", name)
        parent, _, version = name.partition("@")
        if version not in self.models.get(parent, {}):
            raise GoogleError(404, "NOT_FOUND", f"Model `{name}` not found.")
        if "default" in self.models[parent][version]["versionAliases"]:
            raise GoogleError(400, "FAILED_PRECONDITION", "the default version")
        return self._start(lambda: {"response": self.models[parent].pop(version) and {}})


class FakeGoogle:
    """Stands in for `Google`: `answer` gives the JSON of a request, or raises."""

    def __init__(self, vertex: FakeVertex | None = None) -> None:
        self.project, self.region = "p", "us-central1"
        self.identity = "deployer@p.iam.gserviceaccount.com"
        self.person = "ana@example.com"
        self.locks: Any = defaultdict(threading.Lock)
        self.fake = vertex
        self.answer: Callable[[str, str, Json | None, str], Json] = lambda *_: {}

    def turned_away(self) -> tuple[str, str]:
        return self.person, self.identity

    def who(self) -> str:
        return self.person

    def vertex(self, location: str) -> Any:
        return self.fake

    def request(self, verb: str, url: str, body: Json | None = None, token: str = "") -> Json:
        return self.answer(verb, url, body, token)


class World:
    """One kind of resource on a fake Google, with its clock and the context of an operation."""

    def __init__(self, kind: Callable[[Any, Clock], Any]) -> None:
        self.clock = FakeClock()
        self.vertex = FakeVertex(self.clock)
        self.google = FakeGoogle(self.vertex)
        self.kind = kind(self.google, self.clock)
        self.context = Context()

    @property
    def asked(self) -> list[str]:
        """The calls of Vertex AI, by name."""
        return [call[0] for call in self.vertex.calls]

    def failures(self, inputs: Json) -> dict[str, str]:
        """What a check says, by property."""
        _, found = self.kind.check(inputs, {}, self.context)
        return {failure.property: failure.reason for failure in found}
