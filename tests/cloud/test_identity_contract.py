"""What the official plugin was recorded to send for pools, providers and keys is served.

The recordings' answers are not Google's (they echo), so what is compared is that each request gets
200 and that what was sent comes back. `k1` stands in them for the id of a key.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from core_support import ADMIN, PROJECT, new_cloud, session

from rehearsal.cloud.cloud import Cloud
from rehearsal.cloud.proxy import Running

ROOT = Path(__file__).parents[2]
CONTRACT = Path(os.environ.get("PROVIDER_CONTRACT", ROOT.parent / "shared" / "provider-contract"))
COMMANDS = ("up", "preview", "refresh", "update", "destroy")
PARTS = ("workloadIdentityPools", "/keys")

recorded = pytest.mark.skipif(
    not CONTRACT.is_dir(),
    reason=f"the recordings of the official plugin are not there: {CONTRACT}",
)


@pytest.fixture
def cloud() -> Cloud:
    cloud = new_cloud()
    cloud.accounts.create(PROJECT, "telemetry")
    return cloud


@pytest.fixture
def running(cloud: Cloud, tmp_path: Path) -> Iterator[Running]:
    with cloud.serve(tmp_path) as running:
        yield running


def exchanges(folder: str) -> list[dict[str, Any]]:
    """Those of IAM about pools, providers and keys, in the order of the commands."""
    files = [CONTRACT / folder / f"{command}.jsonl" for command in COMMANDS]
    lines = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    iam = [line for line in lines if line["host"] == "iam.googleapis.com"]
    return [line for line in iam if any(part in line["path"] for part in PARTS)]


@recorded
@pytest.mark.parametrize(
    ("folder", "count"), [("core", 13), ("more", 6)], ids=["pool and provider", "key"]
)
def test_every_recorded_request_is_served(
    cloud: Cloud, running: Running, folder: str, count: int
) -> None:
    client, key, sent = session(running, cloud.identity.access_token(ADMIN)), "k1", 0
    for exchange in exchanges(folder):
        answer = client.request(
            exchange["method"],
            f"https://{exchange['host']}{exchange['path'].replace('/k1', f'/{key}')}",
            params=exchange["query"],
            json=exchange["body"],
        )
        assert answer.status_code == 200, (exchange, answer.text)
        shown = answer.json()
        if exchange["method"] == "POST" and exchange["path"].endswith("/keys"):
            key = shown["name"].rpartition("/")[2]
        if "/operations/" in shown.get("name", ""):
            cloud.clock.step(5)
            shown = client.get(f"https://{exchange['host']}/v1/{shown['name']}").json()["response"]
        assert (exchange["body"] or {}).items() <= shown.items()
        if exchange["method"] == "GET" and "publicKeyType" in exchange["query"]:
            assert "publicKeyData" in shown
        sent += 1
    assert sent == count
