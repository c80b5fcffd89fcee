"""The rehearsal: the whole life of an environment, stage by stage, offline."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any, Final

from components import permissions as table
from components.configuration import SECRET
from rehearsal import (
    colleague,
    devices,
    drift,
    federating,
    inventory,
    kept,
    lifecycle,
    pictures,
    reviewing,
    routing,
    timing,
    trouble,
    watching,
    workloads,
)
from rehearsal.report import Report, Stage
from rehearsal.run import Options, Rehearsal, opened


@dataclass(frozen=True)
class Step:
    """A stage by the name that the report shows, and when it is part of a rehearsal."""

    name: str
    play: Callable[[Rehearsal, Stage], None]
    when: Callable[[Rehearsal], bool] = lambda run: True
    aside: bool = False
    """Played beside those that follow, up to the first that waits: none may disturb another."""
    waits: bool = True
    """Begun when all that is played aside is over."""
    ending: bool = False
    """Left out when the stack is to stay."""


STEPS: Final = (
    Step("preview", lifecycle.preview),
    Step("up", lifecycle.up, lambda run: run.options.faults is None),
    Step("up under faults", trouble.up, lambda run: run.options.faults is not None),
    Step("recover", trouble.recover, lambda run: run.failed is not None),
    Step("store a model", workloads.store, lambda run: run.registers),
    Step("list what is there", inventory.take, aside=True),
    Step("predict", workloads.predict, aside=True),
    Step("answer callers", workloads.answer_callers, lambda run: run.shared, aside=True),
    Step("publish telemetry", routing.publish, lambda run: run.routes, aside=True),
    Step("come in from GitHub", federating.come_in, lambda run: run.federates),
    # Devices and their predictions go on while somebody works on the stack.
    Step("up again", lifecycle.up_again, waits=False),
    Step("refresh", lifecycle.refresh, waits=False),
    Step("route telemetry", routing.route, lambda run: run.routes),
    Step("keep apart", routing.keep_apart, lambda run: run.routes),
    Step("tell the registry", devices.tell, lambda run: run.registers_devices),
    Step("watch drift", drift.watch, lambda run: run.watches_drift),
    Step("watch", watching.watch, lambda run: run.watches),
    Step("draw pictures", pictures.draw, lambda run: bool(run.options.pictures)),
    Step("refuse to destroy", lifecycle.refuse_destroy, lambda run: run.protected, ending=True),
    Step(
        "a colleague's version",
        colleague.register,
        lambda run: run.registers and not run.protected,
        ending=True,
    ),
    Step("destroy", lifecycle.destroy, lambda run: not run.protected, ending=True),
    Step("check the time", timing.demand_waiting, lambda run: run.options.slow),
)
"""In the order in which they are played."""

REVIEW: Final = (
    Step("nothing changed", reviewing.nothing_changed),
    Step("something changed", reviewing.something_changed),
    Step("look for drift", reviewing.look_for_drift),
)
"""Previews of pull requests, by who may do nothing else."""


class UnknownStage(ValueError):
    """There is no such stage, or not in this rehearsal; the message names those there are."""


def rehearse(options: Options, report: Report) -> bool:
    """Play every stage; True when all of them held. Raises NotKept."""
    if options.keep:
        kept.demand_none(report)
    with opened(options, report) as run:
        held = play(run, [step for step in STEPS if not (step.ending and options.keep)])
        if options.keep:
            kept.keep(run)
    if not options.keep:
        kept.remind(report)
    return held


def go_on(options: Options, report: Report, name: str, *, alone: bool) -> bool:
    """Play a stage on the kept cloud, and unless `alone` those after it; True when all held.

    Raises UnknownStage, NotKept.
    """
    names = [step.name for step in STEPS]
    if name not in names:
        raise UnknownStage(f"no stage is called {name!r}; there are {', '.join(names)}")
    first, *after = STEPS[names.index(name) :]
    with kept.opened_again(options, report) as run:
        if not first.when(run):
            played = ", ".join(step.name for step in STEPS if step.when(run))
            raise UnknownStage(f"{name!r} is not played here; what is: {played}")
        others = [step for step in after if not (alone or (step.ending and options.keep))]
        held = play(run, [first, *others])
    kept.remind(report)
    return held


def play(run: Rehearsal, steps: Sequence[Step]) -> bool:
    """Play `steps` until one does not hold, and tell what the whole run used; True if all held.

    A step that breaks in a way of its own is told like one that failed.
    """
    errors: list[Exception] = []
    with ThreadPoolExecutor() as pool:
        beside: list[Future[Exception | None]] = []
        for step in steps:
            if not step.when(run):
                continue
            if step.aside:
                beside.append(pool.submit(_played, run, step))
                continue
            if step.waits:
                errors += _ended(beside)
            if errors:
                break
            errors += filter(None, [_played(run, step)])
        errors += _ended(beside)
    for error in errors:
        run.explain(error)
    with run.explained():
        finish(run)
    held = "failures" not in run.report.summary
    run.report.summary["passed"] = held
    return held


def _ended(beside: list[Future[Exception | None]]) -> list[Exception]:
    """What went wrong in what was played aside, once all of it is over."""
    errors = [error for each in beside if (error := each.result())]
    beside.clear()
    return errors


def _played(run: Rehearsal, step: Step) -> Exception | None:
    try:
        with run.report.stage(step.name, aside=step.aside) as stage:
            step.play(run, stage)
    except Exception as error:
        return error
    return None


def finish(run: Rehearsal) -> None:
    """Add what the whole run used, and show it."""
    stats = run.sandbox.control("GET", "/stats")
    settings = run.environment.settings
    run.report.summary |= {
        "asked": asked(run.options),
        "needs": [
            [need.identity, need.permission, need.on, need.step]
            for need in table.needs(settings.capabilities)
        ],
        "serving": {
            "region": settings.region,
            "machine_type": settings.machine_type,
            "replicas": [settings.min_replicas, settings.max_replicas],
            "traffic": {model.id: model.traffic for model in settings.models},
            "own": {model.id: settings.served(model)[:3] for model in settings.models},
        },
        "http_requests": stats["total"],
        "refused_hosts": stats["refused_hosts"],
        "identities": run.identities(),
    }
    run.report.identities()
    run.report.refused()


NOT_TOLD: Final = ("stack", "provider", "keep", "pictures")
"""Options that change nothing of what is rehearsed, or that the summary has already."""


def asked(options: Options) -> dict[str, Any]:
    """What differs from a rehearsal of the stack as its file has it; no value that is secret."""
    usual = asdict(Options(options.stack))
    given = {
        key: value
        for key, value in asdict(options).items()
        if key not in NOT_TOLD and value != usual[key]
    }
    if "settings" in given:
        shown = {key: "(secret)" if key in SECRET else it for key, it in options.settings.items()}
        given["settings"] = shown
    return given


def unknown_permissions(options: Options) -> list[str]:
    """Problems with `--without`: names that nobody in this stack needs, or nobody has.

    And with `--with-grant`: roles that are no use to anybody.
    """
    needed = {need.permission for need in table.NEEDS}
    problems: list[str] = []
    for item in options.without:
        identity, _, permission = item.rpartition(":")
        if permission not in needed:
            problems.append(f"--without {item}: no line of the permission table needs {permission}")
        if identity and identity not in table.IDENTITIES:
            known = ", ".join(table.IDENTITIES)
            problems.append(f"--without {item}: {identity} is none of the identities {known}")
    problems += [
        f"--with-grant {role}: {said}" for role in options.grants if (said := table.no_role(role))
    ]
    return problems
