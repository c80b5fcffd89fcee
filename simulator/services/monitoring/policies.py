"""Alert policies, kept and checked; what becomes of them is in `incidents`.

Answers: http-logs/monitoring-alertpolicy.log. Limits: discovery document. Complaints that begin
with "Field alert_policy" are Google's where a comment says so, else ours in the same form.
"""

from __future__ import annotations

import re
from typing import Any

from simulator.api.bodies import snake
from simulator.api.calls import Call, Methods, Result, on_name
from simulator.api.errors import ApiError, invalid, not_found
from simulator.api.filters import Compare, parse
from simulator.core.platform import Containers
from simulator.services.logging.query import compiled
from simulator.services.monitoring.aggregation import check_aggregation
from simulator.services.monitoring.channels import channel
from simulator.services.monitoring.descriptors import check_filter
from simulator.services.monitoring.incidents import follow
from simulator.services.monitoring.matching import listed
from simulator.services.monitoring.state import Monitoring, bad_field, check_labels, replaced, under

method = Methods()

Info = dict[str, Any]

MUTABLE = (
    "displayName",
    "documentation",
    "userLabels",
    "conditions",
    "combiner",
    "enabled",
    "notificationChannels",
    "alertStrategy",
    "severity",
)
# docs monitoring/api/v3/sorting-and-filtering, "AlertPolicy"
FIELDS = {
    "name": "name",
    "display_name": "displayName",
    "documentation.content": "documentation.content",
    "documentation.mime_type": "documentation.mimeType",
    "combiner": "combiner",
    "enabled": "enabled",
    "notification_channels": "notificationChannels",
    "user_label": "userLabels",
    "user_labels": "userLabels",
}
KINDS = (
    "conditionAbsent",
    "conditionMatchedLog",
    "conditionMonitoringQueryLanguage",
    "conditionPrometheusQueryLanguage",
    "conditionSql",
    "conditionThreshold",
)
ALONE = ("conditionMatchedLog", "conditionMonitoringQueryLanguage")
COMPARISONS = ("COMPARISON_GT", "COMPARISON_LT")
MAX_CONDITIONS, MAX_NAME, MAX_CONTENT = 6, 512, 10_240
LONGEST, LEAST_ABSENCE = 84_600, 120
CHANNEL = re.compile(r"projects/([^/]+)/notificationChannels/[^/]+")
SLO_FUNCTION = re.compile(r"select_slo_(burn_rate|health|budget|budget_fraction|compliance)")


def _check(call: Call, info: Info, project: str) -> None:
    conditions = info.get("conditions", [])
    if not 0 < len(info.get("displayName", "")) <= MAX_NAME:
        raise bad_field(
            "alert_policy.display_name", info.get("displayName", ""), "It has 1 to 512 characters."
        )
    if not 0 < len(conditions) <= MAX_CONDITIONS:
        raise bad_field(
            "alert_policy.conditions", len(conditions), "A policy has 1 to 6 conditions."
        )
    kinds = [kind for item in conditions for kind in KINDS if kind in item]
    if info.get("combiner", "COMBINE_UNSPECIFIED") == "COMBINE_UNSPECIFIED" and (
        "conditionMonitoringQueryLanguage" not in kinds
    ):
        raise bad_field("alert_policy.combiner", "COMBINE_UNSPECIFIED", "It must be set.")
    if len(conditions) > 1 and (alone := set(kinds).intersection(ALONE)):
        raise bad_field("alert_policy.conditions", alone.pop(), "It must be the only condition.")
    for index, condition in enumerate(conditions):
        _check_condition(call, condition, f"alert_policy.conditions[{index}]", project)
    if "conditionMatchedLog" in kinds and not info.get("alertStrategy", {}).get(
        "notificationRateLimit"
    ):
        raise bad_field(
            "alert_policy.alert_strategy.notification_rate_limit",
            "",
            "It is required for log-based alerting policies.",
        )
    size = len(info.get("documentation", {}).get("content", "").encode())
    if size > MAX_CONTENT:
        # The end is Google's, recorded in a public repository.
        raise invalid(
            f"Field alert_policy.documentation.content exceeds a maximum size of {MAX_CONTENT} "
            f"bytes with a value of {size}"
        )
    check_labels("alert_policy.user_labels", info.get("userLabels", {}))


def _check_condition(call: Call, condition: Info, field: str, project: str) -> None:
    kinds = [kind for kind in KINDS if kind in condition]
    if len(kinds) != 1:
        raise bad_field(field, ", ".join(kinds), f"A condition is one of {', '.join(KINDS)}.")
    kind, given = kinds[0], condition[kinds[0]]
    if not condition.get("displayName"):
        raise bad_field(f"{field}.display_name", "", "A condition needs a name.")
    place = f"{field}.{snake(kind)}"
    if kind == "conditionMatchedLog":
        _check_log_filter(f"{place}.filter", given.get("filter", ""))
    elif kind in ("conditionThreshold", "conditionAbsent"):
        _check_duration(place, given, kind)
        _check_series(call, place, given, project)
    elif not given.get("query"):
        raise bad_field(f"{place}.query", "", "A query is required; what it says is not checked.")
    if kind == "conditionThreshold" and given.get("comparison") not in COMPARISONS:
        raise bad_field(
            f"{place}.comparison",
            given.get("comparison", "COMPARISON_UNSPECIFIED"),
            f"Only {' and '.join(COMPARISONS)} are supported.",
        )


def _check_log_filter(field: str, text: str) -> None:
    if not text:
        raise bad_field(field, "", "A filter is required.")
    try:
        compiled(text)
    except ApiError as error:
        raise bad_field(field, text, error.message) from None


def _check_duration(place: str, given: Info, kind: str) -> None:
    text = given.get("duration", "0s")
    found = re.fullmatch(r"(\d+)(?:\.0+)?s", text)
    seconds = int(found[1]) if found else -1
    if found is None or seconds % 60:
        raise bad_field(f"{place}.duration", text, "It must be a multiple of a minute.")
    if seconds > LONGEST:
        # Recorded in a public repository.
        raise bad_field(
            f"{place}.duration", text, "Durations longer than 23h30m are not supported."
        )
    if kind == "conditionAbsent" and seconds < LEAST_ABSENCE:
        raise bad_field(f"{place}.duration", text, "The least for an absence is 120s.")
    missing = given.get("evaluationMissingData", "EVALUATION_MISSING_DATA_UNSPECIFIED")
    if missing != "EVALUATION_MISSING_DATA_UNSPECIFIED" and not seconds:
        # Recorded in a public repository.
        raise bad_field(
            f"{place}.evaluation_missing_data",
            missing,
            "Conditions setting evaluation_missing_data must have a non-zero duration.",
        )


def _check_series(call: Call, place: str, given: Info, project: str) -> None:
    text = given.get("filter", "")
    if _is_slo(f"{place}.filter", text):
        return
    for name, aggregations in (
        ("filter", "aggregations"),
        ("denominatorFilter", "denominatorAggregations"),
    ):
        if name == "filter" or given.get(name):
            field = f"{place}.{snake(name)}"
            metric = check_filter(call.cloud, project, field, given.get(name, ""), resource=True)
            for index, aggregation in enumerate(given.get(aggregations, ())):
                where = f"{place}.{snake(aggregations)}[{index}]"
                check_aggregation(where, aggregation, metric if index == 0 else None)


def _is_slo(field: str, text: str) -> bool:
    """`select_slo_burn_rate("SLO", "LOOKBACK")` and its likes; whether the SLO exists is open."""
    try:
        node = parse(text)
    except ApiError as error:
        raise bad_field(field, text, error.message) from None
    if not isinstance(node, Compare) or node.path or not node.value.function:
        return False
    arguments, function = node.value.arguments, node.value.function
    wanted = 2 if function == "select_slo_burn_rate" else 1
    if not SLO_FUNCTION.fullmatch(function) or len(arguments) != wanted:
        raise bad_field(field, text, f"{function} with {len(arguments)} arguments is not known.")
    if not re.fullmatch(
        r"projects/[^/]+/services/[^/]+/serviceLevelObjectives/[^/]+", arguments[0].text
    ):
        raise bad_field(field, text, f"{arguments[0].text} is no name of an SLO.")
    return True


def _channels(call: Call, info: Info, project: str) -> list[str]:
    """The channels by project id; every one exists, in this project."""
    names = []
    for index, given in enumerate(info.get("notificationChannels", ())):
        found = CHANNEL.fullmatch(given or "")
        if found is None:
            # crossplane-contrib/provider-upjet-gcp#498
            raise invalid(
                "Name must begin with 'projects/{project_id}/notificationChannels/{channel_id}', "
                f"got: {given}"
            )
        owner = call.cloud[Containers].id(found[1])
        if owner != project:
            # Recorded in a public repository.
            raise bad_field(
                f"alert_policy.notification_channels[{index}]",
                given,
                f'Project "{found[1]}" in the channel name ("{given}")does not match the '
                f'request\'s project of "{project}" (#{call.cloud[Containers].number(project)}).',
            )
        names.append(f"projects/{project}/notificationChannels/{given.rpartition('/')[2]}")
        # That this is a 404: hashicorp/terraform-provider-google#25878.
        channel(call, names[-1])
    return names


def _stored(call: Call, name: str, info: Info, known: tuple[str, ...] = ()) -> Info:
    """The policy once it is right: conditions with names of their own, and who changed it."""
    project = name.split("/")[1]
    _check(call, info, project)
    info = {**info, "name": name, "enabled": info.get("enabled", True)}
    info["conditions"] = [
        {**item, "name": item["name"] if item.get("name") in known else _condition_name(call, name)}
        for item in info["conditions"]
    ]
    if channels := _channels(call, info, project):
        info["notificationChannels"] = channels
    info["mutationRecord"] = {
        "mutateTime": call.cloud.clock.rfc3339(),
        "mutatedBy": call.principal.email,
    }
    info.setdefault("creationRecord", info["mutationRecord"])
    call.cloud[Monitoring].policies[name] = info
    follow(call.cloud, name)
    return info


def _condition_name(call: Call, policy: str) -> str:
    return f"{policy}/conditions/{call.cloud.unique_id()}"


def _policy(call: Call) -> Info:
    found = call.cloud[Monitoring].policies.get(call.resource)
    if found is None:
        raise not_found(f"Alert policy not found: {call.resource}")
    return found


@method(
    "monitoring.projects.alertPolicies.create",
    permission="monitoring.alertPolicies.create",
    on=on_name,
)
def create(call: Call) -> Result:
    name = f"{call.resource}/alertPolicies/{call.cloud.unique_id()}"
    info = {key: call.body[key] for key in MUTABLE if call.body.get(key) not in (None, "", {}, [])}
    return _stored(call, name, info)


@method(
    "monitoring.projects.alertPolicies.get",
    permission="monitoring.alertPolicies.get",
    on=on_name,
)
def get(call: Call) -> Result:
    return _policy(call)


@method(
    "monitoring.projects.alertPolicies.list",
    permission="monitoring.alertPolicies.list",
    on=on_name,
    reads="filter orderBy pageSize pageToken",
)
def list_policies(call: Call) -> Result:
    found = under(call.cloud[Monitoring].policies, call.resource, "alertPolicies")
    return listed("alertPolicies", found.values(), call.params, FIELDS)


@method(
    "monitoring.projects.alertPolicies.patch",
    permission="monitoring.alertPolicies.update",
    on=on_name,
    reads="updateMask",
)
def patch(call: Call) -> Result:
    """Conditions that come with their name keep it (discovery document, `updateMask`)."""
    before = _policy(call)
    info = replaced(before, call.body, call.params.get("updateMask"), MUTABLE)
    return _stored(call, call.resource, info, tuple(item["name"] for item in before["conditions"]))


@method(
    "monitoring.projects.alertPolicies.delete",
    permission="monitoring.alertPolicies.delete",
    on=on_name,
)
def delete(call: Call) -> Result:
    _policy(call)
    del call.cloud[Monitoring].policies[call.resource]
    follow(call.cloud, call.resource)
    return {}
