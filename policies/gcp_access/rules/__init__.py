"""Every rule, by group."""

from __future__ import annotations

from typing import Final

from . import (
    access,
    accounts,
    buckets,
    conditions,
    customroles,
    federation,
    logs,
    programs,
    vertex,
)
from .rule import Rule

GROUPS: Final[dict[str, str]] = {
    "G": "Grants",
    "R": "Custom roles",
    "S": "Service accounts",
    "W": "Workload identity federation",
    "B": "Buckets",
    "V": "Vertex AI",
    "L": "Logs and alerts",
    "A": "APIs",
    "X": "The program",
}


def _order(rule: Rule) -> tuple[int, int]:
    return list(GROUPS).index(rule.id[0]), int(rule.id[1:])


RULES: Final[tuple[Rule, ...]] = tuple(
    sorted(
        (
            *access.RULES,
            *conditions.RULES,
            *customroles.RULES,
            *accounts.RULES,
            *federation.RULES,
            *buckets.RULES,
            *vertex.RULES,
            *logs.RULES,
            *programs.RULES,
        ),
        key=_order,
    )
)
