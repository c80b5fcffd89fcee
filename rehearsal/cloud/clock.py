"""The simulated cloud's own time, so that propagation and expiry can be tested without waiting."""

from __future__ import annotations

import time
from datetime import UTC, datetime


class Clock:
    """`running` follows the wall clock plus what was stepped; otherwise only steps count."""

    def __init__(self, *, running: bool = True, start: float | None = None) -> None:
        begin = time.time() if start is None else start
        self._running = running
        self._offset = begin - time.time() if running else begin

    def now(self) -> float:
        """Unix seconds."""
        return self._offset + time.time() if self._running else self._offset

    def step(self, seconds: float) -> None:
        if seconds < 0:
            raise ValueError(f"time does not go back: {seconds}")
        self._offset += seconds

    def rfc3339(self, moment: float | None = None) -> str:
        """Now, or the given moment; without a fraction when it is a whole second."""
        stamp = datetime.fromtimestamp(self.now() if moment is None else moment, UTC)
        return stamp.isoformat().replace("+00:00", "Z")
