"""A provider's resources as data: the schema that the engine asks for, and what checks start from.

Properties are Pulumi package schema.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from pulumi_plugin.kinds import Failure
from pulumi_plugin.values import UNKNOWN, Props

Property = dict[str, Any]

_TYPES: Final[dict[str, tuple[type | tuple[type, ...], str]]] = {
    "string": (str, "a string"),
    "integer": (int, "a whole number"),
    "number": ((int, float), "a number"),
    "boolean": (bool, "true or false"),
    "array": (list, "a list"),
    "object": (dict, "a map"),
}


class Form(NamedTuple):
    """What a well-formed text looks like: a pattern for all of it, and how to say so."""

    pattern: str
    said: str

    def parse(self, value: str) -> dict[str, str]:
        """The named parts of a well-formed value; '' for one that is left out.

        Raises ValueError saying what the value has to be.
        """
        if match := re.fullmatch(self.pattern, value):
            return {name: part or "" for name, part in match.groupdict().items()}
        raise ValueError(f"is {value!r}, not {self.said}")

    def check(self, value: object, at: str) -> list[Failure]:
        """What is wrong with the value of the property `at`; only a text can be malformed."""
        if isinstance(value, str):
            try:
                self.parse(value)
            except ValueError as error:
                return [Failure(at, str(error))]
        return []


@dataclass(frozen=True)
class Shape:
    """An object: its properties by name, and which have to be there."""

    properties: Mapping[str, Property]
    required: tuple[str, ...] = ()


@dataclass(frozen=True)
class ResourceShape:
    """A resource type. Its inputs are outputs too; `outputs` holds what is added.

    All of these are always there but what `sometimes` names.
    """

    description: str
    inputs: Shape
    outputs: Mapping[str, Property] = field(default_factory=dict)
    sometimes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Package:
    """A provider's types by name, its resource types by token, and its configuration."""

    name: str
    version: str
    description: str
    config: Mapping[str, Property]
    types: Mapping[str, Shape]
    resources: Mapping[str, ResourceShape]
    python: str = ""
    """The module that a Python program imports."""

    def check(self, token: str, inputs: Props) -> tuple[Props, list[Failure]]:
        """Inputs without nulls, and every name, type and missing property that is wrong in them."""
        failures: list[Failure] = []
        shape, what = self.resources[token].inputs, token.rpartition(":")[2]
        return self._object(inputs, shape, what, "", failures), failures

    def _object(
        self, value: Props, shape: Shape, what: str, at: str, failures: list[Failure]
    ) -> Props:
        prefix = f"{at}." if at else ""
        for name in shape.required:
            if value.get(name) is None:
                failures.append(Failure(prefix + name, "is missing"))
        cleaned = {}
        for name, item in value.items():
            if name not in shape.properties:
                known = ", ".join(shape.properties)
                failures.append(Failure(prefix + name, f"is not a property of {what}: {known}"))
            elif item is not None:
                of = shape.properties[name]
                cleaned[name] = self._value(item, of, prefix + name, failures)
        return cleaned

    def _value(self, value: Any, of: Property, at: str, failures: list[Failure]) -> Any:
        if value is UNKNOWN:
            return value
        kind, said = _TYPES[of.get("type", "object")]
        if not isinstance(value, kind) or (kind not in (bool, dict) and isinstance(value, bool)):
            failures.append(Failure(at, f"is {value!r}, not {said}"))
        elif isinstance(value, dict) and "$ref" in of:
            name = of["$ref"].rpartition(":")[2]
            return self._object(value, self.types[name], name, at, failures)
        elif isinstance(value, list):
            return [
                self._value(v, of["items"], f"{at}[{i}]", failures) for i, v in enumerate(value)
            ]
        elif isinstance(value, dict):
            of = of["additionalProperties"]
            return {k: self._value(v, of, f"{at}.{k}", failures) for k, v in value.items()}
        return value

    def schema(self) -> str:
        """The package schema as JSON, which `pulumi package get-schema` prints."""
        resources = {
            token: {
                "description": resource.description,
                "inputProperties": resource.inputs.properties,
                "requiredInputs": resource.inputs.required,
                "properties": {**resource.inputs.properties, **resource.outputs},
                "required": [
                    *resource.inputs.required,
                    *(name for name in resource.outputs if name not in resource.sometimes),
                ],
            }
            for token, resource in self.resources.items()
        }
        types = {
            f"{self.name}:index:{name}": {
                "type": "object",
                "properties": shape.properties,
                "required": shape.required,
            }
            for name, shape in self.types.items()
        }
        return json.dumps(
            {
                "name": self.name,
                "version": self.version,
                "description": self.description,
                "language": {"python": {"packageName": self.python}},
                "config": {"variables": self.config},
                "provider": {"properties": self.config, "inputProperties": self.config},
                "types": types,
                "resources": resources,
            }
        )
