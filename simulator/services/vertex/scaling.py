"""Replicas of deployed models, as many as are asked for and as many as there are.

docs vertex-ai/docs/predictions/autoscaling, "Scaling behavior and lag": every 15 seconds a target
is computed, `ceil(replicas * used / target)`, and the highest of the last 5 minutes is what is
asked for. For requests a minute and replica that is `ceil(requests a minute / target)`. Inferred:
a minute's requests are those of the last 60 seconds; a replica comes and goes as long after it was
asked for as operations take here (Google documents that it takes time, not how much). No use of
CPUs or accelerators is simulated, so their metrics ask for the least; replicas of pools stay the
least.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator

from simulator.core.cloud import Cloud
from simulator.services.vertex.resources import REQUEST_COUNT
from simulator.services.vertex.state import Deployment, Endpoint, Vertex

CYCLE, WINDOW, MINUTE = 15.0, 300.0, 60.0


def follow(cloud: Cloud) -> None:
    """Bring every deployment's replicas up to now.

    Asked for before replicas are looked at and before what they follow changes.
    """
    vertex, now = cloud[Vertex], cloud.clock.now()
    following = {
        (endpoint.name, key): (endpoint, deployment)
        for endpoint in vertex.endpoints.values()
        for key, deployment in endpoint.serving().items()
        if _asked(deployment) and deployment.scaling.followed + CYCLE <= now
    }
    if not following:
        return
    since = min(deployment.scaling.followed for _, deployment in following.values()) - MINUTE
    arrivals: dict[tuple[str, str], list[float]] = defaultdict(list)
    for served in reversed(vertex.served):
        if served.time < since:
            break
        if (key := (served.endpoint, served.deployed_id)) in following:
            arrivals[key].append(served.time)
    for key, (endpoint, deployment) in following.items():
        _follow(cloud, endpoint, deployment, arrivals[key][::-1], now)


def _asked(deployment: Deployment) -> int:
    """Requests a minute that a replica is to get; 0 when their number does not count."""
    specs = deployment.info.get("dedicatedResources", {}).get("autoscalingMetricSpecs", ())
    return next((s.get("target", 60) for s in specs if s["metricName"] == REQUEST_COUNT), 0)


def _follow(
    cloud: Cloud, endpoint: Endpoint, deployment: Deployment, arrivals: list[float], now: float
) -> None:
    vertex, scaling = cloud[Vertex], deployment.scaling
    resources, asked = deployment.info["dedicatedResources"], _asked(deployment)
    least, most = resources["minReplicaCount"], resources["maxReplicaCount"]
    for moment in _cycles(deployment, arrivals, least, now):
        scaling.followed = moment
        requests = bisect_right(arrivals, moment) - bisect_right(arrivals, moment - MINUTE)
        wanted = min(max(math.ceil(requests / asked), least), most)
        scaling.wanted = [it for it in scaling.wanted if it[0] > moment - WINDOW]
        scaling.wanted.append((moment, wanted))
        target = max(replicas for _, replicas in scaling.wanted)
        _arrive(vertex, endpoint, deployment, moment)
        if target != scaling.target:
            vertex.scaling(endpoint, deployment, moment, scaling.replicas, target)
            scaling.coming.append((moment + cloud.delays.operation, target))
    scaling.followed += CYCLE * math.floor((now - scaling.followed) / CYCLE)
    _arrive(vertex, endpoint, deployment, now)


def _arrive(vertex: Vertex, endpoint: Endpoint, deployment: Deployment, moment: float) -> None:
    """The replicas that are there by now."""
    scaling = deployment.scaling
    while scaling.coming and scaling.coming[0][0] <= moment:
        when, replicas = scaling.coming.pop(0)
        vertex.scaling(endpoint, deployment, when, replicas, scaling.target)


def _cycles(
    deployment: Deployment, arrivals: list[float], least: int, now: float
) -> Iterator[float]:
    """When targets are computed; not while there is nothing to see and nothing to take away."""
    moment = deployment.scaling.followed + CYCLE
    while moment <= now:
        yield moment
        after = bisect_right(arrivals, moment - MINUTE)
        next_one = arrivals[after] if after < len(arrivals) else now
        if deployment.scaling.target == least and next_one > moment:
            moment += CYCLE * math.floor((next_one - moment) / CYCLE)
        moment += CYCLE
