"""Topics, their policies and publishing, with Google's HTTP shapes."""

from __future__ import annotations

from typing import Any

import pytest

from simulator.services.serviceusage import Services
from tests.simulator.support.pubsub import DEAD, HERE, PULL, TOPIC, Client, email, encoded
from tests.simulator.support.service import Sandbox

FORBIDDEN = "User not authorized to perform this action."


def test_a_topic_answers_with_what_it_was_given_and_its_name(pubsub: Client) -> None:
    given = {"labels": {"env": "prod"}, "messageRetentionDuration": "86400s"}
    name = f"{HERE}/topics/readings"
    assert pubsub.topic(name, **given) == {"name": name, **given}
    assert pubsub("GET", name) == {"name": name, **given}


def test_a_missing_topic_and_a_taken_name_read_as_googles(pubsub: Client) -> None:
    missing = pubsub.refused("GET", f"{HERE}/topics/nowhere")
    assert missing == {
        "code": 404,
        "message": "Resource not found (resource=nowhere).",
        "status": "NOT_FOUND",
    }
    taken = pubsub.refused("PUT", TOPIC, {})
    assert taken == {
        "code": 409,
        "message": "Resource already exists in the project (resource=telemetry).",
        "status": "ALREADY_EXISTS",
    }


@pytest.mark.parametrize("leaf", ["ab", "1st", "google-events", "a" * 256, "sp ace"])
def test_a_name_that_google_does_not_take_is_refused(pubsub: Client, leaf: str) -> None:
    error = pubsub.refused("PUT", f"{HERE}/topics/{leaf}", {})
    assert error["message"].startswith(f"Invalid resource name given (name={HERE}/topics/{leaf}).")
    assert pubsub("GET", f"{HERE}/topics")["topics"] == [{"name": TOPIC}]


def test_creating_takes_its_permission_on_the_project(sandbox: Sandbox) -> None:
    error = Client(sandbox, "deployer").refused("PUT", TOPIC, {})
    assert (error["code"], error["message"]) == (403, FORBIDDEN)
    assert error["details"][0]["metadata"] == {
        "permission": "pubsub.topics.create",
        "resource": HERE,
    }
    sandbox.role("deployer", "pubsub.topics.create")
    assert Client(sandbox, "deployer").topic() == {"name": TOPIC}


def test_a_grant_on_the_topic_is_enough_to_publish_to_it_and_to_no_other(
    sandbox: Sandbox, pubsub: Client
) -> None:
    pubsub.topic(DEAD)
    policy = pubsub("GET", f"{TOPIC}:getIamPolicy")
    assert policy == {"version": 1, "etag": "ACAB"}
    member = f"serviceAccount:{email('serving')}"
    policy["bindings"] = [{"role": "roles/pubsub.publisher", "members": [member]}]
    pubsub("POST", f"{TOPIC}:setIamPolicy", {"policy": policy})
    serving = Client(sandbox, "serving")
    assert len(serving.publish("hot")) == 1
    body = {"messages": [{"data": encoded("hot")}]}
    assert serving.refused("POST", f"{DEAD}:publish", body)["message"] == FORBIDDEN
    asked = {"permissions": ["pubsub.topics.publish", "pubsub.topics.get"]}
    held = serving("POST", f"{TOPIC}:testIamPermissions", asked)
    assert held == {"permissions": ["pubsub.topics.publish"]}
    assert serving("POST", f"{HERE}/topics/nowhere:testIamPermissions", asked) == {}


def test_a_stale_policy_etag_is_refused(pubsub: Client) -> None:
    policy = pubsub("GET", f"{TOPIC}:getIamPolicy")
    pubsub("POST", f"{TOPIC}:setIamPolicy", {"policy": policy})
    error = pubsub.refused("POST", f"{TOPIC}:setIamPolicy", {"policy": policy})
    assert (error["code"], error["status"]) == (409, "ABORTED")


def test_an_update_changes_what_its_mask_names_and_nothing_else(pubsub: Client) -> None:
    body = {"labels": {"env": "prod"}, "messageRetentionDuration": "3600s"}
    seen = pubsub("PATCH", TOPIC, {"topic": body, "updateMask": "labels"})
    assert seen == {"name": TOPIC, "labels": {"env": "prod"}}
    seen = pubsub("PATCH", TOPIC, {"topic": body}, updateMask="message_retention_duration")
    assert seen["messageRetentionDuration"] == "3600s"
    seen = pubsub("PATCH", TOPIC, {"topic": {}}, updateMask="labels")
    assert "labels" not in seen
    assert seen["messageRetentionDuration"] == "3600s"


@pytest.mark.parametrize(
    ("mask", "says"),
    [
        ("", "must be set"),
        ("name", "not mutable"),
        ("lables", "not a known Topic field"),
    ],
)
def test_a_mask_that_cannot_be_honoured_is_refused(pubsub: Client, mask: str, says: str) -> None:
    error = pubsub.refused("PATCH", TOPIC, {"topic": {}, "updateMask": mask})
    assert error["code"] == 400
    assert says in error["message"]


@pytest.mark.parametrize(
    "fields",
    [
        {"messageRetentionDuration": "599s"},
        {"messageRetentionDuration": "an hour"},
        {"messageStoragePolicy": {"allowedPersistenceRegions": ["moon-north1"]}},
        {"messageRetention": "3600s"},
    ],
)
def test_a_topic_that_cannot_be_is_refused(pubsub: Client, fields: dict[str, Any]) -> None:
    assert pubsub.refused("PUT", DEAD, fields)["code"] == 400


def test_what_is_not_simulated_says_so(pubsub: Client) -> None:
    error = pubsub.refused("PUT", DEAD, {"tags": {"123/environment": "production"}})
    assert (error["code"], error["status"]) == (501, "UNIMPLEMENTED")
    assert error["message"] == "the field tags of pubsub.projects.topics.create is not simulated."
    transforms = [{"compression": {}}]
    assert pubsub.refused("PUT", DEAD, {"messageTransforms": transforms})["code"] == 501
    assert pubsub.refused("POST", f"{PULL}:seek", {"time": "2026-01-01T00:00:00Z"})["code"] == 501


def test_topics_come_in_pages(pubsub: Client) -> None:
    pubsub.topic(DEAD)
    first = pubsub("GET", f"{HERE}/topics", pageSize=1)
    second = pubsub("GET", f"{HERE}/topics", pageSize=1, pageToken=first["nextPageToken"])
    assert [first["topics"], second["topics"]] == [[{"name": TOPIC}], [{"name": DEAD}]]
    assert "nextPageToken" not in second


def test_deleting_a_topic_leaves_its_subscriptions_without_one(
    sandbox: Sandbox, pubsub: Client
) -> None:
    pubsub.subscribe()
    pubsub.publish("before")
    pubsub("DELETE", TOPIC)
    assert pubsub("GET", PULL)["topic"] == "_deleted-topic_"
    pubsub.topic()
    assert pubsub("GET", f"{TOPIC}/subscriptions") == {}
    pubsub.publish("after")
    assert pubsub.texts() == ["before"]
    assert sandbox.cloud.state()["subscriptions"] == [PULL]


def test_a_topic_that_comes_again_has_none_of_the_old_ones_policy(
    sandbox: Sandbox, pubsub: Client
) -> None:
    sandbox.grant(TOPIC, "roles/pubsub.publisher", "serving")
    pubsub("DELETE", TOPIC)
    pubsub.topic()
    body = {"messages": [{"data": encoded("hot")}]}
    assert Client(sandbox, "serving").refused("POST", f"{TOPIC}:publish", body)["code"] == 403


def test_the_subscriptions_of_a_topic_are_listed_by_name(pubsub: Client) -> None:
    pubsub.subscribe()
    assert pubsub("GET", f"{TOPIC}/subscriptions") == {"subscriptions": [PULL]}


@pytest.mark.parametrize(
    "messages",
    [
        [],
        [{}],
        [{"data": "not base64!"}],
        [{"data": encoded("a"), "orderingKey": "k"}, {"data": encoded("b")}],
        [{"data": encoded("a")}] * 1001,
    ],
)
def test_messages_that_google_does_not_take_are_refused_together(
    pubsub: Client, messages: list[dict[str, Any]]
) -> None:
    pubsub.subscribe()
    assert pubsub.refused("POST", f"{TOPIC}:publish", {"messages": messages})["code"] == 400
    assert pubsub.pull() == []


def test_an_api_that_is_not_enabled_is_said_first(sandbox: Sandbox) -> None:
    sandbox.cloud[Services].withheld.add("pubsub.googleapis.com")
    error = Client(sandbox).refused("PUT", TOPIC, {})
    assert error["details"][0]["reason"] == "SERVICE_DISABLED"
