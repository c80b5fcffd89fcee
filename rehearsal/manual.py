"""Pages of the manual that are made from settings and command lines, and its diagrams.

python -m rehearsal.manual settings > docs/reference/settings.md
python -m rehearsal.manual commands > docs/reference/commands.md
"""

from __future__ import annotations

import inspect
import re
import zlib
from collections.abc import Iterator, Mapping
from typing import Any, Final

import click
import mermaidx
import yaml

from access.__main__ import main as access
from components.configuration import SettingsError, parse, raw
from components.settings import Settings
from policies.gcp_access.command import report
from rehearsal.__main__ import main as rehearsal
from rehearsal.toolchain import ROOT
from simulator.__main__ import main as simulator

COMMANDS: Final[Mapping[str, click.Command]] = {
    "python -m rehearsal": rehearsal,
    "python -m access": access,
    "python -m simulator": simulator,
    "python policies report": report,
}
SETTINGS_HEAD: Final = """\
# Settings

Made from `Pulumi.yaml` and `components/` by `make docs`; do not edit.

Each environment has a file, `Pulumi.<name>.yaml`, whose keys begin with `predictive-maintenance:`.
What is wrong with its values is said all at once, before anything happens. What happens when a
value changes on a running stack: [Change a setting](../how-to/change-a-setting.md).
"""
HEADING: Final = re.compile(r"(?m)^  # (.+)\n  (\w+):$")
"""What a group of settings is about, and the first of them."""
COMMANDS_HEAD: Final = """\
# Commands

Made from the command lines themselves by `make docs`; do not edit. They run from the project's
folder, with `.venv/bin/python` for `python`. `make help` lists the targets of the Makefile."""


def settings() -> Iterator[str]:
    """docs/reference/settings.md."""
    yield SETTINGS_HEAD.rstrip()
    text = (ROOT / "Pulumi.yaml").read_text()
    declared = yaml.safe_load(text)["config"]
    headings = {key: heading for heading, key in HEADING.findall(text)}
    schema = Settings.model_json_schema(by_alias=True)
    wanted = _without_a_value(declared)
    for key, about in declared.items():
        if key in headings:
            yield f"\n## {headings[key]}\n"
            yield "| key | type | default | what it is |"
            yield "|---|---|---|---|"
        default = "has to be given" if key in wanted else f"`{_value(about['default'])}`"
        kind = _valid(schema["properties"].get(key, {}), schema) or about["type"]
        yield _row(f"`{key}`", kind, default, about["description"])
    for key in declared:
        if group := _group(schema["properties"].get(key, {}), schema):
            yield f"\n## {key}\n"
            yield "| key | type | default |"
            yield "|---|---|---|"
            for name, part in group["properties"].items():
                given = "has to be given" if name in group.get("required", ()) else ""
                default = given or _default(part)
                yield _row(f"`{name}`", _valid(part, schema), default)


def _without_a_value(declared: Mapping[str, Any]) -> set[str]:
    """Settings whose defaults are refused: the engine wants defaults for an environment's other
    layer, whose file has next to nothing."""
    defaults = raw({key: about.get("default", "") for key, about in declared.items()})
    try:
        parse(defaults, ROOT)
    except SettingsError as error:
        return {problem.partition(":")[0] for problem in error.problems}
    return set()


def commands() -> Iterator[str]:
    """docs/reference/commands.md."""
    yield COMMANDS_HEAD
    for name, command in COMMANDS.items():
        yield from _command(name, command, None, 2)


def _command(
    name: str, command: click.Command, parent: click.Context | None, depth: int
) -> Iterator[str]:
    context = click.Context(command, parent, info_name=name)
    yield f"\n{'#' * depth} {context.command_path}\n"
    yield inspect.cleandoc(command.help or "")
    if isinstance(command, click.Group):
        for each in command.list_commands(context):
            if found := command.get_command(context, each):
                yield from _command(each, found, context, depth + 1)
        return
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    yield f"\n```text\n{usage}\n```"
    records = [it.get_help_record(context) for it in command.params]
    if shown := [record for record in records if record and record[1]]:
        yield "\n| option | what it does |"
        yield "|---|---|"
        yield from (_row(f"<code>{option}</code>", text) for option, text in shown)


def _row(*cells: str) -> str:
    """A line of a table; GitHub and the site take a bar in it differently, but for an entity."""
    return f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |"


def _value(value: Any) -> str:
    text: str = yaml.safe_dump(value, default_flow_style=True, width=1000)
    return text.removesuffix("...\n").strip()


def _default(part: Mapping[str, Any]) -> str:
    value = part.get("default")
    return "" if value is None else f"`{_value(value)}`"


def _group(part: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """The object that a setting, each of its items or one of its alternatives is, if one is."""
    for option in (part, part.get("items", {}), *part.get("anyOf", ())):
        if "$ref" in option:
            found: Mapping[str, Any] = schema["$defs"][option["$ref"].rpartition("/")[2]]
            return found
    return {}


def _valid(part: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    """What a key takes, in a few words."""
    if options := [it for it in part.get("anyOf", ()) if it.get("type") != "null"]:
        return " or ".join(_valid(option, schema) for option in options)
    if "$ref" in part:
        return "object"
    if "const" in part or "enum" in part:
        return ", ".join(f"`{it}`" for it in part.get("enum", [part.get("const")]))
    kind = str(part.get("type", ""))
    if kind == "array":
        items = _valid(part["items"], schema)
        return f"list of {items}{'' if items.endswith('`') else 's'}"
    low = part.get("minimum", part.get("exclusiveMinimum"))
    high = part.get("maximum", part.get("exclusiveMaximum"))
    if low is not None and high is not None:
        return f"{kind}, {low} to {high}"
    return f"{kind}, {low} or more" if low is not None else kind


def diagram(source: str, language: str, css_class: str, options: Any, md: Any, **_: Any) -> str:
    """A fence of Mermaid as SVG, drawn when the site is built (pymdownx's `format` of a fence).

    The browser has nothing to load and to run for it, and it prints.
    """
    name = f"diagram-{zlib.crc32(source.encode())}"
    drawn = mermaidx.render(source).svg().replace("my-svg", name)
    return f'<div class="diagram" tabindex="0">{drawn}</div>'


@click.command()
@click.argument("page", type=click.Choice(["settings", "commands"]))
def main(page: str) -> None:
    """Print a page."""
    click.echo("\n".join({"settings": settings, "commands": commands}[page]()))


if __name__ == "__main__":
    main()
