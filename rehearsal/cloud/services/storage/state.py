"""What Cloud Storage holds, and the rules that buckets and objects share."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rehearsal.cloud.api import (
    ApiError,
    Call,
    Principal,
    invalid,
    not_found,
)

if TYPE_CHECKING:
    from rehearsal.cloud.cloud import Cloud

SITE = "https://www.googleapis.com/storage/v1"


@dataclass(slots=True)
class Blob:
    """One generation of an object; noncurrent once its `info` has `timeDeleted`."""

    data: bytes
    info: dict[str, Any]


@dataclass(slots=True)
class Upload:
    """A resumable upload: where it goes, and what has arrived."""

    bucket: str
    metadata: dict[str, Any]
    params: dict[str, Any]
    data: bytearray = field(default_factory=bytearray)


@dataclass(slots=True)
class Bucket:
    name: str
    project: str
    info: dict[str, Any]
    # object name -> its generations, oldest first
    objects: dict[str, list[Blob]] = field(default_factory=dict)

    @property
    def resource(self) -> str:
        return f"projects/_/buckets/{self.name}"

    @property
    def versioned(self) -> bool:
        return bool(self.info.get("versioning", {}).get("enabled"))

    def live(self, name: str) -> Blob | None:
        blobs = self.objects.get(name)
        return blobs[-1] if blobs and "timeDeleted" not in blobs[-1].info else None


class Storage:
    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.buckets: dict[str, Bucket] = {}
        self.soft_deleted: list[Bucket] = []
        self.uploads: dict[str, Upload] = {}
        self._generation = 0

    def generation(self) -> int:
        """Microseconds, always growing: what Google uses for generation numbers."""
        self._generation = max(self._generation + 1, int(self.cloud.clock.now() * 1e6))
        return self._generation

    def bucket(self, name: str) -> Bucket:
        if name not in self.buckets:
            raise not_found("The specified bucket does not exist.")
        return self.buckets[name]

    def read(self, uri: str, as_: Principal) -> dict[str, bytes]:
        """What lies under `gs://bucket/prefix/`, by the rest of its name.

        `as_` needs storage.objects.list on the bucket and storage.objects.get on each object.
        """
        name, _, prefix = uri.removeprefix("gs://").partition("/")
        bucket = self.bucket(name)
        self.cloud.check(as_, "storage.objects.list", bucket.resource)
        prefix = f"{prefix.rstrip('/')}/" if prefix.strip("/") else ""
        found = {}
        for key in bucket.objects:
            blob = bucket.live(key)
            if blob and key.startswith(prefix):
                self.cloud.check(as_, "storage.objects.get", f"{bucket.resource}/objects/{key}")
                found[key.removeprefix(prefix)] = blob.data
        return found

    def live(self) -> dict[str, list[str]]:
        objects = [
            f"gs://{bucket.name}/{name}"
            for bucket in self.buckets.values()
            for name in bucket.objects
            if bucket.live(name)
        ]
        return {"buckets": sorted(self.buckets), "objects": sorted(objects)}


def bad_request(message: str) -> ApiError:
    error = invalid(message)
    error.legacy = "invalid"
    return error


def precondition_failed(
    message: str = "At least one of the pre-conditions you specified did not hold.",
) -> ApiError:
    return ApiError(412, "FAILED_PRECONDITION", message)


# A parameter's name after its prefix, what it is compared with, whether they are to be equal.
CONDITIONS = (
    ("GenerationMatch", "generation", True),
    ("GenerationNotMatch", "generation", False),
    ("MetagenerationMatch", "metageneration", True),
    ("MetagenerationNotMatch", "metageneration", False),
)


def check_conditions(
    params: Mapping[str, Any], info: Mapping[str, Any] | None, prefix: str = "if"
) -> None:
    """`ifGenerationMatch` and its siblings; generation 0 stands for "does not exist"."""
    for name, what, wanted in CONDITIONS:
        given = params.get(prefix + name)
        if given is not None:
            current = int(info[what]) if info else 0
            if (int(given) == current) is not wanted:
                raise precondition_failed()


def touch(info: dict[str, Any], now: str) -> None:
    info["metageneration"] = str(int(info["metageneration"]) + 1)
    info["updated"] = now
    info["etag"] = etag(info)


def etag(info: Mapping[str, Any]) -> str:
    return base64.b64encode(f"{info['generation']}/{info['metageneration']}".encode()).decode()


def on_bucket(call: Call) -> str:
    """404 comes before 403 here: bucket names are global, so that one is taken is no secret."""
    return call.cloud.storage.bucket(call.params["bucket"]).resource
