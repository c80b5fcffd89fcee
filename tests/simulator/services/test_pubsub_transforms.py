"""Telemetry through an AI inference transform: who asks the endpoint, and what subscribers get."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from simulator.iam.decisions import Iam
from simulator.identity.accounts import Accounts
from simulator.services.bigquery.state import BigQuery
from tests.simulator.support.pubsub import (
    DEAD,
    HERE,
    PULL,
    TOPIC,
    Client,
    agent,
    email,
    encoded,
    json_of,
)
from tests.simulator.support.service import ENDPOINT, NUMBER, REGION, Sandbox

SCORED = f"{HERE}/topics/scored"
ACCOUNT = f"{HERE}/serviceAccounts/{email('serving')}"
READING = {"instances": [[2.0, 0.0]]}
GET, PREDICT = "aiplatform.endpoints.get", "aiplatform.endpoints.predict"


def steps(endpoint: str = ENDPOINT, who: str = "serving", **fields: Any) -> dict[str, Any]:
    """A resource's `messageTransforms`; the service agent asks when there is nobody."""
    account = {"serviceAccountEmail": email(who)} if who else {}
    return {"messageTransforms": [{"aiInference": {"endpoint": endpoint, **account}, **fields}]}


@pytest.fixture
def scored(sandbox: Sandbox, pubsub: Client, model: str, endpoint: str) -> Iterator[Client]:
    """An endpoint with the model, which the serving account may use, and a client."""
    sandbox.deploy(model, split={"0": 100})
    sandbox.role("serving", GET, PREDICT, on=ENDPOINT)
    yield pubsub


def test_telemetry_goes_in_and_a_prediction_comes_out(sandbox: Sandbox, scored: Client) -> None:
    """With Google's own client, each step as the account whose work it is."""
    sandbox.grant(ACCOUNT, "roles/iam.serviceAccountUser", "deployer")
    sandbox.role(
        "deployer",
        "pubsub.topics.create",
        "pubsub.topics.attachSubscription",
        "pubsub.subscriptions.create",
    )
    sandbox.cloud[Accounts].create("iot-prod", "device")
    sandbox.role("device", "pubsub.topics.publish")
    deployer, device, serving = (
        sandbox.google("pubsub", "v1", name).projects()
        for name in ("deployer", "device", "serving")
    )
    deployer.topics().create(name=SCORED, body=steps()).execute()
    deployer.subscriptions().create(name=PULL, body={"topic": SCORED}).execute()
    sandbox.grant(PULL, "roles/pubsub.subscriber", "serving")

    message = {"data": encoded(json.dumps(READING)), "attributes": {"device": "press-1"}}
    device.topics().publish(topic=SCORED, body={"messages": [message]}).execute()

    answer = serving.subscriptions().pull(subscription=PULL, body={"maxMessages": 1}).execute()
    (received,) = answer["receivedMessages"]
    assert json_of(received) == {"original_message": READING, "model_output": {"predictions": [1]}}
    assert received["message"]["attributes"] == {"device": "press-1"}
    assert sandbox.checks(PREDICT)[-1] == (email("serving"), ENDPOINT, True)
    ids = {"ackIds": [received["ackId"]]}
    serving.subscriptions().acknowledge(subscription=PULL, body=ids).execute()
    assert serving.subscriptions().pull(subscription=PULL, body={"maxMessages": 1}).execute() == {}


def test_a_subscriptions_own_transform_leaves_the_others_alone(scored: Client) -> None:
    raw = f"{HERE}/subscriptions/raw"
    scored.subscribe(raw)
    scored.subscribe(**steps())
    scored.publish(json.dumps(READING))
    assert json_of(scored.pull(raw)[0]) == READING
    assert json_of(scored.pull()[0])["model_output"] == {"predictions": [1]}


def test_predictions_land_in_bigquery(sandbox: Sandbox, scored: Client) -> None:
    client = sandbox.bigquery()
    client.create_dataset("telemetry")
    columns = [{"name": "data", "type": "JSON"}]
    sandbox.cloud[BigQuery].create_table(
        f"{HERE}/datasets/telemetry/tables/predictions", {"schema": {"fields": columns}}
    )
    sandbox.grant(f"{HERE}/datasets/telemetry", "roles/bigquery.dataEditor", "serving")
    scored.topic(SCORED, **steps())
    config = {"table": "iot-prod.telemetry.predictions", "serviceAccountEmail": email("serving")}
    scored.subscribe(topic=SCORED, bigqueryConfig=config)
    scored.publish(json.dumps(READING), topic=SCORED)
    (row,) = client.list_rows("iot-prod.telemetry.predictions")
    assert row["data"]["model_output"] == {"predictions": [1]}


def test_whoever_attaches_an_account_must_be_allowed_to_act_as_it(
    sandbox: Sandbox, scored: Client
) -> None:
    sandbox.role("deployer", "pubsub.topics.create", "pubsub.topics.update")
    deployer = Client(sandbox, "deployer")
    deployer.topic(SCORED)
    body = {"topic": steps(), "updateMask": "messageTransforms"}
    error = deployer.refused("PATCH", SCORED, body)
    assert (error["code"], email("serving") in error["message"]) == (400, True)
    assert deployer.refused("PUT", DEAD, steps())["code"] == 400
    sandbox.grant(ACCOUNT, "roles/iam.serviceAccountUser", "deployer")
    assert deployer("PATCH", SCORED, body) == {"name": SCORED, **steps()}
    checked = sandbox.checks("iam.serviceAccounts.actAs")[-1]
    assert checked == (email("deployer"), ACCOUNT, True)


@pytest.mark.parametrize("lacking", [GET, PREDICT])
def test_the_account_needs_both_permissions_when_the_transform_is_declared(
    sandbox: Sandbox, scored: Client, lacking: str
) -> None:
    sandbox.cloud[Iam].withheld.add((email("serving"), lacking))
    error = scored.refused("PUT", SCORED, steps())
    assert (error["code"], error["message"]) == (403, "The caller does not have permission")
    assert error["details"][0]["metadata"] == {"permission": lacking, "resource": ENDPOINT}


def test_without_an_account_the_service_agent_asks(sandbox: Sandbox, scored: Client) -> None:
    asking = agent(sandbox)
    assert scored.refused("PUT", SCORED, steps(who=""))["code"] == 403
    sandbox.cloud[Iam].grant(ENDPOINT, "roles/aiplatform.user", f"serviceAccount:{asking}")
    scored.topic(SCORED, **steps(who=""))
    scored.publish(json.dumps(READING), topic=SCORED)
    assert sandbox.checks(PREDICT)[-1] == (asking, ENDPOINT, True)


def test_a_topic_whose_account_lost_its_grant_takes_no_message(
    sandbox: Sandbox, scored: Client
) -> None:
    scored.topic(SCORED, **steps())
    scored.subscribe(topic=SCORED)
    sandbox.cloud[Iam].withheld.add((email("serving"), PREDICT))
    body = {"messages": [{"data": encoded(json.dumps(READING))}]}
    error = scored.refused("POST", f"{SCORED}:publish", body)
    assert error["status"] == "FAILED_PRECONDITION"
    assert PREDICT in error["message"]
    assert scored.pull() == []


def test_one_message_that_the_model_cannot_take_fails_the_whole_request(scored: Client) -> None:
    scored.topic(SCORED, **steps())
    scored.subscribe(topic=SCORED)
    for text in ("hot", "[1]", json.dumps({"instances": [["hot"]]})):
        messages = [{"data": encoded(json.dumps(READING))}, {"data": encoded(text)}]
        error = scored.refused("POST", f"{SCORED}:publish", {"messages": messages})
        assert error["code"] == 400
    assert scored.pull() == []


def test_a_failing_transform_of_a_subscription_is_tried_again(
    sandbox: Sandbox, scored: Client
) -> None:
    scored.subscribe(**steps())
    scored.publish(json.dumps(READING))
    sandbox.cloud[Iam].withheld.add((email("serving"), PREDICT))
    assert scored.pull() == []
    sandbox.cloud[Iam].withheld.clear()
    (received,) = scored.pull()
    assert json_of(received)["original_message"] == READING


def test_a_message_whose_transform_fails_holds_up_the_later_ones_of_its_key(
    scored: Client,
) -> None:
    scored.subscribe(**steps(), enableMessageOrdering=True)
    scored.publish("{}", json.dumps(READING), orderingKey="k")
    scored.publish(json.dumps(READING), orderingKey="other")
    (received,) = scored.pull()
    assert received["message"]["orderingKey"] == "other"


def test_a_disabled_transform_leaves_messages_as_they_are(scored: Client) -> None:
    scored.topic(SCORED, **steps(disabled=True))
    scored.subscribe(topic=SCORED)
    scored.publish("hot", topic=SCORED)
    assert scored.texts() == ["hot"]


def test_parameters_are_merged_into_the_request(sandbox: Sandbox, scored: Client) -> None:
    transform = steps()
    inference = transform["messageTransforms"][0]["aiInference"]
    inference["unstructuredInference"] = {"parameters": {"instances": [[-2.0, 0.0]]}}
    assert scored.topic(SCORED, **transform) == {"name": SCORED, **transform}
    scored.subscribe(topic=SCORED)
    scored.publish("{}", json.dumps(READING), topic=SCORED)
    outputs = [json_of(item)["model_output"]["predictions"] for item in scored.pull()]
    assert outputs == [[0], [1]]


def test_a_dedicated_endpoint_is_asked_on_its_own_host(
    sandbox: Sandbox, pubsub: Client, model: str
) -> None:
    dedicated = sandbox.endpoint(dedicated_endpoint_enabled=True)
    sandbox.deploy(model, split={"0": 100})
    sandbox.role("serving", GET, PREDICT, on=ENDPOINT)
    assert dedicated == ENDPOINT.replace("iot-prod", NUMBER)
    pubsub.topic(SCORED, **steps(dedicated))
    pubsub.subscribe(topic=SCORED)
    pubsub.publish(json.dumps(READING), topic=SCORED)
    assert json_of(pubsub.pull()[0])["model_output"] == {"predictions": [1]}


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"messageTransforms": [{}]}, 400),
        ({"messageTransforms": steps()["messageTransforms"] * 2}, 400),
        ({"messageTransforms": [{"disabled": True}] * 6}, 400),
        (steps("endpoints/1234567890"), 400),
        (steps(ENDPOINT.replace("1234567890", "1234567891")), 403),
        (steps(f"projects/iot-prod/locations/{REGION}/publishers/google/models/gemini"), 501),
        (steps() | {"messageStoragePolicy": {"allowedPersistenceRegions": ["us-east1"]}}, 400),
    ],
)
def test_a_transform_that_cannot_be_is_refused(
    scored: Client, fields: dict[str, Any], code: int
) -> None:
    assert scored.refused("PUT", SCORED, fields)["code"] == code
    assert scored("GET", f"{HERE}/topics") == {"topics": [{"name": TOPIC}]}


def test_an_endpoint_that_does_not_exist_is_refused_by_name(
    sandbox: Sandbox, pubsub: Client
) -> None:
    sandbox.grant(HERE, "roles/aiplatform.user", "serving")
    error = pubsub.refused("PUT", SCORED, steps())
    assert (error["code"], ENDPOINT.rpartition("/")[2] in error["message"]) == (404, True)
