"""Organisation policies: the API, the hierarchy, and what they keep callers from doing."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from simulator.api.errors import ApiError
from simulator.google import GoogleCloud
from simulator.iam.decisions import Iam
from simulator.identity.accounts import Accounts
from simulator.identity.tokens import Identity
from simulator.seed import plant
from simulator.serve.proxy import Running
from simulator.services.orgpolicy.state import (
    ACCOUNTS,
    DOMAINS,
    KEYS,
    PRIVATE,
    UNIFORM,
    OrgPolicies,
    OrgPolicy,
)
from simulator.services.serviceusage import Services
from simulator.services.storage.state import Storage
from tests.simulator.support.core import (
    ADMIN,
    CRM,
    IAM,
    NUMBER,
    PROJECT,
    WORKER,
    WORKER_NAME,
    new_cloud,
    session,
)
from tests.simulator.support.service import Sandbox, email

API = "https://orgpolicy.googleapis.com/v2"
HERE = f"projects/{PROJECT}"
POLICY = f"{HERE}/policies/{KEYS}"
ENFORCE = {"rules": [{"enforce": True}]}
OUTSIDE, INSIDE = "user:eve@elsewhere.com", "user:ann@example.com"
MANAGED = f"iam.managed.{KEYS.removeprefix('iam.')}"


@pytest.fixture
def cloud() -> GoogleCloud:
    cloud = new_cloud()
    plant(
        cloud,
        {
            "organization": {"id": "1", "customer": "C0abc", "domains": ["example.com"]},
            "projects": [{"id": "stray", "number": "777"}],
            "accounts": [
                {"project": "other", "id": "neighbour"},
                {"project": "stray", "id": "stranger"},
            ],
            "pools": [
                {"name": f"projects/{project}/locations/global/workloadIdentityPools/github"}
                for project in (PROJECT, "stray")
            ],
        },
    )
    cloud[Services].seed(PROJECT, ["orgpolicy.googleapis.com"])
    cloud[Iam].grant("organizations/1", "roles/orgpolicy.policyAdmin", f"serviceAccount:{ADMIN}")
    return cloud


def put(cloud: GoogleCloud, constraint: str, spec: dict[str, Any], on: str = HERE) -> None:
    """Set a policy and let it propagate."""
    cloud[OrgPolicies].save(OrgPolicy(f"{on}/policies/{constraint}", {"spec": spec}))
    cloud.clock.step(60)


def error(answer: requests.Response) -> tuple[int, str, str]:
    body = answer.json()["error"]
    return answer.status_code, body.get("status"), body["message"]


class TestTheApi:
    def test_a_policy_is_made_read_changed_listed_and_deleted(
        self, admin: requests.Session
    ) -> None:
        body = {"name": POLICY, "spec": {**ENFORCE, "reset": False}}
        made = admin.post(f"{API}/{HERE}/policies", json=body).json()
        assert made["name"] == f"projects/{NUMBER}/policies/{KEYS}"
        assert made["spec"]["rules"] == [{"enforce": True}]
        assert made["etag"] == made["spec"]["etag"]
        assert admin.get(f"{API}/{POLICY}").json() == made
        assert admin.get(f"{API}/projects/{NUMBER}/policies/{KEYS}").json() == made
        again = admin.post(f"{API}/{HERE}/policies", json=body)
        assert error(again)[:2] == (409, "ALREADY_EXISTS")

        change = {"name": POLICY, "spec": {"rules": [{"enforce": False}]}}
        changed = admin.patch(f"{API}/{POLICY}?updateMask=policy.spec", json=change).json()
        assert changed["spec"]["rules"] == [{"enforce": False}]
        assert changed["etag"] != made["etag"]
        assert admin.get(f"{API}/{HERE}/policies").json() == {"policies": [changed]}

        stale = admin.patch(f"{API}/{POLICY}", json={**change, "etag": made["etag"]})
        assert error(stale)[:2] == (409, "ABORTED")
        assert admin.delete(f"{API}/{POLICY}?etag={made['etag']}").status_code == 409
        assert admin.delete(f"{API}/{POLICY}").json() == {}
        gone = admin.get(f"{API}/{POLICY}")
        assert error(gone) == (404, "NOT_FOUND", "Requested entity was not found.")

    def test_a_mask_leaves_the_rest_of_a_policy_alone(self, admin: requests.Session) -> None:
        body = {"name": POLICY, "spec": ENFORCE, "dryRunSpec": ENFORCE}
        admin.post(f"{API}/{HERE}/policies", json=body)
        change = {"dryRunSpec": {"rules": [{"enforce": False}]}}
        url = f"{API}/{POLICY}?updateMask=policy.dry_run_spec"
        changed = admin.patch(url, json=change).json()
        assert changed["spec"]["rules"] == [{"enforce": True}]
        assert changed["dryRunSpec"]["rules"] == [{"enforce": False}]

    def test_a_constraint_google_does_not_have_is_not_found(self, admin: requests.Session) -> None:
        name = f"{HERE}/policies/iam.disableServiceAccountKeys"
        answer = admin.post(f"{API}/{HERE}/policies", json={"name": name, "spec": ENFORCE})
        assert error(answer) == (404, "NOT_FOUND", "Requested entity was not found.")

    @pytest.mark.parametrize(
        ("constraint", "spec", "message"),
        [
            (KEYS, {"rules": [{"allowAll": True}]}, "sets enforce"),
            (KEYS, {"rules": [{"enforce": True}, {"enforce": True}]}, "exactly one"),
            (KEYS, {**ENFORCE, "inheritFromParent": True}, "list constraints only"),
            (KEYS, {**ENFORCE, "reset": True}, "no rules"),
            (DOMAINS, ENFORCE, "one of values"),
            (DOMAINS, {"rules": [{"allowAll": True, "denyAll": True}]}, "one of values"),
            (
                KEYS,
                {"rules": [{"enforce": True, "condition": {"expression": "request.time"}}]},
                "Invalid condition",
            ),
        ],
    )
    def test_a_policy_google_would_refuse_is_refused(
        self, admin: requests.Session, constraint: str, spec: dict[str, Any], message: str
    ) -> None:
        body = {"name": f"{HERE}/policies/{constraint}", "spec": spec}
        status, reason, text = error(admin.post(f"{API}/{HERE}/policies", json=body))
        assert (status, reason) == (400, "INVALID_ARGUMENT")
        assert message in text

    def test_an_owner_may_read_but_not_set_policies(
        self, cloud: GoogleCloud, running: Running
    ) -> None:
        cloud[Iam].grant(HERE, "roles/owner", f"serviceAccount:{WORKER}")
        owner = session(running, cloud[Identity].access_token(WORKER))
        answer = owner.post(f"{API}/{HERE}/policies", json={"name": POLICY, "spec": ENFORCE})
        assert error(answer) == (
            403,
            "PERMISSION_DENIED",
            "Permission 'orgpolicy.policies.create' denied on resource "
            f"'//cloudresourcemanager.googleapis.com/{HERE}' (or it may not exist).",
        )

    def test_the_effective_policy_has_what_is_inherited_and_no_conditions(
        self, admin: requests.Session, cloud: GoogleCloud
    ) -> None:
        url = f"{API}/{HERE}/policies/{DOMAINS}:getEffectivePolicy"
        name = f"projects/{NUMBER}/policies/{DOMAINS}"
        everything = {"name": name, "spec": {"rules": [{"allowAll": True}]}}
        assert admin.get(url).json() == everything
        above, here = {"allowedValues": ["C0abc"]}, {"allowedValues": ["C0xyz"]}
        put(cloud, DOMAINS, {"rules": [{"values": above}]}, "organizations/1")
        tagged = {"values": here, "condition": {"expression": "!resource.hasTagKey('1/x')"}}
        put(cloud, DOMAINS, {"inheritFromParent": True, "rules": [tagged]})
        rules = [{"values": here}, {"values": above}]
        assert admin.get(url).json() == {"name": name, "spec": {"rules": rules}}
        boolean = admin.get(f"{API}/{POLICY}:getEffectivePolicy").json()
        assert boolean["spec"] == {"rules": [{"enforce": False}]}


class TestTheHierarchy:
    @pytest.mark.parametrize("above", [HERE, "folders/2", "organizations/1"])
    def test_a_policy_reaches_everything_below_it(self, cloud: GoogleCloud, above: str) -> None:
        put(cloud, KEYS, ENFORCE, above)
        assert cloud[OrgPolicies].enforced(KEYS, WORKER_NAME)
        assert not cloud[OrgPolicies].enforced(ACCOUNTS, WORKER_NAME)
        assert cloud[OrgPolicies].enforced(KEYS, "projects/other") is (above == "organizations/1")

    @pytest.mark.parametrize("nearer", [{"rules": [{"enforce": False}]}, {"reset": True}])
    def test_the_nearest_policy_on_a_boolean_constraint_decides(
        self, cloud: GoogleCloud, nearer: dict[str, Any]
    ) -> None:
        put(cloud, KEYS, ENFORCE, "organizations/1")
        put(cloud, KEYS, nearer)
        assert not cloud[OrgPolicies].enforced(KEYS, HERE)
        assert cloud[OrgPolicies].enforced(KEYS, "folders/2")

    def test_a_rule_whose_condition_is_true_goes_first(self, cloud: GoogleCloud) -> None:
        exempt = {"expression": "resource.matchTag('1/keys', 'allowed')"}
        rules = [{"enforce": False, "condition": exempt}, {"enforce": True}]
        put(cloud, KEYS, {"rules": rules}, "organizations/1")
        assert cloud[OrgPolicies].enforced(KEYS, WORKER_NAME)
        plant(cloud, {"tags": {WORKER_NAME: {"1/keys": "allowed"}}})
        assert not cloud[OrgPolicies].enforced(KEYS, WORKER_NAME)
        assert cloud[OrgPolicies].enforced(KEYS, HERE)

    @pytest.mark.parametrize(
        ("spec", "allowed"),
        [
            ({"inheritFromParent": True, "rules": [{"values": {"allowedValues": ["b"]}}]}, "ab"),
            ({"rules": [{"values": {"allowedValues": ["is:b"]}}]}, "b"),
            ({"inheritFromParent": True, "rules": [{"values": {"deniedValues": ["a"]}}]}, ""),
            ({"rules": [{"values": {"deniedValues": ["a"]}}]}, "bc"),
            ({"rules": [{"allowAll": True}]}, "abc"),
            ({"inheritFromParent": True, "rules": [{"denyAll": True}]}, ""),
            ({"reset": True}, "abc"),
        ],
    )
    def test_lists_are_inherited_only_where_the_policy_says_so(
        self, cloud: GoogleCloud, spec: dict[str, Any], allowed: str
    ) -> None:
        put(cloud, DOMAINS, {"rules": [{"values": {"allowedValues": ["a"]}}]}, "folders/2")
        put(cloud, DOMAINS, spec)
        found = [name for name in "abc" if cloud[OrgPolicies].allowed(DOMAINS, HERE, [name])]
        assert "".join(found) == allowed

    def test_a_dry_run_enforces_nothing(self, admin: requests.Session, cloud: GoogleCloud) -> None:
        admin.post(f"{API}/{HERE}/policies", json={"name": POLICY, "dryRunSpec": ENFORCE})
        cloud.clock.step(60)
        assert not cloud[OrgPolicies].enforced(KEYS, HERE)

    def test_a_change_takes_effect_when_it_has_propagated(
        self, admin: requests.Session, cloud: GoogleCloud
    ) -> None:
        admin.post(f"{API}/{HERE}/policies", json={"name": POLICY, "spec": ENFORCE})
        cloud.clock.step(59)
        assert not cloud[OrgPolicies].enforced(KEYS, HERE)
        cloud.clock.step(1)
        assert cloud[OrgPolicies].enforced(KEYS, HERE)
        admin.delete(f"{API}/{POLICY}")
        cloud.clock.step(59)
        assert cloud[OrgPolicies].enforced(KEYS, HERE)
        cloud.clock.step(1)
        assert not cloud[OrgPolicies].enforced(KEYS, HERE)


class TestServiceAccounts:
    def test_a_key_is_refused_with_googles_error(
        self, admin: requests.Session, cloud: GoogleCloud
    ) -> None:
        url = f"https://iam.googleapis.com/v1/{WORKER_NAME}/keys"
        assert admin.post(url, json={}).status_code == 200
        put(cloud, KEYS, ENFORCE, "organizations/1")
        text = "Key creation is not allowed on this service account."
        answer = admin.post(url, json={}).json()["error"]
        assert (answer["code"], answer["status"]) == (400, "FAILED_PRECONDITION")
        assert answer["message"] == text
        assert answer["details"] == [
            {
                "@type": "type.googleapis.com/google.rpc.PreconditionFailure",
                "violations": [
                    {
                        "type": f"constraints/{KEYS}",
                        "subject": f"{WORKER_NAME}?configvalue={WORKER.replace('@', '%40')}",
                        "description": text,
                    }
                ],
            }
        ]

    def test_the_managed_constraint_refuses_with_another_sentence(self, cloud: GoogleCloud) -> None:
        put(cloud, MANAGED, ENFORCE)
        with pytest.raises(ApiError, match=f"denied by org policy on resource '{WORKER_NAME}'"):
            cloud[OrgPolicies].check_key_creation(WORKER_NAME)

    def test_no_account_is_created_where_that_is_forbidden(
        self, admin: requests.Session, cloud: GoogleCloud
    ) -> None:
        accounts = f"{IAM}/{HERE}/serviceAccounts"
        assert admin.post(accounts, json={"accountId": "before"}).status_code == 200
        put(cloud, ACCOUNTS, ENFORCE)
        answer = admin.post(accounts, json={"accountId": "after-it"})
        assert error(answer) == (
            400,
            "FAILED_PRECONDITION",
            "Service account creation is not allowed on this project.",
        )
        [violation] = answer.json()["error"]["details"][0]["violations"]
        assert violation["subject"] == f"{HERE}/serviceAccounts/?configvalue="
        assert not cloud[Accounts].exists(f"after-it@{PROJECT}.iam.gserviceaccount.com")


class TestDomainRestriction:
    @pytest.fixture(autouse=True)
    def restricted(self, cloud: GoogleCloud) -> None:
        rules = [{"values": {"allowedValues": ["C0abc"]}}]
        cloud[Iam].grant(HERE, "roles/viewer", "user:old@elsewhere.com")
        put(cloud, DOMAINS, {"rules": rules}, "organizations/1")

    def add(self, admin: requests.Session, member: str) -> requests.Response:
        url = f"{CRM}/v1/{HERE}"
        body = {"options": {"requestedPolicyVersion": 3}}
        policy = admin.post(f"{url}:getIamPolicy", json=body).json()
        policy["bindings"].append({"role": "roles/browser", "members": [member]})
        return admin.post(f"{url}:setIamPolicy", json={"policy": policy})

    @pytest.mark.parametrize(
        "member",
        [
            INSIDE,
            "group:team@example.com",
            "domain:example.com",
            f"serviceAccount:{WORKER}",
            "serviceAccount:neighbour@other.iam.gserviceaccount.com",
            f"principalSet://iam.googleapis.com/projects/{NUMBER}/locations/global"
            "/workloadIdentityPools/github/attribute.repository/acme/iot",
        ],
    )
    def test_members_of_the_customer_are_welcome(
        self, admin: requests.Session, member: str
    ) -> None:
        assert self.add(admin, member).status_code == 200

    @pytest.mark.parametrize(
        "member",
        [
            OUTSIDE,
            "domain:elsewhere.com",
            "allUsers",
            "allAuthenticatedUsers",
            "serviceAccount:stranger@stray.iam.gserviceaccount.com",
            "principalSet://iam.googleapis.com/projects/777/locations/global"
            "/workloadIdentityPools/github/attribute.repository/acme/iot",
        ],
    )
    def test_members_from_outside_are_refused_with_googles_error(
        self, admin: requests.Session, cloud: GoogleCloud, member: str
    ) -> None:
        answer = self.add(admin, member)
        assert error(answer) == (
            400,
            "FAILED_PRECONDITION",
            "One or more users named in the policy do not belong to a permitted customer.",
        )
        name = member.partition(":")[2] or member
        [violation] = answer.json()["error"]["details"][0]["violations"]
        assert violation == {
            "type": f"constraints/{DOMAINS}",
            "subject": f"orgpolicy:{HERE}?configvalue={name}",
            "description": f"User {name} is not in permitted organization.",
        }
        assert member not in str(cloud[Iam].get_policy(HERE, 3))

    def test_other_services_refuse_with_a_hint_at_the_policy(self, admin: requests.Session) -> None:
        policy = {"bindings": [{"role": "roles/viewer", "members": [OUTSIDE]}]}
        answer = admin.post(f"{IAM}/{WORKER_NAME}:setIamPolicy", json={"policy": policy})
        assert error(answer) == (
            400,
            "FAILED_PRECONDITION",
            "One or more users named in the policy do not belong to a permitted customer,  "
            "perhaps due to an organization policy.",
        )

    def test_the_organisation_can_be_named_instead_of_the_customer(
        self, admin: requests.Session, cloud: GoogleCloud
    ) -> None:
        values = {"allowedValues": ["principalSet://iam.googleapis.com/organizations/1"]}
        put(cloud, DOMAINS, {"rules": [{"values": values}]})
        assert self.add(admin, INSIDE).status_code == 200
        assert self.add(admin, f"serviceAccount:{WORKER}").status_code == 200
        assert self.add(admin, OUTSIDE).status_code == 400

    def test_an_exception_lets_everyone_in(
        self, admin: requests.Session, cloud: GoogleCloud
    ) -> None:
        put(cloud, DOMAINS, {"rules": [{"allowAll": True}]})
        assert self.add(admin, "allUsers").status_code == 200


class TestBuckets:
    def enforce(self, sandbox: Sandbox, constraint: str, spec: dict[str, Any]) -> None:
        put(sandbox.cloud, constraint, spec, "organizations/1")

    def test_a_bucket_needs_uniform_access(self, sandbox: Sandbox) -> None:
        sandbox.bucket("before")
        self.enforce(sandbox, UNIFORM, ENFORCE)
        url = "https://storage.googleapis.com/storage/v1/b"
        plain = sandbox.http().post(f"{url}?project={PROJECT}", json={"name": "after"})
        refused = (
            412,
            "Request violates constraint 'constraints/storage.uniformBucketLevelAccess'",
        )
        assert (plain.status_code, plain.json()["error"]["message"]) == refused
        access = {"iamConfiguration": {"uniformBucketLevelAccess": {"enabled": False}}}
        changed = sandbox.http().patch(f"{url}/before", json=access)
        assert (changed.status_code, changed.json()["error"]["message"]) == refused
        sandbox.bucket("after")
        assert {"before", "after"} == set(sandbox.cloud[Storage].buckets)

    def test_no_bucket_is_made_public(self, sandbox: Sandbox) -> None:
        sandbox.bucket()
        url = "https://storage.googleapis.com/storage/v1/b/iot-prod-models/iam"
        public = {"bindings": [{"role": "roles/storage.objectViewer", "members": ["allUsers"]}]}
        self.enforce(sandbox, PRIVATE, ENFORCE)
        answer = sandbox.http().put(url, json=public)
        assert answer.status_code == 412
        assert "public access prevention is enforced" in answer.json()["error"]["message"]

    def test_a_member_from_outside_is_a_failed_condition(self, sandbox: Sandbox) -> None:
        sandbox.bucket()
        values = {"allowedValues": ["principalSet://iam.googleapis.com/organizations/1"]}
        self.enforce(sandbox, DOMAINS, {"rules": [{"values": values}]})
        url = "https://storage.googleapis.com/storage/v1/b/iot-prod-models/iam"
        policy = sandbox.http().get(url).json()
        role = "roles/storage.objectViewer"
        own = {"role": role, "members": [f"serviceAccount:{email('serving')}"]}
        kept = {**policy, "bindings": [*policy["bindings"], own]}
        assert sandbox.http().put(url, json=kept).status_code == 200
        policy = sandbox.http().get(url).json()
        policy["bindings"].append({"role": role, "members": [OUTSIDE]})
        answer = sandbox.http().put(url, json=policy)
        assert (answer.status_code, answer.json()["error"]["message"]) == (
            412,
            "One or more users named in the policy do not belong to a permitted customer.",
        )
