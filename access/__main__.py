"""`python -m access`: explain a denial, verify an environment, report how strong identities are,
tell who gains or loses access by a change, comment on a preview, settle an interrupted `up`, name
what an `up` made twice, take over what is there already, print an identity's role."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Final, TextIO

import click
import yaml

from access import comment, diff, report, split
from access.adopt import NotAdoptable, adoption
from access.answer import explained, settings_of
from access.bootstrap import role_file, script
from access.needs import needs
from access.recover import CannotLook, UnknownKind, doubles, recovered, signed_in
from components import permissions as table
from components.configuration import SettingsError
from components.configuration import stacks as environments
from components.settings import Settings
from pulumi_plugin.kinds import ProviderError

ROOT: Final = Path(__file__).parents[1]


@click.group(help=__doc__)
def main() -> None:
    pass


def _settings(stack: str, folder: Path = ROOT) -> Settings:
    """Those of a stack's file. Raises click.ClickException."""
    try:
        return settings_of(stack, folder)
    except FileNotFoundError as error:
        raise click.ClickException(f"there is no {error.filename}") from error
    except SettingsError as error:
        raise click.ClickException(str(error)) from error


@main.command("explain")
@click.argument("file", type=click.File(errors="replace"), default="-")
@click.option("--stack", help="Name accounts and roles as Pulumi.STACK.yaml has them.")
@click.option("--json", "as_json", is_flag=True, help="Print data, for other programs.")
def explain_text(file: TextIO, stack: str | None, as_json: bool) -> None:
    """Explain each denial in FILE (or standard input): an error, a log, Pulumi's output."""
    explanations = explained(file.read(), _settings(stack) if stack else None)
    if not explanations:
        raise click.ClickException(
            "no denial found; paste the text with Google's message, such as "
            "\"Permission '…' denied on resource '…'\""
        )
    if as_json:
        json.dump([found.data() for found in explanations], sys.stdout, indent=2)
        click.echo()
        return
    parts = ["\n".join(found.lines()) for found in explanations]
    if len(parts) > 1:
        parts = [f"{number}. {part}" for number, part in enumerate(parts, 1)]
    click.echo("\n\n".join(parts))


@main.command("report")
@click.argument("stacks", nargs=-1)
def report_strength(stacks: tuple[str, ...]) -> None:
    """How strong each identity of STACKS (or of all) is: a table, and a diagram in Mermaid."""
    for stack in stacks or sorted(environments(ROOT)):
        click.echo(f"## {stack}\n")
        click.echo("\n".join(report.strength(_settings(stack).capabilities)) + "\n")


@main.command("verify")
@click.argument("stack")
@click.option(
    "--folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=ROOT,
    help="Where Pulumi.yaml and the stack's file are, such as the stack of a kept rehearsal.",
)
@click.option(
    "--me",
    type=click.Choice([table.PLATFORM, table.REVIEWER]),
    help="The identity that your own credentials are, if they are one.",
)
@click.option("--hours", default=1.0, show_default=True, help="How far back denials count.")
@click.option(
    "--reading", metavar="JSON", help="Values of the sensors, as a list; zeros unless given."
)
@click.option("--test-endpoint", is_flag=True, help="Make an endpoint as the deployer; remove it.")
@click.option("--json", "as_json", is_flag=True, help="Print data, for other programs.")
def verify_stack(
    stack: str,
    folder: Path,
    me: str | None,
    hours: float,
    reading: str | None,
    test_endpoint: bool,
    as_json: bool,
) -> None:
    """Compare what is there with what STACK declares; ends with 1 when a check fails.

    It asks with your application default credentials, and as the stack's accounts where you may
    become them (roles/iam.serviceAccountTokenCreator). Nothing is changed without --test-endpoint.
    """
    from access.live import Live
    from access.verify import FAIL, Asked, told, verify

    try:
        values = tuple(float(value) for value in json.loads(reading or "[]"))
    except (TypeError, ValueError) as error:
        raise click.UsageError(f"--reading: {error}") from error
    live = Live(_settings(stack, folder), me or "")
    try:
        found = list(verify(live, Asked(hours, values, test_endpoint)))
    except ProviderError as error:
        raise click.ClickException(str(error)) from error
    if as_json:
        json.dump([asdict(finding) for finding in found], sys.stdout, indent=2)
        click.echo()
    else:
        click.echo("\n".join(told(found)))
    sys.exit(1 if any(finding.state == FAIL for finding in found) else 0)


@main.command("diff")
@click.argument("before", type=click.File())
@click.argument("after", type=click.File(), required=False)
@click.option("--json", "as_json", is_flag=True, help="Print data, with every permission.")
@click.option("--markdown", "as_markdown", is_flag=True, help="Print what a comment begins with.")
def diff_access(before: TextIO, after: TextIO | None, as_json: bool, as_markdown: bool) -> None:
    """Who gains or loses which permission on what, and who can make himself stronger by it.

    BEFORE and AFTER are states, as `pulumi stack export` prints them; BEFORE alone is a preview,
    as `pulumi preview --json --show-sames` prints it.
    """
    try:
        if after:
            found = diff.of_states(json.load(before), json.load(after))
        else:
            found = diff.of_preview(json.load(before))
    except (diff.NotReadable, ValueError) as error:
        raise click.ClickException(str(error)) from error
    if as_json:
        json.dump(asdict(found) | _named(found), sys.stdout, indent=2)
        click.echo()
    else:
        click.echo("\n".join(comment.access(found) if as_markdown else diff.told(found)))


def _named(found: diff.Diff) -> dict[str, list[dict[str, str]]]:
    """Ways to become stronger, with the names of their parts."""
    return {
        "stronger": [way._asdict() for way in found.stronger],
        "weaker": [way._asdict() for way in found.weaker],
    }


@main.command("comment")
@click.argument("preview", type=click.File())
@click.argument("events", type=click.File())
@click.option("--stack", default="", help="Named in the title; the preview's own unless given.")
def comment_preview(preview: TextIO, events: TextIO, stack: str) -> None:
    """Print the comment on a pull request: access gained and lost, changes, what the pack said.

    PREVIEW is what `pulumi preview --json --show-sames` prints, EVENTS what its --event-log wrote
    (PULUMI_DEBUG_COMMANDS=true lets the CLI know that option). Ends with 1 when a policy could
    not run, when the pack forbids something, and when the preview failed.
    """
    try:
        log = [json.loads(line) for line in events if line.strip()]
        found = comment.read(json.load(preview), log)
    except (diff.NotReadable, ValueError) as error:
        raise click.ClickException(str(error)) from error
    click.echo(comment.text(found, stack), nl=False)
    sys.exit(0 if found.passed else 1)


@main.command()
@click.argument("state", type=click.File(), default="-")
@click.option("--offline", is_flag=True, help="Look up nothing in the cloud.")
def recover(state: TextIO, offline: bool) -> None:
    """Settle what an interrupted `pulumi up` began: export in, import out.

    Whether alerts, channels, services, objectives and dashboards were made is looked up in the
    cloud, with your application default credentials.
    """
    try:
        json.dump(
            recovered(json.load(state), None if offline else signed_in()), sys.stdout, indent=4
        )
    except (UnknownKind, CannotLook) as error:
        raise click.ClickException(str(error)) from error


@main.command("doubles")
@click.argument("state", type=click.File(), default="-")
def name_doubles(state: TextIO) -> None:
    """Name alerts, channels and dashboards that were made twice: STATE does not know them.

    A create whose answer got lost is repeated, and Google keeps what both have made.
    """
    try:
        found = doubles(json.load(state), signed_in())
    except (UnknownKind, CannotLook) as error:
        raise click.ClickException(str(error)) from error
    for url in found:
        click.echo(url)
    if found:
        click.echo("The state knows another that is called the same: delete these.", err=True)


@main.command("adopt")
@click.argument("preview", type=click.File())
def adopt_existing(preview: TextIO) -> None:
    """Print a file for `pulumi import --file`: what is there already of what PREVIEW would create.

    PREVIEW is what `pulumi preview --json --show-sames` prints. The cloud is asked with your
    application default credentials; nothing is changed. docs/how-to/adopt.md says how to go on.
    """
    try:
        found = adoption(json.load(preview), signed_in())
    except (NotAdoptable, CannotLook, ValueError) as error:
        raise click.ClickException(str(error)) from error
    json.dump(found.file, sys.stdout, indent=4)
    click.echo()
    for note in found.notes:
        click.echo(note, err=True)


@main.command("split")
@click.argument("state", type=click.File(), default="-")
@click.option("--to", "rollout", required=True, metavar="STACK", help="The stack of the rollout.")
def split_state(state: TextIO, rollout: str) -> None:
    """Print what makes a stack's exported STATE two: the commands that move the rollout's part.

    Run them before the first `pulumi up` with `layer: foundation` (docs/how-to/two-layers.md).
    """
    try:
        click.echo(split.script(json.load(state), rollout))
    except ValueError as error:
        raise click.ClickException(str(error)) from error


@main.command()
@click.argument("identity", type=click.Choice(list(table.IDENTITIES)))
@click.option("--stack", help="The environment: what it does follows from Pulumi.STACK.yaml.")
@click.option(
    "--may",
    multiple=True,
    type=click.Choice([*table.CAPABILITIES, *table.FOLLOWING]),
    help="What an environment without a file does. Repeatable.",
)
@click.option("--in-source", is_flag=True, help="The role in the project of looked-up models.")
def role(identity: str, stack: str | None, may: tuple[str, ...], in_source: bool) -> None:
    """Print what IDENTITY is to hold on the project, for `gcloud iam roles create --file`."""
    capabilities = {*may, *(_settings(stack).capabilities if stack else ())}
    try:
        file = role_file(identity, capabilities, in_source)
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    yaml.safe_dump(file, sys.stdout, sort_keys=False)


@main.command("needs")
@click.argument("stack")
def print_needs(stack: str) -> None:
    """Print what each identity of STACK needs, and on what, as the policy pack reads it."""
    json.dump(needs(_settings(stack)), sys.stdout, indent=1)
    click.echo()


@main.command("bootstrap")
@click.argument("stack")
def print_bootstrap(stack: str) -> None:
    """Print what has to exist before the first `pulumi up` of STACK: role files and commands.

    For `bash -eu`, as an owner of its projects, once it has been read.
    """
    click.echo("\n".join(script(_settings(stack))))


if __name__ == "__main__":
    main()
