"""What Cloud Storage holds."""

from __future__ import annotations

from simulator.api.calls import Call, Guard
from simulator.api.errors import not_found
from simulator.core.cloud import Cloud, Holding
from simulator.core.principal import Principal
from simulator.services.storage import encryption, lifecycle
from simulator.services.storage.model import Bucket, Upload


class Storage(Holding):
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
        """The bucket as its lifecycle rules leave it today."""
        bucket = self.buckets.get(name)
        if bucket is None:
            raise not_found("The specified bucket does not exist.")
        if "lifecycle" in bucket.info and self.cloud.clock.now() - bucket.swept >= lifecycle.DAY:
            bucket.swept = self.cloud.clock.now()
            lifecycle.sweep(bucket, self.cloud.clock)
        return bucket

    def read(self, uri: str, as_: Principal) -> dict[str, bytes]:
        """What lies under `gs://bucket/prefix/`, by the rest of its name.

        `as_` needs storage.objects.list on the bucket and storage.objects.get on each object.
        """
        name, _, prefix = uri.removeprefix("gs://").partition("/")
        bucket = self.bucket(name)
        self.cloud[Guard].check(as_, "storage.objects.list", bucket.resource)
        prefix = f"{prefix.rstrip('/')}/" if prefix.strip("/") else ""
        found = {}
        for key in bucket.objects:
            blob = bucket.live(key)
            if blob and key.startswith(prefix):
                self.cloud[Guard].check(
                    as_, "storage.objects.get", f"{bucket.resource}/objects/{key}"
                )
                encryption.check_opens(self.cloud, bucket, blob)
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


def on_bucket(call: Call) -> str:
    """404 comes before 403 here: bucket names are global, so that one is taken is no secret."""
    return call.cloud[Storage].bucket(call.params["bucket"]).resource
