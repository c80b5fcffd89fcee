"""That drift is noticed: a sensor whose readings shift raises its own anomaly, and no other's."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from components import permissions as table
from components.drift import LOG, TITLE
from components.settings import Settings
from rehearsal import telemetry
from rehearsal.environment import ANALYST, SCIENTIST
from rehearsal.report import Stage, StageFailed
from rehearsal.run import Rehearsal
from rehearsal.sandbox import Google
from rehearsal.watching import incidents
from rehearsal.workloads import predictor

READINGS: Final = 1_000
"""In each window."""

REQUESTS: Final = 10
COMPARED: Final = 2
"""Windows that there are distances for."""

SHIFTED: Final = 3
"""The place of the sensor whose readings shift, by twice the range that they have."""

LOGGING: Final = "https://logging.googleapis.com/v2"


def watch(run: Rehearsal, stage: Stage) -> None:
    """A window to compare with, one like it, and one in which a sensor is far off."""
    settings = run.environment.settings
    assert settings.drift is not None
    window = settings.drift.interval_hours * 3600
    ask, shifted = predictor(run), settings.sensors[SHIFTED]
    run.sandbox.wait(_until_the_next_look(run))
    readings = telemetry.unseen(3 * READINGS)[0]
    low, high = (pick(row[SHIFTED] for row in readings) for pick in (min, max))
    told: list[tuple[set[str], set[str]]] = []
    for number in range(3):
        rows = [list(row) for row in readings[number::3]]
        if number == 2:
            for row in rows:
                row[SHIFTED] += 2 * (high - low)
        size = READINGS // REQUESTS
        for begin in range(0, READINGS, size):
            ask(rows[begin : begin + size])
        run.sandbox.wait(window)
        told.append((_drifted(run), _alerted(run)))
    # Whoever signed in before has been away for hours.
    run.sandbox.renew()
    for calm, found in zip(told[1], told[2], strict=True):
        if calm:
            raise StageFailed(f"drift of {', '.join(sorted(calm))} while nothing shifted")
        if found != {shifted}:
            raise StageFailed(f"drift of {', '.join(sorted(found)) or 'nothing'}, not of {shifted}")
    run.report.summary["drift"] = {
        "shifted": shifted,
        "anomalies": sorted(found),
        "distances": _distances(run),
    }
    stage.note = (
        f"{shifted} of {len(settings.sensors)} sensors shifted, and it alone has an incident; "
        "before, none"
    )


def _until_the_next_look(run: Rehearsal) -> float:
    """Seconds until the window ends that earlier stages asked in."""
    settings = run.environment.settings
    job = _job(run, run.sandbox.google(settings.email(table.DEPLOYER)))
    due = datetime.fromisoformat(job["nextScheduleTime"]).timestamp()
    return max(due - float(run.sandbox.control("GET", "/clock")["now"]), 0.0) + 1


def _job(run: Rehearsal, who: Google) -> Any:
    """The stack's monitoring job."""
    settings = run.environment.settings
    parent = settings.endpoint_name.partition("/endpoints/")[0]
    listed = who.call("GET", f"{_vertex(settings)}/{parent}/modelDeploymentMonitoringJobs")
    (job,) = listed["modelDeploymentMonitoringJobs"]
    return job


def _vertex(settings: Settings) -> str:
    return f"https://{settings.region}-aiplatform.googleapis.com/v1"


def _distances(run: Rehearsal) -> dict[str, dict[str, float]]:
    """Sensor → its distance from the window before: of the `calm` window and the `shifted` one.

    Each is the largest of all models on the endpoint; `threshold` is what drift is told above.
    """
    his = run.sandbox.google(SCIENTIST)
    job, found = _job(run, his), dict[str, dict[str, float]]()
    url = f"{_vertex(run.environment.settings)}/{job['name']}"
    for objective in job["modelDeploymentMonitoringObjectiveConfigs"]:
        asked = {
            "deployedModelId": objective["deployedModelId"],
            "objectives": [{"type": "RAW_FEATURE_DRIFT"}],
        }
        answer = his.call("POST", f"{url}:searchModelDeploymentMonitoringStatsAnomalies", asked)
        for stats in answer.get("monitoringStats", ()):
            for feature in stats["featureStats"]:
                if len(feature["predictionStats"]) < COMPARED:
                    continue  # a canary that was hardly asked
                *_, calm, last = feature["predictionStats"]
                of = found.setdefault(feature["featureDisplayName"], {"calm": 0.0, "shifted": 0.0})
                of["threshold"] = feature["threshold"]["value"]
                for name, window in (("calm", calm), ("shifted", last)):
                    of[name] = max(of[name], round(window["distributionDeviation"], 4))
    return found


def _drifted(run: Rehearsal) -> set[str]:
    """The sensors that the anomaly log has named so far."""
    project = run.environment.settings.project
    body = {
        "resourceNames": [f"projects/{project}"],
        "filter": f'logName="projects/{project}/logs/{LOG}"',
    }
    entries: list[Any] = (
        run.sandbox.google(ANALYST).call("POST", f"{LOGGING}/entries:list", body).get("entries", [])
    )
    return {
        item["featureDisplayName"]
        for entry in entries
        for item in entry["jsonPayload"]["featureAnomalies"]
    }


def _alerted(run: Rehearsal) -> set[str]:
    """The sensors that there are incidents of so far."""
    found = incidents(run, run.sandbox.google(ANALYST))
    titles = [str(alert["policy"]["displayName"]) for alert in found]
    return {title.removeprefix(TITLE) for title in titles if title.startswith(TITLE)}
