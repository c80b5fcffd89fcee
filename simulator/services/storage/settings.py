"""A bucket's settings: what may be set, what Google fills in, what it refuses.

Shapes: http-logs/storage-bucket*.log. Words of refusals are as kmoneil/zig-gcp measured them
(src/storage/fake_buckets.zig), but for those of `rpo` and data locations, which are not recorded.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from simulator.api.patching import merge
from simulator.services.compute import REGIONS
from simulator.services.storage import lifecycle
from simulator.services.storage.model import bad_request, storage_class
from simulator.services.storage.retention import policy_after

LOCATIONS = {
    **{name.upper(): "region" for name in REGIONS},
    **dict.fromkeys(("US", "EU", "ASIA"), "multi-region"),
    **dict.fromkeys(("NAM4", "EUR4", "EUR5", "EUR7", "EUR8", "ASIA1"), "dual-region"),
}
# By type of location (docs storage/managing-turbo-replication).
RECOVERY_POINTS = {"multi-region": ("DEFAULT",), "dual-region": ("DEFAULT", "ASYNC_TURBO")}
SOFT_DELETE_SECONDS = 604_800
MOST_SOFT_DELETE_SECONDS = 7_776_000
# Google's own part of a bucket; a client that sends it back changes nothing.
OUTPUT_ONLY = (
    "kind",
    "id",
    "name",
    "selfLink",
    "projectNumber",
    "generation",
    "metageneration",
    "location",
    "locationType",
    "customPlacementConfig",
    "objectRetention",
    "timeCreated",
    "updated",
    "etag",
    "owner",
)


def placed(given: Mapping[str, Any]) -> dict[str, Any]:
    """Where a new bucket is to be: its location, and the regions of a dual one of its own."""
    location = (given.get("location") or "US").upper()
    if location not in LOCATIONS:
        raise bad_request("The specified location constraint is not valid.")
    place: dict[str, Any] = {"location": location, "locationType": LOCATIONS[location]}
    if named := (given.get("customPlacementConfig") or {}).get("dataLocations"):
        regions = [region.upper() for region in named]
        known = all(LOCATIONS.get(region) == "region" for region in regions)
        if len(set(regions)) != 2 or not known or place["locationType"] != "multi-region":
            raise bad_request("The data locations must be two regions of a multi-region.")
        place["locationType"] = "dual-region"
        place["customPlacementConfig"] = {"dataLocations": regions}
    return place


def changed(
    info: Mapping[str, Any], given: Mapping[str, Any], now: str, *, whole: bool
) -> dict[str, Any]:
    """A bucket's fields once those given are taken over; what `whole` ones lack is dropped."""
    new = {key: value for key, value in info.items() if not whole or key in OUTPUT_ONLY}
    new, given = deepcopy(new), {k: v for k, v in given.items() if k not in OUTPUT_ONLY}
    if "retentionPolicy" in given or whole:
        before, wanted = info.get("retentionPolicy"), given.pop("retentionPolicy", None)
        policy = policy_after(info["name"], before, wanted, now)
        merge(new, {"retentionPolicy": policy})
    if "softDeletePolicy" in given:
        _soft_delete(new, given.pop("softDeletePolicy"), now)
    access = given.get("iamConfiguration") or {}
    if "bucketPolicyOnly" in access:  # the older name
        uniform = {"uniformBucketLevelAccess": access["bucketPolicyOnly"]}
        given["iamConfiguration"] = {**uniform, **access}
    merge(new, given)
    _fill_in(new, now)
    return new


def _soft_delete(new: dict[str, Any], given: Mapping[str, Any] | None, now: str) -> None:
    """null puts the default back, and without a duration nothing changes."""
    if given is None:
        new.pop("softDeletePolicy", None)
    if not given or "retentionDurationSeconds" not in given:
        return
    seconds = int(given["retentionDurationSeconds"])
    if seconds and not SOFT_DELETE_SECONDS <= seconds <= MOST_SOFT_DELETE_SECONDS:
        raise bad_request(
            "Soft delete policy must have a retention duration between 7 days and 90 days."
        )
    policy: dict[str, Any] = {"retentionDurationSeconds": str(seconds)}
    new["softDeletePolicy"] = policy | ({"effectiveTime": now} if seconds else {})


def _fill_in(new: dict[str, Any], now: str) -> None:
    """Defaults, and what is dropped because it is empty."""
    access = new.setdefault("iamConfiguration", {})
    uniform = access.setdefault("uniformBucketLevelAccess", {"enabled": False})
    access["bucketPolicyOnly"] = dict(uniform)
    prevention = access.setdefault("publicAccessPrevention", "inherited")
    if prevention == "unspecified":
        access["publicAccessPrevention"] = "inherited"
    elif prevention not in ("inherited", "enforced"):
        raise bad_request(f"Invalid value for: {prevention} is not a valid value")
    new["storageClass"] = storage_class(new.get("storageClass", "STANDARD"))
    if "softDeletePolicy" not in new:
        _soft_delete(new, {"retentionDurationSeconds": SOFT_DELETE_SECONDS}, now)
    points = RECOVERY_POINTS.get(new["locationType"], ())
    if points:
        new.setdefault("rpo", "DEFAULT")
    if new.get("rpo") not in (None, *points):
        raise bad_request(f"The rpo {new['rpo']} is not valid in a {new['locationType']}.")
    logging = new.get("logging", {})
    if logging.get("logBucket"):
        logging.setdefault("logObjectPrefix", new["name"])
    lifecycle.check(new.get("lifecycle", {}).get("rule") or ())
    for key, part in (
        ("encryption", "defaultKmsKeyName"),
        ("lifecycle", "rule"),
        ("logging", "logBucket"),
    ):
        if not new.get(key, {}).get(part):
            new.pop(key, None)
    if not new.get("labels"):
        new.pop("labels", None)
