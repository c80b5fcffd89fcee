"""What subscribers do: pull, acknowledge, ask for more time. A pull answers at once, empty or not.

An ack id that is no longer current still acknowledges its message, unless the subscription delivers
exactly once: then it is an error that names it (`EXACTLY_ONCE_ACKID_FAILURE`, as Google's client
libraries read it).
"""

from __future__ import annotations

from itertools import islice
from typing import Any

from simulator.api.calls import Call, Methods, Result
from simulator.api.errors import ApiError, error_info, failed_precondition, invalid
from simulator.services.pubsub import encryption
from simulator.services.pubsub.backlog import (
    deliverable,
    extend,
    forget,
    give_back,
    message_id,
    take,
    transform_of,
)
from simulator.services.pubsub.state import Delivery, PubSub, Subscription

method = Methods()

CONSUME = "pubsub.subscriptions.consume"
MOST_PULLED = 1000


def _on_subscription(call: Call) -> str:
    return str(call.params["subscription"])


def _used(call: Call) -> Subscription:
    """The subscription, which this call keeps from expiring."""
    subscription = call.cloud[PubSub].subscription(call.resource)
    subscription.last_used = call.cloud.clock.now()
    return subscription


@method("pubsub.projects.subscriptions.pull", permission=CONSUME, on=_on_subscription)
def pull(call: Call) -> Result:
    subscription, most = _used(call), int(call.body.get("maxMessages") or 0)
    if most <= 0:
        raise invalid("max_messages must be a positive number.")
    if subscription.info.get("detached"):
        raise failed_precondition(f"The subscription {subscription.name} is detached.")
    if not subscription.pulled:
        raise failed_precondition("This method is not supported for this subscription type.")
    encryption.check_all(call.cloud, subscription.backlog.values())
    transform = transform_of(call.cloud, subscription)
    received = (
        take(call.cloud, subscription, delivery, transform)
        for delivery in deliverable(call.cloud, subscription)
    )
    found = list(islice(filter(None, received), min(most, MOST_PULLED)))
    return {"receivedMessages": found} if found else {}


@method("pubsub.projects.subscriptions.acknowledge", permission=CONSUME, on=_on_subscription)
def acknowledge(call: Call) -> Result:
    subscription = _used(call)
    found, error = _meant(call, subscription)
    for delivery in found:
        forget(call.cloud, subscription, delivery)
    if error:
        raise error
    return {}


@method(
    "pubsub.projects.subscriptions.modifyAckDeadline",
    permission=CONSUME,
    on=_on_subscription,
)
def modify_ack_deadline(call: Call) -> Result:
    """0 seconds is a nack."""
    subscription, cloud = _used(call), call.cloud
    duration = int(call.body.get("ackDeadlineSeconds") or 0)
    if not 0 <= duration <= 600:
        raise invalid(f"ack_deadline_seconds {duration} is not 0 to 600.")
    found, error = _meant(call, subscription)
    for delivery in found:
        if delivery.ack_id not in call.body["ackIds"]:
            continue
        if duration:
            extend(cloud, subscription, delivery, duration)
        else:
            give_back(cloud, subscription, delivery, cloud.clock.now())
    if error:
        raise error
    return {}


def _meant(call: Call, subscription: Subscription) -> tuple[list[Delivery], ApiError | None]:
    """The deliveries that the ack ids are about, and the error that the others are."""
    ids: list[str] = call.body.get("ackIds", [])
    if not ids:
        raise invalid("The request needs at least one ack id.")
    exactly_once = subscription.info.get("enableExactlyOnceDelivery")
    found, failed = [], []
    for ack_id in ids:
        message = message_id(subscription, ack_id)
        delivery = subscription.backlog.get(message) if message else None
        if delivery and (delivery.ack_id == ack_id or not exactly_once):
            found.append(delivery)
        elif exactly_once or message is None:
            failed.append(ack_id)
    return found, _failure(failed, bool(exactly_once)) if failed else None


def _failure(ack_ids: list[str], exactly_once: bool) -> ApiError:
    error = invalid(
        "Some acknowledgement ids in the request were invalid. This could be because the "
        "acknowledgement ids have expired or the acknowledgement ids were malformed."
    )
    if exactly_once:
        reasons: dict[str, Any] = dict.fromkeys(ack_ids, "PERMANENT_FAILURE_INVALID_ACK_ID")
        error.details = [
            error_info("EXACTLY_ONCE_ACKID_FAILURE", "pubsub.googleapis.com", **reasons)
        ]
    return error
