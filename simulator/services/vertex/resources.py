"""Machines, replicas and the quota on them: of deployed models, and of pools that models share."""

from __future__ import annotations

import re
from typing import Any

from simulator.api.calls import Call
from simulator.api.errors import invalid, resource_exhausted, unimplemented
from simulator.services.vertex.state import Vertex, location_of

CPU_QUOTA = "CustomModelServingCPUsPerProjectPerRegion"
# No quota of endpoints is documented, and no name of one (gcp-facts/07_metrics_alerts.md).
ENDPOINT_QUOTA = "aiplatform.googleapis.com/endpoints"
# docs vertex-ai/docs/predictions/configure-compute: family -> vCPUs, which end the type's name.
MACHINE_FAMILIES = {
    "n1-standard": (2, 4, 8, 16, 32),
    "n1-highmem": (2, 4, 8, 16, 32),
    "n1-highcpu": (2, 4, 8, 16, 32),
    "n2-standard": (2, 4, 8, 16, 32, 48, 64, 80),
    "n2-highmem": (2, 4, 8, 16, 32, 48, 64, 80),
    "n2-highcpu": (2, 4, 8, 16, 32, 48, 64, 80),
    "n2d-standard": (2, 4, 8, 16, 32, 48, 64, 80, 96),
    "e2-standard": (2, 4, 8, 16, 32),
    "e2-highmem": (2, 4, 8, 16),
    "e2-highcpu": (2, 4, 8, 16, 32),
    "c2-standard": (4, 8, 16, 30, 60),
}
# The same page lists these too, in an edition that was not read whole.
LISTED = re.compile(r"(c2d-\w+|c3-highcpu|n2d-high(mem|cpu))-\d+|n2-\w+-(96|128)")
CPUS = {f"{family}-{size}": size for family, sizes in MACHINE_FAMILIES.items() for size in sizes}
DEFAULT_MACHINE = "n1-standard-2"
# They come with GPUs or TPUs (the same page).
ACCELERATED = re.compile(r"(a[234]x?|g[24]|ct\w+)-.*")
# AutoscalingMetricSpec.metricName; of the last ones nothing is simulated.
METRICS = (
    "aiplatform.googleapis.com/prediction/online/cpu/utilization",
    "aiplatform.googleapis.com/prediction/online/request_count",
)
OTHER_METRICS = (
    "aiplatform.googleapis.com/prediction/online/accelerator/duty_cycle",
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
    machine = resources.get("machineSpec", {}).get("machineType") or DEFAULT_MACHINE
    if ACCELERATED.fullmatch(machine) or LISTED.fullmatch(machine):
        raise unimplemented(f"Machine type {machine}")
    if machine not in CPUS:
        raise invalid(f'Machine type "{machine}" is not supported.')
    _check_metrics(resources.get("autoscalingMetricSpecs", []))
    return resources | {
        "machineSpec": {"machineType": machine},
        "minReplicaCount": least,
        "maxReplicaCount": most,
    }


def _check_metrics(specs: list[dict[str, Any]]) -> None:
    """One target for a metric; of processors it is a share, of requests a number per minute."""
    names = [spec.get("metricName", "") for spec in specs]
    for name, spec in zip(names, specs, strict=True):
        if name in OTHER_METRICS:
            raise unimplemented(f"Scaling by {name}")
        if name not in METRICS or names.count(name) > 1:
            raise invalid(f'There cannot be another autoscaling metric "{name}".')
        if name == METRICS[0] and not 1 <= spec.get("target", 60) <= 100:
            raise invalid("The target of cpu/utilization must be from 1 to 100.")


def cpus(resources: dict[str, Any]) -> int:
    size: int = resources["maxReplicaCount"] * CPUS[resources["machineSpec"]["machineType"]]
    return size


def check_quota(call: Call, name: str, wanted: int, freed: int = 0) -> None:
    """gcp-facts/02_errors.md, "serving quota"; enforced when the cloud was given a limit.

    `name` is of an endpoint or a pool. The text's number is taken to be what the request needs.
    """
    limit, place = call.cloud.quotas.get(CPU_QUOTA), location_of(name)
    if limit is None:
        return
    vertex = call.cloud[Vertex]
    used = sum(
        item.cpus
        for endpoint in vertex.endpoints.values()
        if location_of(endpoint.name) == place
        for item in endpoint.deployed.values()
    )
    used += sum(pool.cpus for pool in vertex.pools.values() if location_of(pool.name) == place)
    if used - freed + wanted > limit:
        exceeded = "The following quotas are exceeded:"
        raise resource_exhausted(f"{exceeded} {CPU_QUOTA} {wanted}: {exceeded} {CPU_QUOTA}")


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
