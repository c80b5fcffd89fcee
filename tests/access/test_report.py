"""How strong identities are is what the policy pack's judge says; the page is the table's."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from access import report
from access.__main__ import main
from access.answer import settings_of
from components import permissions as table
from components.configuration import stacks
from policies.gcp_access import powers, roles
from policies.gcp_access.config import Environment
from policies.gcp_access.grants import PROJECT, RESOURCE, Grant
from policies.gcp_access.judge import Declared, Judge
from policies.gcp_access.lookup import Lookup

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reference" / "access.md"
EVERYTHING = frozenset([*table.CAPABILITIES, *table.FOLLOWING])
CASES = [EVERYTHING - {table.LAYERS}, EVERYTHING - {table.WHOLE}]
"""With all that can be set, of one stack and of two."""
STACKS = sorted(stacks(ROOT))
WIDE = (table.PROJECT, table.SOURCE_PROJECT)


def judged(role: table.Role) -> set[str]:
    """What the pack's judge finds in a role that makes its holder stronger, needed or not.

    Working as an account is fine on that account, never on a project.
    """
    judge = Judge(Environment(), Declared(), Lookup(), complete=True)
    level = PROJECT if role.on in WIDE else RESOURCE
    grant = Grant("", ("user:ann@example.com",), level, "", permissions=frozenset(role.permissions))
    found = judge.grant(grant, grant.members[0])
    assert found is not None
    escalating = {*found.escalating, *found.setting_policy}
    return escalating if grant.wide else escalating - powers.IMPERSONATES


@pytest.mark.parametrize(
    "role",
    dict.fromkeys(role for case in CASES for role in table.roles(case)),
    ids=lambda role: f"{role.identity} {role.key} {role.on}",
)
def test_the_judge_finds_what_the_report_finds(role: table.Role) -> None:
    assert judged(role) == {gain.permission for gain in report.gains(role.identity, [role])}


@pytest.mark.parametrize("case", CASES, ids=["whole", "layers"])
def test_nobody_but_the_platform_can_make_itself_stronger(case: frozenset[str]) -> None:
    held = table.roles(case)
    strong = {role.identity for role in held if judged(role)}
    assert strong == {table.PLATFORM}
    for identity in table.IDENTITIES:
        platform = identity in (table.PLATFORM, table.FOUNDATION_JOBS)
        assert bool(report.gains(identity, held)) == platform
        # Nor as anybody whom it can become, by whichever way.
        assert platform == (table.PLATFORM in report.reach(identity, held))


def test_a_way_by_another_identity_counts() -> None:
    change = table.Role(table.PREVIEW, "more", table.PROJECT, ("iam.roles.update",))
    held = [*table.roles(CASES[0]), change]
    (gain,) = report.gains(table.REVIEWER, held)
    assert gain == ("iam.roles.update", table.PROJECT, report.STRONGER["iam.roles.update"])


def test_who_works_as_whom() -> None:
    held = table.roles(CASES[0])
    assert report.becomes(table.DEPLOYER, held) == {table.SERVING: "runs code as"}
    assert report.becomes(table.DEPLOYER, table.roles(CASES[1])) == {
        table.SERVING: "runs code as", table.TELEMETRY: "runs code as",
    }  # fmt: skip
    assert report.becomes(table.REVIEWER, held) == {table.PREVIEW: "works as"}
    assert report.reach(table.PLATFORM, held) == [
        table.PLATFORM, table.DEPLOYER, table.TELEMETRY, table.SERVING,
    ]  # fmt: skip


def test_what_limits_the_platform_is_not_in_an_owners_hands() -> None:
    """As report.LIMITS says."""
    owner = roles.permissions("roles/owner") or frozenset()
    above = {f"iam.denypolicies.{verb}" for verb in ("create", "update", "delete")}
    assert not owner & {*above, "orgpolicy.policy.set", "orgpolicy.policies.update"}


def test_the_page_is_current() -> None:
    assert PAGE.read_text() == "\n".join(report.page(ROOT)) + "\n", "run: make docs"


@pytest.mark.parametrize("stack", STACKS)
def test_the_page_says_what_the_table_has(stack: str) -> None:
    declared: dict[str, set[str]] = {}
    for need in table.needs(settings_of(stack, ROOT).capabilities):
        declared.setdefault(need.identity, set()).add(need.permission)
    assert report.shown(PAGE.read_text(), stack) == declared


def test_every_role_is_compared_with_one_that_google_has() -> None:
    assert report.USUAL.keys() == {need.role for need in table.NEEDS}
    for role in table.roles(EVERYTHING):
        usual = roles.ROLES[report.USUAL[role.key]].permissions
        assert len(role.permissions) <= len(usual)


def test_the_page_and_a_proof_that_differ_are_told_apart() -> None:
    seen = {
        identity: {"granted": sorted(held), "used": sorted(held)}
        for identity, held in report.shown(PAGE.read_text(), "staging").items()
    }
    assert report.disagreements(PAGE.read_text(), "staging", seen) == []
    seen[table.SERVING]["used"].remove("storage.objects.get")
    seen[table.TELEMETRY]["granted"].append("aiplatform.models.get")
    assert report.disagreements(PAGE.read_text(), "staging", seen) == [
        "serving: storage.objects.get is on the page, nothing used it",
        "telemetry: aiplatform.models.get was granted, not on the page",
    ]


def test_the_command_prints_the_table_and_the_diagram() -> None:
    done = CliRunner().invoke(main, ["report", "staging"])
    assert done.exit_code == 0
    assert "platform_ -. works as .-> deployer_" in done.output
    (row,) = [line for line in done.output.splitlines() if line.startswith("| serving |")]
    assert row.endswith("| no |")
    assert "## prod" not in done.output
