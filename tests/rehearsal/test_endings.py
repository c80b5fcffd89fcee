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

from simulator.serve.programs import MARK
from tests.rehearsal import playing

SECONDS = 60
PLUGIN = re.compile(r"-m standin|pulumi-resource-gcp")
ENGINE = re.compile(r"bin/pulumi .*\b(preview|up|refresh) ")
STAGE = re.compile(r"^[✓✗] (\S.*?) +[\d.]+ s", re.MULTILINE)
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


def command(*arguments: str, output: Path) -> list[str]:
    bare = playing.BARE if arguments[0] == "up" else []
    return [sys.executable, "-m", "rehearsal", *arguments, *bare, "--output", str(output)]


@pytest.fixture
def rehearsal(temporary: Path, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A rehearsal in whose `up` the engine and its plugins are at work."""
    process = subprocess.Popen(
        [*UNHEARD, *command("up", "staging", output=tmp_path)],
        cwd=playing.ROOT,
        env={**os.environ, "TMPDIR": str(temporary)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        until_at_work(temporary)
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


def until_at_work(temporary: Path) -> None:
    def holds() -> bool:
        lines = at_work(temporary)
        return all(any(kind.search(line) for line in lines) for kind in (ENGINE, PLUGIN))

    until(holds)


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


def test_a_kept_cloud_is_gone_on_with_and_all_that_stays_until_it_is_ended(
    temporary: Path, tmp_path: Path
) -> None:
    variables = {**os.environ, "TMPDIR": str(temporary), "COLUMNS": "200"}

    def run(*arguments: str, code: int = 0) -> str:
        done = subprocess.run(
            command(*arguments, output=tmp_path),
            cwd=playing.ROOT, env=variables, capture_output=True, text=True, check=False,
            timeout=playing.SECONDS,
        )  # fmt: skip
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def demand_nothing_but_the_cloud() -> None:
        assert ["-m simulator" in line for line in at_work(temporary)] == [True]

    try:
        begun = run("up", "staging", "--keep")
        assert "--only STAGE" in begun and "destroy" not in begun
        demand_nothing_but_the_cloud()
        assert "is kept already, since" in run("up", "staging", "--keep", code=1)
        assert "there are preview, up, " in run("up", "staging", "--only", "nothing", code=1)
        assert "is not played here" in run("up", "staging", "--only", "recover", code=1)
        changed = ("--set", "deployerMay=[register]")
        other = run("up", "staging", "--only", "refresh", *changed, code=1)
        assert "has changed (deployerMay)" in other

        alone = run("up", "staging", "--only", "store a model")
        assert STAGE.findall(alone) == ["store a model"]
        assert "A cloud of staging is up since" in alone
        assert STAGE.findall(run("up", "staging", "--from", "refresh", "--keep")) == ["refresh"]

        refresh = command("up", "staging", "--only", "refresh", output=tmp_path)
        ended = subprocess.Popen(
            refresh, cwd=playing.ROOT, env=variables, stdout=subprocess.DEVNULL
        )
        until_at_work(temporary)
        ended.terminate()
        assert ended.wait(SECONDS) == 128 + signal.SIGTERM
        demand_nothing_but_the_cloud()
    finally:
        gone = run("end", "staging")
    assert "gone: " in gone
    assert not at_work(temporary)
    assert not list(temporary.glob("rehearsal-*"))
    assert "no cloud of staging is kept" in run("end", "staging", code=1)
