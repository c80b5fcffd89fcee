"""A colleague with models of his own in the stack's registry, beside those that the stack uploads.

What he does is what the deployer's `aiplatform.models.update` is there for: moving the default to a
version that stays when the stack's own goes, and putting right what was changed by hand.
"""

from __future__ import annotations

from typing import Any, Final

from components.models import Model
from components.settings import Settings
from rehearsal.environment import SCIENTIST
from rehearsal.report import Stage, StageFailed
from rehearsal.run import Rehearsal
from rehearsal.sandbox import GoogleError

ALIAS: Final = "candidate"
BY_HAND: Final = "renamed by hand"
NOT_FOUND: Final = 404


def uploaded(settings: Settings) -> Model:
    """The first model that the stack uploads."""
    return next(model for model in settings.models if model.artifact)


def model_name(settings: Settings) -> str:
    location = f"projects/{settings.project}/locations/{settings.region}"
    return f"{location}/models/{settings.named(uploaded(settings).id)}"


def api(settings: Settings) -> str:
    return f"https://{settings.region}-aiplatform.googleapis.com/v1"


def register(run: Rehearsal, stage: Stage) -> None:
    """Another version of a model of the stack, which does not become the default."""
    settings, his = run.environment.settings, run.sandbox.google(SCIENTIST)
    name = model_name(settings)
    if has_registered(run):
        stage.note = "is there already"
        return
    ours = his.call("GET", f"{api(settings)}/{name}")
    taken = ("displayName", "artifactUri", "containerSpec")
    body = {
        "parentModel": name,
        "model": {key: ours[key] for key in taken} | {"versionAliases": [ALIAS]},
    }
    address = f"{api(settings)}/{name.rpartition('/')[0]}:upload"
    made = his.finish(his.call("POST", address, body), api(settings))
    stage.note = f"version {made['modelVersionId']} of {uploaded(settings).id}"


def has_registered(run: Rehearsal) -> bool:
    """Whether he has a version beside the stack's own."""
    settings, his = run.environment.settings, run.sandbox.google(SCIENTIST)
    try:
        his.call("GET", f"{api(settings)}/{model_name(settings)}@{ALIAS}")
    except GoogleError as error:
        if error.status == NOT_FOUND:
            return False
        raise
    return True


def take_back(run: Rehearsal) -> None:
    """He deletes his version, which has become the default when the stack's own one went."""
    settings, his = run.environment.settings, run.sandbox.google(SCIENTIST)
    name = model_name(settings)
    left: Any = his.call("GET", f"{api(settings)}/{name}")
    if set(left["versionAliases"]) != {ALIAS, "default"}:
        raise StageFailed("a colleague's version was not left as the default", str(left))
    his.finish(his.call("DELETE", f"{api(settings)}/{name}"), api(settings))


def rename(run: Rehearsal) -> None:
    """He gives a model of the stack another name."""
    settings, his = run.environment.settings, run.sandbox.google(SCIENTIST)
    name = model_name(settings)
    address = f"{api(settings)}/{name}?updateMask=displayName"
    his.call("PATCH", address, {"name": name, "displayName": BY_HAND})


def demand_own_name(run: Rehearsal) -> None:
    settings, his = run.environment.settings, run.sandbox.google(SCIENTIST)
    called = his.call("GET", f"{api(settings)}/{model_name(settings)}")["displayName"]
    if called != uploaded(settings).id:
        raise StageFailed(f"the model is still called {called}")
