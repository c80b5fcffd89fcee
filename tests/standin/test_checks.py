"""What the stand-in refuses before it asks Google, in the words of the official plugin."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pulumi_plugin.kinds import Context, Failure
from pulumi_plugin.values import UNKNOWN, Props
from standin.iam import ACCOUNT_NAME
from tests.standin.support import (
    BUCKET,
    BUCKET_INPUTS,
    ENDPOINT,
    ENDPOINT_INPUTS,
    Scripted,
    configured,
)

ROLE = "gcp:projects/iAMCustomRole:IAMCustomRole"
ACCOUNT = "gcp:serviceaccount/account:Account"
KEY = "gcp:serviceaccount/key:Key"
TABLE = "gcp:bigquery/table:Table"
CHANNEL = "gcp:monitoring/notificationChannel:NotificationChannel"
REPOSITORY = "gcp:artifactregistry/repository:Repository"
CRYPTO_KEY = "gcp:kms/cryptoKey:CryptoKey"
ON_ACCOUNT = "gcp:serviceaccount/iAMMember:IAMMember"
SECRET = "gcp:secretmanager/secret:Secret"
VERSION = "gcp:secretmanager/secretVersion:SecretVersion"
TOPIC = "gcp:pubsub/topic:Topic"
METRIC = "gcp:logging/metric:Metric"
SLO = "gcp:monitoring/slo:Slo"
ALERT = "gcp:monitoring/alertPolicy:AlertPolicy"
TABLE_INPUTS: Props = {"datasetId": "d", "tableId": "t"}
OUTLINED = (
    "(IAM members must have one of the values outlined here: "
    "https://cloud.google.com/billing/docs/reference/rest/v1/Policy#Binding)"
)
CONFLICT = "Conflicting configuration arguments."
COMBINATION = "Invalid combination of arguments."
MISSING = "Missing required argument."


def refused(token: str, given: Props, name: str = "x") -> list[Failure]:
    gcp, _ = configured(Scripted({}))
    return gcp.kind(token).check(given, {}, Context(name=name, seed=b"seed"))[1]


def role(**other: Any) -> Props:
    return {"roleId": "r_1", "title": "R", "permissions": ["a.b.c"], **other}


def alert(**condition: Any) -> Props:
    base = {"filter": "f", "duration": "0s", "comparison": "COMPARISON_GT", **condition}
    shown = {"displayName": "c", "conditionThreshold": base}
    return {"displayName": "a", "combiner": "OR", "conditions": [shown]}


def objective(**other: Any) -> Props:
    base = {"service": "s", "goal": 0.9, "rollingPeriodDays": 1}
    return {**base, "basicSli": {"latency": {"threshold": "1s"}}, **other}


RULE: Props = {"action": {"type": "Delete"}, "condition": {}}
PIECES = "conditions[0].conditionThreshold"
CONSOLE = "https://cloud.google.com/storage/docs"
MEMBER = "gcp:storage/bucketIAMMember:BucketIAMMember"
GRANT: Props = {"bucket": "b", "role": "roles/viewer"}
REFUSED: list[tuple[str, Props, str, str]] = [
    (
        ROLE,
        role(stage="NEW"),
        "stage",
        'expected stage to be one of ["ALPHA" "BETA" "GA" "DEPRECATED" "DISABLED" "EAP"], got NEW',
    ),
    (
        ROLE,
        role(permissions=[]),
        "permissions",
        "Not enough list items. Attribute requires 1 item minimum, but config has only 0 declared.",
    ),
    (ACCOUNT, {"accountId": "short"}, "accountId", "between 6 and 30 characters long"),
    (ACCOUNT, {"accountId": "Agent-1"}, "accountId", "must match regex"),
    (
        ACCOUNT,
        {"accountId": "agent-1", "description": "d" * 257},
        "description",
        f"expected length of description to be in the range (0 - 256), got {'d' * 257}",
    ),
    (
        "gcp:projects/service:Service",
        {"service": "aiplatform"},
        "service",
        "expected aiplatform to be a domain like serviceusage.googleapis.com",
    ),
    (
        KEY,
        {"serviceAccountId": "a", "publicKeyData": "d", "privateKeyType": "TYPE_PKCS12_FILE"},
        "publicKeyData",
        f'{CONFLICT} "public_key_data": conflicts with private_key_type',
    ),
    (
        KEY,
        {"serviceAccountId": "a", "keyAlgorithm": "RSA"},
        "keyAlgorithm",
        'expected key_algorithm to be one of ["KEY_ALG_UNSPECIFIED"',
    ),
    (
        ON_ACCOUNT,
        {"serviceAccountId": "a@p.iam.gserviceaccount.com", "role": "r", "member": "user:a@x.y"},
        "serviceAccountId",
        '"service_account_id" ("a@p.iam.gserviceaccount.com") doesn\'t match regexp '
        + json.dumps(ACCOUNT_NAME),
    ),
    (
        MEMBER,
        {**GRANT, "member": "deleted:user:a@x.y?uid=1"},
        "member",
        "invalid value for member (Terraform does not support IAM members for deleted principals)",
    ),
    (MEMBER, {**GRANT, "member": "ann"}, "member", f'invalid value "ann" for member {OUTLINED}'),
    (
        "gcp:projects/iAMBinding:IAMBinding",
        {"project": "p", "role": "r", "members": ["user:a@x.y", "ben"]},
        "members",
        f'invalid value "ben" for members.1 {OUTLINED}',
    ),
    (
        "gcp:iam/workloadIdentityPool:WorkloadIdentityPool",
        {"workloadIdentityPoolId": "gcp-pool"},
        "workloadIdentityPoolId",
        '"workload_identity_pool_id" ("gcp-pool") can not start with "gcp-"',
    ),
    (CRYPTO_KEY, {"keyRing": "r", "purpose": "SIGN"}, "purpose", "expected purpose to be one of"),
    (
        CRYPTO_KEY,
        {"keyRing": "r", "rotationPeriod": "3600s"},
        "rotationPeriod",
        "Rotation period must be greater than one day",
    ),
    (
        CRYPTO_KEY,
        {"keyRing": "r", "rotationPeriod": "90d"},
        "rotationPeriod",
        "Invalid rotation period format: 90d",
    ),
    (
        SECRET,
        {"secretId": "s", "replication": {"auto": {}}, "rotation": {"rotationPeriod": "3600s"}},
        "rotation",
        f'{MISSING} "rotation": all of `rotation,topics` must be specified',
    ),
    (
        SECRET,
        {"secretId": "s", "replication": {"userManaged": {"replicas": []}}},
        "replication.userManaged.replicas",
        "Not enough list items.",
    ),
    (
        VERSION,
        {"secret": "s", "secretData": "a", "secretDataWo": "b", "secretDataWoVersion": 1},
        "secretData",
        f'{CONFLICT} "secret_data": conflicts with secret_data_wo',
    ),
    (
        VERSION,
        {"secret": "s", "secretDataWo": "b"},
        "secretDataWo",
        f'{MISSING} "secret_data_wo": all of `secret_data_wo,secret_data_wo_version` must be',
    ),
    (
        REPOSITORY,
        {"repositoryId": "r", "format": "DOCKER", "mode": "PROXY"},
        "mode",
        "expected mode to be one of",
    ),
    (
        REPOSITORY,
        {"repositoryId": "r", "format": "DOCKER", "remoteRepositoryConfig": {"description": "d"}},
        "remoteRepositoryConfig.dockerRepository",
        f'{COMBINATION} "docker_repository": one of `apt_repository,',
    ),
    (
        REPOSITORY,
        {
            "repositoryId": "r",
            "format": "DOCKER",
            "virtualRepositoryConfig": {},
            "remoteRepositoryConfig": {"commonRepository": {"uri": "u"}},
        },
        "remoteRepositoryConfig",
        f'{CONFLICT} "remote_repository_config": conflicts with virtual_repository_config',
    ),
    (
        ENDPOINT,
        {**ENDPOINT_INPUTS, "dedicatedEndpointEnabled": True, "privateServiceConnectConfig": {}},
        "dedicatedEndpointEnabled",
        f'{CONFLICT} "dedicated_endpoint_enabled": conflicts with private_service_connect_config',
    ),
    (
        BUCKET,
        {**BUCKET_INPUTS, "name": "my.Bucket"},
        "name",
        f"error: bucket name validation failed my.Bucket. See {CONSOLE}/naming-buckets",
    ),
    (
        BUCKET,
        {**BUCKET_INPUTS, "name": "b" * 64},
        "name",
        f"error: bucket name validation failed {'b' * 64}",
    ),
    (
        BUCKET,
        {**BUCKET_INPUTS, "name": "my-google-bucket"},
        "name",
        'error: bucket name my-google-bucket cannot contain "google"',
    ),
    (
        BUCKET,
        {**BUCKET_INPUTS, "name": "goog-x"},
        "name",
        'error: bucket name goog-x cannot start with "goog"',
    ),
    (
        BUCKET,
        {**BUCKET_INPUTS, "labels": {"Team": "x"}},
        "labels",
        f'"Team" is an invalid label key. See {CONSOLE}/tags-and-labels#bucket-labels',
    ),
    (
        BUCKET,
        {**BUCKET_INPUTS, "retentionPolicy": {"retentionPeriod": "0"}},
        "retentionPolicy.retentionPeriod",
        "doesn't match regexp",
    ),
    (
        BUCKET,
        {
            **BUCKET_INPUTS,
            "lifecycleRules": [{"action": {"type": "Delete"}, "condition": {}}] * 101,
        },
        "lifecycleRules",
        "Too many list items. Attribute supports 100 item maximum, but config has 101 declared.",
    ),
    (
        "gcp:bigquery/dataset:Dataset",
        {"datasetId": "my-data"},
        "datasetId",
        '"dataset_id" must contain only letters (a-z, A-Z), numbers (0-9), or underscores (_)',
    ),
    (
        "gcp:bigquery/dataset:Dataset",
        {"datasetId": "d", "defaultTableExpirationMs": 1000},
        "defaultTableExpirationMs",
        "cannot be shorter than 3600000 milliseconds (one hour)",
    ),
    (
        TABLE,
        {**TABLE_INPUTS, "schema": "{}"},
        "schema",
        '"schema" is not a JSON array: json: cannot unmarshal object into Go value of type',
    ),
    (
        TABLE,
        {**TABLE_INPUTS, "timePartitioning": {"type": "WEEK"}},
        "timePartitioning.type",
        'expected type to be one of ["DAY" "HOUR" "MONTH" "YEAR"], got WEEK',
    ),
    (
        TABLE,
        {**TABLE_INPUTS, "clusterings": list("abcde")},
        "clusterings",
        "Too many list items. Attribute supports 4 item maximum, but config has 5 declared.",
    ),
    (
        TABLE,
        {
            **TABLE_INPUTS,
            "requirePartitionFilter": True,
            "timePartitioning": {"type": "DAY", "requirePartitionFilter": True},
        },
        "requirePartitionFilter",
        f'{CONFLICT} "require_partition_filter": conflicts with time_partitioning.0.',
    ),
    (
        TOPIC,
        {"name": "t", "schemaSettings": {"schema": "s", "encoding": "XML"}},
        "schemaSettings.encoding",
        "expected encoding to be one of",
    ),
    (
        "gcp:pubsub/schema:Schema",
        {"name": "s", "type": "THRIFT"},
        "type",
        "expected type to be one of",
    ),
    (
        "gcp:pubsub/subscription:Subscription",
        {
            "name": "s",
            "topic": "t",
            "bigqueryConfig": {"table": "p.d.t", "useTopicSchema": True, "useTableSchema": True},
        },
        "bigqueryConfig.useTopicSchema",
        f'{CONFLICT} "use_topic_schema": conflicts with use_table_schema',
    ),
    (ALERT, {**alert(), "combiner": "XOR"}, "combiner", "expected combiner to be one of"),
    (
        ALERT,
        alert(comparison="COMPARISON_ABOUT"),
        f"{PIECES}.comparison",
        "expected comparison to be one of",
    ),
    (
        ALERT,
        alert(aggregations=[{"perSeriesAligner": "ALIGN_MODE"}]),
        f"{PIECES}.aggregations[0].perSeriesAligner",
        "expected per_series_aligner to be one of",
    ),
    (
        CHANNEL,
        {"type": "webhook_basicauth", "sensitiveLabels": {}},
        "sensitiveLabels.password",
        f'{COMBINATION} "password": one of `auth_token,password,service_key` must be specified',
    ),
    (
        CHANNEL,
        {
            "type": "webhook_basicauth",
            "labels": {"password": "a"},
            "sensitiveLabels": {"password": "b"},
        },
        "sensitiveLabels.password",
        'Sensitive label "password" cannot be set at the same time as label "password".',
    ),
    (SLO, objective(goal=1.0), "goal", "goal 1.000000 must be > 0 and <= 0.9999"),
    (
        SLO,
        objective(rollingPeriodDays=31),
        "rollingPeriodDays",
        "expected rolling_period_days to be in the range (1 - 30), got 31",
    ),
    (
        SLO,
        objective(basicSli={"availability": {"enabled": False}}),
        "basicSli.availability.enabled",
        '"enabled" must be set to true, got: false',
    ),
    (
        METRIC,
        {"name": "m", "filter": "f", "bucketOptions": {}},
        "bucketOptions.linearBuckets",
        f'{MISSING} "linear_buckets": one of `explicit_buckets,exponential_buckets,linear_buckets`',
    ),
    (
        METRIC,
        {
            "name": "m",
            "filter": "f",
            "metricDescriptor": {"valueType": "INT", "metricKind": "GAUGE"},
        },
        "metricDescriptor.valueType",
        "expected value_type to be one of",
    ),
    (
        "gcp:logging/projectSink:ProjectSink",
        {
            "name": "s",
            "destination": "d",
            "uniqueWriterIdentity": False,
            "bigqueryOptions": {"usePartitionedTables": True},
        },
        "uniqueWriterIdentity",
        "unique_writer_identity must be true when bigquery_options is supplied",
    ),
]


@pytest.mark.parametrize(("token", "given", "property", "reason"), REFUSED)
def test_what_the_official_plugin_refuses_is_refused(
    token: str, given: Props, property: str, reason: str
) -> None:
    reasons = [failure.reason for failure in refused(token, given) if failure.property == property]
    assert any(reason in said for said in reasons), reasons


@pytest.mark.parametrize(
    ("token", "given", "name", "property"),
    [
        (BUCKET, {"location": "r"}, "Artifacts", "name"),
        (ACCOUNT, {}, "Agent", "accountId"),
        (ROLE, {"title": "R", "permissions": ["a.b.c"]}, "deployer", "roleId"),
    ],
)
def test_a_name_that_the_plugin_draws_is_checked_like_any_other(
    token: str, given: Props, name: str, property: str
) -> None:
    """It keeps capitals, and joins with a hyphen, which no custom role may have."""
    [failure] = refused(token, given, name)
    assert failure.property == property and f"{name}-" in failure.reason


def test_what_is_not_known_yet_is_not_refused() -> None:
    assert refused(ROLE, role(stage=UNKNOWN, roleId=UNKNOWN, permissions=UNKNOWN)) == []
    assert (
        refused("gcp:storage/bucketObject:BucketObject", {"bucket": "b", "source": UNKNOWN}) == []
    )
    unknown = {"bigqueryConfig": {"table": "t"}, "pushConfig": UNKNOWN}
    assert refused("gcp:pubsub/subscription:Subscription", {"topic": "t", **unknown}) == []


def test_a_default_gives_way_to_what_it_conflicts_with() -> None:
    gcp, _ = configured(Scripted({}))
    given = {"serviceAccountId": "a", "publicKeyData": "d"}
    checked, failures = gcp.kind(KEY).check(given, {}, Context())
    assert failures == []
    assert checked == {
        **given,
        "publicKeyType": "TYPE_X509_PEM_FILE",
        "__defaults": ["publicKeyType"],
    }
