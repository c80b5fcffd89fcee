"""Schemas, their revisions, and topics that hold publishers to them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.simulator.support.pubsub import DEAD, HERE, PULL, TOPIC, Client, email, encoded
from tests.simulator.support.service import NUMBER, PROJECT, Sandbox

SCHEMA = f"{HERE}/schemas/reading"
FIELDS = [{"name": "device", "type": "string"}, {"name": "celsius", "type": ["null", "double"]}]


def avro(*fields: dict[str, Any]) -> dict[str, str]:
    record = {"type": "record", "name": "Reading", "fields": [*FIELDS, *fields]}
    return {"type": "AVRO", "definition": json.dumps(record)}


@pytest.fixture
def schema(pubsub: Client) -> dict[str, Any]:
    made: dict[str, Any] = pubsub("POST", f"{HERE}/schemas", avro(), schemaId="reading")
    return made


def checked_topic(pubsub: Client, **settings: Any) -> None:
    pubsub.topic(DEAD, schemaSettings={"schema": SCHEMA, "encoding": "JSON", **settings})


def refusal(pubsub: Client, value: Any) -> str:
    """What publishing a JSON value to the topic with a schema is refused with."""
    body = {"messages": [{"data": encoded(json.dumps(value))}]}
    message: str = pubsub.refused("POST", f"{DEAD}:publish", body)["message"]
    return message


def test_a_schema_reads_back_with_a_revision(pubsub: Client, schema: dict[str, Any]) -> None:
    assert {key: schema[key] for key in ("name", "type", "definition")} == {
        "name": SCHEMA,
        **avro(),
    }
    assert schema["revisionCreateTime"] == "2026-01-01T00:00:00Z"
    assert pubsub("GET", SCHEMA) == schema
    assert "definition" not in pubsub("GET", SCHEMA, view="BASIC")


def test_a_missing_schema_and_a_taken_name_read_as_googles(
    pubsub: Client, schema: dict[str, Any]
) -> None:
    missing = pubsub.refused("GET", f"{HERE}/schemas/nowhere")
    assert missing["message"] == f"Resource not found (resource={HERE}/schemas/nowhere)."
    taken = pubsub.refused("POST", f"{HERE}/schemas", avro(), schemaId="reading")
    assert (taken["code"], taken["status"]) == (409, "ALREADY_EXISTS")


def test_lists_leave_the_definition_out_unless_asked(
    pubsub: Client, schema: dict[str, Any]
) -> None:
    (basic,) = pubsub("GET", f"{HERE}/schemas")["schemas"]
    assert basic == {key: value for key, value in schema.items() if key != "definition"}
    assert pubsub("GET", f"{HERE}/schemas", view="FULL")["schemas"] == [schema]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"type": "AVRO"},
        {"type": "AVRO", "definition": "{"},
        {"type": "AVRO", "definition": '"string"'},
        {"type": "AVRO", "definition": '{"type":"record","name":"T"}'},
        {
            "type": "AVRO",
            "definition": '{"type":"record","name":"T","fields":[{"name":"a","type":"nil"}]}',
        },
    ],
)
def test_what_is_no_schema_is_refused(pubsub: Client, body: dict[str, str]) -> None:
    assert pubsub.refused("POST", f"{HERE}/schemas", body, schemaId="reading")["code"] == 400
    assert pubsub.refused("POST", f"{HERE}/schemas:validate", {"schema": body})["code"] == 400


def test_a_body_may_repeat_the_name_in_the_path_but_not_contradict_it(
    pubsub: Client, schema: dict[str, Any]
) -> None:
    """The official provider repeats it in a commit."""
    for name in (SCHEMA, SCHEMA.replace(PROJECT, NUMBER)):
        body = {"name": name, "schema": avro({"name": name[-1], "type": "int"})}
        assert pubsub("POST", f"{SCHEMA}:commit", body)["name"] == SCHEMA
    revisions = pubsub("GET", f"{SCHEMA}:listRevisions")["schemas"]
    assert len(revisions) == 3
    other = f"{HERE}/schemas/other"
    error = pubsub.refused("POST", f"{SCHEMA}:commit", {"name": other, "schema": avro()})
    assert error["message"] == (
        f"The binding value {SCHEMA} of the field name is conflicting with the value {other} in "
        "the body."
    )
    topic = f"{HERE}/topics/readings"
    assert pubsub("PUT", topic, {"name": topic}) == {"name": topic}
    assert pubsub.refused("PUT", DEAD, {"name": topic})["code"] == 400
    assert pubsub.refused("PATCH", topic, {"name": topic, "topic": {}})["code"] == 400


def test_revisions_are_committed_listed_rolled_back_and_deleted(
    pubsub: Client, schema: dict[str, Any]
) -> None:
    first = schema["revisionId"]
    wider = avro({"name": "site", "type": "string"})
    second = pubsub("POST", f"{SCHEMA}:commit", {"schema": wider})["revisionId"]
    assert pubsub("GET", SCHEMA)["definition"] == wider["definition"]
    assert pubsub("GET", f"{SCHEMA}@{first}") == schema
    third = pubsub("POST", f"{SCHEMA}:rollback", {"revisionId": first})["revisionId"]
    assert pubsub("GET", SCHEMA)["definition"] == schema["definition"]
    pubsub("DELETE", f"{SCHEMA}@{second}:deleteRevision")
    listed = pubsub("GET", f"{SCHEMA}:listRevisions")["schemas"]
    assert [item["revisionId"] for item in listed] == [third, first]


def test_each_step_takes_its_own_permission(sandbox: Sandbox, schema: dict[str, Any]) -> None:
    deployer = Client(sandbox, "deployer")
    calls = {
        "pubsub.schemas.get": ("GET", SCHEMA, None),
        "pubsub.schemas.commit": ("POST", f"{SCHEMA}:commit", {"schema": avro()}),
        "pubsub.schemas.listRevisions": ("GET", f"{SCHEMA}:listRevisions", None),
        "pubsub.schemas.delete": ("DELETE", SCHEMA, None),
    }
    for permission, (verb, path, body) in calls.items():
        error = deployer.refused(verb, path, body)
        assert error["details"][0]["metadata"] == {"permission": permission, "resource": SCHEMA}
        sandbox.role("deployer", permission, on=SCHEMA)
        deployer(verb, path, body)


def test_giving_a_topic_a_schema_takes_a_permission_on_the_schema(
    sandbox: Sandbox, schema: dict[str, Any]
) -> None:
    sandbox.role("deployer", "pubsub.topics.create")
    deployer = Client(sandbox, "deployer")
    settings = {"schema": SCHEMA, "encoding": "JSON"}
    assert deployer.refused("PUT", DEAD, {"schemaSettings": settings})["code"] == 403
    sandbox.role("deployer", "pubsub.schemas.attach", on=SCHEMA)
    assert deployer.topic(DEAD, schemaSettings=settings)["schemaSettings"] == settings


def test_a_topic_with_a_schema_takes_what_fits_and_says_what_does_not(
    pubsub: Client, schema: dict[str, Any]
) -> None:
    checked_topic(pubsub)
    fits = {"device": "d1", "celsius": {"double": 90.5}}
    pubsub.publish(json.dumps(fits), json.dumps(fits | {"celsius": None}), topic=DEAD)
    assert "lacks the field celsius" in refusal(pubsub, {"device": "d1"})
    assert "has no field site" in refusal(pubsub, fits | {"site": "oslo"})
    assert "message.device is not a string" in refusal(pubsub, fits | {"device": 1})
    assert "message.celsius is not an object" in refusal(pubsub, fits | {"celsius": 90.5})


def test_older_revisions_count_unless_the_topic_says_otherwise(
    pubsub: Client, schema: dict[str, Any]
) -> None:
    wider = avro({"name": "site", "type": "string"})
    latest = pubsub("POST", f"{SCHEMA}:commit", {"schema": wider})["revisionId"]
    checked_topic(pubsub)
    old = {"device": "d1", "celsius": None}
    pubsub.publish(json.dumps(old), topic=DEAD)
    body = {"topic": {"schemaSettings": {"firstRevisionId": latest}}}
    pubsub("PATCH", DEAD, body, updateMask="schemaSettings.firstRevisionId")
    assert "lacks the field site" in refusal(pubsub, old)


def test_nothing_can_be_published_against_a_deleted_schema(
    pubsub: Client, schema: dict[str, Any]
) -> None:
    checked_topic(pubsub)
    pubsub("DELETE", SCHEMA)
    assert pubsub("GET", DEAD)["schemaSettings"]["schema"] == "_deleted-schema_"
    assert "deleted" in refusal(pubsub, {"device": "d1", "celsius": None})


def test_a_message_is_checked_against_a_schema_by_name_or_by_definition(
    pubsub: Client, schema: dict[str, Any]
) -> None:
    fits = encoded('{"device": "d1", "celsius": null}')
    for which in ({"name": SCHEMA}, {"schema": avro()}):
        body = {**which, "encoding": "JSON", "message": fits}
        assert pubsub("POST", f"{HERE}/schemas:validateMessage", body) == {}
        body["message"] = encoded("{}")
        assert pubsub.refused("POST", f"{HERE}/schemas:validateMessage", body)["code"] == 400


def test_a_protocol_buffer_schema_is_kept_and_checking_against_it_says_it_cannot(
    pubsub: Client,
) -> None:
    body = {"type": "PROTOCOL_BUFFER", "definition": 'syntax = "proto3"; message Reading {}'}
    pubsub("POST", f"{HERE}/schemas", body, schemaId="reading")
    checked_topic(pubsub)
    sent = {"messages": [{"data": encoded("{}")}]}
    assert pubsub.refused("POST", f"{DEAD}:publish", sent)["status"] == "UNIMPLEMENTED"


def test_the_policy_of_a_schema_decides_who_reads_it(
    sandbox: Sandbox, pubsub: Client, schema: dict[str, Any]
) -> None:
    member = f"serviceAccount:{email('serving')}"
    bindings = [{"role": "roles/pubsub.viewer", "members": [member]}]
    pubsub("POST", f"{SCHEMA}:setIamPolicy", {"policy": {"bindings": bindings}})
    serving = Client(sandbox, "serving")
    assert serving("GET", SCHEMA) == schema
    assert serving.refused("GET", TOPIC)["code"] == 403
    assert serving.refused("GET", PULL)["code"] == 403
