"""The Logging query language over log entries.

Facts: https://cloud.google.com/logging/docs/view/logging-query-language. Text compares without
regard to case, regular expressions with it; a comparison on a field that is missing is false, "!="
too; on a repeated field it is true when it is for any element. Functions are not supported.
Regular expressions are Python's, which has all of RE2's syntax that filters commonly use.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

from rehearsal.cloud.api import invalid
from rehearsal.cloud.clock import nanoseconds
from rehearsal.cloud.filters import Compare, Path, comparisons, matches, parse, unusable

Entry = dict[str, Any]
Test = Callable[[Any], bool]

MAX_FILTER = 20_000
SEVERITIES = {
    "DEFAULT": 0,
    "DEBUG": 100,
    "INFO": 200,
    "NOTICE": 300,
    "WARNING": 400,
    "ERROR": 500,
    "CRITICAL": 600,
    "ALERT": 700,
    "EMERGENCY": 800,
}
TIMES: set[Path] = {("timestamp",), ("receiveTimestamp",)}
# Discovery document, LogEntry.
FIELDS = {
    *("errorGroups", "httpRequest", "insertId", "jsonPayload", "labels", "logName", "metadata"),
    *("operation", "protoPayload", "receiveTimestamp", "resource", "severity", "sourceLocation"),
    *("spanId", "split", "textPayload", "timestamp", "trace", "traceSampled"),
}
ORDERED = {
    "=": operator.eq,
    ":": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@lru_cache(maxsize=512)
def compiled(text: str) -> Callable[[Entry], bool]:
    """Whether an entry matches the filter. INVALID_ARGUMENT for a filter that means nothing."""
    if len(text) > MAX_FILTER:
        raise invalid(f"A filter has at most {MAX_FILTER:,} characters, not {len(text):,}.")
    node = parse(text)
    tests = {compare: _test(text, compare) for compare in comparisons(node)}

    def holds_for(entry: Entry) -> bool:
        return matches(node, lambda compare: _any(entry, compare.path, tests[compare]))

    return holds_for


def _any(entry: Entry, path: Path, test: Test) -> bool:
    return any(test(value) for value in (found(entry, path) if path else _leaves(entry)))


def found(value: Any, path: Path) -> Iterator[Any]:
    """What is at a path; every element of the lists on the way."""
    if isinstance(value, list):
        for item in value:
            yield from found(item, path)
    elif not path:
        yield value
    elif isinstance(value, dict):
        if path[0] in value:
            yield from found(value[path[0]], path[1:])
        elif path == ("severity",):
            yield "DEFAULT"


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _leaves(item)
    else:
        yield value


def _test(text: str, compare: Compare) -> Test:
    path, value = compare.path, compare.value
    if value.function:
        raise unusable(text, value.at, f"the function {value.function} is not supported")
    if path and path[0] not in FIELDS:
        raise unusable(text, compare.at, f"'{path[0]}' is no field of a LogEntry")
    if compare.op in ("=~", "!~"):
        return _pattern(text, compare)
    if compare.op == ":" and value.text == "*" and not value.quoted:
        return lambda actual: actual is not None
    order = ORDERED[compare.op]
    if path == ("severity",):
        rank = _severity(text, compare)
        return lambda actual: order(SEVERITIES.get(actual, -1), rank)
    if path in TIMES:
        moment = _moment(text, compare)
        return lambda actual: order(nanoseconds(actual), moment)
    return _plain(compare.op, value.text)


def _pattern(text: str, compare: Compare) -> Test:
    value, wanted = compare.value, compare.op == "=~"
    if not value.quoted:
        raise unusable(text, value.at, "a regular expression must be in double quotes")
    try:
        pattern = re.compile(value.text)
    except re.error as error:
        raise unusable(text, value.at, f"{error} in the regular expression") from None
    return lambda actual: isinstance(actual, str) and bool(pattern.search(actual)) is wanted


def _severity(text: str, compare: Compare) -> int:
    given = compare.value.text.upper()
    if given not in SEVERITIES and not given.isdigit():
        raise unusable(text, compare.value.at, f"'{compare.value.text}' is no severity")
    return SEVERITIES[given] if given in SEVERITIES else int(given)


def _moment(text: str, compare: Compare) -> int:
    try:
        return nanoseconds(compare.value.text)
    except ValueError as error:
        raise unusable(text, compare.value.at, str(error)) from None


def _plain(op: str, text: str) -> Test:
    """Compare by the type of what is there: a boolean, a number, a text, or a map's keys."""
    order, folded, number = ORDERED[op], text.casefold(), _number(text)

    def test(actual: Any) -> bool:
        if isinstance(actual, bool):
            return bool(order(str(actual).lower(), folded))
        if isinstance(actual, int | float):
            return number is not None and bool(order(actual, number))
        if isinstance(actual, dict):
            return op == ":" and text in actual
        if not isinstance(actual, str):
            return actual is None and op == "=" and text == "NULL_VALUE"
        if op == ":":
            return folded in actual.casefold()
        return bool(order(actual.casefold(), folded))

    return test


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
