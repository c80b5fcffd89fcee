"""How the stand-in changes allow policies, custom roles and accounts."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from pulumi_plugin.kinds import Context, Failure, ProviderError
from pulumi_plugin.values import Props
from tests.standin.support import NO_REGION, Gathering, Scripted, configured, read

POLICY = "POST /v1/projects/p:getIamPolicy"
SET = "POST /v1/projects/p:setIamPolicy"
MEMBER = "gcp:projects/iAMMember:IAMMember"
ROLE = "gcp:projects/iAMCustomRole:IAMCustomRole"
ROLE_PATH = "/v1/projects/p/roles/deployer"
ROLE_INPUTS: Props = {
    "roleId": "deployer",
    "title": "Deployer",
    "permissions": ["b.c.list", "a.b.get"],
    "stage": "GA",
}
CONFLICT = (409, {"error": {"code": 409, "message": "There were concurrent policy changes."}})


class Policy:
    """An allow policy behind getIamPolicy and setIamPolicy, which checks the etag."""

    def __init__(self, *bindings: Props) -> None:
        self.bindings, self.version = list(bindings), 0

    def get(self, _: Any = None) -> Props:
        return {"version": 1, "etag": f"e{self.version}", "bindings": self.bindings}

    def set(self, exchange: Props) -> Any:
        policy = exchange["body"]["policy"]
        if policy["etag"] != f"e{self.version}":
            return CONFLICT
        self.bindings, self.version = policy.get("bindings", []), self.version + 1
        return self.get()

    def script(self, **other: Any) -> Scripted:
        return Scripted({POLICY: self.get, SET: self.set, **other})


def grant(role: str, member: str = "user:a@example.com", **other: Any) -> Props:
    return {"project": "p", "role": role, "member": member, **other}


def test_a_member_is_added_and_the_rest_of_the_policy_stays() -> None:
    policy = Policy({"role": "roles/viewer", "members": ["user:b@example.com"]})
    gcp, _ = configured(policy.script())
    gcp.kind(MEMBER).create(grant("roles/viewer"), Context())
    gcp.kind(MEMBER).create(
        grant("roles/viewer", condition={"title": "t", "expression": "true"}), Context()
    )
    assert policy.bindings == [
        {"role": "roles/viewer", "members": ["user:a@example.com", "user:b@example.com"]},
        {
            "role": "roles/viewer",
            "members": ["user:a@example.com"],
            "condition": {"title": "t", "expression": "true"},
        },
    ]


def test_a_write_that_meets_another_writer_reads_the_policy_again() -> None:
    policy = Policy()

    def other_writer_first(exchange: Props) -> Any:
        policy.bindings = [{"role": "roles/other", "members": ["user:b@example.com"]}]
        policy.version += 1
        return policy.set(exchange)

    api = Scripted({POLICY: policy.get, SET: [other_writer_first, policy.set]})
    gcp, slept = configured(api)
    gcp.kind(MEMBER).create(grant("roles/viewer"), Context())
    assert [binding["role"] for binding in policy.bindings] == ["roles/other", "roles/viewer"]
    assert slept == [0.2, 1.0]  # the batch's window, then the pause after the conflict


def test_cloud_storage_calls_a_conflict_a_failed_precondition() -> None:
    path = "/storage/v1/b/b/iam"
    stale = (412, {"error": {"code": 412, "message": "Conditions not met."}})
    granted = {"bindings": [{"role": "roles/r", "members": ["user:a@example.com"]}], "etag": "e1"}
    api = Scripted({f"GET {path}": [{"etag": "e0"}, granted], f"PUT {path}": [stale, granted]})
    gcp, slept = configured(api)
    kind = gcp.kind("gcp:storage/bucketIAMMember:BucketIAMMember")
    kind.create({"bucket": "b", "role": "roles/r", "member": "user:a@example.com"}, Context())
    assert slept == [1.0]
    assert [body["etag"] for body in api.bodies(f"PUT {path}")] == ["e0", "e1"]


def test_a_write_whose_answer_was_lost_is_not_done_twice() -> None:
    policy = Policy()

    def lost(exchange: Props) -> Any:
        policy.set(exchange)
        return 503, {"error": {"code": 503, "message": "Gone."}}

    gcp, slept = configured(Scripted({POLICY: policy.get, SET: [lost, policy.set]}))
    gcp.kind(MEMBER).create(grant("roles/viewer"), Context())
    assert policy.bindings == [{"role": "roles/viewer", "members": ["user:a@example.com"]}]
    assert slept == [0.2, 0.5, 1.0]  # the batch, the lost answer, then the etag that was used up


def test_a_policy_that_always_conflicts_is_given_up_on() -> None:
    gcp, slept = configured(Scripted({POLICY: Policy().get, SET: CONFLICT}))
    with pytest.raises(ProviderError, match="Too many conflicts") as raised:
        gcp.kind(MEMBER).create(grant("roles/viewer"), Context())
    assert str(raised.value) == (
        'Request `Create IAM Members roles/viewer user:a@example.com for project "p"` returned '
        'error: Error applying IAM policy to project "p": Too many conflicts.  Latest error: '
        'Error setting IAM policy for project "p": googleapi: Error 409: There were concurrent '
        "policy changes."
    )
    assert len(slept) == 6


def test_an_account_that_iam_does_not_know_yet_is_tried_again() -> None:
    policy = Policy()
    message = "Service account new@p.iam.gserviceaccount.com does not exist."
    absent = (400, {"error": {"code": 400, "message": message}})
    gcp, slept = configured(Scripted({POLICY: policy.get, SET: [absent, absent, policy.set]}))
    member = "serviceAccount:new@p.iam.gserviceaccount.com"
    gcp.kind(MEMBER).create(grant("roles/viewer", member), Context())
    assert policy.bindings == [{"role": "roles/viewer", "members": [member]}]
    assert slept == [0.2, 1.0, 2.0]


def test_a_stale_read_after_the_write_is_waited_out() -> None:
    policy, stale = Policy(), {"version": 1, "etag": "e0"}
    gcp, slept = configured(Scripted({POLICY: [stale, stale, policy.get], SET: policy.set}))
    gcp.kind(MEMBER).create(grant("roles/viewer"), Context())
    assert slept == [0.2, 1.0]


def test_members_of_one_project_land_in_one_write() -> None:
    policy = Policy()
    api = policy.script()
    gcp, _ = configured(api)
    gcp.provider.batcher = Gathering(lambda key: 3)
    roles = ["roles/a", "roles/b", "roles/c"]
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda role: gcp.kind(MEMBER).create(grant(role), Context()), roles))
    assert api.sent().count(SET) == 1
    assert [binding["role"] for binding in policy.bindings] == roles


def test_one_bad_member_does_not_take_the_batch_down() -> None:
    policy = Policy()

    def choosy(exchange: Props) -> Any:
        if "user:bad@example.com" in str(exchange["body"]):
            return 400, {"error": {"code": 400, "message": "User bad@example.com is gone."}}
        return policy.set(exchange)

    gcp, _ = configured(Scripted({POLICY: policy.get, SET: choosy}))
    gcp.provider.batcher = Gathering(lambda key: 2)
    members = ["user:good@example.com", "user:bad@example.com"]

    def create(member: str) -> str:
        try:
            gcp.kind(MEMBER).create(grant("roles/viewer", member), Context())
        except ProviderError as error:
            return str(error)
        return "made"

    with ThreadPoolExecutor(2) as pool:
        good, bad = pool.map(create, members)
    assert good == "made"
    assert "both failed. Final error: Error applying IAM policy" in bad
    assert policy.bindings == [{"role": "roles/viewer", "members": ["user:good@example.com"]}]


def test_a_refresh_notices_that_a_member_is_gone() -> None:
    policy = Policy({"role": "roles/viewer", "members": ["user:a@example.com"]})
    gcp, _ = configured(policy.script())
    kind = gcp.kind(MEMBER)
    found = kind.read("p/roles/viewer/user:a@example.com", grant("roles/viewer"), {}, Context())
    assert found is not None and found.outputs["etag"] == "e0"
    policy.bindings = []
    assert kind.read(found.id, found.inputs, found.outputs, Context()) is None


def test_a_member_is_imported_by_resource_role_and_member() -> None:
    policy = Policy({"role": "roles/viewer", "members": ["user:a@example.com"]})
    gcp, _ = configured(policy.script())
    found = gcp.kind(MEMBER).read("p roles/viewer user:a@example.com", {}, {}, Context())
    assert found is not None
    assert found.id == "p/roles/viewer/user:a@example.com"
    assert found.inputs == {"__defaults": [], **grant("roles/viewer")}


ON_ENDPOINT = "gcp:vertex/aiEndpointIamMember:AiEndpointIamMember"
PREDICT: Props = {"endpoint": "1", "location": "r", "role": "roles/r", "member": "user:a@x.y"}


def test_a_grant_on_an_endpoint_goes_to_the_region_of_the_provider() -> None:
    """Its own `location` names the endpoint, not the host."""
    path = "/v1beta1/projects/p/locations/r/endpoints/1"
    granted = {"bindings": [{"role": "roles/r", "members": ["user:a@x.y"]}], "version": 3}
    script = {f"POST {path}:getIamPolicy": granted, f"POST {path}:setIamPolicy": granted}
    for config in ({"region": "far-north1"}, {"region": "", "zone": "far-north1-a"}):
        api = Scripted(dict(script))
        gcp, _ = configured(api, **config)
        gcp.kind(ON_ENDPOINT).create(PREDICT, Context())
        assert {exchange["host"] for exchange in api.exchanges} == {
            "far-north1-aiplatform.googleapis.com"
        }


@pytest.mark.parametrize("endpoint", ["1", "projects/p/locations/r/endpoints/1"])
def test_a_grant_on_an_endpoint_needs_a_provider_with_a_region(endpoint: str) -> None:
    gcp, _ = configured(Scripted({}), region="")
    kind, inputs = gcp.kind(ON_ENDPOINT), {**PREDICT, "endpoint": endpoint}
    with pytest.raises(ProviderError, match=NO_REGION):
        kind.create(inputs, Context())
    with pytest.raises(ProviderError, match=NO_REGION):
        kind.delete("1", inputs, inputs, Context())
    with pytest.raises(ProviderError, match=NO_REGION):
        kind.read("projects/p/locations/r/endpoints/1 roles/r user:a@x.y", {}, {}, Context())


def test_an_endpoint_granted_on_by_its_name_alone_is_where_the_provider_is() -> None:
    """A provider that has only a zone takes that for the location, as GetLocation does."""
    for config, location in (
        ({"region": "far-north1"}, "far-north1"),
        ({"region": "", "zone": "far-north1-a"}, "far-north1-a"),
    ):
        path = f"/v1beta1/projects/p/locations/{location}/endpoints/1"
        api = Scripted({f"POST {path}:getIamPolicy": {}})
        gcp, _ = configured(api, **config)
        inputs = {name: value for name, value in PREDICT.items() if name != "location"}
        assert gcp.kind(ON_ENDPOINT).read("1", inputs, {}, Context()) is None


def test_the_email_of_a_member_has_no_case() -> None:
    policy = Policy({"role": "roles/viewer", "members": ["user:a@example.com"]})
    gcp, _ = configured(policy.script())
    given = grant("roles/viewer", "user:A@example.com")
    assert gcp.kind(MEMBER).read("any", given, {}, Context()) is not None


def test_a_member_without_a_kind_is_refused_before_anything_is_sent() -> None:
    gcp, _ = configured(Scripted({}))
    _, failures = gcp.kind(MEMBER).check(grant("roles/viewer", "a@example.com"), {}, Context())
    assert [failure.property for failure in failures] == ["member"]
    assert failures[0].reason.startswith('invalid value "a@example.com" for member')


def test_access_to_a_dataset_keeps_authorised_views() -> None:
    view = {"view": {"projectId": "p", "datasetId": "d", "tableId": "v"}}
    entries = [{"role": "OWNER", "specialGroup": "projectOwners"}, view]
    dataset = {"access": entries}
    path = "/bigquery/v2/projects/p/datasets/d"

    def patch(exchange: Props) -> Props:
        dataset["access"] = exchange["body"]["access"]
        return dataset

    gcp, _ = configured(Scripted({f"GET {path}": lambda _: dataset, f"PATCH {path}": patch}))
    kind = gcp.kind("gcp:bigquery/datasetIamMember:DatasetIamMember")
    given = {"datasetId": "d", "role": "roles/bigquery.dataEditor", "member": "group:g@x.com"}
    id, _ = kind.create(given, Context())
    assert id == "projects/p/datasets/d/roles/bigquery.dataEditor/group:g@x.com"
    assert dataset["access"] == [
        {"role": "roles/bigquery.dataEditor", "groupByEmail": "g@x.com"},
        {"role": "roles/bigquery.dataOwner", "specialGroup": "projectOwners"},
        view,
    ]
    kind.delete(id, given, {}, Context())
    assert dataset["access"] == [
        {"role": "roles/bigquery.dataOwner", "specialGroup": "projectOwners"},
        view,
    ]


def test_a_soft_deleted_role_is_undeleted_and_patched() -> None:
    role = {"name": ROLE_PATH[4:], "title": "Old", "includedPermissions": ["x.y.z"]}
    new = {"title": "Deployer", "includedPermissions": ["a.b.get", "b.c.list"], "stage": "GA"}
    api = Scripted(
        {
            f"GET {ROLE_PATH}": [{**role, "deleted": True}, {**role, **new}],
            f"POST {ROLE_PATH}:undelete": role,
            f"PATCH {ROLE_PATH}": {**role, **new},
        }
    )
    gcp, _ = configured(api)
    id, outputs = gcp.kind(ROLE).create(ROLE_INPUTS, Context())
    assert id == "projects/p/roles/deployer"
    assert outputs["permissions"] == ["a.b.get", "b.c.list"]
    assert api.sent() == [
        f"GET {ROLE_PATH}",
        f"POST {ROLE_PATH}:undelete",
        f"PATCH {ROLE_PATH}",
        f"GET {ROLE_PATH}",
    ]
    assert api.bodies(f"PATCH {ROLE_PATH}") == [new]


def test_a_role_that_exists_has_to_be_imported() -> None:
    gcp, _ = configured(Scripted({f"GET {ROLE_PATH}": {"title": "Other"}}))
    with pytest.raises(ProviderError, match="already exists and must be imported"):
        gcp.kind(ROLE).create(ROLE_INPUTS, Context())


def test_a_role_that_was_deleted_elsewhere_is_noticed_by_neither_refresh_nor_diff() -> None:
    role = {"title": "Deployer", "deleted": True, "includedPermissions": ["a.b.get", "b.c.list"]}
    gone = (404, {"error": {"code": 404, "message": "no such role"}})
    api = Scripted({f"GET {ROLE_PATH}": {**role, "stage": "GA"}, f"DELETE {ROLE_PATH}": gone})
    gcp, _ = configured(api)
    kind, id = gcp.kind(ROLE), "projects/p/roles/deployer"
    found = read(gcp, ROLE, id, ROLE_INPUTS)
    assert found.outputs["deleted"] is True
    assert kind.diff(id, found.inputs, found.outputs, ROLE_INPUTS).updates == ()
    with pytest.raises(ProviderError, match="Error deleting the custom project role Deployer"):
        kind.delete(id, ROLE_INPUTS, found.outputs, Context())


def test_permissions_in_another_order_are_the_same_permissions() -> None:
    gcp, _ = configured(Scripted({}))
    turned = {**ROLE_INPUTS, "permissions": ["a.b.get", "b.c.list"]}
    change = gcp.kind(ROLE).diff("any", ROLE_INPUTS, {**ROLE_INPUTS, "project": "p"}, turned)
    assert (change.updates, change.replaces) == ((), ())


def test_an_account_is_read_until_iam_has_it() -> None:
    email = "agent@p.iam.gserviceaccount.com"
    account = {"name": f"projects/p/serviceAccounts/{email}", "email": email, "uniqueId": "1"}
    path = f"GET /v1/projects/p/serviceAccounts/{email}"
    gone = (404, {"error": {"code": 404, "message": "Unknown service account"}})
    api = Scripted({"POST /v1/projects/p/serviceAccounts": account, path: [gone, account]})
    gcp, slept = configured(api)
    id, outputs = gcp.kind("gcp:serviceaccount/account:Account").create(
        {"accountId": "agent-1", "displayName": "Agent"}, Context()
    )
    assert id == account["name"]
    assert outputs["member"] == f"serviceAccount:{email}"
    assert slept == [0.5]
    assert api.sent().count(path) == 4


def test_the_email_of_an_account_is_known_in_a_preview() -> None:
    gcp, _ = configured(Scripted({}))
    planned = gcp.kind("gcp:serviceaccount/account:Account").preview({"accountId": "agent"}, None)
    assert planned["member"] == "serviceAccount:agent@p.iam.gserviceaccount.com"
    assert "uniqueId" not in planned


def test_what_is_wrong_with_inputs_is_said_property_by_property() -> None:
    gcp, _ = configured(Scripted({}))
    given = {"roleId": "no-dashes", "stage": "GA", "permissions": "a.b.c", "tittle": "x"}
    _, failures = gcp.kind(ROLE).check(given, {}, Context())
    assert set(failures) == {
        Failure(
            "roleId",
            '"role_id" ("no-dashes") doesn\'t match regexp "^[a-zA-Z0-9_\\\\.]{3,64}$"',
        ),
        Failure("permissions", "expected list, got str"),
        Failure("tittle", "Invalid or unknown key"),
        Failure(
            "title",
            'Missing required argument. The argument "title" is required, but no definition was '
            "found.",
        ),
    }
