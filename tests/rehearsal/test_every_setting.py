"""Every setting in `Pulumi.yaml`, changed once on a stack that runs, while it is asked.

The stack starts as production does, protected and with nothing that may be deleted, and loosens up.
What a setting does is said here by hand, and held against what the engine did and what Google has.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from components import permissions as table
from rehearsal import environment as environments
from rehearsal.crash import hold
from rehearsal.engine import Outcome
from rehearsal.sandbox import GoogleError
from rehearsal.telemetry import SENSORS
from rehearsal.toolchain import ROOT
from tests.rehearsal.running import OTHER_KEY, SOURCE, Asking, Stack, route, running
from vertexops.schema import MODEL_ROLLOUT

START = {
    "protect": True,
    "deployerMay": ["register"],
    "platformMember": "group:platform@example.com",
    "requestLogPercent": 10,
    "sensors": [],
    "drift": {},
    "alerts": {},
}
CONTAINER = "us-docker.pkg.dev/vertex-ai/prediction/sklearn-cpu.1-6:latest"
NEW_BUCKET = "iot-models-moved"
KEYS = environments.clearblade("iot-staging")
GRANTS = {
    *("replace IAMMember", "replace BucketIAMMember", "replace AiEndpointIamMember"),
    *("replace TopicIAMMember", "replace SubscriptionIAMMember"),
}
ANOTHER_VERSION = ("create RegisteredModel", "delete RegisteredModel")
"""A version is called by its content, so another one is another resource."""
WATCHES = (table.REGISTER, table.RETIRE, table.ROUTE, table.DRIFT)


def models(uploaded: int, looked_up: int, region: str = "us-central1") -> list[dict[str, Any]]:
    """The stack's models with their traffic; one that gets none is not among them."""
    location = f"projects/{SOURCE}/locations/{region}"
    found = [
        {"id": "shuttle-anomaly", "artifact": "trained", "traffic": uploaded},
        {
            "id": "shuttle-baseline",
            "source": f"{location}/models/shuttle-baseline@default",
            "traffic": looked_up,
        },
    ]
    return [model for model in found if model["traffic"]]


@dataclass(frozen=True)
class Case:
    """`setting` becomes `value`; `does` is what the engine does, by kind, or why it is refused."""

    setting: str
    value: Any
    does: set[str] | str
    there: Callable[[Stack], Any] = lambda stack: True
    """Whether Google has it."""


@dataclass(frozen=True)
class Group:
    """Changes that are made in one `up`, with the settings that have to go with them."""

    cases: tuple[Case, ...]
    along: dict[str, Any] = field(default_factory=dict)
    before: Callable[[Stack], None] = lambda stack: None
    options: dict[str, Any] = field(default_factory=dict)
    follows: bool = False
    """Whether callers have to follow: to the new address, or as the new account."""


def serving(stack: Stack) -> list[dict[str, Any]]:
    return [deployed["dedicatedResources"] for deployed in stack.deployed()]


OWN_IMAGE = {
    "id": "shuttle-own",
    "traffic": 0,
    "container": {
        "image": "us-central1-docker.pkg.dev/iot-staging/serving/shuttle:1",
        "predictRoute": "/predict",
        "healthRoute": "/healthz",
        "port": 7080,
        "env": {"MODE": "fast", "usual_mode": "$(MODE)"},
        "command": ["serve"],
        "args": ["--workers=2"],
        "deploymentTimeoutSeconds": 7200,
        "startupProbe": {"path": "/healthz", "failureThreshold": 30},
        "healthProbe": {"command": ["well"], "periodSeconds": 5},
    },
}


def image_of(project: str) -> dict[str, Any]:
    image = f"us-central1-docker.pkg.dev/{project}/serving/shuttle:1"
    return {"id": "shuttle-own", "traffic": 0, "container": {"image": image}}


CANARY = {"artifact": "trained", "percent": 10}
PIPELINES = "iot-staging-pipelines"


def from_own_registry(id: str, version: str = "@default") -> dict[str, Any]:
    location = "projects/iot-staging/locations/us-central1"
    return {"id": id, "source": f"{location}/models/{id}{version}", "traffic": 10}


OF_ITS_OWN = {
    "machineType": "n1-standard-2",
    "minReplicas": 1,
    "maxReplicas": 1,
    "autoscaling": {"cpuPercent": 80},
    "containerLogging": True,
    "spot": False,
    "accessLogging": False,
}


CHANGES = (
    Group(
        (
            Case("project", "iot-other", "a running stack cannot change project from"),
            Case("region", "europe-west4", "a running stack cannot change region from"),
            Case("privateProjects", ["plant-a"], "cannot change privateProjects from '' to 'iot-"),
            Case("kmsKey", "", "cannot change kmsKey from 'projects/iot-keys/locations/us-cent"),
            Case("accountPrefix", "px-", "cannot change accountPrefix from 'pm-' to 'px-'"),
            Case("rolePrefix", "pmRoles", "cannot change rolePrefix from"),
            Case("namePrefix", "b-", "cannot change namePrefix from '' to 'b-'"),
            Case("requestLog", {"dataset": "log"}, "cannot change requestLog.dataset from"),
            Case("previewMember", "", "cannot change previewMember from 'somebody' to ''"),
        ),
        along={"models": models(90, 10, "europe-west4")},
    ),
    Group((Case("dedicatedEndpoint", True, "cannot change dedicatedEndpoint from 'false'"),)),
    Group(
        (
            Case("endpointId", "42", "cannot change endpointId from '7203418' to '42'"),
            Case("models", models(100, 0), "cannot change models from 'looked up in iot-mo"),
        )
    ),
    Group(
        (Case("deployerMay", [], "cannot change deployerMay from 'register' to ''"),),
        along={"models": models(0, 100)},
    ),
    Group((Case("layer", "foundation", "cannot change layer from 'whole' to 'foundation'"),)),
    Group((Case("impersonate", False, "impersonate is false, which is for previews only"),)),
    Group(
        (
            Case(
                "sensors",
                list(SENSORS),
                {
                    *("create Schema", "create Topic", "create Subscription", "create Dataset"),
                    *("create Table", "create Account", "create IAMCustomRole"),
                    *("create IAMMember", "create TopicIAMMember", "create DatasetIamMember"),
                    *("create SubscriptionIAMMember", "create ServiceIdentity"),
                    "create CryptoKeyIAMMember",
                    *("create Telemetry", "create Routing", "create Consumers"),
                    "update IAMCustomRole",
                },
                lambda s: s.table("readings")["timePartitioning"]["field"] == "publish_time",
            ),
        ),
        before=lambda stack: stack.give_the_platform(table.REGISTER, table.ROUTE),
    ),
    Group(
        (
            Case(
                "requestLogPercent",
                50,
                {"update AiEndpoint"},
                lambda s: (
                    s.endpoint()["predictRequestResponseLoggingConfig"]
                    == {
                        "enabled": True,
                        "samplingRate": 0.5,
                        "bigqueryDestination": {
                            "outputUri": "bq://iot-staging.predictive_maintenance.asked_7203418"
                        },
                    }
                ),
            ),
            Case(
                "requestLog",
                {"days": 30, "table": "asked"},
                {"update AiEndpoint", "update Dataset"},
                lambda s: (
                    s.dataset(s.settings.log_dataset)["defaultPartitionExpirationMs"]
                    == str(30 * 24 * 60 * 60 * 1000)
                ),
            ),
            Case(
                "minReplicas",
                2,
                {"update ModelRollout"},
                lambda s: [r["minReplicaCount"] for r in serving(s)] == [2, 2],
            ),
            Case(
                "requiredReplicas",
                1,
                {"update ModelRollout"},
                lambda s: [r["requiredReplicaCount"] for r in serving(s)] == [1, 1],
            ),
            Case(
                "maxReplicas",
                3,
                {"update ModelRollout"},
                lambda s: [r["maxReplicaCount"] for r in serving(s)] == [3, 3],
            ),
            Case(
                "autoscaling",
                {"cpuPercent": 70, "requestsPerMinute": 600},
                {"update ModelRollout"},
                lambda s: all(
                    [spec["target"] for spec in r["autoscalingMetricSpecs"]] == [70, 600]
                    for r in serving(s)
                ),
            ),
            Case(
                "containerLogging",
                False,
                {"update ModelRollout"},
                lambda s: all(it["disableContainerLogging"] for it in s.deployed()),
            ),
            Case("rolloutSeconds", 900, set()),
            Case("readinessSeconds", 600, set()),
            Case("riskPercent", 70, {"update Subscription", "update Table"}),
            Case(
                "telemetryDays",
                30,
                {"update Table"},
                lambda s: s.table("readings")["timePartitioning"]["expirationMs"] == "2592000000",
            ),
            Case("backlogDays", 3, {"update Subscription"}),
            Case("telemetryRegions", ["us-central1", "us-east1"], {"update Topic"}),
            Case("deviceMembers", ["user:broker@example.com"], {"create TopicIAMMember"}),
            Case(
                "callers",
                ["group:platform@example.com"],
                {"create AiEndpointIamMember"},
                lambda s: s.predicted(s.environment.platform),
            ),
            Case("adoptForeign", True, {"update ModelRollout"}),
        )
    ),
    Group(
        (
            Case(
                "labels",
                {"team": "pumps"},
                {
                    *("update gcp", "update AiEndpoint", "update Bucket", "update Dataset"),
                    *("update Table", "update Topic", "update Subscription"),
                    "update RegisteredModel",
                },
                lambda s: all(it["labels"]["team"] == "pumps" for it in (s.endpoint(), s.model())),
            ),
        ),
        before=lambda stack: stack.give_the_platform(table.LABEL),
    ),
    Group(
        (
            Case(
                "servingContainer",
                CONTAINER,
                {*ANOTHER_VERSION, "update ModelRollout", "update Subscription"},
                lambda s: s.model()["containerSpec"]["imageUri"] == CONTAINER,
            ),
            Case(
                "machineType",
                "n1-standard-4",
                {"update ModelRollout"},
                lambda s: (
                    [r["machineSpec"]["machineType"] for r in serving(s)] == ["n1-standard-4"] * 2
                ),
            ),
            Case(
                "spot",
                True,
                {"update ModelRollout"},
                lambda s: [r["spot"] for r in serving(s)] == [True, True],
            ),
            Case(
                "accessLogging",
                True,
                {"update ModelRollout"},
                lambda s: all(it["enableAccessLogging"] for it in s.deployed()),
            ),
        )
    ),
    Group(
        (
            Case(
                "accelerator",
                {"type": "NVIDIA_TESLA_T4"},
                {"update ModelRollout"},
                lambda s: (
                    sorted(r["machineSpec"].get("acceleratorType", "") for r in serving(s))
                    == ["", "NVIDIA_TESLA_T4"]
                ),
            ),
            Case("servingQuota", {"accelerators": {"NVIDIA_TESLA_T4": 24}}, set()),
        ),
        # An image for scikit-learn does not use them; of a looked-up one nobody knows.
        along={"models": [models(90, 10)[0] | {"accelerator": {}}, models(90, 10)[1]]},
    ),
    Group(
        (
            Case(
                "accelerator",
                {},
                {"update ModelRollout"},
                lambda s: all("acceleratorType" not in r["machineSpec"] for r in serving(s)),
            ),
        ),
        along={"models": models(90, 10)},
    ),
    Group(
        (
            Case(
                "models",
                [models(90, 10)[0], models(90, 10)[1] | OF_ITS_OWN],
                {"update ModelRollout"},
                lambda s: sorted(r["maxReplicaCount"] for r in serving(s)) == [1, 3],
            ),
        ),
    ),
    Group(
        (
            Case(
                "container",
                {"deploymentTimeoutSeconds": 3600},
                {*ANOTHER_VERSION, "update ModelRollout", "update Subscription"},
                lambda s: s.model()["containerSpec"]["deploymentTimeout"] == "3600s",
            ),
        ),
    ),
    Group(
        (
            Case(
                "models",
                [models(90, 10)[0] | {"artifact": "trained/"}, models(90, 10)[1], OWN_IMAGE],
                {
                    *("create BucketObject", "delete BucketObject", *ANOTHER_VERSION),
                    *("update ModelRollout", "update Subscription"),
                },
                lambda s: (
                    [len(s.deployed()), s.model("shuttle-own")["containerSpec"]["ports"]]
                    == [3, [{"containerPort": 7080}]]
                ),
            ),
        ),
        before=lambda stack: stack.add_to_the_artifacts("labels.txt", "sound\nfailing\n"),
    ),
    Group(
        (
            Case(
                "models",
                models(90, 10),
                {
                    *("create BucketObject", "delete BucketObject", *ANOTHER_VERSION),
                    *("update ModelRollout", "update Subscription"),
                },
                lambda s: len(s.deployed()) == 2,
            ),
        ),
    ),
    Group(
        (
            Case(
                "models",
                [*models(80, 10), from_own_registry("shuttle-trained")],
                {"create RegisteredModel", "update ModelRollout", "update Subscription"},
                lambda s: len(s.deployed()) == 3,
            ),
        ),
        before=lambda stack: stack.register_in_own_project(
            "shuttle-trained", stack.settings.artifacts_bucket
        ),
    ),
    Group(
        (
            Case(
                "models",
                [*models(80, 10), from_own_registry("shuttle-piped", "@1")],
                {
                    *("create RegisteredModel", "delete RegisteredModel"),
                    *("update ModelRollout", "update Subscription"),
                },
                lambda s: {it["displayName"] for it in s.deployed()} >= {"shuttle-piped"},
            ),
            Case("registryArtifactsBucket", PIPELINES, {"create BucketIAMMember"}),
        ),
        before=lambda stack: stack.register_in_own_project("shuttle-piped", PIPELINES),
    ),
    Group(
        (
            Case(
                "models",
                models(90, 10),
                {
                    *("delete RegisteredModel", "delete BucketIAMMember"),
                    *("update ModelRollout", "update Subscription"),
                },
            ),
        ),
    ),
    Group(
        (
            Case(
                "models",
                [models(90, 10)[0] | {"canary": CANARY}, models(90, 10)[1]],
                {
                    *("create BucketObject", "create RegisteredModel", "update ModelRollout"),
                    *("update Subscription", "update IAMCustomRole", "update AccessReady"),
                },
                lambda s: sorted(s.endpoint()["trafficSplit"].values()) == [9, 10, 81],
            ),
            Case("canaryGuard", {"latencyRatio": 0, "whenTooFew": "go"}, set()),
        )
    ),
    Group(
        (
            Case(
                "models",
                [models(90, 10)[0] | {"canary": CANARY | {"percent": 50}}, models(90, 10)[1]],
                {"update ModelRollout"},
                lambda s: sorted(s.endpoint()["trafficSplit"].values()) == [10, 45, 45],
            ),
        ),
    ),
    Group(
        (
            Case(
                "models",
                models(40, 60),
                {
                    *("create BucketObject", "delete BucketObject", *ANOTHER_VERSION),
                    *("update ModelRollout", "update Subscription"),
                    *("update IAMCustomRole", "update AccessReady"),
                },
                lambda s: sorted(s.endpoint()["trafficSplit"].values()) == [40, 60],
            ),
        ),
        before=lambda stack: stack.train_again(),
    ),
    Group(
        (
            Case("platformMember", "user:engineer@example.com", {"replace IAMMember"}),
            Case("previewMember", "user:others@example.com", {"replace IAMMember"}),
            Case(
                "sourceArtifactsBucket",
                NEW_BUCKET,
                {
                    *("create BucketIAMMember", "delete BucketIAMMember"),
                    *("update ModelRollout", "update Subscription"),
                },
            ),
        ),
        before=lambda stack: stack.move_the_source(NEW_BUCKET),
        options={"refresh": True},
    ),
    Group(
        (
            Case(
                "deployerMay",
                ["register", "retire"],
                {"update IAMCustomRole", "update AccessReady"},
                lambda s: "aiplatform.endpoints.delete" in s.role("deployer"),
            ),
            Case("protect", False, {"update Bucket"}),
        ),
        before=lambda stack: stack.give_the_platform(table.REGISTER, table.RETIRE, table.ROUTE),
    ),
    Group(
        (
            Case(
                "models",
                [*models(90, 10), image_of(SOURCE)],
                {
                    *("create IAMMember", "create IAMCustomRole", "create RegisteredModel"),
                    *("update ModelRollout", "update Subscription"),
                },
                lambda s: len(s.deployed()) == 3,
            ),
        ),
        before=lambda stack: (
            stack.make_a_repository(SOURCE, "serving"),
            stack.give_the_platform(table.RETIRE, table.PULL),
        )[-1],
    ),
    Group(
        (
            Case(
                "models",
                models(90, 10),
                {
                    *("delete IAMMember", "delete IAMCustomRole", "delete RegisteredModel"),
                    *("update ModelRollout", "update Subscription"),
                },
            ),
        ),
    ),
    Group(
        (
            Case(
                "rolePrefix",
                "pmRoles",
                {"replace IAMCustomRole", "replace DatasetIamMember", *GRANTS},
            ),
        )
    ),
    Group(
        (
            Case(
                "accountPrefix",
                "px-",
                {
                    *("replace Account", "replace AccessReady", "update ModelRollout", *GRANTS),
                    *("update gcp", "update vertexops", "update Subscription"),
                    "replace CryptoKeyIAMMember",
                },
                lambda s: all(
                    deployed["serviceAccount"].startswith("px-serving@")
                    for deployed in s.endpoint()["deployedModels"]
                ),
            ),
        ),
        follows=True,
    ),
    Group(
        (
            Case(
                "endpointId",
                "shuttle-failures",
                {
                    *("replace AiEndpoint", "replace AiEndpointIamMember", "replace ModelRollout"),
                    "update Subscription",
                },
            ),
            Case("dedicatedEndpoint", True, {"replace AiEndpoint"}),
            Case(
                "kmsKey",
                OTHER_KEY,
                {
                    *("replace CryptoKeyIAMMember", "replace RegisteredModel", "update Bucket"),
                    *("update Dataset", "update Topic"),
                },
                lambda s: (
                    [it["encryptionSpec"]["kmsKeyName"] for it in (s.endpoint(), s.model())]
                    == [OTHER_KEY] * 2
                ),
            ),
        ),
        before=lambda stack: stack.make_another_key(),
        follows=True,
    ),
    Group(
        (
            Case(
                "drift",
                {"intervalHours": 2, "thresholds": {"f1": 0.2}},
                {
                    *("create MonitoringJob", "create AlertPolicy", "create BucketObject"),
                    *("create Drift", "update IAMCustomRole", "update AiEndpoint"),
                    "update AccessReady",
                },
            ),
        ),
        along={"requestLogPercent": 0},
        before=lambda stack: stack.give_the_platform(*WATCHES),
    ),
    Group(
        (Case("requestLogPercent", 10, "Google changes no request log while drift is watched"),),
        along={"drift": {}},
    ),
    Group(
        (
            Case(
                "alerts",
                {"emails": ["oncall@example.com"], "topic": "incidents"},
                {
                    *("create AlertPolicy", "create NotificationChannel", "create Dashboard"),
                    *("create CustomService", "create Slo", "create Metric", "create Topic"),
                    *("create IAMAuditConfig", "create ServiceIdentity", "create TopicIAMMember"),
                    *("create IAMCustomRole", "create Observability", "create Audit"),
                    *("update IAMCustomRole", "update MonitoringJob", "update AlertPolicy"),
                },
            ),
        ),
        before=lambda stack: stack.give_the_platform(*WATCHES, table.WATCH, table.INFORM),
    ),
    Group(
        (
            Case(
                "federation",
                {"ownerId": 1, "repositoryId": 2, "rolloutEnvironment": "staging"},
                {
                    *("create Federation", "create WorkloadIdentityPool", "create IAMMember"),
                    *("create WorkloadIdentityPoolProvider", "update IAMCustomRole"),
                },
                lambda s: len(s.sandbox.control("GET", "/state")["identityPools"]) > 2,
            ),
        ),
        before=lambda stack: stack.give_the_platform(
            *WATCHES, table.WATCH, table.INFORM, table.FEDERATE
        ),
    ),
    Group((Case("sensors", ["f1", "f2"], "cannot change sensors from 'f1, f2, f3, f4, f5,"),)),
    Group(
        (
            Case(
                "orderByDevice",
                False,
                {
                    *("replace Subscription", "replace SubscriptionIAMMember"),
                    *("update AlertPolicy", "update Dashboard"),
                },
            ),
            Case(
                "deviceRegistry",
                {"kind": "clearblade", "registry": "shuttles", "devices": ["shuttle-1"]},
                {"create Devices", "create DeviceRegistry", "create RegisteredDevice"},
                lambda s: len(s.sandbox.control("GET", "/state")["registeredDevices"]) == 1,
            ),
        )
    ),
    # The same in another text: the file that they came from was read until now.
    Group((Case("clearbladeCredentials", json.dumps(KEYS, indent=1), {"update vertexops"}),)),
)


def kinds(outcome: Outcome) -> set[str]:
    """What an `up` did, such as `update AiEndpoint`. The new has to come before the old goes."""
    steps = [step.split() for step in outcome.touched]
    for op, kind, name in steps:
        if op == "delete-replaced":
            assert steps.index(["create-replacement", kind, name]) < steps.index([op, kind, name])
    return {
        f"{op} {kind}"
        for op, kind, _ in steps
        if op not in ("create-replacement", "delete-replaced")
        and kind not in ("FixedSettings", "DestroyGuard")
    }


def texts(value: Any) -> Iterator[str]:
    """The strings in it, and the last part of those that are paths."""
    if isinstance(value, str):
        yield from {value, value.rpartition("/")[2]}
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from texts(inner)


def astray(state: list[dict[str, Any]], outcome: Outcome) -> list[str]:
    """What went, and names something that went with it, but does not itself depend on it: the
    engine takes them away in any order, and Google may refuse one whose place is gone."""
    gone = {step.partition(" ")[2] for step in outcome.touched if step.startswith("delete")}
    went = [old for old in state if f"{kind_of(old)} {old['urn'].rpartition('::')[2]}" in gone]
    places = {
        old["id"].rpartition("/")[2]: old["urn"]
        for old in went
        if old["type"].startswith("gcp:") and not re.search("(?i)iam|BucketObject", kind_of(old))
    }
    return [
        f"{old['urn']} in {place}"
        for old in went
        for name in texts(old["inputs"])
        if (place := places.get(name, old["urn"])) not in (old["urn"], *old.get("dependencies", ()))
    ]


def kind_of(resource: dict[str, Any]) -> str:
    kind: str = resource["type"].rpartition(":")[2]
    return kind


def change(stack: Stack, group: Group) -> Iterator[str]:
    """Make the changes of a group, and say of each what came of it."""
    group.before(stack)
    values = {**{case.setting: case.value for case in group.cases}, **group.along}
    state, number = stack.engine.resources(), len(stack.changes())
    now, then = stack.environment, stack.with_values(values)
    stack.engine.configure(then)
    with Asking(stack.sandbox, now.settings, *[then.settings] * group.follows) as asking:
        outcome = stack.up(**group.options)
        if group.follows:
            asking.until_answered(1)
    assert asking.failures == [] and all(asking.answers)
    made = stack.changes(number)
    if any(isinstance(case.does, str) for case in group.cases):
        for case in group.cases:
            assert any(str(case.does) in error for error in outcome.errors), outcome.errors
            yield f"{case.setting:22}refused beforehand"
        assert made == [] and stack.engine.resources() == state
        stack.engine.configure(now)
        return
    hold(outcome)
    stack.environment, stack.values = then, stack.values | values
    assert astray(state, outcome) == []
    assert kinds(outcome) == set().union(*(case.does for case in group.cases))
    followed = [warning for warning in outcome.warnings if "to follow: " in warning]
    assert len(followed) == group.follows
    deployed = any("deployModel" in what for what in made)
    for case in group.cases:
        assert case.there(stack), case.setting
        anew = any(step.startswith("replace") for step in case.does)
        anew |= deployed and "update ModelRollout" in case.does
        how = "replaced without an outage" if anew else "in place"
        yield f"{case.setting:22}{how}: {', '.join(sorted(case.does)) or 'nothing to do'}"


def declared() -> set[str]:
    """Settings of an environment; `settingsFrom` says where they are (test_settings.py)."""
    config = yaml.safe_load((ROOT / "Pulumi.yaml").read_text())["config"]
    return set(config) - {"settingsFrom"}


def test_every_setting_of_the_program_is_changed_here() -> None:
    assert {case.setting for group in CHANGES for case in group.cases} == declared()


def test_the_docs_say_of_every_setting_what_is_tried_here() -> None:
    page = (ROOT / "docs" / "how-to" / "change-a-setting.md").read_text()
    rows = re.findall(r"(?m)^\| `(\w+)` \| (.*?) \|(.*)\|$", page)
    cases = [case for group in CHANGES for case in group.cases]
    for setting, changed, refused in rows:
        does = [case.does for case in cases if case.setting == setting]
        assert bool(refused.strip()) == any(isinstance(done, str) for done in does), setting
        assert changed.startswith("never") == all(isinstance(done, str) for done in does), setting
    assert sorted(setting for setting, *_ in rows) == sorted(declared())


@pytest.mark.sweep
def test_each_setting_changes_without_an_outage_or_is_refused_beforehand(
    tmp_path: Path, show: Callable[[str], None]
) -> None:
    with running(tmp_path, **START) as stack:
        lines = [line for group in CHANGES for line in change(stack, group)]
        again = stack.up_unasked()
    assert (again.ok, again.touched) == (True, [])
    show(f"{len(declared())} settings, each changed on a stack that runs; {len(lines)} changes:")
    for line in sorted(lines):
        show(line)


@pytest.mark.sweep
def test_an_endpoint_for_networks_alone_takes_the_place_of_a_public_one(tmp_path: Path) -> None:
    public = {"sensors": [], "drift": {}, "alerts": {}, "privateProjects": []}
    with running(tmp_path, **public) as stack:
        values = {"privateProjects": ["plant-a"], "endpointId": "shuttle-private"}
        then = stack.with_values(values)
        stack.engine.configure(then)
        outcome = stack.up()
        hold(outcome)
        stack.environment, stack.values = then, stack.values | values
        assert {"replace AiEndpoint", "replace ModelRollout"} <= kinds(outcome)
        private = stack.endpoint()["privateServiceConnectConfig"]
        assert private["projectAllowlist"] == ["iot-staging", "plant-a"]
        [rollout] = [it for it in stack.engine.resources() if it["type"] == MODEL_ROLLOUT]
        attached = {it["privateEndpoints"]["serviceAttachment"] for it in stack.deployed()}
        assert rollout["outputs"]["serviceAttachments"] == sorted(attached)
        for refresh in (False, True):
            assert stack.up(refresh=refresh).touched == []
        account, host, name = route(stack.settings)
        with pytest.raises(GoogleError, match="cannot be accessed through a public domain"):
            stack.sandbox.google(account).call(
                "POST", f"https://{host}/v1/{name}:predict", {"instances": [[0] * 9]}
            )
