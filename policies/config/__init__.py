"""What an environment allows: `default.json` for every stack, and `<stack>.json` where it differs.

A stack without a file of its own is held to the default, which is strict. What is wrong in any file
stops the pack before it judges anything.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from components import permissions as table
from components.settings import Member, nearest
from policies import roles

HERE: Final = Path(__file__).parent
DEFAULT: Final = "default"


class ConfigError(ValueError):
    """Files that cannot be used; the message lists everything that is wrong, with its file."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__(
            "\n  ".join(["the policy pack's configuration cannot be used:", *problems])
        )


def _permission(name: str) -> str:
    if not roles.exists(name):
        raise ValueError(f"is no permission; the nearest is {roles.nearest_permission(name)}")
    return name


def _capability(name: str) -> str:
    known = (*table.CAPABILITIES, *table.FOLLOWING)
    if name not in known:
        raise ValueError(f"is no capability; the nearest is {nearest(name, known)}")
    return name


Permission = Annotated[str, AfterValidator(_permission)]
Capability = Annotated[str, AfterValidator(_capability)]
Text = Annotated[str, Field(min_length=10, max_length=500)]


class _Frozen(BaseModel):
    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        validate_default=True,
        use_attribute_docstrings=True,
    )


class Waiver(_Frozen):
    """One finding that somebody answers for, until the last day that it holds."""

    rule: str
    resource: Annotated[str, Field(pattern=r"^[^*\s]+::[^*]+$")]
    """`TYPE::NAME`, as a finding names it; no patterns."""
    reason: Text
    owner: Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+$")]
    expires: date

    def covers(self, rule: str, resource: str) -> bool:
        """Of `gcp:projects/iAMMember:IAMMember`, Pulumi prints `gcp:projects:IAMMember`."""
        printed = re.sub(r"/[^:]*", "", resource.partition("::")[0])
        names = (resource, f"{printed}::{resource.partition('::')[2]}")
        return rule == self.rule and self.resource in names


class Config(_Frozen):
    """One environment. An empty list of what is allowed allows everything of its kind."""

    like: str = ""
    """The stack whose file holds for this one too, as for the other layer of an environment."""
    enforcement: Literal["mandatory", "advisory"] = "mandatory"
    """Whether mandatory rules block here."""
    max_permissions: Annotated[int, Field(ge=10, le=500)] = 100
    """Most permissions of a role on a project, and of a custom role."""
    max_deletes: Annotated[int, Field(ge=0, le=100)] = 10
    """Most delete permissions of a role on a project."""
    max_services: Annotated[int, Field(ge=1, le=50)] = 10
    """Most services that a role on a project reaches, or a custom role."""
    role_services: tuple[str, ...] = ()
    """Services that roles on a project may reach, such as `aiplatform`."""
    banned_roles: tuple[str, ...] = ()
    """Predefined roles that are not to be granted."""
    allowed_roles: tuple[str, ...] = ()
    """The only predefined roles that may be granted."""
    known_roles: Mapping[str, tuple[Permission, ...]] = {}
    """Permissions of roles that are declared elsewhere, by full name."""
    lookup_seconds: Annotated[float, Field(ge=0, le=10)] = 2
    """Wait for Google's answer about an unknown role; 0 does not ask."""
    domains: tuple[str, ...] = ()
    """Domains that people, groups and whole domains may be of."""
    trusted_members: tuple[Member, ...] = ()
    """Members that may become service accounts, and people that may hold grants."""
    accounts_elsewhere: tuple[Member, ...] = ()
    """Accounts that another stack declares, and that its own review judges."""
    account_prefix: str = "pm-"
    """Begins the ids of the permission table's accounts."""
    may_grant_above_projects: bool = False
    """Whether grants on folders, organisations and billing accounts are this stack's business."""
    needed: Literal["table"] | tuple[Permission, ...] = "table"
    """What the stack needs: the permission table, or a list for a stack that has none."""
    capabilities: tuple[Capability, ...] | None = None
    """Capabilities of the permission table that the environment has; none: all of them."""
    issuers: tuple[Annotated[str, Field(pattern="^https://")], ...] = ()
    """Issuers whose tokens may be federated."""
    aws_accounts: tuple[Annotated[str, Field(pattern=r"^\d{12}$")], ...] = ()
    """AWS accounts that may be federated; an empty list allows none."""
    locations: tuple[str, ...] = ()
    """Where data and models may be."""
    apis: tuple[Annotated[str, Field(pattern=r"^[a-z0-9-]+\.googleapis\.com$")], ...] = ()
    """APIs that may be enabled."""
    retention_days: Annotated[int, Field(ge=1, le=3650)] = 30
    """Fewest days that a log bucket keeps its logs."""
    owns_project: bool = False
    """Whether audit sinks and alerts are this stack's business, as in one that makes a project."""
    disposable: bool = False
    """Whether buckets may be deleted with what is in them, and logs with them."""
    not_required: Mapping[str, Text] = {}
    """Advisory rules that do not hold here, each with the reason."""
    waivers: tuple[Waiver, ...] = ()
    """Single findings that somebody answers for."""

    @property
    def strict(self) -> bool:
        return self.enforcement == "mandatory"

    @cached_property
    def needs(self) -> tuple[table.Need, ...]:
        """The lines of the permission table that apply; none where the stack has a list instead."""
        if self.needed != "table":
            return ()
        return table.NEEDS if self.capabilities is None else table.needs(self.capabilities)

    @cached_property
    def needs_of(self) -> Mapping[str, list[table.Need]]:
        """The same by identity."""
        found: dict[str, list[table.Need]] = {}
        for need in self.needs:
            found.setdefault(need.identity, []).append(need)
        return found


@dataclass(frozen=True)
class Configs:
    """The configuration of each stack."""

    by_stack: Mapping[str, Config]

    def of(self, stack: str) -> Config:
        return self.by_stack.get(stack) or self.by_stack[DEFAULT]


def load(rules: Mapping[str, bool], folder: Path = HERE) -> Configs:
    """Every file in `folder`. `rules` says of each rule's id whether it is mandatory in production.

    Raises ConfigError.
    """
    problems: list[str] = []
    raw = {path.stem: _read(path, problems) for path in sorted(folder.glob("*.json"))}
    default = raw.setdefault(DEFAULT, {})
    configs: dict[str, Config] = {}
    for stack, values in raw.items():
        file = f"{stack}.json"
        try:
            other = raw.get(values.get("like", ""), {})
            if values.get("like") and not other:
                problems.append(f"{file}: like: there is no {values['like']}.json")
            configs[stack] = config = Config.model_validate({**default, **other, **values})
        except ValidationError as error:
            # What the default has wrong is reported there.
            mine = [e for e in error.errors() if stack == DEFAULT or e["loc"][0] in values]
            problems += [f"{file}: {line}" for detail in mine for line in _lines(detail)]
            continue
        named = [*config.not_required, *(waiver.rule for waiver in config.waivers)]
        problems += [
            f"{file}: {rule!r} is no rule; did you mean {nearest(rule, rules)}?"
            for rule in named
            if rule not in rules
        ]
        problems += [
            f"{file}: notRequired.{rule}: {rule} is mandatory in production; a waiver for one "
            "resource can excuse it, this cannot"
            for rule in config.not_required
            if rules.get(rule)
        ]
    if problems:
        raise ConfigError(problems)
    return Configs(configs)


def _read(path: Path, problems: list[str]) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
    except ValueError as error:
        problems.append(f"{path.name}: is not JSON: {error}")
        return {}
    if not isinstance(found, dict):
        problems.append(f"{path.name}: has to be an object")
        return {}
    return found


def _lines(detail: Any) -> Iterable[str]:
    loc: Collection[str | int] = detail["loc"]
    path = ".".join(str(part) for part in loc if part not in ("literal['table']", "tuple"))
    message = detail["msg"].removeprefix("Value error, ")
    match detail["type"]:
        case "extra_forbidden":
            model = Waiver if len(loc) > 1 else Config
            known = [to_camel(name) for name in model.model_fields]
            yield f"{path}: no such key; did you mean {nearest(str(detail['loc'][-1]), known)}?"
        case "missing":
            yield f"{path}: not set"
        case _:
            yield f"{path}: {detail['input']!r}: {message[0].lower()}{message[1:]}"
