"""Objects: uploads, downloads, versions and copies."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from email.message import Message
from typing import Any
from urllib.parse import quote

import google_crc32c

from rehearsal.cloud.api import ApiError, Call, Reply, Result, method, not_found, unimplemented
from rehearsal.cloud.services.paging import page
from rehearsal.cloud.services.patching import merge
from rehearsal.cloud.services.storage.state import (
    SITE,
    Blob,
    Bucket,
    Upload,
    bad_request,
    check_conditions,
    etag,
    on_bucket,
    touch,
)

HOST = "https://storage.googleapis.com"
# What an uploader or a copier may say about an object; Google computes the rest.
WRITABLE = [
    "cacheControl",
    "contentDisposition",
    "contentEncoding",
    "contentLanguage",
    "contentType",
    "customTime",
    "eventBasedHold",
    "metadata",
    "storageClass",
    "temporaryHold",
]
UNSUPPORTED_FILTERS = ("matchGlob", "filter", "softDeleted", "includeFoldersAsPrefixes")
CONTENT_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)")
BYTE_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


def _resource(bucket: str, name: str) -> str:
    return f"projects/_/buckets/{bucket}/objects/{name}"


def _on_object(call: Call) -> str:
    on_bucket(call)
    return _resource(call.params["bucket"], call.params["object"])


def _on_source(call: Call) -> str:
    bucket, name = call.params["sourceBucket"], call.params["sourceObject"]
    call.cloud.storage.bucket(bucket)
    return _resource(bucket, name)


def _find(bucket: Bucket, name: str, generation: int | str | None) -> Blob:
    """The live object, or the given generation of it."""
    blob = bucket.live(name)
    if generation is not None:
        blobs = bucket.objects.get(name, ())
        blob = next((item for item in blobs if item.info["generation"] == str(generation)), None)
    if blob is None:
        raise not_found(f"No such object: {bucket.name}/{name}")
    return blob


def _store(call: Call, bucket: Bucket, name: str, data: bytes, said: dict[str, Any]) -> Blob:
    """Put a new generation in place; overwriting also takes storage.objects.delete."""
    current = bucket.live(name)
    check_conditions(call.params, current.info if current else None)
    if current:
        call.check("storage.objects.delete", _resource(bucket.name, name))
    storage, now = call.cloud.storage, call.cloud.clock.rfc3339()
    generation = str(storage.generation())
    path = quote(name, safe="")
    info: dict[str, Any] = {
        "kind": "storage#object",
        "id": f"{bucket.name}/{name}/{generation}",
        "selfLink": f"{SITE}/b/{bucket.name}/o/{path}",
        "mediaLink": (
            f"{HOST}/download/storage/v1/b/{bucket.name}/o/{path}?generation={generation}&alt=media"
        ),
        "name": name,
        "bucket": bucket.name,
        "generation": generation,
        "metageneration": "1",
        "contentType": "application/octet-stream",
        "storageClass": bucket.info["storageClass"],
        "size": str(len(data)),
        "md5Hash": base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode(),
        "crc32c": base64.b64encode(google_crc32c.value(data).to_bytes(4, "big")).decode(),
        "timeCreated": now,
        "updated": now,
        "timeStorageClassUpdated": now,
        "timeFinalized": now,
    }
    for field, title in (("md5Hash", "MD5 hash"), ("crc32c", "CRC32C")):
        if said.get(field, info[field]) != info[field]:
            raise bad_request(
                f'Provided {title} "{said[field]}" doesn\'t match calculated {title} '
                f'"{info[field]}".'
            )
    info |= {key: said[key] for key in WRITABLE if said.get(key)}
    info["etag"] = etag(info)
    _retire(bucket, name, now)
    blob = Blob(data, info)
    bucket.objects.setdefault(name, []).append(blob)
    return blob


def _retire(bucket: Bucket, name: str, now: str) -> None:
    """The live generation becomes noncurrent, or goes, by the bucket's versioning."""
    if current := bucket.live(name):
        current.info["timeDeleted"] = now
        if not bucket.versioned:
            _drop(bucket, name, current)


def _drop(bucket: Bucket, name: str, blob: Blob) -> None:
    bucket.objects[name].remove(blob)
    if not bucket.objects[name]:
        del bucket.objects[name]


# Uploads


def _multipart(call: Call) -> tuple[dict[str, Any], str, bytes]:
    """multipart/related: the object's metadata, then its content type and data."""
    header = Message()
    header["Content-Type"] = call.media_type
    boundary = header.get_param("boundary")
    parts = (b"\r\n" + call.media).split(f"\r\n--{boundary}".encode())
    if len(parts) < 4:
        raise bad_request("Malformed multipart body.")
    (_, metadata), (content_type, data) = map(_part, parts[1:3])
    return json.loads(metadata or b"{}"), content_type, data


def _part(part: bytes) -> tuple[str, bytes]:
    head, _, body = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
    found = re.search(rb"(?im)^content-type:\s*(.+?)\s*$", head)
    return (found.group(1).decode() if found else ""), body


def _received(call: Call) -> tuple[dict[str, Any], str, bytes]:
    """Metadata (name and content type included) and data of an upload's first request."""
    kind = call.params.get("uploadType")
    metadata: dict[str, Any]
    if kind == "multipart":
        metadata, content_type, data = _multipart(call)
    elif kind == "resumable":
        metadata = json.loads(call.media) if call.media else dict(call.body)
        content_type, data = call.headers.get("x-upload-content-type", ""), b""
    else:
        metadata, content_type, data = {}, call.media_type, call.media
    metadata["name"] = call.params.get("name") or metadata.get("name", "")
    if content_type:
        metadata.setdefault("contentType", content_type)
    if not metadata["name"]:
        raise bad_request("Required object name missing")
    return metadata, kind or "", data


def _upload(call: Call) -> Upload | None:
    """The upload that a later request of a resumable one continues."""
    upload_id = call.params.get("upload_id")
    if upload_id is None:
        return None
    if upload_id not in call.cloud.storage.uploads:
        raise ApiError(404, "NOT_FOUND", "Invalid request. The upload session is not found.")
    return call.cloud.storage.uploads[upload_id]


def _on_upload(call: Call) -> str:
    on_bucket(call)
    upload = _upload(call)
    name = upload.metadata["name"] if upload else _received(call)[0]["name"]
    return _resource(call.params["bucket"], name)


@method("storage.objects.insert", permission="storage.objects.create", on=_on_upload)
def insert_object(call: Call) -> Result:
    storage = call.cloud.storage
    if upload := _upload(call):
        return _continue(call, upload)
    bucket = storage.bucket(call.params["bucket"])
    metadata, kind, data = _received(call)
    if kind != "resumable":
        return _store(call, bucket, metadata["name"], data, metadata).info
    current = bucket.live(metadata["name"])
    check_conditions(call.params, current.info if current else None)
    upload_id = call.cloud.unique_id()
    storage.uploads[upload_id] = Upload(bucket.name, metadata, dict(call.params))
    path = f"/upload/storage/v1/b/{bucket.name}/o?uploadType=resumable&upload_id={upload_id}"
    headers = {"Location": HOST + path, "X-GUploader-UploadID": upload_id}
    return Reply(headers=headers)


def _continue(call: Call, upload: Upload) -> Result:
    """A chunk, a question how much has arrived, or a cancellation."""
    storage, upload_id = call.cloud.storage, call.params["upload_id"]
    if call.verb == "DELETE":
        del storage.uploads[upload_id]
        return Reply(status=499)
    total = "*"
    if given := call.headers.get("content-range"):
        found = CONTENT_RANGE.fullmatch(given)
        if found is None or (found[1] and int(found[1]) != len(upload.data)):
            raise bad_request("Failed to parse Content-Range header.")
        total = found[3]
    else:
        total = str(len(upload.data) + len(call.media))
    upload.data += call.media
    if total == "*" or len(upload.data) < int(total):
        arrived = {"Range": f"bytes=0-{len(upload.data) - 1}"} if upload.data else {}
        return Reply(status=308, headers=arrived)
    said = upload.metadata | _hashes(call.headers.get("x-goog-hash", ""))
    call.params = upload.params
    bucket = storage.bucket(upload.bucket)
    blob = _store(call, bucket, said["name"], bytes(upload.data), said)
    del storage.uploads[upload_id]
    return blob.info


def _hashes(header: str) -> dict[str, str]:
    """`X-Goog-Hash: crc32c=…,md5=…` as the object's fields."""
    fields = {"crc32c": "crc32c", "md5": "md5Hash"}
    pairs = (part.strip().partition("=") for part in header.split(","))
    return {fields[name]: value for name, _, value in pairs if name in fields}


# Reading


@method("storage.objects.get", permission="storage.objects.get", on=_on_object)
def get_object(call: Call) -> Result:
    bucket = call.cloud.storage.bucket(call.params["bucket"])
    blob = _find(bucket, call.params["object"], call.params.get("generation"))
    check_conditions(call.params, blob.info)
    if call.params.get("alt") != "media" and "/download/" not in call.path:
        return blob.info
    info, data = blob.info, blob.data
    headers = {
        "X-Goog-Hash": f"crc32c={info['crc32c']},md5={info['md5Hash']}",
        "X-Goog-Generation": info["generation"],
        "X-Goog-Metageneration": info["metageneration"],
        "X-Goog-Storage-Class": info["storageClass"],
        "X-Goog-Stored-Content-Length": info["size"],
        "X-Goog-Stored-Content-Encoding": info.get("contentEncoding", "identity"),
        "ETag": info["etag"],
        "Accept-Ranges": "bytes",
    }
    asked = BYTE_RANGE.fullmatch(call.headers.get("range", ""))
    if not asked or asked[0] == "bytes=-":
        return Reply(data, headers=headers, content_type=info["contentType"])
    first = int(asked[1]) if asked[1] else max(0, len(data) - int(asked[2]))
    last = min(int(asked[2]), len(data) - 1) if asked[1] and asked[2] else len(data) - 1
    if first > last:
        headers["Content-Range"] = f"bytes */{len(data)}"
        return Reply(b"", 416, headers, info["contentType"])
    headers["Content-Range"] = f"bytes {first}-{last}/{len(data)}"
    return Reply(data[first : last + 1], 206, headers, info["contentType"])


@method("storage.objects.list", permission="storage.objects.list", on=on_bucket)
def list_objects(call: Call) -> Result:
    params = call.params
    for name in UNSUPPORTED_FILTERS:
        if params.get(name):
            raise unimplemented(f"{call.method.id} with {name}")
    bucket = call.cloud.storage.bucket(params["bucket"])
    prefix, delimiter = params.get("prefix", ""), params.get("delimiter", "")
    entries: dict[str, dict[str, Any] | str] = {}
    for name in sorted(bucket.objects):
        start, end = params.get("startOffset", ""), params.get("endOffset")
        if not name.startswith(prefix) or name < start or (end and name >= end):
            continue
        rest = name.removeprefix(prefix)
        if delimiter and delimiter in rest:
            folder = prefix + rest[: rest.index(delimiter) + len(delimiter)]
            if params.get("versions") or bucket.live(name):
                entries[folder] = folder
            if not (params.get("includeTrailingDelimiter") and name == folder):
                continue
        for blob in bucket.objects[name]:
            if params.get("versions") or "timeDeleted" not in blob.info:
                entries[f"{name}\0{int(blob.info['generation']):020}"] = blob.info
    found, token = page(
        sorted(entries.items(), key=lambda entry: entry[0]),
        params.get("pageToken"),
        params.get("maxResults", 1000),
    )
    answer: dict[str, Any] = {"kind": "storage#objects"}
    if prefixes := [entry for entry in found if isinstance(entry, str)]:
        answer["prefixes"] = prefixes
    if items := [entry for entry in found if not isinstance(entry, str)]:
        answer["items"] = items
    return {**answer, "nextPageToken": token} if token else answer


# Changing


@method(
    "storage.objects.patch",
    "storage.objects.update",
    permission="storage.objects.update",
    on=_on_object,
)
def change_object(call: Call) -> Result:
    bucket = call.cloud.storage.bucket(call.params["bucket"])
    info = _find(bucket, call.params["object"], call.params.get("generation")).info
    check_conditions(call.params, info)
    if call.method.id == "storage.objects.update":
        for key in set(WRITABLE) - {"storageClass", "contentType"}:
            info.pop(key, None)
    merge(info, {key: value for key, value in call.body.items() if key in WRITABLE})
    touch(info, call.cloud.clock.rfc3339())
    return info


@method("storage.objects.delete", permission="storage.objects.delete", on=_on_object)
def delete_object(call: Call) -> Result:
    bucket = call.cloud.storage.bucket(call.params["bucket"])
    name, generation = call.params["object"], call.params.get("generation")
    blob = _find(bucket, name, generation)
    check_conditions(call.params, blob.info)
    if generation is None:
        _retire(bucket, name, call.cloud.clock.rfc3339())
    else:
        _drop(bucket, name, blob)
    return Reply(status=204)


def _copy(call: Call) -> dict[str, Any]:
    params, storage = call.params, call.cloud.storage
    source = _find(
        storage.bucket(params["sourceBucket"]),
        params["sourceObject"],
        params.get("sourceGeneration"),
    )
    check_conditions(params, source.info, prefix="ifSource")
    bucket, name = storage.bucket(params["destinationBucket"]), params["destinationObject"]
    call.check("storage.objects.create", _resource(bucket.name, name))
    said = {key: source.info[key] for key in WRITABLE if key in source.info}
    said |= {key: value for key, value in call.body.items() if key in WRITABLE}
    return _store(call, bucket, name, source.data, said).info


@method("storage.objects.copy", permission="storage.objects.get", on=_on_source)
def copy_object(call: Call) -> Result:
    return _copy(call)


@method("storage.objects.rewrite", permission="storage.objects.get", on=_on_source)
def rewrite_object(call: Call) -> Result:
    info = _copy(call)
    return {
        "kind": "storage#rewriteResponse",
        "totalBytesRewritten": info["size"],
        "objectSize": info["size"],
        "done": True,
        "resource": info,
    }
