"""A served cloud for tests of its services, and Google's own clients to talk to it."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import joblib
import pytest
import requests
from google.cloud import aiplatform_v1, bigquery, storage
from google.oauth2.credentials import Credentials
from google_auth_httplib2 import AuthorizedHttp
from googleapiclient import discovery
from googleapiclient.http import build_http

from simulator.api.audit import Audit
from simulator.core.clock import Clock
from simulator.core.delays import Delays
from simulator.google import GoogleCloud
from simulator.iam.decisions import Iam
from simulator.iam.roles import CustomRoles
from simulator.identity.accounts import Accounts
from simulator.identity.tokens import Identity
from simulator.seed import plant
from simulator.serve.proxy import Running, serve

PROJECT, NUMBER = "iot-prod", "123456789012"
TRAINING, TRAINING_NUMBER = "iot-training", "210987654321"
REGION = "us-central1"
LOCATION = f"projects/{PROJECT}/locations/{REGION}"
ENDPOINT = f"{LOCATION}/endpoints/1234567890"
VERTEX = f"https://{REGION}-aiplatform.googleapis.com"
AGENT = f"service-{NUMBER}@gcp-sa-aiplatform.iam.gserviceaccount.com"
APIS = (
    "aiplatform",
    "bigquery",
    "cloudkms",
    "compute",
    "logging",
    "monitoring",
    "pubsub",
    "storage",
)
IMAGE = "us-docker.pkg.dev/vertex-ai/prediction/sklearn-cpu.1-5:latest"
ENCRYPTER = "roles/cloudkms.cryptoKeyEncrypterDecrypter"
OPERATION_SECONDS = 5.0


def email(name: str) -> str:
    return f"{name}@{PROJECT}.iam.gserviceaccount.com"


def artifact(weight: float = 1.0) -> bytes:
    """A model of two features that answers 1 when the first, times the weight, is positive."""
    from sklearn.linear_model import LogisticRegression  # 90 MB, not for workers without models

    rows = [[-weight, 0.0], [-2 * weight, 1.0], [weight, 0.0], [2 * weight, 1.0]]
    buffer = io.BytesIO()
    joblib.dump(LogisticRegression().fit(rows, [0, 0, 1, 1]), buffer)
    return buffer.getvalue()


@dataclass
class Sandbox:
    cloud: GoogleCloud
    running: Running
    opened: ExitStack = field(default_factory=ExitStack)
    """Clients that have to be closed."""

    def grant(self, resource: str, role: str, name: str) -> None:
        self.cloud[Iam].grant(resource, role, f"serviceAccount:{email(name)}")

    def role(self, name: str, *permissions: str, on: str = f"projects/{PROJECT}") -> None:
        """A custom role of exactly these permissions for the account `name`."""
        role = f"projects/{PROJECT}/roles/r{self.cloud.unique_id()}"
        self.cloud[CustomRoles].seed(role, list(permissions))
        self.grant(on, role, name)

    def credentials(self, name: str = "admin") -> Any:
        return Credentials(self.cloud[Identity].access_token(email(name)))

    def storage(self, name: str = "admin") -> Any:
        return storage.Client(project=PROJECT, credentials=self.credentials(name))

    def bigquery(self, name: str = "admin") -> Any:
        return bigquery.Client(project=PROJECT, credentials=self.credentials(name))

    def endpoints(self, name: str = "admin", region: str = REGION) -> Any:
        return aiplatform_v1.EndpointServiceClient(**self._vertex(name, region))

    def models(self, name: str = "admin", region: str = REGION) -> Any:
        return aiplatform_v1.ModelServiceClient(**self._vertex(name, region))

    def jobs(self, name: str = "admin") -> Any:
        return aiplatform_v1.JobServiceClient(**self._vertex(name, REGION))

    def predictions(self, name: str = "admin", host: str = "") -> Any:
        return aiplatform_v1.PredictionServiceClient(**self._vertex(name, REGION, host))

    def _vertex(self, name: str, region: str, host: str = "") -> dict[str, Any]:
        host = host or f"{region}-aiplatform.googleapis.com"
        return {
            "credentials": self.credentials(name),
            "transport": "rest",
            "client_options": {"api_endpoint": host},
        }

    def http(self, name: str = "admin") -> requests.Session:
        session = requests.Session()
        token = self.cloud[Identity].access_token(email(name))
        session.headers["Authorization"] = f"Bearer {token}"
        return session

    def google(self, api: str, version: str, name: str = "admin") -> Any:
        """googleapiclient's service, made from the discovery document."""
        plain = build_http()
        # httplib2 has read the environment's certificates when it was imported.
        plain.ca_certs = str(self.running.ca_bundle)
        http = AuthorizedHttp(self.credentials(name), http=plain)
        service = discovery.build(api, version, http=http, static_discovery=True)
        return self.opened.enter_context(service)

    def finish(self, operation: Any) -> Any:
        """Let an operation become due, and its result through Google's own polling."""
        self.cloud.clock.step(OPERATION_SECONDS)
        return operation.result(timeout=1)

    def checks(self, permission: str) -> list[tuple[str, str, bool]]:
        """(principal, resource, granted) of every check of a permission so far."""
        entries = self.cloud[Audit].since(0)
        return [
            (e.principal.partition(":")[2], e.resource, e.granted)
            for e in entries
            if e.permission == permission
        ]

    # What the Vertex AI tests build on

    def bucket(self, name: str = "iot-prod-models", location: str = REGION, **files: bytes) -> str:
        """A bucket with `files` under v1/; the artifact's URI."""
        bucket = self.storage().bucket(name)
        bucket.iam_configuration.uniform_bucket_level_access_enabled = True
        self.storage().create_bucket(bucket, location=location)
        for file, data in (files or {"model.joblib": artifact()}).items():
            self.storage().bucket(name).blob(f"v1/{file}").upload_from_string(data)
        return f"gs://{name}/v1"

    def upload(self, uri: str, model_id: str = "failure", **request: Any) -> str:
        """The name of a model uploaded from `uri`."""
        model = {
            "display_name": model_id,
            "artifact_uri": uri,
            "container_spec": {"image_uri": IMAGE},
            **request.pop("model", {}),
        }
        if "parent_model" not in request:
            request["model_id"] = model_id
        operation = self.models().upload_model({"parent": LOCATION, "model": model, **request})
        name: str = self.finish(operation).model
        return name

    def deploy(
        self,
        model: str,
        deployed_id: str = "1",
        split: dict[str, int] | None = None,
        who: str = "admin",
        **fields: Any,
    ) -> Any:
        """Deploy to ENDPOINT and wait for it; the DeployedModel."""
        operation = self.endpoints(who).deploy_model(
            endpoint=ENDPOINT,
            deployed_model=deployed(model, deployed_id, **fields),
            traffic_split=split or {},
        )
        return self.finish(operation).deployed_model

    def key(self, region: str = REGION, *, granted: bool = True) -> str:
        """A key of Cloud KMS, which Vertex AI's agent may use when it is `granted`."""
        ring = f"projects/{PROJECT}/locations/{region}/keyRings/state"
        kms, client = "https://cloudkms.googleapis.com/v1", self.http()
        client.post(f"{kms}/{ring.replace('/state', '')}?keyRingId=state", json={})
        made = client.post(
            f"{kms}/{ring}/cryptoKeys?cryptoKeyId=pulumi", json={"purpose": "ENCRYPT_DECRYPT"}
        )
        name: str = made.json()["name"]
        agent = self.cloud[Accounts].create_agent("aiplatform", PROJECT)
        if granted:
            self.cloud[Iam].grant(name, ENCRYPTER, agent.member)
        return name

    def set_key(self, name: str, state: str) -> None:
        """Have a key's first version `ENABLED` or `DISABLED`."""
        url = f"https://cloudkms.googleapis.com/v1/{name}/cryptoKeyVersions/1?updateMask=state"
        self.http().patch(url, json={"state": state}).raise_for_status()

    def endpoint(self, endpoint_id: str = "1234567890", **fields: Any) -> str:
        operation = self.endpoints().create_endpoint(
            parent=LOCATION, endpoint={"display_name": "pm", **fields}, endpoint_id=endpoint_id
        )
        name: str = self.finish(operation).name
        return name


def deployed(model: str, deployed_id: str = "", **fields: Any) -> dict[str, Any]:
    """A DeployedModel on two machines of two vCPUs at most."""
    machine = {"machine_type": "n1-standard-2"}
    resources = {"machine_spec": machine, "min_replica_count": 1, "max_replica_count": 2}
    return {"id": deployed_id, "model": model, "dedicated_resources": resources, **fields}


def sandboxed(
    directory: Path, monkeypatch: pytest.MonkeyPatch, **options: Any
) -> Iterator[Sandbox]:
    delays = Delays(iam=0, api=0, operation=OPERATION_SECONDS)
    cloud = GoogleCloud(clock=Clock(running=False, start=1_767_225_600), delays=delays, **options)
    services = [f"{name}.googleapis.com" for name in APIS]
    plant(
        cloud,
        {
            "organization": {"id": "1"},
            "projects": [
                {
                    "id": PROJECT,
                    "number": NUMBER,
                    "parent": "organizations/1",
                    "services": services,
                },
                {"id": TRAINING, "number": TRAINING_NUMBER, "services": services},
            ],
            "accounts": [
                {"project": PROJECT, "id": name} for name in ("admin", "deployer", "serving")
            ],
            "grants": [
                {
                    "resource": f"projects/{project}",
                    "role": "roles/owner",
                    "member": f"serviceAccount:{email('admin')}",
                }
                for project in (PROJECT, TRAINING)
            ],
        },
    )
    with serve(cloud, directory) as running:
        for name, value in running.environment().items():
            monkeypatch.setenv(name, value)
        sandbox = Sandbox(cloud, running)
        with sandbox.opened:
            yield sandbox
