"""Deny policies as clients write them, and what they keep from whom."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest
import requests
from google.cloud import iam_v2
from google.oauth2.credentials import Credentials

from simulator.api.audit import Audit
from simulator.api.errors import ApiError
from simulator.core.principal import Principal
from simulator.google import GoogleCloud
from simulator.iam import denials
from simulator.iam.decisions import Iam
from simulator.identity.accounts import Accounts
from simulator.identity.tokens import Identity
from simulator.seed import plant
from simulator.serve.proxy import Running
from tests.simulator.support.core import (
    ADMIN,
    LOCATION,
    NUMBER,
    PROJECT,
    WORKER,
    new_cloud,
    session,
)

HOST = "https://iam.googleapis.com"
POINT = quote(f"cloudresourcemanager.googleapis.com/projects/{PROJECT}", safe="")
NUMBERED = POINT.replace(PROJECT, NUMBER)
KEYS = "iam.googleapis.com/serviceAccountKeys.create"
CREATE, GET = "aiplatform.endpoints.create", "aiplatform.endpoints.get"
ANN = Principal("user:ann@example.com")
EVERYONE = "principalSet://goog/public:all"
ACCOUNT = f"principal://iam.googleapis.com/projects/-/serviceAccounts/{WORKER}"
ANNS = "principal://goog/subject/ann@example.com"


@pytest.fixture
def cloud() -> GoogleCloud:
    cloud = new_cloud()
    plant(cloud, {"organization": {"id": "1", "customer": "C0abc", "domains": ["example.com"]}})
    cloud[Iam].grant("organizations/1", "roles/iam.denyAdmin", f"serviceAccount:{ADMIN}")
    cloud[Iam].grant("organizations/1", "roles/aiplatform.user", ANN.member)
    return cloud


def rule(*permissions: str, to: tuple[str, ...] = (EVERYONE,), **more: Any) -> dict[str, Any]:
    denied = {"deniedPermissions": list(permissions), "deniedPrincipals": list(to)}
    return {"denyRule": denied | more}


def deny(cloud: GoogleCloud, *rules: dict[str, Any], on: str = f"projects/{PROJECT}") -> None:
    """In effect at once; what a caller would have to wait for is tested by itself."""
    name = f"{on}/denypolicies/p{len(cloud[Iam].ancestors(on))}"
    cloud[Iam].set_denials(name, denials.rules(name, rules), at_once=True)


def may(
    cloud: GoogleCloud, who: Principal = ANN, permission: str = CREATE, on: str = LOCATION
) -> bool:
    return cloud[Iam].decide(who, permission, on) is not None


ENDPOINTS = "aiplatform.googleapis.com/endpoints.create"


class TestTheApi:
    @pytest.mark.parametrize("version", ["v2", "v2beta"])
    def test_a_policy_is_made_read_changed_listed_and_deleted(
        self, admin: requests.Session, cloud: GoogleCloud, version: str
    ) -> None:
        policies = f"{HOST}/{version}/policies/{POINT}/denypolicies"
        body = {"displayName": "No keys", "rules": [rule(KEYS)]}
        started = admin.post(f"{policies}?policyId=no-keys", json=body).json()
        name = f"policies/{NUMBERED}/denypolicies/no-keys"
        assert started["name"].startswith(f"{name}/operations/")
        assert "done" not in started
        cloud.clock.step(5)
        finished = admin.get(f"{HOST}/{version}/{started['name']}").json()
        made = finished["response"]
        assert made["@type"] == f"type.googleapis.com/google.iam.{version}.Policy"
        read = admin.get(f"{policies}/no-keys").json()
        assert read == {key: value for key, value in made.items() if key != "@type"}
        assert (read["name"], read["kind"], read["rules"]) == (name, "DenyPolicy", body["rules"])

        changed = {**read, "displayName": "Still none"}
        cloud.clock.step(1)
        assert "error" not in admin.put(f"{policies}/no-keys", json=changed).json()
        after = admin.get(f"{policies}/no-keys").json()
        assert (after["displayName"], after["uid"]) == ("Still none", read["uid"])
        assert after["etag"] != read["etag"]
        assert after["updateTime"] > read["updateTime"]

        [listed] = admin.get(policies).json()["policies"]
        assert listed == {key: value for key, value in after.items() if key != "rules"}

        admin.delete(f"{policies}/no-keys?etag={quote(after['etag'])}").json()
        gone = admin.get(f"{policies}/no-keys")
        assert gone.status_code == 404
        assert gone.json()["error"]["message"] == f'Policy "{name}" not found.'

    def test_both_versions_see_the_same_policies(self, admin: requests.Session) -> None:
        path = f"policies/{POINT}/denypolicies"
        admin.post(f"{HOST}/v2beta/{path}?policyId=no-keys", json={"rules": [rule(KEYS)]})
        assert admin.get(f"{HOST}/v2/{path}/no-keys").json()["rules"] == [rule(KEYS)]

    def test_googles_own_client_manages_policies(
        self, cloud: GoogleCloud, running: Running, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name, value in running.environment().items():
            monkeypatch.setenv(name, value)
        credentials = Credentials(cloud[Identity].access_token(ADMIN))
        client = iam_v2.PoliciesClient(credentials=credentials, transport="rest")
        parent = f"policies/{POINT}/denypolicies"
        denied = {"denied_principals": [EVERYONE], "denied_permissions": [KEYS]}
        operation = client.create_policy(
            request={
                "parent": parent,
                "policy_id": "no-keys",
                "policy": {"rules": [{"deny_rule": denied}]},
            }
        )
        cloud.clock.step(5)
        made = operation.result(timeout=5)
        assert made.rules[0].deny_rule.denied_permissions == [KEYS]
        assert client.get_policy(name=f"{parent}/no-keys") == made
        assert [policy.uid for policy in client.list_policies(parent=parent)] == [made.uid]

    def test_a_stale_etag_is_refused(self, admin: requests.Session) -> None:
        policies = f"{HOST}/v2/policies/{POINT}/denypolicies"
        admin.post(f"{policies}?policyId=no-keys", json={"rules": [rule(KEYS)]})
        stale = {"etag": "stale", "rules": [rule(KEYS)]}
        for answer in (
            admin.put(f"{policies}/no-keys", json=stale),
            admin.delete(f"{policies}/no-keys?etag=stale"),
        ):
            assert (answer.status_code, answer.json()["error"]["status"]) == (409, "ABORTED")
        assert admin.get(f"{policies}/no-keys").status_code == 200

    def test_an_owner_may_not_touch_deny_policies(
        self, cloud: GoogleCloud, running: Running
    ) -> None:
        cloud[Iam].grant(f"projects/{PROJECT}", "roles/owner", f"serviceAccount:{WORKER}")
        owner = session(running, cloud[Identity].access_token(WORKER))
        url = f"{HOST}/v2/policies/{POINT}/denypolicies?policyId=no-keys"
        answer = owner.post(url, json={"rules": [rule(KEYS)]})
        assert answer.status_code == 403
        assert answer.json()["error"]["message"] == (
            "Permission iam.googleapis.com/denypolicies.create denied on resource "
            f"cloudresourcemanager.googleapis.com/projects/{PROJECT}"
        )

    @pytest.mark.parametrize(
        ("policy_id", "body", "message"),
        [
            ("No-Keys", {"rules": [rule(KEYS)]}, "policy ID"),
            ("no-keys", {"rules": []}, "needs rules"),
            ("no-keys", {"rules": [rule(KEYS)], "displayName": "x" * 64}, "63 characters"),
            ("no-keys", {"rules": [rule("iam.serviceAccountKeys.create")]}, "not supported"),
            ("no-keys", {"rules": [rule("aiplatform.googleapis.com/endpoints.c*")]}, "supported"),
            ("no-keys", {"rules": [rule("iot.googleapis.com/*.*")]}, "not supported"),
            ("no-keys", {"rules": [rule(KEYS, to=("user:a@b.c",))]}, "Invalid principal"),
            (
                "no-keys",
                {"rules": [rule(KEYS, exceptionPrincipals=[EVERYONE])]},
                "cannot contain",
            ),
            (
                "no-keys",
                {"rules": [rule(KEYS, denialCondition={"expression": "resource.name == 'a'"})]},
                "Invalid condition",
            ),
            ("no-keys", {"rules": [rule(KEYS)] * 501}, "up to 500"),
        ],
    )
    def test_a_policy_google_would_refuse_is_refused(
        self, admin: requests.Session, policy_id: str, body: dict[str, Any], message: str
    ) -> None:
        policies = f"{HOST}/v2/policies/{POINT}/denypolicies"
        answer = admin.post(f"{policies}?policyId={policy_id}", json=body)
        assert answer.status_code in (400, 429)
        assert message in answer.json()["error"]["message"]
        assert admin.get(policies).json() == {}


class TestEnforcement:
    def test_a_denial_beats_every_grant(self, cloud: GoogleCloud) -> None:
        cloud[Iam].grant(LOCATION, "roles/owner", ANN.member)
        assert may(cloud)
        deny(cloud, rule(ENDPOINTS))
        assert not may(cloud)
        assert may(cloud, permission=GET)

    @pytest.mark.parametrize("above", [f"projects/{PROJECT}", "folders/2", "organizations/1"])
    def test_a_denial_is_inherited(self, cloud: GoogleCloud, above: str) -> None:
        deny(cloud, rule(ENDPOINTS), on=above)
        assert not may(cloud)

    def test_a_denial_does_not_reach_beside_it(self, cloud: GoogleCloud) -> None:
        deny(cloud, rule(ENDPOINTS))
        assert may(cloud, on="projects/other/locations/us-central1")

    @pytest.mark.parametrize(
        ("principal", "who"),
        [
            (ANNS, ANN),
            (ACCOUNT, Principal(f"serviceAccount:{WORKER}")),
            ("principalSet://goog/group/team@example.com", ANN),
            ("principalSet://goog/cloudIdentityCustomerId/C0abc", ANN),
            (
                f"principalSet://cloudresourcemanager.googleapis.com/projects/{NUMBER}"
                "/type/ServiceAccount",
                Principal(f"serviceAccount:{WORKER}"),
            ),
            (
                "principalSet://cloudresourcemanager.googleapis.com/organizations/1"
                "/type/ServiceAccount",
                Principal(f"serviceAccount:{WORKER}"),
            ),
            (
                "principalSet://iam.googleapis.com/projects/1/locations/global"
                "/workloadIdentityPools/github/attribute.repository/acme/iot",
                Principal(
                    "principal://iam.googleapis.com/projects/1/locations/global"
                    "/workloadIdentityPools/github/subject/s",
                    (
                        "principalSet://iam.googleapis.com/projects/1/locations/global"
                        "/workloadIdentityPools/github/attribute.repository/acme/iot",
                    ),
                ),
            ),
        ],
    )
    def test_it_is_for_whom_it_names_and_for_no_one_else(
        self, cloud: GoogleCloud, principal: str, who: Principal
    ) -> None:
        stranger = Principal("user:bob@elsewhere.com")
        cloud[Iam].groups["team@example.com"] = {ANN.member}
        cloud[Iam].grant("organizations/1", "roles/aiplatform.user", "allUsers")
        deny(cloud, rule(ENDPOINTS, to=(principal,)))
        assert not may(cloud, who)
        assert may(cloud, stranger)
        deny(cloud, rule(ENDPOINTS, exceptionPrincipals=[principal]))
        assert may(cloud, who)
        assert not may(cloud, stranger)

    def test_a_group_of_permissions_covers_all_that_match(self, cloud: GoogleCloud) -> None:
        deny(cloud, rule("aiplatform.googleapis.com/endpoints.*"))
        assert not may(cloud) and not may(cloud, permission=GET)
        assert may(cloud, permission="aiplatform.models.get")
        deny(cloud, rule("aiplatform.googleapis.com/*.get"))
        assert may(cloud) and not may(cloud, permission=GET)
        assert not may(cloud, permission="aiplatform.models.get")
        deny(cloud, rule("aiplatform.googleapis.com/*.*", exceptionPermissions=[ENDPOINTS]))
        assert may(cloud) and not may(cloud, permission=GET)

    def test_names_of_version_2_stand_for_those_in_roles(self) -> None:
        for long, short in (
            ("iam.googleapis.com/roles.create", "iam.roles.create"),
            ("cloudresourcemanager.googleapis.com/projects.get", "resourcemanager.projects.get"),
            ("storage.googleapis.com/objects.get", "storage.objects.get"),
            # Some are in roles under their long name.
            ("iam.googleapis.com/workloadIdentityPools.create",) * 2,
        ):
            assert denials.v1_permissions([long]) == {short}

    @pytest.mark.parametrize(
        ("expression", "denied"),
        [
            ("resource.matchTag('1/env', 'prod')", True),
            ("resource.matchTag('1/env', 'test')", False),
            ("!resource.matchTag('1/env', 'test')", True),
            ("resource.hasTagKey('1/env')", True),
            ("resource.hasTagKey('1/team')", False),
        ],
    )
    def test_a_condition_on_tags_decides_whether_a_rule_applies(
        self, cloud: GoogleCloud, expression: str, denied: bool
    ) -> None:
        tags = {"organizations/1": {"1/env": "test"}, f"projects/{PROJECT}": {"1/env": "prod"}}
        plant(cloud, {"tags": tags})
        deny(cloud, rule(ENDPOINTS, denialCondition={"expression": expression}))
        assert may(cloud) is not denied

    def test_it_takes_effect_and_loses_it_when_that_has_propagated(
        self, admin: requests.Session, cloud: GoogleCloud
    ) -> None:
        policies = f"{HOST}/v2/policies/{POINT}/denypolicies"
        admin.post(f"{policies}?policyId=none", json={"rules": [rule(ENDPOINTS)]})
        cloud.clock.step(59)
        assert may(cloud)
        cloud.clock.step(1)
        assert not may(cloud)
        admin.delete(f"{policies}/none")
        cloud.clock.step(59)
        assert not may(cloud)
        cloud.clock.step(1)
        assert may(cloud)

    def test_a_call_is_denied_and_the_audit_log_names_the_policy(
        self, cloud: GoogleCloud, running: Running
    ) -> None:
        cloud[Iam].grant(f"projects/{PROJECT}", "roles/owner", f"serviceAccount:{WORKER}")
        worker = session(running, cloud[Identity].access_token(WORKER))
        roles = f"{HOST}/v1/projects/{PROJECT}/roles"
        assert worker.get(roles).status_code == 200
        deny(cloud, rule("iam.googleapis.com/roles.list", to=(ACCOUNT,)))
        assert worker.get(roles).status_code == 403
        entry = cloud[Audit].since(0)[-1]
        assert (entry.granted, entry.status) == (False, 403)
        assert entry.json()["deniedBy"] == f"projects/{PROJECT}/denypolicies/p3"
        tested = worker.post(
            f"https://cloudresourcemanager.googleapis.com/v1/projects/{PROJECT}:testIamPermissions",
            json={"permissions": ["iam.roles.list", "iam.roles.get"]},
        )
        assert tested.json() == {"permissions": ["iam.roles.get"]}

    def test_a_deleted_account_stays_in_a_rule_but_not_for_its_namesake(
        self, admin: requests.Session, cloud: GoogleCloud
    ) -> None:
        cloud[Iam].grant("organizations/1", "roles/aiplatform.user", "allUsers")
        policies = f"{HOST}/v2/policies/{POINT}/denypolicies"
        body = {"rules": [rule(ENDPOINTS, to=(ACCOUNT,))]}
        admin.post(f"{policies}?policyId=worker", json=body)
        cloud.clock.step(60)
        worker, account = Principal(f"serviceAccount:{WORKER}"), cloud[Accounts].find(WORKER)
        assert account is not None and not may(cloud, worker)
        cloud[Accounts].delete(account)
        [denied] = admin.get(f"{policies}/worker").json()["rules"]
        gone = f"deleted:{ACCOUNT}?uid={account.unique_id}"
        assert denied["denyRule"]["deniedPrincipals"] == [gone]
        cloud[Accounts].create(PROJECT, "worker")
        assert may(cloud, worker)

    def test_a_rule_that_denies_nothing_known_never_reaches_the_evaluator(
        self, cloud: GoogleCloud
    ) -> None:
        with pytest.raises(ApiError, match="not supported"):
            deny(cloud, rule("aiplatform.googleapis.com/endpoints.mutateDeployedModel"))
        assert may(cloud)
