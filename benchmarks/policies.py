"""What the policy pack costs, and finds, next to checkov on the same resources.

Ours: the real engine's preview of a program without a pack, with an empty one and with ours; its
provider takes every resource and asks nobody. Checkov: the same resources as Terraform files. Times
are seconds by the clock and of all processors together, each the best of some turns: what else the
machine does only adds to them.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import grpc
from google.protobuf import empty_pb2
from pulumi import automation
from pulumi.automation._server import LanguageServer
from pulumi.runtime import proto
from pulumi.runtime._grpc_settings import _GRPC_CHANNEL_OPTIONS
from pulumi.runtime.proto import language_pb2, language_pb2_grpc, resource_pb2_grpc

from benchmarks.table import Ratio, show_figures
from policies.gcp_access.rules.examples import BUCKET, PROJECT, account, custom_role, on_project
from policies.gcp_access.rules.rule import Example
from pulumi_plugin.values import to_struct
from rehearsal.toolchain import ROOT, pulumi_cli
from tests.policies.support import PACK, Engine

BROAD: Final = (
    "roles/aiplatform.user",
    "roles/editor",
    "roles/iam.serviceAccountTokenCreator",
    "roles/bigquery.admin",
    "roles/run.developer",
)
SMALL: Final = ("roles/pubsub.publisher", "roles/monitoring.metricWriter", "roles/browser")
SIZES: Final = (50, 500, 5_000)
OF_CHECKOV: Final = {50: 1 / 3, 500: 0.6}
OF_EMPTY: Final = {500: 1.25, 5_000: 1.25}
"""What the pack may add at most, as a ratio (docs/decisions/0016-the-sdks-own-server.md)."""
TURNS: Final = {50: 6, 500: 6, 5_000: 3}
"""Each figure is the best of so many; the short ones vary most."""
CHECKOV: Final = ROOT / ".venv-bench" / "bin" / "checkov"
EMPTY: Final = ROOT / "benchmarks" / "empty_pack"
BREADTH: Final = {"G2", "G3", "G4", "G5", "G6", "S2"}
"""Rules by which a grant is too broad."""


def resources(size: int) -> tuple[Example, str, int]:
    """As many resources for Pulumi, the same for Terraform, and how many grants are too broad.

    Of ten, two are broad grants, three are small ones, three are buckets, two are custom roles; no
    rule of ours says a word about the other eight.
    """
    made: dict[str, tuple[str, Mapping[str, Any]]] = {}
    blocks: list[str] = []
    broad = 0
    for n in range(size):
        kind = n % 10
        name = f"r{n}"
        if kind < 5:
            role = BROAD[n // 10 * 2 % 5 - kind] if kind < 2 else SMALL[kind - 2]
            broad += kind < 2
            made[name] = on_project(role, account("pm-training"))
            blocks.append(
                f'resource "google_project_iam_member" "{name}" {{\n  project = "{PROJECT}"\n'
                f'  role = "{role}"\n  member = "{account("pm-training")}"\n}}'
            )
        elif kind < 8:
            made[name] = (
                BUCKET,
                {
                    "name": f"b-{n}",
                    "location": "us-central1",
                    "uniformBucketLevelAccess": True,
                    "publicAccessPrevention": "enforced",
                    "versioning": {"enabled": True},
                    "lifecycleRules": [
                        {"action": {"type": "Delete"}, "condition": {"numNewerVersions": 5}}
                    ],
                },
            )
            blocks.append(
                f'resource "google_storage_bucket" "{name}" {{\n  name = "b-{n}"\n'
                '  location = "us-central1"\n  uniform_bucket_level_access = true\n'
                '  public_access_prevention = "enforced"\n  versioning {\n    enabled = true\n'
                '  }\n  lifecycle_rule {\n    action {\n      type = "Delete"\n    }\n'
                "    condition {\n      num_newer_versions = 5\n    }\n  }\n}"
            )
        else:
            held = ("aiplatform.endpoints.get", "aiplatform.endpoints.predict")
            made[name] = custom_role(f"role{n}", *held)
            blocks.append(
                f'resource "google_project_iam_custom_role" "{name}" {{\n  role_id = "role{n}"\n'
                f'  title = "role{n}"\n  permissions = {json.dumps(held)}\n}}'
            )
    return made, "\n\n".join(blocks), broad


@dataclass(frozen=True, order=True)
class Spent:
    """Seconds by the clock, and of all processors together; the latter care less for the load."""

    wall: float
    cpu: float

    def __str__(self) -> str:
        return f"{self.wall:.2f} ({self.cpu:.2f})"

    def __sub__(self, other: Spent) -> Spent:
        return Spent(self.wall - other.wall, self.cpu - other.cpu)


def timed(work: Callable[[], Any]) -> tuple[Spent, Any]:
    started, before = time.perf_counter(), sum(os.times()[:4])
    result = work()
    return Spent(time.perf_counter() - started, sum(os.times()[:4]) - before), result


class Program(LanguageServer):
    """Registers resources with the engine as fast as it takes them.

    Pulumi's Python SDK keeps all that is under way in one event loop, which at 5,000 resources
    works longer than the engine, and the more the longer the engine takes.
    """

    def __init__(self, example: Example) -> None:
        super().__init__(lambda: None)
        self._example = example

    def Run(self, request: Any, context: Any) -> Any:
        channel = grpc.insecure_channel(request.monitor_address, options=_GRPC_CHANNEL_OPTIONS)
        monitor = resource_pb2_grpc.ResourceMonitorStub(channel)
        root = monitor.RegisterResource(
            proto.RegisterResourceRequest(
                type="pulumi:pulumi:Stack", name=f"{request.project}-{request.stack}"
            )
        )

        def register(item: tuple[str, tuple[str, Mapping[str, Any]]]) -> None:
            name, (type_, inputs) = item
            monitor.RegisterResource(
                proto.RegisterResourceRequest(
                    type=type_, name=name, parent=root.urn, custom=True, object=to_struct(inputs)
                )
            )

        with ThreadPoolExecutor(16) as pool:
            list(pool.map(register, self._example.items()))
        monitor.SignalAndWaitForShutdown(empty_pb2.Empty())
        return language_pb2.RunResponse()


def preview(stack: automation.Stack, example: Example, pack: Path | None) -> str:
    """What `pulumi preview` prints, as a person runs it; `Stack.preview` would log every event."""
    server = grpc.server(ThreadPoolExecutor(max_workers=4), options=_GRPC_CHANNEL_OPTIONS)
    language_pb2_grpc.add_LanguageRuntimeServicer_to_server(Program(example), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    command = ["pulumi", "preview", "--stack", stack.name, "--exec-kind", "auto.inline",
               f"--client=127.0.0.1:{port}", "--suppress-progress", "--non-interactive",
               "--color=never", *(["--policy-pack", str(pack)] if pack else [])]  # fmt: skip
    try:
        done = subprocess.run(
            command,
            cwd=stack.workspace.work_dir,
            env={**os.environ, **stack.workspace.env_vars},
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        server.stop(0)
    if done.returncode:
        raise SystemExit(done.stdout[-2000:] + done.stderr)
    return done.stdout


def ours(stack: automation.Stack, example: Example) -> tuple[Spent, Spent, Spent, set[str]]:
    """A preview without a pack, with an empty one and with ours; and what ours called too broad."""
    packs = (None, EMPTY, PACK)
    (bare, _), (empty, _), (judged, said) = (
        timed(partial(preview, stack, example, pack)) for pack in packs
    )
    return bare, empty, judged, too_broad(said)


def too_broad(said: str) -> set[str]:
    """The grants that a preview's output says are too broad."""
    found: set[str] = set()
    resource = ""
    for line in said.splitlines():
        if named := re.search(r"\[advisory\].*\(gcp:projects:IAMMember: (\S+)\)", line):
            resource = named[1]
        elif "[advisory]" in line:
            resource = ""
        elif resource and line.strip().partition(" ")[0] in BREADTH:
            found.add(resource)
    return found


def checkov(text: str, folder: Path) -> tuple[Spent, int]:
    """Seconds of checkov, and how many grants any of its checks failed."""
    folder.mkdir(exist_ok=True)
    (folder / "main.tf").write_text(text)
    command = [str(CHECKOV), "-d", str(folder), "--framework", "terraform", "--compact", "--quiet",
               "--skip-download", "-o", "json"]  # fmt: skip
    seconds, done = timed(
        lambda: subprocess.run(command, capture_output=True, text=True, check=False)
    )
    if done.returncode not in (0, 1):  # 1: it found something
        raise RuntimeError(done.stderr)
    failed = json.loads(done.stdout)["results"]["failed_checks"]
    grants = {
        check["resource"]
        for check in failed
        if check["resource"].startswith("google_project_iam_member.")
    }
    return seconds, len(grants)


def run() -> list[Ratio]:
    os.environ["PATH"] = os.pathsep.join([str(pulumi_cli().parent), os.environ["PATH"]])
    ratios: list[Ratio] = []
    rows: list[tuple[str, ...]] = []
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        for size in SIZES:
            example, text, broad = resources(size)
            stack = Engine(folder / f"engine-{size}").stack("staging", lambda: None)
            turns = [
                (*ours(stack, example), *checkov(text, folder / f"tf-{size}"))
                for _ in range(TURNS[size])
            ]
            bare, empty, judged, other = (
                Spent(min(one.wall for one in column), min(one.cpu for one in column))
                for column in (list(zip(*turns, strict=True))[n] for n in (0, 1, 2, 4))
            )
            *_, found, _, others = turns[-1]
            added, nothing = judged - bare, empty - bare
            figures = (size, bare, added, nothing, other, broad, len(found), others)
            rows.append(tuple(map(str, figures)))
            if size in OF_CHECKOV:
                ratio = added.wall / other.wall
                name = f"pack / checkov, {size:,} resources"
                ratios.append(Ratio(name, ratio, most=OF_CHECKOV[size]))
            if size in OF_EMPTY:
                ratio = added.wall / nothing.wall
                name = f"pack / an empty pack, {size:,} resources"
                ratios.append(Ratio(name, ratio, most=OF_EMPTY[size]))
    columns = ("resources", "preview", "+ pack", "+ empty", "checkov", "broad", "ours", "checkov")
    show_figures("policy pack: s by the clock (of all processors), grants found", columns, rows)
    return ratios
