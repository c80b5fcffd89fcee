"""What Cloud Logging holds, and the log entries of a project."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any, NamedTuple

from simulator.api.audit import Audit
from simulator.core.cloud import Cloud, Holding
from simulator.services.logging.auditlog import container, entry
from simulator.services.logging.samples import START, LogMetric, Position, Sample

# Sinks that every project has and nobody can delete.
DEFAULT, REQUIRED = "_Default", "_Required"


class Written(NamedTuple):
    """An entry that came by entries.write."""

    container: str
    entry: dict[str, Any]


class Logging(Holding):
    def __init__(self, cloud: Cloud, limit: int = 200_000) -> None:
        self.cloud = cloud
        # by projects/P/metrics/M, projects/P/sinks/S
        self.metrics: dict[str, LogMetric] = {}
        self.sinks: dict[str, dict[str, Any]] = {}
        self._written: deque[Written] = deque(maxlen=limit)
        self._received = 0

    def write(self, container: str, entry: dict[str, Any]) -> None:
        self._written.append(Written(container, entry))
        self._received += 1

    def position(self) -> Position:
        return Position(self.cloud[Audit].handled, self._received)

    def samples(self, metric: str) -> list[Sample]:
        """Every sample of a log-based metric up to now; KeyError for one that is not there."""
        counting = self.metrics[metric]
        upto = self.position()
        counting.count(self.entries({counting.project}, counting.counted), upto)
        return counting.samples

    def entries(self, containers: set[str], since: Position = START) -> Iterator[dict[str, Any]]:
        """The log entries of projects (folders, organizations) received since a position."""
        for request in self.cloud[Audit].requests_since(since.request):
            if container(self.cloud, request) in containers:
                found = entry(self.cloud, request)
                if found:
                    yield found
        dropped = self._received - len(self._written)
        for index, item in enumerate(self._written, dropped):
            if index >= since.written and item.container in containers:
                yield item.entry

    def live(self) -> dict[str, list[str]]:
        sinks = [name for name in self.sinks if not name.endswith((DEFAULT, REQUIRED))]
        return {"logMetrics": sorted(self.metrics), "logSinks": sorted(sinks)}
