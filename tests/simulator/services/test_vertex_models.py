"""Vertex AI's model registry, asked by Google's own client through the proxy."""

from __future__ import annotations

from typing import Any

import pytest
from google.api_core import exceptions

from simulator.iam.decisions import Iam
from simulator.identity.accounts import Accounts
from simulator.services.vertex.state import Vertex
from tests.simulator.support.service import (
    AGENT,
    ENDPOINT,
    IMAGE,
    LOCATION,
    NUMBER,
    PROJECT,
    REGION,
    VERTEX,
    Sandbox,
)

BUCKET = "projects/_/buckets/iot-prod-models"
NUMBERED = f"projects/{NUMBER}/locations/{REGION}"


def test_an_uploaded_model_is_its_first_and_default_version(sandbox: Sandbox, model: str) -> None:
    assert model == f"{NUMBERED}/models/failure"
    seen = sandbox.models().get_model(name=model)
    assert (seen.version_id, list(seen.version_aliases)) == ("1", ["default"])
    assert seen.container_spec.image_uri == IMAGE
    assert seen.name == model
    assert sandbox.models().get_model(name=f"{LOCATION}/models/failure") == seen


def test_a_version_is_found_by_number_and_alias_and_default_moves(
    sandbox: Sandbox, model: str
) -> None:
    uri, client = "gs://iot-prod-models/v1", sandbox.models()
    aliases = {"version_aliases": ["default", "candidate"], "display_name": "second"}
    sandbox.upload(uri, parent_model=model, model=aliases)
    sandbox.upload(uri, parent_model=model, model={"display_name": "third"})
    for reference, version in (("", "2"), ("@1", "1"), ("@candidate", "2"), ("@3", "3")):
        assert client.get_model(name=f"{model}{reference}").version_id == version
    assert not client.get_model(name=f"{model}@1").version_aliases
    versions = client.list_model_versions(name=model)
    assert {item.version_id for item in versions} == {"1", "2", "3"}
    assert [item.display_name for item in client.list_models(parent=LOCATION)] == ["second"]


def test_aliases_merge_and_the_default_stays_somewhere(sandbox: Sandbox, model: str) -> None:
    sandbox.upload("gs://iot-prod-models/v1", parent_model=model)
    client = sandbox.models()
    client.merge_version_aliases(name=f"{model}@2", version_aliases=["golden", "default"])
    assert client.get_model(name=model).version_id == "2"
    client.merge_version_aliases(name=f"{model}@1", version_aliases=["golden"])
    assert list(client.get_model(name=f"{model}@2").version_aliases) == ["default"]
    client.merge_version_aliases(name=f"{model}@1", version_aliases=["-golden"])
    with pytest.raises(exceptions.NotFound):
        client.get_model(name=f"{model}@golden")
    with pytest.raises(exceptions.BadRequest, match="default"):
        client.merge_version_aliases(name=f"{model}@2", version_aliases=["-default"])


def test_uploading_takes_its_permission_on_the_location(sandbox: Sandbox) -> None:
    request = {
        "display_name": "m",
        "artifact_uri": sandbox.bucket(),
        "container_spec": {"image_uri": IMAGE},
    }
    client = sandbox.models("deployer")
    with pytest.raises(exceptions.Forbidden) as denied:
        client.upload_model(parent=LOCATION, model=request)
    (info,) = denied.value.details
    assert info["metadata"] == {"permission": "aiplatform.models.upload", "resource": LOCATION}
    sandbox.role("deployer", "aiplatform.models.upload", on=LOCATION)
    operation = client.upload_model(parent=LOCATION, model=request)
    # Following it takes models.get, which uploading does not include (gcp-facts/01).
    with pytest.raises(exceptions.Forbidden, match=r"aiplatform\.models\.get"):
        sandbox.finish(operation)


def test_the_service_agent_reads_the_artifact_and_is_made_on_first_use(sandbox: Sandbox) -> None:
    assert sandbox.cloud[Accounts].agent("aiplatform", PROJECT) is None
    sandbox.upload(sandbox.bucket())
    reads = sandbox.checks("storage.objects.get")
    assert (AGENT, f"{BUCKET}/objects/v1/model.joblib", True) in reads


def test_a_bucket_that_the_agent_cannot_read_is_refused_in_googles_words(
    sandbox: Sandbox,
) -> None:
    """As GoogleCloudPlatform/vertex-ai-samples#3710 reports it, of an agent of this number."""
    uri = sandbox.bucket("iot-models-artifacts")
    sandbox.cloud[Accounts].create_agent("aiplatform", PROJECT, granted=False)
    request = {
        "modelId": "churn",
        "model": {
            "displayName": "churn",
            "artifactUri": uri,
            "containerSpec": {"imageUri": IMAGE},
        },
    }
    url = f"{VERTEX}/v1/{LOCATION}/models:upload"
    refused = sandbox.http().post(url, json=request)
    error = refused.json()["error"]
    assert (refused.status_code, error["status"]) == (400, "FAILED_PRECONDITION")
    assert error["message"] == (
        "Service account `service-123456789012@gcp-sa-aiplatform.iam.gserviceaccount.com` does not "
        "have `[storage.objects.get]` IAM permission(s) to the directory "
        '"gs://iot-models-artifacts/v1". Please either copy the files to the Google Cloud Storage '
        "bucket owned by your project, or grant the required IAM permission(s) to the service "
        "account."
    )
    assert not sandbox.cloud[Vertex].reserved
    folder = "resource.name.startsWith('projects/_/buckets/iot-models-artifacts/objects/v1')"
    sandbox.cloud[Iam].grant(
        "projects/_/buckets/iot-models-artifacts",
        "roles/storage.objectViewer",
        f"serviceAccount:{AGENT}",
        {"expression": f"{folder} || resource.type == 'storage.googleapis.com/Bucket'"},
    )
    assert sandbox.http().post(url, json=request).status_code == 200


def test_what_the_agent_may_not_list_fails_inside_the_operation(sandbox: Sandbox) -> None:
    uri = sandbox.bucket()
    sandbox.cloud[Iam].withheld.add((AGENT, "storage.objects.list"))
    with pytest.raises(
        exceptions.PermissionDenied, match=rf"^403 {AGENT} does not have storage\.objects\.list"
    ):
        sandbox.upload(uri)
    assert sandbox.cloud[Vertex].live()["models"] == []
    # The name is free again.
    sandbox.cloud[Iam].withheld.clear()
    sandbox.upload(uri)


@pytest.mark.parametrize(
    "files",
    [{"weights.joblib": b""}, {"model.joblib": b"one", "model.pkl": b"two"}],
)
def test_a_scikit_learn_directory_holds_exactly_one_model(
    sandbox: Sandbox, files: dict[str, bytes]
) -> None:
    uri = sandbox.bucket(**files)
    with pytest.raises(exceptions.FailedPrecondition, match="exactly one of"):
        sandbox.upload(uri)


def test_a_bucket_elsewhere_is_refused(sandbox: Sandbox) -> None:
    uri = sandbox.bucket(location="US")
    with pytest.raises(exceptions.BadRequest) as refused:
        sandbox.upload(uri)
    assert refused.value.message.endswith(
        f"The Cloud Storage bucket of `{uri}` is in location `us`. It must be in the same "
        "regional location as the service location `us-central1`."
    )


def test_a_private_image_needs_the_agents_access_to_its_repository(sandbox: Sandbox) -> None:
    uri = sandbox.bucket()
    image = "us-central1-docker.pkg.dev/iot-training/serving/pm:1"
    repository = "projects/iot-training/locations/us-central1/repositories/serving"
    custom = {"container_spec": {"image_uri": image}}
    with pytest.raises(exceptions.BadRequest) as refused:
        sandbox.upload(uri, model=custom)
    assert refused.value.message.endswith(
        f": Vertex AI Service Agent {AGENT} does not have permission to access Artifact Registry "
        f"repository {repository}."
    )
    sandbox.cloud[Iam].grant(repository, "roles/artifactregistry.reader", f"serviceAccount:{AGENT}")
    assert sandbox.upload(uri, model=custom)


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"model": {"display_name": ""}}, "display_name"),
        ({"model": {"container_spec": {}}}, "image_uri"),
        ({"model": {"artifact_uri": ""}}, "artifact_uri"),
        ({"model": {"version_aliases": ["9"]}}, "alias"),
        ({"model_id": "1st"}, "model ID"),
    ],
)
def test_an_incomplete_upload_is_refused(
    sandbox: Sandbox, request_: dict[str, Any], message: str
) -> None:
    uri = sandbox.bucket()
    model = {
        "display_name": "m",
        "artifact_uri": uri,
        "container_spec": {"image_uri": IMAGE},
        **request_.get("model", {}),
    }
    with pytest.raises(exceptions.BadRequest, match=message):
        sandbox.models().upload_model({"parent": LOCATION, **request_, "model": model})


def test_a_deployed_model_and_a_default_version_stay(
    sandbox: Sandbox, model: str, endpoint: str
) -> None:
    sandbox.upload("gs://iot-prod-models/v1", parent_model=model)
    sandbox.deploy(f"{model}@2", "7", split={"0": 100})
    client = sandbox.models()
    with pytest.raises(exceptions.BadRequest, match="deployed or being deployed at the following"):
        client.delete_model(name=model)
    with pytest.raises(exceptions.BadRequest, match="default version"):
        client.delete_model_version(name=f"{model}@1")
    (reference,) = client.get_model(name=f"{model}@2").deployed_models
    assert (reference.endpoint, reference.deployed_model_id) == (endpoint, "7")
    client.merge_version_aliases(name=f"{model}@2", version_aliases=["default"])
    sandbox.finish(client.delete_model_version(name=f"{model}@1"))
    with pytest.raises(exceptions.NotFound):
        client.get_model(name=f"{model}@1")
    sandbox.finish(sandbox.endpoints().undeploy_model(endpoint=ENDPOINT, deployed_model_id="7"))
    sandbox.finish(client.delete_model(name=model))
    assert sandbox.cloud[Vertex].live()["models"] == []


def test_a_model_changes_by_mask_only(sandbox: Sandbox, model: str) -> None:
    change = {"name": model, "labels": {"env": "prod"}, "display_name": "renamed"}
    seen = sandbox.models().update_model(model=change, update_mask={"paths": ["labels"]})
    assert (dict(seen.labels), seen.display_name) == ({"env": "prod"}, "failure")
    with pytest.raises(exceptions.BadRequest, match="artifactUri"):
        sandbox.models().update_model(model=change, update_mask={"paths": ["artifact_uri"]})


def test_labels_of_a_model_and_of_its_version_are_shown_together(
    sandbox: Sandbox, model: str
) -> None:
    client = sandbox.models()

    def update(name: str, **fields: Any) -> dict[str, str]:
        mask = {"paths": list(fields)}
        return dict(client.update_model(model={"name": name, **fields}, update_mask=mask).labels)

    assert update(model, labels={"team": "pumps"}) == {"team": "pumps"}
    both = {"team": "pumps", "stage": "test"}
    assert update(f"{model}@1", labels={"stage": "test"}) == both
    assert update(f"{model}@1", labels={}) == {"team": "pumps"}
    assert update(f"{model}@-", labels={}) == {}
    update(model, display_name="renamed", description="")
    assert client.get_model(name=f"{model}@1").display_name == "renamed"
    for name, fields in (
        (f"{model}@1", {"display_name": "x"}),
        (model, {"version_description": "x"}),
        (model, {"labels": {}, "version_description": "x"}),
    ):
        with pytest.raises(exceptions.BadRequest, match="cannot be updated by the name"):
            update(name, **fields)


def test_models_are_listed_by_filter_order_and_page(sandbox: Sandbox) -> None:
    uri = sandbox.bucket()
    for name, env in (("b", "prod"), ("a", "staging"), ("c", "prod")):
        sandbox.upload(
            uri, model_id=f"m-{name}", model={"display_name": name, "labels": {"env": env}}
        )
    client = sandbox.models()

    def names(**request: Any) -> list[str]:
        return [item.display_name for item in client.list_models({"parent": LOCATION, **request})]

    assert names() == ["c", "a", "b"]
    assert names(order_by="display_name", page_size=2) == ["a", "b", "c"]
    assert names(filter='labels.env="prod" AND display_name!="c"') == ["b"]
    assert names(filter="labels:env AND model=m-a") == ["a"]
    with pytest.raises(exceptions.BadRequest, match="filter"):
        names(filter="colour=red")


def test_what_is_not_simulated_says_so(sandbox: Sandbox, model: str) -> None:
    answer = sandbox.http().post(f"{VERTEX}/v1/{LOCATION}/models/failure:export", json={})
    assert answer.status_code == 501
    assert "aiplatform.projects.locations.models.export" in answer.json()["error"]["message"]
