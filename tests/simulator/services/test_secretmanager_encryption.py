"""Secrets sealed with a customer's keys."""

from __future__ import annotations

import base64
from typing import Any

import pytest
import requests

from simulator.iam.decisions import Iam
from simulator.identity.accounts import Accounts
from simulator.services.serviceusage import Services
from tests.simulator.support.service import LOCATION, PROJECT, Sandbox

API = "https://secretmanager.googleapis.com/v1"
KMS = "https://cloudkms.googleapis.com/v1"
SECRET = f"projects/{PROJECT}/secrets/clearblade"
GLOBAL = f"projects/{PROJECT}/locations/global"
ROLE = "roles/cloudkms.cryptoKeyEncrypterDecrypter"


@pytest.fixture(autouse=True)
def enabled(sandbox: Sandbox) -> None:
    services = ["secretmanager.googleapis.com", "cloudkms.googleapis.com"]
    sandbox.cloud[Services].seed(PROJECT, services)


def make_key(sandbox: Sandbox, location: str = GLOBAL, key_id: str = "secrets") -> str:
    client = sandbox.http()
    client.post(f"{KMS}/{location}/keyRings?keyRingId=state")
    url = f"{KMS}/{location}/keyRings/state/cryptoKeys?cryptoKeyId={key_id}"
    made: str = client.post(url, json={"purpose": "ENCRYPT_DECRYPT"}).json()["name"]
    return made


def sealed(key: str) -> dict[str, Any]:
    return {"replication": {"automatic": {"customerManagedEncryption": {"kmsKeyName": key}}}}


def make(sandbox: Sandbox, body: dict[str, Any]) -> requests.Response:
    url = f"{API}/projects/{PROJECT}/secrets?secretId=clearblade"
    return sandbox.http().post(url, json=body)


def add(sandbox: Sandbox, data: bytes = b"x") -> requests.Response:
    body = {"payload": {"data": base64.b64encode(data).decode()}}
    return sandbox.http().post(f"{API}/{SECRET}:addVersion", json=body)


def read(sandbox: Sandbox, version: str = "latest") -> requests.Response:
    return sandbox.http().get(f"{API}/{SECRET}/versions/{version}:access")


def message(answer: requests.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["message"]


def grant(sandbox: Sandbox, *keys: str) -> None:
    agent = sandbox.cloud[Accounts].create_agent("secretmanager", PROJECT)
    for key in keys:
        sandbox.cloud[Iam].grant(key, ROLE, agent.member)


def switch(sandbox: Sandbox, key: str, state: str, version: int = 1) -> None:
    url = f"{KMS}/{key}/cryptoKeyVersions/{version}?updateMask=state"
    assert sandbox.http().patch(url, json={"state": state}).status_code == 200


def test_the_keys_of_a_secrets_replication_can_be_changed(sandbox: Sandbox) -> None:
    """As the official provider does it, which sends the whole replication."""
    first, second = make_key(sandbox), make_key(sandbox, key_id="newer")
    grant(sandbox, first, second)
    make(sandbox, {"replication": {"automatic": {}}})
    url, client = f"{API}/{SECRET}?updateMask=replication", sandbox.http()
    plain = add(sandbox).json()
    assert plain["replicationStatus"] == {"automatic": {}}
    for number, key in enumerate((first, second), 2):
        changed = client.patch(url, json=sealed(key)).json()
        assert changed["replication"] == sealed(key)["replication"]
        status = add(sandbox).json()["replicationStatus"]["automatic"]
        used = {"kmsKeyVersionName": f"{key}/cryptoKeyVersions/1"}
        assert status == {"customerManagedEncryption": used}, number
    removed = client.patch(url, json={"replication": {"automatic": {}}}).json()
    assert removed["replication"] == {"automatic": {}}


def test_where_a_secret_is_replicated_to_stays(sandbox: Sandbox) -> None:
    make(sandbox, {"replication": {"automatic": {}}})
    url = f"{API}/{SECRET}?updateMask=replication"
    elsewhere = {"userManaged": {"replicas": [{"location": "us-central1"}]}}
    for replication in (elsewhere, {}):
        answer = sandbox.http().patch(url, json={"replication": replication})
        assert answer.status_code == 400
    assert sandbox.http().get(f"{API}/{SECRET}").json()["replication"] == {"automatic": {}}


def test_a_key_needs_the_agent_and_the_right_place(sandbox: Sandbox) -> None:
    """GoogleCloudPlatform/terraform-google-secret-manager#74."""
    regional, everywhere = make_key(sandbox, LOCATION), make_key(sandbox)
    assert message(make(sandbox, sealed(regional))) == (
        400,
        "Automatic replication policy can only be configured with Cloud KMS keys in location "
        f"[global]. Requested: [{regional}]",
    )
    assert message(make(sandbox, sealed(everywhere))) == (
        400,
        "Secret Manager service identity for project not found.",
    )
    assert make(sandbox, sealed("mine")).status_code == 400
    grant(sandbox)
    assert make(sandbox, sealed(everywhere)).status_code == 200


def test_replicas_have_keys_of_their_own_places(sandbox: Sandbox) -> None:
    here = make_key(sandbox, LOCATION)
    grant(sandbox, here)

    def replicas(*locations: str) -> dict[str, Any]:
        encryption = {"customerManagedEncryption": {"kmsKeyName": here}}
        places = [{"location": location, **encryption} for location in locations]
        return {"replication": {"userManaged": {"replicas": places}}}

    assert "location of its replica" in make(sandbox, replicas("us-east1")).text
    assert make(sandbox, replicas("us-central1")).status_code == 200
    (status,) = add(sandbox).json()["replicationStatus"]["userManaged"]["replicas"]
    used = {"kmsKeyVersionName": f"{here}/cryptoKeyVersions/1"}
    assert status == {"location": "us-central1", "customerManagedEncryption": used}


def test_a_secret_is_not_written_or_read_without_its_key(sandbox: Sandbox) -> None:
    key = make_key(sandbox)
    grant(sandbox)
    make(sandbox, sealed(key))
    denied = add(sandbox)
    assert denied.json()["error"]["status"] == "FAILED_PRECONDITION"
    assert "useToEncrypt" in denied.text
    grant(sandbox, key)
    assert add(sandbox, b"first").status_code == 200
    switch(sandbox, key, "DISABLED")
    off = read(sandbox)
    assert (off.status_code, "is not enabled" in off.text) == (400, True)
    assert add(sandbox).status_code == 400
    switch(sandbox, key, "ENABLED")
    assert base64.b64decode(read(sandbox).json()["payload"]["data"]) == b"first"


def test_a_version_needs_the_key_version_of_its_time(sandbox: Sandbox) -> None:
    key = make_key(sandbox)
    grant(sandbox, key)
    make(sandbox, sealed(key))
    add(sandbox, b"old")
    client = sandbox.http()
    client.post(f"{KMS}/{key}/cryptoKeyVersions", json={})
    client.post(f"{KMS}/{key}:updatePrimaryVersion", json={"cryptoKeyVersionId": "2"})
    add(sandbox, b"new")
    switch(sandbox, key, "DISABLED")
    assert read(sandbox, "1").status_code == 400
    assert base64.b64decode(read(sandbox, "2").json()["payload"]["data"]) == b"new"
