"""What is there already becomes a file for `pulumi import`, by a preview and looks at the cloud."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from access import __main__ as command
from access.adopt import ENDPOINT as ENDPOINT_KIND
from access.adopt import READ, UNKNOWN, NotAdoptable, adoption
from access.live import BIGQUERY, IAM, PUBSUB, STORAGE
from access.recover import IDS, NAMED_BY_GOOGLE, CannotLook
from tests.previews import preview

PROJECT = "iot-staging"
BUCKET = f"{STORAGE}/b/{PROJECT}-model-artifacts"
EMAIL = f"pm-deployer@{PROJECT}.iam.gserviceaccount.com"
ACCOUNT = f"{IAM}/projects/{PROJECT}/serviceAccounts/{EMAIL}"
DESCRIBED = {
    "displayName": "Predictive maintenance: deployer",
    "description": "creates the endpoint and rolls models out; impersonated by platform",
}
ROLE = f"{IAM}/projects/{PROJECT}/roles/predictiveMaintenanceDeployer"
NAME = f"projects/{PROJECT}/locations/us-central1/endpoints/7203418"
ENDPOINT = f"https://us-central1-aiplatform.googleapis.com/v1/{NAME}"
MODEL = f"projects/{PROJECT}/locations/us-central1/models"
ALERTS = f"https://monitoring.googleapis.com/v3/projects/{PROJECT}/alertPolicies"
FIRST = preview("first-deployment")
KEY = "projects/iot-keys/locations/us-central1/keyRings/serving/cryptoKeys/staging"
THERE = {"name": NAME, "encryptionSpec": {"kmsKeyName": KEY}}
"""The endpoint, with the key that the settings give."""


def deployed(model: str, name: str, account: str = "pm-serving") -> dict[str, Any]:
    return {
        "id": "4711",
        "model": f"{MODEL}/{model}",
        "modelVersionId": "1",
        "displayName": name,
        "serviceAccount": f"{account}@{PROJECT}.iam.gserviceaccount.com",
        "dedicatedResources": {"machineSpec": {"machineType": "n1-standard-2"}},
    }


def found(there: Mapping[str, Any], changes: Any = FIRST) -> Any:
    """What is adopted where Google knows `there`, by URL."""
    asked: list[str] = []

    def look(url: str) -> tuple[int, Any]:
        asked.append(url)
        answer = there.get(url, 404)
        return (answer, {}) if isinstance(answer, int) else (200, answer)

    result = adoption(changes, look)
    assert not [url for url in asked if UNKNOWN in url]
    return result


def entries(there: Mapping[str, Any], changes: Any = FIRST) -> dict[str, dict[str, Any]]:
    return {entry["name"]: entry for entry in found(there, changes).file["resources"]}


def test_nothing_is_imported_where_nothing_is() -> None:
    assert found({}).file == {"nameTable": {}, "resources": []}


def test_what_is_there_comes_with_the_components_and_the_provider_above_it() -> None:
    imported = list(entries({BUCKET: {"location": "US-CENTRAL1"}}).values())
    provider, component, bucket = imported
    assert provider == {
        "type": "pulumi:providers:gcp",
        "name": "pulumi:providers:gcp::platform",
        "logicalName": "platform",
        "version": "10.2.0",
        "inputs": {"project": PROJECT, "zone": "us-central1-a"},
    }
    assert component["component"] is True
    assert component["logicalName"] == "artifacts"
    assert bucket["id"] == f"{PROJECT}-model-artifacts"
    assert (bucket["parent"], bucket["provider"]) == (component["name"], provider["name"])


def test_what_the_deployer_would_read_is_read_by_the_platform() -> None:
    imported = entries({ENDPOINT: THERE | {"deployedModels": [deployed("m", "m")]}})
    providers = {entry["logicalName"]: entry.get("provider", "") for entry in imported.values()}
    assert providers["endpoint"] == "pulumi:providers:gcp::platform"
    assert providers["rollout"] == "pulumi:providers:vertexops::platform-vertexops"
    ids = {entry.get("id") for entry in imported.values()} - {None}
    assert ids == {NAME}


def test_an_endpoint_without_models_has_no_rollout() -> None:
    imported = entries({ENDPOINT: THERE})
    assert "rollout" not in {entry["logicalName"] for entry in imported.values()}


def test_parents_that_the_state_has_already_are_named_and_not_imported() -> None:
    """The stack is half up: whatever was made is not made a second time."""
    half = copy.deepcopy(FIRST)
    for step in half["steps"]:
        if "components" in step["newState"]["type"] or "providers" in step["newState"]["type"]:
            step["op"] = "same"
    file = found({BUCKET: {"location": "us-central1"}}, half).file
    (bucket,) = file["resources"]
    assert sorted(file["nameTable"]) == sorted((bucket["parent"], bucket["provider"]))


def test_a_preview_without_what_stays_the_same_is_refused() -> None:
    part = copy.deepcopy(FIRST)
    part["steps"] = [step for step in part["steps"] if "components" not in step["newState"]["type"]]
    for changes in (part, {}):
        with pytest.raises(NotAdoptable, match="--show-sames"):
            found({}, changes)


def test_what_the_state_has_is_not_asked_for() -> None:
    up = copy.deepcopy(FIRST)
    for step in up["steps"]:
        step["op"] = "same"
    assert found({BUCKET: {"location": "us-central1"}, ACCOUNT: {}}, up).file["resources"] == []


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (deployed("shuttle-anomaly", "shuttle-anomaly"), "stays, if it is the version"),
        (deployed("by-hand", "by-hand"), "was not deployed as the settings say"),
        (deployed("shuttle-anomaly", "shuttle-anomaly", "other"), "was not deployed as"),
    ],
)
def test_it_is_said_what_becomes_of_each_model(model: dict[str, Any], said: str) -> None:
    answer = THERE | {"deployedModels": [model], "trafficSplit": {"4711": 100}}
    (note,) = found({ENDPOINT: answer}).notes
    assert "DeployedModel 4711" in note
    assert "(100 %)" in note
    assert said in note


def test_a_model_that_is_registered_gets_another_version_and_default() -> None:
    url = f"https://us-central1-aiplatform.googleapis.com/v1/{MODEL}/shuttle-anomaly"
    adopted = found({url: {"name": f"{MODEL}/shuttle-anomaly"}})
    (note,) = adopted.notes
    assert f"{MODEL}/shuttle-anomaly is registered already" in note
    assert adopted.file["resources"] == []


def test_a_rollout_on_an_endpoint_that_the_stack_only_names_is_found() -> None:
    named = copy.deepcopy(FIRST)
    (rollout,) = [s["newState"] for s in named["steps"] if "ModelRollout" in s["newState"]["type"]]
    rollout["inputs"]["endpoint"], rollout["propertyDependencies"] = NAME, {}
    named["steps"] = [s for s in named["steps"] if s["newState"]["type"] != ENDPOINT_KIND]
    imported = entries({ENDPOINT: THERE | {"deployedModels": [deployed("m", "m")]}}, named)
    assert [entry["id"] for entry in imported.values() if "id" in entry] == [NAME]


def test_accounts_are_brought_in_line_by_who_made_them() -> None:
    """The stack's platform makes accounts and may not change them."""
    assert found({ACCOUNT: {"email": EMAIL, **DESCRIBED}}).notes == []
    (note,) = found({ACCOUNT: {"email": EMAIL, "displayName": "mine"}}).notes
    assert f"gcloud iam service-accounts update {EMAIL} --display-name=" in note
    assert DESCRIBED["description"] in note


def test_what_could_only_be_replaced_stops_it_all() -> None:
    elsewhere = {BUCKET: {"location": "EU"}, ACCOUNT: {"email": EMAIL, **DESCRIBED}}
    with pytest.raises(NotAdoptable, match="location 'EU', the settings give 'us-central1'"):
        found(elsewhere)
    keyed = {ENDPOINT: {"name": NAME, "encryptionSpec": {"kmsKeyName": "k"}}}
    with pytest.raises(NotAdoptable, match="encryptionSpec"):
        found(keyed)


def test_a_deleted_role_is_left_to_the_create_that_brings_it_back() -> None:
    assert len(entries({ROLE: {}})) == 3
    assert entries({ROLE: {"deleted": True}}) == {}


def test_a_table_is_looked_for_in_a_dataset_that_is_there() -> None:
    """Of one in no dataset BigQuery says 403 also to who may read it."""
    dataset = f"{BIGQUERY}/projects/{PROJECT}/datasets/telemetry"
    table = f"{dataset}/tables/readings"
    assert entries({table: 403}) == {}
    with pytest.raises(CannotLook, match="403"):
        found({dataset: {"location": "us-central1"}, table: 403})


def test_what_google_names_is_found_by_what_it_is_called() -> None:
    slow = {"name": "projects/1/alertPolicies/8", "displayName": "Endpoint: slow answers"}
    imported = entries({ALERTS: {"alertPolicies": [slow]}})
    assert [entry["id"] for entry in imported.values() if "id" in entry] == [slow["name"]]
    again = {**slow, "name": "projects/1/alertPolicies/9"}
    with pytest.raises(NotAdoptable, match="2 of gcp:monitoring/alertPolicy"):
        found({ALERTS: {"alertPolicies": [slow, again]}})


def test_every_kind_that_is_refused_a_second_time_is_looked_for() -> None:
    """But objects, which are written again, and what this stack does not make."""
    others = {
        "gcp:artifactregistry/repository:Repository",
        "gcp:logging/projectSink:ProjectSink",
        "gcp:storage/bucketObject:BucketObject",
    }
    assert set(READ) | others == set(IDS)
    created = {step["newState"]["type"] for step in FIRST["steps"]}
    assert created & set(NAMED_BY_GOOGLE)


def test_the_command_prints_the_file_and_says_the_rest_beside_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    there = {ACCOUNT: {"email": EMAIL}, f"{PUBSUB}/projects/{PROJECT}/topics/telemetry": {}}
    monkeypatch.setattr(
        command, "signed_in", lambda: lambda url: (200, there[url]) if url in there else (404, {})
    )
    file = tmp_path / "preview.json"
    file.write_text(json.dumps(FIRST))
    done = CliRunner().invoke(command.main, ["adopt", str(file)])
    assert done.exit_code == 0, done.output
    assert len([e for e in json.loads(done.stdout)["resources"] if "id" in e]) == 2
    assert "gcloud iam service-accounts update" in done.stderr
    there[BUCKET] = {"location": "EU"}
    done = CliRunner().invoke(command.main, ["adopt", str(file)])
    assert done.exit_code == 1
    assert "could only be replaced" in done.stderr
