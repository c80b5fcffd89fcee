"""What Cloud Storage keeps from being deleted or replaced: by policy, by hold, by an own retention.

The words are those of Google's answers, as kmoneil/zig-gcp recorded them.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
import requests

from simulator.services.storage.state import Storage
from tests.simulator.support.service import PROJECT, Sandbox

API = "https://storage.googleapis.com/storage/v1"
UPLOAD = "https://storage.googleapis.com/upload/storage/v1"
NAME = "iot-prod-records"
BUCKET = f"{API}/b/{NAME}"
OBJECT = f"{BUCKET}/o/r"
HOUR = 3600
HELD = "Object 'iot-prod-records/r' is under active {} hold and cannot be deleted, overwritten or "
HELD += "archived until hold is removed."


def make(sandbox: Sandbox, query: str = "", **fields: Any) -> dict[str, Any]:
    body = {"name": NAME, "location": "us-central1", **fields}
    answer = sandbox.http().post(f"{API}/b?project={PROJECT}{query}", json=body)
    assert answer.status_code == 200, answer.text
    made: dict[str, Any] = answer.json()
    return made


def upload(sandbox: Sandbox, data: str = "x", query: str = "", **said: Any) -> requests.Response:
    parts = f"--B\r\ncontent-type: application/json\r\n\r\n{json.dumps(said)}\r\n"
    return sandbox.http().post(
        f"{UPLOAD}/b/{NAME}/o?uploadType=multipart&name=r{query}",
        data=f"{parts}--B\r\n\r\n{data}\r\n--B--",
        headers={"Content-Type": "multipart/related; boundary=B"},
    )


def refusal(answer: requests.Response) -> tuple[int, str, str]:
    error = answer.json()["error"]
    return answer.status_code, error["errors"][0]["reason"], error["message"]


def period(seconds: int) -> dict[str, Any]:
    return {"retentionPolicy": {"retentionPeriod": str(seconds)}}


def test_a_policy_keeps_old_and_new_objects_for_its_period(sandbox: Sandbox) -> None:
    make(sandbox)
    upload(sandbox).raise_for_status()
    sandbox.cloud.clock.step(10)
    policy = sandbox.http().patch(BUCKET, json=period(HOUR)).json()["retentionPolicy"]
    assert policy == {"retentionPeriod": "3600", "effectiveTime": "2026-01-01T00:00:10Z"}
    until = sandbox.http().get(OBJECT).json()["retentionExpirationTime"]
    assert until == "2026-01-01T01:00:00Z"
    expected = (
        403,
        "retentionPolicyNotMet",
        "Object 'iot-prod-records/r' is subject to bucket's retention policy or object retention "
        f"and cannot be deleted or overwritten until {until}",
    )
    assert refusal(sandbox.http().delete(OBJECT)) == expected
    assert refusal(upload(sandbox, "y")) == expected
    onto_itself = sandbox.http().post(f"{OBJECT}/rewriteTo/b/{NAME}/o/r", json={})
    assert refusal(onto_itself) == expected
    # A condition is looked at first, and what describes the object can be changed.
    assert upload(sandbox, "y", "&ifGenerationMatch=0").status_code == 412
    assert sandbox.http().patch(OBJECT, json={"metadata": {"a": "b"}}).status_code == 200
    sandbox.cloud.clock.step(HOUR - 11)
    assert sandbox.http().delete(OBJECT).status_code == 403
    sandbox.cloud.clock.step(1)
    assert upload(sandbox, "y").status_code == 200
    assert sandbox.http().delete(OBJECT).status_code == 403
    assert sandbox.http().delete(BUCKET).status_code == 409
    sandbox.cloud.clock.step(HOUR)
    assert sandbox.http().delete(OBJECT).status_code == 204
    assert sandbox.http().delete(BUCKET).status_code == 204


def test_a_resumable_upload_over_a_kept_object_is_refused_at_its_end(sandbox: Sandbox) -> None:
    make(sandbox, **period(HOUR))
    upload(sandbox).raise_for_status()
    client = sandbox.http()
    begun = client.post(f"{UPLOAD}/b/{NAME}/o?uploadType=resumable", json={"name": "r"})
    session = begun.headers["Location"]
    part = client.put(session, data=b"01", headers={"Content-Range": "bytes 0-1/4"})
    assert part.status_code == 308
    last = client.put(session, data=b"23", headers={"Content-Range": "bytes 2-3/4"})
    assert refusal(last)[:2] == (403, "retentionPolicyNotMet")


def test_where_versions_are_kept_a_retained_object_can_still_be_replaced(sandbox: Sandbox) -> None:
    make(sandbox, versioning={"enabled": True}, **period(HOUR))
    first = upload(sandbox).json()["generation"]
    assert upload(sandbox, "y").status_code == 200
    assert sandbox.http().delete(OBJECT).status_code == 204
    for_good = sandbox.http().delete(f"{OBJECT}?generation={first}")
    assert refusal(for_good)[:2] == (403, "retentionPolicyNotMet")


@pytest.mark.parametrize("seconds", [0, 3_155_760_001])
def test_a_period_has_bounds(sandbox: Sandbox, seconds: int) -> None:
    make(sandbox)
    answer = sandbox.http().patch(BUCKET, json=period(seconds))
    text = "Retention policy must have a retention period greater than 0 and less than 100 years."
    assert refusal(answer) == (400, "invalid", text)
    assert "retentionPolicy" not in sandbox.http().get(BUCKET).json()


def test_an_unlocked_policy_can_be_changed_and_taken_away(sandbox: Sandbox) -> None:
    begun = make(sandbox, **period(HOUR))["retentionPolicy"]
    upload(sandbox).raise_for_status()
    sandbox.cloud.clock.step(60)
    changed = sandbox.http().patch(BUCKET, json=period(30)).json()["retentionPolicy"]
    assert changed == {**begun, "retentionPeriod": "30"}
    # When it began and whether it is locked are not for callers to say.
    said = {"retentionPolicy": {"isLocked": True, "effectiveTime": "2020-01-01T00:00:00Z"}}
    assert sandbox.http().patch(BUCKET, json=said).json()["retentionPolicy"] == changed
    sandbox.http().patch(BUCKET, json=period(HOUR)).raise_for_status()
    assert sandbox.http().delete(OBJECT).status_code == 403
    gone = sandbox.http().patch(BUCKET, json={"retentionPolicy": None})
    assert "retentionPolicy" not in gone.json()
    assert sandbox.http().delete(OBJECT).status_code == 204


def test_a_locked_policy_can_only_grow(sandbox: Sandbox) -> None:
    made = make(sandbox, **period(HOUR))
    lock = f"{BUCKET}/lockRetentionPolicy"
    assert refusal(sandbox.http().post(lock))[:2] == (400, "required")
    stale = sandbox.http().post(f"{lock}?ifMetagenerationMatch=7")
    assert stale.status_code == 412
    lock = f"{lock}?ifMetagenerationMatch={made['metageneration']}"
    assert sandbox.http("deployer").post(lock).status_code == 403
    locked = sandbox.http().post(lock).json()
    assert locked["retentionPolicy"] == {**made["retentionPolicy"], "isLocked": True}
    assert int(locked["metageneration"]) == int(made["metageneration"]) + 1
    again = sandbox.http().post(f"{lock.partition('=')[0]}={locked['metageneration']}")
    text = "Bucket 'iot-prod-records' does not have an unlocked retention policy."
    assert refusal(again) == (400, "invalid", text)

    shorter = sandbox.http().patch(BUCKET, json=period(HOUR - 1))
    text = "Cannot reduce retention duration of a locked Retention Policy for bucket "
    assert refusal(shorter) == (403, "forbidden", f"{text}'iot-prod-records'.")
    text = "Bucket 'iot-prod-records' has a locked Retention Policy which cannot be removed."
    for answer in (
        sandbox.http().patch(BUCKET, json={"retentionPolicy": None, "labels": {"a": "b"}}),
        sandbox.http().put(BUCKET, json={"labels": {"a": "b"}}),
    ):
        assert refusal(answer) == (403, "retentionPolicyNotMet", text)
    assert sandbox.http().get(BUCKET).json() == locked
    longer = sandbox.http().patch(BUCKET, json=period(HOUR + 1)).json()["retentionPolicy"]
    assert longer == {**locked["retentionPolicy"], "retentionPeriod": "3601"}
    assert sandbox.http().delete(BUCKET).status_code == 204


@pytest.mark.parametrize(
    ("field", "kind"), [("temporaryHold", "Temporary"), ("eventBasedHold", "Event-Based")]
)
@pytest.mark.parametrize("versions", [False, True])
def test_a_held_object_stays_until_it_is_released(
    sandbox: Sandbox, field: str, kind: str, versions: bool
) -> None:
    make(sandbox, versioning={"enabled": versions})
    assert upload(sandbox, **{field: True}).json()[field] is True
    for answer in (sandbox.http().delete(OBJECT), upload(sandbox, "y")):
        assert refusal(answer) == (403, "forbidden", HELD.format(kind))
    assert sandbox.http().patch(OBJECT, json={field: False}).json()[field] is False
    assert sandbox.http().delete(OBJECT).status_code == 204


def test_the_period_begins_when_an_event_based_hold_ends(sandbox: Sandbox) -> None:
    make(sandbox, defaultEventBasedHold=True, **period(HOUR))
    held = upload(sandbox).json()
    assert held["eventBasedHold"] is True
    assert "retentionExpirationTime" not in held
    sandbox.cloud.clock.step(10 * HOUR)
    released = sandbox.http().patch(OBJECT, json={"eventBasedHold": False}).json()
    assert released["retentionExpirationTime"] == "2026-01-01T11:00:00Z"
    assert refusal(sandbox.http().delete(OBJECT))[1] == "retentionPolicyNotMet"
    sandbox.cloud.clock.step(HOUR)
    assert sandbox.http().delete(OBJECT).status_code == 204
    declined = upload(sandbox, eventBasedHold=False).json()
    assert "eventBasedHold" not in declined


def test_a_copy_takes_over_neither_hold_nor_retention(sandbox: Sandbox) -> None:
    make(sandbox)
    upload(sandbox, temporaryHold=True, metadata={"a": "b"}).raise_for_status()
    copy = sandbox.http().post(f"{OBJECT}/copyTo/b/{NAME}/o/copy", json={}).json()
    assert copy["metadata"] == {"a": "b"}
    assert "temporaryHold" not in copy
    assert sandbox.http().delete(f"{BUCKET}/o/copy").status_code == 204


# Objects' own retention


def keep(mode: str = "Unlocked", hour: int = 2) -> dict[str, Any]:
    return {"retention": {"mode": mode, "retainUntilTime": f"2026-01-01T{hour:02}:00:00Z"}}


def test_objects_can_have_a_retention_where_their_bucket_was_made_for_it(sandbox: Sandbox) -> None:
    make(sandbox)
    text = "Object retention is not enabled on the bucket."
    assert refusal(upload(sandbox, **keep())) == (400, "invalid", text)
    # Only at creation: afterwards it is taken, and nothing changes.
    sandbox.http().patch(BUCKET, json={"objectRetention": {"mode": "Enabled"}}).raise_for_status()
    assert upload(sandbox, **keep()).status_code == 400
    sandbox.http().delete(BUCKET).raise_for_status()

    made = make(sandbox, "&enableObjectRetention=true")
    assert made["objectRetention"] == {"mode": "Enabled"}
    kept = upload(sandbox, **keep()).json()
    assert kept["retention"] == keep()["retention"]
    assert kept["retentionExpirationTime"] == "2026-01-01T02:00:00Z"
    assert refusal(sandbox.http().delete(OBJECT))[:2] == (403, "retentionPolicyNotMet")
    sandbox.cloud.clock.step(2 * HOUR)
    assert sandbox.http().delete(OBJECT).status_code == 204


def test_enabling_object_retention_takes_a_permission_of_its_own(sandbox: Sandbox) -> None:
    sandbox.role("deployer", "storage.buckets.create")
    body, url = {"name": NAME}, f"{API}/b?project={PROJECT}&enableObjectRetention=true"
    denied = sandbox.http("deployer").post(url, json=body)
    assert "storage.buckets.enableObjectRetention" in refusal(denied)[2]
    assert not sandbox.cloud[Storage].buckets
    sandbox.role("deployer", "storage.buckets.enableObjectRetention")
    assert sandbox.http("deployer").post(url, json=body).status_code == 200


def test_an_unlocked_retention_is_shortened_only_by_who_says_so_and_may(sandbox: Sandbox) -> None:
    make(sandbox, "&enableObjectRetention=true")
    upload(sandbox, **keep()).raise_for_status()
    longer = sandbox.http().patch(OBJECT, json=keep(hour=3)).json()
    assert longer["retention"] == keep(hour=3)["retention"]
    text = (
        "The unlocked object retention cannot be removed and its retention period cannot be "
        "shortened without overriding unlocked retention intent and permission."
    )
    override = f"{OBJECT}?overrideUnlockedRetention=true"
    permissions = ("storage.objects.update", "storage.objects.setRetention")
    sandbox.role("deployer", *permissions, on=f"projects/_/buckets/{NAME}")
    for change in (keep(hour=2), keep("Locked", 4), {"retention": None}):
        assert refusal(sandbox.http().patch(OBJECT, json=change)) == (403, "forbidden", text)
        denied = sandbox.http("deployer").patch(override, json=change)
        assert "storage.objects.overrideUnlockedRetention" in refusal(denied)[2]
    assert sandbox.http().get(OBJECT).json() == longer
    assert "retention" not in sandbox.http().patch(override, json={"retention": None}).json()
    assert sandbox.http().delete(OBJECT).status_code == 204


def test_a_locked_retention_can_only_grow(sandbox: Sandbox) -> None:
    make(sandbox, "&enableObjectRetention=true")
    upload(sandbox, **keep("Locked")).raise_for_status()
    text = (
        "The locked object retention cannot be removed. Its retention mode cannot be changed and "
        "its retention period cannot be shortened."
    )
    override = f"{OBJECT}?overrideUnlockedRetention=true"
    for change in (keep("Locked", 1), keep("Unlocked", 4), {"retention": None}):
        assert refusal(sandbox.http().patch(override, json=change)) == (403, "forbidden", text)
    assert sandbox.http().patch(OBJECT, json=keep("Locked", 3)).status_code == 200


@pytest.mark.parametrize(
    ("said", "text"),
    [
        (keep("Forever"), "Invalid value for: Forever is not a valid value"),
        (
            {"retention": {"mode": "Locked"}},
            "Missing retain until time. Both mode and retain until time are required.",
        ),
        (
            {"retention": {"retainUntilTime": "2026-01-02T00:00:00Z"}},
            "Missing retention mode. Both mode and retain until time are required.",
        ),
        (
            {"retention": {"mode": "Locked", "retainUntilTime": "2025-12-31T00:00:00Z"}},
            "Retain until time cannot be in the past.",
        ),
        (
            {**keep(), "eventBasedHold": True},
            "Retention and event based holds cannot be configured together.",
        ),
    ],
)
def test_what_is_wrong_with_a_retention_is_said(
    sandbox: Sandbox, said: dict[str, Any], text: str
) -> None:
    make(sandbox, "&enableObjectRetention=true")
    assert refusal(upload(sandbox, **said)) == (400, "invalid", text)
    upload(sandbox).raise_for_status()
    assert refusal(sandbox.http().patch(OBJECT, json=said)) == (400, "invalid", text)
