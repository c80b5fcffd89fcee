"""The variables under which Google's own tools call a simulated cloud as somebody."""

from __future__ import annotations

import json
from pathlib import Path

from simulator.core.cloud import Cloud
from simulator.identity.tokens import Identity, principal_for
from simulator.serve.programs import write_private
from simulator.serve.proxy import Running


def acting(
    cloud: Cloud, running: Running, directory: Path, member: str, project: str = ""
) -> dict[str, str]:
    """Variables for a program that is to call `cloud` as `member`, by default in `project`.

    `member` is `user:ann@example.com` or `serviceAccount:EMAIL`; an e-mail alone will do. Its
    credentials, which Google's libraries renew by themselves, are put into `directory`. The token
    in `SIMULATOR_ACCESS_TOKEN`, for programs that know no credentials, lasts an hour.
    """
    email = member.partition(":")[2] or member
    # A person's credentials name the project to charge; an account has its own.
    charged = project if principal_for(email).member.startswith("user:") else ""
    credentials = directory / "credentials.json"
    content = {
        "type": "authorized_user",
        "client_id": "simulator",
        "client_secret": "simulator",
        "refresh_token": cloud[Identity].refresh_token(email),
        "quota_project_id": charged,
    }
    write_private(credentials, json.dumps({name: it for name, it in content.items() if it}))
    named = {"CLOUDSDK_CORE_PROJECT": project, "GOOGLE_CLOUD_PROJECT": project} if project else {}
    return {
        **running.environment(),
        **named,
        "CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE": str(credentials),
        "CLOUDSDK_CONFIG": str(directory / "gcloud"),
        "GOOGLE_APPLICATION_CREDENTIALS": str(credentials),
        "SIMULATOR_ACCESS_TOKEN": cloud[Identity].access_token(email),
    }
