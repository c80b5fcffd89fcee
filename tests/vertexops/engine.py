"""The real Pulumi engine and our plugin against the simulated Google Cloud on loopback."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import joblib
import pulumi
import requests
from pulumi import automation

from rehearsal.engine import Plugins
from simulator.core.delays import Delays
from simulator.google import GoogleCloud
from simulator.identity.tokens import Identity
from simulator.seed import plant
from simulator.serve.acting import acting
from simulator.serve.proxy import Running, serve
from vertexops import sdk

PROJECT, REGION, BUCKET = "iot-prod", "us-central1", "artifacts"
LOCATION = f"projects/{PROJECT}/locations/{REGION}"
ENDPOINT = f"{LOCATION}/endpoints/7"
MODEL = f"{LOCATION}/models/pump"
VERTEX = f"https://{REGION}-aiplatform.googleapis.com/v1"
ADMIN, PLATFORM = "admin@example.com", "platform@example.com"
DEPLOYER = f"deployer@{PROJECT}.iam.gserviceaccount.com"
SERVING = f"serving@{PROJECT}.iam.gserviceaccount.com"
APIS = ("aiplatform", "cloudresourcemanager", "iam", "iamcredentials", "storage", "sts")
IMAGE = "us-docker.pkg.dev/vertex-ai/prediction/sklearn-cpu.1-5:latest"
NEEDED = [
    "aiplatform.endpoints.deploy",
    "aiplatform.endpoints.get",
    "aiplatform.endpoints.undeploy",
    "aiplatform.endpoints.update",
    "aiplatform.models.delete",
    "aiplatform.models.get",
    "aiplatform.models.list",
    "aiplatform.models.upload",
]
SERVING_ACCOUNT = f"projects/{PROJECT}/serviceAccounts/{SERVING}"
ROLES = {
    f"projects/{PROJECT}/roles/deployer": NEEDED,
    f"projects/{PROJECT}/roles/reader": ["storage.objects.get", "storage.objects.list"],
}
GRANTS = (
    (f"projects/{PROJECT}", "roles/owner", f"user:{ADMIN}"),
    (
        f"projects/{PROJECT}/serviceAccounts/{DEPLOYER}",
        "roles/iam.serviceAccountTokenCreator",
        f"user:{PLATFORM}",
    ),
    (f"projects/{PROJECT}", f"projects/{PROJECT}/roles/deployer", f"serviceAccount:{DEPLOYER}"),
    (f"projects/{PROJECT}", f"projects/{PROJECT}/roles/reader", f"serviceAccount:{SERVING}"),
    (SERVING_ACCOUNT, "roles/iam.serviceAccountUser", f"serviceAccount:{DEPLOYER}"),
)
SEED = {
    "organization": {"id": "1"},
    "projects": [
        {
            "id": PROJECT,
            "number": "123456789012",
            "parent": "organizations/1",
            "services": [f"{name}.googleapis.com" for name in APIS],
        }
    ],
    "accounts": [{"project": PROJECT, "id": name} for name in ("deployer", "serving")],
    "roles": [{"name": name, "permissions": held} for name, held in ROLES.items()],
    "grants": [
        {"resource": resource, "role": role, "member": member} for resource, role, member in GRANTS
    ],
}


class Rehearsal:
    """A cloud with an endpoint and two artifacts, and a stack that deploys to it."""

    def __init__(self, cloud: GoogleCloud, running: Running, directory: Path) -> None:
        self.cloud, self.running, self.directory = cloud, running, directory
        self.plugins: Plugins | None = None
        self.until_the_end = ExitStack()
        self.admin = requests.Session()
        self.admin.trust_env = False
        self.admin.proxies = {"https": running.proxy_url}
        self.admin.verify = str(running.ca_bundle)
        self.admin.headers["Authorization"] = f"Bearer {cloud[Identity].access_token(ADMIN)}"

    def call(self, verb: str, url: str, **more: Any) -> dict[str, Any]:
        answer = self.admin.request(verb, url, **more)
        assert answer.ok, answer.text
        return dict(answer.json()) if answer.content else {}

    def prepare(self) -> None:
        from sklearn.dummy import DummyClassifier  # 90 MB, not for workers without models

        storage = "https://storage.googleapis.com"
        bucket = {"name": BUCKET, "location": REGION}
        self.call("POST", f"{storage}/storage/v1/b?project={PROJECT}", json=bucket)
        for version, label in (("v1", 0), ("v2", 1)):
            file = io.BytesIO()
            model = DummyClassifier(strategy="constant", constant=label)
            joblib.dump(model.fit([[0.0]], [label]), file)
            self.call(
                "POST",
                f"{storage}/upload/storage/v1/b/{BUCKET}/o?uploadType=media"
                f"&name={version}%2Fmodel.joblib",
                data=file.getvalue(),
                headers={"Content-Type": "application/octet-stream"},
            )
        self.call(
            "POST", f"{VERTEX}/{LOCATION}/endpoints?endpointId=7", json={"displayName": "pump"}
        )
        self.cloud.clock.step(60)
        self.call("GET", f"{VERTEX}/{ENDPOINT}")

    def stack(self, program: Callable[[], None], *, attached: bool = True) -> automation.Stack:
        """With `attached`, engines use one plugin that is started once for all of them."""
        home = self.directory / "pulumi"
        work = self.directory / "work"
        for folder in (home, work, self.directory / "state"):
            folder.mkdir(exist_ok=True)
        plugin = Path(sdk.__file__).parent
        (work / "Pulumi.yaml").write_text(
            "name: rollout\nruntime: python\nplugins:\n  providers:\n"
            f"    - name: vertexops\n      path: {plugin}\n"
        )
        environment = acting(self.cloud, self.running, self.directory, PLATFORM) | {
            "PULUMI_AUTOMATION_API_SKIP_VERSION_CHECK": "true",
            "PULUMI_BACKEND_URL": f"file://{self.directory / 'state'}",
            "PULUMI_CONFIG_PASSPHRASE": "rehearsal",
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
            "PULUMI_HOME": str(home),
            "PULUMI_PYTHON_CMD": sys.executable,
            "PULUMI_SKIP_UPDATE_CHECK": "true",
        }
        if attached:
            if self.plugins is None:
                served = {"vertexops": plugin / "pulumi-resource-vertexops"}
                self.plugins = Plugins(work, served, environment)
                self.until_the_end.callback(self.plugins.close)
            environment |= self.plugins.variables()
        return automation.create_or_select_stack(
            "test",
            project_name="rollout",
            program=program,
            opts=automation.LocalWorkspaceOptions(work_dir=str(work), env_vars=environment),
        )

    def traffic(self) -> dict[str, int]:
        """Percent of the traffic by model and version."""
        there = self.call("GET", f"{VERTEX}/{ENDPOINT}")
        split = there.get("trafficSplit", {})
        return {
            f"{m['model'].rpartition('/')[2]}@{m['modelVersionId']}": split.get(m["id"], 0)
            for m in there.get("deployedModels", [])
        }

    def predict(self) -> dict[str, Any]:
        return self.call("POST", f"{VERTEX}/{ENDPOINT}:predict", json={"instances": [[1.0]]})


@contextmanager
def rehearsal(directory: Path, **quotas: int) -> Iterator[Rehearsal]:
    cloud = GoogleCloud(delays=Delays(iam=1, api=1, operation=0.2), quotas=quotas)
    plant(cloud, SEED)
    with serve(cloud, directory / "cloud") as running:
        made = Rehearsal(cloud, running, directory)
        made.prepare()
        with made.until_the_end:
            yield made


def rollout(
    *artifacts: str, replicas: int = 1, wait: int = 60, import_version: str | None = None
) -> Callable[[], None]:
    """A program that registers one model an artifact and shares the traffic between them.

    With `import_version`, the version of that name and the rollout are imported.
    """
    rollout_id = ENDPOINT if import_version else None

    def program() -> None:
        platform = sdk.Provider("platform", project=PROJECT, region=REGION)
        as_platform = pulumi.ResourceOptions(provider=platform)
        apis = sdk.ServicesReady(
            "apis", services=[f"{name}.googleapis.com" for name in APIS], opts=as_platform
        )
        ready = sdk.AccessReady(
            "access",
            principal=DEPLOYER,
            needs=[
                sdk.NeedArgs(resource=f"projects/{PROJECT}", permissions=NEEDED),
                {"resource": SERVING_ACCOUNT, "permissions": ["iam.serviceAccounts.actAs"]},
            ],
            deadline_seconds=wait,
            opts=pulumi.ResourceOptions(provider=platform, depends_on=[apis]),
        )
        deployer = sdk.Provider(
            "deployer", project=PROJECT, region=REGION, impersonate_service_account=ready.email
        )
        versions = [
            sdk.RegisteredModel(
                name,
                model_id=name,
                display_name="Pump failures",
                artifact_uri=f"gs://{BUCKET}/{artifact}",
                artifact_hash=artifact[1:] * 64,
                container_image_uri=IMAGE,
                opts=pulumi.ResourceOptions(provider=deployer, import_=import_version),
            )
            for name, artifact in zip(("pump", "pump-canary"), artifacts, strict=False)
        ]
        whole = sdk.ModelRollout(
            "rollout",
            endpoint=ENDPOINT,
            models=[
                sdk.RolloutModelArgs(
                    model=version.version_name,
                    traffic=100 // len(versions),
                    machine_type="n1-standard-2",
                    max_replicas=replicas,
                    service_account=SERVING,
                )
                for version in versions
            ],
            opts=pulumi.ResourceOptions(provider=deployer, import_=rollout_id),
        )
        pulumi.export("models", whole.deployed_models.apply(lambda found: [m.model for m in found]))
        pulumi.export("split", whole.traffic_split)
        pulumi.export("versions", [version.version_name for version in versions])

    return program
