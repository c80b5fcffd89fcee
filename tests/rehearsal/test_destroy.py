"""Taking the whole stack away, when something is in the way."""

from __future__ import annotations

from pathlib import Path

import pytest

from rehearsal import colleague
from tests.rehearsal.running import Asking, running


@pytest.mark.sweep
def test_a_destroy_stops_at_a_colleagues_model_before_anything_goes(tmp_path: Path) -> None:
    with running(tmp_path) as stack:
        endpoint = f"{colleague.api(stack.settings)}/{stack.settings.endpoint_name}"
        body = {
            "deployedModel": {
                "model": colleague.model_name(stack.settings),
                "displayName": "tried out",
                "dedicatedResources": {
                    "machineSpec": {"machineType": "n1-standard-2"},
                    "minReplicaCount": 1,
                },
            }
        }
        deployed = stack.owner.call("POST", f"{endpoint}:deployModel", body)
        made = stack.owner.finish(deployed, colleague.api(stack.settings))
        state, number = stack.engine.resources(), len(stack.changes())
        with Asking(stack.sandbox, stack.settings) as asking:
            outcome = stack.engine.apart("destroy").outcome()
            asking.until_answered(0)
        assert asking.failures == []
        assert not outcome.ok
        assert any("'tried out', DeployedModel" in error for error in outcome.errors)
        assert stack.changes(number) == []
        assert stack.engine.resources() == state
        body = {"deployedModelId": made["deployedModel"]["id"]}
        gone = stack.owner.call("POST", f"{endpoint}:undeployModel", body)
        stack.owner.finish(gone, colleague.api(stack.settings))
        outcome = stack.engine.apart("destroy").outcome()
        assert outcome.ok, outcome.errors
