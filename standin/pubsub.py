"""Types of the `pubsub` module: schemas, topics, subscriptions, and access to the latter two."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from typing import Any, Final

from pulumi_plugin.kinds import Context, ProviderError
from pulumi_plugin.values import Props
from standin.fields import DELETION_POLICY, LABELS, PROJECT, Field, at_most_one, exactly_one, same
from standin.onpolicy import Target
from standin.resource import AutoName, Rest, Spec

BASE: Final = "https://pubsub.googleapis.com/v1"
EXISTENCE_PAUSES: Final = (0.5, 1.0, 2.0, 4.0, 8.0)  # seconds until a new topic can be read
# The official plugin, too, asks until a deleted schema was absent ten times in a row; it pauses for
# up to 10 s in between.
ABSENCES: Final = 10
ABSENCE_PAUSE: Final = 0.1
ABSENCE_ATTEMPTS: Final = 200


def _seconds(duration: Any) -> Any:
    """ "600s" and "600.000s" are the same to Google."""
    whole = re.fullmatch(r"(\d+(?:\.\d+)?)s", str(duration))
    return float(whole[1]) if whole else duration


def _same_topic(there: str | None, wanted: str) -> bool:
    """A topic may be given by its name alone."""
    there = there or ""
    if "/" in there and "/" in wanted:
        return there == wanted
    return there.rpartition("/")[2] == wanted.rpartition("/")[2]


def _same_attributes(there: Props | None, wanted: Props) -> bool:
    """Google may leave out the format version that it was sent."""
    left_out = {name: wanted[name] for name in ("x-goog-version",) if name in wanted}
    return {**left_out, **(there or {})} == wanted


def _strings(*required: str, optional: tuple[str, ...] = ()) -> tuple[Field, ...]:
    return (*(Field(name, required=True) for name in required), *map(Field, optional))


ENCODINGS: Final = ("ENCODING_UNSPECIFIED", "JSON", "BINARY")
SEVERITIES: Final = ("SEVERITY_UNSPECIFIED", "DISABLED", "DEBUG", "INFO", "WARNING", "ERROR")
CONFLUENT: Final = "confluentCloud"
TAGS: Final = Field("tags", "map", new=True, unread=True, zero=None)
TRANSFORMS: Final = Field(
    "messageTransforms",
    "objects",
    of=(
        Field(
            "aiInference",
            "object",
            of=(
                Field("endpoint", required=True),
                Field("serviceAccountEmail"),
                Field(
                    "unstructuredInference", "object", bare=True, of=(Field("parameters", "map"),)
                ),
            ),
        ),
        Field("disabled", "bool"),
        Field("javascriptUdf", "object", of=_strings("code", "functionName")),
    ),
)
SCHEMA: Final = Spec(
    "gcp:pubsub/schema:Schema",
    noun="Schema",
    title="PubsubSchema",
    source="products/pubsub/Schema.yaml",
    base=BASE,
    id="projects/{project}/schemas/{name}",
    collection="projects/{project}/schemas",
    create_query={"schemaId": "{name}"},
    update="POST",
    update_verb=":commit",
    fields=(
        Field("name", path=True, new=True),
        PROJECT,
        Field(
            "type",
            default="TYPE_UNSPECIFIED",
            values=("TYPE_UNSPECIFIED", "PROTOCOL_BUFFER", "AVRO"),
        ),
        Field("definition"),
        DELETION_POLICY,
        Field("revisionId", output=True),
    ),
    autoname=AutoName(),
)
TOPIC: Final = Spec(
    "gcp:pubsub/topic:Topic",
    noun="Topic",
    title="PubsubTopic",
    source="products/pubsub/Topic.yaml",
    base=BASE,
    id="projects/{project}/topics/{name}",
    collection="projects/{project}/topics/{name}",
    create="PUT",
    masked=True,
    fields=(
        Field("name", path=True, new=True),
        PROJECT,
        Field("kmsKeyName"),
        Field(
            "messageStoragePolicy",
            "object",
            computed=True,
            of=(
                Field("allowedPersistenceRegions", "set", required=True),
                Field("enforceInTransit", "bool"),
            ),
        ),
        Field(
            "schemaSettings",
            "object",
            of=(
                Field("schema", required=True),
                Field("encoding", default="ENCODING_UNSPECIFIED", values=ENCODINGS),
                Field("firstRevisionId"),
                Field("lastRevisionId"),
            ),
        ),
        Field("messageRetentionDuration"),
        Field(
            "ingestionDataSourceSettings",
            "object",
            choices=(
                at_most_one("awsKinesis", "awsMsk", "azureEventHubs", "cloudStorage", CONFLUENT),
            ),
            of=(
                Field(
                    "awsKinesis",
                    "object",
                    of=_strings("awsRoleArn", "consumerArn", "gcpServiceAccount", "streamArn"),
                ),
                Field(
                    "awsMsk",
                    "object",
                    of=_strings("awsRoleArn", "clusterArn", "gcpServiceAccount", "topic"),
                ),
                Field(
                    "azureEventHubs",
                    "object",
                    of=_strings(
                        optional=(
                            "clientId",
                            "eventHub",
                            "gcpServiceAccount",
                            "namespace",
                            "resourceGroup",
                            "subscriptionId",
                            "tenantId",
                        )
                    ),
                ),
                Field(
                    "cloudStorage",
                    "object",
                    choices=(exactly_one("textFormat", "avroFormat", "pubsubAvroFormat"),),
                    of=(
                        Field("bucket", required=True),
                        Field("textFormat", "object", of=(Field("delimiter", default="\n"),)),
                        Field("avroFormat", "object", force=True, bare=True),
                        Field("pubsubAvroFormat", "object", force=True, bare=True),
                        Field("minimumObjectCreateTime"),
                        Field("matchGlob"),
                    ),
                ),
                Field(
                    CONFLUENT,
                    "object",
                    of=_strings(
                        "bootstrapServer",
                        "gcpServiceAccount",
                        "identityPoolId",
                        "topic",
                        optional=("clusterId",),
                    ),
                ),
                Field(
                    "platformLogsSettings",
                    "object",
                    of=(Field("severity", default="SEVERITY_UNSPECIFIED", values=SEVERITIES),),
                ),
            ),
        ),
        TRANSFORMS,
        TAGS,
        *LABELS,
        DELETION_POLICY,
    ),
    autoname=AutoName(),
)
SUBSCRIPTION: Final = Spec(
    "gcp:pubsub/subscription:Subscription",
    noun="Subscription",
    title="PubsubSubscription",
    source="products/pubsub/Subscription.yaml",
    base=BASE,
    id="projects/{project}/subscriptions/{name}",
    collection="projects/{project}/subscriptions/{name}",
    create="PUT",
    masked=True,
    fields=(
        Field("name", path=True, new=True),
        PROJECT,
        Field("topic", new=True, required=True, agrees=_same_topic),
        Field(
            "bigqueryConfig",
            "object",
            choices=(at_most_one("useTopicSchema", "useTableSchema"),),
            of=(
                Field("table", required=True),
                Field("useTopicSchema", "bool"),
                Field("useTableSchema", "bool"),
                Field("writeMetadata", "bool"),
                Field("dropUnknownFields", "bool"),
                Field("serviceAccountEmail"),
            ),
        ),
        Field(
            "cloudStorageConfig",
            "object",
            of=(
                Field("bucket", required=True),
                Field("filenamePrefix"),
                Field("filenameSuffix"),
                Field("filenameDatetimeFormat"),
                Field("maxDuration", default="300s"),
                Field("maxBytes", "int"),
                Field("maxMessages", "int"),
                Field("state", output=True),
                Field(
                    "avroConfig",
                    "object",
                    force=True,
                    bare=True,
                    of=(
                        Field("writeMetadata", "bool", force=True),
                        Field("useTopicSchema", "bool"),
                    ),
                ),
                Field(
                    "textConfig",
                    "object",
                    computed=True,
                    bare=True,
                    of=(Field("state", output=True),),
                ),
                Field("serviceAccountEmail"),
            ),
        ),
        Field(
            "pushConfig",
            "object",
            of=(
                Field("pushEndpoint", required=True),
                Field("attributes", "map", agrees=_same_attributes),
                Field(
                    "oidcToken",
                    "object",
                    of=_strings("serviceAccountEmail", optional=("audience",)),
                ),
                Field(
                    "noWrapper",
                    "object",
                    bare=True,
                    of=(Field("writeMetadata", "bool", required=True, force=True),),
                ),
            ),
        ),
        Field("ackDeadlineSeconds", "int", computed=True),
        Field("messageRetentionDuration", default="604800s"),
        Field("retainAckedMessages", "bool"),
        # Without a time to live a subscription never expires; without a policy it does after 31
        # days.
        Field(
            "expirationPolicy",
            "object",
            computed=True,
            force=True,
            bare=True,
            of=(Field("ttl", required=True, alike=_seconds),),
        ),
        Field("filter", new=True, pattern=r"^[\s\S]{0,256}$"),
        Field(
            "deadLetterPolicy",
            "object",
            force=True,
            of=(Field("deadLetterTopic"), Field("maxDeliveryAttempts", "int")),
        ),
        Field(
            "retryPolicy",
            "object",
            force=True,
            of=(
                Field("maximumBackoff", computed=True, alike=_seconds),
                Field("minimumBackoff", computed=True, alike=_seconds),
            ),
        ),
        Field("enableMessageOrdering", "bool", new=True),
        Field("enableExactlyOnceDelivery", "bool"),
        TRANSFORMS,
        TAGS,
        *LABELS,
        DELETION_POLICY,
    ),
    autoname=AutoName(),
    choices=(at_most_one("bigqueryConfig", "cloudStorageConfig", "pushConfig"),),
)
TOPIC_TARGET: Final = Target(
    "gcp:pubsub/topicIAMMember:TopicIAMMember",
    property="topic",
    source="services/pubsub/iam_pubsub_topic.go",
    path="projects/{project}/topics/{topic}",
    describe='pubsub topic "projects/{project}/topics/{topic}"',
    url=BASE + "/projects/{project}/topics/{topic}",
    fields=(Field("topic", new=True, required=True), PROJECT),
    get=("GET", ":getIamPolicy"),
)
SUBSCRIPTION_TARGET: Final = Target(
    "gcp:pubsub/subscriptionIAMMember:SubscriptionIAMMember",
    property="subscription",
    source="services/pubsub/iam_pubsub_subscription.go",
    path="projects/{project}/subscriptions/{subscription}",
    describe='pubsub subscription "projects/{project}/subscriptions/{subscription}"',
    url=BASE + "/projects/{project}/subscriptions/{subscription}",
    fields=(Field("subscription", new=True, required=True), PROJECT),
    get=("GET", ":getIamPolicy"),
    shows_path=False,
    shows_given=True,
)


class Schema(Rest):
    """A schema: an update commits a new revision."""

    spec = SCHEMA
    waits = "delete: until it was absent ten times running"

    def body(self, inputs: Props, outputs: Props, *, update: bool) -> Props:
        names = self.names("", inputs, outputs)
        schema = super().body(inputs, outputs, update=update)
        if not update:
            return schema | {"name": names["name"]}
        whole = self.spec.id.format_map(names)
        return {"name": whole, "schema": schema | {"name": whole}}

    def await_deletion(
        self, id: str, names: Mapping[str, str], answer: Props, context: Context
    ) -> None:
        absences = 0
        for _ in range(ABSENCE_ATTEMPTS):
            try:
                absences = 0 if self.get(id, {}, {}) else absences + 1
            except ProviderError as error:
                raise ProviderError(f"Error waiting to delete Schema: {error}") from error
            if absences == ABSENCES:
                return
            self.provider.google.sleep(ABSENCE_PAUSE)
        raise ProviderError(f"Error waiting to delete Schema: {id!r} can still be read")


class Named(Rest):
    """What is created with PUT under its own name, and read until it is there."""

    def body(self, inputs: Props, outputs: Props, *, update: bool) -> Props:
        body = super().body(inputs, outputs, update=update)
        return {self.spec.noun.lower(): body} if update else body

    def changes(self, old_inputs: Props, old_outputs: Props, inputs: Props) -> list[Field]:
        """An empty `unstructuredInference` is never sent: the state lacks it and differs for good.

        As the official plugin (provider-contract/core/update.jsonl).
        """
        differing = super().changes(old_inputs, old_outputs, inputs)
        there, wanted = (values.get(TRANSFORMS.name) for values in (old_outputs, inputs))
        if TRANSFORMS not in differing and wanted and not same(TRANSFORMS, there, wanted):
            return [*differing, TRANSFORMS]
        return differing

    def read_created(self, id: str, inputs: Props, context: Context) -> Props:
        for pause in EXISTENCE_PAUSES:
            with contextlib.suppress(ProviderError):  # the read below will tell
                if self.get(id, inputs, {}) is not None:
                    break
            self.provider.google.sleep(pause)
        return super().read_created(id, inputs, context)


class Topic(Named):
    spec = TOPIC
    waits = "create: until it is found"


class Subscription(Named):
    spec = SUBSCRIPTION
    waits = "create: until it is found"

    def body(self, inputs: Props, outputs: Props, *, update: bool) -> Props:
        body = super().body(inputs, outputs, update=update)
        if "topic" in body and "/" not in body["topic"]:
            names = self.names("", inputs, outputs)
            body["topic"] = f"projects/{names['project']}/topics/{body['topic']}"
        return body

    def mask(self, differing: list[Field], old_outputs: Props, inputs: Props) -> list[str]:
        """The official plugin names `bigqueryConfig` in every update of a subscription with one."""
        sent = super().mask(differing, old_outputs, inputs)
        return [*sent, "bigqueryConfig"] if sent and inputs.get("bigqueryConfig") else sent
