"""How long one IAM decision takes as a policy grows.

Half of the questions are answered yes. All bindings are in the policy of one project, which is more
than Google takes in one: the simulated cloud has to stay fast where many resources have some each.
"""

from __future__ import annotations

import random
import statistics
import time
from typing import Final

from benchmarks.table import Ratio, show_figures
from policies.gcp_access import roles
from simulator.core.clock import Clock
from simulator.core.delays import Delays
from simulator.core.principal import Principal
from simulator.google import GoogleCloud
from simulator.iam.decisions import Iam
from simulator.seed import plant

SIZES: Final = (10, 1_000, 100_000)
QUESTIONS: Final = 20_000
ROUNDS: Final = 5
BINDINGS_EACH: Final = 5
"""Roles of one member."""

PROJECT: Final = "projects/bench"
ROLES: Final = (
    "roles/pubsub.publisher",
    "roles/pubsub.subscriber",
    "roles/storage.objectViewer",
    "roles/bigquery.dataViewer",
    "roles/logging.logWriter",
)
DENIED: Final = "aiplatform.endpoints.create"
Question = tuple[Principal, str, str]


def run() -> list[Ratio]:
    clouds = {size: _cloud(size) for size in SIZES}
    questions = {size: _questions(size) for size in SIZES}
    spent: dict[int, list[float]] = {size: [] for size in SIZES}
    for _ in range(ROUNDS):
        for size in SIZES:
            spent[size].append(_seconds(clouds[size], questions[size]))
    micros = {size: 1e6 * statistics.median(spent[size]) / QUESTIONS for size in SIZES}
    rows = [(f"{size:,}", f"{micros[size]:.2f}") for size in SIZES]
    show_figures(f"IAM decisions, medians of {ROUNDS}", ("bindings", "µs each"), rows)
    return [
        Ratio("a decision: 100,000 bindings / 1,000", micros[100_000] / micros[1_000], most=3.0)
    ]


def _cloud(size: int) -> GoogleCloud:
    cloud = GoogleCloud(clock=Clock(running=False), delays=Delays(0, 0, 0))
    plant(cloud, {"projects": [{"id": "bench"}]})
    for number in range(size):
        member, role = divmod(number, BINDINGS_EACH)
        cloud[Iam].grant(PROJECT, ROLES[role], _member(member))
    return cloud


def _member(number: int) -> str:
    return f"user:u{number}@example.com"


def _questions(size: int) -> list[Question]:
    chance = random.Random(size)
    held = sorted(set().union(*(roles.ROLES[role].permissions for role in ROLES)))
    asked = []
    for _ in range(QUESTIONS):
        who = Principal(_member(chance.randrange(size // BINDINGS_EACH)))
        permission = chance.choice(held) if chance.random() < 0.5 else DENIED
        resource = f"{PROJECT}/locations/us-central1/endpoints/{chance.randrange(100)}"
        asked.append((who, permission, resource))
    return asked


def _seconds(cloud: GoogleCloud, questions: list[Question]) -> float:
    decide = cloud[Iam].decide
    begin = time.perf_counter()
    for who, permission, resource in questions:
        decide(who, permission, resource)
    return time.perf_counter() - begin
