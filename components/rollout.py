"""The rollout: models on the endpoint, and what follows them: routing, devices, drift, alerts."""

from __future__ import annotations

from pathlib import Path

import pulumi

from components import permissions as table
from components.artifacts import Upload, Uploads, UploadsArgs, files_of
from components.devices import Devices, DevicesArgs
from components.drift import Drift, DriftArgs, Trained
from components.foundation import Ground, Providers
from components.observability import Observability, ObservabilityArgs
from components.routing import Consumers, ConsumersArgs, Routing, RoutingArgs
from components.serving import Serving, ServingArgs
from components.settings import Settings


def declare(
    settings: Settings, root: Path, ground: Ground, caller: Providers
) -> tuple[list[pulumi.Resource], pulumi.Output[object]]:
    """What stands on `ground`, and the models that it deployed.

    Models and what follows their ids are the deployer's work. All else is the platform's where one
    stack declares both layers, so that the deployer needs no more than the thread's answer says.
    """
    deployer, beside = ground.deployer, caller if settings.founds else ground.deployer
    uploads = observability = None
    if table.REGISTER in settings.capabilities:
        uploads = Uploads(
            "uploads",
            UploadsArgs(
                ground.bucket,
                {
                    it.name: Upload(
                        it.model.id,
                        files_of(root / it.model.artifact, settings.image(it.model)),
                        root / it.model.training.data
                        if it.model.training and settings.drift
                        else None,
                        it.canary,
                    )
                    for it in settings.versions
                    if it.model.artifact
                },
            ),
            pulumi.ResourceOptions(providers=beside.all, depends_on=[ground.ready]),
        )
    if settings.alerts.told:
        observability = Observability(
            "observability",
            ObservabilityArgs(settings),
            pulumi.ResourceOptions(providers=beside.all, depends_on=ground.parts),
        )
    serving = Serving(
        "serving",
        ServingArgs(settings, ground.endpoint, uploads.by_version if uploads else {}, ground.parts),
        pulumi.ResourceOptions(providers=deployer.all, depends_on=[ground.ready]),
    )
    parts: list[pulumi.Resource | None] = [uploads, observability, serving]
    served = pulumi.ResourceOptions(providers=beside.all, depends_on=[*ground.parts, serving])
    if settings.sensors:
        # By now Pub/Sub's agent has had its access for as long as a model takes to be deployed.
        given = RoutingArgs(settings, ground.endpoint, serving.deployed_models)
        routing = Routing("routing", given, served)
        parts.append(routing)
        pulumi.export("risks", routing.risks.id)
        if ground.telemetry and ground.pubsub_agent:
            granted = ConsumersArgs(settings, ground.pubsub_agent, [routing, ground.telemetry])
            may = pulumi.ResourceOptions(providers=beside.all)
            parts.append(Consumers("consumers", granted, may))
    if settings.device_registry.kind == "clearblade":
        devices = Devices(
            "devices",
            DevicesArgs(settings, ground.endpoint, ground.dedicated_dns, serving.deployed_models),
            # ClearBlade takes credentials of its own, which the caller's provider has.
            pulumi.ResourceOptions(providers=caller.all, depends_on=ground.parts),
        )
        parts.append(devices)
        pulumi.export("deviceRegistry", devices.registry)
    if settings.drift and uploads:
        drift = Drift(
            "drift",
            DriftArgs(
                settings,
                settings.drift,
                ground.bucket,
                _trained(settings, uploads, serving),
                ground.endpoint,
                serving.deployed_models,
                observability.channels if observability else (),
                beside.gcp,
            ),
            pulumi.ResourceOptions(providers=deployer.all, depends_on=[serving]),
        )
        parts.append(drift)
    pulumi.export("deployedModels", serving.deployed_models)
    pulumi.export("rolledOut", serving.rolled_out)
    if settings.private_projects:
        pulumi.export("serviceAttachments", serving.service_attachments)
    return [part for part in parts if part], serving.deployed_models


def _trained(settings: Settings, uploads: Uploads, serving: Serving) -> list[Trained]:
    """Versions of which it is known what they were trained on."""
    return [
        Trained(serving.versions[it.name], uri, it.model.training.target)
        for it in settings.versions
        if it.model.training and (uri := uploads.by_version[it.name].training) is not None
    ]
