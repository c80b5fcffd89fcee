"""Online predictions through Google's client: real models, traffic, dedicated hosts, logging."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.api_core import exceptions

from simulator.api.audit import Audit
from simulator.iam.decisions import Iam
from simulator.services.bigquery.state import BigQuery
from simulator.services.vertex.state import Strain, Vertex
from tests.simulator.support.service import (
    AGENT,
    ENDPOINT,
    LOCATION,
    NUMBER,
    PROJECT,
    REGION,
    VERTEX,
    Sandbox,
    artifact,
    email,
)

DEDICATED = f"1234567890.{REGION}-{NUMBER}.prediction.vertexai.goog"
PREDICT = "aiplatform.endpoints.predict"
ROWS = [[2.0, 0.5], [-2.0, 0.5]]
LOG = f"projects/{PROJECT}/datasets/telemetry/tables/rr"


@pytest.fixture
def serving(sandbox: Sandbox, model: str) -> str:
    """An endpoint whose deployed model 1 takes all traffic."""
    endpoint = sandbox.endpoint()
    sandbox.deploy(model, "1", {"0": 100})
    return endpoint


def logging(uri: str, rate: float = 1.0) -> dict[str, Any]:
    config = {"enabled": True, "sampling_rate": rate, "bigquery_destination": {"output_uri": uri}}
    return {"predict_request_response_logging_config": config}


def predict(sandbox: Sandbox, rows: Any = ROWS, name: str = "admin", **options: Any) -> Any:
    client = sandbox.predictions(name, options.pop("host", ""))
    return client.predict(endpoint=ENDPOINT, instances=rows, **options)


def test_predictions_come_from_the_uploaded_model(sandbox: Sandbox, serving: str) -> None:
    answer = predict(sandbox)
    assert list(answer.predictions) == [1, 0]
    assert (answer.deployed_model_id, answer.model_version_id) == ("1", "1")
    assert answer.model == f"projects/{NUMBER}/locations/{REGION}/models/failure"
    assert answer.model_display_name == "failure"


def test_a_key_that_is_disabled_undeploys_the_models(sandbox: Sandbox, model: str) -> None:
    """They come back by being deployed again, once it is enabled."""
    key = sandbox.key()
    sandbox.endpoint(encryption_spec={"kms_key_name": key})
    sandbox.deploy(model, "1", {"0": 100})
    assert list(predict(sandbox).predictions) == [1, 0]
    sandbox.set_key(key, "DISABLED")
    with pytest.raises(exceptions.BadRequest, match="doesn't have traffic_split"):
        predict(sandbox)
    assert not sandbox.endpoints().get_endpoint(name=ENDPOINT).deployed_models
    with pytest.raises(exceptions.BadRequest, match="is not enabled, current state is: D"):
        sandbox.deploy(model, "2", {"0": 100})
    sandbox.set_key(key, "ENABLED")
    sandbox.deploy(model, "2", {"0": 100})
    assert list(predict(sandbox).predictions) == [1, 0]


def test_a_strained_endpoint_fails_and_is_slower_only_in_what_is_measured(
    sandbox: Sandbox, serving: str
) -> None:
    vertex = sandbox.cloud[Vertex]
    vertex.strained[ENDPOINT] = Strain(slower_ms=60_000)
    predict(sandbox)
    assert vertex.served[-1].status == 200 and vertex.served[-1].model_ms > 60_000
    vertex.strained[ENDPOINT] = Strain(fails=True)
    with pytest.raises(exceptions.ServiceUnavailable):
        predict(sandbox)
    assert vertex.served[-1].status == 503
    vertex.strained[ENDPOINT] = Strain()
    assert list(predict(sandbox).predictions) == [1, 0]


def test_predicting_takes_its_permission_on_the_endpoint(sandbox: Sandbox, serving: str) -> None:
    with pytest.raises(exceptions.Forbidden, match=r"aiplatform\.endpoints\.predict"):
        predict(sandbox, name="deployer")
    sandbox.role("deployer", PREDICT, on=ENDPOINT)
    assert predict(sandbox, name="deployer").predictions


def test_a_deployed_model_does_not_change_with_its_bucket(sandbox: Sandbox, serving: str) -> None:
    blob = sandbox.storage().bucket("iot-prod-models").blob("v1/model.joblib")
    blob.upload_from_string(artifact(-1.0))
    assert list(predict(sandbox).predictions) == [1, 0]
    sandbox.deploy(f"{LOCATION}/models/failure", "2", {"0": 100})
    assert list(predict(sandbox).predictions) == [0, 1]


@pytest.mark.parametrize(
    ("rows", "parameters", "words"),
    [
        ([[1.0, 2.0, 3.0]], None, "X has 3 features, but LogisticRegression is expecting 2"),
        ([{"a": 1}], None, "float"),
        (ROWS, {"threshold": 0.5}, "unexpected keyword argument 'threshold'"),
    ],
)
def test_what_the_framework_refuses_is_a_failed_precondition_in_its_words(
    sandbox: Sandbox, serving: str, rows: Any, parameters: Any, words: str
) -> None:
    body = {"instances": rows} | ({"parameters": parameters} if parameters else {})
    answer = sandbox.http().post(f"{VERTEX}/v1/{ENDPOINT}:predict", json=body)
    error = answer.json()["error"]
    assert (answer.status_code, error["status"]) == (400, "FAILED_PRECONDITION")
    assert json.loads(error["message"]).startswith(
        "Prediction failed: Exception during sklearn prediction: "
    )
    assert words in error["message"]


def test_without_traffic_or_instances_there_is_no_prediction(sandbox: Sandbox, model: str) -> None:
    endpoint = sandbox.endpoint()
    with pytest.raises(
        exceptions.BadRequest, match=f"Endpoint {endpoint} doesn't have traffic_split"
    ):
        predict(sandbox)
    sandbox.deploy(model, "1", {})
    with pytest.raises(exceptions.BadRequest, match="doesn't have traffic_split"):
        predict(sandbox)
    with pytest.raises(exceptions.BadRequest, match="instances"):
        predict(sandbox, rows=[])


def test_traffic_follows_the_split_and_repeats_in_every_run(
    sandbox: Sandbox, serving: str, model: str
) -> None:
    sandbox.deploy(model, "2", {"0": 25, "1": 75})
    url, client = f"{VERTEX}/v1/{ENDPOINT}:predict", sandbox.http()
    served = [
        client.post(url, json={"instances": ROWS}).json()["deployedModelId"] for _ in range(200)
    ]
    assert 30 <= served.count("2") <= 70
    assert "".join(served[:12]) == "122112111221"


def test_a_raw_body_reaches_the_container_as_it_is(sandbox: Sandbox, serving: str) -> None:
    answer = sandbox.http().post(f"{VERTEX}/v1/{ENDPOINT}:rawPredict", json={"instances": ROWS})
    assert answer.json() == {"predictions": [1, 0]}
    assert answer.headers["X-Vertex-AI-Endpoint-Id"] == "1234567890"
    assert answer.headers["X-Vertex-AI-Deployed-Model-Id"] == "1"
    other = sandbox.http().post(f"{VERTEX}/v1/{ENDPOINT}:rawPredict", json={"rows": ROWS})
    assert other.status_code == 400


def test_a_dedicated_endpoint_answers_on_its_own_host_only(sandbox: Sandbox, model: str) -> None:
    sandbox.endpoint(dedicated_endpoint_enabled=True)
    sandbox.deploy(model, "1", {"0": 100})
    seen = sandbox.endpoints().get_endpoint(name=ENDPOINT)
    assert seen.dedicated_endpoint_dns == DEDICATED
    with pytest.raises(exceptions.BadRequest) as refused:
        predict(sandbox)
    assert refused.value.message.endswith(
        "Dedicated Endpoint cannot be accessed through the shared Vertex AI domain "
        "aiplatform.googleapis.com. Please access the endpoint using its dedicated domain name "
        f"'{DEDICATED}'"
    )
    assert list(predict(sandbox, host=DEDICATED).predictions) == [1, 0]
    with pytest.raises(exceptions.Forbidden):
        predict(sandbox, name="serving", host=DEDICATED)


def test_a_region_has_a_host_for_predictions(sandbox: Sandbox, serving: str) -> None:
    """The one that `gcloud ai endpoints predict` asks."""
    host = f"{REGION}-prediction-aiplatform.googleapis.com"
    assert list(predict(sandbox, host=host).predictions) == [1, 0]
    with pytest.raises(exceptions.BadRequest, match="valid location ID is `europe-west1`"):
        predict(sandbox, host=host.replace(REGION, "europe-west1"))


def test_a_dedicated_host_serves_no_other_endpoint(sandbox: Sandbox, serving: str) -> None:
    with pytest.raises(exceptions.NotFound):
        predict(sandbox, host=DEDICATED)


def test_a_container_that_cannot_run_here_says_so(sandbox: Sandbox) -> None:
    image = "us-docker.pkg.dev/vertex-ai/prediction/xgboost-cpu.2-1:latest"
    custom = {"container_spec": {"image_uri": image}}
    model = sandbox.upload(sandbox.bucket(), model=custom)
    sandbox.endpoint()
    sandbox.deploy(model, "1", {"0": 100})
    answer = sandbox.http().post(f"{VERTEX}/v1/{ENDPOINT}:predict", json={"instances": ROWS})
    assert (answer.status_code, image in answer.json()["error"]["message"]) == (501, True)


# Request-response logging


def test_sampled_predictions_are_logged_by_the_service_agent(sandbox: Sandbox, model: str) -> None:
    sandbox.bigquery().create_dataset("telemetry")
    sandbox.endpoint(**logging(f"bq://{PROJECT}.telemetry.rr"))
    sandbox.deploy(model, "1", {"0": 100})
    predict(sandbox)
    (row,) = sandbox.bigquery().list_rows(f"{PROJECT}.telemetry.rr")
    assert (row["endpoint"], row["deployed_model_id"]) == ("1234567890", "1")
    assert [json.loads(item) for item in row["request_payload"]] == ROWS
    assert row["response_payload"] == ["1", "0"]
    assert row["logging_time"].timestamp() == sandbox.cloud.clock.now()
    assert (AGENT, LOG, True) in sandbox.checks("bigquery.tables.updateData")


@pytest.mark.parametrize(
    ("uri", "table"),
    [
        (f"bq://{PROJECT}.telemetry", f"{PROJECT}.telemetry.request_response_logging"),
        (f"bq://{PROJECT}", f"{PROJECT}.logging_p_m_1234567890.request_response_logging"),
    ],
)
def test_a_shorter_destination_gets_googles_names(
    sandbox: Sandbox, model: str, uri: str, table: str
) -> None:
    sandbox.bigquery().create_dataset("telemetry")
    sandbox.endpoint(display_name="p-m", **logging(uri))
    sandbox.deploy(model, "1", {"0": 100})
    predict(sandbox)
    assert len(list(sandbox.bigquery().list_rows(table))) == 1


def test_a_log_that_cannot_be_written_stops_no_prediction_and_is_counted(
    sandbox: Sandbox, model: str
) -> None:
    sandbox.endpoint(**logging(f"bq://{PROJECT}.telemetry.rr"))
    sandbox.deploy(model, "1", {"0": 100})
    failures = sandbox.cloud[Vertex].logging_failures
    assert list(predict(sandbox).predictions) == [1, 0]
    assert failures == {f"Not found: Dataset {PROJECT}:telemetry": 1}
    sandbox.bigquery().create_dataset("telemetry")
    sandbox.cloud[Iam].withheld.add((AGENT, "bigquery.tables.updateData"))
    predict(sandbox)
    (denied,) = failures.keys() - {f"Not found: Dataset {PROJECT}:telemetry"}
    assert "bigquery.tables.updateData" in denied
    sandbox.cloud[Iam].withheld.clear()
    sandbox.bigquery().delete_table(f"{PROJECT}.telemetry.rr")
    sandbox.bigquery().create_table(f"{PROJECT}.telemetry.rr")
    predict(sandbox)
    assert failures[f"{LOG} does not have the columns of a prediction log."] == 1
    assert not list(sandbox.cloud[BigQuery].table(LOG).rows)


def test_the_sampling_rate_says_how_many_are_logged(sandbox: Sandbox, model: str) -> None:
    sandbox.bigquery().create_dataset("telemetry")
    sandbox.endpoint(**logging(f"bq://{PROJECT}.telemetry.rr", rate=0.25))
    sandbox.deploy(model, "1", {"0": 100})
    url, client = f"{VERTEX}/v1/{ENDPOINT}:predict", sandbox.http()
    for _ in range(200):
        client.post(url, json={"instances": ROWS}).raise_for_status()
    assert 30 <= len(sandbox.cloud[BigQuery].table(LOG).rows) <= 70


def test_predicting_account_needs_nothing_but_predict(sandbox: Sandbox, serving: str) -> None:
    sandbox.role("serving", PREDICT, on=ENDPOINT)
    predict(sandbox, name="serving")
    used = sandbox.cloud[Audit].usage()[f"serviceAccount:{email('serving')}"]
    assert {name: list(by.values()) for name, by in used.items()} == {PREDICT: [[ENDPOINT]]}
