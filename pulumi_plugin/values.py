"""Property values as plain Python, and their form in the protocol.

A value is a dict, list, str, bool, int or float, None, `Asset` or `pulumi.Archive`, and `UNKNOWN`
for what a preview cannot know yet. Secrets never reach a kind as wrappers: the plugin does not
accept secrets, so the engine unwraps them on the way in and marks the same properties secret on the
way out. `Secret` and `conceal` are for what is secret by nature, whatever the program said of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf import struct_pb2

Props = dict[str, Any]

# Constants of the protocol: those of pulumi.runtime.rpc, whose import is half of a plugin's start.
_UNKNOWN: Final = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
_SIGNATURE: Final = "4dabf18193072939515e22adb298388d"
_SECRET: Final = "1b47061264138c4ac30d75fd1eb44270"
_OUTPUT: Final = "d0e6a833031e9bbcd3f4e8bde6ca49a4"
_RESOURCE: Final = "5cf8f73096256a8f31e491e813e4eb8e"
_ASSET: Final = "c44067f5952c0a294b673a41bacd8c17"
_ARCHIVE: Final = "0def7320c3a5731c473e5ecbe6d01bc7"
_ASSET_PARTS: Final = ("hash", "path", "text", "uri")


class Unknown:
    """The type of `UNKNOWN`: a value that only `pulumi up` will know."""

    def __repr__(self) -> str:
        return "UNKNOWN"

    def __deepcopy__(self, memo: object) -> Unknown:
        return self


UNKNOWN: Final = Unknown()


@dataclass(frozen=True)
class Asset:
    """A file, a text or an address, and the SHA-256 of what it holds.

    In a diff, and in old state, there is only the hash: the engine keeps the content to itself.
    """

    hash: str = ""
    path: str = ""
    text: str = ""
    uri: str = ""


@dataclass(frozen=True)
class Secret:
    """A value on its way to the engine, which keeps it encrypted and off the screen."""

    value: Any


def is_known(value: Any) -> bool:
    """Whether nothing inside `value` is unknown."""
    if isinstance(value, dict):
        return all(is_known(item) for item in value.values())
    if isinstance(value, list):
        return all(is_known(item) for item in value)
    return value is not UNKNOWN


def changed_keys(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[str, ...]:
    """Top-level properties whose value differs; an absent one equals None."""
    return tuple(sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key)))


def conceal(props: Props, names: Iterable[str]) -> Props:
    """`props` with what `names`, dotted, lead to wrapped as secrets."""
    for name in names:
        props = _concealed(props, name)
    return props


def _concealed(value: Any, name: str) -> Any:
    if isinstance(value, list):
        return [_concealed(item, name) for item in value]
    first, _, rest = name.partition(".")
    if not isinstance(value, dict) or first not in value:
        return value
    return {**value, first: _concealed(value[first], rest) if rest else Secret(value[first])}


def to_python(value: struct_pb2.Value) -> Any:
    """A protobuf property value as plain Python. Raises ValueError for an unknown signature."""
    match value.WhichOneof("kind"):
        case "null_value" | None:
            return None
        case "string_value":
            return UNKNOWN if value.string_value == _UNKNOWN else value.string_value
        case "number_value":
            number = value.number_value
            return int(number) if number.is_integer() else number
        case "bool_value":
            return value.bool_value
        case "list_value":
            return [to_python(item) for item in value.list_value.values]
    fields = value.struct_value.fields
    if _SIGNATURE not in fields:
        return struct_to_python(value.struct_value)
    signature = fields[_SIGNATURE].string_value
    if signature == _SECRET:
        return to_python(fields["value"])
    if signature == _OUTPUT:
        return to_python(fields["value"]) if "value" in fields else UNKNOWN
    if signature == _RESOURCE:
        return to_python(fields["id"]) if "id" in fields else fields["urn"].string_value
    if signature == _ASSET:
        return Asset(**{name: fields[name].string_value for name in _ASSET_PARTS if name in fields})
    if signature == _ARCHIVE:
        return _archive(value.struct_value)
    raise ValueError(f"property value with unknown signature {signature}")


def _archive(struct: struct_pb2.Struct) -> Any:
    if struct.fields.keys() & {"path", "uri", "assets"}:
        from pulumi.runtime import rpc  # late, for its import is slow

        return rpc.deserialize_properties(struct)
    # The state keeps only the hash of what was uploaded.
    return struct_to_python(struct)


def struct_to_python(struct: struct_pb2.Struct) -> Props:
    return {key: to_python(value) for key, value in struct.fields.items()}


def to_value(value: Any) -> struct_pb2.Value:
    """The protobuf form of a plain property value. Raises TypeError for anything else."""
    match value:
        case None:
            return struct_pb2.Value(null_value=struct_pb2.NULL_VALUE)
        case Unknown():
            return struct_pb2.Value(string_value=_UNKNOWN)
        case bool():
            return struct_pb2.Value(bool_value=value)
        case int() | float():
            return struct_pb2.Value(number_value=value)
        case str():
            return struct_pb2.Value(string_value=value)
        case dict():
            return struct_pb2.Value(struct_value=to_struct(value))
        case Secret():
            return to_value({_SIGNATURE: _SECRET, "value": value.value})
        case list() | tuple():
            items = struct_pb2.ListValue(values=[to_value(item) for item in value])
            return struct_pb2.Value(list_value=items)
        case Asset():
            parts = {name: getattr(value, name) for name in _ASSET_PARTS if getattr(value, name)}
            return to_value({_SIGNATURE: _ASSET, **parts})
    raise TypeError(f"{type(value).__name__} is not a property value")


def to_struct(props: Mapping[str, Any]) -> struct_pb2.Struct:
    return struct_pb2.Struct(fields={key: to_value(value) for key, value in props.items()})
