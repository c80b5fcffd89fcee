"""The proof that roles are tight: over a stack's whole life, everything granted is used.

The life of an environment is played as far as it has it: first deployment, telemetry, drift and
incidents, a new version of the models, everything that somebody else changed put right, previews of
pull requests, destruction, and up again after it. What a role holds beyond what was used is spare;
what was used without a line of the table is missing there. Either ends the proof.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from access.answer import explained
from components import federation
from components import permissions as table
from components import telemetry as stack
from components.alerts import SERVICE
from components.dashboard import DENIALS
from components.settings import Settings
from rehearsal import colleague, lifecycle
from rehearsal import environment as environments
from rehearsal.environment import OWNER, Environment
from rehearsal.rehearse import REVIEW, STEPS, Step, play
from rehearsal.report import Report, Stage, StageFailed
from rehearsal.routing import PUBSUB
from rehearsal.run import Options, Rehearsal, opened
from rehearsal.watching import MONITORING

BY_HAND: Final = "changed by hand"
SOMEBODY_ELSE: Final = "night@example.com"
MONTH_MS: Final = 30 * 24 * 60 * 60 * 1000
CREATORS: Final = frozenset({"roles/bigquery.dataOwner"})
"""What BigQuery gives whoever creates a dataset. Another one of the platform's group lacks it: what
was used by it is a use of the platform's own role."""

IAM: Final = "https://iam.googleapis.com/v1"
USAGE: Final = "https://serviceusage.googleapis.com/v1"
SETTLED: Final = 600
"""Seconds after which a grant and an API are in effect."""

NO_OTHERS: Final[Mapping[str, Any]] = {}

Change = tuple[str, str, Any]
"""Verb, address and body of a request."""


def prove(stack_name: str, report: Report, settings: Mapping[str, Any] = NO_OTHERS) -> bool:
    """Play the whole life, and say what each identity was granted and used; True when all fits.

    `settings` go before those of the stack's file.
    """
    with opened(Options(stack_name, settings=settings), report) as run:
        held = play(run, list(_life(run)))
        spare, missing = _spare(run), _unlisted(run)
    report.summary["spare"], report.summary["missing"] = spare, missing
    if held:
        for identity, permission, step in spare:
            report.console.print(f"spare: {identity} holds {permission} ({step}), nothing used it")
        for identity, permission, role in missing:
            report.console.print(f"missing: {identity} used {permission} by {role}, no line has it")
    report.summary["passed"] = held and not spare and not missing
    return bool(report.summary["passed"])


def _life(run: Rehearsal) -> Iterator[Step]:
    yield Step("an earlier life", earlier_life)
    yield from (step for step in STEPS if not step.ending)
    if run.environment.reviewer:
        yield from REVIEW
    yield Step("more for the canaries", grow, lambda it: it.tries)
    yield Step("a new version", new_version)
    yield Step("put right", put_right)
    if run.protected:
        yield Step("fewer alerts", fewer_alerts, lambda it: it.watches)
        return
    yield Step("destroy", destroy)
    yield Step("come back too early", come_back, lambda it: it.federates)
    yield Step("up after destroy", lifecycle.up)
    yield Step("destroy once more", destroy)


def earlier_life(run: Rehearsal, stage: Stage) -> None:
    """The environment was there before: roles that were deleted with it are still known."""
    settings = run.environment.settings
    roles = [settings.role_name("deployer")]
    roles += _in_source(settings)
    for role in roles:
        parent, _, id = role.partition("/roles/")
        _own(run, parent)
        owner = run.sandbox.google(OWNER)
        enabling = f"{USAGE}/{parent}/services/iam.googleapis.com:enable"
        owner.finish(owner.call("POST", enabling, {}), USAGE)
        run.sandbox.wait(SETTLED)
        body = {"roleId": id, "role": {"title": id, "includedPermissions": [], "stage": "GA"}}
        owner.call("POST", f"{IAM}/{parent}/roles", body)
        owner.call("DELETE", f"{IAM}/{role}")
    run.sandbox.renew()
    stage.note = f"{len(roles)} soft-deleted roles"


def _in_source(settings: Settings) -> list[str]:
    """Roles that stand for all of the stack's in other projects."""
    keys = {table.SOURCE: "artifactReader", table.PULL: "imageReader"}
    return [
        settings.role_name(key, project)
        for project in settings.source_projects
        for capability, key in keys.items()
        if capability in settings.capabilities_in(project)
    ]


def _own(run: Rehearsal, project: str) -> None:
    """Make somebody an owner of a project, from now on."""
    grant = {"resource": project, "role": "roles/owner", "member": f"user:{OWNER}"}
    run.sandbox.control("POST", "/seed", {"grants": [grant]})
    run.sandbox.wait(SETTLED)


def new_version(run: Rehearsal, stage: Stage) -> None:
    """A newer version of each model; a refresh finds those that others registered."""
    models = run.report.folder / "models"
    run.engine.configure(environments.renewed(run.environment, run.sandbox, models))
    run.hold(stage, run.engine.up(refresh=True))


def grow(run: Rehearsal, stage: Stage) -> None:
    """Each canary gets all of its model's traffic, for which it is looked how it does.

    What was asked of it is long ago by now on the cloud's clock: too little to judge by.
    """
    here = run.environment
    models = [
        {**it, **({"canary": {**it["canary"], "percent": 100}} if "canary" in it else {})}
        for it in here.values["models"]
    ]
    guard = {**here.values["canaryGuard"], "whenTooFew": "go"}
    changed = {**here.overrides, "models": models, "canaryGuard": guard}
    folder = run.report.folder / "models"
    run.engine.configure(environments.load(here.stack, folder, **changed))
    run.hold(stage, run.engine.up())


def fewer_alerts(run: Rehearsal, stage: Stage) -> None:
    """Replicas are fixed, so that no alert is about their maximum, and somebody else is told."""
    run.engine.configure(with_fewer_alerts(run))
    run.hold(stage, run.engine.up())


def with_fewer_alerts(run: Rehearsal) -> Environment:
    here = run.environment
    told = {**here.values["alerts"], "emails": [SOMEBODY_ELSE]}
    fixed = {"maxReplicas": here.settings.min_replicas, "alerts": told}
    changed = {**here.overrides, **fixed}
    return environments.load(here.stack, run.report.folder / "models", **changed)


def destroy(run: Rehearsal, stage: Stage) -> None:
    """All of the stack; the newer models that others registered are theirs, and stay."""
    run.hold(stage, run.engine.destroy())


def come_back(run: Rehearsal, stage: Stage) -> None:
    """A deleted identity pool keeps its id, which the next `up` says; it takes another one."""
    outcome = run.engine.up()
    [error] = [error for error in outcome.errors if "WorkloadIdentityPool" in error] or [""]
    here, found = run.environment, explained(error, run.environment.settings)
    if outcome.ok or not any("federation.pool" in fix for it in found for fix in it.fix["pulumi"]):
        raise StageFailed("nobody said that the pool's id is taken", "\n".join(outcome.errors))
    other = {**here.values["federation"], "pool": f"{here.settings.pool_id}-2"}
    changed = {**here.overrides, "federation": other}
    run.engine.configure(environments.load(here.stack, run.report.folder / "models", **changed))
    stage.note = "refused: the id of a deleted pool is taken; another one from now on"


def put_right(run: Rehearsal, stage: Stage) -> None:
    """Somebody with every right changes what can be changed; an `up` with refresh puts it right."""
    changes = change_by_hand(run)
    outcome = run.engine.up(refresh=True)
    run.hold(stage, outcome)
    if len(outcome.touched) < changes:
        shown = "\n".join(outcome.touched)
        raise StageFailed(f"not all of {changes} changes were put right", shown)
    stage.note = f"{changes} changes by hand; {outcome.summary()}"


def change_by_hand(run: Rehearsal) -> int:
    """How many things somebody with every right has changed."""
    owner, changes = run.sandbox.google(OWNER), list(_by_hand(run))
    for verb, url, body in changes:
        owner.call(verb, url, body)
    return len(changes)


def _by_hand(run: Rehearsal) -> Iterator[Change]:
    settings, owner = run.environment.settings, run.sandbox.google(OWNER)
    project = f"projects/{settings.project}"
    yield "PATCH", f"{IAM}/{settings.role_name('deployer')}?updateMask=title", {"title": BY_HAND}
    for reader in _in_source(settings):
        yield "PATCH", f"{IAM}/{reader}?updateMask=title", {"title": BY_HAND}
    if run.registers:
        bucket = f"https://storage.googleapis.com/storage/v1/b/{settings.artifacts_bucket}"
        yield "PATCH", bucket, {"versioning": {"enabled": False}}
        model = colleague.model_name(settings)
        at = f"{colleague.api(settings)}/{model}?updateMask=displayName"
        yield "PATCH", at, {"name": model, "displayName": BY_HAND}
    log = f"https://bigquery.googleapis.com/bigquery/v2/{project}/datasets/{settings.log_dataset}"
    if labels := settings.labels:
        yield "PATCH", log, {"labels": dict.fromkeys(labels, "by-hand")}
    if settings.kms_key:
        yield "PATCH", log, {"defaultEncryptionConfiguration": None}
    if run.routes:
        yield from _of_telemetry(settings)
    if run.federates:
        pool = f"{IAM}/{project}/locations/global/workloadIdentityPools/{settings.pool_id}"
        for name in (pool, f"{pool}/providers/{federation.DEPLOY}"):
            yield "PATCH", f"{name}?updateMask=displayName", {"displayName": BY_HAND}
    if run.watches:
        yield from _of_alerts(settings, owner)
    if run.watches_drift:
        location = f"{project}/locations/{settings.region}"
        vertex = f"https://{settings.region}-aiplatform.googleapis.com/v1"
        jobs = owner.call("GET", f"{vertex}/{location}/modelDeploymentMonitoringJobs")
        [job] = jobs["modelDeploymentMonitoringJobs"]
        yield "POST", f"{vertex}/{job['name']}:pause", {}


def _of_telemetry(settings: Settings) -> Iterator[Change]:
    project = f"projects/{settings.project}"
    schema = f"{project}/schemas/{settings.named('reading')}"
    more = {"name": "note", "type": ["null", "string"], "default": None}
    definition = json.dumps({"type": "record", "name": "Reading", "fields": [more]})
    body: Any = {"schema": {"name": schema, "type": "AVRO", "definition": definition}}
    yield "POST", f"{PUBSUB}/{schema}:commit", body
    topic = stack.topic_id(settings, stack.DEAD_LETTERS)
    body = {"topic": {"name": topic}, "updateMask": "messageStoragePolicy"}
    yield "PATCH", f"{PUBSUB}/{topic}", body
    lost = f"{project}/subscriptions/{settings.named(stack.DEAD_LETTERS)}"
    body = {"subscription": {"name": lost, "messageRetentionDuration": "600s"}}
    yield "PATCH", f"{PUBSUB}/{lost}", {**body, "updateMask": "messageRetentionDuration"}
    tables = f"https://bigquery.googleapis.com/bigquery/v2/{project}/datasets/{settings.dataset(stack.DATASET)}/tables"
    parts = {"type": "DAY", "field": "publish_time", "expirationMs": str(MONTH_MS)}
    yield "PATCH", f"{tables}/{stack.READINGS}", {"timePartitioning": parts}


def _of_alerts(settings: Settings, owner: Any) -> Iterator[Change]:
    project = f"projects/{settings.project}"
    renamed = {"displayName": BY_HAND}
    for kind in ("alertPolicies", "notificationChannels"):
        listed = owner.call("GET", f"{MONITORING}/v3/{project}/{kind}")[kind]
        first = listed[0]["name"]
        yield "PATCH", f"{MONITORING}/v3/{first}?updateMask=displayName", {**renamed, "name": first}
    service = f"{project}/services/{settings.named(SERVICE)}"
    yield "PATCH", f"{MONITORING}/v3/{service}?updateMask=displayName", renamed
    kind = "serviceLevelObjectives"
    [objective] = owner.call("GET", f"{MONITORING}/v3/{service}/{kind}")[kind]
    yield "PATCH", f"{MONITORING}/v3/{objective['name']}?updateMask=displayName", renamed
    [dashboard] = owner.call("GET", f"{MONITORING}/v1/{project}/dashboards")["dashboards"]
    yield "PATCH", f"{MONITORING}/v1/{dashboard['name']}", {**dashboard, **renamed}
    metric = f"https://logging.googleapis.com/v2/{project}/metrics/{settings.named(DENIALS)}"
    counted = owner.call("GET", metric)
    yield "PUT", metric, {**counted, "description": BY_HAND}


def _spare(run: Rehearsal) -> list[tuple[str, str, str]]:
    """Identity, permission and step of each line of the table whose role nothing used it by."""
    settings, usage = run.environment.settings, run.sandbox.control("GET", "/usage")
    members = run.environment.members
    found = []
    for need in table.needs(settings.capabilities):
        by = usage.get(members.get(need.identity), {}).get(need.permission, {}).keys()
        for project in settings.projects_of(need):
            if not by & {settings.role_name(need.role, project), *CREATORS}:
                found.append((need.identity, need.permission, need.step))
    return found


def _unlisted(run: Rehearsal) -> list[tuple[str, str, str]]:
    """Identity, permission and role of what was used without a line of the table."""
    listed = {
        (need.identity, need.permission)
        for need in table.needs(run.environment.settings.capabilities)
    }
    usage = run.sandbox.control("GET", "/usage")
    return [
        (identity, permission, role)
        for member, identity in run.members.items()
        for permission, roles in usage.get(member, {}).items()
        for role in roles
        if (identity, permission) not in listed and not _googles(identity, role)
    ]


def _googles(identity: str, role: str) -> bool:
    """Whether Google grants it by itself: to its own agents, and to whoever creates a dataset."""
    return role in CREATORS or (identity in table.AGENTS and role.startswith("roles/"))
