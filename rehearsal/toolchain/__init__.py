"""The programs a rehearsal needs: the Pulumi CLI, and a plugin for the gcp package.

python -m rehearsal.toolchain        finds the CLI or builds it, and prints its path
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

VERSION: Final = "3.259.0"
OLDEST: Final = (3, 219, 0)
"""Pulumi releases from here on know the error hooks that wait for a key's grant."""

HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parent.parent
STAND_IN: Final = ROOT / "standin" / "pulumi-resource-gcp"


class ToolchainError(RuntimeError):
    """A program is missing; the message says how to get it."""


@dataclass(frozen=True)
class GcpPlugin:
    """The program that plays the gcp package: `official` or `standin`."""

    kind: str
    path: Path


def built_cli() -> Path:
    """Where `make` keeps the CLI it builds: outside the work tree, by version."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "predictive-maintenance" / f"pulumi-{VERSION}" / "bin" / "pulumi"


def pulumi_cli() -> Path:
    """The user's own CLI where it is recent enough, else the one that was built.

    Raises ToolchainError.
    """
    own = shutil.which("pulumi")
    if own and _version(Path(own)) >= OLDEST:
        return Path(own)
    if built_cli().is_file():
        return built_cli()
    raise ToolchainError("no Pulumi CLI; `make setup` builds one")


def build_cli() -> Path:
    """Build the CLI with the ordinary Go client, once. Raises ToolchainError without Go."""
    target = built_cli()
    if not shutil.which("go"):
        raise ToolchainError(
            "neither Pulumi nor Go was found. Install the Pulumi CLI "
            "(https://www.pulumi.com/docs/install/), or Go 1.25 or later "
            f"(https://go.dev/doc/install), with which `make` builds Pulumi {VERSION}"
        )
    partial = target.with_suffix(".partial")
    target.parent.mkdir(parents=True, exist_ok=True)
    package = "github.com/pulumi/pulumi"
    subprocess.run(
        [
            "go", "build", "-mod=readonly", "-o", partial, "-ldflags",
            f"-s -w -X {package}/sdk/v3/go/common/version.Version=v{VERSION}",
            f"{package}/pkg/v3/cmd/pulumi",
        ],
        cwd=HERE,
        check=True,
    )  # fmt: skip
    partial.replace(target)
    return target


def gcp_plugin(wanted: str = "auto") -> GcpPlugin:
    """The official plugin where there is one on PATH or in Pulumi's cache, else the stand-in.

    `wanted` is auto, official or standin. Raises ToolchainError when official is wanted and absent.
    """
    official = None if wanted == "standin" else _official_plugin()
    if official:
        return GcpPlugin("official", official)
    if wanted == "official":
        raise ToolchainError(
            "the official gcp plugin is neither on PATH nor in Pulumi's cache; "
            "`make plugin` installs it where the network allows"
        )
    return GcpPlugin("standin", STAND_IN)


def _official_plugin() -> Path | None:
    on_path = shutil.which("pulumi-resource-gcp")
    if on_path and Path(on_path).resolve() != STAND_IN:
        return Path(on_path)
    home = Path(os.environ.get("PULUMI_HOME") or Path.home() / ".pulumi")
    cached = home.glob("plugins/resource-gcp-v*/pulumi-resource-gcp")
    return max(cached, key=lambda path: _numbers(path.parent.name), default=None)


def _version(cli: Path) -> tuple[int, ...]:
    answer = subprocess.run([cli, "version"], capture_output=True, text=True, check=False)
    return _numbers(answer.stdout)


def _numbers(text: str) -> tuple[int, ...]:
    match = re.search(r"(\d+)\.(\d+)\.(\d+)", text)
    return tuple(int(number) for number in match.groups()) if match else (0,)
