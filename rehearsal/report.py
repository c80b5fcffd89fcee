"""What a rehearsal tells the person watching, and what it leaves behind for other programs."""

from __future__ import annotations

import json
import os
import re
import tempfile
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from access.explain import explain, find
from rehearsal.toolchain import ROOT

SPARE_SHOWN: Final = 3
"""Spare permissions named in the table; `summary.json` has all of them."""

SCREEN_COLUMNS: Final = 96
"""Columns of a picture of what was printed."""


class StageFailed(Exception):
    """A stage did not hold. `raw` is the error as the engine or Google wrote it."""

    def __init__(self, reason: str, raw: str = "") -> None:
        super().__init__(reason)
        self.raw = raw


@dataclass
class Stage:
    """A stage under way; set `note` to say in a few words what it did."""

    note: str = ""


@dataclass
class Report:
    """Shows one line a stage and gathers `summary`, written to `build/rehearsal/<stack>/`."""

    stack: str
    console: Console
    summary: dict[str, Any] = field(default_factory=dict)
    output: Path | None = None
    """Where the summary goes instead, for rehearsals of one stack at the same time."""

    def __post_init__(self) -> None:
        at = datetime.now(UTC).isoformat(timespec="seconds")
        here = {"stack": self.stack, "at": at, "passed": False, "stages": {}, "told": {}}
        self.summary = {**here, **self.summary}
        self._began = time.monotonic()

    @property
    def folder(self) -> Path:
        return ROOT / "build" / "rehearsal" / self.stack

    @property
    def written_to(self) -> Path:
        return self.output or self.folder

    def last(self) -> dict[str, Any]:
        """The summary of the last run in the same place; empty when there is none to be read."""
        try:
            found: dict[str, Any] = json.loads((self.written_to / "summary.json").read_text())
        except (OSError, ValueError):
            return {}
        return found

    @contextmanager
    def stage(self, name: str, *, aside: bool = False) -> Iterator[Stage]:
        """Time a stage and show how it ended. What goes wrong in it passes through, with its name.

        A stage that runs `aside` of another one leaves the status line to it.
        """
        stage, started = Stage(), time.monotonic()
        failed = True
        try:
            with nullcontext() if aside else self.console.status(name):
                yield stage
            failed = False
        except Exception as error:
            error.add_note(f"in the stage: {name}")
            raise
        finally:
            seconds = time.monotonic() - started
            self.summary["stages"][name] = round(seconds, 3)
            self.summary["told"][name] = {
                "begun": round(started - self._began, 3),
                "held": not failed,
                "note": stage.note,
            }
            mark = Text("✗", "red") if failed else Text("✓", "green")
            line = Text.assemble(mark, f" {name:<22}{seconds:6.1f} s  ", (stage.note, "dim"))
            self.console.print(line, overflow="ellipsis", no_wrap=True)

    def failure(self, error: Exception, audit: list[dict[str, Any]], names: dict[str, str]) -> None:
        """Explain what went wrong; the raw error comes last, whole.

        Of anything but StageFailed that is its traceback: something broke that had not to.
        """
        if isinstance(error, StageFailed):
            reason, raw = str(error), error.raw
        else:
            reason = f"{type(error).__name__}: {error}"
            raw = "".join(traceback.format_exception(error)).strip()
        notes: list[str] = getattr(error, "__notes__", [])
        failures = self.summary.setdefault("failures", [])
        failures.append({"reason": reason, "notes": notes, "error": raw})
        self.console.print(f"\n[bold red]{escape(reason)}[/]", highlight=False)
        if denial := find(raw):
            member = denied_member(audit, denial.permission)
            identity = names.get(member) or names.get(f"serviceAccount:{denial.principal}")
            explained = list(explain(denial, identity))
            for line in explained:
                self.console.print(f"  {line}", highlight=False, markup=False, soft_wrap=True)
            if member:
                self.console.print(f"  as {member}", highlight=False, markup=False)
            told = {
                "permission": denial.permission,
                "resource": denial.resource,
                "principal": member,
                "identity": identity,
                "text": denial.text,
                "explained": explained,
            }
            self.summary.setdefault("denial", told)
        if raw:
            self.console.print("\nThe error itself:", style="bold")
            self.console.print(raw, highlight=False, markup=False, soft_wrap=True)

    def screen(self, title: str) -> str:
        """What was printed, as SVG; the console has to record it.

        Rich's template asks another host for its font. It goes without: text is laid out by the
        lengths that stand beside it.
        """
        svg = self.console.export_svg(title=title, unique_id="screen")
        return re.sub(r"(?s)\s*@font-face \{.*?\}", "", svg)

    def identities(self) -> None:
        """A table of who was given what, and used how much of it."""
        table = Table("identity", "granted", "used", "spare", box=None, pad_edge=False)
        for identity, held in self.summary.get("identities", {}).items():
            spare = sorted(set(held["granted"]) - set(held["used"]))
            shown = ", ".join(spare[:SPARE_SHOWN]) + (" …" if len(spare) > SPARE_SHOWN else "")
            if not held["used"]:
                shown = "not asked for anything here"
            table.add_row(
                identity, str(len(held["granted"])), str(len(held["used"])), shown or "none"
            )
        self.console.print()
        self.console.print(table)

    def refused(self) -> None:
        """Say which hosts something asked for that are not part of the rehearsal."""
        for host, times in sorted(self.summary.get("refused_hosts", {}).items()):
            said = f"refused: {host}, {times} times; no host but Google's simulated ones is reached"
            self.console.print(said, style="yellow", highlight=False, markup=False, soft_wrap=True)

    def write(self) -> Path:
        """Write the summary. What the next run is compared with stays, where this one has none."""
        if "grants" not in self.summary and (grants := self.last().get("grants")):
            self.summary["grants"] = grants
        path = self.written_to / "summary.json"
        write_whole(path, json.dumps(self.summary, indent=2) + "\n")
        return path


def write_whole(path: Path, text: str) -> None:
    """Write all of a file at once: somebody may be reading the last one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, suffix=".partial", delete=False) as file:
        file.write(text)
    os.replace(file.name, path)


def denied_member(audit: list[dict[str, Any]], permission: str) -> str:
    """Who was last refused `permission`, by the audit log; empty when nobody was."""
    refused = [
        entry["principal"]
        for entry in audit
        if not entry["granted"] and entry["permission"] == permission
    ]
    return refused[-1] if refused else ""
