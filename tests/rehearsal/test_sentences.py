"""What the simulator says is what `access explain` understands: two tables of sentences, of which
neither is made from the other (simulator/api/refusals.py and access/sentences.py)."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from access.answer import explained
from access.explain import place
from components import permissions as table
from components.settings import Settings
from rehearsal import environment as environments
from rehearsal.environment import Environment
from simulator.api.errors import permission_denied, permission_service
from simulator.core.principal import Principal
from standin.google import error_of

NAMED = {
    table.ARTIFACTS: lambda it: f"projects/_/buckets/{it.artifacts_bucket}/objects/m/model.joblib",
    table.SOURCE_ARTIFACTS: lambda it: f"projects/_/buckets/{it.source_artifacts_bucket}/objects/m",
    table.REGISTRY_ARTIFACTS: lambda it: f"projects/_/buckets/{it.own_bucket}/objects/m",
    table.ENDPOINT: lambda it: it.endpoint_name,
    table.DEPLOYER_ACCOUNT: lambda it: it.account_name(table.DEPLOYER),
    table.PREVIEW_ACCOUNT: lambda it: it.account_name(table.PREVIEW),
    table.SERVING_ACCOUNT: lambda it: it.account_name(table.SERVING),
    table.TELEMETRY_ACCOUNT: lambda it: it.account_name(table.TELEMETRY),
    table.SOURCE_PROJECT: lambda it: f"projects/{it.source_projects[0]}",
    table.TOPIC: lambda it: f"projects/{it.project}/topics/telemetry",
    table.DEAD_LETTERS: lambda it: f"projects/{it.project}/topics/telemetry-dead-letters",
    table.SUBSCRIPTIONS: lambda it: f"projects/{it.project}/subscriptions/telemetry-readings",
    table.RISKS: lambda it: f"projects/{it.project}/subscriptions/telemetry-risks",
    table.LOST: lambda it: f"projects/{it.project}/subscriptions/telemetry-dead-letters",
    table.TABLES: lambda it: f"projects/{it.project}/datasets/telemetry",
    table.INCIDENTS: lambda it: f"projects/{it.project}/topics/incidents",
}  # fmt: skip


def printed(need: table.Need, environment: Environment) -> str:
    """The denial of what a line gives, as the gcp plugin prints what a service answers."""
    settings = environment.settings
    resource = NAMED.get(need.on, lambda it: f"projects/{it.project}")(settings)
    who = Principal(environment.members[need.identity])
    denial = permission_denied(who, need.permission, resource)
    body = denial.render(permission_service(need.permission).partition(".")[0])
    return str(error_of(denial.status, json.dumps(body)))


@pytest.mark.parametrize("stack", ["staging", "prod"])
def test_each_line_taken_out_is_explained_in_the_services_own_words(
    stack: str, tmp_path: Path, show: Callable[[str], None]
) -> None:
    untrained = tmp_path / "shuttle-anomaly"
    untrained.mkdir()
    for name in ("model.joblib", "training.csv"):
        (untrained / name).touch()
    environment = environments.load(stack, tmp_path)
    settings: Settings = environment.settings
    needs = table.needs(settings.capabilities)
    wrong, named = [], 0
    for need in needs:
        text = printed(need, environment)
        found = [it.data() for it in explained(text, settings)]
        told = [(it["kind"], it["permission"]) for it in found]
        whom = [it["identity"] for it in found]
        places = [line["place"] for it in found for line in it["lines"]]
        named += whom == [need.identity]
        if told != [("permission", need.permission)] or place(need) not in places:
            wrong.append((need.identity, need.permission, text, told))
        # Where no sentence says who, several identities of the table may have been meant.
        elif whom not in ([need.identity], [""]):
            wrong.append((need.identity, need.permission, text, whom))
    show(f"access explain: {len(needs) - len(wrong)} of {len(needs)} lines of {stack} in the "
         f"services' words, {named} with who was refused")  # fmt: skip
    assert wrong == []
