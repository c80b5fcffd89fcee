"""What the endpoint is asked, watched for drift of the sensors, with an alert for each of them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pulumi
import pulumi_gcp as gcp

from components import settings as stack
from vertexops.sdk import MonitoringJob, MonitoringObjectiveArgs

NAME: Final = "predictive-maintenance-drift"
LOG: Final = "aiplatform.googleapis.com%2Fmodel_monitoring_anomaly"
TITLE: Final = "Drift of "
HOUR, DAY = 3600, 86_400


@dataclass(frozen=True)
class Trained:
    """A version's full name, the `gs://` name of what it was trained on, and what it predicts."""

    version: pulumi.Input[str]
    uri: pulumi.Input[str]
    target: str


@dataclass(frozen=True)
class DriftArgs:
    settings: stack.Settings
    drift: stack.Drift
    bucket: pulumi.Input[str]
    """Of the artifacts."""
    trained: Sequence[Trained]
    endpoint: pulumi.Input[str]
    """Its full name."""
    models: pulumi.Output[Any]
    """Its deployed models, as `ModelRollout` gives them."""
    channels: Sequence[pulumi.Input[str]]
    """Who is told beside the setting's own: the stack's notification channels."""
    beside: pulumi.ProviderResource
    """Stores what a reading looks like and declares the alerts; the watch is the deployer's work,
    for it follows the rollout."""


class Drift(pulumi.ComponentResource):
    """Owns: the monitoring job of the endpoint, the schema of a reading that it goes by, and an
    alert policy for each sensor.

    Leaves alone: the training data (`Artifacts`), and the table of sampled requests, which Vertex
    AI makes and keeps when the job is gone.

    An entry of the anomaly log names all sensors that drifted in a window, so a label taken out of
    it could name but one of them: each sensor has a policy that finds its own name in the entry.
    """

    def __init__(
        self, name: str, args: DriftArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("predictive-maintenance:components:Drift", name, None, opts)
        self._args = args
        drift, text = args.drift, schema(args.settings.sensors)
        digest = hashlib.sha256(text.encode()).hexdigest()[:12]
        stored = gcp.storage.BucketObject(
            "reading-schema",
            bucket=args.bucket,
            name=f"monitoring/{digest}/reading.yaml",
            content=text,
            content_type="application/yaml",
            opts=pulumi.ResourceOptions(parent=self, provider=args.beside),
        )
        trained = [[it.version, it.uri, it.target] for it in args.trained]
        MonitoringJob(
            "drift",
            endpoint=args.endpoint,
            display_name=NAME,
            objectives=pulumi.Output.all(args.models, trained).apply(
                lambda known: [
                    self._objective(
                        model, {version: (uri, target) for version, uri, target in known[1]}
                    )
                    for model in known[0]
                ]
            ),
            sampling_rate=drift.sample_percent / 100,
            interval_hours=drift.interval_hours,
            log_days=drift.log_days,
            emails=list(drift.emails),
            notification_channels=[*drift.channels, *args.channels],
            enable_logging=True,
            enable_pipeline_logs=True,
            analysis_instance_schema_uri=pulumi.Output.concat(
                "gs://", args.bucket, "/", stored.name
            ),
            kms_key=args.settings.kms_key,
            opts=pulumi.ResourceOptions(parent=self),
        )
        for sensor in args.settings.sensors:
            self._alert(sensor)
        self.register_outputs({})

    def _objective(
        self, deployed: Any, trained: Mapping[str, tuple[str, str]]
    ) -> MonitoringObjectiveArgs:
        """Drift of a deployed model's readings, and skew where it is known what it learned from."""
        drift = self._args.drift
        thresholds = dict(drift.thresholds)
        if deployed.model not in trained:
            return MonitoringObjectiveArgs(
                deployed_model_id=deployed.id,
                drift_thresholds=thresholds,
                default_drift_threshold=drift.threshold,
            )
        uri, target = trained[deployed.model]
        return MonitoringObjectiveArgs(
            deployed_model_id=deployed.id,
            drift_thresholds=thresholds,
            default_drift_threshold=drift.threshold,
            skew_thresholds=thresholds,
            default_skew_threshold=drift.threshold,
            training_uri=uri,
            training_format=uri.rpartition(".")[2],
            training_target=target,
        )

    def _alert(self, sensor: str) -> None:
        settings, drift = self._args.settings, self._args.drift
        found = anomalies(settings.project, sensor)
        gcp.monitoring.AlertPolicy(
            f"drift-{sensor}",
            project=settings.project,
            display_name=f"{TITLE}{sensor}",
            combiner="OR",
            severity="WARNING",
            conditions=[
                {
                    "display_name": f"{sensor} is far from what it was",
                    "condition_matched_log": {"filter": found},
                }
            ],
            alert_strategy={
                "notification_rate_limit": {"period": f"{drift.interval_hours * HOUR}s"},
                # Two looks without it; Google's most is a week.
                "auto_close": f"{min(2 * drift.interval_hours * HOUR, 7 * DAY)}s",
            },
            documentation={
                "mime_type": "text/markdown",
                "content": RUNBOOK.format(sensor=sensor, filter=found),
            },
            notification_channels=[*drift.channels, *self._args.channels],
            opts=pulumi.ResourceOptions(parent=self, provider=self._args.beside),
        )


RUNBOOK: Final = (
    "The readings of `{sensor}` that the endpoint was asked about are far from those before, or "
    "from those that the model learned from.\n\n"
    "Query, in Logs Explorer:\n\n```\n{filter}\n```\n\n"
    "First, look whether it is one device (a sensor that broke, a changed unit) or all of them: "
    "then the world changed, and the model has to be trained again."
)


def anomalies(project: str, sensor: str) -> str:
    """Finds the anomalies of a sensor (docs vertex-ai/docs/model-monitoring/using-model-monitoring,
    "Configure alerts for feature anomalies")."""
    return "\n".join(
        (
            f'logName="projects/{project}/logs/{LOG}"',
            'resource.type="aiplatform.googleapis.com/ModelDeploymentMonitoringJob"',
            f'jsonPayload.featureAnomalies.featureDisplayName="{sensor}"',
        )
    )


def schema(sensors: tuple[str, ...]) -> str:
    """A reading as the endpoint is asked: a list, in the order of `sensors`.

    Without it, features of lists have names of Google's own (docs
    vertex-ai/docs/model-monitoring/schemas).
    """
    # In quotes, for a sensor may be called as YAML calls a truth.
    lines = ["type: array", "properties:"]
    lines += [f'  "{sensor}": {{type: number}}' for sensor in sensors]
    lines += ["required:", *(f'  - "{sensor}"' for sensor in sensors)]
    return "\n".join([*lines, ""])
