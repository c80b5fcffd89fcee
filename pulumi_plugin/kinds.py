"""What a provider is made of: a plugin, its kinds of resources, and what they answer."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field

from pulumi_plugin.values import Props, changed_keys


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


@dataclass(frozen=True)
class Resource:
    """What a read found: the id, the inputs that would produce it, and its outputs."""

    id: str
    inputs: Props
    outputs: Props


class ProviderError(Exception):
    """A failure whose message is written for the person running Pulumi."""


class PartialFailure(ProviderError):
    """Part of a create or update was done: the state keeps `outputs`, the next `up` finishes."""

    def __init__(self, id: str, outputs: Props, inputs: Props, reason: str) -> None:
        super().__init__(reason)
        self.id, self.outputs, self.inputs = id, outputs, inputs


def _nobody(message: str) -> None:
    pass


@dataclass(frozen=True)
class Context:
    """How one operation talks to the person watching it, and hears that it was cancelled.

    `show` puts a text beside the resource, in place of the one before; `warn` says one for good.
    `timeout` is in seconds, 0 where the program sets none; `seed` is for names that are drawn.
    """

    name: str = ""
    timeout: float = 0.0
    seed: bytes = b""
    cancelled: threading.Event = field(default_factory=threading.Event)
    show: Callable[[str], None] = _nobody
    warn: Callable[[str], None] = _nobody
    _shown: threading.Event = field(default_factory=threading.Event)

    def status(self, message: str) -> None:
        """Show `message` beside the resource while it is being worked on."""
        self._shown.set()
        self.show(message)

    def clear(self) -> None:
        """Take the status away: the engine shows the last one for good."""
        if self._shown.is_set():
            self.show("")
            self._shown.clear()


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


class StateOnly(Kind):
    """A resource that is in the state alone: its outputs are its inputs, and it is never replaced.

    `id` is the same for each, `nature` says what there is instead of something to import.
    """

    id: str
    nature: str

    def diff(self, id: str, old_inputs: Props, old_outputs: Props, inputs: Props) -> Change:
        return Change(tuple(sorted(changed_keys(old_inputs, inputs))))

    def create(self, inputs: Props, context: Context) -> tuple[str, Props]:
        return self.id, inputs

    def update(
        self, id: str, old_inputs: Props, old_outputs: Props, inputs: Props, context: Context
    ) -> Props:
        return inputs

    def read(self, id: str, inputs: Props, outputs: Props, context: Context) -> Resource | None:
        if not inputs:
            raise ProviderError(f"there is nothing to import: {self.nature}")
        return Resource(id, inputs, outputs)

    def delete(self, id: str, inputs: Props, outputs: Props, context: Context) -> None:
        """Nothing was made."""


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
