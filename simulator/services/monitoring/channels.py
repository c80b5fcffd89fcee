"""Notification channels and their descriptors.

Answers: http-logs/monitoring-notificationchannel.log. What a channel gets is in `notifications`;
verifying one answers 501. Secrets are returned as they were given, as that recording shows for a
password.
"""

from __future__ import annotations

from typing import Any

from simulator.api.calls import Call, Methods, Result, on_name
from simulator.api.errors import invalid, not_found
from simulator.api.pages import listing
from simulator.services.monitoring.matching import listed
from simulator.services.monitoring.state import Monitoring, bad_field, check_labels, replaced, under

method = Methods()

# Channel type -> its name, and the labels it needs (docs monitoring/alerts/using-channels-api).
TYPES: dict[str, tuple[str, tuple[str, ...]]] = {
    "email": ("Email", ("email_address",)),
    "google_chat": ("Google Chat", ("space",)),
    "pagerduty": ("PagerDuty", ("service_key",)),
    "pubsub": ("Cloud Pub/Sub", ("topic",)),
    "slack": ("Slack", ("channel_name", "auth_token")),
    "sms": ("SMS", ("number",)),
    "webhook_basicauth": ("Webhook with Basic Authentication", ("url", "username", "password")),
    "webhook_tokenauth": ("Webhook with Token Authentication", ("url",)),
}
MUTABLE = ("type", "displayName", "description", "labels", "userLabels", "enabled")
# docs monitoring/api/v3/sorting-and-filtering, "NotificationChannel"
FIELDS = {
    "name": "name",
    "type": "type",
    "display_name": "displayName",
    "description": "description",
    "enabled": "enabled",
    "label": "labels",
    "labels": "labels",
    "user_label": "userLabels",
    "user_labels": "userLabels",
}


def channel(call: Call, name: str) -> dict[str, Any]:
    found = call.cloud[Monitoring].channels.get(name)
    if found is None:
        raise not_found(f"Notification channel not found: {name}")
    return found


def _check(info: dict[str, Any]) -> None:
    kind = info.get("type", "")
    if kind not in TYPES:
        raise bad_field(
            "notification_channel.type", kind, f"It must be one of {', '.join(sorted(TYPES))}."
        )
    labels, wanted = info.get("labels", {}), TYPES[kind][1]
    for key in wanted:
        if not labels.get(key):
            raise bad_field("notification_channel.labels", "", f'The label "{key}" is required.')
    if unknown := set(labels) - set(wanted):
        raise bad_field(
            "notification_channel.labels",
            ", ".join(sorted(unknown)),
            f"A channel of type {kind} has the labels {', '.join(wanted)}.",
        )
    check_labels("notification_channel.user_labels", info.get("userLabels", {}))


@method(
    "monitoring.projects.notificationChannels.create",
    permission="monitoring.notificationChannels.create",
    on=on_name,
)
def create(call: Call) -> Result:
    _check(call.body)
    now = {"mutateTime": call.cloud.clock.rfc3339()}
    name = f"{call.resource}/notificationChannels/{call.cloud.unique_id()}"
    info: dict[str, Any] = {"name": name, "enabled": True}
    info |= {key: call.body[key] for key in MUTABLE if call.body.get(key) not in (None, "", {})}
    info |= {"creationRecord": now, "mutationRecords": [now]}
    call.cloud[Monitoring].channels[name] = info
    return info


@method(
    "monitoring.projects.notificationChannels.get",
    permission="monitoring.notificationChannels.get",
    on=on_name,
)
def get(call: Call) -> Result:
    return channel(call, call.resource)


@method(
    "monitoring.projects.notificationChannels.list",
    permission="monitoring.notificationChannels.list",
    on=on_name,
    reads="filter orderBy pageSize pageToken",
)
def list_channels(call: Call) -> Result:
    found = under(call.cloud[Monitoring].channels, call.resource, "notificationChannels")
    return listed("notificationChannels", found.values(), call.params, FIELDS)


@method(
    "monitoring.projects.notificationChannels.patch",
    permission="monitoring.notificationChannels.update",
    on=on_name,
    reads="updateMask",
)
def patch(call: Call) -> Result:
    before = channel(call, call.resource)
    info = replaced(before, call.body, call.params.get("updateMask"), MUTABLE)
    _check(info)
    info["mutationRecords"] = [{"mutateTime": call.cloud.clock.rfc3339()}]
    info.setdefault("enabled", True)
    call.cloud[Monitoring].channels[call.resource] = info
    return info


@method(
    "monitoring.projects.notificationChannels.delete",
    permission="monitoring.notificationChannels.delete",
    on=on_name,
    reads="force",
)
def delete(call: Call) -> Result:
    """Discovery document, `force`: it takes the channel out of the policies that name it."""
    name, policies = call.resource, call.cloud[Monitoring].policies
    channel(call, name)
    users = [key for key, item in policies.items() if name in item.get("notificationChannels", ())]
    if users and not call.params.get("force"):
        # hashicorp/terraform-provider-google#10337
        places = ", ".join(f'"{user}"' for user in sorted(users))
        raise invalid(
            f'Could not delete "{name}" because it is still being referenced by: {places}'
        )
    for user in users:
        left = [item for item in policies[user]["notificationChannels"] if item != name]
        policies[user] = {**policies[user], "notificationChannels": left}
    del call.cloud[Monitoring].channels[name]
    return {}


def _descriptor(project: str, kind: str) -> dict[str, Any]:
    name, labels = TYPES[kind]
    return {
        "name": f"{project}/notificationChannelDescriptors/{kind}",
        "type": kind,
        "displayName": name,
        "labels": [{"key": key} for key in labels],
        "launchStage": "GA",
    }


@method(
    "monitoring.projects.notificationChannelDescriptors.get",
    permission="monitoring.notificationChannelDescriptors.get",
    on=on_name,
)
def get_descriptor(call: Call) -> Result:
    project, _, kind = call.resource.partition("/notificationChannelDescriptors/")
    if kind not in TYPES:
        raise not_found(f"Notification channel descriptor not found: {call.resource}")
    return _descriptor(project, kind)


@method(
    "monitoring.projects.notificationChannelDescriptors.list",
    permission="monitoring.notificationChannelDescriptors.list",
    on=on_name,
    reads="pageSize pageToken",
)
def list_descriptors(call: Call) -> Result:
    found = {kind: _descriptor(call.resource, kind) for kind in TYPES}
    return listing("channelDescriptors", found, call.params, default=100, most=1000)
