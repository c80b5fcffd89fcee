"""What of a request the cloud acts on. What Google would take and nobody here reads is refused.

Each field of a body and each parameter that a discovery document allows is one of three:

- honoured: a handler acts on it, or keeps it and gives it back, and whatever is simulated and
  depends on it follows it;
- ignored: Google ignores it as well; it is output only, or the table says why;
- refused: 501 with its name, before anything is changed.

A service declares its fields in one table, by schema; a handler names its parameters
(`method(reads=…)`).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, Literal

from simulator.api.discovery import Method
from simulator.api.errors import unimplemented
from simulator.api.patching import mask_paths

Verdict = Literal["honoured", "ignored", "refused"]

ALL: Final = "*"
"""In a table: every field of this schema, and all below them."""

OUTPUT_ONLY: Final = re.compile(r"\[?output[- ]only\b", re.IGNORECASE)
"""How documents without `readOnly` begin such a field's description."""

# Parameters that every method has (https://cloud.google.com/apis/docs/system-parameters).
SYSTEM: Final[Mapping[str, str]] = {
    "alt": "honoured",
    "fields": "honoured",
    "uploadType": "honoured",
    "upload_id": "honoured",
    "upload_protocol": "honoured",
    "userProject": "honoured",
    "key": "an access token says who calls; a key names only the project that is charged",
    "prettyPrint": "layout",
    "quotaUser": "rate limits are not told apart by user",
    "userIp": "rate limits are not told apart by user",
    ".xgafv": "errors have one form here",
}


@dataclass(frozen=True)
class Table:
    """Of one API, such as `storage`, or of a part of it.

    `fields`: schema name, without its prefix, -> names of honoured fields. What a schema holds
    inline has its path as name: `Bucket.lifecycle.rule`. `ignored`: path of a field, or name of a
    parameter, -> why Google ignores it as well.
    """

    api: str
    fields: Mapping[str, str] = field(default_factory=dict)
    ignored: Mapping[str, str] = field(default_factory=dict)


class Honoured:
    """All tables of a cloud, and what they say of a request."""

    def __init__(self) -> None:
        # API -> its table, of all its parts
        self.tables: dict[str, Table] = {}
        self._shapes: dict[Method, Shape | None] = {}

    def add(self, table: Table) -> None:
        before = self.of(table.api)
        if again := before.fields.keys() & table.fields.keys():
            raise ValueError(f"{table.api}: {', '.join(sorted(again))} stand in two tables")
        fields, ignored = {**before.fields, **table.fields}, {**before.ignored, **table.ignored}
        self.tables[table.api] = Table(table.api, fields, ignored)
        self._shapes.clear()

    def of(self, api: str) -> Table:
        return self.tables.get(api) or Table(api)

    def shape(self, method: Method) -> Shape | None:
        """What is honoured of the body; None for a method that takes none."""
        if method not in self._shapes:
            schemas, spec = method.document.schemas, {"$ref": method.request}
            shape = Shape(self.of(method.api), schemas, spec) if method.request else None
            self._shapes[method] = shape
        return self._shapes[method]

    def parameter(self, method: Method, reads: Collection[str], name: str) -> Verdict:
        """Of a query parameter of `method`, or of one that all methods have.

        `reads` are those that the handler acts on.
        """
        known = name.removeprefix("$")
        if name in reads or SYSTEM.get(known) == "honoured":
            return "honoured"
        if known in SYSTEM or name in self.of(method.api).ignored:
            return "ignored"
        shape = self.shape(method)
        if name not in method.query and shape and name in shape.names:
            return shape.verdict(name)
        return "refused"

    def require(
        self, method: Method, reads: Collection[str], query: Mapping[str, Any], body: Any
    ) -> None:
        """501, naming what is not simulated of the parameters in `query` and of the body.

        The sign-in service has no document that says what it takes.
        """
        if not method.version:
            return
        for name, value in query.items():
            if value and self.parameter(method, reads, name) == "refused":
                raise unimplemented(f"the parameter {name} of {method.id}")
        shape = self.shape(method)
        if shape is None:
            return
        for path in shape.refused(body):
            raise unimplemented(f"the field {path} of {method.id}")
        mask = query.get("updateMask") or body.get("updateMask")
        for path in sorted(mask_paths(mask if isinstance(mask, str) else None)):
            if shape.masks_refused(path):
                raise unimplemented(f"the field {path} of {method.id}")


def short(schema: str) -> str:
    """`GoogleCloudAiplatformV1beta1Endpoint` -> `Endpoint`."""
    return re.sub(r"^Google[A-Z]\w*?V\d+(?:(?:alpha|beta)\d+)?(?=[A-Z])", "", schema)


class Shape:
    """A schema, or an object inside one, with a verdict on each of its fields."""

    def __init__(
        self, table: Table, schemas: Mapping[str, Any], spec: Mapping[str, Any], path: str = ""
    ) -> None:
        while True:
            if "$ref" in spec:
                path = short(spec["$ref"])
                spec = schemas[spec["$ref"]]
            elif spec.get("type") == "array":
                spec = spec["items"]
            else:
                break
        self._table, self._schemas, self._spec, self.path = table, schemas, spec, path
        self._ignored, self._honoured = table.ignored, table.fields.get(path, "").split()
        self._below: dict[str, Shape] = {}

    @property
    def names(self) -> Iterable[str]:
        names: Iterable[str] = self._spec.get("properties", {})
        return names

    @cached_property
    def values(self) -> Shape | None:
        """The shape of a map's values."""
        extra = self._spec.get("additionalProperties")
        return (
            Shape(self._table, self._schemas, extra, self.path) if isinstance(extra, dict) else None
        )

    def verdict(self, name: str) -> Verdict:
        spec = self._spec["properties"][name]
        if f"{self.path}.{name}" in self._ignored:
            return "ignored"
        if name in self._honoured or ALL in self._honoured:
            return "honoured"
        output_only = spec.get("readOnly") or OUTPUT_ONLY.match(spec.get("description", ""))
        return "ignored" if output_only else "refused"

    def below(self, name: str) -> Shape | None:
        """The shape of an honoured field; None where all below it is honoured."""
        if ALL in self._honoured or self._leaf(self._spec["properties"][name]):
            return None
        if name not in self._below:
            spec = self._spec["properties"][name]
            self._below[name] = Shape(self._table, self._schemas, spec, f"{self.path}.{name}")
        return self._below[name]

    def _leaf(self, spec: Mapping[str, Any]) -> bool:
        while spec.get("type") == "array":
            spec = spec["items"]
        return "$ref" not in spec and not spec.keys() & {"properties", "additionalProperties"}

    def refused(self, value: Any, at: str = "") -> Iterator[str]:
        """The paths in a body, such as `lifecycle.rule.action`, that nobody acts on.

        A field with an empty value says what a missing one says, as in proto3.
        """
        if isinstance(value, list):
            for item in value:
                yield from self.refused(item, at)
        elif isinstance(value, dict):
            for name, item in value.items():
                where = f"{at}.{name}".lstrip(".")
                if name not in self._spec.get("properties", {}):
                    if self.values and ALL not in self._honoured:
                        yield from self.values.refused(item, where)
                elif not item:
                    continue
                elif (verdict := self.verdict(name)) == "refused":
                    yield where
                elif verdict == "honoured" and (below := self.below(name)):
                    yield from below.refused(item, where)

    def masks_refused(self, path: str) -> bool:
        """Whether an update mask's path leads to a field that nobody acts on.

        A mask in a request message is about the resource beside it.
        """
        name, _, rest = path.partition(".")
        if name not in self._spec.get("properties", {}):
            beside = (self.below(it) for it in self.names) if "updateMask" in self.names else ()
            return any(shape.masks_refused(path) for shape in beside if shape)
        verdict = self.verdict(name)
        below = self.below(name) if rest and verdict == "honoured" else None
        return verdict == "refused" or (below is not None and below.masks_refused(rest))
