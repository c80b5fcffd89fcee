"""Who gains or loses which permission on what: between two states of a stack, or by a preview.

A grant is known by its shape, a role beside its members, whatever resource makes it. Custom roles
of the stack are read from it, so that a change of a role shows for each who holds it; predefined
ones from the catalogue. What cannot be read is said, never left out in silence. Who belongs to a
group, and what is granted outside of the stack, is not known here.
"""

from __future__ import annotations

import json
import re
import textwrap
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final, NamedTuple

from access.report import BECOMES, stronger
from policies.gcp_access import roles

UNKNOWN: Final = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
"""What only `pulumi up` will know, in a preview's JSON (Pulumi's sdk/go/common/resource/plugin)."""

CUSTOM_ROLE: Final = "IAMCustomRole"
ACCOUNT: Final = "gcp:serviceaccount/account:Account"
NAMED: Final = {"projects": "project", "serviceaccount": "account", "organizations": "organization"}
"""What a grant is on, where the resource's module says it and not its type."""

WIDE: Final = ("project", "folder", "organization")
BESIDE: Final = frozenset(
    ("role", "member", "members", "condition", "policyData", "project", "location", "region")
)
"""Properties of a grant that do not name what it is on."""

GRANTING: Final = re.compile(r"iam|access|acl|entitlement", re.IGNORECASE)
"""In the type of what may grant; `Access` is in names of many that do not."""
FEDERATION: Final = re.compile(r"(workload|workforce)\w*pool", re.IGNORECASE)
NO_GRANT: Final = re.compile(r"auditconfig|customrole", re.IGNORECASE)

Resources = Mapping[str, Mapping[str, Any]]
"""What a state has of each resource, by URN."""


class NotReadable(ValueError):
    """This is no state and no preview, or one that lacks what is needed; the message says which."""


class Holding(NamedTuple):
    """One permission of one member. `permission` is a role's name where it cannot be read."""

    member: str
    on: str
    condition: str
    permission: str


class Way(NamedTuple):
    """How a member could become stronger; `through` is the account it would work as, if any."""

    member: str
    permission: str
    on: str
    how: str
    through: str


@dataclass(frozen=True)
class Change:
    """What one member gains or loses on one resource."""

    member: str
    on: str
    condition: str
    permissions: tuple[str, ...]
    roles: tuple[str, ...]
    """By which it had or will have them."""


@dataclass(frozen=True)
class Diff:
    gained: tuple[Change, ...]
    lost: tuple[Change, ...]
    stronger: tuple[Way, ...]
    """New ways to become stronger."""
    weaker: tuple[Way, ...]
    unread: tuple[str, ...]
    """What changes, and cannot be told in permissions."""

    def __bool__(self) -> bool:
        return any((self.gained, self.lost, self.stronger, self.weaker, self.unread))


def of_states(before: Mapping[str, Any], after: Mapping[str, Any]) -> Diff:
    """Between two states as `pulumi stack export` prints them. Raises NotReadable."""
    return between(_exported(before), _exported(after))


def of_preview(preview: Mapping[str, Any]) -> Diff:
    """By what `pulumi preview --json --show-sames` prints. Raises NotReadable.

    Without --show-sames, unchanged grants of a changed role would be missing.
    """
    steps = preview.get("steps")
    if not isinstance(steps, list):
        raise NotReadable("this is no preview: it has no steps")
    kept = [step for step in steps if not step["urn"].split("::")[2].endswith("pulumi:Stack")]
    if any("oldState" in step for step in kept) and all(step["op"] != "same" for step in kept):
        raise NotReadable(
            "this preview lacks what does not change; make it by `pulumi preview --json "
            "--show-sames`"
        )
    before = {step["urn"]: step["oldState"] for step in steps if step.get("oldState")}
    after = {
        step["urn"]: step["newState"]
        for step in steps
        if step.get("newState") and not step["op"].startswith(("delete", "discard", "remove"))
    }
    return between(before, after)


def _exported(state: Mapping[str, Any]) -> Resources:
    deployment = state.get("deployment")
    if not isinstance(deployment, dict):
        raise NotReadable("this is no state: it has no deployment; `pulumi stack export` makes one")
    there = deployment.get("resources") or []
    return {resource["urn"]: resource for resource in there if not resource.get("delete")}


def between(before: Resources, after: Resources) -> Diff:
    retained = {
        urn: resource
        for urn, resource in before.items()
        if urn not in after and resource.get("retainOnDelete")
    }
    had, has = _held(before), _held({**after, **retained})
    ways_before, ways_after = _ways(had), _ways(has)
    return Diff(
        tuple(_changes(has, had)),
        tuple(_changes(had, has)),
        tuple(sorted(ways_after - ways_before)),
        tuple(sorted(ways_before - ways_after)),
        tuple([*_unread(before, after), *_stays(retained)]),
    )


def granting(resources: Resources) -> dict[str, dict[str, Any]]:
    """Those that a comparison reads, and of them no more than it reads.

    Of a state, which knows every value; a preview's would lack what its values depend on.
    """
    return {
        urn: {
            "type": resource["type"],
            "inputs": _inputs(resource),
            "retainOnDelete": bool(resource.get("retainOnDelete")),
        }
        for urn, resource in resources.items()
        if resource["type"].startswith("gcp:")
        and (_bindings(_inputs(resource)) or _LOOKS.search(resource["type"].rpartition(":")[2]))
    }


_LOOKS: Final = re.compile(f"{GRANTING.pattern}|{FEDERATION.pattern}", re.IGNORECASE)

Held = Mapping[Holding, Collection[str]]
"""Each permission of each member, and the roles it has it by."""


def _held(resources: Resources) -> Held:
    custom = dict(_custom(resources))
    found: dict[Holding, set[str]] = defaultdict(set)
    for resource in resources.values():
        for role, member, on, condition in _grants(resource, resources):
            for permission in _permissions(role, custom) or (_whole(role),):
                found[Holding(member, on, condition, permission)].add(role)
    return found


def _permissions(role: str, custom: Mapping[str, Collection[str] | None]) -> Collection[str] | None:
    return custom[role] if role in custom else roles.permissions(role)


def _whole(role: str) -> str:
    """Stands for the permissions of a role that cannot be read."""
    return f"all of {role}"


def _custom(resources: Resources) -> Iterator[tuple[str, Collection[str] | None]]:
    """The custom roles by name; None where a permission is not known yet."""
    for resource in resources.values():
        if resource["type"].endswith(CUSTOM_ROLE):
            held = resource.get("inputs", {}).get("permissions", [])
            known = isinstance(held, list) and UNKNOWN not in held
            yield _role_name(resource), frozenset(held) if known else None


def _role_name(role: Mapping[str, Any]) -> str:
    inputs = role.get("inputs", {})
    parent = f"organizations/{inputs['orgId']}" if "orgId" in inputs else None
    return f"{parent or 'projects/' + inputs.get('project', '?')}/roles/{inputs.get('roleId', '?')}"


def _grants(
    resource: Mapping[str, Any], resources: Resources
) -> Iterator[tuple[str, str, str, str]]:
    """Role, member, what on and under which condition, of each grant that a resource makes."""
    inputs = resource.get("inputs") or {}
    if not resource["type"].startswith("gcp:") or resource["type"].endswith("MemberRemove"):
        return
    for binding in _bindings(inputs):
        members = binding.get("members", binding.get("member"))
        of = "members" if "members" in binding else "member"
        role = _known(binding["role"], "role", resource, resources)
        for member in members if isinstance(members, list) else [members]:
            yield (
                role,
                _known(member, of, resource, resources),
                _on(resource, resources),
                _condition(binding.get("condition")),
            )


def _bindings(inputs: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Maps with a role and members: of the resource itself, or of the policy that it sets."""
    found = [inputs]
    with suppress(KeyError, TypeError, ValueError):
        found += json.loads(inputs["policyData"])["bindings"]
    return [it for it in found if "role" in it and ("member" in it or "members" in it)]


def _condition(condition: Any) -> str:
    if isinstance(condition, dict):
        return str(condition.get("expression", condition))
    return "not known before `up`" if condition == UNKNOWN else ""


def _known(value: Any, of: str, resource: Mapping[str, Any], resources: Resources) -> str:
    """A value of a grant; where only `up` will know it, what it will be by what it depends on."""
    if not isinstance(value, str):
        return "(secret)"
    if value != UNKNOWN:
        return value
    urns = resource.get("propertyDependencies", {}).get(of, [])
    sources = [resources[urn] for urn in urns if urn in resources]
    for source in sources:
        inputs = source.get("inputs", {})
        if source["type"].endswith(CUSTOM_ROLE):
            return _role_name(source)
        if source["type"] == ACCOUNT:
            prefix = "serviceAccount:" if of.startswith("member") else ""
            return f"{prefix}{inputs['accountId']}@{inputs['project']}.iam.gserviceaccount.com"
        if isinstance(name := inputs.get("name", inputs.get("datasetId")), str) and name != UNKNOWN:
            return name
    called = ", ".join(urn.rpartition("::")[2] for urn in urns)
    return f"(known after `up`: {called or resource['urn'].rpartition('::')[2]})"


def _on(resource: Mapping[str, Any], resources: Resources) -> str:
    """Such as `project iot`, `topic telemetry (iot)`, `account pm-serving@iot…`."""
    inputs, kind = resource["inputs"], _kind(resource["type"])
    names = [
        _known(value, key, resource, resources).rpartition("/")[2]
        for key, value in sorted(inputs.items())
        if key not in BESIDE and not key.startswith("__")
    ]
    project = inputs.get("project")
    if not names:
        return f"{kind} {project}"
    within = f" ({project})" if project and kind != "project" else ""
    return f"{kind} {' '.join(names)}{within}"


def _kind(type_: str) -> str:
    """What a type grants on: `topic` of gcp:pubsub/topicIAMMember:TopicIAMMember."""
    module, _, name = type_.removeprefix("gcp:").partition(":")[0].partition("/")
    stem = re.sub(r"(?i)iam(member|binding|policy)$", "", name)
    return re.sub(r"^ai(?=[A-Z])", "", stem).lower() or NAMED.get(module, module)


def _changes(there: Held, not_there: Held) -> Iterator[Change]:
    """What is in one and not in the other, by member and what it is on."""
    found: dict[tuple[str, str, str], list[Holding]] = defaultdict(list)
    for holding in there:
        if holding not in not_there:
            found[holding[:3]].append(holding)
    for (member, on, condition), holdings in sorted(found.items()):
        by = {role for holding in holdings for role in there[holding]}
        names = tuple(sorted(holding.permission for holding in holdings))
        yield Change(member, on, condition, names, tuple(sorted(by)))


def _ways(held: Iterable[Holding]) -> set[Way]:
    """Every way of everybody to become stronger, also as an account that he can become."""
    of: dict[str, list[Holding]] = defaultdict(list)
    for holding in held:
        of[holding.member].append(holding)
    return {
        Way(member, holding.permission, holding.on, how, one if one != member else "")
        for member in of
        for one in _reach(member, of)
        for holding in of.get(one, ())
        if (how := stronger(holding.permission, holding.on.startswith(WIDE)))
    }


def _reach(member: str, of: Mapping[str, Collection[Holding]]) -> list[str]:
    """A member, and all accounts that it can work as, on the way as well."""
    found = [member]
    for one in found:
        for holding in of.get(one, ()):
            other = f"serviceAccount:{holding.on.removeprefix('account ')}"
            becomes = holding.permission in BECOMES and holding.on.startswith("account ")
            if becomes and other not in found:
                found.append(other)
    return found


def _unread(before: Resources, after: Resources) -> Iterator[str]:
    """Changes of another shape: of what may let somebody in, or of whom a member stands for."""
    for urn in sorted({*before, *after}):
        old, new = before.get(urn), after.get(urn)
        one = new or old or {}
        name, where = one["type"].rpartition(":")[2], urn.rpartition("::")[2]
        if not one["type"].startswith("gcp:") or _inputs(old) == _inputs(new):
            continue
        if FEDERATION.search(name):
            yield f"{name} {where} changes, which says who its members are: read it yourself"
        elif name.endswith("MemberRemove"):
            yield f"{name} {where} changes, which takes a grant away that is not in the stack"
        elif GRANTING.search(name) and not NO_GRANT.search(name):
            if not _bindings(_inputs(one)):
                yield f"{name} {where} changes and cannot be read here: it may let somebody in"
            elif name.lower().endswith(("iambinding", "iampolicy")):
                yield f"{name} {where} takes away what others were granted beside the stack"


def _inputs(resource: Mapping[str, Any] | None) -> Mapping[str, Any]:
    return (resource or {}).get("inputs") or {}


def _stays(retained: Resources) -> Iterator[str]:
    for resource in retained.values():
        for _, member, on, _ in _grants(resource, retained):
            yield f"the grant to {member} on {on} leaves the stack and stays (retainOnDelete)"


def told(diff: Diff) -> Iterator[str]:
    """For people, in 80 columns."""
    for title, changes in (("Access gained", diff.gained), ("Access lost", diff.lost)):
        yield f"{title}{'' if changes else ': none'}"
        for change in changes:
            yield from _lines(f"{change.member} on {change.on}", "  ")
            if change.condition:
                yield from _lines(f"if {change.condition}", "    ")
            yield from _lines(", ".join(some(change.permissions, change.on)), "    ")
            yield from _lines(f"by {', '.join(change.roles)}", "    ")
    for title, ways in (("can now", diff.stronger), ("can no longer", diff.weaker)):
        for member, through, of in by_member(ways):
            named = f"as {through}, by {', '.join(way.permission for way in of)}"
            ending = f" {named}" if through else ":"
            yield from _lines(f"{member} {title} make itself stronger{ending}", "")
            for way in () if through else of:
                yield from _lines(f"- {way.permission} on {way.on}: {way.how}", "  ")
    if diff.unread:
        yield "Not read:"
        for text in diff.unread:
            yield from _lines(f"- {text}", "  ")


def some(permissions: Collection[str], on: str) -> list[str]:
    """Those that say most, what makes stronger first; the rest is counted."""
    wide = on.startswith(WIDE)
    ordered = sorted(permissions, key=lambda name: (not stronger(name, wide), name))
    more = len(ordered) - MOST
    return ordered if more <= 0 else [*ordered[:MOST], f"and {more:,} more"]


MOST: Final = 12


def by_member(ways: Iterable[Way]) -> Iterator[tuple[str, str, list[Way]]]:
    """Member, the account it would work as, and the ways; its own first."""
    ordered = sorted(ways, key=lambda way: (way.member, way.through))
    for (member, through), of in groupby(ordered, key=lambda way: (way.member, way.through)):
        yield member, through, list(of)


def _lines(text: str, indent: str) -> list[str]:
    return textwrap.wrap(
        text, 80, initial_indent=indent, subsequent_indent=f"{indent}  ",
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip
