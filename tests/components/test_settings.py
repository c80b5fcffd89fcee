import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from components.artifacts import digest, files_of
from components.configuration import (
    SettingsError,
    collisions,
    parse,
    raw,
    stacks,
    with_others,
    written,
)
from components.models import Served, files
from components.permissions import DEPLOYER, SERVING, roles
from components.serving import image_digest
from components.settings import Settings
from vertexops.schema import CPU_UTILIZATION, DUTY_CYCLE, REQUEST_COUNT

UPLOADED = {"id": "fan", "artifact": "fan.joblib", "traffic": 90}
LOOKED_UP = {
    "id": "pump",
    "source": "projects/iot-models/locations/us-central1/models/pump@default",
    "traffic": 10,
}
GOOD = {
    "project": "iot-staging",
    "region": "us-central1",
    "platformMember": "user:platform@example.com",
    "previewMember": "",
    "accountPrefix": "pm-",
    "rolePrefix": "predictiveMaintenance",
    "endpointId": "7203418",
    "dedicatedEndpoint": "false",
    "labels": "{}",
    "kmsKey": "",
    "requestLogPercent": "100",
    "models": json.dumps([UPLOADED, LOOKED_UP]),
    "canaryGuard": "{}",
    "sourceArtifactsBucket": "iot-models-artifacts",
    "servingContainer": "us-docker.pkg.dev/vertex-ai/prediction/sklearn-cpu.1-5:latest",
    "machineType": "n1-standard-2",
    "accelerator": "{}",
    "servingQuota": "{}",
    "minReplicas": "1",
    "maxReplicas": "2",
    "requiredReplicas": "0",
    "spot": "false",
    "accessLogging": "false",
    "autoscaling": '{"cpuPercent": 60}',
    "containerLogging": "true",
    "rolloutSeconds": "0",
    "container": "{}",
    "sensors": "[]",
    "riskPercent": "50",
    "telemetryDays": "365",
    "backlogDays": "7",
    "telemetryRegions": "[]",
    "orderByDevice": "true",
    "drift": "{}",
    "deviceMembers": "[]",
    "callers": "[]",
    "deviceRegistry": '{"kind": "none"}',
    "alerts": "{}",
    "protect": "false",
    "adoptForeign": "false",
    "namePrefix": "",
    "requestLog": "{}",
    "deployerMay": '["register", "retire"]',
    "readinessSeconds": "900",
    "impersonate": "true",
}

KEY = "projects/iot-keys/locations/us-central1/keyRings/serving/cryptoKeys/pumps"
GITHUB = {"ownerId": 1, "repositoryId": 2, "rolloutEnvironment": "production"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "fan.joblib").write_bytes(b"model")
    return tmp_path


def problems(root: Path, **changed: str | None) -> list[str]:
    values = {**GOOD, **changed}
    with pytest.raises(SettingsError) as caught:
        parse({key: value for key, value in values.items() if value is not None}, root)
    return caught.value.problems


def test_good_values_are_typed(root: Path) -> None:
    settings = parse(GOOD, root)
    assert isinstance(settings, Settings)
    assert (settings.max_replicas, settings.protect, settings.models[1].traffic) == (2, False, 10)
    assert settings.source_projects == ("iot-models",)
    assert settings.capabilities == {"register", "retire", "source", "whole"}


def test_replicas_follow_cpu_use_and_where_it_is_said_requests(root: Path) -> None:
    settings = parse(GOOD, root)
    assert settings.served(settings.models[0]).targets == {CPU_UTILIZATION: 60}
    both = {**GOOD, "autoscaling": '{"requestsPerMinute": 600}'}
    settings = parse(both, root)
    assert settings.served(settings.models[0]).targets == {CPU_UTILIZATION: 60, REQUEST_COUNT: 600}


def test_a_model_is_served_as_its_entry_says_and_else_as_the_settings_do(root: Path) -> None:
    own = {"machineType": "n1-standard-4", "maxReplicas": 1, "containerLogging": False}
    own["autoscaling"] = {"requestsPerMinute": 600}
    given = {**GOOD, "models": json.dumps([UPLOADED, {**LOOKED_UP, **own}])}
    settings = parse(given, root)
    usual, canary = map(settings.served, settings.models)
    assert usual[:3] == ("n1-standard-2", 1, 2) and usual.container_logging
    assert canary[:3] == ("n1-standard-4", 1, 1) and not canary.container_logging
    assert canary.targets == {CPU_UTILIZATION: 60, REQUEST_COUNT: 600}


def with_gpus(root: Path, **own: Any) -> Served:
    """How a looked-up model is served, whose container nobody knows."""
    settings = parse({**GOOD, "models": json.dumps([UPLOADED, {**LOOKED_UP, **own}])}, root)
    return settings.served(settings.models[1])


@pytest.mark.parametrize(
    ("own", "gpus"),
    [
        ({"accelerator": {"type": "NVIDIA_TESLA_T4"}}, "1 NVIDIA_TESLA_T4"),
        (
            {"machineType": "n1-standard-32", "accelerator": {"type": "NVIDIA_TESLA_T4"}},
            "2 NVIDIA_TESLA_T4",
        ),
        ({"machineType": "g2-standard-24"}, "2 NVIDIA_L4"),
        (
            {"machineType": "g2-standard-4", "accelerator": {"type": "NVIDIA_L4", "count": 1}},
            "1 NVIDIA_L4",
        ),
    ],
)
def test_accelerators_are_filled_in_and_their_use_counts(
    root: Path, own: dict[str, Any], gpus: str
) -> None:
    served = with_gpus(root, **own)
    assert str(served.gpus) == gpus
    assert served.targets == {CPU_UTILIZATION: 60, DUTY_CYCLE: 60}
    served = with_gpus(root, **own, autoscaling={"cpuPercent": 80, "gpuPercent": 70})
    assert served.targets == {CPU_UTILIZATION: 80, DUTY_CYCLE: 70}


def test_an_entry_may_go_without_the_accelerator_of_all_others(root: Path) -> None:
    ones = json.dumps([{**LOOKED_UP, "traffic": 90}, {**LOOKED_UP, "id": "two", "accelerator": {}}])
    given = {**GOOD, "models": ones, "accelerator": '{"type": "NVIDIA_TESLA_T4"}'}
    given["autoscaling"] = '{"gpuPercent": 70}'
    settings = parse(given, root)
    first, second = map(settings.served, settings.models)
    assert (first.gpus.count, first.targets[DUTY_CYCLE]) == (1, 70)
    assert (second.gpus.count, second.targets) == (0, {CPU_UTILIZATION: 60})


@pytest.mark.parametrize(
    ("own", "said"),
    [
        (
            {"accelerator": {"type": "NVIDIA_TESLA_T4", "count": 3}},
            "models[1]: n1-standard-2 does not take 3 NVIDIA_TESLA_T4, but NVIDIA_TESLA_T4 (1, 2, "
            "4); NVIDIA_TESLA_P4 (1, 2, 4); NVIDIA_TESLA_P100 (1, 2, 4); NVIDIA_TESLA_V100 (1, 2, "
            "4, 8) (Vertex AI, configure-compute). An entry has what it leaves out from the "
            "settings of all models",
        ),
        (
            {"accelerator": {"type": "NVIDIA_L4"}},
            "n1-standard-2 does not take NVIDIA_L4, but NVIDIA_TESLA_T4 (1, 2, 4)",
        ),
        (
            {"accelerator": {"type": "NVIDIA_H100_80GB"}},
            "NVIDIA_H100_80GB comes with a3-highgpu-1g",
        ),
        (
            {"machineType": "e2-standard-4", "accelerator": {"type": "NVIDIA_TESLA_T4"}},
            "models[1]: e2-standard-4 takes no accelerator: leave it out, or take an N1 machine (",
        ),
        (
            {"machineType": "e2-standard-4", "accelerator": {"type": "NVIDIA_L4"}},
            "e2-standard-4 takes no accelerator: leave it out; NVIDIA_L4 comes with g2-standard-4",
        ),
        (
            {"machineType": "g2-standard-8", "accelerator": {"type": "NVIDIA_L4", "count": 8}},
            "models[1]: g2-standard-8 comes with 1 NVIDIA_L4 and takes no other accelerator, so",
        ),
        (
            {"machineType": "a2-highgpu-1g", "accelerator": {"type": "NVIDIA_TESLA_T4"}},
            "a2-highgpu-1g comes with 1 NVIDIA_TESLA_A100 and takes no other accelerator, so leave",
        ),
        (
            {"autoscaling": {"gpuPercent": 70}},
            "models[1].autoscaling.gpuPercent: 70 is for a model with an accelerator",
        ),
        (
            {"accelerator": {"type": "T4"}},
            "models[1].accelerator.type: 'T4' is no accelerator that Vertex AI serves with; the ne",
        ),
    ],
)
def test_accelerators_that_do_not_fit_are_refused_with_what_would(
    root: Path, own: dict[str, Any], said: str
) -> None:
    found = problems(root, models=json.dumps([UPLOADED, {**LOOKED_UP, **own}]))
    assert any(said in problem for problem in found), found


def test_an_own_image_may_use_accelerators_and_one_for_scikit_learn_does_not(root: Path) -> None:
    t4 = {"type": "NVIDIA_TESLA_T4"}
    image = {"image": "us-docker.pkg.dev/vertex-ai/prediction/tf2-gpu.2-15:latest"}
    fan = {**UPLOADED, "accelerator": t4, "container": image}
    assert parse({**GOOD, "models": json.dumps([fan, LOOKED_UP])}, root)
    for idle in ("sklearn-cpu.1-5", "xgboost-cpu.2-1"):
        image["image"] = f"europe-docker.pkg.dev/vertex-ai/prediction/{idle}:latest"
        (said,) = problems(root, models=json.dumps([fan, LOOKED_UP]))
        assert said.startswith("models[0]: 1 NVIDIA_TESLA_T4 would be idle in europe-docker.pkg.de")
    image["image"] = "us-docker.pkg.dev/vertex-ai/prediction/tf2-gpu.2-15:latest"
    fan["canary"] = {"percent": 10, "container": {"image": GOOD["servingContainer"]}}
    (said,) = problems(root, models=json.dumps([fan, LOOKED_UP]))
    assert said.startswith("models[0]: 1 NVIDIA_TESLA_T4 would be idle in us-docker.pkg.dev/vert")


@pytest.mark.parametrize(
    ("own", "changed", "said"),
    [
        (
            {"maxReplicas": 49},
            {},
            "models: 51 replicas, with maxReplicas of each model, are 102 while old and new run "
            "side by side in a rollout, and us-central1 gives 100 (Vertex AI's page of quotas). "
            "Lower maxReplicas or take smaller machines; if Google gave the project more, say so "
            "in servingQuota.replicas",
        ),
        (
            {"machineType": "n2-standard-128", "maxReplicas": 9},
            {},
            "models: 1156 CPUs, with maxReplicas of each model, are 2312 while old and new run "
            "side by side in a rollout, and us-central1 gives 2200",
        ),
        (
            {"machineType": "g2-standard-24", "maxReplicas": 8},
            {},
            "16 NVIDIA_L4, with maxReplicas of each model, are 32 while old and new run side by "
            "side in a rollout, and us-central1 gives 28",
        ),
        ({"maxReplicas": 3}, {"region": "europe-north1"}, "10 CPUs, with maxReplicas of each mod"),
        (
            {"machineType": "g2-standard-4"},
            {"region": "europe-west3"},
            "models: europe-west3 has no NVIDIA_L4 for serving; asia-east1, asia-northeast1, asia",
        ),
    ],
)
def test_more_than_the_quotas_give_while_old_and_new_run_is_refused(
    root: Path, own: dict[str, Any], changed: dict[str, str], said: str
) -> None:
    region = changed.get("region", "us-central1")
    source = LOOKED_UP["source"].replace("us-central1", region)
    models = json.dumps([UPLOADED, {**LOOKED_UP, **own, "source": source}])
    found = problems(root, models=models, **changed)
    assert any(said in problem for problem in found), found


def test_what_google_gave_a_project_lifts_the_refusal(root: Path) -> None:
    own = {"machineType": "g2-standard-24", "maxReplicas": 60}
    given = {**GOOD, "models": json.dumps([UPLOADED, {**LOOKED_UP, **own}])}
    more = {"replicas": 124, "cpus": 2896, "accelerators": {"NVIDIA_L4": 240}}
    assert parse({**given, "servingQuota": json.dumps(more)}, root)
    for key in more:
        less = json.dumps({it: more[it] for it in more if it != key})
        (said,) = problems(root, models=given["models"], servingQuota=less)
        assert f"say so in servingQuota.{key}" in said


def test_spot_machines_are_not_charged_for_in_these_quotas(root: Path) -> None:
    own = {"machineType": "g2-standard-24", "maxReplicas": 40, "spot": True}
    assert with_gpus(root, **own).gpus.count == 2


def test_a_deployment_waits_for_all_of_the_fewest_replicas_or_for_those_that_are_said(
    root: Path,
) -> None:
    own = {"minReplicas": 2, "requiredReplicas": 1, "spot": True, "accessLogging": True}
    given = {**GOOD, "minReplicas": "2", "models": json.dumps([UPLOADED, {**LOOKED_UP, **own}])}
    settings = parse({**given, "requiredReplicas": "2"}, root)
    usual, canary = map(settings.served, settings.models)
    assert (usual.required, usual.spot, usual.access_logging) == (None, False, False)
    assert (canary.required, canary.spot, canary.access_logging) == (1, True, True)
    reset = {**LOOKED_UP, "minReplicas": 1, "requiredReplicas": 0}
    settings = parse(
        {**given, "requiredReplicas": "1", "models": json.dumps([UPLOADED, reset])}, root
    )
    assert [settings.served(it).required for it in settings.models] == [1, None]


def test_a_rollout_has_half_an_hour_for_each_model_unless_it_is_said(root: Path) -> None:
    assert parse(GOOD, root).rollout_deadline == 3600
    assert parse({**GOOD, "rolloutSeconds": "900"}, root).rollout_deadline == 900


OWN_IMAGE = "us-central1-docker.pkg.dev/iot-staging/serving/pump:3"
OWN = {"id": "pump-own", "traffic": 90, "container": {"image": OWN_IMAGE}}


def test_a_model_may_have_a_container_of_its_own(root: Path) -> None:
    """What it leaves out is Vertex AI's default, not what the setting says for other images."""
    usual = {"deploymentTimeoutSeconds": 3600, "env": {"usual_mode": "fast"}}
    sent = {"deployment_timeout_seconds": 3600, "env": {"usual_mode": "fast"}}
    given = [{**UPLOADED, "traffic": 0}, OWN, LOOKED_UP]
    settings = parse({**GOOD, "models": json.dumps(given), "container": json.dumps(usual)}, root)
    first, second, _ = settings.models
    assert settings.image(first) == GOOD["servingContainer"]
    assert settings.served(first).container.specification == sent
    assert settings.image(second) == OWN_IMAGE
    assert settings.served(second).container.specification == {}
    assert settings.rollout_deadline == 3600 + 1800 + 3600


def test_an_artifact_may_be_a_folder(root: Path) -> None:
    (root / "fan" / "assets").mkdir(parents=True)
    (root / "fan" / "saved_model.pb").touch()
    (root / "fan" / "assets" / "vocabulary.txt").touch()
    folder = json.dumps([{**UPLOADED, "artifact": "fan"}, LOOKED_UP])
    parse({**GOOD, "models": folder}, root)
    assert list(files(root / "fan")) == ["assets/vocabulary.txt", "saved_model.pb"]
    (root / "empty").mkdir()
    empty = json.dumps([{**UPLOADED, "artifact": "empty"}, LOOKED_UP])
    assert "'empty' is no file in" in problems(root, models=empty)[0]


def test_the_content_of_an_artifact_is_that_of_all_its_files(tmp_path: Path) -> None:
    (tmp_path / "a.bst").write_bytes(b"a")
    (tmp_path / "b.bst").write_bytes(b"b")
    one, other = tmp_path / "a.bst", tmp_path / "b.bst"
    assert digest({"model.joblib": one}) == hashlib.sha256(b"a").hexdigest()
    both = [{"x": one, "y": other}, {"x": other, "y": one}, {"x": one, "z": other}, {"x": one}]
    assert len({digest(it) for it in both}) == 4
    assert list(files_of(one, GOOD["servingContainer"])) == ["model.joblib"]
    assert list(files_of(one, OWN_IMAGE)) == ["a.bst"]
    assert list(files_of(tmp_path, GOOD["servingContainer"])) == ["a.bst", "b.bst"]


def test_an_image_is_known_by_its_digest_or_by_its_name() -> None:
    pinned = f"{OWN_IMAGE}@sha256:{'a' * 64}"
    assert image_digest(pinned) == "a" * 64
    assert image_digest(OWN_IMAGE) == hashlib.sha256(OWN_IMAGE.encode()).hexdigest()


WATCHED = {**GOOD, "requestLogPercent": "0", "sensors": '["heat", "load"]'}


def test_drift_is_watched_where_it_is_said(root: Path) -> None:
    assert parse(GOOD, root).drift is None
    given = {"thresholds": {"heat": 0.1}, "intervalHours": 1}
    settings = parse({**WATCHED, "drift": json.dumps(given)}, root)
    assert settings.drift is not None
    assert (settings.drift.threshold, settings.drift.thresholds) == (0.3, {"heat": 0.1})
    assert "drift" in settings.capabilities


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"requestLogPercent": "10"}, "excludes requestLogPercent, 10: Google keeps both in one"),
        ({"sensors": "[]"}, "needs sensors: they are what is watched"),
        ({"drift": '{"thresholds": {"cold": 0.1}}'}, "has thresholds of cold, not among the sens"),
        ({"drift": '{"thresholds": {"heat": 2}}'}, "drift.thresholds.heat: 2 is not valid"),
        ({"drift": '{"threshold": 0}'}, "drift.threshold: 0 is not valid"),
        ({"drift": '{"interval": 1}'}, "for an unknown key; did you mean intervalHours?"),
        ({"drift": '{"emails": ["ana"]}'}, "drift.emails[0]: 'ana' is not an e-mail address"),
        ({"drift": '{"channels": ["4"]}'}, "is not projects/P/notificationChannels/C"),
        (
            {"deployerMay": "[]", "models": json.dumps([{**LOOKED_UP, "traffic": 100}])},
            "needs 'register' in deployerMay: what a reading looks like",
        ),
    ],
)
def test_what_drift_cannot_be_watched_with(root: Path, changed: dict[str, str], said: str) -> None:
    values = {**WATCHED, "drift": '{"threshold": 0.3}', **changed}
    assert any(said in problem for problem in problems(root, **values)), problems(root, **values)


def test_training_data_is_a_file_beside_an_artifact(root: Path) -> None:
    (root / "fan.csv").write_text("heat,failure\n")
    training = {"data": "fan.csv", "target": "failure"}
    models = [{**UPLOADED, "training": training}, LOOKED_UP]
    assert parse({**GOOD, "models": json.dumps(models)}, root).models[0].training is not None
    models = [
        {**UPLOADED, "training": {**training, "data": "gone.csv"}},
        {**LOOKED_UP, "training": {**training, "data": "fan.parquet"}},
    ]
    found = problems(root, models=json.dumps(models))
    assert any("models[0].training.data: 'gone.csv' is no file in" in line for line in found)
    assert any("is not the path of a .csv or .jsonl file" in line for line in found)


@pytest.mark.parametrize(
    ("alerts", "capabilities"),
    [
        ({}, set()),
        ({"emails": ["ana@example.com"]}, {"watch"}),
        ({"topic": "incidents"}, {"watch", "inform"}),
    ],
)
def test_somebody_to_tell_is_what_has_the_stack_watch(
    root: Path, alerts: dict[str, object], capabilities: set[str]
) -> None:
    settings = parse({**GOOD, "alerts": json.dumps(alerts)}, root)
    assert settings.capabilities == {"register", "retire", "source", "whole", *capabilities}


PLATFORM = "serviceAccount:pm-platform@iot-staging.iam.gserviceaccount.com"


@pytest.mark.parametrize(
    ("changed", "capabilities"),
    [
        ({"federation": json.dumps(GITHUB)}, {"review", "federate"}),
        (
            {
                "federation": json.dumps({**GITHUB, "foundationEnvironment": "base"}),
                "platformMember": PLATFORM,
            },
            {"review", "federate", "foundation"},
        ),
        ({"previewMember": "user:ana@example.com"}, {"review", "invite"}),
    ],
)
def test_who_previews_is_a_member_or_a_job(
    root: Path, changed: dict[str, str], capabilities: set[str]
) -> None:
    settings = parse({**GOOD, **changed}, root)
    assert settings.capabilities == {"register", "retire", "source", "whole", *capabilities}


def test_an_endpoint_that_google_numbered_can_be_taken_over(root: Path) -> None:
    """What a program chooses has 9 digits at most; Google's own numbers are int64."""
    number = str(2**63 - 1)
    assert parse({**GOOD, "endpointId": number}, root).endpoint_name.endswith(f"/{number}")


def registered(**given: str) -> dict[str, str]:
    own = {**LOOKED_UP, "source": LOOKED_UP["source"].replace("iot-models", "iot-staging")}
    models = json.dumps([{**own, "traffic": 100}])
    return {**GOOD, "models": models, "sourceArtifactsBucket": "", **given}


def test_a_model_of_the_projects_own_registry_takes_no_source_project(root: Path) -> None:
    settings = parse(registered(), root)
    assert settings.source_projects == () and settings.own_bucket == ""
    assert settings.bucket_of(settings.models[0]) == "iot-staging-model-artifacts"
    assert settings.capabilities == {"register", "retire", "own-registry", "whole"}
    elsewhere = parse(registered(registryArtifactsBucket="pipelines", deployerMay="[]"), root)
    assert elsewhere.own_bucket == elsewhere.bucket_of(elsewhere.models[0]) == "pipelines"
    assert elsewhere.capabilities == {"own-registry", "own-bucket", "whole"}
    deployer, serving = (
        {role.on: role.permissions for role in roles(elsewhere.capabilities) if role.identity == it}
        for it in (DEPLOYER, SERVING)
    )
    assert "aiplatform.models.get" in deployer["project"]
    assert "aiplatform.models.upload" not in deployer["project"]
    assert serving == {"registry artifact bucket": ("storage.objects.get", "storage.objects.list")}


def test_an_image_of_another_project_is_pulled_from_its_repository(root: Path) -> None:
    elsewhere = OWN_IMAGE.replace("iot-staging", "iot-models")
    pulled = {**OWN, "container": {"image": elsewhere}}
    settings = parse({**GOOD, "models": json.dumps([pulled, LOOKED_UP])}, root)
    [repository] = settings.repositories
    assert repository.name == "projects/iot-models/locations/us-central1/repositories/serving"
    assert {"source", "pull"} <= settings.capabilities
    alone = parse({**GOOD, "models": json.dumps([{**pulled, "traffic": 100}])}, root)
    assert alone.source_projects == ("iot-models",)
    assert "pull" in alone.capabilities and "source" not in alone.capabilities
    own = parse({**GOOD, "models": json.dumps([OWN, LOOKED_UP])}, root)
    assert own.repositories == () and "pull" not in own.capabilities
    far = {**OWN, "container": {"image": OWN_IMAGE.replace("iot-staging", "images-far")}}
    both = parse({**GOOD, "models": json.dumps([far, LOOKED_UP])}, root)
    assert both.source_projects == ("iot-models", "images-far")
    assert {project: key for key, project in both.declared_roles if key == "imageReader"} == {
        "images-far": "imageReader"
    }
    assert ("modelReader", "images-far") not in both.declared_roles


def test_models_of_two_other_projects_have_a_bucket_each(root: Path) -> None:
    far = LOOKED_UP | {
        "id": "valve",
        "source": LOOKED_UP["source"].replace("iot-models", "iot-far"),
        "traffic": 90,
    }
    [said] = problems(root, models=json.dumps([LOOKED_UP, far]))
    assert "is the bucket of the artifacts in iot-far and iot-models, and is in one of them" in said
    own = far | {"sourceArtifactsBucket": "far-artifacts"}
    settings = parse({**GOOD, "models": json.dumps([LOOKED_UP, own])}, root)
    named = GOOD["sourceArtifactsBucket"]
    assert settings.source_buckets == {named: "iot-models", "far-artifacts": "iot-far"}
    assert {project for key, project in settings.declared_roles if key == "modelReader"} == {
        *("iot-models", "iot-far")
    }
    with_none = {**GOOD, "sourceArtifactsBucket": "", "models": json.dumps([LOOKED_UP, own])}
    with pytest.raises(SettingsError, match="name the bucket of the artifacts in iot-models"):
        parse(with_none, root)
    upload = UPLOADED | {"sourceArtifactsBucket": "far-artifacts"}
    [said] = problems(root, models=json.dumps([upload, LOOKED_UP]))
    assert "has a `sourceArtifactsBucket`, which is for a model with a `source`" in said


def test_a_bucket_without_models_of_the_own_registry_is_granted_nothing(root: Path) -> None:
    assert parse({**GOOD, "registryArtifactsBucket": "pipelines"}, root).own_bucket == ""


def test_artifacts_of_the_own_registry_have_to_be_somewhere(root: Path) -> None:
    [said] = problems(root, **registered(deployerMay="[]"))
    assert said.startswith("models: registryArtifactsBucket has to name the bucket of the artifac")


def test_who_else_asks_is_a_capability_and_grows_no_role(root: Path) -> None:
    asked = json.dumps(["group:dashboards@example.com", "serviceAccount:a@iot-other.iam.g.com"])
    for sensors in ("[]", '["heat"]'):
        usual = parse({**GOOD, "sensors": sensors}, root)
        shared = parse({**GOOD, "sensors": sensors, "callers": asked}, root)
        assert shared.capabilities - usual.capabilities == {"call"}
        assert shared.declared_roles == usual.declared_roles
        more = set(roles(shared.capabilities)) - set(roles(usual.capabilities))
        assert {(it.identity, it.key, it.on) for it in more} == {
            ("caller", "predictor", "endpoint")
        }


def test_labels_are_a_capability(root: Path) -> None:
    settings = parse({**GOOD, "labels": '{"team": "pumps"}'}, root)
    assert settings.labels == {"team": "pumps"} and "label" in settings.capabilities


def test_an_endpoint_may_have_a_name_that_people_can_read(root: Path) -> None:
    name = parse({**GOOD, "endpointId": "pump-failures"}, root).endpoint_name
    assert name.endswith("/endpoints/pump-failures")


def test_settings_cannot_be_changed(root: Path) -> None:
    with pytest.raises(ValueError, match="frozen"):
        parse(GOOD, root).project = "other"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"dedicatedEndpoint": "true"},
            "excludes dedicatedEndpoint, true: an endpoint has a public name of its own, or is "
            "reached from the networks of these projects",
        ),
        (
            {"sensors": '["heat"]'},
            "excludes sensors: Pub/Sub asks public endpoints alone, shared or dedicated",
        ),
    ],
)
def test_what_a_private_endpoint_excludes(root: Path, changes: dict[str, str], said: str) -> None:
    [found] = problems(root, privateProjects='["plant-a"]', **changes)
    assert found.startswith("privateProjects: ") and said in found
    assert found.endswith("privateProjects to []")


def test_a_private_endpoint_is_open_to_the_stacks_own_project_too(root: Path) -> None:
    private = parse({**GOOD, "privateProjects": '["plant-b", "plant-a"]'}, root)
    assert private.allowlist == ["iot-staging", "plant-a", "plant-b"]
    assert parse(GOOD, root).allowlist == []


@pytest.mark.parametrize(
    ("changes", "users"),
    [
        ({}, {"vertex agent", "bigquery agent", "storage agent"}),
        (
            {"sensors": '["heat"]'},
            {"vertex agent", "bigquery agent", "storage agent", "pubsub agent"},
        ),
        (
            {"deployerMay": "[]", "models": json.dumps([{**LOOKED_UP, "traffic": 100}])},
            {"vertex agent", "bigquery agent"},
        ),
    ],
)
def test_who_uses_a_key_of_ones_own(root: Path, changes: dict[str, str], users: set[str]) -> None:
    settings = parse({**GOOD, "kmsKey": KEY, **changes}, root)
    assert set(settings.key_users) == users
    assert settings.role_name("platformKey") == "projects/iot-keys/roles/platformKey"


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("project", "X", "project: 'X' is not a project id"),
        ("region", "us-centrall1", "the nearest name is us-central1"),
        ("platformMember", "ana", "platformMember: 'ana' is not a member"),
        ("accountPrefix", "Bad_", "'Bad_deployer'; Google wants 6-30 of a-z"),
        ("accountPrefix", "p" * 25, "Google wants 6-30"),
        ("rolePrefix", "no-dash", "'no-dashDeployer'; Google wants 3-64 letters"),
        *(
            ("endpointId", id, f"endpointId: '{id}' is not 1-9 digits without a leading zero, or")
            for id in ("0123", "1234567890", "7-pumps", "pumps-", "Pumps", "p" * 64)
        ),
        *(
            ("region", region, "is a region for which Google lists no serving CPUs (Vertex AI's p")
            for region in ("us-west8", "europe-west10")
        ),
        ("privateProjects", '["Plant"]', "privateProjects[0]: 'Plant' is not a project id"),
        ("privateProjects", '["plant-a", "plant-a"]', "names plant-a twice; once is enough"),
        *(
            ("kmsKey", key, f"kmsKey: '{key}' is not projects/P/locations/REGION/keyRings/R/cry")
            for key in ("k", f"{KEY}/cryptoKeyVersions/1", KEY.replace("projects", "project"))
        ),
        (
            "kmsKey",
            KEY.replace("us-central1", "europe-west4"),
            "is a key in europe-west4, and the endpoint is in us-central1: Vertex AI wants both in "
            "one region; name a key in us-central1",
        ),
        ("requestLogPercent", "101", "requestLogPercent: '101' is not valid"),
        ("sensors", '["heat", "heat"]', "sensors: ['heat', 'heat'] names heat twice"),
        ("sensors", '["device"]', "names device twice, or as device and time and risk are"),
        ("sensors", '["Heat"]', "sensors[0]: 'Heat' is not a column name"),
        ("riskPercent", "0", "riskPercent: '0' is not valid"),
        ("telemetryRegions", '["us-east1"]', "lacks us-central1, where the endpoint is"),
        ("deviceMembers", '["pump"]', "deviceMembers[0]: 'pump' is not a member"),
        ("callers", '["allUsers"]', "callers[0]: 'allUsers' is not a member such as user:ana@exam"),
        ("callers", json.dumps(["user:a@b.c"] * 2), "names user:a@b.c twice; once is enough"),
        *(
            ("callers", f'["serviceAccount:pm-{of}@iot-staging.iam.gserviceaccount.com"]', said)
            for of in ("telemetry", "device")
            for said in ("which the stack makes: its telemetry account asks already",)
        ),
        *(
            ("deviceRegistry", json.dumps({"kind": name}), "is no registry any more: Google's IoT")
            for name in ("iotcore", "cloudiot", "iot", "Cloud IoT Core", "cloudiot.googleapis.com")
        ),
        ("deviceRegistry", "iotcore", "There is clearblade (ClearBlade IoT Core, which keeps"),
        ("deviceRegistry", "azure", "deviceRegistry.kind: 'azure' is not valid: input should be"),
        ("deviceRegistry", "clearblade", "needs `registry`, the id of the registry in ClearBlade"),
        (
            "deviceRegistry",
            json.dumps({"kind": "clearblade", "registry": "shuttles"}),
            "needs `sensors`: without them there is no topic to publish to",
        ),
        (
            "deviceRegistry",
            json.dumps({"kind": "none", "devices": ["pump"]}),
            "has devices, which only kind clearblade takes",
        ),
        (
            "deviceRegistry",
            json.dumps({"kind": "clearblade", "registry": "1"}),
            "deviceRegistry.registry: '1' is not 3 to 255 letters",
        ),
        (
            "deviceRegistry",
            json.dumps({"kind": "clearblade", "registry": "shuttles", "region": "us-east1"}),
            "deviceRegistry.region: 'us-east1' is not a region of ClearBlade's, which are asia-ea",
        ),
        (
            "deviceRegistry",
            json.dumps({"kind": "clearblade", "registry": "shuttles", "device": ["pump"]}),
            "did you mean devices?",
        ),
        (
            "deviceRegistry",
            json.dumps(
                {
                    "kind": "clearblade",
                    "registry": "shuttles",
                    "gateways": ["hall"],
                    "devices": ["hall"],
                }
            ),
            "names hall twice; gateways are devices too",
        ),
        *(
            ("deviceMembers", json.dumps([role]), "is no role to give anybody: roles/iot.* never")
            for role in ("roles/iot.registryEditor", "roles/cloudiot.editor")
        ),
        ("deployerMay", '["roles/iot.admin"]', "deployerMay[0]: 'roles/iot.admin' is no role"),
        ("alerts", '{"latencyMs": 500}', "tells nobody; give `emails`, `topic` or both"),
        ("alerts", '{"emails": ["ana"]}', "alerts.emails[0]: 'ana' is not an address"),
        ("alerts", '{"topic": "telemetry"}', "alerts.topic: 'telemetry' is not a name for a topic"),
        ("alerts", '{"topic": "a-b", "errorPercent": 0}', "alerts.errorPercent: 0 is not valid"),
        ("alerts", '{"topic": "a-b", "availabilityPercent": 100}', "availabilityPercent: 100 is"),
        ("alerts", '{"topic": "a-b", "latency": 5}', "did you mean latencyMs?"),
        ("alerts", "all", "alerts: 'all' is not valid"),
        *(
            ("federation", json.dumps({**GITHUB, **changed}), said)
            for changed, said in (
                ({"ownerId": "acme"}, "federation.ownerId: 'acme' is not the number that GitHub"),
                ({"repositoryId": 0}, "federation.repositoryId: 0 is not the number"),
                ({"rolloutEnvironment": "it's"}, "is not an environment's name"),
                ({"branch": "main' || true"}, "is not a branch such as main"),
                ({"foundationEnvironment": "Production"}, "has 'production' for both"),
                ({"foundationEnvironment": "base"}, "platformMember has to be an account of iot-s"),
                ({"pool": "gcp-pool"}, "federation.pool: 'gcp-pool' is not a pool id"),
                ({"repository": "acme/pumps"}, "did you mean repositoryId?"),
            )
        ),
        ("federation", '{"ownerId": "1", "repositoryId": "2"}', "rolloutEnvironment: not set"),
        ("minReplicas", "3", "minReplicas: '3' is more than maxReplicas, 2; use 1 to 2"),
        ("minReplicas", "0", "minReplicas: '0' is not valid"),
        ("autoscaling", '{"cpuPercent": 0}', "autoscaling.cpuPercent: 0 is not valid"),
        ("autoscaling", '{"requestsPerMinute": 0}', "requestsPerMinute: 0 is not valid"),
        ("autoscaling", '{"cpu": 60}', "autoscaling.cpu: 60 is for an unknown key; did you mean c"),
        ("autoscaling", "60", "autoscaling: '60' is not valid"),
        ("maxReplicas", "many", "maxReplicas: 'many' is not valid"),
        ("protect", "maybe", "protect: 'maybe' is not valid"),
        ("machineType", "big", "machineType: 'big' is no machine that Vertex AI lists for servin"),
        ("machineType", "n1-standrad-4", "the nearest is n1-standard-4"),
        ("machineType", "c3-standard-4", "the nearest is c2-standard-4"),
        ("machineType", "n1-standard", "is no machine"),
        ("machineType", "n2-highcpu-128", "is no machine"),
        *(
            ("machineType", kind, "is for TPUs, or sold by the rack, which this stack does not dep")
            for kind in ("ct5lp-hightpu-1t", "a4x-highgpu-4g")
        ),
        ("machineType", "g2-standard-4", "models[0]: 1 NVIDIA_L4 would be idle in us-docker.pkg"),
        ("accelerator", '{"type": "T4"}', "accelerator.type: 'T4' is no accelerator that Vertex A"),
        ("accelerator", '{"type": "NVIDIA_TESLA_T4", "count": 0}', "accelerator.count: 0 is not"),
        ("accelerator", '{"count": 1}', "has a `count` and no `type`, such as NVIDIA_TESLA_T4"),
        ("accelerator", '{"kind": "L4"}', "accelerator.kind: 'L4' is for an unknown key; did you"),
        (
            "accelerator",
            '{"type": "NVIDIA_TESLA_T4"}',
            "\"You can't use GPUs for scikit-learn or X",
        ),
        (
            "autoscaling",
            '{"gpuPercent": 70}',
            ": autoscaling.gpuPercent, 70, is for a model with a",
        ),
        ("autoscaling", '{"gpuPercent": 101}', "autoscaling.gpuPercent: 101 is not valid"),
        ("servingQuota", '{"replicas": 201}', "servingQuota.replicas: 201 is not valid"),
        (
            "servingQuota",
            '{"cpu": 1}',
            "servingQuota.cpu: 1 is for an unknown key; did you mean cp",
        ),
        ("servingQuota", '{"accelerators": {"L4": 1}}', "servingQuota.accelerators.L4"),
        ("deployerMay", '["fly"]', "deployerMay[0]: 'fly' is not valid"),
        ("deployerMay", '["retire"]', "deployerMay has no 'register'"),
        (
            "sourceArtifactsBucket",
            "",
            "sourceArtifactsBucket has to name the bucket of the artifacts",
        ),
        ("models", "[]", "models: give at least one model"),
        ("models", "nonsense", "models: 'nonsense' is not valid"),
        ("models", json.dumps([UPLOADED]), "models: traffic is 90 = 90; it has to sum to 100"),
        ("models", json.dumps([UPLOADED, {**LOOKED_UP, "id": "fan"}]), "'fan' is used 2 times"),
        ("models", json.dumps([{**UPLOADED, "traffic": "x"}]), "models[0].traffic: 'x' is not"),
        ("models", json.dumps([{**UPLOADED, "trafic": 1}]), "did you mean traffic?"),
        ("servingContainer", "sklearn", "'sklearn' is not an image in Artifact Registry"),
        ("container", json.dumps({"image": OWN_IMAGE}), "servingContainer is the one of all model"),
        *(
            ("container", json.dumps(given), said)
            for given, said in (
                ({"port": 65536}, "container.port: 65536 is not valid: input should be less than"),
                ({"predictRoute": "x"}, "container.predictRoute: 'x' is not a path that begins"),
                ({"deploymentTimeoutSeconds": 7201}, "deploymentTimeoutSeconds: 7201 is not valid"),
                ({"env": {"A-B": "secret"}}, "is 'A-B', not a C identifier"),
                ({"env": {"A": 1}}, "container.env.A: 1 is not valid"),
                ({"startupProbe": {}}, "needs either `path` (to ask for) or `command`"),
                ({"healthProbe": {"path": "/", "period": 5}}, "did you mean periodSeconds?"),
                ({"healthProbe": {"path": "/", "timeoutSeconds": 0}}, "timeoutSeconds: 0 is not"),
                ({"ports": [1]}, "did you mean port?"),
            )
        ),
        *(
            ("models", json.dumps(given), said)
            for given, said in (
                ([{**OWN, "container": {"port": 1}}, LOOKED_UP], "or a container with an `image`"),
                ([{**OWN, "container": {"image": "x"}}, LOOKED_UP], "models[0].container.image: "),
                ([UPLOADED, {**LOOKED_UP, "container": {"port": 1}}], "which is for an upload"),
                ([UPLOADED, {**LOOKED_UP, "artifact": "fan.joblib"}], "needs either `artifact`"),
            )
        ),
        *(
            ("labels", json.dumps(given), said)
            for given, said in (
                ({"Team": "x"}, "labels.Team.[key]: 'Team' is not a label's key: up to 63 of a-z"),
                ({"1": "x"}, "is not a label's key"),
                ({"team": "A b"}, "labels.team: 'A b' is not a label's value: up to 63 of a-z"),
                ({"team": "x" * 64}, "is not a label's value"),
                ({"team": 1}, "labels.team: 1 is not valid"),
                ({f"a{i}": "" for i in range(65)}, "at most 64 items"),
            )
        ),
        ("rolloutSeconds", "90000", "rolloutSeconds: '90000' is not valid"),
        (
            "requiredReplicas",
            "2",
            "requiredReplicas: '2' is more than minReplicas, 1 (google-cloud-aiplatform, required_"
            "replica_count); use 1 to 1, or 0 for all of them",
        ),
        ("requiredReplicas", "-1", "requiredReplicas: '-1' is not valid"),
        ("spot", "some", "spot: 'some' is not valid"),
        ("accessLogging", "some", "accessLogging: 'some' is not valid"),
        ("containerLogging", "some", "containerLogging: 'some' is not valid"),
        *(
            ("models", json.dumps([UPLOADED, {**LOOKED_UP, **own}]), said)
            for own, said in (
                ({"machineType": "big"}, "models[1].machineType: 'big' is no machine"),
                ({"minReplicas": 3}, "models[1]: minReplicas, 3, is more than maxReplicas, 2; the"),
                ({"minReplicas": 0}, "models[1].minReplicas: 0 is not valid"),
                ({"requiredReplicas": 2}, "models[1]: requiredReplicas, 2, is more than minRepl"),
                ({"requiredReplicas": -1}, "models[1].requiredReplicas: -1 is not valid"),
                ({"spot": "some"}, "models[1].spot: 'some' is not valid"),
                ({"accessLogging": "some"}, "models[1].accessLogging: 'some' is not valid"),
                ({"maxReplicas": 1001}, "models[1].maxReplicas: 1001 is not valid"),
                ({"autoscaling": {"cpuPercent": 101}}, "models[1].autoscaling.cpuPercent: 101 is"),
                ({"autoscaling": {"requests": 9}}, "did you mean requestsPerMinute?"),
                ({"containerLogging": "some"}, "models[1].containerLogging: 'some' is not valid"),
            )
        ),
        ("models", json.dumps([{"id": "fan", "traffic": 100}]), "needs either `artifact`"),
        (
            "models",
            json.dumps([UPLOADED, {**LOOKED_UP, "source": "pump"}]),
            "models[1].source: 'pump' is not projects/P/locations/L/models/M",
        ),
        (
            "models",
            json.dumps([UPLOADED, {**LOOKED_UP, "source": "projects/p/locations/eu/models/m"}]),
            "the model is in eu, the endpoint in us-central1",
        ),
        (
            "models",
            json.dumps([{**UPLOADED, "artifact": "gone.joblib", "traffic": 100}]),
            "models[0].artifact: 'gone.joblib' is no file",
        ),
    ],
)
def test_a_bad_value_is_named_with_what_would_be_valid(
    root: Path, key: str, value: str, said: str
) -> None:
    assert any(said in problem for problem in problems(root, **{key: value}))


def test_an_unknown_key_names_the_nearest_valid_one(root: Path) -> None:
    assert problems(root, regio="x") == ["regio: 'x' is for an unknown key; did you mean region?"]


def test_a_missing_key_is_named(root: Path) -> None:
    assert problems(root, project=None) == ["project: not set; see its description in Pulumi.yaml"]


def test_everything_wrong_is_reported_at_once(root: Path) -> None:
    found = problems(root, region="x", protect="x", minReplicas="5", endpointId="X", colour="x")
    assert {problem.partition(":")[0] for problem in found} == {
        "region", "protect", "minReplicas", "endpointId", "colour",
    }  # fmt: skip


def test_what_is_wrong_with_one_model_hides_nothing_of_what_is_wrong_between_models(
    root: Path,
) -> None:
    models = [
        {**UPLOADED, "replicas": 2},
        {**LOOKED_UP, "traffic": "20"},
        {"id": "fan", "traffic": 5},
    ]
    assert problems(root, models=json.dumps(models), sourceArtifactsBucket="") == [
        "models[0].replicas: 2 is for an unknown key; did you mean maxReplicas?",
        "models[2]: {'id': 'fan', 'traffic': 5} needs either `artifact` (upload) or `source` "
        "(look up), or a container with an `image` that holds the model",
        "models: traffic is 90 + 20 + 5 = 115; it has to sum to 100",
        "models: the id 'fan' is used 2 times; give each model its own",
        "models: sourceArtifactsBucket has to name the bucket of the artifacts in iot-models",
    ]


def test_a_share_that_cannot_be_read_is_in_no_sum(root: Path) -> None:
    models = [{**UPLOADED, "traffic": "most"}, LOOKED_UP]
    assert problems(root, models=json.dumps(models)) == [
        "models[0].traffic: 'most' is not valid: input should be a valid integer, unable to parse "
        "string as an integer"
    ]


def test_a_model_that_is_no_object_leaves_the_others_checked(root: Path) -> None:
    found = problems(root, models=json.dumps(["pump", UPLOADED, {**UPLOADED, "traffic": 10}]))
    assert [line.partition(":")[0] for line in found] == ["models[0]", "models"]
    assert "the id 'fan' is used 2 times" in found[1]


CLEARBLADE = json.dumps({"kind": "clearblade", "registry": "shuttles", "devices": ["pump-1"]})
CREDENTIALS = {
    "systemKey": "system-nobody-may-see",
    "token": "token-nobody-may-see",
    "url": "https://iot.clearblade.com",
    "project": "iot-staging",
}


def test_a_registry_is_in_the_stacks_region_and_its_devices_publish_as_its_account(
    root: Path,
) -> None:
    given = {**GOOD, "sensors": '["heat"]', "deviceRegistry": CLEARBLADE}
    settings = parse(given, root)
    assert settings.registry_region == "us-central1" and settings.publishers == ()
    member = "serviceAccount:clearblade@iot-staging.iam.gserviceaccount.com"
    other = {**json.loads(CLEARBLADE), "region": "europe-west1", "publisher": member}
    settings = parse(
        {**given, "deviceRegistry": json.dumps(other), "deviceMembers": json.dumps([member])}, root
    )
    assert (settings.registry_region, settings.publishers) == ("europe-west1", (member,))


def test_a_region_without_clearblade_needs_another_one(root: Path) -> None:
    models = json.dumps([{**UPLOADED, "traffic": 100}])
    found = problems(
        root, region="us-east1", sensors='["heat"]', deviceRegistry=CLEARBLADE, models=models
    )
    assert len(found) == 1
    assert "needs `region`: ClearBlade is not in us-east1, but in asia-east1" in found[0]


def test_credentials_are_never_shown(root: Path) -> None:
    given = {"sensors": '["heat"]', "deviceRegistry": CLEARBLADE}
    whole = json.dumps(CREDENTIALS)
    settings = parse({**GOOD, **given, "clearbladeCredentials": whole}, root)
    assert settings.clearblade_credentials is not None
    assert settings.clearblade_credentials.get_secret_value() == whole
    lacking = json.dumps({key: CREDENTIALS[key] for key in ("systemKey", "token")})
    shown = [
        repr(settings),
        *problems(root, **given, clearbladeCredentials=lacking),
        *problems(root, **given, clearbladeCredentials=f"[{whole}]"),
        *problems(root, clearbladeCredentials=whole),
    ]
    assert shown[1:] == [
        "clearbladeCredentials: they have to be the file's content: lacks url, project",
        "clearbladeCredentials: they have to be the file's content: is no JSON object, as "
        "ClearBlade gives it out",
        "clearbladeCredentials: is for a deviceRegistry of kind clearblade",
    ]
    assert not [text for text in shown if "nobody-may-see" in text]


DECLARED = """\
config:
  layer: {type: string, default: whole}
  settingsFrom: {type: string, default: ""}
  region: {type: string, default: us-central1}
  sensors: {type: array, default: []}
  project: {type: string, default: ""}
"""


@pytest.fixture
def two_files(tmp_path: Path) -> Path:
    (tmp_path / "Pulumi.yaml").write_text(DECLARED)
    (tmp_path / "Pulumi.prod.yaml").write_text(
        "config: {'p:layer': foundation, 'p:project': iot-prod, 'p:sensors': [f1]}"
    )
    (tmp_path / "Pulumi.prod-rollout.yaml").write_text(
        "config: {'p:layer': rollout, 'p:settingsFrom': prod}"
    )
    return tmp_path


def handed(**own: str) -> dict[str, str]:
    """As Pulumi hands configuration to a program: the defaults are in it."""
    return {"layer": "whole", "settingsFrom": "", "region": "us-central1", "sensors": "[]", **own}


def test_the_other_layer_has_its_settings_from_the_environments_file(two_files: Path) -> None:
    found = with_others(handed(layer="rollout", settingsFrom="prod"), two_files)
    assert found["layer"] == "rollout" and found["settingsFrom"] == ""
    assert (found["project"], found["sensors"]) == ("iot-prod", '["f1"]')
    assert found == raw(written("prod-rollout", two_files))
    assert stacks(two_files) == {"prod": "prod-rollout"}


def test_a_stack_with_its_own_settings_is_left_alone(two_files: Path) -> None:
    given = handed(layer="foundation", project="iot-prod")
    assert with_others(given, two_files) == given


def test_a_setting_in_both_files_is_refused_and_not_half_heard(two_files: Path) -> None:
    with pytest.raises(SettingsError, match=r"region: 'europe-west4' is set here.*Pulumi.prod.ya"):
        with_others(handed(settingsFrom="prod", region="europe-west4"), two_files)


def test_what_is_secret_stays_in_the_stack_that_encrypted_it(two_files: Path) -> None:
    found = with_others(handed(settingsFrom="prod", clearbladeCredentials="{}"), two_files)
    assert found["clearbladeCredentials"] == "{}"


def test_settings_from_a_stack_that_is_not_there_are_named(two_files: Path) -> None:
    with pytest.raises(SettingsError, match=r"settingsFrom: 'production': there is no"):
        with_others(handed(settingsFrom="production"), two_files)


@pytest.mark.parametrize("other", ["prod-rollout", "eu-rollout"])
def test_settings_come_from_a_file_that_has_them_and_not_round_in_a_circle(
    other: str, two_files: Path
) -> None:
    (two_files / "Pulumi.eu-rollout.yaml").write_text(f"config: {{'p:settingsFrom': {other}}}")
    with pytest.raises(SettingsError, match="with settings of its own"):
        written("eu-rollout", two_files)


def test_an_empty_name_of_another_stack_is_none(two_files: Path) -> None:
    (two_files / "Pulumi.staging.yaml").write_text("config: {'p:settingsFrom': ''}")
    assert stacks(two_files) == {"prod": "prod-rollout", "staging": ""}


def test_a_second_stack_of_a_project_has_names_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "fan.joblib").touch()
    settings = parse(GOOD, tmp_path)
    declared = {key: {"default": ""} for key in ("accountPrefix", "rolePrefix", "namePrefix")}
    (tmp_path / "Pulumi.yaml").write_text(json.dumps({"config": declared}))

    (tmp_path / "Pulumi.staging.yaml").write_text(json.dumps({"config": {}}))

    def beside(**theirs: str) -> list[str]:
        values = {"project": settings.project, "accountPrefix": "other-"} | theirs
        named = {f"predictive-maintenance:{key}": value for key, value in values.items()}
        (tmp_path / "Pulumi.b.yaml").write_text(json.dumps({"config": named}))
        return collisions(settings, "staging", tmp_path)

    assert beside(project="elsewhere", accountPrefix=settings.account_prefix) == []
    assert beside(namePrefix="b-", endpointId="1") == []
    [same] = beside(namePrefix="")
    assert same.startswith("namePrefix: '' is that of b too, in the same project")
    assert len(beside(namePrefix="b-", endpointId=settings.endpoint_id)) == 1
    assert collisions(settings, "a-rollout", tmp_path) == []
