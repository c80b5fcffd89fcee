"""The foundation: APIs, accounts, roles and grants, and all that carries a grant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_gcp as gcp

from components import permissions as table
from components.access import Access, AccessArgs, deployer_needs
from components.apis import Apis, ApisArgs
from components.artifacts import Artifacts, ArtifactsArgs
from components.audit import Audit, AuditArgs
from components.devices import for_a_broker
from components.encryption import Encryption, EncryptionArgs
from components.endpoint import Endpoint, EndpointArgs
from components.federation import Federation, FederationArgs
from components.settings import Settings
from components.telemetry import Telemetry, TelemetryArgs
from vertexops.sdk import FoundationReady, Provider


@dataclass(frozen=True)
class Providers:
    """Of the gcp plugin and of our own, both with one identity."""

    gcp: gcp.Provider
    vertexops: Provider

    @property
    def all(self) -> list[pulumi.ProviderResource]:
        return [self.gcp, self.vertexops]


@dataclass(frozen=True)
class Ground:
    """What a rollout stands on."""

    deployer: Providers
    ready: pulumi.Resource
    """What is there with this, and may be used."""
    endpoint: pulumi.Input[str]
    """Full name of the endpoint."""
    dedicated_dns: pulumi.Input[str]
    parts: Sequence[pulumi.Resource]
    """All of it that this stack declares, which goes after the rollout."""
    bucket: pulumi.Input[str]
    """Where artifacts are kept."""
    telemetry: Telemetry | None = None
    pubsub_agent: pulumi.Input[str] | None = None
    """Pub/Sub's own service agent, as a member, where this stack may grant it something."""


def declare(settings: Settings, platform: Providers) -> Ground:
    """The foundation as this stack's own."""
    apis = Apis(
        "apis",
        ApisArgs(settings.project, settings.region, settings.readiness_seconds),
        pulumi.ResourceOptions(providers=platform.all),
    )
    serves = pulumi.ResourceOptions(providers=platform.all, depends_on=[apis.ready])
    encryption = artifacts = telemetry = hooks = None
    if settings.kms_key:
        encryption = Encryption("encryption", EncryptionArgs(settings, settings.kms_key), serves)
        hooks = encryption.hooks
        serves = pulumi.ResourceOptions(providers=platform.all, depends_on=[encryption])
    if table.REGISTER in settings.capabilities:
        place = (settings.project, settings.region, settings.artifacts_bucket, settings.protect)
        kept = ArtifactsArgs(*place, settings.kms_key, hooks)
        artifacts = Artifacts("artifacts", kept, serves)
    if settings.sensors:
        telemetry = Telemetry("telemetry", TelemetryArgs(settings, hooks), serves)
    access = Access(
        "access", AccessArgs(settings, artifacts.bucket if artifacts else None, telemetry), serves
    )
    allowed = pulumi.ResourceOptions(providers=platform.all, depends_on=[access.ready])
    # The deployer is known only once its access is in effect.
    deployer = as_deployer(settings, platform, access.deployer)
    endpoint = Endpoint(
        "endpoint",
        EndpointArgs(settings, platform.gcp, hooks),
        pulumi.ResourceOptions(providers=deployer.all, depends_on=[access.ready]),
    )
    parts: list[pulumi.Resource | None] = [
        *(apis, encryption, artifacts, telemetry, access, endpoint)
    ]
    if settings.alerts.told:
        parts.append(Audit("audit", AuditArgs(settings, hooks), allowed))
    if settings.federation:
        given = FederationArgs(settings, settings.federation)
        federation = Federation("federation", given, allowed)
        parts.append(federation)
        pulumi.export("identityProviders", federation.providers)
    pulumi.export("endpoint", endpoint.id)
    pulumi.export("dedicatedDns", endpoint.dedicated_dns)
    pulumi.export("deployer", access.deployer)
    pulumi.export("telemetry", settings.email(table.TELEMETRY))
    if telemetry:
        pulumi.export("telemetryTopic", telemetry.topic.id)
        if settings.device_registry.kind == "none":
            pulumi.export("broker", for_a_broker(settings))
    return Ground(
        deployer,
        access.ready,
        endpoint.id,
        endpoint.dedicated_dns,
        [part for part in parts if part],
        artifacts.bucket if artifacts else settings.artifacts_bucket,
        telemetry,
        access.pubsub_agent,
    )


def of_another_stack(
    settings: Settings, caller: Providers, first: Sequence[pulumi.Resource]
) -> Ground:
    """The foundation that another stack declared, after `first`: its names follow from the
    settings. Each `up` looks whether it is there before anything happens."""
    deployer = as_deployer(settings, caller, settings.email(table.DEPLOYER))
    ready = FoundationReady(
        "foundation",
        endpoint=settings.endpoint_name,
        needs=deployer_needs(settings),
        look=settings.readiness_seconds > 0 and not pulumi.runtime.is_dry_run(),
        opts=pulumi.ResourceOptions(provider=deployer.vertexops, depends_on=first),
    )
    pulumi.export("endpoint", settings.endpoint_name)
    pulumi.export("dedicatedDns", ready.dedicated_endpoint_dns)
    return Ground(
        deployer,
        ready,
        settings.endpoint_name,
        ready.dedicated_endpoint_dns,
        [ready],
        settings.artifacts_bucket,
    )


def as_deployer(settings: Settings, caller: Providers, deployer: pulumi.Input[str]) -> Providers:
    """The deployer's; whoever may only look reads as himself what the deployer made.

    They are declared for him too: without them a preview would delete them.
    """
    deployers = Providers(
        gcp.Provider(
            "deployer",
            project=settings.project,
            zone=settings.zone,
            default_labels=settings.labels or None,
            impersonate_service_account=deployer,
        ),
        Provider("deployer-vertexops", impersonate_service_account=deployer),
    )
    return deployers if settings.impersonate else caller
