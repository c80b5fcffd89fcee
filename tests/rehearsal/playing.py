"""Rehearsals as a user starts them, each with a summary of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from rehearsal.scene import UNWATCHED

ROOT = Path(__file__).parents[2]
SECONDS = 1800
BARE = [part for key, value in UNWATCHED.items() for part in ("--set", f"{key}={value}")]
WITH_SUMMARY = ("up", "prove", "ablate", "crash", "faults")


class Played(NamedTuple):
    code: int
    output: str
    summary: dict[str, Any]


def play(*arguments: str) -> Played:
    with tempfile.TemporaryDirectory() as folder:
        output = ["--output", folder] if arguments[0] in WITH_SUMMARY else []
        done = subprocess.run(
            [sys.executable, "-m", "rehearsal", *arguments, *output],
            cwd=ROOT,
            env={**os.environ, "COLUMNS": "200"},
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        summary = Path(folder) / "summary.json"
        found = json.loads(summary.read_text()) if summary.is_file() else {}
    return Played(done.returncode, done.stdout + done.stderr, found)
