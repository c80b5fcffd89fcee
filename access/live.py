"""A stack's cloud as it is: who is granted what on its resources, and what each identity holds.

Nothing here changes anything. The calls are those of Google's discovery documents: Vertex AI has
policies of endpoints in v1beta1 alone, BigQuery no testIamPermissions of datasets.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, NamedTuple
from urllib.parse import quote, urlencode

from access.answer import AGENT_ROLES
from components import permissions as table
from components import routing, telemetry
from components.settings import Settings
from vertexops.errors import GoogleError
from vertexops.google import Google

PROJECTS: Final = "https://cloudresourcemanager.googleapis.com/v3"
IAM: Final = "https://iam.googleapis.com/v1"
STORAGE: Final = "https://storage.googleapis.com/storage/v1"
BIGQUERY: Final = "https://bigquery.googleapis.com/bigquery/v2"
PUBSUB: Final = "https://pubsub.googleapis.com/v1"
KMS: Final = "https://cloudkms.googleapis.com/v1"
TROUBLESHOOTER: Final = "https://policytroubleshooter.googleapis.com/v3/iam:troubleshoot"
SUPPORTED: Final = ("user:", "serviceAccount:")
"""Whom Policy Troubleshooter can be asked about (its discovery document, AccessTuple.principal)."""

# BigQuery's access lists: the field of an entry, and the kind of member that makes.
ENTRIES: Final = {
    "userByEmail": "user:",
    "groupByEmail": "group:",
    "domain": "domain:",
    "iamMember": "",
    "specialGroup": "",
}


class CannotTell(RuntimeError):
    """Nobody says it, at least not to who asks; the message says why."""


class Binding(NamedTuple):
    """One member of one binding of an allow policy."""

    role: str
    member: str
    condition: str


@dataclass(frozen=True)
class Grant:
    """What the stack declares: `role`, by its name, to `member` on `on`, by its full name."""

    identity: str
    role: str
    member: str
    on: str


class Live:
    """A cloud as the settings of a stack name it, asked with application default credentials.

    `me` is the identity of the table that these credentials are, where they are one.
    """

    def __init__(self, settings: Settings, me: str = "") -> None:
        self.settings, self._me = settings, me
        self.own = Google(settings.project, settings.region, "")
        self._become: dict[str, Google] = {}
        self._policies: dict[str, list[Binding]] = {}

    @property
    def vertex(self) -> str:
        return f"https://{self.settings.region}-aiplatform.googleapis.com"

    @property
    def here(self) -> str:
        """Vertex AI in the stack's project and region."""
        settings = self.settings
        return f"{self.vertex}/v1/projects/{settings.project}/locations/{settings.region}"

    @cached_property
    def number(self) -> str:
        """Of the stack's project. Raises GoogleError."""
        answer = self.own.request("GET", f"{PROJECTS}/projects/{self.settings.project}")
        return str(answer["name"]).partition("/")[2]

    @property
    def accounts(self) -> list[str]:
        """The identities that are service accounts of this environment."""
        there = {role.identity for role in table.roles(self.settings.capabilities)}
        return [identity for identity in table.ACCOUNTS if identity in there]

    def member(self, identity: str) -> str:
        if identity in table.ACCOUNTS:
            return self.settings.member(identity)
        if identity in table.AGENTS:
            return f"serviceAccount:{table.AGENTS[identity].format(self.number)}"
        if identity in table.FEDERATED:
            return self.settings.federated(identity, self.number)
        if identity == table.PLATFORM:
            return self.settings.platform_member
        if identity == table.CALLER:
            return self.settings.callers[0]
        return self.settings.preview_member or ""

    def members(self, identity: str) -> tuple[str, ...]:
        """Everybody who is that identity."""
        return self.settings.callers if identity == table.CALLER else (self.member(identity),)

    def become(self, identity: str) -> Google:
        """Calls as an account of the stack; by its credentials' owner where that is who asks."""
        if identity == self._me:
            return self.own
        if identity not in self._become:
            settings = self.settings
            email = settings.email(identity)
            self._become[identity] = Google(settings.project, settings.region, email)
        return self._become[identity]

    def places(self, on: str, of: str = "") -> tuple[str, ...]:
        """Full names of what the table calls `on` (docs iam/docs/full-resource-names), in project
        `of` where there may be several."""
        settings = self.settings
        project = f"projects/{settings.project}"
        if on in (table.PROJECT, table.SOURCE_PROJECT):
            return (f"//cloudresourcemanager.googleapis.com/projects/{of or settings.project}",)
        if on == table.ENDPOINT:
            return (f"//aiplatform.googleapis.com/{settings.endpoint_name}",)
        if bucket := settings.buckets.get(on):
            return (f"//storage.googleapis.com/projects/_/buckets/{bucket}",)
        if on == table.SOURCE_ARTIFACTS:
            buckets = (it for it, project in settings.source_buckets.items() if project == of)
            return tuple(f"//storage.googleapis.com/projects/_/buckets/{it}" for it in buckets)
        if on == table.TABLES:
            return (
                f"//bigquery.googleapis.com/{project}/datasets/{settings.dataset(telemetry.DATASET)}",
            )
        if on == table.KEY:
            return (f"//cloudkms.googleapis.com/{settings.kms_key}",)
        pubsub = f"//pubsub.googleapis.com/{project}"
        topics = {
            table.TOPIC: settings.named(telemetry.TOPIC),
            table.DEAD_LETTERS: settings.named(telemetry.DEAD_LETTERS),
            table.INCIDENTS: settings.alerts.topic,
        }
        if on in topics:
            return (f"{pubsub}/topics/{topics[on]}",)
        if on in _SUBSCRIPTIONS:
            names = (routing.subscription(settings, name) for name in _SUBSCRIPTIONS[on])
            return tuple(f"{pubsub}/subscriptions/{name}" for name in names)
        if on == table.LOST:
            return (f"{pubsub}/subscriptions/{settings.named(telemetry.DEAD_LETTERS)}",)
        account = settings.account_name(on.removesuffix(" account"))
        return (f"//iam.googleapis.com/{account}",)

    def grants(self) -> Iterator[Grant]:
        """Every grant that the stack declares, and those that it takes for granted."""
        settings = self.settings
        for role, project in settings.roles:
            name = settings.role_name(role.key, project)
            for place in self.places(role.on, project):
                for member in self.members(role.identity):
                    yield Grant(role.identity, name, member, place)
        (project,) = self.places(table.PROJECT)
        yield Grant(table.AGENT, AGENT_ROLES[table.AGENT], self.member(table.AGENT), project)
        if settings.sensors:
            agent = table.PUBSUB_AGENT
            yield Grant(agent, AGENT_ROLES[agent], self.member(agent), project)
            (topic,) = self.places(table.TOPIC)
            for member in settings.publishers:
                yield Grant("a publisher", settings.role_name("devicePublisher"), member, topic)
        if settings.kms_key:
            (key,) = self.places(table.KEY)
            for agent in settings.key_users:
                yield Grant(agent, table.KEY_USER, self.member(agent), key)

    def policy(self, place: str) -> list[Binding]:
        """The allow policy of what has this full name, asked for once. Raises GoogleError."""
        if place not in self._policies:
            self._policies[place] = list(self._policy(place))
        return self._policies[place]

    def _policy(self, place: str) -> Iterator[Binding]:
        service, name = _parts(place)
        asked, body = "options.requestedPolicyVersion=3", None
        match service:
            case "bigquery":
                yield from self._access_list(name)
                return
            case "storage":
                bucket = name.rpartition("/")[2]
                verb, url = "GET", f"{STORAGE}/b/{bucket}/iam?optionsRequestedPolicyVersion=3"
            case "pubsub":
                verb, url = "GET", f"{PUBSUB}/{name}:getIamPolicy?{asked}"
            case "cloudkms":
                verb, url = "GET", f"{KMS}/{name}:getIamPolicy?{asked}"
            case "aiplatform":
                verb, url = "POST", f"{self.vertex}/v1beta1/{name}:getIamPolicy?{asked}"
            case "iam":
                verb, url = "POST", f"{IAM}/{name}:getIamPolicy?{asked}"
            case _:
                verb, url = "POST", f"{PROJECTS}/{name}:getIamPolicy"
                body = {"options": {"requestedPolicyVersion": 3}}
        for binding in self.own.request(verb, url, body).get("bindings", ()):
            condition = binding.get("condition", {}).get("expression", "")
            for member in binding.get("members", ()):
                yield Binding(binding["role"], member, condition)

    def _access_list(self, name: str) -> Iterator[Binding]:
        for entry in self.own.request("GET", f"{BIGQUERY}/{name}").get("access", ()):
            for field, kind in ENTRIES.items():
                if field in entry and "role" in entry:
                    account = entry[field].endswith(".gserviceaccount.com") and kind == "user:"
                    member = f"{'serviceAccount:' if account else kind}{entry[field]}"
                    condition = entry.get("condition", {}).get("expression", "")
                    yield Binding(entry["role"], member, condition)

    def held(
        self, identity: str, place: str, permissions: Iterable[str], member: str = ""
    ) -> dict[str, bool]:
        """Which of `permissions` an identity holds there: by its own word where it can be become,
        else by Policy Troubleshooter's. `member` says who, where several are that identity. Raises
        CannotTell.
        """
        service, _ = _parts(place)
        why = f"nobody can be {identity} but itself"
        if service != "bigquery" and (identity in table.ACCOUNTS or identity == self._me):
            try:
                found = self._tested(self.become(identity), place, permissions)
                return {permission: permission in found for permission in permissions}
            except GoogleError as error:
                why = f"you cannot become {identity}: {error}"
        try:
            return {name: self._troubleshot(identity, place, name, member) for name in permissions}
        except CannotTell as error:
            raise CannotTell(f"{why}; and {error}") from error

    def _tested(self, who: Google, place: str, permissions: Iterable[str]) -> frozenset[str]:
        service, name = _parts(place)
        names, body = list(permissions), None
        query = urlencode([("permissions", permission) for permission in names])
        match service:
            case "storage":
                bucket = name.rpartition("/")[2]
                verb, url = "GET", f"{STORAGE}/b/{bucket}/iam/testPermissions?{query}"
            case "aiplatform":
                verb, url = "POST", f"{self.vertex}/v1beta1/{name}:testIamPermissions?{query}"
            case _:
                base = {"iam": IAM, "pubsub": PUBSUB, "cloudkms": KMS}.get(service, PROJECTS)
                verb, url, body = (
                    "POST",
                    f"{base}/{name}:testIamPermissions",
                    {"permissions": names},
                )
        return frozenset(who.request(verb, url, body).get("permissions", ()))

    def _troubleshot(self, identity: str, place: str, permission: str, member: str) -> bool:
        """Raises CannotTell."""
        answer = self.troubleshoot(identity, place, permission, member)
        state = answer.get("overallAccessState", "")
        if state in ("CAN_ACCESS", "CANNOT_ACCESS"):
            return bool(state == "CAN_ACCESS")
        raise CannotTell(
            f"Policy Troubleshooter answers {state} for {permission}: you need "
            "roles/iam.securityReviewer and roles/iam.denyReviewer on the organisation"
        )

    def troubleshoot(
        self, identity: str, place: str, permission: str, member: str = ""
    ) -> dict[str, Any]:
        """Policy Troubleshooter's answer. Raises CannotTell."""
        member = member or self.member(identity)
        if not member.startswith(SUPPORTED):
            raise CannotTell(
                f"Policy Troubleshooter knows Google Accounts and service accounts, not {member}; "
                f"run this as that identity, with --me {identity}"
            )
        asked = {
            "principal": member.partition(":")[2],
            "fullResourceName": place,
            "permission": permission,
        }
        try:
            return self.own.request("POST", TROUBLESHOOTER, {"accessTuple": asked})
        except GoogleError as error:
            raise CannotTell(f"Policy Troubleshooter says: {error}") from error


def pages(who: Google, url: str, field: str) -> Iterator[dict[str, Any]]:
    """Every item of a list; `url` without a page token. Raises GoogleError."""
    token = ""
    while True:
        more = f"{'&' if '?' in url else '?'}pageToken={quote(token, safe='')}" if token else ""
        answer = who.request("GET", url + more)
        yield from answer.get(field, ())
        token = answer.get("nextPageToken", "")
        if not token:
            return


def _parts(place: str) -> tuple[str, str]:
    """`storage` and `projects/_/buckets/B` of `//storage.googleapis.com/projects/_/buckets/B`."""
    host, _, name = place.removeprefix("//").partition("/")
    return host.partition(".")[0], name


_SUBSCRIPTIONS: Final = {
    table.SUBSCRIPTIONS: ("telemetry-readings", "telemetry-predictions", routing.RISKS),
    table.RISKS: (routing.RISKS,),
}
