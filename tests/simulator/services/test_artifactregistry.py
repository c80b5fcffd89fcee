"""Artifact Registry: repositories and who may do what with them."""

from __future__ import annotations

from typing import Any

import pytest

from simulator.iam.decisions import Iam
from simulator.identity.accounts import Accounts
from simulator.services.serviceusage import Services
from tests.simulator.support.service import LOCATION, PROJECT, Sandbox, email

API = "https://artifactregistry.googleapis.com/v1"
REPOSITORY = f"{LOCATION}/repositories/serving"
CREATE = f"{API}/{LOCATION}/repositories?repositoryId=serving"


@pytest.fixture(autouse=True)
def enabled(sandbox: Sandbox) -> None:
    sandbox.cloud[Services].seed(PROJECT, ["artifactregistry.googleapis.com"])


def make(sandbox: Sandbox) -> None:
    assert sandbox.http().post(CREATE, json={"format": "DOCKER"}).status_code == 200
    sandbox.cloud.clock.step(5)


def test_a_repository_is_there_once_its_operation_is_done(sandbox: Sandbox) -> None:
    client = sandbox.http()
    body = {"format": "DOCKER", "labels": {"env": "prod"}}
    started = client.post(CREATE, json=body).json()
    assert started["name"].startswith(f"{LOCATION}/operations/")
    assert client.get(f"{API}/{REPOSITORY}").status_code == 404
    assert client.post(CREATE, json=body).status_code == 409
    sandbox.cloud.clock.step(5)
    done = client.get(f"{API}/{started['name']}").json()
    made = {key: value for key, value in done["response"].items() if key != "@type"}
    assert client.get(f"{API}/{REPOSITORY}").json() == made
    assert (made["mode"], made["labels"]) == ("STANDARD_REPOSITORY", {"env": "prod"})
    assert made["registryUri"] == f"us-central1-docker.pkg.dev/{PROJECT}/serving"
    assert client.get(f"{API}/{LOCATION}/repositories").json() == {"repositories": [made]}


def test_a_mask_says_what_changes(sandbox: Sandbox) -> None:
    make(sandbox)
    body = {"description": "images", "labels": {"a": "b"}}
    url = f"{API}/{REPOSITORY}?updateMask=description"
    changed = sandbox.http().patch(url, json=body).json()
    assert (changed["description"], "labels" in changed) == ("images", False)
    fixed = sandbox.http().patch(f"{API}/{REPOSITORY}?updateMask=format", json={"format": "NPM"})
    assert fixed.status_code == 400


def test_a_mask_reaches_into_a_repository(sandbox: Sandbox) -> None:
    sandbox.http().post(CREATE, json={"format": "DOCKER", "labels": {"a": "1", "b": "2"}})
    sandbox.cloud.clock.step(5)
    url, client = f"{API}/{REPOSITORY}", sandbox.http()
    changed = client.patch(f"{url}?updateMask=labels.a", json={"labels": {"a": "3"}}).json()
    assert changed["labels"] == {"a": "3", "b": "2"}
    logs = {"platformLogsConfig": {"loggingState": "ENABLED"}}
    assert client.patch(f"{url}?updateMask=platformLogsConfig", json=logs).json().items() >= (
        logs.items()
    )
    cleared = client.patch(f"{url}?updateMask=labels.a,dockerConfig.immutableTags", json={})
    assert (cleared.json()["labels"], "dockerConfig" in cleared.json()) == ({"b": "2"}, False)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (f'name="{LOCATION}/repositories/serving"', ["serving"]),
        (f'name="{LOCATION}/repositories/SERV*"', ["serving"]),
        (f'name="{LOCATION}/repositories/*ing"', ["serving", "training"]),
        (f'name="{LOCATION}/repositories/*rain*"', ["training"]),
        (f'name="{LOCATION}/repositories/rain"', []),
    ],
)
def test_repositories_are_listed_by_name_with_wildcards(
    sandbox: Sandbox, text: str, found: list[str]
) -> None:
    """The examples of the discovery document."""
    make(sandbox)
    client = sandbox.http()
    client.post(CREATE.replace("=serving", "=training"), json={"format": "DOCKER"})
    sandbox.cloud.clock.step(5)
    answer = client.get(f"{API}/{LOCATION}/repositories", params={"filter": text}).json()
    assert [it["name"].rpartition("/")[2] for it in answer.get("repositories", ())] == found
    other = client.get(f"{API}/{LOCATION}/repositories", params={"filter": "format=DOCKER"})
    assert other.status_code == 400


def test_a_repository_with_a_key_needs_the_agent_to_be_allowed_to_use_it(sandbox: Sandbox) -> None:
    """hashicorp/terraform-provider-google#11913, #15572."""
    sandbox.cloud[Services].seed(PROJECT, ["cloudkms.googleapis.com"])
    kms, ring = "https://cloudkms.googleapis.com/v1", f"{LOCATION}/keyRings/state"
    key, client = f"{ring}/cryptoKeys/images", sandbox.http()
    client.post(f"{kms}/{LOCATION}/keyRings?keyRingId=state")
    client.post(f"{kms}/{ring}/cryptoKeys?cryptoKeyId=images", json={"purpose": "ENCRYPT_DECRYPT"})

    def outcome() -> dict[str, Any]:
        body = {"format": "DOCKER", "kmsKeyName": key}
        operation = sandbox.http().post(CREATE, json=body).json()["name"]
        sandbox.cloud.clock.step(5)
        found: dict[str, Any] = sandbox.http().get(f"{API}/{operation}").json()
        return found

    denied = {
        "code": 7,
        "message": "Permission denied on Cloud KMS key. Please ensure your Artifact Registry "
        "service account has been authorized to use the configured key.",
    }
    assert outcome()["error"] == denied
    agent = sandbox.cloud[Accounts].create_agent("artifactregistry", PROJECT)
    assert outcome()["error"] == denied
    assert sandbox.cloud.state()["repositories"] == []
    sandbox.cloud[Iam].grant(key, "roles/cloudkms.cryptoKeyEncrypterDecrypter", agent.member)
    assert outcome()["response"]["kmsKeyName"] == key


def test_a_deleted_repository_leaves_no_access_to_its_successor(sandbox: Sandbox) -> None:
    make(sandbox)
    sandbox.grant(REPOSITORY, "roles/artifactregistry.reader", "serving")
    assert sandbox.http("serving").get(f"{API}/{REPOSITORY}").status_code == 200
    operation = sandbox.http().delete(f"{API}/{REPOSITORY}").json()["name"]
    sandbox.cloud.clock.step(5)
    assert sandbox.http().get(f"{API}/{operation}").json()["done"] is True
    gone = sandbox.http().get(f"{API}/{REPOSITORY}")
    assert (gone.status_code, gone.json()["error"]["message"]) == (
        404,
        "Requested entity was not found.",
    )
    make(sandbox)
    assert sandbox.http("serving").get(f"{API}/{REPOSITORY}").status_code == 403


def test_access_is_granted_on_one_repository(sandbox: Sandbox) -> None:
    make(sandbox)
    client = sandbox.http("serving")
    assert client.get(f"{API}/{REPOSITORY}").status_code == 403
    member = f"serviceAccount:{email('serving')}"
    binding = {"role": "roles/artifactregistry.reader", "members": [member]}
    url = f"{API}/{REPOSITORY}:setIamPolicy"
    assert sandbox.http().post(url, json={"policy": {"bindings": [binding]}}).status_code == 200
    assert client.get(f"{API}/{REPOSITORY}").status_code == 200
    assert client.delete(f"{API}/{REPOSITORY}").status_code == 403
    assert client.get(f"{API}/{LOCATION}/repositories").status_code == 403


@pytest.mark.parametrize(
    ("query", "body"), [("repositoryId=Serving", {"format": "DOCKER"}), ("repositoryId=a", {})]
)
def test_a_repository_google_would_refuse(
    sandbox: Sandbox, query: str, body: dict[str, str]
) -> None:
    answer = sandbox.http().post(f"{API}/{LOCATION}/repositories?{query}", json=body)
    assert answer.status_code == 400
    assert sandbox.cloud.state()["repositories"] == []


def test_a_cleanup_policy_is_kept_as_it_was_given(sandbox: Sandbox) -> None:
    policies = {"old": {"id": "old", "action": "DELETE", "condition": {"olderThan": "864000s"}}}
    body = {"format": "DOCKER", "cleanupPolicies": policies, "cleanupPolicyDryRun": True}
    assert sandbox.http().post(CREATE, json=body).status_code == 200
    sandbox.cloud.clock.step(5)
    made = sandbox.http().get(f"{API}/{REPOSITORY}").json()
    assert (made["cleanupPolicies"], made["cleanupPolicyDryRun"]) == (policies, True)
