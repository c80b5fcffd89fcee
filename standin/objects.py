"""Cloud Storage objects."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from pulumi_plugin.kinds import Change, Context, ProviderError, Resource
from pulumi_plugin.values import Asset, Props
from standin.buckets import BUCKETS
from standin.fields import DELETION_POLICY, Field, exactly_one, expand, flatten, inputs_of
from standin.google import GoogleError
from standin.resource import AutoName, Declared, Spec

SIGNATURES: Final = (
    (b"\x1f\x8b\x08", "application/x-gzip"),
    (b"PK\x03\x04", "application/zip"),
    (b"%PDF-", "application/pdf"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"<?xml", "text/xml; charset=utf-8"),
)


def same_asset(source: Any) -> Any:
    """The official plugin hands a source on as a file that is named by its hash."""
    return source.hash if isinstance(source, Asset) else source


# Everything but the content is set once; `kmsKeyName` is a query parameter of the upload.
OBJECT: Final = Spec(
    "gcp:storage/bucketObject:BucketObject",
    noun="object",
    title="Storage Bucket Object",
    source="services/storage/resource_storage_bucket_object.go",
    id="{bucket}-{name}",
    fields=(
        Field("name", path=True, new=True),
        Field("bucket", path=True, new=True, required=True),
        Field("source", "asset", local=True, new=True, zero=None, alike=same_asset),
        Field("content", local=True, secret=True, zero=None),
        Field("detectMd5hash", local=True, default="different hash"),
        Field("sourceMd5hash", local=True),
        Field("cacheControl", new=True),
        Field("contentDisposition", new=True),
        Field("contentEncoding", new=True),
        Field("contentLanguage", new=True),
        Field("contentType", new=True, computed=True),
        Field("kmsKeyName", new=True, computed=True),
        Field("metadata", "map", new=True),
        Field("storageClass", new=True, computed=True),
        Field("eventBasedHold", "bool"),
        Field("temporaryHold", "bool"),
        Field("contexts", "object", unsent=True),
        Field("customerEncryption", "object", secret=True, unsent=True),
        Field("forceEmptyContentType", "bool", unsent=True, zero=None),
        Field("retention", "object", unsent=True),
        DELETION_POLICY,
        Field("crc32c", output=True),
        Field("generation", "int", output=True),
        Field("md5hash", output=True, api="md5Hash"),
        Field("md5hexhash", output=True),
        Field("mediaLink", output=True),
        Field("outputName", output=True, api="name"),
        Field("selfLink", output=True),
    ),
    autoname=AutoName(),
    choices=(exactly_one("content", "source"),),
)


class BucketObject(Declared):
    """An uploaded object. What counts as changed is the MD5 of its content."""

    spec = OBJECT

    def diff(self, id: str, old_inputs: Props, old_outputs: Props, inputs: Props) -> Change:
        change = super().diff(id, old_inputs, old_outputs, inputs)
        if overwritten(old_outputs):
            return replace(change, updates=(*change.updates, "detectMd5hash"))
        return change

    def create(self, inputs: Props, context: Context) -> tuple[str, Props]:
        names = self.names("", inputs, {})
        self._upload(names, inputs)
        id = self.spec.id.format_map(names)
        found = self.read(id, inputs, {}, context)
        if found is None:
            raise ProviderError(f"object {names['name']} was not found after it was uploaded")
        return id, found.outputs | {"metadata": found.outputs["metadata"] or None}

    def _upload(self, names: dict[str, str], inputs: Props) -> None:
        content = content_of(inputs)
        metadata = {"bucket": names["bucket"], **expand(self.spec.fields, inputs)}
        query = {"name": names["name"], "uploadType": "multipart"}
        if "kmsKeyName" in metadata:
            query["kmsKeyName"] = metadata.pop("kmsKeyName")
        boundary = hashlib.sha256(content + names["name"].encode()).hexdigest()[:60]
        parts = (
            f"--{boundary}\r\nContent-Type: application/json\r\n\r\n".encode(),
            json.dumps(metadata, separators=(",", ":")).encode(),
            f"\n\r\n--{boundary}\r\nContent-Type: {sniff(content)}\r\n\r\n".encode(),
            content,
            f"\r\n--{boundary}--\r\n".encode(),
        )
        try:
            self.provider.google.call(
                "POST",
                f"https://storage.googleapis.com/upload/storage/v1/b/{names['bucket']}/o",
                query,
                raw=(f"multipart/related; boundary={boundary}", b"".join(parts)),
            )
        except GoogleError as error:
            raise ProviderError(f"Error uploading object {names['name']}: {error}") from error

    def read(self, id: str, inputs: Props, outputs: Props, context: Context) -> Resource | None:
        names = self.names("", inputs, outputs)
        if "bucket" not in names or "name" not in names:
            raise ProviderError("bucket objects cannot be imported")
        try:
            answer = self.provider.google.call("GET", self._url(names))
        except GoogleError as error:
            if error.status == 404:
                return None
            raise ProviderError(f"Error retrieving object {names['name']}: {error}") from error
        found = flatten(self.spec.fields, answer, inputs, {})
        digest = answer.get("md5Hash", "")
        found |= {
            "bucket": names["bucket"],
            "name": names["name"],
            "detectMd5hash": outputs.get("detectMd5hash") or digest,
            "md5hexhash": base64.b64decode(digest).hex(),
        }
        return Resource(id, inputs_of(self.spec.fields, inputs, found), found)

    def update(
        self, id: str, old_inputs: Props, old_outputs: Props, inputs: Props, context: Context
    ) -> Props:
        names = self.names("", inputs, old_outputs)
        changes = self.changes(old_inputs, old_outputs, inputs)
        if overwritten(old_outputs) or any(item.name == "content" for item in changes):
            self._upload(names, inputs)
            old_outputs = {**old_outputs, "detectMd5hash": None}
        else:
            held = [item for item in changes if not (item.local or item.new)]
            if held:
                whole = self.provider.google.call("GET", self._url(names))
                whole |= {item.name: bool(inputs.get(item.name)) for item in held}
                self.provider.google.call("PUT", self._url(names), None, whole)
        found = self.read(id, inputs, old_outputs, context)
        if found is None:
            raise ProviderError(f"object {names['name']} was deleted while it was updated")
        return found.outputs

    def delete(self, id: str, inputs: Props, outputs: Props, context: Context) -> None:
        if self.refuses_deletion(id, outputs):
            return
        names = self.names("", inputs, outputs)
        try:
            self.provider.google.call("DELETE", self._url(names))
        except GoogleError as error:
            if error.status != 404:
                raise ProviderError(
                    f"Error deleting contents of object {names['name']}: {error}"
                ) from error

    @staticmethod
    def _url(names: dict[str, str]) -> str:
        return f"{BUCKETS}/{names['bucket']}/o/{quote(names['name'], safe='')}"


def content_of(inputs: Props) -> bytes:
    match inputs.get("source", inputs.get("content")):
        case Asset(path=path) if path:
            return Path(path).read_bytes()
        case Asset(text=text) if text:
            return text.encode()
        case str() as text:
            return text.encode()
    raise ProviderError("an object's source is a FileAsset or a StringAsset that is not empty")


def overwritten(outputs: Props) -> bool:
    """Whether a refresh found another content than was uploaded."""
    return outputs.get("md5hash") != outputs.get("detectMd5hash")


def sniff(content: bytes) -> str:
    """The content type that Go's net/http detects, for the kinds of file a stack uploads."""
    head = content[:512]
    for magic, kind in SIGNATURES:
        if head.startswith(magic):
            return kind
    binary = any(byte < 9 or 14 <= byte < 27 or 28 <= byte < 32 or byte == 11 for byte in head)
    return "application/octet-stream" if binary else "text/plain; charset=utf-8"
