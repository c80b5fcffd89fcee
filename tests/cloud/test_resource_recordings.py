"""The official plugin's recorded requests for keys, secrets, repositories, policies and pools, and
what it asks of billing, compute and userinfo on the way: sent as they are, answered as it accepts.

The recorder took any etag; here a policy's has to be the one that was read, which is the one change
to a request. What the recorder answered is an echo: compared are the fields that were sent, by
which the plugin tells drift.
"""

from __future__ import annotations

from typing import Any

import pytest
from recordings import Exchange, Replay, exchanges, recorded
from service_support import NUMBER, PROJECT, Sandbox, email

HOSTS = (
    "artifactregistry",
    "cloudbilling",
    "cloudkms",
    "cloudresourcemanager",
    "compute",
    "iam",
    "openidconnect",
    "orgpolicy",
    "secretmanager",
    "storage",
    "us-central1-aiplatform",
)
# Of hosts with other recorded requests, which are these tests'.
PARTS = {
    "cloudresourcemanager": ("IamPolicy",),
    "compute": ("/beta/",),
    "iam": ("denypolicies", "queryTestablePermissions"),
    "storage": ("anywhereCaches",),
    "us-central1-aiplatform": ("deploymentResourcePools",),
}
COUNTS = {"core": 77, "more": 89}
# The recorder's own additions to what it was sent, and names that say number where it says id.
INVENTED = {"createTime", "updateTime", "etag", "uid", "kind", "name", "version"}
# What Google adds to an answer, all of it output only or computed when unset in the plugin.
FILLED_IN = {
    "destroyScheduledDuration",
    "primary",
    "registryUri",
    "replicationStatus",
    "satisfiesPzi",
    "versionTemplate",
}
# Answers that an echo gets wrong: what the request clears, lists or changes is not in it.
NOT_ECHOED = ("cryptoKeyVersions", ":destroy", "/beta/", "userinfo", "queryTestablePermissions")

pytestmark = recorded


def ours(folder: str) -> list[Exchange]:
    found = []
    for exchange in exchanges(folder, *HOSTS):
        parts = PARTS.get(exchange["host"].partition(".")[0], ("",))
        if any(part in exchange["path"] for part in parts):
            found.append(exchange)
    return found


def surroundings(sandbox: Sandbox) -> None:
    """What the recorded programs declare elsewhere, and what the caller needs beside ownership."""
    cloud = sandbox.cloud
    cloud.delays.operation = 0
    cloud.seed({"projects": [{"id": "ml-source", "number": "5"}]})
    for name in (*HOSTS[:4], "iam", "orgpolicy", "secretmanager"):
        cloud.services.seed(PROJECT, [f"{name}.googleapis.com"])
    for name in ("telemetry", "training"):
        cloud.accounts.create(PROJECT, name)
    cloud.roles.seed(f"projects/{PROJECT}/roles/vertexDeployer", ["aiplatform.endpoints.create"])
    cloud.roles.seed("projects/ml-source/roles/modelReader", ["aiplatform.models.get"])
    for resource, role in (
        ("organizations/1", "roles/iam.denyAdmin"),
        ("organizations/1", "roles/orgpolicy.policyAdmin"),
        ("projects/ml-source", "roles/owner"),
    ):
        cloud.iam.grant(resource, role, f"serviceAccount:{email('admin')}")
    for bucket in ("iot-prod-artifacts", "iot-prod-pulumi-state"):
        sandbox.bucket(bucket)


class Policies:
    """Allow policies between two requests: the recorder's begin empty, a project's does not."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._iam = sandbox.cloud.iam
        self.etags: dict[str, str] = {}
        self._kept: dict[str, list[dict[str, Any]]] = {}

    def prepare(self, exchange: Exchange) -> None:
        """Put in the etag that was read, and what the cloud's own seeds granted before."""
        where = exchange["path"].partition(":")[0]
        policy = exchange["body"]["policy"]
        policy["etag"] = self.etags[where]
        policy["bindings"] = [*self._kept[where], *policy.get("bindings", [])]

    def read(self, exchange: Exchange, seen: dict[str, Any]) -> list[dict[str, Any]]:
        """The bindings, without what was there before."""
        where = exchange["path"].partition(":")[0]
        self.etags[where] = seen["etag"]
        before = self._kept.setdefault(where, seen.get("bindings", []))
        return [item for item in seen.get("bindings", []) if item not in before]


def compare(exchange: Exchange, seen: dict[str, Any]) -> None:
    expected = exchange["response"]
    if "/operations/" in seen.get("name", ""):
        assert seen["done"] is True
        expected, seen = expected.get("response", {}), seen.get("response", {})
    kept = {key: value for key, value in expected.items() if key not in INVENTED}
    if "spec" in kept:
        kept["spec"] = {"rules": [{"enforce": True}]}
        seen = {**seen, "spec": {"rules": seen["spec"]["rules"]}}
    assert {key: seen.get(key) for key in kept} == kept, exchange["path"]
    if exchange["method"] != "DELETE":
        added = seen.keys() - kept.keys() - INVENTED - {"@type"}
        assert added <= FILLED_IN, (exchange["path"], added)
    if "/" in expected.get("name", ""):
        assert seen["name"].replace(NUMBER, PROJECT) == expected["name"].replace(NUMBER, PROJECT)


@pytest.mark.parametrize("folder", ["core", "more"])
def test_the_official_plugins_requests_are_answered_as_it_accepts(
    sandbox: Sandbox, folder: str
) -> None:
    surroundings(sandbox)
    replay, policies = Replay(sandbox.http()), Policies(sandbox)
    count = 0
    for exchange in ours(folder):
        if exchange["path"].endswith(":setIamPolicy"):
            policies.prepare(exchange)
        answer = replay.send(exchange)
        count += 1
        # The recorder did not know of caches; a bucket of this cloud has none, and says so.
        status = 200 if "anywhereCaches" in exchange["path"] else exchange["status"]
        assert answer.status_code == status, (exchange["path"], answer.text)
        if exchange["status"] != 200:
            continue
        seen = answer.json()
        if exchange["path"].endswith("IamPolicy"):
            expected = exchange["response"]
            assert policies.read(exchange, seen) == expected.get("bindings", []), exchange["path"]
            assert seen.get("auditConfigs") == expected.get("auditConfigs"), exchange["path"]
        elif exchange["method"] == "PATCH":  # the one recorded clears what its mask names
            assert not {"rotationPeriod", "nextRotationTime"} & seen.keys()
        elif not any(part in exchange["path"] for part in NOT_ECHOED):
            compare(exchange, seen)
    state = sandbox.cloud.state()
    kinds = ("repositories", "orgPolicies", "denyPolicies", "secrets", "deploymentResourcePools")
    assert [state[kind] for kind in kinds] == [[]] * len(kinds)
    assert count == COUNTS[folder]
