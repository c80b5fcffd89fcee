"""What `access bootstrap` prints is carried out by `gcloud`, and suffices for the first `up`."""

from __future__ import annotations

from pathlib import Path

import pytest

from access.bootstrap import script
from rehearsal import environment as environments
from rehearsal import toolchain
from rehearsal.engine import Engine
from rehearsal.sandbox import Sandbox
from tests.rehearsal.test_official_command_lines import OWNER, installed, new_projects, shell


@pytest.mark.sweep
@installed("gcloud")
@pytest.mark.parametrize("stack", ["staging", "prod"])
def test_a_new_project_comes_up_with_what_is_printed(stack: str, tmp_path: Path) -> None:
    environment = environments.load(stack, tmp_path / "models")
    with Sandbox(new_projects(environment), at_once=True) as sandbox:
        environments.prepare_source(environment, sandbox, tmp_path / "models")
        owner = shell(tmp_path / "owner", sandbox.environment(OWNER))
        lines = "\n".join(script(environment.settings))
        owner(lines)
        owner(lines)  # as it is done again, when the role grows
        engine = Engine(sandbox, environment, toolchain.gcp_plugin(), policies=False)
        outcome = engine.up()
        assert outcome.ok, "\n".join(outcome.errors)
