"""Denials as people met them, and what a right answer to each holds.

`reports/denials.jsonl` was gathered for this project from public reports. Each row is also put into
what people paste it from, with other names; these wrappings know nothing of the reader.
"""

from __future__ import annotations

import itertools
import json
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from access.answer import explained
from access.explain import find_all

ROWS: list[dict[str, Any]] = [
    json.loads(line)
    for line in (Path(__file__).parents[1] / "data/reports/denials.jsonl").read_text().splitlines()
]
FIELDS = ("kind", "permission", "resource", "identity", "principal", "step")

# What the row's note comes to, in words that the answer has to have.
NOTED = {
    "e08-user-project": ["quota project of the caller", "no such line"],
    "e09-wif": ["attribute condition", "no role is missing"],
    "e15-agent-principal": ["vertex agent"],
    "e20-vpcsc": ["VPC Service Controls", "unique identifier", "search"],
    "e23-ar": ["also printed when the repository does not exist", "inferred"],
    "e25-dedicated": ["DNS name of its own", "prediction.vertexai.goog"],
    "destroy-foreign-model": ["names it", "undeploy-model", "describe"],
}

# Longer names before those that they hold.
OTHERS = (
    {},
    {
        "iot-staging": "acme-edge-prod-7",
        "iot-models": "ml-registry",
        "123456789012": "987654321098",
        "us-central1": "europe-west4",
        "us-east1": "asia-northeast1",
        "pm-serving": "edge-serving",
        "predictiveMaintenance": "edgeModels",
        "someone@example.com": "j.doe+ops@mail.example.org",
        "request_logs": "telemetry_2026",
        "7203418": "42",
    },
    {
        "iot-staging": "p12345",
        "iot-models": "a-very-long-project-name-for-30",
        "123456789012": "1",
        "us-central1": "northamerica-northeast1",
        "us-east1": "me-west1",
        "pm-serving": "x-y-z-serving",
        "someone@example.com": "ci@tools-1.iam.gserviceaccount.com",
        "request_logs": "a",
        "7203418": "1234567890",
    },
)


def pulumi(text: str) -> str:
    """As `pulumi up` prints the error of a program, beside other diagnostics."""
    body = text.replace("\n", "\n    ")
    return (
        "Updating (staging):\n     Type                 Name      Status\n"
        " +   pulumi:pulumi:Stack  predictive-maintenance-staging  **failed**\n\n"
        "Diagnostics:\n  pulumi:pulumi:Stack (predictive-maintenance-staging):\n"
        f"    error: update failed\n    error:   sdk-v2/provider2.go:572: {body}\n\n"
        "Resources:\n    + 12 created\n\nDuration: 41s\n"
    )


def traceback(text: str) -> str:
    """As Python shows an exception whose argument is another library's repr()."""
    quoted = text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n")
    return (
        "Traceback (most recent call last):\n"
        '  File "/app/.venv/lib/python3.11/site-packages/google/auth/impersonated.py", line 263\n'
        "    raise exceptions.RefreshError(_ERROR, response_body)\n"
        f"google.auth.exceptions.RefreshError: ('Unable to acquire credentials', '{quoted}')\n"
    )


def grpc(text: str) -> str:
    """As grpc shows an error: once as details, once within its debug string."""
    quoted = json.dumps(text)[1:-1]
    inner = f'UNKNOWN:Error received from peer ipv4:203.0.113.7:443 {{grpc_message:"{quoted}", '
    debug = inner + 'grpc_status:7, created_time:"2026-02-17T19:04:22.270203099+00:00"}'
    return (
        "grpc._channel._InactiveRpcError: <_InactiveRpcError of RPC that terminated with:\n"
        f'\tstatus = StatusCode.PERMISSION_DENIED\n\tdetails = "{quoted}"\n'
        f'\tdebug_error_string = "{debug}"\n>'
    )


def log_entry(text: str) -> str:
    """As `gcloud logging read --format=json` prints what a program wrote."""
    entry = {
        "insertId": "-nkxqlbe1tua5",
        "jsonPayload": {"message": text, "level": 50},
        "resource": {"type": "cloud_run_revision", "labels": {"project_id": "observer"}},
        "severity": "ERROR",
        "timestamp": "2026-07-05T14:53:29.431265Z",
    }
    return json.dumps([entry], indent=2)


def _coloured(lines: list[str]) -> str:
    return "\n".join(f"\x1b[38;5;9m\x1b[1m{line}\x1b[0m" for line in lines)


def terminal(text: str) -> str:
    """As a terminal of 80 columns cuts coloured lines, wherever that falls."""
    lines = [line for part in f"error: {text}".split("\n") for line in _cut(part)]
    return _coloured(["$ pulumi up --stack staging", *lines, "$ "])


def _cut(line: str) -> list[str]:
    return [line[at : at + 80] for at in range(0, len(line), 80)] or [""]


def editor(text: str) -> str:
    """As an editor or a mail breaks lines, between words and after hyphens."""
    return _coloured([line for part in text.split("\n") for line in textwrap.wrap(part, 80)])


def structured_log(text: str) -> str:
    """A log entry whose message is a JSON body that another program put into JSON."""
    body = json.dumps({"error": json.dumps({"error": {"code": 403, "message": text}})})
    return f"2026-02-17T19:04:24.835020Z stderr F {body}"


def html_page(text: str) -> str:
    """As a console or a CI server shows it on a page."""
    for sign, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;")):
        text = text.replace(sign, entity)
    return f"<pre class='log'>{text.replace(chr(39), '&#39;')}</pre>"


WRAPPINGS: tuple[Callable[[str], str], ...] = (
    str,
    pulumi,
    traceback,
    grpc,
    log_entry,
    terminal,
    editor,
    structured_log,
    html_page,
)


def renamed(value: Any, names: dict[str, str]) -> Any:
    for name, other in names.items():
        value = value.replace(name, other) if isinstance(value, str) else value
    return value


def wrong(row: dict[str, Any], wrap: Callable[[str], str], names: dict[str, str]) -> list[str]:
    """What an answer to the row, put so, gets wrong."""
    answers = explained(wrap(renamed(row["text"], names)))
    where = f"{row['id']} {wrap.__name__} {list(names.values())[:1]}"
    if len(answers) != 1:
        return [f"{where}: {len(answers)} answers: {[it.denial.text for it in answers]}"]
    [data], [lines] = [it.data() for it in answers], [it.lines() for it in answers]
    told = "\n".join(lines)
    faults = [
        f"{where}: {key} {data[key]!r}, not {renamed(row[key], names)!r}"
        for key in FIELDS
        if key in row and data[key] != renamed(row[key], names)
    ]
    # A foreign principal is named as it is, and is none of ours.
    if "identity" not in row and "@example" in row.get("principal", "") and data["identity"]:
        faults.append(f"{where}: {data['identity']}, who is not named")
    faults += [f"{where}: no {w!r}" for w in NOTED.get(row["id"], ()) if w not in told]
    if not any(data["fix"].values()):
        faults.append(f"{where}: no fix")
    return faults


def test_every_report_is_answered_however_it_is_pasted(show: Callable[[str], None]) -> None:
    cases = list(itertools.product(ROWS, WRAPPINGS, OTHERS))
    faults = [wrong(*case) for case in cases]
    right = sum(not found for found in faults)
    show(f"access explain: {right} of {len(cases)} right ({len(ROWS)} reports, wrapped, renamed)")
    assert [fault for found in faults for fault in found] == []


# gcp-facts/02_errors.md, word by word, and the thread's own; then sentences of other services from
# public reports, named in access/sentences.py: kind, permission, resource, principal.
IAM_BODY = (
    '{"error":{"code":403,"message":"Permission \'aiplatform.endpoints.predict\' denied on resource'
    " '//aiplatform.googleapis.com/projects/P/locations/us-central1/endpoints/openapi' (or it may "
    'not exist).","status":"PERMISSION_DENIED","details":[{"@type":"type.googleapis.com/'
    'google.rpc.ErrorInfo","reason":"IAM_PERMISSION_DENIED","domain":"aiplatform.googleapis.com",'
    '"metadata":{"resource":"projects/P/locations/us-central1/endpoints/openapi","permission":'
    '"aiplatform.endpoints.predict"}}]}}'
)
PROJECT_BODY = (
    '{"error":{"code":403,"message":"Permission denied on resource project gen-lang-client-xxxxx.",'
    '"status":"PERMISSION_DENIED","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo",'
    '"reason":"CONSUMER_INVALID","domain":"googleapis.com","metadata":{"containerInfo":'
    '"gen-lang-client-xxxxx","consumer":"projects/gen-lang-client-xxxxx","service":'
    '"aiplatform.googleapis.com"}},{"@type":"type.googleapis.com/google.rpc.LocalizedMessage",'
    '"locale":"en-US","message":"Permission denied on resource project gen-lang-client-xxxxx."},'
    '{"@type":"type.googleapis.com/google.rpc.Help","links":[{"description":'
    '"Google developers console","url":"https://console.developers.google.com"}]}]}}'
)
API_BODY = (
    '{"error":{"code":403,"message":"Vertex AI API has not been used in project P before or it is '
    "disabled. Enable it by visiting https://console.developers.google.com/apis/api/"
    "aiplatform.googleapis.com/overview?project=P then retry. If you enabled this API recently, "
    'wait a few minutes for the action to propagate to our systems and retry.","status":'
    '"PERMISSION_DENIED","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":'
    '"SERVICE_DISABLED","domain":"googleapis.com","metadata":{"serviceTitle":"Vertex AI API",'
    '"containerInfo":"P","consumer":"projects/P","service":"aiplatform.googleapis.com"}}]}}'
)
AGENT = "service-123456789012@gcp-sa-aiplatform.iam.gserviceaccount.com"
Told = tuple[str, str, str | None, str | None]
VERBATIM: dict[str, Told] = {
    IAM_BODY: (
        "permission",
        "aiplatform.endpoints.predict",
        "projects/P/locations/us-central1/endpoints/openapi",
        "",
    ),
    PROJECT_BODY: ("project", "", "projects/gen-lang-client-xxxxx", ""),
    API_BODY: ("service", "", "projects/P", ""),
    # The thread's own
    "PermissionDenied: 403 POST https://aiplatform.googleapis.com/v1/projects/iot-prod/locations/"
    "us-central1/endpoints\nIAM permission 'aiplatform.endpoints.create' denied\n"
    "at VertexAIClient.deploy(vertex_client.py:245)": (
        "permission",
        "aiplatform.endpoints.create",
        "projects/iot-prod/locations/us-central1",
        "",
    ),
    "google.api_core.exceptions.PermissionDenied: 403 Permission 'aiplatform.endpoints.create' "
    "denied on resource '//aiplatform.googleapis.com/projects/p/locations/us-central1' (or it may "
    "not exist).": (
        "permission",
        "aiplatform.endpoints.create",
        "//aiplatform.googleapis.com/projects/p/locations/us-central1",
        "",
    ),
    "google.api_core.exceptions.InvalidArgument: 400 You do not have permission to act as "
    "service_account: 123-compute@developer.gserviceaccount.com. (or it may not exist).": (
        "permission",
        "iam.serviceAccounts.actAs",
        "123-compute@developer.gserviceaccount.com",
        "",
    ),
    "x@p-1.iam.gserviceaccount.com does not have storage.objects.get access to the Google Cloud "
    "Storage object. Permission 'storage.objects.get' denied on resource (or it may not exist).": (
        "permission",
        "storage.objects.get",
        "",
        "x@p-1.iam.gserviceaccount.com",
    ),
    '{"error":{"code":403,"message":"x@p-1.iam.gserviceaccount.com does not have '
    "storage.objects.get access to the Google Cloud Storage object. Permission "
    "'storage.objects.get' denied on resource '//storage.googleapis.com/projects/_/buckets/B/"
    'objects/O\' (or it may not exist).","errors":[{"message":"x@p-1.iam.gserviceaccount.com does '
    'not have storage.objects.get access to the Google Cloud Storage object.","domain":"global",'
    '"reason":"forbidden"}]}}': (
        "permission",
        "storage.objects.get",
        "//storage.googleapis.com/projects/_/buckets/B/objects/O",
        "x@p-1.iam.gserviceaccount.com",
    ),
    f'{{"error": {{"code": 7, "message": "{AGENT} does not have storage.objects.create access to '
    "the Google Cloud Storage object. Permission 'storage.objects.create' denied on resource (or "
    'it may not exist)."}}}': ("permission", "storage.objects.create", "", AGENT),
    "<Error><Code>AccessDenied</Code><Message>Access denied.</Message><Details>Anonymous caller "
    "does not have storage.objects.get access to the Google Cloud Storage object.</Details>"
    "</Error>": ("permission", "storage.objects.get", "", "anonymous caller"),
    f"FAILED_PRECONDITION: Vertex AI Service Agent {AGENT} does not have permission to access "
    "Artifact Registry repository projects/P/locations/L/repositories/R.": (
        "permission",
        "artifactregistry.repositories.downloadArtifacts",
        "projects/P/locations/L/repositories/R",
        AGENT,
    ),
    "google.api_core.exceptions.FailedPrecondition: 400 The Cloud Storage bucket of `gs://b/m` is "
    "in location `us`. It must be in the same regional location as the service location "
    "`us-central1`.": ("region", "", "gs://b/m", ""),
    "google.api_core.exceptions.ResourceExhausted: 429 The following quotas are exceeded: "
    "CustomModelServingCPUsPerProjectPerRegion 8: The following quotas are exceeded: "
    "CustomModelServingCPUsPerProjectPerRegion": (
        "quota",
        "",
        "CustomModelServingCPUsPerProjectPerRegion",
        "",
    ),
    "RESOURCE_EXHAUSTED: The following quota metrics exceed quota limits: "
    "aiplatform.googleapis.com/custom_model_training_cpus": (
        "quota",
        "",
        "aiplatform.googleapis.com/custom_model_training_cpus",
        "",
    ),
    "googleapi: Error 400: Permission resourcemanager.projects.list is not valid., badRequest": (
        "role",
        "resourcemanager.projects.list",
        "",
        "",
    ),
    "ERROR: (gcloud.iam.roles.create) INVALID_ARGUMENT: Permission resourcemanager.projects.list "
    "is not valid.": ("role", "resourcemanager.projects.list", "", ""),
    "FAILED_PRECONDITION: You can't create a role with role_id (X1y) where there is an existing "
    "role with that role_id in a deleted state.": ("role", "", "X1y", ""),
    "Custom project role projects/P/roles/R already exists and must be imported": (
        "role",
        "",
        "projects/P/roles/R",
        "",
    ),
    'Error setting IAM policy for project "P": googleapi: Error 400: Role '
    "roles/custom.vertex.prediction is not supported for this resource., badRequest": (
        "role",
        "",
        "roles/custom.vertex.prediction",
        "",
    ),
    "google.auth.exceptions.RefreshError: ('invalid_grant: Invalid JWT Signature.', "
    '\'{"error": "invalid_grant", "error_description": "Invalid JWT Signature."}\')': (
        "credential",
        "",
        "",
        "",
    ),
    "INVALID_ARGUMENT: The attribute condition must reference one of the provider's claims.": (
        "federation",
        "",
        "",
        "",
    ),
}


@pytest.mark.parametrize("wrap", WRAPPINGS)
def test_errors_as_they_are_recorded_are_understood(wrap: Callable[[str], str]) -> None:
    for text, told in VERBATIM.items():
        [denial] = find_all(wrap(text))
        found = (denial.kind, denial.permission, denial.resource, denial.principal)
        assert found == told, text


SERVICES: list[dict[str, Any]] = [
    json.loads(line)
    for line in (Path(__file__).parents[1] / "data/reports/services.jsonl").read_text().splitlines()
]


@pytest.mark.parametrize("wrap", WRAPPINGS)
def test_each_service_is_understood_in_its_own_words(
    wrap: Callable[[str], str], show: Callable[[str], None]
) -> None:
    wrongly = []
    for row in SERVICES:
        found = [
            {key: getattr(denial, key) for key in row if key != "text"}
            for denial in find_all(wrap(row["text"]))
        ]
        if found != [{key: value for key, value in row.items() if key != "text"}]:
            wrongly.append((row["text"][:80], found))
    show(f"access explain: {len(SERVICES) - len(wrongly)} of {len(SERVICES)} ({wrap.__name__})")
    assert wrongly == []


AUDITED = {
    "logName": "projects/iot-staging/logs/cloudaudit.googleapis.com%2Factivity",
    "protoPayload": {
        "@type": "type.googleapis.com/google.cloud.audit.AuditLog",
        "status": {"code": 7, "message": "The caller does not have permission"},
        "authenticationInfo": {"principalEmail": "pm-deployer@iot-staging.iam.gserviceaccount.com"},
        "serviceName": "aiplatform.googleapis.com",
        "methodName": "google.cloud.aiplatform.v1.EndpointService.DeployModel",
        "authorizationInfo": [
            {"resource": "projects/1/locations/r", "permission": "x.y.z", "granted": True},
            {
                "resource": "projects/1/locations/r/endpoints/7",
                "permission": "aiplatform.endpoints.deploy",
                "resourceAttributes": {},
            },
        ],
        "resourceName": "projects/1/locations/r/endpoints/7",
    },
}


def test_an_audit_log_entry_says_what_the_sentence_does_not() -> None:
    [answer] = explained(json.dumps([AUDITED], indent=2))
    data = answer.data()
    assert (data["kind"], data["permission"]) == ("permission", "aiplatform.endpoints.deploy")
    assert data["resource"] == "projects/1/locations/r/endpoints/7"
    assert (data["identity"], data["step"]) == ("deployer", "deploy a model")


def test_whom_the_text_names_goes_before_who_made_the_call() -> None:
    entry = json.loads(json.dumps(AUDITED))
    entry["protoPayload"]["authorizationInfo"] = []
    entry["protoPayload"]["status"] = {
        "code": 9,
        "message": f"Vertex AI Service Agent {AGENT} does not have permission to access Artifact "
        "Registry repository projects/p/locations/r/repositories/i.",
    }
    [answer] = explained(json.dumps(entry))
    assert answer.data()["identity"] == "vertex agent"


def test_an_entry_of_what_was_granted_is_no_denial() -> None:
    entry = json.loads(json.dumps(AUDITED))
    entry["protoPayload"]["status"] = {}
    assert explained(json.dumps(entry)) == []


def test_a_federated_caller_is_named_by_the_log() -> None:
    entry = json.loads(json.dumps(AUDITED))
    subject = "principal://iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/g"
    entry["protoPayload"]["authenticationInfo"] = {"principalSubject": f"{subject}/subject/repo:o"}
    [answer] = explained(json.dumps(entry))
    assert answer.data()["principal"] == f"{subject}/subject/repo:o"
    assert answer.data()["identity"] == ""


def test_a_whole_log_has_each_denial_once_and_in_order() -> None:
    log = "\n".join(
        [
            pulumi(VERBATIM_TEXTS[3]),
            "retrying in 2 s",
            pulumi(VERBATIM_TEXTS[3]),
            log_entry(API_BODY),
            grpc(VERBATIM_TEXTS[5]),
            terminal(ROWS[1]["text"]).replace("123456789012", "210987654321"),
        ]
    )
    told = [(it.denial.kind, it.denial.permission) for it in explained(log)]
    assert told == [
        ("permission", "aiplatform.endpoints.create"),
        ("service", ""),
        ("permission", "iam.serviceAccounts.actAs"),
        ("service", ""),
    ]


VERBATIM_TEXTS = list(VERBATIM)

NO_DENIALS = {
    "a diff": (
        "Previewing update (staging):\n     Type                                 Name\n"
        " ~   └─ gcp:projects:IAMCustomRole        deployer     update  [diff: ~permissions]\n"
        '    ~ permissions: [\n      + [7]: "aiplatform.endpoints.deploy"\n'
        '      - [8]: "iam.serviceAccounts.actAs"\n    ]\nResources:\n    ~ 1 to update\n'
    ),
    "a 404": (
        "{'error': {'code': 404, 'message': 'Endpoint `projects/1/locations/us-central1/endpoints/"
        "5` not found.', 'status': 'NOT_FOUND'}}"
    ),
    "another traceback": (
        'Traceback (most recent call last):\n  File "train.py", line 3, in <module>\n'
        "    import joblib\nModuleNotFoundError: No module named 'joblib'\n"
    ),
    "a file's permissions": (
        'Traceback (most recent call last):\n  File "x.py", line 1\nPermissionError: [Errno 13] '
        "Permission denied: '/var/lib/models/model.joblib'"
    ),
    "a help page": (
        "NAME\n    gcloud compute ssh\n\nIf the command prints `Permission denied (publickey)`, "
        "the key was not accepted. `bash: ./run.sh: Permission denied` means that the file may not "
        "be run: chmod +x run.sh. The role must hold the permission compute.instances.get."
    ),
    "a role": json.dumps(
        {
            "title": "deployer",
            "includedPermissions": ["aiplatform.endpoints.create", "iam.serviceAccounts.actAs"],
            "stage": "GA",
        }
    ),
    "another cloud": (
        "botocore.exceptions.ClientError: An error occurred (AccessDenied) when calling the "
        "GetObject operation: User: arn:aws:iam::1:user/x is not authorized to perform: "
        "s3:GetObject\n<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
    ),
    "a success": json.dumps({"done": True, "response": {"name": "projects/1/endpoints/2"}}),
    "GitHub's limit": "HTTP 403: API rate limit exceeded for user ID 1. (https://api.github.com)",
    "nothing": "",
}


@pytest.mark.parametrize("wrap", [wrap for wrap in WRAPPINGS if wrap is not grpc])  # it denies
@pytest.mark.parametrize("text", NO_DENIALS.values(), ids=NO_DENIALS)
def test_what_is_no_denial_is_not_taken_for_one(text: str, wrap: Callable[[str], str]) -> None:
    assert find_all(wrap(text) if text else text) == []


def test_several_permissions_of_one_sentence_are_several_denials() -> None:
    found = find_all(
        "Service account `1-compute@developer.gserviceaccount.com` does not have "
        '`[storage.objects.get, storage.objects.create]` IAM permission(s) to the bucket "b-1".'
    )
    assert [(it.permission, it.resource) for it in found] == [
        ("storage.objects.get", "b-1"),
        ("storage.objects.create", "b-1"),
    ]


def test_details_that_stand_by_themselves_are_of_the_sentence_before() -> None:
    """As the gcp provider prints them, in Terraform's frame."""
    details = [
        {"@type": "type.googleapis.com/google.rpc.Help", "links": []},
        {
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "metadata": {
                "permission": "artifactregistry.repositories.get",
                "resource": "projects/p",
            },
            "reason": "IAM_PERMISSION_DENIED",
        },
    ]
    said = "Error 403: Permission 'artifactregistry.repositories.get' denied on resource '//x/y/z'."
    body = json.dumps(details, indent=2)
    framed = "\n".join(f"│ {line}" for line in f"{said}\nDetails:\n{body}\n, forbidden".split("\n"))
    [denial] = find_all(f"╷\n{framed}\n╵")
    assert denial.resource == "projects/p"


@pytest.mark.parametrize(
    ("text", "kind", "permission"),
    [
        (
            "PERMISSION_DENIED: the account has no right to do so: it lacks "
            "bigtable.tables.readRows here",
            "permission",
            "bigtable.tables.readRows",
        ),
        ("google.api_core.exceptions.Forbidden: 403 Something new was refused.", "unsaid", ""),
        ("rpc error: code = PermissionDenied desc = not today", "unsaid", ""),
    ],
)
def test_a_sentence_that_nobody_recorded_is_still_a_denial(
    text: str, kind: str, permission: str
) -> None:
    [denial] = find_all(text)
    assert (denial.kind, denial.permission) == (kind, permission)
