"""The pack's HTTP/2 as grpc's own client sees it, and on the wire where that client is too kind."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import hpack
import pytest

from policies import http2
from policies.http2 import END_HEADERS, END_STREAM, PADDED, PREFACE, PRIORITY, Frame, Server, frame

MEGABYTE = 1 << 20


def reverse(message: bytes) -> bytes:
    return message[::-1]


def broken(message: bytes) -> bytes:
    raise ValueError(f"{len(message)} bytes:\n100%25 too «groß»")


@pytest.fixture
def port() -> Iterator[int]:
    with Server({"/a.Service/Reverse": reverse, "/a.Service/Broken": broken}) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server.port
        finally:
            server.shutdown()
            thread.join()


@contextlib.contextmanager
def client(port: int, **options: int) -> Iterator[grpc.Channel]:
    named = [(name.replace("__", "."), value) for name, value in options.items()]
    unlimited = ("grpc.max_receive_message_length", -1)
    with grpc.insecure_channel(f"127.0.0.1:{port}", options=[unlimited, *named]) as channel:
        yield channel


def test_grpcs_client_gets_each_calls_own_answer(port: int) -> None:
    with client(port) as channel, ThreadPoolExecutor(8) as pool:
        call = channel.unary_unary("/a.Service/Reverse")
        sent = [b"%d" % n * (n % 7) for n in range(500)]
        assert list(pool.map(call, sent)) == [reverse(message) for message in sent]


def test_messages_of_many_megabytes_pass_both_ways(port: int) -> None:
    """A client's window is 64 KiB to begin with, so a long answer waits for room."""
    long = bytes(range(256)) * (20 * MEGABYTE // 256)
    with client(port, grpc__http2__bdp_probe=0) as channel:
        call = channel.unary_unary("/a.Service/Reverse")
        assert call(long) == reverse(long)
        assert call(b"short") == b"trohs"


def test_two_long_answers_share_one_connection(port: int) -> None:
    sent = [letter * 3 * MEGABYTE for letter in (b"ab", b"cd")]
    with client(port, grpc__http2__bdp_probe=0) as channel, ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(channel.unary_unary("/a.Service/Reverse"), sent))
    assert answers == [reverse(message) for message in sent]


def test_room_is_announced_before_a_client_runs_out_of_it(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http2, "WIDEST_WINDOW", 100_000)
    with client(port) as channel:
        call = channel.unary_unary("/a.Service/Reverse")
        for _ in range(20):
            assert len(call(bytes(50_000), timeout=10)) == 50_000


def test_what_a_method_raises_ends_its_call_and_no_other(
    port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with client(port) as channel:
        with pytest.raises(grpc.RpcError) as caught:
            channel.unary_unary("/a.Service/Broken")(b"xyz")
        assert caught.value.code() is grpc.StatusCode.UNKNOWN
        assert caught.value.details() == "ValueError: 3 bytes:\n100%25 too «groß»"
        assert channel.unary_unary("/a.Service/Reverse")(b"ab") == b"ba"
    assert "in broken" in capsys.readouterr().err


def test_a_method_that_is_not_there_is_unimplemented(port: int) -> None:
    with client(port) as channel, pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary("/a.Service/Other")(b"")
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert caught.value.details() == "no method /a.Service/Other"


def test_compressed_messages_are_refused(port: int) -> None:
    with client(port) as channel, pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary("/a.Service/Reverse")(bytes(9_000), compression=grpc.Compression.Gzip)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert "not compressed" in caught.value.details()


def test_headers_that_differ_each_time_are_read_each_time(port: int) -> None:
    with client(port) as channel:
        call = channel.unary_unary("/a.Service/Reverse")
        for n in range(3 * http2.KEPT):
            assert call(b"ab", metadata=[("traceparent", f"00-{n:032x}-{n:016x}-01")]) == b"ba"


def test_a_stranger_is_let_go(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as stranger:
        stranger.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert stranger.recv(1) == b""


class Raw:
    """A client that cuts its frames as it likes."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.socket.sendall(PREFACE + frame(Frame.SETTINGS, 0, 0))
        self.file = self.socket.makefile("rb")

    def __enter__(self) -> Raw:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def next(self, kind: Frame) -> tuple[int, bytes]:
        """The flags and payload of the next frame of a kind."""
        while True:
            length_and_kind, flags, _ = struct.unpack(">IBI", self.file.read(9))
            payload = self.file.read(length_and_kind >> 8)
            if length_and_kind & 0xFF == kind:
                return flags, payload


HEADERS = http2.block({":method": "POST", ":path": "/a.Service/Reverse"})


def prefixed(message: bytes) -> bytes:
    return b"\0" + struct.pack(">I", len(message)) + message


MESSAGE, ANSWER = prefixed(b"abc"), prefixed(b"cba")


def call(stream: int, message: bytes, headers: bytes = HEADERS) -> bytes:
    sent = frame(Frame.HEADERS, END_HEADERS, stream, headers)
    return sent + frame(Frame.DATA, END_STREAM, stream, prefixed(message))


@pytest.mark.parametrize(
    "sent",
    [
        frame(Frame.HEADERS, END_HEADERS, 1, HEADERS) + frame(Frame.DATA, END_STREAM, 1, MESSAGE),
        frame(Frame.HEADERS, 0, 1, HEADERS[:5])
        + frame(Frame.CONTINUATION, 0, 1, HEADERS[5:9])
        + frame(Frame.CONTINUATION, END_HEADERS, 1, HEADERS[9:])
        + frame(Frame.DATA, 0, 1, MESSAGE[:2])
        + frame(Frame.DATA, 0, 1)
        + frame(Frame.DATA, END_STREAM, 1, MESSAGE[2:]),
        frame(
            Frame.HEADERS, END_HEADERS | PADDED | PRIORITY, 1, b"\3" + bytes(5) + HEADERS + bytes(3)
        )
        + frame(Frame.DATA, END_STREAM | PADDED, 1, b"\2" + MESSAGE + bytes(2)),
    ],
    ids=["whole", "in pieces", "padded"],
)
def test_frames_come_as_the_client_cuts_them(port: int, sent: bytes) -> None:
    for step in (1, 7, len(sent)):
        with Raw(port) as raw:
            raw.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
            for start in range(0, len(sent), step):
                raw.socket.sendall(sent[start : start + step])
            assert raw.next(Frame.DATA) == (0, ANSWER)


@pytest.mark.parametrize("sent", [b"", frame(Frame.DATA, END_STREAM, 1, MESSAGE)])
def test_a_call_that_the_client_gave_up_is_not_answered(port: int, sent: bytes) -> None:
    with Raw(port) as raw:
        raw.socket.sendall(
            frame(Frame.HEADERS, END_HEADERS, 1, HEADERS)
            + sent
            + frame(Frame.RST_STREAM, 0, 1, bytes(4))
            + frame(Frame.DATA, END_STREAM, 1, MESSAGE)
            + call(3, b"xyz")
        )
        assert raw.next(Frame.DATA)[1].endswith(b"zyx")


def test_calls_are_answered_in_turn(port: int) -> None:
    with Raw(port) as raw:
        raw.socket.sendall(call(1, b"ab") + call(3, b"cd"))
        assert raw.next(Frame.DATA)[1].endswith(b"ba")
        assert raw.next(Frame.DATA)[1].endswith(b"dc")


def test_headers_may_refer_to_earlier_ones(port: int) -> None:
    """To a client that keeps a table all the same, equal blocks may mean other headers."""
    reverse, other = (
        hpack.Encoder().encode([(":path", f"/a.Service/{name}")]) for name in ("Reverse", "Other")
    )
    newest = bytes([0x80 | 62])
    with Raw(port) as raw:
        for n, headers in enumerate((reverse, newest, other)):
            raw.socket.sendall(call(2 * n + 1, b"ab", headers))
        assert raw.next(Frame.DATA)[1] == raw.next(Frame.DATA)[1]
        raw.socket.sendall(call(7, b"ab", newest) + call(9, b"last"))
        assert raw.next(Frame.DATA)[1].endswith(b"tsal")


def widened(stream: int, room: int) -> bytes:
    return frame(Frame.WINDOW_UPDATE, 0, stream, struct.pack(">I", room))


def setting(name: http2.Setting, value: int) -> bytes:
    return frame(Frame.SETTINGS, 0, 0, struct.pack(">HI", name, value))


def received(raw: Raw, bytes_: int) -> bool:
    """Whether exactly so many bytes come, and then nothing but what is asked for."""
    got = 0
    while got < bytes_:
        got += len(raw.next(Frame.DATA)[1])
    raw.socket.sendall(frame(Frame.PING, 0, 0, b"anything"))
    length_and_kind, *_ = struct.unpack(">IBI", raw.file.read(9))
    raw.file.read(length_and_kind >> 8)
    return got == bytes_ and length_and_kind & 0xFF == Frame.PING


def test_an_answer_is_no_longer_than_the_client_has_room_for(port: int) -> None:
    """Room on the connection, and for the call, also when it changes the latter on the way."""
    with Raw(port) as raw:
        raw.socket.sendall(call(1, bytes(150_000)))
        assert received(raw, http2.FIRST_WINDOW)
        raw.socket.sendall(setting(http2.Setting.INITIAL_WINDOW_SIZE, 100_000))
        raw.next(Frame.SETTINGS)
        assert received(raw, 0)
        raw.socket.sendall(widened(0, 10_000))
        assert received(raw, 10_000)
        raw.socket.sendall(widened(0, 1_000_000))
        assert received(raw, 100_000 - http2.FIRST_WINDOW - 10_000)
        raw.socket.sendall(widened(1, 1_000_000))
        raw.next(Frame.HEADERS)  # which end the call
        raw.socket.sendall(call(3, bytes(150_000)))
        assert received(raw, 100_000)


def test_an_answer_that_the_client_gave_up_stops(port: int) -> None:
    with Raw(port) as raw:
        raw.socket.sendall(call(1, bytes(100_000)))
        assert received(raw, http2.FIRST_WINDOW)
        raw.socket.sendall(
            frame(Frame.RST_STREAM, 0, 1, bytes(4)) + widened(0, 1_000) + call(3, b"abc")
        )
        assert raw.next(Frame.DATA) == (0, ANSWER)


def test_pings_come_back(port: int) -> None:
    with Raw(port) as raw:
        raw.socket.sendall(frame(Frame.PING, 0, 0, b"12345678"))
        assert raw.next(Frame.PING) == (http2.ACK, b"12345678")


def test_frames_are_as_large_as_the_client_takes(port: int) -> None:
    with Raw(port) as raw:
        raw.socket.sendall(setting(http2.Setting.MAX_FRAME_SIZE, 32_000) + call(1, bytes(40_000)))
        assert len(raw.next(Frame.DATA)[1]) == 32_000
        assert len(raw.next(Frame.DATA)[1]) == 8_005
