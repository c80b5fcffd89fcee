"""What is written down of the endpoint's use, and the topic on which incidents are told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import pulumi
import pulumi_gcp as gcp

from components.settings import Settings

AUDITED: Final = ("ADMIN_READ", "DATA_READ", "DATA_WRITE")


@dataclass(frozen=True)
class AuditArgs:
    settings: Settings
    hooks: pulumi.ResourceHookBinding | None = None
    """Of what the settings' key encrypts."""


class Audit(pulumi.ComponentResource):
    """Owns: Vertex AI's audit configuration, the topic of incidents and who publishes on it.

    Leaves alone: the audit configuration of other services. Vertex AI's is set as a whole: what
    somebody else configured for that service in this project is replaced.

    Predictions are in the audit log only because Data Access is on, and each is an entry that
    Cloud Logging charges for (docs/alerts.md).
    """

    def __init__(
        self, name: str, args: AuditArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("predictive-maintenance:components:Audit", name, None, opts)
        self._settings = settings = args.settings
        self._child = child = pulumi.ResourceOptions(parent=self)
        gcp.projects.IAMAuditConfig(
            "vertex-audit",
            project=settings.project,
            service="aiplatform.googleapis.com",
            audit_log_configs=[{"log_type": kind} for kind in AUDITED],
            # Another stack in the project has the same one, which would go with this.
            opts=pulumi.ResourceOptions(parent=self, retain_on_delete=True)
            if settings.name_prefix
            else child,
        )
        if settings.alerts.topic:
            self._topic(settings.alerts.topic, args.hooks)
        self.register_outputs({})

    def _topic(self, topic: str, hooks: pulumi.ResourceHookBinding | None) -> None:
        """A topic on which Monitoring's service agent may publish, and nobody else of the stack's.

        Google makes the agent with the first Pub/Sub channel, and refuses a grant before that.
        """
        settings = self._settings
        stored: gcp.pubsub.TopicMessageStoragePolicyArgsDict = {
            "allowed_persistence_regions": [settings.region]
        }
        made = gcp.pubsub.Topic(
            "incidents",
            project=settings.project,
            name=topic,
            message_storage_policy=stored,
            kms_key_name=settings.kms_key,
            opts=pulumi.ResourceOptions(parent=self, hooks=hooks),
        )
        agent = gcp.projects.ServiceIdentity(
            "monitoring-agent",
            project=settings.project,
            service="monitoring.googleapis.com",
            opts=self._child,
        )
        gcp.pubsub.TopicIAMMember(
            "incident-publisher",
            project=settings.project,
            topic=made.name,
            role=settings.role_name("incidentPublisher"),
            member=agent.member,
            opts=self._child,
        )
