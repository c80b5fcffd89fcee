"""What the policy pack says of the checked-in stacks, for a review.

python -m rehearsal.review [STACK...]

Previews each `Pulumi.<stack>.yaml` offline, and fails on anything the pack says: also on advice,
and on a rule that could not run.
"""

from __future__ import annotations

import os
import sys
from typing import Final

import click
from rich.console import Console

from components.configuration import SettingsError
from components.configuration import stacks as environments
from rehearsal.environment import UnknownStack
from rehearsal.report import Report, StageFailed
from rehearsal.run import Options, demand_ok, opened
from rehearsal.sandbox import clean_environment
from rehearsal.toolchain import ROOT, ToolchainError

STACKS: Final = tuple(sorted(environments(ROOT)))


def review(stack: str, report: Report) -> bool:
    """Preview one stack under the pack; True when nothing was said and nothing went wrong."""
    held = False
    with opened(Options(stack), report) as run, run.explained():
        if run.environment.rollout:
            with report.stage("what the rollout stands on"):
                demand_ok(run.engine.layers[0].up(judged=False))
        with report.stage(f"preview {stack}") as stage:
            outcome = run.engine.preview()
            stage.note = f"{outcome.summary()}; {len(outcome.violations)} violations"
            if outcome.violations:
                said = [f"{level}: {message}" for level, message in outcome.violations]
                raise StageFailed(f"the policy pack objects to {stack}", "\n".join(said))
            demand_ok(outcome)
        held = True
    return held


@click.command(help=__doc__)
@click.argument("stacks", nargs=-1)
def main(stacks: tuple[str, ...]) -> None:
    for name in set(os.environ) - set(clean_environment()):
        del os.environ[name]
    try:
        passed = [review(stack, Report(stack, Console())) for stack in stacks or STACKS]
    except (UnknownStack, SettingsError, ToolchainError) as error:
        raise click.ClickException(str(error)) from error
    sys.exit(0 if all(passed) else 1)


if __name__ == "__main__":
    main()
