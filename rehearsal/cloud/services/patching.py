"""JSON merge patch (RFC 7386), the PATCH of Google's older APIs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def merge(target: dict[str, Any], patch: Mapping[str, Any]) -> None:
    """null removes a field, objects merge, everything else replaces."""
    for key, value in patch.items():
        if value is None:
            target.pop(key, None)
        elif isinstance(value, dict):
            current = target.get(key)
            target[key] = dict(current) if isinstance(current, dict) else {}
            merge(target[key], value)
        else:
            target[key] = value
