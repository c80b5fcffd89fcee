"""What a rule is: data about it, an example of each kind, and one function that checks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any, Final, Literal, get_args

from ..config import Config, Environment
from ..grants import Grant
from ..judge import Judge, Judgement
from ..packages import named
from ..stack import Stack
from ..view import CannotJudge, Resource
from .links import DOCS

Example = Mapping[str, tuple[str, Mapping[str, Any]]]
"""Resources by name: type and inputs. `${name.property}` is another one's output."""

IN_30_DAYS: Final = "<30 days from today>T00:00:00Z"
"""In an example, a time that is always to come."""

Severity = Literal["critical", "high", "medium", "low"]
SEVERITIES: Final[tuple[Severity, ...]] = get_args(Severity)
"""Worst first."""
Each = Literal["grant", "resource", "stack"]


def today() -> date:
    return datetime.now(UTC).date()


@dataclass
class Context:
    """What a check may ask: the environment's configuration, the judge of roles, the date."""

    environment: Environment
    judge: Judge
    today: date = field(default_factory=today)
    judged: tuple[Grant, list[Judgement], str | None] | None = None
    """The last grant judged, what its members get, and the property that could not be read."""

    @property
    def config(self) -> Config:
        return self.environment.config

    @property
    def strict(self) -> bool:
        return self.config.profile == "strict"


Findings = Iterator[str]
StackFindings = Iterator[tuple[Resource, str]]
GrantCheck = Callable[[Grant, Resource, Context], Findings]
ResourceCheck = Callable[[Resource, Context], Findings]
StackCheck = Callable[[Stack, Context], StackFindings]


@dataclass(frozen=True)
class Rule:
    """One rule. A check yields what is wrong, and may raise CannotJudge."""

    id: str
    title: str
    severity: Severity
    protects: str
    bad: Example
    good: Example
    remedy: str
    """The code that cures it."""
    each: Each
    check: Callable[..., Iterator[Any]]
    types: frozenset[str]
    """Lower-case types that it looks at; empty for every type."""
    mandatory: bool
    only_strict: str
    """Why it is not in the baseline; empty for one that is."""
    docs: str
    """Documentation of what it is about."""

    def on(
        self, resource: Resource, context: Context, grants: list[Grant]
    ) -> tuple[list[str], str | None]:
        """What is wrong with one resource, and the property that could not be read."""
        said: list[str] = []
        unread = None
        about = (resource, context)
        for given in [(one, *about) for one in grants] if self.each == "grant" else [about]:
            try:
                for text in self.check(*given):
                    said.append(text)
            except CannotJudge as error:  # the other grants are judged all the same
                unread = error.path
        return said, unread


def rule(
    id: str,
    title: str,
    severity: Severity,
    *,
    each: Each,
    protects: str,
    bad: Example,
    good: Example,
    remedy: str,
    types: tuple[str, ...] = (),
    mandatory: bool = True,
    only_strict: str = "",
) -> Callable[[Callable[..., Iterator[Any]]], Rule]:
    """Makes a rule of the function that checks it.

    A rule is in the baseline unless `only_strict` says why it cannot judge a stack that nobody
    told it about.
    """

    def made(check: Callable[..., Iterator[Any]]) -> Rule:
        kinds = frozenset(named(name).lower() for name in types)
        return Rule(
            id, title, severity, protects, bad, good, remedy, each, check, kinds, mandatory,
            only_strict, DOCS[id],
        )  # fmt: skip

    return made
