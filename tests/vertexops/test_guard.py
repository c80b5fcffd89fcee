"""DestroyGuard against Vertex AI in memory: what keeps a stack from being destroyed."""

from __future__ import annotations

from typing import Any

import pytest

from pulumi_plugin.kinds import Context, PartialFailure, ProviderError
from pulumi_plugin.values import UNKNOWN
from tests.vertexops import fakes
from vertexops.errors import GoogleError
from vertexops.guard import DestroyGuard
from vertexops.rollout import ModelRollout

E = "projects/p/locations/us-central1/endpoints/7"


def rollout(version: int, **more: Any) -> dict[str, Any]:
    model = f"projects/p/locations/us-central1/models/pump@{version}"
    return {
        "endpoint": E,
        "models": [{"model": model, "traffic": 100, "machineType": "n1-standard-2", **more}],
    }


class World(fakes.World):
    def __init__(self) -> None:
        super().__init__(ModelRollout)
        self.vertex.add_endpoint(E)
        self.guard = DestroyGuard(self.google, self.clock)

    def deploy(self, version: int, **more: Any) -> list[str]:
        _, outputs = self.kind.create(rollout(version, **more), self.context)
        return [model["id"] for model in outputs["deployedModels"]]

    def destroy(self, ids: list[str]) -> None:
        inputs = {"endpoint": E, "deployedModelIds": ids}
        self.guard.delete("guard", inputs, inputs, self.context)

    def by_hand(self) -> None:
        [there] = self.vertex.endpoints[E]["models"].values()
        self.vertex.endpoints[E]["models"]["42"] = there | {"id": "42", "displayName": "tried out"}


@pytest.fixture
def world() -> World:
    return World()


def test_what_the_stack_deployed_is_in_nobodys_way(world: World) -> None:
    world.destroy(world.deploy(1))


def test_a_model_of_anyone_else_is_named_with_the_way_out(world: World) -> None:
    ids = world.deploy(1)
    world.by_hand()
    with pytest.raises(ProviderError) as refused:
        world.destroy(ids)
    assert "'tried out', DeployedModel 42 of" in str(refused.value)
    assert "gcloud ai endpoints undeploy-model 7" in str(refused.value)


def test_a_model_that_was_imported_is_the_stacks(world: World) -> None:
    ids = world.deploy(1)
    world.by_hand()
    world.destroy([*ids, "42"])


@pytest.mark.parametrize("more", [{}, {"displayName": "pump", "spot": True}])
def test_what_a_failed_up_deployed_is_the_stacks(world: World, more: dict[str, Any]) -> None:
    """The guard hears of what is deployed at the end of an `up`, which this one did not reach."""
    before = world.deploy(1, **more)
    world.vertex.fail["set_traffic"] = [GoogleError(403, "PERMISSION_DENIED", "no")]
    with pytest.raises(PartialFailure):
        world.kind.update(E, rollout(1, **more), {}, rollout(2, **more), world.context)
    assert len(world.vertex.endpoints[E]["models"]) == 2
    world.destroy(before)


def test_without_an_endpoint_there_is_nothing_to_guard(world: World) -> None:
    world.vertex.endpoints.clear()
    world.destroy(["1"])


def test_what_cannot_be_looked_at_is_not_destroyed(world: World) -> None:
    ids = world.deploy(1)
    world.vertex.fail["endpoint"] = [GoogleError(403, "PERMISSION_DENIED", "not yours")]
    with pytest.raises(ProviderError, match=r"reading .*not yours"):
        world.destroy(ids)


def test_another_model_on_the_endpoint_is_no_new_guard() -> None:
    guard = DestroyGuard(World().google, fakes.FakeClock())
    old = {"endpoint": E, "deployedModelIds": ["1"]}
    assert not guard.diff("guard", old, old, old).updates
    change = guard.diff("guard", old, old, old | {"deployedModelIds": UNKNOWN})
    assert (change.updates, change.replaces) == (("deployedModelIds",), ())


def test_a_malformed_endpoint_is_named() -> None:
    guard = DestroyGuard(World().google, fakes.FakeClock())
    _, failures = guard.check({"endpoint": "seven", "deployedModelIds": []}, {}, Context())
    assert [failure.property for failure in failures] == ["endpoint"]


def test_a_foundation_is_not_destroyed_under_a_rollout(world: World) -> None:
    world.deploy(1)
    inputs: dict[str, Any] = {"endpoint": E, "deployedModelIds": [], "empty": True}
    with pytest.raises(ProviderError, match="Destroy the stack that rolls them out") as refused:
        world.guard.delete("guard", inputs, inputs, world.context)
    assert E in str(refused.value)


def test_a_foundation_goes_once_its_endpoint_is_empty(world: World) -> None:
    inputs: dict[str, Any] = {"endpoint": E, "deployedModelIds": [], "empty": True}
    world.guard.delete("guard", inputs, inputs, world.context)
