"""Who gains and loses what, by recorded previews and by states of the shapes that grants have."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from access.__main__ import main
from access.diff import (
    UNKNOWN,
    NotReadable,
    between,
    granting,
    of_preview,
    of_states,
    told,
)
from access.report import STRONGER
from policies.gcp_access import powers, roles
from tests.previews import preview

ANN, BOT = "user:ann@example.com", "serviceAccount:bot@p.iam.gserviceaccount.com"
ROLE = "projects/p/roles/r"
PROJECT_MEMBER = "gcp:projects/iAMMember:IAMMember"
ACCOUNT_MEMBER = "gcp:serviceaccount/iAMMember:IAMMember"


def resource(type_: str, name: str = "it", /, *, about: Any = None, **inputs: Any) -> Any:
    return {"urn": f"urn:pulumi:s::p::{type_}::{name}", "type": type_, "inputs": inputs} | (
        about or {}
    )


def grant(role: str = ROLE, member: str = ANN, **more: Any) -> Any:
    return resource(PROJECT_MEMBER, project="p", role=role, member=member, **more)


def custom(*permissions: str) -> Any:
    type_ = "gcp:projects/iAMCustomRole:IAMCustomRole"
    return resource(type_, project="p", roleId="r", permissions=list(permissions))


def state(*resources: Any) -> Any:
    return {"version": 3, "deployment": {"resources": list(resources)}}


def gained(*resources: Any, before: tuple[Any, ...] = ()) -> list[tuple[str, str, tuple[str, ...]]]:
    found = of_states(state(*before), state(*resources))
    return [(change.member, change.on, change.permissions) for change in found.gained]


def test_what_grants_is_compared_as_the_whole_state_is() -> None:
    shared = resource("gcp:any/sharing:Sharing", role="roles/viewer", member=ANN, project="p")
    pool = resource("gcp:iam/workloadIdentityPoolProvider:WorkloadIdentityPoolProvider", oidc={})
    stays = resource(PROJECT_MEMBER, "stays", role=ROLE, member=BOT, about={"retainOnDelete": True})
    before = [
        custom("a.b.get"),
        grant(),
        stays,
        resource("gcp:pubsub/topic:Topic", "topic", name="t"),
    ]
    after = [custom("a.b.set"), grant(), shared, pool, resource("pulumi:pulumi:Stack", "stack")]
    kept = [granting({it["urn"]: it for it in there}) for there in (before, after)]
    assert [len(it) for it in kept] == [3, 4]
    assert between(*kept) == of_states(state(*before), state(*after))
    assert any("retainOnDelete" in text for text in between(*kept).unread)


def test_a_changed_role_shows_for_each_who_holds_it() -> None:
    bound = "gcp:projects/iAMBinding:IAMBinding"
    holders = resource(bound, project="p", role=ROLE, members=[ANN, BOT])
    found = of_states(state(custom("a.b.get"), holders), state(custom("a.b.set"), holders))
    assert [(c.member, c.permissions) for c in found.gained] == [
        (BOT, ("a.b.set",)),
        (ANN, ("a.b.set",)),
    ]
    assert [(c.member, c.permissions) for c in found.lost] == [
        (BOT, ("a.b.get",)),
        (ANN, ("a.b.get",)),
    ]
    assert found.gained[0].roles == (ROLE,)


def test_what_one_has_by_another_role_already_is_not_gained() -> None:
    viewer = grant("roles/pubsub.viewer")
    assert (
        gained(viewer, custom("pubsub.topics.get"), grant() | {"urn": "u"}, before=(viewer,)) == []
    )


@pytest.mark.parametrize(
    ("type_", "inputs", "on"),
    [
        (PROJECT_MEMBER, {"project": "p"}, "project p"),
        (ACCOUNT_MEMBER, {"serviceAccountId": f"projects/p/serviceAccounts/{BOT[15:]}"},
         f"account {BOT[15:]}"),
        ("gcp:storage/bucketIAMMember:BucketIAMMember", {"bucket": "b"}, "bucket b"),
        ("gcp:bigquery/datasetIamMember:DatasetIamMember", {"datasetId": "d", "project": "p"},
         "dataset d (p)"),
        ("gcp:pubsub/topicIAMMember:TopicIAMMember", {"topic": "t", "project": "p"}, "topic t (p)"),
        ("gcp:pubsub/subscriptionIAMMember:SubscriptionIAMMember",
         {"subscription": "s", "project": "p"}, "subscription s (p)"),
        ("gcp:vertex/aiEndpointIamMember:AiEndpointIamMember",
         {"endpoint": "7", "location": "us-central1", "project": "p"}, "endpoint 7 (p)"),
        ("gcp:kms/cryptoKeyIAMMember:CryptoKeyIAMMember", {"cryptoKeyId": "a/b/k"}, "cryptokey k"),
    ],
)  # fmt: skip
def test_what_a_grant_is_on(type_: str, inputs: dict[str, str], on: str) -> None:
    (change,) = gained(custom("a.b.get"), resource(type_, "g", role=ROLE, member=ANN, **inputs))
    assert change == (ANN, on, ("a.b.get",))


def test_a_policy_grants_what_is_in_its_data() -> None:
    data = json.dumps({"bindings": [{"role": ROLE, "members": [ANN]}]})
    policy = resource("gcp:storage/bucketIAMPolicy:BucketIAMPolicy", bucket="b", policyData=data)
    found = of_states(state(custom("a.b.get")), state(custom("a.b.get"), policy))
    assert [(c.member, c.on) for c in found.gained] == [(ANN, "bucket b")]
    assert found.unread == (
        "BucketIAMPolicy it takes away what others were granted beside the stack",
    )


def test_a_condition_is_a_part_of_what_is_granted() -> None:
    found = of_states(
        state(custom("a.b.get"), grant()),
        state(custom("a.b.get"), grant(condition={"expression": "request.time < x"})),
    )
    assert [change.condition for change in (*found.gained, *found.lost)] == ["request.time < x", ""]


def test_a_role_of_somewhere_else_is_told_as_a_whole() -> None:
    assert gained(grant("projects/other/roles/x")) == [
        (ANN, "project p", ("all of projects/other/roles/x",))
    ]


@pytest.mark.parametrize(
    ("type_", "said"),
    [
        ("gcp:storage/bucketACL:BucketACL", "cannot be read here"),
        ("gcp:iam/workloadIdentityPoolProvider:WorkloadIdentityPoolProvider", "who its members"),
        ("gcp:projects/iAMMemberRemove:IAMMemberRemove", "takes a grant away"),
    ],
)
def test_what_cannot_be_read_is_said(type_: str, said: str) -> None:
    found = of_states(state(), state(resource(type_, roleEntities=["OWNER:allUsers"])))
    (text,) = found.unread
    assert said in text
    assert not of_states(state(), state(resource("gcp:projects/iAMAuditConfig:IAMAuditConfig")))


def test_a_grant_that_is_left_behind_is_not_lost() -> None:
    kept = grant() | {"retainOnDelete": True}
    found = of_states(state(custom("a.b.get"), kept), state(custom("a.b.get")))
    assert not found.lost
    assert found.unread == (
        f"the grant to {ANN} on project p leaves the stack and stays (retainOnDelete)",
    )


def test_who_can_work_as_somebody_becomes_as_strong() -> None:
    strong = resource(PROJECT_MEMBER, "bot", project="p", role=ROLE, member=BOT)
    becomes = resource(
        ACCOUNT_MEMBER,
        role="roles/iam.serviceAccountTokenCreator",
        member=ANN,
        serviceAccountId=f"projects/p/serviceAccounts/{BOT.partition(':')[2]}",
    )
    there = (custom("iam.roles.update"), strong)
    found = of_states(state(*there), state(*there, becomes))
    assert [(way.member, way.permission, way.through) for way in found.stronger] == [
        (ANN, "iam.roles.update", BOT)
    ]
    assert of_states(state(*there, becomes), state(*there)).weaker == found.stronger


def test_becoming_one_account_makes_nobody_strong_and_any_account_does() -> None:
    user = "roles/iam.serviceAccountUser"
    one = resource(ACCOUNT_MEMBER, role=user, member=ANN, serviceAccountId=BOT)
    assert of_states(state(), state(one)).stronger == ()
    (way,) = of_states(state(), state(grant(user))).stronger
    assert (way.permission, way.on) == ("iam.serviceAccounts.actAs", "project p")


@pytest.mark.parametrize("permission", sorted(powers.ESCALATES))
def test_what_the_pack_says_escalates_makes_stronger(permission: str) -> None:
    (way,) = of_states(state(), state(custom(permission), grant())).stronger
    assert way.permission == permission


def test_what_makes_stronger_exists() -> None:
    assert [name for name in STRONGER if not roles.exists(name)] == []


def test_a_first_deployment_gives_what_is_held_when_it_is_up() -> None:
    """Where a preview knows no role, account or bucket yet, by what they depend on."""
    first = of_preview(preview("first-deployment"))
    up = [step["newState"] for step in preview("no-change")["steps"]]
    there = of_states(state(), state(*up))
    assert {c for c in there.gained if not re.search("(service|bq)-1000", c.member)} == {
        change for change in first.gained if "known after" not in change.member
    }
    agents = {c.member for c in first.gained if "known after" in c.member}
    assert agents == {
        f"(known after `up`: {name})"
        for name in (
            *("vertex-agent", "pubsub-agent", "monitoring-agent"),
            *("vertex-agent-of-key", "pubsub-agent-of-key"),
        )
    }
    assert {way.member for way in first.stronger} <= agents  # by the roles that Google gives them
    assert first.lost == first.unread == ()


def test_a_role_and_a_member_of_which_nothing_is_known_are_told_by_what_they_come_from() -> None:
    late = grant(UNKNOWN, UNKNOWN, about={"propertyDependencies": {"role": ["urn::x::y::role"]}})
    assert gained(late) == [
        ("(known after `up`: it)", "project p", ("all of (known after `up`: role)",))
    ]


def test_a_preview_without_what_stays_the_same_is_refused() -> None:
    short = preview("access-lost")
    short["steps"] = [step for step in short["steps"] if step["op"] != "same"]
    with pytest.raises(NotReadable, match="--show-sames"):
        of_preview(short)
    for nothing in ({}, {"steps": None}):
        with pytest.raises(NotReadable):
            of_preview(nothing)
        with pytest.raises(NotReadable):
            of_states(nothing, nothing)


def test_it_is_told_in_80_columns() -> None:
    lines = list(told(of_preview(preview("over-broad-grant"))))
    assert all(len(line) <= 80 for line in lines if " " in line.strip())
    assert "    by roles/editor" in lines
    assert "Access lost: none" in lines


def test_the_command_compares_states_and_reads_a_preview(tmp_path: Path) -> None:
    (tmp_path / "before").write_text(json.dumps(state()))
    (tmp_path / "after").write_text(json.dumps(state(custom("a.b.get"), grant())))
    done = CliRunner().invoke(
        main, ["diff", str(tmp_path / "before"), str(tmp_path / "after"), "--json"]
    )
    assert json.loads(done.output)["gained"][0]["permissions"] == ["a.b.get"]
    (tmp_path / "preview").write_text(json.dumps(preview("access-gained")))
    done = CliRunner().invoke(main, ["diff", str(tmp_path / "preview"), "--markdown"])
    assert "`group:gateways@example.com` on topic telemetry" in done.output
    done = CliRunner().invoke(main, ["diff", str(tmp_path / "before")])
    assert done.exit_code == 1
    assert "no steps" in done.output
