"""What becomes of pending creates: from an exported state to one that can be imported."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from access.__main__ import main
from access.recover import (
    IDS,
    MONITORING,
    NAMED_BY_GOOGLE,
    REPEATABLE,
    VIEWER,
    CannotLook,
    UnknownKind,
    doubles,
    recovered,
    resource_id,
)
from policies.gcp_access import roles
from tests.recordings import CONTRACT, load

if TYPE_CHECKING:
    from simulator.testing import Simulated

pytest_plugins = ["simulator.testing"]

ROOT = Path(__file__).parents[2]
ACCOUNT = "gcp:serviceaccount/account:Account"
INPUTS = {"__defaults": ["disabled"], "accountId": "pm-deployer", "project": "p", "disabled": False}
URN = f"urn:pulumi:staging::pm::{ACCOUNT}::deployer"
POLICY = "gcp:monitoring/alertPolicy:AlertPolicy"
POLICIES = f"{MONITORING}/v3/projects/p/alertPolicies"
USER = "roles/serviceusage.serviceUsageConsumer"
LATE = {"project": "p", "displayName": "late"}


def begun(kind: str = ACCOUNT, type: str = "creating", **more: Any) -> dict[str, Any]:
    resource = {"urn": URN, "custom": True, "type": kind, "inputs": INPUTS, "provider": "x"}
    return {"type": type, "resource": resource | more}


def state(*operations: dict[str, Any], resources: Any = ()) -> dict[str, Any]:
    deployment = {"resources": list(resources), "pending_operations": list(operations)}
    return {"version": 3, "deployment": deployment}


def resources_of(state: dict[str, Any]) -> Any:
    found = recovered(state)["deployment"]
    assert "pending_operations" not in found
    return found["resources"]


def test_what_cannot_be_created_twice_is_written_down_as_if_it_had_been_created() -> None:
    [made] = resources_of(state(begun()))
    assert made["id"] == "projects/p/serviceAccounts/pm-deployer@p.iam.gserviceaccount.com"
    assert made["inputs"] == INPUTS
    assert made["provider"] == "x"


def test_its_outputs_are_what_the_program_gave_and_no_defaults() -> None:
    [made] = resources_of(state(begun()))
    assert made["outputs"] == {"accountId": "pm-deployer", "project": "p"}


@pytest.mark.parametrize("folder", ["core", "more"])
def test_the_ids_are_those_of_the_official_plugin(folder: str) -> None:
    items = load(CONTRACT / folder / "state.jsonl")
    known = [item for item in items if item["type"] in IDS]
    assert len(known) > 5
    for item in known:
        inputs = {"project": "iot-prod", **item["inputs"]}
        assert resource_id(item["type"], inputs) == item["id"], item["name"]


@pytest.mark.parametrize("kind", REPEATABLE)
def test_what_may_be_created_again_is_forgotten(kind: str) -> None:
    assert resources_of(state(begun(kind))) == []


def test_a_component_is_forgotten() -> None:
    kind = "predictive-maintenance:components:Access"
    assert resources_of(state(begun(kind, custom=False))) == []


@pytest.mark.parametrize("type", ["updating", "deleting", "reading"])
def test_other_interrupted_operations_leave_the_resource_as_it_was(type: str) -> None:
    there = {"urn": URN, "id": "1"}
    assert resources_of(state(begun(type=type), resources=[there])) == [there]


def test_what_was_to_be_replaced_is_deleted_later() -> None:
    old = {"urn": URN, "id": "old"}
    kept, made = resources_of(state(begun(), resources=[old]))
    assert kept == {**old, "delete": True}
    assert made["id"].startswith("projects/p/serviceAccounts/")


def test_what_made_room_for_its_replacement_is_gone() -> None:
    old = {"urn": URN, "id": "old", "pendingReplacement": True}
    [made] = resources_of(state(begun(), resources=[old]))
    assert made["id"] != "old"


def test_a_kind_that_nobody_thought_of_is_named_with_what_to_do() -> None:
    with pytest.raises(UnknownKind, match=r"AlertPolicy.*alertPolicies.list.*pulumi import"):
        recovered(state(begun("gcp:monitoring/alertPolicy:AlertPolicy")))


def test_an_input_that_the_id_needs_is_named() -> None:
    with pytest.raises(UnknownKind, match="lack 'project'"):
        recovered(state(begun(inputs={"accountId": "a"})))


class Lists:
    """What Google lists, page by page; asked for anything else, it has no such thing."""

    def __init__(self, **pages: Any) -> None:
        self.pages, self.asked = pages, list[str]()

    def __call__(self, url: str) -> tuple[int, Any]:
        self.asked.append(url)
        path, _, token = url.partition("?pageToken=")
        kind = path.rpartition("/")[2]
        if kind not in self.pages:
            return 404, {"error": {"message": "not found"}}
        number = int(token or 0)
        more = {"nextPageToken": str(number + 1)} if number + 1 < len(self.pages[kind]) else {}
        return 200, {kind: self.pages[kind][number], **more}


def named(*names: str, called: str = "late") -> list[Any]:
    return [{"name": f"projects/p/{name}", "displayName": called} for name in names]


def alert(id: str = "", *, project: str = "p", **more: Any) -> dict[str, Any]:
    there = {"urn": URN, "type": POLICY, "inputs": {**LATE, "project": project}}
    return there | ({"id": f"projects/{project}/alertPolicies/{id}"} if id else {}) | more


@pytest.mark.parametrize(
    ("kind", "inputs", "lists", "id"),
    [
        (POLICY, LATE, {"alertPolicies": named("alertPolicies/7")}, "alertPolicies/7"),
        (
            "gcp:monitoring/notificationChannel:NotificationChannel",
            {**LATE, "type": "email"},
            {
                "notificationChannels": [
                    {**item, "type": kind}
                    for item, kind in zip(
                        named("notificationChannels/1", "notificationChannels/2"),
                        ("sms", "email"),
                        strict=True,
                    )
                ]
            },
            "notificationChannels/2",
        ),
        (
            "gcp:monitoring/customService:CustomService",
            {**LATE, "serviceId": "pm"},
            {"services": named("services/late", "services/pm")},
            "services/pm",
        ),
        (
            "gcp:monitoring/customService:CustomService",
            LATE,
            {"services": named("services/s1")},
            "services/s1",
        ),
        (
            "gcp:monitoring/slo:Slo",
            {**LATE, "service": "pm", "sloId": "up"},
            {"serviceLevelObjectives": named("services/pm/serviceLevelObjectives/up")},
            "services/pm/serviceLevelObjectives/up",
        ),
        (
            "gcp:monitoring/dashboard:Dashboard",
            {"project": "p", "dashboardJson": json.dumps({"displayName": "late"})},
            {"dashboards": named("dashboards/3")},
            "dashboards/3",
        ),
    ],
)
def test_what_google_names_is_found_by_what_identifies_it(
    kind: str, inputs: Any, lists: Any, id: str
) -> None:
    begin = state(begun(kind, inputs=inputs))
    look = Lists(**{key: [named("other/0", called="other"), items] for key, items in lists.items()})
    [made] = recovered(begin, look)["deployment"]["resources"]
    assert made["id"] == f"projects/p/{id}"
    assert made["outputs"] == inputs
    # Without it, its create never happened.
    empty = Lists(**{key: [named("other/0", called="other")] for key in lists})
    assert recovered(begin, empty)["deployment"]["resources"] == []


def test_what_the_state_knows_already_is_not_found_again() -> None:
    """By number or by id of the project."""
    look = Lists(alertPolicies=[named("alertPolicies/7", "alertPolicies/8")])
    begin = state(begun(POLICY, inputs=LATE), resources=[alert("7")])
    kept, made = recovered(begin, look)["deployment"]["resources"]
    assert kept == alert("7", delete=True)
    assert made["id"] == "projects/p/alertPolicies/8"

    by_number = Lists(alertPolicies=[[{**LATE, "name": "projects/12/alertPolicies/7"}]])
    assert recovered(begin, by_number)["deployment"]["resources"] == [alert("7")]
    elsewhere = state(begun(POLICY, inputs=LATE), resources=[alert("8", project="q")])
    with pytest.raises(UnknownKind):
        recovered(elsewhere, look)


def test_what_was_made_twice_is_named_by_its_url() -> None:
    """Not what the state knows, were it to be deleted."""
    look = Lists(
        alertPolicies=[named("alertPolicies/6", "alertPolicies/7", "alertPolicies/8")],
        notificationChannels=[named("notificationChannels/1")],
    )
    there = [alert("6", delete=True), alert("7"), begun()["resource"]]
    assert doubles(state(resources=there), look) == [f"{POLICIES}/8"]
    assert look.asked == [POLICIES]
    assert doubles(state(resources=[*there, alert("8")]), look) == []


def test_what_one_create_adopted_is_not_adopted_by_the_next() -> None:
    look = Lists(alertPolicies=[named("alertPolicies/7")])
    twice = [begun(POLICY, inputs=LATE), begun(POLICY, inputs=LATE, urn=f"{URN}-2")]
    [made] = recovered(state(*twice), look)["deployment"]["resources"]
    assert made["id"] == "projects/p/alertPolicies/7"
    assert look.asked == [POLICIES]


def test_several_that_could_be_meant_are_named_with_what_to_do() -> None:
    look = Lists(alertPolicies=[named("alertPolicies/7"), named("alertPolicies/8")])
    with pytest.raises(UnknownKind, match=r"2 of .*Policies/7, .*Policies/8. Delete all but"):
        recovered(state(begun(POLICY, inputs=LATE)), look)


@pytest.mark.parametrize(
    ("kind", "inputs", "lacks"),
    [
        (POLICY, {"displayName": "late"}, "project"),
        (POLICY, {"project": "p", "displayName": {"ciphertext": "x"}}, "displayName"),
        ("gcp:monitoring/slo:Slo", {**LATE, "sloId": "up"}, "service"),
        (
            "gcp:monitoring/dashboard:Dashboard",
            {"project": "p", "dashboardJson": {"ciphertext": "x"}},
            "displayName",
        ),
    ],
)
def test_what_cannot_be_looked_up_is_left_to_a_person(kind: str, inputs: Any, lacks: str) -> None:
    look = Lists(alertPolicies=[[]], dashboards=[[]], serviceLevelObjectives=[[]])
    with pytest.raises(UnknownKind, match=f"lack '{lacks}'"):
        recovered(state(begun(kind, inputs=inputs)), look)
    assert not look.asked


def test_a_service_that_is_not_there_has_no_objective() -> None:
    objective = {"project": "p", "service": "pm", "sloId": "up"}
    begin = state(begun("gcp:monitoring/slo:Slo", inputs=objective))
    assert recovered(begin, Lists())["deployment"]["resources"] == []


def test_nothing_is_looked_up_that_follows_from_the_inputs() -> None:
    look = Lists()
    recovered(state(begun(), begun(POLICY, "updating", inputs=LATE)), look)
    assert not look.asked


def test_a_list_that_fails_is_not_an_empty_one() -> None:
    for status in (401, 429, 503):
        with pytest.raises(CannotLook, match=f"GET {POLICIES}: {status} later"):
            recovered(
                state(begun(POLICY, inputs=LATE)),
                lambda url, status=status: (status, {"error": {"message": "later"}}),
            )


def test_the_role_that_is_named_holds_every_permission_that_looking_takes() -> None:
    held = roles.permissions(VIEWER)
    assert held and {item.permission for item in NAMED_BY_GOOGLE.values()} <= held


def test_every_kind_that_the_stack_declares_is_known() -> None:
    """By what the components call: a new kind of resource needs a line in the table."""
    declared = {
        (module, name)
        for file in (ROOT / "components").glob("*.py")
        for module, name in re.findall(r"\bgcp\.(\w+)\.([A-Z]\w+)\(", file.read_text())
    }
    kinds = (*IDS, *NAMED_BY_GOOGLE, *REPEATABLE)
    known = {tuple(re.split(r"[:/]", kind)[1::2]) for kind in kinds if "/" in kind}
    assert declared and {(m, n) for m, n in declared} <= known


def test_the_command_reads_an_export_and_writes_what_can_be_imported() -> None:
    done = CliRunner().invoke(main, ["recover"], input=json.dumps(state(begun())))
    assert done.exit_code == 0, done.output
    assert json.loads(done.output) == recovered(state(begun()))


def test_the_command_says_what_it_cannot_settle() -> None:
    done = CliRunner().invoke(
        main, ["recover"], input=json.dumps(state(begun("gcp:monitoring/alertPolicy:AlertPolicy")))
    )
    assert done.exit_code == 1
    assert "gcp:monitoring/alertPolicy:AlertPolicy" in done.output


def test_the_command_looks_up_nothing_offline() -> None:
    begin = json.dumps(state(begun(POLICY, inputs=LATE)))
    done = CliRunner().invoke(main, ["recover", "--offline"], input=begin)
    assert done.exit_code == 1
    assert "projects.alertPolicies.list" in done.output and "pulumi import" in done.output


@pytest.fixture
def google_cloud_seed() -> Any:
    """A project with a viewer, an editor and a stranger."""
    grants = [("viewer", VIEWER), ("editor", "roles/monitoring.editor")]
    # What a person's credentials take, whatever they ask.
    grants += [(who, USER) for who in ("viewer", "editor", "stranger")]
    return {
        "projects": [{"id": "p", "number": "12", "services": ["monitoring.googleapis.com"]}],
        "grants": [
            {"resource": "projects/p", "role": role, "member": f"user:{who}@example.com"}
            for who, role in grants
        ],
    }


def test_the_command_looks_up_what_google_names(google_cloud: Simulated) -> None:
    google_cloud.act_as("user:editor@example.com")
    import google.auth
    from google.auth.transport.requests import AuthorizedSession

    editor: Any = AuthorizedSession(google.auth.default()[0])
    v1, v3 = (f"{MONITORING}/{version}/projects/p" for version in ("v1", "v3"))
    mail = {"type": "email", "displayName": "mail", "labels": {"email_address": "a@example.com"}}
    dashboard = {"displayName": "board", "gridLayout": {}}
    made = {}
    for kind, inputs, url, body in (
        ("notificationChannel:NotificationChannel", mail, f"{v3}/notificationChannels", mail),
        (
            "dashboard:Dashboard",
            {"dashboardJson": json.dumps(dashboard)},
            f"{v1}/dashboards",
            dashboard,
        ),
        (
            "customService:CustomService",
            {"serviceId": "pm"},
            f"{v3}/services?serviceId=pm",
            {"custom": {}},
        ),
    ):
        answer = editor.post(url, json=body)
        assert answer.ok, answer.text
        made[answer.json()["name"]] = begun(
            f"gcp:monitoring/{kind}", inputs={**inputs, "project": "p"}, urn=f"{URN}-{kind}"
        )
    begin = json.dumps(state(*made.values(), begun(POLICY, inputs=LATE, urn=f"{URN}-never")))
    google_cloud.act_as("user:viewer@example.com")
    done = CliRunner().invoke(main, ["recover"], input=begin)
    assert done.exit_code == 0, done.output
    found = json.loads(done.output)["deployment"]["resources"]
    assert [resource["id"] for resource in found] == list(made)

    google_cloud.act_as("user:editor@example.com")
    double = editor.post(f"{v3}/notificationChannels", json=mail).json()["name"]
    google_cloud.act_as("user:viewer@example.com")
    told = CliRunner().invoke(main, ["doubles"], input=done.output)
    assert told.exit_code == 0, told.output
    assert told.stdout == f"{MONITORING}/v3/{double}\n"
    assert "delete these" in told.stderr


def test_the_command_says_what_looking_takes(
    google_cloud: Simulated, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = json.dumps(state(begun(POLICY, inputs=LATE)))
    google_cloud.act_as("user:stranger@example.com")
    done = CliRunner().invoke(main, ["recover"], input=begin)
    assert done.exit_code == 1
    assert "denied" in done.output
    assert f"Looking takes monitoring.alertPolicies.list, which {VIEWER} has" in done.output

    begin = json.dumps(state(resources=[alert("7")]))
    done = CliRunner().invoke(main, ["doubles"], input=begin)
    assert done.exit_code == 1 and "monitoring.alertPolicies.list" in done.output
    begin = json.dumps(state(begun(POLICY, inputs=LATE)))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere.json")
    done = CliRunner().invoke(main, ["recover"], input=begin)
    assert done.exit_code == 1
    assert "no Google credentials" in done.output and "gcloud auth" in done.output
