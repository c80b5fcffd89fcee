"""The endpoint, its request log, and who may ask it for predictions."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_gcp as gcp

from components import permissions, telemetry
from components.settings import Settings


@dataclass(frozen=True)
class EndpointArgs:
    settings: Settings
    platform: pulumi.ProviderResource
    """Declares the request log and the grants on the endpoint; the endpoint is the deployer's
    work."""
    hooks: pulumi.ResourceHookBinding | None = None
    """Of what the settings' key encrypts."""


class Endpoint(pulumi.ComponentResource):
    """Owns: the endpoint without its models, the request log's dataset, and the grants to predict.

    Leaves alone: models and traffic, which are the rollout's (`Serving`); the log table, which
    Vertex AI creates.

    It belongs to the foundation, for it carries grants: who rolls out may change no access, and
    Vertex AI takes no condition on a name by which a grant on the project could be kept to one
    endpoint (docs iam/docs/conditions-resource-attributes).
    """

    id: pulumi.Output[str]
    dedicated_dns: pulumi.Output[str]

    def __init__(
        self, name: str, args: EndpointArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("predictive-maintenance:components:Endpoint", name, None, opts)
        settings = args.settings
        log = gcp.bigquery.Dataset(
            "request-log",
            project=settings.project,
            dataset_id=settings.log_dataset,
            location=settings.region,
            # Of partitioned tables; whether Vertex AI partitions its own was not found.
            default_partition_expiration_ms=settings.request_log.days * telemetry.DAY_MS or None,
            default_encryption_configuration={"kms_key_name": settings.kms_key}
            if settings.kms_key
            else None,
            # Always, for a change of it would be sent to BigQuery as an update, which the platform
            # has no permission for without labels; `protect` keeps the dataset.
            delete_contents_on_destroy=True,
            opts=pulumi.ResourceOptions(
                parent=self,
                provider=args.platform,
                protect=settings.protect,
                hooks=args.hooks,
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
            # Beside the other the gcp plugin takes not even a no.
            dedicated_endpoint_enabled=None if settings.allowlist else settings.dedicated_endpoint,
            encryption_spec={"kms_key_name": settings.kms_key} if settings.kms_key else None,
            private_service_connect_config={
                "enable_private_service_connect": True,
                "project_allowlists": settings.allowlist,
            }
            if settings.allowlist
            else None,
            predict_request_response_logging_config={
                "enabled": settings.request_log_percent > 0,
                "sampling_rate": settings.request_log_percent / 100,
                "bigquery_destination": {
                    "output_uri": pulumi.Output.concat(
                        f"bq://{settings.project}.",
                        log.dataset_id,
                        f".{settings.log_table}",
                    )
                },
            }
            if settings.request_log_percent
            else None,
            # The region only names the host. An endpoint that was imported has none in the state,
            # and giving it one would replace it.
            opts=pulumi.ResourceOptions(
                parent=self,
                protect=settings.protect,
                ignore_changes=["region"],
                hooks=args.hooks,
            ),
        )
        gcp.vertex.AiEndpointIamMember(
            "telemetry-predictor",
            endpoint=endpoint.name,
            project=settings.project,
            location=settings.region,
            role=settings.role_name("predictor"),
            member=settings.member(permissions.TELEMETRY),
            opts=pulumi.ResourceOptions(parent=self, provider=args.platform),
        )
        for caller in settings.callers:
            gcp.vertex.AiEndpointIamMember(
                f"caller-{caller}",
                endpoint=endpoint.name,
                project=settings.project,
                location=settings.region,
                role=settings.role_name("predictor"),
                member=caller,
                opts=pulumi.ResourceOptions(parent=self, provider=args.platform),
            )
        self.id = endpoint.id
        self.dedicated_dns = endpoint.dedicated_endpoint_dns
        self.register_outputs({"endpoint": self.id})
