"""Tables and their policies."""

from __future__ import annotations

import re
from typing import Any

from simulator.api.calls import Call, Methods, Reply, Result
from simulator.api.errors import ApiError, invalid
from simulator.iam import allowpolicies
from simulator.services.bigquery.queries import view_columns
from simulator.services.bigquery.state import (
    BigQuery,
    Table,
    check_etag,
    chosen,
    label,
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
    name = f"{call.resource}/tables/{table_id}"
    if call.body.get("view") and call.body.get("schema"):
        # googleapis/google-cloud-python#1701
        raise _wrong("Schema field shouldn't be used as input with a view")
    return _shown_table(call.cloud[BigQuery].create_table(name, _with_columns(call, name, {})))


def _wrong(message: str) -> ApiError:
    error = invalid(message)
    error.legacy = "invalid"
    return error


def _with_columns(call: Call, name: str, before: dict[str, Any]) -> dict[str, Any]:
    """The body, with the columns that a view's query has; it can say what they are for.

    A view in legacy SQL, which is not read here, is kept as its text.
    """
    view = call.body.get("view") or {}
    if view.get("query") and not view.get("useLegacySql", True):
        columns = view_columns(call, name, view["query"])
    elif before.get("type") == "VIEW" and call.body.get("schema"):
        columns = before.get("schema", {}).get("fields", [])
    else:
        return call.body
    given = (call.body.get("schema") or before.get("schema") or {}).get("fields", ())
    told = {column["name"].lower(): column for column in given}
    kept = ("description", "policyTags")
    fields = [
        column | {key: told[name][key] for key in kept if key in told[name]}
        if (name := column["name"].lower()) in told
        else column
        for column in columns
    ]
    return call.body | {"schema": {"fields": fields}}


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
    if call.body.get("view") and table.info["type"] != "VIEW":
        # Inferred.
        raise _wrong(f"Cannot change table {label(call.resource)} to a view.")
    body = _with_columns(call, call.resource, table.info)
    return _shown_table(call.cloud[BigQuery].change_table(call.resource, body, whole=whole))


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
