"""Our plugin as the engine sees it: its schema, its configuration, its own end."""

from __future__ import annotations

import inspect
import json
import re
import subprocess
import sys
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from typing import Any

import grpc
import pytest
from pulumi.runtime import proto
from pulumi.runtime.proto import provider_pb2_grpc

from pulumi_plugin.kinds import Context, ProviderError
from pulumi_plugin.values import UNKNOWN
from vertexops import sdk
from vertexops.__main__ import VertexOps
from vertexops.schema import CONFIG

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
    assert len(schema["resources"]) == 10
    for token, resource in schema["resources"].items():
        made = getattr(sdk, token.rpartition(":")[2])
        assert accepted(made.__init__) == python_names(resource["inputProperties"])
        assert set(made.__annotations__) <= python_names(resource["properties"])
    for name, made in (
        ("RolloutModel", sdk.RolloutModelArgs),
        ("MonitoringObjective", sdk.MonitoringObjectiveArgs),
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


def test_it_starts_without_what_only_a_call_of_google_needs() -> None:
    late = {"pulumi", "requests", "google.auth", "google.api_core", "google.cloud.aiplatform_v1"}
    code = "import sys, vertexops.__main__; print(*sys.modules)"
    root = Path(sdk.__file__).parents[1]
    said = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, check=True)
    assert late.isdisjoint(said.stdout.decode().split())
