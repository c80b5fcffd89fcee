"""The program on the real engine, as far as it goes without a cloud."""

import gc
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pulumi
import pytest
import yaml
from pulumi import automation

from components.configuration import IMPERSONATE
from components.fixed import watched
from rehearsal import environment
from rehearsal.engine import stack_program
from rehearsal.toolchain import ROOT
from vertexops import sdk

NAME = "predictive-maintenance"


def stack(
    folder: Path, program: Callable[[], None] = stack_program, **settings: Any
) -> automation.Stack:
    """The stack of the program in `folder`, with only `settings` in its file."""
    (folder / "state").mkdir(exist_ok=True)
    project = yaml.safe_load((ROOT / "Pulumi.yaml").read_text())
    project["plugins"]["providers"][0]["path"] = str(ROOT / "vertexops")
    kept = {key: project[key] for key in ("name", "plugins")}
    (folder / "Pulumi.yaml").write_text(yaml.safe_dump({**kept, "runtime": "python"}))
    environment = {
        "PULUMI_BACKEND_URL": f"file://{folder / 'state'}",
        "PULUMI_CONFIG_PASSPHRASE": "none",
        "PULUMI_HOME": str(folder / "home"),
        "PULUMI_PYTHON_CMD": sys.executable,
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
    }
    made = automation.create_or_select_stack(
        "test",
        project_name=NAME,
        program=program,
        opts=automation.LocalWorkspaceOptions(work_dir=str(folder), env_vars=environment),
    )
    made.set_all_config(
        {
            key: automation.ConfigValue(value if isinstance(value, str) else json.dumps(value))
            for key, value in settings.items()
        }
    )
    return made


def said(made: automation.Stack, operation: str) -> str:
    """What the engine shows when an operation fails."""
    with pytest.raises(automation.CommandError) as failure:
        getattr(made, operation)(color="never")
    # What the program leaves behind, collected during an import, makes Python 3.11 fail ("AST
    # constructor recursion depth mismatch").
    gc.collect()
    return str(failure.value)


def kinds(made: automation.Stack) -> list[str]:
    """The types of the resources in the state."""
    deployment = made.export_stack().deployment or {}
    return [resource["type"] for resource in deployment.get("resources", [])]


def test_wrong_settings_are_shown_without_a_traceback(tmp_path: Path) -> None:
    shown = said(stack(tmp_path, region="us-centrall1"), "preview")
    assert "region: 'us-centrall1' is not a region that Vertex AI serves" in shown
    assert "project: not set; see its description in Pulumi.yaml" in shown
    assert "Traceback" not in shown


@pytest.mark.parametrize(("setting", "variable"), [(False, None), (True, "false")])
def test_an_up_without_impersonation_is_refused_before_anything_is_registered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: bool, variable: str | None
) -> None:
    if variable:
        monkeypatch.setenv(IMPERSONATE, variable)
    good = environment.load("prod", tmp_path).values
    made = stack(tmp_path, **{**good, "impersonate": setting})
    shown = said(made, "up")
    assert "impersonate is false, which is for previews only" in shown
    assert "Traceback" not in shown
    assert kinds(made) in ([], ["pulumi:pulumi:Stack"])


@pytest.mark.parametrize("operation", ["preview", "up"])
def test_what_a_running_stack_cannot_change_is_refused_before_anything_else_is_registered(
    tmp_path: Path, operation: str
) -> None:
    running = environment.load("prod", tmp_path)

    def nothing_but_settings() -> None:
        provider = sdk.Provider("platform-vertexops")
        settled = pulumi.ResourceOptions(provider=provider)
        sdk.FixedSettings("settings", settings=watched(running.settings), opts=settled)

    stack(tmp_path, nothing_but_settings).up()
    made = stack(tmp_path, **{**running.values, "project": "iot-elsewhere", "endpointId": "42"})
    before = kinds(made)
    shown = said(made, operation)
    assert "cannot change project from 'iot-prod' to 'iot-elsewhere'. All of it was made" in shown
    assert "cannot change endpointId from '9150266' to '42'. Callers would have to fol" in shown
    assert kinds(made) == before
