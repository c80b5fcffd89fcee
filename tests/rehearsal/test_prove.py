"""The proof that roles are tight finds what is spare, and what no line has."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from access.report import disagreements
from components import permissions as table
from rehearsal.prove import prove
from rehearsal.report import Report
from tests.rehearsal.playing import ROOT, play

SPARE = table.Need(
    table.SERVING, "artifactReader", table.ARTIFACTS, "nothing", "none", "storage.buckets.get",
    frozenset({table.REGISTER}),
)  # fmt: skip


@pytest.mark.sweep
@pytest.mark.parametrize("stack", ["staging", "prod"])
def test_every_role_is_tight_over_the_whole_life(stack: str) -> None:
    code, output, summary = play("prove", stack)
    assert code == 0, output
    assert (summary["spare"], summary["missing"]) == ([], [])
    page = (ROOT / "docs" / "reference" / "access.md").read_text()
    assert disagreements(page, stack, summary["identities"]) == []
    for held in summary["identities"].values():
        assert set(held["granted"]) <= set(held["used"])


@pytest.mark.sweep
def test_every_role_is_tight_where_github_comes_in() -> None:
    """Pull requests are previewed by GitHub's jobs alone, and the platform is an account. A pool's
    id is taken after the stack is destroyed, which is said with what to do."""
    github = {
        "ownerId": 583231,
        "repositoryId": 1296269,
        "rolloutEnvironment": "staging",
        "foundationEnvironment": "staging-foundation",
    }
    platform = "serviceAccount:pm-platform@iot-staging.iam.gserviceaccount.com"
    report = "serviceAccount:report@iot-other.iam.gserviceaccount.com"
    others = (f"federation={json.dumps(github)}", "previewMember=''", f"platformMember={platform}")
    others += (f"callers={json.dumps(['group:dashboards@example.com', report])}",)
    code, output, summary = play("prove", "staging", *(p for o in others for p in ("--set", o)))
    assert code == 0, output
    assert (summary["spare"], summary["missing"]) == ([], [])
    assert {*table.FEDERATED, table.CALLER} <= summary["identities"].keys()
    assert "2 got a prediction; a stranger was refused" in output
    assert {"come in from GitHub", "come back too early"} <= set(summary["stages"])
    assert "3 kinds of jobs became 5 accounts; 16 attempts refused" in output


@pytest.mark.sweep
def test_a_spare_permission_ends_the_proof_and_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(table, "NEEDS", (*table.NEEDS, SPARE))
    shown = io.StringIO()
    report = Report("staging", Console(file=shown, width=200), output=tmp_path)
    assert not prove("staging", report)
    assert report.summary["spare"] == [(table.SERVING, "storage.buckets.get", "nothing")]
    assert "spare: serving holds storage.buckets.get (nothing)" in shown.getvalue()
