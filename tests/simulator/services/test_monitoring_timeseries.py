"""Time series of what happened in the simulated cloud."""

from __future__ import annotations

from typing import Any

import pytest

from simulator.services.monitoring.aggregation import percentile
from simulator.services.vertex.state import Vertex
from tests.simulator.support.observe import (
    ENDPOINT_TYPE,
    MONITORING,
    PARENT,
    PREDICTIONS,
    create_endpoint,
    done,
    log_denials,
    refused,
    series,
)
from tests.simulator.support.service import ENDPOINT, NUMBER, PROJECT, REGION, Sandbox

MINUTE = {"alignmentPeriod": "60s"}
HOUR = {"alignmentPeriod": "3600s"}
REQUESTS = 'metric.type="serviceruntime.googleapis.com/api/request_count"'


def online(name: str) -> str:
    return f'metric.type="{PREDICTIONS}/{name}" AND {ENDPOINT_TYPE}'


def predict(sandbox: Sandbox, instances: list[list[float]]) -> None:
    sandbox.predictions().predict(endpoint=ENDPOINT, instances=instances)


def fail(sandbox: Sandbox) -> None:
    """A request that reaches the model, which has two features and not one."""
    url = f"https://{REGION}-aiplatform.googleapis.com/v1/{ENDPOINT}:predict"
    assert refused(sandbox, "POST", url, {"instances": [[1.0]]})[0] == 400


def value(point: dict[str, Any]) -> float:
    given = point["value"]
    return float(given.get("int64Value", given.get("doubleValue")))


def values(found: list[Any]) -> list[list[float]]:
    return [[value(point) for point in item["points"]] for item in found]


@pytest.fixture
def serving(sandbox: Sandbox, model: str, endpoint: str) -> Sandbox:
    """Model 1 deployed, and a full minute begun."""
    sandbox.deploy(model, split={"0": 100})
    sandbox.cloud.clock.step(60 - sandbox.cloud.clock.now() % 60)
    return sandbox


def test_a_model_on_spot_machines_is_labelled_so(
    sandbox: Sandbox, model: str, endpoint: str
) -> None:
    machine = {"machine_type": "n1-standard-2"}
    resources = {"machine_spec": machine, "min_replica_count": 1, "spot": True}
    sandbox.deploy(model, split={"0": 100}, dedicated_resources=resources)
    predict(sandbox, [[1.0, 0.0]])
    sandbox.cloud.clock.step(120)
    for metric in ("prediction_count", "replicas"):
        [counted] = series(sandbox, online(metric))
        assert counted["metric"]["labels"]["spot"] == "true"


def test_predictions_are_counted_by_instance_and_answers_by_request(serving: Sandbox) -> None:
    serving.cloud.clock.step(10)
    predict(serving, [[1.0, 0.0]] * 3)
    fail(serving)
    serving.cloud.clock.step(70)
    predict(serving, [[1.0, 0.0]])

    [counted] = series(serving, online("prediction_count"))
    assert counted["metric"] == {
        "type": f"{PREDICTIONS}/prediction_count",
        "labels": {
            "deployed_model_id": "1",
            "spot": "false",
            "model_display_name": "failure",
            "endpoint_display_name": "pm",
        },
    }
    assert counted["resource"] == {
        "type": "aiplatform.googleapis.com/Endpoint",
        "labels": {
            "endpoint_id": "1234567890",
            "location": REGION,
            "project_id": PROJECT,
            "resource_container": PROJECT,
        },
    }
    assert (counted["metricKind"], counted["valueType"]) == ("DELTA", "INT64")
    # Newest first; the minute under way ends now.
    begun = serving.cloud.clock.now() - 20
    stamp = serving.cloud.clock.rfc3339
    assert [point["interval"] for point in counted["points"]] == [
        {"startTime": stamp(begun), "endTime": stamp(begun + 20)},
        {"startTime": stamp(begun - 60), "endTime": stamp(begun)},
    ]
    assert values([counted]) == [[1, 3]]

    answers = {
        item["metric"]["labels"]["response_code"]: values([item])[0]
        for item in series(serving, online("response_count"))
    }
    assert answers == {"2xx": [1, 1], "4xx": [1]}
    assert values(series(serving, online("error_count"))) == [[1]]


def test_a_denied_prediction_reaches_no_model(serving: Sandbox) -> None:
    url = f"https://{REGION}-aiplatform.googleapis.com/v1/{ENDPOINT}:predict"
    assert refused(serving, "POST", url, {"instances": [[1.0, 0.0]]}, who="deployer")[0] == 403
    assert series(serving, online("response_count")) == []


def test_latencies_are_distributions_of_what_was_measured(serving: Sandbox) -> None:
    for _ in range(4):
        predict(serving, [[1.0, 0.0]])
    by_type = {
        item["metric"]["labels"]["latency_type"]: item["points"][0]["value"]["distributionValue"]
        for item in series(serving, online("prediction_latencies"))
    }
    assert by_type.keys() == {"total", "model", "overhead"}
    total = by_type["total"]
    assert total["count"] == "4"
    assert sum(map(int, total["bucketCounts"])) == 4
    parts = by_type["model"]["mean"] + by_type["overhead"]["mean"]
    assert total["mean"] == pytest.approx(parts)
    assert by_type["model"]["mean"] > 0

    text = f'{online("prediction_latencies")} AND metric.labels.latency_type="total"'
    [worst] = series(serving, text, perSeriesAligner="ALIGN_PERCENTILE_99", **MINUTE)
    assert (worst["metricKind"], worst["valueType"]) == ("GAUGE", "DOUBLE")
    measured = [s.model_ms + s.overhead_ms for s in serving.cloud[Vertex].served]
    assert values([worst])[0][0] == pytest.approx(percentile(99)(measured))


def test_replicas_are_sampled_while_a_model_is_deployed(serving: Sandbox) -> None:
    serving.cloud.clock.step(120)
    operation = serving.endpoints().undeploy_model(endpoint=ENDPOINT, deployed_model_id="1")
    serving.finish(operation)
    serving.cloud.clock.step(300)

    [found] = series(serving, online("replicas"))

    assert found["metricKind"] == "GAUGE"
    assert values([found]) == [[1, 1, 1]]
    assert {p["interval"]["startTime"] == p["interval"]["endTime"] for p in found["points"]} == {
        True
    }
    [mean] = series(serving, online("replicas"), perSeriesAligner="ALIGN_MEAN", **HOUR)
    assert values([mean]) == [[1]]


def test_aligners_combine_the_minutes_of_a_period(serving: Sandbox) -> None:
    for count in (1, 2, 6):
        predict(serving, [[1.0, 0.0]] * count)
        serving.cloud.clock.step(60)
    text = online("prediction_count")

    def by(aligner: str) -> tuple[str, str, list[float]]:
        [found] = series(serving, text, perSeriesAligner=aligner, **HOUR)
        return found["metricKind"], found["valueType"], values([found])[0]

    assert by("ALIGN_DELTA") == ("DELTA", "INT64", [9])
    assert by("ALIGN_SUM") == ("DELTA", "INT64", [9])
    assert by("ALIGN_RATE") == ("GAUGE", "DOUBLE", [9 / 3600])
    assert by("ALIGN_MEAN") == ("GAUGE", "DOUBLE", [3])
    assert by("ALIGN_MAX") == ("GAUGE", "INT64", [6])
    assert by("ALIGN_MIN") == ("GAUGE", "INT64", [1])
    assert by("ALIGN_COUNT") == ("GAUGE", "INT64", [3])
    # Periods are counted back from the end of the interval.
    [two] = series(serving, text, perSeriesAligner="ALIGN_DELTA", alignmentPeriod="120s")
    assert values([two]) == [[6, 3]]


def test_reducers_combine_series_and_keep_what_is_grouped_by(sandbox: Sandbox) -> None:
    for who, times in (("admin", 2), ("deployer", 3)):
        for _ in range(times):
            create_endpoint(sandbox, who)
    text = f'{REQUESTS} AND resource.labels.service="aiplatform.googleapis.com"'
    group = {
        "perSeriesAligner": "ALIGN_DELTA",
        "groupByFields": ["metric.labels.response_code_class", "resource.label.method"],
        **HOUR,
    }

    found = series(sandbox, text, crossSeriesReducer="REDUCE_SUM", **group)

    create = "google.cloud.aiplatform.v1.EndpointService.CreateEndpoint"
    assert [(item["metric"]["labels"], values([item])[0]) for item in found] == [
        ({"response_code_class": "2xx"}, [2]),
        ({"response_code_class": "4xx"}, [3]),
    ]
    assert found[0]["resource"] == {
        "type": "consumed_api",
        "labels": {"method": create, "project_id": PROJECT},
    }

    def whole(reducer: str) -> tuple[str, list[float]]:
        given = {**group, "groupByFields": []}
        [one] = series(sandbox, text, crossSeriesReducer=reducer, **given)
        assert "labels" not in one["metric"]
        return one["valueType"], values([one])[0]

    assert whole("REDUCE_SUM") == ("INT64", [5])
    assert whole("REDUCE_MEAN") == ("DOUBLE", [2.5])
    assert whole("REDUCE_MAX") == ("INT64", [3])
    assert whole("REDUCE_COUNT") == ("INT64", [2])
    assert whole("REDUCE_PERCENTILE_50") == ("DOUBLE", [2.5])


@pytest.mark.parametrize(
    ("text", "classes"),
    [
        ("", {"2xx", "4xx"}),
        (' AND metric.labels.response_code_class="4xx"', {"4xx"}),
        (' AND NOT metric.label.response_code_class="4xx"', {"2xx"}),
        (' AND metric.labels.response_code_class!="4xx"', {"2xx"}),
        (' AND metric.labels.response_code_class=starts_with("2")', {"2xx"}),
        (' AND metric.labels.response_code=one_of("403","404")', {"4xx"}),
        (' AND metric.labels.response_code=monitoring.regex.full_match("4..")', {"4xx"}),
        (' AND metric.labels.response_code=monitoring.regex.full_match("4")', set()),
        (' AND (resource.labels.method:"Create" OR resource.labels.method="x")', {"2xx", "4xx"}),
        (' AND resource.labels.method=ends_with("DeleteEndpoint")', set()),
        (" AND metric.labels.response_code>=400", {"4xx"}),
        (f' AND project="{PROJECT}"', {"2xx", "4xx"}),
        (f" project={NUMBER}", {"2xx", "4xx"}),
        (' AND project="iot-training"', set()),
        (' AND resource.type=starts_with("consumed")', {"2xx", "4xx"}),
        (' AND resource.type="api"', set()),
    ],
)
def test_a_filter_chooses_series(sandbox: Sandbox, text: str, classes: set[str]) -> None:
    create_endpoint(sandbox, "admin")
    create_endpoint(sandbox, "deployer")
    vertex = ' AND resource.labels.service="aiplatform.googleapis.com"'
    found = series(sandbox, f"{REQUESTS}{vertex}{text}")
    assert {item["metric"]["labels"]["response_code_class"] for item in found} == classes


def test_only_the_interval_counts(sandbox: Sandbox) -> None:
    create_endpoint(sandbox, "admin")
    sandbox.cloud.clock.step(600)
    text = f'{REQUESTS} AND resource.labels.service="aiplatform.googleapis.com"'
    assert series(sandbox, text, seconds=300) == []
    assert values(series(sandbox, text, seconds=900)) == [[1]]


def test_an_interval_that_ends_within_a_minute_has_what_came_up_to_then(sandbox: Sandbox) -> None:
    """As that of a client does, which took the time a moment before the request arrived."""
    clock = sandbox.cloud.clock
    clock.step(10)
    create_endpoint(sandbox, "admin")
    clock.step(5)
    end = clock.rfc3339()
    clock.step(5)
    create_endpoint(sandbox, "admin")
    query = {
        "filter": f'{REQUESTS} AND resource.labels.service="aiplatform.googleapis.com"',
        "interval.startTime": clock.rfc3339(clock.now() - 600),
        "interval.endTime": end,
    }
    [found] = done(sandbox, "GET", f"{MONITORING}/{PARENT}/timeSeries", **query)["timeSeries"]
    assert values([found]) == [[1]]
    assert found["points"][0]["interval"]["endTime"] == end


def test_pages_count_points_and_headers_have_none(serving: Sandbox) -> None:
    for _ in range(3):
        predict(serving, [[1.0, 0.0]])
        fail(serving)
        serving.cloud.clock.step(60)
    clock = serving.cloud.clock
    query = {
        "filter": online("response_count"),
        "interval.startTime": clock.rfc3339(clock.now() - 600),
        "interval.endTime": clock.rfc3339(),
        "pageSize": 4,
    }
    url = f"{MONITORING}/{PARENT}/timeSeries"
    first = done(serving, "GET", url, **query)
    rest = done(serving, "GET", url, **query, pageToken=first["nextPageToken"])
    assert [len(item["points"]) for item in first["timeSeries"]] == [3, 1]
    assert [len(item["points"]) for item in rest["timeSeries"]] == [2]
    assert "nextPageToken" not in rest
    headers = done(serving, "GET", url, **{**query, "view": "HEADERS", "pageSize": 1})
    assert "points" not in headers["timeSeries"][0]
    assert headers["nextPageToken"]


END = {"interval.endTime": "2026-01-01T00:00:00Z"}


@pytest.mark.parametrize(
    ("query", "status", "complaint"),
    [
        ({}, 400, "one metric type"),
        ({"filter": 'metric.type=starts_with("a")'}, 400, "one metric type"),
        ({"filter": REQUESTS}, 400, "interval.endTime is required"),
        ({"filter": REQUESTS, "interval.endTime": "now"}, 400, "is no time of the form"),
        (
            {"filter": REQUESTS, **END, "interval.startTime": "2026-01-02T00:00:00Z"},
            400,
            "must not be later",
        ),
        ({"filter": f'{REQUESTS} AND group.id="1"', **END}, 501, "A filter on group"),
        ({"filter": f'{REQUESTS} AND metric.colour="1"', **END}, 400, "metric.colour"),
        ({"filter": f'{REQUESTS} AND resource.labels.x=~"1"', **END}, 400, "operator =~"),
        ({"filter": 'metric.type="compute.googleapis.com/x"', **END}, 501, "not simulated"),
        (
            {"filter": online("latencies"), **END},
            404,
            "Cannot find metric(s) that match type",
        ),
        (
            {"filter": online("prediction_count").replace("Endpoint", "Model"), **END},
            400,
            "does not specify a valid combination of metric and monitored resource descriptors",
        ),
        (
            {
                "filter": online("prediction_latencies"),
                **END,
                "aggregation.perSeriesAligner": "ALIGN_RATE",
                "aggregation.alignmentPeriod": "60s",
            },
            400,
            'Field aggregation.perSeriesAligner had an invalid value of "ALIGN_RATE": The aligner '
            "cannot be applied to metrics with kind DELTA and value type DISTRIBUTION.",
        ),
        (
            {"filter": REQUESTS, **END, "aggregation.perSeriesAligner": "ALIGN_SUM"},
            400,
            "at least 60 seconds",
        ),
        (
            {"filter": REQUESTS, **END, "aggregation.crossSeriesReducer": "REDUCE_SUM"},
            400,
            "set an aligner",
        ),
        ({"filter": REQUESTS, **END, "orderBy": "x"}, 400, "must be left blank"),
        (
            {"filter": REQUESTS, **END, "secondaryAggregation.alignmentPeriod": "60s"},
            501,
            "secondaryAggregation",
        ),
    ],
)
def test_a_request_for_series_says_what_is_wrong(
    sandbox: Sandbox, query: dict[str, Any], status: int, complaint: str
) -> None:
    found, message = refused(sandbox, "GET", f"{MONITORING}/{PARENT}/timeSeries", **query)
    assert (found, complaint in message) == (status, True), message


def test_metrics_are_described(sandbox: Sandbox) -> None:
    log_denials(sandbox, description="what Vertex AI refused")
    url = f"{MONITORING}/{PARENT}/metricDescriptors"
    listed = {item["type"]: item for item in done(sandbox, "GET", url)["metricDescriptors"]}
    denials = listed["logging.googleapis.com/user/denials"]
    assert (denials["description"], denials["unit"]) == ("what Vertex AI refused", "1")
    latencies = done(sandbox, "GET", f"{url}/{PREDICTIONS}/prediction_latencies")
    assert latencies == listed[latencies["type"]]
    assert (latencies["metricKind"], latencies["valueType"]) == ("DELTA", "DISTRIBUTION")
    assert "latency_type" in {label["key"] for label in latencies["labels"]}
    chosen = done(sandbox, "GET", url, filter='metric.type=starts_with("logging.")')
    assert chosen["metricDescriptors"] == [denials]
    of_endpoints = done(sandbox, "GET", url, filter=ENDPOINT_TYPE)["metricDescriptors"]
    assert {item["type"].partition("/")[0] for item in of_endpoints} == {
        "aiplatform.googleapis.com"
    }
    assert refused(sandbox, "GET", f"{url}/{PREDICTIONS}/latencies")[0] == 404


def test_percentiles_lie_between_the_nearest_values() -> None:
    assert percentile(50)([[1.0, 4.0], [2.0, 3.0]]) == 2.5
    assert percentile(95)([float(n) for n in range(101)]) == 95
    assert percentile(99)([[7.0]]) == 7
