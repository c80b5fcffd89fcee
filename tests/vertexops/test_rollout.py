"""ModelRollout against Vertex AI in memory: what it asks for, and what is on the endpoint then."""

from __future__ import annotations

from typing import Any

import pytest

from pulumi_plugin.kinds import Change, Context, PartialFailure, ProviderError
from pulumi_plugin.values import UNKNOWN
from tests.vertexops import fakes
from tests.vertexops.fakes import OPERATION_SECONDS
from vertexops.deployed import deployed_model_id
from vertexops.errors import GoogleError
from vertexops.rollout import ModelRollout
from vertexops.schema import CPU_UTILIZATION, DUTY_CYCLE, REQUEST_COUNT
from vertexops.waiting import ATTEMPTS

E = "projects/p/locations/us-central1/endpoints/7"
M = "projects/p/locations/us-central1/models/pump"
QUOTA = "CustomModelServingCPUsPerProjectPerRegion"
QUEUE = "pubsub.googleapis.com/subscription/num_undelivered_messages"


def model(version: int, traffic: int = 100, **more: Any) -> dict[str, Any]:
    return {"model": f"{M}@{version}", "traffic": traffic, "machineType": "n1-standard-2", **more}


def rollout(*models: dict[str, Any]) -> dict[str, Any]:
    return {"endpoint": E, "models": list(models)}


class World(fakes.World):
    def __init__(self) -> None:
        super().__init__(ModelRollout)
        self.vertex.add_endpoint(E)

    def up(self, inputs: dict[str, Any], old: dict[str, Any] | None = None) -> dict[str, Any]:
        """Create, or update from `old`; the calls it made are in `asked`."""
        self.vertex.calls.clear()
        if old is None:
            _, outputs = self.kind.create(inputs, self.context)
        else:
            outputs = self.kind.update(E, old, {}, inputs, self.context)
        return outputs

    @property
    def split(self) -> dict[str, int]:
        there = self.vertex.endpoints[E]
        return {
            f"{m['model']}@{m['modelVersionId']}"[-1]: there["split"].get(id, 0)
            for id, m in there["models"].items()
        }


@pytest.fixture
def world() -> World:
    return World()


def test_what_a_network_is_pointed_at_is_an_output_of_a_private_endpoint(world: World) -> None:
    outputs = world.up(rollout(model(1, 90), model(2, 10)))
    assert "serviceAttachments" not in outputs
    for deployed in world.vertex.endpoints[E]["models"].values():
        deployed["privateEndpoints"] = {"serviceAttachment": "projects/t/…/gkedpm-1"}
    found = world.kind.read(E, rollout(model(1, 90), model(2, 10)), outputs, world.context)
    assert found is not None and found.outputs["serviceAttachments"] == ["projects/t/…/gkedpm-1"]
    again = world.up(rollout(model(1, 80), model(2, 20)), rollout(model(1, 90), model(2, 10)))
    assert again["serviceAttachments"] == ["projects/t/…/gkedpm-1"]


def test_first_rollout_deploys_then_moves_the_traffic(world: World) -> None:
    outputs = world.up(rollout(model(1)))
    assert world.asked == ["deploy", "set_traffic"]
    assert world.split == {"1": 100}
    [deployed] = outputs["deployedModels"]
    assert deployed["model"] == f"{M}@1"
    assert outputs["trafficSplit"] == {deployed["id"]: 100}


def test_next_version_takes_over_before_the_old_one_leaves(world: World) -> None:
    world.up(rollout(model(1)))
    world.up(rollout(model(2)), rollout(model(1)))
    assert world.asked == ["deploy", "set_traffic", "undeploy"]
    assert world.split == {"2": 100}


def test_a_canary_leaves_the_present_model_where_it_is(world: World) -> None:
    world.up(rollout(model(1)))
    world.up(rollout(model(1, 90), model(2, 10)), rollout(model(1)))
    assert world.asked == ["deploy", "set_traffic"]
    assert world.split == {"1": 90, "2": 10}


def test_traffic_does_not_move_while_the_new_model_is_being_deployed(world: World) -> None:
    world.up(rollout(model(1)))
    during: list[dict[str, int]] = []
    world.clock.at.append((world.clock.time + 1, lambda: during.append(world.split)))
    world.up(rollout(model(2)), rollout(model(1)))
    assert during == [{"1": 100}]


def test_replicas_and_logging_change_in_place(world: World) -> None:
    old = rollout(model(1))
    world.up(old)
    changed = {"minReplicas": 2, "requiredReplicas": 1, "disableContainerLogging": True}
    new = rollout(model(1, **changed, autoscaling={CPU_UTILIZATION: 80, REQUEST_COUNT: 600}))
    outputs = world.up(new, old)
    [(method, _, mask)] = world.vertex.calls
    assert method == "mutate"
    assert mask.split(",") == [
        "dedicatedResources.minReplicaCount",
        "dedicatedResources.maxReplicaCount",
        "dedicatedResources.requiredReplicaCount",
        "dedicatedResources.autoscalingMetricSpecs",
        "disableContainerLogging",
    ]
    assert outputs["deployedModels"][0]["maxReplicas"] == 2
    targets = outputs["deployedModels"][0]["autoscaling"]
    assert targets == {CPU_UTILIZATION: 80, REQUEST_COUNT: 600}
    [there] = world.vertex.endpoints[E]["models"].values()
    assert there["dedicatedResources"]["autoscalingMetricSpecs"] == [
        {"metricName": CPU_UTILIZATION, "target": 80},
        {"metricName": REQUEST_COUNT, "target": 600},
    ]


def test_without_a_target_googles_own_is_sent(world: World) -> None:
    world.up(rollout(model(1)))
    [there] = world.vertex.endpoints[E]["models"].values()
    assert there["dedicatedResources"]["autoscalingMetricSpecs"] == [
        {"metricName": CPU_UTILIZATION, "target": 60}
    ]


@pytest.mark.parametrize(
    "changed",
    [
        {"machineType": "n1-standard-4"},
        {"serviceAccount": "serving@p.iam.gserviceaccount.com"},
        {"displayName": "new"},
        {"acceleratorType": "NVIDIA_L4", "acceleratorCount": 1},
        {"spot": True},
        {"enableAccessLogging": True},
    ],
)
def test_what_cannot_change_in_place_is_deployed_anew(world: World, changed: Any) -> None:
    world.up(rollout(model(1)))
    world.up(rollout(model(1) | changed), rollout(model(1)))
    assert world.asked == ["deploy", "set_traffic", "undeploy"]


def test_nothing_to_do_sends_nothing(world: World) -> None:
    world.up(rollout(model(1)))
    world.up(rollout(model(1)), rollout(model(1)))
    assert world.asked == []


def test_a_run_after_a_crash_finds_what_the_first_one_deployed(world: World) -> None:
    world.vertex.fail["set_traffic"] = [GoogleError(400, "", "killed here")]
    with pytest.raises(PartialFailure):
        world.up(rollout(model(1)))
    world.up(rollout(model(1)))
    assert world.asked == ["set_traffic"]


def test_a_run_after_a_crash_waits_for_the_deployment_that_still_runs(world: World) -> None:
    id = deployed_model_id(E, model(1))
    world.vertex.deploy(
        E,
        {
            "id": id,
            "model": f"{M}@1",
            "dedicatedResources": {
                "machineSpec": {"machineType": "n1-standard-2"},
                "minReplicaCount": 1,
                "maxReplicaCount": 1,
            },
        },
    )
    outputs = world.up(rollout(model(1)))
    assert set(world.asked) == {"deploy", "set_traffic"}
    assert len(world.vertex.operations) == 1
    assert outputs["trafficSplit"] == {id: 100}
    assert world.clock.time >= OPERATION_SECONDS


def test_a_failed_second_deployment_keeps_the_first_and_the_traffic(world: World) -> None:
    world.up(rollout(model(1)))
    world.vertex.broken[f"{M}@3"] = {"code": 7, "message": "no access to the artifact"}
    with pytest.raises(PartialFailure) as failure:
        world.up(rollout(model(2, 50), model(3, 50)), rollout(model(1)))
    assert str(failure.value) == f"deploying {M}@3 on {E}: no access to the artifact"
    assert world.split == {"1": 100, "2": 0}
    assert [m["model"] for m in failure.value.inputs["models"]] == [f"{M}@2", f"{M}@1"]
    world.vertex.broken.clear()
    world.up(rollout(model(2, 50), model(3, 50)), failure.value.inputs)
    assert world.asked == ["deploy", "set_traffic", "undeploy"]
    assert world.split == {"2": 50, "3": 50}


def test_what_an_earlier_run_deployed_is_in_the_state_even_if_this_run_fails_too(
    world: World,
) -> None:
    world.vertex.broken[f"{M}@2"] = {"code": 3, "message": "bad artifact"}
    for _ in range(2):
        with pytest.raises(PartialFailure) as failure:
            world.up(rollout(model(1, 50), model(2, 50)))
        assert [m["model"] for m in failure.value.outputs["deployedModels"]] == [f"{M}@1"]


def test_a_deployment_that_fails_for_a_moment_is_started_again(world: World) -> None:
    world.vertex.broken[f"{M}@1"] = {"code": 14, "message": "The service is unavailable."}
    world.clock.at.append((1.05 * OPERATION_SECONDS, world.vertex.broken.clear))
    world.up(rollout(model(1)))
    assert world.asked == ["deploy", "deploy", "set_traffic"]
    assert world.split == {"1": 100}


def test_a_deployment_that_keeps_failing_ends_with_googles_text(world: World) -> None:
    world.vertex.broken[f"{M}@1"] = {"code": 13, "message": "Internal error encountered."}
    with pytest.raises(ProviderError, match="Internal error encountered"):
        world.up(rollout(model(1)))
    assert world.asked == ["deploy"] * ATTEMPTS


def test_each_operation_is_looked_at_often_when_it_starts(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.vertexops.fakes.OPERATION_SECONDS", 1.0)
    old = rollout(model(1, 50), model(2, 50))
    world.up(old)
    world.up(rollout(model(3, 50), model(4, 50)), old)
    assert world.clock.time < 8


def test_a_first_deployment_that_fails_leaves_nothing_in_the_state(world: World) -> None:
    world.vertex.broken[f"{M}@1"] = {"code": 7, "message": "denied"}
    with pytest.raises(ProviderError) as failure:
        world.up(rollout(model(1)))
    assert not isinstance(failure.value, PartialFailure)


def test_quota_says_what_was_asked_and_keeps_googles_text(world: World) -> None:
    world.vertex.quota = 4
    with pytest.raises(ProviderError) as failure:
        world.up(rollout(model(1, machineType="n1-standard-4", maxReplicas=3)))
    said, google = str(failure.value).split("\n")
    assert f"quota {QUOTA} does not allow 3 replicas of n1-standard-4: lower maxReplicas" in said
    assert google.startswith(f"The following quotas are exceeded: {QUOTA} 12")
    assert world.asked == ["deploy"]


def test_quota_says_what_runs_beside_what_is_asked_for(world: World) -> None:
    world.up(rollout(model(1, maxReplicas=2)))
    world.vertex.quota = 4
    gpus = {"acceleratorType": "NVIDIA_TESLA_T4", "acceleratorCount": 2}
    with pytest.raises(ProviderError) as failure:
        world.up(rollout(model(2, machineType="n1-standard-4", maxReplicas=3, **gpus)))
    wanted = "3 replicas of n1-standard-4 with 2 NVIDIA_TESLA_T4 each, beside 4 CPUs that are there"
    assert f"quota {QUOTA} does not allow {wanted}: lower maxReplicas" in str(failure.value)


def test_before_a_rollout_starts_it_is_said_what_runs_beside_what(world: World) -> None:
    shown: list[str] = []
    world.context = Context(show=shown.append)
    gpus = {"acceleratorType": "NVIDIA_TESLA_T4", "acceleratorCount": 4, "maxReplicas": 2}
    world.up(rollout(model(1)))
    world.up(rollout(model(2, **gpus)))
    each = "for every project in us-central1"
    assert (
        f"until traffic has moved: 4 CPUs beside 2 that are there, 2200 {each}; "
        f"8 NVIDIA_TESLA_T4 beside 0 that are there, 12 {each}"
    ) in shown


@pytest.mark.parametrize(
    ("machine", "type", "count", "at", "said"),
    [
        ("g2-standard-8", "NVIDIA_L4", 8, "Type", "g2-standard-8 comes with 1 NVIDIA_L4"),
        ("n1-standard-2", "NVIDIA_L4", 1, "Type", "n1-standard-2 does not take 1 NVIDIA_L4"),
        ("n1-standard-2", "NVIDIA_TESLA_T4", 0, "Count", "has to be said of NVIDIA_TESLA_T4"),
        ("n1-standard-2", "", 1, "Count", "is for models with an acceleratorType"),
    ],
)
def test_accelerators_have_to_fit_the_machine(
    world: World, machine: str, type: str, count: int, at: str, said: str
) -> None:
    given = {"acceleratorType": type} if type else {}
    given |= {"acceleratorCount": count} if count else {}
    ((where, found),) = world.failures(rollout(model(1, machineType=machine, **given))).items()
    assert where == f"models[0].accelerator{at}" and said in found


def test_what_nobody_says_is_scaled_by_the_use_of_accelerators_too(world: World) -> None:
    world.up(rollout(model(1, machineType="g2-standard-4")))
    (there,) = world.vertex.endpoint(E)["deployedModels"]
    specs = there["dedicatedResources"]["autoscalingMetricSpecs"]
    assert {spec["metricName"].rpartition("/")[2]: spec["target"] for spec in specs} == {
        "utilization": 60,
        "duty_cycle": 60,
    }


def test_a_denial_names_permission_resource_and_identity(world: World) -> None:
    text = (
        f"Permission 'aiplatform.endpoints.deploy' denied on resource "
        f"'//aiplatform.googleapis.com/{E}' (or it may not exist)."
    )
    world.vertex.fail["deploy"] = [GoogleError(403, "PERMISSION_DENIED", text)]
    with pytest.raises(ProviderError) as failure:
        world.up(rollout(model(1)))
    said, google = str(failure.value).split("\n")
    assert f"needs aiplatform.endpoints.deploy on {E}, which deployer@p." in said
    assert google == text


def test_an_act_as_denial_names_the_account(world: World) -> None:
    text = (
        "You do not have permission to act as service_account: "
        "serving@p.iam.gserviceaccount.com. (or it may not exist)."
    )
    world.vertex.fail["deploy"] = [GoogleError(400, "INVALID_ARGUMENT", text)]
    with pytest.raises(ProviderError) as failure:
        world.up(rollout(model(1)))
    said, google = str(failure.value).split("\n")
    account = "projects/-/serviceAccounts/serving@p.iam.gserviceaccount.com,"
    assert f"needs iam.serviceAccounts.actAs on {account}" in said
    assert google == text


def test_transient_errors_are_tried_again(world: World) -> None:
    world.vertex.fail["deploy"] = [GoogleError(503, "UNAVAILABLE", "later"), GoogleError(0, "", "")]
    world.vertex.fail["endpoint"] = [GoogleError(500, "INTERNAL", "oops")]
    world.up(rollout(model(1)))
    assert world.asked == ["deploy", "deploy", "deploy", "set_traffic"]


def test_a_deadline_keeps_what_runs_and_the_destroy_waits_for_it(world: World) -> None:
    with pytest.raises(PartialFailure, match="not done after 200 s") as failure:
        world.up(rollout(model(1)) | {"deadlineSeconds": 200})
    left = failure.value
    assert left.outputs["deployedModels"] == []
    refreshed = world.kind.read(E, left.inputs, left.outputs, Context())
    assert refreshed is not None and refreshed.outputs == left.outputs
    assert 200 <= world.clock.time < 220
    world.kind.delete(E, left.inputs | {"deadlineSeconds": 900}, left.outputs, Context())
    assert world.asked == ["deploy", "undeploy"]
    assert world.vertex.endpoints[E] == {"models": {}, "pending": set(), "split": {}}


def test_cancelling_stops_the_wait_and_keeps_what_runs(world: World) -> None:
    world.clock.at.append((20, world.context.cancelled.set))
    with pytest.raises(PartialFailure, match=r"cancelled. The operation operations/1 goes on"):
        world.up(rollout(model(1)))
    assert world.clock.time < 40


def test_custom_timeouts_take_the_place_of_the_deadline(world: World) -> None:
    world.context = Context(timeout=30)
    with pytest.raises(PartialFailure, match="not done after 30 s"):
        world.up(rollout(model(1)))


def test_read_gives_back_the_programs_inputs(world: World) -> None:
    inputs = rollout(model(2, 30, minReplicas=2, displayName="x"), model(1, 70))
    outputs = world.up(inputs)
    read = world.kind.read(E, inputs, outputs, world.context)
    assert read is not None
    assert read.inputs == inputs
    assert read.outputs == outputs
    assert [m["model"] for m in outputs["deployedModels"]] == [f"{M}@2", f"{M}@1"]


def test_a_program_that_names_the_defaults_reads_the_same(world: World) -> None:
    inputs = rollout(
        model(
            1,
            minReplicas=1,
            maxReplicas=1,
            autoscaling={CPU_UTILIZATION: 60},
            disableContainerLogging=False,
        )
    )
    read = world.kind.read(E, inputs, world.up(inputs), world.context)
    assert read is not None and read.inputs == inputs


def test_answers_with_the_project_number_are_no_drift(world: World) -> None:
    inputs = rollout(model(1))
    outputs = world.up(inputs)
    for there in world.vertex.endpoints[E]["models"].values():
        there["model"] = there["model"].replace("projects/p/", "projects/123456/")
    read = world.kind.read(E, inputs, outputs, world.context)
    assert read is not None and read.inputs == inputs
    world.up(inputs, inputs)
    assert world.asked == []


def test_a_model_of_anyone_else_is_drift_and_is_named_or_goes(world: World) -> None:
    inputs = rollout(model(1))
    outputs = world.up(inputs)
    [ours] = world.vertex.endpoints[E]["models"].values()
    foreign = ours | {"id": "42", "modelVersionId": "9", "displayName": "by hand"}
    world.vertex.endpoints[E]["models"]["42"] = foreign
    world.vertex.endpoints[E]["split"] = {ours["id"]: 80, "42": 20}
    read = world.kind.read(E, inputs, outputs, world.context)
    assert read is not None
    assert read.inputs["models"][0]["traffic"] == 80
    assert read.inputs["models"][1] == model(9, 20, displayName="by hand")
    assert world.kind.diff(E, read.inputs, read.outputs, inputs).updates == ("models",)
    with pytest.raises(ProviderError) as refused:
        world.up(inputs, read.inputs)
    assert world.asked == []
    said = str(refused.value)
    assert f"'by hand', DeployedModel 42 of {M}@9:" in said
    assert "Nothing was changed on the endpoint" in said
    assert said.endswith(f"--deployed-model-id=42 --traffic-split={ours['id']}=100")
    world.up(inputs | {"adoptForeign": True}, read.inputs)
    assert world.vertex.calls == [("set_traffic", {ours["id"]: 100}), ("undeploy", "42")]


def test_of_two_equal_deployments_our_own_is_kept(world: World) -> None:
    inputs = rollout(model(1))
    outputs = world.up(inputs)
    [(own, there)] = world.vertex.endpoints[E]["models"].items()
    world.vertex.endpoints[E]["models"] = {"42": there | {"id": "42"}, own: there}
    world.up(inputs | {"adoptForeign": True}, inputs)
    assert world.vertex.calls == [("undeploy", "42")]
    assert world.up(inputs, inputs)["deployedModels"] == outputs["deployedModels"]


def test_replicas_changed_outside_are_drift(world: World) -> None:
    inputs = rollout(model(1))
    outputs = world.up(inputs)
    [there] = world.vertex.endpoints[E]["models"].values()
    there["dedicatedResources"]["maxReplicaCount"] = 5
    read = world.kind.read(E, inputs, outputs, world.context)
    assert read is not None
    change = world.kind.diff(E, read.inputs, read.outputs, inputs)
    assert change.updates == ("models[0].maxReplicas",)
    world.up(inputs, read.inputs)
    assert there["dedicatedResources"]["maxReplicaCount"] == 1


@pytest.mark.parametrize(
    ("spec", "key"),
    [
        ({"metricName": REQUEST_COUNT, "target": 600}, REQUEST_COUNT),
        (
            {
                "metricName": QUEUE,
                "target": 9,
                "monitoredResourceLabels": {"subscription_id": "s", "project_id": "q"},
            },
            f'{QUEUE}{{project_id="q",subscription_id="s"}}',
        ),
    ],
)
def test_a_metric_that_somebody_added_is_drift_and_goes(world: World, spec: Any, key: str) -> None:
    inputs = rollout(model(1, autoscaling={CPU_UTILIZATION: 70}))
    outputs = world.up(inputs)
    [there] = world.vertex.endpoints[E]["models"].values()
    there["dedicatedResources"]["autoscalingMetricSpecs"].append(spec)
    read = world.kind.read(E, inputs, outputs, world.context)
    assert read is not None
    assert read.inputs["models"][0]["autoscaling"] == {CPU_UTILIZATION: 70, key: spec["target"]}
    change = world.kind.diff(E, read.inputs, read.outputs, inputs)
    assert change.updates == ("models[0].autoscaling",)
    world.up(inputs, read.inputs)
    assert [call[2] for call in world.vertex.calls] == ["dedicatedResources.autoscalingMetricSpecs"]
    assert there["dedicatedResources"]["autoscalingMetricSpecs"] == [
        {"metricName": CPU_UTILIZATION, "target": 70}
    ]


MACHINE = {"machineType": "n1-standard-2"}


@pytest.mark.parametrize(
    ("found", "shown"),
    [
        (
            {
                "dedicatedResources": {
                    "machineSpec": MACHINE
                    | {"acceleratorType": "NVIDIA_TESLA_T4", "acceleratorCount": 1},
                    "minReplicaCount": 1,
                }
            },
            {"acceleratorType": "NVIDIA_TESLA_T4", "acceleratorCount": 1},
        ),
        (
            {"dedicatedResources": {"machineSpec": MACHINE, "minReplicaCount": 1, "spot": True}},
            {"spot": True},
        ),
        ({"enableAccessLogging": True}, {"enableAccessLogging": True}),
        ({"disableExplanations": True}, {"disableExplanations": True}),
        (
            {"dedicatedResources": {}, "sharedResources": "projects/p/pools/x"},
            {"sharedResources": "projects/p/pools/x", "machineType": ""},
        ),
        (
            {"dedicatedResources": {}, "automaticResources": {"minReplicaCount": 2}},
            {"automaticResources": '{"minReplicaCount": 2}', "machineType": ""},
        ),
    ],
)
def test_what_nobody_declared_is_no_deployment_of_ours(
    world: World, found: Any, shown: Any
) -> None:
    """Not even under an id of ours, which then another one takes the place of."""
    inputs = rollout(model(1))
    outputs = world.up(inputs)
    [there] = world.vertex.endpoints[E]["models"].values()
    there |= found
    read = world.kind.read(E, inputs, outputs, world.context)
    assert read is not None
    [other] = read.inputs["models"]
    assert other | shown == other
    assert world.kind.diff(E, read.inputs, read.outputs, inputs).updates != ()
    new = world.up(inputs, read.inputs)
    assert world.asked == ["deploy", "set_traffic", "undeploy"]
    assert world.split == {"1": 100}
    again = world.kind.read(E, inputs, new, world.context)
    assert again is not None and again.inputs == inputs


@pytest.mark.parametrize(("id", "deploys"), [("42", True), ("", False)])
def test_what_a_model_explains_itself_by_is_inherited_by_our_own_deployment(
    world: World, id: str, deploys: bool
) -> None:
    inputs = rollout(model(1))
    world.up(inputs)
    [(own, there)] = world.vertex.endpoints[E]["models"].items()
    explained = there | {"explanationSpec": {"parameters": {"topK": 1}}, "id": id or own}
    world.vertex.endpoints[E].update(models={id or own: explained}, split={id or own: 100})
    world.up(inputs | {"adoptForeign": True}, inputs)
    assert ("deploy" in world.asked) == deploys


def test_machines_that_come_with_accelerators_may_name_them(world: World) -> None:
    inputs = rollout(model(1, machineType="g2-standard-4"))
    outputs = world.up(inputs)
    [there] = world.vertex.endpoints[E]["models"].values()
    there["dedicatedResources"]["machineSpec"] |= {"acceleratorType": "NVIDIA_L4"}
    read = world.kind.read(E, inputs, outputs, world.context)
    assert read is not None and read.inputs == inputs


def test_undeployed_outside_is_drift_and_comes_back(world: World) -> None:
    inputs = rollout(model(1))
    outputs = world.up(inputs)
    world.vertex.endpoints[E].update(models={}, split={})
    read = world.kind.read(E, inputs, outputs, world.context)
    assert read is not None and read.inputs["models"] == []
    world.up(inputs, read.inputs)
    assert world.split == {"1": 100}


def test_an_imported_deployment_is_kept_under_its_own_id(world: World) -> None:
    world.up(rollout(model(1)))
    [there] = world.vertex.endpoints[E]["models"].values()
    numbered = there | {"id": "42", "model": M.replace("/p/", "/123456/")}
    world.vertex.endpoints[E].update(models={"42": numbered}, split={"42": 100}, number="123456")
    imported = world.kind.read(E, {}, {}, world.context)
    assert imported is not None
    assert imported.inputs == rollout(model(1, displayName="given by Google"))
    world.up(rollout(model(1)), imported.inputs)
    assert world.asked == []


def test_an_endpoint_that_is_gone_or_empty_cannot_be_imported(world: World) -> None:
    assert world.kind.read(E, {}, {}, world.context) is None
    world.vertex.endpoints.clear()
    assert world.kind.read(E, rollout(model(1)), {}, world.context) is None


def test_delete_takes_the_traffic_then_the_models(world: World) -> None:
    inputs = rollout(model(1), model(2, 0))
    outputs = world.up(inputs)
    world.vertex.calls.clear()
    world.kind.delete(E, inputs, outputs, world.context)
    assert world.asked == ["set_traffic", "undeploy", "undeploy"]
    assert world.vertex.endpoints[E]["models"] == {}


def deployed_by_hand(world: World, **split: int) -> str:
    """Somebody deploys model 42; the id of ours."""
    [(ours, there)] = world.vertex.endpoints[E]["models"].items()
    by_hand = there | {"id": "42", "displayName": "by hand", "modelVersionId": "9"}
    world.vertex.endpoints[E]["models"]["42"] = by_hand
    world.vertex.endpoints[E]["split"] = {ours: 100} | split
    world.vertex.calls.clear()
    return ours


def test_delete_names_a_model_of_anyone_else_and_takes_nothing_off(world: World) -> None:
    inputs = rollout(model(1))
    outputs = world.up(inputs)
    deployed_by_hand(world)
    with pytest.raises(ProviderError) as refused:
        world.kind.delete(E, inputs, outputs, world.context)
    assert world.asked == []
    said = str(refused.value)
    assert f"'by hand', DeployedModel 42 of {M}@9:" in said
    assert said.endswith(
        "gcloud ai endpoints undeploy-model 7 --project=p --region=us-central1 "
        "--deployed-model-id=42"
    )


def test_the_traffic_of_anyone_elses_model_goes_to_ours(world: World) -> None:
    inputs = rollout(model(1))
    outputs = world.up(inputs)
    ours = deployed_by_hand(world, **{"42": 60})
    world.vertex.endpoints[E]["split"][ours] = 40
    with pytest.raises(ProviderError, match=f"--traffic-split={ours}=100$"):
        world.kind.delete(E, inputs, outputs, world.context)


def test_a_refresh_makes_nobody_elses_model_ours(world: World) -> None:
    inputs = rollout(model(1))
    outputs = world.up(inputs)
    deployed_by_hand(world)
    for _ in range(2):
        read = world.kind.read(E, inputs, outputs, world.context)
        assert read is not None
        inputs, outputs = read.inputs, read.outputs
    assert outputs["foreignModels"] == ["42"]
    with pytest.raises(ProviderError, match="DeployedModel 42"):
        world.kind.delete(E, inputs, outputs, world.context)


def test_a_rollout_that_stops_half_way_makes_nobody_elses_model_ours(world: World) -> None:
    inputs = rollout(model(1))
    outputs = world.up(inputs)
    deployed_by_hand(world)
    world.vertex.fail["set_traffic"] = [GoogleError(403, "PERMISSION_DENIED", "no")]
    with pytest.raises(PartialFailure) as stopped:
        wanted = rollout(model(2)) | {"adoptForeign": True}
        world.kind.update(E, inputs, outputs, wanted, world.context)
    assert stopped.value.outputs["foreignModels"] == ["42"]


def test_the_first_up_takes_over_nobody_elses_model(world: World) -> None:
    """What is deployed as declared becomes ours, and what a run before it left behind."""
    world.up(rollout(model(1)))
    deployed_by_hand(world)
    with pytest.raises(ProviderError, match="DeployedModel 42") as refused:
        world.up(rollout(model(2)))
    assert world.asked == []
    assert refused.value.args[0].count("gcloud") == 1
    world.up(rollout(model(2)) | {"adoptForeign": True})
    gone = {call[1] for call in world.vertex.calls if call[0] == "undeploy"}
    assert "42" in gone and len(gone) == 2


def test_delete_takes_along_what_it_may_adopt(world: World) -> None:
    inputs = rollout(model(1)) | {"adoptForeign": True}
    outputs = world.up(inputs)
    deployed_by_hand(world)
    world.kind.delete(E, inputs, outputs, world.context)
    assert world.vertex.endpoints[E]["models"] == {}


def test_an_imported_rollout_owns_all_that_was_there(world: World) -> None:
    world.up(rollout(model(1)))
    deployed_by_hand(world, **{"42": 0})
    imported = world.kind.read(E, {}, {}, world.context)
    assert imported is not None
    world.kind.delete(E, imported.inputs, imported.outputs, world.context)
    assert world.vertex.endpoints[E]["models"] == {}


def test_delete_of_an_endpoint_that_is_gone_is_fine(world: World) -> None:
    outputs = world.up(rollout(model(1)))
    world.vertex.endpoints.clear()
    world.kind.delete(E, rollout(model(1)), outputs, world.context)


def test_delete_goes_on_when_one_model_is_gone_meanwhile(world: World) -> None:
    inputs = rollout(model(1, 50), model(2, 50))
    outputs = world.up(inputs)
    world.vertex.fail["undeploy"] = [GoogleError(404, "NOT_FOUND", "gone meanwhile")]
    world.kind.delete(E, inputs, outputs, world.context)
    assert world.asked.count("undeploy") == 2
    assert len(world.vertex.endpoints[E]["models"]) == 1


def test_delete_does_not_mind_how_an_earlier_operation_ended(world: World) -> None:
    world.vertex.broken[f"{M}@1"] = {"code": 13, "message": "internal"}
    inputs = rollout(model(1)) | {"deadlineSeconds": 200}
    with pytest.raises(PartialFailure) as failure:
        world.up(inputs)
    world.kind.delete(E, failure.value.inputs, failure.value.outputs, world.context)
    assert world.asked == ["deploy"]


def test_ids_are_what_the_api_allows() -> None:
    ids = {deployed_model_id(E, model(version)) for version in range(500)}
    assert len(ids) == 500
    assert all(id.isdigit() and len(id) == 10 and id[0] != "0" for id in ids)


def test_everything_wrong_is_said_at_once(world: World) -> None:
    inputs = {
        "endpoint": "endpoints/7",
        "deadlineSeconds": 0,
        "models": [
            model(1, 101, minReplicas=3, maxReplicas=2, serviceAccount="me@example.com"),
            model(1, 5, autoscaling={CPU_UTILIZATION: 0, REQUEST_COUNT: 0, DUTY_CYCLE: 50, "x": 1}),
            {"model": f"{M}@prod", "machineType": "n1-standard-2", "replicas": 1},
        ],
    }
    assert world.failures(inputs).keys() == {
        "endpoint",
        "deadlineSeconds",
        "models[0].traffic",
        "models[0].maxReplicas",
        "models[0].serviceAccount",
        "models[1].model",
        *(
            f"models[1].autoscaling.{metric}"
            for metric in (CPU_UTILIZATION, REQUEST_COUNT, DUTY_CYCLE, "x")
        ),
        "models[2].model",
        "models[2].traffic",
        "models[2].replicas",
    }


def test_traffic_has_to_add_up(world: World) -> None:
    assert world.failures(rollout(model(1, 50), model(2, 49))) == {
        "models": "have 99 % of the traffic, not 100"
    }
    assert world.failures(rollout()) == {"models": "have 0 % of the traffic, not 100"}


def test_another_region_is_refused_with_the_reason(world: World) -> None:
    elsewhere = model(1) | {"model": "projects/q/locations/europe-west4/models/pump@1"}
    [(at, said)] = world.failures(rollout(elsewhere)).items()
    assert at == "models[0].model"
    assert said.startswith("is in europe-west4, the endpoint in us-central1: register the model in")


def test_unknown_values_pass_the_check(world: World) -> None:
    assert world.failures({"endpoint": UNKNOWN, "models": UNKNOWN}) == {}
    assert world.failures(rollout(model(1) | {"model": UNKNOWN})) == {}
    assert world.failures(rollout(model(1, 50), model(2) | {"traffic": UNKNOWN})) == {}
    assert world.failures({"endpoint": E, "models": [UNKNOWN, model(1, 50)]}) == {}
    assert world.failures(rollout(model(1, 50) | {"model": UNKNOWN})) != {}


def test_diff_names_what_differs(world: World) -> None:
    old = rollout(model(1, 50), model(2, 50))

    def diff(new: dict[str, Any]) -> Change:
        return world.kind.diff(E, old, {}, new)

    assert diff(old).updates == diff(old).replaces == ()
    assert diff(old).stables == ("endpoint",)
    assert diff(rollout(model(1, 50, minReplicas=1), model(2, 50, maxReplicas=1))).updates == ()
    named = rollout(model(1, 50, displayName="x"), model(2, 50))
    assert diff(named).updates == ("models[0].displayName",)
    assert world.kind.diff(E, named, {}, old).updates == ()
    assert diff(rollout(model(2, 50), model(1, 50))).updates == ()
    assert diff(old | {"deadlineSeconds": 5}).updates == ()
    assert diff(rollout(model(1, 60), model(2, 40))).updates == (
        "models[0].traffic",
        "models[1].traffic",
    )
    assert diff(rollout(model(1, 50), model(3, 50))).updates == ("models[1].model",)
    assert diff(rollout(model(1))).updates == ("models",)
    assert diff(old | {"models": UNKNOWN}).updates == ("models",)
    unknown = rollout(model(1, 50), model(2, 50) | {"model": UNKNOWN})
    assert diff(unknown).updates == ("models[1].model",)
    assert diff(old | {"endpoint": UNKNOWN}).replaces == ("endpoint",)


def test_a_preview_does_not_know_what_will_be_deployed(world: World) -> None:
    outputs = world.kind.preview(rollout(model(1)), None)
    assert outputs["endpoint"] == E
    assert outputs["deployedModels"] is UNKNOWN and outputs["trafficSplit"] is UNKNOWN
