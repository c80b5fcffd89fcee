"""A pytest fixture: Google Cloud on loopback for one test.

pytest_plugins = ["simulator.testing"]  # in conftest.py

@pytest.fixture
def google_cloud_seed():
    return {"projects": [{"id": "acme", "services": ["storage.googleapis.com"]}]}

def test_it(google_cloud):
    google_cloud.act_as("user:ann@example.com")
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from simulator.google import GoogleCloud
from simulator.iam.decisions import Iam
from simulator.seed import plant
from simulator.serve.acting import acting
from simulator.serve.programs import LEADING
from simulator.serve.proxy import Running, serve


@dataclass(frozen=True)
class Simulated:
    """A cloud that is served, and who calls it from this process and what it starts."""

    cloud: GoogleCloud
    running: Running
    directory: Path
    project: str
    _environment: pytest.MonkeyPatch

    def act_as(self, member: str) -> None:
        """From now on Google's clients call as `member`, such as `user:ann@example.com`."""
        for name, value in self.variables(member).items():
            self._environment.setenv(name, value)

    def variables(self, member: str) -> dict[str, str]:
        """The same for a program that is started with an environment of its own."""
        return acting(self.cloud, self.running, self.directory, member, self.project)

    def grant(self, resource: str, role: str, member: str) -> None:
        """A binding that is in effect at once."""
        self.cloud[Iam].grant(resource, role, member)


@pytest.fixture
def google_cloud_seed() -> Mapping[str, Any]:
    """What is there at first (`simulator.seed`): override it where the tests are."""
    return {}


@pytest.fixture
def google_cloud(
    google_cloud_seed: Mapping[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Simulated]:
    """A cloud of the test's own; nothing leaves loopback while it is there."""
    for name in [name for name in os.environ if name.startswith(LEADING)]:
        monkeypatch.delenv(name)
    cloud = GoogleCloud()
    plant(cloud, google_cloud_seed)
    project = next((item["id"] for item in google_cloud_seed.get("projects", ())), "")
    directory = tmp_path / "google-cloud"
    with serve(cloud, directory) as running:
        for name, value in running.environment().items():
            monkeypatch.setenv(name, value)
        yield Simulated(cloud, running, directory, project, monkeypatch)
