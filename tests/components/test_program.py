"""The program on the real engine, as far as it goes without a cloud."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from pulumi import automation

from components.settings import IMPERSONATE
from rehearsal import environment
from rehearsal.engine import stack_program

NAME = "predictive-maintenance"


def said(folder: Path, operation: str, **settings: Any) -> str:
    """What the engine shows when `operation` fails, with only `settings` in the stack's file."""
    (folder / "state").mkdir()
    (folder / "Pulumi.yaml").write_text(f"name: {NAME}\nruntime: python\n")
    environment = {
        "PULUMI_BACKEND_URL": f"file://{folder / 'state'}",
        "PULUMI_CONFIG_PASSPHRASE": "none",
        "PULUMI_HOME": str(folder / "home"),
        "PULUMI_PYTHON_CMD": sys.executable,
        "PULUMI_SKIP_UPDATE_CHECK": "true",
    }
    stack = automation.create_stack(
        "test",
        project_name=NAME,
        program=stack_program,
        opts=automation.LocalWorkspaceOptions(work_dir=str(folder), env_vars=environment),
    )
    stack.set_all_config(
        {
            key: automation.ConfigValue(value if isinstance(value, str) else json.dumps(value))
            for key, value in settings.items()
        }
    )
    with pytest.raises(automation.CommandError) as failure:
        getattr(stack, operation)(color="never")
    return str(failure.value)


def test_wrong_settings_are_shown_without_a_traceback(tmp_path: Path) -> None:
    shown = said(tmp_path, "preview", region="us-centrall1")
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
    shown = said(tmp_path, "up", **{**good, "impersonate": setting})
    assert "impersonate is false, which is for previews only" in shown
    assert "Traceback" not in shown
    [state] = (tmp_path / "state" / ".pulumi" / "stacks").rglob("test.json")
    latest = json.loads(state.read_text())["checkpoint"].get("latest") or {}
    kinds = [resource["type"] for resource in latest.get("resources", [])]
    assert kinds in ([], ["pulumi:pulumi:Stack"])
