"""Pub/Sub over HTTP as one account, with the names of the tests' own project."""

from __future__ import annotations

import base64
import json
from typing import Any

import requests

from simulator.iam.decisions import Iam
from simulator.identity.accounts import Accounts
from tests.simulator.support.service import PROJECT, Sandbox, email

HOST = "https://pubsub.googleapis.com"
HERE = f"projects/{PROJECT}"
TOPIC, DEAD = f"{HERE}/topics/telemetry", f"{HERE}/topics/telemetry-dead"
PULL = f"{HERE}/subscriptions/pull"


class Client:
    """Answers are the JSON of a success; `refused` gives the error of a failure instead."""

    def __init__(self, sandbox: Sandbox, name: str = "admin") -> None:
        self.sandbox, self.name = sandbox, name
        self.session = sandbox.http(name)

    def __call__(self, verb: str, path: str, body: Any = None, **query: Any) -> Any:
        answer = self.send(verb, path, body, **query)
        assert answer.ok, answer.text
        return answer.json()

    def send(self, verb: str, path: str, body: Any = None, **query: Any) -> requests.Response:
        return self.session.request(verb, f"{HOST}/v1/{path}", json=body, params=query)

    def refused(self, verb: str, path: str, body: Any = None, **query: Any) -> dict[str, Any]:
        answer = self.send(verb, path, body, **query)
        assert not answer.ok, answer.text
        error: dict[str, Any] = answer.json()["error"]
        return error

    def topic(self, name: str = TOPIC, **fields: Any) -> Any:
        return self("PUT", name, fields)

    def subscribe(self, name: str = PULL, **fields: Any) -> Any:
        return self("PUT", name, {"topic": TOPIC, **fields})

    def publish(self, *texts: str, topic: str = TOPIC, **fields: Any) -> list[str]:
        messages = [{"data": encoded(text), **fields} for text in texts]
        ids: list[str] = self("POST", f"{topic}:publish", {"messages": messages})["messageIds"]
        return ids

    def pull(self, name: str = PULL, most: int = 10) -> list[dict[str, Any]]:
        answer = self("POST", f"{name}:pull", {"maxMessages": most})
        received: list[dict[str, Any]] = answer.get("receivedMessages", [])
        return received

    def texts(self, name: str = PULL) -> list[str]:
        """The data of what a pull finds."""
        return [text_of(item) for item in self.pull(name)]

    def acknowledge(self, *received: dict[str, Any], name: str = PULL) -> None:
        self("POST", f"{name}:acknowledge", {"ackIds": ack_ids(*received)})

    def set_deadline(self, seconds: int, *received: dict[str, Any], name: str = PULL) -> None:
        body = {"ackIds": ack_ids(*received), "ackDeadlineSeconds": seconds}
        self("POST", f"{name}:modifyAckDeadline", body)

    def wait(self, seconds: float) -> None:
        """Step the clock; with a new token, for the old one may be too old by then."""
        self.sandbox.cloud.clock.step(seconds)
        self.session = self.sandbox.http(self.name)


def ack_ids(*received: dict[str, Any]) -> list[str]:
    return [item["ackId"] for item in received]


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def text_of(received: dict[str, Any]) -> str:
    return base64.b64decode(received["message"]["data"]).decode()


def json_of(received: dict[str, Any]) -> Any:
    return json.loads(text_of(received))


def agent(sandbox: Sandbox) -> str:
    """The address of the project's Pub/Sub service agent, which exists from now on."""
    return sandbox.cloud[Accounts].create_agent("pubsub", PROJECT).email


def grant_agent(sandbox: Sandbox, role: str, on: str) -> None:
    sandbox.cloud[Iam].grant(on, role, f"serviceAccount:{agent(sandbox)}")


__all__ = ["DEAD", "HERE", "HOST", "PROJECT", "PULL", "TOPIC", "Client", "email"]
