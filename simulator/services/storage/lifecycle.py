"""What a bucket's lifecycle rules do to its objects, once a day on the cloud's clock.

Conditions and actions: discovery document, `Bucket.lifecycle`; docs storage/lifecycle: all of a
rule's conditions have to hold, deletion comes before a change of class, and the coldest class wins.
Incomplete XML uploads, which a third action ends, are not simulated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from simulator.core.clock import Clock
from simulator.services.storage.model import CLASSES, Blob, Bucket, bad_request, storage_class
from simulator.services.storage.retention import is_kept

DAY = 86_400
ACTIONS = ("Delete", "SetStorageClass", "AbortIncompleteMultipartUpload")
DATES = {"createdBefore", "customTimeBefore", "noncurrentTimeBefore"}


class Seen:
    """One generation of an object as rules see it: `newer` others of its name came later."""

    def __init__(self, blob: Blob, newer: int, now: float) -> None:
        self.info, self.newer, self._now = blob.info, newer, now

    def days_since(self, field: str) -> float:
        """-1 when there is no such time."""
        given = self.info.get(field)
        return (self._now - datetime.fromisoformat(given).timestamp()) / DAY if given else -1

    def before(self, field: str, date: str) -> bool:
        """Whether there is such a time, and before midnight of `date`, in UTC."""
        given, midnight = self.info.get(field), datetime.fromisoformat(date).replace(tzinfo=UTC)
        return given is not None and datetime.fromisoformat(given) < midnight


CONDITIONS: Mapping[str, Callable[[Seen, Any], bool]] = {
    "age": lambda it, days: it.days_since("timeCreated") >= int(days),
    "createdBefore": lambda it, date: it.before("timeCreated", date),
    "customTimeBefore": lambda it, date: it.before("customTime", date),
    "daysSinceCustomTime": lambda it, days: it.days_since("customTime") >= int(days),
    "daysSinceNoncurrentTime": lambda it, days: it.days_since("timeDeleted") >= int(days),
    "isLive": lambda it, live: ("timeDeleted" not in it.info) is live,
    "matchesPrefix": lambda it, texts: not texts or it.info["name"].startswith(tuple(texts)),
    "matchesStorageClass": lambda it, names: not names or it.info["storageClass"] in names,
    "matchesSuffix": lambda it, texts: not texts or it.info["name"].endswith(tuple(texts)),
    "noncurrentTimeBefore": lambda it, date: it.before("timeDeleted", date),
    "numNewerVersions": lambda it, count: it.newer >= int(count),
    "sizeAboveBytes": lambda it, size: int(it.info["size"]) > int(size),
    "sizeBelowBytes": lambda it, size: int(it.info["size"]) < int(size),
}


def check(rules: Iterable[Mapping[str, Any]]) -> None:
    """Raise for a rule that Google refuses, in the words that kmoneil/zig-gcp measured."""
    for rule in rules:
        action, condition = rule.get("action") or {}, rule.get("condition") or {}
        if action.get("type") not in ACTIONS:
            raise bad_request(f"Invalid value for: {action.get('type')} is not a valid value")
        if action["type"] == "SetStorageClass" and not action.get("storageClass"):
            raise bad_request(
                "Lifecycle storage class rules must specify the destination storage class."
            )
        if "storageClass" in action:
            storage_class(action["storageClass"])
        if not condition:
            raise bad_request("Lifecycle rules must have a condition.")
        for name in DATES & condition.keys():
            try:
                datetime.strptime(condition[name], "%Y-%m-%d")
            except ValueError:
                text = f'Invalid value for: Invalid format: "{condition[name]}"'
                raise bad_request(text) from None


def sweep(bucket: Bucket, clock: Clock) -> None:
    """Apply the rules to what is in the bucket now."""
    now, rules = clock.now(), bucket.info["lifecycle"]["rule"]
    for name, blobs in list(bucket.objects.items()):
        for newer, blob in enumerate(reversed(list(blobs))):
            actions = _actions(rules, Seen(blob, newer, now))
            if any(action["type"] == "Delete" for action in actions):
                if not is_kept(bucket, blob, now):
                    bucket.remove(name, blob, clock.rfc3339(), for_good="timeDeleted" in blob.info)
                continue
            classes = [a["storageClass"] for a in actions if a["type"] == "SetStorageClass"]
            coldest = max([blob.info["storageClass"], *classes], key=_coldness)
            if coldest != blob.info["storageClass"]:
                blob.info["storageClass"] = coldest
                blob.info["timeStorageClassUpdated"] = clock.rfc3339()


def _coldness(name: str) -> int:
    """Only to a colder class does a rule move an object."""
    return CLASSES.index(name) if name in CLASSES else 0


def _actions(rules: list[dict[str, Any]], seen: Seen) -> list[dict[str, Any]]:
    return [
        rule["action"]
        for rule in rules
        if all(CONDITIONS[name](seen, value) for name, value in rule["condition"].items())
    ]
