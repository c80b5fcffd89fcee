"""Taking the whole stack away, when something is in the way."""

from __future__ import annotations

from pathlib import Path

import pytest

from rehearsal import colleague
from tests.rehearsal.running import Asking, running


@pytest.mark.sweep
def test_a_colleagues_model_stops_up_and_destroy_before_anything_goes(tmp_path: Path) -> None:
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
            assert stack.engine.resources() == state
            stopped = stack.up(refresh=True)
        assert asking.failures == []
        for refused in (outcome, stopped):
            assert not refused.ok
            [said] = {error for error in refused.errors if "'tried out', DeployedModel" in error}
            assert f"--deployed-model-id={made['deployedModel']['id']}" in said
        assert stack.changes(number) == []
        stack.engine.configure(stack.with_values({"adoptForeign": True}))
        assert stack.up_unasked(refresh=True).ok
        assert len(stack.deployed()) == len(stack.settings.models)
        again = stack.owner.call("POST", f"{endpoint}:deployModel", body)
        stack.owner.finish(again, colleague.api(stack.settings))
        outcome = stack.engine.destroy()
        assert outcome.ok, outcome.errors
