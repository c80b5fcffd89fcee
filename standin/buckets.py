"""Cloud Storage buckets."""

from __future__ import annotations

import copy
import json
import re
from typing import Any, Final
from urllib.parse import quote

from pulumi_plugin.kinds import Context, ProviderError, Resource
from pulumi_plugin.values import Props
from standin.fields import DELETION_POLICY, LABELS, Field, dig, put
from standin.google import GoogleError
from standin.resource import AutoName, Rest, Spec

BUCKETS: Final = "https://storage.googleapis.com/storage/v1/b"
# A zero in these conditions means something only when the program says so.
SEND_IF_ZERO: Final = {
    "age": "sendAgeIfZero",
    "daysSinceCustomTime": "sendDaysSinceCustomTimeIfZero",
    "daysSinceNoncurrentTime": "sendDaysSinceNoncurrentTimeIfZero",
    "numNewerVersions": "sendNumNewerVersionsIfZero",
}
CONDITION: Final = (
    *(Field(name, "int") for name in SEND_IF_ZERO),
    *(Field(flag, "bool", local=True) for flag in SEND_IF_ZERO.values()),
    Field("createdBefore"),
    Field("customTimeBefore"),
    Field("noncurrentTimeBefore"),
    Field("matchesPrefixes", "strings", api="matchesPrefix", zero=[]),
    Field("matchesStorageClasses", "strings", api="matchesStorageClass", zero=[]),
    Field("matchesSuffixes", "strings", api="matchesSuffix", zero=[]),
    Field("sizeAboveBytes", "int"),
    Field("sizeBelowBytes", "int"),
    Field("withState", zero="ANY", computed=True, values=("LIVE", "ARCHIVED", "ANY", "")),
)


def _bucket_name(name: str, value: Any) -> list[str]:
    """up to 222 of a-z, 0-9, dash, dot and underscore, parts up to 63, no google or goog..."""
    said, text = "error: bucket name", str(value)
    if text.startswith("goog"):
        return [f'{said} {text} cannot start with "goog"']
    if "google" in text:
        return [f'{said} {text} cannot contain "google"']
    if not re.fullmatch(r"[a-z0-9][a-z0-9_.-]{1,220}[a-z0-9]", text):
        see = "https://cloud.google.com/storage/docs/naming-buckets"
        return [f"{said} validation failed {text}. See {see}"]
    bad = [part for part in text.split(".") if not re.fullmatch(r"[a-z0-9_-]{1,63}", part)]
    return [f"{said} validation failed {bad[0]}"] if bad else []


def _label_keys(name: str, value: Any) -> list[str]:
    """keys of up to 63 of a-z, 0-9, dash and underscore"""
    see = "https://cloud.google.com/storage/docs/tags-and-labels#bucket-labels"
    return [
        f"{json.dumps(key)} is an invalid label key. See {see}"
        for key in (value if isinstance(value, dict) else ())
        if not re.fullmatch(r"[a-z0-9_-]{1,63}", key)
    ]


BUCKET: Final = Spec(
    "gcp:storage/bucket:Bucket",
    noun="Bucket",
    title="Storage Bucket",
    source="services/storage/resource_storage_bucket.go",
    base=BUCKETS,
    id="{name}",
    fields=(
        Field("name", path=True, new=True, valid=_bucket_name),
        Field("project", new=True, computed=True, local=True),
        Field("location", new=True, required=True, fold=True),
        Field("storageClass", default="STANDARD"),
        Field("forceDestroy", "bool", local=True),
        Field(
            "uniformBucketLevelAccess",
            "bool",
            api="iamConfiguration.uniformBucketLevelAccess.enabled",
            computed=True,
            force=True,
        ),
        Field(
            "publicAccessPrevention", api="iamConfiguration.publicAccessPrevention", computed=True
        ),
        Field(
            "versioning",
            "object",
            computed=True,
            of=(Field("enabled", "bool", required=True, force=True),),
        ),
        Field(
            "lifecycleRules",
            "objects",
            api="lifecycle.rule",
            force=True,
            most=100,
            of=(
                Field(
                    "action",
                    "object",
                    required=True,
                    of=(Field("type", required=True), Field("storageClass")),
                ),
                Field("condition", "object", required=True, of=CONDITION),
            ),
        ),
        Field(
            "softDeletePolicy",
            "object",
            computed=True,
            of=(
                Field("retentionDurationSeconds", "int64", force=True),
                Field("effectiveTime", output=True),
            ),
        ),
        Field(
            "encryption",
            "object",
            of=(
                Field("defaultKmsKeyName"),
                Field("customerManagedEncryptionEnforcementConfig", "object", unsent=True),
                Field("customerSuppliedEncryptionEnforcementConfig", "object", unsent=True),
                Field("googleManagedEncryptionEnforcementConfig", "object", unsent=True),
            ),
        ),
        Field(
            "retentionPolicy",
            "object",
            of=(
                Field("retentionPeriod", required=True, pattern=r"^[1-9]\d*$"),
                Field("isLocked", "bool", unsent=True, zero=False),
            ),
        ),
        Field("requesterPays", "bool", api="billing.requesterPays"),
        Field("defaultEventBasedHold", "bool"),
        Field("rpo", computed=True, zero=None),
        Field(
            "logging", "object", of=(Field("logBucket", required=True), Field("logObjectPrefix"))
        ),
        Field("autoclass", "object", unsent=True),
        Field("cors", "objects", unsent=True),
        Field("customPlacementConfig", "object", unsent=True),
        Field("enableObjectRetention", "bool", unsent=True, zero=False),
        Field("hierarchicalNamespace", "object", unsent=True, zero={"enabled": False}),
        Field("ipFilter", "object", unsent=True),
        Field("website", "object", unsent=True),
        Field("labels", "map", valid=_label_keys),
        *LABELS[1:],
        DELETION_POLICY,
        Field("projectNumber", "int", output=True, zero=None),
        Field("selfLink", output=True),
        Field("timeCreated", output=True),
        Field("updated", output=True),
        Field("url", output=True),
    ),
    autoname=AutoName(longest=222),
)


class Bucket(Rest):
    spec = BUCKET
    waits = "create: it is read twice"

    def body(self, inputs: Props, outputs: Props, *, update: bool) -> Props:
        body = super().body(inputs, outputs, update=update)
        for given, sent in zip(
            inputs.get("lifecycleRules") or [], dig(body, "lifecycle.rule") or [], strict=True
        ):
            condition = sent.setdefault("condition", {})
            state = condition.pop("withState", "ANY")
            if state != "ANY":
                condition["isLive"] = state == "LIVE"
            for name, flag in SEND_IF_ZERO.items():
                if (given.get("condition") or {}).get(flag) and not condition.get(name):
                    condition[name] = 0
        return body

    def create(self, inputs: Props, context: Context) -> tuple[str, Props]:
        names = self.names("", inputs, {})
        body = self.body(inputs, {}, update=False) | {"name": names["name"]}
        self.provider.google.call("POST", BUCKETS, {"project": names["project"]}, body)
        return names["name"], self.read_created(names["name"], inputs, context)

    def outputs(self, id: str, answer: Props, inputs: Props, *, created: bool) -> Props:
        answer = copy.deepcopy(answer)
        for rule in dig(answer, "lifecycle.rule") or []:
            live = rule.setdefault("condition", {}).pop("isLive", None)
            rule["condition"]["withState"] = (
                "ANY" if live is None else "LIVE" if live else "ARCHIVED"
            )
        found = super().outputs(id, answer, inputs, created=created)
        return found | {
            "url": f"gs://{id}",
            "project": inputs.get("project") or self.provider.project,
        }

    def read_created(self, id: str, inputs: Props, context: Context) -> Props:
        super().read_created(id, inputs, context)  # the official plugin waits for it, then reads it
        found = super().read_created(id, inputs, context)
        return found | self._project_of(found)

    def read(self, id: str, inputs: Props, outputs: Props, context: Context) -> Resource | None:
        found = super().read(id, inputs, outputs, context)
        if found is None or outputs.get("projectNumber"):
            return found
        return Resource(found.id, found.inputs, found.outputs | self._project_of(found.outputs))

    def _project_of(self, found: Props) -> Props:
        """A bucket names its project by number only, and a program knows it by its id.

        Compute may be off, or closed to the caller: then the provider's own project stands.
        """
        url = f"https://compute.googleapis.com/compute/beta/projects/{found['projectNumber']}"
        try:
            name = self.provider.google.call("GET", url).get("name")
        except ProviderError:
            name = None
        return {"project": found.get("project") or name}

    def update(
        self, id: str, old_inputs: Props, old_outputs: Props, inputs: Props, context: Context
    ) -> Props:
        whole, patch = self.body(inputs, old_outputs, update=True), Props()
        for item in self.changes(old_inputs, old_outputs, inputs):
            if item.local or item.name == "labels":
                continue
            value = dig(whole, self.mask_name(item))
            if value is None and item.type == "bool":
                put(patch, item.api or item.name, False)
            else:
                patch[self.mask_name(item)] = value
        if self.labels_drift(old_outputs, inputs):
            planned = self.planned_labels(inputs, old_outputs)["effectiveLabels"]
            gone = set(old_outputs.get("effectiveLabels") or {}) - set(planned)
            patch["labels"] = {**planned, **dict.fromkeys(gone)}
        planned_outputs = old_outputs | self.preview(inputs, old_outputs)
        if not patch:
            return planned_outputs
        self.provider.google.call("PATCH", f"{BUCKETS}/{id}", None, patch)
        answer = self.get(id, inputs, old_outputs)
        if answer is None:
            raise ProviderError(f"bucket {id} was deleted while it was updated")
        found = self.outputs(id, answer, inputs, created=False)
        return found | {"project": old_outputs.get("project") or found["project"]}

    def delete(self, id: str, inputs: Props, outputs: Props, context: Context) -> None:
        if self.refuses_deletion(id, outputs):
            return
        # Without the caches the original does not begin to empty it, and lets the deletion tell
        # (GoogleCloudPlatform/magic-modules#13730); recorded: it goes on where Google has none.
        caches_told, unlisted = self._delete_caches(id), None
        if caches_told:
            unlisted = self._delete_objects(id, bool(outputs.get("forceDestroy")))
        try:
            self.provider.google.call("DELETE", f"{BUCKETS}/{id}")
        except GoogleError as error:
            if error.status == 409 and unlisted:
                raise ProviderError(
                    "could not delete non-empty bucket due to error when listing contents: "
                    f"{unlisted}"
                ) from error
            if error.status != 404:
                raise

    def _delete_caches(self, bucket: str) -> bool:
        """False where nobody may say which there are."""
        url = f"{BUCKETS}/{bucket}/anywhereCaches/"
        try:
            caches = self.provider.google.call("GET", url).get("items", [])
        except GoogleError as error:
            return error.status == 404
        for cache in caches:
            self.provider.google.call("POST", f"{url}{cache['anywhereCacheId']}/disable")
        return True

    def _delete_objects(self, bucket: str, force: bool) -> GoogleError | None:
        """Why what is in it could not be listed, if so."""
        url = f"{BUCKETS}/{bucket}/o"
        while True:
            try:
                objects = self.provider.google.call("GET", url, {"versions": "true"}).get("items")
            except GoogleError as error:
                return error  # the bucket may be empty all the same: deleting it will tell
            if not objects:
                return None
            if not force:
                raise ProviderError(
                    f"Error trying to delete bucket {bucket} containing objects without "
                    "`force_destroy` set to true"
                )
            for item in objects:
                self.provider.google.call(
                    "DELETE",
                    f"{url}/{quote(item['name'], safe='')}",
                    {"generation": item["generation"]},
                )
