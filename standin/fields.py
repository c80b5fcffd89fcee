"""Properties of a resource type as data: what is checked, sent, read back and compared.

Names are Pulumi's; `api` is the path in Google's JSON where it differs.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pulumi_plugin.values import UNKNOWN, Props

DEFAULTS: Final = "__defaults"  # names of the inputs that check filled in, as the official bridge
# writes them beside the inputs of every object

_UNSET: Final = object()
_ZERO: Final[Mapping[str, Any]] = {
    "string": "",
    "bool": False,
    "int": 0,
    "int64": 0,
    "number": 0,
    "json": "",
    "objects": [],
    "keyed": [],
    "truth": "",
}


@dataclass(frozen=True)
class Choice:
    """Properties of one object of which so many are to be given."""

    names: tuple[str, ...]
    least: int = 0
    most: int | None = None


def exactly_one(*names: str) -> Choice:
    return Choice(names, least=1, most=1)


def at_least_one(*names: str) -> Choice:
    return Choice(names, least=1)


def at_most_one(*names: str) -> Choice:
    return Choice(names, most=1)


@dataclass(frozen=True)
class Field:
    """One property.

    `type`: string, bool, int, int64 (a string in JSON), number, json (an object in the API, its
    text in Pulumi), strings, numbers, set (strings in any order), map, object, objects, asset,
    keyed (objects that the API has in a map, by their property `key`), truth (a bool in the API
    that may be left open; "TRUE", "FALSE" or empty in Pulumi).
    """

    name: str
    type: str = "string"
    api: str = ""
    of: tuple[Field, ...] = ()
    required: bool = False
    new: bool = False  # a change replaces the resource
    computed: bool = False  # Google's value is kept where the program sets none
    output: bool = False
    secret: bool = False  # kept encrypted in the state
    short: bool = False  # of a name, only the last part
    mask: str = ""  # what an update names as changed, where that is not the API's name; of a `new`
    # property, that parts of it can change in place
    key: str = ""
    path: bool = False  # part of the name, not of the body
    local: bool = False  # the provider's own: never sent, never read
    force: bool = False  # sent even when empty
    unread: bool = False  # sent, but Google does not show it: the state keeps what was sent
    bare: bool = False  # an object that says something even when nothing is in it
    fold: bool = False  # Google changes the case
    unsent: bool = False  # the official plugin has it, this one does not send it: refused
    default: Any = None
    zero: Any = _UNSET  # the output where Google sends nothing
    # What the official plugin refuses before it asks Google, beside a wrong type:
    pattern: str = ""  # anything that this does not find
    values: tuple[str, ...] = ()  # any other
    valid: Callable[[str, Any], list[str]] | None = None  # what is wrong, by name and value; its
    # docstring says what is right
    fewest: int = 0  # a shorter list
    most: int = 0  # a longer one; 0 is any number
    choices: tuple[Choice, ...] = ()  # other numbers of the members of an object
    needs: tuple[str, ...] = ()  # this one without those beside it
    alike: Callable[[Any], Any] | None = None  # brings values that mean the same to one form
    agrees: Callable[[Any, Any], bool] | None = None  # whether what is there is what is wanted

    @property
    def absent(self) -> Any:
        return _ZERO.get(self.type) if self.zero is _UNSET else self.zero


_TRUTHS: Final = {"TRUE": True, "FALSE": False}

DELETION_POLICY: Final = Field("deletionPolicy", local=True, zero="DELETE")
PROJECT: Final = Field("project", path=True, new=True, computed=True)
LABELS: Final = (
    Field("labels", "map"),
    Field("effectiveLabels", "map", output=True, secret=True),
    Field("pulumiLabels", "map", output=True, secret=True),
)


def empty(value: Any) -> bool:
    return value is None or value is False or value in ("", 0, [], {})


def expand(fields: Iterable[Field], values: Props, always: Iterable[str] = ()) -> Props:
    """The request body for `values`; fields named in `always` are sent even when empty."""
    body: Props = {}
    for field in fields:
        if field.output or field.path or field.local:
            continue
        value = values.get(field.name)
        if empty(value) and not field.force and field.name not in always:
            continue
        put(body, field.api or field.name, _expanded(field, value))
    return body


def _expanded(field: Field, value: Any) -> Any:
    if field.type == "truth":
        return _TRUTHS.get(str(value).upper())
    if value is None:
        return field.absent
    match field.type:
        case "object":
            return expand(field.of, value)
        case "objects":
            return [expand(field.of, item) for item in value]
        case "keyed":
            return {item[field.key]: expand(field.of, item) for item in value}
        case "int64":
            return str(value)
        case "json":
            return json.loads(value)
        case "set":
            return sorted(value)
    return value


def flatten(fields: Iterable[Field], body: Props, given: Props, absent_map: Any) -> Props:
    """Outputs read from Google's `body`; local properties come from `given`, the inputs.

    `absent_map` stands for a map that Google does not send: the official plugin leaves null after
    a create and {} after a read.
    """
    outputs: Props = {}
    for field in fields:
        if field.path:
            continue
        if field.local or field.unsent or field.unread:
            value = given.get(field.name)
            outputs[field.name] = field.absent if value is None else value
            continue
        value = dig(body, field.api or field.name)
        if value is None or (field.type == "map" and not value):
            outputs[field.name] = absent_map if field.type == "map" else field.absent
        else:
            outputs[field.name] = _flattened(field, value, given.get(field.name), absent_map)
    return outputs


def _flattened(field: Field, value: Any, given: Any, absent_map: Any) -> Any:
    match field.type:
        case "object":
            return flatten(field.of, value, given if isinstance(given, dict) else {}, absent_map)
        case "objects":
            items = value if isinstance(value, list) else [value]
            known = given if isinstance(given, list) else []
            return [
                flatten(field.of, item, known[index] if index < len(known) else {}, absent_map)
                for index, item in enumerate(items)
            ]
        case "keyed":
            mine = {item[field.key]: item for item in given or []}
            names = [name for name in mine if name in value] + sorted(value.keys() - mine)
            return [
                {field.key: name, **flatten(field.of, value[name], mine.get(name, {}), absent_map)}
                for name in names
            ]
        case "truth":
            return str(value).upper()
        case "int" | "int64":
            return int(value)
        case "json":
            return json.dumps(value, separators=(",", ":"), sort_keys=True)
        case "set":
            return sorted(value)
    return value.rpartition("/")[2] if field.short else value


def without_defaults(value: Any) -> Any:
    """`value` without the bridge's `__defaults`."""
    if isinstance(value, dict):
        return {key: without_defaults(item) for key, item in value.items() if key != DEFAULTS}
    if isinstance(value, list):
        return [without_defaults(item) for item in value]
    return value


def same(field: Field, there: Any, wanted: Any) -> bool:
    there, wanted = _canonical(field, there), _canonical(field, wanted)
    if field.agrees is None or wanted is None or UNKNOWN in (there, wanted):
        return bool(there == wanted)
    return field.agrees(there, wanted)


def _canonical(field: Field, value: Any) -> Any:
    """`value` in the one form that all values Google treats alike share; None when empty."""
    if value is UNKNOWN:
        return UNKNOWN
    zero = field.absent
    if field.bare and value == {}:
        return value
    if value is None or value == zero or (zero is None and empty(value)):
        return None
    if field.alike is not None:
        return field.alike(value)
    match field.type:
        case "object":
            members = {item.name: _canonical(item, value.get(item.name)) for item in field.of}
            present = {name: item for name, item in members.items() if item is not None}
            return present if present or field.bare else None
        case "objects":
            return [_canonical(Field("", "object", of=field.of), item) for item in value]
        case "keyed":
            items = sorted(value, key=lambda item: str(item[field.key]))
            return [_canonical(Field("", "object", of=field.of), item) for item in items]
        case "set":
            return sorted(value, key=str)
        case "json":
            return json.loads(value)
    if field.short and isinstance(value, str):
        value = value.rpartition("/")[2]
    return value.lower() if field.fold and isinstance(value, str) else value


def changed(field: Field, old_inputs: Props, old_outputs: Props, inputs: Props) -> bool:
    """Whether the program wants `field` to be something else than the state holds."""
    if field.output:
        return False
    old, new, is_now = (values.get(field.name) for values in (old_inputs, inputs, old_outputs))
    if field.agrees is not None and is_now is not None:
        return not same(field, is_now, new)
    if not same(field, old, new):
        if _canonical(field, new) is None:
            return not field.computed
        return old is not None or not same(field, is_now, new)
    # A refresh brings drift into the inputs only where the program sets them.
    drifts = not (field.computed or field.local or field.unsent or field.unread or field.path)
    return drifts and _canonical(field, new) is None and not same(field, is_now, None)


def replaces(field: Field, old_inputs: Props, inputs: Props) -> bool:
    """Whether a change of `field` is one that only a new resource can have."""
    old, new = old_inputs.get(field.name), inputs.get(field.name)
    if field.type == "objects" and any(item.new for item in field.of):
        return True
    if (field.new and not field.mask) or not (isinstance(old, dict) and isinstance(new, dict)):
        return field.new
    return any(
        not same(item, old.get(item.name), new.get(item.name)) and replaces(item, old, new)
        for item in field.of
    )


def inputs_of(fields: Iterable[Field], old_inputs: Props, outputs: Props) -> Props:
    """The inputs that would produce `outputs`: what the program set, brought up to date.

    Without old inputs (an import) everything that is not Google's own choice.
    """
    if not old_inputs:
        found = {
            field.name: _pruned(field, outputs.get(field.name))
            for field in fields
            if not (field.output or field.unsent)
        }
        return {DEFAULTS: [], **{name: value for name, value in found.items() if value is not None}}
    by_name = {field.name: field for field in fields}
    updated = {
        name: _updated(by_name[name], value, outputs.get(name))
        if name in by_name and not by_name[name].local
        else value
        for name, value in old_inputs.items()
    }
    return {name: value for name, value in updated.items() if value is not None}


def _pruned(field: Field, value: Any) -> Any:
    if _canonical(field, value) is None:
        return None
    if field.type == "object":
        return inputs_of(field.of, {}, value)
    if field.type in ("objects", "keyed"):
        return [inputs_of(field.of, {}, item) for item in value]
    return value


def _updated(field: Field, old: Any, now: Any) -> Any:
    if field.type == "object" and isinstance(old, dict) and isinstance(now, dict):
        return inputs_of(field.of, old, now)
    if field.type in ("objects", "keyed") and isinstance(old, list) and isinstance(now, list):
        if len(old) == len(now):
            return [inputs_of(field.of, one, two) for one, two in zip(old, now, strict=True)]
        return _pruned(field, now)
    if same(field, now, old):
        return old
    return now if field.required else _pruned(field, now)


def secrets_of(fields: Iterable[Field]) -> tuple[str, ...]:
    """Dotted names of the properties that are kept encrypted."""
    found: list[str] = []
    for field in fields:
        if field.secret:
            found.append(field.name)
        found += [f"{field.name}.{name}" for name in secrets_of(field.of)]
    return tuple(found)


def dig(body: Props, path: str) -> Any:
    value: Any = body
    for name in path.split("."):
        if not isinstance(value, dict):
            return None
        value = value.get(name)
    return value


def put(body: Props, path: str, value: Any) -> None:
    *parents, last = path.split(".")
    for name in parents:
        body = body.setdefault(name, {})
    body[last] = value
