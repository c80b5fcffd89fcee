"""Types of the `projects` and `serviceaccount` modules."""

from __future__ import annotations

import re
from typing import Any, Final

from pulumi_plugin.kinds import Context, PartialFailure, ProviderError, Resource
from pulumi_plugin.values import Props
from standin.checks import at_most_characters
from standin.fields import DELETION_POLICY, PROJECT, Field, inputs_of
from standin.google import GoogleError
from standin.resource import AutoName, Declared, Rest, Spec

SERVICE_USAGE: Final = "https://serviceusage.googleapis.com/v1"
MOST_AT_ONCE: Final = 20  # services that one batchEnable takes
CONSISTENCY_PAUSES: Final = (0.5, 1.0, 2.0, 4.0, 8.0)  # until a new account can be read

STAGES: Final = ("ALPHA", "BETA", "GA", "DEPRECATED", "DISABLED", "EAP")
ACCOUNT_ID: Final = r"^[a-z]([-a-z0-9]*[a-z0-9])?$"


def _domain(name: str, value: Any) -> list[str]:
    """a domain"""
    if value == "bigquery-json.googleapis.com":
        return [f"expected {name} to not match any of [bigquery-json.googleapis.com], got {value}"]
    if "." in str(value):
        return []
    return [f"expected {value} to be a domain like serviceusage.googleapis.com"]


def _account_id(name: str, value: Any) -> list[str]:
    """6 to 30 of a-z, 0-9 and dash"""
    said = f'"{name}" ("{value}") must'
    length = [] if 6 <= len(str(value)) <= 30 else [f"{said} be between 6 and 30 characters long"]
    form = [] if re.search(ACCOUNT_ID, str(value)) else [f'{said} match regex "{ACCOUNT_ID}"']
    return length + form


SERVICE: Final = Spec(
    "gcp:projects/service:Service",
    noun="Service",
    title="Project Service",
    source="services/resourcemanager/resource_google_project_service.go",
    id="{project}/{service}",
    fields=(
        Field("service", new=True, required=True, valid=_domain),
        PROJECT,
        Field("disableOnDestroy", "bool", local=True, zero=None),
        Field("disableDependentServices", "bool", local=True, zero=None),
        Field("checkIfServiceHasUsageOnDestroy", "bool", local=True, zero=None),
        DELETION_POLICY,
    ),
)
SERVICE_IDENTITY: Final = Spec(
    "gcp:projects/serviceIdentity:ServiceIdentity",
    noun="ServiceIdentity",
    title="ServiceIdentity",
    source="services/resourcemanager/resource_project_service_identity.go",
    id="projects/{project}/services/{service}",
    fields=(
        Field("service", new=True, required=True),
        PROJECT,
        Field("email", output=True),
        Field("member", output=True),
    ),
)
CUSTOM_ROLE: Final = Spec(
    "gcp:projects/iAMCustomRole:IAMCustomRole",
    noun="custom project role",
    title="IAM custom role",
    source="services/resourcemanager/resource_google_project_iam_custom_role.go",
    base="https://iam.googleapis.com/v1",
    id="projects/{project}/roles/{roleId}",
    collection="projects/{project}/roles",
    fields=(
        Field("roleId", path=True, new=True, pattern=r"^[a-zA-Z0-9_\.]{3,64}$"),
        PROJECT,
        Field("title", required=True),
        Field("description"),
        Field("permissions", "set", api="includedPermissions", required=True, fewest=1),
        Field("stage", default="GA", zero="ALPHA", values=STAGES),
        Field("name", output=True),
        Field("deleted", "bool", output=True),
        DELETION_POLICY,
    ),
    autoname=AutoName("roleId"),
)
ACCOUNT: Final = Spec(
    "gcp:serviceaccount/account:Account",
    noun="service account",
    title="Service Account",
    source="services/resourcemanager/resource_google_service_account.go",
    base="https://iam.googleapis.com/v1",
    id="projects/{project}/serviceAccounts/{email}",
    collection="projects/{project}/serviceAccounts",
    fields=(
        Field("accountId", path=True, new=True, valid=_account_id),
        PROJECT,
        Field("displayName"),
        Field("description", valid=at_most_characters(256)),
        Field("disabled", "bool"),
        Field("createIgnoreAlreadyExists", "bool", local=True, zero=None),
        DELETION_POLICY,
        Field("email", output=True),
        Field("member", output=True),
        Field("name", output=True),
        Field("uniqueId", output=True),
    ),
    autoname=AutoName("accountId", longest=30),
)


class Service(Declared):
    """An enabled API. Neither listing nor enabling is done for one service at a time."""

    spec = SERVICE
    waits = "create: the operation, and until it is listed as enabled; delete: the operation"

    def create(self, inputs: Props, context: Context) -> tuple[str, Props]:
        names = self.names("", inputs, {})
        project, service = names["project"], names["service"]
        id = self.spec.id.format_map(names)
        if service not in self._enabled(project):
            self.provider.batcher.run(
                f"enable {project}",
                f'Enable Project Service "{service}" for project "{project}"',
                service,
                lambda services: self._enable(project, services, context),
            )
            if self._read(project, service) is None:
                raise ProviderError(f"service {service} was not enabled in project {project}")
        return id, self._outputs(names, inputs)

    def read(self, id: str, inputs: Props, outputs: Props, context: Context) -> Resource | None:
        names = self.names(id, inputs, outputs)
        if self._read(names["project"], names["service"]) is None:
            return None
        found = self._outputs(names, inputs or outputs)
        return Resource(
            self.spec.id.format_map(names), inputs_of(self.spec.fields, inputs, found), found
        )

    def update(
        self, id: str, old_inputs: Props, old_outputs: Props, inputs: Props, context: Context
    ) -> Props:
        return self._outputs(self.names(id, inputs, old_outputs), inputs)

    def delete(self, id: str, inputs: Props, outputs: Props, context: Context) -> None:
        if self.refuses_deletion(id, outputs) or not outputs.get("disableOnDestroy"):
            return
        names = self.names(id, inputs, outputs)
        usage = "CHECK" if outputs.get("checkIfServiceHasUsageOnDestroy") else "SKIP"
        body: Props = {"checkIfServiceHasUsage": usage}
        if outputs.get("disableDependentServices"):
            body["disableDependentServices"] = True
        url = f"{SERVICE_USAGE}/projects/{names['project']}/services/{names['service']}:disable"
        try:
            operation = self.provider.google.call("POST", url, None, body)
            self.provider.google.wait(SERVICE_USAGE, operation, "services to be disabled", context)
        except ProviderError as error:
            raise ProviderError(f"Error disabling service {id!r}: {error}") from error

    def _outputs(self, names: dict[str, str], inputs: Props) -> Props:
        given = {item.name: inputs.get(item.name, item.absent) for item in self.spec.fields}
        return given | {"project": names["project"], "service": names["service"]}

    def _read(self, project: str, service: str) -> str | None:
        url = f"https://cloudresourcemanager.googleapis.com/v1/projects/{project}"
        if self.fetch(f"{project}/{service}", url) is None:
            return None
        return service if service in self._enabled(project) else None

    def _enabled(self, project: str) -> frozenset[str]:
        found: frozenset[str] = self.provider.batcher.run(
            f"list {project}",
            f"List Project Services {project}",
            None,
            lambda _: self._list(project),
        )
        return found

    def _list(self, project: str) -> frozenset[str]:
        query = {
            "fields": "services/name,nextPageToken",
            "filter": "state:ENABLED",
            "pageSize": "200",
        }
        found: set[str] = set()
        while True:
            try:
                url = f"{SERVICE_USAGE}/projects/{project}/services"
                page = self.provider.google.call("GET", url, query)
            except GoogleError as error:
                raise ProviderError(
                    f"Failed to list enabled services for project {project}: {error}"
                ) from error
            found.update(item["name"].rpartition("/")[2] for item in page.get("services", []))
            if not page.get("nextPageToken"):
                return frozenset(found)
            query["pageToken"] = page["nextPageToken"]

    def _enable(self, project: str, services: list[str], context: Context) -> None:
        wanted = list(dict.fromkeys(services))
        for start in range(0, len(wanted), MOST_AT_ONCE):
            part = wanted[start : start + MOST_AT_ONCE]
            url, body = f"{SERVICE_USAGE}/projects/{project}/services", {"serviceIds": part}
            try:
                operation = (
                    self.provider.google.call("POST", f"{url}:batchEnable", None, body)
                    if len(part) > 1
                    else self.provider.google.call("POST", f"{url}/{part[0]}:enable", None, {})
                )
            except GoogleError as error:
                raise ProviderError(f"failed to send enable services request: {error}") from error
            activity = f"Enable Project Services {project}: {part}"
            self.provider.google.wait(SERVICE_USAGE, operation, activity, context)
        for pause in (*CONSISTENCY_PAUSES, None):
            missing = set(wanted) - self._list(project)
            if not missing:
                return
            if pause is not None:
                self.provider.google.sleep(pause)
        raise ProviderError(f"Error waiting for services to be enabled: {sorted(missing)}")


class ServiceIdentity(Declared):
    """The service agent of an API: made on demand, never read, never deleted."""

    spec = SERVICE_IDENTITY
    waits = "create: the operation"

    def create(self, inputs: Props, context: Context) -> tuple[str, Props]:
        names = self.names("", inputs, {})
        id, base = self.spec.id.format_map(names), "https://serviceusage.googleapis.com/v1beta1"
        try:
            answer = self.provider.google.call("POST", f"{base}/{id}:generateServiceIdentity")
        except GoogleError as error:
            raise ProviderError(f"Error creating Service Identity: {error}") from error
        activity = "Creating Service Identity"
        email = self.provider.google.wait(base, answer, activity, context).get("email", "")
        found = {name: names[name] for name in ("project", "service")}
        return id, found | {"email": email, "member": f"serviceAccount:{email}" if email else ""}

    def read(self, id: str, inputs: Props, outputs: Props, context: Context) -> Resource | None:
        if not outputs:
            raise ProviderError(
                "a service identity cannot be imported: Google has no way to read it"
            )
        return Resource(id, inputs, outputs)

    def delete(self, id: str, inputs: Props, outputs: Props, context: Context) -> None:
        """Google keeps the agent for as long as the project."""


class CustomRole(Rest):
    """A custom role. Its id outlives its deletion, so a create may have to undelete.

    To a refresh a soft-deleted role is still there, with `deleted` set: only an update for another
    reason brings it back, as in the official plugin.
    """

    spec = CUSTOM_ROLE

    def create(self, inputs: Props, context: Context) -> tuple[str, Props]:
        names = self.names("", inputs, {})
        id = self.spec.id.format_map(names)
        try:
            there = self.get(id, inputs, {})
        except ProviderError as error:
            raise ProviderError(
                f"Unable to verify whether custom project role {id} already exists and must be "
                f"undeleted: {error}"
            ) from error
        if there is None:
            url = f"{self.spec.base}/{self.spec.collection.format_map(names)}"
            role = self.body(inputs, {}, update=False)
            self._call("creating", id, "POST", url, {"role": role, "roleId": names["roleId"]})
        elif there.get("deleted"):
            undelete = f"{self.url(id, names)}:undelete"
            self._call("undeleting", inputs["title"], "POST", undelete, {})
            self._patch(id, names, inputs)
        else:
            raise ProviderError(f"Custom project role {id} already exists and must be imported")
        return id, self.read_created(id, inputs, context)

    def update(
        self, id: str, old_inputs: Props, old_outputs: Props, inputs: Props, context: Context
    ) -> Props:
        if any(not item.local for item in self.changes(old_inputs, old_outputs, inputs)):
            names = self.names(id, inputs, old_outputs)
            try:
                role = self.provider.google.call("GET", self.url(id, names))
            except GoogleError as error:
                said = f"unable to find custom project role {id} to update: {error}"
                raise ProviderError(said) from error
            if role.get("deleted"):
                undelete = f"{self.url(id, names)}:undelete"
                self._call("undeleting", inputs["title"], "POST", undelete, {})
            self._patch(id, names, inputs)
        planned = old_outputs | self.preview(inputs, old_outputs)
        return planned | {"permissions": sorted(planned["permissions"])}

    def _patch(self, id: str, names: dict[str, str], inputs: Props) -> None:
        body = self.body(inputs, {}, update=True)
        self._call("updating", inputs["title"], "PATCH", self.url(id, names), body)

    def delete(self, id: str, inputs: Props, outputs: Props, context: Context) -> None:
        if self.refuses_deletion(id, outputs):
            return
        url = self.url(id, self.names(id, inputs, outputs))
        self._call("deleting", outputs["title"], "DELETE", url, None)  # one that is gone is refused

    def _call(self, doing: str, role: str, method: str, url: str, body: Any) -> None:
        """`role` is its path where it is created, and its title from then on."""
        try:
            self.provider.google.call(method, url, None, body)
        except GoogleError as error:
            raise ProviderError(f"Error {doing} the custom project role {role}: {error}") from error


class Account(Rest):
    """A service account. IAM is slow to notice one: it is read until it is there."""

    spec = ACCOUNT
    waits = "create: until it is found twice running"

    def preview(self, inputs: Props, old_outputs: Props | None) -> Props:
        known = super().preview(inputs, old_outputs)
        account, project = known.get("accountId"), known.get("project")
        if isinstance(account, str) and isinstance(project, str):
            email = f"{account}@{project}.iam.gserviceaccount.com"
            known |= {"email": email, "member": f"serviceAccount:{email}"}
        return known

    def create(self, inputs: Props, context: Context) -> tuple[str, Props]:
        names = self.names("", inputs, {})
        account = self.body({**inputs, "disabled": None}, {}, update=False)
        body = {"accountId": names["accountId"], "serviceAccount": account}
        url = f"{self.spec.base}/{self.spec.collection.format_map(names)}"
        try:
            id = self.provider.google.call("POST", url, None, body)["name"]
        except GoogleError as error:
            if not (error.status == 409 and inputs.get("createIgnoreAlreadyExists")):
                raise ProviderError(f"Error creating service account: {error}") from error
            email = f"{names['accountId']}@{names['project']}.iam.gserviceaccount.com"
            id = f"projects/{names['project']}/serviceAccounts/{email}"
        try:
            for pause in CONSISTENCY_PAUSES:  # found once, and once more from another replica
                if self.get(id, inputs, {}) and self.get(id, inputs, {}):
                    break
                self.provider.google.sleep(pause)
            if inputs.get("disabled"):
                self._enable(id, False)
        except ProviderError as error:
            raise PartialFailure(id, self.preview(inputs, None), inputs, str(error)) from error
        return id, self.read_created(id, inputs, context)

    def outputs(self, id: str, answer: Props, inputs: Props, *, created: bool) -> Props:
        email = answer["email"]
        named = {**inputs, "accountId": email.partition("@")[0]}
        found = super().outputs(id, answer, named, created=created)
        return found | {"member": f"serviceAccount:{email}"}

    def update(
        self, id: str, old_inputs: Props, old_outputs: Props, inputs: Props, context: Context
    ) -> Props:
        masks = {"displayName": "display_name", "description": "description"}
        differing = {item.name for item in self.changes(old_inputs, old_outputs, inputs)}
        mask = [name for field, name in masks.items() if field in differing]
        try:
            if "disabled" in differing:
                self._enable(id, not inputs.get("disabled"))
            if mask:
                account = {name: inputs[name] for name in masks if inputs.get(name)}
                body = {"serviceAccount": account, "updateMask": ",".join(mask)}
                self.provider.google.call("PATCH", f"{self.spec.base}/{id}", None, body)
        except GoogleError as error:
            raise ProviderError(f"Error updating service account {id!r}: {error}") from error
        if not mask and "disabled" not in differing:
            return old_outputs | self.preview(inputs, old_outputs)
        return self.read_created(id, inputs, context)

    def _enable(self, id: str, enabled: bool) -> None:
        verb = "enable" if enabled else "disable"
        self.provider.google.call("POST", f"{self.spec.base}/{id}:{verb}", None, {})
