"""One member of one role in an allow policy, and what policies are attached to."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from typing import Any, Final

from pulumi_plugin.kinds import Context, ProviderError, Resource
from pulumi_plugin.values import Props
from standin.allow import CONDITION, Policy, add, has, remove
from standin.checks import unlike
from standin.fields import DEFAULTS, PROJECT, Field
from standin.google import GoogleError
from standin.onpolicy import OnPolicy, Target
from standin.provider import Provider

ALONE: Final = (  # members that are not of the form KIND:NAME
    "projectOwners",
    "projectReaders",
    "projectWriters",
    "allUsers",
    "allAuthenticatedUsers",
)


def member_of(name: str, value: Any) -> list[str]:
    """KIND:NAME or allUsers and the like, and not deleted:..."""
    if str(value).startswith("deleted"):
        said = "Terraform does not support IAM members for deleted principals"
        return [f"invalid value for {name} ({said})"]
    if re.search(".+:.+", str(value)) or any(alone in str(value) for alone in ALONE):
        return []
    return [f'invalid value "{value}" for {name} ({OUTLINED})']


OUTLINED: Final = (
    "IAM members must have one of the values outlined here: "
    "https://cloud.google.com/billing/docs/reference/rest/v1/Policy#Binding"
)
# As verify/validation.go of Google's provider puts it together.
DOMAIN: Final = r"(?:(?:[-a-z0-9]{1,63}\.)*(?:[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?):)?"
PROJECT_FORMS: Final = r"[0-9]{1,19}|(?:[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?)"
PROJECT_ID: Final = f"{DOMAIN}(?:{PROJECT_FORMS})"
ACCOUNTS: Final = (
    PROJECT_ID + "@[a-z]+.gserviceaccount.com$",
    "[0-9]{1,20}-compute@developer.gserviceaccount.com",
    r"[a-z](?:[-a-z0-9]{4,28}[a-z0-9])@[-a-z0-9\.]{1,63}\.iam\.gserviceaccount\.com$",
)
ACCOUNT_NAME: Final = (
    f"projects/{DOMAIN}(?:{PROJECT_FORMS}|-)/serviceAccounts/({'|'.join(ACCOUNTS)})"
)


def _account(name: str, value: Any) -> list[str]:
    """projects/PROJECT/serviceAccounts/EMAIL"""
    return [] if re.search(ACCOUNT_NAME, str(value)) else [unlike(name, value, ACCOUNT_NAME)]


ROLE_FIELDS: Final = (
    Field("role", new=True, required=True),
    Field(
        "condition",
        "object",
        new=True,
        of=(
            Field("title", required=True),
            Field("expression", required=True),
            Field("description"),
        ),
    ),
    Field("etag", output=True),
)
MEMBER_FIELDS: Final = (*ROLE_FIELDS, Field("member", new=True, required=True, valid=member_of))


PROJECT_TARGET: Final = Target(
    "gcp:projects/iAMMember:IAMMember",
    property="project",
    source="services/resourcemanager/iam_project.go",
    path="{project}",
    describe='project "{project}"',
    url="https://cloudresourcemanager.googleapis.com/v1/projects/{project}",
    fields=(Field("project", new=True, required=True),),
    get_body={"options": {"requestedPolicyVersion": 3}},
    set_body={"updateMask": "bindings,etag,auditConfigs"},
    batched=True,
    delete_first=True,
)
ACCOUNT_TARGET: Final = Target(
    "gcp:serviceaccount/iAMMember:IAMMember",
    property="serviceAccountId",
    source="services/resourcemanager/iam_service_account.go",
    path="{serviceAccountId}",
    describe="service account '{serviceAccountId}'",
    url="https://iam.googleapis.com/v1/{serviceAccountId}",
    fields=(Field("serviceAccountId", new=True, required=True, valid=_account),),
    get_query={"options.requestedPolicyVersion": "3"},
)
BUCKET_TARGET: Final = Target(
    "gcp:storage/bucketIAMMember:BucketIAMMember",
    property="bucket",
    source="services/storage/iam_storage_bucket.go",
    path="b/{bucket}",
    describe='storage bucket "b/{bucket}"',
    url="https://storage.googleapis.com/storage/v1/b/{bucket}",
    fields=(Field("bucket", new=True, required=True),),
    get=("GET", "/iam"),
    get_query={"optionsRequestedPolicyVersion": "3"},
    set=("PUT", "/iam"),
    wrapped=False,
)
ENDPOINT_TARGET: Final = Target(
    "gcp:vertex/aiEndpointIamMember:AiEndpointIamMember",
    property="endpoint",
    source="services/vertexai/iam_vertex_ai_endpoint.go",
    path="projects/{project}/locations/{location}/endpoints/{endpoint}",
    describe='vertexai endpoint "projects/{project}/locations/{location}/endpoints/{endpoint}"',
    # The official plugin takes this host from its own region, whatever the endpoint's location.
    url="https://{provider_region}-aiplatform.googleapis.com/v1beta1/"
    "projects/{project}/locations/{location}/endpoints/{endpoint}",
    fields=(
        Field("endpoint", new=True, required=True),
        Field("location", path=True, new=True, computed=True),
        PROJECT,
    ),
)
TABLE_TARGET: Final = Target(
    "gcp:bigquery/iamMember:IamMember",
    property="tableId",
    source="services/bigquery/iam_bigquery_table.go",
    path="projects/{project}/datasets/{datasetId}/tables/{tableId}",
    describe='bigquery table "projects/{project}/datasets/{datasetId}/tables/{tableId}"',
    url="https://bigquery.googleapis.com/bigquery/v2/"
    "projects/{project}/datasets/{datasetId}/tables/{tableId}",
    fields=(
        Field("datasetId", new=True, required=True),
        Field("tableId", new=True, required=True),
        PROJECT,
    ),
    version=1,
)
DATASET_TARGET: Final = Target(
    "gcp:bigquery/datasetIamMember:DatasetIamMember",
    property="datasetId",
    source="services/bigquery/iam_bigquery_dataset.go",
    path="projects/{project}/datasets/{datasetId}",
    describe="Bigquery Dataset {project}/{datasetId}",
    url="https://bigquery.googleapis.com/bigquery/v2/projects/{project}/datasets/{datasetId}",
    fields=(Field("datasetId", new=True, required=True), PROJECT),
    shows_path=False,
)


class Member(OnPolicy):
    """A role granted to one member; the rest of the policy is left as it is."""

    def __init__(self, provider: Provider, target: Target) -> None:
        super().__init__(provider, target, MEMBER_FIELDS)

    def create(self, inputs: Props, context: Context) -> tuple[str, Props]:
        names = self.names("", inputs, {})
        try:
            self.modify(names, self._title("Create", names, inputs), partial(add, grant=inputs))
            policy = self.read_policy(names)
        except GoogleError as error:
            raise self.failed(names, error) from error
        return self._id(names, inputs), self._outputs(names, inputs, policy)

    def read(self, id: str, inputs: Props, outputs: Props, context: Context) -> Resource | None:
        grant = inputs or self._grant_of(id)
        names = self.names("", grant, {})
        policy = self.find_policy(names)
        if policy is None:
            return None
        if not inputs:
            grant = self._with_condition(grant, policy)
        if not has(policy, grant):
            return None
        return Resource(
            self._id(names, grant), {DEFAULTS: [], **grant}, self._outputs(names, grant, policy)
        )

    def delete(self, id: str, inputs: Props, outputs: Props, context: Context) -> None:
        grant = inputs or outputs
        names = self.names("", grant, {})
        try:
            self.modify(names, self._title("Delete", names, grant), partial(remove, grant=grant))
            self.read_policy(names)
        except GoogleError as error:
            if error.status != 404:  # what the policy was attached to is gone, and it with it
                raise self.failed(names, error) from error

    def _title(self, verb: str, names: Mapping[str, str], grant: Props) -> str:
        describe = self.target.describe.format_map(names)
        return f"{verb} IAM Members {grant['role']} {grant['member']} for {describe}"

    def _outputs(self, names: Mapping[str, str], grant: Props, policy: Policy) -> Props:
        condition = grant.get("condition")
        if condition:
            condition = {name: condition.get(name) or "" for name in CONDITION}
        known = grant if self.target.shows_given else names
        shown = {item.name: known.get(item.name) for item in self.target.fields}
        if self.target.shows_path:
            shown[self.target.property] = self.target.path.format_map(names)
        return shown | {
            "role": grant["role"],
            "member": grant["member"],
            "condition": condition or None,
            "etag": policy.get("etag", ""),
        }

    def _id(self, names: Mapping[str, str], grant: Props) -> str:
        id = f"{self.target.path.format_map(names)}/{grant['role']}/{grant['member']}"
        condition = grant.get("condition")
        if condition:
            id += "".join(f"/{condition.get(name) or ''}" for name in CONDITION)
        return id

    def _grant_of(self, id: str) -> Props:
        """An import id is `RESOURCE ROLE MEMBER [CONDITION TITLE]`."""
        parts = id.split(" ", 3)
        if len(parts) < 3:
            raise ProviderError(
                f"Wrong number of parts to Member id {id!r}; expected 'resource_name role member "
                "[condition_title]'"
            )
        grant: Props = {self.target.property: parts[0], "role": parts[1], "member": parts[2]}
        names = self.names("", grant, {})
        grant |= {item.name: names[item.name] for item in self.target.fields}
        if len(parts) == 4:
            grant["condition"] = {"title": parts[3]}
        return grant

    def _with_condition(self, grant: Props, policy: Policy) -> Props:
        title = (grant.get("condition") or {}).get("title")
        for binding in policy.get("bindings", []):
            condition = binding.get("condition") or {}
            if binding["role"] == grant["role"] and title and condition.get("title") == title:
                return {**grant, "condition": condition}
        return grant
