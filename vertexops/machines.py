"""Machines that serve models, the accelerators that fit them, and Google's quotas of both.

From docs.cloud.google.com/gemini-enterprise-agent-platform/machine-learning, both read whole:
predictions/configure-compute (machines and accelerators) and quotas. Left out are TPUs, and A4X,
which is sold by the rack.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True)
class Gpus:
    """Accelerators of one machine; none have no type."""

    type: str = ""
    count: int = 0

    def __str__(self) -> str:
        return f"{self.count} {self.type}"


# fmt: off
_SIZES: Final[Mapping[str, tuple[int, ...]]] = {
    "e2-standard": (2, 4, 8, 16, 32),
    "e2-highmem": (2, 4, 8, 16),
    "e2-highcpu": (2, 4, 8, 16, 32),
    "n1-standard": (2, 4, 8, 16, 32),
    "n1-highmem": (2, 4, 8, 16, 32),
    "n1-highcpu": (2, 4, 8, 16, 32),
    "n2-standard": (2, 4, 8, 16, 32, 48, 64, 80, 96, 128),
    "n2-highmem": (2, 4, 8, 16, 32, 48, 64, 80, 96, 128),
    "n2-highcpu": (2, 4, 8, 16, 32, 48, 64, 80, 96),
    "n2d-standard": (2, 4, 8, 16, 32, 48, 64, 80, 96, 128, 224),
    "n2d-highmem": (2, 4, 8, 16, 32, 48, 64, 80, 96),
    "n2d-highcpu": (2, 4, 8, 16, 32, 48, 64, 80, 96, 128, 224),
    "c2-standard": (4, 8, 16, 30, 60),
    "c2d-standard": (2, 4, 8, 16, 32, 56, 112),
    "c2d-highmem": (2, 4, 8, 16, 32, 56, 112),
    "c2d-highcpu": (2, 4, 8, 16, 32, 56, 112),
    "c3-highcpu": (4, 8, 22, 44, 88, 176),
}
_BUILT_IN: Final[Mapping[str, tuple[int, str, int]]] = {
    "a2-highgpu-1g": (12, "NVIDIA_TESLA_A100", 1),
    "a2-highgpu-2g": (24, "NVIDIA_TESLA_A100", 2),
    "a2-highgpu-4g": (48, "NVIDIA_TESLA_A100", 4),
    "a2-highgpu-8g": (96, "NVIDIA_TESLA_A100", 8),
    "a2-megagpu-16g": (96, "NVIDIA_TESLA_A100", 16),
    "a2-ultragpu-1g": (12, "NVIDIA_A100_80GB", 1),
    "a2-ultragpu-2g": (24, "NVIDIA_A100_80GB", 2),
    "a2-ultragpu-4g": (48, "NVIDIA_A100_80GB", 4),
    "a2-ultragpu-8g": (96, "NVIDIA_A100_80GB", 8),
    "a3-highgpu-1g": (26, "NVIDIA_H100_80GB", 1),
    "a3-highgpu-2g": (52, "NVIDIA_H100_80GB", 2),
    "a3-highgpu-4g": (104, "NVIDIA_H100_80GB", 4),
    "a3-highgpu-8g": (208, "NVIDIA_H100_80GB", 8),
    "a3-edgegpu-8g": (208, "NVIDIA_H100_80GB", 8),
    "a3-ultragpu-8g": (224, "NVIDIA_H200_141GB", 8),
    "a4-highgpu-8g": (224, "NVIDIA_B200", 8),
    "g2-standard-4": (4, "NVIDIA_L4", 1),
    "g2-standard-8": (8, "NVIDIA_L4", 1),
    "g2-standard-12": (12, "NVIDIA_L4", 1),
    "g2-standard-16": (16, "NVIDIA_L4", 1),
    "g2-standard-24": (24, "NVIDIA_L4", 2),
    "g2-standard-32": (32, "NVIDIA_L4", 1),
    "g2-standard-48": (48, "NVIDIA_L4", 4),
    "g2-standard-96": (96, "NVIDIA_L4", 8),
    "g4-standard-48": (48, "NVIDIA_RTX_PRO_6000", 1),
    "g4-standard-96": (96, "NVIDIA_RTX_PRO_6000", 2),
    "g4-standard-192": (192, "NVIDIA_RTX_PRO_6000", 4),
    "g4-standard-384": (384, "NVIDIA_RTX_PRO_6000", 8),
}
_FEW: Final[Mapping[str, tuple[int, ...]]] = {
    "NVIDIA_TESLA_T4": (1, 2, 4),
    "NVIDIA_TESLA_P4": (1, 2, 4),
    "NVIDIA_TESLA_P100": (1, 2, 4),
    "NVIDIA_TESLA_V100": (1, 2, 4, 8),
}
# Of N1 machines, by their processors.
_OPTIONAL: Final[Mapping[int, Mapping[str, tuple[int, ...]]]] = {
    2: _FEW,
    4: _FEW,
    8: _FEW,
    16: {**_FEW, "NVIDIA_TESLA_V100": (2, 4, 8)},
    32: {**dict.fromkeys(_FEW, (2, 4)), "NVIDIA_TESLA_V100": (4, 8)},
}

REPLICAS: Final = 100
"""Deployed replicas that a project may have in a region, unless Google gave it more."""
MOST_REPLICAS: Final = 200
"""Of a project; a limit, which Google does not raise."""

PROCESSORS: Final = "CPUs"

SERVING_CPUS: Final[Mapping[str, int]] = {
    **dict.fromkeys((
        "asia-east1", "asia-east2", "asia-northeast1", "asia-northeast3", "asia-south1",
        "asia-southeast1", "asia-southeast2", "australia-southeast1", "europe-west1",
        "europe-west2", "europe-west3", "europe-west4", "europe-west6", "northamerica-northeast1",
        "southamerica-east1", "us-central1", "us-east1", "us-east4", "us-west1", "us-west2",
        "us-west3",
    ), 2200),
    **dict.fromkeys((
        "europe-central2", "me-west1", "northamerica-northeast2", "southamerica-west1", "us-south1",
    ), 450),
    **dict.fromkeys((
        "africa-south1", "asia-northeast2", "asia-south2", "australia-southeast2", "europe-north1",
        "europe-southwest1", "europe-west12", "europe-west8", "europe-west9", "me-central1",
        "me-central2", "us-east5", "us-west4",
    ), 16),
}
"""Processors for serving in each region that has some, unless Google gave a project more."""

SERVING_GPUS: Final[Mapping[str, Mapping[str, int]]] = {
    "NVIDIA_TESLA_T4": {
        **dict.fromkeys(("asia-east2", "europe-west2", "europe-west4", "us-central1", "us-east1",
                         "us-west1"), 12),
        **dict.fromkeys(("asia-east1", "asia-northeast1", "asia-northeast3", "asia-south1",
                         "asia-southeast1"), 6),
        "europe-west3": 0,
    },
    "NVIDIA_TESLA_P4": dict.fromkeys((
        "asia-southeast1", "australia-southeast1", "europe-west4", "northamerica-northeast1",
        "us-central1", "us-east4", "us-west2",
    ), 6),
    "NVIDIA_TESLA_P100": {
        **dict.fromkeys(("asia-east1", "europe-west1", "us-east1", "us-west1"), 30),
        "us-central1": 56,
    },
    "NVIDIA_TESLA_V100": dict.fromkeys(("europe-west4", "us-central1", "us-west1"), 6),
    "NVIDIA_L4": dict.fromkeys((
        "asia-east1", "asia-northeast1", "asia-southeast1", "europe-west1", "europe-west2",
        "europe-west4", "us-central1", "us-east1", "us-east4", "us-west1",
    ), 28),
    "NVIDIA_TESLA_A100": {
        **dict.fromkeys(("asia-northeast1", "asia-northeast3", "asia-southeast1", "europe-west4",
                         "us-central1"), 14),
        "me-west1": 1,
    },
    "NVIDIA_A100_80GB": dict.fromkeys((
        "asia-southeast1", "europe-west4", "us-central1", "us-east4",
    ), 1),
    "NVIDIA_H100_80GB": {
        **dict.fromkeys(("asia-southeast1", "europe-west4", "us-central1", "us-east5"), 16),
        "us-west1": 8, "us-east4": 0,
    },
    "NVIDIA_H200_141GB": {
        **dict.fromkeys(("asia-south2", "us-south1"), 8),
        **dict.fromkeys(("europe-west1", "us-central1", "us-east4", "us-west1"), 0),
    },
    "NVIDIA_B200": {"us-central1": 0},
    "NVIDIA_RTX_PRO_6000": {
        **dict.fromkeys(("asia-southeast2", "europe-west4", "us-central1", "us-east1"), 8),
        **dict.fromkeys(("asia-south2", "asia-southeast1", "europe-west1", "us-east4", "us-west1"),
                        0),
    },
}
"""By type: accelerators for serving in each region that has some, as with processors."""
# fmt: on

CPUS: Final[Mapping[str, int]] = {
    **{f"{series}-{size}": size for series, sizes in _SIZES.items() for size in sizes},
    **{machine: cpus for machine, (cpus, _, _) in _BUILT_IN.items()},
}
"""Processors by machine type."""


def optional(machine: str) -> Mapping[str, tuple[int, ...]]:
    """How many of each type of accelerator a machine takes; empty for one that takes none."""
    return _OPTIONAL[CPUS[machine]] if machine.startswith("n1-") else {}


def fit(machine: str, type: str, count: int) -> Gpus:
    """The accelerators of a machine that are asked for: no type is none, or those that it comes
    with; no count is the fewest. Raises ValueError, with what would be valid."""
    if machine in _BUILT_IN:
        comes_with = Gpus(*_BUILT_IN[machine][1:])
        if Gpus(type or comes_with.type, count or comes_with.count) == comes_with:
            return comes_with
        raise ValueError(
            f"{machine} comes with {comes_with} and takes no other accelerator, so leave it out"
        )
    takes = optional(machine)
    if not type:
        return Gpus()
    if not count and type in takes:
        count = takes[type][0]
    if count in takes.get(type, ()):
        return Gpus(type, count)
    having = [name for name, (_, other, _) in _BUILT_IN.items() if other == type]
    come_with = f"; {type} comes with {', '.join(having)}" if having else ""
    if not takes:
        n1 = "" if having else ", or take an N1 machine"
        raise ValueError(f"{machine} takes no accelerator: leave it out{n1}{come_with}")
    valid = "; ".join(f"{name} ({', '.join(map(str, counts))})" for name, counts in takes.items())
    asked = Gpus(type, count) if count else type
    raise ValueError(f"{machine} does not take {asked}, but {valid}{come_with}")


def charged(machine: str, gpus: Gpus, replicas: int) -> Counter[str]:
    """What quotas count: `CPUs`, and accelerators by type, for all the replicas that there may be
    (DedicatedResources.maxReplicaCount). Nothing is known of a machine that is not listed."""
    each = Counter({PROCESSORS: CPUS.get(machine, 0), gpus.type: gpus.count})
    return Counter({name: n * replicas for name, n in each.items() if n})


def default_quota(name: str, region: str) -> int | None:
    """Of what `charged` counts; None where Google lists none in a region."""
    listed = SERVING_CPUS if name == PROCESSORS else SERVING_GPUS.get(name, {})
    return listed.get(region)


def gpus_of(model: Mapping[str, Any]) -> Gpus:
    """The accelerators of a model of a rollout, or of one that is deployed."""
    _, type, count = _BUILT_IN.get(model.get("machineType", ""), (0, "", 0))
    return Gpus(model.get("acceleratorType") or type, model.get("acceleratorCount") or count)


def charged_for(models: Iterable[Mapping[str, Any]]) -> Counter[str]:
    """The same for several; Spot VMs have quotas of their own."""
    used = Counter[str]()
    for model in models:
        if not model.get("spot"):
            replicas = model.get("maxReplicas", model.get("minReplicas", 1))
            used += charged(model["machineType"], gpus_of(model), replicas)
    return used
