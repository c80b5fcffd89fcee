"""The models on the endpoint, with their traffic."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi

from components import permissions
from components.artifacts import Artifact, former_urn
from components.models import Version
from components.settings import Settings
from vertexops import forms
from vertexops.schema import REGISTERED_MODEL
from vertexops.sdk import CanaryArgs, CanaryGuardArgs, ModelRollout, RegisteredModel


@dataclass(frozen=True)
class ServingArgs:
    settings: Settings
    endpoint: pulumi.Input[str]
    """Its full name."""
    artifacts: Mapping[str, Artifact]
    """Version's name → its uploaded artifact, for the versions that have one."""
    ground: Sequence[pulumi.Resource]
    """What the rollout stands on: on the way down who asks keeps the right to, until nobody
    answers any more."""


def image_digest(image: str) -> str:
    """The SHA-256 of an image that is named by it; of the name of any other, which has then to be
    another one for other content."""
    pinned = forms.IMAGE.parse(image)["digest"].removeprefix("sha256:")
    return pinned or hashlib.sha256(image.encode()).hexdigest()


def content(sha256: str, image: str, container: Mapping[str, Any]) -> str:
    """What tells a version that is uploaded from others of its model, as 8 hexadecimal digits."""
    text = "\n".join([sha256, image, json.dumps(container, sort_keys=True)])
    return hashlib.sha256(text.encode()).hexdigest()[:8]


class Serving(pulumi.ComponentResource):
    """Owns: the registered model versions, and the rollout.

    Leaves alone: models that are looked up.

    The rollout owns the traffic split, so the endpoint does not declare one. A version that is
    uploaded is called by its content: what was a canary and becomes its model's own stays the same
    resource, and nobody's deletion takes it away.
    """

    deployed_models: pulumi.Output[object]
    rolled_out: pulumi.Output[object]
    versions: Mapping[str, pulumi.Output[str]]
    """Version's name → projects/P/locations/L/models/M@V."""
    service_attachments: pulumi.Output[list[str] | None]
    """What a forwarding rule is pointed at, once there are models on a private endpoint."""

    def __init__(
        self, name: str, args: ServingArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("predictive-maintenance:components:Serving", name, None, opts)
        settings = args.settings
        self._content: set[str] = set()
        self.versions = {
            it.name: self._registered(it, args).version_name for it in settings.versions
        }
        guard = settings.canary_guard
        canaries = [
            CanaryArgs(model=self.versions[it.name], predecessor=self.versions[it.model.id])
            for it in settings.versions
            if it.canary
        ]
        rollout = ModelRollout(
            "rollout",
            endpoint=args.endpoint,
            models=[
                {
                    "model": self.versions[name],
                    "traffic": model.traffic,
                    "machine_type": served.machine_type,
                    "min_replicas": served.min_replicas,
                    "max_replicas": served.max_replicas,
                    "accelerator_type": served.gpus.type or None,
                    "accelerator_count": served.gpus.count or None,
                    "autoscaling": served.targets,
                    "service_account": settings.email(permissions.SERVING),
                    "display_name": model.id,
                    "disable_container_logging": not served.container_logging or None,
                    "required_replicas": served.required,
                    "spot": served.spot or None,
                    "enable_access_logging": served.access_logging or None,
                }
                for name, model, served in (
                    (it.name, it.model, settings.served(it.model)) for it in settings.versions
                )
            ],
            canaries=canaries or None,
            canary_guard=CanaryGuardArgs(**guard.model_dump()) if canaries else None,
            deadline_seconds=settings.rollout_deadline,
            adopt_foreign=settings.adopt_foreign or None,
            opts=pulumi.ResourceOptions(
                parent=self, protect=settings.protect, depends_on=args.ground
            ),
        )
        self.deployed_models = rollout.deployed_models
        self.rolled_out = rollout.rolled_out
        self.service_attachments = rollout.service_attachments
        self.register_outputs({})

    def _registered(self, version: Version, args: ServingArgs) -> RegisteredModel:
        model, settings = version.model, args.settings
        if model.source:
            child = pulumi.ResourceOptions(parent=self)
            return RegisteredModel(version.name, model=model.source, opts=child)
        image, artifact = settings.image(model), args.artifacts.get(version.name)
        sha256 = artifact.sha256 if artifact else image_digest(image)
        container = settings.served(model).container.specification
        name = f"{model.id}-{content(sha256, image, container)}"
        if name in self._content:
            raise pulumi.RunError(
                f"models: {model.id} and its canary have the same content: take `canary` out, or "
                "give it another artifact"
            )
        self._content.add(name)
        former = former_urn("Serving", REGISTERED_MODEL, model.id)
        return RegisteredModel(
            name,
            project=settings.project,
            location=settings.region,
            model_id=settings.named(model.id),
            display_name=model.id,
            labels=settings.labels or None,
            kms_key=settings.kms_key,
            artifact_uri=artifact.uri if artifact else None,
            artifact_hash=sha256,
            container_image_uri=image,
            container=container or None,
            is_default=False if version.canary else None,
            opts=pulumi.ResourceOptions(parent=self, aliases=None if version.canary else [former]),
        )
