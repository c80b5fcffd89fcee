"""What devices are registered in, and what they are told: where to ask for predictions."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pulumi

from components import permissions as table
from components.settings import Settings
from components.telemetry import TOPIC, avro, topic_id
from vertexops.sdk import DeviceRegistry, RegisteredDevice


@dataclass(frozen=True)
class DevicesArgs:
    settings: Settings
    endpoint: pulumi.Input[str]
    """Full name of the endpoint."""
    dedicated_dns: pulumi.Input[str]
    models: pulumi.Input[Any]
    """Its deployed models, as `ModelRollout` gives them."""


class Devices(pulumi.ComponentResource):
    """Owns: the registry in ClearBlade IoT Core, whose events go to the telemetry topic, its
    gateways and devices, and what these are told.

    Leaves alone: their public keys and whatever else is said of a device there; devices that
    somebody else registered, which keep the registry from being deleted.

    They are told addresses, never a token: what asks the endpoint for them has an identity of its
    own. Other content is a new version of a device's config, and nothing else is.
    """

    registry: pulumi.Output[str]

    def __init__(
        self, name: str, args: DevicesArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("predictive-maintenance:components:Devices", name, None, opts)
        settings, wanted = args.settings, args.settings.device_registry
        registry = DeviceRegistry(
            "device-registry",
            project=settings.project,
            location=settings.registry_region,
            registry_id=wanted.registry or "",
            event_topic=topic_id(settings, TOPIC),
            opts=pulumi.ResourceOptions(parent=self, protect=settings.protect),
        )
        told = pulumi.Output.all(args.endpoint, args.dedicated_dns, args.models).apply(
            lambda known: config(settings, *known)
        )
        for id in (*wanted.gateways, *wanted.devices):
            RegisteredDevice(
                id,
                registry=registry.name,
                device_id=id,
                gateway=id in wanted.gateways,
                config=told,
                opts=pulumi.ResourceOptions(parent=self),
            )
        self.registry = registry.name
        self.register_outputs({"registry": self.registry})


def config(settings: Settings, endpoint: str, dedicated_dns: str, models: Any) -> str:
    """JSON: the endpoint, the host that serves it, its region, and the model versions on it."""
    host = dedicated_dns if settings.dedicated_endpoint else ""
    return json.dumps(
        {
            "endpoint": endpoint,
            "host": host or f"{settings.region}-aiplatform.googleapis.com",
            "modelVersions": sorted(model.model.rpartition("/")[2] for model in models or ()),
            "region": settings.region,
        }
    )


def for_a_broker(settings: Settings) -> dict[str, Any]:
    """What a broker of one's own has to know to publish readings."""
    return {
        "topic": topic_id(settings, TOPIC),
        "publisher": settings.email(table.DEVICE),
        "schema": avro(settings.sensors),
        "encoding": "JSON",
        "orderingKey": "device" if settings.order_by_device else None,
    }
