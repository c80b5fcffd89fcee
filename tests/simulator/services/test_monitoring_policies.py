"""Alert policies."""

from __future__ import annotations

from typing import Any

import pytest

from tests.simulator.support.observe import MONITORING, PARENT, PREDICTIONS, done, leaf, refused
from tests.simulator.support.service import NUMBER, PROJECT, Sandbox, email

CHANNELS = f"{MONITORING}/{PARENT}/notificationChannels"
POLICIES = f"{MONITORING}/{PARENT}/alertPolicies"
SERVICES = f"{MONITORING}/{PARENT}/services"
DASHBOARDS = f"https://monitoring.googleapis.com/v1/{PARENT}/dashboards"
NOW = "2026-01-01T00:00:00Z"
MAIL = {"type": "email", "displayName": "oncall", "labels": {"email_address": "a@example.com"}}
LATENCY = (
    f'metric.type="{PREDICTIONS}/prediction_latencies" AND '
    'resource.type="aiplatform.googleapis.com/Endpoint"'
)


def threshold(**fields: Any) -> dict[str, Any]:
    aggregation = {"alignmentPeriod": "60s", "perSeriesAligner": "ALIGN_PERCENTILE_95"}
    return {
        "filter": LATENCY,
        "comparison": "COMPARISON_GT",
        "duration": "300s",
        "thresholdValue": 500,
        "aggregations": [aggregation],
        **fields,
    }


def policy(*conditions: dict[str, Any], **fields: Any) -> dict[str, Any]:
    given = conditions or ({"conditionThreshold": threshold()},)
    named = [{"displayName": f"c{index}", **item} for index, item in enumerate(given)]
    return {"displayName": "p95", "combiner": "OR", "conditions": named, **fields}


def test_a_channel_in_use_goes_only_by_force(sandbox: Sandbox) -> None:
    """The refusal: hashicorp/terraform-provider-google#10337."""
    name = done(sandbox, "POST", CHANNELS, MAIL)["name"]
    used = done(sandbox, "POST", POLICIES, policy(notificationChannels=[name]))["name"]
    assert refused(sandbox, "DELETE", f"{MONITORING}/{name}", force="false") == (
        400,
        f'Could not delete "{name}" because it is still being referenced by: "{used}"',
    )
    assert done(sandbox, "DELETE", f"{MONITORING}/{name}", force="true") == {}
    assert done(sandbox, "GET", f"{MONITORING}/{used}")["notificationChannels"] == []
    assert refused(sandbox, "GET", f"{MONITORING}/{name}")[0] == 404


def test_a_policy_is_answered_as_google_answers_it(sandbox: Sandbox) -> None:
    """http-logs/monitoring-alertpolicy.log."""
    channel = done(sandbox, "POST", CHANNELS, MAIL)["name"]
    body = policy(
        notificationChannels=[channel.replace(PROJECT, NUMBER)],
        severity="WARNING",
        userLabels={"team": "iot"},
        documentation={"content": "see runbook", "mimeType": "text/markdown"},
    )
    made = done(sandbox, "POST", POLICIES, body)
    record = {"mutateTime": NOW, "mutatedBy": email("admin")}
    condition = made["conditions"][0]["name"]
    assert condition == f"{made['name']}/conditions/{leaf(condition)}"
    assert made == body | {
        "name": f"{PARENT}/alertPolicies/{leaf(made['name'])}",
        "enabled": True,
        "notificationChannels": [channel],
        "conditions": [body["conditions"][0] | {"name": condition}],
        "creationRecord": record,
        "mutationRecord": record,
    }
    assert done(sandbox, "GET", f"{MONITORING}/{made['name']}") == made


def test_a_policy_changes_only_what_the_mask_names(sandbox: Sandbox) -> None:
    given = policy(userLabels={"my_team": "iot"}, documentation={"content": "a", "subject": "s"})
    made = done(sandbox, "POST", POLICIES, given)
    url = f"{MONITORING}/{made['name']}"
    sandbox.cloud.clock.step(1)
    change = policy(
        {"conditionThreshold": threshold(thresholdValue=400)},
        displayName="other",
        documentation={"content": "b"},
        userLabels={"my_team": "ml"},
    )

    paths = "documentation.content,user_labels.my_team"
    changed = done(sandbox, "PATCH", url, change, updateMask=paths)
    stamp = {"mutateTime": "2026-01-01T00:00:01Z", "mutatedBy": email("admin")}
    assert changed == made | {
        "documentation": {"content": "b", "subject": "s"},
        "userLabels": {"my_team": "ml"},
        "mutationRecord": stamp,
    }
    # A condition that comes with its name keeps it, others get a new one.
    kept = {**made["conditions"][0], "displayName": "renamed"}
    two = [kept, {**kept, "name": "", "displayName": "new"}]
    changed = done(sandbox, "PATCH", url, {"conditions": two}, updateMask="conditions")
    assert changed["conditions"][0]["name"] == made["conditions"][0]["name"]
    assert len({item["name"] for item in changed["conditions"]} - {""}) == 2
    # What the mask names and the body lacks is cleared.
    changed = done(sandbox, "PATCH", url, {}, updateMask="userLabels,documentation")
    assert not {"userLabels", "documentation"} & changed.keys()
    replaced = done(sandbox, "PATCH", url, policy(displayName="whole"))
    assert (replaced["displayName"], replaced["name"]) == ("whole", made["name"])
    assert replaced["creationRecord"] == made["creationRecord"]
    assert refused(sandbox, "PATCH", url, {}, updateMask="name")[0] == 400
    assert done(sandbox, "DELETE", url) == {}
    assert refused(sandbox, "GET", url)[0] == 404


FIELD = "alert_policy.conditions[0].condition_threshold"
METRIC = (
    f'metric.type="{PREDICTIONS}/replicas" AND resource.type="aiplatform.googleapis.com/Endpoint"'
)


@pytest.mark.parametrize(
    ("change", "status", "complaint"),
    [
        ({"filter": "metric.type="}, 400, f"Field {FIELD}.filter had an invalid value of"),
        ({"filter": 'severity="x"'}, 400, "prefixed with one of {group, metadata, metric"),
        ({"filter": 'resource.type="x"'}, 400, "must specify one metric type"),
        (
            {"filter": f'metric.type="{PREDICTIONS}/prediction_count"'},
            400,
            'must specify a restriction on "resource.type" in the filter',
        ),
        (
            {"filter": f'metric.type="{PREDICTIONS}/prediction_count" resource.type="api"'},
            400,
            "does not specify a valid combination of metric and monitored resource descriptors",
        ),
        (
            {"filter": f'metric.type="{PREDICTIONS}/latencies" AND resource.type="x"'},
            404,
            f'Cannot find metric(s) that match type = "{PREDICTIONS}/latencies"',
        ),
        (
            {"filter": METRIC, "aggregations": [{"perSeriesAligner": "ALIGN_RATE"}]},
            400,
            "alignmentPeriod had an invalid value",
        ),
        (
            {
                "filter": METRIC,
                "aggregations": [{"perSeriesAligner": "ALIGN_RATE", "alignmentPeriod": "60s"}],
            },
            400,
            "The aligner cannot be applied to metrics with kind GAUGE and value type INT64.",
        ),
        ({"comparison": "COMPARISON_GE"}, 400, "Only COMPARISON_GT and COMPARISON_LT are"),
        ({"duration": "90s"}, 400, "must be a multiple of a minute"),
        ({"duration": "86400s"}, 400, "Durations longer than 23h30m are not supported."),
        (
            {"duration": "0s", "evaluationMissingData": "EVALUATION_MISSING_DATA_INACTIVE"},
            400,
            "must have a non-zero duration",
        ),
        ({"filter": 'select_slo_burn_rate("x","1s")'}, 400, "x is no name of an SLO"),
    ],
)
def test_a_condition_that_cannot_work_is_refused(
    sandbox: Sandbox, change: dict[str, Any], status: int, complaint: str
) -> None:
    given = policy({"conditionThreshold": threshold(**change)})
    found, message = refused(sandbox, "POST", POLICIES, given)
    assert (found, complaint in message) == (status, True), message


@pytest.mark.parametrize(
    ("body", "status", "complaint"),
    [
        (policy(displayName=""), 400, "alert_policy.display_name"),
        (policy(combiner="COMBINE_UNSPECIFIED"), 400, "alert_policy.combiner"),
        (policy(conditions=[]), 400, "1 to 6 conditions"),
        (policy({}), 400, "A condition is one of"),
        (policy({"conditionMatchedLog": {"filter": "severity>=ERROR"}}), 400, "rate_limit"),
        (policy({"conditionMatchedLog": {"filter": "severity>="}}), 400, "Unparseable filter"),
        (
            policy({"conditionAbsent": {"filter": LATENCY, "duration": "60s"}}),
            400,
            "The least for an absence is 120s.",
        ),
        (policy(userLabels={"x y": "z"}), 400, "alert_policy.user_labels"),
        (policy(documentation={"content": "x" * 10_241}), 400, "exceeds a maximum size of 10240"),
        (policy(notificationChannels=["oncall"]), 400, "Name must begin with 'projects/"),
        (
            policy(notificationChannels=["projects/iot-training/notificationChannels/1"]),
            400,
            f'does not match the request\'s project of "{PROJECT}" (#{NUMBER}).',
        ),
        (
            policy(notificationChannels=[f"{PARENT}/notificationChannels/1"]),
            404,
            "Notification channel not found",
        ),
    ],
)
def test_a_policy_that_cannot_work_is_refused(
    sandbox: Sandbox, body: dict[str, Any], status: int, complaint: str
) -> None:
    found, message = refused(sandbox, "POST", POLICIES, body)
    assert (found, complaint in message) == (status, True), message


def test_a_log_alert_is_a_policy_too(sandbox: Sandbox) -> None:
    body = policy(
        {"conditionMatchedLog": {"filter": "protoPayload.status.code=7"}},
        alertStrategy={"notificationRateLimit": {"period": "300s"}},
    )
    made = done(sandbox, "POST", POLICIES, body)
    assert made["alertStrategy"] == body["alertStrategy"]
    found = done(sandbox, "GET", POLICIES, filter='display_name="p95" AND enabled=true')
    assert found["alertPolicies"] == [made]


def test_the_permissions_are_those_of_the_collections(sandbox: Sandbox) -> None:
    slo = f"{SERVICES}/pm/serviceLevelObjectives"
    refusals = [
        refused(sandbox, verb, url, body, who="serving")[1].split()[1]
        for verb, url, body in (
            ("POST", CHANNELS, MAIL),
            ("PATCH", f"{CHANNELS}/1", MAIL),
            ("POST", POLICIES, policy()),
            ("DELETE", f"{POLICIES}/1", None),
            ("POST", DASHBOARDS, {"displayName": "x"}),
            ("GET", DASHBOARDS, None),
            ("POST", SERVICES, {"custom": {}}),
            ("POST", slo, {"goal": 0.9}),
            ("GET", f"{slo}/avail", None),
            ("GET", f"{MONITORING}/{PARENT}/timeSeries", None),
            ("GET", f"{MONITORING}/{PARENT}/metricDescriptors", None),
        )
    ]
    assert refusals == [
        "monitoring.notificationChannels.create",
        "monitoring.notificationChannels.update",
        "monitoring.alertPolicies.create",
        "monitoring.alertPolicies.delete",
        "monitoring.dashboards.create",
        "monitoring.dashboards.list",
        "monitoring.services.create",
        "monitoring.slos.create",
        "monitoring.slos.get",
        "monitoring.timeSeries.list",
        "monitoring.metricDescriptors.list",
    ]
