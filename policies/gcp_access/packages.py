"""Google Cloud by other packages than `gcp`: what their types and properties are called there.

`google` and `google-beta` are Terraform's providers bridged on the fly: a type is Terraform's name,
a property is spelled as in `gcp`. `google-native` has the names of Google's APIs.
"""

from __future__ import annotations

from typing import Any, Final

BRIDGED: Final = ("google", "google-beta")
NATIVE: Final = "google-native"
GOOGLES: Final = ("gcp", NATIVE, *BRIDGED)
"""Packages whose resources are Google Cloud's, and nothing but that."""

# What Terraform calls otherwise than `module` and `name` say.
_TERRAFORM: Final = {
    "gcp:cloudfunctionsv2/function": "cloudfunctions2function",
    "gcp:organizations/project": "project",
    "gcp:projects/apikey": "apikeyskey",
    "gcp:serviceaccount/account": "serviceaccount",
}
_SINGULAR: Final = {"projects": "project", "organizations": "organization"}
_PROVIDER: Final = "gcp:iam/workloadidentitypoolprovider:workloadidentitypoolprovider"
_NATIVE: Final = {
    "apikeys:key": "gcp:projects/apikey:apikey",
    "bigquery:dataset": "gcp:bigquery/dataset:dataset",
    "cloudresourcemanager:project": "gcp:organizations/project:project",
    "iam:key": "gcp:serviceaccount/key:key",
    "iam:organizationrole": "gcp:organizations/iamcustomrole:iamcustomrole",
    "iam:role": "gcp:projects/iamcustomrole:iamcustomrole",
    "iam:serviceaccount": "gcp:serviceaccount/account:account",
    "iam:provider": _PROVIDER,
    "iam:workloadidentitypoolprovider": _PROVIDER,
    "storage:bucket": "gcp:storage/bucket:bucket",
    "storage:hmackey": "gcp:storage/hmackey:hmackey",
}
_bridged: dict[str, str] = {}
"""Terraform's name without `google` and `_`, to the lower-case type of `gcp`."""


def named(token: str) -> str:
    """A type of `gcp` that rules look for; from now on it is known by Terraform's name as well."""
    kind = token.lower()
    path = kind.rpartition(":")[0]
    module, _, name = path.partition(":")[2].partition("/")
    _bridged[_TERRAFORM.get(path, _SINGULAR.get(module, module) + name)] = kind
    return token


def as_gcp(kind: str, props: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """A lower-case type and its properties as `gcp` has them, as far as rules need it."""
    package, _, rest = kind.partition(":")
    if package in BRIDGED:
        return _bridged.get(rest.rpartition(":")[2], kind), props
    if package != NATIVE:
        return kind, props
    name = f"{rest.partition('/')[0]}:{rest.rpartition(':')[2]}"
    return _NATIVE.get(name, kind), _native(name, props)


def _native(name: str, props: dict[str, Any]) -> dict[str, Any]:
    if name in ("iam:role", "iam:organizationrole"):
        organization = {"orgId": props["organizationId"]} if "organizationId" in props else {}
        return {**props, **organization, "permissions": props.get("includedPermissions", [])}
    if name == "storage:bucket" and isinstance(access := props.get("iamConfiguration", {}), dict):
        uniform = access.get("uniformBucketLevelAccess", {})
        return {
            **props,
            "publicAccessPrevention": access.get("publicAccessPrevention"),
            "uniformBucketLevelAccess": uniform.get("enabled")
            if isinstance(uniform, dict)
            else uniform,
        }
    return props
