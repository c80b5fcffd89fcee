import pytest
from click.testing import CliRunner

from access.__main__ import main
from access.explain import explain, find, lines_of, place
from components import permissions as table

DENIED = (
    "Error creating Endpoint: googleapi: Error 403: Permission 'aiplatform.endpoints.create' "
    "denied on resource '//aiplatform.googleapis.com/projects/p/locations/us-central1' "
    "(or it may not exist)."
)


@pytest.mark.parametrize(
    ("text", "kind", "permission", "resource"),
    [
        (
            DENIED,
            "permission",
            "aiplatform.endpoints.create",
            "//aiplatform.googleapis.com/projects/p/locations/us-central1",
        ),
        (
            "PermissionDenied: 403 POST https://…\nIAM permission 'aiplatform.endpoints.create' "
            "denied\nat VertexAIClient.deploy(vertex_client.py:245)",
            "permission",
            "aiplatform.endpoints.create",
            "",
        ),
        (
            "400 You do not have permission to act as service_account: "
            "s@p.iam.gserviceaccount.com. (or it may not exist).",
            "permission",
            "iam.serviceAccounts.actAs",
            "s@p.iam.gserviceaccount.com",
        ),
        (
            "s@p.iam.gserviceaccount.com does not have storage.objects.get access to the Google "
            "Cloud Storage object. Permission 'storage.objects.get' denied on resource (or it may "
            "not exist).",
            "permission",
            "storage.objects.get",
            "",
        ),
        (
            "Vertex AI API has not been used in project p before or it is disabled. Enable it by",
            "service",
            "",
            "projects/p",
        ),
        (
            "429 The following quotas are exceeded: CustomModelServingCPUsPerProjectPerRegion 8",
            "quota",
            "",
            "CustomModelServingCPUsPerProjectPerRegion",
        ),
    ],
)
def test_googles_own_texts_are_recognised(
    text: str, kind: str, permission: str, resource: str
) -> None:
    denial = find(f"error: update failed\n  {text}\n")
    assert denial is not None
    assert (denial.kind, denial.permission, denial.resource) == (kind, permission, resource)


@pytest.mark.parametrize(
    ("text", "permission", "resource"),
    [
        # googleapis/google-cloud-java#7631
        (
            "Error creating Dataset: googleapi: Error 403: Access Denied: Project iot-staging: "
            "User does not have bigquery.datasets.create permission in project iot-staging., "
            "accessDenied",
            "bigquery.datasets.create",
            "iot-staging",
        ),
        # terraform-provider-google#9577
        (
            "Error reading Dataset: googleapi: Error 403: Access Denied: Dataset "
            "iot-staging:request_logs: Permission bigquery.datasets.get denied on dataset "
            "iot-staging:request_logs (or it may not exist)., accessDenied",
            "bigquery.datasets.get",
            "iot-staging:request_logs",
        ),
        # terraform-provider-google#10103
        (
            'Error applying IAM policy for project "iot-staging": Error setting IAM policy for '
            'project "iot-staging": googleapi: Error 403: Policy update access denied., forbidden',
            "resourcemanager.projects.setIamPolicy",
            "iot-staging",
        ),
        # terraform-provider-google#11680
        (
            "Error creating the custom project role projects/iot-staging/roles/deployer: "
            "googleapi: Error 403: You don't have permission to create a role in "
            "projects/iot-staging., forbidden",
            "iam.roles.create",
            "projects/iot-staging",
        ),
        # hashicorp/vault-plugin-secrets-gcp#12
        (
            "Error creating service account: googleapi: Error 403: Permission "
            "iam.serviceAccounts.create is required to perform this operation on project "
            "projects/iot-staging., forbidden",
            "iam.serviceAccounts.create",
            "projects/iot-staging",
        ),
        # dynatrace-oss/dynatrace-gcp-monitor#25
        (
            "error is: 403 => {'error': {'code': 403, 'message': 'Permission "
            "monitoring.timeSeries.create denied (or the resource may not exist).', 'status': "
            "'PERMISSION_DENIED'}}",
            "monitoring.timeSeries.create",
            "",
        ),
        # LeanerCloud/CUDly#247
        (
            "failed to list regions: googleapi: Error 403: Required 'compute.regions.list' "
            "permission for 'projects/serene-bazaar-666'",
            "compute.regions.list",
            "projects/serene-bazaar-666",
        ),
        # GoogleCloudPlatform/terraform-gcp-datadog-integration#2
        (
            "googleapi: Error 403: Permission 'secretmanager.versions.access' denied for resource "
            "'projects/x/secrets/datadog-api/versions/1' (or it may not exist).",
            "secretmanager.versions.access",
            "projects/x/secrets/datadog-api/versions/1",
        ),
        # aquasecurity/cloudsploit#1606
        (
            "Permission denied to list services for consumer container [projects/123] Help Token: "
            "AYJSUtl",
            "serviceusage.services.list",
            "projects/123",
        ),
    ],
)
def test_services_own_words_are_recognised(text: str, permission: str, resource: str) -> None:
    denial = find(text)
    assert denial is not None
    assert (denial.kind, denial.permission, denial.resource) == ("permission", permission, resource)


def test_an_api_is_recognised_whatever_its_title() -> None:
    # openshift/installer#2187
    denial = find(
        "Error 403: Identity and Access Management (IAM) API has not been used in project "
        "123456789012 before or it is disabled. Enable it by visiting"
    )
    assert denial is not None
    assert (denial.kind, denial.resource) == ("service", "projects/123456789012")


def test_other_errors_are_no_denials() -> None:
    assert find("connection refused") is None


def test_the_first_of_several_denials_is_explained() -> None:
    second = DENIED.replace("endpoints.create", "endpoints.deploy")
    denial = find(f"{DENIED}\n{second}")
    assert denial is not None
    assert denial.permission == "aiplatform.endpoints.create"


@pytest.mark.parametrize("need", table.NEEDS, ids=lambda need: f"{need.identity} {need.step}")
def test_every_line_of_the_table_can_be_pointed_at(need: table.Need) -> None:
    file, _, number = place(need).partition(":")
    assert file == "components/permissions.py"
    with open(file) as source:
        assert need.permission in source.read().splitlines()[int(number) - 1]


def test_an_explanation_names_step_identity_permission_and_resource() -> None:
    denial = find(DENIED)
    assert denial is not None
    text = "\n".join(explain(denial, table.DEPLOYER))
    assert "deployer lacks aiplatform.endpoints.create" in text
    assert "projects/p/locations/us-central1" in text
    assert "create the endpoint" in text


def test_a_permission_that_no_step_needs_is_said_to_be_so() -> None:
    denial = find("Permission 'compute.instances.create' denied on resource 'x'")
    assert denial is not None
    assert "no such line" in explain(denial)[-1]
    assert lines_of("compute.instances.create") == []


def test_the_command_explains_what_it_is_fed() -> None:
    result = CliRunner().invoke(main, ["explain"], input=DENIED)
    assert result.exit_code == 0
    assert "step: create the endpoint" in result.output


def test_the_command_says_when_there_is_nothing_to_explain() -> None:
    result = CliRunner().invoke(main, ["explain"], input="all is well")
    assert result.exit_code == 1
    assert "no denial found" in result.output


def test_a_role_is_printed_as_gcloud_reads_it() -> None:
    result = CliRunner().invoke(main, ["role", "deployer", "--may", "register"])
    assert result.exit_code == 0
    assert "- aiplatform.models.upload" in result.output
    assert "aiplatform.endpoints.delete" not in result.output


@pytest.mark.parametrize(
    ("identity", "permission"),
    [("platform", "iam.serviceAccounts.getAccessToken"), ("deployer", "iam.serviceAccounts.actAs")],
)
def test_a_projects_role_leaves_out_what_is_granted_on_one_account(
    identity: str, permission: str
) -> None:
    """On the project it would hold for every account there is."""
    assert permission in {need.permission for need in table.NEEDS if need.identity == identity}
    result = CliRunner().invoke(main, ["role", identity])
    assert result.exit_code == 0
    assert permission not in result.output
