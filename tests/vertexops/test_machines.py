"""Machines and accelerators: two tables, each written from Google's page, say the same."""

from __future__ import annotations

import pytest

from simulator.services.vertex import machines as simulated
from vertexops import machines
from vertexops.machines import Gpus

TYPES = sorted(machines.SERVING_GPUS)


def test_what_the_simulated_google_takes_is_what_we_take_for_valid() -> None:
    assert machines.CPUS == simulated.CPUS
    for machine in machines.CPUS:
        without = machines.fit(machine, "", 0)
        built_in = simulated.BUILT_IN.get(machine, ("", 0))
        assert (without.type, without.count) == built_in
        for type in TYPES:
            valid = simulated.allowed(machine).get(type, ())
            for count in range(1, 17):
                if count in valid:
                    assert machines.fit(machine, type, count) == Gpus(type, count)
                    continue
                with pytest.raises(ValueError, match=machine):
                    machines.fit(machine, type, count)


def test_quotas_charge_for_all_the_replicas_that_there_may_be() -> None:
    gpus = machines.fit("g2-standard-24", "", 0)
    assert machines.charged("g2-standard-24", gpus, 3) == {"CPUs": 72, "NVIDIA_L4": 6}
    assert machines.charged("n1-standard-4", Gpus(), 10) == {"CPUs": 40}
    assert machines.charged("of-tomorrow-8", Gpus(), 10) == {}


@pytest.mark.parametrize(
    ("name", "region", "quota"),
    [
        ("CPUs", "europe-west4", 2200),
        ("CPUs", "europe-north1", 16),
        ("CPUs", "us-east7", None),
        ("NVIDIA_L4", "us-central1", 28),
        ("NVIDIA_TESLA_T4", "europe-west4", 12),
        ("NVIDIA_L4", "europe-west3", None),
    ],
)
def test_a_region_gives_each_project_as_much(name: str, region: str, quota: int | None) -> None:
    assert machines.default_quota(name, region) == quota
