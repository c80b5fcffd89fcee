"""The few Compute Engine calls that the official provider makes."""

from __future__ import annotations

import pytest

from tests.simulator.support.service import NUMBER, PROJECT, Sandbox

API = f"https://compute.googleapis.com/compute/v1/projects/{PROJECT}"


def test_regions_are_googles_by_name(sandbox: Sandbox) -> None:
    regions = sandbox.http().get(f"{API}/regions?alt=json").json()["items"]
    names = [region["name"] for region in regions]
    assert {"us-central1", "europe-west12", "northamerica-south1"} <= set(names)
    assert len(names) == len(set(names))
    assert sandbox.http().get(f"{API}/regions/us-east4").json()["name"] == "us-east4"
    assert sandbox.http().get(f"{API}/regions/us-east2").status_code == 404


def test_regions_come_in_pages(sandbox: Sandbox) -> None:
    whole = sandbox.http().get(f"{API}/regions").json()["items"]
    pages, token = [], ""
    while True:
        url = f"{API}/regions?maxResults=10&pageToken={token}"
        answer = sandbox.http().get(url).json()
        pages += answer["items"]
        token = answer.get("nextPageToken", "")
        if not token:
            break
    assert pages == whole


def test_regions_take_their_permission(sandbox: Sandbox) -> None:
    assert sandbox.http("deployer").get(f"{API}/regions").status_code == 403
    sandbox.role("deployer", "compute.regions.list")
    assert sandbox.http("deployer").get(f"{API}/regions").status_code == 200


@pytest.mark.parametrize("version", ["v1", "beta"])
def test_a_project_is_found_by_number(sandbox: Sandbox, version: str) -> None:
    url = f"https://compute.googleapis.com/compute/{version}/projects/{NUMBER}"
    assert sandbox.http().get(url).json()["name"] == PROJECT
    assert sandbox.http("serving").get(url).status_code == 403
