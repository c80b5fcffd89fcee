"""Projects, folders and organizations as clients meet them."""

from __future__ import annotations

import pytest
import requests

from simulator.core.principal import Principal
from simulator.google import GoogleCloud
from simulator.iam.decisions import Iam
from simulator.services.resourcemanager import Projects
from tests.simulator.support.core import (
    ADMIN,
    CRM,
    NUMBER,
    PROJECT,
    WORKER,
)

GET = "aiplatform.endpoints.get"


def test_both_versions_show_one_project(admin: requests.Session) -> None:
    v1 = admin.get(f"{CRM}/v1/projects/{PROJECT}").json()
    v3 = admin.get(f"{CRM}/v3/projects/{PROJECT}").json()
    assert (v1["projectNumber"], v1["parent"]) == (NUMBER, {"type": "folder", "id": "2"})
    assert (v3["name"], v3["parent"]) == (f"projects/{NUMBER}", "folders/2")


def test_a_policy_is_read_and_written_as_the_official_provider_does(
    cloud: GoogleCloud, admin: requests.Session
) -> None:
    url = f"{CRM}/v1/projects/{PROJECT}"
    options = {"options": {"requestedPolicyVersion": 3}}
    policy = admin.post(f"{url}:getIamPolicy", json=options).json()
    member = f"serviceAccount:{WORKER}"
    policy["bindings"].append({"role": "roles/viewer", "members": [member]})
    body = {"policy": policy, "updateMask": "bindings,etag,auditConfigs"}
    written = admin.post(f"{url}:setIamPolicy", json=body).json()
    assert written["etag"] != policy["etag"]
    assert written["bindings"] == policy["bindings"]
    cloud.clock.step(60)
    worker = Principal(member)
    assert cloud[Iam].test(worker, f"projects/{PROJECT}", [GET]) == [GET]


def test_folders_and_organizations_have_policies_too(
    cloud: GoogleCloud, admin: requests.Session
) -> None:
    role = "roles/resourcemanager.organizationAdmin"
    cloud[Iam].grant("organizations/1", role, f"serviceAccount:{ADMIN}")
    assert admin.get(f"{CRM}/v3/organizations/1").json()["state"] == "ACTIVE"
    assert admin.get(f"{CRM}/v3/folders/2").json()["name"] == "folders/2"
    policy = admin.post(f"{CRM}/v3/organizations/1:getIamPolicy", json={}).json()
    assert policy["bindings"][0]["role"] == role


def test_testing_a_permission_projects_do_not_have_is_400(admin: requests.Session) -> None:
    url = f"{CRM}/v1/projects/{PROJECT}:testIamPermissions"
    wanted = {"permissions": [GET, "resourcemanager.projects.list"]}
    assert admin.post(url, json=wanted).status_code == 400
    assert admin.post(url, json={"permissions": [GET]}).json() == {"permissions": [GET]}


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["iot-prod", "other"]),
        ("lifecycleState:ACTIVE", ["iot-prod", "other"]),
        ("lifecycleState:DELETE_REQUESTED", []),
        ("id:iot-prod", ["iot-prod"]),
        ("NAME:IOT*", ["iot-prod"]),
        ("name=other OR id=iot-prod", ["iot-prod", "other"]),
        ("name:other id:iot-prod", ["iot-prod", "other"]),
        ("name:other AND id:iot-prod", []),
        ("parent.type:folder parent.id:2", ["iot-prod"]),
        ("parent:organizations/*", ["other"]),
        ("labels.env:*", ["other"]),
        ('labels.env:"test"', []),
        ("labels:prod", ["other"]),
    ],
)
def test_projects_are_found_by_who_may_read_them(
    cloud: GoogleCloud, admin: requests.Session, query: str, found: list[str]
) -> None:
    for project in ("other", "secret"):
        cloud[Projects].add(project, parent="organizations/1").labels["env"] = "prod"
    cloud[Iam].grant("projects/other", "roles/browser", f"serviceAccount:{ADMIN}")
    for url, name in ((f"{CRM}/v1/projects", "filter"), (f"{CRM}/v3/projects:search", "query")):
        answer = admin.get(url, params={name: query, "pageSize": 1}).json()
        projects = answer.get("projects", [])
        while token := answer.get("nextPageToken"):
            answer = admin.get(url, params={name: query, "pageToken": token}).json()
            projects += answer["projects"]
        assert [item["projectId"] for item in projects] == found
    assert not projects or projects[0] == admin.get(f"{CRM}/v3/projects/{found[0]}").json()


def test_projects_of_a_parent_are_for_who_may_list_them(
    cloud: GoogleCloud, admin: requests.Session
) -> None:
    url = f"{CRM}/v3/projects"
    assert admin.get(url, params={"parent": "organizations/1"}).status_code == 403
    cloud[Iam].grant("organizations/1", "roles/browser", f"serviceAccount:{ADMIN}")
    listed = admin.get(url, params={"parent": "organizations/1"}).json()["projects"]
    assert [item["projectId"] for item in listed] == ["other"]
    assert admin.get(url, params={"parent": "projects/other"}).status_code == 400


@pytest.mark.parametrize("query", ["NOT id:a", "(id:a)", "id:a AND id:b OR id:c", "size:1"])
def test_a_query_that_is_not_understood_is_refused(admin: requests.Session, query: str) -> None:
    answer = admin.get(f"{CRM}/v1/projects", params={"filter": query})
    assert (answer.status_code, "is not simulated" in answer.text) == (501, True)


def test_billing_is_known(admin: requests.Session) -> None:
    url = f"https://cloudbilling.googleapis.com/v1/projects/{PROJECT}/billingInfo"
    assert admin.get(url).json()["billingEnabled"] is True
