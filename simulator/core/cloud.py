"""A cloud: a clock, numbers, and the place where its parts are found. It knows none of them."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from simulator.core.clock import Clock
from simulator.core.delays import Delays

T = TypeVar("T")


class Cloud:
    """Its parts are found by their type: `cloud[Storage]`.

    `quotas` are limits by name, for the services that enforce them. Two clouds of the same
    `name` number what is made in them alike.
    """

    def __init__(
        self,
        *,
        clock: Clock | None = None,
        delays: Delays | None = None,
        quotas: Mapping[str, int] | None = None,
        name: str = "rehearsal",
    ) -> None:
        self.clock = clock or Clock()
        self.delays = delays or Delays()
        self.quotas = dict(quotas or {})
        self._name = name
        self._ids = 0
        self._parts: dict[type, Any] = {}
        self.requests: Counter[tuple[str, int]] = Counter()
        self.refused_hosts: Counter[str] = Counter()
        # `METHOD PATH` of every request that changed something, in order
        self.changes: list[str] = []

    def add(self, part: object) -> None:
        """From now on `part` is found by its type, and by what that inherits from."""
        for kind in type(part).__mro__[:-1]:
            self._parts.setdefault(kind, part)

    def __getitem__(self, kind: type[T]) -> T:
        part: T = self._parts[kind]
        return part

    def holdings(self) -> Iterator[Holding]:
        """What its services hold, in the order in which they were added."""
        parts = [part for kind, part in self._parts.items() if type(part) is kind]
        return (part for part in parts if isinstance(part, Holding))

    def state(self) -> dict[str, list[str]]:
        """The names of everything that exists, by kind."""
        return {kind: names for part in self.holdings() for kind, names in part.live().items()}

    def unique_id(self) -> str:
        """A number of 19 digits; the same sequence in every cloud of the same name."""
        self._ids += 1
        digest = hashlib.sha256(f"{self._name}:{self._ids}".encode()).digest()
        return str(10**18 + int.from_bytes(digest[:8], "big") % (9 * 10**18))


class Holding(ABC):
    """What one service of a cloud holds."""

    @abstractmethod
    def live(self) -> dict[str, list[str]]:
        """The names of what exists, by kind."""
