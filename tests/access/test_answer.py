"""What `access explain` answers: who, which line, the fix; for people and for programs."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pulumi_gcp as gcp
import pytest
from click.testing import CliRunner

from access import answer, sentences
from access.__main__ import main
from access.advice import ADVICE
from access.answer import explained, full_resource_name, settings_of
from access.explain import identity_of, place
from components import permissions as table
from components import routing, telemetry
from components.settings import Federation, Settings
from policies.gcp_access import roles

ROOT = Path(__file__).parents[2]
GITHUB = Federation.model_validate(
    {
        "ownerId": "1",
        "repositoryId": "2",
        "rolloutEnvironment": "production",
        "foundationEnvironment": "foundation",
    }
)
JOB = (
    "principal://iam.googleapis.com/projects/123456789012/locations/global/workloadIdentityPools/"
    "pm-github/subject/repo:acme@1/pumps@2"
)


@pytest.fixture(scope="module", params=["staging", "prod"])
def settings(request: pytest.FixtureRequest) -> Settings:
    return settings_of(request.param, ROOT)


CALLERS = ("user:ben@example.com", "serviceAccount:report@iot-other.iam.gserviceaccount.com")


def denied(permission: str, resource: str = "projects/p", who: str = "") -> str:
    needs = f"{who} does not have {permission} access to {resource}. " if who else ""
    return (
        f"{needs}Permission '{permission}' denied on resource '{resource}' (or it may not exist)."
    )


def answered(text: str, settings: Settings | None = None) -> dict[str, Any]:
    [found] = explained(text, settings)
    return found.data()


def member(need: table.Need, settings: Settings) -> str:
    match need.identity:
        case table.PLATFORM:
            return settings.platform_member.partition(":")[2]
        case table.REVIEWER:
            return (settings.preview_member or "").partition(":")[2]
        case table.CALLER:
            return settings.callers[0].partition(":")[2]
        case table.AGENT:
            return "service-123456789012@gcp-sa-aiplatform.iam.gserviceaccount.com"
        case table.PUBSUB_AGENT:
            return "service-123456789012@gcp-sa-pubsub.iam.gserviceaccount.com"
        case table.MONITORING_AGENT:
            return "service-123456789012@gcp-sa-monitoring-notification.iam.gserviceaccount.com"
        case table.PULL_REQUESTS:
            return f"{JOB}:pull_request"
        case table.ROLLOUT_JOBS:
            return f"{JOB}:environment:production"
        case table.FOUNDATION_JOBS:
            return f"{JOB}:environment:foundation"
    return settings.email(need.identity)


def test_each_line_is_answered_with_its_identity_and_a_fix(
    settings: Settings, show: Callable[[str], None]
) -> None:
    """Whoever is named, the answer is of his lines, and the fix gives him what he lacks."""
    settings = settings.model_copy(update={"federation": GITHUB, "callers": CALLERS})
    for need in table.NEEDS:
        data = answered(denied(need.permission, who=member(need, settings)), settings)
        assert data["identity"] == need.identity
        assert place(need) in [line["place"] for line in data["lines"]]
        assert {line["identity"] for line in data["lines"]} == {need.identity}
        commands = "\n".join(data["fix"]["gcloud"])
        assert f"--add-permissions={need.permission}" in commands
        assert "PROJECT" not in commands and "MEMBER" not in commands
    show(f"access explain: {len(table.NEEDS)} lines of the table answered in {settings.project}")


def test_the_fix_names_account_and_role_as_the_stack_has_them(settings: Settings) -> None:
    data = answered(denied("aiplatform.endpoints.create"), settings)
    [create, grant, where] = data["fix"]["pulumi"]
    role = settings.role_name("deployer")
    assert f'role_id="{settings.role_id("deployer")}"' in create
    assert f'"{role}", member="{settings.member(table.DEPLOYER)}"' in grant.replace("role=", "")
    assert data["lines"][0]["place"] in where
    [update, bind] = data["fix"]["gcloud"]
    assert update.endswith("--add-permissions=aiplatform.endpoints.create")
    assert f"--member={settings.member(table.DEPLOYER)} --role={role}" in bind


def test_a_capability_that_the_settings_lack_is_part_of_the_fix() -> None:
    text = denied("aiplatform.models.upload", who="pm-deployer@iot-prod.iam.gserviceaccount.com")
    prod, staging = (answered(text, settings_of(name, ROOT)) for name in ("prod", "staging"))
    assert "deployerMay" in prod["fix"]["pulumi"][0]
    assert "deployerMay" not in "\n".join(staging["fix"]["pulumi"])


@pytest.mark.parametrize("callers", [(), CALLERS])
def test_somebody_who_may_not_ask_is_told_to_be_one_of_callers(callers: tuple[str, ...]) -> None:
    """On this stack's endpoint; of another one no setting of it says anything."""
    stack = settings_of("staging", ROOT).model_copy(update={"callers": callers})
    for member in CALLERS:
        who = member.partition(":")[2]
        text = denied("aiplatform.endpoints.predict", stack.endpoint_name, who)
        data = answered(text, stack)
        assert data["identity"] == (table.CALLER if callers else "")
        (first, *_) = data["fix"]["pulumi"]
        if not callers:
            assert first.startswith(f"pulumi config set --path 'callers[0]' {member} ")
        else:
            assert f'member="{member}"' in "".join(data["fix"]["pulumi"])
    other = stack.endpoint_name.replace(stack.endpoint_id, "42")
    elsewhere = denied("aiplatform.endpoints.predict", other, "eve@example.com")
    assert "callers[" not in "".join(answered(elsewhere, stack)["fix"]["pulumi"])
    assert answered(denied("aiplatform.endpoints.predict"), stack)["identity"] == (
        "" if callers else table.TELEMETRY
    )


@pytest.mark.parametrize("prefix", ["pm-", "edge-iot-", "pm"])
def test_an_account_is_told_by_the_end_of_its_id(prefix: str) -> None:
    for identity in table.ACCOUNTS:
        assert identity_of(f"{prefix}{identity}@p-1.iam.gserviceaccount.com") == identity
    assert identity_of(f"{prefix}ci@p-1.iam.gserviceaccount.com") == ""
    assert identity_of("serving@example.com") == ""


def test_with_a_stack_the_same_name_elsewhere_is_a_stranger() -> None:
    staging = settings_of("staging", ROOT)
    assert identity_of("pm-serving@iot-staging.iam.gserviceaccount.com", staging) == table.SERVING
    assert identity_of("pm-serving@other.iam.gserviceaccount.com", staging) == ""
    assert identity_of("platform@example.com", staging) == table.PLATFORM
    assert identity_of("pull-requests@example.com", staging) == table.REVIEWER


@pytest.mark.parametrize(
    ("heading", "permission", "identity", "by"),
    [
        ("gcp:storage:Bucket (artifacts)", "storage.buckets.get", "platform", "the step"),
        ("gcp:storage/bucket:Bucket (artifacts)", "storage.buckets.get", "platform", "the step"),
        ("gcp:vertex:AiEndpoint (endpoint)", "aiplatform.endpoints.get", "deployer", "the step"),
        ("vertexops:index:ModelRollout (r)", "aiplatform.endpoints.get", "deployer", "the step"),
        ("", "aiplatform.endpoints.predict", "telemetry", "the table"),
        ("", "aiplatform.endpoints.get", "", ""),
        ("kubernetes:core/v1:Pod (p)", "aiplatform.endpoints.get", "", ""),
    ],
)
def test_who_is_told_by_the_step_where_nobody_is_named(
    heading: str, permission: str, identity: str, by: str
) -> None:
    data = answered(f"Diagnostics:\n  {heading}:\n    error: {denied(permission)}")
    assert (data["identity"], data["identity_by"]) == (identity, by)


def test_a_line_about_another_account_is_no_line_about_this_one(settings: Settings) -> None:
    """A model that runs as the deployer itself: nothing in the table lets it act as itself."""
    deployer = settings.email(table.DEPLOYER)
    text = (
        "google.api_core.exceptions.BadRequest: 400 POST https://aiplatform.googleapis.com/v1/"
        "projects/123/locations/l/endpoints/7:deployModel: You do not have permission to act as "
        f"service_account: {deployer}."
    )
    data = answered(text, settings)
    assert (data["permission"], data["lines"]) == ("iam.serviceAccounts.actAs", [])
    assert data["full_resource_name"].endswith(f"/serviceAccounts/{deployer}")
    [create, grant] = data["fix"]["gcloud"]
    assert f"--project={settings.project} " in create
    assert f"service-accounts add-iam-policy-binding {deployer} " in grant


def test_whom_the_text_does_not_name_is_not_guessed() -> None:
    [found] = explained(denied("aiplatform.endpoints.get"))
    told = "\n".join(found.lines())
    assert "the text does not say who" in told
    assert "step: deployer:" in told and "step: preview:" in told
    assert "# if it was the" in told
    assert found.data()["step"] == ""


def test_a_stranger_is_named_and_given_what_he_lacks_on_the_resource_alone() -> None:
    text = (
        "someone@example.com needs iam.serviceAccounts.ActAs (Service Account User) permission on "
        "VM Service Account projects/p-1/serviceAccounts/x@p-1.iam.gserviceaccount.com"
    )
    data = answered(text)
    assert (data["identity"], data["principal"]) == ("", "someone@example.com")
    assert "is not of this stack" in data["note"]
    assert data["roles"][0] == "roles/iam.serviceAccountUser"
    assert data["fix"]["gcloud"][-1].startswith(
        "gcloud iam service-accounts add-iam-policy-binding x@p-1.iam.gserviceaccount.com "
        "--member=user:someone@example.com"
    )


@pytest.mark.parametrize(
    ("permission", "resource", "role", "kind"),
    [
        (
            "secretmanager.versions.access",
            "projects/p-1/secrets/s/versions/1",
            "roles/secretmanager.secretAccessor",
            "gcp.secretmanager.SecretIamMember",
        ),
        (
            "cloudtasks.tasks.create",
            "projects/p-1/locations/us-central1/queues/q",
            "roles/cloudtasks.enqueuer",
            "gcp.cloudtasks.QueueIamMember",
        ),
        (
            "compute.instances.create",
            "projects/p-1/zones/z/instances/i",
            "roles/compute.instanceAdmin.v1",
            "gcp.projects.IAMMember",
        ),
        (
            "cloudkms.cryptoKeyVersions.useToEncrypt",
            "projects/p-1/locations/l/keyRings/r/cryptoKeys/k",
            "roles/cloudkms.cryptoKeyEncrypter",
            "gcp.kms.CryptoKeyIAMMember",
        ),
    ],
)
def test_what_the_table_does_not_cover_is_answered_from_the_catalogue(
    permission: str, resource: str, role: str, kind: str
) -> None:
    data = answered(denied(permission, resource))
    assert data["lines"] == [] and "no such line" in data["note"]
    assert role in data["roles"] and len(data["roles"]) <= 3
    for name in data["roles"]:
        assert permission in (roles.permissions(name) or ())
        assert "serviceagent" not in name.lower()
    assert any(line.startswith(f"{kind}(") for line in data["fix"]["pulumi"])
    assert any(f"--permissions={permission}" in line for line in data["fix"]["gcloud"])


KEY = "projects/iot-keys/locations/us-central1/keyRings/serving/cryptoKeys/staging"
STORAGE_KEY = (
    "googleapi: Error 403: Permission denied on Cloud KMS key. Please ensure that your Cloud "
    "Storage service account has been authorized to use this key., forbidden"
)
PUBSUB_KEY = (
    "Error creating Topic: googleapi: Error 400: Cloud Pub/Sub did not have the necessary "
    "permissions configured to support this operation. Please verify that the service account "
    "service-7@gcp-sa-pubsub.iam.gserviceaccount.com was granted the Cloud KMS CryptoKey "
    f"Encrypter/Decrypter role for the project containing the CryptoKey resource {KEY}."
)
BIGQUERY_KEY = (
    "googleapi: Error 403: Access Denied: BigQuery BigQuery: Cloud KMS Error: Permission "
    f"'cloudkms.cryptoKeyVersions.useToEncrypt' denied on resource '{KEY}' (or it may not exist). "
    "Please grant Cloud KMS CryptoKey Encrypter/Decrypter role to BigQuery service account: "
    "bq-7@bigquery-encryption.iam.gserviceaccount.com, accessDenied"
)
VERTEX_KEY = denied("cloudkms.cryptoKeyVersions.useToDecrypt", KEY)


@pytest.mark.parametrize(
    ("text", "identity", "member"),
    [
        (STORAGE_KEY, table.STORAGE_AGENT, "service-NUMBER@gs-project-accounts."),
        (PUBSUB_KEY, table.PUBSUB_AGENT, "service-7@gcp-sa-pubsub."),
        (BIGQUERY_KEY, table.BIGQUERY_AGENT, "bq-7@bigquery-encryption."),
        (VERTEX_KEY, "", "MEMBER"),
    ],
)
def test_an_agent_gets_the_use_of_the_stacks_key_whole(
    text: str, identity: str, member: str
) -> None:
    data = answered(text, settings_of("staging", ROOT))
    assert data["identity"] == identity
    assert "components/encryption.py lets Google's agents use it" in data["note"]
    assert "no such line" not in data["note"]
    [pulumi], [gcloud] = data["fix"]["pulumi"], data["fix"]["gcloud"]
    assert pulumi.startswith("gcp.kms.CryptoKeyIAMMember(") and member in pulumi
    assert '"iot-keys/us-central1/serving/staging"' in pulumi
    assert "kms keys add-iam-policy-binding staging --keyring=serving" in gcloud
    assert gcloud.endswith("--role=roles/cloudkms.cryptoKeyEncrypterDecrypter")


def test_of_a_key_that_nobody_names_the_command_is_told_with_a_gap() -> None:
    data = answered(STORAGE_KEY)
    assert data["fix"]["pulumi"] == []
    [line] = data["fix"]["gcloud"]
    assert line.startswith("gcloud storage service-agent") and line.endswith("=KEY")
    data = answered(
        "Permission denied on Cloud KMS key. Please ensure your Artifact Registry service account "
        "has been authorized to use the configured key."
    )
    [line] = data["fix"]["gcloud"]
    assert line.startswith("gcloud kms keys add-iam-policy-binding KEY --member=")


def test_a_permission_for_organisations_goes_into_no_role_of_a_project() -> None:
    data = answered(denied("resourcemanager.organizations.setIamPolicy", "organizations/1"))
    assert not any("IAMCustomRole" in line for line in data["fix"]["pulumi"])
    assert data["roles"][0] in data["fix"]["gcloud"][0]


def test_what_the_text_does_not_say_the_log_will() -> None:
    data = answered("Error 403: The caller does not have permission, forbidden")
    assert (data["kind"], data["permission"], data["identity"]) == ("unsaid", "", "")
    assert "does not say" in data["note"]
    [query] = data["fix"]["gcloud"]
    assert "protoPayload.status.code=7" in query and "authorizationInfo" in query
    assert shlex.split(query)[:3] == ["gcloud", "logging", "read"]


def test_an_unsaid_denial_of_a_known_call_suggests_its_permission() -> None:
    said = "ERROR: (gcloud.pubsub.topics.publish) PERMISSION_DENIED: The caller does not have "
    data = answered(f"{said}permission")
    assert data["kind"] == "unsaid" and "pubsub.topics.publish" in data["note"]


def test_rates_and_allocations_are_told_apart() -> None:
    rate = answered(
        "Quota exceeded for quota metric 'Online prediction requests' and limit 'Online prediction "
        "requests per minute per region' of service 'aiplatform.googleapis.com' for consumer "
        "'project_number:1'."
    )
    allocation = answered("Quota 'N2_CPUS' exceeded.  Limit: 8.0 in region us-east1.")
    serving = answered(
        "429 The following quotas are exceeded: CustomModelServingCPUsPerProjectPerRegion 8"
    )
    assert "a rate quota" in rate["note"] and rate["wait"]
    assert "an allocation quota" in allocation["note"] and not allocation["wait"]
    assert "maxReplicas" in serving["note"] and "maxReplicas" in serving["fix"]["pulumi"][0]
    for data in (rate, allocation, serving):
        assert data["fix"]["gcloud"]


def test_a_permission_that_is_none_gets_the_nearest_name() -> None:
    data = answered("googleapi: Error 400: Permission aiplatform.models.deploy is not valid.")
    assert data["kind"] == "role" and "the nearest is aiplatform." in data["note"]
    data = answered("googleapi: Error 400: Permission resourcemanager.projects.list is not valid.")
    assert "only for organisations or folders" in data["note"]


@pytest.mark.parametrize(
    ("resource", "permission", "full"),
    [
        ("gs://b/a/o", "", "//storage.googleapis.com/projects/_/buckets/b/objects/a/o"),
        ("b", "storage.objects.list", "//storage.googleapis.com/projects/_/buckets/b"),
        (
            "p-1:d.t",
            "bigquery.tables.get",
            "//bigquery.googleapis.com/projects/p-1/datasets/d/tables/t",
        ),
        ("p-1", "bigquery.jobs.create", "//cloudresourcemanager.googleapis.com/projects/p-1"),
        ("projects/p-1", "iam.roles.create", "//cloudresourcemanager.googleapis.com/projects/p-1"),
        (
            "x@p-1.iam.gserviceaccount.com",
            "iam.serviceAccounts.actAs",
            "//iam.googleapis.com/projects/-/serviceAccounts/x@p-1.iam.gserviceaccount.com",
        ),
        (
            "projects/p-1/locations/l/endpoints/1",
            "aiplatform.endpoints.get",
            "//aiplatform.googleapis.com/projects/p-1/locations/l/endpoints/1",
        ),
        ("//a.googleapis.com/x", "y.z.get", "//a.googleapis.com/x"),
        ("", "storage.objects.get", ""),
    ],
)
def test_resources_get_the_full_name_that_google_documents(
    resource: str, permission: str, full: str
) -> None:
    assert full_resource_name(resource, permission) == full


def test_the_table_of_sentences_is_sound() -> None:
    used = {row.about for row in sentences.SENTENCES} | {it[2] for it in sentences.REASONS.values()}
    assert used - {""} <= set(ADVICE)
    assert set(ADVICE) <= used | {"by the call"}
    for row in sentences.SENTENCES:
        assert row.kind in sentences.KINDS and row.source, row
        assert row.regex.search("") is None, row
        if row.permission and "{" not in row.permission:
            assert roles.exists(row.permission), row
        if row.kind not in (sentences.PERMISSION, sentences.UNSAID):
            assert row.about, row


def test_what_a_fix_declares_is_there_to_be_declared() -> None:
    source = "".join((ROOT / "access" / file).read_text() for file in ("answer.py", "advice.py"))
    named = set(re.findall(r"\bgcp\.([a-z]+)\.([A-Z]\w+)", source))
    assert len(named) > 15
    assert [name for name in sorted(named) if not hasattr(getattr(gcp, name[0]), name[1])] == []


def test_of_every_capability_it_is_said_what_sets_it_and_where_it_applies() -> None:
    every = {*table.CAPABILITIES, *table.FOLLOWING}
    assert answer._SETTINGS.keys() == answer._WHY.keys() == every


def test_names_of_the_stacks_own_resources_are_its_components() -> None:
    assert answer.NAMES[table.TOPIC] == telemetry.TOPIC
    assert answer.NAMES[table.DEAD_LETTERS] == telemetry.DEAD_LETTERS
    assert answer.NAMES[table.LOST] == telemetry.DEAD_LETTERS
    assert answer.NAMES[table.TABLES] == telemetry.DATASET
    assert answer.NAMES[table.RISKS] == routing.RISKS
    assert settings_of("staging", ROOT).account_prefix == answer.BASIC["accountPrefix"]
    assert settings_of("staging", ROOT).role_prefix == answer.BASIC["rolePrefix"]


def run(*arguments: str, text: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["explain", *arguments], input=text)
    return result.exit_code, result.output


def test_the_command_prints_data_for_programs() -> None:
    code, output = run("--json", text=denied("aiplatform.endpoints.create"))
    [data] = json.loads(output)
    assert code == 0
    assert {
        *("kind", "permission", "resource", "identity", "principal", "step", "lines", "roles"),
        *("fix", "note", "quote"),
    } <= data.keys()


def test_the_command_numbers_several_denials() -> None:
    texts = [denied("aiplatform.endpoints.create"), denied("storage.buckets.create")]
    code, output = run(text="\n".join(texts))
    assert code == 0
    assert re.findall(r"^(\d)\. (\w+) lacks (\S+)", output, re.M) == [
        ("1", "deployer", "aiplatform.endpoints.create"),
        ("2", "platform", "storage.buckets.create"),
    ]


def test_the_command_names_a_stack_that_is_none() -> None:
    code, output = run("--stack", "nowhere", text=denied("aiplatform.endpoints.create"))
    assert code == 1 and "Pulumi.nowhere.yaml" in output


def test_bytes_that_are_no_text_are_read_over(tmp_path: Path) -> None:
    log = tmp_path / "up.log"
    log.write_bytes(b"\xff\xfe\x00 " + denied("aiplatform.endpoints.create").encode())
    result = CliRunner().invoke(main, ["explain", str(log)])
    assert result.exit_code == 0 and "deployer lacks" in result.output
