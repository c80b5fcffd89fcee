"""Cloud Storage, asked by Google's own client and, for what it hides, over plain HTTPS."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.api_core import exceptions
from google.cloud.storage.retry import DEFAULT_RETRY

from simulator.api.errors import ApiError
from simulator.core.principal import Principal
from simulator.iam.decisions import Iam
from simulator.services.storage.state import Storage
from tests.simulator.support.service import NUMBER, PROJECT, TRAINING, Sandbox, email

API = "https://storage.googleapis.com/storage/v1"
UPLOAD = "https://storage.googleapis.com/upload/storage/v1"
NAME = "iot-prod-artifacts"
BUCKET = f"projects/_/buckets/{NAME}"
# What the official provider sends for a bucket (provider-contract/core).
OFFICIAL = {
    "iamConfiguration": {
        "publicAccessPrevention": "enforced",
        "uniformBucketLevelAccess": {"enabled": True},
    },
    "labels": {"goog-pulumi-provisioned": "true", "step": "1"},
    "lifecycle": {"rule": [{"action": {"type": "Delete"}, "condition": {"numNewerVersions": 5}}]},
    "location": "us-central1",
    "name": NAME,
    "storageClass": "STANDARD",
    "versioning": {"enabled": True},
}


@pytest.fixture
def bucket(sandbox: Sandbox) -> Any:
    sandbox.http().post(f"{API}/b?project={PROJECT}", json=OFFICIAL).raise_for_status()
    return sandbox.storage().bucket(NAME)


def test_a_bucket_comes_back_as_it_was_made(sandbox: Sandbox, bucket: Any) -> None:
    seen = sandbox.http().get(f"{API}/b/{NAME}").json()
    for key in OFFICIAL.keys() - {"location", "iamConfiguration"}:
        assert seen[key] == OFFICIAL[key]
    assert (seen["location"], seen["locationType"]) == ("US-CENTRAL1", "region")
    assert seen["projectNumber"] == NUMBER
    assert seen["iamConfiguration"]["publicAccessPrevention"] == "enforced"
    assert seen["softDeletePolicy"]["retentionDurationSeconds"] == "604800"


def test_a_label_patched_to_null_is_gone_and_the_rest_stays(sandbox: Sandbox, bucket: Any) -> None:
    change = {"labels": {"step": None, "env": "prod"}, "lifecycle": {"rule": []}}
    seen = sandbox.http().patch(f"{API}/b/{NAME}", json=change).json()
    assert seen["labels"] == {"goog-pulumi-provisioned": "true", "env": "prod"}
    assert "lifecycle" not in seen
    assert seen["versioning"] == {"enabled": True}
    assert seen["metageneration"] == "2"


def test_a_bucket_name_is_taken_everywhere(sandbox: Sandbox, bucket: Any) -> None:
    again = sandbox.http().post(f"{API}/b?project={PROJECT}", json=OFFICIAL)
    elsewhere = sandbox.http().post(f"{API}/b?project={TRAINING}", json=OFFICIAL)
    assert (again.status_code, elsewhere.status_code) == (409, 409)
    assert "you already own it" in again.json()["error"]["message"]
    assert "shared by all users" in elsewhere.json()["error"]["message"]
    assert again.json()["error"]["errors"][0]["reason"] == "conflict"


@pytest.mark.parametrize(
    "change", [{"name": "Upper"}, {"name": "googly"}, {"name": "ab"}, {"location": "mars-east1"}]
)
def test_a_bad_name_or_location_is_refused(sandbox: Sandbox, change: dict[str, str]) -> None:
    answer = sandbox.http().post(f"{API}/b?project={PROJECT}", json=OFFICIAL | change)
    assert answer.status_code == 400
    assert not sandbox.cloud[Storage].buckets


def test_making_a_bucket_takes_its_permission_on_the_project(sandbox: Sandbox) -> None:
    answer = sandbox.http("deployer").post(f"{API}/b?project={PROJECT}", json=OFFICIAL)
    assert answer.status_code == 403
    sandbox.role("deployer", "storage.buckets.create")
    answer = sandbox.http("deployer").post(f"{API}/b?project={PROJECT}", json=OFFICIAL)
    assert answer.status_code == 200


def test_a_missing_bucket_is_404_for_anyone(sandbox: Sandbox) -> None:
    answer = sandbox.http("serving").get(f"{API}/b/nowhere")
    assert answer.status_code == 404
    assert answer.json()["error"]["message"] == "The specified bucket does not exist."


def test_a_denial_reads_as_googles(sandbox: Sandbox, bucket: Any) -> None:
    bucket.blob("v1/model.joblib").upload_from_string(b"x")
    answer = sandbox.http("serving").get(f"{API}/b/{NAME}/o/v1%2Fmodel.joblib?alt=media")
    message = (
        f"{email('serving')} does not have storage.objects.get access to the Google Cloud Storage "
        "object. Permission 'storage.objects.get' denied on resource (or it may not exist)."
    )
    reasons = [{"message": message, "domain": "global", "reason": "forbidden"}]
    assert answer.status_code == 403
    assert answer.json() == {"error": {"code": 403, "message": message, "errors": reasons}}


def test_an_object_is_read_by_the_xml_api_too(sandbox: Sandbox, bucket: Any) -> None:
    """As Google's client for Go does; permissions and headers are those of JSON's read."""
    blob = bucket.blob("v1/model.joblib")
    blob.upload_from_string(b"weights")
    url = f"https://storage.googleapis.com/{NAME}/v1/model.joblib"
    answer = sandbox.http().get(url)
    assert answer.content == b"weights"
    assert answer.headers["X-Goog-Generation"] == str(blob.generation)
    assert sandbox.http().get(url, headers={"Range": "bytes=0-1"}).content == b"we"
    assert sandbox.http().get(f"{url}?generation=1").status_code == 404
    assert sandbox.http().get(f"{url}.gone").status_code == 404
    assert sandbox.http("serving").get(url).status_code == 403
    sandbox.role("serving", "storage.objects.get")
    assert sandbox.http("serving").get(url).content == b"weights"


def test_owners_of_the_project_reach_the_bucket_through_its_own_policy(
    sandbox: Sandbox, bucket: Any
) -> None:
    assert bucket.get_iam_policy().bindings
    sandbox.http().put(f"{API}/b/{NAME}/iam", json={"version": 3}).raise_for_status()
    via = sandbox.cloud[Iam].decide(
        Principal(f"serviceAccount:{email('admin')}"), "storage.objects.get", BUCKET
    )
    # roles/owner itself has no storage.objects.get: it came from the default bindings.
    assert via is None


def test_a_grant_on_one_bucket_reaches_its_objects_only(sandbox: Sandbox, bucket: Any) -> None:
    bucket.blob("models/v1/model.joblib").upload_from_string(b"weights")
    sandbox.bucket("iot-prod-others", **{"model.joblib": b"other"})
    policy = bucket.get_iam_policy(requested_policy_version=3)
    member = f"serviceAccount:{email('serving')}"
    policy.bindings.append({"role": "roles/storage.objectViewer", "members": {member}})
    bucket.set_iam_policy(policy)
    reader = sandbox.storage("serving")
    assert reader.bucket(NAME).blob("models/v1/model.joblib").download_as_bytes() == b"weights"
    with pytest.raises(exceptions.Forbidden):
        reader.bucket("iot-prod-others").blob("v1/model.joblib").download_as_bytes()
    held = reader.bucket(NAME).test_iam_permissions(["storage.objects.get", "storage.objects.list"])
    assert held == ["storage.objects.get", "storage.objects.list"]


def test_a_stale_policy_is_a_failed_precondition(sandbox: Sandbox, bucket: Any) -> None:
    first, second = bucket.get_iam_policy(), bucket.get_iam_policy()
    bucket.set_iam_policy(first)
    with pytest.raises(exceptions.PreconditionFailed):
        bucket.set_iam_policy(second)


def test_public_access_prevention_keeps_the_public_out(sandbox: Sandbox, bucket: Any) -> None:
    public = {"bindings": [{"role": "roles/storage.objectViewer", "members": ["allUsers"]}]}
    assert sandbox.http().put(f"{API}/b/{NAME}/iam", json=public).status_code == 412
    open_ = {"iamConfiguration": {"publicAccessPrevention": "inherited"}}
    sandbox.http().patch(f"{API}/b/{NAME}", json=open_).raise_for_status()
    assert sandbox.http().put(f"{API}/b/{NAME}/iam", json=public).status_code == 200


def test_hashes_are_computed_and_checked(sandbox: Sandbox, bucket: Any) -> None:
    blob = bucket.blob("v1/model.joblib")
    blob.upload_from_string(b"123456789", checksum="md5")
    blob.reload()
    # The check values that the definitions of both publish: 25f9e794…4d0b and e3069283.
    assert (blob.md5_hash, blob.crc32c) == ("JfnnlDI7RTiF9RgfG2JNCw==", "4waSgw==")
    blob.download_as_bytes(checksum="crc32c")
    wrong = b'--B\r\nContent-Type: application/json\r\n\r\n{"name": "w", "md5Hash": "AAAA"}\r\n'
    wrong += b"--B\r\nContent-Type: text/plain\r\n\r\ndata\r\n--B--\r\n"
    answer = sandbox.http().post(
        f"{UPLOAD}/b/{NAME}/o?uploadType=multipart",
        data=wrong,
        headers={"Content-Type": "multipart/related; boundary=B"},
    )
    assert answer.status_code == 400
    assert not bucket.blob("w").exists()


def test_an_upload_of_any_kind_stores_the_same_bytes(sandbox: Sandbox, bucket: Any) -> None:
    data = bytes(range(256)) * 4096
    bucket.blob("multipart").upload_from_string(data, content_type="application/x-model")
    chunked = bucket.blob("resumable", chunk_size=256 * 1024)
    chunked.upload_from_string(data, content_type="application/x-model")
    sandbox.http().post(
        f"{UPLOAD}/b/{NAME}/o?uploadType=media&name=media",
        data=data,
        headers={"Content-Type": "application/x-model"},
    ).raise_for_status()
    for name in ("multipart", "resumable", "media"):
        blob = bucket.get_blob(name)
        assert blob.download_as_bytes() == data
        assert (blob.size, blob.content_type) == (len(data), "application/x-model")


def test_a_resumable_upload_tells_how_far_it_got(sandbox: Sandbox, bucket: Any) -> None:
    client = sandbox.http()
    begun = client.post(f"{UPLOAD}/b/{NAME}/o?uploadType=resumable", json={"name": "big"})
    session = begun.headers["Location"]
    part = client.put(session, data=b"0123", headers={"Content-Range": "bytes 0-3/10"})
    assert (part.status_code, part.headers["Range"]) == (308, "bytes=0-3")
    asked = client.put(session, headers={"Content-Range": "bytes */10"})
    assert (asked.status_code, asked.headers["Range"]) == (308, "bytes=0-3")
    done = client.put(session, data=b"456789", headers={"Content-Range": "bytes 4-9/10"})
    assert (done.status_code, done.json()["size"]) == (200, "10")
    assert client.put(session, headers={"Content-Range": "bytes */10"}).status_code == 404


@pytest.mark.parametrize(
    ("asked", "status", "data"),
    [
        ("bytes=2-4", 206, b"234"),
        ("bytes=7-", 206, b"789"),
        ("bytes=-2", 206, b"89"),
        ("bytes=8-99", 206, b"89"),
        ("bytes=10-12", 416, b""),
    ],
)
def test_a_part_of_an_object_can_be_read(
    sandbox: Sandbox, bucket: Any, asked: str, status: int, data: bytes
) -> None:
    bucket.blob("digits").upload_from_string(b"0123456789")
    url = f"https://storage.googleapis.com/download/storage/v1/b/{NAME}/o/digits?alt=media"
    answer = sandbox.http().get(url, headers={"Range": asked})
    assert (answer.status_code, answer.content) == (status, data)


def test_overwriting_takes_the_permission_to_delete(sandbox: Sandbox, bucket: Any) -> None:
    sandbox.role("deployer", "storage.objects.create", on=BUCKET)
    blob = sandbox.storage("deployer").bucket(NAME).blob("state.json")
    blob.upload_from_string(b"1")
    with pytest.raises(exceptions.Forbidden, match=r"storage\.objects\.delete"):
        blob.upload_from_string(b"2")
    sandbox.role("deployer", "storage.objects.delete", on=BUCKET)
    blob.upload_from_string(b"2")
    assert bucket.blob("state.json").download_as_bytes() == b"2"


def test_a_versioned_bucket_keeps_what_is_overwritten_or_deleted(
    sandbox: Sandbox, bucket: Any
) -> None:
    blob = bucket.blob("model")
    for text in (b"one", b"two"):
        blob.upload_from_string(text)
    # By name only: a blob that was uploaded would name its generation, and delete that for good.
    bucket.delete_blob("model")
    versions = list(sandbox.storage().list_blobs(NAME, versions=True))
    assert [int(item.generation) for item in versions] == sorted(
        item.generation for item in versions
    )
    assert [item.download_as_bytes() for item in versions] == [b"one", b"two"]
    assert not list(sandbox.storage().list_blobs(NAME))
    assert not bucket.blob("model").exists()
    with pytest.raises(exceptions.Conflict, match="not empty"):
        bucket.delete()
    for item in versions:
        item.delete()
    bucket.delete()


def test_without_versioning_only_the_newest_remains(sandbox: Sandbox) -> None:
    sandbox.bucket("iot-prod-plain", **{"m": b"one"})
    blob = sandbox.storage().bucket("iot-prod-plain").blob("v1/m")
    blob.upload_from_string(b"two")
    versions = list(sandbox.storage().list_blobs("iot-prod-plain", versions=True))
    assert [item.download_as_bytes() for item in versions] == [b"two"]


def test_preconditions_hold_or_stop_the_write(sandbox: Sandbox, bucket: Any) -> None:
    blob = bucket.blob("lock")
    blob.upload_from_string(b"mine", if_generation_match=0)
    with pytest.raises(exceptions.PreconditionFailed):
        blob.upload_from_string(b"theirs", if_generation_match=0)
    blob.upload_from_string(b"newer", if_generation_match=blob.generation)
    with pytest.raises(exceptions.PreconditionFailed):
        blob.delete(if_generation_match=1)
    assert blob.download_as_bytes() == b"newer"


def test_listing_folds_at_the_delimiter(sandbox: Sandbox, bucket: Any) -> None:
    for name in ("a/1", "a/2", "b/c/1", "top"):
        bucket.blob(name).upload_from_string(b"")
    iterator = sandbox.storage().list_blobs(NAME, delimiter="/")
    assert [blob.name for blob in iterator] == ["top"]
    assert iterator.prefixes == {"a/", "b/"}
    inside = sandbox.storage().list_blobs(NAME, prefix="a/")
    assert [blob.name for blob in inside] == ["a/1", "a/2"]


def test_deleting_while_listing_page_by_page_misses_nothing(sandbox: Sandbox, bucket: Any) -> None:
    for number in range(7):
        bucket.blob(f"o{number}").upload_from_string(b"")
    for blob in sandbox.storage().list_blobs(NAME, page_size=2):
        blob.delete()
    assert not list(sandbox.storage().list_blobs(NAME))


def test_a_copy_needs_read_at_one_end_and_write_at_the_other(sandbox: Sandbox, bucket: Any) -> None:
    bucket.blob("v1").upload_from_string(b"weights", content_type="x/y")
    sandbox.role("deployer", "storage.objects.get", on=BUCKET)
    copier = sandbox.storage("deployer").bucket(NAME)
    with pytest.raises(exceptions.Forbidden, match=r"storage\.objects\.create"):
        copier.copy_blob(copier.blob("v1"), copier, "v2", retry=DEFAULT_RETRY)
    sandbox.role("deployer", "storage.objects.create", on=BUCKET)
    copier.copy_blob(copier.blob("v1"), copier, "v2")
    copier.blob("v3").rewrite(copier.blob("v2"))
    blob = bucket.get_blob("v3")
    assert (blob.download_as_bytes(), blob.content_type) == (b"weights", "x/y")


def test_metadata_of_an_object_can_be_changed(sandbox: Sandbox, bucket: Any) -> None:
    blob = bucket.blob("m")
    blob.upload_from_string(b"x")
    blob.metadata = {"trained": "today"}
    blob.patch()
    seen = bucket.get_blob("m")
    assert (seen.metadata, seen.metageneration) == ({"trained": "today"}, 2)


def test_the_official_providers_upload_and_clean_up_work(sandbox: Sandbox, bucket: Any) -> None:
    """The requests of provider-contract/core: multipart body, quoted names, anywhereCaches/."""
    client = sandbox.http()
    boundary = "36f1555d750cc7c8"
    body = (
        f"--{boundary}\r\nContent-Type: application/json\r\n\r\n"
        f'{{"bucket":"{NAME}"}}\n\r\n--{boundary}\r\nContent-Type: text/plain; charset=utf-8\r\n'
        f"\r\n0123456789\r\n--{boundary}--\r\n"
    )
    put = client.post(
        f"{UPLOAD}/b/{NAME}/o?alt=json&name=models%2Fv1%2Fmodel.joblib&uploadType=multipart",
        data=body,
        headers={"Content-Type": f"multipart/related; boundary={boundary}"},
    )
    assert put.json()["md5Hash"] == "eB5eJF1ptWaXm4bijSPyxw=="
    seen = client.get(f"{API}/b/{NAME}/o/models%2Fv1%2Fmodel.joblib?alt=json").json()
    assert (seen["name"], seen["size"]) == ("models/v1/model.joblib", "10")
    assert client.get(f"{API}/b/{NAME}/anywhereCaches/?alt=json").status_code == 200
    for item in client.get(f"{API}/b/{NAME}/o?alt=json&versions=true").json()["items"]:
        gone = client.delete(
            f"{API}/b/{NAME}/o/models%2Fv1%2Fmodel.joblib?generation={item['generation']}"
        )
        assert gone.status_code == 204
    assert client.delete(f"{API}/b/{NAME}?alt=json").status_code == 204
    assert sandbox.cloud[Storage].live() == {"buckets": [], "objects": []}


def test_a_deleted_bucket_is_kept_for_its_retention_and_its_policy_is_not(
    sandbox: Sandbox, bucket: Any
) -> None:
    sandbox.grant(BUCKET, "roles/storage.objectViewer", "serving")
    bucket.delete()
    (kept,) = sandbox.http().get(f"{API}/b?project={PROJECT}&softDeleted=true").json()["items"]
    assert kept["name"] == NAME
    sandbox.cloud.clock.step(604_800)
    assert "items" not in sandbox.http().get(f"{API}/b?project={PROJECT}&softDeleted=true").json()
    sandbox.http().post(f"{API}/b?project={PROJECT}", json=OFFICIAL).raise_for_status()
    assert sandbox.http("serving").get(f"{API}/b/{NAME}/o").status_code == 403


def test_what_is_not_simulated_says_so(sandbox: Sandbox, bucket: Any) -> None:
    answer = sandbox.http().get(f"{API}/b/{NAME}/o?matchGlob=*.joblib")
    assert answer.status_code == 501
    assert "matchGlob" in json.dumps(answer.json())


def test_reading_for_another_service_needs_list_and_get(sandbox: Sandbox, bucket: Any) -> None:
    storage, reader = sandbox.cloud[Storage], Principal(f"serviceAccount:{email('serving')}")
    bucket.blob("v1/model.joblib").upload_from_string(b"weights")
    bucket.blob("v10/model.joblib").upload_from_string(b"others")
    with pytest.raises(ApiError, match=r"storage\.objects\.list"):
        storage.read(f"gs://{NAME}/v1", reader)
    sandbox.role("serving", "storage.objects.list", on=BUCKET)
    with pytest.raises(ApiError, match=r"storage\.objects\.get"):
        storage.read(f"gs://{NAME}/v1", reader)
    sandbox.role("serving", "storage.objects.get", on=BUCKET)
    assert storage.read(f"gs://{NAME}/v1/", reader) == {"model.joblib": b"weights"}
