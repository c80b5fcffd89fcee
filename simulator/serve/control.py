"""What a runner asks of the simulator itself, on a host of its own behind the same proxy."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

from simulator.api.audit import Audit, Via
from simulator.api.calls import JSON_TYPE
from simulator.api.operations import Operations
from simulator.core.cloud import Cloud
from simulator.iam.decisions import Iam
from simulator.iam.trials import Trial
from simulator.identity.issuers import Issuers
from simulator.identity.tokens import Identity
from simulator.seed import plant
from simulator.serve.dispatch import Answer, Request
from simulator.serve.dump import drawn, dump
from simulator.serve.faults import Faults
from simulator.serve.gate import Gate, Halt
from simulator.services.monitoring import incidents
from simulator.services.serviceusage import Services
from simulator.services.vertex.state import Strain, Vertex

CONTROL_HOST = "control.rehearsal.invalid"


class Control:
    """Answers the bearer of the token that `ready.json` holds."""

    def __init__(self, cloud: Cloud, token: str, gate: Gate) -> None:
        self._cloud, self._gate = cloud, gate
        self._authorization = f"Bearer {token}"
        self._routes: dict[tuple[str, str], Callable[[dict[str, Any]], dict[str, Any]]] = {
            ("GET", "/audit"): self._audit,
            ("GET", "/usage"): self._usage,
            ("GET", "/stats"): self._stats,
            ("GET", "/state"): self._state,
            ("GET", "/drawn"): self._drawn,
            ("GET", "/dump"): self._dump,
            ("GET", "/changes"): self._changes,
            ("GET", "/incidents"): self._incidents,
            ("GET", "/halt"): self._halted,
            ("POST", "/halt"): self._halt,
            ("POST", "/resume"): self._resume,
            ("GET", "/faults"): self._injected,
            ("POST", "/faults"): self._faults,
            ("POST", "/seed"): self._seed,
            ("GET", "/clock"): self._time,
            ("POST", "/clock"): self._clock,
            ("POST", "/delays"): self._delays,
            ("POST", "/token"): self._token,
            ("POST", "/subject-token"): self._subject_token,
            ("POST", "/strain"): self._strain,
            ("POST", "/withhold"): self._withhold,
            ("POST", "/trial"): self._trial,
        }

    def handle(self, request: Request) -> Answer:
        sent = request.headers.get("authorization", "")
        if not secrets.compare_digest(sent, self._authorization):
            return _answer(401, {"error": "The control token is missing or wrong."})
        route = self._routes.get((request.verb, request.path))
        if route is None:
            return _answer(404, {"error": f"There is no {request.verb} {request.path}."})
        try:
            given = {name: values[-1] for name, values in parse_qs(request.query).items()}
            return _answer(200, route({**given, **json.loads(request.body or b"{}")}))
        except Exception as error:
            return _answer(400, {"error": f"{type(error).__name__}: {error}"})

    def _audit(self, given: dict[str, Any]) -> dict[str, Any]:
        """Checks since number `since`; pass `next` the next time."""
        audit = self._cloud[Audit]
        entries = audit.since(int(given.get("since", 0)))
        return {"entries": [entry.json() for entry in entries], "next": audit.count}

    def _usage(self, given: dict[str, Any]) -> dict[str, Any]:
        return self._cloud[Audit].usage()

    def _stats(self, given: dict[str, Any]) -> dict[str, Any]:
        hosts: dict[str, dict[str, int]] = {}
        for (host, status), count in sorted(self._cloud.requests.items()):
            hosts.setdefault(host, {})[str(status)] = count
        return {
            "hosts": hosts,
            "refused_hosts": dict(self._cloud.refused_hosts),
            "total": self._cloud.requests.total(),
        }

    def _state(self, given: dict[str, Any]) -> dict[str, Any]:
        self._cloud[Operations].settle()
        return dict(self._cloud.state())

    def _dump(self, given: dict[str, Any]) -> dict[str, Any]:
        """Everything that exists with its content; equal for clouds that hold the same."""
        return dump(self._cloud)

    def _drawn(self, given: dict[str, Any]) -> dict[str, str]:
        """Names that Google drew, and what stands in a dump for them."""
        return drawn(self._cloud)

    def _changes(self, given: dict[str, Any]) -> dict[str, Any]:
        """`METHOD PATH` of each request that changed something, from number `since` on."""
        return {"changes": self._cloud.changes[int(given.get("since", 0)) :]}

    def _incidents(self, given: dict[str, Any]) -> dict[str, Any]:
        """Incidents, what channels got of them, and conditions that nobody can judge here."""
        self._cloud[Operations].settle()
        return incidents.told(self._cloud)

    def _halt(self, given: dict[str, Any]) -> dict[str, Any]:
        """Stop after change number `after` from now on, of methods that end in `method`."""
        self._gate.halt(Halt(int(given["after"]), given.get("method", "")))
        return {}

    def _halted(self, given: dict[str, Any]) -> dict[str, Any]:
        return {"at": self._gate.stopped_at}

    def _resume(self, given: dict[str, Any]) -> dict[str, Any]:
        self._gate.lift()
        return {}

    def _faults(self, given: dict[str, Any]) -> dict[str, Any]:
        """Inject faults from now on, by `seed` and `rate`; none when there is no seed."""
        self._gate.inject(Faults(self._cloud, **given) if given else None)
        return {}

    def _injected(self, given: dict[str, Any]) -> dict[str, Any]:
        """How many faults of each kind there were, and what someone else granted meanwhile."""
        faults = self._gate.faults
        return {"injected": faults.injected, "granted": faults.granted} if faults else {}

    def _seed(self, given: dict[str, Any]) -> dict[str, Any]:
        plant(self._cloud, given)
        return {}

    def _time(self, given: dict[str, Any]) -> dict[str, Any]:
        """How long the cloud has run by its own clock, and what its operations took at least."""
        clock = self._cloud.clock
        return {
            "now": clock.now(),
            "gone": clock.now() - clock.start,
            "shortest_operations": self._cloud[Operations].shortest,
        }

    def _clock(self, given: dict[str, Any]) -> dict[str, Any]:
        self._cloud.clock.step(float(given["step"]))
        self._cloud[Operations].settle()
        return {"now": self._cloud.clock.now()}

    def _delays(self, given: dict[str, Any]) -> dict[str, Any]:
        """From now on changes of `iam` and of an `api` take so many seconds to be in effect."""
        delays = self._cloud.delays
        delays.iam, delays.api = float(given["iam"]), float(given["api"])
        return {}

    def _token(self, given: dict[str, Any]) -> dict[str, Any]:
        """What a workload that runs as the account would be given."""
        return {"access_token": self._cloud[Identity].access_token(given["email"])}

    def _subject_token(self, given: dict[str, Any]) -> dict[str, Any]:
        """An ID token of an issuer that the simulator plays, for the token service to exchange.

        `issuer`, `subject`, `audience`; and if wanted `claims`, and `lifetime` in seconds.
        """
        return {"subject_token": self._cloud[Issuers].mint(**given)}

    def _strain(self, given: dict[str, Any]) -> dict[str, Any]:
        """From now on the models of `endpoint` are `slower_ms` slower in what is measured of them
        (nobody waits), or fail with 503 when `fails`; without either they are well again."""
        endpoint = given.pop("endpoint")
        self._cloud[Vertex].endpoint(endpoint)
        self._cloud[Vertex].strained[endpoint] = Strain(**given)
        return {}

    def _withhold(self, given: dict[str, Any]) -> dict[str, Any]:
        """Replace what is withheld: `permissions` as [account or null, permission], `services`."""
        self._cloud[Iam].withheld = {
            (account, permission) for account, permission in given.get("permissions", ())
        }
        self._cloud[Services].withheld = set(given.get("services", ()))
        return {}

    def _trial(self, given: dict[str, Any]) -> dict[str, Any]:
        """Take out grants to `members` one at a time from now on, but for those `returned`, as
        [resource, role, member, permission or ""]; other roles `beside` do not make up for one.

        Answers the grants that there are to them, in that form.
        """
        members, iam = frozenset(given["members"]), self._cloud[Iam]
        returned = frozenset((Via(*grant), part) for *grant, part in given["returned"])
        iam.trial = Trial(members, frozenset(given["beside"]), returned) if members else None
        return {"grants": [[*way, part] for way, part in iam.parts(members)]}


def _answer(status: int, content: dict[str, Any]) -> Answer:
    return Answer(status, JSON_TYPE, {}, json.dumps(content).encode())
