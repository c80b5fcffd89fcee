"""What the policy pack costs, and finds, next to checkov on the same resources.

python benchmarks/policies.py [--sizes 50,500,5000] [--checkov .venv-bench/bin/checkov]

Ours: the real engine's preview of a program with and without the pack; its provider takes every
resource and asks nobody. Checkov: the same resources as Terraform files. Times are wall-clock
seconds, the best of as many runs as are asked for; both are measured in one run of this file, in
turns, so that only their ratio counts.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "policies")]

from policy_support import Engine, Outcome, declare  # noqa: E402

from policies.rules.examples import BUCKET, PROJECT, account, custom_role, on_project  # noqa: E402
from policies.rules.rule import Example  # noqa: E402

BROAD: Final = (
    "roles/aiplatform.user",
    "roles/editor",
    "roles/iam.serviceAccountTokenCreator",
    "roles/bigquery.admin",
    "roles/run.developer",
)
SMALL: Final = ("roles/pubsub.publisher", "roles/monitoring.metricWriter", "roles/browser")
BREADTH: Final = {"G2", "G3", "G4", "G5", "G6", "S2"}
"""Rules by which a grant is too broad."""


def resources(size: int) -> tuple[Example, str, int]:
    """As many resources for Pulumi, the same for Terraform, and how many grants are too broad.

    Of ten, two are broad grants, three are small ones, three are buckets, two are custom roles.
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
                },
            )
            blocks.append(
                f'resource "google_storage_bucket" "{name}" {{\n  name = "b-{n}"\n'
                '  location = "us-central1"\n  uniform_bucket_level_access = true\n'
                '  public_access_prevention = "enforced"\n  versioning {\n    enabled = true\n'
                "  }\n}"
            )
        else:
            held = ("aiplatform.endpoints.get", "aiplatform.endpoints.predict")
            made[name] = custom_role(f"role{n}", *held)
            blocks.append(
                f'resource "google_project_iam_custom_role" "{name}" {{\n  role_id = "role{n}"\n'
                f'  title = "role{n}"\n  permissions = {json.dumps(held)}\n}}'
            )
    return made, "\n\n".join(blocks), broad


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    started = time.perf_counter()
    result = work()
    return time.perf_counter() - started, result


def ours(size: int, example: Example, folder: Path, runs: int) -> tuple[float, float, int]:
    """Seconds of a preview without and with the pack, and how many grants it called too broad."""
    engine = Engine(folder / f"engine-{size}")
    bare: list[float] = []
    judged: list[float] = []
    outcome = Outcome()
    for _ in range(runs):
        bare.append(timed(lambda: engine.preview("staging", lambda: declare(example), None))[0])
        seconds, outcome = timed(lambda: engine.preview("staging", lambda: declare(example)))
        judged.append(seconds)
    if not outcome.ok:
        raise SystemExit("\n".join(outcome.said))
    found = {v.resource for v in outcome.violations if v.rule in BREADTH}
    return min(bare), min(judged), len(found & example.keys())


def checkov(program: str, text: str, folder: Path, runs: int) -> tuple[float, int]:
    """Seconds of checkov, and how many grants any of its checks failed."""
    folder.mkdir()
    (folder / "main.tf").write_text(text)
    command = [program, "-d", str(folder), "--framework", "terraform", "--compact", "--quiet",
               "--skip-download", "-o", "json"]  # fmt: skip
    spent: list[float] = []
    said = ""
    for _ in range(runs):
        seconds, done = timed(
            lambda: subprocess.run(command, capture_output=True, text=True, check=False)
        )
        spent.append(seconds)
        if done.returncode not in (0, 1):  # 1: it found something
            raise SystemExit(done.stderr)
        said = done.stdout
    failed = json.loads(said)["results"]["failed_checks"]
    grants = {
        check["resource"]
        for check in failed
        if check["resource"].startswith("google_project_iam_member.")
    }
    return min(spent), len(grants)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default="50,500,5000")
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--checkov", default=str(ROOT / ".venv-bench" / "bin" / "checkov"))
    options = parser.parse_args()
    print(
        f"{'resources':>9} {'preview':>8} {'with pack':>9} {'added':>7} {'budget':>7} "
        f"{'checkov':>8} {'ratio':>6} {'broad':>6} {'ours':>6} {'checkov':>8}"
    )
    kept = True
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        for size in map(int, options.sizes.split(",")):
            example, text, broad = resources(size)
            bare, judged, found = ours(size, example, folder, options.runs)
            other, others = checkov(options.checkov, text, folder / f"tf-{size}", options.runs)
            added, budget = judged - bare, 1 + size / 1000
            kept &= added <= budget and added <= other / 2
            print(
                f"{size:>9,} {bare:>7.1f}s {judged:>8.1f}s {added:>6.2f}s {budget:>6.2f}s "
                f"{other:>7.1f}s {added / other:>6.2f} {broad:>6,} {found:>6,} {others:>8,}",
                flush=True,
            )
    if not kept:
        sys.exit("the pack is over its budget, or takes more than half of checkov's time")


if __name__ == "__main__":
    import os

    from rehearsal.toolchain import pulumi_cli

    os.environ["PATH"] = os.pathsep.join([str(pulumi_cli().parent), os.environ["PATH"]])
    main()
