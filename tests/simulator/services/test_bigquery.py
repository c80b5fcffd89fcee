"""BigQuery, asked by Google's own client and with the official provider's requests."""

from __future__ import annotations

from typing import Any

import pytest
from google.api_core import exceptions
from google.cloud import bigquery

from simulator.core.principal import Principal
from simulator.iam.decisions import Iam
from simulator.services.bigquery.state import BigQuery
from tests.simulator.support.service import NUMBER, PROJECT, Sandbox, email

API = f"https://bigquery.googleapis.com/bigquery/v2/projects/{PROJECT}/datasets"
DATASET = f"projects/{PROJECT}/datasets/telemetry"
TABLE = f"{DATASET}/tables/readings"
READ = "bigquery.tables.getData"
OFFICIAL = {
    "datasetReference": {"datasetId": "telemetry"},
    "labels": {"goog-pulumi-provisioned": "true"},
    "location": "us-central1",
}
COLUMNS = [
    bigquery.SchemaField("device", "STRING"),
    bigquery.SchemaField("at", "TIMESTAMP"),
    bigquery.SchemaField("values", "FLOAT", mode="REPEATED"),
    bigquery.SchemaField("ok", "BOOLEAN"),
    bigquery.SchemaField("place", "RECORD", fields=[bigquery.SchemaField("line", "INTEGER")]),
]


@pytest.fixture
def dataset(sandbox: Sandbox) -> dict[str, Any]:
    answer = sandbox.http().post(f"{API}?accessPolicyVersion=3&alt=json", json=OFFICIAL)
    made: dict[str, Any] = answer.json()
    return made


def holds(sandbox: Sandbox, name: str, permission: str = READ, on: str = DATASET) -> bool:
    principal = Principal(f"serviceAccount:{email(name)}")
    return sandbox.cloud[Iam].decide(principal, permission, on) is not None


def table(sandbox: Sandbox) -> Any:
    """A table with two rows, as a service that writes to BigQuery would leave them."""
    client = sandbox.bigquery()
    client.create_table(bigquery.Table(f"{PROJECT}.telemetry.readings", schema=COLUMNS))
    row = {"device": "d1", "at": 1_767_225_600.5, "values": [1.5, 2], "ok": True}
    sandbox.cloud[BigQuery].table(TABLE).rows += [row | {"place": {"line": 7}}, {"device": "d2"}]
    return client


def test_a_new_dataset_has_googles_default_access(dataset: dict[str, Any]) -> None:
    assert dataset["access"] == [
        {"role": "WRITER", "specialGroup": "projectWriters"},
        {"role": "OWNER", "specialGroup": "projectOwners"},
        {"role": "OWNER", "userByEmail": email("admin")},
        {"role": "READER", "specialGroup": "projectReaders"},
    ]


def test_making_a_dataset_takes_its_permission(sandbox: Sandbox) -> None:
    assert sandbox.http("deployer").post(API, json=OFFICIAL).status_code == 403
    sandbox.role("deployer", "bigquery.datasets.create")
    made = sandbox.http("deployer").post(API, json=OFFICIAL)
    assert made.status_code == 200
    # Its creator owns it, without another grant.
    assert holds(sandbox, "deployer", "bigquery.datasets.delete")


def test_denials_read_as_bigquerys_own(sandbox: Sandbox, dataset: dict[str, Any]) -> None:
    """The sentences: googleapis/google-cloud-java#7631, terraform-provider-google#9577."""
    client = sandbox.http("deployer")
    create, get = client.post(API, json=OFFICIAL), client.get(f"{API}/telemetry")
    on_project = (
        "Access Denied: Project iot-prod: User does not have bigquery.datasets.create permission "
        "in project iot-prod."
    )
    on_dataset = (
        "Access Denied: Dataset iot-prod:telemetry: Permission bigquery.datasets.get denied on "
        "dataset iot-prod:telemetry (or it may not exist)."
    )
    for answer, message in ((create, on_project), (get, on_dataset)):
        reasons = [{"message": message, "domain": "global", "reason": "accessDenied"}]
        expected = {"code": 403, "message": message, "errors": reasons}
        assert answer.json()["error"] == {**expected, "status": "PERMISSION_DENIED"}


def test_an_access_entry_is_a_binding_and_reads_back_in_the_older_words(
    sandbox: Sandbox, dataset: dict[str, Any]
) -> None:
    entries = [
        {"role": "roles/bigquery.dataEditor", "userByEmail": email("serving")},
        {"role": "roles/bigquery.dataOwner", "specialGroup": "projectOwners"},
    ]
    assert not holds(sandbox, "serving")
    url = f"{API}/telemetry?accessPolicyVersion=3&alt=json"
    sandbox.http().patch(url, json={"access": entries}).raise_for_status()
    assert holds(sandbox, "serving")
    assert sandbox.http().get(url).json()["access"] == [
        {"role": "WRITER", "userByEmail": email("serving")},
        {"role": "OWNER", "specialGroup": "projectOwners"},
    ]
    sandbox.http().patch(url, json={"access": entries[1:]}).raise_for_status()
    assert not holds(sandbox, "serving")


def test_a_conditional_entry_keeps_its_condition(sandbox: Sandbox, dataset: dict[str, Any]) -> None:
    condition = {"title": "readings", "expression": f"resource.name.startsWith('{TABLE}')"}
    entry = {
        "role": "READER",
        "userByEmail": email("serving"),
        "condition": condition,
    }
    url = f"{API}/telemetry?accessPolicyVersion=3"
    sandbox.http().patch(url, json={"access": [entry]}).raise_for_status()
    assert sandbox.http().get(url).json()["access"] == [entry]
    assert holds(sandbox, "serving", on=TABLE)
    assert not holds(sandbox, "serving", on=f"{DATASET}/tables/others")


def test_changing_who_has_access_takes_more_than_changing_a_label(
    sandbox: Sandbox, dataset: dict[str, Any]
) -> None:
    sandbox.role("deployer", "bigquery.datasets.update")
    client = sandbox.http("deployer")
    label = client.patch(f"{API}/telemetry", json={"labels": {"env": "prod"}})
    entry = {"role": "OWNER", "userByEmail": email("deployer")}
    takeover = client.patch(f"{API}/telemetry", json={"access": [entry]})
    assert (label.status_code, takeover.status_code) == (200, 403)
    assert not holds(sandbox, "deployer")


def test_dataset_access_is_granted_as_the_official_provider_asks_for_it(
    sandbox: Sandbox, dataset: dict[str, Any]
) -> None:
    """Each entry that it adds repeats the dataset's id, which BigQuery does not keep."""
    url = f"{API}/telemetry?accessPolicyVersion=3&alt=json"
    view = {"projectId": PROJECT, "datasetId": "other", "tableId": "v"}
    added = [
        {"datasetId": "telemetry", "role": "WRITER", "userByEmail": email("serving")},
        {"datasetId": "telemetry", "view": view},
    ]
    body = {"access": [*dataset["access"], *added]}
    answer = sandbox.http().patch(url, json=body)
    assert answer.status_code == 200, answer.text
    assert holds(sandbox, "serving")
    access = sandbox.http().get(url).json()["access"]
    assert {"role": "WRITER", "userByEmail": email("serving")} in access
    assert {"view": view} in access


def test_an_update_can_be_of_the_access_list_or_of_everything_else(
    sandbox: Sandbox, dataset: dict[str, Any]
) -> None:
    change = {"description": "new", "access": [{"role": "READER", "userByEmail": email("serving")}]}
    url = f"{API}/telemetry"
    of_all_else = sandbox.http().patch(f"{url}?updateMode=UPDATE_METADATA", json=change).json()
    assert (of_all_else["description"], of_all_else["access"]) == ("new", dataset["access"])
    again = {**change, "description": "newer"}
    of_access = sandbox.http().patch(f"{url}?updateMode=UPDATE_ACL", json=again).json()
    assert (of_access["description"], of_access["access"]) == ("new", change["access"])
    seen = sandbox.http().get(f"{url}?datasetView=ACL").json()
    assert seen["access"] == change["access"]
    assert "description" not in seen


def test_datasets_are_listed_by_label_and_without_hidden_ones(
    sandbox: Sandbox, dataset: dict[str, Any]
) -> None:
    for name, labels in (("a", {"env": "prod", "team": "x"}), ("_h", {}), ("b", {"env": "test"})):
        body = {"datasetReference": {"datasetId": name}, "labels": labels}
        sandbox.http().post(API, json=body).raise_for_status()

    def listed(query: str) -> list[str]:
        items = sandbox.http().get(f"{API}?{query}").json()["datasets"]
        return [item["datasetReference"]["datasetId"] for item in items]

    assert listed("") == ["a", "b", "telemetry"]
    assert listed("all=true") == ["_h", "a", "b", "telemetry"]
    assert listed("filter=labels.env") == ["a", "b"]
    assert listed("filter=labels.env:prod labels.team:x") == ["a"]
    assert listed("filter=labels.env:prod labels.team:y") == []
    assert sandbox.http().get(f"{API}?filter=name:a").status_code == 400


def test_the_agent_that_encrypts_is_told_to_who_may_run_jobs(sandbox: Sandbox) -> None:
    url = f"https://bigquery.googleapis.com/bigquery/v2/projects/{PROJECT}/serviceAccount"
    assert sandbox.http("deployer").get(url).status_code == 403
    sandbox.role("deployer", "bigquery.jobs.create")
    answer = sandbox.http("deployer").get(url).json()
    assert answer["email"] == f"bq-{NUMBER}@bigquery-encryption.iam.gserviceaccount.com"


def test_an_account_that_does_not_exist_leaves_no_half_made_dataset(sandbox: Sandbox) -> None:
    entries = [{"role": "READER", "userByEmail": email(name)} for name in ("serving", "nobody")]
    answer = sandbox.http().post(API, json=OFFICIAL | {"access": entries})
    assert answer.status_code == 400
    assert sandbox.http().get(f"{API}/telemetry").status_code == 404
    assert not holds(sandbox, "serving")


def test_the_official_providers_update_keeps_access_and_drops_what_it_leaves_out(
    sandbox: Sandbox, dataset: dict[str, Any]
) -> None:
    """The PUT of provider-contract/more/update.jsonl: no access, empty texts, a number."""
    body = OFFICIAL | {
        "defaultCollation": "",
        "friendlyName": "",
        "defaultTableExpirationMs": 7_776_000_000,
        "labels": {"step": "2"},
    }
    seen = sandbox.http().put(f"{API}/telemetry?accessPolicyVersion=3", json=body).json()
    assert seen["access"] == dataset["access"]
    assert seen["labels"] == {"step": "2"}
    assert seen["defaultTableExpirationMs"] == "7776000000"
    assert "friendlyName" not in seen
    assert seen["etag"] != dataset["etag"]


def test_a_missing_dataset_and_a_taken_name_read_as_googles(
    sandbox: Sandbox, dataset: dict[str, Any]
) -> None:
    missing = sandbox.http().get(f"{API}/nowhere")
    message = f"Not found: Dataset {PROJECT}:nowhere"
    assert missing.json()["error"] == {
        "code": 404,
        "message": message,
        "errors": [{"message": message, "domain": "global", "reason": "notFound"}],
        "status": "NOT_FOUND",
    }
    taken = sandbox.http().post(API, json=OFFICIAL)
    assert (taken.status_code, taken.json()["error"]["message"]) == (
        409,
        f"Already Exists: Dataset {PROJECT}:telemetry",
    )


def test_a_dataset_with_tables_is_deleted_only_with_its_contents(
    sandbox: Sandbox, dataset: dict[str, Any]
) -> None:
    client = table(sandbox)
    with pytest.raises(exceptions.BadRequest, match="is still in use"):
        client.delete_dataset("telemetry")
    client.delete_dataset("telemetry", delete_contents=True)
    assert sandbox.cloud[BigQuery].live() == {"datasets": [], "tables": []}
    assert "bindings" not in sandbox.cloud[Iam].get_policy(DATASET)


def test_rows_read_back_with_their_types(sandbox: Sandbox, dataset: dict[str, Any]) -> None:
    client = table(sandbox)
    first, second = client.list_rows(f"{PROJECT}.telemetry.readings")
    assert (first["device"], first["values"], first["ok"]) == ("d1", [1.5, 2.0], True)
    assert first["at"].timestamp() == 1_767_225_600.5
    assert first["place"] == {"line": 7}
    assert (second["device"], second["at"], second["values"]) == ("d2", None, [])
    pages = client.list_rows(f"{PROJECT}.telemetry.readings", page_size=1).pages
    assert [len(list(page)) for page in pages] == [1, 1]


def test_reading_rows_takes_more_than_seeing_the_table(
    sandbox: Sandbox, dataset: dict[str, Any]
) -> None:
    table(sandbox)
    sandbox.grant(TABLE, "roles/bigquery.metadataViewer", "serving")
    client = sandbox.bigquery("serving")
    seen = client.get_table(f"{PROJECT}.telemetry.readings")
    assert (seen.num_rows, seen.table_type) == (2, "TABLE")
    with pytest.raises(exceptions.Forbidden, match=r"bigquery\.tables\.getData"):
        list(client.list_rows(seen))


def test_a_grant_on_one_table_leaves_the_others_closed(
    sandbox: Sandbox, dataset: dict[str, Any]
) -> None:
    client = table(sandbox)
    client.create_table(bigquery.Table(f"{PROJECT}.telemetry.others", schema=COLUMNS))
    policy = client.get_iam_policy(f"{PROJECT}.telemetry.readings")
    members = {f"serviceAccount:{email('serving')}"}
    policy.bindings.append({"role": "roles/bigquery.dataViewer", "members": members})
    client.set_iam_policy(f"{PROJECT}.telemetry.readings", policy)
    reader = sandbox.bigquery("serving")
    assert len(list(reader.list_rows(f"{PROJECT}.telemetry.readings"))) == 2
    with pytest.raises(exceptions.Forbidden):
        reader.get_table(f"{PROJECT}.telemetry.others")
    held = reader.test_iam_permissions(f"{PROJECT}.telemetry.readings", [READ])
    assert held == {"permissions": [READ]}


def test_a_table_keeps_what_the_official_provider_sends(
    sandbox: Sandbox, dataset: dict[str, Any]
) -> None:
    """provider-contract/more: clustering, partitioning with text numbers, empty policy tags."""
    body = {
        "clustering": {"fields": ["device"]},
        "labels": {"goog-pulumi-provisioned": "true"},
        "schema": {
            "fields": [
                {
                    "mode": "REQUIRED",
                    "name": "publish_time",
                    "policyTags": {"names": []},
                    "type": "TIMESTAMP",
                }
            ]
        },
        "tableReference": {"datasetId": "telemetry", "projectId": PROJECT, "tableId": "readings"},
        "timePartitioning": {"expirationMs": "7776000000", "field": "publish_time", "type": "DAY"},
    }
    sandbox.http().post(f"{API}/telemetry/tables?alt=json", json=body).raise_for_status()
    url = f"{API}/telemetry/tables/readings?alt=json"
    seen = sandbox.http().get(url).json()
    assert {key: seen[key] for key in body} == body
    patched = sandbox.http().patch(url, json={"description": "raw"}).json()
    assert (patched["description"], patched["clustering"]) == ("raw", body["clustering"])
    assert sandbox.http().delete(url).status_code == 204
    assert sandbox.http().get(url).status_code == 404


def test_a_view_is_a_table_of_another_type(sandbox: Sandbox, dataset: dict[str, Any]) -> None:
    view = bigquery.Table(f"{PROJECT}.telemetry.joined")
    view.view_query = "SELECT 1"
    assert sandbox.bigquery().create_table(view).table_type == "VIEW"
    listed = sandbox.bigquery().list_tables("telemetry")
    assert [(item.table_id, item.table_type) for item in listed] == [("joined", "VIEW")]


def test_a_query_in_legacy_sql_is_not_simulated_and_says_so(sandbox: Sandbox) -> None:
    answer = sandbox.http().post(
        f"https://bigquery.googleapis.com/bigquery/v2/projects/{PROJECT}/queries",
        json={"query": "SELECT 1"},
    )
    assert answer.status_code == 501
    assert "bigquery.jobs.query" in answer.json()["error"]["message"]
