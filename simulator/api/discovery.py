"""Google's discovery documents, as google-api-python-client ships them: routes and parameters."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property, reduce
from importlib.resources import files
from operator import getitem
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qsl, unquote

from simulator.api.bodies import Validator, camel
from simulator.api.errors import ApiError, invalid, not_found

OAUTH = "rehearsal-oauth"
"""Stands for the document that Google has for no sign-in service."""

CLEARBLADE = "clearblade"
"""Stands for the document that ClearBlade, the one service here that is not Google's, has not."""

# host -> (path prefix, API, document version); the first prefix that matches serves the request.
HOSTS: dict[str, tuple[tuple[str, str, str], ...]] = {
    "aiplatform": (
        ("v1/", "aiplatform", "v1"),
        ("v1beta1/", "aiplatform", "v1beta1"),
    ),
    "artifactregistry": (("v1/", "artifactregistry", "v1"),),
    "bigquery": (("bigquery/v2/", "bigquery", "v2"),),
    "cloudbilling": (("v1/", "cloudbilling", "v1"),),
    "cloudkms": (("v1/", "cloudkms", "v1"),),
    "cloudresourcemanager": (
        ("v1/", "cloudresourcemanager", "v1"),
        ("v3/", "cloudresourcemanager", "v3"),
    ),
    "compute": (
        ("compute/v1/", "compute", "v1"),
        ("compute/beta/", "compute", "beta"),
    ),
    "iam": (
        ("v1/", "iam", "v1"),
        ("v2/", "iam", "v2"),
        ("v2beta/", "iam", "v2beta"),
    ),
    "iamcredentials": (("v1/", "iamcredentials", "v1"),),
    "logging": (("v2/", "logging", "v2"),),
    "monitoring": (
        ("v1/", "monitoring", "v1"),
        ("v3/", "monitoring", "v3"),
    ),
    "oauth2": (("", OAUTH, ""),),
    "openidconnect": (("", OAUTH, ""),),
    "orgpolicy": (("v2/", "orgpolicy", "v2"),),
    "policytroubleshooter": (("v3/", "policytroubleshooter", "v3"),),
    "pubsub": (("v1/", "pubsub", "v1"),),
    "secretmanager": (("v1/", "secretmanager", "v1"),),
    "serviceusage": (
        ("v1/", "serviceusage", "v1"),
        ("v1beta1/", "serviceusage", "v1beta1"),
    ),
    "storage": (("storage/v1/", "storage", "v1"),),
    "sts": (
        ("v1/", "sts", "v1"),
        ("", OAUTH, ""),
    ),
    "www": (
        ("storage/v1/", "storage", "v1"),
        ("oauth2/v2/", "oauth2", "v2"),
        ("", OAUTH, ""),
    ),
}
# gcloud asks the second kind for predictions; what else it serves at Google is not known.
REGIONAL = re.compile(r"[a-z]+-[a-z]+\d+(-prediction)?-aiplatform")
DEDICATED = re.compile(r"([\w-]+)\.([a-z]+-[a-z]+\d+)-(\d+)\.prediction\.vertexai\.goog")

# What google-auth and the official provider ask that no document describes: verb, path -> id.
OAUTH_METHODS = {
    ("POST", "token"): "oauth.token",
    ("POST", "oauth2/v4/token"): "oauth.token",
    ("GET", "oauth2/v1/certs"): "oauth.certificates",
    ("GET", "oauth2/v3/certs"): "oauth.jwks",
    ("GET", "service_accounts/v1/metadata/x509/{account}"): "oauth.account.certificates",
    ("GET", "robot/v1/metadata/x509/{account}"): "oauth.account.certificates",
    ("GET", "service_accounts/v1/metadata/jwk/{account}"): "oauth.account.jwks",
    ("POST", "v1/introspect"): "oauth.introspect",
    ("GET", "tokeninfo"): "oauth.tokeninfo",
    ("GET", "v1/userinfo"): "oauth.userinfo",
    ("GET", "oauth2/v1/userinfo"): "oauth.userinfo",
    ("GET", "oauth2/v3/userinfo"): "oauth.userinfo",
    ("GET", "oauth2/v1/tokeninfo"): "oauth.tokeninfo",
    ("GET", "oauth2/v3/tokeninfo"): "oauth.tokeninfo",
}

# Hosts of ClearBlade IoT Core: one for a project's registries, one for each region that it has
# (docs.clearblade.com/iotcore: create, requirements).
CLEARBLADE_HOSTS = re.compile(r"(iot|us-central1|europe-west1|asia-east1)\.clearblade\.com")

# What its Python library calls (clearblade-cloud-iot 2.0.7, http_client.py, registry.py,
# devices.py): verb, path -> id and query parameters. What a POST does, its `method` says.
CLEARBLADE_EXECUTE = "api/v/4/webhook/execute/{systemKey}"
CLEARBLADE_METHODS = {
    ("POST", "api/v/1/code/{systemKey}/getRegistryCredentials"): ("getRegistryCredentials", ""),
    ("POST", f"{CLEARBLADE_EXECUTE}/cloudiot"): ("cloudiot.post", "parent method"),
    ("GET", f"{CLEARBLADE_EXECUTE}/cloudiot"): ("cloudiot.get", "parent page_size page_token"),
    ("PATCH", f"{CLEARBLADE_EXECUTE}/cloudiot"): ("cloudiot.patch", "name updateMask"),
    ("DELETE", f"{CLEARBLADE_EXECUTE}/cloudiot"): ("cloudiot.delete", "name"),
    ("POST", f"{CLEARBLADE_EXECUTE}/cloudiot_devices"): ("cloudiot_devices.post", "name method"),
    ("GET", f"{CLEARBLADE_EXECUTE}/cloudiot_devices"): (
        "cloudiot_devices.get",
        "name parent pageSize pageToken deviceIds deviceNumIds fieldMask "
        "gatewayListOptions.gatewayType gatewayListOptions.associationsDeviceId "
        "gatewayListOptions.associationsGatewayId",
    ),
    ("PATCH", f"{CLEARBLADE_EXECUTE}/cloudiot_devices"): (
        "cloudiot_devices.patch",
        "name updateMask",
    ),
    ("DELETE", f"{CLEARBLADE_EXECUTE}/cloudiot_devices"): ("cloudiot_devices.delete", "name"),
    ("GET", f"{CLEARBLADE_EXECUTE}/cloudiot_devices_configVersions"): (
        "cloudiot_devices_configVersions.get",
        "name numVersions",
    ),
    ("GET", f"{CLEARBLADE_EXECUTE}/cloudiot_devices_states"): (
        "cloudiot_devices_states.get",
        "name numStates",
    ),
}

# google-auth asks for this one before it impersonates; the APIs' reference pages have it, their
# discovery documents do not.
IAM_SCOPE = frozenset({"https://www.googleapis.com/auth/iam"})
UNLISTED_SCOPES = {"iam": IAM_SCOPE, "iamcredentials": IAM_SCOPE}

# Fields that Google takes and its documents do not list: (API, way to the schema) -> names.
UNLISTED_FIELDS: dict[tuple[str, ...], tuple[str, ...]] = {
    # the official provider's (google-beta, bigquery/resource_bigquery_dataset_access.go)
    ("bigquery", "Dataset", "properties", "access", "items"): ("datasetId",),
}

# Query parameters of the same kind: method -> names.
UNLISTED_PARAMETERS: dict[str, tuple[str, ...]] = {
    "bigquery.jobs.get": ("projection",),  # google-cloud-bigquery, client.py
}

UNLISTED_PARAMETER = {"type": "string", "location": "query"}

# Texts in a document where Google takes any JSON value: (API, way to the field).
ANY_VALUES: tuple[tuple[str, ...], ...] = (
    # google-cloud-bigquery sends FLOAT64 as a number (_helpers.py)
    ("bigquery", "QueryParameterValue", "properties", "value"),
)

# Methods whose request is the resource itself (pubsub.proto: `body: "*"`).
RESOURCE_REQUESTS = {"pubsub.projects.subscriptions.create", "pubsub.projects.topics.create"}

BEGINNING = 16
"""Characters of a description that are kept."""

# Accepted by every method, most also with a leading "$"
# (https://cloud.google.com/apis/docs/system-parameters).
SYSTEM_PARAMETERS = {
    *("access_token", "alt", "callback", "fields", "key", "oauth_token", "prettyPrint"),
    *("quotaUser", "upload_id", "upload_protocol", "uploadType", "userIp", "userProject", ".xgafv"),
}


@dataclass(frozen=True, slots=True)
class Parameter:
    name: str
    type: str
    repeated: bool
    choices: tuple[str, ...]

    def convert(self, text: str) -> Any:
        if self.choices and text not in self.choices:
            raise invalid(f"Invalid value at '{self.name}', \"{text}\"")
        try:
            match self.type:
                case "integer":
                    return int(text)
                case "number":
                    return float(text)
                case "boolean":
                    return {"true": True, "false": False, "1": True, "0": False}[text.lower()]
        except (ValueError, KeyError):
            kind = f"TYPE_{self.type.upper()}"
            raise invalid(f"Invalid value at '{self.name}' ({kind}), \"{text}\"") from None
        return text


class Method:
    """One discovery method: `id` such as `aiplatform.projects.locations.endpoints.create`."""

    def __init__(self, document: Document, spec: dict[str, Any]) -> None:
        self.document = document
        self.id: str = spec["id"]
        self.api = document.api
        self.version = document.version
        self.service = f"{document.api}.googleapis.com"
        self.verb: str = spec["httpMethod"]
        self.path: str = document.service_path + spec["path"]
        self.flat_path: str = document.service_path + spec.get("flatPath", spec["path"])
        listed = frozenset(spec.get("scopes", ()))
        self.scopes = listed | UNLISTED_SCOPES.get(document.api, frozenset()) if listed else listed
        unlisted = dict.fromkeys(UNLISTED_PARAMETERS.get(spec["id"], ()), UNLISTED_PARAMETER)
        self._parameters: dict[str, dict[str, Any]] = spec.get("parameters", {}) | unlisted
        self.request: str | None = spec.get("request", {}).get("$ref")
        self.response: str | None = spec.get("response", {}).get("$ref")
        protocols = spec.get("mediaUpload", {}).get("protocols", {})
        self.upload_paths = [protocol["path"].lstrip("/") for protocol in protocols.values()]

    @property
    def open_ended(self) -> bool:
        """Whether the last path parameter may contain slashes, as a metric's type does."""
        return any(p.get("pattern", "").endswith("/.*$") for p in self._parameters.values())

    @cached_property
    def query(self) -> dict[str, Parameter]:
        return {
            name: Parameter(
                name,
                spec.get("type", "string"),
                bool(spec.get("repeated")),
                tuple(spec.get("enum", ())),
            )
            for name, spec in self._parameters.items()
            if spec.get("location") != "path"
        }

    @cached_property
    def required_query(self) -> tuple[str, ...]:
        return tuple(name for name in self.query if self._parameters[name].get("required"))

    @cached_property
    def _template(self) -> tuple[re.Pattern[str], list[str]]:
        """The path template as a pattern with one group for each parameter, and their names."""
        pattern, names = "", []
        for index, part in enumerate(re.split(r"\{\+?([^}]+)\}", self.path)):
            if index % 2 == 0:
                pattern += re.escape(part)
                continue
            names.append(part)
            allowed = self._parameters[part].get("pattern", "[^/]+")
            pattern += f"({allowed.removeprefix('^').removesuffix('$')})"
        return re.compile(pattern), names

    def path_parameters(self, path: str) -> dict[str, str] | None:
        """Values by parameter name, decoded; None when a value does not have the right form."""
        pattern, names = self._template
        found = pattern.fullmatch(path)
        if found is None:
            return None
        return {name: unquote(value) for name, value in zip(names, found.groups(), strict=True)}

    @cached_property
    def _body_fields(self) -> frozenset[str]:
        return frozenset(self.document.schemas.get(self.request or "", {}).get("properties", ()))

    @cached_property
    def validator(self) -> Validator | None:
        """Checks request bodies; None for a method that takes none."""
        if self.request is None:
            return None
        return Validator(self.document.schemas, self.request, self.id, self.bound)

    @cached_property
    def bound(self) -> tuple[str, ...]:
        """Path parameters that are fields of the body as well, when that is the whole request.

        An update's `name` is that of the resource in it, `{topic.name=…}`.
        """
        request = self.request or ""
        whole = request.endswith("Request") and self.verb != "PATCH"
        if not whole and self.id not in RESOURCE_REQUESTS:
            return ()
        return tuple(n for n, spec in self._parameters.items() if spec.get("location") == "path")

    def query_parameters(self, query: str) -> dict[str, Any]:
        """Values by name, converted; 400 for one the method does not have, or one it lacks."""
        values: dict[str, Any] = {}
        for sent, text in parse_qsl(query, keep_blank_values=True):
            name = sent if sent in self.query else camel(sent)
            if parameter := self.query.get(name):
                value = parameter.convert(text)
                values[name] = [*values.get(name, ()), value] if parameter.repeated else value
            elif sent.removeprefix("$") in SYSTEM_PARAMETERS:
                values[sent] = text
            elif name in self._body_fields:
                # The official provider sends Pub/Sub's updateMask, a body field, in the query.
                values[name] = text
            else:
                message = (
                    f'Invalid JSON payload received. Unknown name "{sent}": Cannot bind query '
                    f"parameter. Field '{sent}' could not be found in request message."
                )
                raise invalid(message, [("", message)])
        for name in self.required_query:
            if name not in values:
                raise ApiError(
                    400, "INVALID_ARGUMENT", f"Required parameter: {name}", legacy="required"
                )
        return values


class _Node:
    """Routes by path segment: literals first, then `{variable}:verb`, then `{variable}`."""

    __slots__ = ("literals", "methods", "rest", "suffixed", "variable")

    def __init__(self) -> None:
        self.literals: dict[str, _Node] = {}
        self.suffixed: dict[str, _Node] = {}
        self.variable: _Node | None = None
        self.methods: dict[str, Method] = {}
        # methods whose last variable takes all that is left, slashes too
        self.rest: dict[str, Method] = {}

    def add(self, segments: list[str], method: Method) -> None:
        node = self
        for at, segment in enumerate(segments, 1):
            if at == len(segments) and method.open_ended and segment.endswith("}"):
                node.rest.setdefault(method.verb, method)
            _, variable, suffix = segment.partition("}")
            if not segment.startswith("{"):
                node = node.literals.setdefault(segment, _Node())
            elif variable and suffix:
                node = node.suffixed.setdefault(suffix, _Node())
            else:
                node.variable = node.variable or _Node()
                node = node.variable
        node.methods.setdefault(method.verb, method)

    def find(self, segments: list[str], verb: str, at: int = 0) -> Method | None:
        if at == len(segments):
            return self.methods.get(verb)
        segment = segments[at]
        candidates = [self.literals.get(segment)]
        if ":" in segment:
            candidates.append(self.suffixed.get(segment[segment.rindex(":") :]))
        candidates.append(self.variable)
        for node in candidates:
            if node and (method := node.find(segments, verb, at + 1)):
                return method
        return self.rest.get(verb)


class Document:
    """One API version."""

    def __init__(self, api: str, version: str, content: dict[str, Any]) -> None:
        self.api = api
        self.version = version
        self.title: str = content.get("title", "")
        self.service_path: str = content.get("servicePath", "")
        self.schemas: dict[str, dict[str, Any]] = content.get("schemas", {})
        self._content = content
        self._routes = _Node()
        for method in self.methods():
            self._routes.add(method.flat_path.split("/"), method)
            for path in method.upload_paths:
                self._routes.add(path.split("/"), method)

    def methods(self) -> Iterator[Method]:
        return (Method(self, spec) for spec in _methods(self._content))

    def route(self, verb: str, path: str) -> tuple[Method, dict[str, str]] | None:
        if path.startswith("download/"):
            path = path.removeprefix("download/")
        uploading = path.startswith(("upload/", "resumable/upload/"))
        # Later requests of a resumable upload repeat the first one's path with another verb.
        wanted = "POST" if uploading and verb in ("PUT", "DELETE") else verb
        method = self._routes.find(path.split("/"), wanted)
        if method is None:
            return None
        plain = path.removeprefix("resumable/").removeprefix("upload/") if uploading else path
        values = method.path_parameters(plain)
        return None if values is None else (method, values)


def _methods(content: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from content.get("methods", {}).values()
    for resource in content.get("resources", {}).values():
        yield from _methods(resource)


def documents_directory() -> Path:
    return Path(str(files("googleapiclient.discovery_cache") / "documents"))


@cache
def title(api: str) -> str:
    """What Google calls an API (`pubsub`) in full, by a document of it; "" when there is none."""
    files = documents_directory().glob(f"{api}.v*.json")
    # Stable versions first.
    ordered = sorted(files, key=lambda file: (re.search("alpha|beta", file.name) is not None, file))
    return str(json.loads(ordered[0].read_bytes()).get("title", "")) if ordered else ""


class Discovery:
    """Finds the method behind a request. Documents are read when first needed."""

    def __init__(self) -> None:
        self._routes: dict[tuple[str, str, str], tuple[Method, dict[str, str]]] = {}

    @staticmethod
    def serves(host: str) -> bool:
        """Whether this is a host of a simulated service."""
        name, _, domain = host.partition(".")
        if domain == "googleapis.com":
            return name in HOSTS or bool(REGIONAL.fullmatch(name))
        return bool(DEDICATED.fullmatch(host) or CLEARBLADE_HOSTS.fullmatch(host))

    def route(self, host: str, verb: str, path: str) -> tuple[Method, dict[str, str]]:
        """The method and its path parameters (do not change them); 404 when there is none."""
        key = (host, verb, path)
        found = self._routes.get(key)
        if found is None:
            found = self._find(host, verb, path)
            if len(self._routes) > 20_000:
                self._routes.clear()
            self._routes[key] = found
        return found

    def _find(self, host: str, verb: str, path: str) -> tuple[Method, dict[str, str]]:
        name, relative = host.partition(".")[0], path.lstrip("/")
        if DEDICATED.fullmatch(host) or REGIONAL.fullmatch(name):
            name = "aiplatform"
        if name == "aiplatform" and relative.startswith("ui/"):
            # Google's Python clients poll operations here; aiplatform_v1.yaml binds it to v1.
            relative = f"v1/{relative.removeprefix('ui/')}"
        plain = re.sub(r"^(?:resumable/)?(?:upload|download)/", "", relative)
        others = CLEARBLADE_HOSTS.fullmatch(host)
        for prefix, api, version in [("", CLEARBLADE, "v4")] if others else HOSTS.get(name, ()):
            if plain.startswith(prefix):
                routes = document(api, version).route
                found = routes(verb, relative) or routes(verb, relative.rstrip("/"))
                if found:
                    return found
        raise not_found(f"The requested URL {path} was not found on this server.")


@cache
def document(api: str, version: str) -> Document:
    """Read once; all clouds share it."""
    return Document(api, version, _content(api, version))


def _content(api: str, version: str) -> dict[str, Any]:
    if api == OAUTH:
        methods = {
            f"{verb} {path}": {
                "id": method_id,
                "httpMethod": verb,
                "path": path,
                "parameters": {name: {"location": "path"} for name in re.findall(r"{(\w+)}", path)},
            }
            for (verb, path), method_id in OAUTH_METHODS.items()
        }
        return {"methods": methods}
    if api == CLEARBLADE:
        return {
            "methods": {
                f"{verb} {path}": {
                    "id": f"{CLEARBLADE}.{id}",
                    "httpMethod": verb,
                    "path": path,
                    "parameters": {
                        "systemKey": {"location": "path"},
                        **{name: {"location": "query"} for name in query.split()},
                    },
                }
                for (verb, path), (id, query) in CLEARBLADE_METHODS.items()
            }
        }
    text = (documents_directory() / f"{api}.{version}.json").read_bytes()
    content = cast(dict[str, Any], json.loads(text, object_hook=_without_prose))
    for (of, *way), names in UNLISTED_FIELDS.items():
        if of == api:
            schema = reduce(getitem, way, content["schemas"])
            schema["properties"] |= {name: {"type": "string"} for name in names}
    for of, *way in ANY_VALUES:
        if of == api:
            reduce(getitem, way, content["schemas"])["type"] = "any"
    return content


def _without_prose(item: dict[str, Any]) -> dict[str, Any]:
    """Half of a document are descriptions; of these, how they begin says what is output only."""
    item.pop("enumDescriptions", None)
    if isinstance(text := item.get("description"), str):
        item["description"] = text[:BEGINNING]
    return item
