"""Service Usage v1 and v1beta1: which APIs a project may use, and since when."""

from __future__ import annotations

import heapq
import os
from collections.abc import Iterable
from functools import cache
from typing import Any
from urllib.parse import urlencode

from simulator.api.calls import Call, Methods, Service, on_name, on_parent
from simulator.api.discovery import documents_directory, title
from simulator.api.errors import INFO, ApiError, error_info, invalid, unimplemented
from simulator.api.honoured import Table
from simulator.api.operations import Operations
from simulator.api.pages import listing
from simulator.core.cloud import Cloud, Holding
from simulator.core.platform import Apis
from simulator.identity.accounts import AGENTS, Accounts
from simulator.services.resourcemanager import Projects

method = Methods()

MAX_BATCH = 20
UNCHECKED = ("SKIP", "CHECK_IF_SERVICE_HAS_USAGE_UNSPECIFIED")
CONSOLE = "https://console.developers.google.com"

# Titles as Google's errors print them, where the discovery document has another one
# (gcp-facts/02_errors.md, JSON C).
TITLES = {"aiplatform": "Vertex AI API", "storage": "Cloud Storage API"}

# Real services that have no discovery document under their own name, with their titles as `gcloud
# services list` prints them.
UNDOCUMENTED = {
    "bigquerystorage": "BigQuery Storage API",
    "cloudapis": "Google Cloud APIs",
    "cloudquotas": "Cloud Quotas API",
    "cloudtrace": "Cloud Trace API",
    "containerfilesystem": "Container File System API",
    "networkmanagement": "Network Management API",
    "notebooks": "Notebooks API",
    "storage-api": "Google Cloud Storage JSON API",
    "storage-component": "Cloud Storage",
}

# Service -> what it cannot do without. As met in terraform-provider-google#5304 (bigquery), #5424
# (compute), #3198 (oslogin), #4570 (storage-api), and where the services of new projects are
# switched off (cloudapis). Google has more of them.
DEPENDENCIES = {
    "bigquerystorage": ("bigquery",),
    "cloudapis": ("bigquery", "cloudtrace"),
    "cloudfunctions": ("storage-api",),
    "compute": ("oslogin",),
    "container": ("compute",),
}

# Services a project's error names it by id only; the others name the missing consumer.
NO_CONSUMER_ERROR = ("cloudresourcemanager.googleapis.com", "iamcredentials.googleapis.com")


HONOURED = Table(
    "serviceusage",
    {
        "BatchEnableServicesRequest": "serviceIds",
        "DisableServiceRequest": "checkIfServiceHasUsage disableDependentServices",
    },
)


@cache
def catalogue() -> frozenset[str]:
    """The names of all services that can be enabled (those with a discovery document, and some)."""
    names = {name.partition(".")[0] for name in os.listdir(documents_directory())}
    # IoT Core was retired on 2023-08-16 (gcp-facts/08_iot_and_testiam.md); its document remains.
    names -= {"cloudiot", "index"}
    return frozenset(f"{name}.googleapis.com" for name in names | UNDOCUMENTED.keys())


def needed(service: str) -> list[str]:
    """The service and all that it depends on, those first."""
    api = service.partition(".")[0]
    below = (needed(f"{name}.googleapis.com") for name in DEPENDENCIES.get(api, ()))
    return [*dict.fromkeys(name for names in below for name in names), service]


class Services(Apis, Holding):
    """A change shows in the project's list at once and is served `cloud.delays.api` later."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._enabled: dict[str, set[str]] = {}
        self._serving: dict[str, set[str]] = {}
        self._pending: list[tuple[float, int, str, str, bool]] = []
        self._changes = 0
        # APIs whose enabling succeeds but which never serve in this run
        self.withheld: set[str] = set()

    def seed(self, project: str, services: Iterable[str]) -> None:
        for service in services:
            self._enabled.setdefault(project, set()).add(service)
            self._serving.setdefault(project, set()).add(service)

    def change(self, project: str, service: str, enabled: bool) -> None:
        known = self._enabled.setdefault(project, set())
        if (service in known) == enabled:
            return
        known.symmetric_difference_update({service})
        self._changes += 1
        due = self._cloud.clock.now() + self._cloud.delays.api
        heapq.heappush(self._pending, (due, self._changes, project, service, enabled))

    def enabled(self, project: str) -> set[str]:
        return self._enabled.get(project, set())

    def dependents(self, project: str, service: str) -> list[str]:
        """What is enabled in the project and cannot do without the service."""
        return sorted(
            name for name in self.enabled(project) if name != service and service in needed(name)
        )

    def serving(self, project: str, service: str) -> bool:
        """Whether the project can use the service now."""
        while self._pending and self._pending[0][0] <= self._cloud.clock.now():
            _, _, changed, name, enabled = heapq.heappop(self._pending)
            serving = self._serving.setdefault(changed, set())
            (serving.add if enabled else serving.discard)(name)
        return service in self._serving.get(project, ()) and service not in self.withheld

    def require(self, project: str, service: str, shown: str = "") -> None:
        """Raise what Google's front door answers when the project cannot use the service.

        `shown` is how errors name the project, where that is not its id.
        """
        if self.serving(project, service):
            return
        if self._cloud[Projects].get(project) is None:
            if service not in NO_CONSUMER_ERROR:
                raise consumer_invalid(project, service)
        else:
            raise self._disabled(shown or project, service)

    def title(self, service: str) -> str:
        api = service.partition(".")[0]
        return TITLES.get(api) or UNDOCUMENTED.get(api) or title(api) or f"{api} API"

    def live(self) -> dict[str, list[str]]:
        return {
            "services": sorted(
                f"{project}/{service}"
                for project, services in self._enabled.items()
                for service in services
            )
        }

    def _disabled(self, project: str, service: str) -> ApiError:
        """gcp-facts/02_errors.md, JSON C; the older reason: openshift/installer#2187."""
        url = f"{CONSOLE}/apis/api/{service}/overview?project={project}"
        message = (
            f"{self.title(service)} has not been used in project {project} before or it is "
            f"disabled. Enable it by visiting {url} then retry. If you enabled this API recently, "
            "wait a few minutes for the action to propagate to our systems and retry."
        )
        info = error_info(
            "SERVICE_DISABLED",
            "googleapis.com",
            serviceTitle=self.title(service),
            containerInfo=project,
            consumer=f"projects/{project}",
            activationUrl=url,
            service=service,
        )
        return ApiError(403, "PERMISSION_DENIED", message, [info], "accessNotConfigured")


def consumer_invalid(project: str, service: str) -> ApiError:
    """gcp-facts/02_errors.md, JSON B."""
    message = f"Permission denied on resource project {project}."
    details = [
        error_info(
            "CONSUMER_INVALID",
            "googleapis.com",
            containerInfo=project,
            consumer=f"projects/{project}",
            service=service,
        ),
        {"@type": f"{INFO}LocalizedMessage", "locale": "en-US", "message": message},
        {
            "@type": f"{INFO}Help",
            "links": [{"description": "Google developers console", "url": CONSOLE}],
        },
    ]
    return ApiError(403, "PERMISSION_DENIED", message, details)


def _project(resource: str) -> str:
    return resource.split("/")[1]


def _known(services: Iterable[str]) -> list[str]:
    listed = list(services)
    unknown = [name for name in listed if name not in catalogue()]
    if unknown:
        names = ",".join(unknown)
        info = error_info(
            "SERVICE_CONFIG_NOT_FOUND_OR_PERMISSION_DENIED",
            "serviceusage.googleapis.com",
            services=names,
        )
        message = f"Not found or permission denied for service(s): {names}."
        raise ApiError(403, "PERMISSION_DENIED", message, [info])
    return listed


def _json(call: Call, project: str, service: str) -> dict[str, Any]:
    parent = f"projects/{call.cloud[Projects].number(project)}"
    enabled = service in call.cloud[Services].enabled(project)
    return {
        "name": f"{parent}/services/{service}",
        "parent": parent,
        "config": {"name": service, "title": call.cloud[Services].title(service)},
        "state": "ENABLED" if enabled else "DISABLED",
    }


def _start(
    call: Call, project: str, services: list[str], enabled: bool, kind: str
) -> dict[str, Any]:
    """The operation that turns services on or off, and what it answers when it is done."""
    cloud = call.cloud
    number = cloud[Projects].number(project)

    def run() -> dict[str, Any]:
        cloud[Operations].falter()
        for service in services:
            together = (
                needed(service)
                if enabled
                else [*cloud[Services].dependents(project, service), service]
            )
            for name in together:
                cloud[Services].change(project, name, enabled)
        found = [_json(call, project, service) for service in services]
        answer = {"services": found} if kind.startswith("Batch") else {"service": found[0]}
        return {"@type": f"type.googleapis.com/google.api.serviceusage.v1.{kind}", **answer}

    return cloud[Operations].start(
        f"operations/acat.p2-{number}-{cloud.unique_id()}",
        metadata={
            "@type": "type.googleapis.com/google.api.serviceusage.v1.OperationMetadata",
            "resourceNames": [f"services/{name}/projectSettings/{number}" for name in services],
        },
        run=run,
    )


@method(
    "serviceusage.services.list",
    permission="serviceusage.services.list",
    on=on_parent,
    reads="filter pageSize pageToken",
)
def list_services(call: Call) -> dict[str, Any]:
    project = _project(call.resource)
    enabled = call.cloud[Services].enabled(project)
    chosen: dict[str, set[str] | frozenset[str]] = {
        "": catalogue() | enabled,
        "state:ENABLED": enabled,
        "state:DISABLED": catalogue() - enabled,
    }
    wanted = call.params.get("filter", "").replace(" ", "")
    if wanted not in chosen:
        raise invalid(f"Invalid filter: {wanted}")
    names = {name: {"name": name} for name in chosen[wanted]}
    answer = listing("services", names, call.params, default=50, most=200)
    if services := answer.get("services"):
        answer["services"] = [_json(call, project, item["name"]) for item in services]
    return answer


@method("serviceusage.services.get", permission="serviceusage.services.get", on=on_name)
def get_service(call: Call) -> dict[str, Any]:
    _, project, _, service = call.resource.split("/")
    _known([service])
    return _json(call, project, service)


@method(
    "serviceusage.services.batchGet",
    permission="serviceusage.services.get",
    on=on_parent,
    reads="names",
)
def batch_get(call: Call) -> dict[str, Any]:
    names = _known(name.rpartition("/")[2] for name in call.params.get("names", ()))
    project = _project(call.resource)
    return {"services": [_json(call, project, name) for name in names]}


# Enabling also needs servicemanagement.services.bind on the service itself, which Google gives
# everyone on its public services (docs service-usage/access-control).
@method("serviceusage.services.enable", permission="serviceusage.services.enable", on=on_name)
def enable(call: Call) -> dict[str, Any]:
    _, project, _, service = call.resource.split("/")
    return _start(call, project, _known([service]), True, "EnableServiceResponse")


@method(
    "serviceusage.services.batchEnable", permission="serviceusage.services.enable", on=on_parent
)
def batch_enable(call: Call) -> dict[str, Any]:
    services = _known(call.body.get("serviceIds", ()))
    if not 0 < len(services) <= MAX_BATCH:
        raise invalid(f"A batch names 1 to {MAX_BATCH} services, not {len(services)}.")
    return _start(call, _project(call.resource), services, True, "BatchEnableServicesResponse")


@method("serviceusage.services.disable", permission="serviceusage.services.disable", on=on_name)
def disable(call: Call) -> dict[str, Any]:
    _, project, _, service = call.resource.split("/")
    _known([service])
    if (usage := call.body.get("checkIfServiceHasUsage", "SKIP")) not in UNCHECKED:
        raise unimplemented(f"checkIfServiceHasUsage {usage} of {call.method.id}")
    dependents = call.cloud[Services].dependents(project, service)
    # v1beta1 has no such field, and so no way to go on.
    if dependents and not call.body.get("disableDependentServices"):
        raise _depended_on(service, dependents)
    return _start(call, project, [service], False, "DisableServiceResponse")


def _depended_on(service: str, dependents: list[str]) -> ApiError:
    """As `gcloud services disable` prints it; Google adds a line with a token for its support."""
    names = ",".join(dependents)
    message = (
        f"The service {service} is depended on by the following active service(s): {names}; Please "
        "specify disable_dependent_services=true if you want to proceed with disabling all "
        "services."
    )
    query = [("error_code", "100001"), ("service_name", service)]
    subject = urlencode([*query, *(("services", name) for name in dependents)])
    violation = {"type": "googleapis.com", "subject": f"?{subject}"}
    info = error_info(
        "COMMON_SU_SERVICE_HAS_DEPENDENT_SERVICES",
        "serviceusage.googleapis.com",
        service_name=service,
        services=names,
    )
    failure = {"@type": f"{INFO}PreconditionFailure", "violations": [violation]}
    details = [failure, info]
    return ApiError(400, "FAILED_PRECONDITION", message, details, "failedPrecondition")


def _operation_project(call: Call) -> str:
    """The operation's name carries its project's number."""
    number = str(call.params["name"]).split("-")
    return f"projects/{call.cloud[Projects].id(number[1])}" if len(number) > 2 else "projects/-"


# An inference: no document names what polling checks, and this permission exists for nothing else.
@method(
    "serviceusage.operations.get", permission="serviceusage.operations.get", on=_operation_project
)
def get_operation(call: Call) -> dict[str, Any]:
    return call.cloud[Operations].get(call.params["name"])


# Docs iam/create-service-agents: an agent that was asked for gets no role, unlike one made on first
# use; and "Triggering service agent creation doesn't require any IAM permissions".
@method("serviceusage.services.generateServiceIdentity", permission=None, on=on_parent)
def generate_service_identity(call: Call) -> dict[str, Any]:
    _, project, _, service = call.resource.split("/")
    if call.cloud[Projects].get(project) is None:
        raise consumer_invalid(project, call.method.service)
    api = service.partition(".")[0]
    if api not in AGENTS:
        _known([service])
        raise unimplemented(f"{call.method.id} for {service}")
    accounts = call.cloud[Accounts]
    agent = accounts.create_agent(api, project, granted=False)
    account = accounts.find(agent.email)
    assert account is not None
    kind = f"type.googleapis.com/google.api.serviceusage.{call.method.version}.ServiceIdentity"
    return call.cloud[Operations].start(
        f"operations/finished.DONE_OPERATION.{call.cloud.unique_id()}",
        metadata={},
        run=lambda: {"@type": kind, "email": account.email, "uniqueId": account.unique_id},
        delay=0,
    )


SERVICE = Service(Services, method, HONOURED)
