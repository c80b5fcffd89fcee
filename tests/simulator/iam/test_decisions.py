"""Who may do what: the allow-policy evaluator, on a clock that only the tests move."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.api.errors import ApiError
from simulator.core.principal import Principal
from simulator.google import GoogleCloud
from simulator.iam.decisions import Iam
from simulator.iam.roles import CustomRoles
from simulator.identity.accounts import Accounts
from simulator.identity.pools.state import Pools
from tests.simulator.support.core import (
    ADMIN,
    LOCATION,
    NUMBER,
    PROJECT,
    WORKER,
    WORKER_NAME,
    new_cloud,
)

CREATE = "aiplatform.endpoints.create"
ENDPOINT = f"{LOCATION}/endpoints/1"
VIEWER, USER = "roles/aiplatform.viewer", "roles/aiplatform.user"
ANN = Principal("user:ann@example.com")
MEMBER = ANN.member
OBJECT = "projects/_/buckets/b/objects/models/v1/model.joblib"


def may(
    cloud: GoogleCloud, permission: str = CREATE, resource: str = LOCATION, who: Principal = ANN
) -> bool:
    return cloud[Iam].decide(who, permission, resource) is not None


def bind(cloud: GoogleCloud, resource: str, *bindings: dict[str, Any], version: int = 3) -> None:
    cloud[Iam].set_policy(resource, {"bindings": list(bindings), "version": version})


def binding(role: str, *members: str, condition: str | None = None) -> dict[str, Any]:
    made: dict[str, Any] = {"role": role, "members": list(members)}
    if condition:
        made["condition"] = {"title": "t", "expression": condition}
    return made


@pytest.mark.parametrize("above", [LOCATION, f"projects/{PROJECT}", "folders/2", "organizations/1"])
def test_a_grant_reaches_everything_below_it(cloud: GoogleCloud, above: str) -> None:
    cloud[Iam].grant(above, USER, MEMBER)
    assert may(cloud)
    assert cloud[Iam].decide(ANN, CREATE, LOCATION) == (above, USER, MEMBER)


def test_a_grant_reaches_nothing_beside_or_above_it(cloud: GoogleCloud) -> None:
    cloud[Iam].grant(ENDPOINT, USER, MEMBER)
    assert may(cloud, "aiplatform.endpoints.get", ENDPOINT)
    assert not may(cloud, "aiplatform.endpoints.get", f"{LOCATION}/endpoints/2")
    assert not may(cloud, "aiplatform.endpoints.get", LOCATION)


def test_a_role_gives_its_own_permissions_only(cloud: GoogleCloud) -> None:
    cloud[Iam].grant(LOCATION, VIEWER, MEMBER)
    assert may(cloud, "aiplatform.endpoints.list")
    assert not may(cloud)


def test_a_new_grant_takes_effect_when_it_has_propagated(cloud: GoogleCloud) -> None:
    bind(cloud, LOCATION, binding(USER, MEMBER))
    cloud.clock.step(59)
    assert not may(cloud)
    cloud.clock.step(1)
    assert may(cloud)


def test_a_revoked_grant_keeps_its_effect_until_that_has_propagated(cloud: GoogleCloud) -> None:
    cloud[Iam].grant(LOCATION, USER, MEMBER)
    bind(cloud, LOCATION)
    cloud.clock.step(59)
    assert may(cloud)
    cloud.clock.step(1)
    assert not may(cloud)


def test_a_seed_grant_survives_a_change_that_was_already_on_its_way(cloud: GoogleCloud) -> None:
    bind(cloud, LOCATION, binding(VIEWER, "user:bob@example.com"))
    cloud[Iam].grant(LOCATION, USER, MEMBER)
    cloud.clock.step(60)
    assert may(cloud)


def test_a_stale_etag_is_refused(cloud: GoogleCloud) -> None:
    read = cloud[Iam].get_policy(LOCATION)
    bind(cloud, LOCATION, binding(USER, MEMBER))
    with pytest.raises(ApiError) as refused:
        cloud[Iam].set_policy(LOCATION, {"etag": read["etag"], "bindings": []})
    assert (refused.value.status, refused.value.reason) == (409, "ABORTED")
    current = cloud[Iam].get_policy(LOCATION)
    assert cloud[Iam].set_policy(LOCATION, current)["etag"] != current["etag"]


def test_the_mask_decides_what_is_replaced(cloud: GoogleCloud) -> None:
    bind(cloud, LOCATION, binding(USER, MEMBER))
    audit = [{"service": "allServices", "auditLogConfigs": [{"logType": "DATA_READ"}]}]
    changed = cloud[Iam].set_policy(LOCATION, {"auditConfigs": audit}, "auditConfigs")
    assert changed["auditConfigs"] == audit
    assert changed["bindings"] == [binding(USER, MEMBER)]


def test_bindings_of_one_role_and_condition_are_merged(cloud: GoogleCloud) -> None:
    bind(cloud, LOCATION, binding(USER, MEMBER), binding(USER, MEMBER, "user:bob@example.com"))
    expected = [binding(USER, MEMBER, "user:bob@example.com")]
    assert cloud[Iam].get_policy(LOCATION)["bindings"] == expected


@pytest.mark.parametrize(
    ("expression", "granted"),
    [
        ("resource.name.startsWith('projects/_/buckets/b/objects/models/')", True),
        ("resource.name.startsWith('projects/_/buckets/b/objects/data/')", False),
        ("resource.type == 'storage.googleapis.com/Object'", True),
        ("resource.service == 'aiplatform.googleapis.com'", False),
        ("resource.name.extract('/objects/{folder}/') == 'models'", True),
        ("request.time < timestamp('2000-01-01T00:00:00Z')", False),
        ("request.time > timestamp('2000-01-01T00:00:00Z')", True),
        ("request.time.getFullYear() / 0 == 1", False),
    ],
)
def test_a_conditional_grant_holds_where_its_condition_does(
    cloud: GoogleCloud, expression: str, granted: bool
) -> None:
    role = "roles/storage.objectViewer"
    bind(cloud, "projects/_/buckets/b", binding(role, MEMBER, condition=expression))
    cloud.clock.step(60)
    assert may(cloud, "storage.objects.get", OBJECT) is granted


def test_a_grant_can_expire(cloud: GoogleCloud) -> None:
    end = cloud.clock.rfc3339(cloud.clock.now() + 3600)
    condition = f"request.time < timestamp('{end}')"
    bind(cloud, LOCATION, binding(USER, MEMBER, condition=condition))
    cloud.clock.step(60)
    assert may(cloud)
    cloud.clock.step(3600)
    assert not may(cloud)


def test_whoever_may_hand_out_some_roles_cannot_hand_out_others(cloud: GoogleCloud) -> None:
    attribute = "api.getAttribute('iam.googleapis.com/modifiedGrantsByRole', [])"
    condition = f"{attribute}.hasOnly(['{VIEWER}'])"
    project = f"projects/{PROJECT}"
    admin = "roles/resourcemanager.projectIamAdmin"
    cloud[Iam].grant(project, admin, MEMBER, {"title": "t", "expression": condition})
    for role, granted in ((VIEWER, True), (USER, False)):
        current = cloud[Iam].get_policy(project, 3)
        wanted = {**current, "bindings": [*current["bindings"], binding(role, MEMBER)]}
        modified = cloud[Iam].modified_roles(project, wanted)
        assert modified == [role]
        via = cloud[Iam].decide(ANN, "resourcemanager.projects.setIamPolicy", project, modified)
        assert (via is not None) is granted


def test_below_version_3_a_conditional_role_is_shown_mangled(cloud: GoogleCloud) -> None:
    bind(cloud, LOCATION, binding(USER, MEMBER, condition="true"))
    [shown] = cloud[Iam].get_policy(LOCATION, 1)["bindings"]
    assert shown["role"].startswith(f"{USER}_withcond_")
    assert "condition" not in shown
    assert cloud[Iam].get_policy(LOCATION, 3)["bindings"][0]["condition"]["expression"] == "true"


@pytest.mark.parametrize(
    "member", ["group:team@example.com", "domain:example.com", "allUsers", "allAuthenticatedUsers"]
)
def test_a_person_is_also_a_group_member_and_of_a_domain(cloud: GoogleCloud, member: str) -> None:
    cloud[Iam].groups["team@example.com"] = {"group:core@example.com"}
    cloud[Iam].groups["core@example.com"] = {MEMBER}
    cloud[Iam].grant(LOCATION, USER, member)
    assert may(cloud)
    stranger = Principal("serviceAccount:x@other.iam.gserviceaccount.com")
    assert may(cloud, who=stranger) is (member in ("allUsers", "allAuthenticatedUsers"))


def test_a_federated_identity_matches_its_principal_sets(cloud: GoogleCloud) -> None:
    cloud[Pools].seed(f"projects/{PROJECT}/locations/global/workloadIdentityPools/github")
    pool = f"//iam.googleapis.com/projects/{NUMBER}/locations/global/workloadIdentityPools/github"
    repository = f"principalSet:{pool}/attribute.repository/acme/iot"
    cloud[Iam].grant(LOCATION, USER, repository)
    assert may(cloud, who=Principal(f"principal:{pool}/subject/s", (repository,)))
    assert not may(cloud, who=Principal(f"principal:{pool}/subject/s"))


def test_project_owner_members_stand_for_holders_of_the_basic_role(cloud: GoogleCloud) -> None:
    bucket, reader = "projects/_/buckets/b", "roles/storage.legacyBucketReader"
    cloud[Iam].grant(bucket, reader, f"projectOwner:{PROJECT}")
    owner = Principal(f"serviceAccount:{ADMIN}")
    assert may(cloud, "storage.buckets.get", bucket, owner)
    assert not may(cloud, "storage.buckets.get", bucket)


def test_an_object_with_slashes_in_its_name_belongs_to_its_bucket(cloud: GoogleCloud) -> None:
    cloud[Iam].set_parent("projects/_/buckets/b", f"projects/{PROJECT}")
    assert cloud[Iam].ancestors(OBJECT)[1:3] == ("projects/_/buckets/b", f"projects/{PROJECT}")
    cloud[Iam].grant("projects/_/buckets/b", "roles/storage.objectViewer", MEMBER)
    assert may(cloud, "storage.objects.get", OBJECT)


def test_a_forgotten_resource_leaves_no_access_to_its_successor(cloud: GoogleCloud) -> None:
    cloud[Iam].grant("projects/_/buckets/b", "roles/storage.objectViewer", MEMBER)
    bind(cloud, "projects/_/buckets/b", binding("roles/storage.objectAdmin", MEMBER))
    cloud[Iam].forget("projects/_/buckets/b")
    cloud.clock.step(60)
    assert not may(cloud, "storage.objects.get", OBJECT)
    assert "bindings" not in cloud[Iam].get_policy("projects/_/buckets/b")


class TestCustomRoles:
    ROLE = f"projects/{PROJECT}/roles/deployer"

    @pytest.fixture(autouse=True)
    def deployer(self, cloud: GoogleCloud) -> None:
        cloud[CustomRoles].seed(self.ROLE, [CREATE])
        cloud[Iam].grant(LOCATION, self.ROLE, MEMBER)

    def test_it_gives_what_it_lists(self, cloud: GoogleCloud) -> None:
        assert may(cloud)
        assert not may(cloud, "aiplatform.endpoints.delete")

    def test_a_change_to_it_propagates(self, cloud: GoogleCloud) -> None:
        cloud[Iam].set_role(self.ROLE, ["aiplatform.endpoints.delete"])
        assert may(cloud)
        cloud.clock.step(60)
        assert not may(cloud)
        assert may(cloud, "aiplatform.endpoints.delete")

    def test_deleted_it_gives_nothing_even_if_a_change_was_on_its_way(
        self, cloud: GoogleCloud
    ) -> None:
        cloud[Iam].set_role(self.ROLE, [CREATE, "aiplatform.endpoints.get"])
        cloud[CustomRoles].delete(cloud[CustomRoles].get(self.ROLE))
        assert not may(cloud)
        cloud.clock.step(60)
        assert not may(cloud)
        cloud[CustomRoles].undelete(cloud[CustomRoles].get(self.ROLE))
        cloud.clock.step(60)
        assert may(cloud)

    def test_it_cannot_be_bound_once_deleted_or_in_another_project(
        self, cloud: GoogleCloud
    ) -> None:
        with pytest.raises(ApiError, match="is not supported for this resource"):
            cloud[Iam].grant("projects/other", self.ROLE, MEMBER)
        cloud[CustomRoles].delete(cloud[CustomRoles].get(self.ROLE))
        with pytest.raises(ApiError, match="is not supported for this resource"):
            bind(cloud, f"projects/{PROJECT}", binding(self.ROLE, MEMBER))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (binding("roles/iot.admin", MEMBER), "Role roles/iot.admin is not supported"),
        (binding(USER, "ann@example.com"), "is of an unknown type"),
        (binding(USER, "serviceAccount:no@iot-prod.iam.gserviceaccount.com"), "does not exist"),
        (binding("roles/editor", MEMBER, condition="true"), "primitive roles"),
        (binding(USER, MEMBER, condition="resource.nme == 'x'"), "Invalid condition expression"),
        (binding(USER, MEMBER, condition="'x'"), "must evaluate to a boolean"),
        (
            binding(USER, *(f"user:u{n}@example.com" for n in range(1501))),
            "larger than the maximum",
        ),
    ],
)
def test_a_policy_google_would_refuse_is_refused(
    cloud: GoogleCloud, wrong: dict[str, Any], message: str
) -> None:
    with pytest.raises(ApiError, match=message):
        bind(cloud, LOCATION, wrong)
    assert "bindings" not in cloud[Iam].get_policy(LOCATION)


def test_conditions_need_policy_version_3(cloud: GoogleCloud) -> None:
    with pytest.raises(ApiError, match="version 3"):
        bind(cloud, LOCATION, binding(USER, MEMBER, condition="true"), version=1)


def test_a_deleted_account_keeps_its_binding_but_not_for_its_namesake(cloud: GoogleCloud) -> None:
    cloud[Iam].grant(LOCATION, USER, f"serviceAccount:{WORKER}")
    worker = cloud[Accounts].find(WORKER)
    assert worker is not None
    cloud[Accounts].delete(worker)
    gone = f"deleted:serviceAccount:{WORKER}?uid={worker.unique_id}"
    assert cloud[Iam].get_policy(LOCATION)["bindings"] == [binding(USER, gone)]
    cloud[Accounts].create(PROJECT, "worker")
    assert not may(cloud, who=Principal(f"serviceAccount:{WORKER}"))


def test_an_undeleted_account_has_its_grants_back(cloud: GoogleCloud) -> None:
    cloud[Iam].grant(LOCATION, USER, f"serviceAccount:{WORKER}")
    worker = cloud[Accounts].find(WORKER)
    assert worker is not None
    cloud[Accounts].delete(worker)
    cloud[Accounts].undelete(worker.unique_id)
    assert may(cloud, who=Principal(f"serviceAccount:{WORKER}"))


def test_a_withheld_permission_is_conferred_by_no_binding(cloud: GoogleCloud) -> None:
    cloud[Iam].grant(LOCATION, USER, MEMBER)
    cloud[Iam].withheld = {(None, CREATE)}
    assert not may(cloud)
    assert cloud[Iam].test(ANN, LOCATION, [CREATE, "aiplatform.endpoints.get"]) == [
        "aiplatform.endpoints.get"
    ]


def test_a_permission_can_be_withheld_from_one_account(cloud: GoogleCloud) -> None:
    cloud[Iam].grant(LOCATION, USER, MEMBER)
    cloud[Iam].grant(LOCATION, USER, f"serviceAccount:{WORKER}")
    cloud[Iam].withheld = {(WORKER, CREATE)}
    assert may(cloud)
    assert not may(cloud, who=Principal(f"serviceAccount:{WORKER}"))


RESOURCES = st.sampled_from(
    ["organizations/1", "folders/2", f"projects/{PROJECT}", LOCATION, ENDPOINT, WORKER_NAME]
)
GRANTS = st.tuples(
    RESOURCES,
    st.sampled_from([USER, VIEWER, "roles/editor", "roles/iam.serviceAccountUser"]),
    st.sampled_from([MEMBER, "user:bob@example.com", "domain:example.com", "allUsers"]),
)
PERMISSIONS = (CREATE, "aiplatform.endpoints.get", "iam.serviceAccounts.actAs")


@given(st.lists(GRANTS, max_size=8), GRANTS)
def test_one_more_grant_never_takes_access_away(
    grants: list[tuple[str, str, str]], more: tuple[str, str, str]
) -> None:
    cloud = new_cloud()
    for resource, role, member in grants:
        cloud[Iam].grant(resource, role, member)
    questions = [(name, where) for name in PERMISSIONS for where in (LOCATION, ENDPOINT)]
    before = [may(cloud, name, where) for name, where in questions]
    cloud[Iam].grant(*more)
    after = [may(cloud, name, where) for name, where in questions]
    assert all(now for was, now in zip(before, after, strict=True) if was)


@given(st.lists(GRANTS, max_size=8))
def test_taking_every_binding_away_takes_every_access_away(
    grants: list[tuple[str, str, str]],
) -> None:
    cloud = new_cloud()
    for resource, role, member in grants:
        cloud[Iam].grant(resource, role, member)
    for resource in {resource for resource, _, _ in grants}:
        bind(cloud, resource)
    cloud.clock.step(60)
    assert not any(may(cloud, name, ENDPOINT) for name in PERMISSIONS)
