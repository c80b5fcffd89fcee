"""Vertex AI's endpoints and operations, asked by Google's own clients and plain HTTPS."""

from __future__ import annotations

from typing import Any

import pytest
from google.api_core import exceptions

from simulator.seed import plant
from simulator.services.serviceusage import Services
from simulator.services.vertex.resources import ENDPOINT_QUOTA
from tests.simulator.support.service import (
    ENDPOINT,
    LOCATION,
    NUMBER,
    PROJECT,
    REGION,
    VERTEX,
    Sandbox,
    deployed,
    email,
)

NUMBERED = f"projects/{NUMBER}/locations/{REGION}"


def test_both_api_versions_see_one_endpoint(sandbox: Sandbox) -> None:
    """Made as the official provider makes it: v1beta1, with an id (provider-contract/core)."""
    client = sandbox.http()
    body = {"displayName": "pm", "description": "step 1", "labels": {"env": "prod"}}
    url = f"{VERTEX}/v1beta1/{LOCATION}/endpoints"
    begun = client.post(f"{url}?alt=json&endpointId=1234567890", json=body).json()
    assert begun["name"].startswith(f"{NUMBERED}/endpoints/1234567890/operations/")
    assert client.get(f"{url}/1234567890").status_code == 404
    sandbox.cloud.clock.step(5)
    done = client.get(f"{VERTEX}/v1beta1/{begun['name']}").json()
    kind = "type.googleapis.com/google.cloud.aiplatform.v1beta1"
    assert done["done"] and done["response"]["@type"] == f"{kind}.Endpoint"
    assert done["metadata"]["@type"] == f"{kind}.CreateEndpointOperationMetadata"
    seen = client.get(f"{url}/1234567890?alt=json").json()
    assert {key: seen[key] for key in body} == body
    assert sandbox.endpoints().get_endpoint(name=ENDPOINT).description == "step 1"


def test_a_limit_of_endpoints_is_of_one_region(sandbox: Sandbox) -> None:
    plant(sandbox.cloud, {"quotas": {ENDPOINT_QUOTA: 1}})
    sandbox.endpoint("7")
    with pytest.raises(exceptions.TooManyRequests) as exceeded:
        sandbox.endpoint("8")
    # gcp-facts/02_errors.md, "training quota"
    said = f"The following quota metrics exceed quota limits: {ENDPOINT_QUOTA}"
    assert exceeded.value.message.endswith(said)
    url = "https://europe-west4-aiplatform.googleapis.com/v1"
    elsewhere = LOCATION.replace(REGION, "europe-west4")
    made = sandbox.http().post(f"{url}/{elsewhere}/endpoints", json={"displayName": "pm"})
    assert made.status_code == 200
    plant(sandbox.cloud, {"quotas": {ENDPOINT_QUOTA: 2}})
    sandbox.endpoint("8")


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
    answer = sandbox.http().get(f"{VERTEX}/v1/{ENDPOINT}").json()
    assert answer["error"]["message"] == f"Endpoint `{NUMBERED}/endpoints/1234567890` not found."


def test_a_regional_host_serves_its_own_region_only(sandbox: Sandbox, endpoint: str) -> None:
    other = sandbox.http().get(f"https://europe-west1-aiplatform.googleapis.com/v1/{ENDPOINT}")
    assert other.status_code == 400
    assert "The valid location ID is `europe-west1`." in other.json()["error"]["message"]
    whole = sandbox.http().get(f"https://aiplatform.googleapis.com/v1/{ENDPOINT}")
    assert whole.json()["name"] == endpoint


def test_only_the_mask_says_what_changes(sandbox: Sandbox, model: str, endpoint: str) -> None:
    """The official provider sends the traffic split it last saw with every update."""
    sandbox.deploy(model, "1", split={"0": 100})
    sandbox.deploy(model, "2", split={"0": 30, "1": 70})
    url = f"{VERTEX}/v1beta1/{ENDPOINT}"
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
            "predictRequestResponseLoggingConfig.samplingRate",
            {"predictRequestResponseLoggingConfig": {"enabled": True, "samplingRate": 1.5}},
            "sampling_rate",
        ),
    ],
)
def test_an_update_google_would_refuse_changes_nothing(
    sandbox: Sandbox, mask: str, body: dict[str, Any], message: str
) -> None:
    log = {"bigquery_destination": {"output_uri": f"bq://{PROJECT}"}, "sampling_rate": 0.5}
    sandbox.endpoint(predict_request_response_logging_config={"enabled": True, **log})
    url, client = f"{VERTEX}/v1/{ENDPOINT}", sandbox.http()
    before = client.get(url).json()
    answer = client.patch(f"{url}?updateMask={mask}", json=body)
    assert answer.status_code == 400
    assert message in answer.json()["error"]["message"]
    assert client.get(url).json() == before


def private(*projects: str) -> dict[str, Any]:
    allowed = {"enable_private_service_connect": True, "project_allowlist": projects}
    return {"private_service_connect_config": allowed}


def test_a_private_endpoint_has_an_attachment_and_no_public_host(
    sandbox: Sandbox, model: str
) -> None:
    sandbox.endpoint(**private("plant-a"))
    deployed = sandbox.deploy(model, "1", {"0": 100})
    shown = sandbox.endpoints().get_endpoint(name=ENDPOINT)
    assert list(shown.private_service_connect_config.project_allowlist) == ["plant-a"]
    [there] = shown.deployed_models
    assert there.id == deployed.id
    assert "/serviceAttachments/" in there.private_endpoints.service_attachment
    with pytest.raises(exceptions.BadRequest, match="cannot be accessed through a public domain"):
        sandbox.predictions().predict(endpoint=ENDPOINT, instances=[[1.0, 1.0]])


def test_how_an_endpoint_is_reached_is_chosen_once(sandbox: Sandbox) -> None:
    with pytest.raises(exceptions.BadRequest, match="dedicated endpoint cannot have"):
        sandbox.endpoint(dedicated_endpoint_enabled=True, **private("plant-a"))
    sandbox.endpoint(**private("plant-a"))
    url = f"{VERTEX}/v1/{ENDPOINT}?updateMask=privateServiceConnectConfig"
    other = {"enablePrivateServiceConnect": True, "projectAllowlist": ["plant-b"]}
    answer = sandbox.http().patch(url, json={"privateServiceConnectConfig": other})
    assert "cannot be updated" in answer.json()["error"]["message"]


def test_the_name_of_a_private_endpoint_is_free_after_7_days(sandbox: Sandbox) -> None:
    sandbox.endpoint(**private("plant-a"))
    sandbox.finish(sandbox.endpoints().delete_endpoint(name=ENDPOINT))
    with pytest.raises(exceptions.Conflict, match="less than 7 days ago"):
        sandbox.endpoint()
    sandbox.cloud.clock.step(7 * 24 * 3600)
    sandbox.endpoint()


def test_a_project_has_ten_different_allowlists(sandbox: Sandbox) -> None:
    for number in range(10):
        sandbox.endpoint(str(number + 1), **private(f"plant-{number}"))
    sandbox.endpoint("20", **private("plant-0"))
    with pytest.raises(exceptions.BadRequest, match="10 different project_allowlists at most"):
        sandbox.endpoint("21", **private("plant-10"))


def test_a_stale_etag_is_refused(sandbox: Sandbox, endpoint: str) -> None:
    url, client = f"{VERTEX}/v1/{ENDPOINT}?updateMask=description", sandbox.http()
    etag = client.get(f"{VERTEX}/v1/{ENDPOINT}").json()["etag"]
    assert client.patch(url, json={"description": "a", "etag": etag}).status_code == 200
    assert client.patch(url, json={"description": "b", "etag": etag}).status_code == 409


def test_an_endpoint_goes_once_nothing_is_deployed(
    sandbox: Sandbox, model: str, endpoint: str
) -> None:
    client = sandbox.endpoints()
    pending = client.deploy_model(endpoint=ENDPOINT, deployed_model=deployed(model, "5"))
    for finish in (lambda: None, lambda: sandbox.finish(pending)):
        finish()
        refused = sandbox.http().delete(f"{VERTEX}/v1/{ENDPOINT}").json()["error"]
        assert (refused["code"], refused["message"]) == (
            400,
            "Endpoint has deployed or being-deployed DeployedModel(s)",
        )
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
    url = f"{VERTEX}/v1beta1/{ENDPOINT}"
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
        f"{VERTEX}/v1beta1/{LOCATION}/endpoints/9:testIamPermissions?{query}"
    )
    assert (missing.status_code, missing.json()) == (200, {})


# Operations


def test_following_an_operation_takes_the_right_to_read_what_it_is_about(
    sandbox: Sandbox, endpoint: str
) -> None:
    sandbox.role("deployer", "aiplatform.endpoints.delete", on=ENDPOINT)
    begun = sandbox.http("deployer").delete(f"{VERTEX}/v1/{ENDPOINT}").json()
    assert begun["name"].startswith(f"{NUMBERED}/operations/")
    operation = f"{VERTEX}/v1/{begun['name']}"
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
    listed = sandbox.http().get(f"{VERTEX}/v1/{ENDPOINT}/operations").json()["operations"]
    assert [item["done"] for item in listed] == [True]
    denied = sandbox.http("deployer").get(f"{VERTEX}/v1/{ENDPOINT}/operations")
    assert "aiplatform.operations.list" in denied.json()["error"]["message"]


def test_a_disabled_api_stops_everything(sandbox: Sandbox) -> None:
    sandbox.cloud[Services].withheld.add("aiplatform.googleapis.com")
    answer = sandbox.http().get(f"{VERTEX}/v1/{LOCATION}/endpoints").json()
    assert answer["error"]["details"][0]["reason"] == "SERVICE_DISABLED"
