"""What a pull request's comment is made of, recorded anew: the comments stay the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from access.comment import lines, read
from tests.previews import RECORDED, events, preview
from tests.rehearsal.previews import record_all

pytestmark = pytest.mark.sweep


def test_comments_of_previews_made_now_are_the_golden_ones(tmp_path: Path) -> None:
    record_all(tmp_path)
    for folder in sorted(RECORDED.iterdir()):
        found = read(preview(folder.name, tmp_path), events(folder.name, tmp_path))
        assert "\n".join(lines(found)) + "\n" == (folder / "comment.md").read_text()
