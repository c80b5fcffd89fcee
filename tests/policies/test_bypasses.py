"""Ways around the pack that have to fail, on the real engine."""

from __future__ import annotations

import json
from typing import Any

import pytest

from policies.gcp_access import roles
from policies.gcp_access.rules.examples import (
    ACCOUNT,
    ACCOUNT_MEMBER,
    CUSTOM_ROLE,
    DATASET,
    GROUP,
    PROJECT,
    PROJECT_BINDING,
    PROJECT_POLICY,
    TRUSTED,
    USER,
    account,
    account_name,
    email,
    on_account,
    on_bucket,
    on_project,
)
from policies.gcp_access.rules.federation import POOL, github
from policies.gcp_access.rules.rule import Example
from tests.policies.support import Engine, Outcome, each

BROAD = "roles/aiplatform.user"
HELD = sorted(roles.permissions(BROAD) or ())
ORGANIZATION_MEMBER = "gcp:organizations/iAMMember:IAMMember"


def policy(*bindings: tuple[str, list[str]]) -> str:
    return json.dumps({"bindings": [{"role": role, "members": who} for role, who in bindings]})


def bucket_policy(data: str) -> tuple[str, dict[str, Any]]:
    return "gcp:storage/bucketIAMPolicy:BucketIAMPolicy", {"bucket": "b", "policyData": data}


# What is tried, the resource that has to be found, and the rules that have to find it.
ATTEMPTS: dict[str, tuple[Example, str, set[str]]] = {
    "a whole policy instead of a member": (
        {"p": (PROJECT_POLICY, {"project": PROJECT, "policyData":
               policy(("roles/browser", [GROUP]), ("roles/owner", [GROUP]))})},
        "p", {"G2", "G13"}),
    "a broad role second in a whole policy": (
        {"p": (PROJECT_POLICY, {"project": PROJECT, "policyData":
               policy(("roles/browser", [GROUP]), (BROAD, [GROUP]))})},
        "p", {"G4", "G5"}),
    "a binding with everybody second": (
        {"b": ("gcp:storage/bucketIAMBinding:BucketIAMBinding",
               {"bucket": "b", "role": "roles/storage.objectViewer",
                "members": [account("pm-serving"), "allUsers"]})},
        "b", {"G1"}),
    "a binding with a default account second": (
        {"b": (PROJECT_BINDING, {"project": PROJECT, "role": "roles/browser", "members":
               [GROUP, "serviceAccount:1-compute@developer.gserviceaccount.com"]})},
        "b", {"G9"}),
    "a basic role in another case, with spaces": (
        {"m": on_project(" Roles/EDITOR ", GROUP)}, "m", {"G2"}),
    "a broad role in another case, with spaces": (
        {"m": on_project(" roles/AIPlatform.User", GROUP)}, "m", {"G4", "G5"}),
    "a member in another case, with spaces": (
        {"m": on_bucket("roles/storage.objectViewer", " AllUsers ")}, "m", {"G1"}),
    "a person in another case": (
        {"m": on_bucket("roles/storage.objectViewer", "USER:ana@example.com")}, "m", {"G10"}),
    "the new basic roles": ({"m": on_project("roles/writer", GROUP)}, "m", {"G2"}),
    "a custom role that copies a broad one": (
        {"copy": (CUSTOM_ROLE, {"project": PROJECT, "roleId": "copy", "permissions": HELD}),
         "m": on_project("${copy.name}", account("pm-deployer"))},
        "m", {"G4", "G5"}),
    "the copy itself": (
        {"copy": (CUSTOM_ROLE, {"project": PROJECT, "roleId": "copied", "permissions": HELD})},
        "copy", {"R4", "R6"}),
    "a custom role with a wildcard": (
        {"all": (CUSTOM_ROLE, {"project": PROJECT, "roleId": "all",
                               "permissions": ["aiplatform.*"]})},
        "all", {"R1", "R2"}),
    "a custom role of another project": (
        {"m": on_bucket("projects/elsewhere/roles/reader", GROUP)}, "m", {"G14"}),
    "a role of another project with the id of one that is declared": (
        {"own": (CUSTOM_ROLE, {"project": PROJECT, "roleId": "same",
                               "permissions": ["storage.objects.get"]}),
         "m": on_bucket("projects/elsewhere/roles/same", GROUP)},
        "m", {"G14"}),
    "a role that Google will invent": (
        {"m": on_bucket("roles/tomorrow.everything", GROUP)}, "m", {"G14"}),
    "a condition that is always true": (
        {"m": on_project(BROAD, GROUP, condition={"title": "t", "expression": "true"})},
        "m", {"G4", "G5", "G19"}),
    "a condition with an alternative that is always true": (
        {"m": on_project("roles/browser", GROUP, condition={"title": "t", "expression":
              'request.time < timestamp("2020-01-01T00:00:00Z") || 1 == 1'})},
        "m", {"G19"}),
    "a condition that ended": (
        {"m": on_project("roles/browser", GROUP, condition={"title": "t", "expression":
              'request.time < timestamp("2020-01-01T00:00:00Z")'})},
        "m", {"G19"}),
    "a condition on a basic role": (
        {"m": on_project("roles/owner", GROUP, condition={"title": "t", "expression":
              'request.time < timestamp("2999-01-01T00:00:00Z")'})},
        "m", {"G2"}),
    "everybody as a dataset's special group": (
        {"d": (DATASET, {"datasetId": "d", "accesses": [
            {"role": "READER", "specialGroup": "projectReaders"},
            {"role": "READER", "specialGroup": "allAuthenticatedUsers"}]})},
        "d", {"G1"}),
    "everybody as a dataset's iamMember": (
        {"d": (DATASET, {"datasetId": "d", "accesses": [
            {"role": "READER", "iamMember": "allUsers"}]})},
        "d", {"G1"}),
    "everybody by one access of a dataset": (
        {"d": ("gcp:bigquery/datasetAccess:DatasetAccess",
               {"datasetId": "d", "role": "READER", "specialGroup": "allUsers"})},
        "d", {"G1"}),
    "a canned access list": (
        {"a": ("gcp:storage/bucketACL:BucketACL", {"bucket": "b", "predefinedAcl": "publicRead"})},
        "a", {"G1", "B3"}),
    "a default access list": (
        {"a": ("gcp:storage/bucketACL:BucketACL",
               {"bucket": "b", "defaultAcl": "publicReadWrite"})},
        "a", {"G1", "B3"}),
    "entities of an access list": (
        {"a": ("gcp:storage/objectACL:ObjectACL",
               {"bucket": "b", "object": "o", "roleEntities": ["READER:allUsers"]})},
        "a", {"G1", "B3"}),
    "one entry of an access list": (
        {"a": ("gcp:storage/objectAccessControl:ObjectAccessControl",
               {"bucket": "b", "object": "o", "role": "OWNER", "entity": "allUsers"})},
        "a", {"G1", "G17", "B3"}),
    "the old token of service accounts": (
        {"m": ("gcp:serviceAccount/iAMMember:IAMMember",
               {"serviceAccountId": account_name("pm-deployer"), "member": GROUP,
                "role": "roles/iam.serviceAccountTokenCreator"})},
        "m", {"S3"}),
    "an agent's role for a person": (
        {"m": on_project("roles/aiplatform.serviceAgent", USER)}, "m", {"G7"}),
    "an agent's role for an account that looks like an agent": (
        {"m": on_project("roles/aiplatform.serviceAgent", account("service-100000000001"))},
        "m", {"G7"}),
    "a grant on a folder": (
        {"m": ("gcp:folder/iAMMember:IAMMember",
               {"folder": "folders/1", "role": "roles/browser", "member": GROUP})},
        "m", {"G12"}),
    "a broad grant on the organisation": (
        {"m": (ORGANIZATION_MEMBER, {"orgId": "1", "role": BROAD, "member": GROUP})},
        "m", {"G4", "G5", "G12"}),
    "a grant on the billing account": (
        {"m": ("gcp:billing/accountIamMember:AccountIamMember",
               {"billingAccountId": "1", "role": "roles/billing.user", "member": GROUP})},
        "m", {"G12"}),
    "tokens of every account": (
        {"m": on_project("roles/iam.serviceAccountTokenCreator", TRUSTED)}, "m", {"S2"}),
    "actAs on every account, by a custom role": (
        {"act": (CUSTOM_ROLE, {"project": PROJECT, "roleId": "act",
                               "permissions": ["iam.serviceAccounts.actAs"]}),
         "m": on_project("${act.name}", account("pm-deployer"))},
        "m", {"S2"}),
    "an account that becomes itself": (
        {"m": on_account("pm-telemetry", "roles/iam.serviceAccountTokenCreator",
                         account("pm-telemetry"))},
        "m", {"S9"}),
    "a whole pool": (
        {"m": on_account("pm-deployer", "roles/iam.workloadIdentityUser", f"{POOL}/ci/*")},
        "m", {"W4"}),
    "a condition on the owner alone": (
        {"p": github(attributeCondition="assertion.repository_owner_id == '1'")},
        "p", {"W2"}),
    "a condition on all other repositories": (
        {"p": github(attributeCondition="assertion.repository_id != '1'")}, "p", {"W2"}),
    "a condition by prefix": (
        {"p": github(attributeCondition="assertion.repository.startsWith('example/')")},
        "p", {"W2"}),
    "a condition with a way around": (
        {"p": github(attributeCondition=
                        "assertion.repository_id == '1' || assertion.actor == 'ana'")},
        "p", {"W2"}),
    "a condition with operators in a text": (
        {"p": github(attributeCondition=
                        "assertion.ref == \"x' && assertion.repository_id == '1\"")},
        "p", {"W2"}),
    "a role to be had for some hours": (
        {"e": ("gcp:privilegedaccessmanager/entitlement:entitlement", {
            "parent": f"projects/{PROJECT}", "eligibleUsers": [{"principals": [GROUP]}],
            "privilegedAccess": {"gcpIamAccess": {
                "resource": f"//cloudresourcemanager.googleapis.com/projects/{PROJECT}",
                "roleBindings": [{"role": "roles/browser"}, {"role": "roles/owner"}]}}})},
        "e", {"G2"}),
    "permissions without a role": (
        {"a": ("gcp:iam/projectAccessPolicy:ProjectAccessPolicy", {
            "project": PROJECT, "details": {"rules": [{
                "effect": "ALLOW", "principals": [GROUP], "operation": {"permissions": [
                    "cloudresourcemanager.googleapis.com/projects.setIamPolicy",
                    "resourcemanager.projects.setIamPolicy"]}}]}})},
        "a", {"G3"}),
    "a deny policy that leaves everybody out": (
        {"d": ("gcp:iam/denyPolicy:DenyPolicy", {"parent": "p", "rules": [{"denyRule": {
            "deniedPrincipals": ["principalSet://goog/public:all"],
            "exceptionPrincipals": ["principalSet://goog/public:all"]}}]})},
        "d", {"G1"}),
    "a type that the provider gets tomorrow": (
        {"t": ("gcp:tomorrow/thingIamMember:ThingIamMember",
               {"thing": "t", "role": "roles/owner", "member": "allUsers"})},
        "t", {"G1", "G2"}),
    "a policy of a type that the provider gets tomorrow": (
        {"t": ("gcp:tomorrow/thingIamPolicy:ThingIamPolicy",
               {"thing": "t", "policyData": policy(("roles/viewer", ["allUsers"]))})},
        "t", {"G1", "G2"}),
    "a policy that is no policy": ({"p": bucket_policy("{}")}, "p", {"G14"}),
    "an unknown member": (
        {"sa": (ACCOUNT, {"project": PROJECT, "accountId": "pm-new"}),
         "m": on_project("roles/owner", "${sa.member}")},
        "m", {"G2"}),
    "an unknown member, with a broad role": (
        {"b": on_bucket("roles/storage.objectViewer", GROUP),
         "m": on_project(BROAD, "${b.member}")},
        "m", {"G4", "G5"}),
    "an unknown account that starts code": (
        {"sa": (ACCOUNT, {"project": PROJECT, "accountId": "pm-else"}),
         "deploys": (CUSTOM_ROLE, {"project": PROJECT, "roleId": "deploys",
                                   "permissions": ["aiplatform.endpoints.deploy"]}),
         "m": on_project("${deploys.name}", "${sa.member}")},
        "m", {"G4"}),
    "a default account of a model": (
        {"r": ("vertexops:index:ModelRollout", {"endpoint": "e", "models": [
            {"model": "m", "traffic": 100, "machineType": "t",
             "serviceAccount": "1-compute@developer.gserviceaccount.com"}]})},
        "r", {"V8", "V9", "S4"}),
}  # fmt: skip


def starts_as(actor: str, acted: str, **more: Any) -> Example:
    """An account that starts code, and may do so as another."""
    return {
        "actor": (ACCOUNT, {"project": PROJECT, "accountId": actor}),
        "starts": (CUSTOM_ROLE, {"project": PROJECT, "roleId": f"{actor}Starts".replace("-", "_"),
                                 "permissions": ["aiplatform.customJobs.create"]}),
        "may": on_project("${starts.name}", account(actor)),
        **more,
        "acts": (ACCOUNT_MEMBER, {"serviceAccountId": f"projects/{PROJECT}/serviceAccounts/{acted}",
                                  "role": "roles/iam.serviceAccountUser",
                                  "member": account(actor)}),
    }  # fmt: skip


ATTEMPTS |= {
    "starting code as a default account": (
        starts_as("pm-one", "1-compute@developer.gserviceaccount.com"), "acts", {"G15"}),
    "starting code as an account of who knows where": (
        starts_as("pm-two", "strong@elsewhere.iam.gserviceaccount.com"), "acts", {"G15"}),
    "starting code as an account that starts code": (
        starts_as("pm-three", email("pm-one")), "acts", {"G15"}),
    "starting code as an owner": (
        starts_as("pm-four", email("pm-boss"),
                  boss=(ACCOUNT, {"project": PROJECT, "accountId": "pm-boss"}),
                  owns=on_project("roles/owner", account("pm-boss"))),
        "acts", {"G15"}),
}  # fmt: skip


# What they share is made once, by one worker.
pytestmark = pytest.mark.xdist_group("bypasses")


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    return Engine(tmp_path_factory.mktemp("engine"))


@pytest.fixture(scope="module")
def previewed(engine: Engine) -> Outcome:
    numbered = {f"a{n}": attempt[0] for n, attempt in enumerate(ATTEMPTS.values())}
    return engine.preview("prod", each(numbered))


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_an_attempt_is_blocked(attempt: str, previewed: Outcome) -> None:
    _, resource, expected = ATTEMPTS[attempt]
    name = f"a{list(ATTEMPTS).index(attempt)}-{resource}"
    assert expected <= previewed.rules(name, "mandatory")


def test_what_is_hidden_behind_an_output_is_named_in_preview_and_blocked_before_it_is_created(
    engine: Engine,
) -> None:
    program = each({"hidden": {
        "source": on_bucket("roles/storage.objectViewer", GROUP),
        "grant": on_project("${source.etag}", GROUP),  # "roles/editor", once it is known
    }})  # fmt: skip
    previewed = engine.preview("hidden", program)
    (said,) = [v.message for v in previewed.violations if v.rule == "X3"]
    assert "cannot be judged in preview: " in said and " G2, " in said and " read role" in said
    up = engine.up("hidden", program)
    assert not up.ok
    assert "G2" in up.rules("hidden-grant", "mandatory")
    assert "hidden-source" in up.created
    assert "hidden-grant" not in up.created


def test_a_role_of_nobody_knows_where_is_blocked_before_it_is_granted(engine: Engine) -> None:
    program = each({"far": {"grant": on_bucket("projects/elsewhere/roles/reader", GROUP)}})
    up = engine.up("far", program)
    assert not up.ok
    assert "G14" in up.rules("far-grant", "mandatory")
    assert "far-grant" not in up.created


def test_what_takes_a_grant_away_and_what_is_no_grant_are_left_alone(engine: Engine) -> None:
    outcome = engine.preview("prod", each({"fine": {
        "removal": ("gcp:projects/iamMemberRemove:IamMemberRemove",
                    {"project": PROJECT, "role": "roles/owner", "member": "allUsers"}),
        "sink": ("gcp:logging/projectSink:ProjectSink", {"project": PROJECT, "destination": "d"}),
        "writer": on_bucket("roles/storage.objectCreator", "${sink.member}"),  # unknown, Google's
        "subnet": ("gcp:compute/subnetwork:Subnetwork", {"role": "ACTIVE", "network": "n"}),
        "pinned": github(attributeCondition=
            "(assertion.repository_id == '1' && assertion.ref == 'refs/heads/main') || "
            "assertion.repository in ['example/a', 'example/b']"),
    }}))  # fmt: skip
    assert outcome.violations == []
