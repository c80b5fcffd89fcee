"""Deploying models: permissions, identities, traffic, quota."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.api_core import exceptions

from simulator.iam.decisions import Iam
from simulator.identity.accounts import Accounts
from simulator.services.vertex.resources import CPU_QUOTA
from simulator.services.vertex.state import Vertex
from tests.simulator.support.service import (
    AGENT,
    ENDPOINT,
    IMAGE,
    LOCATION,
    PROJECT,
    REGION,
    TRAINING,
    TRAINING_NUMBER,
    Sandbox,
    artifact,
    deployed,
    email,
    sandboxed,
)

BUCKET = "projects/_/buckets/iot-prod-models"
DEPLOY = ("aiplatform.endpoints.deploy", "aiplatform.endpoints.get", "aiplatform.models.get")


@pytest.fixture
def sandbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    yield from sandboxed(tmp_path, monkeypatch, quotas={CPU_QUOTA: 8})


def test_a_deployed_model_shows_once_it_runs(sandbox: Sandbox, model: str, endpoint: str) -> None:
    client = sandbox.endpoints()
    request = {"endpoint": ENDPOINT, "deployed_model": deployed(model, "77")}
    operation = client.deploy_model({**request, "traffic_split": {"0": 100}})
    assert not client.get_endpoint(name=ENDPOINT).deployed_models
    sandbox.finish(operation)
    seen = client.get_endpoint(name=ENDPOINT)
    (one,) = seen.deployed_models
    assert (one.id, one.model, one.model_version_id) == ("77", model, "1")
    assert one.display_name == "failure"
    assert dict(seen.traffic_split) == {"77": 100}
    sandbox.deploy(model, "")
    assert dict(client.get_endpoint(name=ENDPOINT).traffic_split) == {"77": 100}


@pytest.mark.parametrize("path", ["dedicated_resources.spot", "enable_access_logging"])
def test_spot_and_access_logs_are_fixed_with_the_deployment(
    sandbox: Sandbox, model: str, endpoint: str, path: str
) -> None:
    client, given = sandbox.endpoints(), deployed(model, "77", enable_access_logging=True)
    given["dedicated_resources"]["spot"] = True
    sandbox.finish(client.deploy_model(endpoint=ENDPOINT, deployed_model=given))
    (one,) = client.get_endpoint(name=ENDPOINT).deployed_models
    assert one.dedicated_resources.spot and one.enable_access_logging
    with pytest.raises(exceptions.BadRequest, match="cannot be mutated"):
        client.mutate_deployed_model(
            endpoint=ENDPOINT, deployed_model={"id": "77"}, update_mask={"paths": [path]}
        )


@pytest.mark.parametrize("missing", DEPLOY)
def test_deploying_takes_exactly_these_permissions(
    sandbox: Sandbox, model: str, endpoint: str, missing: str
) -> None:
    sandbox.role("deployer", *(name for name in DEPLOY if name != missing))
    with pytest.raises((exceptions.Forbidden, exceptions.PermissionDenied), match=missing):
        sandbox.deploy(model, who="deployer")
    sandbox.role("deployer", missing)
    assert sandbox.deploy(model, "2", who="deployer").id == "2"


@pytest.mark.parametrize(
    ("split", "message"),
    [({"0": 90}, "add up to 100"), ({"0": 50, "3": 50}, "refers to 3")],
)
def test_a_traffic_split_is_whole_and_over_what_is_deployed(
    sandbox: Sandbox, model: str, endpoint: str, split: dict[str, int], message: str
) -> None:
    with pytest.raises(exceptions.BadRequest, match=message):
        sandbox.deploy(model, split=split)
    assert not sandbox.cloud[Vertex].endpoints[ENDPOINT].deployed


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"dedicated_resources": None}, "prediction resources"),
        (
            {"dedicated_resources": None, "automatic_resources": {"min_replica_count": 1}},
            "'automatic_resources' is not supported for Model",
        ),
        (
            {
                "dedicated_resources": {
                    "machine_spec": {"machine_type": "n1-standard-3"},
                    "min_replica_count": 1,
                }
            },
            "n1-standard-3",
        ),
        (
            {
                "dedicated_resources": {
                    "machine_spec": {"machine_type": "n1-standard-2"},
                    "min_replica_count": 3,
                    "max_replica_count": 2,
                }
            },
            "replica",
        ),
        ({"id": "abc"}, "1 to 10 digits"),
    ],
)
def test_a_deployment_google_would_refuse(
    sandbox: Sandbox, model: str, endpoint: str, fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(exceptions.BadRequest, match=message):
        sandbox.endpoints().deploy_model(
            {"endpoint": ENDPOINT, "deployed_model": {**deployed(model), **fields}}
        )


def test_a_deployed_id_is_taken_once(sandbox: Sandbox, model: str, endpoint: str) -> None:
    sandbox.deploy(model, "1")
    with pytest.raises(exceptions.Conflict):
        sandbox.deploy(model, "1")


def test_the_serving_quota_counts_cpus_over_the_region(sandbox: Sandbox, model: str) -> None:
    sandbox.endpoint()
    for deployed_id in ("1", "2"):
        sandbox.deploy(model, deployed_id)
    sandbox.endpoint("2")
    with pytest.raises(exceptions.TooManyRequests) as exceeded:
        sandbox.endpoints().deploy_model(
            endpoint=f"{LOCATION}/endpoints/2", deployed_model=deployed(model)
        )
    text = f"The following quotas are exceeded: {CPU_QUOTA}"
    assert exceeded.value.message.endswith(f"{text} 4: {text}")
    with pytest.raises(exceptions.TooManyRequests):
        mutate(sandbox, "1", {"max_replica_count": 3})
    sandbox.finish(sandbox.endpoints().undeploy_model(endpoint=ENDPOINT, deployed_model_id="2"))
    mutate(sandbox, "1", {"max_replica_count": 4})


def on(machine: str, type: str = "", count: int = 0, replicas: int = 1) -> dict[str, Any]:
    spec = {"machine_type": machine, "accelerator_type": type or None, "accelerator_count": count}
    machines = {"machine_spec": spec, "min_replica_count": 1, "max_replica_count": replicas}
    return {"dedicated_resources": machines}


@pytest.mark.parametrize(
    ("machine", "type", "count", "said"),
    [
        # vertex-ai-samples#3372
        (
            "g2-standard-8",
            "NVIDIA_L4",
            8,
            'The accelerator count "8" is not allowed. The allowed numbers of accelerator "NVIDIA_L'
            '4" to use with machine type "g2-standard-8" are: [1].',
        ),
        ("n1-standard-2", "NVIDIA_TESLA_T4", 3, "are: [1, 2, 4]."),
        # terraform-provider-google#18931
        (
            "n1-standard-4",
            "NVIDIA_TESLA_K80",
            1,
            'Accelerator "NVIDIA_TESLA_K80" is not supported for machine type "n1-standard-4"',
        ),
        ("e2-standard-2", "NVIDIA_TESLA_T4", 1, 'supported for machine type "e2-standard-2"'),
        ("c3-standard-4", "", 0, 'Machine type "c3-standard-4" is not supported.'),
    ],
)
def test_accelerators_have_to_fit_the_machine(
    sandbox: Sandbox, model: str, endpoint: str, machine: str, type: str, count: int, said: str
) -> None:
    with pytest.raises(exceptions.BadRequest) as refused:
        sandbox.deploy(model, "1", **on(machine, type, count))
    assert refused.value.message.endswith(said)


def test_each_type_of_accelerator_has_a_quota_of_its_own(
    sandbox: Sandbox, model: str, endpoint: str
) -> None:
    sandbox.cloud.quotas[CPU_QUOTA] = 2200
    made = sandbox.deploy(model, "1", **on("g2-standard-24", replicas=7)).dedicated_resources
    assert (made.machine_spec.accelerator_type.name, made.machine_spec.accelerator_count) == (
        "NVIDIA_L4",
        2,
    )
    sandbox.deploy(model, "2", **on("n1-standard-8", "NVIDIA_TESLA_T4", 4, replicas=2))
    with pytest.raises(exceptions.TooManyRequests) as exceeded:
        mutate(sandbox, "1", {"max_replica_count": 15})
    text = "The following quotas are exceeded: CustomModelServingL4GPUsPerProjectPerRegion"
    assert exceeded.value.message.endswith(f"{text} 30: {text}")
    mutate(sandbox, "1", {"max_replica_count": 14})
    with pytest.raises(exceptions.TooManyRequests, match="ServingT4GPUsPerProjectPerRegion 8"):
        sandbox.deploy(model, "3", **on("n1-standard-8", "NVIDIA_TESLA_T4", 4, replicas=2))
    sandbox.finish(sandbox.endpoints().undeploy_model(endpoint=ENDPOINT, deployed_model_id="2"))
    sandbox.deploy(model, "3", **on("n1-standard-8", "NVIDIA_TESLA_T4", 4, replicas=2))


def test_spot_machines_have_quotas_of_their_own(
    sandbox: Sandbox, model: str, endpoint: str
) -> None:
    spot = on("g2-standard-24", replicas=15)
    spot["dedicated_resources"]["spot"] = True
    sandbox.deploy(model, "1", **spot)
    sandbox.cloud.quotas["CustomModelServingPreemptibleCPUsPerProjectPerRegion"] = 400
    with pytest.raises(exceptions.TooManyRequests, match="ServingPreemptibleCPUsPerProjectPerReg"):
        sandbox.deploy(model, "2", **spot)
    sandbox.deploy(model, "2")


def test_acting_as_the_serving_account_is_checked_and_denied_with_a_400(
    sandbox: Sandbox, model: str, endpoint: str
) -> None:
    sandbox.role("deployer", *DEPLOY)
    sandbox.grant(BUCKET, "roles/storage.objectViewer", "serving")
    fields = {"service_account": email("serving")}
    with pytest.raises(exceptions.BadRequest) as denied:
        sandbox.deploy(model, who="deployer", **fields)
    assert denied.value.message.endswith(
        f"You do not have permission to act as service_account: {email('serving')}. "
        "(or it may not exist)."
    )
    account = f"projects/{PROJECT}/serviceAccounts/{email('serving')}"
    sandbox.grant(account, "roles/iam.serviceAccountUser", "deployer")
    assert sandbox.deploy(model, who="deployer", **fields).service_account == email("serving")


def test_the_container_reads_its_artifact_as_the_account_it_runs_as(
    sandbox: Sandbox, model: str, endpoint: str
) -> None:
    fields = {"service_account": email("serving")}
    with pytest.raises(exceptions.PermissionDenied, match=email("serving")):
        sandbox.deploy(model, **fields)
    assert not sandbox.cloud[Vertex].endpoints[ENDPOINT].deployed
    sandbox.grant(BUCKET, "roles/storage.objectViewer", "serving")
    sandbox.deploy(model, **fields)
    sandbox.cloud[Accounts].find(email("serving")).disabled = True
    with pytest.raises(exceptions.FailedPrecondition, match="disabled"):
        sandbox.deploy(model, "2", **fields)


def test_the_agent_needs_tokens_of_a_serving_account_in_another_project(
    sandbox: Sandbox, model: str, endpoint: str
) -> None:
    account = sandbox.cloud[Accounts].create(TRAINING, "serving")
    member = f"serviceAccount:{account.email}"
    sandbox.cloud[Iam].grant(BUCKET, "roles/storage.objectViewer", member)
    fields = {"service_account": account.email}
    with pytest.raises(exceptions.PermissionDenied, match=r"iam\.serviceAccounts\.getAccessToken"):
        sandbox.deploy(model, **fields)
    sandbox.cloud[Iam].grant(
        account.name, "roles/iam.serviceAccountTokenCreator", f"serviceAccount:{AGENT}"
    )
    assert sandbox.deploy(model, **fields).service_account == account.email


def test_an_artifact_the_agent_may_no_longer_read_fails_inside_the_operation(
    sandbox: Sandbox, model: str, endpoint: str
) -> None:
    sandbox.cloud[Iam].withheld.add((AGENT, "storage.objects.get"))
    with pytest.raises(exceptions.PermissionDenied, match=f"{AGENT} does not have storage.objects"):
        sandbox.deploy(model, split={"0": 100})
    seen = sandbox.endpoints().get_endpoint(name=ENDPOINT)
    assert not seen.deployed_models and not seen.traffic_split


def test_an_artifact_that_does_not_load_ends_the_container(sandbox: Sandbox) -> None:
    model = sandbox.upload(sandbox.bucket(**{"model.joblib": b"not a model"}))
    sandbox.endpoint()
    with pytest.raises(exceptions.FailedPrecondition, match="Model server exited unexpectedly"):
        sandbox.deploy(model)


def test_a_model_of_another_project_needs_grants_for_caller_and_agent_there(
    sandbox: Sandbox, endpoint: str
) -> None:
    bucket = sandbox.storage().bucket("iot-training-models")
    sandbox.storage().create_bucket(bucket, project=TRAINING, location=REGION)
    bucket.blob("v1/model.joblib").upload_from_string(artifact())
    location = f"projects/{TRAINING}/locations/{REGION}"
    request = {
        "display_name": "trained",
        "artifact_uri": "gs://iot-training-models/v1",
        "container_spec": {"image_uri": IMAGE},
    }
    upload = sandbox.models().upload_model(
        {"parent": location, "model": request, "model_id": "trained"}
    )
    model = sandbox.finish(upload).model
    assert model == f"projects/{TRAINING_NUMBER}/locations/{REGION}/models/trained"
    sandbox.role("deployer", *DEPLOY)
    with pytest.raises(exceptions.Forbidden, match=r"aiplatform\.models\.get"):
        sandbox.deploy(model, who="deployer")
    sandbox.grant(f"projects/{TRAINING}", "roles/aiplatform.viewer", "deployer")
    with pytest.raises(exceptions.PermissionDenied, match=f"{AGENT} does not have storage"):
        sandbox.deploy(model, who="deployer")
    sandbox.cloud[Iam].grant(
        "projects/_/buckets/iot-training-models",
        "roles/storage.objectViewer",
        f"serviceAccount:{AGENT}",
    )
    assert sandbox.deploy(model, who="deployer").model == model


def test_a_model_of_another_region_is_refused(sandbox: Sandbox, endpoint: str) -> None:
    location = f"projects/{PROJECT}/locations/europe-west1"
    uri = sandbox.bucket("iot-prod-europe", location="europe-west1")
    request = {"display_name": "m", "artifact_uri": uri, "container_spec": {"image_uri": IMAGE}}
    upload = sandbox.models(region="europe-west1").upload_model(parent=location, model=request)
    model = sandbox.finish(upload).model
    with pytest.raises(exceptions.BadRequest, match="The model is in europe-west1"):
        sandbox.deploy(model)


def test_a_model_leaves_only_without_traffic(sandbox: Sandbox, model: str, endpoint: str) -> None:
    client = sandbox.endpoints()
    sandbox.deploy(model, "1", split={"0": 100})
    sandbox.deploy(model, "2", split={"0": 40, "1": 60})
    with pytest.raises(exceptions.BadRequest, match="still has traffic"):
        client.undeploy_model(endpoint=ENDPOINT, deployed_model_id="1")
    with pytest.raises(exceptions.BadRequest, match="add up to 100"):
        client.undeploy_model(endpoint=ENDPOINT, deployed_model_id="1", traffic_split={"2": 50})
    moved = client.undeploy_model(
        endpoint=ENDPOINT, deployed_model_id="1", traffic_split={"2": 100}
    )
    sandbox.finish(moved)
    seen = client.get_endpoint(name=ENDPOINT)
    assert ([item.id for item in seen.deployed_models], dict(seen.traffic_split)) == (
        ["2"],
        {"2": 100},
    )
    # The last one may go with all the traffic there is.
    sandbox.finish(client.undeploy_model(endpoint=ENDPOINT, deployed_model_id="2"))
    seen = client.get_endpoint(name=ENDPOINT)
    assert not seen.deployed_models and not seen.traffic_split
    with pytest.raises(exceptions.NotFound):
        client.undeploy_model(endpoint=ENDPOINT, deployed_model_id="2")


def test_undeploying_takes_its_own_permission(sandbox: Sandbox, model: str, endpoint: str) -> None:
    sandbox.deploy(model, "1")
    sandbox.role("deployer", *DEPLOY)
    with pytest.raises(exceptions.Forbidden, match=r"aiplatform\.endpoints\.undeploy"):
        sandbox.endpoints("deployer").undeploy_model(endpoint=ENDPOINT, deployed_model_id="1")


def mutate(sandbox: Sandbox, deployed_id: str, replicas: dict[str, Any]) -> Any:
    request = {
        "endpoint": ENDPOINT,
        "deployed_model": {"id": deployed_id, "dedicated_resources": replicas},
        "update_mask": {"paths": [f"dedicated_resources.{name}" for name in replicas]},
    }
    operation = sandbox.endpoints().mutate_deployed_model(request)
    return sandbox.finish(operation).deployed_model.dedicated_resources


def test_replicas_and_scaling_change_in_place_and_nothing_else_does(
    sandbox: Sandbox, model: str, endpoint: str
) -> None:
    sandbox.deploy(model, "1")
    metric = "aiplatform.googleapis.com/prediction/online/cpu/utilization"
    specs = [{"metric_name": metric, "target": 70}]
    seen = mutate(sandbox, "1", {"min_replica_count": 2, "autoscaling_metric_specs": specs})
    assert (seen.min_replica_count, seen.max_replica_count) == (2, 2)
    assert seen.autoscaling_metric_specs[0].target == 70
    assert seen.machine_spec.machine_type == "n1-standard-2"
    with pytest.raises(exceptions.BadRequest, match="cannot be mutated"):
        mutate(sandbox, "1", {"machine_spec": {"machine_type": "n1-standard-4"}})
    with pytest.raises(exceptions.BadRequest, match="replica"):
        mutate(sandbox, "1", {"min_replica_count": 3})
