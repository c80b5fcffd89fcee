"""Deadlines, growing pauses and cancellation, for work that takes minutes."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from pulumi_plugin.kinds import Context, ProviderError
from vertexops.errors import GoogleError, Json, operation_error

SHORTEST, LONGEST, GROWTH = 0.2, 10.0, 1.6
ATTEMPTS = 3
"""Times that an operation is started which ends with an error that may pass."""

T = TypeVar("T")


class Unfinished(ProviderError):
    """The deadline passed, or the person running Pulumi cancelled, while something was running."""


class Operations(Protocol):
    def operation(self, name: str) -> Json: ...


class Clock:
    """Time as operations see it; tests replace it."""

    def now(self) -> float:
        return time.monotonic()

    def today(self) -> float:
        """Unix seconds."""
        return time.time()

    def sleep(self, context: Context, seconds: float) -> None:
        context.cancelled.wait(seconds)

    def jitter(self) -> float:
        return random.uniform(0.8, 1.2)


class Waiting:
    """One deadline for everything an operation waits for.

    A `customTimeouts` option on the resource takes the place of `seconds`.
    """

    def __init__(self, context: Context, seconds: float, clock: Clock) -> None:
        self.context, self.clock = context, clock
        self.seconds = context.timeout or seconds
        self._start = clock.now()
        self._pause = SHORTEST

    @property
    def elapsed(self) -> float:
        return self.clock.now() - self._start

    def pause(self) -> bool:
        """Sleep, longer each time; False when the deadline has passed. Raises `Unfinished`."""
        left = self.seconds - self.elapsed
        if left > 0:
            self.clock.sleep(self.context, min(self._pause * self.clock.jitter(), left))
            self._pause = min(self._pause * GROWTH, LONGEST)
        if self.context.cancelled.is_set():
            raise Unfinished("cancelled")
        return left > 0

    def call(self, function: Callable[..., T], *args: Any) -> T:
        """Call, and again after a transient error; for calls that may be repeated."""
        while True:
            try:
                return function(*args)
            except GoogleError as error:
                if not error.is_transient or not self.pause():
                    raise

    def whole(self, service: Operations, what: str, start: Callable[..., str], *args: Any) -> Json:
        """Start an operation that may be started again, and wait for its response."""
        for attempt in range(1, ATTEMPTS + 1):
            operation = self.call(start, *args)
            try:
                return self.operation(service, operation, what)
            except GoogleError as error:
                if not error.is_transient or attempt == ATTEMPTS or not self.pause():
                    raise
        raise AssertionError("the last attempt returns or raises")

    def operation(self, service: Operations, name: str, what: str) -> Json:
        """The response of a long-running operation. Raises its error, or `Unfinished`."""
        self._pause = SHORTEST
        while True:
            state = self.call(service.operation, name)
            if "error" in state:
                raise operation_error(state["error"])
            if state.get("done"):
                return dict(state.get("response", {}))
            self.context.status(f"{what} ({self.elapsed:.0f} s)")
            try:
                ended = None if self.pause() else f"not done after {self.seconds:.0f} s"
            except Unfinished as cancelled:
                ended = str(cancelled)
            if ended:
                raise Unfinished(
                    f"{what}: {ended}. The operation {name} goes on, and the next `pulumi up` "
                    "finds what it did."
                )
