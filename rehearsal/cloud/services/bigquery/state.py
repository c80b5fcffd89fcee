"""What BigQuery holds, and what datasets and tables share."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rehearsal.cloud.api import ApiError, Call, Result, already_exists, not_found
from rehearsal.cloud.services.bigquery.access import (
    DEFAULT_ACCESS,
    binding_of,
    is_authorised,
    owner,
)
from rehearsal.cloud.services.paging import page
from rehearsal.cloud.services.patching import merge

if TYPE_CHECKING:
    from rehearsal.cloud.cloud import Cloud

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
WIDE = ("defaultTableExpirationMs", "defaultPartitionExpirationMs", "maxTimeTravelHours")


@dataclass(slots=True)
class Table:
    info: dict[str, Any]
    rows: list[dict[str, Any]] = field(default_factory=list)


@dataclass(slots=True)
class Dataset:
    info: dict[str, Any]
    tables: dict[str, Table] = field(default_factory=dict)
    # access entries that are not bindings
    authorised: list[dict[str, Any]] = field(default_factory=list)


class BigQuery:
    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.datasets: dict[str, Dataset] = {}
        self._changes = 0

    def dataset(self, name: str) -> Dataset:
        """By `projects/P/datasets/D`."""
        if name not in self.datasets:
            _, project, _, dataset = name.split("/")
            raise not_found(f"Not found: Dataset {project}:{dataset}")
        return self.datasets[name]

    def table(self, name: str) -> Table:
        """By `projects/P/datasets/D/tables/T`."""
        parent, _, table_id = name.rpartition("/tables/")
        dataset = self.dataset(parent)
        if table_id not in dataset.tables:
            raise not_found(f"Not found: Table {label(name)}")
        return dataset.tables[table_id]

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
        self.change(info, body)
        access = body.get("access") or [*DEFAULT_ACCESS, owner(creator)]
        try:
            # In effect at once: whoever made a dataset can use it.
            for entry in access:
                if not is_authorised(entry):
                    role, member = binding_of(entry, project)
                    self.cloud.iam.grant(name, role, member, entry.get("condition"))
        except ApiError:
            self.cloud.iam.forget(name)
            raise
        self.datasets[name] = Dataset(info, authorised=list(filter(is_authorised, access)))
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
        dataset.tables[table_id] = Table(info)
        self.change(info, body)
        return dataset.tables[table_id]

    def change(self, info: dict[str, Any], body: dict[str, Any]) -> None:
        """Take over the fields given; null and "" clear one."""
        merge(info, {key: value for key, value in body.items() if key not in OUTPUT_ONLY})
        for key in [key for key in info if info[key] == ""]:
            del info[key]
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
        self.cloud.iam.forget(name)

    def live(self) -> dict[str, list[str]]:
        tables = [f"{name}/tables/{id}" for name, ds in self.datasets.items() for id in ds.tables]
        return {"datasets": sorted(self.datasets), "tables": sorted(tables)}


def label(name: str) -> str:
    """`P:D` or `P:D.T`, as BigQuery's messages name things."""
    parts = name.split("/")
    return f"{parts[1]}:{'.'.join(parts[3::2])}"


def on_project(call: Call) -> str:
    return f"projects/{call.cloud.projects.id(call.params['projectId'])}"


def on_dataset(call: Call) -> str:
    return f"{on_project(call)}/datasets/{call.params['datasetId']}"


def listed(call: Call, kind: str, items: list[tuple[str, dict[str, Any]]]) -> Result:
    params = call.params
    found, token = page(items, params.get("pageToken"), params.get("maxResults", 1000))
    answer: dict[str, Any] = {"kind": f"bigquery#{kind.removesuffix('s')}List", kind: found}
    return {**answer, "nextPageToken": token} if token else answer


def check_etag(call: Call, info: dict[str, Any]) -> None:
    wanted = call.headers.get("if-match")
    if wanted not in (None, "*", info["etag"]):
        raise ApiError(412, "FAILED_PRECONDITION", "Precondition check failed.")
