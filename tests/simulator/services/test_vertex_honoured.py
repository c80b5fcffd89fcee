"""What Vertex AI does not act on here is refused with its name, and nothing is changed."""

from __future__ import annotations

from typing import Any

import pytest
from google.api_core import exceptions
from google.cloud import aiplatform_v1

from simulator.iam.decisions import Iam
from simulator.serve.dump import dump
from tests.simulator.support.service import (
    AGENT,
    ENCRYPTER,
    ENDPOINT,
    IMAGE,
    LOCATION,
    VERTEX,
    Sandbox,
    artifact,
    deployed,
)

CUSTOM = "us-docker.pkg.dev/vertex-ai/prediction/xgboost-cpu.2-1:latest"
MODEL = {"displayName": "m", "artifactUri": "gs://iot-prod-models/v1"}
MACHINE = {"machineType": "n1-standard-2"}


def on_model(**fields: Any) -> dict[str, Any]:
    return {"model": {**MODEL, "containerSpec": {"imageUri": CUSTOM}, **fields}}


def on_deployed(**fields: Any) -> dict[str, Any]:
    resources = {"machineSpec": MACHINE, "minReplicaCount": 1}
    model = f"{LOCATION}/models/failure"
    return {"deployedModel": {"model": model, "dedicatedResources": resources, **fields}}


def on_machine(**fields: Any) -> dict[str, Any]:
    return on_resources(machineSpec={**MACHINE, **fields})


def on_resources(**fields: Any) -> dict[str, Any]:
    resources = {"machineSpec": MACHINE, "minReplicaCount": 1, **fields}
    return on_deployed(dedicatedResources=resources)


def scaling(metric: str) -> dict[str, Any]:
    return on_resources(autoscalingMetricSpecs=[{"metricName": metric, "target": 50}])


CREATE, PATCH = f"POST /v1/{LOCATION}/endpoints", f"PATCH /v1/{ENDPOINT}"
DEPLOY, UPLOAD = f"POST /v1/{ENDPOINT}:deployModel", f"POST /v1/{LOCATION}/models:upload"
DEPLOY_BETA = DEPLOY.replace("/v1/", "/v1beta1/")
NETWORK = "projects/123456789012/global/networks/plant"
TIMEOUT = {"inferenceTimeout": "30s"}
CPU = "aiplatform.googleapis.com/prediction/online/cpu/utilization"
DUTY_CYCLE = "aiplatform.googleapis.com/prediction/online/accelerator/duty_cycle"


@pytest.mark.parametrize(
    ("request_", "body", "name"),
    [
        (CREATE, {"displayName": "e", "network": NETWORK}, "the field network"),
        (
            CREATE,
            {
                "displayName": "e",
                "privateServiceConnectConfig": {
                    "enablePrivateServiceConnect": True,
                    "pscAutomationConfigs": [{"projectId": "p", "network": "n"}],
                },
            },
            "pscAutomationConfigs",
        ),
        (CREATE, {"displayName": "e", "clientConnectionConfig": TIMEOUT}, "clientConnectionConfig"),
        (CREATE, {"displayName": "e", "gdcConfig": {"zone": "z"}}, "gdcConfig"),
        (f"{PATCH}?updateMask=clientConnectionConfig.inferenceTimeout", {}, "inferenceTimeout"),
        (DEPLOY, on_machine(gpuPartitionSize="1g.10gb"), "gpuPartitionSize"),
        (DEPLOY, on_machine(tpuTopology="1x1"), "tpuTopology"),
        (
            DEPLOY,
            on_machine(reservationAffinity={"reservationAffinityType": "NO_RESERVATION"}),
            "deployedModel.dedicatedResources.machineSpec.reservationAffinity",
        ),
        (DEPLOY, on_machine(machineType="ct5lp-hightpu-1t"), "ct5lp-hightpu-1t"),
        (DEPLOY, on_machine(machineType="a4x-highgpu-4g"), "a4x-highgpu-4g"),
        (
            DEPLOY,
            on_deployed(explanationSpec={"parameters": {"sampledShapleyAttribution": {}}}),
            "explanationSpec",
        ),
        (DEPLOY_BETA, on_deployed(enableContainerLogging=True), "enableContainerLogging"),
        (
            DEPLOY_BETA,
            on_resources(scaleToZeroSpec={"minScaleupPeriod": "300s"}),
            "scaleToZeroSpec",
        ),
        (
            f"POST /v1/{ENDPOINT}:mutateDeployedModel",
            {
                "deployedModel": {"id": "1"},
                "updateMask": "dedicatedResources.machineSpec.gpuPartitionSize",
            },
            "dedicatedResources.machineSpec.gpuPartitionSize",
        ),
        (UPLOAD, on_model(metadata={"a": 1}), "model.metadata"),
        (
            UPLOAD,
            on_model(containerSpec={"imageUri": CUSTOM, "livenessProbe": {"periodSeconds": 5}}),
            "livenessProbe",
        ),
        (
            UPLOAD,
            on_model(containerSpec={"imageUri": IMAGE, "env": [{"name": "A", "value": "b"}]}),
            "containerSpec.env",
        ),
        (f"GET /v1/{LOCATION}/endpoints?gdcZone=z", {}, "gdcZone"),
        (f"GET /v1/{LOCATION}/models?filter=base_model_name=b", {}, "base_model_name"),
        (f"GET /v1/{ENDPOINT}/operations?filter=done:true", {}, "filter"),
        (f"GET /v1/{ENDPOINT}/operations?returnPartialSuccess=true", {}, "returnPartialSuccess"),
    ],
)
def test_what_nobody_acts_on_is_refused_by_name(
    sandbox: Sandbox, model: str, endpoint: str, request_: str, body: dict[str, Any], name: str
) -> None:
    before = dump(sandbox.cloud)
    verb, _, path = request_.partition(" ")
    answer = sandbox.http().request(verb, VERTEX + path, json=body or None)
    error = answer.json()["error"]
    assert (answer.status_code, error["status"]) == (501, "UNIMPLEMENTED"), error
    assert name in error["message"]
    assert dump(sandbox.cloud) == before


def test_a_container_that_does_not_run_here_keeps_what_it_is_given(sandbox: Sandbox) -> None:
    given = {
        "image_uri": CUSTOM,
        "command": ["serve"],
        "args": ["--workers=2"],
        "env": [{"name": "MODE", "value": "fast"}],
        "ports": [{"container_port": 7080}],
        "predict_route": "/predict",
        "health_route": "/healthz",
        "deployment_timeout": {"seconds": 7200},
        "startup_probe": {"http_get": {"path": "/healthz", "port": 7080}, "failure_threshold": 30},
        "health_probe": {"exec_": {"command": ["well"]}, "period_seconds": 5},
    }
    uri = sandbox.bucket(**{"model.bst": artifact()})
    model = sandbox.upload(uri, model={"container_spec": given})
    spec = sandbox.models().get_model(name=model).container_spec
    assert spec == aiplatform_v1.ModelContainerSpec(given)
    for wrong in ({"ports": [{"container_port": 70_000}]}, {"env": [{"name": "9-x"}]}):
        with pytest.raises(exceptions.BadRequest, match="is no valid"):
            sandbox.upload(uri, "other", model={"container_spec": {**given, **wrong}})
    late = {**given, "deployment_timeout": {"seconds": 7201}}
    with pytest.raises(exceptions.BadRequest, match="2 hours"):
        sandbox.upload(uri, "other", model={"container_spec": late})


def test_without_a_machine_type_it_is_googles_default(
    sandbox: Sandbox, model: str, endpoint: str
) -> None:
    resources = {"min_replica_count": 1}
    made = sandbox.deploy(model, "1", dedicated_resources=resources).dedicated_resources
    assert made.machine_spec.machine_type == "n1-standard-2"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"required_replica_count": 2}, "required_replica_count"),
        ({"autoscaling_metric_specs": [{"metric_name": "load"}]}, 'metric "load"'),
        ({"autoscaling_metric_specs": [{"metric_name": CPU, "target": 101}]}, "cpu/utilization"),
        ({"autoscaling_metric_specs": [{"metric_name": CPU}] * 2}, "another autoscaling metric"),
        ({"autoscaling_metric_specs": [{"metric_name": DUTY_CYCLE}]}, "machines with accelerators"),
    ],
)
def test_replicas_and_targets_that_cannot_be(
    sandbox: Sandbox, model: str, endpoint: str, fields: dict[str, Any], message: str
) -> None:
    wanted = deployed(model)
    wanted["dedicated_resources"] |= fields
    with pytest.raises(exceptions.BadRequest, match=message):
        sandbox.endpoints().deploy_model(endpoint=ENDPOINT, deployed_model=wanted)


@pytest.mark.parametrize("what", ["endpoint", "model", "pool"])
def test_a_key_has_to_be_one_that_the_agent_may_use(sandbox: Sandbox, what: str) -> None:
    uri, client = sandbox.bucket(), sandbox.http()
    key = sandbox.key(granted=False)
    spec = {"encryptionSpec": {"kmsKeyName": key}}
    model = {**MODEL, "artifactUri": uri, "containerSpec": {"imageUri": IMAGE}, **spec}
    pool = {"dedicatedResources": {"machineSpec": MACHINE, "minReplicaCount": 1}, **spec}
    path, body = {
        "endpoint": ("endpoints", {"displayName": "e", **spec}),
        "model": ("models:upload", {"model": model}),
        "pool": (
            "deploymentResourcePools",
            {"deploymentResourcePool": pool, "deploymentResourcePoolId": "p"},
        ),
    }[what]

    def outcome() -> dict[str, Any]:
        begun = client.post(f"{VERTEX}/v1/{LOCATION}/{path}", json=body).json()
        sandbox.cloud.clock.step(5)
        done: dict[str, Any] = client.get(f"{VERTEX}/v1/{begun['name']}").json()
        return done

    refused = outcome()["error"]
    assert refused["code"] == 7
    assert "'cloudkms.cryptoKeyVersions.useToEncrypt' denied on resource" in refused["message"]
    sandbox.cloud[Iam].grant(key, ENCRYPTER, f"serviceAccount:{AGENT}")
    assert "response" in outcome()


def test_a_key_of_another_region_or_a_disabled_one_does_not_serve(sandbox: Sandbox) -> None:
    with pytest.raises(exceptions.InvalidArgument, match="is not in us-central1"):
        sandbox.endpoint(encryption_spec={"kms_key_name": sandbox.key("europe-west1")})
    key = sandbox.key()
    url = f"https://cloudkms.googleapis.com/v1/{key}/cryptoKeyVersions/1?updateMask=state"
    sandbox.http().patch(url, json={"state": "DISABLED"}).raise_for_status()
    with pytest.raises(exceptions.FailedPrecondition, match="current state is: DISABLED"):
        sandbox.endpoint(encryption_spec={"kms_key_name": key})


def test_operations_come_in_pages(sandbox: Sandbox, endpoint: str) -> None:
    sandbox.finish(sandbox.endpoints().delete_endpoint(name=ENDPOINT))
    sandbox.endpoint()
    url, seen, token = f"{VERTEX}/v1/{ENDPOINT}/operations?pageSize=1", [], ""
    while not seen or token:
        page = sandbox.http().get(f"{url}&pageToken={token}").json()
        assert len(page["operations"]) == 1
        seen += [item["name"] for item in page["operations"]]
        token = page.get("nextPageToken", "")
    assert len(set(seen)) == 2


def test_a_read_mask_reaches_inside(sandbox: Sandbox, model: str) -> None:
    url = f"{VERTEX}/v1/{LOCATION}/models?readMask=name,containerSpec.imageUri"
    (found,) = sandbox.http().get(url).json()["models"]
    assert found == {"name": model, "containerSpec": {"imageUri": IMAGE}}
