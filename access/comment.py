"""What a reviewer of a pull request reads of one stack's preview, as Markdown.

Access that is gained and lost comes first, then what changes, what the policy pack said, and which
waivers are in use. The preview's JSON has no word of the pack, so that comes from the events that
the engine logged beside it.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from access import diff
from access.diff import Change, Diff

QUIET: Final = frozenset({"same", "read", "refresh"})
"""Steps that change nothing."""

NOT_RUN: Final = re.compile(r"can't run policy|failed to run policy|nobody judged by it")
"""Of the engine, where a policy reads what is not known or fails, and of the pack, for a rule."""

WAIVED: Final = re.compile(r"(\w+) is waived for (.+?) until (\S+) by ([^:]+): ([^\n]*?)\. It says")
MOST: Final = 60
"""Rows of a list."""
LIMIT: Final = 65_000
"""Characters; GitHub takes 65,536 in a comment and in an issue."""


class Step(NamedTuple):
    op: str
    resource: str
    """`Topic telemetry`."""
    properties: tuple[str, ...]


@dataclass(frozen=True)
class Finding:
    blocks: bool
    resource: str
    text: str


@dataclass(frozen=True)
class Preview:
    """One stack's preview, as a comment tells it."""

    stack: str
    access: Diff
    steps: tuple[Step, ...]
    counts: Mapping[str, int]
    packs: tuple[str, ...]
    findings: tuple[Finding, ...]
    not_run: tuple[str, ...]
    waivers: tuple[tuple[str, ...], ...]
    """Rule, resource, last day, owner and reason of each."""
    errors: tuple[str, ...]

    @property
    def passed(self) -> bool:
        blocked = any(finding.blocks for finding in self.findings)
        return bool(self.packs) and not (self.not_run or self.errors or blocked)


def read(preview: Mapping[str, Any], events: Iterable[Mapping[str, Any]]) -> Preview:
    """Of what `pulumi preview --json --show-sames --event-log` left. Raises NotReadable."""
    access, steps, log = diff.of_preview(preview), preview["steps"], list(events)
    ended: Mapping[str, Any] | None = next(
        (event["summaryEvent"] for event in log if "summaryEvent" in event), None
    )
    said = [event["policyEvent"] for event in log if "policyEvent" in event]
    errors = [*_errors(log), *([] if ended else ["the preview did not come to its end"])]
    texts = [*(event["message"].strip() for event in said), *errors]
    waived = [found.groups() for text in texts if (found := WAIVED.search(text))]
    return Preview(
        steps[0]["urn"].split("::")[0].removeprefix("urn:pulumi:") if steps else "",
        access,
        tuple(sorted(_step(step) for step in steps if step["op"] not in QUIET)),
        preview.get("changeSummary") or {},
        tuple(_packs(ended or {})),
        tuple(_finding(event) for event in said if not no_finding(event["message"])),
        tuple(sorted({text for text in texts if NOT_RUN.search(text)})),
        tuple(dict.fromkeys(waived)),
        tuple(text for text in errors if not NOT_RUN.search(text)),
    )


def _packs(summary: Mapping[str, Any]) -> Iterator[str]:
    """Such as `predictive-maintenance 0.0.1`; the engine adds where a local one stands."""
    for pack, version in summary.get("PolicyPacks", {}).items():
        yield f"{pack.partition('|')[0]} {version}"


def no_finding(message: str) -> bool:
    """Whether a policy event says something else: of a waiver, or of a policy that did not run."""
    return bool(NOT_RUN.search(message) or WAIVED.search(message))


def _finding(event: Mapping[str, Any]) -> Finding:
    """The engine puts the policy's description before what it says."""
    title, _, said = event["message"].strip().partition("\n")
    where = _named(event["resourceUrn"]) if event.get("resourceUrn") else ""
    return Finding(event["enforcementLevel"] == "mandatory", where, said or title)


def _errors(log: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    for event in log:
        told = event.get("diagnosticEvent", {})
        if told.get("severity") == "error":
            yield str(told["message"]).strip()
        elif "errorEvent" in event:
            yield str(event["errorEvent"].get("error", event["errorEvent"])).strip()


def _step(step: Mapping[str, Any]) -> Step:
    named = step.get("detailedDiff") or dict.fromkeys(step.get("diffReasons") or ())
    return Step(step["op"], _named(step["urn"]), tuple(sorted(named)))


def _named(urn: str) -> str:
    kind, name = urn.split("::", 3)[2:4]
    return f"{kind.rpartition(':')[2]} {name}"


def text(preview: Preview, stack: str = "") -> str:
    """The comment, cut where GitHub would refuse it; what is cut comes after access."""
    whole = "\n".join(lines(preview, stack)) + "\n"
    if len(whole) <= LIMIT:
        return whole
    kept = whole[:LIMIT].rpartition("\n\n")[0]
    return f"{kept}\n\n**Cut here, for GitHub takes no more**; the preview itself has the rest.\n"


def lines(preview: Preview, stack: str = "") -> Iterator[str]:
    """The whole comment; its first line is how the next one of this stack finds it."""
    stack = stack or preview.stack
    yield marker(stack)
    yield f"## {stack}\n"
    yield from access(preview.access)
    yield from _changes(preview)
    yield from _policy(preview)
    yield from _waivers(preview)


def marker(stack: str) -> str:
    return f"<!-- preview of {stack} -->"


def access(found: Diff) -> Iterator[str]:
    """Access gained and lost, and who becomes stronger by it."""
    if not found:
        yield "**Nobody gains or loses access.**\n"
        return
    for member, through, ways in diff.by_member(found.stronger):
        yield "> [!CAUTION]"
        if through:
            by = ", ".join(_code(way.permission) for way in ways)
            yield f"> {_code(member)} can work as {_code(through)}, and with it gains {by}.\n"
            continue
        yield f"> {_code(member)} becomes able to make itself stronger:"
        yield from _listed(
            [f"> - {_code(way.permission)} on {way.on}: {way.how}" for way in ways], "> - "
        )
        yield ""
    for title, changes in (("gained", found.gained), ("lost", found.lost)):
        if changes:
            yield f"### Access {title}\n"
            yield from _listed([_change(change) for change in changes])
            yield ""
    for member, through, ways in diff.by_member(found.weaker):
        ended = ", ".join(_code(name) for name in sorted({way.permission for way in ways}))
        where = f" as {_code(through)}" if through else ""
        yield f"{_code(member)} can no longer make itself stronger{where} by {ended}.\n"
    if found.unread:
        yield "### Not read\n"
        yield from _listed([f"- {html.escape(text, quote=False)}" for text in found.unread])
        yield ""


def _change(change: Change) -> str:
    *named, last = diff.some(change.permissions, change.on)
    counted = last if last.startswith("and ") else _code(last)
    listed = ", ".join([*map(_code, named), counted])
    condition = f" if {_code(change.condition)}" if change.condition else ""
    by = ", ".join(_code(role) for role in change.roles)
    return f"- {_code(change.member)} on {change.on}{condition}: {listed} (by {by})"


def _changes(preview: Preview) -> Iterator[str]:
    counts = ", ".join(f"{many} {op}" for op, many in sorted(preview.counts.items()))
    if not preview.steps:
        yield f"### Changes: none\n\n{counts}\n"
        return
    yield f"### Changes: {counts}\n\n| | resource | properties |\n|---|---|---|"
    rows = [f"| {s.op} | {_cell(s.resource)} | {_cell(*s.properties)} |" for s in preview.steps]
    yield from _listed(rows, "| ", " | | |")
    yield ""


def _policy(preview: Preview) -> Iterator[str]:
    yield "### Policy\n"
    if preview.errors:
        yield "**The preview failed.**\n"
        yield from map(_block, preview.errors)
    if preview.not_run:
        yield "**A policy could not run, so nobody judged what it is there for.**\n"
        yield from map(_block, preview.not_run)
    if not preview.packs:
        yield "**No policy pack ran.**\n"
    for blocks, title in ((True, "Forbidden"), (False, "Advice")):
        for finding in preview.findings:
            if finding.blocks == blocks:
                yield f"**{title}**, {_code(finding.resource)}:\n"
                yield _block(finding.text)
    if preview.passed and not preview.findings:
        yield f"Nothing is objected to by {', '.join(preview.packs)}.\n"


def _waivers(preview: Preview) -> Iterator[str]:
    if preview.waivers:
        yield "### Waivers in use\n\n| rule | resource | until | owner | reason |"
        yield "|---|---|---|---|---|"
        for waiver in preview.waivers:
            yield f"| {' | '.join(_plain(part) for part in waiver)} |"


def _listed(rows: list[str], before: str = "- ", after: str = "") -> Iterator[str]:
    yield from rows[:MOST]
    if len(rows) > MOST:
        yield f"{before}and {len(rows) - MOST} more{after}"


def _cell(*names: str) -> str:
    return ", ".join(_code(name) for name in names)


def _code(text: str) -> str:
    """As code; what names come from a pull request must not end it, nor a table's row."""
    return f"`{' '.join(text.replace('`', chr(39)).replace('|', chr(92) + '|').split())}`"


def _plain(text: str) -> str:
    return html.escape(" ".join(text.replace("|", "/").split()), quote=False)


def _block(text: str) -> str:
    return f"<pre>{html.escape(text.strip(), quote=False)}</pre>\n"
