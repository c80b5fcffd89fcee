"""Who may do what: accounts, custom roles and grants, all read off the permission table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import pulumi
import pulumi_gcp as gcp

from components import permissions as table
from components.settings import Settings
from vertexops.sdk import AccessReady

ACCOUNT_OF: Final = {
    table.DEPLOYER_ACCOUNT: table.DEPLOYER,
    table.SERVING_ACCOUNT: table.SERVING,
    table.PREVIEW_ACCOUNT: table.PREVIEW,
}


@dataclass(frozen=True)
class AccessArgs:
    settings: Settings
    artifacts_bucket: pulumi.Input[str] | None
    """None where the environment uploads no models."""


class Access(pulumi.ComponentResource):
    """Owns: service accounts, custom roles, and every grant except the one on the endpoint.

    Leaves alone: the platform identity's own role, which has to exist before the stack does, and
    all other grants on the resources it touches: it adds members, it never sets whole policies.

    `deployer` is known only when Google lets the platform become the deployer, and the deployer
    holds what it will use: give it to a provider, and nothing of that provider starts too early.
    """

    deployer: pulumi.Output[str]
    """E-mail address of the deployer account, once its access is in effect."""
    ready: pulumi.Resource
    """Depend on this to be created only when accounts, roles and grants are there."""

    def __init__(
        self, name: str, args: AccessArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("predictive-maintenance:components:Access", name, None, opts)
        self._settings, self._bucket = args.settings, args.artifacts_bucket
        wanted = table.roles(args.settings.capabilities)
        self._accounts = {
            identity: self._account(identity)
            for identity in dict.fromkeys(role.identity for role in wanted)
            if identity in table.ACCOUNTS
        }
        self._roles = {
            key: self._role(*key, held)
            for key, held in table.declared_roles(args.settings.capabilities).items()
        }
        # Google creates the agent lazily, and refuses grants to it before it exists.
        self._agent = gcp.projects.ServiceIdentity(
            "vertex-agent",
            project=args.settings.project,
            service="aiplatform.googleapis.com",
            opts=pulumi.ResourceOptions(parent=self),
        )
        # An agent that was asked for holds nothing. Its role stays when the stack goes: others in
        # the project may use Vertex AI too.
        agent_role = gcp.projects.IAMMember(
            "vertex-agent-role",
            project=args.settings.project,
            role="roles/aiplatform.serviceAgent",
            member=self._agent.member,
            opts=pulumi.ResourceOptions(parent=self, retain_on_delete=True),
        )
        grants = [
            agent_role,
            *(
                self._grant(role)
                for role in wanted
                if role.key != table.PLATFORM and role.on != table.ENDPOINT
            ),
        ]
        self.ready = AccessReady(
            "deployer-ready",
            principal=args.settings.email(table.DEPLOYER),
            needs=[
                {"resource": self._resource(role.on), "permissions": list(role.permissions)}
                for role in wanted
                if role.identity == table.DEPLOYER
            ],
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

    def _member(self, identity: str) -> pulumi.Input[str]:
        settings = self._settings
        match identity:
            case table.PLATFORM:
                return settings.platform_member
            case table.REVIEWER:
                return settings.preview_member or ""
            case table.AGENT:
                return self._agent.member
        return settings.member(identity)

    def _role(
        self, key: str, in_source: bool, permissions: tuple[str, ...]
    ) -> gcp.projects.IAMCustomRole:
        return gcp.projects.IAMCustomRole(
            f"source-{key}" if in_source else key,
            project=self._settings.project_of(in_source),
            role_id=self._settings.role_id(key),
            title=f"Predictive maintenance: {key}",
            permissions=list(permissions),
            opts=pulumi.ResourceOptions(parent=self),
        )

    def _grant(self, role: table.Role) -> pulumi.Resource:
        in_source = role.on in table.IN_SOURCE
        name = f"{role.identity.replace(' ', '-')}-{'source-' * in_source}{role.key}"
        # Names are plain strings, so that a policy can judge the grant in a first preview, where
        # outputs are unknown; what they name is therefore depended on explicitly.
        named = [self._roles[role.key, in_source], *self._accounts.values()]
        child = pulumi.ResourceOptions(parent=self, depends_on=named)
        granted = self._settings.role_name(role.key, in_source)
        member = self._member(role.identity)
        if role.on in (table.PROJECT, table.SOURCE_PROJECT):
            return gcp.projects.IAMMember(
                name,
                project=self._settings.project_of(in_source),
                role=granted,
                member=member,
                opts=child,
            )
        if role.on in (table.ARTIFACTS, table.SOURCE_ARTIFACTS):
            bucket = self._settings.source_artifacts_bucket if in_source else self._bucket
            return gcp.storage.BucketIAMMember(
                name, bucket=bucket or "", role=granted, member=member, opts=child
            )
        return gcp.serviceaccount.IAMMember(
            name,
            service_account_id=self._settings.account_name(ACCOUNT_OF[role.on]),
            role=granted,
            member=member,
            opts=child,
        )

    def _resource(self, on: str) -> str:
        """The name under which Google tests permissions on what the deployer uses."""
        if on in ACCOUNT_OF:
            return self._settings.account_name(ACCOUNT_OF[on])
        return f"projects/{self._settings.project_of(on in table.IN_SOURCE)}"
