"""Between the engine and a plugin that it is attached to: what fails may be tried again at once."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import Any, Final, Protocol

import grpc
from google.rpc import status_pb2
from pulumi.runtime.proto import provider_pb2

from rehearsal.engine import diagnostic

proto: Any = provider_pb2

SERVICE: Final = "/pulumirpc.ResourceProvider/"
ASKED: Final = {
    "Create": proto.CreateRequest,
    "Read": proto.ReadRequest,
    "Update": proto.UpdateRequest,
    "Delete": proto.DeleteRequest,
}
"""Operations on a resource. By Pulumi's protocol an error of one fails the engine's operation."""

ANSWERS: Final = {"Create": proto.CreateResponse, "Update": proto.UpdateResponse}
"""Of those that may leave a resource half made."""

DETAILS: Final = "grpc-status-details-bin"
WORKERS: Final = 80
OPTIONS: Final = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.use_local_subchannel_pool", 1),  # a connection for each of the engine's
]


class Watch(Protocol):
    """Who decides what happens with an operation on a resource that fails."""

    def begin(self) -> None:
        """One begins."""

    def again(self, text: str) -> bool:
        """Whether to try again, given an error with the heading that the command line gives it."""


Call = Callable[[str, bytes], bytes]
"""A method of the plugin, with its request and answer as they are sent."""


class Relay:
    """Serves plugins' ports at others.

    One operation on a resource at a time: whatever the cloud is asked meanwhile is its doing.
    """

    def __init__(self, watch: Watch) -> None:
        self._watch, self._lock = watch, Lock()
        self._served: dict[int, tuple[int, Any]] = {}

    def __call__(self, port: int) -> int:
        """Where the plugin at `port` is also served."""
        if port not in self._served:
            server = grpc.server(ThreadPoolExecutor(WORKERS), options=OPTIONS)
            server.add_generic_rpc_handlers((_Forwarding(port, self._forwarded),))
            self._served[port] = server.add_insecure_port("127.0.0.1:0"), server
            server.start()
        return self._served[port][0]

    def close(self) -> None:
        for _, server in self._served.values():
            server.stop(None)

    def _forwarded(self, method: str, call: Call, request: bytes) -> bytes:
        if method not in ASKED:
            return call(method, request)
        asked = ASKED[method].FromString(request)
        with self._lock:
            self._watch.begin()
            while True:
                try:
                    return call(method, request)
                except grpc.RpcError as error:
                    if not self._watch.again(diagnostic(asked.urn, error.details())):
                        raise
                    if method in ANSWERS and (made := _made(error)):
                        return self._finished(method, call, asked, made)

    def _finished(self, method: str, call: Call, asked: Any, made: Any) -> bytes:
        """What is half made is read and then updated, as the next operation of the engine does."""
        wanted = asked.properties if method == "Create" else asked.news
        while True:
            try:
                known = {"properties": made.properties, "inputs": made.inputs}
                read = proto.ReadRequest(id=made.id, urn=asked.urn, **known)
                found = proto.ReadResponse.FromString(call("Read", read.SerializeToString()))
                known = {"olds": found.properties, "old_inputs": found.inputs, "news": wanted}
                update = proto.UpdateRequest(id=found.id, urn=asked.urn, **known)
                done = proto.UpdateResponse.FromString(call("Update", update.SerializeToString()))
            except grpc.RpcError as error:
                if not self._watch.again(diagnostic(asked.urn, error.details())):
                    raise
                made = _made(error) or made
            else:
                named = {"id": found.id} if method == "Create" else {}
                answer: bytes = ANSWERS[method](
                    properties=done.properties, **named
                ).SerializeToString()
                return answer


def _made(error: Any) -> Any:
    """What was made and could not be read then, by the details of an error; None for nothing."""
    for key, value in error.trailing_metadata() or ():
        if key == DETAILS:
            made = proto.ErrorResourceInitFailed()
            if any(detail.Unpack(made) for detail in status_pb2.Status.FromString(value).details):
                return made
    return None


class _Forwarding(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc has no types
    """Hands every call on as it came."""

    def __init__(self, port: int, forwarded: Callable[[str, Call, bytes], bytes]) -> None:
        self._address, self._forwarded = f"127.0.0.1:{port}", forwarded
        self._channels: dict[str, Any] = {}

    def service(self, details: Any) -> Any:
        method, metadata = details.method.removeprefix(SERVICE), details.invocation_metadata

        def answer(request: bytes, context: Any) -> bytes:
            channel = self._channel(context.peer())

            def call(method: str, request: bytes) -> bytes:
                told: bytes = channel.unary_unary(SERVICE + method)(request, metadata=metadata)
                return told

            try:
                return self._forwarded(method, call, request)
            except grpc.RpcError as error:
                context.set_trailing_metadata(error.trailing_metadata() or ())
                context.abort(error.code(), error.details())
                raise

        return grpc.unary_unary_rpc_method_handler(answer)

    def _channel(self, peer: str) -> Any:
        """An engine has a connection for each of its providers, and so has a plugin."""
        if peer not in self._channels:
            self._channels[peer] = grpc.insecure_channel(self._address, OPTIONS)
        return self._channels[peer]
