"""Previews of pull requests by an account that can read the whole stack and change nothing."""

from __future__ import annotations

import os
from typing import Final

from components import permissions as table
from components.configuration import IMPERSONATE
from components.routing import RISKS
from rehearsal import environment as environments
from rehearsal.engine import Engine, stack_program
from rehearsal.report import Stage, StageFailed
from rehearsal.run import Rehearsal, demand_ok

OTHER_PERCENT: Final = 71
"""A target of CPU use that no environment has."""


def nothing_changed(run: Rehearsal, stage: Stage) -> None:
    """What a pull request that touches no setting shows, and from now on the reviewer runs it."""
    settings, reviewer = run.environment.settings, run.environment.reviewer
    if reviewer is None:
        raise StageFailed("nobody reviews", "previewMember is not set in this stack")
    run.engine.run_as(reviewer, impersonate=settings.email(table.PREVIEW))
    stage.note = _demand_shown(run, [], expect_no_changes=True)


def something_changed(run: Rehearsal, stage: Stage) -> None:
    """One setting differs: its change is shown, and nobody became the deployer for that."""
    here, settings = run.environment, run.environment.settings
    changed = {**here.overrides, "autoscaling": {"cpuPercent": OTHER_PERCENT}}
    run.engine.configure(environments.load(here.stack, run.report.folder / "models", **changed))
    # With it what follows it: what is deployed then is not known before.
    following = [
        *(["Subscription telemetry-predictions", f"Subscription {RISKS}"] if run.routes else ()),
        *(["MonitoringJob drift"] if run.watches_drift else ()),
        "DestroyGuard destroy-guard",
    ]
    shown = [f"update {name}" for name in ("ModelRollout rollout", *following)]
    stage.note = _demand_shown(run, shown)
    run.engine.configure(here)
    asked = [
        entry
        for entry in run.audit()
        if entry["resource"] == settings.account_name(table.DEPLOYER)
        and entry["principal"] == settings.member(table.PREVIEW)
    ]
    if asked:
        raise StageFailed("the preview account tried to become the deployer", str(asked[-1]))


def look_for_drift(run: Rehearsal, stage: Stage) -> None:
    """A preview with refresh, which reads everything. Then the platform runs the stack again."""
    run.engine.use(reading_as_oneself)
    stage.note = _demand_shown(run, [], refresh=True, run_program=True, expect_no_changes=True)
    run.engine.use(stack_program)
    run.engine.run_as_usual()


def _demand_shown(run: Rehearsal, changes: list[str], **options: bool) -> str:
    """A preview has to show these changes, and to leave the settings as they are."""
    before = _files(run.engine)
    outcome = run.engine.preview(**options)
    demand_ok(outcome)
    if sorted(outcome.touched) != sorted(changes):
        shown = "\n".join(outcome.touched) or "nothing"
        raise StageFailed("the preview shows something else than was changed", shown)
    if _files(run.engine) != before:
        raise StageFailed("a preview changed a settings file")
    return outcome.summary()


def _files(engine: Engine) -> dict[str, str]:
    return {path.name: path.read_text() for path in engine.directory.glob("Pulumi*.yaml")}


def reading_as_oneself() -> None:
    """The program as `PREDICTIVE_MAINTENANCE_IMPERSONATE=false pulumi preview` runs it."""
    os.environ[IMPERSONATE] = "false"
    try:
        stack_program()
    finally:
        del os.environ[IMPERSONATE]
