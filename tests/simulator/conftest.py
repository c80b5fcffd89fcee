"""A simulated cloud with Google's own clients, for the tests of its services."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from simulator.google import GoogleCloud
from simulator.identity.tokens import Identity
from simulator.serve.proxy import Running, serve
from tests.simulator.support.conformance import held_to_documents
from tests.simulator.support.core import ADMIN, new_cloud, session
from tests.simulator.support.pubsub import Client
from tests.simulator.support.service import Sandbox, sandboxed


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
