"""Secret Manager: secrets, versions, and who reads them."""

from __future__ import annotations

import base64
from typing import Any

import google_crc32c
import pytest
import requests

from simulator.iam.decisions import Iam
from simulator.services.serviceusage import Services
from tests.simulator.support.service import NUMBER, PROJECT, Sandbox, email

API = "https://secretmanager.googleapis.com/v1"
SECRET = f"projects/{PROJECT}/secrets/clearblade"
SHOWN = f"projects/{NUMBER}/secrets/clearblade"
AUTOMATIC = {"replication": {"automatic": {}}}
DAY = 86_400


@pytest.fixture(autouse=True)
def enabled(sandbox: Sandbox) -> None:
    sandbox.cloud[Services].seed(PROJECT, ["secretmanager.googleapis.com"])


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


def test_a_version_that_is_to_be_destroyed_later_can_be_called_back_until_then(
    sandbox: Sandbox,
) -> None:
    """docs secret-manager/docs/delay-destruction-of-secret-versions."""
    make(sandbox, versionDestroyTtl=f"{DAY}s")
    add(sandbox, b"x")
    version, clock = f"{API}/{SECRET}/versions/1", sandbox.cloud.clock
    client = sandbox.http()
    scheduled = client.post(f"{version}:destroy").json()
    assert scheduled["state"] == "DISABLED"
    assert scheduled["scheduledDestroyTime"] == clock.rfc3339(clock.now() + DAY)
    assert read(client).status_code == 400
    back = client.post(f"{version}:enable").json()
    assert (back["state"], "scheduledDestroyTime" in back) == ("ENABLED", False)
    assert read(client).status_code == 200
    client.post(f"{version}:destroy")
    clock.step(DAY)
    client = sandbox.http()
    gone = client.get(version).json()
    assert (gone["state"], gone["destroyTime"]) == ("DESTROYED", clock.rfc3339())
    assert client.post(f"{version}:enable").status_code == 400


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("name:alpha", ["alpha"]),
        ("name:ALPHA OR name:beta", ["beta", "alpha"]),
        ("NOT name:alpha", ["gamma", "beta"]),
        ("name:a*a", ["gamma", "alpha"]),
        ("name:b*a", ["beta"]),
        ("labels.env=prod", ["beta", "alpha"]),
        ('labels.env="prod" AND labels.team=iot', ["beta"]),
        ("labels.env!=prod", ["gamma"]),
        ("labels.team:*", ["beta"]),
        ("replication.automatic:*", ["beta", "alpha"]),
        ("replication.user_managed.replicas.location:us-central1", ["gamma"]),
        ("replication.userManaged.replicas.location:us-west1", []),
        ("create_time<2026-01-01T00:00:10Z", ["alpha"]),
        ("create_time>=2026-01-01T00:00:10Z AND create_time<2026-01-01T00:00:20Z", ["beta"]),
    ],
)
def test_secrets_are_listed_newest_first_and_by_a_filter(
    sandbox: Sandbox, text: str, found: list[str]
) -> None:
    """docs secret-manager/docs/filtering, whose examples these are."""
    replicas = [{"location": "us-central1"}, {"location": "us-east1"}]
    client = sandbox.http()
    for secret_id, fields in {
        "alpha": {**AUTOMATIC, "labels": {"env": "prod"}},
        "beta": {**AUTOMATIC, "labels": {"env": "prod", "team": "iot"}},
        "gamma": {"replication": {"userManaged": {"replicas": replicas}}},
    }.items():
        url = f"{API}/projects/{PROJECT}/secrets?secretId={secret_id}"
        assert client.post(url, json=fields).status_code == 200
        sandbox.cloud.clock.step(10)
    answer = client.get(f"{API}/projects/{PROJECT}/secrets", params={"filter": text})
    listed = answer.json()
    assert answer.status_code == 200, listed
    names = [item["name"].rpartition("/")[2] for item in listed.get("secrets", ())]
    assert names == found
    assert "totalSize" not in listed


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("colour:red", 400),
        ("name=~x", 400),
        ("name=starts_with(x)", 400),
        ("create_time<yesterday", 400),
        ("name:(", 400),
        ("alpha", 501),
    ],
)
def test_a_filter_that_means_nothing_is_refused(sandbox: Sandbox, text: str, status: int) -> None:
    url = f"{API}/projects/{PROJECT}/secrets"
    assert sandbox.http().get(url, params={"filter": text}).status_code == status


def test_versions_are_listed_by_a_filter(sandbox: Sandbox) -> None:
    make(sandbox)
    for data in (b"1", b"2", b"3"):
        add(sandbox, data)
    client = sandbox.http()
    client.post(f"{API}/{SECRET}/versions/2:disable")
    url = f"{API}/{SECRET}/versions"
    first = client.get(url, params={"filter": "state=ENABLED", "pageSize": 1}).json()
    query = {"filter": "state=ENABLED", "pageToken": first["nextPageToken"]}
    second = client.get(url, params=query).json()
    names = [answer["versions"][0]["name"][-1] for answer in (first, second)]
    assert (names, "nextPageToken" in second) == (["3", "1"], False)


@pytest.mark.parametrize("field", ["tags", "secretType", "customerManagedEncryption.kmsKeyName"])
def test_what_nobody_acts_on_is_refused_and_nothing_is_made(sandbox: Sandbox, field: str) -> None:
    name, _, below = field.partition(".")
    value: Any = {below or "123/env": "prod"} if name != "secretType" else "CERTIFICATE"
    url = f"{API}/projects/{PROJECT}/secrets?secretId=a"
    answer = sandbox.http().post(url, json={**AUTOMATIC, name: value})
    said = f"the field {name} of secretmanager.projects.secrets.create is not simulated."
    assert message(answer) == (501, said)
    assert sandbox.cloud.state()["secrets"] == []


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
        sandbox.cloud[Iam].grant(f"projects/{PROJECT}", role, member, condition)
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
