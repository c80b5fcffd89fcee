"""What a project's allow policy says as a whole about one role, or about one service's logs."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final

from pulumi_plugin.kinds import Context, ProviderError, Resource
from pulumi_plugin.values import Props
from standin import allow
from standin.allow import CONDITION, Modify, Policy
from standin.fields import Field, flatten, inputs_of, without_defaults
from standin.google import GoogleError
from standin.iam import PROJECT_TARGET, ROLE_FIELDS, member_of
from standin.onpolicy import OnPolicy
from standin.provider import Provider


def same_members(members: Any) -> list[str]:
    return sorted({allow.folded(member) for member in members})


def _members(name: str, value: Any) -> list[str]:
    """KIND:NAME or allUsers and the like, and not deleted:..."""
    items = enumerate(value if isinstance(value, list) else ())
    return [bad for index, member in items for bad in member_of(f"{name}.{index}", member)]


BINDING_FIELDS: Final = (
    *ROLE_FIELDS,
    Field("members", "set", required=True, zero=[], alike=same_members, valid=_members),
)
AUDIT_FIELDS: Final = (
    Field("service", required=True),
    Field(
        "auditLogConfigs",
        "keyed",
        key="logType",
        required=True,
        of=(Field("logType", path=True, required=True), Field("exemptedMembers", "set", zero=[])),
    ),
    Field("etag", output=True),
)


class Whole(OnPolicy):
    """A part of the policy that the program sets as a whole: a change is one more write of it."""

    token: str
    source: str
    fields: tuple[Field, ...]
    set_title: str
    drop_title: str

    def __init__(self, provider: Provider) -> None:
        target = replace(PROJECT_TARGET, token=self.token, source=self.source, delete_first=False)
        super().__init__(provider, target, self.fields)

    @abstractmethod
    def write(self, part: Props) -> Modify: ...

    @abstractmethod
    def drop(self, part: Props) -> Modify: ...

    @abstractmethod
    def id(self, names: Mapping[str, str], part: Props) -> str: ...

    @abstractmethod
    def shown(self, part: Props, policy: Policy) -> Props | None:
        """Outputs as the policy has them; None when it has nothing of the kind."""

    @abstractmethod
    def imported(self, id: str) -> Props:
        """The inputs that an import id names."""

    def create(self, inputs: Props, context: Context) -> tuple[str, Props]:
        part = without_defaults(inputs)
        names = self.names("", part, {})
        self._modify(self.set_title, names, part, self.write(part))
        found = self._found(names, part)
        if found is None:
            raise ProviderError(f"{self.id(names, part)} was not found after it was written")
        return self.id(names, part), found

    def read(self, id: str, inputs: Props, outputs: Props, context: Context) -> Resource | None:
        part = without_defaults(inputs) if inputs else self.imported(id)
        names = self.names("", part, {})
        found = self._found(names, part)
        if found is None:
            return None
        part = part | {name: found[name] for name in ("condition",) if found.get(name)}
        known = inputs_of(self.spec.fields, inputs, found)
        return Resource(self.id(names, part), known, found)

    def update(
        self, id: str, old_inputs: Props, old_outputs: Props, inputs: Props, context: Context
    ) -> Props:
        return self.create(inputs, context)[1]

    def delete(self, id: str, inputs: Props, outputs: Props, context: Context) -> None:
        part = without_defaults(inputs or outputs)
        names = self.names("", part, {})
        try:
            self._modify(self.drop_title, names, part, self.drop(part))
            self.read_policy(names)
        except GoogleError as error:
            if error.status != 404:  # the project is gone, and its policy with it
                raise self.failed(names, error) from error

    def _modify(self, title: str, names: dict[str, str], part: Props, change: Modify) -> None:
        # The official plugin quotes what it quotes already.
        describe = json.dumps(self.target.describe.format_map(names))
        self.modify(names, title.format(describe=describe, **part), change)

    def _found(self, names: Mapping[str, str], part: Props) -> Props | None:
        policy = self.find_policy(names)
        if policy is None:
            return None
        found = self.shown(part, policy)
        if found is None:
            return None
        return {**found, "project": names["project"], "etag": policy.get("etag", "")}


class Binding(Whole):
    """All members of a role. One that the policy has lost is a binding without members."""

    token = "gcp:projects/iAMBinding:IAMBinding"
    source = "tpgiamresource/resource_iam_binding.go"
    fields = BINDING_FIELDS
    set_title = 'Set IAM Binding for role "{role}" on {describe}'
    drop_title = 'Delete IAM Binding for role "{role}" on {describe}'

    def write(self, part: Props) -> Modify:
        return partial(allow.set_binding, binding=part)

    def drop(self, part: Props) -> Modify:
        return partial(allow.drop_binding, binding=part)

    def id(self, names: Mapping[str, str], part: Props) -> str:
        condition = part.get("condition")
        parts = [condition.get(name) or "" for name in CONDITION] if condition else []
        return "/".join([names["project"], part["role"], *parts])

    def shown(self, part: Props, policy: Policy) -> Props | None:
        condition = part.get("condition")
        if condition and "expression" not in condition:  # an import gives only the title
            condition = _titled(part, policy)
        if condition:
            condition = {name: condition.get(name) or "" for name in CONDITION}
        members = allow.members_of(policy, {**part, "condition": condition})
        return {"role": part["role"], "members": sorted(members), "condition": condition or None}

    def imported(self, id: str) -> Props:
        parts = id.split(" ", 2)
        if len(parts) < 2:
            raise ProviderError(
                f"Wrong number of parts to Binding id {id!r}; expected 'resource_name role "
                "[condition_title]'"
            )
        condition = {"condition": {"title": parts[2]}} if len(parts) == 3 else {}
        return {"project": parts[0], "role": parts[1], **condition}


def _titled(part: Props, policy: Policy) -> Props:
    for binding in policy.get("bindings", []):
        condition = binding.get("condition") or {}
        same_title = condition.get("title") == part["condition"]["title"]
        if binding["role"] == part["role"] and same_title:
            return dict(condition)
    raise ProviderError(
        f"the policy has no binding of {part['role']} under a condition with the title "
        f"{part['condition']['title']!r}"
    )


class AuditConfig(Whole):
    """Which data access logs a service writes."""

    token = "gcp:projects/iAMAuditConfig:IAMAuditConfig"
    source = "tpgiamresource/resource_iam_audit_config.go"
    fields = AUDIT_FIELDS
    set_title = "Overwrite audit config for service {service} on resource {describe}"
    drop_title = "Delete audit config for service {service} on resource {describe}"

    def write(self, part: Props) -> Modify:
        logs = [_log(log) for log in part["auditLogConfigs"]]
        config = {"service": part["service"], "auditLogConfigs": logs}
        return partial(allow.set_audits, config=config)

    def drop(self, part: Props) -> Modify:
        return partial(allow.drop_audits, config=part)

    def id(self, names: Mapping[str, str], part: Props) -> str:
        return f"{names['project']}/audit_config/{part['service']}"

    def shown(self, part: Props, policy: Policy) -> Props | None:
        for config in policy.get("auditConfigs", []):
            if config["service"] == part["service"]:
                logs = {log["logType"]: log for log in config["auditLogConfigs"]}
                shown = {"service": config["service"], "auditLogConfigs": logs}
                return flatten(AUDIT_FIELDS, shown, part, {})
        return None

    def imported(self, id: str) -> Props:
        parts = id.split(" ")
        if len(parts) != 2:
            raise ProviderError(
                f"Wrong number of parts to AuditConfig id {id!r}; expected 'resource_name service'"
            )
        return {"project": parts[0], "service": parts[1]}


def _log(log: Props) -> Props:
    exempt = log.get("exemptedMembers")
    return {"logType": log["logType"], **({"exemptedMembers": sorted(exempt)} if exempt else {})}
