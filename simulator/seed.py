"""What is there before anyone calls: projects, accounts, grants. Written in YAML, or JSON.

python -m simulator.seed        prints the JSON schema, for editors
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from simulator.core.cloud import Cloud
from simulator.iam.decisions import Iam
from simulator.iam.roles import CustomRoles
from simulator.identity.accounts import AGENTS, Accounts
from simulator.identity.issuers import Issuers
from simulator.identity.pools.state import Pools
from simulator.services.clearblade.state import ClearBlade
from simulator.services.kms.state import Kms
from simulator.services.orgpolicy.state import OrgPolicies
from simulator.services.resourcemanager import Projects
from simulator.services.serviceusage import Services


class SeedError(ValueError):
    """What is wrong with a seed, a line for each fault: where, which key, why."""


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


Number = Annotated[str, Field(pattern=r"^\d+$")]
KeyName = Annotated[
    str, Field(pattern=r"^projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+$")
]
Parent = Annotated[str, Field(pattern=r"^(?:(?:folders|organizations)/\d+)?$")]


class Organization(Part):
    id: Number = Field(description="Number; its name is `organizations/ID`.")
    customer: str = Field("", description="Cloud Identity customer, such as `C0abc123`.")
    domains: list[str] = Field([], description="Domains whose people belong to the customer.")


class Folder(Part):
    id: Number = Field(description="Number; its name is `folders/ID`.")
    parent: Parent = Field(description="`organizations/ID` or `folders/ID`.")


class Project(Part):
    id: str = Field(description="Project id.", pattern=r"^[a-z][a-z0-9:.-]*$")
    number: Number | None = Field(None, description="Project number; drawn unless given.")
    parent: Parent = Field("", description="`organizations/ID` or `folders/ID`.")
    services: list[str] = Field([], description="Enabled APIs, such as `pubsub.googleapis.com`.")


class Account(Part):
    project: str = Field(description="Project id.")
    id: str = Field(description="The part of the address before the @.")


class Agent(Part):
    api: str = Field(description=f"One of {', '.join(AGENTS)}.", pattern=f"^({'|'.join(AGENTS)})$")
    project: str = Field(description="Project id.")


class Role(Part):
    name: str = Field(
        description="`projects/P/roles/ID` or `organizations/N/roles/ID`.",
        pattern=r"^(?:projects|organizations)/[^/]+/roles/[^/]+$",
    )
    permissions: list[str] = Field(description="What it includes.")


class Provider(BaseModel):
    """As the REST API has it: `oidc`, `attributeMapping`, …"""

    model_config = ConfigDict(extra="allow")
    id: str = Field(description="The last part of its name.")


class Pool(Part):
    name: str = Field(
        description="`projects/P/locations/global/workloadIdentityPools/ID` or "
        "`locations/global/workforcePools/ID`."
    )
    parent: Parent = Field("", description="The organization of a workforce pool.")
    providers: list[Provider] = Field([], description="Its identity providers.")


class Condition(Part):
    expression: str = Field(description="CEL.")
    title: str = Field("", description="What people call it.")
    description: str = Field("", description="More about it.")


class Grant(Part):
    resource: str = Field(description="Full name, such as `projects/P` or `organizations/N`.")
    role: str = Field(description="`roles/NAME`, or the full name of a custom role.")
    member: str = Field(description="As allow policies write it: `user:ann@example.com`.")
    condition: Condition | None = Field(None, description="An IAM condition.")


class ClearBladeAccount(Part):
    project: str = Field(description="Project id.")
    system_key: str = Field(description="As the file with its credentials says it.")
    token: str = Field(description="What it shows as `ClearBlade-UserToken`.")


class Seed(Part):
    """All keys are optional. What they make is in effect at once."""

    organization: Organization | None = Field(None, description="The organization.")
    folders: list[Folder] = Field([], description="Folders, outer ones first.")
    projects: list[Project] = Field([], description="Projects.")
    accounts: list[Account] = Field([], description="Service accounts.")
    agents: list[Agent] = Field([], description="Google's own accounts that are there already.")
    roles: list[Role] = Field([], description="Custom roles.")
    keys: list[KeyName] = Field(
        [], description="Keys: `projects/P/locations/L/keyRings/R/cryptoKeys/K`, with their rings."
    )
    groups: dict[str, list[str]] = Field({}, description="Google groups: address, members.")
    tags: dict[str, dict[str, str]] = Field({}, description="Resource, then tag key and value.")
    issuers: dict[str, dict[str, dict[str, Any]]] = Field(
        {}, description="Identity providers that are played: URI, subject, claims."
    )
    pools: list[Pool] = Field([], description="Identity pools.")
    grants: list[Grant] = Field([], description="Bindings of allow policies.")
    quotas: dict[str, int] = Field(
        {}, description="Limits by name, in each project and region; none unless given."
    )
    clearblade: list[ClearBladeAccount] = Field(
        [], description="Service accounts of ClearBlade IoT Core."
    )


def plant(cloud: Cloud, content: Mapping[str, Any]) -> None:
    """Make in `cloud` what a seed says; SeedError, and nothing made, when it is not well-formed.

    What is well-formed and impossible, such as a grant to an account that is not there, raises
    what Google's API answers.
    """
    _plant(cloud, _checked(content))


def read(text: str, file: str) -> dict[str, Any]:
    """The content of a seed file; SeedError with `FILE:LINE` and key of each fault."""
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        content = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise SeedError(f"{file}:{line}: {error.problem or error.context}") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise SeedError(f"{file}:1: a seed is a mapping of {', '.join(Seed.model_fields)}")
    _checked(content, root, file)
    return content


def _checked(content: Mapping[str, Any], root: Any = None, file: str = "") -> Seed:
    try:
        return Seed.model_validate(dict(content))
    except ValidationError as error:
        faults = [(_line(root, fault["loc"]), _explained(fault)) for fault in error.errors()]
        lines = [f"{file}:{line}: {text}" if file else text for line, text in sorted(faults)]
        raise SeedError("\n".join(lines)) from None


def _explained(fault: Any) -> str:
    key = ".".join(map(str, fault["loc"]))
    if fault["type"] == "extra_forbidden":
        part = _part(fault["loc"][:-1])
        return f"{key}: a {part.__name__.lower()} has {', '.join(part.model_fields)}"
    given = "" if fault["type"] == "missing" else f", not {fault['input']!r}"
    return f"{key}: {fault['msg'][:1].lower()}{fault['msg'][1:]}{given}"


def _part(way: Iterable[Any]) -> type[BaseModel]:
    """The part of a seed that the way leads to."""
    part: type[BaseModel] = Seed
    for step in way:
        if field := part.model_fields.get(step):
            kinds = (field.annotation, *get_args(field.annotation))
            part = next(it for it in kinds if isinstance(it, type) and issubclass(it, Part))
    return part


def _line(node: Any, way: Iterable[Any]) -> int:
    """Of the key or item that the way leads to; the nearest one that is there."""
    line = 1
    for step in way:
        if isinstance(node, yaml.MappingNode):
            found = [(k, v) for k, v in node.value if k.value == str(step)]
            if not found:
                break
            key, node = found[0]
            line = key.start_mark.line + 1
        elif isinstance(node, yaml.SequenceNode):
            node = node.value[step]
            line = node.start_mark.line + 1
    return line


def _plant(cloud: Cloud, seed: Seed) -> None:
    iam, projects = cloud[Iam], cloud[Projects]
    if organization := seed.organization:
        name = f"organizations/{organization.id}"
        projects.add_container(name)
        if organization.customer:
            cloud[OrgPolicies].customers[name] = organization.customer
        iam.customers |= dict.fromkeys(organization.domains, organization.customer)
    for folder in seed.folders:
        projects.add_container(f"folders/{folder.id}", folder.parent)
    for project in seed.projects:
        projects.add(project.id, project.number, project.parent)
        cloud[Services].seed(project.id, project.services)
    for account in seed.accounts:
        cloud[Accounts].create(account.project, account.id)
    for agent in seed.agents:
        cloud[Accounts].create_agent(agent.api, agent.project)
    for role in seed.roles:
        cloud[CustomRoles].seed(role.name, role.permissions)
    for key in seed.keys:
        cloud[Kms].seed(key)
    for group, members in seed.groups.items():
        iam.groups.add(group, members)
    for resource, tags in seed.tags.items():
        iam.tags.setdefault(resource, {}).update(tags)
    for issuer, people in seed.issuers.items():
        cloud[Issuers].add(issuer, people)
    for pool in seed.pools:
        providers = [provider.model_dump() for provider in pool.providers]
        cloud[Pools].seed(pool.name, providers, pool.parent)
    for grant in seed.grants:
        condition = grant.condition.model_dump(exclude_unset=True) if grant.condition else None
        iam.grant(grant.resource, grant.role, grant.member, condition)
    cloud.quotas |= seed.quotas
    for it in seed.clearblade:
        cloud[ClearBlade].seed(it.project, it.system_key, it.token)


if __name__ == "__main__":
    print(json.dumps(Seed.model_json_schema(), indent=2))
