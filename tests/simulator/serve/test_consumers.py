"""Which project has to have an API on, and what Google says when it has not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import requests

from simulator.google import GoogleCloud
from simulator.iam.decisions import Iam
from simulator.identity.issuers import Issuers
from simulator.identity.tokens import Identity
from simulator.seed import plant
from simulator.serve.proxy import Running
from simulator.services.serviceusage import Services
from tests.simulator.support.core import ADMIN, CRM, IAM, NUMBER, PROJECT, USAGE, session
from tests.simulator.support.identity import (
    FULL_NAME,
    PROJECT_URL,
    Client,
    exchange,
    federated,
    github_token,
)

ORG_POLICY = "https://orgpolicy.googleapis.com/v2/projects/other/policies"
BILLING = "https://cloudbilling.googleapis.com/v1/projects/other/billingInfo"
PEOPLE = "locations/global/workforcePools/acme-people"
ISSUER, ANN = "https://login.example.com", "ann@example.com"


def person(cloud: GoogleCloud, running: Running, email: str = ANN) -> requests.Session:
    return session(running, cloud[Identity].access_token(email))


def reason(answer: requests.Response) -> tuple[str, str]:
    """Why a request was refused, and which project that is about."""
    [info, *_] = answer.json()["error"]["details"]
    return info["reason"], info["metadata"]["consumer"]


@pytest.fixture
def people(cloud: GoogleCloud) -> str:
    """The audience of a workforce provider."""
    provider = {
        "id": "company",
        "oidc": {"issuerUri": ISSUER, "clientId": "acme"},
        "attributeMapping": {"google.subject": "assertion.email"},
    }
    plant(
        cloud,
        {
            "issuers": {ISSUER: {ANN: {"email": ANN}}},
            "pools": [{"name": PEOPLE, "providers": [provider]}],
            "projects": [{"id": "acme-quota", "number": "888"}],
        },
    )
    return f"//iam.googleapis.com/{PEOPLE}/providers/company"


@pytest.mark.parametrize("api", ["orgpolicy", "cloudbilling"])
def test_an_accounts_own_project_counts_and_is_shown_by_number(
    cloud: GoogleCloud, admin: requests.Session, api: str
) -> None:
    cloud[Iam].grant("organizations/1", "roles/orgpolicy.policyAdmin", f"serviceAccount:{ADMIN}")
    cloud[Iam].grant("projects/other", "roles/viewer", f"serviceAccount:{ADMIN}")
    url = ORG_POLICY if api == "orgpolicy" else BILLING
    cloud[Services].withheld = {f"{api}.googleapis.com"}
    assert reason(admin.get(url)) == ("SERVICE_DISABLED", f"projects/{NUMBER}")
    cloud[Services].withheld = set()
    cloud[Services].seed(PROJECT, [f"{api}.googleapis.com"])
    assert admin.get(url).status_code == 200


def test_a_person_needs_a_quota_project_for_org_policies(
    cloud: GoogleCloud, running: Running
) -> None:
    ann = person(cloud, running)
    error = ann.get(ORG_POLICY).json()["error"]
    # golang/oauth2#702
    assert error["message"] == (
        "Your application is authenticating by using local Application Default Credentials. The "
        "orgpolicy.googleapis.com API requires a quota project, which is not set by default. To "
        "learn how to set your quota project, see "
        "https://cloud.google.com/docs/authentication/adc-troubleshooting/user-creds ."
    )
    assert reason(ann.get(ORG_POLICY)) == ("SERVICE_DISABLED", "projects/764086051850")
    cloud[Services].seed(PROJECT, ["orgpolicy.googleapis.com"])
    cloud[Iam].grant(
        f"projects/{PROJECT}", "roles/serviceusage.serviceUsageConsumer", f"user:{ANN}"
    )
    cloud[Iam].grant("organizations/1", "roles/orgpolicy.policyViewer", f"user:{ANN}")
    named = {"x-goog-user-project": PROJECT}
    assert ann.get(ORG_POLICY, headers=named).status_code == 200


def test_a_workloads_project_is_that_of_its_pool(
    cloud: GoogleCloud, running: Running, tmp_path: Path
) -> None:
    Client(cloud, running).federate()
    cloud.clock.step(60)
    everyone = f"principalSet://iam.googleapis.com/{FULL_NAME}/*"
    cloud[Iam].grant("projects/other", "roles/viewer", everyone)
    job = federated(tmp_path, github_token(cloud))
    assert job.get(f"{CRM}/v1/projects/other").status_code == 200
    cloud[Services].change(PROJECT, "cloudresourcemanager.googleapis.com", False)
    cloud.clock.step(120)
    job = federated(tmp_path, github_token(cloud))
    refused = job.get(f"{CRM}/v1/projects/other")
    assert reason(refused) == ("SERVICE_DISABLED", f"projects/{NUMBER}")


def test_a_workforce_tokens_user_project_counts_if_its_bearer_may_use_it(
    cloud: GoogleCloud, running: Running, tmp_path: Path, people: str
) -> None:
    member = f"principal://iam.googleapis.com/{PEOPLE}/subject/{ANN}"
    cloud[Iam].grant(f"projects/{PROJECT}", "roles/viewer", member)
    ann = federated(
        tmp_path,
        cloud[Issuers].mint(ISSUER, ANN, "acme", {"email": ANN}),
        audience=people,
        subject_token_type="urn:ietf:params:oauth:token-type:id_token",
        workforce_pool_user_project="acme-quota",
    )
    denied = ann.get(PROJECT_URL)
    assert reason(denied) == ("USER_PROJECT_DENIED", "projects/acme-quota")
    cloud[Iam].grant("projects/acme-quota", "roles/serviceusage.serviceUsageConsumer", member)
    assert reason(ann.get(PROJECT_URL)) == ("SERVICE_DISABLED", "projects/888")
    cloud[Services].seed("acme-quota", ["cloudresourcemanager.googleapis.com"])
    assert ann.get(PROJECT_URL).status_code == 200


@pytest.mark.parametrize(
    ("options", "status", "said"),
    [
        ({"accessBoundary": {}}, 501, "the option accessBoundary of sts.token is not simulated."),
        ("[]", 400, "Invalid value at 'options', \"[]\""),
    ],
)
def test_other_options_of_a_token_are_refused(
    cloud: GoogleCloud, running: Running, people: str, options: Any, status: int, said: str
) -> None:
    text = options if isinstance(options, str) else quote(json.dumps(options))
    token = cloud[Issuers].mint(ISSUER, ANN, "acme", {"email": ANN})
    client = Client(cloud, running)
    error = exchange(client, token, audience=people, options=text)["error"]
    assert (error["code"], error["message"]) == (status, said)


@pytest.mark.parametrize(
    ("service", "title"),
    [
        # As recorded: kedacore/keda#2696, openshift/installer#2187, JSON C of gcp-facts, and
        # googleapis/python-resource-manager#129.
        ("pubsub", "Cloud Pub/Sub API"),
        ("iam", "Identity and Access Management (IAM) API"),
        ("aiplatform", "Vertex AI API"),
        ("cloudresourcemanager", "Cloud Resource Manager API"),
        # What `gcloud services list` prints.
        ("bigquerystorage", "BigQuery Storage API"),
        ("monitoring", "Cloud Monitoring API"),
    ],
)
def test_services_have_googles_titles(
    cloud: GoogleCloud, admin: requests.Session, service: str, title: str
) -> None:
    url = f"{USAGE}/v1/projects/{PROJECT}/services/{service}.googleapis.com"
    assert admin.get(url).json()["config"]["title"] == title


def test_an_api_that_is_off_says_so_as_google_does(
    cloud: GoogleCloud, admin: requests.Session
) -> None:
    cloud[Services].withheld = {"iam.googleapis.com"}
    error = admin.get(f"{IAM}/projects/{PROJECT}/roles").json()["error"]
    # openshift/installer#2187, with this project's number.
    assert error["message"] == (
        "Identity and Access Management (IAM) API has not been used in project 123456789012 before "
        "or it is disabled. Enable it by visiting https://console.developers.google.com/apis/api/"
        "iam.googleapis.com/overview?project=123456789012 then retry. If you enabled this API "
        "recently, wait a few minutes for the action to propagate to our systems and retry."
    )
    assert error["errors"][0]["reason"] == "accessNotConfigured"
