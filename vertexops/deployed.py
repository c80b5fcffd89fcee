"""What is deployed on an endpoint, in our words and in Google's, and which of it is whose.

A DeployedModel's id is derived from what cannot change in place, so a run after a crash finds its
own work. Which fields can: endpoint_service.proto, MutateDeployedModelRequest.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count, islice

from pulumi_plugin.values import Props
from vertexops import forms
from vertexops.errors import Json
from vertexops.machines import gpus_of
from vertexops.schema import CPU_UTILIZATION, DUTY_CYCLE

TARGET = 60
UNKNOWN = "unknown"
"""Who did what no run of this resource did."""

# What makes two deployments of the same thing the same; all else changes in place.
FIXED = ("model", "machineType", "serviceAccount", "displayName")
# The same, and part of an id only where it is there: ids of before these were known stay.
FIXED_LATER = ("acceleratorType", "acceleratorCount", "spot", "enableAccessLogging")
# No program of this resource says these. They are read so that nobody's are taken for ours.
UNDECLARED = ("explanationSpec", "disableExplanations", "sharedResources", "automaticResources")
MUTABLE = {
    "minReplicas": "dedicatedResources.minReplicaCount",
    "maxReplicas": "dedicatedResources.maxReplicaCount",
    "requiredReplicas": "dedicatedResources.requiredReplicaCount",
    # Replaced as a whole by its mask, so the whole list is compared and sent.
    "autoscaling": "dedicatedResources.autoscalingMetricSpecs",
    "disableContainerLogging": "disableContainerLogging",
}
NOT_DELETED = "Google deletes no endpoint with models on it. Nothing was taken off"
NOT_DECLARED = (
    "all of its traffic is this stack's to share out. Nothing was changed on the endpoint"
)

# Machine types that come with accelerators (docs vertex-ai/docs/predictions/configure-compute).
# What is answered of them to who named none is not known.
ACCELERATED = re.compile(r"(a[234]x?|g[24])-.*")


def deployed_model_id(endpoint: str, model: Props) -> str:
    """Ten digits, no leading zero: the API allows 1 to 10 (endpoint.proto)."""
    return next(_ids(endpoint, model))


def _ids(endpoint: str, model: Props) -> Iterator[str]:
    fixed = [
        *(str(model.get(key) or "") for key in FIXED),
        *(f"{key}={model[key]}" for key in FIXED_LATER if model.get(key)),
    ]
    for number in count():
        text = "\n".join([endpoint, *fixed, *([str(number)] if number else [])])
        yield str(10**9 + int(hashlib.sha256(text.encode()).hexdigest(), 16) % (9 * 10**9))


def free_id(endpoint: str, model: Props, taken: Container[str]) -> str:
    """Its own derived id, or the next one when somebody deployed something else under that."""
    return next(id for id in _ids(endpoint, model) if id not in taken)


def defaults(model: Props) -> Props:
    return {
        "minReplicas": 1,
        "maxReplicas": model.get("minReplicas", 1),
        "requiredReplicas": 0,
        "autoscaling": usual_targets(model),
        "serviceAccount": "",
        "disableContainerLogging": False,
        "acceleratorType": "",
        "acceleratorCount": 0,
        "spot": False,
        "enableAccessLogging": False,
        **dict.fromkeys(UNDECLARED, ""),
        "disableExplanations": False,
    }


def usual_targets(model: Props) -> dict[str, int]:
    """What Google scales by where nothing is said: with accelerators by their use as well
    (discovery document, DedicatedResources.autoscalingMetricSpecs)."""
    return dict.fromkeys([CPU_UTILIZATION, *([DUTY_CYCLE] if gpus_of(model).count else [])], TARGET)


def to_google(id: str, model: Props) -> Json:
    """A DeployedModel for the API."""
    full = defaults(model) | model
    machine = {
        key: full[key]
        for key in ("machineType", "acceleratorType", "acceleratorCount")
        if full[key]
    }
    return {
        "id": id,
        "model": full["model"],
        **({"displayName": full["displayName"]} if "displayName" in full else {}),
        **({"serviceAccount": full["serviceAccount"]} if full["serviceAccount"] else {}),
        "dedicatedResources": {
            "machineSpec": machine,
            "minReplicaCount": full["minReplicas"],
            "maxReplicaCount": full["maxReplicas"],
            "requiredReplicaCount": full["requiredReplicas"],
            "autoscalingMetricSpecs": [
                {"metricName": metric, "target": target}
                for metric, target in sorted(full["autoscaling"].items())
            ],
            **({"spot": True} if full["spot"] else {}),
        },
        "disableContainerLogging": full["disableContainerLogging"],
        **({"enableAccessLogging": True} if full["enableAccessLogging"] else {}),
    }


def _targets(specs: list[Json]) -> dict[str, int]:
    """Target by metric; labels that narrow a metric are told apart as Monitoring writes them."""
    found = {}
    for spec in specs:
        labels = spec.get("monitoredResourceLabels", {})
        narrowed = ",".join(f'{key}="{labels[key]}"' for key in sorted(labels))
        name = spec["metricName"] + (f"{{{narrowed}}}" if narrowed else "")
        found[name] = int(spec.get("target") or TARGET)
    return found


def _text(value: Json | None) -> str:
    return json.dumps(value, sort_keys=True) if value else ""


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
        machine = resources.get("machineSpec", {})
        least = int(resources.get("minReplicaCount", 1))
        required = int(resources.get("requiredReplicaCount", 0))
        found[deployed["id"]] = {
            "model": f"{model}@{deployed.get('modelVersionId', '')}",
            "traffic": int(split.get(deployed["id"], 0)),
            "machineType": machine.get("machineType", ""),
            "minReplicas": least,
            "maxReplicas": int(resources.get("maxReplicaCount", least)),
            # All of the fewest is what is required of who says nothing.
            "requiredReplicas": 0 if required == least else required,
            "autoscaling": _targets(resources.get("autoscalingMetricSpecs", []))
            or usual_targets(machine),
            "serviceAccount": deployed.get("serviceAccount", ""),
            "displayName": deployed.get("displayName", ""),
            "disableContainerLogging": bool(deployed.get("disableContainerLogging", False)),
            "acceleratorType": machine.get("acceleratorType", ""),
            "acceleratorCount": int(machine.get("acceleratorCount", 0)),
            "spot": bool(resources.get("spot", False)),
            "enableAccessLogging": bool(deployed.get("enableAccessLogging", False)),
            "explanationSpec": _text(deployed.get("explanationSpec")),
            "disableExplanations": bool(deployed.get("disableExplanations", False)),
            "sharedResources": deployed.get("sharedResources", ""),
            "automaticResources": _text(deployed.get("automaticResources")),
        }
    return found


def same_name(a: str, b: str) -> bool:
    """Whether two names are of one model, or of one version.

    The number of another project is taken for any id of one: the same model id and version number
    of two projects on one endpoint is not a case.
    """
    _, project, *rest = a.split("/")
    _, other, *others = b.split("/")
    return rest == others and (project == other or project.isdigit() != other.isdigit())


def same_deployment(model: Props, theirs: Props, *, derived: bool) -> bool:
    """Whether nothing differs that cannot change in place; a display name not given is any.

    What the model explains itself by, its deployment inherits where it says nothing
    (DeployedModel.explanationSpec), so under the id that is derived from `model` it is no
    difference.
    """
    any_will_do = {"explanationSpec"} if derived else set()
    if ACCELERATED.fullmatch(model["machineType"]):
        any_will_do |= {"acceleratorType", "acceleratorCount"} - model.keys()
    ours = defaults(model) | model
    rest_agrees = all(
        ours.get(key, theirs[key]) == theirs[key]
        for key in (*FIXED[1:], *FIXED_LATER, *UNDECLARED)
        if key not in any_will_do
    )
    return same_name(model["model"], theirs["model"]) and rest_agrees


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
        own = deployed_model_id(endpoint, model)
        for id in (own, *left):
            there = left.get(id)
            if there is not None and same_deployment(model, there, derived=id == own):
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
            standard = defaults(there)
            models.append(
                {"model": model["model"]}
                | {
                    key: value
                    for key, value in there.items()
                    if key != "model"
                    and (key in model or (key in MUTABLE and value != standard[key]))
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


def bears_our_id(endpoint: str, id: str, there: Props) -> bool:
    """Whether an id is derived from what is deployed under it, which nobody else would choose."""
    named = (there, {key: there[key] for key in there if key != "displayName"})
    return any(id in islice(_ids(endpoint, model), 3) for model in named)


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


@dataclass(frozen=True)
class Run:
    """What a run did on an endpoint, when, and by whom, which is asked only where it is told."""

    deployed: Container[str]
    moved: bool
    now: str
    who: Callable[[], str]


def deploy_times(endpoint: Json) -> dict[str, str]:
    """When each deployed model was deployed, by its id (DeployedModel.createTime)."""
    return {it["id"]: it.get("createTime", "") for it in endpoint.get("deployedModels", ())}


def attachments(endpoint: Json) -> Props:
    """The output that says what a forwarding rule in a plant's network is pointed at; of a private
    endpoint that has models (DeployedModel.privateEndpoints)."""
    found = {
        it.get("privateEndpoints", {}).get("serviceAttachment", "")
        for it in endpoint.get("deployedModels", ())
    }
    return {"serviceAttachments": sorted(found - {""})} if found - {""} else {}


def rolled_out(
    deployed: Iterable[Props], times: Mapping[str, str], outputs: Props, ran: Run | None = None
) -> Props:
    """The output that says of each deployed model since when it is there, and has its traffic, and
    by whom: by the run `ran`, or as `outputs` had it. What somebody else did is not known.
    """
    earlier = {it["deployedModelId"]: it for it in outputs.get("rolledOut", ())}
    told = []
    for there in deployed:
        id, at = there["id"], times.get(there["id"], "")
        before = earlier.get(id, {})
        if before.get("deployedAt") != at:
            before = {}
        by = before.get("deployedBy", UNKNOWN)
        if ran and id in ran.deployed:
            by = ran.who()
        if before.get("traffic", 0) == there["traffic"]:
            since, whose = before.get("trafficSince", at), before.get("trafficBy", by)
        elif ran and ran.moved:
            since, whose = ran.now, ran.who()
        else:
            since, whose = "", UNKNOWN
        told.append(
            {
                "deployedModelId": id,
                "model": there["model"],
                "traffic": there["traffic"],
                "deployedAt": at,
                "deployedBy": by,
                "trafficSince": since,
                "trafficBy": whose,
            }
        )
    return {"rolledOut": told}


def in_the_way(endpoint: str, found: dict[str, Props], own: set[str], why: str) -> str:
    """Whose models are on an endpoint beside ours, `why` that matters, and what takes them off.

    A model leaves without traffic only (UndeployModelRequest), so its share goes to one of ours.
    """
    shares = {id: found[id]["traffic"] for id in sorted(own & found.keys())}
    if shares:
        shares[max(shares, key=lambda id: shares[id])] += 100 - sum(shares.values())
    split = ",".join(f"{id}={share}" for id, share in shares.items() if share)
    parts = forms.ENDPOINT.parse(endpoint)
    lines = [
        f"{endpoint} has models that this stack did not deploy, and {why}. Take them off yourself, "
        "or set adoptForeign to true, and the next `pulumi up` does:"
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
