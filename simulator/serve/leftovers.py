"""What was started to work in a directory, and its end."""

from __future__ import annotations

import contextlib
from typing import Final

import psutil

MARK: Final = "REHEARSAL_DIRECTORY"
"""Variable by which a program says that it works for the cloud in that directory."""

STAY: Final = "stay"
"""The last line to a cloud that is to outlive the process that started it."""


def end_all(directory: str) -> None:
    """Kill every process whose environment says that it works in `directory`."""
    while found := [process for process in psutil.process_iter() if _mark(process) == directory]:
        for process in found:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(found, timeout=1)


def _mark(process: psutil.Process) -> str | None:
    try:
        return process.environ().get(MARK)
    except psutil.Error:  # gone, a zombie, or somebody else's
        return None
