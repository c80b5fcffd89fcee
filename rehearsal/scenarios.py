"""Named stories, each played on the real engine."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import Final

import pulumi

from components import permissions as table
from components.apis import SERVICES
from components.settings import Settings
from rehearsal import (
    adopting,
    canaries,
    causes,
    colleague,
    devices,
    lifecycle,
    regions,
    splitting,
    statebucket,
    toolchain,
    world,
)
from rehearsal import environment as environments
from rehearsal.engine import EngineError, Outcome
from rehearsal.rehearse import REVIEW, Step, play
from rehearsal.report import Report, StageFailed
from rehearsal.run import Options, Rehearsal, demand_ok, opened
from rehearsal.sandbox import GoogleError
from rehearsal.workloads import Client
from vertexops.sdk import AccessReady, Provider

REGISTRY_EDITOR: Final = "roles/cloudiot.editor"
"""The nearest role there is: `roles/iot.registryEditor` never existed (gcp-facts/08)."""

DEVICE_REGISTRY: Final = {
    "kind": "clearblade",
    "registry": "shuttles",
    "gateways": ["hall-1"],
    "devices": ["shuttle-1", "shuttle-2"],
}
STRANGER: Final = "their-shuttle"

NEEDED: Final = "aiplatform.endpoints.create"


def registry_editor_only(report: Report) -> bool:
    """A deployer with only a registry editor's role gets the 403; the stack's role cures it."""
    models = report.folder / "models"
    environment = environments.load("staging", models)
    settings = environment.settings
    member = settings.member(table.DEPLOYER)
    seed = environments.seed(environment)
    seed["projects"][0]["services"] = SERVICES
    seed["accounts"] = [{"project": settings.project, "id": settings.account_id(table.DEPLOYER)}]
    seed["grants"] += [
        {
            "resource": f"projects/{settings.project}",
            "role": REGISTRY_EDITOR,
            "member": member,
        },
        {
            "resource": settings.account_name(table.DEPLOYER),
            "role": "roles/iam.serviceAccountTokenCreator",
            "member": settings.platform_member,
        },
    ]
    cured = False
    here = world.opened(
        environment,
        models,
        seed=seed,
        program=lambda: _endpoint_alone(settings, cured),
        policies=False,
    )
    held = False
    with here as alone:
        run = Rehearsal(alone.sandbox, alone.engine, alone.before, Options("staging"), report)
        with run.explained():
            with report.stage("registry editor only") as stage:
                outcome = run.engine.up()
                stage.note = f"{NEEDED} denied" if not outcome.ok else "went through"
                _demand_denial(outcome)
            reason = f"As in the thread: {REGISTRY_EDITOR} is not enough."
            run.explain(StageFailed(reason, "\n".join(outcome.errors)))
            report.console.print()
            cured = True
            with report.stage("with the stack's role") as stage:
                outcome = run.engine.up()
                stage.note = outcome.summary()
                demand_ok(outcome)
            with report.stage("destroy"):
                demand_ok(run.engine.destroy())
            held = True
    return held


def _demand_denial(outcome: Outcome) -> None:
    if outcome.ok or not any(NEEDED in error for error in outcome.errors):
        raise StageFailed(f"no denial of {NEEDED}", "\n".join(outcome.errors))


def _endpoint_alone(settings: Settings, cured: bool) -> None:
    """An endpoint created by the deployer account; with its role from the table when `cured`."""
    import pulumi_gcp as gcp

    email, before = settings.email(table.DEPLOYER), list[pulumi.Resource]()
    if cured:
        before.append(_cure(settings))
    deployer = gcp.Provider("deployer", project=settings.project, impersonate_service_account=email)
    gcp.vertex.AiEndpoint(
        "endpoint",
        name=settings.endpoint_id,
        project=settings.project,
        location=settings.region,
        region=settings.region,
        display_name="predictive-maintenance",
        opts=pulumi.ResourceOptions(provider=deployer, depends_on=before),
    )


def _cure(settings: Settings) -> pulumi.Resource:
    import pulumi_gcp as gcp

    platform = gcp.Provider("platform", project=settings.project)
    vertexops = Provider("vertexops", project=settings.project, region=settings.region)
    held = next(
        role.permissions
        for role in table.roles(settings.capabilities)
        if (role.identity, role.on) == (table.DEPLOYER, table.PROJECT)
    )
    role = gcp.projects.IAMCustomRole(
        "deployer",
        project=settings.project,
        role_id=settings.role_id("deployer"),
        title="Predictive maintenance: deployer",
        permissions=list(held),
        opts=pulumi.ResourceOptions(provider=platform),
    )
    grant = gcp.projects.IAMMember(
        "deployer-deployer",
        project=settings.project,
        role=role.name,
        member=settings.member(table.DEPLOYER),
        opts=pulumi.ResourceOptions(provider=platform),
    )
    return AccessReady(
        "deployer-ready",
        principal=settings.email(table.DEPLOYER),
        needs=[{"resource": f"projects/{settings.project}", "permissions": list(held)}],
        deadline_seconds=settings.readiness_seconds,
        opts=pulumi.ResourceOptions(provider=vertexops, depends_on=[grant]),
    )


def model_update(report: Report) -> bool:
    """A new model version while a client predicts without pause: no prediction fails."""
    held = False
    with opened(Options("staging"), report) as run, run.explained():
        with report.stage("up") as stage:
            lifecycle.up(run, stage)
        before = {model["id"] for model in run.engine.outputs()["deployedModels"]}
        client = Client(run)
        with report.stage("update the model") as stage, client:
            models = report.folder / "models"
            run.engine.configure(environments.renewed(run.environment, run.sandbox, models))
            outcome = run.engine.up()
            stage.note = outcome.summary()
            if not outcome.ok:
                raise StageFailed("the update failed", "\n".join(outcome.errors))
            client.until_answered_by(before)
        with report.stage("check the traffic") as stage:
            stage.note = _demand_moved(run, client, before)
        with report.stage("put a name right") as stage:
            colleague.rename(run)
            outcome = run.engine.up(refresh=True)
            stage.note = outcome.summary()
            demand_ok(outcome)
            colleague.demand_own_name(run)
        held = True
    return held


def _demand_moved(run: Rehearsal, client: Client, before: set[str]) -> str:
    after = {model["id"] for model in run.engine.outputs()["deployedModels"]}
    if client.failures:
        raise StageFailed(f"{len(client.failures)} predictions failed", client.failures[0])
    if not before - after or not client.answers.keys() & (after - before):
        raise StageFailed("traffic did not move to the new version", str(dict(client.answers)))
    settings = run.environment.settings
    deployer = run.sandbox.google(settings.email(table.DEPLOYER))
    for model in settings.models:
        location = f"projects/{settings.project}/locations/{settings.region}"
        name = f"{location}/models/{settings.named(model.id)}"
        url = f"https://{settings.region}-aiplatform.googleapis.com/v1/{name}:listVersions"
        if model.artifact and len(versions := deployer.call("GET", url)["models"]) != 1:
            raise StageFailed(f"{name} still has {len(versions)} versions")
    return f"{client.answers.total():,} predictions, 0 failed; old version gone"


def pull_request(report: Report) -> bool:
    """Previews by an account that can read the whole stack and change nothing."""
    with opened(Options("staging"), report) as run:
        return play(run, [Step("up", lifecycle.up), *REVIEW])


def tell_devices(report: Report) -> bool:
    """Devices are told where to ask: anew after a rollout, and whatever others do meanwhile."""
    settings = {"deviceRegistry": DEVICE_REGISTRY}
    held = False
    with opened(Options("staging", settings=settings), report) as run, run.explained():
        with report.stage("up") as stage:
            lifecycle.up(run, stage)
        with report.stage("tell the registry") as stage:
            devices.tell(run, stage)
        with report.stage("update the model") as stage:
            models = report.folder / "models"
            run.engine.configure(environments.renewed(run.environment, run.sandbox, models))
            # With a refresh, which is what finds the newer version of a looked-up model.
            run.hold(stage, run.engine.up(refresh=True))
        with report.stage("tell the registry again") as stage:
            devices.tell(run, stage)
        with report.stage("up again") as stage:
            lifecycle.up_again(run, stage)
        console = devices.Console(run)
        with report.stage("somebody else changes it") as stage:
            console.tell(DEVICE_REGISTRY["devices"][0], b"{}")
            console.forget(DEVICE_REGISTRY["devices"][1])
            outcome = run.engine.up(refresh=True)
            demand_ok(outcome)
            stage.note = f"put right: {outcome.summary()}"
            _demand_versions(console, {"hall-1": 2, "shuttle-1": 4, "shuttle-2": 1})
        with report.stage("a device of somebody else") as stage:
            console.register(STRANGER)
            outcome = run.engine.destroy()
            if outcome.ok or not any(STRANGER in error for error in outcome.errors):
                raise StageFailed(f"destroy did not name {STRANGER}", "\n".join(outcome.errors))
            console.forget(STRANGER)
            stage.note = "named, and the registry kept"
        with report.stage("destroy") as stage:
            run.hold(stage, run.engine.destroy())
            # The looked-up model's owner keeps what he trained meanwhile.
            own = f"gs://{run.environment.settings.source_artifacts_bucket}/"
            if left := [name for name in run.left_behind() if own not in name]:
                raise StageFailed("something is left behind", "\n".join(left))
        with report.stage("look for keys") as stage:
            stage.note = f"none in {devices.demand_secret(run)} files"
        held = True
    return held


def adopt(report: Report) -> bool:
    """What somebody made by hand becomes the stack's, while it answers: nothing is replaced."""
    models = report.folder / "models"
    # What was made without a key of one's own could only be replaced to have one.
    environment = environments.load("staging", models, kmsKey="")
    here = world.opened(environment, models, seed=adopting.seed(environment), attached=True)
    held = False
    with here as cloud:
        run = Rehearsal(cloud.sandbox, cloud.engine, cloud.before, Options("staging"), report)
        with run.explained():
            with report.stage("made by hand") as stage:
                adopting.make_by_hand(run, environments.artifact(models, "by-hand").read_bytes())
                stage.note = f"as {adopting.MAKER}, with 1 model under all traffic"
            client = Client(run, adopting.asker(run))
            with client:
                with report.stage("what is there already") as stage:
                    found = adopting.find(run, stage)
                    adopting.demand_found(run, found)
                with report.stage("import") as stage:
                    stage.note = adopting.take_over(run, found)
                with report.stage("up") as stage:
                    adopting.up(run, stage)
                client.until_answered_by({adopting.DEPLOYED})
            with report.stage("predictions meanwhile") as stage:
                stage.note = _demand_moved(run, client, {adopting.DEPLOYED})
            with report.stage("up again") as stage:
                lifecycle.up_again(run, stage)
            with report.stage("destroy") as stage:
                run.hold(stage, run.engine.destroy())
            held = True
    return held


def state_bucket(report: Report) -> bool:
    """The bucket and the key that Pulumi keeps states in: who may use them, and what stays."""
    with ExitStack() as until_the_end:
        try:
            with report.stage("start the cloud"):
                keeper = until_the_end.enter_context(statebucket.opened(toolchain.gcp_plugin()))
                statebucket.configure(keeper)
            with report.stage("preview"):
                keeper.judged("preview")
            with report.stage("up") as stage:
                stage.note = statebucket.summary(keeper.judged("up", "--yes", "--skip-preview"))
            with report.stage("up again") as stage:
                stage.note = statebucket.summary(keeper.judged("preview", "--expect-no-changes"))
            with report.stage("who may do what") as stage:
                stage.note = statebucket.demand_uses(keeper)
            with report.stage("a stack in it") as stage:
                stage.note = statebucket.demand_login(keeper)
            with report.stage("its own state is lost") as stage:
                stage.note = statebucket.demand_found_again(keeper)
            with report.stage("destroy") as stage:
                stage.note = statebucket.demand_kept(keeper)
        except (StageFailed, EngineError, GoogleError) as error:
            report.failure(error, [], {})
            return False
    return True


def _demand_versions(console: devices.Console, wanted: dict[str, int]) -> None:
    found = {id: int(device["config"]["version"]) for id, device in console.devices().items()}
    if found != wanted:
        raise StageFailed("configs have other versions", f"{found}, not {wanted}")


SCENARIOS: Final[dict[str, Callable[[Report], bool]]] = {
    "registry-editor-only": registry_editor_only,
    "model-update": model_update,
    "pull-request": pull_request,
    "devices": tell_devices,
    "adopt": adopt,
    "canary": canaries.canary,
    "state": state_bucket,
    "two-layers": splitting.two_layers,
    "three-regions": regions.three_regions,
    "two-stacks": regions.two_stacks,
    **{cause.name: partial(causes.play, causes=[cause]) for cause in causes.CAUSES},
}
