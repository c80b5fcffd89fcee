"""What the jobs of Model Monitoring v1 do by themselves: sample, compare, write to the log.

See monitoringjobs.py for what is documented of it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from simulator.api.audit import Audit
from simulator.api.calls import Guard
from simulator.api.errors import ApiError, invalid, not_found
from simulator.api.operations import Operations
from simulator.core.cloud import Cloud
from simulator.core.principal import Principal
from simulator.identity.accounts import Accounts
from simulator.services.logging.auditlog import insert_id
from simulator.services.logging.state import Logging
from simulator.services.storage.state import Storage
from simulator.services.vertex import distributions
from simulator.services.vertex.state import Distance, Monitor, Vertex, project_of

OBJECTIVES = "modelDeploymentMonitoringObjectiveConfigs"
PENDING, RUNNING, PAUSED, FAILED = (
    f"JOB_STATE_{state}" for state in ("PENDING", "RUNNING", "PAUSED", "FAILED")
)
HOUR = 3600.0
TO_INFER_FROM = 1000
"""Requests from which a schema is inferred where none is given."""

THRESHOLD = 0.3
"""Of every feature, where none has one."""

LOGS = "aiplatform.googleapis.com%2Fmodel_monitoring"
ENTRY = "type.googleapis.com/google.cloud.aiplatform.logging.ModelMonitoring"


class Objective(NamedTuple):
    name: str
    config: str
    by_feature: str
    of_all: str


SKEW = Objective(
    "RAW_FEATURE_SKEW",
    "trainingPredictionSkewDetectionConfig",
    "skewThresholds",
    "defaultSkewThreshold",
)
DRIFT = Objective(
    "RAW_FEATURE_DRIFT",
    "predictionDriftDetectionConfig",
    "driftThresholds",
    "defaultDriftThreshold",
)


def seconds(duration: Any) -> float:
    try:
        return float(str(duration).removesuffix("s"))
    except ValueError:
        raise invalid(f"Invalid duration: {duration}") from None


def interval(info: Mapping[str, Any]) -> float:
    """ "It will be rounded up to next full hour" (discovery document)."""
    given = info.get("modelDeploymentMonitoringScheduleConfig", {})
    return math.ceil(seconds(given.get("monitorInterval", "0s")) / HOUR) * HOUR


def rate(info: Mapping[str, Any]) -> float:
    strategy = info.get("loggingSamplingStrategy", {})
    return float(strategy.get("randomSampleConfig", {}).get("sampleRate", 0))


def on_endpoint(cloud: Cloud, endpoint: str) -> list[Monitor]:
    """The jobs that watch an endpoint."""
    return [it for it in cloud[Vertex].monitors.values() if it.endpoint == endpoint]


def observe(cloud: Cloud, endpoint: str, deployed_id: str, instances: list[Any]) -> None:
    """Sample a request that an endpoint answered, for the jobs that watch it."""
    for monitor in on_endpoint(cloud, endpoint) if cloud[Vertex].monitors else ():
        watch = monitor.watch
        if watch.state not in (PENDING, RUNNING) or monitor.random.random() >= rate(monitor.info):
            continue
        watch.seen.append((cloud.clock.now(), deployed_id, instances))
        unknown = "analysisInstanceSchemaUri" not in monitor.info and watch.state == PENDING
        if unknown and len(watch.seen) >= TO_INFER_FROM:
            begin(cloud, monitor)


def begin(cloud: Cloud, monitor: Monitor) -> None:
    """Read the schema and the baseline, as the service agent, and start the schedule."""
    watch, info = monitor.watch, monitor.info
    if cloud[Vertex].monitors.get(monitor.name) is not monitor:
        return
    try:
        if uri := info.get("analysisInstanceSchemaUri"):
            watch.features = distributions.schema(_read(cloud, monitor.name, uri), uri)
        else:
            watch.features = distributions.inferred([it for _, _, all in watch.seen for it in all])
        watch.trained = trained(cloud, info, watch.features, monitor.name)
    except ApiError as error:
        watch.state, watch.error = FAILED, error.operation_error()
        return
    watch.state = RUNNING
    schedule(cloud, monitor)


def _agent(cloud: Cloud, name: str) -> Principal:
    return cloud[Accounts].create_agent("aiplatform", project_of(name))


def _read(cloud: Cloud, name: str, uri: str) -> bytes:
    folder, _, file = uri.rpartition("/")
    files = cloud[Storage].read(folder, _agent(cloud, name))
    if file not in files:
        raise not_found(f"No such object: {uri}")
    return files[file]


def trained(
    cloud: Cloud, info: Mapping[str, Any], features: Mapping[str, str], name: str
) -> dict[str, distributions.Columns]:
    """What each deployed model was trained on, without the field that it predicts."""
    found = {}
    for objective in info[OBJECTIVES]:
        config = objective.get("objectiveConfig", {})
        if SKEW.config in config:
            data = config["trainingDataset"]
            kept = {it: kind for it, kind in features.items() if it != data.get("targetField")}
            text = _read(cloud, name, data["gcsSource"]["uris"][0])
            found[objective["deployedModelId"]] = distributions.training(
                text, data["dataFormat"], kept
            )
    return found


def schedule(cloud: Cloud, monitor: Monitor) -> None:
    """See to the end of the present window; what was scheduled before does nothing then."""
    watch = monitor.watch
    watch.scheduled += 1
    mine, due = watch.scheduled, watch.begun + interval(monitor.info)

    def tick() -> None:
        there = cloud[Vertex].monitors.get(monitor.name) is monitor
        if there and watch.scheduled == mine and watch.state == RUNNING:
            catch_up(cloud, monitor)
            schedule(cloud, monitor)

    cloud[Operations].after(max(due - cloud.clock.now(), 0.0), tick)


def catch_up(cloud: Cloud, monitor: Monitor) -> None:
    """Look at every window that is over."""
    watch, length = monitor.watch, interval(monitor.info)
    while watch.state == RUNNING and watch.begun + length <= cloud.clock.now():
        first, end = watch.begun, watch.begun + length
        here = [item for item in watch.seen if item[0] < end]
        watch.seen = [item for item in watch.seen if item[0] >= end]
        watch.begun = watch.latest = end
        for objective in monitor.info[OBJECTIVES]:
            id = objective["deployedModelId"]
            instances = [it for _, to, all in here if to == id for it in all]
            if instances:
                _look(cloud, monitor, objective, instances, (first, end))
        if monitor.info.get("enableMonitoringPipelineLogs"):
            name = cloud[Vertex].numbered(monitor.name)
            said = f"Scheduled model monitoring pipeline finished successfully for job {name}"
            _log(cloud, monitor, LOGS, "Pipeline", "INFO", end, {"statusCode": {"message": said}})


def _look(
    cloud: Cloud,
    monitor: Monitor,
    objective: Mapping[str, Any],
    instances: list[Any],
    window: tuple[float, float],
) -> None:
    watch, id, config = monitor.watch, objective["deployedModelId"], objective["objectiveConfig"]
    now = distributions.columns(instances, watch.features)
    for kind, baseline in ((SKEW, watch.trained.get(id)), (DRIFT, watch.before.get(id))):
        if kind.config not in config or baseline is None:
            continue
        found = [
            Distance(
                kind.name,
                id,
                feature,
                distributions.distance(now[feature], baseline[feature], watch.features[feature]),
                threshold,
                *window,
            )
            for feature, threshold in _thresholds(kind, config[kind.config], watch.features)
            if feature in now and feature in baseline
        ]
        watch.found += found
        anomalies = [item for item in found if item.anomalous]
        if anomalies and monitor.info.get("modelMonitoringAlertConfig", {}).get("enableLogging"):
            _log_anomalies(cloud, monitor, anomalies)
    watch.before[id] = now


def _thresholds(
    kind: Objective, config: Mapping[str, Any], features: Mapping[str, str]
) -> Iterator[tuple[str, float]]:
    """Of the features that are watched: those with one, or all where one is for all."""
    own, of_all = config.get(kind.by_feature, {}), config.get(kind.of_all, {}).get("value", 0)
    for feature in features:
        others = of_all if own or of_all else THRESHOLD
        if threshold := own.get(feature, {}).get("value", others):
            yield feature, threshold


def _log_anomalies(cloud: Cloud, monitor: Monitor, anomalies: list[Distance]) -> None:
    first = anomalies[0]
    payload = {
        "anomalyObjective": first.objective,
        "deployedModelId": first.deployed_id,
        "startTime": cloud.clock.rfc3339(first.start),
        "endTime": cloud.clock.rfc3339(first.end),
        "featureAnomalies": [
            {
                "featureDisplayName": item.feature,
                "deviation": item.deviation,
                "threshold": item.threshold,
            }
            for item in anomalies
        ],
        "totalAnomaliesCount": len(anomalies),
    }
    _log(cloud, monitor, f"{LOGS}_anomaly", "Anomalies", "WARNING", first.end, payload)


def _log(
    cloud: Cloud,
    monitor: Monitor,
    log: str,
    kind: str,
    severity: str,
    time: float,
    payload: dict[str, Any],
) -> None:
    """An entry as the documentation shows it; one that the agent may not write is not written."""
    name, place = cloud[Vertex].numbered(monitor.name), f"projects/{project_of(monitor.name)}"
    agent = _agent(cloud, monitor.name)
    if not cloud[Guard].allowed(agent, "logging.logEntries.create", place):
        return
    watch = monitor.watch
    watch.logged += 1
    entry = {
        "logName": f"{place}/logs/{log}",
        "insertId": insert_id(cloud[Audit].handled, watch.logged),
        "jsonPayload": {
            "@type": f"{ENTRY}{kind}LogEntry",
            "modelDeploymentMonitoringJob": name,
            **payload,
        },
        "resource": {
            "type": "aiplatform.googleapis.com/ModelDeploymentMonitoringJob",
            "labels": {
                "model_deployment_monitoring_job": monitor.name.rpartition("/")[2],
                "location": monitor.name.split("/")[3],
                "resource_container": "/".join(name.split("/")[:2]),
            },
        },
        "timestamp": cloud.clock.rfc3339(time),
        "receiveTimestamp": cloud.clock.rfc3339(),
        "severity": severity,
    }
    cloud[Logging].write(place, entry)
