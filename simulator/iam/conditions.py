"""IAM conditions, evaluated by Google's own CEL.

The attributes and functions are those of docs iam/conditions-attribute-reference: `resource.name`,
`resource.type`, `resource.service`, tags (`resource.matchTag`, `resource.hasTagKey`, by namespaced
names; by ids they are refused as unknown), `request.time`, and for delegated role grants
`api.getAttribute('iam.googleapis.com/modifiedGrantsByRole', [])` with `hasOnly`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from cel_expr_python import cel

from simulator.api.errors import invalid, permission_service

MODIFIED_GRANTS = "iam.googleapis.com/modifiedGrantsByRole"

# Service -> collection -> resource type: docs iam/conditions-resource-attributes, "Resource type
# values", as far as the services are simulated. Other services and types "do not recognize resource
# attributes": no Vertex AI endpoint, Pub/Sub topic, service account or repository has a name here.
TYPES: dict[str, dict[str, str]] = {
    "bigquery.googleapis.com": {
        "datasets": "bigquery.googleapis.com/Dataset",
        "models": "bigquery.googleapis.com/Model",
        "routines": "bigquery.googleapis.com/Routine",
        "tables": "bigquery.googleapis.com/Table",
    },
    "cloudkms.googleapis.com": {
        "cryptoKeyVersions": "cloudkms.googleapis.com/CryptoKeyVersion",
        "cryptoKeys": "cloudkms.googleapis.com/CryptoKey",
        "keyRings": "cloudkms.googleapis.com/KeyRing",
        "locations": "cloud.googleapis.com/Location",
    },
    "logging.googleapis.com": {
        "buckets": "logging.googleapis.com/LogBucket",
        "views": "logging.googleapis.com/LogView",
    },
    "secretmanager.googleapis.com": {
        "secrets": "secretmanager.googleapis.com/Secret",
        "versions": "secretmanager.googleapis.com/SecretVersion",
    },
    "storage.googleapis.com": {
        "buckets": "storage.googleapis.com/Bucket",
        "managedFolders": "storage.googleapis.com/ManagedFolder",
        "objects": "storage.googleapis.com/Object",
    },
}
# The same page, "Resource name format": these names carry the project's number.
NUMBERED = ("secretmanager.googleapis.com",)


def _extract(text: str, template: str) -> str:
    """What `{…}` in the template stands for in the text; empty when the template is not there."""
    before, _, rest = template.partition("{")
    after = rest.partition("}")[2]
    start = text.find(before)
    if start < 0:
        return ""
    start += len(before)
    end = text.find(after, start) if after else len(text)
    return text[start:end] if end >= 0 else ""


def _member(
    name: str, returns: cel.Type, parameters: list[cel.Type], impl: object
) -> cel.FunctionDecl:
    overload = cel.Overload(
        name, return_type=returns, parameters=parameters, is_member=True, impl=impl
    )
    return cel.FunctionDecl(name, [overload])


EXTRACT = _member("extract", cel.Type.STRING, [cel.Type.STRING, cel.Type.STRING], _extract)


def _tag_functions(tags: cel.Type) -> list[cel.FunctionDecl]:
    """On `resource`, which is a list of `KEY=VALUE`."""
    text = cel.Type.STRING
    return [
        _member(
            "matchTag",
            cel.Type.BOOL,
            [tags, text, text],
            lambda held, key, value: f"{key}={value}" in held,
        ),
        _member(
            "hasTagKey",
            cel.Type.BOOL,
            [tags, text],
            lambda held, key: any(tag.startswith(f"{key}=") for tag in held),
        ),
    ]


@lru_cache(maxsize=1)
def _tag_environment() -> cel.Env:
    tags = cel.Type.List(cel.Type.STRING)
    return cel.NewEnv(variables={"resource": tags}, functions=_tag_functions(tags))


@lru_cache(maxsize=1)
def _environment() -> cel.Env:
    kind = cel.Type
    strings = kind.List(kind.STRING)
    attributes = kind.Map(kind.STRING, strings)
    return cel.NewEnv(
        variables={
            "resource": strings,
            "resource.name": kind.STRING,
            "resource.type": kind.STRING,
            "resource.service": kind.STRING,
            "request.time": kind.TIMESTAMP,
            "api": attributes,
        },
        functions=[
            _member(
                "getAttribute",
                strings,
                [attributes, kind.STRING, strings],
                lambda known, name, default: known.get(name, default),
            ),
            _member(
                "hasOnly", kind.BOOL, [strings, strings], lambda have, only: set(have) <= set(only)
            ),
            EXTRACT,
            *_tag_functions(strings),
        ],
    )


@lru_cache(maxsize=4096)
def compiled(expression: str) -> cel.Expression:
    """The compiled condition; the 400 of setIamPolicy when it is not a boolean expression."""
    return _compiled(_environment(), expression)


@lru_cache(maxsize=4096)
def compiled_denial(expression: str) -> cel.Expression:
    """The same for a deny rule or an organisation policy: these know the tag functions only
    (docs iam/deny-overview, "Denial conditions")."""
    return _compiled(_tag_environment(), expression)


def _compiled(environment: cel.Env, expression: str) -> cel.Expression:
    try:
        result = environment.compile(expression)
    except RuntimeError as error:
        raise invalid(f"Invalid condition expression: {error}") from None
    if result.return_type() not in (cel.Type.BOOL, cel.Type.DYN):
        raise invalid(f"Condition expression must evaluate to a boolean: {expression}")
    return result


def attributes(permission: str, resource: str, number: str = "") -> dict[str, str]:
    """The resource attributes that a condition on this check sees.

    `number` is the project's. A resource without attributes has no `resource.name`, so that the
    part of a condition that asks for it "is never interpreted as granting access" (docs
    iam/conditions-attribute-reference); its type and service are taken to be empty, since the same
    page has `resource.type != …` true for all other types.
    """
    service = permission_service(permission)
    segments = resource.split("/")
    if len(segments) == 2:
        service = "cloudresourcemanager.googleapis.com"
        kind = f"{service}/Project" if segments[0] == "projects" else ""
    else:
        in_bucket = segments[1] == "_" and len(segments) > 4
        collection = segments[4] if in_bucket else segments[-2]
        kind = TYPES.get(service, {}).get(collection, "")
    if not kind:
        return {"resource.type": "", "resource.service": ""}
    if service in NUMBERED and number:
        resource = "/".join([segments[0], number, *segments[2:]])
    return {"resource.name": resource, "resource.type": kind, "resource.service": service}


def holds(
    expression: str,
    resource: dict[str, str],
    tags: Sequence[str],
    now: float,
    modified_roles: Iterable[str],
) -> bool:
    """Whether a binding with this condition applies; one that fails to evaluate does not.

    `resource` is what `attributes` returns, `tags` are `KEY=VALUE`.
    """
    data: dict[str, Any] = {
        **resource,
        "resource": list(tags),
        "request.time": datetime.fromtimestamp(now, UTC),
        "api": {MODIFIED_GRANTS: list(modified_roles)},
    }
    return compiled(expression).eval(data=data).value() is True


def tags_hold(expression: str, tags: Sequence[str]) -> bool | None:
    """What a condition on tags says; None when it cannot be evaluated."""
    value = compiled_denial(expression).eval(data={"resource": list(tags)}).value()
    return value if isinstance(value, bool) else None
