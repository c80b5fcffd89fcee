"""Trouble as Google has it now and then, the same for the same seed.

Whether a request meets with a fault depends on the seed, on what is asked of which resource, and on
how many times that was asked before; never on the order in which threads happen to ask.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections import Counter
from collections.abc import Callable
from typing import Final

from simulator.api.calls import Methods
from simulator.api.discovery import Discovery
from simulator.api.errors import ApiError, error_info, internal_error, resource_exhausted
from simulator.api.operations import Trouble
from simulator.core.cloud import Cloud
from simulator.iam.decisions import Iam
from simulator.serve.dispatch import Answer, Dispatcher, Request, encoded_error

SLOW_SECONDS: Final = 0.5
"""On the wall clock: what a client's own timeouts see."""

ANY: Final = ("429", "500", "503", "reset before", "reset after", "slow")
CONFLICT: Final = "policy changed meanwhile"
LATE: Final = ("late UNAVAILABLE", "late INTERNAL")
POLICY_READS: Final = ".getIamPolicy"
# Retrying these is up to whoever serves devices, and no business of a deployment.
SPARED: Final = re.compile(r"\.(predict|rawPredict)$")
# Numbers that differ between two runs.
DRAWN: Final = re.compile(r"/?operations/[^/:]+")

# What someone else grants meanwhile: a role that the resource takes, and that lets nobody do harm.
INNOCUOUS: Final = {
    "buckets": "roles/storage.legacyBucketReader",
    "cryptoKeys": "roles/cloudkms.viewer",
    "datasets": "roles/bigquery.metadataViewer",
    "endpoints": "roles/aiplatform.viewer",
    "folders": "roles/browser",
    "keyRings": "roles/cloudkms.viewer",
    "organizations": "roles/browser",
    "projects": "roles/browser",
    "repositories": "roles/artifactregistry.reader",
    "schemas": "roles/pubsub.viewer",
    "secrets": "roles/secretmanager.viewer",
    "serviceAccounts": "roles/iam.serviceAccountViewer",
    "subscriptions": "roles/pubsub.viewer",
    "tables": "roles/bigquery.metadataViewer",
    "topics": "roles/pubsub.viewer",
    "workforcePools": "roles/iam.workforcePoolViewer",
    "workloadIdentityPools": "roles/iam.workloadIdentityPoolViewer",
}
SOMEONE: Final = "user:someone-else@example.com"


class Faults(Trouble):
    """`rate` of all requests, and of all operations, meet with one."""

    def __init__(self, cloud: Cloud, *, seed: int, rate: float, slow: float = SLOW_SECONDS) -> None:
        if not 0 <= rate <= 1:
            raise ValueError(f"a rate of faults is between 0 and 1, not {rate}")
        self._cloud, self._seed, self._rate, self._slow = cloud, seed, rate, slow
        self._asked: Counter[str] = Counter()
        self.injected: Counter[str] = Counter()
        self.granted: list[list[str]] = []
        """(Resource, role, member) of what was granted between a read of a policy and its write."""

    async def handle(self, request: Request, dispatcher: Dispatcher) -> Answer | None:
        """The answer, troubled or not; None when the connection breaks."""
        method, kind = self._method(request), ""
        if method:
            kinds = (*ANY, CONFLICT) if method.endswith(POLICY_READS) else ANY
            kind = self._draw(f"{method} {DRAWN.sub('', request.path)}", kinds)
        if kind in REFUSALS or kind == "reset before":
            self.injected[kind] += 1
            return _refused(kind, request.host) if kind in REFUSALS else None
        answer = dispatcher.handle(request)
        if kind == CONFLICT:
            self._meddle(request, answer)
        elif kind:
            self.injected[kind] += 1
        if kind == "slow":
            await asyncio.sleep(self._slow)
        return None if kind == "reset after" else answer

    def operation(self, kind: str, target: str) -> ApiError | None:
        match self._draw(f"{kind} {DRAWN.sub('', target)}", LATE):
            case "":
                return None
            case "late INTERNAL":
                return internal_error()
        return unavailable()

    def _draw(self, what: str, kinds: tuple[str, ...]) -> str:
        self._asked[what] += 1
        digest = hashlib.sha256(f"{self._seed} {what} {self._asked[what]}".encode()).digest()
        chance, choice = (int.from_bytes(digest[i : i + 8], "big") for i in (0, 8))
        return kinds[choice % len(kinds)] if chance < self._rate * 2**64 else ""

    def _method(self, request: Request) -> str:
        """The id of the method that is called; empty where there is none, or it is spared."""
        try:
            method, _ = self._cloud[Discovery].route(request.host, request.verb, request.path)
        except ApiError:
            return ""
        handler = self._cloud[Methods].get(method.id)
        spared = handler is None or not handler.guarded or SPARED.search(method.id)
        return "" if spared else method.id

    def _meddle(self, request: Request, answer: Answer) -> None:
        """Grant something to someone between this read of a policy and the write after it."""
        if answer.status != 200 or not answer.resource:
            return
        resource = answer.resource
        kind = resource.split("/")[-2]
        member = SOMEONE.replace("@", f"-{len(self.granted) + 1}@")
        self._cloud[Iam].grant(resource, INNOCUOUS[kind], member)
        self.granted.append([resource, INNOCUOUS[kind], member])
        self.injected[CONFLICT] += 1


def unavailable() -> ApiError:
    return ApiError(503, "UNAVAILABLE", "The service is currently unavailable.")


def _rate_limited(host: str) -> ApiError:
    """gcp-facts/02_errors.md, "rate"."""
    info = error_info("RATE_LIMIT_EXCEEDED", "googleapis.com", service=host)
    return resource_exhausted(f"Quota exceeded for quota metric of service '{host}'.", [info])


REFUSALS: Final[dict[str, Callable[[str], ApiError]]] = {
    "429": _rate_limited,
    "500": lambda host: internal_error(),
    "503": lambda host: unavailable(),
}


def _refused(kind: str, host: str) -> Answer:
    answer = encoded_error(REFUSALS[kind](host), host.partition(".")[0])
    return answer._replace(headers={"retry-after": "1"}) if kind == "429" else answer
