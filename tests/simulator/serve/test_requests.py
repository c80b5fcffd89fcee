"""Requests through the real proxy: routing, callers, errors in Google's shapes, and the audit."""

from __future__ import annotations

import pytest
import requests

from simulator.api.audit import Audit, Via
from simulator.core.principal import Principal
from simulator.google import GoogleCloud
from simulator.iam.decisions import Iam
from simulator.serve.proxy import Running
from simulator.services.resourcemanager import Projects
from simulator.services.serviceusage import Services
from tests.simulator.support.core import (
    ADMIN,
    CRM,
    IAM,
    LOCATION,
    NUMBER,
    PROJECT,
    USAGE,
    VERTEX,
    WORKER,
    WORKER_NAME,
    session,
)


def test_an_api_answers_once_it_is_enabled_and_that_has_propagated(
    cloud: GoogleCloud, admin: requests.Session
) -> None:
    endpoints = f"{VERTEX}/{LOCATION}/endpoints"
    info = admin.get(endpoints).json()["error"]["details"][0]
    assert (info["reason"], info["metadata"]["service"]) == (
        "SERVICE_DISABLED",
        "aiplatform.googleapis.com",
    )
    service = f"{USAGE}/v1/projects/{PROJECT}/services/aiplatform.googleapis.com"
    operation = admin.post(f"{service}:enable", json={}).json()
    assert not operation.get("done")
    cloud.clock.step(5)
    done = admin.get(f"{USAGE}/v1/{operation['name']}").json()
    assert done["response"]["service"]["state"] == "ENABLED"
    assert admin.get(service).json()["state"] == "ENABLED"
    assert admin.get(endpoints).status_code == 403
    cloud.clock.step(120)
    assert admin.get(endpoints).status_code == 200


def test_an_api_withheld_from_the_run_is_enabled_but_never_serves(
    cloud: GoogleCloud, admin: requests.Session
) -> None:
    cloud[Services].withheld = {"aiplatform.googleapis.com"}
    cloud[Services].seed(PROJECT, ["aiplatform.googleapis.com"])
    service = f"{USAGE}/v1/projects/{PROJECT}/services/aiplatform.googleapis.com"
    assert admin.get(service).json()["state"] == "ENABLED"
    assert admin.get(f"{VERTEX}/{LOCATION}/endpoints").status_code == 403


def test_an_unknown_project_is_an_invalid_consumer(admin: requests.Session) -> None:
    error = admin.get(f"{VERTEX}/projects/nope/locations/us-central1/endpoints").json()["error"]
    assert error["message"] == "Permission denied on resource project nope."
    assert error["details"][0]["reason"] == "CONSUMER_INVALID"
    assert error["details"][0]["metadata"]["consumer"] == "projects/nope"


def test_calls_about_other_projects_count_on_the_callers_own(
    cloud: GoogleCloud, admin: requests.Session
) -> None:
    cloud[Iam].grant("projects/other", "roles/viewer", f"serviceAccount:{ADMIN}")
    assert admin.get(f"{CRM}/v1/projects/other").status_code == 200
    cloud[Services].withheld = {"cloudresourcemanager.googleapis.com"}
    error = admin.get(f"{CRM}/v1/projects/other").json()["error"]
    assert error["details"][0]["metadata"]["consumer"] == f"projects/{NUMBER}"


def test_naming_a_quota_project_takes_permission_to_use_it(
    cloud: GoogleCloud, admin: requests.Session
) -> None:
    named = {"x-goog-user-project": "other"}
    error = admin.get(f"{CRM}/v1/projects/{PROJECT}", headers=named).json()["error"]
    assert error["details"][0]["reason"] == "USER_PROJECT_DENIED"
    cloud[Services].seed("other", ["cloudresourcemanager.googleapis.com"])
    role = "roles/serviceusage.serviceUsageConsumer"
    cloud[Iam].grant("projects/other", role, f"serviceAccount:{ADMIN}")
    assert admin.get(f"{CRM}/v1/projects/{PROJECT}", headers=named).status_code == 200


@pytest.mark.parametrize("header", [None, "Bearer nonsense", "Basic YTpi"])
def test_without_a_live_token_the_answer_is_401(running: Running, header: str | None) -> None:
    client = session(running)
    answer = client.get(f"{IAM}/{WORKER_NAME}", headers={"Authorization": header} if header else {})
    assert answer.status_code == 401
    assert answer.json()["error"]["status"] == "UNAUTHENTICATED"


def test_a_token_expires(cloud: GoogleCloud, admin: requests.Session) -> None:
    cloud.clock.step(3599)
    assert admin.get(f"{CRM}/v1/projects/{PROJECT}").status_code == 200
    cloud.clock.step(1)
    assert admin.get(f"{CRM}/v1/projects/{PROJECT}").status_code == 401


def test_a_disabled_accounts_token_is_no_good(
    admin: requests.Session, worker: requests.Session
) -> None:
    userinfo = "https://openidconnect.googleapis.com/v1/userinfo"
    assert worker.get(userinfo).json()["email"] == WORKER
    admin.post(f"{IAM}/{WORKER_NAME}:disable", json={})
    assert worker.get(userinfo).status_code == 401
    admin.post(f"{IAM}/{WORKER_NAME}:enable", json={})
    assert worker.get(userinfo).status_code == 200
    admin.delete(f"{IAM}/{WORKER_NAME}")
    assert worker.get(userinfo).status_code == 401


def test_what_is_not_simulated_says_so_by_name(cloud: GoogleCloud, admin: requests.Session) -> None:
    answer = admin.get(f"https://pubsub.googleapis.com/v1/projects/{PROJECT}/snapshots")
    assert answer.status_code == 501
    assert answer.json()["error"]["message"] == "pubsub.projects.snapshots.list is not simulated."


def test_a_path_no_document_has_is_404(admin: requests.Session) -> None:
    answer = admin.get(f"{IAM}/projects/{PROJECT}/nonsense")
    assert (answer.status_code, answer.json()["error"]["status"]) == (404, "NOT_FOUND")


def test_an_unknown_body_field_is_named_with_its_place(admin: requests.Session) -> None:
    body = {"accountId": "another", "serviceAccount": {"displayNme": "x", "displayName": 5}}
    error = admin.post(f"{IAM}/projects/{PROJECT}/serviceAccounts", json=body).json()["error"]
    found = {
        (item["field"], item["description"]) for item in error["details"][0]["fieldViolations"]
    }
    assert found == {
        (
            "service_account",
            'Invalid JSON payload received. Unknown name "displayNme" at '
            "'service_account': Cannot find field.",
        ),
        ("service_account.display_name", "Invalid value at 'service_account.display_name', 5"),
    }


def test_snake_case_and_null_fields_are_understood(admin: requests.Session) -> None:
    body = {"account_id": "another", "service_account": {"display_name": "A", "description": None}}
    made = admin.post(f"{IAM}/projects/{PROJECT}/serviceAccounts", json=body).json()
    assert made["displayName"] == "A"
    assert "description" not in made


@pytest.mark.parametrize("body", ["{", "[1]", '"text"'])
def test_a_body_that_is_no_json_object_is_400(admin: requests.Session, body: str) -> None:
    headers = {"content-type": "application/json"}
    answer = admin.post(f"{IAM}/projects/{PROJECT}/roles", data=body, headers=headers)
    assert (answer.status_code, answer.json()["error"]["status"]) == (400, "INVALID_ARGUMENT")


def test_a_caller_without_permission_learns_nothing_about_the_body(
    worker: requests.Session,
) -> None:
    answer = worker.post(f"{IAM}/projects/{PROJECT}/roles", json={"nonsense": 1})
    assert answer.status_code == 403


def test_an_unknown_query_parameter_is_400(admin: requests.Session) -> None:
    url = f"{CRM}/v1/projects/{PROJECT}"
    assert admin.get(url, params={"alt": "json", "prettyPrint": "false"}).status_code == 200
    error = admin.get(url, params={"nonsense": "1"}).json()["error"]
    assert 'Unknown name "nonsense": Cannot bind query parameter.' in error["message"]


def test_fields_select_parts_of_the_answer(admin: requests.Session) -> None:
    url = f"{USAGE}/v1/projects/{PROJECT}/services"
    query = {"filter": "state:ENABLED", "fields": "services(name,config/title),nextPageToken"}
    [first, *_] = admin.get(url, params=query).json()["services"]
    assert first.keys() == {"name", "config"}
    assert first["config"].keys() == {"title"}
    bad = admin.get(url, params={"fields": "services(name"})
    assert bad.status_code == 400


def test_a_project_number_is_as_good_as_its_id(admin: requests.Session) -> None:
    by_number = admin.get(f"{IAM}/projects/{NUMBER}/serviceAccounts").json()
    assert by_number == admin.get(f"{IAM}/projects/{PROJECT}/serviceAccounts").json()
    assert admin.get(f"{CRM}/v1/projects/{NUMBER}").json()["projectId"] == PROJECT


def test_an_account_can_be_named_without_its_project(admin: requests.Session) -> None:
    assert admin.get(f"{IAM}/projects/-/serviceAccounts/{WORKER}").json()["name"] == WORKER_NAME
    encoded = WORKER.replace("@", "%40")
    found = admin.get(f"{IAM}/projects/{PROJECT}/serviceAccounts/{encoded}").json()
    by_unique_id = admin.get(f"{IAM}/projects/-/serviceAccounts/{found['uniqueId']}").json()
    assert by_unique_id["name"] == WORKER_NAME


def test_every_check_is_audited_with_its_binding_and_outcome(
    cloud: GoogleCloud, admin: requests.Session, worker: requests.Session
) -> None:
    admin.get(f"{CRM}/v1/projects/{PROJECT}")
    worker.get(f"{CRM}/v1/projects/{PROJECT}")
    granted, denied = (entry.json() for entry in cloud[Audit].since(0))
    assert granted == {
        "time": cloud.clock.now(),
        "principal": f"serviceAccount:{ADMIN}",
        "permission": "resourcemanager.projects.get",
        "resource": f"projects/{PROJECT}",
        "granted": True,
        "via": {
            "resource": f"projects/{PROJECT}",
            "role": "roles/owner",
            "member": f"serviceAccount:{ADMIN}",
        },
        "service": "cloudresourcemanager.googleapis.com",
        "method": "cloudresourcemanager.projects.get",
        "status": 200,
    }
    assert (denied["granted"], denied["via"], denied["status"]) == (False, None, 403)
    used = {"resourcemanager.projects.get": {"roles/owner": [f"projects/{PROJECT}"]}}
    assert cloud[Audit].usage() == {f"serviceAccount:{ADMIN}": used}


def test_the_audit_keeps_the_newest_entries_and_their_numbers() -> None:
    audit, who = Audit(limit=2), Principal("user:ann@example.com")
    for number in range(4):
        audit.record(0, who, "p", f"r{number}", Via("r", "roles/x", who.member), "")
    assert [entry.resource for entry in audit.since(0)] == ["r2", "r3"]
    assert [entry.resource for entry in audit.since(3)] == ["r3"]
    assert audit.usage() == {who.member: {"p": {"roles/x": ["r0", "r1", "r2", "r3"]}}}


@pytest.mark.parametrize(
    "host", ["example.com", "storage.mtls.googleapis.com", "unknown.googleapis.com", "127.0.0.1"]
)
def test_every_other_host_is_refused_and_counted(
    cloud: GoogleCloud, running: Running, host: str
) -> None:
    with pytest.raises(requests.exceptions.ProxyError, match="403"):
        session(running).get(f"https://{host}/")
    assert cloud.refused_hosts[host] == 1


def test_another_port_of_a_simulated_host_is_refused(running: Running) -> None:
    with pytest.raises(requests.exceptions.ProxyError, match="403"):
        session(running).get("https://iam.googleapis.com:8443/")


def test_plain_http_never_leaves(running: Running) -> None:
    answer = session(running).get("http://metadata.google.internal/")
    assert answer.status_code == 405
    assert "proxy" in answer.text


def test_the_directory_is_private_and_holds_no_key(
    admin: requests.Session, running: Running
) -> None:
    admin.get(f"{CRM}/v1/projects/{PROJECT}")
    directory = running.ca_bundle.parent
    assert directory.stat().st_mode & 0o777 == 0o700
    assert [path.name for path in directory.iterdir()] == ["ca.pem"]
    assert running.ca_bundle.read_text().count("BEGIN CERTIFICATE") == 1
    assert "PRIVATE KEY" not in running.ca_bundle.read_text()


def test_a_client_that_does_not_trust_the_sandbox_is_not_served(
    cloud: GoogleCloud, running: Running
) -> None:
    client = session(running)
    client.verify = True
    with pytest.raises(requests.exceptions.SSLError):
        client.get(f"{IAM}/{WORKER_NAME}")
    assert not cloud.requests


def test_a_fault_of_the_simulator_is_a_500(
    cloud: GoogleCloud, admin: requests.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cloud[Projects], "get", None)
    assert admin.get(f"{CRM}/v1/projects/{PROJECT}").status_code == 500
