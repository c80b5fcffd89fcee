"""A seed is checked before anything is made of it, and its faults are named where they stand."""

from __future__ import annotations

import re

import pytest

from simulator.core.cloud import Cloud
from simulator.google import GoogleCloud
from simulator.seed import Seed, SeedError, plant, read

FAULTS = """\
projects:
  - id: acme
    nmber: "3"
  - id: Acme
grants:
  - resource: projects/acme
    role: [roles/owner]
accont: []
agents:
  - {api: dialogflow, project: acme}
"""


def test_every_fault_is_named_with_its_line_and_key() -> None:
    with pytest.raises(SeedError) as refused:
        read(FAULTS, "seed.yaml")
    said = str(refused.value).splitlines()
    places = [line.split(": ")[:2] for line in said]
    assert places == [
        ["seed.yaml:3", "projects.0.nmber"],
        ["seed.yaml:4", "projects.1.id"],
        ["seed.yaml:6", "grants.0.member"],
        ["seed.yaml:7", "grants.0.role"],
        ["seed.yaml:8", "accont"],
        ["seed.yaml:10", "agents.0.api"],
    ]
    assert said[0].endswith("a project has id, number, parent, services")
    assert "not 'Acme'" in said[1] and "not ['roles/owner']" in said[3]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("projects: [", r"seed.yaml:1: .*expected"),
        ("- projects", "seed.yaml:1: a seed is a mapping of organization, folders"),
        ("projects: acme", "seed.yaml:1: projects: input should be a valid list, not 'acme'"),
    ],
)
def test_what_is_no_seed_is_refused(text: str, message: str) -> None:
    with pytest.raises(SeedError, match=message):
        read(text, "seed.yaml")


def test_a_seed_with_a_fault_makes_nothing() -> None:
    cloud = GoogleCloud()
    with pytest.raises(SeedError, match="project: a seed has organization, folders, projects"):
        plant(cloud, {"folders": [{"id": "1", "parent": "organizations/1"}], "project": []})
    assert _is_empty(cloud)


def test_nothing_is_a_seed_too() -> None:
    cloud = GoogleCloud()
    plant(cloud, read("# nothing yet\n", "seed.yaml"))
    assert _is_empty(cloud)


def test_the_schema_describes_every_key() -> None:
    schema = Seed.model_json_schema()
    parts = [schema, *schema["$defs"].values()]
    for part in parts:
        for key, about in part["properties"].items():
            assert re.search(r"\w", about["description"]), key


def _is_empty(cloud: Cloud) -> bool:
    return not any(cloud.state().values())
