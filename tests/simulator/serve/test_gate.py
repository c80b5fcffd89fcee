"""A cloud that stops after a change."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import requests

from simulator.google import GoogleCloud
from simulator.identity.tokens import Identity
from simulator.serve.proxy import Running
from tests.simulator.support.core import ADMIN, CRM, IAM, PROJECT, session

ACCOUNTS = f"{IAM}/projects/{PROJECT}/serviceAccounts"
PROJECT_URL = f"{CRM}/v1/projects/{PROJECT}"


class Client:
    """An administrator's calls, and those of the runner that steers the cloud."""

    def __init__(self, cloud: GoogleCloud, running: Running) -> None:
        self.token, self.running = cloud[Identity].access_token(ADMIN), running
        self._runner = session(running, running.control_token)

    def create(self, account: str) -> int:
        """The status of a create; 0 when the connection broke. Over a connection of its own."""
        try:
            with session(self.running, self.token) as client:
                return client.post(ACCOUNTS, json={"accountId": account}).status_code
        except requests.ConnectionError:
            return 0

    def control(self, verb: str, path: str, body: Any = None) -> Any:
        answer = self._runner.request(verb, self.running.control_url + path, json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def halted_at(self) -> str:
        at = ""
        while not at:
            at = self.control("GET", "/halt")["at"]
        return str(at)


@pytest.fixture
def client(cloud: GoogleCloud, running: Running) -> Client:
    return Client(cloud, running)


def in_thread(client: Client, *accounts: str) -> tuple[threading.Thread, list[int]]:
    statuses: list[int] = []

    def run() -> None:
        statuses.extend(client.create(account) for account in accounts)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, statuses


def test_the_change_is_made_its_answer_withheld_and_nothing_else_let_in(
    cloud: GoogleCloud, client: Client
) -> None:
    client.control("POST", "/halt", {"after": 2})
    first, told = in_thread(client, "first-one", "second-one")
    at = client.halted_at()
    assert at == f"iam.projects.serviceAccounts.create /v1/projects/{PROJECT}/serviceAccounts"
    second, refused = in_thread(client, "third-one")
    client.control("POST", "/resume")
    first.join()
    second.join()
    # The third may have knocked only after the gate was open again.
    assert told == [200, 0]
    assert refused in ([0], [200])
    emails = cloud.state()["serviceAccounts"]
    assert f"second-one@{PROJECT}.iam.gserviceaccount.com" in emails
    assert (f"third-one@{PROJECT}.iam.gserviceaccount.com" in emails) == (refused == [200])
    assert client.create("fourth-one") == 200


def test_nothing_that_waits_at_the_gate_is_carried_out_later(
    cloud: GoogleCloud, client: Client, running: Running
) -> None:
    client.control("POST", "/halt", {"after": 1})
    thread, _ = in_thread(client, "first-one")
    client.halted_at()
    with session(running, client.token) as waiting, pytest.raises(requests.ReadTimeout):
        waiting.post(ACCOUNTS, json={"accountId": "late-one"}, timeout=0.2)
    client.control("POST", "/resume")
    thread.join()
    assert not any(email.startswith("late-one") for email in cloud.state()["serviceAccounts"])


def test_only_changes_that_were_made_are_counted(client: Client, running: Running) -> None:
    with session(running, client.token) as admin:
        policy = admin.post(f"{PROJECT_URL}:getIamPolicy", json={}).json()
        admin.post(f"{PROJECT_URL}:testIamPermissions", json={"permissions": []})
        admin.get(PROJECT_URL)
        assert admin.post(ACCOUNTS, json={"accountId": "x"}).status_code == 400
        assert client.control("GET", "/changes") == {"changes": []}
        admin.post(f"{PROJECT_URL}:setIamPolicy", json={"policy": policy})
    [change] = client.control("GET", "/changes")["changes"]
    assert change.startswith("cloudresourcemanager.projects.setIamPolicy ")
    assert client.control("GET", "/changes?since=1") == {"changes": []}


def test_a_halt_can_wait_for_a_method(client: Client, running: Running) -> None:
    client.control("POST", "/halt", {"after": 1, "method": "serviceAccounts.create"})
    with session(running, client.token) as admin:
        policy = admin.post(f"{PROJECT_URL}:getIamPolicy", json={}).json()
        assert admin.post(f"{PROJECT_URL}:setIamPolicy", json={"policy": policy}).ok
    thread, told = in_thread(client, "first-one")
    assert client.halted_at().startswith("iam.projects.serviceAccounts.create ")
    client.control("POST", "/resume")
    thread.join()
    assert told == [0]
