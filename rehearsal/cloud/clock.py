"""The simulated cloud's own time, so that propagation and expiry can be tested without waiting."""

from __future__ import annotations

import time
from datetime import UTC, datetime


class Clock:
    """`running` goes on with the wall clock, `rate` times as fast; otherwise only steps count."""

    def __init__(
        self, *, running: bool = True, start: float | None = None, rate: float = 1.0
    ) -> None:
        if rate <= 0:
            raise ValueError(f"a clock's rate is above 0, not {rate}")
        self._running, self.rate = running, rate
        self.start = time.time() if start is None else start
        self._stepped, self._origin = 0.0, time.monotonic()

    def now(self) -> float:
        """Unix seconds."""
        gone = (time.monotonic() - self._origin) * self.rate if self._running else 0.0
        return self.start + self._stepped + gone

    def step(self, seconds: float) -> None:
        if seconds < 0:
            raise ValueError(f"time does not go back: {seconds}")
        self._stepped += seconds

    def rfc3339(self, moment: float | None = None) -> str:
        """Now, or the given moment; without a fraction when it is a whole second."""
        stamp = datetime.fromtimestamp(self.now() if moment is None else moment, UTC)
        return stamp.isoformat().replace("+00:00", "Z")

    def for_clients(self, seconds: float) -> float:
        """How long `seconds` from now take on the clocks of clients, which know no rate."""
        return seconds / self.rate

    def moment_for_clients(self, moment: float) -> float:
        """What the clocks of clients will show at `moment`."""
        return moment if self.rate == 1 else time.time() + self.for_clients(moment - self.now())
