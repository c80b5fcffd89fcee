"""The rehearsal: the whole life of an environment, stage by stage, offline."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from components import permissions as table
from rehearsal import colleague, telemetry, timing, toolchain, trouble
from rehearsal import environment as environments
from rehearsal.callers import UnknownCaller
from rehearsal.engine import Engine, Outcome, stack_program
from rehearsal.environment import Environment
from rehearsal.report import Report, Stage, StageFailed
from rehearsal.sandbox import Google, GoogleError, Sandbox
from simulator.serve.faults import RATE

PREDICTIONS: Final = 1_024
CLIENTS: Final = 8

GOOD_ENOUGH: Final = 0.9
"""ROC AUC that the deployed model has to reach on readings it has never seen."""


@dataclass(frozen=True)
class Options:
    """What to leave out or put in, as the command line says."""

    stack: str
    without: tuple[str, ...] = ()
    without_apis: tuple[str, ...] = ()
    grants: tuple[str, ...] = ()
    provider: str = "auto"
    keep: bool = False
    slow: bool = False
    faults: int | None = None
    """Seed of the faults that the `up` meets with."""
    fault_rate: float = RATE
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Values that go before those of the stack's file."""

    @property
    def ablated(self) -> bool:
        return bool(self.without or self.without_apis)


@dataclass
class Rehearsal:
    """What the stages of one rehearsal share."""

    options: Options
    report: Report
    environment: Environment
    sandbox: Sandbox
    engine: Engine
    before: dict[str, list[str]]

    @property
    def members(self) -> dict[str, str]:
        """Member → identity, for everybody the table knows."""
        return {member: identity for identity, member in self.environment.members.items()}

    def audit(self) -> list[dict[str, Any]]:
        """Every permission check so far: principal, permission, resource, granted, via."""
        entries: list[dict[str, Any]] = self.sandbox.control("GET", "/audit")["entries"]
        return entries


def rehearse(options: Options, report: Report) -> bool:
    """Run every stage; True when all of them held."""
    with opened(options, report) as run:
        try:
            for stage in _stages(run):
                stage(run)
            report.summary["passed"] = True
        except StageFailed as error:
            report.failure(error, run.audit(), run.members)
        finish(run)
        if options.keep:
            _wait(run)
    return bool(report.summary["passed"])


@contextmanager
def opened(options: Options, report: Report) -> Iterator[Rehearsal]:
    """A rehearsal with its cloud up, its models trained and its stack ready for the engine."""
    plugin = toolchain.gcp_plugin(options.provider)
    toolchain.pulumi_cli()
    models = report.folder / "models"
    with report.stage("train the models") as stage:
        # The gate would wait for what is missing in vain, and Google's own denial never show.
        at_once = {"readinessSeconds": 0} if options.ablated else {}
        environment = environments.load(options.stack, models, **{**at_once, **options.settings})
        stage.note = f"NASA shuttle telemetry, first {telemetry.TRAINED_ON:,} readings"
    report.summary["provider"] = plugin.kind
    seed = environments.seed(environment)
    with Sandbox(seed, at_once=options.ablated, slow=options.slow) as sandbox:
        with report.stage("start the cloud") as stage:
            environments.prepare_source(environment, sandbox, models)
            _withhold(options, environment, sandbox)
            stage.note = f"on loopback; gcp plugin: {_named(plugin)}"
        engine = Engine(sandbox, environment, plugin, with_grants(environment, options.grants))
        before = sandbox.control("GET", "/state")
        yield Rehearsal(options, report, environment, sandbox, engine, before)


def with_grants(environment: Environment, roles: tuple[str, ...]) -> Callable[[], None]:
    """The stack's program, and after it a grant of each role to the deployer on the project."""

    def program() -> None:
        stack_program()
        import pulumi_gcp as gcp

        for role in roles:
            gcp.projects.IAMMember(
                f"extra-{role.rpartition('/')[2]}",
                project=environment.settings.project,
                role=role,
                member=environment.settings.member(table.DEPLOYER),
            )

    return program


def _named(plugin: toolchain.GcpPlugin) -> str:
    return "official" if plugin.kind == "official" else "our stand-in"


def _withhold(options: Options, environment: Environment, sandbox: Sandbox) -> None:
    permissions = []
    for item in options.without:
        identity, _, permission = item.rpartition(":")
        if identity and identity not in environment.members:
            raise UnknownCaller(f"--without {item}: nobody is {identity} in this stack")
        member = environment.members[identity] if identity else None
        address = member.removeprefix("serviceAccount:") if member else None
        permissions.append([address, permission])
    sandbox.control(
        "POST", "/withhold", {"permissions": permissions, "services": list(options.without_apis)}
    )


def _stages(run: Rehearsal) -> list[Callable[[Rehearsal], None]]:
    first = up if run.options.faults is None else up_under_faults
    stages: list[Callable[[Rehearsal], None]] = [preview, first, serve_while_up_again, refresh]
    if registers(run):
        stages.insert(2, store)
    if not run.options.keep:
        if run.environment.settings.protect:
            stages.append(refuse_destroy)
        else:
            stages += [colleague.register] if registers(run) else []
            stages.append(destroy)
    if run.options.slow:
        stages.append(timing.demand_waiting)
    return stages


def registers(run: Rehearsal) -> bool:
    return table.REGISTER in run.environment.settings.capabilities


def preview(run: Rehearsal) -> None:
    with run.report.stage("preview") as stage:
        _hold(stage, run.engine.preview(), run)


def up(run: Rehearsal) -> None:
    with run.report.stage("up") as stage:
        outcome = run.engine.up()
        _hold(stage, outcome, run)
        run.report.summary["resources"] = outcome.resources


def up_under_faults(run: Rehearsal) -> None:
    """An `up` on a bad day; where it ends in an error, the faults end too and another one follows.

    The stages after it show that the state is right.
    """
    with run.report.stage("up under faults") as stage:
        trouble.inject(run.sandbox, run.options.faults or 0, run.options.fault_rate)
        outcome = run.engine.up()
        told = trouble.end(run.sandbox)
        run.report.summary |= {"faults": told, "resources": outcome.resources}
        number = sum(told["injected"].values())
        stage.note = f"{number} faults; {outcome.summary() if outcome.ok else 'a clear error'}"
        if not outcome.ok and (problems := trouble.unclear(outcome)):
            raise StageFailed("the engine stopped without saying why", "\n".join(problems))
    if not outcome.ok:
        with run.report.stage("recover") as stage:
            trouble.adopt_existing(run.engine, outcome)
            again = run.engine.up(refresh=True)
            _hold(stage, again, run)
            run.report.summary["resources"] = again.resources
    if gone := trouble.lost(run.sandbox.control("GET", "/dump"), told["granted"]):
        raise StageFailed("a grant of someone else was lost", "\n".join(gone))


def serve_while_up_again(run: Rehearsal) -> None:
    """Predict while a second `up` changes nothing: neither may disturb the other."""
    ask = predictor(run)
    with ThreadPoolExecutor(1) as aside:
        scored = aside.submit(predict, run, ask)
        up_again(run)
        scored.result()


def predict(run: Rehearsal, ask: Callable[[list[list[float]]], Any]) -> None:
    """Score the endpoint on readings that no model has seen, as the telemetry account."""
    with run.report.stage("predict", aside=True) as stage:
        readings, labels = telemetry.unseen(PREDICTIONS)
        try:
            with ThreadPoolExecutor(CLIENTS) as pool:
                risks = list(pool.map(lambda reading: ask([reading])[0], readings))
        except GoogleError as error:
            raise StageFailed("a prediction was refused", str(error)) from error
        quality = telemetry.roc_auc(labels, risks)
        run.report.summary |= {"predictions": len(risks), "roc_auc": quality}
        stage.note = f"{len(risks):,} on unseen readings, ROC AUC {quality:.3f}"
        if quality <= GOOD_ENOUGH:
            raise StageFailed(f"ROC AUC is {quality:.3f}; the model has to be above {GOOD_ENOUGH}")


def store(run: Rehearsal) -> None:
    """Put a newly trained model into the artifact bucket, as the training account."""
    with run.report.stage("store a model") as stage:
        settings = run.environment.settings
        path = next(Path(model.artifact) for model in settings.models if model.artifact)
        try:
            run.sandbox.google(settings.email(table.TRAINING)).call(
                "POST",
                f"https://storage.googleapis.com/upload/storage/v1/b/{settings.artifacts_bucket}/o"
                "?uploadType=media&name=trained/model.joblib",
                path.read_bytes(),
                {"Content-Type": "application/octet-stream"},
            )
        except GoogleError as error:
            raise StageFailed("the training account was refused", str(error)) from error
        stage.note = "as the training account"


def predictor(run: Rehearsal, *, whole: bool = False) -> Callable[[list[list[float]]], Any]:
    """A function that sends readings, rows of 9 sensor values, and gets their risks back.

    With `whole` it gets Google's whole answer, which says what model it came from.
    """
    settings, outputs = run.environment.settings, run.engine.outputs()
    google: Google = run.sandbox.google(settings.email(table.TELEMETRY))
    host = outputs.get("dedicatedDns") or f"{settings.region}-aiplatform.googleapis.com"
    url = f"https://{host}/v1/{outputs['endpoint']}:predict"

    def ask(readings: list[list[float]]) -> Any:
        answer = google.call("POST", url, {"instances": readings})
        return answer if whole else answer["predictions"]

    return ask


def up_again(run: Rehearsal) -> None:
    with run.report.stage("up again") as stage:
        _hold_unchanged(stage, run.engine.up(judged=False), run)


def refresh(run: Rehearsal) -> None:
    with run.report.stage("refresh") as stage:
        _hold_unchanged(stage, run.engine.refresh(), run)


def destroy(run: Rehearsal) -> None:
    """Take everything away; only soft-deleted roles and enabled APIs may be left."""
    with run.report.stage("destroy") as stage:
        _hold(stage, run.engine.destroy(), run)
        if registers(run):
            colleague.take_back(run)
        left = left_behind(run)
        if left:
            raise StageFailed("something is left behind", "\n".join(left))


def refuse_destroy(run: Rehearsal) -> None:
    """A protected environment must not go away by a slip, and has to serve on."""
    with run.report.stage("refuse to destroy") as stage:
        outcome = run.engine.destroy()
        if outcome.ok or not any("protect" in error for error in outcome.errors):
            raise StageFailed("destroy was not refused for protection", "\n".join(outcome.errors))
        predictor(run)(telemetry.unseen(1)[0])
        stage.note = "protected; the endpoint still serves"


def left_behind(run: Rehearsal) -> list[str]:
    """What exists now and did not before the stack, but for what Google never deletes at once."""
    after: dict[str, list[str]] = run.sandbox.control("GET", "/state")
    return [
        f"{kind}: {name}"
        for kind, names in after.items()
        if kind not in SURVIVORS
        for name in names
        if name not in run.before.get(kind, ())
    ]


SURVIVORS: Final = frozenset(
    {
        *("softDeletedRoles", "softDeletedIdentityPools", "services", "serviceAgents"),
        *("keyRings", "cryptoKeys"),
    }
)
"""Kinds that outlive the stack: what is soft-deleted, APIs left on, Google's own agents, and the
key rings and keys of Cloud KMS, which the provider leaves behind without a usable version."""


def finish(run: Rehearsal) -> None:
    """Add what the whole run used, show the table and write the summary."""
    stats = run.sandbox.control("GET", "/stats")
    run.report.summary |= {
        "http_requests": stats["total"],
        "refused_hosts": stats["refused_hosts"],
        "identities": identities(run),
    }
    run.report.identities()
    run.report.refused()


def identities(run: Rehearsal) -> dict[str, dict[str, list[str]]]:
    """Identity → permissions `granted` by the environment's roles, and those it `used`."""
    found: dict[str, dict[str, set[str]]] = {}
    for role in table.roles(run.environment.settings.capabilities):
        held = found.setdefault(role.identity, {"granted": set(), "used": set()})
        held["granted"].update(role.permissions)
    for entry in run.audit():
        identity = run.members.get(entry["principal"])
        if identity in found and entry["granted"] and entry["via"]["role"] != AGENTS_OWN:
            found[identity]["used"].add(entry["permission"])
    return {
        identity: {kind: sorted(names) for kind, names in held.items()}
        for identity, held in found.items()
    }


AGENTS_OWN: Final = "roles/aiplatform.serviceAgent"
"""What Vertex AI's agent may do by Google's own role is no use of the table's grants."""


def _hold(stage: Stage, outcome: Outcome, run: Rehearsal) -> None:
    stage.note = outcome.summary()
    said = run.report.summary.setdefault("violations", [])
    said += [[level, message] for level, message in outcome.violations]
    for level, message in outcome.violations:
        if level != "mandatory":
            text = f"  advice: {message}"
            run.report.console.print(text, style="yellow", highlight=False, markup=False)
    explain_failure(outcome)


def explain_failure(outcome: Outcome) -> None:
    blocked = [
        message
        for level, message in outcome.violations
        if level == "mandatory" or "can't run policy" in message
    ]
    if blocked:
        raise StageFailed("stopped by the policy pack", "\n".join(blocked))
    if not outcome.ok:
        raise StageFailed("the engine stopped", "\n".join(outcome.errors))


def _hold_unchanged(stage: Stage, outcome: Outcome, run: Rehearsal) -> None:
    _hold(stage, outcome, run)
    if outcome.changed:
        raise StageFailed(
            "something changed that had to stay as it was", "\n".join(outcome.touched)
        )


def _wait(run: Rehearsal) -> None:
    """Leave the cloud up until Ctrl-C, and say how to use it by hand."""
    script = Path(run.sandbox.directory) / "environment.sh"
    lines = [f"export {name}='{value}'" for name, value in sorted(by_hand(run.engine).items())]
    script.write_text("\n".join(lines) + "\n")
    run.report.console.print(
        f"\nThe cloud stays up until Ctrl-C. In another shell:\n\n"
        f"  . {script}\n  cd {run.engine.directory}\n",
        highlight=False,
    )
    stopped = threading.Event()
    signal.signal(signal.SIGINT, lambda *_: stopped.set())
    stopped.wait()
    run.report.console.print("ending")


def by_hand(engine: Engine) -> dict[str, str]:
    """What a shell needs for `pulumi`, `gcloud` and `bq` on the stack."""
    # Not among the engine's own variables: the gcp provider would take its project from it.
    project = engine.environment.settings.project
    return {**engine.variables, "CLOUDSDK_CORE_PROJECT": project}


def unknown_permissions(options: Options) -> list[str]:
    """Problems with `--without`: names that nobody in this stack needs, or nobody has."""
    needed = {need.permission for need in table.NEEDS}
    problems: list[str] = []
    for item in options.without:
        identity, _, permission = item.rpartition(":")
        if permission not in needed:
            problems.append(f"--without {item}: no line of the permission table needs {permission}")
        if identity and identity not in table.IDENTITIES:
            known = ", ".join(table.IDENTITIES)
            problems.append(f"--without {item}: {identity} is none of the identities {known}")
    return problems
