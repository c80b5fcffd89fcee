"""What log-based metrics count of the entries of a project."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from simulator.api.errors import invalid
from simulator.api.filters import found, parse_value
from simulator.core.clock import nanoseconds
from simulator.services.logging.query import Entry, compiled

DEFAULTS: dict[str, Any] = {"STRING": "", "INT64": "0", "BOOL": "false"}


class Position(NamedTuple):
    """How much was received: numbers of the next request and the next written entry."""

    request: int
    written: int


START = Position(0, 0)


@dataclass(frozen=True, slots=True)
class Sample:
    """One counted entry, `value` 1, or one extracted value."""

    time: float
    labels: tuple[tuple[str, str], ...]
    resource: str
    resource_labels: tuple[tuple[str, str], ...]
    value: float


@dataclass(slots=True)
class LogMetric:
    """`counted` says which entries are in `samples` already."""

    project: str
    info: dict[str, Any]
    counted: Position
    samples: list[Sample] = field(default_factory=list)

    def count(self, entries: Iterable[Entry], upto: Position) -> None:
        """Count the entries of the project that came since `counted`."""
        self.counted = upto
        if not self.info.get("disabled"):
            matching = compiled(self.info["filter"])
            for entry in entries:
                if matching(entry) and (sample := self._sample(entry)):
                    self.samples.append(sample)

    def _sample(self, entry: Entry) -> Sample | None:
        descriptor, value = self.info["metricDescriptor"], 1.0
        if descriptor["valueType"] == "DISTRIBUTION":
            try:
                value = float(extractor(self.info["valueExtractor"])(entry) or "")
            except ValueError:
                return None
        labels = {
            label["key"]: _label(label, self.info["labelExtractors"][label["key"]], entry)
            for label in descriptor.get("labels", ())
        }
        resource = entry["resource"]
        return Sample(
            nanoseconds(entry["timestamp"]) / 1e9,
            tuple(sorted(labels.items())),
            resource["type"],
            tuple(sorted(resource.get("labels", {}).items())),
            value,
        )


def _label(label: dict[str, Any], extracts: str, entry: Entry) -> str:
    """The extracted text, or the default of the label's type where it does not fit."""
    kind, text = label.get("valueType", "STRING"), extractor(extracts)(entry)
    fits = {
        "STRING": text is not None,
        "INT64": re.fullmatch(r"-?\d+", text or "") is not None,
        "BOOL": text in ("true", "false"),
    }
    return text if text is not None and fits[kind] else str(DEFAULTS[kind])


def extractor(text: str) -> Callable[[Entry], str | None]:
    """EXTRACT(field) or REGEXP_EXTRACT(field, regex) of an entry; None when nothing is there."""
    call = parse_value(text)
    wanted = {"EXTRACT": 1, "REGEXP_EXTRACT": 2}.get(call.function)
    if wanted is None or wanted != len(call.arguments):
        raise invalid(f"{text} is neither EXTRACT(field) nor REGEXP_EXTRACT(field, regex).")
    path, pattern = call.arguments[0].path, None
    if wanted == 2:
        try:
            pattern = re.compile(call.arguments[1].text)
        except re.error as error:
            raise invalid(f"{text}: {error} in the regular expression.") from None
        if pattern.groups != 1:
            raise invalid(f"{text}: the regular expression needs exactly one capture group.")

    def extract(entry: Entry) -> str | None:
        value = next((_text(item) for item in found(entry, path)), None)
        if value is None or pattern is None:
            return value
        match = pattern.search(value)
        return match[1] if match else None

    return extract


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
