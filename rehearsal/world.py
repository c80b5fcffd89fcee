"""A simulated cloud and a stack in it: what stages, scenarios and sweeps are played on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from components import permissions as table
from rehearsal import environment as environments
from rehearsal.engine import Engine, Program, stack_program, warm_up
from rehearsal.environment import Environment
from rehearsal.layers import engine_of
from rehearsal.sandbox import Sandbox
from rehearsal.toolchain import GcpPlugin, gcp_plugin

SURVIVORS: Final = frozenset(
    {
        *("softDeletedRoles", "softDeletedIdentityPools", "services", "serviceAgents"),
        *("keyRings", "cryptoKeys"),
    }
)
"""Kinds that outlive the stack: what is soft-deleted, APIs left on, Google's own agents, and the
key rings and keys of Cloud KMS, which the provider leaves behind without a usable version."""

AGENTS_OWN: Final = frozenset({"roles/aiplatform.serviceAgent"})
"""What Vertex AI's agent may do by Google's own role is no use of the table's grants."""


@dataclass
class World:
    """`before` is what existed before the stack: names by kind."""

    sandbox: Sandbox
    engine: Engine
    before: Mapping[str, list[str]]

    @property
    def environment(self) -> Environment:
        """What the stack began with."""
        return self.engine.environment

    @property
    def members(self) -> dict[str, str]:
        """Member → identity, for everybody the table knows."""
        return {member: identity for identity, member in self.environment.members.items()}

    def audit(self) -> list[dict[str, Any]]:
        """Every permission check so far: principal, permission, resource, granted, via."""
        entries: list[dict[str, Any]] = self.sandbox.control("GET", "/audit")["entries"]
        return entries

    def identities(self) -> dict[str, dict[str, list[str]]]:
        """Identity → permissions `granted` by the environment's roles, and those it `used`."""
        found: dict[str, dict[str, set[str]]] = {}
        for role in table.roles(self.environment.settings.capabilities):
            held = found.setdefault(role.identity, {"granted": set(), "used": set()})
            held["granted"].update(role.permissions)
        usage = self.sandbox.control("GET", "/usage")
        for member, identity in self.members.items():
            used = usage.get(member, {})
            if identity in found:
                found[identity]["used"] |= {name for name in used if used[name].keys() - AGENTS_OWN}
        return {
            identity: {kind: sorted(names) for kind, names in held.items()}
            for identity, held in found.items()
        }

    def left(self) -> dict[str, Any]:
        """What is there: the cloud's content, and the state's resources with their ids.

        Names that Google draws are compared by what they are called.
        """
        states = [it.exported()["deployment"] for it in self.engine.layers]
        drawn = self.sandbox.control("GET", "/drawn")
        return {
            "cloud": self.sandbox.control("GET", "/dump"),
            "state": {
                resource["urn"]: drawn.get(resource.get("id", ""), resource.get("id", ""))
                for state in states
                for resource in state["resources"]
                if not resource["type"].startswith("pulumi:")
            },
            "pending": [it for state in states for it in state.get("pending_operations") or ()],
        }

    def left_behind(self) -> list[str]:
        """What exists and did not before the stack, but for what Google never deletes at once."""
        after: dict[str, list[str]] = self.sandbox.control("GET", "/state")
        return [
            f"{kind}: {name}"
            for kind, names in after.items()
            if kind not in SURVIVORS
            for name in names
            if name not in self.before.get(kind, ())
        ]


@contextmanager
def opened(
    environment: Environment,
    models: Path,
    *,
    seed: Mapping[str, Any] | None = None,
    plugin: GcpPlugin | None = None,
    program: Program = stack_program,
    policies: bool = True,
    attached: bool = False,
    at_once: bool = False,
    slow: bool = False,
) -> Iterator[World]:
    """A cloud from `seed`, the environment's own unless given, and a stack that is not up yet.

    Looked-up models come from `models`; they are trained when they are not there. `at_once` and
    `slow` are the sandbox's, `policies` and `attached` the engine's.
    """
    starting = Sandbox(seed or environments.seed(environment), at_once=at_once, slow=slow)
    warm_up()
    with starting as sandbox:
        environments.prepare_source(environment, sandbox, models)
        plugin = plugin or gcp_plugin()
        engine = engine_of(
            sandbox, environment, plugin, program, policies=policies, attached=attached
        )
        yield World(sandbox, engine, sandbox.control("GET", "/state"))
