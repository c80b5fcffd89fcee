"""Types of the `monitoring` module; services and their objectives are in `slo`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from pulumi_plugin.kinds import Context, Failure, ProviderError
from pulumi_plugin.values import Props
from standin.fields import DELETION_POLICY, PROJECT, Field, exactly_one
from standin.resource import Rest, Spec

BASE: Final = "https://monitoring.googleapis.com/v3"
# Labels of a channel that Google shows only in part.
SENSITIVE: Final = {
    "authToken": "auth_token",
    "password": "password",
    "serviceKey": "service_key",
}


def _reducer(value: Any) -> Any:
    """Google names the reducer that reduces nothing; a program leaves it out."""
    return None if value == "REDUCE_NONE" else value


def _within(there: Any, wanted: Any) -> bool:
    """Whether `there` is `wanted`, but for keys that only Google sets."""
    if isinstance(there, dict) and isinstance(wanted, dict):
        kept = {name: value for name, value in there.items() if wanted.get(name) is not None}
        return kept.keys() == wanted.keys() and all(
            _within(value, wanted[name]) for name, value in kept.items()
        )
    if isinstance(there, list) and isinstance(wanted, list):
        return len(there) == len(wanted) and all(map(_within, there, wanted))
    return bool(there == wanted)


TRIGGER: Final = Field("trigger", "object", of=(Field("count", "int"), Field("percent", "number")))
# What both an aligner and a reducer can make of a series.
STATISTICS: Final = (
    *("NONE", "MEAN", "MIN", "MAX", "SUM", "STDDEV", "COUNT", "COUNT_TRUE", "COUNT_FALSE"),
    *("FRACTION_TRUE", "PERCENTILE_99", "PERCENTILE_95", "PERCENTILE_50", "PERCENTILE_05"),
)
ALIGNED: Final = ("DELTA", "RATE", "INTERPOLATE", "NEXT_OLDER", "PERCENT_CHANGE")
COMPARISONS: Final = tuple(f"COMPARISON_{one}" for one in ("GT", "GE", "LT", "LE", "EQ", "NE"))
MISSING: Final = tuple(f"EVALUATION_MISSING_DATA_{one}" for one in ("INACTIVE", "ACTIVE", "NO_OP"))
AGGREGATION: Final = (
    Field("perSeriesAligner", values=tuple(f"ALIGN_{one}" for one in (*STATISTICS, *ALIGNED))),
    Field("groupByFields", "strings"),
    Field("alignmentPeriod"),
    Field(
        "crossSeriesReducer",
        alike=_reducer,
        values=tuple(f"REDUCE_{one}" for one in STATISTICS),
    ),
)
PERIODICITY: Final = Field("periodicity", "int", required=True)
CONDITION: Final = (
    Field("name", output=True),
    Field("displayName", required=True),
    Field(
        "conditionThreshold",
        "object",
        of=(
            Field("filter"),
            Field("aggregations", "objects", of=AGGREGATION),
            Field("denominatorFilter"),
            Field("denominatorAggregations", "objects", of=AGGREGATION),
            Field("comparison", required=True, values=COMPARISONS),
            Field("thresholdValue", "number"),
            Field("duration", required=True),
            Field("forecastOptions", "object", of=(Field("forecastHorizon", required=True),)),
            Field("evaluationMissingData", values=MISSING),
            TRIGGER,
        ),
    ),
    Field(
        "conditionAbsent",
        "object",
        of=(
            Field("filter"),
            Field("aggregations", "objects", of=AGGREGATION),
            Field("duration", required=True),
            TRIGGER,
        ),
    ),
    Field(
        "conditionMatchedLog",
        "object",
        of=(Field("filter", required=True), Field("labelExtractors", "map")),
    ),
    Field(
        "conditionMonitoringQueryLanguage",
        "object",
        of=(
            Field("query", required=True),
            Field("duration", required=True),
            Field("evaluationMissingData", values=MISSING),
            TRIGGER,
        ),
    ),
    Field(
        "conditionPrometheusQueryLanguage",
        "object",
        of=(
            Field("query", required=True),
            Field("duration"),
            Field("evaluationInterval"),
            Field("labels", "map"),
            Field("ruleGroup"),
            Field("alertRule"),
            Field("disableMetricValidation", "bool"),
        ),
    ),
    Field(
        "conditionSql",
        "object",
        of=(
            Field("query", required=True),
            Field("minutes", "object", of=(PERIODICITY,)),
            Field("hourly", "object", of=(PERIODICITY, Field("minuteOffset", "int"))),
            Field(
                "daily",
                "object",
                of=(
                    PERIODICITY,
                    Field(
                        "executionTime",
                        "object",
                        of=tuple(
                            Field(unit, "int") for unit in ("hours", "minutes", "seconds", "nanos")
                        ),
                    ),
                ),
            ),
            Field(
                "rowCountTest",
                "object",
                of=(
                    Field("comparison", required=True),
                    Field("threshold", "int", required=True),
                ),
            ),
            Field("booleanTest", "object", of=(Field("column", required=True),)),
        ),
    ),
)
ALERT_POLICY: Final = Spec(
    "gcp:monitoring/alertPolicy:AlertPolicy",
    noun="AlertPolicy",
    title="MonitoringAlertPolicy",
    source="products/monitoring/AlertPolicy.yaml",
    base=BASE,
    id="projects/{project}/alertPolicies/{name}",
    collection="projects/{project}/alertPolicies",
    masked=True,
    fields=(
        PROJECT,
        Field("displayName", required=True),
        Field("combiner", required=True, values=("AND", "OR", "AND_WITH_MATCHING_RESOURCE")),
        Field("enabled", "bool", default=True, force=True),
        Field("conditions", "objects", required=True, of=CONDITION),
        Field("notificationChannels", "strings", zero=[]),
        Field(
            "alertStrategy",
            "object",
            of=(
                Field("notificationRateLimit", "object", of=(Field("period"),)),
                Field("autoClose"),
                Field("notificationPrompts", "strings"),
                Field(
                    "notificationChannelStrategies",
                    "objects",
                    api="notificationChannelStrategy",
                    of=(
                        Field("notificationChannelNames", "strings"),
                        Field("renotifyInterval"),
                    ),
                ),
            ),
        ),
        Field("userLabels", "map"),
        Field("severity"),
        Field(
            "documentation",
            "object",
            of=(
                Field("content"),
                Field("mimeType", default="text/markdown"),
                Field("subject"),
                Field("links", "objects", of=(Field("displayName"), Field("url"))),
            ),
        ),
        DELETION_POLICY,
        Field("name", output=True),
        Field(
            "creationRecords",
            "objects",
            api="creationRecord",
            output=True,
            of=(Field("mutateTime"), Field("mutatedBy")),
        ),
    ),
)
NOTIFICATION_CHANNEL: Final = Spec(
    "gcp:monitoring/notificationChannel:NotificationChannel",
    noun="NotificationChannel",
    title="MonitoringNotificationChannel",
    source="products/monitoring/NotificationChannel.yaml",
    base=BASE,
    id="projects/{project}/notificationChannels/{name}",
    collection="projects/{project}/notificationChannels",
    fields=(
        PROJECT,
        Field("labels", "map"),
        Field(
            "sensitiveLabels",
            "object",
            unread=True,
            choices=(exactly_one(*SENSITIVE),),
            of=(
                *(Field(name, secret=True) for name in SENSITIVE),
                *(
                    Field(f"{name}{part}", unsent=True)
                    for name in SENSITIVE
                    for part in ("Wo", "WoVersion")
                ),
            ),
        ),
        Field("type", required=True),
        Field("userLabels", "map"),
        Field("description"),
        Field("displayName"),
        Field("enabled", "bool", default=True, force=True),
        Field("forceDelete", "bool", local=True, zero=False),
        DELETION_POLICY,
        Field("name", output=True),
        Field("verificationStatus", output=True),
    ),
)
DASHBOARD: Final = Spec(
    "gcp:monitoring/dashboard:Dashboard",
    noun="Dashboard",
    title="MonitoringDashboard",
    source="services/monitoring/resource_monitoring_dashboard.go",
    base="https://monitoring.googleapis.com/v1",
    id="projects/{project}/dashboards/{dashboard}",
    collection="projects/{project}/dashboards",
    fields=(
        PROJECT,
        Field("dashboardJson", "json", required=True, agrees=_within),
        DELETION_POLICY,
    ),
)


class Named(Rest):
    """What Google names: its id is the name in the answer to the create."""

    def id_of(self, names: Mapping[str, str], answer: Props) -> str:
        if "name" not in answer:
            raise ProviderError(f"Error creating {self.spec.noun}: Google's answer names none")
        return str(answer["name"])

    def outputs(self, id: str, answer: Props, inputs: Props, *, created: bool) -> Props:
        """Google's name may hold the project's number; the program knows the project by its id."""
        found = super().outputs(id, answer, inputs, created=created)
        return found | {
            "project": inputs.get("project") or self.provider.project or found["project"]
        }


class AlertPolicy(Named):
    spec = ALERT_POLICY

    def body(self, inputs: Props, outputs: Props, *, update: bool) -> Props:
        """A condition keeps its name, and with it its open incidents."""
        body = super().body(inputs, outputs, update=update)
        for condition, known in zip(
            body["conditions"], outputs.get("conditions") or (), strict=False
        ):
            if known.get("name"):
                condition["name"] = known["name"]
        return body


class NotificationChannel(Named):
    """A channel. Its secret labels are inputs of their own, and Google does not show them."""

    spec = NOTIFICATION_CHANNEL
    refuses = "a label that is also in `sensitiveLabels`"

    def check(
        self, inputs: Props, old_inputs: Props, context: Context
    ) -> tuple[Props, list[Failure]]:
        checked, failures = super().check(inputs, old_inputs, context)
        labels, secret = (
            given if isinstance(given, dict) else {}
            for given in (checked.get("labels"), checked.get("sensitiveLabels"))
        )
        for name, label in SENSITIVE.items():
            if secret.get(name) and labels.get(label):
                said = "cannot be set at the same time as label"
                reason = f'Sensitive label "{label}" {said} "{label}".'
                failures.append(Failure(f"sensitiveLabels.{name}", reason))
        return checked, failures

    def body(self, inputs: Props, outputs: Props, *, update: bool) -> Props:
        body = super().body(inputs, outputs, update=update)
        secret = body.pop("sensitiveLabels", {})
        return body | {
            "labels": {
                **(inputs.get("labels") or {}),
                **{SENSITIVE[name]: value for name, value in secret.items()},
            }
        }

    def outputs(self, id: str, answer: Props, inputs: Props, *, created: bool) -> Props:
        labels, mine = dict(answer.get("labels") or {}), inputs.get("labels") or {}
        for name in SENSITIVE.values():
            if inputs.get("sensitiveLabels"):
                labels.pop(name, None)
            elif mine.get(name) and name in labels:
                labels[name] = mine[name]
        return super().outputs(id, {**answer, "labels": labels}, inputs, created=created)

    def delete_query(self, outputs: Props) -> dict[str, str]:
        return {"force": str(bool(outputs.get("forceDelete"))).lower()}


class Dashboard(Named):
    """A dashboard is its JSON, to which Google adds."""

    spec = DASHBOARD

    def body(self, inputs: Props, outputs: Props, *, update: bool) -> Props:
        wanted: Props = json.loads(inputs["dashboardJson"])
        if update:
            wanted["etag"] = json.loads(outputs["dashboardJson"]).get("etag")
        return wanted

    def outputs(self, id: str, answer: Props, inputs: Props, *, created: bool) -> Props:
        return super().outputs(id, {"dashboardJson": answer}, inputs, created=created)
