"""Avro schemas: which definitions Pub/Sub takes, and whether a JSON-encoded message fits one.

fastavro reads definitions and knows what fits a simple type. The JSON encoding is that of the Avro
specification 1.11: every field of a record is there, and a value of a union other than null is an
object with its type's name as the only key. Logical types are read as the types they annotate.
Pub/Sub wants a record at the top (docs pubsub/docs/schemas).
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

from fastavro.schema import SchemaParseException, parse_schema
from fastavro.types import NamedSchemas, Schema
from fastavro.validation import validate


class Avro:
    """A parsed definition; ValueError says what is wrong with one that is not Avro."""

    def __init__(self, definition: str) -> None:
        self._named: NamedSchemas = {}
        given = json.loads(definition)
        if not isinstance(given, dict) or given.get("type") != "record" or "fields" not in given:
            raise ValueError("the schema is not a record with fields")
        try:
            self._root = parse_schema(given, self._named)
        except (SchemaParseException, LookupError, TypeError) as error:
            raise ValueError(str(error)) from None

    @property
    def fields(self) -> list[str]:
        assert isinstance(self._root, dict)
        return [field["name"] for field in self._root["fields"]]

    def mismatch(self, value: Any) -> str:
        """Where and how a decoded message differs from the schema; "" when it fits."""
        return self._mismatch(self._root, value, "message")

    def _mismatch(self, schema: Schema, value: Any, at: str) -> str:
        if isinstance(schema, str):
            schema = self._named.get(schema, {"type": schema})
        if isinstance(schema, list):
            return self._union_mismatch(schema, value, at)
        match schema["type"], value:
            case "record", dict():
                return self._record_mismatch(schema["fields"], value, at)
            case "array", list():
                inner = [(schema["items"], item, f"{at}[{i}]") for i, item in enumerate(value)]
                return self._first(inner)
            case "map", dict():
                inner = [(schema["values"], item, f"{at}.{key}") for key, item in value.items()]
                return self._first(inner)
            case ("record" | "array" | "map") as kind, _:
                return f"{at} is not a {kind}"
        return "" if _fits(schema, value) else f"{at} is not a {schema['type']}"

    def _first(self, inner: list[tuple[Schema, Any, str]]) -> str:
        return next(filter(None, (self._mismatch(*item) for item in inner)), "")

    def _record_mismatch(self, fields: list[Any], value: dict[str, Any], at: str) -> str:
        types = {field["name"]: field["type"] for field in fields}
        for name in value.keys() - types.keys():
            return f"{at} has no field {name}"
        for name in types.keys() - value.keys():
            return f"{at} lacks the field {name}"
        return self._first([(kind, value[name], f"{at}.{name}") for name, kind in types.items()])

    def _union_mismatch(self, schema: list[Any], value: Any, at: str) -> str:
        branches = {_name(branch): branch for branch in schema}
        if value is None:
            return "" if "null" in branches else f"{at} is null"
        if not isinstance(value, dict) or len(value) != 1 or not value.keys() <= branches.keys():
            names = ", ".join(sorted(branches))
            return f"{at} is not an object with one key, the type's name ({names})"
        name, inner = next(iter(value.items()))
        return self._mismatch(branches[name], inner, f"{at}.{name}")


@lru_cache(maxsize=64)
def parsed(definition: str) -> Avro:
    """A definition, parsed once: every message is held against it. Raises ValueError."""
    return Avro(definition)


def _name(schema: Any) -> str:
    """By which a union's value names this branch."""
    return str(schema if isinstance(schema, str) else schema.get("name", schema["type"]))


def _fits(schema: dict[str, Any], value: Any) -> bool:
    if schema["type"] in ("bytes", "fixed"):
        try:
            # In JSON, a character stands for a byte.
            value = value.encode("latin-1")
        except (AttributeError, UnicodeEncodeError):
            return False
    plain = {key: part for key, part in schema.items() if key != "logicalType"}
    return validate(value, plain, raise_errors=False)
