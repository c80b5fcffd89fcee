"""How the stand-in makes, changes, reads and deletes resources."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from pulumi_plugin.kinds import Context, PartialFailure, ProviderError
from pulumi_plugin.values import UNKNOWN, Asset, Props
from tests.standin.support import (
    BUCKET,
    BUCKET_INPUTS,
    DENIED,
    ENDPOINT,
    ENDPOINT_INPUTS,
    ENDPOINTS,
    NO_REGION,
    Gathering,
    Scripted,
    configured,
    endpoint,
)

SERVICE = "gcp:projects/service:Service"
OBJECT = "gcp:storage/bucketObject:BucketObject"
SERVICES = "/v1/projects/p/services"
GRANT: Props = {"role": "roles/r", "member": "user:a@x.y"}


def bucket(**other: Any) -> Props:
    """A bucket as Google describes it."""
    return {"name": "b", "location": "R", "storageClass": "STANDARD", "projectNumber": "7", **other}


def test_services_of_one_project_are_enabled_in_one_call() -> None:
    enabled: list[str] = []

    def enable(exchange: Props) -> Props:
        enabled.extend(exchange["body"]["serviceIds"])
        return {"name": "operations/1"}

    def listing(_: Any) -> Props:
        return {"services": [{"name": f"projects/7/services/{name}"} for name in enabled]}

    api = Scripted(
        {
            f"GET {SERVICES}": listing,
            f"POST {SERVICES}:batchEnable": enable,
            "GET /v1/operations/1": [{"name": "operations/1"}, {"done": True}],
            "GET /v1/projects/p": {"projectId": "p"},
        }
    )
    gcp, slept = configured(api)
    gcp.provider.batcher = Gathering(lambda key: 3)
    names = [f"{name}.googleapis.com" for name in ("a", "b", "c")]
    with ThreadPoolExecutor(3) as pool:
        made = list(pool.map(lambda s: gcp.kind(SERVICE).create({"service": s}, Context()), names))
    assert [id for id, _ in made] == [f"p/{name}" for name in names]
    assert [sorted(body["serviceIds"]) for body in api.bodies(f"POST {SERVICES}:batchEnable")] == [
        names
    ]
    assert slept == [0.2, pytest.approx(0.3)]  # while the operation was not done


def test_a_service_that_is_on_is_not_enabled_again_and_pages_are_followed() -> None:
    pages = [
        {"services": [{"name": "projects/7/services/x.googleapis.com"}], "nextPageToken": "2"},
        {"services": [{"name": "projects/7/services/a.googleapis.com"}]},
    ]
    api = Scripted({f"GET {SERVICES}": pages})
    gcp, _ = configured(api)
    gcp.kind(SERVICE).create({"service": "a.googleapis.com"}, Context())
    assert api.sent() == [f"GET {SERVICES}"] * 2
    assert api.exchanges[1]["query"]["pageToken"] == "2"


def test_a_service_is_turned_off_only_when_the_program_says_so() -> None:
    api = Scripted({f"POST {SERVICES}/a.googleapis.com:disable": {"done": True}})
    gcp, _ = configured(api)
    kind, inputs = gcp.kind(SERVICE), {"service": "a.googleapis.com", "project": "p"}
    kind.delete("p/a.googleapis.com", inputs, {**inputs, "disableOnDestroy": False}, Context())
    assert api.sent() == []
    kind.delete("p/a.googleapis.com", inputs, {**inputs, "disableOnDestroy": True}, Context())
    assert len(api.sent()) == 1


def test_an_endpoint_is_waited_for_and_its_failure_is_googles_own_text() -> None:
    operation = {"name": f"{ENDPOINTS[9:]}/1/operations/5"}
    failed = {**operation, "done": True, "error": {"code": 9, "message": "No quota."}}
    api = Scripted(
        {
            f"POST {ENDPOINTS}": operation,
            f"GET {ENDPOINTS}/1/operations/5": [operation, failed],
        }
    )
    gcp, slept = configured(api)
    with pytest.raises(ProviderError) as raised:
        gcp.kind(ENDPOINT).create(ENDPOINT_INPUTS, Context())
    assert str(raised.value) == (
        "Error waiting to create Endpoint: Error waiting for Creating Endpoint: Error code 9, "
        "message: No quota."
    )
    assert api.exchanges[0]["host"] == "r-aiplatform.googleapis.com"
    assert len(slept) == 2


def test_an_endpoint_made_but_not_readable_stays_in_the_state() -> None:
    api = Scripted({f"POST {ENDPOINTS}": {"done": True}, f"GET {ENDPOINTS}/1": (403, DENIED)})
    gcp, _ = configured(api)
    with pytest.raises(PartialFailure) as raised:
        gcp.kind(ENDPOINT).create(ENDPOINT_INPUTS, Context())
    assert raised.value.id == "projects/p/locations/r/endpoints/1"
    assert raised.value.outputs["displayName"] == "pm"


def test_an_update_names_only_what_changed_and_sends_the_split_it_last_saw() -> None:
    answer = endpoint(trafficSplit={"5": 100}, labels={"team": "x"}, description="new")
    api = Scripted({f"PATCH {ENDPOINTS}/1": {}, f"GET {ENDPOINTS}/1": answer})
    gcp, _ = configured(api)
    kind, id = gcp.kind(ENDPOINT), "projects/p/locations/r/endpoints/1"
    found = kind.read(id, {**ENDPOINT_INPUTS, "description": "new"}, {}, Context())
    assert found is not None
    new = {**found.inputs, "description": "newer"}
    kind.update(id, found.inputs, found.outputs, new, Context())
    patch = next(e for e in api.exchanges if e["method"] == "PATCH")
    # `team` was set by someone else and stays; the label of the provider is missing and comes back.
    assert patch["query"]["updateMask"] == "description,labels"
    assert patch["body"] == {
        "displayName": "pm",
        "description": "newer",
        "trafficSplit": {"5": 100},
        "labels": {"team": "x", "goog-pulumi-provisioned": "true"},
    }


def test_a_change_of_the_providers_own_properties_sends_nothing() -> None:
    api = Scripted({})
    gcp, _ = configured(api)
    kind = gcp.kind(ENDPOINT)
    labels = {"goog-pulumi-provisioned": "true"}
    old = {
        **ENDPOINT_INPUTS,
        "project": "p",
        "region": "r",
        "effectiveLabels": labels,
        "pulumiLabels": labels,
        "deletionPolicy": "DELETE",
    }
    new = {**ENDPOINT_INPUTS, "deletionPolicy": "PREVENT"}
    change = kind.diff("1", ENDPOINT_INPUTS, old, new)
    assert (change.updates, change.replaces) == (("deletionPolicy",), ())
    after = kind.update("1", ENDPOINT_INPUTS, old, new, Context())
    assert after["deletionPolicy"] == "PREVENT"
    assert api.sent() == []
    with pytest.raises(ProviderError, match='deletionPolicy="DELETE"'):
        kind.delete("projects/p/locations/r/endpoints/1", new, after, Context())
    abandoned = {**after, "deletionPolicy": "ABANDON"}
    kind.delete("projects/p/locations/r/endpoints/1", new, abandoned, Context())
    assert api.sent() == []


def test_what_the_program_named_is_deleted_before_any_replacement_of_it() -> None:
    gcp, _ = configured(Scripted({}))
    kind, labels = gcp.kind(ENDPOINT), {"goog-pulumi-provisioned": "true"}
    old = {**ENDPOINT_INPUTS, "effectiveLabels": labels, "pulumiLabels": labels}
    named = {**ENDPOINT_INPUTS, "__defaults": []}
    renamed = kind.diff("1", ENDPOINT_INPUTS, old, {**named, "name": "2"})
    assert (renamed.replaces, renamed.delete_before_replace) == (("name",), True)
    moved = kind.diff("1", ENDPOINT_INPUTS, old, {**named, "network": "n"})
    assert (moved.replaces, moved.delete_before_replace) == (("network",), True)
    edited = kind.diff("1", ENDPOINT_INPUTS, old, {**named, "description": "d"})
    assert (edited.updates, edited.delete_before_replace) == (("description",), False)
    # A name that the plugin chose is replaced by another one, so nothing has to go first.
    left_open = {**ENDPOINT_INPUTS, "__defaults": ["name"], "network": "n"}
    assert not kind.diff("1", ENDPOINT_INPUTS, old, left_open).delete_before_replace


def test_a_part_that_cannot_change_and_an_unknown_place_replace() -> None:
    gcp, _ = configured(Scripted({}))
    kind, labels = gcp.kind(ENDPOINT), {"goog-pulumi-provisioned": "true"}
    old = {**ENDPOINT_INPUTS, "effectiveLabels": labels, "pulumiLabels": labels}
    link = {"enablePrivateServiceConnect": True}
    linked = {**ENDPOINT_INPUTS, "privateServiceConnectConfig": link}
    off = {**linked, "privateServiceConnectConfig": {"enablePrivateServiceConnect": False}}
    assert kind.diff("1", linked, {**old, **linked}, off).replaces == (
        "privateServiceConnectConfig",
    )
    unknown = kind.diff("1", ENDPOINT_INPUTS, old, {**ENDPOINT_INPUTS, "location": UNKNOWN})
    assert unknown.replaces == ("location",)


@pytest.mark.parametrize(
    ("token", "old", "changed", "first"),
    [
        ("gcp:projects/iAMMember:IAMMember", GRANT | {"project": "p"}, {"role": "roles/o"}, True),
        ("gcp:bigquery/table:Table", {"datasetId": "d", "tableId": "t"}, {"tableId": "u"}, True),
        (
            "gcp:secretmanager/secret:Secret",
            {"secretId": "s", "replication": {"auto": {}}, "__defaults": ["secretId"]},
            {"project": "q"},
            True,
        ),
        ("gcp:bigquery/dataset:Dataset", {"datasetId": "d"}, {"datasetId": "e"}, False),
        (
            "gcp:storage/bucketIAMMember:BucketIAMMember",
            GRANT | {"bucket": "b"},
            {"bucket": "c"},
            False,
        ),
        (
            "gcp:projects/iAMBinding:IAMBinding",
            {"project": "p", "role": "roles/r", "members": ["user:a@x.y"]},
            {"role": "roles/o"},
            False,
        ),
    ],
)
def test_some_types_are_always_deleted_first_and_some_never(
    token: str, old: Props, changed: Props, first: bool
) -> None:
    gcp, _ = configured(Scripted({}))
    inputs = {"__defaults": [], **old}
    change = gcp.kind(token).diff("1", inputs, old, inputs | changed)
    assert (change.replaces, change.delete_before_replace) == (tuple(changed), first)


def test_an_endpoint_that_is_gone_is_gone_and_deleting_it_again_is_fine() -> None:
    gone = (404, {"error": {"code": 404, "message": "Endpoint not found."}})
    api = Scripted({f"GET {ENDPOINTS}/1": gone, f"DELETE {ENDPOINTS}/1": gone})
    gcp, _ = configured(api)
    id = "projects/p/locations/r/endpoints/1"
    assert gcp.kind(ENDPOINT).read(id, ENDPOINT_INPUTS, {}, Context()) is None
    gcp.kind(ENDPOINT).delete(id, ENDPOINT_INPUTS, {}, Context())


def test_a_bucket_with_objects_is_deleted_with_them_or_not_at_all() -> None:
    versions = {"items": [{"name": "a/b", "generation": "1"}, {"name": "a/b", "generation": "2"}]}
    script: dict[str, Any] = {
        "GET /storage/v1/b/b/anywhereCaches/": (404, {"error": {"code": 404, "message": ""}}),
        "GET /storage/v1/b/b/o": [versions, {}],
        "DELETE /storage/v1/b/b/o/a%2Fb": {},
        "DELETE /storage/v1/b/b": {},
    }
    gcp, _ = configured(Scripted({**script, "GET /storage/v1/b/b/o": versions}))
    with pytest.raises(ProviderError, match="containing objects without `force_destroy`"):
        gcp.kind(BUCKET).delete("b", BUCKET_INPUTS, {"forceDestroy": False}, Context())
    api = Scripted(script)
    gcp, _ = configured(api)
    gcp.kind(BUCKET).delete("b", BUCKET_INPUTS, {"forceDestroy": True}, Context())
    deleted = [e for e in api.exchanges if e["path"].endswith("a%2Fb")]
    assert [exchange["query"]["generation"] for exchange in deleted] == ["1", "2"]
    assert api.sent()[-1] == "DELETE /storage/v1/b/b"


def test_a_bucket_whose_caches_nobody_may_list_is_deleted_only_when_it_is_empty() -> None:
    denied = (403, {"error": {"code": 403, "message": "no storage.anywhereCaches.list access"}})
    full = (
        409,
        {"error": {"code": 409, "message": "The bucket you tried to delete is not empty."}},
    )
    caches = {"GET /storage/v1/b/b/anywhereCaches/": denied}
    gcp, _ = configured(api := Scripted({**caches, "DELETE /storage/v1/b/b": full}))
    with pytest.raises(ProviderError, match="is not empty"):
        gcp.kind(BUCKET).delete("b", BUCKET_INPUTS, {"forceDestroy": True}, Context())
    assert "GET /storage/v1/b/b/o" not in api.sent()
    gcp, _ = configured(Scripted({**caches, "DELETE /storage/v1/b/b": {}}))
    gcp.kind(BUCKET).delete("b", BUCKET_INPUTS, {"forceDestroy": True}, Context())


def test_a_bucket_whose_objects_nobody_may_list_says_why_it_is_not_deleted() -> None:
    denied = (403, {"error": {"code": 403, "message": "no storage.objects.list access"}})
    full = (
        409,
        {"error": {"code": 409, "message": "The bucket you tried to delete is not empty."}},
    )
    script: dict[str, Any] = {
        "GET /storage/v1/b/b/anywhereCaches/": {},
        "GET /storage/v1/b/b/o": denied,
        "DELETE /storage/v1/b/b": full,
    }
    gcp, _ = configured(Scripted(script))
    said = "could not delete non-empty bucket due to error when listing contents: .*objects.list"
    with pytest.raises(ProviderError, match=said):
        gcp.kind(BUCKET).delete("b", BUCKET_INPUTS, {"forceDestroy": True}, Context())


def test_a_bucket_update_sends_the_changed_parts_and_nulls_removed_labels() -> None:
    now = bucket(labels={"goog-pulumi-provisioned": "true", "old": "x"})
    api = Scripted(
        {
            "GET /storage/v1/b/b": now,
            "PATCH /storage/v1/b/b": {},
            "GET /compute/beta/projects/7": {"name": "p"},
        }
    )
    gcp, _ = configured(api)
    kind, inputs = gcp.kind(BUCKET), {**BUCKET_INPUTS, "labels": {"old": "x"}}
    found = kind.read("b", inputs, {}, Context())
    assert found is not None and found.inputs == inputs
    rule = {
        "action": {"type": "Delete"},
        "condition": {"age": 0, "sendAgeIfZero": True, "withState": "ARCHIVED"},
    }
    new = {**BUCKET_INPUTS, "lifecycleRules": [rule], "versioning": {"enabled": True}}
    change = kind.diff("b", inputs, found.outputs, new)
    assert set(change.updates) == {"labels", "lifecycleRules", "versioning"}
    kind.update("b", inputs, found.outputs, new, Context())
    assert api.bodies("PATCH /storage/v1/b/b") == [
        {
            "versioning": {"enabled": True},
            "lifecycle": {
                "rule": [{"action": {"type": "Delete"}, "condition": {"isLive": False, "age": 0}}]
            },
            "labels": {"goog-pulumi-provisioned": "true", "old": None},
        }
    ]


def test_what_changed_outside_comes_back_as_inputs_on_refresh() -> None:
    now = bucket(storageClass="NEARLINE", versioning={"enabled": False})
    gcp, _ = configured(Scripted({"GET /storage/v1/b/b": now, "GET /compute/beta/projects/7": {}}))
    inputs = {**BUCKET_INPUTS, "versioning": {"__defaults": [], "enabled": True}}
    kind = gcp.kind(BUCKET)
    found = kind.read("b", inputs, {}, Context())
    assert found is not None
    assert found.inputs == {
        **BUCKET_INPUTS,
        "storageClass": "NEARLINE",
        "versioning": {"__defaults": [], "enabled": False},
    }
    change = kind.diff("b", found.inputs, found.outputs, inputs)
    assert set(change.updates) == {"storageClass", "versioning", "effectiveLabels"}


def test_a_bucket_is_imported_with_the_inputs_that_would_make_it() -> None:
    now = bucket(versioning={"enabled": True}, labels={"team": "x"})
    api = Scripted({"GET /storage/v1/b/b": now, "GET /compute/beta/projects/7": {"name": "p"}})
    gcp, _ = configured(api)
    found = gcp.kind(BUCKET).read("b", {}, {}, Context())
    assert found is not None
    assert found.inputs == {
        "__defaults": [],
        "name": "b",
        "project": "p",
        "location": "R",
        "storageClass": "STANDARD",
        "versioning": {"__defaults": [], "enabled": True},
        "labels": {"team": "x"},
    }


def test_a_bucket_without_a_name_is_named_after_the_resource_and_keeps_its_name() -> None:
    gcp, _ = configured(Scripted({}))
    kind, context = gcp.kind(BUCKET), Context(name="my-bucket", seed=b"seed")
    first, _ = kind.check({"location": "r"}, {}, context)
    assert first["name"].startswith("my-bucket-") and len(first["name"]) == 17
    assert first["__defaults"] == ["name", "storageClass"]
    again, _ = kind.check({"location": "r"}, first, Context(name="my-bucket", seed=b"other"))
    assert again == first


def test_a_property_that_would_not_be_sent_is_refused() -> None:
    gcp, _ = configured(Scripted({}))
    _, failures = gcp.kind(BUCKET).check({"location": "r", "website": {}}, {}, Context(name="x"))
    assert [failure.property for failure in failures] == ["website"]


def test_an_object_is_replaced_when_its_file_changes_and_mended_when_overwritten(
    tmp_path: Path,
) -> None:
    file = tmp_path / "model"
    file.write_bytes(b"\x00\x01")
    here = {"md5Hash": "G/UvT0edKY2TUQ8IXFHz9A==", "generation": "1", "name": "o"}
    upload = "POST /upload/storage/v1/b/b/o"
    api = Scripted({upload: {}, "GET /storage/v1/b/b/o/o": here})
    gcp, _ = configured(api)
    kind = gcp.kind(OBJECT)
    inputs = {
        "bucket": "b",
        "name": "o",
        "source": Asset(hash="1", path=str(file)),
        "kmsKeyName": "key",
    }
    id, outputs = kind.create(inputs, Context())
    assert id == "b-o"
    assert api.exchanges[0]["query"]["kmsKeyName"] == "key" and '"key"' not in api.bodies(upload)[0]
    assert "Content-Type: application/octet-stream\r\n\r\n\x00\x01\r\n" in api.bodies(upload)[0]

    same_content = {**inputs, "source": Asset(hash="1", path="/elsewhere")}
    assert kind.diff(id, inputs, outputs, same_content).updates == ()
    changed = {**inputs, "source": Asset(hash="2"), "__defaults": []}
    other = kind.diff(id, inputs, outputs, changed)
    assert (other.replaces, other.delete_before_replace) == (("source",), True)

    api.script["GET /storage/v1/b/b/o/o"].appendleft({**here, "md5Hash": "AAAA"})
    found = kind.read(id, inputs, outputs, Context())
    assert found is not None
    assert kind.diff(id, inputs, found.outputs, inputs).updates == ("detectMd5hash",)
    after = kind.update(id, inputs, found.outputs, inputs, Context())
    assert len(api.bodies(upload)) == 2
    assert kind.diff(id, inputs, after, inputs).updates == ()


def test_an_object_has_one_content() -> None:
    gcp, _ = configured(Scripted({}))
    for given in ({}, {"content": "x", "source": Asset(hash="1", text="x")}):
        _, failures = gcp.kind(OBJECT).check({"bucket": "b", **given}, {}, Context())
        assert [failure.property for failure in failures] == ["content", "source"]


def test_a_protected_table_is_not_deleted() -> None:
    gcp, _ = configured(Scripted({}))
    table = gcp.kind("gcp:bigquery/table:Table")
    with pytest.raises(ProviderError, match="deletionProtection=false"):
        table.delete("t", {}, {"deletionProtection": True}, Context())


def test_a_property_taken_out_of_the_program_is_cleared_unless_google_chooses_it() -> None:
    gcp, _ = configured(Scripted({}))
    kind, labels = gcp.kind(ENDPOINT), {"goog-pulumi-provisioned": "true"}
    state = {**ENDPOINT_INPUTS, "effectiveLabels": labels, "pulumiLabels": labels}
    split = {**ENDPOINT_INPUTS, "trafficSplit": '{"5":100}'}
    assert kind.diff("1", split, {**state, **split}, ENDPOINT_INPUTS).updates == ()
    described = {**ENDPOINT_INPUTS, "description": "old"}
    assert kind.diff("1", described, {**state, **described}, ENDPOINT_INPUTS).updates == (
        "description",
    )
    # Described by someone else: after a refresh only the outputs tell.
    assert kind.diff("1", ENDPOINT_INPUTS, {**state, **described}, ENDPOINT_INPUTS).updates == (
        "description",
    )


@pytest.mark.parametrize("id", ["projects/p/locations/r/endpoints/1", "p/r/1", "r/1"])
def test_an_endpoint_is_imported_by_its_whole_or_shortened_name(id: str) -> None:
    gcp, _ = configured(Scripted({f"GET {ENDPOINTS}/1": endpoint(description="d")}))
    kind = gcp.kind(ENDPOINT)
    found = kind.read(id, {}, {}, Context())
    assert found is not None and found.id == "projects/p/locations/r/endpoints/1"
    program = {**ENDPOINT_INPUTS, "description": "d"}
    change = kind.diff(found.id, found.inputs, found.outputs, program)
    assert (change.updates, change.replaces) == (("effectiveLabels",), ())
    # The region of the resource is not read from Google: a program that gives one replaces.
    change = kind.diff(found.id, found.inputs, found.outputs, {**program, "region": "r"})
    assert change.replaces == ("region",)


def test_an_import_of_an_endpoint_takes_its_host_from_the_provider() -> None:
    id = "projects/p/locations/r/endpoints/1"
    gcp, _ = configured(Scripted({}), region="")
    with pytest.raises(ProviderError, match=NO_REGION):
        gcp.kind(ENDPOINT).read(id, {}, {}, Context())
    api = Scripted({f"GET {ENDPOINTS}/1": endpoint()})
    gcp, _ = configured(api, region="", zone="far-north1-a")
    assert gcp.kind(ENDPOINT).read(id, {}, {}, Context())
    assert api.exchanges[0]["host"] == "far-north1-aiplatform.googleapis.com"


def test_a_view_is_made_first_and_told_its_columns_afterwards() -> None:
    """BigQuery refuses both at once (googleapis/google-cloud-python#1701)."""
    tables = "/bigquery/v2/projects/p/datasets/d/tables"
    view = {"query": "SELECT 1 AS a", "useLegacySql": False}
    columns = [{"name": "a", "type": "INTEGER", "mode": "NULLABLE", "description": "one"}]
    made = {"tableReference": {"tableId": "v"}, "view": view, "schema": {"fields": columns}}
    api = Scripted(
        {f"POST {tables}": made, f"PUT {tables}/v": made, f"GET {tables}/v": made},
    )
    gcp, _ = configured(api)
    inputs = {"datasetId": "d", "tableId": "v", "view": view, "schema": json.dumps(columns)}
    gcp.kind("gcp:bigquery/table:Table").create(inputs, Context())
    post, put = (it for it in api.exchanges if it["method"] in ("POST", "PUT"))
    assert (post["body"]["view"], "schema" in post["body"]) == (view, False)
    assert put["body"]["view"] == view
    assert [column["description"] for column in put["body"]["schema"]["fields"]] == ["one"]
