"""A Pulumi resource provider plugin in plain Python values.

`pulumi.provider.experimental` has no partial failure (`ErrorResourceInitFailed`), does not pass
old inputs to diff and does not recognise unknown values, so this servicer stands directly on the
gRPC protocol in `pulumi.runtime.proto`.

Property values are plain Python: dict, list, str, bool, int or float, None, `Asset` or
`pulumi.Archive`, and `UNKNOWN` for what a preview cannot know yet. Secrets never reach a kind as
wrappers: the plugin does not accept secrets, so the engine unwraps them on the way in and marks the
same properties secret on the way out. What is secret by nature, such as a key that a create
returns, a kind names in `secrets`: those properties leave the plugin wrapped, whatever the program
said of them.
"""

from __future__ import annotations

import re
import sys
import threading
import traceback
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import grpc
from google.protobuf import empty_pb2, struct_pb2
from google.rpc import status_pb2
from grpc_status import rpc_status
from pulumi.runtime import proto, rpc
from pulumi.runtime._grpc_settings import _GRPC_CHANNEL_OPTIONS
from pulumi.runtime.proto import engine_pb2_grpc, provider_pb2_grpc

Props = dict[str, Any]

_ASSET_PARTS: Final = ("hash", "path", "text", "uri")


class Unknown:
    """The type of `UNKNOWN`: a value that only `pulumi up` will know."""

    def __repr__(self) -> str:
        return "UNKNOWN"

    def __deepcopy__(self, memo: object) -> Unknown:
        return self


UNKNOWN: Final = Unknown()


@dataclass(frozen=True)
class Asset:
    """A file, a text or an address, and the SHA-256 of what it holds.

    In a diff, and in old state, there is only the hash: the engine keeps the content to itself.
    """

    hash: str = ""
    path: str = ""
    text: str = ""
    uri: str = ""


def is_known(value: Any) -> bool:
    """Whether nothing inside `value` is unknown."""
    if isinstance(value, dict):
        return all(is_known(item) for item in value.values())
    if isinstance(value, list):
        return all(is_known(item) for item in value)
    return value is not UNKNOWN


@dataclass(frozen=True)
class Failure:
    """One invalid input: `property` is a path such as `models[1].traffic`."""

    property: str
    reason: str


@dataclass(frozen=True)
class Change:
    """What differs between the state and the program.

    `updates` and `replaces` are property paths; a resource with any `replaces` is replaced.
    `stables` are outputs that an update leaves alone, so that what depends on them stays known in a
    preview.
    """

    updates: tuple[str, ...] = ()
    replaces: tuple[str, ...] = ()
    stables: tuple[str, ...] = ()
    delete_before_replace: bool = False


class ProviderError(Exception):
    """A failure whose message is written for the person running Pulumi."""


class PartialFailure(ProviderError):
    """Part of a create or update was done: the state keeps `outputs`, the next `up` finishes."""

    def __init__(self, id: str, outputs: Props, inputs: Props, reason: str) -> None:
        super().__init__(reason)
        self.id, self.outputs, self.inputs = id, outputs, inputs


@dataclass(frozen=True)
class Resource:
    """What a read found: the id, the inputs that would produce it, and its outputs."""

    id: str
    inputs: Props
    outputs: Props


@dataclass(frozen=True)
class Secret:
    """A value on its way to the engine, which keeps it encrypted and off the screen."""

    value: Any


def conceal(props: Props, names: Iterable[str]) -> Props:
    """`props` with what `names`, dotted, lead to wrapped as secrets."""
    for name in names:
        props = _concealed(props, name)
    return props


def _concealed(value: Any, name: str) -> Any:
    if isinstance(value, list):
        return [_concealed(item, name) for item in value]
    first, _, rest = name.partition(".")
    if not isinstance(value, dict) or first not in value:
        return value
    return {**value, first: _concealed(value[first], rest) if rest else Secret(value[first])}


@dataclass(frozen=True)
class Context:
    """How one operation talks to the person watching it, and hears that it was cancelled."""

    urn: str = ""
    name: str = ""
    timeout: float = 0.0
    cancelled: threading.Event = field(default_factory=threading.Event)
    engine: Any = None
    seed: bytes = b""
    shown: threading.Event = field(default_factory=threading.Event)
    """Set while a status stands beside the resource."""

    def status(self, message: str) -> None:
        """Show `message` beside the resource while it is being worked on."""
        self.shown.set()
        self._log(proto.INFO, message, ephemeral=True)

    def clear(self) -> None:
        """Take the status away: the engine shows the last one for good."""
        if self.shown.is_set():
            self._log(proto.INFO, "", ephemeral=True)
            self.shown.clear()

    def warn(self, message: str) -> None:
        self._log(proto.WARNING, message, ephemeral=False)

    def _log(self, severity: Any, message: str, *, ephemeral: bool) -> None:
        if self.engine is not None:
            self.engine.Log(
                proto.LogRequest(
                    severity=severity, message=message, urn=self.urn, ephemeral=ephemeral
                )
            )


class Kind(ABC):
    """One resource type. Operations may block; each runs in a thread of its own.

    `secrets` are the properties, inputs and outputs, that the engine has to keep encrypted: dotted
    names, which reach into lists as well.
    """

    secrets: tuple[str, ...] = ()

    def check(
        self, inputs: Props, old_inputs: Props, context: Context
    ) -> tuple[Props, list[Failure]]:
        """Inputs with defaults filled in, and everything that is wrong with them."""
        return inputs, []

    @abstractmethod
    def diff(self, id: str, old_inputs: Props, old_outputs: Props, inputs: Props) -> Change: ...

    def preview(self, inputs: Props, old_outputs: Props | None) -> Props:
        """Outputs as far as a preview knows them; all else is reported as unknown."""
        return dict(inputs)

    @abstractmethod
    def create(self, inputs: Props, context: Context) -> tuple[str, Props]: ...

    @abstractmethod
    def read(self, id: str, inputs: Props, outputs: Props, context: Context) -> Resource | None:
        """The resource as it is now; None when it is gone. `inputs` is empty on an import."""

    def update(
        self, id: str, old_inputs: Props, old_outputs: Props, inputs: Props, context: Context
    ) -> Props:
        raise ProviderError(f"{type(self).__name__} cannot be updated in place")

    @abstractmethod
    def delete(self, id: str, inputs: Props, outputs: Props, context: Context) -> None: ...


class Plugin(ABC):
    """A provider: its name, its configuration and its resource types."""

    name: str
    version: str = "0.0.0"

    def check_config(self, inputs: Props, context: Context) -> tuple[Props, list[Failure]]:
        return inputs, []

    def diff_config(self, old_inputs: Props, inputs: Props) -> Change:
        return Change(updates=changed_keys(old_inputs, inputs))

    @abstractmethod
    def configure(self, inputs: Props, context: Context) -> None:
        """Called once, before any resource operation. `inputs` may hold `UNKNOWN` in a preview."""

    @abstractmethod
    def kind(self, token: str) -> Kind:
        """The resource type named `token`; raises `ProviderError` when there is none."""

    def invoke(self, token: str, arguments: Props, context: Context) -> Props:
        raise ProviderError(f"{self.name} has no function {token}")

    def schema(self) -> str:
        return "{}"


def changed_keys(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[str, ...]:
    """Top-level properties whose value differs; an absent one equals None."""
    return tuple(sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key)))


def to_python(value: struct_pb2.Value) -> Any:
    """A protobuf property value as plain Python. Raises ValueError for an unknown signature."""
    match value.WhichOneof("kind"):
        case "null_value" | None:
            return None
        case "string_value":
            return UNKNOWN if value.string_value == rpc.UNKNOWN else value.string_value
        case "number_value":
            number = value.number_value
            return int(number) if number.is_integer() else number
        case "bool_value":
            return value.bool_value
        case "list_value":
            return [to_python(item) for item in value.list_value.values]
    fields = value.struct_value.fields
    if rpc._special_sig_key not in fields:
        return struct_to_python(value.struct_value)
    match fields[rpc._special_sig_key].string_value:
        case rpc._special_secret_sig:
            return to_python(fields["value"])
        case rpc._special_output_value_sig:
            return to_python(fields["value"]) if "value" in fields else UNKNOWN
        case rpc._special_resource_sig:
            return to_python(fields["id"]) if "id" in fields else fields["urn"].string_value
        case rpc._special_asset_sig:
            parts = {name: fields[name].string_value for name in _ASSET_PARTS if name in fields}
            return Asset(**parts)
        case rpc._special_archive_sig:
            if fields.keys() & {"path", "uri", "assets"}:
                return rpc.deserialize_properties(value.struct_value)
            # The state keeps only the hash of what was uploaded.
            return {key: to_python(item) for key, item in fields.items()}
        case signature:
            raise ValueError(f"property value with unknown signature {signature}")


def struct_to_python(struct: struct_pb2.Struct) -> Props:
    return {key: to_python(value) for key, value in struct.fields.items()}


def to_value(value: Any) -> struct_pb2.Value:
    """The protobuf form of a plain property value. Raises TypeError for anything else."""
    match value:
        case None:
            return struct_pb2.Value(null_value=struct_pb2.NULL_VALUE)
        case Unknown():
            return struct_pb2.Value(string_value=rpc.UNKNOWN)
        case bool():
            return struct_pb2.Value(bool_value=value)
        case int() | float():
            return struct_pb2.Value(number_value=value)
        case str():
            return struct_pb2.Value(string_value=value)
        case dict():
            return struct_pb2.Value(struct_value=to_struct(value))
        case Secret():
            return to_value({rpc._special_sig_key: rpc._special_secret_sig, "value": value.value})
        case list() | tuple():
            items = struct_pb2.ListValue(values=[to_value(item) for item in value])
            return struct_pb2.Value(list_value=items)
        case Asset():
            parts = {name: getattr(value, name) for name in _ASSET_PARTS if getattr(value, name)}
            return to_value({rpc._special_sig_key: rpc._special_asset_sig, **parts})
    raise TypeError(f"{type(value).__name__} is not a property value")


def to_struct(props: Mapping[str, Any]) -> struct_pb2.Struct:
    return struct_pb2.Struct(fields={key: to_value(value) for key, value in props.items()})


def serve(plugin: Plugin) -> None:
    """Run `plugin` as the engine started it: the engine's address comes last, after any flags."""
    channel = grpc.insecure_channel(sys.argv[-1], options=_GRPC_CHANNEL_OPTIONS)
    server = grpc.server(ThreadPoolExecutor(max_workers=64), options=_GRPC_CHANNEL_OPTIONS)
    servicer = _Servicer(plugin, engine_pb2_grpc.EngineStub(channel))
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)

    # An engine that was killed does not end its plugins: its connection falls idle, and cannot be
    # made again.
    def watch_engine(state: grpc.ChannelConnectivity) -> None:
        if state is grpc.ChannelConnectivity.IDLE:
            channel.subscribe(lambda _: None, try_to_connect=True)
        elif state is grpc.ChannelConnectivity.TRANSIENT_FAILURE:
            servicer.cancelled.set()
            server.stop(None)

    channel.subscribe(watch_engine, try_to_connect=True)
    server.wait_for_termination()


class _Servicer(provider_pb2_grpc.ResourceProviderServicer):
    def __init__(self, plugin: Plugin, engine: Any) -> None:
        self.plugin, self.engine, self.cancelled = plugin, engine, threading.Event()

    def _context(self, request: Any) -> Context:
        return Context(
            urn=request.urn,
            name=request.urn.rpartition("::")[2],
            timeout=getattr(request, "timeout", 0.0),
            seed=getattr(request, "randomSeed", b""),
            cancelled=self.cancelled,
            engine=self.engine,
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
            self.plugin.configure(
                struct_to_python(request.args),
                Context(cancelled=self.cancelled, engine=self.engine),
            )
            return proto.ConfigureResponse(supportsPreview=True)

    def Invoke(self, request: Any, context: Any) -> Any:
        with _errors(context):
            result = self.plugin.invoke(
                request.tok,
                struct_to_python(request.args),
                Context(cancelled=self.cancelled, engine=self.engine),
            )
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
                return proto.CreateResponse(properties=to_struct(conceal(outputs, kind.secrets)))
            with self._at_work(request) as work:
                id, outputs = kind.create(inputs, work)
            return proto.CreateResponse(id=id, properties=to_struct(conceal(outputs, kind.secrets)))

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
                inputs=to_struct(conceal(found.inputs, kind.secrets)),
                properties=to_struct(conceal(found.outputs, kind.secrets)),
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
            return proto.UpdateResponse(properties=to_struct(conceal(outputs, kind.secrets)))

    def Delete(self, request: Any, context: Any) -> Any:
        with _errors(context):
            inputs, outputs = map(struct_to_python, (request.old_inputs, request.properties))
            with self._at_work(request) as work:
                self._kind(request).delete(request.id, inputs, outputs, work)
            return empty_pb2.Empty()


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
                    properties=to_struct(conceal(error.outputs, self.secrets)),
                    inputs=to_struct(conceal(error.inputs, self.secrets)),
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
