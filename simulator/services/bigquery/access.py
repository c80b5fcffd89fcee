"""A dataset's `access` list, which is its allow policy in an older notation."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from simulator.api.errors import invalid

DEFAULT_ACCESS: tuple[dict[str, Any], ...] = (
    {"role": "WRITER", "specialGroup": "projectWriters"},
    {"role": "OWNER", "specialGroup": "projectOwners"},
    {"role": "READER", "specialGroup": "projectReaders"},
)
LEGACY_ROLES = {
    "roles/bigquery.dataOwner": "OWNER",
    "roles/bigquery.dataEditor": "WRITER",
    "roles/bigquery.dataViewer": "READER",
}
ROLES = {legacy: role for role, legacy in LEGACY_ROLES.items()}
SPECIAL_GROUPS = {
    "projectOwners": "projectOwner",
    "projectWriters": "projectEditor",
    "projectReaders": "projectViewer",
}
# Access entries without a role: authorised views, routines and datasets. IAM knows nothing of them.
AUTHORISED = ("view", "routine", "dataset")


def binding_of(entry: dict[str, Any], project: str) -> tuple[str, str]:
    role = ROLES.get(entry.get("role", ""), entry.get("role", ""))
    if email := entry.get("userByEmail"):
        kind = "serviceAccount" if email.endswith("gserviceaccount.com") else "user"
        return role, f"{kind}:{email}"
    if group := entry.get("specialGroup"):
        return role, f"{SPECIAL_GROUPS[group]}:{project}" if group in SPECIAL_GROUPS else group
    for key, kind in (("groupByEmail", "group:"), ("domain", "domain:"), ("iamMember", "")):
        if key in entry:
            return role, kind + entry[key]
    raise invalid("An access entry needs exactly one entity.")


def owner(creator: str) -> dict[str, Any]:
    """The entry of who made the dataset; a federated identity has no address (inferred)."""
    key = "iamMember" if creator.startswith("principal:") else "userByEmail"
    return {"role": "OWNER", key: creator}


def is_authorised(entry: dict[str, Any]) -> bool:
    """Whether this grants access to what a view, routine or dataset reads, not to a member."""
    return any(entry.get(kind) for kind in AUTHORISED)


def authorised(access: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The entries that are no bindings, as they are kept."""
    kept = (*AUTHORISED, "role")
    return [
        {key: entry[key] for key in kept if key in entry}
        for entry in access
        if is_authorised(entry)
    ]


def entry_of(role: str, member: str, condition: dict[str, Any] | None) -> dict[str, Any]:
    kind, _, rest = member.partition(":")
    groups = {member_kind: group for group, member_kind in SPECIAL_GROUPS.items()}
    keys = {"group": "groupByEmail", "domain": "domain"}
    entry: dict[str, Any] = {"role": LEGACY_ROLES.get(role, role)}
    if kind in groups:
        entry["specialGroup"] = groups[kind]
    elif kind in ("user", "serviceAccount"):
        entry["userByEmail"] = rest
    elif member == "allAuthenticatedUsers":
        entry["specialGroup"] = member
    elif kind in keys:
        entry[keys[kind]] = rest
    else:
        entry["iamMember"] = member
    return entry | ({"condition": condition} if condition else {})
