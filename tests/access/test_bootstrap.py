"""The script that prepares a project; a rehearsed cloud is prepared with it in tests/rehearsal."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from access.__main__ import main
from access.answer import settings_of
from components import permissions as table

ROOT = Path(__file__).parents[2]


def printed(*arguments: str) -> str:
    done = CliRunner().invoke(main, list(arguments))
    assert done.exit_code == 0, done.output
    return done.output


@pytest.mark.parametrize("stack", ["staging", "prod"])
def test_each_project_gets_the_role_of_the_table(stack: str) -> None:
    settings, script = settings_of(stack, ROOT), printed("bootstrap", stack)
    files = dict(re.findall(r"cat > platform-(\S+)\.yaml <<'END'\n(.*?)END\n", script, re.DOTALL))
    assert set(files) == {settings.project, settings.source_project}
    for project, text in files.items():
        place = table.PROJECT if project == settings.project else table.SOURCE_PROJECT
        (role,) = [
            role
            for role in table.roles(settings.capabilities)
            if (role.key, role.on) == (table.PLATFORM, place)
        ]
        assert yaml.safe_load(text)["includedPermissions"] == list(role.permissions)
        granted = f"add-iam-policy-binding {project} --member={settings.platform_member} "
        assert f"{granted}--role=projects/{project}/roles/platform" in script


def test_the_script_is_bash() -> None:
    script = printed("bootstrap", "staging")
    assert subprocess.run(["bash", "-n"], input=script, text=True, check=False).returncode == 0


def test_a_role_is_printed_as_before() -> None:
    file = yaml.safe_load(printed("role", "platform", "--stack", "staging", "--in-source"))
    assert file["title"] == "Predictive maintenance: platform"
    assert "iam.roles.create" in file["includedPermissions"]


def test_who_needs_nothing_gets_no_role() -> None:
    done = CliRunner().invoke(main, ["role", "device", "--stack", "staging"])
    assert (done.exit_code, "device needs nothing there" in done.output) == (1, True)
