"""The gRPC server that the engine talks to.

`pulumi.provider.experimental` has no partial failure (`ErrorResourceInitFailed`), does not pass
old inputs to diff and does not recognise unknown values, so this stands directly on the protocol.
"""

from __future__ import annotations

import re
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

import grpc
from google.protobuf import empty_pb2
from google.rpc import status_pb2
from grpc_status import rpc_status

from pulumi_plugin.kinds import (
    Change,
    Context,
    Failure,
    Kind,
    PartialFailure,
    Plugin,
    ProviderError,
)
from pulumi_plugin.protocol import proto
from pulumi_plugin.values import Props, conceal, struct_to_python, to_struct

# Pulumi's own limits: messages of up to 400 MiB, and half an hour in the queue.
OPTIONS: Final = (
    ("grpc.max_receive_message_length", 400 << 20),
    ("grpc.server_max_unrequested_time_in_server", 1800),
)


def serve(make: Callable[[], Plugin]) -> None:
    """Run a plugin for the engine that started it, whose address comes last, after any flags.

    Without one, run until standard input ends, for engines that attach to it: those that are told
    `PULUMI_DEBUG_PROVIDERS=NAME:PORT`.
    """
    server = grpc.server(ThreadPoolExecutor(max_workers=64), options=OPTIONS)
    started = len(sys.argv) > 1
    servicer: Any = _started(make(), server) if started else Attached(make)
    proto.add_ResourceProviderServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    if started:
        server.wait_for_termination()
    else:
        sys.stdin.read()
        servicer.cancel()
        server.stop(None)


def _started(plugin: Plugin, server: grpc.Server) -> Servicer:
    def gone() -> None:
        servicer.cancelled.set()
        server.stop(None)

    servicer = Servicer(plugin, _engine(sys.argv[-1], gone))
    return servicer


def _engine(address: str, gone: Callable[[], None]) -> Any:
    """The engine at `address`; calls `gone` when it is not there any more.

    An engine that was killed does not end its plugins: its connection falls idle, and cannot be
    made again.
    """
    channel = grpc.insecure_channel(address, options=OPTIONS)

    def watch(state: grpc.ChannelConnectivity) -> None:
        if state is grpc.ChannelConnectivity.IDLE:
            channel.subscribe(lambda _: None, try_to_connect=True)
        elif state is grpc.ChannelConnectivity.TRANSIENT_FAILURE:
            gone()

    channel.subscribe(watch, try_to_connect=True)
    return proto.EngineStub(channel)


class Servicer(proto.ResourceProviderServicer):
    """The protocol's methods, each a call of `plugin` or of one of its kinds."""

    def __init__(self, plugin: Plugin, engine: Any) -> None:
        self.plugin, self.engine, self.cancelled = plugin, engine, threading.Event()

    def _context(self, request: Any) -> Context:
        urn = getattr(request, "urn", "")
        log = partial(proto.LogRequest, urn=urn)

        def show(message: str) -> None:
            self.engine.Log(log(severity=proto.INFO, message=message, ephemeral=True))

        def warn(message: str) -> None:
            self.engine.Log(log(severity=proto.WARNING, message=message))

        return Context(
            name=urn.rpartition("::")[2],
            timeout=getattr(request, "timeout", 0.0),
            seed=getattr(request, "randomSeed", b""),
            cancelled=self.cancelled,
            show=show,
            warn=warn,
        )

    @contextmanager
    def _at_work(self, request: Any) -> Iterator[Context]:
        context = self._context(request)
        try:
            yield context
        finally:
            context.clear()

    def _kind(self, request: Any) -> Kind:
        return self.plugin.kind(request.urn.split("::")[2].rpartition("$")[2])

    def Handshake(self, request: Any, context: Any) -> Any:
        return proto.ProviderHandshakeResponse()

    def GetPluginInfo(self, request: Any, context: Any) -> Any:
        return proto.PluginInfo(version=self.plugin.version)

    def GetSchema(self, request: Any, context: Any) -> Any:
        return proto.GetSchemaResponse(schema=self.plugin.schema())

    def Cancel(self, request: Any, context: Any) -> Any:
        self.cancelled.set()
        return empty_pb2.Empty()

    def CheckConfig(self, request: Any, context: Any) -> Any:
        with _errors(context):
            return _check_response(
                *self.plugin.check_config(struct_to_python(request.news), self._context(request))
            )

    def DiffConfig(self, request: Any, context: Any) -> Any:
        with _errors(context):
            old = request.old_inputs if request.old_inputs.fields else request.olds
            return _diff_response(
                self.plugin.diff_config(struct_to_python(old), struct_to_python(request.news))
            )

    def Configure(self, request: Any, context: Any) -> Any:
        with _errors(context):
            self.plugin.configure(struct_to_python(request.args), self._context(request))
            return proto.ConfigureResponse(supportsPreview=True)

    def Invoke(self, request: Any, context: Any) -> Any:
        with _errors(context):
            arguments = struct_to_python(request.args)
            result = self.plugin.invoke(request.tok, arguments, self._context(request))
            return proto.InvokeResponse(**{"return": to_struct(result)})

    def Check(self, request: Any, context: Any) -> Any:
        with _errors(context):
            kind = self._kind(request)
            inputs, failures = kind.check(
                struct_to_python(request.news),
                struct_to_python(request.olds),
                self._context(request),
            )
            return _check_response(conceal(inputs, kind.secrets), failures)

    def Diff(self, request: Any, context: Any) -> Any:
        with _errors(context):
            old_inputs = struct_to_python(request.old_inputs)
            inputs = struct_to_python(request.news)
            for path in request.ignoreChanges:
                inputs[path] = old_inputs.get(path)
            return _diff_response(
                self._kind(request).diff(
                    request.id, old_inputs, struct_to_python(request.olds), inputs
                )
            )

    def Create(self, request: Any, context: Any) -> Any:
        with _errors(context) as errors:
            kind, inputs = self._kind(request), struct_to_python(request.properties)
            errors.secrets = kind.secrets
            if request.preview:
                outputs = kind.preview(inputs, None)
                return proto.CreateResponse(properties=_marked(outputs, kind.secrets))
            with self._at_work(request) as work:
                id, outputs = kind.create(inputs, work)
            return proto.CreateResponse(id=id, properties=_marked(outputs, kind.secrets))

    def Read(self, request: Any, context: Any) -> Any:
        with _errors(context):
            kind = self._kind(request)
            inputs, outputs = map(struct_to_python, (request.inputs, request.properties))
            with self._at_work(request) as work:
                found = kind.read(request.id, inputs, outputs, work)
            if found is None:
                return proto.ReadResponse()
            return proto.ReadResponse(
                id=found.id,
                inputs=_marked(found.inputs, kind.secrets),
                properties=_marked(found.outputs, kind.secrets),
            )

    def Update(self, request: Any, context: Any) -> Any:
        with _errors(context) as errors:
            kind = self._kind(request)
            errors.secrets = kind.secrets
            olds, inputs = struct_to_python(request.olds), struct_to_python(request.news)
            if request.preview:
                outputs = kind.preview(inputs, olds)
            else:
                old_inputs = struct_to_python(request.old_inputs)
                with self._at_work(request) as work:
                    outputs = kind.update(request.id, old_inputs, olds, inputs, work)
            return proto.UpdateResponse(properties=_marked(outputs, kind.secrets))

    def Delete(self, request: Any, context: Any) -> Any:
        with _errors(context):
            inputs, outputs = map(struct_to_python, (request.old_inputs, request.properties))
            with self._at_work(request) as work:
                self._kind(request).delete(request.id, inputs, outputs, work)
            return empty_pb2.Empty()


class Attached:
    """A servicer for each provider of the engines that attach.

    An engine has a connection for each of its providers, and attaches as the first thing on it.
    """

    def __init__(self, make: Callable[[], Plugin]) -> None:
        self._make = make
        self._servicers: dict[str, Servicer] = {}

    def Handshake(self, request: Any, context: Any) -> Any:
        return proto.ProviderHandshakeResponse()

    def Attach(self, request: Any, context: Any) -> Any:
        connection = context.peer()

        def gone() -> None:
            if self._servicers.get(connection) is servicer:
                del self._servicers[connection]
            servicer.cancelled.set()

        servicer = Servicer(self._make(), _engine(request.address, gone))
        self._servicers[connection] = servicer
        return empty_pb2.Empty()

    def cancel(self) -> None:
        for servicer in list(self._servicers.values()):
            servicer.cancelled.set()

    def __getattr__(self, method: str) -> Callable[[Any, Any], Any]:
        def call(request: Any, context: Any) -> Any:
            return getattr(self._servicers[context.peer()], method)(request, context)

        return call


def _marked(props: Props, secrets: Iterable[str]) -> Any:
    """Properties for the engine, those named by `secrets` marked as such."""
    return to_struct(conceal(props, secrets))


def _check_response(inputs: Props, failures: Iterable[Failure]) -> Any:
    return proto.CheckResponse(
        inputs=to_struct(inputs),
        failures=[proto.CheckFailure(property=f.property, reason=f.reason) for f in failures],
    )


def _diff_response(change: Change) -> Any:
    kinds = {path: proto.PropertyDiff.UPDATE for path in change.updates}
    kinds |= {path: proto.PropertyDiff.UPDATE_REPLACE for path in change.replaces}
    return proto.DiffResponse(
        changes=proto.DiffResponse.DIFF_SOME if kinds else proto.DiffResponse.DIFF_NONE,
        replaces=list(change.replaces),
        stables=list(change.stables),
        deleteBeforeReplace=change.delete_before_replace,
        diffs=sorted({re.split(r"[.[]", path)[0] for path in kinds}),
        detailedDiff={path: proto.PropertyDiff(kind=kind) for path, kind in kinds.items()},
        hasDetailedDiff=True,
    )


class _errors:
    """Turn exceptions into what the engine shows: the message alone when written for people."""

    def __init__(self, context: Any) -> None:
        self.context = context
        self.secrets: tuple[str, ...] = ()

    def __enter__(self) -> _errors:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        match error:
            case None:
                return
            case PartialFailure():
                detail = proto.ErrorResourceInitFailed(
                    id=error.id,
                    properties=_marked(error.outputs, self.secrets),
                    inputs=_marked(error.inputs, self.secrets),
                    reasons=[str(error)],
                )
                status = status_pb2.Status(
                    code=grpc.StatusCode.UNKNOWN.value[0], message=str(error)
                )
                status.details.add().Pack(detail)
                self.context.abort_with_status(rpc_status.to_status(status))
            case ProviderError():
                self.context.abort(grpc.StatusCode.UNKNOWN, str(error))
            case _:
                self.context.abort(
                    grpc.StatusCode.INTERNAL, "".join(traceback.format_exception(error))
                )
