"""The thread's causes: their table, what carries out a fix, and all of them played."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from access import sentences as said
from access.answer import explained
from components import permissions as table
from rehearsal import causes
from rehearsal.causes import CAUSES, CREATE, Cause, Expected
from rehearsal.engine import Outcome
from rehearsal.report import Report
from rehearsal.run import Rehearsal
from rehearsal.sandbox import GoogleError
from rehearsal.scene import Refused, Scene, UnknownCommand, printed
from simulator.services.orgpolicy.state import EXPIRY
from simulator.services.vertex import resources
from tests.rehearsal.playing import play

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "scenarios.md"
DENIED = (
    "Permission 'aiplatform.endpoints.create' denied on resource '//aiplatform.googleapis.com/"
    "projects/p/locations/us-central1' (or it may not exist)."
)


def test_the_page_is_current() -> None:
    run = "run: python -m rehearsal.causes > docs/reference/scenarios.md"
    assert PAGE.read_text() == causes.page(), run


def test_limits_are_called_as_the_simulator_calls_them() -> None:
    theirs = (resources.CPU_QUOTA, resources.ENDPOINT_QUOTA, EXPIRY)
    assert theirs == (causes.CPU_QUOTA, causes.ENDPOINT_QUOTA, causes.EXPIRY)


def test_a_name_is_of_one_cause() -> None:
    assert len({cause.name for cause in CAUSES}) == len(CAUSES)


@pytest.mark.parametrize(
    ("expected", "fault"),
    [
        (Expected(said.PERMISSION, CREATE, table.DEPLOYER, "projects/p", "add-iam"), None),
        (Expected(said.SERVICE, CREATE), "kind: expected 'service', explained 'permission'"),
        (Expected(said.PERMISSION, "x.y.z", table.DEPLOYER), "permission: expected 'x.y.z'"),
        (Expected(said.PERMISSION, CREATE, table.SERVING), "identity: expected 'serving'"),
        (Expected(said.PERMISSION, CREATE, table.DEPLOYER, "projects/q"), "on: expected"),
        (Expected(said.PERMISSION, CREATE, table.DEPLOYER, fix="undelete"), "fix: expected"),
    ],
)
def test_what_an_explanation_lacks_is_named(expected: Expected, fault: str | None) -> None:
    faults = expected.faults(explained(DENIED))
    assert [text[: len(fault or text)] for text in faults] == ([fault] if fault else [])


def test_something_that_is_no_denial_is_no_explanation() -> None:
    [fault] = Expected(said.QUOTA).faults(explained("it did not work"))
    assert fault == "one denial expected, found []"


def test_what_does_not_pass_by_itself_is_not_said_to() -> None:
    found = explained("The following quotas are exceeded: CustomModelServingCPUsPerProject 8")
    [fault] = Expected(said.QUOTA, wait=True).faults(found)
    assert fault == "expected that it may pass by itself"


class Cloud:
    """Answers with what it is given, and keeps what it was asked."""

    def __init__(self, answers: dict[str, Any]) -> None:
        self.answers = answers
        self.asked: list[tuple[str, str, Any]] = []

    def call(self, verb: str, url: str, body: Any = None) -> Any:
        self.asked.append((verb, url.partition("googleapis.com")[2], body))
        answer = self.answers.get(url.rpartition("/")[2], {})
        if isinstance(answer, Exception):
            raise answer
        return answer

    def finish(self, operation: Any, url: str) -> Any:
        return operation


def scene(**answers: Any) -> tuple[Scene, Cloud]:
    cloud = Cloud(answers)
    run: Any = SimpleNamespace(
        options=SimpleNamespace(settings={}, stack="staging"),
        environment=SimpleNamespace(settings=SimpleNamespace(project="p")),
        sandbox=SimpleNamespace(google=lambda who: cloud, wait=lambda seconds: None),
        explained=lambda: Rehearsal.explained(run),
        explain=lambda error: run.told.append(str(error)),
        told=[],
    )
    return Scene(run), cloud


def test_a_permission_goes_into_the_role_beside_what_it_has() -> None:
    here, cloud = scene(r1={"includedPermissions": ["a.b.c"]})
    here.gcloud("gcloud iam roles update r1 --project=p --add-permissions=x.y.z")
    mask = "?updateMask=includedPermissions"
    assert cloud.asked == [
        ("GET", "/v1/projects/p/roles/r1", None),
        ("PATCH", f"/v1/projects/p/roles/r1{mask}", {"includedPermissions": ["a.b.c", "x.y.z"]}),
    ]


@pytest.mark.parametrize(
    ("command", "read", "url"),
    [
        ("projects add-iam-policy-binding q --condition=None", "q:getIamPolicy", "/v1/projects/q"),
        (
            "iam service-accounts add-iam-policy-binding a@q.iam.gserviceaccount.com --project=q",
            "a@q.iam.gserviceaccount.com:getIamPolicy",
            "/v1/projects/-/serviceAccounts/a@q.iam.gserviceaccount.com",
        ),
    ],
)
def test_a_binding_is_added_to_those_there_are(command: str, read: str, url: str) -> None:
    there = {"role": "roles/viewer", "members": ["user:v@example.com"]}
    here, cloud = scene(**{read: {"etag": "e", "bindings": [there]}})
    here.gcloud(f"gcloud {command} --member=user:m@example.com --role=roles/browser")
    added = {"role": "roles/browser", "members": ["user:m@example.com"]}
    policy = {"etag": "e", "bindings": [there, added]}
    assert cloud.asked[-1] == ("POST", f"{url}:setIamPolicy", {"policy": policy})


def test_a_bucket_has_a_policy_of_another_form() -> None:
    here, cloud = scene()
    bind = "gcloud storage buckets add-iam-policy-binding gs://b"
    here.gcloud(f"{bind} --member=user:m@example.com --role=roles/browser")
    bindings = [{"role": "roles/browser", "members": ["user:m@example.com"]}]
    assert cloud.asked[-1] == ("PUT", "/storage/v1/b/b/iam", {"bindings": bindings})


def test_what_is_refused_is_said_as_gcloud_says_it() -> None:
    # gcp-facts/02_errors.md
    message = "Permission resourcemanager.projects.list is not valid."
    error = {"code": 400, "status": "INVALID_ARGUMENT", "message": message}
    here, _ = scene(roles=GoogleError(400, {"error": error}))
    with pytest.raises(Refused) as refused:
        here.gcloud("gcloud iam roles create r1 --project=p --permissions=x.y.z")
    assert str(refused.value) == f"ERROR: (gcloud.iam.roles.create) INVALID_ARGUMENT: {message}"


def test_a_command_that_only_looks_changes_nothing_and_no_other_is_passed_over() -> None:
    here, cloud = scene()
    here.gcloud("gcloud iam roles describe r1 --project=p")
    assert cloud.asked == []
    with pytest.raises(UnknownCommand, match="projects delete p"):
        here.gcloud("gcloud projects delete p")


def test_errors_are_printed_under_the_resource_that_failed() -> None:
    urn = "urn:pulumi:staging::p::x:index:Part$gcp:vertex/aiEndpoint:AiEndpoint::endpoint"
    outcome = Outcome(ok=False, errors=["one", "update failed"], failed={urn: {"errors": ["one"]}})
    told = "  gcp:vertex/aiEndpoint:AiEndpoint (endpoint):\n    error: one"
    assert printed(outcome) == f"Diagnostics:\n{told}"
    assert printed(Outcome(ok=False, errors=["two"])) == "Diagnostics:\n    error: two"


def refused(here: Scene) -> None:
    raise Refused(DENIED)


def passes(here: Scene) -> None:
    pass


def only_when_cured(here: Scene) -> None:
    if not here.cured:
        raise Refused(DENIED)


RIGHT = Expected(said.PERMISSION, CREATE, table.DEPLOYER)


@pytest.mark.parametrize(
    ("deploy", "expected", "held", "told"),
    [
        (only_when_cured, RIGHT, True, []),
        (passes, RIGHT, False, ["c: the deployment was expected to fail, and passed"]),
        (refused, RIGHT, False, ["c: expected to pass when mended"]),
        (
            only_when_cured,
            Expected(said.PERMISSION, CREATE, table.SERVING),
            False,
            ["c is explained wrongly: identity: expected 'serving', explained 'deployer'"],
        ),
    ],
)
def test_a_scenario_that_fails_says_what_was_expected(
    monkeypatch: pytest.MonkeyPatch,
    deploy: causes.Act,
    expected: Expected,
    held: bool,
    told: list[str],
) -> None:
    here, _ = scene()
    here.environment.settings.email = lambda identity: "pm-deployer@p.iam.gserviceaccount.com"

    @contextmanager
    def staged(report: Report) -> Iterator[Scene]:
        yield here

    monkeypatch.setattr(causes, "staged", staged)
    monkeypatch.setattr(causes, "explained", lambda text, settings: explained(text))
    cause = Cause("c", "what", causes.ENGINE, (), deploy, expected, causes.done_right, "mended")
    report = Report("c", Console(file=io.StringIO()))
    assert causes.play(report, [cause, cause] if held else [cause]) == held
    assert vars(here.run)["told"] == told


@pytest.mark.sweep
def test_every_cause_is_explained_and_cured() -> None:
    code, output, _ = play("scenario", "all")
    assert code == 0, output
    played = [line.split()[1] for line in output.splitlines() if line.startswith("✓")]
    assert played[-len(CAUSES) :] == [cause.name for cause in CAUSES]
