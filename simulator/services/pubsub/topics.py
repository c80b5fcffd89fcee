"""Topics and publishing."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from simulator.api.calls import Call, Methods, Result, on_name
from simulator.api.errors import already_exists, invalid
from simulator.api.pages import listing
from simulator.iam import allowpolicies
from simulator.iam.decisions import Iam
from simulator.services.compute import REGIONS
from simulator.services.kms.state import Kms
from simulator.services.pubsub import encryption, transforms
from simulator.services.pubsub.backlog import send
from simulator.services.pubsub.state import (
    DAY,
    DELETED_TOPIC,
    PubSub,
    Seal,
    Topic,
    changed,
    check_duration,
    check_name,
    leaf,
    named,
    on_project,
    without_empty,
)

method = Methods()

MUTABLE = (
    "labels",
    "messageStoragePolicy",
    "messageRetentionDuration",
    "messageTransforms",
    "schemaSettings",
    "kmsKeyName",
    "ingestionDataSourceSettings",
)
FIXED = ("name", "tags")
# Output only.
NOT_KEPT = ("name", "state", "satisfiesPzs")
# docs pubsub/quotas.
MOST_MESSAGES, MOST_BYTES = 1000, 10_000_000


def _on_topic(call: Call) -> str:
    return str(call.params["topic"])


def _check(call: Call, name: str, info: dict[str, Any], fields: set[str]) -> None:
    """Raise unless `info` is a topic that can be; `fields` are those that are new."""
    check_duration(info, "messageRetentionDuration", 600, 31 * DAY)
    if policy := info.get("messageStoragePolicy"):
        regions = policy.get("allowedPersistenceRegions", [])
        if not regions or not set(regions) <= set(REGIONS):
            raise invalid(f"The message storage policy allows {regions}, which are no regions.")
    if "schemaSettings" in fields and (settings := info.get("schemaSettings")):
        pubsub = call.cloud[PubSub]
        settings["schema"] = pubsub.normal(settings.get("schema", ""))
        call.check("pubsub.schemas.attach", settings["schema"])
        pubsub.schema(settings["schema"])
    if "kmsKeyName" in fields and info.get("kmsKeyName"):
        info["kmsKeyName"] = call.cloud[Kms].normal(info["kmsKeyName"])
        encryption.check(call.cloud, Seal(name, info["kmsKeyName"]))
    if fields & {"messageTransforms", "messageStoragePolicy"}:
        transforms.check(call, name, info)


@method("pubsub.projects.topics.create", permission="pubsub.topics.create", on=on_project)
def create(call: Call) -> Result:
    topics, name = call.cloud[PubSub].topics, on_name(call)
    check_name(name)
    given = {key: value for key, value in call.body.items() if key not in NOT_KEPT}
    info = {"name": name, **without_empty(given)}
    _check(call, name, info, set(info))
    if name in topics:
        raise already_exists(f"Resource already exists in the project (resource={leaf(name)}).")
    topics[name] = Topic(name, info)
    return info


@method("pubsub.projects.topics.get", permission="pubsub.topics.get", on=_on_topic)
def get(call: Call) -> Result:
    return call.cloud[PubSub].topic(call.resource).info


@method(
    "pubsub.projects.topics.list",
    permission="pubsub.topics.list",
    on=on_project,
    reads="pageSize pageToken",
)
def list_topics(call: Call) -> Result:
    items = {
        name: topic.info
        for name, topic in call.cloud[PubSub].topics.items()
        if name.startswith(f"{call.resource}/")
    }
    return listing("topics", items, call.params, default=100, most=1000)


@method("pubsub.projects.topics.patch", permission="pubsub.topics.update", on=on_name)
def patch(call: Call) -> Result:
    """The official provider sends the mask in the query (provider-contract)."""
    topic = call.cloud[PubSub].topic(call.resource)
    mask = call.params.get("updateMask") or call.body.get("updateMask")
    given = call.body.get("topic", {})
    info = without_empty(changed(topic.info, given, mask, "Topic", MUTABLE, FIXED))
    _check(call, topic.name, info, named(mask))
    topic.info = info
    return info


@method("pubsub.projects.topics.delete", permission="pubsub.topics.delete", on=_on_topic)
def delete(call: Call) -> Result:
    """Subscriptions stay, with what they hold (discovery document)."""
    pubsub = call.cloud[PubSub]
    del pubsub.topics[pubsub.topic(call.resource).name]
    call.cloud[Iam].forget(call.resource)
    for subscription in pubsub.subscriptions.values():
        if subscription.info["topic"] == call.resource:
            subscription.info["topic"] = DELETED_TOPIC
    return {}


@method(
    "pubsub.projects.topics.subscriptions.list",
    permission="pubsub.topics.get",
    on=_on_topic,
    reads="pageSize pageToken",
)
def list_subscriptions(call: Call) -> Result:
    pubsub = call.cloud[PubSub]
    names = {item.name: item.name for item in pubsub.attached(pubsub.topic(call.resource).name)}
    return listing("subscriptions", names, call.params, default=100, most=1000)


@method("pubsub.projects.topics.publish", permission="pubsub.topics.publish", on=_on_topic)
def publish(call: Call) -> Result:
    """All or nothing: one message that a transform or the schema refuses fails the request."""
    topic, messages = call.cloud[PubSub].topic(call.resource), call.body.get("messages", [])
    _check_messages(messages)
    return {"messageIds": send(call.cloud, topic, messages)}


def _check_messages(messages: list[dict[str, Any]]) -> None:
    if not 0 < len(messages) <= MOST_MESSAGES:
        raise invalid(f"A publish request takes 1 to {MOST_MESSAGES} messages.")
    size = 0
    for index, message in enumerate(messages):
        try:
            size += len(base64.b64decode(message.get("data", ""), validate=True))
        except binascii.Error:
            text = f"Invalid value at 'messages[{index}].data' (TYPE_BYTES), Base64 decoding failed"
            raise invalid(text) from None
        if not message.get("data") and not message.get("attributes"):
            raise invalid("A message needs data or at least one attribute.")
    if size > MOST_BYTES:
        raise invalid(f"The request's {size} bytes are more than the maximum of {MOST_BYTES}.")
    if len({message.get("orderingKey", "") for message in messages}) > 1:
        raise invalid("All messages of a request must have the same ordering key.")


def _require(call: Call, name: str) -> None:
    call.cloud[PubSub].topic(name)


allowpolicies.register(method, "pubsub.projects.topics", "pubsub.topics", _require)
