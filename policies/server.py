"""How the engine's questions reach the pack: as the SDK serves them, without what no rule needs.

For each resource the engine asks twice, one after the other: what to remediate, and what is wrong.
The SDK sets up its runtime each time, and turns the properties into JSON, values, and proxies that
guard them, anew for each policy; at the end of the program it does so with the whole stack. That,
and Python's gRPC server, take longer than the rules. Here properties are read once, straight from
the message, over the little HTTP/2 that the engine speaks. The pack changes nothing, so it does not
have `Remediate` at all, which the engine takes for an answer.

It stands on parts that are the SDK's own, so `policies.serve` starts it only with releases that it
knows; with any other the SDK serves the pack, slower, and nothing is judged differently.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from typing import Any, Final

from google.protobuf import json_format, message_factory, struct_pb2
from pulumi.runtime.proto import analyzer_pb2
from pulumi_policy import EnforcementLevel, Policy, ResourceValidationPolicy, proxy
from pulumi_policy import policy as sdk
from pulumi_policy.deserialize import (
    SPECIAL_SECRET_SIG,
    SPECIAL_SIG_KEY,
    deserialize_properties,
)

from policies.http2 import Method, Server
from policies.pack import Given, Whole
from policies.view import UNKNOWN, Props, Resource, plain

CALLS: Final = (
    "GetPluginInfo",
    "GetAnalyzerInfo",
    "ConfigureStack",
    "Configure",
    "Analyze",
    "AnalyzeStack",
)
UNKNOWNS: Final = frozenset(
    value for name, value in vars(proxy).items() if name.startswith("UNKNOWN_")
)


class Servicer(sdk._PolicyAnalyzerServicer):
    """Answers about resources and stacks; all else the SDK does."""

    def __init__(self, name: str, version: str, policies: list[Policy], *more: Any) -> None:
        super().__init__(name, version, policies, *more)
        self._of_resources = [p for p in policies if isinstance(p, ResourceValidationPolicy)]
        self._of_stacks = [p for p in policies if not isinstance(p, ResourceValidationPolicy)]

    def Analyze(self, request: Any, _context: Any) -> analyzer_pb2.AnalyzeResponse:
        return self._judged(self._of_resources, resource(request))

    def AnalyzeStack(self, request: Any, _context: Any) -> analyzer_pb2.AnalyzeResponse:
        given = tuple(
            Given(one.urn, dependencies(one), partial(resource, one)) for one in request.resources
        )
        return self._judged(self._of_stacks, Whole(given))

    def _judged(self, policies: Iterable[Any], args: Any) -> analyzer_pb2.AnalyzeResponse:
        response = analyzer_pb2.AnalyzeResponse()
        for policy in policies:
            level = self._get_enforcement_level(policy)
            if level is EnforcementLevel.DISABLED:
                continue
            if level is EnforcementLevel.REMEDIATE:
                level = EnforcementLevel.MANDATORY
            policy.validate(
                args,
                self._create_report_violation(
                    response, policy.name, policy.description, level, policy.severity
                ),
            )
        return response


def resource(message: Any) -> Resource:
    """A resource of an Analyze or AnalyzeStack request."""
    project = None
    if message.HasField("provider") and (given := message.provider.properties.fields):
        project = read(given["project"]) if "project" in given else None
    return Resource(
        message.type,
        message.name,
        message.urn,
        read_struct(message.properties),
        project if isinstance(project, str) else "",
    )


def dependencies(message: Any) -> dict[str, tuple[str, ...]]:
    """URNs by property."""
    return {name: tuple(of.urns) for name, of in message.propertyDependencies.items()}


def read_struct(struct: struct_pb2.Struct) -> Props:
    return {key: read(value) for key, value in struct.fields.items()}


def read(value: struct_pb2.Value) -> Any:
    """What `plain` makes of the SDK's proxies."""
    match value.WhichOneof("kind"):
        case "string_value":
            text = value.string_value
            return UNKNOWN if text in UNKNOWNS else text
        case "bool_value":
            return value.bool_value
        case "number_value":
            number = value.number_value
            return int(number) if number.is_integer() else number
        case "list_value":
            return [read(item) for item in value.list_value.values]
        case "struct_value":
            fields = value.struct_value.fields
            if SPECIAL_SIG_KEY not in fields:
                return read_struct(value.struct_value)
            if fields[SPECIAL_SIG_KEY].string_value == SPECIAL_SECRET_SIG and "value" in fields:
                return read(fields["value"])
            # Files and archives are rare, and the SDK knows their forms.
            form = deserialize_properties({"": json_format.MessageToDict(value)})
            return plain(proxy.unknown_checking_proxy(form)[""])
    return None


def methods(servicer: Servicer) -> dict[str, Method]:
    """What the servicer does, by the path that the engine calls it by."""
    service = analyzer_pb2.DESCRIPTOR.services_by_name["Analyzer"]
    answers: dict[str, Method] = {}
    for name in CALLS:
        request = message_factory.GetMessageClass(service.methods_by_name[name].input_type)
        answers[f"/{service.full_name}/{name}"] = partial(
            _answer, getattr(servicer, name), request.FromString
        )
    return answers


def _answer(method: Callable[..., Any], read: Callable[[bytes], Any], message: bytes) -> bytes:
    return bytes(method(read(message), None).SerializeToString())


def serve(name: str, policies: list[Policy]) -> None:
    """As PolicyPack: prints the port, then serves until the engine ends the process."""
    # The version in PulumiPolicy.yaml, where there is one, counts for more than this.
    servicer = Servicer(name, "0.0.1", policies, EnforcementLevel.ADVISORY)
    with Server(methods(servicer)) as server, suppress(KeyboardInterrupt):
        print(server.port, flush=True)
        server.serve_forever()
