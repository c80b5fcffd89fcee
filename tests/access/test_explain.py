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
