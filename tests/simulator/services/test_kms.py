"""Cloud KMS: rings, keys and versions, and what can be read when."""

from __future__ import annotations

import base64
from typing import Any

import google_crc32c
import pytest
import requests

from simulator.iam.decisions import Iam
from simulator.services.serviceusage import Services
from tests.simulator.support.service import LOCATION, PROJECT, Sandbox, email

API = "https://cloudkms.googleapis.com/v1"
RING = f"{LOCATION}/keyRings/state"
KEY = f"{RING}/cryptoKeys/pulumi"
DAY = 86_400


@pytest.fixture(autouse=True)
def kms(sandbox: Sandbox) -> None:
    sandbox.cloud[Services].seed(PROJECT, ["cloudkms.googleapis.com"])
    made = sandbox.http().post(f"{API}/{LOCATION}/keyRings?keyRingId=state")
    assert made.json()["name"] == RING


def make_key(sandbox: Sandbox, **fields: Any) -> dict[str, Any]:
    url = f"{API}/{RING}/cryptoKeys?cryptoKeyId=pulumi"
    answer = sandbox.http().post(url, json={"purpose": "ENCRYPT_DECRYPT", **fields})
    made: dict[str, Any] = answer.json()
    assert answer.status_code == 200, made
    return made


def text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def encrypt(client: requests.Session, data: bytes = b"state", where: str = KEY) -> dict[str, Any]:
    found: dict[str, Any] = client.post(
        f"{API}/{where}:encrypt", json={"plaintext": text(data)}
    ).json()
    return found


def decrypt(client: requests.Session, ciphertext: str, **fields: str) -> requests.Response:
    return client.post(f"{API}/{KEY}:decrypt", json={"ciphertext": ciphertext, **fields})


def message(answer: requests.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["message"]


def test_a_key_comes_with_a_version_that_encrypts(sandbox: Sandbox) -> None:
    made = make_key(sandbox, labels={"env": "prod"})
    assert made["name"] == KEY
    assert made["primary"]["name"] == f"{KEY}/cryptoKeyVersions/1"
    assert (made["primary"]["state"], made["labels"]) == ("ENABLED", {"env": "prod"})
    assert sandbox.http().get(f"{API}/{KEY}").json() == made
    listed = sandbox.http().get(f"{API}/{RING}/cryptoKeys").json()
    assert listed == {"cryptoKeys": [made], "totalSize": 1}
    rings = sandbox.http().get(f"{API}/{LOCATION}/keyRings").json()
    assert [ring["name"] for ring in rings["keyRings"]] == [RING]


def test_what_is_encrypted_can_be_read_with_the_key_and_not_otherwise(sandbox: Sandbox) -> None:
    make_key(sandbox)
    client = sandbox.http()
    sealed = encrypt(client)
    assert b"state" not in base64.b64decode(sealed["ciphertext"])
    assert sealed["ciphertext"] != encrypt(client)["ciphertext"]
    opened = decrypt(client, sealed["ciphertext"]).json()
    assert base64.b64decode(opened["plaintext"]) == b"state"
    assert int(opened["plaintextCrc32c"]) == google_crc32c.value(b"state")
    *start, last = base64.b64decode(sealed["ciphertext"])
    broken = text(bytes([*start, last ^ 1]))
    other = decrypt(client, sealed["ciphertext"], additionalAuthenticatedData=text(b"x"))
    for answer in (decrypt(client, broken), other, decrypt(client, text(b"nothing"))):
        assert message(answer) == (400, "Decryption failed: the ciphertext is invalid.")


def test_what_is_sealed_to_a_context_opens_in_that_context_only(sandbox: Sandbox) -> None:
    make_key(sandbox)
    client = sandbox.http()
    body = {"plaintext": text(b"state"), "additionalAuthenticatedData": text(b"prod")}
    sealed = client.post(f"{API}/{KEY}:encrypt", json=body).json()["ciphertext"]
    assert decrypt(client, sealed, additionalAuthenticatedData=text(b"prod")).status_code == 200
    assert decrypt(client, sealed).status_code == 400


def test_data_that_was_damaged_on_the_way_is_refused(sandbox: Sandbox) -> None:
    make_key(sandbox)
    body = {"plaintext": text(b"state"), "plaintextCrc32c": str(google_crc32c.value(b"state"))}
    answer = sandbox.http().post(f"{API}/{KEY}:encrypt", json=body).json()
    assert answer["verifiedPlaintextCrc32c"] is True
    body["plaintextCrc32c"] = "1"
    refused = sandbox.http().post(f"{API}/{KEY}:encrypt", json=body)
    assert (refused.status_code, "checksum" in refused.text) == (400, True)


def test_a_key_turns_on_the_clock_and_still_reads_what_it_wrote(sandbox: Sandbox) -> None:
    clock = sandbox.cloud.clock
    first = clock.rfc3339(clock.now() + DAY)
    make_key(sandbox, rotationPeriod=f"{2 * DAY}s", nextRotationTime=first)
    client = sandbox.http()
    sealed = encrypt(client)["ciphertext"]
    clock.step(DAY - 1)
    assert sandbox.http().get(f"{API}/{KEY}").json()["primary"]["name"].endswith("/1")
    clock.step(1 + 2 * DAY)
    client = sandbox.http()
    key = client.get(f"{API}/{KEY}").json()
    assert key["primary"]["name"] == f"{KEY}/cryptoKeyVersions/3"
    assert key["nextRotationTime"] == clock.rfc3339(clock.now() + 2 * DAY)
    assert encrypt(client)["name"] == f"{KEY}/cryptoKeyVersions/3"
    opened = decrypt(client, sealed).json()
    assert (base64.b64decode(opened["plaintext"]), opened.get("usedPrimary")) == (b"state", False)


def test_rotation_is_taken_off_as_the_provider_does_at_the_end(sandbox: Sandbox) -> None:
    due = sandbox.cloud.clock.rfc3339(sandbox.cloud.clock.now() + DAY)
    make_key(sandbox, rotationPeriod=f"{DAY}s", nextRotationTime=due)
    mask = "rotationPeriod,nextRotationTime"
    changed = sandbox.http().patch(f"{API}/{KEY}?updateMask={mask}", json={}).json()
    assert "rotationPeriod" not in changed and "nextRotationTime" not in changed
    sandbox.cloud.clock.step(2 * DAY)
    assert sandbox.http().get(f"{API}/{KEY}").json()["primary"]["name"].endswith("/1")


def test_a_version_is_restored_until_it_is_really_destroyed(sandbox: Sandbox) -> None:
    make_key(sandbox, destroyScheduledDuration=f"{2 * DAY}s")
    version, client = f"{KEY}/cryptoKeyVersions/1", sandbox.http()
    sealed = encrypt(client)["ciphertext"]
    destroyed = client.post(f"{API}/{version}:destroy", json={}).json()
    assert destroyed["state"] == "DESTROY_SCHEDULED"
    now = sandbox.cloud.clock.now()
    assert destroyed["destroyTime"] == sandbox.cloud.clock.rfc3339(now + 2 * DAY)
    unusable = f"{version} is not enabled, current state is: DESTROY_SCHEDULED."
    assert message(decrypt(client, sealed)) == (400, unusable)
    assert client.post(f"{API}/{version}:restore", json={}).json()["state"] == "DISABLED"
    enabled = client.patch(f"{API}/{version}?updateMask=state", json={"state": "ENABLED"})
    assert enabled.json()["state"] == "ENABLED"
    assert decrypt(client, sealed).status_code == 200

    client.post(f"{API}/{version}:destroy", json={})
    sandbox.cloud.clock.step(2 * DAY)
    client = sandbox.http()
    [left] = client.get(f"{API}/{KEY}/cryptoKeyVersions").json()["cryptoKeyVersions"]
    assert left["state"] == "DESTROYED"
    assert client.post(f"{API}/{version}:restore", json={}).status_code == 400
    assert decrypt(client, sealed).status_code == 400


def test_what_outlives_a_stack_is_listed_apart_from_what_can_still_be_used(
    sandbox: Sandbox,
) -> None:
    make_key(sandbox)
    version = f"{KEY}/cryptoKeyVersions/1"
    assert sandbox.cloud.state()["cryptoKeyVersions"] == [version]
    sandbox.http().post(f"{API}/{version}:destroy", json={})
    state = sandbox.cloud.state()
    kinds = ("keyRings", "cryptoKeys", "cryptoKeyVersions")
    assert [state[kind] for kind in kinds] == [[RING], [KEY], []]


def test_a_grant_on_the_key_is_enough_to_use_it_and_for_nothing_else(sandbox: Sandbox) -> None:
    make_key(sandbox)
    client = sandbox.http("serving")
    assert "useToEncrypt' denied" in client.post(f"{API}/{KEY}:encrypt", json={}).text
    binding = {
        "role": "roles/cloudkms.cryptoKeyEncrypterDecrypter",
        "members": [f"serviceAccount:{email('serving')}"],
    }
    policy = sandbox.http().get(f"{API}/{KEY}:getIamPolicy").json()
    policy["bindings"] = [binding]
    stored = sandbox.http().post(f"{API}/{KEY}:setIamPolicy", json={"policy": policy}).json()
    assert stored["bindings"] == [binding]
    assert decrypt(client, encrypt(client)["ciphertext"]).status_code == 200
    assert client.get(f"{API}/{KEY}").status_code == 403
    wanted = {"permissions": ["cloudkms.cryptoKeyVersions.useToDecrypt", "cloudkms.cryptoKeys.get"]}
    tested = client.post(f"{API}/{KEY}:testIamPermissions", json=wanted).json()
    assert tested == {"permissions": wanted["permissions"][:1]}


def test_a_condition_on_a_key_tells_it_from_its_neighbour(sandbox: Sandbox) -> None:
    make_key(sandbox)
    condition = {"title": "t", "expression": f"resource.name == '{KEY}'"}
    role = "roles/cloudkms.cryptoKeyEncrypter"
    member = f"serviceAccount:{email('serving')}"
    sandbox.cloud[Iam].grant(f"projects/{PROJECT}", role, member, condition)
    assert "ciphertext" in encrypt(sandbox.http("serving"))
    sandbox.http().post(
        f"{API}/{RING}/cryptoKeys?cryptoKeyId=other", json={"purpose": "ENCRYPT_DECRYPT"}
    )
    assert "error" in encrypt(sandbox.http("serving"), where=f"{RING}/cryptoKeys/other")


def listed(sandbox: Sandbox, path: str, field: str, **params: str) -> list[str]:
    """The last parts of the names in an answer that has no total, as one to a filter."""
    answer = sandbox.http().get(f"{API}/{path}", params=params).json()
    assert ("totalSize" in answer) == ("filter" not in params), answer
    return [item["name"].rpartition("/")[2] for item in answer.get(field, ())]


def test_rings_keys_and_versions_are_listed_by_a_filter_and_in_order(sandbox: Sandbox) -> None:
    """docs kms/docs/sorting-and-filtering."""
    client = sandbox.http()
    for ring in ("other", "State"):
        client.post(f"{API}/{LOCATION}/keyRings?keyRingId={ring}")
    make_key(sandbox, labels={"team": "iot"})
    url = f"{API}/{RING}/cryptoKeys?cryptoKeyId=archive"
    client.post(url, json={"purpose": "ENCRYPT_DECRYPT", "labels": {"team": "legal"}})
    client.post(f"{API}/{KEY}/cryptoKeyVersions", json={})
    client.patch(f"{API}/{KEY}/cryptoKeyVersions/1?updateMask=state", json={"state": "DISABLED"})

    rings, keys = f"{LOCATION}/keyRings", f"{RING}/cryptoKeys"
    assert listed(sandbox, rings, "keyRings", filter="name:state") == ["State", "state"]
    assert listed(sandbox, rings, "keyRings", filter=f"name={RING}") == ["state"]
    assert listed(sandbox, rings, "keyRings", filter="-name:STATE") == ["other"]
    assert listed(sandbox, rings, "keyRings", orderBy="name desc") == ["state", "other", "State"]
    assert listed(sandbox, keys, "cryptoKeys", filter="labels.team=iot") == ["pulumi"]
    assert listed(sandbox, keys, "cryptoKeys", filter="primary.state=DISABLED") == ["pulumi"]
    software = "primary.protection_level=SOFTWARE name:archive"
    assert listed(sandbox, keys, "cryptoKeys", filter=software) == ["archive"]
    versions = f"{KEY}/cryptoKeyVersions"
    assert listed(sandbox, versions, "cryptoKeyVersions", filter="state=ENABLED") == ["2"]
    assert client.get(f"{API}/{keys}", params={"orderBy": "createTime"}).status_code == 501


def test_pages_of_an_ordered_list_follow_each_other(sandbox: Sandbox) -> None:
    client = sandbox.http()
    for ring in ("a", "b", "c"):
        client.post(f"{API}/{LOCATION}/keyRings?keyRingId={ring}")
    query = {"orderBy": "name desc", "filter": "NOT name:state", "pageSize": "2"}
    first = client.get(f"{API}/{LOCATION}/keyRings", params=query).json()
    query["pageToken"] = first["nextPageToken"]
    second = client.get(f"{API}/{LOCATION}/keyRings", params=query).json()
    names = [item["name"][-1] for answer in (first, second) for item in answer["keyRings"]]
    assert names == ["c", "b", "a"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("importOnly", True),
        ("cryptoKeyBackend", "projects/p/locations/l/ekmConnections/e"),
        ("versionTemplate", {"protectionLevel": "EXTERNAL", "algorithm": 1}),
        # Empty, it denies every access.
        ("keyAccessJustificationsPolicy", {}),
        ("keyAccessJustificationsPolicy", {"allowedAccessReasons": ["CUSTOMER_INITIATED_SUPPORT"]}),
    ],
)
def test_a_kind_of_key_that_is_not_simulated_is_refused(
    sandbox: Sandbox, field: str, value: Any
) -> None:
    url = f"{API}/{RING}/cryptoKeys?cryptoKeyId=pulumi"
    answer = sandbox.http().post(url, json={"purpose": "ENCRYPT_DECRYPT", field: value})
    assert (answer.status_code, "is not simulated" in answer.text) == (501, True)
    assert sandbox.cloud.state()["cryptoKeys"] == []


def test_a_mask_reaches_into_a_key(sandbox: Sandbox) -> None:
    make_key(sandbox, labels={"env": "prod", "team": "iot"})
    body = {"labels": {"env": "staging"}}
    changed = sandbox.http().patch(f"{API}/{KEY}?updateMask=labels.env", json=body).json()
    assert changed["labels"] == {"env": "staging", "team": "iot"}
    refused = sandbox.http().patch(f"{API}/{KEY}?updateMask=importOnly", json=body)
    assert refused.status_code == 501


@pytest.mark.parametrize(
    ("path", "body", "status", "text"),
    [
        ("cryptoKeys?cryptoKeyId=a.b", {"purpose": "ENCRYPT_DECRYPT"}, 400, "CryptoKey ID"),
        ("cryptoKeys?cryptoKeyId=a", {}, 400, "purpose"),
        ("cryptoKeys?cryptoKeyId=a", {"purpose": "ASYMMETRIC_SIGN"}, 501, "not simulated"),
        (
            "cryptoKeys?cryptoKeyId=a",
            {"purpose": "ENCRYPT_DECRYPT", "rotationPeriod": "86400s"},
            400,
            "next_rotation_time",
        ),
        (
            "cryptoKeys?cryptoKeyId=a",
            {"purpose": "ENCRYPT_DECRYPT", "rotationPeriod": "1s"},
            400,
            "a day",
        ),
    ],
)
def test_a_key_google_would_refuse(
    sandbox: Sandbox, path: str, body: dict[str, Any], status: int, text: str
) -> None:
    answer = sandbox.http().post(f"{API}/{RING}/{path}", json=body)
    assert answer.status_code == status
    assert text in answer.json()["error"]["message"]


def test_what_is_not_there_is_not_found(sandbox: Sandbox) -> None:
    client = sandbox.http()
    for name, said in (
        (f"{LOCATION}/keyRings/no", "KeyRing"),
        (f"{RING}/cryptoKeys/no", "CryptoKey"),
    ):
        assert message(client.get(f"{API}/{name}")) == (404, f"{said} {name} not found.")
