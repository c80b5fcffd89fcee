"""Services and their service level objectives.

Answers: http-logs/monitoring-slo.log; names carry the project's number. Limits: the discovery
document and docs stackdriver/docs/solutions/slo-monitoring/api/using-api. That deleting a service
takes its objectives along is an inference ("Soft delete this Service" is all that is written).
"""

from __future__ import annotations

import re
from typing import Any

from simulator.api.bodies import snake
from simulator.api.calls import Call, Methods, Result, on_name, on_parent
from simulator.api.errors import already_exists, invalid, not_found, unimplemented
from simulator.api.pages import listing
from simulator.core.platform import Containers
from simulator.services.monitoring.descriptors import check_filter
from simulator.services.monitoring.matching import listed
from simulator.services.monitoring.state import Monitoring, bad_field, check_labels, replaced, under

method = Methods()

SERVICE_ID = re.compile(r"[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?")
SLO_ID = re.compile(r"[a-zA-Z0-9_:.-]+")
IDENTIFIERS = (
    "appEngine",
    "basicService",
    "cloudEndpoints",
    "cloudRun",
    "clusterIstio",
    "custom",
    "gkeNamespace",
    "gkeService",
    "gkeWorkload",
    "istioCanonicalService",
    "meshIstio",
)
SERVICE_MUTABLE = (*IDENTIFIERS, "displayName", "telemetry", "userLabels")
SERVICE_ONEOFS = (frozenset(IDENTIFIERS),)
SERVICE_FIELDS = {"identifier_case": "identifierCase", "mesh_istio.mesh_uid": "meshIstio.meshUid"}
SLO_MUTABLE = (
    "displayName",
    "serviceLevelIndicator",
    "goal",
    "rollingPeriod",
    "calendarPeriod",
    "userLabels",
)
INDICATORS = ("basicSli", "requestBased", "windowsBased")
# google/monitoring/v3/service.proto; their names occur nowhere else in an objective.
SLO_ONEOFS = (
    frozenset(INDICATORS),
    frozenset({"rollingPeriod", "calendarPeriod"}),
    frozenset({"availability", "latency"}),
    frozenset({"goodTotalRatio", "distributionCut"}),
    frozenset({"performance", "basicSliPerformance"}),
    frozenset(
        {"goodBadMetricFilter", "goodTotalRatioThreshold", "metricMeanInRange", "metricSumInRange"}
    ),
)
RATIO = ("goodServiceFilter", "badServiceFilter", "totalServiceFilter")
CALENDAR = ("DAY", "WEEK", "FORTNIGHT", "MONTH")
DAY = 86_400


def _service(call: Call, name: str) -> dict[str, Any]:
    found = call.cloud[Monitoring].services.get(name)
    if found is None:
        _, project, _, service = name.split("/")
        number = call.cloud[Containers].number(project)
        raise not_found(f"There is no service with id '{service}' in project '{number}'")
    return found


def _slo(call: Call) -> dict[str, Any]:
    found = call.cloud[Monitoring].slos.get(call.resource)
    if found is None:
        _, project, _, service, _, slo = call.resource.split("/")
        raise not_found(
            f'There is no slo with id "{slo}" under service "{service}" in project "{project}"'
        )
    return found


def _check_service(info: dict[str, Any]) -> None:
    kinds = [kind for kind in IDENTIFIERS if kind in info]
    if len(kinds) != 1:
        raise invalid(f"A service has one identifier, such as custom, not {len(kinds)}: {kinds}")
    check_labels("service.user_labels", info.get("userLabels", {}))


def _kept(body: dict[str, Any], fields: tuple[str, ...]) -> dict[str, Any]:
    """Fields that are set; `custom` is set by being there, though it is empty."""
    return {
        key: body[key]
        for key in fields
        if key in body and (key in IDENTIFIERS or body[key] not in (None, "", {}))
    }


@method(
    "monitoring.services.create",
    permission="monitoring.services.create",
    on=on_parent,
    reads="serviceId",
)
def create_service(call: Call) -> Result:
    service_id = call.params.get("serviceId") or f"s{call.cloud.unique_id()}"
    if not SERVICE_ID.fullmatch(service_id):
        raise invalid(f"Invalid service id: {service_id}")
    _check_service(call.body)
    name = f"{call.resource}/services/{service_id}"
    if name in call.cloud[Monitoring].services:
        raise already_exists(f"Service {name} already exists.")
    info = {"name": call.cloud[Containers].numbered(name), **_kept(call.body, SERVICE_MUTABLE)}
    call.cloud[Monitoring].services[name] = info
    return info


@method("monitoring.services.get", permission="monitoring.services.get", on=on_name)
def get_service(call: Call) -> Result:
    return _service(call, call.resource)


@method(
    "monitoring.services.list",
    permission="monitoring.services.list",
    on=on_parent,
    reads="filter pageSize pageToken",
)
def list_services(call: Call) -> Result:
    found = under(call.cloud[Monitoring].services, call.resource, "services")
    cases = [
        {**item, "identifierCase": snake(kind).upper()}
        for item in found.values()
        for kind in IDENTIFIERS
        if kind in item
    ]
    answer = listed("services", cases, call.params, SERVICE_FIELDS)
    for item in answer.get("services", ()):
        del item["identifierCase"]
    return answer


@method(
    "monitoring.services.patch",
    permission="monitoring.services.update",
    on=on_name,
    reads="updateMask",
)
def patch_service(call: Call) -> Result:
    before = _service(call, call.resource)
    # Without a mask all is replaced, but for the identifier when the body has none.
    mask = call.params.get("updateMask") or ",".join(
        field for field in SERVICE_MUTABLE if field not in IDENTIFIERS or field in call.body
    )
    info = replaced(before, call.body, mask, SERVICE_MUTABLE, oneofs=SERVICE_ONEOFS)
    _check_service(info)
    call.cloud[Monitoring].services[call.resource] = info
    return info


@method("monitoring.services.delete", permission="monitoring.services.delete", on=on_name)
def delete_service(call: Call) -> Result:
    monitoring = call.cloud[Monitoring]
    _service(call, call.resource)
    for slo in under(monitoring.slos, call.resource, "serviceLevelObjectives"):
        del monitoring.slos[slo]
    del monitoring.services[call.resource]
    return {}


# Objectives


def _check_slo(call: Call, info: dict[str, Any], service: dict[str, Any]) -> None:
    field = "service_level_objective"
    if not 0 < float(info.get("goal", 0)) <= 0.9999:
        raise bad_field(
            f"{field}.goal", info.get("goal", 0), "It must be above 0, and 0.9999 or less."
        )
    rolling, calendar = info.get("rollingPeriod"), info.get("calendarPeriod")
    if bool(rolling) == bool(calendar):
        raise invalid("An SLO has either a rolling_period or a calendar_period.")
    if calendar and calendar not in CALENDAR:
        raise bad_field(
            f"{field}.calendar_period", calendar, f"It is one of {', '.join(CALENDAR)}."
        )
    seconds = re.fullmatch(r"(\d+)s", rolling or f"{DAY}s")
    if seconds is None or int(seconds[1]) % DAY or not DAY <= int(seconds[1]) <= 30 * DAY:
        raise bad_field(f"{field}.rolling_period", rolling, "It is whole days, 30 at most.")
    check_labels(f"{field}.user_labels", info.get("userLabels", {}))
    _check_indicator(call, info.get("serviceLevelIndicator", {}), service)


def _check_indicator(call: Call, indicator: dict[str, Any], service: dict[str, Any]) -> None:
    field = "service_level_objective.service_level_indicator"
    kinds = [kind for kind in INDICATORS if kind in indicator]
    if len(kinds) != 1:
        raise invalid(f"An SLO has one of {', '.join(INDICATORS)}, not {len(kinds)}.")
    if kinds == ["basicSli"] and "custom" in service:
        raise bad_field(f"{field}.basic_sli", "", "A custom service has no basic SLI.")
    request = indicator.get("requestBased", {})
    ratio, cut = request.get("goodTotalRatio"), request.get("distributionCut")
    if kinds == ["requestBased"] and bool(ratio) == bool(cut):
        raise invalid("A request-based SLI has either good_total_ratio or distribution_cut.")
    project = call.resource.split("/")[1]
    if ratio:
        given = [name for name in RATIO if ratio.get(name)]
        if len(given) != 2:
            raise invalid(f"good_total_ratio needs exactly two of {', '.join(map(snake, RATIO))}.")
        for name in given:
            place = f"{field}.request_based.good_total_ratio.{snake(name)}"
            check_filter(call.cloud, project, place, ratio[name])
    if cut:
        place = f"{field}.request_based.distribution_cut.distribution_filter"
        check_filter(call.cloud, project, place, cut.get("distributionFilter", ""))


@method(
    "monitoring.services.serviceLevelObjectives.create",
    permission="monitoring.slos.create",
    on=on_parent,
    reads="serviceLevelObjectiveId",
)
def create_slo(call: Call) -> Result:
    service = _service(call, call.resource)
    slo_id = call.params.get("serviceLevelObjectiveId") or call.cloud.unique_id()
    if not SLO_ID.fullmatch(slo_id):
        raise invalid(f"Invalid service level objective id: {slo_id}")
    _check_slo(call, call.body, service)
    name = f"{call.resource}/serviceLevelObjectives/{slo_id}"
    if name in call.cloud[Monitoring].slos:
        raise already_exists(f"Service level objective {name} already exists.")
    info = {"name": call.cloud[Containers].numbered(name), **_kept(call.body, SLO_MUTABLE)}
    call.cloud[Monitoring].slos[name] = info
    return info


@method(
    "monitoring.services.serviceLevelObjectives.get",
    permission="monitoring.slos.get",
    on=on_name,
    reads="view",
)
def get_slo(call: Call) -> Result:
    return _seen(call, _slo(call))


def _seen(call: Call, slo: dict[str, Any]) -> dict[str, Any]:
    """EXPLICIT differs in that it spells out a basic SLI (discovery document)."""
    if call.params.get("view") == "EXPLICIT" and "basicSli" in slo["serviceLevelIndicator"]:
        raise unimplemented("The explicit view of a basic SLI")
    return slo


@method(
    "monitoring.services.serviceLevelObjectives.list",
    permission="monitoring.slos.list",
    on=on_parent,
    reads="pageSize pageToken view",
)
def list_slos(call: Call) -> Result:
    _service(call, call.resource)
    found = under(call.cloud[Monitoring].slos, call.resource, "serviceLevelObjectives")
    items = {name: _seen(call, slo) for name, slo in found.items()}
    return listing("serviceLevelObjectives", items, call.params, default=100, most=1000)


@method(
    "monitoring.services.serviceLevelObjectives.patch",
    permission="monitoring.slos.update",
    on=on_name,
    reads="updateMask",
)
def patch_slo(call: Call) -> Result:
    service = _service(call, call.resource.partition("/serviceLevelObjectives/")[0])
    mask = call.params.get("updateMask")
    info = replaced(_slo(call), call.body, mask, SLO_MUTABLE, oneofs=SLO_ONEOFS)
    _check_slo(call, info, service)
    call.cloud[Monitoring].slos[call.resource] = info
    return info


@method(
    "monitoring.services.serviceLevelObjectives.delete",
    permission="monitoring.slos.delete",
    on=on_name,
)
def delete_slo(call: Call) -> Result:
    _slo(call)
    del call.cloud[Monitoring].slos[call.resource]
    return {}
