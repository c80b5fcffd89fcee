"""What a service does not act on, it refuses; the tables of what it acts on are true to form."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from simulator import coverage
from simulator.api import honoured
from simulator.api.calls import Methods
from simulator.api.discovery import Discovery, Method
from simulator.api.errors import ApiError

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "simulated.md"
HANDLERS = coverage.CLOUD[Methods].handlers
TABLES = coverage.CLOUD[honoured.Honoured]
# Of a service that honours three fields and ignores one.
TABLE = honoured.Table(
    "secretmanager",
    {"Secret": "labels replication", "Replication": "userManaged", "UserManaged": "*"},
    {"Secret.tags": "a reason"},
)


def refused(query: dict[str, Any], body: dict[str, Any], *tables: honoured.Table) -> str:
    """What is said of a request to patch a secret."""
    method, _ = Discovery().route(
        "secretmanager.googleapis.com", "PATCH", "/v1/projects/p/secrets/s"
    )
    of_cloud = honoured.Honoured()
    for table in tables:
        of_cloud.add(table)
    try:
        of_cloud.require(method, {"updateMask"}, query, body)
    except ApiError as error:
        assert error.status == 501
        return error.message
    return ""


@pytest.mark.parametrize(
    ("query", "body", "name"),
    [
        ({}, {"labels": {"a": "b"}}, ""),
        ({}, {"replication": {"userManaged": {"replicas": [{"location": "l"}]}}}, ""),
        ({}, {"tags": {"1": "2"}, "createTime": "given back by a careful client"}, ""),
        ({}, {"ttl": "10s"}, "field ttl"),
        ({}, {"replication": {"automatic": {"customerManagedEncryption": {}}}}, "replication.auto"),
        ({}, {"ttl": "", "rotation": {}}, ""),
        ({"updateMask": "labels.a,tags"}, {}, ""),
        ({"updateMask": "labels,version_destroy_ttl"}, {}, "field versionDestroyTtl"),
        ({"updateMask": "replication.automatic"}, {}, "field replication.automatic"),
        ({"prettyPrint": "true", "$alt": "json"}, {}, ""),
        ({"callback": "f"}, {}, "parameter callback"),
    ],
)
def test_a_field_or_parameter_that_nobody_acts_on_is_named(
    query: dict[str, Any], body: dict[str, Any], name: str
) -> None:
    said = refused(query, body, TABLE)
    assert name in said if name else not said


def test_every_name_in_a_table_is_one_of_googles() -> None:
    properties: dict[str, dict[str, set[str]]] = {}
    parameters: dict[str, set[str]] = {}
    # Of all versions together: a handler serves them all.
    readable: dict[str, set[str]] = {}
    for api, method in coverage.methods():
        if method.id in HANDLERS:
            parameters.setdefault(api, set()).update(method.query)
            shape = TABLES.shape(method)
            known = {*method.query, *(shape.names if shape else ())}
            readable.setdefault(method.id, set()).update(known)
            schemas = properties.setdefault(api, {})
            for path, names in _shapes(method).items():
                schemas.setdefault(path, set()).update(names)
    for method_id, known in readable.items():
        assert HANDLERS[method_id].reads <= known | honoured.SYSTEM.keys(), method_id
    for api, table in TABLES.tables.items():
        for path, names in table.fields.items():
            assert path in properties[api], f"{api}: no handled method takes a {path}"
            assert set(names.split()) <= {*properties[api][path], "*"}, f"{api}: {path}"
        for name in table.ignored:
            path, _, last = name.rpartition(".")
            known = properties[api].get(path, set()) if path else parameters[api]
            assert last in known, f"{api}: {name}"


def test_every_service_with_a_handler_has_a_table() -> None:
    assert {api for api, it in coverage.methods() if it.id in HANDLERS} == TABLES.tables.keys()


def test_a_service_without_a_table_acts_on_nothing() -> None:
    assert "field labels" in refused({}, {"labels": {"a": "b"}})


def test_the_page_says_what_the_code_does(show: Callable[[str], None]) -> None:
    page = coverage.page()
    show("\n".join(line for line in page.splitlines() if line.startswith("| ")))
    assert PAGE.read_text() == page, "make docs"


def _shapes(method: Method) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}

    def walk(shape: honoured.Shape) -> None:
        if shape.path not in found:
            found[shape.path] = set(shape.names)
            if shape.values:
                walk(shape.values)
            for name in shape.names:
                if shape.verdict(name) == "honoured" and (below := shape.below(name)):
                    walk(below)

    if shape := TABLES.shape(method):
        walk(shape)
    return found
