"""Records what CI has of previews: the JSON that `pulumi preview --json` prints, and its events.

python -m tests.rehearsal.previews

Staging is brought up on a simulated cloud, by the real engine; each preview after it is what a pull
request with that change shows. The recordings are tests/data/previews/NAME/.
"""

from __future__ import annotations

import gzip
import json
import os
import subprocess
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import grpc
from pulumi.automation._server import LanguageServer
from pulumi.runtime.proto import language_pb2_grpc
from rich.console import Console

from rehearsal import environment as environments
from rehearsal.engine import Engine, Program
from rehearsal.report import Report
from rehearsal.run import Options, Rehearsal, demand_ok, opened, with_grants
from rehearsal.sandbox import clean_environment
from rehearsal.toolchain import ROOT, pulumi_cli

RECORDED: Final = ROOT / "tests" / "data" / "previews"
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
    """Write every preview into a folder of its name. Raises StageFailed."""
    with opened(Options(STACK), Report(f"{STACK}-previews", Console(stderr=True))) as run:
        record(run, Case(), into / FIRST)
        demand_ok(run.engine.up())
        for name, case in CASES.items():
            record(run, case, into / name)


def record(run: Rehearsal, case: Case, folder: Path) -> None:
    """Write the preview of `case` into `folder`, and leave the stack's settings as they were."""
    here = run.environment
    settings = {**here.overrides, **case.settings}
    run.engine.configure(environments.load(STACK, run.report.folder / "models", **settings))
    packs = [ROOT / "policies"]
    if case.pack:
        packs.append(_pack(run.sandbox.directory / "unreadable", case.pack))
    folder.mkdir(parents=True, exist_ok=True)
    events = run.sandbox.directory / "events.json"
    events.unlink(missing_ok=True)
    said = _previewed(run.engine, with_grants(here, case.grants), packs, events)
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


def _previewed(engine: Engine, program: Program, packs: list[Path], events: Path) -> str:
    """What `pulumi preview` prints when it runs a program of this process."""
    server = grpc.server(ThreadPoolExecutor(max_workers=4))
    language_pb2_grpc.add_LanguageRuntimeServicer_to_server(LanguageServer(program), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        done = subprocess.run(
            [
                pulumi_cli(), "preview", "--json", "--show-sames", "--event-log", events,
                "--stack", STACK, "--non-interactive",
                *(word for pack in packs for word in ("--policy-pack", pack)),
                f"--client=127.0.0.1:{port}", "--exec-kind", "auto.inline",
            ],
            cwd=engine.directory,
            env={
                **os.environ, **engine._marked, **engine._plugins.variables,
                "PULUMI_DEBUG_COMMANDS": "true",  # knows --event-log
            },
            capture_output=True,
            text=True,
        )  # fmt: skip
    finally:
        server.stop(0)
    return done.stdout


if __name__ == "__main__":
    for name in set(os.environ) - set(clean_environment()):
        del os.environ[name]
    record_all(RECORDED)
