"""Sinks: where entries are to be routed, and as whom.

Nothing is delivered: the tables, objects and messages that Cloud Logging makes of entries are not
simulated, so whether the writer identity may write at the destination is never checked. Folders'
and organizations' sinks answer 501. Where a comment gives no source, texts are ours.
"""

from __future__ import annotations

import re
from typing import Any

from simulator.api.calls import Call, Methods, Result, on_parent
from simulator.api.errors import ApiError, already_exists, invalid, not_found
from simulator.api.pages import listing
from simulator.api.patching import copy_paths, mask_paths
from simulator.identity.accounts import Accounts
from simulator.services.logging.query import compiled
from simulator.services.logging.state import DEFAULT, REQUIRED, Logging

method = Methods()

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
# The sinks that every project has: these logs go to the bucket `_Required`, others to `_Default`
# (docs logging/docs/regionalized-logs, and lists that public repositories recorded). Whether Google
# says when they were made is not recorded; here it is not said.
REQUIRED_LOGS = tuple(
    f'LOG_ID("{kind}.googleapis.com/{log}")'
    for log in ("activity", "system_event", "access_transparency")
    for kind in ("cloudaudit", "externalaudit")
)
OF_ANCESTORS = 'in_scope("ANCESTOR")'
SCOPES = ("", 'in_scope("ALL")', OF_ANCESTORS, 'in_scope("DEFAULT")')
FILTERS = {
    DEFAULT: " AND ".join(f"NOT {log}" for log in REQUIRED_LOGS),
    REQUIRED: " OR ".join(REQUIRED_LOGS),
}
# kubernetes-sigs/boskos#37
UNDELETABLE = {
    DEFAULT: "Sink _Default cannot be deleted. Consider disabling instead",
    REQUIRED: "Sink _Required cannot be deleted",
}
# The account that all sinks share that did not ask for one of their own (docs
# logging/docs/api/tasks/exporting-logs).
SHARED_WRITER = "serviceAccount:cloud-logs@system.gserviceaccount.com"


def _on_name(call: Call) -> str:
    return str(call.params["sinkName"])


def _sinks(call: Call, project: str) -> dict[str, dict[str, Any]]:
    """A project's sinks by name; those it has from the start as they are, or as they were changed.

    They are kept only once they were changed: that they exist is no work of any stack.
    """
    bucket = f"logging.googleapis.com/{project}/locations/global/buckets"
    first = {
        f"{project}/sinks/{sink_id}": {
            "name": sink_id,
            "destination": f"{bucket}/{sink_id}",
            "filter": text,
        }
        for sink_id, text in FILTERS.items()
    }
    made = call.cloud[Logging].sinks.items()
    return first | {name: item for name, item in made if name.startswith(f"{project}/sinks/")}


def _sink(call: Call) -> dict[str, Any]:
    sink = _sinks(call, call.resource.partition("/sinks/")[0]).get(call.resource)
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
    return call.cloud[Accounts].create_agent("logging", project).member


def _written(sink: dict[str, Any], writer: str) -> dict[str, Any]:
    sink.pop("writerIdentity", None)
    return sink | ({"writerIdentity": writer} if writer else {})


@method(
    "logging.projects.sinks.create",
    permission="logging.sinks.create",
    on=on_parent,
    reads="uniqueWriterIdentity",
)
def create(call: Call) -> Result:
    body, sinks = call.body, call.cloud[Logging].sinks
    sink_id, now = body.get("name", ""), call.cloud.clock.rfc3339()
    name = f"{call.resource}/sinks/{sink_id}"
    if name in _sinks(call, call.resource):
        # hashicorp/terraform-provider-google#7811, as users quote it for _Default.
        raise already_exists(f"Sink {sink_id} already exists")
    if not SINK_ID.fullmatch(sink_id):
        raise invalid(f"Invalid sink name: {sink_id}")
    _check(body)
    info = {"name": sink_id, "createTime": now, "updateTime": now}
    info |= {key: body[key] for key in MUTABLE if body.get(key)}
    sinks[name] = _written(info, _writer(call, info))
    return sinks[name]


@method("logging.projects.sinks.get", permission="logging.sinks.get", on=_on_name)
def get(call: Call) -> Result:
    return _sink(call)


@method(
    "logging.projects.sinks.list",
    permission="logging.sinks.list",
    on=on_parent,
    reads="filter pageSize pageToken",
)
def list_sinks(call: Call) -> Result:
    """Ancestors have no sinks here that could intercept a project's entries."""
    if (given := call.params.get("filter", "")) not in SCOPES:
        raise invalid(
            f"The filter {given} is not supported; {', '.join(filter(None, SCOPES))} are."
        )
    found = {} if given == OF_ANCESTORS else _sinks(call, call.resource)
    return listing("sinks", found, call.params, default=50, most=1000)


@method(
    "logging.projects.sinks.update",
    "logging.projects.sinks.patch",
    permission="logging.sinks.update",
    on=_on_name,
    reads="uniqueWriterIdentity updateMask",
)
def update(call: Call) -> Result:
    """Discovery document, `updateMask` and `uniqueWriterIdentity`.

    That `_Required` cannot be changed is documented (logging/docs/routing/overview), how that is
    said is not recorded.
    """
    sink, body = dict(_sink(call)), call.body
    if sink["name"] == REQUIRED:
        raise ApiError(403, "PERMISSION_DENIED", f"Sink {REQUIRED} cannot be modified")
    paths = mask_paths(call.params.get("updateMask") or DEFAULT_MASK)
    if unknown := {path.partition(".")[0] for path in paths}.difference(MUTABLE):
        raise invalid(f"update_mask: a sink has no field {', '.join(sorted(unknown))} to update")
    copy_paths(sink, body, paths)
    if not sink.get("disabled"):
        sink.pop("disabled", None)
    _check(sink)
    unique = call.params.get("uniqueWriterIdentity", False)
    writer = sink.get("writerIdentity", "")
    if writer not in ("", SHARED_WRITER) and not unique:
        raise invalid("A sink with a unique writer identity cannot go back to the shared one.")
    sink["updateTime"] = call.cloud.clock.rfc3339()
    call.cloud[Logging].sinks[call.resource] = _written(sink, _writer(call, sink))
    return call.cloud[Logging].sinks[call.resource]


@method("logging.projects.sinks.delete", permission="logging.sinks.delete", on=_on_name)
def delete(call: Call) -> Result:
    sink = _sink(call)
    if sink["name"] in UNDELETABLE:
        raise ApiError(403, "PERMISSION_DENIED", UNDELETABLE[sink["name"]])
    del call.cloud[Logging].sinks[call.resource]
    return {}
