"""What an environment allows: files in `config/`, and what Pulumi's own policy config says.

`config/default.json` holds for every stack, `config/PROJECT/default.json` for the stacks of a
Pulumi project, `config/PROJECT/STACK.json` for one; each where it differs from the one before.
`--policy-pack-config` (or Pulumi Cloud) says the same keys last. A stack that nothing is configured
for is held to the baseline, and blocks. What is wrong anywhere stops the pack before it judges.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_args, get_origin

from msgspec import DecodeError, Meta, Struct, ValidationError, convert
from msgspec.json import decode, schema_components
from msgspec.structs import fields

from . import roles

FOLDER: Final = Path(__file__).parents[1] / "config"
DEFAULT: Final = "default"
PROJECTS: Final = ("project", "source project")
"""Where a need is one of a whole project, in a stack's access file; all else is narrower."""


class ConfigError(ValueError):
    """Configuration that cannot be used; the message lists everything that is wrong, and where."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__(
            "\n  ".join(["the policy pack's configuration cannot be used:", *problems])
        )


def nearest(name: str, known: Iterable[str]) -> str:
    """The known name most like a name that is none."""
    return difflib.get_close_matches(name, list(known), 1, 0)[0]


class Permission(str):
    """The name of a permission that some predefined role holds."""


class Member(str):
    """Somebody, as IAM writes it."""


def _named(kind: type, name: Any) -> Any:
    """A permission or a member of its name. Raises ValueError for a name that is none."""
    if not isinstance(name, str):
        raise ValueError("has to be text")
    if kind is Permission and not roles.exists(name):
        raise ValueError(f"is no permission; the nearest is {roles.nearest_permission(name)}")
    if kind is Member and not MEMBER.fullmatch(name):
        raise ValueError(
            "is not a member such as user:ana@example.com, serviceAccount:…, group:… or principal://…"
        )
    return kind(name)


MEMBER: Final = re.compile(r"(user|serviceAccount|group):[^@\s]+@[^@\s]+|principal(Set)?://\S+")
Text = Annotated[str, Meta(min_length=10, max_length=500)]


class _Said(Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """What a file says, in camel case."""


class Identity(_Said, frozen=True):
    """Somebody whom the stack's permission table knows."""

    needs: Mapping[Permission, tuple[str, ...]]
    """Permission → on what it is used, such as `project` or `endpoint`."""
    member: Member | None = None
    """A service account of the stack; none for others, who are known by no name of their own."""


class Access(_Said, frozen=True):
    """What a stack says of itself: who needs what. The stack writes it, as data."""

    identities: Mapping[str, Identity]
    roles: Mapping[str, tuple[Permission, ...]]
    """Id of a custom role that the stack declares → what it holds."""


class Waiver(_Said, frozen=True):
    """One finding that somebody answers for, until the last day that it holds."""

    rule: str
    resource: Annotated[str, Meta(pattern=r"^[^*\s]+::[^*]+$")]
    """`TYPE::NAME`, as a finding names it; no patterns."""
    reason: Text
    owner: Annotated[str, Meta(pattern=r"^[^@\s]+@[^@\s]+$")]
    expires: date

    def covers(self, rule: str, resource: str) -> bool:
        """Of `gcp:projects/iAMMember:IAMMember`, Pulumi prints `gcp:projects:IAMMember`."""
        printed = re.sub(r"/[^:]*", "", resource.partition("::")[0])
        names = (resource, f"{printed}::{resource.partition('::')[2]}")
        return rule == self.rule and self.resource in names


class Config(_Said, frozen=True):
    """One environment. An empty list of what is allowed allows everything of its kind."""

    profile: Literal["baseline", "strict"] = "baseline"
    """`baseline` judges by content alone; `strict` also by what this stack says that it needs."""
    enforcement: Literal["mandatory", "advisory"] = "mandatory"
    """Whether mandatory rules block here."""
    like: str = ""
    """The stack whose file holds for this one too, as for the other layer of an environment."""
    access: str = ""
    """File beside this one in which the stack says who needs what; strict needs it, or `needed`."""
    needed: tuple[Permission, ...] = ()
    """What the stack needs, for one that has no access file."""
    max_permissions: Annotated[int, Meta(ge=10, le=500)] = 100
    """Most permissions of a role that is granted, and of a custom role."""
    max_deletes: Annotated[int, Meta(ge=0, le=100)] = 10
    """Most delete permissions of a role on a project."""
    max_services: Annotated[int, Meta(ge=1, le=50)] = 10
    """Most services that a role on a project reaches, or a custom role."""
    role_services: tuple[str, ...] = ()
    """Services that roles on a project may reach, such as `aiplatform`."""
    banned_roles: tuple[str, ...] = ()
    """Predefined roles that are not to be granted."""
    allowed_roles: tuple[str, ...] = ()
    """The only predefined roles that may be granted."""
    known_roles: Mapping[str, tuple[Permission, ...]] = {}
    """Permissions of roles that are declared elsewhere, by full name."""
    lookup_seconds: Annotated[float, Meta(ge=0, le=10)] = 2
    """Wait for Google's answer about an unknown role; 0 does not ask."""
    domains: tuple[str, ...] = ()
    """Domains that people, groups and whole domains may be of."""
    projects: tuple[str, ...] = ()
    """Other projects whose service accounts may hold grants here."""
    trusted_members: tuple[Member, ...] = ()
    """Members that may become service accounts, and people that may hold grants."""
    accounts_elsewhere: tuple[Member, ...] = ()
    """Accounts that another stack declares, and that its own review judges."""
    may_grant_above_projects: bool = False
    """Whether grants on folders, organisations and billing accounts are this stack's business."""
    issuers: tuple[Annotated[str, Meta(pattern="^https://")], ...] = ()
    """Issuers whose tokens may be federated."""
    aws_accounts: tuple[Annotated[str, Meta(pattern=r"^\d{12}$")], ...] = ()
    """AWS accounts that may be federated."""
    locations: tuple[str, ...] = ()
    """Where data and models may be."""
    apis: tuple[Annotated[str, Meta(pattern=r"^[a-z0-9-]+\.googleapis\.com$")], ...] = ()
    """APIs that may be enabled."""
    retention_days: Annotated[int, Meta(ge=1, le=3650)] = 30
    """Fewest days that a log bucket keeps its logs."""
    owns_project: bool = False
    """Whether audit sinks and alerts are this stack's business, as in one that makes a project."""
    disposable: bool = False
    """Whether buckets may be deleted with what is in them, and logs with them."""
    harmless_packages: tuple[str, ...] = ()
    """Pulumi packages that grant nothing in Google Cloud, whatever their properties look like."""
    not_required: Mapping[str, Text] = {}
    """Advisory rules that do not hold here, each with the reason."""
    waivers: tuple[Waiver, ...] = ()
    """Single findings that somebody answers for."""

    @property
    def blocks(self) -> bool:
        return self.enforcement == "mandatory"


@dataclass(frozen=True)
class Environment:
    """A stack's configuration, and what it says of itself."""

    config: Config = field(default_factory=Config)
    access: Access | None = None

    @cached_property
    def identities(self) -> Mapping[str, str]:
        """Service accounts that the stack knows: member → the identity's name."""
        found = self.access.identities.items() if self.access else ()
        return {identity.member: name for name, identity in found if identity.member}

    @cached_property
    def needs(self) -> Mapping[str, frozenset[str]]:
        """What the stack says that each identity needs."""
        found = self.access.identities.items() if self.access else ()
        return {name: frozenset(identity.needs) for name, identity in found}

    @cached_property
    def wide_needs(self) -> Mapping[str, frozenset[str]]:
        """The same, on whole projects."""
        found = self.access.identities.items() if self.access else ()
        return {
            name: frozenset(p for p, places in identity.needs.items() if {*places} & {*PROJECTS})
            for name, identity in found
        }

    @cached_property
    def everybodys(self) -> frozenset[str]:
        """What any of them needs, or the list that stands for that."""
        return frozenset(self.config.needed).union(*self.needs.values())


@dataclass
class Configs:
    """The configuration of each stack. `mandatory` says of each rule's id whether it may block."""

    mandatory: Mapping[str, bool]
    files: Mapping[str, Mapping[str, Any]]
    """What the files say, by path without its ending, such as `PROJECT/STACK`."""
    accesses: Mapping[str, Access]
    given: dict[str, Any] = field(default_factory=dict)
    """What Pulumi's own policy config says."""
    _known: dict[tuple[str, str], Environment] = field(default_factory=dict)

    def give(self, values: Mapping[str, Any]) -> None:
        """Take Pulumi's policy config for one of the pack's policies; it holds for all of them."""
        known = {key: _whole(value) for key, value in values.items()}
        if new := {key: value for key, value in known.items() if self.given.get(key) != value}:
            self.given |= new
            self._known.clear()

    def of(self, program: tuple[str, str]) -> Environment:
        """Of a stack, by Pulumi's project and stack. Raises ConfigError."""
        if program not in self._known:
            problems: list[str] = []
            found = self.check("/".join(program), problems)
            if problems:
                raise ConfigError(problems)
            self._known[program] = found
        return self._known[program]

    def sources(self, stack: str) -> list[tuple[str, Mapping[str, Any]]]:
        """What says something about `PROJECT/STACK`, by name; later ones win."""
        project = stack.rpartition("/")[0]
        names = [DEFAULT, f"{project}/{DEFAULT}", self._like(stack), stack]
        found = [(f"{name}.json", self.files.get(name, {})) for name in dict.fromkeys(names)]
        found.append(("Pulumi's policy config", self.given))
        return [(name, said) for name, said in found if said]

    def _like(self, stack: str) -> str:
        """The stack whose file holds for this one too; empty for none."""
        like = self.files.get(stack, {}).get("like")
        return f"{stack.rpartition('/')[0]}/{like}" if like else ""

    def check(self, stack: str, problems: list[str]) -> Environment:
        """The configuration of `PROJECT/STACK`, and everything that is wrong with it."""
        like, sources = self._like(stack), self.sources(stack)
        if like and like not in self.files:
            problems.append(f"{stack}.json: like: there is no {like}.json")
        values = {key: value for _, said in sources for key, value in said.items()}
        where = {key: name for name, said in sources for key in said}
        try:
            config = convert(values, Config, dec_hook=_named)
        except ValidationError:
            problems += [
                f"{where.get(at[0], stack)}: {'.'.join(at)}: {text}"
                for at, text in _wrong(Config, values)
            ]
            return Environment()
        access = None
        if config.access:
            file = Path(where["access"])
            access = self.accesses.get(str(file.with_name(config.access)))
            if access is None:
                problems.append(f"{file}: access: there is no {config.access} beside it")
        if config.profile == "strict" and not (config.access or config.needed):
            problems.append(
                f"{where['profile']}: profile: strict needs `access`, the file in which the stack "
                "says who needs what, or `needed`, a list of permissions"
            )
        problems += self._about_rules(config, where)
        return Environment(config, access)

    def _about_rules(self, config: Config, where: Mapping[str, str]) -> Iterable[str]:
        named = [("notRequired", rule) for rule in config.not_required]
        named += [("waivers", waiver.rule) for waiver in config.waivers]
        for key, rule in named:
            if rule not in self.mandatory:
                known = nearest(rule, self.mandatory)
                yield f"{where[key]}: {rule!r} is no rule; did you mean {known}?"
            elif key == "notRequired" and self.mandatory[rule]:
                yield (
                    f"{where[key]}: notRequired.{rule}: {rule} is mandatory in production; a "
                    "waiver for one resource can excuse it, this cannot"
                )


def load(mandatory: Mapping[str, bool], folder: Path = FOLDER) -> Configs:
    """Every file in `folder`. `mandatory` says of each rule's id whether it may block.

    Raises ConfigError.
    """
    problems: list[str] = []
    files: dict[str, Mapping[str, Any]] = {}
    accesses: dict[str, Access] = {}
    for path in sorted([*folder.glob("*.json"), *folder.glob("*/*.json")]):
        name = str(path.relative_to(folder).with_suffix(""))
        if not name.endswith(".access"):
            files[name] = _read(path, folder, problems)
            continue
        try:
            accesses[f"{name}.json"] = decode(path.read_bytes(), type=Access, dec_hook=_named)
        except DecodeError:
            wrong = _wrong(Access, _read(path, folder, problems))
            problems += [f"{name}.json: {'.'.join(at)}: {text}" for at, text in wrong]
    configs = Configs(mandatory, files, accesses)
    for name in files:
        if name.count("/"):
            configs.check(name, problems)
    configs.check(f"{DEFAULT}/{DEFAULT}", problems)
    if problems:
        raise ConfigError(list(dict.fromkeys(problems)))
    return configs


def schema() -> dict[str, Any]:
    """JSON schema of each key, as Pulumi takes it for a policy: without references.

    And without defaults, which Pulumi would hand over as if somebody had set them.
    """
    _, parts = schema_components([Config], schema_hook=lambda _: {"type": "string"})

    def inlined(value: Any) -> Any:
        if isinstance(value, dict):
            if "$ref" in value:
                return inlined(parts[value["$ref"].rpartition("/")[2]])
            kind = {"type": "string"} if "enum" in value else {}
            return kind | {key: inlined(item) for key, item in value.items() if key != "default"}
        return [inlined(item) for item in value] if isinstance(value, list) else value

    return {
        key: inlined(value)
        for key, value in parts[Config.__name__]["properties"].items()
        if key not in ("like", "access")  # which name files beside a file
    }


def _whole(value: Any) -> Any:
    """A number as the schema has it: the protocol knows no whole numbers."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _read(path: Path, folder: Path, problems: list[str]) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
    except ValueError as error:
        problems.append(f"{path.relative_to(folder)}: is not JSON: {error}")
        return {}
    if not isinstance(found, dict):
        problems.append(f"{path.relative_to(folder)}: has to be an object")
        return {}
    return found


Place = tuple[str, ...]


def _wrong(kind: Any, value: Any, at: Place = ()) -> Iterator[tuple[Place, str]]:
    """Everything that is wrong with a value, and where; msgspec itself says the first alone."""
    arguments = get_args(kind)
    match value:
        case dict() if isinstance(kind, type) and issubclass(kind, Struct):
            known = {one.encode_name: one for one in fields(kind)}
            for key, item in value.items():
                if key in known:
                    yield from _wrong(known[key].type, item, (*at, key))
                else:
                    yield (*at, key), f"no such key; did you mean {nearest(key, known)}?"
            for key, one in known.items():
                if one.required and key not in value:
                    yield (*at, key), "not set"
        case dict() if get_origin(kind) is Mapping:
            for key, item in value.items():
                yield from _wrong(arguments[0], key, (*at, key))
                yield from _wrong(arguments[1], item, (*at, key))
        case list() if get_origin(kind) is tuple:
            for index, item in enumerate(value):
                yield from _wrong(arguments[0], item, (*at, str(index)))
        case _:
            try:
                convert(value, kind, dec_hook=_named)
            except ValidationError as error:
                text = str(error)
                if get_origin(kind) is Literal:
                    text = f"has to be {' or '.join(map(repr, arguments))}"
                yield at, f"{value!r}: {text[0].lower()}{text[1:]}"
