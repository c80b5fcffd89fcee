"""What the programs that work for a simulated cloud share: their names in the environment, files
that nobody else may read, and their end."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Final

import psutil

LEADING: Final = ("CLOUDSDK_", "GCLOUD_", "GOOGLE_")
"""Variables that begin so could lead a program to the real cloud."""

MARK: Final = "REHEARSAL_DIRECTORY"
"""Variable by which a program says that it works for the cloud in that directory."""

STAY: Final = "stay"
"""The last line to a cloud that is to outlive the process that started it."""


def write_private(path: Path, text: str) -> None:
    """Readable by the owner only, and complete as soon as it is there."""
    partial = path.with_name(f"{path.name}.partial")
    with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    partial.replace(path)


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
