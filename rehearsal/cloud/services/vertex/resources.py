"""Machines, replicas and the quota on them: of deployed models, and of pools that models share."""

from __future__ import annotations

from typing import Any

from rehearsal.cloud.api import Call, invalid, resource_exhausted
from rehearsal.cloud.services.vertex.state import location_of

CPU_QUOTA = "CustomModelServingCPUsPerProjectPerRegion"
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
    "c3-standard": (4, 8, 22, 44, 88),
    "g2-standard": (4, 8, 12, 16, 24, 32, 48, 96),
}
CPUS = {f"{family}-{size}": size for family, sizes in MACHINE_FAMILIES.items() for size in sizes}
# endpoint_service.proto, MutateDeployedModelRequest: all that a deployed model lets change here.
MUTABLE_REPLICAS = (
    "minReplicaCount",
    "maxReplicaCount",
    "requiredReplicaCount",
    "autoscalingMetricSpecs",
)


def sized(resources: dict[str, Any]) -> dict[str, Any]:
    least = int(resources.get("minReplicaCount", 0))
    most = int(resources.get("maxReplicaCount") or least)
    if not 1 <= least <= most:
        raise invalid("Replica counts must satisfy 1 <= min_replica_count <= max_replica_count.")
    machine = resources.get("machineSpec", {}).get("machineType", "")
    if machine not in CPUS:
        raise invalid(f'Machine type "{machine}" is not supported.')
    return resources | {"minReplicaCount": least, "maxReplicaCount": most}


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
    vertex = call.cloud.vertex
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


def merged(resources: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    merged = resources | changes
    return {key: value for key, value in merged.items() if value not in (None, [])}
