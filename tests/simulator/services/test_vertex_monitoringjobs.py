"""Model Monitoring v1 through Google's own client: drift, skew, its log, states, permissions."""

from __future__ import annotations

import random
from typing import Any

import pytest
from google.api_core import exceptions
from google.cloud import aiplatform_v1

from simulator.iam.decisions import Iam
from simulator.services.vertex.distributions import distance
from simulator.services.vertex.state import Vertex
from tests.simulator.support.service import (
    AGENT,
    ENCRYPTER,
    ENDPOINT,
    LOCATION,
    NUMBER,
    OPERATION_SECONDS,
    PROJECT,
    REGION,
    VERTEX,
    Sandbox,
)

JOBS = "aiplatform.modelDeploymentMonitoringJobs"
HOUR = 3600
BUCKET = "iot-prod-monitoring"
SCHEMA = b"""type: array
properties:
  heat: {type: number}
  mode: {type: string}
required: [heat, mode]
"""
LOGGED = "aiplatform.googleapis.com%2Fmodel_monitoring"
State = aiplatform_v1.JobState


def instances(count: int = 300, *, hotter: float = 0.0, seed: int = 1) -> list[list[Any]]:
    """Readings of two sensors: normally distributed, and 0 or 1 alike."""
    drawn = random.Random(seed)
    return [[drawn.gauss(hotter, 1), drawn.randint(0, 1)] for _ in range(count)]


def csv(rows: list[list[Any]]) -> bytes:
    lines = ["heat,failure,mode", *(f"{heat},0,{mode}" for heat, mode in rows)]
    return "\n".join(lines).encode()


def config(*, skew: bool = False, **thresholds: float) -> dict[str, Any]:
    of = {name: {"value": value} for name, value in thresholds.items()}
    drift = {"drift_thresholds": of, "default_drift_threshold": {"value": 0.3}}
    if not skew:
        return {"prediction_drift_detection_config": drift}
    return {
        "prediction_drift_detection_config": drift,
        "training_prediction_skew_detection_config": {"default_skew_threshold": {"value": 0.3}},
        "training_dataset": {
            "gcs_source": {"uris": [f"gs://{BUCKET}/training/data.csv"]},
            "data_format": "csv",
            "target_field": "failure",
        },
    }


def wanted(objective: Any = None, **fields: Any) -> dict[str, Any]:
    return {
        "display_name": "drift",
        "endpoint": ENDPOINT,
        "model_deployment_monitoring_objective_configs": [
            {"deployed_model_id": "1", "objective_config": objective or config()}
        ],
        "model_deployment_monitoring_schedule_config": {"monitor_interval": {"seconds": HOUR}},
        "logging_sampling_strategy": {"random_sample_config": {"sample_rate": 1.0}},
        "model_monitoring_alert_config": {"enable_logging": True},
        "analysis_instance_schema_uri": f"gs://{BUCKET}/schema/reading.yaml",
        **fields,
    }


@pytest.fixture
def serving(sandbox: Sandbox, model: str, endpoint: str) -> Sandbox:
    """A deployed model that takes all traffic; the schema and what it was trained on stored."""
    sandbox.deploy(model, "1", {"0": 100})
    bucket = sandbox.storage().bucket(BUCKET)
    bucket.iam_configuration.uniform_bucket_level_access_enabled = True
    sandbox.storage().create_bucket(bucket, location=REGION)
    bucket.blob("schema/reading.yaml").upload_from_string(SCHEMA)
    bucket.blob("training/data.csv").upload_from_string(csv(instances(seed=9)))
    return sandbox


def create(sandbox: Sandbox, name: str = "admin", **fields: Any) -> Any:
    job = sandbox.jobs(name).create_model_deployment_monitoring_job(
        parent=LOCATION, model_deployment_monitoring_job=wanted(**fields)
    )
    sandbox.cloud.clock.step(OPERATION_SECONDS)
    return job


def state(sandbox: Sandbox, job: Any) -> Any:
    return sandbox.jobs().get_model_deployment_monitoring_job(name=job.name)


def hour(sandbox: Sandbox, rows: list[list[Any]]) -> None:
    """An hour in which `rows` are asked for, in one request."""
    url = f"{VERTEX}/v1/{ENDPOINT}:predict"
    sandbox.http().post(url, json={"instances": rows}).raise_for_status()
    sandbox.cloud.clock.step(HOUR)


def entries(sandbox: Sandbox, log: str = f"{LOGGED}_anomaly") -> list[Any]:
    body = {
        "resourceNames": [f"projects/{PROJECT}"],
        "filter": f'logName="projects/{PROJECT}/logs/{log}"',
    }
    found = sandbox.http().post("https://logging.googleapis.com/v2/entries:list", json=body).json()
    return list(found.get("entries", []))


def features(entry: Any) -> list[str]:
    return [item["featureDisplayName"] for item in entry["jsonPayload"]["featureAnomalies"]]


@pytest.mark.parametrize(
    ("ours", "theirs", "kind", "apart"),
    [
        ([0.0, 1.0], [0.0, 1.0], "number", 0.0),
        ([0.0] * 4, [1.0] * 4, "number", 1.0),
        # Half of ours is where theirs is: KL of (1/2, 1/2) and of (1, 0) to (3/4, 1/4), halved.
        ([0.0, 1.0], [0.0, 0.0], "integer", 0.3113),
        (["a", "b"], ["a", "a"], "string", 0.5),
        (["a"], ["b"], "string", 1.0),
    ],
)
def test_distances_are_those_that_are_documented(
    ours: list[Any], theirs: list[Any], kind: str, apart: float
) -> None:
    assert distance(ours, theirs, kind) == pytest.approx(apart, abs=1e-4)
    assert distance(theirs, ours, kind) == pytest.approx(apart, abs=1e-4)


def test_a_shifted_sensor_is_logged_and_no_other(serving: Sandbox) -> None:
    job = create(serving)
    hour(serving, instances(seed=1))
    hour(serving, instances(seed=2))
    assert entries(serving) == []
    hour(serving, instances(seed=3, hotter=9))
    (entry,) = entries(serving)
    payload = entry["jsonPayload"]
    assert features(entry) == ["heat"]
    assert payload["featureAnomalies"][0]["deviation"] > 0.9
    assert payload["featureAnomalies"][0]["threshold"] == 0.3
    assert (payload["anomalyObjective"], payload["totalAnomaliesCount"]) == ("RAW_FEATURE_DRIFT", 1)
    assert (payload["modelDeploymentMonitoringJob"], payload["deployedModelId"]) == (job.name, "1")
    assert (entry["severity"], entry["timestamp"]) == ("WARNING", payload["endTime"])
    assert entry["resource"] == {
        "type": "aiplatform.googleapis.com/ModelDeploymentMonitoringJob",
        "labels": {
            "model_deployment_monitoring_job": job.name.rpartition("/")[2],
            "location": REGION,
            "resource_container": f"projects/{NUMBER}",
        },
    }
    hour(serving, instances(seed=4, hotter=9))
    assert len(entries(serving)) == 1


def test_windows_are_looked_at_one_by_one_however_late_somebody_looks(serving: Sandbox) -> None:
    create(serving)
    for seed in (1, 2):
        hour(serving, instances(seed=seed))
    serving.cloud.clock.step(30 * 24 * HOUR)
    hour(serving, instances(seed=3, hotter=9))
    assert [features(entry) for entry in entries(serving)] == [["heat"]]


def test_skew_is_against_the_training_data_without_its_target(serving: Sandbox) -> None:
    create(serving, objective=config(skew=True))
    hour(serving, instances(seed=1))
    assert entries(serving) == []
    hour(serving, [[heat, 5] for heat, _ in instances(seed=2)])
    found = {
        entry["jsonPayload"]["anomalyObjective"]: features(entry) for entry in entries(serving)
    }
    assert found == {"RAW_FEATURE_SKEW": ["mode"], "RAW_FEATURE_DRIFT": ["mode"]}
    reads = [on for who, on, _ in serving.checks("storage.objects.get") if who == AGENT]
    assert f"projects/_/buckets/{BUCKET}/objects/training/data.csv" in reads


def test_a_sensor_has_a_threshold_of_its_own(serving: Sandbox) -> None:
    create(serving, objective=config(heat=0.999))
    hour(serving, instances(seed=1))
    hour(serving, [[heat + 2, 5] for heat, _ in instances(seed=2)])
    assert [features(entry) for entry in entries(serving)] == [["mode"]]


def test_what_was_found_can_be_searched(serving: Sandbox) -> None:
    job = create(serving)
    for seed, hotter in ((1, 0), (2, 0), (3, 9)):
        hour(serving, instances(seed=seed, hotter=hotter))
    request = {
        "model_deployment_monitoring_job": job.name,
        "deployed_model_id": "1",
        "objectives": [{"type_": "RAW_FEATURE_DRIFT"}],
    }
    search = serving.jobs().search_model_deployment_monitoring_stats_anomalies
    (stats,) = search(request)
    assert [it.feature_display_name for it in stats.feature_stats] == ["heat", "mode"]
    heat, mode = stats.feature_stats
    assert [it.distribution_deviation > 0.3 for it in heat.prediction_stats] == [False, True]
    assert (stats.anomaly_count, mode.threshold.value) == (1, 0.3)
    pages = [
        [it.feature_display_name for page in (answer.monitoring_stats) for it in page.feature_stats]
        for answer in search({**request, "page_size": 1}).pages
    ]
    assert pages == [["heat"], ["mode"]]
    assert not list(search({**request, "feature_display_name": "cold"}))


def test_the_sampling_rate_says_how_many_requests_are_looked_at(serving: Sandbox) -> None:
    few = {"random_sample_config": {"sample_rate": 0.25}}
    name = create(serving, logging_sampling_strategy=few).name
    for row in instances(200):
        url = f"{VERTEX}/v1/{ENDPOINT}:predict"
        serving.http().post(url, json={"instances": [row]}).raise_for_status()
    (monitor,) = serving.cloud[Vertex].monitors.values()
    assert monitor.name.rpartition("/")[2] == name.rpartition("/")[2]
    assert 30 <= len(monitor.watch.seen) <= 70


def test_a_job_is_paused_before_it_is_deleted(serving: Sandbox) -> None:
    job, clients = create(serving), serving.jobs
    assert job.state == State.JOB_STATE_PENDING
    assert state(serving, job).state == State.JOB_STATE_RUNNING
    with pytest.raises(exceptions.BadRequest, match="Pause it before"):
        clients().delete_model_deployment_monitoring_job(name=job.name)
    with pytest.raises(exceptions.BadRequest, match="not paused"):
        clients().resume_model_deployment_monitoring_job(name=job.name)
    clients().pause_model_deployment_monitoring_job(name=job.name)
    assert state(serving, job).state == State.JOB_STATE_PAUSED
    hour(serving, instances(seed=1))
    clients().resume_model_deployment_monitoring_job(name=job.name)
    hour(serving, instances(seed=2, hotter=9))
    hour(serving, instances(seed=3, hotter=9))
    assert entries(serving) == []
    clients().pause_model_deployment_monitoring_job(name=job.name)
    serving.finish(clients().delete_model_deployment_monitoring_job(name=job.name))
    with pytest.raises(exceptions.NotFound):
        state(serving, job)
    assert not list(clients().list_model_deployment_monitoring_jobs(parent=LOCATION))


def test_it_follows_another_deployed_model_when_it_is_told(serving: Sandbox, model: str) -> None:
    job = create(serving, enable_monitoring_pipeline_logs=True)
    hour(serving, instances(seed=1))
    serving.deploy(model, "2", {"0": 100})
    serving.finish(serving.endpoints().undeploy_model(endpoint=ENDPOINT, deployed_model_id="1"))
    hour(serving, instances(seed=2, hotter=9))
    assert entries(serving) == []
    changed = wanted(objective=config(), name=job.name)
    changed["model_deployment_monitoring_objective_configs"][0]["deployed_model_id"] = "2"
    mask = {"paths": ["model_deployment_monitoring_objective_configs"]}

    def update() -> Any:
        return serving.jobs().update_model_deployment_monitoring_job(
            model_deployment_monitoring_job=changed, update_mask=mask
        )

    serving.finish(update())
    hour(serving, instances(seed=3))
    hour(serving, instances(seed=4, hotter=9))
    assert [entry["jsonPayload"]["deployedModelId"] for entry in entries(serving)] == ["2"]
    assert len(entries(serving, LOGGED)) == 4
    changed["model_deployment_monitoring_objective_configs"][0]["deployed_model_id"] = "3"
    with pytest.raises(exceptions.BadRequest, match="DeployedModel 3 is not deployed"):
        update()


def test_without_a_schema_it_is_pending_until_a_thousand_requests(
    serving: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("simulator.services.vertex.watching.TO_INFER_FROM", 3)
    job = create(serving, analysis_instance_schema_uri="")
    for seed in (1, 2):
        hour(serving, instances(seed=seed))
    assert state(serving, job).state == State.JOB_STATE_PENDING
    hour(serving, instances(seed=3, hotter=9))
    assert state(serving, job).state == State.JOB_STATE_RUNNING
    assert [features(entry) for entry in entries(serving)] == [["feature_0"]]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"display_name": ""}, "display_name"),
        ({"model_deployment_monitoring_schedule_config": {}}, "monitor_interval"),
        ({"logging_sampling_strategy": {}}, "sample_rate"),
        ({"model_deployment_monitoring_objective_configs": []}, "is required"),
        (
            {"model_deployment_monitoring_objective_configs": [{"deployed_model_id": "8"}]},
            "DeployedModel 8",
        ),
        ({"objective": {"training_prediction_skew_detection_config": {}}}, None),
        ({"endpoint": f"{LOCATION}/endpoints/8"}, "not found"),
    ],
)
def test_a_job_that_google_would_refuse(
    serving: Sandbox, fields: dict[str, Any], message: str | None
) -> None:
    if message is None:
        skew = {"default_skew_threshold": {"value": 0.3}}
        fields = {"objective": {"training_prediction_skew_detection_config": skew}}
        message = "training_dataset is required"
    with pytest.raises((exceptions.BadRequest, exceptions.NotFound), match=message):
        create(serving, **fields)


def test_a_key_has_to_be_one_that_the_agent_may_use(serving: Sandbox) -> None:
    key = serving.key(granted=False)
    with pytest.raises(exceptions.Forbidden, match=r"cryptoKeyVersions\.useToEncrypt"):
        create(serving, encryption_spec={"kms_key_name": key})
    serving.cloud[Iam].grant(key, ENCRYPTER, f"serviceAccount:{AGENT}")
    assert create(serving, encryption_spec={"kms_key_name": key}).encryption_spec.kms_key_name


def test_a_baseline_that_the_agent_cannot_read_fails_the_job(serving: Sandbox) -> None:
    job = create(serving, analysis_instance_schema_uri=f"gs://{BUCKET}/schema/gone.yaml")
    found = state(serving, job)
    assert found.state == State.JOB_STATE_FAILED
    assert "gone.yaml" in found.error.message


def test_the_request_log_and_a_job_exclude_each_other(serving: Sandbox) -> None:
    url = f"{VERTEX}/v1/{ENDPOINT}"
    destination = {"outputUri": f"bq://{PROJECT}.telemetry.rr"}
    key = "predictRequestResponseLoggingConfig"

    def log(rate: float) -> Any:
        log = {"enabled": True, "samplingRate": rate, "bigqueryDestination": destination}
        return serving.http().patch(f"{url}?updateMask={key}", json={key: log})

    job = create(serving)
    refused = log(1.0).json()["error"]
    assert refused["status"] == "FAILED_PRECONDITION"
    assert "request-response logging" in refused["message"]
    serving.jobs().pause_model_deployment_monitoring_job(name=job.name)
    serving.finish(serving.jobs().delete_model_deployment_monitoring_job(name=job.name))
    assert log(1.0).ok
    create(serving)
    assert log(0.5).json()["error"]["status"] == "FAILED_PRECONDITION"
    named = serving.http().patch(f"{url}?updateMask=displayName", json={"displayName": "other"})
    assert named.ok


@pytest.mark.parametrize(
    ("call", "needs"),
    [
        ("create", ["create"]),
        ("get", ["get"]),
        ("list", ["list"]),
        ("update", ["update", "get"]),
        ("pause", ["pause"]),
        ("search", ["searchStatsAnomalies"]),
    ],
)
def test_each_call_takes_its_permission(serving: Sandbox, call: str, needs: list[str]) -> None:
    job, client = create(serving), serving.jobs("deployer")
    verb = f"{call}_model_deployment_monitoring_job"
    calls: dict[str, Any] = {
        "create": lambda: create(serving, "deployer"),
        "get": lambda: getattr(client, verb)(name=job.name),
        "list": lambda: list(getattr(client, f"{verb}s")(parent=LOCATION)),
        "update": lambda: serving.finish(
            getattr(client, verb)(
                model_deployment_monitoring_job=wanted(name=job.name),
                update_mask={"paths": ["display_name"]},
            )
        ),
        "pause": lambda: getattr(client, verb)(name=job.name),
        "search": lambda: client.search_model_deployment_monitoring_stats_anomalies(
            {
                "model_deployment_monitoring_job": job.name,
                "deployed_model_id": "1",
                "objectives": [{"type_": "RAW_FEATURE_DRIFT"}],
            }
        ),
    }
    with pytest.raises(exceptions.Forbidden, match=needs[0]):
        calls[call]()
    serving.role("deployer", *(f"{JOBS}.{name}" for name in needs))
    calls[call]()
