"""The two ways of Google's PATCH: JSON merge patch (RFC 7386), and field masks."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from simulator.api.bodies import camel
from simulator.api.errors import invalid


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


def mask_paths(mask: str | None) -> set[str]:
    """The fields of an update mask, in camelCase whichever way they were sent; label keys stay."""
    paths = set()
    for name in filter(None, (part.strip() for part in (mask or "").split(","))):
        fields, *key = re.split(r"(?<=[lL]abels\.)", name, maxsplit=1)
        paths.add("".join([camel(fields), *key]))
    return paths


def named_paths(mask: str | None, mutable: Collection[str], *, required: bool = True) -> set[str]:
    """`mask_paths`, if all are of `mutable` and, where they are `required`, there are some.

    400 otherwise, in our words: for the services of which Google's are not recorded.
    """
    paths = mask_paths(mask)
    if (required and not paths) or {path.partition(".")[0] for path in paths} - set(mutable):
        verb = "must name some of" if required else "can name"
        raise invalid(f"update_mask {verb} {', '.join(mutable)}.")
    return paths


def copy_paths(
    target: dict[str, Any],
    source: Mapping[str, Any],
    paths: Iterable[str],
    *,
    oneofs: Collection[frozenset[str]] = (),
    present: Collection[str] = (),
) -> None:
    """What a field mask's paths name, from `source`; what that lacks is cleared.

    A path makes no objects on its way to a field that `source` lacks, and an object that clearing
    leaves empty goes. `oneofs`: sibling fields of which setting one clears the others. `present`:
    messages that are set by being there, though they are empty.
    """
    for path in sorted(paths):
        _copy(target, source, path.split("."), oneofs, present)


def _copy(
    target: dict[str, Any],
    source: Mapping[str, Any],
    path: list[str],
    oneofs: Collection[frozenset[str]],
    present: Collection[str],
) -> None:
    name, *rest = path
    given = source.get(name)
    value = given
    if rest:
        value = dict(target.get(name) or {})
        _copy(value, given if isinstance(given, Mapping) else {}, rest, oneofs, present)
    meant = value == {} and given is not None and name in present
    if value in (None, "", {}, []) and not meant:
        target.pop(name, None)
        return
    target[name] = value
    for oneof in oneofs if given is not None else ():
        if name in oneof:
            for other in oneof - {name}:
                target.pop(other, None)
