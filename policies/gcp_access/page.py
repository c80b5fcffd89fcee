"""The rules as a page, from the same source that the pack runs.

python -m policies.gcp_access.page > docs/reference/policies.md
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import yaml
from msgspec.structs import fields

from . import config as config_module
from .config import Config, schema
from .rules import GROUPS, RULES
from .rules.rule import Example, Rule

MOST: Final = 6
"""Items of a list that an example shows."""

INTRODUCTION: Final = """\
# The policy pack

Made from `policies/gcp_access/rules` by `python -m policies.gcp_access.page`; do not edit.

## Take it for another stack

The folder `policies/` is a pack by itself, for any stack on Google Cloud, in any language. From a
clone of this project:

```sh
git archive --prefix=access-pack/ HEAD:policies | tar -x -C ../their-stack
cd ../their-stack && python3 -m venv access-pack/.venv && \\
  access-pack/.venv/bin/pip install -r access-pack/requirements.txt
pulumi preview --policy-pack access-pack
```

That is the *baseline*: nothing has to be configured, and what is in `config/` is for this project's
stacks alone. `pulumi policy publish access-pack` uploads the same folder.

## Judge

```sh
make policies
pulumi preview --policy-pack policies
pulumi stack export > state.json
pulumi policy analyze --file state.json --policy-pack policies
```

It judges the checked-in stacks, each preview and each `up` that names it, a state file, and every
rehearsal.

## Profiles and levels

*Baseline* rules judge by content: what a role holds, who gets it, on how much. They take no stack's
names, places, people or permission table for granted. *Strict* rules come on top where
`"profile": "strict"` is configured, as for this project's stacks: they need to be told what the
stack needs (`python -m access needs STACK` writes it), and each says why it is not in the baseline.

A *mandatory* rule blocks, unless the environment's configuration says `"enforcement": "advisory"`;
then it advises. *Advisory* rules never block. What is found in one resource is one message, worst
first, each fix once; so it is in `python policies report FILE`, which writes text, Markdown or
SARIF.

Roles are judged by what they hold: Google's own from a catalogue of all of them, the stack's own
from what it declares, and others from Google's API where credentials are in a file (an answer is
kept for a day). A role that nobody can read blocks.

Grants are found by their shape, whatever the package: `gcp`, `google-native`, the bridged `google`
and `google-beta`, dynamic resources, components' inputs, Config Connector. What can grant and
cannot be read, such as a command with `gcloud … add-iam-policy-binding`, is said to be so (X5), and
blocks. What a script does that a command starts is not followed.

Conditions are parsed as CEL. What a rule cannot follow counts as not restricting; what a limited
administrator may grant counts as his; a name in a condition narrows a grant.

A value that a preview cannot know does not open a door. Where it comes from a custom role, a
service account or an agent of the same stack, it is judged by that. Otherwise X3 names it, and `up`
judges it before the resource is created. A failing rule blocks, and names its file and line.
"""

CONFIGURATION: Final = """\
`config/default.json` holds for every stack, `config/PROJECT/default.json` for those of a Pulumi
project, `config/PROJECT/STACK.json` for one, each where it differs. The same keys can be set for
the policy `google-cloud` by `--policy-pack-config`, or in Pulumi Cloud; they hold for the whole
pack, and come last. An empty list of what is allowed allows everything of its kind.
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
    yield CONFIGURATION
    yield "| key | default | valid | what it says |"
    yield "|---|---|---|---|"
    valid, described = schema(), _described()
    for field in fields(Config):
        key, default = field.encode_name, field.default
        shown = json.dumps(default) if isinstance(default, str | int | float) else ""
        yield f"| `{key}` | {shown} | {_valid(valid.get(key, {}))} | {described[field.name]} |"
    yield f"\n{WAIVERS}"
    yield "## Rules\n"
    yield "| rule | severity | level | profile | what it looks for |"
    yield "|---|---|---|---|---|"
    for rule in RULES:
        link = f"[{rule.id}](#{rule.id.lower()})"
        yield f"| {link} | {rule.severity} | {_level(rule)} | {_profile(rule)} | {rule.title} |"
    for group, title in GROUPS.items():
        yield f"\n## {title}\n"
        for rule in RULES:
            if rule.id[0] == group:
                yield from _rule(rule)


def _described() -> dict[str, str]:
    """What the text below each key says."""
    (config,) = (
        node
        for node in ast.parse(Path(config_module.__file__).read_text()).body
        if isinstance(node, ast.ClassDef) and node.name == Config.__name__
    )
    return {
        key.target.id: " ".join(text.value.value.split())
        for key, text in pairwise(config.body)
        if isinstance(key, ast.AnnAssign)
        and isinstance(key.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
        and isinstance(text.value.value, str)
    }


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


def _profile(rule: Rule) -> str:
    return "strict" if rule.only_strict else "baseline"


def _rule(rule: Rule) -> Iterator[str]:
    judged = {"grant": "each grant", "resource": "each resource", "stack": "the whole stack"}
    yield f'<a id="{rule.id.lower()}"></a>\n'
    yield f"### {rule.id}: {rule.title}\n"
    yield f"{rule.severity}, {_level(rule)}; looks at {judged[rule.each]}.\n"
    yield f"Why: {rule.protects} [Documentation]({rule.docs})\n"
    reason = rule.only_strict or "it judges by what the resource itself says."
    yield f"In the {_profile(rule)} profile: {reason}\n"
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
