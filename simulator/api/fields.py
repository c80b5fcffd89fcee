"""Partial answers: the `fields` parameter (docs apis/design/partial-response)."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from simulator.api.errors import invalid

Mask = dict[str, Any]


def masked(answer: dict[str, Any], fields: str) -> dict[str, Any]:
    """What the mask `a,b(c,d),e/f` leaves of an answer."""
    result = _apply(answer, parse(fields))
    return result if isinstance(result, dict) else {}


@lru_cache(maxsize=256)
def parse(fields: str) -> Mask:
    """The mask as nested dictionaries; an empty one stands for everything below."""
    mask, end = _fields(fields, 0)
    if end != len(fields):
        raise invalid(f"Invalid field selection {fields}")
    return mask


def _fields(text: str, at: int) -> tuple[Mask, int]:
    mask: Mask = {}
    while True:
        at = _field(text, at, mask)
        if at >= len(text) or text[at] != ",":
            return mask, at
        at += 1


def _field(text: str, at: int, mask: Mask) -> int:
    start = at
    while at < len(text) and text[at] not in ",()/":
        at += 1
    name = text[start:at].strip()
    if not name:
        raise invalid(f"Invalid field selection {text}")
    below: Mask = mask.setdefault(name, {})
    if at < len(text) and text[at] == "/":
        return _field(text, at + 1, below)
    if at < len(text) and text[at] == "(":
        inner, at = _fields(text, at + 1)
        if at >= len(text) or text[at] != ")":
            raise invalid(f"Invalid field selection {text}")
        below.update(inner)
        at += 1
    return at


def _apply(value: Any, mask: Mask) -> Any:
    if not mask:
        return value
    if isinstance(value, list):
        return [_apply(item, mask) for item in value]
    if not isinstance(value, dict):
        return value
    chosen = value if "*" in mask else {name: value[name] for name in mask if name in value}
    return {
        name: _apply(item, mask.get(name) or mask.get("*") or {}) for name, item in chosen.items()
    }
