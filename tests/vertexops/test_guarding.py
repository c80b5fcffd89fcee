"""What a canary is judged by, and that a rollout which is stopped has changed nothing."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from pulumi_plugin.kinds import Context, ProviderError
from tests.vertexops.test_rollout import QUOTA, E, M, World, model, rollout
from vertexops.deployed import deployed_model_id
from vertexops.errors import GoogleError
from vertexops.guarding import Figures, Growth, growing, judge, measured

GROWTH = Growth(f"{M}@2", f"{M}@1", 10, 50)
GOOD = Figures(1000, 2, 20.0)
USUAL = Figures(9000, 9, 18.0)
OTHER = model(3, 50) | {"model": f"{M}-other@3"}


def tried(traffic: int, of: int = 100, canary: int = 2, **guard: Any) -> dict[str, Any]:
    """A rollout in which version 1 has a canary."""
    pair = {"model": f"{M}@{canary}", "predecessor": f"{M}@1"}
    held = {"canaryGuard": guard} if guard else {}
    models = rollout(model(1, of - traffic), model(canary, traffic))
    return models | {"canaries": [pair]} | held


@pytest.mark.parametrize(
    ("canary", "predecessor", "guard", "said"),
    [
        (GOOD, USUAL, {}, ""),
        (Figures(1000, 10, 20.0), USUAL, {}, ""),
        (
            Figures(1000, 11, 20.0),
            USUAL,
            {},
            "1.1 % of its requests failed, above canaryGuard.errorPercent, 1 %. In the last 10 min "
            "it had 1,000 requests, 1.1 % failed, 95 % took up to 20 ms; pump@1 had 9,000 requests,"
            " 0.1 % failed, 95 % took up to 18 ms",
        ),
        (Figures(1000, 11, 20.0), USUAL, {"errorPercent": 1.1}, ""),
        (Figures(1000, 1, 20.0), USUAL, {"errorPercent": 0}, "0.1 % of its requests failed, above"),
        (Figures(1000, 0, 27.0), USUAL, {}, ""),
        (
            Figures(1000, 0, 28.0),
            USUAL,
            {},
            "95 % of its answers took up to 28 ms, above canaryGuard.latencyRatio, 1.5 times the "
            "18 ms of pump@1",
        ),
        (Figures(1000, 0, 900.0), USUAL, {"latencyRatio": 0}, ""),
        (
            Figures(1000, 0, 201.0),
            USUAL,
            {"latencyRatio": 0, "latencyMs": 200},
            "95 % of its answers took up to 201 ms, above canaryGuard.latencyMs, 200 ms",
        ),
        (
            Figures(99, 0, 20.0),
            USUAL,
            {},
            "pump@2 had 99 requests in the last 10 min, and canaryGuard.minRequests is 100: too "
            "little to judge by. canaryGuard.whenTooFew is stop",
        ),
        (Figures(99, 0, 20.0), USUAL, {"minRequests": 99}, ""),
        (
            Figures(0, 0),
            Figures(12, 0, 18.0),
            {"windowMinutes": 30},
            "pump@2 had 0 requests and pump@1 had 12 requests in the last 30 min",
        ),
        # Only where it is compared with.
        (GOOD, Figures(), {"latencyRatio": 0}, ""),
        (Figures(1000, 0), USUAL, {}, "of pump@2 no latencies are shown for the last 10 min"),
        (Figures(1000, 0), USUAL, {"latencyRatio": 0}, ""),
    ],
)
def test_a_canary_is_held_to_its_limits(
    canary: Figures, predecessor: Figures, guard: dict[str, Any], said: str
) -> None:
    verdict = judge(GROWTH, canary, predecessor, {"canaryGuard": guard})
    assert verdict.stops == bool(said)
    whole = "pump@2 does not grow from 10 % to 50 % of its model's traffic: " if said else "pump@2"
    assert verdict.said.startswith(whole + said)


def test_too_few_requests_go_on_where_the_setting_says_so_and_are_said() -> None:
    verdict = judge(GROWTH, Figures(3, 3), USUAL, {"canaryGuard": {"whenTooFew": "go"}})
    assert (verdict.stops, verdict.doubtful) == (False, True)
    assert verdict.said.startswith("pump@2 grows from 10 % to 50 % of its model's traffic all the ")
    assert "had 3 requests" in verdict.said


def series(id: str, value: dict[str, Any], **labels: str) -> dict[str, Any]:
    return {
        "metric": {"labels": {"deployed_model_id": id, **labels}},
        "points": [{"value": value}],
    }


class Monitoring:
    """Answers of timeSeries.list, two series a page."""

    def __init__(self, counts: dict[str, dict[str, int]], slow: dict[str, float]) -> None:
        self.asked: list[dict[str, str]] = []
        self.series = {
            "response_count": [
                series(id, {"int64Value": str(count)}, response_code=code)
                for id, codes in counts.items()
                for code, count in codes.items()
            ],
            "prediction_latencies": [series(id, {"doubleValue": ms}) for id, ms in slow.items()],
        }

    def __call__(self, url: str) -> dict[str, Any]:
        parts = urlsplit(url)
        assert parts.netloc + parts.path == "monitoring.googleapis.com/v3/projects/p/timeSeries"
        params = {key: values[0] for key, values in parse_qs(parts.query).items()}
        self.asked.append(params)
        [found] = [of for name, of in self.series.items() if name in params["filter"]]
        start = int(params.get("pageToken", 0))
        more = {"nextPageToken": str(start + 2)} if start + 2 < len(found) else {}
        return {"timeSeries": found[start : start + 2], **more}


def test_figures_are_those_of_each_deployed_model_in_the_window() -> None:
    counts = {"1": {"2xx": 90, "4xx": 3, "5xx": 7}, "2": {"2xx": 10}}
    monitoring = Monitoring(counts, {"1": 12.5, "2": 40.0})
    found = measured(monitoring, E, 10, 1_795_000_000)
    assert found == {"1": Figures(100, 10, 12.5), "2": Figures(10, 0, 40.0)}
    first, last = monitoring.asked[0], monitoring.asked[-1]
    assert first["filter"] == (
        'metric.type="aiplatform.googleapis.com/prediction/online/response_count" AND '
        'resource.type="aiplatform.googleapis.com/Endpoint" AND '
        'resource.labels.location="us-central1" AND resource.labels.endpoint_id="7"'
    )
    assert (first["interval.startTime"], first["interval.endTime"]) == (
        "2026-11-18T10:56:40Z",
        "2026-11-18T11:06:40Z",
    )
    assert first["aggregation.alignmentPeriod"] == "600s"
    assert first["aggregation.perSeriesAligner"] == "ALIGN_DELTA"
    assert last["aggregation.perSeriesAligner"] == "ALIGN_PERCENTILE_95"
    assert last["filter"].endswith(' AND metric.labels.latency_type="total"')


class Measured(World):
    """An endpoint whose first two versions were asked as `counts` and `slow` say, by version."""

    def __init__(self) -> None:
        super().__init__()
        self.ids = {version: deployed_model_id(E, model(version)) for version in (1, 2, 3)}
        self.shows({1: {"2xx": 1000}, 2: {"2xx": 1000}}, {1: 20.0, 2: 20.0})
        self.warnings: list[str] = []
        self.context = Context(warn=self.warnings.append)

    def shows(self, counts: dict[int, dict[str, int]], slow: dict[int, float]) -> None:
        self.monitoring = Monitoring(
            {self.ids[version]: codes for version, codes in counts.items()},
            {self.ids[version]: ms for version, ms in slow.items()},
        )
        self.google.answer = lambda verb, url, *_: self.monitoring(url)

    def stopped(self, inputs: dict[str, Any], old: dict[str, Any]) -> str:
        """What is said of an update that is refused, and has changed nothing."""
        before = self.vertex.endpoint(E)
        with pytest.raises(ProviderError) as refused:
            self.up(inputs, old)
        assert self.asked == []
        assert self.vertex.endpoint(E) == before
        return str(refused.value)


@pytest.fixture
def world() -> Measured:
    found = Measured()
    found.up(rollout(model(1)))
    found.up(tried(10), rollout(model(1)))
    return found


def test_a_good_canary_grows(world: Measured) -> None:
    world.up(tried(50), tried(10))
    assert (world.asked, world.split) == (["set_traffic"], {"1": 50, "2": 50})
    world.up(tried(100), tried(50))
    assert (world.asked, world.split) == (["set_traffic"], {"1": 0, "2": 100})
    world.up(rollout(model(2)), tried(100))
    assert (world.asked, world.split) == (["undeploy"], {"2": 100})
    assert world.warnings == []


def test_a_failing_canary_stops_the_rollout_and_all_stays_as_it_was(world: Measured) -> None:
    world.shows({1: {"2xx": 1000}, 2: {"2xx": 900, "5xx": 100}}, {1: 20.0, 2: 20.0})
    said = world.stopped(tried(50), tried(10))
    assert "pump@2 does not grow from 10 % to 50 % of its model's traffic: 10 % of its" in said
    assert "Nothing was deployed, and all traffic is as it was." in said
    assert world.split == {"1": 90, "2": 10}


def test_it_is_judged_before_anything_else_is_deployed(world: Measured) -> None:
    world.shows({1: {"2xx": 1000}, 2: {"2xx": 1000}}, {1: 20.0, 2: 200.0})
    inputs = tried(25, 50)
    world.stopped(inputs | {"models": [*inputs["models"], OTHER]}, tried(10))


def test_a_monitoring_that_cannot_be_read_stops_the_rollout(world: Measured) -> None:
    denied = "Permission 'monitoring.timeSeries.list' denied on resource (or it may not exist)."

    def refuse(*_: Any) -> dict[str, Any]:
        raise GoogleError(403, "PERMISSION_DENIED", denied)

    world.google.answer = refuse
    assert "monitoring.timeSeries.list" in world.stopped(tried(50), tried(10))


@pytest.mark.parametrize(
    ("inputs", "old"),
    [
        (tried(5), tried(10)),
        (tried(0), tried(10)),
        (tried(10), tried(10)),
        (rollout(model(1)), tried(10)),
        # The same share of less traffic.
        (tried(5, 50) | {"models": [*tried(5, 50)["models"], OTHER]}, tried(10)),
    ],
)
def test_what_does_not_grow_is_not_measured(inputs: dict[str, Any], old: dict[str, Any]) -> None:
    world = Measured()
    world.up(rollout(model(1)))
    world.up(tried(10), rollout(model(1)))
    world.up(inputs, old)
    assert world.monitoring.asked == []


def test_a_canary_begins_with_a_share_that_nothing_can_be_known_for() -> None:
    world = Measured()
    world.up(rollout(model(1)))
    said = world.stopped(tried(21), rollout(model(1)))
    assert said.startswith(
        "pump@2 does not grow from 0 % to 21 % of its model's traffic: without traffic nothing of "
        "it can be measured, and canaryGuard.startPercent lets it begin with 20 %. Set percent to "
    )
    world.up(tried(21, startPercent=21), rollout(model(1)))
    assert (world.split, world.monitoring.asked) == ({"1": 79, "2": 21}, [])


def test_where_nothing_has_traffic_yet_nothing_is_guarded() -> None:
    world = Measured()
    world.up(tried(50))
    assert (world.split, world.monitoring.asked) == ({"1": 50, "2": 50}, [])


def test_a_canary_does_not_get_all_by_not_being_one_any_more(world: Measured) -> None:
    said = world.stopped(rollout(model(2)), tried(10))
    assert "set its percent to 100 first, which is measured, and take `canary` out once" in said
    assert world.monitoring.asked == []


def test_a_canary_whose_predecessor_is_new_is_not_measured_against_nothing(world: Measured) -> None:
    pair = {"model": f"{M}@2", "predecessor": f"{M}@3"}
    inputs = rollout(model(3, 50), model(2, 50)) | {"canaries": [pair]}
    assert "pump@3 had 0 requests" in world.stopped(inputs, tried(10))


def test_too_few_requests_are_a_warning_where_the_setting_lets_them_pass(world: Measured) -> None:
    world.shows({1: {"2xx": 1000}, 2: {"2xx": 3}}, {1: 20.0, 2: 20.0})
    assert "pump@2 had 3 requests" in world.stopped(tried(50), tried(10))
    world.up(tried(50, whenTooFew="go"), tried(10))
    [warning] = world.warnings
    assert "pump@2 grows from 10 % to 50 % of its model's traffic all the same: pump@2 " in warning


def test_versions_of_another_project_are_known_by_its_number() -> None:
    growth = tried(50)
    there = {
        "a": {"model": f"{M}@1".replace("/p/", "/123/"), "traffic": 90},
        "b": {"model": f"{M}@2".replace("/p/", "/123/"), "traffic": 10},
    }
    assert growing(growth, {}, there) == [GROWTH]


@pytest.mark.parametrize(
    ("wrong", "at", "said"),
    [
        ({"canaryGuard": {"windowMinutes": 0}}, "canaryGuard.windowMinutes", "is 0, not 1 to 1440"),
        ({"canaryGuard": {"minRequests": 0}}, "canaryGuard.minRequests", "is 0, not at least 1"),
        (
            {"canaryGuard": {"errorPercent": 100.5}},
            "canaryGuard.errorPercent",
            "is 100.5, not 0 to 100",
        ),
        ({"canaryGuard": {"latencyMs": -1}}, "canaryGuard.latencyMs", "is -1, not at least 0"),
        ({"canaryGuard": {"latencyRatio": -1}}, "canaryGuard.latencyRatio", "is -1, not at least "),
        ({"canaryGuard": {"startPercent": 101}}, "canaryGuard.startPercent", "is 101, not 0 to 10"),
        (
            {"canaryGuard": {"whenTooFew": "wait"}},
            "canaryGuard.whenTooFew",
            "is 'wait', not stop or go",
        ),
        (
            {"canaries": [{"model": f"{M}@9", "predecessor": f"{M}@1"}]},
            "canaries[0].model",
            f"is none of the models: {M}@9",
        ),
        (
            {"canaries": [{"model": f"{M}@2", "predecessor": f"{M}@8"}]},
            "canaries[0].predecessor",
            f"is none of the models: {M}@8",
        ),
        ({"canaries": [{"model": f"{M}@2"}]}, "canaries[0].predecessor", "is missing"),
    ],
)
def test_wrong_inputs_are_named(wrong: dict[str, Any], at: str, said: str) -> None:
    found = World().failures(tried(10) | wrong)
    assert found.keys() == {at}
    assert found[at].startswith(said)


def test_limits_alone_change_nothing() -> None:
    world = World()
    change = world.kind.diff(E, tried(10), {}, tried(10, errorPercent=2))
    assert not change.updates and not change.replaces


def test_a_version_that_fails_to_deploy_leaves_nothing_and_no_traffic_behind() -> None:
    for error in (
        {"code": 9, "message": "Model server exited unexpectedly."},
        {"code": 8, "message": f"The following quotas are exceeded: {QUOTA}"},
    ):
        world = Measured()
        world.up(rollout(model(1)))
        world.vertex.broken[f"{M}@2"] = error
        before = dict(world.vertex.endpoints[E]["models"])
        with pytest.raises(ProviderError):
            world.up(tried(10), rollout(model(1)))
        assert world.asked == ["deploy"]
        assert world.vertex.endpoints[E]["models"] == before
        assert world.split == {"1": 100}


# Who, and since when


def told(outputs: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """By version."""
    return {it["model"][-1]: it for it in outputs["rolledOut"]}


def test_it_is_told_what_was_rolled_out_when_and_by_whom() -> None:
    world = Measured()
    first = world.up(rollout(model(1)))
    [one] = first["rolledOut"]
    assert one == {
        "deployedModelId": world.ids[1],
        "model": f"{M}@1",
        "traffic": 100,
        "deployedAt": one["deployedAt"],
        "deployedBy": "ana@example.com",
        "trafficSince": one["trafficSince"],
        "trafficBy": "ana@example.com",
    }
    assert one["deployedAt"] <= one["trafficSince"]
    world.google.person = "bob@example.com"
    second = world.kind.update(E, rollout(model(1)), first, tried(10), world.context)
    both = told(second)
    assert both["1"]["deployedBy"] == "ana@example.com"
    assert both["1"]["trafficBy"] == both["2"]["deployedBy"] == "bob@example.com"
    assert both["1"]["trafficSince"] > one["trafficSince"]
    again = world.kind.update(E, tried(10), second, tried(10, errorPercent=2), world.context)
    assert again["rolledOut"] == second["rolledOut"]


def test_a_refresh_finds_nothing_new_and_does_not_guess_what_others_did() -> None:
    world = Measured()
    world.up(rollout(model(1)))
    outputs = world.up(tried(10), rollout(model(1)))
    found = world.kind.read(E, tried(10), outputs, world.context)
    assert found.outputs["rolledOut"] == outputs["rolledOut"]
    world.vertex.endpoints[E]["split"] = {world.ids[1]: 60, world.ids[2]: 40}
    found = told(world.kind.read(E, tried(10), outputs, world.context).outputs)
    assert (found["2"]["trafficSince"], found["2"]["trafficBy"]) == ("", "unknown")
    assert found["2"]["deployedBy"] == "ana@example.com"


def test_what_was_there_before_is_by_nobody_known() -> None:
    world = Measured()
    world.up(rollout(model(1)))
    [found] = world.up(rollout(model(1)))["rolledOut"]
    assert (found["deployedBy"], found["trafficSince"], found["trafficBy"]) == (
        "unknown",
        "",
        "unknown",
    )
