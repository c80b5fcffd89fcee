"""Rollouts on the real Pulumi engine, as a deployer that holds no more than it needs.

Needs `pulumi` on PATH. Google Cloud is simulated; nothing leaves loopback.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pulumi import automation

from simulator.core.delays import Delays
from simulator.iam.decisions import Iam
from simulator.services.vertex.state import Vertex
from tests.vertexops.engine import (
    DEPLOYER,
    ENDPOINT,
    MODEL,
    PLATFORM,
    PROJECT,
    REGION,
    VERTEX,
    Rehearsal,
    rehearsal,
    rollout,
)
from vertexops import sdk
from vertexops.schema import REQUEST_COUNT

QUOTA = "CustomModelServingCPUsPerProjectPerRegion"


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Rehearsal]:
    with rehearsal(tmp_path) as made:
        yield made


def changes(result: Any) -> dict[str, int]:
    """What an operation did besides leaving things alone."""
    return {kind: n for kind, n in result.summary.resource_changes.items() if kind != "same"}


def refusal(stack: automation.Stack) -> str:
    """What `pulumi up` says when it fails."""
    with pytest.raises(automation.CommandError) as failure:
        stack.up()
    return str(failure.value)


def test_a_version_is_rolled_out_replaced_and_taken_away(place: Rehearsal) -> None:
    first = place.stack(rollout("v1")).up()
    assert first.outputs["models"].value == [f"{MODEL}@1"]
    assert place.traffic() == {"pump@1": 100}
    assert place.predict()["predictions"] == [0]

    stack = place.stack(rollout("v1"))
    assert stack.preview(refresh=True).change_summary == {"same": 7}
    assert changes(stack.up()) == {}

    second = place.stack(rollout("v2"))
    assert changes(second.up()) == {"update": 1, "replace": 1}
    assert place.traffic() == {"pump@2": 100}
    assert place.predict()["predictions"] == [1]
    assert list(place.cloud[Vertex].models[MODEL].versions) == ["2"]

    second.destroy()
    assert place.cloud.state()["models"] == place.cloud.state()["deployedModels"] == []
    assert not place.cloud.refused_hosts


def test_a_run_after_the_engine_was_killed_finds_its_own_work(
    place: Rehearsal, monkeypatch: pytest.MonkeyPatch
) -> None:
    engines: list[subprocess.Popen[str]] = []

    class Engine(subprocess.Popen[str]):
        def __init__(self, command: list[str], **options: Any) -> None:
            super().__init__(command, **options)
            if "up" in command:
                engines.append(self)

    class SlowDeployment(Delays):
        """The upload is quick, what comes after it takes most of an hour."""

        @property
        def operation(self) -> float:
            return 3000 if place.cloud[Vertex].models else 0.2

        @operation.setter
        def operation(self, seconds: float) -> None:
            """Set by the base class only."""

    stack = place.stack(rollout("v1"), attached=False)
    endpoint = place.cloud[Vertex].endpoints[ENDPOINT]
    quick, place.cloud.delays = place.cloud.delays, SlowDeployment()
    failures: list[automation.CommandError] = []

    def up() -> None:
        try:
            stack.up()
        except automation.CommandError as error:
            failures.append(error)

    with monkeypatch.context() as patched:
        patched.setattr(subprocess, "Popen", Engine)
        run = threading.Thread(target=up)
        run.start()
        while not endpoint.deployed:
            assert run.is_alive()
            run.join(0.01)
        engines[0].kill()
        run.join()
    assert len(failures) == 1
    [started] = endpoint.deployed
    place.cloud.delays = quick
    place.cloud.clock.step(3000)
    stack.cancel()
    try:
        result = stack.up()
    except automation.CommandError as error:
        # The killed run's program, in this process still, heard only now that its engine is gone.
        assert "UNAVAILABLE" in str(error)
        result = stack.up()
    assert list(result.outputs["split"].value) == [started]
    assert list(place.cloud[Vertex].models[MODEL].versions) == ["1"]
    assert place.traffic() == {"pump@1": 100}


def test_a_rollout_that_meets_its_quota_keeps_what_it_did_and_is_finished_later(
    tmp_path: Path,
) -> None:
    with rehearsal(tmp_path, **{QUOTA: 6}) as place:
        place.stack(rollout("v1", replicas=2)).up()
        both = place.stack(rollout("v1", "v2", replicas=2))
        said = refusal(both)
        assert f"quota {QUOTA} does not allow 2 replicas of n1-standard-2" in said
        assert f"The following quotas are exceeded: {QUOTA} 4" in said
        assert place.traffic() == {"pump@1": 100}
        place.cloud.quotas[QUOTA] = 8
        assert changes(both.up()) == {"update": 1}
        assert place.traffic() == {"pump@1": 50, "pump-canary@1": 50}


def test_a_first_rollout_that_is_half_done_can_be_destroyed(tmp_path: Path) -> None:
    with rehearsal(tmp_path, **{QUOTA: 2}) as place:
        stack = place.stack(rollout("v1", "v2"))
        assert "does not allow 1 replicas of n1-standard-2" in refusal(stack)
        assert len(place.traffic()) == 1
        stack.destroy()
        assert place.cloud.state()["deployedModels"] == []


def test_a_destroy_names_a_model_of_somebody_else_before_it_takes_anything_off(
    place: Rehearsal,
) -> None:
    stack = place.stack(rollout("v1"))
    stack.up()
    address = f"{VERTEX}/{ENDPOINT}"
    by_hand = {
        "model": f"{MODEL}@1",
        "displayName": "by hand",
        "dedicatedResources": {
            "machineSpec": {"machineType": "n1-standard-2"},
            "minReplicaCount": 1,
        },
    }
    [ours] = place.cloud[Vertex].endpoints[ENDPOINT].deployed
    body = {"deployedModel": by_hand, "trafficSplit": {"0": 20, ours: 80}}
    place.call("POST", f"{address}:deployModel", json=body)
    place.cloud.clock.step(60)
    before = place.call("GET", address)
    with pytest.raises(automation.CommandError) as refused:
        stack.destroy()
    assert "'by hand', DeployedModel" in str(refused.value)
    assert place.call("GET", address) == before
    line = re.search(r"gcloud ai endpoints undeploy-model 7 (.+)", str(refused.value))
    assert line is not None
    flags = dict(flag.removeprefix("--").split("=", 1) for flag in line[1].split())
    assert (flags["project"], flags["region"]) == (PROJECT, REGION)
    asked = {"deployedModelId": flags["deployed-model-id"]}
    asked |= {"trafficSplit": dict([flags["traffic-split"].split("=")])}
    place.call("POST", f"{address}:undeployModel", json=asked)
    place.cloud.clock.step(60)
    assert place.traffic() == {"pump@1": 100}
    stack.destroy()
    assert place.cloud.state()["deployedModels"] == []


def test_what_was_changed_outside_shows_and_is_put_right(place: Rehearsal) -> None:
    stack = place.stack(rollout("v1", "v2"))
    split = stack.up().outputs["split"].value
    gone, kept = split
    address = f"{VERTEX}/{ENDPOINT}"
    body = {"name": ENDPOINT, "trafficSplit": {kept: 100}}
    place.call("PATCH", f"{address}?updateMask=trafficSplit", json=body)
    place.call("POST", f"{address}:undeployModel", json={"deployedModelId": gone})
    declared = {model["id"]: model for model in place.call("GET", address)["deployedModels"]}
    scaled = {
        "requiredReplicaCount": 1,
        "minReplicaCount": 2,
        "maxReplicaCount": 2,
        "autoscalingMetricSpecs": [{"metricName": REQUEST_COUNT, "target": 600}],
    }
    mask = ["disableContainerLogging", *(f"dedicatedResources.{key}" for key in scaled)]
    theirs = {"id": kept, "dedicatedResources": scaled, "disableContainerLogging": True}
    body = {"deployedModel": theirs, "updateMask": ",".join(mask)}
    place.call("POST", f"{address}:mutateDeployedModel", json=body)
    place.cloud.clock.step(60)
    assert changes(stack.refresh()) == {"update": 1}
    assert changes(stack.up()) == {"update": 1}
    assert sorted(place.traffic().values()) == [50, 50]
    there = {model["id"]: model for model in place.call("GET", address)["deployedModels"]}
    assert there[kept]["dedicatedResources"] == declared[kept]["dedicatedResources"]
    assert not there[kept]["disableContainerLogging"]
    assert stack.up().outputs["split"].value == split


def test_a_rollout_and_its_model_are_imported_as_they_are(place: Rehearsal) -> None:
    place.stack(rollout("v1")).up()
    [id] = place.cloud[Vertex].endpoints[ENDPOINT].deployed
    state = place.directory / "state"
    state.rename(place.directory / "forgotten")
    stack = place.stack(rollout("v1", import_version=f"{MODEL}@1"))
    assert changes(stack.up()) == {"create": 5, "import": 2}
    assert list(place.cloud[Vertex].endpoints[ENDPOINT].deployed) == [id]
    assert changes(place.stack(rollout("v1")).up()) == {}


def test_a_missing_permission_is_named_with_googles_own_words(place: Rehearsal) -> None:
    place.cloud[Iam].withheld.add((None, "iam.serviceAccounts.actAs"))
    said = refusal(place.stack(rollout("v1", wait=0)))
    assert "needs iam.serviceAccounts.actAs on projects/-/serviceAccounts/serving@" in said
    assert "You do not have permission to act as service_account: serving@" in said
    place.cloud[Iam].withheld.add((None, "aiplatform.endpoints.deploy"))
    said = refusal(place.stack(rollout("v1", wait=0)))
    assert f"needs aiplatform.endpoints.deploy on {ENDPOINT}, which deployer@" in said
    assert "Permission 'aiplatform.endpoints.deploy' denied on resource" in said


def test_a_caller_who_may_not_become_the_deployer_is_named(place: Rehearsal) -> None:
    place.cloud[Iam].withheld.add((PLATFORM, "iam.serviceAccounts.getAccessToken"))
    said = refusal(place.stack(rollout("v1", wait=0)))
    assert f"{PLATFORM} may not become {DEPLOYER}" in said
    needed = f"iam.serviceAccounts.getAccessToken on projects/-/serviceAccounts/{DEPLOYER}"
    assert f"grant it a role with {needed}" in said
    assert f"which {DEPLOYER} does not have" not in said


def test_access_that_never_comes_is_named_before_anything_is_deployed(place: Rehearsal) -> None:
    place.cloud[Iam].withheld.add((None, "aiplatform.endpoints.deploy"))
    said = refusal(place.stack(rollout("v1", wait=1)))
    assert "after 1 s still missing:" in said
    assert "aiplatform.endpoints.deploy on projects/iot-prod for deployer@" in said
    assert place.cloud.state()["models"] == []


def test_wrong_inputs_are_said_all_at_once_in_a_preview(place: Rehearsal) -> None:
    def program() -> None:
        sdk.ModelRollout(
            "rollout",
            endpoint=ENDPOINT,
            models=[{"model": f"{MODEL}@1", "traffic": 90, "machine_type": "x", "min_replicas": 0}],
        )

    with pytest.raises(automation.CommandError) as failure:
        place.stack(program).preview()
    assert "have 90 % of the traffic, not 100" in str(failure.value)
    assert "models[0].minReplicas" in str(failure.value)


def test_the_cli_gets_the_schema_from_the_plugin() -> None:
    plugin = Path(sdk.__file__).parent / "pulumi-resource-vertexops"
    asked = subprocess.run(
        ["pulumi", "package", "get-schema", str(plugin)],
        capture_output=True,
        check=True,
        text=True,
        env=os.environ | {"PULUMI_PYTHON_CMD": sys.executable},
    )
    assert "vertexops:index:ModelRollout" in json.loads(asked.stdout)["resources"]
