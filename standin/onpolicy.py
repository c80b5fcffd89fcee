"""Parts of an allow policy as resource types: the policy is read, changed and written as a whole.

The sequence is the official plugin's (provider-contract/core): one read, one write, three reads
that have to agree, and one read for each resource that was in the batch. Whatever is part of one
project's policy, a member, a whole binding or an audit configuration, shares batches with the rest.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial, reduce
from typing import Any, Final

from pulumi_plugin.kinds import ProviderError
from pulumi_plugin.values import Props
from standin.allow import VERSION, Modify, Policy, same_policy
from standin.fields import Field
from standin.google import GoogleError
from standin.provider import Provider
from standin.resource import Declared, Spec

CONFIRMATIONS: Final = 3
CONFLICTS: Final = frozenset({409, 412})  # Cloud Storage says 412
PAUSES: Final = (1.0, 2.0, 4.0, 8.0, 16.0)  # seconds: conflicts, absences, old replicas


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
    # The one name of what may be named in many ways.
    whole: Callable[[str, Provider], str] | None = None
    delete_first: bool = False
    source: str = ""  # as of Spec


class OnPolicy(Declared):
    """A resource type that is a part of the allow policy of `target`."""

    waits = "the policy to read three times as it was written"
    plans_project = False

    def __init__(self, provider: Provider, target: Target, fields: tuple[Field, ...]) -> None:
        title = target.token.rpartition(":")[2]
        self.spec = Spec(
            target.token,
            title,
            title,
            (*target.fields, *fields),
            id=target.path,
            delete_first=target.delete_first,
            source=target.source,
        )
        super().__init__(provider)
        self.target = target

    def modify(self, names: Mapping[str, str], title: str, change: Modify) -> None:
        """Write the policy with `change`, in one write with others that come within a moment."""
        if self.target.batched:
            key = f"modify the IAM policy of {self._describe(names)}"
            self.provider.batcher.run(key, title, change, partial(self._send, names))
        else:
            self._send(names, [change])

    def _send(self, names: Mapping[str, str], changes: list[Modify]) -> None:
        def modify(policy: Policy) -> Policy:
            return reduce(lambda changed, change: change(changed), changes, policy)

        with self.provider.locks[self._describe(names)]:
            self._write(names, modify)
            self._confirm(names, modify)

    def _write(self, names: Mapping[str, str], modify: Modify) -> None:
        describe = self._describe(names)
        conflicts, absences = iter(PAUSES), iter(PAUSES)
        while True:
            try:
                policy = self.read_policy(names)
            except GoogleError as error:
                if error.status == 404:
                    raise
                raise self.failed(names, error) from error
            changed = modify(policy)
            if self.target.version != VERSION:
                changed["version"] = self.target.version
            try:
                return self.write_policy(names, changed)
            except GoogleError as error:
                if error.status in CONFLICTS:
                    pause, said = next(conflicts, None), "to {}: Too many conflicts.  Latest error"
                elif error.status == 400 and "does not exist" in error.message:
                    pause, said = next(absences, None), "for {}"
                else:
                    pause, said = None, "for {}"
                if pause is None:
                    raise ProviderError(
                        f"Error applying IAM policy {said.format(describe)}: "
                        f"Error setting IAM policy for {describe}: {error}"
                    ) from error
            self.provider.google.sleep(pause)

    def _confirm(self, names: Mapping[str, str], modify: Modify) -> None:
        """Read until the change has been seen three times: reads may come from an old replica."""
        seen, pauses = 0, iter(PAUSES)
        while seen < CONFIRMATIONS:
            policy = self.read_policy(names)
            if same_policy(modify(policy), policy):
                seen += 1
                continue
            pause = next(pauses, None)
            if pause is None:
                raise ProviderError(
                    f"Error applying IAM policy to {self._describe(names)}: "
                    "Waited too long for propagation."
                )
            self.provider.google.sleep(pause)

    def read_policy(self, names: Mapping[str, str]) -> Policy:
        method, suffix = self.target.get
        url = self.target.url.format_map(names) + suffix
        return self.provider.google.call(method, url, self.target.get_query, self.target.get_body)

    def find_policy(self, names: Mapping[str, str]) -> Policy | None:
        """The policy; None where what it is attached to is gone."""
        try:
            return self.read_policy(names)
        except GoogleError as error:
            if error.status == 404:
                return None
            raise self.failed(names, error) from error

    def write_policy(self, names: Mapping[str, str], policy: Policy) -> None:
        method, suffix = self.target.set
        body: Props = {"policy": policy, **self.target.set_body}
        if not self.target.wrapped:
            body = policy
            if "bindings" not in policy:
                body = {key: value for key, value in policy.items() if key != "etag"}
        self.provider.google.call(method, self.target.url.format_map(names) + suffix, None, body)

    def names(self, id: str, inputs: Props, outputs: Props) -> dict[str, str]:
        """The resource may be given by its name or by its whole path."""
        given = str(inputs[self.target.property])
        if self.target.whole:
            given = self.target.whole(given, self.provider)
            inputs = {**inputs, self.target.property: given}
        pattern = re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", re.escape(self.target.path))
        whole = re.fullmatch(pattern, given)
        names = super().names("", {**inputs, **(whole.groupdict() if whole else {})}, {})
        if "{provider_region}" in self.target.url:
            names["provider_region"] = self.provider.setting("region")
        if "location" not in names and self._has("location"):
            names["location"] = self.provider.setting("location")
        return names

    def failed(self, names: Mapping[str, str], error: ProviderError) -> ProviderError:
        return ProviderError(f"Error retrieving IAM policy for {self._describe(names)}: {error}")

    def _describe(self, names: Mapping[str, str]) -> str:
        return self.target.describe.format_map(names)
