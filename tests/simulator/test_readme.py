"""The examples of simulator/README.md, run from an empty folder as they stand there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest

from simulator import coverage

ROOT = Path(__file__).parents[2]
README = (ROOT / "simulator" / "README.md").read_text()
SECONDS = 120


class Block(NamedTuple):
    """A fenced block; `about` is the text since the one before."""

    about: str
    language: str
    text: str


BLOCKS = [Block(*found) for found in re.findall(r"(?s)(.*?)```(\w*)\n(.*?)```", README)]
EXAMPLES = [
    pytest.param(block.text, answer.text.splitlines(), id=block.text.split("\n")[0][-60:])
    for block, answer in pairwise(BLOCKS)
    if block.language == "sh" and answer.language == "text"
]
TERRAFORMS = (
    "~/.terraform.d/plugins",
    "/usr/local/share/terraform/plugins",
    "/usr/share/terraform",
)
GOOGLES = "registry.terraform.io/hashicorp/google"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder, with the files that the page names."""
    for about, _, text in BLOCKS:
        if named := re.search(r"`([\w.]+\.(?:yaml|py|tf))`:\s*\Z", about):
            (tmp_path / named[1]).write_text(text)
    return tmp_path


def run(command: str, folder: Path) -> str:
    done = subprocess.run(
        ["bash", "-euc", command],
        cwd=folder,
        env={
            **os.environ,
            "HOME": str(folder),
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            "PYTHONPATH": str(ROOT),
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    return said


@pytest.mark.parametrize(("command", "answer"), EXAMPLES)
def test_an_example_does_what_the_page_says(command: str, answer: list[str], folder: Path) -> None:
    for tool in re.findall(r"\b(gcloud|bq|curl)\b", command):
        if not shutil.which(tool):
            pytest.skip(f"{tool} is not installed")
    said = re.sub(r"[ \t]+", " ", run(command, folder))
    for line in answer:
        assert re.sub(r"[ \t]+", " ", line) in said, said


def test_every_shell_example_has_an_answer() -> None:
    assert len(EXAMPLES) == sum(block.language == "sh" for block in BLOCKS) == 6


def test_terraform_applies_the_example(folder: Path) -> None:
    if not shutil.which("terraform"):
        pytest.skip("terraform is not installed")
    if not any((Path(it).expanduser() / GOOGLES).exists() for it in TERRAFORMS):
        pytest.skip("Terraform's Google provider is not installed")
    lines = [line.removeprefix("$ ") for line in _terraform().splitlines()]
    assert lines[2] in run("\n".join(lines[:2]), folder)


def _terraform() -> str:
    (text,) = [block.text for block in BLOCKS if "terraform apply" in block.text]
    return text


def test_the_tables_say_what_the_code_does() -> None:
    assert coverage.readme(README) == README, "make docs"
