"""Table data: rows in, rows out, and how values are written in both."""

from __future__ import annotations

import base64
import json
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from simulator.api.calls import Call, Methods, Result
from simulator.api.errors import invalid
from simulator.services.bigquery.state import BigQuery, chosen, on_table

method = Methods()

# How long BigQuery remembers an insertId: "for at least one minute" (docs
# bigquery/streaming-data-into-bigquery).
REMEMBERED_SECONDS = 60
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# What JSON has no numbers for.
WORDS = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}


@method(
    "bigquery.tabledata.list",
    permission="bigquery.tables.getData",
    on=on_table,
    reads="formatOptions.useInt64Timestamp maxResults pageToken selectedFields startIndex",
)
def list_rows(call: Call) -> Result:
    table = call.cloud[BigQuery].data(call.resource)
    if (kind := table.info["type"]) != "TABLE":
        error = invalid(f"Cannot list a table of type {kind}.")
        error.legacy = "invalid"
        raise error
    fields = table.info.get("schema", {}).get("fields", [])
    if wanted := call.params.get("selectedFields"):
        fields = chosen(fields, wanted)
    micros = call.params.get("formatOptions.useInt64Timestamp", False)
    start = int(call.params.get("pageToken") or call.params.get("startIndex") or 0)
    end = start + call.params.get("maxResults", 10_000)
    rows = [
        {"f": [{"v": encoded(item, row.get(item["name"]), micros)} for item in fields]}
        for row in table.rows[start:end]
    ]
    answer: dict[str, Any] = {
        "kind": "bigquery#tableDataList",
        "etag": table.info["etag"],
        "totalRows": str(len(table.rows)),
        "rows": rows,
    }
    return {**answer, "pageToken": str(end)} if end < len(table.rows) else answer


@method("bigquery.tabledata.insertAll", permission="bigquery.tables.updateData", on=on_table)
def insert_rows(call: Call) -> Result:
    """Rows with a wrong value or an unknown field are refused, and with them, as at Google, every
    other row of the call unless `skipInvalidRows` is set. A row that comes again within a minute
    is dropped, by its `insertId`."""
    table, now = call.cloud[BigQuery].data(call.resource), call.cloud.clock.now()
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
    seen = {key: when for key, when in table.inserted.items() if now - when < REMEMBERED_SECONDS}
    for index, row in enumerate(call.body.get("rows", ())):
        insert_id = row.get("insertId")
        if index not in errors and insert_id not in seen:
            table.rows.append(stored[index])
            if insert_id:
                seen[insert_id] = now
    table.inserted = seen
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


def encoded(item: dict[str, Any], value: Any, micros: bool) -> Any:
    """A value as table data carries it: everything is text, lists and records are wrapped.

    `value` is as rows are kept, or as Python has it; `micros`: timestamps are microseconds, not
    seconds.
    """
    if item.get("mode") == "REPEATED":
        single = item | {"mode": "NULLABLE"}
        return [{"v": encoded(single, entry, micros)} for entry in value or ()]
    if value is None:
        return None
    match item["type"]:
        case "RECORD" | "STRUCT":
            parts = item.get("fields", ())
            return {"f": [{"v": encoded(part, value.get(part["name"]), micros)} for part in parts]}
        case "TIMESTAMP":
            if isinstance(value, datetime):
                value = (value - EPOCH) / timedelta(seconds=1)
            return str(round(value * 1e6)) if micros else str(value)
        case "FLOAT" | "FLOAT64":
            return WORDS.get(str(float(value)), str(float(value)))
        case "BOOLEAN" | "BOOL":
            return "true" if value else "false"
        case "JSON":
            return value if isinstance(value, str) else json.dumps(value)
    if isinstance(value, Decimal):
        text = format(value, "f")
        return text.rstrip("0").rstrip(".") if "." in text else text
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, date | time):
        return value.isoformat()
    return str(value)
