"""What the official plugin refuses before it asks Google, property by property.

The texts are those of terraform-plugin-sdk (helper/schema/schema.go, helper/validation) and of
terraform-provider-google (verify/validation.go and the constants of its resources). They name a
property by its Terraform name, of which this knows the last part only.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from typing import Any, Final

from pulumi_plugin.kinds import Failure
from pulumi_plugin.values import UNKNOWN, Asset, Props, is_known
from standin.fields import DEFAULTS, Choice, Field

_SAID: Final = {
    "strings": "list",
    "numbers": "list",
    "set": "list",
    "objects": "list",
    "keyed": "list",
    "map": "dict",
    "object": "dict",
}
_CHECKED: Final[dict[str, Any]] = {
    "bool": bool,
    "int": int,
    "int64": int,
    "number": (int, float),
}


def terraform(name: str) -> str:
    """The Terraform name of a property."""
    return re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", name).lower()


def check(
    fields: Iterable[Field], values: Props, path: str = "", choices: Iterable[Choice] = ()
) -> tuple[Props, list[Failure]]:
    """`values` with defaults filled in, and what is wrong with them, property by property."""
    checked: Props = {}
    failures: list[Failure] = []
    inputs = {field.name: field for field in fields if not field.output}
    for name, value in values.items():
        if name == DEFAULTS or value is None:
            continue
        field = inputs.get(name)
        if field is None:
            failures.append(Failure(path + name, "Invalid or unknown key"))
            continue
        if field.unsent:
            reason = "The stand-in for the gcp provider does not send this property"
            failures.append(Failure(path + name, reason))
            continue
        checked[name], wrong = _checked(field, value, path + name)
        failures += wrong
        failures += [Failure(path + name, reason) for reason in _rules(field, value, values)]
    for field in inputs.values():
        if field.required and field.name not in checked:
            reason = (
                f'Missing required argument. The argument "{field.name}" is required, '
                "but no definition was found."
            )
            failures.append(Failure(path + field.name, reason))
    choices = tuple(choices)
    for choice in choices:
        failures += [Failure(path + name, reason) for name, reason in _chosen(choice, checked)]
    # A default that would conflict with what the program gives is none, as in the bridge.
    excluded = {
        name
        for choice in choices
        if choice.most == 1 and checked.keys() & set(choice.names)
        for name in choice.names
    }
    defaults = {
        field.name: field.default
        for field in inputs.values()
        if field.default is not None and field.name not in checked.keys() | excluded
    }
    return {DEFAULTS: sorted(defaults), **defaults, **checked}, failures


def _checked(field: Field, value: Any, path: str) -> tuple[Any, list[Failure]]:
    if value is UNKNOWN:
        return value, []
    match field.type, value:
        case "object", dict():
            return check(field.of, value, path + ".", field.choices)
        case (("objects" | "keyed"), list()):
            checked = [
                check(field.of, item, f"{path}[{index}].", field.choices)
                if isinstance(item, dict)
                else (item, [])
                for index, item in enumerate(value)
            ]
            return [item for item, _ in checked], [bad for _, wrong in checked for bad in wrong]
        case (("strings" | "numbers" | "set"), list()):
            return value, []
        case "map", dict():
            return value, []
        case "asset", Asset():
            return value, []
        case "bool", "true" | "false":
            return value == "true", []
        case (("int" | "int64"), str()) if re.fullmatch(r"-?\d+", value):
            return int(value), []
        case (("string" | "json" | "truth"), int() | float()) if not isinstance(value, bool):
            return str(value), []
        case (("string" | "json" | "truth"), str()):
            if field.type == "json" and not _is_json(value):
                return value, [Failure(path, f'"{field.name}" contains an invalid JSON')]
            return value, []
        case kind, _ if kind in _CHECKED and (isinstance(value, bool) == (kind == "bool")):
            if isinstance(value, _CHECKED[kind]):
                return value, []
    wanted, got = _SAID.get(field.type, field.type), type(value).__name__
    return value, [Failure(path, f"expected {wanted}, got {got}")]


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _rules(field: Field, value: Any, beside: Props) -> list[str]:
    """What is wrong with a value of the right type; nothing while part of it is unknown."""
    name, reasons = terraform(field.name), []
    if any(beside.get(needed) is None for needed in field.needs):
        wanted = ",".join(sorted(map(terraform, (field.name, *field.needs))))
        reasons.append(f'Missing required argument. "{name}": all of `{wanted}` must be specified')
    if not is_known(value):
        return reasons
    if isinstance(value, list) and len(value) < field.fewest:
        reasons.append(
            f"Not enough list items. Attribute requires {field.fewest} item minimum, but config "
            f"has only {len(value)} declared."
        )
    if isinstance(value, list) and field.most and len(value) > field.most:
        reasons.append(
            f"Too many list items. Attribute supports {field.most} item maximum, but config has "
            f"{len(value)} declared."
        )
    if isinstance(value, str) and field.pattern and not re.search(field.pattern, value):
        reasons.append(unlike(name, value, field.pattern))
    if isinstance(value, str) and field.values and value not in field.values:
        known = " ".join(f'"{one}"' for one in field.values)
        reasons.append(f"expected {name} to be one of [{known}], got {value}")
    return reasons + (field.valid(name, value) if field.valid else [])


def unlike(name: str, value: str, pattern: str) -> str:
    return f'"{name}" ("{value}") doesn\'t match regexp {json.dumps(pattern)}'


def _chosen(choice: Choice, given: Props) -> Iterable[tuple[str, str]]:
    """Which properties of `choice` are wrong, and why: the official plugin names each."""
    known = [name for name in choice.names if name in given and given[name] is not UNKNOWN]
    listed = ",".join(sorted(map(terraform, choice.names)))
    if choice.least and not any(name in given for name in choice.names):
        title = "Invalid combination of arguments" if choice.most else "Missing required argument"
        for name in choice.names:
            yield name, f'{title}. "{terraform(name)}": one of `{listed}` must be specified'
    elif choice.least and choice.most and len(known) > 1:
        said = f"`{','.join(sorted(map(terraform, known)))}` were specified."
        for name in choice.names:
            reason = f'"{terraform(name)}": only one of `{listed}` can be specified, but {said}'
            yield name, f"Invalid combination of arguments. {reason}"
    elif choice.most and len(known) > 1:
        for name in filter(lambda name: is_known(given[name]), known):
            other = next(other for other in known if other != name)
            reason = f'"{terraform(name)}": conflicts with {terraform(other)}'
            yield name, f"Conflicting configuration arguments. {reason}"


def between(least: float, most: float) -> Callable[[str, Any], list[str]]:
    """A whole number in a range, both ends included."""

    def wrong(name: str, value: Any) -> list[str]:
        if not isinstance(value, int) or least <= value <= most:
            return []
        return [f"expected {name} to be in the range ({least} - {most}), got {value}"]

    wrong.__doc__ = f"{least} to {most}"
    return wrong


def at_most_characters(most: int) -> Callable[[str, Any], list[str]]:
    def wrong(name: str, value: Any) -> list[str]:
        if not isinstance(value, str) or len(value.encode()) <= most:
            return []
        return [f"expected length of {name} to be in the range (0 - {most}), got {value}"]

    wrong.__doc__ = f"up to {most} characters"
    return wrong
