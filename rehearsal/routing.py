"""That telemetry comes to be predictions: real readings in, rows, alarms and dead letters out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from components import permissions as table
from components import telemetry as stack
from components.routing import ATTEMPTS, RISKS, subscription
from rehearsal import telemetry
from rehearsal.environment import ANALYST
from rehearsal.report import Stage, StageFailed
from rehearsal.run import Rehearsal
from rehearsal.sandbox import Google, GoogleError
from rehearsal.toolchain import ROOT

READINGS: Final = 5_000
DEVICES: Final = 20
MALFORMED: Final = (
    ({"device": ""}, "the reading names no device", True),
    ({"time": "yesterday"}, "the time yesterday is none", False),
)
"""Readings that fit the schema and that no model could have meant: what is in them, what is said of
it among the dead letters, and whether they fit the table of readings."""

ASKING: Final = 2
"""Subscriptions that ask the endpoint, and so check a reading."""

REASON: Final = "CloudPubSubDeadLetterSourceDeliveryErrorMessage"
PULLED: Final = 1_000
BACKOFF: Final = 600.0
"""Seconds after which Pub/Sub has tried again whatever failed."""

START: Final = datetime(2026, 1, 1, tzinfo=UTC)
PUBSUB: Final = "https://pubsub.googleapis.com/v1"


def publish(run: Rehearsal, stage: Stage) -> None:
    """Publish readings as the device account: good ones, and some that no model could mean."""
    settings = run.environment.settings
    values, _ = telemetry.unseen(READINGS)
    if len(settings.sensors) != len(values[0]):
        raise StageFailed(
            f"sensors names {len(settings.sensors)}; the readings of a rehearsal have "
            f"{len(values[0])}, and so have its models"
        )
    readings = [reading(settings.sensors, number, row) for number, row in enumerate(values)]
    wrong = [{**readings[0], "device": "broken", **fault} for fault, _, _ in MALFORMED]
    begin = time.monotonic()
    _publish(run, [*readings, *wrong])
    rate = round(READINGS / (time.monotonic() - begin))
    run.report.summary["telemetry"] = {"readings": READINGS, "readings_per_second": rate}
    stage.note = f"{READINGS:,} readings, {rate} a second"


def route(run: Rehearsal, stage: Stage) -> None:
    """Find each reading that was published where it belongs.

    Time passes, so that what failed is tried again: nothing else may be at work with a token.
    """
    settings = run.environment.settings
    _, labels = telemetry.unseen(READINGS)
    maintenance = run.sandbox.google(settings.email(table.MAINTENANCE))
    alarms: list[int] = []
    for _ in range(ATTEMPTS):
        risky = pulled(maintenance, run, subscription(settings, RISKS))
        alarms += map(_number, risky)
        run.sandbox.wait(BACKOFF)
    lost = [
        message["attributes"]
        for message in pulled(maintenance, run, settings.named(stack.DEAD_LETTERS))
    ]

    stored = count(run, stack.READINGS)
    risks = {_seconds(row[0]): float(row[1]) for row in _rows(run, "time, risk", stack.PREDICTIONS)}
    storable = READINGS + sum(fits for _, _, fits in MALFORMED)
    if stored != storable:
        raise StageFailed(f"{stored:,} readings are stored, of {storable:,}")
    if count(run, stack.PREDICTIONS) != READINGS or len(risks) != READINGS:
        raise StageFailed(f"{len(risks):,} readings have a prediction, of {READINGS:,}")
    high = {number for number, risk in risks.items() if risk > settings.risk_percent / 100}
    if sorted(high) != sorted(alarms):
        raise StageFailed(
            f"{len(alarms):,} alarms for {len(high):,} predictions above {settings.risk_percent} %"
        )
    _demand_reasons(lost)
    failing = {number for number, label in enumerate(labels) if label}
    right = len(high & failing)
    figures = {
        "alarms": len(alarms),
        "dead_letters": len(lost),
        "precision": right / len(high) if high else 0.0,
        "recall": right / len(failing) if failing else 0.0,
    }
    run.report.summary.setdefault("telemetry", {}).update(figures)
    stage.note = (
        f"{READINGS:,} predictions; {len(alarms):,} alarms, precision "
        f"{figures['precision']:.2f}, recall {figures['recall']:.2f}; {len(lost)} dead letters"
    )


def keep_apart(run: Rehearsal, stage: Stage) -> None:
    """Ask for what the telemetry and the device account must not have, and be refused."""
    settings = run.environment.settings
    risks = subscription(settings, RISKS)
    stored = subscription(settings, "telemetry-readings")
    at = f"{PUBSUB}/projects/{settings.project}"
    vertex = f"https://{settings.region}-aiplatform.googleapis.com/v1/projects/{settings.project}"
    bigquery = f"https://bigquery.googleapis.com/bigquery/v2/projects/{settings.project}"
    tables = f"{bigquery}/datasets/{settings.dataset(stack.DATASET)}/tables"
    topic, lost = (stack.topic_id(settings, it) for it in (stack.TOPIC, stack.DEAD_LETTERS))
    message, one = {"messages": [{"data": ""}]}, {"maxMessages": 1}
    attempts = (
        (table.DEVICE, "POST", f"{PUBSUB}/{lost}:publish", message),
        (table.DEVICE, "POST", f"{at}/subscriptions/{risks}:pull", one),
        (table.DEVICE, "GET", f"{PUBSUB}/{topic}", None),
        (table.TELEMETRY, "POST", f"{PUBSUB}/{topic}:publish", message),
        (table.TELEMETRY, "GET", f"{vertex}/locations/{settings.region}/endpoints", None),
        (table.TELEMETRY, "GET", tables, None),
        # By the type of that subscription nobody can, and by access nobody of a single stack.
        (table.MAINTENANCE, "POST", f"{at}/subscriptions/{stored}:pull", one)
        if settings.layer == "whole"
        else (table.MAINTENANCE, "GET", f"{at}/subscriptions/{stored}", None),
    )  # fmt: skip
    for identity, verb, url, body in attempts:
        try:
            run.sandbox.google(settings.email(identity)).call(verb, url, body)
        except GoogleError as error:
            if error.status == 403:
                continue
            raise StageFailed(f"{identity} was not refused but got", str(error)) from error
        raise StageFailed(f"{identity} may {verb} {url}")
    stage.note = f"{len(attempts)} of {len(attempts)} attempts refused"


def reading(sensors: tuple[str, ...], number: int, values: list[float]) -> dict[str, Any]:
    moment = START + timedelta(seconds=number)
    named = dict(zip(sensors, values, strict=True))
    return {"device": f"device-{number % DEVICES}", "time": moment.isoformat(), **named}


def _seconds(text: str) -> int:
    """A reading's number, by its time as BigQuery gives it: Unix seconds."""
    return round(float(text) - START.timestamp())


def _number(message: Any) -> int:
    moment = datetime.fromisoformat(message["attributes"]["time"])
    return round((moment - START).total_seconds())


def _publish(run: Rehearsal, readings: list[dict[str, Any]]) -> None:
    settings = run.environment.settings
    token = run.sandbox.control("POST", "/token", {"email": settings.email(table.DEVICE)})
    lines = [json.dumps({"data": json.dumps(it), "key": it["device"]}) for it in readings]
    topic = stack.topic_id(settings, stack.TOPIC)
    done = subprocess.run(
        [sys.executable, "-m", "rehearsal.publisher", topic],
        input="\n".join(lines),
        env={
            "PATH": os.environ["PATH"],
            **run.sandbox.variables,
            **run.sandbox.mark,
            "PUBLISHER_TOKEN": token["access_token"],
        },
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode or int(done.stdout) != len(readings):
        raise StageFailed("not all readings were published", done.stdout + done.stderr)


def pulled(google: Google, run: Rehearsal, subscription: str) -> Iterator[Any]:
    """Every message of a subscription, acknowledged."""
    url = f"{PUBSUB}/projects/{run.environment.settings.project}/subscriptions/{subscription}"
    while True:
        answer = google.call("POST", f"{url}:pull", {"maxMessages": PULLED})
        received = answer.get("receivedMessages", [])
        if not received:
            return
        google.call("POST", f"{url}:acknowledge", {"ackIds": [it["ackId"] for it in received]})
        yield from (it["message"] for it in received)


def _rows(run: Rehearsal, columns: str, of: str) -> list[list[str]]:
    """What an analyst's query finds in a table of the stack."""
    settings = run.environment.settings
    google = run.sandbox.google(ANALYST)
    url = f"https://bigquery.googleapis.com/bigquery/v2/projects/{settings.project}/queries"
    query = f"SELECT {columns} FROM `{stack.table_name(settings, of)}`"
    answer = google.call(
        "POST", url, {"query": query, "useLegacySql": False, "maxResults": 2 * READINGS}
    )
    return [[cell["v"] for cell in row["f"]] for row in answer.get("rows", ())]


def count(run: Rehearsal, of: str) -> int:
    """Rows in a table of the stack."""
    return int(_rows(run, "COUNT(*)", of)[0][0])


def _demand_reasons(lost: list[dict[str, str]]) -> None:
    """Each malformed reading is lost for each subscription that asks a model, with its reason."""
    said = [str(attributes.get(REASON)) for attributes in lost]
    for _, reason, _ in MALFORMED:
        found = sum(reason in text for text in said)
        if found != ASKING:
            raise StageFailed(f"{found} of {ASKING} dead letters say: {reason}", "\n".join(said))
    wanted = sum(ASKING + (not fits) for _, _, fits in MALFORMED)
    if len(lost) != wanted:
        raise StageFailed(f"{len(lost)} dead letters, not {wanted}", "\n".join(said))
