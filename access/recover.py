"""What to do with a state in which an interrupted `pulumi up` has left pending creates.

Pulumi knows that it began to create something, not whether that happened. Most creates may simply
be done again: granting, enabling an API and what `vertexops` does find their own work. The others
are refused a second time ("already exists"), so they are written into the state as if they had
succeeded, under the id that follows from their inputs; the refresh of the next `pulumi up
--refresh` reads them, and drops those that do not exist after all.

`pulumi refresh --import-pending-creates` promises this, and drops the pending create instead
(observed with Pulumi 3.259.0).
"""

from __future__ import annotations

import copy
from typing import Any, Final

# The id under which the official plugin keeps each kind, over the inputs of the resource.
IDS: Final = {
    "gcp:artifactregistry/repository:Repository": (
        "projects/{project}/locations/{location}/repositories/{repositoryId}"
    ),
    "gcp:bigquery/dataset:Dataset": "projects/{project}/datasets/{datasetId}",
    "gcp:bigquery/table:Table": "projects/{project}/datasets/{datasetId}/tables/{tableId}",
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
# What Google names itself, or with the project's number, and where it lists them.
NAMED_BY_GOOGLE: Final = {
    "gcp:monitoring/alertPolicy:AlertPolicy": "projects.alertPolicies.list",
    "gcp:monitoring/customService:CustomService": "services.list",
    "gcp:monitoring/dashboard:Dashboard": "projects.dashboards.list",
    "gcp:monitoring/notificationChannel:NotificationChannel": "projects.notificationChannels.list",
    "gcp:monitoring/slo:Slo": "services.serviceLevelObjectives.list",
}
CREATING: Final = "creating"


class UnknownKind(ValueError):
    """A pending create of a kind for which nobody has said how to recover it."""


def recovered(state: dict[str, Any]) -> dict[str, Any]:
    """A state as `pulumi stack export` writes it, without pending operations.

    Raises UnknownKind.
    """
    state = copy.deepcopy(state)
    deployment = state["deployment"]
    resources = deployment.get("resources") or []
    for operation in deployment.pop("pending_operations", None) or []:
        # Interrupted updates and deletes are done again by the next `pulumi up`.
        if operation["type"] == CREATING:
            resources = _settled(resources, operation["resource"])
    deployment["resources"] = resources
    return state


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
        look = f" ({NAMED_BY_GOOGLE[kind]})" if kind in NAMED_BY_GOOGLE else ""
        raise UnknownKind(
            f"the id of a {kind} does not follow from {missing}: look whether it exists{look}, and "
            "then either `pulumi import` it, or run `pulumi refresh --clear-pending-creates`"
        ) from None


def _settled(resources: list[dict[str, Any]], begun: dict[str, Any]) -> list[dict[str, Any]]:
    """The resources with the one that was begun, as if its create had succeeded."""
    custom = begun.get("custom", False)  # a component is nothing in the cloud
    id = resource_id(begun["type"], begun.get("inputs") or {}) if custom else None
    if id is None:
        return resources
    kept = []
    for resource in resources:
        same = resource["urn"] == begun["urn"] and not resource.get("delete")
        if same and resource.get("pendingReplacement"):
            continue  # deleted already, to make room for the new one
        kept.append({**resource, "delete": True} if same else resource)
    return [*kept, {**begun, "id": id, "outputs": _given(begun.get("inputs") or {})}]


def _given(inputs: dict[str, Any]) -> dict[str, Any]:
    """What the program said, as first outputs: without any, a provider takes a read for an import.

    Defaults are left out: that of an object's `detectMd5hash` means that its content differs.
    """
    defaults = inputs.get("__defaults") or ()
    return {key: value for key, value in inputs.items() if key not in (*defaults, "__defaults")}
