"""Buckets and who may use them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from simulator.api.calls import Call, Methods, Reply, Result
from simulator.api.errors import ApiError, not_found
from simulator.api.pages import page
from simulator.core.platform import Containers
from simulator.iam.decisions import Iam
from simulator.services.orgpolicy.state import PRIVATE, OrgPolicies
from simulator.services.storage import encryption, settings
from simulator.services.storage.model import (
    SITE,
    Bucket,
    bad_request,
    check_conditions,
    etag,
    object_resource,
    precondition_failed,
    touch,
)
from simulator.services.storage.state import Storage, on_bucket

method = Methods()

BUCKET_NAME = re.compile(r"(?!goog)[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]")
IF = "ifMetagenerationMatch ifMetagenerationNotMatch"
# Every new bucket grants these to the holders of its project's basic roles.
DEFAULT_BINDINGS = (
    ("roles/storage.legacyBucketOwner", ("projectOwner", "projectEditor")),
    ("roles/storage.legacyBucketReader", ("projectViewer",)),
    ("roles/storage.legacyObjectOwner", ("projectOwner", "projectEditor")),
    ("roles/storage.legacyObjectReader", ("projectViewer",)),
)
PUBLIC = {"allUsers", "allAuthenticatedUsers"}


def _on_project(call: Call) -> str:
    return f"projects/{call.cloud[Containers].id(call.params['project'])}"


def _uniform(info: dict[str, Any]) -> bool:
    return bool(info["iamConfiguration"]["uniformBucketLevelAccess"].get("enabled"))


def _check_key(call: Call, project: str, info: dict[str, Any]) -> None:
    if key := info.get("encryption", {}).get("defaultKmsKeyName"):
        encryption.usable(call.cloud, project, info["location"], key)


def _note_soft_delete(bucket: Bucket) -> None:
    """A deleted bucket is kept for the longest that it ever had (kmoneil/zig-gcp, measured)."""
    seconds = int(bucket.info["softDeletePolicy"]["retentionDurationSeconds"])
    bucket.soft_delete = max(bucket.soft_delete, seconds)


@method(
    "storage.buckets.insert",
    permission="storage.buckets.create",
    on=_on_project,
    reads="enableObjectRetention project",
)
def insert_bucket(call: Call) -> Result:
    storage, name = call.cloud[Storage], call.body.get("name", "")
    project = call.resource.removeprefix("projects/")
    if not BUCKET_NAME.fullmatch(name):
        raise bad_request(f"Invalid bucket name: '{name}'")
    if existing := storage.buckets.get(name):
        mine = "Your previous request to create the named bucket succeeded and you already own it."
        taken = (
            "The requested bucket name is not available. The bucket namespace is shared by all "
            "users of the system. Please select a different name and try again."
        )
        message = mine if existing.project == project else taken
        raise ApiError(409, "ALREADY_EXISTS", message, legacy="conflict")
    now = call.cloud.clock.rfc3339()
    info = {
        "kind": "storage#bucket",
        "id": name,
        "name": name,
        "selfLink": f"{SITE}/b/{name}",
        "projectNumber": call.cloud[Containers].number(project),
        "generation": str(storage.generation()),
        "metageneration": "1",
        "timeCreated": now,
        "updated": now,
        **settings.placed(call.body),
    }
    if call.params.get("enableObjectRetention"):
        call.check("storage.buckets.enableObjectRetention", call.resource)
        info["objectRetention"] = {"mode": "Enabled"}
    info = settings.changed(info, call.body, now, whole=False)
    _check_key(call, project, info)
    call.cloud[OrgPolicies].check_bucket(call.resource, _uniform(info))
    info["etag"] = etag(info)
    bucket = storage.buckets[name] = Bucket(name, project, info, call.cloud.clock.now())
    _note_soft_delete(bucket)
    iam = call.cloud[Iam]
    iam.set_parent(bucket.resource, call.resource)
    for role, kinds in DEFAULT_BINDINGS:
        for kind in kinds:
            iam.grant(bucket.resource, role, f"{kind}:{project}")
    return info


def _soft_deleted(call: Call) -> Bucket | None:
    wanted = (call.params["bucket"], str(call.params.get("generation")))
    for bucket in call.cloud[Storage].soft_deleted:
        if (bucket.name, bucket.info["generation"]) == wanted and not _expired(call, bucket):
            return bucket
    return None


def _expired(call: Call, bucket: Bucket) -> bool:
    return bool(bucket.info["hardDeleteTime"] <= call.cloud.clock.rfc3339())


def _on_gettable_bucket(call: Call) -> str:
    """A soft-deleted bucket keeps no policy of its own: its project's decides."""
    if not call.params.get("softDeleted"):
        return on_bucket(call)
    bucket = _soft_deleted(call)
    if bucket is None:
        raise not_found("The specified bucket does not exist.")
    return f"projects/{bucket.project}"


@method(
    "storage.buckets.get",
    permission="storage.buckets.get",
    on=_on_gettable_bucket,
    reads=f"generation softDeleted {IF}",
)
def get_bucket(call: Call) -> Result:
    if call.params.get("softDeleted") and (bucket := _soft_deleted(call)):
        return bucket.info
    info = call.cloud[Storage].bucket(call.params["bucket"]).info
    check_conditions(call.params, info)
    return info


@method(
    "storage.buckets.list",
    permission="storage.buckets.list",
    on=_on_project,
    reads="maxResults pageToken prefix project returnPartialSuccess softDeleted",
)
def list_buckets(call: Call) -> Result:
    storage, params = call.cloud[Storage], call.params
    project = call.resource.removeprefix("projects/")
    candidates: Iterable[Bucket] = storage.buckets.values()
    if params.get("softDeleted"):
        candidates = [item for item in storage.soft_deleted if not _expired(call, item)]
    found = sorted(
        (f"{bucket.name}/{bucket.info['generation']}", bucket.info)
        for bucket in candidates
        if bucket.project == project and bucket.name.startswith(params.get("prefix", ""))
    )
    items, token = page(found, params.get("pageToken"), params.get("maxResults", 1000))
    answer: dict[str, Any] = {"kind": "storage#buckets"}
    if items:
        answer["items"] = items
    return {**answer, "nextPageToken": token} if token else answer


def _on_prefix(call: Call) -> str:
    """A prefix stands for its objects (that of a managed folder, at Google)."""
    bucket, prefix = on_bucket(call), call.params.get("prefix")
    return object_resource(call.params["bucket"], prefix) if prefix else bucket


@method(
    "storage.buckets.patch",
    "storage.buckets.update",
    permission="storage.buckets.update",
    on=on_bucket,
    reads=IF,
)
def change_bucket(call: Call) -> Result:
    bucket, now = call.cloud[Storage].bucket(call.params["bucket"]), call.cloud.clock.rfc3339()
    info = bucket.info
    check_conditions(call.params, info)
    new = settings.changed(info, call.body, now, whole=call.verb == "PUT")
    if new.get("encryption") != info.get("encryption"):
        _check_key(call, bucket.project, new)
    if "uniformBucketLevelAccess" in (call.body.get("iamConfiguration") or {}):
        call.cloud[OrgPolicies].check_bucket(call.resource, _uniform(new))
    info.clear()
    info |= new
    _note_soft_delete(bucket)
    touch(info, now)
    return info


# The permission: discovery document.
@method(
    "storage.buckets.getStorageLayout",
    permission="storage.objects.list",
    on=_on_prefix,
    reads="prefix",
)
def get_storage_layout(call: Call) -> Result:
    info = call.cloud[Storage].bucket(call.params["bucket"]).info
    keys = ("location", "locationType", "customPlacementConfig", "hierarchicalNamespace")
    layout = {key: info[key] for key in keys if key in info}
    return {"kind": "storage#storageLayout", "bucket": info["name"], **layout}


@method(
    "storage.buckets.lockRetentionPolicy",
    permission="storage.buckets.update",
    on=on_bucket,
    reads="ifMetagenerationMatch",
)
def lock_retention_policy(call: Call) -> Result:
    """Google also puts a lien on the project, so that it cannot be deleted; not simulated."""
    bucket = call.cloud[Storage].bucket(call.params["bucket"])
    policy = bucket.info.get("retentionPolicy")
    if policy is None or policy.get("isLocked"):
        raise bad_request(f"Bucket '{bucket.name}' does not have an unlocked retention policy.")
    check_conditions(call.params, bucket.info)
    policy["isLocked"] = True
    touch(bucket.info, call.cloud.clock.rfc3339())
    return bucket.info


@method("storage.buckets.delete", permission="storage.buckets.delete", on=on_bucket, reads=IF)
def delete_bucket(call: Call) -> Result:
    storage = call.cloud[Storage]
    bucket = storage.bucket(call.params["bucket"])
    check_conditions(call.params, bucket.info)
    if bucket.objects:
        message = "The bucket you tried to delete is not empty."
        raise ApiError(409, "FAILED_PRECONDITION", message, legacy="conflict")
    del storage.buckets[bucket.name]
    call.cloud[Iam].forget(bucket.resource)
    if bucket.soft_delete:
        clock = call.cloud.clock
        bucket.info["softDeleteTime"] = clock.rfc3339()
        bucket.info["hardDeleteTime"] = clock.rfc3339(clock.now() + bucket.soft_delete)
        storage.soft_deleted.append(bucket)
    return Reply(status=204)


def _policy(call: Call, policy: dict[str, Any]) -> Result:
    return {"kind": "storage#policy", "resourceId": call.resource, **policy}


@method(
    "storage.buckets.getIamPolicy",
    permission="storage.buckets.getIamPolicy",
    on=on_bucket,
    reads="optionsRequestedPolicyVersion",
)
def get_policy(call: Call) -> Result:
    version = call.params.get("optionsRequestedPolicyVersion", 1)
    return _policy(call, call.cloud[Iam].get_policy(call.resource, version))


@method("storage.buckets.setIamPolicy", permission="storage.buckets.setIamPolicy", on=on_bucket)
def set_policy(call: Call) -> Result:
    info = call.cloud[Storage].bucket(call.params["bucket"]).info
    bindings = call.body.get("bindings", ())
    members = {member for binding in bindings for member in binding.get("members", ())}
    prevented = info["iamConfiguration"]["publicAccessPrevention"] == "enforced"
    prevented = prevented or call.cloud[OrgPolicies].enforced(PRIVATE, call.resource)
    if prevented and members & PUBLIC:
        raise precondition_failed(
            "The member bindings allUsers and allAuthenticatedUsers are not allowed since public "
            "access prevention is enforced."
        )
    try:
        return _policy(call, call.cloud[Iam].set_policy(call.resource, call.body))
    except ApiError as error:
        # A stale etag is a failed precondition in this API, and these are 412.
        if error.reason == "ABORTED":
            error = precondition_failed()
        elif error.reason == "FAILED_PRECONDITION":
            error = precondition_failed(error.message)
        raise error from None


@method(
    "storage.buckets.testIamPermissions",
    # Google checks none: the answer is what the caller holds.
    permission=None,
    on=on_bucket,
    reads="permissions",
)
def test_permissions(call: Call) -> Result:
    held = call.cloud[Iam].test(call.principal, call.resource, call.params["permissions"])
    answer: dict[str, Any] = {"kind": "storage#testIamPermissionsResponse"}
    return {**answer, "permissions": held} if held else answer


@method(
    "storage.anywhereCaches.list",
    permission="storage.anywhereCaches.list",
    on=on_bucket,
    reads="pageSize pageToken",
)
def list_caches(call: Call) -> Result:
    """There are none; the official provider asks before it empties a bucket."""
    return {"kind": "storage#anywhereCaches"}


@method(
    "storage.managedFolders.list",
    permission="storage.managedFolders.list",
    on=on_bucket,
    reads="pageSize pageToken prefix",
)
def list_managed_folders(call: Call) -> Result:
    """There are none; gcloud asks before it deletes a bucket."""
    return {"kind": "storage#managedFolders"}


def _on_agents_project(call: Call) -> str:
    return f"projects/{call.cloud[Containers].id(call.params['projectId'])}"


# The permission: docs storage/access-control/iam-json.
@method(
    "storage.projects.serviceAccount.get",
    permission="resourcemanager.projects.get",
    on=_on_agents_project,
)
def get_service_account(call: Call) -> Result:
    """Who encrypts with the project's own keys and publishes notifications; always there."""
    agent = encryption.agent(call.cloud, call.resource.removeprefix("projects/"))
    return {"kind": "storage#serviceAccount", "email_address": agent.email}
