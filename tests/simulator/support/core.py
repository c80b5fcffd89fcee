"""A small cloud to test against: one project under an organisation, an administrator, a worker."""

from __future__ import annotations

import requests

from simulator.core.clock import Clock
from simulator.core.delays import Delays
from simulator.google import GoogleCloud
from simulator.seed import plant
from simulator.serve.proxy import Running

PROJECT, NUMBER = "iot-prod", "123456789012"
ADMIN = f"admin@{PROJECT}.iam.gserviceaccount.com"
WORKER = f"worker@{PROJECT}.iam.gserviceaccount.com"
WORKER_NAME = f"projects/{PROJECT}/serviceAccounts/{WORKER}"
APIS = ("cloudresourcemanager", "iam", "iamcredentials", "serviceusage", "cloudbilling")

IAM = "https://iam.googleapis.com/v1"
CRM = "https://cloudresourcemanager.googleapis.com"
USAGE = "https://serviceusage.googleapis.com"
VERTEX = "https://us-central1-aiplatform.googleapis.com/v1"
LOCATION = f"projects/{PROJECT}/locations/us-central1"


def new_cloud() -> GoogleCloud:
    cloud = GoogleCloud(clock=Clock(running=False), delays=Delays(iam=60, api=120, operation=5))
    plant(
        cloud,
        {
            "organization": {"id": "1"},
            "folders": [{"id": "2", "parent": "organizations/1"}],
            "projects": [
                {
                    "id": PROJECT,
                    "number": NUMBER,
                    "parent": "folders/2",
                    "services": [f"{name}.googleapis.com" for name in APIS],
                },
                {"id": "other", "number": "999", "parent": "organizations/1"},
            ],
            "accounts": [{"project": PROJECT, "id": "admin"}, {"project": PROJECT, "id": "worker"}],
            "grants": [
                {
                    "resource": f"projects/{PROJECT}",
                    "role": "roles/owner",
                    "member": f"serviceAccount:{ADMIN}",
                }
            ],
        },
    )
    return cloud


def session(running: Running, token: str | None = None) -> requests.Session:
    """An HTTP client behind the sandbox's proxy, whatever this process's environment says."""
    client = requests.Session()
    client.trust_env = False
    client.proxies = {"https": running.proxy_url, "http": running.proxy_url}
    client.verify = str(running.ca_bundle)
    if token:
        client.headers["Authorization"] = f"Bearer {token}"
    return client


def message(answer: requests.Response) -> tuple[int, str]:
    """Status and message of an error."""
    return answer.status_code, answer.json()["error"]["message"]
