"""List answers: one page of items and the token of the next."""

from __future__ import annotations

from typing import Any

from rehearsal.cloud.services.paging import page


def listing(
    field: str,
    items: dict[str, dict[str, Any]],
    request: dict[str, Any],
    *,
    default: int,
    most: int,
) -> dict[str, Any]:
    """`items` by name, as `field`; `request` holds `pageSize` and `pageToken`."""
    size = min(int(request.get("pageSize") or default), most)
    chosen, token = page(sorted(items.items()), request.get("pageToken"), size)
    answer: dict[str, Any] = {field: chosen} if chosen else {}
    return answer | ({"nextPageToken": token} if token else {})
