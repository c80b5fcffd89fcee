"""The pools and providers that there are, and which of them take credentials."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from simulator.core.cloud import Cloud, Holding
from simulator.core.platform import Containers
from simulator.iam.decisions import Iam
from simulator.iam.members import PoolBook

UNDELETE_SECONDS = 30 * 86_400
SESSION = "3600s"
"""How long a workforce pool's tokens are good for, unless it says otherwise."""


@dataclass(slots=True)
class Pool:
    """A pool or a provider; `fields` as the API has them, without those that are output only."""

    name: str
    fields: dict[str, Any]
    created: float
    deleted: float = 0.0

    @property
    def active(self) -> bool:
        return not self.deleted and not self.fields.get("disabled")


class Pools(PoolBook, Holding):
    """By resource name, with the project's id; what callers see has its number."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._all: dict[str, Pool] = {}

    def add(self, name: str, fields: dict[str, Any], *, known: bool = False) -> Pool:
        """`known` to the token service at once, as what is seeded is."""
        created = float("-inf") if known else self._cloud.clock.now()
        pool = self._all[name] = Pool(name, fields, created)
        if parent := fields.get("parent"):
            self._cloud[Iam].set_parent(name, parent)
        return pool

    def find(self, name: str) -> Pool | None:
        """The pool or provider; one that was deleted too, for as long as it can come back."""
        pool = self._all.get(name)
        if pool and pool.deleted and self._cloud.clock.now() >= pool.deleted + UNDELETE_SECONDS:
            self._all = {n: p for n, p in self._all.items() if not f"{n}/".startswith(f"{name}/")}
            self._cloud[Iam].forget(name)
            return None
        return pool

    def exists(self, name: str) -> bool:
        """Whether policies may name it."""
        pool = self.find(name)
        return pool is not None and not pool.deleted

    def usable(self, pool: str) -> bool:
        """Whether tokens that were issued through the pool are good."""
        found = self.find(pool)
        return found is not None and found.active

    def provider(self, name: str) -> Pool | None:
        """The provider, if it and its pool take credentials; a new one is not known at once."""
        pool, provider = self.find(name.rpartition("/providers/")[0]), self.find(name)
        if not pool or not provider or not pool.active or not provider.active:
            return None
        late = self._cloud.clock.now() < provider.created + self._cloud.delays.iam
        return None if late else provider

    def session(self, pool: str) -> float | None:
        """Seconds that a workforce pool's tokens are good for."""
        found = self.find(pool)
        if found is None or pool.startswith("projects/"):
            return None
        return float(found.fields.get("sessionDuration", SESSION).removesuffix("s"))

    def below(self, parent: str, collection: str, *, deleted: bool) -> dict[str, Pool]:
        start = f"{parent}/{collection}/"
        names = [n for n in self._all if n.startswith(start) and "/" not in n[len(start) :]]
        found = {name: self.find(name) for name in names}
        return {n: p for n, p in found.items() if p and (deleted or not p.deleted)}

    def public_name(self, name: str) -> str:
        """With the project's number."""
        return self._cloud[Containers].numbered(name)

    def json(self, pool: Pool) -> dict[str, Any]:
        answer = {"name": self.public_name(pool.name), **pool.fields}
        answer["state"] = "DELETED" if pool.deleted else "ACTIVE"
        if pool.deleted:
            answer["expireTime"] = self._cloud.clock.rfc3339(pool.deleted + UNDELETE_SECONDS)
        return answer

    def seed(self, name: str, providers: Iterable[dict[str, Any]] = (), parent: str = "") -> None:
        self.add(name, {"parent": parent} if parent else {}, known=True)
        for provider in providers:
            fields = {key: value for key, value in provider.items() if key != "id"}
            self.add(f"{name}/providers/{provider['id']}", fields, known=True)

    def live(self) -> dict[str, list[str]]:
        kinds: dict[str, list[str]] = {"identityPools": [], "softDeletedIdentityPools": []}
        for name in sorted(self._all):
            if pool := self.find(name):
                kinds["softDeletedIdentityPools" if pool.deleted else "identityPools"].append(name)
        return kinds
