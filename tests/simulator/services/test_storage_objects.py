"""Uploads as official clients send them, object contexts, and copies in steps."""

from __future__ import annotations

import json
from typing import Any

import pytest
import requests

from simulator.iam.decisions import Iam
from simulator.iam.roles import CustomRoles
from tests.simulator.support.service import PROJECT, Sandbox

API = "https://storage.googleapis.com/storage/v1"
NAME = "iot-prod-objects"
BUCKET = f"{API}/b/{NAME}"
RESOURCE = f"projects/_/buckets/{NAME}"
OBJECT = f"{BUCKET}/o/o"
UPLOAD = f"https://storage.googleapis.com/upload/storage/v1/b/{NAME}/o"
MIB = 1_048_576


@pytest.fixture(autouse=True)
def bucket(sandbox: Sandbox) -> None:
    body = {"name": NAME, "location": "us-central1"}
    sandbox.http().post(f"{API}/b?project={PROJECT}", json=body).raise_for_status()


def multipart(
    sandbox: Sandbox, body: bytes, boundary: str = "X", query: str = "", who: str = "admin"
) -> requests.Response:
    return sandbox.http(who).post(
        f"{UPLOAD}?uploadType=multipart{query}",
        data=body,
        headers={"Content-Type": f"multipart/related; boundary={boundary}"},
    )


def upload(sandbox: Sandbox, who: str = "admin", **said: Any) -> requests.Response:
    metadata = json.dumps({"name": "o", **said}).encode()
    body = b"--X\r\ncontent-type: application/json\r\n\r\n" + metadata + b"\r\n--X\r\n"
    return multipart(sandbox, body + b"content-type: text/plain\r\n\r\nx\r\n--X--", who=who)


def content(sandbox: Sandbox) -> bytes:
    return sandbox.http().get(f"{OBJECT}?alt=media").content


def test_a_part_without_headers_of_its_own_is_stored(sandbox: Sandbox) -> None:
    """As the official provider uploads `content` when no type is given (storage, google-beta)."""
    body = b'--X\r\nContent-Type: application/json\r\n\r\n{"bucket":"b"}\n\r\n--X\r\n\r\n'
    answer = multipart(sandbox, body + b"by\r\n\r\ntes\r\n--X--\r\n", query="&name=o").json()
    assert (answer["size"], answer["contentType"]) == ("9", "application/octet-stream")
    assert content(sandbox) == b"by\r\n\r\ntes"


def test_gclouds_line_ends_and_quotes_are_taken(sandbox: Sandbox) -> None:
    """Recorded from gcloud 528: bare line feeds, a boundary in single quotes, MIME-Version."""
    boundary = "===============4183054631464814594=="
    body = (
        f"--{boundary}\nContent-Type: application/json\nMIME-Version: 1.0\n\n"
        '{"bucket": "b", "contentType": "text/plain", "name": "o"}\n'
        f"--{boundary}\nContent-Type: text/plain\nMIME-Version: 1.0\n"
        f"Content-Transfer-Encoding: binary\n\nhello\r\n\r\nthere\n\n--{boundary}--"
    )
    answer = multipart(sandbox, body.encode(), f"'{boundary}'")
    assert answer.status_code == 200, answer.text
    assert content(sandbox) == b"hello\r\n\r\nthere\n"


@pytest.mark.parametrize(
    "body", [b"", b"--X\r\n\r\n{}\r\n--X--", b"--X\r\n\r\n{\r\n--X\r\n\r\nx\r\n--X--"]
)
def test_an_upload_that_cannot_be_taken_apart_is_refused(sandbox: Sandbox, body: bytes) -> None:
    assert multipart(sandbox, body, query="&name=o").status_code == 400
    assert sandbox.http().get(OBJECT).status_code == 404


def test_the_metadata_of_an_upload_is_held_to_the_document(sandbox: Sandbox) -> None:
    unknown = upload(sandbox, colour="red")
    assert (unknown.status_code, "colour" in unknown.text) == (400, True)
    unsimulated = upload(sandbox, acl=[{"entity": "allUsers", "role": "READER"}])
    assert (unsimulated.status_code, "field acl" in unsimulated.text) == (501, True)
    parameter = sandbox.http().post(f"{UPLOAD}?name=o&predefinedAcl=private", data=b"x")
    assert (parameter.status_code, "predefinedAcl" in parameter.text) == (501, True)
    assert sandbox.http().get(OBJECT).status_code == 404


def test_an_encoding_can_be_given_as_a_parameter(sandbox: Sandbox) -> None:
    url = f"{UPLOAD}?name=o&uploadType=media&contentEncoding=gzip"
    assert sandbox.http().post(url, data=b"x").json()["contentEncoding"] == "gzip"


def test_a_custom_time_is_a_time_and_does_not_go_back(sandbox: Sandbox) -> None:
    assert upload(sandbox, customTime="soon").status_code == 400
    first, later = "2026-01-02T00:00:00Z", "2026-01-03T00:00:00Z"
    assert upload(sandbox, customTime=first).json()["customTime"] == first
    for earlier in ("2026-01-01T00:00:00Z", None):
        assert sandbox.http().patch(OBJECT, json={"customTime": earlier}).status_code == 400
    seen = sandbox.http().put(OBJECT, json={"metadata": {"a": "b"}}).json()
    assert (seen["customTime"], seen["metadata"]) == (first, {"a": "b"})
    assert sandbox.http().patch(OBJECT, json={"customTime": later}).json()["customTime"] == later


def test_a_listing_with_folders_finds_none_beside_the_prefixes(sandbox: Sandbox) -> None:
    """gcloud asks so, and for managed folders before it deletes a bucket."""
    for name in ("a/1", "top"):
        sandbox.storage().bucket(NAME).blob(name).upload_from_string(b"x")
    url = f"{BUCKET}/o?delimiter=/&includeFoldersAsPrefixes=True&projection=noAcl"
    answer = sandbox.http().get(url).json()
    assert answer["prefixes"] == ["a/"]
    assert [item["name"] for item in answer["items"]] == ["top"]
    folders = sandbox.http().get(f"{BUCKET}/managedFolders?pageSize=1000").json()
    assert folders == {"kind": "storage#managedFolders"}


def test_the_layout_is_for_who_may_list_a_prefix(sandbox: Sandbox) -> None:
    layout = f"{BUCKET}/storageLayout"
    assert sandbox.http("serving").get(layout).status_code == 403
    role = f"projects/{PROJECT}/roles/lister"
    sandbox.cloud[CustomRoles].seed(role, ["storage.objects.list"])
    condition = {"title": "a", "expression": f"resource.name.startsWith('{RESOURCE}/objects/a/')"}
    member = "serviceAccount:serving@iot-prod.iam.gserviceaccount.com"
    sandbox.cloud[Iam].grant(RESOURCE, role, member, condition)
    assert sandbox.http("serving").get(layout).status_code == 403
    answer = sandbox.http("serving").get(f"{layout}?prefix=a/").json()
    assert (answer["location"], answer["locationType"]) == ("US-CENTRAL1", "region")


# Contexts


def custom(**values: str | None) -> dict[str, Any]:
    pairs = {key: value and {"value": value} for key, value in values.items()}
    return {"contexts": {"custom": pairs}}


def kept(answer: requests.Response) -> dict[str, tuple[str, str, str]]:
    assert answer.status_code == 200, answer.text
    found = answer.json().get("contexts", {}).get("custom", {})
    return {
        key: (it["value"], it["createTime"][11:19], it["updateTime"][11:19])
        for key, it in found.items()
    }


def test_contexts_are_kept_with_their_times(sandbox: Sandbox) -> None:
    made = kept(upload(sandbox, **custom(a="1", b="2")))
    assert made == {"a": ("1", "00:00:00", "00:00:00"), "b": ("2", "00:00:00", "00:00:00")}
    sandbox.cloud.clock.step(5)
    change = custom(a="changed", b=None, c="3")
    now = kept(sandbox.http().patch(OBJECT, json=change))
    assert now == {"a": ("changed", "00:00:00", "00:00:05"), "c": ("3", "00:00:05", "00:00:05")}
    # The official provider's way: the whole object, with a context in it.
    whole = {"contentType": "text/plain", **custom(c="3")}
    assert kept(sandbox.http().put(OBJECT, json=whole)) == {"c": now["c"]}
    assert kept(sandbox.http().get(OBJECT)) == {"c": now["c"]}
    assert kept(sandbox.http().patch(OBJECT, json={"metadata": {"m": "n"}})) == {"c": now["c"]}
    assert kept(sandbox.http().patch(OBJECT, json={"contexts": None})) == {}


def test_each_kind_of_change_of_a_context_takes_its_permission(sandbox: Sandbox) -> None:
    sandbox.role("deployer", "storage.objects.create", "storage.objects.update", on=RESOURCE)

    def denied(answer: requests.Response, verb: str) -> None:
        assert answer.status_code == 403
        assert f"storage.objects.{verb}Context" in answer.text
        sandbox.role("deployer", f"storage.objects.{verb}Context", on=RESOURCE)

    denied(upload(sandbox, "deployer", **custom(a="1")), "create")
    assert kept(upload(sandbox, "deployer", **custom(a="1")))
    client = sandbox.http("deployer")
    denied(client.patch(OBJECT, json=custom(a="2")), "update")
    assert client.patch(OBJECT, json=custom(a="2")).status_code == 200
    denied(client.patch(OBJECT, json=custom(a=None)), "delete")
    assert kept(sandbox.http().get(OBJECT))
    assert kept(client.patch(OBJECT, json=custom(a=None))) == {}


def test_a_copy_takes_contexts_over_unless_it_is_given_some_or_told_to_drop_them(
    sandbox: Sandbox,
) -> None:
    upload(sandbox, **custom(a="1")).raise_for_status()

    def copied(query: str = "", body: Any = None) -> list[str]:
        url = f"{OBJECT}/rewriteTo/b/{NAME}/o/copy{query}"
        resource = sandbox.http().post(url, json=body or {}).json()["resource"]
        return list(resource.get("contexts", {}).get("custom", {}))

    assert copied() == ["a"]
    assert copied(body=custom(b="2")) == ["b"]
    assert copied("?dropContextGroups=custom") == []


# Copies


def test_a_copy_to_another_place_goes_in_steps_when_they_are_limited(sandbox: Sandbox) -> None:
    other = {"name": "iot-prod-other", "location": "us-east1"}
    sandbox.http().post(f"{API}/b?project={PROJECT}", json=other).raise_for_status()
    data = b"x" * (2 * MIB + 1)
    sandbox.http().post(f"{UPLOAD}?name=o", data=data).raise_for_status()
    to, url = (
        f"{API}/b/iot-prod-other/o/copy",
        f"{OBJECT}/rewriteTo/b/iot-prod-other/o/copy",
    )
    limited = f"{url}?maxBytesRewrittenPerCall={MIB}"
    answer = sandbox.http().post(limited, json={}).json()
    steps = [int(answer["totalBytesRewritten"])]
    token = answer["rewriteToken"]
    assert sandbox.http().get(to).status_code == 404
    while not answer["done"]:
        url_of_step = f"{limited}&rewriteToken={answer['rewriteToken']}"
        answer = sandbox.http().post(url_of_step, json={}).json()
        steps.append(int(answer["totalBytesRewritten"]))
    assert steps == [MIB, 2 * MIB, 2 * MIB + 1]
    assert answer["resource"]["size"] == sandbox.http().get(to).json()["size"] == str(len(data))
    another_limit = f"{url}?maxBytesRewrittenPerCall={2 * MIB}&rewriteToken={token}"
    assert sandbox.http().post(another_limit, json={}).status_code == 400
    within = sandbox.http().post(f"{OBJECT}/rewriteTo/b/{NAME}/o/c?maxBytesRewrittenPerCall={MIB}")
    assert within.json()["done"] is True
