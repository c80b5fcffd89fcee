"""BigQuery subscriptions: where a message goes, and as which row.

Facts (discovery document, `BigQueryConfig`; docs pubsub/docs/bigquery): the writer is the account
given, or the service agent of the subscription's project, and needs `bigquery.tables.get` and
`.updateData` on the table; without a schema the message is the column `data`; metadata are four
more columns. A table that lacks a column, or requires one that is never written, is refused when
the subscription is declared. Inferred: the status and text of each refusal except the first.
"""

from __future__ import annotations

import base64
import json
import re
from datetime import datetime
from typing import Any

from simulator.api.calls import Call, Guard
from simulator.api.errors import ApiError, failed_precondition, invalid
from simulator.core.cloud import Cloud
from simulator.services.bigquery.state import BigQuery
from simulator.services.pubsub.avro import parsed
from simulator.services.pubsub.state import PubSub, Subscription, check_act_as, service_denied

TABLE = re.compile(r"([^.:/]+)[.:]([^.:/]+)\.([^.:/]+)")
RESOURCE = re.compile(r"projects/[^/]+/datasets/[^/]+/tables/[^/]+")
NEEDED = ("bigquery.tables.get", "bigquery.tables.updateData")
TEXTS = ("STRING", "JSON")
# column -> the types it may have
DATA = {"data": ("BYTES", *TEXTS)}
METADATA = {
    "subscription_name": ("STRING",),
    "message_id": ("STRING",),
    "publish_time": ("TIMESTAMP",),
    "attributes": TEXTS,
}
# What a JSON value must be for a column of a type, and how the row holds it.
CONVERSIONS: dict[str, tuple[tuple[type, ...], Any]] = {
    "STRING": ((str,), str),
    "BYTES": ((str,), str),
    "INTEGER": ((int,), int),
    "INT64": ((int,), int),
    "FLOAT": ((int, float), float),
    "FLOAT64": ((int, float), float),
    "NUMERIC": ((int, float, str), str),
    "BOOLEAN": ((bool,), bool),
    "BOOL": ((bool,), bool),
    "JSON": ((object,), json.dumps),
    "DATE": ((str,), str),
    "DATETIME": ((str,), str),
    "TIME": ((str,), str),
}
# A failed write's status -> the subscription's `bigqueryConfig.state`.
STATES = {403: "PERMISSION_DENIED", 404: "NOT_FOUND", 400: "SCHEMA_MISMATCH"}


def table_name(config: dict[str, Any]) -> str:
    """`projects/P/datasets/D/tables/T` of `P.D.T`, `P:D.T` or that itself (http-logs)."""
    given = str(config.get("table", ""))
    if RESOURCE.fullmatch(given):
        return given
    found = TABLE.fullmatch(given)
    if found is None:
        raise invalid(
            f"The table {given} is not of the form {{projectId}}.{{datasetId}}.{{tableId}}."
        )
    return "projects/{}/datasets/{}/tables/{}".format(*found.groups())


def check(call: Call, name: str, info: dict[str, Any]) -> None:
    """Raise unless the subscription `name` can write to its table, and the caller may say so."""
    config = info["bigqueryConfig"]
    if config.get("useTopicSchema") and config.get("useTableSchema"):
        raise invalid("use_topic_schema and use_table_schema cannot be enabled at the same time.")
    if email := config.get("serviceAccountEmail"):
        check_act_as(call, email)
    table = table_name(config)
    _check_access(call.cloud, name, config, table)
    columns = _columns(call.cloud, table)
    wanted = METADATA if config.get("writeMetadata") else {}
    if config.get("useTopicSchema"):
        fields = _topic_fields(call.cloud, info["topic"])
        dropped = config.get("dropUnknownFields")
        wanted = wanted | {key: () for key in fields if key in columns or not dropped}
    elif not config.get("useTableSchema"):
        wanted = wanted | DATA
    _check_columns(table, columns, wanted, open_ended=bool(config.get("useTableSchema")))


def _check_access(cloud: Cloud, name: str, config: dict[str, Any], table: str) -> None:
    writer = cloud[PubSub].acting(config.get("serviceAccountEmail", ""), name)
    for permission in NEEDED:
        if not cloud[Guard].allowed(writer, permission, table):
            raise service_denied(permission, table)


def _check_columns(
    table: str, columns: dict[str, Any], wanted: dict[str, tuple[str, ...]], *, open_ended: bool
) -> None:
    wrong = [key for key in wanted if key not in columns]
    if wrong:
        raise invalid(f"Incompatible schema: the table {table} has no column {', '.join(wrong)}.")
    for key, kinds in wanted.items():
        if kinds and columns[key]["type"] not in kinds:
            raise invalid(
                f"Incompatible schema: the column {key} of {table} is {columns[key]['type']}, not "
                f"{' or '.join(kinds)}."
            )
    required = [key for key, item in columns.items() if item.get("mode") == "REQUIRED"]
    if missing := [key for key in required if key not in wanted and not open_ended]:
        raise invalid(
            f"Incompatible schema: the table {table} requires {', '.join(missing)}, which no "
            "message has."
        )


def _columns(cloud: Cloud, table: str) -> dict[str, Any]:
    info = cloud[BigQuery].table(table).info
    return {item["name"]: item for item in info.get("schema", {}).get("fields", ())}


def _topic_fields(cloud: Cloud, topic: str) -> list[str]:
    settings = cloud[PubSub].topic(topic).info.get("schemaSettings")
    revision = cloud[PubSub].schema(settings["schema"]).revisions[-1] if settings else {}
    if revision.get("type") != "AVRO":
        raise invalid(f"use_topic_schema needs an Avro schema on the topic {topic}.")
    return parsed(revision["definition"]).fields


def write(
    cloud: Cloud, subscription: Subscription, message: dict[str, Any], published: float
) -> None:
    """Append the message to the table. What went wrong shows in the subscription's state."""
    config = subscription.info["bigqueryConfig"]
    try:
        table = table_name(config)
        _check_access(cloud, subscription.name, config, table)
        row = _row(subscription, config, _columns(cloud, table), message, published)
        cloud[BigQuery].data(table).rows.append(row)
    except ApiError as error:
        config["state"] = STATES.get(error.status, "SCHEMA_MISMATCH")
        subscription.info["state"] = "RESOURCE_ERROR"
        raise
    config["state"] = subscription.info["state"] = "ACTIVE"


def _row(
    subscription: Subscription,
    config: dict[str, Any],
    columns: dict[str, Any],
    message: dict[str, Any],
    published: float,
) -> dict[str, Any]:
    if config.get("useTopicSchema") or config.get("useTableSchema"):
        row = _fields(config, columns, message)
    else:
        row = {"data": _data(columns, message)}
    if config.get("writeMetadata"):
        more = message.get("attributes", {})
        if key := message.get("orderingKey"):
            more = {**more, "ordering_key": key}
        row |= {
            "subscription_name": subscription.name,
            "message_id": message["messageId"],
            "publish_time": published,
            "attributes": json.dumps(more),
        }
    for key in row.keys() - columns.keys():
        raise failed_precondition(f"The table has no column {key}.")
    return row


def _data(columns: dict[str, Any], message: dict[str, Any]) -> str:
    data = message.get("data", "")
    kind = columns.get("data", {}).get("type")
    if kind == "BYTES":
        return str(data)
    try:
        text = base64.b64decode(data).decode()
        if kind == "JSON":
            json.loads(text)
    except ValueError as error:
        raise failed_precondition(f"The data is not a value of {kind}: {error}") from error
    return text


def _fields(
    config: dict[str, Any], columns: dict[str, Any], message: dict[str, Any]
) -> dict[str, Any]:
    try:
        values = json.loads(base64.b64decode(message.get("data", "")))
    except ValueError:
        values = None
    if not isinstance(values, dict):
        raise failed_precondition("The data is not a JSON object.")
    row = {}
    for key, value in values.items():
        if key in columns:
            row[key] = _value(columns[key], value)
        elif not config.get("dropUnknownFields"):
            raise failed_precondition(f"The table has no column {key}.")
    for key, column in columns.items():
        written = key in row or (config.get("writeMetadata") and key in METADATA)
        if column.get("mode") == "REQUIRED" and not written:
            raise failed_precondition(f"The message lacks the required column {key}.")
    return row


def _value(column: dict[str, Any], value: Any) -> Any:
    """A JSON value as the row of a column holds it."""
    if column.get("mode") == "REPEATED":
        if not isinstance(value, list):
            raise failed_precondition(f"{column['name']} is not a list.")
        single = {**column, "mode": "REQUIRED"}
        return [_value(single, item) for item in value]
    if value is None and column.get("mode") != "REQUIRED":
        return None
    kind = column["type"]
    if kind in ("RECORD", "STRUCT") and isinstance(value, dict):
        parts = {part["name"]: part for part in column.get("fields", ())}
        return {key: _value(parts[key], item) for key, item in value.items() if key in parts}
    if kind == "TIMESTAMP":
        return _moment(column, value)
    types, convert = CONVERSIONS.get(kind, ((), None))
    if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
        raise failed_precondition(f"{column['name']} is not a value of {kind}: {value!r}")
    return convert(value)


def _moment(column: dict[str, Any], value: Any) -> float:
    """Unix seconds of microseconds or of RFC 3339 text."""
    if type(value) is int:
        return value / 1e6
    try:
        return datetime.fromisoformat(value).timestamp()
    except (TypeError, ValueError):
        raise failed_precondition(f"{column['name']} is not a timestamp: {value!r}") from None
