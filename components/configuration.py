"""Typed settings of one environment, read from stack configuration.

`Pulumi.yaml` declares every key with its type, description and default; `Pulumi.<stack>.yaml` holds
the differences. All that is wrong is reported at once, each with its key, its value and what would
be valid.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import ValidationError
from pydantic.alias_generators import to_camel, to_snake

from components import permissions
from components.capacity import ServingQuota
from components.fields import Frozen, nearest
from components.models import (
    Accelerator,
    Autoscaling,
    Canary,
    CanaryGuard,
    Container,
    Model,
    OwnImage,
    Probe,
    Training,
    files,
)
from components.settings import Alerts, DeviceRegistry, Drift, Federation, RequestLog, Settings

IMPERSONATE: Final = "PREDICTIVE_MAINTENANCE_IMPERSONATE"
"""Environment variable that takes the setting's place, so that a preview needs no edited file."""

NOT_AS_THE_CALLER: Final = (
    "impersonate is false, which is for previews only: what the deployer made would be changed by "
    f"the caller. Nothing was done. Set it to true, or unset {IMPERSONATE}"
)

SECRET: Final = frozenset({"clearbladeCredentials"})
"""Keys whose value is text as it is, and is never shown."""

OWN: Final = frozenset({"layer", "settingsFrom", *SECRET})
"""Keys of a stack that has all others from another stack's file."""

NESTED: Final[Mapping[str, type[Frozen]]] = {
    "models": Model,
    "canary": Canary,
    "canary.container": OwnImage,
    "canaryGuard": CanaryGuard,
    "training": Training,
    "container": Container,
    "startupProbe": Probe,
    "healthProbe": Probe,
    "accelerator": Accelerator,
    "autoscaling": Autoscaling,
    "servingQuota": ServingQuota,
    "deviceRegistry": DeviceRegistry,
    "requestLog": RequestLog,
    "drift": Drift,
    "alerts": Alerts,
    "federation": Federation,
}
"""What the settings that hold others are made of."""


class SettingsError(ValueError):
    """Stack configuration that cannot be used; the message lists everything that is wrong."""

    def __init__(self, problems: list[str]) -> None:
        count = f"{len(problems)} setting{'s' * (len(problems) > 1)}"
        super().__init__("\n  ".join([f"{count} cannot be used:", *problems]))
        self.problems = problems


def load(root: Path) -> Settings:
    """Settings of the stack being run; `root` is the folder of `Pulumi.yaml`.

    Raises pulumi.RunError, which both hosts of Python programs print without a traceback.
    """
    import pulumi
    from pulumi.runtime import config

    namespace = f"{pulumi.get_project()}:"
    values = {**config.get_config_env(), **config.CONFIG.get()}
    given = {
        key.removeprefix(namespace): value
        for key, value in values.items()
        if key.startswith(namespace)
    }
    # Pulumi.yaml cannot say it: a key that is secret there has no default.
    for key in sorted(SECRET & given.keys()):
        if given[key] and not config.is_config_secret(f"{namespace}{key}"):
            raise pulumi.RunError(
                f"{key} is not encrypted in the stack's file: take it out of there and off the "
                f"record, and `pulumi config set --secret {key}` new ones"
            )
    try:
        given = with_others(given, root)
        if IMPERSONATE in os.environ:
            given["impersonate"] = os.environ[IMPERSONATE]
        settings = parse(given, root)
        if problems := collisions(settings, pulumi.get_stack(), root):
            raise SettingsError(problems)
    except SettingsError as error:
        raise pulumi.RunError(str(error)) from None
    if not settings.impersonate and not pulumi.runtime.is_dry_run():
        raise pulumi.RunError(NOT_AS_THE_CALLER)
    return settings


def collisions(settings: Settings, stack: str, root: Path) -> list[str]:
    """What `stack` would have in common with another stack in its project, of the stacks that have
    files of their own in `root`: things of one name, of which a project has one."""
    keys = ("accountPrefix", "rolePrefix", "namePrefix", "endpointId")
    ours = {key: getattr(settings, to_snake(key)) for key in keys}
    own = stacks(root)
    others = {it: written(it, root) for it in own if it != stack} if stack in own else {}
    return [
        f"{key}: {value!r} is that of {other} too, in the same project; give each "
        "stack in a project its own (docs/how-to/another-region.md)"
        for other, theirs in others.items()
        for key, value in ours.items()
        if theirs.get("project") == settings.project and theirs.get(key) == value
    ]


def written(stack: str, root: Path) -> dict[str, Any]:
    """What `Pulumi.<stack>.yaml` sets over the defaults of `Pulumi.yaml`, both in `root`, as YAML
    reads it; `parse` takes it as `raw`. Raises FileNotFoundError, SettingsError."""
    declared = yaml.safe_load((root / "Pulumi.yaml").read_text())["config"]
    given = yaml.safe_load((root / f"Pulumi.{stack}.yaml").read_text())["config"]
    values = {key: entry["default"] for key, entry in declared.items() if "default" in entry}
    own = {key.partition(":")[2]: value for key, value in given.items()}
    if not own.get("settingsFrom"):
        return values | own
    return _from_other(own, root)


def stacks(root: Path) -> dict[str, str]:
    """The stacks in `root` whose files hold settings, each with the one that has its other layer
    and takes them from there, or ''."""
    settings = {
        path.name.split(".")[1]: yaml.safe_load(path.read_text())["config"]
        for path in sorted(root.glob("Pulumi.*.yaml"))
    }
    own, layers = [], {}
    for stack, given in settings.items():
        others = [value for key, value in given.items() if value and key.endswith(":settingsFrom")]
        if others:
            layers[others[0]] = stack
        else:
            own.append(stack)
    return {stack: layers.get(stack, "") for stack in own}


def with_others(given: Mapping[str, str], root: Path) -> dict[str, str]:
    """`given` as Pulumi hands it to a program, with what `settingsFrom` names in place of the
    defaults. Raises SettingsError."""
    if not given.get("settingsFrom"):
        return dict(given)
    declared = yaml.safe_load((root / "Pulumi.yaml").read_text())["config"]
    own = {
        key: value
        for key, value in given.items()
        if yaml.safe_load(value) != declared.get(key, {}).get("default")
    }
    return raw(_from_other(own, root))


def _from_other(own: Mapping[str, Any], root: Path) -> dict[str, Any]:
    """The settings in the file of the stack that `own` names, and the layer in `own`."""
    other = own["settingsFrom"]
    if other not in stacks(root):
        said = f"there is no Pulumi.{other}.yaml with settings of its own in {root}"
        raise SettingsError([f"settingsFrom: {other!r}: {said}"])
    problems = [
        f"{key}: {value!r} is set here, and the environment's settings are in Pulumi.{other}.yaml: "
        "change it there"
        for key, value in sorted(own.items())
        if key not in OWN
    ]
    if problems:
        raise SettingsError(problems)
    values = written(other, root)
    return {**values, **own, "settingsFrom": ""}


def raw(values: Mapping[str, Any]) -> dict[str, str]:
    """Values as Pulumi hands them to a program: strings, with JSON for all that is not a string."""
    return {key: v if isinstance(v, str) else json.dumps(v) for key, v in values.items()}


def parse(raw: Mapping[str, str], root: Path) -> Settings:
    """Settings from raw configuration: strings, with JSON for all that is not a string.

    Raises SettingsError.
    """
    values = {
        key: value if key in SECRET else _decoded(value)
        for key, value in raw.items()
        if value != ""
    }
    problems: list[str] = []
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        problems = [line for detail in error.errors() for line in _lines(detail, raw)]
    models = values.get("models")
    for index, model in enumerate(models if isinstance(models, list) else ()):
        fields = model if isinstance(model, dict) else {}
        problems += _missing(f"models[{index}]", fields, root)
        problems += _missing(f"models[{index}].canary", fields.get("canary"), root)
    if problems:
        raise SettingsError(problems)
    return settings


def _missing(at: str, fields: Any, root: Path) -> Iterable[str]:
    """Files of a model, or of its canary, that are not there."""
    given: Mapping[str, Any] = fields if isinstance(fields, dict) else {}
    artifact, training = given.get("artifact"), given.get("training")
    data = training.get("data") if isinstance(training, dict) else None
    if isinstance(artifact, str) and not _there(root / artifact):
        yield (
            f"{at}.artifact: {artifact!r} is no file in {root}, and no folder with files; train "
            "one (`make model`) or correct the path"
        )
    if isinstance(data, str) and not (root / data).is_file():
        yield f"{at}.training.data: {data!r} is no file in {root}; correct the path"


def _there(artifact: Path) -> bool:
    return artifact.is_file() or any(files(artifact))


def _decoded(value: str) -> Any:
    """Pulumi hands every value over as text, with JSON for lists and objects."""
    if not value.startswith(("[", "{")):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value


def _lines(detail: Any, raw: Mapping[str, str]) -> Iterable[str]:
    """One pydantic error as lines that name the key, the value and what would be valid."""
    first, *rest = detail["loc"]
    path = str(first) + "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in rest)
    value, message = detail["input"], detail["msg"].removeprefix("Value error, ")
    if first in SECRET:
        yield f"{path}: {message}"
        return
    if isinstance(value, str) and (said := permissions.no_role(value)):
        yield f"{path}: {value!r} is no role to give anybody: {said}"
        return
    match detail["type"]:
        case "missing":
            yield f"{path}: not set; see its description in Pulumi.yaml"
        case "extra_forbidden":
            within = [str(part) for part in (first, *rest[:-1])]
            both = ".".join(within[-2:])
            groups = (NESTED[name] for name in (both, *reversed(within)) if name in NESTED)
            valid = (next(groups, Settings) if rest else Settings).model_fields
            near = nearest(str(detail["loc"][-1]), [to_camel(name) for name in valid])
            yield f"{path}: {value!r} is for an unknown key; did you mean {near}?"
        case "value_error" if first == "models" and not rest:
            yield from (path + line for line in message.split("\n"))
        case "value_error":
            yield f"{path}: {value!r} {message}"
        case _:
            yield f"{path}: {value!r} is not valid: {message[0].lower()}{message[1:]}"
