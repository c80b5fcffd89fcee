"""Every recorded request of the official plugin to Monitoring and Logging, answered as it expects.

Compared with the recorded answers, which gave the recorded state: all that the plugin declared
comes back unchanged, and what comes with it are fields that the plugin computes or ignores.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from recordings import Replay, exchanges, recorded
from service_support import Sandbox

# The recorder's own, which Google has only where a field says so.
RECORDER = {"createTime", "updateTime", "etag", "name", "writerIdentity"}
# Fields that no input of these types has (provider-contract/schema.jsonl), or output only.
COMPUTED = {
    *("name", "type", "etag", "createTime", "updateTime", "writerIdentity"),
    *("creationRecord", "mutationRecord", "mutationRecords", "style"),
}


def differences(expected: Any, actual: Any, path: str = "") -> Iterator[str]:
    """What of the recorded answer is missing or changed, and what was added that would drift."""
    if isinstance(expected, dict) and isinstance(actual, dict):
        for key, value in expected.items():
            if key in RECORDER or (value == {} and key not in actual):
                continue
            if key not in actual:
                yield f"{path}.{key} is missing"
            else:
                yield from differences(value, actual[key], f"{path}.{key}")
        for key in actual.keys() - expected.keys() - COMPUTED:
            yield f"{path}.{key} was added"
    elif isinstance(expected, list) and isinstance(actual, list) and len(expected) == len(actual):
        for index, (left, right) in enumerate(zip(expected, actual, strict=True)):
            yield from differences(left, right, f"{path}[{index}]")
    elif expected != actual:
        yield f"{path} is {actual!r}, not {expected!r}"


@recorded
@pytest.mark.parametrize(("folder", "count"), [("core", 38), ("more", 12)])
def test_every_recorded_request_is_answered_as_the_plugin_expects(
    sandbox: Sandbox, folder: str, count: int
) -> None:
    replay, sent = Replay(sandbox.http()), 0
    for exchange in exchanges(folder, "monitoring", "logging"):
        response, sent = replay.send(exchange), sent + 1
        what = f"{exchange['method']} {exchange['path']}"
        assert response.status_code == exchange["status"], (what, response.text)
        if response.ok:
            answer = response.json()
            replay.learn(exchange, answer)
            found = list(differences(replay.renamed(exchange["response"]), answer))
            assert not found, (what, found)
    assert sent == count
    left = {**sandbox.cloud.monitoring.live(), **sandbox.cloud.logging.live()}
    assert not any(left.values()), "destroy leaves nothing"


def test_the_comparison_notices_what_would_drift() -> None:
    assert list(differences({"a": 1, "b": [{"c": {}}]}, {"a": 2, "b": [{}], "d": 1})) == [
        ".a is 2, not 1",
        ".d was added",
    ]
