"""Sinks: where entries are to be routed, and as whom.

Nothing is delivered: the tables, objects and messages that Cloud Logging makes of entries are not
simulated, so whether the writer identity may write at the destination is never checked. `_Default`
and `_Required`, which every project has, are not listed. Folders' and organizations' sinks answer
501. Where a comment gives no source, texts are ours.
"""

from __future__ import annotations

import re
from typing import Any

from rehearsal.cloud.api import Call, Result, already_exists, invalid, mask_paths, method, not_found
from rehearsal.cloud.services.listing import listing
from rehearsal.cloud.services.logging.query import compiled
from rehearsal.cloud.services.logging.state import on_parent

# Discovery document, LogSink.name and LogSink.destination.
SINK_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,99}")
DESTINATION = re.compile(
    r"storage\.googleapis\.com/[^/]+"
    r"|bigquery\.googleapis\.com/projects/[^/]+/datasets/[^/]+"
    r"|pubsub\.googleapis\.com/projects/[^/]+/topics/[^/]+"
    r"|logging\.googleapis\.com/projects/[^/]+(/locations/[^/]+/buckets/[^/]+)?"
)
MUTABLE = ("destination", "filter", "description", "disabled", "exclusions", "bigqueryOptions")
DEFAULT_MASK = "destination,filter"
# The account that all sinks share that did not ask for one of their own (docs
# logging/docs/api/tasks/exporting-logs).
SHARED_WRITER = "serviceAccount:cloud-logs@system.gserviceaccount.com"


def _on_name(call: Call) -> str:
    return str(call.params["sinkName"])


def _sink(call: Call) -> dict[str, Any]:
    sink = call.cloud.logging.sinks.get(call.resource)
    if sink is None:
        # http-logs/logging-projectsink.log
        raise not_found(f"Sink {call.resource.rpartition('/')[2]} does not exist")
    return sink


def _check(sink: dict[str, Any]) -> None:
    if not DESTINATION.fullmatch(sink.get("destination", "")):
        raise invalid(
            f'The destination "{sink.get("destination", "")}" is not of a known form, such as '
            "bigquery.googleapis.com/projects/PROJECT/datasets/DATASET."
        )
    compiled(sink.get("filter", ""))
    names = [exclusion.get("name", "") for exclusion in sink.get("exclusions", ())]
    if len(names) != len(set(names)) or not all(SINK_ID.fullmatch(name) for name in names):
        raise invalid(f"Every exclusion needs a name of its own: {', '.join(names)}")
    for exclusion in sink.get("exclusions", ()):
        compiled(exclusion.get("filter", ""))


def _writer(call: Call, sink: dict[str, Any]) -> str:
    """Discovery document, `uniqueWriterIdentity`; a project's own log bucket needs no identity."""
    project = call.resource.split("/")[1]
    if sink["destination"].startswith(f"logging.googleapis.com/projects/{project}/"):
        return ""
    if not call.params.get("uniqueWriterIdentity"):
        return SHARED_WRITER
    return call.cloud.accounts.create_agent("logging", project).member


def _written(sink: dict[str, Any], writer: str) -> dict[str, Any]:
    sink.pop("writerIdentity", None)
    return sink | ({"writerIdentity": writer} if writer else {})


@method("logging.projects.sinks.create", permission="logging.sinks.create", on=on_parent)
def create(call: Call) -> Result:
    body, sinks = call.body, call.cloud.logging.sinks
    sink_id, now = body.get("name", ""), call.cloud.clock.rfc3339()
    if not SINK_ID.fullmatch(sink_id):
        raise invalid(f"Invalid sink name: {sink_id}")
    _check(body)
    name = f"{call.resource}/sinks/{sink_id}"
    if name in sinks:
        raise already_exists(f"Sink {sink_id} already exists")
    info = {"name": sink_id, "createTime": now, "updateTime": now}
    info |= {key: body[key] for key in MUTABLE if body.get(key)}
    sinks[name] = _written(info, _writer(call, info))
    return sinks[name]


@method("logging.projects.sinks.get", permission="logging.sinks.get", on=_on_name)
def get(call: Call) -> Result:
    return _sink(call)


@method("logging.projects.sinks.list", permission="logging.sinks.list", on=on_parent)
def list_sinks(call: Call) -> Result:
    if (given := call.params.get("filter", "")) not in ("", 'in_scope("DEFAULT")'):
        raise invalid(f'The filter {given} is not supported; in_scope("DEFAULT") is.')
    prefix = f"{call.resource}/sinks/"
    found = {n: item for n, item in call.cloud.logging.sinks.items() if n.startswith(prefix)}
    return listing("sinks", found, call.params, default=50, most=1000)


@method(
    "logging.projects.sinks.update",
    "logging.projects.sinks.patch",
    permission="logging.sinks.update",
    on=_on_name,
)
def update(call: Call) -> Result:
    """Discovery document, `updateMask` and `uniqueWriterIdentity`."""
    sink, body = dict(_sink(call)), call.body
    paths = mask_paths(call.params.get("updateMask") or DEFAULT_MASK)
    if unknown := paths.difference(MUTABLE):
        raise invalid(f"update_mask: a sink has no field {', '.join(sorted(unknown))} to update")
    for key in paths:
        if body.get(key):
            sink[key] = body[key]
        else:
            sink.pop(key, None)
    _check(sink)
    unique = call.params.get("uniqueWriterIdentity", False)
    writer = sink.get("writerIdentity", "")
    if writer not in ("", SHARED_WRITER) and not unique:
        raise invalid("A sink with a unique writer identity cannot go back to the shared one.")
    sink["updateTime"] = call.cloud.clock.rfc3339()
    call.cloud.logging.sinks[call.resource] = _written(sink, _writer(call, sink))
    return call.cloud.logging.sinks[call.resource]


@method("logging.projects.sinks.delete", permission="logging.sinks.delete", on=_on_name)
def delete(call: Call) -> Result:
    _sink(call)
    del call.cloud.logging.sinks[call.resource]
    return {}
