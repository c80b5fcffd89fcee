"""Every Pub/Sub request of the official plugin, as it was recorded, against the simulator.

The recorder took anything, so the requests of resources that do not depend on one another came in
any order: `ssub` set the policy of a subscription that was not there yet, and at the end read the
policy of one that was gone. Here each command's requests go by kind, what depends on it last (at
destroy first), and otherwise as recorded. The one change to a request is a policy's etag, which has
to be the one that was read.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from pubsub_support import HERE, HOST, grant_agent
from service_support import ENDPOINT, Sandbox

NAMED = os.environ.get("PROVIDER_CONTRACT")
HOME = Path(__file__).parents[2].parent / "shared" / "provider-contract"
CONTRACT = Path(NAMED) if NAMED else HOME
COMMANDS = ("up", "preview", "refresh", "update", "destroy")
KINDS = ("schemas", "topics", "subscriptions", "IamPolicy")
COUNTS = {"core": 71, "more": 12}
COLUMNS = [
    {"name": "data", "type": "JSON"},
    {"name": "subscription_name", "type": "STRING"},
    {"name": "message_id", "type": "STRING"},
    {"name": "publish_time", "type": "TIMESTAMP"},
    {"name": "attributes", "type": "JSON"},
]
# The recorder's own additions to a schema.
INVENTED = {"createTime", "updateTime", "etag"}
# What Google adds to an answer, all of it output only or computed when unset in the plugin.
FILLED_IN = {
    "state",
    "ackDeadlineSeconds",
    "expirationPolicy",
    "pushConfig",
    "topicMessageRetentionDuration",
    "revisionId",
    "revisionCreateTime",
}

pytestmark = pytest.mark.skipif(
    not CONTRACT.is_dir(),
    reason=f"the recordings of the official plugin are not there: {CONTRACT}",
)


def recorded(folder: str, command: str) -> list[dict[str, Any]]:
    lines = (CONTRACT / folder / f"{command}.jsonl").read_text().splitlines()
    ours = [item for item in map(json.loads, lines) if item["host"] == "pubsub.googleapis.com"]

    def rank(exchange: dict[str, Any]) -> int:
        found = max(index for index, kind in enumerate(KINDS) if kind in exchange["path"])
        return -found if command == "destroy" else found

    return sorted(ours, key=rank)


def surroundings(sandbox: Sandbox) -> None:
    """What the recorded programs declare elsewhere: an account, an endpoint, a table, grants."""
    sandbox.cloud.accounts.create("iot-prod", "telemetry")
    sandbox.endpoint(dedicated_endpoint_enabled=True)
    for name in ("serving", "telemetry"):
        sandbox.grant(ENDPOINT, "roles/aiplatform.user", name)
    table = f"{HERE}/datasets/telemetry/tables/predictions"
    sandbox.bigquery().create_dataset("telemetry")
    sandbox.cloud.bigquery.create_table(table, {"schema": {"fields": COLUMNS}})
    grant_agent(sandbox, "roles/bigquery.dataEditor", table)


def replay(session: Any, exchange: dict[str, Any], etags: dict[str, str]) -> dict[str, Any]:
    """Send a request, check its status, and return the answer."""
    path, body = exchange["path"], exchange["body"]
    if path.endswith(":setIamPolicy"):
        body["policy"]["etag"] = etags[path.partition(":")[0]]
    url = f"{HOST}{path}?{urlencode(exchange['query'])}"
    answer = session.request(exchange["method"], url, json=body)
    assert answer.status_code == exchange["status"], f"{exchange['method']} {path}: {answer.text}"
    seen: dict[str, Any] = answer.json()
    if path.endswith("IamPolicy"):
        etags[path.partition(":")[0]] = seen["etag"]
    return seen


def compare(exchange: dict[str, Any], seen: dict[str, Any]) -> None:
    """The plugin reads back what it was recorded to accept, and nothing it would call drift."""
    expected = {key: value for key, value in exchange["response"].items() if value is not None}
    if exchange["path"].endswith("IamPolicy"):
        assert seen.get("bindings", []) == expected.get("bindings", [])
        return
    if config := seen.get("bigqueryConfig"):
        assert config.pop("state") == "ACTIVE"
    kept = {key: value for key, value in expected.items() if key not in INVENTED}
    assert {key: seen.get(key) for key in kept} == kept
    assert seen.keys() - kept.keys() <= FILLED_IN


@pytest.mark.parametrize("folder", ["core", "more"])
def test_the_official_plugins_requests_are_answered_as_it_accepts(
    sandbox: Sandbox, folder: str
) -> None:
    surroundings(sandbox)
    session, etags, count = sandbox.http(), dict[str, str](), 0
    for command in COMMANDS:
        for exchange in recorded(folder, command):
            seen, count = replay(session, exchange, etags), count + 1
            if exchange["status"] == 200:
                compare(exchange, seen)
    assert count == COUNTS[folder]
    state = sandbox.cloud.state()
    assert [state[kind] for kind in ("topics", "subscriptions", "schemas")] == [[], [], []]
