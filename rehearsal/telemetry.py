"""Real device telemetry, and the small model that predicts failures from it.

The data is NASA's shuttle telemetry as it ships in `river`'s wheel: 49,097 readings of 9 sensors,
each marked as normal (0) or anomalous (1); 3,511 are anomalous. Read straight from the file, for
importing `river` takes longer than the rest of a rehearsal's preparation.

    python -m rehearsal.telemetry build/model/model.joblib     trains the example model, and
                                                               writes training.csv beside it
"""

from __future__ import annotations

import gzip
import importlib.util
import os
import sys
import tempfile
import time
from functools import cache
from pathlib import Path
from typing import Any

SENSORS = tuple(f"f{number}" for number in range(1, 10))
"""What the columns are called here; a stack says so in its setting of that name."""

TARGET = "failure"
TRAINED_ON = 20_000
"""Readings at the start that models are trained on; all later ones they have never seen."""


@cache
def readings() -> tuple[Any, Any]:
    """Sensor values, an array of shape (49097, 9), and labels, of shape (49097,)."""
    import numpy

    river = importlib.util.find_spec("river")
    if river is None or river.origin is None:
        raise RuntimeError("river is not installed; run `make setup`")
    with gzip.open(Path(river.origin).parent / "datasets" / "shuttle.csv.gz", "rt") as file:
        rows = numpy.loadtxt(file, delimiter=",", skiprows=1)
    return rows[:, :-1], rows[:, -1]


class Slow:
    """A model that takes `seconds` longer for each request."""

    def __init__(self, model: Any, seconds: float) -> None:
        self.model, self.seconds = model, seconds

    def predict(self, values: Any) -> Any:
        time.sleep(self.seconds)
        return self.model.predict(values)


def train(path: Path, *, depth: int = 8, sensors: int = len(SENSORS), seconds: float = 0) -> Path:
    """Write a trained model to `path`. It predicts the risk of a failure, from 0 to 1.

    One that knows fewer `sensors` than readings have fails on each; with `seconds` it is slow.

    A regressor on the labels, for a prebuilt scikit-learn container answers with `predict`, which
    for a classifier would be the bare label. One tree: a forest tells no more failures apart, and
    answers a single reading six times as slowly.
    """
    import joblib
    from sklearn.tree import DecisionTreeRegressor

    values, labels = readings()
    model: Any = DecisionTreeRegressor(max_depth=depth, random_state=0)
    model.fit(values[:TRAINED_ON, :sensors], labels[:TRAINED_ON])
    if seconds:
        model = Slow(model, seconds)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Whole as soon as it is there: other rehearsals may be looking for the same model.
    with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".partial", delete=False) as file:
        joblib.dump(model, file)
    os.replace(file.name, path)
    return path


def trained_on(path: Path) -> Path:
    """Write what models are trained on to `path`: CSV, a column for each sensor and the label."""
    values, labels = readings()
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, suffix=".partial", delete=False) as file:
        file.write(",".join([*SENSORS, TARGET]) + "\n")
        for row, label in zip(values[:TRAINED_ON].tolist(), labels[:TRAINED_ON], strict=True):
            file.write(",".join(f"{value:g}" for value in [*row, label]) + "\n")
    os.replace(file.name, path)
    return path


def unseen(count: int) -> tuple[list[list[float]], list[float]]:
    """`count` readings spread over those that no model was trained on, and their labels."""
    values, labels = readings()
    later = slice(TRAINED_ON, None, max(1, (len(values) - TRAINED_ON) // count))
    return values[later][:count].tolist(), labels[later][:count].tolist()


def roc_auc(labels: list[float], risks: list[float]) -> float:
    """Area under the ROC curve, 0.5 for guesses and 1 for a perfect order.

    It is the share of pairs of a failure and a normal reading in which the failure's risk is the
    higher one, equal ones counting half. `sklearn.metrics` takes longer to import than a refresh.
    """
    import numpy

    given, failed = numpy.asarray(risks), numpy.asarray(labels) == 1
    failures, normal = given[failed], numpy.sort(given[~failed])
    below = numpy.searchsorted(normal, failures, "left")
    not_above = numpy.searchsorted(normal, failures, "right")
    return float((below + not_above).sum() / (2 * len(failures) * len(normal)))


if __name__ == "__main__":
    print(train(Path(sys.argv[1])))
    print(trained_on(Path(sys.argv[1]).with_name("training.csv")))
