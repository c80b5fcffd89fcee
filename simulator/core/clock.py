"""The simulated cloud's own time, so that propagation and expiry can be tested without waiting."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta

STAMP = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:[Tt](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?([Zz]|[+-]\d\d:\d\d)?)?"
)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def nanoseconds(text: str) -> int:
    """An RFC 3339 time, or a date, in nanoseconds since 1970; ValueError for anything else."""
    found = STAMP.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no time of the form 2026-01-31T08:00:00Z")
    day, hours, fraction, zone = found.groups()
    offset = "+00:00" if zone in (None, "Z", "z") else zone
    whole = datetime.fromisoformat(f"{day}T{hours or '00:00:00'}{offset}") - EPOCH
    return whole // timedelta(seconds=1) * 10**9 + int((fraction or "0").ljust(9, "0"))


def rfc3339(moment: float) -> str:
    """Unix seconds as a time in UTC; without a fraction when it is a whole second."""
    return datetime.fromtimestamp(moment, UTC).isoformat().replace("+00:00", "Z")


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
        return rfc3339(self.now() if moment is None else moment)

    def for_clients(self, seconds: float) -> float:
        """How long `seconds` from now take on the clocks of clients, which know no rate."""
        return seconds / self.rate

    def moment_for_clients(self, moment: float) -> float:
        """What the clocks of clients will show at `moment`."""
        return moment if self.rate == 1 else time.time() + self.for_clients(moment - self.now())
