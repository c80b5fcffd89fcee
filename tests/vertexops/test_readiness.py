"""Readiness: what is asked, when it is satisfied, what is said if not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from pulumi_plugin.kinds import ProviderError
from pulumi_plugin.values import UNKNOWN
from tests.vertexops import fakes
from vertexops.errors import GoogleError
from vertexops.readiness import KNOWN, AccessReady, FoundationReady, ServicesReady
from vertexops.waiting import Unfinished

Answer = Callable[[str, str, dict[str, Any] | None, str], dict[str, Any]]
VERTEX, STORAGE = "aiplatform.googleapis.com", "storage.googleapis.com"
DEPLOYER = "deployer@p.iam.gserviceaccount.com"
NOT_YET = "Vertex AI API has not been used in project p before or it is disabled."
SERVICES = {"project": "p", "region": "us-central1", "services": [VERTEX, STORAGE]}
NEEDS = {
    "principal": DEPLOYER,
    "needs": [
        {"resource": "projects/p", "permissions": ["a.b.create", "a.b.get"]},
        {
            "resource": "projects/p/serviceAccounts/serving@p.iam.gserviceaccount.com",
            "permissions": ["iam.serviceAccounts.actAs"],
        },
        {"resource": "projects/_/buckets/artifacts", "permissions": ["storage.objects.get"]},
    ],
}


def disabled() -> GoogleError:
    return GoogleError(403, "PERMISSION_DENIED", NOT_YET, "SERVICE_DISABLED", {"service": VERTEX})


class World(fakes.World):
    """`answer` is asked for each request, after it was noted in `urls`."""

    def __init__(
        self, kind: type[ServicesReady | AccessReady | FoundationReady], answer: Answer
    ) -> None:
        super().__init__(kind)
        self.urls: list[str] = []

        def noted(verb: str, url: str, body: dict[str, Any] | None, token: str) -> dict[str, Any]:
            self.urls.append(f"{verb} {url}")
            return answer(verb, url, body, token)

        self.google.answer = noted

    def create(self, inputs: dict[str, Any]) -> dict[str, Any]:
        return self.kind.create(inputs, self.context)[1]


def services(answer: Answer) -> World:
    return World(ServicesReady, answer)


def test_each_service_is_asked_until_it_answers() -> None:
    def answer(verb: str, url: str, body: Any, token: str) -> dict[str, Any]:
        if "aiplatform" in url and world.clock.time < 100:
            raise disabled()
        return {}

    world = services(answer)
    assert world.create(SERVICES)["services"] == [VERTEX, STORAGE]
    assert 100 <= world.clock.time < 111
    assert world.urls[0] == (
        "GET https://us-central1-aiplatform.googleapis.com/v1/projects/p/locations/us-central1"
        "/endpoints?pageSize=1"
    )
    assert sum("storage" in url for url in world.urls) == 1


@pytest.mark.parametrize("code", [400, 401, 403, 404, 429, 501])
def test_any_other_refusal_shows_that_the_api_serves(code: int) -> None:
    def answer(verb: str, url: str, body: Any, token: str) -> dict[str, Any]:
        raise GoogleError(code, "", "no", "IAM_PERMISSION_DENIED")

    world = services(answer)
    world.create(SERVICES)
    assert len(world.urls) == 2


@pytest.mark.parametrize("code", [0, 500, 502, 503])
def test_no_answer_at_all_is_no_sign_of_life(code: int) -> None:
    def answer(verb: str, url: str, body: Any, token: str) -> dict[str, Any]:
        raise GoogleError(code, "", "proxy refused")

    with pytest.raises(ProviderError, match=r"googleapis\.com is not on yet: proxy refused"):
        services(answer).create(SERVICES | {"deadlineSeconds": 30})


def test_the_deadline_names_each_service_that_is_still_off() -> None:
    def answer(verb: str, url: str, body: Any, token: str) -> dict[str, Any]:
        if "aiplatform" in url:
            raise disabled()
        return {}

    world = services(answer)
    with pytest.raises(ProviderError) as failure:
        world.create(SERVICES | {"deadlineSeconds": 60})
    assert str(failure.value) == (f"after 60 s still missing:\n  {VERTEX} is not on yet: {NOT_YET}")
    assert world.clock.time == 60
    assert 8 <= len(world.urls) <= 20


def test_no_deadline_means_not_looking() -> None:
    world = services(lambda *_: {})
    world.create(SERVICES | {"deadlineSeconds": 0})
    assert world.urls == []


def test_the_list_is_compared_without_its_order() -> None:
    world = services(lambda *_: {})
    diff = world.kind.diff
    assert diff("", SERVICES, {}, SERVICES | {"services": [STORAGE, VERTEX]}).updates == ()
    assert diff("", SERVICES, {}, SERVICES | {"deadlineSeconds": 9}).updates == ()
    assert diff("", SERVICES, {}, SERVICES | {"services": [VERTEX]}).updates == ("services",)
    assert diff("", SERVICES, {}, SERVICES | {"services": UNKNOWN}).updates == ("services",)
    assert diff("", SERVICES, {}, SERVICES | {"project": "q"}).replaces == ("project",)


def test_a_service_without_a_probe_is_refused_by_name() -> None:
    world = services(lambda *_: {})
    assert world.failures({"services": list(KNOWN)}) == {}
    [(at, said)] = world.failures({"services": [VERTEX, "maps.googleapis.com"]}).items()
    assert at == "services[1]" and "not one of" in said and STORAGE in said
    assert world.failures({"services": [UNKNOWN]}) == world.failures({"services": UNKNOWN}) == {}


def access(held: Callable[[World], set[str]]) -> World:
    """A world in which the deployer holds `held`, and may be impersonated after 20 seconds."""

    def answer(verb: str, url: str, body: Any, token: str) -> dict[str, Any]:
        if url.endswith(":generateAccessToken"):
            if world.clock.time < 20:
                raise GoogleError(403, "PERMISSION_DENIED", "getAccessToken denied")
            return {"accessToken": "its-own"}
        assert token == "its-own"
        asked = body["permissions"] if body else parse_qs(urlsplit(url).query)["permissions"]
        has = [permission for permission in asked if permission in held(world)]
        return {"permissions": has} if has else {}

    world = World(AccessReady, answer)
    return world


ALL = {"a.b.create", "a.b.get", "iam.serviceAccounts.actAs", "storage.objects.get"}


def test_permissions_are_tested_as_the_principal_itself() -> None:
    world = access(lambda world: ALL)
    assert world.create(NEEDS)["email"] == DEPLOYER
    assert world.clock.time >= 20
    assert world.urls[-3:] == [
        "POST https://cloudresourcemanager.googleapis.com/v1/projects/p:testIamPermissions",
        "POST https://iam.googleapis.com/v1/projects/p/serviceAccounts"
        "/serving@p.iam.gserviceaccount.com:testIamPermissions",
        "GET https://storage.googleapis.com/storage/v1/b/artifacts/iam/testPermissions"
        "?permissions=storage.objects.get",
    ]


def test_all_permissions_have_to_be_there_in_one_round() -> None:
    def flickers(world: World) -> set[str]:
        if world.clock.time > 100:
            return ALL
        there = {"a.b.create", "a.b.get"}
        return there if len(world.urls) % 2 else ALL - there

    world = access(flickers)
    world.create(NEEDS)
    assert world.clock.time > 100
    refused = sum("generateAccessToken" in url for url in world.urls) - 1
    assert 0 < refused < 10 < len(world.urls)


def test_the_deadline_names_each_missing_permission_and_where() -> None:
    world = access(lambda world: ALL - {"a.b.create", "storage.objects.get"})
    with pytest.raises(ProviderError) as failure:
        world.create(NEEDS | {"deadlineSeconds": 60})
    first, *lines, hint = str(failure.value).split("\n")
    assert first == "after 60 s still missing:"
    assert lines == [
        f"  a.b.create on projects/p for {DEPLOYER}",
        f"  storage.objects.get on projects/_/buckets/artifacts for {DEPLOYER}",
    ]
    assert "custom roles" in hint


def test_a_token_that_is_never_given_names_who_needs_what() -> None:
    world = access(lambda world: ALL)
    with pytest.raises(ProviderError) as failure:
        world.create(NEEDS | {"deadlineSeconds": 10})
    assert (
        f"iam.serviceAccounts.getAccessToken on projects/-/serviceAccounts/{DEPLOYER} for "
        "ana@example.com: getAccessToken denied"
    ) in str(failure.value)


def test_a_permission_that_does_not_exist_is_an_error_at_once() -> None:
    def answer(verb: str, url: str, body: Any, token: str) -> dict[str, Any]:
        if token:
            raise GoogleError(400, "INVALID_ARGUMENT", "Permission a.b.create is not valid.")
        return {"accessToken": "t"}

    world = World(AccessReady, answer)
    with pytest.raises(ProviderError, match=r"testing on projects/p: Permission a.b.create is not"):
        world.create(NEEDS)
    assert world.clock.time == 0


def test_a_denied_test_is_not_yet_and_not_a_crash() -> None:
    def answer(verb: str, url: str, body: Any, token: str) -> dict[str, Any]:
        if token and world.clock.time < 50:
            raise GoogleError(403, "PERMISSION_DENIED", "not yet")
        return {"accessToken": "t", "permissions": list(ALL)}

    world = World(AccessReady, answer)
    world.create(NEEDS)
    assert 50 <= world.clock.time < 61


def test_long_lists_are_tested_a_hundred_at_a_time() -> None:
    many = [f"a.b.{i}" for i in range(250)]
    sizes: list[int] = []

    def answer(verb: str, url: str, body: Any, token: str) -> dict[str, Any]:
        if not token:
            return {"accessToken": "t"}
        sizes.append(len(body["permissions"]))
        return {"permissions": body["permissions"]}

    World(AccessReady, answer).create(
        {"principal": DEPLOYER, "needs": [{"resource": "projects/p", "permissions": many}]}
    )
    assert sizes == [100, 100, 50]


def test_access_without_a_deadline_still_gives_the_email() -> None:
    world = access(lambda world: set())
    outputs = world.create(NEEDS | {"deadlineSeconds": 0})
    assert outputs["principal"] == outputs["email"] == DEPLOYER
    assert world.urls == []


def test_cancelling_ends_the_wait() -> None:
    world = access(lambda world: set())
    world.clock.at.append((30, world.context.cancelled.set))
    with pytest.raises(Unfinished, match="cancelled"):
        world.create(NEEDS)
    assert world.clock.time < 41


def test_the_email_is_known_only_when_ready_and_stays_known_later() -> None:
    world = access(lambda world: ALL)
    first = world.kind.preview(NEEDS, None)
    assert first["email"] is UNKNOWN and first["principal"] is UNKNOWN
    outputs = NEEDS | {"email": DEPLOYER}
    assert world.kind.preview(NEEDS | {"needs": []}, outputs)["email"] == DEPLOYER
    change = world.kind.diff(DEPLOYER, NEEDS, outputs, NEEDS | {"needs": []})
    assert change.updates == ("needs",) and set(change.stables) == {"principal", "email"}
    assert world.kind.diff(DEPLOYER, NEEDS, outputs, NEEDS | {"principal": "x"}).stables == ()


def test_needs_are_checked_by_property() -> None:
    world = access(lambda world: ALL)
    assert world.failures(NEEDS) == world.failures({"principal": UNKNOWN, "needs": UNKNOWN}) == {}
    wrong = {
        "principal": "me@example.com",
        "needs": [{"resource": "organizations/1", "permissions": "all"}, {"resource": UNKNOWN}],
    }
    assert world.failures(wrong).keys() == {
        "principal",
        "needs[0].resource",
        "needs[0].permissions",
        "needs[1].permissions",
    }


def test_readiness_is_never_imported() -> None:
    world = access(lambda world: ALL)
    with pytest.raises(ProviderError, match="nothing to import"):
        world.kind.read(DEPLOYER, {}, {}, world.context)
    found = world.kind.read(DEPLOYER, NEEDS, {"email": DEPLOYER}, world.context)
    assert found is not None and found.inputs == NEEDS


E = "projects/p/locations/us-central1/endpoints/7"
TOPIC = {
    "resource": "projects/p/topics/telemetry",
    "permissions": ["pubsub.topics.attachSubscription"],
}
GROUND = {
    "endpoint": E,
    "needs": [{"resource": "projects/p", "permissions": ["a.b.get"]}, TOPIC],
    "look": True,
}


def all_held(verb: str, url: str, body: dict[str, Any] | None, token: str) -> dict[str, Any]:
    assert not token  # the provider's own identity is who rolls out
    return body or {}


def test_a_foundation_that_is_there_gives_the_endpoints_own_host() -> None:
    world = World(FoundationReady, all_held)
    world.vertex.add_endpoint(E)
    world.vertex.endpoints[E]["dns"] = "7.prediction.vertexai.goog"
    assert world.failures(GROUND) == {}
    assert world.create(GROUND)["dedicatedEndpointDns"] == "7.prediction.vertexai.goog"
    made = world.create(GROUND)
    assert world.kind.preview(GROUND, None)["dedicatedEndpointDns"] is UNKNOWN
    assert world.kind.preview(GROUND, made) == made
    assert world.urls == [
        "POST https://cloudresourcemanager.googleapis.com/v1/projects/p:testIamPermissions",
        "POST https://pubsub.googleapis.com/v1/projects/p/topics/telemetry:testIamPermissions",
    ]


def test_all_that_the_foundation_lacks_is_said_at_once_and_what_to_do() -> None:
    def answer(verb: str, url: str, body: dict[str, Any] | None, token: str) -> dict[str, Any]:
        if "topics" in url:
            raise GoogleError(404, "NOT_FOUND", "Resource not found (resource=telemetry).")
        return {}

    world = World(FoundationReady, answer)
    world.vertex.add_endpoint(E)
    said = world.failures(GROUND)[""]
    assert "a.b.get on projects/p for deployer@p" in said
    assert "projects/p/topics/telemetry for deployer@p" in said
    assert "Resource not found (resource=telemetry)." in said
    assert "layer foundation first" in said
    assert world.clock.now() == 0  # it does not wait


def test_a_foundation_without_its_endpoint_is_said_before_anything_else() -> None:
    world = World(FoundationReady, all_held)
    assert f"reading {E}" in world.failures(GROUND)[""]
    assert world.urls == []


def test_a_deployer_that_nobody_may_become_is_said_once() -> None:
    world = World(FoundationReady, all_held)
    denied = "Permission 'iam.serviceAccounts.getAccessToken' denied on resource"
    world.vertex.fail["endpoint"] = [GoogleError(403, "PERMISSION_DENIED", denied)]
    said = world.failures(GROUND)[""]
    assert said.count("may not become deployer@p.iam.gserviceaccount.com") == 1


def test_needs_of_a_foundation_are_checked_by_property() -> None:
    world = World(FoundationReady, all_held)
    wrong = {"endpoint": "7", "needs": [{"resource": "p", "permissions": []}], "look": True}
    assert world.failures(wrong).keys() == {"endpoint", "needs[0].resource"}


def test_a_preview_does_not_look_and_that_is_no_change() -> None:
    world = World(FoundationReady, all_held)
    world.vertex.fail["endpoint"] = [GoogleError(403, "PERMISSION_DENIED", "denied")]
    previewed = {**GROUND, "look": False}
    assert world.failures(previewed) == {}
    assert (world.asked, world.urls) == ([], [])
    change = world.kind.diff(E, GROUND, GROUND, previewed)
    assert (change.updates, change.replaces) == ((), ())
