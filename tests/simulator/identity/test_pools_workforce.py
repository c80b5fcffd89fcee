"""An organization's workforce pools."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from simulator.google import GoogleCloud
from simulator.iam.decisions import Iam
from simulator.identity.issuers import Issuers
from simulator.identity.tokens import Identity
from simulator.serve.proxy import Running
from tests.simulator.support.core import ADMIN, IAM, PROJECT, WORKER
from tests.simulator.support.identity import (
    PROJECT_URL,
    Client,
    exchange,
    federated,
)

WORKFORCE = f"{IAM}/locations/global/workforcePools"
PEOPLE = f"{WORKFORCE}/acme-people"
PARENT = {"parent": "organizations/1"}
ISSUER, ANN = "https://login.example.com", "ann@example.com"
COMPANY: dict[str, Any] = {
    "attributeMapping": {
        "google.subject": "assertion.email",
        "google.display_name": "assertion.name",
    },
    "oidc": {"issuerUri": ISSUER, "clientId": "acme"},
}


@pytest.fixture
def client(cloud: GoogleCloud, running: Running) -> Client:
    role = "roles/iam.workforcePoolAdmin"
    cloud[Iam].grant("organizations/1", role, f"serviceAccount:{ADMIN}")
    return Client(cloud, running)


@pytest.fixture
def people(cloud: GoogleCloud, client: Client) -> str:
    """The audience of a provider that was made through the API."""
    client.done("POST", WORKFORCE, PARENT, workforcePoolId="acme-people")
    query = {"workforcePoolProviderId": "company"}
    client.done("POST", f"{PEOPLE}/providers", COMPANY, **query)
    cloud.clock.step(60)
    cloud[Issuers].add(ISSUER, {ANN: {"email": ANN, "name": "Ann"}})
    return "//iam.googleapis.com/locations/global/workforcePools/acme-people/providers/company"


def test_a_pool_belongs_to_an_organization(cloud: GoogleCloud, client: Client) -> None:
    started = client.done("POST", WORKFORCE, PARENT, workforcePoolId="acme-people")
    cloud.clock.step(5)
    assert client.done("GET", f"{IAM}/{started['name']}")["done"] is True
    assert client.done("GET", PEOPLE) == {
        "name": "locations/global/workforcePools/acme-people",
        "parent": "organizations/1",
        "sessionDuration": "3600s",
        "state": "ACTIVE",
    }
    listed = client.done("GET", WORKFORCE, parent="organizations/1")["workforcePools"]
    assert [item["name"] for item in listed] == ["locations/global/workforcePools/acme-people"]
    assert client.refusal("GET", WORKFORCE)[0] == 400
    assert client.refusal("GET", WORKFORCE, parent="organizations/2")[0] == 403


def test_who_administers_the_organization_administers_its_pools(
    cloud: GoogleCloud, running: Running, people: str
) -> None:
    worker = Client(cloud, running, WORKER)
    assert worker.refusal("GET", PEOPLE)[0] == 403
    role = "roles/iam.workforcePoolViewer"
    cloud[Iam].grant("organizations/1", role, f"serviceAccount:{WORKER}")
    assert worker.done("GET", PEOPLE)["parent"] == "organizations/1"
    provider = worker.done("GET", f"{PEOPLE}/providers/company")
    assert provider["oidc"] == COMPANY["oidc"]
    assert worker.refusal("DELETE", PEOPLE)[0] == 403


@pytest.mark.parametrize(("session", "seconds"), [("", 3600), ("7200s", 7200)])
def test_its_people_come_in_for_as_long_as_a_session_is(
    cloud: GoogleCloud,
    client: Client,
    tmp_path: Path,
    people: str,
    session: str,
    seconds: int,
) -> None:
    if session:
        body = {"sessionDuration": session}
        client.done("PATCH", PEOPLE, body, updateMask="sessionDuration")
    member = people.partition("/providers/")[0]
    cloud[Iam].grant(f"projects/{PROJECT}", "roles/viewer", f"principal:{member}/subject/{ANN}")
    token = cloud[Issuers].mint(ISSUER, ANN, "acme", lifetime=300)
    assert exchange(client, token, audience=people)["expires_in"] == seconds
    assert federated(tmp_path, token, audience=people).get(PROJECT_URL).status_code == 200


def test_a_display_name_is_no_attribute_of_policies(
    cloud: GoogleCloud, client: Client, people: str
) -> None:
    token = exchange(client, cloud[Issuers].mint(ISSUER, ANN, "acme"), audience=people)
    found = cloud[Identity].lookup(token["access_token"])
    assert found is not None
    assert found.principal.sets == (f"principalSet:{people.partition('/providers/')[0]}/*",)


def test_a_clients_secret_is_not_shown_again(client: Client, people: str) -> None:
    secret = {"value": {"plainText": "hush"}}
    body = {"oidc": {**COMPANY["oidc"], "clientSecret": secret}}
    client.done("PATCH", f"{PEOPLE}/providers/company", body, updateMask="oidc")
    shown = client.done("GET", f"{PEOPLE}/providers/company")["oidc"]
    assert list(shown["clientSecret"]["value"]) == ["thumbprint"]
    assert "hush" not in str(shown)


@pytest.mark.parametrize(
    ("id", "body", "status", "said"),
    [
        ("people", PARENT, 200, ""),
        ("peopl", PARENT, 400, "Invalid ID"),
        ("1people", PARENT, 400, "Invalid ID"),
        ("people-", PARENT, 400, "Invalid ID"),
        ("gcp-people", PARENT, 400, "Invalid ID"),
        ("people", {}, 400, "organizations/ID"),
        ("people", {**PARENT, "sessionDuration": "900s"}, 400, "session_duration"),
        ("people", {**PARENT, "sessionDuration": "43200s"}, 400, "session_duration"),
        (
            "people",
            {**PARENT, "accessRestrictions": {"disableProgrammaticSignin": True}},
            501,
            "disableProgrammaticSignin",
        ),
    ],
)
def test_a_pool_has_rules(
    client: Client, id: str, body: dict[str, Any], status: int, said: str
) -> None:
    found, answer = client.call("POST", WORKFORCE, body, workforcePoolId=id)
    assert (found, said in str(answer)) == (status, True), answer


def test_its_parent_stays(client: Client, people: str) -> None:
    body = {"parent": "organizations/2"}
    assert client.refusal("PATCH", PEOPLE, body, updateMask="parent")[0] == 400
