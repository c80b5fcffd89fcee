"""Deployment resource pools: machines that the deployed models of several endpoints share.

The permission of `patch` is the one whose name fits (an inference, gcp-facts/01).
"""

from __future__ import annotations

import re
from typing import Any

from simulator.api.calls import Call, Methods, Result
from simulator.api.errors import already_exists, failed_precondition, invalid
from simulator.api.pages import listing
from simulator.iam.decisions import Iam
from simulator.services.vertex.models import account_resource
from simulator.services.vertex.operations import start
from simulator.services.vertex.resources import (
    MUTABLE_REPLICAS,
    charged,
    check_quota,
    merged,
    sized,
)
from simulator.services.vertex.state import (
    Pool,
    Vertex,
    in_region,
    location_of,
    on_name,
    on_parent,
    require_key,
    update_paths,
)

method = Methods()

METHODS = "aiplatform.projects.locations.deploymentResourcePools"
PERMISSIONS = "aiplatform.deploymentResourcePools"
# Discovery document, `deploymentResourcePoolId`.
ID = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
CREATED = ("encryptionSpec", "serviceAccount", "disableContainerLogging")


def shown(call: Call, pool: Pool) -> dict[str, Any]:
    return {"name": call.cloud[Vertex].numbered(pool.name), **pool.info}


@method(f"{METHODS}.create", permission=f"{PERMISSIONS}.create", on=on_parent)
def create(call: Call) -> Result:
    """That a service account is to be acted as is checked when a model is deployed on the pool."""
    vertex, given = call.cloud[Vertex], call.body.get("deploymentResourcePool", {})
    pool_id = call.body.get("deploymentResourcePoolId", "")
    if not ID.fullmatch(pool_id):
        raise invalid(f"Invalid deployment resource pool ID: {pool_id}")
    name = f"{call.resource}/deploymentResourcePools/{pool_id}"
    if name in vertex.pools or name in vertex.reserved:
        raise already_exists(f"DeploymentResourcePool `{vertex.numbered(name)}` already exists.")
    resources = sized(dict(given.get("dedicatedResources", {})))
    check_quota(call, name, charged(resources))
    vertex.reserved.add(name)

    def run() -> dict[str, Any]:
        vertex.reserved.discard(name)
        require_key(call, given.get("encryptionSpec"), name)
        info = {"dedicatedResources": resources, "createTime": call.cloud.clock.rfc3339()}
        info |= {key: given[key] for key in CREATED if given.get(key)}
        pool = vertex.pools[name] = Pool(name, info, charged(resources))
        return shown(call, pool)

    return start(call, "CreateDeploymentResourcePool", name, run, "DeploymentResourcePool")


@method(f"{METHODS}.get", permission=f"{PERMISSIONS}.get", on=on_name)
def get(call: Call) -> Result:
    return shown(call, call.cloud[Vertex].pool(call.resource))


@method(
    f"{METHODS}.list", permission=f"{PERMISSIONS}.list", on=on_parent, reads="pageSize pageToken"
)
def list_pools(call: Call) -> Result:
    pools = call.cloud[Vertex].pools
    found = {name: shown(call, pools[name]) for name in pools if location_of(name) == call.resource}
    return listing("deploymentResourcePools", found, call.params, default=100, most=1000)


@method(f"{METHODS}.patch", permission=f"{PERMISSIONS}.update", on=on_name, reads="updateMask")
def patch(call: Call) -> Result:
    """Replicas and their metrics, as of a deployed model, the account and its logging."""
    vertex, pool = call.cloud[Vertex], call.cloud[Vertex].pool(call.resource)
    paths, changes, flags = update_paths(call.params.get("updateMask")), {}, {}
    given = call.body.get("dedicatedResources", {})
    for path in paths:
        name = path.removeprefix("dedicatedResources.")
        if name in MUTABLE_REPLICAS:
            changes[name] = given.get(name)
        elif path == "dedicatedResources":
            changes |= {key: given.get(key) for key in MUTABLE_REPLICAS}
        elif path in CREATED[1:]:
            flags[path] = call.body.get(path)
        else:
            raise invalid(f"The field `{path}` of a DeploymentResourcePool cannot be updated.")
    resources = sized(merged(pool.info["dedicatedResources"], changes))
    check_quota(call, pool.name, charged(resources), freed=pool.charged)
    if email := flags.get("serviceAccount"):
        call.check("iam.serviceAccounts.actAs", account_resource(call, email))

    def run() -> dict[str, Any]:
        info = pool.info | {"dedicatedResources": resources} | flags
        pool.info = {key: value for key, value in info.items() if value}
        pool.charged = charged(resources)
        for endpoint, deployment in vertex.on_pool(pool.name):
            vertex.scale(endpoint, deployment)
        return shown(call, pool)

    kind = "UpdateDeploymentResourcePool"
    return start(call, kind, pool.name, run, "DeploymentResourcePool")


@method(f"{METHODS}.delete", permission=f"{PERMISSIONS}.delete", on=on_name)
def delete(call: Call) -> Result:
    vertex, pool = call.cloud[Vertex], call.cloud[Vertex].pool(call.resource)
    _check_empty(call, pool)

    def run() -> dict[str, Any]:
        _check_empty(call, pool)
        vertex.pools.pop(pool.name, None)
        call.cloud[Iam].forget(pool.name)
        return {}

    return start(call, "DeleteDeploymentResourcePool", pool.name, run)


def _check_empty(call: Call, pool: Pool) -> None:
    """That it is refused, and how, is inferred from endpoints."""
    if found := call.cloud[Vertex].on_pool(pool.name):
        deployed = ", ".join(item.info["id"] for _, item in found)
        raise failed_precondition(f"The DeploymentResourcePool has DeployedModel(s): {deployed}")


def _on_pool(call: Call) -> str:
    return in_region(call, call.params["deploymentResourcePool"])


@method(
    f"{METHODS}.queryDeployedModels",
    permission=f"{PERMISSIONS}.queryDeployedModels",
    on=_on_pool,
    reads="pageSize pageToken",
)
def query_deployed_models(call: Call) -> Result:
    vertex = call.cloud[Vertex]
    found = vertex.on_pool(vertex.pool(call.resource).name)
    references = {
        f"{endpoint.name}/{item.info['id']}": {
            "endpoint": vertex.numbered(endpoint.name),
            "deployedModelId": item.info["id"],
        }
        for endpoint, item in found
    }
    listed = listing("deployedModelRefs", references, call.params, default=100, most=1000)
    if not found:
        return listed
    return {
        **listed,
        "totalDeployedModelCount": len(found),
        "totalEndpointCount": len({endpoint.name for endpoint, _ in found}),
    }
