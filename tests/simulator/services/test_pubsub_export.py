"""BigQuery subscriptions: who writes, what arrives as a row, and what happens when it cannot."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.cloud import bigquery

from simulator.iam.decisions import Iam
from tests.simulator.support.pubsub import DEAD, HERE, TOPIC, Client, agent, email, grant_agent
from tests.simulator.support.service import PROJECT, Sandbox

SUBSCRIPTION = f"{HERE}/subscriptions/to-bq"
DATASET = f"{HERE}/datasets/telemetry"
TABLE = f"{DATASET}/tables/predictions"
CONFIG: dict[str, Any] = {"table": f"{PROJECT}.telemetry.predictions"}
EDITOR = "roles/bigquery.dataEditor"
DATA = ("data", "STRING")
METADATA = (
    ("subscription_name", "STRING"),
    ("message_id", "STRING"),
    ("publish_time", "TIMESTAMP"),
    ("attributes", "JSON"),
)


def table(sandbox: Sandbox, *columns: tuple[str, ...]) -> Any:
    """A new dataset with the table; columns are (name, type) or (name, type, mode)."""
    client = sandbox.bigquery()
    client.create_dataset(f"{PROJECT}.telemetry")
    schema = [bigquery.SchemaField(*column) for column in columns]
    client.create_table(bigquery.Table(CONFIG["table"], schema=schema))
    return client


def rows(client: Any) -> list[dict[str, Any]]:
    return [dict(row) for row in client.list_rows(CONFIG["table"])]


def test_a_message_becomes_a_row_with_its_metadata(sandbox: Sandbox, pubsub: Client) -> None:
    client = table(sandbox, DATA, *METADATA)
    grant_agent(sandbox, EDITOR, TABLE)
    config = {**CONFIG, "writeMetadata": True}
    made = pubsub.subscribe(SUBSCRIPTION, bigqueryConfig=config)
    assert made["bigqueryConfig"] == {**config, "state": "ACTIVE"}
    (message_id,) = pubsub.publish("hot", attributes={"device": "d1"}, orderingKey="k")
    (row,) = rows(client)
    assert row.pop("publish_time").isoformat() == "2026-01-01T00:00:00+00:00"
    assert row == {
        "data": "hot",
        "subscription_name": SUBSCRIPTION,
        "message_id": message_id,
        "attributes": {"device": "d1", "ordering_key": "k"},
    }
    assert sandbox.checks("bigquery.tables.updateData")[-1] == (agent(sandbox), TABLE, True)


@pytest.mark.parametrize("lacking", ["bigquery.tables.get", "bigquery.tables.updateData"])
def test_a_writer_without_its_permissions_is_refused_when_the_subscription_is_made(
    sandbox: Sandbox, pubsub: Client, lacking: str
) -> None:
    table(sandbox, DATA)
    grant_agent(sandbox, EDITOR, TABLE)
    sandbox.cloud[Iam].withheld.add((agent(sandbox), lacking))
    body = {"topic": TOPIC, "bigqueryConfig": CONFIG}
    error = pubsub.refused("PUT", SUBSCRIPTION, body)
    assert (error["code"], error["message"]) == (403, "The caller does not have permission")
    assert error["details"][0]["metadata"] == {"permission": lacking, "resource": TABLE}
    assert pubsub.refused("GET", SUBSCRIPTION)["code"] == 404


def test_a_table_that_does_not_exist_is_refused_by_name(sandbox: Sandbox, pubsub: Client) -> None:
    sandbox.bigquery().create_dataset(f"{PROJECT}.telemetry")
    grant_agent(sandbox, EDITOR, DATASET)
    error = pubsub.refused("PUT", SUBSCRIPTION, {"topic": TOPIC, "bigqueryConfig": CONFIG})
    assert (error["code"], error["message"]) == (
        404,
        "Not found: Table iot-prod:telemetry.predictions",
    )


@pytest.mark.parametrize(
    ("columns", "config", "says"),
    [
        ([("value", "STRING")], {}, "has no column data"),
        ([("data", "FLOAT")], {}, "data of"),
        ([DATA], {"writeMetadata": True}, "has no column subscription_name"),
        ([DATA, ("site", "STRING", "REQUIRED")], {}, "requires site"),
        ([DATA], {"useTopicSchema": True, "useTableSchema": True}, "cannot be enabled"),
        ([DATA], {"useTopicSchema": True}, "needs an Avro schema"),
        ([DATA], {"table": "predictions"}, "is not of the form"),
    ],
)
def test_a_table_that_messages_do_not_fit_is_refused(
    sandbox: Sandbox,
    pubsub: Client,
    columns: list[tuple[str, ...]],
    config: dict[str, Any],
    says: str,
) -> None:
    table(sandbox, *columns)
    grant_agent(sandbox, EDITOR, DATASET)
    body = {"topic": TOPIC, "bigqueryConfig": {**CONFIG, **config}}
    error = pubsub.refused("PUT", SUBSCRIPTION, body)
    assert error["code"] == 400
    assert says in error["message"]


def test_an_account_of_ones_own_writes_when_the_caller_may_act_as_it(
    sandbox: Sandbox, pubsub: Client
) -> None:
    client = table(sandbox, DATA)
    sandbox.grant(TABLE, EDITOR, "serving")
    sandbox.role("deployer", "pubsub.subscriptions.create", "pubsub.topics.attachSubscription")
    config = {**CONFIG, "serviceAccountEmail": email("serving")}
    deployer = Client(sandbox, "deployer")
    body = {"topic": TOPIC, "bigqueryConfig": config}
    assert email("serving") in deployer.refused("PUT", SUBSCRIPTION, body)["message"]
    account = f"{HERE}/serviceAccounts/{email('serving')}"
    sandbox.grant(account, "roles/iam.serviceAccountUser", "deployer")
    deployer("PUT", SUBSCRIPTION, body)
    pubsub.publish("hot")
    assert rows(client) == [{"data": "hot"}]
    assert sandbox.checks("bigquery.tables.updateData")[-1] == (email("serving"), TABLE, True)


def test_with_the_tables_schema_the_fields_of_the_message_are_columns(
    sandbox: Sandbox, pubsub: Client
) -> None:
    columns = [
        ("device", "STRING", "REQUIRED"),
        ("celsius", "FLOAT"),
        ("at", "TIMESTAMP"),
        ("codes", "INTEGER", "REPEATED"),
        ("raw", "JSON"),
    ]
    client = table(sandbox, *columns)
    grant_agent(sandbox, EDITOR, TABLE)
    config = {**CONFIG, "useTableSchema": True, "dropUnknownFields": True}
    pubsub.subscribe(SUBSCRIPTION, bigqueryConfig=config)
    reading = {"device": "d1", "celsius": 90, "at": "2026-01-01T00:00:01Z", "codes": [1, 2]}
    pubsub.publish(json.dumps(reading | {"raw": {"a": [1]}, "site": "oslo"}))
    (row,) = rows(client)
    assert row.pop("at").isoformat() == "2026-01-01T00:00:01+00:00"
    assert row == {"device": "d1", "celsius": 90.0, "codes": [1, 2], "raw": {"a": [1]}}


def test_with_the_topics_schema_its_fields_are_columns(sandbox: Sandbox, pubsub: Client) -> None:
    fields = [{"name": "device", "type": "string"}]
    record = {"type": "record", "name": "T", "fields": fields}
    schema = {"type": "AVRO", "definition": json.dumps(record)}
    pubsub("POST", f"{HERE}/schemas", schema, schemaId="reading")
    pubsub.topic(DEAD, schemaSettings={"schema": f"{HERE}/schemas/reading", "encoding": "JSON"})
    client = table(sandbox, ("device", "STRING"))
    grant_agent(sandbox, EDITOR, TABLE)
    config = {**CONFIG, "useTopicSchema": True}
    pubsub.subscribe(SUBSCRIPTION, topic=DEAD, bigqueryConfig=config)
    pubsub.publish('{"device": "d1"}', topic=DEAD)
    assert rows(client) == [{"device": "d1"}]


@pytest.mark.parametrize(
    "text",
    ["no JSON", "[]", '{"celsius": 1}', '{"device": 1}', '{"device": "d1", "site": "oslo"}'],
)
def test_a_message_that_is_no_row_is_not_written(
    sandbox: Sandbox, pubsub: Client, text: str
) -> None:
    client = table(sandbox, ("device", "STRING", "REQUIRED"), ("celsius", "FLOAT"))
    grant_agent(sandbox, EDITOR, TABLE)
    pubsub.subscribe(SUBSCRIPTION, bigqueryConfig={**CONFIG, "useTableSchema": True})
    pubsub.publish(text)
    assert rows(client) == []
    assert pubsub("GET", SUBSCRIPTION)["bigqueryConfig"]["state"] == "SCHEMA_MISMATCH"


def test_a_writer_that_loses_its_grant_writes_later_when_it_has_it_again(
    sandbox: Sandbox, pubsub: Client
) -> None:
    client = table(sandbox, DATA)
    grant_agent(sandbox, EDITOR, TABLE)
    pubsub.subscribe(SUBSCRIPTION, bigqueryConfig=CONFIG)
    sandbox.cloud[Iam].withheld.add((agent(sandbox), "bigquery.tables.updateData"))
    pubsub.publish("hot")
    seen = pubsub("GET", SUBSCRIPTION)
    assert (seen["state"], seen["bigqueryConfig"]["state"]) == (
        "RESOURCE_ERROR",
        "PERMISSION_DENIED",
    )
    sandbox.cloud[Iam].withheld.clear()
    pubsub.wait(9)
    assert rows(client) == []
    pubsub.wait(1)
    assert rows(client) == [{"data": "hot"}]
    assert pubsub("GET", SUBSCRIPTION)["state"] == "ACTIVE"


def test_what_cannot_be_written_ends_in_the_dead_letter_topic_with_the_reason(
    sandbox: Sandbox, pubsub: Client
) -> None:
    table(sandbox, ("data", "JSON"))
    grant_agent(sandbox, EDITOR, TABLE)
    grant_agent(sandbox, "roles/pubsub.publisher", DEAD)
    letters = f"{HERE}/subscriptions/letters"
    pubsub.topic(DEAD)
    pubsub.subscribe(letters, topic=DEAD)
    policy = {"deadLetterTopic": DEAD, "maxDeliveryAttempts": 5}
    pubsub.subscribe(SUBSCRIPTION, bigqueryConfig=CONFIG, deadLetterPolicy=policy)
    grant_agent(sandbox, "roles/pubsub.subscriber", SUBSCRIPTION)
    pubsub.publish("no JSON")
    for _ in range(4):
        assert pubsub.pull(letters) == []
        pubsub.wait(600)
    (letter,) = pubsub.pull(letters)
    reason = letter["message"]["attributes"]["CloudPubSubDeadLetterSourceDeliveryErrorMessage"]
    assert "not a value of JSON" in reason


def test_an_export_subscription_cannot_be_pulled(sandbox: Sandbox, pubsub: Client) -> None:
    table(sandbox, DATA)
    grant_agent(sandbox, EDITOR, TABLE)
    pubsub.subscribe(SUBSCRIPTION, bigqueryConfig=CONFIG)
    error = pubsub.refused("POST", f"{SUBSCRIPTION}:pull", {"maxMessages": 1})
    assert error["status"] == "FAILED_PRECONDITION"


def test_what_waited_is_written_once_a_subscription_is_turned_to_bigquery(
    sandbox: Sandbox, pubsub: Client
) -> None:
    client = table(sandbox, DATA)
    grant_agent(sandbox, EDITOR, TABLE)
    pubsub.subscribe(SUBSCRIPTION)
    pubsub.publish("a", "b")
    body = {"subscription": {"bigqueryConfig": CONFIG}, "updateMask": "bigqueryConfig"}
    pubsub("PATCH", SUBSCRIPTION, body)
    assert rows(client) == [{"data": "a"}, {"data": "b"}]
