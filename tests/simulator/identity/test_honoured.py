"""Identity, IAM and what is about projects: what is not simulated there is refused by name."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from simulator.google import GoogleCloud
from simulator.iam.decisions import Iam
from simulator.services.serviceusage import Services
from tests.simulator.support.core import ADMIN, CRM, IAM, PROJECT, USAGE, WORKER_NAME
from tests.simulator.support.identity import POOLS, STS

HERE = f"projects/{PROJECT}"
KEYS = f"{IAM}/{WORKER_NAME}/keys"
ORG_POLICIES = f"https://orgpolicy.googleapis.com/v2/{HERE}/policies"
REGIONS = f"https://compute.googleapis.com/compute/v1/{HERE}/regions"
TESTABLE = f"{IAM}/permissions:queryTestablePermissions"
DENY = "https://iam.googleapis.com/v2/policies/cloudresourcemanager.googleapis.com%2F"
DENY_POLICIES = f"{DENY}projects%2F{PROJECT}/denypolicies"
BUCKET = "//storage.googleapis.com/projects/_/buckets/b"


@pytest.fixture
def admin(cloud: GoogleCloud, admin: requests.Session) -> requests.Session:
    cloud[Services].seed(PROJECT, [f"{api}.googleapis.com" for api in ("compute", "orgpolicy")])
    for role in ("roles/orgpolicy.policyAdmin", "roles/iam.denyAdmin"):
        cloud[Iam].grant("organizations/1", role, f"serviceAccount:{ADMIN}")
    return admin


@pytest.mark.parametrize(
    ("verb", "url", "query", "body", "named"),
    [
        ("GET", f"{IAM}/roles", {"parent": HERE}, None, "the parameter parent of iam.roles.list"),
        (
            "POST",
            POOLS,
            {"workloadIdentityPoolId": "trusting"},
            {"inlineTrustConfig": {"additionalTrustBundles": {"example.com": {}}}},
            "the field inlineTrustConfig",
        ),
        (
            "POST",
            POOLS,
            {"workloadIdentityPoolId": "trusting"},
            {"mode": "TRUST_DOMAIN"},
            "the mode TRUST_DOMAIN",
        ),
        (
            "POST",
            f"{IAM}/locations/global/workforcePools",
            {"workforcePoolId": "people"},
            {
                "parent": "organizations/1",
                "accessRestrictions": {"disableProgrammaticSignin": True},
            },
            "the field accessRestrictions.disableProgrammaticSignin",
        ),
        ("POST", KEYS, {}, {"keyAlgorithm": "KEY_ALG_RSA_1024"}, "keyAlgorithm KEY_ALG_RSA_1024"),
        ("POST", TESTABLE, {}, {"fullResourceName": BUCKET}, BUCKET),
        (
            "POST",
            ORG_POLICIES,
            {},
            {
                "name": f"{HERE}/policies/iam.managed.allowedPolicyMembers",
                "spec": {"rules": [{"enforce": True, "parameters": {"allowed": ["a"]}}]},
            },
            "the field spec.rules.parameters",
        ),
        ("GET", REGIONS, {"filter": "name=us-east1"}, None, "the parameter filter"),
        ("GET", REGIONS, {"orderBy": "name"}, None, "the parameter orderBy"),
        ("POST", STS, {}, {"actorToken": "t", "grantType": "g"}, "the field actorToken"),
    ],
)
def test_what_nobody_acts_on_is_refused_by_name(
    admin: requests.Session,
    verb: str,
    url: str,
    query: dict[str, str],
    body: Any,
    named: str,
) -> None:
    error = admin.request(verb, url, params=query, json=body).json()["error"]
    assert (error["code"], error["status"]) == (501, "UNIMPLEMENTED"), error
    assert named in error["message"]
    assert error["message"].endswith("is not simulated.")


def test_what_google_ignores_is_ignored(cloud: GoogleCloud, admin: requests.Session) -> None:
    rule = {
        "denyRule": {
            "deniedPrincipals": ["principalSet://goog/public:all"],
            "deniedPermissions": ["iam.googleapis.com/roles.create"],
        }
    }
    for name in ("one", "two"):
        body = {"rules": [rule], "uid": "mine", "name": "policies/x"}
        assert admin.post(DENY_POLICIES, params={"policyId": name}, json=body).status_code == 200
    listed = admin.get(DENY_POLICIES, params={"pageSize": 1}).json()
    assert (len(listed["policies"]), "nextPageToken" in listed) == (2, False)
    assert listed["policies"][0]["uid"] != "mine"


def test_a_new_role_has_no_name_of_its_own(admin: requests.Session) -> None:
    role = {"name": f"{HERE}/roles/mine", "title": "Mine"}
    url = f"{IAM}/{HERE}/roles"
    assert admin.post(url, json={"roleId": "mine", "role": role}).status_code == 400
    del role["name"]
    assert admin.post(url, json={"roleId": "mine", "role": role}).status_code == 200
    changed = {"name": f"{HERE}/roles/mine", "title": "Yours", "deleted": True}
    patched = admin.patch(f"{url}/mine", json=changed).json()
    assert (patched["title"], patched.get("deleted")) == ("Yours", None)


def test_a_policys_audit_configuration_is_kept(admin: requests.Session) -> None:
    url = f"{CRM}/v1/{HERE}"
    policy = admin.post(f"{url}:getIamPolicy", json={}).json()
    policy["auditConfigs"] = [
        {"service": "allServices", "auditLogConfigs": [{"logType": "DATA_READ"}]}
    ]
    body = {"policy": policy, "updateMask": "bindings,etag,auditConfigs"}
    kept = admin.post(f"{url}:setIamPolicy", json=body).json()
    assert kept["auditConfigs"] == policy["auditConfigs"]


def test_several_services_are_read_at_once(admin: requests.Session) -> None:
    names = [f"{HERE}/services/{api}.googleapis.com" for api in ("iam", "pubsub")]
    answer = admin.get(f"{USAGE}/v1/{HERE}/services:batchGet", params={"names": names}).json()
    states = {item["config"]["name"]: item["state"] for item in answer["services"]}
    assert states == {"iam.googleapis.com": "ENABLED", "pubsub.googleapis.com": "DISABLED"}
