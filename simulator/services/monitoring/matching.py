"""Monitoring's filters: their operators and functions, and the lists that take them.

Facts: https://cloud.google.com/monitoring/api/v3/filters and …/sorting-and-filtering. A label that
is missing compares as an empty text.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from simulator.api.errors import invalid
from simulator.api.filters import Compare, Path, comparisons, matches, parse, unusable
from simulator.api.pages import listing

T = TypeVar("T")

FUNCTIONS: dict[str, Callable[[str, tuple[str, ...]], bool]] = {
    "starts_with": lambda actual, args: actual.startswith(args[:1]),
    "ends_with": lambda actual, args: actual.endswith(args[:1]),
    "has_substring": lambda actual, args: args[0] in actual,
    "one_of": lambda actual, args: actual in args,
    "monitoring.regex.full_match": lambda actual, args: bool(re.fullmatch(args[0], actual)),
}
ORDERS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}


def check(text: str, compare: Compare) -> None:
    """INVALID_ARGUMENT for an operator or a function that a filter cannot have."""
    value, op = compare.value, compare.op
    if not compare.path:
        raise unusable(text, compare.at, f"'{value.text}' is compared with nothing")
    if op in ("=~", "!~"):
        raise unusable(text, compare.at, f"the operator {op} is not supported")
    if value.function:
        if value.function not in FUNCTIONS or op not in ("=", "!="):
            raise unusable(text, value.at, f"the function {value.function} is not supported")
        if not value.arguments:
            raise unusable(text, value.at, f"{value.function} needs an argument")
        if value.function.endswith("full_match"):
            try:
                re.compile(value.arguments[0].text)
            except re.error as error:
                raise unusable(text, value.at, f"{error} in the regular expression") from None


def holds(compare: Compare, actual: Any) -> bool:
    """Whether a comparison is true of a text, a boolean, a list or a map's keys."""
    if isinstance(actual, Mapping | list):
        found = compare.value.text in actual
        return found is not (compare.op == "!=")
    text = str(actual).lower() if isinstance(actual, bool) else str(actual or "")
    value, op = compare.value, compare.op
    if op in ORDERS:
        try:
            return bool(ORDERS[op](float(text), float(value.text)))
        except ValueError:
            return bool(ORDERS[op](text, value.text))
    if value.function:
        arguments = tuple(argument.text for argument in value.arguments)
        return FUNCTIONS[value.function](text, arguments) is (op == "=")
    if op == ":":
        return text != "" if value.text == "*" else value.text in text
    return (text == value.text) is (op == "=")


# Lists of resources


def select(
    text: str, items: Iterable[T], fields: Mapping[str, str], info: Callable[[T], Any]
) -> list[T]:
    """The items that match; `fields` are the filter's names and what they are in a resource."""
    node = parse(text)
    for compare in comparisons(node):
        check(text, compare)
        _field(text, compare.path, fields, compare.at)

    def matching(item: T) -> bool:
        return matches(
            node, lambda c: holds(c, _at(info(item), _field(text, c.path, fields, c.at)))
        )

    return [item for item in items if matching(item)]


def ordered(
    items: list[T], text: str, fields: Mapping[str, str], info: Callable[[T], Any]
) -> list[T]:
    """By the fields of an `orderBy`, each descending after a minus sign."""
    for part in reversed([part.strip() for part in text.split(",") if part.strip()]):
        path = _field(text, tuple(part.removeprefix("-").split(".")), fields, text.index(part))
        items = sorted(
            items,
            key=lambda item: str(_at(info(item), path) or ""),
            reverse=part.startswith("-"),
        )
    return items


def _field(text: str, path: Path, fields: Mapping[str, str], at: int) -> tuple[str, ...]:
    """Where a filter's field is in a resource: a field of the table, or a label by its key."""
    known = fields.get(".".join(path))
    if known:
        return tuple(known.split("."))
    labels = fields.get(path[0]) if len(path) > 1 else None
    if labels in ("labels", "userLabels"):
        return (labels, ".".join(path[1:]))
    names = ", ".join(sorted(fields))
    raise unusable(text, at, f"'{'.'.join(path)}' is none of the fields {names}")


def _at(info: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        info = info.get(key) if isinstance(info, dict) else None
    return info


def listed(
    field: str,
    items: Iterable[dict[str, Any]],
    params: Mapping[str, Any],
    fields: Mapping[str, str],
    *,
    default: int = 100,
    most: int = 1000,
) -> dict[str, Any]:
    """A page of resources by `filter` and `orderBy`."""
    chosen = select(params.get("filter", ""), items, fields, dict)
    chosen = ordered(chosen, params.get("orderBy", ""), fields, dict)
    if int(params.get("pageSize") or 0) < 0:
        raise invalid(f"page_size must not be negative: {params['pageSize']}")
    keyed = {f"{position:09}": item for position, item in enumerate(chosen)}
    return listing(field, keyed, params, default=default, most=most)
