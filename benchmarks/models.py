"""What each further model costs: 1, 10 and 100 uploaded ones in a stack, beside a bare program.

The bare program registers the same resources with the same inputs, and nothing else (preview.py),
by the classes of their packages: most of what a model costs a preview is what the SDK does for each
property of a class. Each deploys into a cloud of its own, previews, and runs a second `up` that has
nothing to do. Of a line through each program's times the slope is compared: seconds for one model
more.
"""

from __future__ import annotations

import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from benchmarks.preview import bare
from benchmarks.table import Ratio, show_figures
from rehearsal import environment as environments
from rehearsal import world
from rehearsal.engine import Engine, Outcome

NUMBERS: Final = (1, 10, 100)
PARTS: Final = ("up", "preview", "second up")
SLOPE: Final = 1.2
MOST_BENT: Final = 1.5
"""What the slope from 10 to 100 models may be of a line through all: more is not linear."""


def run() -> list[Ratio]:
    spent: dict[tuple[str, str], list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        models = Path(folder)
        for number in NUMBERS:
            resources: list[dict[str, Any]] = []
            for program in ("the stack", "bare"):
                with world.opened(_environment(number, models), models, attached=True) as cloud:
                    if program == "bare":
                        cloud.engine.use(bare(resources, typed=True))
                    for part, seconds in zip(PARTS, _times(cloud.engine), strict=True):
                        spent.setdefault((program, part), []).append(seconds)
                    resources = resources or cloud.engine.resources()
    rows = [
        (program, part, *(f"{seconds:.1f}" for seconds in times), f"{1000 * _slope(times):.0f}")
        for (program, part), times in spent.items()
    ]
    heads = ("program", "part", *(f"{number} s" for number in NUMBERS), "ms a model")
    show_figures("models in one stack", heads, rows)
    ratios = []
    for part in PARTS:
        ours, theirs = spent["the stack", part], spent["bare", part]
        last = (ours[-1] - ours[-2]) / (NUMBERS[-1] - NUMBERS[-2])
        ratios += [
            Ratio(
                f"models: {part}, slope of the stack / bare",
                _slope(ours) / _slope(theirs),
                most=SLOPE,
            ),
            Ratio(f"models: {part}, last slope / slope", last / _slope(ours), most=MOST_BENT),
        ]
    return ratios


def _environment(number: int, models: Path) -> environments.Environment:
    """Staging with so many uploads, each with a file of its own with the same content."""
    first = environments.artifact(models, "model-1")
    shares = [100, *[0] * (number - 1)]
    for index in range(2, number + 1):
        path = models / f"model-{index}" / first.name
        path.parent.mkdir(exist_ok=True)
        shutil.copy(first, path)
    entries = [
        {"id": f"model-{index}", "artifact": "trained", "traffic": share}
        for index, share in enumerate(shares, 1)
    ]
    # Of each model there is one replica, and twice that while old and new run side by side.
    quota = {"replicas": 2 * max(NUMBERS)}
    # Left out is what a bare program cannot repeat: waiting for a key's grants, and the ids that
    # Google gives to notification channels.
    settings = {"drift": {}, "alerts": {}, "kmsKey": "", "servingQuota": quota}
    return environments.load("staging", models, models=entries, **settings)


def _times(engine: Engine) -> list[float]:
    """Seconds of an `up` of everything, a preview, and an `up` of nothing."""
    steps: list[Callable[[], Outcome]] = [
        lambda: engine.up(judged=False),
        lambda: engine.preview(judged=False),
        lambda: engine.up(judged=False),
    ]
    times = []
    for number, step in enumerate(steps):
        begin = time.perf_counter()
        outcome = step()
        times.append(time.perf_counter() - begin)
        if not outcome.ok or (number and outcome.changed):
            raise RuntimeError("\n".join(outcome.errors or outcome.touched))
    return times


def _slope(times: list[float]) -> float:
    """Seconds a model, of the line that fits best."""
    return statistics.linear_regression(NUMBERS, times).slope
