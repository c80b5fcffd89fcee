"""The filter language that Google's services share: text to a tree.

Grammar: https://cloud.google.com/logging/docs/view/logging-query-language, which follows
https://google.aip.dev/160. Terms side by side are joined by AND; NOT (or "-") binds tighter than
OR, and OR tighter than AND. What fields, operators and functions mean is up to the service.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple, NoReturn

from simulator.api.errors import ApiError, invalid

Path = tuple[str, ...]
TOKEN = re.compile(
    r"""(?P<space>\s+|--[^\n]*)
    |(?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    |(?P<operator><=|>=|!=|!~|=~|[<>=:])
    |(?P<mark>[(),.-])
    |(?P<word>[^\s"'()=!<>:,~.\\-][^\s"'()=!<>:,~.\\]*)""",
    re.VERBOSE,
)
# Other backslashes stay: they belong to regular expressions.
ESCAPE = re.compile(r"""\\(["'\\])""")
KEYWORDS = ("AND", "OR", "NOT")


@dataclass(frozen=True, slots=True)
class Value:
    """An argument: a text, quoted or bare, or a call when `function` is not empty.

    `path` is the same text as a field's name; `at` is where it begins in the filter.
    """

    text: str
    quoted: bool
    path: Path
    at: int
    function: str = ""
    arguments: tuple[Value, ...] = ()


@dataclass(frozen=True, slots=True)
class Compare:
    """`path op value`; a term without an operator has no path, and ":" for one."""

    path: Path
    op: str
    value: Value
    at: int


@dataclass(frozen=True, slots=True)
class Not:
    part: Node


@dataclass(frozen=True, slots=True)
class Every:
    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Some:
    parts: tuple[Node, ...]


Node = Compare | Not | Every | Some


class Token(NamedTuple):
    kind: str
    text: str
    at: int


@lru_cache(maxsize=512)
def parse(text: str) -> Node:
    """The tree of a filter; no text matches everything. INVALID_ARGUMENT says what is wrong where.

    Google's wording of such errors is not recorded; this is ours.
    """
    parser = _Parser(text)
    node = parser.filter() if parser.token.kind != "end" else Every(())
    parser.expect_end()
    return node


@lru_cache(maxsize=512)
def parse_value(text: str) -> Value:
    """One argument on its own, such as `EXTRACT(jsonPayload.size)`."""
    parser = _Parser(text)
    value = parser.value()
    parser.expect_end()
    return value


def matches(node: Node, holds: Callable[[Compare], bool]) -> bool:
    match node:
        case Compare():
            return holds(node)
        case Not(part):
            return not matches(part, holds)
        case Every(parts):
            return all(matches(part, holds) for part in parts)
        case Some(parts):
            return any(matches(part, holds) for part in parts)


def found(value: Any, path: Path) -> Iterator[Any]:
    """What is at a path; every element of the lists on the way."""
    if isinstance(value, list):
        for item in value:
            yield from found(item, path)
    elif not path:
        yield value
    elif isinstance(value, dict) and path[0] in value:
        yield from found(value[path[0]], path[1:])


def comparisons(node: Node) -> list[Compare]:
    """Every comparison, in order."""
    match node:
        case Compare():
            return [node]
        case Not(part):
            return comparisons(part)
        case Every(parts) | Some(parts):
            return [found for part in parts for found in comparisons(part)]


def unusable(text: str, at: int, why: str) -> ApiError:
    """400 for what is at position `at` of a filter."""
    before = text[:at]
    line, column = before.count("\n") + 1, at - (before.rfind("\n") + 1) + 1
    return invalid(f"Unparseable filter: {why} at line {line}, column {column}")


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = self._split()
        self._next = 0

    def _split(self) -> list[Token]:
        tokens, at = [], 0
        while at < len(self._text):
            found = TOKEN.match(self._text, at)
            if found is None:
                raise unusable(self._text, at, f"syntax error, token '{self._text[at]}',")
            if found.lastgroup != "space":
                tokens.append(Token(found.lastgroup or "", found[0], at))
            at = found.end()
        return [*tokens, Token("end", "", at)]

    @property
    def token(self) -> Token:
        return self._tokens[self._next]

    def _take(self) -> Token:
        token = self.token
        self._next += 1
        return token

    def _is(self, *texts: str) -> bool:
        return self.token.kind != "string" and self.token.text in texts

    def _fail(self) -> NoReturn:
        token = self.token
        what = f"syntax error, token '{token.text}'," if token.text else "unexpected end"
        raise unusable(self._text, token.at, what)

    def _close(self) -> None:
        if not self._is(")"):
            self._fail()
        self._take()

    def expect_end(self) -> None:
        if self.token.kind != "end":
            self._fail()

    def filter(self) -> Node:
        return self._every(self._term)

    def _every(self, term: Callable[[], Node]) -> Node:
        parts = [self._some(term)]
        while self.token.kind != "end" and not self._is(")"):
            if self._is("AND"):
                self._take()
            parts.append(self._some(term))
        return parts[0] if len(parts) == 1 else Every(tuple(parts))

    def _some(self, term: Callable[[], Node]) -> Node:
        parts = [self._negated(term)]
        while self._is("OR"):
            self._take()
            parts.append(self._negated(term))
        return parts[0] if len(parts) == 1 else Some(tuple(parts))

    def _negated(self, term: Callable[[], Node]) -> Node:
        if self._is("NOT"):
            self._take()
            return Not(self._negated(term))
        if self._is("("):
            self._take()
            node = self._every(term)
            self._close()
            return node
        return term()

    def _term(self) -> Node:
        if self._is("-"):
            self._take()
            return Not(self._negated(self._term))
        left = self.value()
        if self.token.kind != "operator" or left.function:
            return Compare((), ":", left, left.at)
        operator = self._take().text

        def compare() -> Node:
            return Compare(left.path, operator, self.value(), left.at)

        # `a=(b OR c)` is `a=b OR a=c`.
        return self._negated(compare) if self._is("(") else compare()

    def value(self) -> Value:
        """A text, or names joined by dots, or a call; a minus sign belongs to a number."""
        first, sign = self.token, ""
        if self._is("-"):
            self._take()
            sign = "-"
        segments = [self._segment()]
        quoted = first.kind == "string"
        while self._is("."):
            self._take()
            segments.append(self._segment())
            quoted = False
        text = sign + ".".join(segments)
        if not quoted and self._is("("):
            return self._call(text, first.at)
        return Value(text, quoted, tuple(segments), first.at)

    def _segment(self) -> str:
        token = self.token
        if token.kind not in ("string", "word") or self._is(*KEYWORDS):
            self._fail()
        self._take()
        return ESCAPE.sub(r"\1", token.text[1:-1]) if token.kind == "string" else token.text

    def _call(self, function: str, at: int) -> Value:
        self._take()
        arguments: list[Value] = []
        while not self._is(")"):
            if arguments:
                if not self._is(","):
                    self._fail()
                self._take()
            arguments.append(self.value())
        self._close()
        return Value(function, False, (), at, function, tuple(arguments))
