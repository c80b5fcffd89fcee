"""DuckDB, which answers queries: rows in, rows out, types in both directions.

It is opened with the first query, and one for all clouds: opening takes longer than most queries.
A query's tables are temporary tables of a connection of its own, which ends with it.
"""

from __future__ import annotations

import base64
import json
import re
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any

import duckdb

from simulator.api.errors import ApiError
from simulator.services.bigquery.functions import MACROS, refused, wrong
from simulator.services.bigquery.sql import Column, Query, Source, declared

# How long a query may take, in seconds of the wall clock, when it names no time itself.
SECONDS = 30.0
SETTINGS: dict[str, str | bool | int | float | list[str]] = {
    "threads": 1,
    "memory_limit": "1GB",
    "enable_external_access": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
}
# DuckDB's type -> of a schema.
SCHEMA_TYPES = {
    **dict.fromkeys(("tinyint", "smallint", "integer", "bigint", "hugeint"), "INTEGER"),
    **dict.fromkeys(("double", "float"), "FLOAT"),
    **{"varchar": "STRING", "blob": "BYTES", "boolean": "BOOLEAN", "decimal": "NUMERIC"},
    **{"timestamp with time zone": "TIMESTAMP", "timestamp": "DATETIME", "date": "DATE"},
    **{
        "time": "TIME",
        "json": "JSON",
        '"null"': "INTEGER",
        "null": "INTEGER",
        "sqlnull": "INTEGER",
    },
}
# What sqlglot finds a type to be -> what a schema may then call it.
EXPECTED = {
    **dict.fromkeys(("BIGINT", "INT", "SMALLINT", "TINYINT"), ("INTEGER",)),
    **dict.fromkeys(("DOUBLE", "FLOAT"), ("FLOAT", "INTEGER")),
    **dict.fromkeys(("TEXT", "VARCHAR", "CHAR"), ("STRING",)),
    **dict.fromkeys(("TIMESTAMP", "DATETIME"), ("DATETIME",)),
    **{"BOOLEAN": ("BOOLEAN",), "DATE": ("DATE",), "TIMESTAMPTZ": ("TIMESTAMP",)},
    **{"TIME": ("TIME",), "JSON": ("JSON",), "DECIMAL": ("NUMERIC",), "STRUCT": ("RECORD",)},
}
WIDEST = 2**63

Row = tuple[Any, ...]


@dataclass(frozen=True)
class Answer:
    """The columns of a result, and its rows with values as Python has them."""

    columns: list[Column]
    rows: list[Row]


@cache
def database() -> duckdb.DuckDBPyConnection:
    database = duckdb.connect(":memory:", config=SETTINGS)
    database.execute(MACROS)
    return database


def answer(query: Query, rows: Callable[[Source], list[dict[str, Any]]], seconds: float) -> Answer:
    """Run a query on the `rows` of its tables; 400 for what fails, in DuckDB's words."""
    connection = database().cursor()
    timer = threading.Timer(seconds, connection.interrupt)
    try:
        connection.execute("SET TimeZone = 'UTC'")
        for source in query.sources:
            _load(connection, source, rows(source))
        timer.start()
        try:
            connection.execute(query.sql)
            kinds = [column[1] for column in connection.description or ()]
            found = connection.fetchall()
        except duckdb.Error as error:
            raise _failed(error) from None
    finally:
        timer.cancel()
        connection.close()
    columns = [
        _column(name, kind, expected)
        for name, kind, expected in zip(query.names, kinds, query.kinds, strict=True)
    ]
    _check_names(query.names)
    for column, index in zip(columns, range(len(columns)), strict=True):
        for row in found:
            _check_value(column, row[index])
    return Answer(columns, found)


def _load(
    connection: duckdb.DuckDBPyConnection, source: Source, rows: list[dict[str, Any]]
) -> None:
    """Column by column, each as one list: much faster than row by row."""
    columns, values = [], {}
    for index, column in enumerate(source.columns):
        name, kind = column["name"].replace('"', '""'), declared(column, 1)
        convert = _converter(column)
        key = column["name"]
        values[f"c{index}"] = [convert(row.get(key)) for row in rows]
        columns.append(f'unnest(CAST($c{index} AS {kind}[])) AS "{name}"')
    try:
        connection.execute(
            f'CREATE TEMP TABLE "{source.alias}" AS SELECT {", ".join(columns)}', values
        )
    except duckdb.Error as error:
        raise wrong(f"Cannot read {source.name}: {error}") from None


def _converter(column: Column) -> Callable[[Any], Any]:
    """From a value as rows hold it to one that DuckDB takes."""
    kind = column["type"].upper()
    if column.get("mode") == "REPEATED":
        single = _converter(column | {"mode": "NULLABLE"})
        return lambda value: [single(item) for item in value or ()]
    if kind in ("RECORD", "STRUCT"):
        parts = [(part["name"], _converter(part)) for part in column.get("fields", ())]
        return lambda value: (
            None if value is None else {name: part(value.get(name)) for name, part in parts}
        )
    convert = CONVERTERS.get(kind, str)
    return lambda value: None if value is None else convert(value)


def _moment(value: float | str) -> datetime:
    if isinstance(value, str):
        return datetime.fromisoformat(value.replace(" UTC", "+00:00"))
    return datetime.fromtimestamp(value, UTC)


CONVERTERS: Mapping[str, Callable[[Any], Any]] = {
    **{"INTEGER": int, "INT64": int, "FLOAT": float, "FLOAT64": float},
    **{"BOOLEAN": bool, "BOOL": bool, "TIMESTAMP": _moment, "BYTES": base64.b64decode},
    "JSON": lambda value: value if isinstance(value, str) else json.dumps(value),
}


def _column(name: str, kind: Any, expected: str = "UNKNOWN") -> Column:
    """Of a schema, for a type of DuckDB's and what sqlglot expected."""
    if kind.id == "list":
        ((_, inner),) = kind.children
        if inner.id == "list":
            raise wrong(f"Cannot return an array of arrays: {name}")
        return {**_column(name, inner), "mode": "REPEATED"}
    if kind.id == "struct":
        fields = [_column(part, inner) for part, inner in kind.children]
        return {"name": name, "type": "RECORD", "mode": "NULLABLE", "fields": fields}
    found = SCHEMA_TYPES.get(str(kind).lower()) or SCHEMA_TYPES.get(kind.id)
    if found is None:
        raise refused(f"the type {kind} of the column {name}")
    allowed = EXPECTED.get(expected)
    if allowed and found not in allowed and str(kind).upper() not in ('"NULL"', "NULL"):
        raise refused(f"the column {name}, {expected} in GoogleSQL and {kind} here,")
    return {"name": name, "type": allowed[0] if allowed else found, "mode": "NULLABLE"}


def _check_names(names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name.lower() in seen:
            raise wrong(
                "Duplicate column names in the result are not supported. Found duplicate(s): "
                f"{name}"
            )
        seen.add(name.lower())


def _check_value(column: Column, value: Any) -> None:
    if column.get("mode") == "REPEATED":
        if value is not None and None in value:
            raise wrong(
                f"Array cannot have a null element; error in writing field {column['name']}"
            )
    elif column["type"] == "INTEGER" and value is not None and not -WIDEST <= value < WIDEST:
        raise wrong("int64 overflow")


def _failed(error: duckdb.Error) -> ApiError:
    if isinstance(error, duckdb.InterruptException):
        return ApiError(400, "INVALID_ARGUMENT", "Job execution was cancelled: Job timed out")
    message = str(error).partition("\n")[0]
    if found := re.search(r'column "(\w+)" must appear in the GROUP BY clause', message):
        # getnao/nao#1099 has it of a window
        return wrong(
            f"SELECT list expression references column {found[1]} which is neither grouped nor "
            "aggregated"
        )
    if isinstance(error, (duckdb.BinderException, duckdb.CatalogException, duckdb.ParserException)):
        # It may be right in GoogleSQL.
        return refused(f"what DuckDB does not take ({message})")
    return wrong(message.removeprefix("Invalid Input Error: "))
