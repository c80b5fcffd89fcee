"""Model Monitoring v1: modelDeploymentMonitoringJobs, which watch what endpoints are asked.

docs vertex-ai/docs/model-monitoring/using-model-monitoring: when a job runs, what it writes to
Cloud Logging, that it is paused before it is deleted, and that without a schema it stays pending
for 1,000 requests. Permissions: gcp-facts/01_method_permissions.md; of the operation of a delete
the page names those of indexes, here they are the job's own. Inferred: windows follow each other
from the job's creation; drift is against the last window in which there were requests; a deployed
model that is gone leaves a window empty; the job of an endpoint that is gone sees nothing more. The
requests that a job samples are kept here, not in a table of BigQuery; nothing is sent to e-mail
addresses and notification channels.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from itertools import count
from random import Random
from typing import Any

from simulator.api.calls import Call, Methods, Result
from simulator.api.errors import failed_precondition, invalid, not_found, unimplemented
from simulator.api.operations import Operations
from simulator.api.pages import listing
from simulator.api.patching import mask_paths
from simulator.core.clock import nanoseconds
from simulator.iam.decisions import Iam
from simulator.services.vertex import watching
from simulator.services.vertex.operations import start
from simulator.services.vertex.state import (
    Distance,
    Monitor,
    Vertex,
    Watch,
    apply_mask,
    in_region,
    listed,
    location_of,
    on_name,
    on_parent,
    require_key,
)
from simulator.services.vertex.watching import (
    DRIFT,
    OBJECTIVES,
    PAUSED,
    PENDING,
    RUNNING,
    SKEW,
)

method = Methods()

METHODS = "aiplatform.projects.locations.modelDeploymentMonitoringJobs"
PERMISSIONS = "aiplatform.modelDeploymentMonitoringJobs"
# Discovery document, updateMask.
MUTABLE = (
    "displayName",
    "modelDeploymentMonitoringScheduleConfig",
    "modelMonitoringAlertConfig",
    "loggingSamplingStrategy",
    "labels",
    "logTtl",
    "enableMonitoringPipelineLogs",
    OBJECTIVES,
)
CREATED = (*MUTABLE, "analysisInstanceSchemaUri", "encryptionSpec")
FORMATS = ("csv", "jsonl")
BY_NUMBER: Mapping[Any, str] = {1: SKEW.name, 2: DRIFT.name}


def shown(call: Call, monitor: Monitor) -> dict[str, Any]:
    watch, clock = monitor.watch, call.cloud.clock
    answer = {
        "name": call.cloud[Vertex].numbered(monitor.name),
        **monitor.info,
        "state": watch.state,
        "scheduleState": "OFFLINE",
    }
    if watch.state == RUNNING:
        answer["nextScheduleTime"] = clock.rfc3339(watch.begun + watching.interval(monitor.info))
    if watch.error:
        answer["error"] = watch.error
    if watch.latest:
        ran = {"runTime": clock.rfc3339(watch.latest), "status": {}}
        answer["latestMonitoringPipelineMetadata"] = ran
    return answer


def _monitor(call: Call) -> Monitor:
    vertex = call.cloud[Vertex]
    if call.resource not in vertex.monitors:
        name = vertex.numbered(call.resource)
        raise not_found(f"ModelDeploymentMonitoringJob `{name}` not found.")
    return vertex.monitors[call.resource]


def _check(info: Mapping[str, Any], deployed: set[str]) -> None:
    """What the discovery document demands; the words are ours."""
    if not 0 < len(info.get("displayName", "")) <= 128:
        raise invalid("A monitoring job needs a display_name of 1 to 128 characters.")
    if watching.interval(info) <= 0:
        raise invalid("monitor_interval is required, and above 0.")
    if not 0 < watching.rate(info) <= 1:
        raise invalid("sample_rate must be in the range (0, 1].")
    if "logTtl" in info:
        watching.seconds(info["logTtl"])
    objectives = info.get(OBJECTIVES, [])
    if not objectives:
        raise invalid(f"{OBJECTIVES} is required.")
    for objective in objectives:
        if (id := objective.get("deployedModelId", "")) not in deployed:
            raise invalid(f"DeployedModel {id} is not deployed to the endpoint.")
        config = objective.get("objectiveConfig", {})
        data = config.get("trainingDataset", {})
        if SKEW.config in config and "gcsSource" not in data:
            raise invalid("training_dataset is required to detect training-prediction skew.")
        if data and data.get("dataFormat") not in FORMATS:
            raise unimplemented(f"Training data in the format {data.get('dataFormat')!r}")
        if len(data.get("gcsSource", {}).get("uris", "1")) != 1:
            raise unimplemented("Training data of several files")


@method(f"{METHODS}.create", permission=f"{PERMISSIONS}.create", on=on_parent)
def create(call: Call) -> Result:
    cloud, vertex, body = call.cloud, call.cloud[Vertex], call.body
    endpoint = vertex.endpoint(vertex.normal(body.get("endpoint", "")))
    if location_of(endpoint.name) != call.resource:
        raise invalid("The monitoring job and the Endpoint must be in one location.")
    _check(body, set(endpoint.serving()))
    require_key(call, body.get("encryptionSpec"), endpoint.name)
    now = cloud.clock.rfc3339()
    info = {key: deepcopy(body[key]) for key in CREATED if body.get(key)}
    info |= {"endpoint": vertex.numbered(endpoint.name), "createTime": now, "updateTime": now}
    name = _drawn(call, info)
    watch = Watch(PENDING, begun=cloud.clock.now())
    monitor = vertex.monitors[name] = Monitor(name, endpoint.name, info, Random(name), watch)
    if "analysisInstanceSchemaUri" in info:
        cloud[Operations].after(cloud.delays.operation, lambda: watching.begin(cloud, monitor))
    return shown(call, monitor)


def _drawn(call: Call, info: Mapping[str, Any]) -> str:
    """A name with a number that follows from what the job is, so that clouds can be compared."""
    for taken in count():
        drawn = Random(f"{info['endpoint']} {info['displayName']} {taken}").randrange(9 * 10**18)
        name = f"{call.resource}/modelDeploymentMonitoringJobs/{10**18 + drawn}"
        if name not in call.cloud[Vertex].monitors:
            return name
    raise AssertionError("numbers do not end")


@method(f"{METHODS}.get", permission=f"{PERMISSIONS}.get", on=on_name)
def get(call: Call) -> Result:
    return shown(call, _monitor(call))


@method(
    f"{METHODS}.list",
    permission=f"{PERMISSIONS}.list",
    on=on_parent,
    reads="filter pageSize pageToken readMask",
)
def list_jobs(call: Call) -> Result:
    monitors = call.cloud[Vertex].monitors
    found = [shown(call, it) for it in monitors.values() if location_of(it.name) == call.resource]
    return listed(call, "modelDeploymentMonitoringJobs", found, "model_deployment_monitoring_job")


@method(f"{METHODS}.patch", permission=f"{PERMISSIONS}.update", on=on_name, reads="updateMask")
def patch(call: Call) -> Result:
    """Without a mask, what the body has (discovery document)."""
    monitor, vertex = _monitor(call), call.cloud[Vertex]
    paths = mask_paths(call.params.get("updateMask")) or {it for it in MUTABLE if it in call.body}
    if inner := [path for path in paths if path.startswith(f"{OBJECTIVES}.")]:
        raise unimplemented(f"Updating {inner[0]} alone")
    info = deepcopy(monitor.info)
    apply_mask(info, call.body, ",".join(paths), MUTABLE)
    endpoint = vertex.endpoints.get(monitor.endpoint)
    # What is gone may stay; what is new has to be there.
    present = {item["deployedModelId"] for item in monitor.info[OBJECTIVES]}
    _check(info, present | set(endpoint.serving() if endpoint else ()))

    def run() -> dict[str, Any]:
        call.cloud[Operations].falter()
        info["updateTime"] = call.cloud.clock.rfc3339()
        watching.catch_up(call.cloud, monitor)
        if monitor.watch.state in (RUNNING, PAUSED):
            monitor.watch.trained = watching.trained(
                call.cloud, info, monitor.watch.features, monitor.name
            )
        monitor.info = info
        watching.schedule(call.cloud, monitor)
        return shown(call, monitor)

    kind = "UpdateModelDeploymentMonitoringJob"
    return start(call, kind, monitor.name, run, "ModelDeploymentMonitoringJob")


@method(f"{METHODS}.delete", permission=f"{PERMISSIONS}.delete", on=on_name)
def delete(call: Call) -> Result:
    """ "You must pause a job before you can delete it"; in what words it is refused is ours."""
    monitor = _monitor(call)
    if monitor.watch.state == RUNNING:
        raise failed_precondition("The monitoring job is running. Pause it before you delete it.")

    def run() -> dict[str, Any]:
        call.cloud[Operations].falter()
        call.cloud[Vertex].monitors.pop(monitor.name, None)
        call.cloud[Iam].forget(monitor.name)
        return {}

    return start(call, "DeleteModelDeploymentMonitoringJob", monitor.name, run)


@method(f"{METHODS}.pause", permission=f"{PERMISSIONS}.pause", on=on_name)
def pause(call: Call) -> Result:
    """google-cloud-aiplatform, ModelDeploymentMonitoringJob.pause: of a running job only."""
    monitor = _monitor(call)
    if monitor.watch.state != RUNNING:
        raise failed_precondition(f"The monitoring job is not running but {monitor.watch.state}.")
    watching.catch_up(call.cloud, monitor)
    monitor.watch.state = PAUSED
    return {}


@method(f"{METHODS}.resume", permission=f"{PERMISSIONS}.resume", on=on_name)
def resume(call: Call) -> Result:
    monitor = _monitor(call)
    if monitor.watch.state != PAUSED:
        raise failed_precondition(f"The monitoring job is not paused but {monitor.watch.state}.")
    monitor.watch.state, monitor.watch.begun = RUNNING, call.cloud.clock.now()
    watching.schedule(call.cloud, monitor)
    return {}


def _on_job(call: Call) -> str:
    return in_region(call, call.params["modelDeploymentMonitoringJob"])


@method(
    f"{METHODS}.searchModelDeploymentMonitoringStatsAnomalies",
    permission=f"{PERMISSIONS}.searchStatsAnomalies",
    on=_on_job,
)
def search(call: Call) -> Result:
    """What was found of each feature of a deployed model, a page of features at a time."""
    monitor, body, clock = _monitor(call), call.body, call.cloud.clock
    given = [item.get("type") for item in body.get("objectives", ())]
    # Google's clients send numbers.
    wanted = [BY_NUMBER.get(kind, kind) for kind in given]
    if not wanted or not body.get("deployedModelId"):
        raise invalid("deployed_model_id and objectives are required.")
    begin, end = (_moment(body.get(key)) for key in ("startTime", "endTime"))
    found: dict[tuple[str, str], list[Distance]] = {}
    for item in monitor.watch.found:
        if (
            item.deployed_id == body["deployedModelId"]
            and item.objective in wanted
            and body.get("featureDisplayName") in (None, "", item.feature)
            and (begin is None or item.end >= begin)
            and (end is None or item.end <= end)
        ):
            found.setdefault((item.objective, item.feature), []).append(item)
    page = listing(
        "features",
        {"/".join(key): {"key": key} for key in found},
        {key: body[key] for key in ("pageSize", "pageToken") if key in body},
        default=100,
        most=1000,
    )
    stats: dict[str, dict[str, Any]] = {}
    for objective, feature in (item["key"] for item in page.get("features", ())):
        history = found[objective, feature]
        of = stats.setdefault(
            objective,
            {
                "objective": objective,
                "deployedModelId": body["deployedModelId"],
                "anomalyCount": 0,
                "featureStats": [],
            },
        )
        of["anomalyCount"] += sum(item.anomalous for item in history)
        of["featureStats"].append(
            {
                "featureDisplayName": feature,
                "threshold": {"value": history[-1].threshold},
                "predictionStats": [
                    {
                        "distributionDeviation": item.deviation,
                        "anomalyDetectionThreshold": item.threshold,
                        "startTime": clock.rfc3339(item.start),
                        "endTime": clock.rfc3339(item.end),
                    }
                    for item in history
                ],
            }
        )
    token = page.get("nextPageToken")
    return {
        **({"monitoringStats": list(stats.values())} if stats else {}),
        **({"nextPageToken": token} if token else {}),
    }


def _moment(text: str | None) -> float | None:
    return nanoseconds(text) / 1e9 if text else None
