"""One rehearsal: what it was asked for, and what its stages share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from components import permissions as table
from rehearsal import environment as environments
from rehearsal import telemetry, toolchain, world
from rehearsal.callers import UnknownCaller
from rehearsal.engine import Outcome, stack_program
from rehearsal.environment import Environment
from rehearsal.report import Report, Stage, StageFailed
from rehearsal.sandbox import Sandbox
from rehearsal.world import World

FAULT_RATE: Final = 0.05
"""Share of the requests that meet with a fault."""


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
    fault_rate: float = FAULT_RATE
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Values that go before those of the stack's file."""
    pictures: str = ""
    """Folder for pictures of the dashboard; none are drawn without it."""

    @property
    def ablated(self) -> bool:
        return bool(self.without or self.without_apis)


@dataclass
class Rehearsal(World):
    """A world, and where its stages say what they find."""

    options: Options
    report: Report
    failed: Outcome | None = None
    """How an `up` under faults ended that has to be put right."""

    @property
    def registers(self) -> bool:
        """Whether the stack uploads models of its own."""
        return table.REGISTER in self.environment.settings.capabilities

    @property
    def shared(self) -> bool:
        """Whether others than the telemetry account ask for predictions."""
        return table.CALL in self.environment.settings.capabilities

    @property
    def routes(self) -> bool:
        """Whether the stack routes telemetry to predictions."""
        return table.ROUTE in self.environment.settings.capabilities

    @property
    def tries(self) -> bool:
        """Whether a model has a canary."""
        return table.CANARY in self.environment.settings.capabilities

    @property
    def registers_devices(self) -> bool:
        """Whether devices are registered in ClearBlade."""
        return self.environment.settings.device_registry.kind == "clearblade"

    @property
    def watches_drift(self) -> bool:
        """Whether what the endpoint is asked is watched for drift."""
        return table.DRIFT in self.environment.settings.capabilities

    @property
    def watches(self) -> bool:
        """Whether somebody is told of incidents."""
        return table.WATCH in self.environment.settings.capabilities

    @property
    def federates(self) -> bool:
        return table.FEDERATE in self.environment.settings.capabilities

    @property
    def protected(self) -> bool:
        return self.environment.settings.protect

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Tell and note whatever goes wrong inside, so that what was found before is not lost."""
        try:
            yield
        except Exception as error:
            self.explain(error)

    def explain(self, error: Exception) -> None:
        try:
            audit = self.audit()
        except Exception as silent:  # a cloud that is gone must not hide the error itself
            audit = []
            error.add_note(f"and the cloud does not answer: {silent}")
        self.report.failure(error, audit, self.members)

    def hold(self, stage: Stage, outcome: Outcome) -> None:
        """Note what the engine did and what the policy pack said. Raises StageFailed."""
        stage.note = outcome.summary()
        said = self.report.summary.setdefault("violations", [])
        said += [[level, message] for level, message in outcome.violations]
        for level, message in outcome.violations:
            if level != "mandatory":
                text = f"  advice: {message}"
                self.report.console.print(text, style="yellow", highlight=False, markup=False)
        demand_ok(outcome)


def demand_ok(outcome: Outcome) -> None:
    """Raises StageFailed with what stopped an operation of the engine."""
    blocked = [
        message
        for level, message in outcome.violations
        if level == "mandatory" or "can't run policy" in message
    ]
    if blocked:
        raise StageFailed("stopped by the policy pack", "\n".join(blocked))
    if not outcome.ok:
        raise StageFailed("the engine stopped", "\n".join(outcome.errors))


@contextmanager
def opened(options: Options, report: Report) -> Iterator[Rehearsal]:
    """A rehearsal with its cloud up, its models trained and its stack ready for the engine."""
    plugin = toolchain.gcp_plugin(options.provider)
    toolchain.pulumi_cli()
    report.summary["provider"] = plugin.kind
    models = report.folder / "models"
    with report.stage("train the models") as stage:
        environment = load(options, report)
        stage.note = f"NASA shuttle telemetry, first {telemetry.TRAINED_ON:,} readings"
    with ExitStack() as until_the_end:
        with report.stage("start the cloud") as stage:
            here = until_the_end.enter_context(
                world.opened(
                    environment,
                    models,
                    plugin=plugin,
                    program=with_grants(environment, options.grants),
                    attached=True,
                    at_once=options.ablated,
                    slow=options.slow,
                )
            )
            _withhold(options, environment, here.sandbox)
            named = "official" if plugin.kind == "official" else "our stand-in"
            stage.note = f"on loopback; gcp plugin: {named}"
        yield Rehearsal(here.sandbox, here.engine, here.before, options, report)


def load(options: Options, report: Report) -> Environment:
    """The environment to rehearse, its models trained.

    Raises UnknownStack, UnknownCaller, SettingsError.
    """
    # The gate would wait for what is missing in vain, and Google's own denial never show.
    at_once = {"readinessSeconds": 0} if options.ablated else {}
    models = report.folder / "models"
    return environments.load(options.stack, models, **{**at_once, **options.settings})


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
