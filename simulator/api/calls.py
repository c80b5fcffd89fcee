"""What a simulated service is written against: calls, replies and handler registration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simulator.api.discovery import Method
    from simulator.google import Cloud

JSON_TYPE = "application/json; charset=UTF-8"


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls. `sets` are the principalSet:// members a federated identity also matches.

    `user_project` is the project that its token was asked to be charged to.
    """

    member: str
    sets: tuple[str, ...] = ()
    user_project: str = ""

    @property
    def email(self) -> str:
        """The address of an account, or the whole `principal://…` of a federated identity."""
        kind, _, rest = self.member.partition(":")
        return self.member if kind == "principal" else rest


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
        return self.cloud.allowed(
            principal or self.principal, permission, resource, method=self.method.id
        )

    def check(self, permission: str, resource: str, *, principal: Principal | None = None) -> None:
        """Raise the denial Google would send unless the principal holds the permission."""
        who = principal or self.principal
        if not self.cloud.allowed(who, permission, resource, method=self.method.id):
            raise self.cloud.denied(who, permission, resource)


Result = dict[str, Any] | Reply
Function = Callable[[Call], Result]


@dataclass(frozen=True, slots=True)
class Handler:
    function: Function
    permissions: tuple[str, ...]
    on: Callable[[Call], str] | None
    authenticated: bool
    reads: frozenset[str]


HANDLERS: dict[str, Handler] = {}


def method(
    *ids: str,
    permission: str | tuple[str, ...] | None,
    on: Callable[[Call], str] | None = None,
    authenticated: bool = True,
    reads: str = "",
) -> Callable[[Function], Function]:
    """Register a handler for discovery method ids.

    Every permission is checked on the resource that `on` names, before the body is validated.
    `reads` names the query parameters that the handler acts on; the others are refused.
    `authenticated=False` is for the few calls that take no access token, such as the one that
    hands them out.
    """
    permissions = (permission,) if isinstance(permission, str) else permission or ()
    if permissions and on is None:
        raise TypeError(f"{ids[0]}: a permission needs the resource it is checked on")

    def register(function: Function) -> Function:
        for method_id in ids:
            if method_id in HANDLERS:
                raise ValueError(f"{method_id} already has a handler")
            HANDLERS[method_id] = Handler(
                function, permissions, on, authenticated, frozenset(reads.split())
            )
        return function

    return register
