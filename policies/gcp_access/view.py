"""A resource as rules see it: plain values, and UNKNOWN for what only `pulumi up` will know.

Pulumi's own proxies raise on every read of an unknown value, and a policy that lets that through
turns into advice for the whole resource. Here one unknown value stops only the rules that need it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from pulumi_policy.proxy import UnknownValueError

from .packages import as_gcp

Props = dict[str, Any]


class Unknown:
    """The type of `UNKNOWN`: a value that only `pulumi up` will know."""

    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN: Final = Unknown()


class CannotJudge(Exception):
    """A rule needs a value that only `pulumi up` will know; `path` is where it stands."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path


@dataclass(eq=False)
class Resource:
    """One resource's inputs. `depends` is known when the whole stack is: resources by property."""

    type: str
    name: str
    urn: str
    props: Props
    project: str = ""
    """The project of the resource's provider; empty where it is not set or not known."""
    depends: dict[str, tuple[Resource, ...]] = field(default_factory=dict)
    package: str = field(init=False)
    """Such as `gcp`."""
    kind: str = field(init=False)
    """The type, by which rules find it: in lower case, and of other packages as `gcp` has it."""
    module: str = field(init=False)
    """Such as `gcp:projects`."""

    def __post_init__(self) -> None:
        self.package = self.type.partition(":")[0]
        self.kind, self.props = as_gcp(self.type.lower(), self.props)
        self.module = self.kind.partition("/")[0]

    @property
    def program(self) -> tuple[str, str]:
        """Pulumi's project and stack; they are in the URN in every way of running a pack."""
        stack, project, *_ = *self.urn.removeprefix("urn:pulumi:").split("::", 2), ""
        return project, stack

    @property
    def where(self) -> str:
        return f"{self.type}::{self.name}"

    def get(self, path: str, default: Any = None) -> Any:
        """The value at a dotted path. Raises CannotJudge when it, or the way to it, is unknown."""
        value: Any = self.props
        for part in path.split("."):
            if value is UNKNOWN:
                raise CannotJudge(path)
            value = value.get(part) if isinstance(value, dict) else None
        if value is UNKNOWN:
            raise CannotJudge(path)
        return default if value is None else value


def plain(value: Any) -> Any:
    """A property value without Pulumi's proxies: dict, list, text, number, bool, None, UNKNOWN."""
    if isinstance(value, Mapping):
        return {key: _item(value, key) for key in value}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_item(value, index) for index in range(len(value))]
    if isinstance(value, float) and value.is_integer():
        return int(value)  # the protocol knows no whole numbers
    return value


def _item(values: Any, key: Any) -> Any:
    try:
        return plain(values[key])
    except UnknownValueError:
        return UNKNOWN


def inside(value: Any, path: str = "") -> Iterator[tuple[str, Props]]:
    """Every map in `value`, with its path, such as `accesses[1]`."""
    if isinstance(value, dict):
        yield path, value
        for key, item in value.items():
            if isinstance(item, dict | list):
                yield from inside(item, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            if isinstance(item, dict | list):
                yield from inside(item, f"{path}[{index}]")


def texts(value: Any) -> tuple[Any, ...]:
    """A list of texts, or one text, as a tuple; UNKNOWN stays among them."""
    if value is None:
        return ()
    return tuple(value) if isinstance(value, list) else (value,)
