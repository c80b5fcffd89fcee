"""The workflows of .github, as data: their own steps, of which there is no second copy."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

ROOT: Final = Path(__file__).parents[1]
FOLDER: Final = ROOT / ".github" / "workflows"
NAMES: Final = sorted(path.stem for path in FOLDER.glob("*.yml"))


def workflow(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((FOLDER / f"{name}.yml").read_text())
    return found


@dataclass(frozen=True)
class Command:
    """A step that runs a script."""

    workflow: str
    job: str
    name: str
    script: str
    environment: Mapping[str, str]
    """Of the job and the step; expressions of GitHub's stand as they are written."""

    def __str__(self) -> str:
        return f"{self.workflow} / {self.job} / {self.name}"

    def run(
        self, cwd: Path, environment: Mapping[str, str], check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """As GitHub does with `shell: bash` (docs actions/reference/workflow-syntax, `shell`)."""
        given = {key: of for key, of in self.environment.items() if "${{" not in of}
        return subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", self.script],
            cwd=cwd,
            env={**given, **environment},
            capture_output=True,
            text=True,
            check=check,
        )


def commands() -> Iterator[Command]:
    for name in NAMES:
        for job, of in workflow(name)["jobs"].items():
            for step in of["steps"]:
                if "run" in step:
                    environment = {**of.get("env", {}), **step.get("env", {})}
                    title = step.get("name", step["run"])
                    yield Command(name, job, title, step["run"], environment)


def command(workflow: str, job: str, name: str) -> Command:
    (found,) = (c for c in commands() if (c.workflow, c.job, c.name) == (workflow, job, name))
    return found
