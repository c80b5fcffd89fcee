"""Buckets and objects under a customer's key: who seals, who opens, and what a lost key does."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from simulator.api.errors import ApiError
from simulator.core.principal import Principal
from simulator.services.storage.state import Storage
from tests.simulator.support.service import ENCRYPTER, NUMBER, PROJECT, Sandbox, email

API = "https://storage.googleapis.com/storage/v1"
NAME = "iot-prod-sealed"
BUCKET = f"{API}/b/{NAME}"
UPLOAD = f"https://storage.googleapis.com/upload/storage/v1/b/{NAME}/o?name=o"
OBJECT = f"{BUCKET}/o/o"
KMS = "https://cloudkms.googleapis.com/v1"
AGENT = f"serviceAccount:service-{NUMBER}@gs-project-accounts.iam.gserviceaccount.com"
DENIED = (
    "Permission denied on Cloud KMS key. Please ensure that your Cloud Storage service account has "
    "been authorized to use this key."
)


@pytest.fixture
def key(sandbox: Sandbox) -> str:
    """A key that the project's agent may use, by a grant as anybody would give it."""
    name = sandbox.key(granted=False)
    policy = {"bindings": [{"role": ENCRYPTER, "members": [AGENT]}]}
    answer = sandbox.http().post(f"{KMS}/{name}:setIamPolicy", json={"policy": policy})
    answer.raise_for_status()
    return name


def make(sandbox: Sandbox, key: str | None = None, location: str = "us-central1") -> Any:
    sealed = {"encryption": {"defaultKmsKeyName": key}} if key else {}
    body = {"name": NAME, "location": location, **sealed}
    return sandbox.http().post(f"{API}/b?project={PROJECT}", json=body)


def ungrant(sandbox: Sandbox, key: str) -> None:
    body: dict[str, Any] = {"policy": {"bindings": []}}
    sandbox.http().post(f"{KMS}/{key}:setIamPolicy", json=body).raise_for_status()


def refusal(answer: requests.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["message"]


def test_a_bucket_is_not_made_with_a_key_that_its_agent_may_not_use(sandbox: Sandbox) -> None:
    key = sandbox.key(granted=False)
    assert refusal(make(sandbox, key)) == (403, DENIED)
    assert refusal(make(sandbox, f"{key}-gone")) == (403, DENIED)
    assert not sandbox.cloud[Storage].buckets
    before = make(sandbox).json()
    change = {"encryption": {"defaultKmsKeyName": key}, "labels": {"a": "b"}}
    assert refusal(sandbox.http().patch(BUCKET, json=change)) == (403, DENIED)
    assert sandbox.http().get(BUCKET).json() == before


def test_new_objects_are_sealed_with_the_buckets_key(sandbox: Sandbox, key: str) -> None:
    assert make(sandbox, key).json()["encryption"] == {"defaultKmsKeyName": key}
    sealed = sandbox.http().post(UPLOAD, data=b"weights").json()
    assert sealed["kmsKeyName"] == f"{key}/cryptoKeyVersions/1"
    # Who reads needs nothing of the key.
    sandbox.grant(f"projects/_/buckets/{NAME}", "roles/storage.objectViewer", "serving")
    assert sandbox.http("serving").get(f"{OBJECT}?alt=media").content == b"weights"
    sandbox.http().patch(BUCKET, json={"encryption": None}).raise_for_status()
    assert "kmsKeyName" not in sandbox.http().post(UPLOAD, data=b"weights").json()


def test_an_object_can_name_a_key_of_its_own(sandbox: Sandbox, key: str) -> None:
    make(sandbox)
    assert "kmsKeyName" not in sandbox.http().post(UPLOAD, data=b"x").json()
    sealed = sandbox.http().post(f"{UPLOAD}&kmsKeyName={key}", data=b"x").json()
    assert sealed["kmsKeyName"] == f"{key}/cryptoKeyVersions/1"
    copy = f"{OBJECT}/rewriteTo/b/{NAME}/o/copy"
    assert "kmsKeyName" not in sandbox.http().post(copy, json={}).json()["resource"]
    sealed = sandbox.http().post(f"{copy}?destinationKmsKeyName={key}", json={}).json()["resource"]
    assert sealed["kmsKeyName"] == f"{key}/cryptoKeyVersions/1"
    ungrant(sandbox, key)
    answer = sandbox.http().post(f"{UPLOAD}&kmsKeyName={key}", data=b"y")
    assert refusal(answer) == (403, DENIED)


def test_without_its_key_an_object_cannot_be_read_by_anyone(sandbox: Sandbox, key: str) -> None:
    make(sandbox, key)
    sandbox.http().post(UPLOAD, data=b"weights").raise_for_status()
    reader = Principal(f"serviceAccount:{email('serving')}")
    sandbox.grant(f"projects/_/buckets/{NAME}", "roles/storage.objectViewer", "serving")
    assert sandbox.cloud[Storage].read(f"gs://{NAME}/", reader) == {"o": b"weights"}
    ungrant(sandbox, key)
    assert refusal(sandbox.http().get(f"{OBJECT}?alt=media")) == (403, DENIED)
    assert refusal(sandbox.http().post(f"{OBJECT}/copyTo/b/{NAME}/o/c", json={})) == (403, DENIED)
    with pytest.raises(ApiError, match="Permission denied on Cloud KMS key"):
        sandbox.cloud[Storage].read(f"gs://{NAME}/", reader)
    # What is not sealed stays in sight, and the object can go.
    assert sandbox.http().get(OBJECT).json()["size"] == "7"
    assert sandbox.http().delete(OBJECT).status_code == 204


def test_a_disabled_version_closes_what_it_sealed_and_no_more(sandbox: Sandbox, key: str) -> None:
    make(sandbox, key)
    sandbox.http().post(UPLOAD, data=b"old").raise_for_status()
    second = sandbox.http().post(f"{KMS}/{key}/cryptoKeyVersions", json={}).json()["name"]
    primary = {"cryptoKeyVersionId": second.rpartition("/")[2]}
    sandbox.http().post(f"{KMS}/{key}:updatePrimaryVersion", json=primary).raise_for_status()
    new = sandbox.http().post(UPLOAD.replace("=o", "=new"), data=b"new").json()
    assert new["kmsKeyName"] == second
    first = f"{KMS}/{key}/cryptoKeyVersions/1"
    sandbox.http().patch(f"{first}?updateMask=state", json={"state": "DISABLED"}).raise_for_status()
    status, message = refusal(sandbox.http().get(f"{OBJECT}?alt=media"))
    assert (status, "DISABLED" in message) == (400, True)
    assert sandbox.http().get(f"{BUCKET}/o/new?alt=media").content == b"new"


@pytest.mark.parametrize(
    ("location", "place"), [("us-central1", "us-east1"), ("US", "us-central1"), ("EU", "eu")]
)
def test_a_key_lies_where_its_bucket_does(sandbox: Sandbox, location: str, place: str) -> None:
    name = f"projects/{PROJECT}/locations/{place}/keyRings/r/cryptoKeys/k"
    status, message = refusal(make(sandbox, name, location))
    assert (status, "is not in" in message) == (400, True)


def test_a_key_of_another_form_is_malformed(sandbox: Sandbox, key: str) -> None:
    version = f"{key}/cryptoKeyVersions/1"
    assert refusal(make(sandbox, version)) == (400, f"Malformed Cloud KMS crypto key: {version}")
