"""The stand-in under the real Pulumi engine, against the simulated Google Cloud on loopback."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pulumi
import pulumi_gcp as gcp
import pytest
from pulumi import automation

import standin
from simulator.api.audit import Audit
from simulator.core.delays import Delays
from simulator.google import GoogleCloud
from simulator.seed import plant
from simulator.serve.acting import acting
from simulator.serve.proxy import serve
from tests.standin.support import NO_REGION

PROJECT, REGION, PERSON = "iot-prod", "us-central1", "platform@example.com"
ENDPOINT = f"projects/{PROJECT}/locations/{REGION}/endpoints/7"
ACCOUNT = f"projects/{PROJECT}/serviceAccounts/a@{PROJECT}.iam.gserviceaccount.com"
DEPLOYER = f"deployer@{PROJECT}.iam.gserviceaccount.com"
APIS = (
    "bigquery",
    "cloudbilling",
    "cloudresourcemanager",
    "compute",
    "iam",
    "iamcredentials",
    "serviceusage",
    "storage",
)
NEEDED = [f"aiplatform.endpoints.{verb}" for verb in ("create", "get", "update", "delete")]
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
    "grants": [
        {"resource": f"projects/{PROJECT}", "role": role, "member": f"user:{PERSON}"}
        for role in ("roles/owner", "roles/iam.serviceAccountTokenCreator")
    ],
}


@pytest.fixture
def cloud() -> GoogleCloud:
    made = GoogleCloud(delays=Delays(iam=0, api=0, operation=0.1))
    plant(made, SEED)
    return made


@pytest.fixture
def workspace(cloud: GoogleCloud, tmp_path: Path) -> Iterator[automation.LocalWorkspaceOptions]:
    for folder in ("home", "work", "state"):
        (tmp_path / folder).mkdir()
    with serve(cloud, tmp_path / "cloud") as running:
        here = Path(standin.__file__).parent
        environment = acting(cloud, running, tmp_path, PERSON) | {
            "PATH": os.pathsep.join((str(here), os.environ["PATH"])),
            "PULUMI_BACKEND_URL": f"file://{tmp_path / 'state'}",
            "PULUMI_CONFIG_PASSPHRASE": "rehearsal",
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
            "PULUMI_HOME": str(tmp_path / "home"),
            "PULUMI_PYTHON_CMD": sys.executable,
            "PULUMI_SKIP_UPDATE_CHECK": "true",
        }
        yield automation.LocalWorkspaceOptions(
            work_dir=str(tmp_path / "work"), env_vars=environment
        )


def program(file: Path, *, description: str, permissions: list[str]) -> Callable[[], None]:
    def run() -> None:
        platform = gcp.Provider("platform", project=PROJECT, region=REGION)
        mine = pulumi.ResourceOptions(provider=platform)
        vertex = gcp.projects.Service(
            "vertex", service="aiplatform.googleapis.com", disable_on_destroy=False, opts=mine
        )
        gcp.projects.ServiceIdentity(
            "agent",
            service="aiplatform.googleapis.com",
            opts=pulumi.ResourceOptions(provider=platform, depends_on=[vertex]),
        )
        account = gcp.serviceaccount.Account("deployer", account_id="deployer", opts=mine)
        role = gcp.projects.IAMCustomRole(
            "role", role_id="deployer", title="Deployer", permissions=permissions, opts=mine
        )
        grant = gcp.projects.IAMMember(
            "deploys", project=PROJECT, role=role.name, member=account.member, opts=mine
        )
        bucket = gcp.storage.Bucket(
            "artifacts",
            location=REGION,
            uniform_bucket_level_access=True,
            versioning={"enabled": True},
            force_destroy=True,
            opts=mine,
        )
        gcp.storage.BucketIAMMember(
            "reads",
            bucket=bucket.name,
            role="roles/storage.objectViewer",
            member=account.member,
            opts=mine,
        )
        gcp.storage.BucketObject(
            "model",
            bucket=bucket.name,
            name="models/model",
            source=pulumi.FileAsset(str(file)),
            opts=mine,
        )
        dataset = gcp.bigquery.Dataset("logs", dataset_id="logs", location=REGION, opts=mine)
        gcp.bigquery.DatasetIamMember(
            "writes",
            dataset_id=dataset.dataset_id,
            role="roles/bigquery.dataEditor",
            member=account.member,
            opts=mine,
        )
        become = pulumi.Output.all(account.email, grant.id).apply(lambda known: known[0])
        deployer = gcp.Provider(
            "as-deployer", project=PROJECT, region=REGION, impersonate_service_account=become
        )
        gcp.vertex.AiEndpoint(
            "endpoint",
            name="7",
            display_name="pm",
            description=description,
            location=REGION,
            opts=pulumi.ResourceOptions(provider=deployer, depends_on=[vertex]),
        )
        found = gcp.organizations.get_project_output(
            project_id=PROJECT, opts=pulumi.InvokeOptions(provider=platform)
        )
        pulumi.export("number", found.number)

    return run


# A plugin that is the stand-in in front of a service account that has one key.
PLUGIN = """#!{python}
import sys
sys.path[:0] = {path!r}
from tests.standin.support import Scripted, session
from pulumi_plugin.server import serve
from standin.gcp import Gcp
from standin.provider import Provider
KEY = {{"name": "{account}/keys/1", "privateKeyData": "the private half"}}
SCRIPT = {{
    "GET /v1/userinfo": {{}},
    "POST /v1/{account}/keys": KEY,
    "GET /v1/{account}/keys/1": KEY,
    "DELETE /v1/{account}/keys/1": {{}},
}}
serve(lambda: Gcp(Provider(lambda: session(Scripted(SCRIPT)))))
"""


class BareKey(pulumi.CustomResource):
    """A key whose class, unlike the SDK's, does not say what of it is secret."""

    def __init__(self, name: str, opts: pulumi.ResourceOptions) -> None:
        properties = {"serviceAccountId": ACCOUNT, "privateKey": None}
        super().__init__("gcp:serviceaccount/key:Key", name, properties, opts)


def changes(result: Any) -> dict[str, int]:
    """By operation, of an update; a preview has the counts themselves."""
    counted = result if isinstance(result, dict) else result.summary.resource_changes or {}
    return {str(kind.value if hasattr(kind, "value") else kind): n for kind, n in counted.items()}


def test_a_stack_goes_up_stays_as_it_is_changes_and_goes_away(
    cloud: GoogleCloud, workspace: automation.LocalWorkspaceOptions, tmp_path: Path
) -> None:
    file = tmp_path / "model"
    file.write_bytes(b"weights 1")
    first = program(file, description="first", permissions=NEEDED)
    stack = automation.create_or_select_stack("test", "stand-in", first, opts=workspace)
    planned = stack.preview().change_summary  # the deployer does not exist: its config is unknown
    assert changes(planned) == {"create": 14}
    up = stack.up()
    assert changes(up) == {"create": 14}
    assert up.outputs["number"].value == "123456789012"
    assert cloud.state()["endpoints"] == [ENDPOINT]

    created = [entry for entry in cloud[Audit].since(0) if entry.permission == NEEDED[0]]
    assert {entry.principal for entry in created if entry.granted} == {f"serviceAccount:{DEPLOYER}"}

    assert changes(stack.up()) == {"same": 14}
    assert changes(stack.refresh()) == {"same": 14}

    file.write_bytes(b"weights 2")
    stack.workspace.program = program(
        file, description="second", permissions=[*NEEDED, "aiplatform.endpoints.list"]
    )
    assert changes(stack.up()) == {"same": 11, "update": 2, "replace": 1}

    bucket = next(name for name in cloud.state()["buckets"])
    deleted = changes(stack.destroy())
    assert deleted == {"delete": 14}
    assert cloud.state()["endpoints"] == [] and bucket not in cloud.state()["buckets"]

    assert changes(stack.up()) == {"create": 14}  # over the role that is only soft-deleted


def test_a_denial_reaches_the_person_in_googles_words(
    cloud: GoogleCloud, workspace: automation.LocalWorkspaceOptions, tmp_path: Path
) -> None:
    file = tmp_path / "model"
    file.write_bytes(b"weights")
    short = program(file, description="", permissions=NEEDED[1:])
    stack = automation.create_or_select_stack("test", "stand-in", short, opts=workspace)
    with pytest.raises(automation.CommandError) as raised:
        stack.up()
    assert (
        "Error creating Endpoint: googleapi: Error 403: Permission 'aiplatform.endpoints.create' "
        "denied on resource" in str(raised.value)
    )
    assert cloud.state()["endpoints"] == []


def test_a_bucket_of_another_stack_is_imported_as_it_is(
    workspace: automation.LocalWorkspaceOptions,
) -> None:
    def bucket(import_: str | None) -> Callable[[], None]:
        def run() -> None:
            platform = gcp.Provider("platform", project=PROJECT)
            gcp.storage.Bucket(
                "bucket",
                name="shared-bucket",
                location=REGION,
                versioning={"enabled": True},
                opts=pulumi.ResourceOptions(provider=platform, import_=import_),
            )

        return run

    for name, program in (("owner", bucket(None)), ("guest", bucket("shared-bucket"))):
        stack = automation.create_or_select_stack(name, "stand-in", program, opts=workspace)
        up = stack.up()
    assert changes(up) == {"create": 2, "import": 1}
    assert changes(stack.up()) == {"same": 3}


def test_an_endpoint_is_imported_by_a_default_provider_that_has_a_region(
    cloud: GoogleCloud, workspace: automation.LocalWorkspaceOptions
) -> None:
    """Its region is not read back, so a program that gives one has to ignore that."""

    def endpoint(**options: Any) -> None:
        gcp.vertex.AiEndpoint(
            "endpoint",
            name="7",
            display_name="pm",
            project=PROJECT,
            location=REGION,
            region=REGION,
            opts=pulumi.ResourceOptions(**options),
        )

    def owner() -> None:
        platform = gcp.Provider("platform", project=PROJECT)
        vertex = gcp.projects.Service(
            "vertex",
            service="aiplatform.googleapis.com",
            disable_on_destroy=False,
            opts=pulumi.ResourceOptions(provider=platform),
        )
        endpoint(provider=platform, depends_on=[vertex])

    def guest(name: str, zone: str = "", **options: Any) -> automation.Stack:
        def run() -> None:
            endpoint(import_=ENDPOINT, **options)

        stack = automation.create_or_select_stack(name, "stand-in", run, opts=workspace)
        if zone:
            stack.set_config("gcp:zone", automation.ConfigValue(zone))
        return stack

    automation.create_or_select_stack("owner", "stand-in", owner, opts=workspace).up()
    with pytest.raises(automation.CommandError, match=NO_REGION):
        guest("nowhere", ignore_changes=["region"]).up()
    with pytest.raises(automation.CommandError, match=f"may not be replaced[^$]*=> {{{REGION}}}"):
        guest("strict", f"{REGION}-a").up()
    stack = guest("guest", f"{REGION}-a", ignore_changes=["region"])
    assert changes(stack.up()) == {"create": 1, "import": 1}
    assert changes(stack.up()) == {"same": 2}
    assert cloud.state()["endpoints"] == [ENDPOINT]


def test_what_only_the_plugin_knows_to_be_secret_is_encrypted_in_the_state(
    workspace: automation.LocalWorkspaceOptions, tmp_path: Path
) -> None:
    here = Path(__file__)
    plugin = tmp_path / "plugin" / "pulumi-resource-gcp"
    plugin.parent.mkdir()
    path = [str(here.parents[2])]
    plugin.write_text(PLUGIN.format(python=sys.executable, path=path, account=ACCOUNT))
    plugin.chmod(0o755)
    assert workspace.env_vars is not None
    workspace.env_vars["PATH"] = os.pathsep.join((str(plugin.parent), workspace.env_vars["PATH"]))

    def run() -> None:
        platform = gcp.Provider("platform", project=PROJECT, access_token="token")
        BareKey("key", pulumi.ResourceOptions(provider=platform))

    stack = automation.create_or_select_stack("test", "stand-in", run, opts=workspace)
    for result in (stack.up(), stack.refresh()):
        assert sum(changes(result).values()) == 3
        (file,) = (tmp_path / "state").glob(".pulumi/stacks/**/test.json")
        resources = json.loads(file.read_text())["checkpoint"]["latest"]["resources"]
        (key,) = (each for each in resources if each["type"].endswith(":Key"))
        assert key["outputs"]["publicKeyType"] == "TYPE_X509_PEM_FILE"
        assert "ciphertext" in key["outputs"]["privateKey"]
        assert "the private half" not in file.read_text()
    assert changes(stack.destroy()) == {"delete": 3}
