"""B: buckets, where models and telemetry are kept."""

from __future__ import annotations

import re
from typing import Final

from ..view import Resource
from .examples import BUCKET, bucket
from .rule import Context, Findings, rule

TYPES: Final = (BUCKET,)
LOG_NAME: Final = re.compile(r"(^|[-_.])(audit-?)?logs?($|[-_.])")
ACLS: Final = tuple(
    f"gcp:storage/{name[0].lower()}{name[1:]}:{name}"
    for name in (
        "BucketACL", "ObjectACL", "DefaultObjectACL", "BucketAccessControl",
        "ObjectAccessControl", "DefaultObjectAccessControl",
    )
)  # fmt: skip


@rule(
    "B1", "Access by IAM alone", "high", each="resource", types=TYPES,
    protects="Against access lists on single objects, which no IAM policy shows.",
    bad={"bucket": bucket(uniformBucketLevelAccess=False)},
    good={"bucket": bucket()},
    remedy="uniform_bucket_level_access=True",
)  # fmt: skip
def uniform(found: Resource, context: Context) -> Findings:
    if found.get("uniformBucketLevelAccess") is not True:
        yield "uniformBucketLevelAccess is not true, so objects may have access lists"


@rule(
    "B2", "Never public", "critical", each="resource", types=TYPES,
    protects="Against a later grant to everybody, by anyone who may grant.",
    bad={"bucket": bucket(publicAccessPrevention="inherited")},
    good={"bucket": bucket()},
    remedy='public_access_prevention="enforced"',
)  # fmt: skip
def never_public(found: Resource, context: Context) -> Findings:
    if found.get("publicAccessPrevention") != "enforced":
        yield f"publicAccessPrevention is {found.get('publicAccessPrevention', 'not set')}"


@rule(
    "B3", "No access lists", "high", each="resource", types=ACLS,
    protects="Against grants outside IAM, on a bucket or on single objects.",
    bad={"acl": ("gcp:storage/bucketACL:BucketACL",
                 {"bucket": "b", "roleEntities": ["READER:group-ml-engineers@example.com"]})},
    good={"bucket": bucket()},
    remedy='gcp.storage.BucketIAMMember("reads", bucket=BUCKET, '
    'role="roles/storage.objectViewer", member=MEMBER)',
)  # fmt: skip
def no_lists(found: Resource, context: Context) -> Findings:
    yield "grants by an access list; with uniform access it has no effect, without it nobody sees"


@rule(
    "B4", "Versions are kept", "medium", each="resource", types=TYPES,
    only_strict="Whether an old object matters depends on what is in the bucket.",
    protects="Model artifacts: an overwritten one cannot be rolled back to.",
    bad={"bucket": bucket(versioning=None)},
    good={"bucket": bucket()},
    remedy='versioning={"enabled": True}',
)  # fmt: skip
def versions(found: Resource, context: Context) -> Findings:
    if found.get("versioning.enabled") is not True and not found.get("retentionPolicy"):
        yield "versioning is off, so an overwritten object is gone"


@rule(
    "B5", "Usage is logged", "low", each="resource", types=TYPES, mandatory=False,
    only_strict="Data access audit logs of the project may record the same.",
    protects="The trace of who read what, where data access audit logs do not keep it.",
    bad={"bucket": bucket(logging=None)},
    good={"bucket": bucket(logging={"logBucket": "iot-prod-usage"})},
    remedy='logging={"log_bucket": log_bucket.name}',
)  # fmt: skip
def usage_logged(found: Resource, context: Context) -> Findings:
    target = found.get("logging.logBucket")
    if not target:
        yield "no logging"
    elif target == found.get("name"):
        yield "it logs to itself"


@rule(
    "B6", "A key of our own", "low", each="resource", types=TYPES, mandatory=False,
    only_strict="Whose key it is, an organisation decides.",
    protects="Data at rest, where the organisation wants to be able to withdraw the key.",
    bad={"bucket": bucket(encryption=None)},
    good={"bucket": bucket()},
    remedy='encryption={"default_kms_key_name": key.id}',
)  # fmt: skip
def own_key(found: Resource, context: Context) -> Findings:
    if not found.get("encryption.defaultKmsKeyName"):
        yield "encrypted with Google's keys"


@rule(
    "B7", "Log buckets cannot be emptied", "high", each="resource", types=TYPES,
    only_strict="That it holds logs, only its name says.",
    protects="The audit trail, from whoever wants it gone.",
    bad={"bucket": bucket(name="iot-prod-audit-logs")},
    good={"bucket": bucket(name="iot-prod-audit-logs",
                           retentionPolicy={"isLocked": True, "retentionPeriod": 31_536_000})},
    remedy='retention_policy={"is_locked": True, "retention_period": 31536000}',
)  # fmt: skip
def locked(found: Resource, context: Context) -> Findings:
    logs = LOG_NAME.search(str(found.get("name", found.name)))
    if logs and not context.config.disposable and found.get("retentionPolicy.isLocked") is not True:
        yield "holds logs by its name, and has no locked retention policy"


@rule(
    "B8", "Nothing goes with its bucket", "high", each="resource", types=TYPES,
    only_strict="Whether the data may go with the bucket, its team knows.",
    protects="All objects, which forceDestroy deletes with the bucket.",
    bad={"bucket": bucket(forceDestroy=True)},
    good={"bucket": bucket(forceDestroy=False)},
    remedy="force_destroy=False  # or disposable in the config, for an environment that is",
)  # fmt: skip
def kept(found: Resource, context: Context) -> Findings:
    if found.get("forceDestroy") is True and not context.config.disposable:
        yield "forceDestroy is on"


@rule(
    "B9", "Deleted objects can be brought back, old versions go", "low", each="resource",
    types=TYPES, mandatory=False,
    only_strict="What may be lost or may pile up, its team knows.",
    protects="Against a slip that deletes, and against versions that pile up.",
    bad={"bucket": bucket(softDeletePolicy={"retentionDurationSeconds": 0})},
    good={"bucket": bucket()},
    remedy='soft_delete_policy={"retention_duration_seconds": 604800},\n'
    'lifecycle_rules=[{"action": {"type": "Delete"}, "condition": {"num_newer_versions": 5}}]',
)  # fmt: skip
def recoverable(found: Resource, context: Context) -> Findings:
    if found.get("softDeletePolicy.retentionDurationSeconds") == 0:
        yield "soft delete is off"
    if found.get("versioning.enabled") is True and not found.get("lifecycleRules"):
        yield "versions are kept for ever: there are no lifecycleRules"


@rule(
    "B10", "Data stays where it may be", "high", each="resource",
    types=(BUCKET, "gcp:bigquery/dataset:Dataset"),
    protects="Data that must not leave a region.",
    bad={"bucket": bucket(location="ASIA")},
    good={"bucket": bucket()},
    remedy='location="europe-west4"  # one of locations in the config',
)  # fmt: skip
def location(found: Resource, context: Context) -> Findings:
    allowed = [name.lower() for name in context.config.locations]
    place = str(found.get("location", "US")).lower()
    if allowed and place not in allowed:
        yield f"location is {place}; locations are {', '.join(allowed)}"


RULES: Final = (
    uniform, never_public, no_lists, versions, usage_logged, own_key, locked, kept, recoverable,
    location,
)  # fmt: skip
