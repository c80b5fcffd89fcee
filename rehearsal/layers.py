"""Two stacks of one environment, foundation and rollout, worked on as if they were one.

What somebody does in an environment, he does in both: foundation first, and last on the way down.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from rehearsal.callers import Caller
from rehearsal.engine import Apart, Engine, Outcome, Program, one_by_one, stack_program
from rehearsal.environment import Environment
from rehearsal.sandbox import Sandbox
from rehearsal.toolchain import GcpPlugin


class Layers(Engine):
    """An engine for each layer; what is asked of an environment is asked of both."""

    def __init__(self, foundation: Engine, rollout: Engine) -> None:
        self.environment, self.directory = foundation.environment, foundation.directory
        self._both = (foundation, rollout)

    @property
    def layers(self) -> tuple[Engine, ...]:
        return self._both

    @property
    def variables(self) -> dict[str, str]:
        return self._both[0].variables

    def configure(self, environment: Environment) -> None:
        assert environment.rollout is not None
        self._both[0].configure(environment)
        self._both[1].configure(environment.rollout)

    def run_as(self, who: Caller, impersonate: str = "") -> None:
        for engine in self._both:
            engine.run_as(who, impersonate)

    def run_as_usual(self) -> None:
        for engine in self._both:
            engine.run_as_usual()

    def reach_by(self, relay: Callable[[int], int]) -> None:
        for engine in self._both:
            engine.reach_by(relay)

    def use(self, program: Program) -> None:
        for engine in self._both:
            engine.use(program)

    def preview(self, *, judged: bool = True, **options: Any) -> Outcome:
        """Of the rollout too, once there is something that it can stand on."""
        foundation, rollout = self._both
        there = bool(foundation.resources())
        return one_by_one(
            *(
                partial(engine.preview, judged=judged, **options)
                for engine in ((foundation, rollout) if there else (foundation,))
            )
        )

    def up(self, *, judged: bool = True, **options: Any) -> Outcome:
        return one_by_one(*(partial(it.up, judged=judged, **options) for it in self._both))

    def refresh(self, **options: Any) -> Outcome:
        return one_by_one(*(partial(it.refresh, **options) for it in self._both))

    def destroy(self, **options: Any) -> Outcome:
        return one_by_one(*(partial(it.destroy, **options) for it in reversed(self._both)))

    def outputs(self) -> dict[str, Any]:
        foundation, rollout = self._both
        return {**foundation.outputs(), **rollout.outputs()}

    def resources(self) -> list[dict[str, Any]]:
        foundation, rollout = self._both
        return [*foundation.resources(), *rollout.resources()]

    def apart(self, operation: str, **options: Any) -> Apart:
        both = reversed(self._both) if operation == "destroy" else self._both
        return Apart([engine._asked(operation, options) for engine in both])

    def cli(self, *arguments: str, given: str | None = None) -> str:
        raise TypeError("two stacks: ask each of `layers`")


def engine_of(
    sandbox: Sandbox,
    environment: Environment,
    plugin: GcpPlugin,
    program: Program = stack_program,
    **options: Any,
) -> Engine:
    """For all stacks of an environment; the `options` are those of `Engine`.

    The foundation runs `program`, a rollout the stack's own.
    """
    engine = Engine(sandbox, environment, plugin, program, **options)
    if environment.rollout is None:
        return engine
    return Layers(engine, Engine(sandbox, environment.rollout, plugin, beside=engine, **options))
