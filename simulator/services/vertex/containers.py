"""Serving containers: the prebuilt ones for scikit-learn run here, in this process."""

from __future__ import annotations

import io
import json
import re
from dataclasses import dataclass
from typing import Any

from simulator.api.errors import failed_precondition, unimplemented

SKLEARN_IMAGE = re.compile(r"[a-z0-9-]+-docker\.pkg\.dev/vertex-ai\S*/prediction/sklearn-\S+")
MODEL_FILES = ("model.pkl", "model.joblib")


def is_sklearn(image: str) -> bool:
    return bool(SKLEARN_IMAGE.fullmatch(image))


def check_artifact(files: dict[str, bytes], uri: str, image: str) -> str:
    """The model's file in its directory, "" for an image that is not scikit-learn's."""
    if not is_sklearn(image):
        return ""
    found = [name for name in MODEL_FILES if name in files]
    if len(found) != 1:
        raise failed_precondition(
            f"Model directory {uri} is expected to contain exactly one of: "
            f"[{', '.join(MODEL_FILES)}]."
        )
    return found[0]


@dataclass(slots=True)
class Predictor:
    """A running container: the estimator, or None for an image that cannot run here."""

    image: str
    estimator: Any

    @classmethod
    def load(cls, files: dict[str, bytes], uri: str, image: str) -> Predictor:
        name = check_artifact(files, uri, image)
        if not name:
            return cls(image, None)
        # Slow to import, and needed only once a model is deployed.
        import joblib

        try:
            # Runs code from the artifact, as the real container does. Only who can write to the
            # simulated bucket, on this machine, decides what that is.
            return cls(image, joblib.load(io.BytesIO(files[name])))
        except Exception as error:
            # Whatever the artifact does when it is loaded ends the container.
            raise failed_precondition(f"Model server exited unexpectedly. {error}") from error

    def predict(self, instances: list[Any], parameters: Any) -> list[Any]:
        if self.estimator is None:
            raise unimplemented(f"Prediction with the container image {self.image}")
        # Loaded by joblib already.
        import numpy as np

        try:
            answer = self.estimator.predict(np.asarray(instances), **(parameters or {}))
            return list(np.asarray(answer).tolist())
        except Exception as error:
            # The container's own words, quoted by Vertex AI as it does in
            # googleapis/python-aiplatform#514.
            text = f"Prediction failed: Exception during sklearn prediction: {error}"
            raise failed_precondition(f"{json.dumps(text)}\n") from error
