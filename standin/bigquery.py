"""Types of the `bigquery` module: datasets, tables, and access to datasets."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from pulumi_plugin.kinds import Change, Context, Failure, ProviderError
from pulumi_plugin.values import UNKNOWN, Props
from standin.allow import CONDITION, Policy
from standin.fields import DELETION_POLICY, LABELS, PROJECT, Field
from standin.google import GoogleError
from standin.iam import DATASET_TARGET, Member
from standin.provider import Provider
from standin.resource import Rest, Spec


def _same_columns(schema: Any) -> list[Props]:
    """Columns without what Google fills in; their order, too, is not the program's to change."""
    columns = json.loads(schema) if isinstance(schema, str) else schema
    plain = []
    for column in columns:
        kept = {name: value for name, value in column.items() if value != {"names": []}}
        if "fields" in kept:
            kept["fields"] = _same_columns(kept["fields"])
        plain.append({"mode": "NULLABLE", **kept})
    return sorted(plain, key=lambda column: str(column["name"]))


def _dataset_id(name: str, value: Any) -> list[str]:
    """up to 1,024 letters, digits and underscores"""
    form = "must contain only letters (a-z, A-Z), numbers (0-9), or underscores (_)"
    wrong = {
        form: not re.fullmatch(r"[0-9A-Za-z_]+", str(value)),
        "cannot be greater than 1,024 characters": len(str(value)) > 1024,
    }
    return [f'"{name}" {said}' for said, it_is in wrong.items() if it_is]


def _lifetime(name: str, value: Any) -> list[str]:
    """an hour or more"""
    if isinstance(value, int) and value < HOUR:
        return [f'"{name}" cannot be shorter than 3600000 milliseconds (one hour)']
    return []


def _columns(name: str, value: Any) -> list[str]:
    """a JSON array"""
    try:
        columns = json.loads(value)
    except ValueError:
        return []  # said already
    if isinstance(columns, list):
        return [f'"{name}" contains a nil element'] if None in columns else []
    kinds = {dict: "object", str: "string", bool: "bool"}
    said = f"json: cannot unmarshal {kinds.get(type(columns), 'number')} into Go value of type"
    return [f'"{name}" is not a JSON array: {said} []interface {{}}']


HOUR: Final = 3_600_000  # milliseconds
BASE: Final = "https://bigquery.googleapis.com/bigquery/v2"
KMS: Final = (Field("kmsKeyName", required=True),)
ACCESS: Final = (
    *(
        Field(name)
        for name in (
            "domain",
            "groupByEmail",
            "iamMember",
            "role",
            "specialGroup",
            "userByEmail",
        )
    ),
    *(Field(name, "object", unsent=True) for name in ("condition", "dataset", "routine", "view")),
)
DATASET: Final = Spec(
    "gcp:bigquery/dataset:Dataset",
    noun="Dataset",
    title="BigQueryDataset",
    source="products/bigquery/Dataset.yaml",
    base=BASE,
    id="projects/{project}/datasets/{datasetId}",
    collection="projects/{project}/datasets",
    query={"accessPolicyVersion": "3"},
    update="PUT",
    update_always=("defaultCollation", "friendlyName"),
    fields=(
        Field(
            "datasetId",
            api="datasetReference.datasetId",
            new=True,
            required=True,
            valid=_dataset_id,
        ),
        PROJECT,
        Field("location", new=True, computed=True, fold=True),
        Field("accesses", "objects", api="access", of=ACCESS, computed=True),
        Field("defaultCollation", computed=True),
        Field("defaultEncryptionConfiguration", "object", of=KMS),
        Field("defaultPartitionExpirationMs", "int"),
        Field("defaultTableExpirationMs", "int", valid=_lifetime),
        Field("description"),
        Field("friendlyName"),
        Field("isCaseInsensitive", "bool", computed=True),
        Field("maxTimeTravelHours", computed=True),
        Field("storageBillingModel", computed=True),
        Field("deleteContentsOnDestroy", "bool", local=True),
        Field("externalCatalogDatasetOptions", "object", unsent=True),
        Field("externalDatasetReference", "object", unsent=True),
        Field("resourceTags", "map"),
        *LABELS,
        DELETION_POLICY,
        Field("creationTime", "int", output=True),
        Field("lastModifiedTime", "int", output=True),
        Field("etag", output=True),
        Field("selfLink", output=True, zero=None),
    ),
)
TABLE: Final = Spec(
    "gcp:bigquery/table:Table",
    delete_first=True,
    noun="Table",
    title="BigQuery table",
    source="services/bigquery/resource_bigquery_table.go",
    base=BASE,
    id="projects/{project}/datasets/{datasetId}/tables/{tableId}",
    collection="projects/{project}/datasets/{datasetId}/tables",
    update="PUT",
    fields=(
        Field("datasetId", api="tableReference.datasetId", new=True, required=True),
        Field("tableId", api="tableReference.tableId", new=True, required=True),
        PROJECT,
        Field("schema", "json", zero=None, computed=True, alike=_same_columns, valid=_columns),
        Field("description"),
        Field("friendlyName"),
        Field("clusterings", "strings", api="clustering.fields", most=4),
        Field(
            "timePartitioning",
            "object",
            of=(
                Field("type", required=True, values=("DAY", "HOUR", "MONTH", "YEAR")),
                Field("field", new=True),
                Field("expirationMs", "int64", computed=True),
                Field("requirePartitionFilter", "bool", force=True),
            ),
        ),
        Field(
            "view",
            "object",
            of=(
                Field("query", required=True),
                Field("useLegacySql", "bool", force=True, default=True),
            ),
        ),
        Field(
            "encryptionConfiguration",
            "object",
            new=True,
            of=(*KMS, Field("kmsKeyVersion", output=True)),
        ),
        Field("expirationTime", "int64", computed=True, zero=None),
        Field("requirePartitionFilter", "bool", zero=None),
        Field("deletionProtection", "bool", local=True, zero=True),
        Field("ignoreAutoGeneratedSchema", "bool", unsent=True, zero=False),
        Field("ignoreSchemaChanges", "strings", unsent=True),
        Field("biglakeConfiguration", "object", unsent=True),
        Field("externalCatalogTableOptions", "object", unsent=True),
        Field("externalDataConfiguration", "object", unsent=True),
        Field("materializedView", "object", unsent=True),
        Field("maxStaleness", unsent=True),
        Field("rangePartitioning", "object", unsent=True),
        Field("resourceTags", "map"),
        Field("schemaForeignTypeInfo", "object", unsent=True),
        Field("tableConstraints", "object", unsent=True),
        Field("tableMetadataView", unsent=True, zero=None),
        Field("tableReplicationInfo", "object", unsent=True),
        *LABELS,
        DELETION_POLICY,
        Field("creationTime", "int", output=True),
        Field("lastModifiedTime", "int", output=True),
        Field("etag", output=True),
        Field("generatedSchemaColumns", output=True),
        Field("location", output=True),
        Field("numBytes", "int", output=True, zero=None),
        Field("numLongTermBytes", "int", output=True, zero=None),
        Field("numRows", "int", output=True, zero=None),
        Field("selfLink", output=True),
        Field("type", output=True),
    ),
)
# The basic roles of a dataset, and the IAM roles that they are.
IAM_ROLES: Final = {
    "OWNER": "roles/bigquery.dataOwner",
    "WRITER": "roles/bigquery.dataEditor",
    "READER": "roles/bigquery.dataViewer",
}
# Kind of member → property of an access entry.
ENTRIES: Final = {
    "user": "userByEmail",
    "serviceAccount": "userByEmail",
    "group": "groupByEmail",
    "domain": "domain",
    "specialGroup": "specialGroup",
    "iamMember": "iamMember",
}


class Dataset(Rest):
    spec = DATASET

    def body(self, inputs: Props, outputs: Props, *, update: bool) -> Props:
        body = super().body(inputs, outputs, update=update)
        if "accesses" not in inputs:  # those that are there are not the program's to set
            body.pop("access", None)
        return body

    def delete_query(self, outputs: Props) -> dict[str, str]:
        return {"deleteContents": str(bool(outputs.get("deleteContentsOnDestroy"))).lower()}


class Table(Rest):
    spec = TABLE
    refuses = "`requirePartitionFilter` also in `timePartitioning`"

    def body(self, inputs: Props, outputs: Props, *, update: bool) -> Props:
        body = super().body(inputs, outputs, update=update)
        if "schema" in body:
            columns = body["schema"]
            body["schema"] = {"fields": [_tagged(column) for column in columns]}
        if not update and "view" in body:
            body.pop("schema", None)
        names = self.names("", inputs, outputs)
        body["tableReference"]["projectId"] = names["project"]
        return body

    def create(self, inputs: Props, context: Context) -> tuple[str, Props]:
        """A view is made without the columns it is given, which follow
        (resourceBigQueryTableCreate)."""
        id, outputs = super().create(inputs, context)
        if "view" not in inputs or "schema" not in inputs:
            return id, outputs
        url, body = self.url(id, self.names(id, inputs, {})), self.body(inputs, {}, update=True)
        try:
            self.provider.google.call("PUT", url, {}, body)
        except GoogleError as error:
            raise ProviderError(f"Error creating Table: {error}") from error
        return id, self.read_created(id, inputs, context)

    def check(
        self, inputs: Props, old_inputs: Props, context: Context
    ) -> tuple[Props, list[Failure]]:
        checked, failures = super().check(inputs, old_inputs, context)
        name, parts = "requirePartitionFilter", checked.get("timePartitioning")
        if name in checked and isinstance(parts, dict) and name in parts:
            said, top = "Conflicting configuration arguments.", "require_partition_filter"
            nested = f"time_partitioning.0.{top}"
            failures += [
                Failure(name, f'{said} "{top}": conflicts with {nested}'),
                Failure(f"timePartitioning.{name}", f'{said} "{nested}": conflicts with {top}'),
            ]
        return checked, failures

    def diff(self, id: str, old_inputs: Props, old_outputs: Props, inputs: Props) -> Change:
        """Columns that cannot change in place replace the table."""
        change = super().diff(id, old_inputs, old_outputs, inputs)
        columns = inputs.get("schema")
        if "schema" not in change.updates or columns is UNKNOWN:
            return change
        old, new = (json.loads(text or "null") for text in (old_outputs.get("schema"), columns))
        if _changeable(old, new):
            return change
        updates = tuple(name for name in change.updates if name != "schema")
        return Change(updates, (*change.replaces, "schema"), delete_before_replace=True)

    def outputs(self, id: str, answer: Props, inputs: Props, *, created: bool) -> Props:
        columns = (answer.get("schema") or {}).get("fields")
        shown = {**answer, "schema": columns}
        found = super().outputs(id, shown, inputs, created=created)
        return found | {"generatedSchemaColumns": None if columns is None else ""}

    def delete(self, id: str, inputs: Props, outputs: Props, context: Context) -> None:
        if outputs.get("deletionProtection", True):
            raise ProviderError(
                f"cannot destroy table {id} without setting deletionProtection=false and running "
                "`pulumi up`"
            )
        super().delete(id, inputs, outputs, context)


SAME_TYPES: Final = {"INT64": "INTEGER", "FLOAT64": "FLOAT", "BOOL": "BOOLEAN"}


def _changeable(old: Any, new: Any, *, nested: bool = False) -> bool:
    """Whether columns can become others in place (resourceBigQueryTableSchemaIsChangeable).

    They can be added unless they are required, or dropped, but not both at a time, and only dropped
    where they are not part of another; their types stay, and REQUIRED may become NULLABLE.
    """
    if not (isinstance(old, list) and isinstance(new, list)):
        return bool(old == new)
    before, after = ({column["name"]: column for column in columns} for columns in (old, new))
    gone, added = before.keys() - after.keys(), after.keys() - before.keys()
    if any(after[name].get("mode") == "REQUIRED" for name in added) or (gone and (nested or added)):
        return False
    return all(_column_changeable(before[name], after[name]) for name in before.keys() - gone)


def _column_changeable(old: Props, new: Props) -> bool:
    types = [str(column.get("type")).upper() for column in (old, new)]
    if SAME_TYPES.get(types[0], types[0]) != SAME_TYPES.get(types[1], types[1]):
        return False
    modes = [str(column.get("mode") or "NULLABLE").upper() for column in (old, new)]
    if modes[0] != modes[1] and modes != ["REQUIRED", "NULLABLE"]:
        return False
    return _changeable(old.get("fields"), new.get("fields"), nested=True)


def _tagged(column: Props) -> Props:
    """A column as the official plugin sends it: with its policy tags, also where there are none."""
    tagged = {"policyTags": {"names": []}, **column}
    if "fields" in column:
        tagged["fields"] = [_tagged(child) for child in column["fields"]]
    return tagged


class DatasetMember(Member):
    """Access to a dataset is a list of entries on the dataset, not an IAM policy."""

    def __init__(self, provider: Provider) -> None:
        super().__init__(provider, DATASET_TARGET)

    def read_policy(self, names: Mapping[str, str]) -> Policy:
        bindings = []
        for entry in self._entries(names):
            member = _member_of(entry)
            if member:
                role = IAM_ROLES.get(entry["role"], entry["role"])
                condition = {"condition": entry["condition"]} if "condition" in entry else {}
                bindings.append({"role": role, "members": [member], **condition})
        return {"bindings": bindings}

    def write_policy(self, names: Mapping[str, str], policy: Policy) -> None:
        kept = [entry for entry in self._entries(names) if not _member_of(entry)]
        entries = [
            _entry(binding, member)
            for binding in policy.get("bindings", [])
            for member in binding["members"]
        ]
        url = self.target.url.format_map(names)
        self.provider.google.call("PATCH", url, DATASET.query, {"access": entries + kept})

    def _entries(self, names: Mapping[str, str]) -> list[Any]:
        found = self.provider.google.call("GET", self.target.url.format_map(names), DATASET.query)
        return list(found.get("access", []))


def _member_of(entry: Props) -> str:
    """The member an entry grants to; empty for an authorised view, routine or dataset."""
    email = entry.get("userByEmail", "")
    if email:
        return f"{'serviceAccount' if email.endswith('gserviceaccount.com') else 'user'}:{email}"
    for kind, name in ENTRIES.items():
        if name in entry:
            return f"{kind}:{entry[name]}"
    return ""


def _entry(binding: Props, member: str) -> Props:
    kind, _, name = member.partition(":")
    entry: Props = {"role": binding["role"], ENTRIES.get(kind, "iamMember"): name}
    if kind not in ENTRIES:
        entry["iamMember"] = member
    condition = binding.get("condition")
    if condition:
        entry["condition"] = {name: condition[name] for name in CONDITION if name in condition}
    return entry
