"""Subscription filters over message attributes (docs pubsub/subscription-message-filter).

`attributes:KEY` (there is such an attribute), `attributes.KEY = "V"`, `attributes.KEY != "V"` (also
when there is none), `hasPrefix(attributes.KEY, "V")`; joined by AND or OR, which do not mix without
parentheses; negated by NOT or `-`. Operators are in capitals. A key or value is quoted when it is
not plain. At most 256 bytes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable

from simulator.api.errors import ApiError, invalid

Attributes = dict[str, str]
Matcher = Callable[[Attributes], bool]

LONGEST = 256
TOKEN = re.compile(r'\s*(?:("(?:[^"\\]|\\.)*")|([\w-]+)|(!=|[()=.:,]))')


def everything(attributes: Attributes) -> bool:
    return True


def compiled(expression: str) -> Matcher:
    """The filter as a function; 400 when it is not one. An empty one matches everything."""
    if not expression.strip():
        return everything
    if len(expression.encode()) > LONGEST:
        raise invalid(f"The filter is longer than {LONGEST} bytes.")
    return _Parser(expression).parse()


class _Parser:
    def __init__(self, expression: str) -> None:
        self._expression = expression
        self._tokens = self._split(expression)
        self._at = 0

    def parse(self) -> Matcher:
        found = self._joined()
        if self._at < len(self._tokens):
            raise self._wrong()
        return found

    def _split(self, expression: str) -> list[str]:
        tokens: list[str] = []
        at = 0
        while expression[at:].strip():
            found = TOKEN.match(expression, at)
            if found is None:
                raise self._wrong()
            word = found[2] or ""
            # "-" negates where a term begins and is a letter like any other within a word.
            tokens += ["-", word[1:]] if len(word) > 1 and word[0] == "-" else [found[0].strip()]
            at = found.end()
        return tokens

    def _joined(self) -> Matcher:
        terms, operator = [self._term()], ""
        while self._peek() in ("AND", "OR"):
            if operator not in ("", self._peek()):
                raise self._wrong("AND and OR need parentheses when they are combined")
            operator = self._next()
            terms.append(self._term())
        if operator == "OR":
            return lambda attributes: any(term(attributes) for term in terms)
        return lambda attributes: all(term(attributes) for term in terms)

    def _term(self) -> Matcher:
        token = self._next()
        if token in ("NOT", "-"):
            negated = self._term()
            return lambda attributes: not negated(attributes)
        if token == "(":
            inner = self._joined()
            self._take(")")
            return inner
        if token == "hasPrefix":
            self._take("(", "attributes", ".")
            key = self._text()
            self._take(",")
            prefix = self._text(quoted=True)
            self._take(")")
            return lambda attributes: (
                attributes.get(key, "").startswith(prefix) and (key in attributes)
            )
        if token != "attributes":
            raise self._wrong()
        return self._comparison()

    def _comparison(self) -> Matcher:
        sign = self._next()
        key = self._text()
        if sign == ":":
            return lambda attributes: key in attributes
        if sign != ".":
            raise self._wrong()
        operator = self._next()
        if operator not in ("=", "!="):
            raise self._wrong()
        value = self._text(quoted=True)
        return lambda attributes: (attributes.get(key) == value) is (operator == "=")

    def _text(self, *, quoted: bool = False) -> str:
        token = self._next()
        if token.startswith('"'):
            try:
                return str(json.loads(token))
            except ValueError:
                raise self._wrong() from None
        if quoted or not re.fullmatch(r"[\w-]+", token):
            raise self._wrong()
        return token

    def _peek(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _next(self) -> str:
        if self._at == len(self._tokens):
            raise self._wrong()
        self._at += 1
        return self._tokens[self._at - 1]

    def _take(self, *tokens: str) -> None:
        for token in tokens:
            if self._next() != token:
                raise self._wrong()

    def _wrong(self, why: str = "") -> ApiError:
        # Google's own words are not recorded.
        return invalid(f"Invalid filter: {self._expression}" + (f" ({why})." if why else ""))
