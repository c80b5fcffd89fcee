"""The cloud as a process of its own, steered over its control host."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from tests.simulator.support.core import ADMIN, CRM, PROJECT

ROOT = Path(__file__).parents[3]
SEED = {
    "projects": [{"id": PROJECT, "services": ["cloudresourcemanager.googleapis.com"]}],
    "accounts": [{"project": PROJECT, "id": "admin"}],
}
OPTIONS = ("--stop-with-parent", "--iam-delay", "600")
PROJECT_URL = f"{CRM}/v1/projects/{PROJECT}"


@dataclass
class Served:
    process: subprocess.Popen[str]
    ready: dict[str, Any]
    file: Path

    def client(self, token: str) -> requests.Session:
        client = requests.Session()
        client.trust_env = False
        client.proxies = {"https": self.ready["proxy_url"]}
        client.verify = self.ready["ca_bundle"]
        client.headers["Authorization"] = f"Bearer {token}"
        return client

    def ask(self, verb: str, path: str, body: dict[str, Any] | None = None) -> Any:
        client = self.client(self.ready["control_token"])
        answer = client.request(verb, self.ready["control_url"] + path, json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    process = subprocess.Popen(
        [sys.executable, "-m", "simulator", *OPTIONS, "--directory", tmp_path / "sandbox"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin and process.stdout
    process.stdin.write(json.dumps(SEED) + "\n")
    process.stdin.flush()
    file = Path(process.stdout.readline().strip())
    yield Served(process, json.loads(file.read_text()), file)
    process.stdin.close()
    process.wait(timeout=20)
    process.stdout.close()


def test_it_says_how_to_reach_it_and_to_its_owner_only(served: Served) -> None:
    assert served.file.stat().st_mode & 0o777 == 0o600
    assert served.ready["pid"] == served.process.pid
    assert served.ready["environment"]["HTTPS_PROXY"] == served.ready["proxy_url"]
    assert served.ready["proxy_url"].startswith("http://127.0.0.1:")


def test_a_runner_seeds_it_moves_its_time_and_reads_what_happened(served: Served) -> None:
    token = served.ask("POST", "/token", {"email": ADMIN})["access_token"]
    client = served.client(token)
    assert client.get(PROJECT_URL).status_code == 403
    member = f"serviceAccount:{ADMIN}"
    grant = {"resource": f"projects/{PROJECT}", "role": "roles/owner", "member": member}
    served.ask("POST", "/seed", {"grants": [grant]})
    assert client.get(PROJECT_URL).status_code == 200

    entries = served.ask("GET", "/audit?since=1")
    assert [entry["status"] for entry in entries["entries"]] == [200]
    assert served.ask("GET", f"/audit?since={entries['next']}")["entries"] == []
    used = {"resourcemanager.projects.get": {"roles/owner": [f"projects/{PROJECT}"]}}
    assert served.ask("GET", "/usage") == {member: used}

    policy = client.post(f"{PROJECT_URL}:getIamPolicy", json={}).json()
    body = {"policy": {**policy, "bindings": []}}
    assert client.post(f"{PROJECT_URL}:setIamPolicy", json=body).status_code == 200
    assert client.get(PROJECT_URL).status_code == 200
    served.ask("POST", "/clock", {"step": 600})
    assert client.get(PROJECT_URL).status_code == 403


def test_it_counts_requests_and_refused_hosts(served: Served) -> None:
    client = served.client("nonsense")
    client.get(PROJECT_URL)
    with pytest.raises(requests.exceptions.ProxyError):
        client.get("https://example.com")
    assert served.ask("GET", "/stats") == {
        "hosts": {"cloudresourcemanager.googleapis.com": {"401": 1}},
        "refused_hosts": {"example.com": 1},
        "total": 1,
    }


def test_it_lists_what_exists(served: Served) -> None:
    state = served.ask("GET", "/state")
    assert state["projects"] == [PROJECT]
    assert state["serviceAccounts"] == [ADMIN]
    assert state["roles"] == state["softDeletedRoles"] == state["buckets"] == []


def test_permissions_and_apis_can_be_withheld(served: Served) -> None:
    member = f"serviceAccount:{ADMIN}"
    grant = {"resource": f"projects/{PROJECT}", "role": "roles/owner", "member": member}
    served.ask("POST", "/seed", {"grants": [grant]})
    client = served.client(served.ask("POST", "/token", {"email": ADMIN})["access_token"])
    withheld = {"permissions": [[ADMIN, "resourcemanager.projects.get"]]}
    served.ask("POST", "/withhold", withheld)
    assert client.get(PROJECT_URL).status_code == 403
    served.ask("POST", "/withhold", {"services": ["cloudresourcemanager.googleapis.com"]})
    assert "SERVICE_DISABLED" in client.get(PROJECT_URL).text
    served.ask("POST", "/withhold", {})
    assert client.get(PROJECT_URL).status_code == 200


def test_changes_can_be_made_to_take_longer(served: Served) -> None:
    member = f"serviceAccount:{ADMIN}"
    grant = {"resource": f"projects/{PROJECT}", "role": "roles/owner", "member": member}
    served.ask("POST", "/seed", {"grants": [grant]})
    client = served.client(served.ask("POST", "/token", {"email": ADMIN})["access_token"])
    served.ask("POST", "/delays", {"iam": 600, "api": 600})
    emptied = client.post(f"{PROJECT_URL}:setIamPolicy", json={"policy": {"bindings": []}})
    assert emptied.status_code == 200
    served.ask("POST", "/clock", {"step": 500})
    assert client.get(PROJECT_URL).status_code == 200
    served.ask("POST", "/clock", {"step": 100})
    assert client.get(PROJECT_URL).status_code == 403


@pytest.mark.parametrize(
    ("token", "verb", "path", "body", "status"),
    [
        ("wrong", "GET", "/stats", None, 401),
        (None, "GET", "/nonsense", None, 404),
        (None, "POST", "/seed", {"nonsense": 1}, 400),
        (None, "POST", "/clock", {"step": -1}, 400),
    ],
)
def test_what_it_cannot_do_it_says(
    served: Served, token: str | None, verb: str, path: str, body: Any, status: int
) -> None:
    client = served.client(token or served.ready["control_token"])
    answer = client.request(verb, served.ready["control_url"] + path, json=body)
    assert answer.status_code == status
    assert answer.json()["error"]


def test_what_a_command_leaves_behind_ends_with_the_cloud(tmp_path: Path) -> None:
    seed = tmp_path / "seed.yaml"
    seed.write_text(json.dumps(SEED))
    command = ["bash", "-c", "sleep 600 >/dev/null 2>&1 & echo $!"]
    options = ["--seed", seed, "--as", ADMIN, "--", *command]
    run = [sys.executable, "-m", "simulator", *options]
    done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    with suppress(psutil.NoSuchProcess):
        # Dead, and maybe not yet taken note of by whoever it was left to.
        assert psutil.Process(int(done.stdout)).status() == psutil.STATUS_ZOMBIE


def test_it_stops_on_a_signal(served: Served) -> None:
    served.process.send_signal(signal.SIGTERM)
    assert served.process.wait(timeout=20) == 0


def test_it_stops_when_its_parent_is_gone(served: Served) -> None:
    assert served.process.stdin
    served.process.stdin.close()
    assert served.process.wait(timeout=20) == 0
