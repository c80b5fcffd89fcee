"""What devices publish to, and what is kept of it: topics, their schema, tables and a view."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

import pulumi
import pulumi_gcp as gcp

from components.settings import Settings

TOPIC: Final = "telemetry"
DEAD_LETTERS: Final = "telemetry-dead-letters"
DATASET: Final = "telemetry"
READINGS, PREDICTIONS, SCORED, DAILY = "readings", "predictions", "scored_readings", "daily_risk"
DAY_MS: Final = 24 * 60 * 60 * 1000

# What a BigQuery subscription adds (docs pubsub/docs/bigquery, "Write metadata").
METADATA: Final = (
    ("subscription_name", "STRING"),
    ("message_id", "STRING"),
    ("publish_time", "TIMESTAMP"),
    ("attributes", "JSON"),
)


@dataclass(frozen=True)
class TelemetryArgs:
    settings: Settings
    hooks: pulumi.ResourceHookBinding | None = None
    """Of what the settings' key encrypts."""


class Telemetry(pulumi.ComponentResource):
    """Owns: the topic of the devices and its schema, the dead-letter topic with a subscription,
    and the dataset with readings, predictions and the views that join them.

    Leaves alone: how readings come to be predictions (`Routing`), which needs the endpoint.

    The schema is checked when a device publishes: what is no reading never gets in, and its sender
    hears why. What is a reading, but one that no model could have meant, gets in and is found
    among the dead letters.
    """

    topic: gcp.pubsub.Topic

    def __init__(
        self, name: str, args: TelemetryArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("predictive-maintenance:components:Telemetry", name, None, opts)
        self._settings = settings = args.settings
        child = pulumi.ResourceOptions(parent=self)
        encrypted = pulumi.ResourceOptions(parent=self, hooks=args.hooks)
        self._kept = pulumi.ResourceOptions(parent=self, protect=settings.protect)
        stored: gcp.pubsub.TopicMessageStoragePolicyArgsDict = {
            "allowed_persistence_regions": list(settings.telemetry_regions or (settings.region,))
        }
        schema = gcp.pubsub.Schema(
            "reading",
            project=settings.project,
            name=settings.named("reading"),
            type="AVRO",
            definition=avro(settings.sensors),
            opts=child,
        )
        self.topic = gcp.pubsub.Topic(
            TOPIC,
            project=settings.project,
            name=settings.named(TOPIC),
            message_storage_policy=stored,
            kms_key_name=settings.kms_key,
            schema_settings={"schema": schema.id, "encoding": "JSON"},
            opts=encrypted,
        )
        dead_letters = gcp.pubsub.Topic(
            DEAD_LETTERS,
            project=settings.project,
            name=settings.named(DEAD_LETTERS),
            message_storage_policy=stored,
            kms_key_name=settings.kms_key,
            opts=encrypted,
        )
        # Without it, dead letters would be lost as soon as they come.
        gcp.pubsub.Subscription(
            DEAD_LETTERS,
            project=settings.project,
            name=settings.named(DEAD_LETTERS),
            topic=dead_letters.id,
            message_retention_duration=f"{settings.backlog_days * 86_400}s",
            expiration_policy={"ttl": ""},
            opts=child,
        )
        self._dataset = gcp.bigquery.Dataset(
            "telemetry-dataset",
            project=settings.project,
            dataset_id=settings.dataset(DATASET),
            location=settings.region,
            default_encryption_configuration={"kms_key_name": settings.kms_key}
            if settings.kms_key
            else None,
            # See Serving: a change of it could not be made.
            delete_contents_on_destroy=True,
            opts=pulumi.ResourceOptions.merge(self._kept, encrypted),
        )
        sensors = [(sensor, "FLOAT64") for sensor in settings.sensors]
        reading = [("device", "STRING"), ("time", "TIMESTAMP")]
        tables = [
            self._table(READINGS, [*reading, *sensors, *METADATA]),
            self._table(PREDICTIONS, [*reading, ("risk", "FLOAT64"), *METADATA]),
        ]
        scored = self._view(SCORED, scored_readings(settings), tables)
        self._view(DAILY, daily_risk(settings), [scored])
        self.register_outputs({"topic": self.topic.id})

    def _table(self, table: str, columns: list[tuple[str, str]]) -> gcp.bigquery.Table:
        return gcp.bigquery.Table(
            table,
            project=self._settings.project,
            dataset_id=self._dataset.dataset_id,
            table_id=table,
            schema=json.dumps([{"name": name, "type": kind} for name, kind in columns]),
            time_partitioning={
                "type": "DAY",
                "field": "publish_time",
                "expiration_ms": self._settings.telemetry_days * DAY_MS,
            },
            clusterings=["device"],
            # What the dataset says for new tables, or the gcp plugin would replace the table for it
            # (terraform-google-bigquery#120). With another key it would too, and what was kept
            # would be lost: a table keeps the key that it was made with.
            encryption_configuration={"kms_key_name": self._settings.kms_key}
            if self._settings.kms_key
            else None,
            deletion_protection=False,  # `protect` is what keeps it
            opts=pulumi.ResourceOptions.merge(
                self._kept, pulumi.ResourceOptions(ignore_changes=["encryptionConfiguration"])
            ),
        )

    def _view(self, view: str, query: str, reads: list[Any]) -> gcp.bigquery.Table:
        return gcp.bigquery.Table(
            view,
            project=self._settings.project,
            dataset_id=self._dataset.dataset_id,
            table_id=view,
            view={"query": query, "use_legacy_sql": False},
            deletion_protection=False,
            # Whether Google says of a view, which keeps nothing, that it is encrypted: not found.
            opts=pulumi.ResourceOptions(
                parent=self, depends_on=reads, ignore_changes=["encryptionConfiguration"]
            ),
        )


def topic_id(settings: Settings, topic: str) -> str:
    """Full name of a topic of this component."""
    return f"projects/{settings.project}/topics/{settings.named(topic)}"


def table_name(settings: Settings, of: str) -> str:
    """A table of this component as a subscription takes it."""
    return f"{settings.project}.{settings.dataset(DATASET)}.{of}"


def avro(sensors: tuple[str, ...]) -> str:
    """The schema of a reading: the device, its clock in RFC 3339, and a number for each sensor."""
    fields: list[dict[str, str]] = [
        {"name": "device", "type": "string"},
        {"name": "time", "type": "string"},
        *({"name": sensor, "type": "double"} for sensor in sensors),
    ]
    return json.dumps({"type": "record", "name": "Reading", "fields": fields})


def scored_readings(settings: Settings) -> str:
    """Every reading with its prediction; none yet where `risk` is null."""
    readings, predictions = (table_name(settings, it) for it in (READINGS, PREDICTIONS))
    sensors = ", ".join(f"r.{sensor}" for sensor in settings.sensors)
    return (
        f"SELECT r.device, r.time, {sensors}, p.risk, r.message_id, r.publish_time\n"
        f"FROM `{readings}` AS r\n"
        f"LEFT JOIN `{predictions}` AS p ON p.message_id = r.message_id"
    )


def daily_risk(settings: Settings) -> str:
    """What a day's report needs: for each device its readings, and how many were at risk."""
    return (
        "SELECT DATE(publish_time) AS day, device, COUNT(*) AS readings, "
        f"COUNTIF(risk > {settings.risk_percent / 100}) AS at_risk, MAX(risk) AS highest_risk\n"
        f"FROM `{table_name(settings, SCORED)}`\n"
        "GROUP BY day, device"
    )
