"""The bucket in which Pulumi keeps states, with the policy pack and Pulumi's own CLI."""

from __future__ import annotations

import re

import pytest

from tests.rehearsal.playing import play

pytestmark = pytest.mark.sweep


def test_the_state_bucket_comes_up_keeps_states_and_stays() -> None:
    """The scenario fails on a finding of the pack, and where a reader may change anything."""
    played = play("scenario", "state")
    assert played.code == 0, played.output
    assert re.search(r"up again .* 17 unchanged", played.output)
    assert "refused while protected" in played.output
