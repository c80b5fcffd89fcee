"""What two clouds have in common."""

from __future__ import annotations

from random import Random
from typing import Any

from simulator.api.operations import Operations
from simulator.google import GoogleCloud
from simulator.iam.decisions import Iam
from simulator.identity.accounts import Accounts
from simulator.serve.dump import drawn, dump
from simulator.services.logging.samples import START, LogMetric, Position, Sample
from simulator.services.logging.state import Logging
from simulator.services.monitoring.state import Monitoring
from simulator.services.vertex.state import Monitor, Vertex, Watch
from tests.simulator.support.core import LOCATION, NUMBER, PROJECT, new_cloud

OWN = f"projects/{PROJECT}"


def test_clouds_that_hold_the_same_are_equal_whenever_it_was_made() -> None:
    one, other = new_cloud(), new_cloud()
    other.clock.step(5000)
    other.unique_id()
    for cloud in (one, other):
        cloud[Accounts].create(PROJECT, "made-later")
        cloud[Iam].grant(f"projects/{PROJECT}", "roles/viewer", "user:someone@example.com")
    assert dump(one) == dump(other)


def test_a_dump_shows_every_difference() -> None:
    cloud = new_cloud()
    before = dump(cloud)
    cloud[Iam].grant(f"projects/{PROJECT}", "roles/viewer", "user:someone@example.com")
    granted = dump(cloud)
    assert granted["policies"] != before["policies"]
    cloud[Accounts].create(PROJECT, "one-more")
    assert dump(cloud)["Accounts"] != granted["Accounts"]
    cloud[Operations].start("operations/1", metadata={"@type": "x.Unfinished"}, run=dict)
    assert dump(cloud)["operations"] == ["x.Unfinished"]


def tell(cloud: GoogleCloud, *called: str) -> list[str]:
    """A channel, and alert policies that tell it; their names."""
    monitoring = cloud[Monitoring]
    channel = f"{OWN}/notificationChannels/{cloud.unique_id()}"
    monitoring.channels[channel] = {
        "name": channel,
        "displayName": "mail",
        "mutationRecords": [{"mutateTime": cloud.clock.rfc3339()}],
    }
    names = [f"{OWN}/alertPolicies/{cloud.unique_id()}" for _ in called]
    for name, title in zip(names, called, strict=True):
        condition = {"name": f"{name}/conditions/{cloud.unique_id()}", "displayName": "high"}
        monitoring.policies[name] = {
            "name": name,
            "displayName": title,
            "conditions": [condition],
            "notificationChannels": [channel],
            "creationRecord": {"mutateTime": cloud.clock.rfc3339(), "mutatedBy": "ann"},
        }
    id = cloud.unique_id()
    board = {"name": f"projects/{NUMBER}/dashboards/{id}", "displayName": "board"}
    monitoring.dashboards[f"{OWN}/dashboards/{id}"] = board
    job = f"{LOCATION}/modelDeploymentMonitoringJobs/1"
    info: Any = {"modelMonitoringAlertConfig": {"notificationChannels": [channel]}}
    cloud[Vertex].monitors[job] = Monitor(job, "endpoint", info, Random(job), Watch("", begun=0))
    return [channel, *names, board["name"]]


def test_names_that_google_draws_are_what_they_are_called() -> None:
    one, other = new_cloud(), new_cloud()
    other.clock.step(5000)
    other.unique_id()
    names = tell(one, "late", "down")
    assert names != tell(other, "late", "down")
    assert dump(one) == dump(other)
    channel, late, down, board = map(drawn(one).__getitem__, names)
    assert channel == f"{OWN}/notificationChannels/mail"
    assert late == f"{OWN}/alertPolicies/late"
    assert board == f"projects/{NUMBER}/dashboards/board"
    content = dump(one)
    assert content["Monitoring"]["policies"][down]["name"] == down
    assert content["Monitoring"]["policies"][late]["conditions"][0]["name"].startswith(late)
    [job] = content["Vertex"]["monitors"].values()
    assert job["info"]["modelMonitoringAlertConfig"]["notificationChannels"] == [channel]


def test_who_is_told_what_is_content() -> None:
    one, other = new_cloud(), new_cloud()
    tell(one, "late")
    _, policy, _ = tell(other, "late")
    other[Monitoring].policies[policy]["notificationChannels"] = [f"{OWN}/notificationChannels/0"]
    assert dump(one) != dump(other)


def test_a_second_one_that_is_called_the_same_is_a_difference() -> None:
    one, other = new_cloud(), new_cloud()
    tell(one, "late")
    _, first, second, _ = tell(other, "late", "late")
    assert dump(one) != dump(other)
    assert drawn(other)[second] == f"{drawn(other)[first]} (2)"


def test_what_became_of_alerts_is_no_content() -> None:
    one, other = new_cloud(), new_cloud()
    for cloud in (one, other):
        tell(cloud, "late")
    monitoring: Any = other[Monitoring]
    monitoring.sent.append({"incident": {}})
    monitoring.alerts["incident"] = monitoring.watches["policy"] = None
    monitoring.recorded["p", "metric"] = [1]
    assert dump(one) == dump(other)


def test_what_a_log_metric_has_counted_is_no_content() -> None:
    one, other = new_cloud(), new_cloud()
    sample = Sample(0.0, (), "global", (), 1.0)
    for cloud, position, samples in ((one, START, []), (other, Position(9, 9), [sample])):
        metric = LogMetric(PROJECT, {"filter": "severity=ERROR"}, position, samples)
        cloud[Logging].metrics[f"{OWN}/metrics/denied"] = metric
    assert dump(one) == dump(other)
    other[Logging].metrics[f"{OWN}/metrics/denied"].info["filter"] = ""
    assert dump(one) != dump(other)
