"""Field masks: what is set, what is cleared, and what is left alone."""

from __future__ import annotations

from typing import Any

import pytest

from simulator.api.patching import copy_paths


def patched(target: dict[str, Any], source: dict[str, Any], *paths: str, **how: Any) -> Any:
    copy_paths(target, source, paths, **how)
    return target


@pytest.mark.parametrize(
    ("target", "source", "paths", "left"),
    [
        # what the mask names is taken, what it does not name stays
        ({"a": 1, "b": 2}, {"a": 3, "b": 4}, ["a"], {"a": 3, "b": 2}),
        ({"a": {"x": 1, "y": 2}}, {"a": {"x": 3}}, ["a.x"], {"a": {"x": 3, "y": 2}}),
        # what the source lacks is cleared, and makes nothing on the way
        ({"a": {"x": 1, "y": 2}}, {}, ["a.x"], {"a": {"y": 2}}),
        ({"a": {"x": 1}}, {}, ["a.x"], {}),
        ({}, {}, ["a.b.c"], {}),
        ({"b": 1}, {"a": {}}, ["a.b.c", "a.d"], {"b": 1}),
        # objects are made for what is there to be set
        ({}, {"a": {"b": {"c": 1}}}, ["a.b.c", "a.b.d"], {"a": {"b": {"c": 1}}}),
        # false and zero are values
        ({"a": True}, {"a": False}, ["a"], {"a": False}),
        ({"a": "x", "b": [1], "c": {"d": 1}}, {"a": "", "b": [], "c": {}}, ["a", "b", "c"], {}),
    ],
)
def test_a_mask_sets_what_it_names_and_invents_nothing(
    target: dict[str, Any], source: dict[str, Any], paths: list[str], left: dict[str, Any]
) -> None:
    assert patched(target, source, *paths) == left


def test_setting_a_member_of_a_oneof_clears_the_others_whichever_the_mask_names_first() -> None:
    oneof = [frozenset({"mean", "sum"})]
    for before, after in (("mean", "sum"), ("sum", "mean")):
        target = {before: {"series": "x", "range": {"min": 1}}, "period": "60s"}
        paths = ("mean.series", "sum.series")
        left = patched(target, {after: {"series": "y"}}, *paths, oneofs=oneof)
        assert left == {after: {"series": "y"}, "period": "60s"}


def test_clearing_a_member_of_a_oneof_leaves_the_one_that_is_set() -> None:
    oneof = [frozenset({"mean", "sum"})]
    target = {"mean": {"series": "x"}}
    assert patched(target, {}, "sum.series", "sum", oneofs=oneof) == {"mean": {"series": "x"}}


def test_a_message_that_is_set_by_being_there_is_kept_though_it_is_empty() -> None:
    source: dict[str, Any] = {"automatic": {}}
    assert patched({}, source, "automatic") == {}
    assert patched({}, source, "automatic", present=["automatic"]) == {"automatic": {}}
    assert patched({"automatic": {"key": 1}}, {}, "automatic", present=["automatic"]) == {}


def test_what_was_stored_before_is_not_changed_by_the_patch_of_a_copy() -> None:
    stored = {"a": {"b": {"c": 1}}}
    assert patched(dict(stored), {"a": {"b": {"c": 2}}}, "a.b.c") == {"a": {"b": {"c": 2}}}
    assert stored == {"a": {"b": {"c": 1}}}
