"""Previews as the real engine printed them; tests/rehearsal/previews.py says how they were made."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

RECORDED = Path(__file__).parent / "data" / "previews"


def preview(name: str, folder: Path = RECORDED) -> Any:
    return json.loads(gzip.decompress((folder / name / "preview.json.gz").read_bytes()))


def events(name: str, folder: Path = RECORDED) -> list[Any]:
    return [json.loads(line) for line in (folder / name / "events.json").read_text().splitlines()]
