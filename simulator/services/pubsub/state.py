"""What Pub/Sub holds, and what its services share: names, masks, durations, agents."""

from __future__ import annotations

import copy
import re
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

from simulator.api.calls import Call
from simulator.api.errors import ApiError, error_info, invalid, not_found, permission_service
from simulator.api.patching import copy_paths, mask_paths
from simulator.core.cloud import Cloud, Holding
from simulator.core.platform import Containers
from simulator.core.principal import Principal
from simulator.iam.decisions import Iam
from simulator.identity.accounts import Accounts
from simulator.services.pubsub.filters import everything
from simulator.services.pubsub.javascript import Script
from simulator.services.vertex.models import account_resource

# The discovery document's words on Topic.name; goog is reserved.
LEAF = re.compile(r"(?!goog)[A-Za-z][A-Za-z0-9\-_.~+%]{2,254}")
DURATION = re.compile(r"(\d+(?:\.\d+)?)s")
DELETED_TOPIC, DELETED_SCHEMA = "_deleted-topic_", "_deleted-schema_"
DAY = 86_400.0
NEWEST = 200_000
# What a subscription has by being there: an `expirationPolicy` without `ttl` means "never".
MESSAGES = ("expirationPolicy", "pushConfig", "retryPolicy")
# Discovery document, RetryPolicy.
BACKOFF = {"minimumBackoff": "10s", "maximumBackoff": "600s"}


@dataclass(slots=True)
class Topic:
    name: str
    info: dict[str, Any]


@dataclass(slots=True)
class Schema:
    """`revisions` are Schema messages, oldest first; the last one is what the schema is now."""

    name: str
    revisions: list[dict[str, Any]]


class Seal(NamedTuple):
    """The customer's key that a message was encrypted with, and the topic that had it."""

    topic: str
    key: str


@dataclass(slots=True)
class Delivery:
    """A message in one subscription's backlog; outstanding while it has an `ack_id`.

    `ready` is when it may be delivered next, `deadline` when it stops being outstanding, both in
    Unix seconds.
    """

    message: dict[str, Any]
    published: float
    attempts: int = 0
    ready: float = 0.0
    deadline: float = 0.0
    ack_id: str = ""
    seal: Seal | None = None


class Waited(NamedTuple):
    """A message was in a backlog from `since` until `ended`, Unix seconds."""

    since: float
    ended: float


@dataclass(slots=True)
class Subscription:
    name: str
    info: dict[str, Any]
    # part of every ack id: those of a subscription that had the same name do not fit
    ack_token: str
    last_used: float
    matches: Callable[[dict[str, str]], bool] = everything
    # message id -> its delivery, in the order published
    backlog: dict[str, Delivery] = field(default_factory=dict)
    # For Cloud Monitoring: when it was made, what no longer waits, and what became a dead letter.
    created: float = 0.0
    gone: deque[Waited] = field(default_factory=lambda: deque(maxlen=NEWEST))
    forwarded: deque[float] = field(default_factory=lambda: deque(maxlen=NEWEST))

    @property
    def pulled(self) -> bool:
        """Whether subscribers fetch the messages, nobody pushes or exports them."""
        return "bigqueryConfig" not in self.info and not self.info["pushConfig"].get("pushEndpoint")


class PubSub(Holding):
    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.topics: dict[str, Topic] = {}
        self.subscriptions: dict[str, Subscription] = {}
        self.schemas: dict[str, Schema] = {}
        # by function name and code: compiled once
        self.script = lru_cache(maxsize=100)(Script)

    def topic(self, name: str) -> Topic:
        """By `projects/P/topics/T`."""
        if name not in self.topics:
            raise missing(name)
        return self.topics[name]

    def subscription(self, name: str) -> Subscription:
        """By `projects/P/subscriptions/S`."""
        if name not in self.subscriptions:
            raise missing(name)
        return self.subscriptions[name]

    def schema(self, name: str) -> Schema:
        """By `projects/P/schemas/S`."""
        if name not in self.schemas:
            raise missing_schema(name)
        return self.schemas[name]

    def attached(self, topic: str) -> list[Subscription]:
        return [
            item
            for item in self.subscriptions.values()
            if item.info["topic"] == topic and not item.info.get("detached")
        ]

    def drop(self, subscription: Subscription) -> None:
        del self.subscriptions[subscription.name]
        self.cloud[Iam].forget(subscription.name)

    def exists(self, subscription: Subscription) -> bool:
        """Whether this is still the subscription of its name."""
        return self.subscriptions.get(subscription.name) is subscription

    def agent(self, name: str) -> Principal:
        """The service agent of a resource's project, made on first use."""
        return self.cloud[Accounts].create_agent("pubsub", project_of(name))

    def acting(self, email: str, name: str) -> Principal:
        """Whom Pub/Sub is outside itself: the account given, or the agent of `name`'s project."""
        return Principal(f"serviceAccount:{email}") if email else self.agent(name)

    def normal(self, name: str) -> str:
        """A name from a request body, with the project's id."""
        parts = name.split("/")
        if len(parts) < 4 or parts[0] != "projects":
            raise invalid_name(name)
        return "/".join(["projects", self.cloud[Containers].id(parts[1]), *parts[2:]])

    def live(self) -> dict[str, list[str]]:
        return {
            "topics": sorted(self.topics),
            "subscriptions": sorted(self.subscriptions),
            "schemas": sorted(self.schemas),
        }


def missing(name: str) -> ApiError:
    """http-logs/pubsub-topic.log and pubsub-subscription.log name the last part only."""
    return not_found(f"Resource not found (resource={leaf(name)}).")


def missing_schema(name: str) -> ApiError:
    """http-logs/pubsub-schema.log, unlike topics, names all of it."""
    return not_found(f"Resource not found (resource={name}).")


def invalid_name(name: str) -> ApiError:
    return invalid(
        f"Invalid resource name given (name={name}). Refer to "
        "https://cloud.google.com/pubsub/docs/pubsub-basics#resource_names for more information."
    )


def service_denied(permission: str, resource: str) -> ApiError:
    """An account that Pub/Sub would act as lacks a permission elsewhere.

    "The caller does not have permission", with status 403, is all that is recorded of it
    (hashicorp/terraform-provider-google#17397); the detail that says which is added here.
    """
    service = permission_service(permission)
    info = error_info("IAM_PERMISSION_DENIED", service, resource=resource, permission=permission)
    return ApiError(403, "PERMISSION_DENIED", "The caller does not have permission", [info])


def on_project(call: Call) -> str:
    """The project, in `project` or in the name of what is to be created there."""
    return "/".join(str(call.params.get("project") or call.params["name"]).split("/")[:2])


def leaf(name: str) -> str:
    return name.rpartition("/")[2]


def project_of(name: str) -> str:
    return name.split("/")[1]


def check_name(name: str) -> None:
    if not LEAF.fullmatch(leaf(name)):
        raise invalid_name(name)


def check_act_as(call: Call, email: str) -> None:
    """Whoever names an account in a configuration must be allowed to act as it."""
    call.check("iam.serviceAccounts.actAs", account_resource(call, email))
    if not call.cloud[Accounts].exists(email):
        raise invalid(f"Service account {email} does not exist.")


def seconds(text: str) -> float:
    """A google.protobuf.Duration as JSON carries it."""
    found = DURATION.fullmatch(text)
    if found is None:
        raise invalid(f'Invalid duration "{text}".')
    return float(found[1])


def check_duration(info: dict[str, Any], name: str, least: float, most: float) -> None:
    """400 unless the field, when it is set, is between `least` and `most` seconds."""
    if name in info and not least <= seconds(info[name]) <= most:
        raise invalid(f"{name} {info[name]} is not between {least:.0f}s and {most:.0f}s.")


def changed(
    info: dict[str, Any],
    given: dict[str, Any],
    mask: str | None,
    kind: str,
    mutable: Iterable[str],
    fixed: Iterable[str],
) -> dict[str, Any]:
    """A copy of `info` with what the mask names taken from `given`; what that lacks is cleared.

    The texts are those of Google's emulator (googleapis/google-cloud-php#2119 has the first from
    the service itself).
    """
    request = f"Update{kind}Request"
    paths = mask_paths(mask)
    if not paths:
        raise invalid(
            f"The update_mask in the {request} must be set, and must contain a non-empty paths "
            "list."
        )
    result = copy.deepcopy(info)
    for path in sorted(paths):
        first = path.partition(".")[0]
        if first in fixed:
            raise invalid(
                f"Invalid update_mask provided in the {request}: the '{path}' field in the {kind} "
                "is not mutable."
            )
        if first not in mutable:
            raise invalid(
                f"Invalid update_mask provided in the {request}: '{path}' is not a known {kind} "
                "field."
            )
    copy_paths(result, copy.deepcopy(given), paths, present=MESSAGES)
    return result


def named(mask: str | None) -> set[str]:
    """The top-level fields that an update mask touches."""
    return {path.partition(".")[0] for path in mask_paths(mask)}


def without_empty(info: dict[str, Any]) -> dict[str, Any]:
    """Scalars, lists and maps as proto3 JSON shows them: not at all when at their default.

    An empty message is something: an `expirationPolicy` without `ttl` means "never".
    """
    kept = {key: value for key, value in info.items() if value not in ("", 0, False, [], None)}
    if not kept.get("labels"):
        kept.pop("labels", None)
    return kept
