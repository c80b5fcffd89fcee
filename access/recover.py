"""What to do with a state in which an interrupted `pulumi up` has left pending creates.

Pulumi knows that it began to create something, not whether that happened. Most creates may simply
be done again: granting, enabling an API and what `vertexops` does find their own work. The others
are refused a second time ("already exists"), so they are written into the state as if they had
succeeded, under the id that follows from their inputs; the refresh of the next `pulumi up
--refresh` reads them, and drops those that do not exist after all. What Google names itself has no
such id, and is made a second time without a word: whether it was made is looked up.

`pulumi refresh --import-pending-creates` promises this, and drops the pending create instead
(observed with Pulumi 3.259.0).
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any, Final, NamedTuple
from urllib.parse import quote

from pulumi_plugin.kinds import ProviderError
from vertexops.errors import GoogleError
from vertexops.google import Google

Look = Callable[[str], tuple[int, Any]]
"""What Google answers to a GET of a URL: the HTTP status, and the answer as JSON.

It raises CannotLook where nothing can be asked."""

# The id under which the official plugin keeps each kind, over the inputs of the resource.
IDS: Final = {
    "gcp:artifactregistry/repository:Repository": (
        "projects/{project}/locations/{location}/repositories/{repositoryId}"
    ),
    "gcp:bigquery/dataset:Dataset": "projects/{project}/datasets/{datasetId}",
    "gcp:bigquery/table:Table": "projects/{project}/datasets/{datasetId}/tables/{tableId}",
    "gcp:iam/workloadIdentityPool:WorkloadIdentityPool": (
        "projects/{project}/locations/global/workloadIdentityPools/{workloadIdentityPoolId}"
    ),
    "gcp:iam/workloadIdentityPoolProvider:WorkloadIdentityPoolProvider": (
        "projects/{project}/locations/global/workloadIdentityPools/{workloadIdentityPoolId}"
        "/providers/{workloadIdentityPoolProviderId}"
    ),
    "gcp:kms/cryptoKey:CryptoKey": "{keyRing}/cryptoKeys/{name}",
    "gcp:kms/keyRing:KeyRing": "projects/{project}/locations/{location}/keyRings/{name}",
    "gcp:logging/metric:Metric": "{name}",
    "gcp:logging/projectSink:ProjectSink": "projects/{project}/sinks/{name}",
    "gcp:projects/iAMCustomRole:IAMCustomRole": "projects/{project}/roles/{roleId}",
    "gcp:pubsub/schema:Schema": "projects/{project}/schemas/{name}",
    "gcp:pubsub/subscription:Subscription": "projects/{project}/subscriptions/{name}",
    "gcp:pubsub/topic:Topic": "projects/{project}/topics/{name}",
    "gcp:serviceaccount/account:Account": (
        "projects/{project}/serviceAccounts/{accountId}@{project}.iam.gserviceaccount.com"
    ),
    "gcp:storage/bucket:Bucket": "{name}",
    "gcp:storage/bucketObject:BucketObject": "{bucket}-{name}",
    "gcp:vertex/aiEndpoint:AiEndpoint": "projects/{project}/locations/{location}/endpoints/{name}",
}
# Creating these again ends in the same: a member is added to a policy, an API enabled, an agent
# asked for; vertexops looks for its own work first.
REPEATABLE: Final = (
    "gcp:bigquery/datasetIamMember:DatasetIamMember",
    "gcp:bigquery/iamMember:IamMember",
    "gcp:kms/cryptoKeyIAMMember:CryptoKeyIAMMember",
    "gcp:projects/iAMAuditConfig:IAMAuditConfig",
    "gcp:projects/iAMMember:IAMMember",
    "gcp:projects/service:Service",
    "gcp:projects/serviceIdentity:ServiceIdentity",
    "gcp:pubsub/subscriptionIAMMember:SubscriptionIAMMember",
    "gcp:pubsub/topicIAMMember:TopicIAMMember",
    "gcp:serviceaccount/iAMMember:IAMMember",
    "gcp:storage/bucketIAMMember:BucketIAMMember",
    "gcp:vertex/aiEndpointIamMember:AiEndpointIamMember",
    "pulumi:",
    "vertexops:",
)


class Listed(NamedTuple):
    """Where Google lists what it names itself, and what is equal there to what was asked for.

    `url` is over the inputs; `id` is the input that a name ends in where a program gives it.
    """

    method: str
    permission: str
    url: str
    id: str = ""
    alike: tuple[str, ...] = ("displayName",)

    @property
    def api(self) -> str:
        return self.url.partition("/projects/")[0]

    @property
    def items(self) -> str:
        """The field of the answer."""
        return self.url.rpartition("/")[2]


MONITORING: Final = "https://monitoring.googleapis.com"
VIEWER: Final = "roles/monitoring.viewer"
"""Holds every permission of the table below (tests/access/test_recover.py)."""

# What Google names itself, or with the project's number. Permissions: docs
# monitoring/access-control.
NAMED_BY_GOOGLE: Final = {
    "gcp:monitoring/alertPolicy:AlertPolicy": Listed(
        "projects.alertPolicies.list",
        "monitoring.alertPolicies.list",
        MONITORING + "/v3/projects/{project}/alertPolicies",
    ),
    "gcp:monitoring/customService:CustomService": Listed(
        "services.list",
        "monitoring.services.list",
        MONITORING + "/v3/projects/{project}/services",
        id="serviceId",
    ),
    "gcp:monitoring/dashboard:Dashboard": Listed(
        "projects.dashboards.list",
        "monitoring.dashboards.list",
        MONITORING + "/v1/projects/{project}/dashboards",
    ),
    "gcp:monitoring/notificationChannel:NotificationChannel": Listed(
        "projects.notificationChannels.list",
        "monitoring.notificationChannels.list",
        MONITORING + "/v3/projects/{project}/notificationChannels",
        alike=("displayName", "type"),
    ),
    "gcp:monitoring/slo:Slo": Listed(
        "services.serviceLevelObjectives.list",
        "monitoring.slos.list",
        MONITORING + "/v3/projects/{project}/services/{service}/serviceLevelObjectives",
        id="sloId",
    ),
}
NAME_ENDS: Final = "the end of the name"
"""Stands for the input `id` in what is compared."""

CREATING: Final = "creating"


class UnknownKind(ValueError):
    """A pending create that a person has to settle: nobody has said how to recover its kind, or
    what Google lists does not tell which one it made."""


class CannotLook(RuntimeError):
    """Google does not say what there is, at least not to who asks."""


def recovered(state: dict[str, Any], look: Look | None = None) -> dict[str, Any]:
    """A state as `pulumi stack export` writes it, without pending operations.

    What Google names itself is looked up with `look`; without it, such a create is an UnknownKind.
    Raises UnknownKind, CannotLook.
    """
    state = copy.deepcopy(state)
    # One list tells of many creates that were under way at the same time.
    ask = cache(look) if look else None
    deployment = state["deployment"]
    resources = deployment.get("resources") or []
    for operation in deployment.pop("pending_operations", None) or []:
        # Interrupted updates and deletes are done again by the next `pulumi up`.
        if operation["type"] == CREATING:
            resources = _settled(resources, operation["resource"], ask)
    deployment["resources"] = resources
    return state


def doubles(state: dict[str, Any], look: Look) -> list[str]:
    """URLs of what is there beside what the state knows, and could be the same.

    A create whose answer gets lost is done again by the official plugin, which does not ask whether
    it got through; what Google names itself is there twice then, and one of them in no state.
    Raises UnknownKind where a resource has no inputs to tell it by, CannotLook.
    """
    ask = cache(look)
    resources = state["deployment"].get("resources") or []
    return sorted(
        {
            f"{NAMED_BY_GOOGLE[kind].api}/{name}"
            for resource in resources
            if (kind := resource["type"]) in NAMED_BY_GOOGLE
            for name in _unknown(resources, kind, resource.get("inputs") or {}, ask)
        }
    )


def alike(kind: str, inputs: Mapping[str, Any], look: Look) -> list[str]:
    """Names of all that Google named itself and that the inputs could have made.

    Raises UnknownKind where the inputs do not say, CannotLook.
    """
    return list(_unknown([], kind, inputs, look))


def resource_id(kind: str, inputs: dict[str, Any]) -> str | None:
    """The id of a resource, or None where its create may be done again.

    Raises UnknownKind for other kinds, and where an input is missing.
    """
    if kind.startswith(REPEATABLE):
        return None
    try:
        return IDS[kind].format_map(inputs)
    except KeyError as error:
        missing = "the table of kinds" if kind not in IDS else f"its inputs, which lack {error}"
        raise _unclear(kind, missing) from None


def signed_in() -> Look:
    """Looks as whoever the application default credentials are; they are read when it is asked."""
    google = Google(project="", region="", impersonate="")

    def look(url: str) -> tuple[int, Any]:
        try:
            return 200, google.request("GET", url)
        except GoogleError as error:
            return error.code, {"error": {"message": error.message}}
        except ProviderError as error:
            raise CannotLook(
                f"{error}\nSign in (`gcloud auth application-default login`) as somebody with "
                f"{VIEWER}, or use --offline"
            ) from error

    return look


def _unclear(kind: str, missing: str) -> UnknownKind:
    look = f" ({NAMED_BY_GOOGLE[kind].method})" if kind in NAMED_BY_GOOGLE else ""
    return UnknownKind(
        f"the id of a {kind} does not follow from {missing}: look whether it exists{look}, and "
        "then either `pulumi import` it, or run `pulumi refresh --clear-pending-creates`"
    )


def _settled(
    resources: list[dict[str, Any]], begun: dict[str, Any], look: Look | None
) -> list[dict[str, Any]]:
    """The resources with the one that was begun, as if its create had succeeded."""
    id = _id(resources, begun, look) if begun.get("custom", False) else None
    if id is None:
        return resources
    kept = []
    for resource in resources:
        same = resource["urn"] == begun["urn"] and not resource.get("delete")
        if same and resource.get("pendingReplacement"):
            continue  # deleted already, to make room for the new one
        kept.append({**resource, "delete": True} if same else resource)
    return [*kept, {**begun, "id": id, "outputs": _given(begun.get("inputs") or {})}]


def _id(resources: list[dict[str, Any]], begun: dict[str, Any], look: Look | None) -> str | None:
    """None for what may be created again, and for what was not created."""
    kind, inputs = begun["type"], begun.get("inputs") or {}
    if look is None or kind not in NAMED_BY_GOOGLE:
        return resource_id(kind, inputs)
    found = list(_unknown(resources, kind, inputs, look))
    if len(found) > 1:
        raise UnknownKind(
            f"there are {len(found)} of {kind} that could be it, and none is in the state: "
            f"{', '.join(found)}. Delete all but one of them (a create that was repeated makes "
            "another), and settle the state again"
        )
    return found[0] if found else None


def _unknown(
    resources: list[dict[str, Any]], kind: str, inputs: Mapping[str, Any], look: Look
) -> Iterator[str]:
    """Names of those that the inputs could have made, and that are not among `resources`.

    Raises UnknownKind where the inputs do not say, CannotLook.
    """
    listed = NAMED_BY_GOOGLE[kind]
    try:
        wanted = _identity(listed, inputs)
        project = inputs["project"]
        url = listed.url.format_map({key: quote(str(value)) for key, value in inputs.items()})
    except KeyError as error:
        raise _unclear(kind, f"its inputs, which lack {error}") from None
    known = {
        _without_project(resource.get("id", ""))
        for resource in resources
        if resource["type"] == kind and (resource.get("inputs") or {}).get("project") == project
    }
    for item in _all(look, listed, url):
        if _without_project(item["name"]) not in known and wanted == {
            key: _seen(item, key) for key in wanted
        }:
            yield item["name"]


def _identity(listed: Listed, inputs: Mapping[str, Any]) -> dict[str, str]:
    """What is to be equal in the list. Raises KeyError where the inputs do not say."""
    if listed.id and isinstance(inputs.get(listed.id), str):
        return {NAME_ENDS: inputs[listed.id]}
    try:
        given = json.loads(inputs["dashboardJson"]) if "dashboardJson" in inputs else inputs
    except (TypeError, ValueError):
        raise KeyError("displayName") from None  # a secret, such as no list shows
    for key in listed.alike:
        if not isinstance(given.get(key), str):
            raise KeyError(key)
    return {key: given[key] for key in listed.alike}


def _seen(item: Mapping[str, Any], key: str) -> Any:
    return item["name"].rpartition("/")[2] if key == NAME_ENDS else item.get(key)


def _all(look: Look, listed: Listed, url: str) -> Iterator[dict[str, Any]]:
    """Every page of a list; nothing where what it would belong to is not there."""
    token = ""
    while True:
        status, answer = look(f"{url}?pageToken={quote(token, safe='')}" if token else url)
        if status == 404:
            return
        if status != 200:
            raise _refused(listed, url, status, answer)
        yield from answer.get(listed.items, ())
        token = answer.get("nextPageToken", "")
        if not token:
            return


def _refused(listed: Listed, url: str, status: int, answer: Any) -> CannotLook:
    error = answer.get("error") if isinstance(answer, dict) else None
    said = error.get("message", "") if isinstance(error, dict) else str(answer)
    lacks = f"Looking takes {listed.permission}, which {VIEWER} has" if status == 403 else ""
    return CannotLook("\n".join(filter(None, (f"GET {url}: {status} {said}", lacks))))


def _without_project(name: str) -> str:
    """Names are written with the project's number or with its id."""
    return name.split("/", 2)[-1]


def _given(inputs: dict[str, Any]) -> dict[str, Any]:
    """What the program said, as first outputs: without any, a provider takes a read for an import.

    Defaults are left out: that of an object's `detectMd5hash` means that its content differs.
    """
    defaults = inputs.get("__defaults") or ()
    return {key: value for key, value in inputs.items() if key not in (*defaults, "__defaults")}
