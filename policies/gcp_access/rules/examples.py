"""Words that examples share."""

from __future__ import annotations

from typing import Any, Final

PROJECT: Final = "iot-prod"
PROJECT_MEMBER: Final = "gcp:projects/iAMMember:IAMMember"
PROJECT_BINDING: Final = "gcp:projects/iAMBinding:IAMBinding"
PROJECT_POLICY: Final = "gcp:projects/iAMPolicy:IAMPolicy"
FOLDER_MEMBER: Final = "gcp:folder/iAMMember:IAMMember"
BUCKET_MEMBER: Final = "gcp:storage/bucketIAMMember:BucketIAMMember"
ACCOUNT_MEMBER: Final = "gcp:serviceaccount/iAMMember:IAMMember"
KEY_MEMBER: Final = "gcp:kms/cryptoKeyIAMMember:CryptoKeyIAMMember"
CUSTOM_ROLE: Final = "gcp:projects/iAMCustomRole:IAMCustomRole"
ACCOUNT: Final = "gcp:serviceaccount/account:Account"
DATASET: Final = "gcp:bigquery/dataset:Dataset"
BUCKET: Final = "gcp:storage/bucket:Bucket"
PROVIDER: Final = "gcp:iam/workloadIdentityPoolProvider:WorkloadIdentityPoolProvider"
ROLLOUT: Final = "vertexops:index:ModelRollout"

GROUP: Final = "group:ml-engineers@example.com"
USER: Final = "user:ana@example.com"
TRUSTED: Final = "group:platform@example.com"
AGENT: Final = "serviceAccount:service-100000000001@gcp-sa-aiplatform.iam.gserviceaccount.com"


def email(id: str) -> str:
    return f"{id}@{PROJECT}.iam.gserviceaccount.com"


def account(id: str) -> str:
    return f"serviceAccount:{email(id)}"


def account_name(id: str) -> str:
    return f"projects/{PROJECT}/serviceAccounts/{email(id)}"


Declared = tuple[str, dict[str, Any]]


def on_project(role: str, member: str = account("pm-training"), **more: Any) -> Declared:
    return PROJECT_MEMBER, {"project": PROJECT, "role": role, "member": member, **more}


def on_bucket(role: str, member: str = account("pm-training"), **more: Any) -> Declared:
    return BUCKET_MEMBER, {"bucket": "b", "role": role, "member": member, **more}


def on_account(id: str, role: str, member: str, **more: Any) -> Declared:
    properties = {"serviceAccountId": account_name(id), "role": role, "member": member}
    return ACCOUNT_MEMBER, {**properties, **more}


def custom_role(id: str, *permissions: str, **more: Any) -> Declared:
    properties = {"project": PROJECT, "roleId": id, "title": id, "permissions": list(permissions)}
    return CUSTOM_ROLE, {**properties, **more}


def service_account(id: str) -> Declared:
    return ACCOUNT, {"project": PROJECT, "accountId": id}


def bucket(**more: Any) -> Declared:
    safe = {
        "location": "EUROPE-WEST4",
        "uniformBucketLevelAccess": True,
        "publicAccessPrevention": "enforced",
        "versioning": {"enabled": True},
        "softDeletePolicy": {"retentionDurationSeconds": 604_800},
        "lifecycleRules": [
            {"action": {"type": "Delete"}, "condition": {"numNewerVersions": 5}},
        ],
        "encryption": {"defaultKmsKeyName": "projects/p/locations/l/keyRings/r/cryptoKeys/k"},
    }
    given = {**safe, **more}
    return BUCKET, {key: value for key, value in given.items() if value is not None}
