"""What happened in the simulated cloud, as samples of metrics.

`prediction_count` counts instances ("If you have more than one instance per request, each instance
is counted here", docs vertex-ai/docs/general/monitoring-metrics), `response_count` and
`error_count` requests. Requests that no deployed model got, denied ones among them, are in none.
Latencies are the real ones of this process. Inferred: `resource_container` is the project's id, an
error is any answer but 2xx, and an empty backlog is shown, with an age of 0.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import takewhile

from simulator.api.audit import Audit
from simulator.core.cloud import Cloud
from simulator.services.logging.auditlog import container
from simulator.services.logging.methods import method_name
from simulator.services.logging.metrics import PREFIX as LOG_BASED
from simulator.services.logging.metrics import metric_name
from simulator.services.logging.samples import Sample
from simulator.services.logging.state import Logging
from simulator.services.monitoring.descriptors import ENDPOINT, ONLINE, SUBSCRIPTION
from simulator.services.pubsub.state import PubSub, Subscription, Waited, leaf, project_of
from simulator.services.vertex.scaling import follow
from simulator.services.vertex.state import Scaled, Served, Vertex

Labels = tuple[tuple[str, str], ...]
Timed = tuple[float, float]
MINUTE = 60
LATENCIES: dict[str, Callable[[Served], float]] = {
    "model": lambda served: served.model_ms,
    "overhead": lambda served: served.overhead_ms,
    "total": lambda served: served.model_ms + served.overhead_ms,
}


def samples(
    cloud: Cloud, project: str, metric_type: str, start: float, end: float
) -> Iterator[Sample]:
    """Samples of a metric between two times, and maybe others; a gauge's are one a minute."""
    if metric_type.startswith(LOG_BASED):
        name = metric_name(f"projects/{project}", metric_type.removeprefix(LOG_BASED))
        yield from cloud[Logging].samples(name)
    elif metric_type in PREDICTIONS:
        newest = takewhile(lambda served: served.time >= start, reversed(cloud[Vertex].served))
        for served in reversed(list(newest)):
            if served.time <= end and project_of(served.endpoint) == project:
                yield from PREDICTIONS[metric_type](served)
    elif metric_type in REPLICAS:
        yield from _replicas(cloud, project, REPLICAS[metric_type], start, end)
    elif metric_type in WAITING or metric_type == FORWARDED:
        for subscription in cloud[PubSub].subscriptions.values():
            if project_of(subscription.name) == project:
                yield from _of(subscription, metric_type, start, min(end, cloud.clock.now()))
    elif metric_type == "serviceruntime.googleapis.com/api/request_count":
        yield from _requests(cloud, project)


# Few are different, of many thousand predictions.
@lru_cache(maxsize=4096)
def _labels(deployed_id: str, names: tuple[str, str], spot: bool, **more: str) -> Labels:
    model, endpoint = names
    labels = {
        "deployed_model_id": deployed_id,
        "spot": str(spot).lower(),
        "model_display_name": model,
        "endpoint_display_name": endpoint,
    }
    return tuple(sorted((labels | more).items()))


@lru_cache(maxsize=4096)
def _place(endpoint: str) -> Labels:
    _, project, _, location, _, endpoint_id = endpoint.split("/")
    return (
        ("endpoint_id", endpoint_id),
        ("location", location),
        ("project_id", project),
        ("resource_container", project),
    )


def _sample(event: Served | Scaled, time: float, value: float, **labels: str) -> Sample:
    named = _labels(event.deployed_id, event.names, event.spot, **labels)
    return Sample(time, named, ENDPOINT[0], _place(event.endpoint), value)


def _predictions(served: Served) -> Iterator[Sample]:
    if served.status < 300:
        yield _sample(served, served.time, served.instances)


def _responses(served: Served) -> Iterator[Sample]:
    yield _sample(served, served.time, 1, response_code=f"{served.status // 100}xx")


def _errors(served: Served) -> Iterator[Sample]:
    if served.status >= 300:
        yield _sample(served, served.time, 1)


def _latencies(served: Served) -> Iterator[Sample]:
    for kind, milliseconds in LATENCIES.items():
        yield _sample(served, served.time, milliseconds(served), latency_type=kind)


PREDICTIONS: dict[str, Callable[[Served], Iterator[Sample]]] = {
    f"{ONLINE}prediction_count": _predictions,
    f"{ONLINE}response_count": _responses,
    f"{ONLINE}error_count": _errors,
    f"{ONLINE}prediction_latencies": _latencies,
}
REPLICAS: dict[str, Callable[[Scaled], int]] = {
    f"{ONLINE}replicas": lambda scaled: scaled.replicas,
    f"{ONLINE}target_replicas": lambda scaled: scaled.target,
}


def _replicas(
    cloud: Cloud, project: str, of: Callable[[Scaled], int], start: float, end: float
) -> Iterator[Sample]:
    """Sampled at every full minute at which the model was deployed."""
    follow(cloud)
    changes: dict[tuple[str, str], list[Scaled]] = {}
    for change in cloud[Vertex].scaled:
        if change.endpoint.split("/")[1] == project:
            changes.setdefault((change.endpoint, change.deployed_id), []).append(change)
    until = min(end, cloud.clock.now())
    for events in changes.values():
        for event, following in zip(events, [*events[1:], None], strict=True):
            last = min(until, following.time) if following else until
            first = math.ceil(max(start, event.time) / MINUTE)
            for minute in range(first, math.floor(last / MINUTE) + 1) if of(event) else ():
                if following is None or minute * MINUTE < following.time:
                    yield _sample(event, minute * MINUTE, of(event))


def _of(subscription: Subscription, metric_type: str, start: float, end: float) -> Iterator[Sample]:
    resource = (
        ("project_id", project_of(subscription.name)),
        ("subscription_id", leaf(subscription.name)),
    )
    if metric_type == FORWARDED:
        moments = [(moment, 1.0) for moment in subscription.forwarded if start <= moment <= end]
    else:
        moments = list(WAITING[metric_type](subscription, start, end))
    for moment, value in moments:
        yield Sample(moment, (), "pubsub_subscription", resource, value)


def _minutes(subscription: Subscription, start: float, end: float) -> Iterator[float]:
    first = math.ceil(max(start, subscription.created) / MINUTE)
    return (float(minute * MINUTE) for minute in range(first, math.floor(end / MINUTE) + 1))


def _waits(subscription: Subscription, start: float) -> list[Waited]:
    """What was in the backlog at some time after `start`, by when it came."""
    ended = takewhile(lambda waited: waited.ended > start, reversed(subscription.gone))
    still = (Waited(item.published, math.inf) for item in subscription.backlog.values())
    return sorted([*ended, *still])


def _undelivered(subscription: Subscription, start: float, end: float) -> Iterator[Timed]:
    waits = _waits(subscription, start)
    came, went = [item.since for item in waits], sorted(item.ended for item in waits)
    for moment in _minutes(subscription, start, end):
        yield moment, float(bisect_right(came, moment) - bisect_right(went, moment))


def _oldest(subscription: Subscription, start: float, end: float) -> Iterator[Timed]:
    waits = _waits(subscription, start)
    for moment in _minutes(subscription, start, end):
        there = (item.since for item in waits if item.since <= moment < item.ended)
        yield moment, float(round(moment - next(there, moment)))


FORWARDED = f"{SUBSCRIPTION}dead_letter_message_count"
WAITING: dict[str, Callable[[Subscription, float, float], Iterator[Timed]]] = {
    f"{SUBSCRIPTION}num_undelivered_messages": _undelivered,
    f"{SUBSCRIPTION}oldest_unacked_message_age": _oldest,
}


def _requests(cloud: Cloud, project: str) -> Iterator[Sample]:
    """Requests about the project's resources, as their consumer sees them."""
    for request in cloud[Audit].requests_since(0):
        if container(cloud, request) == f"projects/{project}":
            labels = (
                ("grpc_status_code", str(request.code)),
                ("protocol", "http"),
                ("response_code", str(request.status)),
                ("response_code_class", f"{request.status // 100}xx"),
            )
            resource = (
                ("location", "global"),
                ("method", method_name(request.method)),
                ("project_id", project),
                ("service", request.method.service),
                ("version", request.method.version),
            )
            yield Sample(request.time, labels, "consumed_api", resource, 1)
