"""`pulumi new` from a clone of the repository: a project that previews, with settings to change."""

from __future__ import annotations

import json
import os
import runpy
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from components.configuration import written
from components.settings import Settings
from rehearsal import environment as environments
from rehearsal import world
from rehearsal.adopting import served
from rehearsal.toolchain import ROOT, pulumi_cli

ANSWERS = {
    "project": "iot-team",
    "platformMember": "user:ana@example.com",
    "previewMember": "user:ben@example.com",
    "endpointId": "4242",
}
BY_PULUMI = {"PROJECT", "DESCRIPTION"}
"""What `pulumi new` writes into every file that names it with a dollar sign and braces."""


def tracked() -> list[str]:
    done = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip("this is no clone")
    return [name for name in done.stdout.splitlines() if (ROOT / name).is_file()]


def test_the_template_asks_for_settings_that_there_are() -> None:
    project = yaml.safe_load((ROOT / "Pulumi.yaml").read_text())
    asked = project["template"]["config"]
    assert asked.keys() == ANSWERS.keys()
    assert asked.keys() <= project["config"].keys()
    required = {k for k, entry in project["config"].items() if not entry.get("default")}
    assert required & {"project", "platformMember", "endpointId"} <= asked.keys()
    for key, entry in asked.items():
        assert entry["description"]
        assert "default" not in entry or entry["default"] in (
            project["config"][key].get("default"),
            written("staging", ROOT)[key],
        )


def test_no_file_has_what_pulumi_new_would_fill_in() -> None:
    placeholders = [f"${{{name}}}".encode() for name in BY_PULUMI]
    for name in tracked():
        content = (ROOT / name).read_bytes()
        assert not any(placeholder in content for placeholder in placeholders), name


def pulumi(folder: Path, variables: Mapping[str, str], *arguments: str) -> str:
    done = subprocess.run(
        [pulumi_cli(), *arguments, "--color", "never"],
        cwd=folder,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.sweep
def test_a_new_project_has_the_answers_and_previews(tmp_path: Path) -> None:
    clone, new, models = (tmp_path / name for name in ("clone", "new", "models"))
    new.mkdir()
    for name in tracked():
        (clone / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, clone / name)
    (clone / ".git").mkdir()
    (clone / ".git" / "config").touch()

    def program() -> None:
        runpy.run_path(str(new / "__main__.py"), run_name="__main__")

    environment = environments.load("staging", models, **ANSWERS)
    with world.opened(environment, models) as cloud, served(program) as host:
        variables = {**cloud.engine.variables, **cloud.sandbox.mark, **host}
        variables["PULUMI_BACKEND_URL"] = f"file://{tmp_path}?metadata=skip"
        given = [part for key, value in ANSWERS.items() for part in ("-c", f"{key}={value}")]
        said = pulumi(new, variables, "new", str(clone), "--stack", "staging", "--yes", *given)
        assert "make model" in said
        made = {str(path.relative_to(new)) for path in new.rglob("*") if path.is_file()}
        assert made == set(tracked())
        assert os.access(new / "vertexops" / "pulumi-resource-vertexops", os.X_OK)
        assert "template" not in yaml.safe_load((new / "Pulumi.yaml").read_text())
        assert {key: written("staging", new)[key] for key in ANSWERS} == ANSWERS
        trained = new / "build" / "model"
        trained.mkdir(parents=True)
        for file in ("model.joblib", "training.csv"):
            shutil.copy(models / "shuttle-anomaly" / file, trained)
        settings: Settings = environment.settings
        shown = json.loads(pulumi(new, variables, "preview", "--json"))
    assert shown["changeSummary"].keys() == {"create"}
    inputs = [step["newState"].get("inputs", {}) for step in shown["steps"]]
    (endpoint,) = [found for found in inputs if found.get("name") == ANSWERS["endpointId"]]
    assert (endpoint["project"], endpoint["location"]) == (settings.project, settings.region)
