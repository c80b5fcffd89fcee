"""That those who work with the stack can: devices ask for predictions, training stores models."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from components import permissions as table
from rehearsal import telemetry
from rehearsal.federating import entered
from rehearsal.report import Stage, StageFailed
from rehearsal.run import Rehearsal
from rehearsal.sandbox import Google, GoogleError

PREDICTIONS: Final = 1_024
CLIENTS: Final = 8

STRANGER: Final = "stranger@example.com"
"""Is in the company, and has nothing to do with the stack."""

DENIAL: Final = "Permission 'aiplatform.endpoints.predict' denied on resource"

BINS: Final = 10
"""Parts of the range of a risk, in the report."""

GOOD_ENOUGH: Final = 0.9
"""ROC AUC that the deployed model has to reach on readings it has never seen."""


def store(run: Rehearsal, stage: Stage) -> None:
    """Put a newly trained model into the artifact bucket, as the training account.

    Each time under a name of its own: the account may not overwrite what is there.
    """
    settings = run.environment.settings
    path = next(Path(model.artifact) for model in settings.models if model.artifact)
    try:
        run.sandbox.google(settings.email(table.TRAINING)).call(
            "POST",
            f"https://storage.googleapis.com/upload/storage/v1/b/{settings.artifacts_bucket}/o"
            f"?uploadType=media&name=trained/{time.time_ns()}/model.joblib",
            path.read_bytes(),
            {"Content-Type": "application/octet-stream"},
        )
    except GoogleError as error:
        raise StageFailed("the training account was refused", str(error)) from error
    stage.note = "as the training account"


def predict(run: Rehearsal, stage: Stage) -> None:
    """Score the endpoint on readings that no model has seen, as the telemetry account."""
    ask = predictor(run)
    readings, labels = telemetry.unseen(PREDICTIONS)
    try:
        with ThreadPoolExecutor(CLIENTS) as pool:
            risks = list(pool.map(lambda reading: ask([reading])[0], readings))
    except GoogleError as error:
        raise StageFailed("a prediction was refused", str(error)) from error
    quality = telemetry.roc_auc(labels, risks)
    run.report.summary |= {"predictions": len(risks), "roc_auc": quality}
    run.report.summary["risks"] = told(risks, labels, run.environment.settings.risk_percent)
    stage.note = f"{len(risks):,} on unseen readings, ROC AUC {quality:.3f}"
    if quality <= GOOD_ENOUGH:
        raise StageFailed(f"ROC AUC is {quality:.3f}; the model has to be above {GOOD_ENOUGH}")


def answer_callers(run: Rehearsal, stage: Stage) -> None:
    """Each of `callers` gets a prediction; somebody else is refused as Google refuses him."""
    settings = run.environment.settings
    vertex = f"https://{settings.region}-aiplatform.googleapis.com/v1"
    reading = telemetry.unseen(1)[0]
    for caller in run.environment.callers:
        google = entered(run.sandbox, caller)
        try:
            if run.routes:  # the role has it only there; Google's client reads the address so
                google.call("GET", f"{vertex}/{settings.endpoint_name}")
            predictor(run, by=google)(reading)
        except GoogleError as error:
            raise StageFailed(f"{caller.member} was refused", str(error)) from error
    try:
        predictor(run, by=run.sandbox.google(STRANGER))(reading)
    except GoogleError as error:
        if error.status != 403 or DENIAL not in str(error):
            raise StageFailed(f"{STRANGER} was not denied but got", str(error)) from error
    else:
        raise StageFailed(f"{STRANGER} got a prediction, and is none of callers")
    stage.note = f"{len(run.environment.callers)} got a prediction; a stranger was refused"


def told(risks: Sequence[float], labels: Sequence[float], percent: int) -> dict[str, Any]:
    """Predicted risks by what came of the readings, and how many of each are above `percent`."""
    by_label: dict[str, list[float]] = {"sound": [], "failing": []}
    for risk, label in zip(risks, labels, strict=True):
        by_label["failing" if label else "sound"].append(risk)
    return {
        "percent": percent,
        "above": {of: sum(it > percent / 100 for it in risks) for of, risks in by_label.items()},
        **{of: counted(risks) for of, risks in by_label.items()},
    }


def counted(risks: Iterable[float]) -> list[int]:
    """How many of `risks`, each 0 to 1, are in each of BINS equal parts."""
    found = [0] * BINS
    for risk in risks:
        found[min(int(risk * BINS), BINS - 1)] += 1
    return found


def predictor(
    run: Rehearsal, *, whole: bool = False, by: Google | None = None
) -> Callable[[list[list[float]]], Any]:
    """A function that sends readings, rows of 9 sensor values, and gets their risks back.

    With `whole` it gets Google's whole answer, which says what model it came from. It asks as the
    telemetry account unless `by` is somebody else.
    """
    settings, outputs = run.environment.settings, run.engine.outputs()
    if "endpoint" not in outputs:
        raise StageFailed("there is no endpoint to ask; the stack is not up")
    google = by or run.sandbox.google(settings.email(table.TELEMETRY))
    host = outputs.get("dedicatedDns") or f"{settings.region}-aiplatform.googleapis.com"
    url = f"https://{host}/v1/{outputs['endpoint']}:predict"

    def ask(readings: list[list[float]]) -> Any:
        answer = google.call("POST", url, {"instances": readings})
        return answer if whole else answer["predictions"]

    return ask


class Client:
    """Asks for predictions without pause, and counts the answers by deployed model."""

    def __init__(
        self, run: Rehearsal, ask: Callable[[list[list[float]]], Any] | None = None
    ) -> None:
        """With `ask`, where the stack does not say yet what to ask."""
        self.answers: Counter[str] = Counter()
        self.failures: list[str] = []
        self._ask = ask or predictor(run, whole=True)
        self._reading = telemetry.unseen(1)[0]
        self._stop, self._changed = threading.Event(), threading.Condition()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                answer: Any = self._ask(self._reading)
            except GoogleError as error:
                self.failures.append(str(error))
                continue
            with self._changed:
                self.answers[answer["deployedModelId"]] += 1
                self._changed.notify_all()

    def until_answered_by(self, old: set[str], seconds: float = 20) -> None:
        """Wait until a model that is not in `old` has answered."""
        with self._changed:
            self._changed.wait_for(lambda: bool(self.answers.keys() - old), seconds)

    def __enter__(self) -> Client:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
