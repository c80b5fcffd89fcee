"""Machines, replicas and the quota on them: of deployed models, and of pools that models share."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

from simulator.api.calls import Call
from simulator.api.errors import invalid, resource_exhausted, unimplemented
from simulator.services.vertex.machines import BUILT_IN, CPUS, allowed, named
from simulator.services.vertex.state import Deployment, Pool, Vertex, location_of

CPU_QUOTA = "CustomModelServingCPUsPerProjectPerRegion"
# Spot VMs have quotas of their own: GoogleCloudPlatform/vertex-ai-samples, notebooks/community/
# model_garden, names CustomModelServingPreemptibleH100GPUsPerProjectPerRegion.
SERVING, SPOT_SERVING = "CustomModelServing", "CustomModelServingPreemptible"
# By type, as gcloud has them (command_lib/ai/model_garden_utils.py). Two are enforced also where a
# cloud was given no limit: as the page of quotas has them in us-central1 and europe-west4.
GPU_QUOTA = "CustomModelServing{}GPUsPerProjectPerRegion"
GPU_LIMITS = {GPU_QUOTA.format("L4"): 28, GPU_QUOTA.format("T4"): 12}
# No quota of endpoints is documented, and no name of one (gcp-facts/07_metrics_alerts.md).
ENDPOINT_QUOTA = "aiplatform.googleapis.com/endpoints"
DEFAULT_MACHINE = "n1-standard-2"
# They come with TPUs, or by the rack (A4X).
TPU_OR_RACK = ("ct", "a4x-")
# AutoscalingMetricSpec.metricName; of the last ones nothing is simulated.
REQUEST_COUNT = "aiplatform.googleapis.com/prediction/online/request_count"
DUTY_CYCLE = "aiplatform.googleapis.com/prediction/online/accelerator/duty_cycle"
METRICS = (
    "aiplatform.googleapis.com/prediction/online/cpu/utilization",
    REQUEST_COUNT,
    DUTY_CYCLE,
)
OTHER_METRICS = (
    "pubsub.googleapis.com/subscription/num_undelivered_messages",
    "prometheus.googleapis.com/vertex_dcgm_fi_dev_gpu_util",
    "prometheus.googleapis.com/vertex_vllm_gpu_cache_usage_perc",
    "prometheus.googleapis.com/vertex_vllm_num_requests_waiting",
)
# endpoint_service.proto, MutateDeployedModelRequest: all that a deployed model lets change here.
MUTABLE_REPLICAS = (
    "minReplicaCount",
    "maxReplicaCount",
    "requiredReplicaCount",
    "autoscalingMetricSpecs",
)


def sized(resources: dict[str, Any]) -> dict[str, Any]:
    """DedicatedResources with Google's defaults in; the sentences of the refusals are ours."""
    least = int(resources.get("minReplicaCount", 0))
    most = int(resources.get("maxReplicaCount") or least)
    if not 1 <= least <= most:
        raise invalid("Replica counts must satisfy 1 <= min_replica_count <= max_replica_count.")
    # google-cloud-aiplatform, `required_replica_count`.
    if not 0 <= int(resources.get("requiredReplicaCount", 0)) <= least:
        raise invalid("required_replica_count must be from 1 to min_replica_count.")
    machine = _machine(resources.get("machineSpec", {}))
    _check_metrics(resources.get("autoscalingMetricSpecs", []), machine)
    return resources | {
        "machineSpec": machine,
        "minReplicaCount": least,
        "maxReplicaCount": most,
    }


def _machine(spec: dict[str, Any]) -> dict[str, Any]:
    """A MachineSpec, with the accelerators that the machine comes with (inferred: what is answered
    of it to who named none was not found). The refusals of accelerators are Google's, from
    hashicorp/terraform-provider-google#18931 and GoogleCloudPlatform/vertex-ai-samples#3372."""
    machine = spec.get("machineType") or DEFAULT_MACHINE
    if machine.startswith(TPU_OR_RACK):
        raise unimplemented(f"Machine type {machine}")
    if machine not in CPUS:
        raise invalid(f'Machine type "{machine}" is not supported.')
    kind, count = named(spec.get("acceleratorType", "")), int(spec.get("acceleratorCount", 0))
    if not kind and not count:
        kind, count = BUILT_IN.get(machine, ("", 0))
    if not kind and not count:
        return {"machineType": machine}
    counts = allowed(machine).get(kind, ())
    if not counts:
        raise invalid(f'Accelerator "{kind}" is not supported for machine type "{machine}"')
    if count not in counts:
        raise invalid(
            f'The accelerator count "{count}" is not allowed. The allowed numbers of accelerator '
            f'"{kind}" to use with machine type "{machine}" are: {list(counts)}.'
        )
    return {"machineType": machine, "acceleratorType": kind, "acceleratorCount": count}


def _check_metrics(specs: list[dict[str, Any]], machine: dict[str, Any]) -> None:
    """One target for a metric; of requests it is a number per minute, of all else a share."""
    names = [spec.get("metricName", "") for spec in specs]
    for name, spec in zip(names, specs, strict=True):
        if name in OTHER_METRICS:
            raise unimplemented(f"Scaling by {name}")
        if name not in METRICS or names.count(name) > 1:
            raise invalid(f'There cannot be another autoscaling metric "{name}".')
        if name != REQUEST_COUNT and not 1 <= spec.get("target", 60) <= 100:
            short = "/".join(name.split("/")[-2:])
            raise invalid(f"The target of {short} must be from 1 to 100.")
        if name == DUTY_CYCLE and "acceleratorType" not in machine:
            raise invalid("accelerator/duty_cycle is for machines with accelerators.")


def charged(resources: dict[str, Any]) -> Counter[str]:
    """What is charged to each quota: the machines of all the replicas that there may be."""
    spec, replicas = resources["machineSpec"], resources["maxReplicaCount"]
    size = {CPU_QUOTA: replicas * CPUS[spec["machineType"]]}
    if kind := spec.get("acceleratorType"):
        size[gpu_quota(kind)] = replicas * spec["acceleratorCount"]
    if not resources.get("spot"):
        return Counter(size)
    return Counter({quota.replace(SERVING, SPOT_SERVING): n for quota, n in size.items()})


def gpu_quota(kind: str) -> str:
    """Such as of `T4` for NVIDIA_TESLA_T4, of `A10080GB` for NVIDIA_A100_80GB."""
    short = kind.removeprefix("NVIDIA_").removeprefix("TESLA_").replace("_", "")
    return GPU_QUOTA.format("H100" if short == "H10080GB" else short)


def check_quota(
    call: Call, name: str, wanted: Counter[str], freed: Counter[str] | None = None
) -> None:
    """gcp-facts/02_errors.md, "serving quota"; of most when the cloud was given a limit.

    `name` is of an endpoint or a pool. The text's number is taken to be what the request needs.
    """
    limits, place = GPU_LIMITS | call.cloud.quotas, location_of(name)
    vertex = call.cloud[Vertex]
    there: list[Deployment | Pool] = [
        *(pool for pool in vertex.pools.values() if location_of(pool.name) == place),
        *(
            deployment
            for endpoint in vertex.endpoints.values()
            if location_of(endpoint.name) == place
            for deployment in endpoint.deployed.values()
        ),
    ]
    for quota, number in wanted.items():
        used = sum(it.charged[quota] for it in there) - (freed or Counter())[quota]
        if used + number > limits.get(quota, math.inf):
            exceeded = "The following quotas are exceeded:"
            raise resource_exhausted(f"{exceeded} {quota} {number}: {exceeded} {quota}")


def check_endpoints(call: Call, location: str) -> None:
    """One more endpoint in a location; enforced when the cloud was given a limit.

    What Google says is not recorded: the words are those of Vertex AI's other allocation quotas
    (gcp-facts/02_errors.md, "training quota").
    """
    limit = call.cloud.quotas.get(ENDPOINT_QUOTA)
    there = sum(location_of(name) == location for name in call.cloud[Vertex].endpoints)
    if limit is not None and there >= limit:
        raise resource_exhausted(
            f"The following quota metrics exceed quota limits: {ENDPOINT_QUOTA}"
        )


def merged(resources: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    merged = resources | changes
    return {key: value for key, value in merged.items() if value not in (None, [])}
