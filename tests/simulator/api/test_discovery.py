"""Which method a request is, read from Google's own discovery documents."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.gcp_access import roles
from simulator import coverage
from simulator.api.calls import Methods, Service
from simulator.api.discovery import Discovery
from simulator.api.errors import ApiError, failed_precondition
from simulator.api.fields import masked
from simulator.api.operations import Operations
from simulator.coverage import methods
from simulator.google import GoogleCloud
from tests.simulator.support.core import LOCATION, new_cloud

DISCOVERY = Discovery()
REGION = "us-central1-aiplatform.googleapis.com"
BUCKET = "/storage/v1/b/artifacts"
ENDPOINT = f"{LOCATION}/endpoints/123"


@pytest.mark.parametrize(
    ("host", "verb", "path", "method_id", "parameters"),
    [
        (
            REGION,
            "GET",
            f"/v1/{ENDPOINT}",
            "aiplatform.projects.locations.endpoints.get",
            {"name": ENDPOINT},
        ),
        (
            REGION,
            "POST",
            f"/v1beta1/{ENDPOINT}:deployModel",
            "aiplatform.projects.locations.endpoints.deployModel",
            {"endpoint": ENDPOINT},
        ),
        (
            "aiplatform.googleapis.com",
            "GET",
            f"/v1/{ENDPOINT}/operations/7",
            "aiplatform.projects.locations.endpoints.operations.get",
            {"name": f"{ENDPOINT}/operations/7"},
        ),
        (
            "123.us-central1-999.prediction.vertexai.goog",
            "POST",
            f"/v1/{ENDPOINT}:predict",
            "aiplatform.projects.locations.endpoints.predict",
            {"endpoint": ENDPOINT},
        ),
        (
            "storage.googleapis.com",
            "GET",
            f"{BUCKET}/o/models%2Fv1%2Fmodel.joblib",
            "storage.objects.get",
            {"bucket": "artifacts", "object": "models/v1/model.joblib"},
        ),
        (
            "www.googleapis.com",
            "GET",
            f"/download{BUCKET}/o/a%20b",
            "storage.objects.get",
            {"bucket": "artifacts", "object": "a b"},
        ),
        (
            "storage.googleapis.com",
            "POST",
            f"/upload{BUCKET}/o",
            "storage.objects.insert",
            {"bucket": "artifacts"},
        ),
        (
            "storage.googleapis.com",
            "PUT",
            f"/resumable/upload{BUCKET}/o",
            "storage.objects.insert",
            {"bucket": "artifacts"},
        ),
        (
            "storage.googleapis.com",
            "GET",
            f"{BUCKET}/anywhereCaches/",
            "storage.anywhereCaches.list",
            {"bucket": "artifacts"},
        ),
        (
            "storage.googleapis.com",
            "GET",
            f"{BUCKET}/iam/testPermissions",
            "storage.buckets.testIamPermissions",
            {"bucket": "artifacts"},
        ),
        (
            "bigquery.googleapis.com",
            "POST",
            "/bigquery/v2/projects/p/datasets/d/tables/t:getIamPolicy",
            "bigquery.tables.getIamPolicy",
            {"resource": "projects/p/datasets/d/tables/t"},
        ),
        (
            "compute.googleapis.com",
            "GET",
            "/compute/beta/projects/123",
            "compute.projects.get",
            {"project": "123"},
        ),
        (
            "serviceusage.googleapis.com",
            "GET",
            "/v1/operations/acat.p2-1-2",
            "serviceusage.operations.get",
            {"name": "operations/acat.p2-1-2"},
        ),
    ],
)
def test_a_request_finds_its_method(
    host: str, verb: str, path: str, method_id: str, parameters: dict[str, str]
) -> None:
    assert DISCOVERY.serves(host)
    found, values = DISCOVERY.route(host, verb, path)
    assert (found.id, values) == (method_id, parameters)


@pytest.mark.parametrize(
    ("host", "verb", "path"),
    [
        ("storage.googleapis.com", "POST", f"{BUCKET}/iam"),
        ("storage.googleapis.com", "GET", "/v1/b/artifacts"),
        (REGION, "GET", f"/v2/{ENDPOINT}"),
        (REGION, "POST", f"/v1/{ENDPOINT}:nonsense"),
        ("iam.googleapis.com", "GET", "/"),
    ],
)
def test_what_no_document_has_is_not_found(host: str, verb: str, path: str) -> None:
    with pytest.raises(ApiError) as refused:
        DISCOVERY.route(host, verb, path)
    assert refused.value.status == 404


def test_query_values_have_the_types_of_the_document() -> None:
    found, _ = DISCOVERY.route("storage.googleapis.com", "GET", f"{BUCKET}/o")
    query = "maxResults=5&versions=true&prefix=models%2F&alt=json"
    expected = {"maxResults": 5, "versions": True, "prefix": "models/", "alt": "json"}
    assert found.query_parameters(query) == expected
    for wrong in ("maxResults=many", "versions=maybe", "projection=all"):
        with pytest.raises(ApiError, match="Invalid value at"):
            found.query_parameters(wrong)
    names, _ = DISCOVERY.route(
        "serviceusage.googleapis.com", "GET", "/v1/projects/1/services:batchGet"
    )
    assert names.query_parameters("names=a&names=b") == {"names": ["a", "b"]}


def checked(verb: str, path: str, body: dict[str, Any], host: str = REGION) -> dict[str, Any]:
    validator = DISCOVERY.route(host, verb, path)[0].validator
    assert validator is not None
    return validator.check(body)


@pytest.mark.parametrize(
    "body",
    [
        {"displayName": "e", "trafficSplit": {"1": 100}, "labels": {"snake_case": "kept"}},
        {"displayName": "e", "trafficSplit": {"1": "100"}, "encryptionSpec": None},
        {"predictRequestResponseLoggingConfig": {"enabled": True, "samplingRate": 1}},
    ],
)
def test_bodies_google_accepts_are_accepted(body: dict[str, Any]) -> None:
    assert checked("POST", f"/v1/{LOCATION}/endpoints", body) == body


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"displayNme": "e"}, "Unknown name \"displayNme\" at 'endpoint': Cannot find field."),
        ({"trafficSplit": {"1": "half"}}, "Invalid value at 'endpoint.traffic_split[1]', \"half\""),
        ({"displayName": 5}, "Invalid value at 'endpoint.display_name', 5"),
        ({"deployedModels": [{"modle": "m"}]}, "'endpoint.deployed_models[0]': Cannot find field."),
        ({"privateServiceConnectConfig": {"enablePrivateServiceConnect": "x"}}, "Invalid value at"),
    ],
)
def test_bodies_google_refuses_are_refused(body: dict[str, Any], message: str) -> None:
    with pytest.raises(ApiError) as refused:
        checked("POST", f"/v1/{LOCATION}/endpoints", body)
    assert message in refused.value.message


# Their path binds a field of the resource in the request, `{topic.name=…}`, not one of the request.
NESTED = {
    "iam.projects.serviceAccounts.patch",
    "pubsub.projects.snapshots.patch",
    "pubsub.projects.subscriptions.patch",
    "pubsub.projects.topics.patch",
}


def test_a_body_that_is_the_whole_request_may_repeat_what_the_path_binds(
    show: Callable[[str], None],
) -> None:
    """google/api/http.proto; the official provider repeats it for `schemas.commit`."""
    taken, refused = [], []
    for _, found in methods():
        if not coverage.CLOUD[Methods].get(found.id) or found.validator is None:
            continue
        for name in re.findall(r"{[+]?(\w+)}", found.path):
            try:
                found.validator.check({name: "projects/p"})
            except ApiError as error:
                if f'Unknown name "{name}"' in error.message:
                    refused.append(found)
                    continue
            taken.append(found)
    whole = {m.id for m in refused if (m.request or "").endswith("Request")}
    ids = {m.id for m in taken}
    assert whole <= NESTED and not NESTED & ids
    assert {"pubsub.projects.schemas.commit", "pubsub.projects.topics.create"} <= ids
    assert "pubsub.projects.schemas.create" in {m.id for m in refused}
    show(f"{len(taken)} bodies may have what the path binds, {len(refused)} have no such field")


def test_field_names_are_turned_but_keys_of_maps_are_not() -> None:
    body = {"display_name": "e", "labels": {"snake_case": "kept"}}
    expected = {"displayName": "e", "labels": {"snake_case": "kept"}}
    assert checked("POST", f"/v1/{LOCATION}/endpoints", body) == expected


def test_a_field_the_document_requires_is_required() -> None:
    with pytest.raises(ApiError, match="Required field name is not set"):
        checked("POST", "/storage/v1/b", {"location": "US"}, "storage.googleapis.com")


def test_a_list_the_document_requires_may_be_empty_by_absence() -> None:
    body = {"version": 3}
    assert checked("PUT", f"{BUCKET}/iam", body, "storage.googleapis.com") == body


ANSWER = {"a": 1, "b": {"c": 2, "d": 3}, "e": [{"f": 4, "g": 5}, {"f": 6}], "h": 7}


@pytest.mark.parametrize(
    ("fields", "left"),
    [
        ("a", {"a": 1}),
        ("a,b(c)", {"a": 1, "b": {"c": 2}}),
        ("b/d,h", {"b": {"d": 3}, "h": 7}),
        ("e/f", {"e": [{"f": 4}, {"f": 6}]}),
        ("e(g),missing", {"e": [{"g": 5}, {}]}),
        ("*", ANSWER),
    ],
)
def test_fields_leave_what_they_name(fields: str, left: dict[str, Any]) -> None:
    assert masked(ANSWER, fields) == left


@pytest.mark.parametrize("fields", ["a(", "a)", "(a)", "a,", "a//b", ""])
def test_a_field_selection_that_does_not_parse_is_400(fields: str) -> None:
    with pytest.raises(ApiError, match="Invalid field selection"):
        masked(ANSWER, fields)


@given(st.text(alphabet="ab,()/* ", max_size=12))
def test_no_field_selection_breaks_the_parser(fields: str) -> None:
    try:
        assert masked({"a": {"b": 1}}, fields).keys() <= {"a"}
    except ApiError as error:
        assert error.status == 400


class TestOperations:
    @pytest.fixture
    def cloud(self) -> GoogleCloud:
        return new_cloud()

    def test_it_runs_when_it_is_due_and_not_before(self, cloud: GoogleCloud) -> None:
        ran: list[int] = []

        def run() -> dict[str, Any]:
            ran.append(1)
            return {"@type": "x"}

        started = cloud[Operations].start("operations/1", metadata={"m": 1}, run=run)
        assert started == {"name": "operations/1", "metadata": {"m": 1}}
        cloud.clock.step(4)
        assert "done" not in cloud[Operations].get("operations/1")
        cloud.clock.step(1)
        finished = cloud[Operations].get("operations/1")
        assert finished["done"] is True
        assert finished["response"] == {"@type": "x"}
        cloud[Operations].settle()
        assert ran == [1]

    def test_what_it_raises_becomes_its_error(self, cloud: GoogleCloud) -> None:
        def run() -> dict[str, Any]:
            raise failed_precondition("not now")

        failed = cloud[Operations].start("operations/1", metadata={}, run=run, delay=0)
        assert failed["error"] == {"code": 9, "message": "not now"}

    def test_a_fault_of_the_simulator_ends_it_as_internal(self, cloud: GoogleCloud) -> None:
        failed = cloud[Operations].start("o/1", metadata={}, run=lambda: {}["x"], delay=0)
        assert failed["error"]["code"] == 13


class TestCatalogue:
    def test_it_has_every_predefined_role_with_its_permissions(self) -> None:
        counts = {"aiplatform.user": 446, "editor": 11_979, "aiplatform.serviceAgent": 624}
        for name, count in counts.items():
            held = roles.permissions(f"roles/{name}")
            assert held is not None and len(held) == count
        assert roles.permissions("roles/pubsub.publisher") == {"pubsub.topics.publish"}
        assert roles.permissions("roles/iot.admin") is None

    def test_it_knows_which_permissions_exist_and_where(self) -> None:
        assert roles.exists("aiplatform.endpoints.deploy")
        assert not roles.exists("aiplatform.operations.get")
        assert roles.exists("resourcemanager.projects.list")
        assert roles.support_level("resourcemanager.projects.list") is None
        assert roles.support_level("resourcemanager.projects.get") == "SUPPORTED"

    @given(st.sets(st.integers(0, 500)))
    def test_ranges_pack_and_unpack(self, indexes: set[int]) -> None:
        assert list(roles._unpack(roles._pack(indexes))) == sorted(indexes)


def test_a_method_is_handled_once_and_a_permission_needs_a_resource() -> None:
    method = Methods()
    method("cloudresourcemanager.projects.get", permission=None)(lambda call: {})
    with pytest.raises(ValueError, match="already has a handler"):
        method("cloudresourcemanager.projects.get", permission=None)(lambda call: {})
    with pytest.raises(ValueError, match="already has a handler"):
        Service(None, method).add_to(new_cloud())
    with pytest.raises(TypeError, match="needs the resource"):
        method("x.y", permission="x.y")


def test_ids_repeat_from_cloud_to_cloud_and_never_within_one() -> None:
    first, second = new_cloud(), new_cloud()
    ids = [first.unique_id() for _ in range(100)]
    assert ids == [second.unique_id() for _ in range(100)]
    assert len(set(ids)) == 100
    assert all(len(value) == 19 and value.isdigit() for value in ids)
