"""HTTP/1.1 on one connection to a simulated host: requests come in, their answers go out in order.

An answer that need not be waited for is made and written where its request is read, without a task.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import deque
from collections.abc import Callable, Coroutine
from functools import lru_cache
from http import HTTPStatus
from typing import Any, NamedTuple, cast

import httptools

from simulator.serve.dispatch import Answer, Request

log = logging.getLogger(__name__)

Waited = Coroutine[Any, Any, Answer | None]
Answers = Callable[[Request], Answer | Waited]
Spawn = Callable[[Coroutine[Any, Any, None]], None]

REASONS = {status.value: status.phrase for status in HTTPStatus}
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
MALFORMED = Answer(400, "text/plain", {}, b"This is no HTTP request.")
# Linux only
TCP_QUICKACK: int | None = getattr(socket, "TCP_QUICKACK", None)


@lru_cache(256)
def _name(sent: bytes) -> str:
    return sent.decode("latin-1").lower()


class Asked(NamedTuple):
    """A request that was read to its end; None for bytes that are none."""

    request: Request | None
    keep: bool


class Http(asyncio.Protocol):
    """`answers` gives a request's answer, or what to wait for; None drops the connection.

    urllib3 leaves Nagle's algorithm on behind a proxy and sends head and body apart; waiting for
    the delayed acknowledgement would cost each such request 40 ms. So a head is acknowledged at
    once while its body is still to come.
    """

    def __init__(self, answers: Answers, spawn: Spawn) -> None:
        self._answers, self._spawn = answers, spawn
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport
        self._asked: deque[Asked] = deque()
        self._waiting = False
        self._url = b""
        self._headers: dict[str, str] = {}
        self._body = bytearray()
        self._body_to_come = False
        self._invited = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do not inherit from asyncio's.
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._asked.clear()
        del self._parser  # it refers back

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            # None is offered: what follows is the next request.
            if rest := data[upgrade.args[0] :]:
                self.data_received(rest)
                return
        except httptools.HttpParserError:
            self._asked.append(Asked(None, keep=False))
        self._answer()
        if self._body_to_come and TCP_QUICKACK:
            connection = self._transport.get_extra_info("socket")
            connection.setsockopt(socket.IPPROTO_TCP, TCP_QUICKACK, 1)

    def on_message_begin(self) -> None:
        self._url, self._headers = b"", {}

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[_name(name)] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        self._body_to_come = True
        self._invited = self._headers.get("expect", "").lower() != "100-continue"

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        target, headers = self._url, self._headers
        if not target.startswith(b"/"):
            parsed = httptools.parse_url(target)
            target = (parsed.path or b"/") + (b"?" + parsed.query if parsed.query else b"")
        path, _, query = target.decode("latin-1").partition("?")
        request = Request(
            headers.get("host", "").partition(":")[0],
            self._parser.get_method().decode(),
            path,
            query,
            headers,
            bytes(self._body),
        )
        if self._body:
            self._body = bytearray()
        self._body_to_come, self._invited = False, True
        self._asked.append(Asked(request, self._parser.should_keep_alive()))

    def _answer(self) -> None:
        """Answer what was asked, as far as that can be done without waiting."""
        while self._asked and not self._waiting and not self._transport.is_closing():
            asked = self._asked.popleft()
            answer = self._answers(asked.request) if asked.request else MALFORMED
            if isinstance(answer, Answer):
                self._send(asked, answer)
            else:
                self._waiting = True
                self._transport.pause_reading()
                self._spawn(self._wait(asked, answer))
        if not self._invited and not self._waiting:
            self._invited = True
            self._transport.write(CONTINUE)

    async def _wait(self, asked: Asked, waited: Waited) -> None:
        try:
            answer = await waited
        except Exception:
            # A fault of the simulator: seen in its log, and by the client as a broken connection.
            log.exception("an answer that was waited for")
            answer = None
        self._waiting = False
        if answer is None:
            self._transport.abort()
        elif not self._transport.is_closing():
            self._transport.resume_reading()
            self._send(asked, answer)
            self._answer()

    def _send(self, asked: Asked, answer: Answer) -> None:
        status, content_type, headers, body, _, _ = answer
        head = (
            f"HTTP/1.1 {status} {REASONS.get(status, '')}\r\n"
            f"content-type: {content_type}\r\ncontent-length: {len(body)}\r\n"
        )
        for name, value in headers.items():
            head += f"{name}: {value}\r\n"
        if not asked.keep:
            head += "connection: close\r\n"
        if asked.request and asked.request.verb == "HEAD":
            body = b""
        self._transport.write(b"%b\r\n%b" % (head.encode("latin-1"), body))
        if not asked.keep:
            self._transport.close()
