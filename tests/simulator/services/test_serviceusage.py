"""APIs that are enabled and disabled, and the agents that come with them."""

from __future__ import annotations

import pytest
import requests

from simulator.google import GoogleCloud
from simulator.iam.decisions import Iam
from simulator.identity.accounts import Accounts
from simulator.identity.tokens import Identity
from simulator.services.serviceusage import Services
from tests.simulator.support.core import (
    NUMBER,
    PROJECT,
    USAGE,
    WORKER,
    message,
)

AGENT = f"service-{NUMBER}@gcp-sa-aiplatform.iam.gserviceaccount.com"
SERVICES = f"{USAGE}/v1/projects/{PROJECT}/services"


def enabled(admin: requests.Session) -> set[str]:
    answer = admin.get(SERVICES, params={"filter": "state:ENABLED"}).json()
    return {item["config"]["name"] for item in answer["services"]}


def test_services_are_enabled_in_batches(cloud: GoogleCloud, admin: requests.Session) -> None:
    names = ["aiplatform.googleapis.com", "pubsub.googleapis.com"]
    operation = admin.post(f"{SERVICES}:batchEnable", json={"serviceIds": names}).json()
    cloud.clock.step(5)
    done = admin.get(f"{USAGE}/v1/{operation['name']}").json()
    assert done["done"] is True
    assert set(names) < enabled(admin)


@pytest.mark.parametrize("service", ["iot.googleapis.com", "cloudiot.googleapis.com"])
def test_a_service_google_does_not_have_is_refused(admin: requests.Session, service: str) -> None:
    answer = admin.post(f"{SERVICES}:batchEnable", json={"serviceIds": [service]})
    expected = f"Not found or permission denied for service(s): {service}."
    assert message(answer) == (403, expected)


def test_a_batch_has_a_limit(admin: requests.Session) -> None:
    names = ["pubsub.googleapis.com"] * 21
    answer = admin.post(f"{SERVICES}:batchEnable", json={"serviceIds": names})
    assert answer.status_code == 400


def test_a_disabled_service_stops_answering_after_a_while(
    cloud: GoogleCloud, admin: requests.Session
) -> None:
    admin.post(f"{SERVICES}/cloudbilling.googleapis.com:disable", json={})
    cloud.clock.step(5)
    url = f"https://cloudbilling.googleapis.com/v1/projects/{PROJECT}/billingInfo"
    assert admin.get(url).status_code == 200
    cloud.clock.step(120)
    assert admin.get(url).status_code == 403


def test_what_another_service_depends_on_is_not_switched_off_alone(
    cloud: GoogleCloud, admin: requests.Session
) -> None:
    names = ["bigquery.googleapis.com", "bigquerystorage.googleapis.com"]
    cloud[Services].seed(PROJECT, names)
    url = f"{SERVICES}/bigquery.googleapis.com:disable"
    error = admin.post(url, json={}).json()["error"]
    # hashicorp/terraform-provider-google#5304, with today's "service(s)"; details as
    # `gcloud services disable` prints them.
    assert (error["code"], error["status"]) == (400, "FAILED_PRECONDITION")
    assert error["message"] == (
        "The service bigquery.googleapis.com is depended on by the following active "
        "service(s): bigquerystorage.googleapis.com; Please specify "
        "disable_dependent_services=true if you want to proceed with disabling all services."
    )
    assert error["errors"][0]["reason"] == "failedPrecondition"
    subject = (
        "?error_code=100001&service_name=bigquery.googleapis.com"
        "&services=bigquerystorage.googleapis.com"
    )
    assert error["details"] == [
        {
            "@type": "type.googleapis.com/google.rpc.PreconditionFailure",
            "violations": [{"type": "googleapis.com", "subject": subject}],
        },
        {
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": "COMMON_SU_SERVICE_HAS_DEPENDENT_SERVICES",
            "domain": "serviceusage.googleapis.com",
            "metadata": {"service_name": names[0], "services": names[1]},
        },
    ]
    assert set(names) < enabled(admin)
    assert admin.post(url, json={"disableDependentServices": True}).status_code == 200
    cloud.clock.step(5)
    assert not set(names) & enabled(admin)


def test_a_service_brings_along_what_it_depends_on(
    cloud: GoogleCloud, admin: requests.Session
) -> None:
    admin.post(f"{SERVICES}/container.googleapis.com:enable", json={})
    cloud.clock.step(5)
    needed = {f"{name}.googleapis.com" for name in ("container", "compute", "oslogin")}
    assert needed <= enabled(admin)
    # One that nothing else needs goes alone.
    assert admin.post(f"{SERVICES}/container.googleapis.com:disable").status_code == 200
    cloud.clock.step(5)
    assert needed - enabled(admin) == {"container.googleapis.com"}


def test_whether_a_service_was_used_is_not_simulated(admin: requests.Session) -> None:
    url = f"{SERVICES}/pubsub.googleapis.com:disable"
    answer = admin.post(url, json={"checkIfServiceHasUsage": "CHECK"})
    assert (answer.status_code, "checkIfServiceHasUsage CHECK" in answer.text) == (501, True)
    assert admin.post(url, json={"checkIfServiceHasUsage": "SKIP"}).status_code == 200


@pytest.mark.parametrize(("service", "status"), [("healthcare", 501), ("nothing", 403)])
def test_an_agent_that_is_not_known_here_says_so(
    admin: requests.Session, service: str, status: int
) -> None:
    url = f"{USAGE}/v1beta1/projects/{PROJECT}/services/{service}.googleapis.com"
    refused = message(admin.post(f"{url}:generateServiceIdentity"))
    assert refused[0] == status
    assert status == 403 or refused[1] == (
        "serviceusage.services.generateServiceIdentity for healthcare.googleapis.com is not "
        "simulated."
    )


def test_polling_an_operation_takes_its_own_permission(
    cloud: GoogleCloud, admin: requests.Session
) -> None:
    body = {"serviceIds": ["pubsub.googleapis.com"]}
    name = admin.post(f"{SERVICES}:batchEnable", json=body).json()["name"]
    token = cloud[Identity].access_token(WORKER)
    denied = admin.get(f"{USAGE}/v1/{name}", headers={"Authorization": f"Bearer {token}"})
    assert "serviceusage.operations.get" in message(denied)[1]


def test_no_agent_is_made_in_a_project_that_is_not_there(admin: requests.Session) -> None:
    url = f"{USAGE}/v1beta1/projects/nope/services/aiplatform.googleapis.com"
    denied = admin.post(f"{url}:generateServiceIdentity")
    assert message(denied) == (403, "Permission denied on resource project nope.")


def test_asking_for_a_service_agent_makes_one_that_holds_nothing(
    cloud: GoogleCloud, admin: requests.Session
) -> None:
    assert cloud[Accounts].agent("aiplatform", PROJECT) is None
    url = f"{USAGE}/v1beta1/projects/{PROJECT}/services/aiplatform.googleapis.com"
    operation = admin.post(f"{url}:generateServiceIdentity").json()
    assert operation["done"] is True
    assert operation["response"]["email"] == AGENT
    agent = cloud[Accounts].agent("aiplatform", PROJECT)
    assert agent is not None
    held = cloud[Iam].test(agent, f"projects/{PROJECT}", ["storage.objects.get"])
    assert held == []
