"""What Google fills into a bucket's settings, what they do, and which it refuses."""

from __future__ import annotations

from typing import Any

import pytest

from tests.simulator.support.service import NUMBER, PROJECT, Sandbox

API = "https://storage.googleapis.com/storage/v1"
NAME = "iot-prod-settings"
BUCKET = f"{API}/b/{NAME}"
DAY = 86_400


def make(sandbox: Sandbox, **fields: Any) -> dict[str, Any]:
    body = {"name": NAME, "location": "us-central1", **fields}
    answer = sandbox.http().post(f"{API}/b?project={PROJECT}", json=body)
    assert answer.status_code == 200, answer.text
    made: dict[str, Any] = answer.json()
    return made


def upload(sandbox: Sandbox, name: str, data: bytes = b"x") -> None:
    sandbox.storage().bucket(NAME).blob(name).upload_from_string(data)


def names(sandbox: Sandbox, query: str = "") -> list[str]:
    items = sandbox.http().get(f"{BUCKET}/o?{query}").json().get("items", [])
    return [item["name"] for item in items]


def test_the_recovery_point_of_a_dual_region_can_be_changed(sandbox: Sandbox) -> None:
    assert make(sandbox, location="NAM4")["rpo"] == "DEFAULT"
    for value in ("ASYNC_TURBO", "DEFAULT"):
        sandbox.http().patch(BUCKET, json={"rpo": value}).raise_for_status()
        assert sandbox.http().get(BUCKET).json()["rpo"] == value


@pytest.mark.parametrize(("location", "rpo"), [("us-central1", "DEFAULT"), ("US", "ASYNC_TURBO")])
def test_a_recovery_point_that_a_location_has_not_is_refused(
    sandbox: Sandbox, location: str, rpo: str
) -> None:
    before = make(sandbox, location=location)
    assert sandbox.http().patch(BUCKET, json={"rpo": rpo}).status_code == 400
    assert sandbox.http().get(BUCKET).json() == before


def test_two_regions_of_a_multi_region_make_a_dual_one(sandbox: Sandbox) -> None:
    regions = {"dataLocations": ["us-east1", "US-WEST1"]}
    made = make(sandbox, location="US", customPlacementConfig=regions)
    assert (made["locationType"], made["rpo"]) == ("dual-region", "DEFAULT")
    assert made["customPlacementConfig"] == {"dataLocations": ["US-EAST1", "US-WEST1"]}
    layout = sandbox.http().get(f"{BUCKET}/storageLayout").json()
    assert layout["customPlacementConfig"] == made["customPlacementConfig"]
    assert layout["locationType"] == "dual-region"


def test_logs_begin_with_the_buckets_name_unless_it_says_how(sandbox: Sandbox) -> None:
    """Upstream: google-beta, storage/resource_storage_bucket_test.go."""
    logging = make(sandbox, logging={"logBucket": "logs"})["logging"]
    assert logging == {"logBucket": "logs", "logObjectPrefix": NAME}
    named = {"logging": {"logObjectPrefix": "p"}}
    changed = sandbox.http().patch(BUCKET, json=named).json()["logging"]
    assert changed == {"logBucket": "logs", "logObjectPrefix": "p"}
    assert "logging" not in sandbox.http().patch(BUCKET, json={"logging": None}).json()


def test_soft_delete_has_bounds_and_null_puts_its_default_back(sandbox: Sandbox) -> None:
    make(sandbox)
    for seconds, status in ((0, 200), (1, 400), (7 * DAY, 200), (90 * DAY + 1, 400)):
        policy = {"softDeletePolicy": {"retentionDurationSeconds": str(seconds)}}
        assert sandbox.http().patch(BUCKET, json=policy).status_code == status
    off = {"softDeletePolicy": {"retentionDurationSeconds": "0"}}
    seen = sandbox.http().patch(BUCKET, json=off).json()
    assert seen["softDeletePolicy"] == {"retentionDurationSeconds": "0"}
    back = sandbox.http().patch(BUCKET, json={"softDeletePolicy": None}).json()
    assert back["softDeletePolicy"]["retentionDurationSeconds"] == str(7 * DAY)


def test_a_deleted_bucket_is_kept_for_the_longest_soft_delete_that_it_had(sandbox: Sandbox) -> None:
    make(sandbox, softDeletePolicy={"retentionDurationSeconds": str(30 * DAY)})
    off = {"softDeletePolicy": {"retentionDurationSeconds": "0"}}
    sandbox.http().patch(BUCKET, json=off).raise_for_status()
    sandbox.http().delete(BUCKET).raise_for_status()
    listing = f"{API}/b?project={PROJECT}&softDeleted=true"
    (kept,) = sandbox.http().get(listing).json()["items"]
    assert kept["hardDeleteTime"] == "2026-01-31T00:00:00Z"
    make(sandbox, **off)
    sandbox.http().delete(BUCKET).raise_for_status()
    assert len(sandbox.http().get(listing).json()["items"]) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"storageClass": "WARM"},
        {"lifecycle": {"rule": [{"action": {"type": "SetStorageClass", "storageClass": "WARM"}}]}},
    ],
)
def test_a_class_that_google_does_not_have_is_refused(
    sandbox: Sandbox, change: dict[str, Any]
) -> None:
    make(sandbox)
    answer = sandbox.http().patch(BUCKET, json=change)
    message = answer.json()["error"]["message"]
    assert (answer.status_code, message) == (400, 'Invalid storage class "WARM"')


def test_the_older_name_of_uniform_access_means_the_same(sandbox: Sandbox) -> None:
    make(sandbox)
    older = {"iamConfiguration": {"bucketPolicyOnly": {"enabled": True}}}
    seen = sandbox.http().patch(BUCKET, json=older).json()["iamConfiguration"]
    assert seen["uniformBucketLevelAccess"] == seen["bucketPolicyOnly"] == {"enabled": True}
    assert seen["publicAccessPrevention"] == "inherited"


def test_a_whole_update_drops_what_it_does_not_give(sandbox: Sandbox) -> None:
    made = make(sandbox, labels={"a": "b"}, versioning={"enabled": True}, storageClass="NEARLINE")
    seen = sandbox.http().put(BUCKET, json={**made, "labels": {"c": "d"}, "versioning": None})
    assert seen.json()["labels"] == {"c": "d"}
    assert "versioning" not in seen.json()
    assert seen.json()["storageClass"] == "NEARLINE"
    assert "labels" not in sandbox.http().put(BUCKET, json={}).json()


def test_the_projects_agent_is_told_to_who_may_see_the_project(sandbox: Sandbox) -> None:
    url = f"{API}/projects/{PROJECT}/serviceAccount"
    assert sandbox.http("deployer").get(url).status_code == 403
    sandbox.role("deployer", "resourcemanager.projects.get")
    agent = sandbox.http("deployer").get(url).json()["email_address"]
    assert agent == f"service-{NUMBER}@gs-project-accounts.iam.gserviceaccount.com"


@pytest.mark.parametrize(
    ("query", "change", "name"),
    [
        ("", {"autoclass": {"enabled": True}}, "field autoclass.enabled"),
        ("", {"billing": {"requesterPays": True}}, "field billing.requesterPays"),
        ("", {"hierarchicalNamespace": {"enabled": True}}, "hierarchicalNamespace.enabled"),
        ("", {"ipFilter": {"mode": "Enabled"}}, "field ipFilter"),
        ("", {"acl": [{"entity": "allUsers", "role": "READER"}]}, "field acl"),
        ("?predefinedAcl=private", {}, "parameter predefinedAcl"),
    ],
)
def test_a_setting_that_is_not_simulated_is_named(
    sandbox: Sandbox, query: str, change: dict[str, Any], name: str
) -> None:
    before = make(sandbox, autoclass={"enabled": False}, billing={"requesterPays": False})
    answer = sandbox.http().patch(f"{BUCKET}{query}", json={**change, "labels": {"a": "b"}})
    assert answer.status_code == 501
    assert name in answer.json()["error"]["message"]
    assert sandbox.http().get(BUCKET).json() == before


# Lifecycle rules


def rule(action: str | dict[str, Any] = "Delete", **condition: Any) -> dict[str, Any]:
    given = {"type": action} if isinstance(action, str) else action
    return {"action": given, "condition": condition}


def test_old_versions_go_once_there_are_enough_newer_ones(sandbox: Sandbox) -> None:
    """The rule of provider-contract/core."""
    make(sandbox, versioning={"enabled": True}, lifecycle={"rule": [rule(numNewerVersions=2)]})
    for _ in range(4):
        upload(sandbox, "model")
    upload(sandbox, "other")
    sandbox.cloud.clock.step(DAY - 1)
    assert names(sandbox, "versions=true") == ["model"] * 4 + ["other"]
    sandbox.cloud.clock.step(1)
    assert names(sandbox, "versions=true") == ["model"] * 2 + ["other"]
    assert names(sandbox) == ["model", "other"]


def test_a_rule_deletes_live_objects_into_versions_where_they_are_kept(sandbox: Sandbox) -> None:
    make(sandbox, versioning={"enabled": True}, lifecycle={"rule": [rule(age=2, isLive=True)]})
    upload(sandbox, "a")
    sandbox.cloud.clock.step(DAY)
    assert names(sandbox) == ["a"]
    sandbox.cloud.clock.step(DAY)
    assert (names(sandbox), names(sandbox, "versions=true")) == ([], ["a"])
    noncurrent = {"lifecycle": {"rule": [rule(daysSinceNoncurrentTime=1)]}}
    sandbox.http().patch(BUCKET, json=noncurrent).raise_for_status()
    sandbox.cloud.clock.step(DAY)
    assert names(sandbox, "versions=true") == []


@pytest.mark.parametrize(
    ("condition", "gone"),
    [
        ({"age": 1}, ["logs/a.txt", "logs/b.bin", "model"]),
        ({"age": 2}, []),
        ({"age": 0, "matchesPrefix": ["logs/"]}, ["logs/a.txt", "logs/b.bin"]),
        ({"age": 0, "matchesPrefix": ["logs/"], "matchesSuffix": [".txt"]}, ["logs/a.txt"]),
        ({"createdBefore": "2026-01-01"}, []),
        ({"createdBefore": "2026-01-02"}, ["logs/a.txt", "logs/b.bin", "model"]),
        ({"sizeAboveBytes": "5"}, ["model"]),
        ({"sizeBelowBytes": "5"}, ["logs/a.txt", "logs/b.bin"]),
        ({"matchesStorageClass": ["NEARLINE"]}, []),
        ({"isLive": False}, []),
        ({"daysSinceCustomTime": 0}, []),
        ({"numNewerVersions": 1}, []),
    ],
)
def test_all_conditions_of_a_rule_have_to_hold(
    sandbox: Sandbox, condition: dict[str, Any], gone: list[str]
) -> None:
    make(sandbox, lifecycle={"rule": [rule(**condition)]})
    for name, data in (("logs/a.txt", b"a"), ("logs/b.bin", b"b"), ("model", b"weights")):
        upload(sandbox, name, data)
    before = names(sandbox)
    sandbox.cloud.clock.step(DAY)
    assert sorted(set(before) - set(names(sandbox))) == gone


def test_a_rule_moves_objects_to_a_colder_class_only(sandbox: Sandbox) -> None:
    rules = [
        rule({"type": "SetStorageClass", "storageClass": "NEARLINE"}, age=0),
        rule({"type": "SetStorageClass", "storageClass": "COLDLINE"}, age=3),
    ]
    make(sandbox, lifecycle={"rule": rules})
    upload(sandbox, "a")
    cold = sandbox.storage().bucket(NAME).blob("cold")
    cold.storage_class = "ARCHIVE"
    cold.upload_from_string(b"x")

    def classes() -> list[str]:
        items = sandbox.http().get(f"{BUCKET}/o").json()["items"]
        return [item["storageClass"] for item in items]

    assert classes() == ["STANDARD", "ARCHIVE"]
    sandbox.cloud.clock.step(DAY)
    assert classes() == ["NEARLINE", "ARCHIVE"]
    sandbox.cloud.clock.step(2 * DAY)
    assert classes() == ["COLDLINE", "ARCHIVE"]


def test_a_rule_leaves_what_is_held(sandbox: Sandbox) -> None:
    make(sandbox, lifecycle={"rule": [rule(age=0)]})
    for name in ("free", "held"):
        upload(sandbox, name)
    sandbox.http().patch(f"{BUCKET}/o/held", json={"temporaryHold": True}).raise_for_status()
    sandbox.cloud.clock.step(DAY)
    assert names(sandbox) == ["held"]


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (rule("Shred", age=1), "Invalid value for: Shred is not a valid value"),
        (rule(), "Lifecycle rules must have a condition."),
        (
            rule("SetStorageClass", age=1),
            "Lifecycle storage class rules must specify the destination storage class.",
        ),
        (rule(createdBefore="soon"), 'Invalid value for: Invalid format: "soon"'),
    ],
)
def test_a_rule_that_google_refuses_is_refused(
    sandbox: Sandbox, wrong: dict[str, Any], text: str
) -> None:
    before = make(sandbox, lifecycle={"rule": [rule(age=1)]})
    answer = sandbox.http().patch(BUCKET, json={"lifecycle": {"rule": [wrong]}})
    assert (answer.status_code, answer.json()["error"]["message"]) == (400, text)
    assert sandbox.http().get(BUCKET).json() == before
