"""What was checked in the cloud, read as Cloud Audit Logs."""

from __future__ import annotations

from simulator.services.serviceusage import Services
from tests.simulator.support.observe import (
    LOGGING,
    MONITORING,
    PARENT,
    ask,
    audit,
    create_endpoint,
    data_access,
    done,
    entries,
    log_denials,
    refused,
    series,
)
from tests.simulator.support.service import ENDPOINT, LOCATION, PROJECT, VERTEX, Sandbox, email

REFUSED = 'protoPayload.serviceName="aiplatform.googleapis.com" AND protoPayload.status.code=7'
DATA_ACCESS = 'logName:"data_access"'


def test_a_denied_creation_is_found_explained_and_counted(sandbox: Sandbox) -> None:
    """A deployment stops with a 403, and the logs say which permission is missing to whom."""
    log_denials(
        sandbox,
        metricDescriptor={
            "metricKind": "DELTA",
            "valueType": "INT64",
            "labels": [{"key": "principal"}],
        },
        labelExtractors={"principal": "EXTRACT(protoPayload.authenticationInfo.principalEmail)"},
    )
    sandbox.cloud.clock.step(60)
    assert create_endpoint(sandbox, "deployer")[0] == 403
    sandbox.cloud.clock.step(60)

    [entry] = entries(sandbox, REFUSED)

    payload = entry["protoPayload"]
    assert payload["methodName"] == "google.cloud.aiplatform.v1.EndpointService.CreateEndpoint"
    assert payload["authenticationInfo"]["principalEmail"] == email("deployer")
    assert payload["authorizationInfo"] == [
        {
            "resource": LOCATION,
            "permission": "aiplatform.endpoints.create",
            "granted": False,
            "resourceAttributes": {},
        }
    ]
    assert payload["status"]["message"].startswith(
        "Permission 'aiplatform.endpoints.create' denied"
    )
    assert entry["severity"] == "ERROR"
    assert entry["logName"] == f"{PARENT}/logs/cloudaudit.googleapis.com%2Factivity"
    assert entry["resource"] == {
        "type": "audited_resource",
        "labels": {
            "project_id": PROJECT,
            "service": "aiplatform.googleapis.com",
            "method": "google.cloud.aiplatform.v1.EndpointService.CreateEndpoint",
        },
    }

    [counted] = series(sandbox, 'metric.type="logging.googleapis.com/user/denials"')
    assert counted["metric"]["labels"] == {"principal": email("deployer")}
    assert counted["resource"]["type"] == "audited_resource"
    assert [point["value"] for point in counted["points"]] == [{"int64Value": "1"}]

    # Once the permission is there, a second attempt succeeds and nothing more is counted.
    sandbox.role("deployer", "aiplatform.endpoints.create")
    assert create_endpoint(sandbox, "deployer")[0] == 200
    assert len(entries(sandbox, REFUSED)) == 1
    [granted] = entries(
        sandbox,
        'protoPayload.authorizationInfo.granted=true AND protoPayload.serviceName:"aiplatform"',
    )
    assert (granted["severity"], granted["protoPayload"]["status"]) == ("NOTICE", {})


def test_an_act_as_denial_has_the_code_of_its_400(sandbox: Sandbox, model: str) -> None:
    sandbox.endpoint()
    sandbox.role("deployer", "aiplatform.endpoints.deploy", "aiplatform.models.get")
    machine = {"machineSpec": {"machineType": "n1-standard-2"}, "minReplicaCount": 1}
    body = {"model": model, "dedicatedResources": machine, "serviceAccount": email("serving")}
    url = f"{VERTEX}/v1/{ENDPOINT}:deployModel"
    assert refused(sandbox, "POST", url, {"deployedModel": body}, who="deployer")[0] == 400

    [entry] = entries(sandbox, 'protoPayload.methodName:"DeployModel" severity=ERROR')

    assert entry["protoPayload"]["status"]["code"] == 3
    checks = {
        item["permission"]: item["granted"] for item in entry["protoPayload"]["authorizationInfo"]
    }
    assert checks == {
        "aiplatform.endpoints.deploy": True,
        "aiplatform.models.get": True,
        "iam.serviceAccounts.actAs": False,
    }


def test_an_entry_has_the_checks_of_the_caller_and_not_of_googles_agents(
    sandbox: Sandbox, model: str
) -> None:
    """A prediction that Vertex AI's agent writes to BigQuery while it is answered."""
    sandbox.bigquery().create_dataset("telemetry")
    destination = {"output_uri": f"bq://{PROJECT}.telemetry.rr"}
    config = {"enabled": True, "sampling_rate": 1.0, "bigquery_destination": destination}
    sandbox.endpoint(predict_request_response_logging_config=config)
    sandbox.deploy(model, split={"0": 100})
    audit(sandbox, data_access("DATA_READ", service="aiplatform.googleapis.com"))
    sandbox.predictions().predict(endpoint=ENDPOINT, instances=[[1.0, 0.0]])

    [entry] = entries(sandbox, 'protoPayload.methodName:"Predict"')

    permissions = [item["permission"] for item in entry["protoPayload"]["authorizationInfo"]]
    assert permissions == ["aiplatform.endpoints.predict"]
    assert [granted for _, _, granted in sandbox.checks("bigquery.tables.updateData")] == [True]


def test_reads_are_logged_only_where_an_audit_configuration_asks_for_them(
    sandbox: Sandbox,
) -> None:
    url = f"{VERTEX}/v1/{LOCATION}/endpoints"
    done(sandbox, "GET", url)
    audit(sandbox, data_access("DATA_READ"), data_access("ADMIN_READ", service="x.googleapis.com"))
    done(sandbox, "GET", url)
    audit(sandbox, data_access("ADMIN_READ", service="aiplatform.googleapis.com"))
    refused(sandbox, "GET", url, who="deployer")
    done(sandbox, "GET", url)
    audit(sandbox)
    done(sandbox, "GET", url)

    found = entries(sandbox, 'protoPayload.methodName:"ListEndpoints"')

    assert [(e["severity"], e["logName"].rpartition("/")[2]) for e in found] == [
        ("ERROR", "cloudaudit.googleapis.com%2Fdata_access"),
        ("INFO", "cloudaudit.googleapis.com%2Fdata_access"),
    ]


def test_an_exempted_member_is_not_logged_and_the_organization_can_ask_too(
    sandbox: Sandbox,
) -> None:
    sandbox.role("deployer", "aiplatform.endpoints.list")
    audit(sandbox, data_access("ADMIN_READ", "deployer"), on="organizations/1")
    for who in ("admin", "deployer"):
        done(sandbox, "GET", f"{VERTEX}/v1/{LOCATION}/endpoints", who=who)

    found = entries(sandbox, 'protoPayload.methodName:"ListEndpoints"')

    assert [e["protoPayload"]["authenticationInfo"]["principalEmail"] for e in found] == [
        email("admin")
    ]


def test_predictions_are_data_reads(sandbox: Sandbox, model: str, endpoint: str) -> None:
    sandbox.deploy(model, split={"0": 100})
    audit(sandbox, data_access("DATA_READ", service="aiplatform.googleapis.com"))
    sandbox.predictions().predict(endpoint=ENDPOINT, instances=[[1.0, 0.0]])

    [entry] = entries(sandbox, DATA_ACCESS)

    name = "google.cloud.aiplatform.v1.PredictionService.Predict"
    assert entry["protoPayload"]["methodName"] == name
    assert entry["protoPayload"]["resourceName"] == ENDPOINT


def test_data_access_logs_need_the_private_permission(sandbox: Sandbox) -> None:
    audit(sandbox, data_access("ADMIN_READ"))
    done(sandbox, "GET", f"{VERTEX}/v1/{LOCATION}/endpoints")
    create_endpoint(sandbox, "admin")
    status, message = refused(
        sandbox, "POST", f"{LOGGING}/entries:list", {"resourceNames": [PARENT]}, who="deployer"
    )
    assert (status, "logging.logEntries.list" in message) == (403, True)

    sandbox.role("deployer", "logging.logEntries.list")
    assert len(entries(sandbox, who="deployer")) == 1
    assert len(entries(sandbox)) == 2
    asked = sandbox.checks("logging.privateLogEntries.list")
    assert asked == [(email("deployer"), PARENT, False), (email("admin"), PARENT, True)]


def test_the_log_of_a_bucket_outlives_it(sandbox: Sandbox) -> None:
    sandbox.storage().create_bucket("iot-prod-short", location="us-central1")
    sandbox.storage().bucket("iot-prod-short").delete()

    found = entries(sandbox, 'resource.type="gcs_bucket"')

    assert [entry["protoPayload"]["methodName"] for entry in found] == ["storage.buckets.delete"]
    assert found[0]["resource"]["labels"] == {
        "project_id": PROJECT,
        "bucket_name": "iot-prod-short",
    }


def test_entries_come_in_the_order_and_the_pages_that_are_asked_for(sandbox: Sandbox) -> None:
    for _ in range(3):
        create_endpoint(sandbox, "deployer")
        sandbox.cloud.clock.step(1)
    body = {"resourceNames": [PARENT], "filter": REFUSED, "pageSize": 2}
    first = done(sandbox, "POST", f"{LOGGING}/entries:list", body)
    create_endpoint(sandbox, "deployer")
    rest = done(
        sandbox,
        "POST",
        f"{LOGGING}/entries:list",
        {**body, "pageToken": first["nextPageToken"]},
    )
    listed = [*first["entries"], *rest["entries"]]

    assert "nextPageToken" not in rest
    assert listed == entries(sandbox, REFUSED)
    assert listed[::-1] == entries(sandbox, REFUSED, orderBy="timestamp desc")
    assert len({entry["insertId"] for entry in listed}) == 4


def test_a_request_for_entries_says_what_is_wrong(sandbox: Sandbox) -> None:
    url = f"{LOGGING}/entries:list"
    assert refused(sandbox, "POST", url, {})[0] == 400
    given = {"resourceNames": [PARENT]}
    assert "order_by" in refused(sandbox, "POST", url, {**given, "orderBy": "severity"})[1]
    message = refused(sandbox, "POST", url, {**given, "filter": "severity="})[1]
    assert message == "Unparseable filter: unexpected end at line 1, column 10"
    view = {"resourceNames": [f"{PARENT}/locations/global/buckets/_Default/views/_Default"]}
    assert refused(sandbox, "POST", url, view)[0] == 501


def test_a_call_to_an_api_that_is_off_is_counted_but_not_logged(sandbox: Sandbox) -> None:
    sandbox.cloud[Services].withheld = {"aiplatform.googleapis.com"}
    assert create_endpoint(sandbox, "admin")[0] == 403
    assert entries(sandbox, REFUSED) == []
    [found] = series(
        sandbox,
        'metric.type="serviceruntime.googleapis.com/api/request_count" AND '
        'resource.labels.service="aiplatform.googleapis.com"',
    )
    assert found["metric"]["labels"]["response_code_class"] == "4xx"


def test_an_alert_on_the_denials_needs_the_metric_first(sandbox: Sandbox) -> None:
    policy = {
        "displayName": "denied",
        "combiner": "OR",
        "conditions": [
            {
                "displayName": "any",
                "conditionThreshold": {
                    "filter": 'metric.type="logging.googleapis.com/user/denials" AND '
                    'resource.type="audited_resource"',
                    "comparison": "COMPARISON_GT",
                    "duration": "0s",
                },
            }
        ],
    }
    url = f"{MONITORING}/{PARENT}/alertPolicies"
    status, message = refused(sandbox, "POST", url, policy)
    assert (status, message[:25]) == (404, "Cannot find metric(s) tha")
    log_denials(sandbox)
    assert ask(sandbox, "POST", url, policy)[0] == 200
