"""`filter` and `orderBy` of list methods that take any field of what they list.

Facts: docs kms/docs/sorting-and-filtering, docs secret-manager/docs/filtering, and the discovery
document of Artifact Registry. ":" is containment without regard to case, `FIELD:*` asks whether
there is something, "*" within a text stands for anything; on a list a comparison holds when it does
for any element; "!=" is the opposite of "=". Inferred: that "=" regards case in the first two
services. Google's texts for a filter that cannot be are not recorded.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Collection
from typing import Any

from simulator.api.bodies import camel
from simulator.api.calls import Call
from simulator.api.errors import unimplemented
from simulator.api.filters import Compare, Path, comparisons, found, matches, parse, unusable
from simulator.core.clock import nanoseconds

Items = dict[str, dict[str, Any]]
Test = Callable[[Any], bool]

# Stands without quotes in these services' examples, though it has colons.
BARE_TIME = re.compile(r"([<>=]\s*)(\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:\d\d))")
ORDERED = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}


def selected(
    call: Call, field: str, items: Items, *, fields: Collection[str] = (), fold: bool = False
) -> Items:
    """Which of `items`, by name, the call asks for, in its order.

    `field` is what the answer has them as. `fields`: those that can be filtered on, all unless
    given. `fold`: "=" does not regard case.
    """
    if given := call.params.get("filter"):
        text = BARE_TIME.sub(r'\1"\2"', given)
        node = parse(text)
        tests = {compare: _test(call, field, text, compare, fold) for compare in comparisons(node)}
        for compare in tests if fields else ():
            if compare.path[0] not in fields:
                raise unusable(text, compare.at, f"only {', '.join(fields)} can be filtered on")

        def asked_for(item: dict[str, Any]) -> bool:
            return matches(node, lambda compare: tests[compare](item))

        items = {name: item for name, item in items.items() if asked_for(item)}
    return _ordered(items, call.params.get("orderBy", ""))


def _ordered(items: Items, order: str) -> Items:
    """By name, ascending or descending (docs kms/docs/sorting-and-filtering knows no others)."""
    words = order.split()
    if words in ([], ["name"], ["name", "asc"]):
        return items
    if words != ["name", "desc"]:
        raise unimplemented(f"Ordering by {order}")
    backwards = sorted(items.items(), reverse=True)
    return {f"{position:09}": item for position, (_, item) in enumerate(backwards)}


def _test(call: Call, field: str, text: str, compare: Compare, fold: bool) -> Test:
    value, op = compare.value, compare.op
    if not compare.path:
        raise unimplemented("A filter that names no field")
    if value.function or op in ("=~", "!~"):
        raise unusable(text, value.at, "functions and regular expressions are not supported")
    path, spec = _place(call, field, text, compare)
    holds = _comparison(text, compare, spec, fold)

    def test(item: dict[str, Any]) -> bool:
        return any(map(holds, found(item, path))) is not (op == "!=")

    return test


def _place(call: Call, field: str, text: str, compare: Compare) -> tuple[Path, dict[str, Any]]:
    """Where the filter's field is in an item, and what the discovery document says of it."""
    schemas = call.method.document.schemas
    spec = schemas[call.method.response or ""]["properties"][field]
    path: list[str] = []
    for place, name in enumerate(compare.path):
        while "$ref" in spec or spec.get("type") == "array":
            spec = schemas[spec["$ref"]] if "$ref" in spec else spec["items"]
        if "additionalProperties" in spec:
            return (*path, ".".join(compare.path[place:])), {}
        known = spec.get("properties", {})
        if camel(name) not in known:
            raise unusable(text, compare.at, f"'{'.'.join(compare.path)}' is no field")
        path.append(camel(name))
        spec = known[camel(name)]
    return tuple(path), spec


def _comparison(text: str, compare: Compare, spec: dict[str, Any], fold: bool) -> Test:
    wanted, op = compare.value.text, compare.op
    if op == ":" and wanted == "*" and not compare.value.quoted:
        return lambda actual: actual not in (None, "")
    if spec.get("format") == "google-datetime" and op != ":":
        try:
            moment = nanoseconds(wanted)
        except ValueError as error:
            raise unusable(text, compare.value.at, str(error)) from None
        order = ORDERED.get(op, operator.eq)
        return lambda actual: order(nanoseconds(actual), moment)
    if op in ORDERED:
        order = ORDERED[op]
        return lambda actual: order(_text(actual), wanted)
    if op == ":":
        pattern = _pattern(f"*{wanted}*", re.IGNORECASE)
        return lambda actual: (
            wanted in actual if isinstance(actual, dict) else bool(pattern.fullmatch(_text(actual)))
        )
    pattern = _pattern(wanted, re.IGNORECASE if fold else 0)
    return lambda actual: bool(pattern.fullmatch(_text(actual)))


def _pattern(text: str, flags: int) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, text.split("*"))), flags)


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
