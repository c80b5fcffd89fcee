"""Secret Manager: secrets, versions, and who reads them."""

from __future__ import annotations

import base64
from typing import Any

import google_crc32c
import pytest
import requests
from service_support import NUMBER, PROJECT, Sandbox, email

API = "https://secretmanager.googleapis.com/v1"
SECRET = f"projects/{PROJECT}/secrets/clearblade"
SHOWN = f"projects/{NUMBER}/secrets/clearblade"
AUTOMATIC = {"replication": {"automatic": {}}}
LATER = "2030-01-01T00:00:00Z"


@pytest.fixture(autouse=True)
def enabled(sandbox: Sandbox) -> None:
    sandbox.cloud.services.seed(PROJECT, ["secretmanager.googleapis.com"])


def make(sandbox: Sandbox, **fields: Any) -> dict[str, Any]:
    url = f"{API}/projects/{PROJECT}/secrets?secretId=clearblade"
    answer = sandbox.http().post(url, json={**AUTOMATIC, **fields})
    assert answer.status_code == 200, answer.text
    made: dict[str, Any] = answer.json()
    return made


def add(sandbox: Sandbox, data: bytes = b"{}", **payload: str) -> requests.Response:
    body = {"payload": {"data": base64.b64encode(data).decode(), **payload}}
    return sandbox.http().post(f"{API}/{SECRET}:addVersion", json=body)


def read(client: requests.Session, version: str = "latest") -> requests.Response:
    return client.get(f"{API}/{SECRET}/versions/{version}:access")


def message(answer: requests.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["message"]


def test_a_secret_is_made_read_listed_changed_and_deleted(sandbox: Sandbox) -> None:
    made, client = make(sandbox, labels={"env": "prod"}), sandbox.http()
    assert (made["name"], made["replication"]) == (SHOWN, AUTOMATIC["replication"])
    assert client.get(f"{API}/{SECRET}").json() == made
    listed = client.get(f"{API}/projects/{NUMBER}/secrets").json()
    assert listed == {"secrets": [made], "totalSize": 1}
    changed = client.patch(f"{API}/{SECRET}?updateMask=labels", json={"labels": {"env": "x"}})
    assert changed.json()["labels"] == {"env": "x"}
    assert changed.json()["etag"] != made["etag"]
    stale = client.delete(f"{API}/{SECRET}", params={"etag": made["etag"]})
    assert stale.status_code == 400
    assert client.delete(f"{API}/{SECRET}").json() == {}
    assert message(client.get(f"{API}/{SECRET}")) == (404, f"Secret [{SHOWN}] not found.")


def test_a_version_gives_back_what_was_put_in_and_its_checksum(sandbox: Sandbox) -> None:
    make(sandbox)
    version = add(sandbox, b"first").json()
    assert (version["name"], version["state"]) == (f"{SHOWN}/versions/1", "ENABLED")
    assert version["replicationStatus"] == {"automatic": {}}
    add(sandbox, b"second")
    for reference, number, data in (("1", 1, b"first"), ("latest", 2, b"second")):
        answer = read(sandbox.http(), reference).json()
        assert answer["name"] == f"{SHOWN}/versions/{number}"
        assert base64.b64decode(answer["payload"]["data"]) == data
        # An int64 is text in JSON.
        assert answer["payload"]["dataCrc32c"] == str(google_crc32c.value(data))
    names = [
        item["name"] for item in sandbox.http().get(f"{API}/{SECRET}/versions").json()["versions"]
    ]
    assert names == [f"{SHOWN}/versions/2", f"{SHOWN}/versions/1"]


def test_a_payload_that_was_damaged_on_the_way_is_refused(sandbox: Sandbox) -> None:
    make(sandbox)
    right = add(sandbox, b"x", dataCrc32c=str(google_crc32c.value(b"x"))).json()
    assert right["clientSpecifiedPayloadChecksum"] is True
    wrong = add(sandbox, b"x", dataCrc32c="1")
    assert (wrong.status_code, "checksum" in wrong.text) == (400, True)
    assert add(sandbox, b"x" * 65_537).status_code == 400


def test_a_version_is_switched_off_and_on_and_destroyed_for_good(sandbox: Sandbox) -> None:
    make(sandbox)
    version, client = f"{API}/{SECRET}/versions/1", sandbox.http()
    etag = add(sandbox).json()["etag"]
    # The official provider sends no body.
    assert client.post(f"{version}:enable").json()["etag"] == etag
    off = client.post(f"{version}:disable", json={"etag": etag}).json()
    assert off["state"] == "DISABLED"
    said = f"Secret Version [{SHOWN}/versions/1] is in DISABLED state."
    assert message(read(client)) == (400, said)
    assert client.post(f"{version}:enable", json={"etag": etag}).status_code == 400
    assert client.post(f"{version}:enable", json={"etag": off["etag"]}).json()["state"] == "ENABLED"
    assert read(client).status_code == 200
    gone = client.post(f"{version}:destroy").json()
    assert (gone["state"], "destroyTime" in gone) == ("DESTROYED", True)
    assert "DESTROYED" in message(read(client))[1]
    assert client.post(f"{version}:enable").status_code == 400
    assert client.post(f"{version}:destroy").json() == gone


def test_an_alias_names_a_version(sandbox: Sandbox) -> None:
    make(sandbox)
    add(sandbox, b"old")
    add(sandbox, b"new")
    url = f"{API}/{SECRET}?updateMask=versionAliases"
    sandbox.http().patch(url, json={"versionAliases": {"live": "1"}})
    answer = read(sandbox.http(), "live").json()
    assert base64.b64decode(answer["payload"]["data"]) == b"old"
    assert message(read(sandbox.http(), "other"))[0] == 404


def test_a_secret_with_a_time_to_live_expires(sandbox: Sandbox) -> None:
    made = make(sandbox, ttl="3600s")
    clock = sandbox.cloud.clock
    assert made["expireTime"] == clock.rfc3339(clock.now() + 3600)
    assert "ttl" not in made
    clock.step(3599)
    assert sandbox.http().get(f"{API}/{SECRET}").status_code == 200
    clock.step(1)
    assert sandbox.http().get(f"{API}/{SECRET}").status_code == 404


def test_replicas_are_told_of_each_version(sandbox: Sandbox) -> None:
    replicas = [{"location": "us-central1"}, {"location": "us-east1"}]
    make(sandbox, replication={"userManaged": {"replicas": replicas}})
    assert add(sandbox).json()["replicationStatus"] == {"userManaged": {"replicas": replicas}}


def test_only_whoever_may_access_reads_and_that_is_all_they_may(sandbox: Sandbox) -> None:
    make(sandbox)
    add(sandbox)
    client = sandbox.http("serving")
    assert "secretmanager.versions.access' denied" in read(client).text
    binding = {
        "role": "roles/secretmanager.secretAccessor",
        "members": [f"serviceAccount:{email('serving')}"],
    }
    body = {"policy": {"bindings": [binding], "version": 3}}
    sandbox.http().post(f"{API}/{SECRET}:setIamPolicy", json=body)
    policy = sandbox.http().get(f"{API}/{SECRET}:getIamPolicy").json()
    assert policy["bindings"] == [binding]
    assert read(client).status_code == 200
    assert client.get(f"{API}/{SECRET}").status_code == 403
    assert client.post(f"{API}/{SECRET}:addVersion", json={}).status_code == 403


def test_a_condition_sees_the_projects_number(sandbox: Sandbox) -> None:
    make(sandbox)
    add(sandbox)
    role, member = "roles/secretmanager.secretAccessor", f"serviceAccount:{email('serving')}"
    for name, status in ((SECRET, 403), (SHOWN, 200)):
        condition = {"title": "t", "expression": f"resource.name.startsWith('{name}/versions/')"}
        sandbox.cloud.iam.grant(f"projects/{PROJECT}", role, member, condition)
        assert read(sandbox.http("serving")).status_code == status


@pytest.mark.parametrize(
    ("query", "body", "status", "text"),
    [
        ("secretId=a.b", AUTOMATIC, 400, "secret_id"),
        ("secretId=a", {}, 400, "replication"),
        ("secretId=clearblade", AUTOMATIC, 409, f"Secret [{SHOWN}] already exists."),
        (
            "secretId=a",
            {**AUTOMATIC, "ttl": "1s", "expireTime": "2030-01-01T00:00:00Z"},
            400,
            "ttl",
        ),
    ],
)
def test_a_secret_google_would_refuse(
    sandbox: Sandbox, query: str, body: dict[str, Any], status: int, text: str
) -> None:
    make(sandbox)
    answer = sandbox.http().post(f"{API}/projects/{PROJECT}/secrets?{query}", json=body)
    assert answer.status_code == status
    assert text in answer.json()["error"]["message"]
