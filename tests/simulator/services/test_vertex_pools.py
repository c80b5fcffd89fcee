"""Deployment resource pools, and models that share them."""

from __future__ import annotations

from typing import Any

import pytest
from google.api_core import exceptions
from google.cloud import aiplatform_v1

from simulator.services.vertex.resources import CPU_QUOTA
from tests.simulator.support.service import (
    ENDPOINT,
    LOCATION,
    NUMBER,
    PROJECT,
    REGION,
    VERTEX,
    Sandbox,
    deployed,
    email,
)

POOL = f"{LOCATION}/deploymentResourcePools/pool"
SHOWN = POOL.replace(PROJECT, NUMBER)
RESOURCES = {
    "machine_spec": {"machine_type": "n1-standard-2"},
    "min_replica_count": 1,
    "max_replica_count": 2,
}


def pools(sandbox: Sandbox, name: str = "admin") -> Any:
    return aiplatform_v1.DeploymentResourcePoolServiceClient(
        credentials=sandbox.credentials(name),
        transport="rest",
        client_options={"api_endpoint": f"{REGION}-aiplatform.googleapis.com"},
    )


def make(sandbox: Sandbox, **fields: Any) -> Any:
    operation = pools(sandbox).create_deployment_resource_pool(
        parent=LOCATION,
        deployment_resource_pool={"dedicated_resources": RESOURCES, **fields},
        deployment_resource_pool_id="pool",
    )
    return sandbox.finish(operation)


def deploy(sandbox: Sandbox, model: str, who: str = "admin", deployed_id: str = "1") -> Any:
    fields = deployed(model, deployed_id, dedicated_resources=None, shared_resources=POOL)
    operation = sandbox.endpoints(who).deploy_model(endpoint=ENDPOINT, deployed_model=fields)
    return sandbox.finish(operation).deployed_model


def test_a_pool_is_made_read_changed_listed_and_deleted(sandbox: Sandbox) -> None:
    made = make(sandbox)
    assert made.name == SHOWN
    assert made.dedicated_resources.max_replica_count == 2
    client = pools(sandbox)
    assert client.get_deployment_resource_pool(name=POOL) == made
    change = {"name": POOL, "dedicated_resources": {"max_replica_count": 4}}
    mask = {"paths": ["dedicated_resources.max_replica_count"]}
    operation = client.update_deployment_resource_pool(
        deployment_resource_pool=change, update_mask=mask
    )
    changed = sandbox.finish(operation).dedicated_resources
    assert (changed.min_replica_count, changed.max_replica_count) == (1, 4)
    assert [item.name for item in client.list_deployment_resource_pools(parent=LOCATION)] == [SHOWN]
    sandbox.finish(client.delete_deployment_resource_pool(name=POOL))
    with pytest.raises(exceptions.NotFound):
        client.get_deployment_resource_pool(name=POOL)


def test_both_versions_see_the_same_pools(sandbox: Sandbox) -> None:
    make(sandbox)
    answers = [sandbox.http().get(f"{VERTEX}/{v}/{POOL}").json() for v in ("v1", "v1beta1")]
    assert answers[0] == answers[1]


def test_models_of_several_endpoints_share_a_pool(
    sandbox: Sandbox, model: str, endpoint: str
) -> None:
    make(sandbox)
    shared = deploy(sandbox, model)
    assert shared.shared_resources == SHOWN
    assert not shared.dedicated_resources.machine_spec.machine_type
    found = pools(sandbox).query_deployed_models(deployment_resource_pool=POOL)
    assert [item.deployed_model_id for item in found.deployed_model_refs] == ["1"]
    assert found.total_endpoint_count == 1
    with pytest.raises(exceptions.BadRequest, match="has DeployedModel"):
        pools(sandbox).delete_deployment_resource_pool(name=POOL)
    operation = sandbox.endpoints().undeploy_model(endpoint=ENDPOINT, deployed_model_id="1")
    sandbox.finish(operation)
    sandbox.finish(pools(sandbox).delete_deployment_resource_pool(name=POOL))
    assert sandbox.cloud.state()["deploymentResourcePools"] == []


def test_whoever_deploys_has_to_act_as_the_pools_account(
    sandbox: Sandbox, model: str, endpoint: str
) -> None:
    make(sandbox, service_account=email("serving"))
    sandbox.role("deployer", "aiplatform.endpoints.deploy", "aiplatform.models.get")
    with pytest.raises(exceptions.BadRequest, match="act as service_account"):
        deploy(sandbox, model, "deployer")
    account = f"projects/{PROJECT}/serviceAccounts/{email('serving')}"
    assert sandbox.checks("iam.serviceAccounts.actAs")[-1] == (email("deployer"), account, False)
    sandbox.role("deployer", "iam.serviceAccounts.actAs", on=account)
    sandbox.role("deployer", "aiplatform.endpoints.get")
    sandbox.role("serving", "storage.objects.get", "storage.objects.list")
    deploy(sandbox, model, "deployer")
    assert sandbox.checks("iam.serviceAccounts.actAs")[-1] == (email("deployer"), account, True)


def test_a_pool_has_to_have_the_endpoints_key(sandbox: Sandbox, model: str) -> None:
    key = sandbox.key()
    make(sandbox, encryption_spec={"kms_key_name": key})
    sandbox.endpoint(encryption_spec={"kms_key_name": key})
    shown = sandbox.endpoints().get_endpoint(name=ENDPOINT)
    assert shown.encryption_spec.kms_key_name == key
    assert deploy(sandbox, model).shared_resources == SHOWN


def test_a_pool_with_a_key_takes_no_endpoint_without(
    sandbox: Sandbox, model: str, endpoint: str
) -> None:
    key = sandbox.key()
    make(sandbox, encryption_spec={"kms_key_name": key})
    with pytest.raises(exceptions.BadRequest, match="one encryption_spec"):
        deploy(sandbox, model)


def test_the_machines_of_a_pool_count_once(sandbox: Sandbox, model: str, endpoint: str) -> None:
    sandbox.cloud.quotas[CPU_QUOTA] = 4
    make(sandbox)
    deploy(sandbox, model)
    with pytest.raises(exceptions.TooManyRequests, match=CPU_QUOTA):
        sandbox.deploy(model, "2")


@pytest.mark.parametrize(
    "permission", ["create", "get", "list", "update", "delete", "queryDeployedModels"]
)
def test_each_method_checks_its_own_permission(sandbox: Sandbox, permission: str) -> None:
    make(sandbox)
    body = {"deploymentResourcePool": {}, "deploymentResourcePoolId": "Pool"}
    url = f"{VERTEX}/v1/{POOL}"
    calls = {
        "create": ("POST", url.rpartition("/")[0], body),
        "get": ("GET", url, None),
        "list": ("GET", url.rpartition("/")[0], None),
        "update": ("PATCH", url, {}),
        "delete": ("DELETE", url, None),
        "queryDeployedModels": ("GET", f"{url}:queryDeployedModels", None),
    }
    sandbox.role("deployer", f"aiplatform.deploymentResourcePools.{permission}")
    client = sandbox.http("deployer")
    for name, (verb, where, sent) in calls.items():
        answer = client.request(verb, where, json=sent)
        assert (answer.status_code != 403) is (name == permission), (name, answer.text)
        sandbox.cloud.clock.step(5)
        client = sandbox.http("deployer")
