"""MonitoringJob: what an endpoint is asked, watched for drift (Model Monitoring v1).

Its objectives name deployed models, so it follows each rollout; what it compares with is read by
Vertex AI's service agent. A job is paused before it is deleted (docs
vertex-ai/docs/model-monitoring/using-model-monitoring), and Google gives it its id, so a run after
a crash finds what the first one made by its endpoint and display name.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple, Protocol

from pulumi_plugin.kinds import Change, Context, Failure, Kind, ProviderError, Resource
from pulumi_plugin.values import UNKNOWN, Props, changed_keys
from vertexops import forms
from vertexops.errors import GoogleError, Json, explain
from vertexops.google import Google
from vertexops.models import encryption
from vertexops.schema import MONITORING_JOB, PACKAGE
from vertexops.waiting import Clock, Operations, Waiting

DEADLINE = 1800
HOUR, DAY = 3600, 86_400
RUNNING, PAUSED = "JOB_STATE_RUNNING", "JOB_STATE_PAUSED"
FORMATS = ("csv", "jsonl")
OBJECTIVES = "modelDeploymentMonitoringObjectiveConfigs"
REPLACES = ("endpoint", "analysisInstanceSchemaUri", "kmsKey")
# UpdateModelDeploymentMonitoringJobRequest.updateMask, discovery document.
MUTABLE: Final = {
    "displayName": "displayName",
    "objectives": OBJECTIVES,
    "samplingRate": "loggingSamplingStrategy",
    "intervalHours": "modelDeploymentMonitoringScheduleConfig",
    "logDays": "logTtl",
    "notificationChannels": "modelMonitoringAlertConfig",
    "emails": "modelMonitoringAlertConfig",
    "enableLogging": "modelMonitoringAlertConfig",
    "enablePipelineLogs": "enableMonitoringPipelineLogs",
}
DEFAULTS: Final[Props] = {
    "logDays": 0,
    "notificationChannels": [],
    "emails": [],
    "enableLogging": False,
    "enablePipelineLogs": False,
    "paused": False,
}


class Detection(NamedTuple):
    """Thresholds of one kind of difference, called as Google does, and where it keeps them."""

    thresholds: str
    default: str
    config: str


DETECTIONS: Final = (
    Detection("driftThresholds", "defaultDriftThreshold", "predictionDriftDetectionConfig"),
    Detection("skewThresholds", "defaultSkewThreshold", "trainingPredictionSkewDetectionConfig"),
)
TRAINING: Final = ("trainingUri", "trainingFormat", "trainingTarget")


class Jobs(Operations, Protocol):
    """What is used of `Vertex`."""

    def monitoring_job(self, name: str) -> Json: ...
    def monitoring_jobs(self, parent: str) -> list[Json]: ...
    def create_monitoring_job(self, parent: str, job: Json) -> Json: ...
    def update_monitoring_job(self, job: Json, mask: str) -> str: ...
    def delete_monitoring_job(self, name: str) -> str: ...
    def pause_monitoring_job(self, name: str) -> None: ...
    def resume_monitoring_job(self, name: str) -> None: ...


class MonitoringJob(Kind):
    def __init__(self, google: Google, clock: Clock) -> None:
        self.google, self.clock = google, clock

    def check(
        self, inputs: Props, old_inputs: Props, context: Context
    ) -> tuple[Props, list[Failure]]:
        inputs, failures = PACKAGE.check(MONITORING_JOB, inputs)
        failures += forms.ENDPOINT.check(inputs.get("endpoint"), "endpoint")
        failures += forms.FILE.check(
            inputs.get("analysisInstanceSchemaUri"), "analysisInstanceSchemaUri"
        )
        failures += forms.KMS_KEY.check(inputs.get("kmsKey"), "kmsKey")
        failures += _share(inputs.get("samplingRate"), "samplingRate")
        for key in ("intervalHours", "logDays"):
            if isinstance(value := inputs.get(key), int) and value < 1:
                failures.append(Failure(key, f"is {value}, not at least 1"))
        for key, form in (("notificationChannels", forms.CHANNEL), ("emails", forms.EMAIL)):
            given = inputs.get(key)
            for i, value in enumerate(given if isinstance(given, list) else ()):
                failures += form.check(value, f"{key}[{i}]")
        if isinstance(objectives := inputs.get("objectives"), list):
            # As it reads them: no thresholds are none.
            inputs["objectives"] = objectives = [
                {key: value for key, value in item.items() if value != {}}
                if isinstance(item, dict)
                else item
                for item in objectives
            ]
            failures += check_objectives(objectives)
        return inputs, failures

    def diff(self, id: str, old_inputs: Props, old_outputs: Props, inputs: Props) -> Change:
        changed = changed_keys(_comparable(old_inputs), _comparable(inputs))
        replaces = tuple(key for key in changed if key in REPLACES)
        updates = tuple(key for key in changed if key not in REPLACES)
        # One endpoint is not to be watched twice, not even for a moment.
        return Change(
            updates, replaces, stables=("name",), delete_before_replace="endpoint" not in replaces
        )

    def preview(self, inputs: Props, old_outputs: Props | None) -> Props:
        return inputs | {"name": old_outputs["name"] if old_outputs else UNKNOWN}

    def create(self, inputs: Props, context: Context) -> tuple[str, Props]:
        waiting = Waiting(context, DEADLINE, self.clock)
        parent = inputs["endpoint"].partition("/endpoints/")[0]
        jobs, step = self._jobs(parent), f"watching {inputs['endpoint']}"
        try:
            name = self._make(jobs, parent, inputs, waiting, step)
            if inputs.get("paused"):
                waiting.call(jobs.pause_monitoring_job, name)
        except GoogleError as error:
            raise explain(error, step, self.google) from error
        return name, inputs | {"name": name}

    def _make(self, jobs: Jobs, parent: str, inputs: Props, waiting: Waiting, step: str) -> str:
        while True:
            # A call that failed, or an earlier run's, may have been carried out all the same.
            for job in waiting.call(jobs.monitoring_jobs, parent):
                found = from_google(inputs["endpoint"], job)
                if all(found[key] == inputs[key] for key in ("endpoint", "displayName")):
                    name = _named(parent, job)
                    self._patch(jobs, name, inputs, sorted(set(MUTABLE.values())), waiting, step)
                    return name
            try:
                return _named(parent, jobs.create_monitoring_job(parent, to_google(inputs)))
            except GoogleError as error:
                if not error.is_transient or not waiting.pause():
                    raise

    def update(
        self, id: str, old_inputs: Props, old_outputs: Props, inputs: Props, context: Context
    ) -> Props:
        waiting, jobs = Waiting(context, DEADLINE, self.clock), self._jobs(id)
        step = f"updating {id}"
        changed = changed_keys(_comparable(old_inputs), _comparable(inputs))
        mask = sorted({MUTABLE[key] for key in changed if key in MUTABLE})
        try:
            if mask:
                self._patch(jobs, id, inputs, mask, waiting, step)
            if "paused" in changed:
                paused = inputs.get("paused")
                waiting.call(
                    jobs.pause_monitoring_job if paused else jobs.resume_monitoring_job, id
                )
        except GoogleError as error:
            raise explain(error, step, self.google) from error
        return inputs | {"name": id}

    def _patch(
        self, jobs: Jobs, name: str, inputs: Props, mask: list[str], waiting: Waiting, step: str
    ) -> None:
        job = {"name": name, **to_google(inputs)}
        waiting.whole(jobs, step, jobs.update_monitoring_job, job, ",".join(mask))

    def read(self, id: str, inputs: Props, outputs: Props, context: Context) -> Resource | None:
        waiting = Waiting(context, DEADLINE, self.clock)
        try:
            forms.MONITORING_JOB.parse(id)
            job = waiting.call(self._jobs(id).monitoring_job, id)
        except ValueError as error:
            raise ProviderError(f"the id {error}") from error
        except GoogleError as error:
            if error.code == 404:
                return None
            raise explain(error, f"reading {id}", self.google) from error
        found = from_google(id, job)
        order = [item["deployedModelId"] for item in inputs.get("objectives", ())]
        found["objectives"].sort(
            key=lambda item: (
                order.index(item["deployedModelId"])
                if item["deployedModelId"] in order
                else len(order)
            )
        )
        now = {
            key: value
            for key, value in found.items()
            if key in inputs or key not in DEFAULTS or value != DEFAULTS[key]
        }
        return Resource(id, now, now | {"name": id})

    def delete(self, id: str, inputs: Props, outputs: Props, context: Context) -> None:
        waiting, jobs = Waiting(context, DEADLINE, self.clock), self._jobs(id)
        step = f"deleting {id}"
        try:
            while True:
                if waiting.call(jobs.monitoring_job, id).get("state") == RUNNING:
                    waiting.call(jobs.pause_monitoring_job, id)
                try:
                    waiting.whole(jobs, step, jobs.delete_monitoring_job, id)
                    return
                except GoogleError as error:
                    # It may have begun to run meanwhile.
                    if error.status != "FAILED_PRECONDITION" or not waiting.pause():
                        raise
        except GoogleError as error:
            if error.code != 404:
                raise explain(error, step, self.google) from error

    def _jobs(self, name: str) -> Jobs:
        return self.google.vertex(name.split("/")[3])


def to_google(inputs: Props) -> Json:
    """A ModelDeploymentMonitoringJob for the API."""
    full = DEFAULTS | inputs
    return {
        "displayName": full["displayName"],
        "endpoint": full["endpoint"],
        OBJECTIVES: [_objective_to_google(item) for item in full["objectives"]],
        "modelDeploymentMonitoringScheduleConfig": {
            "monitorInterval": f"{full['intervalHours'] * HOUR}s"
        },
        "loggingSamplingStrategy": {"randomSampleConfig": {"sampleRate": full["samplingRate"]}},
        "modelMonitoringAlertConfig": {
            "enableLogging": full["enableLogging"],
            "notificationChannels": full["notificationChannels"],
            **({"emailAlertConfig": {"userEmails": full["emails"]}} if full["emails"] else {}),
        },
        "enableMonitoringPipelineLogs": full["enablePipelineLogs"],
        **({"logTtl": f"{full['logDays'] * DAY}s"} if full["logDays"] else {}),
        **(
            {"analysisInstanceSchemaUri": full["analysisInstanceSchemaUri"]}
            if "analysisInstanceSchemaUri" in full
            else {}
        ),
        **encryption(full),
    }


def _objective_to_google(objective: Props) -> Json:
    config: Json = {}
    for thresholds, default, kept in DETECTIONS:
        of = {name: {"value": value} for name, value in objective.get(thresholds, {}).items()}
        given: Json = {thresholds: of} if of else {}
        if default in objective:
            given[default] = {"value": objective[default]}
        if given:
            config[kept] = given
    if "trainingUri" in objective:
        config["trainingDataset"] = {
            "gcsSource": {"uris": [objective["trainingUri"]]},
            "dataFormat": objective["trainingFormat"],
            **(
                {"targetField": objective["trainingTarget"]}
                if "trainingTarget" in objective
                else {}
            ),
        }
    return {"deployedModelId": objective["deployedModelId"], "objectiveConfig": config}


def from_google(name: str, job: Json) -> Props:
    """What a job is, in the words of our inputs; names with the project that `name` has."""
    project = name.split("/")[1]
    alert = job.get("modelMonitoringAlertConfig", {})
    strategy = job.get("loggingSamplingStrategy", {}).get("randomSampleConfig", {})
    schedule = job.get("modelDeploymentMonitoringScheduleConfig", {})
    schema = job.get("analysisInstanceSchemaUri")
    key = job.get("encryptionSpec", {}).get("kmsKeyName")
    return {
        "endpoint": "/".join(["projects", project, *job["endpoint"].split("/")[2:]]),
        "displayName": job.get("displayName", ""),
        "objectives": [_objective_from_google(item) for item in job.get(OBJECTIVES, ())],
        "samplingRate": strategy.get("sampleRate", 0),
        "intervalHours": -(-_seconds(schedule.get("monitorInterval")) // HOUR),
        "logDays": -(-_seconds(job.get("logTtl")) // DAY),
        "notificationChannels": list(alert.get("notificationChannels", ())),
        "emails": list(alert.get("emailAlertConfig", {}).get("userEmails", ())),
        "enableLogging": bool(alert.get("enableLogging", False)),
        "enablePipelineLogs": bool(job.get("enableMonitoringPipelineLogs", False)),
        "paused": job.get("state") == PAUSED,
        **({"analysisInstanceSchemaUri": schema} if schema else {}),
        **({"kmsKey": key} if key else {}),
    }


def _objective_from_google(objective: Json) -> Props:
    config = objective.get("objectiveConfig", {})
    found: Props = {"deployedModelId": objective.get("deployedModelId", "")}
    for thresholds, default, kept in DETECTIONS:
        there = config.get(kept, {})
        if of := there.get(thresholds):
            found[thresholds] = {name: item.get("value", 0) for name, item in of.items()}
        if default in there:
            found[default] = there[default].get("value", 0)
    data = config.get("trainingDataset", {})
    values = (
        ",".join(data.get("gcsSource", {}).get("uris", ())),
        data.get("dataFormat"),
        data.get("targetField"),
    )
    return found | {key: value for key, value in zip(TRAINING, values, strict=True) if value}


def _seconds(duration: str | None) -> int:
    return int(float((duration or "0s").removesuffix("s")))


def _named(parent: str, job: Json) -> str:
    """Under the project of the program: Google answers with its number."""
    return f"{parent}/modelDeploymentMonitoringJobs/{job['name'].rpartition('/')[2]}"


def _comparable(inputs: Props) -> Props:
    """With defaults filled in, and objectives in an order of their own."""
    full = DEFAULTS | inputs
    objectives = full.get("objectives", [])
    if isinstance(objectives, list) and all(isinstance(item, dict) for item in objectives):
        full["objectives"] = sorted(objectives, key=lambda it: str(it["deployedModelId"]))
    return full


def check_objectives(objectives: list[Any]) -> list[Failure]:
    """Everything wrong with the objectives of a job; what is unknown is left for later."""
    failures = [] if objectives else [Failure("objectives", "names no deployed model")]
    ids = [item.get("deployedModelId") for item in objectives if isinstance(item, dict)]
    for i, item in enumerate(objectives):
        if not isinstance(item, dict):
            continue
        at, id = f"objectives[{i}]", item.get("deployedModelId")
        if isinstance(id, str) and ids.count(id) > 1:
            failures.append(Failure(f"{at}.deployedModelId", f"{id} is there twice"))
        for thresholds, default, _ in DETECTIONS:
            failures += _share(item.get(default), f"{at}.{default}")
            of = item.get(thresholds)
            for name, value in of.items() if isinstance(of, dict) else ():
                failures += _share(value, f"{at}.{thresholds}.{name}")
        drifts, skewed = (any(key in item for key in it[:2]) for it in DETECTIONS)
        if not (drifts or skewed):
            failures.append(Failure(at, "has no threshold"))
        if not skewed == ("trainingUri" in item) == ("trainingFormat" in item):
            failures.append(
                Failure(at, "needs trainingUri, trainingFormat and a threshold of skew together")
            )
        failures += forms.FILE.check(item.get("trainingUri"), f"{at}.trainingUri")
        kind = item.get("trainingFormat")
        if isinstance(kind, str) and kind not in FORMATS:
            failures.append(Failure(f"{at}.trainingFormat", f"is {kind}, not csv or jsonl"))
    return failures


def _share(value: Any, at: str) -> list[Failure]:
    wrong = isinstance(value, int | float) and not 0 < value <= 1
    return [Failure(at, f"is {value}, not above 0 and at most 1")] if wrong else []
