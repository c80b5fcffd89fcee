"""The recordings of the official plugin, and a transport that replays them."""

from __future__ import annotations

import json
import os
import re
import threading
from collections import Counter, defaultdict, deque
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import requests
from requests.adapters import BaseAdapter

Exchange = dict[str, Any]
ROOT = Path(__file__).parents[2]


def contract() -> Path:
    """Where the recordings are; they are not part of the repository."""
    named = os.environ.get("PROVIDER_CONTRACT")
    return Path(named) if named else ROOT.parent / "shared" / "provider-contract"


def load(path: Path) -> list[Exchange]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def key(exchange: Exchange) -> str:
    """What an exchange asks, in a form that two of them can be compared by."""
    body = exchange["body"]
    if isinstance(body, str):  # an upload: the boundary is chosen by the client
        boundary = re.match(r"--(\S+)\r\n", body)
        assert boundary is not None
        body = body.replace(boundary[1], "BOUNDARY")
    if isinstance(body, dict) and "serviceIds" in body:  # in the order in which they came
        body = {**body, "serviceIds": sorted(body["serviceIds"])}
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


class Replay(BaseAdapter):
    """Answers each request with what was recorded for it, in order, the last answer repeatedly."""

    def __init__(self, recorded: Iterable[Exchange], identities: dict[str, str]) -> None:
        super().__init__()
        self.identities, self.sent, self._lock = identities, Counter[str](), threading.Lock()
        self._answers: dict[str, deque[tuple[int, Any]]] = defaultdict(deque)
        for exchange in recorded:
            self._answers[key(exchange)].append((exchange["status"], exchange["response"]))

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        url = urlsplit(str(request.url))
        body = request.body.decode() if isinstance(request.body, bytes) else request.body
        is_json = request.headers["Content-Type"] == "application/json"
        exchange: Exchange = {
            "method": request.method,
            "host": url.netloc,
            "path": url.path,
            "query": dict(parse_qsl(url.query)),
            "body": json.loads(body) if body and is_json else body,
            "as": self.identities[request.headers["Authorization"].removeprefix("Bearer ")],
        }
        answer = requests.Response()
        with self._lock:
            self.sent[key(exchange)] += 1
            answers = self._answers[key(exchange)]
            if not answers:
                raise AssertionError(f"never recorded: {key(exchange)}")
            status, response = answers.popleft() if len(answers) > 1 else answers[0]
        answer.status_code, answer.url = status, str(request.url)
        answer._content = json.dumps(response).encode()
        return answer

    def close(self) -> None:
        return None


def session(adapter: BaseAdapter) -> requests.Session:
    opened = requests.Session()
    opened.trust_env = False
    opened.mount("https://", adapter)
    return opened
