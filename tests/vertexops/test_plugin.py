"""The plugin as the engine sees it: gRPC on loopback, property values, failures, its own end."""

from __future__ import annotations

import inspect
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import status_pb2
from pulumi.runtime import proto, rpc
from pulumi.runtime.proto import provider_pb2_grpc

from pulumi_plugin.plugin import (
    UNKNOWN,
    Change,
    Context,
    Failure,
    Kind,
    PartialFailure,
    Plugin,
    Props,
    ProviderError,
    Resource,
    Secret,
    _Servicer,
    to_python,
    to_struct,
    to_value,
)
from vertexops import sdk
from vertexops.__main__ import VertexOps
from vertexops.schema import CONFIG

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
    servicer = _Servicer(ToyPlugin(), None)
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


def test_a_secret_comes_back_as_its_value() -> None:
    assert to_python(to_value(Secret({"a": UNKNOWN}))) == {"a": UNKNOWN}


def test_a_plain_failure_is_its_message_alone(stub: Any) -> None:
    with pytest.raises(grpc.RpcError) as failure:
        create(stub, none=True)
    assert failure.value.details() == "nothing of it"
    assert "grpc-status-details-bin" not in dict(failure.value.trailing_metadata())


def test_what_is_gone_reads_as_nothing(stub: Any) -> None:
    assert stub.Read(proto.ReadRequest(urn=URN, id="gone")).id == ""
    assert stub.Read(proto.ReadRequest(urn=URN, id="here")).inputs["read"] is True


@pytest.mark.parametrize(
    "value",
    [None, True, 0, 7, 1.5, "text", UNKNOWN, [1, [UNKNOWN]], {"a": {"b": [None, "c"]}}],
)
def test_property_values_come_back_as_they_went(value: Any) -> None:
    back = to_python(to_value(value))
    assert back == value and type(back) is type(value)


def test_secrets_and_outputs_are_unwrapped() -> None:
    def signed(signature: str, **fields: Any) -> Any:
        return to_python(to_value({rpc._special_sig_key: signature, **fields}))

    assert signed(rpc._special_secret_sig, value=[1]) == [1]
    assert signed(rpc._special_output_value_sig, value="known", secret=True) == "known"
    assert signed(rpc._special_output_value_sig) is UNKNOWN
    with pytest.raises(ValueError, match="unknown signature"):
        signed("nonsense")


ENGINE = """
import time
from concurrent.futures import ThreadPoolExecutor
import grpc
server = grpc.server(ThreadPoolExecutor(1))
print(server.add_insecure_port("127.0.0.1:0"), flush=True)
server.start()
time.sleep(600)
"""


def test_the_plugin_ends_with_the_engine_that_started_it() -> None:
    root = Path(sdk.__file__).parents[1]
    with ExitStack() as running:

        def start(*command: str) -> tuple[subprocess.Popen[bytes], str]:
            process = subprocess.Popen([sys.executable, *command], cwd=root, stdout=subprocess.PIPE)
            running.enter_context(process)
            running.callback(process.kill)
            assert process.stdout is not None
            return process, f"127.0.0.1:{int(process.stdout.readline())}"

        engine, address = start("-c", ENGINE)
        plugin, served = start("-m", "vertexops", "-v=3", address)
        with grpc.insecure_channel(served) as channel:
            stub: Any = provider_pb2_grpc.ResourceProviderStub(channel)
            assert stub.GetPluginInfo(proto.PluginInfo()).version == VertexOps.version
        assert plugin.poll() is None
        engine.kill()
        assert plugin.wait(timeout=20) == 0


def test_the_schema_and_the_python_classes_take_the_same_inputs() -> None:
    def python_names(properties: Any) -> set[str]:
        return {re.sub("[A-Z]", lambda found: f"_{found[0].lower()}", name) for name in properties}

    def accepted(function: Any) -> set[str]:
        return set(inspect.signature(function).parameters) - {"self", "resource_name", "opts"}

    schema = json.loads(VertexOps().schema())
    assert len(schema["resources"]) == 5
    for token, resource in schema["resources"].items():
        made = getattr(sdk, token.rpartition(":")[2])
        assert accepted(made.__init__) == python_names(resource["inputProperties"])
        assert set(made.__annotations__) <= python_names(resource["properties"])
    for name, made in (
        ("RolloutModel", sdk.RolloutModelArgs),
        ("Need", sdk.NeedArgs),
        ("Setting", sdk.SettingArgs),
    ):
        declared = schema["types"][f"vertexops:index:{name}"]["properties"]
        assert accepted(made) == python_names(declared)
    deployed = schema["types"]["vertexops:index:DeployedModel"]["properties"]
    assert accepted(sdk.DeployedModel) == python_names(deployed)
    assert accepted(sdk.Provider.__init__) == python_names(CONFIG)


def test_an_account_that_is_no_account_is_refused_in_the_configuration() -> None:
    plugin = VertexOps()
    _, failures = plugin.check_config({"impersonateServiceAccount": "me"}, Context())
    assert [failure.property for failure in failures] == ["impersonateServiceAccount"]
    _, failures = plugin.check_config({"impersonateServiceAccount": UNKNOWN}, Context())
    assert failures == []


def test_a_provider_that_is_not_configured_yet_says_so() -> None:
    plugin = VertexOps()
    plugin.configure({"project": "p", "impersonateServiceAccount": UNKNOWN}, Context())
    with pytest.raises(ProviderError, match="not known yet"):
        plugin.google.vertex("us-central1")


def test_code_that_pulumi_import_prints_can_be_run() -> None:
    schema = json.loads(VertexOps().schema())
    module = import_module(schema["language"]["python"]["packageName"])
    assert all(hasattr(module, token.rpartition(":")[2]) for token in schema["resources"])


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
    servicer = _Servicer(SlowPlugin(), engine)
    servicer.Create(proto.CreateRequest(urn=URN, properties=to_struct({"a": 1})), None)
    servicer.Read(proto.ReadRequest(urn=URN, id="quick"), None)
    assert engine.beside == {URN: ["creating", ""]}
    servicer.Delete(proto.DeleteRequest(urn=URN, id="the-id"), None)
    assert engine.beside == {URN: ["creating", "", "deleting", ""]}
