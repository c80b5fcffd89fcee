"""What two clouds have in common."""

from __future__ import annotations

from simulator.api.operations import Operations
from simulator.iam.decisions import Iam
from simulator.identity.accounts import Accounts
from simulator.serve.dump import dump
from tests.simulator.support.core import PROJECT, new_cloud


def test_clouds_that_hold_the_same_are_equal_whenever_it_was_made() -> None:
    one, other = new_cloud(), new_cloud()
    other.clock.step(5000)
    other.unique_id()
    for cloud in (one, other):
        cloud[Accounts].create(PROJECT, "made-later")
        cloud[Iam].grant(f"projects/{PROJECT}", "roles/viewer", "user:someone@example.com")
    assert dump(one) == dump(other)


def test_a_dump_shows_every_difference() -> None:
    cloud = new_cloud()
    before = dump(cloud)
    cloud[Iam].grant(f"projects/{PROJECT}", "roles/viewer", "user:someone@example.com")
    granted = dump(cloud)
    assert granted["policies"] != before["policies"]
    cloud[Accounts].create(PROJECT, "one-more")
    assert dump(cloud)["Accounts"] != granted["Accounts"]
    cloud[Operations].start("operations/1", metadata={"@type": "x.Unfinished"}, run=dict)
    assert dump(cloud)["operations"] == ["x.Unfinished"]
