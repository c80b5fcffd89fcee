"""The stand-in sends what the official plugin sends, and leaves the same state.

Each resource of the recordings goes through up, refresh, preview, update and destroy against the
recorded answers. Compared are the multisets of requests (method, host, path, query, body, and whose
token), and inputs and outputs with `state.jsonl`.
"""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from pulumi_plugin.kinds import Context, ProviderError
from pulumi_plugin.values import Props
from standin.fields import Field
from standin.gcp import Gcp
from standin.onpolicy import OnPolicy
from standin.provider import Provider
from standin.resource import Declared
from tests.recordings import CONTRACT, load
from tests.recordings import text as text_of
from tests.standin.support import Gathering, Replay, key, session

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
BATCHED = ("gcp:projects/service:Service", "gcp:projects/iAMMember:IAMMember")
# What the official bridge keeps in the state for itself.
NOT_COMPARED = {"__meta", "__pulumi_raw_state_delta"}
# The functions that each program calls.
CALLS: dict[str, tuple[tuple[str, Props, Props], ...]] = {
    "core": (
        (
            "gcp:organizations/getProject:getProject",
            {"projectId": PROJECT},
            {"number": "123456789012"},
        ),
    ),
    "more": (
        (
            "gcp:iam/getTestablePermissions:getTestablePermissions",
            {"fullResourceName": f"//cloudresourcemanager.googleapis.com/projects/{PROJECT}"},
            {
                "permissions": [
                    {
                        "name": "aiplatform.endpoints.create",
                        "title": "x",
                        "stage": "GA",
                        "apiDisabled": False,
                        "customSupportLevel": "SUPPORTED",
                    }
                ]
            },
        ),
        (
            "gcp:organizations/getClientOpenIdUserInfo:getClientOpenIdUserInfo",
            {},
            {"email": f"platform@{PROJECT}.iam.gserviceaccount.com"},
        ),
    ),
}


class Run:
    """One command of the recording: its exchanges, and the providers that send them."""

    def __init__(self, folder: str, command: str, state: list[Props]) -> None:
        self.recorded = load(CONTRACT / folder / f"{command}.jsonl")
        self.replay = Replay(self.recorded, IDENTITIES)
        self.folder = folder
        self.services = sum(item["type"] == "gcp:projects/service:Service" for item in state)
        self.together: list[Props] = []
        self.providers = {name: self._provider() for name in PROVIDERS[folder]}

    def _provider(self) -> Gcp:
        gcp = Gcp(Provider(lambda: session(self.replay), _nothing))
        gcp.provider.batcher = Gathering(self._callers)
        return gcp

    def _callers(self, key: str) -> int:
        """How many callers the batch `key` will have."""
        if "IAM policy" not in key:
            return self.services
        return sum(f'"{item["inputs"]["project"]}"' in key for item in self.together)

    def check_config(self) -> None:
        for name, config in PROVIDERS[self.folder].items():
            _, failures = Gcp(Provider(lambda: session(self.replay), _nothing)).check_config(
                config, Context()
            )
            assert failures == [], name

    def configure(self) -> None:
        for name, config in PROVIDERS[self.folder].items():
            self.providers[name].configure(config, Context())

    def call_functions(self) -> None:
        for token, arguments, expected in CALLS[self.folder]:
            found = self.providers["platform"].invoke(token, arguments, Context())
            assert {name: found[name] for name in expected} == expected

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


def _state(folder: str) -> list[Props]:
    text = text_of(CONTRACT / folder / "state.jsonl")
    for later, then in RENAMED.items():
        text = text.replace(later, then)
    return [json.loads(line) for line in text.splitlines()]


def _recorded_inputs(folder: str, item: Props) -> Props:
    """Checked inputs of the first `up`. What the state has encrypted the programs show."""
    known = {"content": "0123456789", "secretData": "{}"}
    inputs = {name: known.get(name, value) for name, value in item["inputs"].items()}
    return inputs | (STEP_1.get(item["name"], {}) if folder == "more" else {})


def _given(inputs: Any) -> Any:
    """Checked inputs as the program gave them: without what check filled in."""
    if isinstance(inputs, list):
        return [_given(value) for value in inputs]
    if not isinstance(inputs, dict):
        return inputs
    filled = ("__defaults", *inputs.get("__defaults", ()))
    return {name: _given(value) for name, value in inputs.items() if name not in filled}


def _all(run: Run, work: Callable[[Props], Any], items: list[Props]) -> list[Any]:
    """In order, but all at once for the types whose requests the official plugin batches."""
    done: dict[str, Any] = {}
    for first in items:
        if first["name"] in done:
            continue
        batched = first["type"] in BATCHED
        together = [i for i in items if i["type"] == first["type"]] if batched else [first]
        run.together = together
        with ThreadPoolExecutor(max_workers=len(together)) as pool:
            results = pool.map(work, together)
            done |= {item["name"]: it for item, it in zip(together, results, strict=True)}
    return [done[item["name"]] for item in items]


def _differ(name: str, left: Props, right: Props) -> bool:
    return left.get(name) != right.get(name) or (name in left) != (name in right)


def _same_outputs(item: Props, kind: Declared, id: str, outputs: Props) -> None:
    expected = {k: v for k, v in item["outputs"].items() if k not in NOT_COMPARED}
    actual = {**outputs, "id": id}
    encrypted = {name for name, value in expected.items() if "ciphertext" in _names(value)}
    assert encrypted == set(kind.secrets) & expected.keys(), item["name"]
    for name in encrypted:  # AES-GCM: as long as the text, and a tag of 16 bytes
        cipher = base64.b64decode(expected.pop(name)["ciphertext"].rpartition(":")[2])
        shown = json.dumps(actual.pop(name), separators=(",", ":"))
        assert len(shown) == len(cipher) - 16, (item["name"], name, shown)
    if isinstance(kind, OnPolicy):  # the state is of a later run of the recorder
        assert bool(actual.pop("etag")) == bool(expected.pop("etag"))
    assert actual == expected, item["name"]


def _names(value: Any) -> Iterable[str]:
    return value if isinstance(value, dict) else ()


@pytest.mark.parametrize("folder", ["core", "more"])
def test_every_request_and_every_state_is_the_official_plugins(
    folder: str, show: Callable[[str], None]
) -> None:
    state = _state(folder)
    exchanges = 0
    checked: dict[str, Props] = {}
    made: dict[str, tuple[str, Props]] = {}

    up = Run(folder, "up", state)
    up.check_config()
    up.configure()
    up.call_functions()

    def create(item: Props) -> tuple[str, Props]:
        recorded = _recorded_inputs(folder, item)
        # A name that was drawn at random is kept, as it is from the old inputs of a resource.
        inputs, failures = up.kind(item).check(_given(recorded), recorded, Context())
        assert failures == []
        assert inputs == recorded
        checked[item["name"]] = inputs
        return up.kind(item).create(inputs, Context(name=item["name"]))

    for item, (id, outputs) in zip(state, _all(up, create, state), strict=True):
        made[item["name"]] = id, outputs
        assert id == item["id"]
        if folder == "core":  # the state of `more` was taken after its update
            _same_outputs(item, up.kind(item), id, outputs)
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

        for item, found in zip(state, _all(run, read, state), strict=True):
            made[item["name"]] = found.id, found.outputs
        if command == "preview":
            run.check_config()
            run.call_functions()
        exchanges += run.compared()

    update = Run(folder, "update", state)
    update.check_config()
    update.configure()
    update.call_functions()
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
            _same_outputs(item, update.kind(item), *made[item["name"]])
    exchanges += update.compared()

    destroy = Run(folder, "destroy", state)
    destroy.configure()

    def delete(item: Props) -> None:
        id, outputs = made[item["name"]]
        destroy.kind(item).delete(id, checked[item["name"]], outputs, Context())

    _all(destroy, delete, state[::-1])
    exchanges += destroy.compared()

    show(f"{folder}: {len(state)} resources, {exchanges} exchanges, 0 differences")


def test_the_comparison_notices_a_request_that_was_never_recorded() -> None:
    gcp = Gcp(Provider(lambda: session(Replay([], IDENTITIES)), _nothing))
    with pytest.raises((AssertionError, ProviderError), match="never recorded"):
        gcp.configure(PLATFORM, Context())


def test_inputs_requirements_and_replacements_are_those_of_the_official_schema() -> None:
    schema = load(CONTRACT / "schema.jsonl")
    types = {entry["type"]: entry for entry in schema if "inputs" in entry}
    objects = {entry["object"]: entry for entry in schema if "object" in entry}
    differences: list[str] = []

    def compare(
        where: str, fields: Iterable[Field], properties: Props, required: list[str], says_new: bool
    ) -> None:
        """`says_new` is off within what is replaced as a whole: parts need not say so again."""
        nests = "." in where
        inputs = {field.name: field for field in fields if nests or not field.output}
        for name in inputs.keys() ^ properties.keys():
            differences.append(f"{where}.{name}: not in both")
        for name, field in inputs.items():
            entry = properties.get(name, {})
            if field.required != (name in required):
                differences.append(f"{where}.{name}: required {field.required}")
            new = entry.get("willReplaceOnChanges", False)
            if field.new != new and says_new and not field.unsent:
                differences.append(f"{where}.{name}: new {field.new}")
            if field.secret != entry.get("secret", False) and not (nests and field.unsent):
                differences.append(f"{where}.{name}: secret {field.secret}")
            nested = objects.get(entry.get("items", entry).get("ref", ""))
            if nested and field.of:
                parts, needs = nested["properties"], nested["required"]
                says = says_new and (not field.new or bool(field.mask))
                compare(f"{where}.{name}", field.of, parts, needs, says)

    kinds = Gcp()._kinds
    for token, kind in kinds.items():
        entry = types[token]
        compare(token, kind.spec.fields, entry["inputs"], entry["required"], True)
        outputs = {field.name for field in kind.spec.fields if field.output}
        if outputs != set(entry["outputsOnly"]):
            differences.append(f"{token}: outputs {outputs ^ set(entry['outputsOnly'])}")
    assert not differences, "\n".join(differences)
    assert kinds.keys() == types.keys()
