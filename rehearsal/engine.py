"""The real Pulumi engine on the unmodified program, inside a sandbox.

The program runs through the Automation API, which needs no language host; policy packs start
through `rehearsal/bin/pulumi-analyzer-policy-python` for the same reason. State is kept in files.
"""

from __future__ import annotations

import os
import runpy
import secrets
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import yaml
from pulumi import automation
from pulumi.automation._stack import StackInitMode
from pulumi.automation.events import EngineEvent

from rehearsal.environment import NAME, Environment
from rehearsal.sandbox import Sandbox
from rehearsal.toolchain import ROOT, GcpPlugin, pulumi_cli

UNCHANGED: Final = frozenset({"same", "refresh", "read"})

Program = Callable[[], None]


def stack_program() -> None:
    """`__main__.py`, exactly as a user's `pulumi up` runs it."""
    runpy.run_path(str(ROOT / "__main__.py"), run_name="__main__")


@dataclass
class Outcome:
    """What one operation of the engine did and said."""

    ok: bool = True
    changes: dict[str, int] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    violations: list[tuple[str, str]] = field(default_factory=list)
    """(Enforcement level, message) of each policy violation."""
    touched: list[str] = field(default_factory=list)
    """What was, or would be, changed: `update Endpoint endpoint`."""

    @property
    def resources(self) -> int:
        return sum(self.changes.values())

    @property
    def changed(self) -> int:
        return sum(count for kind, count in self.changes.items() if kind not in UNCHANGED)

    def summary(self) -> str:
        """Such as `38 create, 2 same`."""
        return ", ".join(f"{count} {kind}" for kind, count in sorted(self.changes.items()))


class _Stack(automation.Stack):
    """Spares the two runs of the CLI by which the Automation API sums up every operation."""

    def outputs(self) -> automation.OutputMap:
        return {}

    def real_outputs(self) -> automation.OutputMap:
        return super().outputs()

    def info(self, show_secrets: bool = True) -> automation.UpdateSummary:
        return automation.UpdateSummary("update", datetime.now(UTC), "", {}, {}, "succeeded")


class Engine:
    """One stack in a file backend inside the sandbox."""

    def __init__(
        self,
        sandbox: Sandbox,
        environment: Environment,
        plugin: GcpPlugin,
        program: Program = stack_program,
        *,
        policies: bool = True,
    ) -> None:
        self._sandbox, self._environment = sandbox, environment
        self._policies = [str(ROOT / "policies")] if policies else []
        self.directory = work = sandbox.directory / f"stack-{environment.stack}"
        (work / "state").mkdir(parents=True)
        project = yaml.safe_load((ROOT / "Pulumi.yaml").read_text())
        for provider in project["plugins"]["providers"]:
            provider["path"] = str(ROOT / provider["path"])
        (work / "Pulumi.yaml").write_text(yaml.safe_dump(project))
        self._settings = work / f"Pulumi.{environment.stack}.yaml"
        self._variables = {
            **sandbox.environment(environment.engineer),
            "PATH": os.pathsep.join(
                [
                    str(pulumi_cli().parent),
                    str(plugin.path.parent),
                    str(ROOT / "rehearsal" / "bin"),
                    os.path.dirname(sys.executable),
                    os.environ.get("PATH", ""),
                ]
            ),
            "PULUMI_HOME": str(work / "home"),
            "PULUMI_BACKEND_URL": f"file://{work / 'state'}",
            "PULUMI_CONFIG_PASSPHRASE": secrets.token_hex(16),
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PULUMI_PYTHON_CMD": sys.executable,
        }
        self.configure(environment)
        workspace = automation.LocalWorkspace(
            str(work), program=program, env_vars=self._variables, pulumi_command=_command()
        )
        self._stack = _Stack(environment.stack, workspace, StackInitMode.CREATE)

    @property
    def variables(self) -> dict[str, str]:
        """What a shell needs to work on this stack with `pulumi` by hand."""
        return dict(self._variables)

    def configure(self, environment: Environment) -> None:
        """Use the settings of `environment` from the next operation on."""
        written = yaml.safe_load(self._settings.read_text()) if self._settings.exists() else {}
        written["config"] = {f"{NAME}:{key}": v for key, v in environment.values.items()}
        self._settings.write_text(yaml.safe_dump(written))

    def as_person(self, email: str, impersonate: str = "") -> None:
        """Run what follows with the credentials of `email`, or of an account it may become."""
        given = self._sandbox.environment(email, impersonate)
        self._variables.update(given)
        self._stack.workspace.env_vars = self._variables

    def use(self, program: Program) -> None:
        """Run this program from the next operation on."""
        self._stack.workspace.program = program

    def preview(self, *, judged: bool = True, **options: Any) -> Outcome:
        packs = self._policies if judged else []
        return self._run(self._stack.preview, policy_packs=packs, **options)

    def up(self, *, judged: bool = True, **options: Any) -> Outcome:
        """`judged` by the policy pack, as everything is that may change something."""
        packs = self._policies if judged else []
        return self._run(self._stack.up, policy_packs=packs, **options)

    def refresh(self, **options: Any) -> Outcome:
        return self._run(self._stack.refresh, **options)

    def destroy(self, **options: Any) -> Outcome:
        return self._run(self._stack.destroy, **options)

    def outputs(self) -> dict[str, Any]:
        return {name: output.value for name, output in self._stack.real_outputs().items()}

    def resources(self) -> list[dict[str, Any]]:
        """What the state holds of each resource, in order of creation."""
        deployment = self._stack.export_stack().deployment or {}
        found: list[dict[str, Any]] = deployment.get("resources", [])
        return found

    def _run(self, operation: Callable[..., Any], **options: Any) -> Outcome:
        outcome = Outcome()
        try:
            operation(on_event=lambda event: _note(event, outcome), color="never", **options)
        except automation.CommandError as error:
            outcome.ok = False
            if not outcome.errors and not outcome.violations:
                outcome.errors.append(str(error))
        return outcome


def _note(event: EngineEvent, outcome: Outcome) -> None:
    if said := event.diagnostic_event:
        into = {"error": outcome.errors, "warning": outcome.warnings}.get(said.severity)
        if into is not None and not said.ephemeral:
            into.append(said.message.strip())
    elif violated := event.policy_event:
        outcome.violations.append((violated.enforcement_level, violated.message.strip()))
    elif started := event.resource_pre_event:
        step = started.metadata
        if step.op.value not in UNCHANGED:
            kind, name = step.urn.split("::")[2:4]
            outcome.touched.append(f"{step.op.value} {kind.rpartition(':')[2]} {name}")
    elif event.summary_event:
        outcome.changes = {
            getattr(kind, "value", kind): count
            for kind, count in event.summary_event.resource_changes.items()
        }


def _command() -> automation.PulumiCommand:
    folder = pulumi_cli().parent
    return automation.PulumiCommand(str(folder.parent) if folder.name == "bin" else None)
