"""Stacks side by side in one cloud: one environment in three regions, or two in one project."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from rehearsal import environment as environments
from rehearsal.engine import Outcome, warm_up
from rehearsal.environment import Environment
from rehearsal.layers import engine_of
from rehearsal.report import Report, StageFailed
from rehearsal.run import Options, Rehearsal, demand_ok
from rehearsal.sandbox import Sandbox
from rehearsal.toolchain import gcp_plugin
from rehearsal.workloads import Client

REGIONS: Final = ("europe-west4", "us-central1", "asia-southeast1")


def region_settings(region: str) -> dict[str, Any]:
    """What a region has of its own: everything else is production's."""
    short = region.split("-")[0]
    source = f"projects/iot-registry/locations/{region}/models/shuttle-anomaly@default"
    return {
        "project": f"iot-prod-{short}",
        "region": region,
        "kmsKey": f"projects/iot-keys/locations/{region}/keyRings/serving/cryptoKeys/prod",
        "rolePrefix": f"predictiveMaintenance{short.capitalize()}",
        "models": [{"id": "shuttle-anomaly", "source": source, "traffic": 100}],
        "sourceArtifactsBucket": f"iot-registry-artifacts-{short}",
        # One of them goes in the end. Jobs of GitHub come in by a project's number, of which the
        # environment's file has one.
        "protect": False,
        "deployerMay": ["retire"],
        "federation": {},
    }


SECOND: Final[Mapping[str, Any]] = {
    "namePrefix": "b-",
    "accountPrefix": "pm-b-",
    "rolePrefix": "predictiveMaintenanceB",
    "endpointId": "7203419",
    "alerts": {"topic": "b-incidents"},
}
"""What a second stack has of its own in a project."""
OF_THE_SECOND: Final = ("/b-", "-b-", "MaintenanceB", "/7203419")
NAMED: Final = (
    *("serviceAccounts", "buckets", "models", "endpoints", "datasets", "tables"),
    *("topics", "subscriptions", "schemas", "logMetrics", "services"),
)


def three_regions(report: Report) -> bool:
    """Three regions from settings alone: up together, each serves by itself, one goes, the others
    serve on."""
    models = report.folder / "models"
    found = [_environment(region, models) for region in REGIONS]
    seeds = [_seed(it, number) for number, it in enumerate(found, 1)]
    return _beside_each_other(report, found, seeds, ("stay in the region", _demand_regional))


def two_stacks(report: Report) -> bool:
    """Two stacks in one project: up together, each serves by itself, one goes, the other serves
    on."""
    models = report.folder / "models"
    first = environments.load("staging", models)
    second = replace(environments.load("staging", models, **SECOND), stack="staging-b")
    found = [first, second]
    seeds = [environments.seed(it) for it in found]
    return _beside_each_other(
        report, found, seeds, ("tell them apart", partial(_demand_apart, first.settings.project))
    )


def _beside_each_other(
    report: Report,
    found: list[Environment],
    seeds: list[dict[str, Any]],
    look: tuple[str, Callable[[Sandbox], str]],
) -> bool:
    """`look` is a stage while all of them are up. The last of them goes, the others serve on."""
    models = report.folder / "models"
    held = False
    with ExitStack() as until_the_end:
        starting = Sandbox(merged(seeds))
        warm_up()
        sandbox = until_the_end.enter_context(starting)
        before = sandbox.control("GET", "/state")
        # What is looked up is there once, however many look it up.
        for environment in {tuple(it.settings.source_buckets): it for it in found}.values():
            environments.prepare_source(environment, sandbox, models)
        runs = []
        for environment in found:
            # The pack's configuration has one region an environment; it judges the checked-in ones.
            engine = engine_of(sandbox, environment, gcp_plugin(), policies=False)
            options = Options(environment.stack)
            runs.append(Rehearsal(sandbox, engine, before, options, report))
        with runs[0].explained():
            with report.stage("up side by side") as stage:
                stage.note = _demand(side_by_side(runs, "up"))
            clients = [Client(run) for run in runs]
            with ExitStack() as asking:
                for client in clients[:-1]:
                    asking.enter_context(client)
                with clients[-1], report.stage("up again") as stage:
                    outcomes = side_by_side(runs, "up")
                    stage.note = _demand(outcomes)
                    if changed := [line for it in outcomes for line in it.touched]:
                        raise StageFailed("something changed", "\n".join(changed))
                with report.stage(look[0]) as stage:
                    stage.note = look[1](sandbox)
                with report.stage(f"destroy {found[-1].stack}") as stage:
                    (outcome,) = side_by_side(runs[-1:], "destroy")
                    demand_ok(outcome)
                    stage.note = outcome.summary()
                with report.stage("look at the others") as stage:
                    outcomes = side_by_side(runs[:-1], "refresh")
                    stage.note = _demand(outcomes)
                    if changed := [line for it in outcomes for line in it.touched]:
                        raise StageFailed("the others changed with it", "\n".join(changed))
            with report.stage("check the traffic") as stage:
                stage.note = _demand_answers(clients)
            held = True
    return held


def _environment(region: str, models: Path) -> Environment:
    loaded = environments.load("prod", models, **region_settings(region))
    assert loaded.rollout is not None
    return replace(
        loaded,
        stack=f"prod-{region}",
        rollout=replace(loaded.rollout, stack=f"prod-{region}-rollout"),
    )


def _seed(environment: Environment, number: int) -> dict[str, Any]:
    seed = environments.seed(environment)
    own = environment.settings.project
    for project in seed["projects"]:
        if project["id"] == own:
            project["number"] = str(int(environments.NUMBER) + number)
    return seed


def merged(seeds: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One seed of several; what they have in common is there once."""
    whole: dict[str, Any] = {}
    for key in dict.fromkeys(key for seed in seeds for key in seed):
        parts = [seed[key] for seed in seeds if key in seed]
        if isinstance(parts[0], list):
            items = [item for part in parts for item in part]
            whole[key] = [item for at, item in enumerate(items) if item not in items[:at]]
        else:
            whole[key] = parts[0]
    return whole


def side_by_side(runs: list[Rehearsal], operation: str) -> list[Outcome]:
    """An operation of each, in processes of their own: Pulumi's SDK runs one program in each."""
    started = [run.engine.apart(operation) for run in runs]
    return [each.outcome() for each in started]


def _demand(outcomes: list[Outcome]) -> str:
    for outcome in outcomes:
        demand_ok(outcome)
    return "; ".join(outcome.summary() for outcome in outcomes)


def _demand_regional(sandbox: Sandbox) -> str:
    """What names a region in its own name is in the project of that region."""
    state: dict[str, list[str]] = sandbox.control("GET", "/state")
    placed = 0
    for kind, names in state.items():
        for name in names:
            regions = [region for region in REGIONS if f"/locations/{region}/" in name]
            if regions and "projects/iot-prod-" in name:
                placed += 1
                if f"projects/iot-prod-{regions[0].split('-')[0]}/" not in name:
                    raise StageFailed("in another region's project", f"{kind}: {name}")
    if not placed:
        raise StageFailed("nothing is in any region")
    return f"{placed} things with a region in their name, each in its region's project"


def _demand_apart(project: str, sandbox: Sandbox) -> str:
    """Of what has a name of the stack's choice, each of the two has as much as the other."""
    state: dict[str, list[str]] = sandbox.control("GET", "/state")
    counted = Counter[str]()
    for kind in NAMED:
        names = [name.replace("_", "-") for name in state[kind] if project in name]
        seconds = [name for name in names if any(its in name for its in OF_THE_SECOND)]
        if not seconds or 2 * len(seconds) != len(names):
            raise StageFailed(f"{kind}: not as many of one as of the other", "\n".join(names))
        counted[kind] = len(seconds)
    return f"{counted.total()} things of {len(counted)} kinds, each twice"


def _demand_answers(clients: list[Client]) -> str:
    for client in clients:
        if client.failures or not client.answers:
            said = client.failures[0] if client.failures else "nobody answered"
            raise StageFailed(f"{len(client.failures)} predictions failed", said)
    return f"{sum(it.answers.total() for it in clients):,} predictions, 0 failed"
