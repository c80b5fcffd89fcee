"""A canary from its first traffic to all of it and back, and those that the guard stops, while the
endpoint is asked without pause."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from components import permissions as table
from components.configuration import parse, raw
from rehearsal import colleague, telemetry, world
from rehearsal import environment as environments
from rehearsal.engine import Outcome
from rehearsal.report import Report, Stage, StageFailed
from rehearsal.run import Options, Rehearsal, demand_ok
from rehearsal.toolchain import ROOT
from rehearsal.workloads import Client, predictor

CLIENTS: Final = 4
REQUESTS: Final = 3_000
"""Over which shares are counted: over 2,000, half of them is off by more than `OFF` by chance
alone once in a hundred times, over these once in a thousand."""

OFF: Final = 3.0
"""Points that a share may be off."""

FEWEST: Final = 50
PATIENCE: Final = 60.0
"""Seconds until a canary has been asked often enough."""

GUARD: Final = {"windowMinutes": 2, "minRequests": FEWEST, "latencyRatio": 3}
"""A machine that rehearsals share is no steady one: what counts as slow is three times as long."""

SLOW_SECONDS: Final = 0.2
MODEL: Final = "shuttle-anomaly"
SETTINGS: Final[dict[str, Any]] = {
    "models": [{"id": MODEL, "artifact": "trained", "traffic": 100}],
    "sourceArtifactsBucket": "",
    "sensors": [],
    "drift": {},
    "alerts": {},
    "canaryGuard": GUARD,
}


@dataclass(frozen=True)
class Artifacts:
    """Versions of the model, each a file."""

    first: Path
    better: Path
    slow: Path
    failing: Path
    rare: Path

    @classmethod
    def trained(cls, folder: Path) -> Artifacts:
        def file(name: str) -> Path:
            return folder / name / "model.joblib"

        return cls(
            telemetry.train(file("first")),
            telemetry.train(file("better"), depth=12),
            telemetry.train(file("slow"), seconds=SLOW_SECONDS),
            telemetry.train(file("failing"), sensors=len(telemetry.SENSORS) - 1),
            telemetry.train(file("rare"), depth=6),
        )


class Load:
    """Clients that ask without pause, and what they were answered since it was last looked at."""

    def __init__(self, run: Rehearsal) -> None:
        ask = predictor(run, whole=True)
        self._clients = [Client(run, ask) for _ in range(CLIENTS)]
        self._before: Counter[str] = Counter()
        self._failed = 0

    def __enter__(self) -> Load:
        with ExitStack() as entered:
            for client in self._clients:
                entered.enter_context(client)
            self._asking = entered.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._asking.close()

    def forget(self) -> None:
        """Count from here."""
        self._before, self._failed = self._answers(), len(self._failures())

    @property
    def answers(self) -> Counter[str]:
        """By deployed model."""
        return self._answers() - self._before

    @property
    def failures(self) -> list[str]:
        return self._failures()[self._failed :]

    def _answers(self) -> Counter[str]:
        return sum((client.answers.copy() for client in self._clients), Counter())

    def _failures(self) -> list[str]:
        return [said for client in self._clients for said in client.failures]

    def until(self, requests: int) -> Counter[str]:
        """The answers, once there are so many."""
        deadline = time.monotonic() + PATIENCE
        while self.answers.total() < requests and time.monotonic() < deadline:
            time.sleep(0.05)
        return self.answers


class Story:
    """A stack whose model is tried, and the clients of its endpoint."""

    def __init__(self, run: Rehearsal, artifacts: Artifacts) -> None:
        self.run, self.artifacts = run, artifacts
        self.deployer = run.sandbox.google(run.environment.settings.email(table.DEPLOYER))

    def up(self, own: Path, canary: Path | None = None, percent: int = 0) -> Outcome:
        entry: dict[str, Any] = {"id": MODEL, "artifact": str(own), "traffic": 100}
        if canary:
            entry["canary"] = {"artifact": str(canary), "percent": percent}
        here = self.run.environment
        values = {**here.values, "models": [entry]}
        self.run.engine.configure(replace(here, values=values, settings=parse(raw(values), ROOT)))
        return self.run.engine.up()

    def endpoint(self) -> dict[str, Any]:
        settings = self.run.environment.settings
        url = f"{colleague.api(settings)}/{settings.endpoint_name}"
        found: dict[str, Any] = self.deployer.call("GET", url)
        return found

    def versions(self) -> dict[str, str]:
        """Version on the endpoint → its id there."""
        return {it["modelVersionId"]: it["id"] for it in self.endpoint()["deployedModels"]}

    def moved(self, stage: Stage, load: Load, canary: Path, percent: int) -> None:
        """Give a canary a share, and find that it has it. Raises StageFailed."""
        outcome = self.up(self.artifacts.first, canary, percent)
        demand_ok(outcome)
        load.forget()
        answers, newest = load.until(REQUESTS), self.newest()
        share = 100 * answers[newest] / answers.total()
        stage.note = f"{share:.1f} % of {answers.total():,} requests; {len(load.failures)} failed"
        if answers.total() < REQUESTS or abs(share - percent) > OFF:
            raise StageFailed(f"the canary has {share:.1f} %, not {percent} %", str(answers))

    def newest(self) -> str:
        versions = self.versions()
        return versions[max(versions, key=int)]

    def stopped(self, stage: Stage, canary: Path, figure: str) -> None:
        """Have a canary grow, and find it stopped by `figure`, with all as it was."""
        before = self.endpoint()
        outcome = self.up(self.artifacts.better, canary, 50)
        errors = [error for error in outcome.errors if "does not grow" in error]
        if outcome.ok or not any(figure in error for error in errors):
            raise StageFailed(f"nobody was stopped by {figure!r}", "\n".join(outcome.errors))
        if self.endpoint() != before:
            raise StageFailed("the endpoint is not as it was", f"{before}\n{self.endpoint()}")
        stage.note = errors[0].partition("traffic: ")[2].partition(". ")[0]


def canary(report: Report) -> bool:
    """10, 50 and 100 %, back, and for good, under load; then three that the guard stops."""
    held = False
    with _opened(report) as story, story.run.explained():
        run, artifacts = story.run, story.artifacts
        with report.stage("up") as stage:
            outcome = story.up(artifacts.first)
            stage.note = outcome.summary()
            demand_ok(outcome)
        with Load(run) as load:
            for percent in (10, 50, 100, 0):
                what = f"{percent} %" if percent else "back to 0 %"
                with report.stage(what) as stage:
                    story.moved(stage, load, artifacts.better, percent)
            with report.stage("promote") as stage:
                stage.note = _promote(story, load)
            if load.failures:
                raise StageFailed(f"{len(load.failures)} predictions failed", load.failures[0])
            for name, path, figure in (
                ("a slow one", artifacts.slow, "above canaryGuard.latencyRatio, 3 times the"),
                ("a failing one", artifacts.failing, "above canaryGuard.errorPercent, 1 %"),
            ):
                with report.stage(name) as stage:
                    demand_ok(story.up(artifacts.better, path, 10))
                    _until_asked(load, story.newest(), failing=path == artifacts.failing)
                    story.stopped(stage, path, figure)
        with report.stage("one with too few requests") as stage:
            demand_ok(story.up(artifacts.better, artifacts.rare, 10))
            story.stopped(stage, artifacts.rare, f"canaryGuard.minRequests is {FEWEST}")
        with report.stage("look at the outputs") as stage:
            stage.note = _demand_told(story)
        with report.stage("destroy") as stage:
            run.hold(stage, run.engine.destroy())
            if left := run.left_behind():
                raise StageFailed("something is left behind", "\n".join(left))
        held = True
    return held


def _promote(story: Story, load: Load) -> str:
    """All traffic, and then the canary's artifact as the model's own: nothing is deployed anew."""
    first, better = story.artifacts.first, story.artifacts.better
    for percent in (10, 100):
        demand_ok(story.up(first, better, percent))
        load.forget()
        load.until(2 * FEWEST * 10)
    before = story.newest()
    outcome = story.up(better)
    demand_ok(outcome)
    if list(story.versions().values()) != [before]:
        raise StageFailed("the promoted version was deployed anew", str(story.versions()))
    return outcome.summary()


def _until_asked(load: Load, deployed: str, *, failing: bool) -> None:
    """Wait until a canary has been asked often enough to be judged."""
    load.forget()
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if (len(load.failures) if failing else load.answers[deployed]) >= 2 * FEWEST:
            return
        time.sleep(0.05)
    raise StageFailed(f"{deployed} was not asked often enough", str(load.answers))


def _demand_told(story: Story) -> str:
    """Who rolled out what, and since when, stands in the outputs, and a second `up` keeps it."""
    told = story.run.engine.outputs()["rolledOut"]
    shares = {it["deployedModelId"]: it["traffic"] for it in told}
    if shares != {it: shares[it] for it in story.versions().values()}:
        raise StageFailed("the outputs tell of other models", str(told))
    if not all(it[key] for it in told for key in ("deployedAt", "trafficSince")):
        raise StageFailed("since when is not told", str(told))
    audience = story.run.environment.platform.audience
    if {it["trafficBy"] for it in told} != {f"somebody of {audience}"}:
        raise StageFailed(f"it was somebody of {audience}", str(told))
    outcome = story.up(story.artifacts.better, story.artifacts.rare, 10)
    if outcome.changed or story.run.engine.outputs()["rolledOut"] != told:
        raise StageFailed("a second up changes it", outcome.summary())
    return f"{len(told)} models, by {told[0]['trafficBy']}"


@contextmanager
def _opened(report: Report) -> Iterator[Story]:
    models = report.folder / "models"
    with report.stage("train the models"):
        artifacts = Artifacts.trained(report.folder / "versions")
        environment = environments.load("staging", models, **SETTINGS)
    # The pack's configuration has the environment as it is checked in, without a canary.
    here = world.opened(environment, models, policies=False, attached=True)
    with here as cloud:
        options = Options("staging", settings=SETTINGS)
        yield Story(
            Rehearsal(cloud.sandbox, cloud.engine, cloud.before, options, report), artifacts
        )
