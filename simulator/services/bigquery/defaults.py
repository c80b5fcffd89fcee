"""What a new table takes over from its dataset, and when rows and tables go by themselves.

Rules: discovery document, `Dataset`, `Table` and `TimePartitioning`. That a partition's time runs
from its start is inferred, and that a view, which keeps nothing, is not encrypted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from simulator.api.errors import invalid, unimplemented

# How much of a time in ISO 8601 names its partition.
PARTITIONS: Mapping[str, int] = {"HOUR": 13, "DAY": 10, "MONTH": 7, "YEAR": 4}

ENCRYPTION = "encryptionConfiguration"
# Field of a dataset -> the field of a new table that it is for.
INHERITED: Mapping[str, str] = {
    "defaultCollation": "defaultCollation",
    "defaultEncryptionConfiguration": ENCRYPTION,
}

Row = dict[str, Any]


def inherited(dataset: Mapping[str, Any], body: Mapping[str, Any], now: float) -> dict[str, Any]:
    """The fields of a new table that its `body` leaves to the dataset."""
    found: dict[str, Any] = {}
    for theirs, own in INHERITED.items():
        if theirs in dataset and own not in body and not ("view" in body and own == ENCRYPTION):
            found[own] = dataset[theirs]
    partitions, kept = body.get("timePartitioning"), dataset.get("defaultPartitionExpirationMs")
    if partitions and kept:
        found["timePartitioning"] = {"expirationMs": kept, **partitions}
    elif "defaultTableExpirationMs" in dataset and "expirationTime" not in body:
        found["expirationTime"] = int(now * 1000) + int(dataset["defaultTableExpirationMs"])
    return found


def check_partitioning(given: Mapping[str, Any]) -> None:
    """Raise for partitions of an unknown kind, and for ones whose rows could not be told apart.

    Google's words for an unknown kind are not recorded.
    """
    if given and given.get("type") not in PARTITIONS:
        raise invalid(f"Invalid time partitioning type: {given.get('type')}")
    if given.get("expirationMs") and not given.get("field"):
        raise unimplemented("timePartitioning.expirationMs without a field")


def collated(
    columns: Iterable[Mapping[str, Any]], default: str, before: Iterable[Mapping[str, Any]] = ()
) -> list[dict[str, Any]]:
    """The columns, each STRING with its collation: its own, the one it had, or the default."""
    known, answer = {column["name"]: column for column in before}, []
    for column in columns:
        old = known.get(column["name"], {"collation": default})
        new = dict(column)
        if column.get("type") == "STRING" and old.get("collation"):
            new.setdefault("collation", old["collation"])
        if "fields" in column:
            new["fields"] = collated(column["fields"], default, old.get("fields", ()))
        answer.append(new)
    return answer


def unexpired(rows: Iterable[Row], partitioning: Mapping[str, Any], now: float) -> list[Row]:
    """The rows whose partition is still kept; a row without a time is in one that never expires."""
    field, length = partitioning["field"], PARTITIONS[partitioning["type"]]

    def partition(value: float | str) -> str:
        if not isinstance(value, str):
            value = datetime.fromtimestamp(value, UTC).isoformat()
        return value.replace(" ", "T")[:length]

    last_gone = partition(now - int(partitioning["expirationMs"]) / 1000)
    return [row for row in rows if row.get(field) is None or partition(row[field]) > last_gone]
