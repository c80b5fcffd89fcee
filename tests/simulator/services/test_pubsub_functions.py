"""JavaScript functions as message transforms: what they get, what they make, how they fail."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from google.cloud import bigquery, pubsub_v1

from tests.simulator.support.pubsub import (
    DEAD,
    HERE,
    PULL,
    TOPIC,
    Client,
    encoded,
    grant_agent,
    json_of,
    text_of,
)
from tests.simulator.support.service import ENDPOINT, PROJECT, Sandbox, email

TOPIC_MADE = f"{HERE}/topics/made"
DEAD_PULL = f"{HERE}/subscriptions/dead"
REDACT = """
function redact(message, metadata) {
  const data = JSON.parse(message.data);
  delete data.ssn;
  message.data = JSON.stringify(data);
  return message;
}
"""
REPORT = """
function report(message, metadata) {
  return {data: JSON.stringify({message, metadata}), attributes: {}};
}
"""


def function(code: str, name: str = "f", **fields: Any) -> dict[str, Any]:
    return {"javascriptUdf": {"functionName": name, "code": code}, **fields}


def body(text: str) -> dict[str, Any]:
    """A function of `message` and `metadata` that does what the text says."""
    return function(f"function f(message, metadata) {{ {text} }}")


def steps(*transforms: dict[str, Any]) -> dict[str, Any]:
    return {"messageTransforms": list(transforms)}


def made(pubsub: Client, *transforms: dict[str, Any], **fields: Any) -> None:
    """A topic with the transforms, and a subscription to it."""
    assert pubsub.topic(TOPIC_MADE, **steps(*transforms)) == {
        "name": TOPIC_MADE,
        **steps(*transforms),
    }
    pubsub.subscribe(topic=TOPIC_MADE, **fields)


def refused(pubsub: Client, *texts: str) -> str:
    """What publishing to the topic with the transforms is refused with."""
    messages = [{"data": encoded(text)} for text in texts]
    error = pubsub.refused("POST", f"{TOPIC_MADE}:publish", {"messages": messages})
    assert (error["code"], error["status"]) == (400, "FAILED_PRECONDITION")
    return str(error["message"])


def test_a_topics_function_changes_what_every_subscription_gets(pubsub: Client) -> None:
    made(pubsub, function(REDACT, "redact"))
    other = f"{HERE}/subscriptions/other"
    pubsub.subscribe(other, topic=TOPIC_MADE)
    pubsub.publish('{"name": "Zoë", "ssn": "1"}', topic=TOPIC_MADE, attributes={"a": "1"})
    for name in (PULL, other):
        (received,) = pubsub.pull(name)
        assert json_of(received) == {"name": "Zoë"}
        assert received["message"]["attributes"] == {"a": "1"}


def test_a_function_of_a_topic_knows_neither_id_nor_time(pubsub: Client) -> None:
    made(pubsub, function(REPORT, "report"))
    pubsub.publish("hot", topic=TOPIC_MADE, attributes={"a": "1"}, orderingKey="k")
    (received,) = pubsub.pull()
    assert json_of(received) == {
        "message": {"data": "hot", "attributes": {"a": "1"}},
        "metadata": {"ordering_key": "k"},
    }
    assert "attributes" not in received["message"] or not received["message"]["attributes"]


def test_a_function_of_a_subscription_knows_both(pubsub: Client) -> None:
    pubsub.subscribe(**steps(function(REPORT, "report")))
    pubsub.wait(0.25)
    (message_id,) = pubsub.publish("hot")
    (received,) = pubsub.pull()
    assert json_of(received)["metadata"] == {
        "message_id": message_id,
        "publish_time": "2026-01-01T00:00:00Z",
    }
    assert received["message"]["messageId"] == message_id


def test_transforms_run_in_their_order_and_disabled_ones_not_at_all(pubsub: Client) -> None:
    made(
        pubsub,
        function("function a(m) { m.data += 'a'; return m; }", "a"),
        function("function b(m) { m.data += 'b'; return m; }", "b", disabled=True),
        function("function c(m) { m.data += 'c'; return m; }", "c"),
    )
    pubsub.publish("", "-", topic=TOPIC_MADE, attributes={"a": "1"})
    assert pubsub.texts() == ["ac", "-ac"]


def test_null_filters_a_message_whose_publisher_gets_an_id_all_the_same(pubsub: Client) -> None:
    made(
        pubsub,
        body("return message.data === 'cold' ? null : message;"),
        function("function g(m) { if (m.data === 'cold') throw m; return m; }", "g"),
    )
    assert len(set(pubsub.publish("cold", "hot", "cold", topic=TOPIC_MADE))) == 3
    assert pubsub.texts() == ["hot"]


def test_what_a_subscription_filters_is_done_with(pubsub: Client) -> None:
    pubsub.subscribe(
        **steps(body("return message.data === 'cold' ? null : message;")),
        enableMessageOrdering=True,
    )
    other = f"{HERE}/subscriptions/other"
    pubsub.subscribe(other)
    pubsub.publish("cold", "hot", orderingKey="k")
    (received,) = pubsub.pull()
    assert text_of(received) == "hot"
    pubsub.acknowledge(received)
    pubsub("PATCH", PULL, {"subscription": {}, "updateMask": "messageTransforms"})
    assert pubsub.texts() == []
    assert pubsub.texts(other) == ["cold", "hot"]


def test_attributes_stay_unless_they_are_returned(pubsub: Client) -> None:
    made(pubsub, body("return {data: message.data + '!'};"))
    pubsub.publish("hot", topic=TOPIC_MADE, attributes={"a": "1"})
    (received,) = pubsub.pull()
    assert received["message"]["attributes"] == {"a": "1"}


def test_a_filter_sees_what_the_topic_made_and_not_what_the_subscription_makes(
    pubsub: Client,
) -> None:
    risk = "message.attributes.risk = message.data; return message;"
    made(pubsub, body(risk), filter='attributes.risk = "high"')
    late = f"{HERE}/subscriptions/late"
    pubsub.subscribe(late, filter='attributes.risk = "high"', **steps(body(risk)))
    for topic in (TOPIC, TOPIC_MADE):
        pubsub.publish("high", "low", topic=topic)
    assert pubsub.texts() == ["high"]
    assert pubsub.texts(late) == []


def test_a_schema_is_checked_on_what_the_transforms_made(pubsub: Client) -> None:
    definition = {
        "type": "record",
        "name": "Reading",
        "fields": [{"name": "celsius", "type": "double"}],
    }
    schema = {"type": "AVRO", "definition": json.dumps(definition)}
    pubsub("POST", f"{HERE}/schemas", schema, schemaId="reading")
    settings = {"schema": f"{HERE}/schemas/reading", "encoding": "JSON"}
    to_celsius = body("return {data: JSON.stringify({celsius: Number(message.data)})};")
    pubsub.topic(TOPIC_MADE, schemaSettings=settings, **steps(to_celsius))
    pubsub.subscribe(topic=TOPIC_MADE)
    pubsub.publish("20.5", topic=TOPIC_MADE)
    assert pubsub.texts() == ['{"celsius":20.5}']
    messages = [{"data": encoded("hot")}]
    assert pubsub.refused("POST", f"{TOPIC_MADE}:publish", {"messages": messages})["code"] == 400


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("throw new TypeError('no sensor');", "TypeError: no sensor"),
        ("throw 'no sensor';", "no sensor"),
        ("return JSON.parse(message.data);", "SyntaxError"),
        ("return require('fs');", "ReferenceError: require is not defined"),
        ("return fetch('https://example.com');", "ReferenceError: fetch is not defined"),
        ("return setTimeout(() => {}, 1);", "ReferenceError: setTimeout is not defined"),
        ("return atob(message.data);", "ReferenceError: atob is not defined"),
        ("(() => { 'use strict'; metadata.ordering_key = 'x'; })();", "TypeError"),
        ("return f(message);", "RangeError: Maximum call stack size exceeded"),
        ("for (;;);", "it took more than 500 ms"),
        ("try { for (;;); } catch { return message; }", "it took more than 500 ms"),
        ("return /^(a+)+$/.test('a'.repeat(40) + 'b');", "it took more than 500 ms"),
        ("", "neither null nor an object"),
        ("return true;", "neither null nor an object"),
        ("return {attributes: {}};", "neither null nor an object"),
        ("return {data: {a: 1}};", "neither null nor an object"),
        ("return {data: 'x', attributes: {a: 1}};", "attributes that are not an object of strings"),
        ("return {data: '\\ud83d'};", "text that is not UTF-8"),
        ("return {data: '', attributes: {}};", "left neither data nor attributes"),
        ("return {data: 'x'.repeat(10000001)};", "made a message of 10000001 bytes"),
    ],
)
def test_a_failing_function_refuses_the_whole_request_and_says_why(
    pubsub: Client, text: str, said: str
) -> None:
    made(pubsub, body(f"if (message.data === 'good') return message; {text}"))
    message = refused(pubsub, "good", "bad")
    assert said in message
    assert f"f of {TOPIC_MADE}" in message
    assert pubsub.texts() == []
    pubsub.publish("good", topic=TOPIC_MADE)
    assert pubsub.texts() == ["good"]


def test_a_message_has_half_a_second_and_the_next_one_too(pubsub: Client) -> None:
    made(pubsub, body("while (message.data === 'slow'); return message;"))
    started = time.process_time()
    refused(pubsub, "slow")
    assert 0.4 < time.process_time() - started < 2
    pubsub.publish("hot", topic=TOPIC_MADE)
    assert pubsub.texts() == ["hot"]


def test_a_function_is_compiled_once(pubsub: Client) -> None:
    made(pubsub, function("let n = 0; function f() { n += 1; return {data: String(n)}; }"))
    for _ in range(2):
        pubsub.publish("x", "x", topic=TOPIC_MADE)
    assert pubsub.texts() == ["1", "2", "3", "4"]


def test_data_that_is_not_utf_8_is_not_given_to_a_function(pubsub: Client) -> None:
    made(pubsub, body("return message;"))
    error = pubsub.refused("POST", f"{TOPIC_MADE}:publish", {"messages": [{"data": "/w=="}]})
    assert (error["code"], "UTF-8" in error["message"]) == (400, True)


def test_the_date_is_the_clouds(pubsub: Client) -> None:
    made(pubsub, body("return {data: [new Date().toISOString(), Date.now()].join()};"))
    pubsub.publish("now", topic=TOPIC_MADE)
    pubsub.wait(60)
    pubsub.publish("now", topic=TOPIC_MADE)
    assert pubsub.texts() == [
        "2026-01-01T00:00:00.000Z,1767225600000",
        "2026-01-01T00:01:00.000Z,1767225660000",
    ]


def test_a_function_cannot_reach_into_another(pubsub: Client) -> None:
    spoil = "JSON.parse = JSON.stringify = Object.prototype.toJSON = () => 1;"
    made(
        pubsub,
        function(f"{spoil} function a(m) {{ return {{data: 'a'}}; }}", "a", disabled=True),
        function("const seen = []; const b = m => ({data: JSON.stringify([m.data])});", "b"),
    )
    pubsub.publish("x", topic=TOPIC_MADE)
    assert pubsub.texts() == ['["x"]']


@pytest.mark.parametrize(
    ("transforms", "said"),
    [
        ([function("function g() {}")], "no function f"),
        ([function("const f = 1;")], "no function f"),
        ([function("function f( {")], "SyntaxError"),
        ([function("for (;;); function f() {}")], "500 ms"),
        ([function("throw new Error('no'); function f() {}")], "Error: no"),
        ([function("function f() {}", "f; f")], "not the name"),
        ([function("function f() {}", "")], "not the name"),
        ([function("function f() {}" + " " * 20_480)], "20480"),
        ([body("return message;")] * 2, "name of its own"),
        ([function(f"function f{n}() {{}}", f"f{n}") for n in range(6)], "maximum of 5"),
        ([{**body(""), "aiInference": {}}], "exactly one"),
    ],
)
def test_a_function_that_cannot_be_is_refused_when_it_is_declared(
    pubsub: Client, transforms: list[dict[str, Any]], said: str
) -> None:
    for name, more in ((TOPIC_MADE, {}), (PULL, {"topic": TOPIC})):
        error = pubsub.refused("PUT", name, {**more, **steps(*transforms)})
        assert (error["code"], said in error["message"]) == (400, True), error["message"]


def test_what_a_subscriptions_function_refuses_is_dead_lettered_with_the_reason(
    sandbox: Sandbox, pubsub: Client
) -> None:
    pubsub.topic(DEAD)
    pubsub.subscribe(DEAD_PULL, topic=DEAD)
    policy = {"deadLetterTopic": DEAD, "maxDeliveryAttempts": 5}
    pubsub.subscribe(deadLetterPolicy=policy, **steps(function(REDACT, "redact")))
    grant_agent(sandbox, "roles/pubsub.publisher", DEAD)
    grant_agent(sandbox, "roles/pubsub.subscriber", PULL)
    pubsub.publish("{}", "malformed", attributes={"device": "d1"})
    (received,) = pubsub.pull()
    assert (text_of(received), received["deliveryAttempt"]) == ("{}", 1)
    pubsub.acknowledge(received)
    for _ in range(3):
        assert pubsub.pull() == []
    assert pubsub.pull(DEAD_PULL) == []
    assert pubsub.pull() == []
    (dead,) = pubsub.pull(DEAD_PULL)
    prefix = "CloudPubSubDeadLetterSource"
    attributes = dead["message"]["attributes"]
    assert text_of(dead) == "malformed"
    assert attributes["device"] == "d1"
    assert attributes[f"{prefix}DeliveryCount"] == "5"
    assert attributes[f"{prefix}Subscription"] == "pull"
    assert "redact" in attributes[f"{prefix}DeliveryErrorMessage"]
    assert "SyntaxError" in attributes[f"{prefix}DeliveryErrorMessage"]


def test_rows_of_bigquery_are_what_the_subscriptions_transforms_made(
    sandbox: Sandbox, pubsub: Client
) -> None:
    """With the table's schema and metadata; a malformed message is dead-lettered."""
    client = sandbox.bigquery()
    client.create_dataset(f"{PROJECT}.telemetry")
    columns = [
        ("celsius", "FLOAT"),
        ("subscription_name", "STRING"),
        ("message_id", "STRING"),
        ("publish_time", "TIMESTAMP"),
        ("attributes", "JSON"),
    ]
    schema = [bigquery.SchemaField(*column) for column in columns]
    client.create_table(bigquery.Table(f"{PROJECT}.telemetry.readings", schema=schema))
    table = f"{HERE}/datasets/telemetry/tables/readings"
    grant_agent(sandbox, "roles/bigquery.dataEditor", table)
    pubsub.topic(DEAD)
    pubsub.subscribe(DEAD_PULL, topic=DEAD)
    grant_agent(sandbox, "roles/pubsub.publisher", DEAD)
    grant_agent(sandbox, "roles/pubsub.subscriber", HERE)
    to_celsius = body(
        "const value = JSON.parse(message.data); if (value < -273.15) return null;"
        "return {data: JSON.stringify({celsius: value}), attributes: {unit: 'C'}};"
    )
    config = {
        "table": f"{PROJECT}.telemetry.readings",
        "useTableSchema": True,
        "writeMetadata": True,
    }
    pubsub.subscribe(
        bigqueryConfig=config,
        deadLetterPolicy={"deadLetterTopic": DEAD, "maxDeliveryAttempts": 5},
        **steps(to_celsius),
    )
    ids = pubsub.publish("20.5", "-300", "malformed", attributes={"device": "d1"})
    (row,) = client.list_rows(f"{PROJECT}.telemetry.readings")
    assert (row["celsius"], row["message_id"]) == (20.5, ids[0])
    assert row["attributes"] == {"unit": "C"}
    for _ in range(4):
        assert pubsub.pull(DEAD_PULL) == []
        pubsub.wait(600)
    (dead,) = pubsub.pull(DEAD_PULL)
    assert text_of(dead) == "malformed"
    said = dead["message"]["attributes"]["CloudPubSubDeadLetterSourceDeliveryErrorMessage"]
    assert "SyntaxError" in said
    assert len(list(client.list_rows(f"{PROJECT}.telemetry.readings"))) == 1


def test_a_request_is_made_asked_and_labelled_by_three_transforms(
    sandbox: Sandbox, pubsub: Client, model: str, endpoint: str
) -> None:
    """Function, AI inference, function: through Google's own client, in order of a key.

    With ordering the client waits 2**32 seconds for an answer, unless it is told not to retry;
    over REST that is more than poll(2) takes, and times out at once.
    """
    sandbox.deploy(model, split={"0": 100})
    sandbox.role("serving", "aiplatform.endpoints.get", "aiplatform.endpoints.predict", on=ENDPOINT)
    request = body(
        "const {t, p} = JSON.parse(message.data);"
        "return {data: JSON.stringify({instances: [[t, p]]})};"
    )
    inference = {"aiInference": {"endpoint": ENDPOINT, "serviceAccountEmail": email("serving")}}
    label = function(
        "function label(message) {"
        "  const {predictions: [risk]} = JSON.parse(message.data).model_output;"
        "  message.attributes.risk = String(risk); return message; }",
        "label",
    )
    made(pubsub, request, inference, label, enableMessageOrdering=True)
    client = pubsub_v1.PublisherClient(
        publisher_options=pubsub_v1.types.PublisherOptions(enable_message_ordering=True),
        credentials=sandbox.credentials(),
        transport="rest",
    )
    futures = [
        client.publish(
            TOPIC_MADE,
            json.dumps({"t": t, "p": 0.0}).encode(),
            ordering_key=key,
            retry=None,
            timeout=10,
            device=key,
        )
        for t, key in ((2.0, "d1"), (-2.0, "d1"), (3.0, "d2"), (1.0, "d1"))
    ]
    client.stop()
    ids = [future.result(timeout=10) for future in futures]
    got: dict[str, list[tuple[str, str]]] = {}
    while received := pubsub.pull():
        for item in received:
            message = item["message"]
            assert message["attributes"]["device"] == message["orderingKey"]
            entry = (message["messageId"], message["attributes"]["risk"])
            got.setdefault(message["orderingKey"], []).append(entry)
        pubsub.acknowledge(*received)
    assert got["d1"] == [(ids[0], "1"), (ids[1], "0"), (ids[3], "1")]
    assert got["d2"] == [(ids[2], "1")]


def test_googles_client_learns_why_a_topic_refuses(sandbox: Sandbox, pubsub: Client) -> None:
    made(pubsub, function(REDACT, "redact"))
    client = pubsub_v1.PublisherClient(credentials=sandbox.credentials(), transport="rest")
    future = client.publish(TOPIC_MADE, b"malformed")
    client.stop()
    with pytest.raises(Exception, match=r"redact of .*SyntaxError"):
        future.result(timeout=10)
    assert pubsub.texts() == []
