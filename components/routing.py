"""How a reading comes to be a row, a prediction and an alarm: subscriptions and transforms."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pulumi
import pulumi_gcp as gcp

from components import permissions as table
from components.settings import Settings
from components.telemetry import Telemetry

RISKS: Final = "telemetry-risks"
TRANSFORMS: Final = Path(__file__).parent / "transforms"
ATTEMPTS: Final = 5
"""Deliveries before a message is a dead letter; Pub/Sub's least."""


@dataclass(frozen=True)
class RoutingArgs:
    settings: Settings
    telemetry: Telemetry
    agent: pulumi.Input[str]
    """Pub/Sub's own service agent, as a member."""
    endpoint: pulumi.Input[str]
    """Full name of the endpoint, with models on it."""
    models: pulumi.Input[Any]
    """Its deployed models, as `ModelRollout` gives them."""


class Routing(pulumi.ComponentResource):
    """Owns: the subscriptions that store readings, store predictions and give out readings at risk,
    and who may take messages out of them.

    Leaves alone: topics, tables and who may do what on these (`Telemetry`, `Access`).

    The transforms stand on the subscriptions, not on the topic. A transform that fails on a topic
    refuses whoever publishes, and with him all that he sent in the same call; on a subscription the
    message is tried again and ends among the dead letters, with the reason. The price: a
    subscription's filter sees only what the topic's transforms added, so the alarms come from a
    transform that drops what is below the threshold, and each of the two subscriptions asks the
    endpoint (docs pubsub/docs/smts/smts-overview).
    """

    risks: gcp.pubsub.Subscription

    def __init__(
        self, name: str, args: RoutingArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("predictive-maintenance:components:Routing", name, None, opts)
        self._args, self._settings = args, args.settings
        readings, predictions = args.telemetry.readings, args.telemetry.predictions
        self._subscription(
            "telemetry-readings",
            bigquery_config={
                "table": _named(readings),
                "use_topic_schema": True,
                "write_metadata": True,
            },
        )
        self._subscription(
            "telemetry-predictions",
            bigquery_config={
                "table": _named(predictions),
                "use_table_schema": True,
                "write_metadata": True,
            },
            message_transforms=self._transforms(least_risk=0),
        )
        self.risks = self._subscription(
            RISKS, message_transforms=self._transforms(least_risk=self._settings.risk_percent / 100)
        )
        maintenance = self._settings.member(table.MAINTENANCE)
        for read in (self.risks, args.telemetry.lost):
            self._consumer(read, "riskReader", maintenance)
        self.register_outputs({"risks": self.risks.id})

    def _subscription(self, name: str, **what: Any) -> gcp.pubsub.Subscription:
        settings = self._settings
        made = gcp.pubsub.Subscription(
            name,
            project=settings.project,
            # Whether it keeps an order cannot change: one that takes its place has another name.
            name=subscription(settings, name),
            topic=self._args.telemetry.topic.id,
            enable_message_ordering=settings.order_by_device,
            message_retention_duration=f"{settings.backlog_days * 86_400}s",
            expiration_policy={"ttl": ""},  # never: nobody may be listening for a month
            retry_policy={"minimum_backoff": "10s", "maximum_backoff": "600s"},
            dead_letter_policy={
                "dead_letter_topic": self._args.telemetry.dead_letters.id,
                "max_delivery_attempts": ATTEMPTS,
            },
            opts=pulumi.ResourceOptions(parent=self, protect=settings.protect),
            **what,
        )
        # Pub/Sub takes a message out before it puts it among the dead letters.
        self._consumer(made, "deadLetterTaker", self._args.agent)
        return made

    def _consumer(
        self,
        subscription: gcp.pubsub.Subscription,
        role: str,
        member: pulumi.Input[str],
    ) -> None:
        gcp.pubsub.SubscriptionIAMMember(
            f"{subscription.pulumi_resource_name}-{role}",
            project=self._settings.project,
            subscription=subscription.name,
            role=self._settings.role_name(role),
            member=member,
            opts=pulumi.ResourceOptions(parent=self),
        )

    def _transforms(self, least_risk: float) -> list[dict[str, Any]]:
        """Reading → request → what the endpoint answers → risk."""
        versions = pulumi.Output.from_input(self._args.models).apply(
            lambda models: ",".join(model.model.rpartition("/")[2] for model in models or ())
        )
        request = code("request", SENSORS=list(self._settings.sensors))
        score = versions.apply(
            lambda models: code("score", LEAST_RISK=least_risk, MODEL_VERSIONS=models)
        )
        return [
            {"javascript_udf": {"function_name": "request", "code": request}},
            {
                "ai_inference": {
                    "endpoint": self._args.endpoint,
                    "service_account_email": self._settings.email(table.TELEMETRY),
                }
            },
            {"javascript_udf": {"function_name": "score", "code": score}},
        ]


def subscription(settings: Settings, name: str) -> str:
    """What a subscription of this component is called."""
    return f"{name}-ordered" if settings.order_by_device else name


def code(function: str, **constants: Any) -> str:
    """The JavaScript of a transform, with its constants before it."""
    lines = [f"const {name} = {json.dumps(value)};" for name, value in constants.items()]
    return "\n".join([*lines, (TRANSFORMS / f"{function}.js").read_text()])


def _named(of: gcp.bigquery.Table) -> pulumi.Output[str]:
    return pulumi.Output.concat(of.project, ".", of.dataset_id, ".", of.table_id)
