"""The simulated cloud's authorised reads, beside a server that checks nothing, and an emulator.

All three answer the same GET of the same bucket. The bare server stands behind the same CONNECT
proxy and TLS; `gcp-storage-emulator` speaks plain HTTP and checks no access.
"""

from __future__ import annotations

import json
import socket
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import urllib3

from benchmarks.load import Load, Target, measure
from benchmarks.table import Ratio, show_figures
from rehearsal.sandbox import Google, Sandbox
from rehearsal.toolchain import ROOT

PROJECT: Final = "bench"
BUCKET: Final = "bench-artifacts"
HOST: Final = "storage.googleapis.com"
PATH: Final = f"/storage/v1/b/{BUCKET}"
READER: Final = f"reader@{PROJECT}.iam.gserviceaccount.com"
EMULATOR: Final = ROOT / ".venv-bench" / "bin" / "gcp-storage-emulator"
ROUNDS: Final = 3
SECONDS: Final = 5.0
"""Long enough to be a load that lasts: a server that ends each connection runs out of ports."""
SEED: Final = {
    "projects": [{"id": PROJECT, "services": [HOST]}],
    "accounts": [{"project": PROJECT, "id": "reader"}],
    "roles": [{"name": f"projects/{PROJECT}/roles/reader", "permissions": ["storage.buckets.get"]}],
    "grants": [
        {"resource": f"projects/{PROJECT}", "role": "roles/owner", "member": "user:owner@bench"},
        {
            "resource": f"projects/{PROJECT}",
            "role": f"projects/{PROJECT}/roles/reader",
            "member": f"serviceAccount:{READER}",
        },
    ],
}


def run() -> list[Ratio]:
    found: dict[tuple[str, int], list[Load]] = {}
    with _targets() as targets:
        for _ in range(ROUNDS):
            for clients in (1, 16):
                for name, target in targets.items():
                    load = measure(target, clients, SECONDS)
                    found.setdefault((name, clients), []).append(load)
    rates = {key: statistics.median(load.rate for load in loads) for key, loads in found.items()}
    rows = [
        (
            name,
            str(clients),
            f"{rates[name, clients]:,.0f}",
            f"{statistics.median(load.p99 for load in loads):.2f}",
        )
        for (name, clients), loads in found.items()
    ]
    columns = ("server", "clients", "GETs/s", "p99 ms")
    show_figures(f"bucket reads, medians of {ROUNDS}", columns, sorted(rows))
    cloud = rates["simulated cloud", 16]
    return [
        Ratio("authorised GETs, 16 clients: cloud / bare", cloud / rates["bare", 16], least=0.5),
        Ratio("the same: cloud / storage emulator", cloud / rates["emulator", 16], least=3.0),
    ]


@contextmanager
def _targets() -> Iterator[dict[str, Target]]:
    with Sandbox(SEED, at_once=True) as sandbox, tempfile.TemporaryDirectory() as folder:
        owner, reader = sandbox.google("owner@bench"), sandbox.google(READER)
        new = {"name": BUCKET, "location": "us-central1"}
        owner.call("POST", f"https://{HOST}/storage/v1/b?project={PROJECT}", new)
        content = reader.call("GET", f"https://{HOST}{PATH}")
        with _bare(Path(folder), content) as bare, _emulator() as emulator:
            yield {"simulated cloud": _of(sandbox, reader), "bare": bare, "emulator": emulator}


def _of(sandbox: Sandbox, reader: Google) -> Target:
    token = sandbox.control("POST", "/token", {"email": READER})["access_token"]
    environment = sandbox.variables
    return Target(
        _port(environment["HTTPS_PROXY"]), HOST, PATH, token, environment["SSL_CERT_FILE"]
    )


@contextmanager
def _bare(folder: Path, content: object) -> Iterator[Target]:
    server = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.bare", str(folder)],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert server.stdin and server.stdout
    server.stdin.write(json.dumps(content) + "\n")
    server.stdin.flush()
    ready = json.loads(server.stdout.readline())
    yield Target(_port(ready["proxy_url"]), HOST, PATH, "", ready["ca_bundle"])
    server.stdin.close()
    server.wait()


@contextmanager
def _emulator() -> Iterator[Target]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [EMULATOR, "start", "--host=127.0.0.1", f"--port={port}", "--in-memory", "--quiet"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        pool = urllib3.PoolManager(retries=urllib3.Retry(20, backoff_factor=0.1))
        url = f"http://127.0.0.1:{port}/storage/v1/b"
        answer = pool.request("POST", f"{url}?project={PROJECT}", json={"name": BUCKET})
        if answer.status != 200:
            raise RuntimeError(f"the storage emulator answers {answer.status} {answer.data!r}")
        yield Target(port, f"127.0.0.1:{port}", PATH)
    finally:
        server.terminate()
        server.wait()


def _port(url: str) -> int:
    port = urlsplit(url).port
    assert port is not None
    return port
