"""A rehearsal reaches nothing else, leaves nothing open, and does not meet another one."""

from __future__ import annotations

import io
import json
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3
from rich.console import Console

from rehearsal import environment as environments
from rehearsal import telemetry, toolchain
from rehearsal.engine import Apart, Engine, session_of
from rehearsal.report import Report
from rehearsal.sandbox import GoogleError, Sandbox, clean_environment
from rehearsal.scene import UNWATCHED
from rehearsal.world import World
from rehearsal.world import opened as opened_world
from tests.rehearsal.playing import ROOT

ENGINEER = "platform@example.com"
LOOPBACK = ("0100007F", "00000000000000000000000001000000", "0000000000000000FFFF00000100007F")
LISTENING = "0A"
FIRST_CHANGE = {"after": 1}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


def opened(models: Path) -> tuple[Sandbox, environments.Environment]:
    environment = environments.load("staging", models, **UNWATCHED)
    return Sandbox(environments.seed(environment), at_once=True), environment


@pytest.fixture
def sandbox(models: Path) -> Iterator[Sandbox]:
    with opened(models)[0] as sandbox:
        yield sandbox


@pytest.fixture
def world(models: Path) -> Iterator[World]:
    environment, plugin = (
        environments.load("staging", models, **UNWATCHED),
        toolchain.gcp_plugin("standin"),
    )
    with opened_world(environment, models, plugin=plugin, policies=False, at_once=True) as world:
        yield world


def open_ports(pids: list[int]) -> set[str]:
    """The addresses, as the kernel writes them, on which these processes listen."""
    inodes = set()
    for pid in pids:
        for entry in Path(f"/proc/{pid}/fd").glob("*"):
            target = os.readlink(entry) if entry.is_symlink() else ""
            if target.startswith("socket:["):
                inodes.add(target[8:-1])
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == LISTENING and fields[9] in inodes:
                found.add(fields[1].partition(":")[0])
    return found


def halted(world: World) -> Apart:
    """An `up` that hangs after its first change."""
    world.sandbox.control("POST", "/halt", FIRST_CHANGE)
    running = world.engine.apart("up")
    while not world.sandbox.control("GET", "/halt")["at"]:
        assert running.running, running.outcome().errors
    return running


linux = pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="reads Linux's /proc")


@linux
def test_cloud_engine_and_plugins_listen_on_loopback_only(world: World) -> None:
    running = halted(world)
    try:
        engine = open_ports(session_of(running.pid))
        cloud = open_ports(
            [json.loads((world.sandbox.directory / "ready.json").read_text())["pid"]]
        )
    finally:
        running.kill()
    assert engine and cloud
    assert engine | cloud <= set(LOOPBACK)


def test_a_kill_takes_the_engine_and_its_plugins_and_nothing_else(world: World) -> None:
    bystander = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    running = halted(world)
    members = session_of(running.pid)
    names = subprocess.run(
        ["ps", "-o", "args=", "-p", ",".join(map(str, members))], capture_output=True, text=True
    ).stdout
    assert "bin/pulumi " in names and "standin" in names
    running.kill()
    assert session_of(running.pid) == []
    assert bystander.poll() is None
    bystander.communicate()
    assert world.sandbox.control("GET", "/halt")["at"]


@pytest.mark.parametrize("host", ["example.com", "metadata.google.internal", "api.pulumi.com"])
def test_any_other_host_is_refused_and_listed(sandbox: Sandbox, host: str) -> None:
    variables = sandbox.environment(ENGINEER)
    proxy = urllib3.ProxyManager(variables["HTTPS_PROXY"], retries=False)
    with pytest.raises(urllib3.exceptions.ProxyError):
        proxy.request("GET", f"https://{host}/")
    assert sandbox.control("GET", "/stats")["refused_hosts"] == {host: 1}


def test_plain_http_never_leaves(sandbox: Sandbox) -> None:
    variables = sandbox.environment(ENGINEER)
    proxy = urllib3.ProxyManager(variables["HTTP_PROXY"], retries=False)
    assert proxy.request("GET", "http://example.com/").status == 405


def test_refused_hosts_are_shown_at_the_end() -> None:
    shown = io.StringIO()
    report = Report("staging", Console(file=shown))
    report.refused()
    assert shown.getvalue() == ""
    report.summary["refused_hosts"] = {"example.com": 2}
    report.refused()
    assert "refused: example.com, 2 times" in shown.getvalue()


def test_everything_is_in_a_directory_for_its_owner_only(world: World) -> None:
    directory = world.sandbox.directory
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert directory in world.engine.directory.parents
    for name in ("ready.json", f"{ENGINEER}.json"):
        assert stat.S_IMODE((directory / name).stat().st_mode) == 0o600
    for name in ("PULUMI_HOME", "CLOUDSDK_CONFIG", "GOOGLE_APPLICATION_CREDENTIALS"):
        assert directory in Path(world.engine.variables[name]).parents


def test_no_private_key_is_ever_left_in_a_file(world: World) -> None:
    running = halted(world)
    running.kill()
    files = [path for path in world.sandbox.directory.rglob("*") if path.is_file()]
    assert any(b"BEGIN CERTIFICATE" in path.read_bytes() for path in files)
    assert not [path for path in files if b"PRIVATE KEY" in path.read_bytes()]


def test_a_careless_umask_opens_nothing(tmp_path: Path) -> None:
    directory = tmp_path / "sandbox"
    cloud = subprocess.Popen(
        [sys.executable, "-m", "simulator", "--directory", directory, "--stop-with-parent"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        umask=0,
    )
    assert cloud.stdin and cloud.stdout
    cloud.stdin.write("{}\n")
    cloud.stdin.flush()
    ready = Path(cloud.stdout.readline().strip())
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in (directory, ready)}
    cloud.communicate()
    assert modes == {directory: 0o700, ready: 0o600}


def test_nothing_is_left_when_the_sandbox_closes(models: Path) -> None:
    with opened(models)[0] as sandbox:
        directory = sandbox.directory
        pid = json.loads((directory / "ready.json").read_text())["pid"]
    assert not directory.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_two_rehearsals_of_a_stack_share_neither_ports_nor_directories(models: Path) -> None:
    sandboxes = [opened(models) for _ in range(2)]
    with sandboxes[0][0] as one, sandboxes[1][0] as other:
        plugin = toolchain.gcp_plugin("standin")
        engines = [
            Engine(sandbox, environment, plugin, policies=False)
            for sandbox, (_, environment) in zip((one, other), sandboxes, strict=True)
        ]
        own = (
            "HTTPS_PROXY",
            "SSL_CERT_FILE",
            "PULUMI_HOME",
            "PULUMI_BACKEND_URL",
            "PULUMI_CONFIG_PASSPHRASE",
            "GOOGLE_APPLICATION_CREDENTIALS",
        )
        for name in own:
            assert len({engine.variables[name] for engine in engines}) == 2, name
        credentials = json.loads(Path(own_credentials(one)).read_text())
        token = Path(credentials["credential_source"]["file"]).read_text()
        kind = "urn:ietf:params:oauth:token-type"
        with pytest.raises(GoogleError, match="400"):
            other.google(ENGINEER).call(
                "POST",
                credentials["token_url"],
                {
                    "grantType": "urn:ietf:params:oauth:grant-type:token-exchange",
                    "audience": credentials["audience"],
                    "scope": "https://www.googleapis.com/auth/cloud-platform",
                    "requestedTokenType": f"{kind}:access_token",
                    "subjectToken": token,
                    "subjectTokenType": credentials["subject_token_type"],
                },
            )


def own_credentials(sandbox: Sandbox) -> str:
    return sandbox.environment(ENGINEER)["GOOGLE_APPLICATION_CREDENTIALS"]


def in_threads(work: Any, times: int = 4) -> None:
    threads = [threading.Thread(target=work) for _ in range(times)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_a_summary_is_whole_whoever_writes_at_the_same_time(tmp_path: Path) -> None:
    def write() -> None:
        report = Report("staging", Console(file=io.StringIO()), output=tmp_path)
        report.summary["filler"] = "x" * 100_000
        for _ in range(10):
            written = json.loads(report.write().read_text())
            assert written["filler"] == report.summary["filler"]

    in_threads(write)
    assert [path.name for path in tmp_path.iterdir()] == ["summary.json"]


def test_a_model_is_whole_whoever_trains_it_at_the_same_time(tmp_path: Path) -> None:
    import joblib

    path = tmp_path / "m" / "model.joblib"
    telemetry.readings()
    in_threads(lambda: telemetry.train(path, depth=2), times=2)
    assert joblib.load(path).max_depth == 2
    assert [item.name for item in path.parent.iterdir()] == ["model.joblib"]


def test_nothing_of_the_caller_that_leads_to_a_real_cloud_is_handed_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    led = ("GOOGLE_APPLICATION_CREDENTIALS", "PULUMI_ACCESS_TOKEN", "CLOUDSDK_CORE_PROJECT")
    for name in led:
        monkeypatch.setenv(name, "real")
    assert not clean_environment().keys() & set(led)
