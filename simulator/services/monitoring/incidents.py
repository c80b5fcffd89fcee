"""Alert policies are judged at each full minute of the cloud's clock; incidents open and close.

An incident is of one condition and one time series. Facts: docs
monitoring/alerts/concepts-indepth (retest window, missing data, combining conditions),
…/incidents-events (when incidents close) and logging/docs/alerting/log-based-alerts (one
notification a period; log-based incidents close after `autoClose`); what lists them is
`projects.alerts` of the discovery document. The delay of Google's ingestion, its limits on open
incidents and repeated notifications are not simulated.

A condition that cannot be judged here (MQL, PromQL, SQL, metrics that are not simulated…) is never
taken for a quiet one: listing the alerts of its project answers 501 with its name, and the runner
is told beside the incidents. Inferred: joined by AND, all conditions' series have incidents while
every condition is met; a disabled policy's incidents close like those of a deleted one.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from simulator.api.calls import Call, Methods, Result, on_name, on_parent
from simulator.api.errors import ApiError, invalid, not_found, unimplemented
from simulator.api.pages import listing
from simulator.core.clock import nanoseconds
from simulator.core.cloud import Cloud
from simulator.services.logging.query import compiled
from simulator.services.logging.samples import Position, extractor
from simulator.services.logging.state import Logging
from simulator.services.monitoring.conditions import NotEvaluated, Rule, Values, rule
from simulator.services.monitoring.matching import select
from simulator.services.monitoring.notifications import notify
from simulator.services.monitoring.state import At, Incident, Info, Key, Monitoring, Watch, under

method = Methods()

MINUTE, DAY = 60, 86_400
# "If an alerting policy that was active has no data for this long" (discovery document); what
# holds without it: docs monitoring/alerts/incidents-events, "Closing incidents".
AUTO_CLOSE = 7.0 * DAY
ACTIVE, INACTIVE = "EVALUATION_MISSING_DATA_ACTIVE", "EVALUATION_MISSING_DATA_INACTIVE"
FIELDS = {
    "name": "name",
    "state": "state",
    "metric.type": "metric.type",
    "policy.display_name": "policy.displayName",
    "policy.name": "policy.name",
    "policy.severity": "policy.severity",
    "resource.type": "resource.type",
}
ORDERS = {"open_time": "openTime", "close_time": "closeTime"}
PAGE, MAX_PAGE = 50, 1000


def _minute(cloud: Cloud) -> float:
    """The last full minute that is over, so that nothing more can happen in it."""
    return float((math.ceil(cloud.clock.now() / MINUTE) - 1) * MINUTE)


def follow(cloud: Cloud, name: str) -> None:
    """Judge a policy from now on by what it now is: after it was made, changed or deleted.

    Incidents of conditions that are no longer there are cancelled.
    """
    monitoring = cloud[Monitoring]
    policy, watch = monitoring.policies.get(name), monitoring.watches.get(name)
    kept = policy["conditions"] if policy and policy["enabled"] else []
    for at, incident in list(watch.open.items()) if watch else ():
        if watch and incident.condition not in kept:
            incident.cancelled = True
            _close(cloud, watch, at, cloud.clock.now())
    if policy is None or not policy["enabled"]:
        monitoring.watches.pop(name, None)
        return
    monitoring.watches[name] = made = Watch(policy, _minute(cloud), cloud[Logging].position())
    for at, incident in watch.open.items() if watch else ():
        made.open[at] = incident
        made.met.add(at)
        made.since[at], made.seen[at] = incident.opened, incident.data


def look(cloud: Cloud) -> None:
    """Judge every policy at each full minute that has passed since it was last judged."""
    minute, read = _minute(cloud), dict[tuple[str, Position], list[Info]]()
    for watch in list(cloud[Monitoring].watches.values()):
        if watch.upto >= minute:
            continue
        first = round(watch.upto) + MINUTE
        minutes = [float(at) for at in range(first, round(minute) + 1, MINUTE)]
        watch.upto = minute
        [*conditions] = watch.policy["conditions"]
        if "conditionMatchedLog" in conditions[0]:
            _read_logs(cloud, watch, conditions[0], minute, read)
        else:
            _judge(cloud, watch, minutes)


# Metrics


def _judge(cloud: Cloud, watch: Watch, minutes: Sequence[float]) -> None:
    project = watch.policy["name"].split("/")[1]
    rules: dict[str, Rule] = {}
    found: dict[str, list[Values]] = {}
    watch.broken.clear()
    for condition in watch.policy["conditions"]:
        try:
            rules[condition["name"]] = it = rule(cloud, project, condition)
            found[condition["name"]] = it.values(minutes)
        except (ApiError, NotEvaluated) as error:
            watch.broken[condition["name"]] = str(getattr(error, "message", error))
    for index, minute in enumerate(minutes):
        met = {
            name: _met(watch, name, rules[name], values[index], minute)
            for name, values in found.items()
        }
        _open_and_close(cloud, watch, rules, _combined(watch, met), minute)


def _met(watch: Watch, name: str, rule: Rule, values: Values, minute: float) -> set[At]:
    """The series for which a condition is met at a minute, when they are enough."""
    for key, value in values.items():
        at = (name, key)
        watch.seen[at], watch.values[at] = minute, value
        if rule.absent or not rule.violates(value):
            watch.since.pop(at, None)
        else:
            watch.since.setdefault(at, minute)
    for at in [at for at in watch.seen if at[0] == name and at[1] not in values]:
        if rule.absent:
            watch.since.setdefault(at, watch.seen[at])
        elif rule.missing == ACTIVE:
            watch.since.setdefault(at, minute)
        elif rule.missing == INACTIVE or at not in watch.met:
            watch.since.pop(at, None)
    met = {
        at for at, since in watch.since.items() if at[0] == name and minute - since >= rule.duration
    }
    watch.met = {at for at in watch.met if at[0] != name} | met
    wanted = rule.trigger.get("count") or 1
    if percent := rule.trigger.get("percent"):
        wanted = percent / 100 * len({*values, *(key for _, key in met)})
    return met if len(met) >= wanted else set()


def _combined(watch: Watch, met: dict[str, set[At]]) -> set[At]:
    combiner = watch.policy.get("combiner", "OR")
    every: set[At] = set().union(*met.values())
    if combiner == "OR":
        return every
    if watch.broken or not all(met.values()):
        return set()
    if combiner == "AND":
        return every
    shared = set.intersection(
        *({(key.resource, key.resource_labels) for _, key in of} for of in met.values())
    )
    return {at for at in every if (at[1].resource, at[1].resource_labels) in shared}


def _open_and_close(
    cloud: Cloud, watch: Watch, rules: dict[str, Rule], active: set[At], minute: float
) -> None:
    for at in sorted(active - watch.open.keys()):
        _open(cloud, watch, at, minute, watch.seen[at], watch.values.get(at))
    for at, incident in list(watch.open.items()):
        if at[0] not in rules:
            continue
        incident.data, value = watch.seen.get(at, incident.data), watch.values.get(at)
        incident.value = incident.value if value is None else value
        lasting = rules[at[0]].absent or rules[at[0]].missing == ACTIVE
        if at not in active:
            _close(cloud, watch, at, minute)
        elif minute - incident.data >= _auto_close(watch) + lasting * DAY:
            for known in (watch.since, watch.seen, watch.values):
                known.pop(at, None)
            watch.met.discard(at)
            _close(cloud, watch, at, minute)


def _auto_close(watch: Watch) -> float:
    given = watch.policy.get("alertStrategy", {}).get("autoClose")
    return float(given.rstrip("s")) if given else AUTO_CLOSE


# Logs


def _read_logs(
    cloud: Cloud,
    watch: Watch,
    condition: Info,
    minute: float,
    read: dict[tuple[str, Position], list[Info]],
) -> None:
    """Open an incident for each combination of labels, and no more often than is to be told."""
    given, logging = condition["conditionMatchedLog"], cloud[Logging]
    project = "/".join(watch.policy["name"].split("/")[:2])
    place = (project, watch.position)
    if place not in read:
        read[place] = list(logging.entries({project}, watch.position))
    watch.position = logging.position()
    matching = compiled(given["filter"])
    labels = {key: extractor(text) for key, text in given.get("labelExtractors", {}).items()}
    period = float(watch.policy["alertStrategy"]["notificationRateLimit"]["period"].rstrip("s"))
    for entry in filter(matching, read[place]):
        moment = nanoseconds(entry["timestamp"]) / 1e9
        _close_old(cloud, watch, moment)
        extracted = {key: extract(entry) or "" for key, extract in labels.items()}
        at = (condition["name"], Key("", tuple(sorted(extracted.items())), "", ()))
        if at in watch.open:
            watch.open[at].data = moment
        elif moment - watch.told.get(at, float("-inf")) >= period:
            watch.told[at] = moment
            _open(cloud, watch, at, moment, moment, None, entry=entry, extracted=extracted)
    _close_old(cloud, watch, minute)


def _close_old(cloud: Cloud, watch: Watch, moment: float) -> None:
    for at, incident in list(watch.open.items()):
        due = incident.data + _auto_close(watch)
        if due <= moment:
            _close(cloud, watch, at, due)


# Incidents


def _open(
    cloud: Cloud,
    watch: Watch,
    at: At,
    moment: float,
    data: float,
    value: float | None,
    *,
    entry: Info | None = None,
    extracted: dict[str, str] | None = None,
) -> None:
    name, key = at
    if entry:
        labels = tuple(sorted(entry["resource"].get("labels", {}).items()))
        key = key._replace(resource=entry["resource"]["type"], resource_labels=labels)
    [condition] = [item for item in watch.policy["conditions"] if item["name"] == name]
    digest = hashlib.sha256(f"{name} {at[1]} {moment}".encode()).hexdigest()
    project = watch.policy["name"].split("/")[1]
    incident = Incident(
        f"projects/{project}/alerts/0.{digest[:12]}",
        watch.policy,
        condition,
        key,
        moment,
        value,
        data,
        extracted,
    )
    watch.open[at] = cloud[Monitoring].alerts[incident.name] = incident
    notify(cloud, incident)


def _close(cloud: Cloud, watch: Watch, at: At, moment: float) -> None:
    incident = watch.open.pop(at)
    incident.closed = moment
    notify(cloud, incident)


def not_evaluated(cloud: Cloud, project: str) -> Iterator[Info]:
    """The conditions in `projects/P` of which this cloud can tell nothing, with the reason."""
    for policy in under(cloud[Monitoring].policies, project, "alertPolicies").values():
        watch = cloud[Monitoring].watches.get(policy["name"])
        for condition in policy["conditions"] if watch else ():
            why = watch.broken.get(condition["name"], "") if watch else ""
            if "conditionMatchedLog" not in condition:
                try:
                    rule(cloud, project.partition("/")[2], condition)
                except (ApiError, NotEvaluated) as error:
                    why = str(getattr(error, "message", error))
            if why:
                yield {"policy": policy["name"], "condition": condition["displayName"], "why": why}


def told(cloud: Cloud) -> dict[str, Any]:
    """For the runner: all incidents, all notifications, and what is not evaluated."""
    projects = {"/".join(name.split("/")[:2]) for name in cloud[Monitoring].policies}
    return {
        "incidents": [_shown(cloud, item) for item in cloud[Monitoring].alerts.values()],
        "notifications": cloud[Monitoring].sent,
        "notEvaluated": [item for name in sorted(projects) for item in not_evaluated(cloud, name)],
    }


def _shown(cloud: Cloud, incident: Incident) -> Info:
    """An Alert."""
    policy, key, clock = incident.policy, incident.key, cloud.clock
    named = {"type": key.metric, "labels": dict(key.metric_labels)} if key.metric else None
    shown = {
        "name": incident.name,
        "state": "OPEN" if incident.closed is None else "CLOSED",
        "openTime": clock.rfc3339(incident.opened),
        "closeTime": clock.rfc3339(incident.closed) if incident.closed is not None else None,
        "resource": {"type": key.resource, "labels": dict(key.resource_labels)},
        "metric": named,
        "log": {"extractedLabels": incident.extracted} if incident.extracted else None,
        "policy": {
            field: policy[field]
            for field in ("name", "displayName", "severity", "userLabels")
            if field in policy
        },
    }
    return {field: value for field, value in shown.items() if value is not None}


# The API


@method(
    "monitoring.projects.alerts.list",
    permission="monitoring.alerts.list",
    on=on_parent,
    reads="filter orderBy pageSize pageToken",
)
def list_alerts(call: Call) -> Result:
    cloud, params = call.cloud, call.params
    for item in not_evaluated(cloud, call.resource):
        raise unimplemented(f"{item['condition']} of {item['policy']}: {item['why']}; its alerts")
    found = under(
        {name: _shown(cloud, item) for name, item in cloud[Monitoring].alerts.items()},
        call.resource,
        "alerts",
    )
    chosen = select(params.get("filter", ""), found.values(), FIELDS, dict)
    for part in reversed((params.get("orderBy") or "open_time desc").split(",")):
        field, _, direction = part.strip().partition(" ")
        if field not in ORDERS or direction not in ("", "desc"):
            raise invalid(f"order_by takes open_time and close_time, each with desc or not: {part}")
        chosen.sort(key=partial(_at, ORDERS[field]), reverse=direction == "desc")
    keyed = {f"{index:09}": item for index, item in enumerate(chosen)}
    answer = listing("alerts", keyed, params, default=PAGE, most=MAX_PAGE)
    return answer | ({"totalSize": len(chosen)} if chosen else {})


def _at(field: str, alert: Info) -> str:
    return str(alert.get(field, ""))


@method("monitoring.projects.alerts.get", permission="monitoring.alerts.get", on=on_name)
def get(call: Call) -> Result:
    found = call.cloud[Monitoring].alerts.get(call.resource)
    if found is None:
        raise not_found(f"Alert not found: {call.resource}")
    return _shown(call.cloud, found)
