"""The only way in: a CONNECT proxy on loopback that is every simulated Google host at once.

For a simulated host it answers CONNECT itself, takes up TLS with a certificate of a throw-away
authority, and serves HTTP/1.1 on that same connection. Every other host is refused, so what runs
behind this proxy cannot reach the real cloud.
"""

from __future__ import annotations

import asyncio
import secrets
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import trustme
import uvloop
from uvicorn.server import ServerState

from simulator.api.discovery import Discovery
from simulator.core.cloud import Cloud
from simulator.serve.control import CONTROL_HOST, Control
from simulator.serve.dispatch import Answer, Request
from simulator.serve.gate import Gate
from simulator.serve.http import Waited, serving

# What speaks HTTP on a connection that has come through the proxy.
Served = Callable[[], asyncio.Protocol]
MAX_HEAD = 16_384


class Certificates:
    """TLS contexts by host. The authority's private key stays in memory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._authority = trustme.CA(organization_name="Offline rehearsal")
        self._contexts: dict[str, ssl.SSLContext] = {}
        self.bundle = directory / "ca.pem"
        self._authority.cert_pem.write_to_path(str(self.bundle))

    def context(self, host: str) -> ssl.SSLContext:
        if host not in self._contexts:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.set_alpn_protocols(["http/1.1"])
            leaf = self._authority.issue_cert(host)
            with leaf.private_key_and_cert_chain_pem.tempfile(dir=str(self._directory)) as path:
                context.load_cert_chain(path)
            self._contexts[host] = context
        return self._contexts[host]


class Handshake(asyncio.Protocol):
    """Keeps what the client sends after the handshake until the HTTP protocol takes over."""

    def __init__(self) -> None:
        self.data = b""
        self.lost = False

    def data_received(self, data: bytes) -> None:
        self.data += data

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True


class Connection(asyncio.Protocol):
    """One client connection, until its CONNECT is answered."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy
        self._head = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do not inherit from asyncio's.
        self._transport = cast(asyncio.Transport, transport)
        # What takes a connection over hears of its end, and nobody else.
        self._proxy.transports = {t for t in self._proxy.transports if not t.is_closing()}
        self._proxy.transports.add(self._transport)

    def data_received(self, data: bytes) -> None:
        self._head += data
        if b"\r\n\r\n" not in self._head:
            if len(self._head) > MAX_HEAD:
                self._refuse(431, "The request head is too long.")
            return
        verb, _, rest = self._head.partition(b" ")
        target = rest.partition(b" ")[0].decode("latin-1")
        host, _, port = target.rpartition(":")
        if verb != b"CONNECT":
            self._refuse(
                405,
                "This is the rehearsal's proxy. It takes CONNECT to https hosts only; plain http "
                "never reaches Google.",
            )
        elif not self._proxy.serves(host, port):
            self._proxy.cloud.refused_hosts[host] += 1
            self._refuse(
                403,
                f"{target} is not part of the rehearsal. Its proxy reaches simulated Google hosts "
                "only.",
            )
        else:
            self._transport.pause_reading()
            self._transport.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            self._proxy.spawn(self._serve(host))

    def _refuse(self, status: int, message: str) -> None:
        text = message.encode()
        head = (
            f"HTTP/1.1 {status} Refused\r\ncontent-type: text/plain\r\n"
            f"content-length: {len(text)}\r\nconnection: close\r\n\r\n"
        )
        self._transport.write(head.encode() + text)
        self._transport.close()

    async def _serve(self, host: str) -> None:
        loop, handshake = asyncio.get_running_loop(), Handshake()
        context = self._proxy.certificates.context(host)
        try:
            transport = await loop.start_tls(self._transport, handshake, context, server_side=True)
        except (OSError, ssl.SSLError):
            # The client went away or does not trust the sandbox's authority; it knows why.
            self._transport.close()
            return
        if transport is None or handshake.lost:
            return
        http = self._proxy.served()
        transport.set_protocol(http)
        http.connection_made(transport)
        if handshake.data:
            http.data_received(handshake.data)


class Proxy:
    """`control` answers on its host, `gate` on all others, unless `served` takes their place."""

    def __init__(
        self,
        cloud: Cloud,
        certificates: Certificates,
        gate: Gate,
        control: Control,
        served: Served | None,
    ) -> None:
        self.cloud, self._gate, self._control = cloud, gate, control
        self.certificates = certificates
        self._state = ServerState()
        self.served = served or serving(self._answers, self._state)
        self.transports: set[asyncio.Transport] = set()

    def serves(self, host: str, port: str) -> bool:
        return port == "443" and (host == CONTROL_HOST or self.cloud[Discovery].serves(host))

    def _answers(self, request: Request) -> Answer | Waited:
        at = self._control if request.host == CONTROL_HOST else self._gate
        return at.handle(request)

    def spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._state.tasks.add(task)
        task.add_done_callback(self._state.tasks.discard)

    async def run(self, ready: Callable[[int], None], stop: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Connection(self), "127.0.0.1", 0)
        ready(server.sockets[0].getsockname()[1])
        await stop.wait()
        server.close()
        self._gate.lift()
        for transport in list(self.transports):
            transport.abort()
        tasks = list(self._state.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()


class Running:
    """A cloud being served. `environment()` sends unmodified clients to it.

    What `served` makes takes the cloud's place behind the same proxy, to be measured against.
    """

    def __init__(self, cloud: Cloud, directory: Path, served: Served | None = None) -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        directory.chmod(0o700)  # it may have been there before
        self.control_token = secrets.token_urlsafe(32)
        self._certificates = Certificates(directory)
        gate = Gate(cloud)
        control = Control(cloud, self.control_token, gate)
        self._proxy = Proxy(cloud, self._certificates, gate, control, served)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._listening = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="rehearsal-cloud", daemon=True)
        self._port = 0

    @property
    def proxy_url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def control_url(self) -> str:
        return f"https://{CONTROL_HOST}"

    @property
    def ca_bundle(self) -> Path:
        return self._certificates.bundle

    def environment(self) -> dict[str, str]:
        """Variables for a process that is to see this cloud and nothing else."""
        bundle, direct = str(self.ca_bundle), "127.0.0.1,localhost,::1"
        return {
            "HTTPS_PROXY": self.proxy_url,
            "https_proxy": self.proxy_url,
            "HTTP_PROXY": self.proxy_url,
            "http_proxy": self.proxy_url,
            # The engine and its plugins talk gRPC on loopback.
            "NO_PROXY": direct,
            "no_proxy": direct,
            "SSL_CERT_FILE": bundle,
            "REQUESTS_CA_BUNDLE": bundle,
            "CURL_CA_BUNDLE": bundle,
            "HTTPLIB2_CA_CERTS": bundle,
            "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": bundle,
            "CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE": bundle,
            # gcloud would ask other hosts about itself.
            "CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK": "true",
            "CLOUDSDK_CORE_DISABLE_USAGE_REPORTING": "true",
            "CLOUDSDK_SURVEY_DISABLE_PROMPTS": "true",
            # No metadata server to look for.
            "NO_GCE_CHECK": "true",
        }

    def start(self) -> None:
        self._thread.start()
        self._listening.wait()
        if self._failure:
            raise self._failure

    def stop(self) -> None:
        if self._loop and self._stop:
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(self._main())
        except BaseException as error:
            self._failure = error
            self._listening.set()
            raise

    async def _main(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()

        def ready(port: int) -> None:
            self._port = port
            self._listening.set()

        await self._proxy.run(ready, self._stop)


@contextmanager
def serve(cloud: Cloud, directory: Path | str) -> Iterator[Running]:
    """Serve `cloud` on loopback from a thread of its own until the block ends."""
    running = Running(cloud, Path(directory))
    running.start()
    try:
        yield running
    finally:
        running.stop()
