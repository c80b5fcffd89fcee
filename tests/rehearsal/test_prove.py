"""The proof that roles are tight finds what is spare, and what no line has."""

from __future__ import annotations

import copy
import io
import json
from pathlib import Path
from typing import Any, Final

import pytest
from rich.console import Console

from access.report import disagreements
from components import permissions as table
from rehearsal import environment as environments
from rehearsal.prove import prove
from rehearsal.report import Report
from tests.rehearsal.playing import ROOT, play
from tests.rehearsal.test_serving_features import SMALLEST

SPARE = table.Need(
    table.SERVING, "artifactReader", table.ARTIFACTS, "nothing", "none", "storage.buckets.get",
    frozenset({table.REGISTER}),
)  # fmt: skip


@pytest.mark.sweep
@pytest.mark.parametrize("stack", ["staging", "prod"])
def test_every_role_is_tight_over_the_whole_life(stack: str) -> None:
    code, output, summary = play("prove", stack)
    assert code == 0, output
    assert (summary["spare"], summary["missing"]) == ([], [])
    page = (ROOT / "docs" / "reference" / "access.md").read_text()
    assert disagreements(page, stack, summary["identities"]) == []
    for held in summary["identities"].values():
        assert set(held["granted"]) <= set(held["used"])


EVERYTHING: Final = {
    "namePrefix": "b-",
    "labels": {"team": "pumps"},
    "requestLog": {"days": 30},
    "callers": [
        *(
            "group:dashboards@example.com",
            "serviceAccount:report@iot-other.iam.gserviceaccount.com",
        ),
    ],
    "previewMember": "",
    "alerts": {"topic": "incidents", "emails": ["oncall@example.com"]},
    "registryArtifactsBucket": "iot-staging-pipelines",
    "federation": {
        "ownerId": 583231,
        "repositoryId": 1296269,
        "rolloutEnvironment": "staging",
        "foundationEnvironment": "staging-foundation",
    },
    "platformMember": "serviceAccount:pm-platform@iot-staging.iam.gserviceaccount.com",
    "models": [
        {
            "id": "shuttle-anomaly",
            "artifact": "trained",
            "training": {"data": "training", "target": "failure"},
            "traffic": 80,
            "canary": {"artifact": "newer", "percent": 10},
        },
        {
            "id": "shuttle-baseline",
            "source": "projects/iot-models/locations/us-central1/models/shuttle-baseline@default",
            "traffic": 10,
        },
        {
            "id": "shuttle-far",
            "source": "projects/iot-far/locations/us-central1/models/shuttle-far@default",
            "sourceArtifactsBucket": "iot-far-artifacts",
            "traffic": 0,
        },
        {
            "id": "shuttle-trained",
            "source": "projects/iot-staging/locations/us-central1/models/shuttle-trained@default",
            "traffic": 10,
        },
        {
            "id": "shuttle-own",
            "traffic": 0,
            "machineType": "n1-standard-4",
            "accelerator": {"type": "NVIDIA_TESLA_T4", "count": 1},
            "container": {"image": "us-central1-docker.pkg.dev/iot-models/serving/shuttle:1"},
        },
    ],
}
"""Over staging, which has a key of its own, telemetry and drift already. Pull requests are
previewed by GitHub's jobs alone, and the platform is an account. A pool's id is taken after the
stack is destroyed, which is said with what to do."""


LEAST: Final = {
    **SMALLEST,
    "kmsKey": "",
    "requestLogPercent": 100,
    "models": [{"id": "shuttle-anomaly", "artifact": "trained", "traffic": 100}],
}
ALL: Final = {*table.CAPABILITIES, *table.FOLLOWING} - {table.LAYERS, table.INVITE}


@pytest.mark.sweep
@pytest.mark.parametrize(
    ("settings", "capabilities"),
    [
        pytest.param(LEAST, {table.REGISTER, table.RETIRE, table.WHOLE}, id="the least"),
        pytest.param(EVERYTHING, ALL, id="everything"),
    ],
)
def test_every_role_is_tight_from_the_least_to_everything(
    settings: dict[str, Any], capabilities: set[str], tmp_path: Path
) -> None:
    loaded = environments.load("staging", tmp_path, **copy.deepcopy(settings))
    assert loaded.settings.capabilities == capabilities
    given = [part for key, it in settings.items() for part in ("--set", f"{key}={json.dumps(it)}")]
    code, output, summary = play("prove", "staging", *given)
    assert code == 0, output
    assert (summary["spare"], summary["missing"]) == ([], [])
    if capabilities == ALL:
        assert {*table.FEDERATED, table.CALLER} <= summary["identities"].keys()
        assert "2 got a prediction; a stranger was refused" in output
        assert {"come in from GitHub", "come back too early"} <= set(summary["stages"])
        assert "3 kinds of jobs became 5 accounts; 16 attempts refused" in output


@pytest.mark.sweep
def test_a_spare_permission_ends_the_proof_and_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(table, "NEEDS", (*table.NEEDS, SPARE))
    shown = io.StringIO()
    report = Report("staging", Console(file=shown, width=200), output=tmp_path)
    assert not prove("staging", report, LEAST)
    assert report.summary["spare"] == [(table.SERVING, "storage.buckets.get", "nothing")]
    assert "spare: serving holds storage.buckets.get (nothing)" in shown.getvalue()
