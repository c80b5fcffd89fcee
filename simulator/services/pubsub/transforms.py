"""Single message transforms: AI inference. JavaScript functions and compression answer 501.

Facts (docs pubsub/docs/smts/ai-inference-smt, as public summaries of 2026 quote it, and the
discovery document's `AIInference`): the message's data is the request as JSON, the `parameters` are
merged into it, a self-deployed model is asked by `rawPredict`, and the data becomes
`{"original_message": …, "model_output": …}`. The account needs `aiplatform.endpoints.get` and
`.predict`; one such transform a resource, five transforms in all; the endpoint of a topic's is in
a region that its storage policy allows; private endpoints are not supported. Data is not checked
before it reaches the model.

Inferred: that what the message says wins over a parameter of the same name; that the two
permissions are checked, and the endpoint read, when the transform is declared (a public lab says
that deploying fails without the grants); all error texts.
"""

from __future__ import annotations

import base64
import json
import re
from typing import Any

from simulator.api.calls import Call, Methods, Reply
from simulator.api.discovery import Discovery
from simulator.api.errors import ApiError, failed_precondition, invalid, unimplemented
from simulator.core.cloud import Cloud
from simulator.core.principal import Principal
from simulator.services.pubsub.state import PubSub, check_act_as, project_of, service_denied
from simulator.services.serviceusage import Services
from simulator.services.vertex.predictions import PREDICT, dedicated_dns
from simulator.services.vertex.state import Vertex, region_of

MOST = 5
KINDS = ("aiInference", "javascriptUdf", "compression")
ENDPOINT = re.compile(r"projects/[^/]+/locations/[^/]+/endpoints/[^/]+")
PUBLISHER_MODEL = re.compile(r"projects/[^/]+/locations/[^/]+/publishers/[^/]+/models/[^/]+")
NEEDED = ("aiplatform.endpoints.get", PREDICT)


def check(call: Call, name: str, info: dict[str, Any]) -> None:
    """Raise unless the resource's transforms can be used, and may be by the caller."""
    transforms = info.get("messageTransforms", [])
    if len(transforms) > MOST:
        raise invalid(f"{len(transforms)} message transforms are more than the maximum of {MOST}.")
    kinds = [_kind(item) for item in transforms]
    if kinds.count("aiInference") > 1:
        raise invalid("At most one message transform can be an AI inference.")
    regions = info.get("messageStoragePolicy", {}).get("allowedPersistenceRegions")
    for item in transforms:
        _check_inference(call, name, item["aiInference"], regions)


def _kind(transform: dict[str, Any]) -> str:
    kinds = [kind for kind in KINDS if kind in transform]
    if len(kinds) != 1:
        raise invalid(f"A message transform needs exactly one of {', '.join(KINDS)}.")
    if kinds[0] != "aiInference":
        raise unimplemented(f"A message transform with {kinds[0]}")
    return kinds[0]


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


def apply(
    cloud: Cloud, name: str, transforms: list[dict[str, Any]], message: dict[str, Any]
) -> dict[str, Any]:
    """The message as the transforms of `name` leave it; FAILED_PRECONDITION when one fails."""
    for item in transforms:
        if not item.get("disabled"):
            message = {**message, "data": _inferred(cloud, name, item["aiInference"], message)}
    return message


def _inferred(cloud: Cloud, name: str, inference: dict[str, Any], message: dict[str, Any]) -> str:
    parameters = inference.get("unstructuredInference", {}).get("parameters", {})
    account = cloud[PubSub].acting(inference.get("serviceAccountEmail", ""), name)
    try:
        original = json.loads(base64.b64decode(message.get("data", "")))
        output = _predicted(cloud, account, _endpoint(cloud, inference), {**parameters, **original})
    except (ValueError, TypeError) as error:
        raise failed_precondition(
            f"The message of {name} is not a JSON object to send to the model: {error}"
        ) from error
    except ApiError as error:
        raise failed_precondition(f"The AI inference of {name} failed: {error.message}") from error
    wrapped = {"original_message": original, "model_output": output}
    return base64.b64encode(json.dumps(wrapped).encode()).decode()


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
