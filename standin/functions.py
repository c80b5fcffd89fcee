"""Functions: what a program asks the provider without making anything."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from pulumi_plugin.kinds import ProviderError
from pulumi_plugin.values import Props
from standin.google import USERINFO, GoogleError
from standin.provider import Provider

PERMISSIONS: Final = "https://iam.googleapis.com/v1/permissions:queryTestablePermissions"


def project(provider: Provider, arguments: Props) -> Props:
    project = arguments.get("projectId") or provider.setting("project")
    manager = f"https://cloudresourcemanager.googleapis.com/v1/projects/{project}"
    billing = f"https://cloudbilling.googleapis.com/v1/projects/{project}/billingInfo"
    try:
        found = provider.google.call("GET", manager)
        account = provider.google.call("GET", billing).get("billingAccountName", "")
    except GoogleError as error:
        raise ProviderError(
            f'Error when reading or editing Project "{project}": {error}'
        ) from error
    parent = found.get("parent") or {}
    labels = found.get("labels") or {}
    return {
        "id": f"projects/{project}",
        "projectId": found["projectId"],
        "number": str(found["projectNumber"]),
        "name": found.get("name", ""),
        "orgId": parent.get("id", "") if parent.get("type") == "organization" else "",
        "folderId": parent.get("id", "") if parent.get("type") == "folder" else "",
        "billingAccount": account.rpartition("/")[2],
        "autoCreateNetwork": False,
        "deletionPolicy": "",
        "labels": labels,
        "effectiveLabels": labels,
        "pulumiLabels": labels,
        "tags": {},
    }


def testable_permissions(provider: Provider, arguments: Props) -> Props:
    """Permissions that can be held on a resource; by default those that a custom role may have."""
    resource = arguments["fullResourceName"]
    support = str(arguments.get("customSupportLevel") or "SUPPORTED").upper()
    stages = [str(stage).upper() for stage in arguments.get("stages") or ("GA",)]
    body: dict[str, Any] = {"fullResourceName": resource, "pageSize": 500}
    found: list[Props] = []
    while True:
        try:
            page = provider.google.call("POST", PERMISSIONS, None, body)
        except GoogleError as error:
            raise ProviderError(f"Error retrieving permissions: {error}") from error
        for item in page.get("permissions", []):
            # Google leaves out what is "supported".
            level = item.get("customRolesSupportLevel", "SUPPORTED")
            if level == support and item.get("stage") in stages:
                found.append(
                    {
                        "name": item["name"],
                        "title": item.get("title", ""),
                        "stage": item["stage"],
                        "apiDisabled": item.get("apiDisabled", False),
                        "customSupportLevel": level,
                    }
                )
        if not page.get("nextPageToken"):
            break
        body["pageToken"] = page["nextPageToken"]
    return {
        "id": resource,
        "fullResourceName": resource,
        "customSupportLevel": arguments.get("customSupportLevel"),
        "stages": arguments.get("stages"),
        "permissions": found,
    }


def user_info(provider: Provider, arguments: Props) -> Props:
    """Who the provider calls as."""
    try:
        email = provider.google.call("GET", USERINFO).get("email", "")
    except GoogleError as error:
        raise ProviderError(
            f"error retrieving userinfo for your provider credentials. {error}"
        ) from error
    return {"id": email, "email": email}


def storage_account(provider: Provider, arguments: Props) -> Props:
    """Cloud Storage's own service agent (services/storage/
    data_source_storage_project_service_account.go)."""
    project = arguments.get("project") or provider.setting("project")
    url = f"https://storage.googleapis.com/storage/v1/projects/{project}/serviceAccount"
    payer = arguments.get("userProject")
    try:
        found = provider.google.call("GET", url, {"userProject": payer} if payer else None)
    except GoogleError as error:
        raise ProviderError(
            f"Error when reading or editing GCS service account not found: {error}"
        ) from error
    email = found["email_address"]
    return {
        "id": email,
        "emailAddress": email,
        "member": f"serviceAccount:{email}",
        "project": project,
        "userProject": payer,
    }


FUNCTIONS: Final[Mapping[str, Callable[[Provider, Props], Props]]] = {
    "gcp:organizations/getProject:getProject": project,
    "gcp:iam/getTestablePermissions:getTestablePermissions": testable_permissions,
    "gcp:organizations/getClientOpenIdUserInfo:getClientOpenIdUserInfo": user_info,
    "gcp:storage/getProjectServiceAccount:getProjectServiceAccount": storage_account,
}
