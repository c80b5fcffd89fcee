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
