"""What Cloud Monitoring holds, and what its resources share."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from simulator.api.errors import ApiError, invalid
from simulator.api.patching import copy_paths, mask_paths
from simulator.core.cloud import Cloud, Holding
from simulator.services.logging.samples import Position

Info = dict[str, Any]
Labels = tuple[tuple[str, str], ...]

MAX_LABELS = 64
LABEL_KEY = re.compile(r"[a-z][a-z0-9_-]{0,62}")
LABEL_VALUE = re.compile(r"[a-z0-9_-]{0,63}")


class Key(NamedTuple):
    """The time series that an incident is about; of a log, the labels extracted from it."""

    metric: str
    metric_labels: Labels
    resource: str
    resource_labels: Labels


At = tuple[str, Key]
"""A condition, by its name, and one of its time series."""


@dataclass(slots=True)
class Incident:
    """`policy` and `condition` as they were when it opened; times are Unix seconds."""

    name: str
    policy: Info
    condition: Info
    key: Key
    opened: float
    value: float | None
    data: float
    """When there were last data of the series, or an entry of the log."""
    extracted: dict[str, str] | None = None
    closed: float | None = None
    cancelled: bool = False


@dataclass(slots=True)
class Watch:
    """How far a policy is judged, and what of its conditions is to be remembered."""

    policy: Info
    upto: float
    position: Position
    since: dict[At, float] = field(default_factory=dict)
    """From when on a series violates its condition without a break."""
    seen: dict[At, float] = field(default_factory=dict)
    values: dict[At, float] = field(default_factory=dict)
    met: set[At] = field(default_factory=set)
    open: dict[At, Incident] = field(default_factory=dict)
    told: dict[At, float] = field(default_factory=dict)
    """When something was last notified of an entry of a log."""
    broken: dict[str, str] = field(default_factory=dict)
    """Conditions that could not be judged, and why."""


class Monitoring(Holding):
    """Resources by name, with the project's id in it."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.channels: dict[str, Info] = {}
        self.policies: dict[str, Info] = {}
        self.dashboards: dict[str, Info] = {}
        self.services: dict[str, Info] = {}
        self.slos: dict[str, Info] = {}
        # What becomes of the policies; nothing of it is a resource that somebody made.
        self.watches: dict[str, Watch] = {}
        self.alerts: dict[str, Incident] = {}
        self.sent: list[Info] = []
        # By project and metric; `conditions` says what.
        self.recorded: dict[tuple[str, str], Any] = {}

    def live(self) -> dict[str, list[str]]:
        return {
            "notificationChannels": sorted(self.channels),
            "alertPolicies": sorted(self.policies),
            "dashboards": sorted(self.dashboards),
            "services": sorted(self.services),
            "serviceLevelObjectives": sorted(self.slos),
        }


def under(items: dict[str, Info], parent: str, collection: str) -> dict[str, Info]:
    prefix = f"{parent}/{collection}/"
    return {name: item for name, item in items.items() if name.startswith(prefix)}


def bad_field(field: str, value: object, why: str) -> ApiError:
    """Monitoring's complaint about one field, recorded in many public repositories."""
    return invalid(f'Field {field} had an invalid value of "{value}": {why}')


def check_labels(field: str, labels: dict[str, str]) -> None:
    """Discovery document, `userLabels`."""
    if len(labels) > MAX_LABELS:
        raise bad_field(field, f"{len(labels)} labels", f"At most {MAX_LABELS} are allowed.")
    for key, value in labels.items():
        if not LABEL_KEY.fullmatch(key) or not LABEL_VALUE.fullmatch(value):
            raise bad_field(
                field,
                f"{key}={value}",
                "Keys and values have at most 63 lower-case letters, digits, underscores and "
                "dashes, and keys begin with a letter.",
            )


def replaced(
    info: Info,
    body: Info,
    mask: str | None,
    mutable: Iterable[str],
    *,
    oneofs: Collection[frozenset[str]] = (),
) -> Info:
    """A copy of `info` with what the mask names from `body`; without a mask, all of it.

    `oneofs`: fields of which one is set, a message by being there.
    """
    mutable = tuple(mutable)
    paths = mask_paths(mask) or set(mutable)
    for path in paths:
        if path.partition(".")[0] not in mutable:
            raise invalid(f"The field `{path}` in update_mask cannot be updated.")
    changed = deepcopy(info)
    members = {name for oneof in oneofs for name in oneof}
    copy_paths(changed, body, paths, oneofs=oneofs, present=members)
    return changed
