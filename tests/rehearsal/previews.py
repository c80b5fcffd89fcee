"""Records what CI has of previews: the JSON that `pulumi preview --json` prints, and its events.

python -m tests.rehearsal.previews

Staging is brought up on a simulated cloud, by the real engine; each preview after it is what a pull
request with that change shows. The recordings are tests/data/previews/NAME/.
"""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

import grpc
from pulumi.automation._server import LanguageServer
from pulumi.runtime.proto import language_pb2_grpc
from rich.console import Console

from access.comment import read, text
from components import permissions as table
from rehearsal import environment as environments
from rehearsal.engine import Engine, Program, stack_program
from rehearsal.report import Report
from rehearsal.run import Options, Rehearsal, opened, with_grants
from rehearsal.sandbox import clean_environment
from rehearsal.toolchain import ROOT, pulumi_cli
from tests.previews import RECORDED, events, preview
from tests.workflows import Command, command

STACK: Final = "staging"

UNREADABLE_PACK: Final = '''\
"""Reads every value, also what only `pulumi up` will know: there the engine gives the policy up."""

from pulumi_policy import EnforcementLevel, PolicyPack, ResourceValidationPolicy


def read(value):
    if isinstance(value, dict) or hasattr(value, "items"):
        return [read(value[key]) for key in value]
    if isinstance(value, (list, tuple)) or hasattr(value, "append"):
        return [read(value[at]) for at in range(len(value))]
    return str(value)


PolicyPack(
    "reads-everything",
    [ResourceValidationPolicy("values", "Values are text", lambda args, report: read(args.props))],
    EnforcementLevel.MANDATORY,
)
'''


@dataclass(frozen=True)
class Case:
    """How a preview differs from the stack that is up: settings, extra grants, another pack."""

    settings: Mapping[str, Any] = field(default_factory=dict)
    grants: tuple[str, ...] = ()
    pack: str = ""


HARMLESS: Final = {"autoscaling": {"cpuPercent": 71}}

PREVIEW: Final = command("preview", "preview", "Preview")

NIGHTLY: Final = command("drift", "drift", "Preview what is there")

CASES: Final = {
    "no-change": Case(),
    "harmless-change": Case(HARMLESS),
    "over-broad-grant": Case(grants=("roles/editor",)),
    "policy-cannot-run": Case(HARMLESS, pack=UNREADABLE_PACK),
    "access-gained": Case({"deviceMembers": ["group:gateways@example.com"]}),
    "access-lost": Case({"deployerMay": ["register"]}),
}


FIRST: Final = "first-deployment"
"""Of a stack that is not there yet, in which much is known only after `up`."""


def record_all(into: Path) -> None:
    """Write every preview into a folder of its name. Raises StageFailed, CalledProcessError.

    The workflows' own commands do it: deploy brings the stack up, preview runs as the preview
    account, which can only read.
    """
    with opened(Options(STACK), Report(f"{STACK}-previews", Console(stderr=True))) as run:
        record(run, Case(), into / FIRST)
        carry_out(run.engine, command("deploy", STACK, "Deploy"), stack_program)
        here = run.environment
        assert here.reviewer
        run.engine.run_as(here.reviewer, impersonate=here.settings.email(table.PREVIEW))
        for name, case in CASES.items():
            record(run, case, into / name)
        record(run, Case(), into / "no-drift", NIGHTLY)
        record(run, Case(), into / FAILED, replace(NIGHTLY, environment=PREVIEW.environment))


FAILED: Final = "preview-failed"
"""The nightly preview by the preview account that tries to become the deployer."""


def record(run: Rehearsal, case: Case, folder: Path, it: Command = PREVIEW) -> None:
    """Write the preview of `case` into `folder`, and leave the stack's settings as they were."""
    here = run.environment
    settings = {**here.overrides, **case.settings}
    run.engine.configure(environments.load(STACK, run.report.folder / "models", **settings))
    packs = [_pack(run.sandbox.directory / "unreadable", case.pack)] if case.pack else []
    folder.mkdir(parents=True, exist_ok=True)
    events = run.engine.directory / "events.json"
    events.unlink(missing_ok=True)  # the engine appends
    carry_out(run.engine, it, with_grants(here, case.grants), packs)
    said = (run.engine.directory / "preview.json").read_text()
    places = {str(run.sandbox.directory): "/sandbox", str(ROOT): "/work-tree"}
    kept = [line for line in events.read_text().splitlines() if '"severity":"debug"' not in line]
    (folder / "preview.json.gz").write_bytes(
        gzip.compress(_elsewhere(said, places).encode(), 9, mtime=0)
    )
    (folder / "events.json").write_text(
        "".join(f"{_elsewhere(line, places)}\n" for line in kept if _counts(json.loads(line)))
    )
    run.engine.configure(here)


COUNT: Final = {"policyEvent", "diagnosticEvent", "errorEvent", "summaryEvent"}


def _counts(event: Mapping[str, Any]) -> bool:
    """Whether an event says what the preview's JSON does not."""
    return not COUNT.isdisjoint(event)


def _elsewhere(text: str, places: Mapping[str, str]) -> str:
    """JSON on one line, without where on this machine the program runs."""
    for here, there in places.items():
        text = text.replace(here, there)
    return json.dumps(_without(json.loads(text), {"stackTrace", "sourcePosition"}))


def _without(value: Any, keys: set[str]) -> Any:
    if isinstance(value, dict):
        return {key: _without(item, keys) for key, item in value.items() if key not in keys}
    return [_without(item, keys) for item in value] if isinstance(value, list) else value


def _pack(folder: Path, program: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "PulumiPolicy.yaml").write_text("runtime: python\n")
    (folder / "__main__.py").write_text(program)
    return folder


PULUMI: Final = """#!/bin/sh
case "$1" in up|preview) exec {cli} "$@" $ADDED;; esac
exec {cli} "$@"
"""
"""Pulumi's CLI on a program of this process, for it finds no language host here."""


def carry_out(
    engine: Engine,
    it: Command,
    program: Program,
    packs: Sequence[Path] = (),
    given: Mapping[str, str] | None = None,
) -> None:
    """A command of a workflow, in the stack's folder, as whoever runs the stack.

    `packs` judge beside the workflow's own; `given` are variables of GitHub's. Raises
    CalledProcessError.
    """
    folder = engine.directory
    _stand_in(folder / "bin" / "pulumi", PULUMI.format(cli=pulumi_cli()))
    if not (folder / "policies").exists():
        (folder / "policies").symlink_to(ROOT / "policies")
    server = grpc.server(ThreadPoolExecutor(max_workers=4))
    language_pb2_grpc.add_LanguageRuntimeServicer_to_server(LanguageServer(program), server)
    added = [f"--client=127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"]
    added += ["--exec-kind=auto.inline", *(f"--policy-pack={pack}" for pack in packs)]
    environment = {**os.environ, **engine.attached, **(given or {})}
    environment["PATH"] = f"{folder / 'bin'}:{environment['PATH']}"
    own = {key: value for key, value in it.environment.items() if "${{" not in value}
    server.start()
    try:
        with patch.dict(os.environ, own):  # the program runs in this process
            it.run(
                folder, {**environment, "STACK": engine.environment.stack, "ADDED": " ".join(added)}
            )
    finally:
        server.stop(0)


def _stand_in(file: Path, text: str) -> None:
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    file.chmod(0o755)


if __name__ == "__main__":
    for name in set(os.environ) - set(clean_environment()):
        del os.environ[name]
    record_all(RECORDED)
    for made in RECORDED.iterdir():
        said = text(read(preview(made.name), events(made.name)))
        (made / "comment.md").write_text(said)
