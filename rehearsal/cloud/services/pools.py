"""Identity pools and their providers: IAM v1 `projects.locations.workloadIdentityPools`.

What is deleted stays for 30 days: it can be read and undeleted, its id cannot be used again, and
what was issued through a deleted or disabled pool is worth nothing until that is taken back (IAM v1
discovery document). Workforce pools can be seeded; their API is not simulated.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rehearsal.cloud.api import (
    ApiError,
    Call,
    already_exists,
    invalid,
    mask_paths,
    method,
    not_found,
)
from rehearsal.cloud.services import poolproviders
from rehearsal.cloud.services.listing import listing

if TYPE_CHECKING:
    from rehearsal.cloud.cloud import Cloud

UNDELETE_SECONDS = 30 * 86_400
ID = re.compile(r"(?!gcp-)[a-z0-9-]{4,32}")
TYPES = "type.googleapis.com/google.iam.v1."
WORKLOAD = "iam.projects.locations.workloadIdentityPools"
OUTPUT_ONLY = ("name", "state", "expireTime")
FEDERATING = ("FEDERATION_ONLY", "MODE_UNSPECIFIED")
TEXTS = (("displayName", 32), ("description", 256))


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


class Pools:
    """By resource name, with the project's id; what callers see has its number."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._all: dict[str, Pool] = {}

    def add(self, name: str, fields: dict[str, Any], *, known: bool = False) -> Pool:
        """`known` to the token service at once, as what is seeded is."""
        created = float("-inf") if known else self._cloud.clock.now()
        pool = self._all[name] = Pool(name, fields, created)
        return pool

    def find(self, name: str) -> Pool | None:
        """The pool or provider; one that was deleted too, for as long as it can come back."""
        pool = self._all.get(name)
        if pool and pool.deleted and self._cloud.clock.now() >= pool.deleted + UNDELETE_SECONDS:
            self._all = {n: p for n, p in self._all.items() if not f"{n}/".startswith(f"{name}/")}
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

    def below(self, parent: str, *, deleted: bool) -> dict[str, Pool]:
        depth = parent.count("/") + 2
        found = {
            name: self.find(name)
            for name in list(self._all)
            if name.startswith(f"{parent}/") and name.count("/") == depth
        }
        return {n: p for n, p in found.items() if p and (deleted or not p.deleted)}

    def public_name(self, name: str) -> str:
        """With the project's number."""
        kind, _, rest = name.partition("/")
        project, _, rest = rest.partition("/")
        if kind != "projects":
            return name
        return f"projects/{self._cloud.projects.number(project)}/{rest}"

    def json(self, pool: Pool) -> dict[str, Any]:
        answer = {"name": self.public_name(pool.name), **pool.fields}
        answer["state"] = "DELETED" if pool.deleted else "ACTIVE"
        if pool.deleted:
            answer["expireTime"] = self._cloud.clock.rfc3339(pool.deleted + UNDELETE_SECONDS)
        return answer

    def seed(self, name: str, providers: Iterable[dict[str, Any]] = ()) -> None:
        self.add(name, {}, known=True)
        for provider in providers:
            fields = {key: value for key, value in provider.items() if key != "id"}
            self.add(f"{name}/providers/{provider['id']}", fields, known=True)

    def live(self) -> dict[str, list[str]]:
        kinds: dict[str, list[str]] = {"identityPools": [], "softDeletedIdentityPools": []}
        for name in sorted(self._all):
            if pool := self.find(name):
                kinds["softDeletedIdentityPools" if pool.deleted else "identityPools"].append(name)
        return kinds


def _parent(call: Call) -> str:
    return str(call.params["parent"])


def _name(call: Call) -> str:
    return str(call.params.get("name") or call.params["resource"])


def _found(call: Call, *, deleted: bool = False) -> Pool:
    pool = call.cloud.pools.find(_name(call))
    if pool is None or (pool.deleted and not deleted):
        raise not_found("Requested entity was not found.")
    return pool


def _is_provider(call: Call) -> bool:
    return ".providers." in call.method.id


def _checked(call: Call, fields: dict[str, Any]) -> dict[str, Any]:
    """The fields, if Google would take them (limits: IAM v1 discovery document; texts inferred)."""
    for name, limit in TEXTS:
        if len(fields.get(name, "")) > limit:
            raise invalid(f"The {name} is longer than {limit} characters.")
    if _is_provider(call):
        poolproviders.check(fields)
    elif fields.get("mode", FEDERATING[0]) not in FEDERATING:
        raise ApiError(501, "UNIMPLEMENTED", f"Pools of mode {fields['mode']} are not simulated.")
    return fields


def _operation(call: Call, pool: Pool) -> dict[str, Any]:
    """An operation that has already done its work: names and types are inferred."""
    cloud = call.cloud
    kind = "WorkloadIdentityPool" + "Provider" * _is_provider(call)
    return cloud.operations.start(
        f"{cloud.pools.public_name(pool.name)}/operations/{cloud.unique_id()}",
        metadata={"@type": f"{TYPES}WorkloadIdentityPoolOperationMetadata"},
        run=lambda: {"@type": f"{TYPES}{kind}", **cloud.pools.json(pool)},
    )


def create(call: Call) -> dict[str, Any]:
    ids = ("workloadIdentityPoolId", "workloadIdentityPoolProviderId")
    given = str(call.params.get(ids[_is_provider(call)], ""))
    if not ID.fullmatch(given):
        raise invalid(
            f'Invalid ID "{given}": 4-32 characters of a-z, 0-9 and -, and no prefix "gcp-".'
        )
    pools, parent = call.cloud.pools, call.resource
    if not _is_provider(call) and not parent.endswith("/locations/global"):
        raise invalid(f"Pools can only be created in locations/global, not in {parent}.")
    if _is_provider(call) and not pools.exists(parent):
        raise not_found("Requested entity was not found.")
    name = f"{parent}/{'providers' if _is_provider(call) else 'workloadIdentityPools'}/{given}"
    # Soft-deleted ones count (hashicorp/terraform-provider-google#14191).
    if pools.find(name):
        raise already_exists("Requested entity already exists")
    fields = {key: value for key, value in call.body.items() if key not in OUTPUT_ONLY}
    return _operation(call, pools.add(name, _checked(call, fields)))


def get(call: Call) -> dict[str, Any]:
    return call.cloud.pools.json(_found(call, deleted=True))


def list_pools(call: Call) -> dict[str, Any]:
    pools, provider = call.cloud.pools, _is_provider(call)
    if provider and not pools.find(call.resource):
        raise not_found("Requested entity was not found.")
    found = pools.below(call.resource, deleted=call.params.get("showDeleted", False))
    field = "workloadIdentityPoolProviders" if provider else "workloadIdentityPools"
    items = {name: pools.json(pool) for name, pool in found.items()}
    return listing(field, items, call.params, default=50, most=100 if provider else 1000)


def patch(call: Call) -> dict[str, Any]:
    """Without a mask, all that is sent (inferred)."""
    pool = _found(call)
    fields = dict(pool.fields)
    for path in mask_paths(call.params.get("updateMask")) or call.body.keys():
        outer, _, inner = path.partition(".")
        if outer in OUTPUT_ONLY or outer == "mode":
            raise invalid(f"Field {path} cannot be updated.")
        value = call.body.get(outer)
        if inner:
            value = {**fields.get(outer, {}), inner: (value or {}).get(inner)}
            value = {key: item for key, item in value.items() if item is not None}
        fields[outer] = value
    pool.fields = _checked(call, {k: v for k, v in fields.items() if v not in (None, "", {})})
    return _operation(call, pool)


def delete(call: Call) -> dict[str, Any]:
    """Twice is a 404 (https://google.aip.dev/164)."""
    pool = _found(call)
    pool.deleted = call.cloud.clock.now()
    return _operation(call, pool)


def undelete(call: Call) -> dict[str, Any]:
    """Of what is not deleted is a 409 (https://google.aip.dev/164)."""
    pool = _found(call, deleted=True)
    if not pool.deleted:
        raise already_exists("Requested entity already exists")
    pool.deleted = 0.0
    return _operation(call, pool)


# What a pool and a provider have in common: verb, its function, what the permission is checked on.
VERBS = (
    ("create", create, _parent),
    ("list", list_pools, _parent),
    ("get", get, _name),
    ("patch", patch, _name),
    ("delete", delete, _name),
    ("undelete", undelete, _name),
)
PERMISSION_VERBS = {"patch": "update"}

for _kind in ("workloadIdentityPools", "workloadIdentityPoolProviders"):
    _prefix = WORKLOAD + ".providers" * _kind.endswith("Providers")
    for _verb, _function, _on in VERBS:
        _held = f"iam.googleapis.com/{_kind}.{PERMISSION_VERBS.get(_verb, _verb)}"
        method(f"{_prefix}.{_verb}", permission=_held, on=_on)(_function)


# No workload of Google's can be attested in a pool that only federates.
@method(
    f"{WORKLOAD}.listAttestationRules",
    permission="iam.googleapis.com/workloadIdentityPools.getAttestationRules",
    on=_name,
)
def list_attestation_rules(call: Call) -> dict[str, Any]:
    _found(call)
    return {}


def _polled(call: Call) -> str:
    return _name(call).partition("/operations/")[0]


# Polling asks for the right to read what the operation is about (as the other services do).
@method(
    f"{WORKLOAD}.operations.get",
    permission="iam.googleapis.com/workloadIdentityPools.get",
    on=_polled,
)
@method(
    f"{WORKLOAD}.providers.operations.get",
    permission="iam.googleapis.com/workloadIdentityPoolProviders.get",
    on=_polled,
)
def operation(call: Call) -> dict[str, Any]:
    return call.cloud.operations.get(call.cloud.pools.public_name(_name(call)))
