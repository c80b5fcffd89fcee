"""MonitoringJob against Vertex AI in memory: what it asks for, and what it reads."""

from __future__ import annotations

from typing import Any

import pytest

from pulumi_plugin.kinds import ProviderError
from pulumi_plugin.values import UNKNOWN
from tests.vertexops import fakes
from vertexops.errors import GoogleError
from vertexops.monitoring import OBJECTIVES, MonitoringJob

PARENT = "projects/p/locations/us-central1"
JOB = f"{PARENT}/modelDeploymentMonitoringJobs/1"
KEY = "projects/iot-keys/locations/us-central1/keyRings/serving/cryptoKeys/pumps"
SKEW = {
    "skewThresholds": {"heat": 0.2},
    "trainingUri": "gs://artifacts/training/data.csv",
    "trainingFormat": "csv",
    "trainingTarget": "failure",
}


def objective(id: str, **more: Any) -> dict[str, Any]:
    return {"deployedModelId": id, "defaultDriftThreshold": 0.3, **more}


INPUTS = {
    "endpoint": f"{PARENT}/endpoints/7",
    "displayName": "drift",
    "objectives": [objective("2", driftThresholds={"heat": 0.1}), objective("1", **SKEW)],
    "samplingRate": 0.5,
    "intervalHours": 2,
    "logDays": 30,
    "emails": ["ana@example.com"],
    "notificationChannels": ["projects/p/notificationChannels/4"],
    "enableLogging": True,
    "analysisInstanceSchemaUri": "gs://artifacts/reading.yaml",
}


class World(fakes.World):
    def __init__(self) -> None:
        super().__init__(MonitoringJob)

    def create(self, inputs: dict[str, Any] = INPUTS) -> dict[str, Any]:
        id, outputs = self.kind.create(inputs, self.context)
        assert id == outputs["name"]
        return dict(outputs)

    def read(self, inputs: dict[str, Any]) -> dict[str, Any]:
        found = self.kind.read(JOB, inputs, {}, self.context)
        assert found is not None
        assert found.outputs == found.inputs | {"name": JOB}
        return dict(found.inputs)

    def update(self, new: dict[str, Any], old: dict[str, Any] = INPUTS) -> list[Any]:
        self.vertex.calls.clear()
        self.kind.update(JOB, old, {}, new, self.context)
        return self.vertex.calls


@pytest.fixture
def world() -> World:
    return World()


def test_what_is_asked_for(world: World) -> None:
    assert world.create()["name"] == JOB
    [(_, body)] = world.vertex.calls
    assert body == {
        "displayName": "drift",
        "endpoint": f"{PARENT}/endpoints/7",
        OBJECTIVES: [
            {
                "deployedModelId": "2",
                "objectiveConfig": {
                    "predictionDriftDetectionConfig": {
                        "driftThresholds": {"heat": {"value": 0.1}},
                        "defaultDriftThreshold": {"value": 0.3},
                    }
                },
            },
            {
                "deployedModelId": "1",
                "objectiveConfig": {
                    "predictionDriftDetectionConfig": {"defaultDriftThreshold": {"value": 0.3}},
                    "trainingPredictionSkewDetectionConfig": {
                        "skewThresholds": {"heat": {"value": 0.2}}
                    },
                    "trainingDataset": {
                        "gcsSource": {"uris": ["gs://artifacts/training/data.csv"]},
                        "dataFormat": "csv",
                        "targetField": "failure",
                    },
                },
            },
        ],
        "modelDeploymentMonitoringScheduleConfig": {"monitorInterval": "7200s"},
        "loggingSamplingStrategy": {"randomSampleConfig": {"sampleRate": 0.5}},
        "modelMonitoringAlertConfig": {
            "enableLogging": True,
            "notificationChannels": ["projects/p/notificationChannels/4"],
            "emailAlertConfig": {"userEmails": ["ana@example.com"]},
        },
        "enableMonitoringPipelineLogs": False,
        "logTtl": "2592000s",
        "analysisInstanceSchemaUri": "gs://artifacts/reading.yaml",
    }


def test_read_gives_back_the_programs_inputs(world: World) -> None:
    world.create()
    assert world.read(INPUTS) == INPUTS
    assert world.read({}) == INPUTS
    world.vertex.jobs[JOB][OBJECTIVES].reverse()
    assert world.read(INPUTS) == INPUTS
    assert world.kind.diff(JOB, world.read({}), {}, INPUTS).updates == ()


def test_a_key_is_kept_and_another_is_another_job(world: World) -> None:
    inputs = INPUTS | {"kmsKey": KEY}
    world.create(inputs)
    [(_, body)] = world.vertex.calls
    assert body["encryptionSpec"] == {"kmsKeyName": KEY}
    assert world.read({}) == world.read(inputs) == inputs
    for new in (INPUTS, inputs | {"kmsKey": f"{KEY}2"}):
        assert world.kind.diff(JOB, inputs, {}, new).replaces == ("kmsKey",)
    _, failures = world.kind.check(INPUTS | {"kmsKey": "pumps"}, {}, world.context)
    assert [it.property for it in failures] == ["kmsKey"]


def test_no_thresholds_are_as_none(world: World) -> None:
    given = INPUTS | {"objectives": [objective("1", driftThresholds={})]}
    inputs, failures = world.kind.check(given, {}, world.context)
    assert failures == []
    world.create(inputs)
    assert world.read(inputs) == inputs


def test_what_somebody_changed_is_drift_and_is_put_right(world: World) -> None:
    world.create()
    job = world.vertex.jobs[JOB]
    job["loggingSamplingStrategy"] = {"randomSampleConfig": {"sampleRate": 0.01}}
    job["enableMonitoringPipelineLogs"] = True
    job["state"] = "JOB_STATE_PAUSED"
    read = world.read(INPUTS)
    change = world.kind.diff(JOB, read, {}, INPUTS)
    assert change.updates == ("enablePipelineLogs", "paused", "samplingRate")
    assert world.update(INPUTS, read) == [
        ("update_job", "enableMonitoringPipelineLogs,loggingSamplingStrategy"),
        ("resume_job",),
    ]
    assert world.read(INPUTS) == INPUTS


def test_it_follows_the_ids_of_a_rollout_in_place(world: World) -> None:
    world.create()
    new = INPUTS | {"objectives": [objective("3")]}
    change = world.kind.diff(JOB, INPUTS, {}, new)
    assert (change.updates, change.replaces) == (("objectives",), ())
    assert world.update(new) == [("update_job", OBJECTIVES)]
    assert world.read(new) == new
    unknown = INPUTS | {"objectives": UNKNOWN}
    assert world.kind.diff(JOB, INPUTS, {}, unknown).updates == ("objectives",)


@pytest.mark.parametrize(
    ("changed", "mask"),
    [
        ({"emails": []}, "modelMonitoringAlertConfig"),
        ({"intervalHours": 24}, "modelDeploymentMonitoringScheduleConfig"),
        ({"logDays": 1}, "logTtl"),
        ({"displayName": "other"}, "displayName"),
    ],
)
def test_the_rest_changes_in_place_too(world: World, changed: Any, mask: str) -> None:
    world.create()
    assert world.update(INPUTS | changed) == [("update_job", mask)]
    assert world.kind.diff(JOB, world.read(INPUTS | changed), {}, INPUTS | changed).updates == ()


@pytest.mark.parametrize(
    ("changed", "before"),
    [
        ({"endpoint": f"{PARENT}/endpoints/8"}, False),
        ({"analysisInstanceSchemaUri": "gs://artifacts/other.yaml"}, True),
    ],
)
def test_another_endpoint_or_schema_takes_another_job(
    world: World, changed: Any, before: bool
) -> None:
    change = world.kind.diff(JOB, INPUTS, {}, INPUTS | changed)
    assert (change.updates, change.replaces) == ((), tuple(changed))
    assert change.delete_before_replace == before


def test_a_run_after_a_crash_finds_what_the_first_one_made(world: World) -> None:
    world.vertex.fail["create_job"] = [GoogleError(503, "UNAVAILABLE", "who knows")]
    assert world.create()["name"] == JOB
    assert world.asked == ["create_job", "update_job"]
    world.vertex.calls.clear()
    assert world.create(INPUTS | {"samplingRate": 1})["name"] == JOB
    assert world.asked == ["update_job"] and len(world.vertex.jobs) == 1
    assert world.read(INPUTS)["samplingRate"] == 1
    world.create(INPUTS | {"displayName": "another one"})
    assert len(world.vertex.jobs) == 2


def test_it_is_paused_before_it_is_deleted(world: World) -> None:
    world.create()
    world.vertex.calls.clear()
    world.kind.delete(JOB, INPUTS, {}, world.context)
    assert world.asked == ["pause_job", "delete_job"]
    assert world.vertex.jobs == {}
    world.kind.delete(JOB, INPUTS, {}, world.context)
    assert world.kind.read(JOB, INPUTS, {}, world.context) is None


def test_one_that_begins_to_run_while_it_is_deleted_is_paused_then(world: World) -> None:
    world.create()
    world.vertex.jobs[JOB]["state"] = "JOB_STATE_PENDING"
    begin = {"state": "JOB_STATE_RUNNING"}
    world.clock.at.append((0.1, lambda: world.vertex.jobs[JOB].update(begin)))
    world.vertex.calls.clear()
    world.kind.delete(JOB, INPUTS, {}, world.context)
    assert world.asked == ["delete_job", "pause_job", "delete_job"]


def test_a_denial_names_permission_and_identity(world: World) -> None:
    name = "aiplatform.modelDeploymentMonitoringJobs.create"
    text = f"Permission '{name}' denied on resource '//aiplatform.googleapis.com/{PARENT}' (or …"
    world.vertex.fail["create_job"] = [GoogleError(403, "PERMISSION_DENIED", text)]
    with pytest.raises(ProviderError, match=f"needs {name} on {PARENT}, which deployer@p"):
        world.create()


def test_everything_wrong_is_said_at_once(world: World) -> None:
    wrong = {
        "endpoint": "endpoints/7",
        "displayName": "drift",
        "objectives": [
            objective("1", driftThresholds={"heat": 0}),
            objective("1", trainingUri="data.csv"),
            objective("2", **{**SKEW, "trainingFormat": "parquet", "skewThresholds": {"a": "b"}}),
            {"deployedModelId": "3"},
        ],
        "samplingRate": 1.5,
        "intervalHours": 0,
        "logDays": 0.5,
        "emails": ["ana"],
        "notificationChannels": ["4"],
        "analysisInstanceSchemaUri": "reading.yaml",
    }
    assert world.failures(wrong).keys() == {
        "endpoint",
        "objectives[0].driftThresholds.heat",
        "objectives[0].deployedModelId",
        "objectives[1].deployedModelId",
        "objectives[1]",
        "objectives[1].trainingUri",
        "objectives[2].trainingFormat",
        "objectives[2].skewThresholds.a",
        "objectives[3]",
        "samplingRate",
        "intervalHours",
        "logDays",
        "emails[0]",
        "notificationChannels[0]",
        "analysisInstanceSchemaUri",
    }
    assert world.failures(INPUTS) == {}
    assert world.failures(INPUTS | {"objectives": UNKNOWN, "endpoint": UNKNOWN}) == {}
    assert "objectives" in world.failures(INPUTS | {"objectives": []})
