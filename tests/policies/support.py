"""The real engine on programs made of examples, with the pack attached. Nothing reaches Google."""

from __future__ import annotations

import gc
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pulumi
import yaml
from pulumi import automation
from pulumi.automation.events import EngineEvent
from pulumi_policy import ResourceValidationArgs
from pulumi_policy.policy import PolicyCustomTimeouts, PolicyResourceOptions
from pulumi_policy.proxy import unknown_checking_proxy

from policies.gcp_access.config import FOLDER, load
from policies.gcp_access.lookup import Lookup
from policies.gcp_access.pack import Finding, Pack, resource_of
from policies.gcp_access.rules import RULES
from policies.gcp_access.rules.examples import PROJECT
from policies.gcp_access.rules.rule import IN_30_DAYS, Example, Rule
from policies.gcp_access.view import Resource
from rehearsal.toolchain import pulumi_cli

ROOT = Path(__file__).parents[2]
PACK = ROOT / "policies"
PROGRAM = "predictive-maintenance"
"""The Pulumi project whose stacks are configured in policies/config."""
PLUGINS = Path(__file__).parent / "anything"
SAID_BY = re.compile(r"^[A-Z]\d+ (?=\()", re.MULTILINE)
"""Where a rule begins to speak; what is found in one resource is one message."""
REFERENCE = re.compile(r"\$\{([\w-]+)\.(\w+)\}")


@dataclass(frozen=True)
class Violation:
    level: str
    resource: str
    """Logical name."""
    message: str

    @property
    def rule(self) -> str:
        """The id that the message begins with, after the policy's description."""
        return self.message.partition("\n")[2].partition(" ")[0]


@dataclass
class Outcome:
    ok: bool = True
    violations: list[Violation] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    created: list[str] = field(default_factory=list)

    def rules(self, resource: str = "", level: str = "") -> set[str]:
        """Ids of the rules that spoke, of one resource and at one level where given."""
        return {
            found.rule
            for found in self.violations
            if resource in ("", found.resource) and level in ("", found.level)
        }


class Anything(pulumi.CustomResource):
    """A resource of any type; `outputs` are what a program may use of it."""

    def __init__(self, type_: str, name: str, inputs: Mapping[str, Any], *outputs: str) -> None:
        super().__init__(type_, name, {**dict.fromkeys(outputs), **inputs})


def declare(example: Example, prefix: str = "") -> None:
    """Register the resources of an example with the engine, in order."""
    soon = (datetime.now(UTC) + timedelta(days=30)).date().isoformat()
    made: dict[str, pulumi.Resource] = {}

    def value(given: Any) -> Any:
        match given:
            case dict():
                return {key: value(item) for key, item in given.items()}
            case list():
                return [value(item) for item in given]
            case str():
                if found := REFERENCE.fullmatch(given):
                    return getattr(made[found[1]], found[2])
                return given.replace(IN_30_DAYS, f"{soon}T00:00:00Z")
        return given

    for name, (type_, inputs) in example.items():
        if type_.startswith("pulumi:providers:"):
            package = type_.rpartition(":")[2]
            made[name] = pulumi.ProviderResource(package, prefix + name, value(dict(inputs)))
        else:
            outputs = [o for o in ("name", "etag", "email", "member") if o not in inputs]
            made[name] = Anything(type_, prefix + name, value(dict(inputs)), *outputs)


def environment(folder: Path, python: Path | str = sys.executable) -> dict[str, str]:
    """`python` starts the pack; the plugins bring their own."""
    return {
        **{name: os.environ[name] for name in ("LANG", "TMPDIR") if name in os.environ},
        "HOME": str(folder),
        "PATH": os.pathsep.join(
            [
                str(pulumi_cli().parent),
                str(PLUGINS),
                str(ROOT / "rehearsal" / "bin"),
                os.environ["PATH"],
            ]
        ),
        "PULUMI_BACKEND_URL": f"file://{folder / 'state'}",
        "PULUMI_CONFIG_PASSPHRASE": "tests",
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        "PULUMI_HOME": str(folder / "home"),
        "PULUMI_PYTHON_CMD": str(python),
        "PLUGINS_PYTHON": sys.executable,
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "XDG_CACHE_HOME": str(folder / "cache"),
    }


@dataclass
class Engine:
    folder: Path
    project: str = PROGRAM

    def stack(self, name: str, program: Callable[[], None]) -> automation.Stack:
        work = self.folder / "work"
        for path in (work, self.folder / "state"):
            path.mkdir(parents=True, exist_ok=True)
        project = {"name": self.project, "runtime": "python"}
        (work / "Pulumi.yaml").write_text(yaml.safe_dump(project))
        workspace = automation.LocalWorkspace(
            str(work), program=program, env_vars=environment(self.folder)
        )
        stack = automation.Stack.create_or_select(name, workspace)
        stack.set_config("gcp:project", automation.ConfigValue(PROJECT))
        return stack

    def preview(
        self, stack: str, program: Callable[[], None], pack: Path | None = PACK, **config: Any
    ) -> Outcome:
        """`config` is Pulumi's own policy config for the pack."""
        more = {"policy_pack_configs": [str(self._config(config))]} if config else {}
        return self._run(self.stack(stack, program).preview, pack, **more)

    def up(self, stack: str, program: Callable[[], None], pack: Path | None = PACK) -> Outcome:
        return self._run(self.stack(stack, program).up, pack)

    def _config(self, config: dict[str, Any]) -> Path:
        file = self.folder / "policy-config.json"
        file.write_text(json.dumps({"google-cloud": config}))
        return file

    def _run(self, operation: Callable[..., Any], pack: Path | None, **more: Any) -> Outcome:
        outcome = Outcome()
        packs = [str(pack)] if pack else []
        try:
            operation(
                on_event=lambda event: note(event, outcome),
                policy_packs=packs,
                color="never",
                **more,
            )
        except automation.CommandError as error:
            outcome.ok = False
            outcome.said.append(str(error))
        # A program that the engine ends early leaves a coroutine behind. Collected during an import
        # it makes Python 3.11 fail ("AST constructor recursion depth mismatch").
        gc.collect()
        return outcome


def note(event: EngineEvent, outcome: Outcome) -> None:
    if found := event.policy_event:
        urn = found.resource_urn or ""
        name = urn.rpartition("::")[2]
        about, _, told = found.message.strip().partition("\n")
        starts = [rule.start() for rule in SAID_BY.finditer(told)] or [0]
        outcome.violations += [
            Violation(found.enforcement_level, name, f"{about}\n{told[start:]}") for start in starts
        ]
    elif (said := event.diagnostic_event) and not said.ephemeral:
        outcome.said.append(said.message.strip())
    elif (made := event.res_outputs_event) and made.metadata.op.value == "create":
        outcome.created.append(made.metadata.urn.rpartition("::")[2])


def analyze(
    folder: Path, state: Mapping[str, Any], pack: Path = PACK, python: Path | str = sys.executable
) -> tuple[int, str]:
    """`pulumi policy analyze` on a state file: the exit code and what it printed as JSON."""
    file = folder / "analyzed.json"
    file.write_text(json.dumps(state))
    done = subprocess.run(
        ["pulumi", "policy", "analyze", "--file", file, "--policy-pack", pack, "--json"],
        cwd=folder,
        env=environment(folder, python),
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def each(examples: Mapping[str, Example]) -> Callable[[], None]:
    """A program with every example's resources, named after the rule."""

    def program() -> None:
        for id, example in examples.items():
            declare(example, f"{id}-")

    return program


def names(id: str, example: Example) -> Iterator[str]:
    for name in example:
        yield f"{id}-{name}"


def pack(folder: Path | None = None, rules: tuple[Rule, ...] = RULES, lookup: Any = None) -> Pack:
    """The pack without the engine; `folder` holds configuration other than the checked-in one."""
    configs = load({rule.id: rule.mandatory for rule in rules}, folder or FOLDER)
    return Pack(rules, configs, lookup or NoLookup())


class NoLookup(Lookup):
    """Google cannot be asked."""

    def permissions(self, role: str, seconds: float) -> frozenset[str] | None:
        return None


def given(type_: str, inputs: Mapping[str, Any], name: str = "r", stack: str = "prod") -> Resource:
    """A resource as Pulumi's SDK hands it to a policy, unknown values included."""
    return resource_of(args(type_, inputs, name, stack))


def args(
    type_: str, inputs: Mapping[str, Any], name: str = "r", stack: str = "prod"
) -> ResourceValidationArgs:
    urn = f"urn:pulumi:{stack}::{PROGRAM}::{type_}::{name}"
    options = PolicyResourceOptions(False, [], None, [], PolicyCustomTimeouts(0, 0, 0), [])
    return ResourceValidationArgs(
        type_, unknown_checking_proxy(dict(inputs)), urn, name, options, None
    )


def ids(findings: list[Finding]) -> set[str]:
    return {finding.message.partition(" ")[0] for finding in findings}
