"""The endpoint, the models on it with their traffic, and its request log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_gcp as gcp

from components import permissions
from components.artifacts import Artifact
from components.settings import Model, Settings
from vertexops.sdk import ModelRollout, RegisteredModel

LOG_DATASET = "predictive_maintenance"


@dataclass(frozen=True)
class ServingArgs:
    settings: Settings
    artifacts: Mapping[str, Artifact]
    """Model id → its uploaded artifact, for the models that have one."""
    platform: pulumi.ProviderResource
    """Declares the request log and the grant on the endpoint; all else is the deployer's work."""


class Serving(pulumi.ComponentResource):
    """Owns: the endpoint, the registered model versions, the rollout and the request log's dataset.

    Leaves alone: models that are looked up; the log table, which Vertex AI creates.

    The rollout owns the traffic split, so the endpoint does not declare one.
    """

    endpoint: pulumi.Output[str]
    dedicated_dns: pulumi.Output[str]
    deployed_models: pulumi.Output[object]

    def __init__(
        self, name: str, args: ServingArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("predictive-maintenance:components:Serving", name, None, opts)
        settings = args.settings
        log = gcp.bigquery.Dataset(
            "request-log",
            project=settings.project,
            dataset_id=LOG_DATASET,
            location=settings.region,
            # Always, for a change of it would be sent to BigQuery as an update, which the platform
            # has no permission for; `protect` keeps the dataset.
            delete_contents_on_destroy=True,
            opts=pulumi.ResourceOptions(
                parent=self, provider=args.platform, protect=settings.protect
            ),
        )
        endpoint = gcp.vertex.AiEndpoint(
            "endpoint",
            name=settings.endpoint_id,
            project=settings.project,
            location=settings.region,
            region=settings.region,
            display_name="predictive-maintenance",
            description="Predicts equipment failures from device telemetry",
            dedicated_endpoint_enabled=settings.dedicated_endpoint,
            predict_request_response_logging_config={
                "enabled": settings.request_log_percent > 0,
                "sampling_rate": settings.request_log_percent / 100,
                "bigquery_destination": {
                    "output_uri": pulumi.Output.concat(
                        f"bq://{settings.project}.",
                        log.dataset_id,
                        # The endpoint makes its table, which "must not exist" (discovery document,
                        # BigQueryDestination.outputUri): one that takes its place has another.
                        f".request_response_{settings.endpoint_id}",
                    )
                },
            }
            if settings.request_log_percent
            else None,
            # The region only names the host. An endpoint that was imported has none in the state,
            # and giving it one would replace it.
            opts=pulumi.ResourceOptions(
                parent=self, protect=settings.protect, ignore_changes=["region"]
            ),
        )
        predictor = gcp.vertex.AiEndpointIamMember(
            "telemetry-predictor",
            endpoint=endpoint.name,
            project=settings.project,
            location=settings.region,
            role=settings.role_name("predictor"),
            member=settings.member(permissions.TELEMETRY),
            opts=pulumi.ResourceOptions(parent=self, provider=args.platform),
        )
        rollout = ModelRollout(
            "rollout",
            endpoint=endpoint.id,
            models=[
                {
                    "model": self._registered(model, args).version_name,
                    "traffic": model.traffic,
                    "machine_type": settings.machine_type,
                    "min_replicas": settings.min_replicas,
                    "max_replicas": settings.max_replicas,
                    "autoscaling": settings.autoscaling.targets,
                    "service_account": settings.email(permissions.SERVING),
                    "display_name": model.id,
                }
                for model in settings.models
            ],
            # On the way down who asks keeps the right to until nobody answers any more.
            opts=pulumi.ResourceOptions(
                parent=self, protect=settings.protect, depends_on=[predictor]
            ),
        )
        self.endpoint = endpoint.id
        self.dedicated_dns = endpoint.dedicated_endpoint_dns
        self.deployed_models = rollout.deployed_models
        self.register_outputs({"endpoint": self.endpoint})

    def _registered(self, model: Model, args: ServingArgs) -> RegisteredModel:
        child = pulumi.ResourceOptions(parent=self)
        if model.source:
            return RegisteredModel(model.id, model=model.source, opts=child)
        artifact, settings = args.artifacts[model.id], args.settings
        return RegisteredModel(
            model.id,
            project=settings.project,
            location=settings.region,
            model_id=model.id,
            display_name=model.id,
            artifact_uri=artifact.uri,
            artifact_hash=artifact.sha256,
            container_image_uri=settings.serving_container,
            opts=child,
        )
