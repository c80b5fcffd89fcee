"""A stack becomes two, foundation and rollout, while it serves; and what a rollout may not do."""

from __future__ import annotations

import base64
import shlex
from collections.abc import Iterator
from typing import Any

from access import split
from components import permissions as table
from components.settings import Settings
from components.telemetry import DATASET, TOPIC
from rehearsal import environment as environments
from rehearsal import lifecycle
from rehearsal.engine import Engine, stack_program
from rehearsal.layers import Layers
from rehearsal.report import Report, StageFailed
from rehearsal.run import Options, Rehearsal, demand_ok, opened
from rehearsal.sandbox import GoogleError
from rehearsal.toolchain import gcp_plugin
from rehearsal.workloads import Client

REPLACED = ("replace", "create-replacement", "delete-replaced")


def two_layers(report: Report) -> bool:
    """One stack becomes two under load: nothing is replaced, no prediction fails, and who rolls
    out can change no access."""
    held = False
    with opened(Options("staging"), report) as run, run.explained():
        with report.stage("up as a whole") as stage:
            lifecycle.up(run, stage)
        client = Client(run)
        with client:
            with report.stage("a rollout by itself") as stage:
                rollout = _rollout(run)
                stage.note = _demand_refused(rollout)
            with report.stage("move the state") as stage:
                both = _moved(run, rollout)
                taken = len(rollout.resources())
                stage.note = f"{taken} resources to {rollout.environment.stack}"
            for engine in both.layers:
                with report.stage(f"up {engine.environment.settings.layer}") as stage:
                    outcome = engine.up(judged=False)
                    stage.note = outcome.summary()
                    demand_ok(outcome)
                    if replaced := [it for it in outcome.touched if it.startswith(REPLACED)]:
                        raise StageFailed("something was replaced", "\n".join(replaced))
            run = Rehearsal(run.sandbox, both, run.before, run.options, report)
            with report.stage("up again") as stage:
                lifecycle.up_again(run, stage)
            with report.stage("a new version, by the rollout alone") as stage:
                before = set(client.answers)
                models = report.folder / "models"
                newer = environments.renewed(both.environment, run.sandbox, models)
                assert newer.rollout is not None
                both.layers[1].configure(newer.rollout)
                outcome = both.layers[1].up(judged=False, refresh=True)
                stage.note = outcome.summary()
                demand_ok(outcome)
                client.until_answered_by(before)
        with report.stage("check the traffic") as stage:
            if client.failures:
                raise StageFailed(f"{len(client.failures)} predictions failed", client.failures[0])
            stage.note = f"{client.answers.total():,} predictions, 0 failed"
        with report.stage("try to change access") as stage:
            stage.note = _demand_denied(run, both.layers[1])
        with report.stage("the foundation first") as stage:
            outcome = both.layers[0].destroy()
            if outcome.ok or not any("rolls them out" in error for error in outcome.errors):
                raise StageFailed("destroy went past the rollout", "\n".join(outcome.errors))
            stage.note = "refused; nothing is gone"
        with report.stage("destroy both") as stage:
            run.hold(stage, both.destroy())
        held = True
    return held


def _rollout(run: Rehearsal) -> Engine:
    """A stack of the rollout, beside the one that declares all."""
    environment = environments.load("staging", run.report.folder / "models", layer="foundation")
    assert environment.rollout is not None
    run.engine.configure(environment)
    run.engine.environment = environment
    plugin = gcp_plugin(run.options.provider)
    return Engine(run.sandbox, environment.rollout, plugin, beside=run.engine, attached=True)


def _demand_refused(rollout: Engine) -> str:
    """The deployer of a whole stack holds less than a rollout needs: it is said, at once."""
    outcome = rollout.up(judged=False)
    said = "\n".join(outcome.errors)
    if outcome.ok or "the foundation lacks" not in said or "attachSubscription" not in said:
        raise StageFailed("it was not said what is missing", said)
    if rollout.outputs():
        raise StageFailed("something was made")
    return "says what the foundation lacks"


def _moved(run: Rehearsal, rollout: Engine) -> Layers:
    """The state in two, by the commands that `python -m access split` prints."""
    init, move = split.script(run.engine.exported(), rollout.environment.stack).split("\n", 1)
    assert init.startswith("pulumi stack init")
    _, *arguments = shlex.split(move)
    run.engine.pulumi(*arguments)
    return Layers(run.engine, rollout)


def _demand_denied(run: Rehearsal, rollout: Engine) -> str:
    """A program in the rollout's layer that changes access, and the same without Pulumi."""
    settings = run.environment.settings
    rollout.use(lambda: _changes_access(settings))
    outcome = rollout.up(judged=False, continue_on_error=True)
    rollout.use(stack_program)
    denied = {urn.rpartition("::")[2] for urn in outcome.failed}
    said = "\n".join(outcome.errors)
    wanted = {"more-access", "another-role", "another-account", "a-key"}
    if denied != wanted or said.count("denied") < len(wanted):
        raise StageFailed(f"of {', '.join(sorted(wanted - denied)) or 'them'} not denied", said)
    deployer = run.sandbox.google(settings.email(table.DEPLOYER))
    tried = list(_calls(settings))
    for verb, url, body in tried:
        try:
            deployer.call(verb, url, body)
        except GoogleError as error:
            if error.status == 403:
                continue
            raise StageFailed(f"{verb} {url} was not denied but got", str(error)) from error
        raise StageFailed(f"the deployer may {verb} {url}")
    return f"{len(wanted)} resources and {len(tried)} calls denied by IAM"


def _changes_access(settings: Settings) -> None:
    """The stack's program, and after it what would make the deployer stronger."""
    stack_program()
    import pulumi
    import pulumi_gcp as gcp

    deployer = gcp.Provider(
        "stronger",
        project=settings.project,
        impersonate_service_account=settings.email(table.DEPLOYER),
    )
    by = pulumi.ResourceOptions(provider=deployer)
    member = settings.member(table.DEPLOYER)
    gcp.projects.IAMMember(
        "more-access", project=settings.project, role="roles/owner", member=member, opts=by
    )
    gcp.projects.IAMCustomRole(
        "another-role",
        project=settings.project,
        role_id="another",
        title="Another",
        permissions=["resourcemanager.projects.setIamPolicy"],
        opts=by,
    )
    gcp.serviceaccount.Account(
        "another-account", project=settings.project, account_id="another-account", opts=by
    )
    gcp.serviceaccount.Key(
        "a-key", service_account_id=settings.account_name(table.SERVING), opts=by
    )


def _calls(settings: Settings) -> Iterator[tuple[str, str, Any]]:
    """Changes of access, as plain calls."""
    project, owner = settings.project, settings.member(table.DEPLOYER)
    bindings = {"policy": {"bindings": [{"role": "roles/owner", "members": [owner]}]}}
    iam = "https://iam.googleapis.com/v1"
    vertex = f"https://{settings.region}-aiplatform.googleapis.com/v1beta1"
    pubsub = f"https://pubsub.googleapis.com/v1/projects/{project}"
    manager = f"https://cloudresourcemanager.googleapis.com/v1/projects/{project}"
    bucket = f"https://storage.googleapis.com/storage/v1/b/{settings.artifacts_bucket}/iam"
    datasets = f"https://bigquery.googleapis.com/bigquery/v2/projects/{project}/datasets"
    yield "POST", f"{manager}:setIamPolicy", bindings
    yield "PATCH", f"{iam}/{settings.role_name('deployer')}", {"title": "More"}
    yield "POST", f"{iam}/projects/{project}/serviceAccounts", {"accountId": "another-account"}
    for identity in (table.SERVING, table.TELEMETRY):
        account = f"{iam}/{settings.account_name(identity)}"
        yield "POST", f"{account}:setIamPolicy", bindings
        yield "POST", f"{account}/keys", {}
    credentials = "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts"
    telemetry = f"{credentials}/{settings.email(table.TELEMETRY)}"
    yield "POST", f"{telemetry}:generateAccessToken", {"scope": ["x"]}
    yield "POST", f"{telemetry}:signBlob", {"payload": base64.b64encode(b"x").decode()}
    yield "POST", f"{vertex}/{settings.endpoint_name}:setIamPolicy", bindings
    yield "POST", f"{pubsub}/topics/{settings.named(TOPIC)}:setIamPolicy", bindings
    yield "PUT", bucket, bindings["policy"]
    yield "PATCH", f"{datasets}/{settings.dataset(DATASET)}", {"access": []}
