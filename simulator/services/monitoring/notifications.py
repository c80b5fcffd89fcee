"""What a notification channel gets of an incident. Nothing leaves the simulator.

Schema 1.2 as messages recorded in a public repository have it (flanksource/duty), the same for
Pub/Sub and webhooks (docs monitoring/support/notification-options). A `pubsub` channel gets it as a
message that Monitoring's service agent publishes, which takes `pubsub.topics.publish` on the topic
(same page, "Authorize service account"); what other channels would get is only written down.
Inferred: sentences of `summary` other than that of a threshold, and that a policy without
`notificationPrompts` tells of openings and closings. Variables in a documentation are not filled
in.
"""

from __future__ import annotations

import base64
import json
from typing import Any

from simulator.api.calls import Guard
from simulator.api.errors import ApiError
from simulator.core.cloud import Cloud
from simulator.core.platform import Containers
from simulator.identity.accounts import Accounts
from simulator.services.monitoring.conditions import plain
from simulator.services.monitoring.state import Incident, Info, Monitoring
from simulator.services.pubsub.backlog import send
from simulator.services.pubsub.state import PubSub

CONSOLE = "https://console.cloud.google.com/monitoring/alerting/alerts"
CANCELLED = (
    "Incident cancelled because the alert policy condition was deleted or modified while incident "
    "was active."
)
PROMPTS = ("OPENED", "CLOSED")


def notify(cloud: Cloud, incident: Incident) -> None:
    """Tell the policy's channels that an incident has opened or closed."""
    policy, monitoring = incident.policy, cloud[Monitoring]
    prompts = policy.get("alertStrategy", {}).get("notificationPrompts") or PROMPTS
    of_log = "conditionMatchedLog" in incident.condition
    if incident.closed is not None and (of_log or "CLOSED" not in prompts):
        return
    for name in policy.get("notificationChannels", ()):
        channel = monitoring.channels.get(name)
        if channel is None or not channel.get("enabled", True):
            continue
        body = message(cloud, incident)
        error = _publish(cloud, channel, body) if channel["type"] == "pubsub" else ""
        monitoring.sent.append(
            {
                "channel": name,
                "type": channel["type"],
                "labels": channel.get("labels", {}),
                "time": cloud.clock.rfc3339(),
                "delivered": not error,
                **({"error": error} if error else {}),
                **body,
            }
        )


def _publish(cloud: Cloud, channel: Info, body: Info) -> str:
    """Publish as the service agent of the channel's project; why not, when that fails."""
    agent = cloud[Accounts].create_agent("monitoring", channel["name"].split("/")[1])
    data = base64.b64encode(json.dumps(body).encode()).decode()
    try:
        topic = cloud[PubSub].topic(cloud[PubSub].normal(channel["labels"]["topic"]))
        cloud[Guard].check(agent, "pubsub.topics.publish", topic.name)
        send(cloud, topic, [{"data": data}])
    except ApiError as error:
        return error.message
    return ""


def message(cloud: Cloud, incident: Incident) -> dict[str, Any]:
    policy, condition, key = incident.policy, incident.condition, incident.key
    project = policy["name"].split("/")[1]
    number, closed = cloud[Containers].number(project), incident.closed is not None
    document, given = policy.get("documentation", {}), plain(condition)
    severity = policy.get("severity", "SEVERITY_UNSPECIFIED").removesuffix("_UNSPECIFIED")
    severity = "No severity" if severity == "SEVERITY" else severity.capitalize()
    alert_id = incident.name.rpartition("/")[2]
    resource = dict(key.resource_labels)
    resource_name = " ".join([project, *(v for k, v in resource.items() if k != "project_id")])
    return {
        "incident": {
            "condition": condition,
            "condition_name": condition["displayName"],
            "documentation": {
                "content": document.get("content", ""),
                "mime_type": document.get("mimeType", ""),
                "subject": document.get("subject")
                or f"[{'RESOLVED' if closed else 'ALERT'} - {severity}] {policy['displayName']}",
            },
            "ended_at": int(incident.closed) if incident.closed is not None else None,
            "incident_id": alert_id,
            "metadata": {"system_labels": {}, "user_labels": {}},
            "metric": {
                "displayName": key.metric.rpartition("/")[2],
                "labels": incident.extracted or dict(key.metric_labels),
                "type": key.metric,
            },
            "observed_value": _observed(incident),
            "policy_name": policy["displayName"],
            "policy_user_labels": policy.get("userLabels", {}),
            "resource": {"labels": resource, "type": key.resource},
            "resource_display_name": resource_name,
            "resource_id": "",
            "resource_name": resource_name,
            "resource_type_display_name": key.resource,
            "scoping_project_id": project,
            "scoping_project_number": int(number),
            "severity": severity,
            "started_at": int(incident.opened),
            "state": "closed" if closed else "open",
            "summary": _summary(incident, resource_name),
            "threshold_value": f"{given['thresholdValue']:g}" if "thresholdValue" in given else "",
            "url": f"{CONSOLE}/{alert_id}?project={project}",
        },
        "version": "1.2",
    }


def _observed(incident: Incident) -> str:
    if incident.cancelled:
        return CANCELLED
    return "" if incident.value is None else f"{incident.value:.3f}"


def _summary(incident: Incident, resource_name: str) -> str:
    given, labels = (
        plain(incident.condition),
        incident.extracted or dict(incident.key.metric_labels),
    )
    with_labels = ", ".join(f"{key}={value}" for key, value in labels.items())
    of = f"{incident.key.metric.rpartition('/')[2] or 'Log match'} for {resource_name}"
    of += f" with metric labels {{{with_labels}}}" if with_labels else ""
    if incident.closed is not None:
        return f"{of} returned to normal with a value of {_observed(incident)}."
    if "comparison" in given:
        side = "above" if given["comparison"] == "COMPARISON_GT" else "below"
        threshold = float(given.get("thresholdValue", 0))
        value = _observed(incident)
        return f"{of} is {side} the threshold of {threshold:.3f} with a value of {value}."
    if "conditionMatchedLog" in incident.condition:
        return f"Log match condition fired for {of}."
    return f"{of} has no data."
