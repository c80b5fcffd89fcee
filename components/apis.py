"""The Google APIs that the stack calls, switched on and serving."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import pulumi
import pulumi_gcp as gcp

from vertexops.sdk import ServicesReady

SERVICES: Final = (
    "aiplatform.googleapis.com",
    "bigquery.googleapis.com",
    "cloudresourcemanager.googleapis.com",
    "iam.googleapis.com",
    "iamcredentials.googleapis.com",
    "logging.googleapis.com",
    "monitoring.googleapis.com",
    "pubsub.googleapis.com",
    "serviceusage.googleapis.com",
    "storage.googleapis.com",
    "sts.googleapis.com",
)


@dataclass(frozen=True)
class ApisArgs:
    project: str
    region: str
    readiness_seconds: int


class Apis(pulumi.ComponentResource):
    """Owns: the enablement of each API, and the wait until all of them answer.

    Leaves alone: APIs that are on but not listed. Taking one off the list, or destroying the stack,
    never switches an API off underneath whatever else is calling it.
    """

    ready: pulumi.Resource
    """Depend on this to be created only when the APIs serve."""

    def __init__(
        self, name: str, args: ApisArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("predictive-maintenance:components:Apis", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        enabled = [
            gcp.projects.Service(
                service.partition(".")[0],
                project=args.project,
                service=service,
                disable_on_destroy=False,
                opts=child,
            )
            for service in SERVICES
        ]
        # An API that was just enabled refuses calls for minutes, with SERVICE_DISABLED.
        self.ready = ServicesReady(
            "apis-ready",
            project=args.project,
            region=args.region,
            services=list(SERVICES),
            deadline_seconds=args.readiness_seconds,
            opts=pulumi.ResourceOptions(parent=self, depends_on=enabled),
        )
        self.register_outputs({})
