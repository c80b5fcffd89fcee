"""What runs a model: its container's specification, in our words and in Google's.

Limits and defaults: discovery document of aiplatform v1, ModelContainerSpec, EnvVar, Port, Probe.
All of it is fixed with a model's version.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, Final

from pulumi_plugin.kinds import Failure
from pulumi_plugin.values import Props, is_known
from vertexops import forms
from vertexops.errors import Json

MOST_VARIABLES: Final = 200
VARIABLE_BYTES: Final = 128 * 1024
VARIABLES_BYTES: Final = 512 * 1024
PORTS: Final = (1, 65_535)
DEPLOYMENT_SECONDS: Final = (1, 7_200)
SAME: Final = ("predictRoute", "healthRoute", "command", "args")
PROBES: Final = ("startupProbe", "healthProbe")
COUNTS: Final = {
    "initialDelaySeconds": 0,
    "periodSeconds": 1,
    "timeoutSeconds": 1,
    "failureThreshold": 1,
    "successThreshold": 1,
}
"""What a probe counts, and from what on."""
ONE_WAY: Final = "needs either `path` (to ask for) or `command` (to run)"


def to_google(image: str, container: Props) -> Json:
    """A ModelContainerSpec."""
    port, seconds = container.get("port"), container.get("deploymentTimeoutSeconds")
    # In the order of their names: later ones may refer to those before.
    env = sorted(container.get("env", {}).items())
    return {
        "imageUri": image,
        **{key: container[key] for key in SAME if container.get(key)},
        **({"ports": [{"containerPort": port}]} if port else {}),
        **({"env": [{"name": k, "value": v} for k, v in env]} if env else {}),
        **({"deploymentTimeout": f"{seconds}s"} if seconds else {}),
        **{key: _probe(container[key], container) for key in PROBES if container.get(key)},
    }


def _probe(probe: Props, container: Props) -> Json:
    port = container.get("port")
    way: Json = {"exec": {"command": probe["command"]}} if probe.get("command") else {}
    if path := probe.get("path"):
        way = {"httpGet": {"path": path, **({"port": port} if port else {})}}
    return way | {key: probe[key] for key in COUNTS if probe.get(key)}


def from_google(spec: Json) -> tuple[str, Props]:
    """Image and container of a ModelContainerSpec, without what a program cannot say of it."""
    ports, seconds = spec.get("ports", []), spec.get("deploymentTimeout", "").rstrip("s")
    env = {item["name"]: item.get("value", "") for item in spec.get("env", [])}
    container = {
        **{key: spec[key] for key in SAME if spec.get(key)},
        **({"port": ports[0]["containerPort"]} if ports else {}),
        **({"env": env} if env else {}),
        **({"deploymentTimeoutSeconds": int(float(seconds))} if seconds else {}),
        **{key: _probed(spec[key]) for key in PROBES if spec.get(key)},
    }
    return spec.get("imageUri", ""), container


def _probed(probe: Json) -> Props:
    command, path = probe.get("exec", {}).get("command"), probe.get("httpGet", {}).get("path")
    return {
        **({"command": command} if command else {}),
        **({"path": path} if path else {}),
        **{key: probe[key] for key in COUNTS if key in probe},
    }


def check(container: Any) -> list[Failure]:
    """All that is wrong with a container; what is unknown is left for later."""
    if not isinstance(container, dict):
        return []
    failures = [
        *forms.ROUTE.check(container.get("predictRoute"), "container.predictRoute"),
        *forms.ROUTE.check(container.get("healthRoute"), "container.healthRoute"),
        *forms.within(container.get("port"), PORTS, "container.port"),
        *forms.within(
            container.get("deploymentTimeoutSeconds"),
            DEPLOYMENT_SECONDS,
            "container.deploymentTimeoutSeconds",
        ),
    ]
    if is_known(env := container.get("env", {})):
        failures += [Failure("container.env", said) for said in env_problems(env)]
    for key in PROBES:
        failures += _check_probe(container.get(key), f"container.{key}")
    return failures


def _check_probe(probe: Any, at: str) -> Iterator[Failure]:
    if not isinstance(probe, dict):
        return
    yield from forms.ROUTE.check(probe.get("path"), f"{at}.path")
    if ("path" in probe) == ("command" in probe):
        yield Failure(at, ONE_WAY)
    for key, least in COUNTS.items():
        yield from forms.within(probe.get(key), (least, math.inf), f"{at}.{key}")


def env_problems(env: Mapping[str, str]) -> Iterator[str]:
    """What is wrong with environment variables, each by its name and never by its value."""
    sizes = {name: len(f"{name}={value}".encode()) for name, value in env.items()}
    for name, size in sizes.items():
        try:
            forms.VARIABLE.parse(name)
        except ValueError as error:
            yield str(error)
        if size >= VARIABLE_BYTES:
            yield f"has {name} with {size} bytes, name and value; one has less than 128 KiB"
    if len(sizes) > MOST_VARIABLES:
        yield f"are {len(sizes)} variables, more than {MOST_VARIABLES}"
    if sum(sizes.values()) > VARIABLES_BYTES:
        yield f"have {sum(sizes.values())} bytes in all, more than 512 KiB"
