"""Written entries, and who may write them."""

from __future__ import annotations

from tests.simulator.support.observe import (
    GLOBAL,
    LOGGING,
    PARENT,
    done,
    entries,
    refused,
    write,
)
from tests.simulator.support.service import Sandbox


def test_written_entries_are_listed_with_defaults_filled_in(sandbox: Sandbox) -> None:
    write(sandbox, "first", "second", labels={"team": "iot"})

    found = entries(sandbox, 'logName:"/logs/pumps"')

    assert [entry["textPayload"] for entry in found] == ["first", "second"]
    assert found[0]["resource"] == GLOBAL
    assert found[0]["labels"] == {"team": "iot"}
    assert found[0]["timestamp"] == found[0]["receiveTimestamp"] == "2026-01-01T00:00:00Z"
    names = done(sandbox, "GET", f"{LOGGING}/{PARENT}/logs")["logNames"]
    assert names == [f"{PARENT}/logs/pumps"]


def test_a_dry_run_writes_nothing(sandbox: Sandbox) -> None:
    write(sandbox, "x", dryRun=True)
    assert entries(sandbox, 'logName:"/logs/pumps"') == []


def test_writing_is_checked_on_every_project_and_for_each_entry(sandbox: Sandbox) -> None:
    url = f"{LOGGING}/entries:write"
    here = {"logName": f"{PARENT}/logs/a", "textPayload": "x", "resource": GLOBAL}
    there = here | {"logName": "projects/iot-training/logs/a"}
    nameless = {"textPayload": "x", "resource": GLOBAL}
    sandbox.role("deployer", "logging.logEntries.create")

    status, message = refused(sandbox, "POST", url, {"entries": [here, there]}, who="deployer")
    assert (status, "logging.logEntries.create" in message) == (403, True)
    assert entries(sandbox, 'textPayload="x"') == []

    body = {"entries": [here, there, nameless], "partialSuccess": True}
    assert refused(sandbox, "POST", url, body, who="deployer")[0] == 403
    assert len(entries(sandbox, 'textPayload="x"')) == 1
    assert "is not of the form" in refused(sandbox, "POST", url, {"entries": [nameless]})[1]
    assert "no resource" in refused(sandbox, "POST", url, {"entries": [here | {"resource": {}}]})[1]
    both = here | {"jsonPayload": {}}
    assert "more than one payload" in refused(sandbox, "POST", url, {"entries": [both]})[1]
