"""Dashboards, v1. Answers: http-logs/monitoring-dashboard.log; names carry the project's number."""

from __future__ import annotations

import base64
import uuid
from copy import deepcopy
from typing import Any

from simulator.api.calls import Call, Methods, Result, on_name, on_parent
from simulator.api.errors import aborted, already_exists, invalid, not_found
from simulator.api.pages import listing
from simulator.core.platform import Containers
from simulator.services.monitoring.state import Monitoring, under

method = Methods()

LAYOUTS = ("gridLayout", "mosaicLayout", "rowLayout", "columnLayout")
NAMESPACE = uuid.UUID("9e0a9f4a-2f0c-4b57-8a0e-6f5bd4a6d1c3")


def _dashboard(call: Call) -> dict[str, Any]:
    found = call.cloud[Monitoring].dashboards.get(call.resource)
    if found is None:
        raise not_found("Requested entity was not found.")
    return found


def _filled(value: Any) -> Any:
    """With what Google adds to widgets: a text's style, a data set's axis."""
    if isinstance(value, list):
        return [_filled(item) for item in value]
    if not isinstance(value, dict):
        return value
    filled = {key: _filled(item) for key, item in value.items()}
    if isinstance(text := filled.get("text"), dict):
        text.setdefault("style", {})
    for data in filled.get("dataSets", ()):
        data.setdefault("targetAxis", "Y1")
    return filled


def _stored(call: Call, name: str) -> dict[str, Any]:
    body = deepcopy(call.body)
    if not body.get("displayName"):
        raise invalid("A dashboard needs a display_name.")
    layouts = [layout for layout in LAYOUTS if layout in body]
    if len(layouts) > 1:
        raise invalid(f"A dashboard has one layout, not {', '.join(layouts)}.")
    info: dict[str, Any] = _filled(body) | {
        "name": call.cloud[Containers].numbered(name),
        "etag": base64.b64encode(bytes.fromhex(call.cloud.unique_id()[:16])).decode(),
    }
    if not call.params.get("validateOnly"):
        call.cloud[Monitoring].dashboards[name] = info
    return info


@method(
    "monitoring.projects.dashboards.create",
    permission="monitoring.dashboards.create",
    on=on_parent,
    reads="validateOnly",
)
def create(call: Call) -> Result:
    given = call.body.get("name", "")
    project, _, dashboard_id = given.partition("/dashboards/")
    owner = call.cloud[Containers].id(project.removeprefix("projects/"))
    if given and (f"projects/{owner}" != call.resource or not dashboard_id):
        raise invalid(f"The dashboard's name {given} does not belong to {call.resource}.")
    name = f"{call.resource}/dashboards/" + (
        dashboard_id or str(uuid.uuid5(NAMESPACE, call.cloud.unique_id()))
    )
    if name in call.cloud[Monitoring].dashboards:
        raise already_exists(f"Dashboard {name} already exists.")
    return _stored(call, name)


@method("monitoring.projects.dashboards.get", permission="monitoring.dashboards.get", on=on_name)
def get(call: Call) -> Result:
    return _dashboard(call)


@method(
    "monitoring.projects.dashboards.list",
    permission="monitoring.dashboards.list",
    on=on_parent,
    reads="pageSize pageToken",
)
def list_dashboards(call: Call) -> Result:
    found = under(call.cloud[Monitoring].dashboards, call.resource, "dashboards")
    return listing("dashboards", found, call.params, default=1000, most=1000)


@method(
    "monitoring.projects.dashboards.patch",
    permission="monitoring.dashboards.update",
    on=on_name,
    reads="validateOnly",
)
def patch(call: Call) -> Result:
    """Replaces all of it. Google's text for a stale etag is not recorded."""
    before = _dashboard(call)
    if call.body.get("etag") not in (None, "", before["etag"]):
        raise aborted("The dashboard was changed since this etag was read.")
    return _stored(call, call.resource)


@method(
    "monitoring.projects.dashboards.delete",
    permission="monitoring.dashboards.delete",
    on=on_name,
)
def delete(call: Call) -> Result:
    _dashboard(call)
    del call.cloud[Monitoring].dashboards[call.resource]
    return {}
