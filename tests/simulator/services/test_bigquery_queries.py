"""Queries and views, asked by Google's own client over REST."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import psutil
import pytest
from google.api_core import exceptions
from google.cloud import bigquery

from simulator.services.bigquery.engine import database
from simulator.services.bigquery.jobs import MOST_JOBS
from simulator.services.bigquery.state import BigQuery
from tests.simulator.support.pubsub import HERE, Client, grant_agent
from tests.simulator.support.service import ENDPOINT, PROJECT, Sandbox, email

ROOT = f"https://bigquery.googleapis.com/bigquery/v2/projects/{PROJECT}"
CREATE, READ = "bigquery.jobs.create", "bigquery.tables.getData"
DAY = 86_400
FIELD = bigquery.SchemaField
READINGS = [
    FIELD("device", "STRING"),
    FIELD("at", "TIMESTAMP"),
    FIELD("values", "FLOAT", mode="REPEATED"),
    FIELD("Place", "RECORD", fields=[FIELD("line", "INTEGER"), FIELD("since", "DATE")]),
    FIELD("price", "NUMERIC"),
    FIELD("raw", "BYTES"),
    FIELD("more", "JSON"),
]
ROWS = [
    {
        "device": "d1",
        "at": "2026-01-01T00:00:00.000001Z",
        "values": [1.5, 2],
        "Place": {"line": 7, "since": "2025-05-01"},
        "price": "1.50",
        "raw": "YWJj",
        "more": '{"a": [1]}',
    },
    {"device": "d2", "at": "2026-01-02T03:04:05Z", "values": [0.25]},
    {"device": "d3"},
]
Table = Callable[..., str]


@pytest.fixture
def table(sandbox: Sandbox) -> Table:
    """Makes a table and what it lies in, with rows; its full name."""

    def make(
        name: str = "plant.readings",
        columns: list[Any] = READINGS,
        rows: list[dict[str, Any]] = ROWS,
        location: str = "US",
        **fields: Any,
    ) -> str:
        client, dataset = sandbox.bigquery(), bigquery.Dataset(f"{PROJECT}.{name.split('.')[0]}")
        dataset.location = location
        client.create_dataset(dataset, exists_ok=True)
        made = bigquery.Table(f"{PROJECT}.{name}", schema=columns)
        for key, value in fields.items():
            setattr(made, key, value)
        client.create_table(made)
        if rows:
            assert client.insert_rows_json(made, rows) == []
        return f"{PROJECT}.{name}"

    return make


def view(sandbox: Sandbox, name: str, query: str) -> Any:
    made = bigquery.Table(f"{PROJECT}.{name}")
    made.view_query = query
    return sandbox.bigquery().create_table(made)


def ask(sandbox: Sandbox, query: str, who: str = "admin", **options: Any) -> list[Any]:
    config = bigquery.QueryJobConfig(**options)
    return list(sandbox.bigquery(who).query(query, job_config=config, job_retry=None).result())


def values(rows: list[Any]) -> list[Any]:
    return [row.values() for row in rows]


def query(sandbox: Sandbox, who: str = "admin", **body: Any) -> Any:
    return sandbox.http(who).post(f"{ROOT}/queries", json={"useLegacySql": False, **body})


def test_rows_come_back_with_their_types(sandbox: Sandbox, table: Table) -> None:
    table()
    first, second, third = ask(sandbox, "SELECT * FROM plant.readings ORDER BY device")
    assert list(first.keys()) == [column.name for column in READINGS]
    assert first.values() == (
        "d1",
        datetime(2026, 1, 1, 0, 0, 0, 1, tzinfo=UTC),
        [1.5, 2.0],
        {"line": 7, "since": date(2025, 5, 1)},
        Decimal("1.5"),
        b"abc",
        {"a": [1]},
    )
    assert second["Place"] is None
    assert third["values"] == []


def test_jobs_query_answers_in_one_request(sandbox: Sandbox, table: Table) -> None:
    table()
    sent = "SELECT device, at, `values` FROM plant.readings ORDER BY device"
    rows = sandbox.bigquery().query_and_wait(sent)
    assert [row["device"] for row in rows] == ["d1", "d2", "d3"]
    answer = query(sandbox, query=sent, maxResults=2).json()
    fields = [(item["name"], item["type"], item["mode"]) for item in answer["schema"]["fields"]]
    assert fields == [
        ("device", "STRING", "NULLABLE"),
        ("at", "TIMESTAMP", "NULLABLE"),
        ("values", "FLOAT", "REPEATED"),
    ]
    assert answer["rows"][1] == {"f": [{"v": "d2"}, {"v": "1767323045.0"}, {"v": [{"v": "0.25"}]}]}
    assert (answer["jobComplete"], answer["totalRows"]) == (True, "3")
    micros = query(sandbox, query=sent, formatOptions={"useInt64Timestamp": True}).json()
    assert micros["rows"][0]["f"][1]["v"] == "1767225600000001"
    reference = answer["jobReference"]
    rest = f"{ROOT}/queries/{reference['jobId']}?location=US&pageToken={answer['pageToken']}"
    following = sandbox.http().get(rest).json()
    assert [row["f"][0]["v"] for row in following["rows"]] == ["d3"]
    assert "pageToken" not in following


def test_results_come_in_pages(sandbox: Sandbox, table: Table) -> None:
    table()
    job = sandbox.bigquery().query("SELECT device FROM plant.readings ORDER BY 1")
    pages = job.result(page_size=2).pages
    assert [[row["device"] for row in page] for page in pages] == [["d1", "d2"], ["d3"]]


def test_joins_groups_and_windows(sandbox: Sandbox, table: Table) -> None:
    table()
    columns = [FIELD("device", "STRING"), FIELD("risk", "FLOAT"), FIELD("version", "INTEGER")]
    scores = [("d1", 0.9, 1), ("d1", 0.2, 2), ("d2", 0.4, 2), ("d9", 0.1, 2)]
    rows = [{"device": name, "risk": risk, "version": it} for name, risk, it in scores]
    table("plant.predictions", columns, rows)
    joined = ask(
        sandbox,
        """
        WITH latest AS (
          SELECT device, risk FROM plant.predictions
          QUALIFY ROW_NUMBER() OVER (PARTITION BY device ORDER BY version DESC) = 1
        )
        SELECT r.device, l.risk, (SELECT SUM(v) FROM UNNEST(r.values) AS v) AS total
        FROM plant.readings AS r LEFT JOIN latest AS l USING (device)
        ORDER BY risk DESC, device
        """,
    )
    assert values(joined) == [("d2", 0.4, 0.25), ("d1", 0.2, 3.5), ("d3", None, None)]
    grouped = ask(
        sandbox,
        "SELECT version, COUNT(*) AS n, AVG(risk) FROM plant.predictions "
        "GROUP BY version HAVING n > 1",
    )
    assert [dict(row) for row in grouped] == [{"version": 2, "n": 3, "f0_": pytest.approx(0.7 / 3)}]


def test_parameters_by_name_and_by_place(sandbox: Sandbox, table: Table) -> None:
    table()
    moment = datetime(2026, 1, 2, tzinfo=UTC)
    named = [
        bigquery.ScalarQueryParameter("since", "TIMESTAMP", moment),
        bigquery.ArrayQueryParameter("devices", "STRING", ["d1", "d2", "it's"]),
        bigquery.StructQueryParameter("other", bigquery.ScalarQueryParameter("line", "INT64", 7)),
    ]
    sent = (
        "SELECT device, @other.line AS line FROM plant.readings "
        "WHERE at >= @since AND device IN UNNEST(@devices)"
    )
    assert values(ask(sandbox, sent, query_parameters=named)) == [("d2", 7)]
    placed = [
        bigquery.ScalarQueryParameter(None, "INT64", 2),
        bigquery.ScalarQueryParameter(None, "STRING", None),
        bigquery.ScalarQueryParameter(None, "FLOAT64", 0.5),
    ]
    assert values(ask(sandbox, "SELECT ? + 1, ?, ? * 2", query_parameters=placed)) == [
        (3, None, 1.0)
    ]
    with pytest.raises(exceptions.BadRequest, match="Query parameter 'absent' not found"):
        ask(sandbox, "SELECT @absent")


def test_a_dry_run_tells_columns_and_leaves_no_job(sandbox: Sandbox, table: Table) -> None:
    name = table()
    config = bigquery.QueryJobConfig(dry_run=True)
    job = sandbox.bigquery().query("SELECT device FROM plant.readings", job_config=config)
    assert [(item.name, item.field_type) for item in job.schema] == [("device", "STRING")]
    assert job.total_bytes_processed == sandbox.bigquery().get_table(name).num_bytes > 0
    assert list(sandbox.bigquery().list_jobs()) == []
    answer = query(sandbox, query="SELECT 1 AS one", dryRun=True).json()
    assert (answer["schema"]["fields"][0]["name"], "rows" in answer) == ("one", False)


def test_names_without_a_dataset_are_in_the_default_one(sandbox: Sandbox, table: Table) -> None:
    table()
    default = bigquery.DatasetReference(PROJECT, "plant")
    found = ask(sandbox, "SELECT COUNT(*) FROM readings", default_dataset=default)
    assert values(found) == [(3,)]
    with pytest.raises(exceptions.BadRequest, match='Table name "readings" missing dataset'):
        ask(sandbox, "SELECT COUNT(*) FROM readings")


def test_a_job_runs_where_its_tables_are(sandbox: Sandbox, table: Table) -> None:
    table("plant.readings", location="us-central1")
    table("home.readings")
    client = sandbox.bigquery()
    job = client.query("SELECT 1 FROM plant.readings")
    assert job.location == "us-central1"
    assert len(list(job.result())) == 3
    assert client.get_job(job.job_id, location="us-central1").state == "DONE"
    with pytest.raises(exceptions.NotFound, match=f"Not found: Job {PROJECT}:{job.job_id}"):
        client.get_job(job.job_id)
    message = f"Not found: Dataset {PROJECT}:plant was not found in location EU"
    with pytest.raises(exceptions.NotFound, match=message):
        client.query("SELECT 1 FROM plant.readings", location="EU").result()
    message = f"Not found: Dataset {PROJECT}:home was not found in location us-central1"
    with pytest.raises(exceptions.NotFound, match=message):
        ask(sandbox, "SELECT 1 FROM plant.readings, home.readings")


def test_time_is_the_clouds(sandbox: Sandbox, table: Table) -> None:
    table()
    sent = (
        "SELECT CURRENT_DATE(), COUNT(*) FROM plant.readings "
        "WHERE at < TIMESTAMP_SUB(CURRENT_TIMESTAMP(), INTERVAL 1 DAY)"
    )
    assert values(ask(sandbox, sent)) == [(date(2026, 1, 1), 0)]
    sandbox.cloud.clock.step(DAY + 1)
    assert values(ask(sandbox, sent)) == [(date(2026, 1, 2), 1)]


def test_a_query_takes_a_job_and_the_data_of_every_table(sandbox: Sandbox, table: Table) -> None:
    """The words: mozilla/bigquery-etl#3193, kubernetes/k8s.io#2729."""
    table()
    table("plant.secrets")
    sent = "SELECT r.device FROM plant.readings AS r JOIN plant.secrets USING (device)"
    with pytest.raises(exceptions.Forbidden, match=f"does not have {CREATE} permission"):
        ask(sandbox, sent, "serving")
    sandbox.grant(f"projects/{PROJECT}", "roles/bigquery.jobUser", "serving")
    readings = f"projects/{PROJECT}/datasets/plant/tables/readings"
    sandbox.role("serving", READ, on=readings)
    assert len(ask(sandbox, "SELECT device FROM plant.readings", "serving")) == 3
    answer = query(sandbox, "serving", query=sent)
    assert answer.status_code == 403
    error = answer.json()["error"]
    assert error["errors"][0]["reason"] == "accessDenied"
    assert error["message"] == (
        f"Access Denied: Table {PROJECT}:plant.secrets: User does not have permission to query "
        f"table {PROJECT}:plant.secrets, or perhaps it does not exist in location US."
    )
    # Nothing is told about what is not there, either.
    nothing = query(sandbox, "serving", query="SELECT 1 FROM plant.nothing")
    assert nothing.status_code == 403
    assert (email("serving"), readings, True) in sandbox.checks(READ)


def test_a_missing_table_is_not_found(sandbox: Sandbox, table: Table) -> None:
    table()
    with pytest.raises(exceptions.NotFound) as caught:
        ask(sandbox, "SELECT 1 FROM plant.nothing")
    expected = f"Not found: Table {PROJECT}:plant.nothing was not found in location US"
    assert expected in str(caught.value)


def test_a_job_belongs_to_who_made_it(sandbox: Sandbox, table: Table) -> None:
    table()
    for name in ("serving", "deployer"):
        sandbox.role(name, CREATE)
    job = sandbox.bigquery("serving").query("SELECT 42 AS answer", job_id="mine", job_retry=None)
    assert job.user_email == email("serving")
    assert values(list(sandbox.bigquery("serving").get_job("mine").result())) == [(42,)]
    assert [it.job_id for it in sandbox.bigquery("serving").list_jobs()] == ["mine"]
    other = sandbox.bigquery("deployer")
    assert list(other.list_jobs()) == []
    with pytest.raises(exceptions.Forbidden, match=r"bigquery\.jobs\.get"):
        other.get_job("mine")
    with pytest.raises(exceptions.Forbidden, match=r"bigquery\.jobs\.list"):
        list(other.list_jobs(all_users=True))
    sandbox.role("deployer", "bigquery.jobs.get", "bigquery.jobs.list")
    assert other.get_job("mine").query == "SELECT 42 AS answer"
    (seen,) = other.list_jobs(all_users=True)
    assert (seen.job_id, seen.user_email) == ("mine", None)
    results = sandbox.http("deployer").get(f"{ROOT}/queries/mine")
    assert results.status_code == 403
    with pytest.raises(exceptions.Conflict, match=f"Already Exists: Job {PROJECT}:US.mine"):
        sandbox.bigquery("serving").query("SELECT 1", job_id="mine", job_retry=None)


def test_jobs_are_listed_newest_first(sandbox: Sandbox) -> None:
    client = sandbox.bigquery()
    for number in range(3):
        client.query(f"SELECT {number}", job_id=f"job-{number}", job_retry=None).result()
        sandbox.cloud.clock.step(10)
    listed = [job.job_id for job in client.list_jobs(page_size=2)]
    assert listed == ["job-2", "job-1", "job-0"]
    middle = client.get_job("job-1").created
    assert [job.job_id for job in client.list_jobs(max_creation_time=middle)] == ["job-1", "job-0"]
    assert list(client.list_jobs(state_filter="running")) == []


def test_what_fails_as_it_runs_is_told_by_the_job(sandbox: Sandbox) -> None:
    job = sandbox.bigquery().query("SELECT 1 / 0", job_retry=None)
    assert job.state == "DONE"
    assert job.error_result["reason"] == "invalidQuery"
    with pytest.raises(exceptions.BadRequest, match="division by zero: 1 / 0"):
        job.result()
    assert "division by zero" in query(sandbox, query="SELECT 1 / 0").json()["error"]["message"]


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        ("SELEC 1", "Syntax error"),
        ("SELECT nope FROM plant.readings", r"Unrecognized name: nope at \[1:8\]"),
        ("SELECT 1 FROM plant.readings WHERE device = 1", "No matching signature for operator ="),
        ("SELECT at FROM plant.readings WHERE at > DATE '2026-01-01'", "TIMESTAMP, DATE"),
        ("SELECT device, COUNT(*) FROM plant.readings", "neither grouped nor aggregated"),
        ("SELECT a.device, b.device FROM plant.readings a, plant.readings b", "Duplicate column"),
        ("SELECT ARRAY_AGG(at) FROM plant.readings", "Array cannot have a null element"),
        ("SELECT `values`[OFFSET(9)] FROM plant.readings", "Array index 9 is out of bounds"),
    ],
)
def test_a_wrong_query_is_refused(sandbox: Sandbox, table: Table, sent: str, message: str) -> None:
    table()
    with pytest.raises(exceptions.BadRequest, match=message) as caught:
        ask(sandbox, sent)
    assert caught.value.errors[0]["reason"] == "invalidQuery"


@pytest.mark.parametrize(
    ("sent", "name"),
    [
        ("INSERT INTO plant.readings (device) VALUES ('x')", "INSERT"),
        ("CREATE TABLE plant.x (a INT64)", "CREATE"),
        ("DROP TABLE plant.readings", "DROP"),
        ("DECLARE x INT64; SELECT x", "script"),
        ("SELECT FARM_FINGERPRINT(device) FROM plant.readings", "FARM_FINGERPRINT"),
        ("SELECT my_function(device) FROM plant.readings", "MY_FUNCTION"),
        ("SELECT SAFE.LN(0)", "SAFE"),
        ("SELECT * FROM `plant.read*`", "wildcard"),
        ("SELECT * FROM plant.INFORMATION_SCHEMA.TABLES", "INFORMATION_SCHEMA"),
        ("SELECT _PARTITIONTIME FROM plant.readings", "_PARTITIONTIME"),
        ("SELECT * FROM plant.readings TABLESAMPLE SYSTEM (10 PERCENT)", "SAMPLE"),
        ("SELECT * FROM plant.readings FOR SYSTEM_TIME AS OF CURRENT_TIMESTAMP()", "VERSION|WHEN"),
        ("SELECT read_text('/etc/passwd')", "READ_TEXT"),
        ("SELECT * FROM read_csv('/etc/passwd')", "READ_CSV|read_csv"),
    ],
)
def test_what_is_not_run_is_named(sandbox: Sandbox, table: Table, sent: str, name: str) -> None:
    table()
    answer = query(sandbox, query=sent)
    assert answer.status_code == 501, answer.text
    assert any(each in answer.json()["error"]["message"] for each in name.split("|"))


def test_legacy_sql_is_refused_unless_the_first_line_says_otherwise(sandbox: Sandbox) -> None:
    """`useLegacySql` is true unless it is set (discovery document)."""
    for body in ({"query": "SELECT 1"}, {"query": "#legacySQL\nSELECT 1", "useLegacySql": False}):
        answer = sandbox.http().post(f"{ROOT}/queries", json=body)
        assert (answer.status_code, "legacy SQL" in answer.text) == (501, True)
    job = {"configuration": {"query": {"query": "SELECT 1"}}}
    assert sandbox.http().post(f"{ROOT}/jobs", json=job).status_code == 501
    said = sandbox.http().post(f"{ROOT}/queries", json={"query": "#standardSQL\nSELECT 1"})
    assert said.json()["rows"] == [{"f": [{"v": "1"}]}]
    load = {"configuration": {"load": {"sourceUris": ["gs://b/x"]}}}
    assert sandbox.http().post(f"{ROOT}/jobs", json=load).status_code == 501


def test_a_request_that_comes_again_is_the_same_job(sandbox: Sandbox) -> None:
    first = query(sandbox, query="SELECT 1", requestId="r").json()
    again = query(sandbox, query="SELECT 1", requestId="r").json()
    assert again["jobReference"] == first["jobReference"]
    other = query(sandbox, query="SELECT 2", requestId="r").json()
    assert other["rows"] == [{"f": [{"v": "2"}]}]
    sandbox.cloud.clock.step(15 * 60)
    later = query(sandbox, query="SELECT 1", requestId="r").json()
    assert later["jobReference"] != first["jobReference"]


def test_a_query_can_say_what_it_may_cost(sandbox: Sandbox, table: Table) -> None:
    table()
    message = r"limit for bytes billed: 1000\. 10485760 or higher required"
    with pytest.raises(exceptions.InternalServerError, match=message):
        ask(sandbox, "SELECT 1 FROM plant.readings", maximum_bytes_billed=1000)
    assert len(ask(sandbox, "SELECT 1 FROM plant.readings", maximum_bytes_billed=10_485_760)) == 3


def test_results_are_kept_for_a_day_and_jobs_are_not_many(sandbox: Sandbox) -> None:
    query(sandbox, query="SELECT 1").raise_for_status()
    jobs = sandbox.cloud[BigQuery].jobs
    (job,) = jobs.all.values()
    url = f"{ROOT}/queries/{job.info['jobReference']['jobId']}"
    assert sandbox.http().get(url).status_code == 200
    sandbox.cloud.clock.step(DAY + 1)
    assert sandbox.http().get(url).status_code == 404
    for number in range(MOST_JOBS + 5):
        jobs.keep(f"projects/{PROJECT}/jobs/{number}", job, job.made)
    assert len(jobs.all) == MOST_JOBS


# Views


def test_a_view_has_the_columns_of_its_query(sandbox: Sandbox, table: Table) -> None:
    table()
    made = view(
        sandbox,
        "plant.latest",
        f"SELECT device AS Engine, MAX(at) AS seen, COUNT(*) FROM `{PROJECT}.plant.readings` "
        "GROUP BY device",
    )
    columns = [(item.name, item.field_type) for item in made.schema]
    assert columns == [("Engine", "STRING"), ("seen", "TIMESTAMP"), ("f0_", "INTEGER")]
    assert made.table_type == "VIEW"
    rows = ask(sandbox, "SELECT engine FROM plant.latest WHERE seen > '2026-01-02'")
    assert [dict(row) for row in rows] == [{"engine": "d2"}]
    view(sandbox, "plant.above", "SELECT v.* FROM plant.latest AS v WHERE v.Engine != 'd1'")
    assert [row["Engine"] for row in ask(sandbox, "SELECT * FROM plant.above ORDER BY 1")] == [
        "d2",
        "d3",
    ]
    # The query counts, not the columns as they were.
    made.view_query = "SELECT device, 'now' AS said FROM plant.readings"
    changed = sandbox.bigquery().update_table(made, ["view_query"])
    assert [item.name for item in changed.schema] == ["device", "said"]
    with pytest.raises(exceptions.BadRequest, match=r"Unrecognized name: (v\.)?engine"):
        ask(sandbox, "SELECT * FROM plant.above")


def test_a_view_can_say_what_its_columns_are_for(sandbox: Sandbox, table: Table) -> None:
    """The official provider makes a view first and sends its columns afterwards."""
    table()
    made = view(sandbox, "plant.names", "SELECT device FROM plant.readings")
    told = [{"name": "device", "type": "STRING", "description": "an engine"}]
    url = f"{ROOT}/datasets/plant/tables/names"
    seen = sandbox.http().patch(url, json={"schema": {"fields": told}}).json()
    assert seen["schema"]["fields"] == [{**told[0], "mode": "NULLABLE"}]
    again = sandbox.http().patch(url, json={"view": made.to_api_repr()["view"]}).json()
    assert again["schema"]["fields"][0]["description"] == "an engine"
    body = {
        "tableReference": {"projectId": PROJECT, "datasetId": "plant", "tableId": "both"},
        "view": {"query": "SELECT 1", "useLegacySql": False},
        "schema": {"fields": told},
    }
    refused = sandbox.http().post(f"{ROOT}/datasets/plant/tables", json=body)
    assert refused.json()["error"]["errors"][0]["reason"] == "invalid"
    assert "Schema field shouldn't be used as input with a view" in refused.text


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        ("SELECT 1 FROM plant.nothing", "Not found: Table iot-prod:plant.nothing was not found"),
        ("SELECT nope FROM plant.readings", "Unrecognized name: nope"),
        ("SELECT 1 FROM readings", "missing dataset"),
        ("SELECT @x", "Query parameter 'x' not found"),
        ("SELECT FROM", "Syntax error"),
    ],
)
def test_a_view_is_checked_when_it_is_made(
    sandbox: Sandbox, table: Table, sent: str, message: str
) -> None:
    table()
    with pytest.raises(exceptions.ClientError, match=message):
        view(sandbox, "plant.v", sent)
    listed = [item.table_id for item in sandbox.bigquery().list_tables("plant")]
    assert listed == ["readings"]


def test_a_view_is_made_by_who_can_read_what_it_reads(sandbox: Sandbox, table: Table) -> None:
    table()
    sandbox.role("deployer", "bigquery.tables.create")
    made = bigquery.Table(f"{PROJECT}.plant.v")
    made.view_query = "SELECT device FROM plant.readings"
    client = sandbox.bigquery("deployer")
    with pytest.raises(exceptions.Forbidden, match="permission to query table"):
        client.create_table(made)
    sandbox.role("deployer", READ)
    assert client.create_table(made).table_type == "VIEW"


def test_a_view_in_legacy_sql_is_kept_and_not_read(sandbox: Sandbox, table: Table) -> None:
    table()
    made = bigquery.Table(f"{PROJECT}.plant.old")
    made.view_query = "SELECT device FROM [plant.readings]"
    made.view_use_legacy_sql = True
    sandbox.bigquery().create_table(made)
    with pytest.raises(exceptions.BadRequest, match="Cannot reference a legacy SQL view"):
        ask(sandbox, "SELECT * FROM plant.old")


def test_views_that_read_themselves_end(sandbox: Sandbox, table: Table) -> None:
    table()
    made = view(sandbox, "plant.v", "SELECT device FROM plant.readings")
    made.view_query = "SELECT device FROM plant.v"
    with pytest.raises(exceptions.BadRequest, match=r"View iot-prod:plant\.v reads itself"):
        sandbox.bigquery().update_table(made, ["view_query"])
    assert len(ask(sandbox, "SELECT * FROM plant.v")) == 3


def test_a_view_opens_nothing_unless_its_source_lets_it(sandbox: Sandbox, table: Table) -> None:
    table("private.readings")
    table("shared.other", rows=[])
    view(sandbox, "shared.names", "SELECT device FROM private.readings")
    view(sandbox, "shared.further", "SELECT device FROM shared.names")
    sandbox.role("serving", CREATE)
    sandbox.role("serving", READ, on=f"projects/{PROJECT}/datasets/shared")
    sent = "SELECT device FROM shared.names"
    with pytest.raises(exceptions.Forbidden, match=r"private\.readings"):
        ask(sandbox, sent, "serving")
    url = f"{ROOT}/datasets/private"
    access = sandbox.http().get(url).json()["access"]
    its = {"projectId": PROJECT, "datasetId": "shared"}
    entries: list[dict[str, Any]] = [
        {"view": {**its, "tableId": "names"}},
        {"dataset": {"dataset": its, "targetTypes": ["VIEWS"]}},
    ]
    for entry in entries:
        sandbox.http().patch(url, json={"access": [*access, entry]}).raise_for_status()
        assert len(ask(sandbox, sent, "serving")) == 3
        assert len(ask(sandbox, "SELECT device FROM shared.further", "serving")) == 3
        with pytest.raises(exceptions.Forbidden):
            ask(sandbox, "SELECT device FROM private.readings", "serving")
    # It is the view that the source trusts, not who reads it: the view itself has to be allowed.
    sandbox.role("deployer", CREATE)
    with pytest.raises(exceptions.Forbidden, match=r"shared\.names"):
        ask(sandbox, sent, "deployer")
    sandbox.http().patch(url, json={"access": access}).raise_for_status()
    with pytest.raises(exceptions.Forbidden):
        ask(sandbox, sent, "serving")


# Partitions, lifetimes, keys


def partitioned(field: str = "at", **more: Any) -> Any:
    return bigquery.TimePartitioning(type_="DAY", field=field, **more)


@pytest.mark.parametrize(
    ("where", "runs"),
    [
        ("", False),
        ("WHERE device = 'd1'", False),
        ("WHERE at > '2025-01-01' OR device = 'd1'", False),
        ("WHERE at > TIMESTAMP_ADD(at, INTERVAL 1 DAY)", False),
        ("WHERE at > '2025-01-01' AND device = 'd1'", True),
        ("WHERE DATE(at) BETWEEN '2025-12-31' AND '2026-01-01'", True),
        ("WHERE TIMESTAMP_SUB(CURRENT_TIMESTAMP(), INTERVAL 7 DAY) <= at", True),
    ],
)
def test_a_table_can_ask_for_a_filter_on_its_partitions(
    sandbox: Sandbox, table: Table, where: str, runs: bool
) -> None:
    """The words: mozilla/bigquery-etl#2673."""
    table(time_partitioning=partitioned(), require_partition_filter=True)
    view(sandbox, "plant.v", "SELECT * FROM plant.readings")
    for name in ("readings", "v"):
        sent = f"SELECT device FROM plant.{name} {where}"
        if runs:
            assert "d1" in [row["device"] for row in ask(sandbox, sent)]
            continue
        message = (
            f"Cannot query over table '{PROJECT}.plant.readings' without a filter over "
            r"column\(s\) 'at' that can be used for partition elimination"
        )
        with pytest.raises(exceptions.BadRequest, match=message):
            ask(sandbox, sent)


def test_a_filter_does_not_go_through_a_window(sandbox: Sandbox, table: Table) -> None:
    """arslan-kursad/plumbline#61: what is newest depends on every row."""
    table(time_partitioning=partitioned(), require_partition_filter=True)
    numbered = "ROW_NUMBER() OVER (PARTITION BY device ORDER BY at DESC) AS n"
    view(sandbox, "plant.v", f"SELECT device, at, {numbered} FROM plant.readings")
    with pytest.raises(exceptions.BadRequest, match="partition elimination"):
        ask(sandbox, "SELECT device FROM plant.v WHERE n = 1 AND at > '2025-01-01'")


def test_rows_of_partitions_and_tables_that_have_gone_are_not_found(
    sandbox: Sandbox, table: Table
) -> None:
    table(time_partitioning=partitioned(expiration_ms=DAY * 1000))
    ends = datetime.fromtimestamp(sandbox.cloud.clock.now() + 3 * DAY, UTC)
    table("plant.brief", expires=ends)
    assert len(ask(sandbox, "SELECT 1 FROM plant.readings")) == 3
    sandbox.cloud.clock.step(DAY)
    left = ask(sandbox, "SELECT device FROM plant.readings ORDER BY 1")
    assert [row["device"] for row in left] == ["d2", "d3"]
    assert len(ask(sandbox, "SELECT 1 FROM plant.brief")) == 3
    sandbox.cloud.clock.step(2 * DAY)
    with pytest.raises(exceptions.NotFound, match=r"plant\.brief was not found"):
        ask(sandbox, "SELECT 1 FROM plant.brief")


def test_a_sealed_table_is_read_with_its_key_only(sandbox: Sandbox, table: Table) -> None:
    key, kms = sandbox.key(granted=False), "https://cloudkms.googleapis.com/v1"
    address = sandbox.bigquery().get_service_account_email()
    policy = {
        "bindings": [
            {
                "role": "roles/cloudkms.cryptoKeyEncrypterDecrypter",
                "members": [f"serviceAccount:{address}"],
            }
        ]
    }

    def allow(policy: dict[str, Any]) -> None:
        url = f"{kms}/{key}:setIamPolicy"
        sandbox.http().post(url, json={"policy": policy}).raise_for_status()

    allow(policy)
    sealed = bigquery.EncryptionConfiguration(kms_key_name=key)
    table(location="us-central1", encryption_configuration=sealed)
    assert len(ask(sandbox, "SELECT 1 FROM plant.readings")) == 3
    allow({})
    with pytest.raises(exceptions.Forbidden, match="Cloud KMS Error"):
        ask(sandbox, "SELECT 1 FROM plant.readings")


# Rows that others write


def test_what_a_subscription_writes_can_be_queried(
    sandbox: Sandbox, table: Table, pubsub: Client
) -> None:
    columns = [
        FIELD("data", "JSON"),
        FIELD("subscription_name", "STRING"),
        FIELD("message_id", "STRING"),
        FIELD("publish_time", "TIMESTAMP"),
        FIELD("attributes", "JSON"),
    ]
    table("plant.messages", columns, [])
    grant_agent(sandbox, "roles/bigquery.dataEditor", f"{HERE}/datasets/plant/tables/messages")
    config = {"table": f"{PROJECT}.plant.messages", "writeMetadata": True}
    pubsub.subscribe(f"{HERE}/subscriptions/to-bq", bigqueryConfig=config)
    for risk in (0.2, 0.9):
        pubsub.publish(json.dumps({"risk": risk}), attributes={"device": f"d{risk}"})
    found = ask(
        sandbox,
        "SELECT JSON_VALUE(attributes, '$.device') AS device, TIMESTAMP_TRUNC(publish_time, DAY) "
        "FROM plant.messages WHERE CAST(JSON_VALUE(data, '$.risk') AS FLOAT64) > 0.5",
    )
    assert values(found) == [("d0.9", datetime(2026, 1, 1, tzinfo=UTC))]


def test_the_request_log_of_an_endpoint_can_be_queried(sandbox: Sandbox) -> None:
    sandbox.bigquery().create_dataset("plant")
    log = {
        "enabled": True,
        "sampling_rate": 1.0,
        "bigquery_destination": {"output_uri": f"bq://{PROJECT}.plant.log"},
    }
    sandbox.endpoint(predict_request_response_logging_config=log)
    sandbox.deploy(sandbox.upload(sandbox.bucket()), "1", {"0": 100})
    sandbox.predictions().predict(endpoint=ENDPOINT, instances=[[1.0, 0.0], [-1.0, 0.0]])
    found = ask(
        sandbox,
        """
        SELECT deployed_model_id, JSON_VALUE(request, '$[0]') AS first,
          response_payload[OFFSET(place)] AS answer, request_id > 0 AS numbered
        FROM plant.log, UNNEST(request_payload) AS request WITH OFFSET AS place
        ORDER BY place
        """,
    )
    assert values(found) == [("1", "1.0", "1", True), ("1", "-1.0", "0", True)]


# Costs


def test_a_cloud_without_queries_does_not_load_the_engine() -> None:
    code = (
        "import sys, simulator.google; "
        "print([name for name in ('duckdb', 'sqlglot') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_queries_leave_nothing_in_memory_but_their_results(sandbox: Sandbox, table: Table) -> None:
    table("plant.wide", [FIELD("v", "STRING")], [])
    kept = sandbox.cloud[BigQuery].table(f"projects/{PROJECT}/datasets/plant/tables/wide")
    kept.rows += [{"v": "x" * 1000} for _ in range(5000)]

    def run(times: int) -> int:
        for _ in range(times):
            query(sandbox, query="SELECT COUNT(DISTINCT v) FROM plant.wide").raise_for_status()
        return psutil.Process().memory_info().rss

    before, after = run(5), run(15)
    assert after - before < 20_000_000
    assert database().execute("SELECT count(*) FROM duckdb_tables()").fetchall() == [(0,)]


def test_five_thousand_rows_are_joined_to_as_many_in_a_second(
    sandbox: Sandbox, table: Table
) -> None:
    columns = [FIELD("device", "STRING"), FIELD("at", "TIMESTAMP"), FIELD("v", "FLOAT")]
    for name in ("left", "right"):
        table(f"plant.{name}", columns, [])
        kept = sandbox.cloud[BigQuery].table(f"projects/{PROJECT}/datasets/plant/tables/{name}")
        kept.rows += [{"device": f"d{n}", "at": 1e9 + n, "v": n / 2} for n in range(5000)]
    ask(sandbox, "SELECT 1")  # the first query opens DuckDB
    started = time.process_time()
    (row,) = ask(
        sandbox,
        "SELECT COUNT(*) AS n, SUM(l.v + r.v) AS total FROM plant.left AS l "
        "JOIN plant.right AS r ON l.device = r.device AND l.at = r.at",
    )
    assert time.process_time() - started < 1
    assert (row["n"], row["total"]) == (5000, pytest.approx(5000 * 4999 / 2))
