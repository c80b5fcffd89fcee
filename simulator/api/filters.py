"""The filter language that Google's services share: text to a tree.

Grammar: https://cloud.google.com/logging/docs/view/logging-query-language, which follows
https://google.aip.dev/160. Terms side by side are joined by AND; NOT (or "-") binds tighter than
OR, and OR tighter than AND. What fields, operators and functions mean is up to the service.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

from lark import Lark, Token, Transformer, UnexpectedCharacters, UnexpectedToken, v_args

from simulator.api.errors import ApiError, invalid

Path = tuple[str, ...]
# `every{t}` is said of terms, and of values on the right of an operator: `a=(b OR c)`.
GRAMMAR = r"""
    filter: every{term}?
    ?every{t}: some{t} ("AND"? some{t})*
    ?some{t}: part{t} ("OR" part{t})*
    ?part{t}: t | "(" every{t} ")" | "NOT" part{t} -> negation

    ?term: (name | call) -> bare
        | name OPERATOR (value | "(" every{value} ")") -> comparison
        | "-" part{term} -> negation

    ?value: name | call | MINUS name -> negative
    call: dotted "(" (value ("," value)*)? ")"
    ?name: dotted | STRING -> text
    dotted: (WORD | (WORD | STRING) ("." (WORD | STRING))+) -> text

    STRING: /"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'/
    OPERATOR: "<=" | ">=" | "!=" | "!~" | "=~" | /[<>=:]/
    MINUS: "-"
    WORD: /[^\s"'()=!<>:,~.\\-][^\s"'()=!<>:,~.\\]*/
    %ignore /\s+|--[^\n]*/
"""
# Other backslashes stay: they belong to regular expressions.
ESCAPE = re.compile(r"""\\(["'\\])""")


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


@lru_cache(maxsize=512)
def parse(text: str) -> Node:
    """The tree of a filter; no text matches everything. INVALID_ARGUMENT says what is wrong where.

    Google's wording of such errors is not recorded; this is ours.
    """
    node: Node = _parsed(text, "filter")
    return node


@lru_cache(maxsize=512)
def parse_value(text: str) -> Value:
    """One argument on its own, such as `EXTRACT(jsonPayload.size)`."""
    value: Value = _parsed(text, "value")
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


@v_args(inline=True)
class _Tree(Transformer[Token, Node]):
    # What the grammar's rules make.
    def filter(self, node: Node | None = None) -> Node:
        return node or Every(())

    def every(self, *parts: Node) -> Node:
        return Every(parts)

    def some(self, *parts: Node) -> Node:
        return Some(parts)

    def negation(self, part: Node) -> Node:
        return Not(part)

    def bare(self, value: Value) -> Node:
        return Compare((), ":", value, value.at)

    def comparison(self, left: Value, operator: Token, right: Value | Node) -> Node:
        match right:
            case Value():
                return Compare(left.path, str(operator), right, left.at)
            case Not(part):
                return Not(self.comparison(left, operator, part))
            case Every(parts):
                return Every(tuple(self.comparison(left, operator, part) for part in parts))
            case Some(parts):
                return Some(tuple(self.comparison(left, operator, part) for part in parts))
        raise TypeError(right)

    def text(self, *tokens: Token) -> Value:
        path = tuple(
            ESCAPE.sub(r"\1", token[1:-1]) if token.type == "STRING" else str(token)
            for token in tokens
        )
        quoted = len(tokens) == 1 and tokens[0].type == "STRING"
        return Value(".".join(path), quoted, path, tokens[0].start_pos or 0)

    def negative(self, minus: Token, number: Value) -> Value:
        return Value(f"-{number.text}", False, number.path, minus.start_pos or 0)

    def call(self, name: Value, *arguments: Value) -> Value:
        return Value(name.text, False, (), name.at, name.text, arguments)


@cache
def _parser() -> Lark:
    return Lark(
        GRAMMAR, parser="lalr", lexer="basic", start=["filter", "value"], transformer=_Tree()
    )


def _parsed(text: str, start: str) -> Any:
    try:
        return _parser().parse(text, start)
    except UnexpectedToken as error:
        at, token = error.token.start_pos or 0, str(error.token)
        if error.token.type == "$END":
            raise unusable(text, len(text), "unexpected end") from None
    except UnexpectedCharacters as error:
        at, token = error.pos_in_stream or 0, text[error.pos_in_stream or 0]
    raise unusable(text, at, f"syntax error, token '{token}',")
