"""An endpoint that somebody made by hand becomes the stack's, while it answers predictions."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Final

import grpc
from google.protobuf import empty_pb2
from pulumi.automation._server import LanguageServer
from pulumi.runtime.proto import language_pb2, language_pb2_grpc

from access.adopt import Adoption, adoption
from access.recover import Look
from components import permissions as table
from components.apis import SERVICES
from components.settings import Settings
from rehearsal import callers
from rehearsal import environment as environments
from rehearsal.engine import Program, stack_program
from rehearsal.environment import Environment
from rehearsal.report import Stage, StageFailed
from rehearsal.run import Rehearsal, demand_ok
from rehearsal.sandbox import Google, GoogleError
from rehearsal.world import World

MAKER: Final = "maker@example.com"
"""Owns the project, and made all that is in it."""
MODEL: Final = "made-by-hand"
DEPLOYED: Final = "4711"
ROLES: Final = {
    "predictor": ["aiplatform.endpoints.predict"],
    "deployer": ["aiplatform.endpoints.get", "aiplatform.endpoints.deploy"],
}
"""What the roles hold that were made by hand, by their keys: the deployer's less than it needs."""
PROPAGATED: Final = 600
"""Seconds after which a grant is in effect."""
ACCOUNTS: Final = (table.DEPLOYER, table.SERVING, table.TELEMETRY)
TAKEN_OVER: Final = (
    *("artifacts", *ACCOUNTS, *ROLES),
    *("telemetry-dead-letters", "endpoint", "rollout"),
)
"""Names in the stack of what was made by hand."""


def seed(environment: Environment) -> dict[str, Any]:
    """The environment's own, with somebody who owns its projects and has used them."""
    found = environments.seed(environment)
    settings, who = environment.settings, callers.colleague(MAKER)
    found["issuers"][who.issuer][who.subject] = dict(who.claims)
    found["grants"] += [
        {"resource": f"projects/{project}", "role": "roles/owner", "member": member}
        for project in (settings.project, *settings.source_projects)
        for member in (f"user:{MAKER}", who.member)
    ]
    found["projects"][0]["services"] = list(SERVICES)
    return found


def make_by_hand(world: World, artifact: bytes) -> None:
    """Plain calls of Google's APIs, as a person makes them with `gcloud` or in the console."""
    settings, maker = world.environment.settings, world.sandbox.google(MAKER)
    iam = f"https://iam.googleapis.com/v1/projects/{settings.project}"
    for identity in ACCOUNTS:
        body = {"accountId": settings.account_id(identity)}
        maker.call("POST", f"{iam}/serviceAccounts", body)
    for key, held in ROLES.items():
        role = {"title": key, "includedPermissions": held}
        maker.call("POST", f"{iam}/roles", {"roleId": settings.role_id(key), "role": role})
    topic = f"projects/{settings.project}/topics/telemetry-dead-letters"
    maker.call("PUT", f"https://pubsub.googleapis.com/v1/{topic}", {})
    _grant(maker, settings, settings.role_name("predictor"), settings.member(table.TELEMETRY))
    _grant(maker, settings, "roles/storage.objectViewer", settings.member(table.SERVING))
    bucket = settings.artifacts_bucket
    storage = "https://storage.googleapis.com"
    maker.call(
        "POST",
        f"{storage}/storage/v1/b?project={settings.project}",
        {"name": bucket, "location": settings.region},
    )
    maker.call(
        "POST",
        f"{storage}/upload/storage/v1/b/{bucket}/o?uploadType=media&name=by-hand/model.joblib",
        artifact,
        {"Content-Type": "application/octet-stream"},
    )
    world.sandbox.wait(PROPAGATED)
    _deploy_by_hand(maker, settings, bucket)


def _deploy_by_hand(maker: Google, settings: Settings, bucket: str) -> None:
    api = f"https://{settings.region}-aiplatform.googleapis.com/v1"
    here = f"{api}/projects/{settings.project}/locations/{settings.region}"
    model = {
        "displayName": MODEL,
        "artifactUri": f"gs://{bucket}/by-hand",
        "containerSpec": {"imageUri": settings.serving_container},
    }
    asked = {"modelId": MODEL, "model": model}
    uploaded = maker.finish(maker.call("POST", f"{here}/models:upload", asked), api)
    endpoint = {"displayName": "made by hand"}
    address = f"{here}/endpoints?endpointId={settings.endpoint_id}"
    maker.finish(maker.call("POST", address, endpoint), api)
    deployed = {
        "id": DEPLOYED,
        "model": uploaded["model"],
        "displayName": MODEL,
        "serviceAccount": settings.email(table.SERVING),
        "dedicatedResources": {
            "machineSpec": {"machineType": settings.machine_type},
            "minReplicaCount": 1,
            "maxReplicaCount": 1,
        },
    }
    asked = {"deployedModel": deployed, "trafficSplit": {"0": 100}}
    address = f"{api}/{settings.endpoint_name}:deployModel"
    maker.finish(maker.call("POST", address, asked), api)


def _grant(maker: Google, settings: Settings, role: str, member: str) -> None:
    at = f"https://cloudresourcemanager.googleapis.com/v3/projects/{settings.project}"
    policy = maker.call("POST", f"{at}:getIamPolicy", {})
    policy["bindings"] = [*policy.get("bindings", ()), {"role": role, "members": [member]}]
    maker.call("POST", f"{at}:setIamPolicy", {"policy": policy})


def looks(google: Google) -> Look:
    """Looks into the cloud as whoever `google` calls as."""

    def look(url: str) -> tuple[int, Any]:
        try:
            return 200, google.call("GET", url)
        except GoogleError as error:
            return error.status, error.answer

    return look


def find(run: Rehearsal, stage: Stage) -> Adoption:
    """What `python -m access adopt` finds, as the person who made it."""
    run.engine.run_as(callers.colleague(MAKER))
    look = looks(run.sandbox.google(MAKER))
    found = adoption(json.loads(with_program(run, "preview", "--json", "--show-sames")), look)
    stage.note = f"{len(_taken(found))} are there already"
    return found


def demand_found(run: Rehearsal, found: Adoption) -> None:
    """All that was made by hand, and what becomes of the model that the settings do not name."""
    taken = sorted(entry["logicalName"] for entry in _taken(found))
    if taken != sorted(TAKEN_OVER):
        raise StageFailed("something else was found than was made", ", ".join(taken))
    if not any(MODEL in note and DEPLOYED in note for note in found.notes):
        raise StageFailed(f"nothing is said of {MODEL}", "\n".join(found.notes))


def take_over(run: Rehearsal, found: Adoption) -> str:
    """`pulumi import`, still as that person; the platform goes on."""
    _bring_in_line(run, found)
    file = run.engine.directory / "adopt.json"
    file.write_text(json.dumps(found.file))
    with_program(run, "import", "--file", str(file), "--yes", "--generate-code=false")
    run.engine.run_as(run.environment.platform)
    return f"{len(_taken(found))}, and what is above them"


def _bring_in_line(run: Rehearsal, found: Adoption) -> None:
    """The commands that the notes name, as plain calls: `gcloud` is not here."""
    maker = run.sandbox.google(MAKER)
    for note in found.notes:
        _, command, rest = note.partition("gcloud iam service-accounts update ")
        if command:
            email, *options = shlex.split(rest)
            account = {name: value for name, _, value in (it.partition("=") for it in options)}
            body = {
                "serviceAccount": {
                    "displayName": account["--display-name"],
                    "description": account["--description"],
                },
                "updateMask": "displayName,description",
            }
            maker.call(
                "PATCH", f"https://iam.googleapis.com/v1/projects/-/serviceAccounts/{email}", body
            )


def _taken(found: Adoption) -> list[dict[str, Any]]:
    return [entry for entry in found.file["resources"] if "id" in entry]


def up(run: Rehearsal, stage: Stage) -> None:
    """The first `up`: nothing is replaced, nothing deleted."""
    outcome = run.engine.up()
    stage.note = outcome.summary()
    demand_ok(outcome)
    gone = {kind: n for kind, n in outcome.changes.items() if "replace" in kind or "delete" in kind}
    if gone:
        raise StageFailed("something was not kept", "\n".join(outcome.touched))


class Host(LanguageServer):
    """Serves a program to a CLI that finds no language host for Python here.

    It is reached by Pulumi's own way of debugging language hosts, which greets them first. What a
    new project needs is there already: this process has it.
    """

    def Handshake(self, request: Any, context: Any) -> Any:
        return language_pb2.LanguageHandshakeResponse()

    def Template(self, request: Any, context: Any) -> Any:
        return language_pb2.TemplateResponse()

    def RuntimeOptionsPrompts(self, request: Any, context: Any) -> Any:
        return language_pb2.RuntimeOptionsResponse()

    def InstallDependencies(self, request: Any, context: Any) -> Any:
        return iter(())

    def Cancel(self, request: Any, context: Any) -> Any:
        return empty_pb2.Empty()


@contextmanager
def served(program: Program) -> Iterator[dict[str, str]]:
    """The variables with which Pulumi's own CLI finds `program`."""
    server = grpc.server(ThreadPoolExecutor(max_workers=4))
    language_pb2_grpc.add_LanguageRuntimeServicer_to_server(Host(program), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield {"PULUMI_DEBUG_LANGUAGES": f"python:{port}"}
    finally:
        server.stop(0)


def with_program(run: Rehearsal, *arguments: str) -> str:
    """What Pulumi's own CLI prints that runs the program, or wants its language.

    Raises EngineError.
    """
    with served(stack_program) as variables:
        return run.engine.pulumi(*arguments, "--stack", run.environment.stack, **variables)


def asker(run: Rehearsal) -> Callable[[list[list[float]]], Any]:
    """A function that sends readings, rows of 9 sensor values, and gets Google's whole answer."""
    settings = run.environment.settings
    google = run.sandbox.google(settings.email(table.TELEMETRY))
    url = f"https://{settings.region}-aiplatform.googleapis.com/v1/{settings.endpoint_name}:predict"
    return lambda readings: google.call("POST", url, {"instances": readings})
