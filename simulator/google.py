"""The simulated Google Cloud: its parts, its seed, and who decides what is allowed."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from simulator.api.calls import Principal
from simulator.api.discovery import Discovery
from simulator.api.errors import ApiError, permission_denied
from simulator.api.operations import Operations
from simulator.core.audit import Audit
from simulator.core.clock import Clock
from simulator.core.delays import Delays
from simulator.iam.decisions import Iam
from simulator.iam.denypolicies import DenyPolicies
from simulator.iam.roles import CustomRoles
from simulator.identity import iamcredentials, oauth
from simulator.identity.accounts import Accounts
from simulator.identity.issuers import Issuers
from simulator.identity.keys import Keys
from simulator.identity.pools import Pools
from simulator.identity.tokens import Identity
from simulator.serve.proxy import Running
from simulator.services import compute
from simulator.services.artifactregistry import ArtifactRegistry
from simulator.services.bigquery import BigQuery
from simulator.services.kms import Kms
from simulator.services.logging import Logging
from simulator.services.monitoring import Monitoring
from simulator.services.orgpolicy import OrgPolicies
from simulator.services.pubsub import PubSub
from simulator.services.resourcemanager import Projects
from simulator.services.secretmanager import Secrets
from simulator.services.serviceusage import Services
from simulator.services.storage import Storage
from simulator.services.vertex import Vertex

__all__ = ["Cloud", "Delays"]

# Imported for the handlers they register; they keep no state of their own.
STATELESS = (compute, iamcredentials, oauth)


class Cloud:
    """`quotas` are Vertex serving quotas by name, for the services that enforce them."""

    def __init__(
        self,
        *,
        clock: Clock | None = None,
        delays: Delays | None = None,
        quotas: dict[str, int] | None = None,
        name: str = "rehearsal",
    ) -> None:
        self.clock = clock or Clock()
        self.delays = delays or Delays()
        self.quotas = quotas or {}
        self._name = name
        self._ids = 0
        self.requests: Counter[tuple[str, int]] = Counter()
        self.refused_hosts: Counter[str] = Counter()
        # `METHOD PATH` of every request that changed something, in order
        self.changes: list[str] = []
        self.discovery = Discovery()
        self.audit = Audit()
        self.operations = Operations(self)
        self.iam = Iam(self)
        self.identity = Identity(self)
        self.issuers = Issuers(self)
        self.projects = Projects(self)
        self.services = Services(self)
        self.accounts = Accounts(self)
        self.keys = Keys(self)
        self.pools = Pools(self)
        self.roles = CustomRoles(self)
        self.deny_policies = DenyPolicies(self)
        self.org_policies = OrgPolicies(self)
        self.kms = Kms(self)
        self.secrets = Secrets(self)
        self.artifacts = ArtifactRegistry(self)
        self.storage = Storage(self)
        self.vertex = Vertex(self)
        self.bigquery = BigQuery(self)
        self.pubsub = PubSub(self)
        self.logging = Logging(self)
        self.monitoring = Monitoring(self)

    def unique_id(self) -> str:
        """A number of 19 digits; the same sequence in every cloud of the same name."""
        self._ids += 1
        digest = hashlib.sha256(f"{self._name}:{self._ids}".encode()).digest()
        return str(10**18 + int.from_bytes(digest[:8], "big") % (9 * 10**18))

    def allowed(
        self,
        principal: Principal,
        permission: str,
        resource: str,
        *,
        method: str = "",
        modified_roles: Iterable[str] = (),
    ) -> bool:
        """Decide and write the audit entry."""
        via = self.iam.decide(principal, permission, resource, modified_roles)
        denied_by = None if via else self.iam.denying(principal, permission, resource)
        now = self.clock.now()
        self.audit.record(now, principal, permission, resource, via, method, denied_by)
        return via is not None

    def check(
        self, principal: Principal, permission: str, resource: str, *, method: str = ""
    ) -> None:
        """Raise the denial Google would send; for checks outside a call, as operations make."""
        if not self.allowed(principal, permission, resource, method=method):
            raise self.denied(principal, permission, resource)

    def denied(self, principal: Principal, permission: str, resource: str) -> ApiError:
        """The denial Google would send."""
        numbered = self.projects.numbered(resource)
        return permission_denied(principal, permission, resource, numbered)

    def seed(self, spec: dict[str, Any]) -> None:
        """Make what exists before the stack does; all of it is in effect at once.

        Keys, all optional: `organization` {id, customer, domains}, `folders` [{id, parent}],
        `projects` [{id, number, parent, services}], `accounts` [{project, id}], `agents` [{api,
        project}], `roles` [{name, permissions}], `groups` {address: [members]}, `tags` {resource:
        {key: value}}, `issuers` {uri: {subject: claims}}, `pools` [{name, parent, providers}],
        `grants` [{resource, role, member, condition}].
        """
        unknown = spec.keys() - {
            "organization",
            "folders",
            "projects",
            "accounts",
            "agents",
            "roles",
            "groups",
            "tags",
            "issuers",
            "pools",
            "grants",
        }
        if unknown:
            raise ValueError(f"a seed has no {', '.join(sorted(unknown))}")
        if organization := spec.get("organization"):
            self.projects.add_container(f"organizations/{organization['id']}")
            if customer := organization.get("customer"):
                self.org_policies.customers[f"organizations/{organization['id']}"] = customer
            for domain in organization.get("domains", ()):
                self.iam.customers[domain] = organization["customer"]
        for folder in spec.get("folders", ()):
            self.projects.add_container(f"folders/{folder['id']}", folder["parent"])
        for project in spec.get("projects", ()):
            self.projects.add(project["id"], project.get("number"), project.get("parent", ""))
            self.services.seed(project["id"], project.get("services", ()))
        for account in spec.get("accounts", ()):
            self.accounts.create(account["project"], account["id"])
        for agent in spec.get("agents", ()):
            self.accounts.create_agent(agent["api"], agent["project"])
        for role in spec.get("roles", ()):
            self.roles.seed(role["name"], role["permissions"])
        for group, members in spec.get("groups", {}).items():
            self.iam.groups.add(group, members)
        for resource, tags in spec.get("tags", {}).items():
            self.iam.tags.setdefault(resource, {}).update(tags)
        for issuer, people in spec.get("issuers", {}).items():
            self.issuers.add(issuer, people)
        for pool in spec.get("pools", ()):
            self.pools.seed(pool["name"], pool.get("providers", ()), pool.get("parent", ""))
        for grant in spec.get("grants", ()):
            self.iam.grant(
                grant["resource"], grant["role"], grant["member"], grant.get("condition")
            )

    def state(self) -> dict[str, list[str]]:
        """The names of everything that exists, by kind."""
        parts = (
            self.projects,
            self.services,
            self.accounts,
            self.keys,
            self.pools,
            self.roles,
            self.deny_policies,
            self.org_policies,
            self.kms,
            self.secrets,
            self.artifacts,
            self.storage,
            self.vertex,
            self.bigquery,
            self.pubsub,
            self.logging,
            self.monitoring,
        )
        return {kind: names for part in parts for kind, names in part.live().items()}

    @contextmanager
    def serve(self, directory: Path | str) -> Iterator[Running]:
        """Serve on loopback from a thread of its own until the block ends."""
        running = Running(self, Path(directory))
        running.start()
        try:
            yield running
        finally:
            running.stop()
