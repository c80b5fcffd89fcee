"""Pictures show what Monitoring answered: each chart, each of its lines, the same every time."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from io import StringIO
from pathlib import Path
from xml.etree import ElementTree

import pytest
from rich.console import Console

from rehearsal.pictures import line
from rehearsal.plots import Chart, Line, write
from rehearsal.report import Report
from tests.rehearsal.playing import ROOT, play

SVG = "{http://www.w3.org/2000/svg}"
ANSWERS = Chart(
    "Answers a second, by code",
    "answers/s",
    [Line("2xx", [1.0, 2.0, 1.0]), Line("5xx", [0.0, 0.5, 0.0])],
    -1.0,
)
SLOW = Chart(
    "Milliseconds: half, and 95 % < 1",
    "ms",
    [Line("pump", [math.nan, 60_000.0, math.nan])],
    -1.0,
    limit=1_000,
    scale="log",
    marks=[(0.0, "opened"), (1.0, "closed")],
    text="What it means. " + "Predictions come late. " * 6,
)


def texts(path: Path) -> list[str]:
    return ["".join(it.itertext()) for it in ElementTree.parse(path).iter(f"{SVG}text")]


def lines(path: Path) -> dict[str, int]:
    """How many lines each chart has."""
    found: dict[str, int] = {}
    for it in ElementTree.parse(path).iter(f"{SVG}g"):
        if match := re.fullmatch(r"(series-\d+)-\d+", it.get("id", "")):
            # A line of several points, or marks where there is but one.
            assert it.find(f"{SVG}path") is not None or it.find(f".//{SVG}use") is not None
            found[match[1]] = found.get(match[1], 0) + 1
    return found


def test_each_chart_has_its_title_its_unit_and_its_lines(tmp_path: Path) -> None:
    path = tmp_path / "drawn.svg"
    write([ANSWERS, SLOW], path, "minutes since trouble began", columns=2)
    said = texts(path)
    for chart in (ANSWERS, SLOW):
        assert chart.title in said and chart.unit in said
        assert {it.name for it in chart.lines} <= set(said)
    assert said.count("minutes since trouble began") == 2
    assert {"alert: 1000 ms", "opened: minute 0", "closed: minute 1", "10000"} <= set(said)
    assert " ".join(said).count("Predictions come late.") == 6
    assert lines(path) == {"series-1": 2, "series-2": 1}


def test_the_same_data_make_the_same_file(tmp_path: Path) -> None:
    paths = [tmp_path / "one.svg", tmp_path / "two.svg"]
    for path in paths:
        write([ANSWERS, SLOW], path, "minutes", columns=1)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    write([SLOW, ANSWERS], paths[1], "minutes", columns=1)
    assert paths[0].read_bytes() != paths[1].read_bytes()


@pytest.mark.parametrize(
    ("aligner", "elsewhere", "name"),
    [
        ("ALIGN_RATE", 0.0, "pump"),
        ("ALIGN_DELTA", 0.0, "pump"),
        ("ALIGN_MAX", math.nan, "pump"),
        ("ALIGN_PERCENTILE_95", math.nan, "pump, 95 %"),
    ],
)
def test_a_line_has_a_value_for_each_minute(aligner: str, elsewhere: float, name: str) -> None:
    points = [
        {"interval": {"endTime": "1970-01-01T00:03:00.25Z"}, "value": {"int64Value": "7"}},
        {"interval": {"endTime": "1970-01-01T00:01:00.25Z"}, "value": {"doubleValue": 0.5}},
    ]
    metric = {"labels": {"spot": "false", "model_display_name": "pump"}}
    series = {"metric": metric, "resource": {"labels": {"location": "here"}}, "points": points}
    query = {"aggregation": {"perSeriesAligner": aligner}}
    found = line(series, query, 4, 240.25)
    assert found.name == name
    assert found.values == pytest.approx([0.5, elsewhere, 7.0, elsewhere], nan_ok=True)


def test_a_rehearsal_without_pictures_does_not_wait_for_what_draws_them() -> None:
    loaded = "import sys, rehearsal.__main__; print('matplotlib' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", loaded], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"


def test_a_picture_of_what_is_printed_asks_no_other_host_for_a_font() -> None:
    report = Report("staging", Console(record=True, file=StringIO()))
    with report.stage("preview"):
        pass
    drawn = report.screen("rehearsal up staging")
    assert "preview" in drawn
    assert "font-face" not in drawn and not re.search(r'url\((?!#)|(href|src)="http', drawn)


@pytest.mark.sweep
def test_a_rehearsal_with_trouble_and_a_rush_is_drawn(tmp_path: Path) -> None:
    scaling = ["--set", "maxReplicas=4", "--set", "autoscaling={requestsPerMinute: 20}"]
    code, output, _ = play("up", "staging", "--pictures", str(tmp_path), *scaling)
    assert code == 0, output
    assert "3 replicas at three times the rate, then 1" in output
    drawn = {path.stem: path for path in tmp_path.iterdir()}
    assert drawn.keys() == {"dashboard", "incident", "autoscaling"}
    assert {stem: list(lines(path).values()) for stem, path in drawn.items()} == {
        "dashboard": [2, 4, 2, 1, 3, 3, 2],
        "incident": [3],
        "autoscaling": [1, 2],
    }
    assert {"Dead letters", "alert: 600 s", "5xx"} <= set(texts(drawn["dashboard"]))
    assert "Telemetry: readings undelivered (ERROR)" in texts(drawn["incident"])
    said = " ".join(texts(drawn["incident"]))
    assert re.search(r"opened: minute 1[12] .*closed: minute 6[01] ", f"{said} "), said
