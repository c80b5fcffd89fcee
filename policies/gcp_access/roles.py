"""Google's predefined roles and permissions, from a catalogue file shipped beside this module.

The catalogue is made from the public iam-dataset dump of predefined roles
(github.com/iann0036/iam-dataset, MIT licence), one role a line with `name`, `title`, `stage` and
`includedPermissions`. To make it again, from Google's API (`iam.roles.list`; any credentials do) or
from a newer dump:

    python -m policies.gcp_access.roles
    python -m policies.gcp_access.roles predefined_roles.jsonl.gz

Every permission is written once, in sorted order; a role is a list of index ranges, each the gap
since the last one and its length in hexadecimal.
"""

from __future__ import annotations

import difflib
import gzip
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("roles.txt.gz")

# Permissions that exist but are not testable on a project, so a project-level custom role that
# names one is refused (gcp-facts/03_custom_roles.md).
NOT_ON_PROJECTS = (
    "accesscontextmanager.",
    "billing.",
    "cloudiot.",
    "iam.googleapis.com/workforcePool",
    "iam.workforcePool",
    "resourcemanager.capabilities.",
    "resourcemanager.folders.",
    "resourcemanager.organizations.",
    "resourcemanager.projects.create",
    "resourcemanager.projects.list",
)

# Testable, with a support level other than SUPPORTED (gcp-facts/03_custom_roles.md).
SUPPORT_LEVELS = {"resourcesettings.settings.update": "NOT_SUPPORTED"}


@dataclass(frozen=True)
class Role:
    name: str
    title: str
    stage: str
    ranges: str

    @cached_property
    def permissions(self) -> frozenset[str]:
        names = _catalogue()[0]
        return frozenset(names[index] for index in _unpack(self.ranges))


class Roles(Mapping[str, Role]):
    """The predefined roles by name; read from the file when first asked."""

    def __getitem__(self, name: str) -> Role:
        return _catalogue()[1][name]

    def __iter__(self) -> Iterator[str]:
        return iter(_catalogue()[1])

    def __len__(self) -> int:
        return len(_catalogue()[1])


ROLES = Roles()


def permissions(role: str) -> frozenset[str] | None:
    """What a predefined role holds; None for a role that Google does not have."""
    found = ROLES.get(role)
    return found.permissions if found else None


def spelled(role: str) -> str:
    """Google's own spelling of a role's name, whatever its case and the spaces around it."""
    return _spellings().get(role.strip().lower(), role.strip())


def nearest_permission(permission: str) -> str:
    """The existing permission most like a name that is none."""
    within = permission.partition(".")[0]
    known = [name for name in _catalogue()[0] if name.startswith(f"{within}.")]
    found = difflib.get_close_matches(permission, known or _catalogue()[0], 1, 0)
    return found[0]


def exists(permission: str) -> bool:
    """Whether any predefined role holds this permission."""
    return permission in _known()


def support_level(permission: str) -> str | None:
    """`customRolesSupportLevel` for a role in a project; None when it is not valid there."""
    if permission.startswith(NOT_ON_PROJECTS) or not exists(permission):
        return None
    return SUPPORT_LEVELS.get(permission, "SUPPORTED")


def testable() -> list[str]:
    """The permissions that can be tested on a project, sorted."""
    return [name for name in _catalogue()[0] if not name.startswith(NOT_ON_PROJECTS)]


def names() -> list[str]:
    """Every permission that a predefined role holds, sorted."""
    return _catalogue()[0]


@cache
def _catalogue() -> tuple[list[str], dict[str, Role]]:
    names, roles = gzip.decompress(FILE.read_bytes()).decode().split("\n\n")
    listed = (Role(*line.split("\t")) for line in roles.splitlines())
    return names.splitlines(), {role.name: role for role in listed}


@cache
def _spellings() -> dict[str, str]:
    return {name.lower(): name for name in ROLES}


@cache
def _known() -> frozenset[str]:
    return frozenset(_catalogue()[0])


def _unpack(ranges: str) -> Iterator[int]:
    position = -1
    for item in ranges.split(",") if ranges else ():
        gap, _, length = item.partition("-")
        start = position + int(gap, 16)
        position = start + int(length or "0", 16)
        yield from range(start, position + 1)


def _pack(indexes: Iterable[int]) -> str:
    items: list[list[int]] = []
    for index in sorted(indexes):
        if items and index == items[-1][1] + 1:
            items[-1][1] = index
        else:
            items.append([index, index])
    position, packed = -1, []
    for first, last in items:
        packed.append(f"{first - position:x}" + (f"-{last - first:x}" if last > first else ""))
        position = last
    return ",".join(packed)


def read(source: Path) -> list[dict[str, Any]]:
    """The roles of a dump in JSON lines, plain or gzipped."""
    text = gzip.decompress(source.read_bytes()) if source.suffix == ".gz" else source.read_bytes()
    return [json.loads(line) for line in text.splitlines() if line.strip()]


def build(roles: list[dict[str, Any]]) -> bytes:
    """The catalogue file's bytes."""
    names = sorted({name for role in roles for name in role.get("includedPermissions", ())})
    index = {name: position for position, name in enumerate(names)}
    lines = [
        "\t".join(
            (
                role["name"],
                " ".join(role.get("title", "").split()),
                role.get("stage", "GA"),
                _pack(index[name] for name in role.get("includedPermissions", ())),
            )
        )
        for role in sorted(roles, key=lambda role: str(role["name"]))
    ]
    return gzip.compress("\n".join((*names, "", *lines)).encode(), 9, mtime=0)


def write(roles: list[dict[str, Any]], file: Path = FILE) -> str:
    """Write the catalogue and say what it holds.

    Raises ValueError when roles are gone by the hundred: half an answer must not become the
    catalogue.
    """
    before = len(ROLES) if FILE.is_file() else 0
    if len(roles) < before * 0.9:
        raise ValueError(f"{len(roles)} roles where there were {before}; the catalogue is kept")
    file.write_bytes(build(roles))
    return f"{file}: {len(roles):,} roles (before: {before:,}), {file.stat().st_size:,} bytes"


if __name__ == "__main__":
    from .lookup import Lookup, every_predefined_role

    found = read(Path(sys.argv[1])) if sys.argv[1:] else list(every_predefined_role(Lookup()))
    print(write(found))
