"""Workload identity pools: their life, their allow policies, and what Google refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from simulator.api.audit import Audit
from simulator.google import GoogleCloud
from simulator.iam.decisions import Iam
from simulator.serve.proxy import Running
from tests.simulator.support.core import NUMBER, PROJECT, WORKER
from tests.simulator.support.identity import (
    ACTIONS,
    FULL_NAME,
    OF_REPOSITORY,
    POOL,
    POOLS,
    PROVIDER,
    Client,
    federated,
    github_token,
)

VERBS = ("get", "delete")
DAY = 86_400


def test_a_pool_and_its_provider_are_created_by_operations(
    cloud: GoogleCloud, client: Client
) -> None:
    body = {"displayName": "GitHub", "description": "of the team"}
    started = client.done("POST", POOLS, body, workloadIdentityPoolId="github")
    assert started["name"].startswith(f"{FULL_NAME}/operations/")
    assert "done" not in started
    cloud.clock.step(5)
    url = f"{POOLS.partition('/projects/')[0]}/{started['name']}"
    finished = client.done("GET", url)["response"]
    assert finished["@type"].endswith(".WorkloadIdentityPool")
    assert client.done("GET", POOL) == {**body, "name": FULL_NAME, "state": "ACTIVE"}
    client.done("POST", f"{POOL}/providers", ACTIONS, workloadIdentityPoolProviderId="actions")
    name = f"{FULL_NAME}/providers/actions"
    assert client.done("GET", PROVIDER) == {**ACTIONS, "name": name, "state": "ACTIVE"}
    assert client.done("GET", f"{POOL}:listAttestationRules") == {}


def test_a_pool_is_found_by_its_projects_number_too(client: Client) -> None:
    client.federate()
    numbered = POOL.replace(f"projects/{PROJECT}/", f"projects/{NUMBER}/")
    assert client.done("GET", numbered) == client.done("GET", POOL)


def test_lists_are_of_one_pool_and_without_what_is_deleted(client: Client) -> None:
    client.federate()
    client.done("POST", POOLS, {}, workloadIdentityPoolId="other")
    pools = client.done("GET", POOLS)["workloadIdentityPools"]
    assert [pool["name"].rpartition("/")[2] for pool in pools] == ["github", "other"]
    assert client.done("GET", f"{POOLS}/other/providers") == {}
    client.done("DELETE", PROVIDER)
    assert client.done("GET", f"{POOL}/providers") == {}
    shown = client.done("GET", f"{POOL}/providers", showDeleted="true")
    [provider] = shown["workloadIdentityPoolProviders"]
    assert provider["state"] == "DELETED"


def test_a_patch_changes_what_its_mask_names(client: Client) -> None:
    client.federate()
    client.done("PATCH", POOL, {"displayName": "B", "description": "C"}, updateMask="displayName")
    assert client.done("GET", POOL)["displayName"] == "B"
    assert "description" not in client.done("GET", POOL)
    client.done("PATCH", PROVIDER, {"disabled": True, "displayName": "C"}, updateMask="disabled")
    provider = client.done("GET", PROVIDER)
    assert (provider["disabled"], provider["displayName"]) == (True, "GitHub")
    assert client.refusal("PATCH", POOL, {"state": "DELETED"}, updateMask="state")[0] == 400


def test_a_patch_cannot_take_away_the_condition_that_githubs_issuer_needs(client: Client) -> None:
    client.federate()
    status, message = client.refusal("PATCH", PROVIDER, {}, updateMask="attributeCondition")
    assert (status, message.split(".")[0]) == (
        400,
        "The attribute condition must reference one of the provider's claims",
    )
    assert client.done("GET", PROVIDER)["attributeCondition"] == ACTIONS["attributeCondition"]


def test_a_patch_of_part_of_a_message_leaves_the_rest(client: Client) -> None:
    client.federate()
    change = {"oidc": {"allowedAudiences": ["iot"]}}
    client.done("PATCH", PROVIDER, change, updateMask="oidc.allowedAudiences")
    provider = client.done("GET", PROVIDER)
    assert provider["oidc"] == {**ACTIONS["oidc"], "allowedAudiences": ["iot"]}
    assert provider["attributeCondition"] == ACTIONS["attributeCondition"]


@pytest.mark.parametrize("url", [POOL, PROVIDER])
def test_what_is_deleted_can_come_back_for_30_days(
    cloud: GoogleCloud, client: Client, url: str
) -> None:
    client.federate()
    client.done("DELETE", url)
    deleted = client.done("GET", url)
    assert deleted["state"] == "DELETED"
    assert deleted["expireTime"] == cloud.clock.rfc3339(cloud.clock.now() + 30 * DAY)
    assert client.refusal("DELETE", url)[0] == 404
    cloud.clock.step(30 * DAY - 1)
    client = client.renewed()
    client.done("POST", f"{url}:undelete", {})
    assert client.done("GET", url)["state"] == "ACTIVE"
    assert client.refusal("POST", f"{url}:undelete", {})[0] == 409
    client.done("DELETE", url)
    cloud.clock.step(30 * DAY)
    assert client.renewed().refusal("GET", url)[0] == 404


def test_a_deleted_id_cannot_be_used_again_until_it_is_purged(
    cloud: GoogleCloud, client: Client
) -> None:
    client.federate()
    client.done("DELETE", POOL)
    again = {"workloadIdentityPoolId": "github"}
    refusal = client.refusal("POST", POOLS, {}, **again)
    assert refusal == (409, "Requested entity already exists")
    cloud.clock.step(30 * DAY)
    client = client.renewed()
    client.done("POST", POOLS, {}, **again)
    # Its providers went with it.
    assert client.refusal("GET", PROVIDER)[0] == 404


@pytest.mark.parametrize("id", ["abc", "x" * 33, "Upper-case", "gcp-mine", "under_score", ""])
def test_an_id_has_4_to_32_characters(client: Client, id: str) -> None:
    assert client.refusal("POST", POOLS, {}, workloadIdentityPoolId=id)[0] == 400
    client.federate()
    query = {"workloadIdentityPoolProviderId": id}
    assert client.refusal("POST", f"{POOL}/providers", ACTIONS, **query)[0] == 400


def test_pools_are_global_and_only_federate(client: Client) -> None:
    query = {"workloadIdentityPoolId": "github"}
    elsewhere = POOLS.replace("/global/", "/us-central1/")
    assert client.refusal("POST", elsewhere, {}, **query)[0] == 400
    assert client.refusal("POST", POOLS, {"mode": "TRUST_DOMAIN"}, **query)[0] == 501
    client.done("POST", POOLS, {"mode": "FEDERATION_ONLY"}, **query)


def test_a_provider_needs_its_pool(client: Client) -> None:
    query = {"workloadIdentityPoolProviderId": "actions"}
    assert client.refusal("POST", f"{POOL}/providers", ACTIONS, **query)[0] == 404


def test_each_verb_is_checked_on_its_own_resource(
    cloud: GoogleCloud, running: Running, client: Client
) -> None:
    worker = Client(cloud, running, WORKER)
    location = f"projects/{PROJECT}/locations/global"
    status, message = worker.refusal("POST", POOLS, {}, workloadIdentityPoolId="github")
    assert (status, message) == (
        403,
        "Permission 'iam.workloadIdentityPools.create' denied on resource "
        f"'//iam.googleapis.com/{location}' (or it may not exist).",
    )
    client.federate()
    for verb, url in (("GET", POOL), ("DELETE", POOL), ("PATCH", PROVIDER), ("GET", POOLS)):
        assert worker.refusal(verb, url, {} if verb == "PATCH" else None)[0] == 403
    cloud[Iam].grant(
        f"projects/{PROJECT}", "roles/iam.workloadIdentityPoolViewer", f"serviceAccount:{WORKER}"
    )
    worker.done("GET", PROVIDER)
    assert worker.refusal("DELETE", PROVIDER)[0] == 403
    asked = {(e.permission, e.resource) for e in cloud[Audit].since(0)}
    pool = f"{location}/workloadIdentityPools/github"
    assert ("iam.googleapis.com/workloadIdentityPoolProviders.create", pool) in asked
    assert ("iam.googleapis.com/workloadIdentityPools.delete", pool) in asked


def test_a_pool_has_an_allow_policy(cloud: GoogleCloud, running: Running, client: Client) -> None:
    client.done("POST", POOLS, {}, workloadIdentityPoolId="github")
    assert client.done("POST", f"{POOL}:getIamPolicy", {}) == {"version": 1, "etag": "ACAB"}
    worker = Client(cloud, running, WORKER)
    assert worker.refusal("GET", POOL)[0] == 403
    viewer = "roles/iam.workloadIdentityPoolViewer"
    grant = {"role": viewer, "members": [f"serviceAccount:{WORKER}"]}
    body = {"policy": {"bindings": [grant]}}
    assert client.done("POST", f"{POOL}:setIamPolicy", body)["bindings"] == [grant]
    cloud.clock.step(60)
    assert worker.done("GET", POOL)["state"] == "ACTIVE"
    asked = {"permissions": [f"iam.googleapis.com/workloadIdentityPools.{v}" for v in VERBS]}
    held = worker.done("POST", f"{POOL}:testIamPermissions", asked)
    assert held == {"permissions": ["iam.googleapis.com/workloadIdentityPools.get"]}
    assert worker.refusal("POST", f"{POOL}:setIamPolicy", body)[0] == 403


def test_conditions_show_in_version_3_which_is_asked_for_in_the_body(client: Client) -> None:
    client.done("POST", POOLS, {}, workloadIdentityPoolId="github")
    condition = {
        "title": "soon",
        "expression": "request.time < timestamp('2030-01-01T00:00:00Z')",
    }
    role = "roles/iam.workloadIdentityPoolViewer"
    grant = {"role": role, "members": [f"serviceAccount:{WORKER}"], "condition": condition}
    policy = {"version": 3, "bindings": [grant]}
    client.done("POST", f"{POOL}:setIamPolicy", {"policy": policy})
    plain = client.done("POST", f"{POOL}:getIamPolicy", {})["bindings"][0]
    assert "condition" not in plain
    options = {"options": {"requestedPolicyVersion": 3}}
    shown = client.done("POST", f"{POOL}:getIamPolicy", options)
    assert (shown["version"], shown["bindings"]) == (3, [grant])


def test_a_policy_goes_with_its_pool(cloud: GoogleCloud, client: Client) -> None:
    client.done("POST", POOLS, {}, workloadIdentityPoolId="github")
    role = "roles/iam.workloadIdentityPoolViewer"
    body = {"policy": {"bindings": [{"role": role, "members": [f"serviceAccount:{WORKER}"]}]}}
    client.done("POST", f"{POOL}:setIamPolicy", body)
    client.done("DELETE", POOL)
    assert client.refusal("POST", f"{POOL}:getIamPolicy", {})[0] == 404
    cloud.clock.step(30 * DAY)
    client = client.renewed()
    client.done("POST", POOLS, {}, workloadIdentityPoolId="github")
    assert "bindings" not in client.done("POST", f"{POOL}:getIamPolicy", {})


def test_a_repositorys_job_can_be_let_at_its_own_pool(
    cloud: GoogleCloud, client: Client, tmp_path: Path
) -> None:
    client.federate()
    role = "roles/iam.workloadIdentityPoolViewer"
    body = {"policy": {"bindings": [{"role": role, "members": [OF_REPOSITORY]}]}}
    client.done("POST", f"{POOL}:setIamPolicy", body)
    cloud.clock.step(60)
    assert federated(tmp_path, github_token(cloud)).get(POOL).status_code == 200
