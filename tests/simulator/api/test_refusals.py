"""Denied in the words that somebody had from Google: each text as it stands where it is quoted."""

from __future__ import annotations

import re
from typing import Any

import pytest
import requests

from simulator.api.calls import Methods
from simulator.api.errors import permission_denied, permission_service
from simulator.api.refusals import LINES, UNRECORDED
from simulator.core.principal import Principal
from simulator.google import GoogleCloud
from tests.simulator.support.core import (
    CRM,
    IAM,
    NUMBER,
    PROJECT,
    USAGE,
    WORKER,
    WORKER_NAME,
)

P = "projects/iot-staging"
ANN = Principal("user:ann@example.com")


@pytest.mark.parametrize(
    ("permission", "resource", "text", "reason"),
    [
        # googleapis/google-cloud-java#7631
        (
            "bigquery.datasets.create",
            P,
            "Access Denied: Project iot-staging: User does not have bigquery.datasets.create "
            "permission in project iot-staging.",
            "accessDenied",
        ),
        # hashicorp/terraform-provider-google#9577
        (
            "bigquery.datasets.get",
            f"{P}/datasets/request_logs",
            "Access Denied: Dataset iot-staging:request_logs: Permission bigquery.datasets.get "
            "denied on dataset iot-staging:request_logs (or it may not exist).",
            "accessDenied",
        ),
        # objectiv/objectiv-analytics#949
        (
            "bigquery.tables.delete",
            "projects/objectiv-production/datasets/snowplow/tables/sample_data",
            "Access Denied: Table objectiv-production:snowplow.sample_data: Permission "
            "bigquery.tables.delete denied on table objectiv-production:snowplow.sample_data "
            "(or it may not exist).",
            "accessDenied",
        ),
        # hashicorp/terraform-provider-google#12701
        (
            "cloudkms.cryptoKeyVersions.viewPublicKey",
            "projects/nft/locations/us-east1/keyRings/nft/cryptoKeys/nft0/cryptoKeyVersions/1",
            "Permission 'cloudkms.cryptoKeyVersions.viewPublicKey' denied on resource 'projects/nft"
            "/locations/us-east1/keyRings/nft/cryptoKeys/nft0/cryptoKeyVersions/1' (or it may not "
            "exist).",
            "forbidden",
        ),
        # cloudyr/googleComputeEngineR#94
        (
            "compute.projects.get",
            "projects/massive-boulder-195108",
            "Required 'compute.projects.get' permission for 'projects/massive-boulder-195108'",
            "forbidden",
        ),
        # hashicorp/terraform-provider-google#11680
        (
            "iam.roles.create",
            "organizations/XXXXXXXX",
            "You don't have permission to create a role in organizations/XXXXXXXX.",
            "forbidden",
        ),
        # terraform-google-modules/terraform-google-project-factory#900
        (
            "iam.serviceAccounts.get",
            WORKER_NAME,
            "Permission 'iam.serviceAccounts.get' denied on resource (or it may not exist).",
            "forbidden",
        ),
        # GoogleCloudPlatform/cloud-foundation-fabric#3081
        (
            "logging.settings.update",
            "organizations/1",
            "Permission 'logging.settings.update' denied on resource (or it may not exist).",
            "forbidden",
        ),
        # dynatrace-oss/dynatrace-gcp-monitor#25
        (
            "monitoring.timeSeries.create",
            P,
            "Permission monitoring.timeSeries.create denied (or the resource may not exist).",
            "forbidden",
        ),
        # hashicorp/terraform-provider-google#3967
        ("pubsub.topics.create", P, "User not authorized to perform this action.", "forbidden"),
        # hashicorp/terraform-provider-google#10103
        ("resourcemanager.projects.setIamPolicy", P, "Policy update access denied.", "forbidden"),
        # GoogleCloudPlatform/terraform-gcp-datadog-integration#2
        (
            "secretmanager.versions.access",
            "projects/x/secrets/datadog-api/versions/1",
            "Permission 'secretmanager.versions.access' denied for resource "
            "'projects/x/secrets/datadog-api/versions/1' (or it may not exist).",
            "forbidden",
        ),
        # su-kaka/gcli2api#283
        (
            "serviceusage.services.enable",
            f"{P}/services/geminicloudassist.googleapis.com",
            "Permission denied to enable service [geminicloudassist.googleapis.com]",
            "forbidden",
        ),
        # gcp-facts/02_errors.md
        (
            "storage.objects.get",
            "projects/_/buckets/b/objects/o",
            "ann@example.com does not have storage.objects.get access to the Google Cloud Storage "
            "object. Permission 'storage.objects.get' denied on resource (or it may not exist).",
            "forbidden",
        ),
        (
            "storage.objects.list",
            "projects/_/buckets/b",
            "ann@example.com does not have storage.objects.list access to the Google Cloud Storage "
            "bucket. Permission 'storage.objects.list' denied on resource (or it may not exist).",
            "forbidden",
        ),
        (
            "storage.buckets.create",
            P,
            "ann@example.com does not have storage.buckets.create access to the Google Cloud "
            "project. Permission 'storage.buckets.create' denied on resource (or it may not "
            "exist).",
            "forbidden",
        ),
        # In IAM's general words: JSON A of gcp-facts/02_errors.md.
        (
            "aiplatform.endpoints.predict",
            f"{P}/locations/us-central1/endpoints/openapi",
            "Permission 'aiplatform.endpoints.predict' denied on resource "
            "'//aiplatform.googleapis.com/projects/iot-staging/locations/us-central1/endpoints/"
            "openapi' (or it may not exist).",
            "forbidden",
        ),
        (
            "resourcemanager.projects.get",
            "projects/ray-whisper",
            "Permission 'resourcemanager.projects.get' denied on resource "
            "'//cloudresourcemanager.googleapis.com/projects/ray-whisper' (or it may not exist).",
            "forbidden",
        ),
    ],
)
def test_each_service_denies_in_its_own_words(
    permission: str, resource: str, text: str, reason: str
) -> None:
    denial = permission_denied(ANN, permission, resource)
    assert (denial.status, denial.message, denial.legacy) == (403, text, reason)


@pytest.mark.parametrize(
    ("permission", "resource", "details"),
    [
        # google-github-actions/auth#340
        (
            "iam.serviceAccounts.getAccessToken",
            WORKER_NAME,
            ("iam.googleapis.com", {"permission": "iam.serviceAccounts.getAccessToken"}),
        ),
        # GoogleCloudPlatform/cloud-foundation-fabric#3081
        (
            "logging.settings.update",
            "organizations/1",
            ("iam.googleapis.com", {"permission": "logging.settings.update"}),
        ),
        # gcp-facts/02_errors.md, JSON A
        (
            "aiplatform.endpoints.predict",
            f"{P}/locations/l/endpoints/e",
            (
                "aiplatform.googleapis.com",
                {
                    "resource": f"{P}/locations/l/endpoints/e",
                    "permission": "aiplatform.endpoints.predict",
                },
            ),
        ),
        # dynatrace-oss/dynatrace-gcp-monitor#25: the whole body, without any.
        ("monitoring.timeSeries.create", P, None),
        ("bigquery.datasets.create", P, None),
    ],
)
def test_details_name_what_the_recorded_ones_name(
    permission: str, resource: str, details: tuple[str, dict[str, str]] | None
) -> None:
    denial = permission_denied(ANN, permission, resource)
    kind = {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": "IAM_PERMISSION_DENIED",
    }
    expected = [kind | {"domain": details[0], "metadata": details[1]}] if details else []
    assert denial.details == expected


def test_acting_as_an_account_is_denied_with_a_400() -> None:
    # googleapis/python-aiplatform#1073
    error = permission_denied(ANN, "iam.serviceAccounts.actAs", WORKER_NAME).render("aiplatform")
    assert error["error"] == {
        "code": 400,
        "message": f"You do not have permission to act as service_account: {WORKER}. "
        "(or it may not exist).",
        "status": "INVALID_ARGUMENT",
    }


def test_storage_has_the_older_list_only() -> None:
    denial = permission_denied(ANN, "storage.buckets.get", "projects/_/buckets/b")
    reason = {"message": denial.message, "domain": "global", "reason": "forbidden"}
    assert denial.render("storage") == {
        "error": {"code": 403, "message": denial.message, "errors": [reason]}
    }


def test_a_denied_token_is_what_google_auth_prints(
    worker: requests.Session, cloud: GoogleCloud
) -> None:
    """google-github-actions/auth#340, letter for letter."""
    url = "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts"
    admin = WORKER.replace("worker", "admin")
    body = {"scope": ["https://www.googleapis.com/auth/cloud-platform"]}
    answer = worker.post(f"{url}/{admin}:generateAccessToken", json=body)
    assert answer.json() == {
        "error": {
            "code": 403,
            "message": "Permission 'iam.serviceAccounts.getAccessToken' denied on resource (or it "
            "may not exist).",
            "status": "PERMISSION_DENIED",
            "details": [
                {
                    "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                    "reason": "IAM_PERMISSION_DENIED",
                    "domain": "iam.googleapis.com",
                    "metadata": {"permission": "iam.serviceAccounts.getAccessToken"},
                }
            ],
        }
    }


@pytest.mark.parametrize(
    ("verb", "url", "body", "text"),
    [
        (
            "POST",
            f"{IAM}/projects/{PROJECT}/roles",
            {"roleId": "r12", "role": {}},
            f"You don't have permission to create a role in projects/{PROJECT}.",
        ),
        (
            "POST",
            f"{CRM}/v1/projects/{PROJECT}:setIamPolicy",
            {"policy": {}},
            "Policy update access denied.",
        ),
        # aquasecurity/cloudsploit#1606
        (
            "GET",
            f"{USAGE}/v1/projects/{PROJECT}/services",
            None,
            f"Permission denied to list services for consumer container [projects/{NUMBER}]",
        ),
    ],
)
def test_callers_meet_these_words(
    worker: requests.Session, verb: str, url: str, body: Any, text: str
) -> None:
    error = worker.request(verb, url, json=body).json()["error"]
    assert (error["code"], error["message"], error["status"]) == (403, text, "PERMISSION_DENIED")
    assert error["errors"] == [{"message": text, "domain": "global", "reason": "forbidden"}]


def test_every_line_says_where_it_was_recorded() -> None:
    for line in LINES:
        assert "#" in line.source or line.source.startswith("gcp-facts/"), line.sentence


def test_what_is_not_recorded_is_listed_and_nothing_else_is(cloud: GoogleCloud) -> None:
    asked = {
        permission.replace(f"{permission_service(permission)}/", "iam.", 1)
        for handler in cloud[Methods].handlers.values()
        for permission in handler.permissions
    }
    unfitted = [
        name for name in asked if not any(re.fullmatch(it.permission, name) for it in LINES)
    ]
    assert {name.rpartition(".")[0] for name in unfitted} == set(UNRECORDED)
