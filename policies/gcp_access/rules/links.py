"""The documentation of what each rule is about."""

from __future__ import annotations

from typing import Final

_IAM: Final = "https://cloud.google.com/iam/docs/"
_STORAGE: Final = "https://cloud.google.com/storage/docs/"
_VERTEX: Final = "https://cloud.google.com/vertex-ai/docs/"
_LOGGING: Final = "https://cloud.google.com/logging/docs/"
_PULUMI: Final = "https://www.pulumi.com/"

_ROLES: Final = _IAM + "choose-predefined-roles"
_LEAST: Final = _IAM + "using-iam-securely"
_CUSTOM: Final = _IAM + "creating-custom-roles"
_ACCOUNTS: Final = _IAM + "best-practices-service-accounts"
_FEDERATION: Final = _IAM + "best-practices-for-using-workload-identity-federation"
_PRINCIPALS: Final = _IAM + "principal-identifiers"
_CONDITIONS: Final = _IAM + "conditions-overview"
_PROVIDER: Final = _PULUMI + "registry/packages/gcp/api-docs/"

DOCS: Final = {
    "G1": _PRINCIPALS,
    "G2": _IAM + "roles-overview#basic",
    "G3": _LEAST,
    "G4": _ROLES,
    "G5": _LEAST,
    "G6": _IAM + "granting-changing-revoking-access",
    "G7": _IAM + "service-agents",
    "G8": _ROLES,
    "G9": _IAM + "service-account-types#default",
    "G10": _IAM + "groups-best-practices",
    "G11": "https://cloud.google.com/resource-manager/docs/organization-policy/restricting-domains",
    "G12": _IAM + "resource-hierarchy-access-control",
    "G13": _PROVIDER + "projects/iampolicy/",
    "G14": _IAM + "understanding-roles",
    "G15": _LEAST,
    "G16": _IAM + "configuring-temporary-access",
    "G17": "https://cloud.google.com/bigquery/docs/control-access-to-resources-iam",
    "G18": _STORAGE + "access-control/iam-roles",
    "G19": _CONDITIONS,
    "G20": _PROVIDER + "projects/iambinding/",
    "G21": _IAM + "resource-hierarchy-access-control",
    "G22": _LEAST,
    "G23": _IAM + "service-account-impersonation",
    "G24": _IAM + "understanding-roles",
    "R1": _CUSTOM,
    "R2": _IAM + "custom-roles-permissions-support",
    "R3": _IAM + "service-account-permissions",
    "R4": _CUSTOM,
    "R5": _IAM + "roles-overview#custom-role-lifecycle",
    "R6": _CUSTOM,
    "R7": _CUSTOM,
    "S1": _IAM + "best-practices-for-managing-service-account-keys",
    "S2": _IAM + "service-account-permissions",
    "S3": _IAM + "service-account-impersonation",
    "S4": _IAM + "attach-service-accounts",
    "S5": _IAM + "service-account-types#default",
    "S6": _IAM + "service-account-insights",
    "S7": _ACCOUNTS,
    "S8": _ACCOUNTS,
    "S9": _ACCOUNTS,
    "W1": _FEDERATION,
    "W2": _FEDERATION,
    "W3": _IAM + "workload-identity-federation",
    "W4": _PRINCIPALS,
    "W5": _IAM + "workload-identity-federation#mapping",
    "B1": _STORAGE + "uniform-bucket-level-access",
    "B2": _STORAGE + "public-access-prevention",
    "B3": _STORAGE + "access-control/lists",
    "B4": _STORAGE + "object-versioning",
    "B5": _STORAGE + "access-logs",
    "B6": _STORAGE + "encryption/customer-managed-keys",
    "B7": _STORAGE + "bucket-lock",
    "B8": _PROVIDER + "storage/bucket/",
    "B9": _STORAGE + "soft-delete",
    "B10": _STORAGE + "locations",
    "V1": _VERTEX + "general/cmek",
    "V2": _VERTEX + "predictions/choose-endpoint-type",
    "V3": _VERTEX + "predictions/online-prediction-logging",
    "V5": _VERTEX + "general/locations",
    "V6": "https://cloud.google.com/vertex-ai/docs/workbench/instances/introduction",
    "V7": _VERTEX + "predictions/deploy-model-api",
    "V8": _VERTEX + "general/custom-service-account",
    "V9": _VERTEX + "general/custom-service-account",
    "L1": _LOGGING + "audit/configure-data-access",
    "L2": _LOGGING + "export/configure_export_v2",
    "L3": _LOGGING + "routing/overview#exclusions",
    "L4": _LOGGING + "logs-based-metrics",
    "A1": "https://cloud.google.com/service-usage/docs/overview",
    "A2": _PROVIDER + "projects/service/",
    "X1": _PROVIDER + "projects/iammemberremove/",
    "X2": _PROVIDER + "provider/",
    "X3": _PULUMI + "docs/insights/policy/",
    "X4": _PULUMI + "docs/insights/policy/",
    "X5": _IAM + "granting-changing-revoking-access",
}
