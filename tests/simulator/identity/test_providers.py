"""Pools' allow policies, providers that are not OIDC, and an organization's workforce pools."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from simulator.google import GoogleCloud
from simulator.iam.decisions import Iam
from simulator.identity.issuers import Issuers
from simulator.identity.jwt import Key
from simulator.identity.tokens import Identity
from simulator.serve.proxy import Running
from tests.simulator.support.core import ADMIN, IAM, PROJECT, WORKER
from tests.simulator.support.identity import (
    AUDIENCE,
    OF_REPOSITORY,
    POOL,
    POOLS,
    PROJECT_URL,
    Client,
    exchange,
    federated,
    github_token,
)

WORKFORCE = f"{IAM}/locations/global/workforcePools"
PEOPLE = f"{WORKFORCE}/acme-people"
PARENT = {"parent": "organizations/1"}
ISSUER, ANN = "https://login.example.com", "ann@example.com"
SUBJECT = {"google.subject": "assertion.subject"}
COMPANY: dict[str, Any] = {
    "attributeMapping": {
        "google.subject": "assertion.email",
        "google.display_name": "assertion.name",
    },
    "oidc": {"issuerUri": ISSUER, "clientId": "acme"},
}
VERBS = ("get", "delete")
DAY = 86_400


@pytest.fixture
def client(cloud: GoogleCloud, running: Running) -> Client:
    role = "roles/iam.workforcePoolAdmin"
    cloud[Iam].grant("organizations/1", role, f"serviceAccount:{ADMIN}")
    return Client(cloud, running)


@pytest.fixture
def pool(client: Client) -> str:
    client.done("POST", POOLS, {}, workloadIdentityPoolId="github")
    return f"{POOL}/providers"


def certificate() -> Any:
    return Key().certificate("idp", 1_700_000_000)


def pem() -> str:
    return certificate().public_bytes(Encoding.PEM).decode()


def metadata(keys: int = 1, entity: str = 'entityID="https://idp.example.com"') -> str:
    """A SAML identity provider's own description."""
    der = base64.b64encode(certificate().public_bytes(Encoding.DER)).decode()
    key = (
        '<KeyDescriptor use="signing"><KeyInfo xmlns="http://www.w3.org/2000/09/xmldsig#">'
        f"<X509Data><X509Certificate>{der}</X509Certificate></X509Data></KeyInfo></KeyDescriptor>"
    )
    return (
        f'<EntityDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata" {entity}>'
        f"<IDPSSODescriptor>{key * keys}</IDPSSODescriptor></EntityDescriptor>"
    )


class TestPolicies:
    def test_a_pool_has_an_allow_policy(
        self, cloud: GoogleCloud, running: Running, client: Client
    ) -> None:
        client.done("POST", POOLS, {}, workloadIdentityPoolId="github")
        assert client.done("POST", f"{POOL}:getIamPolicy", {}) == {"version": 1, "etag": "ACAB"}
        worker = Client(cloud, running, WORKER)
        assert worker.refusal("GET", POOL)[0] == 403
        viewer = "roles/iam.workloadIdentityPoolViewer"
        grant = {"role": viewer, "members": [f"serviceAccount:{WORKER}"]}
        body = {"policy": {"bindings": [grant]}}
        assert client.done("POST", f"{POOL}:setIamPolicy", body)["bindings"] == [grant]
        cloud.clock.step(60)
        assert worker.done("GET", POOL)["state"] == "ACTIVE"
        asked = {"permissions": [f"iam.googleapis.com/workloadIdentityPools.{v}" for v in VERBS]}
        held = worker.done("POST", f"{POOL}:testIamPermissions", asked)
        assert held == {"permissions": ["iam.googleapis.com/workloadIdentityPools.get"]}
        assert worker.refusal("POST", f"{POOL}:setIamPolicy", body)[0] == 403

    def test_conditions_show_in_version_3_which_is_asked_for_in_the_body(
        self, client: Client
    ) -> None:
        client.done("POST", POOLS, {}, workloadIdentityPoolId="github")
        condition = {
            "title": "soon",
            "expression": "request.time < timestamp('2030-01-01T00:00:00Z')",
        }
        role = "roles/iam.workloadIdentityPoolViewer"
        grant = {"role": role, "members": [f"serviceAccount:{WORKER}"], "condition": condition}
        policy = {"version": 3, "bindings": [grant]}
        client.done("POST", f"{POOL}:setIamPolicy", {"policy": policy})
        plain = client.done("POST", f"{POOL}:getIamPolicy", {})["bindings"][0]
        assert "condition" not in plain
        options = {"options": {"requestedPolicyVersion": 3}}
        shown = client.done("POST", f"{POOL}:getIamPolicy", options)
        assert (shown["version"], shown["bindings"]) == (3, [grant])

    def test_a_policy_goes_with_its_pool(self, cloud: GoogleCloud, client: Client) -> None:
        client.done("POST", POOLS, {}, workloadIdentityPoolId="github")
        role = "roles/iam.workloadIdentityPoolViewer"
        body = {"policy": {"bindings": [{"role": role, "members": [f"serviceAccount:{WORKER}"]}]}}
        client.done("POST", f"{POOL}:setIamPolicy", body)
        client.done("DELETE", POOL)
        assert client.refusal("POST", f"{POOL}:getIamPolicy", {})[0] == 404
        cloud.clock.step(30 * DAY)
        client = client.renewed()
        client.done("POST", POOLS, {}, workloadIdentityPoolId="github")
        assert "bindings" not in client.done("POST", f"{POOL}:getIamPolicy", {})


class TestOtherProviders:
    def test_an_aws_provider_maps_by_itself(self, client: Client, pool: str) -> None:
        body = {"aws": {"accountId": "123456789012"}}
        client.done("POST", pool, body, workloadIdentityPoolProviderId="amazon")
        shown = client.done("GET", f"{pool}/amazon")
        assert shown["aws"] == body["aws"]
        # IAM v1 discovery document, WorkloadIdentityPoolProvider.attributeMapping
        assert shown["attributeMapping"] == {
            "google.subject": "assertion.arn",
            "attribute.aws_role": "assertion.arn.contains('assumed-role') ? assertion.arn.extract("
            "'{account_arn}assumed-role/') + 'assumed-role/' + assertion.arn.extract("
            "'assumed-role/{role_name}/') : assertion.arn",
        }

    def test_saml_and_x509_providers_are_kept(self, client: Client, pool: str) -> None:
        for name, source in (
            ("saml", {"saml": {"idpMetadataXml": metadata()}}),
            ("x509", {"x509": {"trustStore": {"trustAnchors": [{"pemCertificate": pem()}]}}}),
        ):
            body = {"attributeMapping": SUBJECT, **source}
            client.done("POST", pool, body, workloadIdentityPoolProviderId=name)
            shown = client.done("GET", f"{pool}/{name}")
            assert {key: shown[key] for key in body} == body

    @pytest.mark.parametrize(
        ("source", "said"),
        [
            ({"aws": {"accountId": "123"}}, "12 digits"),
            ({"aws": {"accountId": "123456789012"}, "oidc": {"issuerUri": ISSUER}}, "Exactly one"),
            ({"saml": {"idpMetadataXml": "<a/>"}}, "Invalid SAML"),
            ({"saml": {"idpMetadataXml": "no xml"}}, "Invalid SAML"),
            ({"saml": {"idpMetadataXml": metadata(0)}}, "1 to 3 signing keys"),
            ({"saml": {"idpMetadataXml": metadata(4)}}, "1 to 3 signing keys"),
            ({"saml": {"idpMetadataXml": metadata(1, "")}}, "entity ID"),
            ({"x509": {"trustStore": {}}}, "trust_anchors"),
            (
                {"x509": {"trustStore": {"trustAnchors": [{"pemCertificate": "x"}]}}},
                "Invalid PEM certificate",
            ),
        ],
    )
    def test_one_that_google_would_refuse_is_refused(
        self, client: Client, pool: str, source: dict[str, Any], said: str
    ) -> None:
        body = {"attributeMapping": SUBJECT, **source}
        query = {"workloadIdentityPoolProviderId": "other"}
        status, message = client.refusal("POST", pool, body, **query)
        assert (status, said in message) == (400, True), message

    def test_their_credentials_cannot_be_exchanged_here(
        self, cloud: GoogleCloud, client: Client, pool: str
    ) -> None:
        body = {"aws": {"accountId": "123456789012"}}
        client.done("POST", pool, body, workloadIdentityPoolProviderId="amazon")
        cloud.clock.step(60)
        audience = AUDIENCE.replace("/actions", "/amazon")
        kind = "urn:ietf:params:aws:token-type:aws4_request"
        error = exchange(client, "{}", audience=audience, subject_token_type=kind)["error"]
        assert (error["code"], error["message"]) == (
            501,
            "sts.token for credentials of kind aws is not simulated.",
        )


class TestWorkforcePools:
    @pytest.fixture
    def people(self, cloud: GoogleCloud, client: Client) -> str:
        """The audience of a provider that was made through the API."""
        client.done("POST", WORKFORCE, PARENT, workforcePoolId="acme-people")
        query = {"workforcePoolProviderId": "company"}
        client.done("POST", f"{PEOPLE}/providers", COMPANY, **query)
        cloud.clock.step(60)
        cloud[Issuers].add(ISSUER, {ANN: {"email": ANN, "name": "Ann"}})
        return "//iam.googleapis.com/locations/global/workforcePools/acme-people/providers/company"

    def test_a_pool_belongs_to_an_organization(self, cloud: GoogleCloud, client: Client) -> None:
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
        self, cloud: GoogleCloud, running: Running, people: str
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
        self,
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
        self, cloud: GoogleCloud, client: Client, people: str
    ) -> None:
        token = exchange(client, cloud[Issuers].mint(ISSUER, ANN, "acme"), audience=people)
        found = cloud[Identity].lookup(token["access_token"])
        assert found is not None
        assert found.principal.sets == (f"principalSet:{people.partition('/providers/')[0]}/*",)

    def test_a_clients_secret_is_not_shown_again(self, client: Client, people: str) -> None:
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
        self, client: Client, id: str, body: dict[str, Any], status: int, said: str
    ) -> None:
        found, answer = client.call("POST", WORKFORCE, body, workforcePoolId=id)
        assert (found, said in str(answer)) == (status, True), answer

    def test_its_parent_stays(self, client: Client, people: str) -> None:
        body = {"parent": "organizations/2"}
        assert client.refusal("PATCH", PEOPLE, body, updateMask="parent")[0] == 400


def test_a_repositorys_job_can_be_let_at_its_own_pool(
    cloud: GoogleCloud, client: Client, tmp_path: Path
) -> None:
    client.federate()
    role = "roles/iam.workloadIdentityPoolViewer"
    body = {"policy": {"bindings": [{"role": role, "members": [OF_REPOSITORY]}]}}
    client.done("POST", f"{POOL}:setIamPolicy", body)
    cloud.clock.step(60)
    assert federated(tmp_path, github_token(cloud)).get(POOL).status_code == 200
