"""HTTP on a connection, byte by byte: what clients may send, and in which order answers come."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from collections.abc import Iterator
from http.client import HTTPResponse
from io import BufferedReader
from typing import cast

import pytest

from simulator.google import GoogleCloud
from simulator.identity.tokens import Identity
from simulator.serve.dispatch import Answer, Dispatcher, Request
from simulator.serve.faults import Faults
from simulator.serve.proxy import Running
from tests.simulator.support.core import ADMIN, CRM, IAM, PROJECT, session

HOST = CRM.removeprefix("https://")
IAM_HOST = IAM.removeprefix("https://").partition("/")[0]
PROJECT_PATH = f"/v1/projects/{PROJECT}"
ACCOUNTS_PATH = f"{PROJECT_PATH}/serviceAccounts"
WAIT_SECONDS = 20


class Raw:
    """A TLS connection to one host behind the proxy."""

    def __init__(self, cloud: GoogleCloud, running: Running, host: str = HOST) -> None:
        self._host, self._token = host, cloud[Identity].access_token(ADMIN)
        port = int(running.proxy_url.rpartition(":")[2])
        plain = socket.create_connection(("127.0.0.1", port), timeout=WAIT_SECONDS)
        plain.sendall(f"CONNECT {host}:443 HTTP/1.1\r\n\r\n".encode())
        assert plain.recv(1000).startswith(b"HTTP/1.1 200 ")
        context = ssl.create_default_context(cafile=str(running.ca_bundle))
        self.tls = context.wrap_socket(plain, server_hostname=host)
        self.reader = self.tls.makefile("rb")

    def __enter__(self) -> Raw:
        return self

    def __exit__(self, *exc: object) -> None:
        self.reader.close()
        self.tls.close()

    def head(self, line: str, *headers: str) -> bytes:
        sent = (line, f"Host: {self._host}", f"Authorization: Bearer {self._token}", *headers)
        return ("\r\n".join(sent) + "\r\n\r\n").encode()

    def get(self, *headers: str) -> bytes:
        return self.head(f"GET {PROJECT_PATH} HTTP/1.1", *headers)

    def send(self, data: bytes) -> None:
        self.tls.sendall(data)

    def answer(self, verb: str = "GET") -> tuple[HTTPResponse, bytes]:
        response = HTTPResponse(cast(socket.socket, _Kept(self.reader)), method=verb)
        response.begin()
        return response, response.read()

    def ended(self) -> bool:
        return self.reader.read() == b""


class _Kept:
    """A connection's one reader, for each answer in turn: it may hold the start of the next."""

    def __init__(self, reader: BufferedReader) -> None:
        self.readline, self.read, self.flush = reader.readline, reader.read, reader.flush
        self.readinto = reader.readinto

    def makefile(self, mode: str) -> _Kept:
        return self

    def close(self) -> None: ...


@pytest.fixture
def raw(cloud: GoogleCloud, running: Running) -> Iterator[Raw]:
    with Raw(cloud, running) as raw:
        yield raw


@pytest.fixture
def iam(cloud: GoogleCloud, running: Running) -> Iterator[Raw]:
    with Raw(cloud, running, IAM_HOST) as raw:
        yield raw


def account(name: str) -> bytes:
    return json.dumps({"accountId": name}).encode()


def test_requests_sent_together_are_answered_in_their_order(raw: Raw) -> None:
    missing = raw.head("GET /v1/nothing HTTP/1.1")
    raw.send(raw.get() + missing + raw.get())
    assert [raw.answer()[0].status for _ in range(3)] == [200, 404, 200]


def test_a_request_may_come_byte_by_byte(raw: Raw) -> None:
    for byte in raw.get():
        raw.send(bytes([byte]))
    assert json.loads(raw.answer()[1])["projectId"] == PROJECT


def test_an_answer_that_waits_is_not_overtaken(
    raw: Raw, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def waits(faults: Faults, request: Request, dispatcher: Dispatcher) -> Answer:
        for _ in range(100 if request.path == PROJECT_PATH else 0):
            await asyncio.sleep(0)
        return dispatcher.handle(request)

    monkeypatch.setattr(Faults, "handle", waits)
    control = session(running, running.control_token)
    assert control.post(f"{running.control_url}/faults", json={"seed": 1, "rate": 0.05}).ok
    raw.send(raw.get() + raw.head("GET /v1/nothing HTTP/1.1") + raw.get("Connection: close"))
    assert [raw.answer()[0].status for _ in range(3)] == [200, 404, 200]
    assert raw.ended()


def test_what_waits_at_a_halt_is_dropped_with_all_that_was_sent_behind_it(
    iam: Raw, cloud: GoogleCloud, running: Running
) -> None:
    control = session(running, running.control_token)
    assert control.post(f"{running.control_url}/halt", json={"after": 1}).ok
    for name in ("first-one", "second-one"):
        body = account(name)
        iam.send(iam.head(f"POST {ACCOUNTS_PATH} HTTP/1.1", f"Content-Length: {len(body)}") + body)
    while not control.get(f"{running.control_url}/halt").json()["at"]:
        pass
    assert control.post(f"{running.control_url}/resume").ok
    with pytest.raises((ConnectionError, ssl.SSLError)):
        iam.answer()
    emails = cloud.state()["serviceAccounts"]
    assert f"first-one@{PROJECT}.iam.gserviceaccount.com" in emails
    assert f"second-one@{PROJECT}.iam.gserviceaccount.com" not in emails


def test_a_body_may_come_in_chunks(iam: Raw) -> None:
    body = account("in-chunks")
    iam.send(iam.head(f"POST {ACCOUNTS_PATH} HTTP/1.1", "Transfer-Encoding: chunked"))
    for part in (body[:5], body[5:]):
        iam.send(f"{len(part):x}\r\n".encode() + part + b"\r\n")
    iam.send(b"0\r\n\r\n")
    response, content = iam.answer()
    assert response.status == 200
    assert json.loads(content)["email"].startswith("in-chunks@")


def test_a_client_that_asks_first_is_told_to_send_its_body(iam: Raw) -> None:
    body = account("asks-first")
    length = f"Content-Length: {len(body)}"
    iam.send(iam.head(f"POST {ACCOUNTS_PATH} HTTP/1.1", length, "Expect: 100-continue"))
    invitation = b"HTTP/1.1 100 Continue\r\n\r\n"
    assert iam.reader.read(len(invitation)) == invitation
    iam.send(body)
    assert iam.answer()[0].status == 200


def test_a_large_body_arrives_whole(cloud: GoogleCloud, running: Running) -> None:
    body = json.dumps({"policy": {"bindings": []}, "nonsense": "x" * 4_000_000}).encode()
    with Raw(cloud, running) as raw:
        path = f"{PROJECT_PATH}:setIamPolicy"
        raw.send(raw.head(f"POST {path} HTTP/1.1", f"Content-Length: {len(body)}") + body)
        response, content = raw.answer()
        assert response.status == 400
        assert "nonsense" in json.loads(content)["error"]["message"]


def test_the_answer_to_a_head_has_no_body(raw: Raw) -> None:
    raw.send(raw.head("HEAD /v1/nothing HTTP/1.1") + raw.get())
    response, content = raw.answer("HEAD")
    assert (response.status, content) == (404, b"")
    assert int(response.headers["content-length"]) > 0
    assert raw.answer()[0].status == 200


def test_the_whole_url_may_be_asked_for(raw: Raw) -> None:
    raw.send(raw.head(f"GET {CRM}{PROJECT_PATH}?fields=name HTTP/1.1"))
    response, content = raw.answer()
    assert response.status == 200
    assert list(json.loads(content)) == ["name"]


@pytest.mark.parametrize(
    ("version", "headers"), [("HTTP/1.1", ("Connection: close",)), ("HTTP/1.0", ())]
)
def test_the_connection_ends_when_the_client_wants_no_more(
    raw: Raw, version: str, headers: tuple[str, ...]
) -> None:
    raw.send(raw.head(f"GET {PROJECT_PATH} {version}", *headers) + raw.get())
    response, _ = raw.answer()
    assert (response.status, response.headers["connection"]) == (200, "close")
    assert raw.ended()


def test_an_upgrade_is_not_taken_up(raw: Raw) -> None:
    raw.send(raw.get("Connection: Upgrade", "Upgrade: h2c") + raw.get())
    assert [raw.answer()[0].status for _ in range(2)] == [200, 200]


@pytest.mark.parametrize("nonsense", [b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\nno colon\r\n\r\n"])
def test_what_is_no_http_is_refused_after_the_answers_before_it(raw: Raw, nonsense: bytes) -> None:
    raw.send(raw.get() + nonsense)
    assert raw.answer()[0].status == 200
    response, _ = raw.answer()
    assert (response.status, response.headers["connection"]) == (400, "close")
    assert raw.ended()


def test_a_client_that_leaves_amid_a_request_changes_nothing(
    iam: Raw, cloud: GoogleCloud, running: Running
) -> None:
    body = account("half-sent")
    iam.send(iam.head(f"POST {ACCOUNTS_PATH} HTTP/1.1", f"Content-Length: {len(body)}"))
    iam.send(body[:-1])
    iam.tls.close()
    with Raw(cloud, running) as other:
        other.send(other.get())
        assert other.answer()[0].status == 200
    assert not any(name.startswith("half-sent") for name in cloud.state()["serviceAccounts"])


def test_a_fault_of_the_simulator_breaks_the_connection_and_is_logged(
    raw: Raw, running: Running, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(*given: object) -> None:
        raise RuntimeError("out of order")

    monkeypatch.setattr(Faults, "handle", broken)
    control = session(running, running.control_token)
    assert control.post(f"{running.control_url}/faults", json={"seed": 1, "rate": 0.05}).ok
    raw.send(raw.get())
    with pytest.raises((ConnectionError, ssl.SSLError)):
        raw.answer()
    assert "out of order" in caplog.text
