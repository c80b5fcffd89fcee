"""Whether somebody else may, by Google's own client of Policy Troubleshooter."""

from __future__ import annotations

from typing import Any

import pytest
from googleapiclient.errors import HttpError

from simulator.iam.decisions import Iam
from simulator.iam.denypolicies import DenyPolicies, DenyPolicy
from simulator.seed import plant
from simulator.services.serviceusage import Services
from tests.simulator.support.service import PROJECT, Sandbox, email

FULL = f"//cloudresourcemanager.googleapis.com/projects/{PROJECT}"
ACCOUNT = email("worker")
READ, WRITE = "aiplatform.endpoints.get", "aiplatform.endpoints.update"


@pytest.fixture
def asked(sandbox: Sandbox) -> Any:
    """Asks as somebody who may read every policy above, about the account `worker`."""
    sandbox.cloud[Services].seed(PROJECT, ["policytroubleshooter.googleapis.com"])
    plant(
        sandbox.cloud,
        {
            "accounts": [{"project": PROJECT, "id": "worker"}],
            "grants": [
                {"resource": above, "role": role, "member": f"serviceAccount:{email('admin')}"}
                for above in sandbox.cloud[Iam].ancestors(f"projects/{PROJECT}")
                for role in ("roles/iam.securityReviewer", "roles/iam.denyReviewer")
            ],
        },
    )
    sandbox.role("worker", READ)
    return lambda permission=READ, principal=ACCOUNT, name=FULL, who="admin": (
        sandbox.google("policytroubleshooter", "v3", who)
        .iam()
        .troubleshoot(
            body={
                "accessTuple": {
                    "principal": principal,
                    "permission": permission,
                    "fullResourceName": name,
                }
            }
        )
        .execute()
    )


def states(answer: dict[str, Any]) -> tuple[str, str, str]:
    return (
        answer["overallAccessState"],
        answer["allowPolicyExplanation"]["allowAccessState"],
        answer["denyPolicyExplanation"]["denyAccessState"],
    )


def test_what_is_granted_and_what_is_not(asked: Any) -> None:
    granted = "ALLOW_ACCESS_STATE_GRANTED", "DENY_ACCESS_STATE_NOT_DENIED"
    assert states(asked()) == ("CAN_ACCESS", *granted)
    refused = "ALLOW_ACCESS_STATE_NOT_GRANTED", "DENY_ACCESS_STATE_NOT_DENIED"
    assert states(asked(WRITE)) == ("CANNOT_ACCESS", *refused)


def test_a_grant_above_holds_for_what_is_below(asked: Any) -> None:
    below = f"//aiplatform.googleapis.com/projects/{PROJECT}/locations/us-central1/endpoints/1"
    assert asked(name=below)["overallAccessState"] == "CAN_ACCESS"


def test_a_deny_policy_is_named_as_what_decides(asked: Any, sandbox: Sandbox) -> None:
    policy = DenyPolicy(f"projects/{PROJECT}/denypolicies/no", "1", "", {})
    rule = {
        "deniedPrincipals": [
            f"principal://iam.googleapis.com/projects/-/serviceAccounts/{email('worker')}"
        ],
        "deniedPermissions": ["aiplatform.googleapis.com/endpoints.get"],
    }
    sandbox.cloud[DenyPolicies].save(policy, {"rules": [{"denyRule": rule}]})
    sandbox.cloud.clock.step(sandbox.cloud.delays.iam)
    denied = "ALLOW_ACCESS_STATE_GRANTED", "DENY_ACCESS_STATE_DENIED"
    assert states(asked()) == ("CANNOT_ACCESS", *denied)


def test_who_may_not_read_the_policies_learns_nothing(asked: Any) -> None:
    unknown = "ALLOW_ACCESS_STATE_UNKNOWN_INFO", "DENY_ACCESS_STATE_UNKNOWN_INFO"
    assert states(asked(who="worker")) == ("UNKNOWN_INFO", *unknown)


@pytest.mark.parametrize(
    "wrong",
    [
        {"principal": "principal://iam.googleapis.com/locations/global/workforcePools/p/subject/s"},
        {"permission": "aiplatform.endpoints.creat"},
        {"name": "projects/iot-prod"},
    ],
)
def test_what_cannot_be_asked(asked: Any, wrong: dict[str, str]) -> None:
    with pytest.raises(HttpError, match="400"):
        asked(**wrong)
