"""How the stand-in makes, changes, reads and deletes schemas, topics and subscriptions."""

from __future__ import annotations

from typing import Any

import pytest

from pulumi_plugin.kinds import Context, Failure, PartialFailure, ProviderError
from pulumi_plugin.values import UNKNOWN, Props
from standin.resource import Declared
from tests.standin.support import DENIED, Scripted, configured

SCHEMA = "gcp:pubsub/schema:Schema"
TOPIC = "gcp:pubsub/topic:Topic"
SUBSCRIPTION = "gcp:pubsub/subscription:Subscription"
TOPICS, SUBSCRIPTIONS = "/v1/projects/p/topics", "/v1/projects/p/subscriptions"
LABELS = {"goog-pulumi-provisioned": "true"}
GONE = (404, {"error": {"code": 404, "message": "Resource not found (resource=t)."}})


def topic(**other: Any) -> Props:
    """A topic as Google describes it."""
    return {"name": f"{TOPICS[4:]}/t", "labels": LABELS, **other}


def subscription(**other: Any) -> Props:
    """A subscription as Google describes it."""
    return {
        "name": f"{SUBSCRIPTIONS[4:]}/s",
        "topic": f"{TOPICS[4:]}/t",
        "labels": LABELS,
        "ackDeadlineSeconds": 10,
        "messageRetentionDuration": "604800s",
        "expirationPolicy": {"ttl": "2678400s"},
        **other,
    }


def checked(kind: Declared, given: Props) -> Props:
    inputs, failures = kind.check(given, {}, Context(name="x"))
    assert failures == []
    return inputs


def made(token: str, given: Props, answer: Props, path: str) -> tuple[Any, Scripted, Props, Props]:
    """A resource that was made from `given`: its kind, the API, its inputs and its outputs."""
    api = Scripted({f"PUT {path}": {}, f"GET {path}": answer, f"PATCH {path}": {}})
    kind = configured(api)[0].kind(token)
    inputs = checked(kind, given)
    _, outputs = kind.create(inputs, Context())
    return kind, api, inputs, outputs


def test_a_topic_is_put_and_read_until_it_is_there() -> None:
    api = Scripted({f"PUT {TOPICS}/t": {}, f"GET {TOPICS}/t": [GONE, GONE, topic()]})
    gcp, slept = configured(api)
    id, outputs = gcp.kind(TOPIC).create({"name": "t"}, Context())
    assert (id, outputs["name"], outputs["project"]) == (f"{TOPICS[4:]}/t", "t", "p")
    assert api.sent() == [f"PUT {TOPICS}/t"] + [f"GET {TOPICS}/t"] * 4
    assert slept == [0.5, 1.0]


def test_a_topic_made_but_not_readable_stays_in_the_state() -> None:
    api = Scripted({f"PUT {TOPICS}/t": {}, f"GET {TOPICS}/t": (403, DENIED)})
    with pytest.raises(
        PartialFailure, match='reading or editing PubsubTopic "projects/p/topics/t"'
    ):
        configured(api)[0].kind(TOPIC).create({"name": "t"}, Context())


@pytest.mark.parametrize(
    ("token", "method", "path", "given", "noun"),
    [
        (SCHEMA, "POST", "/v1/projects/p/schemas", {"name": "s"}, "Schema"),
        (TOPIC, "PUT", f"{TOPICS}/t", {"name": "t"}, "Topic"),
        (SUBSCRIPTION, "PUT", f"{SUBSCRIPTIONS}/s", {"name": "s", "topic": "t"}, "Subscription"),
    ],
)
def test_a_denial_says_what_was_being_created(
    token: str, method: str, path: str, given: Props, noun: str
) -> None:
    gcp, _ = configured(Scripted({f"{method} {path}": (403, DENIED)}))
    with pytest.raises(ProviderError) as raised:
        gcp.kind(token).create(given, Context())
    said = f"Error creating {noun}: googleapi: Error 403: Permission 'x' denied on resource 'y'"
    assert str(raised.value).startswith(said)


def test_an_empty_inference_is_never_sent_and_differs_for_good() -> None:
    inference = {"endpoint": "e", "serviceAccountEmail": "a@b"}
    given = {
        "name": "t",
        "messageTransforms": [{"aiInference": {**inference, "unstructuredInference": {}}}],
    }
    answer = topic(messageTransforms=[{"aiInference": inference}])
    kind, api, inputs, outputs = made(TOPIC, given, answer, f"{TOPICS}/t")
    assert api.bodies(f"PUT {TOPICS}/t")[0]["messageTransforms"] == [{"aiInference": inference}]
    assert kind.diff("t", inputs, outputs, inputs).updates == ("messageTransforms",)

    found = kind.read("projects/p/topics/t", inputs, outputs, Context())
    assert "unstructuredInference" not in found.inputs["messageTransforms"][0]["aiInference"]
    assert kind.diff("t", found.inputs, found.outputs, inputs).updates == ("messageTransforms",)
    plain = checked(kind, {"name": "t", "messageTransforms": [{"aiInference": inference}]})
    assert kind.diff("t", found.inputs, found.outputs, plain).updates == ()


def test_a_format_without_settings_is_sent_and_a_format_that_is_not_chosen_is_null() -> None:
    source = {"cloudStorage": {"bucket": "b", "avroFormat": {}}}
    answer = topic(ingestionDataSourceSettings={"cloudStorage": {"bucket": "b", "avroFormat": {}}})
    given = {"name": "t", "ingestionDataSourceSettings": source}
    kind, api, inputs, outputs = made(TOPIC, given, answer, f"{TOPICS}/t")
    assert api.bodies(f"PUT {TOPICS}/t")[0]["ingestionDataSourceSettings"] == {
        "cloudStorage": {"bucket": "b", "avroFormat": {}, "pubsubAvroFormat": None}
    }
    found = kind.read("projects/p/topics/t", inputs, outputs, Context())
    assert found.inputs == inputs
    source["cloudStorage"] = {"bucket": "b", "pubsubAvroFormat": {}}
    other = checked(kind, given)
    assert kind.diff("t", inputs, outputs, other).updates == ("ingestionDataSourceSettings",)


def test_an_update_of_a_topic_wraps_it_and_names_what_changed() -> None:
    policy = {"allowedPersistenceRegions": ["r"]}  # Google's choice, and the body keeps it
    kind, api, inputs, outputs = made(
        TOPIC, {"name": "t"}, topic(messageStoragePolicy=policy), f"{TOPICS}/t"
    )
    new = {**inputs, "messageRetentionDuration": "600s"}
    kind.update("projects/p/topics/t", inputs, outputs, new, Context())
    patch = api.exchanges[-2]
    assert patch["query"]["updateMask"] == "messageRetentionDuration"
    assert patch["body"] == {
        "topic": {
            "messageStoragePolicy": policy,
            "messageRetentionDuration": "600s",
            "labels": LABELS,
        }
    }


def test_tags_are_sent_once_and_never_read_back() -> None:
    given = {"name": "t", "tags": {"tagKeys/1": "tagValues/2"}}
    kind, api, inputs, outputs = made(TOPIC, given, topic(), f"{TOPICS}/t")
    assert api.bodies(f"PUT {TOPICS}/t")[0]["tags"] == given["tags"]
    found = kind.read("projects/p/topics/t", inputs, outputs, Context())
    assert (found.inputs, found.outputs["tags"]) == (inputs, given["tags"])
    change = kind.diff("t", found.inputs, found.outputs, {"name": "t", "__defaults": []})
    assert (change.replaces, change.delete_before_replace) == (("tags",), True)


@pytest.mark.parametrize("id", ["projects/p/topics/t", "p/t", "t"])
def test_a_topic_is_imported_by_its_whole_or_shortened_name(id: str) -> None:
    transform = {"javascriptUdf": {"code": "c", "functionName": "f"}}
    answer = topic(messageTransforms=[transform], kmsKeyName="k")
    kind = configured(Scripted({f"GET {TOPICS}/t": answer}))[0].kind(TOPIC)
    found = kind.read(id, {}, {}, Context())
    assert found is not None and found.id == "projects/p/topics/t"
    program = checked(kind, {"name": "t", "kmsKeyName": "k", "messageTransforms": [transform]})
    assert kind.diff(found.id, found.inputs, found.outputs, program).updates == ()


def test_a_subscription_names_its_topic_whole_and_only_another_topic_replaces_it() -> None:
    given = {"name": "s", "topic": "t"}
    kind, api, inputs, outputs = made(SUBSCRIPTION, given, subscription(), f"{SUBSCRIPTIONS}/s")
    assert api.bodies(f"PUT {SUBSCRIPTIONS}/s") == [
        {
            "topic": "projects/p/topics/t",
            "labels": LABELS,
            "messageRetentionDuration": "604800s",
            "expirationPolicy": None,
            "deadLetterPolicy": None,
            "retryPolicy": None,
        }
    ]
    found = kind.read("projects/p/subscriptions/s", inputs, outputs, Context())
    assert found.inputs == inputs
    for name, replaces in (("projects/p/topics/t", ()), ("projects/q/topics/t", ("topic",))):
        change = kind.diff("s", inputs, found.outputs, {**inputs, "topic": name})
        assert (change.updates, change.replaces) == ((), replaces), name
    orphan = subscription(topic="_deleted-topic_")
    api.script[f"GET {SUBSCRIPTIONS}/s"].appendleft(orphan)
    found = kind.read("projects/p/subscriptions/s", inputs, outputs, Context())
    assert kind.diff("s", found.inputs, found.outputs, inputs).replaces == ("topic",)


@pytest.mark.parametrize("part", [{"filter": "attributes:x"}, {"enableMessageOrdering": True}])
def test_what_a_subscription_cannot_change_replaces_it(part: Props) -> None:
    given = {"name": "s", "topic": "t"}
    kind, _, inputs, outputs = made(SUBSCRIPTION, given, subscription(), f"{SUBSCRIPTIONS}/s")
    assert kind.diff("s", inputs, outputs, {**inputs, **part}).replaces == tuple(part)


def test_an_update_of_a_subscription_to_bigquery_always_names_that() -> None:
    table = {"table": "p.d.t"}
    given = {"name": "s", "topic": "t", "bigqueryConfig": table}
    answer = subscription(bigqueryConfig={**table, "state": "ACTIVE"})
    kind, api, inputs, outputs = made(SUBSCRIPTION, given, answer, f"{SUBSCRIPTIONS}/s")
    new = {**inputs, "ackDeadlineSeconds": 30}
    kind.update("projects/p/subscriptions/s", inputs, outputs, new, Context())
    patch = api.exchanges[-2]
    assert patch["query"]["updateMask"] == "ackDeadlineSeconds,bigqueryConfig"
    assert patch["body"]["subscription"]["bigqueryConfig"] == table
    assert patch["body"]["subscription"]["expirationPolicy"] == {"ttl": "2678400s"}
    assert "topic" not in patch["body"]["subscription"]


def test_never_to_expire_is_not_the_same_as_to_leave_it_to_google() -> None:
    given = {"name": "s", "topic": "t"}
    kind, _, inputs, outputs = made(SUBSCRIPTION, given, subscription(), f"{SUBSCRIPTIONS}/s")
    for ttl, updates in (("", ("expirationPolicy",)), ("2678400.0s", ())):
        new = checked(kind, {**given, "expirationPolicy": {"ttl": ttl}})
        assert kind.diff("s", inputs, outputs, new).updates == updates, ttl
    never = subscription(expirationPolicy={})
    forever = {**given, "expirationPolicy": {"ttl": ""}}
    kind, _, inputs, outputs = made(SUBSCRIPTION, forever, never, f"{SUBSCRIPTIONS}/s")
    assert outputs["expirationPolicy"] == {"ttl": ""}
    assert kind.diff("s", inputs, outputs, inputs).updates == ()


def test_a_push_format_that_google_does_not_repeat_is_no_drift_and_another_is() -> None:
    push = {"pushEndpoint": "https://x", "attributes": {"x-goog-version": "v1"}}
    given = {"name": "s", "topic": "t", "pushConfig": push}
    kind, api, inputs, outputs = made(
        SUBSCRIPTION,
        given,
        subscription(pushConfig={"pushEndpoint": "https://x"}),
        f"{SUBSCRIPTIONS}/s",
    )
    id = "projects/p/subscriptions/s"
    assert kind.read(id, inputs, outputs, Context()).inputs == inputs
    other = {**push, "attributes": {"x-goog-version": "v1beta1"}}
    api.script[f"GET {SUBSCRIPTIONS}/s"].appendleft(subscription(pushConfig=other))
    found = kind.read(id, inputs, outputs, Context())
    assert kind.diff("s", found.inputs, found.outputs, inputs).updates == ("pushConfig",)


def test_a_subscription_delivers_to_one_place() -> None:
    kind = configured(Scripted({}))[0].kind(SUBSCRIPTION)
    push, table = {"pushEndpoint": UNKNOWN}, {"table": "p.d.t"}
    given = {"name": "s", "topic": "t", "pushConfig": push, "bigqueryConfig": table}
    _, failures = kind.check(given, {}, Context())
    said = 'Conflicting configuration arguments. "bigquery_config": conflicts with push_config'
    assert failures == [Failure("bigqueryConfig", said)]


def test_a_changed_schema_is_committed_under_its_whole_name() -> None:
    path, id = "/v1/projects/p/schemas/s", "projects/p/schemas/s"
    answer = {"name": id, "type": "AVRO", "definition": "new", "revisionId": "2"}
    api = Scripted({f"POST {path}:commit": {}, f"GET {path}": answer})
    kind = configured(api)[0].kind(SCHEMA)
    old = checked(kind, {"name": "s", "type": "AVRO", "definition": "old"})
    new = {**old, "definition": "new"}
    after = kind.update(id, old, {**old, "project": "p"}, new, Context())
    assert api.bodies(f"POST {path}:commit") == [
        {"name": id, "schema": {"name": id, "type": "AVRO", "definition": "new"}}
    ]
    assert (after["name"], after["revisionId"]) == ("s", "2")


def test_a_deleted_schema_is_waited_for_until_it_was_absent_ten_times_in_a_row() -> None:
    path, id = "/v1/projects/p/schemas/s", "projects/p/schemas/s"
    answers = [GONE, {"name": id}, *[GONE] * 10, AssertionError("asked once too often")]
    api = Scripted({f"DELETE {path}": {}, f"GET {path}": answers})
    gcp, slept = configured(api)
    gcp.kind(SCHEMA).delete(id, {"name": "s"}, {"project": "p"}, Context())
    assert api.sent() == [f"DELETE {path}"] + [f"GET {path}"] * 12
    assert len(slept) == 11
    gcp.kind(SCHEMA).delete(id, {"name": "s"}, {"deletionPolicy": "ABANDON"}, Context())
    assert len(api.sent()) == 13


def test_deleting_a_schema_again_is_fine_and_one_that_stays_is_an_error() -> None:
    path, id = "/v1/projects/p/schemas/s", "projects/p/schemas/s"
    api = Scripted({f"DELETE {path}": [GONE, {}], f"GET {path}": {"name": id}})
    kind = configured(api)[0].kind(SCHEMA)
    kind.delete(id, {"name": "s"}, {}, Context())
    assert api.sent() == [f"DELETE {path}"]
    with pytest.raises(ProviderError, match="Schema: 'projects/p/schemas/s' can still be read"):
        kind.delete(id, {"name": "s"}, {}, Context())


def test_a_schema_without_a_name_is_named_after_the_resource() -> None:
    kind = configured(Scripted({}))[0].kind(SCHEMA)
    inputs, _ = kind.check({}, {}, Context(name="readings", seed=b"seed"))
    assert inputs["name"].startswith("readings-") and inputs["type"] == "TYPE_UNSPECIFIED"
    assert inputs["__defaults"] == ["name", "type"]


@pytest.mark.parametrize(
    ("token", "property", "path", "shown"),
    [
        (
            "gcp:pubsub/topicIAMMember:TopicIAMMember",
            "topic",
            f"{TOPICS}/x",
            {"topic": "projects/p/topics/x", "project": "p"},
        ),
        (
            "gcp:pubsub/subscriptionIAMMember:SubscriptionIAMMember",
            "subscription",
            f"{SUBSCRIPTIONS}/x",
            {"subscription": "x", "project": None},
        ),
    ],
)
def test_a_member_is_granted_on_the_topic_or_the_subscription_alone(
    token: str, property: str, path: str, shown: Props
) -> None:
    binding = {"role": "roles/pubsub.viewer", "members": ["user:a@example.com"]}
    empty, granted = {"etag": "1"}, {"etag": "2", "bindings": [binding]}
    api = Scripted(
        {f"GET {path}:getIamPolicy": [empty, granted], f"POST {path}:setIamPolicy": granted}
    )
    kind = configured(api)[0].kind(token)
    inputs = {property: "x", "role": "roles/pubsub.viewer", "member": "user:a@example.com"}
    id, outputs = kind.create(inputs, Context())
    assert id == f"{path[4:]}/roles/pubsub.viewer/user:a@example.com"
    assert {name: outputs[name] for name in shown} == shown
    assert api.bodies(f"POST {path}:setIamPolicy") == [
        {"policy": {"etag": "1", "bindings": [binding], "version": 3}}
    ]
    imported = kind.read(f"{path[4:]} roles/pubsub.viewer user:a@example.com", {}, {}, Context())
    assert imported is not None and imported.id == id
