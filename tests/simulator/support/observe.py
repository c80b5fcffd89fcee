"""Monitoring and Logging over REST, as the tests of both use them."""

from __future__ import annotations

from typing import Any

from simulator.iam.decisions import Iam
from tests.simulator.support.service import LOCATION, PROJECT, VERTEX, Sandbox, email

LOGGING = "https://logging.googleapis.com/v2"
MONITORING = "https://monitoring.googleapis.com/v3"
PARENT = f"projects/{PROJECT}"
GLOBAL = {"type": "global", "labels": {"project_id": PROJECT}}
PREDICTIONS = "aiplatform.googleapis.com/prediction/online"
ENDPOINT_TYPE = 'resource.type="aiplatform.googleapis.com/Endpoint"'


def leaf(name: str) -> str:
    return name.rpartition("/")[2]


def ask(
    sandbox: Sandbox, verb: str, url: str, body: Any = None, *, who: str = "admin", **params: Any
) -> tuple[int, dict[str, Any]]:
    """Status and answer of one request."""
    response = sandbox.http(who).request(verb, url, json=body, params=params)
    return response.status_code, response.json()


def done(sandbox: Sandbox, verb: str, url: str, body: Any = None, **more: Any) -> dict[str, Any]:
    """The answer of a request that succeeds."""
    status, answer = ask(sandbox, verb, url, body, **more)
    assert status == 200, answer
    return answer


def refused(
    sandbox: Sandbox, verb: str, url: str, body: Any = None, **more: Any
) -> tuple[int, str]:
    """Status and message of a request that fails."""
    status, answer = ask(sandbox, verb, url, body, **more)
    assert status >= 400, answer
    return status, answer["error"]["message"]


def entries(sandbox: Sandbox, text: str = "", *, who: str = "admin", **body: Any) -> list[Any]:
    """Log entries of the project that match a filter."""
    body = {"resourceNames": [PARENT], "filter": text, **body}
    found: list[Any] = done(sandbox, "POST", f"{LOGGING}/entries:list", body, who=who).get(
        "entries", []
    )
    return found


def create_endpoint(sandbox: Sandbox, who: str) -> tuple[int, dict[str, Any]]:
    url = f"{VERTEX}/v1/{LOCATION}/endpoints"
    return ask(sandbox, "POST", url, {"displayName": "pm"}, who=who)


def write(sandbox: Sandbox, *texts: Any, log: str = "pumps", **more: Any) -> None:
    """Write log entries of texts, or of objects."""
    kind = "jsonPayload" if texts and isinstance(texts[0], dict) else "textPayload"
    done(
        sandbox,
        "POST",
        f"{LOGGING}/entries:write",
        {
            "logName": f"{PARENT}/logs/{log}",
            "resource": GLOBAL,
            "entries": [{kind: text} for text in texts],
            **more,
        },
    )


def series(sandbox: Sandbox, text: str, seconds: int = 3600, **params: Any) -> list[Any]:
    """Time series of the last `seconds`; aggregation as `perSeriesAligner=…`."""
    clock = sandbox.cloud.clock
    query = {
        "filter": text,
        "interval.startTime": clock.rfc3339(clock.now() - seconds),
        "interval.endTime": clock.rfc3339(),
        **{
            name if name in ("view", "pageSize", "pageToken") else f"aggregation.{name}": value
            for name, value in params.items()
        },
    }
    found: list[Any] = done(sandbox, "GET", f"{MONITORING}/{PARENT}/timeSeries", **query).get(
        "timeSeries", []
    )
    return found


def log_denials(sandbox: Sandbox, **fields: Any) -> dict[str, Any]:
    """A log-based metric of what Vertex AI refused."""
    body = {
        "name": "denials",
        "filter": 'protoPayload.serviceName="aiplatform.googleapis.com" '
        "AND protoPayload.status.code=7",
        **fields,
    }
    return done(sandbox, "POST", f"{LOGGING}/{PARENT}/metrics", body)


def audit(sandbox: Sandbox, *configs: dict[str, Any], on: str = PARENT) -> None:
    """Set the audit configurations of a project or of what is above it."""
    sandbox.cloud[Iam].set_policy(on, {"auditConfigs": list(configs)}, "auditConfigs")


def data_access(log_type: str, *exempted: str, service: str = "allServices") -> dict[str, Any]:
    log: dict[str, Any] = {"logType": log_type}
    if exempted:
        log["exemptedMembers"] = [f"serviceAccount:{email(name)}" for name in exempted]
    return {"service": service, "auditLogConfigs": [log]}
