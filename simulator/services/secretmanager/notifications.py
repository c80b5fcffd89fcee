"""What Secret Manager tells a secret's topics: each change, and that it is time to rotate.

Facts: the discovery document, `Secret.topics` and `Rotation` (the agent publishes; the times). The
kinds of events and that the data is the resource as JSON: docs secret-manager/docs/
event-notifications, as public repositories quote them; attributes are those that their consumers
read. A topic gets a message when it is configured, and one that cannot is refused; Google's words
for that are not recorded. A message that cannot be published later is lost.
"""

from __future__ import annotations

import base64
import json
from typing import Any

from simulator.api.calls import Guard
from simulator.api.errors import ApiError, failed_precondition, invalid
from simulator.api.operations import Operations
from simulator.core.cloud import Cloud
from simulator.core.platform import Containers
from simulator.services.kms.state import moment, seconds
from simulator.services.pubsub.backlog import send
from simulator.services.pubsub.state import PubSub
from simulator.services.secretmanager.state import Secret, Secrets, secret_json

# Discovery document, Secret.topics and Rotation.
MOST_TOPICS = 10
SOONEST, PERIOD = 300, (3600, 3_153_600_000)


def check(cloud: Cloud, info: dict[str, Any], before: dict[str, Any]) -> None:
    """Raise unless the topics of a secret can be, and its rotation."""
    topics, rotation = info.get("topics", []), info.get("rotation", {})
    if len(topics) > MOST_TOPICS:
        raise invalid(f"A secret has at most {MOST_TOPICS} topics, not {len(topics)}.")
    for topic in topics:
        topic["name"] = cloud[PubSub].normal(topic.get("name", ""))
    if rotation and not topics:
        raise invalid("A secret needs topics to be told to rotate.")
    if not rotation or rotation == before.get("rotation"):
        return
    if not rotation.get("nextRotationTime"):
        raise invalid("If rotation_period is set, next_rotation_time must be set.")
    if moment(rotation["nextRotationTime"]) < cloud.clock.now() + SOONEST:
        raise invalid(f"next_rotation_time is less than {SOONEST}s in the future.")
    period = rotation.get("rotationPeriod")
    if period and not PERIOD[0] <= seconds(period) <= PERIOD[1]:
        raise invalid(f"rotation_period is not between {PERIOD[0]}s and {PERIOD[1]}s.")


def configure(cloud: Cloud, secret: Secret, before: dict[str, Any]) -> None:
    """Tell new topics that they are; raise when one cannot be told."""
    known = before.get("topics", [])
    for topic in secret.info.get("topics", ()):
        if topic not in known:
            _publish(cloud, secret, topic["name"], "TOPIC_CONFIGURED", secret_json(cloud, secret))


def notify(
    cloud: Cloud, secret: Secret, event: str, resource: dict[str, Any], version: str = ""
) -> None:
    for topic in secret.info.get("topics", ()):
        try:
            _publish(cloud, secret, topic["name"], event, resource, version)
        except ApiError:
            continue


def _publish(
    cloud: Cloud,
    secret: Secret,
    topic: str,
    event: str,
    resource: dict[str, Any],
    version: str = "",
) -> None:
    agent = cloud[Secrets].agent(secret.name)
    if agent is None or not cloud[Guard].allowed(agent, "pubsub.topics.publish", topic):
        raise failed_precondition(f"Secret Manager's service agent may not publish to {topic}.")
    attributes = {
        "eventType": event,
        "dataFormat": "JSON_API_V1",
        "secretId": cloud[Containers].numbered(secret.name),
        "timestamp": cloud.clock.rfc3339(),
        **({"versionId": version} if version else {}),
    }
    data = base64.b64encode(json.dumps(resource).encode()).decode()
    send(cloud, cloud[PubSub].topic(topic), [{"data": data, "attributes": attributes}])


def watch(cloud: Cloud, secret: Secret) -> None:
    """Tell the topics when the time of the next rotation has come, and set the one after."""
    due = secret.info.get("rotation", {}).get("nextRotationTime")
    if due is None:
        return

    def rotate() -> None:
        rotation = secret.info.get("rotation", {})
        if rotation.get("nextRotationTime") != due or not cloud[Secrets].exists(secret):
            return
        following = {**rotation}
        if period := rotation.get("rotationPeriod"):
            following["nextRotationTime"] = cloud.clock.rfc3339(moment(due) + seconds(period))
        else:
            del following["nextRotationTime"]
        secret.info["rotation"] = following
        secret.revision += 1
        notify(cloud, secret, "SECRET_ROTATE", secret_json(cloud, secret))
        watch(cloud, secret)

    cloud[Operations].after(moment(due) - cloud.clock.now(), rotate)
