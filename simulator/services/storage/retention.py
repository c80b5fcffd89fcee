"""What keeps objects from being deleted or replaced, and how that may be changed.

A bucket's retention policy, holds, and objects' own retention: docs storage/bucket-lock,
object-holds and object-lock. Order, status and words of what is refused are as
kmoneil/zig-gcp measured them on Cloud Storage (docs/storage/buckets.md, src/storage/retention.zig).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from simulator.api.calls import Call
from simulator.api.errors import ApiError
from simulator.core.clock import rfc3339
from simulator.services.storage.model import Blob, Bucket, bad_request, moment

LONGEST_SECONDS = 3_155_760_000
HOLDS = (("temporaryHold", "Temporary"), ("eventBasedHold", "Event-Based"))
FIELDS = ("temporaryHold", "eventBasedHold", "retention")
UNTIL = "retainUntilTime"
NO_BOTH = "Retention and event based holds cannot be configured together."
UNLOCKED = (
    "The unlocked object retention cannot be removed and its retention period cannot be shortened "
    "without overriding unlocked retention intent and permission."
)
LOCKED = (
    "The locked object retention cannot be removed. Its retention mode cannot be changed and its "
    "retention period cannot be shortened."
)


def _forbidden(message: str, reason: str = "forbidden") -> ApiError:
    return ApiError(403, "PERMISSION_DENIED", message, legacy=reason)


def _not_met(message: str) -> ApiError:
    return _forbidden(message, "retentionPolicyNotMet")


def policy_after(
    bucket: str, current: dict[str, Any] | None, given: Mapping[str, Any] | None, now: str
) -> dict[str, Any] | None:
    """A bucket's retention policy once `given` is applied to it; None for none.

    Only the period can be set: when it began and whether it is locked are Google's to say.
    """
    locked = current is not None and current.get("isLocked", False)
    if given is None:
        if locked:
            raise _not_met(
                f"Bucket '{bucket}' has a locked Retention Policy which cannot be removed."
            )
        return None
    if "retentionPeriod" not in given:
        return current
    period = int(given["retentionPeriod"])
    if not 0 < period <= LONGEST_SECONDS:
        raise bad_request(
            "Retention policy must have a retention period greater than 0 and less than 100 years."
        )
    if locked and current and period < int(current["retentionPeriod"]):
        raise _forbidden(
            f"Cannot reduce retention duration of a locked Retention Policy for bucket '{bucket}'."
        )
    return {"effectiveTime": now, **(current or {}), "retentionPeriod": str(period)}


def until(bucket: Bucket, blob: Blob) -> float | None:
    """When retention lets the object go, in Unix seconds; None when nothing, or a hold, says."""
    ends = []
    if own := blob.info.get("retention"):
        ends.append(moment(UNTIL, own[UNTIL]))
    policy = bucket.info.get("retentionPolicy")
    if policy and not blob.info.get("eventBasedHold"):
        ends.append(blob.kept_from + int(policy["retentionPeriod"]))
    return max(ends, default=None)


def shown(bucket: Bucket, blob: Blob) -> dict[str, Any]:
    """The object as answers have it: with the moment from which it may be deleted."""
    end = until(bucket, blob)
    if end is None:
        return blob.info
    return {**blob.info, "retentionExpirationTime": rfc3339(end)}


def check_removable(call: Call, bucket: Bucket, blob: Blob, *, for_good: bool) -> None:
    """Raise unless the object may go, or only become noncurrent, which retention allows."""
    where = f"Object '{bucket.name}/{blob.info['name']}'"
    for field, kind in HOLDS:
        if blob.info.get(field):
            raise _forbidden(
                f"{where} is under active {kind} hold and cannot be deleted, overwritten or "
                "archived until hold is removed."
            )
    end = until(bucket, blob) if for_good else None
    if end is not None and call.cloud.clock.now() < end:
        # Google prints its own local time.
        raise _not_met(
            f"{where} is subject to bucket's retention policy or object retention and cannot be "
            f"deleted or overwritten until {rfc3339(end)}"
        )


def is_kept(bucket: Bucket, blob: Blob, now: float) -> bool:
    """Whether a hold or retention keeps the object now."""
    held = any(blob.info.get(field) for field, _ in HOLDS)
    end = until(bucket, blob)
    return held or (end is not None and now < end)


def for_new_object(call: Call, bucket: Bucket, said: Mapping[str, Any], on: str) -> dict[str, Any]:
    """The holds and the retention that an upload asks for, or gets from its bucket."""
    found = {field: said[field] for field, _ in HOLDS if said.get(field)}
    if bucket.info.get("defaultEventBasedHold") and "eventBasedHold" not in said:
        found["eventBasedHold"] = True
    if said.get("retention"):
        if found.get("eventBasedHold"):
            raise bad_request(NO_BOTH)
        call.check("storage.objects.setRetention", on)
        found["retention"] = _retention(call, bucket, said["retention"])
    return found


def change(call: Call, bucket: Bucket, blob: Blob, given: Mapping[str, Any]) -> None:
    """Take over the holds and the retention that a change of an object names."""
    info, retention = blob.info, blob.info.get("retention")
    if "retention" in given:
        retention = _retention_after(call, bucket, retention, given["retention"])
    holds = {field: bool(given.get(field, info.get(field))) for field, _ in HOLDS}
    if retention and holds["eventBasedHold"]:
        raise bad_request(NO_BOTH)
    if info.get("eventBasedHold") and not holds["eventBasedHold"]:
        blob.kept_from = call.cloud.clock.now()
    info |= {field: holds[field] for field, _ in HOLDS if field in given or field in info}
    if retention:
        info["retention"] = retention
    else:
        info.pop("retention", None)


def _retention_after(
    call: Call, bucket: Bucket, current: dict[str, Any] | None, given: Mapping[str, Any] | None
) -> dict[str, Any] | None:
    if given is not None and not given:
        return current
    removed = given is None or not any(given.values())
    if removed and current is None:
        return None
    call.check("storage.objects.setRetention", call.resource)
    new = None if removed or given is None else _retention(call, bucket, given)
    if current is None:
        return new
    shorter = new is None or moment(UNTIL, new[UNTIL]) < moment(UNTIL, current[UNTIL])
    locks = new is not None and new["mode"] == "Locked"
    if current["mode"] == "Locked":
        if shorter or not locks:
            raise _forbidden(LOCKED)
    elif shorter or locks:
        if not call.params.get("overrideUnlockedRetention"):
            raise _forbidden(UNLOCKED)
        call.check("storage.objects.overrideUnlockedRetention", call.resource)
    return new


def _retention(call: Call, bucket: Bucket, given: Mapping[str, Any]) -> dict[str, Any]:
    if "objectRetention" not in bucket.info:
        raise bad_request("Object retention is not enabled on the bucket.")
    for field, what in (("mode", "retention mode"), (UNTIL, "retain until time")):
        if not given.get(field):
            raise bad_request(f"Missing {what}. Both mode and retain until time are required.")
    mode, end = given["mode"], given[UNTIL]
    if mode not in ("Unlocked", "Locked"):
        raise bad_request(f"Invalid value for: {mode} is not a valid value")
    if moment(UNTIL, end) <= call.cloud.clock.now():
        raise bad_request("Retain until time cannot be in the past.")
    return {"mode": mode, UNTIL: end}
