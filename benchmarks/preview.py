"""What the stack's own code costs: a preview of it beside one of a bare program.

The bare program registers the same resources with the inputs that the stack was deployed with, and
does nothing else. Both run on the real engine against the deployed stack, as the preview of a pull
request does, and have to find nothing to change: the resources are the same indeed.
"""

from __future__ import annotations

import inspect
import re
import statistics
import time
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, Final

import pulumi
from rich.console import Console

from benchmarks.table import Ratio, show_figures
from rehearsal.engine import stack_program
from rehearsal.report import Report
from rehearsal.run import Options, opened
from vertexops.schema import NAME

STACK: Final = "staging"
ROUNDS: Final = 5
ASSET: Final = "c44067f5952c0a294b673a41bacd8c17"
"""How the engine marks an asset in its state (pulumi sdk, resource/properties.go)."""

NOT_INPUTS: Final = ("__defaults", "__internal", "version")


def run() -> list[Ratio]:
    report = Report("benchmark", Console(quiet=True))
    with opened(Options(STACK), report) as rehearsal:
        up = rehearsal.engine.up(judged=False)
        if not up.ok:
            raise RuntimeError("\n".join(up.errors))
        resources = rehearsal.engine.resources()
        programs = {"the stack": stack_program, "bare": bare(resources)}
        spent: dict[str, list[float]] = {name: [] for name in programs}
        for _ in range(ROUNDS):
            for name, program in programs.items():
                rehearsal.engine.use(program)
                begin = time.perf_counter()
                outcome = rehearsal.engine.preview(judged=False)
                spent[name].append(time.perf_counter() - begin)
                if not outcome.ok or outcome.changed:
                    raise RuntimeError("\n".join(outcome.errors or outcome.touched))
    seconds = {name: statistics.median(times) for name, times in spent.items()}
    rows = [(name, f"{seconds[name]:.2f}") for name in programs]
    show_figures(
        f"previews of {len(resources)} resources, medians of {ROUNDS}", ("program", "s"), rows
    )
    return [Ratio("preview: the stack / bare", seconds["the stack"] / seconds["bare"], most=1.2)]


def bare(resources: list[dict[str, Any]], *, typed: bool = False) -> Callable[[], None]:
    """A program of these resources of a deployment, in order, by type, name and inputs: `typed`
    ones by the classes of their packages, as people write them, others by their tokens alone."""

    def program() -> None:
        made: dict[str, Any] = {}
        for resource in resources:
            kind, name = resource["type"], resource["urn"].rpartition("::")[2]
            if kind == "pulumi:pulumi:Stack":
                continue
            options = pulumi.ResourceOptions(
                parent=made.get(resource.get("parent", "")),
                depends_on=[made[urn] for urn in resource.get("dependencies", ()) if urn in made],
            )
            if kind.startswith("pulumi:providers:"):
                package = kind.rpartition(":")[2]
                inputs = _inputs(resource)
                made[resource["urn"]] = _Provider(package, name, inputs, options)
            elif resource.get("custom"):
                provider = made[resource["provider"].rpartition("::")[0]]
                options.provider = provider
                made[resource["urn"]] = (
                    _typed(kind, name, _inputs(resource), options)
                    if typed
                    else pulumi.CustomResource(kind, name, _inputs(resource), options)
                )
            else:
                made[resource["urn"]] = pulumi.ComponentResource(kind, name, {}, options)

    return program


def _typed(
    kind: str, name: str, inputs: Mapping[str, Any], options: pulumi.ResourceOptions
) -> pulumi.CustomResource:
    package, module, type_ = kind.split(":")
    path = "vertexops.sdk" if package == NAME else f"pulumi_gcp.{module.partition('/')[0]}"
    made = getattr(import_module(path), type_)
    taken = inspect.signature(made._internal_init if package == "gcp" else made).parameters
    # What the provider added as a default may be no argument.
    given = {re.sub("([A-Z])", r"_\1", key).lower(): value for key, value in inputs.items()}
    given = {key: value for key, value in given.items() if key in taken}
    resource: pulumi.CustomResource = made(name, opts=options, **given)
    return resource


class _Provider(pulumi.ProviderResource):
    pass


def _inputs(resource: dict[str, Any]) -> dict[str, Any]:
    given = resource.get("inputs", {})
    return {name: _value(value) for name, value in given.items() if name not in NOT_INPUTS}


def _value(value: Any) -> Any:
    """An input as a program would write it."""
    if isinstance(value, list):
        return [_value(item) for item in value]
    if not isinstance(value, dict):
        return value
    if "path" in value and ASSET in value.values():
        return pulumi.FileAsset(value["path"])
    return {name: _value(item) for name, item in value.items() if name not in NOT_INPUTS}
