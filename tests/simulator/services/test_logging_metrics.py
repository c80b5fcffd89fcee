"""Log-based metrics."""

from __future__ import annotations

from typing import Any

import pytest

from tests.simulator.support.observe import (
    GLOBAL,
    LOGGING,
    PARENT,
    done,
    log_denials,
    refused,
    series,
    write,
)
from tests.simulator.support.service import PROJECT, Sandbox

METRICS = f"{LOGGING}/{PARENT}/metrics"
SINKS = f"{LOGGING}/{PARENT}/sinks"
DATASET = f"bigquery.googleapis.com/projects/{PROJECT}/datasets/logs"


def test_a_metric_is_described_as_google_describes_it(sandbox: Sandbox) -> None:
    """http-logs/logging-metric.log."""
    given = {
        "name": "sizes",
        "filter": "resource.type=gae_app AND severity<=ERROR",
        "metricDescriptor": {"metricKind": "DELTA", "valueType": "DISTRIBUTION"},
        "bucketOptions": {"explicitBuckets": {"bounds": [1.5, 4.5]}},
        "valueExtractor": "EXTRACT(jsonPayload.response)",
    }
    created = done(sandbox, "POST", METRICS, given)
    described = {
        "name": f"{PARENT}/metricDescriptors/logging.googleapis.com/user/sizes",
        "type": "logging.googleapis.com/user/sizes",
        "metricKind": "DELTA",
        "valueType": "DISTRIBUTION",
        "unit": "1",
    }
    times = {"createTime": "2026-01-01T00:00:00Z", "updateTime": "2026-01-01T00:00:00Z"}
    assert created == given | times | {"metricDescriptor": described}

    sandbox.cloud.clock.step(1)
    changed = done(sandbox, "PUT", f"{METRICS}/sizes", given | {"filter": "severity>=ERROR"})
    assert changed["filter"] == "severity>=ERROR"
    assert (changed["createTime"], changed["updateTime"]) == (
        "2026-01-01T00:00:00Z",
        "2026-01-01T00:00:01Z",
    )
    assert done(sandbox, "GET", METRICS)["metrics"] == [changed]
    assert done(sandbox, "DELETE", f"{METRICS}/sizes") == {}
    assert refused(sandbox, "GET", f"{METRICS}/sizes") == (404, "Metric sizes does not exist.")


def test_a_metric_with_a_slash_in_its_name_has_a_url_of_its_own(sandbox: Sandbox) -> None:
    done(sandbox, "POST", METRICS, {"name": "nginx/requests", "filter": "severity=INFO"})
    assert done(sandbox, "GET", f"{METRICS}/nginx%2Frequests")["name"] == "nginx/requests"


def test_a_metric_counts_from_its_creation_and_by_what_it_extracts(sandbox: Sandbox) -> None:
    write(sandbox, "pump=1 failed")
    body = {
        "name": "failures",
        "filter": 'textPayload:"failed"',
        "metricDescriptor": {"labels": [{"key": "pump", "valueType": "INT64"}]},
        "labelExtractors": {"pump": r'REGEXP_EXTRACT(textPayload, "pump=(\d+)")'},
    }
    done(sandbox, "POST", METRICS, body)
    write(sandbox, "pump=2 failed", "pump=2 failed again", "pump=3 is fine", "something failed")

    # A new filter counts from now on; what was counted stays.
    done(sandbox, "PUT", f"{METRICS}/failures", body | {"filter": 'textPayload:"fine"'})
    write(sandbox, "pump=2 failed", "pump=3 is fine")

    for _ in ("looking once", "or twice"):
        found = series(sandbox, 'metric.type="logging.googleapis.com/user/failures"')
        counts = {
            item["metric"]["labels"]["pump"]: item["points"][0]["value"]["int64Value"]
            for item in found
        }
        assert counts == {"2": "2", "0": "1", "3": "1"}
    assert found[0]["resource"] == GLOBAL


def test_a_disabled_metric_counts_nothing(sandbox: Sandbox) -> None:
    log_denials(sandbox, filter='textPayload:"x"', disabled=True)
    write(sandbox, "x")
    assert series(sandbox, 'metric.type="logging.googleapis.com/user/denials"') == []


def test_a_distribution_metric_records_extracted_values(sandbox: Sandbox) -> None:
    body = {
        "name": "sizes",
        "filter": "jsonPayload.size:*",
        "metricDescriptor": {"valueType": "DISTRIBUTION"},
        "valueExtractor": "EXTRACT(jsonPayload.size)",
        "bucketOptions": {"explicitBuckets": {"bounds": [2, 4]}},
    }
    done(sandbox, "POST", METRICS, body)
    write(sandbox, {"size": 1}, {"size": 3}, {"size": 5}, {"size": "many"})

    [found] = series(sandbox, 'metric.type="logging.googleapis.com/user/sizes"')

    distribution = found["points"][0]["value"]["distributionValue"]
    assert (distribution["count"], distribution["mean"]) == ("3", 3.0)
    assert (distribution["bucketCounts"], distribution["sumOfSquaredDeviation"]) == (
        ["1", "1", "1"],
        8.0,
    )


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"filter": ""}, "needs a filter"),
        ({"filter": "severity="}, "Unparseable filter"),
        ({"name": "/x"}, "Invalid metric name"),
        ({"metricDescriptor": {"valueType": "DOUBLE"}}, "not DELTA DOUBLE"),
        ({"metricDescriptor": {"metricKind": "GAUGE"}}, "not GAUGE INT64"),
        ({"valueExtractor": "EXTRACT(jsonPayload.x)"}, "goes with a DISTRIBUTION"),
        ({"metricDescriptor": {"labels": [{"key": "a"}]}}, "Every label needs an extractor"),
        ({"labelExtractors": {"a": "EXTRACT(textPayload)"}}, "every extractor a label"),
        (
            {
                "metricDescriptor": {"labels": [{"key": "a"}]},
                "labelExtractors": {"a": "textPayload"},
            },
            "neither EXTRACT(field) nor",
        ),
        (
            {
                "metricDescriptor": {"labels": [{"key": "a"}]},
                "labelExtractors": {"a": 'REGEXP_EXTRACT(textPayload, "x")'},
            },
            "exactly one capture group",
        ),
    ],
)
def test_a_metric_that_cannot_work_is_refused(
    sandbox: Sandbox, change: dict[str, Any], complaint: str
) -> None:
    status, message = refused(
        sandbox, "POST", METRICS, {"name": "m", "filter": "severity=INFO", **change}
    )
    assert status == 400
    assert complaint in message


def test_updating_a_metric_that_is_not_there_makes_it(sandbox: Sandbox) -> None:
    sandbox.role("deployer", "logging.logMetrics.update")
    body = {"name": "m", "filter": "severity=INFO"}
    message = refused(sandbox, "PUT", f"{METRICS}/m", body, who="deployer")[1]
    assert "logging.logMetrics.create" in message
    assert done(sandbox, "PUT", f"{METRICS}/m", body)["name"] == "m"
    distribution = {
        "metricDescriptor": {"valueType": "DISTRIBUTION"},
        "valueExtractor": "EXTRACT(jsonPayload.x)",
    }
    message = refused(sandbox, "PUT", f"{METRICS}/m", body | distribution)[1]
    assert "value_type" in message


def test_a_metric_is_named_and_described_by_its_own_fields(sandbox: Sandbox) -> None:
    """Discovery document, LogMetric.metricDescriptor."""
    described = {"name": "n", "type": "t", "description": "d", "displayName": "Denials"}
    body = {"name": "m", "filter": "severity=INFO", "metricDescriptor": described}
    made = done(sandbox, "POST", METRICS, body)["metricDescriptor"]
    assert made["type"] == "logging.googleapis.com/user/m"
    assert (made["displayName"], "description" in made) == ("Denials", False)
    bucket = {"bucketName": f"{PARENT}/locations/global/buckets/b"}
    assert refused(sandbox, "POST", METRICS, body | bucket)[0] == 501


def test_the_permissions_are_those_of_the_collections(sandbox: Sandbox) -> None:
    refusals = [
        refused(sandbox, verb, url, body, who="serving")[1].split("'")[1]
        for verb, url, body in (
            ("POST", SINKS, {"name": "a", "destination": DATASET}),
            ("GET", f"{SINKS}/a", None),
            ("PUT", f"{SINKS}/a", {}),
            ("DELETE", f"{SINKS}/a", None),
            ("POST", METRICS, {"name": "a", "filter": "x"}),
            ("GET", METRICS, None),
            ("DELETE", f"{METRICS}/a", None),
            ("GET", f"{LOGGING}/{PARENT}/logs", None),
        )
    ]
    assert refusals == [
        "logging.sinks.create",
        "logging.sinks.get",
        "logging.sinks.update",
        "logging.sinks.delete",
        "logging.logMetrics.create",
        "logging.logMetrics.list",
        "logging.logMetrics.delete",
        "logging.logs.list",
    ]
