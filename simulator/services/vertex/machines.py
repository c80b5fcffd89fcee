"""Machines that serve, and the accelerators that fit them.

docs gemini-enterprise-agent-platform/machine-learning/predictions/configure-compute, without TPUs
and A4X.
"""

from __future__ import annotations

from collections.abc import Mapping

# Processors, which end a machine's name.
_SIZES = {
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
    "g2-standard": (4, 8, 12, 16, 24, 32, 48, 96),
    "g4-standard": (48, 96, 192, 384),
}
# The same of machines whose name ends with their accelerators.
_BY_ACCELERATORS = {
    "a2-highgpu": {1: 12, 2: 24, 4: 48, 8: 96},
    "a2-megagpu": {16: 96},
    "a2-ultragpu": {1: 12, 2: 24, 4: 48, 8: 96},
    "a3-highgpu": {1: 26, 2: 52, 4: 104, 8: 208},
    "a3-edgegpu": {8: 208},
    "a3-ultragpu": {8: 224},
    "a4-highgpu": {8: 224},
}
_TYPES = {
    "a2-highgpu": "NVIDIA_TESLA_A100",
    "a2-megagpu": "NVIDIA_TESLA_A100",
    "a2-ultragpu": "NVIDIA_A100_80GB",
    "a3-highgpu": "NVIDIA_H100_80GB",
    "a3-edgegpu": "NVIDIA_H100_80GB",
    "a3-ultragpu": "NVIDIA_H200_141GB",
    "a4-highgpu": "NVIDIA_B200",
}
_L4 = {4: 1, 8: 1, 12: 1, 16: 1, 24: 2, 32: 1, 48: 4, 96: 8}
_RTX = {48: 1, 96: 2, 192: 4, 384: 8}

CPUS: Mapping[str, int] = {
    **{f"{family}-{size}": size for family, sizes in _SIZES.items() for size in sizes},
    **{f"{it}-{n}g": cpus for it, by in _BY_ACCELERATORS.items() for n, cpus in by.items()},
}
BUILT_IN: Mapping[str, tuple[str, int]] = {
    **{f"{it}-{n}g": (_TYPES[it], n) for it, by in _BY_ACCELERATORS.items() for n in by},
    **{f"g2-standard-{size}": ("NVIDIA_L4", n) for size, n in _L4.items()},
    **{f"g4-standard-{size}": ("NVIDIA_RTX_PRO_6000", n) for size, n in _RTX.items()},
}
"""What a machine comes with: type and number."""

# accelerator_type.proto; Google's own clients send an enum's number.
_NUMBERS = {
    1: "NVIDIA_TESLA_K80",
    2: "NVIDIA_TESLA_P100",
    3: "NVIDIA_TESLA_V100",
    4: "NVIDIA_TESLA_P4",
    5: "NVIDIA_TESLA_T4",
    8: "NVIDIA_TESLA_A100",
    9: "NVIDIA_A100_80GB",
    11: "NVIDIA_L4",
    13: "NVIDIA_H100_80GB",
    15: "NVIDIA_H200_141GB",
    16: "NVIDIA_B200",
    18: "NVIDIA_RTX_PRO_6000",
}


def named(kind: str | int) -> str:
    """The name of a type of accelerator, empty for none."""
    name = _NUMBERS.get(kind, str(kind)) if isinstance(kind, int) else kind
    return "" if name in ("0", "ACCELERATOR_TYPE_UNSPECIFIED") else name


def allowed(machine: str) -> Mapping[str, tuple[int, ...]]:
    """Numbers that there may be of each type of accelerator in a machine."""
    if machine in BUILT_IN:
        kind, count = BUILT_IN[machine]
        return {kind: (count,)}
    if not machine.startswith("n1-"):
        return {}
    few, v100 = {
        16: ((1, 2, 4), (2, 4, 8)),
        32: ((2, 4), (4, 8)),
    }.get(CPUS[machine], ((1, 2, 4), (1, 2, 4, 8)))
    kinds = ("NVIDIA_TESLA_T4", "NVIDIA_TESLA_P4", "NVIDIA_TESLA_P100")
    return {**dict.fromkeys(kinds, few), "NVIDIA_TESLA_V100": v100}
