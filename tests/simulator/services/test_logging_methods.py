"""What audit logs call methods, and how federated callers are named in them."""

from __future__ import annotations

import pytest

from simulator.api.audit import Audit, Handled
from simulator.api.discovery import Discovery
from simulator.core.principal import Principal
from simulator.services.logging.auditlog import entry
from simulator.services.logging.methods import log_type, method_name
from tests.simulator.support.core import LOCATION, PROJECT, new_cloud

DISCOVERY = Discovery()
VERTEX = ("us-central1-aiplatform.googleapis.com", f"/v1/{LOCATION}")


@pytest.mark.parametrize(
    ("host", "verb", "path", "name", "kind"),
    [
        (
            "aiplatform",
            "POST",
            f"/v1beta1/{LOCATION}/endpoints",
            "google.cloud.aiplatform.v1beta1.EndpointService.CreateEndpoint",
            "ADMIN_WRITE",
        ),
        (
            "aiplatform",
            "POST",
            f"/v1/{LOCATION}/models:upload",
            "google.cloud.aiplatform.v1.ModelService.UploadModel",
            "ADMIN_WRITE",
        ),
        (
            "aiplatform",
            "GET",
            f"/v1/{LOCATION}/operations/1",
            "google.longrunning.Operations.GetOperation",
            "ADMIN_READ",
        ),
        (
            "bigquery",
            "POST",
            "/bigquery/v2/projects/p/datasets",
            "google.cloud.bigquery.v2.DatasetService.InsertDataset",
            "ADMIN_WRITE",
        ),
        (
            "cloudresourcemanager",
            "POST",
            "/v1/projects/p:getIamPolicy",
            "GetIamPolicy",
            "ADMIN_READ",
        ),
        (
            "iam",
            "POST",
            "/v1/projects/p/serviceAccounts",
            "google.iam.admin.v1.CreateServiceAccount",
            "ADMIN_WRITE",
        ),
        (
            "logging",
            "PUT",
            "/v2/projects/p/sinks/s",
            "google.logging.v2.ConfigServiceV2.UpdateSink",
            "ADMIN_WRITE",
        ),
        (
            "logging",
            "POST",
            "/v2/entries:list",
            "google.logging.v2.LoggingServiceV2.ListLogEntries",
            "DATA_READ",
        ),
        (
            "monitoring",
            "GET",
            "/v3/projects/p/alertPolicies",
            "google.monitoring.v3.AlertPolicyService.ListAlertPolicies",
            "ADMIN_READ",
        ),
        (
            "serviceusage",
            "POST",
            "/v1/projects/p/services:batchEnable",
            "google.api.serviceusage.v1.ServiceUsage.BatchEnableServices",
            "ADMIN_WRITE",
        ),
        ("storage", "PATCH", "/storage/v1/b/x", "storage.buckets.update", "ADMIN_WRITE"),
        ("storage", "GET", "/storage/v1/b/x/o/y", "storage.objects.get", "DATA_READ"),
        # No line in the table: its id in the discovery document.
        (
            "cloudbilling",
            "GET",
            "/v1/billingAccounts/x",
            "cloudbilling.billingAccounts.get",
            "ADMIN_READ",
        ),
    ],
)
def test_methods_are_named_as_audit_logs_name_them(
    host: str, verb: str, path: str, name: str, kind: str
) -> None:
    method, _ = DISCOVERY.route(f"{host}.googleapis.com", verb, path)
    assert (method_name(method), log_type(method.id)) == (name, kind)


def test_a_federated_caller_has_a_subject_and_no_address() -> None:
    cloud, member = new_cloud(), "principal://iam.googleapis.com/projects/1/subject/x"
    method, _ = DISCOVERY.route(VERTEX[0], "POST", f"{VERTEX[1]}/endpoints")
    who = Principal(member, ("principalSet://iam.googleapis.com/projects/1/*",))
    cloud[Audit].record(0, who, "aiplatform.endpoints.create", LOCATION, None, method.id)
    checks = cloud[Audit].since(0)
    found = entry(
        cloud,
        Handled(0, 0, method, who, LOCATION, f"projects/{PROJECT}", 403, 7, "no", "ua", checks),
    )
    assert found is not None
    assert found["protoPayload"]["authenticationInfo"] == {"principalSubject": member}
    assert found["protoPayload"]["requestMetadata"]["callerSuppliedUserAgent"] == "ua"
