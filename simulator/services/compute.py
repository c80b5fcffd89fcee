"""Compute Engine: the regions and the project, which the official provider reads first."""

from __future__ import annotations

from typing import Any

from simulator.api.calls import Call, Methods, Result, Service
from simulator.api.errors import not_found
from simulator.api.honoured import Table
from simulator.api.pages import page
from simulator.core.platform import Containers
from simulator.identity.accounts import Accounts

method = Methods()

# https://cloud.google.com/compute/docs/regions-zones, by area.
AREAS: dict[str, tuple[int, ...]] = {
    "africa-south": (1,),
    "asia-east": (1, 2),
    "asia-northeast": (1, 2, 3),
    "asia-south": (1, 2),
    "asia-southeast": (1, 2),
    "australia-southeast": (1, 2),
    "europe-central": (2,),
    "europe-north": (1, 2),
    "europe-southwest": (1,),
    "europe-west": (1, 2, 3, 4, 6, 8, 9, 10, 12),
    "me-central": (1, 2),
    "me-west": (1,),
    "northamerica-northeast": (1, 2),
    "northamerica-south": (1,),
    "southamerica-east": (1,),
    "southamerica-west": (1,),
    "us-central": (1,),
    "us-east": (1, 4, 5),
    "us-south": (1,),
    "us-west": (1, 2, 3, 4),
}
REGIONS = tuple(sorted(f"{area}{number}" for area, numbers in AREAS.items() for number in numbers))
# Vertex AI has no host there, by the list of endpoints in its discovery document.
WITHOUT_VERTEX = {"northamerica-south1"}
SITE = "https://www.googleapis.com/compute/v1"

HONOURED = Table("compute", ignored={"returnPartialSuccess": "no region here is out of reach"})


def _project(call: Call) -> str:
    return f"projects/{call.cloud[Containers].id(call.params['project'])}"


def _region(project: str, name: str) -> dict[str, Any]:
    return {
        "kind": "compute#region",
        "id": str(1000 + 10 * REGIONS.index(name)),
        "name": name,
        "description": name,
        "status": "UP",
        "selfLink": f"{SITE}/{project}/regions/{name}",
    }


@method(
    "compute.regions.list",
    permission="compute.regions.list",
    on=_project,
    reads="maxResults pageToken",
)
def list_regions(call: Call) -> Result:
    regions = [(name, _region(call.resource, name)) for name in REGIONS]
    size = call.params.get("maxResults", 500)
    items, token = page(regions, call.params.get("pageToken"), size)
    answer: dict[str, Any] = {
        "kind": "compute#regionList",
        "id": f"{call.resource}/regions",
        "items": items,
        "selfLink": f"{SITE}/{call.resource}/regions",
    }
    return {**answer, "nextPageToken": token} if token else answer


@method("compute.regions.get", permission="compute.regions.get", on=_project)
def get_region(call: Call) -> Result:
    name = call.params["region"]
    if name not in REGIONS:
        raise not_found(f"The resource '{call.resource}/regions/{name}' was not found")
    return _region(call.resource, name)


@method("compute.projects.get", permission="compute.projects.get", on=_project)
def get_project(call: Call) -> Result:
    project = call.resource.removeprefix("projects/")
    number = call.cloud[Containers].number(project)
    return {
        "kind": "compute#project",
        "id": number,
        "name": project,
        "selfLink": f"{SITE}/{call.resource}",
        "defaultServiceAccount": call.cloud[Accounts].standing("compute", project),
        "defaultNetworkTier": "PREMIUM",
        "xpnProjectStatus": "UNSPECIFIED_XPN_PROJECT_STATUS",
        "commonInstanceMetadata": {"kind": "compute#metadata"},
    }


SERVICE = Service(None, method, HONOURED)
