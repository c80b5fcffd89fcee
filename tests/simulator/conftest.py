"""A simulated cloud with Google's own clients, for the tests of its services.

In the `sandbox` every answer is held to Google's discovery documents: no unknown field, types as in
proto3 JSON. One that no client could parse fails the test in which it was given.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import requests

from simulator.api.discovery import CLEARBLADE, OAUTH, Discovery, Document, Method
from simulator.google import GoogleCloud
from simulator.identity.tokens import Identity
from simulator.serve import dispatch
from simulator.serve.proxy import Running, serve
from tests.simulator.support import identity
from tests.simulator.support.core import ADMIN, WORKER, new_cloud, session
from tests.simulator.support.pubsub import Client
from tests.simulator.support.service import Sandbox, sandboxed

# int64 and bytes are text in JSON, whatever a client may send.
TYPES = {"integer": "integer", "number": "number", "boolean": "boolean", "string": "string"}
WHERE_TEXT = {"int64": r"^-?\d+$", "uint64": r"^\d+$"}
# A raw body is the container's own.
RAW = {"GoogleApiHttpBody"}
# Google's sign-in hosts have no document, and ClearBlade is not Google.
UNDOCUMENTED = {CLEARBLADE, OAUTH}
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


@pytest.fixture
def sandbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    with held_to_documents(monkeypatch) as problems:
        yield from sandboxed(tmp_path, monkeypatch)
    assert not problems, "\n".join(sorted(set(problems)))


@pytest.fixture
def cloud() -> GoogleCloud:
    """Its clock starts at the wall clock, which google-auth goes by, and is only stepped."""
    return new_cloud()


@pytest.fixture
def running(
    cloud: GoogleCloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Running]:
    with serve(cloud, tmp_path) as running:
        for name, value in running.environment().items():
            monkeypatch.setenv(name, value)
        yield running


@pytest.fixture
def admin(cloud: GoogleCloud, running: Running) -> requests.Session:
    return session(running, cloud[Identity].access_token(ADMIN))


@pytest.fixture
def worker(cloud: GoogleCloud, running: Running) -> requests.Session:
    """Somebody who may do nothing."""
    return session(running, cloud[Identity].access_token(WORKER))


@pytest.fixture
def client(cloud: GoogleCloud, running: Running) -> identity.Client:
    """The administrator's calls."""
    return identity.Client(cloud, running)


@pytest.fixture
def federation(cloud: GoogleCloud, client: identity.Client) -> identity.Client:
    """The same, with pool and provider there and known to all of Google."""
    client.federate()
    cloud.clock.step(cloud.delays.iam)
    return client


@pytest.fixture
def model(sandbox: Sandbox) -> str:
    return sandbox.upload(sandbox.bucket())


@pytest.fixture
def endpoint(sandbox: Sandbox) -> str:
    return sandbox.endpoint()


@pytest.fixture
def pubsub(sandbox: Sandbox) -> Client:
    """The administrator's client, with the topic of the telemetry."""
    client = Client(sandbox)
    client.topic()
    return client
