"""Long-running operations that finish when the cloud's clock says so."""

from __future__ import annotations

import heapq
import logging
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from simulator.api.errors import ApiError, internal_error, not_found
from simulator.core.cloud import Cloud
from simulator.core.delays import kind_of

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Operation:
    name: str
    metadata: dict[str, Any]
    run: Callable[[], dict[str, Any]]
    started: float | None
    """On the cloud's clock; None for one that takes no time."""
    fails: ApiError | None = None
    done: bool = False
    outcome: dict[str, Any] | None = None

    def json(self) -> dict[str, Any]:
        answer: dict[str, Any] = {"name": self.name, "metadata": self.metadata}
        if self.done:
            answer |= {"done": True, **(self.outcome or {})}
        return answer


class Trouble(ABC):
    """What lets operations fail (`serve.faults`)."""

    injected: Counter[str]

    @abstractmethod
    def operation(self, kind: str, target: str) -> ApiError | None:
        """How an operation that starts now will fail in the end, if it will."""


class Operations:
    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._operations: dict[str, Operation] = {}
        self._due: list[tuple[float, int, Operation]] = []
        self._started = 0
        self._failing: ApiError | None = None
        # kind -> the shortest time in seconds that one of it has taken
        self.shortest: dict[str, float] = {}
        self.faults: Trouble | None = None
        self._looking: list[Callable[[], None]] = []

    def start(
        self,
        name: str,
        *,
        metadata: dict[str, Any],
        run: Callable[[], dict[str, Any]],
        delay: float | None = None,
    ) -> dict[str, Any]:
        """Start an operation and return it as JSON.

        `run` is called once `delay` seconds (`cloud.delays` says, unless given) have passed on
        the clock. What it returns, with its `@type`, becomes the response; an ApiError it raises
        becomes the operation's error. A delay of 0 finishes at once.
        """
        wait = self._cloud.delays.of(metadata) if delay is None else delay
        kind = str(metadata.get("@type"))
        fails = self.faults.operation(kind, name) if self.faults and wait > 0 else None
        started = self._cloud.clock.now() if wait > 0 else None
        operation = Operation(name, metadata, run, started, fails)
        self._operations[name] = operation
        if wait <= 0:
            self._finish(operation)
        else:
            self._started += 1
            due = self._cloud.clock.now() + wait
            heapq.heappush(self._due, (due, self._started, operation))
        return operation.json()

    def after(self, seconds: float, run: Callable[[], None]) -> None:
        """Call `run` once `seconds` have passed on the clock: what a service does by itself."""

        def work() -> dict[str, Any]:
            run()
            return {}

        self._started += 1
        due = self._cloud.clock.now() + seconds
        heapq.heappush(self._due, (due, self._started, Operation("", {}, work, None)))

    def whenever_settled(self, look: Callable[[], None]) -> None:
        """Call `look` each time that what was due is finished: it sees the cloud as it is now."""
        self._looking.append(look)

    def falter(self) -> None:
        """Raise what a fault makes of the operation that is about to end.

        Called by a `run`, where it takes back what it began when it raises.
        """
        if self._failing is not None and self.faults is not None:
            self.faults.injected[f"late {self._failing.reason}"] += 1
            raise self._failing

    def settle(self) -> None:
        """Finish everything that is due, oldest first."""
        while self._due and self._due[0][0] <= self._cloud.clock.now():
            self._finish(heapq.heappop(self._due)[2])
        for look in self._looking:
            try:
                look()
            except Exception:
                # A fault of the simulator, and none of whoever asks for something else.
                log.exception("after what was due")

    def get(self, name: str) -> dict[str, Any]:
        self.settle()
        if name not in self._operations:
            raise not_found(f"Operation `{name}` not found.")
        return self._operations[name].json()

    def unfinished(self) -> Iterable[str]:
        """The kinds of the operations that are still at work."""
        self.settle()
        return sorted(str(item.metadata.get("@type")) for _, _, item in self._due if item.name)

    def list(self, prefix: str) -> list[dict[str, Any]]:
        """The operations whose names start with `prefix`."""
        self.settle()
        found = (item for name, item in self._operations.items() if name.startswith(prefix))
        return [item.json() for item in found]

    def delete(self, name: str) -> None:
        self.get(name)
        del self._operations[name]

    def _finish(self, operation: Operation) -> None:
        self._failing = operation.fails
        try:
            operation.outcome = {"response": operation.run()}
        except ApiError as error:
            operation.outcome = {"error": error.operation_error()}
        except Exception:
            # A fault of the simulator: the operation still ends, and says so.
            log.exception("operation %s", operation.name)
            operation.outcome = {"error": internal_error().operation_error()}
        operation.done = True
        if operation.started is not None:
            kind, took = kind_of(operation.metadata), self._cloud.clock.now() - operation.started
            self.shortest[kind] = min(took, self.shortest.get(kind, took))
