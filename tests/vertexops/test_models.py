"""RegisteredModel against a registry in memory."""

from __future__ import annotations

from typing import Any

import pytest

from pulumi_plugin.kinds import Context, ProviderError
from pulumi_plugin.values import UNKNOWN
from tests.vertexops import fakes
from vertexops.errors import GoogleError
from vertexops.models import RegisteredModel, content_alias
from vertexops.waiting import ATTEMPTS

PARENT = "projects/p/locations/us-central1/models/pump"
INPUTS = {
    "project": "p",
    "location": "us-central1",
    "modelId": "pump",
    "displayName": "Pump failures",
    "artifactUri": "gs://artifacts/pump",
    "artifactHash": "a" * 64,
    "containerImageUri": "us-docker.pkg.dev/vertex-ai/prediction/sklearn-cpu.1-5:latest",
}
NEXT = INPUTS | {"artifactHash": "b" * 64}


class World(fakes.World):
    def __init__(self) -> None:
        super().__init__(RegisteredModel)

    def create(self, inputs: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        self.vertex.calls.clear()
        return self.kind.create(inputs, self.context)

    def read(self, id: str, inputs: dict[str, Any]) -> dict[str, Any] | None:
        found = self.kind.read(id, inputs, {}, self.context)
        return found.inputs if found else None

    def aliases(self, version: str) -> set[str]:
        return set(self.vertex.models[PARENT][version]["versionAliases"])


@pytest.fixture
def world() -> World:
    return World()


def test_the_first_version_makes_the_model(world: World) -> None:
    id, outputs = world.create(INPUTS | {"labels": {"team_name": "pumps"}})
    [(_, body)] = world.vertex.calls
    assert body["modelId"] == "pump" and "parentModel" not in body
    assert body["model"]["labels"] == {"team_name": "pumps"}
    assert id == outputs["versionName"] == f"{PARENT}@1"
    assert outputs["name"] == PARENT
    assert world.aliases("1") == {"default", content_alias(INPUTS)}
    assert content_alias(INPUTS).startswith("sha-aaaaaaaaaaaa-")


def test_the_next_version_belongs_to_the_model_and_becomes_the_default(world: World) -> None:
    world.create(INPUTS)
    id, _ = world.create(NEXT)
    [(_, body)] = world.vertex.calls
    assert body["parentModel"] == PARENT and "modelId" not in body
    assert id == f"{PARENT}@2"
    assert "default" in world.aliases("2") and "default" not in world.aliases("1")


def test_a_version_that_is_not_to_be_the_default_leaves_it_where_it_is(world: World) -> None:
    world.create(INPUTS)
    tried = NEXT | {"isDefault": False}
    id, outputs = world.create(tried)
    assert world.aliases("1") == {"default", content_alias(INPUTS)}
    assert world.aliases("2") == {content_alias(NEXT)}
    assert world.create(tried)[0] == id and world.asked == []
    world.kind.update(id, tried, outputs, NEXT, world.context)
    assert "default" in world.aliases("2") and "default" not in world.aliases("1")


def test_what_was_the_default_is_it_until_another_version_is(world: World) -> None:
    id, outputs = world.create(INPUTS)
    world.vertex.calls.clear()
    world.kind.update(id, INPUTS, outputs, INPUTS | {"isDefault": False}, world.context)
    assert world.asked == []


def test_the_first_version_is_the_default_in_any_case(world: World) -> None:
    world.create(INPUTS | {"isDefault": False})
    assert "default" in world.aliases("1")


def test_a_run_after_a_crash_adopts_the_version_it_uploaded(world: World) -> None:
    first, _ = world.create(INPUTS)
    again, _ = world.create(INPUTS)
    assert again == first
    assert world.asked == []


def test_the_same_artifact_in_another_container_is_another_version(world: World) -> None:
    first, _ = world.create(INPUTS)
    other, _ = world.create(INPUTS | {"containerImageUri": "other"})
    assert (first, other) == (f"{PARENT}@1", f"{PARENT}@2")


CONTAINER = {
    "predictRoute": "/predict",
    "healthRoute": "/healthz",
    "port": 7080,
    "env": {"MODE": "$(BASE) fast", "BASE": "very"},
    "command": ["serve"],
    "args": ["--workers=2"],
    "deploymentTimeoutSeconds": 3600,
    "startupProbe": {"path": "/healthz", "initialDelaySeconds": 5, "failureThreshold": 30},
    "healthProbe": {"command": ["well"], "periodSeconds": 5, "timeoutSeconds": 5},
}


def test_a_container_is_sent_as_google_writes_it_and_imported_again(world: World) -> None:
    inputs = INPUTS | {"container": CONTAINER}
    id, _ = world.create(inputs)
    [(_, body)] = world.vertex.calls
    assert body["model"]["containerSpec"] == {
        "imageUri": INPUTS["containerImageUri"],
        "predictRoute": "/predict",
        "healthRoute": "/healthz",
        "ports": [{"containerPort": 7080}],
        "env": [{"name": "BASE", "value": "very"}, {"name": "MODE", "value": "$(BASE) fast"}],
        "command": ["serve"],
        "args": ["--workers=2"],
        "deploymentTimeout": "3600s",
        "startupProbe": {
            "httpGet": {"path": "/healthz", "port": 7080},
            "initialDelaySeconds": 5,
            "failureThreshold": 30,
        },
        "healthProbe": {"exec": {"command": ["well"]}, "periodSeconds": 5, "timeoutSeconds": 5},
    }
    assert world.read(id, {}) == inputs
    assert world.read(id, inputs) == inputs


KEY = "projects/iot-keys/locations/us-central1/keyRings/serving/cryptoKeys/pumps"


def test_a_key_is_sent_as_google_writes_it_and_imported_again(world: World) -> None:
    inputs = INPUTS | {"kmsKey": KEY}
    id, _ = world.create(inputs)
    [(_, body)] = world.vertex.calls
    assert body["model"]["encryptionSpec"] == {"kmsKeyName": KEY}
    assert world.read(id, {}) == inputs
    assert world.read(id, inputs) == inputs


def test_another_key_is_another_version(world: World) -> None:
    inputs = INPUTS | {"kmsKey": KEY}
    assert world.kind.diff("", INPUTS, {}, inputs).replaces == ("kmsKey",)
    assert world.kind.diff("", inputs, {}, INPUTS).replaces == ("kmsKey",)
    assert len({content_alias(it) for it in (INPUTS, inputs, inputs | {"kmsKey": f"{KEY}2"})}) == 3


@pytest.mark.parametrize("key", ["pumps", f"{KEY}/cryptoKeyVersions/1"])
def test_what_is_no_key(world: World, key: str) -> None:
    [(where, said)] = world.failures(INPUTS | {"kmsKey": key}).items()
    assert where == "kmsKey" and "a key without a version" in said


def test_another_container_is_another_version(world: World) -> None:
    inputs = INPUTS | {"container": CONTAINER}
    assert world.kind.diff("", INPUTS, {}, inputs).replaces == ("container",)
    other = inputs | {"container": CONTAINER | {"port": 7081}}
    assert len({content_alias(it) for it in (INPUTS, inputs, other)}) == 3
    assert content_alias(INPUTS | {"container": {}}) == content_alias(INPUTS)


def test_an_image_may_hold_its_model(world: World) -> None:
    inputs = {key: value for key, value in INPUTS.items() if key != "artifactUri"}
    id, _ = world.create(inputs)
    [(_, body)] = world.vertex.calls
    assert "artifactUri" not in body["model"]
    assert world.read(id, {}) == inputs


@pytest.mark.parametrize(
    ("container", "at", "said"),
    [
        ({"predictRoute": "predict"}, ".predictRoute", "is 'predict', not a path that begins wi"),
        ({"healthRoute": ""}, ".healthRoute", "is '', not a path"),
        ({"port": 0}, ".port", "is 0, not 1 to 65535"),
        ({"deploymentTimeoutSeconds": 7201}, ".deploymentTimeoutSeconds", "not 1 to 7200"),
        ({"env": {"9-x": "1"}}, ".env", "is '9-x', not a C identifier"),
        ({"env": {f"A{i}": "" for i in range(201)}}, ".env", "are 201 variables, more than 200"),
        ({"env": {"A": "x" * 131_070}}, ".env", "has A with 131072 bytes, name and value"),
        ({"env": {f"A{i}": "x" * 131_000 for i in range(5)}}, ".env", "more than 512 KiB"),
        ({"startupProbe": {}}, ".startupProbe", "needs either `path`"),
        ({"startupProbe": {"path": "/", "command": ["a"]}}, ".startupProbe", "needs either `path`"),
        ({"healthProbe": {"path": "x"}}, ".healthProbe.path", "is 'x', not a path"),
        ({"healthProbe": {"path": "/", "periodSeconds": 0}}, ".healthProbe.periodSeconds", "least"),
        ({"image": "x"}, ".image", "is not a property of Container"),
        ("x", "", "is 'x', not a map"),
    ],
)
def test_what_no_container_has(world: World, container: Any, at: str, said: str) -> None:
    [(where, found)] = world.failures(INPUTS | {"container": container}).items()
    assert where == f"container{at}" and said in found


def test_a_container_that_is_not_known_yet_passes(world: World) -> None:
    assert world.failures(INPUTS | {"container": UNKNOWN}) == {}
    unknown = dict.fromkeys(CONTAINER, UNKNOWN)
    assert world.failures(INPUTS | {"container": unknown}) == {}


def test_going_back_to_a_version_that_was_kept_makes_it_the_default_again(world: World) -> None:
    world.create(INPUTS)
    world.create(NEXT)
    id, _ = world.create(INPUTS | {"displayName": "New name"})
    assert id == f"{PARENT}@1"
    assert world.asked == ["merge_aliases", "update_model"]
    assert "default" in world.aliases("1")


def test_an_upload_whose_answer_was_lost_is_not_repeated(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = world.vertex.upload

    def lost(body: dict[str, Any]) -> str:
        upload(body)
        world.clock.time += 1000
        raise GoogleError(0, "", "connection reset")

    monkeypatch.setattr(world.vertex, "upload", lost)
    id, _ = world.create(INPUTS)
    assert id == f"{PARENT}@1"
    assert world.asked == ["upload"]


def test_a_next_version_whose_answer_was_lost_is_there_once_in_the_end(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.create(INPUTS)
    upload, answers = world.vertex.upload, iter([GoogleError(0, "", "connection reset"), None])

    def lost_once(body: dict[str, Any]) -> str:
        operation = upload(body)
        if error := next(answers):
            raise error
        return operation

    monkeypatch.setattr(world.vertex, "upload", lost_once)
    id, _ = world.create(NEXT)
    assert world.asked == ["upload", "upload", "delete_version"]
    assert id == f"{PARENT}@3"
    assert list(world.vertex.models[PARENT]) == ["1", "3"]
    assert world.aliases("3") == {"default", content_alias(NEXT)}


def test_a_version_of_the_same_content_that_somebody_named_or_serves_is_left(
    world: World,
) -> None:
    world.create(INPUTS)
    world.create(NEXT)
    for version, more in (
        ("1", {"deployedModels": [{}]}),
        ("2", {"versionAliases": ["default", "ours"]}),
    ):
        described = {"versionDescription": f"artifact {'c' * 64}"}
        world.vertex.models[PARENT][version] |= described | {"versionAliases": []} | more
    world.create(INPUTS | {"artifactHash": "c" * 64})
    assert world.asked == ["upload"]


def test_an_upload_that_fails_for_a_moment_is_started_again_but_not_for_ever(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    unavailable = {"error": {"code": 14, "message": "The service is currently unavailable."}}
    upload, ends = world.vertex.upload, iter([unavailable, None])

    def failing(body: dict[str, Any]) -> str:
        operation = upload(body)
        if end := next(ends, unavailable):
            world.vertex.being_made.clear()
            world.vertex.operations[operation] = (world.clock.time + 60, lambda: end)
        return operation

    monkeypatch.setattr(world.vertex, "upload", failing)
    id, _ = world.create(INPUTS)
    assert (id, world.asked) == (f"{PARENT}@1", ["upload", "upload"])
    with pytest.raises(ProviderError, match="The service is currently unavailable"):
        world.create(NEXT)
    assert world.asked == ["upload"] * ATTEMPTS


def test_an_upload_that_an_earlier_run_started_is_waited_for(world: World) -> None:
    with pytest.raises(ProviderError, match="not done after 60 s"):
        world.kind.create(INPUTS, Context(timeout=60))
    id, _ = world.create(INPUTS)
    assert id == f"{PARENT}@1"
    assert set(world.asked) == {"upload"}
    assert list(world.vertex.models[PARENT]) == ["1"]


def test_a_failed_upload_says_what_google_said(world: World) -> None:
    text = "service-1@gcp-sa-aiplatform.iam.gserviceaccount.com does not have storage.objects.get "
    text += "access to the Google Cloud Storage object. Permission 'storage.objects.get' denied on "
    text += "resource (or it may not exist)."
    world.vertex.fail["upload"] = [GoogleError(403, "PERMISSION_DENIED", text)]
    with pytest.raises(ProviderError) as failure:
        world.create(INPUTS)
    said, google = str(failure.value).split("\n")
    assert said.startswith(f"uploading {PARENT}: needs storage.objects.get for service-1@")
    assert google == text


def test_only_what_changes_in_place_is_sent_as_an_update(world: World) -> None:
    id, outputs = world.create(INPUTS | {"description": "old"})
    new = INPUTS | {"displayName": "New", "labels": {"a": "b"}, "versionAliases": ["live"]}
    world.vertex.calls.clear()
    updated = world.kind.update(id, INPUTS | {"description": "old"}, outputs, new, world.context)
    assert world.vertex.calls == [
        ("update_model", {"name": PARENT, "displayName": "New"}, "displayName,description"),
        ("update_model", {"name": id, "labels": {"a": "b"}}, "labels"),
        ("merge_aliases", id, ["live"]),
    ]
    assert "live" in updated["versionAliases"]
    assert world.read(id, new) == new


@pytest.mark.parametrize(
    "key", ["artifactHash", "artifactUri", "containerImageUri", "modelId", "project", "location"]
)
def test_another_content_or_place_replaces_after_the_new_one_is_there(
    world: World, key: str
) -> None:
    change = world.kind.diff("", INPUTS, {}, INPUTS | {key: "other"})
    assert change.replaces == (key,) and not change.delete_before_replace
    assert world.kind.diff("", INPUTS, {}, INPUTS | {key: UNKNOWN}).replaces == (key,)


def test_names_and_labels_change_in_place(world: World) -> None:
    change = world.kind.diff("", INPUTS, {}, INPUTS | {"displayName": "x", "labels": {}})
    assert change.updates == ("displayName", "labels") and change.replaces == ()
    assert "versionName" in change.stables
    assert world.kind.diff("", INPUTS, {}, dict(INPUTS)).updates == ()


def test_a_label_of_the_model_shows_and_goes(world: World) -> None:
    inputs = INPUTS | {"labels": {"team": "pumps"}}
    id, outputs = world.create(inputs)
    world.vertex.model_labels[PARENT] = {"stage": "test"}
    now = world.read(id, inputs)
    assert now == inputs | {"labels": {"team": "pumps", "stage": "test"}}
    world.vertex.calls.clear()
    world.kind.update(id, now, outputs, inputs, world.context)
    asked = [(model["name"], mask) for _, model, mask in world.vertex.calls]
    assert asked == [(f"{PARENT}@1", "labels"), (PARENT, "labels")]
    assert world.read(id, inputs) == inputs


def test_a_label_of_the_version_changes_there_alone(world: World) -> None:
    inputs = INPUTS | {"labels": {"team": "pumps"}}
    id, outputs = world.create(inputs)
    world.vertex.calls.clear()
    world.kind.update(id, inputs, outputs, INPUTS, world.context)
    assert [model["name"] for _, model, _ in world.vertex.calls] == [f"{PARENT}@1"]
    assert world.read(id, INPUTS) == INPUTS


def test_drift_shows_and_aliases_of_others_do_not(world: World) -> None:
    id, _ = world.create(INPUTS)
    world.vertex.models[PARENT]["1"] |= {"displayName": "renamed"}
    world.vertex.models[PARENT]["1"]["versionAliases"].append("theirs")
    assert world.read(id, INPUTS) == INPUTS | {"displayName": "renamed"}


def test_an_import_knows_what_this_provider_uploaded(world: World) -> None:
    id, _ = world.create(INPUTS)
    assert world.read(id, {}) == INPUTS


def test_an_import_of_anyone_elses_version_is_a_look_up(world: World) -> None:
    id, _ = world.create(INPUTS)
    del world.vertex.models[PARENT]["1"]["versionDescription"]
    assert world.read(id, {}) == {"model": id}


def test_gone_outside_is_gone(world: World) -> None:
    id, _ = world.create(INPUTS)
    world.vertex.models.clear()
    assert world.read(id, INPUTS) is None


def test_the_old_version_is_deleted_and_the_model_with_its_last(world: World) -> None:
    first, _ = world.create(INPUTS)
    second, _ = world.create(NEXT)
    world.kind.delete(first, INPUTS, {}, world.context)
    assert list(world.vertex.models[PARENT]) == ["2"]
    world.vertex.calls.clear()
    world.kind.delete(second, NEXT, {}, world.context)
    assert world.asked[-1] == "delete_model"
    assert PARENT not in world.vertex.models


def test_deleting_the_default_hands_it_to_the_newest_left(world: World) -> None:
    world.create(INPUTS)
    world.create(NEXT)
    id, _ = world.create(INPUTS | {"artifactHash": "c" * 64})
    world.kind.delete(id, INPUTS, {}, world.context)
    assert "default" in world.aliases("2")
    assert sorted(world.vertex.models[PARENT]) == ["1", "2"]


def test_a_version_that_is_still_deployed_is_not_forced(world: World) -> None:
    world.create(INPUTS)
    world.create(NEXT)
    world.vertex.fail["delete_version"] = [GoogleError(400, "FAILED_PRECONDITION", "deployed")]
    with pytest.raises(ProviderError, match=f"deleting {PARENT}@1: deployed"):
        world.kind.delete(f"{PARENT}@1", INPUTS, {}, world.context)
    assert sorted(world.vertex.models[PARENT]) == ["1", "2"]


def test_deleting_what_is_gone_is_fine(world: World) -> None:
    world.kind.delete(f"{PARENT}@1", INPUTS, {}, world.context)
    assert world.asked == ["delete_version"]


def test_a_look_up_resolves_an_alias_and_follows_it(world: World) -> None:
    world.create(INPUTS)
    look_up = {"model": f"{PARENT}@default"}
    id, outputs = world.create(look_up)
    assert id == outputs["versionName"] == f"{PARENT}@1"
    world.create(NEXT)
    found = world.kind.read(id, look_up, outputs, world.context)
    assert found is not None
    assert found.inputs == look_up
    assert found.outputs["versionName"] == f"{PARENT}@2"
    world.vertex.calls.clear()
    world.kind.delete(id, look_up, outputs, world.context)
    assert world.asked == []


def test_a_look_up_that_is_denied_says_what_it_needs(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (
        "Permission 'aiplatform.models.get' denied on resource "
        f"'//aiplatform.googleapis.com/{PARENT}' (or it may not exist)."
    )

    def denied(name: str) -> dict[str, Any]:
        raise GoogleError(403, "PERMISSION_DENIED", text)

    monkeypatch.setattr(world.vertex, "model", denied)
    with pytest.raises(ProviderError) as failure:
        world.create({"model": PARENT})
    assert f"looking up {PARENT}: needs aiplatform.models.get on {PARENT}" in str(failure.value)


def test_previews_know_what_can_be_known(world: World) -> None:
    first = world.kind.preview(INPUTS, None)
    assert first["name"] == PARENT and first["versionName"] is UNKNOWN
    assert world.kind.preview(INPUTS | {"modelId": UNKNOWN}, None)["name"] is UNKNOWN
    fixed = world.kind.preview({"model": f"{PARENT}@3"}, None)
    assert (fixed["versionName"], fixed["versionId"]) == (f"{PARENT}@3", "3")
    assert world.kind.preview({"model": f"{PARENT}@live"}, None)["versionName"] is UNKNOWN
    assert world.kind.preview({"model": UNKNOWN}, None)["name"] is UNKNOWN
    _, outputs = world.create(INPUTS)
    assert world.kind.preview(INPUTS, outputs)["versionName"] == f"{PARENT}@1"


def test_project_and_location_come_from_the_provider(world: World) -> None:
    given = {key: value for key, value in INPUTS.items() if key not in ("project", "location")}
    checked, found = world.kind.check(given, {}, world.context)
    assert checked == INPUTS and found == []


def test_one_form_or_the_other(world: World) -> None:
    assert world.failures({"model": PARENT}) == {}
    assert world.failures({"model": f"{PARENT}@live"}) == {}
    assert world.failures({"model": "pump"}).keys() == {"model"}
    assert world.failures({"model": PARENT, "modelId": "pump"}).keys() == {"modelId"}
    assert world.failures({}).keys() == {"model"}
    assert world.failures({"modelId": "pump", "artifactHash": "a" * 64}).keys() == {
        "displayName",
        "containerImageUri",
    }


def test_everything_wrong_is_said_at_once(world: World) -> None:
    wrong = INPUTS | {
        "modelId": "1pump",
        "artifactUri": "/tmp/pump",
        "artifactHash": "XYZ",
        "serviceAccount": "someone@example.com",
        "versionAliases": ["default", "x", "live", "live"],
        "labels": {"a": 1},
        "name": "pump",
    }
    assert world.failures(wrong).keys() == {
        "modelId",
        "artifactUri",
        "artifactHash",
        "serviceAccount",
        "versionAliases[0]",
        "versionAliases[1]",
        "versionAliases[3]",
        "labels.a",
        "name",
    }


def test_unknown_values_pass_the_check(world: World) -> None:
    assert world.failures(dict.fromkeys(INPUTS, UNKNOWN)) == {}
    assert world.failures(INPUTS | {"versionAliases": [UNKNOWN, UNKNOWN]}) == {}
