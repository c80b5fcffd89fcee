"""An environment of two stacks: what a rehearsal of it does that one of a single stack does not."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from rich.console import Console

from access import split
from components import permissions as table
from rehearsal import environment as environments
from rehearsal.engine import Outcome, one_by_one
from rehearsal.environment import UnknownStack
from rehearsal.regions import merged, three_regions, two_stacks
from rehearsal.report import Report
from rehearsal.splitting import two_layers


@pytest.mark.sweep
def test_a_stack_becomes_two_while_it_serves(tmp_path: Path) -> None:
    report = Report("two-layers", Console(), output=tmp_path)
    assert two_layers(report), report.summary.get("failures")


@pytest.mark.sweep
def test_three_regions_stand_beside_each_other(tmp_path: Path) -> None:
    report = Report("three-regions", Console(), output=tmp_path)
    assert three_regions(report), report.summary.get("failures")


@pytest.mark.sweep
def test_two_stacks_stand_beside_each_other_in_a_project(tmp_path: Path) -> None:
    report = Report("two-stacks", Console(), output=tmp_path)
    assert two_stacks(report), report.summary.get("failures")


def test_seeds_have_what_they_share_once() -> None:
    one = {"projects": [{"id": "a"}, {"id": "shared"}], "organization": {"id": "1"}}
    other = {"projects": [{"id": "shared"}, {"id": "b"}], "roles": [{"name": "r"}]}
    assert merged([one, other]) == {
        "projects": [{"id": "a"}, {"id": "shared"}, {"id": "b"}],
        "organization": {"id": "1"},
        "roles": [{"name": "r"}],
    }


def test_prod_is_rehearsed_with_its_rollout(tmp_path: Path) -> None:
    prod = environments.load("prod", tmp_path)
    assert (prod.stack, prod.settings.layer) == ("prod", "foundation")
    assert prod.rollout is not None
    assert (prod.rollout.stack, prod.rollout.settings.layer) == ("prod-rollout", "rollout")
    assert prod.rollout.settings.capabilities == prod.settings.capabilities
    assert environments.load("prod", tmp_path, layer="whole").rollout is None


def test_a_layer_is_not_rehearsed_by_itself(tmp_path: Path) -> None:
    with pytest.raises(UnknownStack, match="prod-rollout is a layer of prod: rehearse prod"):
        environments.load("prod-rollout", tmp_path)


def test_who_rolls_out_holds_nothing_but_the_deployer(tmp_path: Path) -> None:
    """Where GitHub's jobs come in, the rollout's stack is run by one of them."""
    github = {"ownerId": 1, "repositoryId": 2, "rolloutEnvironment": "prod"}
    prod = environments.load("prod", tmp_path, federation=github)
    assert prod.rollout is not None
    assert prod.rollout.platform == prod.jobs[table.ROLLOUT_JOBS]
    held = [
        (role.on, role.permissions)
        for role in table.roles(prod.settings.capabilities)
        if role.identity == table.ROLLOUT_JOBS
    ]
    assert held == [(table.DEPLOYER_ACCOUNT, ("iam.serviceAccounts.getAccessToken",))]


def test_what_follows_a_failure_is_not_tried() -> None:
    tried: list[str] = []

    def operation(name: str, ok: bool) -> Outcome:
        tried.append(name)
        return Outcome(ok=ok, changes={"create": 1}, errors=[] if ok else [name])

    names = [("one", True), ("two", False), ("three", True)]
    outcome = one_by_one(*(partial(operation, *it) for it in names))
    assert (tried, outcome.ok, outcome.errors) == (["one", "two"], False, ["two"])
    assert outcome.changes == {"create": 2}


KIND = "predictive-maintenance:components"


def state(*kinds: str) -> dict[str, object]:
    resources = [
        {"urn": f"urn:pulumi:prod::p::{KIND}:{kind}::{kind.lower()}", "type": f"{KIND}:{kind}"}
        for kind in kinds
    ]
    return {"deployment": {"resources": resources}}


def test_the_rollouts_components_are_moved_and_no_other() -> None:
    printed = split.script(state("Apis", "Serving", "Consumers", "Routing", "Endpoint"), "p 2")
    assert printed.splitlines() == [
        "pulumi stack init 'p 2'  # unless it is there",
        "pulumi state move --yes --source prod --dest 'p 2' \\",
        f"  urn:pulumi:prod::p::{KIND}:Serving::serving \\",
        f"  urn:pulumi:prod::p::{KIND}:Routing::routing",
    ]


def test_a_stack_without_a_rollout_has_nothing_to_move() -> None:
    with pytest.raises(ValueError, match="nothing is to be moved"):
        split.script(state("Apis"), "prod-rollout")
