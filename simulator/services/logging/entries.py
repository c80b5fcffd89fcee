"""Reading and writing log entries.

Permissions: docs logging/docs/access-control, "API permissions". That a caller without
`logging.privateLogEntries.list` gets a list without the Data Access entries, rather than an error,
is an inference.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

from simulator.api.audit import Audit
from simulator.api.calls import Call, Methods, Result, on_parent
from simulator.api.errors import ApiError, invalid, unimplemented
from simulator.api.pages import listing, page
from simulator.core.clock import nanoseconds
from simulator.core.platform import Containers
from simulator.services.logging.auditlog import DATA_ACCESS, insert_id
from simulator.services.logging.query import compiled
from simulator.services.logging.state import Logging

method = Methods()

CONTAINERS = ("projects", "folders", "organizations")
PAYLOADS = ("textPayload", "jsonPayload", "protoPayload")
PAGE, MAX_PAGE, MAX_RESOURCES = 50, 1000, 100
# Newest first: time counted down from here.
END_OF_TIME = 10**20


def _container(call: Call, name: str) -> str:
    """The project, folder or organization of a log's name, or the name itself; projects by id."""
    kind, _, rest = name.partition("/")
    reference = rest.partition("/")[0]
    if kind not in CONTAINERS or not reference:
        raise invalid(f"Invalid resource name: {name}")
    return f"{kind}/{call.cloud[Containers].id(reference) if kind == 'projects' else reference}"


def _first(call: Call, names: Any) -> str:
    """Where permissions are checked first; the body is not validated yet."""
    for name in names if isinstance(names, list) else ():
        if isinstance(name, str) and name.partition("/")[0] in CONTAINERS:
            return _container(call, name)
    return ""


def _on_list(call: Call) -> str:
    return _first(call, call.body.get("resourceNames"))


@method("logging.entries.list", permission=None, on=_on_list)
def list_entries(call: Call) -> Result:
    body = call.body
    size, order = int(body.get("pageSize") or PAGE), body.get("orderBy") or "timestamp asc"
    if size < 0:
        raise invalid(f"page_size must not be negative: {size}")
    if order not in ("timestamp asc", "timestamp desc"):
        raise invalid(f'order_by must be "timestamp asc" or "timestamp desc", not "{order}"')
    matching = compiled(body.get("filter", ""))
    containers = _containers(call)
    for container in sorted(containers):
        call.check("logging.logEntries.list", container)
    found = [
        (_key(entry, order), entry)
        for entry in call.cloud[Logging].entries(containers)
        if matching(entry)
    ]
    found = sorted(_readable(call, found), key=lambda item: item[0])
    chosen, token = page(found, body.get("pageToken"), min(size, MAX_PAGE))
    answer: dict[str, Any] = {"entries": chosen} if chosen else {}
    return answer | ({"nextPageToken": token} if token else {})


def _containers(call: Call) -> set[str]:
    names = [*call.body.get("resourceNames", ())]
    names += [f"projects/{project}" for project in call.body.get("projectIds", ())]
    if not 0 < len(names) <= MAX_RESOURCES:
        raise invalid(f"resource_names must have 1 to {MAX_RESOURCES} names, not {len(names)}.")
    for name in names:
        if "/locations/" in name:
            raise unimplemented(f"Reading through a log view ({name})")
        if name.count("/") != 1:
            raise invalid(f"Invalid resource name: {name}")
    return {_container(call, name) for name in names}


def _key(entry: dict[str, Any], order: str) -> str:
    """Sorts as asked, and entries of the same time by their insert id."""
    moment = nanoseconds(entry["timestamp"])
    return f"{moment if order.endswith('asc') else END_OF_TIME - moment:020d}{entry['insertId']}"


def _readable(
    call: Call, found: list[tuple[str, dict[str, Any]]]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Without the Data Access entries of containers where the caller may not read them."""
    private: dict[str, bool] = {}
    for key, entry in found:
        container, _, log = entry["logName"].partition("/logs/")
        if log == DATA_ACCESS:
            if container not in private:
                private[container] = call.allowed("logging.privateLogEntries.list", container)
            if not private[container]:
                continue
        yield key, entry


def _on_write(call: Call) -> str:
    entries = call.body.get("entries")
    names = [call.body.get("logName")]
    names += [
        entry.get("logName")
        for entry in (entries if isinstance(entries, list) else ())
        if isinstance(entry, dict)
    ]
    return _first(call, names)


@method("logging.entries.write", permission=None, on=_on_write)
def write_entries(call: Call) -> Result:
    """All of them, or with `partialSuccess` those that are valid; then still the first error."""
    given, logging = call.body.get("entries", []), call.cloud[Logging]
    written, errors, allowed = [], [], dict[str, ApiError | None]()
    for index, entry in enumerate(given, 1):
        try:
            complete = _complete(call, entry, index)
            container = complete["logName"].partition("/logs/")[0]
            if container not in allowed:
                allowed[container] = _refusal(call, container)
            if error := allowed[container]:
                raise error
            written.append((container, complete))
        except ApiError as error:
            errors.append(error)
    if errors and not call.body.get("partialSuccess"):
        raise errors[0]
    for container, complete in written if not call.body.get("dryRun") else ():
        logging.write(container, complete)
    if errors:
        raise errors[0]
    return {}


def _refusal(call: Call, container: str) -> ApiError | None:
    try:
        call.check("logging.logEntries.create", container)
    except ApiError as error:
        return error
    return None


def _complete(call: Call, entry: dict[str, Any], index: int) -> dict[str, Any]:
    """The entry with the request's defaults, its time and its id."""
    body = call.body
    name = entry.get("logName") or body.get("logName", "")
    parent, found, log = name.partition("/logs/")
    if not found or not log or "/" in log or parent.count("/") != 1:
        raise invalid(f'The log name "{name}" is not of the form projects/PROJECT/logs/LOG_ID.')
    if not (resource := entry.get("resource") or body.get("resource")):
        raise invalid(f"entries[{index - 1}] has no resource, and the request has none for all.")
    payloads = [kind for kind in PAYLOADS if kind in entry]
    if len(payloads) > 1:
        raise invalid(f"entries[{index - 1}] has more than one payload: {', '.join(payloads)}")
    now = call.cloud.clock.rfc3339()
    complete = {
        **entry,
        "insertId": entry.get("insertId") or insert_id(call.cloud[Audit].handled, index),
        "resource": resource,
        "timestamp": entry.get("timestamp") or now,
        "logName": f"{_container(call, parent)}/logs/{log}",
        "receiveTimestamp": now,
    }
    try:
        nanoseconds(complete["timestamp"])
    except ValueError as error:
        raise invalid(f"entries[{index - 1}].timestamp: {error}") from None
    if labels := {**body.get("labels", {}), **entry.get("labels", {})}:
        complete["labels"] = labels
    return complete


@method(
    "logging.projects.logs.list",
    permission="logging.logs.list",
    on=on_parent,
    reads="pageSize pageToken",
)
def list_logs(call: Call) -> Result:
    """The names of the logs that have entries."""
    names = {entry["logName"] for entry in call.cloud[Logging].entries({call.resource})}
    keyed = {unquote(name): name for name in names}
    return listing("logNames", keyed, call.params, default=PAGE, most=MAX_PAGE)
