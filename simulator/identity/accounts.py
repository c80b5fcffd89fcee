"""Service accounts: IAM v1 `projects.serviceAccounts`, and the agents Google makes for itself."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from typing import Any

from simulator.api.calls import Call, Methods, Service
from simulator.api.errors import aborted, already_exists, failed_precondition, invalid, not_found
from simulator.api.honoured import Table
from simulator.api.pages import listing
from simulator.api.patching import mask_paths
from simulator.core.cloud import Cloud, Holding
from simulator.core.platform import Apis, Constraints, Containers
from simulator.core.principal import Principal
from simulator.iam import allowpolicies
from simulator.iam.decisions import Iam
from simulator.iam.denypolicies import DenyPolicies
from simulator.iam.members import AccountBook

method = Methods()

# gcp-facts/03_custom_roles.md: form and limits of accounts, undelete window.
ACCOUNT_ID = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])")
UNDELETE_SECONDS = 30 * 86_400

# API -> domain of its service agent, and the role Google gives that agent on its project.
AGENTS = {
    "aiplatform": ("gcp-sa-aiplatform", "roles/aiplatform.serviceAgent"),
    "artifactregistry": ("gcp-sa-artifactregistry", "roles/artifactregistry.serviceAgent"),
    "logging": ("gcp-sa-logging", "roles/logging.serviceAgent"),
    "monitoring": (
        "gcp-sa-monitoring-notification",
        "roles/monitoring.notificationServiceAgent",
    ),
    "pubsub": ("gcp-sa-pubsub", "roles/pubsub.serviceAgent"),
    "secretmanager": ("gcp-sa-secretmanager", ""),
}

# API -> the account that a project has without asking for it. BigQuery's and Storage's encrypt with
# the project's keys; that they are there before they are asked for is what the official provider's
# tests need. Compute Engine's comes with its API (docs iam/service-account-types), and here without
# the Editor role: new organisations enforce iam.automaticIamGrantsForDefaultServiceAccounts.
STANDING = {
    "bigquery": "bq-{number}@bigquery-encryption.iam.gserviceaccount.com",
    "compute": "{number}-compute@developer.gserviceaccount.com",
    "storage": "service-{number}@gs-project-accounts.iam.gserviceaccount.com",
}
# Those that are the project's own rather than Google's.
DEFAULT = {"compute": "Compute Engine default service account"}


HONOURED = Table(
    "iam",
    {
        "CreateServiceAccountRequest": "accountId serviceAccount",
        "PatchServiceAccountRequest": "serviceAccount updateMask",
        "ServiceAccount": "description displayName etag",
        "GetIamPolicyRequest": "*",
        **allowpolicies.POLICY_FIELDS,
    },
    {"ServiceAccount.name": "the path says which one it is"},
)


@dataclass(slots=True)
class Account:
    email: str
    unique_id: str
    project: str
    display_name: str = ""
    description: str = ""
    disabled: bool = False
    agent: bool = False
    default: bool = False
    revision: int = 1
    deleted: float = 0.0

    @property
    def name(self) -> str:
        return f"projects/{self.project}/serviceAccounts/{self.email}"

    @property
    def etag(self) -> str:
        return base64.b64encode(f"{self.revision:08d}".encode()).decode()

    def json(self) -> dict[str, Any]:
        answer: dict[str, Any] = {
            "name": self.name,
            "projectId": self.project,
            "uniqueId": self.unique_id,
            "email": self.email,
            "oauth2ClientId": self.unique_id,
            "etag": self.etag,
        }
        if self.display_name:
            answer["displayName"] = self.display_name
        if self.description:
            answer["description"] = self.description
        if self.disabled:
            answer["disabled"] = True
        return answer


class Accounts(AccountBook, Holding):
    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._accounts: dict[str, Account] = {}
        self._deleted: dict[str, Account] = {}

    def create(self, project: str, account_id: str) -> Account:
        email = f"{account_id}@{project}.iam.gserviceaccount.com"
        return self._add(Account(email, self._unique_id(), project))

    def find(self, reference: str) -> Account | None:
        """By email or unique id."""
        if reference.isdigit():
            found = (item for item in self._accounts.values() if item.unique_id == reference)
            return next(found, None)
        return self._accounts.get(reference) or self._standing(reference)

    def exists(self, email: str) -> bool:
        return self.find(email) is not None

    def owner(self, email: str) -> tuple[str, bool] | None:
        account = self.find(email)
        return (account.project, account.agent) if account else None

    def usable(self, email: str) -> bool:
        """Whether the account can authenticate: it exists and is not disabled."""
        account = self.find(email)
        return account is not None and not account.disabled

    def standing(self, api: str, project: str) -> str:
        """The address of the account that the project has for an API of `STANDING`."""
        return STANDING[api].format(number=self._cloud[Containers].number(project))

    def _standing(self, email: str) -> Account | None:
        """The account, met for the first time, if it is one that a project has anyway."""
        number = next(iter(re.findall(r"\d+", email)), "")
        containers = self._cloud[Containers]
        if not containers.exists(number):
            return None
        if any(item.email == email for item in self._deleted.values()):
            return None
        project = containers.id(number)
        enabled = self._cloud[Apis].enabled(project)
        for api in STANDING:
            if email == self.standing(api, project):
                if api in DEFAULT and f"{api}.googleapis.com" not in enabled:
                    return None
                account = Account(email, self._unique_id(), project, agent=api not in DEFAULT)
                account.default, account.display_name = api in DEFAULT, DEFAULT.get(api, "")
                return self._add(account)
        return None

    def agent(self, api: str, project: str) -> Principal | None:
        """The service agent of an API (`aiplatform`) in a project; None until it is created."""
        email = self._agent_email(api, project)
        return Principal(f"serviceAccount:{email}") if email in self._accounts else None

    def create_agent(self, api: str, project: str, *, granted: bool = True) -> Principal:
        """The service agent, made if need be; with its role on the project, as on first use."""
        email, role = self._agent_email(api, project), AGENTS[api][1]
        if email not in self._accounts:
            self._add(Account(email, self._unique_id(), project, agent=True))
            if role and granted:
                self._cloud[Iam].grant(f"projects/{project}", role, f"serviceAccount:{email}")
        return Principal(f"serviceAccount:{email}")

    def listed(self, project: str) -> list[Account]:
        """The project's own accounts, without Google's agents."""
        for api in DEFAULT if self._cloud[Containers].exists(project) else ():
            self.find(self.standing(api, project))
        found = self._accounts.values()
        return [item for item in found if item.project == project and not item.agent]

    def delete(self, account: Account) -> None:
        """Policies keep the account as `deleted:…?uid=…`, which grants nothing."""
        del self._accounts[account.email]
        account.deleted = self._cloud.clock.now()
        self._deleted[account.unique_id] = account
        live, gone = self._members(account)
        self._rename(live, gone)

    def undelete(self, unique_id: str) -> Account:
        account = self._deleted.get(unique_id)
        now = self._cloud.clock.now()
        if account is None or now - account.deleted > UNDELETE_SECONDS:
            raise not_found("Unknown service account")
        if account.email in self._accounts:
            raise failed_precondition(f"Service account {account.email} exists again.")
        del self._deleted[unique_id]
        live, gone = self._members(account)
        self._add(account)
        self._rename(gone, live)
        return account

    def live(self) -> dict[str, list[str]]:
        return {
            "serviceAccounts": sorted(a.email for a in self._made(by_google=False)),
            "serviceAgents": sorted(a.email for a in self._made(by_google=True)),
        }

    def _rename(self, old: str, new: str) -> None:
        self._cloud[Iam].rename_member(old, new)
        self._cloud[DenyPolicies].rename_member(old, new)

    def _made(self, *, by_google: bool) -> list[Account]:
        found = self._accounts.values()
        return [item for item in found if (item.agent or item.default) == by_google]

    def _add(self, account: Account) -> Account:
        self._accounts[account.email] = account
        return account

    def _unique_id(self) -> str:
        return f"1{self._cloud.unique_id():0>20}"[:21]

    def _agent_email(self, api: str, project: str) -> str:
        number = self._cloud[Containers].number(project)
        return f"service-{number}@{AGENTS[api][0]}.iam.gserviceaccount.com"

    @staticmethod
    def _members(account: Account) -> tuple[str, str]:
        live = f"serviceAccount:{account.email}"
        return live, f"deleted:{live}?uid={account.unique_id}"


def account_name(call: Call) -> str:
    """The account's resource name; `projects/-` and unique ids are resolved."""
    return resource_of(call.cloud, call.params.get("name") or call.params["resource"])


def resource_of(cloud: Cloud, reference: str) -> str:
    _, project, _, account = reference.split("/", 3)
    found = cloud[Accounts].find(account)
    if found:
        return found.name
    if project == "-":
        project = account.partition("@")[2].partition(".")[0]
    return f"projects/{project}/serviceAccounts/{account}"


def project_name(call: Call) -> str:
    return "/".join(str(call.params["name"]).split("/")[:2])


def account_of(call: Call) -> Account:
    """The account that `call.resource` names; 404 without one."""
    account = call.cloud[Accounts].find(call.resource.rpartition("/")[2])
    if account is None:
        raise not_found("Unknown service account")
    return account


def _check_texts(account: dict[str, Any]) -> None:
    for name, limit in (("displayName", 100), ("description", 256)):
        if len(account.get(name, "").encode()) > limit:
            raise invalid(f"The {name} of a service account is at most {limit} bytes.")


@method(
    "iam.projects.serviceAccounts.create",
    permission="iam.serviceAccounts.create",
    on=project_name,
)
def create(call: Call) -> dict[str, Any]:
    account_id, given = call.body.get("accountId", ""), call.body.get("serviceAccount", {})
    if not 6 <= len(account_id) <= 30:
        raise invalid(f'The account ID "{account_id}" does not have a length between 6 and 30.')
    if not ACCOUNT_ID.fullmatch(account_id):
        raise invalid(
            "Service account ID must start with a lower case letter, followed by one or more "
            "lower case alphanumerical characters that can be separated by hyphens."
        )
    _check_texts(given)
    call.cloud[Constraints].check_account_creation(call.resource)
    project = call.resource.partition("/")[2]
    if call.cloud[Accounts].exists(f"{account_id}@{project}.iam.gserviceaccount.com"):
        raise already_exists(
            f"Service account {account_id} already exists within project projects/{project}."
        )
    account = call.cloud[Accounts].create(project, account_id)
    account.display_name = given.get("displayName", "")
    account.description = given.get("description", "")
    return account.json()


@method("iam.projects.serviceAccounts.get", permission="iam.serviceAccounts.get", on=account_name)
def get(call: Call) -> dict[str, Any]:
    return account_of(call).json()


@method(
    "iam.projects.serviceAccounts.list",
    permission="iam.serviceAccounts.list",
    on=project_name,
    reads="pageSize pageToken",
)
def list_accounts(call: Call) -> dict[str, Any]:
    accounts = call.cloud[Accounts].listed(call.resource.partition("/")[2])
    items = {item.email: item.json() for item in accounts}
    return listing("accounts", items, call.params, default=20, most=100)


@method(
    "iam.projects.serviceAccounts.patch",
    permission="iam.serviceAccounts.update",
    on=account_name,
)
def patch(call: Call) -> dict[str, Any]:
    account, given = account_of(call), call.body.get("serviceAccount", {})
    if given.get("etag") not in (None, "", account.etag):
        raise aborted("There were concurrent changes to the service account. Please retry.")
    _check_texts(given)
    paths = mask_paths(call.body.get("updateMask"))
    if "displayName" in paths:
        account.display_name = given.get("displayName", "")
    if "description" in paths:
        account.description = given.get("description", "")
    account.revision += 1
    return account.json()


@method(
    "iam.projects.serviceAccounts.delete",
    permission="iam.serviceAccounts.delete",
    on=account_name,
)
def delete(call: Call) -> dict[str, Any]:
    call.cloud[Accounts].delete(account_of(call))
    return {}


@method(
    "iam.projects.serviceAccounts.undelete",
    permission="iam.serviceAccounts.undelete",
    on=project_name,
)
def undelete(call: Call) -> dict[str, Any]:
    account = call.cloud[Accounts].undelete(call.params["name"].rpartition("/")[2])
    return {"restoredAccount": account.json()}


@method(
    "iam.projects.serviceAccounts.enable",
    permission="iam.serviceAccounts.enable",
    on=account_name,
)
def enable(call: Call) -> dict[str, Any]:
    account_of(call).disabled = False
    return {}


@method(
    "iam.projects.serviceAccounts.disable",
    permission="iam.serviceAccounts.disable",
    on=account_name,
)
def disable(call: Call) -> dict[str, Any]:
    account_of(call).disabled = True
    return {}


def _existing(call: Call, name: str) -> object:
    return account_of(call)


# Whether a missing account is an empty answer too is not recorded: what is held on its project is
# said of it here.
allowpolicies.register(
    method,
    "iam.projects.serviceAccounts",
    "iam.serviceAccounts",
    _existing,
    on=account_name,
    test=allowpolicies.held,
)


SERVICE = Service(Accounts, method, HONOURED)
