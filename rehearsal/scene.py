"""A stack that is up on a rehearsed cloud, and what people do around it, for the thread's causes.

Somebody with every right breaks and mends; deployments are tried by the engine, by Google's client,
and in gcloud's words. Each says what it printed when it is refused.
"""

from __future__ import annotations

import base64
import json
import os
import shlex
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from components import permissions as table
from components.settings import Settings
from rehearsal import colleague
from rehearsal import environment as environments
from rehearsal.callers import Caller
from rehearsal.engine import Outcome, diagnostic
from rehearsal.environment import OWNER
from rehearsal.report import Report
from rehearsal.run import Options, Rehearsal, demand_ok, opened
from rehearsal.sandbox import GoogleError
from vertexops.google import SCOPE

UNWATCHED: Final[dict[str, Any]] = {"sensors": [], "drift": {}, "alerts": {}}
"""Settings of the staging stack without telemetry and what watches it, which no cause is about."""

IAM: Final = "https://iam.googleapis.com/v1"
MANAGER: Final = "https://cloudresourcemanager.googleapis.com/v1"
STORAGE: Final = "https://storage.googleapis.com/storage/v1"
USAGE: Final = "https://serviceusage.googleapis.com/v1"
VERTEX: Final = "aiplatform.googleapis.com"

AT_ONCE: Final = {"iam": 0.5, "api": 0.5}
"""Seconds that changes take in a rehearsal."""
SETTLED: Final = 5
"""Seconds after which they are in effect."""

ENDPOINT: Final = "by-hand"
SECONDS: Final = 30


class Refused(Exception):
    """A deployment failed; the message is what whoever tried it saw."""


class UnknownCommand(ValueError):
    """A command of gcloud that is not carried out here."""


class Scene:
    """`cured` says whether the cause is gone: somebody who uses a wrong name uses the right one."""

    def __init__(self, run: Rehearsal) -> None:
        self.run, self.cured = run, False
        self.values: dict[str, Any] = dict(run.options.settings)
        self.environment = run.environment
        self.google = run.sandbox.google(OWNER)
        self.key: dict[str, Any] = {}
        """The file of the deployer's newest key."""
        self.key_name = ""

    @property
    def settings(self) -> Settings:
        """Those that the engine has by now."""
        return self.environment.settings

    @property
    def deployer(self) -> str:
        """Its address."""
        return self.settings.email(table.DEPLOYER)

    def set(self, **values: Any) -> None:
        """Have the engine use these settings from now on."""
        self.values |= values
        models = self.run.report.folder / "models"
        self.environment = environments.load(self.run.options.stack, models, **self.values)
        self.run.engine.configure(self.environment)

    def settle(self, seconds: float = SETTLED) -> None:
        self.run.sandbox.wait(seconds)

    def delay(self, **seconds: float) -> None:
        """Have changes of `iam` or `api` take so long to be in effect, as at Google."""
        self.run.sandbox.control("POST", "/delays", AT_ONCE | seconds)

    def seed(self, **content: Any) -> None:
        self.run.sandbox.control("POST", "/seed", content)

    # What somebody with every right does.

    def role(self, key: str, in_source: bool = False) -> str:
        """The full name of a role of the table."""
        return self.settings.role_name(key, self.settings.source_projects[0] if in_source else "")

    def change_role(self, name: str, add: Sequence[str] = (), drop: Sequence[str] = ()) -> None:
        held = self.google.call("GET", f"{IAM}/{name}").get("includedPermissions", [])
        changed = sorted({*held, *add} - {*drop})
        mask = "updateMask=includedPermissions"
        self.google.call("PATCH", f"{IAM}/{name}?{mask}", {"includedPermissions": changed})

    def change_policy(self, on: str, change: Callable[[list[dict[str, Any]]], None]) -> None:
        """Change the bindings on a project, `gs://BUCKET` or a service account's address."""
        if on.startswith("gs://"):
            url = f"{STORAGE}/b/{on.removeprefix('gs://')}/iam"
            policy = self.google.call("GET", f"{url}?optionsRequestedPolicyVersion=3")
            change(policy.setdefault("bindings", []))
            self.google.call("PUT", url, policy)
            return
        at = f"{IAM}/projects/-/serviceAccounts/{on}" if "@" in on else f"{MANAGER}/projects/{on}"
        asked = {"options": {"requestedPolicyVersion": 3}} if "@" not in on else {}
        policy = self.google.call("POST", f"{at}:getIamPolicy", asked)
        change(policy.setdefault("bindings", []))
        self.google.call("POST", f"{at}:setIamPolicy", {"policy": policy})

    def unbind(self, on: str, member: str, role: str) -> None:
        def change(bindings: list[dict[str, Any]]) -> None:
            for binding in bindings:
                if binding["role"] == role:
                    binding["members"].remove(member)

        self.change_policy(on, change)

    def switch(self, verb: str, service: str) -> None:
        """`enable` or `disable` an API of the stack's project."""
        url = f"{USAGE}/projects/{self.settings.project}/services/{service}:{verb}"
        self.google.finish(self.google.call("POST", url, {}), USAGE)

    def new_key(self) -> None:
        account = self.settings.account_name(table.DEPLOYER)
        made = self.google.call("POST", f"{IAM}/{account}/keys", {})
        self.key, self.key_name = json.loads(base64.b64decode(made["privateKeyData"])), made["name"]

    # How a deployment is tried. Each raises Refused.

    def up(self, **options: Any) -> None:
        outcome = self.run.engine.up(judged=False, **options)
        if not outcome.ok:
            raise Refused(printed(outcome))

    def by_client(
        self,
        credentials: Callable[[], Any] | None = None,
        *,
        project: str = "",
        account: str = "",
        uri: str = "",
    ) -> None:
        """As the deployer, with Google's client: an endpoint, the stack's model on it; then gone.

        `account` is who the model runs as. With a `uri`, the model there is uploaded and deployed.
        """
        import google.auth.exceptions
        from google.api_core.exceptions import GoogleAPICallError

        try:
            token = _token((credentials or self._impersonated)())
            client = Client(token, self.settings.region)
            location = f"projects/{project or self.settings.project}/locations/{client.region}"
            model = colleague.model_name(self.settings)
            if uri:
                model = client.upload(location, uri, self.settings.serving_container)
            client.deploy(location, model, self.settings.machine_type, account)
        except (GoogleAPICallError, google.auth.exceptions.GoogleAuthError) as error:
            raise Refused("".join(traceback.format_exception(error))) from error

    def _impersonated(self) -> Any:
        return self.signed_in(self.run.environment.platform, self.deployer)

    def signed_in(self, who: Caller, impersonate: str = "") -> Any:
        """Credentials of somebody who comes in by federation, or of who he may become."""
        import google.auth

        variables = self.run.sandbox.environment(who, impersonate)
        file = variables["GOOGLE_APPLICATION_CREDENTIALS"]
        load: Any = google.auth.load_credentials_from_file
        return load(file, scopes=[SCOPE])[0]

    def gcloud(self, command: str) -> None:
        """What a command of gcloud does, as somebody with every right; looking does nothing.

        Raises Refused in gcloud's words (gcp-facts/02_errors.md), UnknownCommand.
        """
        words, flags = _parsed(command)
        try:
            self._carry_out(words, flags)
        except GoogleError as error:
            told = error.answer["error"]
            where = f"gcloud.{'.'.join(words[:-1])}"
            said = f"ERROR: ({where}) {told.get('status', '')}: {told['message']}"
            raise Refused(said) from error

    def _carry_out(self, words: list[str], flags: dict[str, str]) -> None:
        project = flags.get("project", "")
        match words:
            case ["iam", "roles", "update", role]:
                name = f"projects/{project}/roles/{role}"
                self.change_role(name, flags["add-permissions"].split(","))
            case ["iam", "roles", "create", role]:
                held = {"includedPermissions": flags["permissions"].split(","), "stage": "GA"}
                body = {"roleId": role, "role": held}
                self.google.call("POST", f"{IAM}/projects/{project}/roles", body)
            case ["iam", "roles", "undelete", role]:
                self.google.call("POST", f"{IAM}/projects/{project}/roles/{role}:undelete", {})
            case ["services", "enable", service]:
                self.switch("enable", service)
            case [*_, "add-iam-policy-binding", on]:
                role, member = flags["role"], flags["member"]
                self.change_policy(on, lambda it: it.append({"role": role, "members": [member]}))
            case [*_, "describe" | "list" | "list-testable-permissions", _]:
                pass
            case _:
                raise UnknownCommand(" ".join(words))


def _parsed(command: str) -> tuple[list[str], dict[str, str]]:
    """Words and flags of a command line, without the name of the program."""
    _, *given = shlex.split(command, comments=True)
    flags = [word.removeprefix("--").partition("=") for word in given if word.startswith("--")]
    return [word for word in given if not word.startswith("--")], {k: v for k, _, v in flags}


class Client:
    """Google's own client of Vertex AI (google-cloud-aiplatform), over REST."""

    def __init__(self, credentials: Any, region: str) -> None:
        from google.cloud import aiplatform_v1

        self.region = region
        options = {"api_endpoint": f"{region}-{VERTEX}"}
        made: dict[str, Any] = {
            "credentials": credentials, "transport": "rest", "client_options": options,
        }  # fmt: skip
        self._endpoints: Any = aiplatform_v1.EndpointServiceClient(**made)
        self._models: Any = aiplatform_v1.ModelServiceClient(**made)

    def upload(self, location: str, uri: str, image: str) -> str:
        """The name of the model that is registered from the artifact."""
        model = {
            "display_name": ENDPOINT,
            "artifact_uri": uri,
            "container_spec": {"image_uri": image},
        }
        return str(_done(self._models.upload_model(parent=location, model=model)).model)

    def deploy(self, location: str, model: str, machine: str, account: str) -> None:
        endpoint = {"display_name": ENDPOINT}
        name = _done(self._endpoints.create_endpoint(parent=location, endpoint=endpoint)).name
        resources = {"machine_spec": {"machine_type": machine}, "min_replica_count": 1}
        deployed = {"model": model, "dedicated_resources": resources, "service_account": account}
        try:
            asked = {"endpoint": name, "deployed_model": deployed, "traffic_split": {"0": 100}}
            id = _done(self._endpoints.deploy_model(asked)).deployed_model.id
            taken = {"endpoint": name, "deployed_model_id": id}
            _done(self._endpoints.undeploy_model(taken))
        finally:
            _done(self._endpoints.delete_endpoint(name=name))


def _done(operation: Any) -> Any:
    polling = operation._polling.with_delay(initial=0.05, maximum=0.5)
    return operation.result(timeout=SECONDS, polling=polling)


def _token(credentials: Any) -> Any:
    """The access token of `credentials`, which is had before anything is asked, as Pulumi does."""
    from google.auth.transport.requests import Request
    from google.oauth2.credentials import Credentials

    credentials.refresh(Request())
    held: Any = Credentials
    return held(credentials.token)


def printed(outcome: Outcome) -> str:
    """The errors as the engine prints them, each under the resource that failed."""
    told = [diagnostic(urn, *it.get("errors", ())) for urn, it in outcome.failed.items()]
    others = [f"    error: {error}" for error in outcome.errors]
    return "\n".join(["Diagnostics:", *(told or others)])


@contextmanager
def staged(report: Report) -> Iterator[Scene]:
    """The staging stack, without what watches it, up on a cloud of its own."""
    with opened(Options("staging", settings=UNWATCHED), report) as run:
        with report.stage("up") as stage:
            outcome = run.engine.up(judged=False)
            stage.note = outcome.summary()
            demand_ok(outcome)
        settings = run.environment.settings
        owned = [f"projects/{project}" for project in (settings.project, *settings.source_projects)]
        grants = [
            *({"resource": it, "role": "roles/owner"} for it in owned),
            {"resource": "organizations/1", "role": "roles/orgpolicy.policyAdmin"},
        ]
        grants = [{**grant, "member": f"user:{OWNER}"} for grant in grants]
        run.sandbox.control("POST", "/seed", {"grants": grants})
        with _reaching(run.sandbox.variables), warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # Google's libraries, of Python's age
            yield Scene(run)


@contextmanager
def _reaching(variables: Mapping[str, str]) -> Iterator[None]:
    """Have Google's client, which runs in this process, find the cloud."""
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
