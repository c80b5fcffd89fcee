"""What BigQuery tells about a project."""

from __future__ import annotations

from simulator.api.calls import Call, Methods, Result
from simulator.identity.accounts import Accounts
from simulator.services.bigquery.state import on_project

method = Methods()


# The permission: discovery document.
@method("bigquery.projects.getServiceAccount", permission="bigquery.jobs.create", on=on_project)
def get_service_account(call: Call) -> Result:
    """Who encrypts with the project's own keys; it is there without being made."""
    project = call.resource.removeprefix("projects/")
    return {
        "kind": "bigquery#getServiceAccountResponse",
        "email": call.cloud[Accounts].standing("bigquery", project),
    }
