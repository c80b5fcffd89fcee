"""Rehearse the stack offline: the real Pulumi engine, a Google Cloud that enforces IAM."""

from __future__ import annotations

import os
import sys

import click
from rich.console import Console

from components.settings import SettingsError
from rehearsal import scenarios
from rehearsal.environment import UnknownStack
from rehearsal.rehearse import Options, rehearse, unknown_permissions
from rehearsal.report import Report
from rehearsal.sandbox import clean_environment
from rehearsal.toolchain import ToolchainError
from rehearsal.workforce import NotAPerson


def without_noise(said: sys.UnraisableHookArgs) -> None:
    """Pulumi's SDK leaves a coroutine behind when the engine ends a program early."""
    if getattr(said.object, "__name__", "") != "run_pulumi_func":
        sys.__unraisablehook__(said)


@click.group(help=__doc__)
def main() -> None:
    sys.unraisablehook = without_noise
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
@click.option("--keep", is_flag=True, help="Leave stack and cloud up, to use by hand.")
def up(stack: str, without: tuple[str, ...], without_api: tuple[str, ...],
       with_grant: tuple[str, ...], provider: str, keep: bool) -> None:  # fmt: skip
    """Take STACK through preview, up, predictions, up, refresh and destroy."""
    options = Options(stack, without, without_api, with_grant, provider, keep)
    if problems := unknown_permissions(options):
        raise click.UsageError("\n".join(problems))
    report = Report(stack, Console())
    try:
        passed = rehearse(options, report)
    except (UnknownStack, NotAPerson, SettingsError, ToolchainError) as error:
        raise click.ClickException(str(error)) from error
    report.console.print(f"summary: {os.path.relpath(report.write())}", highlight=False)
    sys.exit(0 if passed else 1)


@main.command()
@click.argument("name", type=click.Choice(list(scenarios.SCENARIOS)))
def scenario(name: str) -> None:
    """Play a named story, such as the one this project started from."""
    report = Report(name, Console())
    try:
        passed = scenarios.SCENARIOS[name](report)
    except ToolchainError as error:
        raise click.ClickException(str(error)) from error
    sys.exit(0 if passed else 1)


if __name__ == "__main__":
    main()
