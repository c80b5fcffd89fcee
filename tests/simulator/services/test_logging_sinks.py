"""Sinks: those that every project has, and those that somebody makes."""

from __future__ import annotations

from typing import Any

import pytest

from simulator.iam.decisions import Iam
from simulator.services.logging.state import Logging
from tests.simulator.support.observe import LOGGING, PARENT, ask, done, entries, refused, write
from tests.simulator.support.service import NUMBER, PROJECT, TRAINING, Sandbox

METRICS = f"{LOGGING}/{PARENT}/metrics"
SINKS = f"{LOGGING}/{PARENT}/sinks"
DATASET = f"bigquery.googleapis.com/projects/{PROJECT}/datasets/logs"


def test_a_sink_has_the_writer_that_was_asked_for(sandbox: Sandbox) -> None:
    """http-logs/logging-projectsink.log."""
    body = {"name": "audit", "destination": DATASET, "filter": "severity>=ERROR"}
    agent = f"serviceAccount:service-{NUMBER}@gcp-sa-logging.iam.gserviceaccount.com"
    assert refused(sandbox, "GET", f"{SINKS}/audit") == (404, "Sink audit does not exist")
    sink = done(sandbox, "POST", SINKS, body, uniqueWriterIdentity="true")
    assert sink == body | {
        "createTime": "2026-01-01T00:00:00Z",
        "updateTime": "2026-01-01T00:00:00Z",
        "writerIdentity": agent,
    }
    # It can be given a role, as it exists from now on.
    sandbox.cloud[Iam].grant(PARENT, "roles/bigquery.dataEditor", agent)
    shared = done(sandbox, "POST", SINKS, body | {"name": "old"})
    assert shared["writerIdentity"] == "serviceAccount:cloud-logs@system.gserviceaccount.com"
    bucket = f"logging.googleapis.com/{PARENT}/locations/global/buckets/_Default"
    local = done(sandbox, "POST", SINKS, body | {"name": "local", "destination": bucket})
    assert "writerIdentity" not in local
    names = [item["name"] for item in done(sandbox, "GET", SINKS)["sinks"]]
    assert names == ["_Default", "_Required", "audit", "local", "old"]
    assert ask(sandbox, "POST", SINKS, body)[0] == 409


def default_sink(name: str) -> dict[str, str]:
    bucket = f"logging.googleapis.com/{PARENT}/locations/global/buckets"
    kinds = ("activity", "system_event", "access_transparency")
    logs = [
        f'LOG_ID("{where}.googleapis.com/{kind}")'
        for kind in kinds
        for where in ("cloudaudit", "externalaudit")
    ]
    text = " OR ".join(logs) if name == "_Required" else "NOT " + " AND NOT ".join(logs)
    return {"name": name, "destination": f"{bucket}/{name}", "filter": text}


def test_every_project_has_two_sinks_from_the_start(sandbox: Sandbox) -> None:
    for name in ("_Default", "_Required"):
        assert done(sandbox, "GET", f"{SINKS}/{name}") == default_sink(name)
        body = {"name": name, "destination": DATASET}
        # As users quote it.
        assert refused(sandbox, "POST", SINKS, body) == (409, f"Sink {name} already exists")
    assert [it["name"] for it in done(sandbox, "GET", SINKS)["sinks"]] == ["_Default", "_Required"]
    other = f"{LOGGING}/projects/{TRAINING}/sinks"
    assert len(done(sandbox, "GET", other)["sinks"]) == 2
    scopes = {"ALL": 2, "DEFAULT": 2, "ANCESTOR": 0}
    for scope, count in scopes.items():
        found = done(sandbox, "GET", SINKS, filter=f'in_scope("{scope}")')
        assert len(found.get("sinks", ())) == count


def test_the_default_sink_is_taken_over_as_the_official_provider_does(sandbox: Sandbox) -> None:
    """It finds the sink, and sends an update instead of a new sink."""
    url, unique = f"{SINKS}/_Default", {"uniqueWriterIdentity": "true"}
    text = f'logName="{PARENT}/logs/compute.googleapis.com%2Factivity_log" AND severity>=ERROR'
    body = {"destination": DATASET, "disabled": False, "exclusions": [], "filter": text}
    mask = "exclusions,destination,filter"
    changed = done(sandbox, "PATCH", url, body, updateMask=mask, **unique)
    assert changed == {
        "name": "_Default",
        "destination": DATASET,
        "filter": text,
        "updateTime": "2026-01-01T00:00:00Z",
        "writerIdentity": f"serviceAccount:service-{NUMBER}@gcp-sa-logging.iam.gserviceaccount.com",
    }
    assert done(sandbox, "GET", url) == changed
    off = done(sandbox, "PATCH", url, {"disabled": True}, updateMask="disabled", **unique)
    assert off["disabled"] is True
    on = done(sandbox, "PATCH", url, {"disabled": False}, updateMask="disabled", **unique)
    assert "disabled" not in on
    back = default_sink("_Default") | {"description": "as it was"}
    restored = done(sandbox, "PATCH", url, back, updateMask=f"{mask},description", **unique)
    assert restored.items() >= back.items()
    assert "writerIdentity" not in restored
    # It is no sink of anybody's stack.
    assert sandbox.cloud[Logging].live()["logSinks"] == []


def test_nobody_deletes_the_first_sinks_or_changes_what_is_required(sandbox: Sandbox) -> None:
    """kubernetes-sigs/boskos#37 has the two refusals to delete."""
    assert refused(sandbox, "DELETE", f"{SINKS}/_Default") == (
        403,
        "Sink _Default cannot be deleted. Consider disabling instead",
    )
    required = f"{SINKS}/_Required"
    assert refused(sandbox, "DELETE", required) == (403, "Sink _Required cannot be deleted")
    assert refused(sandbox, "PATCH", required, {"filter": ""}, updateMask="filter")[0] == 403
    assert len(done(sandbox, "GET", SINKS)["sinks"]) == 2


def test_the_first_sinks_share_all_entries_between_them(sandbox: Sandbox) -> None:
    write(sandbox, "x")
    done(sandbox, "POST", METRICS, {"name": "m", "filter": "severity=INFO"})
    usual, required = (
        entries(sandbox, default_sink(name)["filter"]) for name in ("_Default", "_Required")
    )
    assert [entry["textPayload"] for entry in usual] == ["x"]
    assert {entry["logName"].rpartition("%2F")[2] for entry in required} == {"activity"}
    assert len(entries(sandbox)) == len(usual) + len(required)


@pytest.mark.parametrize(
    ("query", "body", "name"),
    [
        ({"customWriterIdentity": "serviceAccount:a@b"}, {}, "the parameter customWriterIdentity"),
        ({}, {"bigqueryOptions": {"usePartitionedTables": True}}, ""),
        ({}, {"includeChildren": True, "outputVersionFormat": "V2"}, ""),
    ],
)
def test_a_sinks_option_is_kept_or_refused(
    sandbox: Sandbox, query: dict[str, str], body: dict[str, Any], name: str
) -> None:
    body = {"name": "audit", "destination": DATASET, **body}
    status, answer = ask(sandbox, "POST", SINKS, body, **query)
    if not name:
        assert answer.get("bigqueryOptions") == body.get("bigqueryOptions")
        return
    said = f"{name} of logging.projects.sinks.create is not simulated."
    assert (status, answer["error"]["message"]) == (501, said)


def test_a_sink_changes_only_what_the_mask_names(sandbox: Sandbox) -> None:
    body = {"name": "audit", "destination": DATASET, "filter": "severity>=ERROR"}
    done(sandbox, "POST", SINKS, body | {"description": "d"}, uniqueWriterIdentity="true")
    url, change = f"{SINKS}/audit", {"destination": "storage.googleapis.com/b", "filter": "a"}
    change = change | {"filter": "severity=INFO"}

    refusal = refused(sandbox, "PUT", url, change, updateMask="filter")
    assert (refusal[0], "unique writer identity" in refusal[1]) == (400, True)
    sandbox.cloud.clock.step(1)
    unique = {"uniqueWriterIdentity": "true"}
    sink = done(sandbox, "PUT", url, change, updateMask="filter", **unique)
    assert (sink["filter"], sink["destination"]) == ("severity=INFO", DATASET)
    assert (sink["description"], sink["updateTime"]) == ("d", "2026-01-01T00:00:01Z")
    # Without a mask: destination and filter, and nothing else.
    sink = done(sandbox, "PATCH", url, change, **unique)
    assert (sink["destination"], sink["description"]) == ("storage.googleapis.com/b", "d")
    assert "description" not in done(
        sandbox, "PATCH", url, change, updateMask="description", **unique
    )
    assert "no field name" in refused(sandbox, "PUT", url, change, updateMask="name", **unique)[1]
    assert done(sandbox, "DELETE", url) == {}
    assert refused(sandbox, "DELETE", url)[0] == 404


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"destination": "gs://b"}, "is not of a known form"),
        ({"name": ".x"}, "Invalid sink name"),
        ({"filter": "severity="}, "Unparseable filter"),
        ({"exclusions": [{"name": "a", "filter": "("}]}, "Unparseable filter"),
        ({"exclusions": [{"filter": "severity=INFO"}]}, "needs a name"),
    ],
)
def test_a_sink_that_cannot_work_is_refused(
    sandbox: Sandbox, change: dict[str, Any], complaint: str
) -> None:
    body = {"name": "audit", "destination": DATASET, **change}
    status, message = refused(sandbox, "POST", SINKS, body)
    assert status == 400
    assert complaint in message
