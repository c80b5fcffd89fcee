"""The script that prepares a project; a rehearsed cloud is prepared with it in tests/rehearsal."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from access import bootstrap
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
    settings, text = settings_of(stack, ROOT), printed("bootstrap", stack)
    files = dict(re.findall(r"cat > platform-(\S+)\.yaml <<'END'\n(.*?)END\n", text, re.DOTALL))
    assert set(files) == {settings.project, *settings.source_projects}
    for project, content in files.items():
        place = table.PROJECT if project == settings.project else table.SOURCE_PROJECT
        (role,) = [
            role
            for role in table.roles(settings.capabilities)
            if (role.key, role.on) == (table.PLATFORM, place)
        ]
        assert yaml.safe_load(content)["includedPermissions"] == list(role.permissions)
        granted = f"add-iam-policy-binding {project} --member={settings.platform_member} "
        assert f"{granted}--role=projects/{project}/roles/platform" in text


def test_on_the_key_the_platform_may_grant_and_nothing_else() -> None:
    settings, text = settings_of("staging", ROOT), printed("bootstrap", "staging")
    files = dict(re.findall(r"cat > (\w+Key)-iot-keys\.yaml <<'END'\n(.*?)END\n", text, re.DOTALL))
    read, grant = (f"cloudkms.cryptoKeys.{verb}IamPolicy" for verb in ("get", "set"))
    assert {id: yaml.safe_load(file)["includedPermissions"] for id, file in files.items()} == {
        "platformKey": [read, grant],
        "previewerKey": [read],
    }
    on_key = f"gcloud kms keys add-iam-policy-binding {settings.kms_key} "
    assert f"{on_key}--member={settings.platform_member} --role=projects/iot-keys/roles/p" in text
    without = settings.model_copy(update={"kms_key": None})
    assert "kms" not in "\n".join(bootstrap.script(without))


def test_an_account_for_the_platform_is_made_before_its_role_is_granted() -> None:
    platform = "serviceAccount:pm-platform@iot-staging.iam.gserviceaccount.com"
    settings = settings_of("staging", ROOT).model_copy(update={"platform_member": platform})
    lines = list(bootstrap.script(settings))
    made = "    gcloud iam service-accounts create pm-platform --project=iot-staging"
    (granted,) = [line for line in lines if f"binding iot-staging --member={platform}" in line]
    assert lines.count(made) == 1 and lines.index(made) < lines.index(granted)
    assert not any(
        "service-accounts" in line for line in bootstrap.script(settings_of("prod", ROOT))
    )


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
