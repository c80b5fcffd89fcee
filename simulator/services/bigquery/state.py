"""What BigQuery holds, and what datasets and tables share."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from simulator.api.calls import Call, Result
from simulator.api.errors import ApiError, already_exists, invalid, not_found, unimplemented
from simulator.api.pages import page
from simulator.api.patching import merge
from simulator.core.cloud import Cloud, Holding
from simulator.core.platform import Containers
from simulator.iam.decisions import Iam
from simulator.services.bigquery import encryption
from simulator.services.bigquery.access import (
    DEFAULT_ACCESS,
    authorised,
    binding_of,
    is_authorised,
    owner,
)
from simulator.services.bigquery.defaults import (
    Row,
    check_partitioning,
    collated,
    inherited,
    unexpired,
)
from simulator.services.bigquery.jobs import Jobs

SITE = "https://bigquery.googleapis.com/bigquery/v2"
OUTPUT_ONLY = [
    "kind",
    "id",
    "selfLink",
    "etag",
    "creationTime",
    "lastModifiedTime",
    "type",
    "numRows",
    "numBytes",
    "datasetReference",
    "tableReference",
    "location",
    "access",
]
# int64 in the discovery document, so a string in every answer.
WIDE = (
    "defaultTableExpirationMs",
    "defaultPartitionExpirationMs",
    "expirationTime",
    "maxTimeTravelHours",
)
COLLATIONS = (None, "", "und:ci")
# Fields for which 0 says that there is none.
CLEARED_BY_ZERO = ("defaultTableExpirationMs", "defaultPartitionExpirationMs")


@dataclass(slots=True)
class Table:
    info: dict[str, Any]
    rows: list[Row] = field(default_factory=list)
    # insertId of a row -> when it came, Unix seconds
    inserted: dict[str, float] = field(default_factory=dict)
    # the hour, since 1970, in which old partitions were dropped last
    swept: int = 0
    # how many of the rows are in `_size`
    _sized: int = 0
    _size: int = 0

    def keep(self, rows: list[Row]) -> None:
        self.rows, self._sized, self._size = rows, 0, 0

    def size(self) -> int:
        """In bytes of JSON; Google counts by types."""
        self._size += sum(len(json.dumps(row)) for row in self.rows[self._sized :])
        self._sized = len(self.rows)
        return self._size


@dataclass(slots=True)
class Dataset:
    info: dict[str, Any]
    tables: dict[str, Table] = field(default_factory=dict)
    # access entries that are not bindings
    authorised: list[dict[str, Any]] = field(default_factory=list)
    # when the first of the tables expires, Unix seconds
    expires: float = math.inf


class BigQuery(Holding):
    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.datasets: dict[str, Dataset] = {}
        self.jobs = Jobs()
        self._changes = 0

    def dataset(self, name: str) -> Dataset:
        """By `projects/P/datasets/D`."""
        dataset = self.datasets.get(name)
        if dataset is None:
            raise not_found(f"Not found: Dataset {label(name)}")
        if dataset.expires <= self.cloud.clock.now():
            self._drop_expired(name, dataset)
        return dataset

    def table(self, name: str) -> Table:
        """By `projects/P/datasets/D/tables/T`."""
        parent, _, table_id = name.rpartition("/tables/")
        dataset = self.dataset(parent)
        table = dataset.tables.get(table_id)
        if table is None:
            raise not_found(f"Not found: Table {label(name)}")
        partitioning = table.info.get("timePartitioning", ())
        if "expirationMs" in partitioning:
            now = self.cloud.clock.now()
            if table.swept != (hour := int(now / 3600)):
                table.swept = hour
                table.keep(unexpired(table.rows, partitioning, now))
        return table

    def _drop_expired(self, name: str, dataset: Dataset) -> None:
        for table_id, table in list(dataset.tables.items()):
            if expiry(table) <= self.cloud.clock.now():
                del dataset.tables[table_id]
                self.cloud[Iam].forget(f"{name}/tables/{table_id}")
        dataset.expires = min(map(expiry, dataset.tables.values()), default=math.inf)

    def create_dataset(self, name: str, body: dict[str, Any], creator: str) -> Dataset:
        if name in self.datasets:
            raise already_exists(f"Already Exists: Dataset {label(name)}")
        _, project, _, dataset_id = name.split("/")
        info: dict[str, Any] = {
            "kind": "bigquery#dataset",
            "id": f"{project}:{dataset_id}",
            "selfLink": f"{SITE}/{name}",
            "datasetReference": {"projectId": project, "datasetId": dataset_id},
            "location": body.get("location") or "US",
            "type": "DEFAULT",
            "maxTimeTravelHours": "168",
        }
        self.check(info, body)
        self.change(info, body)
        access = body.get("access") or [*DEFAULT_ACCESS, owner(creator)]
        try:
            # In effect at once: whoever made a dataset can use it.
            for entry in access:
                if not is_authorised(entry):
                    role, member = binding_of(entry, project)
                    self.cloud[Iam].grant(name, role, member, entry.get("condition"))
        except ApiError:
            self.cloud[Iam].forget(name)
            raise
        self.datasets[name] = Dataset(info, authorised=authorised(access))
        return self.datasets[name]

    def create_table(self, name: str, body: dict[str, Any]) -> Table:
        parent, _, table_id = name.rpartition("/tables/")
        dataset = self.dataset(parent)
        if table_id in dataset.tables:
            raise already_exists(f"Already Exists: Table {label(name)}")
        _, project, _, dataset_id = parent.split("/")
        info: dict[str, Any] = {
            "kind": "bigquery#table",
            "id": f"{project}:{dataset_id}.{table_id}",
            "selfLink": f"{SITE}/{name}",
            "tableReference": {
                "projectId": project,
                "datasetId": dataset_id,
                "tableId": table_id,
            },
            "location": dataset.info["location"],
            "type": "VIEW" if "view" in body else "TABLE",
        }
        table = Table(info)
        self._change_table(table, body | inherited(dataset.info, body, self.cloud.clock.now()))
        dataset.tables[table_id] = table
        dataset.expires = min(dataset.expires, expiry(table))
        return table

    def change_table(self, name: str, body: dict[str, Any], *, whole: bool) -> Table:
        """Change `projects/P/datasets/D/tables/T`: the fields given, or the `whole` table."""
        table = self.table(name)
        self._change_table(table, body, whole=whole)
        dataset = self.dataset(name.rpartition("/tables/")[0])
        dataset.expires = min(dataset.expires, expiry(table))
        return table

    def _change_table(self, table: Table, body: dict[str, Any], *, whole: bool = False) -> None:
        partitioning = {} if whole else table.info.get("timePartitioning", {})
        check_partitioning({**partitioning, **(body.get("timePartitioning") or {})})
        self.check(table.info, body)
        before = table.info.get("schema", {}).get("fields", ())
        if whole:
            for key in table.info.keys() - set(OUTPUT_ONLY):
                del table.info[key]
        self.change(table.info, body)
        if columns := table.info.get("schema", {}).get("fields"):
            default = table.info.get("defaultCollation", "")
            table.info["schema"]["fields"] = collated(columns, default, before)

    def check(self, info: Mapping[str, Any], body: Mapping[str, Any]) -> None:
        """Raise for a collation or a key that a body may not give a dataset or a table."""
        if body.get("defaultCollation") not in COLLATIONS:
            # Google's own words are not recorded.
            raise invalid(f'Invalid collation "{body["defaultCollation"]}".')
        project = (info.get("tableReference") or info["datasetReference"])["projectId"]
        for key in ("defaultEncryptionConfiguration", "encryptionConfiguration"):
            encryption.check(self.cloud, project, body.get(key), info["location"])

    def data(self, name: str) -> Table:
        """By `projects/P/datasets/D/tables/T`, when its rows can be read and written now."""
        table = self.table(name)
        self.check(table.info, table.info)
        return table

    def change(self, info: dict[str, Any], body: dict[str, Any]) -> None:
        """Take over the fields given; null and "" clear one, and 0 a default lifetime."""
        merge(info, {key: value for key, value in body.items() if key not in OUTPUT_ONLY})
        gone = [key for key in info if info[key] == ""]
        gone += [key for key in CLEARED_BY_ZERO if int(info.get(key) or 0) == 0]
        for key in gone:
            info.pop(key, None)
        info |= {key: str(info[key]) for key in WIDE if key in info}
        now = str(int(self.cloud.clock.now() * 1000))
        info.setdefault("creationTime", now)
        info["lastModifiedTime"] = now
        self._changes += 1
        info["etag"] = base64.b64encode(self._changes.to_bytes(8, "big")).decode()

    def drop_table(self, name: str) -> None:
        self.table(name)
        parent, _, table_id = name.rpartition("/tables/")
        del self.datasets[parent].tables[table_id]
        self.cloud[Iam].forget(name)

    def live(self) -> dict[str, list[str]]:
        tables = [
            f"{name}/tables/{table_id}"
            for name in self.datasets
            for table_id in self.dataset(name).tables
        ]
        return {"datasets": sorted(self.datasets), "tables": sorted(tables)}


def expiry(table: Table) -> float:
    """Unix seconds."""
    return int(table.info["expirationTime"]) / 1000 if "expirationTime" in table.info else math.inf


def label(name: str) -> str:
    """`P:D` or `P:D.T`, as BigQuery's messages name things."""
    parts = name.split("/")
    return f"{parts[1]}:{'.'.join(parts[3::2])}"


def on_project(call: Call) -> str:
    return f"projects/{call.cloud[Containers].id(call.params['projectId'])}"


def on_dataset(call: Call) -> str:
    return f"{on_project(call)}/datasets/{call.params['datasetId']}"


def on_table(call: Call) -> str:
    return f"{on_dataset(call)}/tables/{call.params['tableId']}"


def chosen(columns: Iterable[dict[str, Any]], wanted: str) -> list[dict[str, Any]]:
    """The columns that `selectedFields` names; parts of records cannot be chosen here."""
    names = wanted.split(",")
    if any("." in name for name in names):
        raise unimplemented("selectedFields with a part of a record")
    return [column for column in columns if column["name"] in names]


def listed(call: Call, kind: str, items: list[tuple[str, dict[str, Any]]]) -> Result:
    params = call.params
    found, token = page(items, params.get("pageToken"), params.get("maxResults", 1000))
    answer: dict[str, Any] = {"kind": f"bigquery#{kind.removesuffix('s')}List", kind: found}
    return {**answer, "nextPageToken": token} if token else answer


def check_etag(call: Call, info: dict[str, Any]) -> None:
    wanted = call.headers.get("if-match")
    if wanted not in (None, "*", info["etag"]):
        raise ApiError(412, "FAILED_PRECONDITION", "Precondition check failed.")
