"""Request bodies against discovery schemas: what proto3 JSON accepts, and Google's complaints."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Any

import jsonschema_rs

from simulator.api.errors import ApiError, invalid

NUMBER_TEXT = r"^-?(\d+(\.\d+)?([eE][-+]?\d+)?|NaN|Infinity)$"

# discovery type -> JSON schema; proto3 JSON also reads numbers from strings and enums from numbers.
SCALARS: dict[str, dict[str, Any]] = {
    "string": {"type": ["string", "null"]},
    "boolean": {"type": ["boolean", "null"]},
    "integer": {"type": ["integer", "string", "null"], "pattern": r"^-?\d+$"},
    "number": {"type": ["number", "string", "null"], "pattern": NUMBER_TEXT},
}
MERGE_PATCH_APIS = ("bigquery", "compute", "storage")
WIDE_INTEGERS = ("int64", "uint64")


class Validator:
    """Compiled once for a method's request schema.

    `bound` names what the path gives the request message: a body may repeat it to no effect
    (google/api/http.proto, `body: "*"`).
    """

    def __init__(
        self,
        schemas: dict[str, dict[str, Any]],
        name: str,
        method_id: str,
        bound: Collection[str] = (),
    ) -> None:
        self._keep_nulls = method_id.partition(".")[0] in MERGE_PATCH_APIS
        self._schemas = schemas
        self._name = name
        self._method_id = method_id
        # A body that is the resource itself is one field of the request message, and Google names
        # it in its complaints: 'endpoint.display_name'.
        short = re.sub(r"^GoogleCloud\w+?V\d+(?:(?:alpha|beta)\d+)?(?=[A-Z])", "", name)
        self._field = "" if short.endswith("Request") else snake(short)
        definitions: dict[str, Any] = {}
        root = self._translate({"$ref": name}, definitions)
        for repeated in bound:
            definitions[name]["properties"].setdefault(repeated, {})
        self._compiled = jsonschema_rs.validator_for({**root, "$defs": definitions})

    def check(self, body: dict[str, Any], *, nulls: bool = False) -> dict[str, Any]:
        """The body with camelCase names; INVALID_ARGUMENT listing everything wrong with it.

        `nulls` says that it may hold some: to proto3 JSON a null field is one that is not there,
        to the older APIs' patches it is one to clear.
        """
        if self._compiled.is_valid(body) and not nulls:
            return body
        body = self._normal({"$ref": self._name}, body)
        violations = list(self._violations(body))
        if violations:
            raise _bad_request(violations)
        return body

    def _translate(self, spec: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
        """The JSON schema of a discovery schema; referenced ones are added to `definitions`."""
        if "$ref" in spec:
            name = spec["$ref"]
            if name not in definitions:
                definitions[name] = {}
                definitions[name] = self._translate(self._schemas[name], definitions)
            return {"$ref": f"#/$defs/{name}"}
        kind = spec.get("type", "any")
        if kind == "object":
            return self._translate_object(spec, definitions)
        if kind == "array":
            items = self._translate(spec.get("items", {}), definitions)
            return {"type": ["array", "null"], "items": items}
        if kind == "any":
            return {}
        if kind == "string" and spec.get("format") in WIDE_INTEGERS:
            return SCALARS["integer"]
        if "enum" in spec:
            return {"anyOf": [{"enum": [*spec["enum"], None]}, {"type": "integer"}]}
        return SCALARS[kind]

    def _translate_object(
        self, spec: dict[str, Any], definitions: dict[str, Any]
    ) -> dict[str, Any]:
        properties = {
            name: self._translate(value, definitions)
            for name, value in spec.get("properties", {}).items()
        }
        extra = spec.get("additionalProperties", False)
        required = [
            name
            for name, value in spec.get("properties", {}).items()
            if self._method_id in value.get("annotations", {}).get("required", ())
            # An empty list and a missing one are the same message.
            and value.get("type") != "array"
        ]
        return {
            "type": ["object", "null"],
            "properties": properties,
            "additionalProperties": self._translate(extra, definitions) if extra else False,
            "required": required,
        }

    def _normal(self, spec: dict[str, Any], value: Any) -> Any:
        """snake_case field names, which Google also accepts, as camelCase; null fields dropped."""
        if "$ref" in spec:
            spec = self._schemas[spec["$ref"]]
        if isinstance(value, list):
            return [self._normal(spec.get("items", {}), item) for item in value]
        if not isinstance(value, dict):
            return value
        properties = spec.get("properties", {})
        extra = spec.get("additionalProperties", {})
        result = {}
        for name, item in value.items():
            known = name if name in properties else camel(name)
            if known in properties and item is None and not self._keep_nulls:
                continue
            if known in properties:
                result[known] = self._normal(properties[known], item)
            else:
                result[name] = self._normal(extra, item)
        return result

    def _violations(self, body: Any) -> Iterator[tuple[str, str]]:
        for error in self._compiled.iter_errors(body):
            path = self._path(error.instance_path)
            kind = error.kind.name
            if kind == "additionalProperties":
                for name in error.kind.as_dict()["unexpected"]:
                    place = f" at '{path}'" if path else ""
                    yield (
                        path,
                        "Invalid JSON payload received. Unknown name "
                        f'"{name}"{place}: Cannot find field.',
                    )
            elif kind == "required":
                missing = snake(error.kind.as_dict()["property"])
                yield f"{path}.{missing}".lstrip("."), f"Required field {missing} is not set."
            else:
                value = _json_text(error.instance)
                yield path, f"Invalid value at '{path}', {value}"

    def _path(self, segments: list[str | int]) -> str:
        text = self._field
        for segment in segments:
            if isinstance(segment, int):
                text += f"[{segment}]"
            else:
                text += f".{snake(segment)}" if text else snake(segment)
        return text


def _bad_request(violations: list[tuple[str, str]]) -> ApiError:
    return invalid("\n".join(text for _, text in violations), violations)


def snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", name).lower()


def camel(name: str) -> str:
    return re.sub(r"_([a-z0-9])", lambda found: found.group(1).upper(), name)


def _json_text(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)
