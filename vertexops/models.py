"""RegisteredModel: one version of a model in the Vertex AI Model Registry.

A version made by us carries an alias derived from its content, so that a run after a crash adopts
what the first one uploaded; and its description holds the whole digest, so that an import knows it.
Display name and description belong to the model, labels to either (model_service.proto,
UpdateModelRequest): those of a program are given to the version.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Protocol

from pulumi_plugin.kinds import Change, Context, Failure, Kind, ProviderError, Resource
from pulumi_plugin.values import UNKNOWN, Props, changed_keys, is_known
from vertexops import containers, forms
from vertexops.errors import GoogleError, Json, explain
from vertexops.google import Google
from vertexops.schema import PACKAGE, REGISTERED_MODEL
from vertexops.waiting import ATTEMPTS, Clock, Operations, Waiting

DEADLINE = 1800
REQUIRED = ("modelId", "displayName", "artifactHash", "containerImageUri")
CONTENT = ("artifactHash", "artifactUri", "containerImageUri")
# The same, and part of an alias only where it is there: aliases of before it was known stay.
CONTENT_LATER = ("container", "kmsKey")
REPLACES = ("model", "project", "location", "modelId", *CONTENT, *CONTENT_LATER)
DRIFTS = ("displayName", "description", "labels")
STABLE = ("name", "versionId", "versionName", "createTime")

OURS = re.compile(r"sha-[0-9a-f]{12}-[0-9a-f]{8}")
DESCRIBED = re.compile(f"artifact ({forms.DIGEST.pattern})")


class Registry(Operations, Protocol):
    """What is used of `Vertex`."""

    def model(self, name: str) -> Json: ...
    def versions(self, name: str) -> list[Json]: ...
    def upload(self, body: Json) -> str: ...
    def update_model(self, model: Json, mask: str) -> None: ...
    def merge_aliases(self, name: str, aliases: list[str]) -> None: ...
    def delete_model(self, name: str) -> str: ...
    def delete_version(self, name: str) -> str: ...


def content_alias(inputs: Props) -> str:
    """`sha-` and 12 digits of the artifact's digest, then 8 for where and how it is served."""
    parts = [
        *(str(inputs.get(key) or "") for key in CONTENT),
        *(json.dumps(inputs[key], sort_keys=True) for key in CONTENT_LATER if inputs.get(key)),
    ]
    rest = hashlib.sha256("\n".join(parts).encode()).hexdigest()
    return f"sha-{inputs['artifactHash'][:12]}-{rest[:8]}"


class RegisteredModel(Kind):
    def __init__(self, google: Google, clock: Clock) -> None:
        self.google, self.clock = google, clock

    def check(
        self, inputs: Props, old_inputs: Props, context: Context
    ) -> tuple[Props, list[Failure]]:
        inputs, failures = PACKAGE.check(REGISTERED_MODEL, inputs)
        if "model" in inputs:
            failures += [
                Failure(key, "cannot be set together with model, which looks up a version")
                for key in inputs
                if key != "model"
            ]
            return inputs, failures + forms.MODEL.check(inputs["model"], "model")
        for key, default in (("project", self.google.project), ("location", self.google.region)):
            if default and key not in inputs:
                inputs[key] = default
        missing = [key for key in (*REQUIRED, "project", "location") if key not in inputs]
        if len(missing) == len(REQUIRED):
            return inputs, [
                *failures,
                Failure("model", f"is missing: give model, or {', '.join(REQUIRED)}"),
            ]
        failures += [Failure(key, "is missing") for key in missing]
        failures += forms.MODEL_ID.check(inputs.get("modelId"), "modelId")
        failures += forms.DIGEST.check(inputs.get("artifactHash"), "artifactHash")
        failures += forms.DIRECTORY.check(inputs.get("artifactUri"), "artifactUri")
        failures += forms.ACCOUNT.check(inputs.get("serviceAccount"), "serviceAccount")
        failures += forms.KMS_KEY.check(inputs.get("kmsKey"), "kmsKey")
        failures += containers.check(inputs.get("container"))
        aliases = inputs.get("versionAliases", [])
        for i, alias in enumerate(aliases if isinstance(aliases, list) else []):
            at = f"versionAliases[{i}]"
            failures += forms.ALIAS.check(alias, at)
            if alias == "default" or (isinstance(alias, str) and OURS.fullmatch(alias)):
                failures.append(Failure(at, f"{alias} is set by this resource itself"))
            elif alias is not UNKNOWN and alias in aliases[:i]:
                failures.append(Failure(at, f"{alias} is there twice"))
        return inputs, failures

    def diff(self, id: str, old_inputs: Props, old_outputs: Props, inputs: Props) -> Change:
        changed = changed_keys(old_inputs, inputs)
        replaces = tuple(key for key in changed if key in REPLACES)
        updates = tuple(key for key in changed if key not in REPLACES)
        return Change(updates, replaces, stables=STABLE)

    def preview(self, inputs: Props, old_outputs: Props | None) -> Props:
        unknown = dict.fromkeys((*STABLE, "versionAliases"), UNKNOWN)
        known: Props = {}
        if old_outputs:
            known = {key: old_outputs[key] for key in STABLE if key in old_outputs}
        elif is_known(inputs.get("model", UNKNOWN)):
            parts = forms.MODEL.parse(inputs["model"])
            known["name"] = inputs["model"].partition("@")[0]
            if parts["version"].isdigit():
                known |= {"versionId": parts["version"], "versionName": inputs["model"]}
        elif is_known([inputs.get(key, UNKNOWN) for key in ("project", "location", "modelId")]):
            known["name"] = _parent(inputs)
        return inputs | unknown | known

    def create(self, inputs: Props, context: Context) -> tuple[str, Props]:
        waiting = Waiting(context, DEADLINE, self.clock)
        if "model" in inputs:
            found = self._look_up(inputs["model"], waiting)
            return found["versionName"], inputs | found
        parent = _parent(inputs)
        step = f"uploading {parent}"
        registry = self._registry(inputs["location"])
        with self.google.locks[parent]:
            try:
                name = self._adopt(registry, parent, inputs, waiting)
                name = name or self._upload(registry, parent, inputs, waiting, step)
                version = waiting.call(registry.model, name)
            except GoogleError as error:
                raise explain(error, step, self.google) from error
        outputs = _outputs(version, parent)
        return outputs["versionName"], inputs | outputs

    def _registry(self, location: str) -> Registry:
        return self.google.vertex(location)

    def _adopt(self, registry: Registry, parent: str, inputs: Props, waiting: Waiting) -> str:
        """The version that an earlier run made of the same content, with its aliases; or ''."""
        version = _get(registry, f"{parent}@{content_alias(inputs)}", waiting)
        if version is None:
            return ""
        name = _outputs(version, parent)["versionName"]
        wanted = {*_default(inputs), *inputs.get("versionAliases", [])}
        missing = wanted - set(version["versionAliases"])
        if missing:
            waiting.call(registry.merge_aliases, name, sorted(missing))
        self._patch(registry, name, inputs, _inputs(version, inputs), waiting)
        return str(name)

    def _upload(
        self, registry: Registry, parent: str, inputs: Props, waiting: Waiting, step: str
    ) -> str:
        exists = _get(registry, parent, waiting) is not None
        body = {
            "parent": parent.rpartition("/models/")[0],
            **({"parentModel": parent} if exists else {"modelId": inputs["modelId"]}),
            **_given(inputs, serviceAccount="serviceAccount"),
            "model": {
                **_given(
                    inputs,
                    displayName="displayName",
                    description="description",
                    labels="labels",
                    artifactUri="artifactUri",
                ),
                "containerSpec": _specification(inputs),
                **encryption(inputs),
                "versionDescription": f"artifact {inputs['artifactHash']}",
                "versionAliases": [
                    content_alias(inputs),
                    *_default(inputs),
                    *inputs.get("versionAliases", []),
                ],
            },
        }
        started, doubtful = 0, exists
        while True:
            before = started
            try:
                operation = registry.upload(body)
                started += 1
                response = waiting.operation(registry, operation, step)
            except GoogleError as error:
                repeat = error.is_transient or error.status == "ALREADY_EXISTS"
                failed = started > before
                if not repeat or (failed and started == ATTEMPTS) or not waiting.pause():
                    raise
                doubtful = True
            else:
                if doubtful:
                    self._drop_doubles(registry, parent, inputs, waiting)
                return f"{parent}@{response['modelVersionId']}"
            # The call that failed, or an earlier run's, may be carried out all the same.
            if name := self._adopt(registry, parent, inputs, waiting):
                return name

    def _drop_doubles(
        self, registry: Registry, parent: str, inputs: Props, waiting: Waiting
    ) -> None:
        """Delete what an upload left that nobody heard of: the same content without any alias.

        Its aliases have moved to the version that was uploaded last.
        """
        wanted = containers.from_google(_specification(inputs))
        for version in waiting.call(registry.versions, parent):
            same = (
                version.get("versionDescription") == f"artifact {inputs['artifactHash']}"
                and version.get("artifactUri", "") == inputs.get("artifactUri", "")
                and containers.from_google(version.get("containerSpec", {})) == wanted
                and version.get("encryptionSpec") == encryption(inputs).get("encryptionSpec")
            )
            if same and not version.get("versionAliases") and not version.get("deployedModels"):
                name = f"{parent}@{version['versionId']}"
                waiting.whole(registry, f"deleting {name}", registry.delete_version, name)

    def _look_up(self, name: str, waiting: Waiting) -> Props:
        parent = name.partition("@")[0]
        try:
            found = waiting.call(self._registry(forms.MODEL.parse(name)["location"]).model, name)
        except GoogleError as error:
            raise explain(error, f"looking up {name}", self.google) from error
        return _outputs(found, parent)

    def read(self, id: str, inputs: Props, outputs: Props, context: Context) -> Resource | None:
        waiting = Waiting(context, DEADLINE, self.clock)
        looked_up = inputs.get("model")
        name = looked_up or id
        try:
            parts = forms.MODEL.parse(name)
            version = _get(self._registry(parts["location"]), name, waiting)
        except ValueError as error:
            raise ProviderError(f"the id {error}") from error
        except GoogleError as error:
            raise explain(error, f"reading {name}", self.google) from error
        if version is None:
            return None
        found = _outputs(version, name.partition("@")[0])
        if looked_up:
            return Resource(found["versionName"], inputs, inputs | found)
        now = _inputs(version, inputs) if inputs else _imported(version, parts) or {"model": id}
        return Resource(found["versionName"], now, now | found)

    def update(
        self, id: str, old_inputs: Props, old_outputs: Props, inputs: Props, context: Context
    ) -> Props:
        waiting = Waiting(context, DEADLINE, self.clock)
        registry = self._registry(inputs["location"])
        before = {*_default(old_inputs), *old_inputs.get("versionAliases", [])}
        # Another version takes the default: a model always has one.
        after = {*_default(inputs), *inputs.get("versionAliases", []), *(before & {"default"})}
        aliases = sorted(after - before) + [f"-{alias}" for alias in sorted(before - after)]
        try:
            self._patch(registry, id, inputs, old_inputs, waiting)
            if aliases:
                waiting.call(registry.merge_aliases, id, aliases)
            version = waiting.call(registry.model, id)
        except GoogleError as error:
            raise explain(error, f"updating {id}", self.google) from error
        return inputs | _outputs(version, id.partition("@")[0])

    def _patch(
        self, registry: Registry, name: str, inputs: Props, present: Props, waiting: Waiting
    ) -> None:
        """Bring display name and description of the model, then labels of the version, in line.

        Google shows a version with the labels of its model too, and both alike: what is still
        there once the version has the right ones is the model's.
        """
        parent = name.partition("@")[0]
        for target, keys in ((parent, DRIFTS[:2]), (name, DRIFTS[2:])):
            changed = [key for key in keys if inputs.get(key) != present.get(key)]
            if changed:
                self._set(registry, target, inputs, changed, waiting)
        wanted = inputs.get("labels") or {}
        if wanted != (present.get("labels") or {}):
            shown = waiting.call(registry.model, name).get("labels") or {}
            if shown != wanted:
                self._set(registry, parent, inputs, ["labels"], waiting)

    def _set(
        self, registry: Registry, target: str, inputs: Props, keys: list[str], waiting: Waiting
    ) -> None:
        model = {"name": target} | {key: inputs[key] for key in keys if key in inputs}
        waiting.call(registry.update_model, model, ",".join(keys))

    def delete(self, id: str, inputs: Props, outputs: Props, context: Context) -> None:
        if "model" in inputs:
            return
        waiting = Waiting(context, DEADLINE, self.clock)
        parent, _, version = id.partition("@")
        step = f"deleting {id}"
        registry = self._registry(forms.MODEL.parse(id)["location"])
        with self.google.locks[parent]:
            try:
                waiting.whole(
                    registry, step, self._start_delete, registry, parent, version, context, waiting
                )
            except GoogleError as error:
                if error.code != 404:
                    raise explain(error, step, self.google) from error

    def _start_delete(
        self, registry: Registry, parent: str, version: str, context: Context, waiting: Waiting
    ) -> str:
        """Neither the last nor the default version can be deleted as a version.

        A model goes with its last version; the default is moved to the newest one left.
        """
        name = f"{parent}@{version}"
        try:
            return waiting.call(registry.delete_version, name)
        except GoogleError as error:
            if error.code != 400:
                raise
            versions = {v["versionId"]: v for v in waiting.call(registry.versions, parent)}
            others = sorted((v for v in versions if v != version), key=int)
            if version in versions and not others:
                return waiting.call(registry.delete_model, parent)
            if "default" not in versions.get(version, {}).get("versionAliases", ()):
                raise
        waiting.call(registry.merge_aliases, f"{parent}@{others[-1]}", ["default"])
        context.warn(f"version {others[-1]} is now the default of {parent}")
        return waiting.call(registry.delete_version, name)


def _get(registry: Registry, name: str, waiting: Waiting) -> Json | None:
    try:
        return waiting.call(registry.model, name)
    except GoogleError as error:
        if error.code == 404:
            return None
        raise


def _default(inputs: Props) -> list[str]:
    return ["default"] if inputs.get("isDefault", True) else []


def _parent(inputs: Props) -> str:
    return "projects/{project}/locations/{location}/models/{modelId}".format(**inputs)


def _specification(inputs: Props) -> Json:
    return containers.to_google(inputs["containerImageUri"], inputs.get("container", {}))


def encryption(inputs: Props) -> Json:
    """The key that encrypts something, as Google has it; nothing where it is Google's own."""
    return {"encryptionSpec": {"kmsKeyName": key}} if (key := inputs.get("kmsKey")) else {}


def _given(inputs: Props, **names: str) -> Json:
    return {name: inputs[key] for key, name in names.items() if key in inputs}


def _outputs(version: Json, parent: str) -> Props:
    """Outputs under the name the program uses: Google may answer with the project's number."""
    return {
        "name": parent,
        "versionId": version["versionId"],
        "versionName": f"{parent}@{version['versionId']}",
        "createTime": version.get("versionCreateTime", ""),
        "versionAliases": version.get("versionAliases", []),
    }


def _inputs(version: Json, inputs: Props) -> Props:
    """The program's inputs, with what can drift as it is now.

    Aliases are left out where the program gives none: anyone may move theirs to this version.
    """
    kept = {key: value for key, value in inputs.items() if key not in DRIFTS}
    found = {key: version[key] for key in DRIFTS if version.get(key)}
    if (wanted := inputs.get("versionAliases")) is not None:
        aliases = [
            alias
            for alias in version.get("versionAliases", [])
            if alias != "default" and not OURS.fullmatch(alias)
        ]
        found["versionAliases"] = wanted if set(wanted) == set(aliases) else aliases
    return kept | found


def _imported(version: Json, parts: dict[str, str]) -> Props | None:
    """Inputs of a version that this provider made; None for anyone else's, which is looked up."""
    described = DESCRIBED.fullmatch(version.get("versionDescription", ""))
    if not described:
        return None
    image, container = containers.from_google(version.get("containerSpec", {}))
    inputs = {
        "project": parts["project"],
        "location": parts["location"],
        "modelId": parts["id"],
        **_given(version, artifactUri="artifactUri"),
        "artifactHash": described[1],
        "containerImageUri": image,
        **({"container": container} if container else {}),
        **_given(version.get("encryptionSpec", {}), kmsKeyName="kmsKey"),
    }
    return _inputs(version, inputs)
