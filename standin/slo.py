"""Types of the `monitoring` module: services, and the objectives that they are to meet."""

from __future__ import annotations

from typing import Any, Final

from pulumi_plugin.values import Props
from standin.checks import between
from standin.fields import DELETION_POLICY, PROJECT, Field, at_least_one, dig, exactly_one
from standin.monitoring import BASE, Named
from standin.resource import Rest, Spec

DAY: Final = 86400  # seconds
CUSTOM_SERVICE: Final = Spec(
    "gcp:monitoring/customService:CustomService",
    noun="Service",
    title="MonitoringService",
    source="products/monitoring/Service.yaml",
    base=BASE,
    id="projects/{project}/services/{serviceId}",
    collection="projects/{project}/services",
    create_query={"serviceId": "{serviceId}"},
    masked=True,
    fields=(
        PROJECT,
        Field("serviceId", path=True, new=True, computed=True, pattern=r"^[a-z0-9\-]+$"),
        Field("displayName"),
        Field("userLabels", "map", force=True, zero={}),
        Field("telemetry", "object", of=(Field("resourceName"),)),
        DELETION_POLICY,
        Field("name", output=True),
    ),
)


def _goal(name: str, value: Any) -> list[str]:
    """over 0, up to 0.9999"""
    if isinstance(value, int | float) and not 0 < value <= 0.9999:
        return [f"goal {value:f} must be > 0 and <= 0.9999"]
    return []


def _enabled(name: str, value: Any) -> list[str]:
    """true"""
    return [f'"{name}" must be set to true, got: false'] if value is False else []


BASIC_SLI: Final = (
    Field("methods", "set", api="method"),
    Field("locations", "set", api="location"),
    Field("versions", "set", api="version"),
    Field("latency", "object", of=(Field("threshold", required=True),)),
    # There to be set; what is sent is an empty object.
    Field(
        "availability",
        "object",
        of=(Field("enabled", "bool", local=True, default=True, valid=_enabled),),
    ),
)
RANGE: Final = Field(
    "range",
    "object",
    required=True,
    of=(Field("min", "number"), Field("max", "number")),
    choices=(at_least_one("min", "max"),),
)
REQUEST_BASED_SLI: Final = (
    Field(
        "goodTotalRatio",
        "object",
        choices=(at_least_one("goodServiceFilter", "badServiceFilter", "totalServiceFilter"),),
        of=(
            Field("goodServiceFilter"),
            Field("badServiceFilter"),
            Field("totalServiceFilter"),
        ),
    ),
    Field("distributionCut", "object", of=(Field("distributionFilter", required=True), RANGE)),
)
# What the two kinds of indicators, and the criterion of a window, are made of.
OF_BASIC: Final = (exactly_one("latency", "availability"),)
OF_REQUESTS: Final = (exactly_one("goodTotalRatio", "distributionCut"),)
OF_WINDOWS: Final = (
    exactly_one(
        "goodBadMetricFilter", "goodTotalRatioThreshold", "metricMeanInRange", "metricSumInRange"
    ),
)
METRIC_IN_RANGE: Final = (Field("timeSeries", required=True), RANGE)
SLO: Final = Spec(
    "gcp:monitoring/slo:Slo",
    noun="Slo",
    title="MonitoringSlo",
    source="products/monitoring/Slo.yaml",
    base=BASE,
    id="projects/{project}/services/{service}/serviceLevelObjectives/{sloId}",
    collection="projects/{project}/services/{service}/serviceLevelObjectives",
    create_query={"serviceLevelObjectiveId": "{sloId}"},
    masked=True,
    fields=(
        PROJECT,
        Field("service", path=True, new=True, required=True),
        Field("sloId", path=True, new=True, computed=True, pattern=r"^[a-zA-Z0-9\-_:.]+$"),
        Field("displayName"),
        Field("goal", "number", required=True, valid=_goal),
        Field("rollingPeriodDays", "int", api="rollingPeriod", valid=between(1, 30)),
        Field("calendarPeriod", values=("DAY", "WEEK", "FORTNIGHT", "MONTH")),
        Field("userLabels", "map", force=True, zero={}),
        Field(
            "basicSli",
            "object",
            api="serviceLevelIndicator.basicSli",
            of=BASIC_SLI,
            choices=OF_BASIC,
        ),
        Field(
            "requestBasedSli",
            "object",
            api="serviceLevelIndicator.requestBased",
            of=REQUEST_BASED_SLI,
            choices=OF_REQUESTS,
        ),
        Field(
            "windowsBasedSli",
            "object",
            api="serviceLevelIndicator.windowsBased",
            choices=OF_WINDOWS,
            of=(
                Field("windowPeriod"),
                Field("goodBadMetricFilter"),
                Field(
                    "goodTotalRatioThreshold",
                    "object",
                    choices=(exactly_one("performance", "basicSliPerformance"),),
                    of=(
                        Field("threshold", "number"),
                        Field("performance", "object", of=REQUEST_BASED_SLI, choices=OF_REQUESTS),
                        Field("basicSliPerformance", "object", of=BASIC_SLI, choices=OF_BASIC),
                    ),
                ),
                Field("metricMeanInRange", "object", of=METRIC_IN_RANGE),
                Field("metricSumInRange", "object", of=METRIC_IN_RANGE),
            ),
        ),
        DELETION_POLICY,
        Field("name", output=True),
    ),
    choices=(
        exactly_one("rollingPeriodDays", "calendarPeriod"),
        exactly_one("basicSli", "requestBasedSli", "windowsBasedSli"),
    ),
)
# What an update of an indicator names, leaf by leaf.
REQUEST_BASED_LEAVES: Final = (
    "goodTotalRatio.badServiceFilter",
    "goodTotalRatio.goodServiceFilter",
    "goodTotalRatio.totalServiceFilter",
    "distributionCut.range",
    "distributionCut.distributionFilter",
)
SLO_MASKS: Final = {
    "basicSli": ("serviceLevelIndicator.basicSli",),
    "requestBasedSli": tuple(
        f"serviceLevelIndicator.requestBased.{leaf}" for leaf in REQUEST_BASED_LEAVES
    ),
    "windowsBasedSli": tuple(
        f"serviceLevelIndicator.windowsBased.{leaf}"
        for leaf in (
            "windowPeriod",
            "goodBadMetricFilter",
            "goodTotalRatioThreshold.threshold",
            *(f"goodTotalRatioThreshold.performance.{leaf}" for leaf in REQUEST_BASED_LEAVES),
            "goodTotalRatioThreshold.basicSliPerformance",
            "metricMeanInRange.timeSeries",
            "metricMeanInRange.range",
            "metricSumInRange.timeSeries",
            "metricSumInRange.range",
        )
    ),
}


class CustomService(Named):
    spec = CUSTOM_SERVICE

    def body(self, inputs: Props, outputs: Props, *, update: bool) -> Props:
        return {"custom": {}, **super().body(inputs, outputs, update=update)}


class Slo(Named):
    spec = SLO

    def body(self, inputs: Props, outputs: Props, *, update: bool) -> Props:
        body = super().body(inputs, outputs, update=update)
        if "rollingPeriod" in body:
            body["rollingPeriod"] = f"{body['rollingPeriod'] * DAY}s"
        if not update and inputs.get("sloId"):
            body["name"] = inputs["sloId"]
        return body

    def outputs(self, id: str, answer: Props, inputs: Props, *, created: bool) -> Props:
        period = answer.get("rollingPeriod")
        days = {"rollingPeriod": float(period.rstrip("s")) // DAY} if period else {}
        found = super().outputs(id, {**answer, **days}, inputs, created=created)
        for path in ("basicSli", "windowsBasedSli.goodTotalRatioThreshold.basicSliPerformance"):
            if dig(found, f"{path}.availability") is not None:
                dig(found, path)["availability"] = {"enabled": True}
        return found

    @staticmethod
    def mask_name(item: Field) -> str:
        return ",".join(SLO_MASKS.get(item.name, (Rest.mask_name(item),)))
