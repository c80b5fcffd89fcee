"""FixedSettings: what the state says of a setting decides whether it may change."""

from __future__ import annotations

from typing import Any

import pytest

from pulumi_plugin.kinds import Context
from pulumi_plugin.values import UNKNOWN, Props
from vertexops.fixed import FixedSettings


def setting(name: str, value: str, **more: str) -> Props:
    return {"name": name, "value": value, **more}


def told(old: list[Props], new: list[Props]) -> tuple[list[str], list[str]]:
    """What is refused, and what is only said, when `old` becomes `new`."""
    said: list[str] = []
    context = Context(warn=said.append)
    state = {"settings": old} if old else {}
    _, failures = FixedSettings().check({"settings": new}, state, context)
    return [failure.reason for failure in failures], said


FIXED = setting("region", "us-central1", instead="Make another stack.")


def test_a_setting_that_is_fixed_in_the_state_cannot_change() -> None:
    refused, _ = told([FIXED], [FIXED | {"value": "europe-west4"}])
    assert refused == [
        "a running stack cannot change region from 'us-central1' to 'europe-west4'. "
        "Make another stack."
    ]


def test_everything_that_cannot_change_is_said_at_once() -> None:
    project = setting("project", "one", instead="Never.")
    changed = [FIXED | {"value": "europe-west4"}, project | {"value": "two"}]
    assert len(told([FIXED, project], changed)[0]) == 2


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ([], [FIXED]),  # of an older version of the program, or a first one
        ([FIXED], [FIXED]),
        ([FIXED], []),
        ([setting("region", "us-central1")], [FIXED | {"value": "europe-west4"}]),
        ([FIXED | {"of": "a"}], [FIXED | {"of": "b", "value": "europe-west4"}]),
    ],
)
def test_what_the_state_does_not_fix_may_change(old: list[Props], new: list[Props]) -> None:
    assert told(old, new) == ([], [])


def test_what_there_is_to_mind_is_said() -> None:
    old = setting("endpointId", "1", mind="Callers have to follow.")
    refused, said = told([old], [old | {"value": "2"}])
    assert refused == []
    assert said == ["changing endpointId from '1' to '2'. Callers have to follow."]


def test_only_another_value_is_a_change() -> None:
    def changes(new: list[Props]) -> Any:
        return FixedSettings().diff("settings", {"settings": [FIXED]}, {}, {"settings": new})

    assert changes([FIXED | {"instead": "In other words."}]).updates == ()
    assert changes([FIXED | {"value": "x"}]).updates == ("settings",)
    assert not changes([FIXED | {"value": "x"}]).replaces


@pytest.mark.parametrize(
    ("settings", "at"),
    [
        ([{"name": "region"}], "settings[0].value"),
        (UNKNOWN, "settings"),
        ([setting("region", "x") | {"value": UNKNOWN}], "settings"),
    ],
)
def test_values_have_to_be_there_before_anything_else_is(settings: Any, at: str) -> None:
    _, failures = FixedSettings().check({"settings": settings}, {}, Context())
    assert [failure.property for failure in failures] == [at]
