"""Answers held to Google's discovery documents: no unknown field, types as in proto3 JSON.

Every test of a service that uses the `sandbox` fixture is held to this, so an answer that no client
could parse fails the test in which it was given.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import jsonschema_rs
import pytest

from simulator.api.discovery import Discovery, Document, Method
from simulator.serve import dispatch

# int64 and bytes are text in JSON, whatever a client may send.
TYPES = {"integer": "integer", "number": "number", "boolean": "boolean", "string": "string"}
WHERE_TEXT = {"int64": r"^-?\d+$", "uint64": r"^\d+$"}
# A raw body is the container's own.
RAW = {"GoogleApiHttpBody"}
# Google's sign-in hosts have no document.
UNDOCUMENTED = {"rehearsal-oauth"}
# google.protobuf.Any and Struct hold what no schema of theirs names.
FREE = {"any"}


def schema_of(document: Document, name: str) -> Any:
    definitions: dict[str, Any] = {}
    root = _translate(document, {"$ref": name}, definitions)
    return jsonschema_rs.validator_for({**root, "$defs": definitions})


def _translate(
    document: Document, spec: dict[str, Any], definitions: dict[str, Any]
) -> dict[str, Any]:
    if "$ref" in spec:
        name = spec["$ref"]
        if name not in definitions:
            definitions[name] = {}
            definitions[name] = _translate(document, document.schemas[name], definitions)
        return {"$ref": f"#/$defs/{name}"}
    kind = spec.get("type", "any")
    if kind in FREE:
        return {}
    if kind == "array":
        return {"type": "array", "items": _translate(document, spec["items"], definitions)}
    if kind == "object":
        extra = spec.get("additionalProperties")
        return {
            "type": "object",
            "properties": {
                name: _translate(document, value, definitions)
                for name, value in spec.get("properties", {}).items()
            },
            "additionalProperties": _translate(document, extra, definitions) if extra else False,
        }
    if spec.get("format") in WHERE_TEXT:
        return {"type": "string", "pattern": WHERE_TEXT[spec["format"]]}
    return {"type": TYPES[kind], **({"enum": spec["enum"]} if "enum" in spec else {})}


@cache
def _validator(method: Method) -> Any:
    return schema_of(method.document, method.response) if method.response else None


def problems(method: Method, body: dict[str, Any]) -> list[str]:
    """What is wrong with an answer of `method`; empty when Google could have sent it."""
    if method.response in RAW or method.api in UNDOCUMENTED:
        return []
    validator = _validator(method)
    if validator is None:
        return [] if not body else [f"{method.id} answers nothing, not {body}"]
    return [
        f"{method.id} {'.'.join(map(str, error.instance_path))}: {error.message}"
        for error in validator.iter_errors(body)
    ]


@contextmanager
def held_to_documents(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Collects what is wrong with any answer that the dispatcher gives."""
    found: list[str] = []

    def handle(self: dispatch.Dispatcher, request: dispatch.Request) -> dispatch.Answer:
        answer = original(self, request)
        if answer.status == 200 and "fields=" not in request.query and answer.body[:1] == b"{":
            method, _ = self.cloud[Discovery].route(request.host, request.verb, request.path)
            if "alt=media" not in request.query:
                found.extend(problems(method, json.loads(answer.body)))
        return answer

    original = dispatch.Dispatcher.handle
    monkeypatch.setattr(dispatch.Dispatcher, "handle", handle)
    yield found
