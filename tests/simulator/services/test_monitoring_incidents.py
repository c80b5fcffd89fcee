"""Alert policies judged on what happened: which incidents open and close, and who is told."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from simulator.iam.decisions import Iam
from simulator.identity.accounts import Accounts
from simulator.services.monitoring import incidents
from simulator.services.monitoring.state import Monitoring
from simulator.services.vertex.state import Served, Vertex
from tests.simulator.support.observe import (
    ENDPOINT_TYPE,
    MONITORING,
    PARENT,
    PREDICTIONS,
    create_endpoint,
    done,
    refused,
    series,
    write,
)
from tests.simulator.support.pubsub import DEAD, PULL, Client, grant_agent
from tests.simulator.support.service import ENDPOINT, PROJECT, Sandbox

ALERTS = f"{MONITORING}/{PARENT}/alerts"
CHANNELS = f"{MONITORING}/{PARENT}/notificationChannels"
POLICIES = f"{MONITORING}/{PARENT}/alertPolicies"
INCIDENTS = f"{PARENT}/topics/incidents"
INBOX = f"{PARENT}/subscriptions/incidents"
MINUTE = 60.0


def online(name: str, more: str = "") -> str:
    return f'metric.type="{PREDICTIONS}/{name}" AND {ENDPOINT_TYPE}{more}'


def threshold(text: str, above: float = 0, **fields: Any) -> dict[str, Any]:
    aggregation = {"alignmentPeriod": "300s", "perSeriesAligner": "ALIGN_DELTA"}
    return {
        "conditionThreshold": {
            "filter": text,
            "comparison": "COMPARISON_GT",
            "thresholdValue": above,
            "duration": "60s",
            "evaluationMissingData": "EVALUATION_MISSING_DATA_INACTIVE",
            "aggregations": [aggregation],
            **fields,
        }
    }


def create(sandbox: Sandbox, *conditions: dict[str, Any], **fields: Any) -> dict[str, Any]:
    sandbox.cloud.clock.step(1)  # a minute is judged when it is over
    named = [{"displayName": f"c{index}", **item} for index, item in enumerate(conditions)]
    body = {"displayName": "watched", "combiner": "OR", "conditions": named, **fields}
    return done(sandbox, "POST", POLICIES, body)


def serve(
    sandbox: Sandbox, count: int = 1, *, status: int = 200, ms: float = 5, on: str = "1"
) -> None:
    """Predictions as the endpoint would have answered them now."""
    for _ in range(count):
        sandbox.cloud[Vertex].served.append(
            Served(sandbox.cloud.clock.now(), ENDPOINT, on, ("m", "pm"), 1, status, ms, 0.0)
        )


def wait(sandbox: Sandbox, minutes: float = 1) -> None:
    sandbox.cloud.clock.step(minutes * MINUTE)


def alerts(sandbox: Sandbox, **params: Any) -> list[Any]:
    found: list[Any] = done(sandbox, "GET", ALERTS, **params).get("alerts", [])
    return found


def states(sandbox: Sandbox) -> list[str]:
    return [item["state"] for item in alerts(sandbox, orderBy="open_time")]


@pytest.fixture
def topic(sandbox: Sandbox, pubsub: Client) -> Client:
    """A topic that Monitoring may publish incidents on, with a subscription."""
    pubsub.topic(INCIDENTS)
    pubsub.subscribe(INBOX, topic=INCIDENTS)
    agent = sandbox.cloud[Accounts].create_agent("monitoring", PROJECT).member
    sandbox.cloud[Iam].grant(INCIDENTS, "roles/pubsub.publisher", agent)
    wait(sandbox, 2)
    return pubsub


def channel(sandbox: Sandbox, kind: str = "pubsub", **labels: str) -> str:
    body = {"type": kind, "labels": labels or {"topic": INCIDENTS}}
    return str(done(sandbox, "POST", CHANNELS, body)["name"])


def inbox(client: Client) -> list[dict[str, Any]]:
    client.wait(0)
    received = client.pull(INBOX)
    if received:
        client.acknowledge(*received, name=INBOX)
    found = [json.loads(base64.b64decode(item["message"]["data"])) for item in received]
    assert all(item["version"] == "1.2" for item in found)
    return [item["incident"] for item in found]


def test_a_threshold_opens_an_incident_that_closes_once_it_is_kept(
    sandbox: Sandbox, topic: Client
) -> None:
    made = create(
        sandbox,
        threshold(online("response_count", ' AND metric.labels.response_code="5xx"')),
        severity="ERROR",
        documentation={"content": "look", "mimeType": "text/markdown"},
        notificationChannels=[channel(sandbox)],
    )
    serve(sandbox, 3, status=503)
    wait(sandbox, 1)
    assert alerts(sandbox) == []  # for less than its duration
    wait(sandbox, 1)
    [alert] = alerts(sandbox)
    assert alert["state"] == "OPEN" and "closeTime" not in alert
    assert alert["metric"]["labels"]["response_code"] == "5xx"
    assert alert["resource"]["type"] == "aiplatform.googleapis.com/Endpoint"
    assert alert["policy"] == {
        "name": made["name"],
        "displayName": "watched",
        "severity": "ERROR",
    }
    [told] = inbox(topic)
    assert (told["state"], told["policy_name"], told["severity"]) == ("open", "watched", "Error")
    assert told["incident_id"] == alert["name"].rpartition("/")[2]
    assert (told["observed_value"], told["threshold_value"]) == ("3.000", "0")
    assert told["documentation"]["content"] == "look" and told["ended_at"] is None

    wait(sandbox, 5)
    [closed] = alerts(sandbox)
    assert closed["state"] == "CLOSED" and closed["openTime"] == alert["openTime"]
    [over] = inbox(topic)
    assert (over["state"], over["incident_id"]) == ("closed", told["incident_id"])
    assert over["ended_at"] > over["started_at"] == told["started_at"]
    assert done(sandbox, "GET", f"{MONITORING}/{alert['name']}") == closed


def test_every_series_has_an_incident_of_its_own(sandbox: Sandbox) -> None:
    create(sandbox, threshold(online("error_count"), above=2))
    serve(sandbox, 3, status=500, on="1")
    serve(sandbox, 2, status=500, on="2")
    serve(sandbox, 4, status=500, on="3")
    wait(sandbox, 3)
    found = {item["metric"]["labels"]["deployed_model_id"] for item in alerts(sandbox)}
    assert found == {"1", "3"}


def test_a_ratio_is_compared_and_has_no_value_without_what_it_is_of(sandbox: Sandbox) -> None:
    summed = {
        "alignmentPeriod": "300s",
        "perSeriesAligner": "ALIGN_DELTA",
        "crossSeriesReducer": "REDUCE_SUM",
        "groupByFields": ["resource.labels.endpoint_id"],
    }
    condition = threshold(
        online("response_count", ' AND metric.labels.response_code!="2xx"'),
        above=0.05,
        denominatorFilter=online("response_count"),
        aggregations=[summed],
        denominatorAggregations=[summed],
    )
    create(sandbox, condition)
    serve(sandbox, 96)
    serve(sandbox, 4, status=500)
    wait(sandbox, 3)
    assert alerts(sandbox) == []
    serve(sandbox, 3, status=429)
    wait(sandbox, 2)
    [alert] = alerts(sandbox)
    assert alert["resource"]["labels"] == {"endpoint_id": "1234567890", "project_id": PROJECT}
    wait(sandbox, 30)
    assert states(sandbox) == ["CLOSED"]


def test_percentiles_of_latencies_are_compared(sandbox: Sandbox) -> None:
    p95 = {"alignmentPeriod": "60s", "perSeriesAligner": "ALIGN_PERCENTILE_95"}
    text = online("prediction_latencies", ' AND metric.labels.latency_type="total"')
    more = {"evaluationMissingData": "EVALUATION_MISSING_DATA_UNSPECIFIED", "duration": "0s"}
    create(sandbox, threshold(text, above=1000, aggregations=[p95], **more))
    serve(sandbox, 100, ms=20)
    serve(sandbox, 4, ms=3000)
    wait(sandbox, 1)
    assert alerts(sandbox) == []
    serve(sandbox, 10, ms=20)
    serve(sandbox, 4, ms=3000)
    wait(sandbox, 1)
    assert states(sandbox) == ["OPEN"]


@pytest.mark.parametrize(
    ("missing", "expected"),
    [("NO_OP", ["OPEN"]), ("INACTIVE", ["CLOSED"]), ("ACTIVE", ["OPEN"])],
)
def test_what_missing_data_mean_to_an_incident(
    sandbox: Sandbox, missing: str, expected: list[str]
) -> None:
    more = {"evaluationMissingData": f"EVALUATION_MISSING_DATA_{missing}"}
    create(sandbox, threshold(online("error_count"), **more))
    serve(sandbox, status=500)
    wait(sandbox, 20)
    assert states(sandbox) == expected


def test_data_that_stop_open_no_incident_that_was_not_due(sandbox: Sandbox) -> None:
    more = {"evaluationMissingData": "EVALUATION_MISSING_DATA_NO_OP", "duration": "1200s"}
    create(sandbox, threshold(online("error_count"), **more))
    serve(sandbox, status=500)
    wait(sandbox, 60)
    assert alerts(sandbox) == []


def test_an_incident_without_data_closes_after_auto_close(sandbox: Sandbox) -> None:
    more = {"evaluationMissingData": "EVALUATION_MISSING_DATA_NO_OP"}
    create(sandbox, threshold(online("error_count"), **more), alertStrategy={"autoClose": "1800s"})
    serve(sandbox, status=500)
    wait(sandbox, 30)
    assert states(sandbox) == ["OPEN"]
    wait(sandbox, 10)
    assert states(sandbox) == ["CLOSED"]
    wait(sandbox, 60)
    assert states(sandbox) == ["CLOSED"]  # and does not open again


def test_a_series_that_ends_is_absent(sandbox: Sandbox) -> None:
    aggregation = {"alignmentPeriod": "60s", "perSeriesAligner": "ALIGN_DELTA"}
    absent = {
        "filter": online("prediction_count"),
        "duration": "300s",
        "aggregations": [aggregation],
    }
    create(sandbox, {"conditionAbsent": absent})
    wait(sandbox, 30)
    assert alerts(sandbox) == []  # there never was a series
    serve(sandbox)
    wait(sandbox, 5)
    assert alerts(sandbox) == []
    wait(sandbox, 2)
    assert states(sandbox) == ["OPEN"]
    serve(sandbox)
    wait(sandbox)
    assert states(sandbox) == ["CLOSED"]


def test_conditions_joined_by_and_hold_together(sandbox: Sandbox) -> None:
    errors = threshold(online("error_count"))
    many = threshold(online("prediction_count"), above=10)
    create(sandbox, errors, many, combiner="AND")
    serve(sandbox, status=500)
    wait(sandbox, 3)
    assert alerts(sandbox) == []
    serve(sandbox, 20)
    wait(sandbox, 2)
    assert len(alerts(sandbox)) == 2
    wait(sandbox, 2)
    assert states(sandbox) == ["CLOSED", "CLOSED"]  # the errors are five minutes old


@pytest.mark.parametrize(
    ("trigger", "count"),
    [({"count": 2}, 2), ({"count": 3}, 0), ({"percent": 60}, 2), ({"percent": 70}, 0)],
)
def test_a_trigger_says_how_many_series_it_takes(
    sandbox: Sandbox, trigger: dict[str, float], count: int
) -> None:
    create(sandbox, threshold(online("error_count"), above=1, trigger=trigger))
    for model, errors in (("1", 5), ("2", 5), ("3", 1)):
        serve(sandbox, errors, status=500, on=model)
    wait(sandbox, 3)
    assert len(alerts(sandbox)) == count


def log_match(**extractors: str) -> dict[str, Any]:
    return {
        "conditionMatchedLog": {
            "filter": 'protoPayload.status.code=7 OR textPayload:"denied"',
            "labelExtractors": extractors,
        }
    }


LIMIT = {"notificationRateLimit": {"period": "300s"}, "autoClose": "1800s"}


def test_a_log_opens_an_incident_for_each_combination_of_labels(
    sandbox: Sandbox, topic: Client
) -> None:
    who = {"who": "EXTRACT(protoPayload.authenticationInfo.principalEmail)"}
    create(sandbox, log_match(**who), alertStrategy=LIMIT, notificationChannels=[channel(sandbox)])
    for name in ("deployer", "deployer", "serving"):
        assert create_endpoint(sandbox, name)[0] == 403
    wait(sandbox)
    found = [item["log"]["extractedLabels"]["who"].partition("@")[0] for item in alerts(sandbox)]
    assert sorted(found) == ["deployer", "serving"]
    assert sorted(item["metric"]["labels"]["who"] for item in inbox(topic)) == sorted(
        item["log"]["extractedLabels"]["who"] for item in alerts(sandbox)
    )
    wait(sandbox, 31)
    assert states(sandbox) == ["CLOSED", "CLOSED"]
    assert inbox(topic) == []  # a log's incident closes in silence


def test_the_rate_of_a_logs_notifications_is_limited(sandbox: Sandbox) -> None:
    limit = {"notificationRateLimit": {"period": "7200s"}, "autoClose": "1800s"}
    create(sandbox, log_match(), alertStrategy=limit)
    for _ in range(3):
        write(sandbox, "denied")
        wait(sandbox, 40)
    assert states(sandbox) == ["CLOSED"]
    wait(sandbox, 30)
    write(sandbox, "denied")
    wait(sandbox)
    assert states(sandbox) == ["CLOSED", "OPEN"]


def objective(sandbox: Sandbox, indicator: dict[str, Any], goal: float = 0.99) -> str:
    services = f"{MONITORING}/{PARENT}/services"
    done(sandbox, "POST", services, {"custom": {}, "displayName": "pm"}, serviceId="pm")
    slo = {"goal": goal, "rollingPeriod": "2419200s", "serviceLevelIndicator": indicator}
    made = done(sandbox, "POST", f"{services}/pm/serviceLevelObjectives", slo,
                serviceLevelObjectiveId="availability")  # fmt: skip
    return str(made["name"])


def burning(slo: str, lookback: str = "3600s") -> dict[str, Any]:
    return {
        "conditionThreshold": {
            "filter": f'select_slo_burn_rate("{slo}", "{lookback}")',
            "comparison": "COMPARISON_GT",
            "thresholdValue": 10,
            "duration": "0s",
        }
    }


@pytest.mark.parametrize(
    "indicator",
    [
        {
            "requestBased": {
                "goodTotalRatio": {
                    "totalServiceFilter": online("response_count"),
                    kind: online("response_count", f' AND metric.labels.response_code{is_}"5xx"'),
                }
            }
        }
        for kind, is_ in (("badServiceFilter", "="), ("goodServiceFilter", "!="))
    ]
    + [
        {
            "requestBased": {
                "distributionCut": {
                    "distributionFilter": online(
                        "prediction_latencies", ' AND metric.labels.latency_type="total"'
                    ),
                    "range": {"max": 100},
                }
            }
        }
    ],
    ids=["bad", "good", "latency"],
)
def test_a_burn_rate_is_the_bad_share_over_the_allowed_one(
    sandbox: Sandbox, indicator: dict[str, Any]
) -> None:
    """At a goal of 99 %, ten times the allowed share is 10 %."""
    create(sandbox, burning(objective(sandbox, indicator)))
    serve(sandbox, 90)
    serve(sandbox, 9, status=503, ms=500)
    wait(sandbox)
    assert alerts(sandbox) == []
    serve(sandbox, 2, status=503, ms=500)
    wait(sandbox)
    assert states(sandbox) == ["OPEN"]
    wait(sandbox, 30)
    serve(sandbox, 90)
    wait(sandbox)
    assert states(sandbox) == ["CLOSED"]


def test_a_changed_condition_cancels_its_incident(sandbox: Sandbox, topic: Client) -> None:
    made = create(
        sandbox, threshold(online("error_count")), notificationChannels=[channel(sandbox)]
    )
    serve(sandbox, status=500)
    wait(sandbox, 2)
    inbox(topic)
    url = f"{MONITORING}/{made['name']}"
    done(sandbox, "PATCH", url, {"displayName": "other"}, updateMask="displayName")
    assert states(sandbox) == ["OPEN"]
    made["conditions"][0]["conditionThreshold"]["thresholdValue"] = 5
    body = {"conditions": made["conditions"]}
    done(sandbox, "PATCH", url, body, updateMask="conditions")
    assert states(sandbox) == ["CLOSED"]
    assert "deleted or modified while incident" in inbox(topic)[0]["observed_value"]


@pytest.mark.parametrize("how", ["delete", "disable"])
def test_a_policy_that_is_gone_opens_nothing_and_keeps_nothing_open(
    sandbox: Sandbox, how: str
) -> None:
    made = create(sandbox, threshold(online("error_count")))
    serve(sandbox, status=500)
    wait(sandbox, 2)
    url = f"{MONITORING}/{made['name']}"
    if how == "delete":
        done(sandbox, "DELETE", url)
    else:
        done(sandbox, "PATCH", url, {"enabled": False}, updateMask="enabled")
    assert states(sandbox) == ["CLOSED"]
    serve(sandbox, 5, status=500)
    wait(sandbox, 5)
    assert states(sandbox) == ["CLOSED"]


def test_a_topic_that_the_agent_may_not_publish_on_gets_nothing(
    sandbox: Sandbox, pubsub: Client
) -> None:
    pubsub.topic(INCIDENTS)
    pubsub.subscribe(INBOX, topic=INCIDENTS)
    create(sandbox, threshold(online("error_count")), notificationChannels=[channel(sandbox)])
    serve(sandbox, status=500)
    wait(sandbox, 2)
    assert states(sandbox) == ["OPEN"]
    assert inbox(pubsub) == []
    [sent] = sandbox.cloud[Monitoring].sent
    assert sent["delivered"] is False and "not authorized" in sent["error"]


def test_mail_is_written_down_and_channels_that_are_off_get_none(sandbox: Sandbox) -> None:
    on = channel(sandbox, "email", email_address="a@example.com")
    off = channel(sandbox, "email", email_address="b@example.com")
    done(sandbox, "PATCH", f"{MONITORING}/{off}", {"enabled": False}, updateMask="enabled")
    prompts = {"notificationPrompts": ["OPENED"]}
    create(
        sandbox,
        threshold(online("error_count")),
        notificationChannels=[on, off],
        alertStrategy=prompts,
    )
    serve(sandbox, status=500)
    wait(sandbox, 20)
    assert states(sandbox) == ["CLOSED"]
    told = incidents.told(sandbox.cloud)
    [sent] = told["notifications"]
    assert (sent["labels"], sent["incident"]["state"]) == (
        {"email_address": "a@example.com"},
        "open",
    )
    assert [item["state"] for item in told["incidents"]] == ["CLOSED"]


@pytest.mark.parametrize(
    "condition",
    [
        {"conditionMonitoringQueryLanguage": {"query": "fetch x", "duration": "60s"}},
        {"conditionPrometheusQueryLanguage": {"query": "up == 0"}},
        {"conditionSql": {"query": "SELECT 1"}},
        threshold('metric.type="compute.googleapis.com/x" AND resource.type="gce_instance"'),
    ],
    ids=["mql", "promql", "sql", "unknown metric"],
)
def test_what_cannot_be_judged_is_never_silent(sandbox: Sandbox, condition: dict[str, Any]) -> None:
    made = create(sandbox, condition)
    status, said = refused(sandbox, "GET", ALERTS)
    assert status == 501 and f"c0 of {made['name']}" in said
    [noted] = incidents.told(sandbox.cloud)["notEvaluated"]
    assert noted["condition"] == "c0" and noted["why"]
    url = f"{MONITORING}/{made['name']}"
    done(sandbox, "PATCH", url, {"enabled": False}, updateMask="enabled")
    assert alerts(sandbox) == []


def test_alerts_are_filtered_and_ordered(sandbox: Sandbox) -> None:
    create(sandbox, threshold(online("error_count")), displayName="errors")
    serve(sandbox, status=500)
    wait(sandbox, 10)
    create(sandbox, threshold(online("prediction_count")), displayName="predictions")
    serve(sandbox)
    wait(sandbox, 2)
    names = [item["policy"]["displayName"] for item in alerts(sandbox)]
    assert names == ["predictions", "errors"]
    [still] = alerts(sandbox, filter='state="OPEN"')
    assert still["policy"]["displayName"] == "predictions"
    assert refused(sandbox, "GET", ALERTS, orderBy="name")[0] == 400
    assert refused(sandbox, "GET", ALERTS, who="serving")[0] == 403
    assert refused(sandbox, "GET", f"{ALERTS}/0.gone")[0] == 404


# Metrics of Pub/Sub


def subscription(name: str) -> str:
    return (
        f'metric.type="pubsub.googleapis.com/subscription/{name}" '
        'AND resource.type="pubsub_subscription" AND resource.labels.subscription_id="pull"'
    )


def points(sandbox: Sandbox, name: str) -> list[float]:
    [found] = series(sandbox, subscription(name), 600)
    return [float(point["value"]["int64Value"]) for point in found["points"]]


def test_a_backlog_is_shown_as_it_was_at_each_minute(sandbox: Sandbox, pubsub: Client) -> None:
    pubsub.subscribe()
    pubsub.wait(30)
    pubsub.publish("a", "b")
    pubsub.wait(60)
    pubsub.publish("c")
    pubsub.wait(60)
    pubsub.acknowledge(*pubsub.pull(most=2))
    pubsub.wait(60)
    assert points(sandbox, "num_undelivered_messages") == [1, 3, 2, 0]
    assert points(sandbox, "oldest_unacked_message_age") == [90, 90, 30, 0]


def test_dead_letters_are_counted_where_they_come_from(sandbox: Sandbox, pubsub: Client) -> None:
    pubsub.topic(DEAD)
    pubsub.subscribe(deadLetterPolicy={"deadLetterTopic": DEAD, "maxDeliveryAttempts": 5})
    grant_agent(sandbox, "roles/pubsub.publisher", DEAD)
    grant_agent(sandbox, "roles/pubsub.subscriber", PULL)
    pubsub.wait(120)
    pubsub.publish("a")
    for _ in range(5):
        pubsub.set_deadline(0, *pubsub.pull())
    pubsub.wait(60)
    assert points(sandbox, "dead_letter_message_count") == [1]
