"""What holds of the IAM evaluator whatever the policies are."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.core.clock import Clock
from simulator.core.delays import Delays
from simulator.core.principal import Principal
from simulator.google import GoogleCloud
from simulator.iam import denials
from simulator.iam.decisions import Iam
from simulator.iam.groups import Groups
from simulator.iam.roles import CustomRoles
from simulator.identity.tokens import Identity
from simulator.seed import plant
from simulator.serve.proxy import serve
from tests.simulator.support.core import (
    ADMIN,
    CRM,
    IAM,
    LOCATION,
    PROJECT,
    WORKER,
    WORKER_NAME,
    new_cloud,
    session,
)

ENDPOINT, POOL = f"{LOCATION}/endpoints/1", f"{LOCATION}/deploymentResourcePools/p"
BUCKET = "projects/_/buckets/b"
OBJECT = f"{BUCKET}/objects/models/m"
RESOURCES = (
    "organizations/1",
    "folders/2",
    f"projects/{PROJECT}",
    LOCATION,
    ENDPOINT,
    WORKER_NAME,
    BUCKET,
)
ANN, BOB, EVE, MACHINE = PEOPLE = (
    Principal("user:ann@example.com"),
    Principal("user:bob@example.com"),
    Principal("user:eve@elsewhere.com"),
    Principal(f"serviceAccount:{WORKER}"),
)
MEMBERS = (
    *(who.member for who in PEOPLE),
    "group:team@example.com",
    "group:core@example.com",
    "domain:example.com",
    "allAuthenticatedUsers",
    "allUsers",
)
ROLES = (
    "roles/owner",
    "roles/editor",
    "roles/aiplatform.user",
    "roles/aiplatform.viewer",
    "roles/iam.serviceAccountUser",
    "roles/storage.objectViewer",
)
CONDITIONS = (
    None,
    "true",
    "resource.name.startsWith('projects/_/buckets/b/objects/models/')",
    "resource.type == 'storage.googleapis.com/Object'",
    "resource.name.startsWith('projects/iot-prod')",
    "request.time > timestamp('2000-01-01T00:00:00Z')",
)
NEVER = (
    "false",
    "request.time < timestamp('2000-01-01T00:00:00Z')",
    "resource.name == 'nothing'",
    "resource.matchTag('1/env', 'prod')",
    # Neither true nor false: there is no such month.
    "request.time > timestamp('2000-13-01T00:00:00Z')",
)
# Whom a deny rule means, by how it names them.
DENIED = {
    "principalSet://goog/public:all": set(PEOPLE),
    "principal://goog/subject/ann@example.com": {ANN},
    "principalSet://goog/group/team@example.com": {ANN, EVE},
    f"principal://iam.googleapis.com/projects/-/serviceAccounts/{WORKER}": {MACHINE},
}
# Which of the permissions below a deny rule means.
DENIABLE = {
    "aiplatform.googleapis.com/endpoints.get": {"aiplatform.endpoints.get"},
    "aiplatform.googleapis.com/*.*": {
        "aiplatform.endpoints.get",
        "aiplatform.endpoints.create",
        "aiplatform.models.list",
    },
    "iam.googleapis.com/serviceAccounts.actAs": {"iam.serviceAccounts.actAs"},
    "storage.googleapis.com/objects.get": {"storage.objects.get"},
}
PERMISSIONS = {
    "aiplatform.endpoints.get": (LOCATION, ENDPOINT),
    "aiplatform.endpoints.create": (LOCATION,),
    "aiplatform.models.list": (f"projects/{PROJECT}", LOCATION),
    "iam.serviceAccounts.actAs": (WORKER_NAME,),
    "resourcemanager.projects.get": (f"projects/{PROJECT}",),
    "storage.objects.get": (BUCKET, OBJECT),
}
QUESTIONS = tuple(
    (who, permission, where)
    for who in PEOPLE
    for permission, places in PERMISSIONS.items()
    for where in places
)


class Grant(NamedTuple):
    resource: str
    role: str
    member: str
    condition: str | None


class Denial(NamedTuple):
    resource: str
    permission: str
    principal: str


def grants(conditions: tuple[str | None, ...] = CONDITIONS) -> st.SearchStrategy[Grant]:
    made = st.builds(
        Grant,
        st.sampled_from(RESOURCES),
        st.sampled_from(ROLES),
        st.sampled_from(MEMBERS),
        st.sampled_from(conditions),
    )
    # Google refuses conditions on basic roles.
    return made.map(lambda grant: grant._replace(condition=_allowed(grant)))


def _allowed(grant: Grant) -> str | None:
    return None if grant.role in ("roles/owner", "roles/editor") else grant.condition


POLICIES = st.lists(grants(), max_size=8)
DENIALS = st.lists(
    st.builds(
        Denial,
        st.sampled_from(["organizations/1", "folders/2", f"projects/{PROJECT}"]),
        st.sampled_from(list(DENIABLE)),
        st.sampled_from(list(DENIED)),
    ),
    max_size=3,
)


def cloud_of(
    policies: list[Grant], denied: list[Denial] | None = None, *, split: bool = False
) -> GoogleCloud:
    """A cloud with these policies, set through setIamPolicy and in effect.

    `split` writes every member into a binding of its own.
    """
    cloud = new_cloud()
    cloud.delays = Delays(iam=0, api=0, operation=0)
    cloud[Iam].set_parent(BUCKET, f"projects/{PROJECT}")
    cloud[Iam].groups["team@example.com"] = {"group:core@example.com", EVE.member}
    cloud[Iam].groups["core@example.com"] = {ANN.member, "group:team@example.com"}
    for resource in dict.fromkeys(grant.resource for grant in policies):
        bindings = [binding(grant) for grant in policies if grant.resource == resource]
        if not split:
            bindings = merged(bindings)
        cloud[Iam].set_policy(resource, {"version": 3, "bindings": bindings})
    deny(cloud, denied or [])
    return cloud


def binding(grant: Grant) -> dict[str, Any]:
    made: dict[str, Any] = {"role": grant.role, "members": [grant.member]}
    if grant.condition:
        made["condition"] = {"title": "t", "expression": grant.condition}
    return made


def merged(bindings: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One binding for a role and condition, with all its members."""
    result: list[dict[str, Any]] = []
    for item in bindings:
        same = [other for other in result if {**other, "members": item["members"]} == item]
        if same:
            same[0]["members"] = [*same[0]["members"], *item["members"]]
        else:
            result.append(dict(item))
    return result


def deny(cloud: GoogleCloud, denied: list[Denial]) -> None:
    for number, denial in enumerate(denied):
        name = f"{denial.resource}/denypolicies/p{number}"
        rule = {
            "deniedPermissions": [denial.permission],
            "deniedPrincipals": [denial.principal],
        }
        cloud[Iam].set_denials(name, denials.rules(name, [{"denyRule": rule}]))


def access(cloud: GoogleCloud) -> dict[tuple[Principal, str, str], bool]:
    return {question: cloud[Iam].decide(*question) is not None for question in QUESTIONS}


def holders(cloud: GoogleCloud) -> set[tuple[Principal, str, str]]:
    return {question for question, held in access(cloud).items() if held}


@given(POLICIES, DENIALS, st.data())
def test_taking_a_binding_away_never_grants(
    policies: list[Grant], denied: list[Denial], data: st.DataObject
) -> None:
    kept = data.draw(st.lists(st.sampled_from(policies), unique=True) if policies else st.just([]))
    assert holders(cloud_of(kept, denied)) <= holders(cloud_of(policies, denied))


@given(POLICIES, DENIALS, st.data())
def test_order_never_matters(
    policies: list[Grant], denied: list[Denial], data: st.DataObject
) -> None:
    other = data.draw(st.permutations(policies)), data.draw(st.permutations(denied))
    before = access(cloud_of(policies, denied))
    assert access(cloud_of(*other, split=data.draw(st.booleans()))) == before


@given(POLICIES, st.lists(grants(NEVER).filter(lambda grant: grant.condition), max_size=4))
def test_a_condition_that_is_not_true_equals_no_binding(
    policies: list[Grant], idle: list[Grant]
) -> None:
    assert access(cloud_of([*policies, *idle])) == access(cloud_of(policies))


@given(POLICIES, DENIALS)
def test_a_denial_beats_every_grant_and_takes_nothing_else(
    policies: list[Grant], denied: list[Denial]
) -> None:
    plain, restricted = cloud_of(policies), cloud_of(policies, denied)
    for question in QUESTIONS:
        who, permission, where = question
        lost = any(
            denial.resource in restricted[Iam].ancestors(where)
            and permission in DENIABLE[denial.permission]
            and who in DENIED[denial.principal]
            for denial in denied
        )
        held = plain[Iam].decide(*question) is not None
        assert (restricted[Iam].decide(*question) is not None) is (held and not lost), question


@given(st.lists(grants((None,)), max_size=8))
def test_inheritance_only_adds(policies: list[Grant]) -> None:
    cloud = cloud_of(policies)
    for who, permission, where in QUESTIONS:
        held = [
            cloud[Iam].decide(who, permission, resource) is not None
            for resource in cloud[Iam].ancestors(where)
        ]
        # Nearest first: once it is held above, it is held everywhere below.
        assert held == sorted(held, reverse=True), (who, permission, where)


@given(POLICIES, st.sampled_from(RESOURCES), st.sampled_from(MEMBERS))
def test_a_role_that_is_gone_grants_nothing(
    policies: list[Grant], resource: str, member: str
) -> None:
    cloud = cloud_of(policies)
    before = access(cloud)
    role = "organizations/1/roles/gone"
    cloud[CustomRoles].seed(role, list(PERMISSIONS))
    cloud[Iam].grant(resource, role, member)
    cloud[CustomRoles].delete(cloud[CustomRoles].get(role))
    assert access(cloud) == before


@given(st.dictionaries(st.sampled_from("abcdef"), st.sets(st.sampled_from("abcdefxyz"))))
def test_groups_are_found_through_each_other_even_in_circles(tree: dict[str, set[str]]) -> None:
    groups = Groups()
    for group, members in tree.items():
        groups[group] = {f"group:{m}" if m in "abcdef" else f"user:{m}" for m in members}
    for name in "xyz":
        expected: set[str] = set()
        while more := {g for g, members in tree.items() if members & {name, *expected}} - expected:
            expected |= more
        assert set(groups.of((f"user:{name}",))) == {f"group:{group}" for group in expected}
        assert len(groups.of((f"user:{name}",))) == len(expected)


# What a call needs and where, and where its answer to testIamPermissions is to be had.
CALLS = (
    ("resourcemanager.projects.get", f"{CRM}/v1/projects/{PROJECT}", "project"),
    ("resourcemanager.projects.get", f"{CRM}/v3/projects/{PROJECT}", "project"),
    ("iam.roles.list", f"{IAM}/projects/{PROJECT}/roles", "project"),
    ("iam.serviceAccounts.list", f"{IAM}/projects/{PROJECT}/serviceAccounts", "project"),
    ("iam.serviceAccounts.get", f"{IAM}/{WORKER_NAME}", "account"),
    ("iam.serviceAccounts.getIamPolicy", f"{IAM}/{WORKER_NAME}:getIamPolicy", "account"),
)
TESTS = {
    "project": f"{CRM}/v1/projects/{PROJECT}:testIamPermissions",
    "account": f"{IAM}/{WORKER_NAME}:testIamPermissions",
}
API_GRANTS = st.lists(
    st.tuples(
        st.sampled_from(["organizations/1", "folders/2", f"projects/{PROJECT}", WORKER_NAME]),
        st.sampled_from(
            [
                "roles/browser",
                "roles/iam.roleViewer",
                "roles/iam.securityReviewer",
                "roles/iam.serviceAccountViewer",
                "roles/viewer",
            ]
        ),
        st.sampled_from([f"serviceAccount:{WORKER}", f"serviceAccount:{ADMIN}", "allUsers"]),
    ),
    max_size=3,
)
API_DENIALS = st.lists(
    st.sampled_from(
        [
            "cloudresourcemanager.googleapis.com/projects.get",
            "iam.googleapis.com/*.list",
            "iam.googleapis.com/serviceAccounts.*",
        ]
    ),
    max_size=2,
)


@pytest.fixture(scope="module")
def served(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[GoogleCloud, requests.Session]]:
    cloud = new_cloud()
    cloud.delays = Delays(iam=0, api=0, operation=0)
    with serve(cloud, tmp_path_factory.mktemp("cloud")) as running:
        yield cloud, session(running, cloud[Identity].access_token(WORKER))


@settings(max_examples=30)
@given(granted=API_GRANTS, denied=API_DENIALS)
def test_a_call_is_denied_exactly_if_testing_omits_its_permission(
    served: tuple[GoogleCloud, requests.Session], granted: list[Any], denied: list[str]
) -> None:
    cloud, client = served
    for resource in ("organizations/1", "folders/2", f"projects/{PROJECT}", WORKER_NAME):
        bindings = [{"role": role, "members": [m]} for on, role, m in granted if on == resource]
        cloud[Iam].set_policy(resource, {"bindings": bindings})
    name = f"projects/{PROJECT}/denypolicies/p"
    rule = {"deniedPermissions": denied, "deniedPrincipals": ["principalSet://goog/public:all"]}
    rules = denials.rules(name, [{"denyRule": rule}]) if denied else ()
    cloud[Iam].set_denials(name, rules)
    for permission, url, where in CALLS:
        tested = client.post(TESTS[where], json={"permissions": [permission]}).json()
        answer = client.get(url) if ":" not in url[8:] else client.post(url)
        assert answer.status_code in (200, 403), answer.text
        assert (answer.status_code == 200) is (tested.get("permissions", []) == [permission]), url


def microseconds(bindings: int, groups: int) -> float:
    """The processor time of one decision, the best of several runs."""
    cloud = GoogleCloud(clock=Clock(running=False), delays=Delays(0, 0, 0))
    plant(cloud, {"projects": [{"id": "p", "number": "9"}]})
    place = "projects/p/locations/us-central1"
    for number in range(bindings):
        resource = f"{place}/endpoints/{number % 1000}"
        cloud[Iam].grant(resource, "roles/aiplatform.user", f"user:u{number}@example.com")
    for number in range(groups):
        cloud[Iam].groups[f"g{number}@example.com"] = {f"user:z{number}@example.com"}
    cloud[Iam].grant("projects/p", "roles/aiplatform.user", "user:ann@example.com")
    best = float("inf")
    for _ in range(7):
        start = time.process_time()
        for number in range(2000):
            where = f"{place}/endpoints/{number % 1000}"
            assert cloud[Iam].decide(ANN, "aiplatform.endpoints.get", where)
        best = min(best, time.process_time() - start)
    return best / 2000 * 1e6


def test_a_hundred_times_the_bindings_or_groups_take_no_more_than_three_times_as_long() -> None:
    few = microseconds(bindings=1000, groups=10)
    assert microseconds(bindings=100_000, groups=10) <= 3 * few
    assert microseconds(bindings=1000, groups=1000) <= 3 * few
