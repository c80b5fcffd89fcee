"""Custom roles, and the permissions and roles that Google has."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from simulator.core.principal import Principal
from simulator.google import GoogleCloud
from simulator.iam.decisions import Iam
from simulator.iam.roles import CustomRoles
from simulator.identity.tokens import Identity
from tests.simulator.support.core import (
    ADMIN,
    CRM,
    IAM,
    PROJECT,
    WORKER,
    message,
)

ROLES = f"{IAM}/projects/{PROJECT}/roles"
ROLE = f"projects/{PROJECT}/roles/deployer"
GET, CREATE = "aiplatform.endpoints.get", "aiplatform.endpoints.create"


def make_role(admin: requests.Session, *permissions: str, role_id: str = "deployer") -> Any:
    role = {"title": "Deployer", "stage": "GA", "includedPermissions": list(permissions)}
    return admin.post(ROLES, json={"roleId": role_id, "role": role})


def test_a_role_is_made_read_changed_and_listed(admin: requests.Session) -> None:
    made = make_role(admin, GET).json()
    assert made["name"] == ROLE
    assert admin.get(f"{IAM}/{ROLE}").json() == made
    changed = admin.patch(
        f"{IAM}/{ROLE}",
        params={"updateMask": "included_permissions"},
        json={"includedPermissions": [GET, CREATE]},
    ).json()
    assert changed["includedPermissions"] == [GET, CREATE]
    assert changed["title"] == "Deployer"
    [listed] = admin.get(ROLES).json()["roles"]
    assert "includedPermissions" not in listed
    assert admin.get(ROLES, params={"view": "FULL"}).json()["roles"] == [changed]


def test_a_role_that_never_was_is_404(admin: requests.Session) -> None:
    expected = f"The role named {ROLE} was not found."
    assert message(admin.get(f"{IAM}/{ROLE}")) == (404, expected)


@pytest.mark.parametrize(
    "permission",
    [
        "aiplatform.operations.get",
        "aiplatform.models.deploy",
        "resourcemanager.projects.list",
        "cloudiot.devices.get",
    ],
)
def test_a_permission_projects_do_not_have_is_refused(
    admin: requests.Session, permission: str
) -> None:
    expected = (400, f"Permission {permission} is not valid.")
    assert message(make_role(admin, GET, permission)) == expected


@pytest.mark.parametrize("role_id", ["ab", "with-dash", "x" * 65])
def test_a_role_id_has_a_form(admin: requests.Session, role_id: str) -> None:
    assert make_role(admin, GET, role_id=role_id).status_code == 400


def test_a_deleted_role_blocks_its_id_until_undeleted_and_patched(
    cloud: GoogleCloud, admin: requests.Session
) -> None:
    make_role(admin, GET)
    assert admin.delete(f"{IAM}/{ROLE}").json()["deleted"] is True
    assert admin.get(f"{IAM}/{ROLE}").json()["deleted"] is True
    assert "roles" not in admin.get(ROLES).json()
    status, text = message(make_role(admin, GET))
    assert (status, "role_id in a deleted state" in text) == (400, True)
    assert cloud.state()["softDeletedRoles"] == [ROLE]
    undeleted = admin.post(f"{IAM}/{ROLE}:undelete", json={}).json()
    assert "deleted" not in undeleted
    patched = admin.patch(f"{IAM}/{ROLE}", json={"includedPermissions": [CREATE]}).json()
    assert patched["includedPermissions"] == [CREATE]


def test_after_seven_days_a_deleted_role_is_gone(
    cloud: GoogleCloud, admin: requests.Session
) -> None:
    make_role(admin, GET)
    admin.delete(f"{IAM}/{ROLE}")
    cloud.clock.step(7 * 86_400 + 1)
    fresh = {"Authorization": f"Bearer {cloud[Identity].access_token(ADMIN)}"}
    gone = admin.post(f"{IAM}/{ROLE}:undelete", json={}, headers=fresh)
    assert gone.status_code == 404


@pytest.mark.parametrize(
    ("days", "said"),
    [
        (6, "where there is an existing role with that role_id in a deleted state."),
        (7, "You can't create a role_id (deployer) which has been marked for deletion."),
        (36, "You can't create a role_id (deployer) which has been marked for deletion."),
        (37, ""),
    ],
)
def test_a_deleted_roles_id_is_free_again_after_37_days(
    cloud: GoogleCloud, admin: requests.Session, days: int, said: str
) -> None:
    make_role(admin, GET)
    worker = Principal(f"serviceAccount:{WORKER}")
    cloud[Iam].grant(f"projects/{PROJECT}", ROLE, worker.member)
    admin.delete(f"{IAM}/{ROLE}")
    cloud.clock.step(days * 86_400)
    admin.headers["Authorization"] = f"Bearer {cloud[Identity].access_token(ADMIN)}"
    made = make_role(admin, GET, CREATE)
    if said:
        status, text = message(made)
        assert (status, text.endswith(said)) == (400, True)
        return
    assert made.json()["includedPermissions"] == [GET, CREATE]
    cloud.clock.step(60)
    # The bindings went with the first role of this name.
    assert cloud[Iam].test(worker, f"projects/{PROJECT}", [GET]) == []


@pytest.mark.parametrize(("days", "bound"), [(6, True), (7, False)])
def test_a_deleted_roles_bindings_stay_until_it_is_gone_for_good(
    cloud: GoogleCloud, admin: requests.Session, days: int, bound: bool
) -> None:
    make_role(admin, GET)
    cloud[Iam].grant(f"projects/{PROJECT}", ROLE, f"serviceAccount:{WORKER}")
    admin.delete(f"{IAM}/{ROLE}")
    cloud.clock.step(days * 86_400)
    admin.headers["Authorization"] = f"Bearer {cloud[Identity].access_token(ADMIN)}"
    policy = admin.post(f"{CRM}/v1/projects/{PROJECT}:getIamPolicy", json={}).json()
    assert (ROLE in {binding["role"] for binding in policy["bindings"]}) == bound


def test_deleted_roles_count_as_roles_of_the_project(
    cloud: GoogleCloud, admin: requests.Session
) -> None:
    for number in range(300):
        cloud[CustomRoles].seed(f"projects/{PROJECT}/roles/role{number}", [GET])
    admin.delete(f"{IAM}/projects/{PROJECT}/roles/role0")
    assert message(make_role(admin, GET)) == (
        429,
        "Maximum number of roles reached. Maximum is: 300",
    )
    cloud.clock.step(7 * 86_400)
    admin.headers["Authorization"] = f"Bearer {cloud[Identity].access_token(ADMIN)}"
    assert make_role(admin, GET).status_code == 200


def test_a_stale_etag_is_refused(admin: requests.Session) -> None:
    etag = make_role(admin, GET).json()["etag"]
    assert admin.patch(f"{IAM}/{ROLE}", json={"title": "x"}).status_code == 200
    late = admin.patch(f"{IAM}/{ROLE}", json={"title": "y", "etag": etag})
    assert (late.status_code, late.json()["error"]["status"]) == (409, "ABORTED")


def test_a_second_role_of_one_id_is_refused(admin: requests.Session) -> None:
    make_role(admin, GET)
    assert make_role(admin, GET).status_code == 409


def test_predefined_roles_can_be_read(admin: requests.Session) -> None:
    role = admin.get(f"{IAM}/roles/pubsub.publisher").json()
    assert role["includedPermissions"] == ["pubsub.topics.publish"]
    assert admin.get(f"{IAM}/roles/iot.admin").status_code == 404


def test_testable_permissions_come_in_pages(admin: requests.Session) -> None:
    url, found, token = f"{IAM}/permissions:queryTestablePermissions", [], ""
    resource = f"//cloudresourcemanager.googleapis.com/projects/{PROJECT}"
    while token is not None:
        body = {"fullResourceName": resource, "pageSize": 1000, "pageToken": token}
        page = admin.post(url, json=body).json()
        found += page["permissions"]
        token = page.get("nextPageToken")
    names = [item["name"] for item in found]
    assert len(names) == len(set(names)) > 13_000
    assert "resourcemanager.projects.get" in names
    assert "resourcemanager.projects.list" not in names
    levels = {item.get("customRolesSupportLevel") for item in found}
    assert (None in levels, "SUPPORTED" in levels) == (True, False)


@pytest.mark.parametrize(("stage", "shown"), [("ALPHA", None), ("BETA", "BETA")])
def test_the_first_stage_is_left_out_of_answers(
    admin: requests.Session, stage: str, shown: str | None
) -> None:
    role = {"title": "Deployer", "stage": stage, "includedPermissions": [GET]}
    made = admin.post(ROLES, json={"roleId": "deployer", "role": role}).json()
    assert made.get("stage") == shown
