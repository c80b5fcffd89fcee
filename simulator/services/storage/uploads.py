"""New objects: simple, multipart and resumable uploads, and what Google fills in."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from email.message import Message
from typing import Any
from urllib.parse import quote

import google_crc32c

from simulator.api.calls import Call, Methods, Reply, Result
from simulator.api.errors import ApiError
from simulator.services.storage import contexts, encryption, retention
from simulator.services.storage.model import (
    SITE,
    Blob,
    Bucket,
    Upload,
    bad_request,
    check_conditions,
    etag,
    moment,
    object_resource,
    storage_class,
)
from simulator.services.storage.retention import shown
from simulator.services.storage.state import Storage, on_bucket

method = Methods()

HOST = "https://storage.googleapis.com"
# What an uploader or a copier may say about an object, and a copy takes over; holds, retention and
# contexts have rules of their own, and Google computes the rest.
DESCRIPTIVE = (
    "cacheControl",
    "contentDisposition",
    "contentEncoding",
    "contentLanguage",
    "contentType",
    "customTime",
    "metadata",
    "storageClass",
)
# Parameters that name an object's key, of an upload and of a copy.
KEYS = ("kmsKeyName", "destinationKmsKeyName")
QUOTE = "'"
CONTENT_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)")


def store(call: Call, bucket: Bucket, name: str, data: bytes, said: dict[str, Any]) -> Blob:
    """Put a new generation in place; overwriting also takes storage.objects.delete."""
    current, where = bucket.live(name), object_resource(bucket.name, name)
    check_conditions(call.params, current.info if current else None)
    if current:
        call.check("storage.objects.delete", where)
        retention.check_removable(call, bucket, current, for_good=not bucket.versioned)
    storage, clock = call.cloud[Storage], call.cloud.clock
    now, generation, path = clock.rfc3339(), str(storage.generation()), quote(name, safe="")
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
    info |= described({key: said[key] for key in DESCRIPTIVE if said.get(key)})
    info |= retention.for_new_object(call, bucket, said, where)
    if new := contexts.changed(call, where, None, said.get("contexts"), whole=True):
        info["contexts"] = new
    key = next((call.params[name] for name in KEYS if name in call.params), said.get("kmsKeyName"))
    if version := encryption.sealed_with(call.cloud, bucket, key):
        info["kmsKeyName"] = version
    info["etag"] = etag(info)
    if current:
        bucket.remove(name, current, now, for_good=False)
    blob = Blob(data, info, clock.now())
    bucket.objects.setdefault(name, []).append(blob)
    return blob


def described(given: dict[str, Any]) -> dict[str, Any]:
    """What is said about an object, once it is known to be right."""
    if given.get("customTime"):
        moment("customTime", given["customTime"])
    if given.get("storageClass"):
        given["storageClass"] = storage_class(given["storageClass"])
    return given


def _multipart(call: Call) -> tuple[bytes, str, bytes]:
    """multipart/related: the object's metadata, then its content type and data.

    Lines end as the first one does: gcloud sends bare line feeds, where RFC 2046 asks for CR LF,
    and its boundary in the quotes of Python. A part may have no headers (RFC 2046, 5.1).
    """
    header = Message()
    header["Content-Type"] = call.media_type
    delimiter = f"--{str(header.get_param('boundary')).strip(QUOTE)}".encode()
    start = call.media.find(delimiter) + len(delimiter)
    end_of_line = b"\r\n" if call.media[start : start + 2] == b"\r\n" else b"\n"
    parts = (end_of_line + call.media).split(end_of_line + delimiter)
    if len(parts) < 4:
        raise bad_request("Malformed multipart body.")
    (_, metadata), (content_type, data) = (_part(part, end_of_line) for part in parts[1:3])
    return metadata, content_type, data


def _part(part: bytes, end_of_line: bytes) -> tuple[str, bytes]:
    """The content type and the data of what follows a delimiter: headers, an empty line, data."""
    head, _, data = part.partition(end_of_line * 2)
    found = re.search(rb"(?im)^content-type:\s*(.+?)\s*$", head)
    return (found[1].decode() if found else ""), data


def _read(call: Call) -> None:
    """Take an upload's first request apart: metadata to `call.body`, data to `call.media`.

    So the metadata is held to the document like any other body.
    """
    kind = call.params.get("uploadType")
    metadata, content_type, data = b"", call.media_type, call.media
    if kind == "multipart":
        metadata, content_type, data = _multipart(call)
    elif kind == "resumable":
        metadata, data = call.media, b""
        content_type = call.headers.get("x-upload-content-type", "")
    try:
        body = json.loads(metadata or b"{}")
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise bad_request("Parse Error")
    body["name"] = call.params.get("name") or body.get("name", "")
    if encoding := call.params.get("contentEncoding"):
        body["contentEncoding"] = encoding
    if content_type:
        body.setdefault("contentType", content_type)
    if not body["name"]:
        raise bad_request("Required object name missing")
    call.body, call.media = body, data


def _upload(call: Call) -> Upload | None:
    """The upload that a later request of a resumable one continues."""
    upload_id = call.params.get("upload_id")
    if upload_id is None:
        return None
    if upload_id not in call.cloud[Storage].uploads:
        raise ApiError(404, "NOT_FOUND", "Invalid request. The upload session is not found.")
    return call.cloud[Storage].uploads[upload_id]


def _on_upload(call: Call) -> str:
    on_bucket(call)
    if upload := _upload(call):
        return object_resource(call.params["bucket"], upload.metadata["name"])
    _read(call)
    return object_resource(call.params["bucket"], call.body["name"])


@method(
    "storage.objects.insert",
    permission="storage.objects.create",
    on=_on_upload,
    reads=(
        "contentEncoding name ifGenerationMatch ifGenerationNotMatch ifMetagenerationMatch "
        "ifMetagenerationNotMatch kmsKeyName"
    ),
)
def insert_object(call: Call) -> Result:
    storage = call.cloud[Storage]
    if upload := _upload(call):
        return _continue(call, upload)
    bucket = storage.bucket(call.params["bucket"])
    if call.params.get("uploadType") != "resumable":
        return shown(bucket, store(call, bucket, call.body["name"], call.media, call.body))
    current = bucket.live(call.body["name"])
    check_conditions(call.params, current.info if current else None)
    upload_id = call.cloud.unique_id()
    storage.uploads[upload_id] = Upload(bucket.name, call.body, dict(call.params))
    path = f"/upload/storage/v1/b/{bucket.name}/o?uploadType=resumable&upload_id={upload_id}"
    headers = {"Location": HOST + path, "X-GUploader-UploadID": upload_id}
    return Reply(headers=headers)


def _continue(call: Call, upload: Upload) -> Result:
    """A chunk, a question how much has arrived, or a cancellation."""
    storage, upload_id = call.cloud[Storage], call.params["upload_id"]
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
    blob = store(call, bucket, said["name"], bytes(upload.data), said)
    del storage.uploads[upload_id]
    return shown(bucket, blob)


def _hashes(header: str) -> dict[str, str]:
    """`X-Goog-Hash: crc32c=…,md5=…` as the object's fields."""
    fields = {"crc32c": "crc32c", "md5": "md5Hash"}
    pairs = (part.strip().partition("=") for part in header.split(","))
    return {fields[name]: value for name, _, value in pairs if name in fields}
