"""What is said of Google's refusals, from texts that others recorded."""

from __future__ import annotations

import json
from typing import Any, ClassVar

import pytest
from google.auth import impersonated_credentials
from google.auth.credentials import Credentials
from google.auth.exceptions import DefaultCredentialsError, RefreshError, TransportError
from google.auth.transport.requests import AuthorizedSession

from tests.vertexops.fakes import FakeGoogle
from vertexops.errors import GoogleError, explain
from vertexops.google import Google, google_errors

# google-github-actions/auth#340: google-auth's exception when the caller may not have a token.
NO_TOKEN = {
    "error": {
        "code": 403,
        "message": "Permission 'iam.serviceAccounts.getAccessToken' denied on resource (or it may "
        "not exist).",
        "status": "PERMISSION_DENIED",
        "details": [
            {
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": "IAM_PERMISSION_DENIED",
                "domain": "iam.googleapis.com",
                "metadata": {"permission": "iam.serviceAccounts.getAccessToken"},
            }
        ],
    }
}


def test_whoever_may_not_become_the_account_is_named_and_not_the_account() -> None:
    google: Any = FakeGoogle()
    with pytest.raises(GoogleError) as refused, google_errors():
        raise RefreshError("Unable to acquire impersonated credentials", json.dumps(NO_TOKEN))
    said, _, googles_own = str(explain(refused.value, "reading E", google)).partition("\n")
    assert said.startswith("reading E: ana@example.com may not become deployer@p.iam.")
    assert (
        "a role with iam.serviceAccounts.getAccessToken on "
        "projects/-/serviceAccounts/deployer@p.iam.gserviceaccount.com" in said
    )
    assert googles_own == NO_TOKEN["error"]["message"]


class Refused(Credentials):
    """Default credentials of somebody who may not become the account that they are for."""

    service_account_email = "pm-preview@p.iam.gserviceaccount.com"

    def refresh(self, request: Any) -> None:
        raise RefreshError("Unable to acquire impersonated credentials", json.dumps(NO_TOKEN))


def test_default_credentials_that_are_refused_themselves_are_not_taken_for_the_caller(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("google.auth.default", lambda **_: (Refused(), "p"))
    who, account = Google("p", "us-central1", "pm-deployer@p.iam.gserviceaccount.com").turned_away()
    assert (who, account) == (
        "the identity of the application default credentials",
        "pm-preview@p.iam.gserviceaccount.com",
    )


PROVIDER = "projects/1/locations/global/workloadIdentityPools/github/providers/deploy"


class Plain(Credentials):
    """Default credentials that say nothing of themselves."""

    def refresh(self, request: Any) -> None:
        self.token = "any"


class Federated(Plain):
    """Default credentials of a job that a provider of identities lets in."""

    info: ClassVar[dict[str, str]] = {"audience": f"//iam.googleapis.com/{PROVIDER}"}


class Own(Plain):
    service_account_email = "pipeline@p.iam.gserviceaccount.com"


def no_credentials(**_: Any) -> tuple[Any, str]:
    raise DefaultCredentialsError("not signed in")


@pytest.mark.parametrize(
    ("default", "who"),
    [
        (lambda **_: (Federated(), "p"), f"somebody of //iam.googleapis.com/{PROVIDER}"),
        (lambda **_: (Own(), "p"), "pipeline@p.iam.gserviceaccount.com"),
        (lambda **_: (Plain(), "p"), "unknown"),
        (
            lambda **_: (
                impersonated_credentials.Credentials(Plain(), "to@p.iam.example", [], "p"),
                "p",
            ),
            "somebody as to@p.iam.example",
        ),
        (no_credentials, "unknown"),
    ],
)
def test_it_is_said_whose_credentials_they_are_as_far_as_can_be_told(
    monkeypatch: pytest.MonkeyPatch, default: Any, who: str
) -> None:
    def nobody_answers(*_: Any, **__: Any) -> Any:
        raise TransportError("no way out")

    monkeypatch.setattr("google.auth.default", default)
    monkeypatch.setattr(AuthorizedSession, "get", nobody_answers)
    assert Google("p", "us-central1", "pm-deployer@p.iam.gserviceaccount.com").who() == who
