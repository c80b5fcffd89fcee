"""The rules as a page, from the same source that the pack runs.

python -m policies.docs > docs/reference/policies.md
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

import yaml
from pydantic.alias_generators import to_camel

from policies.config import Config
from policies.rules import GROUPS, RULES
from policies.rules.rule import Example, Rule

MOST: Final = 6
"""Items of a list that an example shows."""

INTRODUCTION: Final = """\
# The policy pack

Made from `policies/rules` by `python -m policies.docs`; do not edit.

It judges the checked-in stacks, each preview and each `up` that names it, a state file, and every
rehearsal; it adds about a millisecond a resource to a preview (`make bench`).

```sh
make policies
pulumi preview --policy-pack policies
pulumi stack export > state.json
pulumi policy analyze --file state.json --policy-pack policies
```

A *mandatory* rule blocks in production and in every stack that has no file
in `policies/config`; in an environment whose file says `"enforcement": "advisory"` it advises.
*Advisory* rules never block.

Roles are judged by what they hold: Google's own from a catalogue of all of them, the stack's own
from what it declares, and others from Google's API where credentials are in a file (an answer is
kept for a day). A role that nobody can read blocks.

A value that a preview cannot know does not open a door. Where it comes from a custom role, a
service account or an agent of the same stack, it is judged by that. Otherwise X3 names it, and `up`
judges it before the resource is created. A failing rule blocks, and names its file and line.
"""

WAIVERS: Final = """\
A waiver excuses one finding. It is printed each time it is used; once it ended it counts as absent,
and the pack says so, as it does of one that matches nothing.

```json
"waivers": [{
  "rule": "G10",
  "resource": "gcp:storage/bucketIAMMember:BucketIAMMember::reads",
  "reason": "Ana finds out why the export stops",
  "owner": "platform@example.com",
  "expires": "2026-12-31"
}]
```
"""


def page() -> str:
    return "\n".join(_lines()).rstrip() + "\n"


def _lines() -> Iterator[str]:
    yield INTRODUCTION
    yield "## Configuration\n"
    yield "`policies/config/default.json` holds for every stack, `<stack>.json` where it differs."
    yield "An empty list of what is allowed allows everything of its kind.\n"
    yield "| key | default | valid | what it says |"
    yield "|---|---|---|---|"
    schema = Config.model_json_schema(by_alias=True)["properties"]
    for name, field in Config.model_fields.items():
        key = to_camel(name)
        default = field.get_default()
        shown = json.dumps(default) if isinstance(default, str | int | float) else ""
        yield f"| `{key}` | {shown} | {_valid(schema[key])} | {field.description} |"
    yield f"\n{WAIVERS}"
    yield "## Rules\n"
    yield "| rule | severity | level | what it looks for |"
    yield "|---|---|---|---|"
    for rule in RULES:
        link = f"[{rule.id}](#{rule.id.lower()})"
        yield f"| {link} | {rule.severity} | {_level(rule)} | {rule.title} |"
    for group, title in GROUPS.items():
        yield f"\n## {title}\n"
        for rule in RULES:
            if rule.id[0] == group:
                yield from _rule(rule)


def _valid(schema: dict[str, Any]) -> str:
    """What a key takes, in a few words."""
    for option in schema.get("anyOf", ()):
        if option.get("type") == "array":
            return f"{_valid(option)}, or {_other(schema)}"
    match schema.get("type"):
        case "array":
            return "list"
        case "object":
            return "map"
        case "integer" | "number":
            return f"{schema['minimum']} to {schema['maximum']}"
        case "boolean":
            return "true, false"
    return ", ".join(f"`{name}`" for name in schema.get("enum", ())) or "text"


def _other(schema: dict[str, Any]) -> str:
    constants = [f"`{option['const']}`" for option in schema["anyOf"] if "const" in option]
    return constants[0] if constants else "none"


def _level(rule: Rule) -> str:
    return "mandatory" if rule.mandatory else "advisory"


def _rule(rule: Rule) -> Iterator[str]:
    judged = {"grant": "each grant", "resource": "each resource", "stack": "the whole stack"}
    yield f'<a id="{rule.id.lower()}"></a>\n'
    yield f"### {rule.id}: {rule.title}\n"
    yield f"{rule.severity}, {_level(rule)}; looks at {judged[rule.each]}.\n"
    yield f"Why: {rule.protects}\n"
    for title, example in (("Bad", rule.bad), ("Good", rule.good)):
        if example:
            yield f"{title}:\n\n```yaml\n{_yaml(example)}```\n"
    yield f"Fix:\n\n```\n{rule.remedy}\n```\n"


def _yaml(example: Example) -> str:
    shown = {
        name: {"type": type_, "properties": _short(inputs)}
        for name, (type_, inputs) in example.items()
    }
    return str(yaml.safe_dump({"resources": shown}, sort_keys=False, width=100))


def _short(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _short(item) for key, item in value.items()}
    if isinstance(value, list):
        more = [f"... and {len(value) - MOST} more"] if len(value) > MOST else []
        return [*map(_short, value[:MOST]), *more]
    return value


if __name__ == "__main__":
    print(page(), end="")
