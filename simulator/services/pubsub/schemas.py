"""Schemas and their revisions. Avro is read; Protocol Buffer definitions are kept unread.

Checking a message against a Protocol Buffer schema, or one in the binary encoding, answers 501.
"""

from __future__ import annotations

import base64
import json
from typing import Any

from simulator.api.calls import Call, Methods, Result, on_parent
from simulator.api.errors import (
    ApiError,
    already_exists,
    failed_precondition,
    invalid,
    unimplemented,
)
from simulator.api.pages import listing
from simulator.iam import allowpolicies
from simulator.iam.decisions import Iam
from simulator.services.pubsub.avro import Avro, parsed
from simulator.services.pubsub.state import (
    DELETED_SCHEMA,
    PubSub,
    Schema,
    check_name,
    missing_schema,
)

method = Methods()

MOST_REVISIONS = 20


def _on_name(call: Call) -> str:
    """The schema; a revision of one is no resource of its own."""
    return str(call.params["name"]).partition("@")[0]


def _revision(call: Call, number: str = "") -> dict[str, Any]:
    """The revision named after the "@", or by its number, or the latest."""
    wanted = number or str(call.params["name"]).partition("@")[2]
    schema = call.cloud[PubSub].schema(call.resource)
    if not wanted:
        return schema.revisions[-1]
    for revision in schema.revisions:
        if revision["revisionId"] == wanted:
            return revision
    raise missing_schema(f"{schema.name}@{wanted}")


def check_definition(schema: dict[str, Any]) -> None:
    kind, definition = schema.get("type"), schema.get("definition", "")
    if "compiledProtoSchema" in schema:
        raise unimplemented("A schema given as a compiled FileDescriptorSet")
    if kind not in ("AVRO", "PROTOCOL_BUFFER") or not definition:
        raise invalid("A schema needs a type, AVRO or PROTOCOL_BUFFER, and a definition.")
    if kind == "AVRO":
        try:
            Avro(definition)
        except (ValueError, TypeError) as error:
            raise invalid(f"Invalid Avro schema: {error}") from error


def check_message(data: str, schema: dict[str, Any], encoding: str) -> None:
    """400 unless base64 `data` is a message of the schema."""
    if schema["type"] != "AVRO" or encoding != "JSON":
        raise unimplemented(f"Checking {encoding} messages against a schema of {schema['type']}")
    try:
        value = json.loads(base64.b64decode(data))
    except ValueError as error:
        raise invalid(f"Invalid data in message: not JSON: {error}") from error
    if wrong := parsed(schema["definition"]).mismatch(value):
        raise invalid(f"Invalid data in message: Message failed schema validation: {wrong}.")


def check_published(pubsub: PubSub, settings: dict[str, Any], data: str) -> None:
    """400 unless the message fits one of the revisions that the topic allows, newest first."""
    if settings["schema"] == DELETED_SCHEMA:
        raise failed_precondition("The topic's schema is deleted: nothing can be published to it.")
    allowed = _allowed(pubsub.schema(settings["schema"]), settings)
    error: ApiError | None = None
    for revision in reversed(allowed):
        try:
            return check_message(data, revision, settings.get("encoding", ""))
        except ApiError as failed:
            error = error or failed
    raise error or invalid("The topic allows no revision of its schema.")


def _allowed(schema: Schema, settings: dict[str, Any]) -> list[dict[str, Any]]:
    numbers = [revision["revisionId"] for revision in schema.revisions]
    first, last = settings.get("firstRevisionId"), settings.get("lastRevisionId")
    start = numbers.index(first) if first in numbers else 0
    end = numbers.index(last) if last in numbers else len(numbers) - 1
    return schema.revisions[start : end + 1]


def _add(call: Call, schema: Schema, given: dict[str, Any]) -> dict[str, Any]:
    revision = {
        "name": schema.name,
        "type": given["type"],
        "definition": given["definition"],
        "revisionId": f"{int(call.cloud.unique_id()):x}"[:8],
        "revisionCreateTime": call.cloud.clock.rfc3339(),
    }
    schema.revisions.append(revision)
    return revision


def _seen(revision: dict[str, Any], view: str) -> dict[str, Any]:
    if view == "FULL":
        return revision
    return {key: value for key, value in revision.items() if key != "definition"}


@method(
    "pubsub.projects.schemas.create",
    permission="pubsub.schemas.create",
    on=on_parent,
    reads="schemaId",
)
def create(call: Call) -> Result:
    """`schemaId` is what counts; the official provider also sends it as the body's name."""
    pubsub = call.cloud[PubSub]
    name = f"{call.resource}/schemas/{call.params.get('schemaId', '')}"
    check_name(name)
    check_definition(call.body)
    if name in pubsub.schemas:
        raise already_exists(f"Resource already exists in the project (resource={name}).")
    schema = pubsub.schemas[name] = Schema(name, [])
    return _add(call, schema, call.body)


@method(
    "pubsub.projects.schemas.get",
    permission="pubsub.schemas.get",
    on=_on_name,
    reads="view",
)
def get(call: Call) -> Result:
    view = call.params.get("view", "FULL")
    return _seen(_revision(call), "FULL" if view == "SCHEMA_VIEW_UNSPECIFIED" else view)


@method(
    "pubsub.projects.schemas.list",
    permission="pubsub.schemas.list",
    on=on_parent,
    reads="pageSize pageToken view",
)
def list_schemas(call: Call) -> Result:
    items = {
        name: _seen(schema.revisions[-1], call.params.get("view", "BASIC"))
        for name, schema in call.cloud[PubSub].schemas.items()
        if name.startswith(f"{call.resource}/")
    }
    return listing("schemas", items, call.params, default=100, most=1000)


@method(
    "pubsub.projects.schemas.listRevisions",
    permission="pubsub.schemas.listRevisions",
    on=_on_name,
    reads="pageSize pageToken view",
)
def list_revisions(call: Call) -> Result:
    """Newest first."""
    revisions = reversed(call.cloud[PubSub].schema(call.resource).revisions)
    items = {
        f"{position:03}": _seen(revision, call.params.get("view", "BASIC"))
        for position, revision in enumerate(revisions)
    }
    return listing("schemas", items, call.params, default=100, most=1000)


@method("pubsub.projects.schemas.commit", permission="pubsub.schemas.commit", on=_on_name)
def commit(call: Call) -> Result:
    given, schema = call.body.get("schema", {}), call.cloud[PubSub].schema(call.resource)
    check_definition(given)
    if given["type"] != schema.revisions[-1]["type"]:
        raise invalid(f"The type of {schema.name} cannot change.")
    _check_room(schema)
    return _add(call, schema, given)


@method("pubsub.projects.schemas.rollback", permission="pubsub.schemas.rollback", on=_on_name)
def rollback(call: Call) -> Result:
    """A new revision that is a copy of an older one."""
    revision = _revision(call, call.body.get("revisionId", ""))
    schema = call.cloud[PubSub].schema(call.resource)
    _check_room(schema)
    return _add(call, schema, revision)


def _check_room(schema: Schema) -> None:
    if len(schema.revisions) >= MOST_REVISIONS:
        raise failed_precondition(f"{schema.name} has {MOST_REVISIONS} revisions already.")


@method(
    "pubsub.projects.schemas.deleteRevision",
    permission="pubsub.schemas.delete",
    on=_on_name,
    reads="revisionId",
)
def delete_revision(call: Call) -> Result:
    revision = _revision(call, call.params.get("revisionId", ""))
    schema = call.cloud[PubSub].schema(call.resource)
    if len(schema.revisions) == 1:
        raise invalid(f"{schema.name} has no other revision: delete the schema instead.")
    schema.revisions.remove(revision)
    return schema.revisions[-1]


@method("pubsub.projects.schemas.delete", permission="pubsub.schemas.delete", on=_on_name)
def delete(call: Call) -> Result:
    pubsub = call.cloud[PubSub]
    del pubsub.schemas[pubsub.schema(call.resource).name]
    call.cloud[Iam].forget(call.resource)
    for topic in pubsub.topics.values():
        settings = topic.info.get("schemaSettings", {})
        if settings.get("schema") == call.resource:
            settings["schema"] = DELETED_SCHEMA
    return {}


@method("pubsub.projects.schemas.validate", permission="pubsub.schemas.validate", on=on_parent)
def validate(call: Call) -> Result:
    check_definition(call.body.get("schema", {}))
    return {}


@method(
    "pubsub.projects.schemas.validateMessage",
    permission="pubsub.schemas.validate",
    on=on_parent,
)
def validate_message(call: Call) -> Result:
    """Against the schema given, or the latest revision of the one named (inferred: that naming
    one takes no further permission)."""
    pubsub, body = call.cloud[PubSub], call.body
    if name := body.get("name"):
        schema = pubsub.schema(pubsub.normal(name)).revisions[-1]
    else:
        schema = body.get("schema", {})
        check_definition(schema)
    check_message(body.get("message", ""), schema, body.get("encoding", ""))
    return {}


def _require(call: Call, name: str) -> None:
    call.cloud[PubSub].schema(name)


allowpolicies.register(method, "pubsub.projects.schemas", "pubsub.schemas", _require)
