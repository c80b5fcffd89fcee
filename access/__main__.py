"""`python -m access`: explain a denial, settle an interrupted `up`, print an identity's role."""

from __future__ import annotations

import json
import sys
from typing import TextIO

import click
import yaml

from access.explain import explain, find
from access.recover import UnknownKind, recovered
from components import permissions as table


@click.group(help=__doc__)
def main() -> None:
    pass


@main.command("explain")
@click.argument("file", type=click.File(), default="-")
def explain_text(file: TextIO) -> None:
    """Explain the first denial in FILE (or standard input): an error, a log, Pulumi's output."""
    denial = find(file.read())
    if denial is None:
        raise click.ClickException(
            "no denial found; paste the text with Google's message, such as "
            "\"Permission '…' denied on resource '…'\""
        )
    click.echo("\n".join([*explain(denial), "", denial.text]))


@main.command()
@click.argument("state", type=click.File(), default="-")
def recover(state: TextIO) -> None:
    """Settle what an interrupted `pulumi up` began: export in, import out."""
    try:
        json.dump(recovered(json.load(state)), sys.stdout, indent=4)
    except UnknownKind as error:
        raise click.ClickException(str(error)) from error


@main.command()
@click.argument("identity", type=click.Choice(list(table.IDENTITIES)))
@click.option(
    "--may",
    "capabilities",
    multiple=True,
    type=click.Choice([*table.CAPABILITIES, *table.FOLLOWING]),
    help="What the environment allows: its deployerMay, `source` when a model is looked up in "
    "another project, `review` when previewMember is set.",
)
@click.option("--in-source", is_flag=True, help="The role in the project of looked-up models.")
def role(identity: str, capabilities: tuple[str, ...], in_source: bool) -> None:
    """Print what IDENTITY is to hold on the project, for `gcloud iam roles create --file`."""
    project = table.SOURCE_PROJECT if in_source else table.PROJECT
    held = sorted(
        {
            permission
            for role in table.roles(capabilities)
            if role.identity == identity and role.on == project
            for permission in role.permissions
        }
    )
    if not held:
        raise click.ClickException(f"{identity} needs nothing there")
    yaml.safe_dump(
        {
            "title": f"Predictive maintenance: {identity}",
            "stage": "GA",
            "includedPermissions": held,
        },
        sys.stdout,
        sort_keys=False,
    )


if __name__ == "__main__":
    main()
