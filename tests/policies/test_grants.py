"""The rule by itself; the real engine runs it in tests/rehearsal."""

from typing import Any

import pytest
from pulumi_policy.proxy import UNKNOWN_STRING_VALUE, unknown_checking_proxy

from policies.grants import granted, why_broad

PROJECT = "gcp:projects/iAMMember:IAMMember"
ACCOUNT = "gcp:serviceaccount/iAMMember:IAMMember"
SOMEBODY = "serviceAccount:deployer@p.iam.gserviceaccount.com"


def reasons(type_: str, **props: Any) -> list[str]:
    grants = granted(type_, unknown_checking_proxy(props))
    return [reason for grant in grants if (reason := why_broad(grant))]


@pytest.mark.parametrize(
    "role",
    [
        "roles/owner",
        "roles/editor",
        "roles/writer",
        " Roles/Owner ",
        "roles/aiplatform.user",
        "roles/aiplatform.admin",
        "roles/iam.serviceAccountUser",
        "roles/iam.serviceAccountTokenCreator",
        "roles/resourcemanager.projectIamAdmin",
    ],
)
def test_a_broad_role_on_a_project_is_found(role: str) -> None:
    assert reasons(PROJECT, role=role, member=SOMEBODY)


def test_the_reason_is_in_numbers() -> None:
    (reason,) = reasons(PROJECT, role="roles/aiplatform.user", member=SOMEBODY)
    assert "446 permissions, 13 that start code" in reason


@pytest.mark.parametrize("member", ["allUsers", "allAuthenticatedUsers", "AllUsers"])
def test_a_grant_to_everybody_is_found_on_any_resource(member: str) -> None:
    props = {"role": "roles/storage.objectViewer", "members": [SOMEBODY, member]}
    assert reasons("gcp:storage/bucketIAMBinding:BucketIAMBinding", **props)


@pytest.mark.parametrize(
    ("type_", "role"),
    [
        (PROJECT, "roles/pubsub.publisher"),
        (PROJECT, "projects/p/roles/predictiveMaintenanceDeployer"),
        (ACCOUNT, "roles/iam.serviceAccountUser"),
    ],
)
def test_a_small_role_or_one_on_a_single_account_is_left_alone(type_: str, role: str) -> None:
    assert reasons(type_, role=role, member=SOMEBODY) == []


def test_an_unknown_member_does_not_hide_a_broad_role() -> None:
    assert reasons(PROJECT, member=UNKNOWN_STRING_VALUE, role="roles/owner")


def test_an_unknown_role_does_not_hide_everybody() -> None:
    assert reasons(PROJECT, member="allUsers", role=UNKNOWN_STRING_VALUE)


def test_a_service_agents_role_is_for_googles_agents_only() -> None:
    role = "roles/aiplatform.serviceAgent"
    agent = "serviceAccount:service-100000000001@gcp-sa-aiplatform.iam.gserviceaccount.com"
    assert reasons(PROJECT, role=role, member=agent) == []
    assert reasons(PROJECT, role=role, member=SOMEBODY)


def test_taking_a_grant_away_is_no_grant() -> None:
    type_ = "gcp:projects/iamMemberRemove:IamMemberRemove"
    assert reasons(type_, role="roles/owner", member=SOMEBODY) == []
