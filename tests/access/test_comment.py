"""The comment on a pull request, of previews that the real engine made; golden files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from access.__main__ import main
from access.comment import LIMIT, lines, read, text
from tests.previews import RECORDED, events, preview

FAILS = {"policy-cannot-run", "preview-failed"}
CASES = sorted(path.name for path in RECORDED.iterdir())
URN = "urn:pulumi:staging::predictive-maintenance::gcp:storage/bucket:Bucket::artifacts"


def said(message: str, level: str = "advisory") -> dict[str, Any]:
    return {"policyEvent": {"resourceUrn": URN, "message": message, "enforcementLevel": level}}


@pytest.mark.parametrize("name", CASES)
def test_the_comment_is_as_it_was(name: str) -> None:
    found = read(preview(name), events(name))
    assert text(found) == (RECORDED / name / "comment.md").read_text()
    assert found.passed == (name not in FAILS)


def test_access_comes_first() -> None:
    titles = [line for line in lines(read(preview("access-lost"), events("access-lost")))]
    at = [i for i, line in enumerate(titles) if line.startswith("### ")]
    assert [titles[i].split(":")[0].split("\n")[0] for i in at] == [
        "### Access lost", "### Changes", "### Policy",
    ]  # fmt: skip


def without_summary(log: list[Any]) -> list[Any]:
    return [event for event in log if "summaryEvent" not in event]


def without_pack(log: list[Any]) -> list[Any]:
    return [
        {"summaryEvent": {**event["summaryEvent"], "PolicyPacks": {}}}
        if "summaryEvent" in event
        else event
        for event in log
    ]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda log: [*log, said("Title\nB1 (high) public\n", "mandatory")], "**Forbidden**"),
        (lambda log: [*log, said("Title\nB1 failed on x, which nobody judged by it: E")],
         "could not run"),
        (lambda log: [*log, {"diagnosticEvent": {"severity": "error",
                                                 "message": "error: failed to run policy: x"}}],
         "could not run"),
        (lambda log: [*log, {"diagnosticEvent": {"severity": "error", "message": "no <b>"}}],
         "<pre>no &lt;b&gt;</pre>"),
        (without_pack, "No policy pack ran"),
        (without_summary, "did not come to its end"),
    ],
)  # fmt: skip
def test_what_nobody_judged_and_what_is_forbidden_does_not_pass(
    change: Callable[[list[Any]], list[Any]], told: str
) -> None:
    found = read(preview("no-change"), change(events("no-change")))
    assert not found.passed
    assert told in "\n".join(lines(found))


def test_waivers_in_use_are_told_with_who_gave_them() -> None:
    waived = (
        "Title\nB1 is waived for gcp:storage/bucket:Bucket::artifacts until 2027-01-31 by Ann: "
        "shared | with devices. It says: public"
    )
    found = read(preview("no-change"), [*events("no-change"), said(waived), said(waived)])
    assert found.passed
    assert not found.findings
    *_, row = lines(found)
    assert row == (
        "| B1 | gcp:storage/bucket:Bucket::artifacts | 2027-01-31 | Ann | shared / with devices |"
    )


def test_names_from_a_pull_request_do_not_end_the_code_they_stand_in() -> None:
    changed = preview("access-gained")
    for step in changed["steps"]:
        if step["op"] == "create":
            step["newState"]["inputs"]["member"] = "user:a`\n# <script>|"
    told = "\n".join(lines(read(changed, events("access-gained"))))
    assert "`user:a' # <script>\\|`" in told


def test_the_command_ends_with_whether_it_passed(tmp_path: Path) -> None:
    for name, code in (("no-change", 0), ("policy-cannot-run", 1)):
        (tmp_path / "preview.json").write_text(json.dumps(preview(name)))
        done = CliRunner().invoke(
            main,
            ["comment", str(tmp_path / "preview.json"), str(RECORDED / name / "events.json")],
        )
        assert done.exit_code == code
        assert done.output == (RECORDED / name / "comment.md").read_text()


def test_what_is_no_preview_is_refused(tmp_path: Path) -> None:
    (tmp_path / "preview.json").write_text("error: no such stack")
    arguments = ["comment", str(tmp_path / "preview.json"), str(tmp_path / "preview.json")]
    assert CliRunner().invoke(main, arguments).exit_code == 1


def test_a_comment_is_no_longer_than_github_takes() -> None:
    many = [said(f"Title\nB{i} (high) " + "x" * 500, "mandatory") for i in range(300)]
    told = text(read(preview("access-gained"), [*events("access-gained"), *many]))
    assert LIMIT / 2 < len(told) < 65_536
    assert "### Access gained" in told
    assert "Cut here" in told.splitlines()[-1]
