"""One member of one role in an allow policy: read, modify, write, and read again.

The sequence is the official plugin's (provider-contract/core): one read, one write, three reads
that have to agree, and one read for each member that was in the batch.
"""

from __future__ import annotations

import copy
import re
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from providers.plugin import Context, Props, ProviderError, Resource
from rehearsal.provider.fields import DEFAULTS, PROJECT, Field
from rehearsal.provider.google import GoogleError
from rehearsal.provider.resource import Declared, Spec

if TYPE_CHECKING:
    from rehearsal.provider.gcp import Gcp

Policy = dict[str, Any]
Modify = Callable[[Policy], Policy]

CONFIRMATIONS: Final = 3
CONFLICT_PAUSES: Final = (1.0, 2.0, 4.0, 8.0, 16.0)  # seconds
ACCOUNT_PAUSES: Final = (1.0, 2.0, 4.0, 8.0, 16.0)
CONDITION: Final = ("title", "description", "expression")
MEMBERS: Final = (
    r"(user|serviceAccount|group|domain|principal|principalSet|deleted|iamMember|projectOwner"
    r"|projectEditor|projectViewer|specialGroup):.+|allUsers|allAuthenticatedUsers"
)
MEMBER_FIELDS: Final = (
    Field("role", new=True, required=True),
    Field("member", new=True, required=True, pattern=MEMBERS),
    Field(
        "condition",
        "object",
        new=True,
        of=(
            Field("title", required=True),
            Field("expression", required=True),
            Field("description"),
        ),
    ),
    Field("etag", output=True),
)


@dataclass(frozen=True)
class Target:
    """What a policy is attached to. Texts are templates over the path properties."""

    token: str
    property: str  # the input that names the resource
    path: str  # the resource's own path, as it stands in ids: "{project}", "b/{bucket}"
    describe: str
    url: str
    fields: tuple[Field, ...] = ()
    get: tuple[str, str] = ("POST", ":getIamPolicy")
    get_query: Mapping[str, str] = field(default_factory=dict)
    get_body: Any = None
    set: tuple[str, str] = ("POST", ":setIamPolicy")
    set_body: Mapping[str, str] = field(default_factory=dict)  # beside the policy
    wrapped: bool = True  # the policy is a property of the body, not the body
    version: int = 3
    batched: bool = False
    shows_path: bool = True  # the output of `property` is the whole path
    shows_given: bool = False  # outputs are as the program has them, the provider's project unset


PROJECT_TARGET: Final = Target(
    "gcp:projects/iAMMember:IAMMember",
    property="project",
    path="{project}",
    describe='project "{project}"',
    url="https://cloudresourcemanager.googleapis.com/v1/projects/{project}",
    fields=(Field("project", new=True, required=True),),
    get_body={"options": {"requestedPolicyVersion": 3}},
    set_body={"updateMask": "bindings,etag,auditConfigs"},
    batched=True,
)
ACCOUNT_TARGET: Final = Target(
    "gcp:serviceaccount/iAMMember:IAMMember",
    property="serviceAccountId",
    path="{serviceAccountId}",
    describe="service account '{serviceAccountId}'",
    url="https://iam.googleapis.com/v1/{serviceAccountId}",
    fields=(Field("serviceAccountId", new=True, required=True),),
    get_query={"options.requestedPolicyVersion": "3"},
)
BUCKET_TARGET: Final = Target(
    "gcp:storage/bucketIAMMember:BucketIAMMember",
    property="bucket",
    path="b/{bucket}",
    describe='storage bucket "b/{bucket}"',
    url="https://storage.googleapis.com/storage/v1/b/{bucket}",
    fields=(Field("bucket", new=True, required=True),),
    get=("GET", "/iam"),
    get_query={"optionsRequestedPolicyVersion": "3"},
    set=("PUT", "/iam"),
    wrapped=False,
)
ENDPOINT_TARGET: Final = Target(
    "gcp:vertex/aiEndpointIamMember:AiEndpointIamMember",
    property="endpoint",
    path="projects/{project}/locations/{location}/endpoints/{endpoint}",
    describe='vertexai endpoint "projects/{project}/locations/{location}/endpoints/{endpoint}"',
    url="https://{location}-aiplatform.googleapis.com/v1beta1/"
    "projects/{project}/locations/{location}/endpoints/{endpoint}",
    fields=(
        Field("endpoint", new=True, required=True),
        Field("location", path=True, new=True, computed=True),
        PROJECT,
    ),
)
TABLE_TARGET: Final = Target(
    "gcp:bigquery/iamMember:IamMember",
    property="tableId",
    path="projects/{project}/datasets/{datasetId}/tables/{tableId}",
    describe='bigquery table "projects/{project}/datasets/{datasetId}/tables/{tableId}"',
    url="https://bigquery.googleapis.com/bigquery/v2/"
    "projects/{project}/datasets/{datasetId}/tables/{tableId}",
    fields=(
        Field("datasetId", new=True, required=True),
        Field("tableId", new=True, required=True),
        PROJECT,
    ),
    version=1,
)
DATASET_TARGET: Final = Target(
    "gcp:bigquery/datasetIamMember:DatasetIamMember",
    property="datasetId",
    path="projects/{project}/datasets/{datasetId}",
    describe="Bigquery Dataset {project}/{datasetId}",
    url="https://bigquery.googleapis.com/bigquery/v2/projects/{project}/datasets/{datasetId}",
    fields=(Field("datasetId", new=True, required=True), PROJECT),
    shows_path=False,
)


class Member(Declared):
    """A role granted to one member; the rest of the policy is left as it is."""

    def __init__(self, gcp: Gcp, target: Target) -> None:
        title = target.token.rpartition(":")[2]
        super().__init__(
            gcp,
            Spec(target.token, title, title, (*target.fields, *MEMBER_FIELDS), id=target.path),
        )
        self.target = target

    def create(self, inputs: Props, context: Context) -> tuple[str, Props]:
        names = self.names("", inputs, {})
        try:
            self._modify(names, inputs, "Create", add)
            policy = self.read_policy(names)
        except GoogleError as error:
            raise self._failed("retrieving IAM policy", names, error) from error
        return self._id(names, inputs), self._outputs(names, inputs, policy)

    def read(self, id: str, inputs: Props, outputs: Props, context: Context) -> Resource | None:
        grant = inputs or self._grant_of(id)
        names = self.names("", grant, {})
        try:
            policy = self.read_policy(names)
        except GoogleError as error:
            if error.status == 404:
                return None
            raise self._failed("retrieving IAM policy", names, error) from error
        if not inputs:
            grant = self._with_condition(grant, policy)
        if add(policy, [grant]) != normalised(policy):
            return None
        return Resource(
            self._id(names, grant), {DEFAULTS: [], **grant}, self._outputs(names, grant, policy)
        )

    def delete(self, id: str, inputs: Props, outputs: Props, context: Context) -> None:
        grant = inputs or outputs
        names = self.names("", grant, {})
        try:
            self._modify(names, grant, "Delete", remove)
            self.read_policy(names)
        except GoogleError as error:
            if error.status != 404:  # what the policy was attached to is gone, and it with it
                raise self._failed("retrieving IAM policy", names, error) from error

    def _modify(
        self,
        names: dict[str, str],
        grant: Props,
        verb: str,
        change: Callable[[Policy, Iterable[Props]], Policy],
    ) -> None:
        def send(grants: list[Props]) -> None:
            self.gcp.policies.write(self, names, lambda policy: change(policy, grants))

        if not self.target.batched:
            return send([grant])
        describe = self.target.describe.format_map(names)
        title = f"{verb} IAM Members {grant['role']} {grant['member']} for {describe}"
        self.gcp.batcher.run(f"{verb} {self.target.token} {describe}", title, grant, send)
        return None

    def read_policy(self, names: Mapping[str, str]) -> Policy:
        method, suffix = self.target.get
        url = self.target.url.format_map(names) + suffix
        return self.gcp.google.call(method, url, self.target.get_query, self.target.get_body)

    def write_policy(self, names: Mapping[str, str], policy: Policy) -> None:
        method, suffix = self.target.set
        body: Props = {"policy": policy, **self.target.set_body}
        if not self.target.wrapped:
            body = policy
            if "bindings" not in policy:
                body = {key: value for key, value in policy.items() if key != "etag"}
        self.gcp.google.call(method, self.target.url.format_map(names) + suffix, None, body)

    def names(self, id: str, inputs: Props, outputs: Props) -> dict[str, str]:
        """The resource may be given by its name or by its whole path."""
        given = str(inputs[self.target.property])
        pattern = re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", re.escape(self.target.path))
        whole = re.fullmatch(pattern, given)
        names = super().names("", {**inputs, **(whole.groupdict() if whole else {})}, {})
        if "location" not in names and self._has("location"):
            names["location"] = self.gcp.setting("region")
        return names

    def _outputs(self, names: Mapping[str, str], grant: Props, policy: Policy) -> Props:
        condition = grant.get("condition")
        if condition:
            condition = {name: condition.get(name) or "" for name in CONDITION}
        known = grant if self.target.shows_given else names
        shown = {item.name: known.get(item.name) for item in self.target.fields}
        if self.target.shows_path:
            shown[self.target.property] = self.target.path.format_map(names)
        return shown | {
            "role": grant["role"],
            "member": grant["member"],
            "condition": condition or None,
            "etag": policy.get("etag", ""),
        }

    def _id(self, names: Mapping[str, str], grant: Props) -> str:
        id = f"{self.target.path.format_map(names)}/{grant['role']}/{grant['member']}"
        condition = grant.get("condition")
        if condition:
            id += "".join(f"/{condition.get(name) or ''}" for name in CONDITION)
        return id

    def _grant_of(self, id: str) -> Props:
        """An import id is `RESOURCE ROLE MEMBER [CONDITION TITLE]`."""
        parts = id.split(" ", 3)
        if len(parts) < 3:
            raise ProviderError(
                f"Wrong number of parts to Member id {id!r}; expected 'resource_name role member "
                "[condition_title]'"
            )
        grant: Props = {self.target.property: parts[0], "role": parts[1], "member": parts[2]}
        names = self.names("", grant, {})
        grant |= {item.name: names[item.name] for item in self.target.fields}
        if len(parts) == 4:
            grant["condition"] = {"title": parts[3]}
        return grant

    def _with_condition(self, grant: Props, policy: Policy) -> Props:
        title = (grant.get("condition") or {}).get("title")
        for binding in policy.get("bindings", []):
            condition = binding.get("condition") or {}
            if binding["role"] == grant["role"] and title and condition.get("title") == title:
                return {**grant, "condition": condition}
        return grant

    def _failed(self, doing: str, names: Mapping[str, str], error: ProviderError) -> ProviderError:
        return ProviderError(f"Error {doing} for {self.target.describe.format_map(names)}: {error}")


class Policies:
    """Writes policies, one writer at a time for each resource within this process."""

    def __init__(self, gcp: Gcp) -> None:
        self._gcp = gcp
        self._locks: dict[str, threading.Lock] = defaultdict(threading.Lock)

    def write(self, kind: Member, names: Mapping[str, str], modify: Modify) -> None:
        describe = kind.target.describe.format_map(names)
        with self._locks[describe]:
            self._write(kind, names, modify, describe)
            self._confirm(kind, names, modify, describe)

    def _write(self, kind: Member, names: Mapping[str, str], modify: Modify, describe: str) -> None:
        conflicts, absences = iter(CONFLICT_PAUSES), iter(ACCOUNT_PAUSES)
        while True:
            try:
                policy = kind.read_policy(names)
            except GoogleError as error:
                if error.status == 404:
                    raise
                raise ProviderError(
                    f"Error retrieving IAM policy for {describe}: {error}"
                ) from error
            try:
                return kind.write_policy(names, {**modify(policy), "version": kind.target.version})
            except GoogleError as error:
                if error.status == 409:
                    pause, said = next(conflicts, None), "Too many conflicts.  Latest error: "
                elif error.status == 400 and "does not exist" in error.message:
                    pause, said = next(absences, None), ""
                else:
                    pause, said = None, ""
                if pause is None:
                    raise ProviderError(
                        f"Error applying IAM policy for {describe}: {said}"
                        f"Error setting IAM policy for {describe}: {error}"
                    ) from error
            self._gcp.google.sleep(pause)

    def _confirm(
        self, kind: Member, names: Mapping[str, str], modify: Modify, describe: str
    ) -> None:
        """Read until the change has been seen three times: reads may come from an old replica."""
        seen, pause = 0, 1.0
        while seen < CONFIRMATIONS:
            policy = kind.read_policy(names)
            if modify(policy) == normalised(policy):
                seen += 1
                continue
            if pause > 30.0:
                raise ProviderError(
                    f"Error applying IAM policy to {describe}: Waited too long for propagation."
                )
            self._gcp.google.sleep(pause)
            pause *= 2


def add(policy: Policy, grants: Iterable[Props]) -> Policy:
    members = _members(policy)
    for grant in grants:
        members[_key(grant["role"], grant.get("condition"))].add(_folded(grant["member"]))
    return _with_members(policy, members)


def remove(policy: Policy, grants: Iterable[Props]) -> Policy:
    members = _members(policy)
    for grant in grants:
        members[_key(grant["role"], grant.get("condition"))].discard(_folded(grant["member"]))
    return _with_members(policy, members)


def normalised(policy: Policy) -> Policy:
    return _with_members(policy, _members(policy))


def _members(policy: Policy) -> dict[tuple[str, ...], set[str]]:
    members: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for binding in policy.get("bindings", []):
        key = _key(binding["role"], binding.get("condition"))
        members[key].update(map(_folded, binding.get("members", [])))
    return members


def _with_members(policy: Policy, members: Mapping[tuple[str, ...], set[str]]) -> Policy:
    bindings = []
    for (role, *condition), granted in sorted(members.items()):
        if granted:
            binding: Props = {"members": sorted(granted), "role": role}
            if any(condition):
                parts = zip(CONDITION, condition, strict=True)
                binding["condition"] = {name: value for name, value in parts if value}
            bindings.append(binding)
    rest = {key: copy.deepcopy(value) for key, value in policy.items() if key != "bindings"}
    return {**rest, "bindings": bindings} if bindings else rest


def _key(role: str, condition: Props | None) -> tuple[str, ...]:
    return (role, *((condition or {}).get(name) or "" for name in CONDITION))


def _folded(member: str) -> str:
    """IAM ignores the case of e-mail addresses, and so does the official plugin."""
    kind, _, name = member.partition(":")
    return f"{kind}:{name.lower()}" if kind in ("user", "group", "serviceAccount") else member
