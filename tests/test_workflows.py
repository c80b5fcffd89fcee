"""What GitHub runs: pinned, with few permissions, and tried here as far as it needs no GitHub."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from rehearsal.page import markdown
from rehearsal.toolchain import VERSION
from tests.previews import RECORDED, preview
from tests.workflows import FOLDER, NAMES, ROOT, Command, command, commands, workflow

ACTIONS: Final = {
    "actions/checkout",
    "google-github-actions/auth",
    "actions/setup-python",
    "actions/upload-artifact",
    "github/codeql-action/upload-sarif",
    "pulumi/actions",
}
SETUP: Final = "./.github/actions/setup"
MAY: Final = {
    "rehearse": {"contents": "read"},
    "preview": {
        "actions": "read",
        "contents": "read",
        "id-token": "write",
        "pull-requests": "write",
        "security-events": "write",
    },
    "deploy": {"contents": "read", "id-token": "write"},
    "drift": {"contents": "read", "id-token": "write", "issues": "write"},
}

HERE: Final = {
    "preview / changed / Name the environments that are touched",
    "preview / preview / Tell what it means",
    "preview / preview / Judge by the policy pack",
    "preview / preview / Comment",
    "deploy / changes / See whether the foundation would change",
    "drift / drift / Tell what it means",
    "drift / drift / Open, update or close the issue",
}
IN_A_REHEARSAL: Final = {
    "preview / preview / Preview",
    "drift / drift / Preview what is there",
    "deploy / staging / Deploy",
    "deploy / prod-foundation / Deploy",
    "deploy / prod / Deploy",
}
"""tests/rehearsal/test_previews.py runs these (`make sweep`)."""
BY_THEMSELVES: Final = {
    "rehearse / lint / make lint": "`make test` runs it",
    "rehearse / lint / make policies": "test_what_is_rehearsed_is_summarised (`make sweep`)",
    "rehearse / rehearse / Rehearse the stack, with the policy pack": "likewise",
    "rehearse / rehearse / Prove that every role is tight": "likewise",
    "rehearse / rehearse / Summarise": "likewise",
    "preview / preview / make model": "likewise",
    "drift / drift / make model": "the same command",
    "deploy / staging / make model": "the same command",
    "deploy / prod / make model": "the same command",
}
NOT_HERE: Final = {
    "deploy / staging / Compare what is there with what is declared":
        "asks Google with the workflow's own credentials; tests/rehearsal/test_verify.py has the "
        "command on a rehearsed cloud",
    "deploy / prod-foundation / Compare what is there with what is declared": "likewise",
    "deploy / verify / Compare what is there with what is declared": "likewise",
}  # fmt: skip


def test_every_command_is_run_here_or_it_is_said_why_not() -> None:
    assert {str(c) for c in commands()} == {*HERE, *IN_A_REHEARSAL, *BY_THEMSELVES, *NOT_HERE}
    assert sum(map(len, (HERE, IN_A_REHEARSAL, BY_THEMSELVES, NOT_HERE))) == len(list(commands()))
    by_job = {"staging": "staging", "prod-foundation": "prod", "prod": "prod-rollout"}
    for job, stack in by_job.items():
        assert command("deploy", job, "Deploy").environment["STACK"] == stack
    assert len({command("deploy", job, "Deploy").script for job in by_job}) == 1


def uses(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [
            *([value["uses"]] if "uses" in value else []),
            *(found for item in value.values() for found in uses(item)),
        ]
    return [found for item in value for found in uses(item)] if isinstance(value, list) else []


def test_actions_are_official_ones_pinned_by_commit() -> None:
    action = yaml.safe_load((ROOT / SETUP / "action.yml").read_text())
    used = [found for source in (*map(workflow, NAMES), action) for found in uses(source)]
    pinned = {found for found in used if found != SETUP}
    assert all(re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", found) for found in pinned)
    names = [found.partition("@")[0] for found in pinned]
    assert sorted(names) == sorted(ACTIONS), "one commit of each"


def test_the_cli_is_the_one_that_is_built_where_there_is_none() -> None:
    """Another one may not know --event-log, or log other events."""
    action = yaml.safe_load((ROOT / SETUP / "action.yml").read_text())
    steps = action["runs"]["steps"]
    (cli,) = [step for step in steps if step.get("uses", "").startswith("pulumi/")]
    assert cli["with"] == {"pulumi-version": VERSION}


@pytest.mark.parametrize("name", NAMES)
def test_a_workflow_may_do_little(name: str) -> None:
    it = workflow(name)
    assert it["permissions"] == {}
    for job in it["jobs"].values():
        assert job["permissions"].items() <= MAY[name].items()
        assert job["timeout-minutes"] <= 90
    text = (FOLDER / f"{name}.yml").read_text()
    for never in ("secrets.", "pull_request_target", "credentials_json", "workflow_run"):
        assert never not in text


def test_only_what_has_no_credentials_runs_for_forks() -> None:
    """`pull_request` runs for forks as well, then without a token for an identity."""
    for name in NAMES:
        it = workflow(name)
        if "pull_request" not in it[True]:  # YAML reads `on` as true
            continue
        jobs = it["jobs"]
        for job in jobs.values():
            guarded = "head.repo.full_name == github.repository"
            first = jobs[job["needs"]] if "needs" in job else job
            assert "id-token" not in job["permissions"] or guarded in first["if"]


def test_no_expression_stands_in_a_script() -> None:
    """What comes from a pull request must not become a part of a command."""
    assert [str(c) for c in commands() if "${{" in c.script] == []


def test_prod_waits_for_staging_and_for_its_environments() -> None:
    jobs = workflow("deploy")["jobs"]
    assert jobs["changes"]["needs"] == "staging"
    assert jobs["prod-foundation"]["needs"] == "changes"
    assert jobs["prod"]["needs"] == ["changes", "prod-foundation"]
    compare = "Compare what is there with what is declared"
    for name, job in jobs.items():
        titles = [step.get("name") for step in job["steps"]]
        if "Deploy" not in titles:
            assert "environment" not in job and "concurrency" not in job
            continue
        assert job["environment"] == name
        group = f"stack-{job['env']['STACK']}"
        assert job["concurrency"] == {"group": group, "cancel-in-progress": False}
        # Who rolls out may not even look at access: another job compares.
        assert titles[-1] == (compare if name != "prod" else "Deploy")
    assert jobs["verify"]["needs"] == "prod"


def test_who_rolls_prod_out_comes_in_without_an_account() -> None:
    """The job itself may become the deployer; the platform's account is the foundation's."""
    jobs = workflow("deploy")["jobs"]
    accounts = {
        name: step["with"].get("service_account")
        for name, job in jobs.items()
        for step in job["steps"]
        if step.get("uses", "").startswith("google-github-actions/auth@")
    }
    preview = "${{ vars.PREVIEW_ACCOUNT_prod }}"
    assert accounts == {
        "staging": "${{ vars.DEPLOY_ACCOUNT }}",
        "changes": preview,
        "prod-foundation": "${{ vars.DEPLOY_ACCOUNT }}",
        "prod": None,
        "verify": preview,
    }


@pytest.mark.parametrize(("ended", "said"), [(0, "same"), (1, "changes"), (255, "changes")])
def test_the_foundation_is_left_alone_where_it_would_stay(
    ended: int, said: str, tmp_path: Path
) -> None:
    pulumi = tmp_path / "pulumi"
    pulumi.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/asked\nexit {ended}\n')
    pulumi.chmod(0o755)
    it = command("deploy", "changes", "See whether the foundation would change")
    done = run(it, tmp_path, PATH=f"{tmp_path}:{os.environ['PATH']}")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "output").read_text() == f"foundation={said}\n"
    assert (tmp_path / "asked").read_text() == "preview --stack prod --expect-no-changes\n"


def run(it: Command, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Where the pull request is checked out, with what GitHub gives."""
    if not (folder / ".venv").exists():
        (folder / ".venv").symlink_to(ROOT / ".venv")
    given = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "GITHUB_STEP_SUMMARY": str(folder / "summary"),
        "GITHUB_OUTPUT": str(folder / "output"),
        "GITHUB_ENV": str(folder / "env"),
        "GITHUB_REPOSITORY": "example/stack",
    }
    return it.run(folder, {**given, **environment}, check=False)


def git(folder: Path, *arguments: str) -> str:
    who = ("-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false")
    done = subprocess.run(
        ["git", *who, *arguments], cwd=folder, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("changed", "stacks"),
    [
        (["README.md", "docs/reference/access.md", "tests/test_x.py"], []),
        (["Pulumi.prod.yaml"], ["prod-rollout", "prod"]),
        (["Pulumi.prod-rollout.yaml"], ["prod-rollout"]),
        (["Pulumi.prod.yaml", "docs/how-to/change-a-setting.md"], ["prod-rollout", "prod"]),
        (["Pulumi.staging.yaml"], ["staging"]),
        (["components/access.py"], ["prod-rollout", "prod", "staging"]),
        (["Pulumi.staging.yaml", "requirements.txt"], ["prod-rollout", "prod", "staging"]),
        (["Pulumi.yaml"], ["prod-rollout", "prod", "staging"]),
    ],
)
def test_environments_that_a_change_touches_are_previewed(
    changed: list[str], stacks: list[str], tmp_path: Path
) -> None:
    git(tmp_path, "init", "-q")
    for name in ("prod", "prod-rollout", "staging"):
        shutil.copy(ROOT / f"Pulumi.{name}.yaml", tmp_path)
    git(tmp_path, "add", "."), git(tmp_path, "commit", "-qm", "before")
    base = git(tmp_path, "rev-parse", "HEAD")
    for name in changed:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        with (tmp_path / name).open("a") as file:
            file.write("# changed\n")
    git(tmp_path, "add", "."), git(tmp_path, "commit", "-qm", "after")
    it = command("preview", "changed", "Name the environments that are touched")
    done = run(it, tmp_path, BASE=base)
    assert done.returncode == 0, done.stderr
    said = json.loads((tmp_path / "output").read_text().removeprefix("stacks="))
    assert said == [{"stack": it, "environment": it.removesuffix("-rollout")} for it in stacks]


def previewed(name: str, folder: Path) -> None:
    (folder / "preview.json").write_text(json.dumps(preview(name)))
    shutil.copy(RECORDED / name / "events.json", folder)


@pytest.mark.parametrize(
    ("name", "code"), [("access-gained", 0), ("no-change", 0), ("policy-cannot-run", 1)]
)
def test_a_preview_is_told_and_fails_when_a_policy_cannot_run(
    name: str, code: int, tmp_path: Path
) -> None:
    previewed(name, tmp_path)
    done = run(command("preview", "preview", "Tell what it means"), tmp_path, STACK="staging")
    assert done.returncode == code, done.stderr
    golden = (RECORDED / name / "comment.md").read_text()
    assert (tmp_path / "summary").read_text() == (tmp_path / "comment.md").read_text() == golden


@pytest.mark.parametrize(("stack", "code"), [("staging", 0), ("prod", 1)])
def test_a_preview_is_judged_for_the_summary_and_for_code_scanning(
    stack: str, code: int, tmp_path: Path
) -> None:
    """Staging advises where prod blocks."""
    (tmp_path / "policies").symlink_to(ROOT / "policies")
    said = json.dumps(preview("over-broad-grant"))
    said = said.replace("urn:pulumi:staging::", f"urn:pulumi:{stack}::")
    (tmp_path / "preview.json").write_text(said)
    done = run(command("preview", "preview", "Judge by the policy pack"), tmp_path)
    assert done.returncode == code, done.stderr
    assert "IAMMember::extra-editor</code>" in (tmp_path / "summary").read_text()
    (found,) = json.loads((tmp_path / "policies.sarif").read_text())["runs"]
    levels = {result["ruleId"]: result["level"] for result in found["results"]}
    assert levels["G2"] == ("error" if code else "warning")


def test_a_preview_that_cannot_be_read_is_not_uploaded(tmp_path: Path) -> None:
    (tmp_path / "policies").symlink_to(ROOT / "policies")
    (tmp_path / "preview.json").write_text("error: no stack")
    done = run(command("preview", "preview", "Judge by the policy pack"), tmp_path)
    assert done.returncode != 0 and "is not JSON" in done.stderr
    assert not (tmp_path / "policies.sarif").exists()


@pytest.mark.parametrize(
    ("name", "drifted"),
    [("no-drift", "false"), ("harmless-change", "true"), ("preview-failed", "true"), ("", "true")],
)
def test_drift_is_what_a_preview_with_refresh_would_change(
    name: str, drifted: str, tmp_path: Path
) -> None:
    if name:
        previewed(name, tmp_path)
    done = run(command("drift", "drift", "Tell what it means"), tmp_path, STACK="staging")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "env").read_text() == f"DRIFTED={drifted}\n"
    assert (tmp_path / "comment.md").read_text()


FAKE_GH: Final = """#!/usr/bin/env bash
echo "${*//$'\\n'/ }" >> "$CALLS"
while [ $# -gt 0 ] && [ "$1" != --jq ]; do shift; done
if [ $# -gt 0 ]; then jq -r "$2" "$THERE"; fi
"""


def github(it: Command, folder: Path, there: Any, **environment: str) -> list[str]:
    """The calls of `gh` that write, where GitHub has `there` when it is asked."""
    if not shutil.which("jq"):
        pytest.skip("the filters that gh would apply take jq")
    (folder / "bin").mkdir()
    (folder / "bin" / "gh").write_text(FAKE_GH)
    (folder / "bin" / "gh").chmod(0o755)
    (folder / "there").write_text(json.dumps(there))
    path = f"{folder / 'bin'}:{os.environ['PATH']}"
    given = {"PATH": path, "CALLS": str(folder / "calls"), "THERE": str(folder / "there")}
    done = run(it, folder, STACK="staging", NUMBER="7", **{**given, **environment})
    assert done.returncode == 0, done.stderr
    return [line for line in (folder / "calls").read_text().splitlines() if "--jq" not in line]


def comment(id: int, body: str, login: str = "github-actions[bot]") -> Any:
    return {"id": id, "body": body, "user": {"login": login}}


OTHERS: Final = [
    comment(1, "<!-- preview of prod -->\n## prod"),
    comment(2, "<!-- preview of staging -->", "mallory"),
]


@pytest.mark.parametrize(
    ("there", "call"),
    [
        (OTHERS, "--method POST repos/example/stack/issues/7/comments"),
        (
            [*OTHERS, comment(3, "<!-- preview of staging -->\n## staging")],
            "--method PATCH repos/example/stack/issues/comments/3",
        ),
    ],
)
def test_a_stack_has_one_comment_which_is_updated(there: Any, call: str, tmp_path: Path) -> None:
    calls = github(command("preview", "preview", "Comment"), tmp_path, there)
    assert calls == [f"api {call} -F body=@comment.md"]


@pytest.mark.parametrize(
    ("drifted", "there", "verb"),
    [
        ("true", [], "create"),
        ("true", [{"number": 5, "title": "Drift in staging"}], "edit 5"),
        ("false", [{"number": 5, "title": "Drift in staging"}], "close 5"),
        ("true", [{"number": 6, "title": "Drift in staging, again"}], "create"),
    ],
)
def test_drift_opens_updates_and_closes_one_issue(
    drifted: str, there: Any, verb: str, tmp_path: Path
) -> None:
    it = command("drift", "drift", "Open, update or close the issue")
    (call,) = github(it, tmp_path, there, DRIFTED=drifted)
    assert call.startswith(f"issue {verb} ")


def test_without_drift_and_without_an_issue_nothing_is_done(tmp_path: Path) -> None:
    it = command("drift", "drift", "Open, update or close the issue")
    assert github(it, tmp_path, [], DRIFTED="false") == []


def test_a_summary_says_what_failed_and_how_long_each_stage_took() -> None:
    told = "\n".join(
        markdown(
            {
                "stack": "staging",
                "passed": False,
                "stages": {"up": 12.34},
                "failures": [{"reason": "stopped", "notes": ["in the stage: up"], "error": "<x>"}],
                "violations": [["advisory", "B1 (high)\nis public"]],
                "spare": [["platform", "a.b.get", "read"]],
                "identities": {"deployer": {"granted": ["a", "b"], "used": ["a"]}},
            }
        )
    )
    for text in (
        "## staging: failed", "**stopped** (in the stage: up)", "<pre>&lt;x&gt;</pre>",
        "- advisory: B1 (high) is public", "- spare: platform holds `a.b.get`",
        "| up | 12.3 |", "| deployer | 2 | 1 |",
    ):  # fmt: skip
        assert text in told


@pytest.mark.sweep
def test_what_is_rehearsed_is_summarised(tmp_path: Path) -> None:
    """The commands of the workflow that every pull request gets, in its order, on prod."""
    own = {**os.environ, "STACK": "prod", "GITHUB_STEP_SUMMARY": str(tmp_path / "summary")}
    for it in commands():
        if it.workflow == "rehearse" and it.name != "make lint":
            done = it.run(ROOT, own, check=False)
            assert done.returncode == 0, done.stdout + done.stderr
    told = (tmp_path / "summary").read_text()
    assert "## prod: passed" in told
    assert "## prod-proof: passed" in told
    command("preview", "preview", "make model").run(ROOT, dict(os.environ))
