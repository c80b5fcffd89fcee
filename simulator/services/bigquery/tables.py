"""Tables and their policies."""

from __future__ import annotations

import re
from typing import Any

from simulator.api.calls import Call, Methods, Reply, Result
from simulator.api.errors import invalid
from simulator.iam import allowpolicies
from simulator.services.bigquery.state import (
    BigQuery,
    Table,
    check_etag,
    chosen,
    listed,
    on_dataset,
    on_table,
)

method = Methods()

TABLE_NAME = re.compile(r"[\w\- ]{1,1024}")


@method("bigquery.tables.insert", permission="bigquery.tables.create", on=on_dataset)
def insert_table(call: Call) -> Result:
    table_id = call.body.get("tableReference", {}).get("tableId", "")
    if not TABLE_NAME.fullmatch(table_id):
        raise invalid(f'Invalid table ID "{table_id}".')
    table = call.cloud[BigQuery].create_table(f"{call.resource}/tables/{table_id}", call.body)
    return _shown_table(table)


def _shown_table(table: Table) -> dict[str, Any]:
    return table.info | {"numRows": str(len(table.rows)), "numBytes": str(table.size())}


@method(
    "bigquery.tables.get",
    permission="bigquery.tables.get",
    on=on_table,
    reads="selectedFields view",
)
def get_table(call: Call) -> Result:
    table = call.cloud[BigQuery].table(call.resource)
    info = table.info if call.params.get("view") == "BASIC" else _shown_table(table)
    if wanted := call.params.get("selectedFields"):
        columns = info.get("schema", {}).get("fields", ())
        info = info | {"schema": {"fields": chosen(columns, wanted)}}
    return info


@method(
    "bigquery.tables.list",
    permission="bigquery.tables.list",
    on=on_dataset,
    reads="maxResults pageToken",
)
def list_tables(call: Call) -> Result:
    tables = call.cloud[BigQuery].dataset(call.resource).tables
    keys = (
        *("kind", "id", "tableReference", "friendlyName", "type", "labels", "creationTime"),
        *("expirationTime", "timePartitioning", "rangePartitioning", "clustering"),
    )
    items = [
        (table_id, {key: table.info[key] for key in keys if key in table.info})
        for table_id, table in sorted(tables.items())
    ]
    return listed(call, "tables", items)


@method(
    "bigquery.tables.patch",
    "bigquery.tables.update",
    permission="bigquery.tables.update",
    on=on_table,
)
def change_table(call: Call) -> Result:
    table = call.cloud[BigQuery].table(call.resource)
    check_etag(call, table.info)
    whole = call.method.id == "bigquery.tables.update"
    return _shown_table(call.cloud[BigQuery].change_table(call.resource, call.body, whole=whole))


@method("bigquery.tables.delete", permission="bigquery.tables.delete", on=on_table)
def delete_table(call: Call) -> Result:
    call.cloud[BigQuery].drop_table(call.resource)
    return Reply(status=204)


def _require(call: Call, name: str) -> object:
    return call.cloud[BigQuery].table(name)


# Whether a missing table is an empty answer too is not recorded: what is held on its dataset is
# said of it here.
allowpolicies.register(
    method, "bigquery.tables", "bigquery.tables", _require, reads="", test=allowpolicies.held
)
