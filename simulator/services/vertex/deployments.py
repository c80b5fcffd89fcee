"""Deploying models to endpoints: deployModel, undeployModel, mutateDeployedModel."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

from simulator.api.calls import Call, Guard, Methods, Result
from simulator.api.errors import ApiError, already_exists, failed_precondition, invalid, not_found
from simulator.api.operations import Operations
from simulator.core.principal import Principal
from simulator.identity.accounts import Accounts
from simulator.services.storage.state import Storage
from simulator.services.vertex.containers import Predictor
from simulator.services.vertex.endpoints import checked_split
from simulator.services.vertex.models import account_resource
from simulator.services.vertex.operations import start
from simulator.services.vertex.resources import (
    MUTABLE_REPLICAS,
    charged,
    check_quota,
    merged,
    sized,
)
from simulator.services.vertex.scaling import follow
from simulator.services.vertex.state import (
    Deployment,
    Endpoint,
    Pool,
    Vertex,
    in_region,
    location_of,
    project_of,
    region_of,
    require_key,
    update_paths,
)

method = Methods()

DEPLOYED_ID = re.compile(r"[0-9]{1,10}")
RESOURCES = ("dedicatedResources", "automaticResources", "sharedResources")
KEPT = (
    *("displayName", "serviceAccount", "disableContainerLogging", "disableExplanations"),
    "enableAccessLogging",
)
MUTABLE_FLAGS = ("disableContainerLogging",)


def _on_endpoint(call: Call) -> str:
    return in_region(call, call.params["endpoint"])


def _resources(
    call: Call, endpoint: Endpoint, given: dict[str, Any], model: str
) -> tuple[dict[str, Any], Pool | None]:
    """What the deployed model's resources are to be, Google's defaults filled in, or whose."""
    chosen = [name for name in RESOURCES if given.get(name)]
    if chosen == ["automaticResources"]:
        raise invalid(f"'automatic_resources' is not supported for Model {model}.")
    if chosen == ["sharedResources"]:
        pool = _pool(call, endpoint, given["sharedResources"])
        return {"sharedResources": call.cloud[Vertex].numbered(pool.name)}, pool
    if chosen != ["dedicatedResources"]:
        raise invalid("Exactly one kind of prediction resources must be set.")
    return {"dedicatedResources": sized(dict(given["dedicatedResources"]))}, None


def _pool(call: Call, endpoint: Endpoint, reference: str) -> Pool:
    """The pool, in whose place and with whose key the endpoint has to be (discovery document; the
    words are ours)."""
    pool = call.cloud[Vertex].pool(call.cloud[Vertex].normal(reference))
    if location_of(pool.name) != location_of(endpoint.name):
        raise invalid("The DeploymentResourcePool and the Endpoint must be in one location.")
    if pool.info.get("encryptionSpec") != endpoint.info.get("encryptionSpec"):
        raise invalid("The DeploymentResourcePool and the Endpoint must have one encryption_spec.")
    return pool


def _deployed_id(call: Call, endpoint: Endpoint, given: str | None) -> str:
    if given and not DEPLOYED_ID.fullmatch(given):
        raise invalid(f"The DeployedModel ID {given} must be 1 to 10 digits.")
    if given in endpoint.deployed:
        raise already_exists(f"DeployedModel {given} already exists in the endpoint.")
    return given or call.cloud.unique_id()


@method(
    "aiplatform.projects.locations.endpoints.deployModel",
    permission="aiplatform.endpoints.deploy",
    on=_on_endpoint,
)
def deploy_model(call: Call) -> Result:
    """Checks the request; whether the artifact can be read and loaded shows in the operation."""
    cloud, vertex = call.cloud, call.cloud[Vertex]
    endpoint, given = vertex.endpoint(call.resource), call.body.get("deployedModel", {})
    model, version, image, uri = _model(call, given.get("model", ""))
    resources, pool = _resources(call, endpoint, given, vertex.numbered(model))
    for spec in (endpoint.info, vertex.models[model].versions[version]):
        require_key(call, spec.get("encryptionSpec"), endpoint.name)
    deployed_id = _deployed_id(call, endpoint, given.get("id"))
    split = call.body.get("trafficSplit", {})
    checked_split(split, {*endpoint.serving(), "0"})
    email = pool.info.get("serviceAccount") if pool else given.get("serviceAccount")
    if email:
        call.check("iam.serviceAccounts.actAs", account_resource(call, email))
    # A pool's machines are counted where they are, once.
    size = Counter() if pool else charged(resources["dedicatedResources"])
    check_quota(call, endpoint.name, size)
    agent = cloud[Accounts].create_agent("aiplatform", project_of(endpoint.name))
    info = {
        "id": deployed_id,
        "model": vertex.numbered(model),
        "modelVersionId": version,
        "createTime": cloud.clock.rfc3339(),
        "displayName": vertex.models[model].versions[version]["displayName"],
        **resources,
        **{key: given[key] for key in KEPT if given.get(key)},
    }
    deployment = Deployment(info, model, version, size)
    endpoint.deployed[deployed_id] = deployment

    def run() -> dict[str, Any]:
        try:
            cloud[Operations].falter()
            predictor = _container(call, uri, image, agent, email)
            known = {*endpoint.serving(), "0"}
            shares = checked_split(split, known)
        except ApiError:
            del endpoint.deployed[deployed_id]
            raise
        deployment.predictor = predictor
        vertex.scale(endpoint, deployment)
        if shares:
            endpoint.traffic = {deployed_id if k == "0" else k: v for k, v in shares.items()}
        vertex.touch(endpoint)
        return {"deployedModel": info}

    return start(call, "DeployModel", endpoint.name, run, "DeployModelResponse")


def _model(call: Call, reference: str) -> tuple[str, str, str, str]:
    """Name, version, image and artifact of the model to deploy.

    That the caller needs aiplatform.models.get on it is an inference: the documentation lists that
    permission for reading the model only, and says nothing of what deployModel reads.
    """
    vertex = call.cloud[Vertex]
    name = vertex.normal(reference)
    resource = name.partition("@")[0]
    if "/models/" not in resource:
        raise invalid(f"Invalid resource name: {reference}")
    call.check("aiplatform.models.get", resource)
    model, version = vertex.model(name)
    here, there = region_of(call.resource), region_of(resource)
    if here != there:
        # endpoint.proto allows this, users report that it fails; Google's text is not recorded.
        raise invalid(f"The model is in {there}. Deploying it to an endpoint in {here} fails.")
    info = model.versions[version]
    return model.name, version, info["containerSpec"]["imageUri"], info.get("artifactUri", "")


def _container(call: Call, uri: str, image: str, agent: Principal, email: str | None) -> Predictor:
    """Start the container: the artifact is read by the service agent, then by who it runs as."""
    cloud = call.cloud
    files = cloud[Storage].read(uri, agent) if uri else {}
    if email:
        resource = account_resource(call, email)
        if not cloud[Accounts].usable(email):
            raise failed_precondition(f"Service account {email} does not exist or is disabled.")
        # On an account of its own project the agent's role confers this (gcp-facts/01, "Custom
        # prediction SA"); the text is IAM's own.
        cloud[Guard].check(agent, "iam.serviceAccounts.getAccessToken", resource)
        if uri:
            files = cloud[Storage].read(uri, Principal(f"serviceAccount:{email}"))
    return Predictor.load(files, uri, image)


def _deployment(endpoint: Endpoint, deployed_id: str) -> Deployment:
    deployment = endpoint.serving().get(deployed_id)
    if deployment is None:
        raise not_found(f"DeployedModel {deployed_id} is not deployed to the endpoint.")
    return deployment


@method(
    "aiplatform.projects.locations.endpoints.undeployModel",
    permission="aiplatform.endpoints.undeploy",
    on=_on_endpoint,
)
def undeploy_model(call: Call) -> Result:
    """endpoint_service.proto, UndeployModelRequest: only a model without traffic leaves."""
    vertex, endpoint = call.cloud[Vertex], call.cloud[Vertex].endpoint(call.resource)
    deployed_id = call.body.get("deployedModelId", "")
    split = call.body.get("trafficSplit", {})
    _deployment(endpoint, deployed_id)
    _remaining(endpoint, deployed_id, split)

    def run() -> dict[str, Any]:
        call.cloud[Operations].falter()
        deployment = _deployment(endpoint, deployed_id)
        endpoint.traffic = _remaining(endpoint, deployed_id, split)
        follow(call.cloud)
        del endpoint.deployed[deployed_id]
        vertex.scale(endpoint, deployment, 0)
        vertex.touch(endpoint)
        return {}

    return start(call, "UndeployModel", endpoint.name, run, "UndeployModelResponse")


def _remaining(endpoint: Endpoint, deployed_id: str, split: dict[str, Any]) -> dict[str, int]:
    """The traffic split once the model is gone."""
    serving = set(endpoint.serving())
    if serving == {deployed_id}:
        return {}
    shares = checked_split(split, serving) or dict(endpoint.traffic)
    if shares.pop(deployed_id, 0):
        raise failed_precondition(
            f"DeployedModel {deployed_id} still has traffic. Move it to other models, before or "
            "with traffic_split in this request."
        )
    return shares


# An inference from the sibling indexEndpoints.mutateDeployedIndex (gcp-facts/01).
@method(
    "aiplatform.projects.locations.endpoints.mutateDeployedModel",
    permission="aiplatform.endpoints.deploy",
    on=_on_endpoint,
)
def mutate_deployed_model(call: Call) -> Result:
    vertex, endpoint = call.cloud[Vertex], call.cloud[Vertex].endpoint(call.resource)
    given = call.body.get("deployedModel", {})
    deployment = _deployment(endpoint, given.get("id", ""))
    paths = update_paths(call.body.get("updateMask"))
    changes, flags = {}, {}
    for path in paths:
        name = path.removeprefix("dedicatedResources.")
        if name in MUTABLE_REPLICAS:
            changes[name] = given.get("dedicatedResources", {}).get(name)
        elif name in MUTABLE_FLAGS and name == path:
            flags[name] = given.get(name, False)
        else:
            raise invalid(f"The field `{path}` of a DeployedModel cannot be mutated.")
    if "sharedResources" in deployment.info:
        raise invalid(
            "A DeployedModel on a DeploymentResourcePool cannot be mutated; patch the pool."
        )
    resources = sized(merged(deployment.info["dedicatedResources"], changes))
    check_quota(call, endpoint.name, charged(resources), freed=deployment.charged)
    deployment.charged |= charged(resources)  # of each the larger

    def run() -> dict[str, Any]:
        _deployment(endpoint, deployment.info["id"])
        follow(call.cloud)
        deployment.info |= {"dedicatedResources": resources, **flags}
        deployment.charged = charged(resources)
        vertex.scale(endpoint, deployment)
        vertex.touch(endpoint)
        return {"deployedModel": deployment.info}

    return start(call, "MutateDeployedModel", endpoint.name, run, "MutateDeployedModelResponse")
