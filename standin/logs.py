"""Types of the `logging` module: log-based metrics and sinks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from pulumi_plugin.kinds import Context, Failure, ProviderError
from pulumi_plugin.values import Props
from standin.fields import DELETION_POLICY, PROJECT, Field, at_least_one
from standin.google import GoogleError
from standin.resource import AutoName, Rest, Spec

BASE: Final = "https://logging.googleapis.com/v2"
# Who writes for every sink that has no identity of its own.
SHARED_WRITER: Final = "serviceAccount:cloud-logs@system.gserviceaccount.com"
BUILT_IN: Final = ("_Default", "_Required")  # sinks that Google makes, and does not delete


def _same_labels(labels: Any) -> Any:
    """Labels of a metric descriptor are a set; a label is a string unless it says otherwise."""
    plain = [
        (label["key"], label.get("valueType") or "STRING", label.get("description") or "")
        for label in labels
        if isinstance(label, dict)
    ]
    return sorted(plain, key=str) if len(plain) == len(labels) else labels


VALUE_TYPES: Final = ("BOOL", "INT64", "DOUBLE", "STRING", "DISTRIBUTION", "MONEY")
METRIC: Final = Spec(
    "gcp:logging/metric:Metric",
    noun="Metric",
    title="LoggingMetric",
    source="products/logging/Metric.yaml",
    base=BASE,
    id="{name}",
    collection="projects/{project}/metrics",
    update="PUT",
    fields=(
        Field("name", path=True),
        PROJECT,
        Field("description"),
        Field("bucketName"),
        Field("disabled", "bool"),
        Field("filter", required=True),
        Field(
            "metricDescriptor",
            "object",
            computed=True,
            of=(
                Field("unit", default="1"),
                Field("valueType", required=True, values=VALUE_TYPES),
                Field("metricKind", required=True, values=("DELTA", "GAUGE", "CUMULATIVE")),
                Field(
                    "labels",
                    "objects",
                    alike=_same_labels,
                    of=(
                        Field("key", required=True, new=True),
                        Field("description"),
                        Field(
                            "valueType",
                            new=True,
                            default="STRING",
                            zero="STRING",
                            values=("BOOL", "INT64", "STRING"),
                        ),
                    ),
                ),
                Field("displayName"),
            ),
        ),
        Field("labelExtractors", "map"),
        Field("valueExtractor"),
        Field(
            "bucketOptions",
            "object",
            choices=(at_least_one("linearBuckets", "exponentialBuckets", "explicitBuckets"),),
            of=(
                Field(
                    "linearBuckets",
                    "object",
                    of=(
                        Field("numFiniteBuckets", "int", required=True),
                        Field("width", "number", required=True),
                        Field("offset", "number", required=True),
                    ),
                ),
                Field(
                    "exponentialBuckets",
                    "object",
                    of=(
                        Field("numFiniteBuckets", "int", required=True),
                        Field("growthFactor", "number", required=True),
                        Field("scale", "number", required=True),
                    ),
                ),
                Field("explicitBuckets", "object", of=(Field("bounds", "numbers", required=True),)),
            ),
        ),
        DELETION_POLICY,
    ),
    autoname=AutoName(),
)
SINK: Final = Spec(
    "gcp:logging/projectSink:ProjectSink",
    noun="Sink",
    title="Project Logging Sink",
    source="services/logging/resource_logging_project_sink.go",
    base=BASE,
    id="projects/{project}/sinks/{name}",
    collection="projects/{project}/sinks",
    masked=True,
    fields=(
        Field("name", path=True, new=True),
        PROJECT,
        # Always named in an update, and first.
        Field(
            "exclusions",
            "objects",
            of=(
                Field("name", required=True),
                Field("description"),
                Field("filter", required=True),
                Field("disabled", "bool"),
            ),
        ),
        Field("destination", required=True),
        Field("filter", alike=str.strip),
        Field("description"),
        Field("disabled", "bool"),
        Field(
            "bigqueryOptions",
            "object",
            computed=True,
            bare=True,
            of=(Field("usePartitionedTables", "bool", required=True),),
        ),
        # Both are said beside the sink, and only the first can be told from it.
        Field("uniqueWriterIdentity", "bool", default=True),
        Field("customWriterIdentity", unread=True, zero=None),
        DELETION_POLICY,
        Field("writerIdentity", output=True),
    ),
    autoname=AutoName(),
)
IN_QUERY: Final = ("uniqueWriterIdentity", "customWriterIdentity")
# Sent by every update, whether or not they changed.
WHOLE: Final[Props] = {"destination": "", "filter": "", "disabled": False, "exclusions": []}


class Metric(Rest):
    """A log-based metric. Its id is its name, which may hold any character."""

    spec = METRIC

    def names(self, id: str, inputs: Props, outputs: Props) -> dict[str, str]:
        """A name that the program changes is sent as it is: Google makes that metric anew."""
        known = super().names(id, inputs, outputs)
        return known | ({"name": inputs["name"]} if inputs.get("name") else {})

    def url(self, id: str, names: Mapping[str, str]) -> str:
        name = quote(names["name"], safe="$&+=:@")
        return f"{BASE}/projects/{names['project']}/metrics/{name}"

    def body(self, inputs: Props, outputs: Props, *, update: bool) -> Props:
        body = super().body(inputs, outputs, update=update)
        return body | {"name": self.names("", inputs, outputs)["name"]}


class ProjectSink(Rest):
    """A sink. One that is there already, as Google's own are, is taken over."""

    spec = SINK
    refuses = "`bigqueryOptions` where `uniqueWriterIdentity` is false"

    def check(
        self, inputs: Props, old_inputs: Props, context: Context
    ) -> tuple[Props, list[Failure]]:
        checked, failures = super().check(inputs, old_inputs, context)
        if checked.get("bigqueryOptions") and checked["uniqueWriterIdentity"] is False:
            reason = "unique_writer_identity must be true when bigquery_options is supplied"
            failures.append(Failure("uniqueWriterIdentity", reason))
        return checked, failures

    def preview(self, inputs: Props, old_outputs: Props | None) -> Props:
        known = super().preview(inputs, old_outputs)
        if known.get("uniqueWriterIdentity") and not (old_outputs or {}).get(
            "uniqueWriterIdentity"
        ):
            known.pop("writerIdentity", None)
        return known

    def create(self, inputs: Props, context: Context) -> tuple[str, Props]:
        names = self.names("", inputs, {})
        id = self.spec.id.format_map(names)
        try:
            self.provider.google.call("GET", self.url(id, names))
        except GoogleError:  # whatever the reason: creating it will tell
            url = f"{BASE}/{self.spec.collection.format_map(names)}"
            body = self.body(inputs, {}, update=False) | {"name": names["name"]}
            self.provider.google.call("POST", url, self._query(inputs), body)
        else:
            self._patch(id, {}, {}, inputs)
        return id, self.read_created(id, inputs, context)

    def body(self, inputs: Props, outputs: Props, *, update: bool) -> Props:
        body = super().body(inputs, outputs, update=update)
        return {name: value for name, value in body.items() if name not in IN_QUERY}

    def outputs(self, id: str, answer: Props, inputs: Props, *, created: bool) -> Props:
        found = super().outputs(id, answer, inputs, created=created)
        return found | {"uniqueWriterIdentity": answer.get("writerIdentity") != SHARED_WRITER}

    def update(
        self, id: str, old_inputs: Props, old_outputs: Props, inputs: Props, context: Context
    ) -> Props:
        if not any(not item.local for item in self.changes(old_inputs, old_outputs, inputs)):
            return old_outputs | self.preview(inputs, old_outputs)
        self._patch(id, old_inputs, old_outputs, inputs)
        answer = self.get(id, inputs, old_outputs)
        if answer is None:
            raise ProviderError(f"{self.spec.title} {id!r} was deleted while it was updated")
        return self.outputs(id, answer, inputs, created=False)

    def _patch(self, id: str, old_inputs: Props, old_outputs: Props, inputs: Props) -> None:
        differing = self.changes(old_inputs, old_outputs, inputs)
        mask = ["exclusions", *self.mask(differing, old_outputs, inputs)]
        mask = [name for name in dict.fromkeys(mask) if name not in (*IN_QUERY, "name", "project")]
        sink = WHOLE | self.body(inputs, old_outputs, update=True)
        if "bigqueryOptions" not in mask:
            sink.pop("bigqueryOptions", None)
        query = self._query(inputs) | {"updateMask": ",".join(mask)}
        self.provider.google.call("PATCH", self.url(id, self.names(id, inputs, {})), query, sink)

    def _query(self, inputs: Props) -> dict[str, str]:
        query = {"uniqueWriterIdentity": str(bool(inputs.get("uniqueWriterIdentity"))).lower()}
        custom = inputs.get("customWriterIdentity")
        return query | ({"customWriterIdentity": custom} if custom else {})

    def delete(self, id: str, inputs: Props, outputs: Props, context: Context) -> None:
        """A sink that is gone already is an error, unlike with every other type."""
        names = self.names(id, inputs, outputs)
        if self.refuses_deletion(id, outputs) or names["name"] in BUILT_IN:
            return
        self.provider.google.call("DELETE", self.url(id, names))
