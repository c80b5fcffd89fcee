"""How the stand-in configures itself, who it calls as, and how it meets failures."""

from __future__ import annotations

import subprocess
import sys
from http.client import RemoteDisconnected
from pathlib import Path
from typing import Any

import pytest
import requests
from urllib3 import HTTPConnectionPool
from urllib3.exceptions import MaxRetryError, NewConnectionError, ProxyError

import standin
from pulumi_plugin.kinds import Context, ProviderError
from pulumi_plugin.values import UNKNOWN
from standin.gcp import Gcp
from standin.google import Google, GoogleError
from standin.provider import Provider
from tests.standin.support import (
    BUCKET,
    BUCKET_INPUTS,
    DENIED,
    ENDPOINT,
    ENDPOINT_INPUTS,
    ENDPOINTS,
    Scripted,
    configured,
    endpoint,
    session,
)

TOKEN = "POST /v1/projects/-/serviceAccounts/d@p.iam.gserviceaccount.com:generateAccessToken"


def test_a_denial_is_reported_as_googles_go_client_words_it_and_not_retried() -> None:
    api = Scripted({f"POST {ENDPOINTS}": (403, DENIED)})
    gcp, slept = configured(api)
    with pytest.raises(ProviderError) as raised:
        gcp.kind(ENDPOINT).create(ENDPOINT_INPUTS, Context())
    assert str(raised.value) == (
        "Error creating Endpoint: googleapi: Error 403: Permission 'x' denied on resource 'y' "
        "(or it may not exist).\nDetails:\n[\n  {\n    "
        '"reason": "IAM_PERMISSION_DENIED"\n  }\n]'
    )
    assert slept == []


def test_an_older_error_ends_with_its_reason() -> None:
    denied = {"code": 403, "message": "No.", "errors": [{"message": "No.", "reason": "forbidden"}]}
    gcp, _ = configured(Scripted({"POST /storage/v1/b": (403, {"error": denied})}))
    with pytest.raises(ProviderError) as raised:
        gcp.kind(BUCKET).create(BUCKET_INPUTS, Context())
    assert str(raised.value) == "googleapi: Error 403: No., forbidden"


def test_what_may_pass_is_tried_again_a_bounded_number_of_times() -> None:
    busy = (503, {"error": {"code": 503, "message": "Busy."}})
    gcp, slept = configured(Scripted({f"GET {ENDPOINTS}/1": [busy, busy, endpoint()]}))
    assert gcp.kind(ENDPOINT).read("1", ENDPOINT_INPUTS, {}, Context()) is not None
    assert slept == [0.5, 1.0]
    gcp, slept = configured(Scripted({f"GET {ENDPOINTS}/1": busy}))
    with pytest.raises(ProviderError, match="Error 503: Busy"):
        gcp.kind(ENDPOINT).read("1", ENDPOINT_INPUTS, {}, Context())
    assert slept == [0.5, 1.0, 2.0, 4.0, 8.0]


QUOTA = "Quota exceeded for quota metric 'Reads' and limit 'Reads per minute' of service 'x'."


@pytest.mark.parametrize(
    ("status", "message"),
    [(429, "Slow down."), (500, "Oh."), (502, "Oh."), (503, "Oh."), (403, QUOTA)],
)
def test_what_the_official_plugin_retries_is_retried(status: int, message: str) -> None:
    failed = (status, {"error": {"code": status, "message": message}})
    gcp, slept = configured(Scripted({f"GET {ENDPOINTS}/1": [failed, endpoint()]}))
    assert gcp.kind(ENDPOINT).read("1", ENDPOINT_INPUTS, {}, Context()) is not None
    assert slept == [0.5]


@pytest.mark.parametrize("status", [400, 401, 403, 409, 412, 501, 504])
def test_what_will_not_pass_fails_at_once(status: int) -> None:
    failed = (status, {"error": {"code": status, "message": "No."}})
    gcp, slept = configured(Scripted({f"GET {ENDPOINTS}/1": failed}))
    with pytest.raises(ProviderError, match=f"Error {status}: No"):
        gcp.kind(ENDPOINT).read("1", ENDPOINT_INPUTS, {}, Context())
    assert slept == []


class Failing(Scripted):
    """Raises each of `errors` once before it answers."""

    def __init__(self, script: dict[str, Any], *errors: Exception) -> None:
        super().__init__(script)
        self.errors = list(errors)

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        if self.errors:
            raise self.errors.pop(0)
        return super().send(request)


def behind_a_proxy(error: Exception) -> requests.exceptions.ProxyError:
    """As requests reports what happens on a connection through a proxy."""
    wrapped = ProxyError("Unable to connect to proxy", error)
    return requests.exceptions.ProxyError(MaxRetryError(HTTPConnectionPool("a"), "/x", wrapped))


@pytest.mark.parametrize(
    "error",
    [
        requests.ConnectionError("reset by peer"),
        requests.ReadTimeout("silent"),
        requests.exceptions.ChunkedEncodingError("ended early"),
        behind_a_proxy(RemoteDisconnected("Remote end closed connection without response")),
        behind_a_proxy(ConnectionResetError("reset by peer")),
    ],
)
def test_a_connection_that_breaks_is_tried_again(error: Exception) -> None:
    slept: list[float] = []
    api = Failing({"POST /x": {"answer": 1}}, error, error)
    google = Google(session(api), lambda: "token", slept.append)
    assert google.call("POST", "https://a.googleapis.com/x", None, {}) == {"answer": 1}
    assert slept == [0.5, 1.0]


@pytest.mark.parametrize(
    "error",
    [
        behind_a_proxy(OSError("Tunnel connection failed: 403 Forbidden")),
        behind_a_proxy(NewConnectionError(None, "refused")),
        requests.exceptions.SSLError("certificate verify failed"),
        requests.ConnectionError(
            MaxRetryError(HTTPConnectionPool("a"), "/x", NewConnectionError(None, "refused"))
        ),
    ],
)
def test_a_connection_that_is_refused_is_not(error: Exception) -> None:
    slept: list[float] = []
    google = Google(session(Failing({}, error)), lambda: "token", slept.append)
    with pytest.raises(GoogleError, match=r'Get "https://a\.googleapis\.com/x": ') as raised:
        google.call("GET", "https://a.googleapis.com/x")
    assert raised.value.status == 0
    assert slept == []


def test_polling_an_operation_outlives_a_bad_moment() -> None:
    operation = {"name": f"{ENDPOINTS[9:]}/1/operations/5"}
    api = Scripted(
        {
            f"POST {ENDPOINTS}": operation,
            f"GET {ENDPOINTS}/1/operations/5": [(502, {}), {**operation, "done": True}],
            f"GET {ENDPOINTS}/1": endpoint(),
        }
    )
    gcp, slept = configured(api)
    gcp.kind(ENDPOINT).create(ENDPOINT_INPUTS, Context())
    assert slept == [0.2, 0.5]  # before the poll, and before it was tried again


def test_an_account_that_cannot_be_impersonated_is_not_an_endpoint_that_is_gone() -> None:
    missing = (404, {"error": {"code": 404, "message": "Account deleted."}})
    gcp, _ = configured(
        Scripted({TOKEN: missing}), impersonateServiceAccount="d@p.iam.gserviceaccount.com"
    )
    with pytest.raises(ProviderError, match=r"impersonate: status code 404: .*Account deleted"):
        gcp.kind(ENDPOINT).read("1", ENDPOINT_INPUTS, {}, Context())


def test_an_impersonating_provider_fetches_one_token_when_it_first_needs_it() -> None:
    token = {"accessToken": "theirs", "expireTime": "2999-01-01T00:00:00Z"}
    api = Scripted({TOKEN: token, f"GET {ENDPOINTS}/1": endpoint()})
    gcp, _ = configured(api, impersonateServiceAccount="d@p.iam.gserviceaccount.com")
    assert api.sent() == []
    for _ in range(2):
        gcp.kind(ENDPOINT).read("1", ENDPOINT_INPUTS, {}, Context())
    assert [(e["path"].rpartition(":")[2], e["as"]) for e in api.exchanges] == [
        ("generateAccessToken", "caller"),
        (f"{ENDPOINTS}/1", "theirs"),
        (f"{ENDPOINTS}/1", "theirs"),
    ]


def test_a_configuration_that_is_not_known_yet_calls_nobody_and_still_previews() -> None:
    def no_session() -> requests.Session:
        raise AssertionError("a preview connected")

    gcp = Gcp(Provider(no_session))
    config = {"project": "p", "region": "r", "impersonateServiceAccount": UNKNOWN}
    assert gcp.check_config(config, Context()) == (config, [])
    gcp.configure(config, Context())
    planned = gcp.kind(ENDPOINT).preview({**ENDPOINT_INPUTS, "description": UNKNOWN}, None)
    assert planned["description"] is UNKNOWN
    assert planned["project"] == "p"
    assert "createTime" not in planned
    with pytest.raises(ProviderError, match="not known yet"):
        gcp.kind(ENDPOINT).read("1", ENDPOINT_INPUTS, {}, Context())


def warned(api: Scripted, config: dict[str, Any]) -> list[str]:
    """What a check of `config` warns of; it fails nowhere."""
    said: list[str] = []
    _, failures = Gcp(Provider(lambda: session(api))).check_config(
        config, Context(warn=said.append)
    )
    assert failures == []
    return said


def test_a_region_is_looked_up_and_a_warning_says_what_is_wrong_with_it() -> None:
    regions = "GET /compute/v1/projects/p/regions"
    config = {"project": "p", "region": "mars", "accessToken": "caller"}
    api = Scripted({"GET /v1/userinfo": {}, regions: {"items": [{"name": "us-central1"}]}})
    assert warned(api, {**config, "region": "us-central1"}) == []
    [said] = warned(api, config)
    assert said.startswith('region "mars" is not available for project "p".\nPlease see https://')
    api = Scripted({"GET /v1/userinfo": {}, regions: (403, DENIED)})
    [said] = warned(api, config)
    assert said.startswith(
        "failed to get regions list: failed to list regions: googleapi: Error 403: Permission 'x' "
        "denied on resource 'y' (or it may not exist).\nDetails:\n["
    )


@pytest.mark.parametrize("quiet", ["a zone", "its configuration", "its environment"])
def test_a_region_is_not_looked_up_when(quiet: str, monkeypatch: pytest.MonkeyPatch) -> None:
    config = {"project": "p", "region": "mars", "accessToken": "caller"}
    match quiet:
        case "a zone":
            config = {"project": "p", "zone": "mars-north1-a", "accessToken": "caller"}
        case "its configuration":
            config["skipRegionValidation"] = "true"
        case "its environment":
            monkeypatch.setenv("PULUMI_GCP_SKIP_REGION_VALIDATION", "true")
    api = Scripted({"GET /v1/userinfo": {}})
    assert warned(api, config) == []
    assert api.sent() == ["GET /v1/userinfo"]


def test_without_a_project_the_provider_warns_until_told_not_to() -> None:
    [said] = warned(Scripted({}), {"accessToken": "caller"})
    assert said.startswith("unable to detect a global setting for GCP Project.\n")
    quiet = {"accessToken": "caller", "disableGlobalProjectWarning": "true"}
    assert warned(Scripted({}), quiet) == []


def test_no_credentials_are_a_failure_of_the_configuration(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))
    _, [failure] = Gcp(Provider(lambda: session(Scripted({})))).check_config(
        {"project": "p"}, Context()
    )
    assert "failed to load application credentials.\n" in failure.reason
    assert "gcloud auth application-default login" in failure.reason


def test_a_type_that_the_stand_in_has_not_is_named_with_those_it_has() -> None:
    with pytest.raises(ProviderError, match=r"compute[^$]*\n  gcp:bigquery/dataset:Dataset"):
        Gcp().kind("gcp:compute/instance:Instance")


def test_waiting_stops_when_the_engine_cancels() -> None:
    gcp, _ = configured(Scripted({f"POST {ENDPOINTS}": {"name": "op"}}))
    context = Context()
    context.cancelled.set()
    with pytest.raises(ProviderError, match="was cancelled; op goes on"):
        gcp.kind(ENDPOINT).create(ENDPOINT_INPUTS, context)


def test_the_plugin_starts_without_what_only_a_call_needs() -> None:
    code = "import sys, standin.gcp, pulumi_plugin.server; print(*sys.modules)"
    root = Path(standin.__file__).parents[1]
    said = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, check=True)
    late = {"pulumi", "requests", "google.auth", "cryptography"}
    assert late.isdisjoint(said.stdout.decode().split())
