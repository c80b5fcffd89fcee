"""Objects: reading, listing, changing, deleting and copying."""

from __future__ import annotations

import base64
import re
from typing import Any

from simulator.api.calls import Call, Methods, Reply, Result
from simulator.api.pages import page
from simulator.api.patching import merge
from simulator.services.storage import contexts, encryption, retention
from simulator.services.storage.model import (
    Blob,
    bad_request,
    check_conditions,
    moment,
    object_resource,
    touch,
)
from simulator.services.storage.retention import shown
from simulator.services.storage.state import Storage, on_bucket
from simulator.services.storage.uploads import DESCRIPTIVE, described, store

method = Methods()

MOST = 1000
MEBIBYTE = 1_048_576
BYTE_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
# What a whole update keeps of an object although it is not given.
KEPT = ("contentType", "customTime", "storageClass")
IF = "ifGenerationMatch ifGenerationNotMatch ifMetagenerationMatch ifMetagenerationNotMatch"
IF_SOURCE = (
    "ifSourceGenerationMatch ifSourceGenerationNotMatch ifSourceMetagenerationMatch "
    "ifSourceMetagenerationNotMatch"
)


def _on_object(call: Call) -> str:
    on_bucket(call)
    return object_resource(call.params["bucket"], call.params["object"])


def _on_source(call: Call) -> str:
    bucket, name = call.params["sourceBucket"], call.params["sourceObject"]
    call.cloud[Storage].bucket(bucket)
    return object_resource(bucket, name)


@method(
    "storage.objects.get",
    permission="storage.objects.get",
    on=_on_object,
    reads=f"generation {IF}",
)
def get_object(call: Call) -> Result:
    bucket = call.cloud[Storage].bucket(call.params["bucket"])
    blob = bucket.find(call.params["object"], call.params.get("generation"))
    check_conditions(call.params, blob.info)
    if call.params.get("alt") != "media" and "/download/" not in call.path:
        return shown(bucket, blob)
    encryption.check_opens(call.cloud, bucket, blob)
    info, data = blob.info, blob.data
    kind = info.get("contentType", "application/octet-stream")
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
        return Reply(data, headers=headers, content_type=kind)
    first = int(asked[1]) if asked[1] else max(0, len(data) - int(asked[2]))
    last = min(int(asked[2]), len(data) - 1) if asked[1] and asked[2] else len(data) - 1
    if first > last:
        headers["Content-Range"] = f"bytes */{len(data)}"
        return Reply(b"", 416, headers, kind)
    headers["Content-Range"] = f"bytes {first}-{last}/{len(data)}"
    return Reply(data[first : last + 1], 206, headers, kind)


@method(
    "storage.objects.list",
    permission="storage.objects.list",
    on=on_bucket,
    reads=(
        "delimiter endOffset includeFoldersAsPrefixes includeTrailingDelimiter maxResults "
        "pageToken prefix startOffset versions"
    ),
)
def list_objects(call: Call) -> Result:
    """Buckets have no folders of their own here, which `includeFoldersAsPrefixes` would add."""
    params = call.params
    bucket = call.cloud[Storage].bucket(params["bucket"])
    prefix, delimiter = params.get("prefix", ""), params.get("delimiter", "")
    start, end = params.get("startOffset", ""), params.get("endOffset")
    entries: dict[str, dict[str, Any] | str] = {}
    for name in sorted(bucket.objects):
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
                entries[f"{name}\0{int(blob.info['generation']):020}"] = shown(bucket, blob)
    found, token = page(
        sorted(entries.items(), key=lambda entry: entry[0]),
        params.get("pageToken"),
        min(params.get("maxResults", MOST), MOST),
    )
    answer: dict[str, Any] = {"kind": "storage#objects"}
    if prefixes := [entry for entry in found if isinstance(entry, str)]:
        answer["prefixes"] = prefixes
    if items := [entry for entry in found if not isinstance(entry, str)]:
        answer["items"] = items
    return {**answer, "nextPageToken": token} if token else answer


@method(
    "storage.objects.patch",
    "storage.objects.update",
    permission="storage.objects.update",
    on=_on_object,
    reads=f"generation overrideUnlockedRetention {IF}",
)
def change_object(call: Call) -> Result:
    """A whole update drops what it does not give, but for `KEPT`."""
    bucket, whole = call.cloud[Storage].bucket(call.params["bucket"]), call.verb == "PUT"
    blob = bucket.find(call.params["object"], call.params.get("generation"))
    info, given = blob.info, described(dict(call.body))
    check_conditions(call.params, info)
    _check_custom_time(info, given)
    if whole:
        given = {**dict.fromkeys((*retention.FIELDS, "contexts")), **given}
    if "contexts" in given:
        before, wanted = info.get("contexts"), given["contexts"]
        given["contexts"] = contexts.changed(call, call.resource, before, wanted, whole=whole)
    retention.change(call, bucket, blob, given)
    replaced = {"contexts"} & given.keys() | (set(DESCRIPTIVE) - set(KEPT) if whole else set())
    for key in replaced:
        info.pop(key, None)
    merge(info, {key: given[key] for key in (*DESCRIPTIVE, "contexts") if key in given})
    touch(info, call.cloud.clock.rfc3339())
    return shown(bucket, blob)


def _check_custom_time(info: dict[str, Any], given: dict[str, Any]) -> None:
    """It cannot be taken away or set back (docs storage/docs/metadata); the words are ours."""
    if "customTime" not in info or "customTime" not in given:
        return
    before, after = info["customTime"], given["customTime"]
    if not after or moment("customTime", after) < moment("customTime", before):
        raise bad_request("The custom time of an object cannot be removed or set back.")


@method(
    "storage.objects.delete",
    permission="storage.objects.delete",
    on=_on_object,
    reads=f"generation {IF}",
)
def delete_object(call: Call) -> Result:
    """Without a generation, the live one becomes noncurrent in a bucket that keeps versions."""
    bucket = call.cloud[Storage].bucket(call.params["bucket"])
    name, generation = call.params["object"], call.params.get("generation")
    blob = bucket.find(name, generation)
    check_conditions(call.params, blob.info)
    for_good = generation is not None or not bucket.versioned
    retention.check_removable(call, bucket, blob, for_good=for_good)
    bucket.remove(name, blob, call.cloud.clock.rfc3339(), for_good=for_good)
    return Reply(status=204)


def _copy(call: Call) -> dict[str, Any]:
    """A copy takes over what describes its source, and its contexts, but no hold or retention."""
    params, storage = call.params, call.cloud[Storage]
    source = _source(call)
    bucket, name = storage.bucket(params["destinationBucket"]), params["destinationObject"]
    call.check("storage.objects.create", object_resource(bucket.name, name))
    dropped = "custom" in params.get("dropContextGroups", ())
    kept = [*DESCRIPTIVE, *([] if dropped else ["contexts"])]
    said = {key: source.info[key] for key in kept if key in source.info} | call.body
    return shown(bucket, store(call, bucket, name, source.data, said))


def _source(call: Call) -> Blob:
    bucket = call.cloud[Storage].bucket(call.params["sourceBucket"])
    source = bucket.find(call.params["sourceObject"], call.params.get("sourceGeneration"))
    check_conditions(call.params, source.info, prefix="ifSource")
    encryption.check_opens(call.cloud, bucket, source)
    return source


@method(
    "storage.objects.copy",
    permission="storage.objects.get",
    on=_on_source,
    reads=f"destinationKmsKeyName sourceGeneration {IF} {IF_SOURCE}",
)
def copy_object(call: Call) -> Result:
    return _copy(call)


@method(
    "storage.objects.rewrite",
    permission="storage.objects.get",
    on=_on_source,
    reads=(
        "destinationKmsKeyName dropContextGroups maxBytesRewrittenPerCall rewriteToken "
        f"sourceGeneration {IF} {IF_SOURCE}"
    ),
)
def rewrite_object(call: Call) -> Result:
    """In one call, or in steps when the caller limits them and the copy goes somewhere else."""
    size = len((source := _source(call)).data)
    done = _rewritten(call, source)
    answer = {"kind": "storage#rewriteResponse", "objectSize": str(size)}
    if done < size:
        token = f"{source.info['generation']}/{call.params['maxBytesRewrittenPerCall']}/{done}"
        token = base64.urlsafe_b64encode(token.encode()).decode()
        return {**answer, "totalBytesRewritten": str(done), "done": False, "rewriteToken": token}
    return {**answer, "totalBytesRewritten": str(size), "done": True, "resource": _copy(call)}


def _rewritten(call: Call, source: Blob) -> int:
    """How many bytes have been copied after this call. The limit is the same in every step."""
    params, storage = call.params, call.cloud[Storage]
    bucket = storage.bucket(params["destinationBucket"])
    place = storage.bucket(params["sourceBucket"]).info["location"], source.info["storageClass"]
    to = bucket.info["location"], call.body.get("storageClass", bucket.info["storageClass"])
    limit = params.get("maxBytesRewrittenPerCall")
    if limit is None or place == to:
        return len(source.data)
    if int(limit) <= 0 or int(limit) % MEBIBYTE:
        raise bad_request("maxBytesRewrittenPerCall must be an integral multiple of 1 MiB.")
    before = 0
    if token := params.get("rewriteToken"):
        try:
            *of, reached = base64.urlsafe_b64decode(token).decode().split("/")
        except ValueError:
            of, reached = [], ""
        if of != [source.info["generation"], limit]:
            raise bad_request("Invalid rewriteToken.")
        before = int(reached)
    return min(before + int(limit), len(source.data))
