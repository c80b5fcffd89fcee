"""Roles, accounts, projects and API enablement as clients meet them."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from simulator.core.principal import Principal
from simulator.google import GoogleCloud
from simulator.iam.decisions import Iam
from simulator.iam.roles import CustomRoles
from simulator.identity.accounts import Accounts
from simulator.identity.tokens import Identity
from simulator.services.resourcemanager import Projects
from simulator.services.serviceusage import Services
from tests.simulator.support.core import (
    ADMIN,
    CRM,
    IAM,
    NUMBER,
    PROJECT,
    USAGE,
    WORKER,
    WORKER_NAME,
)

ROLES = f"{IAM}/projects/{PROJECT}/roles"
ROLE = f"projects/{PROJECT}/roles/deployer"
ACCOUNTS = f"{IAM}/projects/{PROJECT}/serviceAccounts"
GET, CREATE = "aiplatform.endpoints.get", "aiplatform.endpoints.create"
AGENT = f"service-{NUMBER}@gcp-sa-aiplatform.iam.gserviceaccount.com"


def make_role(admin: requests.Session, *permissions: str, role_id: str = "deployer") -> Any:
    role = {"title": "Deployer", "stage": "GA", "includedPermissions": list(permissions)}
    return admin.post(ROLES, json={"roleId": role_id, "role": role})


def message(answer: requests.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["message"]


class TestCustomRoles:
    def test_a_role_is_made_read_changed_and_listed(self, admin: requests.Session) -> None:
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

    def test_a_role_that_never_was_is_404(self, admin: requests.Session) -> None:
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
        self, admin: requests.Session, permission: str
    ) -> None:
        expected = (400, f"Permission {permission} is not valid.")
        assert message(make_role(admin, GET, permission)) == expected

    @pytest.mark.parametrize("role_id", ["ab", "with-dash", "x" * 65])
    def test_a_role_id_has_a_form(self, admin: requests.Session, role_id: str) -> None:
        assert make_role(admin, GET, role_id=role_id).status_code == 400

    def test_a_deleted_role_blocks_its_id_until_undeleted_and_patched(
        self, cloud: GoogleCloud, admin: requests.Session
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
        self, cloud: GoogleCloud, admin: requests.Session
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
        self, cloud: GoogleCloud, admin: requests.Session, days: int, said: str
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
        self, cloud: GoogleCloud, admin: requests.Session, days: int, bound: bool
    ) -> None:
        make_role(admin, GET)
        cloud[Iam].grant(f"projects/{PROJECT}", ROLE, f"serviceAccount:{WORKER}")
        admin.delete(f"{IAM}/{ROLE}")
        cloud.clock.step(days * 86_400)
        admin.headers["Authorization"] = f"Bearer {cloud[Identity].access_token(ADMIN)}"
        policy = admin.post(f"{CRM}/v1/projects/{PROJECT}:getIamPolicy", json={}).json()
        assert (ROLE in {binding["role"] for binding in policy["bindings"]}) == bound

    def test_deleted_roles_count_as_roles_of_the_project(
        self, cloud: GoogleCloud, admin: requests.Session
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

    def test_a_stale_etag_is_refused(self, admin: requests.Session) -> None:
        etag = make_role(admin, GET).json()["etag"]
        assert admin.patch(f"{IAM}/{ROLE}", json={"title": "x"}).status_code == 200
        late = admin.patch(f"{IAM}/{ROLE}", json={"title": "y", "etag": etag})
        assert (late.status_code, late.json()["error"]["status"]) == (409, "ABORTED")

    def test_a_second_role_of_one_id_is_refused(self, admin: requests.Session) -> None:
        make_role(admin, GET)
        assert make_role(admin, GET).status_code == 409

    def test_predefined_roles_can_be_read(self, admin: requests.Session) -> None:
        role = admin.get(f"{IAM}/roles/pubsub.publisher").json()
        assert role["includedPermissions"] == ["pubsub.topics.publish"]
        assert admin.get(f"{IAM}/roles/iot.admin").status_code == 404

    def test_testable_permissions_come_in_pages(self, admin: requests.Session) -> None:
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
        self, admin: requests.Session, stage: str, shown: str | None
    ) -> None:
        role = {"title": "Deployer", "stage": stage, "includedPermissions": [GET]}
        made = admin.post(ROLES, json={"roleId": "deployer", "role": role}).json()
        assert made.get("stage") == shown


class TestServiceAccounts:
    def test_an_account_is_made_changed_and_deleted(self, admin: requests.Session) -> None:
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
    def test_an_account_id_has_a_form(self, admin: requests.Session, account_id: str) -> None:
        assert admin.post(ACCOUNTS, json={"accountId": account_id}).status_code == 400

    def test_a_second_account_of_one_id_is_refused(self, admin: requests.Session) -> None:
        answer = admin.post(ACCOUNTS, json={"accountId": "worker"})
        assert (answer.status_code, answer.json()["error"]["status"]) == (409, "ALREADY_EXISTS")

    def test_acting_as_an_account_is_granted_on_the_account(
        self, cloud: GoogleCloud, admin: requests.Session
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
        self, cloud: GoogleCloud, admin: requests.Session
    ) -> None:
        cloud[Accounts].create_agent("aiplatform", PROJECT)
        first = admin.get(ACCOUNTS, params={"pageSize": 1}).json()
        second = admin.get(
            ACCOUNTS, params={"pageSize": 1, "pageToken": first["nextPageToken"]}
        ).json()
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
        self, cloud: GoogleCloud, admin: requests.Session, email: str
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
        self, cloud: GoogleCloud, admin: requests.Session
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


class TestProjects:
    def test_both_versions_show_one_project(self, admin: requests.Session) -> None:
        v1 = admin.get(f"{CRM}/v1/projects/{PROJECT}").json()
        v3 = admin.get(f"{CRM}/v3/projects/{PROJECT}").json()
        assert (v1["projectNumber"], v1["parent"]) == (NUMBER, {"type": "folder", "id": "2"})
        assert (v3["name"], v3["parent"]) == (f"projects/{NUMBER}", "folders/2")

    def test_a_policy_is_read_and_written_as_the_official_provider_does(
        self, cloud: GoogleCloud, admin: requests.Session
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
        self, cloud: GoogleCloud, admin: requests.Session
    ) -> None:
        role = "roles/resourcemanager.organizationAdmin"
        cloud[Iam].grant("organizations/1", role, f"serviceAccount:{ADMIN}")
        assert admin.get(f"{CRM}/v3/organizations/1").json()["state"] == "ACTIVE"
        assert admin.get(f"{CRM}/v3/folders/2").json()["name"] == "folders/2"
        policy = admin.post(f"{CRM}/v3/organizations/1:getIamPolicy", json={}).json()
        assert policy["bindings"][0]["role"] == role

    def test_testing_a_permission_projects_do_not_have_is_400(
        self, admin: requests.Session
    ) -> None:
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
        self, cloud: GoogleCloud, admin: requests.Session, query: str, found: list[str]
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
        self, cloud: GoogleCloud, admin: requests.Session
    ) -> None:
        url = f"{CRM}/v3/projects"
        assert admin.get(url, params={"parent": "organizations/1"}).status_code == 403
        cloud[Iam].grant("organizations/1", "roles/browser", f"serviceAccount:{ADMIN}")
        listed = admin.get(url, params={"parent": "organizations/1"}).json()["projects"]
        assert [item["projectId"] for item in listed] == ["other"]
        assert admin.get(url, params={"parent": "projects/other"}).status_code == 400

    @pytest.mark.parametrize("query", ["NOT id:a", "(id:a)", "id:a AND id:b OR id:c", "size:1"])
    def test_a_query_that_is_not_understood_is_refused(
        self, admin: requests.Session, query: str
    ) -> None:
        answer = admin.get(f"{CRM}/v1/projects", params={"filter": query})
        assert (answer.status_code, "is not simulated" in answer.text) == (501, True)

    def test_billing_is_known(self, admin: requests.Session) -> None:
        url = f"https://cloudbilling.googleapis.com/v1/projects/{PROJECT}/billingInfo"
        assert admin.get(url).json()["billingEnabled"] is True


class TestServiceUsage:
    SERVICES = f"{USAGE}/v1/projects/{PROJECT}/services"

    def enabled(self, admin: requests.Session) -> set[str]:
        answer = admin.get(self.SERVICES, params={"filter": "state:ENABLED"}).json()
        return {item["config"]["name"] for item in answer["services"]}

    def test_services_are_enabled_in_batches(
        self, cloud: GoogleCloud, admin: requests.Session
    ) -> None:
        names = ["aiplatform.googleapis.com", "pubsub.googleapis.com"]
        operation = admin.post(f"{self.SERVICES}:batchEnable", json={"serviceIds": names}).json()
        cloud.clock.step(5)
        done = admin.get(f"{USAGE}/v1/{operation['name']}").json()
        assert done["done"] is True
        assert set(names) < self.enabled(admin)

    @pytest.mark.parametrize("service", ["iot.googleapis.com", "cloudiot.googleapis.com"])
    def test_a_service_google_does_not_have_is_refused(
        self, admin: requests.Session, service: str
    ) -> None:
        answer = admin.post(f"{self.SERVICES}:batchEnable", json={"serviceIds": [service]})
        expected = f"Not found or permission denied for service(s): {service}."
        assert message(answer) == (403, expected)

    def test_a_batch_has_a_limit(self, admin: requests.Session) -> None:
        names = ["pubsub.googleapis.com"] * 21
        answer = admin.post(f"{self.SERVICES}:batchEnable", json={"serviceIds": names})
        assert answer.status_code == 400

    def test_a_disabled_service_stops_answering_after_a_while(
        self, cloud: GoogleCloud, admin: requests.Session
    ) -> None:
        admin.post(f"{self.SERVICES}/cloudbilling.googleapis.com:disable", json={})
        cloud.clock.step(5)
        url = f"https://cloudbilling.googleapis.com/v1/projects/{PROJECT}/billingInfo"
        assert admin.get(url).status_code == 200
        cloud.clock.step(120)
        assert admin.get(url).status_code == 403

    def test_what_another_service_depends_on_is_not_switched_off_alone(
        self, cloud: GoogleCloud, admin: requests.Session
    ) -> None:
        names = ["bigquery.googleapis.com", "bigquerystorage.googleapis.com"]
        cloud[Services].seed(PROJECT, names)
        url = f"{self.SERVICES}/bigquery.googleapis.com:disable"
        error = admin.post(url, json={}).json()["error"]
        # hashicorp/terraform-provider-google#5304, with today's "service(s)"; details as
        # `gcloud services disable` prints them.
        assert (error["code"], error["status"]) == (400, "FAILED_PRECONDITION")
        assert error["message"] == (
            "The service bigquery.googleapis.com is depended on by the following active "
            "service(s): bigquerystorage.googleapis.com; Please specify "
            "disable_dependent_services=true if you want to proceed with disabling all services."
        )
        assert error["errors"][0]["reason"] == "failedPrecondition"
        subject = (
            "?error_code=100001&service_name=bigquery.googleapis.com"
            "&services=bigquerystorage.googleapis.com"
        )
        assert error["details"] == [
            {
                "@type": "type.googleapis.com/google.rpc.PreconditionFailure",
                "violations": [{"type": "googleapis.com", "subject": subject}],
            },
            {
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": "COMMON_SU_SERVICE_HAS_DEPENDENT_SERVICES",
                "domain": "serviceusage.googleapis.com",
                "metadata": {"service_name": names[0], "services": names[1]},
            },
        ]
        assert set(names) < self.enabled(admin)
        assert admin.post(url, json={"disableDependentServices": True}).status_code == 200
        cloud.clock.step(5)
        assert not set(names) & self.enabled(admin)

    def test_a_service_brings_along_what_it_depends_on(
        self, cloud: GoogleCloud, admin: requests.Session
    ) -> None:
        admin.post(f"{self.SERVICES}/container.googleapis.com:enable", json={})
        cloud.clock.step(5)
        needed = {f"{name}.googleapis.com" for name in ("container", "compute", "oslogin")}
        assert needed <= self.enabled(admin)
        # One that nothing else needs goes alone.
        assert admin.post(f"{self.SERVICES}/container.googleapis.com:disable").status_code == 200
        cloud.clock.step(5)
        assert needed - self.enabled(admin) == {"container.googleapis.com"}

    def test_whether_a_service_was_used_is_not_simulated(self, admin: requests.Session) -> None:
        url = f"{self.SERVICES}/pubsub.googleapis.com:disable"
        answer = admin.post(url, json={"checkIfServiceHasUsage": "CHECK"})
        assert (answer.status_code, "checkIfServiceHasUsage CHECK" in answer.text) == (501, True)
        assert admin.post(url, json={"checkIfServiceHasUsage": "SKIP"}).status_code == 200

    @pytest.mark.parametrize(("service", "status"), [("healthcare", 501), ("nothing", 403)])
    def test_an_agent_that_is_not_known_here_says_so(
        self, admin: requests.Session, service: str, status: int
    ) -> None:
        url = f"{USAGE}/v1beta1/projects/{PROJECT}/services/{service}.googleapis.com"
        refused = message(admin.post(f"{url}:generateServiceIdentity"))
        assert refused[0] == status
        assert status == 403 or refused[1] == (
            "serviceusage.services.generateServiceIdentity for healthcare.googleapis.com is not "
            "simulated."
        )

    def test_polling_an_operation_takes_its_own_permission(
        self, cloud: GoogleCloud, admin: requests.Session
    ) -> None:
        body = {"serviceIds": ["pubsub.googleapis.com"]}
        name = admin.post(f"{self.SERVICES}:batchEnable", json=body).json()["name"]
        token = cloud[Identity].access_token(WORKER)
        denied = admin.get(f"{USAGE}/v1/{name}", headers={"Authorization": f"Bearer {token}"})
        assert "serviceusage.operations.get" in message(denied)[1]

    def test_no_agent_is_made_in_a_project_that_is_not_there(self, admin: requests.Session) -> None:
        url = f"{USAGE}/v1beta1/projects/nope/services/aiplatform.googleapis.com"
        denied = admin.post(f"{url}:generateServiceIdentity")
        assert message(denied) == (403, "Permission denied on resource project nope.")

    def test_asking_for_a_service_agent_makes_one_that_holds_nothing(
        self, cloud: GoogleCloud, admin: requests.Session
    ) -> None:
        assert cloud[Accounts].agent("aiplatform", PROJECT) is None
        url = f"{USAGE}/v1beta1/projects/{PROJECT}/services/aiplatform.googleapis.com"
        operation = admin.post(f"{url}:generateServiceIdentity").json()
        assert operation["done"] is True
        assert operation["response"]["email"] == AGENT
        agent = cloud[Accounts].agent("aiplatform", PROJECT)
        assert agent is not None
        held = cloud[Iam].test(agent, f"projects/{PROJECT}", ["storage.objects.get"])
        assert held == []
