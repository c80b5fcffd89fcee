"""What a Google Cloud denial means for this stack: which line of the table it is about.

The patterns recognise Google's own texts (gcp-facts/02_errors.md), also inside what the Pulumi
engine prints around them.
"""

from __future__ import annotations

import re
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


# Kind, the permission where the sentence does not name it, and Google's sentence. Groups are fields
# of a Denial: what it is `on`, `who` is denied.
_SENTENCES: Final[tuple[tuple[str, str, str], ...]] = (
    (
        "permission",
        "",
        r"(?P<who>\S+@\S+) does not have (?P<permission>[\w.]+) access to the Google Cloud Storage "
        r"\w+\. Permission '[\w.]+' denied on resource(?: '(?P<on>[^']+)')? "
        r"\(or it may not exist\)\.",
    ),
    (
        "permission",
        "",
        r"(?:IAM p|P)ermission '(?P<permission>[\w.]+)' denied"
        r"(?: (?:on|for) resource '(?P<on>[^']+)')?(?: \(or it may not exist\)\.)?",
    ),
    (
        "permission",
        "iam.serviceAccounts.actAs",
        r"You do not have permission to act as service_account: (?P<on>[^\s)]+?)\. "
        r"\(or it may not exist\)\.",
    ),
    ("permission", "iam.roles.create", r"have permission to create a role in (?P<on>[\w/-]+)\."),
    (
        "permission",
        "",
        r"Permission (?P<permission>[\w.]+) is required to perform this operation on "
        r"(?:project|service account) (?P<on>[\w/@.-]+)\.(?!\w)",
    ),
    (
        "permission",
        "resourcemanager.projects.setIamPolicy",
        r"(?:IAM policy for project \"(?P<on>[\w-]+)\": )?(?:googleapi: Error 403: )?"
        r"Policy update access denied\.",
    ),
    (
        "permission",
        "",
        r"User does not have (?P<permission>bigquery[\w.]+) permission in project (?P<on>[\w-]+)\.",
    ),
    (
        "permission",
        "",
        r"Permission (?P<permission>bigquery[\w.]+) denied on (?:dataset|table) "
        r"(?P<on>[\w.:-]+) \(or it may not exist\)\.",
    ),
    (
        "permission",
        "",
        r"Permission (?P<permission>monitoring[\w.]+) denied \(or the resource may not exist\)\.",
    ),
    ("permission", "", r"Required '(?P<permission>compute[\w.]+)' permission for '(?P<on>[^']+)'"),
    (
        "permission",
        "serviceusage.services.list",
        r"Permission denied to list services for consumer container \[(?P<on>[^\]]+)\]",
    ),
    (
        "permission",
        "serviceusage.services.enable",
        r"Permission denied to enable service \[(?P<on>[^\]]+)\]",
    ),
    ("service", "", r"API has not been used in project (?P<on>\S+) before or it is disabled\."),
    ("quota", "", r"The following quotas are exceeded: (?P<on>\w+) \d+"),
)


def _denial(kind: str, permission: str, match: re.Match[str]) -> Denial:
    said = {name: value or "" for name, value in match.groupdict().items()}
    on = said.get("on", "")
    if kind == "service":
        on = f"projects/{on}"
    return Denial(kind, match[0], permission or said.get("permission", ""), on, said.get("who", ""))


def find(text: str) -> Denial | None:
    """The first denial in `text` that Google's wording gives away."""
    found = [
        (match.start(), _denial(kind, permission, match))
        for kind, permission, sentence in _SENTENCES
        if (match := re.search(sentence, text))
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
