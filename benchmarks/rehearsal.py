"""How long a staging rehearsal takes, by stage."""

from __future__ import annotations

import statistics
from typing import Final

from rich.console import Console

from benchmarks.table import Ratio, show_figures
from rehearsal.rehearse import rehearse
from rehearsal.report import Report
from rehearsal.run import Options

STACK: Final = "staging"
ROUNDS: Final = 3


def run() -> list[Ratio]:
    spent: dict[str, list[float]] = {}
    for _ in range(ROUNDS):
        report = Report(STACK, Console(quiet=True))
        if not rehearse(Options(STACK), report):
            raise RuntimeError(f"the rehearsal of {STACK} failed; `make rehearse` says why")
        for stage, seconds in report.summary["stages"].items():
            spent.setdefault(stage, []).append(seconds)
    rows = [(stage, f"{statistics.median(times):.1f}") for stage, times in spent.items()]
    show_figures(f"rehearsal of {STACK}, medians of {ROUNDS}", ("stage", "s"), rows)
    return []
