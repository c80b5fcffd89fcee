"""Whole rehearsals, run as a user runs them. Each takes as long as the rehearsal itself."""

import re

import pytest

from components import permissions as table
from rehearsal.environment import clearblade
from tests.rehearsal.playing import BARE, ROOT, play

DEPLOYER = "serviceAccount:pm-deployer@iot-staging.iam.gserviceaccount.com"


@pytest.mark.sweep
def test_staging_is_rehearsed_from_preview_to_nothing_left() -> None:
    code, output, summary = play("up", "staging")
    assert code == 0, output
    assert summary["passed"] is True
    assert summary["predictions"] >= 1_000
    assert summary["roc_auc"] > 0.9
    assert summary["resources"] > 110
    assert summary["http_requests"] > summary["predictions"]
    assert summary["refused_hosts"] == {}
    assert summary["violations"] == []
    stages = {"preview", "up", "predict", "watch drift", "watch", "up again", "refresh", "destroy"}
    assert stages <= set(summary["stages"])
    spare = {
        identity: set(held["granted"]) - set(held["used"])
        for identity, held in summary["identities"].items()
        if identity not in (table.PREVIEW, table.REVIEWER)  # have a scenario of their own
    }
    # What a first deployment has no use for: a role that was deleted before, and later changes.
    assert spare.pop("platform") == {
        "bigquery.tables.update",
        "iam.roles.undelete",
        "iam.roles.update",
        "logging.logMetrics.update",
        "monitoring.alertPolicies.update",
        "monitoring.dashboards.update",
        "monitoring.notificationChannels.update",
        "monitoring.services.update",
        "monitoring.slos.update",
        "pubsub.schemas.commit",
        "pubsub.subscriptions.update",
        "pubsub.topics.update",
        "storage.buckets.update",
    }
    # A rollout would change the monitoring job, and an `up` resume one that somebody paused.
    job = "aiplatform.modelDeploymentMonitoringJobs"
    assert spare.pop("deployer") == {f"{job}.resume", f"{job}.update"}
    assert not any(spare.values()), spare
    # The stack's version was the default, beside one that a colleague had registered.
    assert "aiplatform.models.update" in summary["identities"]["deployer"]["used"]
    routed = summary["telemetry"]
    assert (routed["readings"], routed["dead_letters"]) == (5_000, 5)
    assert routed["alarms"] > 0 and routed["precision"] > 0.9 and routed["recall"] > 0.9
    assert re.search(r"✓ keep apart +[\d.]+ s +7 of 7 attempts refused", output), output
    drift = summary["drift"]
    assert (drift["shifted"], drift["anomalies"]) == ("f4", ["f4"])
    far = {it for it, found in drift["distances"].items() if found["shifted"] > found["threshold"]}
    assert far == {"f4"}
    assert summary["incidents"] >= 7
    assert re.search(
        r"✓ watch .* of 7 kinds opened, landed and closed; a quiet hour none; 7 charts have data",
        output,
    ), output


@pytest.mark.sweep
def test_prod_is_rehearsed_and_refuses_to_be_destroyed() -> None:
    code, output, summary = play("up", "prod")
    assert code == 0, output
    assert "refuse to destroy" in summary["stages"]
    assert summary["violations"] == []
    assert "aiplatform.endpoints.delete" not in summary["identities"]["deployer"]["granted"]


@pytest.mark.parametrize(
    ("arguments", "text", "denial"),
    [
        (
            ["--without", "aiplatform.endpoints.create"],
            "Error 403: Permission 'aiplatform.endpoints.create' denied on resource "
            "'//aiplatform.googleapis.com/projects/iot-staging/locations/us-central1'",
            {"permission": "aiplatform.endpoints.create", "identity": "deployer"},
        ),
        pytest.param(
            ["--without", "iam.serviceAccounts.actAs"],
            "You do not have permission to act as service_account: "
            "pm-serving@iot-staging.iam.gserviceaccount.com",
            {"permission": "iam.serviceAccounts.actAs", "identity": "deployer"},
            marks=pytest.mark.sweep,
        ),
        pytest.param(
            ["--without", "storage.objects.get"],
            "platform@example.com does not have storage.objects.get access to the Google Cloud "
            "Storage object",
            {"permission": "storage.objects.get", "identity": "platform"},
            marks=pytest.mark.sweep,
        ),
        pytest.param(
            ["--without", "platform:iam.serviceAccounts.create"],
            "iam.serviceAccounts.create",
            {"permission": "iam.serviceAccounts.create", "identity": "platform"},
            marks=pytest.mark.sweep,
        ),
        pytest.param(
            ["--without", "serving:storage.objects.get"],
            "pm-serving@iot-staging.iam.gserviceaccount.com does not have storage.objects.get "
            "access to the Google Cloud Storage object",
            {"permission": "storage.objects.get", "identity": "serving"},
            marks=pytest.mark.sweep,
        ),
        pytest.param(
            ["--without", "aiplatform.models.get"],
            "Permission 'aiplatform.models.get' denied on resource "
            "'//aiplatform.googleapis.com/projects/iot-models/locations/us-central1/models/"
            "shuttle-baseline",
            {"permission": "aiplatform.models.get", "identity": "deployer"},
            marks=pytest.mark.sweep,
        ),
        (
            ["--without-api", "aiplatform.googleapis.com"],
            "Vertex AI API has not been used in project iot-staging before or it is disabled",
            {"resource": "projects/iot-staging"},
        ),
    ],
)
def test_what_is_missing_shows_as_googles_own_error(
    arguments: list[str], text: str, denial: dict[str, str]
) -> None:
    code, output, summary = play("up", "staging", *BARE, *arguments)
    assert code == 1
    assert text in output.replace("\n", " ")
    assert {key: summary["denial"][key] for key in denial} == denial


def test_a_broad_grant_in_prod_is_stopped_before_anything_is_created() -> None:
    code, output, summary = play("up", "prod", "--with-grant", "roles/aiplatform.user")
    assert code == 1
    assert "stopped by the policy pack" in output
    assert "roles/aiplatform.user: 446 permissions" in output
    assert "up" not in summary["stages"]


@pytest.mark.sweep
def test_a_broad_grant_in_staging_is_advised_and_goes_on() -> None:
    code, output, summary = play("up", "staging", "--with-grant", "roles/aiplatform.user")
    assert code == 0, output
    assert "advice:" in output
    assert "roles/aiplatform.user: 446 permissions" in output
    assert "destroy" in summary["stages"]


@pytest.mark.sweep
@pytest.mark.parametrize(
    "member",
    [
        "principalSet://iam.googleapis.com/projects/31415/locations/global/"
        "workloadIdentityPools/github/attribute.repository_id/42",
        "serviceAccount:pipeline@acme-ci.iam.gserviceaccount.com",
    ],
)
def test_a_pipeline_deploys_the_stack_as_itself(member: str) -> None:
    code, output, summary = play("up", "staging", "--set", f"platformMember={member}")
    assert code == 0, output
    assert "iam.roles.create" in summary["identities"]["platform"]["used"]


@pytest.mark.sweep
def test_the_threads_story_is_played_and_cured() -> None:
    code, output, _ = play("scenario", "registry-editor-only")
    assert code == 0, output
    assert "Permission 'aiplatform.endpoints.create' denied" in output


@pytest.mark.sweep
def test_a_model_update_fails_no_prediction() -> None:
    code, output, _ = play("scenario", "model-update")
    assert code == 0, output
    assert "0 failed; old version gone" in output
    assert "✓ put a name right" in output


@pytest.mark.sweep
def test_a_canary_is_promoted_and_rolled_back_and_bad_ones_are_stopped() -> None:
    """The scenario fails when a share is off by more than 3 points, when a prediction fails before
    a bad version is there, and when a bad one is not stopped or has changed anything."""
    code, output, _ = play("scenario", "canary")
    assert code == 0, output
    assert len(re.findall(r"% of [34],\d+ requests; 0 failed", output)) == 4, output
    for stage in ("a slow one", "a failing one", "one with too few requests", "destroy"):
        assert f"✓ {stage}" in output, output


@pytest.mark.sweep
def test_a_reviewer_sees_what_a_pull_request_changes_and_needs_no_spare_permission() -> None:
    code, output, _ = play("scenario", "pull-request")
    assert code == 0, output
    assert re.search(r"✓ nothing changed +[\d.]+ s +(\d+) same\n", output), output
    assert re.search(r"✓ something changed +[\d.]+ s +\d+ same, 5 update\n", output), output
    assert re.search(r"✓ look for drift +[\d.]+ s +(\d+) same\n", output), output
    assert re.search(r"preview +(\d+) +\1 +none", output), output


@pytest.mark.sweep
def test_devices_are_told_where_to_ask_and_no_key_is_shown() -> None:
    code, output, _ = play("scenario", "devices")
    assert code == 0, output
    told = "1 gateways and 2 devices told, config version {}; no key in "
    assert re.search(f"✓ tell the registry .* {told.format(1)}", output), output
    assert re.search(f"✓ tell the registry again .* {told.format(2)}", output), output
    assert re.search(r"✓ up again +[\d.]+ s +\d+ same\n", output), output
    assert "✓ look for keys" in output
    keys = clearblade("iot-staging")
    secrets = [keys["token"].encode(), keys["systemKey"].encode()]
    left = [path for path in (ROOT / "build").rglob("*") if path.is_file()]
    contents = [output.encode(), *(path.read_bytes() for path in left)]
    assert not [1 for content in contents for secret in secrets if secret in content]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["up", "nowhere"], "there is no Pulumi.nowhere.yaml; the stacks are prod, staging"),
        (["up", "staging", "--without", "no.such.permission"], "no line of the permission table"),
        (
            ["up", "staging", "--without", "nobody:iam.roles.get"],
            "nobody is none of the identities",
        ),
        (
            ["up", "staging", "--with-grant", "roles/iot.registryEditor"],
            "roles/iot.* never existed, and roles/cloudiot.* give access to nothing since",
        ),
        (["up", "staging", "--provider", "official"], "`make plugin` installs it"),
    ],
)
def test_a_bad_argument_is_named_with_what_would_do(arguments: list[str], said: str) -> None:
    code, output, _ = play(*arguments)
    assert code != 0
    assert said in output.replace("\n", " ")
