"""Resource types as data: `Spec` says what one is, `Rest` acts on it by plain REST."""

from __future__ import annotations

import hashlib
import os
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final
from urllib.parse import quote

from pulumi_plugin.kinds import (
    Change,
    Context,
    Failure,
    Kind,
    PartialFailure,
    ProviderError,
    Resource,
)
from pulumi_plugin.values import Props, is_known
from standin.checks import check
from standin.fields import (
    DEFAULTS,
    PROJECT,
    Choice,
    Field,
    changed,
    expand,
    flatten,
    inputs_of,
    replaces,
    secrets_of,
    without_defaults,
)
from standin.google import GoogleError
from standin.provider import NOT_SET, Provider

NAME_LENGTH: Final = 255


@dataclass(frozen=True)
class AutoName:
    """The input that is named after the resource where the program does not name it."""

    input: str = "name"
    longest: int = NAME_LENGTH

    def name(self, resource: str, seed: bytes) -> str:
        """As the bridge makes it, whether or not Google takes such a name for such a resource."""
        suffix = hashlib.sha256(seed or os.urandom(8)).hexdigest()[:7]
        return f"{resource}-"[: self.longest - len(suffix)] + suffix


@dataclass(frozen=True)
class Spec:
    """A resource type. `base`, `collection` and `id` are templates over its path properties."""

    token: str
    noun: str  # in errors, as in "Error creating Endpoint"
    title: str  # in errors about reading, as in "VertexAIEndpoint"
    fields: tuple[Field, ...]
    base: str = ""
    collection: str = ""
    id: str = ""
    create_query: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)  # of every create, read and update
    create: str = "POST"
    update: str = "PATCH"
    update_verb: str = ""  # what follows the path in an update, as ":commit"
    masked: bool = False  # an update names what changed
    update_always: tuple[str, ...] = ()  # sent by an update even when empty
    operations: bool = False  # create and delete answer with a long-running operation
    update_operations: bool = False  # and so does an update
    autoname: AutoName | None = None
    choices: tuple[Choice, ...] = ()
    delete_first: bool = False  # replaced by deleting it first, whoever named it
    source: str = ""  # of what the official plugin does: a file of its, or of Google's provider


class Declared(Kind):
    """A resource type whose properties are declared: check, diff and preview follow from them.

    `provided` says which setting of the provider stands in for an input that the program leaves
    open. For docs/reference/stand-in.md: what it waits for and refuses beside what `spec` says.
    """

    spec: Spec
    provided: Mapping[str, str] = MappingProxyType({"project": "project", "region": "region"})
    waits: str = ""
    refuses: str = ""
    plans_project = True  # a preview needs the project already

    def __init__(self, provider: Provider) -> None:
        self.provider = provider
        self.labelled = self._has("effectiveLabels")
        self.secrets = secrets_of(self.spec.fields)

    def check(
        self, inputs: Props, old_inputs: Props, context: Context
    ) -> tuple[Props, list[Failure]]:
        auto = self.spec.autoname
        named = dict(inputs)
        if auto and inputs.get(auto.input) is None:
            kept = auto.input in old_inputs.get(DEFAULTS, ())
            named[auto.input] = (
                old_inputs[auto.input] if kept else auto.name(context.name, context.seed)
            )
        checked, failures = check(self.spec.fields, named, choices=self.spec.choices)
        if auto and inputs.get(auto.input) is None:
            checked[DEFAULTS] = sorted({*checked[DEFAULTS], auto.input})
        return checked, failures

    def diff(self, id: str, old_inputs: Props, old_outputs: Props, inputs: Props) -> Change:
        differing = self.changes(old_inputs, old_outputs, inputs)
        replacing = {item.name for item in differing if replaces(item, old_inputs, inputs)}
        updates = [item.name for item in differing if item.name not in replacing]
        if self.labelled and "labels" not in updates and self.labels_drift(old_outputs, inputs):
            updates.append("effectiveLabels")
        first = bool(replacing) and (self.spec.delete_first or self.named(inputs))
        return Change(tuple(updates), tuple(sorted(replacing)), delete_before_replace=first)

    def named(self, inputs: Props) -> bool:
        """Whether the program chose a name that it might have left to the plugin.

        The bridge has any replacement of such a resource delete it first, also when the new one
        has another name (pulumi-terraform-bridge, tfbridge/schema.go,
        nameRequiresDeleteBeforeReplace).
        """
        auto = self.spec.autoname
        return (
            auto is not None
            and auto.input in inputs
            and DEFAULTS in inputs
            and auto.input not in inputs[DEFAULTS]
        )

    def changes(self, old_inputs: Props, old_outputs: Props, inputs: Props) -> list[Field]:
        return [item for item in self.spec.fields if changed(item, old_inputs, old_outputs, inputs)]

    def labels_drift(self, old_outputs: Props, inputs: Props) -> bool:
        planned, now = self.provider.labels(inputs), old_outputs.get("effectiveLabels") or {}
        gone = set(old_outputs.get("pulumiLabels") or {}) - set(planned)
        return bool(gone) or any(now.get(name) != value for name, value in planned.items())

    def preview(self, inputs: Props, old_outputs: Props | None) -> Props:
        known = {} if old_outputs is None else dict(old_outputs)
        for item in self.spec.fields:
            value = inputs.get(item.name)
            if value is not None:
                known[item.name] = without_defaults(value)
            elif not (item.computed or item.output or item.path):
                known[item.name] = item.absent
        if self.labelled and is_known(inputs.get("labels")):
            known |= self.planned_labels(inputs, old_outputs or {})
        if "project" not in known and self._has("project"):
            known |= self._planned_project()
        return known

    def _planned_project(self) -> Props:
        """The provider's project; without one a plan fails already (DefaultProviderProject)."""
        if self.provider.project:
            return {"project": self.provider.project}
        if PROJECT in self.spec.fields and self.provider.knows("project") and self.plans_project:
            said = "Failed to retrieve project, pid: , err:"
            raise ProviderError(f"{said} {NOT_SET['project']}")
        return {}

    def planned_labels(self, inputs: Props, old_outputs: Props) -> Props:
        """Labels as they will be: those that others set on the resource stay."""
        planned = self.provider.labels(inputs)
        ours = old_outputs.get("pulumiLabels") or {}
        theirs = {
            name: value
            for name, value in (old_outputs.get("effectiveLabels") or {}).items()
            if name not in ours
        }
        return {"pulumiLabels": planned, "effectiveLabels": {**theirs, **planned}}

    def _has(self, name: str) -> bool:
        return any(item.name == name for item in self.spec.fields)

    def names(self, id: str, inputs: Props, outputs: Props) -> dict[str, str]:
        """Values for the templates: from the id, the inputs, the state, or the provider."""
        known: dict[str, str] = {}
        for item in self.spec.fields:
            value = inputs.get(item.name) or outputs.get(item.name)
            if isinstance(value, str):
                known[item.name] = value
        known |= self.parse(id) if id else {}
        for name, setting in self.provided.items():
            if self._has(name) and not known.get(name):
                known[name] = self.provider.setting(setting, name)
        return known

    def parse(self, id: str) -> dict[str, str]:
        """Path properties in `id`, which may leave out literal parts and leading properties."""
        names = re.findall(r"{(\w+)}", self.spec.id)
        pattern = re.sub(r"\\{(\w+)\\}", r"(?P<\1>.+?)", re.escape(self.spec.id))
        whole = re.fullmatch(pattern, id)
        if whole:
            return whole.groupdict()
        parts = id.split("/")
        if len(parts) > len(names):
            raise ProviderError(
                f'import id "{id}" doesn\'t match any of the accepted formats: '
                f"{self.spec.id}, {'/'.join(f'{{{n}}}' for n in names)}"
            )
        return dict(zip(names[-len(parts) :], parts, strict=True))

    def fetch(self, id: str, url: str, query: Mapping[str, str] | None = None) -> Props | None:
        """What Google answers about the resource; None when it does not exist."""
        try:
            return self.provider.google.call("GET", url, query)
        except GoogleError as error:
            if error.status == 404:
                return None
            raise ProviderError(
                f'Error when reading or editing {self.spec.title} "{id}": {error}'
            ) from error

    def refuses_deletion(self, id: str, outputs: Props) -> bool:
        """Whether the resource is left in the cloud; raises ProviderError if it may not go."""
        policy = outputs.get("deletionPolicy")
        if policy == "PREVENT":
            raise ProviderError(
                f"cannot destroy {self.spec.title} {id!r} without setting "
                'deletionPolicy="DELETE" and running `pulumi up`'
            )
        return bool(policy == "ABANDON")


class Rest(Declared):
    """A resource with one collection, one path, and the usual four methods."""

    def body(self, inputs: Props, outputs: Props, *, update: bool) -> Props:
        fields = self.spec.fields
        if update and self.spec.update == "PATCH":
            fields = tuple(item for item in fields if not item.new or item.mask)
        values = without_defaults(inputs)
        for item in fields:
            if item.computed and item.name not in values and outputs.get(item.name) is not None:
                values[item.name] = outputs[item.name]
        body = expand(fields, values, self.spec.update_always if update else ())
        if self.labelled and self.planned_labels(inputs, outputs)["effectiveLabels"]:
            body["labels"] = self.planned_labels(inputs, outputs)["effectiveLabels"]
        return body

    def outputs(self, id: str, answer: Props, inputs: Props, *, created: bool) -> Props:
        """The state of the resource that Google describes by `answer`."""
        given = without_defaults(inputs)
        outputs = flatten(self.spec.fields, answer, given, None if created else {})
        if self.labelled:
            outputs |= self._labels_of(answer.get("labels") or {}, given, created)
        names = self.names(id, inputs, {})
        return outputs | {item.name: names[item.name] for item in self.spec.fields if item.path}

    def _labels_of(self, found: Props, inputs: Props, created: bool) -> Props:
        defaults = self.provider.labels({})
        mine = inputs.get("labels")
        if mine is None:
            labels: Props | None = None if created else {}
            if not created and not inputs:  # an import takes over every label but the provider's
                labels = {k: v for k, v in found.items() if k not in defaults}
        else:
            labels = {name: found[name] for name in mine if name in found}
        return {
            "labels": labels,
            "effectiveLabels": found,
            "pulumiLabels": {
                k: v for k, v in found.items() if k in defaults or k in (labels or {})
            },
        }

    def base(self, names: Mapping[str, str]) -> str:
        return self.spec.base.format_map(names)

    def url(self, id: str, names: Mapping[str, str]) -> str:
        return f"{self.base(names)}/{quote(id, safe='/@:~%')}"

    def create(self, inputs: Props, context: Context) -> tuple[str, Props]:
        names = self.names("", inputs, {})
        base, noun = self.base(names), self.spec.noun
        known = defaultdict(str, names)
        query = {key: value.format_map(known) for key, value in self.spec.create_query.items()}
        try:
            answer = self.provider.google.call(
                self.spec.create,
                f"{base}/{self.spec.collection.format_map(names)}",
                {**self.spec.query, **query},
                self.body(inputs, {}, update=False),
            )
        except GoogleError as error:
            raise ProviderError(f"Error creating {noun}: {error}") from error
        if self.spec.operations:
            try:
                self.provider.google.wait(base, answer, f"Creating {noun}", context)
            except ProviderError as error:
                raise ProviderError(f"Error waiting to create {noun}: {error}") from error
        id = self.id_of(names, answer)
        return id, self.read_created(id, inputs, context)

    def id_of(self, names: Mapping[str, str], answer: Props) -> str:
        """The id of what was made with `names`; `answer` is Google's to the request."""
        return self.spec.id.format_map(names)

    def read_created(self, id: str, inputs: Props, context: Context) -> Props:
        try:
            answer = self.get(id, inputs, {})
        except ProviderError as error:
            planned = self.preview(inputs, None)
            raise PartialFailure(id, planned, inputs, str(error)) from error
        if answer is None:
            reason = f"{self.spec.title} {id!r} was not found after it was created"
            raise PartialFailure(id, self.preview(inputs, None), inputs, reason)
        return self.outputs(id, answer, inputs, created=True)

    def get(self, id: str, inputs: Props, outputs: Props) -> Props | None:
        """Google's description of the resource; None when it does not exist."""
        names = self.names(id, inputs, outputs)
        return self.fetch(id, self.url(self.spec.id.format_map(names), names), self.spec.query)

    def read(self, id: str, inputs: Props, outputs: Props, context: Context) -> Resource | None:
        answer = self.get(id, inputs, outputs)
        if answer is None:
            return None
        canonical = self.spec.id.format_map(self.names(id, inputs, outputs))
        found = self.outputs(canonical, answer, inputs, created=False)
        # Of the provider's own properties only the state knows.
        for item in self.spec.fields:
            if item.local and item.name in outputs:
                found[item.name] = outputs[item.name]
        return Resource(canonical, inputs_of(self.spec.fields, inputs, found), found)

    def update(
        self, id: str, old_inputs: Props, old_outputs: Props, inputs: Props, context: Context
    ) -> Props:
        differing = self.changes(old_inputs, old_outputs, inputs)
        sent = self.mask(differing, old_outputs, inputs)
        if not sent:
            return old_outputs | self.preview(inputs, old_outputs)
        names = self.names(id, inputs, old_outputs)
        query = dict(self.spec.query)
        if self.spec.masked:
            query["updateMask"] = ",".join(sent)
        try:
            operation = self.provider.google.call(
                self.spec.update,
                self.url(id, names) + self.spec.update_verb,
                query,
                self.body(inputs, old_outputs, update=True),
            )
        except GoogleError as error:
            raise ProviderError(f'Error updating {self.spec.noun} "{id}": {error}') from error
        if self.spec.update_operations:
            activity = f"Updating {self.spec.noun}"
            self.provider.google.wait(self.base(names), operation, activity, context)
        answer = self.get(id, inputs, old_outputs)
        if answer is None:
            raise ProviderError(f"{self.spec.title} {id!r} was deleted while it was updated")
        return self.outputs(id, answer, inputs, created=False)

    def mask(self, differing: list[Field], old_outputs: Props, inputs: Props) -> list[str]:
        """What an update names as changed; nothing is sent where that is nothing."""
        sent = list(dict.fromkeys(self.mask_name(item) for item in differing if not item.local))
        if self.labelled and "labels" not in sent and self.labels_drift(old_outputs, inputs):
            sent.append("labels")
        return sent

    @staticmethod
    def mask_name(item: Field) -> str:
        return item.mask or (item.api or item.name).partition(".")[0]

    def delete(self, id: str, inputs: Props, outputs: Props, context: Context) -> None:
        if self.refuses_deletion(id, outputs):
            return
        names, noun = self.names(id, inputs, outputs), self.spec.noun
        try:
            answer = self.provider.google.call(
                "DELETE", self.url(id, names), self.delete_query(outputs)
            )
        except GoogleError as error:
            if error.status == 404:
                return
            raise ProviderError(f"Error when reading or editing {noun}: {error}") from error
        self.await_deletion(id, names, answer, context)

    def await_deletion(
        self, id: str, names: Mapping[str, str], answer: Props, context: Context
    ) -> None:
        if self.spec.operations:
            activity = f"Deleting {self.spec.noun}"
            self.provider.google.wait(self.base(names), answer, activity, context)

    def delete_query(self, outputs: Props) -> dict[str, str]:
        return {}
