"""Online prediction: the model in a simulated pre-built container, and request-response logging.

Only the pre-built scikit-learn containers run here; models with another image can be registered
and deployed, and say so when they are asked for a prediction.
"""

from __future__ import annotations

import base64
import json
import re
from time import perf_counter
from typing import Any

from simulator.api.calls import Call, Methods, Reply, Result
from simulator.api.errors import ApiError, failed_precondition, invalid, not_found
from simulator.core.platform import Containers
from simulator.identity.accounts import Accounts
from simulator.services.bigquery.state import BigQuery
from simulator.services.vertex.state import (
    Deployment,
    Endpoint,
    Served,
    Strain,
    Vertex,
    display_names,
    in_region,
    project_of,
)
from simulator.services.vertex.watching import observe

method = Methods()

PREDICT = "aiplatform.endpoints.predict"
LOG_TABLE = "request_response_logging"
LOG_SCHEMA = {
    "fields": [
        {"name": "endpoint", "type": "STRING"},
        {"name": "deployed_model_id", "type": "STRING"},
        {"name": "logging_time", "type": "TIMESTAMP"},
        {"name": "request_id", "type": "NUMERIC"},
        {"name": "request_payload", "type": "STRING", "mode": "REPEATED"},
        {"name": "response_payload", "type": "STRING", "mode": "REPEATED"},
    ]
}


def _on_endpoint(call: Call) -> str:
    return in_region(call, call.params["endpoint"])


def _on_raw_endpoint(call: Call) -> str:
    """Puts the body where the request message has it: all of it is the message's `http_body`."""
    data = base64.b64encode(json.dumps(call.body).encode()).decode()
    call.body.clear()
    call.body["httpBody"] = {"contentType": call.media_type, "data": data}
    return _on_endpoint(call)


def dedicated_dns(call: Call, endpoint: str) -> str:
    project, location, endpoint_id = endpoint.split("/")[1::2]
    number = call.cloud[Containers].number(project)
    return f"{endpoint_id}.{location}-{number}.prediction.vertexai.goog"


def _reached(call: Call) -> Endpoint:
    """The endpoint, when it takes predictions on the host that was asked."""
    endpoint, dns = call.cloud[Vertex].endpoint(call.resource), dedicated_dns(call, call.resource)
    dedicated = endpoint.info.get("dedicatedEndpointEnabled", False)
    if endpoint.info.get("privateServiceConnectConfig", {}).get("enablePrivateServiceConnect"):
        # No public host serves it (docs vertex-ai/docs/predictions/private-service-connect); the
        # words are ours.
        raise failed_precondition(
            "A Private Service Connect endpoint cannot be accessed through a public domain. Please "
            "access it through a forwarding rule to its service attachment."
        )
    if call.host.endswith(".prediction.vertexai.goog"):
        if not dedicated or call.host != dns:
            raise not_found(f"{call.host} does not serve {call.resource}.")
    elif dedicated:
        # As it was in 2026, by several public repositories; older ones quote another sentence.
        raise failed_precondition(
            "Dedicated Endpoint cannot be accessed through the shared Vertex AI domain "
            "aiplatform.googleapis.com. Please access the endpoint using its dedicated domain name "
            f"'{dns}'"
        )
    return endpoint


def _chosen(call: Call, endpoint: Endpoint) -> Deployment:
    weights = {key: share for key, share in endpoint.traffic.items() if share}
    if not weights:
        # GoogleCloudPlatform/explainable_ai_sdk#3.
        name = call.cloud[Vertex].numbered(endpoint.name)
        raise failed_precondition(f"Endpoint {name} doesn't have traffic_split.")
    chosen = next(iter(weights))
    if len(weights) > 1:
        chosen = endpoint.random.choices(list(weights), list(weights.values()))[0]
    return endpoint.deployed[chosen]


def _served(
    call: Call, endpoint: Endpoint, instances: Any, parameters: Any
) -> tuple[Deployment, list[Any]]:
    received = perf_counter()
    if not isinstance(instances, list) or not instances:
        raise invalid("The request needs a non-empty list of instances.")
    deployment = _chosen(call, endpoint)
    assert deployment.predictor, "traffic goes to deployments that are ready only"
    asked, status = perf_counter(), 200
    strain = call.cloud[Vertex].strained.get(endpoint.name, Strain())
    try:
        if strain.fails:
            raise ApiError(503, "UNAVAILABLE", "The service is currently unavailable.")
        predictions = deployment.predictor.predict(instances, parameters)
    except ApiError as error:
        status = error.status
        raise
    finally:
        call.cloud[Vertex].served.append(
            Served(
                call.cloud.clock.now(),
                endpoint.name,
                deployment.info["id"],
                display_names(endpoint, deployment),
                len(instances),
                status,
                (perf_counter() - asked) * 1000 + strain.slower_ms,
                (asked - received) * 1000,
                bool(call.cloud[Vertex].machines(deployment).get("spot")),
            )
        )
    log_sample(call, endpoint, deployment, instances, predictions)
    observe(call.cloud, endpoint.name, deployment.info["id"], instances)
    return deployment, predictions


@method("aiplatform.projects.locations.endpoints.predict", permission=PREDICT, on=_on_endpoint)
def predict(call: Call) -> Result:
    endpoint, body = _reached(call), call.body
    deployment, predictions = _served(call, endpoint, body.get("instances"), body.get("parameters"))
    vertex = call.cloud[Vertex]
    model = vertex.models[deployment.model].versions[deployment.version]
    return {
        "predictions": predictions,
        "deployedModelId": deployment.info["id"],
        "model": vertex.numbered(deployment.model),
        "modelDisplayName": model["displayName"],
        "modelVersionId": deployment.version,
    }


@method(
    "aiplatform.projects.locations.endpoints.rawPredict", permission=PREDICT, on=_on_raw_endpoint
)
def raw_predict(call: Call) -> Result:
    """The container's answer as it is, with the headers Vertex AI adds."""
    endpoint = _reached(call)
    request = json.loads(base64.b64decode(call.body["httpBody"]["data"]))
    deployment, predictions = _served(
        call, endpoint, request.get("instances"), request.get("parameters")
    )
    headers = {
        "X-Vertex-AI-Endpoint-Id": endpoint.name.rpartition("/")[2],
        "X-Vertex-AI-Deployed-Model-Id": deployment.info["id"],
    }
    return Reply({"predictions": predictions}, headers=headers)


# Request-response logging


def check_logging(config: dict[str, Any]) -> None:
    if not config.get("enabled"):
        return
    if not 0 < config.get("samplingRate", 0) <= 1:
        raise invalid("sampling_rate must be in the range (0, 1].")
    uri = config.get("bigqueryDestination", {}).get("outputUri", "")
    if not re.fullmatch(r"bq://[^.]+(\.[^.]+){0,2}", uri):
        raise invalid(f"output_uri {uri} is not of the form bq://project.dataset.table.")


def log_table(endpoint: Endpoint) -> str:
    """The BigQuery table of an endpoint's log, by `projects/P/datasets/D/tables/T`."""
    config = endpoint.info["predictRequestResponseLoggingConfig"]
    uri = config["bigqueryDestination"]["outputUri"].removeprefix("bq://")
    project, dataset, table = [*uri.split("."), "", ""][:3]
    plain = re.sub(r"\W", "_", endpoint.info["displayName"])
    dataset = dataset or f"logging_{plain}_{endpoint.name.rpartition('/')[2]}"
    return f"projects/{project}/datasets/{dataset}/tables/{table or LOG_TABLE}"


def log_sample(
    call: Call,
    endpoint: Endpoint,
    deployment: Deployment,
    instances: list[Any],
    predictions: list[Any],
) -> None:
    """Write a sampled prediction to BigQuery as the service agent; a failure is only counted."""
    config = endpoint.info.get("predictRequestResponseLoggingConfig", {})
    if not config.get("enabled") or endpoint.random.random() >= config["samplingRate"]:
        return
    cloud = call.cloud
    try:
        rows = _log_rows(call, endpoint)
    except ApiError as error:
        cloud[Vertex].logging_failures[error.message] += 1
        return
    rows.append(
        {
            "endpoint": endpoint.name.rpartition("/")[2],
            "deployed_model_id": deployment.info["id"],
            "logging_time": cloud.clock.now(),
            "request_id": cloud.unique_id(),
            "request_payload": [json.dumps(item) for item in instances],
            "response_payload": [json.dumps(item) for item in predictions],
        }
    )


def _log_rows(call: Call, endpoint: Endpoint) -> list[dict[str, Any]]:
    """The rows of the log's table, made on first use.

    "The Dataset must exist and table must not exist" (BigQueryDestination); what happens to a
    table that does is not recorded: here one that has other columns takes no rows.
    """
    cloud, name = call.cloud, log_table(endpoint)
    agent = cloud[Accounts].create_agent("aiplatform", project_of(endpoint.name))
    dataset_name = name.rpartition("/tables/")[0]
    if dataset_name not in cloud[BigQuery].datasets and "/datasets/logging_" in name:
        call.check("bigquery.datasets.create", f"projects/{project_of(name)}", principal=agent)
        cloud[BigQuery].create_dataset(dataset_name, {}, agent.email)
    dataset = cloud[BigQuery].dataset(dataset_name)
    if name.rpartition("/")[2] not in dataset.tables:
        call.check("bigquery.tables.create", dataset_name, principal=agent)
        cloud[BigQuery].create_table(name, {"schema": LOG_SCHEMA})
    call.check("bigquery.tables.updateData", name, principal=agent)
    table = cloud[BigQuery].data(name)
    present = {column["name"] for column in table.info.get("schema", {}).get("fields", ())}
    if not present.issuperset(column["name"] for column in LOG_SCHEMA["fields"]):
        raise failed_precondition(f"{name} does not have the columns of a prediction log.")
    return table.rows
