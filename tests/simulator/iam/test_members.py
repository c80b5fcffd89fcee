"""Who a federated identity is to allow policies, and what it may then do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from google.auth import identity_pool
from google.auth.exceptions import RefreshError
from google.auth.transport.requests import AuthorizedSession

from simulator.api.audit import Audit
from simulator.google import GoogleCloud
from simulator.iam.decisions import Iam
from simulator.iam.roles import CustomRoles
from simulator.identity.issuers import Issuers
from simulator.seed import plant
from simulator.serve.proxy import Running
from simulator.services.serviceusage import Services
from tests.simulator.support.core import PROJECT, WORKER, WORKER_NAME
from tests.simulator.support.identity import (
    IMPERSONATION,
    OF_REPOSITORY,
    POOL,
    PRINCIPALS,
    PROJECT_URL,
    PROVIDER,
    SCOPE,
    SUBJECT,
    WORKLOAD_USER,
    Client,
    credential_file,
    federated,
    github_token,
    refusal,
)

ISSUER = "https://issuer.example.com"
MEMBER = f"principal:{PRINCIPALS}/subject/{SUBJECT}"
PROPAGATION = 60


def test_a_job_of_the_repository_has_what_its_principal_set_is_granted(
    cloud: GoogleCloud, federation: Client, tmp_path: Path
) -> None:
    cloud[Iam].grant(f"projects/{PROJECT}", "roles/viewer", OF_REPOSITORY)
    assert federated(tmp_path, github_token(cloud)).get(PROJECT_URL).status_code == 200
    # google-auth asks for the pool's project, too.
    entry = cloud[Audit].since(0)[-1]
    assert (entry.permission, entry.principal) == ("resourcemanager.projects.get", MEMBER)
    assert entry.via is not None
    assert entry.via.member == OF_REPOSITORY


@pytest.mark.parametrize(
    "member",
    [
        MEMBER,
        f"principalSet:{PRINCIPALS}/*",
        f"principalSet:{PRINCIPALS}/group/deployers",
        f"principalSet:{PRINCIPALS}/attribute.ref/refs/heads/main",
        f"principalSet:{PRINCIPALS}/attribute.owner/acme",
        "allUsers",
    ],
)
def test_every_form_of_federated_member_grants(
    cloud: GoogleCloud, federation: Client, tmp_path: Path, member: str
) -> None:
    mapping = {
        "google.subject": "assertion.sub",
        "google.groups": "assertion.teams",
        "attribute.ref": "assertion.ref",
        "attribute.owner": "assertion.repository.extract('{owner}/')",
    }
    federation.done("PATCH", PROVIDER, {"attributeMapping": mapping}, updateMask="attributeMapping")
    cloud[Iam].grant(f"projects/{PROJECT}", "roles/viewer", member)
    token = github_token(cloud, ref="refs/heads/main", teams=["deployers"])
    assert federated(tmp_path, token).get(PROJECT_URL).status_code == 200


@pytest.mark.parametrize(
    "member",
    [
        f"principalSet:{PRINCIPALS}/attribute.repository/acme/another",
        f"principal:{PRINCIPALS}/subject/repo:acme/iot:ref:refs/heads/other",
        f"principalSet:{PRINCIPALS}/group/acme/iot",
        # No Google account: iam v1, Binding.
        "allAuthenticatedUsers",
        "domain:example.com",
    ],
)
def test_what_is_granted_to_others_does_not_help(
    cloud: GoogleCloud, federation: Client, tmp_path: Path, member: str
) -> None:
    cloud[Iam].grant(f"projects/{PROJECT}", "roles/viewer", member)
    assert federated(tmp_path, github_token(cloud)).get(PROJECT_URL).status_code == 403


def test_impersonation_follows_federation(
    cloud: GoogleCloud, federation: Client, tmp_path: Path
) -> None:
    cloud[Iam].grant(f"projects/{PROJECT}", "roles/viewer", f"serviceAccount:{WORKER}")
    file = credential_file(
        tmp_path, github_token(cloud), service_account_impersonation_url=IMPERSONATION
    )
    credentials: Any = identity_pool.Credentials.from_file(str(file), scopes=[SCOPE])
    assert credentials.service_account_email == WORKER
    worker = AuthorizedSession(credentials)
    with pytest.raises(RefreshError, match=r"iam\.serviceAccounts\.getAccessToken"):
        worker.get(PROJECT_URL)
    policy = {"bindings": [{"role": WORKLOAD_USER, "members": [OF_REPOSITORY]}]}
    federation.done(
        "POST", f"https://iam.googleapis.com/v1/{WORKER_NAME}:setIamPolicy", {"policy": policy}
    )
    # The grant has not propagated yet.
    with pytest.raises(RefreshError):
        worker.get(PROJECT_URL)
    cloud.clock.step(PROPAGATION)
    assert worker.get(PROJECT_URL).status_code == 200
    checks = [
        e for e in cloud[Audit].since(0) if e.permission == "iam.serviceAccounts.getAccessToken"
    ]
    assert [(e.principal, e.granted) for e in checks] == [(MEMBER, False)] * 2 + [(MEMBER, True)]


def test_the_principal_set_of_another_repository_may_not_impersonate(
    cloud: GoogleCloud, federation: Client, tmp_path: Path
) -> None:
    cloud[Iam].grant(WORKER_NAME, WORKLOAD_USER, OF_REPOSITORY)
    other = github_token(cloud, "repo:acme/another:ref:refs/heads/main", repository="acme/another")
    with pytest.raises(RefreshError, match=r"iam\.serviceAccounts\.getAccessToken"):
        federated(tmp_path, other, service_account_impersonation_url=IMPERSONATION)


def test_a_dataset_belongs_to_the_federated_identity_that_made_it(
    cloud: GoogleCloud, federation: Client, tmp_path: Path
) -> None:
    cloud[Services].seed(PROJECT, ["bigquery.googleapis.com"])
    role = f"projects/{PROJECT}/roles/maker"
    cloud[CustomRoles].seed(role, ["bigquery.datasets.create"])
    cloud[Iam].grant(f"projects/{PROJECT}", role, OF_REPOSITORY)
    url = f"https://bigquery.googleapis.com/bigquery/v2/projects/{PROJECT}/datasets"
    body = {"datasetReference": {"datasetId": "telemetry"}}
    job = federated(tmp_path, github_token(cloud))
    made = job.post(url, json=body)
    assert {"role": "OWNER", "iamMember": MEMBER} in made.json()["access"]
    assert job.delete(f"{url}/telemetry").ok


@pytest.mark.parametrize(
    ("member", "said"),
    [
        # Google wants the project's number, as the pool's name has it.
        (OF_REPOSITORY.replace("123456789012", PROJECT), "Identity Pool does not exist (projects/"),
        (OF_REPOSITORY.replace("/github/", "/unknown/"), "Identity Pool does not exist (projects/"),
        (OF_REPOSITORY.replace("123456789012", "999"), "Identity Pool does not exist (projects/"),
        (f"principalSet:{PRINCIPALS}", "is of an unknown type"),
        (f"principalSet:{PRINCIPALS}/subject/x", "is of an unknown type"),
        (f"principal:{PRINCIPALS}/attribute.repository/x", "is of an unknown type"),
        ("principal://github.com/acme", "is of an unknown type"),
    ],
)
def test_a_policy_names_federated_members_as_google_does(
    federation: Client, member: str, said: str
) -> None:
    policy = {"bindings": [{"role": WORKLOAD_USER, "members": [member]}]}
    url = f"https://iam.googleapis.com/v1/{WORKER_NAME}:setIamPolicy"
    status, message = federation.refusal("POST", url, {"policy": policy})
    assert status == 400
    assert said in message


def test_a_policy_keeps_the_members_of_a_deleted_pool(federation: Client) -> None:
    url = f"https://iam.googleapis.com/v1/{WORKER_NAME}"
    bindings = [{"role": WORKLOAD_USER, "members": [OF_REPOSITORY]}]
    federation.done("POST", f"{url}:setIamPolicy", {"policy": {"bindings": bindings}})
    federation.done("DELETE", POOL)
    federation.done("POST", f"{url}:setIamPolicy", {"policy": {"bindings": bindings}})
    bindings[0]["members"].append(f"principalSet:{PRINCIPALS}/*")
    refused = federation.refusal("POST", f"{url}:setIamPolicy", {"policy": {"bindings": bindings}})
    assert refused[0] == 400


def test_a_workforce_identity_comes_in_by_its_client_id(
    cloud: GoogleCloud, running: Running, tmp_path: Path
) -> None:
    pool = "locations/global/workforcePools/acme-people"
    mapping = {"google.subject": "assertion.email", "google.groups": "assertion.groups"}
    provider = {
        "id": "sso",
        "oidc": {"issuerUri": ISSUER, "clientId": "console"},
        "attributeMapping": mapping,
    }
    people = {"1": {"email": "ann@example.com", "groups": ["platform@example.com"]}}
    plant(
        cloud,
        {
            "issuers": {ISSUER: people},
            "pools": [{"name": pool, "providers": [provider]}],
            "grants": [
                {
                    "resource": f"projects/{PROJECT}",
                    "role": "roles/viewer",
                    "member": f"principalSet://iam.googleapis.com/{pool}/group/platform@example.com",
                }
            ],
        },
    )
    audience = f"//iam.googleapis.com/{pool}/providers/sso"
    good = cloud[Issuers].mint(ISSUER, "1", "console")
    assert federated(tmp_path, good, audience=audience).get(PROJECT_URL).status_code == 200
    assert cloud[Audit].since(0)[-1].principal == (
        f"principal://iam.googleapis.com/{pool}/subject/ann@example.com"
    )
    wrong = cloud[Issuers].mint(ISSUER, "1", f"https:{audience}")
    assert refusal(cloud, tmp_path, wrong, audience=audience).startswith("invalid_grant")
