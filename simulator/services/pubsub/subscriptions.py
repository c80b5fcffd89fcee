"""Subscriptions: what is delivered how, from their creation to their expiry."""

from __future__ import annotations

import copy
from typing import Any

from simulator.api.calls import Call, Methods, Result, on_name
from simulator.api.errors import already_exists, failed_precondition, invalid
from simulator.api.operations import Operations
from simulator.api.pages import listing
from simulator.core.cloud import Cloud
from simulator.iam import allowpolicies
from simulator.services.pubsub import export, transforms
from simulator.services.pubsub.backlog import export_next, forget
from simulator.services.pubsub.filters import compiled
from simulator.services.pubsub.state import (
    BACKOFF,
    DAY,
    DELETED_TOPIC,
    PubSub,
    Subscription,
    changed,
    check_act_as,
    check_duration,
    check_name,
    leaf,
    named,
    on_project,
    seconds,
    without_empty,
)

method = Methods()

MUTABLE = (
    "ackDeadlineSeconds",
    "pushConfig",
    "bigqueryConfig",
    "cloudStorageConfig",
    "bigtableConfig",
    "retainAckedMessages",
    "messageRetentionDuration",
    "labels",
    "expirationPolicy",
    "deadLetterPolicy",
    "retryPolicy",
    "enableExactlyOnceDelivery",
    "messageTransforms",
)
FIXED = ("name", "topic", "filter", "enableMessageOrdering", "detached", "tags")
# Output only.
NOT_KEPT = (
    "name",
    "state",
    "detached",
    "analyticsHubSubscriptionInfo",
    "topicMessageRetentionDuration",
)
# What Google fills in (discovery document; http-logs/pubsub-subscription.log).
ACK_DEADLINE = 10
RETENTION, TIME_TO_LIVE = "604800s", "2678400s"


def _on_subscription(call: Call) -> str:
    return str(call.params["subscription"])


def _on_topic(call: Call) -> str:
    """The attached topic; the subscription itself when there is no such topic or subscription."""
    name = _on_subscription(call)
    subscription = call.cloud[PubSub].subscriptions.get(name)
    topic = subscription.info["topic"] if subscription else DELETED_TOPIC
    return name if topic == DELETED_TOPIC else str(topic)


def _kept(given: dict[str, Any]) -> dict[str, Any]:
    """A copy of what a client may set."""
    info = {key: copy.deepcopy(value) for key, value in given.items() if key not in NOT_KEPT}
    info.get("bigqueryConfig", {}).pop("state", None)
    return info


def _complete(info: dict[str, Any]) -> None:
    """Put in what Google puts in. `maxDeliveryAttempts` is not known to be among it."""
    info.setdefault("ackDeadlineSeconds", ACK_DEADLINE)
    info.setdefault("messageRetentionDuration", RETENTION)
    info.setdefault("expirationPolicy", {"ttl": TIME_TO_LIVE})
    info.setdefault("pushConfig", {})
    if "retryPolicy" in info:
        info["retryPolicy"] = {**BACKOFF, **info["retryPolicy"]}
    config = info.get("bigqueryConfig", {})
    if config:
        config.setdefault("state", "ACTIVE")
    info["state"] = "ACTIVE" if config.get("state", "ACTIVE") == "ACTIVE" else "RESOURCE_ERROR"


def _check(call: Call, name: str, info: dict[str, Any], fields: set[str]) -> None:
    """Raise unless `info` is a subscription that can be; `fields` are those that are new."""
    push = info["pushConfig"].get("pushEndpoint", "")
    if push and "bigqueryConfig" in info:
        raise invalid("A subscription is pushed or exported, not both.")
    if info.get("enableExactlyOnceDelivery") and (push or "bigqueryConfig" in info):
        # docs pubsub/exactly-once-delivery.
        raise invalid("Push and export subscriptions don't support exactly-once delivery.")
    if push and not push.startswith("https://"):
        raise invalid(f"Invalid push endpoint given (endpoint={push}).")
    if not 10 <= int(info["ackDeadlineSeconds"]) <= 600:
        raise invalid(f"ack_deadline_seconds {info['ackDeadlineSeconds']} is not 10 to 600.")
    check_duration(info, "messageRetentionDuration", 600, 31 * DAY)
    check_duration(info["expirationPolicy"], "ttl", DAY, float("inf"))
    for limit in BACKOFF:
        check_duration(info.get("retryPolicy", {}), limit, 0, 600)
    if "pushConfig" in fields and (token := info["pushConfig"].get("oidcToken")):
        check_act_as(call, token.get("serviceAccountEmail", ""))
    if policy := info.get("deadLetterPolicy"):
        _check_dead_letters(call, policy)
    if "messageTransforms" in fields:
        transforms.check(call, name, info)
    if "bigqueryConfig" in fields and "bigqueryConfig" in info:
        export.check(call, name, info)


def _check_dead_letters(call: Call, policy: dict[str, Any]) -> None:
    """The topic must exist. Nothing is known to be checked on it but at delivery, on the agent."""
    pubsub = call.cloud[PubSub]
    policy["deadLetterTopic"] = pubsub.normal(policy.get("deadLetterTopic", ""))
    pubsub.topic(policy["deadLetterTopic"])
    if not 5 <= int(policy.get("maxDeliveryAttempts") or 5) <= 100:
        raise invalid(f"max_delivery_attempts {policy['maxDeliveryAttempts']} is not 5 to 100.")


def shown(cloud: Cloud, subscription: Subscription) -> dict[str, Any]:
    """With what it has from its topic."""
    topic = cloud[PubSub].topics.get(subscription.info["topic"])
    retention = topic.info.get("messageRetentionDuration") if topic else None
    more = {"topicMessageRetentionDuration": retention} if retention else {}
    return subscription.info | more


@method(
    "pubsub.projects.subscriptions.create",
    permission="pubsub.subscriptions.create",
    on=on_project,
)
def create(call: Call) -> Result:
    cloud, pubsub, name = call.cloud, call.cloud[PubSub], on_name(call)
    check_name(name)
    info = {"name": name, **without_empty(_kept(call.body))}
    info["topic"] = pubsub.normal(info.get("topic", ""))
    call.check("pubsub.topics.attachSubscription", info["topic"])
    pubsub.topic(info["topic"])
    _complete(info)
    matches = compiled(info.get("filter", ""))
    _check(call, name, info, set(info))
    if name in pubsub.subscriptions:
        raise already_exists(f"Resource already exists in the project (resource={leaf(name)}).")
    now = cloud.clock.now()
    subscription = Subscription(name, info, cloud.unique_id(), now, matches, created=now)
    pubsub.subscriptions[name] = subscription
    _watch(cloud, subscription)
    return shown(cloud, subscription)


def _watch(cloud: Cloud, subscription: Subscription) -> None:
    """Delete the subscription once nothing has used it for as long as its policy says."""
    ttl = subscription.info["expirationPolicy"].get("ttl")
    if ttl is None:
        return

    def look() -> None:
        current = subscription.info["expirationPolicy"].get("ttl")
        if current != ttl or not cloud[PubSub].exists(subscription):
            return
        if cloud.clock.now() - subscription.last_used >= seconds(ttl):
            cloud[PubSub].drop(subscription)
        else:
            _watch(cloud, subscription)

    cloud[Operations].after(subscription.last_used + seconds(ttl) - cloud.clock.now(), look)


@method(
    "pubsub.projects.subscriptions.get",
    permission="pubsub.subscriptions.get",
    on=_on_subscription,
)
def get(call: Call) -> Result:
    return shown(call.cloud, call.cloud[PubSub].subscription(call.resource))


@method(
    "pubsub.projects.subscriptions.list",
    permission="pubsub.subscriptions.list",
    on=on_project,
    reads="pageSize pageToken",
)
def list_subscriptions(call: Call) -> Result:
    items = {
        name: shown(call.cloud, item)
        for name, item in call.cloud[PubSub].subscriptions.items()
        if name.startswith(f"{call.resource}/")
    }
    return listing("subscriptions", items, call.params, default=100, most=1000)


@method(
    "pubsub.projects.subscriptions.patch",
    permission="pubsub.subscriptions.update",
    on=on_name,
)
def patch(call: Call) -> Result:
    """The official provider sends the mask in the query (provider-contract)."""
    subscription = call.cloud[PubSub].subscription(call.resource)
    mask = call.params.get("updateMask") or call.body.get("updateMask")
    given = _kept(call.body.get("subscription", {}))
    info = without_empty(changed(subscription.info, given, mask, "Subscription", MUTABLE, FIXED))
    _complete(info)
    _check(call, subscription.name, info, named(mask))
    _replace(call, subscription, info)
    return shown(call.cloud, subscription)


@method(
    "pubsub.projects.subscriptions.modifyPushConfig",
    permission="pubsub.subscriptions.update",
    on=_on_subscription,
)
def modify_push_config(call: Call) -> Result:
    subscription = call.cloud[PubSub].subscription(call.resource)
    info = subscription.info | {"pushConfig": call.body.get("pushConfig", {})}
    _check(call, subscription.name, info, {"pushConfig"})
    _replace(call, subscription, info)
    return {}


def _replace(call: Call, subscription: Subscription, info: dict[str, Any]) -> None:
    """Give the subscription its new configuration, and what waits a new way out."""
    cloud, before = call.cloud, subscription.info
    subscription.info, subscription.last_used = info, cloud.clock.now()
    if info["expirationPolicy"] != before["expirationPolicy"]:
        _watch(cloud, subscription)
    if "bigqueryConfig" in info and "bigqueryConfig" not in before:
        for delivery in list(subscription.backlog.values()):
            export_next(cloud, subscription, delivery)


@method(
    "pubsub.projects.subscriptions.delete",
    permission="pubsub.subscriptions.delete",
    on=_on_subscription,
)
def delete(call: Call) -> Result:
    call.cloud[PubSub].drop(call.cloud[PubSub].subscription(call.resource))
    return {}


@method(
    "pubsub.projects.subscriptions.detach",
    permission="pubsub.topics.detachSubscription",
    on=_on_topic,
)
def detach(call: Call) -> Result:
    """What was retained is dropped (discovery document)."""
    subscription = call.cloud[PubSub].subscription(_on_subscription(call))
    if subscription.info["topic"] == DELETED_TOPIC:
        raise failed_precondition(f"The topic of {subscription.name} is deleted.")
    subscription.info["detached"] = True
    for delivery in list(subscription.backlog.values()):
        forget(call.cloud, subscription, delivery)
    return {}


def _require(call: Call, name: str) -> None:
    call.cloud[PubSub].subscription(name)


allowpolicies.register(method, "pubsub.projects.subscriptions", "pubsub.subscriptions", _require)
