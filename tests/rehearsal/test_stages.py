"""What the stages found before one of them failed is in the report and in the summary."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from rich.console import Console

from rehearsal import environment as environments
from rehearsal import telemetry
from rehearsal.__main__ import written
from rehearsal.engine import Outcome
from rehearsal.rehearse import STEPS, Step, play
from rehearsal.report import Report, Stage, StageFailed
from rehearsal.run import Options, Rehearsal
from rehearsal.sandbox import GoogleError
from rehearsal.world import World, opened

ADVICE = "roles/editor: too much"
DENIED = "Permission 'aiplatform.endpoints.create' denied on resource 'projects/iot-staging'"


# What they share is made once, by one worker.
pytestmark = pytest.mark.xdist_group("stages")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    models = tmp_path_factory.mktemp("models")
    environment = environments.load("staging", models)
    with opened(environment, models, policies=False, at_once=True) as world:
        yield world


class Played:
    """A rehearsal of a few steps of its own, its printed report and its summary file."""

    def __init__(self, world: World, folder: Path) -> None:
        self._shown = io.StringIO()
        self._folder = folder
        console = Console(file=self._shown, width=200)
        self._report = Report("staging", console, output=folder)
        options = Options("staging")
        self.run = Rehearsal(world.sandbox, world.engine, world.before, options, self._report)

    def __call__(self, *steps: Step) -> bool:
        with written(self._report):
            return play(self.run, steps)

    @property
    def shown(self) -> str:
        return self._shown.getvalue()

    @property
    def summary(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self._folder / "summary.json").read_text())
        return found


@pytest.fixture
def played(world: World, tmp_path: Path) -> Played:
    return Played(world, tmp_path)


def advised(run: Rehearsal, stage: Stage) -> None:
    run.hold(stage, Outcome(changes={"create": 3}, violations=[("advisory", ADVICE)]))


def broken(run: Rehearsal, stage: Stage) -> None:
    stage.note = "half way"
    raise KeyError("deployedModels")


def denied(run: Rehearsal, stage: Stage) -> None:
    raise GoogleError(403, {"error": {"message": DENIED}})


def refused(run: Rehearsal, stage: Stage) -> None:
    raise StageFailed("a prediction was refused", "the service is overloaded")


def never(run: Rehearsal, stage: Stage) -> None:
    raise AssertionError("a stage was played after one that failed")


FIRST, BROKEN, NEVER = Step("first", advised), Step("second", broken), Step("third", never)


def told_of_the_first(played: Played) -> None:
    assert ADVICE in played.shown and "✓ first" in played.shown
    assert played.summary["violations"] == [["advisory", ADVICE]]
    assert played.summary["stages"]["first"] >= 0


def test_a_stage_that_breaks_hides_nothing_of_those_before(played: Played) -> None:
    assert not played(FIRST, BROKEN, NEVER)
    told_of_the_first(played)
    assert "✗ second" in played.shown and "half way" in played.shown
    assert "KeyError: 'deployedModels'" in played.shown
    assert "in the stage: second" in played.shown
    assert "deployer" in played.shown  # the table of identities
    summary = played.summary
    assert summary["passed"] is False
    assert list(summary["stages"]) == ["first", "second"]
    assert summary["identities"]["deployer"]["granted"]
    assert "test_stages.py" in summary["failures"][0]["error"]


def test_a_denial_that_no_stage_expected_is_explained(played: Played) -> None:
    assert not played(FIRST, Step("second", denied))
    told_of_the_first(played)
    assert played.summary["denial"]["permission"] == "aiplatform.endpoints.create"


def test_two_stages_at_a_time_that_fail_are_both_told(played: Played) -> None:
    meanwhile = Step("second", broken, waits=False)
    assert not played(FIRST, Step("beside", refused, aside=True), meanwhile, NEVER)
    told_of_the_first(played)
    assert "a prediction was refused" in played.shown
    assert "KeyError: 'deployedModels'" in played.shown
    assert len(played.summary["failures"]) == 2


def test_a_stage_waits_for_those_aside_and_is_not_played_when_one_failed(played: Played) -> None:
    assert not played(FIRST, Step("beside", refused, aside=True), NEVER)
    assert played.summary["failures"][0]["error"] == "the service is overloaded"
    assert "third" not in played.summary["stages"]


def test_a_stage_aside_of_nothing_is_waited_for(played: Played) -> None:
    assert not played(FIRST, Step("beside", refused, aside=True))
    assert played.summary["failures"][0]["error"] == "the service is overloaded"


def test_what_ends_the_whole_program_leaves_a_summary(played: Played) -> None:
    def ended(run: Rehearsal, stage: Stage) -> None:
        raise SystemExit(3)

    with pytest.raises(SystemExit):
        played(FIRST, Step("second", ended), NEVER)
    told_of_the_first(played)
    assert played.summary["passed"] is False


def test_a_cloud_that_is_gone_hides_nothing_either(tmp_path: Path) -> None:
    def killed(run: Rehearsal, stage: Stage) -> None:
        ready = json.loads((run.sandbox.directory / "ready.json").read_text())
        psutil.Process(ready["pid"]).kill()
        raise StageFailed("as the cloud went", "the error of the stage")

    environment = environments.load("staging", tmp_path / "models")
    with opened(environment, tmp_path / "models", policies=False, at_once=True) as world:
        played = Played(world, tmp_path)
        assert not played(FIRST, Step("second", killed), NEVER)
    told_of_the_first(played)
    assert "the error of the stage" in played.shown
    assert played.summary["failures"][0]["reason"] == "as the cloud went"


def test_the_quality_of_predictions_is_what_scikit_learn_says_it_is() -> None:
    from sklearn.metrics import roc_auc_score

    labels = [0.0, 1.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0]
    for risks in ([0.1, 0.9, 0.2, 0.8, 0.3, 0.3, 0.5, 0.5], [0.5] * 8, labels, labels[::-1]):
        assert telemetry.roc_auc(labels, risks) == pytest.approx(roc_auc_score(labels, risks))


def test_stages_have_names_of_their_own() -> None:
    names = [step.name for step in STEPS]
    assert len(set(names)) == len(names)
