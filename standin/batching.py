"""Joins calls of the same kind that arrive within a moment, as the official plugin does."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from pulumi_plugin.kinds import ProviderError
from standin.google import Sleep

WINDOW: Final = 0.2  # seconds; the official plugin waits for 10


@dataclass
class Batch:
    items: list[Any] = field(default_factory=list)
    sent: threading.Event = field(default_factory=threading.Event)
    answer: Any = None
    error: Exception | None = None


class Batcher:
    def __init__(self, sleep: Sleep) -> None:
        self._sleep, self.lock = sleep, threading.Condition()
        self._open: dict[str, Batch] = {}

    def run(self, key: str, title: str, item: Any, send: Callable[[list[Any]], Any]) -> Any:
        """The answer of `send`, called once with the items of all callers that share `key`.

        When a batch fails each of its items is sent alone, so that one bad item does not take the
        others down. Raises ProviderError that names the request by `title`.
        """
        with self.lock:
            batch = self._open.get(key)
            first = batch is None
            if batch is None:
                batch = self._open[key] = Batch()
            batch.items.append(item)
            self.lock.notify_all()
        if first:
            self._send(key, batch, send)
        batch.sent.wait()
        if batch.error is None:
            return batch.answer
        if not isinstance(batch.error, ProviderError):
            raise batch.error
        if len(batch.items) == 1:
            raise ProviderError(f"Request `{title}` returned error: {batch.error}")
        try:
            return send([item])
        except ProviderError as error:
            raise ProviderError(
                f"Request `{title}` returned error: Batch request and retried single request "
                f'"{title}" both failed. Final error: {error}'
            ) from error

    def gather(self, key: str, batch: Batch) -> None:
        """Give other callers a moment to join."""
        self._sleep(WINDOW)

    def _send(self, key: str, batch: Batch, send: Callable[[list[Any]], Any]) -> None:
        try:
            self.gather(key, batch)
            with self.lock:
                del self._open[key]
            batch.answer = send(list(batch.items))
        except Exception as error:  # every caller of the batch has to hear of it
            batch.error = error
        finally:
            batch.sent.set()
