"""The stand-in sends what the official plugin sends, and leaves the same state.

Each resource of the recordings whose type the stand-in has goes through up, refresh, preview,
update and destroy against the recorded answers. Compared are the multisets of requests (method,
host, path, query, body, and whose token), and inputs and outputs with `state.jsonl`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from provider_support import Exchange, Gathering, Replay, contract, key, load, session

from providers.plugin import Context, Props, ProviderError
from rehearsal.provider.fields import Field
from rehearsal.provider.gcp import Gcp
from rehearsal.provider.resource import Declared

recorded = pytest.mark.skipif(
    not contract().is_dir(),
    reason=f"the recordings of the official plugin are not there: {contract()}",
)
PROJECT, REGION = "iot-prod", "us-central1"
DEPLOYER = f"deployer@{PROJECT}.iam.gserviceaccount.com"
IDENTITIES = {"platform-tok": "platform", "imp-tok": "deployer (impersonated)"}
PLATFORM: Props = {"project": PROJECT, "region": REGION, "accessToken": "platform-tok"}
PROVIDERS: dict[str, dict[str, Props]] = {
    "core": {"platform": PLATFORM, "deployer": {**PLATFORM, "impersonateServiceAccount": DEPLOYER}},
    "more": {"platform": PLATFORM},
}
# Whose provider a resource has, where it is not `platform`.
OWNERS = {("core", "endpoint"): "deployer"}


def _latency(threshold: int) -> Props:
    """The condition of the alert in core, as check leaves it."""
    metric = "aiplatform.googleapis.com/prediction/online/prediction_latencies"
    resource = "aiplatform.googleapis.com/Endpoint"
    aligned = {"alignmentPeriod": "60s", "perSeriesAligner": "ALIGN_PERCENTILE_95"}
    return {
        "__defaults": [],
        "displayName": "p95",
        "conditionThreshold": {
            "__defaults": [],
            "aggregations": [{"__defaults": [], **aligned}],
            "comparison": "COMPARISON_GT",
            "duration": "300s",
            "filter": f'metric.type="{metric}" AND resource.type="{resource}"',
            "thresholdValue": threshold,
        },
    }


# What the programs change with STEP=2 (program.py).
STEP_2: dict[tuple[str, str], Props] = {
    ("core", "role"): {
        "permissions": [f"aiplatform.endpoints.{verb}" for verb in ("create", "deploy", "get")]
    },
    ("core", "artifacts"): {"labels": {"step": "2"}},
    ("core", "endpoint"): {"description": "step 2"},
    ("core", "bq"): {"ackDeadlineSeconds": 30},
    ("core", "latency"): {"conditions": [_latency(400)]},
    ("more", "burn"): {"displayName": "slo burn2"},
    ("more", "ds"): {"labels": {"step": "2"}},
    ("more", "endpoint"): {"labels": {"step": "2"}},
}
# What they set before, where the state is of after the update.
STEP_1: dict[str, Props] = {
    "ds": {"labels": {"step": "1"}},
    "endpoint": {"labels": {"step": "1"}},
    "burn": {"displayName": "slo burn1"},
}
# An empty `unstructured_inference` is in the program and never in the state: it differs for good.
PERMANENT: dict[tuple[str, str], tuple[str, ...]] = {
    ("core", "telemetry"): ("messageTransforms",),
}
# Names in core/state.jsonl, which is of a later run than up.jsonl, and what they were there.
RENAMED = {
    "schema-892bfdc": "schema-b3effef",
    "notificationChannels/756813510544": "notificationChannels/599590272964",
    "alertPolicies/114298428140": "alertPolicies/536052608636",
}
# Exchanges of types that the stand-in does not have, by host or part of the path …
OTHER_HOSTS = (
    "artifactregistry",
    "orgpolicy",
    "cloudkms",
    "secretmanager",
)
OTHER_PATHS = (
    "workloadIdentityPools",
    "deploymentResourcePools",
    "policies/",
    "/keys",
    "queryTestablePermissions",
)
# … and, on the project's allow policy and on userinfo, by position in the file: IAMAuditConfig in
# core, IAMBinding and getClientOpenIdUserInfo in more.
OTHERS: dict[tuple[str, str], tuple[int, ...]] = {
    ("core", "up"): (68, 69, 70, 71, 77, 78),
    ("core", "refresh"): (27,),
    ("core", "preview"): (27,),
    ("core", "destroy"): (92, 93, 96, 99, 100, 101),
    ("more", "up"): (11,),
    ("more", "preview"): (27,),
    ("more", "update"): (4,),
}
OTHER_PROJECT_POLICY = {"more"}  # every exchange on it is IAMBinding's
BATCHED = ("gcp:projects/service:Service", "gcp:projects/iAMMember:IAMMember")
# Outputs that the bridge adds, that the engine encrypts, or that a later run of the recorder set.
NOT_COMPARED = {
    "__meta",
    "__pulumi_raw_state_delta",
    "id",
    "effectiveLabels",
    "pulumiLabels",
    "content",
    "customerEncryption",
    "etag",
}


class Run:
    """One command of the recording: its exchanges, and the providers that send them."""

    def __init__(self, folder: str, command: str, state: list[Props]) -> None:
        recorded = load(contract() / folder / f"{command}.jsonl")
        self.recorded = [
            exchange
            for index, exchange in enumerate(recorded)
            if _ours(folder, exchange) and index not in OTHERS.get((folder, command), ())
        ]
        self.replay = Replay(self.recorded, IDENTITIES)
        self.folder = folder
        self.services = sum(item["type"] == "gcp:projects/service:Service" for item in state)
        self.providers = {name: self._provider() for name in PROVIDERS[folder]}

    def _provider(self) -> Gcp:
        gcp = Gcp(session=lambda: session(self.replay), sleep=_nothing)
        gcp.batcher = Gathering(
            lambda key: 1 if "ml-source" in key else 2 if "IAMMember" in key else self.services
        )
        return gcp

    def check_config(self) -> None:
        for name, config in PROVIDERS[self.folder].items():
            _, failures = Gcp(lambda: session(self.replay), _nothing).check_config(
                config, Context()
            )
            assert failures == [], name

    def configure(self) -> None:
        for name, config in PROVIDERS[self.folder].items():
            self.providers[name].configure(config, Context())

    def get_project(self) -> None:
        if self.folder == "core":
            token = "gcp:organizations/getProject:getProject"
            found = self.providers["platform"].invoke(token, {"projectId": PROJECT}, Context())
            assert found["number"] == "123456789012"

    def kind(self, item: Props) -> Declared:
        owner = OWNERS.get((self.folder, item["name"]), "platform")
        kind = self.providers[owner].kind(item["type"])
        assert isinstance(kind, Declared)
        return kind

    def compared(self) -> int:
        """The number of exchanges, once they are found to be the recorded ones."""
        expected, sent = Counter(map(key, self.recorded)), self.replay.sent
        differences = [f"missing {n}x {k}" for k, n in (expected - sent).items()]
        differences += [f"extra {n}x {k}" for k, n in (sent - expected).items()]
        assert not differences, "\n".join(differences)
        return sent.total()


def _nothing(seconds: float) -> None:
    return None


def _ours(folder: str, exchange: Exchange) -> bool:
    if exchange["host"].partition(".")[0] in OTHER_HOSTS:
        return False
    if any(part in exchange["path"] for part in OTHER_PATHS):
        return False
    policy = exchange["path"].startswith("/v1/projects/iot-prod:") or ":" in exchange["path"]
    return not (
        folder in OTHER_PROJECT_POLICY
        and policy
        and exchange["host"] == "cloudresourcemanager.googleapis.com"
    )


def _state(folder: str) -> list[Props]:
    known = Gcp()._kinds
    text = (contract() / folder / "state.jsonl").read_text()
    for later, then in RENAMED.items():
        text = text.replace(later, then)
    items = [json.loads(line) for line in text.splitlines()]
    return [item for item in items if item["type"] in known]


def _recorded_inputs(folder: str, item: Props) -> Props:
    """Checked inputs of the first `up`. The state has the content encrypted: it is 10 digits."""
    inputs = dict(item["inputs"])
    if "content" in inputs:
        inputs["content"] = "0123456789"
    return inputs | (STEP_1.get(item["name"], {}) if folder == "more" else {})


def _given(inputs: Any) -> Any:
    """Checked inputs as the program gave them: without what check filled in."""
    if isinstance(inputs, list):
        return [_given(value) for value in inputs]
    if not isinstance(inputs, dict):
        return inputs
    filled = ("__defaults", *inputs.get("__defaults", ()))
    return {name: _given(value) for name, value in inputs.items() if name not in filled}


def _all(work: Callable[[Props], Any], items: list[Props]) -> list[Any]:
    """One after another, but for the types whose requests the official plugin batches."""
    done: dict[str, Any] = {}
    for batched in BATCHED:
        together = [item for item in items if item["type"] == batched]
        with ThreadPoolExecutor(max_workers=max(1, len(together))) as pool:
            results = pool.map(work, together)
            done |= {item["name"]: it for item, it in zip(together, results, strict=True)}
    done |= {item["name"]: work(item) for item in items if item["type"] not in BATCHED}
    return [done[item["name"]] for item in items]


def _differ(name: str, left: Props, right: Props) -> bool:
    return left.get(name) != right.get(name) or (name in left) != (name in right)


def _same_outputs(item: Props, outputs: Props) -> None:
    expected = {k: v for k, v in item["outputs"].items() if k not in NOT_COMPARED}
    actual = {k: v for k, v in outputs.items() if k not in NOT_COMPARED}
    assert actual == expected, item["name"]


@recorded
@pytest.mark.parametrize("folder", ["core", "more"])
def test_every_request_and_every_state_is_the_official_plugins(
    folder: str, capsys: pytest.CaptureFixture[str]
) -> None:
    state = _state(folder)
    exchanges = 0
    checked: dict[str, Props] = {}
    made: dict[str, tuple[str, Props]] = {}

    up = Run(folder, "up", state)
    up.check_config()
    up.configure()
    up.get_project()

    def create(item: Props) -> tuple[str, Props]:
        recorded = _recorded_inputs(folder, item)
        # A name that was drawn at random is kept, as it is from the old inputs of a resource.
        inputs, failures = up.kind(item).check(_given(recorded), recorded, Context())
        assert failures == []
        assert inputs == recorded
        checked[item["name"]] = inputs
        return up.kind(item).create(inputs, Context(name=item["name"]))

    for item, (id, outputs) in zip(state, _all(create, state), strict=True):
        made[item["name"]] = id, outputs
        assert id == item["id"]
        if folder == "core":  # the state of `more` was taken after its update
            _same_outputs(item, outputs)
    exchanges += up.compared()

    for command in ("refresh", "preview"):
        run = Run(folder, command, state)
        run.configure()

        def read(item: Props, run: Run = run) -> Any:
            id, outputs = made[item["name"]]
            inputs = checked[item["name"]]
            found = run.kind(item).read(id, inputs, outputs, Context())
            assert found is not None
            permanent = PERMANENT.get((folder, item["name"]), ())
            drift = [name for name in found.inputs | inputs if _differ(name, found.inputs, inputs)]
            assert drift == [*permanent], item["name"]
            change = run.kind(item).diff(id, found.inputs, found.outputs, inputs)
            assert (change.updates, change.replaces) == (permanent, ()), item["name"]
            return found

        for item, found in zip(state, _all(read, state), strict=True):
            made[item["name"]] = found.id, found.outputs
        if command == "preview":
            run.check_config()
            run.get_project()
        exchanges += run.compared()

    update = Run(folder, "update", state)
    update.check_config()
    update.configure()
    update.get_project()
    for item in state:
        wanted = STEP_2.get((folder, item["name"]), {})
        expected = (*wanted, *PERMANENT.get((folder, item["name"]), ()))
        if expected:
            id, outputs = made[item["name"]]
            old, new = checked[item["name"]], {**checked[item["name"]], **wanted}
            change = update.kind(item).diff(id, old, outputs, new)
            assert (change.updates, change.replaces) == (expected, ())
            after = update.kind(item).update(id, old, outputs, new, Context())
            made[item["name"]] = id, after
            if folder == "more":
                _same_outputs(item, after)
    exchanges += update.compared()

    destroy = Run(folder, "destroy", state)
    destroy.configure()

    def delete(item: Props) -> None:
        id, outputs = made[item["name"]]
        destroy.kind(item).delete(id, checked[item["name"]], outputs, Context())

    _all(delete, state[::-1])
    exchanges += destroy.compared()

    with capsys.disabled():
        print(f"\n{folder}: {len(state)} resources, {exchanges} exchanges, 0 differences")


def test_the_comparison_notices_a_request_that_was_never_recorded() -> None:
    gcp = Gcp(session=lambda: session(Replay([], IDENTITIES)), sleep=_nothing)
    with pytest.raises((AssertionError, ProviderError), match="never recorded"):
        gcp.configure(PLATFORM, Context())


NOT_NEW: Props = {"willReplaceOnChanges": False}


@recorded
def test_inputs_requirements_and_replacements_are_those_of_the_official_schema() -> None:
    schema = load(contract() / "schema.jsonl")
    types = {entry["type"]: entry for entry in schema if "inputs" in entry}
    objects = {entry["object"]: entry for entry in schema if "object" in entry}
    differences: list[str] = []

    def compare(
        where: str, fields: Iterable[Field], properties: Props, required: list[str]
    ) -> None:
        nests = "." in where
        inputs = {field.name: field for field in fields if nests or not field.output}
        for name in inputs.keys() ^ properties.keys():
            differences.append(f"{where}.{name}: not in both")
        for name, field in inputs.items():
            entry = properties.get(name, {})
            if field.required != (name in required):
                differences.append(f"{where}.{name}: required {field.required}")
            if field.new != entry.get("willReplaceOnChanges", False) and not field.unsent:
                differences.append(f"{where}.{name}: new {field.new}")
            nested = objects.get(entry.get("items", entry).get("ref", ""))
            if nested and field.of:
                parts = nested["properties"]
                if field.new:  # then its parts need not say so
                    parts = {name: {**part, **NOT_NEW} for name, part in parts.items()}
                compare(f"{where}.{name}", field.of, parts, nested["required"])

    kinds = Gcp()._kinds
    for token, kind in kinds.items():
        entry = types[token]
        compare(token, kind.spec.fields, entry["inputs"], entry["required"])
        outputs = {field.name for field in kind.spec.fields if field.output}
        if outputs != set(entry["outputsOnly"]):
            differences.append(f"{token}: outputs {outputs ^ set(entry['outputsOnly'])}")
    assert not differences, "\n".join(differences)
    assert len(kinds) == 27
