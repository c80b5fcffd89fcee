"""A canary: what its settings mean, what is said of wrong ones, and what the program declares."""

from __future__ import annotations

import contextvars
import json
from pathlib import Path
from typing import Any

import pulumi
import pytest
from pulumi.runtime import mocks

from components.artifacts import Upload, Uploads, UploadsArgs
from components.configuration import SettingsError, parse
from components.permissions import DEPLOYER, PROJECT, roles
from components.serving import Serving, ServingArgs
from components.settings import Settings
from tests.components.test_settings import GOOD, LOOKED_UP, OWN_IMAGE, UPLOADED

MODEL = str(LOOKED_UP["source"]).partition("@")[0]
NEXT = {"artifact": "next.joblib", "percent": 10}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "fan.joblib").write_bytes(b"one")
    (tmp_path / "next.joblib").write_bytes(b"two")
    return tmp_path


def entry(canary: dict[str, Any], model: dict[str, Any] = UPLOADED, **more: Any) -> str:
    """`models` with a canary of one of the two."""
    other = LOOKED_UP if model["id"] == UPLOADED["id"] else UPLOADED
    return json.dumps([{**model, "canary": canary, **more}, other])


def read(root: Path, models: str, **more: str) -> Settings:
    return parse({**GOOD, "models": models, **more}, root)


def shares(settings: Settings) -> dict[str, int]:
    return {version.name: version.model.traffic for version in settings.versions}


@pytest.mark.parametrize(
    ("percent", "own", "canary"), [(0, 90, 0), (10, 81, 9), (50, 45, 45), (100, 0, 90)]
)
def test_percent_is_of_the_entrys_traffic(root: Path, percent: int, own: int, canary: int) -> None:
    settings = read(root, entry(NEXT | {"percent": percent}))
    assert shares(settings) == {"fan": own, "fan.canary": canary, "pump": 10}


@pytest.mark.parametrize(
    ("given", "percent", "replicas"),
    [
        ({}, 10, (1, 10)),
        ({}, 50, (3, 10)),
        ({}, 100, (5, 10)),
        ({"maxReplicas": 2}, 100, (2, 2)),
        ({"minReplicas": 4, "maxReplicas": 4}, 10, (4, 4)),
    ],
)
def test_a_canary_has_its_share_of_the_replicas_unless_it_says(
    root: Path, given: dict[str, int], percent: int, replicas: tuple[int, int]
) -> None:
    models = entry(NEXT | {"percent": percent, **given}, minReplicas=5, requiredReplicas=4)
    settings = read(root, models, maxReplicas="10")
    own, canary = map(settings.served, (it.model for it in settings.versions[:2]))
    assert (canary.min_replicas, canary.max_replicas) == replicas
    assert (own.min_replicas, own.max_replicas, own.required) == (5, 10, 4)


def test_what_a_canary_leaves_out_is_the_entrys(root: Path) -> None:
    container = {"predictRoute": "/predict", "deploymentTimeoutSeconds": 3600}
    own = {"machineType": "n1-standard-4", "spot": True}
    models = entry({"percent": 10, "container": {"image": OWN_IMAGE}}, **own)
    settings = read(root, models, container=json.dumps(container))
    first, canary, _ = (it.model for it in settings.versions)
    assert canary.artifact == first.artifact == "fan.joblib"
    assert settings.image(canary) == OWN_IMAGE
    assert settings.served(canary)._replace(container=settings.container) == settings.served(first)
    sent = {"predict_route": "/predict", "deployment_timeout_seconds": 3600}
    assert settings.served(canary).container.specification == sent
    assert settings.rollout_deadline == 3600 * 3


def test_a_canary_is_measured_by_the_deployer_and_only_where_there_is_one(root: Path) -> None:
    def held(settings: Settings) -> set[str]:
        [role] = [
            it
            for it in roles(settings.capabilities)
            if (it.identity, it.on, it.key) == (DEPLOYER, PROJECT, "deployer")
        ]
        return set(role.permissions)

    without, with_one = held(parse(GOOD, root)), held(read(root, entry(NEXT)))
    assert with_one - without == {"monitoring.timeSeries.list"}


def test_a_canarys_image_is_pulled_from_where_it_is(root: Path) -> None:
    image = "us-central1-docker.pkg.dev/others/serving/pump:3"
    settings = read(root, entry({"percent": 10, "container": {"image": image}}))
    assert [it.name for it in settings.repositories] == [
        "projects/others/locations/us-central1/repositories/serving"
    ]
    assert ("imageReader", "others") in settings.declared_roles


@pytest.mark.parametrize(
    ("models", "at", "said"),
    [
        (entry({"percent": 10}), "models[0].canary", "has nothing to try: give it an `artifact`"),
        (
            entry(NEXT | {"percent": 101}),
            "models[0].canary.percent",
            "101 is not valid: input should be less than or equal to 100",
        ),
        (entry({"artifact": "next.joblib"}), "models[0].canary.percent", "not set"),
        (
            entry(NEXT | {"percent": 15}),
            "models[0].canary.percent",
            "15 % of the 90 % of traffic that the model has is 13.5 %, and an endpoint's traffic "
            "is split by whole percents; 10 or 20 would do",
        ),
        (
            entry(NEXT | {"artifact": "gone.joblib"}),
            "models[0].canary.artifact",
            "'gone.joblib' is no file in",
        ),
        (
            entry(NEXT | {"training": {"data": "gone.csv", "target": "failure"}}),
            "models[0].canary.training.data",
            "'gone.csv' is no file in",
        ),
        (
            entry({"percent": 10, "source": f"{MODEL}@2"}),
            "models[0]",
            "is uploaded, and so has its canary to be: give that an `artifact`",
        ),
        (
            entry(NEXT, LOOKED_UP),
            "models[0]",
            "is looked up, and so has its canary to be: give that the `source` of another version",
        ),
        (
            entry({"percent": 10, "source": f"{MODEL}-2@2"}, LOOKED_UP),
            "models[0]",
            f"has a canary of another model, {MODEL}-2@2",
        ),
        (
            entry({"percent": 10, "source": LOOKED_UP["source"]}, LOOKED_UP),
            "models[0]",
            "is its own canary: take `canary` out, or give it another version",
        ),
        (
            entry(NEXT | {"artifact": "fan.joblib"}),
            "models[0]",
            "is its own canary: take `canary` out",
        ),
        (
            entry({"percent": 10, "source": f"{MODEL}@2", "artifact": "next.joblib"}, LOOKED_UP),
            "models[0].canary",
            "has a `source`, to look up, and what is uploaded: give it one",
        ),
        (
            entry(
                {
                    "percent": 10,
                    "container": {"image": OWN_IMAGE},
                    "training": {"data": "x.csv", "target": "y"},
                }
            ),
            "models[0].canary",
            "has `training` data, which is stored beside an `artifact`",
        ),
        (
            entry(NEXT | {"minReplicas": 3}),
            "models[0].canary.minReplicas",
            "3 is more than maxReplicas, 2",
        ),
        (
            entry(NEXT | {"minReplicas": 2, "maxReplicas": 1}),
            "models[0].canary.minReplicas",
            "2 is more than maxReplicas, 1",
        ),
        (
            entry(NEXT | {"percentage": 3}),
            "models[0].canary.percentage",
            "3 is for an unknown key; did you mean percent?",
        ),
        (
            entry({"percent": 10, "container": {"image": OWN_IMAGE, "port": 3}}),
            "models[0].canary.container.port",
            "3 is for an unknown key; did you mean image?",
        ),
    ],
)
def test_a_wrong_canary_is_named_with_what_would_do(
    root: Path, models: str, at: str, said: str
) -> None:
    with pytest.raises(SettingsError) as error:
        read(root, models)
    assert any(it.startswith(f"{at}: ") and said in it for it in error.value.problems), (
        error.value.problems
    )


@pytest.mark.parametrize(
    ("guard", "said"),
    [
        ({"windowMinutes": 0}, "canaryGuard.windowMinutes: 0 is not valid: input should be gre"),
        ({"minRequests": 0}, "canaryGuard.minRequests: 0 is not valid: input should be greater"),
        ({"errorPercent": 101}, "canaryGuard.errorPercent: 101 is not valid: input should be l"),
        ({"latencyMs": -1}, "canaryGuard.latencyMs: -1 is not valid: input should be greater"),
        ({"latencyRatio": -1}, "canaryGuard.latencyRatio: -1 is not valid: input should be gre"),
        ({"startPercent": 101}, "canaryGuard.startPercent: 101 is not valid: input should be l"),
        ({"whenTooFew": "wait"}, "canaryGuard.whenTooFew: 'wait' is not valid: input should be 's"),
        ({"errors": 1}, "canaryGuard.errors: 1 is for an unknown key; did you mean errorPercent?"),
    ],
)
def test_a_wrong_limit_is_named(root: Path, guard: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError) as error:
        read(root, entry(NEXT), canaryGuard=json.dumps(guard))
    [problem] = error.value.problems
    assert problem.startswith(said)


class Registered(mocks.Mocks):
    """What is declared: inputs by the resource's name."""

    def __init__(self) -> None:
        self.found: dict[str, dict[str, Any]] = {}

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str | None, dict[Any, Any]]:
        plain = {key: getattr(it, "path", it) for key, it in args.inputs.items()}
        self.found[args.name] = plain
        return args.name, {**args.inputs, "versionName": f"version of {args.name}"}

    def call(self, args: mocks.MockCallArgs) -> dict[Any, Any]:
        raise AssertionError(f"{args.token} is called")


def declared(settings: Settings, root: Path) -> dict[str, dict[str, Any]]:
    registered = Registered()

    def program() -> None:
        files = {
            it.name: Upload(
                it.model.id,
                {"model.joblib": root / it.model.artifact},
                canary=it.canary,
            )
            for it in settings.versions
            if it.model.artifact
        }
        uploads = Uploads("uploads", UploadsArgs("bucket", files))
        Serving("serving", ServingArgs(settings, "endpoint", uploads.by_version, []))

    def run() -> None:
        mocks.set_mocks(registered)
        pulumi.runtime.test(program)()

    contextvars.copy_context().run(run)
    return registered.found


def of_versions(found: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Versions and their objects."""
    return {name: inputs for name, inputs in found.items() if name.startswith("fan-")}


def test_a_promoted_canary_is_the_very_resources_that_it_was(root: Path) -> None:
    tried = declared(read(root, entry(NEXT | {"percent": 100})), root)
    promoted = json.dumps([{**UPLOADED, "artifact": "next.joblib"}, LOOKED_UP])
    promoted = declared(read(root, promoted), root)
    assert len(of_versions(tried)) == 4
    assert len(of_versions(promoted)) == 2
    # Those who follow `@default` follow what is promoted, and nothing that is tried.
    assert [it.pop("isDefault") for it in tried.values() if "isDefault" in it] == [False]
    assert of_versions(promoted).items() <= of_versions(tried).items()


def test_the_rollout_is_told_which_versions_are_tried_against_which(root: Path) -> None:
    found = declared(read(root, entry(NEXT), canaryGuard='{"errorPercent": 2.5}'), root)
    own, canary, other = found["rollout"]["models"]
    assert [it["traffic"] for it in (own, canary, other)] == [81, 9, 10]
    assert own["displayName"] == canary["displayName"] == "fan"
    assert found["rollout"]["canaries"] == [{"model": canary["model"], "predecessor": own["model"]}]
    assert found["rollout"]["canaryGuard"] == {
        "windowMinutes": 10,
        "minRequests": 100,
        "errorPercent": 2.5,
        "latencyMs": 0,
        "latencyRatio": 1.5,
        "whenTooFew": "stop",
        "startPercent": 20,
    }
    without = declared(parse(GOOD, root), root)["rollout"]
    assert "canaries" not in without and "canaryGuard" not in without


def test_a_canary_on_another_image_has_the_same_objects(root: Path) -> None:
    image = {"percent": 10, "container": {"image": OWN_IMAGE}}
    found = of_versions(declared(read(root, entry(image)), root))
    assert sorted(name.count("-artifact-") for name in found) == [0, 0, 1]


def test_two_files_with_the_same_content_are_one_version_and_that_is_said(root: Path) -> None:
    (root / "next.joblib").write_bytes(b"one")
    with pytest.raises(pulumi.RunError, match="fan and its canary have the same content"):
        declared(read(root, entry(NEXT)), root)
