"""The pack without an engine: judges what a file holds, and says it for people.

Findings stand by resource, worst first, each with what was said, why, and the change that cures it.
Names and values come from whoever wrote the program, so nothing of them is taken for Markdown, for
HTML, or for a terminal's control characters.
"""

from __future__ import annotations

import re
import textwrap
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from .pack import Finding, Pack
from .rules.rule import SEVERITIES
from .stored import Stored
from .view import Resource

WIDTH: Final = 80
PARTIAL: Final = (
    "The preview was made without --show-sames: what does not change was not judged, and what is "
    "said of the stack as a whole may be wrong."
)


@dataclass(frozen=True)
class Report:
    """What the pack says of one stack."""

    program: tuple[str, str]
    """Pulumi's project and stack."""
    profile: str
    sources: tuple[str, ...]
    """Where the configuration came from; nowhere leaves the baseline as it is."""
    judged: int
    """Resources."""
    notes: tuple[str, ...]
    """What was not judged."""
    all: tuple[Finding, ...]

    @cached_property
    def findings(self) -> tuple[Finding, ...]:
        """Worst first; what is waived is left out."""
        return tuple(sorted((one for one in self.all if not one.waiver), key=_rank))

    @cached_property
    def waived(self) -> tuple[Finding, ...]:
        return tuple(sorted((one for one in self.all if one.waiver), key=_rank))

    @property
    def blocking(self) -> int:
        return sum(one.mandatory for one in self.findings)

    @property
    def by_resource(self) -> list[tuple[Resource, list[Finding]]]:
        """The resource with the worst finding first."""
        found: dict[str, list[Finding]] = defaultdict(list)
        for one in self.findings:
            found[one.resource.urn].append(one)
        return [(of[0].resource, of) for of in found.values()]

    @property
    def counts(self) -> str:
        advice = len(self.findings) - self.blocking
        return f"{self.blocking} blocking, {advice} advice, {len(self.waived)} waived"

    @property
    def scope(self) -> str:
        by = ", ".join(self.sources) or "nothing (the pack's defaults)"
        return (
            f"{self.judged} resources of {'/'.join(filter(None, self.program)) or 'no stack'} "
            f"judged; profile {self.profile}, configured by {by}."
        )


def _rank(finding: Finding) -> tuple[bool, int, str, str, str]:
    severity = SEVERITIES.index(finding.rule.severity)
    where = finding.resource.urn
    return not finding.mandatory, severity, where, finding.rule.id, finding.said


def judge(stored: Stored, pack: Pack) -> Report:
    """Resource by resource, then the stack as a whole. Raises ConfigError."""
    config = pack.configs.of(stored.program).config
    findings = [one for resource, _ in stored.resources for one in pack.resource(resource)]
    findings += pack.stack(stored.resources)
    harmless = config.harmless_packages
    notes = [] if stored.whole else [PARTIAL]
    if stored.secrets:
        notes.append(
            f"Values not read here because they are secret: {stored.secrets}. The engine reads and "
            "judges them."
        )
    return Report(
        stored.program,
        config.profile,
        tuple(name for name, _ in pack.configs.sources("/".join(stored.program))),
        sum(resource.package not in harmless for resource, _ in stored.resources),
        tuple(notes),
        tuple(findings),
    )


def _plain(text: str) -> str:
    """On one line, without control characters."""
    shown = "".join(letter if letter.isprintable() else " " for letter in text)
    return " ".join(shown.split())


def _effect(finding: Finding) -> str:
    return "blocks" if finding.mandatory else "advice"


def text(report: Report) -> str:
    """For a terminal; only code and single words may be wider than it is."""
    return "\n".join(_text(report)) + "\n"


def _text(report: Report) -> Iterator[str]:
    yield from _wrapped(f"{report.counts}. {report.scope}")
    for note in report.notes:
        yield from _wrapped(note)
    for resource, findings in report.by_resource:
        yield ""
        yield from _wrapped(resource.where)
        for one in findings:
            rule = one.rule
            yield from _wrapped(f"{rule.id} {rule.severity}, {_effect(one)}: {rule.title}", "  ")
            yield from _wrapped(one.said, "    ")
            if one.failed:
                continue
            yield from _wrapped(f"Why: {rule.protects}", "    ")
            yield "    Change:"
            yield textwrap.indent(rule.remedy, "      ")
            yield f"    {rule.docs}"
    yield ""
    yield f"Waivers in use:{'' if report.waived else ' none'}"
    for one in report.waived:
        if waiver := one.waiver:
            told = f"{waiver.rule} until {waiver.expires}, by {waiver.owner}: {waiver.reason}"
            yield from _wrapped(one.resource.where, "  ")
            yield from _wrapped(told, "    ")
            yield from _wrapped(f"It says: {one.said}", "    ")


def _wrapped(said: str, indent: str = "") -> list[str]:
    return textwrap.wrap(
        _plain(said), WIDTH, initial_indent=indent, subsequent_indent=indent,
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip


def markdown(report: Report) -> str:
    """For the summary of a job on GitHub."""
    return "\n".join(_markdown(report)) + "\n"


def _markdown(report: Report) -> Iterator[str]:
    yield f"**{report.counts}.** {_escaped(report.scope)}\n"
    for note in report.notes:
        yield f"{_escaped(note)}\n"
    for resource, findings in report.by_resource:
        yield f"### {_code(resource.where)}\n"
        for one in findings:
            yield from _finding(one)
    yield f"### Waivers in use{'' if report.waived else ': none'}\n"
    for one in report.waived:
        if waiver := one.waiver:
            yield (
                f"- [{waiver.rule}]({one.rule.docs}) of {_code(one.resource.where)} until "
                f"{waiver.expires}, by {_escaped(waiver.owner)}: {_escaped(waiver.reason)}. "
                f"It says: {_escaped(one.said)}"
            )


def _finding(finding: Finding) -> Iterator[str]:
    rule = finding.rule
    yield (
        f"**[{rule.id}]({rule.docs}) {rule.severity}, {_effect(finding)}:** "
        f"{_escaped(rule.title)}\n"
    )
    yield f"{_escaped(finding.said)}\n"
    if finding.failed:
        return
    yield f"Why: {_escaped(rule.protects)}\n"
    yield "<details><summary>The change</summary>\n"
    yield f"```python\n{rule.remedy}\n```\n"
    yield "</details>\n"


def _code(said: str) -> str:
    # Not backticks: within these nothing can be escaped, and a name may have some of its own.
    return f"<code>{_escaped(said)}</code>"


def _escaped(said: str) -> str:
    """As it is written, whatever Markdown or HTML would make of it."""
    return re.sub(r"([\\`*_\[\]<>#|~&])", r"\\\1", _plain(said))
