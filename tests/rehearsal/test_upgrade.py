"""A stack that an earlier release brought up: what is called otherwise now stays what it is."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.rehearsal.running import running

EARLIER = {
    # Uploads and versions were called without the digest of their content.
    r"(BucketObject::shuttle-anomaly-\w+)-[0-9a-f]{8}\b": r"\1",
    r"(RegisteredModel::shuttle-anomaly)-[0-9a-f]{8}\b": r"\1",
    # There was one project that models came from, with one bucket.
    r"-source-iot-models-(\w+)-iot-models-artifacts\b": r"-source-\1",
    r"(::|-)source-iot-models-": r"\1source-",
}


@pytest.mark.sweep
def test_what_earlier_releases_named_otherwise_is_not_made_anew(tmp_path: Path) -> None:
    with running(tmp_path) as stack:
        text, number = json.dumps(stack.engine.exported()), len(stack.changes())
        state = [resource["urn"] for resource in stack.engine.resources()]
        for now, then in EARLIER.items():
            text, count = re.subn(now, then, text)
            assert count, now
        stack.engine.cli("stack", "import", given=text)
        earlier = {resource["urn"] for resource in stack.engine.resources()}
        outcome = stack.up_unasked()
        assert (outcome.ok, outcome.touched, stack.changes(number)) == (True, [], [])
        assert {resource["urn"] for resource in stack.engine.resources()} == set(state)
    assert len(earlier) == len(state) and len(earlier - set(state)) == 10
