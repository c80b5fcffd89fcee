"""Clients that ask one GET without pause, on connections that they keep where the server lets them.

A process of their own:

    echo '{"host": …}' | python -m benchmarks.load

The answer is one JSON object: requests a second, and the 99th percentile of their time in ms.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from typing import Any, cast

import uvloop

from rehearsal.toolchain import ROOT


@dataclass(frozen=True)
class Target:
    """One URL. With `ca_bundle`, the port is a CONNECT proxy and TLS goes to `host` behind it."""

    port: int
    host: str
    path: str
    token: str = ""
    ca_bundle: str = ""

    @property
    def request(self) -> bytes:
        lines = [f"GET {self.path} HTTP/1.1", f"host: {self.host}"]
        lines += [f"authorization: Bearer {self.token}"] if self.token else []
        return ("\r\n".join(lines) + "\r\n\r\n").encode()


@dataclass(frozen=True)
class Load:
    rate: float
    p99: float


def measure(target: Target, clients: int, seconds: float) -> Load:
    """Ask `target` from `clients` connections for so long. Raises CalledProcessError."""
    asked = json.dumps({"target": asdict(target), "clients": clients, "seconds": seconds})
    ran = subprocess.run(
        [sys.executable, "-m", "benchmarks.load"],
        cwd=ROOT, input=asked, stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    return Load(**json.loads(ran.stdout))


class _Client(asyncio.Protocol):
    """Sends the next request when an answer is whole."""

    def __init__(self, target: Target, times: list[float]) -> None:
        self._target, self._times = target, times
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._transport: asyncio.BaseTransport | None = None
        self._established = self._loop.create_future()
        self._received = b""
        self._sent = 0.0
        self._ended = False
        self.error = ""

    def begin(self) -> None:
        """Connect and send. A server that ends each connection makes its client pay for this."""
        if self._ended:
            return
        self._sent = time.perf_counter()
        task = self._loop.create_task(self._connect())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def end(self) -> None:
        self._ended = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connect(self) -> None:
        target = self._target
        transport, _ = await self._loop.create_connection(lambda: self, "127.0.0.1", target.port)
        self._transport = transport
        if target.ca_bundle:
            transport.write(f"CONNECT {target.host}:443 HTTP/1.1\r\n\r\n".encode())
            await self._established
            context = ssl.create_default_context(cafile=target.ca_bundle)
            self._transport = await self._loop.start_tls(
                transport, self, context, server_hostname=target.host
            )
        self._ask()

    def _ask(self) -> None:
        cast(asyncio.Transport, self._transport).write(self._target.request)

    def data_received(self, data: bytes) -> None:
        if self._target.ca_bundle and not self._established.done():
            self._established.set_result(None)
            return
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        if not found:
            return
        version, _, rest = head.partition(b" ")
        if not rest.startswith(b"200"):
            self.error = self._received.decode("latin-1")
            return
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        if len(body) >= length:
            self._times.append(time.perf_counter() - self._sent)
            self._received = b""
            if version == b"HTTP/1.0":
                cast(asyncio.Transport, self._transport).close()
                self.begin()
            else:
                self._sent = time.perf_counter()
                self._ask()


async def _load(target: Target, clients: int, seconds: float) -> Load:
    times: list[float] = []
    asking = [_Client(target, times) for _ in range(clients)]
    for client in asking:
        client.begin()
    await asyncio.sleep(seconds / 4)
    del times[:]  # the first answers warm both sides up
    begin = time.perf_counter()
    await asyncio.sleep(seconds)
    taken, spent = sorted(times), time.perf_counter() - begin
    for client in asking:
        await client.end()
        if client.error:
            raise SystemExit(f"{target.host}{target.path}: {client.error}")
    return Load(len(taken) / spent, 1000 * taken[int(len(taken) * 0.99)])


def main() -> None:
    asked: dict[str, Any] = json.load(sys.stdin)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        load = runner.run(_load(Target(**asked["target"]), asked["clients"], asked["seconds"]))
    print(json.dumps(asdict(load)))


if __name__ == "__main__":
    main()
