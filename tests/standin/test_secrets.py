"""Secrets, keys of service accounts, encryption keys: what is sent once, and what never goes."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from pulumi_plugin.kinds import Context, PartialFailure, ProviderError
from pulumi_plugin.values import Props
from tests.standin.support import DENIED, Scripted, configured, read

SECRET = "gcp:secretmanager/secret:Secret"
VERSION = "gcp:secretmanager/secretVersion:SecretVersion"
ACCOUNT_KEY = "gcp:serviceaccount/key:Key"
RING, KEY = "gcp:kms/keyRing:KeyRing", "gcp:kms/cryptoKey:CryptoKey"

SECRETS, PATH = "/v1/projects/p/secrets", "/v1/projects/p/secrets/s"
LABELS = {"goog-pulumi-provisioned": "true"}
AUTO: Props = {"secretId": "s", "replication": {"auto": {"__defaults": []}}}
ID, VERSION_PATH = "projects/p/secrets/s/versions/3", f"{PATH}/versions/3"
DATA: Props = {"secret": "projects/p/secrets/s", "secretData": "pw", "enabled": True}
NOT_FOUND = (404, {"error": {"code": 404, "message": "Not found."}})


def secret(**other: Any) -> Props:
    """A secret as Google describes it."""
    shown = {"name": PATH[4:], "replication": {"automatic": {}}, "labels": LABELS}
    return {**shown, **other}


@pytest.mark.parametrize(
    ("replication", "sent"),
    [
        ({"auto": {}}, {"automatic": {}}),
        (
            {"auto": {"customerManagedEncryption": {"kmsKeyName": "k"}}},
            {"automatic": {"customerManagedEncryption": {"kmsKeyName": "k"}}},
        ),
        (
            {"userManaged": {"replicas": [{"location": "a"}, {"location": "b"}]}},
            {
                "automatic": None,
                "userManaged": {"replicas": [{"location": "a"}, {"location": "b"}]},
            },
        ),
    ],
)
def test_a_secret_says_where_it_is_kept(replication: Props, sent: Props) -> None:
    shown = {key: value for key, value in sent.items() if value is not None}
    api = Scripted({f"POST {SECRETS}": {}, f"GET {PATH}": secret(replication=shown)})
    gcp, _ = configured(api)
    kind, inputs = gcp.kind(SECRET), {"secretId": "s", "replication": replication}
    id, outputs = kind.create(inputs, Context())
    assert api.bodies(f"POST {SECRETS}") == [{"replication": sent, "labels": LABELS}]
    assert api.exchanges[0]["query"]["secretId"] == "s"
    found = read(gcp, SECRET, id, inputs, outputs)
    assert kind.diff(id, found.inputs, found.outputs, inputs).updates == ()


def test_a_secret_is_kept_in_one_way() -> None:
    gcp, _ = configured(Scripted({}))
    for replication in ({}, {"auto": {}, "userManaged": {"replicas": [{"location": "r"}]}}):
        _, failures = gcp.kind(SECRET).check({"replication": replication}, {}, Context(name="x"))
        named = [failure.property for failure in failures]
        assert named == ["replication.userManaged", "replication.auto"]


def test_another_key_for_a_secret_is_an_update_another_place_is_a_new_secret() -> None:
    def kept(key: str) -> Props:
        return {"auto": {"customerManagedEncryption": {"kmsKeyName": key}}}

    api = Scripted({f"GET {PATH}": secret(), f"PATCH {PATH}": {}})
    gcp, _ = configured(api)
    kind, old = gcp.kind(SECRET), {**AUTO, "replication": kept("one")}
    state = {**old, "project": "p", "effectiveLabels": LABELS, "pulumiLabels": LABELS}
    new = {**AUTO, "replication": kept("two")}
    change = kind.diff("s", old, state, new)
    assert (change.updates, change.replaces) == (("replication",), ())
    kind.update("projects/p/secrets/s", old, state, new, Context())
    patch = api.exchanges[0]
    assert patch["query"]["updateMask"] == "replication"
    encryption = {"customerManagedEncryption": {"kmsKeyName": "two"}}
    assert patch["body"]["replication"] == {"automatic": encryption}
    elsewhere = {**AUTO, "replication": {"userManaged": {"replicas": [{"location": "a"}]}}}
    assert kind.diff("s", old, state, elsewhere).replaces == ("replication",)


def test_annotations_of_others_stay() -> None:
    now = secret(annotations={"mine": "1", "theirs": "2"})
    api = Scripted({f"GET {PATH}": now, f"PATCH {PATH}": {}})
    gcp, _ = configured(api)
    kind, inputs = gcp.kind(SECRET), {**AUTO, "annotations": {"mine": "1"}}
    found = read(gcp, SECRET, "projects/p/secrets/s", inputs)
    assert found.inputs == inputs
    assert found.outputs["effectiveAnnotations"] == {"mine": "1", "theirs": "2"}
    new = {**AUTO, "annotations": {"other": "3"}}
    assert kind.diff(found.id, inputs, found.outputs, new).updates == ("annotations",)
    kind.update(found.id, inputs, found.outputs, new, Context())
    body = api.bodies(f"PATCH {PATH}")[0]
    assert body["annotations"] == {"theirs": "2", "other": "3"}


def test_what_google_does_not_show_of_a_secret_is_no_drift() -> None:
    gcp, _ = configured(Scripted({f"GET {PATH}": secret(expireTime="2030-01-01T00:00:00Z")}))
    inputs = {**AUTO, "ttl": "3600s", "tags": {"tagKeys/1": "tagValues/2"}}
    found = read(gcp, SECRET, "projects/p/secrets/s", inputs, {"ttl": "3600s"})
    assert found.outputs["ttl"] == "3600s" and found.inputs == inputs
    assert gcp.kind(SECRET).diff(found.id, found.inputs, found.outputs, inputs).updates == ()


def test_a_protected_secret_is_not_deleted() -> None:
    gcp, _ = configured(Scripted({}))
    with pytest.raises(ProviderError, match="deletionProtection=false"):
        gcp.kind(SECRET).delete("s", AUTO, {"deletionProtection": True}, Context())


def version(state: str = "ENABLED") -> Props:
    return {"name": ID, "state": state, "createTime": "2026-01-01T00:00:00Z"}


@pytest.mark.parametrize(
    ("inputs", "data", "verb"),
    [
        (DATA, "cHc=", "enable"),
        ({**DATA, "secretData": "cHc=", "isSecretDataBase64": True}, "cHc=", "enable"),
        ({**DATA, "enabled": False}, "cHc=", "disable"),
        ({"secret": DATA["secret"], "enabled": True, "secretDataWo": "pw"}, "cHc=", "enable"),
    ],
)
def test_a_version_is_added_then_enabled_and_what_it_holds_is_only_in_the_state(
    inputs: Props, data: str, verb: str
) -> None:
    state = "ENABLED" if verb == "enable" else "DISABLED"
    api = Scripted(
        {
            f"POST {PATH}:addVersion": version(),
            f"POST {VERSION_PATH}:{verb}": {},
            f"GET {VERSION_PATH}": version(state),
        }
    )
    gcp, _ = configured(api)
    id, outputs = gcp.kind(VERSION).create(inputs, Context())
    assert api.bodies(f"POST {PATH}:addVersion") == [{"payload": {"data": data}}]
    assert (id, outputs["version"], outputs["enabled"]) == (ID, "3", verb == "enable")
    assert outputs["secretData"] == inputs.get("secretData")
    assert outputs["secretDataWo"] is None
    found = read(gcp, VERSION, id, inputs, outputs)
    assert (found.outputs, found.inputs) == (outputs, inputs)
    assert gcp.kind(VERSION).secrets == ("secretData", "secretDataWo")


def test_a_version_that_cannot_be_enabled_is_kept_in_the_state() -> None:
    gcp, _ = configured(
        Scripted(
            {f"POST {PATH}:addVersion": version(), f"POST {VERSION_PATH}:enable": (403, DENIED)}
        )
    )
    with pytest.raises(PartialFailure, match="Error 403") as raised:
        gcp.kind(VERSION).create(DATA, Context())
    assert raised.value.id == ID and raised.value.outputs["secretData"] == "pw"


def test_a_version_is_turned_off_in_place_and_replaced_for_other_data() -> None:
    api = Scripted({f"POST {VERSION_PATH}:disable": {}, f"GET {VERSION_PATH}": version("DISABLED")})
    gcp, _ = configured(api)
    kind, state = gcp.kind(VERSION), {**DATA, "name": ID, "version": "3"}
    assert kind.diff(ID, DATA, state, {**DATA, "secretData": "new"}).replaces == ("secretData",)
    off = {**DATA, "enabled": False}
    assert kind.diff(ID, DATA, state, off).updates == ("enabled",)
    assert kind.update(ID, DATA, state, off, Context())["enabled"] is False
    assert api.sent() == [f"POST {VERSION_PATH}:disable", f"GET {VERSION_PATH}"]
    written = {**DATA, "secretData": None, "secretDataWo": "pw", "secretDataWoVersion": 1}
    other = kind.diff(
        ID, written, {**written, "secretDataWo": None}, written | {"secretDataWo": "x"}
    )
    assert (other.updates, other.replaces) == ((), ())
    again = {**written, "secretDataWoVersion": 2}
    assert kind.diff(ID, written, written, again).replaces == ("secretDataWoVersion",)


@pytest.mark.parametrize("answer", [version("DESTROYED"), NOT_FOUND])
def test_a_destroyed_version_is_gone(answer: Any) -> None:
    gcp, _ = configured(Scripted({f"GET {VERSION_PATH}": answer}))
    assert gcp.kind(VERSION).read(ID, DATA, DATA, Context()) is None


@pytest.mark.parametrize(
    ("policy", "sent"),
    [
        ("DELETE", [f"POST {VERSION_PATH}:destroy"]),
        ("DISABLE", [f"POST {VERSION_PATH}:disable"]),
        ("ABANDON", []),
    ],
)
def test_a_version_goes_as_its_policy_says(policy: str, sent: list[str]) -> None:
    api = Scripted({where: NOT_FOUND for where in sent})
    gcp, _ = configured(api)
    gcp.kind(VERSION).delete(ID, DATA, {**DATA, "deletionPolicy": policy}, Context())
    assert api.sent() == sent


ACCOUNT = "projects/p/serviceAccounts/a@p.iam.gserviceaccount.com"
KEY_ID = f"{ACCOUNT}/keys/k1"
KEY_INPUTS: Props = {
    "serviceAccountId": ACCOUNT,
    "keyAlgorithm": "KEY_ALG_RSA_2048",
    "privateKeyType": "TYPE_GOOGLE_CREDENTIALS_FILE",
    "publicKeyType": "TYPE_X509_PEM_FILE",
}
PUBLIC: Props = {"name": KEY_ID, "keyAlgorithm": "KEY_ALG_RSA_2048", "publicKeyData": "pem"}
PRIVATE: Props = {**PUBLIC, "privateKeyData": "json", "validAfterTime": "a", "validBeforeTime": "b"}


def test_the_private_half_of_a_key_is_seen_once_and_kept() -> None:
    where = f"GET /v1/{KEY_ID}"
    api = Scripted({f"POST /v1/{ACCOUNT}/keys": PRIVATE, where: [NOT_FOUND, PUBLIC]})
    gcp, slept = configured(api)
    kind = gcp.kind(ACCOUNT_KEY)
    id, outputs = kind.create(KEY_INPUTS, Context())
    assert slept == [1.0] and api.sent().count(where) == 3
    assert api.exchanges[1]["query"]["publicKeyType"] == "TYPE_X509_PEM_FILE"
    once = {"privateKey": "json", "validAfter": "a", "validBefore": "b"}
    assert (id, {**outputs, **once}) == (KEY_ID, outputs)
    found = read(gcp, ACCOUNT_KEY, id, KEY_INPUTS, outputs)
    assert {**found.outputs, **once} == found.outputs and found.inputs == KEY_INPUTS
    assert kind.secrets == ("privateKey",)


@pytest.mark.parametrize("status", [403, 404])
def test_a_key_that_iam_denies_or_lacks_is_gone(status: int) -> None:
    gone = (status, {"error": {"code": status, "message": "No."}})
    gcp, _ = configured(Scripted({f"GET /v1/{KEY_ID}": gone, f"DELETE /v1/{KEY_ID}": gone}))
    kind = gcp.kind(ACCOUNT_KEY)
    assert kind.read(KEY_ID, KEY_INPUTS, KEY_INPUTS, Context()) is None
    kind.delete(KEY_ID, KEY_INPUTS, KEY_INPUTS, Context())


def test_another_keeper_is_another_key_and_no_key_is_imported() -> None:
    gcp, _ = configured(Scripted({}))
    kind = gcp.kind(ACCOUNT_KEY)
    state = {**KEY_INPUTS, "keepers": None, "deletionPolicy": "DELETE"}
    rotated = {**KEY_INPUTS, "keepers": {"month": "may"}}
    assert kind.diff(KEY_ID, KEY_INPUTS, state, rotated).replaces == ("keepers",)
    with pytest.raises(ProviderError, match="cannot be imported"):
        kind.read(KEY_ID, {}, {}, Context())


def test_a_key_of_ones_own_is_uploaded_to_an_account_by_its_short_name() -> None:
    path = "/v1/projects/-/serviceAccounts/a@p.iam.gserviceaccount.com/keys:upload"
    api = Scripted({f"POST {path}": PUBLIC, f"GET /v1/{KEY_ID}": PUBLIC})
    gcp, _ = configured(api)
    inputs = {**KEY_INPUTS, "serviceAccountId": "a", "publicKeyData": "cGVt"}
    gcp.kind(ACCOUNT_KEY).create(inputs, Context())
    assert api.bodies(f"POST {path}") == [{"publicKeyData": "cGVt"}]


RING_ID = "projects/p/locations/r/keyRings/ring"
CRYPTO_KEY_ID = f"{RING_ID}/cryptoKeys/key"
CRYPTO_KEY: Props = {
    "name": "key",
    "keyRing": RING_ID,
    "purpose": "ENCRYPT_DECRYPT",
    "rotationPeriod": "7776000s",
}


def crypto_key(**other: Any) -> Props:
    shown = {"name": CRYPTO_KEY_ID, "purpose": "ENCRYPT_DECRYPT", "labels": LABELS}
    return {**shown, "rotationPeriod": "7776000s", **other}


def test_a_key_ring_is_never_deleted() -> None:
    api = Scripted({"POST /v1/projects/p/locations/r/keyRings": {}, f"GET /v1/{RING_ID}": {}})
    gcp, _ = configured(api)
    kind, inputs = gcp.kind(RING), {"name": "ring", "location": "r"}
    id, outputs = kind.create(inputs, Context())
    assert (id, outputs) == (RING_ID, {**inputs, "project": "p"})
    assert api.exchanges[0]["query"]["keyRingId"] == "ring"
    assert api.exchanges[0]["body"] is None
    kind.delete(id, inputs, outputs, Context())
    assert [exchange["method"] for exchange in api.exchanges] == ["POST", "GET"]
    found = read(gcp, RING, RING_ID, {})
    assert found.inputs == {"__defaults": [], "name": "ring", "location": "r", "project": "p"}


def test_destroying_a_key_destroys_its_versions_and_stops_the_rotation() -> None:
    def state(name: str) -> Props:
        return {"name": f"{CRYPTO_KEY_ID}/cryptoKeyVersions/{name}", "state": name}

    versions = [state(name) for name in ("ENABLED", "DISABLED", "DESTROYED", "DESTROY_SCHEDULED")]
    path = f"/v1/{CRYPTO_KEY_ID}"
    destroys = [f"POST {path}/cryptoKeyVersions/{name}:destroy" for name in ("ENABLED", "DISABLED")]
    api = Scripted(
        {
            f"GET {path}/cryptoKeyVersions": {"cryptoKeyVersions": versions},
            f"PATCH {path}": {},
            **{where: {} for where in destroys},
        }
    )
    gcp, _ = configured(api)
    kind = gcp.kind(KEY)
    kind.delete(CRYPTO_KEY_ID, CRYPTO_KEY, {**CRYPTO_KEY, "deletionPolicy": "DELETE"}, Context())
    assert api.sent() == [f"GET {path}/cryptoKeyVersions", *destroys, f"PATCH {path}"]
    assert api.exchanges[-1]["body"] == {}
    api.exchanges.clear()
    kind.delete(CRYPTO_KEY_ID, CRYPTO_KEY, {**CRYPTO_KEY, "deletionPolicy": "ABANDON"}, Context())
    assert api.sent() == []


def test_a_key_rotates_first_when_a_period_has_passed() -> None:
    path = f"/v1/{CRYPTO_KEY_ID}"
    api = Scripted({f"GET {path}": crypto_key(), f"PATCH {path}": {}})
    gcp, _ = configured(api)
    kind, found = gcp.kind(KEY), read(gcp, KEY, CRYPTO_KEY_ID, CRYPTO_KEY)
    before = datetime.datetime.now(datetime.UTC)
    new = {**CRYPTO_KEY, "rotationPeriod": "86401s"}
    kind.update(CRYPTO_KEY_ID, CRYPTO_KEY, found.outputs, new, Context())
    patch = next(exchange for exchange in api.exchanges if exchange["method"] == "PATCH")
    assert patch["query"]["updateMask"] == "rotationPeriod,nextRotationTime"
    first = datetime.datetime.fromisoformat(patch["body"]["nextRotationTime"])
    assert 86400 < (first - before).total_seconds() < 86500
    labelled = {**CRYPTO_KEY, "labels": {"a": "b"}}
    kind.update(CRYPTO_KEY_ID, CRYPTO_KEY, found.outputs, labelled, Context())
    assert "nextRotationTime" not in api.bodies(f"PATCH {path}")[1]


def test_what_a_key_is_made_for_cannot_change_what_its_versions_are_made_with_can() -> None:
    template = {"algorithm": "GOOGLE_SYMMETRIC_ENCRYPTION", "protectionLevel": "SOFTWARE"}
    gcp, _ = configured(
        Scripted({f"GET /v1/{CRYPTO_KEY_ID}": crypto_key(versionTemplate=template)})
    )
    kind, old = gcp.kind(KEY), {**CRYPTO_KEY, "versionTemplate": template}
    found = read(gcp, KEY, CRYPTO_KEY_ID, old)
    assert found.inputs == old
    signs = {**old, "purpose": "ASYMMETRIC_SIGN"}
    assert kind.diff("k", old, found.outputs, signs).replaces == ("purpose",)
    other = {**old, "versionTemplate": {**template, "algorithm": "EXTERNAL"}}
    assert kind.diff("k", old, found.outputs, other).updates == ("versionTemplate",)
    hsm = {**old, "versionTemplate": {**template, "protectionLevel": "HSM"}}
    assert kind.diff("k", old, found.outputs, hsm).replaces == ("versionTemplate",)
    without = kind.diff("k", CRYPTO_KEY, found.outputs, CRYPTO_KEY)
    assert (without.updates, without.replaces) == ((), ())  # Google chose the template


def test_a_key_is_imported_by_its_whole_name() -> None:
    primary = {"name": f"{CRYPTO_KEY_ID}/cryptoKeyVersions/1", "state": "ENABLED"}
    gcp, _ = configured(Scripted({f"GET /v1/{CRYPTO_KEY_ID}": crypto_key(primary=primary)}))
    found = read(gcp, KEY, CRYPTO_KEY_ID, {})
    assert found.outputs["primaries"] == [primary]
    change = gcp.kind(KEY).diff(found.id, found.inputs, found.outputs, CRYPTO_KEY)
    assert (change.updates, change.replaces) == ((), ())
