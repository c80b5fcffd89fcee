"""The causes that a failing deployment of the thread may have, each played on one rehearsed cloud.

Somebody brings the cause about; a deployment fails with Google's error; `access explain` says what
it is; the fix is applied, by the explanation's own commands where they are enough; the same
deployment passes.

python -m rehearsal.causes > docs/reference/scenarios.md
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from access import sentences as said
from access.answer import Explanation, explained
from components import permissions as table
from rehearsal import callers, colleague
from rehearsal.engine import stack_program
from rehearsal.environment import NUMBER
from rehearsal.report import Report, StageFailed
from rehearsal.scene import IAM, STORAGE, VERTEX, Refused, Scene, staged
from vertexops.google import SCOPE

ACT_AS: Final = "iam.serviceAccounts.actAs"
CREATE: Final = "aiplatform.endpoints.create"
DEPLOY: Final = "aiplatform.endpoints.deploy"
READ_MODEL: Final = "aiplatform.models.get"
READ_OBJECT: Final = "storage.objects.get"

# As Google calls them, but for the quota of endpoints, of which no name is known; as the simulator
# has them, whose services take a while to import.
CPU_QUOTA: Final = "CustomModelServingCPUsPerProjectPerRegion"
ENDPOINT_QUOTA: Final = "aiplatform.googleapis.com/endpoints"
EXPIRY: Final = "iam.serviceAccountKeyExpiryHours"

OTHER_REGION: Final = "europe-west4"
FAR: Final = "iot-staging-models-europe"
POOL: Final = "locations/global/workloadIdentityPools/pipelines"
HOUR: Final = 3600
GOOGLES_MINUTES: Final = {"iam": 120, "api": 180}
"""Seconds, as simulator/core/delays.py has them of a slow cloud."""

ENGINE: Final = "`pulumi up`"
CLIENT: Final = "Google's client"
GCLOUD: Final = "`gcloud`"

Act = Callable[[Scene], None]


@dataclass(frozen=True)
class Expected:
    """What the explanation has to say; `on` and `fix` are parts of the resource and of a fix."""

    kind: str
    permission: str = ""
    identity: str = ""
    on: str = ""
    fix: str = ""
    wait: bool = False
    """Whether it may pass by itself."""

    def faults(self, found: list[Explanation]) -> list[str]:
        """What of it the explanations of a text do not say."""
        if len(found) != 1:
            return [f"one denial expected, found {[it.denial.text for it in found]}"]
        data = found[0].data()
        exact = {"kind": self.kind, "permission": self.permission}
        if self.kind == said.PERMISSION:
            exact["identity"] = self.identity
        faults = [
            f"{key}: expected {value!r}, explained {data[key]!r}"
            for key, value in exact.items()
            if data[key] != value
        ]
        offered = "\n".join(line for lines in data["fix"].values() for line in lines)
        for name, part, whole in (("on", self.on, data["resource"]), ("fix", self.fix, offered)):
            if part not in whole:
                faults.append(f"{name}: expected {part!r} in {whole!r}")
        if self.wait and not data["wait"]:
            faults.append("expected that it may pass by itself")
        return faults


@dataclass(frozen=True)
class Cause:
    """`met` says who deploys; `inferred` what of Google's answer nobody recorded."""

    name: str
    what: str
    met: str
    bring: tuple[Act, ...]
    deploy: Act
    expected: Expected
    cure: Act | None
    """None where the explanation's commands are the cure."""
    fix: str
    inferred: str = ""


# How a cause is brought about.


def lacks(role: str, permission: str, in_source: bool = False) -> Act:
    """A role of the stack is without a permission."""

    def bring(scene: Scene) -> None:
        scene.change_role(scene.role(role, in_source), drop=[permission])
        scene.settle()

    return bring


def no_source_reader(scene: Scene) -> None:
    """Nobody granted the deployer to read models in the project where they are trained."""
    reader = scene.role("modelReader", in_source=True)
    scene.unbind(scene.settings.source_projects[0], f"serviceAccount:{scene.deployer}", reader)
    scene.settle()


def limited(quota: str, limit: int) -> Act:
    return lambda scene: scene.seed(quotas={quota: limit})


def another_endpoint(scene: Scene) -> None:
    """The next `up` has an endpoint to create."""
    scene.set(endpointId=str(int(scene.settings.endpoint_id) + 1))


def another_machine(scene: Scene) -> None:
    """The next `up` has models to deploy."""
    small = scene.settings.machine_type == "n1-standard-2"
    scene.set(machineType="n1-standard-4" if small else "n1-standard-2")


def deployer_reads_artifacts(scene: Scene) -> None:
    """As whoever runs a model has to."""
    bucket = f"projects/_/buckets/{scene.settings.artifacts_bucket}"
    grant = {"resource": bucket, "role": "roles/storage.objectViewer"}
    scene.seed(grants=[{**grant, "member": f"serviceAccount:{scene.deployer}"}])


def api_off(scene: Scene) -> None:
    scene.switch("disable", VERTEX)
    scene.settle()


def api_just_enabled(scene: Scene) -> None:
    api_off(scene)
    scene.delay(api=GOOGLES_MINUTES["api"])
    scene.switch("enable", VERTEX)


def just_granted(scene: Scene) -> None:
    lacks("deployer", CREATE)(scene)
    scene.delay(iam=GOOGLES_MINUTES["iam"])
    scene.change_role(scene.role("deployer"), add=[CREATE])


def far_bucket(scene: Scene) -> None:
    """A colleague keeps the model in a bucket of another region."""
    google, model = scene.google, colleague.uploaded(scene.settings)
    place = {"name": FAR, "location": OTHER_REGION}
    google.call("POST", f"{STORAGE}/b?project={scene.settings.project}", place)
    url = STORAGE.replace("/storage/", "/upload/storage/")
    name, kind = "uploadType=media&name=m/model.joblib", "application/octet-stream"
    content = Path(str(model.artifact)).read_bytes()
    google.call("POST", f"{url}/b/{FAR}/o?{name}", content, {"Content-Type": kind})


def key_in_use(scene: Scene) -> None:
    """Deployments come in with a key, and pass."""
    scene.new_key()
    with_key(scene)


def key_deleted(scene: Scene) -> None:
    key_in_use(scene)
    scene.google.call("DELETE", f"{IAM}/{scene.key_name}")


def key_rotated(scene: Scene) -> None:
    """After 90 days a rotation made another key and disabled the old one."""
    key_in_use(scene)
    scene.google.call("POST", f"{IAM}/{scene.key_name}:disable", {})


def key_expired(scene: Scene) -> None:
    """The organisation lets keys live for an hour, and the hour is over."""
    project = f"projects/{scene.settings.project}"
    rules = [{"values": {"allowedValues": ["1h"]}}]
    policy = {"name": f"{project}/policies/{EXPIRY}", "spec": {"rules": rules}}
    scene.switch("enable", "orgpolicy.googleapis.com")
    scene.settle()
    url, charged = f"https://orgpolicy.googleapis.com/v2/{project}/policies", scene.settings.project
    scene.google.call("POST", url, policy, {"X-Goog-User-Project": charged})
    scene.settle()
    key_in_use(scene)
    scene.settle(HOUR + 60)
    scene.run.sandbox.renew()


def role_deleted(scene: Scene) -> None:
    scene.google.call("DELETE", f"{IAM}/{scene.role('deployer')}")
    scene.settle()


def federated_elsewhere(scene: Scene) -> None:
    """A pipeline may become the deployer, and its repository has moved to another owner."""
    who = pipeline(scene)
    pool = {
        "name": f"projects/{scene.settings.project}/{POOL}",
        "providers": [
            {
                "id": callers.PROVIDER,
                "oidc": {"issuerUri": who.issuer, "allowedAudiences": [callers.CLIENT]},
                "attributeMapping": who.mapping,
                "attributeCondition": "assertion.repository_owner == 'acme'",
            }
        ],
    }
    grant = {
        "resource": scene.settings.account_name(table.DEPLOYER),
        "role": "roles/iam.workloadIdentityUser",
        "member": who.principal,
    }
    scene.seed(issuers={who.issuer: {who.subject: who.claims}}, pools=[pool], grants=[grant])


def pipeline(scene: Scene) -> callers.Caller:
    pool, subject = f"projects/{NUMBER}/{POOL}", "repo:acme-edge/models:ref:refs/heads/main"
    mapping, claims = {"google.subject": "assertion.sub"}, {"repository_owner": "acme-edge"}
    return callers.Caller("pipeline", pool, subject, claims, mapping, scene.deployer)


# How a deployment is tried.


def up(scene: Scene) -> None:
    scene.up()


def refreshing_up(scene: Scene) -> None:
    scene.up(refresh=True)


def by_client(scene: Scene) -> None:
    scene.by_client()


def as_itself(scene: Scene) -> None:
    scene.by_client(account=scene.deployer)


def in_project(scene: Scene) -> None:
    """With a slip in the project's id, until somebody looks it up."""
    scene.by_client(project=scene.settings.project if scene.cured else "iot-stagin")


def with_upload(scene: Scene) -> None:
    """Of an artifact in a far bucket, until it is copied into the region."""
    near = f"gs://{scene.settings.artifacts_bucket}/m"
    scene.by_client(uri=near if scene.cured else f"gs://{FAR}/m")


def with_key(scene: Scene) -> None:
    """With a key, until somebody takes credentials that need none."""
    from google.oauth2.service_account import Credentials

    key: Any = Credentials
    file = partial(key.from_service_account_info, scene.key, scopes=[SCOPE])
    scene.by_client(None if scene.cured else file)


def from_pipeline(scene: Scene) -> None:
    scene.by_client(partial(scene.signed_in, pipeline(scene)))


def with_its_role(scene: Scene) -> None:
    """A script makes the deployer's role where there is none, and deploys."""
    name = scene.role("deployer")
    parent, _, id = name.partition("/roles/")
    listed = scene.google.call("GET", f"{IAM}/{parent}/roles")["roles"]
    if name not in [role["name"] for role in listed]:
        made = f"gcloud iam roles create {id} --project={scene.settings.project}"
        scene.gcloud(f"{made} --permissions={CREATE},{DEPLOY}")
    scene.by_client()


def bound_as(scene: Scene) -> None:
    """An `up` with a grant of a role under a wrong name, until it has the role's full name."""
    full = scene.role("predictor")
    role = full if scene.cured else f"roles/{full.rpartition('/')[2]}"

    def declare(gcp: Any) -> None:
        member = f"serviceAccount:{scene.deployer}"
        gcp.projects.IAMMember("by-hand", project=scene.settings.project, role=role, member=member)

    up_with(scene, declare)


def with_permission(scene: Scene) -> None:
    """An `up` with a role of a permission that is none, until it is spelled right."""
    permission = DEPLOY if scene.cured else f"{DEPLOY}Model"

    def declare(gcp: Any) -> None:
        gcp.projects.IAMCustomRole(
            "by-hand",
            project=scene.settings.project,
            role_id="deployByHand",
            title="By hand",
            permissions=[permission],
        )

    up_with(scene, declare)


def up_with(scene: Scene, declare: Callable[[Any], None]) -> None:
    """An `up` of the stack's program with something more in it."""

    def program() -> None:
        stack_program()
        import pulumi_gcp as gcp

        declare(gcp)

    scene.run.engine.use(program)
    try:
        scene.up()
    finally:
        scene.run.engine.use(stack_program)


# How it is cured, where that is no command of the explanation's.


def done_right(scene: Scene) -> None:
    """Whoever deploys does it right the next time; nothing in the cloud is wrong."""


def wait_for(change: str) -> Act:
    def cure(scene: Scene) -> None:
        scene.settle(GOOGLES_MINUTES[change])
        scene.delay()

    return cure


def raised(quota: str) -> Act:
    return limited(quota, 1_000)


def copied(scene: Scene) -> None:
    """The artifact is copied into a bucket of the service's region."""
    near = scene.settings.artifacts_bucket
    name = "o/m%2Fmodel.joblib"
    scene.google.call("POST", f"{STORAGE}/b/{FAR}/{name}/copyTo/b/{near}/{name}", {})


def condition_put_right(scene: Scene) -> None:
    provider = f"projects/{scene.settings.project}/{POOL}/providers/{callers.PROVIDER}"
    condition = {"attributeCondition": "assertion.repository_owner == 'acme-edge'"}
    scene.google.call("PATCH", f"{IAM}/{provider}?updateMask=attributeCondition", condition)


CAUSES: Final = (
    Cause(
        "missing-endpoint-create",
        "The deployer's role lacks `aiplatform.endpoints.create`.",
        ENGINE,
        (lacks("deployer", CREATE), another_endpoint),
        up,
        Expected(said.PERMISSION, CREATE, table.DEPLOYER, fix=f"--add-permissions={CREATE}"),
        None,
        "the permission goes back into the role",
    ),
    Cause(
        "missing-deploy",
        "The deployer's role lacks `aiplatform.endpoints.deploy`.",
        ENGINE,
        (lacks("deployer", DEPLOY), another_machine),
        up,
        Expected(said.PERMISSION, DEPLOY, table.DEPLOYER, fix=f"--add-permissions={DEPLOY}"),
        None,
        "the permission goes back into the role",
    ),
    Cause(
        "no-act-as",
        "The deployer may not act as the account that models run as.",
        ENGINE,
        (lacks("servingAccountUser", ACT_AS), another_machine),
        up,
        Expected(said.PERMISSION, ACT_AS, table.DEPLOYER, "pm-serving@"),
        None,
        "the role on the serving account gets the permission again",
    ),
    Cause(
        "deploys-as-itself",
        "The model is to run as the deployer itself, which may not act as itself.",
        CLIENT,
        (deployer_reads_artifacts,),
        as_itself,
        Expected(said.PERMISSION, ACT_AS, "", "pm-deployer@"),
        None,
        "the deployer is granted to act as its own account",
    ),
    Cause(
        "caller-reads-no-artifact",
        "Whoever runs Pulumi may not read the artifact.",
        ENGINE,
        (lacks(table.PLATFORM, READ_OBJECT),),
        refreshing_up,
        Expected(said.PERMISSION, READ_OBJECT, table.PLATFORM),
        None,
        "the permission goes back into the platform's role",
    ),
    Cause(
        "agent-reads-no-artifact",
        "Vertex AI's service agent may not read the looked-up model's artifact; the call is "
        "accepted, and its operation fails.",
        ENGINE,
        (lacks("artifactReader", READ_OBJECT, in_source=True), another_machine),
        up,
        Expected(said.PERMISSION, READ_OBJECT, table.AGENT),
        None,
        "the permission goes back into the agent's role on the bucket of the source project",
    ),
    Cause(
        "no-model-read",
        "The model is in another project, where the deployer may not read it.",
        ENGINE,
        (no_source_reader, another_machine),
        up,
        Expected(said.PERMISSION, READ_MODEL, table.DEPLOYER, "projects/iot-models/"),
        None,
        "the deployer is granted the reader's role in the source project",
    ),
    Cause(
        "api-off",
        "The Vertex AI API is off in the project.",
        CLIENT,
        (api_off,),
        by_client,
        Expected(said.SERVICE, on="projects/iot-staging", fix=f"gcloud services enable {VERTEX}"),
        None,
        "the API is enabled",
    ),
    Cause(
        "api-just-enabled",
        "The API was enabled seconds ago.",
        CLIENT,
        (api_just_enabled,),
        by_client,
        Expected(said.SERVICE, on="projects/iot-staging", wait=True),
        wait_for("api"),
        "some minutes pass",
    ),
    Cause(
        "not-yet-propagated",
        "The permission was granted seconds ago.",
        CLIENT,
        (just_granted,),
        by_client,
        Expected(said.PERMISSION, CREATE, table.DEPLOYER, wait=True),
        wait_for("iam"),
        "some minutes pass",
    ),
    Cause(
        "wrong-project",
        "The project's id has a slip.",
        CLIENT,
        (),
        in_project,
        Expected(said.PROJECT, on="projects/iot-stagin", fix="gcloud projects list"),
        done_right,
        "the id is put right",
    ),
    Cause(
        "other-region",
        "The artifact is in a bucket of another region than the model.",
        CLIENT,
        (far_bucket,),
        with_upload,
        Expected(said.REGION, on=f"gs://{FAR}/m", fix="gcloud storage cp"),
        copied,
        "the artifact is copied into a bucket in the region",
        "How a model in another region than the endpoint is refused; the text is that of an "
        "artifact in another region.",
    ),
    Cause(
        "serving-quota",
        "The quota of processors for serving is used up.",
        ENGINE,
        (limited(CPU_QUOTA, 1), another_machine),
        up,
        Expected(said.QUOTA, on=CPU_QUOTA, fix="pulumi config set maxReplicas 1"),
        raised(CPU_QUOTA),
        "the quota is raised",
    ),
    Cause(
        "too-many-endpoints",
        "There are as many endpoints in the region as there may be.",
        CLIENT,
        (limited(ENDPOINT_QUOTA, 1),),
        by_client,
        Expected(said.QUOTA, on=ENDPOINT_QUOTA, fix="gcloud beta quotas info list"),
        raised(ENDPOINT_QUOTA),
        "the quota is raised",
        "Whether there is such a quota; the words are those of Vertex AI's other quotas.",
    ),
    Cause(
        "key-deleted",
        "The deployer's key was deleted.",
        CLIENT,
        (key_deleted,),
        with_key,
        Expected(said.CREDENTIAL, fix="--impersonate-service-account"),
        done_right,
        "the deployer is impersonated, without a key",
    ),
    Cause(
        "key-too-old",
        "The deployer's key is older than keys may be, and a rotation disabled it.",
        CLIENT,
        (key_rotated,),
        with_key,
        Expected(said.CREDENTIAL, fix="--impersonate-service-account"),
        done_right,
        "the deployer is impersonated, without a key",
    ),
    Cause(
        "condition-does-not-match",
        "The identity provider's attribute condition names another owner than the pipeline's.",
        CLIENT,
        (federated_elsewhere,),
        from_pipeline,
        Expected(said.FEDERATION, fix="--attribute-condition"),
        condition_put_right,
        "the condition names the right owner",
    ),
    Cause(
        "deleted-role",
        "The deployer's role was deleted, and a script makes one of the same id.",
        GCLOUD,
        (role_deleted,),
        with_its_role,
        Expected(said.ROLE, on="predictiveMaintenanceDeployer", fix="gcloud iam roles undelete"),
        None,
        "the role is undeleted",
    ),
    Cause(
        "wrong-role-name",
        "A custom role is granted as if it were one of Google's: `roles/ID`.",
        ENGINE,
        (),
        bound_as,
        Expected(said.ROLE, on="roles/predictiveMaintenance", fix="its full name"),
        done_right,
        "the grant has the role's full name",
    ),
    Cause(
        "no-such-permission",
        "A custom role has a permission that does not exist.",
        ENGINE,
        (),
        with_permission,
        Expected(said.ROLE, f"{DEPLOY}Model", fix="without it"),
        done_right,
        "the permission is spelled as Google does",
    ),
    # The last one: the cloud's clock runs ahead of the clients' from here on.
    Cause(
        "key-expired",
        "The organisation limits how long keys live, and the deployer's is over.",
        CLIENT,
        (key_expired,),
        with_key,
        Expected(said.CREDENTIAL, fix="--impersonate-service-account"),
        done_right,
        "the deployer is impersonated, without a key",
        "How an expired key is refused; here like a deleted one.",
    ),
)


def play(report: Report, causes: Iterable[Cause] = CAUSES) -> bool:
    """Play the causes on one cloud; True when each was explained and cured."""
    held = False
    with staged(report) as scene, scene.run.explained():
        for cause in causes:  # until one fails: what follows it would be no proof of anything
            with report.stage(cause.name) as stage:
                stage.note = _played(scene, cause, report)
        held = True
    return held


def _played(scene: Scene, cause: Cause, report: Report) -> str:
    """What was refused, explained and cured, shown as it comes. Raises StageFailed."""
    scene.cured = False
    for bring in cause.bring:
        bring(scene)
    text = _refusal(scene, cause)
    found = explained(text, scene.settings)
    told = [line for it in found for line in it.lines()]
    _show(report, cause, text, told)
    if faults := cause.expected.faults(found):
        raise StageFailed(f"{cause.name} is explained wrongly: {'; '.join(faults)}", text)
    scene.cured = True
    if cause.cure:
        cause.cure(scene)
    else:
        for command in found[0].fix["gcloud"]:
            # Whom the text does not name, whoever deployed knows.
            scene.gcloud(command.replace("=MEMBER", f"=serviceAccount:{scene.deployer}"))
    scene.settle()
    try:
        cause.deploy(scene)
    except Refused as error:
        raise StageFailed(f"{cause.name}: expected to pass when {cause.fix}", str(error)) from error
    return f"explained; {cause.fix}: passes"


def _refusal(scene: Scene, cause: Cause) -> str:
    try:
        cause.deploy(scene)
    except Refused as error:
        return str(error)
    raise StageFailed(f"{cause.name}: the deployment was expected to fail, and passed")


def _show(report: Report, cause: Cause, text: str, told: list[str]) -> None:
    show = report.console.print
    title = f"\n{cause.name}: {cause.what}"
    show(title, style="bold", highlight=False, markup=False, soft_wrap=True)
    for title, lines in (("Google's error", _last(text)), ("explained", told)):
        show(f"  {title}:", style="dim")
        for line in lines:
            show(f"    {line}", highlight=False, markup=False, soft_wrap=True)


def _last(text: str) -> list[str]:
    """What a text ends in: of a traceback, the exception."""
    lines = text.strip().splitlines()
    within = [number for number, line in enumerate(lines) if line.startswith("  File ")]
    return lines[within[-1] + 2 :] if within else lines


INTRODUCTION: Final = """\
# The thread's causes, played

Made from `rehearsal/causes.py` by `python -m rehearsal.causes`; do not edit.

```sh
.venv/bin/python -m rehearsal scenario all
.venv/bin/python -m rehearsal scenario no-act-as
```

Each is played on one rehearsed cloud with the staging stack: the cause is brought about, a
deployment fails with Google's error, `access explain` says what it is, the fix is applied, and the
same deployment passes. A fix in *italics* is carried out by the very commands that the explanation
prints.

| scenario | cause | met by | explained as | fix |
|---|---|---|---|---|
"""


def page() -> str:
    """docs/reference/scenarios.md."""
    rows = []
    for cause in CAUSES:
        expected = cause.expected
        told = expected.kind
        if expected.permission:
            whom = expected.identity or "somebody who is not named"
            lacks = f"{whom} lacks " if expected.kind == said.PERMISSION else ""
            told += f": {lacks}`{expected.permission}`"
        fix = cause.fix if cause.cure else f"*{cause.fix}*"
        rows.append(f"| `{cause.name}` | {cause.what} | {cause.met} | {told} | {fix} |")
    inferred = [f"`{it.name}`: {it.inferred}" for it in CAUSES if it.inferred]
    listed = [
        textwrap.fill(text, 100, initial_indent="- ", subsequent_indent="  ") for text in inferred
    ]
    lines = [*rows, "", "What nobody recorded of Google's answers:", "", *listed]
    return INTRODUCTION + "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(page(), end="")
