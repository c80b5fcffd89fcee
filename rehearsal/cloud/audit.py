"""Every permission check, in order, and who used what."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

from rehearsal.cloud.api import Principal


class Via(NamedTuple):
    """The binding that granted: where its policy sits, its role, and which member matched."""

    resource: str
    role: str
    member: str


@dataclass(slots=True)
class Entry:
    """`status` is the HTTP status of the call's answer; None for a check made by an operation.
    `denied_by` names the deny policy that decided, if one did."""

    time: float
    principal: str
    permission: str
    resource: str
    via: Via | None
    method: str
    status: int | None = None
    denied_by: str | None = None

    @property
    def granted(self) -> bool:
        return self.via is not None

    def json(self) -> dict[str, Any]:
        return {
            "time": self.time,
            "principal": self.principal,
            "permission": self.permission,
            "resource": self.resource,
            "granted": self.granted,
            "via": self.via._asdict() if self.via else None,
            "deniedBy": self.denied_by,
            "service": f"{self.method.split('.', 1)[0]}.googleapis.com" if self.method else None,
            "method": self.method or None,
            "status": self.status,
        }


class Audit:
    """Keeps the newest `limit` entries; usage counts everything since the start."""

    def __init__(self, limit: int = 200_000) -> None:
        self.entries: deque[Entry] = deque(maxlen=limit)
        self.count = 0
        self._usage: dict[str, dict[str, set[str]]] = {}
        self._open: list[Entry] = []

    def record(
        self,
        time: float,
        principal: Principal,
        permission: str,
        resource: str,
        via: Via | None,
        method: str,
        denied_by: str | None = None,
    ) -> None:
        entry = Entry(time, principal.member, permission, resource, via, method, None, denied_by)
        self.entries.append(entry)
        self._open.append(entry)
        self.count += 1
        if via:
            used = self._usage.setdefault(principal.member, {})
            used.setdefault(permission, set()).add(resource)

    def begin(self) -> None:
        """A new request starts: checks made by operations since the last one keep no status."""
        self._open.clear()

    def finish(self, status: int) -> None:
        for entry in self._open:
            entry.status = status
        self._open.clear()

    def since(self, number: int) -> list[Entry]:
        """Entries numbered `number` and later, counting from 0 at the start of the cloud."""
        dropped = self.count - len(self.entries)
        return list(islice(self.entries, max(0, number - dropped), None))

    def usage(self) -> dict[str, dict[str, list[str]]]:
        """Member -> permission it used -> the resources it used it on."""
        return {
            member: {name: sorted(resources) for name, resources in sorted(used.items())}
            for member, used in sorted(self._usage.items())
        }
