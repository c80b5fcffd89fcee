"""Crashes after each kind of change (`make crash`: after each change), and faults: the engine
outlives both."""

from __future__ import annotations

from typing import Any

import pytest

from rehearsal import trouble
from rehearsal.crash import Point, differences, of_each_method
from rehearsal.engine import Outcome
from tests.rehearsal.playing import play

UPDATES = 12
"""Changes of an update: of two models, their rollout, and what follows it."""


def sweep(scenario: str, *points: str, stack: str = "staging") -> dict[str, Any]:
    """Of these points; without any, after the last change of each method."""
    at = [argument for point in points for argument in ("--at", point)] or ["--sample"]
    code, output, summary = play("crash", stack, "--scenario", scenario, *at)
    assert code == 0, output
    found: dict[str, Any] = summary[scenario]
    tried = len(points or {change.partition(" ")[0] for change in found["changes"]})
    assert f"{tried} points tried, {tried} converged" in output
    assert (found["not_reached"], sum(found["stopped_after"].values())) == (0, tried)
    return found


@pytest.mark.sweep
def test_a_first_up_that_was_killed_is_finished_by_the_next_one() -> None:
    assert len(sweep("first")["changes"]) > 30


@pytest.mark.sweep
def test_one_that_was_killed_between_changes_of_a_kind_is_finished_too() -> None:
    sweep("first", "roles.create:3")


@pytest.mark.sweep
def test_an_update_that_was_killed_is_finished_by_the_next_one() -> None:
    found = sweep("model-update")
    assert len(found["changes"]) == UPDATES


@pytest.mark.sweep
def test_a_newer_version_of_a_looked_up_model_is_rolled_out_all_the_same() -> None:
    found = sweep("model-update", stack="prod")
    methods = [change.partition(" ")[0].rpartition(".locations.")[2] for change in found["changes"]]
    assert methods == [
        *("endpoints.deployModel", "endpoints.patch", "endpoints.undeployModel"),
        *["pubsub.projects.subscriptions.patch"] * 2,  # they tell which version answers
    ]


def test_a_sample_has_the_last_change_of_each_method() -> None:
    changes = ["roles.create a", "roles.create b", "topics.create c", "roles.create d", "x.patch e"]
    assert [point.after for point in of_each_method(changes)] == [3, 4, 5]


def test_a_sweep_tells_what_differs() -> None:
    expected = {"a": {"b": 1, "c": [1, 2]}, "gone": True}
    found = {"a": {"b": 2, "c": [1, 3]}, "more": "x"}
    assert list(differences(expected, found)) == [
        "a / b: 2 instead of 1",
        "a / c [1]: 3 instead of 2",
        "gone: missing",
        'more: "x" should not be there',
    ]


@pytest.mark.parametrize(
    ("text", "point"),
    [
        ("7", Point(7)),
        ("models.upload", Point(1, "models.upload")),
        ("roles.create:3", Point(3, "roles.create")),
    ],
)
def test_a_point_is_a_number_or_a_method(text: str, point: Point) -> None:
    assert Point.parse(text) == point


def test_points_are_counted_from_one() -> None:
    with pytest.raises(ValueError, match="counted from 1"):
        Point.parse("0")


@pytest.mark.sweep
def test_under_faults_the_stack_comes_up_or_says_why_and_comes_up_then() -> None:
    code, output, summary = play("faults", "staging", "--seeds", "4", "--fault-rate", "0.2")
    assert code == 0, output
    assert set(summary["seeds"]) == {"1", "2", "3", "4"}
    for seed in summary["seeds"].values():
        assert seed["outcome"].startswith(("passed", "clear error, then recovered"))
        assert seed["injected"]


@pytest.mark.sweep
def test_a_rehearsal_under_faults_goes_on_to_nothing_left() -> None:
    code, output, summary = play("up", "staging", "--faults", "2", "--fault-rate", "0.1")
    assert code == 0, output
    assert summary["faults"]["injected"]
    assert {"up under faults", "up again", "refresh", "destroy"} <= set(summary["stages"])


@pytest.mark.sweep
def test_a_rehearsal_as_slow_as_google_takes_its_time_on_the_clouds_clock() -> None:
    code, output, summary = play("up", "staging", "--slow")
    assert code == 0, output
    assert "min simulated" in output
    assert summary["simulated_seconds"] > 30 * 60
    assert summary["access_seconds"] >= 120
    assert summary["shortest_operations"]["DeployModel"] >= 600


def test_an_error_without_words_or_with_a_traceback_is_unclear() -> None:
    assert trouble.unclear(Outcome(ok=False)) == ["up failed without an error"]
    said = Outcome(ok=False, errors=["Error 503: unavailable"])
    assert trouble.unclear(said) == []
    said.errors.append("Traceback (most recent call last):\n  …")
    assert len(trouble.unclear(said)) == 1


def test_a_grant_of_someone_else_that_is_gone_is_noticed() -> None:
    granted = [["projects/p", "roles/browser", "user:a@example.com"]]
    kept = {"policies": {"projects/p": ["roles/browser user:a@example.com"]}}
    assert trouble.lost(kept, granted) == []
    assert trouble.lost({"policies": {}}, granted) == [
        "roles/browser of user:a@example.com on projects/p was lost"
    ]


def test_an_upload_that_was_repeated_is_no_difference_and_another_content_is() -> None:
    def left(*contents: str) -> dict[str, Any]:
        objects = {"o": [{"data": content} for content in contents]}
        return {"cloud": {"policies": {}, "Storage": {"buckets": {"b": {"objects": objects}}}}}

    once = trouble.settled(left("x"), [])
    assert trouble.settled(left("x", "x"), []) == once
    assert trouble.settled(left("y", "x"), []) != once
