"""V: Vertex AI, and this project's own resources for it."""

from __future__ import annotations

import json
from typing import Any, Final

from ..stack import DEFAULT_ACCOUNTS, Stack
from ..view import UNKNOWN, CannotJudge, Resource
from .examples import (
    ROLLOUT,
    account,
    custom_role,
    email,
    on_project,
    service_account,
)
from .rule import Context, Findings, StackFindings, rule

ENDPOINT: Final = "gcp:vertex/aiEndpoint:AiEndpoint"
INDEX_ENDPOINT: Final = "gcp:vertex/aiIndexEndpoint:AiIndexEndpoint"
WORKBENCH: Final = "gcp:workbench/instance:Instance"
COLAB: Final = "gcp:colab/runtimeTemplate:RuntimeTemplate"
REGISTERED: Final = "vertexops:index:RegisteredModel"
WATCH: Final = "vertexops:index:MonitoringJob"
ENCRYPTED: Final = tuple(
    f"gcp:vertex/{name[0].lower()}{name[1:]}:{name}"
    for name in (
        "AiDataset", "AiEndpoint", "AiFeatureOnlineStore", "AiFeatureStore", "AiIndex",
        "AiIndexEndpoint", "AiMetadataStore", "AiTensorboard",
    )
)  # fmt: skip
KEY: Final = {"kmsKeyName": "projects/p/locations/l/keyRings/r/cryptoKeys/k"}
VERSION: Final = "projects/iot-prod/locations/europe-west4/models/m@1"


def endpoint(**more: Any) -> tuple[str, dict[str, Any]]:
    given = {
        "displayName": "endpoint",
        "location": "europe-west4",
        "dedicatedEndpointEnabled": True,
        "predictRequestResponseLoggingConfig": {"enabled": True, "samplingRate": 0.1},
        "encryptionSpec": KEY,
        **more,
    }
    return ENDPOINT, {key: value for key, value in given.items() if value is not None}


def rollout(**model: Any) -> tuple[str, dict[str, Any]]:
    given = {
        "model": VERSION,
        "traffic": 100,
        "machineType": "n1-standard-2",
        "serviceAccount": email("pm-serving"),
        **model,
    }
    models = [{key: value for key, value in given.items() if value is not None}]
    return ROLLOUT, {"endpoint": "projects/iot-prod/locations/europe-west4/endpoints/1",
                     "models": models}  # fmt: skip


@rule(
    "V1", "A key of our own", "low", each="resource", types=(*ENCRYPTED, REGISTERED, WATCH),
    mandatory=False,
    only_strict="Whose key it is, an organisation decides.",
    protects="Models and data at rest, where the organisation wants to be able to withdraw the "
    "key.",
    bad={"endpoint": endpoint(encryptionSpec=None),
         "model": (REGISTERED, {"modelId": "m", "artifactUri": "gs://b/m"}),
         "watch": (WATCH, {"displayName": "drift"})},
    good={"endpoint": endpoint(),
          "model": (REGISTERED, {"modelId": "m", "artifactUri": "gs://b/m",
                                 "kmsKey": KEY["kmsKeyName"]}),
          "looked-up": (REGISTERED, {"model": VERSION}),
          "watch": (WATCH, {"displayName": "drift", "kmsKey": KEY["kmsKeyName"]})},
    remedy='encryption_spec={"kms_key_name": key.id}  # of vertexops: kms_key=key.id',
)  # fmt: skip
def own_key(found: Resource, context: Context) -> Findings:
    if found.kind in (REGISTERED.lower(), WATCH.lower()):
        # A version that is only looked up keeps the key that it was registered with.
        keyed = found.get("kmsKey") or found.get("model")
    else:
        keyed = found.get("encryptionSpec.kmsKeyName")
    if not keyed:
        yield "encrypted with Google's keys"


@rule(
    "V2", "An endpoint has a way in of its own", "medium", each="resource",
    types=(ENDPOINT, INDEX_ENDPOINT), mandatory=False,
    only_strict="Whether the shared host will do, its team knows.",
    protects="Predictions, from the load and the failures of others who share the region's host.",
    bad={"endpoint": endpoint(dedicatedEndpointEnabled=None)},
    good={"endpoint": endpoint()},
    remedy="dedicated_endpoint_enabled=True  # or network, or private_service_connect_config",
)  # fmt: skip
def way_in(found: Resource, context: Context) -> Findings:
    if found.get("network") or found.get("privateServiceConnectConfig"):
        return
    if found.kind == INDEX_ENDPOINT.lower():
        if found.get("publicEndpointEnabled") is True:
            yield "the index is served to the internet"
    elif found.get("dedicatedEndpointEnabled") is not True:
        yield "requests go through the host that the whole region shares"


@rule(
    "V3", "Predictions are logged", "low", each="resource", types=(ENDPOINT,), mandatory=False,
    only_strict="Whether answers may be kept, its team knows.",
    protects="The evidence of what a model answered, by which drift is found.",
    bad={"endpoint": endpoint(predictRequestResponseLoggingConfig=None)},
    good={"endpoint": endpoint()},
    remedy='predict_request_response_logging_config={"enabled": True, "sampling_rate": 0.1, ...}',
)  # fmt: skip
def logged(found: Resource, context: Context) -> Findings:
    if found.get("predictRequestResponseLoggingConfig.enabled") is not True:
        yield "requests and answers are not logged"


@rule(
    "V5", "Models are served where they may be", "high", each="resource",
    protects="Data that must not leave a region.",
    bad={"endpoint": endpoint(location="asia-east1")},
    good={"endpoint": endpoint()},
    remedy='location="europe-west4"  # one of locations in the config',
)  # fmt: skip
def region(found: Resource, context: Context) -> Findings:
    if found.module != "gcp:vertex" and found.kind != REGISTERED.lower():
        return
    allowed = [name.lower() for name in context.config.locations]
    for key in ("location", "region"):
        place = str(found.get(key, "")).lower()
        if place and allowed and place not in allowed:
            yield f"{key} is {place}; locations are {', '.join(allowed)}"


@rule(
    "V6", "Notebooks are not on the internet", "high", each="resource", types=(WORKBENCH, COLAB),
    protects="Machines on which people run any code, with an account's token at hand.",
    bad={"notebook": (WORKBENCH, {"location": "europe-west4-a", "gceSetup": {
        "serviceAccounts": [{"email": email("pm-training")}]}})},
    good={"notebook": (WORKBENCH, {"location": "europe-west4-a", "gceSetup": {
        "serviceAccounts": [{"email": email("pm-training")}], "disablePublicIp": True,
        "metadata": {"notebook-disable-root": "true"},
        "shieldedInstanceConfig": {"enableSecureBoot": True}}})},
    remedy='gce_setup={"disable_public_ip": True,\n'
    '    "metadata": {"notebook-disable-root": "true"},\n'
    '    "shielded_instance_config": {"enable_secure_boot": True}, ...}',
)  # fmt: skip
def notebooks(found: Resource, context: Context) -> Findings:
    if found.kind == COLAB.lower():
        if found.get("networkSpec.enableInternetAccess") is True:
            yield "networkSpec.enableInternetAccess is on"
        if found.get("shieldedVmConfig.enableSecureBoot") is not True:
            yield "shieldedVmConfig.enableSecureBoot is off"
        return
    if found.get("gceSetup.disablePublicIp") is not True:
        yield "gceSetup.disablePublicIp is off"
    if found.get("gceSetup.shieldedInstanceConfig.enableSecureBoot") is not True:
        yield "gceSetup.shieldedInstanceConfig.enableSecureBoot is off"
    metadata = found.get("gceSetup.metadata", {})
    if str(metadata.get("notebook-disable-root", "")).lower() != "true":
        yield "people are root there: the metadata notebook-disable-root is not true"


@rule(
    "V7", "Traffic adds up", "medium", each="resource", types=(ENDPOINT, ROLLOUT),
    protects="Predictions: Google refuses a split that is not 100, in the middle of a rollout.",
    bad={"rollout": rollout(traffic=90)},
    good={"rollout": rollout()},
    remedy='models=[{..., "traffic": 90}, {..., "traffic": 10}]',
)  # fmt: skip
def traffic(found: Resource, context: Context) -> Findings:
    if found.kind == ROLLOUT.lower():
        shares = [model.get("traffic") for model in _models(found)]
    else:
        split = found.get("trafficSplit")
        if not split:
            return
        try:
            shares = list((json.loads(split) if isinstance(split, str) else split).values())
        except (ValueError, AttributeError):
            yield "trafficSplit is no JSON object"
            return
    if UNKNOWN in shares:
        raise CannotJudge("traffic")
    if (total := sum(int(share or 0) for share in shares)) != 100:
        yield f"traffic is {' + '.join(map(str, shares))} = {total}, not 100"


def _models(found: Resource) -> list[dict[str, Any]]:
    """Raises CannotJudge."""
    models = found.get("models", [])
    if UNKNOWN in models:
        raise CannotJudge("models")
    return list(models)


@rule(
    "V8", "A model runs as an account of its own", "high", each="resource",
    types=(ROLLOUT, REGISTERED),
    protects="Against a model container with Vertex AI's own default account, or the deployer's.",
    bad={"rollout": rollout(serviceAccount=None)},
    good={"rollout": rollout()},
    remedy='models=[{..., "service_account": serving.email}]',
)  # fmt: skip
def runs_as_its_own(found: Resource, context: Context) -> Findings:
    if found.kind == REGISTERED.lower():
        named = found.get("serviceAccount", "")
        if named.endswith(DEFAULT_ACCOUNTS):
            yield f"its artifact is read as {named}, a default account"
        return
    for index, model in enumerate(_models(found)):
        named = model.get("serviceAccount")
        if named is UNKNOWN:
            raise CannotJudge(f"models[{index}].serviceAccount")
        if not named:
            yield f"models[{index}] names no serviceAccount"
        elif named.endswith(DEFAULT_ACCOUNTS):
            yield f"models[{index}] runs as {named}, a default account"
        elif "aiplatform.endpoints.deploy" in context.judge.needs_of(f"serviceAccount:{named}"):
            yield f"models[{index}] runs as {named}, which deploys"


@rule(
    "V9", "A model's account is weak, and this stack's", "critical", each="stack",
    protects="Everything that the account of a model may do: the model's code may do it too.",
    bad={
        "account": service_account("pm-mighty"),
        "role": custom_role("exampleMighty", "storage.buckets.setIamPolicy"),
        "grant": on_project("${role.name}", account("pm-mighty")),
        "rollout": rollout(serviceAccount=email("pm-mighty")),
    },
    good={
        "account": service_account("pm-weak"),
        "role": custom_role("exampleWeak", "aiplatform.endpoints.predict"),
        "grant": on_project("${role.name}", account("pm-weak")),
        "rollout": rollout(serviceAccount=email("pm-weak")),
    },
    remedy='serving = gcp.serviceaccount.Account("serving", account_id="serving")\n'
    "# with no grant on the project but what the model calls",
)  # fmt: skip
def weak_account(stack: Stack, context: Context) -> StackFindings:
    for found in stack.of(ROLLOUT):
        models = found.props.get("models")
        for model in models if isinstance(models, list) else ():
            named = model.get("serviceAccount") if isinstance(model, dict) else None
            if isinstance(named, str) and (why := stack.strong(f"serviceAccount:{named}")):
                yield found, f"a model runs as {named}, which {why}"


RULES: Final = (
    own_key, way_in, logged, region, notebooks, traffic, runs_as_its_own, weak_account,
)  # fmt: skip
