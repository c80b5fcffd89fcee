"""Whether models fit their machines, and the machines what Google lets a project have."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final

from pydantic import Field

from components.fields import AcceleratorType, Frozen
from components.models import Accelerator, Autoscaling, Canary, Container, Model
from vertexops import forms, machines
from vertexops.machines import Gpus

QUOTAS: Final = "Vertex AI's page of quotas"
COMPUTE: Final = "Vertex AI, configure-compute"
NO_GPU: Final = "is for a model with an accelerator"
FROM_ALL: Final = "An entry has what it leaves out from the settings of all models"
WITHOUT_GPUS: Final = re.compile(r"/prediction/(sklearn|xgboost)-")
"""In the name of a pre-built image that uses none."""


class ServingQuota(Frozen):
    """What Google gave the project in the region, where it is not what every project has."""

    replicas: Annotated[int, Field(ge=1, le=machines.MOST_REPLICAS)] = machines.REPLICAS
    cpus: Annotated[int, Field(ge=1)] | None = None
    accelerators: dict[AcceleratorType, Annotated[int, Field(ge=1)]] = Field(default={})

    def of(self, name: str, region: str) -> int | None:
        """Of replicas, or of what `machines.charged` counts; None where the region has none."""
        if name == "replicas":
            return self.replicas
        given = self.cpus if name == machines.PROCESSORS else self.accelerators.get(name)
        return given or machines.default_quota(name, region)

    def key(self, name: str) -> str:
        """The key that says how many."""
        plain = {"replicas": "replicas", machines.PROCESSORS: "cpus"}
        return f"servingQuota.{plain.get(name, f'accelerators.{name}')}"


def problems(models: tuple[Model, ...], others: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with the machines of models, as far as these and `others` can be read."""
    used, follow = Counter[str](), []
    for index, model in enumerate(models):
        machine, most = _of(model, others, "machine_type"), _of(model, others, "max_replicas")
        accelerator = _of(model, others, "accelerator")
        if not isinstance(accelerator, Accelerator) or machine not in machines.CPUS:
            continue
        try:
            gpus = accelerator.on(machine)
        except ValueError as error:
            yield f"[{index}]: {error} ({COMPUTE}). {FROM_ALL}"
            continue
        yield from (f"[{index}]{text}" for text in _unused(model, gpus, others))
        if not isinstance(model.autoscaling, Autoscaling):
            follow.append(gpus.count)
        if isinstance(most, int):
            if isinstance(model.canary, Canary):
                most += model.canary.max_replicas or most
            used["replicas"] += most
            # Of Spot VMs there are quotas of their own, of which no numbers are listed.
            if not _of(model, others, "spot"):
                used += machines.charged(machine, gpus, most)
    for_all = others.get("autoscaling")
    if follow and not any(follow) and isinstance(for_all, Autoscaling) and for_all.gpu_percent:
        yield f": autoscaling.gpuPercent, {for_all.gpu_percent}, {NO_GPU}"
    yield from _beyond(used, others)


def _of(model: Model, others: Mapping[str, Any], name: str) -> Any:
    """What an entry says, or else the settings; None where neither can be read."""
    own = getattr(model, name)
    return others.get(name) if own is None else own


def _unused(model: Model, gpus: Gpus, others: Mapping[str, Any]) -> Iterator[str]:
    """What nobody would use: GPUs that a container does not, a target of GPUs that are not."""
    scaling = model.autoscaling
    if isinstance(scaling, Autoscaling) and scaling.gpu_percent and not gpus.count:
        yield f".autoscaling.gpuPercent: {scaling.gpu_percent} {NO_GPU}"
    if not gpus.count or model.source:
        return
    own = model.container.image if isinstance(model.container, Container) else None
    canary = model.canary.container if isinstance(model.canary, Canary) else None
    images = (own or others.get("serving_container"), canary.image if canary else None)
    for image in dict.fromkeys(images):
        if image and _without_gpus(image):
            yield (
                f": {gpus} would be idle in {image}: \"You can't use GPUs for scikit-learn or "
                f'XGBoost models" ({COMPUTE}). Give the entry a container whose image uses them, '
                "or take them away"
            )


def _without_gpus(image: str) -> bool:
    parts = forms.IMAGE.parse(image)
    return parts["project"] == "vertex-ai" and bool(WITHOUT_GPUS.search(image))


def _beyond(used: Counter[str], others: Mapping[str, Any]) -> Iterator[str]:
    """What is more than the quotas while old and new run side by side: each of it twice."""
    region, quota = others.get("region"), others.get("serving_quota")
    if not region or not isinstance(quota, ServingQuota):
        return
    for name, number in used.items():
        limit = quota.of(name, region)
        if limit is None:
            having = ", ".join(machines.SERVING_GPUS[name])
            yield f": {region} has no {name} for serving; {having} have ({QUOTAS})"
        elif 2 * number > limit:
            yield (
                f": {number} {name}, with maxReplicas of each model, are {2 * number} while old "
                f"and new run side by side in a rollout, and {region} gives {limit} ({QUOTAS}). "
                f"Lower maxReplicas or take smaller machines; if Google gave the project more, say "
                f"so in {quota.key(name)}"
            )
