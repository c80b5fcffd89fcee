"""The real Pulumi engine on the unmodified program, inside a sandbox.

The program runs through the Automation API, which needs no language host; policy packs start
through `rehearsal/bin/pulumi-analyzer-policy-python` for the same reason. State is kept in files.

An engine starts a plugin anew for each of its providers in each operation, which took a third of a
rehearsal's CPU time. Where operations follow each other, our plugins are started once and the
engine attaches to them, by Pulumi's own way of debugging providers; the official one cannot wait
for an engine, and is started by it.
"""

from __future__ import annotations

import contextlib
import json
import os
import runpy
import secrets
import signal
import subprocess
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import psutil
import yaml
from pulumi import automation
from pulumi.automation._stack import StackInitMode
from pulumi.automation.events import EngineEvent

from components.configuration import SECRET
from rehearsal.callers import Caller
from rehearsal.environment import CLEARBLADE_FILE, NAME, Environment, clearblade
from rehearsal.sandbox import Sandbox
from rehearsal.toolchain import ROOT, GcpPlugin, pulumi_cli
from simulator.serve.programs import write_private
from vertexops.clearblade import FILE

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
    failed: dict[str, dict[str, Any]] = field(default_factory=dict)
    """URN → `type`, `inputs`, `parent`, `provider` and `errors` of what could not be created."""

    @property
    def resources(self) -> int:
        return sum(self.changes.values())

    @property
    def changed(self) -> int:
        return sum(count for kind, count in self.changes.items() if kind not in UNCHANGED)

    def summary(self) -> str:
        """Such as `38 create, 2 same`."""
        return ", ".join(f"{count} {kind}" for kind, count in sorted(self.changes.items()))

    def __add__(self, other: Outcome) -> Outcome:
        """Of two operations, one after the other."""
        return Outcome(
            self.ok and other.ok,
            dict(Counter(self.changes) + Counter(other.changes)),
            self.errors + other.errors,
            self.warnings + other.warnings,
            self.violations + other.violations,
            self.touched + other.touched,
            self.failed | other.failed,
        )


def one_by_one(*operations: Callable[[], Outcome]) -> Outcome:
    """The outcome of operations that follow each other, until one fails."""
    outcome = Outcome()
    for operation in operations:
        if outcome.ok:
            outcome += operation()
    return outcome


class _Stack(automation.Stack):
    """Spares the two runs of the CLI by which the Automation API sums up every operation."""

    def outputs(self) -> automation.OutputMap:
        return {}

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
        attached: bool = False,
        passphrase: str = "",
        beside: Engine | None = None,
    ) -> None:
        """With the `passphrase` of a stack that is there already, that one. `beside` another
        stack it has that one's folder and state.

        With `attached`, our plugins start once and serve every operation but those `apart`.
        """
        self._sandbox, self.environment = sandbox, environment
        self._policies = [str(ROOT / "policies")] if policies else []
        again, self.directory = bool(passphrase), sandbox.directory / f"stack-{environment.stack}"
        if beside:
            self.directory = beside.directory
            passphrase = beside.variables["PULUMI_CONFIG_PASSPHRASE"]
        work = self.directory
        (work / "state").mkdir(parents=True, exist_ok=bool(passphrase))
        project = yaml.safe_load((ROOT / "Pulumi.yaml").read_text())
        for provider in project["plugins"]["providers"]:
            provider["path"] = str(ROOT / provider["path"])
        (work / "Pulumi.yaml").write_text(yaml.safe_dump(project))
        self._programs = {
            provider["name"]: Path(provider["path"], f"pulumi-resource-{provider['name']}")
            for provider in project["plugins"]["providers"]
        }
        if plugin.kind == "standin":
            self._programs["gcp"] = plugin.path
        self._settings = work / f"Pulumi.{environment.stack}.yaml"
        registrar = sandbox.directory / CLEARBLADE_FILE
        write_private(registrar, json.dumps(clearblade(environment.settings.project)))
        self._variables = {
            FILE: str(registrar),
            **sandbox.environment(environment.platform),
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
            # Beside each file the backend keeps another with its content type, not written whole:
            # one that was cut short makes the state unreadable ("failed to load checkpoint: EOF").
            "PULUMI_BACKEND_URL": f"file://{work / 'state'}?metadata=skip",
            "PULUMI_CONFIG_PASSPHRASE": passphrase or secrets.token_hex(16),
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PULUMI_PYTHON_CMD": sys.executable,
        }
        self._write(environment)
        self._plugins = Plugins(work, self._programs if attached else {}, self._marked)
        sandbox.until_the_end.callback(lambda: self._plugins.close())
        mode = StackInitMode.SELECT if again else StackInitMode.CREATE
        self._relay: Callable[[int], int] | None = None
        self._stack = _stack(environment.stack, work, self._marked, program, mode)
        self._keep_secret(environment)

    @property
    def layers(self) -> tuple[Engine, ...]:
        """The stacks of the environment, in the order in which they come up."""
        return (self,)

    @property
    def variables(self) -> dict[str, str]:
        """What a shell needs to work on this stack with `pulumi` by hand."""
        return dict(self._variables)

    @property
    def attached(self) -> dict[str, str]:
        """What an operation runs with that uses the plugins which serve already."""
        return {**self._marked, **self._plugins.variables(self._relay)}

    @property
    def _marked(self) -> dict[str, str]:
        """The same for what the rehearsal starts itself."""
        return {**self._variables, **self._sandbox.mark}

    def configure(self, environment: Environment) -> None:
        """Use the settings of `environment` from the next operation on."""
        self._write(environment)
        self._keep_secret(environment)

    def _keep_secret(self, environment: Environment) -> None:
        """Encrypt what is secret, as a person does."""
        for key in sorted(SECRET):
            if value := environment.values.get(key):
                self.cli("config", "set", "--secret", f"{NAME}:{key}", given=value)

    def _write(self, environment: Environment) -> None:
        written = yaml.safe_load(self._settings.read_text()) if self._settings.exists() else {}
        written["config"] = {
            f"{NAME}:{key}": v for key, v in environment.values.items() if key not in SECRET
        }
        self._settings.write_text(yaml.safe_dump(written))

    def reach_by(self, relay: Callable[[int], int]) -> None:
        """Have the engine reach what serves at a port elsewhere."""
        self._relay = relay

    def run_as(self, who: Caller, impersonate: str = "") -> None:
        """Run what follows with the credentials of `who`, or of an account it may become."""
        given = self._sandbox.environment(who, impersonate)
        self._variables.update(given)
        self._stack.workspace.env_vars = self._marked
        self._plugins = self._plugins.again(self._marked)

    def run_as_usual(self) -> None:
        """Run what follows as who works on this stack."""
        self.run_as(self.environment.platform)

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
        found: dict[str, Any] = json.loads(self.cli("stack", "output", "--json", "--show-secrets"))
        return found

    def resources(self) -> list[dict[str, Any]]:
        """What the state holds of each resource, in order of creation."""
        deployment = self._stack.export_stack().deployment or {}
        found: list[dict[str, Any]] = deployment.get("resources", [])
        return found

    def apart(self, operation: str, **options: Any) -> Apart:
        """Start an operation on the stack's own program in a session of its own, to be killed."""
        return Apart([self._asked(operation, options)])

    def _asked(self, operation: str, options: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "stack": self.environment.stack,
            "directory": str(self.directory),
            "variables": self._marked,
            "operation": operation,
            "options": options,
        }

    def exported(self) -> dict[str, Any]:
        """The state, as `pulumi stack export` prints it. Raises EngineError."""
        state: dict[str, Any] = json.loads(self.cli("stack", "export"))
        return state

    def cli(self, *arguments: str, given: str | None = None) -> str:
        """What `pulumi` prints of this stack. Raises EngineError."""
        return self.pulumi(*arguments, "--stack", self.environment.stack, given=given)

    def pulumi(self, *arguments: str, given: str | None = None, **variables: str) -> str:
        """What `pulumi` prints. Raises EngineError."""
        done = subprocess.run(
            [pulumi_cli(), *arguments, "--color", "never"],
            cwd=self.directory,
            env={**os.environ, **self._marked, **variables},
            input=given,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise EngineError(f"pulumi {' '.join(arguments)}: {done.stderr or done.stdout}")
        return done.stdout

    def _run(self, operation: Callable[..., Any], **options: Any) -> Outcome:
        self._stack.workspace.env_vars = self.attached
        return _run(operation, **options)


class Plugins:
    """Plugins that outlive an operation of the engine, which attaches to them instead."""

    def __init__(
        self, directory: Path, programs: Mapping[str, Path], variables: Mapping[str, str]
    ) -> None:
        self._directory, self._programs = directory, programs
        self._ports: dict[str, int] = {}
        self._running: dict[str, subprocess.Popen[str]] = {}
        for name, program in programs.items():
            with (directory / f"{name}.log").open("a") as errors:
                self._running[name] = subprocess.Popen(
                    [program],
                    cwd=directory,
                    env={**os.environ, **variables},
                    stdin=subprocess.PIPE,  # they end with it, whatever ends this process
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    text=True,
                    start_new_session=True,
                )

    def variables(self, relay: Callable[[int], int] | None = None) -> dict[str, str]:
        """What an engine needs to attach. Waits until they serve; raises EngineError."""
        for name, process in self._running.items():
            if name not in self._ports:
                assert process.stdout is not None
                said = process.stdout.readline()
                if not said.strip().isdigit():
                    errors = (self._directory / f"{name}.log").read_text()
                    raise EngineError(f"{self._programs[name]} did not start: {errors}")
                self._ports[name] = int(said)
        reached = {name: relay(port) if relay else port for name, port in self._ports.items()}
        ports = ",".join(f"{name}:{port}" for name, port in reached.items())
        return {"PULUMI_DEBUG_PROVIDERS": ports} if ports else {}

    def again(self, variables: Mapping[str, str]) -> Plugins:
        """The same with other credentials, which a plugin has from its start."""
        self.close()
        return Plugins(self._directory, self._programs, variables)

    def close(self) -> None:
        for process in self._running.values():
            process.kill()
            process.communicate()


class EngineError(RuntimeError):
    """A run of the CLI failed; the message is its own."""


class Apart:
    """An operation of the engine in a child process that leads a session of its own."""

    def __init__(self, asked: Sequence[dict[str, Any]]) -> None:
        """Operations that follow each other, until one fails."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "rehearsal.engine"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(asked))
        self._process.stdin.close()
        self._process.stdin = None

    @property
    def pid(self) -> int:
        """Of the leader of its session."""
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def outcome(self) -> Outcome:
        """Wait for the end. Raises EngineError when the child did not report."""
        said, errors = self._process.communicate()
        try:
            return Outcome(**json.loads(said.rpartition("\n")[2]))
        except ValueError as error:
            raise EngineError(errors or said) from error

    def kill(self) -> None:
        """Kill everything in the child's session: Pulumi puts plugins into groups of their own."""
        while members := session_of(self._process.pid):
            for pid in members:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._process.poll()
        self._process.communicate()


def session_of(leader: int) -> list[int]:
    """The living processes of a session."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(ProcessLookupError, PermissionError, psutil.Error):
            if os.getsid(process.pid) == leader and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
    return found


def _stack(
    name: str, work: Path, variables: dict[str, str], program: Program, mode: StackInitMode
) -> _Stack:
    workspace = automation.LocalWorkspace(
        str(work), program=program, env_vars=variables, pulumi_command=_command()
    )
    return _Stack(name, workspace, mode)


def _run(operation: Callable[..., Any], **options: Any) -> Outcome:
    outcome = Outcome()
    try:
        operation(on_event=lambda event: _note(event, outcome), color="never", **options)
    except automation.CommandError as error:
        outcome.ok = False
        if not outcome.errors and not outcome.violations:
            outcome.errors.append(str(error))
    except Exception:  # what the engine said until then is told all the same
        outcome.ok = False
        outcome.errors.append(traceback.format_exc())
    return outcome


def _note(event: EngineEvent, outcome: Outcome) -> None:
    if said := event.diagnostic_event:
        into = {"error": outcome.errors, "warning": outcome.warnings}.get(said.severity)
        if into is not None and not said.ephemeral:
            into.append(said.message.strip())
            if into is outcome.errors and said.urn:
                outcome.failed.setdefault(said.urn, {}).setdefault("errors", []).append(into[-1])
    elif violated := event.policy_event:
        outcome.violations.append((violated.enforcement_level, violated.message.strip()))
    elif started := event.resource_pre_event:
        step = started.metadata
        if step.op.value not in UNCHANGED:
            kind, name = step.urn.split("::")[2:4]
            outcome.touched.append(f"{step.op.value} {kind.rpartition(':')[2]} {name}")
    elif event.res_op_failed_event and (step := event.res_op_failed_event.metadata).new:
        new = step.new
        about = {"type": new.type, "inputs": new.inputs or {}, "parent": new.parent}
        outcome.failed.setdefault(step.urn, {}).update(about, provider=step.provider)
    elif event.summary_event:
        outcome.changes = {
            getattr(kind, "value", kind): count
            for kind, count in event.summary_event.resource_changes.items()
        }


def diagnostic(urn: str, *errors: str) -> str:
    """Errors of a resource as the command line prints them."""
    _, _, kind, name = urn.split("::", 3)
    lines = [f"    error: {error}" for error in errors]
    return "\n".join([f"  {kind.rpartition('$')[2]} ({name}):", *lines])


def warm_up() -> None:
    """Do what the first operation would: ask the CLI its version, import what programs use."""
    import_module("pulumi_gcp")
    _command()


@cache
def _command() -> automation.PulumiCommand:
    folder = pulumi_cli().parent
    return automation.PulumiCommand(str(folder.parent) if folder.name == "bin" else None)


def main() -> None:
    """Run the operations that standard input describes, and print their outcome as JSON."""
    asked = json.load(sys.stdin)
    outcome = one_by_one(*(partial(_of_other, each) for each in asked))
    print("\n" + json.dumps(asdict(outcome)), end="")


def _of_other(asked: dict[str, Any]) -> Outcome:
    stack = _stack(
        asked["stack"],
        Path(asked["directory"]),
        asked["variables"],
        stack_program,
        StackInitMode.SELECT,
    )
    return _run(getattr(stack, asked["operation"]), **asked["options"])


if __name__ == "__main__":
    main()
