"""Long-running operations of Vertex AI and who may follow them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from simulator.api.calls import Call, Methods, Result
from simulator.api.operations import Operations
from simulator.api.pages import listing
from simulator.services.vertex.state import Vertex, in_region, location_of

method = Methods()

POOLS, JOBS = "deploymentResourcePools", "modelDeploymentMonitoringJobs"
# What started it -> permission to get and wait for the operation, to cancel it, to delete it.
# gcp-facts/01_method_permissions.md; there is no aiplatform.operations.get. Deploying's row also
# serves mutateDeployedModel, and the model's delete row its versions (inferences).
RIGHTS = {
    "CreateEndpoint": ("endpoints.get", "endpoints.update", "endpoints.update"),
    "DeleteEndpoint": ("endpoints.get", "endpoints.delete", "endpoints.update"),
    "DeployModel": ("endpoints.get", "endpoints.deploy", "endpoints.update"),
    "MutateDeployedModel": ("endpoints.get", "endpoints.deploy", "endpoints.update"),
    "UndeployModel": ("endpoints.get", "endpoints.undeploy", "endpoints.update"),
    # Of pools nothing is documented; these are by analogy.
    "CreateDeploymentResourcePool": (f"{POOLS}.get", f"{POOLS}.update", f"{POOLS}.update"),
    "UpdateDeploymentResourcePool": (f"{POOLS}.get", f"{POOLS}.update", f"{POOLS}.update"),
    "DeleteDeploymentResourcePool": (f"{POOLS}.get", f"{POOLS}.delete", f"{POOLS}.update"),
    "UploadModel": ("models.get", "models.update", "models.get"),
    "DeleteModel": ("models.get", "models.delete", "models.get"),
    "DeleteModelVersion": ("models.get", "models.delete", "models.get"),
    # Google's page names permissions of indexes for the delete, which seems to be a slip.
    "UpdateModelDeploymentMonitoringJob": (f"{JOBS}.get", f"{JOBS}.update", f"{JOBS}.update"),
    "DeleteModelDeploymentMonitoringJob": (f"{JOBS}.get", f"{JOBS}.delete", f"{JOBS}.update"),
}
GET, CANCEL, DELETE = range(3)
# Operations that outlive the resource they are about are named after its location.
DELETING = (
    "DeleteDeploymentResourcePool",
    "DeleteEndpoint",
    "DeleteModel",
    "DeleteModelDeploymentMonitoringJob",
    "DeleteModelVersion",
)
PLACES = ("", "endpoints.", "models.", f"{POOLS}.", f"{JOBS}.")


def start(
    call: Call,
    kind: str,
    target: str,
    run: Callable[[], dict[str, Any]],
    response: str = "",
) -> dict[str, Any]:
    """Start an operation of one of the kinds in RIGHTS about the resource `target`.

    `run` does the work once the operation is due; `response` names the message it returns.
    """
    cloud, vertex = call.cloud, call.cloud[Vertex]
    types = f"type.googleapis.com/google.cloud.aiplatform.{call.method.version}"
    parent = location_of(target) if kind in DELETING else target
    name = f"{parent}/operations/{cloud.unique_id()}"
    vertex.started[name] = (kind, target)
    now = cloud.clock.rfc3339()
    times = {"createTime": now, "updateTime": now}
    metadata = "Delete" if kind in DELETING else kind
    answer_type = f"{types}.{response}" if response else "type.googleapis.com/google.protobuf.Empty"

    def finish() -> dict[str, Any]:
        times["updateTime"] = cloud.clock.rfc3339()
        return {"@type": answer_type, **run()}

    return cloud[Operations].start(
        vertex.numbered(name),
        metadata={"@type": f"{types}.{metadata}OperationMetadata", "genericMetadata": times},
        run=finish,
    )


def _ids(verb: str) -> list[str]:
    return [f"aiplatform.projects.locations.{place}operations.{verb}" for place in PLACES]


def _on_target(call: Call) -> str:
    """What the operation is about; its parent when there is no such operation."""
    name = in_region(call, call.params["name"])
    started = call.cloud[Vertex].started.get(name)
    return started[1] if started else name.rpartition("/operations/")[0]


def _check(call: Call, right: int) -> str:
    """The operation's own name, once the caller may do this to it."""
    name = call.params["name"]
    started = call.cloud[Vertex].started.get(name)
    if started:
        permission = RIGHTS[started[0]][right]
    else:
        collection = call.resource.split("/")[-2]
        permission = "operations.list" if collection == "locations" else f"{collection}.get"
    call.check(f"aiplatform.{permission}", call.resource)
    return call.cloud[Vertex].numbered(name)


# permission=None below: which one is checked depends on what the operation does.


@method(*_ids("get"), *_ids("wait"), permission=None, on=_on_target)
def get_operation(call: Call) -> Result:
    """`wait` may return before the operation is done, and here always does at once."""
    return call.cloud[Operations].get(_check(call, GET))


@method(*_ids("cancel"), permission=None, on=_on_target)
def cancel_operation(call: Call) -> Result:
    """Cancelling is best effort at Google; here it never succeeds."""
    call.cloud[Operations].get(_check(call, CANCEL))
    return {}


@method(*_ids("delete"), permission=None, on=_on_target)
def delete_operation(call: Call) -> Result:
    call.cloud[Operations].delete(_check(call, DELETE))
    del call.cloud[Vertex].started[call.params["name"]]
    return {}


@method(
    *_ids("list"),
    permission="aiplatform.operations.list",
    on=lambda call: in_region(call, call.params["name"]),
    reads="pageSize pageToken",
)
def list_operations(call: Call) -> Result:
    prefix = f"{call.cloud[Vertex].numbered(call.resource)}/operations/"
    found = {operation["name"]: operation for operation in call.cloud[Operations].list(prefix)}
    return listing("operations", found, call.params, default=100, most=100)
