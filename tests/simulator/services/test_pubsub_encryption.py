"""Topics with a customer's key: who has to be able to use it, and what stops when nobody can."""

from __future__ import annotations

import pytest

from simulator.iam.decisions import Iam
from simulator.services.serviceusage import Services
from tests.simulator.support.pubsub import DEAD, PULL, TOPIC, Client, agent, grant_agent
from tests.simulator.support.service import LOCATION, PROJECT, Sandbox

RING = f"{LOCATION}/keyRings/state"
KEY = f"{RING}/cryptoKeys/telemetry"
KMS = "https://cloudkms.googleapis.com/v1"
ROLE = "roles/cloudkms.cryptoKeyEncrypterDecrypter"


@pytest.fixture(autouse=True)
def key(sandbox: Sandbox) -> None:
    sandbox.cloud[Services].seed(PROJECT, ["cloudkms.googleapis.com"])
    client = sandbox.http()
    client.post(f"{KMS}/{LOCATION}/keyRings?keyRingId=state")
    body = {"purpose": "ENCRYPT_DECRYPT"}
    made = client.post(f"{KMS}/{RING}/cryptoKeys?cryptoKeyId=telemetry", json=body)
    assert made.status_code == 200, made.text


def set_version(sandbox: Sandbox, state: str) -> None:
    url = f"{KMS}/{KEY}/cryptoKeyVersions/1?updateMask=state"
    assert sandbox.http().patch(url, json={"state": state}).status_code == 200


def test_a_topic_takes_a_key_only_once_the_service_agent_may_use_it(
    sandbox: Sandbox, pubsub: Client
) -> None:
    """As several public repositories recorded the refusal."""
    address = agent(sandbox)
    error = pubsub.refused("PUT", DEAD, {"kmsKeyName": KEY})
    assert (error["code"], error["status"]) == (400, "FAILED_PRECONDITION")
    assert error["message"] == (
        "Cloud Pub/Sub did not have the necessary permissions configured to support this "
        f"operation. Please verify that the service account {address} was granted the Cloud KMS "
        f"CryptoKey Encrypter/Decrypter role for the project containing the CryptoKey resource "
        f"{KEY}."
    )
    sandbox.cloud[Iam].grant(KEY, "roles/cloudkms.cryptoKeyEncrypter", f"serviceAccount:{address}")
    assert pubsub.refused("PUT", DEAD, {"kmsKeyName": KEY})["message"] == error["message"]
    grant_agent(sandbox, ROLE, KEY)
    assert pubsub.topic(DEAD, kmsKeyName=KEY) == {"name": DEAD, "kmsKeyName": KEY}
    uses = sandbox.checks("cloudkms.cryptoKeyVersions.useToDecrypt")
    assert uses[-1] == (address, KEY, True)


def test_the_key_has_to_be_there_and_enabled(sandbox: Sandbox, pubsub: Client) -> None:
    grant_agent(sandbox, ROLE, f"projects/{PROJECT}")
    gone = pubsub.refused("PUT", DEAD, {"kmsKeyName": f"{RING}/cryptoKeys/other"})
    assert (gone["status"], "not found" in gone["message"]) == ("FAILED_PRECONDITION", True)
    assert pubsub.refused("PUT", DEAD, {"kmsKeyName": RING})["status"] == "INVALID_ARGUMENT"
    set_version(sandbox, "DISABLED")
    off = pubsub.refused("PUT", DEAD, {"kmsKeyName": KEY})
    assert (off["status"], "is not enabled" in off["message"]) == ("FAILED_PRECONDITION", True)


def test_a_key_can_be_changed_and_taken_off(sandbox: Sandbox, pubsub: Client) -> None:
    grant_agent(sandbox, ROLE, KEY)
    changed = pubsub("PATCH", TOPIC, {"topic": {"kmsKeyName": KEY}}, updateMask="kmsKeyName")
    assert changed == {"name": TOPIC, "kmsKeyName": KEY}
    assert pubsub("PATCH", TOPIC, {"topic": {}}, updateMask="kmsKeyName") == {"name": TOPIC}


def test_nothing_goes_in_or_out_while_the_key_is_off(sandbox: Sandbox, pubsub: Client) -> None:
    grant_agent(sandbox, ROLE, KEY)
    pubsub("PATCH", TOPIC, {"topic": {"kmsKeyName": KEY}}, updateMask="kmsKeyName")
    pubsub.subscribe()
    pubsub.publish("sealed")
    set_version(sandbox, "DISABLED")
    body = {"messages": [{"data": "eA=="}]}
    assert pubsub.refused("POST", f"{TOPIC}:publish", body)["status"] == "FAILED_PRECONDITION"
    # What was sealed with the key needs it still, when the topic has none any more.
    pubsub("PATCH", TOPIC, {"topic": {}}, updateMask="kmsKeyName")
    pulled = pubsub.refused("POST", f"{PULL}:pull", {"maxMessages": 1})
    assert pulled["status"] == "FAILED_PRECONDITION"
    set_version(sandbox, "ENABLED")
    assert pubsub.texts() == ["sealed"]


def test_a_dead_letter_stays_while_the_other_topics_key_is_off(
    sandbox: Sandbox, pubsub: Client
) -> None:
    grant_agent(sandbox, ROLE, KEY)
    pubsub.topic(DEAD, kmsKeyName=KEY)
    pubsub.subscribe(deadLetterPolicy={"deadLetterTopic": DEAD, "maxDeliveryAttempts": 5})
    grant_agent(sandbox, "roles/pubsub.publisher", DEAD)
    grant_agent(sandbox, "roles/pubsub.subscriber", PULL)
    dead = PULL + "-dead"
    pubsub("PUT", dead, {"topic": DEAD})
    pubsub.publish("bad")
    set_version(sandbox, "DISABLED")
    for _ in range(5):
        pubsub.set_deadline(0, *pubsub.pull())
    assert pubsub.pull(dead) == []
    set_version(sandbox, "ENABLED")
    pubsub.set_deadline(0, *pubsub.pull())
    assert pubsub.texts(dead) == ["bad"]
    assert pubsub.pull() == []
