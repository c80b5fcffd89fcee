"""The commands of the workflows on a rehearsal: what comments are made of stays the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from access.comment import read, text
from tests.previews import RECORDED, events, preview
from tests.rehearsal.previews import FAILED, record_all

pytestmark = pytest.mark.sweep


def test_comments_of_previews_made_now_are_the_golden_ones(tmp_path: Path) -> None:
    record_all(tmp_path)
    for folder in sorted(RECORDED.iterdir()):
        found = read(preview(folder.name, tmp_path), events(folder.name, tmp_path))
        if folder.name == FAILED:  # which of its reads fail is a matter of time
            assert found.errors
            continue
        golden = (folder / "comment.md").read_text()
        assert text(found) == golden, "if it is meant: python -m tests.rehearsal.previews"
