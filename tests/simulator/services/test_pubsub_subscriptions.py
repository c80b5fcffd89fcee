"""Subscriptions as resources: defaults, permissions, updates, expiry. HTTP shapes are Google's."""

from __future__ import annotations

from typing import Any

import pytest

from simulator.services.pubsub.state import PubSub
from tests.simulator.support.pubsub import DEAD, HERE, PULL, TOPIC, Client, email
from tests.simulator.support.service import Sandbox

PUSH = f"{HERE}/subscriptions/push"
DAY = 86_400


def test_google_fills_in_what_a_subscription_leaves_out(pubsub: Client) -> None:
    """http-logs/pubsub-subscription.log, and "Defaults to 7 days"."""
    made = pubsub.subscribe(labels={"env": "prod"}, retryPolicy={})
    assert made == {
        "name": PULL,
        "topic": TOPIC,
        "labels": {"env": "prod"},
        "ackDeadlineSeconds": 10,
        "messageRetentionDuration": "604800s",
        "expirationPolicy": {"ttl": "2678400s"},
        "retryPolicy": {"minimumBackoff": "10s", "maximumBackoff": "600s"},
        "pushConfig": {},
        "state": "ACTIVE",
    }
    assert pubsub("GET", PULL) == made


def test_a_subscription_shows_how_long_its_topic_retains(pubsub: Client) -> None:
    pubsub.subscribe()
    body = {"topic": {"messageRetentionDuration": "86400s"}}
    pubsub("PATCH", TOPIC, body, updateMask="messageRetentionDuration")
    assert pubsub("GET", PULL)["topicMessageRetentionDuration"] == "86400s"


def test_subscribing_takes_a_permission_on_the_project_and_one_on_the_topic(
    sandbox: Sandbox, pubsub: Client
) -> None:
    deployer = Client(sandbox, "deployer")
    sandbox.role("deployer", "pubsub.subscriptions.create")
    error = deployer.refused("PUT", PULL, {"topic": TOPIC})
    assert error["details"][0]["metadata"] == {
        "permission": "pubsub.topics.attachSubscription",
        "resource": TOPIC,
    }
    sandbox.role("deployer", "pubsub.topics.attachSubscription", on=TOPIC)
    assert deployer.subscribe()["topic"] == TOPIC


def test_a_subscription_needs_a_topic_that_exists(pubsub: Client) -> None:
    error = pubsub.refused("PUT", PULL, {"topic": DEAD})
    assert (error["code"], error["message"]) == (
        404,
        "Resource not found (resource=telemetry-dead).",
    )
    assert pubsub.refused("PUT", PULL, {"topic": "telemetry"})["code"] == 400


@pytest.mark.parametrize(
    "fields",
    [
        {"ackDeadlineSeconds": 9},
        {"ackDeadlineSeconds": 601},
        {"messageRetentionDuration": "599s"},
        {"expirationPolicy": {"ttl": "3600s"}},
        {"retryPolicy": {"maximumBackoff": "601s"}},
        {"deadLetterPolicy": {"deadLetterTopic": TOPIC, "maxDeliveryAttempts": 4}},
        {"pushConfig": {"pushEndpoint": "http://example.com"}},
        {"pushConfig": {"pushEndpoint": "https://e.com"}, "enableExactlyOnceDelivery": True},
        {"filter": 'attributes.a = "x" AND attributes.b = "y" OR attributes.c = "z"'},
    ],
)
def test_a_subscription_that_cannot_be_is_refused(pubsub: Client, fields: dict[str, Any]) -> None:
    assert pubsub.refused("PUT", PULL, {"topic": TOPIC, **fields})["code"] == 400
    assert pubsub("GET", f"{HERE}/subscriptions") == {}


def test_the_dead_letter_topic_must_exist(pubsub: Client) -> None:
    policy = {"deadLetterTopic": DEAD, "maxDeliveryAttempts": 5}
    body = {"topic": TOPIC, "deadLetterPolicy": policy}
    assert pubsub.refused("PUT", PULL, body)["message"] == (
        "Resource not found (resource=telemetry-dead)."
    )
    pubsub.topic(DEAD)
    assert pubsub("PUT", PULL, body)["deadLetterPolicy"] == policy


def test_whoever_names_an_account_to_push_as_must_be_allowed_to_act_as_it(
    sandbox: Sandbox, pubsub: Client
) -> None:
    sandbox.role("deployer", "pubsub.subscriptions.create", "pubsub.topics.attachSubscription")
    token = {"serviceAccountEmail": email("serving")}
    config = {"pushEndpoint": "https://example.com/push", "oidcToken": token}
    deployer = Client(sandbox, "deployer")
    error = deployer.refused("PUT", PUSH, {"topic": TOPIC, "pushConfig": config})
    assert (error["code"], email("serving") in error["message"]) == (400, True)
    account = f"{HERE}/serviceAccounts/{email('serving')}"
    sandbox.grant(account, "roles/iam.serviceAccountUser", "deployer")
    assert deployer.subscribe(PUSH, pushConfig=config)["pushConfig"] == config


def test_a_push_endpoint_is_never_called_and_its_messages_wait(
    sandbox: Sandbox, pubsub: Client
) -> None:
    pubsub.subscribe(PUSH, pushConfig={"pushEndpoint": "https://example.com/push"})
    pubsub.publish("hot")
    assert sandbox.cloud.refused_hosts == {}
    assert pubsub.refused("POST", f"{PUSH}:pull", {"maxMessages": 1})["status"] == (
        "FAILED_PRECONDITION"
    )
    pubsub("POST", f"{PUSH}:modifyPushConfig", {"pushConfig": {}})
    assert pubsub.texts(PUSH) == ["hot"]


def test_an_update_changes_what_its_mask_names_and_nothing_else(pubsub: Client) -> None:
    before = pubsub.subscribe(labels={"env": "prod"})
    body = {"subscription": {"ackDeadlineSeconds": 30, "labels": {}}}
    seen = pubsub("PATCH", PULL, body, updateMask="ackDeadlineSeconds,bigqueryConfig")
    assert seen == before | {"ackDeadlineSeconds": 30}
    seen = pubsub("PATCH", PULL, body | {"updateMask": "labels,expiration_policy"})
    assert "labels" not in seen
    assert seen["expirationPolicy"] == {"ttl": "2678400s"}


@pytest.mark.parametrize(
    ("mask", "says"),
    [
        ("topic", "not mutable"),
        ("filter", "not mutable"),
        ("enable_message_ordering", "not mutable"),
        ("acks", "not a known Subscription field"),
        ("", "must be set"),
    ],
)
def test_what_cannot_change_is_refused(pubsub: Client, mask: str, says: str) -> None:
    before = pubsub.subscribe()
    body = {"subscription": {"topic": DEAD, "ackDeadlineSeconds": 30}, "updateMask": mask}
    error = pubsub.refused("PATCH", PULL, body)
    assert error["code"] == 400
    assert says in error["message"]
    assert pubsub("GET", PULL) == before


def test_detaching_takes_a_permission_on_the_topic_and_drops_what_waits(
    sandbox: Sandbox, pubsub: Client
) -> None:
    pubsub.subscribe()
    pubsub.publish("hot")
    sandbox.role("deployer", "pubsub.subscriptions.update", "pubsub.subscriptions.delete")
    deployer = Client(sandbox, "deployer")
    assert deployer.refused("POST", f"{PULL}:detach")["code"] == 403
    sandbox.role("deployer", "pubsub.topics.detachSubscription", on=TOPIC)
    deployer("POST", f"{PULL}:detach")
    assert pubsub("GET", PULL)["detached"] is True
    assert sandbox.cloud[PubSub].subscriptions[PULL].backlog == {}
    assert pubsub.refused("POST", f"{PULL}:pull", {"maxMessages": 1})["status"] == (
        "FAILED_PRECONDITION"
    )


def test_an_unused_subscription_expires_and_one_in_use_does_not(pubsub: Client) -> None:
    pubsub.subscribe(expirationPolicy={"ttl": f"{DAY}s"})
    pubsub.wait(DAY - 1)
    pubsub.pull()
    pubsub.wait(DAY - 1)
    assert pubsub("GET", PULL)["state"] == "ACTIVE"
    pubsub.wait(1)
    assert pubsub.refused("GET", PULL)["code"] == 404


def test_a_policy_without_a_time_to_live_means_never(pubsub: Client) -> None:
    assert pubsub.subscribe(expirationPolicy={})["expirationPolicy"] == {}
    pubsub.wait(400 * DAY)
    assert pubsub("GET", PULL)["expirationPolicy"] == {}


def test_the_policy_of_a_subscription_decides_who_consumes_it(
    sandbox: Sandbox, pubsub: Client
) -> None:
    pubsub.subscribe()
    pubsub.publish("hot")
    serving = Client(sandbox, "serving")
    assert serving.refused("POST", f"{PULL}:pull", {"maxMessages": 1})["code"] == 403
    member = f"serviceAccount:{email('serving')}"
    bindings = [{"role": "roles/pubsub.subscriber", "members": [member]}]
    pubsub("POST", f"{PULL}:setIamPolicy", {"policy": {"bindings": bindings}})
    assert serving.texts() == ["hot"]
    assert sandbox.checks("pubsub.subscriptions.consume")[-1] == (email("serving"), PULL, True)
