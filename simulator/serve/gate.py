"""What may befall a request between the wire and the cloud: a halt, or a fault.

A halt stops the cloud right after a change was carried out and before anyone is told: what a
program sees that is killed at that moment. Until the halt is lifted nothing else is let in.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, NamedTuple

from simulator.api.operations import Operations
from simulator.core.cloud import Cloud
from simulator.serve.dispatch import Answer, Dispatcher, Request
from simulator.serve.faults import Faults


class Halt(NamedTuple):
    """After the change number `after`, counting those of methods that end in `method` only."""

    after: int
    method: str = ""


class Gate:
    """Lives in the event loop that serves the cloud; control calls reach it there too."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._dispatcher = Dispatcher(cloud)
        self._halt: Halt | None = None
        self._left = 0
        self._lifted = asyncio.Event()
        self.stopped_at = ""
        self.faults: Faults | None = None

    def handle(self, request: Request) -> Answer | Coroutine[Any, Any, Answer | None]:
        """The answer, to be waited for while there is a halt or faults are injected.

        None when the connection is to be dropped instead.
        """
        if self._halt is None and self.faults is None:
            return self._dispatcher.handle(request)
        return self._troubled(request)

    async def _troubled(self, request: Request) -> Answer | None:
        if self.stopped_at:
            await self._lifted.wait()
            return None
        if self.faults is None:
            answer: Answer | None = self._dispatcher.handle(request)
        else:
            answer = await self.faults.handle(request, self._dispatcher)
        if self._halt and answer and answer.change.partition(" ")[0].endswith(self._halt.method):
            self._left -= bool(answer.change)
            if answer.change and not self._left:
                self.stopped_at = answer.change
                await self._lifted.wait()
                return None
        return answer

    def inject(self, faults: Faults | None) -> None:
        self.faults = faults
        self._cloud[Operations].faults = faults

    def halt(self, halt: Halt) -> None:
        if halt.after < 1:
            raise ValueError(f"a halt comes after a change, counting from 1: {halt.after}")
        self._halt, self._left = halt, halt.after

    def lift(self) -> None:
        """Let requests in again; those that waited at the gate are dropped."""
        self._halt, self.stopped_at = None, ""
        self._lifted.set()
        self._lifted = asyncio.Event()
