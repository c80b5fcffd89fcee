"""Service Usage v1beta1: the quotas of a project, as far as a service here enforces one.

Metric and unit: docs vertex-ai/docs/quotas; the limit's id: the discovery document's example.
Permissions: docs service-usage/docs/access-control, which writes `quota` for what roles call
`quotas`.
"""

from __future__ import annotations

from typing import Any

from simulator.api.calls import Call, Methods, Result, Service
from simulator.api.errors import invalid, unimplemented
from simulator.api.honoured import Table
from simulator.api.operations import Operations
from simulator.api.pages import listing
from simulator.services.resourcemanager import Projects
from simulator.services.vertex.resources import CPU_QUOTA

method = Methods()

VERTEX = "aiplatform.googleapis.com"
METRIC = f"{VERTEX}/custom_model_serving_cpus"
UNIT = "1/{project}/{region}"
UNLIMITED = -1

HONOURED = Table(
    "serviceusage",
    {
        "ImportConsumerOverridesRequest": "inlineSource",
        "OverrideInlineSource": "overrides",
        "QuotaOverride": "metric overrideValue unit",
    },
    {
        "ImportConsumerOverridesRequest.force": "no safety check of quotas is simulated",
        "QuotaOverride.name": "ignored (discovery document)",
    },
)


def _project(call: Call) -> str:
    return "/".join(str(call.params["parent"]).split("/")[:2])


def _require_vertex(call: Call) -> None:
    """Of other services nothing is known here."""
    if not str(call.params["parent"]).endswith(f"/services/{VERTEX}"):
        raise unimplemented(f"{call.method.id} of {call.params['parent']}")


@method(
    "serviceusage.services.consumerQuotaMetrics.list",
    permission="serviceusage.quotas.get",
    on=_project,
    reads="pageSize pageToken view",
)
def list_metrics(call: Call) -> Result:
    _require_vertex(call)
    number = call.cloud[Projects].number(call.resource.partition("/")[2])
    name = f"projects/{number}/services/{VERTEX}/consumerQuotaMetrics/{METRIC.replace('/', '%2F')}"
    limit = {
        "name": f"{name}/limits/%2Fproject%2Fregion",
        "metric": METRIC,
        "unit": UNIT,
        "quotaBuckets": [{"effectiveLimit": str(call.cloud.quotas.get(CPU_QUOTA, UNLIMITED))}],
    }
    metric = {"name": name, "metric": METRIC, "unit": "1", "consumerQuotaLimits": [limit]}
    return listing("metrics", {METRIC: metric}, call.params, default=100, most=1000)


@method(
    "serviceusage.services.consumerQuotaMetrics.importConsumerOverrides",
    permission="serviceusage.quotas.update",
    on=_project,
)
def override(call: Call) -> Result:
    """Limits of all regions at once: -1 is none."""
    _require_vertex(call)
    overrides = call.body.get("inlineSource", {}).get("overrides", [])
    if not overrides or any(
        (it.get("metric"), it.get("unit")) != (METRIC, UNIT) for it in overrides
    ):
        raise invalid(f"Overrides here are of {METRIC}, {UNIT}.")
    value = int(overrides[-1].get("overrideValue", 0))

    def run() -> dict[str, Any]:
        call.cloud.quotas.pop(CPU_QUOTA, None)
        if value != UNLIMITED:
            call.cloud.quotas[CPU_QUOTA] = value
        kind = "type.googleapis.com/google.api.serviceusage.v1beta1.ImportConsumerOverridesResponse"
        return {"@type": kind, "overrides": overrides}

    number = call.cloud[Projects].number(call.resource.partition("/")[2])
    name = f"operations/quf.p2-{number}-{call.cloud.unique_id()}"
    return call.cloud[Operations].start(name, metadata={}, run=run)


SERVICE = Service(None, method, HONOURED)
