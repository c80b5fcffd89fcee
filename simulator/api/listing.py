"""List answers: one page of items and the token of the next."""

from __future__ import annotations

from typing import Any

from simulator.api.pages import page


def listing(
    field: str,
    items: dict[str, dict[str, Any]],
    request: dict[str, Any],
    *,
    default: int,
    most: int,
    total: bool = False,
) -> dict[str, Any]:
    """`items` by name, as `field`; `request` holds `pageSize` and `pageToken`.

    `total`: with a `totalSize`, which Cloud KMS and Secret Manager leave out when there is a filter
    (discovery documents).
    """
    size = min(int(request.get("pageSize") or default), most)
    chosen, token = page(sorted(items.items()), request.get("pageToken"), size)
    answer: dict[str, Any] = {field: chosen} if chosen else {}
    if token:
        answer["nextPageToken"] = token
    if total and not request.get("filter"):
        answer["totalSize"] = len(items)
    return answer
