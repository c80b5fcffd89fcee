"""Avro schemas: which definitions Pub/Sub takes, and whether a JSON-encoded message fits one.

The JSON encoding is that of the Avro specification 1.11: every field of a record is there, and a
value of a union other than null is an object with its type's name as the only key. Logical types
are read as the types they annotate. Pub/Sub wants a record at the top (docs pubsub/docs/schemas).
"""

from __future__ import annotations

import json
from typing import Any

Type = dict[str, Any]

INTEGERS = {"int": 2**31, "long": 2**63}
PRIMITIVES = ("null", "boolean", *INTEGERS, "float", "double", "bytes", "string")


class Avro:
    """A parsed definition; ValueError says what is wrong with one that is not Avro."""

    def __init__(self, definition: str) -> None:
        self._named: dict[str, Type] = {}
        self.root = self._type(json.loads(definition))
        if self.root["type"] != "record":
            raise ValueError("the schema is not a record")

    @property
    def fields(self) -> list[str]:
        return [field["name"] for field in self.root["fields"]]

    def mismatch(self, value: Any) -> str:
        """Where and how a decoded message differs from the schema; "" when it fits."""
        return self._mismatch(self.root, value, "message")

    def _type(self, given: Any) -> Type:
        """The type as a dictionary; unions have their branches under `branches`."""
        if isinstance(given, list):
            return {"type": "union", "branches": [self._type(item) for item in given]}
        if isinstance(given, str):
            if given in PRIMITIVES:
                return {"type": given}
            if given in self._named:
                return self._named[given]
            raise ValueError(f"unknown type {given}")
        if not isinstance(given, dict) or "type" not in given:
            raise ValueError(f"{json.dumps(given)} is not a type")
        kind = given["type"]
        if isinstance(kind, dict | list) or kind in PRIMITIVES:
            return self._type(kind)
        if kind in ("record", "enum", "fixed"):
            return self._named_type(kind, given)
        if kind in ("array", "map"):
            inside = "items" if kind == "array" else "values"
            return {"type": kind, "inside": self._type(given.get(inside))}
        return self._type(kind)

    def _named_type(self, kind: str, given: Type) -> Type:
        name = given.get("name")
        if not isinstance(name, str) or not name:
            raise ValueError(f"a {kind} has no name")
        made: Type = {"type": kind, "name": name}
        # Known before its fields are read, for a record may hold itself.
        self._named[name] = self._named[f"{given.get('namespace', '')}.{name}".lstrip(".")] = made
        if kind == "enum":
            made["symbols"] = list(given["symbols"]) if given.get("symbols") else []
        elif kind == "fixed":
            made["size"] = int(given.get("size", 0))
        else:
            fields = given.get("fields")
            if not isinstance(fields, list):
                raise ValueError(f"the record {name} has no fields")
            made["fields"] = [self._field(name, field) for field in fields]
        return made

    def _field(self, record: str, field: Any) -> Type:
        if not isinstance(field, dict) or not field.get("name"):
            raise ValueError(f"a field of {record} has no name")
        return {"name": field["name"], "type": self._type(field.get("type"))}

    def _mismatch(self, wanted: Type, value: Any, at: str) -> str:
        kind = wanted["type"]
        if kind == "record":
            return self._record_mismatch(wanted, value, at)
        if kind == "union":
            return self._union_mismatch(wanted, value, at)
        if kind == "array" and isinstance(value, list):
            items = enumerate(value)
            found = (self._mismatch(wanted["inside"], item, f"{at}[{i}]") for i, item in items)
            return next(filter(None, found), "")
        if kind == "map" and isinstance(value, dict):
            pairs = value.items()
            found = (self._mismatch(wanted["inside"], item, f"{at}.{key}") for key, item in pairs)
            return next(filter(None, found), "")
        return "" if _fits(wanted, value) else f"{at} is not a {kind}"

    def _record_mismatch(self, wanted: Type, value: Any, at: str) -> str:
        if not isinstance(value, dict):
            return f"{at} is not a record"
        types = {field["name"]: field["type"] for field in wanted["fields"]}
        for name in value.keys() - types.keys():
            return f"{at} has no field {name}"
        for name in types.keys() - value.keys():
            return f"{at} lacks the field {name}"
        found = (self._mismatch(kind, value[name], f"{at}.{name}") for name, kind in types.items())
        return next(filter(None, found), "")

    def _union_mismatch(self, wanted: Type, value: Any, at: str) -> str:
        branches = {item.get("name", item["type"]): item for item in wanted["branches"]}
        if value is None:
            return "" if "null" in branches else f"{at} is null"
        if not isinstance(value, dict) or len(value) != 1 or not value.keys() <= branches.keys():
            names = ", ".join(sorted(branches))
            return f"{at} is not an object with one key, the type's name ({names})"
        name, inner = next(iter(value.items()))
        return self._mismatch(branches[name], inner, f"{at}.{name}")


def _fits(wanted: Type, value: Any) -> bool:
    kind = wanted["type"]
    if kind == "null":
        return value is None
    if kind == "boolean":
        return isinstance(value, bool)
    if kind in INTEGERS:
        limit = INTEGERS[kind]
        return type(value) is int and -limit <= value < limit
    if kind in ("float", "double"):
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind == "enum":
        return value in wanted["symbols"]
    if kind == "fixed":
        return isinstance(value, str) and len(value) == wanted["size"]
    return kind in ("bytes", "string") and isinstance(value, str)
