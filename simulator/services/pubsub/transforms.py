"""Single message transforms: AI inference and JavaScript functions. Compression answers 501.

Facts (docs pubsub/docs/smts, as public summaries of 2026 quote them, and the discovery document):
transforms run in their order, disabled ones not at all; a resource has at most five, one AI
inference among them, and each function has a name of its own. A topic's run before its schema is
checked and before anything is stored, for all subscriptions; one message that fails in one fails
the whole publish request. A subscription's run before delivery, after its filter; what fails there
is delivered again later, or goes to the dead-letter topic. Null filters a message.

AI inference (docs pubsub/docs/smts/ai-inference-smt): the message's data is the request as JSON,
the `parameters` are merged into it, a self-deployed model is asked by `rawPredict`, once a message
("no client-side batching"), and the data becomes `{"original_message": …, "model_output": …}`. The
account needs `aiplatform.endpoints.get` and `.predict`; the endpoint of a topic's is in a region
that its storage policy allows; private endpoints are not supported. Data is not checked before it
reaches the model.

Inferred: that what the message says wins over a parameter of the same name; that the two
permissions are checked, the endpoint read and the code compiled when a transform is declared (a
public lab says that deploying fails without the grants); that a topic's function has neither id nor
time of the message, which it gets when it is stored; that a filtered message has an id for its
publisher, who counts them, and is acknowledged for its subscription. The status and text of a
failing transform are not recorded anywhere: FAILED_PRECONDITION and all texts are ours.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from typing import Any

from simulator.api.calls import Call, Methods, Reply
from simulator.api.discovery import Discovery
from simulator.api.errors import ApiError, failed_precondition, invalid, unimplemented
from simulator.core.cloud import Cloud
from simulator.core.principal import Principal
from simulator.services.pubsub.javascript import Script, ScriptError
from simulator.services.pubsub.state import PubSub, check_act_as, project_of, service_denied
from simulator.services.serviceusage import Services
from simulator.services.vertex.predictions import PREDICT, dedicated_dns
from simulator.services.vertex.state import Vertex, region_of

MOST = 5
KINDS = ("aiInference", "javascriptUdf", "compression")
ENDPOINT = re.compile(r"projects/[^/]+/locations/[^/]+/endpoints/[^/]+")
PUBLISHER_MODEL = re.compile(r"projects/[^/]+/locations/[^/]+/publishers/[^/]+/models/[^/]+")
NEEDED = ("aiplatform.endpoints.get", PREDICT)
# docs pubsub/quotas: the largest message.
MOST_BYTES = 10_000_000

Message = dict[str, Any]
Transform = Callable[[Message], Message | None]
"""Makes a message of a message, None when it is filtered; raises FAILED_PRECONDITION."""


def check(call: Call, name: str, info: dict[str, Any]) -> None:
    """Raise unless the resource's transforms can be used, and may be by the caller."""
    transforms = info.get("messageTransforms", [])
    if len(transforms) > MOST:
        raise invalid(f"{len(transforms)} message transforms are more than the maximum of {MOST}.")
    kinds = [_kind(item) for item in transforms]
    if kinds.count("aiInference") > 1:
        raise invalid("At most one message transform can be an AI inference.")
    functions = [item["javascriptUdf"] for item in transforms if "javascriptUdf" in item]
    if len({item.get("functionName") for item in functions}) < len(functions):
        raise invalid("Each JavaScript function of a resource needs a name of its own.")
    for item in functions:
        _script(call.cloud, item)
    regions = info.get("messageStoragePolicy", {}).get("allowedPersistenceRegions")
    for item in transforms:
        if "aiInference" in item:
            _check_inference(call, name, item["aiInference"], regions)


def _kind(transform: dict[str, Any]) -> str:
    kinds = [kind for kind in KINDS if kind in transform]
    if len(kinds) != 1:
        raise invalid(f"A message transform needs exactly one of {', '.join(KINDS)}.")
    if kinds[0] == "compression":
        raise unimplemented(f"A message transform with {kinds[0]}")
    return kinds[0]


def _script(cloud: Cloud, function: dict[str, Any]) -> Script:
    return cloud[PubSub].script(function.get("functionName", ""), function.get("code", ""))


def _check_inference(
    call: Call, name: str, inference: dict[str, Any], regions: list[str] | None
) -> None:
    if email := inference.get("serviceAccountEmail"):
        check_act_as(call, email)
    endpoint = _endpoint(call.cloud, inference)
    if regions is not None and region_of(endpoint) not in regions:
        raise invalid(
            f"The endpoint {endpoint} is not in a region that the message storage policy allows: "
            f"{', '.join(regions)}."
        )
    account = call.cloud[PubSub].acting(inference.get("serviceAccountEmail", ""), name)
    for permission in NEEDED:
        if not call.allowed(permission, endpoint, principal=account):
            raise service_denied(permission, endpoint)
    call.cloud[Vertex].endpoint(endpoint)


def _endpoint(cloud: Cloud, inference: dict[str, Any]) -> str:
    endpoint = str(inference.get("endpoint", ""))
    if PUBLISHER_MODEL.fullmatch(endpoint):
        raise unimplemented("An AI inference by a publisher's model")
    if not ENDPOINT.fullmatch(endpoint):
        raise invalid(
            f"The endpoint {endpoint} is not of the form "
            "projects/{project}/locations/{location}/endpoints/{endpoint}."
        )
    return cloud[Vertex].normal(endpoint)


def of(cloud: Cloud, name: str, transforms: list[dict[str, Any]]) -> Transform:
    """The transforms of the topic or subscription `name`, one after the other, for a batch.

    What does not depend on a message is looked up once.
    """
    steps = [
        _function(cloud, name, item["javascriptUdf"])
        if "javascriptUdf" in item
        else _inference(cloud, name, item["aiInference"])
        for item in transforms
        if not item.get("disabled")
    ]

    def apply(message: Message) -> Message | None:
        for step in steps:
            made = step(message)
            if made is None:
                return None
            message = made
        return message

    return apply


def _function(cloud: Cloud, name: str, function: dict[str, Any]) -> Transform:
    script, label = _script(cloud, function), f"{function['functionName']} of {name}"

    def transform(message: Message) -> Message | None:
        try:
            data = base64.b64decode(message.get("data", "")).decode()
            attributes = message.get("attributes", {})
            made = script(data, attributes, _metadata(message), cloud.clock.now())
        except UnicodeDecodeError as error:
            raise failed_precondition(f"The data for {label} is not UTF-8: {error}") from error
        except ScriptError as error:
            raise failed_precondition(f"The function {label} failed: {error}") from error
        if made is None:
            return None
        if not any(made):
            raise failed_precondition(f"The function {label} left neither data nor attributes.")
        return _changed(label, message, made[0].encode()) | {"attributes": made[1]}

    return transform


def _metadata(message: Message) -> dict[str, str]:
    """`publish_time` is documented as YYYY-MM-DDTHH:MM:SSZ."""
    found = {
        "message_id": message.get("messageId", ""),
        "publish_time": re.sub(r"\.\d+", "", message.get("publishTime", "")),
        "ordering_key": message.get("orderingKey", ""),
    }
    return {key: value for key, value in found.items() if value}


def _changed(label: str, message: Message, data: bytes) -> Message:
    if len(data) > MOST_BYTES:
        raise failed_precondition(f"{label} made a message of {len(data)} bytes.")
    return {**message, "data": base64.b64encode(data).decode()}


def _inference(cloud: Cloud, name: str, inference: dict[str, Any]) -> Transform:
    parameters = inference.get("unstructuredInference", {}).get("parameters", {})
    account = cloud[PubSub].acting(inference.get("serviceAccountEmail", ""), name)
    endpoint = _endpoint(cloud, inference)

    def transform(message: Message) -> Message:
        try:
            original = json.loads(base64.b64decode(message.get("data", "")))
            output = _predicted(cloud, account, endpoint, {**parameters, **original})
        except (ValueError, TypeError) as error:
            raise failed_precondition(
                f"The message of {name} is not a JSON object to send to the model: {error}"
            ) from error
        except ApiError as error:
            raise failed_precondition(
                f"The AI inference of {name} failed: {error.message}"
            ) from error
        wrapped = {"original_message": original, "model_output": output}
        return _changed(f"The AI inference of {name}", message, json.dumps(wrapped).encode())

    return transform


def _predicted(
    cloud: Cloud, account: Principal, endpoint: str, request: dict[str, Any]
) -> dict[str, Any]:
    """What the endpoint's `rawPredict` answers the account, on the host that serves it."""
    host, path = f"{region_of(endpoint)}-aiplatform.googleapis.com", f"/v1/{endpoint}:rawPredict"
    method, params = cloud[Discovery].route(host, "POST", path)
    call = Call(
        cloud=cloud,
        method=method,
        host=host,
        verb="POST",
        path=path,
        params=dict(params),
        body=request,
        media=b"",
        media_type="application/json",
        headers={},
        principal=account,
    )
    handler = cloud[Methods].get(method.id)
    assert handler and handler.on, "a prediction is checked on its endpoint"
    call.resource = handler.on(call)
    cloud[Services].require(project_of(endpoint), method.service)
    for permission in handler.permissions:
        call.check(permission, call.resource)
    if cloud[Vertex].endpoint(endpoint).info.get("dedicatedEndpointEnabled"):
        call.host = dedicated_dns(call, endpoint)
    reply = handler.function(call)
    body = reply.body if isinstance(reply, Reply) else reply
    assert isinstance(body, dict), "the containers that run here answer JSON"
    return body
