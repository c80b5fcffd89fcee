"""How far two samples of a feature are apart, as Model Monitoring v1 measures it.

docs vertex-ai/docs/model-monitoring/overview, "Calculate drift", and ThresholdConfig in the
discovery document: for a numerical feature the Jensen-Shannon divergence of how its values fall
into equal intervals of their range, for a categorical one the L-infinity distance of the shares of
its values. Inferred: 10 intervals over the range of both samples, as TensorFlow Data Validation's
histograms have, and logarithms of base 2, so that both distances are from 0 to 1.
"""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import yaml

from simulator.api.errors import invalid

INTERVALS = 10
NUMERICAL = ("number", "integer")
FORMS = ("object", "array")

Columns = dict[str, list[Any]]
"""Values by feature."""


def distance(values: Sequence[Any], baseline: Sequence[Any], kind: str) -> float:
    """From 0, alike, to 1, nothing in common; `kind` is the feature's type in the schema."""
    if kind not in NUMERICAL:
        shares, before = _shares(values), _shares(baseline)
        keys = shares.keys() | before.keys()
        return max(abs(shares.get(key, 0.0) - before.get(key, 0.0)) for key in keys)
    # Loaded with the first model already.
    import numpy as np

    ours, theirs = np.asarray(values, float), np.asarray(baseline, float)
    low, high = min(ours.min(), theirs.min()), max(ours.max(), theirs.max())
    p, q = (np.histogram(it, INTERVALS, (low, high))[0] / len(it) for it in (ours, theirs))
    middle = (p + q) / 2

    def divergence(of: Any) -> float:
        there = of > 0
        return float((of[there] * np.log2(of[there] / middle[there])).sum())

    return (divergence(p) + divergence(q)) / 2


def _shares(values: Sequence[Any]) -> dict[str, float]:
    counts = Counter(it if isinstance(it, str) else json.dumps(it) for it in values)
    return {value: count / len(values) for value, count in counts.items()}


def schema(text: bytes, uri: str) -> dict[str, str]:
    """Type by feature, in the order in which an instance that is a list has them.

    docs vertex-ai/docs/model-monitoring/schemas: an OpenAPI schema in YAML, of which `required`
    has the order. The words of the refusals are ours.
    """
    try:
        given = yaml.safe_load(text)
        if given["type"] not in FORMS:
            raise invalid(f"Instances of type {given['type']} in {uri}")
        order = given.get("required") or list(given["properties"])
        return {name: str(given["properties"][name]["type"]) for name in order}
    except (yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        raise invalid(f"{uri} is no OpenAPI schema of an instance: {error}") from error


def inferred(instances: Sequence[Any]) -> dict[str, str]:
    """What requests without a schema seem to hold.

    Keys are names (docs, the same page); what lists get for names, "a default feature name", is
    not said there: `feature_0` and so on are ours.
    """
    named: dict[str, Any] = {}
    for instance in instances:
        named |= _named(instance, ())
    return {
        name: "number" if isinstance(value, int | float) else "string"
        for name, value in named.items()
    }


def _named(instance: Any, order: Sequence[str]) -> Mapping[str, Any]:
    if isinstance(instance, dict):
        return instance
    if not isinstance(instance, list):
        return {}
    names = order or [f"feature_{place}" for place in range(len(instance))]
    return dict(zip(names, instance, strict=False))


def columns(instances: Iterable[Any], features: Mapping[str, str]) -> Columns:
    """The values of each feature; what is missing, or no number where one is due, is left out."""
    found: Columns = {}
    order = list(features)
    for instance in instances:
        named = _named(instance, order)
        for name, kind in features.items():
            value = named.get(name)
            if kind in NUMERICAL:
                value = _number(value)
            if value is not None:
                found.setdefault(name, []).append(value)
    return found


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def training(data: bytes, form: str, features: Mapping[str, str]) -> Columns:
    """Columns of training data in `csv`, with a header, or `jsonl`."""
    text = data.decode()
    if form == "csv":
        return columns(csv.DictReader(io.StringIO(text)), features)
    return columns((json.loads(line) for line in text.splitlines() if line.strip()), features)
