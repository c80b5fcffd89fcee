"""What is deployed on an endpoint, in our words and in Google's, and which of it is whose.

A DeployedModel's id is derived from what cannot change in place, so a run after a crash finds its
own work. Which fields can: endpoint_service.proto, MutateDeployedModelRequest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from pulumi_plugin.values import Props
from vertexops import forms
from vertexops.errors import Json

CPU = "aiplatform.googleapis.com/prediction/online/cpu/utilization"
CPU_TARGET = 60

# What makes two deployments of the same thing the same; all else changes in place.
FIXED = ("model", "machineType", "serviceAccount", "displayName")
MUTABLE = {
    "minReplicas": "dedicatedResources.minReplicaCount",
    "maxReplicas": "dedicatedResources.maxReplicaCount",
    "cpuUtilizationTarget": "dedicatedResources.autoscalingMetricSpecs",
    "disableContainerLogging": "disableContainerLogging",
}


def deployed_model_id(endpoint: str, model: Props) -> str:
    """Ten digits, no leading zero: the API allows 1 to 10 (endpoint.proto)."""
    text = "\n".join([endpoint, *(str(model.get(key) or "") for key in FIXED)])
    return str(10**9 + int(hashlib.sha256(text.encode()).hexdigest(), 16) % (9 * 10**9))


def defaults(model: Props) -> Props:
    return {
        "minReplicas": 1,
        "maxReplicas": model.get("minReplicas", 1),
        "cpuUtilizationTarget": CPU_TARGET,
        "serviceAccount": "",
        "disableContainerLogging": False,
    }


def to_google(id: str, model: Props) -> Json:
    """A DeployedModel for the API."""
    full = defaults(model) | model
    target = model.get("cpuUtilizationTarget")
    return {
        "id": id,
        "model": full["model"],
        **({"displayName": full["displayName"]} if "displayName" in full else {}),
        **({"serviceAccount": full["serviceAccount"]} if full["serviceAccount"] else {}),
        "dedicatedResources": {
            "machineSpec": {"machineType": full["machineType"]},
            "minReplicaCount": full["minReplicas"],
            "maxReplicaCount": full["maxReplicas"],
            "autoscalingMetricSpecs": [{"metricName": CPU, "target": target}] if target else [],
        },
        "disableContainerLogging": full["disableContainerLogging"],
    }


def from_google(name: str, endpoint: Json) -> dict[str, Props]:
    """What is on the endpoint by DeployedModel id, in the words of our inputs, nothing left out.

    Models of the endpoint's own project are under the id that `name` has, where Google may answer
    with the project's number.
    """
    number, project = (f"projects/{n.split('/')[1]}/" for n in (endpoint["name"], name))
    split = endpoint.get("trafficSplit", {})
    found = {}
    for deployed in endpoint.get("deployedModels", []):
        resources = deployed.get("dedicatedResources", {})
        model = deployed["model"].partition("@")[0]
        if model.startswith(number):
            model = project + model.removeprefix(number)
        least = int(resources.get("minReplicaCount", 1))
        targets = {
            spec["metricName"]: spec.get("target")
            for spec in resources.get("autoscalingMetricSpecs", [])
        }
        found[deployed["id"]] = {
            "model": f"{model}@{deployed.get('modelVersionId', '')}",
            "traffic": int(split.get(deployed["id"], 0)),
            "machineType": resources.get("machineSpec", {}).get("machineType", ""),
            "minReplicas": least,
            "maxReplicas": int(resources.get("maxReplicaCount", least)),
            "cpuUtilizationTarget": int(targets.get(CPU) or CPU_TARGET),
            "serviceAccount": deployed.get("serviceAccount", ""),
            "displayName": deployed.get("displayName", ""),
            "disableContainerLogging": bool(deployed.get("disableContainerLogging", False)),
        }
    return found


def same_deployment(ours: Props, theirs: Props) -> bool:
    """Whether nothing differs that cannot change in place; a display name not given is any.

    The number of another project is taken for any id of one: the same model id and version number
    of two projects on one endpoint is not a case.
    """
    a, b = ours["model"].split("/"), theirs["model"].split("/")
    projects_agree = a[1] == b[1] or a[1].isdigit() != b[1].isdigit()
    rest_agrees = all(ours.get(key, theirs[key]) == theirs[key] for key in FIXED[1:])
    return projects_agree and a[2:] == b[2:] and rest_agrees


def match(
    endpoint: str, models: Iterable[Props], found: dict[str, Props]
) -> list[tuple[Props, str]]:
    """Each model of the program with the id it is deployed under, or '' when it is not.

    Its own derived id comes first; otherwise whatever equals it in all that cannot change, so that
    imported deployments are kept.
    """
    left = dict(found)
    pairs = []
    for model in models:
        full = defaults(model) | model
        own = deployed_model_id(endpoint, model)
        for id in (own, *left):
            there = left.get(id)
            if there is not None and same_deployment(full, there):
                del left[id]
                pairs.append((model, id))
                break
        else:
            pairs.append((model, ""))
    return pairs


def to_inputs(endpoint: str, inputs: Props, found: dict[str, Props]) -> Props:
    """The inputs that would produce what is there, as close to the program's as it allows."""
    models = []
    left = dict(found)
    for model, id in match(endpoint, inputs.get("models", []), found):
        if id:
            there = left.pop(id)
            standard = defaults({"minReplicas": there["minReplicas"]})
            models.append(
                {"model": model["model"]}
                | {
                    key: value
                    for key, value in there.items()
                    if key != "model"
                    and (key in model or (key in standard and value != standard[key]))
                }
            )
    for _, there in sorted(left.items()):
        standard = defaults(there)
        models.append({k: v for k, v in there.items() if k not in standard or v != standard[k]})
    return inputs | {"endpoint": endpoint, "models": models}


def own_ids(endpoint: str, inputs: Props, outputs: Props) -> set[str]:
    """What a rollout deployed, or took over, by its state."""
    listed = {model["id"] for model in outputs.get("deployedModels", [])}
    derived = {deployed_model_id(endpoint, model) for model in inputs.get("models", [])}
    return listed - set(outputs.get("foreignModels", [])) | derived


def to_outputs(endpoint: str, inputs: Props, found: dict[str, Props], own: set[str]) -> Props:
    """Deployed models in the program's order, then whatever else is there."""
    ours = {id: model["model"] for model, id in match(endpoint, inputs["models"], found) if id}
    order = [*ours, *sorted(set(found) - set(ours))]
    foreign = sorted(found.keys() - own)
    return (
        inputs
        | {
            "deployedModels": [
                {"id": id, **found[id], "model": ours.get(id, found[id]["model"])} for id in order
            ],
            "trafficSplit": {id: found[id]["traffic"] for id in order if found[id]["traffic"]},
        }
        | ({"foreignModels": foreign} if foreign else {})
    )


def in_the_way(endpoint: str, found: dict[str, Props], own: set[str]) -> str:
    """Why an endpoint with the models of others cannot be deleted, and what takes them off.

    A model leaves without traffic only (UndeployModelRequest), so its share goes to one of ours.
    """
    shares = {id: found[id]["traffic"] for id in sorted(own & found.keys())}
    if shares:
        shares[max(shares, key=lambda id: shares[id])] += 100 - sum(shares.values())
    split = ",".join(f"{id}={share}" for id, share in shares.items() if share)
    parts = forms.ENDPOINT.parse(endpoint)
    lines = [
        f"{endpoint} has models that this stack did not deploy, and Google deletes no endpoint "
        "with models on it. Nothing was taken off. Take these off, and try again:"
    ]
    for id in sorted(found.keys() - own):
        there = found[id]
        move = f" --traffic-split={split}" if there["traffic"] and split else ""
        lines += [
            f"  {there['displayName']!r}, DeployedModel {id} of {there['model']}:",
            f"  gcloud ai endpoints undeploy-model {parts['id']} --project={parts['project']} "
            f"--region={parts['location']} --deployed-model-id={id}{move}",
        ]
    return "\n".join(lines)
