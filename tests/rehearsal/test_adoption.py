"""What somebody made by hand becomes the stack's while it is used."""

from __future__ import annotations

import re

import pytest

from tests.rehearsal.playing import play

pytestmark = pytest.mark.sweep


def test_an_endpoint_made_by_hand_is_taken_over_while_it_answers() -> None:
    """The scenario fails when something is replaced, a prediction fails, or `up` goes on."""
    played = play("scenario", "adopt")
    assert played.code == 0, played.output
    assert re.search(r"[1-9][\d,]* predictions, 0 failed", played.output)
    assert "9, and what is above them" in played.output
