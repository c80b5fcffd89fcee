"""Subscription filters over message attributes (docs pubsub/subscription-message-filter).

`attributes:KEY` (there is such an attribute), `attributes.KEY = "V"`, `attributes.KEY != "V"` (also
when there is none), `hasPrefix(attributes.KEY, "V")`; joined by AND or OR, which do not mix without
parentheses; negated by NOT or `-`. Operators are in capitals. A key or value is quoted when it is
not plain. At most 256 bytes.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from typing import Any

from lark import Lark, Token, Transformer, UnexpectedInput, UnexpectedToken, v_args

from simulator.api.errors import invalid

Attributes = dict[str, str]
Matcher = Callable[[Attributes], bool]

LONGEST = 256
JOINS = {"_AND", "_OR"}
# A key may be called "AND" or "attributes": words count only where they can stand.
GRAMMAR = r"""
    ?filter: term | every | some
    every: term (_AND term)+
    some: term (_OR term)+
    ?term: "(" filter ")" | (_NOT | "-") term -> negation
        | _ATTRIBUTES ":" key -> has
        | _ATTRIBUTES "." key "=" value -> equals
        | _ATTRIBUTES "." key "!=" value -> differs
        | _HAS_PREFIX "(" _ATTRIBUTES "." key "," value ")" -> has_prefix
    key: STRING | WORD
    value: STRING

    _AND: /AND\b/
    _OR: /OR\b/
    _NOT: /NOT\b/
    _ATTRIBUTES: /attributes\b/
    _HAS_PREFIX: /hasPrefix\b/
    STRING: /"(?:[^"\\]|\\.)*"/
    WORD: /\w[\w-]*/
    %ignore /\s+/
"""


def everything(attributes: Attributes) -> bool:
    return True


def compiled(expression: str) -> Matcher:
    """The filter as a function; 400 when it is not one. An empty one matches everything."""
    if not expression.strip():
        return everything
    if len(expression.encode()) > LONGEST:
        raise invalid(f"The filter is longer than {LONGEST} bytes.")
    try:
        matcher: Matcher = _parser().parse(expression)
    except (UnexpectedInput, ValueError) as error:
        # Google's own words are not recorded.
        raise invalid(f"Invalid filter: {expression}{_why(error)}") from None
    return matcher


def _why(error: Exception) -> str:
    """Said of the other one of AND and OR where only one of them can go on."""
    if not isinstance(error, UnexpectedToken) or error.token.type not in JOINS:
        return ""
    mixed = JOINS & set(error.expected)
    return " (AND and OR need parentheses when they are combined)." if mixed else ""


@v_args(inline=True)
class _Matchers(Transformer[Token, Matcher]):
    # What the grammar's rules make.
    def every(self, *terms: Matcher) -> Matcher:
        return lambda attributes: all(term(attributes) for term in terms)

    def some(self, *terms: Matcher) -> Matcher:
        return lambda attributes: any(term(attributes) for term in terms)

    def negation(self, term: Matcher) -> Matcher:
        return lambda attributes: not term(attributes)

    def has(self, key: str) -> Matcher:
        return lambda attributes: key in attributes

    def equals(self, key: str, value: str) -> Matcher:
        return lambda attributes: attributes.get(key) == value

    def differs(self, key: str, value: str) -> Matcher:
        return lambda attributes: attributes.get(key) != value

    def has_prefix(self, key: str, prefix: str) -> Matcher:
        return lambda attributes: key in attributes and attributes[key].startswith(prefix)

    def key(self, token: Token) -> str:
        return str(token) if token.type == "WORD" else str(json.loads(token))

    value = key


@cache
def _parser() -> Any:
    # Not typed as Lark: its `parse` is said to make a tree, whatever the transformer makes of it.
    return Lark(GRAMMAR, start="filter", parser="lalr", lexer="contextual", transformer=_Matchers())
