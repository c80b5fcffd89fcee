"""A simulated cloud with Google's own clients, for the tests of its services."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pubsub_support import Client
from service_support import Sandbox, serve


@pytest.fixture
def sandbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    yield from serve(tmp_path, monkeypatch)


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
