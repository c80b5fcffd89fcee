"""How long a staging rehearsal takes, by stage, and where the time goes, by process."""

from __future__ import annotations

import resource
import statistics
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

import psutil
from rich.console import Console

from benchmarks.table import Ratio, show_figures
from rehearsal.rehearse import rehearse
from rehearsal.report import Report
from rehearsal.run import Options

STACK: Final = "staging"
ROUNDS: Final = 3
LOOK_SECONDS: Final = 0.03

KINDS: Final = (
    ("cloud", "-m simulator"),
    ("plugin gcp", "-m standin"),
    ("plugin gcp", "pulumi-resource-gcp"),
    ("plugin vertexops", "-m vertexops"),
    ("plugin vertexops", "pulumi-resource-vertexops"),
    ("policy pack", "pulumi.policy"),
    ("policy pack", "pulumi-analyzer-policy"),
    ("engine", "bin/pulumi "),
)
"""What a process is, by what is in its command line; the first that fits."""

OWN: Final = "runner and program"
UNSEEN: Final = "unseen"


class Watch:
    """CPU seconds and number of the processes that this one has, by kind.

    The runner plays the language host, so the stack's program counts with it. What a process used
    after the last look at it is `unseen`.
    """

    def __init__(self) -> None:
        self._spent: dict[tuple[int, float], float] = {}
        self._kinds: dict[tuple[int, float], str] = {}
        self._ended = threading.Event()
        self._before = _used()

    @contextmanager
    def watching(self) -> Iterator[Watch]:
        thread = threading.Thread(target=self._look_on)
        thread.start()
        try:
            yield self
        finally:
            self._ended.set()
            thread.join()

    def figures(self) -> dict[str, tuple[float, int]]:
        """Kind → CPU seconds, processes."""
        own, others = (now - before for now, before in zip(_used(), self._before, strict=True))
        seconds: defaultdict[str, float] = defaultdict(float)
        for process, spent in self._spent.items():
            seconds[self._kinds[process]] += spent
        seen = Counter(self._kinds.values())
        found = {kind: (spent, seen[kind]) for kind, spent in seconds.items() if kind != UNSEEN}
        unseen = others - sum(spent for spent, _ in found.values())
        return {OWN: (own, 1), **found, UNSEEN: (unseen, 0)}

    def _look_on(self) -> None:
        this = psutil.Process()
        while not self._ended.wait(LOOK_SECONDS):
            for process in this.children(recursive=True):
                with suppress(psutil.Error):
                    known = (process.pid, process.create_time())
                    # A shell script becomes what it starts.
                    if self._kinds.get(known, UNSEEN) == UNSEEN:
                        self._kinds[known] = _kind(" ".join(process.cmdline()))
                    used = process.cpu_times()
                    self._spent[known] = used.user + used.system


def _kind(line: str) -> str:
    return next((kind for kind, part in KINDS if part in line), UNSEEN)


def _used() -> tuple[float, float]:
    """CPU seconds of this process and of those that it has waited for."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    own, others = (usage.ru_utime + usage.ru_stime for usage in usages)
    return own, others


def run() -> list[Ratio]:
    stages: dict[str, list[float]] = {}
    processes: dict[str, list[tuple[float, int]]] = {}
    for _ in range(ROUNDS):
        report = Report(STACK, Console(quiet=True))
        with Watch().watching() as watch:
            if not rehearse(Options(STACK), report):
                raise RuntimeError(f"the rehearsal of {STACK} failed; `make rehearse` says why")
        for stage, seconds in report.summary["stages"].items():
            stages.setdefault(stage, []).append(seconds)
        for kind, figures in watch.figures().items():
            processes.setdefault(kind, []).append(figures)
    rows = [(stage, f"{statistics.median(times):.1f}") for stage, times in stages.items()]
    show_figures(f"rehearsal of {STACK}, medians of {ROUNDS}", ("stage", "s"), rows)
    spent = {
        kind: [statistics.median(column) for column in zip(*figures, strict=True)]
        for kind, figures in processes.items()
    }
    shown = [
        (kind, f"{cpu:.1f}", f"{number:.0f}" if number else "")
        for kind, (cpu, number) in spent.items()
    ]
    shown.append(("all", f"{sum(cpu for cpu, _ in spent.values()):.1f}", ""))
    title = f"the same, by process, on {psutil.cpu_count()} cores"
    show_figures(title, ("process", "CPU s", "started"), shown)
    return []
