"""Grants that are taken out one at a time, to see what fails without each.

A check is refused when exactly one grant would have passed it and that one was not given back yet:
as if it alone were missing. What another grant also gives is not refused, for it would do no harm.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from simulator.api.audit import Via

Part = tuple[Via, str]
"""A grant and a permission of its role, if the project made that role; else "", all of it."""


@dataclass(frozen=True)
class Trial:
    """Of grants to `members`; roles in `beside` count as no other way to pass a check."""

    members: frozenset[str]
    beside: frozenset[str]
    returned: frozenset[Part]

    def taken(self, permission: str, ways: Iterable[Via]) -> Part | None:
        """What is missing where a check could be passed by these grants; None for nothing."""
        found = {way for way in ways if way.role not in self.beside}
        if len(found) != 1:
            return None
        [way] = found
        part = (way, "" if way.role.startswith("roles/") else permission)
        return part if way.member in self.members and part not in self.returned else None
