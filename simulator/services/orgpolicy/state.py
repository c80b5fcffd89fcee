"""Organisation policies in the hierarchy: what is enforced where, and the refusals that follow."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from simulator.api.errors import ApiError, error_info, failed_precondition
from simulator.core.cloud import Cloud, Holding
from simulator.core.platform import Constraints, Containers
from simulator.iam import conditions
from simulator.iam.decisions import Iam
from simulator.identity.accounts import Accounts

BOOLEAN, LIST = "boolean", "list"
DOMAINS = "iam.allowedPolicyMemberDomains"
KEYS = "iam.disableServiceAccountKeyCreation"
EXPIRY = "iam.serviceAccountKeyExpiryHours"
ACCOUNTS = "iam.disableServiceAccountCreation"
UNIFORM = "storage.uniformBucketLevelAccess"
PRIVATE = "storage.publicAccessPrevention"
# Newer forms of two of these, which refuse with another sentence.
MANAGED = {
    KEYS: "iam.managed.disableServiceAccountKeyCreation",
    ACCOUNTS: f"iam.managed.{ACCOUNTS[4:]}",
}
# Docs organization-policy/reference/org-policy-constraints, as far as they concern what is
# simulated; all of them allow everything where no policy is set, or one that is reset and so has no
# rules. Those named above are enforced.
# The others can be set and read, and nothing here acts on them.
CONSTRAINTS = {
    **dict.fromkeys((KEYS, ACCOUNTS, UNIFORM, PRIVATE, *MANAGED.values()), BOOLEAN),
    **dict.fromkeys((DOMAINS, EXPIRY), LIST),
    "gcp.resourceLocations": LIST,
    "gcp.restrictCmekCryptoKeyProjects": LIST,
    "gcp.restrictNonCmekServices": LIST,
    "gcp.restrictServiceUsage": LIST,
    "iam.allowServiceAccountCredentialLifetimeExtension": LIST,
    "iam.automaticIamGrantsForDefaultServiceAccounts": BOOLEAN,
    "iam.disableCrossProjectServiceAccountUsage": BOOLEAN,
    "iam.disableServiceAccountKeyUpload": BOOLEAN,
    "iam.managed.allowedPolicyMembers": BOOLEAN,
    "iam.managed.disableServiceAccountKeyUpload": BOOLEAN,
    "iam.managed.preventPrivilegedBasicRolesForDefaultServiceAccounts": BOOLEAN,
    "iam.serviceAccountKeyExposureResponse": LIST,
    "iam.workloadIdentityPoolAwsAccounts": LIST,
    "iam.workloadIdentityPoolProviders": LIST,
}
ORGANIZATION = "principalSet://iam.googleapis.com/"


@dataclass(slots=True)
class OrgPolicy:
    """`name` is `projects/P/policies/CONSTRAINT`; `given` holds the fields that callers set."""

    name: str
    given: dict[str, Any] = field(default_factory=dict)
    updated: str = ""
    revision: int = 0

    @property
    def etag(self) -> str:
        return base64.b64encode(f"{self.revision:08d}".encode()).decode()


class OrgPolicies(Constraints, Holding):
    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._policies: dict[str, OrgPolicy] = {}
        # name -> (since when, spec), oldest first; None once the policy is deleted
        self._specs: dict[str, list[tuple[float, dict[str, Any] | None]]] = {}
        # organisation -> its Cloud Identity customer
        self.customers: dict[str, str] = {}

    def get(self, name: str) -> OrgPolicy | None:
        return self._policies.get(name)

    def on(self, resource: str) -> list[OrgPolicy]:
        found = self._policies.items()
        return [item for name, item in found if name.startswith(f"{resource}/policies/")]

    def save(self, policy: OrgPolicy) -> None:
        policy.revision += 1
        policy.updated = self._cloud.clock.rfc3339()
        self._policies[policy.name] = policy
        self._schedule(policy.name, policy.given.get("spec"))

    def delete(self, policy: OrgPolicy) -> None:
        del self._policies[policy.name]
        self._schedule(policy.name, None)

    def live(self) -> dict[str, list[str]]:
        return {"orgPolicies": sorted(self._policies)}

    def enforced(self, constraint: str, resource: str) -> bool:
        """Whether a boolean constraint is enforced on the resource: the nearest policy says."""
        for spec in self._chain(constraint, resource):
            rules = self.applicable(spec, resource)
            conditional = [rule for rule in rules if rule.get("condition")]
            return any(rule.get("enforce") for rule in conditional or rules)
        return False

    def list_rules(self, constraint: str, resource: str) -> list[dict[str, Any]]:
        """The rules of a list constraint that apply to the resource, inherited ones included."""
        found: list[dict[str, Any]] = []
        for spec in self._chain(constraint, resource):
            found += self.applicable(spec, resource)
            if not spec.get("inheritFromParent"):
                break
        return found

    def allowed(self, constraint: str, resource: str, values: Iterable[str]) -> bool:
        """Whether a list constraint lets something that goes by all of these names pass."""
        names, rules = set(values), self.list_rules(constraint, resource)
        lists = [rule.get("values", {}) for rule in rules]
        denied = {_plain(value) for item in lists for value in item.get("deniedValues", ())}
        allowed = {_plain(value) for item in lists for value in item.get("allowedValues", ())}
        if any(rule.get("denyAll") for rule in rules) or names & denied:
            return False
        unlisted = not allowed or any(rule.get("allowAll") for rule in rules)
        return unlisted or bool(names & allowed)

    def applicable(self, spec: dict[str, Any], resource: str) -> list[dict[str, Any]]:
        """The rules of a policy whose condition, if any, is true for the resource's tags."""
        tags = self._cloud[Iam].tags_of(resource)
        return [
            rule
            for rule in spec.get("rules", ())
            if not rule.get("condition")
            or conditions.tags_hold(rule["condition"].get("expression", ""), tags)
        ]

    def check_members(self, resource: str, members: Iterable[str]) -> None:
        """Refuse members from outside the permitted customers; for what a setIamPolicy call adds.

        What was granted before the policy was set stays ("not retroactive", docs
        organization-policy/domain-restricted-sharing). The sentence with its tail and two spaces is
        Cloud Run's, without tail Resource Manager's and Storage's, each recorded in public
        issues, as are the details; which of both other services send is not known.
        """
        refused = [
            member
            for member in dict.fromkeys(members)
            if not self.allowed(DOMAINS, resource, self._customers(member))
        ]
        if not refused:
            return
        plain = resource.count("/") == 1 or resource.startswith("projects/_/buckets/")
        message = "One or more users named in the policy do not belong to a permitted customer"
        tail = "." if plain else ",  perhaps due to an organization policy."
        names = [member.partition(":")[2] or member for member in refused]
        raise failed_precondition(
            message + tail,
            [
                (
                    f"constraints/{DOMAINS}",
                    f"orgpolicy:{resource}?configvalue={name}",
                    f"User {name} is not in permitted organization.",
                )
                for name in names
            ],
        )

    def check_key_creation(self, account: str) -> None:
        """Refuse a key for `projects/P/serviceAccounts/EMAIL` (docs iam/troubleshoot-org-policies).

        The managed form's description is ours.
        """
        email = account.rpartition("/")[2]
        subject = f"{account}?configvalue={quote(email, safe='')}"
        self._refuse(KEYS, account, subject, "Key creation is not allowed on this service account.")

    def key_hours(self, account: str) -> float | None:
        """Docs organization-policy/restricting-service-accounts: the one allowed value, as `8h`;
        keys that are there already and uploaded ones are not concerned."""
        for rule in self.list_rules(EXPIRY, account):
            for value in rule.get("values", {}).get("allowedValues", ()):
                return float(_plain(value).removesuffix("h"))
        return None

    def check_account_creation(self, project: str) -> None:
        """Refuse a new service account in `projects/P` (the same page)."""
        subject = f"{project}/serviceAccounts/?configvalue="
        text = "Service account creation is not allowed on this project."
        self._refuse(ACCOUNTS, project, subject, text)

    def check_bucket(self, resource: str, uniform: bool) -> None:
        """Refuse a bucket that has no uniform access where it has to (widely recorded)."""
        if not uniform and self.enforced(UNIFORM, resource):
            message = f"Request violates constraint 'constraints/{UNIFORM}'"
            raise ApiError(412, "FAILED_PRECONDITION", message)

    def _refuse(self, constraint: str, resource: str, subject: str, text: str) -> None:
        if self.enforced(constraint, resource):
            raise failed_precondition(text, [(f"constraints/{constraint}", subject, text)])
        managed = f"constraints/{MANAGED[constraint]}"
        if self.enforced(MANAGED[constraint], resource):
            message = f"Operation denied by org policy on resource '{resource}': "
            info = error_info(
                "CUSTOM_ORG_POLICY_VIOLATION",
                "googleapis.com",
                customConstraints=managed,
                resource=resource,
            )
            raise ApiError(
                400,
                "FAILED_PRECONDITION",
                f'{message}["{managed}": "{text}"].',
                [info],
                "failedPrecondition",
            )

    def _customers(self, member: str) -> set[str]:
        """What the constraint may call whoever the member is, if it is of a known customer.

        A service account, an agent or a workload identity pool belongs to the organisation that
        its project is in.
        """
        kind, _, rest = member.partition(":")
        if kind in ("user", "group", "domain"):
            customer = self._cloud[Iam].customers.get(rest.rpartition("@")[2])
            homes = [name for name, owner in self.customers.items() if owner == customer]
            return {ORGANIZATION + name for name in homes} | ({customer} if customer else set())
        if kind == "serviceAccount":
            account = self._cloud[Accounts].find(rest)
            place = f"projects/{account.project}" if account else ""
        elif kind.startswith("project"):
            place = f"projects/{rest}"
        else:
            place = "/".join(rest.removeprefix("//").split("/")[1:3])
        collection, _, reference = place.partition("/")
        if collection == "projects":
            place = f"projects/{self._cloud[Containers].id(reference)}"
        root = self._cloud[Iam].ancestors(place)[-1] if place else ""
        names = {ORGANIZATION + root} if root.startswith("organizations/") else set()
        return names | ({self.customers[root]} if root in self.customers else set())

    def _chain(self, constraint: str, resource: str) -> Iterator[dict[str, Any]]:
        """The policies' specs that are in effect, nearest first."""
        if not self._specs:
            return
        now = self._cloud.clock.now()
        for ancestor in self._cloud[Iam].ancestors(resource):
            due = self._specs.get(f"{ancestor}/policies/{constraint}", ())
            specs = [spec for since, spec in due if since <= now]
            if specs and specs[-1]:
                yield specs[-1]

    def _schedule(self, name: str, spec: dict[str, Any] | None) -> None:
        """That a policy takes as long as a grant to take effect is an inference; it is minutes."""
        since = self._cloud.clock.now() + self._cloud.delays.iam
        self._specs.setdefault(name, []).append((since, spec))


def _plain(value: str) -> str:
    return value.removeprefix("is:")
