"""All of Google's roles, each granted on a project: what the pack lets through, in numbers."""

from __future__ import annotations

import csv
from collections.abc import Callable

import pytest

from policies.gcp_access import powers, roles
from policies.gcp_access.judge import is_agents_role, is_basic
from policies.gcp_access.rules.access import RETIRED
from policies.gcp_access.rules.examples import GROUP, on_project
from tests.policies.support import given, ids, pack
from tests.recordings import DATA, text

pytestmark = pytest.mark.xdist_group("roles at large")


@pytest.fixture(scope="module")
def blocked() -> dict[str, set[str]]:
    """Role → the mandatory rules that stop it on a project."""
    judged = pack()
    return {
        role: ids([f for f in judged.resource(given(*on_project(role, GROUP))) if f.mandatory])
        for role in roles.ROLES
    }


def grantable() -> list[str]:
    """Roles that people grant: neither Google's agents' own nor the basic ones."""
    return [role for role in roles.ROLES if not is_agents_role(role) and not is_basic(role)]


def held(role: str) -> frozenset[str]:
    return roles.ROLES[role].permissions


def test_every_role_that_escalates_is_blocked(
    blocked: dict[str, set[str]], show: Callable[[str], None]
) -> None:
    escalating = [role for role in grantable() if held(role) & powers.ESCALATES]
    stopped = [role for role in escalating if blocked[role] & {"G3", "S2"}]
    show(f"{len(stopped)} of {len(escalating)} grantable roles that escalate are blocked")
    assert len(escalating) == 47
    assert stopped == escalating


def test_no_small_harmless_role_is_blocked(
    blocked: dict[str, set[str]], show: Callable[[str], None]
) -> None:
    small = [
        role
        for role in grantable()
        if len(held(role)) <= 10
        and not held(role) & (powers.ESCALATES | powers.STARTS_CODE | powers.READS_DATA)
        and roles.ROLES[role].stage != "DEPRECATED"
        and role.removeprefix("roles/").partition(".")[0] not in RETIRED
    ]
    setters = [role for role in small if any(map(powers.sets_policy, held(role)))]
    stopped = {role: blocked[role] for role in small if blocked[role] and role not in setters}
    show(
        f"{len(stopped)} of {len(small) - len(setters)} grantable roles with at most 10 "
        f"permissions, none of which escalates, starts code, reads all data or sets policies, are "
        f"blocked; "
        f"all {len(setters)} small ones that set policies are, by G6"
    )
    assert stopped == {}
    assert all(blocked[role] == {"G6"} for role in setters)
    assert len(setters) == 16 and len(small) > 1_000


def test_every_broad_role_is_blocked(blocked: dict[str, set[str]]) -> None:
    broad = [role for role in grantable() if len(held(role)) > 100]
    assert len(broad) > 100
    assert [role for role in broad if "G5" not in blocked[role]] == []


def test_agents_roles_are_blocked_for_people(blocked: dict[str, set[str]]) -> None:
    agents = [role for role in roles.ROLES if is_agents_role(role)]
    assert len(agents) == 266
    assert [role for role in agents if "G7" not in blocked[role]] == []


def test_every_power_exists() -> None:
    named = {*powers.ESCALATES, *powers.STARTS_CODE, *powers.MANAGES_KEYS, *powers.USES_KEYS}
    assert [name for name in named | powers.MANAGES_ACCOUNTS if not roles.exists(name)] == []


def test_the_catalogue_counts_as_the_research_did() -> None:
    counts = text(DATA / "policy" / "privesc_counts.tsv")
    rows = list(csv.DictReader(counts.splitlines(), delimiter="\t"))
    everybody = {role: held(role) for role in roles.ROLES}
    for row in rows:
        holders = [role for role, names in everybody.items() if row["permission"] in names]
        people = [role for role in holders if not is_agents_role(role)]
        assert (len(holders), len(people)) == (
            int(row["roles"]),
            int(row["non_service_agent_roles"]),
        ), row["permission"]
    assert {row["permission"] for row in rows} >= powers.ESCALATES | powers.STARTS_CODE
