"""How a reading comes to be a row, a prediction and an alarm: subscriptions and transforms."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pulumi
import pulumi_gcp as gcp

from components import permissions as table
from components.settings import Settings
from components.telemetry import (
    DEAD_LETTERS,
    PREDICTIONS,
    READINGS,
    TOPIC,
    table_name,
    topic_id,
)

STORED, SCORED, RISKS = "telemetry-readings", "telemetry-predictions", "telemetry-risks"
TRANSFORMS: Final = Path(__file__).parent / "transforms"
ATTEMPTS: Final = 5
"""Deliveries before a message is a dead letter; Pub/Sub's least."""


@dataclass(frozen=True)
class RoutingArgs:
    settings: Settings
    endpoint: pulumi.Input[str]
    """Full name of the endpoint, with models on it."""
    models: pulumi.Input[Any]
    """Its deployed models, as `ModelRollout` gives them."""


class Routing(pulumi.ComponentResource):
    """Owns: the subscriptions that store readings, store predictions and give out readings at risk.

    Leaves alone: topics, tables (`Telemetry`), and who may take messages out (`Consumers`,
    `Access`).

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
        self._subscription(
            STORED,
            bigquery_config={
                "table": table_name(self._settings, READINGS),
                "use_topic_schema": True,
                "write_metadata": True,
            },
        )
        self._subscription(
            SCORED,
            bigquery_config={
                "table": table_name(self._settings, PREDICTIONS),
                "use_table_schema": True,
                "write_metadata": True,
            },
            message_transforms=self._transforms(least_risk=0),
        )
        self.risks = self._subscription(
            RISKS, message_transforms=self._transforms(least_risk=self._settings.risk_percent / 100)
        )
        self.register_outputs({"risks": self.risks.id})

    def _subscription(self, name: str, **what: Any) -> gcp.pubsub.Subscription:
        settings = self._settings
        return gcp.pubsub.Subscription(
            name,
            project=settings.project,
            # Whether it keeps an order cannot change: one that takes its place has another name.
            name=subscription(settings, name),
            topic=topic_id(settings, TOPIC),
            enable_message_ordering=settings.order_by_device,
            message_retention_duration=f"{settings.backlog_days * 86_400}s",
            expiration_policy={"ttl": ""},  # never: nobody may be listening for a month
            retry_policy={"minimum_backoff": "10s", "maximum_backoff": "600s"},
            dead_letter_policy={
                "dead_letter_topic": topic_id(settings, DEAD_LETTERS),
                "max_delivery_attempts": ATTEMPTS,
            },
            opts=pulumi.ResourceOptions(parent=self, protect=settings.protect),
            **what,
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
    return settings.named(f"{name}-ordered" if settings.order_by_device else name)


def code(function: str, **constants: Any) -> str:
    """The JavaScript of a transform, with its constants before it."""
    lines = [f"const {name} = {json.dumps(value)};" for name, value in constants.items()]
    return "\n".join([*lines, (TRANSFORMS / f"{function}.js").read_text()])


@dataclass(frozen=True)
class ConsumersArgs:
    settings: Settings
    agent: pulumi.Input[str]
    """Pub/Sub's own service agent, as a member."""
    of: Sequence[pulumi.Resource]
    """Whose the subscriptions are."""


class Consumers(pulumi.ComponentResource):
    """Owns: who may take messages out of the subscriptions, each of its own.

    Only where one stack declares all: a rollout by itself may grant nothing (`Access` does then).
    """

    def __init__(
        self, name: str, args: ConsumersArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("predictive-maintenance:components:Consumers", name, None, opts)
        self._settings = settings = args.settings
        # Of each grant, not of this component: where a subscription is replaced, the engine takes
        # the old grant away first only if the grant itself depends on it.
        self._child = pulumi.ResourceOptions(parent=self, depends_on=args.of)
        for name in (STORED, SCORED, RISKS):
            # Pub/Sub takes a message out before it puts it among the dead letters.
            self._may_consume(subscription(settings, name), name, "deadLetterTaker", args.agent)
        maintenance = settings.member(table.MAINTENANCE)
        self._may_consume(subscription(settings, RISKS), RISKS, "riskReader", maintenance)
        self._may_consume(settings.named(DEAD_LETTERS), DEAD_LETTERS, "riskReader", maintenance)
        self.register_outputs({})

    def _may_consume(self, of: str, name: str, role: str, member: pulumi.Input[str]) -> None:
        gcp.pubsub.SubscriptionIAMMember(
            f"{name}-{role}",
            project=self._settings.project,
            subscription=of,
            role=self._settings.role_name(role),
            member=member,
            opts=self._child,
        )
