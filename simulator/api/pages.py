"""List answers, page by page, with tokens that survive deletions between two pages."""

from __future__ import annotations

import base64
import binascii
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from simulator.api.errors import invalid

T = TypeVar("T")


def page(
    items: Sequence[tuple[str, T]], token: str | None, size: int
) -> tuple[list[T], str | None]:
    """The items after `token` and the next token, None at the end.

    `items` are (key, item) in ascending order of key. A token holds the last key sent, so a client
    that deletes what it lists, page by page, misses nothing.
    """
    size, start = max(1, size), 0
    if token:
        try:
            last = base64.urlsafe_b64decode(token).decode()
        except (binascii.Error, UnicodeDecodeError):
            raise invalid("Invalid page token.") from None
        start = bisect_right(items, last, key=lambda item: item[0])
    chosen = items[start : start + size]
    more = start + size < len(items)
    following = base64.urlsafe_b64encode(chosen[-1][0].encode()).decode() if more else None
    return [item for _, item in chosen], following


def listing(
    field: str,
    items: Mapping[str, Any],
    request: Mapping[str, Any],
    *,
    default: int,
    most: int,
    total: bool = False,
) -> dict[str, Any]:
    """The answer: `items` in the order of their keys, as `field`.

    `request` holds `pageSize`, `default` unless given and at most `most`, and `pageToken`. `total`:
    with a `totalSize`, which Cloud KMS and Secret Manager leave out when there is a filter
    (discovery documents).
    """
    size = min(int(request.get("pageSize") or default), most)
    ordered = sorted(items.items(), key=lambda item: item[0])
    chosen, token = page(ordered, request.get("pageToken"), size)
    answer: dict[str, Any] = {field: chosen} if chosen else {}
    if token:
        answer["nextPageToken"] = token
    if total and not request.get("filter"):
        answer["totalSize"] = len(items)
    return answer
