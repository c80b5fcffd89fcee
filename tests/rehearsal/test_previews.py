"""The commands of the workflows on a rehearsal: what comments are made of stays the same."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from access.comment import read, text
from components import permissions as table
from rehearsal import environment as environments
from rehearsal.engine import stack_program
from rehearsal.report import Report
from rehearsal.run import Options, opened
from tests.previews import RECORDED, events, preview
from tests.rehearsal.previews import FAILED, carry_out, record_all
from tests.workflows import command

pytestmark = pytest.mark.sweep


def test_prod_is_deployed_by_its_workflow_as_the_jobs_that_it_has(tmp_path: Path) -> None:
    """The rollout's job may become the deployer, and holds nothing else."""
    report = Report("prod-workflow", Console(stderr=True), output=tmp_path)
    look = command("deploy", "changes", "See whether the foundation would change")
    output = tmp_path / "output"
    with opened(Options("prod"), report) as run:
        foundation, rollout = run.engine.layers
        assert rollout.environment.platform == run.environment.jobs[table.ROLLOUT_JOBS]
        carry_out(foundation, command("deploy", "prod-foundation", "Deploy"), stack_program)
        carry_out(rollout, command("deploy", "prod", "Deploy"), stack_program)
        settings, reviewer = run.environment.settings, run.environment.reviewer
        assert reviewer
        foundation.run_as(reviewer, impersonate=settings.email(table.PREVIEW))
        github = {"GITHUB_OUTPUT": str(output)}
        carry_out(foundation, look, stack_program, given=github)
        changed = environments.load("prod", report.folder / "models", accountPrefix="iot-")
        foundation.configure(changed)
        carry_out(foundation, look, stack_program, given=github)
        again = rollout.up(judged=False)
    assert output.read_text().splitlines() == ["foundation=same", "foundation=changes"]
    assert (again.ok, again.changed) == (True, 0)


def test_comments_of_previews_made_now_are_the_golden_ones(tmp_path: Path) -> None:
    record_all(tmp_path)
    for folder in sorted(RECORDED.iterdir()):
        found = read(preview(folder.name, tmp_path), events(folder.name, tmp_path))
        if folder.name == FAILED:  # which of its reads fail is a matter of time
            assert found.errors
            continue
        golden = (folder / "comment.md").read_text()
        assert text(found) == golden, "if it is meant: python -m tests.rehearsal.previews"
