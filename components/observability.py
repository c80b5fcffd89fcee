"""Who is told when something is wrong: alerts, an objective and a dashboard."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import pulumi
import pulumi_gcp as gcp

from components.alerts import (
    ALERTS,
    DENIED,
    FAILED,
    KEPT_QUIET,
    OBJECTIVE,
    SERVICE,
    WINDOW,
    Alert,
    of_endpoint,
)
from components.dashboard import DENIALS, dashboard
from components.settings import Settings

OBJECTIVE_DAYS: Final = 28


@dataclass(frozen=True)
class ObservabilityArgs:
    settings: Settings


class Observability(pulumi.ComponentResource):
    """Owns: the metric of denials, an availability objective, the alerts (`alerts.py`), their
    channels, and the dashboard.

    Leaves alone: what is logged, and the topic on which incidents are told (`Audit`).
    """

    channels: list[pulumi.Output[str]]
    """Names of the channels that incidents are told on."""

    def __init__(
        self, name: str, args: ObservabilityArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("predictive-maintenance:components:Observability", name, None, opts)
        self._settings = settings = args.settings
        self._child = child = pulumi.ResourceOptions(parent=self)
        gcp.logging.Metric(
            DENIALS,
            project=settings.project,
            name=settings.named(DENIALS),
            description="Denials, and errors that denials hide behind",
            filter=DENIED,
            metric_descriptor={
                "metric_kind": "DELTA",
                "value_type": "INT64",
                "labels": [{"key": "service"}],
            },
            label_extractors={"service": "EXTRACT(protoPayload.serviceName)"},
            opts=child,
        )
        slo = self._objective()
        self.channels = [*map(self._mail, settings.alerts.emails)]
        if settings.alerts.topic:
            self.channels.append(self._topic(settings.alerts.topic))
        for alert in ALERTS:
            if alert.when(settings):
                self._alert(alert, slo)
        gcp.monitoring.Dashboard(
            "dashboard", project=settings.project, dashboard_json=dashboard(settings), opts=child
        )
        self.register_outputs({})

    def _objective(self) -> gcp.monitoring.Slo:
        settings = self._settings
        service = gcp.monitoring.CustomService(
            "service",
            project=settings.project,
            service_id=settings.named(SERVICE),
            display_name="Predictive maintenance",
            opts=self._child,
        )
        return gcp.monitoring.Slo(
            "availability",
            project=settings.project,
            service=service.service_id,
            slo_id=OBJECTIVE,
            display_name=f"{settings.alerts.availability_percent:g} % of answers are no failures",
            goal=settings.alerts.availability_percent / 100,
            rolling_period_days=OBJECTIVE_DAYS,
            request_based_sli={
                "good_total_ratio": {
                    "total_service_filter": of_endpoint(settings, "response_count"),
                    "bad_service_filter": of_endpoint(settings, "response_count", FAILED),
                }
            },
            opts=self._child,
        )

    def _mail(self, address: str) -> pulumi.Output[str]:
        channel = gcp.monitoring.NotificationChannel(
            f"mail-{address}",
            project=self._settings.project,
            type="email",
            display_name=f"Predictive maintenance: {address}",
            labels={"email_address": address},
            opts=self._child,
        )
        return channel.name

    def _topic(self, topic: str) -> pulumi.Output[str]:
        channel = gcp.monitoring.NotificationChannel(
            "incidents",
            project=self._settings.project,
            type="pubsub",
            display_name="Predictive maintenance: incidents",
            labels={"topic": f"projects/{self._settings.project}/topics/{topic}"},
            opts=self._child,
        )
        return channel.name

    def _alert(self, alert: Alert, slo: gcp.monitoring.Slo) -> None:
        settings = self._settings
        conditions: Any = [{"display_name": alert.title, **it} for it in alert.conditions(settings)]
        strategy: gcp.monitoring.AlertPolicyAlertStrategyArgsDict = {"auto_close": KEPT_QUIET}
        if alert.of_log:
            strategy["notification_rate_limit"] = {"period": WINDOW}
        else:
            strategy["notification_prompts"] = ["OPENED", "CLOSED"]
        gcp.monitoring.AlertPolicy(
            alert.name,
            project=settings.project,
            display_name=alert.title,
            severity=alert.severity,
            combiner="OR",
            conditions=conditions,
            notification_channels=self.channels,
            alert_strategy=strategy,
            documentation={
                "content": alert.documentation(settings.project, settings.name_prefix),
                "mime_type": "text/markdown",
            },
            opts=pulumi.ResourceOptions(parent=self, depends_on=[slo]),
        )
