"""What BigQuery tells about a project."""

from __future__ import annotations

from simulator.api.calls import Call, Result, method
from simulator.services.bigquery.state import on_project


# The permission: discovery document.
@method("bigquery.projects.getServiceAccount", permission="bigquery.jobs.create", on=on_project)
def get_service_account(call: Call) -> Result:
    """Who encrypts with the project's own keys; it is there without being made."""
    project = call.resource.removeprefix("projects/")
    return {
        "kind": "bigquery#getServiceAccountResponse",
        "email": call.cloud.accounts.standing("bigquery", project),
    }
