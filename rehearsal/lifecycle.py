"""That the engine brings the stack up, finds it as it left it, and takes it away."""

from __future__ import annotations

from rehearsal import colleague, telemetry, workloads
from rehearsal.engine import Outcome
from rehearsal.report import Stage, StageFailed
from rehearsal.run import Rehearsal


def preview(run: Rehearsal, stage: Stage) -> None:
    run.hold(stage, run.engine.preview())


def up(run: Rehearsal, stage: Stage) -> None:
    outcome = run.engine.up()
    run.hold(stage, outcome)
    run.report.summary["resources"] = outcome.resources


def up_again(run: Rehearsal, stage: Stage) -> None:
    _hold_unchanged(run, stage, run.engine.up(judged=False))


def refresh(run: Rehearsal, stage: Stage) -> None:
    _hold_unchanged(run, stage, run.engine.refresh())


def refuse_destroy(run: Rehearsal, stage: Stage) -> None:
    """A protected environment must not go away by a slip, and has to serve on."""
    outcome = run.engine.destroy()
    if outcome.ok or not any("protect" in error for error in outcome.errors):
        raise StageFailed("destroy was not refused for protection", "\n".join(outcome.errors))
    workloads.predictor(run)(telemetry.unseen(1)[0])
    stage.note = "protected; the endpoint still serves"


def destroy(run: Rehearsal, stage: Stage) -> None:
    """Take everything away; only soft-deleted roles and enabled APIs may be left."""
    beside = run.registers and colleague.has_registered(run)
    run.hold(stage, run.engine.destroy())
    if beside:
        colleague.take_back(run)
    if left := run.left_behind():
        raise StageFailed("something is left behind", "\n".join(left))


def _hold_unchanged(run: Rehearsal, stage: Stage, outcome: Outcome) -> None:
    run.hold(stage, outcome)
    if outcome.changed:
        raise StageFailed(
            "something changed that had to stay as it was", "\n".join(outcome.touched)
        )
