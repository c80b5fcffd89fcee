"""The two ways of Google's PATCH: JSON merge patch (RFC 7386), and field masks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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


def copy_paths(target: dict[str, Any], source: Mapping[str, Any], paths: Iterable[str]) -> None:
    """What a field mask's paths name, from `source`; what that lacks is cleared."""
    for path in sorted(paths):
        *parents, last = path.split(".")
        into, value = target, dict(source)
        for key in parents:
            into, value = into.setdefault(key, {}), value.get(key) or {}
        if value.get(last) in (None, "", {}, []):
            into.pop(last, None)
        else:
            into[last] = value[last]
