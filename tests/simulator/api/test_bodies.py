"""Every method that takes a body, held to its discovery document."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from simulator.api.calls import Methods
from simulator.api.discovery import HOSTS, OAUTH, Method, document
from simulator.core.clock import Clock
from simulator.core.delays import Delays
from simulator.google import GoogleCloud
from simulator.identity.tokens import Identity
from simulator.seed import plant
from simulator.serve.dispatch import Answer, Dispatcher, Request

POWERS = (
    "roles/owner",
    "roles/resourcemanager.organizationAdmin",
    "roles/iam.denyAdmin",
    "roles/iam.workforcePoolAdmin",
    "roles/orgpolicy.policyAdmin",
)
OWNER = "owner@iot-prod.iam.gserviceaccount.com"
PATH_VALUES = {
    "project": "iot-prod",
    "projectId": "iot-prod",
    "projectsId": "iot-prod",
    "resource": "iot-prod",
    "organizationsId": "1",
    "foldersId": "2",
    "locationsId": "us-central1",
    "v1Id": "projects",
    "v1Id1": "iot-prod",
    "v3Id": "projects",
    "v3Id1": "iot-prod",
    "v1beta1Id": "projects",
    "v1beta1Id1": "iot-prod",
}
DENY_VALUES = {
    "policiesId": "cloudresourcemanager.googleapis.com%2Fprojects%2Fiot-prod",
    "policiesId1": "denypolicies",
}
QUERY = {"project": "iot-prod"}
# What exists, so that a wrong body is the only thing wrong with a request.
WORLD = (
    ("storage", "/storage/v1/b?project=iot-prod", {"name": "thing", "location": "US"}),
    (
        "bigquery",
        "/bigquery/v2/projects/iot-prod/datasets",
        {"datasetReference": {"projectId": "iot-prod", "datasetId": "thing"}},
    ),
)
# A raw body is the container's own; an object is described in its upload, beside its content.
FREE_BODIES = {"aiplatform.projects.locations.endpoints.rawPredict", "storage.objects.insert"}


class World:
    def __init__(self) -> None:
        cloud = GoogleCloud(clock=Clock(running=False, start=1_767_225_600), delays=Delays(0, 0, 0))
        resources = ("organizations/1", "folders/2", "projects/iot-prod")
        plant(
            cloud,
            {
                "organization": {"id": "1"},
                "folders": [{"id": "2", "parent": "organizations/1"}],
                "projects": [
                    {
                        "id": "iot-prod",
                        "number": "123456789012",
                        "parent": "folders/2",
                        "services": [f"{name}.googleapis.com" for name in HOSTS],
                    }
                ],
                "accounts": [{"project": "iot-prod", "id": "owner"}],
                "pools": [
                    {
                        "name": "locations/us-central1/workforcePools/thing",
                        "parent": "organizations/1",
                    }
                ],
                "grants": [
                    {"resource": resource, "role": role, "member": f"serviceAccount:{OWNER}"}
                    for resource in resources
                    for role in POWERS
                ],
            },
        )
        self.cloud, self._dispatcher = cloud, Dispatcher(cloud)
        token = cloud[Identity].access_token(OWNER)
        self._headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
        for host, path, body in WORLD:
            plain, _, query = path.partition("?")
            assert self.send("POST", f"{host}.googleapis.com", plain, query, body).status == 200

    def send(self, verb: str, host: str, path: str, query: str, body: Any) -> Answer:
        content = json.dumps(body).encode()
        return self._dispatcher.handle(Request(host, verb, path, query, self._headers, content))

    def methods(self) -> Iterator[tuple[str, Method]]:
        """(host, method) of every handler that takes a body."""
        for host, entries in HOSTS.items():
            for _, api, version in entries:
                if api == OAUTH:
                    continue
                for method in document(api, version).methods():
                    if self.cloud[Methods].get(method.id) and method.validator:
                        name = "us-central1-aiplatform" if api == "aiplatform" else host
                        yield f"{name}.googleapis.com", method

    def post(self, host: str, method: Method, body: Any) -> Answer:
        values = PATH_VALUES | (DENY_VALUES if method.id.startswith("iam.policies.") else {})
        path = re.sub(
            r"\{\+?(\w+)\}", lambda found: values.get(found[1], "thing"), method.flat_path
        )
        query = "&".join(f"{name}={QUERY[name]}" for name in method.required_query)
        return self.send(method.verb, host, f"/{path}", query, body)


pytestmark = pytest.mark.xdist_group("bodies")


@pytest.fixture(scope="module")
def world() -> World:
    return World()


def test_every_body_with_an_unknown_field_is_refused_by_name(world: World) -> None:
    """But for methods on a resource that has to exist first: those answer 404 before."""
    wrong: list[str] = []
    refused, missing = 0, 0
    for host, method in world.methods():
        if method.id in FREE_BODIES:
            continue
        answer = world.post(host, method, {"noSuchField": 1})
        said = answer.body.decode()
        if answer.status == 404:
            missing += 1
        elif answer.status == 400 and 'Unknown name \\"noSuchField\\"' in said:
            refused += 1
        else:
            wrong.append(f"{method.id}: {answer.status} {said[:200]}")
    assert not wrong, "\n".join(wrong)
    assert refused > 4 * missing, (refused, missing)


def test_a_missing_query_parameter_is_named(world: World) -> None:
    answer = world.send("POST", "storage.googleapis.com", "/storage/v1/b", "", {"name": "other"})
    assert answer.status == 400
    assert json.loads(answer.body)["error"]["message"] == "Required parameter: project"
    assert json.loads(answer.body)["error"]["errors"][0]["reason"] == "required"
