"""What a Google Cloud denial means for this stack: which line of the table it is about.

The patterns recognise Google's own texts (gcp-facts/02_errors.md), also inside what the Pulumi
engine prints around them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from components import permissions as table


@dataclass(frozen=True)
class Denial:
    """One denial found in a text. `principal` is empty where the text does not name it."""

    kind: str
    text: str
    permission: str = ""
    resource: str = ""
    principal: str = ""


def _storage(match: re.Match[str]) -> Denial:
    return Denial("permission", match[0], match["permission"], match["on"] or "", match["who"])


_PATTERNS: Final[tuple[tuple[str, Callable[[re.Match[str]], Denial]], ...]] = (
    (
        r"(?P<who>\S+@\S+) does not have (?P<permission>[\w.]+) access to the Google Cloud Storage "
        r"\w+\. Permission '[\w.]+' denied on resource(?: '(?P<on>[^']+)')? "
        r"\(or it may not exist\)\.",
        _storage,
    ),
    (
        r"(?:IAM p|P)ermission '(?P<permission>[\w.]+)' denied"
        r"(?: on resource '(?P<on>[^']+)')?(?: \(or it may not exist\)\.)?",
        lambda m: Denial("permission", m[0], m["permission"], m["on"] or ""),
    ),
    (
        r"You do not have permission to act as service_account: (?P<on>[^\s)]+?)\. "
        r"\(or it may not exist\)\.",
        lambda m: Denial("permission", m[0], "iam.serviceAccounts.actAs", m["on"]),
    ),
    (
        r"(?P<api>[\w ]+) API has not been used in project (?P<on>\S+) before or it is disabled\.",
        lambda m: Denial("service", m[0], resource=f"projects/{m['on']}"),
    ),
    (
        r"The following quotas are exceeded: (?P<quota>\w+) \d+",
        lambda m: Denial("quota", m[0], resource=m["quota"]),
    ),
)


def find(text: str) -> Denial | None:
    """The first denial in `text` that Google's wording gives away."""
    found = [
        (match.start(), make(match))
        for pattern, make in _PATTERNS
        if (match := re.search(pattern, text))
    ]
    return min(found, key=lambda item: item[0])[1] if found else None


def lines_of(permission: str, identity: str | None = None) -> list[table.Need]:
    """The lines of the table about `permission`, of one identity or of all."""
    return [
        need
        for need in table.NEEDS
        if need.permission == permission and identity in (None, need.identity)
    ]


def place(need: table.Need) -> str:
    """Where the line stands, such as `components/permissions.py:123`."""
    key = (need.identity, need.role, need.on, need.step, need.permission)
    return f"components/permissions.py:{_places()[key]}"


@cache
def _places() -> dict[tuple[str, ...], int]:
    """Line numbers in the table's source, by identity, role, resource, step and permission."""
    lines = enumerate(Path(table.__file__).read_text().splitlines(), 1)
    rows = [number for number, line in lines if line.startswith(ROW)]
    return {
        (need.identity, need.role, need.on, need.step, need.permission): row
        for need, row in zip(table.NEEDS, rows, strict=True)
    }


ROW: Final = '        ("'
"""Begins each row of the table, and no other line of its file."""


def explain(denial: Denial, identity: str | None = None) -> list[str]:
    """Lines for people: the step, who, which permission on what, and the line of the table."""
    match denial.kind:
        case "service":
            return [
                f"The API is off, or was switched on minutes ago, in {denial.resource}.",
                "components/apis.py lists what the stack enables; the readiness gate waits for it.",
            ]
        case "quota":
            return [
                f"The quota {denial.resource} is used up: it counts maxReplicas times the machine's"
                " cores, over all models of the region.",
                "Lower maxReplicas or the machine type, or ask for more quota in this region.",
            ]
    lines = lines_of(denial.permission, identity) or lines_of(denial.permission)
    who = identity or denial.principal or "the caller"
    on = denial.resource or (lines[0].on if lines else "a resource")
    said = [f"{who} lacks {denial.permission}", f"on {on}"]
    if not lines:
        return [*said, "No step of this stack needs it: the table has no such line."]
    return [*said, *(f"step: {need.step} ({need.call}) — {place(need)}" for need in lines[:2])]
