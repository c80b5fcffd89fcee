"""Object contexts: values by key, each with its times, and a permission for each kind of change.

Docs storage/use-object-contexts; discovery document, `ObjectCustomContextPayload`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from simulator.api.calls import Call


def changed(
    call: Call,
    on: str,
    current: Mapping[str, Any] | None,
    given: Mapping[str, Any] | None,
    *,
    whole: bool,
) -> dict[str, Any] | None:
    """The contexts of the object `on` once those given are taken over; None for none.

    Unless they are the `whole` of it, a key that is not given stays, and null takes one away.
    """
    before: Mapping[str, Any] = (current or {}).get("custom", {})
    custom = (given or {}).get("custom")
    after = {} if whole or custom is None else dict(before)
    now = call.cloud.clock.rfc3339()
    for key, payload in (custom or {}).items():
        if payload is None:
            after.pop(key, None)
        elif key not in before or before[key]["value"] != payload.get("value", ""):
            created = before[key]["createTime"] if key in before else now
            value = payload.get("value", "")
            after[key] = {"value": value, "createTime": created, "updateTime": now}
        else:
            after[key] = before[key]
    for verb, keys in (
        ("create", after.keys() - before.keys()),
        ("update", {key for key in after.keys() & before.keys() if after[key] != before[key]}),
        ("delete", before.keys() - after.keys()),
    ):
        if keys:
            call.check(f"storage.objects.{verb}Context", on)
    return {"custom": after} if after else None
