"""Faults: the same for the same seed, and what each kind does."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import requests

from policies.gcp_access.roles import permissions
from simulator.api.calls import Methods
from simulator.api.operations import Operations
from simulator.google import GoogleCloud
from simulator.identity.tokens import Identity
from simulator.serve.faults import ANY, CONFLICT, INNOCUOUS, POLICY_READS, SOMEONE, Faults
from simulator.serve.proxy import Running, serve
from standin.google import Google, new_session
from tests.simulator.support.core import ADMIN, CRM, IAM, PROJECT, WORKER_NAME, new_cloud, session
from tests.simulator.support.service import ENDPOINT, OPERATION_SECONDS, Sandbox, deployed

PROJECT_URL = f"{CRM}/v1/projects/{PROJECT}"
ACCOUNTS = f"{IAM}/projects/{PROJECT}/serviceAccounts"
RESET = 0


def inject(running: Running, **how: Any) -> None:
    runner = session(running, running.control_token)
    answer = runner.post(f"{running.control_url}/faults", json={"slow": 0, **how})
    assert answer.status_code == 200, answer.text


def told(running: Running) -> Any:
    runner = session(running, running.control_token)
    return runner.get(f"{running.control_url}/faults").json()


def status(client: requests.Session, verb: str, url: str, body: Any = None) -> int:
    """The status of the answer; 0 when the connection broke."""
    try:
        return client.request(verb, url, json=body).status_code
    except requests.ConnectionError:
        return RESET


def asked(directory: Path, urls: list[str], seed: int) -> dict[str, list[int]]:
    """URL -> the statuses it was answered with, in a cloud of its own."""
    cloud = new_cloud()
    statuses: dict[str, list[int]] = {url: [] for url in urls}
    with serve(cloud, directory) as running:
        inject(running, seed=seed, rate=0.5)
        admin = session(running, cloud[Identity].access_token(ADMIN))
        for url in urls:
            statuses[url].append(status(admin, "GET", url))
    return statuses


def test_a_seed_decides_by_resource_and_turn_and_not_by_the_order_between_resources(
    tmp_path: Path,
) -> None:
    urls = [PROJECT_URL, f"{IAM}/{WORKER_NAME}"]
    by_turns = asked(tmp_path / "a", urls * 12, seed=1)
    one_by_one = asked(tmp_path / "b", [url for url in urls for _ in range(12)], seed=1)
    other_seed = asked(tmp_path / "c", urls * 12, seed=2)
    assert by_turns == one_by_one
    assert by_turns != other_seed
    assert all(len(set(statuses)) > 2 for statuses in by_turns.values())


def test_every_kind_comes_up_and_only_what_was_let_in_is_carried_out(
    cloud: GoogleCloud, running: Running
) -> None:
    inject(running, seed=1, rate=1)
    admin = session(running, cloud[Identity].access_token(ADMIN))
    seen: Counter[str] = Counter()
    for number in range(60):
        account = f"account-{number}"
        code = status(admin, "POST", ACCOUNTS, {"accountId": account})
        now = Counter(told(running)["injected"])
        [kind] = now - seen
        seen = now
        made = any(email.startswith(f"{account}@") for email in cloud.state()["serviceAccounts"])
        assert (code, made) == {
            "429": (429, False),
            "500": (500, False),
            "503": (503, False),
            "reset before": (RESET, False),
            "reset after": (RESET, True),
            "slow": (200, True),
        }[kind]
    assert set(seen) == set(ANY)


def test_the_stand_in_for_the_gcp_plugin_outlives_them_all(
    cloud: GoogleCloud, running: Running
) -> None:
    inject(running, seed=1, rate=0.3)
    token = cloud[Identity].access_token(ADMIN)
    google = Google(new_session(), lambda: token, sleep=lambda seconds: None)
    for _ in range(60):
        assert google.call("GET", PROJECT_URL)["projectId"] == PROJECT
    assert set(told(running)["injected"]) == set(ANY)


def test_a_rate_limit_says_when_to_come_again(cloud: GoogleCloud, running: Running) -> None:
    inject(running, seed=1, rate=1)
    admin = session(running, cloud[Identity].access_token(ADMIN))
    while True:
        try:
            answer = admin.get(PROJECT_URL)
        except requests.ConnectionError:
            continue
        if answer.status_code == 429:
            break
    assert answer.headers["retry-after"] == "1"
    error = answer.json()["error"]
    assert (error["status"], error["details"][0]["reason"]) == (
        "RESOURCE_EXHAUSTED",
        "RATE_LIMIT_EXCEEDED",
    )


def test_a_policy_that_changes_after_it_was_read_is_a_conflict_and_the_change_stays(
    cloud: GoogleCloud, running: Running
) -> None:
    inject(running, seed=1, rate=1)
    admin = session(running, cloud[Identity].access_token(ADMIN))
    policy: Any = None
    while not told(running)["injected"].get(CONFLICT):
        try:
            policy = admin.post(f"{PROJECT_URL}:getIamPolicy", json={}).json()
        except requests.ConnectionError:
            continue
    inject_nothing = session(running, running.control_token)
    inject_nothing.post(f"{running.control_url}/faults", json={})
    written = admin.post(f"{PROJECT_URL}:setIamPolicy", json={"policy": policy})
    assert (written.status_code, written.json()["error"]["status"]) == (409, "ABORTED")
    now = admin.post(f"{PROJECT_URL}:getIamPolicy", json={}).json()
    assert any(SOMEONE.replace("@", "-1@") in b["members"] for b in now["bindings"])
    assert admin.post(f"{PROJECT_URL}:setIamPolicy", json={"policy": now}).status_code == 200


def test_every_policy_that_can_be_read_can_change_meanwhile(cloud: GoogleCloud) -> None:
    reads = [name for name in cloud[Methods].handlers if name.endswith(POLICY_READS)]
    assert {name.split(".")[-2] for name in reads} <= INNOCUOUS.keys()
    assert all(permissions(role) for role in INNOCUOUS.values())


def test_signing_in_and_the_controls_are_spared(cloud: GoogleCloud, running: Running) -> None:
    inject(running, seed=1, rate=1)
    body = {
        "grant_type": "refresh_token",
        "refresh_token": cloud[Identity].refresh_token("me@example.com"),
    }
    for _ in range(20):
        answer = session(running).post("https://oauth2.googleapis.com/token", data=body)
        assert answer.status_code == 200
    assert told(running)["injected"] == {}


def test_a_deployment_that_fails_late_leaves_nothing_and_can_be_asked_for_again(
    sandbox: Sandbox, endpoint: str, model: str
) -> None:
    sandbox.cloud[Operations].faults = Faults(sandbox.cloud, seed=1, rate=1)
    body = {"endpoint": ENDPOINT, "deployed_model": deployed(model, "1")}
    operation = sandbox.endpoints().deploy_model(**body)
    sandbox.cloud.clock.step(OPERATION_SECONDS)
    error = operation.exception(timeout=1)
    assert error is not None and error.code in (500, 503)
    sandbox.cloud[Operations].faults = None
    assert sandbox.deploy(model, "1").id == "1"


def test_an_endpoint_that_could_not_be_made_may_be_asked_for_again(sandbox: Sandbox) -> None:
    sandbox.cloud[Operations].faults = Faults(sandbox.cloud, seed=1, rate=1)
    body = {"endpoint": {"display_name": "pm"}, "endpoint_id": "1234567890"}
    operation = sandbox.endpoints().create_endpoint(
        parent=ENDPOINT.rpartition("/endpoints")[0], **body
    )
    sandbox.cloud.clock.step(OPERATION_SECONDS)
    assert operation.exception(timeout=1) is not None
    sandbox.cloud[Operations].faults = None
    assert sandbox.endpoint().endswith("/endpoints/1234567890")


def test_a_rate_that_is_none_is_refused(cloud: GoogleCloud, running: Running) -> None:
    runner = session(running, running.control_token)
    answer = runner.post(f"{running.control_url}/faults", json={"seed": 1, "rate": 2})
    assert (answer.status_code, "between 0 and 1" in answer.text) == (400, True)
