"""Ablation finds what can be taken out without harm, and what fails elsewhere than it should."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from components import permissions as table
from rehearsal.ablate import (
    RIGHT,
    SILENT,
    TOLD,
    UNSAID,
    WRONG,
    Part,
    Refusal,
    ablate,
    blamed,
    names,
    verdict,
)
from rehearsal.environment import load
from rehearsal.report import Report
from simulator.api.audit import Via
from simulator.iam.trials import Trial
from tests.rehearsal.playing import play
from tests.rehearsal.test_prove import LEAST, SPARE

NEEDED = ("deployer", "aiplatform.endpoints.deploy")


@pytest.mark.sweep
@pytest.mark.parametrize("stack", ["staging", "prod"])
def test_every_grant_is_needed(stack: str) -> None:
    code, output, summary = play("ablate", stack)
    assert code == 0, output
    found = summary["ablation"]
    assert found["problems"] == []
    # Of what is refused for want of one of Google's own roles, whole, no line says anything.
    assert found["explained"][RIGHT] > sum(found["explained"].values()) / 2
    assert {item["stage"] for item in found["refusals"]} >= {"up", "predict", "review"}


def _ablated(tmp_path: Path) -> tuple[bool, str]:
    shown = io.StringIO()
    report = Report("staging", Console(file=shown, width=200), output=tmp_path)
    return ablate("staging", report, LEAST), shown.getvalue()


@pytest.mark.sweep
def test_a_spare_permission_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(table, "NEEDS", (*table.NEEDS, SPARE))
    passed, shown = _ablated(tmp_path)
    assert not passed
    assert "spare: serving holds storage.buckets.get" in shown


@pytest.mark.sweep
def test_a_missing_permission_ends_it_and_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    left = tuple(need for need in table.NEEDS if (need.identity, need.permission) != NEEDED)
    monkeypatch.setattr(table, "NEEDS", left)
    passed, shown = _ablated(tmp_path)
    assert not passed
    assert "Permission 'aiplatform.endpoints.deploy' denied" in shown


BUCKET, PROJECT = "projects/_/buckets/b", "projects/p"
MINE, OTHER = "projects/p/roles/mine", "projects/p/roles/other"
ME = "serviceAccount:me@p.iam.gserviceaccount.com"
GET = "storage.objects.get"


def _trial(*returned: tuple[Via, str]) -> Trial:
    return Trial(frozenset({ME}), frozenset({"roles/bigquery.dataOwner"}), frozenset(returned))


def test_only_what_one_grant_alone_gives_is_taken_out() -> None:
    one, two = Via(BUCKET, MINE, ME), Via(PROJECT, OTHER, ME)
    assert _trial().taken(GET, [one]) == (one, GET)
    assert _trial().taken(GET, [one, two]) is None
    assert _trial((one, GET)).taken(GET, [one]) is None
    assert _trial().taken(GET, [Via(BUCKET, MINE, "user:somebody@example.com")]) is None


def test_what_creating_gave_makes_up_for_nothing() -> None:
    one = Via(PROJECT, MINE, ME)
    own = Via("projects/p/datasets/d", "roles/bigquery.dataOwner", ME)
    assert _trial().taken("bigquery.tables.get", [own, one]) == (one, "bigquery.tables.get")


def test_of_a_role_of_googles_the_whole_grant_is_taken_out() -> None:
    way = Via(PROJECT, "roles/aiplatform.serviceAgent", ME)
    assert _trial().taken(GET, [way]) == (way, "")


@pytest.mark.parametrize(
    ("call", "method", "named"),
    [
        ("iam projects.roles.get", "iam.projects.roles.get", True),
        ("iam projects.roles.get", "iam.projects.roles.create", False),
        ("aiplatform endpoints.patch (trafficSplit)", "aiplatform.projects.endpoints.patch", True),
        ("serviceusage services.batchEnable", "serviceusage.services.enable", True),
        ("pubsub AI inference: endpoints.get", "pubsub.projects.subscriptions.create", True),
        ("storage objects.get", "", True),
        ("storage objects.get", "iam.projects.roles.get", False),
    ],
)  # fmt: skip
def test_which_call_a_line_names(call: str, method: str, named: bool) -> None:
    assert names(call, method) is named


def _refusal(permission: str, message: str, text: str = "") -> Refusal:
    return Refusal(Part(BUCKET, MINE, ME, permission), permission, "", message, text=text)


def test_of_several_refusals_in_one_error_the_last_is_to_blame() -> None:
    first, last, other = (_refusal(f"a.b.{name}", "denied") for name in ("c", "d", "e"))
    assert [it.part for it in blamed([first, last], ["Error 403: denied"])] == [last.part]
    found = blamed([first, last, other], ["one: denied", "two: denied"])
    assert {it.part for it in found} == {last.part, other.part}
    assert blamed([first], ["Error 409"]) == []


DENIED = "Error 403: Permission '{}' denied on resource '{}' (or it may not exist)."


@pytest.mark.parametrize(
    ("identity", "permission", "text", "expected"),
    [
        (table.DEPLOYER, "aiplatform.endpoints.create",
         DENIED.format("aiplatform.endpoints.create", "//aiplatform.googleapis.com/projects/p"),
         RIGHT),
        (table.PREVIEW, "iam.roles.get",
         "  gcp:projects/iAMCustomRole:IAMCustomRole (deployer):\n    error: "
         + DENIED.format("iam.roles.get", "//iam.googleapis.com/projects/p/roles/r"), TOLD),
        (table.DEVICE, "pubsub.topics.publish", "403 The caller does not have permission", UNSAID),
        (table.DEVICE, "pubsub.topics.publish",
         DENIED.format("iam.roles.get", "//iam.googleapis.com/projects/p/roles/r"), WRONG),
        (table.DEVICE, "pubsub.topics.publish", "", SILENT),
    ],
)  # fmt: skip
def test_what_access_makes_of_an_error(
    tmp_path: Path, identity: str, permission: str, text: str, expected: str
) -> None:
    settings = load("prod", tmp_path).settings
    lines = [
        need
        for need in table.needs(settings.capabilities)
        if (need.identity, need.permission) == (identity, permission)
    ]
    assert verdict(_refusal(permission, text, text), lines, settings) == expected
