"""IAM conditions, evaluated by Google's own CEL.

The attributes and functions are those of docs iam/conditions-attribute-reference: `resource.name`,
`resource.type`, `resource.service`, `request.time`, and for delegated role grants
`api.getAttribute('iam.googleapis.com/modifiedGrantsByRole', [])` with `hasOnly`.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache

from cel_expr_python import cel

from rehearsal.cloud.api import invalid, permission_service

MODIFIED_GRANTS = "iam.googleapis.com/modifiedGrantsByRole"


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


@lru_cache(maxsize=1)
def _environment() -> cel.Env:
    kind = cel.Type
    strings = kind.List(kind.STRING)
    attributes = kind.Map(kind.STRING, strings)
    return cel.NewEnv(
        variables={
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
        ],
    )


@lru_cache(maxsize=4096)
def compiled(expression: str) -> cel.Expression:
    """The compiled condition; the 400 of setIamPolicy when it is not a boolean expression."""
    try:
        result = _environment().compile(expression)
    except RuntimeError as error:
        raise invalid(f"Invalid condition expression: {error}") from None
    if result.return_type() not in (cel.Type.BOOL, cel.Type.DYN):
        raise invalid(f"Condition expression must evaluate to a boolean: {expression}")
    return result


def holds(
    expression: str, permission: str, resource: str, now: float, modified_roles: Iterable[str]
) -> bool:
    """Whether a binding with this condition applies; one that fails to evaluate does not."""
    service = permission_service(permission)
    segments = resource.split("/")
    collection = segments[-2]
    if len(segments) == 2:
        service = "cloudresourcemanager.googleapis.com"
    elif segments[1] == "_" and "objects" in segments:
        collection = "objects"
    kind = collection.removesuffix("s")
    value = compiled(expression).eval(
        data={
            "resource.name": resource,
            "resource.type": f"{service}/{kind[:1].upper()}{kind[1:]}",
            "resource.service": service,
            "request.time": datetime.fromtimestamp(now, UTC),
            "api": {MODIFIED_GRANTS: list(modified_roles)},
        }
    )
    return value.value() is True
