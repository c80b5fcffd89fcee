"""The Logging query language over log entries.

Facts: https://cloud.google.com/logging/docs/view/logging-query-language. Text compares without
regard to case, regular expressions with it; a comparison on a field that is missing is false, "!="
too; on a repeated field it is true when it is for any element. Of the functions there is `log_id`.
Regular expressions are Python's, which has all of RE2's syntax that filters commonly use.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

from simulator.api.errors import invalid, unimplemented
from simulator.api.filters import Compare, Path, comparisons, found, matches, parse, unusable
from simulator.core.clock import nanoseconds

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
LOG_NAME: Path = ("logName",)
# Functions of the language that nothing here evaluates.
UNSIMULATED = ("cast", "ip_in_net", "regexp_extract", "sample", "search", "source")
TIMES: set[Path] = {("timestamp",), ("receiveTimestamp",)}
# Discovery document, LogEntry.
FIELDS = {
    *("errorGroups", "httpRequest", "insertId", "jsonPayload", "labels", "logName", "metadata"),
    *(
        "operation",
        "otel",
        "protoPayload",
        "receiveTimestamp",
        "resource",
        "severity",
        "sourceLocation",
    ),
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
        return matches(node, lambda compare: any(map(tests[compare], _values(entry, compare))))

    return holds_for


def _values(entry: Entry, compare: Compare) -> Iterator[Any]:
    if compare.value.function:
        return found(entry, LOG_NAME)
    if compare.path == ("severity",):
        return iter([entry.get("severity", "DEFAULT")])
    return found(entry, compare.path) if compare.path else _leaves(entry)


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _leaves(item)
    else:
        yield value


def _test(text: str, compare: Compare) -> Test:
    path, value = compare.path, compare.value
    if value.function:
        return _log_id(text, compare)
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


def _log_id(text: str, compare: Compare) -> Test:
    """`log_id("LOG")`: the log's name, without the project and as it was before it was encoded."""
    value, function = compare.value, compare.value.function.lower()
    if function in UNSIMULATED:
        raise unimplemented(f"A filter with {function}")
    if function != "log_id" or compare.path or len(value.arguments) != 1:
        raise unusable(text, value.at, f"the function {value.function} is not supported")
    wanted = unquote(value.arguments[0].text).casefold()
    return lambda actual: unquote(actual.partition("/logs/")[2]).casefold() == wanted


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
