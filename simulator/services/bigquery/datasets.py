"""Datasets and their access lists."""

from __future__ import annotations

import re
from typing import Any

from simulator.api.calls import Call, Methods, Reply, Result
from simulator.api.errors import ApiError, invalid
from simulator.iam.decisions import Iam
from simulator.services.bigquery.access import authorised, binding_of, entry_of, is_authorised
from simulator.services.bigquery.state import (
    OUTPUT_ONLY,
    BigQuery,
    check_etag,
    label,
    listed,
    on_dataset,
    on_project,
)

method = Methods()

IDENTIFIER = re.compile(r"\w{1,1024}")
LABEL_FILTER = re.compile(r"labels\.([^\s:.]+)(?::(\S*))?")
# What an answer holds besides the access list when that alone is asked for (inferred).
ALWAYS = ("kind", "id", "selfLink", "etag", "datasetReference")


def _set_access(call: Call, access: list[dict[str, Any]]) -> None:
    bindings = []
    for entry in access:
        if is_authorised(entry):
            continue
        role, member = binding_of(entry, call.resource.split("/")[1])
        binding: dict[str, Any] = {"role": role, "members": [member]}
        if condition := entry.get("condition"):
            binding["condition"] = condition
        bindings.append(binding)
    version = call.params.get("accessPolicyVersion", 1)
    call.cloud[Iam].set_policy(call.resource, {"version": version, "bindings": bindings})
    call.cloud[BigQuery].dataset(call.resource).authorised = authorised(access)


def _shown(call: Call, name: str) -> dict[str, Any]:
    dataset, view = call.cloud[BigQuery].dataset(name), call.params.get("datasetView")
    if view == "METADATA":
        return dataset.info
    policy = call.cloud[Iam].get_policy(name, call.params.get("accessPolicyVersion", 1))
    access = [
        entry_of(binding["role"], member, binding.get("condition"))
        for binding in policy.get("bindings", ())
        for member in binding["members"]
    ]
    info = {key: dataset.info[key] for key in ALWAYS} if view == "ACL" else dataset.info
    return info | {"access": access + dataset.authorised}


@method(
    "bigquery.datasets.insert",
    permission="bigquery.datasets.create",
    on=on_project,
    reads="accessPolicyVersion",
)
def insert_dataset(call: Call) -> Result:
    dataset_id = call.body.get("datasetReference", {}).get("datasetId", "")
    if not IDENTIFIER.fullmatch(dataset_id):
        raise invalid(f'Invalid dataset ID "{dataset_id}".')
    name = f"{call.resource}/datasets/{dataset_id}"
    call.cloud[BigQuery].create_dataset(name, call.body, call.principal.email)
    return _shown(call, name)


@method(
    "bigquery.datasets.get",
    permission="bigquery.datasets.get",
    on=on_dataset,
    reads="accessPolicyVersion datasetView",
)
def get_dataset(call: Call) -> Result:
    # Asking for the access list by name takes its own permission; the default view shows it to
    # readers of the dataset.
    if call.params.get("datasetView") in ("ACL", "FULL"):
        call.check("bigquery.datasets.getIamPolicy", call.resource)
    return _shown(call, call.resource)


def _labels_wanted(text: str) -> list[tuple[str, str | None]]:
    """The keys and values of `labels.key:value labels.key`, None for any value."""
    found = []
    for term in text.split():
        match = LABEL_FILTER.fullmatch(term)
        if match is None:
            # Google's own words are not recorded.
            raise invalid(f"Invalid filter: {term}")
        found.append((match[1], match[2]))
    return found


def _has(labels: dict[str, str], wanted: list[tuple[str, str | None]]) -> bool:
    return all(key in labels and value in (None, labels[key]) for key, value in wanted)


@method(
    "bigquery.datasets.list",
    permission="bigquery.datasets.get",
    on=on_project,
    reads="all filter maxResults pageToken",
)
def list_datasets(call: Call) -> Result:
    """Those whose names begin with an underscore are hidden (docs bigquery/datasets)."""
    prefix = f"{call.resource}/datasets/"
    hidden = () if call.params.get("all") else f"{prefix}_"
    wanted = _labels_wanted(call.params.get("filter", ""))
    keys = ("kind", "id", "datasetReference", "labels", "friendlyName", "location")
    items = [
        (name, {key: dataset.info[key] for key in keys if key in dataset.info})
        for name, dataset in sorted(call.cloud[BigQuery].datasets.items())
        if name.startswith(prefix)
        and not name.startswith(hidden)
        and _has(dataset.info.get("labels", {}), wanted)
    ]
    return listed(call, "datasets", items)


@method(
    "bigquery.datasets.patch",
    "bigquery.datasets.update",
    permission="bigquery.datasets.update",
    on=on_dataset,
    reads="accessPolicyVersion updateMode",
)
def change_dataset(call: Call) -> Result:
    """An update without `access` keeps it, as the official provider's do (provider-contract)."""
    bigquery, mode = call.cloud[BigQuery], call.params.get("updateMode")
    dataset = bigquery.dataset(call.resource)
    check_etag(call, dataset.info)
    given = {} if mode == "UPDATE_ACL" else call.body
    bigquery.check(dataset.info, given)
    if "access" in call.body and mode != "UPDATE_METADATA":
        call.check("bigquery.datasets.setIamPolicy", call.resource)
        _set_access(call, call.body["access"] or [])
    if given and call.method.id == "bigquery.datasets.update":
        for key in dataset.info.keys() - {*OUTPUT_ONLY, "maxTimeTravelHours"}:
            del dataset.info[key]
    bigquery.change(dataset.info, given)
    return _shown(call, call.resource)


@method(
    "bigquery.datasets.delete",
    permission="bigquery.datasets.delete",
    on=on_dataset,
    reads="deleteContents",
)
def delete_dataset(call: Call) -> Result:
    bigquery = call.cloud[BigQuery]
    dataset = bigquery.dataset(call.resource)
    if dataset.tables and not call.params.get("deleteContents"):
        message = f"Dataset {label(call.resource)} is still in use"
        raise ApiError(400, "FAILED_PRECONDITION", message, legacy="resourceInUse")
    for table_id in list(dataset.tables):
        name = f"{call.resource}/tables/{table_id}"
        call.check("bigquery.tables.delete", name)
        bigquery.drop_table(name)
    del bigquery.datasets[call.resource]
    call.cloud[Iam].forget(call.resource)
    return Reply(status=204)
