"""Every permission check and every request, in order, and who used what."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from sys import intern
from typing import Any, NamedTuple, TypeVar

from simulator.api.calls import Call
from simulator.api.discovery import Method
from simulator.core.principal import Principal

T = TypeVar("T")


class Via(NamedTuple):
    """The binding that granted: where its policy sits, its role, and which member matched."""

    resource: str
    role: str
    member: str


@dataclass(slots=True)
class Entry:
    """`status` is the HTTP status of the call's answer; None for a check made by an operation.
    `denied_by` names the deny policy that decided, if one did; `taken` is the grant that was taken
    out for a trial (simulator/iam/trials.py), and its permission or "". `message` is what a call
    that was refused was told."""

    time: float
    principal: str
    permission: str
    resource: str
    via: Via | None
    method: str
    status: int | None = None
    denied_by: str | None = None
    taken: tuple[Via, str] | None = None
    message: str = ""

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
            "service": f"{self.method.split('.', 1)[0]}.googleapis.com" if self.method else None,
            "method": self.method or None,
            "status": self.status,
            **({"deniedBy": self.denied_by} if self.denied_by else {}),
            **({"taken": [*self.taken[0], self.taken[1]]} if self.taken else {}),
            **({"message": self.message} if self.message else {}),
        }


class Handled(NamedTuple):
    """One answered request about a resource; Cloud Logging and Monitoring are read from these.

    `container` is the project, folder or organization of the resource, "" where only the checks
    name one; `code` and `message` are the error's google.rpc.Status, 0 and "" without one.
    """

    number: int
    time: float
    method: Method
    principal: Principal
    resource: str
    container: str
    status: int
    code: int
    message: str
    agent: str
    checks: list[Entry]


class Audit:
    """Keeps the newest `limit` entries; usage counts everything since the start."""

    def __init__(self, limit: int = 200_000) -> None:
        self.entries: deque[Entry] = deque(maxlen=limit)
        self.count = 0
        # Handled's fields: a plain tuple is made much faster.
        self._requests: deque[tuple[Any, ...]] = deque(maxlen=limit)
        self.handled = 0
        self.call: Call | None = None
        self._usage: dict[str, dict[str, dict[str, set[str]]]] = {}
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
        taken: tuple[Via, str] | None = None,
    ) -> None:
        entry = Entry(
            time, principal.member, permission, resource, via, method, None, denied_by, taken
        )
        self.entries.append(entry)
        self._open.append(entry)
        self.count += 1
        if via:
            used = self._usage.setdefault(principal.member, {}).setdefault(permission, {})
            used.setdefault(via.role, set()).add(resource)

    def begin(self) -> None:
        """A new request starts: checks made by operations since the last one keep no status."""
        self._open.clear()
        self.call = None

    def finish(self, time: float, status: int, code: int = 0, message: str = "") -> None:
        call, checks = self.call, self._open
        self._open = []
        for entry in checks:
            entry.status = status
            if not entry.via:
                entry.message = message
        if call is not None and (call.resource or checks):
            self._requests.append(
                (
                    self.handled,
                    time,
                    call.method,
                    call.principal,
                    call.resource or checks[0].resource,
                    call.container,
                    status,
                    code,
                    message,
                    intern(call.headers.get("user-agent", "")),
                    checks,
                )
            )
            self.handled += 1

    def since(self, number: int) -> list[Entry]:
        """Entries numbered `number` and later, counting from 0 at the start of the cloud."""
        return _since(self.entries, self.count, number)

    def requests_since(self, number: int) -> list[Handled]:
        return list(map(Handled._make, _since(self._requests, self.handled, number)))

    def usage(self) -> dict[str, dict[str, dict[str, list[str]]]]:
        """Member -> permission it used -> role that granted it -> resources it was used on."""
        return {
            member: {
                permission: {role: sorted(resources) for role, resources in sorted(by.items())}
                for permission, by in sorted(used.items())
            }
            for member, used in sorted(self._usage.items())
        }


def _since(kept: Sequence[T], count: int, number: int) -> list[T]:
    dropped = count - len(kept)
    return list(islice(kept, max(0, number - dropped), None))
