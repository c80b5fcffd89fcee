"""What a simulated service is written against: calls, replies and handler registration."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from simulator.api.discovery import Method
from simulator.api.errors import ApiError
from simulator.api.honoured import Honoured, Table
from simulator.core.cloud import Cloud
from simulator.core.principal import Principal

JSON_TYPE = "application/json; charset=UTF-8"


@dataclass(slots=True)
class Reply:
    """An answer that needs more than status 200 and a JSON body."""

    body: dict[str, Any] | bytes | None = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = JSON_TYPE


@dataclass(slots=True)
class Call:
    """One request after routing and authentication.

    `path` is as sent, undecoded. `params` holds path and query parameters under their discovery
    names; path ones are URL-decoded and name projects by id, integers and booleans are converted,
    repeated ones are lists. `body` is validated JSON; `media` is the raw body of an upload.
    Header names are lower-case. `container` is the project, folder or organization that `resource`
    is in, "" for none.
    """

    cloud: Cloud
    method: Method
    host: str
    verb: str
    path: str
    params: dict[str, Any]
    body: dict[str, Any]
    media: bytes
    media_type: str
    headers: dict[str, str]
    principal: Principal
    resource: str = ""
    container: str = ""

    def allowed(
        self, permission: str, resource: str, *, principal: Principal | None = None
    ) -> bool:
        """Whether the principal (the caller, unless given) holds the permission; audited."""
        return self.cloud[Guard].allowed(
            principal or self.principal, permission, resource, method=self.method.id
        )

    def check(self, permission: str, resource: str, *, principal: Principal | None = None) -> None:
        """Raise the denial Google would send unless the principal holds the permission."""
        self.cloud[Guard].check(
            principal or self.principal, permission, resource, method=self.method.id
        )


class Guard(ABC):
    """Who decides whether a caller may: IAM."""

    @abstractmethod
    def allowed(
        self,
        principal: Principal,
        permission: str,
        resource: str,
        *,
        method: str = "",
        modified_roles: Iterable[str] = (),
    ) -> bool:
        """Decide and write the audit entry."""

    @abstractmethod
    def denied(self, principal: Principal, permission: str, resource: str) -> ApiError:
        """The denial Google would send."""

    def check(
        self, principal: Principal, permission: str, resource: str, *, method: str = ""
    ) -> None:
        """Raise that denial unless the principal holds the permission."""
        if not self.allowed(principal, permission, resource, method=method):
            raise self.denied(principal, permission, resource)


def on_name(call: Call) -> str:
    """For `Methods`: what most permissions are checked on."""
    return str(call.params["name"])


def on_parent(call: Call) -> str:
    """The same for what is created or listed in something."""
    return str(call.params["parent"])


def on_resource(call: Call) -> str:
    """The same for allow policies."""
    return str(call.params["resource"])


Result = dict[str, Any] | Reply
Function = Callable[[Call], Result]


@dataclass(frozen=True, slots=True)
class Handler:
    function: Function
    permissions: tuple[str, ...]
    on: Callable[[Call], str] | None
    authenticated: bool
    reads: frozenset[str]
    keyed: bool = False

    @property
    def guarded(self) -> bool:
        """Whether it answers only those who are known."""
        return self.authenticated or self.keyed


class Methods:
    """The handlers of one service, or of a part of it, by discovery method id. A decorator:

    method = Methods()

    @method("storage.buckets.get", permission="storage.buckets.get", on=bucket_name)
    def get(call: Call) -> Result: ...
    """

    def __init__(self) -> None:
        self.handlers: dict[str, Handler] = {}

    def __call__(
        self,
        *ids: str,
        permission: str | tuple[str, ...] | None,
        on: Callable[[Call], str] | None = None,
        authenticated: bool = True,
        reads: str = "",
        keyed: bool = False,
    ) -> Callable[[Function], Function]:
        """Handle the methods of these ids.

        Every permission is checked on the resource that `on` names, before the body is validated.
        `reads` names the query parameters that the handler acts on; the others are refused.
        `authenticated=False` is for the few calls that take no access token, such as the one that
        hands them out, and for `keyed` ones: they check a token that is not Google's themselves.
        """
        permissions = (permission,) if isinstance(permission, str) else permission or ()
        if permissions and on is None:
            raise TypeError(f"{ids[0]}: a permission needs the resource it is checked on")

        def register(function: Function) -> Function:
            handler = Handler(
                function, permissions, on, authenticated, frozenset(reads.split()), keyed
            )
            self.add(dict.fromkeys(ids, handler))
            return function

        return register

    def add(self, handlers: Mapping[str, Handler]) -> None:
        if again := self.handlers.keys() & handlers.keys():
            raise ValueError(f"{', '.join(sorted(again))} already has a handler")
        self.handlers |= handlers

    def get(self, method_id: str) -> Handler | None:
        return self.handlers.get(method_id)


class Service:
    """What a cloud is made of: its state, made anew for each cloud, its handlers, and its table of
    what these act on. A service that keeps nothing has None for `state`.
    """

    def __init__(self, state: Callable[[Cloud], object] | None, *parts: Methods | Table) -> None:
        self._state, self._parts = state, parts

    def add_to(self, cloud: Cloud) -> None:
        if self._state:
            cloud.add(self._state(cloud))
        for part in self._parts:
            if isinstance(part, Methods):
                cloud[Methods].add(part.handlers)
            else:
                cloud[Honoured].add(part)
