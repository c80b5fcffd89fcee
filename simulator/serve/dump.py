"""The whole content of the cloud in a form in which two clouds can be compared.

Left out is what two clouds differ in that hold the same: times and what follows them, etags,
generations and numbers that Google draws. A name that ends in such a number ends in what it is
called instead, wherever it occurs.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from simulator.api.operations import Operations
from simulator.core.cloud import Cloud
from simulator.iam.decisions import Iam
from simulator.services.monitoring.state import Monitoring

DIFFERS = frozenset(
    {
        *("counted", "samples"),  # of a log-based metric
        "ack_token",
        "cloudUpdateTime",
        "created",
        "createTime",
        "creationTime",
        "deleted",
        "effectiveTime",
        "etag",
        "generation",
        "hardDeleteTime",
        "inserted",
        "kept_from",
        "lastModifiedTime",
        "last_used",
        "material",
        "mediaLink",
        "metageneration",
        "mutateTime",
        "mutationRecord",
        "numId",
        "revision",
        "revisionCreateTime",
        "revisionId",
        "scaling",
        "softDeleteTime",
        "swept",
        "timeCreated",
        "timeDeleted",
        "timeFinalized",
        "timeStorageClassUpdated",
        "unique_id",
        "uniqueId",
        "updated",
        "updateTime",
        "versionCreateTime",
        "versionUpdateTime",
        "watch",
    }
)
# What services keep to do their work, and the past: neither is content.
INTERNAL = frozenset(
    {
        *("cloud", "started", "trial", "uploads", "logging_failures", "scaled"),
        *("withheld",),
        *("alerts", "forwarded", "gone", "recorded", "sent", "strained", "watches"),
    }
)
PLAIN = (str, int, float, bool, type(None))


def dump(cloud: Cloud) -> dict[str, Any]:
    """Allow policies by resource, then the content of each service, ready for JSON."""
    names = drawn(cloud)
    return {
        "policies": _policies(cloud),
        "operations": cloud[Operations].unfinished(),
        **{
            type(part).__name__: _called(_plain(dict(_attributes(part))), names)
            for part in cloud.holdings()
        },
    }


def drawn(cloud: Cloud) -> dict[str, str]:
    """Name that Google drew -> the same with what it is called in place of the number.

    A second one that is called the same, such as a repeated create makes, stays another one.
    """
    monitoring, names, times = cloud[Monitoring], dict[str, str](), Counter[str]()
    for held in (monitoring.channels, monitoring.dashboards, monitoring.policies):
        for key, info in held.items():
            called = str(info.get("displayName", ""))
            times[place := f"{_beside(key)}{called}"] += 1
            called += f" ({times[place]})" if times[place] > 1 else ""
            # A dashboard's own name has the project's number.
            names |= {name: _beside(name) + called for name in (key, info["name"])}
            for condition in info.get("conditions", ()):
                names[condition["name"]] = f"{names[key]}/conditions/{condition['displayName']}"
    return names


def _beside(name: str) -> str:
    return name[: name.rindex("/") + 1]


def _called(value: Any, names: Mapping[str, str]) -> Any:
    match value:
        case dict():
            return {names.get(key, key): _called(item, names) for key, item in value.items()}
        case list():
            return [_called(item, names) for item in value]
        case str():
            return names.get(value, value)
    return value


def _policies(cloud: Cloud) -> dict[str, list[str]]:
    """Resource -> `ROLE MEMBER [CONDITION]` of each binding's members."""
    found = {}
    for resource, policy in cloud[Iam].stored().items():
        lines = [
            f"{role} {member} {condition}".rstrip()
            for (role, condition), members in policy.bindings.items()
            for member in members
        ]
        if lines:
            found[resource] = sorted(lines)
    return dict(sorted(found.items()))


def _attributes(part: Any) -> Iterator[tuple[str, Any]]:
    """Public attributes, and private collections; counters and caches are not content."""
    for name, value in vars(part).items():
        if name not in INTERNAL and (not name.startswith("_") or isinstance(value, dict)):
            yield name, value


def _plain(value: Any) -> Any:
    match value:
        case dict():
            # An object's id ends in its generation.
            differing = DIFFERS | ({"id"} if value.get("kind") == "storage#object" else set())
            return {
                str(key): _plain(item)
                for key, item in sorted(value.items(), key=lambda pair: str(pair[0]))
                if key not in differing
            }
        case list() | tuple():
            return [_plain(item) for item in value]
        case set() | frozenset():
            return sorted(map(str, value))
        case bytes() | bytearray():
            return hashlib.sha256(value).hexdigest()
    if isinstance(value, PLAIN):
        return value
    if is_dataclass(value):
        return _plain({item.name: getattr(value, item.name) for item in fields(value)})
    return type(value).__name__
