"""Tests that share something dear are played by one worker, as their mark says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

TESTS = """
import pytest

pytestmark = pytest.mark.xdist_group("dear")


@pytest.mark.parametrize("number", range(6))
def test_played(number):
    pass
"""


def test_a_group_of_tests_stays_together(tmp_path: Path) -> None:
    (tmp_path / "test_dear.py").write_text(TESTS)
    command = [sys.executable, "-m", "pytest", "-v", "-n", "2", "--dist", "loadgroup"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    workers = re.findall(r"\[(gw\d)\] .*PASSED", done.stdout)
    assert len(workers) == 6 and len(set(workers)) == 1, done.stdout
