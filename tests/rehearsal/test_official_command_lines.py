"""The tutorial's set-up and the forum thread's checks, by `gcloud`, `bq` and `gsutil` unmodified.

An owner prepares two projects with the tutorial's own commands, the platform identity brings the
stack up with what it was given, and the command lines look at it as owner, platform and telemetry
account.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from access.bootstrap import script
from components import permissions as table
from components.apis import SERVICES
from rehearsal import callers, kept, telemetry, toolchain
from rehearsal import environment as environments
from rehearsal.engine import Engine
from rehearsal.environment import Environment
from rehearsal.sandbox import Sandbox, clean_environment
from rehearsal.toolchain import ROOT

SECONDS = 120
OWNER = callers.colleague("owner@example.com")
PROJECT, SOURCE, REGION = "iot-staging", "iot-models", "us-central1"
ENDPOINT, BUCKET = "7203418", "iot-staging-model-artifacts"


def installed(tool: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(not shutil.which(tool), reason=f"{tool} is not installed")


pytestmark = [installed("gcloud"), pytest.mark.xdist_group("command lines")]


@dataclass(frozen=True)
class Shell:
    """Where somebody types commands; nothing of who runs the tests is in it."""

    variables: Mapping[str, str]
    home: Path

    def __call__(self, command: str, *, code: int = 0) -> str:
        """What the command prints, output first; it has to end with `code`."""
        done = subprocess.run(
            ["bash", "-euc", command],
            cwd=self.home,
            env={**clean_environment(), "HOME": str(self.home), **self.variables},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert done.returncode == code, f"{command}\n{done.stdout}{done.stderr}"
        return done.stdout if code == 0 else done.stdout + done.stderr

    def json(self, command: str) -> Any:
        tool, _, rest = command.partition(" ")
        return json.loads(self(f"{tool} --format=json {rest}"))


@dataclass(frozen=True)
class Stack:
    """The stack that was brought up, and shells of those who have to do with it.

    The platform's is the one that `rehearsal up --keep` prints.
    """

    environment: Environment
    sandbox: Sandbox
    owner: Shell
    platform: Shell
    telemetry: Shell


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("command-lines")
    environment = environments.load("staging", folder / "models")
    with Sandbox(new_projects(environment), at_once=True) as sandbox:
        environments.prepare_source(environment, sandbox, folder / "models")
        project = {"CLOUDSDK_CORE_PROJECT": PROJECT}
        owner = shell(folder / "owner", sandbox.environment(OWNER) | project)
        for command in setup(environment):
            owner(command)
        engine = Engine(sandbox, environment, toolchain.gcp_plugin(), policies=False)
        outcome = engine.up()
        assert outcome.ok, "\n".join(outcome.errors)
        account = environment.settings.email(table.TELEMETRY)
        token = sandbox.control("POST", "/token", {"email": account})["access_token"]
        workload = {**sandbox.variables, **project, "CLOUDSDK_AUTH_ACCESS_TOKEN": token}
        yield Stack(
            environment,
            sandbox,
            owner,
            shell(folder / "platform", kept.by_hand(engine)),
            shell(folder / "telemetry", workload),
        )


def shell(home: Path, variables: Mapping[str, str]) -> Shell:
    """With a configuration of its own, so that what one logs in as is not another's."""
    home.mkdir()
    own = {
        "CLOUDSDK_CONFIG": str(home / "gcloud"),
        "CLOUDSDK_CORE_DISABLE_PROMPTS": "true",
        "PYTHONPATH": str(ROOT),
    }
    return Shell({**variables, **own}, home)


def new_projects(environment: Environment) -> dict[str, Any]:
    """A rehearsal's seed before that set-up: nobody but an owner, and no API that it needs.

    Some APIs are on in a new project (docs service-usage/docs/overview); Service Usage, which
    switches the others on, is taken to be one of them.
    """
    seed, settings = environments.seed(environment), environment.settings
    for project in seed["projects"]:
        if project["id"] == settings.project:
            project["services"] = ["serviceusage.googleapis.com"]
        elif project["id"] == settings.key_project:
            project["services"].append("serviceusage.googleapis.com")
    seed["roles"] = []
    seed["grants"] = [
        *(grant for grant in seed["grants"] if grant["member"] != settings.platform_member),
        *(
            {"resource": f"projects/{project}", "role": "roles/owner", "member": OWNER.member}
            for project in (settings.project, *settings.source_projects, settings.key_project)
        ),
    ]
    seed["issuers"][OWNER.issuer][OWNER.subject] = dict(OWNER.claims)
    return seed


def setup(environment: Environment) -> Iterator[str]:
    """The block that makes the platform's role, and once more for the source project; what a key
    takes, as `access bootstrap` prints it."""
    page = (ROOT / "docs" / "tutorial" / "first-deployment.md").read_text()
    blocks = re.findall(r"(?s)```sh\n(.*?)```", page)
    (block,) = [text for text in blocks if "gcloud iam roles create" in text]
    block = block.replace(".venv/bin/python", sys.executable)
    yield block.replace("user:you@example.com", environment.platform.member)
    in_source = block.replace(PROJECT, SOURCE).replace("role platform", "role platform --in-source")
    yield in_source.replace("user:you@example.com", environment.platform.member)
    text = "\n".join(script(environment.settings))
    yield text[text.index("gcloud services enable cloudkms") :]


def test_the_tutorials_setup_gives_the_platform_the_role_that_is_rehearsed(stack: Stack) -> None:
    """What comes after, the stack among it, came up with this alone."""
    for role in environments.seed(stack.environment)["roles"]:
        _, project, _, name = role["name"].split("/")
        made = stack.owner.json(f"gcloud iam roles describe {name} --project={project}")
        assert made["includedPermissions"] == sorted(role["permissions"])


def test_the_threads_endpoint_is_made_by_who_may(stack: Stack) -> None:
    said = stack.owner(f"gcloud ai endpoints create --region={REGION} --display-name=test 2>&1")
    found = re.search(
        rf"Created Vertex AI endpoint: (\S+/locations/{REGION}/endpoints/\d+)\.", said
    )
    assert found, said
    listed = stack.owner.json(f"gcloud ai endpoints list --region={REGION}")
    assert {item["displayName"]: item["name"] for item in listed}["test"] == found[1]
    stack.owner(f"gcloud ai endpoints delete {found[1]} --region={REGION}")
    stack.owner(f"gcloud ai endpoints describe {found[1]} --region={REGION}", code=1)


def test_the_telemetry_account_is_refused_and_the_audit_log_says_why(stack: Stack) -> None:
    create = f"gcloud ai endpoints create --region={REGION} --display-name=test"
    refused = stack.telemetry(create, code=1)
    assert (
        "ERROR: (gcloud.ai.endpoints.create) PERMISSION_DENIED: Permission "
        "'aiplatform.endpoints.create' denied on resource "
        f"'//aiplatform.googleapis.com/projects/{PROJECT}/locations/{REGION}' (or it may not "
        "exist)."
    ) in refused
    account = stack.environment.settings.email(table.TELEMETRY)
    wanted = f'protoPayload.authenticationInfo.principalEmail="{account}"'
    (entry,) = stack.owner.json(
        f"gcloud logging read 'protoPayload.status.code=7 AND {wanted}' --limit=1"
    )
    (check,) = entry["protoPayload"]["authorizationInfo"]
    assert (check["permission"], check.get("granted", False)) == (
        "aiplatform.endpoints.create",
        False,
    )


def test_the_threads_filter_shows_what_an_account_holds_on_the_project(stack: Stack) -> None:
    account = stack.environment.settings.email(table.DEPLOYER)
    bindings = stack.owner.json(
        f"gcloud projects get-iam-policy {PROJECT} --flatten='bindings[].members' "
        f"--filter='bindings.members:serviceAccount:{account}'"
    )
    assert [found["bindings"] for found in bindings] == [
        {
            "members": f"serviceAccount:{account}",
            "role": f"projects/{PROJECT}/roles/predictiveMaintenanceDeployer",
        }
    ]


def test_models_are_listed_with_the_service_accounts_credentials(stack: Stack) -> None:
    account = stack.environment.settings.email(table.DEPLOYER)
    command = f"gcloud ai models list --region={REGION}"
    models = stack.platform.json(f"{command} --impersonate-service-account={account}")
    assert [model["displayName"] for model in models] == ["shuttle-anomaly"]
    assert "'aiplatform.models.list' denied" in stack.platform(command, code=1)


def test_the_endpoint_predicts_for_the_telemetry_account(stack: Stack) -> None:
    readings, labels = telemetry.unseen(50)
    (stack.telemetry.home / "request.json").write_text(json.dumps({"instances": readings}))
    answer = stack.telemetry.json(
        f"gcloud ai endpoints predict {ENDPOINT} --region={REGION} --json-request=request.json"
    )
    assert telemetry.roc_auc(labels, answer["predictions"]) > 0.9
    deployed = stack.owner.json(f"gcloud ai endpoints describe {ENDPOINT} --region={REGION}")
    assert sorted(deployed["trafficSplit"].values()) == [10, 90]


def test_an_endpoint_with_models_is_not_deleted(stack: Stack) -> None:
    refused = stack.owner(f"gcloud ai endpoints delete {ENDPOINT} --region={REGION}", code=1)
    assert refused.rstrip().endswith(
        "FAILED_PRECONDITION: Endpoint has deployed or being-deployed DeployedModel(s)"
    )


def test_the_apis_that_the_stack_switched_on_are_listed(stack: Stack) -> None:
    listed = stack.owner.json("gcloud services list")
    assert {service["config"]["name"] for service in listed} >= set(SERVICES)


def test_the_artifacts_are_in_the_bucket(stack: Stack) -> None:
    found = stack.owner(f"gcloud storage ls --recursive gs://{BUCKET}")
    assert re.search(rf"gs://{BUCKET}/\S+/model\.joblib", found)
    assert "storage.buckets.list" in stack.telemetry("gcloud storage ls", code=1)


@installed("bq")
def test_the_dataset_of_the_request_log_is_there(stack: Stack) -> None:
    there = [item["datasetReference"]["datasetId"] for item in stack.owner.json("bq ls")]
    assert sorted(there) == ["predictive_maintenance", "telemetry"]
    # With the token at hand it starts gcloud for nothing.
    bq = 'bq --oauth_access_token="$CLOUDSDK_AUTH_ACCESS_TOKEN"'
    refused = stack.telemetry(f"{bq} show {PROJECT}:predictive_maintenance", code=1)
    assert "bigquery.datasets.get" in refused


def test_a_key_is_made_and_disabled_and_says_who_uses_it(stack: Stack) -> None:
    ring = f"--keyring=other --location={REGION} --project=iot-keys"
    stack.owner(f"gcloud kms keyrings create other --location={REGION} --project=iot-keys")
    stack.owner(f"gcloud kms keys create pumps {ring} --purpose=encryption")
    for what, state in (("disable", "DISABLED"), ("enable", "ENABLED")):
        stack.owner(f"gcloud kms keys versions {what} 1 --key=pumps {ring}")
        (version,) = stack.owner.json(f"gcloud kms keys versions list --key=pumps {ring}")
        assert version["state"] == state
    ring = f"--keyring=serving --location={REGION} --project=iot-keys"
    policy = stack.owner.json(f"gcloud kms keys get-iam-policy staging {ring}")
    (users,) = [it["members"] for it in policy["bindings"] if it["role"] == table.KEY_USER]
    assert sorted(users) == sorted(
        f"serviceAccount:{table.AGENTS[agent].format(environments.NUMBER)}"
        for agent in stack.environment.settings.key_users
    )


@pytest.fixture
def signed_in(stack: Stack, tmp_path: Path) -> Shell:
    """An owner who has signed in with the credential file; no variable names it."""
    named = "CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE"
    variables = {key: value for key, value in stack.owner.variables.items() if key != named}
    person = shell(tmp_path / "signed-in", variables)
    person('gcloud auth login --cred-file="$GOOGLE_APPLICATION_CREDENTIALS"')
    return person


def test_a_person_signs_in_with_the_credential_file(signed_in: Shell) -> None:
    (account,) = signed_in.json("gcloud auth list")
    assert (account["account"], account["status"]) == (OWNER.principal, "ACTIVE")
    assert signed_in.json(f"gcloud projects describe {PROJECT}")["projectId"] == PROJECT


@pytest.mark.sweep
@pytest.mark.parametrize(
    ("copy", "read", "remove"),
    [
        ("gcloud storage cp", "gcloud storage cat", "gcloud storage rm"),
        pytest.param("gsutil cp", "gsutil cat", "gsutil rm", marks=installed("gsutil")),
    ],
)
def test_a_file_goes_to_the_bucket_and_comes_back(
    signed_in: Shell, copy: str, read: str, remove: str
) -> None:
    (signed_in.home / "note.txt").write_text("trained on Friday\n")
    note = f"gs://{BUCKET}/notes/note.txt"
    signed_in(f"{copy} note.txt {note}")
    assert signed_in(f"{read} {note}") == "trained on Friday\n"
    signed_in(f"{remove} {note}")
    signed_in(f"{read} {note}", code=1)


def test_nobody_else_was_asked(stack: Stack) -> None:
    """No statistics of use, no updates: what runs here need not be told about it."""
    stack.owner("gcloud config list")
    assert stack.sandbox.control("GET", "/stats")["refused_hosts"] == {}
