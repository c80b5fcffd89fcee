"""Service accounts as clients meet them, and those that Google has in a project."""

from __future__ import annotations

import pytest
import requests

from simulator.google import GoogleCloud
from simulator.iam.decisions import Iam
from simulator.identity.accounts import Accounts
from tests.simulator.support.core import (
    ADMIN,
    CRM,
    IAM,
    NUMBER,
    PROJECT,
    USAGE,
    WORKER,
    WORKER_NAME,
    message,
)

ACCOUNTS = f"{IAM}/projects/{PROJECT}/serviceAccounts"


def test_an_account_is_made_changed_and_deleted(admin: requests.Session) -> None:
    body = {"accountId": "telemetry", "serviceAccount": {"displayName": "Telemetry"}}
    made = admin.post(ACCOUNTS, json=body).json()
    email = f"telemetry@{PROJECT}.iam.gserviceaccount.com"
    assert (made["email"], made["displayName"]) == (email, "Telemetry")
    assert made["uniqueId"].isdigit() and len(made["uniqueId"]) == 21
    patch = {"serviceAccount": {"displayName": "T", "etag": made["etag"]}}
    changed = admin.patch(f"{ACCOUNTS}/{email}", json={**patch, "updateMask": "display_name"})
    assert changed.json()["displayName"] == "T"
    late = admin.patch(f"{ACCOUNTS}/{email}", json={**patch, "updateMask": "display_name"})
    assert late.status_code == 409
    assert admin.delete(f"{ACCOUNTS}/{email}").json() == {}
    assert message(admin.get(f"{ACCOUNTS}/{email}")) == (404, "Unknown service account")
    undeleted = admin.post(f"{ACCOUNTS}/{made['uniqueId']}:undelete", json={}).json()
    assert undeleted["restoredAccount"]["email"] == email


@pytest.mark.parametrize("account_id", ["short", "x" * 31, "1starts-wrong", "Has-Capital"])
def test_an_account_id_has_a_form(admin: requests.Session, account_id: str) -> None:
    assert admin.post(ACCOUNTS, json={"accountId": account_id}).status_code == 400


def test_a_second_account_of_one_id_is_refused(admin: requests.Session) -> None:
    answer = admin.post(ACCOUNTS, json={"accountId": "worker"})
    assert (answer.status_code, answer.json()["error"]["status"]) == (409, "ALREADY_EXISTS")


def test_acting_as_an_account_is_granted_on_the_account(
    cloud: GoogleCloud, admin: requests.Session
) -> None:
    url = f"{IAM}/{WORKER_NAME}"
    policy = admin.post(f"{url}:getIamPolicy").json()
    policy["bindings"] = [
        {"role": "roles/iam.serviceAccountUser", "members": [f"serviceAccount:{ADMIN}"]}
    ]
    assert admin.post(f"{url}:setIamPolicy", json={"policy": policy}).status_code == 200
    stale = admin.post(f"{url}:setIamPolicy", json={"policy": policy})
    assert stale.json()["error"]["status"] == "ABORTED"
    cloud[Iam].set_policy(f"projects/{PROJECT}", {})
    cloud.clock.step(60)
    wanted = {"permissions": ["iam.serviceAccounts.actAs", "iam.serviceAccounts.delete"]}
    held = admin.post(f"{url}:testIamPermissions", json=wanted).json()
    assert held == {"permissions": ["iam.serviceAccounts.actAs"]}


def test_accounts_are_listed_in_pages_without_googles_own(
    cloud: GoogleCloud, admin: requests.Session
) -> None:
    cloud[Accounts].create_agent("aiplatform", PROJECT)
    first = admin.get(ACCOUNTS, params={"pageSize": 1}).json()
    second = admin.get(ACCOUNTS, params={"pageSize": 1, "pageToken": first["nextPageToken"]}).json()
    emails = [item["email"] for page in (first, second) for item in page["accounts"]]
    assert emails == [ADMIN, WORKER]
    assert "nextPageToken" not in second


@pytest.mark.parametrize(
    "email",
    [
        f"bq-{NUMBER}@bigquery-encryption.iam.gserviceaccount.com",
        f"service-{NUMBER}@gs-project-accounts.iam.gserviceaccount.com",
    ],
)
def test_googles_agents_that_every_project_has_can_be_granted_to(
    cloud: GoogleCloud, admin: requests.Session, email: str
) -> None:
    url = f"{CRM}/v1/projects/{PROJECT}"
    policy = admin.post(f"{url}:getIamPolicy", json={}).json()
    member = {"role": "roles/viewer", "members": [f"serviceAccount:{email}"]}
    policy["bindings"].append(member)
    del policy["etag"]
    assert admin.post(f"{url}:setIamPolicy", json={"policy": policy}).status_code == 200
    member["members"] = [f"serviceAccount:{email.replace(NUMBER, '123456789013')}"]
    status, said = message(admin.post(f"{url}:setIamPolicy", json={"policy": policy}))
    assert (status, "does not exist" in said) == (400, True)
    listed = admin.get(ACCOUNTS).json()["accounts"]
    assert email not in [item["email"] for item in listed]
    assert email in cloud.state()["serviceAgents"]


def test_compute_engines_account_comes_with_its_api(
    cloud: GoogleCloud, admin: requests.Session
) -> None:
    email = f"{NUMBER}-compute@developer.gserviceaccount.com"
    url = f"{ACCOUNTS}/{email}"
    assert message(admin.get(url)) == (404, "Unknown service account")
    admin.post(f"{USAGE}/v1/projects/{PROJECT}/services/compute.googleapis.com:enable")
    cloud.clock.step(5)
    assert email in [item["email"] for item in admin.get(ACCOUNTS).json()["accounts"]]
    account = admin.get(url).json()
    assert account["displayName"] == "Compute Engine default service account"
    grant = {"role": "roles/iam.serviceAccountUser", "members": [f"serviceAccount:{WORKER}"]}
    body = {"policy": {"bindings": [grant]}}
    assert admin.post(f"{url}:setIamPolicy", json=body).status_code == 200
    # Deleted it is gone, unless undeleted.
    admin.delete(url)
    assert admin.get(url).status_code == 404
    undelete = f"{ACCOUNTS}/{account['uniqueId']}:undelete"
    assert admin.post(undelete, json={}).json()["restoredAccount"]["email"] == email
