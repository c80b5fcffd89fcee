"""The methods of pools and providers, which are alike for all four kinds."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from simulator.api.calls import Call, Methods, on_parent
from simulator.api.errors import already_exists, invalid, not_found, unimplemented
from simulator.api.operations import Operations
from simulator.api.pages import listing
from simulator.api.patching import mask_paths
from simulator.iam import allowpolicies
from simulator.identity.pools import providers
from simulator.identity.pools.state import SESSION, Pool, Pools

method = Methods()

TYPES = "type.googleapis.com/google.iam.v1."
OUTPUT_ONLY = ("name", "state", "expireTime")
FIXED = ("mode", "parent")
FEDERATING = ("FEDERATION_ONLY", "MODE_UNSPECIFIED")
TEXTS = (("displayName", 32), ("description", 256))
SHORT_ID, LONG_ID = r"(?!gcp-)[a-z0-9-]{4,32}", r"(?!gcp-)[a-z][a-z0-9-]{4,61}[a-z0-9]"
ID_RULES = {
    SHORT_ID: "4-32 characters of a-z, 0-9 and -",
    LONG_ID: "6-63 characters of a-z, 0-9 and -, a letter first and no hyphen last",
}
# More than 15 minutes and less than 12 hours.
SESSION_SECONDS = range(901, 43_200)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of pool or provider, as the API names it.

    `item`: `WorkforcePoolProvider`; `methods`: the ids of its methods without the last word.
    """

    item: str
    methods: str
    id: str = SHORT_ID
    most: int = 1000

    @property
    def collection(self) -> str:
        """As in names."""
        return self.methods.rpartition(".")[2]

    @property
    def plural(self) -> str:
        """As in permissions and lists."""
        return f"{self.item[0].lower()}{self.item[1:]}s"

    @property
    def provider(self) -> bool:
        return self.collection == "providers"

    @property
    def workforce(self) -> bool:
        return self.item.startswith("Workforce")

    @property
    def of_organization(self) -> bool:
        """Whether it belongs to an organization, which its name does not say."""
        return self.workforce and not self.provider

    @property
    def id_parameter(self) -> str:
        return f"{self.plural.removesuffix('s')}Id"


WORKLOAD, WORKFORCE = "iam.projects.locations.workloadIdentityPools", "iam.locations.workforcePools"
KINDS = (
    Kind("WorkloadIdentityPool", WORKLOAD),
    Kind("WorkloadIdentityPoolProvider", f"{WORKLOAD}.providers", most=100),
    Kind("WorkforcePool", WORKFORCE, id=LONG_ID),
    Kind("WorkforcePoolProvider", f"{WORKFORCE}.providers", most=100),
)
BY_METHODS = {kind.methods: kind for kind in KINDS}


def _kind(call: Call) -> Kind:
    return BY_METHODS[call.method.id.rpartition(".")[0]]


def _name(call: Call) -> str:
    return str(call.params.get("name") or call.params["resource"])


def _location(call: Call) -> str:
    return str(call.params["location"])


def _check_organization(call: Call, kind: Kind, verb: str) -> str:
    """The organization whose workforce pools are meant, which the path does not say."""
    parent = str(call.params.get("parent") or call.body.get("parent", ""))
    if not re.fullmatch(r"organizations/\d+", parent):
        raise invalid(f"Invalid parent {parent!r}: workforce pools belong to organizations/ID.")
    call.check(f"iam.googleapis.com/{kind.plural}.{verb}", parent)
    return parent


def _found(call: Call, *, deleted: bool = False) -> Pool:
    pool = call.cloud[Pools].find(_name(call))
    if pool is None or (pool.deleted and not deleted):
        raise not_found("Requested entity was not found.")
    return pool


def _checked(kind: Kind, fields: dict[str, Any]) -> dict[str, Any]:
    """The fields, if Google would take them (limits: IAM v1 discovery document; texts inferred)."""
    for name, limit in TEXTS:
        if len(fields.get(name, "")) > limit:
            raise invalid(f"The {name} is longer than {limit} characters.")
    if kind.provider:
        return providers.checked(fields, workforce=kind.workforce)
    if (mode := fields.get("mode", FEDERATING[0])) not in FEDERATING:
        raise unimplemented(f"the mode {mode} of an identity pool")
    if not kind.workforce:
        return fields
    session = fields.setdefault("sessionDuration", SESSION)
    if not re.fullmatch(r"\d+s", session) or int(session[:-1]) not in SESSION_SECONDS:
        raise invalid(f"Invalid session_duration {session}: it is between 900s and 43200s.")
    return fields


def _operation(call: Call, kind: Kind, pool: Pool) -> dict[str, Any]:
    """An operation that has already done its work: names and types are inferred."""
    cloud = call.cloud
    scope = kind.item.removesuffix("Provider")
    return cloud[Operations].start(
        f"{cloud[Pools].public_name(pool.name)}/operations/{cloud.unique_id()}",
        metadata={"@type": f"{TYPES}{scope}OperationMetadata"},
        run=lambda: {"@type": f"{TYPES}{kind.item}", **cloud[Pools].json(pool)},
    )


def create(call: Call) -> dict[str, Any]:
    kind, pools, parent = _kind(call), call.cloud[Pools], call.resource
    if kind.of_organization:
        _check_organization(call, kind, "create")
    given = str(call.params.get(kind.id_parameter, ""))
    if not re.fullmatch(kind.id, given):
        raise invalid(f'Invalid ID "{given}": {ID_RULES[kind.id]}, and no prefix "gcp-".')
    if not kind.provider and not parent.endswith("locations/global"):
        raise invalid(f"Pools can only be created in locations/global, not in {parent}.")
    if kind.provider and not pools.exists(parent):
        raise not_found("Requested entity was not found.")
    name = f"{parent}/{kind.collection}/{given}"
    # Soft-deleted ones count (hashicorp/terraform-provider-google#14191).
    if pools.find(name):
        raise already_exists("Requested entity already exists")
    fields = {key: value for key, value in call.body.items() if key not in OUTPUT_ONLY}
    return _operation(call, kind, pools.add(name, _checked(kind, fields)))


def get(call: Call) -> dict[str, Any]:
    return call.cloud[Pools].json(_found(call, deleted=True))


def list_pools(call: Call) -> dict[str, Any]:
    kind, pools = _kind(call), call.cloud[Pools]
    if kind.provider and not pools.find(call.resource):
        raise not_found("Requested entity was not found.")
    deleted = bool(call.params.get("showDeleted"))
    found = pools.below(call.resource, kind.collection, deleted=deleted)
    if kind.of_organization:
        home = _check_organization(call, kind, "list")
        found = {n: p for n, p in found.items() if p.fields.get("parent") == home}
    items = {name: pools.json(pool) for name, pool in found.items()}
    return listing(kind.plural, items, call.params, default=50, most=kind.most)


def patch(call: Call) -> dict[str, Any]:
    """Without a mask, all that is sent (inferred)."""
    kind, pool = _kind(call), _found(call)
    fields = dict(pool.fields)
    for path in mask_paths(call.params.get("updateMask")) or call.body.keys():
        outer, _, inner = path.partition(".")
        if outer in OUTPUT_ONLY + FIXED:
            raise invalid(f"Field {path} cannot be updated.")
        value = call.body.get(outer)
        if inner:
            value = {**fields.get(outer, {}), inner: (value or {}).get(inner)}
            value = {key: item for key, item in value.items() if item is not None}
        fields[outer] = value
    kept = {key: value for key, value in fields.items() if value not in (None, "", {})}
    pool.fields = _checked(kind, kept)
    return _operation(call, kind, pool)


def delete(call: Call) -> dict[str, Any]:
    """Twice is a 404 (https://google.aip.dev/164)."""
    pool = _found(call)
    pool.deleted = call.cloud.clock.now()
    return _operation(call, _kind(call), pool)


def undelete(call: Call) -> dict[str, Any]:
    """Of what is not deleted is a 409 (https://google.aip.dev/164)."""
    pool = _found(call, deleted=True)
    if not pool.deleted:
        raise already_exists("Requested entity already exists")
    pool.deleted = 0.0
    return _operation(call, _kind(call), pool)


def _polled(call: Call) -> str:
    return _name(call).partition("/operations/")[0]


def poll(call: Call) -> dict[str, Any]:
    return call.cloud[Operations].get(call.cloud[Pools].public_name(_name(call)))


# What pools and providers have in common: verb, its function, what the permission is checked on,
# the permission's last word where it is another one, and the parameters that it reads. Polling asks
# for the right to read what the operation is about, as the other services do.
VERBS = (
    ("create", create, on_parent, "create", ""),
    ("list", list_pools, on_parent, "list", "pageSize pageToken showDeleted"),
    ("get", get, _name, "get", ""),
    ("patch", patch, _name, "update", "updateMask"),
    ("delete", delete, _name, "delete", ""),
    ("undelete", undelete, _name, "undelete", ""),
    ("operations.get", poll, _polled, "get", ""),
)


def _existing(call: Call, name: str) -> None:
    _found(call)


for _each in KINDS:
    _held = f"iam.googleapis.com/{_each.plural}"
    for _verb, _function, _on, _permission, _reads in VERBS:
        # Of an organization's pools the body or a parameter says where, so the function asks.
        _elsewhere = _each.of_organization and _on is on_parent
        _more = {"create": _each.id_parameter, "list": "parent" * _elsewhere}.get(_verb, "")
        method(
            f"{_each.methods}.{_verb}",
            permission=None if _elsewhere else f"{_held}.{_permission}",
            on=_location if _elsewhere else _on,
            reads=f"{_reads} {_more}",
        )(_function)
    if not _each.provider:
        allowpolicies.register(method, _each.methods, _held, _existing, reads="")


# No workload of Google's can be attested in a pool that only federates.
@method(
    f"{WORKLOAD}.listAttestationRules",
    permission="iam.googleapis.com/workloadIdentityPools.getAttestationRules",
    on=_name,
    reads="filter pageSize pageToken",
)
def list_attestation_rules(call: Call) -> dict[str, Any]:
    _found(call)
    return {}
