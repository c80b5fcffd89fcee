"""How people come into a rehearsal: by workforce identity federation, without a key or a password.

The stacks name people as Google accounts: `user:` and `group:` with an address. Google accounts
sign in with a browser and leave a refresh token that lives on; nothing like that is used here. In a
rehearsal each of them *is* the workforce identity with that address in a pool of a simulated
company, and the stack is configured with it: `platformMember` and `previewMember` become
`principal://…/subject/ADDRESS` and `principalSet://…/group/ADDRESS`. Nothing is aliased inside the
simulated cloud; grants, checks and the audit name these members.

The company's identity provider is played by the simulator, which mints the tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

POOL: Final = "locations/global/workforcePools/rehearsal"
ISSUER: Final = "https://login.example.com"
CLIENT: Final = "rehearsal"
AUDIENCE: Final = f"//iam.googleapis.com/{POOL}/providers/company"
PROVIDER: Final = {
    "id": "company",
    "oidc": {"issuerUri": ISSUER, "clientId": CLIENT},
    "attributeMapping": {"google.subject": "assertion.email", "google.groups": "assertion.groups"},
}
FORMS: Final = {
    "user": f"principal://iam.googleapis.com/{POOL}/subject/",
    "group": f"principalSet://iam.googleapis.com/{POOL}/group/",
}


class NotAPerson(ValueError):
    """A member that nobody in a rehearsal can come in as."""


class Person(NamedTuple):
    """Somebody the company's identity provider knows."""

    email: str
    groups: tuple[str, ...] = ()


def member(google: str) -> str:
    """The workforce member with the address of a `user:` or `group:`. Raises NotAPerson."""
    kind, _, address = google.partition(":")
    if kind not in FORMS:
        raise NotAPerson(
            f"{google!r} cannot be rehearsed as platformMember or previewMember: those are people "
            "there; name a user: or a group:"
        )
    return FORMS[kind] + address


def person(member: str, name: str) -> Person:
    """Who stands behind a member: its person, or `name` as somebody in its group."""
    address = member.rpartition("/")[2]
    if member.startswith(FORMS["user"]):
        return Person(address)
    return Person(f"{name}@{address.partition('@')[2]}", (address,))


def seed(people: tuple[Person, ...]) -> dict[str, Any]:
    """The pool, and the identity provider's list of people."""
    known = {who.email: {"email": who.email, "groups": list(who.groups)} for who in people}
    return {"issuers": {ISSUER: known}, "pools": [{"name": POOL, "providers": [PROVIDER]}]}


def token_request(email: str) -> Mapping[str, str]:
    """What the simulator's `/subject-token` takes to sign somebody in."""
    return {"issuer": ISSUER, "subject": email, "audience": CLIENT}


def credentials(token_file: str, impersonate: str = "") -> dict[str, Any]:
    """An `external_account` file as `gcloud iam workforce-pools create-cred-config` writes it."""
    content: dict[str, Any] = {
        "type": "external_account",
        "audience": AUDIENCE,
        "subject_token_type": "urn:ietf:params:oauth:token-type:id_token",
        "token_url": "https://sts.googleapis.com/v1/token",
        "credential_source": {"file": token_file},
    }
    if impersonate:
        accounts = "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts"
        url = f"{accounts}/{impersonate}:generateAccessToken"
        content["service_account_impersonation_url"] = url
    return content
