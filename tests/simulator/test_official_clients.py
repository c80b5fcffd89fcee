"""Google's own Python clients, unmodified, against the simulator: one story each.

`google-cloud-iam`'s admin client speaks gRPC only, which a proxy for HTTP/1.1 does not carry; the
same API is asked through `googleapiclient`. google-auth's flows are in test_identity_*.py.
"""

from __future__ import annotations

import io
import json
import subprocess
import sys

import pytest
from google.api_core.exceptions import Conflict, Forbidden, NotFound, PreconditionFailed
from google.cloud import bigquery, iam_credentials_v1, resourcemanager_v3, storage
from google.iam.v1 import policy_pb2
from googleapiclient.errors import HttpError
from googleapiclient.http import MediaIoBaseUpload

from simulator.identity.tokens import Identity
from simulator.services.resourcemanager import Projects
from simulator.services.serviceusage import Services
from tests.simulator.support.service import IMAGE, PROJECT, REGION, Sandbox, artifact, email

PROJECT_NAME = f"projects/{PROJECT}"


def test_googleapiclient_makes_an_account_and_meets_googles_errors(sandbox: Sandbox) -> None:
    sandbox.cloud[Services].seed(PROJECT, ["iam.googleapis.com"])
    accounts = sandbox.google("iam", "v1").projects().serviceAccounts()
    body = {"accountId": "robot-arm", "serviceAccount": {"displayName": "Robot"}}
    made = accounts.create(name=PROJECT_NAME, body=body).execute()
    assert made["email"] == email("robot-arm")
    listed = []
    request = accounts.list(name=PROJECT_NAME, pageSize=2)
    while request is not None:
        page = request.execute()
        listed += [account["email"] for account in page["accounts"]]
        request = accounts.list_next(request, page)
    made_by_google = (
        f"{sandbox.cloud[Projects].number(PROJECT)}-compute@developer.gserviceaccount.com"
    )
    ours = (email(name) for name in ("admin", "deployer", "robot-arm", "serving"))
    assert listed == sorted([made_by_google, *ours])
    with pytest.raises(HttpError) as twice:
        accounts.create(name=PROJECT_NAME, body=body).execute()
    assert twice.value.resp.status == 409
    with pytest.raises(HttpError) as denied:
        theirs = sandbox.google("iam", "v1", "serving").projects().serviceAccounts()
        theirs.create(name=PROJECT_NAME, body=body).execute()
    assert denied.value.resp.status == 403
    assert denied.value.error_details[0]["metadata"]["permission"] == "iam.serviceAccounts.create"


def test_googleapiclient_uploads_an_object_in_pieces(sandbox: Sandbox) -> None:
    sandbox.bucket()
    content = bytes(range(256)) * 2048
    media = MediaIoBaseUpload(io.BytesIO(content), "text/plain", chunksize=262_144, resumable=True)
    request = (
        sandbox.google("storage", "v1")
        .objects()
        .insert(bucket="iot-prod-models", name="big", media_body=media)
    )
    answer, pieces = None, 0
    while answer is None:
        _, answer = request.next_chunk()
        pieces += 1
    assert (answer["size"], pieces) == (str(len(content)), 2)
    assert sandbox.storage().bucket("iot-prod-models").blob("big").download_as_bytes() == content


def test_the_storage_client_writes_lists_and_guards_by_generation(sandbox: Sandbox) -> None:
    client: storage.Client = sandbox.storage()
    bucket = client.create_bucket("iot-prod-data", location=REGION)
    with pytest.raises(Conflict):
        client.create_bucket("iot-prod-data", location=REGION)
    for name in ("a/1", "a/2", "b/1"):
        bucket.blob(name).upload_from_string(name, if_generation_match=0)
    with pytest.raises(PreconditionFailed):
        bucket.blob("a/1").upload_from_string("again", if_generation_match=0)
    assert [blob.name for blob in client.list_blobs(bucket, prefix="a/", page_size=1)] == [
        "a/1",
        "a/2",
    ]
    with pytest.raises(Forbidden, match=r"storage\.objects\.get"):
        sandbox.storage("serving").bucket("iot-prod-data").blob("a/1").download_as_bytes()
    policy = bucket.get_iam_policy(requested_policy_version=3)
    policy.bindings.append(
        {
            "role": "roles/storage.objectViewer",
            "members": {f"serviceAccount:{email('serving')}"},
        }
    )
    bucket.set_iam_policy(policy)
    theirs = sandbox.storage("serving").bucket("iot-prod-data")
    assert theirs.blob("a/1").download_as_bytes() == b"a/1"
    assert theirs.test_iam_permissions(["storage.objects.get", "storage.objects.delete"]) == [
        "storage.objects.get"
    ]
    bucket.delete(force=True)
    with pytest.raises(NotFound):
        client.get_bucket("iot-prod-data")


# A program of its own: the SDK takes 80 MB, which this process would not give back.
VERTEX_SDK = """
import sys

from google.cloud import aiplatform
from google.oauth2.credentials import Credentials

project, region, token, uri, image = sys.argv[1:]
aiplatform.init(
    project=project, location=region, credentials=Credentials(token), api_transport="rest"
)
model = aiplatform.Model.upload(
    display_name="failure", artifact_uri=uri, serving_container_image_uri=image
)
endpoint = aiplatform.Endpoint.create(display_name="pm")
model.deploy(endpoint, machine_type="n1-standard-2", traffic_percentage=100)
assert endpoint.predict([[3.0, 0.0], [-3.0, 0.0]]).predictions == [1.0, 0.0]
assert list(endpoint.traffic_split.values()) == [100]
assert [found.resource_name for found in aiplatform.Endpoint.list()] == [endpoint.resource_name]
endpoint.undeploy_all()
endpoint.delete()
model.delete()
assert aiplatform.Model.list() == []
print("done")
"""


def test_the_vertex_sdk_uploads_deploys_and_predicts(sandbox: Sandbox) -> None:
    """The SDK polls on the wall clock, so operations finish at once here."""
    sandbox.cloud.delays.operation = 0
    uri = sandbox.bucket(**{"model.joblib": artifact()})
    token = sandbox.cloud[Identity].access_token(email("admin"))
    done = subprocess.run(
        [sys.executable, "-c", VERTEX_SDK, PROJECT, REGION, token, uri, IMAGE],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.endswith("done\n"), done.stderr


def test_the_bigquery_client_keeps_etags_and_streams_rows(sandbox: Sandbox) -> None:
    client: bigquery.Client = sandbox.bigquery()
    dataset = client.create_dataset("telemetry")
    table = client.create_table(
        bigquery.Table(
            f"{PROJECT}.telemetry.readings", schema=[bigquery.SchemaField("device", "STRING")]
        )
    )
    assert client.insert_rows_json(table, [{"device": "pump"}]) == []
    (refused,) = client.insert_rows_json(table, [{"divice": "pump"}])
    assert refused["errors"][0]["message"] == "no such field: divice."
    assert [row["device"] for row in client.list_rows(table)] == ["pump"]
    stale = client.get_dataset("telemetry")
    dataset.description = "of devices"
    client.update_dataset(dataset, ["description"])
    stale.description = "lost"
    with pytest.raises(PreconditionFailed):
        client.update_dataset(stale, ["description"])
    client.delete_dataset("telemetry", delete_contents=True)
    with pytest.raises(NotFound):
        client.get_dataset("telemetry")


def test_the_resource_manager_client_changes_a_policy_under_its_etag(sandbox: Sandbox) -> None:
    sandbox.cloud[Services].seed(PROJECT, ["cloudresourcemanager.googleapis.com"])
    client = resourcemanager_v3.ProjectsClient(credentials=sandbox.credentials(), transport="rest")
    assert client.get_project(name=PROJECT_NAME).project_id == PROJECT
    policy = client.get_iam_policy(request={"resource": PROJECT_NAME})
    policy.bindings.append(
        policy_pb2.Binding(
            role="roles/pubsub.viewer", members=[f"serviceAccount:{email('serving')}"]
        )
    )
    client.set_iam_policy(request={"resource": PROJECT_NAME, "policy": policy})
    theirs = resourcemanager_v3.ProjectsClient(
        credentials=sandbox.credentials("serving"), transport="rest"
    )
    wanted = ["pubsub.topics.get", "pubsub.topics.create"]
    answer = theirs.test_iam_permissions(request={"resource": PROJECT_NAME, "permissions": wanted})
    assert list(answer.permissions) == ["pubsub.topics.get"]
    with pytest.raises(Conflict):
        client.set_iam_policy(request={"resource": PROJECT_NAME, "policy": policy})


def test_the_iam_credentials_client_becomes_an_account_only_with_permission(
    sandbox: Sandbox,
) -> None:
    sandbox.cloud[Services].seed(PROJECT, ["iamcredentials.googleapis.com"])
    request = {
        "name": f"projects/-/serviceAccounts/{email('serving')}",
        "scope": ["https://www.googleapis.com/auth/cloud-platform"],
    }
    client = iam_credentials_v1.IAMCredentialsClient(
        credentials=sandbox.credentials("deployer"), transport="rest"
    )
    with pytest.raises(Forbidden, match=r"iam\.serviceAccounts\.getAccessToken"):
        client.generate_access_token(request=request)
    account = f"{PROJECT_NAME}/serviceAccounts/{email('serving')}"
    sandbox.grant(account, "roles/iam.serviceAccountTokenCreator", "deployer")
    token = client.generate_access_token(request=request).access_token
    found = sandbox.cloud[Identity].lookup(token)
    assert found is not None
    assert found.principal.email == email("serving")


def test_json_numbers_of_64_bits_are_text(sandbox: Sandbox) -> None:
    sandbox.bucket()
    url = "https://storage.googleapis.com/storage/v1/b/iot-prod-models/o/v1%2Fmodel.joblib"
    answer = json.loads(sandbox.http().get(url).text)
    assert isinstance(answer["size"], str)
    assert isinstance(answer["generation"], str)


def test_one_endpoint_is_seen_by_both_versions_of_the_api(sandbox: Sandbox) -> None:
    name = sandbox.endpoint()
    host = f"https://{REGION}-aiplatform.googleapis.com"
    first, second = (sandbox.http().get(f"{host}/{v}/{name}").json() for v in ("v1", "v1beta1"))
    assert first == second
    changed = sandbox.http().patch(
        f"{host}/v1beta1/{name}?updateMask=description", json={"description": "x"}
    )
    assert changed.status_code == 200
    assert sandbox.http().get(f"{host}/v1/{name}").json()["description"] == "x"
