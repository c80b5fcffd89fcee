"""Notification channels."""

from __future__ import annotations

from typing import Any

import pytest

from tests.simulator.support.observe import MONITORING, PARENT, done, leaf, refused
from tests.simulator.support.service import NUMBER, PROJECT, Sandbox

CHANNELS = f"{MONITORING}/{PARENT}/notificationChannels"
NOW = "2026-01-01T00:00:00Z"
MAIL = {"type": "email", "displayName": "oncall", "labels": {"email_address": "a@example.com"}}


def test_a_channel_is_answered_as_google_answers_it(sandbox: Sandbox) -> None:
    """http-logs/monitoring-notificationchannel.log."""
    channel = done(sandbox, "POST", CHANNELS, MAIL | {"userLabels": {"team": "iot"}})
    name = channel["name"]
    assert name == f"{PARENT}/notificationChannels/{leaf(name)}"
    assert len(leaf(name)) == 19
    assert channel == MAIL | {
        "name": name,
        "enabled": True,
        "userLabels": {"team": "iot"},
        "creationRecord": {"mutateTime": NOW},
        "mutationRecords": [{"mutateTime": NOW}],
    }
    assert done(sandbox, "GET", f"{MONITORING}/{name.replace(PROJECT, NUMBER)}") == channel

    sandbox.cloud.clock.step(1)
    change = {"displayName": "night", "labels": {}, "enabled": False}
    url = f"{MONITORING}/{name}"
    patched = done(sandbox, "PATCH", url, change, updateMask="display_name,enabled")
    assert patched == channel | {
        "displayName": "night",
        "enabled": False,
        "mutationRecords": [{"mutateTime": "2026-01-01T00:00:01Z"}],
    }
    # Without a mask everything is replaced.
    assert "userLabels" not in done(sandbox, "PATCH", url, MAIL)


def test_lists_are_filtered_ordered_and_paged(sandbox: Sandbox) -> None:
    for name, team in (("b", "iot"), ("a", "ml"), ("c", "iot")):
        done(sandbox, "POST", CHANNELS, MAIL | {"displayName": name, "userLabels": {"team": team}})
    token = {"type": "webhook_tokenauth", "labels": {"url": "https://x.invalid"}}
    done(sandbox, "POST", CHANNELS, token | {"displayName": "d"})

    def names(**params: Any) -> list[str]:
        listed = done(sandbox, "GET", CHANNELS, **params).get("notificationChannels", [])
        return [item["displayName"] for item in listed]

    assert names(orderBy="display_name") == ["a", "b", "c", "d"]
    assert names(orderBy="user_label.team,-display_name") == ["d", "c", "b", "a"]
    assert names(filter='user_labels.team="iot"', orderBy="display_name") == ["b", "c"]
    assert names(filter='type="email" AND NOT display_name="a"') == ["b", "c"]
    assert names(filter='display_name=(one_of("a","d"))') == ["a", "d"]
    assert names(filter='labels.url=starts_with("https")') == ["d"]
    assert names(filter="user_labels:team", orderBy="-display_name") == ["c", "b", "a"]
    first = done(sandbox, "GET", CHANNELS, pageSize=3)
    rest = done(sandbox, "GET", CHANNELS, pageSize=3, pageToken=first["nextPageToken"])
    assert len(first["notificationChannels"]) == 3
    assert [item["displayName"] for item in rest["notificationChannels"]] == ["d"]
    status, message = refused(sandbox, "GET", CHANNELS, filter='colour="red"')
    assert status == 400
    assert "'colour' is none of the fields description, display_name" in message
    assert refused(sandbox, "GET", CHANNELS, orderBy="colour")[0] == 400


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"type": "pigeon"}, "It must be one of email"),
        ({"labels": {}}, 'The label "email_address" is required.'),
        ({"type": "pubsub"}, 'The label "topic" is required.'),
        ({"labels": MAIL["labels"] | {"topic": "x"}}, "has the labels email_address"),
        ({"userLabels": {"Team": "iot"}}, "keys begin with a letter"),
    ],
)
def test_a_channel_that_cannot_work_is_refused(
    sandbox: Sandbox, change: dict[str, Any], complaint: str
) -> None:
    status, message = refused(sandbox, "POST", CHANNELS, MAIL | change)
    assert status == 400
    assert complaint in message


def test_channel_types_are_described(sandbox: Sandbox) -> None:
    url = f"{MONITORING}/{PARENT}/notificationChannelDescriptors"
    kinds = {item["type"]: item for item in done(sandbox, "GET", url)["channelDescriptors"]}
    assert {"email", "pubsub", "slack", "webhook_basicauth", "webhook_tokenauth"} <= kinds.keys()
    assert done(sandbox, "GET", f"{url}/email") == kinds["email"]
    assert [label["key"] for label in kinds["slack"]["labels"]] == ["channel_name", "auth_token"]
    assert refused(sandbox, "GET", f"{url}/pigeon")[0] == 404
