"""HTTP/1.1 on one connection to a simulated host: uvicorn's protocol, before the cloud.

The cloud is an ASGI application here, but for one thing that ASGI does not have: an answer may be
that the connection is dropped.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Coroutine
from typing import Any
from urllib.parse import urlsplit

from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from simulator.serve.dispatch import Answer, Request

log = logging.getLogger(__name__)

Waited = Coroutine[Any, Any, Answer | None]
Answers = Callable[[Request], Answer | Waited]

MAX_HEAD = 2**18
KEPT_SECONDS = 24 * 3600
# Linux only
TCP_QUICKACK: int | None = getattr(socket, "TCP_QUICKACK", None)


def serving(answers: Answers, state: ServerState) -> Callable[[], asyncio.Protocol]:
    """What serves a connection. `answers` gives a request's answer, or what to wait for; None drops
    the connection. `state` knows the tasks of all connections.
    """
    config = Config(
        Application(answers),
        http="h11",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        timeout_keep_alive=KEPT_SECONDS,
        h11_max_incomplete_event_size=MAX_HEAD,
    )
    config.load()
    return lambda: Http(config, state, {})


class Http(H11Protocol):
    """urllib3 leaves Nagle's algorithm on behind a proxy and sends head and body apart; waiting for
    the delayed acknowledgement would cost each such request 40 ms. So a head is acknowledged at
    once while its body is still to come.
    """

    # uvicorn narrows what asyncio hands over.
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.app_state["transport"] = transport

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if TCP_QUICKACK and self.cycle and self.cycle.more_body:
            connection = self.transport.get_extra_info("socket")
            connection.setsockopt(socket.IPPROTO_TCP, TCP_QUICKACK, 1)


class Application:
    def __init__(self, answers: Answers) -> None:
        self._answers = answers

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        parts, more = [], True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            parts.append(message["body"])
            more = message["more_body"]
        answer = await self._answer(_request(scope, b"".join(parts)))
        if answer is None:
            scope["state"]["transport"].abort()
            # Once uvicorn knows that the client is gone it expects no answer.
            await receive()
            return
        headers = {
            "content-type": answer.content_type,
            "content-length": str(len(answer.body)),
            **answer.headers,
        }
        sent = [(name.encode("latin-1"), text.encode("latin-1")) for name, text in headers.items()]
        await send({"type": "http.response.start", "status": answer.status, "headers": sent})
        await send({"type": "http.response.body", "body": answer.body})

    async def _answer(self, request: Request) -> Answer | None:
        try:
            answer = self._answers(request)
            return answer if isinstance(answer, Answer) else await answer
        except asyncio.CancelledError:
            return None
        except Exception:
            # A fault of the simulator: seen in its log, and by the client as a broken connection.
            log.exception("an answer")
            return None


def _request(scope: Any, body: bytes) -> Request:
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    path = scope["raw_path"].decode("latin-1")
    return Request(
        headers.get("host", "").partition(":")[0],
        scope["method"],
        # A client may ask for the whole URL.
        path if path.startswith("/") else urlsplit(path).path or "/",
        scope["query_string"].decode("latin-1"),
        headers,
        body,
    )
