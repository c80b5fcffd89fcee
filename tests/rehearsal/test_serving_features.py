"""What teams set when they serve a model, each on a stack that runs and is asked.

A file in tests/data/serving has the settings, over the smallest stack; which fields of them change
in place, and which make something new. What was deployed before tells the two apart.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from pydantic import BaseModel
from pydantic.alias_generators import to_camel

from components.configuration import NESTED
from components.models import Model
from rehearsal import environment as environments
from rehearsal import telemetry
from rehearsal.crash import hold
from tests.rehearsal.running import Asking, Stack, running

FOLDER: Final = Path(__file__).parents[1] / "data" / "serving"
FILES: Final = sorted(path.stem for path in FOLDER.glob("*.yaml"))
SMALLEST: Final = {
    "previewMember": "",
    "sensors": [],
    "drift": {},
    "alerts": {},
    "protect": False,
    "deployerMay": ["register", "retire"],
    "sourceArtifactsBucket": "",
}


def newer(stack: Stack) -> None:
    """Another version of each model that the stack looks up."""
    environments.renewed(stack.environment, stack.sandbox, stack.folder)


def newer_canary(stack: Stack) -> None:
    """That, and another artifact of the canary that is uploaded."""
    newer(stack)
    telemetry.train(stack.folder / "shuttle-anomaly-canary" / "model.joblib", depth=9)


ELSEWHERE: Final = {
    *("models[].training.data", "models[].training.target"),
    *("models[].canary.training.data", "models[].canary.training.target"),
    *(f"models[].container.healthProbe.{key}" for key in ("path", "initialDelaySeconds")),
    *(f"models[].container.healthProbe.{key}" for key in ("timeoutSeconds", "failureThreshold")),
    *("models[].container.healthProbe.successThreshold", "models[].container.startupProbe.command"),
}
"""Training belongs to drift, which the other tests watch; one probe has what the other has."""
BEFORE: Final[Mapping[str, Callable[[Stack], None]]] = {
    "registry": newer,
    "canary": newer_canary,
}
"""What others do before something is replaced."""


def read(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((FOLDER / f"{name}.yaml").read_text())
    return found


def fields(value: Any, path: str = "") -> Iterator[str]:
    """Paths of what a file sets, with the entries of a list as one."""
    if isinstance(value, dict) and value and not path.endswith((".env", "labels")):
        for key, inner in value.items():
            yield from fields(inner, f"{path}.{key}" if path else key)
    elif isinstance(value, list) and any(isinstance(it, dict) for it in value):
        for it in value:
            yield from fields(it, f"{path}[]")
    else:
        yield path


def changed(settings: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Settings in which each path of `changes` has its new value."""
    found = copy.deepcopy(dict(settings))
    for path, value in changes.items():
        *parts, last = (int(part) if part.isdigit() else part for part in path.split("."))
        inner: Any = found
        for part in parts:
            inner = inner[part]
        assert isinstance(last, int) or inner.get(last) != value, f"{path} is {value} already"
        inner[last] = value
    return found


def deployed(stack: Stack) -> dict[str, Any]:
    """When each deployed model was made, by id."""
    return {it["id"]: it["createTime"] for it in stack.deployed()}


def up(stack: Stack, settings: Mapping[str, Any]) -> None:
    """Change the settings on the stack while it is asked: no prediction fails, and a second `up`
    has nothing to do."""
    now = stack.environment
    then = stack.with_values(dict(settings))
    stack.engine.configure(then)
    moves = now.settings.endpoint_id != then.settings.endpoint_id
    with Asking(stack.sandbox, now.settings, *[then.settings] * moves) as asking:
        hold(stack.up())
        if moves:
            asking.until_answered(1)
    stack.environment = then
    assert asking.failures == [] and all(asking.answers)
    again = stack.up_unasked()
    assert (again.ok, again.touched) == (True, [])


def typed(model: type[BaseModel], path: str) -> Iterator[str]:
    """Paths of what a group of settings may have."""
    for name in model.model_fields:
        key = to_camel(name)
        nested = NESTED.get(f"{path.rpartition('.')[2]}.{key}") or NESTED.get(key)
        yield from typed(nested, f"{path}.{key}") if nested else [f"{path}.{key}"]


def test_every_field_of_a_model_is_set_in_one_of_the_files() -> None:
    told = {path for name in FILES for path in fields(read(name)["settings"])}
    assert set(typed(Model, "models[]")) - told == ELSEWHERE


@pytest.mark.sweep
@pytest.mark.parametrize("name", FILES)
def test_a_field_changes_in_place_or_is_replaced_without_a_failed_prediction(
    name: str, tmp_path: Path, show: Callable[[str], None]
) -> None:
    file = read(name)
    settings = SMALLEST | file["settings"]
    with running(tmp_path, **settings) as stack:
        first = stack.up_unasked(refresh=True)
        assert (first.ok, first.touched) == (True, [])
        was = deployed(stack)
        if file["in_place"]:
            settings = changed(settings, file["in_place"])
            up(stack, settings)
            assert deployed(stack) == was
        if file["replaced"]:
            BEFORE.get(name, lambda stack: None)(stack)
            settings = changed(settings, file["replaced"])
            up(stack, settings)
            assert not set(was) <= set(deployed(stack))
        gone = stack.engine.destroy()
        assert gone.ok, gone.errors
    show(
        f"{name}: {len(set(fields(file['settings'])))} fields; {len(file['in_place'])} changed in "
        f"place, {len(file['replaced'])} replaced, no prediction failed"
    )
