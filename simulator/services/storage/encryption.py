"""Customer-managed keys: the project's agent seals objects with them, and opens them again.

Facts (docs storage/docs/encryption/customer-managed-keys): a bucket's default key seals new objects
that name none, with the version that is primary at that time; it lies where the bucket does; the
agent needs to encrypt and decrypt with it. The words for a key that it may not use are recorded on
making a bucket (ollionorg/gcp-landing-zone#59) and on an upload (google-cloud-java#3594), those for
a malformed one by kmoneil/zig-gcp. For a version that is disabled or destroyed these are Cloud
KMS's words, and for a wrong place ours, for want of Cloud Storage's.
"""

from __future__ import annotations

from simulator.api.errors import ApiError
from simulator.core.cloud import Cloud
from simulator.core.principal import Principal
from simulator.identity.accounts import Accounts
from simulator.services.kms.state import Kms
from simulator.services.storage.model import Blob, Bucket, bad_request

# Cloud KMS calls multi-regions its own way; the others go by Cloud Storage's name in small letters.
PLACES = {"EU": "europe"}


def agent(cloud: Cloud, project: str) -> Principal:
    """Who seals and opens the objects of a project's buckets."""
    return Principal(f"serviceAccount:{cloud[Accounts].standing('storage', project)}")


def usable(cloud: Cloud, project: str, location: str, key: str) -> str:
    """The key's name, once it is known that the agent can use it in a bucket at `location`."""
    try:
        name = cloud[Kms].normal(key)
    except ApiError:
        raise bad_request(f"Malformed Cloud KMS crypto key: {key}") from None
    place = PLACES.get(location, location.lower())
    if name.split("/")[3] != place:
        raise bad_request(f"The Cloud KMS key {key} is not in {place}.")
    _check(cloud, project, name)
    return name


def sealed_with(cloud: Cloud, bucket: Bucket, key: str | None) -> str | None:
    """The version that seals a new object: of the key that it names, or of its bucket's."""
    key = key or bucket.info.get("encryption", {}).get("defaultKmsKeyName")
    if key is None:
        return None
    name = usable(cloud, bucket.project, bucket.info["location"], key)
    return f"{name}/cryptoKeyVersions/{cloud[Kms].key(name).primary}"


def check_opens(cloud: Cloud, bucket: Bucket, blob: Blob) -> None:
    """Raise unless the object's data can be read now."""
    if version := blob.info.get("kmsKeyName"):
        name, _, number = version.partition("/cryptoKeyVersions/")
        _check(cloud, bucket.project, name, int(number))


def _check(cloud: Cloud, project: str, name: str, number: int | None = None) -> None:
    try:
        cloud[Kms].check_use(agent(cloud, project), name, number)
    except ApiError as error:
        if error.status not in (403, 404):
            raise
        raise ApiError(
            403,
            "PERMISSION_DENIED",
            "Permission denied on Cloud KMS key. Please ensure that your Cloud Storage service "
            "account has been authorized to use this key.",
        ) from None
