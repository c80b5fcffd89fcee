"""What of Cloud Storage's requests is acted on, or kept and given back; all else is refused."""

from typing import Final

from simulator.api.honoured import Table

# What a client sends back of Google's own part changes nothing.
OWN: Final = {
    "Bucket": (
        "etag generation hardDeleteTime id kind locationType metageneration owner projectNumber "
        "satisfiesPZI satisfiesPZS selfLink softDeleteTime timeCreated updated"
    ),
    "Bucket.autoclass": "terminalStorageClassUpdateTime toggleTime",
    "Bucket.iamConfiguration.bucketPolicyOnly": "lockedTime",
    "Bucket.iamConfiguration.uniformBucketLevelAccess": "lockedTime",
    "Bucket.softDeletePolicy": "effectiveTime",
    "Object": (
        "componentCount etag generation hardDeleteTime id kind mediaLink metageneration owner "
        "restoreToken retentionExpirationTime selfLink size softDeleteTime timeCreated timeDeleted "
        "timeFinalized timeStorageClassUpdated updated"
    ),
    "ObjectCustomContextPayload": "createTime updateTime",
    "Policy": "kind resourceId",
}
AS_MEASURED: Final = "kmoneil/zig-gcp measured that it is taken and changes nothing"

HONOURED = Table(
    "storage",
    {
        # Parts of which nothing is listed below can be said to be off, and not be switched on.
        "Bucket": (
            "autoclass billing cors customPlacementConfig defaultEventBasedHold encryption "
            "hierarchicalNamespace iamConfiguration labels lifecycle location logging name "
            "retentionPolicy rpo softDeletePolicy storageClass versioning website"
        ),
        "Bucket.cors": "*",
        "Bucket.customPlacementConfig": "*",
        "Bucket.encryption": "defaultKmsKeyName",
        "Bucket.iamConfiguration": (
            "bucketPolicyOnly publicAccessPrevention uniformBucketLevelAccess"
        ),
        "Bucket.iamConfiguration.bucketPolicyOnly": "enabled",
        "Bucket.iamConfiguration.uniformBucketLevelAccess": "enabled",
        "Bucket.lifecycle": "rule",
        "Bucket.lifecycle.rule": "action condition",
        "Bucket.lifecycle.rule.action": "*",
        "Bucket.lifecycle.rule.condition": (
            "age createdBefore customTimeBefore daysSinceCustomTime daysSinceNoncurrentTime isLive "
            "matchesPrefix matchesStorageClass matchesSuffix noncurrentTimeBefore numNewerVersions "
            "sizeAboveBytes sizeBelowBytes"
        ),
        # The logs themselves, which Google writes hourly, are not simulated.
        "Bucket.logging": "*",
        "Bucket.retentionPolicy": "retentionPeriod",
        "Bucket.softDeletePolicy": "retentionDurationSeconds",
        "Bucket.versioning": "*",
        "Bucket.website": "*",
        "Object": (
            "bucket cacheControl contentDisposition contentEncoding contentLanguage contentType "
            "contexts crc32c customTime eventBasedHold kmsKeyName md5Hash metadata name "
            "retention storageClass temporaryHold"
        ),
        "Object.contexts": "custom",
        "ObjectCustomContextPayload": "value",
        "Object.retention": "*",
        "Policy": "bindings etag version",
        "Policy.bindings": "*",
    },
    ignored={
        **{
            f"{schema}.{name}": "Google's own"
            for schema, names in OWN.items()
            for name in names.split()
        },
        "Bucket.objectRetention": AS_MEASURED,
        "Bucket.retentionPolicy.effectiveTime": AS_MEASURED,
        "Bucket.retentionPolicy.isLocked": AS_MEASURED,
        "projection": "it adds access control lists, which uniform access is without",
    },
)
