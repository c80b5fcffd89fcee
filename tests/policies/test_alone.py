"""The pack's folder by itself, as another team takes it, and as publishing uploads it."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from rehearsal.toolchain import VERSION
from tests.policies.support import PACK, ROOT, analyze, environment
from tests.policies.test_baseline import REPORTED, state

BAD = {case["id"] for case in REPORTED if case["verdict"] == "bad"}
PROGRAM = """
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/pulumi/pulumi/sdk/v3/go/auto"
	"github.com/pulumi/pulumi/sdk/v3/go/auto/optpreview"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

type grant struct{ pulumi.CustomResourceState }

func give(ctx *pulumi.Context, name string, role string) error {
	return ctx.RegisterResource("gcp:projects/iAMMember:IAMMember", name, pulumi.Map{
		"project": pulumi.String("team-a"),
		"role":    pulumi.String(role),
		"member":  pulumi.String("group:sre@team.example"),
	}, &grant{})
}

func program(ctx *pulumi.Context) error {
	if err := give(ctx, "owns", "roles/owner"); err != nil {
		return err
	}
	return give(ctx, "looks", "roles/browser")
}

func main() {
	ctx := context.Background()
	stack, err := auto.UpsertStackInlineSource(ctx, "prod", "another-teams", program)
	if err == nil {
		_, err = stack.Preview(ctx, optpreview.PolicyPacks(os.Args[1]))
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}
"""


def unpacked(folder: Path) -> Path:
    """A tarball of the pack's folder, as it is under version control, unpacked elsewhere."""
    listed = subprocess.run(
        ["git", "ls-files", "policies"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode:
        pytest.skip("this is no clone, so nobody says what belongs to the pack")
    archive = folder / "pack.tar.gz"
    with tarfile.open(archive, "w:gz") as made:
        for name in listed.stdout.split():
            made.add(ROOT / name, Path(name).relative_to("policies"))
    there = folder / "their pack"
    with tarfile.open(archive) as found:
        found.extractall(there, filter="data")
    return there


def test_a_copy_under_another_name_judges_anothers_state(tmp_path: Path) -> None:
    code, said = analyze(tmp_path, state(REPORTED), unpacked(tmp_path))
    assert code == 1
    assert {case["id"] for case in REPORTED if f"::{case['id']}" in said} == BAD


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The unpacked pack, and a Python that has the pack's own requirements and nothing else."""
    folder = tmp_path_factory.mktemp("alone")
    pack = unpacked(folder)
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    python = folder / "venv" / "bin" / "python"
    install = [python, "-m", "pip", "install", "--quiet", "-r", pack / "requirements.txt"]
    subprocess.run(install, check=True)
    return pack, python


@pytest.mark.sweep
def test_its_own_requirements_are_enough(alone: tuple[Path, Path], tmp_path: Path) -> None:
    pack, python = alone
    others = "import importlib.util as u; print(u.find_spec('pulumi_gcp'), u.find_spec('sklearn'))"
    told = subprocess.run([python, "-c", others], capture_output=True, text=True, check=True)
    assert told.stdout.split() == ["None", "None"]
    code, said = analyze(tmp_path, state(REPORTED), pack, python)
    assert code == 1
    assert {case["id"] for case in REPORTED if f"::{case['id']}" in said} == BAD


@pytest.mark.sweep
def test_a_stack_in_another_language_is_judged_in_a_preview(
    alone: tuple[Path, Path], tmp_path: Path
) -> None:
    """A program in Go, by the release of Pulumi's SDK that the CLI is built with."""
    pack, python = alone
    program = ROOT / "build" / "another-language"
    program.mkdir(parents=True, exist_ok=True)
    (program / "main.go").write_text(PROGRAM)
    (program / "go.mod").write_text(
        f"module another\n\ngo 1.24\n\nrequire github.com/pulumi/pulumi/sdk/v3 v{VERSION}\n"
    )
    for command in (["go", "mod", "tidy"], ["go", "build", "-o", "another", "."]):
        subprocess.run(command, cwd=program, capture_output=True, check=True)
    work = tmp_path / "work"
    work.mkdir()
    (tmp_path / "state").mkdir()
    done = subprocess.run(
        [program / "another", pack],
        cwd=work,
        env=environment(tmp_path, python),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "G2 (critical) roles/owner is a basic role" in done.stdout
    assert "gcp:projects:IAMMember: owns" in done.stdout
    assert "gcp:projects:IAMMember: looks" not in done.stdout


def test_nothing_of_it_is_left_out_by_accident() -> None:
    assert {path.name for path in PACK.iterdir() if not path.name.startswith((".", "__py"))} == {
        "PulumiPolicy.yaml", "__init__.py", "__main__.py", "config", "gcp_access",
        "requirements.txt",
    }  # fmt: skip
