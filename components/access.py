"""Who may do what: accounts, custom roles and grants, all read off the permission table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import pulumi
import pulumi_gcp as gcp

from components import permissions as table
from components.settings import Settings
from components.telemetry import DATASET, DEAD_LETTERS, TOPIC, Telemetry, topic_id
from vertexops.sdk import AccessReady, NeedArgs

ACCOUNT_OF: Final = {
    table.DEPLOYER_ACCOUNT: table.DEPLOYER,
    table.SERVING_ACCOUNT: table.SERVING,
    table.PREVIEW_ACCOUNT: table.PREVIEW,
    table.TELEMETRY_ACCOUNT: table.TELEMETRY,
}
ELSEWHERE: Final = (
    *(table.ENDPOINT, table.SUBSCRIPTIONS, table.RISKS, table.LOST),
    table.INCIDENTS,
)
"""What is made after all this; the grants on it stand beside it."""


@dataclass(frozen=True)
class AccessArgs:
    settings: Settings
    artifacts_bucket: pulumi.Input[str] | None
    """None where the environment uploads no models."""
    telemetry: Telemetry | None = None
    """None where no telemetry is routed."""


class Access(pulumi.ComponentResource):
    """Owns: service accounts, custom roles, and every grant on what was there before it.

    Leaves alone: the platform identity's own role, which has to exist before the stack does, who
    comes in from GitHub (federation.py), and all other grants on the resources it touches: it adds
    members, it never sets whole policies.

    `deployer` is known only when Google lets the platform become the deployer, and the deployer
    holds what it will use: give it to a provider, and nothing of that provider starts too early.
    """

    deployer: pulumi.Output[str]
    """E-mail address of the deployer account, once its access is in effect."""
    pubsub_agent: pulumi.Output[str] | None
    """Pub/Sub's own service agent, as a member; None where no telemetry is routed."""
    ready: pulumi.Resource
    """Depend on this to be created only when accounts, roles and grants are there."""

    def __init__(
        self, name: str, args: AccessArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("predictive-maintenance:components:Access", name, None, opts)
        self._settings, self._bucket = args.settings, args.artifacts_bucket
        self._telemetry = args.telemetry
        self._agents: dict[str, pulumi.Output[str]] = {}
        wanted = args.settings.roles
        self._accounts = {
            identity: self._account(identity)
            for identity in dict.fromkeys(role.identity for role, _ in wanted)
            if identity in table.ACCOUNTS
        }
        self._roles = {
            key: self._role(*key, held) for key, held in args.settings.declared_roles.items()
        }
        agent_roles = [self._service_agent(table.AGENT, "aiplatform")]
        if args.telemetry:
            agent_roles.append(self._service_agent(table.PUBSUB_AGENT, "pubsub"))
        self.pubsub_agent = self._agents.get(table.PUBSUB_AGENT)
        publishers = args.settings.publishers
        grants = [
            *agent_roles,
            *(
                grant
                for role, project in wanted
                if role.key not in (table.PLATFORM, table.PLATFORM_KEY)
                and role.on not in ELSEWHERE
                and role.identity not in table.FEDERATED
                for grant in self._grants(role, project)
            ),
            *(self._publisher(member, args.telemetry) for member in publishers if args.telemetry),
        ]
        self.ready = AccessReady(
            "deployer-ready",
            principal=args.settings.email(table.DEPLOYER),
            needs=deployer_needs(args.settings),
            deadline_seconds=args.settings.readiness_seconds,
            opts=pulumi.ResourceOptions(
                parent=self, depends_on=[*grants, *self._roles.values(), *self._accounts.values()]
            ),
        )
        self.deployer = self.ready.email
        self.register_outputs({"deployer": self.deployer})

    def _account(self, identity: str) -> gcp.serviceaccount.Account:
        return gcp.serviceaccount.Account(
            identity,
            project=self._settings.project,
            account_id=self._settings.account_id(identity),
            display_name=f"Predictive maintenance: {identity}",
            description=table.IDENTITIES[identity],
            opts=pulumi.ResourceOptions(parent=self),
        )

    def _service_agent(self, identity: str, api: str) -> pulumi.Resource:
        """The service agent of an API, with the role that Google gives it on the project.

        Google creates an agent lazily, refuses grants to it before it exists, and one that was
        asked for holds nothing. Its role stays when the stack goes: others in the project may use
        the API too.
        """
        name = identity.replace(" ", "-")
        agent = gcp.projects.ServiceIdentity(
            name,
            project=self._settings.project,
            service=f"{api}.googleapis.com",
            opts=pulumi.ResourceOptions(parent=self),
        )
        self._agents[identity] = agent.member
        return gcp.projects.IAMMember(
            f"{name}-role",
            project=self._settings.project,
            role=f"roles/{api}.serviceAgent",
            member=agent.member,
            opts=pulumi.ResourceOptions(parent=self, retain_on_delete=True),
        )

    def _publisher(self, member: str, telemetry: Telemetry) -> pulumi.Resource:
        """Somebody beside the stack's device account who publishes readings."""
        return gcp.pubsub.TopicIAMMember(
            f"publisher-{member}",
            project=self._settings.project,
            topic=self._settings.named(TOPIC),
            role=self._settings.role_name("devicePublisher"),
            member=member,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[*self._roles.values(), telemetry]),
        )

    def _member(self, identity: str) -> pulumi.Input[str]:
        settings = self._settings
        match identity:
            case table.PLATFORM:
                return settings.platform_member
            case table.REVIEWER:
                return settings.preview_member or ""
            case table.AGENT | table.PUBSUB_AGENT:
                return self._agents[identity]
        return settings.member(identity)

    def _role(
        self, key: str, project: str, permissions: tuple[str, ...]
    ) -> gcp.projects.IAMCustomRole:
        return gcp.projects.IAMCustomRole(
            self._logical(key, project),
            project=project,
            role_id=self._settings.role_id(key),
            title=f"Predictive maintenance: {key}",
            permissions=list(permissions),
            opts=pulumi.ResourceOptions(
                parent=self, aliases=self._earlier(f"source-{key}", project)
            ),
        )

    def _logical(self, key: str, project: str) -> str:
        return key if project == self._settings.project else f"source-{project}-{key}"

    def _earlier(self, name: str, project: str) -> list[pulumi.Alias]:
        """What something in another project was called when there could be one such project."""
        first = project in self._settings.source_projects[:1]
        return [pulumi.Alias(name=name)] if first else []

    def _grants(self, role: table.Role, project: str) -> Iterator[pulumi.Resource]:
        """The grant of a role; in another project on each bucket that models come from."""
        whose = role.identity.replace(" ", "-")
        name, earlier = f"{whose}-{self._logical(role.key, project)}", f"{whose}-source-{role.key}"
        # Names are plain strings, so that a policy can judge the grant in a first preview, where
        # outputs are unknown; what they name is therefore depended on explicitly.
        named: list[pulumi.Resource] = [
            *([self._roles[role.key, project]] if role.key not in table.BEFORE else []),
            *self._accounts.values(),
            *([self._telemetry] if self._telemetry else []),
        ]
        granted = self._settings.role_name(role.key, project)
        member = self._member(role.identity)
        if role.on != table.SOURCE_ARTIFACTS:
            options = pulumi.ResourceOptions(
                parent=self, depends_on=named, aliases=self._earlier(earlier, project)
            )
            yield self._grant(role, name, project, granted, member, options)
            return
        buckets = [it for it, of in self._settings.source_buckets.items() if of == project]
        for number, bucket in enumerate(buckets):
            aliases = [] if number else self._earlier(earlier, project)
            options = pulumi.ResourceOptions(parent=self, depends_on=named, aliases=aliases)
            yield gcp.storage.BucketIAMMember(
                f"{name}-{bucket}", bucket=bucket, role=granted, member=member, opts=options
            )

    def _grant(
        self,
        role: table.Role,
        name: str,
        project: str,
        granted: str,
        member: pulumi.Input[str],
        child: pulumi.ResourceOptions,
    ) -> pulumi.Resource:
        if role.on in (table.PROJECT, table.SOURCE_PROJECT):
            return gcp.projects.IAMMember(
                name, project=project, role=granted, member=member, opts=child
            )
        buckets = {
            table.ARTIFACTS: self._bucket,
            table.REGISTRY_ARTIFACTS: self._settings.own_bucket,
        }
        if role.on in buckets:
            # Two buckets of one project may have the same role.
            logical = f"{name}-registry" if role.on == table.REGISTRY_ARTIFACTS else name
            return gcp.storage.BucketIAMMember(
                logical, bucket=buckets[role.on] or "", role=granted, member=member, opts=child
            )
        if role.on in (table.TOPIC, table.DEAD_LETTERS):
            return gcp.pubsub.TopicIAMMember(
                name,
                project=self._settings.project,
                topic=self._settings.named(TOPIC if role.on == table.TOPIC else DEAD_LETTERS),
                role=granted,
                member=member,
                opts=child,
            )
        if role.on == table.TABLES:
            return gcp.bigquery.DatasetIamMember(
                name,
                project=self._settings.project,
                dataset_id=self._settings.dataset(DATASET),
                role=granted,
                member=member,
                opts=child,
            )
        if role.on == table.KEY:
            return gcp.kms.CryptoKeyIAMMember(
                name,
                crypto_key_id=self._settings.kms_key or "",
                role=granted,
                member=member,
                opts=child,
            )
        return gcp.serviceaccount.IAMMember(
            name,
            service_account_id=self._settings.account_name(ACCOUNT_OF[role.on]),
            role=granted,
            member=member,
            opts=child,
        )


def deployer_needs(settings: Settings) -> list[NeedArgs]:
    """What the deployer has to hold, on names under which Google tests permissions."""
    names = {
        table.ARTIFACTS: f"projects/_/buckets/{settings.artifacts_bucket}",
        table.TOPIC: topic_id(settings, TOPIC),
        **{on: settings.account_name(identity) for on, identity in ACCOUNT_OF.items()},
    }
    return [
        NeedArgs(
            resource=names.get(role.on) or f"projects/{project}",
            permissions=list(role.permissions),
        )
        for role, project in settings.roles
        if role.identity == table.DEPLOYER
    ]
