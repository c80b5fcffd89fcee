"""`access verify` on a rehearsed environment: nothing to report of a healthy one, and each of 25
faults that somebody plants in it, one by one.

Somebody who may only look runs it, and may become the stack's accounts.
"""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from access.live import Live
from access.verify import FAIL, Asked, Finding, verify
from components import permissions as table
from components.settings import Settings
from rehearsal import callers, toolchain
from rehearsal import environment as environments
from rehearsal.engine import Engine
from rehearsal.environment import OWNER, Environment
from rehearsal.sandbox import Google, GoogleError, Sandbox, clean_environment
from rehearsal.toolchain import ROOT

AUDITOR = callers.colleague("auditor@example.com")
LOOKS = ("viewer", "logging.privateLogViewer", "iam.serviceAccountTokenCreator")
REVIEWS = ("iam.securityReviewer", "iam.denyReviewer")
STRANGER = "user:stranger@example.com"
IAM = "https://iam.googleapis.com"
USAGE = "https://serviceusage.googleapis.com"
PROJECTS = "https://cloudresourcemanager.googleapis.com/v3"
PUBSUB = "https://pubsub.googleapis.com/v1"
BIGQUERY = "https://bigquery.googleapis.com/bigquery/v2"
STORAGE = "https://storage.googleapis.com/storage/v1"

Undo = Callable[[], Any]


@dataclass(frozen=True)
class Planted:
    """The stack that runs, and the owner who changes it by hand."""

    sandbox: Sandbox
    environment: Environment
    engine: Engine
    owner: Google

    @property
    def settings(self) -> Settings:
        return self.environment.settings

    @property
    def vertex(self) -> str:
        return f"https://{self.settings.region}-aiplatform.googleapis.com/v1"

    def call(self, verb: str, url: str, body: Any = None) -> Any:
        return self.owner.call(verb, url, body)

    def role(self, key: str, held: list[str]) -> Undo:
        """Change what a custom role holds."""
        url = f"{IAM}/v1/{self.settings.role_name(key)}?updateMask=includedPermissions"
        before = self.held(key)
        self.call("PATCH", url, {"includedPermissions": held})
        return lambda: self.call("PATCH", url, {"includedPermissions": before})

    def held(self, key: str) -> list[str]:
        found = self.call("GET", f"{IAM}/v1/{self.settings.role_name(key)}")
        return list(found["includedPermissions"])

    def policy(self, url: str, change: Callable[[list[dict[str, Any]]], Any]) -> Undo:
        """Change the bindings of the allow policy of what is at `url`."""
        storage, pubsub = url.startswith(STORAGE), url.startswith(PUBSUB)
        reads = "GET" if storage or pubsub else "POST"
        before = self.call(reads, f"{url}/iam" if storage else f"{url}:getIamPolicy")
        after = copy.deepcopy(before)
        change(after.setdefault("bindings", []))

        def put(policy: dict[str, Any]) -> None:
            policy = {"version": 3, "bindings": policy.get("bindings", [])}
            if storage:
                self.call("PUT", f"{url}/iam", policy)
            else:
                self.call("POST", f"{url}:setIamPolicy", {"policy": policy})

        put(after)
        return lambda: put(before)

    def without(self, url: str, role: str, member: str = "") -> Undo:
        """Take a role away there, from everybody or from one."""

        def change(bindings: list[dict[str, Any]]) -> None:
            (found,) = [binding for binding in bindings if binding["role"] == role]
            kept = [m for m in found["members"] if member and m != member]
            bindings.remove(found)
            bindings += [{**found, "members": kept}] if kept else []

        return self.policy(url, change)

    def granted(self, url: str, role: str, member: str) -> Undo:
        return self.policy(url, lambda them: them.append({"role": role, "members": [member]}))

    def found(self) -> list[Finding]:
        return list(verify(Live(self.settings), Asked()))

    @property
    def project(self) -> str:
        return f"{PROJECTS}/projects/{self.settings.project}"

    @property
    def endpoint(self) -> str:
        return f"{self.vertex}/{self.settings.endpoint_name}"

    @property
    def shared(self) -> str:
        """The endpoint where its policy is."""
        return self.endpoint.replace("/v1/", "/v1beta1/")

    def account(self, identity: str) -> str:
        return f"{IAM}/v1/{self.settings.account_name(identity)}"

    def pubsub(self, name: str) -> str:
        return f"{PUBSUB}/projects/{self.settings.project}/{name}"


def api_off(stack: Planted) -> Undo:
    service = f"projects/{stack.settings.project}/services/monitoring.googleapis.com"

    def turn(verb: str) -> None:
        stack.owner.finish(stack.call("POST", f"{USAGE}/v1/{service}:{verb}", {}), f"{USAGE}/v1")

    turn("disable")
    return lambda: turn("enable")


def permission_gone(stack: Planted) -> Undo:
    held = [name for name in stack.held("deployer") if name != "aiplatform.endpoints.deploy"]
    return stack.role("deployer", held)


def permission_more(stack: Planted) -> Undo:
    held = [*stack.held("predictor"), "aiplatform.endpoints.list"]
    return stack.role("predictor", held)


def role_deleted(stack: Planted) -> Undo:
    url = f"{IAM}/v1/{stack.settings.role_name('devicePublisher')}"
    stack.call("DELETE", url)
    return lambda: stack.call("POST", f"{url}:undelete", {})


def account_disabled(stack: Planted) -> Undo:
    account = stack.account(table.TELEMETRY)
    stack.call("POST", f"{account}:disable", {})
    return lambda: stack.call("POST", f"{account}:enable", {})


def not_on_the_project(stack: Planted) -> Undo:
    return stack.without(stack.project, stack.settings.role_name("deployer"))


def not_on_the_source(stack: Planted) -> Undo:
    source = f"{PROJECTS}/projects/{stack.settings.source_projects[0]}"
    return stack.without(source, stack.settings.role_name("modelReader", "iot-models"))


def not_on_the_bucket(stack: Planted) -> Undo:
    bucket = f"{STORAGE}/b/{stack.settings.artifacts_bucket}"
    return stack.without(bucket, stack.settings.role_name("artifactReader"))


def agent_not_on_the_source_bucket(stack: Planted) -> Undo:
    bucket = f"{STORAGE}/b/{stack.settings.source_artifacts_bucket}"
    role = stack.settings.role_name("artifactReader", "iot-models")
    return stack.without(bucket, role, stack.environment.members[table.AGENT])


def not_to_act_as(stack: Planted) -> Undo:
    role = stack.settings.role_name("servingAccountUser")
    return stack.without(stack.account(table.SERVING), role)


def not_to_become_the_deployer(stack: Planted) -> Undo:
    role = stack.settings.role_name("tokenCreator")
    return stack.without(stack.account(table.DEPLOYER), role)


def agent_without_its_role(stack: Planted) -> Undo:
    return stack.without(stack.project, "roles/aiplatform.serviceAgent")


def not_on_the_endpoint(stack: Planted) -> Undo:
    return stack.without(stack.shared, stack.settings.role_name("predictor"))


def not_on_the_subscription(stack: Planted) -> Undo:
    role = stack.settings.role_name("riskReader")
    return stack.without(stack.pubsub("subscriptions/telemetry-risks-ordered"), role)


def not_on_the_dataset(stack: Planted) -> Undo:
    url = f"{BIGQUERY}/projects/{stack.settings.project}/datasets/telemetry"
    before = stack.call("GET", url)["access"]
    role = stack.settings.role_name("telemetryWriter")
    stack.call("PATCH", url, {"access": [entry for entry in before if entry.get("role") != role]})
    return lambda: stack.call("PATCH", url, {"access": before})


def on_a_condition(stack: Planted) -> Undo:
    role = stack.settings.role_name("deployer")
    past = {"title": "until", "expression": 'request.time < timestamp("2020-01-01T00:00:00Z")'}

    def change(bindings: list[dict[str, Any]]) -> None:
        (found,) = [binding for binding in bindings if binding["role"] == role]
        found["condition"] = past

    return stack.policy(stack.project, change)


def too_strong(stack: Planted) -> Undo:
    return stack.granted(stack.project, "roles/editor", stack.settings.member(table.SERVING))


def a_stranger(stack: Planted) -> Undo:
    return stack.granted(stack.pubsub("topics/telemetry"),
                         stack.settings.role_name("devicePublisher"), STRANGER)  # fmt: skip


def another_platform(stack: Planted) -> Undo:
    role = f"projects/{stack.settings.project}/roles/platform"
    return stack.granted(stack.project, role, STRANGER)


def denied_by_policy(stack: Planted) -> Undo:
    point = f"cloudresourcemanager.googleapis.com%2Fprojects%2F{stack.settings.project}"
    url = f"{IAM}/v2/policies/{point}/denypolicies"
    account = stack.settings.email(table.TELEMETRY)
    rule = {
        "deniedPrincipals": [
            f"principal://iam.googleapis.com/projects/-/serviceAccounts/{account}"
        ],
        "deniedPermissions": ["aiplatform.googleapis.com/endpoints.predict"],
    }
    body = {"rules": [{"denyRule": rule}]}
    stack.owner.finish(stack.call("POST", f"{url}?policyId=no-predictions", body), f"{IAM}/v2")
    return lambda: stack.owner.finish(stack.call("DELETE", f"{url}/no-predictions"), f"{IAM}/v2")


def a_key(stack: Planted) -> Undo:
    made = stack.call("POST", f"{stack.account(table.SERVING)}/keys", {})
    return lambda: stack.call("DELETE", f"{IAM}/v1/{made['name']}")


def quota_used_up(stack: Planted) -> Undo:
    service = f"projects/{stack.settings.project}/services/aiplatform.googleapis.com"
    url = f"{USAGE}/v1beta1/{service}/consumerQuotaMetrics:importConsumerOverrides"

    def limit(value: int) -> None:
        of = {
            "metric": "aiplatform.googleapis.com/custom_model_serving_cpus",
            "unit": "1/{project}/{region}",
            "overrideValue": str(value),
        }
        body = {"inlineSource": {"overrides": [of]}, "force": True}
        stack.owner.finish(stack.call("POST", url, body), f"{USAGE}/v1beta1")

    limit(5)
    return lambda: limit(-1)


def traffic_moved(stack: Planted) -> Undo:
    before = stack.call("GET", stack.endpoint)["trafficSplit"]

    def split(shares: dict[str, int]) -> None:
        stack.call("PATCH", f"{stack.endpoint}?updateMask=trafficSplit", {"trafficSplit": shares})

    split(dict.fromkeys(before, 50))
    return lambda: split(before)


def model_renamed(stack: Planted) -> Undo:
    parent = f"projects/{stack.settings.project}/locations/{stack.settings.region}"
    (model,) = stack.call("GET", f"{stack.vertex}/{parent}/models")["models"]

    def name(given: str) -> None:
        url = f"{stack.vertex}/{model['name']}?updateMask=displayName"
        stack.call("PATCH", url, {"name": model["name"], "displayName": given})

    name("another")
    return lambda: name("shuttle-anomaly")


def refused(stack: Planted) -> Undo:
    """Nothing takes it out of the log again: the last one."""
    parent = f"projects/{stack.settings.project}/locations/{stack.settings.region}"
    telemetry = stack.sandbox.google(stack.settings.email(table.TELEMETRY))
    with pytest.raises(GoogleError):
        telemetry.call("POST", f"{stack.vertex}/{parent}/endpoints", {"displayName": "test"})
    return lambda: None


# Fault -> the checks that fail, and what one of them says.
FAULTS: dict[Callable[[Planted], Undo], tuple[set[str], str]] = {
    api_off: ({"apis"}, "monitoring.googleapis.com: is off"),
    permission_gone: ({"roles", "permissions"}, "lacks aiplatform.endpoints.deploy"),
    permission_more: ({"roles"}, "has aiplatform.endpoints.list too"),
    role_deleted: ({"roles", "permissions"}, "Publisher: is deleted"),
    account_disabled: ({"accounts", "reading"}, "gserviceaccount.com: is disabled"),
    not_on_the_project: ({"bindings", "permissions", "models"}, "Deployer to deployer"),
    not_on_the_source: ({"bindings", "permissions", "models"}, "ModelReader to deployer"),
    not_on_the_bucket: ({"bindings", "permissions"}, "ArtifactReader to serving"),
    agent_not_on_the_source_bucket: ({"bindings", "permissions"}, "to vertex agent"),
    not_to_act_as: ({"bindings", "permissions"}, "ServingAccountUser to deployer"),
    not_to_become_the_deployer: ({"bindings"}, "TokenCreator to platform"),
    agent_without_its_role: ({"bindings"}, "roles/aiplatform.serviceAgent to vertex agent"),
    not_on_the_endpoint: ({"bindings", "permissions", "reading"}, "Predictor to telemetry"),
    not_on_the_subscription: ({"bindings", "permissions"}, "RiskReader to maintenance"),
    not_on_the_dataset: ({"bindings", "permissions"}, "TelemetryWriter to pubsub agent"),
    on_a_condition: ({"bindings", "permissions", "models"}, "only on the condition"),
    too_strong: ({"bindings"}, "has roles/editor, which is not declared"),
    a_stranger: ({"bindings"}, f"{STRANGER} has"),
    another_platform: ({"bindings"}, "roles/platform, which is not declared"),
    denied_by_policy: ({"permissions", "reading"}, "a deny policy keeps aiplatform."),
    a_key: ({"keys"}, "has a key, 0 days old"),
    quota_used_up: ({"quota"}, "4 of 5 are used, a rollout needs 2 more"),
    traffic_moved: ({"endpoint"}, "traffic is split [50, 50], declared is [10, 90]"),
    model_renamed: ({"models"}, "shuttle-anomaly: is not in the registry"),
    refused: ({"denials"}, "telemetry was refused aiplatform.endpoints.create"),
}  # fmt: skip


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Planted]:
    models = tmp_path_factory.mktemp("verify") / "models"
    environment = environments.load("staging", models)
    seed, settings = environments.seed(environment), environment.settings
    seed["issuers"][AUDITOR.issuer][AUDITOR.subject] = dict(AUDITOR.claims)
    for project in (settings.project, *settings.source_projects, settings.key_project):
        at = {"resource": f"projects/{project}"}
        seed["grants"] += [
            *({**at, "role": f"roles/{role}", "member": AUDITOR.member} for role in LOOKS),
            *(
                {**at, "role": f"roles/{role}", "member": f"user:{OWNER}"}
                for role in ("owner", "iam.denyAdmin")
            ),
        ]
    organization = {"resource": "organizations/1", "member": AUDITOR.member}
    seed["grants"] += [{**organization, "role": f"roles/{role}"} for role in REVIEWS]
    with Sandbox(seed, at_once=True) as sandbox:
        environments.prepare_source(environment, sandbox, models)
        engine = Engine(sandbox, environment, toolchain.gcp_plugin(), policies=False)
        outcome = engine.up()
        assert outcome.ok, "\n".join(outcome.errors)
        yield Planted(sandbox, environment, engine, sandbox.google(OWNER))


@pytest.fixture(autouse=True)
def signed_in(stack: Planted, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in stack.sandbox.environment(AUDITOR).items():
        monkeypatch.setenv(name, value)


def failed(found: list[Finding]) -> list[str]:
    return [line for finding in found if finding.state == FAIL for line in finding.lines()]


@pytest.mark.sweep
def test_a_healthy_environment_passes_and_nothing_is_changed(stack: Planted) -> None:
    before = stack.sandbox.control("GET", "/changes")["changes"]
    found = stack.found()
    assert failed(found) == []
    unknown = {finding.about for finding in found if finding.state == "cannot tell"}
    assert all(about.startswith(("platform ", "reviewer ")) for about in unknown), unknown
    assert stack.sandbox.control("GET", "/changes")["changes"] == before


@pytest.mark.sweep
def test_the_command_line_makes_the_test_endpoint_and_prints_data(stack: Planted) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "access", "verify", "staging", "--folder", stack.engine.directory,
         "--test-endpoint", "--json"],
        cwd=ROOT,
        env={**clean_environment(), **stack.sandbox.environment(AUDITOR)},
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    found = {(it["check"], it["state"], it["about"]) for it in json.loads(done.stdout)}
    made = "an endpoint was made as the deployer, and removed"
    assert ("test endpoint", "pass", made) in found


@pytest.mark.sweep
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_each_fault_is_found(stack: Planted, fault: Callable[[Planted], Undo]) -> None:
    checks, text = FAULTS[fault]
    undo = fault(stack)
    try:
        found = stack.found()
    finally:
        undo()
    # Denials of the last hour count as long as they would be denied again.
    failing = {finding.check for finding in found if finding.state == FAIL}
    assert checks <= failing <= checks | {"denials"}, failed(found)
    assert any(text in line for line in failed(found)), failed(found)
    assert all(finding.fix for finding in found if finding.state == FAIL)
