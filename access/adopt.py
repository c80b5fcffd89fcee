"""What is there already of what a stack would create, as a file for `pulumi import`.

A first preview says what the stack would create, under which parent and with which inputs; the
cloud is asked which of it exists. Parents and providers of what is found stand in the file too, so
that the state after the import is the one that `pulumi up` expects, and nothing is replaced.

Creates that end in the same when it is there already (grants, APIs, what `vertexops` looks for
itself) need no import. What the deployer's provider would read, the platform's reads: an import is
done by a person, before there is a deployer; another provider of the same package is no change.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple
from urllib.parse import quote

from access.live import BIGQUERY, IAM, PUBSUB, STORAGE
from access.recover import (
    NAMED_BY_GOOGLE,
    CannotLook,
    Look,
    alike,
    resource_id,
)
from vertexops.deployed import FIXED, from_google

UNKNOWN: Final = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
"""What a preview shows for what only `pulumi up` will know (pulumi sdk, plugin.UnknownStringValue).
"""
PROVIDER: Final = "pulumi:providers:"
STACK: Final = "pulumi:pulumi:Stack"
ACCOUNT: Final = "gcp:serviceaccount/account:Account"
ENDPOINT: Final = "gcp:vertex/aiEndpoint:AiEndpoint"
REGISTERED: Final = "vertexops:index:RegisteredModel"
ROLLOUT: Final = "vertexops:index:ModelRollout"
IMPERSONATES: Final = "impersonateServiceAccount"
KMS: Final = "https://cloudkms.googleapis.com/v1"
LOGGING: Final = "https://logging.googleapis.com/v2"
VERTEX: Final = "https://{location}-aiplatform.googleapis.com/v1"

# Where each kind is read, over its id and its inputs.
READ: Final = {
    "gcp:bigquery/dataset:Dataset": BIGQUERY + "/{id}",
    "gcp:bigquery/table:Table": BIGQUERY + "/{id}",
    "gcp:iam/workloadIdentityPool:WorkloadIdentityPool": IAM + "/{id}",
    "gcp:iam/workloadIdentityPoolProvider:WorkloadIdentityPoolProvider": IAM + "/{id}",
    "gcp:kms/cryptoKey:CryptoKey": KMS + "/{id}",
    "gcp:kms/keyRing:KeyRing": KMS + "/{id}",
    "gcp:logging/metric:Metric": LOGGING + "/projects/{project}/metrics/{name}",
    "gcp:projects/iAMCustomRole:IAMCustomRole": IAM + "/{id}",
    "gcp:pubsub/schema:Schema": PUBSUB + "/{id}",
    "gcp:pubsub/subscription:Subscription": PUBSUB + "/{id}",
    "gcp:pubsub/topic:Topic": PUBSUB + "/{id}",
    ACCOUNT: IAM + "/{id}",
    "gcp:storage/bucket:Bucket": STORAGE + "/b/{id}",
    ENDPOINT: VERTEX + "/{id}",
}


class Fixed(NamedTuple):
    """What cannot change in place: the field of Google's answer, and the input that says it."""

    answered: str
    input: str


# What would be replaced, for the official plugin says so of these (provider-contract/).
FIXED_INPUTS: Final = {
    "gcp:bigquery/dataset:Dataset": (Fixed("location", "location"),),
    "gcp:storage/bucket:Bucket": (Fixed("location", "location"),),
    ENDPOINT: (Fixed("encryptionSpec", "encryptionSpec"), Fixed("network", "network")),
}


class NotAdoptable(ValueError):
    """What is there cannot become the stack's as it is, or the preview does not tell."""


@dataclass
class Adoption:
    """`file` is for `pulumi import --file`; `notes` say what else a person has to know."""

    file: dict[str, Any]
    notes: list[str] = field(default_factory=list)


def adoption(preview: Mapping[str, Any], look: Look) -> Adoption:
    """By what `pulumi preview --json --show-sames` prints of a stack that lacks what is there.

    Raises NotAdoptable, UnknownKind where inputs do not tell what to look for, CannotLook.
    """
    steps = [step for step in preview.get("steps") or () if "newState" in step]
    states = {step["urn"]: step["newState"] for step in steps}
    new = {step["urn"] for step in steps if step["op"] == "create"}
    above = {state.get("parent") or urn for urn, state in states.items()}
    if not states or above - states.keys():
        raise NotAdoptable("not a whole preview: `pulumi preview --json --show-sames` prints one")
    ids: dict[str, str] = {}
    notes: list[str] = []
    replaced: list[str] = []
    absent: set[str] = set()
    for urn, state in states.items():
        if urn not in new or not state.get("custom") or state["type"].startswith(PROVIDER):
            continue
        if state["type"] == REGISTERED:
            notes += _registered(state["inputs"], look)
            continue
        found = (
            _rollout(state, ids, look) if state["type"] == ROLLOUT else _found(state, look, absent)
        )
        if found is None:
            continue
        id, answer = found
        ids[urn] = id
        notes += _notes(state, id, answer)
        replaced += _replaced(state, id, answer)
    if replaced:
        raise NotAdoptable("\n".join(replaced))
    return Adoption(_file(states, new, ids), notes)


def _found(
    state: Mapping[str, Any], look: Look, absent: set[str]
) -> tuple[str, dict[str, Any]] | None:
    """Id and Google's answer; None for what is not there, or needs no import.

    What would be in one of `absent`, ids of what is not there, is not asked for: of a table in no
    dataset BigQuery says 403 to an owner (observed in the simulator, whose words are Google's).
    Raises NotAdoptable, UnknownKind, CannotLook.
    """
    kind, inputs = state["type"], state.get("inputs") or {}
    if kind in NAMED_BY_GOOGLE:
        names = alike(kind, inputs, look)
        if len(names) > 1:
            raise NotAdoptable(
                f"{len(names)} of {kind} are called like {_name(state['urn'])}, and the stack has "
                f"one: {', '.join(names)}. Rename or delete all but the one to take over"
            )
        return (names[0], {}) if names else None
    if kind not in READ:
        return None
    id = resource_id(kind, inputs)
    if id is None or UNKNOWN in id or any(id.startswith(f"{outer}/") for outer in absent):
        return None
    answer = _answer(look, READ[kind].format_map({**inputs, "id": quote(id, safe="/@:~")}))
    # A role that was deleted keeps its id, and the create brings it back.
    if answer is None or answer.get("deleted"):
        absent.add(id)
        return None
    return id, answer


def _rollout(
    state: Mapping[str, Any], ids: Mapping[str, str], look: Look
) -> tuple[str, dict[str, Any]] | None:
    """A rollout is read where there are models on its endpoint, whoever deployed them."""
    id = state["inputs"]["endpoint"]
    if id == UNKNOWN:  # that of an endpoint which the stack would create
        above = (state.get("propertyDependencies") or {}).get("endpoint") or ()
        id = next((ids[urn] for urn in above if urn in ids), None)
    if id is None:
        return None
    answer = _answer(look, VERTEX.format(location=id.split("/")[3]) + f"/{id}")
    return (id, answer) if answer and answer.get("deployedModels") else None


def _answer(look: Look, url: str) -> dict[str, Any] | None:
    status, answer = look(url)
    if status == 404:
        return None
    if status != 200:
        said = (answer.get("error") or {}).get("message", "") if isinstance(answer, dict) else ""
        raise CannotLook(f"GET {url}: {status} {said}")
    found: dict[str, Any] = answer
    return found


def _notes(state: Mapping[str, Any], id: str, answer: Mapping[str, Any]) -> Iterator[str]:
    """What a person has to do or to know before the first `up`."""
    if state["type"] == ACCOUNT:
        yield from _unlike(state["inputs"], answer)
    elif state["type"] == ROLLOUT:
        yield from _deployed(state["inputs"]["models"], id, answer)


def _registered(inputs: Mapping[str, Any], look: Look) -> Iterator[str]:
    """A model of the id that the stack uploads; one that is looked up stays what it is."""
    if "modelId" not in inputs:
        return
    parent = "projects/{project}/locations/{location}/models/{modelId}".format_map(inputs)
    if _answer(look, VERTEX.format_map(inputs) + f"/{parent}"):
        yield (
            f"{parent} is registered already: the first `up` uploads a version beside those that "
            "it has, and makes that the default. Who asks for the default gets it; if that must "
            "not be, give the stack's model another `id`"
        )


def _unlike(inputs: Mapping[str, Any], answer: Mapping[str, Any]) -> Iterator[str]:
    """The stack makes accounts and lets nobody change them, so their maker has to."""
    options = {"displayName": "--display-name", "description": "--description"}
    wanted = {key: inputs.get(key, "") for key in options}
    if any(wanted[key] != answer.get(key, "") for key in options):
        given = " ".join(f"{options[key]}={shlex.quote(wanted[key])}" for key in options)
        yield f"run, as who may: gcloud iam service-accounts update {answer['email']} {given}"


def _deployed(wanted: list[Mapping[str, Any]], id: str, answer: Mapping[str, Any]) -> Iterator[str]:
    """What becomes of each model on the endpoint."""
    for deployed, there in from_google(id, dict(answer)).items():
        what = f"{there['model']}, DeployedModel {deployed} of {id} ({there['traffic']} %)"
        if any(
            all(model.get(key, "") in (there[key], UNKNOWN) for key in FIXED) for model in wanted
        ):
            yield f"{what}: stays, if it is the version that the settings name"
            continue
        yield (
            f"{what}: was not deployed as the settings say; the first `up` deploys theirs beside "
            "it, moves the traffic, and takes it off. To keep it, describe it in `models` before: "
            f"this version, id {there['displayName']!r}, machineType {there['machineType']!r}, and "
            f"the account {there['serviceAccount']!r} for serving"
        )


def _replaced(state: Mapping[str, Any], id: str, answer: Mapping[str, Any]) -> Iterator[str]:
    for fixed in FIXED_INPUTS.get(state["type"], ()):
        there, wanted = answer.get(fixed.answered), state["inputs"].get(fixed.input)
        if str(there or "").lower() != str(wanted or "").lower():
            yield (
                f"{id} has the {fixed.input} {there!r}, the settings give {wanted!r}: it could "
                "only be replaced. Change the settings to what is there, or give the stack "
                "another name for it (docs/how-to/adopt.md)"
            )


def _file(
    states: Mapping[str, Mapping[str, Any]], new: set[str], ids: Mapping[str, str]
) -> dict[str, Any]:
    """Resources, with the components and providers above them, in the order of the preview."""
    table: dict[str, str] = {}
    needed: set[str] = set()

    def name(urn: str) -> str:
        if urn in new:
            needed.add(urn)
        else:
            table[_key(urn)] = urn
        return _key(urn)

    entries = {}
    # From the leaves up: what is above stands before what is below.
    for urn, state in reversed(list(states.items())):
        if urn not in ids and urn not in needed:
            continue
        entry: dict[str, Any] = {
            "type": state["type"],
            "name": _key(urn),
            "logicalName": _name(urn),
        }
        parent = state.get("parent", "")
        if parent and states[parent]["type"] != STACK:
            entry["parent"] = name(parent)
        if state["type"].startswith(PROVIDER):
            entry |= _provider_inputs(state)
        elif not state.get("custom"):
            entry["component"] = True
        else:
            entry |= {"id": ids[urn], "provider": name(_provider(states, state))}
        entries[urn] = entry
    return {"nameTable": table, "resources": [entries[urn] for urn in states if urn in entries]}


def _provider(states: Mapping[str, Mapping[str, Any]], state: Mapping[str, Any]) -> str:
    """The resource's own provider; where it impersonates, one of the package that does not."""
    own: str = state["provider"].rpartition("::")[0]
    kind = states[own]["type"]
    return next(
        urn
        for urn in (own, *states)
        if states[urn]["type"] == kind and IMPERSONATES not in (states[urn].get("inputs") or {})
    )


def _provider_inputs(state: Mapping[str, Any]) -> dict[str, Any]:
    """Inputs that a preview shows; what is secret, `up` gives."""
    inputs = {k: v for k, v in (state.get("inputs") or {}).items() if isinstance(v, str)}
    version = inputs.pop("version", "")
    given = {k: v for k, v in inputs.items() if v != "[secret]"}
    return ({"version": version} if version else {}) | ({"inputs": given} if given else {})


def _key(urn: str) -> str:
    """Unique among the stack's resources."""
    return urn.split("::", 2)[2]


def _name(urn: str) -> str:
    return urn.split("::", 3)[3]
