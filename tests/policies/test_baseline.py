"""The baseline takes no stack for granted: what it blocks in another team's, and what not."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from policies.gcp_access.pack import resource_of
from policies.gcp_access.rules.examples import BUCKET
from policies.gcp_access.rules.federation import PROVIDER
from tests.policies.support import analyze, args, pack
from tests.recordings import DATA

REPORTED: list[dict[str, Any]] = [
    json.loads(line) for line in (DATA / "reports" / "policy_cases.jsonl").read_text().splitlines()
]
"""Cases from public reports, with what a reader expects of a pack."""

Case = tuple[str, dict[str, Any]]
GROUP = "group:sre@team.example"
CI = "serviceAccount:ci@team-a.iam.gserviceaccount.com"
STRANGER = "serviceAccount:job@elsewhere.iam.gserviceaccount.com"
ACCOUNT = "projects/team-a/serviceAccounts/job@team-a.iam.gserviceaccount.com"
POOL = "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/ci"
LIMITED = "api.getAttribute('iam.googleapis.com/modifiedGrantsByRole', [])"
NATIVE = "google-native:"
BRIDGED = "google:index/"


def on_project(role: str, member: str = GROUP, **more: Any) -> Case:
    props = {"project": "team-a", "role": role, "member": member, **more}
    return "gcp:projects/iAMMember:IAMMember", props


def when(expression: str) -> dict[str, str]:
    return {"title": "when", "expression": expression}


def administers(expression: str) -> Case:
    return on_project("roles/resourcemanager.projectIamAdmin", condition=when(expression))


def on_bucket(role: str, member: str = GROUP, **more: Any) -> Case:
    props = {"bucket": "b", "role": role, "member": member, **more}
    return "gcp:storage/bucketIAMMember:BucketIAMMember", props


def on_account(role: str, member: str) -> Case:
    props = {"serviceAccountId": ACCOUNT, "role": role, "member": member}
    return "gcp:serviceaccount/iAMMember:IAMMember", props


def custom_role(*permissions: str) -> Case:
    props = {"project": "team-a", "roleId": "r", "title": "r", "permissions": list(permissions)}
    return "gcp:projects/iAMCustomRole:IAMCustomRole", props


def github(condition: str, issuer: str = "https://token.actions.githubusercontent.com") -> Case:
    mapping = {"google.subject": "assertion.sub"}
    props = {"oidc": {"issuerUri": issuer}, "attributeMapping": mapping}
    return PROVIDER, {**props, "attributeCondition": condition}


BAD: dict[str, tuple[Case, str]] = {
    "everybody by Google's own names": (
        (NATIVE + "storage/v1:BucketIamPolicy",
         {"bucket": "b", "bindings": [{"role": "roles/storage.objectViewer",
                                       "members": ["allUsers"]}]}), "G1"),
    "an owner by Google's own names": (
        (NATIVE + "cloudresourcemanager/v3:ProjectIamMember",
         {"name": "projects/team-a", "role": "roles/owner", "member": GROUP}), "G2"),
    "a role that escalates by Google's own names": (
        (NATIVE + "iam/v1:Role", {"roleId": "r", "project": "team-a", "includedPermissions": [
            "resourcemanager.projects.setIamPolicy"]}), "R1"),
    "a bucket with access lists by Google's own names": (
        (NATIVE + "storage/v1:Bucket", {"name": "b", "iamConfiguration": {
            "publicAccessPrevention": "enforced",
            "uniformBucketLevelAccess": {"enabled": False}}}), "B1"),
    "a provider without a condition by Google's own names": (
        (NATIVE + "iam/v1:WorkloadIdentityPoolProvider",
         {"oidc": {"issuerUri": "https://token.actions.githubusercontent.com"},
          "attributeMapping": {"google.subject": "assertion.sub"}}), "W1"),
    "a bridged binding on a folder": (
        ("google-beta:index/folderIamBinding:FolderIamBinding",
         {"folder": "folders/1", "role": "roles/editor", "members": [GROUP]}), "G20"),
    "a bridged key": (
        (BRIDGED + "serviceAccountKey:ServiceAccountKey", {"serviceAccountId": ACCOUNT}), "S1"),
    "a bridged HMAC key": (
        (BRIDGED + "storageHmacKey:StorageHmacKey", {"serviceAccountEmail": "a@b"}), "S1"),
    "a bridged role": (
        (BRIDGED + "projectIamCustomRole:ProjectIamCustomRole",
         {"roleId": "r", "title": "r", "permissions": ["iam.serviceAccountKeys.create"]}), "R1"),
    "a bridged bucket that may be public": (
        (BRIDGED + "storageBucket:StorageBucket",
         {"location": "EU", "uniformBucketLevelAccess": True}), "B2"),
    "a bridged whole policy": (
        (BRIDGED + "projectIamPolicy:ProjectIamPolicy", {"project": "team-a", "policyData":
            '{"bindings": [{"role": "roles/browser", "members": ["group:a@team.example"]}]}'}),
        "G13"),
    "a credential of a bridged provider": (
        ("pulumi:providers:google", {"credentials": "{}"}), "X2"),
    "a policy set by a remote command": (
        ("command:remote:Command",
         {"create": "true", "update": "gcloud run services set-iam-policy s policy.json"}), "X5"),
    "everybody by gsutil": (
        ("command:local:Command", {"create": "gsutil iam ch allUsers:objectViewer gs://b"}), "X5"),
    "a key by a command": (
        ("command:local:Command",
         {"create": "gcloud iam service-accounts keys create k.json --iam-account=a@b"}), "X5"),
    "a policy by curl": (
        ("command:local:Command", {"create":
         "curl -X POST https://pubsub.googleapis.com/v1/projects/p/topics/t:setIamPolicy"}), "X5"),
    "a grant by a step of a build": (
        ("gcp:cloudbuild/trigger:Trigger", {"serviceAccount": ACCOUNT, "build": {"steps": [
            {"name": "gcr.io/cloud-builders/gcloud",
             "args": ["projects", "add-iam-policy-binding", "team-a", "--member=x"]}]}}), "X5"),
    "a grant by a machine that starts": (
        ("gcp:compute/instance:Instance",
         {"serviceAccount": {"email": "a@team-a.iam.gserviceaccount.com"},
          "metadataStartupScript": "gcloud projects add-iam-policy-binding team-a"}), "X5"),
    "a dynamic resource with bindings": (
        ("pulumi-nodejs:dynamic:Resource",
         {"__provider": "x", "bindings": [{"role": "roles/editor", "members": [GROUP]}]}), "G2"),
    "a component's roles and members": (
        ("acme:platform:Access", {"roles": ["roles/browser", "roles/owner"],
                                  "members": [GROUP]}), "G2"),
    "a component's members by role": (
        ("acme:platform:Project", {"iam": {"roles/owner": [GROUP]}}), "G2"),
    "a module's roles by project": (
        ("terraform-module:index:Module", {"project_roles": ["team-a=>roles/owner"]}), "X5"),
    "a grant through Kubernetes": (
        ("kubernetes:iam.cnrm.cloud.google.com/v1beta1:IAMPolicyMember",
         {"spec": {"member": GROUP, "role": "roles/owner",
                   "resourceRef": {"kind": "Project", "external": "projects/team-a"}}}), "G2"),
    "a policy through Kubernetes": (
        ("kubernetes:iam.cnrm.cloud.google.com/v1beta1:IAMPartialPolicy",
         {"spec": {"resourceRef": {"kind": "Project"}, "bindings": [
             {"role": "roles/iam.serviceAccountTokenCreator", "members": [{"member": GROUP}]}]}}),
        "S2"),
    "an unknown package's words": (
        ("stranger:index:Membership", {"role": "admin", "members": ["ana"]}), "X5"),
    "reading every bucket": (on_project("roles/storage.objectViewer"), "G22"),
    "reading every dataset": (on_project("roles/bigquery.dataViewer"), "G22"),
    "reading every secret": (on_project("roles/secretmanager.secretAccessor"), "G22"),
    "an administrator of one bucket": (on_bucket("roles/storage.admin"), "G21"),
    "an owner of one dataset": (
        ("gcp:bigquery/datasetIamMember:DatasetIamMember",
         {"datasetId": "d", "role": "roles/bigquery.dataOwner", "member": GROUP}), "G21"),
    "an owner of one topic": (
        ("gcp:pubsub/topicIAMMember:TopicIAMMember",
         {"topic": "t", "role": "roles/owner", "member": GROUP}), "G2"),
    "everything on one endpoint": (
        ("gcp:vertex/aiEndpointIamMember:AiEndpointIamMember",
         {"endpoint": "e", "role": "roles/aiplatform.user", "member": GROUP}), "G21"),
    "a role of IoT Core": (on_project("roles/cloudiot.editor"), "G24"),
    "a role of Cloud Debugger": (on_project("roles/clouddebugger.user"), "G24"),
    "a role that Google deprecates": (on_project("roles/servicebroker.operator"), "G24"),
    "a whole pool": (on_account("roles/iam.workloadIdentityUser", f"principalSet:{POOL}/*"), "W4"),
    "all repositories of an owner": (
        on_account("roles/iam.workloadIdentityUser",
                   f"principalSet:{POOL}/attribute.repository_owner/octo-org"), "W4"),
    "a whole workforce": (
        on_bucket("roles/storage.objectViewer",
                  "principalSet://iam.googleapis.com/locations/global/workforcePools/p/*"), "W4"),
    "a whole customer": (
        on_bucket("roles/storage.objectViewer",
                  "principalSet://goog/cloudIdentityCustomerId/C01"), "W4"),
    "all accounts of an organisation": (
        on_bucket("roles/storage.objectViewer",
                  "principalSet://cloudresourcemanager.googleapis.com/organizations/1/type/"
                  "ServiceAccount"), "W4"),
    "a whole domain": (on_bucket("roles/storage.objectViewer", "domain:team.example"), "W4"),
    "an account of elsewhere on the project": (
        on_project("roles/pubsub.publisher", STRANGER), "G23"),
    "an account of elsewhere that becomes one here": (
        on_account("roles/iam.serviceAccountTokenCreator", STRANGER), "G23"),
    "a permission that a project's role cannot hold": (
        custom_role("resourcemanager.folders.get"), "R2"),
    "a permission of IoT Core": (custom_role("cloudiot.devices.list"), "R2"),
    "a binding": (
        ("gcp:projects/iAMBinding:IAMBinding",
         {"project": "team-a", "role": "roles/pubsub.publisher", "members": [CI]}), "G20"),
    "a grant on the whole organisation": (
        ("gcp:organizations/iAMMember:IAMMember",
         {"orgId": "1", "role": "roles/pubsub.publisher", "member": CI}), "G12"),
    "may grant a role that grants": (
        administers(f"{LIMITED}.hasOnly(['roles/resourcemanager.projectIamAdmin'])"), "G3"),
    "may grant ownership": (administers(f"{LIMITED}.hasOnly(['roles/owner'])"), "G3"),
    "may grant anything on the other side of an or": (
        administers(f"{LIMITED}.hasOnly(['roles/pubsub.publisher']) || request.time > "
                    "timestamp('2020-01-01T00:00:00Z')"), "G3"),
    "may grant all but one": (
        administers(f"!{LIMITED}.hasOnly(['roles/pubsub.publisher'])"), "G3"),
    "may grant what nobody can read": (
        administers(f"{LIMITED}.hasOnly(['projects/team-a/roles/unknown'])"), "G3"),
    "a condition that always holds by now": (
        on_project("roles/browser", condition=when(
            "request.time > timestamp('2020-01-01T00:00:00Z')")), "G19"),
    "a condition that never holds": (
        on_project("roles/browser", condition=when(
            "resource.name == 'a' && resource.name == 'b'")), "G19"),
    "a condition that has ended": (
        on_project("roles/browser", condition=when(
            "request.time < timestamp('2020-01-01T00:00:00Z')")), "G19"),
    "a condition on no resource": (
        on_project("roles/storage.objectViewer", condition=when(
            "resource.name.startsWith('projects/_/buckets/b') || true")), "G22"),
    "a condition on a type alone": (
        on_project("roles/storage.objectViewer", condition=when(
            "resource.type == 'storage.googleapis.com/Object'")), "G22"),
    "a condition that leaves a name out": (
        on_project("roles/storage.objectViewer", condition=when(
            "!resource.name.startsWith('projects/_/buckets/secret')")), "G22"),
    "a repository by half its name": (
        github("assertion.repository.startsWith('octo-org/octo-repo')"), "W2"),
    "a subject by half its name": (github("assertion.sub.startsWith('repo:octo-org/')"), "W2"),
    "a repository unless": (
        github("assertion.ref == 'refs/heads/main' || assertion.repository == 'octo-org/r'"),
        "W2"),
    "a repository on one side": (
        github("assertion.event_name == 'push' ? assertion.repository == 'octo-org/r' : true"),
        "W2"),
    "a condition that nobody can read": (github("assertion.repository = 'octo-org/r'"), "W2"),
}  # fmt: skip

GOOD: dict[str, Case] = {
    "a small role on the project": on_project("roles/pubsub.publisher", CI),
    "reading one bucket": on_bucket("roles/storage.objectViewer"),
    "writing objects of one bucket": on_bucket("roles/storage.objectAdmin", CI),
    "reading one bucket from another project": on_bucket("roles/storage.objectViewer", STRANGER),
    "a person": on_bucket("roles/storage.objectViewer", "user:ana@team.example"),
    "calling one service": (
        "gcp:cloudrunv2/serviceIamMember:ServiceIamMember",
        {"name": "s", "role": "roles/run.invoker", "member": CI}),
    "one secret": (
        "gcp:secretmanager/secretIamMember:SecretIamMember",
        {"secretId": "s", "role": "roles/secretmanager.secretAccessor", "member": CI}),
    "one account becomes another": on_account("roles/iam.serviceAccountUser", CI),
    "a group becomes one account": on_account("roles/iam.serviceAccountTokenCreator", GROUP),
    "one repository becomes one account": on_account(
        "roles/iam.workloadIdentityUser", f"principalSet:{POOL}/attribute.repository/octo-org/r"),
    "one subject": on_account("roles/iam.workloadIdentityUser", f"principal:{POOL}/subject/s"),
    "a pod of a cluster": on_account(
        "roles/iam.workloadIdentityUser", "serviceAccount:team-a.svc.id.goog[ns/app]"),
    "looking at a folder": (
        "gcp:folder/iAMMember:IAMMember",
        {"folder": "folders/1", "role": "roles/browser", "member": GROUP}),
    "an agent of another project": on_project(
        "roles/aiplatform.serviceAgent",
        "serviceAccount:service-1@gcp-sa-aiplatform.iam.gserviceaccount.com"),
    "looking from another project": on_project("roles/monitoring.viewer", STRANGER),
    "one bucket by a condition": on_project("roles/storage.objectViewer", condition=when(
        "resource.name.startsWith('projects/_/buckets/reports/') && request.time < "
        "timestamp('2031-01-01T00:00:00Z')")),
    "may grant two roles": administers(
        f"{LIMITED}.hasOnly(['roles/pubsub.publisher', 'roles/pubsub.subscriber'])"),
    "may grant one role until then": administers(
        f"{LIMITED}.hasOnly(['roles/pubsub.publisher']) && request.time < "
        "timestamp('2031-01-01T00:00:00Z')"),
    "a role that acts": custom_role("iam.serviceAccounts.actAs"),
    "a role that deploys": custom_role("aiplatform.endpoints.deploy", "aiplatform.endpoints.get"),
    "a bridged grant": (BRIDGED + "pubsubTopicIamMember:PubsubTopicIamMember",
                        {"topic": "t", "role": "roles/pubsub.publisher", "member": CI}),
    "a native grant": (NATIVE + "pubsub/v1:TopicIamMember",
                       {"name": "t", "role": "roles/pubsub.publisher", "member": CI}),
    "a bucket": (BUCKET, {"location": "ASIA", "uniformBucketLevelAccess": True,
                          "publicAccessPrevention": "enforced"}),
    "a command that deploys": (
        "command:local:Command", {"create": "gcloud run deploy s --image=i --region=r"}),
    "a command that looks": (
        "command:local:Command", {"create": "gcloud projects get-iam-policy team-a"}),
    "a component of one topic": (
        "acme:platform:Topic",
        {"topic": "t", "role": "roles/pubsub.publisher", "members": [CI]}),
    "roles of another kind": (
        "kubernetes:rbac.authorization.k8s.io/v1:RoleBinding",
        {"roleRef": {"kind": "Role", "name": "r"}, "subjects": [{"kind": "User", "name": "ana"}]}),
    "another cloud's role": (
        "aws:iam/rolePolicyAttachment:RolePolicyAttachment",
        {"role": "worker", "policyArn": "arn:aws:iam::aws:policy/ReadOnlyAccess"}),
    "one repository by its id": github("assertion.repository_id == '2'"),
    "one repository by its subjects": github("assertion.sub.startsWith('repo:octo-org/r:')"),
    "two repositories": github("assertion.repository in ['octo-org/a', 'octo-org/b'] && true"),
    "one project of GitLab": github(
        "assertion.sub.startsWith('project_path:team/app:')", "https://gitlab.com"),
    "an issuer of one's own": github("", "https://oidc.team.example"),
}  # fmt: skip


def state(cases: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Cases as `pulumi stack export` would print them."""
    resources = [
        {
            "urn": f"urn:pulumi:prod::another-teams::{case['type']}::{case['id']}",
            "custom": True,
            "id": case["id"],
            "type": case["type"],
            "inputs": case["props"],
            "outputs": case["props"],
        }
        for case in cases
    ]
    manifest = {"time": "2026-11-29T00:00:00Z", "magic": "", "version": ""}
    return {"version": 3, "deployment": {"manifest": manifest, "resources": resources}}


def judged(cases: Mapping[str, Case]) -> dict[str, set[str]]:
    """The rules that block each of some resources, all of them in one program."""
    judge = pack()
    resources = []
    blocked: dict[str, set[str]] = {name: set() for name in cases}
    for name, (type_, props) in cases.items():
        given = args(type_, props, name)
        given.urn = f"urn:pulumi:prod::another-teams::{type_}::{name}"
        resources.append(resource_of(given))
    findings = [f for one in resources for f in judge.resource(one, updating=True)]
    for finding in findings + judge.stack([(one, {}) for one in resources]):
        assert not finding.failed, finding.said
        if finding.mandatory:
            blocked[finding.resource.name].add(finding.rule.id)
    return blocked


@pytest.mark.parametrize("together", [False, True], ids=["one by one", "all in one"])
def test_what_public_reports_tell_of_is_judged_as_they_want_it(
    together: bool, show: Callable[[str], None]
) -> None:
    cases = {case["id"]: (case["type"], case["props"]) for case in REPORTED}
    parts = [cases] if together else [{id: case} for id, case in cases.items()]
    blocked = {id: rules for part in parts for id, rules in judged(part).items()}
    right = [
        case["id"] for case in REPORTED if bool(blocked[case["id"]]) == (case["verdict"] == "bad")
    ]
    show(f"{len(right)} of {len(REPORTED)} reported cases")
    assert right == [case["id"] for case in REPORTED]


@pytest.mark.parametrize("name", BAD)
def test_a_bad_one_of_another_team_is_blocked(name: str) -> None:
    case, rule = BAD[name]
    assert rule in judged({name: case})[name]


@pytest.mark.parametrize("name", GOOD)
def test_a_good_one_of_another_team_passes(name: str) -> None:
    assert judged({name: GOOD[name]}) == {name: set()}


def test_they_are_judged_in_one_program_as_one_by_one() -> None:
    blocked = judged({name: case for name, (case, _) in BAD.items()} | GOOD)
    assert {name for name, rules in blocked.items() if rules} == set(BAD)


OWNER = {"role": "roles/owner", "member": GROUP}
PACKAGES: dict[str, Case] = {
    "google-native": (NATIVE + "cloudresourcemanager/v3:ProjectIamMember", OWNER),
    "google": (BRIDGED + "projectIamMember:ProjectIamMember", OWNER),
    "google-beta": ("google-beta:index/projectIamMember:ProjectIamMember", OWNER),
    "pulumi-python": ("pulumi-python:dynamic:Resource", {"__provider": "x", **OWNER}),
    "pulumi-nodejs": ("pulumi-nodejs:dynamic:Resource", {"__provider": "x", **OWNER}),
    "acme (a component)": ("acme:platform:Access", OWNER),
    "kubernetes": ("kubernetes:iam.cnrm.cloud.google.com/v1beta1:IAMPolicyMember",
                   {"spec": {**OWNER, "resourceRef": {"kind": "Project"}}}),
    "command": ("command:local:Command", {
        "create": f"gcloud projects add-iam-policy-binding p --member={GROUP} --role=roles/owner"}),
    "terraform-module": ("terraform-module:index:Module", {"project_roles": ["p=>roles/owner"]}),
    "vault": ("vault:gcp/secretRoleset:SecretRoleset",
              {"backend": "gcp", "bindings": [{"resource": "//p", "roles": ["roles/owner"]}]}),
    "stranger": ("stranger:index:Grant", {"role": "owner", "members": [GROUP]}),
    "databricks (harmless by config)": (
        "databricks:index/accessControlRuleSet:AccessControlRuleSet",
        {"name": "r", "grantRules": [{"role": "roles/servicePrincipal.user",
                                      "principals": ["groups/ml"]}]}),
}  # fmt: skip


def test_a_grant_of_owner_by_any_package_is_judged_or_said_not_to_be(
    show: Callable[[str], None], tmp_path: Path
) -> None:
    (tmp_path / "default.json").write_text('{"harmlessPackages": ["databricks"]}')
    judge = pack(tmp_path)
    verdicts: dict[str, str] = {}
    for name, (type_, props) in PACKAGES.items():
        found = judge.resource(resource_of(args(type_, props, name)), updating=True)
        blocking = {finding.rule.id for finding in found if finding.mandatory}
        verdicts[name] = (
            "judged" if "G2" in blocking else "not judgeable" if "X5" in blocking else "harmless"
        )
        show(f"{name:34} {verdicts[name]:14} {', '.join(sorted(blocking))}")
    assert [name for name, said in verdicts.items() if said == "harmless"] == [
        "databricks (harmless by config)"
    ]
    assert list(verdicts.values()).count("judged") == 7
    assert judged({"d": PACKAGES["databricks (harmless by config)"]})["d"]  # without that config


def test_a_state_file_of_another_team_is_judged(tmp_path: Path) -> None:
    """By Pulumi's own CLI: no stack, provider or credentials."""
    code, said = analyze(tmp_path, state(REPORTED))
    assert code == 1
    for case in REPORTED:
        assert (f"::{case['id']}" in said) == (case["verdict"] == "bad"), case["id"]
