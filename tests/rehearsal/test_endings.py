"""However a rehearsal ends, nothing of it stays: no folder, no cloud, no engine, no plugin."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from simulator.serve.leftovers import MARK
from tests.rehearsal.playing import ROOT

SECONDS = 60
PLUGIN = re.compile(r"-m standin|pulumi-resource-gcp")
UNHEARD = [
    "bash",
    "-c",
    # What a shell does to SIGINT for a program that it starts in the background.
    'trap "" INT; exec "$@"',
    "bash",
]


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    """The folder in which the rehearsal makes its private one."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    return folder


@pytest.fixture
def rehearsal(temporary: Path, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A rehearsal in whose `up` the engine and its plugins are at work."""
    command = [sys.executable, "-m", "rehearsal", "up", "staging", "--output", str(tmp_path)]
    process = subprocess.Popen(
        [*UNHEARD, *command],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(temporary)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        until(lambda: any(PLUGIN.search(line) for line in at_work(temporary)))
        yield process
    finally:
        process.kill()
        process.wait()


def at_work(temporary: Path) -> list[str]:
    """The command lines of what works in a private folder there."""
    found = []
    for process in psutil.process_iter():
        try:
            line = " ".join(process.cmdline())
            mark = process.environ().get(MARK, "")
        except psutil.Error:
            continue
        if mark.startswith(f"{temporary}/") or f" {temporary}/" in line:
            found.append(line)
    return found


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_nothing_stays_however_a_rehearsal_is_ended(
    rehearsal: subprocess.Popen[bytes], temporary: Path, number: signal.Signals
) -> None:
    assert [path.name.partition("-")[0] for path in temporary.glob("rehearsal-*")] == ["rehearsal"]
    rehearsal.send_signal(number)
    ended = rehearsal.wait(SECONDS)
    assert ended == (-number if number == signal.SIGKILL else 128 + number)
    until(lambda: not at_work(temporary))
    until(lambda: not list(temporary.glob("rehearsal-*")))
