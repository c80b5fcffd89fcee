"""What Vertex AI holds, and what its services share: names, lists, masks."""

from __future__ import annotations

import base64
import re
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from random import Random
from typing import Any, NamedTuple

from simulator.api.calls import Call
from simulator.api.errors import ApiError, failed_precondition, invalid, not_found, unimplemented
from simulator.api.fields import masked
from simulator.api.pages import listing
from simulator.api.patching import copy_paths, mask_paths
from simulator.core.cloud import Cloud, Holding
from simulator.core.platform import Containers
from simulator.identity.accounts import Accounts
from simulator.services.compute import REGIONS, WITHOUT_VERTEX
from simulator.services.kms.state import Kms
from simulator.services.vertex.containers import Predictor

# Parameters of listed().
LIST = "filter orderBy pageSize pageToken readMask"
ORDERS = {"display_name": "displayName", "create_time": "createTime", "update_time": "updateTime"}
TERM = re.compile(
    r"""\s*(?P<field>[\w.-]+|labels\."[^"]+")\s*(?P<sign>!=|=|:)\s*(?P<value>"[^"]*"|'[^']*'|\S+)\s*"""
)


@dataclass(slots=True)
class Model:
    """A registered model; each version holds its own `Model` fields."""

    name: str
    created: str
    versions: dict[str, dict[str, Any]] = field(default_factory=dict)
    uploaded: int = 0
    # Each version is shown with these, too.
    labels: dict[str, str] = field(default_factory=dict)

    def version_with(self, alias: str) -> str | None:
        for number, info in self.versions.items():
            if number == alias or alias in info["versionAliases"]:
                return number
        return None


@dataclass(slots=True)
class Scaling:
    """How many replicas there are and are asked for, and how far that has been followed."""

    replicas: int = 0
    target: int = 0
    followed: float = 0.0
    # What each cycle of the last minutes asked for, and what was asked for and is not there yet.
    wanted: list[tuple[float, int]] = field(default_factory=list)
    coming: list[tuple[float, int]] = field(default_factory=list)


@dataclass(slots=True)
class Deployment:
    """A DeployedModel; without a predictor it is still being deployed."""

    info: dict[str, Any]
    model: str
    version: str
    charged: Counter[str]
    predictor: Predictor | None = None
    scaling: Scaling = field(default_factory=Scaling)


@dataclass(slots=True)
class Endpoint:
    name: str
    info: dict[str, Any]
    # Chooses by traffic split and samples for logging; the same in every run.
    random: Random
    deployed: dict[str, Deployment] = field(default_factory=dict)
    traffic: dict[str, int] = field(default_factory=dict)

    def serving(self) -> dict[str, Deployment]:
        return {key: item for key, item in self.deployed.items() if item.predictor}


@dataclass(slots=True)
class Pool:
    """A DeploymentResourcePool: machines that several deployed models share."""

    name: str
    info: dict[str, Any]
    charged: Counter[str]


class Distance(NamedTuple):
    """How far a feature was from its baseline in a window, by an objective of a monitoring job."""

    objective: str
    deployed_id: str
    feature: str
    deviation: float
    threshold: float
    start: float
    end: float

    @property
    def anomalous(self) -> bool:
        return self.deviation > self.threshold


@dataclass(slots=True)
class Watch:
    """What a monitoring job has seen, and what it is up to.

    `begun` is when the window did that is being collected; `seen` has its sampled requests with
    their time and deployed model. `trained` and `before` are baselines, by deployed model.
    """

    state: str
    begun: float
    features: dict[str, str] = field(default_factory=dict)
    seen: list[tuple[float, str, list[Any]]] = field(default_factory=list)
    trained: dict[str, dict[str, list[Any]]] = field(default_factory=dict)
    before: dict[str, dict[str, list[Any]]] = field(default_factory=dict)
    found: list[Distance] = field(default_factory=list)
    error: dict[str, Any] | None = None
    latest: float = 0.0
    scheduled: int = 0
    logged: int = 0


@dataclass(slots=True)
class Monitor:
    """A ModelDeploymentMonitoringJob."""

    name: str
    endpoint: str
    info: dict[str, Any]
    # Samples requests; the same in every run.
    random: Random
    watch: Watch


class Served(NamedTuple):
    """What monitoring shows of one request that reached a deployed model; times in ms."""

    time: float
    endpoint: str
    deployed_id: str
    names: tuple[str, str]
    instances: int
    status: int
    model_ms: float
    overhead_ms: float
    spot: bool = False


class Strain(NamedTuple):
    """What a model's machines suffer from: this much slower by their own count, or failing."""

    slower_ms: float = 0.0
    fails: bool = False


class Scaled(NamedTuple):
    """From `time` on, a deployed model has this many replicas, and `target` are asked for."""

    time: float
    endpoint: str
    deployed_id: str
    names: tuple[str, str]
    replicas: int
    target: int
    spot: bool = False


class Vertex(Holding):
    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.models: dict[str, Model] = {}
        self.endpoints: dict[str, Endpoint] = {}
        self.pools: dict[str, Pool] = {}
        self.monitors: dict[str, Monitor] = {}
        # names that unfinished operations will create
        self.reserved: set[str] = set()
        # name of an endpoint -> until when nobody gets it
        self.kept: dict[str, float] = {}
        # operation name -> (its kind, the resource it is about)
        self.started: dict[str, tuple[str, str]] = {}
        # why sampled predictions were not logged -> how many
        self.logging_failures: Counter[str] = Counter()
        # for Cloud Monitoring; the newest predictions
        self.served: deque[Served] = deque(maxlen=200_000)
        self.scaled: list[Scaled] = []
        # by endpoint, as a runner says
        self.strained: dict[str, Strain] = {}
        self._changes = 0

    def numbered(self, name: str) -> str:
        """`projects/ID/…` as Google's answers write it, `projects/NUMBER/…`."""
        return self.cloud[Containers].numbered(name)

    def normal(self, name: str) -> str:
        """A name from a request body, with the project's id."""
        parts = name.split("/")
        if len(parts) < 4 or parts[0] != "projects":
            raise invalid(f"Invalid resource name: {name}")
        parts[1] = self.cloud[Containers].id(parts[1])
        return "/".join(parts)

    def endpoint(self, name: str) -> Endpoint:
        if name not in self.endpoints:
            raise not_found(f"Endpoint `{self.numbered(name)}` not found.")
        endpoint = self.endpoints[name]
        if endpoint.serving() and not self._opens(endpoint):
            self._take_off(endpoint)
        return endpoint

    def _opens(self, endpoint: Endpoint) -> bool:
        """Whether the key of the endpoint is enabled."""
        spec, kms = endpoint.info.get("encryptionSpec"), self.cloud[Kms]
        try:
            key = kms.key(self.normal(spec["kmsKeyName"])) if spec else None
            return key is None or bool(kms.usable(key, key.primary))
        except ApiError:
            return False

    def _take_off(self, endpoint: Endpoint) -> None:
        """A key that is disabled undeploys the models (docs vertex-ai/docs/general/cmek).

        Here that is seen when the endpoint is next looked at. How long Google takes, and what
        becomes of the traffic split, was not found.
        """
        for id, deployment in endpoint.serving().items():
            self.scale(endpoint, deployment, 0)
            del endpoint.deployed[id]
        endpoint.traffic = {}
        self.touch(endpoint)

    def pool(self, name: str) -> Pool:
        if name not in self.pools:
            raise not_found(f"DeploymentResourcePool `{self.numbered(name)}` not found.")
        return self.pools[name]

    def on_pool(self, name: str) -> list[tuple[Endpoint, Deployment]]:
        """What is deployed or being deployed on a pool."""
        shared = self.numbered(name)
        return [
            (endpoint, item)
            for endpoint in self.endpoints.values()
            for item in endpoint.deployed.values()
            if item.info.get("sharedResources") == shared
        ]

    def model(self, reference: str) -> tuple[Model, str]:
        """A model and one of its versions, by `…/models/ID`, `…@NUMBER` or `…@ALIAS`."""
        name, _, alias = reference.partition("@")
        model = self.models.get(name)
        version = model.version_with(alias or "default") if model else None
        if model is None or version is None:
            raise not_found(f"Model `{self.numbered(reference)}` not found.")
        return model, version

    def deployments_of(self, model: str, version: str | None = None) -> list[tuple[Endpoint, str]]:
        """Where a model, or one version of it, is deployed or being deployed."""
        return [
            (endpoint, deployed_id)
            for endpoint in self.endpoints.values()
            for deployed_id, item in endpoint.deployed.items()
            if item.model == model and version in (None, item.version)
        ]

    def require_undeployed(self, model: str, version: str | None = None) -> None:
        found = {self.numbered(item.name) for item, _ in self.deployments_of(model, version)}
        if found:
            places = ", ".join(sorted(found))
            raise failed_precondition(
                f"The Model is deployed or being deployed at the following Endpoint(s): {places}. "
                "Please undeploy the model before retry."
            )

    def etag(self) -> str:
        self._changes += 1
        return base64.b64encode(b"AMEw9y" + self._changes.to_bytes(6, "big")).decode()

    def touch(self, endpoint: Endpoint) -> None:
        endpoint.info["updateTime"] = self.cloud.clock.rfc3339()
        endpoint.info["etag"] = self.etag()

    def scale(
        self, endpoint: Endpoint, deployment: Deployment, replicas: int | None = None
    ) -> None:
        """Replicas from now on; unless given, those that there are, within what is allowed."""
        if replicas is None:
            shared = deployment.info.get("sharedResources")
            resources = self.machines(deployment)
            least, most = resources["minReplicaCount"], resources["maxReplicaCount"]
            replicas = least if shared else min(max(deployment.scaling.replicas, least), most)
        now = self.cloud.clock.now()
        deployment.scaling = Scaling(followed=now)
        self.scaling(endpoint, deployment, now, replicas, replicas)

    def scaling(
        self, endpoint: Endpoint, deployment: Deployment, time: float, replicas: int, target: int
    ) -> None:
        """Note how many replicas there are from `time` on, and how many are asked for."""
        deployment.scaling.replicas, deployment.scaling.target = replicas, target
        deployed_id, names = deployment.info["id"], display_names(endpoint, deployment)
        spot = bool(self.machines(deployment).get("spot"))
        self.scaled.append(Scaled(time, endpoint.name, deployed_id, names, replicas, target, spot))

    def machines(self, deployment: Deployment) -> dict[str, Any]:
        """The DedicatedResources of a deployed model, or of the pool that it is on."""
        shared = deployment.info.get("sharedResources")
        holder = self.pools[self.normal(shared)].info if shared else deployment.info
        found: dict[str, Any] = holder["dedicatedResources"]
        return found

    def live(self) -> dict[str, list[str]]:
        deployed = [f"{e.name}/{key}" for e in self.endpoints.values() for key in e.deployed]
        return {
            "models": sorted(self.models),
            "endpoints": sorted(self.endpoints),
            "deployedModels": sorted(deployed),
            "deploymentResourcePools": sorted(self.pools),
            "modelDeploymentMonitoringJobs": sorted(self.monitors),
        }


def display_names(endpoint: Endpoint, deployment: Deployment) -> tuple[str, str]:
    """Of the model and of the endpoint, as metrics are labelled."""
    return deployment.info["displayName"], endpoint.info["displayName"]


def in_region(call: Call, name: str) -> str:
    """`name`, when the host that was asked serves its location."""
    location = name.split("/")[3]
    if location not in REGIONS or location in WITHOUT_VERTEX:
        raise invalid(f"Location {location} is not found or access is unauthorized.")
    prefix, found, _ = call.host.partition("-aiplatform.")
    prefix = prefix.removesuffix("-prediction")
    if found and prefix != location:
        raise invalid(
            "List of found errors:\t1.Field: name; Message: The provided location ID doesn't "
            f"match the endpoint. The valid location ID is `{prefix}`.\t"
        )
    return name


def on_parent(call: Call) -> str:
    return in_region(call, call.params["parent"])


def on_name(call: Call) -> str:
    """The resource in `name`; a model's version is no resource of its own."""
    return in_region(call, call.params["name"].partition("@")[0])


def location_of(name: str) -> str:
    """`projects/P/locations/L` of anything below it."""
    return "/".join(name.split("/")[:4])


def region_of(name: str) -> str:
    return name.split("/")[3]


def project_of(name: str) -> str:
    return name.split("/")[1]


def require_key(call: Call, spec: dict[str, Any] | None, name: str) -> None:
    """That the service agent can use the key that is to encrypt `name`.

    docs vertex-ai/docs/general/cmek: a key of the same region, and the role of an encrypter and
    decrypter on it for the agent. When Google looks, and how it refuses, is not recorded; the
    denial is IAM's own, and of a key that is disabled these are Cloud KMS's words.
    """
    if not spec:
        return
    key, cloud = call.cloud[Vertex].normal(spec["kmsKeyName"]), call.cloud
    if region_of(key) != region_of(name):
        raise invalid(f"The key {key} is not in {region_of(name)}.")
    cloud[Kms].check_use(cloud[Accounts].create_agent("aiplatform", project_of(name)), key)


def update_paths(mask: str | None) -> set[str]:
    """The paths of an update mask; 400 without any."""
    paths = mask_paths(mask)
    if not paths:
        raise invalid("List of found errors:\t1.Field: update_mask; Message: Required.\t")
    return paths


def apply_mask(
    info: dict[str, Any], body: dict[str, Any], mask: str | None, mutable: Iterable[str]
) -> None:
    """Copy what the mask names from `body`; what the body lacks is cleared."""
    paths = update_paths(mask)
    if "*" in paths:
        paths = set(mutable)
    for path in sorted(paths):
        if path.partition(".")[0] not in mutable:
            raise invalid(f"The field `{path}` cannot be updated.")
    copy_paths(info, body, paths)


def listed(
    call: Call, field_name: str, items: list[dict[str, Any]], id_field: str
) -> dict[str, Any]:
    """A page of resources by `filter`, `orderBy` and `readMask`."""
    params = call.params
    chosen = [item for item in items if _matches(params.get("filter", ""), item, id_field)]
    for part in reversed((params.get("orderBy") or "create_time desc").split(",")):
        order, _, direction = part.strip().partition(" ")
        if order not in ORDERS:
            raise invalid(f"Invalid order_by: {part.strip()}")
        chosen.sort(key=lambda item: str(item.get(ORDERS[order], "")), reverse=direction == "desc")
    if paths := mask_paths(params.get("readMask")):
        fields = ",".join(path.replace(".", "/") for path in sorted(paths))
        chosen = [masked(item, fields) for item in chosen]
    keyed = {f"{position:09}": item for position, item in enumerate(chosen)}
    return listing(field_name, keyed, params, default=100, most=100)


def _matches(expression: str, item: dict[str, Any], id_field: str) -> bool:
    """The filters that the discovery document describes: equality, and label existence."""
    labels = item.get("labels", {})
    for term in re.split(r"\s+AND\s+", expression) if expression.strip() else ():
        found = TERM.fullmatch(term)
        if found is None:
            raise invalid(f"Invalid filter: {term}")
        name, sign, value = found["field"], found["sign"], found["value"].strip("\"'")
        if name == "labels" and sign == ":":
            holds = value in labels
        elif name.startswith("labels."):
            key = name.removeprefix("labels.").strip('"')
            holds = key in labels if sign == ":" and value == "*" else labels.get(key) == value
        elif name in ("display_name", "displayName"):
            holds = item["displayName"] == value
        elif name == id_field:
            holds = item["name"].rpartition("/")[2] == value
        elif name in ("base_model_name", "baseModelName"):
            raise unimplemented(f"The filter field {name}")
        else:
            raise invalid(f"Invalid filter field: {name}")
        if holds is (sign == "!="):
            return False
    return True
