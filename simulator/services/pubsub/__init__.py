"""Pub/Sub v1: topics, subscriptions, schemas and the messages between them.

Permissions: docs pubsub/access-control, "Required permissions", unless a comment says inferred.
Shapes, defaults and the 404: http-logs/pubsub-*.log. The 409, the invalid name, the update mask and
the exactly-once failure are Google's words as public repositories recorded them; other error texts
are ours.

Not simulated, and answered with 501: snapshots and seek, compression, export to Cloud Storage
and Bigtable, ingestion, tags. Push endpoints are outside the simulator and
never called: what a push subscription gets stays pending until it is turned into a pulled one,
detached or expired. Exports keep no order of their own, and regions of tables and endpoints are not
compared. Answers are consistent at once, which Google's are not (a GET after a PUT can be a 404).
"""

from simulator.api.calls import Service
from simulator.api.honoured import ALL, Table
from simulator.iam.allowpolicies import POLICY_FIELDS
from simulator.services.pubsub import delivery, schemas, subscriptions, topics
from simulator.services.pubsub.state import PubSub

HONOURED = Table(
    "pubsub",
    {
        **POLICY_FIELDS,
        "AcknowledgeRequest": ALL,
        "AIInference": "endpoint serviceAccountEmail unstructuredInference",
        "BigQueryConfig": (
            "dropUnknownFields serviceAccountEmail table useTableSchema useTopicSchema "
            "writeMetadata"
        ),
        "CommitSchemaRequest": "schema",
        "DeadLetterPolicy": ALL,
        "ExpirationPolicy": ALL,
        "JavaScriptUDF": ALL,
        "MessageStoragePolicy": "allowedPersistenceRegions",
        "MessageTransform": "aiInference disabled javascriptUdf",
        "ModifyAckDeadlineRequest": ALL,
        "ModifyPushConfigRequest": "pushConfig",
        "PublishRequest": "messages",
        "PubsubMessage": "attributes data orderingKey",
        "PullRequest": ALL,
        "PushConfig": ALL,
        "RetryPolicy": ALL,
        "RollbackSchemaRequest": ALL,
        "Schema": "definition type",
        "SchemaSettings": ALL,
        "Subscription": (
            "ackDeadlineSeconds bigqueryConfig deadLetterPolicy enableExactlyOnceDelivery "
            "enableMessageOrdering expirationPolicy filter labels messageRetentionDuration "
            "messageTransforms name pushConfig retainAckedMessages retryPolicy topic"
        ),
        "Topic": (
            "kmsKeyName labels messageRetentionDuration messageStoragePolicy messageTransforms "
            "name schemaSettings"
        ),
        "UnstructuredInference": ALL,
        "UpdateSubscriptionRequest": "subscription updateMask",
        "UpdateTopicRequest": "topic updateMask",
        "ValidateMessageRequest": "encoding message name schema",
        "ValidateSchemaRequest": "schema",
    },
    {
        "Schema.name": "the path, or schemaId, says which schema it is",
        "Topic.satisfiesPzs": "set only in answers, ignored in requests (discovery document)",
    },
)

SERVICE = Service(
    PubSub, delivery.method, schemas.method, subscriptions.method, topics.method, HONOURED
)
