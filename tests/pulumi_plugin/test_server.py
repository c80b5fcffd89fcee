"""A plugin as the engine sees it: gRPC on loopback, failures, what is secret, what is said."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from google.rpc import status_pb2
from pulumi.runtime import proto, rpc
from pulumi.runtime.proto import provider_pb2_grpc

import pulumi_plugin
from pulumi_plugin import protocol
from pulumi_plugin.kinds import (
    Change,
    Context,
    Failure,
    Kind,
    PartialFailure,
    Plugin,
    ProviderError,
    Resource,
)
from pulumi_plugin.server import Servicer
from pulumi_plugin.values import Props, to_struct

ROOT = Path(__file__).parents[2]
URN = "urn:pulumi:dev::p::toy:index:Toy::name"


class Toy(Kind):
    secrets = ("password", "logins.key")

    def check(self, inputs: Props, old_inputs: Props, context: Context) -> Any:
        return inputs, [Failure("models[1].traffic", "is wrong")] if "wrong" in inputs else []

    def diff(self, id: str, old_inputs: Props, old_outputs: Props, inputs: Props) -> Change:
        return Change(("models[1].traffic",), ("endpoint",), stables=("email",))

    def create(self, inputs: Props, context: Context) -> tuple[str, Props]:
        if "half" in inputs:
            made = {"done": 1, "password": "pw"}
            raise PartialFailure("the-id", made, {"half": True}, "half of it")
        if "none" in inputs:
            raise ProviderError("nothing of it")
        return "the-id", inputs

    def read(self, id: str, inputs: Props, outputs: Props, context: Context) -> Resource | None:
        if id == "gone":
            return None
        return Resource(id, {"read": True, "password": "pw"}, {"password": None})

    def delete(self, id: str, inputs: Props, outputs: Props, context: Context) -> None: ...


class ToyPlugin(Plugin):
    name = "toy"

    def configure(self, inputs: Props, context: Context) -> None: ...

    def kind(self, token: str) -> Kind:
        assert token == "toy:index:Toy"
        return Toy()


@pytest.fixture
def stub() -> Iterator[Any]:
    server = grpc.server(ThreadPoolExecutor(2))
    servicer = Servicer(ToyPlugin(), None)
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield provider_pb2_grpc.ResourceProviderStub(channel)
    server.stop(None)


def create(stub: Any, **inputs: Any) -> Any:
    return stub.Create(proto.CreateRequest(urn=URN, properties=to_struct(inputs)))


def test_failures_name_their_property(stub: Any) -> None:
    answer = stub.Check(proto.CheckRequest(urn=URN, news=to_struct({"wrong": 1})))
    assert [(f.property, f.reason) for f in answer.failures] == [("models[1].traffic", "is wrong")]


def test_a_diff_has_paths_and_the_properties_they_are_in(stub: Any) -> None:
    answer = stub.Diff(proto.DiffRequest(urn=URN, id="x"))
    assert set(answer.detailedDiff) == {"models[1].traffic", "endpoint"}
    assert list(answer.diffs) == ["endpoint", "models"]
    assert list(answer.replaces) == ["endpoint"] and list(answer.stables) == ["email"]


def test_a_partial_failure_keeps_what_is_there(stub: Any) -> None:
    with pytest.raises(grpc.RpcError) as failure:
        create(stub, half=True)
    metadata = dict(failure.value.trailing_metadata())
    status = status_pb2.Status.FromString(metadata["grpc-status-details-bin"])
    detail = proto.ErrorResourceInitFailed()
    assert status.details[0].Unpack(detail)
    assert (detail.id, list(detail.reasons)) == ("the-id", ["half of it"])
    assert detail.properties["done"] == 1 and detail.inputs["half"] is True
    assert is_secret(detail.properties["password"])


def is_secret(value: Any) -> bool:
    return bool(value[rpc._special_sig_key] == rpc._special_secret_sig)


def test_what_is_secret_by_nature_leaves_the_plugin_as_a_secret(stub: Any) -> None:
    logins = [{"user": "a", "key": "k"}, {"user": "b"}]
    made = create(stub, password="pw", logins=logins, open="text").properties
    assert is_secret(made["password"]) and made["password"]["value"] == "pw"
    assert is_secret(made["logins"][0]["key"]) and made["logins"][0]["user"] == "a"
    assert list(made["logins"][1]) == ["user"] and made["open"] == "text"
    checked = stub.Check(proto.CheckRequest(urn=URN, news=to_struct({"password": "pw"})))
    assert is_secret(checked.inputs["password"])
    found = stub.Read(proto.ReadRequest(urn=URN, id="here"))
    assert is_secret(found.inputs["password"]) and is_secret(found.properties["password"])


def test_a_plain_failure_is_its_message_alone(stub: Any) -> None:
    with pytest.raises(grpc.RpcError) as failure:
        create(stub, none=True)
    assert failure.value.details() == "nothing of it"
    assert "grpc-status-details-bin" not in dict(failure.value.trailing_metadata())


def test_what_is_gone_reads_as_nothing(stub: Any) -> None:
    assert stub.Read(proto.ReadRequest(urn=URN, id="gone")).id == ""
    assert stub.Read(proto.ReadRequest(urn=URN, id="here")).inputs["read"] is True


class Watched:
    """The engine's side: what stands beside each resource in the end."""

    def __init__(self) -> None:
        self.beside: dict[str, list[str]] = {}

    def Log(self, request: Any) -> None:
        assert request.ephemeral
        self.beside.setdefault(request.urn, []).append(request.message)


class Slow(Toy):
    def create(self, inputs: Props, context: Context) -> tuple[str, Props]:
        context.status("creating")
        return super().create(inputs, context)

    def delete(self, id: str, inputs: Props, outputs: Props, context: Context) -> None:
        context.status("deleting")


class SlowPlugin(ToyPlugin):
    def kind(self, token: str) -> Kind:
        return Slow()


def test_no_progress_text_stays_beside_a_resource_when_it_is_done() -> None:
    engine = Watched()
    servicer = Servicer(SlowPlugin(), engine)
    servicer.Create(proto.CreateRequest(urn=URN, properties=to_struct({"a": 1})), None)
    servicer.Read(proto.ReadRequest(urn=URN, id="quick"), None)
    assert engine.beside == {URN: ["creating", ""]}
    servicer.Delete(proto.DeleteRequest(urn=URN, id="the-id"), None)
    assert engine.beside == {URN: ["creating", "", "deleting", ""]}


class Warning(Toy):
    def create(self, inputs: Props, context: Context) -> tuple[str, Props]:
        context.warn("odd")
        return super().create(inputs, context)


class WarningPlugin(ToyPlugin):
    def kind(self, token: str) -> Kind:
        return Warning()


def test_a_warning_is_about_its_resource_and_stays() -> None:
    logged: list[Any] = []
    servicer = Servicer(WarningPlugin(), SimpleNamespace(Log=logged.append))
    servicer.Create(proto.CreateRequest(urn=URN, properties=to_struct({})), None)
    said = [(one.urn, one.severity, one.message, one.ephemeral) for one in logged]
    assert said == [(URN, proto.WARNING, "odd", False)]


def test_a_plugin_starts_without_the_sdk_for_programs() -> None:
    """It would take longer than all the rest of the start."""
    code = "import sys, pulumi_plugin.server; print('pulumi' in sys.modules)"
    root = Path(pulumi_plugin.__file__).parents[1]
    said = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, check=True)
    assert said.stdout.split() == [b"False"]


def test_the_protocol_is_the_sdks() -> None:
    assert protocol.proto.CreateRequest is proto.CreateRequest


# A plugin that tells what it was configured with; engines attach to it.
ATTACHED = """
from pulumi_plugin.kinds import Plugin
from pulumi_plugin.server import serve

class Told(Plugin):
    name = "told"

    def configure(self, inputs, context):
        self.inputs = inputs

    def kind(self, token):
        raise NotImplementedError

    def invoke(self, token, arguments, context):
        return self.inputs

serve(Told)
"""


def test_a_plugin_without_an_engine_serves_those_that_attach_each_with_its_own_settings() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", ATTACHED],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdin and process.stdout
    address = f"127.0.0.1:{process.stdout.readline().strip()}"
    # As from two engines: this process would share its connections.
    apart = [("grpc.use_local_subchannel_pool", 1)]
    engine = grpc.server(ThreadPoolExecutor(1))
    port = engine.add_insecure_port("127.0.0.1:0")
    engine.start()
    with (
        grpc.insecure_channel(address, options=apart) as one,
        grpc.insecure_channel(address, options=apart) as other,
    ):
        stubs = [provider_pb2_grpc.ResourceProviderStub(channel) for channel in (one, other)]
        for number, stub in enumerate(stubs):
            stub.Handshake(proto.ProviderHandshakeRequest())
            stub.Attach(proto.PluginAttach(address=f"127.0.0.1:{port}"))
            stub.Configure(proto.ConfigureRequest(args=to_struct({"number": number})))
        told = [getattr(stub.Invoke(proto.InvokeRequest(tok="t")), "return") for stub in stubs]
    assert [answer["number"] for answer in told] == [0, 1]
    process.stdin.close()
    assert process.wait(20) == 0
    engine.stop(None)
