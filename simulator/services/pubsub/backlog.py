"""What becomes of a message in a subscription: deadlines, redelivery, order, dead letters.

Deadlines, backoff and expiry run on the cloud's clock. Inferred: that the backoff doubles with each
attempt (docs pubsub/handling-failures say "exponential"), and that messages which cannot be sent to
the dead-letter topic stay in the backlog.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from typing import Any

from simulator.api.calls import Guard
from simulator.api.errors import ApiError
from simulator.api.operations import Operations
from simulator.core.cloud import Cloud
from simulator.services.pubsub import encryption, export, transforms
from simulator.services.pubsub.schemas import check_published
from simulator.services.pubsub.state import (
    BACKOFF,
    Delivery,
    PubSub,
    Subscription,
    Topic,
    Waited,
    leaf,
    project_of,
    seconds,
)

# Discovery document, DeadLetterPolicy.
MOST_ATTEMPTS = 5
SOURCE = "CloudPubSubDeadLetterSource"


def send(cloud: Cloud, topic: Topic, messages: list[dict[str, Any]]) -> list[str]:
    """Transform the messages, check what that made of them against the topic's schema, give it to
    every subscription, and return the ids, those of filtered messages among them."""
    encryption.check(cloud, seal := encryption.seal_of(topic))
    transform = transforms.of(cloud, topic.name, topic.info.get("messageTransforms", []))
    ready = [transform(message) for message in messages]
    if settings := topic.info.get("schemaSettings"):
        for made in filter(None, ready):
            check_published(cloud[PubSub], settings, made.get("data", ""))
    now, moment, ids = cloud.clock.now(), cloud.clock.rfc3339(), []
    attached = cloud[PubSub].attached(topic.name)
    for message in ready:
        ids.append(cloud.unique_id())
        if message is not None:
            stamped = message | {"messageId": ids[-1], "publishTime": moment}
            for subscription in attached:
                _enqueue(cloud, subscription, Delivery(stamped, now, seal=seal))
    return ids


def _enqueue(cloud: Cloud, subscription: Subscription, delivery: Delivery) -> None:
    """Add a message unless the filter leaves it out; what is exported goes on at once."""
    if not subscription.matches(delivery.message.get("attributes", {})):
        return
    subscription.backlog[delivery.message["messageId"]] = delivery
    if "bigqueryConfig" in subscription.info:
        export_next(cloud, subscription, delivery)


def deliverable(cloud: Cloud, subscription: Subscription) -> Iterator[Delivery]:
    """What may be delivered now, in order of publishing.

    With ordering, a message waits for the earlier ones of its key that are outstanding or backing
    off.
    """
    prune(cloud, subscription)
    now, ordered = cloud.clock.now(), subscription.info.get("enableMessageOrdering")
    waiting: set[str] = set()
    for delivery in list(subscription.backlog.values()):
        key = delivery.message.get("orderingKey", "") if ordered else ""
        if delivery.ack_id or delivery.ready > now or (key and key in waiting):
            waiting.add(key)
            continue
        yield delivery
        if not delivery.ack_id and delivery.message["messageId"] in subscription.backlog:
            waiting.add(key)


def transform_of(cloud: Cloud, subscription: Subscription) -> transforms.Transform:
    return transforms.of(cloud, subscription.name, subscription.info.get("messageTransforms", []))


def take(
    cloud: Cloud, subscription: Subscription, delivery: Delivery, transform: transforms.Transform
) -> dict[str, Any] | None:
    """Make a delivery outstanding: its ReceivedMessage, or None when its transform fails or filters
    the message."""
    delivery.attempts += 1
    try:
        message = transform(delivery.message)
    except ApiError as error:
        give_back(cloud, subscription, delivery, cloud.clock.now(), error.message)
        return None
    if message is None:
        forget(cloud, subscription, delivery)
        return None
    delivery.ack_id = _ack_id(subscription, delivery)
    extend(cloud, subscription, delivery, subscription.info["ackDeadlineSeconds"])
    received: dict[str, Any] = {"ackId": delivery.ack_id, "message": message}
    if "deadLetterPolicy" in subscription.info:
        received["deliveryAttempt"] = delivery.attempts
    return received


def extend(cloud: Cloud, subscription: Subscription, delivery: Delivery, duration: float) -> None:
    """Set the deadline of an outstanding delivery to `duration` seconds from now."""
    delivery.deadline, ack_id = cloud.clock.now() + duration, delivery.ack_id

    def expire() -> None:
        still = delivery.ack_id == ack_id and delivery.deadline <= cloud.clock.now()
        if still and cloud[PubSub].exists(subscription):
            give_back(cloud, subscription, delivery, delivery.deadline)

    cloud[Operations].after(duration, expire)


def give_back(
    cloud: Cloud, subscription: Subscription, delivery: Delivery, moment: float, error: str = ""
) -> None:
    """The attempt failed at `moment`: try again later, or send it to the dead-letter topic.

    The later messages of its ordering key are delivered again after it.
    """
    delivery.ack_id = ""
    delivery.ready = moment + backoff(subscription, delivery.attempts)
    policy = subscription.info.get("deadLetterPolicy", {})
    most = policy.get("maxDeliveryAttempts") or MOST_ATTEMPTS
    if policy and delivery.attempts >= most and _dead_letter(cloud, subscription, delivery, error):
        forget(cloud, subscription, delivery)
    key = delivery.message.get("orderingKey")
    if key and subscription.info.get("enableMessageOrdering"):
        for later in subscription.backlog.values():
            if later.message.get("orderingKey") == key and later is not delivery:
                later.ack_id = ""


def backoff(subscription: Subscription, attempts: int) -> float:
    """Seconds until the next attempt. Without a policy pulled messages wait for nothing."""
    policy = subscription.info.get("retryPolicy")
    if policy is None and subscription.pulled:
        return 0.0
    least, most = (seconds({**BACKOFF, **(policy or {})}[name]) for name in BACKOFF)
    return float(min(most, least * 2 ** min(attempts - 1, 16)))


def forget(cloud: Cloud, subscription: Subscription, delivery: Delivery) -> None:
    """Take a message out of the backlog. Gauges are read at full minutes: what waited over none is
    in no sample of them."""
    if subscription.backlog.pop(delivery.message["messageId"], None):
        now = cloud.clock.now()
        if now // 60 > delivery.published // 60:
            subscription.gone.append(Waited(delivery.published, now))


def prune(cloud: Cloud, subscription: Subscription) -> None:
    """Drop what is older than the subscription retains."""
    oldest = cloud.clock.now() - seconds(subscription.info["messageRetentionDuration"])
    for delivery in list(subscription.backlog.values()):
        if delivery.published <= oldest:
            forget(cloud, subscription, delivery)


def _dead_letter(cloud: Cloud, subscription: Subscription, delivery: Delivery, error: str) -> bool:
    """Forward a message as the service agent, when that may; the attributes are documented in
    docs pubsub/dead-letter-topics."""
    topic = cloud[PubSub].topics.get(subscription.info["deadLetterPolicy"]["deadLetterTopic"])
    agent = cloud[PubSub].agent(subscription.name)
    if topic is None or not (
        cloud[Guard].allowed(agent, "pubsub.topics.publish", topic.name)
        and cloud[Guard].allowed(agent, "pubsub.subscriptions.consume", subscription.name)
    ):
        return False
    source = {
        f"{SOURCE}DeliveryCount": str(delivery.attempts),
        f"{SOURCE}Subscription": leaf(subscription.name),
        f"{SOURCE}SubscriptionProject": project_of(subscription.name),
        f"{SOURCE}TopicPublishTime": delivery.message["publishTime"],
    }
    if error:
        source[f"{SOURCE}DeliveryErrorMessage"] = error
    message = delivery.message | {"attributes": delivery.message.get("attributes", {}) | source}
    try:
        send(cloud, topic, [message])
    except ApiError:
        return False
    subscription.forwarded.append(cloud.clock.now())
    return True


def export_next(cloud: Cloud, subscription: Subscription, delivery: Delivery) -> None:
    """Write a message to BigQuery, now and, as long as that fails, after each backoff."""
    here = delivery.message["messageId"] in subscription.backlog
    if not (here and cloud[PubSub].exists(subscription) and "bigqueryConfig" in subscription.info):
        return
    delivery.attempts += 1
    try:
        encryption.check(cloud, delivery.seal)
        message = transform_of(cloud, subscription)(delivery.message)
        if message is not None:
            export.write(cloud, subscription, message, delivery.published)
    except ApiError as error:
        give_back(cloud, subscription, delivery, cloud.clock.now(), error.message)
        prune(cloud, subscription)
        # A minimum backoff of 0 s must not keep the clock from going on.
        wait = max(delivery.ready - cloud.clock.now(), 1.0)
        cloud[Operations].after(wait, lambda: export_next(cloud, subscription, delivery))
        return
    subscription.last_used = cloud.clock.now()
    forget(cloud, subscription, delivery)


def _ack_id(subscription: Subscription, delivery: Delivery) -> str:
    parts = f"{subscription.ack_token}:{delivery.message['messageId']}:{delivery.attempts}"
    return base64.urlsafe_b64encode(parts.encode()).decode()


def message_id(subscription: Subscription, ack_id: str) -> str | None:
    """The message that an ack id of this subscription is about; None for any other text."""
    try:
        token, message, _ = base64.urlsafe_b64decode(ack_id).decode().split(":")
    except (binascii.Error, ValueError):
        return None
    return message if token == subscription.ack_token else None
