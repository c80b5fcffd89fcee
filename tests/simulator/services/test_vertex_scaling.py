"""Replicas that follow requests, on the cloud's clock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from simulator.services.vertex.scaling import CYCLE, WINDOW
from simulator.services.vertex.state import Vertex
from tests.simulator.support.observe import PREDICTIONS, series
from tests.simulator.support.service import (
    ENDPOINT,
    OPERATION_SECONDS,
    VERTEX,
    Sandbox,
    deployed,
)

CPU = "aiplatform.googleapis.com/prediction/online/cpu/utilization"
REQUESTS = "aiplatform.googleapis.com/prediction/online/request_count"
BY_REQUESTS = [{"metric_name": CPU, "target": 60}, {"metric_name": REQUESTS, "target": 4}]


def resources(most: int = 4, specs: Any = BY_REQUESTS) -> dict[str, Any]:
    machine = {"machine_type": "n1-standard-2"}
    return {
        "machine_spec": machine,
        "min_replica_count": 1,
        "max_replica_count": most,
        "autoscaling_metric_specs": specs,
    }


@pytest.fixture
def serving(sandbox: Sandbox, model: str, endpoint: str) -> Sandbox:
    sandbox.deploy(model, split={"0": 100}, dedicated_resources=resources())
    sandbox.cloud.clock.step(60 - sandbox.cloud.clock.now() % 60)
    return sandbox


@pytest.fixture
def ask(serving: Sandbox) -> Callable[[int, int], None]:
    """Requests for predictions: so many in each of so many minutes, spread over them."""
    url, client = f"{VERTEX}/v1/{ENDPOINT}:predict", serving.http()

    def asking(a_minute: int, minutes: int) -> None:
        for _ in range(a_minute * minutes):
            client.post(url, json={"instances": [[1.0, 0.0]] * 2}).raise_for_status()
            serving.cloud.clock.step(60 / a_minute)

    return asking


def shown(sandbox: Sandbox, metric: str = "replicas") -> list[int]:
    """One number a minute, the newest last."""
    [found] = series(sandbox, f'metric.type="{PREDICTIONS}/{metric}"')
    return [int(point["value"]["int64Value"]) for point in reversed(found["points"])]


def test_three_times_the_requests_add_replicas_and_quiet_takes_them_away(
    serving: Sandbox, ask: Callable[[int, int], None]
) -> None:
    ask(4, 2)
    assert shown(serving) == [1, 1, 1]
    ask(12, 2)
    assert shown(serving)[-1] == 3
    serving.cloud.clock.step(WINDOW - 60)
    assert shown(serving)[-1] == 3
    serving.cloud.clock.step(120 + CYCLE + OPERATION_SECONDS)
    assert shown(serving)[-1] == 1


def test_replicas_come_after_they_are_asked_for(
    serving: Sandbox, ask: Callable[[int, int], None]
) -> None:
    serving.cloud.delays.operation = 90
    ask(12, 1)
    assert (shown(serving, "target_replicas")[-1], shown(serving)[-1]) == (3, 1)
    serving.cloud.clock.step(120)
    assert shown(serving)[-1] == 3


def test_the_most_bounds_what_is_asked_for(
    serving: Sandbox, ask: Callable[[int, int], None]
) -> None:
    ask(40, 1)
    assert shown(serving, "target_replicas")[-1] == 4
    changed = {"id": "1", "dedicated_resources": resources(most=2)}
    mask = {"paths": ["dedicated_resources.max_replica_count"]}
    serving.finish(
        serving.endpoints().mutate_deployed_model(
            endpoint=ENDPOINT, deployed_model=changed, update_mask=mask
        )
    )
    serving.cloud.clock.step(60)
    assert shown(serving)[-1] == 2


@pytest.mark.parametrize("specs", [[], BY_REQUESTS[:1]])
def test_requests_count_only_where_they_are_to(
    serving: Sandbox, ask: Callable[[int, int], None], specs: Any
) -> None:
    changed = deployed("", "1") | {"dedicated_resources": resources(specs=specs)}
    mask = {"paths": ["dedicated_resources.autoscaling_metric_specs"]}
    serving.finish(
        serving.endpoints().mutate_deployed_model(
            endpoint=ENDPOINT, deployed_model=changed, update_mask=mask
        )
    )
    ask(12, 2)
    assert set(shown(serving)) == {1}


def test_it_does_not_matter_when_somebody_looks(
    serving: Sandbox, ask: Callable[[int, int], None]
) -> None:
    vertex = serving.cloud[Vertex]
    deployment = vertex.endpoints[ENDPOINT].deployed["1"]
    begin = replace(deployment.scaling)
    for _ in range(2):
        ask(12, 1)
        shown(serving)
        serving.cloud.clock.step(WINDOW / 2)
        ask(4, 1)
    serving.cloud.clock.step(30 * 86_400)
    assert shown(serving)[-1] == 1
    seen = list(vertex.scaled)
    assert [scaled.target for scaled in seen] == [1, 2, 2, 3, 3, 2, 2, 1, 1]
    vertex.scaled[1:] = []
    deployment.scaling = begin
    shown(serving)
    assert vertex.scaled == seen
