"""The crash sweep: kill the engine after each change it makes, recover, and look what is there.

A point is the number of a change request. The simulated cloud carries that change out, tells
nobody and lets nothing else in; the engine, its plugins and all else in its session are killed.
Then comes what a person does: `pulumi cancel`, settle what was begun (`access.recover`), `pulumi up
--refresh`. What is in the cloud and in the state afterwards has to equal what an undisturbed run
leaves there.
"""

from __future__ import annotations

import json
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from access.recover import CannotLook, UnknownKind, recovered
from rehearsal import environment as environments
from rehearsal import world as worlds
from rehearsal.engine import Engine, EngineError, Outcome
from rehearsal.report import Report
from rehearsal.sandbox import Sandbox
from rehearsal.world import World

AT_ONCE: Final = 2
"""Points under way at the same time: an engine keeps about one core busy."""
WATCH_SECONDS: Final = 0.02
SHOWN: Final = 20
"""Differences shown of one point; the summary has all of them."""


@dataclass(frozen=True)
class Point:
    """After change number `after`, of those whose method ends in `method`."""

    after: int
    method: str = ""

    @classmethod
    def parse(cls, text: str) -> Point:
        """`K`, `METHOD` or `METHOD:K`. Raises ValueError."""
        method, _, number = text.rpartition(":") if ":" in text else ("", "", text)
        if not number.isdigit():
            method, number = text, "1"
        if int(number) < 1:
            raise ValueError(f"{text}: changes are counted from 1")
        return cls(int(number), method)

    def __str__(self) -> str:
        return f"{self.method} {self.after}".strip()


@dataclass
class Found:
    """What became of a point. `change` is where it stopped; empty when it was not reached."""

    point: Point
    change: str = ""
    problems: list[str] = field(default_factory=list)


Scenario = Callable[[World, Path], None]


def first(world: World, models: Path) -> None:
    """The very first `up`: nothing comes before it."""


def model_update(world: World, models: Path) -> None:
    """A stack that is up, and a newer version of each of its models."""
    hold(world.engine.apart("up").outcome())
    world.engine.configure(environments.renewed(world.engine.environment, world.sandbox, models))
    hold(world.engine.refresh())  # follows an alias to the newer version


SCENARIOS: Final[dict[str, Scenario]] = {"first": first, "model-update": model_update}


def hold(outcome: Outcome) -> None:
    """Raises EngineError unless the operation went through."""
    if not outcome.ok:
        raise EngineError("\n".join(outcome.errors))


def of_each_method(changes: Sequence[str]) -> list[Point]:
    """After the last change of each method, in order."""
    last = {change.partition(" ")[0]: number for number, change in enumerate(changes, 1)}
    return [Point(number) for number in sorted(last.values())]


def sweep(
    stack: str, scenario: str, points: Sequence[Point], report: Report, *, sample: bool = False
) -> bool:
    """Try `points`; without any, those `of_each_method`, or after all changes that an undisturbed
    run makes."""
    models = report.folder / "models"
    started = time.monotonic()
    with opened(stack, scenario, models) as world:
        number = len(world.sandbox.control("GET", "/changes")["changes"])
        hold(world.engine.apart("up").outcome())
        made = world.sandbox.control("GET", f"/changes?since={number}")["changes"]
        expected = world.left()
    if not points:
        points = of_each_method(made) if sample else [Point(n + 1) for n in range(len(made))]
    report.console.print(f"{scenario}: {len(made)} changes undisturbed, {len(points)} points")
    with ThreadPoolExecutor(AT_ONCE) as pool:
        tried = [pool.submit(_tried, stack, scenario, models, point, expected) for point in points]
        found = []
        for done in as_completed(tried):
            found.append(done.result())
            _show(report, found[-1], len(found), len(points))
    failed = [item for item in found if item.problems]
    report.summary[scenario] = {
        "changes": made,
        "points": len(found),
        "converged": len(found) - len(failed),
        "not_reached": sum(not item.change for item in found),
        "stopped_after": dict(Counter(item.change.partition(" ")[0] for item in found)),
        "failures": {f"{item.point}: {item.change}": item.problems for item in failed},
        "seconds": round(time.monotonic() - started, 1),
    }
    report.console.print(
        f"{scenario}: {len(found)} points tried, {len(found) - len(failed)} converged, "
        f"{time.monotonic() - started:.0f} s",
        highlight=False,
    )
    return not failed


@contextmanager
def opened(stack: str, scenario: str, models: Path) -> Iterator[World]:
    """A cloud and a stack as they are before the `up` that is to be killed."""
    environment = environments.load(stack, models)
    with worlds.opened(environment, models, policies=False, at_once=True) as world:
        SCENARIOS[scenario](world, models)
        yield world


def _tried(
    stack: str, scenario: str, models: Path, point: Point, expected: dict[str, Any]
) -> Found:
    found = Found(point)
    try:
        with opened(stack, scenario, models) as world:
            found.change = interrupt(world, point)
            recover(world)
            found.problems = list(differences(expected, world.left()))
    except (EngineError, UnknownKind, CannotLook) as error:
        found.problems = [str(error)]
    except Exception:  # the other points are told all the same
        found.problems = [traceback.format_exc()]
    return found


def interrupt(world: World, point: Point) -> str:
    """Kill an `up` at `point`: the change it was killed after, empty when there was none such."""
    halt = {"after": point.after, "method": point.method}
    world.sandbox.control("POST", "/halt", halt)
    running = world.engine.apart("up")
    try:
        while running.running:
            if stopped := world.sandbox.control("GET", "/halt")["at"]:
                return str(stopped)
            time.sleep(WATCH_SECONDS)
        hold(running.outcome())
        return ""
    finally:
        running.kill()
        world.sandbox.control("POST", "/resume")


def recover(world: World) -> None:
    """What a person does after a crash. Raises EngineError, UnknownKind, CannotLook."""
    for engine in world.engine.layers:
        engine.cli("cancel", "--yes")
        settle(engine, world.sandbox, engine.exported())
    hold(world.engine.apart("up", refresh=True).outcome())


def settle(engine: Engine, sandbox: Sandbox, state: dict[str, Any]) -> None:
    """Import `state` without its pending creates. Raises EngineError, UnknownKind, CannotLook."""
    look = environments.onlooker(engine.environment, sandbox)
    engine.cli("stack", "import", given=json.dumps(recovered(state, look)))


def differences(expected: Any, found: Any, path: str = "") -> Iterator[str]:
    """One line for each place where `found` is not what was expected."""
    if isinstance(expected, dict) and isinstance(found, dict):
        for key in sorted(expected.keys() | found.keys()):
            at = f"{path} / {key}" if path else key
            if key not in found:
                yield f"{at}: missing"
            elif key not in expected:
                yield f"{at}: {json.dumps(found[key])} should not be there"
            else:
                yield from differences(expected[key], found[key], at)
    elif isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        for number, (one, other) in enumerate(zip(expected, found, strict=True)):
            yield from differences(one, other, f"{path} [{number}]")
    elif expected != found:
        yield f"{path}: {json.dumps(found)} instead of {json.dumps(expected)}"


def _show(report: Report, found: Found, number: int, of: int) -> None:
    report.console.print(f"  {number}/{of}", end="\r", highlight=False)
    if found.problems:
        where = found.change or "not reached"
        report.console.print(f"✗ {found.point}  {where}", style="red", highlight=False)
        for line in found.problems[:SHOWN]:
            report.console.print(f"    {line}", highlight=False, markup=False, soft_wrap=True)
