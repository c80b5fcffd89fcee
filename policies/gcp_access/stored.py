"""Resources as a file has them: a state by `pulumi stack export`, or a preview's JSON.

Secrets are taken as not known, whether a file has them in the clear or not: what is never read is
never printed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pulumi_policy import proxy
from pulumi_policy.deserialize import SPECIAL_SECRET_SIG, SPECIAL_SIG_KEY

from .view import UNKNOWN, Resource

UNKNOWNS: Final = frozenset(
    value for name, value in vars(proxy).items() if name.startswith("UNKNOWN_")
)
HIDDEN: Final = "[secret]"
"""In a preview (pkg/backend/display/json.go)."""

HOW: Final = "`pulumi stack export` prints a state, `pulumi preview --json --show-sames` a preview"
ROOT: Final = "::pulumi:pulumi:Stack::"
"""In the URN of the resource that stands for the stack: a preview always has it."""


class NotReadable(ValueError):
    """The file is no state and no preview; the message says what is wrong, and how to make one."""


@dataclass(frozen=True)
class Stored:
    """What one file says of one stack."""

    resources: tuple[tuple[Resource, Mapping[str, Sequence[str]]], ...]
    """Each with the URNs that its properties depend on."""
    whole: bool = True
    """Whether what does not change is there too."""
    secrets: int = 0
    """How many values were not read because they are secret."""

    @property
    def program(self) -> tuple[str, str]:
        """Pulumi's project and stack; empty where the file has no resource."""
        return self.resources[0][0].program if self.resources else ("", "")


def read(text: bytes) -> Stored:
    """Raises NotReadable."""
    try:
        given = json.loads(text)
    except ValueError as error:
        raise NotReadable(f"is not JSON ({error}); {HOW}") from error
    entries, whole = _entries(given if isinstance(given, dict) else {})
    inputs = {urn: entry.get("inputs") or {} for urn, entry in entries.items()}
    resources: list[tuple[Resource, Mapping[str, Sequence[str]]]] = []
    for urn, entry in entries.items():
        provider = str(entry.get("provider", "")).rpartition("::")[0]
        # A preview has no default provider: it is made of the stack's configuration.
        package = entry["type"].partition(":")[0]
        project = _value(
            inputs.get(provider, {}).get("project", _of(given.get("config"), f"{package}:project"))
        )
        resources.append(
            (
                Resource(
                    entry["type"],
                    urn.split("::", 3)[3],
                    urn,
                    _value(inputs[urn]),
                    project if isinstance(project, str) else "",
                ),
                {name: of or () for name, of in (entry.get("propertyDependencies") or {}).items()},
            )
        )
    return Stored(tuple(resources), whole, sum(map(_secrets, inputs.values())))


def _entries(given: Mapping[str, Any]) -> tuple[dict[str, dict[str, Any]], bool]:
    """What is there in the end, by URN, and whether what does not change is among it."""
    if isinstance(deployment := given.get("deployment"), dict):
        found = deployment.get("resources") or []
        there = [(f"deployment.resources[{i}]", one) for i, one in enumerate(found)]
        return dict(_checked(at, one) for at, one in there if not _of(one, "delete")), True
    if not isinstance(steps := given.get("steps"), list):
        raise NotReadable(f"has neither `deployment`, as a state has, nor `steps`; {HOW}")
    # A step after which the resource is gone has none (pkg/resource/deploy/step.go).
    there = [(f"steps[{i}].newState", _of(step, "newState")) for i, step in enumerate(steps)]
    there = [(at, one) for at, one in there if one]
    kept = {_of(step, "op") for step in steps if ROOT not in str(_of(step, "urn"))}
    updates = any(_of(step, "oldState") for step in steps)
    return dict(_checked(at, one) for at, one in there), not updates or "same" in kept


def _of(value: Any, key: str) -> Any:
    return value.get(key) if isinstance(value, dict) else None


def _checked(at: str, resource: Any) -> tuple[str, dict[str, Any]]:
    urn, type_ = _of(resource, "urn"), _of(resource, "type")
    if not isinstance(urn, str) or urn.count("::") < 3 or not isinstance(type_, str):
        raise NotReadable(f"{at} has no `urn` and `type` of a resource; {HOW}")
    if not isinstance(resource.get("inputs") or {}, dict):
        raise NotReadable(f"{at}.inputs is no object; {HOW}")
    return urn, resource


def _value(value: Any) -> Any:
    """As rules see it; UNKNOWN for what is not known yet, and for secrets."""
    if isinstance(value, dict):
        if value.get(SPECIAL_SIG_KEY) == SPECIAL_SECRET_SIG:
            return UNKNOWN
        return {key: _value(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_value(item) for item in value]
    if isinstance(value, str) and (value in UNKNOWNS or value == HIDDEN):
        return UNKNOWN
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _secrets(value: Any) -> int:
    if isinstance(value, dict):
        return value.get(SPECIAL_SIG_KEY) == SPECIAL_SECRET_SIG or sum(
            map(_secrets, value.values())
        )
    return sum(map(_secrets, value)) if isinstance(value, list) else value == HIDDEN
