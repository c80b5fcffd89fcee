"""The recordings of the official gcp plugin, which are not part of the repository."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

Exchange = dict[str, Any]
COMMANDS = ("up", "preview", "refresh", "update", "destroy")


def contract() -> Path:
    """Where the recordings are: beside the repository, or where `PROVIDER_CONTRACT` says."""
    named = os.environ.get("PROVIDER_CONTRACT")
    return Path(named) if named else Path(__file__).parents[2] / "shared" / "provider-contract"


def load(path: Path) -> list[Exchange]:
    return [json.loads(line) for line in path.read_text().splitlines()]


recorded = pytest.mark.skipif(
    not contract().is_dir(),
    reason=f"the recordings of the official plugin are not there: {contract()}",
)
