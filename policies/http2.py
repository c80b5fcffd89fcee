"""gRPC for one client that waits for each answer: as little HTTP/2 (RFC 9113) as that takes.

The engine asks about one resource at a time, so what a call costs is what a preview takes longer.
For the engine on loopback only: unary calls, no TLS, no compression.
"""

from __future__ import annotations

import socket
import socketserver
import struct
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from functools import lru_cache
from typing import ClassVar, Final
from urllib.parse import quote

import hpack

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
KEPT: Final = 100
"""Header blocks that are remembered; a client that is traced sends a new one each time."""
LONGEST: Final = 4_000
"""Characters of an error that fit a client's limit on headers."""

Method = Callable[[bytes], bytes]
"""Takes a request message, gives the response message."""


class Frame(IntEnum):
    DATA = 0
    HEADERS = 1
    RST_STREAM = 3
    SETTINGS = 4
    PING = 6
    WINDOW_UPDATE = 8
    CONTINUATION = 9


END_STREAM, ACK, END_HEADERS, PADDED, PRIORITY = 0x1, 0x1, 0x4, 0x8, 0x20


class Setting(IntEnum):
    HEADER_TABLE_SIZE = 1
    INITIAL_WINDOW_SIZE = 4
    MAX_FRAME_SIZE = 5


FIRST_WINDOW: Final = 65_535
WIDEST_WINDOW: Final = 2**31 - 1
"""Bytes a client may send before it hears of more room."""


class Status(IntEnum):
    UNKNOWN = 2
    UNIMPLEMENTED = 12


class Refused(Exception):
    def __init__(self, status: Status, why: str) -> None:
        super().__init__(why)
        self.status = status


HEAD: Final = struct.Struct(">IBI")
"""A frame's length and kind, flags, and stream."""


def frame(kind: Frame, flags: int, stream: int, payload: bytes | memoryview = b"") -> bytes:
    return HEAD.pack(len(payload) << 8 | kind, flags, stream) + payload


def block(headers: Mapping[str, str]) -> bytes:
    """Headers that the client's table need not remember."""
    marked = [hpack.NeverIndexedHeaderTuple(*pair) for pair in headers.items()]
    return bytes(hpack.Encoder().encode(marked))


RESPONSE: Final = {":status": "200", "content-type": "application/grpc"}
OPENED: Final = block(RESPONSE)
DONE: Final = block({"grpc-status": "0"})


@lru_cache(maxsize=KEPT)
def refusal(status: Status, why: str) -> bytes:
    said = {"grpc-status": str(int(status)), "grpc-message": quote(why[:LONGEST], safe=" ")}
    return block({**RESPONSE, **said})


@dataclass
class Call:
    path: bytes
    window: int
    """Bytes that the client has room for."""
    body: bytearray = field(default_factory=bytearray)

    def message(self) -> bytes:
        if self.body[:1] != b"\0":
            raise Refused(Status.UNIMPLEMENTED, "only a message that is not compressed is read")
        return bytes(memoryview(self.body)[5:])


class Connection(socketserver.BaseRequestHandler):
    methods: ClassVar[Mapping[bytes, Method]]
    request: socket.socket

    def setup(self) -> None:
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
        self._received = bytearray()
        self._calls: dict[int, Call] = {}
        self._ready: list[int] = []
        self._paths: dict[bytes, bytes] = {}
        self._hpack = hpack.Decoder()
        self._block = b""
        self._window = self._window_of_calls = FIRST_WINDOW
        self._largest_frame = 16_384
        self._unreported = 0

    def handle(self) -> None:
        if self.request.recv(len(PREFACE), socket.MSG_WAITALL) != PREFACE:
            return
        # Without a table equal blocks mean equal headers, and each is decoded once.
        settings = struct.pack(
            ">HIHI", Setting.HEADER_TABLE_SIZE, 0, Setting.INITIAL_WINDOW_SIZE, WIDEST_WINDOW
        )
        self.request.sendall(frame(Frame.SETTINGS, 0, 0, settings))
        self._widen(WIDEST_WINDOW - FIRST_WINDOW)
        try:
            while self._receive():
                while self._ready:
                    self._answer(self._ready.pop(0))
        except ConnectionError:
            return  # an engine that is done just goes

    def _receive(self) -> bool:
        """Take the frames that are whole by now; False when the client is gone."""
        read = self.request.recv(1 << 16)
        received = self._received
        received += read
        start = 0
        while len(received) >= start + HEAD.size:
            length_and_kind, flags, stream = HEAD.unpack_from(received, start)
            payload = start + HEAD.size
            end = payload + (length_and_kind >> 8)
            if end > len(received):
                break
            self._take(length_and_kind & 0xFF, flags, stream, bytes(received[payload:end]))
            start = end
        del received[:start]
        return bool(read)

    def _take(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        match kind:
            case Frame.DATA:
                self._unreported += len(payload)
                if self._unreported > WIDEST_WINDOW // 2:
                    self._widen(self._unreported)
                    self._unreported = 0
                if call := self._calls.get(stream):
                    call.body += _unpadded(flags, payload)
                    if flags & END_STREAM:
                        self._ready.append(stream)
            case Frame.HEADERS:
                unpadded = _unpadded(flags, payload)
                self._block = unpadded[5:] if flags & PRIORITY else unpadded
                self._open(flags, stream)
            case Frame.CONTINUATION:
                self._block += payload
                self._open(flags, stream)
            case Frame.RST_STREAM:
                self._calls.pop(stream, None)
            case Frame.SETTINGS if not flags & ACK:
                self._set(payload)
            case Frame.PING if not flags & ACK:
                self.request.sendall(frame(Frame.PING, ACK, 0, payload))
            case Frame.WINDOW_UPDATE:
                (room,) = struct.unpack(">I", payload)
                if not stream:
                    self._window += room
                elif call := self._calls.get(stream):
                    call.window += room

    def _open(self, flags: int, stream: int) -> None:
        if flags & END_HEADERS:
            self._calls[stream] = Call(self._path(), self._window_of_calls)

    def _path(self) -> bytes:
        known = self._paths.get(self._block)
        if known is None:
            known = dict(self._hpack.decode(self._block, raw=True))[b":path"]
            if len(self._paths) < KEPT and not self._hpack.header_table.dynamic_entries:
                self._paths[self._block] = known
        return known

    def _set(self, settings: bytes) -> None:
        for name, value in struct.iter_unpack(">HI", settings):
            if name == Setting.INITIAL_WINDOW_SIZE:
                for call in self._calls.values():
                    call.window += value - self._window_of_calls
                self._window_of_calls = value
            elif name == Setting.MAX_FRAME_SIZE:
                self._largest_frame = value
        self.request.sendall(frame(Frame.SETTINGS, ACK, 0))

    def _widen(self, room: int) -> None:
        self.request.sendall(frame(Frame.WINDOW_UPDATE, 0, 0, struct.pack(">I", room)))

    def _answer(self, stream: int) -> None:
        if not (call := self._calls.get(stream)):
            return
        try:
            method = self.methods.get(call.path)
            if method is None:
                raise Refused(Status.UNIMPLEMENTED, f"no method {call.path.decode()}")
            answer = method(call.message())
        except Refused as error:
            self._refuse(stream, error.status, str(error))
        except Exception as error:
            traceback.print_exc()
            self._refuse(stream, Status.UNKNOWN, f"{type(error).__name__}: {error}")
        else:
            self._send(stream, call, struct.pack(">BI", 0, len(answer)) + answer)
        self._calls.pop(stream, None)

    def _refuse(self, stream: int, status: Status, why: str) -> None:
        payload = refusal(status, why)
        self.request.sendall(frame(Frame.HEADERS, END_HEADERS | END_STREAM, stream, payload))

    def _send(self, stream: int, call: Call, message: bytes) -> None:
        out = frame(Frame.HEADERS, END_HEADERS, stream, OPENED)
        left = memoryview(message)
        while left:
            room = min(self._window, call.window, self._largest_frame, len(left))
            if room > 0:
                out += frame(Frame.DATA, 0, stream, left[:room])
                left = left[room:]
                self._window -= room
                call.window -= room
                continue
            self.request.sendall(out)
            out = b""
            if not self._receive() or stream not in self._calls:
                return
        self.request.sendall(out + frame(Frame.HEADERS, END_HEADERS | END_STREAM, stream, DONE))


def _unpadded(flags: int, payload: bytes) -> bytes:
    return payload[1 : len(payload) - payload[0]] if flags & PADDED else payload


class Server(socketserver.ThreadingTCPServer):
    """Serves methods by their path, as in "/pulumirpc.Analyzer/Analyze", on loopback.

    What a method raises is printed and ends its call with UNKNOWN; a path that is not there ends it
    with UNIMPLEMENTED. Each connection has a thread, which answers its calls in turn.
    """

    daemon_threads = True

    def __init__(self, methods: Mapping[str, Method]) -> None:
        by_path = {path.encode(): method for path, method in methods.items()}
        handler = type("Handler", (Connection,), {"methods": by_path})
        super().__init__(("127.0.0.1", 0), handler)

    @property
    def port(self) -> int:
        return int(self.socket.getsockname()[1])
