"""Messages on the simulator's clock: deadlines, redelivery, order, exactly once, dead letters."""

from __future__ import annotations

import pytest

from tests.simulator.support.pubsub import (
    DEAD,
    HERE,
    PULL,
    TOPIC,
    Client,
    ack_ids,
    encoded,
    grant_agent,
    text_of,
)
from tests.simulator.support.service import Sandbox

LETTERS = f"{HERE}/subscriptions/letters"


def test_each_subscription_gets_its_own_copy_with_id_and_time(pubsub: Client) -> None:
    other = f"{HERE}/subscriptions/other"
    pubsub.subscribe()
    pubsub.subscribe(other)
    (message_id,) = pubsub.publish("hot", attributes={"device": "d1"})
    (received,) = pubsub.pull()
    assert received["message"] == {
        "data": encoded("hot"),
        "attributes": {"device": "d1"},
        "messageId": message_id,
        "publishTime": "2026-01-01T00:00:00Z",
    }
    assert pubsub.texts(other) == ["hot"]


def test_what_was_published_before_the_subscription_is_not_delivered(pubsub: Client) -> None:
    pubsub.publish("early")
    pubsub.subscribe()
    assert pubsub.pull() == []


def test_an_acknowledged_message_is_gone_and_another_comes_again(pubsub: Client) -> None:
    pubsub.subscribe()
    pubsub.publish("a", "b")
    first, _ = pubsub.pull()
    pubsub.acknowledge(first)
    pubsub.wait(9)
    assert pubsub.pull() == []
    pubsub.wait(1)
    assert pubsub.texts() == ["b"]


def test_a_pull_takes_no_more_than_it_asks_for(pubsub: Client) -> None:
    pubsub.subscribe()
    pubsub.publish("a", "b", "c")
    assert [text_of(item) for item in pubsub.pull(most=2)] == ["a", "b"]
    assert pubsub.texts() == ["c"]
    assert pubsub.refused("POST", f"{PULL}:pull", {})["code"] == 400


def test_more_time_is_counted_from_when_it_is_asked_for(pubsub: Client) -> None:
    pubsub.subscribe()
    pubsub.publish("a")
    received = pubsub.pull()
    pubsub.wait(5)
    pubsub.set_deadline(60, *received)
    pubsub.wait(59)
    assert pubsub.pull() == []
    pubsub.wait(1)
    assert pubsub.texts() == ["a"]


def test_a_deadline_of_nothing_gives_the_message_back(pubsub: Client) -> None:
    pubsub.subscribe()
    pubsub.publish("a")
    pubsub.set_deadline(0, *pubsub.pull())
    assert pubsub.texts() == ["a"]


def test_a_late_acknowledgement_still_counts(pubsub: Client) -> None:
    pubsub.subscribe()
    pubsub.publish("a")
    received = pubsub.pull()
    pubsub.wait(10)
    pubsub.acknowledge(*received)
    pubsub.acknowledge(*received)
    assert pubsub.pull() == []


def test_an_ack_id_of_another_subscription_is_refused(pubsub: Client) -> None:
    pubsub.subscribe()
    pubsub.publish("a")
    received = pubsub.pull()
    pubsub("DELETE", PULL)
    pubsub.subscribe()
    for ids in (ack_ids(*received), ["nonsense"], []):
        error = pubsub.refused("POST", f"{PULL}:acknowledge", {"ackIds": ids})
        assert error["code"] == 400


def test_exactly_once_refuses_an_ack_id_that_expired_and_names_it(pubsub: Client) -> None:
    pubsub.subscribe(enableExactlyOnceDelivery=True)
    pubsub.publish("a", "b")
    first, second = pubsub.pull()
    pubsub.set_deadline(60, second)
    pubsub.wait(10)
    body = {"ackIds": ack_ids(first, second)}
    error = pubsub.refused("POST", f"{PULL}:acknowledge", body)
    assert error["message"].startswith("Some acknowledgement ids in the request were invalid.")
    assert error["details"][0]["reason"] == "EXACTLY_ONCE_ACKID_FAILURE"
    assert error["details"][0]["metadata"] == {
        first["ackId"]: "PERMANENT_FAILURE_INVALID_ACK_ID",
    }
    # The other one counted.
    assert pubsub.texts() == ["a"]
    pubsub.wait(60)
    assert pubsub.texts() == ["a"]


def test_a_retry_policy_spaces_the_attempts_out(pubsub: Client) -> None:
    pubsub.subscribe(retryPolicy={"minimumBackoff": "10s", "maximumBackoff": "30s"})
    pubsub.publish("a")
    for pause in (10, 20, 30, 30):
        pubsub.set_deadline(0, *pubsub.pull())
        pubsub.wait(pause - 1)
        assert pubsub.pull() == []
        pubsub.wait(1)
    assert pubsub.texts() == ["a"]


def test_a_message_is_kept_for_as_long_as_the_subscription_retains(pubsub: Client) -> None:
    pubsub.subscribe(messageRetentionDuration="600s")
    pubsub.publish("old")
    pubsub.wait(599)
    pubsub.publish("new")
    assert pubsub.texts() == ["old", "new"]
    pubsub.wait(10)
    assert pubsub.texts() == ["new"]


def test_messages_of_one_key_come_in_order_and_again_from_the_one_that_failed(
    pubsub: Client,
) -> None:
    pubsub.subscribe(enableMessageOrdering=True)
    pubsub.publish("a1", "a2", orderingKey="a")
    (first,) = pubsub.pull(most=1)
    pubsub.publish("b1", orderingKey="b")
    assert pubsub.texts() == ["b1"]
    pubsub.acknowledge(first)
    pubsub.publish("a3", orderingKey="a")
    second, third = pubsub.pull()
    pubsub.set_deadline(0, second)
    assert [text_of(item) for item in (second, third)] == ["a2", "a3"]
    assert pubsub.texts() == ["a2", "a3"]


def test_without_ordering_a_key_holds_nothing_up(pubsub: Client) -> None:
    pubsub.subscribe()
    pubsub.publish("a1", "a2", orderingKey="a")
    pubsub.pull(most=1)
    assert pubsub.texts() == ["a2"]


def dead_lettered(pubsub: Client, attempts: int = 5) -> None:
    """A subscription that gives up after `attempts`, and one that receives what it gives up."""
    pubsub.topic(DEAD)
    pubsub.subscribe(LETTERS, topic=DEAD)
    policy = {"deadLetterTopic": DEAD, "maxDeliveryAttempts": attempts}
    pubsub.subscribe(deadLetterPolicy=policy)
    pubsub.publish("poison", attributes={"device": "d1"})


def test_a_message_that_keeps_failing_goes_to_the_dead_letter_topic(
    sandbox: Sandbox, pubsub: Client
) -> None:
    dead_lettered(pubsub)
    grant_agent(sandbox, "roles/pubsub.publisher", DEAD)
    grant_agent(sandbox, "roles/pubsub.subscriber", PULL)
    attempts = []
    for _ in range(5):
        (received,) = pubsub.pull()
        attempts.append(received["deliveryAttempt"])
        pubsub.wait(10)
    assert attempts == [1, 2, 3, 4, 5]
    (letter,) = pubsub.pull(LETTERS)
    assert text_of(letter) == "poison"
    assert letter["message"]["attributes"] == {
        "device": "d1",
        "CloudPubSubDeadLetterSourceDeliveryCount": "5",
        "CloudPubSubDeadLetterSourceSubscription": "pull",
        "CloudPubSubDeadLetterSourceSubscriptionProject": "iot-prod",
        "CloudPubSubDeadLetterSourceTopicPublishTime": "2026-01-01T00:00:00Z",
    }
    assert pubsub.pull() == []


@pytest.mark.parametrize(
    ("role", "on"), [("roles/pubsub.publisher", DEAD), ("roles/pubsub.subscriber", PULL)]
)
def test_a_dead_letter_needs_both_grants_to_the_service_agent(
    sandbox: Sandbox, pubsub: Client, role: str, on: str
) -> None:
    dead_lettered(pubsub)
    grant_agent(sandbox, role, on)
    for _ in range(6):
        pubsub.set_deadline(0, *pubsub.pull())
    assert pubsub.pull(LETTERS) == []
    assert pubsub.texts() == ["poison"]


MATCHES = [
    ("attributes:site", True),
    ("attributes:line", False),
    ('attributes.site = "oslo"', True),
    ('attributes.site = "bergen"', False),
    ('attributes.line != "7"', True),
    ('hasPrefix(attributes.device, "press-")', True),
    ('hasPrefix(attributes.device, "pump-")', False),
    ('hasPrefix(attributes.line, "")', False),
    ("NOT attributes:line", True),
    ("-attributes:site", False),
    ('attributes.site = "oslo" AND attributes:line', False),
    ('attributes.site = "oslo" OR attributes:line', True),
    ('NOT (attributes:line OR attributes.site = "oslo")', False),
    ('attributes:site AND (attributes:line OR attributes.device = "press-1")', True),
    ('attributes."ce-type" = "say \\"hot\\""', True),
    ('attributes.ce-type != "say"', True),
]


@pytest.mark.parametrize(("expression", "delivered"), MATCHES)
def test_a_filter_decides_by_attributes(pubsub: Client, expression: str, delivered: bool) -> None:
    assert pubsub.subscribe(filter=expression)["filter"] == expression
    pubsub.publish("hot", attributes={"site": "oslo", "device": "press-1", "ce-type": 'say "hot"'})
    assert pubsub.texts() == (["hot"] if delivered else [])


@pytest.mark.parametrize(
    "expression",
    [
        "attributes",
        "attributes:",
        "attributes.site",
        "attributes.site = oslo",
        'attributes.site > "a"',
        "attributes:site and attributes:line",
        "(attributes:site",
        "attributes:site)",
        'hasPrefix(attributes.site "o")',
        'data = "hot"',
        'attributes.site = "' + "x" * 256 + '"',
        "attributes:a ; attributes:b",
    ],
)
def test_what_is_no_filter_is_refused(pubsub: Client, expression: str) -> None:
    error = pubsub.refused("PUT", PULL, {"topic": TOPIC, "filter": expression})
    assert error["status"] == "INVALID_ARGUMENT"
