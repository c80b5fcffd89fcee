"""Rehearsals on a cloud that has its bad days (`simulator.serve.faults`).

An `up` under faults ends in the right state, or with an error that says what was wrong; then the
faults end, and a second `up` has to put it right. What could not be created because a first attempt
had arrived after all is adopted before, and what was made twice is made one again.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from rich.table import Table

from access.recover import CREATING, CannotLook, UnknownKind, doubles
from rehearsal import crash
from rehearsal import environment as environments
from rehearsal.engine import Engine, EngineError, Outcome
from rehearsal.environment import OWNER
from rehearsal.report import Report, Stage, StageFailed
from rehearsal.run import Rehearsal
from rehearsal.sandbox import Sandbox

EXISTS: Final = ("already exist", "Error 409", "already own it")
UNCLEAR: Final = ("Traceback (most recent call last)", "panic: ")


def up(run: Rehearsal, stage: Stage) -> None:
    """An `up` on a bad day. One that ends in an error has to say what was wrong."""
    inject(run.sandbox, run.options.faults or 0, run.options.fault_rate)
    try:
        outcome = run.engine.up()
    finally:
        told = end(run.sandbox)
    run.report.summary |= {"faults": told, "resources": outcome.resources}
    number = sum(told["injected"].values())
    stage.note = f"{number} faults; {outcome.summary() if outcome.ok else 'a clear error'}"
    if outcome.ok:
        drop_doubles(run.engine, run.sandbox)
        _demand_grants(run)
        return
    run.failed = outcome
    if problems := unclear(outcome):
        raise StageFailed("the engine stopped without saying why", "\n".join(problems))


def recover(run: Rehearsal, stage: Stage) -> None:
    """Another `up` once the faults have ended; the stages after it show that the state is right."""
    assert run.failed is not None
    adopt_existing(run.engine, run.sandbox, run.failed)
    outcome = run.engine.up(refresh=True)
    run.hold(stage, outcome)
    drop_doubles(run.engine, run.sandbox)
    run.report.summary["resources"] = outcome.resources
    _demand_grants(run)


def _demand_grants(run: Rehearsal) -> None:
    granted = run.report.summary["faults"]["granted"]
    if gone := lost(run.sandbox.control("GET", "/dump"), granted):
        raise StageFailed("a grant of someone else was lost", "\n".join(gone))


@dataclass
class Tried:
    """What one seed did. `error` is the first up's; `problems` are what must not be."""

    seed: int
    injected: dict[str, int] = field(default_factory=dict)
    error: str = ""
    adopted: list[str] = field(default_factory=list)
    doubles: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def outcome(self) -> str:
        if self.problems:
            return f"FAILED: {self.problems[0]}"
        adopted = f", {len(self.adopted)} adopted" if self.adopted else ""
        doubles = f", {len(self.doubles)} made twice" if self.doubles else ""
        return ("clear error, then recovered" if self.error else "passed") + adopted + doubles


def try_seeds(stack: str, seeds: list[int], rate: float, report: Report) -> bool:
    """An `up` of `stack` for each seed, each in a cloud of its own."""
    models = report.folder / "models"
    with crash.opened(stack, "first", models) as world:
        crash.hold(world.engine.apart("up").outcome())
        expected = world.left()
    started = time.monotonic()
    with ThreadPoolExecutor(crash.AT_ONCE) as pool:
        tried = list(pool.map(lambda seed: _try(stack, models, seed, rate, expected), seeds))
    report.summary["seeds"] = {
        item.seed: {
            "injected": item.injected,
            "outcome": item.outcome,
            "error": item.error,
            "adopted": item.adopted,
            "doubles": item.doubles,
            "problems": item.problems,
        }
        for item in tried
    }
    report.summary["seconds"] = round(time.monotonic() - started, 1)
    _show(tried, report)
    return not any(item.problems for item in tried)


def _try(stack: str, models: Path, seed: int, rate: float, expected: dict[str, Any]) -> Tried:
    tried = Tried(seed)
    with crash.opened(stack, "first", models) as world:
        try:
            inject(world.sandbox, seed, rate)
            outcome = world.engine.apart("up").outcome()
            told = end(world.sandbox)
            tried.injected = told["injected"]
            if not outcome.ok:
                tried.error = "\n".join(outcome.errors)
                tried.problems += unclear(outcome)
                tried.adopted = adopt_existing(world.engine, world.sandbox, outcome)
                crash.hold(world.engine.apart("up", refresh=True).outcome())
            tried.doubles = drop_doubles(world.engine, world.sandbox)
            left = world.left()
            tried.problems += lost(left["cloud"], told["granted"])
            tried.problems += crash.differences(expected, settled(left, told["granted"]))
        except (EngineError, UnknownKind, CannotLook) as error:
            tried.problems.append(str(error))
        except Exception:  # the other seeds are told all the same
            tried.problems.append(traceback.format_exc())
    return tried


def inject(sandbox: Sandbox, seed: int, rate: float) -> None:
    sandbox.control("POST", "/faults", {"seed": seed, "rate": rate})


def end(sandbox: Sandbox) -> dict[str, Any]:
    """No more faults from here on: what there was of them, `injected` and `granted`."""
    told: dict[str, Any] = sandbox.control("GET", "/faults")
    sandbox.control("POST", "/faults", {})
    return told


def unclear(outcome: Outcome) -> list[str]:
    """Errors that a person could not act on."""
    if not outcome.errors:
        return ["up failed without an error"]
    return [
        f"an unclear error: {error}"
        for error in outcome.errors
        if any(sign in error for sign in UNCLEAR)
    ]


def adopt_existing(engine: Engine, sandbox: Sandbox, outcome: Outcome) -> list[str]:
    """Write what could not be created because it was there into the state: the resources' names.

    A person would `pulumi import` it, which needs the language host that a rehearsal does without.
    Raises EngineError, UnknownKind, CannotLook.
    """
    return [name for it in engine.layers for name in _adopt_existing(it, sandbox, outcome)]


def _adopt_existing(engine: Engine, sandbox: Sandbox, outcome: Outcome) -> list[str]:
    own = f"urn:pulumi:{engine.environment.stack}::"
    state = engine.exported()
    pending = state["deployment"].setdefault("pending_operations", [])
    for urn, failed in outcome.failed.items():
        exists = any(sign in error for error in failed["errors"] for sign in EXISTS)
        if exists and urn.startswith(own):
            about = {key: failed[key] for key in ("type", "inputs", "parent", "provider")}
            pending.append({"type": CREATING, "resource": {"urn": urn, "custom": True, **about}})
    adopted = [operation["resource"]["urn"].rpartition("::")[2] for operation in pending]
    if adopted:
        crash.settle(engine, sandbox, state)
    return adopted


def drop_doubles(engine: Engine, sandbox: Sandbox) -> list[str]:
    """Delete what repeated creates have made beside what the state knows: their URLs.

    Raises EngineError, UnknownKind, CannotLook.
    """
    look = environments.onlooker(engine.environment, sandbox)
    found = [url for it in engine.layers if look for url in doubles(it.exported(), look)]
    for url in found:
        sandbox.google(OWNER).call("DELETE", url)
    return found


def lost(cloud: dict[str, Any], granted: list[list[str]]) -> list[str]:
    """What someone else granted while the stack came up and that is no longer there."""
    return [
        f"{role} of {member} on {resource} was lost"
        for resource, role, member in granted
        if f"{role} {member}" not in cloud["policies"].get(resource, ())
    ]


def settled(left: dict[str, Any], granted: list[list[str]]) -> dict[str, Any]:
    """What is left, without the grants of someone else and without repeated uploads.

    A client that does not hear that its upload arrived uploads again: in a bucket that keeps
    versions, the same content stands behind itself.
    """
    cloud = left["cloud"]
    policies = {
        resource: [
            line
            for line in lines
            if not any(
                resource == on and line == f"{role} {member}" for on, role, member in granted
            )
        ]
        for resource, lines in cloud["policies"].items()
    }
    for bucket in cloud["Storage"]["buckets"].values():
        bucket["objects"] = {
            name: list(_unrepeated(generations)) for name, generations in bucket["objects"].items()
        }
    return {**left, "cloud": {**cloud, "policies": {k: v for k, v in policies.items() if v}}}


def _unrepeated(generations: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for generation, after in zip(generations, [*generations[1:], None], strict=True):
        if after is None or generation["data"] != after["data"]:
            yield generation


def _show(tried: list[Tried], report: Report) -> None:
    table = Table("seed", "faults", "of which", "outcome", box=None, pad_edge=False)
    for item in tried:
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(item.injected.items()))
        table.add_row(str(item.seed), str(sum(item.injected.values())), kinds, item.outcome)
    report.console.print(table)
    for item in tried:
        for problem in item.problems[: crash.SHOWN]:
            report.console.print(f"  {item.seed}: {problem}", highlight=False, markup=False)
