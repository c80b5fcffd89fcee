"""The programs behind the recordings, on the real engine against the simulated cloud.

They were written for a recorder that accepts anything, so a first `up` may meet something that is
not there yet; what depends on it is made by the next. Three changes make them fit for a cloud that
enforces what it is told: the token is one that it gave out, no metadata goes into a table without
columns for it, and the deny policy forbids something that the program does not do itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from rehearsal import callers
from rehearsal import environment as environments
from rehearsal.engine import Engine, Outcome
from rehearsal.sandbox import Sandbox
from rehearsal.toolchain import gcp_plugin
from tests.recordings import CONTRACT, GROUP, before

ATTEMPTS = 3
# The one difference that a refresh finds with the official plugin too (provider-contract/README).
PERMANENT = {"core": ["update Topic telemetry"], "more": []}
FIT = (
    ('"write_metadata":True', '"write_metadata":False'),
    ("iam.googleapis.com/serviceAccountKeys.create", "iam.googleapis.com/roles.undelete"),
)
# Org Policy refuses a person's token that names no quota project; an account's own one counts.
RUNNER = "runner@iot-prod.iam.gserviceaccount.com"
RESOURCES = {"core": 40, "more": 22}


def program_of(folder: str, token: str) -> Any:
    source = (CONTRACT / folder / "program.py").read_text()
    for recorded_text, text in (("platform-tok", token), *FIT):
        source = source.replace(recorded_text, text)

    def program() -> None:
        exec(compile(source, f"{folder}/program.py", "exec"), {})

    return program


@pytest.fixture
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    folder: str = request.param
    environment = replace(environments.load("prod", tmp_path), stack=folder)
    seed = before(folder) | callers.seed((environment.platform,), {})
    seed["accounts"] = [{"project": "iot-prod", "id": "runner"}]
    seed["groups"][GROUP].append(f"serviceAccount:{RUNNER}")
    with Sandbox(seed, at_once=True) as sandbox:
        token = sandbox.control("POST", "/token", {"email": RUNNER})["access_token"]
        plugin, program = gcp_plugin(), program_of(folder, token)
        yield Engine(sandbox, environment, plugin, program, policies=False)


def made(engine: Engine) -> list[dict[str, Any]]:
    return [item for item in engine.resources() if item["type"].startswith("gcp:")]


def until_it_holds(operation: Any) -> Outcome:
    outcomes: list[Outcome] = []
    while len(outcomes) < ATTEMPTS and not (outcomes and outcomes[-1].ok):
        outcomes.append(operation())
    assert outcomes[-1].ok, "\n".join(outcomes[-1].errors)
    return outcomes[-1]


@pytest.mark.parametrize(
    "engine", ["core", pytest.param("more", marks=pytest.mark.sweep)], indirect=True
)
def test_a_recorded_program_is_deployed_unchanged_updated_and_destroyed(
    engine: Engine, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = request.node.callspec.params["engine"]
    monkeypatch.setenv("STEP", "1")
    until_it_holds(partial(engine.up, continue_on_error=True))
    assert len(made(engine)) == RESOURCES[folder]
    again = engine.preview(refresh=True)
    assert again.ok, again.errors
    assert again.touched == PERMANENT[folder]
    monkeypatch.setenv("STEP", "2")
    updated = until_it_holds(engine.up)
    assert updated.changes["update"] > 0
    assert engine.preview(refresh=True).touched == PERMANENT[folder]
    until_it_holds(engine.destroy)
    assert made(engine) == []
