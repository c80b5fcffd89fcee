"""The report says what a recorded rehearsal found, to everybody and without the network."""

from __future__ import annotations

import copy
import io
import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import asdict
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner
from rich.console import Console

from access import diff
from rehearsal import page, workloads
from rehearsal.__main__ import print_summary, written
from rehearsal.inventory import created
from rehearsal.plots import Bars, inline
from rehearsal.rehearse import asked
from rehearsal.report import Report
from rehearsal.run import Options
from tests.rehearsal.playing import ROOT

RECORDED = ROOT / "tests" / "data" / "rehearsal"
SVG = "{http://www.w3.org/2000/svg}"
EMPTY = frozenset({"meta", "br", "wbr", "link", "img", "input", "hr"})
WAIVED = (
    "B1 is waived for Bucket artifacts until 2027-01-31 by ana@example.com: moved in January. "
    "It says: is public"
)


class Page(HTMLParser):
    """What a page is made of; a tag that is not closed in its place ends the test."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.headings: list[tuple[str, str]] = []
        self.tables: list[dict[str, Any]] = []
        self._open: list[str] = []
        self._text: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {key: value or "" for key, value in attrs}
        self.tags.append((tag, given))
        if tag not in EMPTY:
            self._open.append(tag)
        if tag == "table":
            self.tables.append({"caption": "", "heads": [], "rows": []})
        elif tag == "tr":
            self.tables[-1]["rows"].append([])
        elif tag == "th":
            self.tables[-1]["heads"].append(given.get("scope"))
        if tag in ("th", "td", "caption", "h1", "h2", "h3"):
            self._text = []

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {key: value or "" for key, value in attrs}))

    def handle_data(self, data: str) -> None:
        self._text.append(data)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag
        said = " ".join("".join(self._text).split())
        if tag in ("h1", "h2", "h3"):
            self.headings.append((tag, said))
        elif tag == "caption":
            self.tables[-1]["caption"] = said
        elif tag in ("th", "td"):
            self.tables[-1]["rows"][-1].append(said)

    def table(self, caption: str) -> list[list[str]]:
        """The rows of the one table with such a caption, without its head."""
        (found,) = [it for it in self.tables if it["caption"].startswith(caption)]
        rows: list[list[str]] = found["rows"][1:]
        return rows


@pytest.fixture(scope="module")
def recorded() -> dict[str, Any]:
    """The summary of a rehearsal of staging, with one before it."""
    found: dict[str, Any] = json.loads((RECORDED / "summary.json").read_text())
    return found


@pytest.fixture
def summary(recorded: dict[str, Any]) -> dict[str, Any]:
    """The same, to be changed."""
    return copy.deepcopy(recorded)


@pytest.fixture(scope="module")
def made(recorded: dict[str, Any]) -> Page:
    return Page(page.html(recorded))


def text_of(summary: dict[str, Any]) -> str:
    """A page as plain text, its spaces made one."""
    unplotted = {key: it for key, it in summary.items() if key not in ("risks", "drift")}
    body = page.html(unplotted).partition("<body>")[2]
    return " ".join(re.sub(r"<wbr>", "", re.sub(r"<(?!wbr)[^>]+>", " ", body)).split())


def test_the_verdict_comes_first_and_headings_are_in_order(made: Page) -> None:
    assert made.headings[0] == ("h1", "staging: the rehearsal passed")
    assert [said for tag, said in made.headings if tag == "h2"] == [
        "Stages", "Access since the last run", "Policy", "Who may do what, and used it",
        "What was created", "Predictions and drift", "Proof that roles are tight",
        "What the settings cost",
    ]  # fmt: skip
    levels = [int(tag[1]) for tag, _ in made.headings]
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_nothing_is_loaded_and_no_script_is_needed(made: Page) -> None:
    kinds = {tag for tag, _ in made.tags}
    assert not kinds & {"script", "link", "img", "iframe", "object"}
    ids = [given["id"] for _, given in made.tags if "id" in given]
    assert len(ids) == len(set(ids))
    for tag, given in made.tags:
        for key in ("href", "src", "xlink:href"):
            if key in given:
                assert given[key].startswith("#") and given[key][1:] in ids, (tag, given)
    assert "@import" not in page.html({"stack": "x", "passed": True, "stages": {}})


def test_each_table_has_a_caption_and_heads_with_a_scope(made: Page) -> None:
    assert len(made.tables) > 20
    for table in made.tables:
        assert table["caption"], table
        assert set(table["heads"]) == {"col", "row"}, table


def test_stages_are_there_with_their_times_and_what_they_did(
    made: Page, recorded: dict[str, Any]
) -> None:
    rows = made.table("In the order in which they ended")
    stages = recorded["stages"]
    assert [row[1] for row in rows] == [f"{seconds:.1f}" for seconds in stages.values()]
    for row, name in zip(rows, stages, strict=True):
        assert row[0] == f"✓ {name}{recorded['told'][name]['note']}".strip()


def test_a_bar_is_where_its_stage_was(recorded: dict[str, Any]) -> None:
    stages = {it["name"]: it for it in page.facts(recorded)["stages"]}
    for it in stages.values():
        assert it["left"] >= 0 and it["left"] + it["width"] <= 100.02
    assert stages["destroy"]["left"] + stages["destroy"]["width"] == pytest.approx(100, abs=0.02)
    assert stages["predict"]["left"] == pytest.approx(stages["up again"]["left"], abs=0.5)


def test_resources_are_counted_by_component_and_listed_with_their_parents(
    made: Page, recorded: dict[str, Any]
) -> None:
    of = Counter(it["component"] or page.NO_COMPONENT for it in recorded["created"])
    assert len(made.table("Resources by component")) == len(of)
    for name, many in of.items():
        (row,) = [it for it in made.table("Resources by component") if it[0].startswith(name)]
        assert int(row[1]) == many
        assert len(made.table(f"{many} resources in {name}")) == many
    assert ["deployer", "gcp:serviceaccount/account:Account", "access"] in made.table(
        f"{of['access']} resources in access"
    )
    assert of["access"] > 40


def test_created_resources_are_put_to_their_outermost_component() -> None:
    def one(kind: str, name: str, parent: str = "", custom: bool = True) -> dict[str, Any]:
        return {"urn": f"{kind}::{name}", "type": kind, "parent": parent, "custom": custom}

    there = [
        one("pulumi:pulumi:Stack", "s", custom=False),
        one("my:Access", "access", "pulumi:pulumi:Stack::s", custom=False),
        one("my:Inner", "inner", "my:Access::access", custom=False),
        one("pulumi:providers:gcp", "platform", "pulumi:pulumi:Stack::s"),
        one("gcp:a:Account", "deployer", "my:Inner::inner"),
        one("gcp:a:Guard", "guard", "pulumi:pulumi:Stack::s"),
    ]
    account = {"component": "access", "type": "gcp:a:Account", "name": "deployer"}
    guard = {"component": "", "type": "gcp:a:Guard", "name": "guard", "parent": ""}
    assert created({it["urn"]: it for it in there}) == [{**account, "parent": "inner"}, guard]


def test_each_permission_is_there_with_its_steps_and_its_use(
    made: Page, recorded: dict[str, Any]
) -> None:
    held = recorded["identities"]
    assert {row[0]: row[1:] for row in made.table("Permissions by identity")} == {
        name: [
            str(len(of["granted"])),
            str(len(set(of["granted"]) & set(of["used"]))),
            str(len(set(of["granted"]) - set(of["used"]))),
        ]
        for name, of in held.items()
    }
    rows = {row[0]: row[1:] for row in made.table("What deployer may do")}
    assert rows["aiplatform.endpoints.deploy"] == [
        "deploy a model, scale a deployed model (project)", "yes",
    ]  # fmt: skip
    assert rows["aiplatform.modelDeploymentMonitoringJobs.resume"][1] == "no"
    assert rows.keys() == set(held["deployer"]["granted"])
    beyond = {row[0]: row[1:] for row in made.table("What platform may do")}
    assert beyond["bigquery.tables.getData"] == ["no line of the table", "yes"]


def test_hours_are_replicas_times_the_hours_of_a_month(summary: dict[str, Any]) -> None:
    summary["serving"] |= {"replicas": [2, 10], "machine_type": "n1-standard-4"}
    rows = Page(page.html(summary)).table("Machine-hours a month (730 hours), of n1-standard-4")
    assert rows == [
        ["shuttle-anomaly", "90 %", "2 to 10", "1,460 to 7,300"],
        ["shuttle-baseline", "10 %", "2 to 10", "1,460 to 7,300"],
        ["All models", "", "4 to 20", "2,920 to 14,600"],
    ]
    assert not re.search(r"[$€£]|\bUSD\b", text_of(summary))


def test_a_model_may_run_on_machines_of_its_own(summary: dict[str, Any]) -> None:
    summary["serving"] |= {
        "replicas": [2, 10],
        "own": {"shuttle-baseline": ["n1-standard-4", 1, 1]},
    }
    rows = Page(page.html(summary)).table(
        "Machine-hours a month (730 hours), of n1-standard-2 and n1-standard-4"
    )
    assert rows[1:] == [
        ["shuttle-baseline", "10 %", "1 of n1-standard-4", "730"],
        ["All models", "", "3 to 11", "2,190 to 8,030"],
    ]


def test_plots_show_the_figures_and_say_them_too(recorded: dict[str, Any], made: Page) -> None:
    said = [given["aria-label"] for tag, given in made.tags if given.get("role") == "img"]
    assert len(said) == 2
    assert "above 50 % have 64 of 64 readings before a failure, and 0 of 960 sound" in said[0]
    assert "f4 0.01 and 1.00" in said[1] and "above 0.3" in said[1]


def test_bars_are_as_high_as_their_values() -> None:
    shown = Bars("c", 'a "b" <c>', ["p", "q"], {"one": [1, 2], "two": [4, 0]}, "x", "y", ("lim", 3))
    drawn = inline(shown, "plot7")
    assert drawn == inline(shown, "plot7")
    svg = ElementTree.fromstring(drawn)
    assert svg.get("aria-label") == 'a "b" <c>' and svg.get("width") is None
    heights = {}
    for group in svg.iter(f"{SVG}g"):
        if match := re.fullmatch(r"plot7-series-(\d-\d)", group.get("id", "")):
            (path,) = group.findall(f"{SVG}path")
            ys = [float(y) for _, y in re.findall(r"([\d.]+) ([\d.]+)", path.get("d", ""))]
            heights[match[1]] = max(ys) - min(ys)
    unit = heights["0-0"]
    assert heights == pytest.approx({"0-0": unit, "0-1": 2 * unit, "1-0": 4 * unit, "1-1": 0.0})
    assert "var(--one)" in drawn and "#0" not in drawn
    assert {"one", "two", "lim", "x", "y", "p", "q"} <= {
        "".join(it.itertext()) for it in svg.iter(f"{SVG}text")
    }


def test_risks_are_counted_in_equal_parts() -> None:
    assert workloads.told([0.0, 0.05, 0.1, 0.55, 0.56, 1.0], [0, 0, 1, 0, 0, 1], 55) == {
        "percent": 55,
        "above": {"sound": 1, "failing": 1},
        "sound": [2, 0, 0, 0, 0, 2, 0, 0, 0, 0],
        "failing": [0, 1, 0, 0, 0, 0, 0, 0, 0, 1],
    }


def without(summary: dict[str, Any], member: str) -> dict[str, Any]:
    """What the grants of a run would be without those to a member."""
    there = summary["grants"]["resources"]
    return {urn: it for urn, it in there.items() if member not in str(it["inputs"].get("member"))}


def compared(summary: dict[str, Any], before: Any, after: Any) -> dict[str, Any]:
    told = {"since": "2026-11-28T09:00:00+00:00", **asdict(diff.between(before, after))}
    return {**summary, "access": json.loads(json.dumps(told))}


def test_access_that_is_gained_or_lost_is_said(recorded: dict[str, Any]) -> None:
    fewer, all_of_it = without(recorded, "pm-deployer@"), recorded["grants"]["resources"]
    assert len(fewer) < len(all_of_it)
    told = compared(recorded, fewer, all_of_it)
    said = text_of(told)
    assert "Compared with the run of 28 November 2026, 09:00 UTC" in said
    rows = Page(page.html(told)).table("Access gained")
    (row,) = [it for it in rows if it[1] == "project iot-staging"]
    assert row[0].startswith("serviceAccount:pm-deployer@iot-staging")
    assert "aiplatform.endpoints.create" in row[2]
    assert "Access lost" not in said and "stronger" not in said
    (fact,) = [it for it in page.facts(told)["facts"] if it["section"] == "access"]
    assert fact["fine"] is False and "gain some" in fact["text"]
    shown = "\n".join(page.markdown(told))
    assert "### Access gained" in shown and "`aiplatform.endpoints.create`" in shown

    lost = text_of(compared(recorded, all_of_it, fewer))
    assert "Access lost" in lost and "Access gained" not in lost


def test_who_becomes_able_to_make_himself_stronger_is_said_first(recorded: dict[str, Any]) -> None:
    there = recorded["grants"]["resources"]
    given = {"role": "roles/iam.securityAdmin", "member": "user:eve@example.com", "project": "p"}
    more = {
        **there,
        "urn:x::p::t::eve": {"type": "gcp:projects/iAMMember:IAMMember", "inputs": given},
    }
    told = compared(recorded, there, more)
    said = text_of(told)
    stronger = said.index("user:eve@example.com becomes able to make itself stronger")
    assert stronger < said.index("resourcemanager.projects.setIamPolicy on project p")
    assert stronger < said.index("Access gained")
    (fact,) = [it for it in page.facts(told)["facts"] if it["section"] == "access"]
    assert fact["text"].startswith("1 become able to make themselves stronger; 1 gain some")
    ended = text_of(compared(recorded, more, there))
    assert "user:eve@example.com can no longer make itself stronger" in ended


def test_without_a_run_to_compare_with_it_says_so(summary: dict[str, Any]) -> None:
    del summary["access"]
    assert "there is no earlier run in this place" in text_of(summary)
    summary["grants"]["at"] = "2026-01-01T00:00:00+00:00"
    assert "did not come as far as to say who may do what" in text_of(summary)
    assert "gains or loses" not in "\n".join(page.markdown(summary))


def test_what_the_next_run_is_compared_with_outlives_a_run_that_failed(tmp_path: Path) -> None:
    def report() -> Report:
        return Report("staging", Console(file=io.StringIO()), output=tmp_path)

    first = report()
    assert first.last() == {}
    first.summary["grants"] = {"at": "then", "resources": {}}
    first.write()
    report().write()
    assert report().last()["grants"] == {"at": "then", "resources": {}}
    (tmp_path / "summary.json").write_text("{")
    assert report().last() == {}


def test_policy_findings_are_said_once_with_their_waivers(summary: dict[str, Any]) -> None:
    summary["violations"] = [
        ["mandatory", "No public access.\nB2 (critical): allUsers on <topic>"],
        ["advisory", "Least privilege.\nroles/editor: too much"],
        ["advisory", "Least privilege.\nroles/editor: too much"],
        ["advisory", WAIVED],
        ["advisory", "can't run policy: unknown value"],
    ]
    told = page.policy(summary)
    assert told["forbidden"] == [summary["violations"][0][1]]
    assert told["advice"] == [summary["violations"][1][1]]
    assert told["not_run"] == ["can't run policy: unknown value"]
    assert told["short"] == "1 forbidden, 1 could not run, 1 advice, 1 waivers in use"
    assert told["fine"] is False
    text = page.html(summary)
    assert "allUsers on &lt;topic&gt;" in text and text.count("too much") == 1
    assert Page(text).table("Waivers in use") == [
        ["B1", "Bucket artifacts", "2027-01-31", "ana@example.com", "moved in January"],
    ]  # fmt: skip
    assert "objects to nothing" not in text


def test_a_waiver_alone_leaves_nothing_to_object_to(summary: dict[str, Any]) -> None:
    assert "objects to nothing" in text_of(summary) and "No waiver is in use" in text_of(summary)
    summary["violations"] = [["advisory", WAIVED]]
    assert page.policy(summary)["fine"] is True
    assert "objects to nothing" in text_of(summary)
    assert "No waiver is in use" not in text_of(summary)


def test_a_failure_is_explained_before_its_error(summary: dict[str, Any]) -> None:
    summary |= {
        "passed": False,
        "failures": [
            {"reason": "the engine stopped", "notes": ["in the stage: up"], "error": "<403> no"}
        ],
        "denial": {"explained": ["deployer lacks aiplatform.endpoints.create"]},
        "asked": {"without": ["a.b.c"], "settings": {"maxReplicas": 4}},
    }
    summary["told"]["up"]["held"] = False
    said = text_of(summary)
    order = [
        "staging: the rehearsal failed", "without: a.b.c", "settings: maxReplicas=4",
        "the engine stopped (in the stage: up)", "15 of 16 held", "What went wrong",
        "The engine stopped", "deployer lacks aiplatform.endpoints.create", "&lt;403&gt; no",
        "✗ up (failed)",
    ]  # fmt: skip
    places = [said.index(it) for it in order]
    assert places == sorted(places)


def test_a_run_that_ended_at_once_has_a_page_all_the_same() -> None:
    report = Report("staging", Console(file=io.StringIO()))
    told = page.html(report.summary)
    assert Page(told).headings[0] == ("h1", "staging: the rehearsal failed")
    assert "Nothing was judged by the policy pack" in told
    assert "Not proven in this run" in told
    assert "What the settings cost" not in told and "<svg" not in told


def test_what_others_named_is_text_and_nothing_else(summary: dict[str, Any]) -> None:
    evil = "</code></td><script>alert(1)</script><img src=x onerror=y>"
    summary["stack"] = f"x{evil}"
    summary["told"]["up"]["note"] = evil
    summary["created"][0] |= {"component": evil, "name": evil, "type": evil}
    summary["identities"][evil] = {"granted": [evil], "used": []}
    summary["serving"]["traffic"] = {evil: 100}
    summary["drift"]["distances"] = {evil: {"calm": 0.1, "shifted": 0.2, "threshold": 0.3}}
    summary["violations"] = [["advisory", evil]]
    summary["failures"] = [{"reason": evil, "notes": [evil], "error": evil}]
    kinds = {tag for tag, _ in Page(page.html(summary)).tags}
    assert not kinds & {"script", "img"}


def proven(folder: Path, **told: Any) -> dict[str, Any]:
    proof = folder / "staging-proof"
    proof.mkdir()
    (proof / "summary.json").write_text(json.dumps({"stack": "staging-proof", **told}))
    return page.last_proof(folder / "staging")


def test_the_last_proof_is_told_and_never_taken_for_one_of_this_run(
    summary: dict[str, Any], tmp_path: Path
) -> None:
    assert page.last_proof(tmp_path / "staging") == {}
    assert "Prove it: python -m rehearsal prove staging" in text_of(summary)
    summary["proof"] = proven(tmp_path, at="2026-11-28T09:00:00+00:00", passed=True, spare=[])
    said = text_of(summary)
    assert "Not proven in this run. The last proof, of 28 November 2026, 09:00 UTC, passed" in said
    assert "Prove it" not in said and "The report of that proof" not in said
    (tmp_path / "staging-proof" / "report.html").touch()
    shown = page.write(tmp_path / "staging", {**summary, "proof": {}})
    assert '<a href="../staging-proof/report.html">' in shown.read_text()
    assert "not proven in this run; the last one passed" in shown.with_suffix(".md").read_text()


def test_a_summary_is_printed_and_its_page_made_anew(
    recorded: dict[str, Any], tmp_path: Path
) -> None:
    nothing = CliRunner().invoke(print_summary, ["staging", "--output", str(tmp_path)])
    assert nothing.exit_code == 1 and "nothing was rehearsed" in nothing.output
    (tmp_path / "summary.json").write_text(json.dumps(recorded))
    done = CliRunner().invoke(print_summary, ["staging", "--output", str(tmp_path)])
    assert done.output == (RECORDED / "report.md").read_text()
    assert "the rehearsal passed" in (tmp_path / "report.html").read_text()


def test_a_proof_that_failed_says_what_is_spare_and_missing(
    summary: dict[str, Any], tmp_path: Path
) -> None:
    found = {"spare": [["platform", "a.b.get", "read it"]], "missing": [["device", "c.d", "r"]]}
    summary["proof"] = proven(tmp_path, passed=False, **found)
    own = {**summary, **found, "stack": "staging-proof", "passed": False}
    for told in (summary, own):
        said = text_of(told)
        assert "spare: platform holds a.b.get (read it), nothing used it" in said
        assert "missing: device used c.d by r, no line of the table has it" in said
    assert "Not proven in this run" not in text_of(own)
    assert "the proof failed" in text_of(own)


def test_options_are_told_and_secrets_are_not() -> None:
    assert asked(Options("staging", keep=True, pictures="here")) == {}
    given = {"clearbladeCredentials": "hidden", "maxReplicas": 4}
    told = asked(Options("staging", without=("a.b",), settings=given))
    assert told == {
        "without": ("a.b",), "settings": {"clearbladeCredentials": "(secret)", "maxReplicas": 4},
    }  # fmt: skip


def test_the_markdown_is_as_it_was_recorded(recorded: dict[str, Any]) -> None:
    assert "\n".join(page.markdown(recorded)) + "\n" == (RECORDED / "report.md").read_text()


def test_the_terminal_names_the_page_where_there_is_one(tmp_path: Path) -> None:
    for paged in (False, True):
        shown = io.StringIO()
        report = Report("staging", Console(file=shown, width=200), output=tmp_path)
        with written(report, paged=paged):
            report.summary["passed"] = True
        assert ("report.html" in shown.getvalue()) is paged
        assert "summary.json" in shown.getvalue()
    assert {it.name for it in tmp_path.iterdir()} == {"summary.json", "report.html", "report.md"}
    assert "the rehearsal passed" in (tmp_path / "report.html").read_text()


def test_a_rehearsal_does_not_wait_for_what_makes_its_page() -> None:
    loaded = "import sys, rehearsal.__main__; print({'jinja2', 'matplotlib'} & {*sys.modules})"
    done = subprocess.run(
        [sys.executable, "-c", loaded], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "set()\n"


OPENED = "document.querySelectorAll('details').forEach(it => it.open = true)"
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


@pytest.mark.sweep
@pytest.mark.skipif(not CHROMIUM, reason="needs Chromium: apt-get install chromium")
def test_a_browser_finds_nothing_to_complain_of(recorded: dict[str, Any], tmp_path: Path) -> None:
    """At phone and desktop width, in light and dark, lists closed and open: axe and the console."""
    from axe_playwright_python.sync_playwright import Axe
    from playwright.sync_api import sync_playwright

    address = page.write(tmp_path, recorded).as_uri()
    said: list[str] = []
    asked_for: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM)
        for scheme in ("light", "dark"):
            for width in (360, 1280):
                sheet = browser.new_page(
                    viewport={"width": width, "height": 900}, color_scheme=scheme
                )
                sheet.on("console", lambda message: said.append(message.text))
                sheet.on("pageerror", lambda error: said.append(str(error)))
                sheet.on("request", lambda request: asked_for.append(request.url))
                sheet.goto(address)
                paper = sheet.evaluate("getComputedStyle(document.documentElement).backgroundColor")
                assert paper == {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 24, 27)"}[scheme]
                for _ in range(2):
                    found = Axe().run(sheet)
                    assert found.violations_count == 0, found.generate_report()
                    # Plots are there, and nothing is wider than the screen.
                    assert sheet.locator("figure svg").count() == 2
                    assert sheet.evaluate("document.documentElement.scrollWidth") <= width
                    sheet.evaluate(
                        "document.querySelectorAll('details').forEach(it => it.open = true)"
                    )
                sheet.close()
        browser.close()
    assert said == []
    assert set(asked_for) == {address}
