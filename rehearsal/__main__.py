"""Rehearse the stack offline: the real Pulumi engine, a Google Cloud that enforces IAM."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import click
import yaml
from rich.console import Console

from components.configuration import SettingsError
from rehearsal import ablate, causes, crash, kept, page, prove, scenarios, trouble
from rehearsal.callers import UnknownCaller
from rehearsal.engine import EngineError
from rehearsal.environment import UnknownStack
from rehearsal.rehearse import UnknownStage, go_on, rehearse, unknown_permissions
from rehearsal.report import SCREEN_COLUMNS, Report
from rehearsal.run import FAULT_RATE, Options
from rehearsal.sandbox import Sandbox, clean_environment
from rehearsal.toolchain import ToolchainError


def end(number: int, frame: object) -> None:
    """Leave nothing behind. SIGINT too: a shell lets what it starts in the background ignore it."""
    for other in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(other, signal.SIG_IGN)
    Sandbox.close_all()
    sys.exit(128 + number)


def without_noise(said: sys.UnraisableHookArgs) -> None:
    """Pulumi's SDK leaves a coroutine behind when the engine ends a program early."""
    if getattr(said.object, "__name__", "") not in ("run_pulumi_func", "run_in_stack"):
        sys.__unraisablehook__(said)


def overrides(given: tuple[str, ...]) -> dict[str, Any]:
    """Settings from `KEY=VALUE`. Raises click.UsageError."""
    values = {}
    for item in given:
        key, there, value = item.partition("=")
        if not there:
            raise click.UsageError(f"--set {item}: write it as KEY=VALUE")
        try:
            values[key] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise click.UsageError(f"--set {item}: the value is no YAML: {error}") from error
    return values


UNTRIED: Final = (
    UnknownStack, UnknownCaller, SettingsError, ToolchainError, kept.NotKept, UnknownStage,
)  # fmt: skip
"""Why nothing could be tried; the message says what to put right."""


@contextmanager
def explained() -> Iterator[None]:
    """Raises click.ClickException in place of why nothing could be tried."""
    try:
        yield
    except UNTRIED as error:
        raise click.ClickException(str(error)) from error


@contextmanager
def written(report: Report, *, paged: bool = False) -> Iterator[None]:
    """Write the summary at the end, whatever comes: what was found until then is in it.

    With `paged`, as pages for people too.

    Raises click.ClickException in place of errors that say what to put right.
    """
    with explained():
        try:
            yield
        except UNTRIED:
            raise
        except BaseException as error:
            show_summary(report, paged)
            if isinstance(error, EngineError):
                raise click.ClickException(str(error)) from error
            raise
        show_summary(report, paged)


def show_summary(report: Report, paged: bool) -> None:
    report.console.print(f"summary: {os.path.relpath(report.write())}", highlight=False)
    if paged:
        shown = page.write(report.written_to, report.summary)
        report.console.print(f"report: {os.path.relpath(shown)}", highlight=False)


SETTINGS: Final = click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="Use another value of a setting, as YAML, than the stack's file has. Repeatable.",
)
OUTPUT: Final = click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where the summary goes; build/rehearsal/… unless given.",
)


@click.group(help=__doc__)
def main() -> None:
    sys.unraisablehook = without_noise
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, end)
    kept = clean_environment()
    for name in set(os.environ) - set(kept):
        del os.environ[name]


@main.command()
@click.argument("stack")
@click.option(
    "--without",
    multiple=True,
    metavar="[IDENTITY:]PERMISSION",
    help="Take a permission away, whichever grant it comes from. Repeatable.",
)
@click.option(
    "--without-api",
    multiple=True,
    metavar="SERVICE",
    help="Keep an API from ever serving. Repeatable.",
)
@click.option(
    "--with-grant",
    multiple=True,
    metavar="ROLE",
    help="Add a grant of ROLE to the deployer to the program. Repeatable.",
)
@click.option(
    "--provider",
    type=click.Choice(["auto", "official", "standin"]),
    default="auto",
    show_default=True,
    help="Which plugin plays the gcp package.",
)
@SETTINGS
@click.option(
    "--keep",
    is_flag=True,
    help="Leave stack and cloud up when this ends, to go on with --only and --from, or by hand.",
)
@click.option("--only", metavar="STAGE", help="Play just this stage, on the cloud that was kept.")
@click.option(
    "--from",
    "begin",
    metavar="STAGE",
    help="Play this stage and those after it, on the cloud that was kept.",
)
@click.option("--slow", is_flag=True, help="Everything takes as long as at Google, in fast motion.")
@click.option("--faults", type=int, metavar="SEED", help="Let the up meet with faults.")
@click.option("--fault-rate", default=FAULT_RATE, show_default=True, help="Share of requests.")
@click.option(
    "--pictures",
    type=click.Path(file_okay=False),
    default="",
    metavar="FOLDER",
    help="Draw the dashboard and an incident into FOLDER.",
)
@click.option(
    "--screen",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Draw what is printed here into FILE, as SVG.",
)
@OUTPUT
def up(stack: str, without: tuple[str, ...], without_api: tuple[str, ...],
       with_grant: tuple[str, ...], provider: str, settings: tuple[str, ...], keep: bool,
       only: str | None, begin: str | None, slow: bool, faults: int | None, fault_rate: float,
       pictures: str, screen: Path | None, output: Path | None) -> None:  # fmt: skip
    """Take STACK through preview, up, predictions, up, refresh and destroy.

    Stages are called as the report calls them: --only "up again".
    """
    options = Options(
        stack, without, without_api, with_grant, provider, keep, slow, faults, fault_rate,
        overrides(settings), pictures,
    )  # fmt: skip
    if problems := unknown_permissions(options):
        raise click.UsageError("\n".join(problems))
    stage = only or begin
    if only and begin:
        raise click.UsageError("--only and --from exclude each other")
    if stage and (options.ablated or slow):
        raise click.UsageError(
            "--without, --without-api and --slow go with --keep: a cloud that is kept has them"
        )
    console = Console(record=True, width=SCREEN_COLUMNS) if screen else Console()
    report = Report(stack, console, output=output)
    with written(report, paged=True):
        if stage:
            passed = go_on(options, report, stage, alone=bool(only))
        else:
            passed = rehearse(options, report)
    if screen:
        screen.write_text(report.screen(f"rehearsal up {stack}"))
    sys.exit(0 if passed else 1)


@main.command("end")
@click.argument("stack")
@OUTPUT
def end_kept(stack: str, output: Path | None) -> None:
    """End the cloud of STACK that `up --keep` left, and all that works in it."""
    report = Report(stack, Console(), output=output)
    with explained():
        report.console.print(f"gone: {kept.end(report)}", highlight=False, soft_wrap=True)


@main.command("summary")
@click.argument("stack")
@OUTPUT
def print_summary(stack: str, output: Path | None) -> None:
    """Print the last summary of STACK (such as staging, staging-proof) as Markdown.

    The report beside it is made anew, with what was proven since.
    """
    folder = Report(stack, Console(), output=output).written_to
    file = folder / "summary.json"
    try:
        summary = json.loads(file.read_text())
    except FileNotFoundError as error:
        raise click.ClickException(f"there is no {file}: nothing was rehearsed") from error
    page.write(folder, summary)
    click.echo((folder / "report.md").read_text(), nl=False)


@main.command()
@click.argument("name", type=click.Choice([*scenarios.SCENARIOS, "all"]))
def scenario(name: str) -> None:
    """Play a story or a cause of failing deployments by its name, or all these causes.

    docs/reference/scenarios.md lists the causes.
    """
    report = Report(name, Console())
    with explained():
        passed = causes.play(report) if name == "all" else scenarios.SCENARIOS[name](report)
    sys.exit(0 if passed else 1)


@main.command("prove")
@click.argument("stack")
@OUTPUT
@SETTINGS
def prove_roles(stack: str, output: Path | None, settings: tuple[str, ...]) -> None:
    """Play the whole life of STACK; nothing that is granted may be spare, nothing unlisted used."""
    report = Report(f"{stack}-proof", Console(), output=output)
    with written(report, paged=True):
        passed = prove.prove(stack, report, overrides(settings))
    sys.exit(0 if passed else 1)


@main.command("ablate")
@click.argument("stack")
@OUTPUT
def take_out(stack: str, output: Path | None) -> None:
    """Take each grant of STACK out once; a step has to fail for it, where the table says."""
    report = Report(f"{stack}-ablation", Console(), output=output)
    with written(report):
        passed = ablate.ablate(stack, report)
    sys.exit(0 if passed else 1)


@main.command("crash")
@click.argument("stack")
@click.option(
    "--scenario",
    type=click.Choice([*crash.SCENARIOS, "all"]),
    default="all",
    show_default=True,
    help="Which `up` to kill: the very first one, or the update to a new model version.",
)
@click.option(
    "--at",
    multiple=True,
    metavar="K|METHOD[:K]",
    help="Kill only after change number K, of those of METHOD (such as endpoints.deployModel). "
    "Repeatable.",
)
@click.option("--sample", is_flag=True, help="After the last change of each method.")
@OUTPUT
def crash_sweep(
    stack: str, scenario: str, at: tuple[str, ...], sample: bool, output: Path | None
) -> None:
    """Kill the engine after each change it makes to STACK; it has to recover from every one."""
    report = Report(f"{stack}-crash", Console(), output=output)
    chosen = list(crash.SCENARIOS) if scenario == "all" else [scenario]
    try:
        points = [crash.Point.parse(point) for point in at]
    except ValueError as error:
        raise click.UsageError(f"--at {error}") from error
    with written(report):
        passed = [crash.sweep(stack, name, points, report, sample=sample) for name in chosen]
        report.summary["passed"] = all(passed)
    sys.exit(0 if all(passed) else 1)


@main.command("faults")
@click.argument("stack")
@click.option("--seeds", default=20, show_default=True, help="Try seeds 1 to this.")
@click.option("--fault-rate", default=FAULT_RATE, show_default=True, help="Share of requests.")
@OUTPUT
def under_faults(stack: str, seeds: int, fault_rate: float, output: Path | None) -> None:
    """Bring STACK up under faults, seed by seed; each has to end in the right state."""
    report = Report(f"{stack}-faults", Console(), output=output)
    with written(report):
        passed = trouble.try_seeds(stack, list(range(1, seeds + 1)), fault_rate, report)
        report.summary["passed"] = passed
    sys.exit(0 if passed else 1)


if __name__ == "__main__":
    main()
