"""Tables, their rows and their policies."""

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import Any

from rehearsal.cloud.api import Call, Reply, Result, invalid, method
from rehearsal.cloud.services.bigquery.state import (
    OUTPUT_ONLY,
    Table,
    check_etag,
    listed,
    on_dataset,
)

TABLE_NAME = re.compile(r"[\w\- ]{1,1024}")


def _on_table(call: Call) -> str:
    return f"{on_dataset(call)}/tables/{call.params['tableId']}"


@method("bigquery.tables.insert", permission="bigquery.tables.create", on=on_dataset)
def insert_table(call: Call) -> Result:
    table_id = call.body.get("tableReference", {}).get("tableId", "")
    if not TABLE_NAME.fullmatch(table_id):
        raise invalid(f'Invalid table ID "{table_id}".')
    table = call.cloud.bigquery.create_table(f"{call.resource}/tables/{table_id}", call.body)
    return _shown_table(table)


def _shown_table(table: Table) -> dict[str, Any]:
    size = sum(len(json.dumps(row)) for row in table.rows)
    return table.info | {"numRows": str(len(table.rows)), "numBytes": str(size)}


@method("bigquery.tables.get", permission="bigquery.tables.get", on=_on_table)
def get_table(call: Call) -> Result:
    return _shown_table(call.cloud.bigquery.table(call.resource))


@method("bigquery.tables.list", permission="bigquery.tables.list", on=on_dataset)
def list_tables(call: Call) -> Result:
    tables = call.cloud.bigquery.dataset(call.resource).tables
    keys = ("kind", "id", "tableReference", "type", "labels", "creationTime")
    items = [
        (table_id, {key: table.info[key] for key in keys if key in table.info})
        for table_id, table in sorted(tables.items())
    ]
    return listed(call, "tables", items)


@method(
    "bigquery.tables.patch",
    "bigquery.tables.update",
    permission="bigquery.tables.update",
    on=_on_table,
)
def change_table(call: Call) -> Result:
    table = call.cloud.bigquery.table(call.resource)
    check_etag(call, table.info)
    if call.method.id == "bigquery.tables.update":
        for key in table.info.keys() - set(OUTPUT_ONLY):
            del table.info[key]
    call.cloud.bigquery.change(table.info, call.body)
    return _shown_table(table)


@method("bigquery.tables.delete", permission="bigquery.tables.delete", on=_on_table)
def delete_table(call: Call) -> Result:
    call.cloud.bigquery.drop_table(call.resource)
    return Reply(status=204)


@method("bigquery.tabledata.list", permission="bigquery.tables.getData", on=_on_table)
def list_rows(call: Call) -> Result:
    table = call.cloud.bigquery.table(call.resource)
    fields = table.info.get("schema", {}).get("fields", [])
    if selected := call.params.get("selectedFields"):
        fields = [item for item in fields if item["name"] in selected.split(",")]
    micros = call.params.get("formatOptions.useInt64Timestamp", False)
    start = int(call.params.get("pageToken") or call.params.get("startIndex") or 0)
    end = start + call.params.get("maxResults", 10_000)
    rows = [
        {"f": [{"v": _value(item, row.get(item["name"]), micros)} for item in fields]}
        for row in table.rows[start:end]
    ]
    answer: dict[str, Any] = {
        "kind": "bigquery#tableDataList",
        "etag": table.info["etag"],
        "totalRows": str(len(table.rows)),
        "rows": rows,
    }
    return {**answer, "pageToken": str(end)} if end < len(table.rows) else answer


@method("bigquery.tabledata.insertAll", permission="bigquery.tables.updateData", on=_on_table)
def insert_rows(call: Call) -> Result:
    """Rows with a wrong value or an unknown field are refused, and with them, as at Google, every
    other row of the call unless `skipInvalidRows` is set."""
    table = call.cloud.bigquery.table(call.resource)
    fields = {item["name"]: item for item in table.info.get("schema", {}).get("fields", [])}
    ignoring = call.body.get("ignoreUnknownValues", False)
    errors: dict[int, list[dict[str, Any]]] = {}
    stored: dict[int, dict[str, Any]] = {}
    for index, row in enumerate(call.body.get("rows", ())):
        given = row.get("json", {})
        wrong = [_refused(name, "no such field") for name in given.keys() - fields.keys()]
        stored[index] = {}
        for name in given.keys() & fields.keys():
            try:
                stored[index][name] = _stored(fields[name], given[name])
            except (ValueError, TypeError, KeyError):
                wrong.append(_refused(name, f"cannot be read as {fields[name]['type']}"))
        wrong += [
            _refused(name, "missing required field")
            for name, item in fields.items()
            if item.get("mode") == "REQUIRED" and given.get(name) is None
        ]
        if ignoring:
            wrong = [error for error in wrong if not error["message"].startswith("no such field")]
        if wrong:
            errors[index] = sorted(wrong, key=lambda error: str(error["location"]))
    if errors and not call.body.get("skipInvalidRows", False):
        errors = {index: errors.get(index, [{"reason": "stopped"}]) for index in stored}
    table.rows += [row for index, row in stored.items() if index not in errors]
    answer: dict[str, Any] = {"kind": "bigquery#tableDataInsertAllResponse"}
    listed = [{"index": index, "errors": wrong} for index, wrong in sorted(errors.items())]
    return {**answer, "insertErrors": listed} if listed else answer


def _refused(field: str, why: str) -> dict[str, Any]:
    return {"reason": "invalid", "location": field, "message": f"{why}: {field}."}


def _stored(item: dict[str, Any], value: Any) -> Any:
    """A value as rows are kept: timestamps in seconds, records by name."""
    if value is None:
        return None
    if item.get("mode") == "REPEATED":
        single = item | {"mode": "NULLABLE"}
        return [_stored(single, entry) for entry in value]
    match item["type"]:
        case "RECORD" | "STRUCT":
            parts = {part["name"]: part for part in item.get("fields", ())}
            return {name: _stored(parts[name], entry) for name, entry in value.items()}
        case "TIMESTAMP" if isinstance(value, str) and not value.replace(".", "").isdigit():
            return datetime.fromisoformat(value.replace(" UTC", "+00:00")).timestamp()
        case "TIMESTAMP" | "FLOAT" | "FLOAT64":
            return float(value)
        case "INTEGER" | "INT64":
            return int(value)
        case "BOOLEAN" | "BOOL":
            return {"true": True, "false": False}[str(value).lower()]
    return value


def _value(item: dict[str, Any], value: Any, micros: bool) -> Any:
    """A value as table data carries it: everything is text, lists and records are wrapped."""
    if item.get("mode") == "REPEATED":
        single = item | {"mode": "NULLABLE"}
        return [{"v": _value(single, entry, micros)} for entry in value or ()]
    if value is None:
        return None
    match item["type"]:
        case "RECORD" | "STRUCT":
            parts = item.get("fields", ())
            return {"f": [{"v": _value(part, value.get(part["name"]), micros)} for part in parts]}
        case "TIMESTAMP":
            return str(int(value * 1e6)) if micros else str(value)
        case "BOOLEAN" | "BOOL":
            return "true" if value else "false"
        case "JSON":
            return value if isinstance(value, str) else json.dumps(value)
    return str(value)


def _on_policy(call: Call) -> str:
    """404 after 403, as for the other table methods."""
    resource: str = call.params["resource"]
    return resource


@method("bigquery.tables.getIamPolicy", permission="bigquery.tables.getIamPolicy", on=_on_policy)
def get_policy(call: Call) -> Result:
    call.cloud.bigquery.table(call.resource)
    version = call.body.get("options", {}).get("requestedPolicyVersion", 1)
    return call.cloud.iam.get_policy(call.resource, int(version))


@method("bigquery.tables.setIamPolicy", permission="bigquery.tables.setIamPolicy", on=_on_policy)
def set_policy(call: Call) -> Result:
    call.cloud.bigquery.table(call.resource)
    policy = call.body.get("policy", {})
    return call.cloud.iam.set_policy(call.resource, policy, call.body.get("updateMask"))


# Anyone may ask what they hold.
@method("bigquery.tables.testIamPermissions", permission=None, on=_on_policy)
def test_permissions(call: Call) -> Result:
    held = call.cloud.iam.test(call.principal, call.resource, call.body.get("permissions", []))
    return {"permissions": held} if held else {}
