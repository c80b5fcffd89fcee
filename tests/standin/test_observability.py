"""How the stand-in makes, changes, reads and deletes what watches: monitoring and logging."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pulumi_plugin.kinds import Context, Failure, ProviderError
from pulumi_plugin.values import Props
from standin.checks import terraform
from standin.logs import SHARED_WRITER
from standin.resource import Declared
from tests.standin.support import DENIED, Scripted, configured

ALERT = "gcp:monitoring/alertPolicy:AlertPolicy"
CHANNEL = "gcp:monitoring/notificationChannel:NotificationChannel"
DASHBOARD = "gcp:monitoring/dashboard:Dashboard"
SERVICE = "gcp:monitoring/customService:CustomService"
SLO = "gcp:monitoring/slo:Slo"
METRIC = "gcp:logging/metric:Metric"
SINK = "gcp:logging/projectSink:ProjectSink"
V3 = "/v3/projects/p"
SINKS = "/v2/projects/p/sinks"
GONE = (404, {"error": {"code": 404, "message": "Not found."}})
WRITER = "serviceAccount:service-7@gcp-sa-logging.iam.gserviceaccount.com"
SINK_INPUTS: Props = {"name": "s", "destination": "storage.googleapis.com/b"}
THRESHOLD: Props = {"comparison": "COMPARISON_GT", "duration": "60s", "filter": "f"}
CONDITION: Props = {"displayName": "c", "conditionThreshold": THRESHOLD}
ALERT_INPUTS: Props = {"displayName": "a", "combiner": "OR", "conditions": [CONDITION]}
SLO_INPUTS: Props = {"service": "pm", "sloId": "avail", "goal": 0.99, "rollingPeriodDays": 28}
METRIC_INPUTS: Props = {"name": "m", "filter": "f"}


def sink(**other: Any) -> Props:
    """A sink as Google describes it."""
    return {**SINK_INPUTS, "writerIdentity": WRITER, **other}


def checked(kind: Declared, given: Props) -> Props:
    inputs, failures = kind.check(given, {}, Context(name="x"))
    assert failures == []
    return inputs


def read(kind: Any, id: str, inputs: Props, outputs: Props) -> Any:
    found = kind.read(id, inputs, outputs, Context())
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("token", "given", "path", "said"),
    [
        (ALERT, ALERT_INPUTS, f"{V3}/alertPolicies", "Error creating AlertPolicy: "),
        (CHANNEL, {"type": "email"}, f"{V3}/notificationChannels", "Error creating Notification"),
        (DASHBOARD, {"dashboardJson": "{}"}, "/v1/projects/p/dashboards", "Error creating Dash"),
        (SERVICE, {"serviceId": "pm"}, f"{V3}/services", "Error creating Service: "),
        (SLO, SLO_INPUTS, f"{V3}/services/pm/serviceLevelObjectives", "Error creating Slo: "),
        (METRIC, METRIC_INPUTS, "/v2/projects/p/metrics", "Error creating Metric: "),
        (SINK, SINK_INPUTS, SINKS, "googleapi: Error 403: "),
    ],
)
def test_a_denial_says_what_was_being_created(
    token: str, given: Props, path: str, said: str
) -> None:
    gcp, _ = configured(Scripted({f"POST {path}": (403, DENIED), f"GET {SINKS}/s": GONE}))
    with pytest.raises(ProviderError) as raised:
        gcp.kind(token).create(given, Context())
    assert str(raised.value).startswith(said)


@pytest.mark.parametrize(
    ("token", "id", "answer", "program"),
    [
        (
            ALERT,
            "projects/p/alertPolicies/1",
            {"enabled": True, **ALERT_INPUTS, "conditions": [{**CONDITION, "name": "c/1"}]},
            ALERT_INPUTS,
        ),
        (
            CHANNEL,
            "projects/p/notificationChannels/1",
            {"type": "email", "enabled": True, "labels": {"email_address": "a@b"}},
            {"type": "email", "labels": {"email_address": "a@b"}},
        ),
        (SERVICE, "projects/p/services/pm", {"custom": {}}, {"serviceId": "pm"}),
        (
            SLO,
            "projects/p/services/pm/serviceLevelObjectives/avail",
            {
                "goal": 0.99,
                "rollingPeriod": "2419200s",
                "serviceLevelIndicator": {"basicSli": {"availability": {}, "method": ["b", "a"]}},
            },
            {**SLO_INPUTS, "basicSli": {"availability": {}, "methods": ["a", "b"]}},
        ),
    ],
)
def test_what_google_names_is_imported_by_that_name(
    token: str, id: str, answer: Props, program: Props
) -> None:
    api = Scripted({f"GET /v3/{id}": {"name": id, **answer}})
    kind = configured(api)[0].kind(token)
    found = read(kind, id, {}, {})
    assert (found.id, found.outputs["name"], found.outputs["project"]) == (id, id, "p")
    change = kind.diff(id, found.inputs, found.outputs, checked(kind, program))
    assert (change.updates, change.replaces) == ((), ())


def test_a_condition_keeps_the_name_that_google_gave_it() -> None:
    name = "projects/p/alertPolicies/1"
    answer = {"name": name, "enabled": True, **ALERT_INPUTS}
    answer["conditions"] = [{**CONDITION, "name": f"{name}/conditions/2"}]
    api = Scripted(
        {
            f"POST {V3}/alertPolicies": {"name": name},
            f"GET /v3/{name}": answer,
            f"PATCH /v3/{name}": {},
        }
    )
    kind = configured(api)[0].kind(ALERT)
    inputs = checked(kind, ALERT_INPUTS)
    id, outputs = kind.create(inputs, Context())
    assert id == name and outputs["conditions"][0]["name"].endswith("/2")
    lower = {**CONDITION, "conditionThreshold": {**THRESHOLD, "thresholdValue": 4}}
    new = {**inputs, "enabled": False, "conditions": [lower, CONDITION]}
    kind.update(id, inputs, outputs, new, Context())
    patch = api.exchanges[-2]
    assert patch["query"]["updateMask"] == "enabled,conditions"
    assert patch["body"]["enabled"] is False
    assert patch["body"]["conditions"] == [
        {**lower, "name": f"{name}/conditions/2"},
        CONDITION,
    ]


def test_a_reducer_that_reduces_nothing_is_no_difference_and_another_is() -> None:
    name = "projects/p/alertPolicies/1"
    aligned = {"alignmentPeriod": "60s", "perSeriesAligner": "ALIGN_MEAN"}

    def policy(**reducer: str) -> Props:
        threshold = {**THRESHOLD, "aggregations": [{**aligned, **reducer}]}
        return {**ALERT_INPUTS, "conditions": [{**CONDITION, "conditionThreshold": threshold}]}

    none, summed = ({"crossSeriesReducer": f"REDUCE_{what}"} for what in ("NONE", "SUM"))
    api = Scripted(
        {f"GET /v3/{name}": [{"enabled": True, **policy(**it)} for it in (none, summed)]}
    )
    kind = configured(api)[0].kind(ALERT)
    program = checked(kind, policy())
    for updates in ((), ("conditions",)):
        found = read(kind, name, checked(kind, policy(**none)), {})
        assert kind.diff(name, found.inputs, found.outputs, program).updates == updates


def test_secret_labels_are_sent_with_the_others_and_not_expected_back() -> None:
    name = "projects/p/notificationChannels/1"
    shown = {"channel_name": "#ops", "auth_token": "xo******"}
    answer = {"name": name, "type": "slack", "enabled": True, "labels": shown}
    api = Scripted({f"POST {V3}/notificationChannels": {"name": name}, f"GET /v3/{name}": answer})
    kind = configured(api)[0].kind(CHANNEL)
    labels, secret = {"channel_name": "#ops"}, {"authToken": "xoxb"}
    inputs = checked(kind, {"type": "slack", "labels": labels, "sensitiveLabels": secret})
    id, outputs = kind.create(inputs, Context())
    assert api.bodies(f"POST {V3}/notificationChannels")[0]["labels"] == {
        "channel_name": "#ops",
        "auth_token": "xoxb",
    }
    assert (outputs["labels"], outputs["sensitiveLabels"]) == (labels, secret)
    found = read(kind, id, inputs, outputs)
    assert found.inputs == inputs
    assert kind.diff(id, found.inputs, found.outputs, inputs).updates == ()
    rotated = {**inputs, "sensitiveLabels": {"authToken": "other"}}
    assert kind.diff(id, inputs, outputs, rotated).updates == ("sensitiveLabels",)

    plain = checked(kind, {"type": "slack", "labels": {**labels, "auth_token": "xoxb"}})
    assert read(kind, id, plain, {}).inputs == plain


def test_a_channel_in_use_is_deleted_only_by_force() -> None:
    name = "projects/p/notificationChannels/1"
    api = Scripted({f"DELETE /v3/{name}": {}})
    kind = configured(api)[0].kind(CHANNEL)
    for force in (False, True):
        kind.delete(name, {"type": "email"}, {"forceDelete": force}, Context())
    assert [exchange["query"]["force"] for exchange in api.exchanges] == ["false", "true"]


def test_a_dashboard_differs_only_where_the_program_says_something() -> None:
    name, path = "projects/p/dashboards/1", "/v1/projects/p/dashboards/1"
    program = {"displayName": "d", "gridLayout": {"widgets": [{"title": "x"}, {"title": "y"}]}}
    widgets = [{"title": "x", "id": "w1"}, {"title": "y"}]
    there = {**program, "name": name, "etag": "1", "gridLayout": {"widgets": widgets}}
    renamed = {**there, "displayName": "by hand", "etag": "2"}
    api = Scripted(
        {
            "POST /v1/projects/p/dashboards": there,
            f"GET {path}": [there, there, renamed],
            f"PATCH {path}": {},
        }
    )
    kind = configured(api)[0].kind(DASHBOARD)
    inputs = checked(kind, {"dashboardJson": json.dumps(program)})
    id, outputs = kind.create(inputs, Context())
    assert api.bodies("POST /v1/projects/p/dashboards") == [program]
    assert id == name and json.loads(outputs["dashboardJson"]) == there

    found = read(kind, id, inputs, outputs)
    assert found.inputs == inputs
    assert kind.diff(id, inputs, found.outputs, inputs).updates == ()
    del program["gridLayout"]["widgets"][1]
    fewer = checked(kind, {"dashboardJson": json.dumps(program)})
    assert kind.diff(id, inputs, found.outputs, fewer).updates == ("dashboardJson",)

    found = read(kind, id, inputs, outputs)
    change = kind.diff(id, found.inputs, found.outputs, inputs)
    assert (change.updates, change.replaces) == (("dashboardJson",), ())
    kind.update(id, found.inputs, found.outputs, fewer, Context())
    assert api.bodies(f"PATCH {path}") == [{**program, "etag": "2"}]


def test_a_dashboard_that_is_not_json_is_refused() -> None:
    kind = configured(Scripted({}))[0].kind(DASHBOARD)
    _, failures = kind.check({"dashboardJson": "{"}, {}, Context())
    assert failures == [Failure("dashboardJson", '"dashboardJson" contains an invalid JSON')]


def test_a_service_without_an_id_gets_googles_and_the_project_keeps_its_own() -> None:
    name = "projects/7/services/x1"
    api = Scripted({f"POST {V3}/services": {"name": name}, f"GET /v3/{name}": {"name": name}})
    kind = configured(api)[0].kind(SERVICE)
    id, outputs = kind.create(checked(kind, {"displayName": "d"}), Context())
    assert api.bodies(f"POST {V3}/services") == [
        {"custom": {}, "displayName": "d", "userLabels": {}}
    ]
    assert (id, outputs["serviceId"], outputs["project"]) == (name, "x1", "p")


def test_an_objective_is_sent_in_googles_terms_and_updated_leaf_by_leaf() -> None:
    objectives = f"{V3}/services/pm/serviceLevelObjectives"
    name = f"{objectives[4:]}/avail"
    answer = {
        "name": name,
        "goal": 0.99,
        "rollingPeriod": "2419200s",
        "serviceLevelIndicator": {"basicSli": {"availability": {}}},
    }
    api = Scripted(
        {
            f"POST {objectives}": {"name": name},
            f"GET {objectives}/avail": answer,
            f"PATCH {objectives}/avail": {},
        }
    )
    kind = configured(api)[0].kind(SLO)
    inputs = checked(kind, {**SLO_INPUTS, "basicSli": {"availability": {}}})
    id, outputs = kind.create(inputs, Context())
    assert api.bodies(f"POST {objectives}") == [{**answer, "name": "avail", "userLabels": {}}]
    assert (outputs["rollingPeriodDays"], outputs["service"]) == (28, "pm")
    assert outputs["basicSli"]["availability"] == {"enabled": True}

    cut = {"distributionFilter": "f", "range": {"max": 100}}
    given = {**SLO_INPUTS, "goal": 0.9, "requestBasedSli": {"distributionCut": cut}}
    kind.update(id, inputs, outputs, checked(kind, given), Context())
    patch = api.exchanges[-2]
    assert patch["query"]["updateMask"].split(",") == [
        "goal",
        "serviceLevelIndicator.basicSli",
        "serviceLevelIndicator.requestBased.goodTotalRatio.badServiceFilter",
        "serviceLevelIndicator.requestBased.goodTotalRatio.goodServiceFilter",
        "serviceLevelIndicator.requestBased.goodTotalRatio.totalServiceFilter",
        "serviceLevelIndicator.requestBased.distributionCut.range",
        "serviceLevelIndicator.requestBased.distributionCut.distributionFilter",
    ]
    assert patch["body"]["serviceLevelIndicator"] == {"requestBased": {"distributionCut": cut}}


def test_an_objective_has_one_period_and_one_indicator() -> None:
    kind = configured(Scripted({}))[0].kind(SLO)
    given = {**SLO_INPUTS, "calendarPeriod": "DAY"}
    _, failures = kind.check(given, {}, Context())
    periods, indicators = "calendar_period,rolling_period_days", "basic_sli,request_based_sli"
    assert [(failure.property, failure.reason) for failure in failures] == [
        *(
            (
                name,
                f'Invalid combination of arguments. "{terraform(name)}": only one of `{periods}` '
                f"can be specified, but `{periods}` were specified.",
            )
            for name in ("rollingPeriodDays", "calendarPeriod")
        ),
        *(
            (
                name,
                f'Invalid combination of arguments. "{terraform(name)}": one of '
                f"`{indicators},windows_based_sli` must be specified",
            )
            for name in ("basicSli", "requestBasedSli", "windowsBasedSli")
        ),
    ]


def test_a_metric_is_addressed_by_its_escaped_name_and_put_whole() -> None:
    path = "/v2/projects/p/metrics/my-%28custom%29%2Fmetric"
    name = "my-(custom)/metric"
    answer = {"name": name, "filter": "f", "metricDescriptor": {"unit": "1"}}
    api = Scripted({"POST /v2/projects/p/metrics": {}, f"GET {path}": answer, f"PUT {path}": {}})
    kind = configured(api)[0].kind(METRIC)
    inputs = checked(kind, {"name": name, "filter": "f"})
    id, outputs = kind.create(inputs, Context())
    assert (id, outputs["name"]) == (name, name)
    kind.update(id, inputs, outputs, {**inputs, "description": "d"}, Context())
    assert api.bodies(f"PUT {path}") == [
        {"name": name, "filter": "f", "description": "d", "metricDescriptor": {"unit": "1"}}
    ]


def test_labels_of_a_metric_have_no_order_and_cannot_be_changed_in_place() -> None:
    kind = configured(Scripted({}))[0].kind(METRIC)

    def inputs(*labels: Props, unit: str = "1") -> Props:
        descriptor = {"metricKind": "DELTA", "valueType": "INT64", "unit": unit}
        return checked(
            kind, {**METRIC_INPUTS, "metricDescriptor": {**descriptor, "labels": [*labels]}}
        )

    code, who = {"key": "code", "valueType": "INT64"}, {"key": "who"}
    old = inputs(code, who)
    assert old["metricDescriptor"]["labels"][1]["valueType"] == "STRING"
    assert kind.diff("m", old, old, inputs(who, code)) == kind.diff("m", old, old, old)
    assert kind.diff("m", old, old, inputs(code, who, unit="s")).updates == ("metricDescriptor",)
    fewer = kind.diff("m", old, old, inputs(code))
    assert (fewer.updates, fewer.replaces) == ((), ("metricDescriptor",))


def test_a_sink_is_created_with_its_own_writer_unless_the_program_shares_one() -> None:
    for unique, writer in ((True, WRITER), (False, SHARED_WRITER)):
        api = Scripted({f"GET {SINKS}/s": [GONE, sink(writerIdentity=writer)], f"POST {SINKS}": {}})
        kind = configured(api)[0].kind(SINK)
        given = {**SINK_INPUTS, "uniqueWriterIdentity": unique}
        _, outputs = kind.create(checked(kind, given), Context())
        assert api.exchanges[1]["query"]["uniqueWriterIdentity"] == str(unique).lower()
        assert api.bodies(f"POST {SINKS}") == [SINK_INPUTS]
        assert (outputs["uniqueWriterIdentity"], outputs["writerIdentity"]) == (unique, writer)


def test_googles_own_sink_is_taken_over_and_left_behind() -> None:
    path = f"{SINKS}/_Default"
    api = Scripted({f"GET {path}": sink(name="_Default"), f"PATCH {path}": {}})
    kind = configured(api)[0].kind(SINK)
    inputs = checked(kind, {**SINK_INPUTS, "name": "_Default", "filter": "f"})
    id, outputs = kind.create(inputs, Context())
    patch = api.exchanges[1]
    assert patch["query"]["updateMask"] == "exclusions,destination,filter"
    assert patch["body"] == {
        "destination": SINK_INPUTS["destination"],
        "filter": "f",
        "disabled": False,
        "exclusions": [],
    }
    kind.delete(id, inputs, outputs, Context())
    assert not any(exchange["method"] == "DELETE" for exchange in api.exchanges)


def test_an_update_of_a_sink_sends_it_whole_and_names_its_writer() -> None:
    id, path = f"{SINKS[4:]}/s", f"{SINKS}/s"
    partitioned = {"usePartitionedTables": True}
    api = Scripted(
        {f"GET {path}": sink(filter="f", bigqueryOptions=partitioned), f"PATCH {path}": {}}
    )
    kind = configured(api)[0].kind(SINK)
    found = read(kind, id, checked(kind, {**SINK_INPUTS, "filter": " f\n"}), {})
    assert found.inputs["filter"] == " f\n"  # spaces around a filter are not a difference
    exclusions = {"exclusions": [{"name": "e", "filter": "g"}]}
    whole = {"destination": SINK_INPUTS["destination"], "filter": " f\n", "disabled": False}
    custom = {"customWriterIdentity": "serviceAccount:a@b"}

    new = {**found.inputs, **exclusions, **custom}
    kind.update(id, found.inputs, found.outputs, new, Context())
    patch = api.exchanges[-2]
    assert patch["query"] == {
        "alt": "json",
        "updateMask": "exclusions",
        "uniqueWriterIdentity": "true",
        **custom,
    }
    assert patch["body"] == {**whole, **exclusions}

    new = {**found.inputs, "bigqueryOptions": {"usePartitionedTables": False}}
    kind.update(id, found.inputs, found.outputs, new, Context())
    patch = api.exchanges[-2]
    assert patch["query"]["updateMask"] == "exclusions,bigqueryOptions"
    assert patch["body"] == {**whole, "exclusions": [], "bigqueryOptions": {}}


def test_a_sink_that_gets_its_own_writer_has_one_that_is_not_known_yet() -> None:
    path = f"{SINKS}/s"
    api = Scripted({f"GET {path}": sink(writerIdentity=SHARED_WRITER)})
    kind = configured(api)[0].kind(SINK)
    inputs = checked(kind, SINK_INPUTS)
    found = read(kind, f"{SINKS[4:]}/s", inputs, {})
    assert "uniqueWriterIdentity" not in found.inputs
    change = kind.diff("s", found.inputs, found.outputs, inputs)
    assert change.updates == ("uniqueWriterIdentity",)
    assert "writerIdentity" not in kind.preview(inputs, found.outputs)
    shared = {**inputs, "uniqueWriterIdentity": False}
    assert kind.preview(shared, found.outputs)["writerIdentity"] == SHARED_WRITER


def test_a_sink_with_partitioned_tables_has_its_own_writer() -> None:
    kind = configured(Scripted({}))[0].kind(SINK)
    options = {"bigqueryOptions": {"usePartitionedTables": True}}
    given = {**SINK_INPUTS, **options, "uniqueWriterIdentity": False}
    _, failures = kind.check(given, {}, Context())
    assert [failure.property for failure in failures] == ["uniqueWriterIdentity"]


def test_a_sink_that_is_gone_already_is_an_error_to_delete() -> None:
    kind = configured(Scripted({f"DELETE {SINKS}/s": GONE}))[0].kind(SINK)
    with pytest.raises(ProviderError, match="Error 404: Not found"):
        kind.delete(f"{SINKS[4:]}/s", SINK_INPUTS, {}, Context())
