"""Whole bindings and audit configurations, beside members of the same policy."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from pulumi_plugin.kinds import Context, ProviderError
from pulumi_plugin.values import Props
from tests.standin.support import Gathering, Scripted, configured

GET, SET = "POST /v1/projects/p:getIamPolicy", "POST /v1/projects/p:setIamPolicy"
BINDING = "gcp:projects/iAMBinding:IAMBinding"
AUDIT = "gcp:projects/iAMAuditConfig:IAMAuditConfig"
MEMBER = "gcp:projects/iAMMember:IAMMember"
ANN, BEN, CAT = (f"user:{name}@example.com" for name in ("ann", "ben", "cat"))
READS: Props = {"logType": "DATA_READ"}
WRITES: Props = {"logType": "DATA_WRITE", "exemptedMembers": [ANN]}


class Project:
    """A project's allow policy."""

    def __init__(self, **policy: Any) -> None:
        self.policy: Props = {"version": 1, "etag": "e0", **policy}
        self.api = Scripted({GET: lambda _: self.policy, SET: self.set})
        self.gcp, _ = configured(self.api)

    def set(self, exchange: Props) -> Props:
        self.policy = exchange["body"]["policy"]
        return self.policy

    @property
    def bindings(self) -> dict[str, list[str]]:
        return {each["role"]: each["members"] for each in self.policy.get("bindings", [])}


def binding(*members: str, **other: Any) -> Props:
    return {"project": "p", "role": "roles/viewer", "members": list(members), **other}


def audit(*logs: Props) -> Props:
    return {"project": "p", "service": "a.googleapis.com", "auditLogConfigs": list(logs)}


def test_a_binding_takes_its_role_for_itself_and_leaves_the_others() -> None:
    viewers = {"role": "roles/viewer", "members": [BEN]}
    editors = {"role": "roles/editor", "members": [BEN]}
    limited = {**viewers, "condition": {"title": "t", "expression": "true"}}
    project = Project(bindings=[viewers, editors, limited])
    kind = project.gcp.kind(BINDING)
    id, outputs = kind.create(binding(ANN, CAT), Context())
    assert id == "p/roles/viewer"
    assert outputs["members"] == [ANN, CAT]
    assert project.policy["bindings"] == [editors, limited, {**viewers, "members": [ANN, CAT]}]
    assert project.policy["version"] == 3
    kind.delete(id, binding(ANN, CAT), outputs, Context())
    assert project.policy["bindings"] == [editors, limited]


def test_who_was_let_in_by_others_is_put_out_again() -> None:
    project = Project(bindings=[{"role": "roles/viewer", "members": [ANN, BEN]}])
    kind, mine = project.gcp.kind(BINDING), binding(ANN)
    found = kind.read("p/roles/viewer", mine, {}, Context())
    assert found is not None and found.inputs["members"] == [ANN, BEN]
    assert kind.diff(found.id, found.inputs, found.outputs, mine).updates == ("members",)
    after = kind.update(found.id, found.inputs, found.outputs, mine, Context())
    assert project.bindings == {"roles/viewer": [ANN]}
    assert (
        kind.diff(found.id, mine, after, binding(ANN.upper().replace("USER", "user"))).updates == ()
    )


def test_a_binding_that_is_gone_is_one_without_members() -> None:
    project = Project()
    kind, mine = project.gcp.kind(BINDING), binding(ANN)
    found = kind.read("p/roles/viewer", mine, {}, Context())
    assert found is not None and found.outputs["members"] == []
    assert kind.diff(found.id, found.inputs, found.outputs, mine).updates == ("members",)
    moved = kind.diff(found.id, mine, {**mine, "etag": ""}, binding(ANN, role="roles/editor"))
    assert moved.replaces == ("role",)


def test_a_binding_under_a_condition_is_imported_by_its_title() -> None:
    condition = {"title": "office hours", "expression": "request.time.getHours() < 18"}
    bound = {"role": "roles/viewer", "members": [ANN], "condition": condition}
    project = Project(bindings=[{"role": "roles/viewer", "members": [BEN]}, bound])
    kind = project.gcp.kind(BINDING)
    found = kind.read("p roles/viewer office hours", {}, {}, Context())
    assert found is not None
    assert found.id == "p/roles/viewer/office hours//request.time.getHours() < 18"
    assert found.inputs["members"] == [ANN]
    change = kind.diff(found.id, found.inputs, found.outputs, binding(ANN, condition=condition))
    assert (change.updates, change.replaces) == ((), ())
    with pytest.raises(ProviderError, match="Wrong number of parts"):
        kind.read("p", {}, {}, Context())


def test_a_member_of_a_binding_needs_a_kind() -> None:
    _, failures = Project().gcp.kind(BINDING).check(binding(ANN, "ben"), {}, Context())
    assert [failure.property for failure in failures] == ["members"]


def test_the_logs_of_a_service_are_set_as_a_whole() -> None:
    other = {"service": "b.googleapis.com", "auditLogConfigs": [{"logType": "ADMIN_READ"}]}
    mine = {"service": "a.googleapis.com", "auditLogConfigs": [{"logType": "ADMIN_READ"}]}
    project = Project(auditConfigs=[mine, other], bindings=[{"role": "r", "members": [BEN]}])
    kind = project.gcp.kind(AUDIT)
    id, outputs = kind.create(audit(WRITES, READS), Context())
    assert id == "p/audit_config/a.googleapis.com"
    assert outputs["auditLogConfigs"] == [WRITES, {**READS, "exemptedMembers": []}]
    assert project.policy["auditConfigs"] == [
        other,
        {"service": "a.googleapis.com", "auditLogConfigs": [WRITES, READS]},
    ]
    assert project.bindings == {"r": [BEN]} and project.policy["version"] == 1
    kind.delete(id, audit(WRITES, READS), outputs, Context())
    assert project.policy["auditConfigs"] == [other]


def test_a_log_that_others_turned_off_comes_back() -> None:
    project = Project(auditConfigs=[{"service": "a.googleapis.com", "auditLogConfigs": [READS]}])
    kind, wanted = project.gcp.kind(AUDIT), audit(WRITES, READS)
    found = kind.read("p/audit_config/a.googleapis.com", wanted, {}, Context())
    assert found is not None
    change = kind.diff(found.id, found.inputs, found.outputs, wanted)
    assert change.updates == ("auditLogConfigs",)
    kind.update(found.id, found.inputs, found.outputs, wanted, Context())
    assert project.policy["auditConfigs"][0]["auditLogConfigs"] == [WRITES, READS]
    project.policy = {"etag": "e1"}
    assert kind.read(found.id, wanted, found.outputs, Context()) is None


def test_the_order_of_logs_says_nothing_and_they_are_imported_by_service() -> None:
    logs = [READS, WRITES]
    project = Project(auditConfigs=[{"service": "a.googleapis.com", "auditLogConfigs": logs}])
    kind = project.gcp.kind(AUDIT)
    found = kind.read("p a.googleapis.com", {}, {}, Context())
    assert found is not None and found.id == "p/audit_config/a.googleapis.com"
    for program in (audit(READS, WRITES), audit(WRITES, READS)):
        assert kind.diff(found.id, found.inputs, found.outputs, program).updates == ()


def test_members_bindings_and_logs_of_one_project_land_in_one_write() -> None:
    project = Project(bindings=[{"role": "roles/old", "members": [BEN]}])
    project.gcp.provider.batcher = Gathering(lambda key: 4)
    gone = {"project": "p", "role": "roles/old", "member": BEN}
    work = (
        lambda: project.gcp.kind(MEMBER).create({**gone, "role": "roles/new"}, Context()),
        lambda: project.gcp.kind(MEMBER).delete("", gone, {}, Context()),
        lambda: project.gcp.kind(BINDING).create(binding(ANN), Context()),
        lambda: project.gcp.kind(AUDIT).create(audit(READS), Context()),
    )
    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(each) for each in work]:
            done.result()
    assert project.api.sent().count(SET) == 1
    assert project.bindings == {"roles/new": [BEN], "roles/viewer": [ANN]}
    assert project.policy["auditConfigs"] == [
        {"service": "a.googleapis.com", "auditLogConfigs": [READS]}
    ]


def test_a_refused_binding_is_named_as_the_official_plugin_names_it() -> None:
    project = Project()
    denied = {"error": {"code": 403, "message": "Policy update access denied."}}
    project.api.script[SET].appendleft((403, denied))
    with pytest.raises(ProviderError) as raised:
        project.gcp.kind(BINDING).create(binding(ANN), Context())
    assert str(raised.value) == (
        'Request `Set IAM Binding for role "roles/viewer" on "project \\"p\\""` returned error: '
        'Error applying IAM policy for project "p": Error setting IAM policy for project "p": '
        "googleapi: Error 403: Policy update access denied."
    )


@pytest.mark.parametrize(
    ("token", "property", "name", "path"),
    [
        (
            "gcp:secretmanager/secretIamMember:SecretIamMember",
            "secretId",
            "s",
            "projects/p/secrets/s",
        ),
        (
            "gcp:kms/cryptoKeyIAMMember:CryptoKeyIAMMember",
            "cryptoKeyId",
            "projects/p/locations/r/keyRings/k/cryptoKeys/c",
            "projects/p/locations/r/keyRings/k/cryptoKeys/c",
        ),
    ],
)
def test_access_to_one_secret_or_key(token: str, property: str, name: str, path: str) -> None:
    bound = {"bindings": [{"role": "roles/r", "members": [ANN]}], "etag": "e1"}
    get, set_ = f"GET /v1/{path}:getIamPolicy", f"POST /v1/{path}:setIamPolicy"
    api = Scripted({get: [{"etag": "e0"}, bound], set_: bound})
    gcp, _ = configured(api)
    kind = gcp.kind(token)
    id, outputs = kind.create({property: name, "role": "roles/r", "member": ANN}, Context())
    assert id == f"{path}/roles/r/{ANN}" and outputs[property] == path
    assert api.bodies(set_) == [{"policy": {**bound, "etag": "e0", "version": 3}}]
    found = kind.read(f"{path} roles/r {ANN}", {}, {}, Context())
    assert found is not None and found.id == id
