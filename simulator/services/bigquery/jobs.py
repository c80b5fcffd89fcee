"""Query jobs that have run, and how long they and their results are known."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from simulator.api.errors import ApiError

# Results are kept "for approximately 24 hours" (docs bigquery/docs/cached-results). Google keeps
# jobs for six months; here the oldest go first, so that a cloud does not grow with its queries.
RESULT_SECONDS = 24 * 3600
MOST_JOBS = 1000
MOST_ROWS = 200_000
# A request that comes again within so long is answered by its first job (discovery document,
# `QueryRequest.requestId`).
REQUEST_SECONDS = 15 * 60

Column = dict[str, Any]


@dataclass(slots=True)
class Job:
    """`info` is the API's Job. `rows` are None when the results are gone, or there were none."""

    info: dict[str, Any]
    owner: str
    made: float
    number: int = 0
    columns: list[Column] = field(default_factory=list)
    rows: list[tuple[Any, ...]] | None = None
    error: ApiError | None = None
    request_id: str = ""

    @property
    def location(self) -> str:
        place: str = self.info["jobReference"]["location"]
        return place


class Jobs:
    """By `projects/P/jobs/J`, in the order in which they were made."""

    def __init__(self) -> None:
        self.all: dict[str, Job] = {}
        self._made = 0

    def keep(self, name: str, job: Job, now: float) -> None:
        self._made += 1
        job.number = self._made
        self.all[name] = job
        while len(self.all) > MOST_JOBS:
            del self.all[next(iter(self.all))]
        rows = 0
        for each in reversed(self.all.values()):
            rows += len(each.rows or ())
            if each is not job and (rows > MOST_ROWS or now - each.made > RESULT_SECONDS):
                each.rows = None

    def asked_before(self, owner: str, request_id: str, now: float) -> Job | None:
        for job in reversed(self.all.values()) if request_id else ():
            if (job.owner, job.request_id) == (owner, request_id):
                return job if now - job.made < REQUEST_SECONDS else None
        return None
