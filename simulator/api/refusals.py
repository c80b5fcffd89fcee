"""What Google says when a permission is denied: a line for each service, or kind of resource.

Only what somebody recorded, with the place where. Of a service's permissions few are recorded; that
the others are denied alike is an assumption, as is that there are no details where a recording
shows none. For what UNRECORDED lists nobody recorded a sentence: the general one stands in.

Not told apart: Resource Manager v1 answers projects.get in the words "The caller does not have
permission", without details (http-logs/serviceusage-service.log); here it speaks as v3 does.
"""

from __future__ import annotations

import re
from typing import Final, Literal, NamedTuple

Details = Literal["resource", "permission", "serviceusage", ""]
"""What an ErrorInfo says: the permission and on what; the permission, from `iam.googleapis.com`;
that Service Usage denies; or there is none."""


class Line(NamedTuple):
    """`permission` and `resource` are patterns for the whole; their groups are in the sentence.

    The sentence may also have the `permission`, its `service`, the `resource` (`numbered`: with its
    project's number) and the caller's `email`. `reason` is that of the older list of errors.
    """

    permission: str
    resource: str
    sentence: str
    source: str
    details: Details = ""
    reason: str = "forbidden"
    status: int = 403


ANY: Final = r".+"
PROJECT: Final = r"projects/(?P<project>[^/]+)"
DATASET: Final = PROJECT + r"/datasets/(?P<dataset>[^/]+)"
STORAGE: Final = (
    "{email} does not have {permission} access to the Google Cloud %s. "
    "Permission '{permission}' denied on resource (or it may not exist)."
)

IN_GENERAL: Final = (
    "Permission '{permission}' denied on resource '//{service}/{resource}' (or it may not exist)."
)

LINES: Final = (
    Line(r"aiplatform\..+", ANY, IN_GENERAL, "gcp-facts/02_errors.md, JSON A", "resource"),
    Line(
        r"bigquery\..+",
        PROJECT,
        "Access Denied: Project {project}: User does not have {permission} permission in project "
        "{project}.",
        "googleapis/google-cloud-java#7631, kubernetes/k8s.io#2729",
        reason="accessDenied",
    ),
    Line(
        r"bigquery\..+",
        DATASET,
        "Access Denied: Dataset {project}:{dataset}: Permission {permission} denied on dataset "
        "{project}:{dataset} (or it may not exist).",
        "hashicorp/terraform-provider-google#9577",
        reason="accessDenied",
    ),
    Line(
        r"bigquery\..+",
        DATASET + r"/tables/(?P<table>[^/]+)",
        "Access Denied: Table {project}:{dataset}.{table}: Permission {permission} denied on table "
        "{project}:{dataset}.{table} (or it may not exist).",
        "objectiv/objectiv-analytics#949",
        reason="accessDenied",
    ),
    Line(
        r"cloudkms\..+",
        ANY,
        "Permission '{permission}' denied on resource '{resource}' (or it may not exist).",
        "hashicorp/terraform-provider-google#12701",
    ),
    Line(
        r"compute\..+",
        ANY,
        "Required '{permission}' permission for '{resource}'",
        "cloudyr/googleComputeEngineR#94, LeanerCloud/CUDly#247",
    ),
    Line(
        r"iam\.denypolicies\.(?P<verb>\w+)",
        ANY,
        "Permission iam.googleapis.com/denypolicies.{verb} denied on resource "
        "cloudresourcemanager.googleapis.com/{resource}",
        "GoogleCloudPlatform/nodejs-docs-samples#3144",
    ),
    Line(
        r"iam\.roles\.create",
        ANY,
        "You don't have permission to create a role in {resource}.",
        "hashicorp/terraform-provider-google#11680",
    ),
    Line(
        r"iam\.serviceAccounts\.actAs",
        r".+/(?P<account>[^/]+)",
        "You do not have permission to act as service_account: {account}. (or it may not exist).",
        "googleapis/python-aiplatform#1073",
        status=400,
    ),
    # Of creating an account, hashicorp/vault-plugin-secrets-gcp#12 has older words: "Permission
    # iam.serviceAccounts.create is required to perform this operation on project projects/P."
    Line(
        r"iam\.serviceAccount(?:s|Keys)\..+",
        ANY,
        "Permission '{permission}' denied on resource (or it may not exist).",
        "google-github-actions/auth#340, everycure-org/matrix#75, terraform-google-modules/"
        "terraform-google-project-factory#900; of creating an account GoogleCloudPlatform/"
        "pubsec-declarative-toolkit, solutions/setup.sh",
        "permission",
    ),
    Line(
        r"logging\..+",
        ANY,
        "Permission '{permission}' denied on resource (or it may not exist).",
        "GoogleCloudPlatform/cloud-foundation-fabric#3081",
        "permission",
    ),
    Line(
        r"monitoring\..+",
        ANY,
        "Permission {permission} denied (or the resource may not exist).",
        "dynatrace-oss/dynatrace-gcp-monitor#25",
    ),
    Line(
        r"orgpolicy\..+",
        ANY,
        "Permission '{permission}' denied on resource "
        "'//cloudresourcemanager.googleapis.com/{resource}' (or it may not exist).",
        "terraform-google-modules/terraform-google-org-policy#101",
        "resource",
    ),
    # Whether its details name the permission is not known; here they do.
    Line(
        r"pubsub\..+",
        ANY,
        "User not authorized to perform this action.",
        "hashicorp/terraform-provider-google#3967",
        "resource",
    ),
    Line(
        r"resourcemanager\.projects\.get",
        ANY,
        IN_GENERAL,
        "CrowdStrike/falcon-integration-gateway#98; its details in notebooks",
        "resource",
    ),
    Line(
        r"resourcemanager\.projects\.setIamPolicy",
        ANY,
        "Policy update access denied.",
        "hashicorp/terraform-provider-google#10103, GoogleCloudPlatform/avocano#551",
    ),
    Line(
        r"secretmanager\..+",
        ANY,
        "Permission '{permission}' denied for resource '{resource}' (or it may not exist).",
        "GoogleCloudPlatform/terraform-gcp-datadog-integration#2",
    ),
    Line(
        r"serviceusage\.services\.list",
        ANY,
        "Permission denied to list services for consumer container [{numbered}]",
        "aquasecurity/cloudsploit#1606",
        "serviceusage",
    ),
    # Google adds a line with a token for its support.
    Line(
        r"serviceusage\.services\.enable",
        r".+/services/(?P<api>[^/]+)",
        "Permission denied to enable service [{api}]",
        "su-kaka/gcli2api#283",
        "serviceusage",
    ),
    Line(r"storage\.buckets\.(?:create|list)", ANY, STORAGE % "project", "gcp-facts/02_errors.md"),
    Line(r"storage\.objects\.list", ANY, STORAGE % "Storage bucket", "gcp-facts/02_errors.md"),
    Line(
        r"storage\.(?P<kind>\w+)s\.\w+", ANY, STORAGE % "Storage {kind}", "gcp-facts/02_errors.md"
    ),
)

UNRECORDED: Final = (
    "artifactregistry.repositories",
    "iam.roles",
    "iam.workforcePoolProviders",
    "iam.workforcePools",
    "iam.workloadIdentityPoolProviders",
    "iam.workloadIdentityPools",
    "resourcemanager.folders",
    "resourcemanager.organizations",
    "resourcemanager.projects",
    "serviceusage.operations",
    "serviceusage.quotas",
    "serviceusage.services",
)
"""Kinds with permissions that no line fits. That these are denied in the general words, with
details, is an assumption."""

GENERAL: Final = Line(ANY, ANY, IN_GENERAL, "", "resource")


def line(permission: str, resource: str) -> tuple[Line, dict[str, str]]:
    """The first line that fits, and what its groups stand for."""
    for each in LINES:
        what = re.fullmatch(each.permission, permission)
        where = re.fullmatch(each.resource, resource)
        if what and where:
            return each, what.groupdict() | where.groupdict()
    return GENERAL, {}
