"""Buckets, objects and uploads as they are held, and the rules that all of them share."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from simulator.api.errors import ApiError, invalid, not_found

SITE = "https://www.googleapis.com/storage/v1"
# From warm to cold; then those that are no longer given to new buckets.
CLASSES = ("STANDARD", "NEARLINE", "COLDLINE", "ARCHIVE")
OLD_CLASSES = ("MULTI_REGIONAL", "REGIONAL", "DURABLE_REDUCED_AVAILABILITY")


@dataclass(slots=True)
class Blob:
    """One generation of an object; noncurrent once its `info` has `timeDeleted`.

    A bucket's retention period counts from `kept_from`, in Unix seconds.
    """

    data: bytes
    info: dict[str, Any]
    kept_from: float


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
    # when its lifecycle rules were applied last, Unix seconds
    swept: float
    # the longest soft delete that it ever had, in seconds
    soft_delete: int = 0
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

    def find(self, name: str, generation: int | str | None) -> Blob:
        """The live object, or the given generation of it; 404 when there is none."""
        blob = self.live(name)
        if generation is not None:
            blobs = self.objects.get(name, ())
            blob = next(
                (item for item in blobs if item.info["generation"] == str(generation)), None
            )
        if blob is None:
            raise not_found(f"No such object: {self.name}/{name}")
        return blob

    def remove(self, name: str, blob: Blob, now: str, *, for_good: bool) -> None:
        """The generation goes, or becomes noncurrent."""
        if not for_good and self.versioned:
            blob.info["timeDeleted"] = now
            return
        self.objects[name].remove(blob)
        if not self.objects[name]:
            del self.objects[name]


def object_resource(bucket: str, name: str) -> str:
    """What permissions on an object are checked on."""
    return f"projects/_/buckets/{bucket}/objects/{name}"


def storage_class(text: str) -> str:
    """Its name as Google writes it; 400 in the words that kmoneil/zig-gcp measured."""
    if text.upper() not in (*CLASSES, *OLD_CLASSES):
        raise bad_request(f'Invalid storage class "{text}"')
    return text.upper()


def moment(field: str, text: str) -> float:
    """Unix seconds of a time that a client gives; the refusal is measured for `retainUntilTime`."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        time = None
    if time is None or time.tzinfo is None:
        raise bad_request(
            "Parse Error: Invalid value for type.googleapis.com/google.protobuf.Timestamp field: "
            f"'Field '{field}', Illegal timestamp format; timestamps must end with 'Z' or have a "
            "valid timezone offset.'."
        )
    return time.timestamp()


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
