"""`python FOLDER report FILE`: what the pack says of a file; see report.py."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final, NoReturn

import click

from . import NAME
from .config import ConfigError, load
from .pack import Pack, policies
from .report import judge, markdown, text
from .rules import RULES
from .sarif import sarif
from .stored import NotReadable, read

FILE: Final = click.Path(exists=True, dir_okay=False, allow_dash=True)


@click.command()
@click.argument("file", type=FILE)
@click.option(
    "--format", "form", type=click.Choice(["text", "markdown", "sarif"]), default="text",
    show_default=True, help="For a terminal, for a job's summary, or for code scanning.",
)  # fmt: skip
@click.option(
    "--output", type=click.Path(dir_okay=False, path_type=Path),
    help="Write it there; only counts are printed then.",
)  # fmt: skip
@click.option(
    "--config", type=FILE,
    help="Pulumi's policy config, as --policy-pack-config takes it.",
)  # fmt: skip
@click.option(
    "--at", default="Pulumi.yaml", show_default=True,
    help="In SARIF: the file that alerts are shown at, by its path in the repository.",
)  # fmt: skip
def report(file: str, form: str, output: Path | None, config: str | None, at: str) -> None:
    """Judge FILE (`-`: what is piped in): a state by `pulumi stack export`, or a preview by
    `pulumi preview --json --show-sames`.

    Ends with 0 where nothing blocks, 1 where something does, 2 where FILE or the configuration
    cannot be read.
    """
    try:
        pack = Pack(RULES, load({rule.id: rule.mandatory for rule in RULES}))
        if config:
            pack.configs.give(_given(config, [one.name for one in policies(pack)]))
        found = judge(read(_bytes(file)), pack)
    except NotReadable as error:
        _refuse(f"{'standard input' if file == '-' else file}: {error}")
    except ConfigError as error:
        _refuse(str(error))
    match form:
        case "sarif":
            said = json.dumps(sarif(found, NAME, at), indent=2, ensure_ascii=False) + "\n"
        case "markdown":
            said = markdown(found)
        case _:
            said = text(found)
    if output:
        output.write_text(said, encoding="utf-8")
        said = f"{found.counts}: {output}\n"
    click.echo(said, nl=False)
    raise SystemExit(found.blocking > 0)


def _given(file: str, known: list[str]) -> dict[str, Any]:
    """What Pulumi's policy config says to any of the pack's policies. It holds for all of them."""
    try:
        given = json.loads(_bytes(file))
    except ValueError as error:
        _refuse(f"{file}: is not JSON ({error})")
    found: dict[str, Any] = {}
    for policy, values in given.items() if isinstance(given, dict) else [("", given)]:
        if policy not in known:
            names = ", ".join(known)
            _refuse(f"{file}: {policy!r} is no policy of this pack; they are {names}")
        if not isinstance(values, dict) or "enforcementLevel" in values:
            _refuse(
                f"{file}: {policy}: levels are the engine's business; to advise only, say "
                '{"enforcement": "advisory"}'
            )
        found |= values
    return found


def _bytes(file: str) -> bytes:
    with click.open_file(file, "rb") as opened:
        return bytes(opened.read())


def _refuse(said: str) -> NoReturn:
    click.echo(f"Error: {said}", err=True)
    raise SystemExit(2)
