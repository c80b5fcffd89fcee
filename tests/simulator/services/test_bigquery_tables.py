"""What BigQuery's tables inherit, how long they and their rows last, and what they do not do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from google.api_core import exceptions
from google.cloud import bigquery

from tests.simulator.support.service import ENCRYPTER, NUMBER, PROJECT, Sandbox

API = f"https://bigquery.googleapis.com/bigquery/v2/projects/{PROJECT}/datasets"
TABLES = f"{API}/d/tables"
HOUR, DAY = 3600, 86_400
COLUMNS = [
    {"name": "plain", "type": "STRING"},
    {"name": "exact", "type": "STRING", "collation": ""},
    {"name": "size", "type": "INTEGER"},
    {"name": "inside", "type": "RECORD", "fields": [{"name": "deep", "type": "STRING"}]},
]
Made = Callable[..., dict[str, Any]]


@pytest.fixture
def made(sandbox: Sandbox) -> Made:
    """Makes the dataset `d` with the fields given, then a table in it."""

    def make(dataset: dict[str, Any], table_id: str = "t", **table: Any) -> dict[str, Any]:
        body = {"datasetReference": {"datasetId": "d"}, **dataset}
        if sandbox.http().get(f"{API}/d").status_code == 404:
            sandbox.http().post(API, json=body).raise_for_status()
        reference = {"projectId": PROJECT, "datasetId": "d", "tableId": table_id}
        answer = sandbox.http().post(TABLES, json={"tableReference": reference, **table})
        answer.raise_for_status()
        result: dict[str, Any] = answer.json()
        return result

    return make


def collations(columns: list[dict[str, Any]]) -> dict[str, str | None]:
    found = {column["name"]: column.get("collation") for column in columns}
    for column in columns:
        found |= collations(column.get("fields", []))
    return found


def test_text_columns_take_the_datasets_collation_unless_they_name_one(
    sandbox: Sandbox, made: Made
) -> None:
    table = made({"defaultCollation": "und:ci"}, schema={"fields": COLUMNS})
    assert table["defaultCollation"] == "und:ci"
    expected = {"plain": "und:ci", "exact": "", "size": None, "inside": None, "deep": "und:ci"}
    assert collations(table["schema"]["fields"]) == expected
    # A column that is added later takes the table's, which need not be the dataset's any more.
    clear = {"defaultCollation": ""}
    sandbox.http().patch(f"{API}/d", json=clear).raise_for_status()
    more = {"schema": {"fields": [*COLUMNS, {"name": "late", "type": "STRING"}]}}
    seen = sandbox.http().patch(f"{TABLES}/t", json=more).json()
    assert collations(seen["schema"]["fields"]) == {**expected, "late": "und:ci"}
    assert "defaultCollation" not in made({}, "u", schema={"fields": COLUMNS})


def test_a_table_that_declines_its_datasets_collation_has_none(made: Made) -> None:
    table = made({"defaultCollation": "und:ci"}, defaultCollation="", schema={"fields": COLUMNS})
    assert "defaultCollation" not in table
    assert not any(collations(table["schema"]["fields"]).values())


def test_a_collation_that_bigquery_does_not_know_is_refused(sandbox: Sandbox) -> None:
    body = {"datasetReference": {"datasetId": "d"}, "defaultCollation": "de:ci"}
    assert sandbox.http().post(API, json=body).status_code == 400
    assert sandbox.http().get(f"{API}/d").status_code == 404


def test_a_table_goes_when_its_datasets_default_lifetime_has_passed(
    sandbox: Sandbox, made: Made
) -> None:
    now = sandbox.cloud.clock.now()
    table = made({"defaultTableExpirationMs": 6 * HOUR * 1000})
    assert table["expirationTime"] == str(int((now + 6 * HOUR) * 1000))
    made({}, "longer", expirationTime=str(int((now + DAY) * 1000)))
    sandbox.cloud.clock.step(6 * HOUR - 1)
    assert sandbox.http().get(f"{TABLES}/t").status_code == 200
    sandbox.cloud.clock.step(1)
    assert sandbox.http().get(f"{TABLES}/t").status_code == 404
    listed = sandbox.http().get(TABLES).json()["tables"]
    assert [item["tableReference"]["tableId"] for item in listed] == ["longer"]
    sandbox.http().patch(f"{TABLES}/longer", json={"expirationTime": None}).raise_for_status()
    sandbox.cloud.clock.step(365 * DAY)
    assert sandbox.http().get(f"{TABLES}/longer").status_code == 200


def test_a_default_lifetime_of_zero_is_none(sandbox: Sandbox, made: Made) -> None:
    made({"defaultTableExpirationMs": HOUR * 1000})
    zero = {"defaultTableExpirationMs": "0"}
    assert "defaultTableExpirationMs" not in sandbox.http().patch(f"{API}/d", json=zero).json()
    assert "expirationTime" not in made({}, "stays")


def test_rows_go_with_their_partition(sandbox: Sandbox, made: Made) -> None:
    """The clock stands at the beginning of 2026."""
    columns = [{"name": "at", "type": "TIMESTAMP"}, {"name": "day", "type": "DATE"}]
    default = {"defaultPartitionExpirationMs": DAY * 1000, "defaultTableExpirationMs": HOUR * 1000}
    by_time = {"type": "DAY", "field": "at"}
    table = made(default, schema={"fields": columns}, timePartitioning=by_time)
    assert table["timePartitioning"]["expirationMs"] == str(DAY * 1000)
    assert "expirationTime" not in table
    by_date = {"type": "MONTH", "field": "day", "expirationMs": str(40 * DAY * 1000)}
    made({}, "u", schema={"fields": columns}, timePartitioning=by_date)
    rows = [
        {"at": "2026-01-01T23:59:00Z", "day": "2026-01-31"},
        {"at": "2026-01-02T00:00:00Z", "day": "2026-02-01"},
        {"at": None, "day": None},
    ]
    for name in ("t", "u"):
        assert sandbox.bigquery().insert_rows_json(f"{PROJECT}.d.{name}", rows) == []

    def left(name: str) -> int:
        count = sandbox.http().get(f"{TABLES}/{name}").json()["numRows"]
        assert len(list(sandbox.bigquery().list_rows(f"{PROJECT}.d.{name}"))) == int(count)
        return int(count)

    assert (left("t"), left("u")) == (3, 3)
    sandbox.cloud.clock.step(DAY)
    assert (left("t"), left("u")) == (2, 3)
    sandbox.cloud.clock.step(39 * DAY)
    assert (left("t"), left("u")) == (1, 2)


def test_rows_that_no_column_puts_into_a_partition_cannot_expire_here(
    sandbox: Sandbox, made: Made
) -> None:
    made({})
    change = {"timePartitioning": {"type": "DAY", "expirationMs": "1000"}}
    answer = sandbox.http().patch(f"{TABLES}/t", json=change)
    assert answer.status_code == 501
    assert "timePartitioning.expirationMs" in answer.json()["error"]["message"]


def test_a_row_sent_again_at_once_is_there_once(sandbox: Sandbox, made: Made) -> None:
    made({}, schema={"fields": [{"name": "v", "type": "INTEGER"}]})
    client = sandbox.bigquery()

    def send() -> int:
        client.insert_rows_json(f"{PROJECT}.d.t", [{"v": 1}, {"v": 2}], row_ids=["one", "two"])
        return int(client.get_table(f"{PROJECT}.d.t").num_rows)

    assert (send(), send()) == (2, 2)
    sandbox.cloud.clock.step(60)
    assert send() == 4


def test_a_view_has_no_rows_to_list(sandbox: Sandbox, made: Made) -> None:
    made({}, view={"query": "SELECT 1"})
    with pytest.raises(exceptions.BadRequest, match="Cannot list a table of type VIEW"):
        list(sandbox.bigquery().list_rows(f"{PROJECT}.d.t", selected_fields=[]))


def test_only_the_columns_asked_for_are_shown(sandbox: Sandbox, made: Made) -> None:
    made({}, schema={"fields": COLUMNS})
    client = sandbox.bigquery()
    client.insert_rows_json(f"{PROJECT}.d.t", [{"plain": "a", "size": 3}])
    wanted = [bigquery.SchemaField("size", "INTEGER")]
    (row,) = client.list_rows(f"{PROJECT}.d.t", selected_fields=wanted)
    assert dict(row) == {"size": 3}
    seen = sandbox.http().get(f"{TABLES}/t?selectedFields=size,exact&view=BASIC").json()
    assert [column["name"] for column in seen["schema"]["fields"]] == ["exact", "size"]
    assert "numRows" not in seen
    assert sandbox.http().get(f"{TABLES}/t?selectedFields=inside.deep").status_code == 501


def test_tables_are_sealed_with_their_datasets_key_and_open_with_it_only(
    sandbox: Sandbox, made: Made
) -> None:
    key, kms = sandbox.key(granted=False), "https://cloudkms.googleapis.com/v1"
    agent = f"bq-{NUMBER}@bigquery-encryption.iam.gserviceaccount.com"
    sealed = {"defaultEncryptionConfiguration": {"kmsKeyName": key}}
    dataset = {"datasetReference": {"datasetId": "d"}, "location": "us-central1", **sealed}
    refused = sandbox.http().post(API, json=dataset)
    message = (
        "Access Denied: BigQuery BigQuery: Cloud KMS Error: Permission "
        f"'cloudkms.cryptoKeyVersions.useToEncrypt' denied on resource '{key}' (or it may not "
        "exist). Please grant Cloud KMS CryptoKey Encrypter/Decrypter role to BigQuery service "
        f"account: {agent}"
    )
    assert (refused.status_code, refused.json()["error"]["message"]) == (403, message)
    assert refused.json()["error"]["errors"][0]["reason"] == "accessDenied"
    assert sandbox.http().get(f"{API}/d").status_code == 404

    def grant(*members: str) -> None:
        policy = {"bindings": [{"role": ENCRYPTER, "members": members}] if members else []}
        answer = sandbox.http().post(f"{kms}/{key}:setIamPolicy", json={"policy": policy})
        answer.raise_for_status()

    grant(f"serviceAccount:{agent}")
    columns = {"fields": [{"name": "v", "type": "INTEGER"}]}
    table = made({"location": "us-central1", **sealed}, schema=columns)
    assert table["encryptionConfiguration"] == {"kmsKeyName": key}
    client, name = sandbox.bigquery(), f"{PROJECT}.d.t"
    assert client.insert_rows_json(name, [{"v": 1}]) == []
    assert [row["v"] for row in client.list_rows(name)] == [1]
    grant()
    with pytest.raises(exceptions.Forbidden, match="Cloud KMS Error"):
        client.insert_rows_json(name, [{"v": 2}], retry=None)
    with pytest.raises(exceptions.Forbidden, match="Cloud KMS Error"):
        list(client.list_rows(name))
    assert client.get_table(name).num_rows == 1


def test_a_key_lies_where_its_dataset_does(sandbox: Sandbox, made: Made) -> None:
    made({"location": "EU"})
    key = {"kmsKeyName": f"projects/{PROJECT}/locations/eu/keyRings/r/cryptoKeys/k"}
    answer = sandbox.http().patch(f"{API}/d", json={"defaultEncryptionConfiguration": key})
    assert (answer.status_code, "is not in europe" in answer.text) == (400, True)


@pytest.mark.parametrize(
    ("verb", "path", "body", "name"),
    [
        ("PATCH", "", {"isCaseInsensitive": True}, "isCaseInsensitive"),
        ("PATCH", "", {"resourceTags": {"1/env": "prod"}}, "resourceTags"),
        ("PATCH", "/tables/t", {"maxStaleness": "0-0 0 1:0:0"}, "maxStaleness"),
        (
            "PATCH",
            "/tables/t",
            {"schema": {"fields": [{"name": "v", "type": "STRING", "maxLength": "3"}]}},
            "schema.fields.maxLength",
        ),
        ("PATCH", "/tables/t?autodetect_schema=true", {}, "autodetect_schema"),
        (
            "POST",
            "/tables/t/insertAll",
            {"rows": [], "templateSuffix": "x"},
            "templateSuffix",
        ),
    ],
)
def test_what_is_not_simulated_is_named(
    sandbox: Sandbox, made: Made, verb: str, path: str, body: dict[str, Any], name: str
) -> None:
    before = made({})
    answer = sandbox.http().request(verb, f"{API}/d{path}", json=body)
    assert answer.status_code == 501
    assert name in answer.json()["error"]["message"]
    assert sandbox.http().get(f"{TABLES}/t").json()["etag"] == before["etag"]
