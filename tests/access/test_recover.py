"""What becomes of pending creates: from an exported state to one that can be imported."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from access.__main__ import main
from access.recover import IDS, NAMED_BY_GOOGLE, REPEATABLE, UnknownKind, recovered, resource_id
from tests.recordings import CONTRACT, load

ROOT = Path(__file__).parents[2]
ACCOUNT = "gcp:serviceaccount/account:Account"
INPUTS = {"__defaults": ["disabled"], "accountId": "pm-deployer", "project": "p", "disabled": False}
URN = f"urn:pulumi:staging::pm::{ACCOUNT}::deployer"


def begun(kind: str = ACCOUNT, type: str = "creating", **more: Any) -> dict[str, Any]:
    resource = {"urn": URN, "custom": True, "type": kind, "inputs": INPUTS, "provider": "x"}
    return {"type": type, "resource": resource | more}


def state(*operations: dict[str, Any], resources: Any = ()) -> dict[str, Any]:
    deployment = {"resources": list(resources), "pending_operations": list(operations)}
    return {"version": 3, "deployment": deployment}


def resources_of(state: dict[str, Any]) -> Any:
    found = recovered(state)["deployment"]
    assert "pending_operations" not in found
    return found["resources"]


def test_what_cannot_be_created_twice_is_written_down_as_if_it_had_been_created() -> None:
    [made] = resources_of(state(begun()))
    assert made["id"] == "projects/p/serviceAccounts/pm-deployer@p.iam.gserviceaccount.com"
    assert made["inputs"] == INPUTS
    assert made["provider"] == "x"


def test_its_outputs_are_what_the_program_gave_and_no_defaults() -> None:
    [made] = resources_of(state(begun()))
    assert made["outputs"] == {"accountId": "pm-deployer", "project": "p"}


@pytest.mark.parametrize("folder", ["core", "more"])
def test_the_ids_are_those_of_the_official_plugin(folder: str) -> None:
    items = load(CONTRACT / folder / "state.jsonl")
    known = [item for item in items if item["type"] in IDS]
    assert len(known) > 5
    for item in known:
        inputs = {"project": "iot-prod", **item["inputs"]}
        assert resource_id(item["type"], inputs) == item["id"], item["name"]


@pytest.mark.parametrize("kind", REPEATABLE)
def test_what_may_be_created_again_is_forgotten(kind: str) -> None:
    assert resources_of(state(begun(kind))) == []


def test_a_component_is_forgotten() -> None:
    kind = "predictive-maintenance:components:Access"
    assert resources_of(state(begun(kind, custom=False))) == []


@pytest.mark.parametrize("type", ["updating", "deleting", "reading"])
def test_other_interrupted_operations_leave_the_resource_as_it_was(type: str) -> None:
    there = {"urn": URN, "id": "1"}
    assert resources_of(state(begun(type=type), resources=[there])) == [there]


def test_what_was_to_be_replaced_is_deleted_later() -> None:
    old = {"urn": URN, "id": "old"}
    kept, made = resources_of(state(begun(), resources=[old]))
    assert kept == {**old, "delete": True}
    assert made["id"].startswith("projects/p/serviceAccounts/")


def test_what_made_room_for_its_replacement_is_gone() -> None:
    old = {"urn": URN, "id": "old", "pendingReplacement": True}
    [made] = resources_of(state(begun(), resources=[old]))
    assert made["id"] != "old"


def test_a_kind_that_nobody_thought_of_is_named_with_what_to_do() -> None:
    with pytest.raises(UnknownKind, match=r"AlertPolicy.*alertPolicies.list.*pulumi import"):
        recovered(state(begun("gcp:monitoring/alertPolicy:AlertPolicy")))


def test_an_input_that_the_id_needs_is_named() -> None:
    with pytest.raises(UnknownKind, match="lack 'project'"):
        recovered(state(begun(inputs={"accountId": "a"})))


def test_every_kind_that_the_stack_declares_is_known() -> None:
    """By what the components call: a new kind of resource needs a line in the table."""
    declared = {
        (module, name)
        for file in (ROOT / "components").glob("*.py")
        for module, name in re.findall(r"\bgcp\.(\w+)\.([A-Z]\w+)\(", file.read_text())
    }
    kinds = (*IDS, *NAMED_BY_GOOGLE, *REPEATABLE)
    known = {tuple(re.split(r"[:/]", kind)[1::2]) for kind in kinds if "/" in kind}
    assert declared and {(m, n) for m, n in declared} <= known


def test_the_command_reads_an_export_and_writes_what_can_be_imported() -> None:
    done = CliRunner().invoke(main, ["recover"], input=json.dumps(state(begun())))
    assert done.exit_code == 0, done.output
    assert json.loads(done.output) == recovered(state(begun()))


def test_the_command_says_what_it_cannot_settle() -> None:
    done = CliRunner().invoke(
        main, ["recover"], input=json.dumps(state(begun("gcp:monitoring/alertPolicy:AlertPolicy")))
    )
    assert done.exit_code == 1
    assert "gcp:monitoring/alertPolicy:AlertPolicy" in done.output
