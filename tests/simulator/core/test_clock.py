"""Time: one clock for everything, as fast as one likes."""

from __future__ import annotations

import time
from datetime import datetime
from pathlib import Path

import pytest

from simulator.api.operations import Operations
from simulator.core.clock import Clock
from simulator.core.delays import GOOGLES, MINUTE, Delays
from simulator.google import GoogleCloud
from simulator.identity.tokens import Identity
from simulator.seed import plant
from simulator.serve.proxy import serve
from tests.simulator.support.core import PROJECT, WORKER, WORKER_NAME, new_cloud, session


class Wall:
    """The wall clock, moved by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seconds = 1_000_000.0
        monkeypatch.setattr(time, "time", lambda: self.seconds)
        monkeypatch.setattr(time, "monotonic", lambda: self.seconds)


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch) -> Wall:
    return Wall(monkeypatch)


def test_a_running_clock_goes_as_fast_as_its_rate_says(wall: Wall) -> None:
    clock = Clock(rate=60)
    begin = clock.now()
    wall.seconds += 10
    assert clock.now() == begin + 600
    clock.step(5)
    assert clock.now() == begin + 605


def test_a_clock_that_stands_moves_by_steps_only(wall: Wall) -> None:
    clock = Clock(running=False, start=50)
    wall.seconds += 10
    clock.step(7)
    assert clock.now() == 57


def test_a_token_lasts_an_hour_here_and_clients_are_told_their_own_time(wall: Wall) -> None:
    cloud = GoogleCloud(clock=Clock(rate=60))
    plant(
        cloud,
        {"projects": [{"id": "iot-prod"}], "accounts": [{"project": "iot-prod", "id": "worker"}]},
    )
    token = cloud[Identity].access_token(WORKER)
    assert cloud.clock.for_clients(3600) == 60
    assert cloud.clock.moment_for_clients(cloud.clock.now() + 3600) == wall.seconds + 60
    wall.seconds += 59
    assert cloud[Identity].lookup(token)
    wall.seconds += 1
    assert cloud[Identity].lookup(token) is None


def test_at_the_rate_of_the_wall_clients_are_told_the_clouds_time(wall: Wall) -> None:
    clock = Clock()
    clock.step(500)
    assert clock.moment_for_clients(1234.0) == 1234.0


@pytest.mark.parametrize("kind", GOOGLES.kinds)
def test_an_operation_takes_as_long_as_at_google(kind: str) -> None:
    cloud = GoogleCloud(clock=Clock(running=False, start=0), delays=GOOGLES)
    metadata = {"@type": f"google.cloud.aiplatform.v1.{kind}OperationMetadata"}
    cloud[Operations].start("operations/1", metadata=metadata, run=dict)
    cloud.clock.step(GOOGLES.kinds[kind] - 1)
    assert "done" not in cloud[Operations].get("operations/1")
    cloud.clock.step(1)
    assert cloud[Operations].get("operations/1")["done"]
    assert cloud[Operations].shortest == {kind: GOOGLES.kinds[kind]}


def test_a_kind_without_a_time_of_its_own_takes_the_usual_one() -> None:
    delays = Delays(operation=7, kinds={"DeployModel": 10 * MINUTE})
    assert delays.of({"@type": "x.OperationMetadata"}) == delays.of({}) == 7


def test_times_are_written_as_google_writes_them() -> None:
    cloud = new_cloud()
    written = cloud.clock.rfc3339()
    assert written.endswith("Z")
    assert datetime.fromisoformat(written).timestamp() == pytest.approx(cloud.clock.now())


def test_answers_with_tokens_tell_clients_when_to_come_again(tmp_path: Path) -> None:
    cloud = GoogleCloud(clock=Clock(rate=60))
    services = ["iamcredentials.googleapis.com"]
    plant(
        cloud,
        {
            "projects": [{"id": PROJECT, "services": services}],
            "accounts": [{"project": PROJECT, "id": "worker"}],
            "grants": [
                {
                    "resource": WORKER_NAME,
                    "role": "roles/iam.serviceAccountTokenCreator",
                    "member": "user:me@example.com",
                }
            ],
        },
    )
    form = {
        "grant_type": "refresh_token",
        "refresh_token": cloud[Identity].refresh_token("me@example.com"),
    }
    url = f"https://iamcredentials.googleapis.com/v1/{WORKER_NAME}:generateAccessToken"
    with serve(cloud, tmp_path / "sandbox") as running:
        answer = session(running).post("https://oauth2.googleapis.com/token", data=form).json()
        assert answer["expires_in"] == 60
        me = session(running, answer["access_token"])
        impersonated = me.post(url, json={"scope": ["x"]}).json()
        assert session(running).get(
            "https://oauth2.googleapis.com/tokeninfo",
            params={"access_token": impersonated["accessToken"]},
        ).json()["expires_in"] in {str(seconds) for seconds in range(61)}
    until = datetime.fromisoformat(impersonated["expireTime"]).timestamp()
    assert -60 < until - time.time() <= 60
