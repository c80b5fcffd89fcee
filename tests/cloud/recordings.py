"""The official plugin's recorded requests, sent to the simulated cloud."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

Exchange = dict[str, Any]
COMMANDS = ("up", "refresh", "preview", "update", "destroy")


def contract() -> Path:
    """Where the recordings are; they are not part of the repository."""
    named = os.environ.get("PROVIDER_CONTRACT")
    return Path(named or Path(__file__).parents[3] / "shared" / "provider-contract")


recorded = pytest.mark.skipif(
    not contract().is_dir(),
    reason=f"the recordings of the official plugin are not there: {contract()}",
)


def exchanges(folder: str, *hosts: str) -> Iterator[Exchange]:
    for command in COMMANDS:
        for line in (contract() / folder / f"{command}.jsonl").read_text().splitlines():
            exchange = json.loads(line)
            if exchange["host"].partition(".")[0] in hosts:
                yield exchange


class Replay:
    """Sends exchanges as they were recorded, with the ids that this cloud gave out."""

    def __init__(self, session: requests.Session) -> None:
        self._session = session
        # recorded name -> the name here, of resources whose ids the API chooses
        self.names: dict[str, str] = {}

    def renamed(self, value: Any) -> Any:
        text = json.dumps(value)
        for recorded_name, name in self.names.items():
            text = text.replace(recorded_name, name)
        return json.loads(text)

    def send(self, exchange: Exchange) -> requests.Response:
        body = exchange["body"]
        return self._session.request(
            exchange["method"],
            f"https://{exchange['host']}{self.renamed(exchange['path'])}",
            params=exchange["query"],
            data=None if body is None else json.dumps(self.renamed(body)),
            headers={"Content-Type": exchange["content_type"] or "application/json"},
        )

    def learn(self, exchange: Exchange, answer: dict[str, Any]) -> None:
        """A resource was created: from now on its name here stands for the recorded one."""
        before, now = exchange["response"].get("name", ""), answer.get("name", "")
        if exchange["method"] == "POST" and "/" in before:
            # Names here may carry the project's number; ids are what differs.
            self.names[before] = "/".join([*before.split("/")[:-1], now.rpartition("/")[2]])
