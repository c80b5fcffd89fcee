"""Customer-managed keys: what a topic is sealed with has to be usable whenever it is used.

Facts (docs pubsub/docs/cmek, pubsub/docs/reference/error-codes): the service agent of the topic's
project encrypts and decrypts; a key that cannot be used is FAILED_PRECONDITION; disabling the key
keeps Pub/Sub from reading the messages. The sentence about the agent's role is as several public
repositories recorded it, on creating a topic and on using one; a key that is gone or disabled is
told in Cloud KMS's words here, for want of Pub/Sub's. Google keeps a data key for hours; here a
change counts at once.
"""

from __future__ import annotations

from collections.abc import Iterable

from simulator.api.errors import ApiError, failed_precondition
from simulator.core.cloud import Cloud
from simulator.services.kms.state import Kms
from simulator.services.pubsub.state import Delivery, PubSub, Seal, Topic


def seal_of(topic: Topic) -> Seal | None:
    key = topic.info.get("kmsKeyName")
    return Seal(topic.name, key) if key else None


def check(cloud: Cloud, seal: Seal | None) -> None:
    """Raise unless what is sealed can be sealed and opened now."""
    if seal is None:
        return
    agent = cloud[PubSub].agent(seal.topic)
    try:
        cloud[Kms].check_use(agent, seal.key)
    except ApiError as error:
        if error.status != 403:
            raise failed_precondition(error.message) from None
        raise failed_precondition(
            "Cloud Pub/Sub did not have the necessary permissions configured to support this "
            f"operation. Please verify that the service account {agent.email} was granted the "
            "Cloud KMS CryptoKey Encrypter/Decrypter role for the project containing the CryptoKey "
            f"resource {seal.key}."
        ) from None


def check_all(cloud: Cloud, deliveries: Iterable[Delivery]) -> None:
    """Raise unless every message can be opened; whether Google gives the others is not known."""
    for seal in dict.fromkeys(delivery.seal for delivery in deliveries):
        check(cloud, seal)
