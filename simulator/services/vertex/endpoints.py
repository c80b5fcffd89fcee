"""Endpoints and their allow policies."""

from __future__ import annotations

import re
from copy import deepcopy
from random import Random
from typing import Any

from simulator.api.calls import Call, Methods, Result
from simulator.api.errors import aborted, already_exists, failed_precondition, invalid
from simulator.api.operations import Operations
from simulator.core.platform import Containers
from simulator.iam import allowpolicies
from simulator.iam.decisions import Iam
from simulator.services.vertex.operations import start
from simulator.services.vertex.predictions import check_logging, dedicated_dns
from simulator.services.vertex.resources import check_endpoints
from simulator.services.vertex.state import (
    LIST,
    Endpoint,
    Vertex,
    apply_mask,
    in_region,
    listed,
    location_of,
    on_name,
    on_parent,
    project_of,
    require_key,
)
from simulator.services.vertex.watching import on_endpoint

method = Methods()

# Discovery document, `endpointId`; it gives numbers 9 digits, the official provider 10.
ENDPOINT_ID = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?|[1-9][0-9]{0,9}")
LOGGING = "predictRequestResponseLoggingConfig"
# Whether dedicatedEndpointEnabled changes in place is not known; the official provider patches it.
# Of the logging of dedicated endpoints Google's pages say both, so it is patched like the others'.
MUTABLE = ("displayName", "description", "labels", LOGGING, "dedicatedEndpointEnabled")
# How it is reached "can't be changed" later (docs vertex-ai/docs/predictions/
# private-service-connect), nor is its name free at once; both of private endpoints alone.
PRIVATE = "privateServiceConnectConfig"
CREATED = (*MUTABLE, "encryptionSpec", PRIVATE)
KEPT_SECONDS = 7 * 24 * 3600
ALLOWLISTS = 10


def shown(call: Call, endpoint: Endpoint) -> dict[str, Any]:
    answer: dict[str, Any] = {"name": call.cloud[Vertex].numbered(endpoint.name), **endpoint.info}
    private = attachment(call, endpoint)
    if deployed := [item.info | private for item in endpoint.serving().values()]:
        answer["deployedModels"] = deployed
    if endpoint.traffic:
        answer["trafficSplit"] = dict(endpoint.traffic)
    if endpoint.info.get("dedicatedEndpointEnabled"):
        answer["dedicatedEndpointDns"] = dedicated_dns(call, endpoint.name)
    return answer


def is_private(info: dict[str, Any]) -> bool:
    return bool(info.get(PRIVATE, {}).get("enablePrivateServiceConnect"))


def attachment(call: Call, endpoint: Endpoint) -> dict[str, Any]:
    """What a model on a private endpoint is shown with; how Google calls it is inferred."""
    if not is_private(endpoint.info):
        return {}
    project, location, id = endpoint.name.split("/")[1::2]
    number = call.cloud[Containers].number(project)
    name = f"projects/{number}-tp/regions/{location}/serviceAttachments/gkedpm-{id}"
    return {"privateEndpoints": {"serviceAttachment": name}}


def _check_private(call: Call, name: str) -> None:
    """Google's own words for these were not found."""
    vertex, info = call.cloud[Vertex], call.body
    if vertex.kept.get(name, 0) > call.cloud.clock.now():
        raise already_exists(
            f"Endpoint `{vertex.numbered(name)}` was deleted less than 7 days ago."
        )
    if not is_private(info):
        return
    if info.get("dedicatedEndpointEnabled"):
        raise invalid("A dedicated endpoint cannot have a private_service_connect_config.")
    lists = {
        frozenset(it.info[PRIVATE].get("projectAllowlist", ()))
        for it in vertex.endpoints.values()
        if is_private(it.info) and project_of(it.name) == project_of(name)
    }
    if len(lists | {frozenset(info[PRIVATE].get("projectAllowlist", ()))}) > ALLOWLISTS:
        raise failed_precondition(
            f"A project has endpoints with {ALLOWLISTS} different project_allowlists at most."
        )


def checked_split(split: dict[str, Any], known: set[str]) -> dict[str, int]:
    """A traffic split: over deployed models only, adding up to 100, or empty."""
    shares = {key: int(value) for key, value in split.items()}
    for key in shares.keys() - known:
        raise invalid(f"traffic_split refers to {key}, which is not deployed to the endpoint.")
    if shares and (sum(shares.values()) != 100 or min(shares.values()) < 0):
        raise invalid(f"The traffic percentages must add up to 100, not to {sum(shares.values())}.")
    return shares


def _check_texts(info: dict[str, Any]) -> None:
    if not 0 < len(info.get("displayName", "")) <= 128:
        raise invalid("An endpoint needs a display_name of 1 to 128 characters.")
    check_logging(info.get(LOGGING, {}))


@method(
    "aiplatform.projects.locations.endpoints.create",
    permission="aiplatform.endpoints.create",
    on=on_parent,
    reads="endpointId",
)
def create(call: Call) -> Result:
    vertex, given = call.cloud[Vertex], call.params.get("endpointId")
    if given and not ENDPOINT_ID.fullmatch(given):
        raise invalid(f"Invalid endpoint ID: {given}")
    _check_texts(call.body)
    checked_split(call.body.get("trafficSplit", {}), set())
    name = f"{call.resource}/endpoints/{given or call.cloud.unique_id()}"
    if name in vertex.endpoints or name in vertex.reserved:
        raise already_exists(f"Endpoint `{vertex.numbered(name)}` already exists.")
    _check_private(call, name)
    check_endpoints(call, call.resource)
    vertex.reserved.add(name)
    now = call.cloud.clock.rfc3339()

    def run() -> dict[str, Any]:
        vertex.reserved.discard(name)
        call.cloud[Operations].falter()
        require_key(call, call.body.get("encryptionSpec"), name)
        info = {key: call.body[key] for key in CREATED if call.body.get(key)}
        info |= {"createTime": now, "updateTime": now, "etag": vertex.etag()}
        endpoint = vertex.endpoints[name] = Endpoint(name, info, Random(name))
        return shown(call, endpoint)

    return start(call, "CreateEndpoint", name, run, "Endpoint")


@method(
    "aiplatform.projects.locations.endpoints.get",
    permission="aiplatform.endpoints.get",
    on=on_name,
)
def get(call: Call) -> Result:
    return shown(call, call.cloud[Vertex].endpoint(call.resource))


@method(
    "aiplatform.projects.locations.endpoints.list",
    permission="aiplatform.endpoints.list",
    on=on_parent,
    reads=LIST,
)
def list_endpoints(call: Call) -> Result:
    found = [
        shown(call, endpoint)
        for name, endpoint in call.cloud[Vertex].endpoints.items()
        if location_of(name) == call.resource
    ]
    return listed(call, "endpoints", found, "endpoint")


@method(
    "aiplatform.projects.locations.endpoints.patch",
    permission="aiplatform.endpoints.update",
    on=on_name,
    reads="updateMask",
)
def patch(call: Call) -> Result:
    """The mask alone says what changes: the official provider sends the whole body with it."""
    vertex, body = call.cloud[Vertex], call.body
    endpoint = vertex.endpoint(call.resource)
    if body.get("etag", endpoint.info["etag"]) != endpoint.info["etag"]:
        raise aborted("The endpoint changed since this etag was read.")
    info = deepcopy(endpoint.info) | {"trafficSplit": endpoint.traffic}
    apply_mask(info, body, call.params.get("updateMask"), (*MUTABLE, "trafficSplit"))
    traffic = checked_split(info.pop("trafficSplit", {}), set(endpoint.serving()))
    _check_texts(info)
    if info.get(LOGGING) != endpoint.info.get(LOGGING) and on_endpoint(call.cloud, endpoint.name):
        # docs vertex-ai/docs/predictions/online-prediction-logging, "Request-response logging and
        # Model Monitoring v1": it can neither be enabled nor changed. The words are ours.
        raise failed_precondition(
            "The request-response logging of an endpoint with a model deployment monitoring job "
            "cannot be changed."
        )
    endpoint.info, endpoint.traffic = info, traffic
    vertex.touch(endpoint)
    return shown(call, endpoint)


@method(
    "aiplatform.projects.locations.endpoints.delete",
    permission="aiplatform.endpoints.delete",
    on=on_name,
)
def delete(call: Call) -> Result:
    vertex, endpoint = call.cloud[Vertex], call.cloud[Vertex].endpoint(call.resource)
    _check_empty(endpoint)

    def run() -> dict[str, Any]:
        call.cloud[Operations].falter()
        _check_empty(endpoint)
        vertex.endpoints.pop(endpoint.name, None)
        if is_private(endpoint.info):
            vertex.kept[endpoint.name] = call.cloud.clock.now() + KEPT_SECONDS
        call.cloud[Iam].forget(endpoint.name)
        return {}

    return start(call, "DeleteEndpoint", endpoint.name, run)


def _check_empty(endpoint: Endpoint) -> None:
    if endpoint.deployed:
        # Google's own words, recorded in several public repositories: they name no model.
        raise failed_precondition("Endpoint has deployed or being-deployed DeployedModel(s)")


# Allow policies: v1beta1 only, by the discovery documents.


def _on_resource(call: Call) -> str:
    return in_region(call, call.params["resource"])


def _require(call: Call, name: str) -> object:
    return call.cloud[Vertex].endpoint(name)


allowpolicies.register(
    method,
    "aiplatform.projects.locations.endpoints",
    "aiplatform.endpoints",
    _require,
    on=_on_resource,
    test_reads="permissions",
)
