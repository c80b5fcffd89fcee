"""What a secret's topics are told, and when a secret is to be rotated."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from simulator.iam.decisions import Iam
from simulator.identity.accounts import Accounts
from simulator.services.serviceusage import Services
from tests.simulator.support.pubsub import TOPIC, Client, json_of
from tests.simulator.support.service import NUMBER, PROJECT, Sandbox

API = "https://secretmanager.googleapis.com/v1"
SECRET = f"projects/{PROJECT}/secrets/clearblade"
SHOWN = f"projects/{NUMBER}/secrets/clearblade"
TOLD = {"replication": {"automatic": {}}, "topics": [{"name": TOPIC}]}
DAY = 86_400


@pytest.fixture
def listening(sandbox: Sandbox, pubsub: Client) -> Client:
    sandbox.cloud[Services].seed(PROJECT, ["secretmanager.googleapis.com"])
    pubsub.subscribe()
    return pubsub


def allow(sandbox: Sandbox) -> None:
    agent = sandbox.cloud[Accounts].create_agent("secretmanager", PROJECT)
    sandbox.cloud[Iam].grant(TOPIC, "roles/pubsub.publisher", agent.member)


def make(sandbox: Sandbox, **fields: Any) -> requests.Response:
    url = f"{API}/projects/{PROJECT}/secrets?secretId=clearblade"
    return sandbox.http().post(url, json={**TOLD, **fields})


def told(client: Client) -> list[tuple[str, str]]:
    """(event, version's number) of what has come, which is acknowledged."""
    received = client.pull(most=100)
    if received:
        client.acknowledge(*received)
    found = []
    for item in received:
        attributes = item["message"]["attributes"]
        assert attributes["secretId"] == SHOWN
        found.append((attributes["eventType"], attributes.get("versionId", "").rpartition("/")[2]))
    return found


def test_a_topic_has_to_take_what_the_agent_publishes(sandbox: Sandbox, listening: Client) -> None:
    assert make(sandbox).status_code == 400
    sandbox.cloud[Accounts].create_agent("secretmanager", PROJECT)
    assert make(sandbox).status_code == 400
    allow(sandbox)
    missing = {"topics": [{"name": f"projects/{PROJECT}/topics/nowhere"}]}
    assert make(sandbox, **missing).status_code in (400, 404)
    assert sandbox.cloud.state()["secrets"] == []
    assert make(sandbox).status_code == 200


def test_a_topic_is_told_of_each_change_and_no_read(sandbox: Sandbox, listening: Client) -> None:
    allow(sandbox)
    make(sandbox)
    client = sandbox.http()
    client.post(f"{API}/{SECRET}:addVersion", json={"payload": {"data": "eA=="}})
    client.get(f"{API}/{SECRET}/versions/1:access")
    for verb in ("disable", "disable", "enable", "destroy"):
        client.post(f"{API}/{SECRET}/versions/1:{verb}")
    client.patch(f"{API}/{SECRET}?updateMask=labels", json={"labels": {"a": "b"}})
    client.delete(f"{API}/{SECRET}")
    assert told(listening) == [
        ("TOPIC_CONFIGURED", ""),
        ("SECRET_CREATE", ""),
        ("SECRET_VERSION_ADD", "1"),
        ("SECRET_VERSION_DISABLE", "1"),
        ("SECRET_VERSION_ENABLE", "1"),
        ("SECRET_VERSION_DESTROY", "1"),
        ("SECRET_UPDATE", ""),
        ("SECRET_DELETE", ""),
    ]


def test_a_rotation_is_announced_when_it_is_due_and_again(
    sandbox: Sandbox, listening: Client
) -> None:
    allow(sandbox)
    clock = sandbox.cloud.clock
    due = clock.now() + DAY
    rotation = {"nextRotationTime": clock.rfc3339(due), "rotationPeriod": f"{2 * DAY}s"}
    assert make(sandbox, rotation=rotation).status_code == 200
    told(listening)
    listening.wait(DAY - 1)
    assert told(listening) == []
    listening.wait(1)
    (item,) = listening.pull()
    assert item["message"]["attributes"]["eventType"] == "SECRET_ROTATE"
    following = clock.rfc3339(due + 2 * DAY)
    assert json_of(item)["rotation"]["nextRotationTime"] == following
    assert sandbox.http().get(f"{API}/{SECRET}").json()["rotation"]["nextRotationTime"] == following
    listening.acknowledge(item)
    # A label can be changed although the time is near.
    listening.wait(2 * DAY - 60)
    url = f"{API}/{SECRET}?updateMask=labels"
    assert sandbox.http().patch(url, json={"labels": {"a": "b"}}).status_code == 200
    assert told(listening) == [("SECRET_UPDATE", "")]
    listening.wait(60)
    assert told(listening) == [("SECRET_ROTATE", "")]


def test_a_rotation_that_was_taken_off_is_not_announced(
    sandbox: Sandbox, listening: Client
) -> None:
    allow(sandbox)
    due = sandbox.cloud.clock.rfc3339(sandbox.cloud.clock.now() + DAY)
    make(sandbox, rotation={"nextRotationTime": due})
    sandbox.http().patch(f"{API}/{SECRET}?updateMask=rotation", json={})
    told(listening)
    listening.wait(DAY)
    assert told(listening) == []


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"topics": []}, "needs topics"),
        ({"rotation": {"rotationPeriod": "86400s"}}, "next_rotation_time must be set"),
        ({"rotation": {"nextRotationTime": "2026-01-01T00:04:59Z"}}, "less than 300s"),
        (
            {"rotation": {"nextRotationTime": "2026-01-02T00:00:00Z", "rotationPeriod": "3599s"}},
            "between 3600s",
        ),
        ({"topics": [{"name": TOPIC}] * 11}, "at most 10 topics"),
    ],
)
def test_a_rotation_that_cannot_be_is_refused(
    sandbox: Sandbox, listening: Client, change: dict[str, Any], complaint: str
) -> None:
    allow(sandbox)
    rotation = {"nextRotationTime": "2026-01-02T00:00:00Z"}
    answer = make(sandbox, **{"rotation": rotation, **change})
    assert (answer.status_code, complaint in answer.text) == (400, True), answer.text
