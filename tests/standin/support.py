"""The recordings of the official plugin, and a transport that replays them."""

from __future__ import annotations

import json
import re
import threading
from abc import ABC, abstractmethod
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import requests
from requests.adapters import BaseAdapter

from pulumi_plugin.kinds import Context, Resource
from pulumi_plugin.values import Props
from standin.batching import Batch, Batcher
from standin.fields import dig
from standin.gcp import Gcp
from standin.provider import Provider
from tests.recordings import Exchange

ENDPOINT = "gcp:vertex/aiEndpoint:AiEndpoint"
ENDPOINTS = "/v1beta1/projects/p/locations/r/endpoints"
ENDPOINT_INPUTS: Props = {"name": "1", "displayName": "pm", "location": "r"}
BUCKET = "gcp:storage/bucket:Bucket"
BUCKET_INPUTS: Props = {"name": "b", "location": "r", "storageClass": "STANDARD"}
NO_REGION = (
    "Cannot determine region: set in this resource, or set provider-level 'region' or 'zone'."
)
DENIED: Props = {
    "error": {
        "code": 403,
        "message": "Permission 'x' denied on resource 'y' (or it may not exist).",
        "status": "PERMISSION_DENIED",
        "details": [{"reason": "IAM_PERMISSION_DENIED"}],
    }
}


def endpoint(**other: Any) -> Props:
    """An endpoint as Google describes it."""
    return {"name": f"{ENDPOINTS[9:]}/1", "displayName": "pm", **other}


def key(exchange: Exchange) -> str:
    """What an exchange asks, in a form that two of them can be compared by."""
    body = exchange["body"]
    if isinstance(body, str):  # an upload: the boundary is chosen by the client
        boundary = re.match(r"--(\S+)\r\n", body)
        assert boundary is not None
        body = body.replace(boundary[1], "BOUNDARY")
    if isinstance(body, dict) and "serviceIds" in body:  # in the order in which they came
        body = {**body, "serviceIds": sorted(body["serviceIds"])}
    if isinstance(body, dict) and "nextRotationTime" in body:  # counted from when it was sent
        body = {**body, "nextRotationTime": "LATER"}
    for audit in dig(body, "policy.auditConfigs") or ():  # a set, sorted by a hash
        audit["auditLogConfigs"].sort(key=lambda log: log["logType"])
    return json.dumps(
        [
            exchange["method"],
            exchange["host"],
            exchange["path"],
            exchange["query"],
            body,
            exchange["as"],
        ],
        sort_keys=True,
    )


class Recorder(BaseAdapter, ABC):
    """A transport that turns each request into an exchange and asks `answer` for the rest."""

    @abstractmethod
    def answer(self, exchange: Exchange) -> tuple[int, Any]:
        """Status and content."""

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        url = urlsplit(str(request.url))
        body = request.body.decode() if isinstance(request.body, bytes) else request.body
        is_json = request.headers["Content-Type"] == "application/json"
        status, content = self.answer(
            {
                "method": request.method,
                "host": url.netloc,
                "path": url.path,
                "query": dict(parse_qsl(url.query)),
                "body": json.loads(str(body)) if body and is_json else body,
                "as": str(request.headers["Authorization"]).removeprefix("Bearer "),
            }
        )
        response = requests.Response()
        response.status_code, response.url = status, str(request.url)
        response._content = json.dumps(content).encode()
        return response

    def close(self) -> None:
        return None


class Replay(Recorder):
    """Answers each request with what was recorded for it, in order, the last answer repeatedly."""

    def __init__(self, recorded: Iterable[Exchange], identities: dict[str, str]) -> None:
        super().__init__()
        self.identities, self.sent, self._lock = identities, Counter[str](), threading.Lock()
        self._answers: dict[str, deque[tuple[int, Any]]] = defaultdict(deque)
        for exchange in recorded:
            self._answers[key(exchange)].append((exchange["status"], exchange["response"]))

    def answer(self, exchange: Exchange) -> tuple[int, Any]:
        exchange["as"] = self.identities[exchange["as"]]
        with self._lock:
            self.sent[key(exchange)] += 1
            answers = self._answers[key(exchange)]
            if not answers:
                raise AssertionError(f"never recorded: {key(exchange)}")
            return answers.popleft() if len(answers) > 1 else answers[0]


class Scripted(Recorder):
    """Answers by method and path: a list is used up to its last entry, which stays; an entry is a
    body, a (status, body), or a function of the exchange that gives either."""

    def __init__(self, script: dict[str, Any]) -> None:
        super().__init__()
        self.script = {
            where: deque(answers if isinstance(answers, list) else [answers])
            for where, answers in script.items()
        }
        self.exchanges: list[Exchange] = []

    def answer(self, exchange: Exchange) -> tuple[int, Any]:
        where = f"{exchange['method']} {exchange['path']}"
        if where not in self.script:
            raise AssertionError(f"unexpected {where} {exchange['query']} {exchange['body']}")
        self.exchanges.append(exchange)
        answers = self.script[where]
        answer = answers.popleft() if len(answers) > 1 else answers[0]
        answer = answer(exchange) if callable(answer) else answer
        return answer if isinstance(answer, tuple) else (200, answer)

    def sent(self) -> list[str]:
        return [f"{exchange['method']} {exchange['path']}" for exchange in self.exchanges]

    def bodies(self, where: str) -> list[Any]:
        return [
            exchange["body"]
            for exchange in self.exchanges
            if f"{exchange['method']} {exchange['path']}" == where
        ]


class Gathering(Batcher):
    """Waits for as many callers as a batch is to have, not for a time."""

    def __init__(self, expected: Callable[[str], int]) -> None:
        super().__init__(lambda seconds: None)
        self._expected = expected

    def gather(self, key: str, batch: Batch) -> None:
        with self.lock:
            everyone = self.lock.wait_for(
                lambda: len(batch.items) >= self._expected(key), timeout=30
            )
        assert everyone, f"{key}: {len(batch.items)} of {self._expected(key)} callers came"


def session(adapter: BaseAdapter) -> requests.Session:
    opened = requests.Session()
    opened.trust_env = False
    opened.mount("https://", adapter)
    return opened


def configured(api: Scripted, **config: Any) -> tuple[Gcp, list[float]]:
    """A plugin for project `p` in region `r` against `api`, and how long it slept."""
    api.script.setdefault("GET /v1/userinfo", deque([{}]))
    slept: list[float] = []
    gcp = Gcp(Provider(lambda: session(api), slept.append))
    gcp.configure({"project": "p", "region": "r", "accessToken": "caller", **config}, Context())
    api.exchanges.clear()
    return gcp, slept


def read(gcp: Gcp, token: str, id: str, inputs: Props, outputs: Props | None = None) -> Resource:
    found = gcp.kind(token).read(id, inputs, outputs or {}, Context())
    assert found is not None
    return found
