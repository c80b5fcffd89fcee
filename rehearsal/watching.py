"""That trouble is told: incidents open, land where people look, and close; quiet is quiet."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import urlencode

from components import permissions as table
from components import telemetry as stack
from components.alerts import ALERTS
from components.routing import ATTEMPTS, RISKS, subscription
from rehearsal import telemetry
from rehearsal.environment import ONCALL, OWNER
from rehearsal.report import Stage, StageFailed
from rehearsal.routing import MALFORMED, PUBSUB, pulled, reading
from rehearsal.run import Rehearsal
from rehearsal.sandbox import Google, GoogleError
from rehearsal.workloads import predictor
from simulator.core.clock import rfc3339

MONITORING: Final = "https://monitoring.googleapis.com"
FAILING: Final = 8
"""Predictions that fail: all of an hour, and hardly any of a day."""

SLOW_MS: Final = 60_000
INBOX: Final = "oncall"
MINUTE: Final = 60.0
HOUR: Final = 60 * MINUTE
RAISED: Final = ("errors", "latency", "denied", "access", "fast-burn")
ROUTED: Final = ("undelivered", "dead-letters")
TITLES: Final = frozenset(alert.title for alert in ALERTS)
"""Of what this stage is about: what it asks the endpoint is not what was asked before, and so there
are incidents of drift."""

SOMEBODY: Final = {"role": "roles/browser", "members": [f"user:{ONCALL}"]}


def watch(run: Rehearsal, stage: Stage) -> None:
    """Make trouble of each kind, and find it told and over; an hour before, find nothing."""
    settings, oncall = run.environment.settings, run.sandbox.google(ONCALL)
    topic, inbox = settings.alerts.topic, f"projects/{settings.project}/subscriptions/{INBOX}"
    if topic:
        body = {"topic": f"projects/{settings.project}/topics/{topic}"}
        oncall.call("PUT", f"{PUBSUB}/{inbox}", body)
    run.sandbox.wait(HOUR)  # what the stages before raised is over
    before = _opened(run, oncall)
    run.sandbox.wait(HOUR)
    if rash := _opened(run, oncall).keys() - before.keys():
        raise StageFailed(f"{len(rash)} incidents in a quiet hour", "\n".join(sorted(rash)))

    _told(run, oncall)
    _trouble(run)
    for _ in range(2 * ATTEMPTS):
        run.sandbox.wait(2 * MINUTE)
    _clear(run)
    run.sandbox.wait(HOUR + 30 * MINUTE)
    wanted = {
        alert.title for alert in ALERTS if alert.name in (*RAISED, *(ROUTED if run.routes else ()))
    }
    silent = {alert.title for alert in ALERTS if alert.of_log}
    found = {name: alert for name, alert in _opened(run, oncall).items() if name not in before}
    titles = {alert["policy"]["displayName"] for alert in found.values()}
    _demand("opened", wanted, titles)
    still = {a["policy"]["displayName"] for a in found.values() if a["state"] != "CLOSED"}
    _demand("still open", set(), still)
    told = _told(run, oncall)
    _demand("landed", wanted, {it["policy_name"] for it in told if it["state"] == "open"})
    closed = {it["policy_name"] for it in told if it["state"] == "closed"}
    _demand("landed as closed", wanted - silent, closed)
    charts = _demand_charts(run, oncall)
    if topic:
        oncall.call("DELETE", f"{PUBSUB}/{inbox}")
    run.sandbox.renew()  # hours have gone, on the cloud's clock
    run.report.summary["incidents"] = len(found)
    stage.note = (
        f"{len(found)} incidents of {len(titles)} kinds opened, landed and closed; a quiet hour "
        f"none; {charts} charts have data"
    )


def _demand(what: str, wanted: set[str], found: set[str]) -> None:
    if wanted != found:
        more, less = sorted(found - wanted), sorted(wanted - found)
        raise StageFailed(f"incidents {what}: {more} too many, {less} missing")


def _opened(run: Rehearsal, oncall: Google) -> dict[str, Any]:
    """Every incident that there was, as the API lists them."""
    found = incidents(run, oncall)
    return {alert["name"]: alert for alert in found if alert["policy"]["displayName"] in TITLES}


def incidents(run: Rehearsal, who: Google) -> list[Any]:
    """Every incident that there was, as the API lists them."""
    url = f"{MONITORING}/v3/projects/{run.environment.settings.project}/alerts?pageSize=1000"
    return list(who.call("GET", url).get("alerts", ()))


def _told(run: Rehearsal, oncall: Google) -> list[Any]:
    """What has landed since it was last asked: on the topic, or as mail that was written down."""
    settings = run.environment.settings
    if settings.alerts.topic:
        messages = pulled(oncall, run, INBOX)
        told = [json.loads(base64.b64decode(it["data"]))["incident"] for it in messages]
    else:
        sent = run.sandbox.control("GET", "/incidents")["notifications"]
        seen = run.report.summary.setdefault("mails", 0)
        run.report.summary["mails"] = len(sent)
        told = [it["incident"] for it in sent[seen:]]
    return [incident for incident in told if incident["policy_name"] in TITLES]


def _trouble(run: Rehearsal) -> None:
    settings = run.environment.settings
    ask, [values] = predictor(run), telemetry.unseen(1)[0]
    strain = {"endpoint": settings.endpoint_name}
    run.sandbox.control("POST", "/strain", {**strain, "fails": True, "slower_ms": SLOW_MS})
    for _ in range(FAILING):
        _demand_refusal(503, lambda: ask([values]))
    run.sandbox.control("POST", "/strain", strain)

    be_refused(run)
    owner = run.sandbox.google(OWNER)
    policy = _policy(run, owner, "getIamPolicy", {})
    bindings = policy.get("bindings", [])
    granted = {**policy, "bindings": [*bindings, SOMEBODY]}
    changed = _policy(run, owner, "setIamPolicy", {"policy": granted})
    _policy(run, owner, "setIamPolicy", {"policy": {**policy, "etag": changed["etag"]}})

    if run.routes:
        device = run.sandbox.google(settings.email(table.DEVICE))
        good = reading(settings.sensors, 0, values)
        wrong, _, _ = MALFORMED[0]
        for body in (good, {**good, **wrong}):
            data = base64.b64encode(json.dumps(body).encode()).decode()
            message = {"data": data, "orderingKey": str(body["device"] or "broken")}
            topic = stack.topic_id(settings, stack.TOPIC)
            device.call("POST", f"{PUBSUB}/{topic}:publish", {"messages": [message]})


def be_refused(run: Rehearsal) -> None:
    """Ask for what the telemetry account must not have: an endpoint of its own."""
    settings = run.environment.settings
    account = run.sandbox.google(settings.email(table.TELEMETRY))
    location = f"projects/{settings.project}/locations/{settings.region}"
    url = f"https://{settings.region}-aiplatform.googleapis.com/v1/{location}/endpoints"
    _demand_refusal(403, lambda: account.call("POST", url, {"displayName": "mine"}))


def _policy(run: Rehearsal, google: Google, verb: str, body: Any) -> Any:
    project = run.environment.settings.project
    url = f"https://cloudresourcemanager.googleapis.com/v1/projects/{project}:{verb}"
    return google.call("POST", url, body)


def _demand_refusal(status: int, call: Any) -> None:
    try:
        call()
    except GoogleError as error:
        if error.status == status:
            return
        raise StageFailed(f"{status} was to come", str(error)) from error
    raise StageFailed(f"{status} was to come, and it went through")


def _clear(run: Rehearsal) -> None:
    """Take what waits: as the maintenance system does, and as whoever mends devices does."""
    if not run.routes:
        return
    settings = run.environment.settings
    maintenance = run.sandbox.google(settings.email(table.MAINTENANCE))
    for _ in range(ATTEMPTS):
        list(pulled(maintenance, run, subscription(settings, RISKS)))
        run.sandbox.wait(10 * MINUTE)
    list(pulled(maintenance, run, settings.named(stack.DEAD_LETTERS)))


def _demand_charts(run: Rehearsal, oncall: Google) -> int:
    """Every line of the dashboard has points in the last hours; how many charts there are."""
    widgets = charts(run, oncall)
    now = run.sandbox.control("GET", "/clock")["now"]
    for title, query in _lines(widgets):
        answer = time_series(run, oncall, query, now - 6 * HOUR, now)
        if not any(series["points"] for series in answer.get("timeSeries", ())):
            raise StageFailed(f"the chart {title!r} has no data", query["filter"])
    return len(widgets)


def charts(run: Rehearsal, who: Google) -> list[Any]:
    """The widgets of the stack's dashboard."""
    project = run.environment.settings.project
    [dashboard] = who.call("GET", f"{MONITORING}/v1/projects/{project}/dashboards")["dashboards"]
    return list(dashboard["gridLayout"]["widgets"])


def time_series(run: Rehearsal, who: Google, query: Any, start: float, end: float) -> Any:
    """What timeSeries.list answers to a `timeSeriesFilter`, between two Unix times."""
    params = {
        "filter": query["filter"],
        "interval.startTime": rfc3339(start),
        "interval.endTime": rfc3339(end),
        **{f"aggregation.{name}": value for name, value in query["aggregation"].items()},
    }
    project = run.environment.settings.project
    url = f"{MONITORING}/v3/projects/{project}/timeSeries"
    return who.call("GET", f"{url}?{urlencode(params, doseq=True)}")


def _lines(widgets: list[Any]) -> Iterator[tuple[str, Any]]:
    for widget in widgets:
        for data in widget["xyChart"]["dataSets"]:
            yield widget["title"], data["timeSeriesQuery"]["timeSeriesFilter"]
