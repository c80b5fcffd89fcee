"""What verify makes of Google's answers, those too that no rehearsed cloud gives, and who is asked.

A whole environment with faults planted in it is verified by tests/rehearsal/test_verify.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from access import verify as checks
from access.__main__ import main
from access.answer import settings_of
from access.live import Live
from access.verify import FAIL, PASS, QUOTA, UNKNOWN, Asked, Finding
from components import permissions as table
from vertexops.errors import GoogleError

ROOT = Path(__file__).parents[2]
SETTINGS = settings_of("staging", ROOT)
PLATFORM = SETTINGS.platform_member.removeprefix("user:")
DENIED = GoogleError(403, "PERMISSION_DENIED", "Permission 'x.y.z' denied on resource 'r'.")
ASKED = Asked()
NOT_BECOME = GoogleError(
    403,
    "PERMISSION_DENIED",
    "Permission 'iam.serviceAccounts.getAccessToken' denied on resource (or it may not exist).",
)


class Google:
    """Answers by the end of a URL without its query; anything else is refused."""

    def __init__(self, answers: Mapping[str, Any], otherwise: GoogleError = DENIED) -> None:
        self.answers, self.otherwise, self.asked = answers, otherwise, list[tuple[str, str, Any]]()

    def request(self, verb: str, url: str, body: Any = None) -> Any:
        self.asked.append((verb, url, body))
        for end, answer in self.answers.items():
            if url.partition("?")[0].endswith(end):
                if isinstance(answer, GoogleError):
                    raise answer
                return answer
        raise self.otherwise


def live(
    own: Mapping[str, Any], become: Mapping[str, Any] | GoogleError = NOT_BECOME, me: str = ""
) -> Live:
    """A cloud that answers so to whoever asks, and so to every account of the stack."""
    found = Live(SETTINGS, me)
    found.own = Google(own)
    another = become if isinstance(become, GoogleError) else DENIED
    account = Google({} if isinstance(become, GoogleError) else become, another)
    real = found.become
    found.become = lambda who: real(who) if who == me else account
    return found


def found(check: Callable[..., Any], there: Live, asked: Asked = ASKED) -> list[Finding]:
    return list(check(there, asked))


def states(findings: list[Finding]) -> set[str]:
    return {finding.state for finding in findings}


@pytest.mark.parametrize("name", checks.CHECKS)
def test_who_may_see_nothing_is_told_that_nobody_can_tell(name: str) -> None:
    asked = Asked(test_endpoint=True)
    findings = found(checks.CHECKS[name], live({}), asked)
    assert states(findings) == {UNKNOWN}
    assert all(finding.said for finding in findings)


def test_a_bucket_of_another_region_fails() -> None:
    there = live(
        {"-model-artifacts": {"location": "EU"}, "-artifacts": {"location": "US-CENTRAL1"}}
    )
    assert {it.about: it.state for it in found(checks.regions, there)} == {
        SETTINGS.artifacts_bucket: FAIL,
        SETTINGS.source_artifacts_bucket: PASS,
        "telemetry": UNKNOWN,
    }


@pytest.mark.parametrize(
    ("limit", "spot", "state"),
    [("2", False, FAIL), ("2", True, PASS), ("4", False, PASS), ("-1", False, PASS)],
)
def test_the_quota_of_the_region_counts(limit: str, spot: bool, state: str) -> None:
    buckets = [
        {"effectiveLimit": "0"},
        {"effectiveLimit": limit, "dimensions": {"region": SETTINGS.region}},
        {"effectiveLimit": "0", "dimensions": {"region": "europe-west9"}},
    ]
    machine = {"machineType": "n1-standard-2"}
    resources = {"maxReplicaCount": 1, "machineSpec": machine, "spot": spot}
    metric = {"metric": QUOTA, "consumerQuotaLimits": [{"quotaBuckets": buckets}]}
    there = live(
        {
            "consumerQuotaMetrics": {"metrics": [metric]},
            "endpoints": {"endpoints": [{"deployedModels": [{"dedicatedResources": resources}]}]},
        }
    )
    assert states(found(checks.quota, there)) == {state}


def test_an_old_key_is_named_with_its_age() -> None:
    key = {
        "name": "projects/p/serviceAccounts/a/keys/abc",
        "validAfterTime": "2020-01-01T00:00:00Z",
        "validBeforeTime": "2021-01-01T00:00:00Z",
    }
    first = found(checks.keys, live({"/keys": {"keys": [key]}}))[0]
    assert first.state == FAIL
    assert "days old, expired: abc" in first.said
    assert first.fix[0].startswith("gcloud iam service-accounts keys delete abc --iam-account=")


def test_a_looked_up_model_that_was_moved_fails_and_says_where_to() -> None:
    moved = {"artifactUri": "gs://elsewhere/models/shuttle"}
    (finding,) = [
        it for it in found(checks.models, live({}, {"@default": moved})) if "baseline" in it.about
    ]
    assert (finding.state, finding.fix[0]) == (
        FAIL,
        "pulumi config set sourceArtifactsBucket elsewhere",
    )


def platforms(there: Live) -> Finding:
    return next(it for it in found(checks.permissions, there) if it.about.startswith("platform on"))


def test_who_cannot_be_become_is_asked_of_policy_troubleshooter() -> None:
    there = live({":troubleshoot": {"overallAccessState": "CAN_ACCESS"}})
    assert states(found(checks.permissions, there)) >= {PASS}
    assert platforms(there).state == PASS
    asked = [body["accessTuple"] for _, _, body in there.own.asked if body]
    assert {"principal": PLATFORM, "permission": "iam.roles.create",
            "fullResourceName": "//cloudresourcemanager.googleapis.com/projects/iot-staging",
            } in asked  # fmt: skip


def test_policy_troubleshooter_may_not_see_enough() -> None:
    finding = platforms(live({":troubleshoot": {"overallAccessState": "UNKNOWN_INFO"}}))
    assert finding.state == UNKNOWN
    assert "roles/iam.securityReviewer" in finding.said


def test_the_platform_asks_for_itself() -> None:
    every = {need.permission for need in table.NEEDS}
    there = live({":testIamPermissions": {"permissions": sorted(every)}}, me=table.PLATFORM)
    assert platforms(there).state == PASS
    assert PLATFORM not in str(there.own.asked)


def test_each_of_callers_is_looked_at() -> None:
    people = ("user:ben@example.com", "serviceAccount:report@iot-other.iam.gserviceaccount.com")
    troubleshot = {"overallAccessState": "CANNOT_ACCESS"}
    there = live({"projects/iot-staging": {"name": "projects/1"}, ":troubleshoot": troubleshot})
    there.settings = SETTINGS.model_copy(update={"callers": people})
    role = SETTINGS.role_name("predictor")
    granted = [it for it in there.grants() if it.identity == table.CALLER]
    assert [(it.role, it.member) for it in granted] == [(role, member) for member in people]
    assert {it.on for it in granted} == {f"//aiplatform.googleapis.com/{SETTINGS.endpoint_name}"}
    mine = [it for it in found(checks.permissions, there) if it.about.startswith("caller ")]
    assert [(it.state, it.about.split()[1]) for it in mine] == [(FAIL, member) for member in people]


def test_a_dataset_lists_who_has_access() -> None:
    access = [
        {"role": "projects/p/roles/r", "userByEmail": "x@gcp-sa-pubsub.iam.gserviceaccount.com"},
        {"role": "READER", "userByEmail": "ann@example.com"},
        {"role": "OWNER", "specialGroup": "projectOwners"},
        {"view": {"tableId": "t"}},
    ]
    there = live({"/datasets/telemetry": {"access": access}})
    (place,) = there.places(table.TABLES)
    assert [binding.member for binding in there.policy(place)] == [
        "serviceAccount:x@gcp-sa-pubsub.iam.gserviceaccount.com",
        "user:ann@example.com",
        "projectOwners",
    ]


def entry(principal: str, permission: str) -> dict[str, Any]:
    message = (
        f"Permission '{permission}' denied on resource "
        "'//aiplatform.googleapis.com/projects/iot-staging/locations/us-central1' "
        "(or it may not exist)."
    )
    return {
        "protoPayload": {
            "@type": "type.googleapis.com/google.cloud.audit.AuditLog",
            "status": {"code": 7, "message": message},
            "authenticationInfo": {"principalEmail": principal},
            "serviceName": "aiplatform.googleapis.com",
            "authorizationInfo": [{"permission": permission, "granted": False}],
        }
    }


@pytest.mark.parametrize(
    ("who", "permission", "state"),
    [
        ("ann@example.com", "aiplatform.endpoints.create", PASS),  # not of this stack
        (SETTINGS.email(table.DEPLOYER), "aiplatform.endpoints.create", PASS),  # holds it by now
        (SETTINGS.email(table.DEPLOYER), "aiplatform.endpoints.deploy", FAIL),
        (SETTINGS.email(table.TELEMETRY), "aiplatform.endpoints.create", FAIL),  # no line has it
    ],
)
def test_a_denial_counts_when_it_would_come_again(who: str, permission: str, state: str) -> None:
    holds = {":testIamPermissions": {"permissions": ["aiplatform.endpoints.create"]}}
    there = live({"entries:list": {"entries": [entry(who, permission)]}}, holds)
    findings = found(checks.denials, there)
    assert states(findings) == {state}
    assert all(finding.fix for finding in findings if state == FAIL)


def test_a_test_endpoint_that_stays_is_said() -> None:
    name = "projects/iot-staging/locations/us-central1/endpoints/1"
    done = {"done": True, "response": {"name": name}}
    (finding,) = found(
        checks.test_endpoint, live({}, {"/endpoints": done}), Asked(test_endpoint=True)
    )
    assert (finding.state, finding.fix) == (FAIL, (f"gcloud ai endpoints delete {name}",))


def test_the_command_line_says_what_is_wrong_with_a_reading() -> None:
    done = CliRunner().invoke(main, ["verify", "staging", "--reading", "[1, two]"])
    assert (done.exit_code, "--reading" in done.output) == (2, True)


def test_people_are_told_what_did_not_pass() -> None:
    findings = [
        Finding("a", check="roles"),
        Finding("b", FAIL, "is off", ("turn it on",), check="roles"),
        Finding("c", UNKNOWN, "nobody says", check="keys"),
    ]
    assert list(checks.told(findings)) == [
        "✗ roles: b: is off",
        "    fix: turn it on",
        "✓ roles: 1",
        "? keys: c: nobody says",
        "1 passed, 1 failed, 1 cannot be told",
    ]


def test_the_endpoint_is_read_as_the_deployer_where_whoever_asks_may_not() -> None:
    shares = {str(number): model.traffic for number, model in enumerate(SETTINGS.models)}
    there = live({}, {f"/endpoints/{SETTINGS.endpoint_id}": {"trafficSplit": shares}})
    assert states(found(checks.endpoint, there)) == {PASS}
