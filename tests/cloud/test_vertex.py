"""Vertex AI's registry and endpoints, asked by Google's own clients through the proxy."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.api_core import exceptions
from service_support import (
    AGENT,
    IMAGE,
    LOCATION,
    NUMBER,
    PROJECT,
    REGION,
    TRAINING,
    TRAINING_NUMBER,
    Sandbox,
    artifact,
    deployed,
    email,
    serve,
)

from rehearsal.cloud.services.vertex.deployments import CPU_QUOTA

HOST = f"https://{REGION}-aiplatform.googleapis.com"
ENDPOINT = f"{LOCATION}/endpoints/1234567890"
NUMBERED = f"projects/{NUMBER}/locations/{REGION}"
BUCKET = "projects/_/buckets/iot-prod-models"
DEPLOY = ("aiplatform.endpoints.deploy", "aiplatform.endpoints.get", "aiplatform.models.get")


@pytest.fixture
def sandbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    yield from serve(tmp_path, monkeypatch, quotas={CPU_QUOTA: 8})


@pytest.fixture
def model(sandbox: Sandbox) -> str:
    return sandbox.upload(sandbox.bucket())


@pytest.fixture
def endpoint(sandbox: Sandbox) -> str:
    return sandbox.endpoint()


def deploy(sandbox: Sandbox, model: str, deployed_id: str = "1", **request: Any) -> Any:
    """Deploy to the endpoint as the administrator and wait for it."""
    fields = request.pop("fields", {})
    who = request.pop("who", "admin")
    operation = sandbox.endpoints(who).deploy_model(
        {"endpoint": ENDPOINT, "deployed_model": deployed(model, deployed_id, **fields), **request}
    )
    return sandbox.finish(operation).deployed_model


# Models


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
    uri, request = sandbox.bucket(), {"display_name": "m", "container_spec": {"image_uri": IMAGE}}
    request["artifact_uri"] = uri
    client = sandbox.models("deployer")
    with pytest.raises(exceptions.Forbidden) as denied:
        client.upload_model(parent=LOCATION, model=request)
    (info,) = denied.value.details
    assert info.metadata["permission"] == "aiplatform.models.upload"
    assert info.metadata["resource"] == LOCATION
    sandbox.role("deployer", "aiplatform.models.upload", on=LOCATION)
    operation = client.upload_model(parent=LOCATION, model=request)
    # Following it takes models.get, which uploading does not include (gcp-facts/01).
    with pytest.raises(exceptions.Forbidden, match=r"aiplatform\.models\.get"):
        sandbox.finish(operation)


def test_the_service_agent_reads_the_artifact_and_is_made_on_first_use(sandbox: Sandbox) -> None:
    assert sandbox.cloud.accounts.agent("aiplatform", PROJECT) is None
    sandbox.upload(sandbox.bucket())
    reads = sandbox.checks("storage.objects.get")
    assert (AGENT, f"{BUCKET}/objects/v1/model.joblib", True) in reads


def test_an_agent_without_its_role_fails_inside_the_operation(sandbox: Sandbox) -> None:
    uri = sandbox.bucket()
    sandbox.cloud.accounts.create_agent("aiplatform", PROJECT, granted=False)
    with pytest.raises(exceptions.PermissionDenied) as denied:
        sandbox.upload(uri)
    assert denied.value.message == (
        f"{AGENT} does not have storage.objects.list access to the Google Cloud Storage bucket. "
        "Permission 'storage.objects.list' denied on resource (or it may not exist)."
    )
    assert sandbox.cloud.vertex.live()["models"] == []
    # The name is free again.
    sandbox.cloud.iam.grant(
        f"projects/{PROJECT}", "roles/aiplatform.serviceAgent", f"serviceAccount:{AGENT}"
    )
    sandbox.upload(uri)


@pytest.mark.parametrize(
    "files",
    [{"weights.joblib": b""}, {"model.joblib": artifact(), "model.pkl": artifact()}],
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
    with pytest.raises(exceptions.FailedPrecondition) as refused:
        sandbox.upload(uri, model=custom)
    assert refused.value.message == (
        f"Vertex AI Service Agent {AGENT} does not have permission to access Artifact Registry "
        f"repository {repository}."
    )
    sandbox.cloud.iam.grant(repository, "roles/artifactregistry.reader", f"serviceAccount:{AGENT}")
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
    deploy(sandbox, f"{model}@2", "7", traffic_split={"0": 100})
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
    assert sandbox.cloud.vertex.live()["models"] == []


def test_a_model_changes_by_mask_only(sandbox: Sandbox, model: str) -> None:
    change = {"name": model, "labels": {"env": "prod"}, "display_name": "renamed"}
    seen = sandbox.models().update_model(model=change, update_mask={"paths": ["labels"]})
    assert (dict(seen.labels), seen.display_name) == ({"env": "prod"}, "failure")
    with pytest.raises(exceptions.BadRequest, match="artifactUri"):
        sandbox.models().update_model(model=change, update_mask={"paths": ["artifact_uri"]})


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


# Endpoints


def test_both_api_versions_see_one_endpoint(sandbox: Sandbox) -> None:
    """Made as the official provider makes it: v1beta1, with an id (provider-contract/core)."""
    client = sandbox.http()
    body = {"displayName": "pm", "description": "step 1", "labels": {"env": "prod"}}
    url = f"{HOST}/v1beta1/{LOCATION}/endpoints"
    begun = client.post(f"{url}?alt=json&endpointId=1234567890", json=body).json()
    assert begun["name"].startswith(f"{NUMBERED}/endpoints/1234567890/operations/")
    assert client.get(f"{url}/1234567890").status_code == 404
    sandbox.cloud.clock.step(5)
    done = client.get(f"{HOST}/v1beta1/{begun['name']}").json()
    kind = "type.googleapis.com/google.cloud.aiplatform.v1beta1"
    assert done["done"] and done["response"]["@type"] == f"{kind}.Endpoint"
    assert done["metadata"]["@type"] == f"{kind}.CreateEndpointOperationMetadata"
    seen = client.get(f"{url}/1234567890?alt=json").json()
    assert {key: seen[key] for key in body} == body
    assert sandbox.endpoints().get_endpoint(name=ENDPOINT).description == "step 1"


def test_a_taken_endpoint_id_is_refused_even_while_it_is_being_made(sandbox: Sandbox) -> None:
    client, body = sandbox.endpoints(), {"display_name": "pm"}
    operation = client.create_endpoint(parent=LOCATION, endpoint=body, endpoint_id="7")
    with pytest.raises(exceptions.Conflict):
        client.create_endpoint(parent=LOCATION, endpoint=body, endpoint_id="7")
    sandbox.finish(operation)
    with pytest.raises(exceptions.Conflict):
        client.create_endpoint(parent=LOCATION, endpoint=body, endpoint_id="7")
    unnamed = client.create_endpoint(parent=LOCATION, endpoint=body)
    assert sandbox.finish(unnamed).name.rpartition("/")[2].isdigit()


@pytest.mark.parametrize("endpoint_id", ["01", "12345678901", "Upper", "ends-"])
def test_an_endpoint_id_has_googles_form(sandbox: Sandbox, endpoint_id: str) -> None:
    with pytest.raises(exceptions.BadRequest, match="endpoint ID"):
        sandbox.endpoint(endpoint_id)


def test_the_denial_of_the_forum_thread_reads_as_googles(sandbox: Sandbox) -> None:
    answer = sandbox.http("deployer").post(
        f"https://aiplatform.googleapis.com/v1/{LOCATION}/endpoints", json={"displayName": "pm"}
    )
    permission = "aiplatform.endpoints.create"
    assert (answer.status_code, answer.json()["error"]) == (
        403,
        {
            "code": 403,
            "message": (
                f"Permission '{permission}' denied on resource "
                f"'//aiplatform.googleapis.com/{LOCATION}' (or it may not exist)."
            ),
            "status": "PERMISSION_DENIED",
            "details": [
                {
                    "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                    "reason": "IAM_PERMISSION_DENIED",
                    "domain": "aiplatform.googleapis.com",
                    "metadata": {"resource": LOCATION, "permission": permission},
                }
            ],
        },
    )


def test_a_missing_endpoint_reads_as_googles(sandbox: Sandbox) -> None:
    answer = sandbox.http().get(f"{HOST}/v1/{ENDPOINT}").json()
    assert answer["error"]["message"] == f"Endpoint `{NUMBERED}/endpoints/1234567890` not found."


def test_a_regional_host_serves_its_own_region_only(sandbox: Sandbox, endpoint: str) -> None:
    other = sandbox.http().get(f"https://europe-west1-aiplatform.googleapis.com/v1/{ENDPOINT}")
    assert other.status_code == 400
    assert "The valid location ID is `europe-west1`." in other.json()["error"]["message"]
    whole = sandbox.http().get(f"https://aiplatform.googleapis.com/v1/{ENDPOINT}")
    assert whole.json()["name"] == endpoint


def test_only_the_mask_says_what_changes(sandbox: Sandbox, model: str, endpoint: str) -> None:
    """The official provider sends the traffic split it last saw with every update."""
    deploy(sandbox, model, "1", traffic_split={"0": 100})
    deploy(sandbox, model, "2", traffic_split={"0": 30, "1": 70})
    url = f"{HOST}/v1beta1/{ENDPOINT}"
    body = {"displayName": "other", "labels": {"step": "2"}, "trafficSplit": {"1": 100}}
    seen = sandbox.http().patch(f"{url}?updateMask=labels", json=body).json()
    assert (seen["labels"], seen["displayName"]) == ({"step": "2"}, "pm")
    assert seen["trafficSplit"] == {"1": 70, "2": 30}
    seen = sandbox.http().patch(f"{url}?updateMask=traffic_split", json=body).json()
    assert seen["trafficSplit"] == {"1": 100}
    seen = sandbox.http().patch(f"{url}?updateMask=labels,trafficSplit", json={}).json()
    assert not seen.keys() & {"labels", "trafficSplit"}


@pytest.mark.parametrize(
    ("mask", "body", "message"),
    [
        ("", {"displayName": "x"}, "update_mask"),
        ("encryptionSpec", {"encryptionSpec": {"kmsKeyName": "k"}}, "cannot be updated"),
        ("displayName", {}, "display_name"),
        ("trafficSplit", {"trafficSplit": {"9": 100}}, "refers to 9"),
        (
            "predictRequestResponseLoggingConfig",
            {"predictRequestResponseLoggingConfig": {"enabled": True, "samplingRate": 1.5}},
            "sampling_rate",
        ),
    ],
)
def test_an_update_google_would_refuse_changes_nothing(
    sandbox: Sandbox, endpoint: str, mask: str, body: dict[str, Any], message: str
) -> None:
    url, client = f"{HOST}/v1/{ENDPOINT}", sandbox.http()
    before = client.get(url).json()
    answer = client.patch(f"{url}?updateMask={mask}", json=body)
    assert answer.status_code == 400
    assert message in answer.json()["error"]["message"]
    assert client.get(url).json() == before


def test_a_stale_etag_is_refused(sandbox: Sandbox, endpoint: str) -> None:
    url, client = f"{HOST}/v1/{ENDPOINT}?updateMask=description", sandbox.http()
    etag = client.get(f"{HOST}/v1/{ENDPOINT}").json()["etag"]
    assert client.patch(url, json={"description": "a", "etag": etag}).status_code == 200
    assert client.patch(url, json={"description": "b", "etag": etag}).status_code == 409


def test_an_endpoint_goes_once_nothing_is_deployed(
    sandbox: Sandbox, model: str, endpoint: str
) -> None:
    client = sandbox.endpoints()
    pending = client.deploy_model(endpoint=ENDPOINT, deployed_model=deployed(model, "5"))
    with pytest.raises(exceptions.BadRequest, match="deployed or being-deployed"):
        client.delete_endpoint(name=ENDPOINT)
    sandbox.finish(pending)
    with pytest.raises(exceptions.BadRequest, match="deployed or being-deployed"):
        client.delete_endpoint(name=ENDPOINT)
    sandbox.finish(client.undeploy_model(endpoint=ENDPOINT, deployed_model_id="5"))
    sandbox.grant(ENDPOINT, "roles/aiplatform.user", "serving")
    sandbox.finish(client.delete_endpoint(name=ENDPOINT))
    sandbox.endpoint()
    # The new endpoint of the same name starts without the old one's policy.
    with pytest.raises(exceptions.Forbidden):
        sandbox.endpoints("serving").get_endpoint(name=ENDPOINT)


def test_a_grant_on_an_endpoint_is_for_that_endpoint(sandbox: Sandbox, endpoint: str) -> None:
    """The read-modify-write of the official provider (provider-contract/core/up.jsonl)."""
    other, client = sandbox.endpoint("42"), sandbox.http()
    url = f"{HOST}/v1beta1/{ENDPOINT}"
    policy = client.post(f"{url}:getIamPolicy").json()
    member = f"serviceAccount:{email('serving')}"
    policy["bindings"] = [{"role": "roles/aiplatform.user", "members": [member]}]
    client.post(f"{url}:setIamPolicy", json={"policy": policy}).raise_for_status()
    stale = client.post(f"{url}:setIamPolicy", json={"policy": policy | {"etag": "BwYAAAAAAAA="}})
    assert stale.status_code == 409
    assert sandbox.endpoints("serving").get_endpoint(name=endpoint).name == endpoint
    with pytest.raises(exceptions.Forbidden):
        sandbox.endpoints("serving").get_endpoint(name=other)
    wanted = ["aiplatform.endpoints.predict", "aiplatform.endpoints.setIamPolicy"]
    query = "&".join(f"permissions={name}" for name in wanted)
    held = sandbox.http("serving").post(f"{url}:testIamPermissions?{query}").json()
    assert held == {"permissions": ["aiplatform.endpoints.predict"]}
    missing = sandbox.http().post(
        f"{HOST}/v1beta1/{LOCATION}/endpoints/9:testIamPermissions?{query}"
    )
    assert (missing.status_code, missing.json()) == (200, {})


# Operations


def test_following_an_operation_takes_the_right_to_read_what_it_is_about(
    sandbox: Sandbox, endpoint: str
) -> None:
    sandbox.role("deployer", "aiplatform.endpoints.delete", on=ENDPOINT)
    begun = sandbox.http("deployer").delete(f"{HOST}/v1/{ENDPOINT}").json()
    assert begun["name"].startswith(f"{NUMBERED}/operations/")
    operation = f"{HOST}/v1/{begun['name']}"
    assert sandbox.http("deployer").get(operation).status_code == 403
    sandbox.role("deployer", "aiplatform.endpoints.get")
    assert "done" not in sandbox.http("deployer").post(f"{operation}:wait").json()
    assert sandbox.http("deployer").post(f"{operation}:cancel").status_code == 200
    assert sandbox.http("deployer").delete(operation).status_code == 403
    sandbox.cloud.clock.step(5)
    assert sandbox.http("deployer").get(operation).json()["done"]
    assert sandbox.http().delete(operation).status_code == 200
    assert sandbox.http().get(operation).status_code == 404


def test_operations_are_listed_where_they_are(sandbox: Sandbox, endpoint: str) -> None:
    listed = sandbox.http().get(f"{HOST}/v1/{ENDPOINT}/operations").json()["operations"]
    assert [item["done"] for item in listed] == [True]
    denied = sandbox.http("deployer").get(f"{HOST}/v1/{ENDPOINT}/operations")
    assert "aiplatform.operations.list" in denied.json()["error"]["message"]


# Deployments


def test_a_deployed_model_shows_once_it_runs(sandbox: Sandbox, model: str, endpoint: str) -> None:
    client = sandbox.endpoints()
    request = {"endpoint": ENDPOINT, "deployed_model": deployed(model, "77")}
    operation = client.deploy_model({**request, "traffic_split": {"0": 100}})
    assert not client.get_endpoint(name=ENDPOINT).deployed_models
    sandbox.finish(operation)
    seen = client.get_endpoint(name=ENDPOINT)
    (one,) = seen.deployed_models
    assert (one.id, one.model, one.model_version_id) == ("77", model, "1")
    assert one.display_name == "failure"
    assert dict(seen.traffic_split) == {"77": 100}
    deploy(sandbox, model, "")
    assert dict(client.get_endpoint(name=ENDPOINT).traffic_split) == {"77": 100}


@pytest.mark.parametrize("missing", DEPLOY)
def test_deploying_takes_exactly_these_permissions(
    sandbox: Sandbox, model: str, endpoint: str, missing: str
) -> None:
    sandbox.role("deployer", *(name for name in DEPLOY if name != missing))
    with pytest.raises((exceptions.Forbidden, exceptions.PermissionDenied), match=missing):
        deploy(sandbox, model, who="deployer")
    sandbox.role("deployer", missing)
    assert deploy(sandbox, model, "2", who="deployer").id == "2"


@pytest.mark.parametrize(
    ("split", "message"),
    [({"0": 90}, "add up to 100"), ({"0": 50, "3": 50}, "refers to 3")],
)
def test_a_traffic_split_is_whole_and_over_what_is_deployed(
    sandbox: Sandbox, model: str, endpoint: str, split: dict[str, int], message: str
) -> None:
    with pytest.raises(exceptions.BadRequest, match=message):
        deploy(sandbox, model, traffic_split=split)
    assert not sandbox.cloud.vertex.endpoints[ENDPOINT].deployed


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"dedicated_resources": None}, "prediction resources"),
        (
            {"dedicated_resources": None, "automatic_resources": {"min_replica_count": 1}},
            "'automatic_resources' is not supported for Model",
        ),
        (
            {
                "dedicated_resources": {
                    "machine_spec": {"machine_type": "n1-standard-3"},
                    "min_replica_count": 1,
                }
            },
            "n1-standard-3",
        ),
        (
            {
                "dedicated_resources": {
                    "machine_spec": {"machine_type": "n1-standard-2"},
                    "min_replica_count": 3,
                    "max_replica_count": 2,
                }
            },
            "replica",
        ),
        ({"id": "abc"}, "1 to 10 digits"),
    ],
)
def test_a_deployment_google_would_refuse(
    sandbox: Sandbox, model: str, endpoint: str, fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(exceptions.BadRequest, match=message):
        sandbox.endpoints().deploy_model(
            {"endpoint": ENDPOINT, "deployed_model": {**deployed(model), **fields}}
        )


def test_a_deployed_id_is_taken_once(sandbox: Sandbox, model: str, endpoint: str) -> None:
    deploy(sandbox, model, "1")
    with pytest.raises(exceptions.Conflict):
        deploy(sandbox, model, "1")


def test_the_serving_quota_counts_cpus_over_the_region(sandbox: Sandbox, model: str) -> None:
    sandbox.endpoint()
    for deployed_id in ("1", "2"):
        deploy(sandbox, model, deployed_id)
    sandbox.endpoint("2")
    with pytest.raises(exceptions.TooManyRequests) as exceeded:
        sandbox.endpoints().deploy_model(
            endpoint=f"{LOCATION}/endpoints/2", deployed_model=deployed(model)
        )
    text = f"The following quotas are exceeded: {CPU_QUOTA}"
    assert exceeded.value.message.endswith(f"{text} 4: {text}")
    with pytest.raises(exceptions.TooManyRequests):
        mutate(sandbox, "1", {"max_replica_count": 3})
    sandbox.finish(sandbox.endpoints().undeploy_model(endpoint=ENDPOINT, deployed_model_id="2"))
    mutate(sandbox, "1", {"max_replica_count": 4})


def test_acting_as_the_serving_account_is_checked_and_denied_with_a_400(
    sandbox: Sandbox, model: str, endpoint: str
) -> None:
    sandbox.role("deployer", *DEPLOY)
    sandbox.grant(BUCKET, "roles/storage.objectViewer", "serving")
    fields = {"service_account": email("serving")}
    with pytest.raises(exceptions.BadRequest) as denied:
        deploy(sandbox, model, who="deployer", fields=fields)
    assert denied.value.message.endswith(
        f"You do not have permission to act as service_account: {email('serving')}. "
        "(or it may not exist)."
    )
    account = f"projects/{PROJECT}/serviceAccounts/{email('serving')}"
    sandbox.grant(account, "roles/iam.serviceAccountUser", "deployer")
    assert deploy(sandbox, model, who="deployer", fields=fields).service_account == email("serving")


def test_the_container_reads_its_artifact_as_the_account_it_runs_as(
    sandbox: Sandbox, model: str, endpoint: str
) -> None:
    fields = {"service_account": email("serving")}
    with pytest.raises(exceptions.PermissionDenied, match=email("serving")):
        deploy(sandbox, model, fields=fields)
    assert not sandbox.cloud.vertex.endpoints[ENDPOINT].deployed
    sandbox.grant(BUCKET, "roles/storage.objectViewer", "serving")
    deploy(sandbox, model, fields=fields)
    sandbox.cloud.accounts.find(email("serving")).disabled = True
    with pytest.raises(exceptions.FailedPrecondition, match="disabled"):
        deploy(sandbox, model, "2", fields=fields)


def test_an_artifact_the_agent_may_no_longer_read_fails_inside_the_operation(
    sandbox: Sandbox, model: str, endpoint: str
) -> None:
    sandbox.cloud.iam.withheld.add((AGENT, "storage.objects.get"))
    with pytest.raises(exceptions.PermissionDenied, match=f"{AGENT} does not have storage.objects"):
        deploy(sandbox, model, traffic_split={"0": 100})
    seen = sandbox.endpoints().get_endpoint(name=ENDPOINT)
    assert not seen.deployed_models and not seen.traffic_split


def test_an_artifact_that_does_not_load_ends_the_container(sandbox: Sandbox) -> None:
    model = sandbox.upload(sandbox.bucket(**{"model.joblib": b"not a model"}))
    sandbox.endpoint()
    with pytest.raises(exceptions.FailedPrecondition, match="Model server exited unexpectedly"):
        deploy(sandbox, model)


def test_a_model_of_another_project_needs_grants_for_caller_and_agent_there(
    sandbox: Sandbox, endpoint: str
) -> None:
    bucket = sandbox.storage().bucket("iot-training-models")
    sandbox.storage().create_bucket(bucket, project=TRAINING, location=REGION)
    bucket.blob("v1/model.joblib").upload_from_string(artifact())
    location = f"projects/{TRAINING}/locations/{REGION}"
    request = {
        "display_name": "trained",
        "artifact_uri": "gs://iot-training-models/v1",
        "container_spec": {"image_uri": IMAGE},
    }
    upload = sandbox.models().upload_model(
        {"parent": location, "model": request, "model_id": "trained"}
    )
    model = sandbox.finish(upload).model
    assert model == f"projects/{TRAINING_NUMBER}/locations/{REGION}/models/trained"
    sandbox.role("deployer", *DEPLOY)
    with pytest.raises(exceptions.Forbidden, match=r"aiplatform\.models\.get"):
        deploy(sandbox, model, who="deployer")
    sandbox.grant(f"projects/{TRAINING}", "roles/aiplatform.viewer", "deployer")
    with pytest.raises(exceptions.PermissionDenied, match=f"{AGENT} does not have storage"):
        deploy(sandbox, model, who="deployer")
    sandbox.cloud.iam.grant(
        "projects/_/buckets/iot-training-models",
        "roles/storage.objectViewer",
        f"serviceAccount:{AGENT}",
    )
    assert deploy(sandbox, model, who="deployer").model == model


def test_a_model_of_another_region_is_refused(sandbox: Sandbox, endpoint: str) -> None:
    elsewhere = f"projects/{PROJECT}/locations/europe-west1/models/m"
    with pytest.raises(exceptions.BadRequest, match="europe-west1"):
        uri = sandbox.bucket("iot-prod-europe", location="europe-west1")
        request = {"display_name": "m", "artifact_uri": uri}
        request["container_spec"] = {"image_uri": IMAGE}
        upload = sandbox.models(region="europe-west1").upload_model(
            {"parent": elsewhere.partition("/models")[0], "model": request, "model_id": "m"}
        )
        deploy(sandbox, sandbox.finish(upload).model)


def test_a_model_leaves_only_without_traffic(sandbox: Sandbox, model: str, endpoint: str) -> None:
    client = sandbox.endpoints()
    deploy(sandbox, model, "1", traffic_split={"0": 100})
    deploy(sandbox, model, "2", traffic_split={"0": 40, "1": 60})
    with pytest.raises(exceptions.BadRequest, match="still has traffic"):
        client.undeploy_model(endpoint=ENDPOINT, deployed_model_id="1")
    with pytest.raises(exceptions.BadRequest, match="add up to 100"):
        client.undeploy_model(endpoint=ENDPOINT, deployed_model_id="1", traffic_split={"2": 50})
    moved = client.undeploy_model(
        endpoint=ENDPOINT, deployed_model_id="1", traffic_split={"2": 100}
    )
    sandbox.finish(moved)
    seen = client.get_endpoint(name=ENDPOINT)
    assert ([item.id for item in seen.deployed_models], dict(seen.traffic_split)) == (
        ["2"],
        {"2": 100},
    )
    # The last one may go with all the traffic there is.
    sandbox.finish(client.undeploy_model(endpoint=ENDPOINT, deployed_model_id="2"))
    seen = client.get_endpoint(name=ENDPOINT)
    assert not seen.deployed_models and not seen.traffic_split
    with pytest.raises(exceptions.NotFound):
        client.undeploy_model(endpoint=ENDPOINT, deployed_model_id="2")


def test_undeploying_takes_its_own_permission(sandbox: Sandbox, model: str, endpoint: str) -> None:
    deploy(sandbox, model, "1")
    sandbox.role("deployer", *DEPLOY)
    with pytest.raises(exceptions.Forbidden, match=r"aiplatform\.endpoints\.undeploy"):
        sandbox.endpoints("deployer").undeploy_model(endpoint=ENDPOINT, deployed_model_id="1")


def mutate(sandbox: Sandbox, deployed_id: str, replicas: dict[str, Any]) -> Any:
    request = {
        "endpoint": ENDPOINT,
        "deployed_model": {"id": deployed_id, "dedicated_resources": replicas},
        "update_mask": {"paths": [f"dedicated_resources.{name}" for name in replicas]},
    }
    operation = sandbox.endpoints().mutate_deployed_model(request)
    return sandbox.finish(operation).deployed_model.dedicated_resources


def test_replicas_and_scaling_change_in_place_and_nothing_else_does(
    sandbox: Sandbox, model: str, endpoint: str
) -> None:
    deploy(sandbox, model, "1")
    metric = "aiplatform.googleapis.com/prediction/online/cpu/utilization"
    specs = [{"metric_name": metric, "target": 70}]
    seen = mutate(sandbox, "1", {"min_replica_count": 2, "autoscaling_metric_specs": specs})
    assert (seen.min_replica_count, seen.max_replica_count) == (2, 2)
    assert seen.autoscaling_metric_specs[0].target == 70
    assert seen.machine_spec.machine_type == "n1-standard-2"
    with pytest.raises(exceptions.BadRequest, match="cannot be mutated"):
        mutate(sandbox, "1", {"machine_spec": {"machine_type": "n1-standard-4"}})
    with pytest.raises(exceptions.BadRequest, match="replica"):
        mutate(sandbox, "1", {"min_replica_count": 3})


def test_a_disabled_api_stops_everything(sandbox: Sandbox) -> None:
    sandbox.cloud.services.withheld.add("aiplatform.googleapis.com")
    answer = sandbox.http().get(f"{HOST}/v1/{LOCATION}/endpoints").json()
    assert answer["error"]["details"][0]["reason"] == "SERVICE_DISABLED"


def test_what_is_not_simulated_says_so(sandbox: Sandbox, model: str) -> None:
    answer = sandbox.http().post(f"{HOST}/v1/{LOCATION}/models/failure:export", json={})
    assert answer.status_code == 501
    assert "aiplatform.projects.locations.models.export" in answer.json()["error"]["message"]
