"""Federation, deny and organization policies, registries, machine pools, and functions."""

from __future__ import annotations

from typing import Any

import pytest

from pulumi_plugin.kinds import Context, PartialFailure, ProviderError
from pulumi_plugin.values import Props
from tests.standin.support import DENIED, Scripted, configured, read

POOL = "gcp:iam/workloadIdentityPool:WorkloadIdentityPool"
PROVIDER = "gcp:iam/workloadIdentityPoolProvider:WorkloadIdentityPoolProvider"
DENY = "gcp:iam/denyPolicy:DenyPolicy"
ORG_POLICY = "gcp:orgpolicy/policy:Policy"
REPOSITORY = "gcp:artifactregistry/repository:Repository"
MACHINES = "gcp:vertex/aiDeploymentResourcePool:AiDeploymentResourcePool"

LABELS = {"goog-pulumi-provisioned": "true"}
POOLS = "/v1/projects/p/locations/global/workloadIdentityPools"
POOL_PATH, POOL_ID = f"{POOLS}/github", f"{POOLS[4:]}/github"
POOL_INPUTS: Props = {"workloadIdentityPoolId": "github"}
LISTED = f"GET {POOL_PATH}:listAttestationRules"
OPERATION = {"name": f"{POOL_ID}/operations/1"}


def pool(**other: Any) -> Props:
    return {"name": POOL_ID, "state": "ACTIVE", **other}


def test_a_soft_deleted_pool_or_provider_is_gone() -> None:
    deleted = {"state": "DELETED"}
    provider = f"{POOL_PATH}/providers/oidc"
    gcp, _ = configured(Scripted({f"GET {POOL_PATH}": deleted, f"GET {provider}": deleted}))
    inputs = {**POOL_INPUTS, "workloadIdentityPoolProviderId": "oidc"}
    assert gcp.kind(POOL).read(POOL_ID, POOL_INPUTS, pool(), Context()) is None
    assert gcp.kind(PROVIDER).read(provider[4:], inputs, pool(), Context()) is None


def test_a_pool_whose_id_is_not_free_yet_says_so() -> None:
    taken = (409, {"error": {"code": 409, "message": "Requested entity already exists"}})
    gcp, _ = configured(Scripted({f"POST {POOLS}": taken}))
    with pytest.raises(ProviderError, match=r"Error creating WorkloadIdentityPool: .*Error 409"):
        gcp.kind(POOL).create(POOL_INPUTS, Context())


def test_who_may_attest_for_a_pool_is_a_call_of_its_own() -> None:
    rule = {"googleCloudResource": "//compute.googleapis.com/x"}
    setting = f"POST {POOL_PATH}:setAttestationRules"
    api = Scripted(
        {
            f"POST {POOLS}": {"done": True},
            setting: [OPERATION, {"done": True}],
            f"GET /v1/{OPERATION['name']}": {"done": True},
            f"GET {POOL_PATH}": pool(),
            LISTED: {"attestationRules": [rule]},
            f"PATCH {POOL_PATH}": {"done": True},
        }
    )
    gcp, _ = configured(api)
    kind, inputs = gcp.kind(POOL), {**POOL_INPUTS, "attestationRules": [rule]}
    id, outputs = kind.create(inputs, Context())
    assert api.bodies(f"POST {POOLS}") == [{}]
    assert api.bodies(setting) == [{"attestationRules": [rule]}]
    assert outputs["attestationRules"] == [rule]
    api.exchanges.clear()
    without = {**POOL_INPUTS, "displayName": "GitHub"}
    change = kind.diff(id, inputs, outputs, without)
    assert set(change.updates) == {"attestationRules", "displayName"}
    kind.update(id, inputs, outputs, without, Context())
    assert api.bodies(setting) == [{"attestationRules": []}]
    patch = next(exchange for exchange in api.exchanges if exchange["method"] == "PATCH")
    assert (patch["query"]["updateMask"], patch["body"]) == (
        "displayName",
        {"displayName": "GitHub"},
    )


def test_a_pool_made_whose_rules_are_denied_stays_in_the_state() -> None:
    api = Scripted(
        {f"POST {POOLS}": {"done": True}, f"GET {POOL_PATH}": pool(), LISTED: (403, DENIED)}
    )
    gcp, _ = configured(api)
    with pytest.raises(PartialFailure, match="Error 403") as raised:
        gcp.kind(POOL).create(POOL_INPUTS, Context())
    assert raised.value.id == POOL_ID


def test_trusted_domains_are_a_map_in_the_api_and_a_list_in_the_program() -> None:
    def bundle(domain: str, pem: str) -> Props:
        anchors = [{"__defaults": [], "pemCertificate": pem}]
        return {"__defaults": [], "trustDomain": domain, "trustAnchors": anchors}

    b, a = bundle("b.example", "B"), bundle("a.example", "A")
    trust = {"__defaults": [], "additionalTrustBundles": [b, a]}
    anchors = {
        name: {"trustAnchors": [{"pemCertificate": pem}]}
        for name, pem in (("a.example", "A"), ("b.example", "B"))
    }
    shown = {"inlineTrustConfig": {"additionalTrustBundles": anchors}}
    api = Scripted({f"POST {POOLS}": {"done": True}, f"GET {POOL_PATH}": pool(**shown), LISTED: {}})
    gcp, _ = configured(api)
    kind, inputs = gcp.kind(POOL), {"__defaults": [], **POOL_INPUTS, "inlineTrustConfig": trust}
    checked, failures = kind.check(inputs, {}, Context())
    assert (checked, failures) == (inputs, [])
    id, outputs = kind.create(inputs, Context())
    assert api.bodies(f"POST {POOLS}") == [shown]
    assert read(gcp, POOL, id, inputs, outputs).inputs == inputs
    turned = {**inputs, "inlineTrustConfig": {**trust, "additionalTrustBundles": [a, b]}}
    assert kind.diff(id, inputs, outputs, turned).updates == ()


PROVIDER_INPUTS: Props = {
    **POOL_INPUTS,
    "workloadIdentityPoolProviderId": "oidc",
    "oidc": {"__defaults": [], "issuerUri": "https://a.example", "jwksJson": '{"keys": []}'},
    "attributeMapping": {"google.subject": "assertion.sub"},
}


def test_a_provider_is_updated_part_by_part_and_waited_for() -> None:
    path, id = f"{POOL_PATH}/providers/oidc", f"{POOL_ID}/providers/oidc"
    now = {
        "name": id,
        "oidc": {"issuerUri": "https://a.example", "jwksJson": '{"keys":[]}'},
        "attributeMapping": {"google.subject": "assertion.sub"},
    }
    operation = f"{id}/operations/1"
    api = Scripted(
        {
            f"GET {path}": now,
            f"PATCH {path}": {"name": operation},
            f"GET /v1/{operation}": {
                "done": True,
                "error": {"code": 3, "message": "No such issuer"},
            },
        }
    )
    gcp, _ = configured(api)
    kind, found = gcp.kind(PROVIDER), read(gcp, PROVIDER, id, PROVIDER_INPUTS)
    assert found.inputs == PROVIDER_INPUTS  # the keys are the same JSON
    new = {**PROVIDER_INPUTS, "oidc": {"issuerUri": "https://b.example"}}
    assert kind.diff(id, PROVIDER_INPUTS, found.outputs, new).updates == ("oidc",)
    with pytest.raises(
        ProviderError, match=r"Updating WorkloadIdentityPoolProvider: .*No such issuer"
    ):
        kind.update(id, PROVIDER_INPUTS, found.outputs, new, Context())
    mask = next(e for e in api.exchanges if e["method"] == "PATCH")["query"]["updateMask"]
    assert mask == "oidc.allowed_audiences,oidc.issuer_uri,oidc.jwks_json"


def test_a_provider_takes_tokens_from_one_kind_of_source_and_its_id_is_checked() -> None:
    gcp, _ = configured(Scripted({}))
    both = {**PROVIDER_INPUTS, "aws": {"accountId": "1"}, "workloadIdentityPoolProviderId": "gcp-x"}
    _, failures = gcp.kind(PROVIDER).check(both, {}, Context())
    kinds = {"aws", "oidc", "saml", "x509"}
    assert {failure.property for failure in failures} == kinds | {"workloadIdentityPoolProviderId"}


PARENT = "cloudresourcemanager.googleapis.com%2Fprojects%2Fp"
DENY_PATH = f"/v2beta/policies/{PARENT}/denypolicies/no-keys"
RULE: Props = {
    "__defaults": [],
    "denyRule": {"__defaults": [], "deniedPermissions": ["iam.googleapis.com/roles.create"]},
}


def test_an_update_of_a_deny_policy_names_the_version_it_replaces() -> None:
    operation = f"policies/{PARENT}/denypolicies/no-keys/operations/1"
    rules = [{"denyRule": {"deniedPermissions": ["iam.googleapis.com/roles.create"]}}]
    api = Scripted(
        {
            f"GET {DENY_PATH}": {"rules": rules, "etag": "e1"},
            f"PUT {DENY_PATH}": {"name": operation},
            f"GET /v2beta/{operation}": {"name": operation, "done": True},
        }
    )
    gcp, _ = configured(api)
    inputs = {"name": "no-keys", "parent": PARENT, "rules": [RULE]}
    found = read(gcp, DENY, f"{PARENT}/no-keys", inputs)
    assert found.inputs == inputs
    new = {**inputs, "displayName": "No keys"}
    gcp.kind(DENY).update(found.id, inputs, found.outputs, new, Context())
    assert api.bodies(f"PUT {DENY_PATH}") == [
        {"displayName": "No keys", "rules": rules, "etag": "e1"}
    ]
    assert f"GET /v2beta/{operation}" in api.sent()
    imported = read(gcp, DENY, f"{PARENT}/no-keys", {})
    change = gcp.kind(DENY).diff(found.id, imported.inputs, imported.outputs, inputs)
    assert (change.updates, change.replaces) == ((), ())


ORG_NAME = "projects/p/policies/iam.disableServiceAccountKeyCreation"


def org_policy(*rules: Props) -> Props:
    spec = {"rules": [{"__defaults": [], **rule} for rule in rules]}
    return {"name": ORG_NAME, "parent": "projects/p", "spec": {"__defaults": [], **spec}}


def test_an_organization_policy_says_true_false_or_nothing() -> None:
    shown = {
        "spec": {"rules": [{"enforce": True}], "etag": "e1"},
        "name": f"projects/7/{ORG_NAME[11:]}",
    }
    api = Scripted({f"GET /v2/{ORG_NAME}": shown, f"PATCH /v2/{ORG_NAME}": {}})
    gcp, _ = configured(api)
    kind, inputs = gcp.kind(ORG_POLICY), org_policy({"enforce": "TRUE"})
    found = read(gcp, ORG_POLICY, ORG_NAME, inputs)
    assert found.inputs == inputs and found.outputs["spec"]["etag"] == "e1"
    new = org_policy({"enforce": "FALSE"}, {"values": {"allowedValues": ["in:us"]}})
    assert kind.diff(ORG_NAME, inputs, found.outputs, new).updates == ("spec",)
    kind.update(ORG_NAME, inputs, found.outputs, new, Context())
    patch = next(exchange for exchange in api.exchanges if exchange["method"] == "PATCH")
    assert patch["query"]["updateMask"] == "policy.spec"
    nothing = {"allowAll": None, "denyAll": None, "enforce": None}
    assert patch["body"]["spec"] == {
        "inheritFromParent": False,
        "reset": False,
        "rules": [
            {**nothing, "enforce": False},
            {**nothing, "values": {"allowedValues": ["in:us"]}},
        ],
    }


REPOSITORY_ID = "projects/p/locations/r/repositories/images"
REPOSITORY_INPUTS: Props = {
    "repositoryId": "images",
    "format": "DOCKER",
    "mode": "STANDARD_REPOSITORY",
}


def repository(**other: Any) -> Props:
    shown = {"name": REPOSITORY_ID, "format": "DOCKER", "mode": "STANDARD_REPOSITORY"}
    return {**shown, "labels": LABELS, **other}


def test_cleanup_policies_keep_their_order_and_days_are_seconds() -> None:
    def policy(id: str, age: str) -> Props:
        condition = {"__defaults": ["tagState"], "tagState": "ANY", "olderThan": age}
        return {"__defaults": [], "id": id, "action": "DELETE", "condition": condition}

    policies = [policy("z", "30d"), policy("a", "3600s")]
    shown = {
        id: {"id": id, "action": "DELETE", "condition": {"tagState": "ANY", "olderThan": age}}
        for id, age in (("a", "3600s"), ("z", "2592000s"))
    }
    where = "POST /v1/projects/p/locations/r/repositories"
    get = f"GET /v1/{REPOSITORY_ID}"
    api = Scripted({where: {"done": True}, get: repository(cleanupPolicies=shown)})
    gcp, _ = configured(api)
    kind, inputs = gcp.kind(REPOSITORY), {**REPOSITORY_INPUTS, "cleanupPolicies": policies}
    id, outputs = kind.create(inputs, Context())
    assert id == REPOSITORY_ID  # in the provider's region
    assert outputs["name"] == "images"
    sent = api.bodies(where)[0]["cleanupPolicies"]
    assert sent["z"] == {
        "action": "DELETE",
        "condition": {"tagState": "ANY", "olderThan": "2592000s"},
    }
    found = read(gcp, REPOSITORY, id, inputs, outputs)
    assert found.inputs == inputs
    change = kind.diff(id, found.inputs, found.outputs, inputs)
    assert (change.updates, change.replaces) == ((), ())
    fewer = {**inputs, "cleanupPolicies": policies[:1]}
    assert kind.diff(id, inputs, outputs, fewer).updates == ("cleanupPolicies",)


def test_the_password_for_an_upstream_changes_in_place_the_upstream_does_not() -> None:
    def remote(uri: str, version: str) -> Props:
        login = {"username": "u", "passwordSecretVersion": version}
        return {
            "commonRepository": {"uri": uri},
            "upstreamCredentials": {"usernamePasswordCredentials": login},
        }

    path = f"/v1/{REPOSITORY_ID}"
    one = remote("https://a.example", "1")
    api = Scripted({f"GET {path}": repository(remoteRepositoryConfig=one), f"PATCH {path}": {}})
    gcp, _ = configured(api)
    kind, inputs = gcp.kind(REPOSITORY), {**REPOSITORY_INPUTS, "remoteRepositoryConfig": one}
    found = read(gcp, REPOSITORY, REPOSITORY_ID, inputs)
    two = {**inputs, "remoteRepositoryConfig": remote("https://a.example", "2")}
    change = kind.diff(found.id, inputs, found.outputs, two)
    assert (change.updates, change.replaces) == (("remoteRepositoryConfig",), ())
    kind.update(found.id, inputs, found.outputs, two, Context())
    patch = next(exchange for exchange in api.exchanges if exchange["method"] == "PATCH")
    assert patch["body"]["remoteRepositoryConfig"] == two["remoteRepositoryConfig"]
    assert "usernamePasswordCredentials.passwordSecretVersion" in patch["query"]["updateMask"]
    other = {**inputs, "remoteRepositoryConfig": remote("https://b.example", "1")}
    assert kind.diff(found.id, inputs, found.outputs, other).replaces == ("remoteRepositoryConfig",)


def test_a_repository_of_another_stack_is_imported_as_it_is() -> None:
    gcp, _ = configured(Scripted({f"GET /v1/{REPOSITORY_ID}": repository(labels={"team": "x"})}))
    found = read(gcp, REPOSITORY, REPOSITORY_ID, {})
    assert found.inputs == {
        "__defaults": [],
        **REPOSITORY_INPUTS,
        "location": "r",
        "project": "p",
        "labels": {"team": "x"},
    }


def test_a_pool_of_machines_carries_its_id_in_the_body_and_never_changes() -> None:
    id = "projects/p/locations/r/deploymentResourcePools/cpu"
    spec = {
        "__defaults": [],
        "machineSpec": {"__defaults": [], "machineType": "n1-standard-2"},
        "minReplicaCount": 1,
    }
    machines = {"machineSpec": {"machineType": "n1-standard-2"}, "minReplicaCount": 1}
    where = "POST /v1beta1/projects/p/locations/r/deploymentResourcePools"
    api = Scripted({where: {"done": True}, f"GET /v1beta1/{id}": {"dedicatedResources": machines}})
    gcp, _ = configured(api)
    kind, inputs = gcp.kind(MACHINES), {"name": "cpu", "dedicatedResources": spec}
    made, outputs = kind.create(inputs, Context())
    assert made == id and outputs["region"] is None
    assert api.bodies(where) == [
        {
            "deploymentResourcePool": {"name": "cpu", "dedicatedResources": machines},
            "deploymentResourcePoolId": "cpu",
        }
    ]
    assert api.exchanges[0]["host"] == "r-aiplatform.googleapis.com"
    more = {**inputs, "dedicatedResources": {**spec, "maxReplicaCount": 2}, "__defaults": []}
    change = kind.diff(id, inputs, outputs, more)
    assert (change.replaces, change.delete_before_replace) == (("dedicatedResources",), True)
    assert read(gcp, MACHINES, id, {}).inputs["dedicatedResources"] == spec


TESTABLE = "POST /v1/permissions:queryTestablePermissions"


def test_permissions_that_a_custom_role_may_have_are_listed_page_by_page() -> None:
    def permission(name: str, stage: str = "GA", **other: Any) -> Props:
        return {"name": name, "title": name, "stage": stage, **other}

    pages = [
        {"permissions": [permission("a"), permission("b", "BETA")], "nextPageToken": "2"},
        {"permissions": [permission("c", customRolesSupportLevel="TESTING"), permission("d")]},
    ]
    token = "gcp:iam/getTestablePermissions:getTestablePermissions"
    gcp, _ = configured(Scripted({TESTABLE: pages}))
    found = gcp.invoke(token, {"fullResourceName": "//x"}, Context())
    assert [permission["name"] for permission in found["permissions"]] == ["a", "d"]
    gcp, _ = configured(Scripted({TESTABLE: pages}))
    asked = {"fullResourceName": "//x", "customSupportLevel": "testing", "stages": ["GA", "BETA"]}
    assert [p["name"] for p in gcp.invoke(token, asked, Context())["permissions"]] == ["c"]


def test_a_function_that_is_denied_or_not_there_says_so() -> None:
    gcp, _ = configured(Scripted({TESTABLE: (403, DENIED)}))
    with pytest.raises(ProviderError, match=r"Error retrieving permissions: .*Error 403"):
        gcp.invoke(
            "gcp:iam/getTestablePermissions:getTestablePermissions",
            {"fullResourceName": "//x"},
            Context(),
        )
    with pytest.raises(ProviderError, match="no function gcp:a/b:c"):
        gcp.invoke("gcp:a/b:c", {}, Context())


def test_the_provider_tells_who_it_calls_as() -> None:
    api = Scripted({"GET /v1/userinfo": {"email": "ann@example.com"}})
    gcp, _ = configured(api)
    token = "gcp:organizations/getClientOpenIdUserInfo:getClientOpenIdUserInfo"
    assert gcp.invoke(token, {}, Context())["email"] == "ann@example.com"


def test_the_provider_tells_who_encrypts_for_cloud_storage() -> None:
    email = "service-1@gs-project-accounts.iam.gserviceaccount.com"
    asked = "GET /storage/v1/projects/p/serviceAccount"
    token = "gcp:storage/getProjectServiceAccount:getProjectServiceAccount"
    gcp, _ = configured(Scripted({asked: {"email_address": email}}))
    found = gcp.invoke(token, {"project": "p"}, Context())
    assert (found["emailAddress"], found["member"]) == (email, f"serviceAccount:{email}")
    gcp, _ = configured(Scripted({asked: (403, DENIED)}))
    with pytest.raises(ProviderError, match=r"GCS service account not found: .*Error 403"):
        gcp.invoke(token, {"project": "p"}, Context())
