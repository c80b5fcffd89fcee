"""What may know what is held by `lint-imports` (contracts in pyproject.toml)."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOR_TYPES = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    "


@pytest.mark.parametrize(
    ("file", "line", "contract"),
    [
        ("simulator/core/clock.py", "from simulator.api import calls", "The simulator, from the"),
        ("simulator/api/pages.py", "import simulator.services.pubsub", "The simulator, from the"),
        ("simulator/iam/groups.py", "from components import permissions", "The simulator knows"),
        ("standin/fields.py", f"{FOR_TYPES}from standin import vertex", "No circles"),
        ("vertexops/forms.py", "def late() -> None:\n    import components", "The rooms stand"),
    ],
)
def test_a_forbidden_import_fails(file: str, line: str, contract: str, tmp_path: Path) -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    for room in settings["tool"]["importlinter"]["root_packages"]:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / room, tmp_path / room, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    planted = tmp_path / file
    planted.write_text(f"{planted.read_text()}\n{line}\n")
    lint = [Path(sys.executable).with_name("lint-imports"), "--no-cache"]
    run = subprocess.run(lint, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert run.returncode == 1, run.stdout + run.stderr
    broken = [text for text in run.stdout.splitlines() if " BROKEN" in text]
    assert any(text.startswith(contract) for text in broken), broken
