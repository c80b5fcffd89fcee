"""One request through the cloud: route, caller, API, permission, body, handler, audit."""

from __future__ import annotations

import json
import logging
import re
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

from simulator.api.audit import Audit
from simulator.api.calls import Call, Guard, Handler, Methods, Reply
from simulator.api.discovery import Discovery, Method
from simulator.api.errors import (
    INFO,
    RPC_CODES,
    ApiError,
    error_info,
    internal_error,
    invalid,
    unimplemented,
)
from simulator.api.fields import masked
from simulator.api.honoured import Honoured
from simulator.api.operations import Operations
from simulator.core.cloud import Cloud
from simulator.core.principal import Principal
from simulator.iam.decisions import Iam
from simulator.identity.accounts import Accounts
from simulator.identity.tokens import Identity
from simulator.services.resourcemanager import Projects
from simulator.services.serviceusage import Services

log = logging.getLogger(__name__)
ANONYMOUS = Principal("allUsers")
FORM = "application/x-www-form-urlencoded"
UPLOADS = ("/upload/", "/resumable/")
PROJECT_PARAMETERS = ("project", "projectId")
# Made once, as json.dumps() would make one a call.
ENCODE = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode

WORKLOAD = re.compile(r"principal://iam\.googleapis\.com/projects/(?P<project>\d+)/")

# Methods that are no GET and change nothing, by the beginning of their last word.
READING = (
    "batchGet",
    "computeTokens",
    "countTokens",
    "explain",
    "generateAccessToken",
    "generateIdToken",
    "get",
    "list",
    "predict",
    "query",
    "rawPredict",
    "search",
    "sign",
    "test",
    "troubleshoot",
)

# Services whose quota belongs to who calls ("client-based", docs docs/quotas/quota-project): what
# counts is whether the caller's own project has them enabled, not the project that is asked about.
# Google has no list of them. Cloud Billing: terraform-google-project-factory#79; Org Policy: what
# the official provider's tests need; Policy Troubleshooter names no project in a request: inferred.
CALLER_PROJECT_APIS = {
    *("cloudbilling", "cloudresourcemanager", "iam", "iamcredentials", "orgpolicy"),
    *("policytroubleshooter", "serviceusage"),
}

# Those that refuse a person's credentials without a quota project (golang/oauth2#702 and
# terraform-google-modules/terraform-google-org-policy#94), and the project of Google's that a
# person's credentials belong to.
QUOTA_PROJECT_APIS = {"orgpolicy"}
PERSONS_CLIENT = "projects/764086051850"


class Request(NamedTuple):
    """As it came over the wire: path undecoded, header names lower-case."""

    host: str
    verb: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes


class Answer(NamedTuple):
    """`change` is `METHOD PATH` of a request that was carried out and was no read; else empty.

    `resource` is what the permission was checked on.
    """

    status: int
    content_type: str
    headers: dict[str, str]
    body: bytes
    change: str = ""
    resource: str = ""


# Google's client for Go reads objects by Cloud Storage's XML API, and does all else by JSON
# (cloud.google.com/go/storage 1.64, http_client.go, newRangeReaderXML). What JSON's paths begin
# with, which no bucket is called here:
BY_JSON = ("batch", "download", "resumable", "storage", "upload")
XML_HOST = "storage.googleapis.com"


def by_json(request: Request) -> Request:
    """The same read of an object's data, where it is asked for as `GET /BUCKET/OBJECT`."""
    if request.host != XML_HOST or request.verb != "GET":
        return request
    bucket, _, name = request.path.removeprefix("/").partition("/")
    if not name or bucket in BY_JSON:
        return request
    query = "&".join(filter(None, ("alt=media", request.query)))
    path = f"/storage/v1/b/{bucket}/o/{name.replace('/', '%2F')}"
    return request._replace(path=path, query=query)


class Dispatcher:
    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud

    def handle(self, request: Request) -> Answer:
        request = by_json(request)
        cloud, host = self.cloud, request.host
        cloud[Operations].settle()
        cloud[Audit].begin()
        api, method = host.partition(".")[0], None
        code, message = 0, ""
        try:
            method, values = cloud[Discovery].route(host, request.verb, request.path)
            api = method.api
            answer = self._answer(request, method, values)
        except ApiError as error:
            code, message = RPC_CODES.get(error.reason, RPC_CODES["UNKNOWN"]), error.message
            answer = encoded_error(error, api)
        except Exception:
            # A fault of the simulator, not of the caller: visible as such on both sides.
            log.exception("%s %s%s", request.verb, host, request.path)
            code, message = RPC_CODES["INTERNAL"], ""
            answer = encoded_error(internal_error(), api)
        cloud[Audit].finish(cloud.clock.now(), answer.status, code, message)
        cloud.requests[host, answer.status] += 1
        if method and answer.status < 300 and self._changes(method, request.verb):
            answer = answer._replace(change=f"{method.id} {request.path}")
            cloud.changes.append(answer.change)
        return answer

    def _changes(self, method: Method, verb: str) -> bool:
        """Whether a call of `method` may change what the cloud holds."""
        if verb == "GET":
            return False
        handler = self.cloud[Methods].get(method.id)
        asked = handler is not None and handler.guarded
        return asked and not method.id.rpartition(".")[2].startswith(READING)

    def _answer(self, request: Request, method: Method, values: dict[str, str]) -> Answer:
        handler = self.cloud[Methods].get(method.id)
        if handler is not None and not handler.authenticated:
            principal = ANONYMOUS
        else:
            sent = request.headers.get("authorization", "")
            principal = self.cloud[Identity].authenticate(sent, method)
        if handler is None:
            raise unimplemented(method.id)
        params: dict[str, Any] = {name: self._by_id(name, values[name]) for name in values}
        query: dict[str, Any] = {}
        if request.query or method.required_query:
            query = method.query_parameters(request.query)
            params |= {name: self._by_id(name, query[name]) for name in query}
        uploads = bool(method.upload_paths) and request.path.startswith(UPLOADS)
        media_type = request.headers.get("content-type", "")
        call = Call(
            cloud=self.cloud,
            method=method,
            host=request.host,
            verb=request.verb,
            path=request.path,
            params=params,
            body={} if uploads or not request.body else _parsed(request.body, media_type),
            media=request.body if uploads else b"",
            media_type=media_type,
            headers=request.headers,
            principal=principal,
        )
        self.cloud[Audit].call = call
        # Conditions on delegated grants look at the policy that is about to be set.
        sets_policy = method.id.endswith(".setIamPolicy")
        if sets_policy:
            self._validate(call, request.body)
        self._authorize(call, handler)
        if not sets_policy:
            self._validate(call, request.body)
        if query or call.body:
            self.cloud[Honoured].require(method, handler.reads, query, call.body)
        result = handler.function(call)
        reply = result if isinstance(result, Reply) else Reply(result)
        fields = params.get("fields") or params.get("$fields")
        if fields and isinstance(reply.body, dict):
            reply.body = masked(reply.body, fields)
        return _encoded(reply, call.resource)

    def _authorize(self, call: Call, handler: Handler) -> None:
        if handler.on is None:
            return
        call.resource = handler.on(call)
        call.container = self.cloud[Iam].container(call.resource)
        self._require_api(call)
        modified: list[str] = []
        if call.method.id.endswith(".setIamPolicy"):
            policy = call.body.get("policy", call.body)
            modified = self.cloud[Iam].modified_roles(call.resource, policy)
        for permission in handler.permissions:
            if not self.cloud[Guard].allowed(
                call.principal,
                permission,
                call.resource,
                method=call.method.id,
                modified_roles=modified,
            ):
                raise self.cloud[Guard].denied(call.principal, permission, call.resource)

    def _validate(self, call: Call, raw: bytes) -> None:
        if call.body and call.method.validator:
            call.body = call.method.validator.check(call.body, nulls=b"null" in raw)
            for name in call.method.bound:
                self._check_bound(call, name)

    def _check_bound(self, call: Call, name: str) -> None:
        """Raise when the body says another value than the path, and leave the path's.

        What Google's front ends make of it is not recorded; the sentence is that of its transcoder
        for others (grpc-ecosystem/grpc-httpjson-transcoding, request_weaver.cc).
        """
        given, bound = call.body.pop(name, None), call.params[name]
        if given not in (None, "") and self._by_id(name, given) != bound:
            raise invalid(
                f"The binding value {bound} of the field {name} is conflicting with the value "
                f"{given} in the body."
            )

    def _require_api(self, call: Call) -> None:
        """Raise unless the project whose enabled APIs and quota the call uses can use this one.

        As docs docs/quotas/set-quota-project has it: the one named in the request; for an API
        whose quota belongs to the caller, the caller's. Where that is none (a person's, or that of
        a workforce token without a user project), Google falls back on a project of its own, or
        refuses in words that are mostly not recorded; here the project asked about counts.
        """
        services, service = self.cloud[Services], call.method.service
        if named := call.headers.get("x-goog-user-project"):
            project = self.cloud[Projects].id(named)
            self._check_user_project(call, project)
            return services.require(project, service)
        if call.method.api in CALLER_PROJECT_APIS:
            if home := self._home(call):
                number = self.cloud[Projects].number(home)
                return services.require(home, service, number)
            if call.method.api in QUOTA_PROJECT_APIS and call.principal.member.startswith("user:"):
                raise _no_quota_project(service)
        kind, _, name = call.container.partition("/")
        return services.require(name, service) if kind == "projects" else None

    def _home(self, call: Call) -> str:
        """The project that the caller's credential belongs to; "" for none that is known here."""
        projects, principal = self.cloud[Projects], call.principal
        if principal.user_project:
            project = projects.id(principal.user_project)
            self._check_user_project(call, project)
        elif account := self.cloud[Accounts].find(principal.email):
            project = "" if account.agent else account.project
        elif in_pool := WORKLOAD.match(principal.member):
            project = projects.id(in_pool["project"])
        else:
            return ""
        return project if projects.get(project) else ""

    def _check_user_project(self, call: Call, project: str) -> None:
        permission, resource = "serviceusage.services.use", f"projects/{project}"
        if call.allowed(permission, resource):
            return
        message = (
            f"Caller does not have required permission to use project {project}. Grant the caller "
            "the roles/serviceusage.serviceUsageConsumer role, or a custom role with the "
            f"{permission} permission, by visiting "
            f"https://console.developers.google.com/iam-admin/iam/project?project={project} and "
            "then retry. Propagation of the new permission may take a few minutes."
        )
        info = error_info(
            "USER_PROJECT_DENIED",
            "googleapis.com",
            service=call.method.service,
            consumer=resource,
            containerInfo=project,
        )
        localized = {
            "@type": f"{INFO}LocalizedMessage",
            "locale": "en-US",
            "message": message,
        }
        raise ApiError(403, "PERMISSION_DENIED", message, [info, localized])

    def _by_id(self, name: str, value: Any) -> Any:
        """A project number, which Google takes wherever it takes an id, as the id."""
        if not isinstance(value, str):
            return value
        projects = self.cloud[Projects]
        if value.startswith("projects/") and value[9:10].isdigit():
            number, slash, rest = value[9:].partition("/")
            return f"projects/{projects.id(number)}{slash}{rest}"
        return projects.id(value) if name in PROJECT_PARAMETERS else value


def _no_quota_project(service: str) -> ApiError:
    message = (
        "Your application is authenticating by using local Application Default Credentials. The "
        f"{service} API requires a quota project, which is not set by default. To learn how to set "
        "your quota project, see "
        "https://cloud.google.com/docs/authentication/adc-troubleshooting/user-creds ."
    )
    info = error_info(
        "SERVICE_DISABLED", "googleapis.com", consumer=PERSONS_CLIENT, service=service
    )
    return ApiError(403, "PERMISSION_DENIED", message, [info])


def _parsed(body: bytes, media_type: str) -> dict[str, Any]:
    if media_type.startswith(FORM):
        return dict(parse_qsl(body.decode()))
    try:
        content = json.loads(body)
    except ValueError as error:
        raise invalid(f"Invalid JSON payload received. {error}") from None
    if not isinstance(content, dict):
        raise invalid("Invalid JSON payload received. The root of the body must be an object.")
    return content


def _encoded(reply: Reply, resource: str = "") -> Answer:
    body = reply.body
    if isinstance(body, dict):
        body = ENCODE(body).encode()
    return Answer(reply.status, reply.content_type, reply.headers, body or b"", "", resource)


def encoded_error(error: ApiError, api: str) -> Answer:
    """The error as the given API (`aiplatform`, `storage`…) sends it."""
    return _encoded(Reply(error.render(api), status=error.status))
