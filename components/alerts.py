"""What the stack tells people about: each alert, what it means, its query, what to do first.

python -m components.alerts      prints docs/alerts.md
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from components import permissions as table
from components.routing import RISKS, subscription
from components.settings import Alerts, Settings

ONLINE: Final = "aiplatform.googleapis.com/prediction/online/"
ENDPOINT: Final = "aiplatform.googleapis.com/Endpoint"
SUBSCRIPTION: Final = "pubsub.googleapis.com/subscription/"
ROUTED: Final = ("telemetry-readings", "telemetry-predictions", RISKS)
WINDOW: Final = "300s"
SERVICE, OBJECTIVE = "predictive-maintenance", "availability"
KEPT_QUIET: Final = "1800s"
"""After the last entry of a log that raised it, an incident closes."""

# google.rpc.Code: what denials are, and what they hide behind (gcp-facts/07_metrics_alerts.md,
# 02_errors.md): a denied `actAs` is 3, a quota 8, and a service agent's denial 9.
DENIED: Final = (
    "protoPayload.status.code=7"
    ' OR (protoPayload.status.code=3 AND protoPayload.status.message:"permission to act as")'
    ' OR (protoPayload.serviceName="aiplatform.googleapis.com"'
    " AND protoPayload.status.code=(8 OR 9))"
)
ACCESS_CHANGED: Final = (
    'log_id("cloudaudit.googleapis.com/activity") AND severity<ERROR AND protoPayload.methodName=~'
    '"(?i)(setiampolicy|setiampermissions|(create|update|delete|undelete)role'
    '|createserviceaccountkey)$"'
)
# Of federated identities too, which have no address (google/cloud/audit/audit_log.proto).
WHO: Final = {
    "who": "EXTRACT(protoPayload.authenticationInfo.principalSubject)",
    "method": "EXTRACT(protoPayload.methodName)",
}


@dataclass(frozen=True)
class Alert:
    """One alert policy. Texts may name the fields of `Alerts` and the project in braces."""

    name: str
    title: str
    severity: str
    raised: str
    means: str
    query: str
    first: str
    conditions: Callable[[Settings], list[dict[str, Any]]]
    """As `gcp.monitoring.AlertPolicy` takes them, without a name; any of them raises it."""
    when: Callable[[Settings], object] = lambda settings: True
    of_log: bool = False

    def documentation(self, project: str, prefix: str = "") -> str:
        """The runbook, in Markdown; Monitoring sends it along."""
        query = self.query.replace("{project}", project).replace("{prefix}", prefix)
        return (
            f"**What it means.** {self.means}\n\n"
            f"**Query.**\n\n```sh\n{query}\n```\n\n"
            f"**First thing to do.** {self.first}"
        )


# Filters


def of_endpoint(settings: Settings, metric: str, more: str = "") -> str:
    return (
        f'metric.type="{ONLINE}{metric}" AND resource.type="{ENDPOINT}" '
        f'AND resource.labels.endpoint_id="{settings.endpoint_id}"{more}'
    )


def of_subscriptions(settings: Settings, metric: str) -> str:
    """Of those that route readings; dead letters wait for somebody to look at them."""
    names = ", ".join(f'"{subscription(settings, name)}"' for name in ROUTED)
    return (
        f'metric.type="{SUBSCRIPTION}{metric}" AND resource.type="pubsub_subscription" '
        f"AND resource.labels.subscription_id=one_of({names})"
    )


def objective(settings: Settings) -> str:
    """The name of the availability objective."""
    service = f"projects/{settings.project}/services/{settings.named(SERVICE)}"
    return f"{service}/serviceLevelObjectives/{OBJECTIVE}"


FAILED: Final = ' AND metric.labels.response_code="5xx"'
NOT_WELL: Final = ' AND metric.labels.response_code!="2xx"'
OF_MODELS: Final = " AND metric.labels.model_display_name"
TOTAL: Final = ' AND metric.labels.latency_type="total"'


# Conditions


def aligned(aligner: str, period: str = WINDOW, **more: Any) -> dict[str, Any]:
    return {"alignment_period": period, "per_series_aligner": f"ALIGN_{aligner}", **more}


def _above(text: str, threshold: float, how: dict[str, Any], **more: Any) -> list[dict[str, Any]]:
    """Above a threshold for a minute, where there are data: silence closes an incident."""
    return [
        {
            "condition_threshold": {
                "filter": text,
                "aggregations": [how],
                "comparison": "COMPARISON_GT",
                "threshold_value": threshold,
                "duration": "60s",
                "evaluation_missing_data": "EVALUATION_MISSING_DATA_INACTIVE",
                **more,
            }
        }
    ]


def _errors(settings: Settings) -> list[dict[str, Any]]:
    summed = aligned(
        "DELTA",
        cross_series_reducer="REDUCE_SUM",
        group_by_fields=["resource.labels.endpoint_id"],
    )
    return _above(
        of_endpoint(settings, "response_count", NOT_WELL),
        settings.alerts.error_percent / 100,
        summed,
        denominator_filter=of_endpoint(settings, "response_count"),
        denominator_aggregations=[summed],
    )


def _latency(settings: Settings) -> list[dict[str, Any]]:
    text = of_endpoint(settings, "prediction_latencies", TOTAL)
    return _above(text, settings.alerts.latency_ms, aligned("PERCENTILE_95"))


def scaling(settings: Settings) -> dict[int, list[str]]:
    """Models whose replicas can grow, by how many they may have; where both numbers are one, the
    maximum is where they are."""
    found: dict[int, list[str]] = {}
    for model in settings.models:
        if (served := settings.served(model)).scales:
            found.setdefault(served.max_replicas, []).append(model.id)
    return found


def _replicas(settings: Settings) -> list[dict[str, Any]]:
    """One condition, or one for each number of replicas that models may have.

    The name that tells models apart is taken to be the deployed model's, which is its id here;
    Google's list of metrics does not say which it is.
    """
    by_number, text, how = scaling(settings), of_endpoint(settings, "replicas"), aligned("MIN")
    found = []
    for most, ids in by_number.items():
        names = ", ".join(f'"{id}"' for id in ids)
        those = "" if len(ids) == len(settings.models) else f"{OF_MODELS}=one_of({names})"
        found += _above(text + those, most - 0.5, how, duration="600s")
    return found


def _undelivered(settings: Settings) -> list[dict[str, Any]]:
    seconds = settings.alerts.undelivered_minutes * 60
    text = of_subscriptions(settings, "oldest_unacked_message_age")
    return _above(text, seconds, aligned("MAX", "60s"))


def _dead_letters(settings: Settings) -> list[dict[str, Any]]:
    return _above(of_subscriptions(settings, "dead_letter_message_count"), 0, aligned("DELTA"))


def _in_log(text: str) -> Callable[[Settings], list[dict[str, Any]]]:
    """A log-based metric may take ten minutes to be there for an alert, and the first `up` would
    fail (docs/surprises.md); and the log says who it was."""
    return lambda settings: [{"condition_matched_log": {"filter": text, "label_extractors": WHO}}]


def _burns(times: float, lookback: str) -> Callable[[Settings], list[dict[str, Any]]]:
    """docs stackdriver/docs/solutions/slo-monitoring/alerting-on-budget-burn-rate has the rates."""
    return lambda settings: [
        {
            "condition_threshold": {
                "filter": f'select_slo_burn_rate("{objective(settings)}", "{lookback}")',
                "comparison": "COMPARISON_GT",
                "threshold_value": times,
                "duration": "0s",
            }
        }
    ]


def routes(settings: Settings) -> bool:
    return table.ROUTE in settings.capabilities


ALERTS: Final = (
    Alert(
        "errors",
        "Endpoint: answers with errors",
        "ERROR",
        "more than {error_percent} % of the endpoint's answers in 5 minutes were not 2xx",
        "Whoever asks for predictions gets none: 4xx are requests that no model can read, "
        "5xx a model that does not answer.",
        'gcloud logging read \'resource.type="aiplatform.googleapis.com/Endpoint" '
        "AND severity>=ERROR' --freshness=1h --project={project}",
        "See on the dashboard which codes they are. 5xx after a rollout: give the traffic back to "
        "the model before it (`models` in the stack's file, `pulumi up`). 4xx: find the caller "
        "in the audit log, and what changed in its requests.",
        _errors,
    ),
    Alert(
        "latency",
        "Endpoint: slow answers",
        "WARNING",
        "the slowest 5 % of answers of a model took more than {latency_ms} ms over 5 minutes",
        "Predictions come late; telemetry that is routed waits, and piles up.",
        "gcloud ai endpoints list --region=REGION --project={project} "
        "--format='yaml(displayName, deployedModels[].dedicatedResources)'",
        "Look at replicas and CPU on the dashboard: at their maximum, raise `maxReplicas`; "
        "otherwise compare the model's own time (`latency_type=model`) with the overhead.",
        _latency,
    ),
    Alert(
        "replicas",
        "Endpoint: replicas at their maximum",
        "WARNING",
        "a model had as many replicas as it may have for 15 minutes",
        "The endpoint cannot grow any further: more requests make all of them slower.",
        "gcloud alpha services quota list --service=aiplatform.googleapis.com "
        "--consumer=projects/{project} --filter=metric:custom_model_serving_cpus",
        "Raise `maxReplicas` if the serving quota has room for it, and ask for quota if not.",
        _replicas,
        scaling,
    ),
    Alert(
        "undelivered",
        "Telemetry: readings undelivered",
        "ERROR",
        "a reading waited in a subscription for more than {undelivered_minutes} minutes",
        "Readings are not stored, not predicted, or nobody takes the alarms; none is lost as long "
        "as `backlogDays` are not over.",
        "gcloud pubsub subscriptions list --project={project} "
        "--format='table(name, state, bigqueryConfig.state)'",
        "The incident names the subscription. `telemetry-risks`: see whether the maintenance "
        "system pulls. The others: a state other than ACTIVE says what Pub/Sub may not do; see "
        "the alert of denials, too.",
        _undelivered,
        routes,
    ),
    Alert(
        "dead-letters",
        "Telemetry: readings given up",
        "WARNING",
        "a reading became a dead letter in the last 5 minutes",
        "A reading could not be stored or predicted five times: it is malformed, or the endpoint "
        "refused it.",
        "gcloud pubsub subscriptions pull {prefix}telemetry-dead-letters --limit=10 "
        "--project={project} --format=json",
        "Read `CloudPubSubDeadLetterSourceDeliveryErrorMessage` among the attributes: it says why. "
        "One device: mend the device. All of them: see the endpoint's alerts.",
        _dead_letters,
        routes,
    ),
    Alert(
        "denied",
        "Access: something was denied",
        "WARNING",
        "an audit log has a 403, or a code that denials hide behind (3 of `actAs`; 8 and 9 of "
        "Vertex AI)",
        "Somebody asked for what they may not do: a role lacks a permission, or somebody tries.",
        f"gcloud logging read '{DENIED}' --freshness=1h --project={{project}} "
        "--format='value(protoPayload.authenticationInfo.principalSubject, "
        "protoPayload.methodName, protoPayload.status.message)'",
        "Give the message to `python -m access explain`: it says which role lacks what, and "
        "whether it should have it. Grant nothing before that.",
        _in_log(DENIED),
        of_log=True,
    ),
    Alert(
        "access",
        "Access: grants or roles changed",
        "WARNING",
        "the activity log has a change of a policy or a role, or a new account key",
        "Who may do what is another thing than before. A `pulumi up` that changes grants raises "
        "this too.",
        f"gcloud logging read '{ACCESS_CHANGED}' --freshness=1h --project={{project}} "
        "--format='value(timestamp, protoPayload.authenticationInfo.principalSubject, "
        "protoPayload.methodName, protoPayload.resourceName)'",
        "Find the pull request whose `pulumi up` it was. If there is none, run "
        "`pulumi preview --refresh` to see what differs, and take it back.",
        _in_log(ACCESS_CHANGED),
        of_log=True,
    ),
    Alert(
        "fast-burn",
        "Availability: the budget burns fast",
        "CRITICAL",
        "over an hour, failures came at ten times the rate that {availability_percent} % allow",
        "At this rate the error budget of 28 days is gone in less than three.",
        'gcloud logging read \'resource.type="aiplatform.googleapis.com/Endpoint" '
        "AND severity>=ERROR' --freshness=1h --project={project}",
        "Treat it as an outage: give traffic back to the model before the last rollout.",
        _burns(10, "3600s"),
    ),
    Alert(
        "slow-burn",
        "Availability: the budget burns slowly",
        "WARNING",
        "over a day, failures came at twice the rate that {availability_percent} % allow",
        "The objective of these 28 days will be missed if it goes on.",
        'gcloud logging read \'resource.type="aiplatform.googleapis.com/Endpoint" '
        "AND severity>=ERROR' --freshness=1d --project={project}",
        "Find what fails every now and then (hours, one model, one caller) before the next "
        "rollout; make no rollout until then.",
        _burns(2, "86400s"),
    ),
)


PAGE: Final = """\
# Alerts

<!-- Made from components/alerts.py by `make docs`. -->

What `alerts` in a stack's file has the stack watch (`components/observability.py`), with
the thresholds that hold unless the file says others. Each alert carries what stands here
in its notification, and there is a dashboard of what they are about.

Here it is over some hours of a rehearsal (`make pictures`), in which predictions failed and
were slow, an alarm was left lying, and something was denied; later, telemetry tripled:

![The dashboard: answers a second by code, with a peak of 5xx; milliseconds until the answer, for
once above the alert's 1000; replicas, which go from one to three and back; a denial; the seconds
that the oldest reading has waited, above the alert's 600; readings that wait; dead
letters](pictures/dashboard.svg)

One of its incidents, of the alarm that nobody took:

![The oldest reading has waited for longer and longer; after ten minutes the incident opens, and
it closes once somebody has taken the alarm](pictures/incident.svg)

And replicas, as they follow requests where `autoscaling` has `requestsPerMinute` (here 20):

![Requests a minute triple for ten minutes; replicas go from one to three with them, and back to
one five minutes after them](pictures/autoscaling.svg)
"""
COST: Final = """
## What it costs

Alerts need logs: with `alerts`, Vertex AI's Data Access audit logs are on, and each
prediction is an entry. Cloud Logging charges by the gibibyte for what is stored beyond a
project's free amount; an entry has one to two kilobytes (an estimate), so that a million
predictions a day are some 50 GiB a month."""


def page() -> Iterator[str]:
    """docs/alerts.md."""
    given = Alerts()
    values = {name: f"{getattr(given, name):g}" for name in Alerts.model_fields
              if isinstance(getattr(given, name), int | float)}  # fmt: skip
    yield PAGE
    yield "| alert | severity | raised when |"
    yield "|---|---|---|"
    for alert in ALERTS:
        yield f"| {alert.title} | {alert.severity} | {alert.raised.format_map(values)} |"
    for alert in ALERTS:
        yield f"\n## {alert.title}\n\n{alert.documentation('PROJECT')}"
    yield COST


if __name__ == "__main__":
    print("\n".join(page()))
